use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;
use crate::journal::Reason;
use crate::tests_support::lifecycle;

const FILE: &str = "
version: 1
metrics: { idle_days: { days_since: login } }
stages:
  active: { enter: { when: metrics.idle_days < 5, priority: 1 } }
  will_churn: { enter: { when: metrics.idle_days > 10, priority: 2 } }
  churned: { enter: { when: metrics.idle_days > 40, priority: 3 } }
risk:
  model: scorecard
  factors: { idle: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 } }
  bands: { low: 0, medium: 0.3, high: 0.6 }
";

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

/// `day kind from to [rule]`, one a line.
fn entries(text: &str) -> Vec<JournalEntry> {
    let lines = text.trim().lines().enumerate();
    let entries = lines.map(|(at, line)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word =
            |at: usize| words.get(at).filter(|word| **word != "-").map(|word| (*word).to_owned());
        let kind = match words[1] {
            "stage" => ChangeKind::Stage,
            "risk" => ChangeKind::Risk,
            "finding" => ChangeKind::Finding,
            "seen" => ChangeKind::Acknowledgement,
            other => panic!("{other}"),
        };
        let seen = [("outcome", json!(word(3))), ("opened_at", json!(word(5)))];
        JournalEntry {
            seq: at as u64 + 1,
            at: day(words[0].parse().unwrap()),
            kind,
            from: word(2),
            to: word(3),
            rule: word(4).unwrap_or_default(),
            reasons: vec![Reason::of_fact("seen".to_owned(), &seen)],
            author: None,
            reason: None,
            until: None,
            config_hash: String::new(),
            config_version: None,
            prev: String::new(),
            hash: String::new(),
        }
    });
    entries.collect()
}

/// `source name: alarms censored churned saved`, for what customers lived through, with a horizon of 30
/// days, by day 100.
fn check(customers: &[&str], expected: &[&str]) {
    let rows = rows(customers);
    let told = rows.iter().map(|row| {
        let Row { source, name, alarms, censored, churned, saved, .. } = row;
        format!("{} {name}: {alarms} {censored} {churned} {saved}", source.as_str())
    });
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

fn rows(customers: &[&str]) -> Vec<Row> {
    let lifecycle = lifecycle(FILE);
    let mut outcomes = Outcomes::new(&lifecycle, SignedDuration::from_hours(24 * 30), day(100));
    customers.iter().for_each(|text| outcomes.add(entries(text)));
    outcomes.rows()
}

#[test]
fn gone_within_the_horizon_is_right_and_later_is_not() {
    check(
        &["10 stage active will_churn\n39 stage will_churn churned"],
        &["rule will_churn: 1 0 1 0"],
    );
    check(
        &["10 stage active will_churn\n40 stage will_churn churned"],
        &["rule will_churn: 1 0 0 0"],
    );
}

#[test]
fn who_came_back_and_stayed_is_saved() {
    check(
        &["10 stage active will_churn\n20 stage will_churn active"],
        &["rule will_churn: 1 0 0 1"],
    );
    let relapsed =
        "10 stage active will_churn\n20 stage will_churn active\n30 stage active churned";
    check(&[relapsed], &["rule will_churn: 1 0 1 0"]);
}

#[test]
fn an_alarm_whose_horizon_is_not_over_is_told_apart() {
    let left = "71 stage active will_churn\n80 stage will_churn churned";
    check(&[left, "70 stage active will_churn"], &["rule will_churn: 2 1 0 0"]);
}

#[test]
fn a_second_alarm_within_the_horizon_is_the_same() {
    let flaps =
        "10 stage active will_churn\n15 stage will_churn active\n20 stage active will_churn";
    check(&[flaps], &["rule will_churn: 1 0 0 1"]);
    let again =
        "10 stage active will_churn\n15 stage will_churn active\n40 stage active will_churn";
    check(&[again], &["rule will_churn: 2 0 0 1"]);
}

#[test]
fn only_a_rise_of_risk_is_an_alarm() {
    let rises = "10 risk low high\n20 risk high medium\n30 risk medium low";
    check(&[rises, "10 risk - low"], &["band high: 1 0 0 1"]);
    let fell = "10 risk - medium\n12 risk medium high\n30 stage active churned";
    check(&[fell], &["band high: 1 0 1 0", "band medium: 1 0 1 0"]);
}

#[test]
fn a_finding_that_is_mended_is_saved() {
    let mended = "10 finding - open standards.kickoff\n15 finding open closed standards.kickoff";
    let other = "10 finding - open standards.kickoff\n15 finding open closed standards.training";
    check(&[mended, other], &["standard kickoff: 2 0 0 1"]);
}

#[test]
fn the_last_word_on_a_finding_counts() {
    let finding = "10 finding - open standards.kickoff\n";
    let said = |more: &str| format!("{finding}{more}");
    let customers = [
        said("11 seen open false standards.kickoff a\n12 seen open useful standards.kickoff a"),
        said("11 seen open useful standards.kickoff a"),
        said("11 seen open useful standards.kickoff a\n12 seen open known standards.kickoff b"),
        said("11 seen open false standards.kickoff a"),
    ];
    let customers: Vec<&str> = customers.iter().map(String::as_str).collect();
    let row = &rows(&customers)[0];
    assert_eq!((row.useful, row.known, row.r#false), (3, 1, 1));
    assert_eq!(row.precision.unwrap().share, 0.75);
}

#[test]
fn lead_times_are_quartiles_of_who_was_gone() {
    let customers: Vec<String> = [4, 8, 12, 20]
        .map(|days| format!("10 stage active will_churn\n{} stage will_churn churned", 10 + days))
        .into();
    let customers: Vec<&str> = customers.iter().map(String::as_str).collect();
    let lead = rows(&customers)[0].lead.unwrap();
    let days = |seconds: i64| seconds / 86_400;
    assert_eq!(
        [days(lead.p25_seconds), days(lead.p50_seconds), days(lead.p75_seconds)],
        [4, 8, 12]
    );
    assert_eq!(rows(&["10 stage active will_churn"])[0].lead, None);
}

#[test]
fn the_interval_is_wilsons() {
    // 8 of 10, by hand: centre (0.8 + 0.19207) / 1.38415, reach 1.95996 × √(0.016 + 0.0096036) / 1.38415.
    let share = Share::of(8, 10).unwrap();
    let near = |a: f64, b: f64| (a - b).abs() < 5e-5;
    assert!(near(share.low, 0.490_16) && near(share.high, 0.943_32), "{share:?}");
    let none = Share::of(0, 5).unwrap();
    assert!(none.low == 0.0 && near(none.high, 0.434_48), "{none:?}");
    assert_eq!(Share::of(0, 0), None);
}
