//! The rules of a plan.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::hierarchy::Family;
use crate::lifecycle::presets::PRESETS;
use crate::replay::in_order;
use crate::tests_support::{day, event, lifecycle};

const SOURCE: &str = "version: 1
traits: { name: text?, plan: [trial, team], mrr: number?, notice: date? }
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
segments:
  paying: traits.plan != \"trial\"
  large: traits.mrr >= 500
stages:
  active: { enter: { when: metrics.idle_days <= 14, priority: 10 } }
  quiet: { enter: { when: metrics.idle_days > 14, priority: 20 } }
  churned: { enter: { when: metrics.idle_days > 60, priority: 90 } }
standards:
  contact: { silence: { events: [call], limit: 30d }, severity: low, owner: csm }
alerts:
  routes: [ { match: { kind: stage, stage: churned }, to: urgent }, { to: team } ]
  receivers: { urgent: { sns: urgent }, team: { sns: team } }
";

/// An account that pays so much and logged in on these days.
fn account(mrr: u32, plan: &str, days: &[f64]) -> Vec<Event> {
    let told = json!({ "name": format!("Account of {mrr}"), "plan": plan, "mrr": mrr });
    let mut log = vec![event(0.0, "group", told)];
    log.extend(days.iter().map(|at| event(*at, "login", json!({ "user": "ada" }))));
    in_order(log)
}

fn question<'a>(active: &'a Lifecycle, proposed: &'a Lifecycle) -> Question<'a> {
    Question::weekly(active, proposed, day(90.0), 3, Some("mrr".to_owned()))
}

fn plan(active: &Lifecycle, proposed: &Lifecycle, accounts: &[(&str, Vec<Event>)]) -> Plan {
    let question = question(active, proposed);
    let mut plan = Plan::default();
    for (id, log) in accounts {
        plan.look_at(Subject { id, status: None, log, below: None }, &question);
    }
    plan.finish();
    plan
}

fn company() -> Vec<(&'static str, Vec<Event>)> {
    vec![
        ("busy", account(900, "team", &[10.0, 40.0, 80.0, 89.0])),
        ("slow", account(700, "team", &[10.0, 40.0, 66.0])),
        ("trial", account(0, "trial", &[30.0, 66.0])),
        ("small", account(100, "team", &[20.0, 68.0])),
        ("left", account(300, "team", &[5.0, 12.0])),
    ]
}

#[test]
fn an_edit_that_takes_paying_accounts_for_churned_names_them_first() {
    let active = lifecycle(SOURCE);
    let edited = lifecycle(&SOURCE.replace("idle_days > 60", "idle_days > 20"));
    let plan = plan(&active, &edited, &company());
    let named: Vec<(&str, bool)> =
        plan.named.iter().map(|one| (one.id.as_str(), one.is_lost && one.is_paying)).collect();
    assert_eq!(named, [("slow", true), ("small", true), ("trial", false)]);
    let slow = &plan.named[0];
    assert_eq!(slow.name.as_deref(), Some("Account of 700"));
    assert_eq!(
        (slow.active.as_deref(), slow.proposed.as_deref()),
        (Some("quiet"), Some("churned"))
    );
    assert_eq!((slow.rule.as_str(), slow.by_proposed), ("stages.churned.enter", true));
    assert_eq!(slow.reasons[0].expression, "metrics.idle_days > 20");
    assert_eq!(slow.reasons[0].inputs["metrics.idle_days"], 24);
    assert_eq!(plan.moved, Weight { customers: 3, revenue: 800.0 });
    assert_eq!(plan.lost, Weight { customers: 2, revenue: 800.0 });
    assert_eq!(plan.customers, 5);
    assert!((plan.share() - 0.6).abs() < 1e-9);
    let moves = &plan.by_stage[&("quiet".to_owned(), "churned".to_owned())];
    assert_eq!(moves.customers, 3);
    assert_eq!(plan.by_segment["large"], Weight { customers: 1, revenue: 700.0 });
    let urgent = plan.alerts_now[&("urgent".to_owned(), "stage".to_owned())];
    assert_eq!((urgent.appear, urgent.vanish), (3, 0));
    assert!(plan.alerts[&("urgent".to_owned(), "stage".to_owned())].appear > 0);
}

#[test]
fn a_standard_that_goes_takes_its_findings_with_it() {
    let active = lifecycle(SOURCE);
    let edited = lifecycle(&SOURCE.replace("limit: 30d", "limit: 400d"));
    let plan = plan(&active, &edited, &company());
    let contact = plan.findings["contact"];
    assert_eq!((contact.appear, contact.made.proposed), (0, 0));
    assert_eq!((contact.vanish, contact.made.active), (5, 5));
    assert_eq!(plan.moved.customers, 0);
    assert!(!plan.is_empty());
}

#[test]
fn what_was_decided_is_where_the_next_night_begins() {
    let active = lifecycle(SOURCE);
    let edited = lifecycle(&SOURCE.replace("idle_days > 60", "idle_days > 20"));
    let (question, log) = (question(&active, &edited), account(700, "team", &[10.0, 66.0]));
    let stage =
        crate::customer::StageState { name: "churned".to_owned(), since: day(80.0), visit: 3 };
    let status = Status { stage: Some(stage), ..Status::default() };
    let mut plan = Plan::default();
    let subject = Subject { id: "a", status: Some(&status), log: &log, below: None };
    plan.look_at(subject, &question);
    plan.finish();
    // It is in churned already: the active file brings it back, the proposed one leaves it there.
    let moved = &plan.named[0];
    assert_eq!(moved.present.as_deref(), Some("churned"));
    assert_eq!(
        (moved.active.as_deref(), moved.proposed.as_deref()),
        (Some("quiet"), Some("churned"))
    );
    assert_eq!((moved.rule.as_str(), moved.by_proposed), ("stages.quiet.enter", false));
}

#[test]
fn an_account_is_planned_with_everything_below_it() {
    let source = format!(
        "{}large_group: {{ enter: {{ when: metrics.group >= 3, priority: 95 }} }}\n{}",
        SOURCE
            .replace("traits: { name", "traits: { parent: account?, name")
            .replace(
                "metrics:\n",
                "metrics:\n  group: { count: login, over: 28d, roll_up: true }\n"
            )
            .split("standards:")
            .next()
            .unwrap()
            .to_owned()
            + "  ",
        SOURCE.split_once("standards:").map(|(_, rest)| format!("standards:{rest}")).unwrap(),
    );
    let active = lifecycle(&source);
    let edited = lifecycle(&source.replace("metrics.group >= 3", "metrics.group >= 5"));
    let question = question(&active, &edited);
    let holding = account(900, "team", &[88.0]);
    let mut child = account(0, "trial", &[86.0, 88.5]);
    child.push(event(1.0, "group", json!({ "parent": "holding" })));
    let child = in_order(child);
    let mut families = [&active, &edited].map(|file| Family::new(file, &question.instants));
    for family in &mut families {
        family.add(&"holding".to_owned(), &holding, str::to_owned);
        family.add(&"child".to_owned(), &child, str::to_owned);
    }
    let mut told = Plan::default();
    for (id, log) in [("holding", &holding), ("child", &child)] {
        let below = families.each_ref().map(|family| family.below(&id.to_owned()));
        told.look_at(Subject { id, status: None, log, below: Some(&below) }, &question);
    }
    told.finish();
    let [moved] = &told.named[..] else { panic!("{:?}", told.named) };
    assert_eq!(moved.id, "holding");
    assert_eq!(
        (moved.active.as_deref(), moved.proposed.as_deref()),
        (Some("large_group"), Some("active"))
    );
    assert_eq!(told.paths_differ, 1, "only that of the holding");
    let alone = plan(&active, &edited, &[("holding", holding)]);
    assert!(alone.is_empty(), "{alone:?}");
}

#[test]
fn flapping_is_counted() {
    let active = lifecycle(SOURCE);
    let edited = lifecycle(
        &SOURCE
            .replace("idle_days <= 14", "idle_days <= 6")
            .replace("idle_days > 14", "idle_days > 6"),
    );
    let log = account(700, "team", &[1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]);
    let plan = plan(&active, &edited, &[("a", log)]);
    assert_eq!(plan.flaps.active, 0);
    assert!(plan.flaps.proposed >= 3, "{:?}", plan.flaps);
    assert!(plan.moves.proposed > plan.moves.active);
    assert_eq!(plan.paths_differ, 1);
    assert_eq!(plan.course.len(), 13);
    assert_eq!(plan.course[&day(90.0)].values().map(|both| both.active).sum::<u64>(), 1);
}

#[test]
fn plans_of_parts_add_up_to_the_plan_of_all() {
    let active = lifecycle(SOURCE);
    let edited = lifecycle(&SOURCE.replace("idle_days > 60", "idle_days > 20"));
    let company = company();
    let whole = plan(&active, &edited, &company);
    let mut sum = plan(&active, &edited, &company[3..]);
    sum.merge(plan(&active, &edited, &company[..3]));
    assert_eq!(sum, whole);
}

#[test]
fn a_stage_is_of_those_who_are_gone_by_a_word_of_its_name() {
    for (name, gone) in [
        ("churned", true),
        ("lost", true),
        ("will_churn", false),
        ("closed_lost", true),
        ("active", false),
    ] {
        assert_eq!(is_gone(name), gone, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_plan_of_an_unchanged_file_is_empty(
        days in proptest::collection::vec((0u32..100 * 24, any::<u8>()), 0..40),
        preset in any::<bool>(),
    ) {
        let source = if preset { PRESETS[0].source } else { SOURCE };
        let (active, proposed) = (lifecycle(source), lifecycle(source));
        let mut log = account(500, "team", &[]);
        log.extend(days.iter().map(|(hour, what)| {
            let name = ["login", "ticket_opened", "survey", "kickoff_call"][usize::from(what % 4)];
            event(f64::from(*hour) / 24.0, name, json!({ "user": "ada", "score": what, "kind": "nps" }))
        }));
        let log = in_order(log);
        let plan = plan(&active, &proposed, &[("a", log)]);
        prop_assert!(plan.is_empty(), "{:?}", plan);
        prop_assert_eq!(plan.moves.active, plan.moves.proposed);
        prop_assert_eq!(plan.customers, 1);
    }
}
