//! Actions under an `Idempotency-Key`: done once whatever repeats, races or crashes; and answers that
//! are not sent again to whoever holds them.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use domain::event::Event;
use domain::feed::{Sender, SenderKind};
use domain::lifecycle::{Lifecycle, load};
use jiff::{SignedDuration, Timestamp};
use platform::handoff::Handoff;
use platform::store::SetAside;
use platform::{CustomerKey, Store};
use serde_json::{Value, json};
use tests::stack::Stack;
use tower::ServiceExt as _;

const FILE: &str = r#"
version: 1
subject: account
traits: { plan: [trial, team] }
stages:
  trialing: { enter: { when: traits.plan == "trial", priority: 10 } }
  customer: { enter: { when: traits.plan == "team", priority: 20 } }
"#;

struct World {
    stack: Stack,
    store: Store,
    lifecycle: Lifecycle,
    api: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn is_replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|told| told == "true")
    }
}

fn now() -> Timestamp {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

impl World {
    /// An account `acme`.
    async fn new() -> World {
        let stack = Stack::start(FILE, now()).await.unwrap();
        let store = stack.store.clone();
        let app = console::App {
            store: store.clone(),
            clock: stack.clock.handle(),
            handoff: Handoff::new(async |_| Ok(())),
        };
        let api = console::router(Arc::new(app));
        let world = World { stack, store, lifecycle: load(FILE).unwrap(), api };
        let body = json!({"type": "group", "groupId": "acme", "traits": {"plan": "trial"}});
        let body = body.as_object().unwrap().clone();
        let event = Event::from_body("1".to_owned(), now(), now(), body).unwrap();
        let key = CustomerKey::subject("acme");
        world.store.commit(&key, &[event], &world.lifecycle, now()).await.unwrap();
        world
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.api.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        assert_eq!(head.headers["cache-control"], "no-store", "{path}");
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, &[("idempotency-key", key)], body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, &[], &Value::Null).await.json()
    }

    /// What people did with acme, by their reasons.
    async fn done(&self) -> Vec<String> {
        let journal = self.get("/api/customers/acme/journal").await;
        let entries = journal["items"].as_array().unwrap().iter().rev();
        entries.filter_map(|entry| entry["reason"].as_str().map(str::to_owned)).collect()
    }

    /// The keys that are remembered, as they are stored.
    async fn kept(&self) -> Vec<HashMap<String, AttributeValue>> {
        let found = self
            .stack
            .dynamodb
            .query()
            .table_name(&self.stack.tables.control)
            .key_condition_expression("pk = :once")
            .expression_attribute_values(":once", AttributeValue::S("once".to_owned()))
            .send();
        found.await.unwrap().items.unwrap_or_default()
    }

    /// As it is after a crash between what was done and its answer.
    async fn lose_answers(&self) {
        for mut kept in self.kept().await {
            assert!(kept.remove("body").is_some() && kept.remove("status").is_some());
            let put = self.stack.dynamodb.put_item().table_name(&self.stack.tables.control);
            put.set_item(Some(kept)).send().await.unwrap();
        }
    }
}

fn note(text: &str) -> Value {
    json!({"text": text, "author": "kim"})
}

const NOTES: &str = "/api/customers/acme/notes";

#[tokio::test]
async fn an_action_is_done_once_under_its_key_and_answered_alike() {
    let world = World::new().await;
    let first = world.post(NOTES, "k1", &note("a call in May")).await;
    assert_eq!((first.status, first.is_replayed()), (StatusCode::OK, false));
    // What happens meanwhile does not change what was answered.
    world.post(NOTES, "k2", &note("another")).await;
    let again = world.post(NOTES, "k1", &note("a call in May")).await;
    assert_eq!((again.status, again.is_replayed()), (StatusCode::OK, true));
    assert_eq!(again.body, first.body);
    assert_eq!(again.headers["content-type"], "application/json");
    assert_eq!(world.done().await, ["a call in May", "another"]);
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_caller() {
    let world = World::new().await;
    world.post(NOTES, "k", &note("first")).await;
    for (path, body) in [(NOTES, note("second")), ("/api/customers/other/notes", note("first"))] {
        let other = world.post(path, "k", &body).await;
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(other.json()["code"], "idempotency_key_reused");
    }
    assert_eq!(world.done().await, ["first"]);
    for wrong in ["", "a b", &"x".repeat(256)] {
        let answer = world.post(NOTES, wrong, &note("third")).await;
        assert_eq!(answer.json()["code"], "invalid_idempotency_key", "{wrong}");
    }
    let none = world.ask(Method::POST, NOTES, &[], &note("first")).await;
    assert_eq!(none.status, StatusCode::OK);
    assert_eq!(world.done().await, ["first", "first"]);
}

#[tokio::test]
async fn of_two_at_the_same_moment_one_does_it() {
    let world = World::new().await;
    let body = note("once");
    let many = (0..8).map(|_| world.post(NOTES, "k", &body));
    for answer in futures::future::join_all(many).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    }
    assert_eq!(world.done().await, ["once"]);
}

#[tokio::test]
async fn a_crash_before_the_answer_does_not_do_it_twice() {
    let world = World::new().await;
    let moved = json!({"to": "customer", "reason": "we spoke", "author": "kim"});
    world.post("/api/customers/acme/move", "k", &moved).await;
    world.lose_answers().await;
    let again = world.post("/api/customers/acme/move", "k", &moved).await;
    assert_eq!((again.status, again.is_replayed()), (StatusCode::OK, true));
    assert_eq!(again.json()["stage"]["name"], "customer");
    assert_eq!(world.done().await, ["we spoke"]);
    // From now on that is the answer.
    let third = world.post("/api/customers/acme/move", "k", &moved).await;
    assert_eq!(third.body, again.body);
    let other = json!({"to": "trialing", "reason": "we spoke", "author": "kim"});
    let other = world.post("/api/customers/acme/move", "k", &other).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_is_no_customers_is_done_once_too() {
    let world = World::new().await;
    let silence = json!({
        "matchers": [{"label": "severity", "values": ["low"]}],
        "reason": "moving office", "author": "kim", "ends_at": "2026-03-12",
    });
    let asked = json!({"type": "SUPPRESS_ONLY", "subject": "user", "ids": ["u-1"]});
    for (path, body, status) in [
        ("/api/silences", &silence, StatusCode::OK),
        ("/api/privacy/requests", &asked, StatusCode::CREATED),
    ] {
        let first = world.post(path, path, body).await;
        assert_eq!(first.status, status, "{path}: {}", first.json());
        let again = world.post(path, path, body).await;
        assert_eq!((again.status, &again.body), (status, &first.body), "{path}");
        world.lose_answers().await;
        let again = world.post(path, path, body).await;
        assert_eq!(
            (again.status, again.json()["id"].clone()),
            (status, first.json()["id"].clone())
        );
        assert_eq!(world.get(path).await["items"].as_array().unwrap().len(), 1, "{path}");
    }
    assert_eq!(world.get("/api/notifications").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_dropped_stays_dropped() {
    let world = World::new().await;
    let aside = SetAside {
        raw: b"{",
        code: "not_json",
        message: "it ends",
        sender: &Sender::new(SenderKind::WriteKey, "website"),
        path: Some("/v1/batch"),
        shared: None,
    };
    world.store.quarantine(&aside, now()).await.unwrap();
    let id = world.get("/api/quarantine").await["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/quarantine/{id}");
    let drop = || world.ask(Method::DELETE, &path, &[("idempotency-key", "k")], &Value::Null);
    assert_eq!(drop().await.status, StatusCode::NO_CONTENT);
    assert_eq!(drop().await.status, StatusCode::NO_CONTENT);
    let plain = world.ask(Method::DELETE, &path, &[], &Value::Null).await;
    assert_eq!(plain.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_was_refused_is_tried_again_like_new() {
    let world = World::new().await;
    let by = json!({"author": "lee"});
    let release = "/api/customers/acme/release";
    assert_eq!(world.post(release, "k", &by).await.status, StatusCode::CONFLICT);
    let moved = json!({"to": "customer", "reason": "we spoke", "author": "kim"});
    world.post("/api/customers/acme/move", "m", &moved).await;
    let released = world.post(release, "k", &by).await;
    assert_eq!((released.status, released.is_replayed()), (StatusCode::OK, false));
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day() {
    let world = World::new().await;
    world.post(NOTES, "k", &note("once")).await;
    let hours = |hours| now() + SignedDuration::from_hours(hours);
    world.stack.clock.set(Some(hours(23)));
    assert!(world.post(NOTES, "k", &note("once")).await.is_replayed());
    world.stack.clock.set(Some(hours(25)));
    assert!(!world.post(NOTES, "k", &note("once")).await.is_replayed());
    assert_eq!(world.done().await.len(), 2);
}

#[tokio::test]
async fn no_answer_about_the_erased_is_kept() {
    let world = World::new().await;
    world.post(NOTES, "k", &note("once")).await;
    let asked = json!({"type": "DELETE_ONLY", "subject": "account", "ids": ["acme"]});
    let request = world.post("/api/privacy/requests", "e", &asked).await.json();
    let id = request["id"].as_str().unwrap();
    let mut never = |_: &platform::store::PrivacyRequest| false;
    world.store.run_privacy_request(id, &world.lifecycle, now(), &mut never).await.unwrap();
    let kept = world.kept().await;
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|kept| !kept.contains_key("body")), "{kept:?}");
    let again = world.post(NOTES, "k", &note("once")).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_answer_that_is_held_is_not_sent_again() {
    let world = World::new().await;
    for path in ["/api/customers/acme", "/api/customers", "/api/openapi.json"] {
        let first = world.ask(Method::GET, path, &[], &Value::Null).await;
        let tag = first.headers["etag"].to_str().unwrap().to_owned();
        let held = [("if-none-match", tag.as_str())];
        let again = world.ask(Method::GET, path, &held, &Value::Null).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
        assert!(again.body.is_empty() && again.headers["etag"] == tag.as_str());
    }
    let first = world.ask(Method::GET, "/api/customers/acme", &[], &Value::Null).await;
    world.post(NOTES, "k", &note("news")).await;
    let held = [("if-none-match", first.headers["etag"].to_str().unwrap())];
    let changed = world.ask(Method::GET, "/api/customers/acme", &held, &Value::Null).await;
    assert_eq!(changed.status, StatusCode::OK);
    let nobody = world.ask(Method::GET, "/api/customers/nobody", &[], &Value::Null).await;
    assert!(!nobody.headers.contains_key("etag"));
}
