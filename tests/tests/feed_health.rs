//! A source that dies and comes back: one finding, one alert, nobody moved by silence, and nothing lost.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use domain::feed::health::Health;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::sweep::SweepKind;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

const FILE: &str = "
version: 1
workspace: { name: Acme }
subject: account
traits: { name: text?, churn_notice: date? }
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
  tickets_7d: { count: ticket, over: 7d }
stages:
  active: { enter: { when: metrics.logins_7d > 0, priority: 1 } }
  at_risk: { enter: { when: metrics.idle_days >= 3, priority: 5 } }
  crisis: { enter: { when: metrics.tickets_7d > 1 && metrics.idle_days >= 0, priority: 7 } }
  leaving: { enter: { when: has(traits.churn_notice), priority: 9 } }
feeds:
  product: { events: [login], expect_every: 1h }
  support: { events: [ticket] }
standards:
  in_touch: { silence: { events: [login], limit: 2d }, severity: high, owner: ops }
alerts:
  group_wait: 0s
  group_interval: 1m
  repeat_interval: 60d
  routes:
    - { match: { kind: feed_silent }, to: data }
    - { match: { kind: [stage, finding, risk] }, to: team }
  receivers: { data: { sns: data }, team: { sns: team } }
  inhibit:
    - { when: { kind: feed_silent }, mute: { kind: [stage, risk, finding] }, where: depends_on_feed }
";

fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

struct World {
    pack: Pack,
    runs: u64,
    ids: u64,
    told: usize,
}

impl World {
    /// So many accounts that logged in once, and what was told of that is over.
    async fn of(accounts: usize) -> World {
        let pack = Pack::open(None, LocalClock::manual(start())).await.unwrap();
        pack.apply(FILE).await.unwrap().unwrap();
        pack.store.add_write_key("key", "tests", start()).await.unwrap();
        let mut world = World { pack, runs: 0, ids: 0, told: 0 };
        let logins: Vec<Json> = (0..accounts).map(|n| world.track("login", &account(n))).collect();
        for part in logins.chunks(100) {
            world.send(part.to_vec()).await;
        }
        world.night().await;
        world.minutes(5).await;
        assert_eq!(world.stages().await, [("active", accounts)]);
        world.news();
        world
    }

    fn track(&mut self, name: &str, account: &str) -> Json {
        self.ids += 1;
        let id = format!("{name}-{account}-{}", self.ids);
        json!({ "type": "track", "event": name, "userId": format!("u-{account}"),
            "messageId": id, "timestamp": self.pack.clock.now(), "context": { "groupId": account } })
    }

    async fn send(&self, batch: Vec<Json>) {
        let body = Body::from(json!({ "batch": batch }).to_string());
        let request = Request::post("/v1/batch").header("authorization", "Bearer key").body(body);
        let router = ingest::router(Arc::clone(&self.pack.ingest));
        let answer = router.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let body: Json =
            serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap())
                .unwrap();
        assert_eq!(body["rejected"], json!([]), "{body}");
    }

    async fn run(&mut self, function: SweepFunction, kind: SweepKind) {
        self.runs += 1;
        let (name, now) = (format!("run-{}", self.runs), self.pack.clock.now());
        self.pack.run(function, &name, now, kind).await.unwrap();
    }

    /// What a night brings, and what is told of it.
    async fn night(&mut self) {
        for function in [SweepFunction::Score, SweepFunction::Evaluate, SweepFunction::Comply] {
            self.run(function, SweepKind::All).await;
        }
        self.tell().await;
    }

    /// The run that comes every five minutes.
    async fn due(&mut self) {
        self.run(SweepFunction::Evaluate, SweepKind::Due).await;
        self.tell().await;
    }

    async fn tell(&self) {
        self.pack.tell().await.unwrap();
        self.pack.tick().await.unwrap();
    }

    async fn minutes(&self, minutes: i64) {
        let now = self.pack.clock.now() + SignedDuration::from_mins(minutes);
        self.pack.clock.set(Some(now));
        self.tell().await;
    }

    /// How many customers are in which stage.
    async fn stages(&self) -> Vec<(&'static str, usize)> {
        let mut counts = Vec::new();
        for stage in ["active", "at_risk", "crisis", "leaving"] {
            let (_, found) = self.api(&format!("/api/customers?stage={stage}&limit=1000")).await;
            let count = found["items"].as_array().map_or(0, Vec::len);
            if count > 0 {
                counts.push((stage, count));
            }
        }
        counts
    }

    async fn stage(&self, account: &str) -> String {
        let found = self.pack.store.customer(&CustomerKey::subject(account)).await.unwrap();
        found.customer.status.stage.map_or_else(String::new, |stage| stage.name)
    }

    async fn api(&self, path: &str) -> (u16, Json) {
        let router = console::router(Arc::clone(&self.pack.console));
        let request = Request::builder().method(Method::GET).uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn feed(&self, name: &str) -> Json {
        let (_, all) = self.api("/api/feeds").await;
        let mut items = all["items"].as_array().unwrap().iter();
        items.find(|found| found["name"] == name).cloned().unwrap()
    }

    /// Topic and subject of what was published since it was last asked.
    fn news(&mut self) -> Vec<(String, String)> {
        let published = self.pack.sns.published();
        let new = published.into_iter().skip(self.told);
        let new: Vec<_> = new.map(|one| (one.topic, one.subject.unwrap_or_default())).collect();
        self.told += new.len();
        new
    }
}

fn account(n: usize) -> String {
    format!("a{n:03}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_is_one_finding_and_moves_nobody_until_it_is_back() {
    let mut world = World::of(4).await;
    world.minutes(54).await;
    world.due().await;
    assert!(world.news().is_empty(), "for an hour it may be silent");
    world.minutes(10).await;
    world.due().await;
    let told = world.news();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "data");
    assert!(told[0].1.contains("feed product is silent"), "{told:?}");
    let feed = world.feed("product").await;
    assert_eq!((&feed["state"], &feed["finding"]["state"]), (&json!("late"), &json!("open")));
    assert_eq!(feed["silent_since"], json!(start()));
    assert_eq!(world.feed("support").await["state"], "fresh");

    // Days pass: nobody is at risk, no promise is broken, and nothing more is said.
    for _ in 0..5 {
        world.minutes(24 * 60).await;
        world.night().await;
        world.due().await;
    }
    assert_eq!(world.stages().await, [("active", 4)]);
    assert_eq!(world.api("/api/findings").await.1["items"], json!([]));
    let told = world.news();
    assert!(told.is_empty(), "{told:?}");
    let (_, told) = world.api("/api/customers/a001/explain").await;
    let others = told["others"].as_array().unwrap();
    let at_risk = others.iter().find(|other| other["stage"] == "at_risk").unwrap();
    assert_eq!(at_risk["code"], "feed_silent", "{at_risk}");
    let want = format!("held: the feed `product` is silent since {}", start());
    assert_eq!(at_risk["why_not"], json!(want));

    // What others tell goes on; what rests on the silent feed is not told meanwhile.
    let notice = json!({ "type": "group", "userId": "u-a002", "groupId": "a002", "messageId": "n",
        "traits": { "churn_notice": "2026-04-01" } });
    world.send(vec![notice]).await;
    let tickets = vec![world.track("ticket", "a003"), world.track("ticket", "a003")];
    world.send(tickets).await;
    world.night().await;
    world.minutes(5).await;
    assert_eq!(world.stage("a002").await, "leaving");
    assert_eq!(world.stage("a003").await, "crisis");
    let told = world.news();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0 == "team" && told[0].1.contains("leaving"), "{told:?}");
    let (_, log) = world.api("/api/notifications").await;
    let muted: Vec<&Json> =
        log["items"].as_array().unwrap().iter().filter(|one| one["what"] == "muted").collect();
    assert_eq!(muted.len(), 1, "{log}");
    assert_eq!(muted[0]["reason"], "depends_on_feed");

    // It is back: of one account the logins had been kept, of the others there were none.
    let login = world.track("login", "a000");
    world.send(vec![login]).await;
    world.due().await;
    world.minutes(10).await;
    world.due().await;
    let feed = world.feed("product").await;
    assert_eq!((&feed["state"], &feed["finding"]["state"]), (&json!("fresh"), &json!("closed")));
    assert_eq!(world.stage("a000").await, "active");
    assert_eq!(world.stage("a001").await, "at_risk", "released at once, not at night");
    world.run(SweepFunction::Comply, SweepKind::All).await;
    world.minutes(10).await;
    let findings = world.api("/api/findings").await.1;
    assert_eq!(findings["items"].as_array().unwrap().len(), 3, "{findings}");
    let told = world.news();
    assert!(told.iter().any(|(to, what)| to == "data" && what.contains("resolved")), "{told:?}");
    assert!(told.iter().any(|(to, what)| to == "team" && what.contains("crisis")), "{told:?}");

    // What is of no customer is in a journal of its own, which verifies.
    let journal = world.pack.store.journal(&CustomerKey::workspace(), 10, None).await.unwrap();
    let told: Vec<_> = journal.items.iter().map(|entry| (entry.seq, entry.to.clone())).collect();
    assert_eq!(told, [(2, Some("closed".to_owned())), (1, Some("open".to_owned()))]);
    assert!(journal.items.iter().all(domain::journal::JournalEntry::is_intact));
    assert_eq!(journal.items[0].prev, journal.items[1].hash);
    let watched = world.pack.store.watched_feeds().await.unwrap();
    assert_eq!(watched["product"].health.health, Health::Fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_customers_of_a_dead_feed_are_one_alert() {
    let mut world = World::of(500).await;
    world.minutes(4 * 24 * 60).await;
    world.pack.reset_capacity();
    world.night().await;
    world.minutes(5).await;
    let told = world.news();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "data");
    assert_eq!(world.stages().await, [("active", 500)]);

    // Watching costs the same for five hundred customers as for four.
    let mut few = World::of(4).await;
    few.minutes(4 * 24 * 60).await;
    few.night().await;
    let read = |world: &World| {
        let rows = world.pack.capacity();
        let of_control = rows.iter().filter(|row| {
            row.table == "control" && ["evaluate", "score", "comply"].contains(&row.function)
        });
        of_control.map(|row| row.read_units).sum::<f64>()
    };
    few.pack.reset_capacity();
    world.pack.reset_capacity();
    few.minutes(24 * 60).await;
    world.minutes(24 * 60).await;
    few.night().await;
    world.night().await;
    assert!(read(&world) <= read(&few) + 1.0, "{} and {}", read(&world), read(&few));
}
