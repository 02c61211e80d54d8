//! Daily roots: what they are over, and what they cost.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]
#![allow(clippy::print_stdout, reason = "figures are printed for people to see")]

use domain::audit::{days_of, first_break, whole};
use domain::event::Event;
use domain::journal::JournalEntry;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::sweep::SweepKind;
use serde_json::{Value as Json, json};

const SOURCE: &str = "
version: 1
metrics: { logins_7d: { count: login, over: 7d } }
stages:
  quiet: { enter: { when: metrics.logins_7d == 0, priority: 1 } }
  busy: { enter: { when: metrics.logins_7d > 0, priority: 2 } }
alerts: { routes: [{ to: team }], receivers: { team: { sns: team } } }
";

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

struct Timeline {
    pack: Pack,
    runs: u64,
}

impl Timeline {
    async fn start() -> Timeline {
        let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
        pack.apply(SOURCE).await.unwrap().unwrap();
        Timeline { pack, runs: 0 }
    }

    async fn log_in(&self, customers: std::ops::Range<u32>, at: Timestamp) {
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let groups = customers.map(|n| {
            let body = json!({ "type": "track", "event": "login", "userId": "ada" });
            let Json::Object(body) = body else { panic!("a call is an object") };
            let event = Event::from_body(format!("login-{n}-{at}"), at, at, body).unwrap();
            (CustomerKey::subject(&format!("account-{n:04}")), vec![event])
        });
        let groups: Vec<_> = groups.collect();
        self.pack.store.commit_bulk(&groups, &lifecycle, at).await.unwrap();
    }

    async fn runs(&mut self, function: SweepFunction, at: Timestamp) {
        self.pack.clock.set(Some(at.max(self.pack.clock.now())));
        self.runs += 1;
        let name = format!("run-{}", self.runs);
        self.pack.run(function, &name, at, SweepKind::All).await.unwrap();
    }

    /// The roots, the oldest first.
    async fn roots(&self) -> Vec<JournalEntry> {
        let page = self.pack.store.journal(&CustomerKey::roots(), 100, None).await.unwrap();
        page.items.into_iter().rev().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_day_has_a_root_over_what_was_decided_and_what_came_late() {
    let mut timeline = Timeline::start().await;
    timeline.log_in(0..3, day(0)).await;
    timeline.runs(SweepFunction::Evaluate, day(0)).await;
    timeline.runs(SweepFunction::Comply, day(1)).await;
    // A second run of the same day makes no second root; a day on which nothing happened has one.
    timeline.runs(SweepFunction::Comply, day(1)).await;
    timeline.runs(SweepFunction::Comply, day(2)).await;
    // Decided as of the day before yesterday, by a run that was handed on for long.
    timeline.log_in(3..5, day(1)).await;
    timeline.runs(SweepFunction::Evaluate, day(1)).await;
    timeline.runs(SweepFunction::Comply, day(3)).await;

    let roots = timeline.roots().await;
    assert_eq!(first_break(&roots), None);
    let days: Vec<_> = roots.iter().map(|root| Json::from_iter(days_of(root))).collect();
    let expected = [
        json!({ "2026-01-01": 3 }),
        json!({ "2026-01-02": 0 }),
        json!({ "2026-01-02": 2, "2026-01-03": 0 }),
    ];
    assert_eq!(days, expected);
    for root in &roots {
        let listed = timeline.pack.store.root_leaves(root.seq, None).await.unwrap().items;
        let listed: Vec<_> = listed.into_iter().flatten().collect();
        let hashes: Vec<[u8; 32]> = listed.iter().map(|leaf| leaf.hash).collect();
        assert_eq!(root.to.as_deref(), Some(whole(&hashes).as_str()));
        let there = timeline.pack.store.hashes_of(&listed).await.unwrap();
        assert_eq!(there, hashes.into_iter().map(Some).collect::<Vec<_>>());
    }
    timeline.pack.tell().await.unwrap();
    let subjects: Vec<_> =
        timeline.pack.sns.published().into_iter().filter_map(|one| one.subject).collect();
    assert_eq!(subjects.len(), 5, "nobody hears of a root: {subjects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_costs_little_for_each_entry_and_nothing_for_the_others() {
    let mut timeline = Timeline::start().await;
    let count = 1_200;
    timeline.runs(SweepFunction::Comply, day(0)).await;
    timeline.log_in(0..count, day(0)).await;
    timeline.runs(SweepFunction::Evaluate, day(0)).await;
    let units = |pack: &Pack| {
        let rows = pack.capacity().into_iter().filter(|row| row.function == "comply");
        let rows = rows.filter(|row| row.table == "journal" || row.table == "control");
        rows.fold((0.0, 0.0), |(reads, writes), row| {
            (reads + row.read_units, writes + row.write_units)
        })
    };
    timeline.pack.reset_capacity();
    timeline.runs(SweepFunction::Comply, day(1)).await;
    let (reads, writes) = units(&timeline.pack);
    let each = f64::from(count);
    println!("root over {count} entries: {reads} RRU, {writes} WRU");
    assert!(reads / each <= 0.6, "{reads} RRU for {count} entries");
    assert!(writes / each <= 0.1, "{writes} WRU for {count} entries");

    // However many customers and entries there are: a day of nothing.
    timeline.pack.reset_capacity();
    timeline.runs(SweepFunction::Comply, day(2)).await;
    let (reads, writes) = units(&timeline.pack);
    println!("root over nothing: {reads} RRU, {writes} WRU");
    assert!(reads <= 40.0 && writes <= 16.0, "{reads} RRU, {writes} WRU for a day of nothing");
}
