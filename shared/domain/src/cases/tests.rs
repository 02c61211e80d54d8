//! The rules of cases.

use super::*;
use crate::lifecycle::presets::PRESETS;
use crate::lifecycle::{Severity, load};

const FILE: &str = "version: 1
traits: { plan: [trial, team], mrr: number? }
metrics:
  idle_days: { days_since: login }
  logins_7d: { count: login, over: 7d }
segments:
  paying: traits.plan == \"team\"
  rich: traits.mrr > 100
stages:
  active: { enter: { when: metrics.idle_days <= 7, priority: 10 } }
  quiet: { enter: { when: metrics.idle_days > 7, for: 2d, priority: 20 } }
  never: { enter: { when: metrics.logins_7d > 1000, priority: 5 } }
standards:
  called: { silence: { events: [call], limit: 10d }, only_if: segment.paying, severity: high, owner: csm }
risk:
  model: scorecard
  factors: { idle: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 } }
  bands: { low: 0, high: 0.5 }
alerts:
  routes: [ { match: { kind: stage }, to: urgent }, { to: team } ]
  receivers: { urgent: { sns: urgent }, team: { sns: team } }
";

fn outcome(cases: &str) -> Outcome {
    let lifecycle = load(FILE).unwrap();
    let cases = read(cases, &lifecycle).unwrap_or_else(|found| panic!("{found:?}"));
    run(&cases, &lifecycle)
}

fn wrong(cases: &str) -> Vec<(usize, usize, String, Option<String>)> {
    let found = read(cases, &load(FILE).unwrap()).unwrap_err();
    found.into_iter().map(|one| (one.line, one.column, one.message, one.help)).collect()
}

#[test]
fn a_case_that_goes_as_expected_passes_and_covers_its_rules() {
    let outcome = outcome(
        "- name: who falls silent becomes quiet after two days of it
  given:
    stage: active since 30d
    traits: { plan: team }
    events:
      - { day: -20 to 0, every: 2, event: login, user: ada }
  expect:
    - { day: 0, stage: active, risk: low, segments: { paying: yes, rich: unknown } }
    - { day: 9, stage: active, alerts: [\"team: risk low\", \"team: finding called\"] }
    - { day: 10, stage: quiet, findings: [called], alerts: [\"urgent: stage quiet\"] }
    - { day: 11, risk: high, alerts: [\"team: risk high\"] }
",
    );
    assert_eq!(outcome.cases[0].failures, []);
    assert_eq!(outcome.cases[0].expectations, 11);
    assert_eq!(outcome.failed(), 0);
    let Coverage { stages, standards, segments, bands } = outcome.coverage;
    assert_eq!(
        (stages.fired, stages.never),
        (vec!["quiet".into()], vec!["active".into(), "never".into()])
    );
    assert_eq!((standards.fired.len(), bands.fired.len()), (1, 2));
    assert_eq!((segments.fired, segments.never), (vec!["paying".into()], vec!["rich".into()]));
}

#[test]
fn a_rise_of_risk_is_an_alert_of_a_case() {
    let lifecycle =
        load(&FILE.replace("model: scorecard\n", "model: scorecard\n  drop_alert: 0.2\n")).unwrap();
    // Five points a day: from 0 to 20, from there to 40, and half of the points are another band.
    let cases = "- name: who falls silent
  given: { events: [ { day: 0, event: login } ] }
  expect:
    - { day: 3, risk: low, alerts: [\"urgent: stage active\", \"team: risk low\"] }
    - { day: 4, alerts: [\"team: risk rise\"] }
    - { day: 7, alerts: [] }
    - { day: 8, alerts: [\"team: risk rise\"] }
    - { day: 11, risk: high, alerts: [\"urgent: stage quiet\", \"team: risk high\"] }
";
    let cases = read(cases, &lifecycle).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(run(&cases, &lifecycle).cases[0].failures, []);
}

#[test]
fn what_is_not_as_expected_is_told_with_its_line_and_why() {
    let outcome = outcome(
        "- name: wrong
  given: { events: [ { day: 0, event: login } ] }
  expect:
    - day: 1
      stage: quiet
      findings: [called]
",
    );
    assert_eq!(outcome.failed(), 1);
    let [stage, findings] = outcome.cases[0].failures.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((stage.line, stage.day, stage.date.as_str()), (4, 1, "2026-01-06"));
    assert_eq!(
        (stage.what.as_str(), &stage.expected, &stage.found),
        ("stage", &vec!["quiet".into()], &vec!["active".into()])
    );
    let why = stage.why.join("\n");
    assert!(
        why.contains("not quiet: it does not hold: metrics.idle_days > 7 (metrics.idle_days = 1)"),
        "{why}"
    );
    assert_eq!((findings.what.as_str(), findings.found.len()), ("findings", 0));
}

#[test]
fn what_is_wrong_with_the_file_is_said_with_its_place_and_what_may_be_meant() {
    let found = wrong(
        "- name: misspelt
  given:
    stage: activ
    traits: { plann: team }
    events: [ { day: 3 to 1, event: login }, { day: 1 } ]
  expect:
    - { day: 1, stage: quit, findings: [caled], alerts: [\"urgnt: stage quiet\"] }
    - { day: 2 }
",
    );
    let places: Vec<(usize, usize)> = found.iter().map(|one| (one.0, one.1)).collect();
    assert_eq!(places, [(3, 12), (4, 15), (5, 22), (5, 53), (7, 24), (7, 41), (7, 59), (8, 14)]);
    let helps: Vec<&str> = found.iter().filter_map(|one| one.3.as_deref()).collect();
    for help in ["`active`", "`plan`", "`quiet`", "`called`", "`urgent`"] {
        assert!(helps.contains(&format!("did you mean {help}?").as_str()), "{help}: {found:?}");
    }
    assert_eq!(wrong("- nam: x\n")[0].0, 1);
    assert!(wrong("- nam: x\n")[0].2.contains("`nam`"));
    assert!(wrong("[]")[0].2.contains("no case"));
}

#[test]
fn an_event_that_no_rule_reads_is_a_warning() {
    let lifecycle = load(FILE).unwrap();
    let cases = "- name: x
  given: { events: [ { day: 0, event: logn } ] }
  expect: [ { day: 1, stage: none } ]
";
    let cases = read(cases, &lifecycle).unwrap();
    let [warning] = cases.warnings.as_slice() else { panic!() };
    assert_eq!((warning.severity, warning.line), (Severity::Warning, 2));
    assert_eq!(warning.help.as_deref(), Some("did you mean `login`?"));
}

#[test]
fn the_cases_of_each_preset_pass() {
    for preset in PRESETS {
        let lifecycle = load(preset.source).unwrap();
        let cases = read(preset.cases, &lifecycle).unwrap_or_else(|found| panic!("{found:#?}"));
        assert!(cases.warnings.is_empty(), "{:?}", cases.warnings);
        let outcome = run(&cases, &lifecycle);
        for case in &outcome.cases {
            assert_eq!(case.failures, [], "{}: {}", preset.name, case.name);
        }
        assert!(outcome.coverage.stages.never.len() <= 1, "{:?}", outcome.coverage);
    }
}
