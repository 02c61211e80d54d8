//! Timelines over the whole pack: events in; stages, risk, findings and alerts out.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]
#![allow(clippy::print_stdout, reason = "figures are printed for people to see")]

use std::collections::BTreeMap;

use domain::audit::first_break;
use domain::event::Event;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::store::CustomerFilter;
use platform::sweep::{RunOutcome, SweepKind};
use serde_json::{Value as Json, json};

const SOURCE: &str = "
version: 1
subject: account
traits:
  name: text?
  plan: [trial, team]
  csm:  email?
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
segments:
  paying: traits.plan == \"team\"
stages:
  onboarding:
    enter: { when: segment.paying, priority: 10 }
    target: 10d
  adopting:
    enter: { when: metrics.logins_7d >= 3, priority: 20 }
  will_churn:
    enter: { when: metrics.idle_days > 14, for: 2d, priority: 60 }
health:
  factors:
    usage: { weight: 100, value: metrics.logins_7d, worst: 0, best: 5 }
risk:
  model: scorecard
  factors:
    idle: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 }
  bands: { low: 0, high: 0.5 }
standards:
  kickoff_held:
    deadline: { stage: onboarding, event: kickoff_call, within: 5d }
    severity: high
    owner: traits.csm
alerts:
  routes:
    - { match: { kind: finding }, to: urgent }
    - { to: team }
  receivers:
    team: { sns: team }
    urgent: { sns: urgent }
";

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

fn acme() -> CustomerKey {
    CustomerKey::subject("acme")
}

fn event(id: &str, at: Timestamp, body: Json) -> Event {
    let Json::Object(body) = body else { panic!("a call is an object") };
    Event::from_body(id.to_owned(), at, at, body).unwrap()
}

fn login(at: Timestamp, user: &str) -> Event {
    let body = json!({ "type": "track", "event": "login", "userId": user });
    event(&format!("login-{user}-{at}"), at, body)
}

fn joins(at: Timestamp) -> Event {
    let traits = json!({ "name": "Acme <GmbH>", "plan": "team", "csm": "kim@example.com" });
    let body = json!({ "type": "group", "userId": "ada", "groupId": "acme", "traits": traits });
    event(&format!("group-{at}"), at, body)
}

struct Timeline {
    pack: Pack,
    runs: u64,
}

impl Timeline {
    async fn start(source: &str) -> Timeline {
        let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
        pack.apply(source).await.unwrap().unwrap();
        Timeline { pack, runs: 0 }
    }

    async fn happens(&self, events: &[Event]) {
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let now = self.pack.clock.now();
        self.pack.ingest.store.commit(&acme(), events, &lifecycle, now).await.unwrap();
    }

    async fn runs(&mut self, function: SweepFunction, at: Timestamp) -> u64 {
        self.pack.clock.set(Some(at));
        self.runs += 1;
        let name = format!("run-{}", self.runs);
        let summary = self.pack.run(function, &name, at, SweepKind::All).await.unwrap();
        assert_eq!((summary.outcome, summary.failed), (RunOutcome::Done, 0));
        self.pack.tell().await.unwrap();
        summary.changed
    }

    async fn stage(&self) -> Option<String> {
        let found = self.pack.store.customer(&acme()).await.unwrap();
        found.customer.status.stage.map(|stage| stage.name)
    }

    fn alerts(&self) -> Vec<(String, String)> {
        let published = self.pack.sns.published();
        published.into_iter().map(|one| (one.topic, one.subject.unwrap_or_default())).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_stages_risk_findings_and_alerts_out() {
    let mut timeline = Timeline::start(SOURCE).await;
    timeline.happens(&[joins(day(0)), login(day(0), "ada")]).await;
    assert_eq!(timeline.stage().await, None, "ingest moves nobody");

    assert_eq!(timeline.runs(SweepFunction::Evaluate, day(0)).await, 1);
    assert_eq!(timeline.stage().await.as_deref(), Some("onboarding"));
    assert_eq!(timeline.runs(SweepFunction::Score, day(1)).await, 1);
    assert_eq!(timeline.runs(SweepFunction::Comply, day(5)).await, 0, "not late at the deadline");
    assert_eq!(timeline.runs(SweepFunction::Comply, day(6)).await, 1);

    timeline.pack.clock.set(Some(day(7)));
    let call = json!({ "type": "track", "event": "kickoff_call", "userId": "ada" });
    timeline.happens(&[event("kickoff", day(7), call)]).await;
    assert_eq!(timeline.runs(SweepFunction::Comply, day(7)).await, 1, "mended, so closed");

    timeline.runs(SweepFunction::Evaluate, day(15)).await;
    assert_eq!(timeline.stage().await.as_deref(), Some("onboarding"), "idle for 15 days: not yet");
    timeline.runs(SweepFunction::Evaluate, day(16)).await;
    assert_eq!(timeline.stage().await.as_deref(), Some("onboarding"), "over 14 days for one day");
    timeline.runs(SweepFunction::Evaluate, day(17)).await;
    assert_eq!(timeline.stage().await.as_deref(), Some("will_churn"), "… for two days");
    timeline.runs(SweepFunction::Score, day(17)).await;

    let expected = [
        ("team", "Acme <GmbH>: starts in onboarding"),
        ("team", "Acme <GmbH>: churn risk low"),
        ("urgent", "Acme <GmbH>: standard kickoff_held breached"),
        ("urgent", "Acme <GmbH>: standard kickoff_held no longer breached"),
        ("team", "Acme <GmbH>: onboarding → will_churn"),
        ("team", "Acme <GmbH>: churn risk low → high"),
    ];
    let expected = expected.map(|(topic, subject)| (topic.to_owned(), subject.to_owned()));
    assert_eq!(timeline.alerts(), expected);

    let moved = &timeline.pack.sns.published()[4];
    let message: BTreeMap<String, String> = serde_json::from_str(&moved.message).unwrap();
    assert!(message["email"].contains("metrics.idle_days > 14 (metrics.idle_days = 17)"));
    let chat: Json = serde_json::from_str(&message["https"]).unwrap();
    assert_eq!(chat["source"], "custom");
    let description = chat["content"]["description"].as_str().unwrap();
    assert!(description.contains("Acme &lt;GmbH&gt;"), "{description}");
    assert_eq!(moved.attributes["kind"], "stage");

    let journal = timeline.pack.store.journal(&acme(), 100, None).await.unwrap();
    let mut entries = journal.items;
    entries.reverse();
    assert_eq!(entries.len(), 6);
    assert_eq!(first_break(&entries), None);
    let breached = &entries[2];
    assert_eq!(breached.rule, "standards.kickoff_held");
    assert_eq!(breached.config_hash, timeline.pack.store.lifecycle().await.unwrap().hash);
    let open = timeline.pack.store.findings("open", 10, None).await.unwrap();
    let closed = timeline.pack.store.findings("closed", 10, None).await.unwrap();
    assert_eq!((open.items.len(), closed.items.len()), (0, 1));
    assert_eq!(closed.items[0].closed_at, Some(day(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_change_in_the_file_moves_a_customer_and_says_why() {
    let mut timeline = Timeline::start(SOURCE).await;
    timeline.happens(&[joins(day(0)), login(day(0), "ada"), login(day(0), "ben")]).await;
    timeline.runs(SweepFunction::Evaluate, day(0)).await;
    assert_eq!(timeline.stage().await.as_deref(), Some("onboarding"));

    let bar = "metrics.users_7d >= 2";
    let changed = SOURCE
        .replace("metrics.logins_7d >= 3", bar)
        .replace("idle_days: {", "users_7d: { distinct: user, over: 7d }\n  idle_days: {");
    assert!(timeline.pack.apply(&changed).await.unwrap().unwrap(), "another file");
    assert_eq!(timeline.runs(SweepFunction::Evaluate, day(1)).await, 1);
    assert_eq!(timeline.stage().await.as_deref(), Some("adopting"));
    let published = timeline.pack.sns.published();
    let last = published.last().unwrap();
    assert!(last.message.contains(bar) && last.message.contains("metrics.users_7d = 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_fires_twice_runs_once() {
    let timeline = Timeline::start(SOURCE).await;
    timeline.happens(&[joins(day(0))]).await;
    let run = || timeline.pack.run(SweepFunction::Evaluate, "nightly", day(1), SweepKind::All);
    let (first, second) = (run().await.unwrap(), run().await.unwrap());
    assert_eq!((first.outcome, first.changed), (RunOutcome::Done, 1));
    assert_eq!((second.outcome, second.changed), (RunOutcome::AlreadyDone, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_sns_did_not_take_is_sent_later_and_once() {
    let mut timeline = Timeline::start(SOURCE).await;
    timeline.happens(&[joins(day(0))]).await;
    // More failures than the SDK's own attempts.
    timeline.pack.sns.fail_next(6, 503, "ServiceUnavailable");
    timeline.runs(SweepFunction::Evaluate, day(0)).await;
    for _ in 0..3 {
        timeline.pack.tell().await.unwrap();
    }
    let expected = ("team".to_owned(), "Acme <GmbH>: starts in onboarding".to_owned());
    assert_eq!(timeline.alerts(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn due_customers_are_looked_at_and_untouched_ones_cost_nothing() {
    let timeline = Timeline::start(SOURCE).await;
    let lifecycle = timeline.pack.store.lifecycle().await.unwrap();
    for n in 0..40 {
        let key = CustomerKey::subject(&format!("account-{n:02}"));
        let store = &timeline.pack.ingest.store;
        store.commit(&key, &[joins(day(0))], &lifecycle, day(0)).await.unwrap();
    }
    let due = |name: &'static str, at| {
        timeline.pack.run(SweepFunction::Evaluate, name, at, SweepKind::Due)
    };
    assert_eq!(due("first", day(0)).await.unwrap().changed, 40);
    timeline.pack.reset_capacity();
    let again = due("second", day(0)).await.unwrap();
    assert_eq!((again.visited, again.changed), (0, 0));
    let read: f64 = timeline.pack.capacity().iter().map(|row| row.read_units).sum();
    assert!(read <= 2.5, "{read} units for empty shards and the feeds, whatever the fleet");
}

#[tokio::test(flavor = "multi_thread")]
async fn billed_units_stay_within_the_table() {
    let mut timeline = Timeline::start(SOURCE).await;
    let lifecycle = timeline.pack.store.lifecycle().await.unwrap();
    let count = 400;
    let mut groups = Vec::new();
    for n in 0..count {
        let key = CustomerKey::subject(&format!("account-{n:03}"));
        groups.push((key, vec![joins(day(0)), login(day(0), "ada"), login(day(0), "ben")]));
    }
    timeline.pack.store.commit_bulk(&groups, &lifecycle, day(0)).await.unwrap();

    timeline.pack.reset_capacity();
    timeline.runs(SweepFunction::Evaluate, day(1)).await;
    let writes = |pack: &Pack, function: &str, tables: &[&str]| -> f64 {
        let rows = pack.capacity().into_iter();
        let rows = rows.filter(|row| row.function == function && tables.contains(&row.table));
        rows.map(|row| row.write_units).sum()
    };
    let moved = writes(&timeline.pack, "evaluate", &["customers", "journal"]) / f64::from(count);
    assert!(moved <= 10.0, "a stage transition with its entry: {moved} WRU");

    // Everything is decided; now visit again and again.
    timeline.runs(SweepFunction::Score, day(1)).await;
    timeline.runs(SweepFunction::Comply, day(1)).await;
    timeline.pack.reset_capacity();
    for function in SweepFunction::ALL {
        assert_eq!(timeline.runs(function, day(1)).await, 0);
    }
    for row in timeline.pack.capacity() {
        if row.table == "customers" {
            let each = row.read_units / f64::from(count);
            assert!(each <= 0.17, "{}: {each} RRU for an untouched customer", row.function);
            assert_eq!(row.write_units, 0.0, "{}", row.function);
        }
        assert!(row.table != "journal" || row.write_units == 0.0);
    }
    println!("transition {moved:.2} WRU; visits {:?}", timeline.pack.capacity());
    let page = timeline.pack.store.customers(&CustomerFilter::default(), 5, None).await.unwrap();
    assert_eq!(page.items.len(), 5);
}
