//! Moves by hand, what automation does meanwhile, and handoffs.

use serde_json::json;

use super::*;
use crate::customer::Customer;
use crate::decide::step;
use crate::lifecycle::Lifecycle;
use crate::pace::HandoffPace;
use crate::tests_support::{customer, day, in_stage, lifecycle, run, stage_of};

const FILE: &str = "version: 1
workspace: { timezone: UTC }
traits: { score: number? }
stages:
  low: { enter: { when: traits.score >= 0, priority: 1 } }
  high:
    enter: { when: traits.score >= 5, priority: 2 }
    exits: [low]
    handoff: { to: success, ack_within: 2 workdays }
  top: { enter: { when: traits.score >= 9, priority: 3 } }
";

fn kim(reason: &str) -> Author {
    Author { name: "kim".to_owned(), reason: Some(reason.to_owned()) }
}

fn at_five(file: &Lifecycle) -> Customer {
    in_stage(customer(file, &[(0.5, "group", json!({ "score": 6 }))], 30.0), "low", 0.0)
}

fn apply(known: &mut Customer, file: &Lifecycle, at: f64, changes: &[Change]) -> Vec<String> {
    let sealed = changes.iter().map(|change| known.status.apply(change, day(at), file));
    sealed.map(|entry| serde_json::to_string(&entry).unwrap()).collect()
}

fn moved(known: &mut Customer, file: &Lifecycle, to: &str, at: f64, until: Option<f64>) {
    let facts = Facts::new(known, file, day(at));
    let changes = move_to(&facts, to, kim("we spoke"), until.map(day)).unwrap();
    apply(known, file, at, &changes);
}

#[test]
fn a_customer_moved_by_hand_stays_until_the_expiry_while_automation_proposes() {
    let file = lifecycle(FILE);
    let mut known = at_five(&file);
    moved(&mut known, &file, "top", 1.0, Some(4.0));
    assert_eq!(stage_of(&known), "top");
    for look in [1.0, 2.0, 3.99] {
        let step = step(&known, &file, day(look));
        assert_eq!(step.change, None, "on day {look}");
        assert_eq!(step.proposed.unwrap().to.as_deref(), Some("high"));
        assert!(run(&mut known, &file, day(look)).is_empty());
    }
    run(&mut known, &file, day(4.0));
    assert_eq!(stage_of(&known), "high");
    assert_eq!(known.status.hold, None);
}

#[test]
fn without_an_expiry_it_stays_until_it_is_released() {
    let file = lifecycle(FILE);
    let mut known = at_five(&file);
    moved(&mut known, &file, "top", 1.0, None);
    assert!(run(&mut known, &file, day(29.0)).is_empty());
    let facts = Facts::new(&known, &file, day(29.0));
    let change = release(&facts, Author { name: "lee".into(), reason: None }).unwrap();
    let told = apply(&mut known, &file, 29.0, &[change]);
    assert!(told[0].contains("\"kind\":\"release\"") && told[0].contains("\"author\":\"lee\""));
    run(&mut known, &file, day(29.0));
    assert_eq!(stage_of(&known), "high");
    let facts = Facts::new(&known, &file, day(29.0));
    assert_eq!(release(&facts, kim("again")), Err(Refused::NotHeld));
}

#[test]
fn the_journal_says_who_and_why_and_until_when() {
    let file = lifecycle(FILE);
    let mut known = at_five(&file);
    let facts = Facts::new(&known, &file, day(1.0));
    let changes = move_to(&facts, "top", kim("we spoke"), Some(day(4.0))).unwrap();
    let told = apply(&mut known, &file, 1.0, &changes);
    let entry: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(entry["author"], "kim");
    assert_eq!(entry["reason"], "we spoke");
    assert_eq!(entry["until"], "2026-03-06T00:00:00Z");
    assert_eq!((&entry["kind"], &entry["rule"]), (&json!("stage"), &json!("by_hand")));
    // What no person decided has none of these members, as before there were any.
    let facts = Facts::new(&known, &file, day(4.0));
    let change = step(facts.customer, &file, day(4.0)).change.unwrap();
    assert!(!apply(&mut known, &file, 4.0, &[change])[0].contains("author"));
}

#[test]
fn a_person_may_say_that_a_customer_stays_where_it_is() {
    let file = lifecycle(FILE);
    let mut known = at_five(&file);
    moved(&mut known, &file, "low", 1.0, Some(3.0));
    let stage = known.status.stage.clone().unwrap();
    assert_eq!((stage.since, stage.visit), (day(0.0), 1), "it is the same visit");
    assert!(run(&mut known, &file, day(2.0)).is_empty());
    run(&mut known, &file, day(3.0));
    assert_eq!(stage_of(&known), "high");
}

#[test]
fn what_cannot_be_done_is_said_with_what_can() {
    let file = lifecycle(FILE);
    let known = at_five(&file);
    let facts = Facts::new(&known, &file, day(1.0));
    let wrong = move_to(&facts, "hihg", kim("x"), None).unwrap_err();
    assert_eq!(wrong.to_string(), "there is no stage `hihg`: did you mean `high`?");
    assert_eq!(move_to(&facts, "top", kim("x"), Some(day(1.0))), Err(Refused::Past));
    assert_eq!(acknowledge(&facts, kim("x")), Err(Refused::NoHandoff));
    for (name, reason) in [(None, Some("x")), (Some("  "), Some("x")), (Some("a\u{7}"), Some("x"))]
    {
        assert_eq!(author(name, reason, NeedsReason::Yes), Err(Refused::NoAuthor));
    }
    assert_eq!(author(Some("kim"), Some(" "), NeedsReason::Yes), Err(Refused::NoReason));
    let long = "x".repeat(MAX_REASON + 1);
    assert_eq!(author(Some("kim"), Some(&long), NeedsReason::No), Err(Refused::NoReason));
    let good = author(Some(" kim "), None, NeedsReason::No).unwrap();
    assert_eq!(good, Author { name: "kim".into(), reason: None });
}

#[test]
fn a_handoff_opens_on_entry_and_is_overdue_until_it_is_acknowledged() {
    let file = lifecycle(FILE);
    let mut known = at_five(&file);
    let entries = run(&mut known, &file, day(1.0));
    let rules: Vec<&str> = entries.iter().map(|entry| entry.rule.as_str()).collect();
    assert_eq!(rules, ["stages.high.enter", "stages.high.handoff"]);
    let handoff = known.status.handoff.clone().unwrap();
    assert_eq!((handoff.to.as_str(), handoff.due), ("success", Some(day(3.0))));
    assert_eq!(HandoffPace::of(&handoff, day(3.0)), HandoffPace::Pending);
    assert_eq!(HandoffPace::of(&handoff, day(3.1)), HandoffPace::Overdue);

    let facts = Facts::new(&known, &file, day(3.5));
    let change = acknowledge(&facts, Author { name: "sam".into(), reason: None }).unwrap();
    apply(&mut known, &file, 3.5, &[change]);
    let handoff = known.status.handoff.clone().unwrap();
    assert_eq!(HandoffPace::of(&handoff, day(9.0)), HandoffPace::Acknowledged);
    assert_eq!(handoff.acknowledged.unwrap().author, "sam");
    let facts = Facts::new(&known, &file, day(4.0));
    assert_eq!(acknowledge(&facts, kim("x")), Err(Refused::NoHandoff), "once is enough");
}

#[test]
fn a_handoff_ends_with_its_visit() {
    let file = lifecycle(FILE);
    let mut known = at_five(&file);
    run(&mut known, &file, day(1.0));
    moved(&mut known, &file, "low", 2.0, None);
    assert_eq!(known.status.handoff, None);
    moved(&mut known, &file, "high", 3.0, None);
    assert_eq!(known.status.handoff.unwrap().since, day(3.0), "a move by hand hands over too");
}
