//! What is counted, and by what.

use serde_json::json;

use super::*;
use crate::by_hand;
use crate::event::Event;
use crate::journal::Author;
use crate::replay::{Replay, in_order};
use crate::tests_support::{day, event, events, lifecycle};

const YAML: &str = "
version: 1
traits: { plan: [trial, team], csm: email? }
metrics: { logins: { count: login } }
segments: { team: traits.plan == \"team\" }
stages:
  start: { enter: { when: metrics.logins < 3, priority: 1 } }
  next: { enter: { when: metrics.logins >= 3, priority: 2 } }
standards:
  answered: { respond: { to: ask, with: [call], within: 4d }, severity: high, owner: csm }
  known: { required: [traits.csm], only_if: segment.team, severity: low, owner: ops }
";

/// A customer lived through to a day, and its journal.
fn lived(file: &Lifecycle, log: &[Event], to: i32) -> (Customer, Vec<JournalEntry>) {
    let mut replay = Replay::new(file, log);
    let mut entries = Vec::new();
    for night in 0..=to {
        let now = day(f64::from(night));
        replay.until(now);
        entries.extend(replay.night(now).into_iter().map(|decided| decided.entry));
    }
    (replay.customer, entries)
}

fn three(file: &Lifecycle) -> Vec<(Customer, Vec<JournalEntry>)> {
    let at = |at: f64, name| event(at, name, json!({}));
    let plan = |told| event(0.0, "group", told);
    let good = [plan(json!({ "plan": "team", "csm": "a@b.c" })), at(1.0, "ask"), at(2.0, "call")];
    let late = [
        plan(json!({ "plan": "team" })),
        at(1.0, "ask"),
        at(2.0, "login"),
        at(2.1, "login"),
        at(2.2, "login"),
        at(8.0, "call"),
    ];
    let open = [plan(json!({ "plan": "trial" })), at(1.0, "ask"), at(2.0, "call"), at(5.0, "ask")];
    let waits = [plan(json!({ "plan": "trial" })), at(8.5, "ask")];
    [&good[..], &late, &open, &waits]
        .map(|log| lived(file, &in_order(log.to_vec()), 12))
        .into_iter()
        .collect()
}

fn rows(file: &Lifecycle, by: By, customers: &[(Customer, Vec<JournalEntry>)]) -> Vec<Row> {
    let mut adherence = Adherence::new(file, by, day(12.0));
    for (customer, entries) in customers {
        adherence.happened(customer, entries.clone());
        adherence.stands(customer);
    }
    adherence.rows()
}

#[test]
fn what_was_met_and_broken_is_counted_with_how_long_it_took() {
    let file = lifecycle(YAML);
    let rows = rows(&file, By::Standard, &three(&file));
    let day = 86_400;
    assert_eq!(
        rows,
        [
            Row {
                group: "answered".into(),
                met: 2,
                breached: 2,
                open: 1,
                at_risk: 1,
                waived: 0,
                cannot_tell: 0,
                adherence: Some(0.5),
                p50_seconds: Some(day),
                p90_seconds: Some(7 * day),
            },
            Row {
                group: "known".into(),
                met: 1,
                breached: 1,
                open: 1,
                at_risk: 0,
                waived: 0,
                cannot_tell: 0,
                adherence: Some(0.5),
                p50_seconds: None,
                p90_seconds: None,
            }
        ]
    );
}

#[test]
fn it_is_told_by_stage_segment_owner_and_month() {
    let file = lifecycle(YAML);
    let customers = three(&file);
    let counted = |by| {
        let rows = rows(&file, by, &customers).into_iter();
        rows.map(|row| (row.group, row.met, row.breached, row.open)).collect::<Vec<_>>()
    };
    let row = |group: &str, met, breached, open| (group.to_owned(), met, breached, open);
    // The one who was late had gone on before the breach was found.
    assert_eq!(counted(By::Stage), [row("next", 0, 1, 1), row("start", 3, 2, 1)]);
    assert_eq!(counted(By::Segment), [row("none", 1, 1, 1), row("team", 2, 2, 1)]);
    assert_eq!(counted(By::Owner), [row("csm", 2, 2, 1), row("ops", 1, 1, 1)]);
    assert_eq!(counted(By::Month), [row("2026-03", 3, 3, 2)]);
}

#[test]
fn the_order_of_customers_and_entries_does_not_matter() {
    let file = lifecycle(YAML);
    let mut customers = three(&file);
    let forward = rows(&file, By::Stage, &customers);
    customers.reverse();
    for (_, entries) in &mut customers {
        entries.reverse();
    }
    assert_eq!(rows(&file, By::Stage, &customers), forward);
}

#[test]
fn what_a_waiver_hides_and_what_cannot_be_told_is_neither_met_nor_open() {
    let file = lifecycle(YAML);
    let log = events(&[(1.0, "ask", json!({}))]);
    let (mut customer, mut entries) = lived(&file, &log, 7);
    let by = Author { name: "kim".into(), reason: Some("on leave".into()) };
    let facts = Facts::new(&customer, &file, day(8.0));
    for change in by_hand::waive(&facts, "answered", by, None).unwrap() {
        entries.push(customer.status.apply(&change, day(8.0), &file));
    }
    let rows = rows(&file, By::Standard, &[(customer, entries)]);
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (row.group.as_str(), row.met, row.breached, row.open, row.waived, row.cannot_tell)
        })
        .collect();
    assert_eq!(told, [("answered", 0, 1, 0, 1, 0), ("known", 0, 0, 0, 0, 1)]);
}

#[test]
fn a_percentile_is_the_nearest_rank() {
    assert_eq!(percentile(&[], 50), None);
    assert_eq!(percentile(&[7], 90), Some(7));
    assert_eq!(percentile(&[1, 2, 3, 4], 50), Some(2));
    assert_eq!(percentile(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 90), Some(9));
}
