//! What a score may do when something is missing.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::tests_support::{customer, day, lifecycle};

const YAML: &str = "
version: 1
traits: { a: number?, b: number?, c: number? }
stages: { any: { enter: { when: has(traits.a) } } }
health:
  factors:
    first: { weight: 40, value: traits.a, worst: 0, best: 10 }
    second: { weight: 35, value: traits.b, worst: 20, best: 0 }
    third: { weight: 25, value: traits.c, worst: -5, best: 5 }
  bands: { red: 0, yellow: 51, green: 76 }
risk:
  model: scorecard
  bands: { low: 0, elevated: 0.25, high: 0.5, critical: 0.75 }
";

fn told(traits: [Option<f64>; 3], yaml: &str) -> (Option<Health>, Option<Risk>) {
    let lifecycle = lifecycle(yaml);
    let told: serde_json::Map<String, Json> = ["a", "b", "c"]
        .into_iter()
        .zip(traits)
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
        .collect();
    let customer = customer(&lifecycle, &[(1.0, "group", told.into())], 2.0);
    let facts = Facts::new(&customer, &lifecycle, day(2.0));
    (health(&facts), risk(&facts))
}

#[test]
fn a_factor_earns_between_its_worst_and_its_best() {
    for (traits, want) in [
        ([Some(10.0), Some(0.0), Some(5.0)], 100.0),
        ([Some(99.0), Some(-9.0), Some(50.0)], 100.0),
        ([Some(0.0), Some(20.0), Some(-5.0)], 0.0),
        ([Some(5.0), Some(10.0), Some(0.0)], 50.0),
        ([Some(10.0), None, None], 40.0),
    ] {
        assert_eq!(told(traits, YAML).0.unwrap().score, want, "{traits:?}");
    }
}

#[test]
fn a_good_band_needs_coverage() {
    let yaml = YAML.replace("yellow: 51, green: 76", "yellow: 20, green: 30");
    let health = told([Some(10.0), None, None], &yaml).0.unwrap();
    assert_eq!((health.band.as_str(), health.coverage), ("yellow", 0.4));
    let health = told([None, Some(0.0), Some(5.0)], &yaml).0.unwrap();
    assert_eq!((health.band.as_str(), health.coverage), ("green", 0.6));
    let two = YAML.replace("yellow: 51, green: 76", "good: 30");
    assert_eq!(told([Some(10.0), None, None], &two).0.unwrap().band, "red");
}

#[test]
fn risk_is_told_only_where_half_is_known() {
    assert_eq!(told([Some(0.0), None, None], YAML).1, None);
    let risk = told([Some(0.0), Some(20.0), None], YAML).1.unwrap();
    assert_eq!((risk.probability, risk.band.as_str(), risk.coverage), (1.0, "critical", 0.75));
    let (first, second) = (&risk.reasons[0], &risk.reasons[1]);
    assert!(first.expression.starts_with("first") && second.expression.starts_with("second"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_score_never_rises_when_a_factor_goes_missing(
        a in -5.0..15.0f64, b in -5.0..25.0f64, c in -9.0..9.0f64, missing in 0usize..3,
    ) {
        let mut traits = [Some(a), Some(b), Some(c)];
        let all = told(traits, YAML).0.unwrap();
        traits[missing] = None;
        let fewer = told(traits, YAML).0.unwrap();
        prop_assert!(fewer.score <= all.score);
        prop_assert!(fewer.coverage < all.coverage);
        let rank = |health: &Health| ["red", "yellow", "green"].iter().position(|band| *band == health.band);
        prop_assert!(rank(&fewer) <= rank(&all));
        prop_assert!((0.0..=100.0).contains(&all.score));
    }

    #[test]
    fn a_probability_lies_between_0_and_1(a in -5.0..15.0f64, b in -5.0..25.0f64) {
        let risk = told([Some(a), Some(b), None], YAML).1.unwrap();
        prop_assert!((0.0..=1.0).contains(&risk.probability));
        let shares: f64 = risk.reasons.iter().filter_map(|reason| reason.value.as_f64()).sum();
        prop_assert!((shares - risk.probability).abs() < 1e-9);
    }
}
