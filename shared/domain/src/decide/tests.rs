//! The rules of the stage step.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::tests_support::{customer, day, in_stage, lifecycle, run, stage_of};

const METRICS: &str = "version: 1
traits: { plan: [trial, team], score: number?, notice: date? }
metrics:
  logins_7d: { count: login, over: 7d }
  idle: { days_since: login }
  used: { latest: seats.used, stale_after: 3d }
";

fn file(stages: &str) -> Lifecycle {
    lifecycle(&format!("{METRICS}stages:\n{stages}"))
}

fn score(at: f64, score: impl Into<Json>) -> (f64, &'static str, Json) {
    let score: Json = score.into();
    (at, "group", json!({ "score": score }))
}

fn login(at: f64) -> (f64, &'static str, Json) {
    (at, "login", json!({}))
}

/// Where a step leads from `from`, entered on day 0, judged on day 30.
fn goes(lifecycle: &Lifecycle, from: &str, events: &[(f64, &str, Json)]) -> String {
    let known = customer(lifecycle, events, 30.0);
    let mut customer = in_stage(known, from, 0.0);
    if let Some(change) = step(&customer, lifecycle, day(30.0)).change {
        let _ = customer.status.apply(&change, day(30.0), lifecycle);
    }
    stage_of(&customer).to_owned()
}

fn refusal(lifecycle: &Lifecycle, step: &StageStep, name: &str) -> Option<Refusal> {
    let named = |index: usize| lifecycle.stages[index].name == name;
    step.refused.iter().find(|(index, _)| named(*index)).map(|(_, refusal)| *refusal)
}

const LOW_MID_TOP: &str = "  low: { enter: { when: traits.score >= 1, priority: 1 } }
  mid: { enter: { when: traits.score >= 2 && traits.score != 9, priority: 2 } }
  top: { enter: { when: traits.score >= 3, priority: 3 } }
";

#[test]
fn the_highest_priority_that_holds_wins() {
    let file = file(LOW_MID_TOP);
    for (value, want) in [(1, "low"), (2, "mid"), (3, "top")] {
        assert_eq!(goes(&file, "low", &[score(1.0, value)]), want);
    }
}

#[test]
fn a_lower_priority_is_taken_only_when_the_present_no_longer_holds() {
    let file = file(LOW_MID_TOP);
    assert_eq!(goes(&file, "top", &[score(1.0, 3)]), "top");
    assert_eq!(goes(&file, "top", &[score(1.0, 2)]), "mid");
    assert_eq!(goes(&file, "top", &[score(1.0, 0)]), "top", "nothing else holds: it stays");
}

#[test]
fn an_unknown_answer_never_moves_a_customer() {
    let file = file(LOW_MID_TOP);
    for from in ["low", "mid", "top"] {
        assert_eq!(goes(&file, from, &[score(1.0, Json::Null)]), from);
        assert_eq!(goes(&file, from, &[score(1.0, "much")]), from);
        assert_eq!(goes(&file, from, &[login(1.0)]), from);
    }
    // A present stage that cannot be judged holds against what is below it.
    let file = self::file(
        "  a: { enter: { when: metrics.used > 3, priority: 5 } }
  b: { enter: { when: traits.score > 0, priority: 1 } }
",
    );
    assert_eq!(goes(&file, "a", &[score(1.0, 1), (2.0, "seats", json!({ "used": 9 }))]), "a");
}

#[test]
fn only_exits_are_candidates() {
    let exits = LOW_MID_TOP.replace("priority: 1 } }", "priority: 1 }, exits: [mid] }");
    let file = file(&exits);
    assert_eq!(goes(&file, "low", &[score(1.0, 3)]), "mid");
    let known = customer(&file, &[score(1.0, 3)], 30.0);
    let step = step(&in_stage(known, "low", 0.0), &file, day(30.0));
    assert_eq!(refusal(&file, &step, "top"), Some(Refusal::NoExit));
}

#[test]
fn a_stage_with_from_is_entered_from_there_only() {
    let from = LOW_MID_TOP.replace("priority: 3 }", "priority: 3, from: [mid] }");
    let file = file(&from);
    assert_eq!(goes(&file, "low", &[score(1.0, 3)]), "mid");
    assert_eq!(goes(&file, "mid", &[score(1.0, 3)]), "top");
    let new = customer(&file, &[score(1.0, 9)], 30.0);
    let first = step(&new, &file, day(30.0));
    assert_eq!(first.change.unwrap().to.as_deref(), Some("low"), "no new customer starts in it");
}

#[test]
fn a_new_customer_takes_the_highest_that_holds_whatever_its_for() {
    let file = file(&LOW_MID_TOP.replace("priority: 3", "for: 14d, priority: 3"));
    let mut new = customer(&file, &[score(29.9, 3)], 30.0);
    let entries = run(&mut new, &file, day(30.0));
    assert_eq!(stage_of(&new), "top");
    assert_eq!((entries[0].from.as_deref(), entries[0].seq), (None, 1));
    assert_eq!(new.status.stage.as_ref().unwrap().visit, 1);
}

#[test]
fn a_customer_of_whom_nothing_is_known_starts_nowhere() {
    let file = file(LOW_MID_TOP);
    let mut new = customer(&file, &[login(29.0)], 30.0);
    assert!(run(&mut new, &file, day(30.0)).is_empty());
}

#[test]
fn a_customer_whose_stage_the_file_no_longer_has_starts_again() {
    let file = file(LOW_MID_TOP);
    let events = [score(1.0, 2)];
    let mut old = in_stage(customer(&file, &events, 30.0), "gone", 0.0);
    let entries = run(&mut old, &file, day(30.0));
    assert_eq!(stage_of(&old), "mid");
    assert_eq!(entries[0].from.as_deref(), Some("gone"));
    assert_eq!(old.status.stage.as_ref().unwrap().visit, 2);
}

#[test]
fn staying_is_asked_of_every_exit_but_those_at_once() {
    let stay = |exits: &str| {
        file(&LOW_MID_TOP.replace(
            "  low: { enter: { when: traits.score >= 1, priority: 1 } }",
            &format!(
                "  low: {{ enter: {{ when: traits.score >= 1, priority: 1 }}, stay_at_least: 40d, \
                 exits: {exits} }}"
            ),
        ))
    };
    let at = [score(1.0, 3)];
    let held = stay("[mid, top]");
    assert_eq!(goes(&held, "low", &at), "low");
    let known = in_stage(customer(&held, &at, 30.0), "low", 0.0);
    let look = |now| step(&known, &held, day(now));
    assert_eq!(refusal(&held, &look(30.0), "top"), Some(Refusal::KeptUntil(day(40.0))));
    assert!(look(39.99).change.is_none() && look(40.0).change.is_some());
    assert_eq!(goes(&stay("[mid, { to: top, at_once: true }]"), "low", &at), "top");
    assert_eq!(goes(&stay("[{ to: mid, at_once: true }, top]"), "low", &at), "mid");
}

const HYSTERESIS: &str = "  low: { enter: { when: traits.score >= 0, priority: 1 } }
  high:
    enter: { when: traits.score >= 8, for: 2d, priority: 2 }
    leave: { when: traits.score < 5, for: 2d, to: low }
";

#[test]
fn a_leave_is_a_lower_bar_to_stay() {
    let file = file(HYSTERESIS);
    for (events, want) in [
        (vec![score(1.0, 9), score(20.0, 6)], "high"),
        (vec![score(1.0, 9), score(20.0, 4)], "low"),
        (vec![score(1.0, 9), score(29.0, 4)], "high"),
        (vec![score(1.0, 9), score(20.0, Json::Null)], "high"),
    ] {
        assert_eq!(goes(&file, "high", &events), want, "{events:?}");
    }
}

#[test]
fn a_stage_that_would_be_left_at_once_is_not_entered() {
    let file = file(
        "  low: { enter: { when: traits.score >= 9, priority: 1 } }
  high:
    enter: { when: traits.score >= 1, priority: 2 }
    leave: { when: metrics.idle > 3, to: low }
",
    );
    let events = [score(1.0, 5), login(2.0)];
    assert_eq!(goes(&file, "low", &events), "low");
    assert_eq!(goes(&file, "high", &events), "low");
}

#[test]
fn at_one_instant_steps_come_to_rest() {
    let presets = crate::lifecycle::presets::PRESETS.map(|preset| lifecycle(preset.source));
    let files = [file(LOW_MID_TOP), file(HYSTERESIS)];
    for file in files.iter().chain(&presets) {
        for value in 0..10 {
            let events = [
                score(1.0, value),
                login(10.0 + f64::from(value)),
                (10.0, "order", json!({ "amount": value })),
                (3.0, "group", json!({ "plan": "team", "churn_notice": "2026-03-20" })),
            ];
            let mut customer = customer(file, &events, 30.0);
            let mut seen = Vec::new();
            while !run(&mut customer, file, day(30.0)).is_empty() {
                let stage = stage_of(&customer).to_owned();
                let moved = seen.last() != Some(&stage);
                assert!(!moved || !seen.contains(&stage), "{seen:?} then {stage} again");
                seen.push(stage);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_missed_run_changes_nothing_about_what_holds(
        told in prop::collection::vec((0u32..600, 0i64..10), 1..25),
        every in 1u32..7,
    ) {
        // The dwell of a candidate is the same whether or not it was looked at before.
        let file = file(HYSTERESIS);
        let events: Vec<_> =
            told.iter().map(|(at, value)| score(f64::from(*at) / 20.0, *value)).collect();
        let mut often = in_stage(customer(&file, &events, 30.0), "low", -1.0);
        let rarely = often.clone();
        let mut at = 0.0;
        while at < 30.0 && step(&often, &file, day(at)).change.is_none() {
            at += f64::from(every) / 24.0;
        }
        let before = step(&rarely, &file, day(at)).change.is_some();
        run(&mut often, &file, day(at));
        prop_assert_eq!(before, stage_of(&often) == "high");
    }

    #[test]
    fn deciding_again_decides_no_finding(
        events in prop::collection::vec((0u32..300, prop::sample::select(vec!["call", "login", "order"])), 0..30),
        now in 1u32..60,
    ) {
        for preset in crate::lifecycle::presets::PRESETS {
            let file = lifecycle(preset.source);
            let events: Vec<_> = events
                .iter()
                .map(|(at, name)| (f64::from(*at) / 10.0, *name, json!({ "amount": 90 })))
                .collect();
            let mut customer = customer(&file, &events, f64::from(now));
            let now = day(f64::from(now));
            while step(&customer, &file, now).change.is_some() {
                run(&mut customer, &file, now);
            }
            run(&mut customer, &file, now);
            prop_assert_eq!(finding::judge_all(&customer, &file, now), Vec::new());
            prop_assert!(!decide(&customer, &file, now).is_change());
        }
    }
}

#[test]
fn a_change_of_band_is_decided_once() {
    let file = lifecycle(crate::lifecycle::presets::PRESETS[0].source);
    let mut customer = customer(&file, &[login(1.0)], 30.0);
    let (risk, change) = assess_risk(&customer, &file, day(30.0)).unwrap();
    assert_eq!(change.unwrap().to.as_deref(), Some("critical"));
    customer.status.risk = Some(RiskState {
        probability: risk.probability,
        band: risk.band,
        band_since: day(30.0),
        at: day(30.0),
    });
    assert_eq!(assess_risk(&customer, &file, day(30.0)).unwrap().1, None);
}
