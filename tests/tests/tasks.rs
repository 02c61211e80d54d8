//! Timelines of tasks over the whole pack: a stage is entered, tasks open, are done or overdue, are
//! escalated, and close when their cause is over.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use domain::audit::first_break;
use domain::event::Event;
use domain::journal::JournalEntry;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::store::{Person, PrivacyAction};
use platform::sweep::{RunOutcome, SweepKind};
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

const FILE: &str = r#"
version: 1
subject: account
traits: { name: text?, csm: email?, mrr: number?, plan: [team, enterprise] }
metrics:
  idle_days: { days_since: login }
  calls: { count: call, over: 90d }
segments: { big: traits.mrr >= 1000 }
stages:
  active: { enter: { when: metrics.idle_days < 7, priority: 10 } }
  quiet: { enter: { when: metrics.idle_days >= 7, priority: 20 }, on_enter: [rescue, tell] }
risk:
  model: scorecard
  factors: { idle: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 } }
  value: traits.mrr * 12
  bands: { low: 0, high: 0.5 }
playbooks:
  rescue:
    do:
      - name: call
        task:
          title: "Call {{name}}: idle {{metrics.idle_days}} days"
          owner: csm
          due: 2 workdays
          priority: high
          effort: 30
          checklist: [look, call]
          escalate: [ { after: 1 workday, to: lead } ]
      - { name: visit, if: segment.big, task: { title: "Visit {{name}}", owner: field, due: 5d, effort: 240 } }
  tell:
    do:
      - { if: segment.big, notify: { severity: critical, text: "{{name}} is quiet <now>" } }
      - { message: { purpose: check_in, window: 60d, template: miss_you } }
messages: { to: mail }
standards:
  acted_on: { task_overdue: any, severity: high, owner: lead }
alerts:
  routes:
    - { match: { kind: task, state: [overdue, escalated] }, to: team }
    - { match: { kind: playbook }, to: team }
    - { match: { kind: finding }, to: team }
  receivers: { team: { sns: team }, mail: { sns: mail } }
"#;

/// Noon of a day; day 0 is a Monday.
fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

fn call(id: &str, at: Timestamp, body: Json) -> Event {
    let Json::Object(body) = body else { panic!("a call is an object") };
    Event::from_body(id.to_owned(), at, at, body).unwrap()
}

fn login(at: Timestamp) -> Event {
    let body = json!({ "type": "track", "event": "login", "userId": "ada" });
    call(&format!("login-{at}"), at, body)
}

fn joins(id: &str, mrr: u32, at: Timestamp) -> Event {
    let traits = json!({ "name": format!("{id} Ltd"), "csm": "kim@example.com", "mrr": mrr });
    let body = json!({ "type": "group", "userId": "ada", "groupId": id, "traits": traits });
    call(&format!("group-{id}"), at, body)
}

/// Whether no entry of a journal, newest first, was changed or taken out.
fn is_whole(journal: &[JournalEntry]) -> bool {
    let mut journal = journal.to_vec();
    journal.reverse();
    first_break(&journal).is_none()
}

struct World {
    pack: Pack,
    api: Router,
    runs: u64,
}

impl World {
    async fn start() -> World {
        let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
        pack.apply(FILE).await.unwrap().unwrap();
        let api = console::router(Arc::clone(&pack.console));
        World { pack, api, runs: 0 }
    }

    async fn happens(&self, id: &str, events: &[Event]) {
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let now = self.pack.clock.now();
        let key = CustomerKey::subject(id);
        self.pack.ingest.store.commit(&key, events, &lifecycle, now).await.unwrap();
    }

    async fn run(&mut self, function: SweepFunction, kind: SweepKind, at: Timestamp) -> u64 {
        self.pack.clock.set(Some(at));
        self.runs += 1;
        let summary =
            self.pack.run(function, &format!("run-{}", self.runs), at, kind).await.unwrap();
        assert_eq!((summary.outcome, summary.failed), (RunOutcome::Done, 0));
        self.pack.tell().await.unwrap();
        summary.changed
    }

    /// The runs of a night: how many customers changed.
    async fn night(&mut self, at: Timestamp) -> u64 {
        let mut changed = 0;
        for function in [SweepFunction::Score, SweepFunction::Evaluate, SweepFunction::Comply] {
            changed += self.run(function, SweepKind::All, at).await;
        }
        changed
    }

    async fn request(&self, method: Method, path: &str, body: Option<Json>) -> (StatusCode, Json) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.api.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Json {
        let (status, body) = self.request(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn act(
        &self,
        customer: &str,
        task: &str,
        action: &str,
        body: Json,
    ) -> (StatusCode, Json) {
        let path = format!("/api/customers/{customer}/tasks/{task}/{action}");
        self.request(Method::POST, &path, Some(body)).await
    }

    /// Tasks of a list, as `customer id state owner`.
    async fn tasks(&self, query: &str) -> Vec<String> {
        let list = self.get(&format!("/api/tasks?{query}")).await;
        let text = |task: &Json, name: &str| task[name].as_str().unwrap().to_owned();
        let tasks = list["items"].as_array().unwrap().iter();
        let names = ["customer", "id", "state", "owner"];
        tasks.map(|task| names.map(|name| text(task, name)).join(" ")).collect()
    }

    fn published(&self, topic: &str) -> Vec<String> {
        let published = self.pack.sns.published().into_iter().filter(|one| one.topic == topic);
        published.map(|one| one.subject.unwrap_or_default()).collect()
    }

    async fn journal(&self, id: &str) -> Vec<JournalEntry> {
        let page = self.pack.store.journal(&CustomerKey::subject(id), 100, None).await.unwrap();
        page.items
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_opens_with_its_stage_runs_late_is_escalated_and_closes_with_its_cause() {
    let mut world = World::start().await;
    world.happens("acme", &[joins("acme", 100, day(0)), login(day(0))]).await;
    world.night(day(0)).await;
    assert_eq!(world.tasks("").await, Vec::<String>::new());

    // Day 7 is a Monday: due on Wednesday, at lead's from Thursday on.
    world.night(day(7)).await;
    assert_eq!(world.tasks("").await, ["acme rescue.call open csm"]);
    let customer = world.get("/api/customers/acme").await;
    let task = &customer["tasks"][0];
    assert_eq!(task["title"], "Call acme Ltd: idle 7 days");
    assert_eq!((&task["due"], &task["owner_name"]), (&json!(day(9)), &json!("kim@example.com")));
    assert_eq!(task["checklist"][1], json!({ "text": "call", "done": false }));
    assert_eq!(
        world.published("team"),
        Vec::<String>::new(),
        "tasks are quiet until they are late"
    );

    // Nothing new: nothing is written, and a visit costs what it did.
    world.pack.reset_capacity();
    assert_eq!(world.run(SweepFunction::Comply, SweepKind::All, day(8)).await, 0);
    let written: f64 = world.pack.capacity().iter().map(|row| row.write_units).sum();
    let runs_only = written - written.floor();
    assert!(runs_only == 0.0 && written <= 6.0, "the run's own marks and a root only: {written}");

    world.night(day(10)).await;
    assert_eq!(world.tasks("state=overdue").await, ["acme rescue.call overdue csm"]);
    assert_eq!(
        world.published("team"),
        [
            "acme Ltd: task overdue: Call acme Ltd: idle 7 days",
            "acme Ltd: standard acted_on breached"
        ]
    );
    world.night(day(11)).await;
    assert_eq!(world.tasks("owner=lead").await, ["acme rescue.call overdue lead"]);
    assert_eq!(world.published("team").len(), 3);
    world.night(day(12)).await;
    assert_eq!(world.published("team").len(), 3, "each is told once");

    world.pack.clock.set(Some(day(13)));
    world.happens("acme", &[login(day(13))]).await;
    world.night(day(13)).await;
    assert_eq!(world.tasks("").await, Vec::<String>::new());
    assert_eq!(world.tasks("state=done").await, ["acme rescue.call closed lead"]);
    let customer = world.get("/api/customers/acme").await;
    assert_eq!((&customer["tasks"], &customer["findings"]), (&json!([]), &json!([])));
    let journal = world.journal("acme").await;
    assert!(is_whole(&journal));
    let told: Vec<&str> = journal
        .iter()
        .rev()
        .filter(|entry| entry.rule == "playbooks.rescue.call")
        .filter_map(|entry| entry.to.as_deref())
        .collect();
    assert_eq!(told, ["open", "overdue", "escalated", "closed"]);
    let text = serde_json::to_string(&journal).unwrap();
    assert!(!text.contains("Ltd"), "titles are not in the journal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_act_on_tasks_and_the_journal_has_who_did() {
    let mut world = World::start().await;
    world.happens("acme", &[joins("acme", 100, day(0)), login(day(0))]).await;
    world.night(day(0)).await;
    world.night(day(7)).await;
    world.pack.clock.set(Some(day(8)));
    let kim = json!({ "author": "kim@example.com", "note": "on holiday" });

    let snooze = json!({ "author": "kim", "until": "2026-03-20" });
    let (status, customer) = world.act("acme", "rescue.call", "snooze", snooze.clone()).await;
    assert_eq!(status, StatusCode::OK, "{customer}");
    assert_eq!(customer["tasks"][0]["state"], "snoozed");
    assert_eq!(world.tasks("state=snoozed").await, ["acme rescue.call snoozed csm"]);
    let version = customer["version"].clone();
    let (_, again) = world.act("acme", "rescue.call", "snooze", snooze).await;
    assert_eq!(again["version"], version, "the same again changes nothing");
    assert_eq!(world.run(SweepFunction::Evaluate, SweepKind::All, day(12)).await, 0);
    assert_eq!(world.run(SweepFunction::Comply, SweepKind::All, day(12)).await, 0, "not late");
    // Midnight of the 20th is its own instant: the five-minute run sees it, once it is past.
    assert_eq!(world.run(SweepFunction::Evaluate, SweepKind::Due, day(17)).await, 0);
    let after = day(18) - SignedDuration::from_hours(11);
    assert_eq!(world.run(SweepFunction::Evaluate, SweepKind::Due, after).await, 1);
    assert_eq!(world.tasks("state=overdue").await, ["acme rescue.call overdue csm"]);

    let to = json!({ "author": "kim", "to": "bo@example.com", "note": "her account" });
    let (status, _) = world.act("acme", "rescue.call", "reassign", to).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(world.tasks("owner=bo@example.com").await.len(), 1);
    let (_, customer) =
        world.act("acme", "rescue.call", "check", json!({ "author": "bo", "item": "1" })).await;
    assert_eq!(customer["tasks"][0]["checklist"][0]["done"], true);
    let (status, customer) = world.act("acme", "rescue.call", "done", kim.clone()).await;
    assert_eq!((status, &customer["tasks"]), (StatusCode::OK, &json!([])));
    let done = world.get("/api/tasks?state=done").await;
    assert_eq!(
        (&done["items"][0]["state"], &done["items"][0]["closed_by"]),
        (&json!("done"), &json!("kim@example.com"))
    );
    let entries = world.journal("acme").await.len();
    let (status, _) = world.act("acme", "rescue.call", "done", kim.clone()).await;
    assert_eq!((status, world.journal("acme").await.len()), (StatusCode::OK, entries));
    let (status, problem) = world
        .act("acme", "rescue.call", "snooze", json!({ "author": "kim", "until": "2026-04-20" }))
        .await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("task_closed")));

    let (_, customer) = world.act("acme", "rescue.call", "reopen", kim.clone()).await;
    assert_eq!(customer["tasks"][0]["id"], "rescue.call");
    assert_eq!(world.tasks("state=done").await, Vec::<String>::new(), "it is no longer closed");
    assert_eq!(world.tasks("customer=acme").await, ["acme rescue.call open csm"]);
    let journal = world.journal("acme").await;
    assert_eq!(journal[0].author.as_deref(), Some("kim@example.com"));
    assert_eq!(journal[0].reason.as_deref(), Some("on holiday"));
    assert!(is_whole(&journal));

    for (task, action, body, code) in [
        ("rescue.cal", "done", kim.clone(), "unknown_task"),
        ("rescue", "done", kim.clone(), "unknown_task"),
        ("rescue.call", "done", json!({}), "author_missing"),
        ("rescue.call", "done", json!({ "auther": "kim" }), "invalid_body"),
        ("rescue.call", "snooze", json!({ "author": "kim", "until": "2020-01-01" }), "until_past"),
        ("rescue.call", "snooze", json!({ "author": "kim", "until": "soon" }), "invalid_until"),
        ("rescue.call", "reassign", json!({ "author": "kim", "to": " " }), "owner_missing"),
        ("rescue.call", "check", json!({ "author": "kim", "item": "9" }), "unknown_item"),
    ] {
        let (status, problem) = world.act("acme", task, action, body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)));
    }
    let (status, _) = world.act("nobody", "rescue.call", "done", kim).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_best_done_next_is_what_is_at_risk_for_each_minute() {
    let mut world = World::start().await;
    for (id, mrr) in [("small", 10), ("large", 5_000), ("middle", 200)] {
        world.happens(id, &[joins(id, mrr, day(0)), login(day(0))]).await;
    }
    world.night(day(0)).await;
    world.night(day(7)).await;
    assert_eq!(
        world.tasks("order=next_best").await,
        [
            "large rescue.call open csm",
            "large rescue.visit open field",
            "middle rescue.call open csm",
            "small rescue.call open csm"
        ]
    );
    let best = world.get("/api/tasks?order=next_best&limit=1").await;
    assert_eq!(best["items"].as_array().unwrap().len(), 1);
    // 7 of 20 days idle, of 60,000 a year.
    assert_eq!(best["items"][0]["revenue_at_risk"], 21_000.0);
    assert_eq!(world.tasks("owner=field").await, ["large rescue.visit open field"]);
    assert_eq!(world.tasks("owner=kim@example.com&order=next_best").await.len(), 3);
    world.pack.clock.set(Some(day(13)));
    let load = world.get("/api/workload").await;
    assert_eq!(
        load["items"],
        json!([
            { "owner": "kim@example.com", "open": 3, "overdue": 3, "snoozed": 0, "effort_minutes": 90 },
            { "owner": "field", "open": 1, "overdue": 1, "snoozed": 0, "effort_minutes": 240 },
        ])
    );
    let page = world.get("/api/tasks?limit=3").await;
    let next = page["next_cursor"].as_str().unwrap();
    let rest = world.get(&format!("/api/tasks?limit=3&cursor={next}")).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1, "the fourth, which is due last");
    assert_eq!(rest["items"][0]["id"], "rescue.visit");
    for (query, code) in [("state=late", "unknown_state"), ("order=best", "unknown_order")] {
        let (status, problem) =
            world.request(Method::GET, &format!("/api/tasks?{query}"), None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_are_written_to_once_and_never_when_they_asked_not_to_be() {
    let mut world = World::start().await;
    world.happens("large", &[joins("large", 5_000, day(0)), login(day(0))]).await;
    world.happens("silent", &[joins("silent", 5_000, day(0)), login(day(0))]).await;
    let ids = ["silent".to_owned()];
    let store = &world.pack.store;
    store
        .request_privacy(PrivacyAction::SuppressOnly, Person::Account, &ids, day(0))
        .await
        .unwrap();
    world.night(day(0)).await;
    world.night(day(7)).await;
    let mail: Vec<Json> = world
        .pack
        .sns
        .published()
        .into_iter()
        .filter(|one| one.topic == "mail")
        .map(|one| {
            let message: Json = serde_json::from_str(&one.message).unwrap();
            serde_json::from_str(message["default"].as_str().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(mail.len(), 1);
    assert_eq!(
        (&mail[0]["customer"], &mail[0]["purpose"], &mail[0]["template"]),
        (&json!("large"), &json!("check_in"), &json!("miss_you"))
    );
    assert_eq!(mail[0]["traits"], json!({ "name": "large Ltd" }));
    let told = world.published("team");
    assert!(told.contains(&"large Ltd: large Ltd is quiet <now>".to_owned()), "{told:?}");

    // Another visit within the window: the task is asked for again, the message is not.
    world.pack.clock.set(Some(day(8)));
    world.happens("large", &[login(day(8))]).await;
    world.night(day(8)).await;
    world.night(day(15)).await;
    assert_eq!(world.tasks("customer=large").await.len(), 2);
    assert_eq!(world.published("mail").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_by_hand_opens_the_tasks_of_its_stage() {
    let mut world = World::start().await;
    world.happens("acme", &[joins("acme", 100, day(0)), login(day(0))]).await;
    world.night(day(0)).await;
    let by = json!({ "to": "quiet", "reason": "they said so", "author": "kim" });
    let (status, customer) =
        world.request(Method::POST, "/api/customers/acme/move", Some(by)).await;
    assert_eq!((status, &customer["tasks"][0]["id"]), (StatusCode::OK, &json!("rescue.call")));
    let told = world.get("/api/customers/acme/explain").await;
    assert_eq!(told["tasks"][0]["id"], "rescue.call");
    assert_eq!(told["tasks"][0]["opened_by"]["reasons"][0]["expression"], "in the stage quiet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_a_customer_takes_its_tasks_along_and_exporting_tells_them() {
    let mut world = World::start().await;
    for id in ["acme", "other"] {
        world.happens(id, &[joins(id, 100, day(0)), login(day(0))]).await;
    }
    world.night(day(0)).await;
    world.night(day(7)).await;
    world.act("acme", "rescue.call", "done", json!({ "author": "kim" })).await;
    world
        .act("other", "rescue.call", "snooze", json!({ "author": "kim", "until": "2026-05-01" }))
        .await;
    let held = world.get("/api/privacy/export/acme").await;
    assert_eq!(held["tasks"][0]["task"]["title"], "Call acme Ltd: idle 7 days");
    assert_eq!(held["tasks"].as_array().unwrap().len(), 1);
    let request = json!({ "type": "DELETE_ONLY", "subject": "account", "ids": ["acme"] });
    let (status, _) = world.request(Method::POST, "/api/privacy/requests", Some(request)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(world.tasks("state=done").await, Vec::<String>::new());
    assert_eq!(world.tasks("").await, ["other rescue.call snoozed csm"]);
}
