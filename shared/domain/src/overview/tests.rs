//! Pictures of made-up customers.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::replay::{Replay, in_order};
use crate::tests_support::{day, events, lifecycle};

const FILE: &str = r#"
version: 1
subject: account
traits: { plan: [trial, team], name: text?, mrr: number?, csm: email? }
metrics: { idle_days: { days_since: login } }
segments: { team: traits.plan == "team" }
stages:
  active: { enter: { when: metrics.idle_days <= 10, priority: 10 }, target: 30d, stuck: 60d }
  gone:   { enter: { when: metrics.idle_days > 10, priority: 20 }, lost: true }
risk:
  model: scorecard
  factors: { silence: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 } }
  value: traits.mrr * 12
  bands: { low: 0, high: 0.25 }
standards:
  csm_known: { required: [traits.csm], severity: high, owner: csm }
"#;

/// Lives 100 days, with a login each 5 days up to a day, and a night after each day.
fn person<'i>(
    lifecycle: &Lifecycle,
    id: &'i str,
    (plan, mrr, last_login): (&str, f64, i32),
) -> (&'i str, Customer, Vec<JournalEntry>) {
    let facts = json!({"plan": plan, "mrr": mrr, "name": format!("{plan} {mrr}")});
    let mut told = vec![(0.0, "group", facts)];
    let logins = (0..=last_login).step_by(5);
    told.extend(logins.map(|at| (f64::from(at), "login", json!({}))));
    let log = in_order(events(&told));
    let mut replay = Replay::new(lifecycle, &log);
    let mut entries = Vec::new();
    for at in 1..=100 {
        let now = day(f64::from(at));
        replay.until(now);
        entries.extend(replay.night(now).into_iter().map(|decided| decided.entry));
    }
    (id, replay.customer, entries)
}

fn picture(lifecycle: &Lifecycle, people: &[(&str, Customer, Vec<JournalEntry>)]) -> Overview {
    let mut taking = Taking::new(lifecycle, day(100.0));
    for (id, customer, entries) in people {
        let then = worth_unchanged(customer, lifecycle, day(100.0));
        taking.look_at(id, customer, entries, then);
    }
    taking.done()
}

#[test]
fn who_left_is_lost_and_no_longer_at_risk() {
    let file = lifecycle(FILE);
    let people = [
        person(&file, "here", ("team", 100.0, 90)),
        person(&file, "left", ("team", 50.0, 80)),
        person(&file, "long_gone", ("trial", 10.0, 20)),
    ];
    let told = picture(&file, &people);
    let all = told.part(None).unwrap();
    assert_eq!((all.customers, all.active, all.value), (3, 1, Some(1_200.0)));
    assert!(all.at_risk.is_some_and(|amount| (500.0..=600.0).contains(&amount)), "{all:?}");
    let stages: Vec<_> = all.stages.iter().map(|one| (one.stage.as_str(), one.customers)).collect();
    assert_eq!(stages, [("active", 1), ("gone", 2)]);
    assert_eq!((all.stages[0].behind, all.stages[0].stuck), (1, 1));
    let month = &all.spans[1];
    assert_eq!((month.begun_with, month.lost, month.lost_value), (2, 1, 600.0));
    assert_eq!(month.moves, [(Some("active".into()), "gone".into(), 1)]);
    let named: Vec<&str> = all.first.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(named, ["here"]);
    assert!(all.first[0].why.as_deref().is_some_and(|why| why.contains("idle_days")));
    let team = told.part(Some("team")).unwrap();
    assert_eq!((team.customers, team.active), (2, 1));
    assert_eq!(told.part(Some("nobody")), None);
}

#[test]
fn the_most_at_risk_is_named_first_and_no_more_than_fit() {
    let file = lifecycle(FILE);
    let ids: Vec<String> = (0..20).map(|at| format!("c{at:02}")).collect();
    let people: Vec<_> =
        ids.iter().enumerate().map(|(at, id)| person(&file, id, ("team", at as f64, 90))).collect();
    let told = picture(&file, &people);
    let named: Vec<&str> = told.parts[0].first.iter().map(|one| one.id.as_str()).collect();
    assert_eq!((named.len(), named[0], named[11]), (MOST_NAMED, "c19", "c08"));
}

#[test]
fn retention_is_of_those_who_were_there_and_what_was_added_is_net_only() {
    let file = lifecycle(FILE);
    let (id, more, entries) = person(&file, "more", ("team", 150.0, 90));
    let left = person(&file, "left", ("team", 50.0, 80));
    let now = day(100.0);
    let mut taking = Taking::new(&file, now);
    // One paid 100 a month then, and pays 150 now; the other one left.
    taking.look_at(id, &more, &entries, Some([Some(1_200.0); 3]));
    taking.look_at(left.0, &left.1, &left.2, worth_unchanged(&left.1, &file, now));
    let told = taking.done();
    let month = told.part(None).unwrap().spans[1].retained.unwrap();
    assert_eq!((month.begun, month.kept, month.now), (1_800.0, 1_200.0, 1_800.0));
    assert_eq!((month.gross(), month.net()), (Some(1_200.0 / 1_800.0), Some(1.0)));
    assert_eq!(Retained::default().net(), None);
}

#[test]
fn what_changed_since_is_told_by_the_log() {
    let file = lifecycle(FILE);
    let told = |at: f64, mrr: f64| (at, "group", json!({"plan": "team", "mrr": mrr}));
    let log = in_order(events(&[told(0.0, 100.0), told(80.0, 150.0), (90.0, "login", json!({}))]));
    let now = day(100.0);
    let customer = Customer { profile: profile_at(&file, &log, now), ..Customer::default() };
    assert_eq!(worth_unchanged(&customer, &file, now), None);
    assert_eq!(worth_by_log(&log, &file, now), [Some(1_800.0), Some(1_200.0), Some(1_200.0)]);
    let later = day(200.0);
    assert_eq!(worth_unchanged(&customer, &file, later), Some([Some(1_800.0); 3]));
}

#[test]
fn those_with_the_most_at_risk_are_ranked() {
    let file = lifecycle(FILE);
    let people = [
        person(&file, "small", ("team", 1.0, 90)),
        person(&file, "large", ("team", 100.0, 90)),
        person(&file, "left", ("team", 500.0, 50)),
    ];
    assert_eq!(picture(&file, &people).ranked, ["large", "small"]);
}

#[test]
fn owners_have_what_is_open() {
    let file = lifecycle(FILE);
    let somebody = person(&file, "a", ("team", 1.0, 90));
    let told = picture(&file, &[somebody]);
    let owners = &told.parts[0].owners;
    assert_eq!((owners[0].owner.as_str(), owners[0].findings), ("csm", 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_order_in_which_customers_are_looked_at_does_not_matter(
        lives in proptest::collection::vec((0.0..500.0f64, 0..20i32), 1..6),
        turn in 0..6usize,
    ) {
        let file = lifecycle(FILE);
        let ids = ["a", "b", "c", "d", "e", "f"];
        let people: Vec<_> = lives
            .iter()
            .zip(ids)
            .map(|((mrr, logins), id)| person(&file, id, ("team", mrr.round(), logins * 5)))
            .collect();
        let mut turned = people.clone();
        turned.rotate_left(turn % people.len());
        prop_assert_eq!(picture(&file, &people), picture(&file, &turned));
    }

    #[test]
    fn every_customer_is_in_one_stage_and_parts_are_no_larger_than_all(
        lives in proptest::collection::vec((proptest::bool::ANY, 0..20i32), 1..6),
    ) {
        let file = lifecycle(FILE);
        let ids = ["a", "b", "c", "d", "e", "f"];
        let people: Vec<_> = lives
            .iter()
            .zip(ids)
            .map(|((is_team, logins), id)| {
                person(&file, id, (if *is_team { "team" } else { "trial" }, 1.0, logins * 5))
            })
            .collect();
        let told = picture(&file, &people);
        let (all, team) = (&told.parts[0], &told.parts[1]);
        prop_assert_eq!(all.customers, people.len() as u64);
        prop_assert_eq!(all.stages.iter().map(|one| one.customers).sum::<u64>(), all.customers);
        prop_assert!(team.customers <= all.customers && team.active <= all.active);
    }
}
