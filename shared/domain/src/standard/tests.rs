//! When a standard is kept, and when it is broken.

use serde_json::{Value as Json, json};

use super::*;
use crate::tests_support::{customer, day, in_stage, lifecycle};

const YAML: &str = "
version: 1
traits: { plan: [trial, team], csm: email?, renewal: date?, seats: number? }
metrics: { logins_7d: { count: login, over: 7d } }
stages:
  start: { enter: { when: metrics.logins_7d >= 0, priority: 1 }, target: 20d, stuck: 30d }
  next: { enter: { when: metrics.logins_7d > 9, priority: 2 } }
standards:
  kickoff: { deadline: { stage: start, event: kickoff, within: 10 workdays }, severity: high, owner: csm }
  contact: { silence: { events: [call, mail], limit: 30d }, only_if: traits.plan == \"team\", severity: low, owner: csm }
  known: { required: [traits.csm, traits.renewal, traits.seats], severity: low, owner: csm }
  stuck: { stage_overdue: any, severity: low, owner: csm }
";

/// More kinds of promises, for a customer in `start` since day 0.
const KINDS: &str = "
version: 1
traits: { plan: [trial, team], csm: email?, score: number? }
metrics: { logins_7d: { count: login, over: 7d } }
stages:
  start: { enter: { when: metrics.logins_7d >= 0, priority: 1 } }
  next: { enter: { when: metrics.logins_7d > 9, priority: 2 } }
standards:
  kickoff: { deadline: { after: signed, where: event.seats > 5, event: kickoff, within: 5 workdays }, severity: high, owner: csm }
  answered: { respond: { to: survey, where: event.score <= 6, with: [call, mail], within: 2d }, severity: high, owner: csm }
  patient: { respond: { to: survey, with: [call], within: 1d }, grace: 3d, severity: high, owner: csm }
  ordered: { sequence: { stage: start, steps: [signed, kickoff, trained] }, severity: low, owner: csm }
  ever: { sequence: { steps: [signed, trained] }, grace: 2d, severity: low, owner: csm }
  scored: { holds: traits.score >= 5, severity: low, owner: csm }
  lasting: { holds: traits.score >= 5, for: 3d, grace: 1d, severity: low, owner: csm }
  named: { required: [traits.csm], only_if: traits.plan == \"team\", grace: 4d, severity: low, owner: csm }
";

/// The days, from 0 on in steps of half a day, on which a standard of [`KINDS`] is broken: each
/// stretch from its first day to its last.
fn broken(name: &str, events: &[(f64, &str, Json)]) -> Vec<(f64, f64)> {
    let lifecycle = lifecycle(KINDS);
    let mut stretches: Vec<(f64, f64)> = Vec::new();
    for half in 0..60 {
        let now = f64::from(half) / 2.0;
        let by_then: Vec<_> = events.iter().filter(|(at, ..)| *at <= now).cloned().collect();
        let customer = in_stage(customer(&lifecycle, &by_then, now), "start", 0.0);
        let facts = Facts::new(&customer, &lifecycle, day(now));
        let judged = judge(&facts, lifecycle.standard(name).unwrap());
        if matches!(judged, Judgement::Breached { .. }) {
            match stretches.last_mut() {
                Some(last) if last.1 == now - 0.5 => last.1 = now,
                _ => stretches.push((now, now)),
            }
        }
    }
    stretches
}

fn told(at: f64, told: Json) -> (f64, &'static str, Json) {
    (at, "group", told)
}

/// A promise, what happens on which days, and from when to when it is broken.
type Case<'a> = (&'a str, Vec<(f64, &'a str, Json)>, Vec<(f64, f64)>);

#[test]
fn each_kind_of_promise_is_broken_mended_and_broken_again() {
    let signed = |at: f64, seats: i32| (at, "signed", json!({ "seats": seats }));
    let survey = |at: f64, score: i32| (at, "survey", json!({ "score": score }));
    let one = |at: f64, name: &'static str| (at, name, json!({}));
    let here = one(0.0, "login");
    let cases: Vec<Case<'_>> = vec![
        // Five workdays after a Monday are a week; while the clock runs another start is no new one.
        ("kickoff", vec![signed(0.0, 9), signed(4.0, 9), one(9.0, "kickoff")], vec![(7.5, 8.5)]),
        ("kickoff", vec![signed(0.0, 9), one(6.0, "kickoff"), signed(10.0, 9)], vec![(17.5, 29.5)]),
        ("kickoff", vec![signed(0.0, 2)], vec![]),
        ("answered", vec![here.clone()], vec![]),
        (
            "answered",
            vec![
                survey(1.0, 3),
                survey(2.5, 1),
                one(4.0, "mail"),
                survey(8.0, 0),
                one(9.0, "call"),
            ],
            vec![(3.5, 3.5)],
        ),
        (
            "answered",
            vec![
                survey(1.0, 3),
                one(5.0, "call"),
                survey(6.0, 9),
                survey(7.0, 2),
                one(12.0, "call"),
            ],
            vec![(3.5, 4.5), (9.5, 11.5)],
        ),
        ("patient", vec![survey(1.0, 9), one(7.0, "call")], vec![(5.5, 6.5)]),
        (
            "ordered",
            vec![one(1.0, "signed"), one(3.0, "trained"), one(6.0, "kickoff")],
            vec![(3.0, 5.5)],
        ),
        ("ordered", vec![one(-4.0, "kickoff"), one(1.0, "signed")], vec![]),
        (
            "ordered",
            vec![one(2.0, "kickoff"), one(4.0, "signed"), one(6.0, "trained")],
            vec![(2.0, 3.5)],
        ),
        ("ever", vec![one(2.0, "trained"), one(6.0, "signed")], vec![(4.5, 5.5)]),
        ("scored", vec![here.clone()], vec![]),
        (
            "scored",
            vec![
                told(0.0, json!({ "score": 3 })),
                told(2.0, json!({ "score": 7 })),
                told(9.0, json!({ "score": 1 })),
            ],
            vec![(0.0, 1.5), (9.0, 29.5)],
        ),
        (
            "lasting",
            vec![told(0.0, json!({ "score": 3 })), told(6.0, json!({ "score": 7 }))],
            vec![(4.5, 5.5)],
        ),
        (
            "lasting",
            vec![told(0.0, json!({ "score": 3 })), told(3.0, json!({ "score": 7 }))],
            vec![],
        ),
        (
            "named",
            vec![
                told(0.0, json!({ "plan": "trial" })),
                told(3.0, json!({ "plan": "team" })),
                told(9.0, json!({ "csm": "a@b.c" })),
            ],
            vec![(7.5, 8.5)],
        ),
    ];
    for (name, events, want) in cases {
        assert_eq!(broken(name, &events), want, "{name}: {events:?}");
    }
}

#[test]
fn a_condition_that_is_unknown_cannot_be_told() {
    let lifecycle = lifecycle(KINDS);
    let customer = in_stage(customer(&lifecycle, &[(0.0, "login", json!({}))], 9.0), "start", 0.0);
    let facts = Facts::new(&customer, &lifecycle, day(9.0));
    for name in ["scored", "lasting", "named"] {
        assert_eq!(
            judge(&facts, lifecycle.standard(name).unwrap()),
            Judgement::CannotTell,
            "{name}"
        );
    }
}

#[test]
fn a_breach_says_what_it_is() {
    let lifecycle = lifecycle(KINDS);
    let events = [
        (0.0, "survey", json!({ "score": 1 })),
        (1.0, "kickoff", json!({})),
        (1.5, "trained", json!({})),
        (2.0, "group", json!({ "score": 2, "plan": "team" })),
    ];
    let customer = in_stage(customer(&lifecycle, &events, 9.0), "start", 0.0);
    let facts = Facts::new(&customer, &lifecycle, day(9.0));
    for (name, want) in [
        ("answered", "no call, mail within 2d of survey"),
        ("patient", "no call within 1d and 3d of grace of survey"),
        ("ordered", "kickoff came before signed"),
        ("ever", "trained came before signed"),
        ("scored", "traits.score >= 5"),
        ("named", "missing: traits.csm"),
    ] {
        let judged = judge(&facts, lifecycle.standard(name).unwrap());
        let Judgement::Breached { reasons, .. } = judged else { panic!("{name}: {judged:?}") };
        assert_eq!(reasons[0].expression, want, "{name}");
    }
}

fn team() -> (f64, &'static str, Json) {
    let told = json!({ "plan": "team", "csm": "a@b.c", "renewal": "2027-01-01", "seats": 5 });
    (0.0, "group", told)
}

/// What a standard comes to on a day, for a customer in `start` since day 0.
fn judged(name: &str, events: &[(f64, &str, Json)], now: f64) -> Judgement {
    let lifecycle = lifecycle(YAML);
    let customer = in_stage(customer(&lifecycle, events, now), "start", 0.0);
    let facts = Facts::new(&customer, &lifecycle, day(now));
    judge(&facts, lifecycle.standard(name).unwrap())
}

fn is_breached(name: &str, events: &[(f64, &str, Json)], now: f64) -> bool {
    matches!(judged(name, events, now), Judgement::Breached { .. })
}

#[test]
fn a_deadline_is_broken_after_its_instant_and_mended_by_the_event() {
    // Ten workdays from a Monday are two weeks.
    assert_eq!(judged("kickoff", &[team()], 14.0), Judgement::Met);
    assert!(is_breached("kickoff", &[team()], 14.001));
    let late = [team(), (20.0, "kickoff", json!({}))];
    assert!(is_breached("kickoff", &late, 19.9));
    assert_eq!(judged("kickoff", &late, 20.0), Judgement::Met);
    let early = [team(), (-1.0, "kickoff", json!({}))];
    assert!(is_breached("kickoff", &early, 15.0), "one before the stage does not count");
}

#[test]
fn a_deadline_of_a_stage_never_entered_does_not_apply() {
    let lifecycle = lifecycle(YAML);
    let customer = in_stage(customer(&lifecycle, &[team()], 40.0), "next", 0.0);
    let facts = Facts::new(&customer, &lifecycle, day(40.0));
    assert_eq!(judge(&facts, lifecycle.standard("kickoff").unwrap()), Judgement::NotApplicable);
}

#[test]
fn silence_counts_from_the_last_event_or_the_first_sight() {
    assert_eq!(judged("contact", &[team()], 30.0), Judgement::Met);
    assert!(is_breached("contact", &[team()], 30.1));
    let events = [team(), (3.0, "call", json!({})), (8.0, "mail", json!({}))];
    assert_eq!(judged("contact", &events, 38.0), Judgement::Met);
    let Judgement::Breached { key, reasons } = judged("contact", &events, 40.0) else { panic!() };
    assert_eq!(key, day(38.0).to_string());
    assert_eq!(reasons[0].inputs["last"], json!(day(8.0).to_string()));
}

#[test]
fn what_cannot_be_told_is_never_met() {
    let login = [(0.0, "login", json!({}))];
    assert_eq!(judged("contact", &login, 40.0), Judgement::CannotTell);
}

#[test]
fn what_no_longer_applies_closes() {
    let trial = [team(), (35.0, "group", json!({ "plan": "trial" }))];
    assert!(is_breached("contact", &trial[..1], 34.0));
    assert_eq!(judged("contact", &trial, 36.0), Judgement::NotApplicable);
}

#[test]
fn a_required_fact_has_to_be_of_its_type() {
    assert_eq!(judged("known", &[team()], 1.0), Judgement::Met);
    for (name, value) in [
        ("csm", json!(null)),
        ("csm", json!("  ")),
        ("renewal", json!("soon")),
        ("seats", json!("a few")),
    ] {
        let told = [team(), (0.5, "group", json!({ name: value }))];
        let Judgement::Breached { key, reasons } = judged("known", &told, 1.0) else {
            panic!("{name} {value}")
        };
        assert_eq!(
            (key.as_str(), reasons[0].expression.as_str()),
            ("required", format!("missing: traits.{name}").as_str())
        );
    }
}

#[test]
fn a_stage_is_overdue_after_its_stuck_time_by_visit() {
    assert_eq!(judged("stuck", &[team()], 30.0), Judgement::Met);
    let Judgement::Breached { key, .. } = judged("stuck", &[team()], 30.01) else { panic!() };
    assert_eq!(key, "visit 1");
}
