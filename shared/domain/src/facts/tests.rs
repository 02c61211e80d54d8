//! What windows, days and missing values mean.

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::tests_support::{customer, day, lifecycle};

const YAML: &str = "
version: 1
workspace: { timezone: America/New_York }
traits: { renewal: date?, seats: number?, vip: yes_no? }
metrics:
  logins_7d: { count: login, over: 7d }
  days_7d: { days_with: login, over: 7d }
  users_7d: { distinct: user, over: 7d }
  idle: { days_since: login }
  nps: { latest: survey.score, where: event.kind == \"nps\", stale_after: 10d }
  trend: { change: login, over: 7d }
  tickets: { count: opened, minus: closed }
  share: metrics.users_7d / traits.seats
stages: { any: { enter: { when: metrics.logins_7d >= 0, for: 20d } } }
";

fn metric(events: &[(f64, &str, serde_json::Value)], name: &str, at: f64) -> Option<f64> {
    let lifecycle = lifecycle(YAML);
    let customer = customer(&lifecycle, events, 40.0);
    let index = lifecycle.metrics.iter().position(|metric| metric.name == name).unwrap();
    Facts::new(&customer, &lifecycle, day(at)).metric(index)
}

#[test]
fn a_window_is_open_at_its_start_and_closed_at_its_end() {
    let login = [(30.0, "login", json!({}))];
    for (at, want) in [(29.99999, 0.0), (30.0, 1.0), (36.99999, 1.0), (37.0, 0.0)] {
        for name in ["logins_7d", "days_7d", "users_7d"] {
            assert_eq!(metric(&login, name, at), Some(want), "{name} at {at}");
        }
    }
}

#[test]
fn days_are_those_of_the_workspace() {
    // 23:00 and 01:00 in New York are two days; 04:00 and 06:00 in UTC are one.
    let hour = 1.0 / 24.0;
    let logins = [(30.0 + 3.0 * hour, "login", json!({})), (30.0 + 5.0 * hour, "login", json!({}))];
    assert_eq!(metric(&logins, "days_7d", 31.0), Some(2.0));
    let logins = [(30.0 + 5.0 * hour, "login", json!({})), (31.0 + 3.0 * hour, "login", json!({}))];
    assert_eq!(metric(&logins, "days_7d", 32.0), Some(1.0), "one day there, two in UTC");
}

#[test]
fn idle_days_are_whole_days_of_24_hours_and_missing_without_an_event() {
    let login = [(30.5, "login", json!({}))];
    for (at, want) in [(30.4, None), (30.5, Some(0.0)), (31.49, Some(0.0)), (31.5, Some(1.0))] {
        assert_eq!(metric(&login, "idle", at), want, "{at}");
    }
}

#[test]
fn a_newest_value_lasts_until_it_is_stale_and_is_known_as_of_earlier() {
    let surveys = [
        (20.0, "survey", json!({ "kind": "nps", "score": 9 })),
        (25.0, "survey", json!({ "kind": "csat", "score": 1 })),
        (28.0, "survey", json!({ "kind": "nps", "score": "4" })),
    ];
    for (at, want) in [
        (19.9, None),
        (20.0, Some(9.0)),
        (27.9, Some(9.0)),
        (28.0, Some(4.0)),
        (38.0, Some(4.0)),
        (38.001, None),
    ] {
        assert_eq!(metric(&surveys, "nps", at), want, "{at}");
    }
}

#[test]
fn a_change_needs_something_to_compare_with() {
    let login = |at| (at, "login", json!({}));
    assert_eq!(metric(&[login(30.0)], "trend", 31.0), None);
    assert_eq!(metric(&[login(25.0), login(30.0)], "trend", 33.0), Some(0.0));
    assert_eq!(metric(&[login(25.0), login(25.2), login(30.0)], "trend", 33.0), Some(-50.0));
}

#[test]
fn a_formula_over_something_missing_is_missing() {
    let login = (30.0, "login", json!({}));
    assert_eq!(metric(std::slice::from_ref(&login), "share", 31.0), None);
    let seats = |seats| [login.clone(), (1.0, "group", json!({ "seats": seats }))];
    assert_eq!(metric(&seats(json!(4)), "share", 31.0), Some(0.25));
    assert_eq!(metric(&seats(json!("4")), "share", 31.0), Some(0.25));
    assert_eq!(metric(&seats(json!(0)), "share", 31.0), None);
    assert_eq!(metric(&seats(json!("many")), "share", 31.0), None);
}

#[test]
fn a_balance_counts_all_of_history() {
    let opened = |at| (at, "opened", json!({}));
    let events = [opened(-300.0), opened(-299.0), opened(2.0), (3.0, "closed", json!({}))];
    assert_eq!(metric(&events, "tickets", 40.0), Some(2.0));
}

#[test]
fn a_date_that_came_with_a_time_is_a_date_of_the_workspace() {
    let lifecycle = lifecycle(YAML);
    for (text, want) in [
        ("2026-12-25", Some("2026-12-25")),
        ("2026-12-25T02:00:00Z", Some("2026-12-24")),
        ("2026-12-25T12:00:00", Some("2026-12-25")),
        ("soon", None),
        ("é2026-12-2", None),
    ] {
        let customer = customer(&lifecycle, &[(1.0, "group", json!({ "renewal": text }))], 2.0);
        let facts = Facts::new(&customer, &lifecycle, day(2.0));
        let want = want.map_or(Value::Missing, |date| Value::Date(date.parse().unwrap()));
        assert_eq!(facts.trait_value(0), want, "{text}");
    }
}

#[test]
fn nothing_is_known_before_the_first_event() {
    let lifecycle = lifecycle(YAML);
    let customer = customer(&lifecycle, &[(5.0, "opened", json!({}))], 6.0);
    let when = &lifecycle.stages[0].enter.as_ref().unwrap().when;
    let then = Facts::new(&customer, &lifecycle, day(5.0) - SignedDuration::from_secs(1));
    assert_eq!(then.answer(when), Truth::Unknown);
    assert_eq!(then.at(day(5.0)).answer(when), Truth::Yes);
}

#[test]
fn a_metric_that_rolls_up_counts_what_the_accounts_below_count() {
    let file = |roll_up: bool| {
        let rolls = format!("roll_up: {roll_up}");
        lifecycle(&format!(
            "version: 1
traits: {{ parent: account? }}
metrics:
  logins: {{ count: login, over: 7d, {rolls} }}
  net: {{ count: login, minus: ticket, {rolls} }}
  days: {{ days_with: login, over: 7d, {rolls} }}
  users: {{ distinct: user, over: 7d, {rolls} }}
  seats: {{ latest: seats.used, stale_after: 10d, {rolls} }}
  idle: {{ days_since: login, {rolls} }}
  trend: {{ change: login, over: 7d, {rolls} }}
  twice: metrics.logins * 2
stages: {{ any: {{ enter: {{ when: metrics.logins > 0 }} }} }}
"
        ))
    };
    let (alone, whole) = (file(false), file(true));
    assert_ne!(
        alone.measures.fingerprint, whole.measures.fingerprint,
        "who is above is noted anew"
    );
    let login = |at: f64, user: &str| (at, "login", json!({ "user": user }));
    let seats = |at: f64, used: u32| (at, "seats", json!({ "used": used }));
    let own = [login(30.0, "ada"), login(35.0, "ada"), seats(36.0, 4)];
    let one =
        [login(35.5, "ada"), login(38.25, "bob"), seats(37.0, 5), (38.0, "ticket", json!({}))];
    let other = [login(20.0, "cleo"), login(36.0, "cleo"), seats(20.0, 100)];
    let told = |file: &Lifecycle| {
        let mut known = customer(file, &own, 40.0);
        known.below = [&one[..], &other].map(|log| customer(file, log, 40.0).profile).to_vec();
        let facts = Facts::new(&known, file, day(40.0));
        (0..file.metrics.len()).map(|index| facts.metric(index)).collect::<Vec<_>>()
    };
    assert_eq!(told(&alone), [1.0, 2.0, 1.0, 1.0, 4.0, 5.0, 0.0, 2.0].map(Some));
    // Logins of the last seven days: 35, 35.5, 36 and 38.25; of the seven before: 30.
    assert_eq!(told(&whole), [4.0, 5.0, 3.0, 3.0, 9.0, 1.0, 300.0, 8.0].map(Some));
}

#[test]
fn a_condition_holds_since_what_was_below_made_it_hold() {
    let file = lifecycle(
        "version: 1
traits: { parent: account? }
metrics: { logins: { count: login, over: 7d, roll_up: true } }
stages: { any: { enter: { when: metrics.logins >= 2, for: 2d } } }
",
    );
    let mut known = customer(&file, &[(30.0, "login", json!({}))], 40.0);
    let when = &file.stages[0].enter.as_ref().unwrap().when;
    let since = |known: &Customer| {
        let facts = Facts::new(known, &file, day(35.0));
        crate::timeline::held_since(&facts, when, SignedDuration::from_hours(24 * 20))
    };
    assert_eq!(since(&known), None);
    known.below = vec![customer(&file, &[(32.5, "login", json!({}))], 40.0).profile];
    assert_eq!(since(&known), Some(day(32.5)));
}
