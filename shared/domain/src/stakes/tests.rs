//! Bands by what acting costs, and what is at risk.

use proptest::prelude::*;
use serde_json::json;

use crate::customer::{Customer, RiskState};
use crate::facts::Facts;
use crate::score::{Risk, risk};
use crate::tests_support::{customer, day, lifecycle};

/// The risk is what the trait `p` says.
const YAML: &str = "
version: 1
traits: { p: number?, mrr: number? }
stages: { any: { enter: { when: has(traits.p) } } }
risk:
  model: scorecard
  value: traits.mrr * 12
  factors: { said: { weight: 100, value: traits.p, worst: 1, best: 0 } }
  bands: { by_cost: { acting_costs: 150, success_rate: 0.25 } }
";
const BANDS: [&str; 4] = ["low", "elevated", "high", "critical"];

fn told(yaml: &str, p: f64, mrr: Option<f64>, before: Option<&str>) -> Risk {
    let file = lifecycle(yaml);
    let traits = match mrr {
        Some(mrr) => json!({ "p": p, "mrr": mrr }),
        None => json!({ "p": p }),
    };
    let mut customer: Customer = customer(&file, &[(1.0, "group", traits)], 2.0);
    customer.status.risk = before.map(|band| RiskState {
        probability: 0.5,
        band: band.to_owned(),
        band_since: day(1.0),
        at: day(1.0),
    });
    risk(&Facts::new(&customer, &file, day(2.0))).unwrap()
}

#[test]
fn the_same_risk_is_worth_acting_upon_with_one_customer_and_not_with_another() {
    // 150 / (0.25 · 12 mrr): at 0.05 for an mrr of 1,000, at 0.5 for 100, never for 40.
    for (p, mrr, band) in [
        (0.04, 1_000.0, "low"),
        (0.06, 1_000.0, "elevated"),
        (0.15, 1_000.0, "high"),
        (0.30, 1_000.0, "critical"),
        (0.30, 100.0, "low"),
        (0.60, 100.0, "elevated"),
        (0.99, 100.0, "elevated"),
        (0.99, 40.0, "low"),
        (0.99, 0.0, "low"),
        (0.99, -5.0, "low"),
    ] {
        assert_eq!(told(YAML, p, Some(mrr), None).band, band, "{p} {mrr}");
    }
}

#[test]
fn the_reason_tells_what_is_at_risk_and_from_where_acting_pays() {
    let risk = told(YAML, 0.31, Some(1_000.0), None);
    assert!((risk.revenue_at_risk.unwrap() - 3_720.0).abs() < 1e-6);
    let reason = risk.reasons.last().unwrap();
    assert_eq!(
        reason.expression,
        "3720 of 12000 at risk; acting pays from a probability of 5 % on (it costs 150 and keeps 25 % of \
         those who leave)"
    );
    assert_eq!(reason.inputs["acting_pays_from"], json!(0.05));
    // What adds up to the probability still does.
    let shares: f64 = risk.reasons.iter().filter_map(|reason| reason.value.as_f64()).sum();
    assert!((shares - risk.probability).abs() < 1e-9);
    let never = told(YAML, 0.5, Some(10.0), None).reasons.pop().unwrap();
    assert!(never.expression.contains("acting never pays"), "{}", never.expression);
}

#[test]
fn without_a_value_the_band_goes_by_the_probability_alone() {
    let risk = told(YAML, 0.6, None, None);
    assert_eq!((risk.band.as_str(), risk.revenue_at_risk), ("high", None));
    assert!(risk.reasons.last().unwrap().expression.starts_with("the value is not known"));
}

#[test]
fn a_value_alone_tells_what_is_at_risk_and_leaves_the_bands() {
    let yaml =
        YAML.replace("by_cost: { acting_costs: 150, success_rate: 0.25 }", "calm: 0, hot: 0.5");
    let risk = told(&yaml, 0.6, Some(10.0), None);
    assert_eq!((risk.band.as_str(), risk.reasons.len()), ("hot", 1));
    assert!((risk.revenue_at_risk.unwrap() - 72.0).abs() < 1e-9);
    let none = YAML.replace("  value: traits.mrr * 12\n", "").replace(
        "bands: { by_cost: { acting_costs: 150, success_rate: 0.25 } }",
        "bands: { calm: 0, hot: 0.5 }",
    );
    assert_eq!(told(&none, 0.6, Some(10.0), None).revenue_at_risk, None);
}

#[test]
fn a_band_changes_only_beyond_its_border_whatever_it_goes_by() {
    let fixed = YAML.replace(
        "by_cost: { acting_costs: 150, success_rate: 0.25 }",
        "low: 0, elevated: 0.05, high: 0.1, critical: 0.2",
    );
    // The borders are the same ones: 0.05, 0.1 and 0.2.
    for yaml in [YAML, &fixed] {
        for (p, before, band) in [
            (0.0505, None, "elevated"),
            (0.0505, Some("low"), "low"),
            (0.06, Some("low"), "elevated"),
            (0.0495, Some("elevated"), "elevated"),
            (0.04, Some("elevated"), "low"),
            (0.205, Some("high"), "high"),
            (0.195, Some("critical"), "critical"),
            (0.5, Some("low"), "critical"),
        ] {
            assert_eq!(told(yaml, p, Some(1_000.0), before).band, band, "{p} after {before:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn acting_is_asked_for_exactly_where_it_saves_more_than_it_costs(p in 0.001..0.999f64, mrr in 0.0..2_000.0f64) {
        let saved = p * 0.25 * (mrr * 12.0);
        prop_assume!((saved - 150.0).abs() > 1e-3);
        prop_assert_eq!(told(YAML, p, Some(mrr), None).band != "low", saved > 150.0);
    }

    #[test]
    fn a_higher_value_or_risk_never_lowers_the_band(
        p in 0.0..0.9f64, by in 0.0..0.1f64, mrr in 0.0..2_000.0f64, more in 0.0..500.0f64,
    ) {
        let rank = |p, mrr| {
            let band = told(YAML, p, Some(mrr), None).band;
            BANDS.iter().position(|name| *name == band)
        };
        prop_assert!(rank(p, mrr) <= rank(p + by, mrr));
        prop_assert!(rank(p, mrr) <= rank(p, mrr + more));
    }
}
