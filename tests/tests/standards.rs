//! Timelines of standards over the whole pack: a breach, its finding and its alert; what people say
//! of it; what mends it; how well the standard was kept.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use domain::adherence::By;
use domain::audit::first_break;
use domain::by_hand;
use domain::event::Event;
use domain::facts::Facts;
use domain::journal::{Author, Change, FindingOutcome, JournalEntry};
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::adherence::{Span, read};
use platform::store::ByHandOutcome;
use platform::sweep::SweepKind;
use serde_json::json;

const SOURCE: &str = "
version: 1
subject: user
metrics: { logins_30d: { count: login, over: 30d } }
stages:
  active: { enter: { when: metrics.logins_30d >= 0, priority: 10 } }
standards:
  answered: { respond: { to: ask, with: [call], within: 2d }, reopen_within: 5d, severity: high, owner: csm }
alerts:
  routes: [ { match: { kind: finding }, to: team } ]
  receivers: { team: { sns: team } }
";

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

struct Life {
    pack: Pack,
    key: CustomerKey,
    runs: u32,
}

impl Life {
    async fn begin() -> Life {
        let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
        pack.apply(SOURCE).await.unwrap().unwrap();
        Life { pack, key: CustomerKey::subject("ada"), runs: 0 }
    }

    /// Something happens on a day, and is told at once.
    async fn happens(&self, on: i64, name: &str) {
        self.pack.clock.set(Some(day(on)));
        let body = json!({ "type": "track", "event": name, "userId": "ada" });
        let serde_json::Value::Object(body) = body else { unreachable!() };
        let event = Event::from_body(format!("{name}-{on}"), day(on), day(on), body).unwrap();
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        self.pack.store.commit(&self.key, &[event], &lifecycle, day(on)).await.unwrap();
    }

    /// The night after a day: what was decided about standards.
    async fn night(&mut self, on: i64) -> Vec<String> {
        let at = day(on) + SignedDuration::from_hours(12);
        self.pack.clock.set(Some(at));
        let before = self.journal().await.len();
        for function in [SweepFunction::Evaluate, SweepFunction::Comply] {
            self.runs += 1;
            let name = format!("run-{}", self.runs);
            let run = self.pack.run(function, &name, at, SweepKind::All).await.unwrap();
            assert_eq!(run.failed, 0);
        }
        self.pack.tell().await.unwrap();
        let journal = self.journal().await;
        journal[before..].iter().filter_map(told).collect()
    }

    async fn journal(&self) -> Vec<JournalEntry> {
        let mut journal = self.pack.store.journal(&self.key, 1_000, None).await.unwrap().items;
        journal.reverse();
        assert_eq!(first_break(&journal), None);
        journal
    }

    async fn says(
        &self,
        at: Timestamp,
        decide: impl Fn(&Facts<'_>) -> Result<Vec<Change>, by_hand::Refused>,
    ) {
        self.pack.clock.set(Some(at));
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let said = self.pack.store.decide_by_hand(&self.key, &lifecycle, at, decide).await.unwrap();
        assert!(matches!(said, ByHandOutcome::Done { .. }), "{said:?}");
        self.pack.tell().await.unwrap();
    }

    /// The findings of a list, as their state and how often they were opened again.
    async fn listed(&self, list: &str) -> Vec<(String, u32)> {
        let page = self.pack.store.findings(list, 100, None).await.unwrap();
        page.items.into_iter().map(|finding| (finding.state, finding.reopened)).collect()
    }

    fn alerts(&self) -> usize {
        self.pack.sns.published().len()
    }
}

fn told(entry: &JournalEntry) -> Option<String> {
    entry.rule.strip_prefix("standards.")?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(format!("{} {}>{}", entry.kind.as_str(), text(&entry.from), text(&entry.to)))
}

fn kim() -> Author {
    Author { name: "kim".to_owned(), reason: Some("we know".to_owned()) }
}

#[tokio::test]
async fn a_breach_is_found_told_acknowledged_waived_and_mended() {
    let mut life = Life::begin().await;
    life.happens(0, "ask").await;
    assert!(life.night(1).await.is_empty());
    assert_eq!(life.night(3).await, ["finding >open"]);
    assert_eq!((life.alerts(), life.listed("open").await), (1, vec![("open".to_owned(), 0)]));

    life.says(day(4), |facts| {
        let outcome = FindingOutcome::Useful;
        Ok(vec![by_hand::acknowledge_finding(facts, "answered", kim(), outcome)?])
    })
    .await;
    assert_eq!(life.listed("open").await, [("acknowledged".to_owned(), 0)]);
    assert!(life.night(4).await.is_empty());

    life.says(day(5), |facts| by_hand::waive(facts, "answered", kim(), Some(day(8)))).await;
    assert_eq!(life.listed("open").await, []);
    let waived = life.pack.store.waivers(day(6), 10, None).await.unwrap().items;
    assert_eq!(waived.len(), 1);
    assert_eq!(waived[0].standard, "answered");
    assert!(life.night(6).await.is_empty());
    assert_eq!(life.alerts(), 1, "nobody is told of what is waived");

    assert_eq!(life.night(8).await, ["finding waived>open"]);
    assert_eq!((life.alerts(), life.listed("open").await), (2, vec![("open".to_owned(), 1)]));
    assert!(life.pack.store.waivers(day(9), 10, None).await.unwrap().items.is_empty());

    life.happens(9, "call").await;
    assert_eq!(life.night(9).await, ["finding open>closed"]);
    assert_eq!((life.alerts(), life.listed("open").await), (3, Vec::new()));
    assert_eq!(life.listed("closed").await, [("closed".to_owned(), 1)]);

    // The next breach comes three days later: it is the same finding.
    life.happens(10, "ask").await;
    assert!(life.night(10).await.is_empty());
    assert_eq!(life.night(12).await, ["finding closed>open"]);
    assert_eq!(life.listed("open").await, [("open".to_owned(), 2)], "after the waiver, and now");
    assert_eq!(life.listed("closed").await, []);
}

#[tokio::test]
async fn a_breach_that_came_under_a_waiver_is_open_when_somebody_ends_it() {
    let mut life = Life::begin().await;
    life.says(day(0), |facts| by_hand::waive(facts, "answered", kim(), Some(day(8)))).await;
    life.happens(0, "ask").await;
    assert!(life.night(3).await.is_empty());
    life.says(day(4), |facts| by_hand::unwaive(facts, "answered", kim())).await;
    assert_eq!(life.listed("open").await, [("open".to_owned(), 0)]);
    assert!(life.pack.store.waivers(day(5), 10, None).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn what_was_kept_costs_one_entry_and_is_counted() {
    let mut life = Life::begin().await;
    life.happens(0, "ask").await;
    life.night(0).await;
    life.happens(1, "call").await;
    assert_eq!(life.night(1).await, ["met >met"]);
    assert!(life.night(2).await.is_empty(), "it is told once");
    life.happens(3, "ask").await;
    life.night(7).await;

    let lifecycle = life.pack.store.lifecycle().await.unwrap();
    let span = Span::new(day(-1), day(8)).unwrap();
    let rows = read(&life.pack.store, &lifecycle, By::Standard, span, day(8)).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.met, row.breached, row.open), (1, 1, 1));
    assert_eq!((row.adherence, row.p50_seconds), (Some(0.5), Some(86_400)));
    let before = Span::new(day(-9), day(-1)).unwrap();
    let rows = read(&life.pack.store, &lifecycle, By::Month, before, day(8)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.met + row.breached).sum::<u64>(), 0);
}
