//! For how long a condition has held, and when a decision is due.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::customer::Customer;
use crate::decide::{Refusal, decide, next_due, step};
use crate::lifecycle::Lifecycle;
use crate::tests_support::{customer, day, in_stage, lifecycle, run};

const YAML: &str = "
version: 1
workspace: { timezone: Europe/Berlin, holidays: [2026-03-16] }
traits: { score: number?, notice: date? }
metrics:
  logins_7h: { count: login, over: 7h }
  logins_3d: { count: login, over: 3d }
  days_5d: { days_with: login, over: 5d }
  users_2d: { distinct: user, over: 2d }
  idle: { days_since: login }
  used: { latest: seats.used, stale_after: 36h }
  trend: { change: login, over: 2d }
  ratio: metrics.used / traits.score
segments:
  busy: metrics.logins_3d >= 2
stages:
  calm: { enter: { when: metrics.logins_7h == 0, for: 5h, priority: 1 }, stay_at_least: 9h }
  busy: { enter: { when: segment.busy && metrics.users_2d >= 2, for: 1d, priority: 2 } }
  full:
    enter: { when: metrics.ratio > 0.5, for: 30h, priority: 3 }
    leave: { when: metrics.trend < 0, for: 3h, to: calm }
  away: { enter: { when: metrics.idle >= 3, for: 2 workdays, priority: 4 }, stuck: 2d }
  gone: { enter: { when: traits.notice <= today, priority: 5 }, exits: [calm] }
standards:
  contact: { silence: { events: [call], limit: 4d }, severity: low, owner: ops }
  kickoff: { deadline: { stage: busy, event: call, within: 1 workday }, severity: low, owner: ops }
  stuck: { stage_overdue: any, severity: low, owner: ops }
  days: { required: [traits.score], only_if: metrics.days_5d >= 3, severity: low, owner: ops }
";

type Told = (f64, &'static str, Json);

fn since(lifecycle: &Lifecycle, events: &[Told], stage: &str, now: f64) -> Option<Timestamp> {
    let customer = customer(lifecycle, events, now);
    let facts = Facts::new(&customer, lifecycle, day(now));
    let enter = lifecycle.stage(stage).unwrap().enter.as_ref().unwrap();
    held_since(&facts, &enter.when, SignedDuration::from_hours(24 * 10))
}

fn score(at: f64, score: impl Into<Json>) -> Told {
    let score: Json = score.into();
    (at, "group", json!({ "score": score }))
}

const HELD: &str = "
version: 1
traits: { score: number? }
metrics:
  logins_7d: { count: login, over: 7d }
  none_7d: { count: nothing, over: 7d }
  idle: { days_since: login }
  users_7d: { distinct: user, over: 7d }
  used: { latest: seats.used, stale_after: 3d }
  spent: { latest: seats.used }
stages:
  a: { enter: { when: metrics.logins_7d >= 2, for: 10d, priority: 1 } }
  b: { enter: { when: traits.score >= 5, for: 10d, priority: 2 } }
  c: { enter: { when: metrics.used >= 5, for: 10d, priority: 3 } }
  d: { enter: { when: metrics.idle <= 30, for: 10d, priority: 4 } }
  e: { enter: { when: metrics.users_7d >= 2, for: 10d, priority: 5 } }
  f: { enter: { when: metrics.none_7d == 0, for: 10d, priority: 6 } }
  g: { enter: { when: metrics.spent / traits.score > 1, for: 10d, priority: 7 } }
";

#[test]
fn a_condition_has_held_since_it_began_to() {
    let file = lifecycle(HELD);
    let login = |at: f64, user: &str| (at, "login", json!({ "user": user }));
    let seats = |at, used| (at, "seats", json!({ "used": used }));
    let cases: Vec<(&str, Vec<Told>, Option<f64>)> = vec![
        ("a", vec![login(20.0, "x"), login(24.0, "x")], None),
        ("a", vec![login(24.0, "x"), login(27.0, "x")], Some(27.0)),
        (
            "a",
            vec![login(17.0, "x"), login(18.0, "x"), login(26.0, "x"), login(28.0, "x")],
            Some(28.0),
        ),
        (
            "a",
            vec![login(21.0, "x"), login(22.0, "x"), login(24.5, "x"), login(28.0, "x")],
            Some(22.0),
        ),
        ("a", (0..30).map(|at| login(f64::from(at), "x")).collect(), Some(20.0)),
        ("b", vec![score(25.0, 7)], Some(25.0)),
        ("b", vec![score(22.0, 7), score(24.0, 7), score(26.0, 9)], Some(26.0)),
        // Told again and again, as a nightly report does; stale in between breaks it.
        ("c", (0..30).map(|at| seats(f64::from(at), 5 + at)).collect(), Some(20.0)),
        ("c", vec![seats(21.0, 6), seats(23.0, 7), seats(27.5, 8), seats(29.0, 8)], Some(27.5)),
        ("c", vec![seats(21.0, 6), seats(23.0, 4), seats(24.0, 8), seats(27.0, 8)], Some(24.0)),
        ("d", vec![login(1.0, "x"), login(26.0, "x")], Some(20.0)),
        ("d", vec![login(-8.0, "x"), login(26.0, "x")], Some(26.0)),
        (
            "e",
            vec![login(1.0, "x"), login(2.0, "y"), login(29.0, "x"), login(29.5, "y")],
            Some(29.5),
        ),
        (
            "e",
            vec![login(18.0, "x"), login(22.0, "y"), login(24.0, "x"), login(28.0, "y")],
            Some(22.0),
        ),
        ("f", vec![login(27.3, "x")], Some(27.3)),
        // Unknown in between, by a division by zero: neither a break nor a beginning.
        ("g", vec![seats(1.0, 9), score(2.0, 3), seats(25.0, 8)], Some(20.0)),
    ];
    for (stage, events, want) in cases {
        assert_eq!(since(&file, &events, stage, 30.0), want.map(day), "{stage} of {events:?}");
    }
}

#[test]
fn a_refusal_says_since_when() {
    let file = lifecycle(HELD);
    let customer = in_stage(customer(&file, &[score(25.25, 7)], 30.0), "a", 0.0);
    let refused = step(&customer, &file, day(30.0)).refused;
    assert!(refused.contains(&(1, Refusal::HeldSince(day(25.25)))), "{refused:?}");
    assert!(step(&customer, &file, day(35.24)).change.is_none());
    assert!(step(&customer, &file, day(35.25)).change.is_some());
}

fn any_events() -> impl Strategy<Value = Vec<Told>> {
    let what = prop_oneof![
        5 => (0u32..4).prop_map(|user| ("login", json!({ "user": format!("u{user}") }))),
        2 => (0i64..9).prop_map(|used| ("seats", json!({ "used": used }))),
        1 => Just(("call", json!({}))),
        1 => (0i64..9).prop_map(|score| ("group", json!({ "score": score }))),
        1 => prop::sample::select(vec!["2026-03-10", "2026-03-14", "2026-04-20"])
            .prop_map(|notice| ("group", json!({ "notice": notice }))),
    ];
    // On the quarter hour, so that what the events set off can be stepped through.
    let event =
        (0u32..10 * 96, what).prop_map(|(at, (name, told))| (f64::from(at) / 96.0, name, told));
    prop::collection::vec(event, 1..20)
}

/// The first quarter of an hour after `now` at which something would change. Promises break a
/// second after their time, so each quarter is looked at twice.
fn stepped(customer: &Customer, file: &Lifecycle, now: Timestamp, days: i64) -> Option<Timestamp> {
    (0..days * 96)
        .flat_map(|step| [step * 900 + 1, (step + 1) * 900])
        .map(|seconds| now + SignedDuration::from_secs(seconds))
        .find(|at| decide(customer, file, *at).is_change())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_due_is_the_first_change(
        events in any_events(),
        from in prop::sample::select(vec!["none", "calm", "busy", "full", "away", "gone"]),
        entered in 0u32..10 * 96,
    ) {
        let file = lifecycle(YAML);
        let mut known = customer(&file, &events, 10.0);
        if from != "none" {
            known = in_stage(known, from, f64::from(entered) / 96.0);
        }
        let now = day(10.0);
        for _ in 0..8 {
            run(&mut known, &file, now);
        }
        prop_assume!(!decide(&known, &file, now).is_change());
        let until = now + SignedDuration::from_hours(24 * 9);
        prop_assert_eq!(next_due(&known, &file, now, until), stepped(&known, &file, now, 9));
    }

    #[test]
    fn between_its_change_points_an_answer_stays(events in any_events()) {
        let file = lifecycle(YAML);
        let customer = customer(&file, &events, 10.0);
        let facts = Facts::new(&customer, &file, day(10.0));
        for stage in &file.stages {
            let when = &stage.enter.as_ref().unwrap().when;
            let stretch = Stretch { after: day(6.0).as_second(), until: day(14.0).as_second() };
            let points = change_points(&facts, when, stretch);
            let mut before = facts.at(day(6.0)).answer(when);
            for quarter in 1..8 * 96 {
                let at = day(6.0 + f64::from(quarter) / 96.0);
                let answer = facts.at(at).answer(when);
                let last = at.as_second() - 900;
                let has_point = points.iter().any(|point| *point > last && *point <= at.as_second());
                prop_assert!(answer == before || has_point, "{} changes at {at}", stage.name);
                before = answer;
            }
        }
    }
}
