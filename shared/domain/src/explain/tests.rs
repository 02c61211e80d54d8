//! The rules of explanations.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::by_hand;
use crate::journal::Author;
use crate::replay::{Replay, in_order};
use crate::tests_support::{day, event, events, in_stage, lifecycle, profile};

const SOURCE: &str = "version: 1
traits: { name: text?, plan: [trial, team], mrr: number?, notice: date?, vip: yes_no? }
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
  seats_used: { latest: seats.used, stale_after: 30d }
  seat_use: metrics.seats_used / traits.mrr
segments:
  paying: traits.plan == \"team\"
stages:
  onboarding: { enter: { when: segment.paying, priority: 10 } }
  adopting: { enter: { when: metrics.logins_7d >= 3 && metrics.seat_use >= 0.5, for: 2d, priority: 20 } }
  special: { enter: { when: traits.vip, from: [adopting], priority: 30 } }
  churned: { enter: { when: has(traits.notice) && traits.notice <= today, priority: 90 } }
";

fn log() -> Vec<Event> {
    in_order(events(&[
        (0.0, "group", json!({ "plan": "team", "mrr": 10, "name": "Acme" })),
        (10.0, "group", json!({ "plan": "team", "mrr": 10 })),
        (25.0, "login", json!({})),
        (26.0, "login", json!({})),
        (26.5, "other", json!({})),
        (20.0, "seats", json!({ "used": 7 })),
    ]))
}

fn told(source: &str) -> Explanation {
    let lifecycle = lifecycle(source);
    let log = log();
    let customer =
        Customer { profile: profile(&lifecycle, &log, day(28.0)), ..Customer::default() };
    explain(&in_stage(customer, "onboarding", 1.0), &lifecycle, &[], &log, day(28.0))
}

fn other<'e>(told: &'e Explanation, stage: &str) -> &'e Other {
    told.others.iter().find(|other| other.stage == stage).unwrap()
}

#[test]
fn every_other_stage_says_why_not_with_its_values() {
    let told = told(SOURCE);
    assert_eq!(told.stage.as_ref().unwrap().name, "onboarding");
    let present = told.present.as_ref().unwrap();
    assert_eq!((present.answer, present.rule.as_str()), (Truth::Yes, "stages.onboarding.enter"));
    assert!(told.decided.is_empty());
    assert_eq!(
        other(&told, "adopting").why_not.as_deref(),
        Some("it does not hold: metrics.logins_7d >= 3 (metrics.logins_7d = 2)")
    );
    assert_eq!(
        other(&told, "special").why_not.as_deref(),
        Some("it is not entered from `onboarding`")
    );
    let churned = other(&told, "churned");
    assert_eq!(churned.judged.parts.len(), 2);
    assert!(churned.why_not.as_ref().unwrap().contains("has(traits.notice)"));
    assert!(told.others.iter().all(|other| other.stage != "onboarding"));
}

#[test]
fn inputs_name_the_events_they_come_from() {
    let told = told(SOURCE);
    let input = |name: &str| told.inputs.iter().find(|input| input.name == name).unwrap();
    let ids = |name: &str| match &input(name).origin {
        Origin::Events { newest, count } => {
            assert_eq!(newest.len() as u64, *count);
            newest.iter().map(|event| event.at).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(input("metrics.logins_7d").value, 2);
    assert_eq!(ids("metrics.logins_7d"), [day(26.0), day(25.0)]);
    assert_eq!(ids("metrics.seats_used"), [day(20.0)]);
    assert_eq!(ids("traits.plan"), [day(10.0), day(0.0)], "told twice");
    assert!(ids("traits.notice").is_empty());
    assert_eq!(input("metrics.seat_use").value, 0.7);
    let Origin::Computed { expression, of } = &input("metrics.seat_use").origin else { panic!() };
    assert_eq!(expression, "metrics.seats_used / traits.mrr");
    assert_eq!(of, &["metrics.seats_used", "traits.mrr"]);
    let Origin::Computed { of, .. } = &input("segment.paying").origin else { panic!() };
    assert_eq!(of, &["traits.plan"]);
}

#[test]
fn the_smallest_change_of_each_input_is_found_and_the_smallest_of_all_comes_first() {
    let told = told(SOURCE);
    let what: Vec<(&str, Json, &str)> = told
        .what_if
        .iter()
        .map(|one| (one.input.as_str(), one.to.clone(), one.stage.as_str()))
        .collect();
    assert_eq!(
        what,
        [
            ("traits.notice", json!("2026-03-30"), "churned"),
            ("metrics.logins_7d", json!(3), "adopting"),
        ]
    );
    let logins = &told.what_if[1];
    assert_eq!(logins.hold, Some(Period::Elapsed(2 * 86_400)));
    assert_eq!(logins.sentence(), "if metrics.logins_7d were 3 (it is 2) for 2d: adopting");
}

#[test]
fn a_fraction_is_found_where_a_formula_stands_between() {
    let told =
        told(&SOURCE.replace(
            "metrics.logins_7d >= 3 && metrics.seat_use >= 0.5",
            "metrics.seat_use >= 0.8",
        ));
    let seats = told.what_if.iter().find(|one| one.input == "metrics.seats_used").unwrap();
    assert_eq!((seats.from.clone(), seats.to.clone()), (json!(7), json!(8)));
    let mrr = told.what_if.iter().find(|one| one.input == "traits.mrr").unwrap();
    assert_eq!(mrr.to, json!(8.75));
}

#[test]
fn what_comes_by_itself_is_told_with_its_instant() {
    let told = told(&SOURCE.replace(
        "metrics.logins_7d >= 3 && metrics.seat_use >= 0.5, for: 2d",
        "metrics.idle_days > 9",
    ));
    let coming = told.coming.unwrap();
    assert_eq!(coming.at, day(36.0));
    assert_eq!(coming.changes[0].to.as_deref(), Some("adopting"));
    assert!(self::told(SOURCE).coming.is_none());
}

#[test]
fn a_status_is_told_again_from_its_journal() {
    let lifecycle = lifecycle(SOURCE);
    let log =
        in_order((0..20).map(|at| event(f64::from(at), "login", json!({}))).chain(log()).collect());
    let mut replay = Replay::new(&lifecycle, &log);
    let mut journal = Vec::new();
    for at in 1..40 {
        replay.until(day(f64::from(at)));
        journal.extend(replay.night(day(f64::from(at))).into_iter().map(|one| one.entry));
        let mut newest_first = journal.clone();
        newest_first.reverse();
        let told = status_at(&newest_first);
        let status = &replay.customer.status;
        assert_eq!((&told.stage, &told.entered), (&status.stage, &status.entered));
        assert_eq!(told.previous_stage, status.previous_stage);
    }
    assert!(journal.len() >= 2, "{journal:?}");
}

/// Overlays, checkpoints, handoffs and cool-downs.
const WHOLE: &str = "version: 1
traits: { plan: [trial, team], mrr: number? }
metrics: { logins_7d: { count: login, over: 7d } }
segments: { big: traits.mrr > 5 }
stages:
  onboarding:
    enter: { when: traits.plan == \"team\", priority: 10 }
    checkpoints: { first: { when: metrics.logins_7d > 0 }, busy: { when: metrics.logins_7d > 3 } }
    handoff: { to: success, ack_within: 2d }
    cool_down: 9d
  adopting: { enter: { when: metrics.logins_7d >= 3, priority: 20 } }
overlays:
  - { for: segment.big, stages: { adopting: { enter: { when: metrics.logins_7d >= 6 } } } }
";

fn kim() -> Author {
    Author { name: "kim".to_owned(), reason: Some("we spoke".to_owned()) }
}

#[test]
fn criteria_are_those_that_hold_for_the_customer() {
    let lifecycle = lifecycle(WHOLE);
    let log = log();
    let customer =
        Customer { profile: profile(&lifecycle, &log, day(28.0)), ..Customer::default() };
    let told = explain(&in_stage(customer, "onboarding", 1.0), &lifecycle, &[], &log, day(28.0));
    assert_eq!(other(&told, "adopting").judged.condition, "metrics.logins_7d >= 6");
    let logins = told.what_if.iter().find(|one| one.input == "metrics.logins_7d").unwrap();
    assert_eq!((logins.to.clone(), logins.stage.as_str()), (json!(6), "adopting"));
    let mrr = told.what_if.iter().find(|one| one.input == "traits.mrr");
    assert!(mrr.is_none(), "two logins are too few either way");
    assert!(told.inputs.iter().any(|input| input.name == "segment.big"));
    assert_eq!(told.decided.len(), 1, "{:?}", told.decided);
    assert_eq!(told.decided[0].rule, "stages.onboarding.checkpoints.first");
}

#[test]
fn a_customer_that_a_person_holds_is_not_where_automation_would_have_it() {
    let lifecycle = lifecycle(WHOLE);
    let log =
        in_order((1..8).map(|at| event(f64::from(at), "login", json!({}))).chain(log()).collect());
    let customer = Customer { profile: profile(&lifecycle, &log, day(7.5)), ..Customer::default() };
    let mut customer = in_stage(customer, "onboarding", 1.0);
    let facts = Facts::new(&customer, &lifecycle, day(7.5));
    for change in by_hand::move_to(&facts, "onboarding", kim(), Some(day(20.0))).unwrap() {
        customer.status.apply(&change, day(7.5), &lifecycle);
    }
    let told = explain(&customer, &lifecycle, &[], &log, day(8.0));
    let adopting = other(&told, "adopting");
    assert_eq!(adopting.refusal, Some(Refusal::Held));
    assert_eq!(
        adopting.why_not.as_deref(),
        Some("it holds, but kim keeps the customer in `onboarding` until 2026-03-22T00:00:00Z")
    );
}

#[test]
fn a_status_with_what_people_decided_is_told_again_from_its_journal() {
    let lifecycle = lifecycle(WHOLE);
    let log = in_order(
        (0..40).map(|at| event(f64::from(at) / 3.0, "login", json!({}))).chain(log()).collect(),
    );
    let mut replay = Replay::new(&lifecycle, &log);
    let mut journal = Vec::new();
    let mut kinds = std::collections::BTreeSet::new();
    for at in 1..60 {
        let now = day(f64::from(at));
        replay.until(now);
        journal.extend(replay.night(now).into_iter().map(|one| one.entry));
        let facts = Facts::new(&replay.customer, &lifecycle, now);
        let by_hand = match at {
            3 => by_hand::move_to(&facts, "onboarding", kim(), None),
            5 => by_hand::acknowledge(&facts, kim()).map(|change| vec![change]),
            20 => by_hand::release(&facts, kim()).map(|change| vec![change]),
            30 => by_hand::move_to(&facts, "adopting", kim(), Some(day(33.0))),
            _ => Ok(Vec::new()),
        };
        for change in by_hand.unwrap() {
            journal.push(replay.customer.status.apply(&change, now, &lifecycle));
        }
        kinds.extend(journal.iter().map(|entry| entry.kind.as_str()));
        let newest_first: Vec<JournalEntry> = journal.iter().rev().cloned().collect();
        let told = status_at(&newest_first);
        let status = &replay.customer.status;
        assert_eq!((&told.stage, &told.entered), (&status.stage, &status.entered));
        assert_eq!((&told.left, &told.reached), (&status.left, &status.reached), "day {at}");
        assert_eq!((&told.handoff, &told.hold), (&status.handoff, &status.hold), "day {at}");
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["checkpoint", "handoff", "release", "stage"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_change_that_is_told_moves_the_customer(
        logins in 0u32..6, used in 0u32..20, mrr in 1u32..20, plan in any::<bool>(),
    ) {
        let lifecycle = lifecycle(SOURCE);
        let plan = if plan { "team" } else { "trial" };
        let mut log = vec![event(0.0, "group", json!({ "plan": plan, "mrr": mrr })),
            event(20.0, "seats", json!({ "used": used }))];
        log.extend((0..logins).map(|at| event(22.0 + f64::from(at), "login", json!({}))));
        let log = in_order(log);
        let customer = Customer { profile: profile(&lifecycle, &log, day(28.0)), ..Customer::default() };
        let customer = in_stage(customer, "onboarding", 1.0);
        let told = explain(&customer, &lifecycle, &[], &log, day(28.0));
        let goes = told.decided.first().and_then(|change| change.to.clone());
        for what in &told.what_if {
            prop_assert_ne!(Some(&what.stage), goes.as_ref());
            prop_assert_ne!(&what.stage, "onboarding");
            prop_assert_ne!(&what.from, &what.to);
        }
    }
}

/// Standards of a customer who was last heard of on day 26, told on day 28.
const STANDARDS: &str = "
standards:
  plan_known: { required: [traits.name], severity: low, owner: ops }
  named: { required: [traits.vip], severity: high, owner: csm }
  heard: { silence: { events: [login, call], limit: 5d }, grace: 1d, severity: medium, owner: csm }
  used: { holds: metrics.logins_7d >= 1, for: 2d, severity: medium, owner: csm }
  seated: { holds: metrics.seat_use > 0.9, only_if: segment.paying, severity: low, owner: csm }
  called: { deadline: { stage: special, event: call, within: 3d }, severity: low, owner: csm }
  noticed: { holds: traits.notice > today, severity: low, owner: ops }
";

#[test]
fn each_standard_says_what_would_close_it_and_when_it_would_be_broken() {
    let told = told(&format!("{SOURCE}{STANDARDS}"));
    let of = |name: &str| told.standards.iter().find(|one| one.standard == name).unwrap();
    let names: Vec<&str> = told.standards.iter().map(|one| one.standard.as_str()).collect();
    assert_eq!(names, ["plan_known", "named", "heard", "used", "seated", "called", "noticed"]);
    assert_eq!((of("plan_known").standing, of("plan_known").breaks_at), (Standing::Kept, None));
    let named = of("named");
    assert_eq!(named.standing, Standing::Broken, "no run has been there yet");
    assert_eq!(named.closed_by.as_deref(), Some("`traits.vip` becoming known"));
    assert_eq!(named.reasons[0].expression, "missing: traits.vip");
    let second = |at: f64| Some(day(at) + SignedDuration::from_secs(1));
    assert_eq!((of("heard").standing, of("heard").breaks_at), (Standing::Kept, second(32.0)));
    assert_eq!(of("used").breaks_at, second(35.0), "seven days after the last, and two more");
    let seated = of("seated");
    assert_eq!(seated.standing, Standing::Broken);
    let closed_by = "`metrics.seat_use > 0.9` holding, or `segment.paying` no longer holding";
    assert_eq!(seated.closed_by.as_deref(), Some(closed_by));
    assert_eq!(of("called").standing, Standing::NotApplicable);
    let noticed = of("noticed");
    assert_eq!((noticed.standing, noticed.reasons.len()), (Standing::CannotTell, 1));
    assert_eq!(noticed.reasons[0].value, Json::Null);
}

#[test]
fn an_open_finding_says_who_would_close_it_whatever_became_of_its_standard() {
    let lifecycle = lifecycle(&format!("{SOURCE}{STANDARDS}"));
    let log = log();
    let customer =
        Customer { profile: profile(&lifecycle, &log, day(28.0)), ..Customer::default() };
    let mut customer = in_stage(customer, "onboarding", 1.0);
    for standard in ["plan_known", "named", "gone", "noticed"] {
        customer.status.findings.push(OpenFinding {
            standard: standard.to_owned(),
            key: "required".to_owned(),
            opened_at: day(2.0),
        });
    }
    let told = explain(&customer, &lifecycle, &[], &log, day(28.0)).standards;
    let of = |name: &str| {
        let one = told.iter().find(|one| one.standard == name).unwrap();
        assert_eq!((one.standing, one.since), (Standing::Open, Some(day(2.0))), "{name}");
        one.closed_by.clone().unwrap()
    };
    assert_eq!(of("plan_known"), "the next run, for it is mended");
    assert_eq!(of("named"), "`traits.vip` becoming known");
    assert_eq!(of("gone"), "the next run, for the standard is no longer declared");
    assert_eq!(of("noticed"), "nothing before it can be told again");
    assert_eq!(told.len(), 8, "each once");
}
