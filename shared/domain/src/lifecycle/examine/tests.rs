//! What is said about files that are valid and may not mean what they say.

use crate::lifecycle::load;

use super::*;

fn said(stages: &str, severity: Severity) -> Vec<String> {
    let source = format!(
        "version: 1
traits: {{ plan: [trial, team], score: number?, notice: date? }}
metrics:
  logins_7d: {{ count: login, over: 7d }}
  logins_30d: {{ count: login, over: 30d }}
  idle: {{ days_since: login }}
  used: {{ latest: seats.used }}
  share: metrics.used / traits.score
stages:
{stages}"
    );
    let lifecycle = load(&source).unwrap_or_else(|found| panic!("{found:?}"));
    let found = examine(&source, &lifecycle);
    let found = found.into_iter().filter(|found| found.severity == severity);
    let found = found.filter(|found| !found.message.starts_with("no rule uses"));
    found.map(|found| format!("{}: {}", found.message, found.help.unwrap_or_default())).collect()
}

fn warned(stages: &str) -> Vec<String> {
    said(stages, Severity::Warning)
}

#[test]
fn a_condition_that_nobody_can_meet_is_found() {
    for when in [
        "metrics.idle > 5 && metrics.idle < 3",
        "traits.plan == \"trial\" && traits.plan == \"team\"",
        "metrics.logins_7d > 3 && metrics.idle > 10",
        "metrics.logins_7d > 5 && metrics.logins_30d < 3",
        "traits.notice <= today && days_until(traits.notice) > 30",
        "!has(traits.score) && traits.score > 3",
        "metrics.logins_7d < 0",
    ] {
        let found = warned(&format!("  a: {{ enter: {{ when: '{when}' }} }}\n"));
        assert_eq!(found.len(), 1, "{when}: {found:?}");
        assert!(found[0].starts_with("no customer can meet the condition of the stage `a`: "));
    }
    let told = warned("  a: { enter: { when: metrics.idle > 5 && metrics.idle < 3 } }\n");
    assert!(
        told[0].contains("metrics.idle = 6") && told[0].contains("`metrics.idle < 3`"),
        "{told:?}"
    );
}

#[test]
fn what_somebody_can_meet_is_not_complained_of() {
    for when in [
        "metrics.idle > 3 && metrics.idle < 5",
        "metrics.logins_7d == 0 && metrics.logins_30d > 5 && metrics.idle > 10",
        "metrics.share > 0.5 && metrics.share < 0.75",
        "days_until(traits.notice) >= 0 && days_until(traits.notice) <= 90",
        "traits.plan in [\"trial\", \"team\"] && traits.score != 3",
        "metrics.idle * 2 > 30 && traits.score - 5 < metrics.used",
    ] {
        let found = warned(&format!("  a: {{ enter: {{ when: '{when}' }} }}\n"));
        assert_eq!(found, Vec::<String>::new(), "{when}");
    }
}

#[test]
fn stages_of_one_priority_are_a_tie_only_where_a_customer_meets_both() {
    let two = |one: &str, other: &str| {
        warned(&format!(
            "  a: {{ enter: {{ when: '{one}', priority: 5 }} }}\n  \
             b: {{ enter: {{ when: '{other}', priority: 5 }} }}\n"
        ))
    };
    assert_eq!(two("traits.plan == \"trial\"", "traits.plan == \"team\""), Vec::<String>::new());
    assert_eq!(two("metrics.idle <= 10", "metrics.idle > 10"), Vec::<String>::new());
    let tie = two("metrics.idle > 5", "traits.score > 2");
    assert_eq!(tie.len(), 1);
    assert!(tie[0].starts_with("the stages `a` and `b` have the same priority, 5"), "{tie:?}");
    assert!(tie[0].contains("metrics.idle = 6, traits.score = 3"), "{tie:?}");
}

#[test]
fn what_may_be_missing_and_what_is_always_so_are_notes() {
    let noted =
        |when: &str| said(&format!("  a: {{ enter: {{ when: '{when}' }} }}\n"), Severity::Note);
    let told = noted("traits.score > 3");
    assert!(told[0].starts_with("customers without `traits.score` never meet this"), "{told:?}");
    assert_eq!(noted("!has(traits.score) || traits.score > 3"), Vec::<String>::new());
    assert_eq!(noted("traits.plan == \"team\""), Vec::<String>::new(), "it may not be missing");
    let told = noted("metrics.logins_7d >= 0");
    assert!(told[0].starts_with("every customer meets the condition of the stage `a`"), "{told:?}");
}

#[test]
fn periods_that_cannot_be_kept_are_warned_of() {
    let found = warned("  a: { enter: { when: metrics.idle > 3, for: 60s } }\n");
    assert!(found[0].starts_with("the period is shorter than the 5 minutes"), "{found:?}");
    let source = "version: 1\nmetrics: { y: { count: x, over: 500d }, n: { count: x, over: 400d } }
stages: { a: { enter: { when: metrics.y > 0 && metrics.n > 0 } } }\n";
    let found = examine(source, &load(source).unwrap());
    let found: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(found, ["the window is longer than the 400 days events are kept"]);
}

#[test]
fn the_presets_are_examined_without_a_warning() {
    for preset in crate::lifecycle::presets::PRESETS {
        let lifecycle = load(preset.source).unwrap();
        let found = examine(preset.source, &lifecycle);
        let warnings = found.iter().filter(|found| found.severity == Severity::Warning);
        let told: Vec<String> = warnings
            .map(|w| format!("{}:{} {} {:?}", w.line, w.column, w.message, w.help))
            .collect();
        assert_eq!(told, Vec::<String>::new(), "{}", preset.name);
    }
}

#[test]
fn what_the_companys_own_customers_answer_is_told() {
    use crate::facts::Facts;
    use crate::tests_support::{customer, day, lifecycle};

    let source = "version: 1
traits: { score: number?, plan: [trial, team] }
metrics: { logins: { count: login, over: 7d } }
stages:
  busy: { enter: { when: metrics.logins > 1, priority: 5 } }
  team: { enter: { when: traits.plan == \"team\", priority: 5 } }
  rich: { enter: { when: traits.score > 100, priority: 9 } }
  lost: { enter: { when: metrics.logins > 90, priority: 10 } }
";
    let file = lifecycle(source);
    let mut survey = Survey::new(source, &file);
    let login = |at: f64| (at, "login", serde_json::json!({}));
    let team = (1.0, "group", serde_json::json!({ "plan": "team" }));
    for (id, log) in [
        ("one", vec![team.clone(), login(2.0), login(3.0)]),
        ("two", vec![team.clone(), login(3.0)]),
        ("three", vec![team, login(3.0), login(3.5), login(4.0)]),
    ] {
        let known = customer(&file, &log, 5.0);
        survey.look_at(id, &Facts::new(&known, &file, day(5.0)));
    }
    let found = survey.found(source, &file);
    let told: Vec<(&str, usize, &str, Option<&str>)> = found
        .iter()
        .map(|one| (one.code, one.line, one.message.as_str(), one.help.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "tie_in_data",
                6,
                "2 of 3 customers meet both `busy` and `team`, which have the same priority",
                Some("one, three: the first in the file wins; give them different priorities"),
            ),
            (
                "unknown_in_data",
                7,
                "of none of 3 customers can it be told whether `rich` holds",
                Some("`traits.score` is missing for 3 of them: is it sent, by this name?"),
            ),
            (
                "never_in_data",
                8,
                "none of 3 customers meets the condition of the stage `lost`",
                None
            ),
        ]
    );
    assert!(Survey::new(source, &file).found(source, &file).is_empty(), "nobody was asked");
}
