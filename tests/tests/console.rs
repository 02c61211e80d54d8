//! The read API over the embedded DynamoDB: shapes, parts of lists, filters and errors.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use domain::audit::first_break;
use domain::customer::{RiskNote, RiskState};
use domain::decide::{assess_risk, decide};
use domain::event::Event;
use domain::feed::{Sender, SenderKind};
use domain::journal::JournalEntry;
use domain::lifecycle::{Lifecycle, load};
use jiff::{Timestamp, ToSpan};
use platform::handoff::Handoff;
use platform::store::{DecisionOutcome, Decisions, SetAside};
use platform::{Clock, CustomerKey, Store};
use serde_json::{Value, json};
use tests::stack::Stack;
use tower::ServiceExt as _;

const FILE: &str = r#"
version: 1
workspace: { name: Test company, timezone: UTC }
subject: account
traits:
  plan: [trial, team]
  csm: email?
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
  calls: { count: call }
segments:
  paying: traits.plan == "team"
  busy: metrics.logins_7d >= 2
stages:
  trialing: { enter: { when: traits.plan == "trial", priority: 10 } }
  customer: { enter: { when: segment.paying, priority: 20 } }
  quiet: { enter: { when: metrics.idle_days > 21, priority: 30 } }
health:
  factors:
    usage: { weight: 60, value: metrics.logins_7d, worst: 0, best: 4 }
    silence: { weight: 40, value: metrics.idle_days, worst: 20, best: 0 }
  bands: { red: 0, yellow: 51, green: 76 }
risk:
  model: scorecard
  factors:
    silence: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 }
  bands: { low: 0, high: 0.5 }
standards:
  csm_known: { required: [traits.csm], only_if: segment.paying, severity: high, owner: rev_ops }
"#;

struct Workspace {
    _stack: Stack,
    store: Store,
    lifecycle: Lifecycle,
    now: Timestamp,
    api: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Workspace {
    /// Tables without a lifecycle file.
    async fn bare() -> Workspace {
        Workspace::over(Stack::without_lifecycle(now()).await.unwrap())
    }

    async fn new() -> Workspace {
        Workspace::over(Stack::start(FILE, now()).await.unwrap())
    }

    fn over(stack: Stack) -> Workspace {
        let store = stack.store.clone();
        let handoff = Handoff::new(async |_| Ok(()));
        let app = console::App { store: store.clone(), clock: Clock::new(now), handoff };
        let api = console::router(Arc::new(app));
        Workspace { _stack: stack, store, lifecycle: load(FILE).unwrap(), now: now(), api }
    }

    /// Commits a call of a customer, so many days ago.
    async fn tell(&self, key: &CustomerKey, id: &str, days_ago: i64, call: Value) {
        let at = self.now - (24 * days_ago).hours();
        let event =
            Event::from_body(id.to_owned(), at, self.now, call.as_object().unwrap().clone());
        self.store.commit(key, &[event.unwrap()], &self.lifecycle, self.now).await.unwrap();
    }

    /// An account with a plan and logins so many days ago each.
    async fn account(&self, id: &str, plan: &str, logins: &[i64]) -> CustomerKey {
        let key = CustomerKey::subject(id);
        let facts = json!({"type": "group", "groupId": id, "traits": {"plan": plan}});
        self.tell(&key, &format!("{id}-g"), 30, facts).await;
        for (at, days_ago) in logins.iter().enumerate() {
            let login = json!({"type": "track", "event": "login", "userId": "u1"});
            self.tell(&key, &format!("{id}-{at}"), *days_ago, login).await;
        }
        self.settle(&key).await;
        key
    }

    /// Decides until nothing changes.
    async fn settle(&self, key: &CustomerKey) {
        for _ in 0..8 {
            let before = self.store.customer(key).await.unwrap();
            let decision = decide(&before.customer, &self.lifecycle, self.now);
            let mut changes = decision.into_changes();
            let assessed = assess_risk(&before.customer, &self.lifecycle, self.now);
            let risk = assessed.as_ref().map(|(risk, _)| RiskNote {
                state: RiskState {
                    probability: risk.probability,
                    band: risk.band.clone(),
                    band_since: self.now,
                    at: self.now,
                },
                week: Default::default(),
            });
            changes.extend(assessed.and_then(|(_, change)| change));
            let decisions = Decisions { changes, risk, settles_due: true };
            let decided = self.store.decide(&before, &decisions, &self.lifecycle, self.now).await;
            if decided.unwrap() == DecisionOutcome::Nothing {
                return;
            }
        }
        panic!("decisions do not come to rest");
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = self.api.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap();
        assert_eq!(head.headers["cache-control"], "no-store", "{path}");
        assert_eq!(head.headers["x-content-type-options"], "nosniff", "{path}");
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// Every item of a list, part by part, and how many parts there were.
    async fn all(&self, path: &str, limit: usize) -> (Vec<Value>, usize) {
        let joined = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{joined}limit={limit}");
        let (mut items, mut parts) = (Vec::new(), 0);
        let mut next = first.clone();
        loop {
            let part = self.get(&next).await;
            assert_eq!(keys(&part), ["items", "next_cursor"]);
            let found = part["items"].as_array().unwrap();
            assert!(found.len() <= limit, "{next}");
            items.extend(found.iter().cloned());
            parts += 1;
            assert!(parts < 100, "{first} never ends");
            match &part["next_cursor"] {
                Value::Null => return (items, parts),
                cursor => next = format!("{first}&cursor={}", cursor.as_str().unwrap()),
            }
        }
    }

    /// The problem a path answers.
    async fn problem(&self, method: Method, path: &str, status: u16, code: &str) -> Answer {
        let answer = self.ask(method, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{path}");
        let members = ["code", "detail", "message", "status", "title", "type"];
        assert_eq!(keys(&answer.body), members, "{path}");
        assert_eq!(answer.body["status"], status, "{path}");
        assert_eq!(answer.body["code"], code, "{path}");
        answer
    }
}

fn now() -> Timestamp {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn ids(items: &[Value]) -> Vec<&str> {
    let mut ids: Vec<&str> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn stages_are_counted_in_the_order_of_the_file() {
    let workspace = Workspace::new().await;
    workspace.account("a", "team", &[1]).await;
    workspace.account("b", "team", &[1]).await;
    workspace.account("c", "trial", &[25]).await;
    let stages = workspace.get("/api/stages").await;
    let expected = json!({
        "items": [
            {"stage": "trialing", "customers": 0},
            {"stage": "customer", "customers": 2},
            {"stage": "quiet", "customers": 1},
        ],
        "next_cursor": null,
    });
    assert_eq!(stages, expected);
    let (parts, count) = workspace.all("/api/stages", 2).await;
    assert_eq!((json!(parts), count), (expected["items"].clone(), 2));
}

#[tokio::test]
async fn a_customer_is_told_as_of_now_with_what_was_decided() {
    let workspace = Workspace::new().await;
    workspace.account("acme", "team", &[1, 3, 10]).await;
    let response = workspace
        .api
        .clone()
        .oneshot(Request::get("/api/customers/acme").body(Body::empty()).unwrap());
    let bytes = to_bytes(response.await.unwrap().into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let order = r#""metrics":{"logins_7d":2,"idle_days":1,"calls":0}"#;
    assert!(text.contains(order), "metrics are in the order of the file: {text}");

    let customer = workspace.get("/api/customers/acme").await;
    assert_eq!(customer["id"], "acme");
    assert_eq!(
        customer["stage"],
        json!({
            "name": "customer", "since": "2026-03-10T12:00:00Z", "days": 0, "pace": null,
            "handoff": null, "checkpoints": [],
        })
    );
    assert_eq!(customer["previous_stage"], Value::Null);
    assert_eq!(customer["traits"], json!({"plan": "team"}));
    assert_eq!(customer["segments"], json!(["paying", "busy"]));
    assert_eq!(customer["tasks"], json!([]));
    assert!(customer["version"].as_u64().unwrap() > 1);

    // 60 × 2/4 for two logins, 40 × 19/20 for one idle day.
    let health = &customer["health"];
    assert_eq!(keys(health), ["band", "coverage", "factors", "score"]);
    assert_eq!((health["score"].as_f64(), health["coverage"].as_f64()), (Some(68.0), Some(1.0)));
    assert_eq!(health["band"], "yellow");
    assert_eq!(keys(&health["factors"][0]), ["expression", "name", "points", "value", "weight"]);

    let risk = &customer["risk"];
    assert_eq!(risk["band"], "low");
    assert!((risk["probability"].as_f64().unwrap() - 0.05).abs() < 1e-9);
    // The file says neither what is at stake nor which rise is told.
    assert_eq!((&risk["revenue_at_risk"], &risk["rise_7d"]), (&Value::Null, &Value::Null));
    assert_eq!(risk["reasons"][0]["expression"], "silence: metrics.idle_days");
    assert_eq!(risk["reasons"][0]["inputs"], json!({"metrics.idle_days": 1}));

    let finding = &customer["findings"][0];
    let members = [
        "acknowledged",
        "id",
        "key",
        "opened_at",
        "owner",
        "reopened",
        "severity",
        "standard",
        "state",
    ];
    assert_eq!(keys(finding), members);
    assert_eq!(finding["standard"], "csm_known");
    assert_eq!((&finding["severity"], &finding["owner"]), (&json!("high"), &json!("rev_ops")));
    assert_eq!(finding["state"], "open");
    let listed = workspace.get("/api/findings").await;
    assert_eq!(listed["items"][0]["id"], finding["id"]);
}

#[tokio::test]
async fn a_customer_nobody_decided_about_has_no_stage_and_no_risk() {
    let workspace = Workspace::new().await;
    let call = json!({"type": "track", "event": "call", "userId": "u"});
    workspace.tell(&CustomerKey::subject("new"), "1", 0, call).await;
    let customer = workspace.get("/api/customers/new").await;
    for member in ["stage", "previous_stage", "risk"] {
        assert_eq!(customer[member], Value::Null, "{member}");
    }
    assert_eq!(customer["metrics"], json!({"logins_7d": 0, "idle_days": null, "calls": 1}));
    assert_eq!(customer["health"]["coverage"], 0.6);
    let listed = &workspace.get("/api/customers").await["items"][0];
    assert_eq!(
        (&listed["stage"], &listed["since"], &listed["days"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(listed["risk"], Value::Null);
}

#[tokio::test]
async fn customers_are_listed_by_stage_band_and_segment() {
    let workspace = Workspace::new().await;
    workspace.account("busy", "team", &[0, 0, 1, 1]).await;
    workspace.account("calm", "team", &[5]).await;
    workspace.account("late", "team", &[15]).await;
    workspace.account("try", "trial", &[0, 1]).await;
    workspace.account("gone", "trial", &[28]).await;

    for (query, expected) in [
        ("", vec!["busy", "calm", "gone", "late", "try"]),
        ("?stage=customer", vec!["busy", "calm", "late"]),
        ("?stage=quiet", vec!["gone"]),
        ("?segment=busy", vec!["busy", "try"]),
        ("?segment=paying&stage=customer&band=low", vec!["busy", "calm"]),
        ("?band=high", vec!["gone", "late"]),
        ("?band=green", vec!["busy"]),
        ("?stage=&band=&segment=", vec!["busy", "calm", "gone", "late", "try"]),
        ("?stage=trialing&band=high", vec![]),
    ] {
        let path = format!("/api/customers{query}");
        let whole = workspace.get(&path).await;
        assert_eq!(ids(whole["items"].as_array().unwrap()), expected, "{query}");
        assert_eq!(whole["next_cursor"], Value::Null, "{query}");
        if query.contains("limit") {
            continue;
        }
        for limit in [1, 2, 3] {
            let (items, parts) = workspace.all(&path, limit).await;
            assert_eq!(ids(&items), expected, "{query} by {limit}");
            assert!(parts >= expected.len().div_ceil(limit), "{query} by {limit}");
        }
    }
    let listed = workspace.get("/api/customers?stage=quiet").await["items"][0].clone();
    assert_eq!(listed["stage"], "quiet");
    assert_eq!(listed["since"], "2026-03-10T12:00:00Z");
    assert_eq!(listed["days"], 0);
    assert_eq!(keys(&listed["health"]), ["band", "coverage", "score"]);
    assert_eq!(
        listed["risk"],
        json!({"probability": 1.0, "band": "high", "revenue_at_risk": null})
    );
    assert_eq!(listed["findings"], 0);
}

#[tokio::test]
async fn names_the_lifecycle_does_not_have_are_refused_with_the_nearest() {
    let workspace = Workspace::new().await;
    for (path, code, near) in [
        ("/api/customers?stage=custmer", "unknown_stage", "`customer`"),
        ("/api/customers?band=gren", "unknown_band", "`green`"),
        ("/api/customers?segment=pay%C3%AFng", "unknown_segment", "`paying`"),
        ("/api/findings?state=opened", "unknown_state", "`open`"),
    ] {
        let answer = workspace.problem(Method::GET, path, 400, code).await;
        assert!(answer.body["message"].as_str().unwrap().contains(near), "{}", answer.body);
    }
}

#[tokio::test]
async fn parameters_that_cannot_be_used_are_refused() {
    let workspace = Workspace::new().await;
    workspace.account("a", "team", &[1]).await;
    workspace.account("b", "team", &[1]).await;
    let lists = [
        "/api/stages",
        "/api/customers",
        "/api/customers/a/journal",
        "/api/customers/a/events",
        "/api/findings",
        "/api/quarantine",
        "/api/privacy/requests",
    ];
    for list in lists {
        for limit in ["", "0", "1001", "-1", "ten"] {
            let path = format!("{list}?limit={limit}");
            workspace.problem(Method::GET, &path, 400, "invalid_limit").await;
        }
        for cursor in ["x", "5b5d", "%F0%9F%98%80", "000000000000", "0000000000005b5d"] {
            let path = format!("{list}?cursor={cursor}");
            workspace.problem(Method::GET, &path, 400, "invalid_cursor").await;
        }
        workspace
            .problem(Method::GET, &format!("{list}?limit=1&limit=2"), 400, "invalid_query")
            .await;
    }
    let cursor = workspace.get("/api/customers/a/events?limit=1").await["next_cursor"].clone();
    let elsewhere = format!("/api/customers/b/events?cursor={}", cursor.as_str().unwrap());
    workspace.problem(Method::GET, &elsewhere, 400, "invalid_cursor").await;
    workspace.problem(Method::GET, "/api/customers/%FF", 400, "invalid_id").await;
}

#[tokio::test]
async fn a_journal_is_newest_first_and_its_chain_can_be_checked() {
    let workspace = Workspace::new().await;
    let key = workspace.account("acme", "trial", &[1]).await;
    let told = json!({"type": "group", "groupId": "acme", "traits": {"plan": "team"}});
    workspace.tell(&key, "g2", 0, told).await;
    workspace.settle(&key).await;

    let (entries, parts) = workspace.all("/api/customers/acme/journal", 1).await;
    assert!(parts >= entries.len() && entries.len() >= 4, "{entries:?}");
    let members =
        ["at", "config_hash", "from", "hash", "kind", "prev", "reasons", "rule", "seq", "to"];
    for (entry, seq) in entries.iter().zip((1..=entries.len()).rev()) {
        assert_eq!(keys(entry), members);
        assert_eq!(entry["seq"], seq);
        for reason in entry["reasons"].as_array().unwrap() {
            assert_eq!(keys(reason), ["expression", "inputs", "value"]);
        }
    }
    let mut chain: Vec<JournalEntry> =
        entries.iter().map(|entry| serde_json::from_value(entry.clone()).unwrap()).collect();
    chain.reverse();
    assert_eq!(first_break(&chain), None);
    let moved = entries.iter().find(|entry| entry["from"] == "trialing").unwrap();
    assert_eq!((&moved["to"], &moved["kind"]), (&json!("customer"), &json!("stage")));
    assert_eq!(moved["rule"], "stages.customer.enter");
}

#[tokio::test]
async fn events_are_shown_as_received_newest_first() {
    let workspace = Workspace::new().await;
    let key = CustomerKey::subject("acme");
    let track = json!({
        "type": "track", "event": "call", "userId": "u1", "messageId": "m1",
        "properties": {"minutes": 4}, "id": "spoofed", "received_at": 1,
    });
    workspace.tell(&key, "m1", 2, track).await;
    let group = json!({"type": "group", "groupId": "acme", "traits": {"plan": "team"}});
    workspace.tell(&key, "m2", 1, group).await;

    let (events, parts) = workspace.all("/api/customers/acme/events", 1).await;
    assert!(parts >= 2);
    assert_eq!(
        events,
        [
            json!({
                "id": "m2", "type": "group", "event": "group", "user": null,
                "timestamp": "2026-03-09T12:00:00Z", "received_at": "2026-03-10T12:00:00Z",
                "groupId": "acme", "traits": {"plan": "team"},
            }),
            json!({
                "id": "m1", "type": "track", "event": "call", "user": "u1",
                "timestamp": "2026-03-08T12:00:00Z", "received_at": "2026-03-10T12:00:00Z",
                "userId": "u1", "messageId": "m1", "properties": {"minutes": 4},
            }),
        ]
    );
}

#[tokio::test]
async fn large_events_come_in_short_parts_and_none_is_left_out() {
    let workspace = Workspace::new().await;
    let key = CustomerKey::subject("acme");
    for at in 0..5 {
        let call = json!({
            "type": "track", "event": "call", "properties": {"text": "x".repeat(900_000)},
        });
        workspace.tell(&key, &format!("m{at}"), at, call).await;
    }
    let first = workspace.get("/api/customers/acme/events").await;
    assert_eq!(ids(first["items"].as_array().unwrap()), ["m0", "m1", "m2"]);
    let (events, _) = workspace.all("/api/customers/acme/events", 100).await;
    assert_eq!(ids(&events), ["m0", "m1", "m2", "m3", "m4"]);
}

#[tokio::test]
async fn an_id_may_hold_any_character() {
    let workspace = Workspace::new().await;
    for (id, encoded) in [
        ("a/b", "a%2Fb"),
        ("50 % off", "50%20%25%20off"),
        ("a%2Fb", "a%252Fb"),
        ("Søren & 株式会社", "S%C3%B8ren%20%26%20%E6%A0%AA%E5%BC%8F%E4%BC%9A%E7%A4%BE"),
        ("what?#+;", "what%3F%23%2B%3B"),
        ("user:7", "user%3A7"),
        ("journal", "journal"),
    ] {
        workspace.account(id, "team", &[1]).await;
        assert_eq!(workspace.get(&format!("/api/customers/{encoded}")).await["id"], id);
        for below in ["journal", "events"] {
            let (items, _) = workspace.all(&format!("/api/customers/{encoded}/{below}"), 2).await;
            assert!(!items.is_empty(), "{encoded}/{below}");
        }
    }
}

#[tokio::test]
async fn a_users_id_answers_the_account() {
    let workspace = Workspace::new().await;
    workspace.account("acme", "team", &[1]).await;
    let (now, lifecycle) = (workspace.now, &workspace.lifecycle);
    workspace.store.link("jane@acme.test", "acme", now, lifecycle, now).await.unwrap();
    assert_eq!(workspace.get("/api/customers/jane%40acme.test").await["id"], "acme");
    let (events, _) = workspace.all("/api/customers/jane@acme.test/events", 100).await;
    assert_eq!(events.len(), 2);

    let lone = CustomerKey::unlinked_user("joe");
    workspace
        .tell(&lone, "1", 0, json!({"type": "track", "event": "login", "userId": "joe"}))
        .await;
    assert_eq!(workspace.get("/api/customers/joe").await["id"], "joe");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let workspace = Workspace::new().await;
    let long = format!("/api/customers/{}", "x".repeat(3_000));
    for path in [
        "/api/customers/nobody",
        "/api/customers/nobody/journal",
        "/api/customers/nobody/events",
        &long,
    ] {
        workspace.problem(Method::GET, path, 404, "customer_not_found").await;
    }
    for path in ["/api/nothing", "/api", "/nothing", "/api/customers/a/nothing", "/api/customers/"]
    {
        workspace.problem(Method::GET, path, 404, "not_found").await;
    }
    for path in ["/api/customers", "/api/stages", "/api/customers/a/journal"] {
        for method in [Method::POST, Method::DELETE, Method::PUT] {
            let answer = workspace.problem(method, path, 405, "method_not_allowed").await;
            assert_eq!(answer.headers["allow"], "GET,HEAD", "{path}");
        }
    }
}

#[tokio::test]
async fn without_a_lifecycle_file_it_asks_to_come_back() {
    let workspace = Workspace::bare().await;
    for path in ["/api/stages", "/api/customers", "/api/customers/a", "/api/lifecycle"] {
        let answer = workspace.problem(Method::GET, path, 503, "no_lifecycle").await;
        assert!(answer.headers.contains_key("retry-after"), "{path}");
    }
    let answer = workspace.ask(Method::GET, "/api/openapi.json").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn findings_move_from_open_to_closed() {
    let workspace = Workspace::new().await;
    let key = workspace.account("acme", "team", &[1]).await;
    workspace.account("other", "team", &[1]).await;
    let (open, _) = workspace.all("/api/findings", 1).await;
    assert_eq!(open.len(), 2);
    let told = json!({"type": "group", "groupId": "acme", "traits": {"csm": "kim@example.test"}});
    workspace.tell(&key, "g2", 0, told).await;
    workspace.settle(&key).await;

    let (open, _) = workspace.all("/api/findings?state=open", 1).await;
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0]["customer"], &open[0]["closed_at"]), (&json!("other"), &Value::Null));
    let (closed, _) = workspace.all("/api/findings?state=closed", 1).await;
    assert_eq!(closed.len(), 1);
    let members = [
        "acknowledged",
        "closed_at",
        "customer",
        "id",
        "key",
        "opened_at",
        "owner",
        "reasons",
        "reopened",
        "severity",
        "stage",
        "standard",
        "state",
    ];
    assert_eq!(keys(&closed[0]), members);
    assert_eq!((&closed[0]["customer"], &closed[0]["state"]), (&json!("acme"), &json!("closed")));
    assert_eq!(workspace.get("/api/customers/acme").await["findings"], json!([]));
}

#[tokio::test]
async fn the_quarantine_and_the_lifecycle_file_are_shown() {
    let workspace = Workspace::new().await;
    for raw in ["{", "[1"] {
        let aside = SetAside {
            raw: raw.as_bytes(),
            code: "not_json",
            message: "it ends",
            sender: &Sender::new(SenderKind::WriteKey, "website"),
            path: Some("/v1/batch"),
            shared: None,
        };
        workspace.store.quarantine(&aside, workspace.now).await.unwrap();
    }
    let (items, _) = workspace.all("/api/quarantine", 1).await;
    let raws: BTreeSet<_> = items.iter().map(|item| item["raw"].as_str().unwrap()).collect();
    assert_eq!(raws, BTreeSet::from(["{", "[1"]));
    let members = [
        "attempts",
        "bytes",
        "code",
        "expires_at",
        "id",
        "last_attempt_at",
        "message",
        "path",
        "raw",
        "raw_base64",
        "received_at",
        "source",
        "source_kind",
    ];
    assert_eq!(keys(&items[0]), members);
    assert_eq!((&items[0]["source"], &items[0]["path"]), (&json!("website"), &json!("/v1/batch")));
    assert_eq!(items[0]["received_at"], "2026-03-10T12:00:00Z");

    let active = workspace.get("/api/lifecycle").await;
    let expected = json!({
        "version": 1, "hash": workspace.lifecycle.hash, "applied_at": "2026-03-10T12:00:00Z",
        "name": "Test company", "subject": "account",
    });
    assert_eq!(active, expected);
}

#[tokio::test]
async fn the_document_describes_every_route() {
    let workspace = Workspace::bare().await;
    let document = workspace.get("/api/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    let listed: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        listed,
        BTreeSet::from([
            "/api/adherence",
            "/api/alerts",
            "/api/alerts/{id}/ack",
            "/api/customers",
            "/api/customers/{id}",
            "/api/customers/{id}/events",
            "/api/customers/{id}/explain",
            "/api/customers/{id}/findings/{standard}/ack",
            "/api/customers/{id}/findings/{standard}/waive",
            "/api/customers/{id}/handoff/ack",
            "/api/customers/{id}/journal",
            "/api/customers/{id}/move",
            "/api/customers/{id}/notes",
            "/api/customers/{id}/release",
            "/api/customers/{id}/tasks/{task}/check",
            "/api/customers/{id}/tasks/{task}/done",
            "/api/customers/{id}/tasks/{task}/reassign",
            "/api/customers/{id}/tasks/{task}/reopen",
            "/api/customers/{id}/tasks/{task}/snooze",
            "/api/feeds",
            "/api/findings",
            "/api/lifecycle",
            "/api/lifecycle/rollback",
            "/api/notifications",
            "/api/openapi.json",
            "/api/outcomes",
            "/api/privacy/export/{id}",
            "/api/privacy/requests",
            "/api/privacy/requests/{id}",
            "/api/quarantine",
            "/api/quarantine/replay",
            "/api/quarantine/{id}",
            "/api/quarantine/{id}/replay",
            "/api/silences",
            "/api/silences/{id}",
            "/api/stages",
            "/api/waivers",
            "/api/tasks",
            "/api/workload",
        ])
    );
    let mut names = BTreeSet::new();
    let operations = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    for (path, operation) in operations {
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{path}");
        assert!(operation["summary"].is_string(), "{path}");
        let answers = operation["responses"].as_object().unwrap();
        let is_good = |status: &str| status.starts_with('2');
        assert!(answers.keys().any(|status| is_good(status)), "{path}");
        for (status, answer) in answers {
            let schema = |kind: &str| &answer["content"][kind]["schema"];
            if status == "204" || status == "304" {
                assert_eq!(answer["content"], Value::Null, "{path}");
            } else if is_good(status) {
                assert!(schema("application/json").is_object(), "{path}");
            } else {
                let schema = &schema("application/problem+json")["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{path} {status}");
            }
        }
        assert_eq!(answers.contains_key("404"), path.contains("{id}"), "{path}");
        assert_eq!(answers.contains_key("503"), path != "get /api/openapi.json", "{path}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in &parameters {
            assert!(parameter["description"].is_string(), "{path}: {parameter}");
        }
        let has = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
        assert_eq!(has("id"), path.contains("{id}"), "{path}");
        assert_eq!(has("limit"), has("cursor"), "{path}");
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => found.push(target.clone()),
                    member => collect_references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

const BY_HAND: &str = r#"
version: 1
subject: account
traits: { plan: [trial, team] }
metrics: { logins_7d: { count: login, over: 7d } }
stages:
  trialing:
    enter: { when: traits.plan == "trial", priority: 10 }
    target: 5d
    stuck: 10d
    checkpoints:
      first_login: { when: metrics.logins_7d > 0, target: 2d }
      ten_logins: { when: metrics.logins_7d >= 10 }
  customer:
    enter: { when: traits.plan == "team", priority: 20 }
    handoff: { to: success, ack_within: 2d }
"#;

impl Workspace {
    async fn by_hand() -> Workspace {
        let stack = Stack::start(BY_HAND, now()).await.unwrap();
        let mut workspace = Workspace::over(stack);
        workspace.lifecycle = load(BY_HAND).unwrap();
        workspace
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.api.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, "application/json", body).await
    }
}

#[tokio::test]
async fn a_customer_moved_by_hand_stays_and_automation_proposes() {
    let workspace = Workspace::by_hand().await;
    workspace.account("acme", "trial", &[1]).await;
    let asked = json!({"to": "customer", "reason": "we spoke", "author": "kim"});
    let moved = workspace.post("/api/customers/acme/move", asked).await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.body);
    assert_eq!(moved.body["stage"]["name"], "customer");
    assert_eq!(moved.body["hold"]["author"], "kim");
    assert_eq!(moved.body["stage"]["handoff"]["state"], "pending");

    let key = CustomerKey::subject("acme");
    workspace.settle(&key).await;
    let held = workspace.get("/api/customers/acme").await;
    assert_eq!(held["stage"]["name"], "customer");
    assert_eq!(held["proposed"]["to"], "trialing");
    assert_eq!(held["proposed"]["rule"], "stages.trialing.enter");

    let journal = workspace.get("/api/customers/acme/journal").await;
    let entries = journal["items"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["author"] == "kim").unwrap();
    assert_eq!((&entry["reason"], &entry["to"]), (&json!("we spoke"), &json!("customer")));
    let sealed: Vec<JournalEntry> =
        entries.iter().rev().map(|entry| serde_json::from_value(entry.clone()).unwrap()).collect();
    assert_eq!(first_break(&sealed), None);

    let by = json!({"author": "lee"});
    let released = workspace
        .send(Method::DELETE, "/api/customers/acme/move", "application/json", by.clone())
        .await;
    assert_eq!((released.status, &released.body["hold"]), (StatusCode::OK, &Value::Null));
    workspace.settle(&key).await;
    assert_eq!(workspace.get("/api/customers/acme").await["stage"]["name"], "trialing");
    let again = workspace.post("/api/customers/acme/release", by).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("not_held")));
}

#[tokio::test]
async fn what_a_person_cannot_do_is_said() {
    let workspace = Workspace::by_hand().await;
    workspace.account("acme", "trial", &[1]).await;
    let path = "/api/customers/acme/move";
    let good = json!({"to": "customer", "reason": "x", "author": "kim"});
    for (change, status, code) in [
        (json!({"to": "custmer"}), 400, "unknown_stage"),
        (json!({"reason": null}), 400, "reason_missing"),
        (json!({"author": " "}), 400, "author_missing"),
        (json!({"until": "2020-01-01"}), 400, "until_past"),
        (json!({"until": "soon"}), 400, "invalid_until"),
        (json!({"stage": "customer"}), 400, "invalid_body"),
        (json!({"reason": "x".repeat(20_000)}), 400, "invalid_body"),
    ] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = workspace.post(path, body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (status, &json!(code)));
    }
    let foreign = workspace.send(Method::POST, path, "text/plain", good.clone()).await;
    assert_eq!(foreign.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let nobody = workspace.post("/api/customers/nobody/move", good).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert_eq!(workspace.get("/api/customers/acme").await["hold"], Value::Null);
}

#[tokio::test]
async fn a_stage_says_how_it_goes_and_a_handoff_is_acknowledged() {
    let workspace = Workspace::by_hand().await;
    workspace.account("slow", "trial", &[1]).await;
    workspace.account("acme", "team", &[1]).await;
    let slow = workspace.get("/api/customers/slow").await;
    assert_eq!(slow["stage"]["pace"], "on_track");
    let checkpoints = slow["stage"]["checkpoints"].as_array().unwrap();
    assert_eq!((&checkpoints[0]["done"], &checkpoints[1]["done"]), (&json!(true), &json!(false)));
    assert!(checkpoints[0]["at"].is_string() && checkpoints[1]["at"].is_null());

    let (pending, _) = workspace.all("/api/customers?handoff=pending", 100).await;
    assert_eq!(pending.len(), 1);
    assert_eq!((&pending[0]["id"], &pending[0]["pace"]), (&json!("acme"), &Value::Null));
    let (on_track, _) = workspace.all("/api/customers?pace=on_track", 100).await;
    assert_eq!(on_track[0]["id"], "slow");
    workspace.problem(Method::GET, "/api/customers?pace=slow", 400, "unknown_pace").await;

    let ack = "/api/customers/acme/handoff/ack";
    let done = workspace.post(ack, json!({"author": "sam"})).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let handoff = &done.body["stage"]["handoff"];
    assert_eq!(
        (&handoff["state"], &handoff["acknowledged_by"]),
        (&json!("acknowledged"), &json!("sam"))
    );
    let again = workspace.post(ack, json!({"author": "sam"})).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::CONFLICT, &json!("no_handoff")));
}
