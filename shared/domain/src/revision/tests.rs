//! The rules of revisions.

use std::sync::Arc;

use proptest::prelude::*;
use risk::btyd::BgNbd;
use serde_json::json;

use super::*;
use crate::alive::Rhythm;
use crate::fitted::Fitted;
use crate::hierarchy::Family;
use crate::replay::in_order;
use crate::tests_support::{day, event, lifecycle};

const SOURCE: &str = "version: 1
metrics:
  idle_days: { days_since: login }
  logins_7d: { count: login, over: 7d }
stages:
  active: { enter: { when: metrics.idle_days <= 7, priority: 10 } }
  quiet: { enter: { when: metrics.idle_days > 7, priority: 20 } }
risk:
  model: scorecard
  factors: { idle: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 } }
  bands: { low: 0, high: 0.5 }
";

/// Lives through nights 1 to `last`: each knows of an event what had come by then.
fn live(lifecycle: &Lifecycle, came: &[(Event, f64)], last: u32) -> (Customer, Vec<JournalEntry>) {
    let (mut status, mut journal) = (Status::default(), Vec::new());
    for night in 1..=last {
        let at = day(f64::from(night));
        let known = came.iter().filter(|(_, received)| day(*received) <= at);
        let log = in_order(known.map(|(event, _)| event.clone()).collect());
        let mut replay = Replay::new(lifecycle, &log).with_status(status);
        replay.until(at);
        journal.splice(0..0, replay.night(at).into_iter().map(|one| one.entry).rev());
        status = replay.customer.status;
    }
    (Customer { status, ..Customer::default() }, journal)
}

/// Nobody is below it.
fn alone() -> Below {
    Below::default()
}

fn all(came: &[(Event, f64)]) -> Vec<Event> {
    in_order(came.iter().map(|(event, _)| event.clone()).collect())
}

#[test]
fn a_decision_that_late_events_would_have_prevented_is_revised_and_stays() {
    let lifecycle = lifecycle(SOURCE);
    // The login of day 5 is told on day 11; by then the account was taken for quiet.
    let came =
        [(event(0.0, "login", json!({})), 0.0), (event(5.0, "login", json!({ "n": 2 })), 11.0)];
    let (customer, journal) = live(&lifecycle, &came, 12);
    let since = late_from(&customer.status, [day(5.0)]).unwrap();
    assert_eq!(since, day(5.0));
    let revised = revisions(&lifecycle, &journal, &all(&came), &alone(), since);
    let stage: Vec<_> = revised.iter().filter(|one| one.rule.starts_with("stages")).collect();
    assert_eq!(stage.len(), 1, "{revised:#?}");
    assert_eq!((stage[0].from.as_deref(), stage[0].to.as_deref()), (Some("quiet"), Some("active")));
    let quiet = journal.iter().find(|entry| entry.to.as_deref() == Some("quiet")).unwrap();
    assert_eq!(stage[0].reasons[0].inputs["entry"], quiet.seq);

    // Making it true changes nothing but the journal, and says it once.
    let mut after = customer.status.clone();
    let entry = after.apply(stage[0], day(12.0), &lifecycle);
    assert_eq!((entry.kind, entry.from.as_deref()), (ChangeKind::Revision, Some("quiet")));
    assert_eq!(
        (&after.stage, &after.findings),
        (&customer.status.stage, &customer.status.findings)
    );
    let mut journal = journal;
    journal.insert(0, entry);
    let again = revisions(&lifecycle, &journal, &all(&came), &alone(), since);
    assert!(again.iter().all(|one| !one.rule.starts_with("stages")), "{again:?}");
}

#[test]
fn only_what_is_older_than_a_decision_is_late() {
    let lifecycle = lifecycle(SOURCE);
    let came = [(event(0.0, "login", json!({})), 0.0)];
    let (customer, _) = live(&lifecycle, &came, 3);
    assert_eq!(last_decided(&customer.status), Some(day(1.0)));
    assert_eq!(late_from(&customer.status, [day(1.0), day(4.0)]), None);
    assert_eq!(late_from(&customer.status, [day(4.0), day(0.5), day(0.25)]), Some(day(0.25)));
    assert_eq!(late_from(&Status::default(), [day(0.5)]), None, "nothing was decided yet");
}

#[test]
fn what_was_below_an_account_is_what_is_known_of_it_now() {
    let source = SOURCE
        .replace("version: 1\n", "version: 1\ntraits: { parent: account? }\n")
        .replace("days_since: login", "days_since: login, roll_up: true")
        .replace("count: login, over: 7d", "count: login, over: 7d, roll_up: true");
    let lifecycle = lifecycle(&source);
    let came = [(event(0.0, "login", json!({})), 0.0)];
    let (_, journal) = live(&lifecycle, &came, 12);
    assert_eq!(journal.iter().filter(|one| one.to.as_deref() == Some("quiet")).count(), 1);
    let at = instants(&lifecycle, &journal, day(0.0));
    assert_eq!(at.len(), journal.len());
    let mut family = Family::new(&lifecycle, &at);
    // The account below it logged in on day 5, and nobody knew of that.
    let child = [event(1.0, "group", json!({ "parent": "top" })), event(5.0, "login", json!({}))];
    family.add(&"child", &child, |_| "top");
    let below = family.below(&"top");
    let revised = revisions(&lifecycle, &journal, &all(&came), &below, day(0.0));
    let stage: Vec<_> = revised.iter().filter(|one| one.rule.starts_with("stages")).collect();
    assert_eq!(stage.len(), 1, "{revised:#?}");
    assert_eq!((stage[0].from.as_deref(), stage[0].to.as_deref()), (Some("quiet"), Some("active")));
}

#[test]
fn decisions_of_another_file_are_left_alone() {
    let first = lifecycle(SOURCE);
    let second = lifecycle(&SOURCE.replace("priority: 20", "priority: 30"));
    let came =
        [(event(0.0, "login", json!({})), 0.0), (event(5.0, "login", json!({ "n": 2 })), 11.0)];
    let (_, journal) = live(&first, &came, 12);
    assert_eq!(revisions(&second, &journal, &all(&came), &alone(), day(5.0)), []);
}

#[test]
fn risk_that_is_fitted_to_all_customers_is_not_judged_by_another_fit() {
    let going_by = |alpha: f64| {
        let mut lifecycle = lifecycle(
            "version: 1
metrics: { logins: { count: login } }
stages: { any: { enter: { when: metrics.logins > 0 } } }
risk: { model: alive, event: login, horizon: 30d, bands: { low: 0, high: 0.5 } }
",
        );
        let (_, recipe) = lifecycle.to_fit().unwrap();
        let params = BgNbd { r: 0.243, alpha, a: 0.793, b: 2.426 };
        let rhythm = Rhythm { params, log_likelihood: 0.0 };
        let fitted = Fitted { recipe, fitted_at: day(0.0), customers: 10, rhythm, knowledge: None };
        lifecycle.go_by(Some(Arc::new(fitted)));
        lifecycle
    };
    let came = [0.0, 2.0, 4.0, 6.0].map(|at| (event(at, "login", json!({ "n": at })), at));
    let (_, journal) = live(&going_by(3.0), &came, 60);
    assert!(journal.iter().filter(|entry| entry.kind == ChangeKind::Risk).count() > 1);
    assert_eq!(revisions(&going_by(300.0), &journal, &all(&came), &alone(), day(0.0)), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_came_in_time_is_never_revised(hours in proptest::collection::vec(0u32..40 * 24, 1..40)) {
        let lifecycle = lifecycle(SOURCE);
        let came: Vec<(Event, f64)> = hours
            .iter()
            .map(|hour| f64::from(*hour) / 24.0)
            .map(|at| (event(at, "login", json!({})), at))
            .collect();
        let (_, journal) = live(&lifecycle, &came, 45);
        prop_assert_eq!(revisions(&lifecycle, &journal, &all(&came), &alone(), day(0.0)), []);
    }
}
