//! What is told of customers without labels.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::customer::{Customer, RiskState};
use crate::decide::reassess;
use crate::explain::status_at;
use crate::lifecycle::Lifecycle;
use crate::tests_support::{customer, day, events, lifecycle, profile};

const YAML: &str = "
version: 1
subject: user
workspace: { timezone: Europe/Berlin }
stages: { any: { enter: { when: risk.band == \"high\" } } }
risk:
  model: alive
  event: order
  horizon: 90d
  bands: { low: 0, high: 0.5 }
";

/// The rhythm of the CDNOW customers, by days.
const CDNOW: BgNbd = BgNbd { r: 0.243, alpha: 4.414 * 7.0, a: 0.793, b: 2.426 };

fn fitted() -> Lifecycle {
    let mut lifecycle = lifecycle(YAML);
    let (_, recipe) = lifecycle.to_fit().unwrap();
    let rhythm = Rhythm { params: CDNOW, log_likelihood: 0.0 };
    let fitted = Fitted { recipe, fitted_at: day(0.0), customers: 2_357, rhythm, knowledge: None };
    lifecycle.go_by(Some(Arc::new(fitted)));
    lifecycle
}

fn model(lifecycle: &Lifecycle) -> &Alive {
    match &lifecycle.risk {
        Some(crate::lifecycle::RiskModel::Alive(alive)) => alive,
        _ => panic!("the file goes by `alive`"),
    }
}

/// A customer with orders on these days, seen on another.
fn orders(lifecycle: &Lifecycle, days: &[f64], now: f64) -> Customer {
    let list: Vec<_> = days.iter().map(|day| (*day, "order", json!({ "n": day }))).collect();
    customer(lifecycle, &list, now)
}

#[track_caller]
fn check(days: &[f64], now: f64, [frequency, recency, age]: [f64; 3]) {
    let lifecycle = fitted();
    let customer = orders(&lifecycle, days, now);
    let facts = Facts::new(&customer, &lifecycle, day(now));
    let measure = model(&lifecycle).measure;
    assert_eq!(history(&facts, measure), Some(History { frequency, recency, age }));
}

#[test]
fn a_day_counts_once_by_the_calendar_of_the_workspace() {
    check(&[0.0], 0.0, [0.0, 0.0, 0.0]);
    check(&[0.1, 0.2, 0.3], 10.0, [0.0, 0.0, 10.0]);
    // 23:30 and 00:30 in Berlin, an hour apart.
    check(&[10.0 + 22.5 / 24.0, 10.0 + 23.5 / 24.0], 20.0, [1.0, 1.0, 10.0]);
    check(&[0.5, 7.5, 7.6, 30.5], 40.0, [2.0, 30.0, 40.0]);
}

#[test]
fn days_far_back_are_told_from_their_months() {
    // Of a month the last day with an event is known.
    check(&[-900.0, -899.0, -800.0, 0.0], 40.0, [3.0, 899.0, 939.0]);
}

#[test]
fn what_comes_later_is_not_known_before() {
    let lifecycle = fitted();
    let customer = orders(&lifecycle, &[0.0, 10.0, 60.0], 70.0);
    let measure = model(&lifecycle).measure;
    let before = history(&Facts::new(&customer, &lifecycle, day(30.0)), measure);
    assert_eq!(before, Some(History { frequency: 1.0, recency: 10.0, age: 30.0 }));
    assert_eq!(history(&Facts::new(&customer, &lifecycle, day(-1.0)), measure), None);
}

#[test]
fn who_came_once_is_alive_and_at_risk_all_the_same() {
    let lifecycle = fitted();
    let customer = orders(&lifecycle, &[0.0], 40.0);
    let risk = risk(&Facts::new(&customer, &lifecycle, day(40.0)), model(&lifecycle)).unwrap();
    assert!(risk.probability > 0.6, "{risk:?}");
    assert_eq!(risk.band, "high");
    let sentences: Vec<&str> = risk.reasons.iter().map(|one| one.expression.as_str()).collect();
    assert_eq!(
        sentences,
        [
            "no order within 90 days with a probability of 82 %",
            "had order once, 40 days ago, and not again",
            "0.265 days with order to be expected within 90 days",
        ]
    );
}

#[test]
fn reasons_tell_the_rhythm_and_the_silence() {
    let lifecycle = fitted();
    let days: Vec<f64> = (0..8).map(|n| f64::from(n) * 10.0).collect();
    let customer = orders(&lifecycle, &days, 101.0);
    let risk = risk(&Facts::new(&customer, &lifecycle, day(101.0)), model(&lifecycle)).unwrap();
    let sentences: Vec<&str> = risk.reasons.iter().map(|one| one.expression.as_str()).collect();
    assert_eq!(
        sentences,
        [
            "no order within 90 days with a probability of 41 %",
            "usually has order every 10 days, silent for 31 days",
            "not gone for good with a probability of 60 %; 2.49 days with order to be expected within 90 days",
        ]
    );
    assert_eq!(risk.reasons[0].inputs[PROBABILITY].as_f64(), Some(risk.probability));
}

#[test]
fn without_a_fit_of_this_recipe_nothing_is_told() {
    let mut other = fitted();
    let known = other.fitted().cloned();
    other.go_by(None);
    let customer = orders(&other, &[0.0, 5.0], 10.0);
    assert!(reassess(&customer, &other, day(10.0)).is_none());
    let mut visits = lifecycle(&YAML.replace("event: order", "event: visit"));
    visits.go_by(known);
    assert!(visits.fitted().is_none());
}

#[test]
fn a_band_changes_with_a_margin_and_the_journal_tells_the_probability() {
    let lifecycle = fitted();
    let mut customer = orders(&lifecycle, &[0.0, 10.0, 20.0], 20.0);
    let (note, change) = reassess(&customer, &lifecycle, day(21.0)).unwrap();
    assert_eq!(note.state.band, "low");
    customer.status.note_risk(note);
    let mut entries = vec![customer.status.apply(&change.unwrap(), day(21.0), &lifecycle)];
    let mut at = 21.0;
    let probability = |customer: &Customer, at| {
        risk(&Facts::new(customer, &lifecycle, day(at)), model(&lifecycle)).unwrap()
    };
    while probability(&customer, at).probability < 0.5 {
        at += 0.25;
    }
    // Just beyond the border it is still in the band where it was.
    assert_eq!(probability(&customer, at).band, "low");
    let (note, change) = reassess(&customer, &lifecycle, day(at + 20.0)).unwrap();
    let change = change.unwrap();
    assert_eq!((change.from.as_deref(), change.to.as_deref()), (Some("low"), Some("high")));
    let risk = note.state.clone();
    customer.status.note_risk(note);
    entries.insert(0, customer.status.apply(&change, day(at + 20.0), &lifecycle));
    let RiskState { probability, band, .. } = status_at(&entries).risk.unwrap();
    assert_eq!((probability, band), (risk.probability, risk.band));
}

#[test]
fn too_few_that_came_twice_teach_nothing() {
    let twice = History { frequency: 1.0, recency: 5.0, age: 40.0 };
    let once = History { frequency: 0.0, recency: 0.0, age: 40.0 };
    let mut histories = vec![once; 200];
    histories.extend(vec![twice; 9]);
    assert!(fit("alive order".to_owned(), &histories, day(0.0)).is_none());
    histories.push(History { age: 90.0, ..twice });
    let fitted = fit("alive order".to_owned(), &histories, day(0.0)).unwrap();
    assert_eq!(fitted.customers, 210);
    assert_eq!(Fitted::from_json(&fitted.to_json()).unwrap(), fitted);
    assert!(Fitted::is_due(None, "alive order", day(0.0)));
    assert!(!Fitted::is_due(Some(&fitted), "alive order", day(27.0)));
    assert!(Fitted::is_due(Some(&fitted), "alive order", day(28.0)));
    assert!(Fitted::is_due(Some(&fitted), "alive visit", day(1.0)));
    // A run as of the past does not go by what was learnt later.
    assert!(Fitted::is_due(Some(&fitted), "alive order", day(-1.0)));
}

proptest! {
    /// Silence never lowers the risk, and whatever the order of the events, the history is the same.
    #[test]
    fn risk_rises_with_silence(gaps in prop::collection::vec(1u32..60, 1..12), silent in 0u32..300) {
        let lifecycle = fitted();
        let mut at = 0.0;
        let days: Vec<f64> = gaps.iter().map(|gap| { at += f64::from(*gap); at }).collect();
        let customer = orders(&lifecycle, &days, at);
        let told = |silent: u32| {
            let now = day(at + f64::from(silent));
            risk(&Facts::new(&customer, &lifecycle, now), model(&lifecycle)).unwrap()
        };
        let (now, later) = (told(silent), told(silent + 7));
        prop_assert!((0.0..=1.0).contains(&now.probability));
        prop_assert!(later.probability >= now.probability - 1e-12);
        let mut list: Vec<_> = days.iter().map(|day| (*day, "order", json!({ "n": day }))).collect();
        list.reverse();
        prop_assert_eq!(profile(&lifecycle, &events(&list), day(at)), customer.profile);
    }
}
