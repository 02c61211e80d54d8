//! When a finding opens, and when it closes.

use serde_json::{Value as Json, json};

use super::*;
use crate::customer::OpenFinding;
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
fn what_cannot_be_told_is_never_met_and_never_closes_a_finding() {
    let login = [(0.0, "login", json!({}))];
    assert_eq!(judged("contact", &login, 40.0), Judgement::CannotTell);
    let lifecycle = lifecycle(YAML);
    let mut customer = in_stage(customer(&lifecycle, &login, 40.0), "start", 0.0);
    customer.status.findings.push(OpenFinding {
        standard: "contact".into(),
        key: "before".into(),
        opened_at: day(1.0),
    });
    let changes = judge_all(&customer, &lifecycle, day(40.0));
    assert!(changes.iter().all(|change| change.rule != "standards.contact"), "{changes:?}");
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

#[test]
fn a_finding_opens_once_and_closes_when_it_is_mended() {
    let lifecycle = lifecycle(YAML);
    let events = [team(), (45.0, "call", json!({}))];
    let mut customer = in_stage(customer(&lifecycle, &events, 90.0), "next", 0.0);
    let mut story = Vec::new();
    for now in 0..90 {
        for change in judge_all(&customer, &lifecycle, day(f64::from(now))) {
            let entry = customer.status.apply(&change, day(f64::from(now)), &lifecycle);
            story.push((now, entry.rule, entry.to.unwrap_or_default()));
        }
    }
    let contact = |now, to: &str| (now, "standards.contact".to_owned(), to.to_owned());
    assert_eq!(story, [contact(31, "open"), contact(45, "closed"), contact(76, "open")]);
}

#[test]
fn another_breach_takes_the_place_of_the_one_before() {
    let lifecycle = lifecycle(YAML);
    let mut customer = in_stage(customer(&lifecycle, &[team()], 40.0), "next", 0.0);
    customer.status.findings.push(OpenFinding {
        standard: "contact".into(),
        key: "before".into(),
        opened_at: day(1.0),
    });
    let changes = judge_all(&customer, &lifecycle, day(40.0));
    let effects: Vec<&str> = changes
        .iter()
        .map(|change| match change.effect {
            Effect::OpenFinding { .. } => "open",
            Effect::CloseFinding { .. } => "close",
            _ => "other",
        })
        .collect();
    assert_eq!(effects, ["close", "open"]);
}

#[test]
fn a_finding_whose_standard_is_gone_closes() {
    let lifecycle = lifecycle(YAML);
    let mut customer = in_stage(customer(&lifecycle, &[team()], 5.0), "next", 0.0);
    customer.status.findings.push(OpenFinding {
        standard: "retired".into(),
        key: "k".into(),
        opened_at: day(1.0),
    });
    let changes = judge_all(&customer, &lifecycle, day(5.0));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].reasons[0].expression, "the standard is no longer declared");
}
