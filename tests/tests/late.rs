//! Events that come late: they count where they belong, and what they would have changed is said.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use domain::audit::first_break;
use domain::event::Event;
use domain::journal::ChangeKind;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::sweep::SweepKind;
use serde_json::json;

const SOURCE: &str = "
version: 1
subject: user
metrics:
  idle_days: { days_since: login }
stages:
  active: { enter: { when: metrics.idle_days <= 7, priority: 10 } }
  quiet: { enter: { when: metrics.idle_days > 7, priority: 20 } }
alerts:
  routes: [ { to: team } ]
  receivers: { team: { sns: team } }
";

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

fn login(at: Timestamp) -> Event {
    let body = json!({ "type": "track", "event": "login", "userId": "ada" });
    event(&format!("login-{at}"), at, body)
}

fn event(id: &str, at: Timestamp, body: serde_json::Value) -> Event {
    let serde_json::Value::Object(body) = body else { unreachable!() };
    Event::from_body(id.to_owned(), at, at, body).unwrap()
}

struct Life {
    pack: Pack,
    key: CustomerKey,
    runs: u32,
}

impl Life {
    async fn begin() -> Life {
        Life::of(SOURCE, "ada").await
    }

    async fn of(file: &str, customer: &str) -> Life {
        let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
        pack.apply(file).await.unwrap().unwrap();
        Life { pack, key: CustomerKey::subject(customer), runs: 0 }
    }

    async fn told(&self, on: i64, events: &[Event]) {
        self.told_of(&self.key, on, events).await;
    }

    async fn told_of(&self, key: &CustomerKey, on: i64, events: &[Event]) {
        self.pack.clock.set(Some(day(on)));
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        self.pack.store.commit(key, events, &lifecycle, day(on)).await.unwrap();
    }

    async fn night(&mut self, on: i64) -> u64 {
        self.pack.clock.set(Some(day(on)));
        self.runs += 1;
        let name = format!("night-{}", self.runs);
        let run = self.pack.run(SweepFunction::Evaluate, &name, day(on), SweepKind::All).await;
        self.pack.tell().await.unwrap();
        run.unwrap().changed
    }
}

#[tokio::test]
async fn a_late_event_revises_the_decision_it_would_have_changed_and_rewrites_nothing() {
    let mut life = Life::begin().await;
    life.told(0, &[login(day(0))]).await;
    life.night(1).await;
    life.night(9).await;
    assert_eq!(life.pack.store.customer(&life.key).await.unwrap().late_from, None);
    let before = life.pack.store.journal(&life.key, 10, None).await.unwrap().items;
    assert_eq!(before[0].to.as_deref(), Some("quiet"));

    // A device that was offline tells of the login of day 5.
    life.told(10, &[login(day(5))]).await;
    assert_eq!(life.pack.store.customer(&life.key).await.unwrap().late_from, Some(day(5)));
    assert_eq!(life.night(10).await, 1, "the customer is active again");
    let found = life.pack.store.customer(&life.key).await.unwrap();
    assert_eq!(
        (found.late_from, found.customer.status.stage.unwrap().name.as_str()),
        (None, "active")
    );

    let mut journal = life.pack.store.journal(&life.key, 10, None).await.unwrap().items;
    journal.reverse();
    assert_eq!(first_break(&journal), None);
    let kinds: Vec<ChangeKind> = journal.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [ChangeKind::Stage, ChangeKind::Stage, ChangeKind::Revision, ChangeKind::Stage]
    );
    let revision = &journal[2];
    assert_eq!((revision.from.as_deref(), revision.to.as_deref()), (Some("quiet"), Some("active")));
    assert_eq!(revision.reasons[0].inputs["entry"], 2);
    assert_eq!(journal[1], before[0], "the past stays as it was");
    let alerts = life.pack.sns.published();
    assert_eq!(alerts.len(), 3, "nobody is told of what is only for the record: {alerts:?}");

    assert_eq!(life.night(11).await, 0);
    let journal = life.pack.store.journal(&life.key, 10, None).await.unwrap().items;
    assert_eq!(journal.len(), 4, "it is said once");
}

#[tokio::test]
async fn what_comes_in_time_is_neither_marked_nor_looked_at_again() {
    let mut life = Life::begin().await;
    for on in 0..6 {
        life.told(on, &[login(day(on))]).await;
        life.night(on).await;
        assert_eq!(life.pack.store.customer(&life.key).await.unwrap().late_from, None);
    }
    // The same again is a duplicate, and marks nothing.
    life.told(6, &[login(day(0))]).await;
    assert_eq!(life.pack.store.customer(&life.key).await.unwrap().late_from, None);
    life.pack.reset_capacity();
    life.night(6).await;
    let rows = life.pack.capacity();
    let log_reads = rows.iter().filter(|row| row.function == "evaluate" && row.table == "events");
    assert!(log_reads.map(|row| row.read_units).sum::<f64>() == 0.0, "{rows:?}");
}

#[tokio::test]
async fn a_decision_about_an_account_is_revised_by_what_was_below_it() {
    let file = SOURCE
        .replace("subject: user", "subject: account\ntraits: { parent: account? }")
        .replace("days_since: login", "days_since: login, roll_up: true");
    let mut life = Life::of(&file, "holding").await;
    let north = CustomerKey::subject("north");
    let below = json!({ "type": "group", "groupId": "north", "userId": "bob",
        "traits": { "parent": "holding" } });
    life.told(0, &[login(day(0))]).await;
    life.told_of(&north, 0, &[event("below", day(0), below)]).await;
    life.night(1).await;
    life.night(9).await;
    let before = life.pack.store.journal(&life.key, 10, None).await.unwrap().items;
    assert_eq!(before[0].to.as_deref(), Some("quiet"));

    // The account below logged in on day 5, which is told late; so is something of its own.
    let note = json!({ "type": "track", "event": "note", "userId": "ada" });
    life.told_of(&north, 10, &[login(day(5))]).await;
    life.told(10, &[event("note", day(6), note)]).await;
    assert_eq!(life.pack.store.customer(&life.key).await.unwrap().late_from, Some(day(6)));
    life.night(10).await;
    let journal = life.pack.store.journal(&life.key, 10, None).await.unwrap().items;
    let revision = journal.iter().find(|entry| entry.kind == ChangeKind::Revision).unwrap();
    assert_eq!((revision.from.as_deref(), revision.to.as_deref()), (Some("quiet"), Some("active")));
    assert_eq!(life.pack.store.customer(&life.key).await.unwrap().late_from, None);
}
