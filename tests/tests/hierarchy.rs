//! What the accounts below an account count for it, wherever decisions are made and told.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::sweep::SweepKind;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

const FILE: &str = "
version: 1
traits: { parent: account?, plan: [trial, team] }
metrics:
  logins: { count: login, over: 30d, roll_up: true }
  own: { count: login, over: 30d }
segments: { busy: metrics.logins >= 4 }
stages:
  small: { enter: { when: metrics.own >= 0, priority: 10 } }
  large: { enter: { when: metrics.logins >= 4, priority: 20 } }
alerts: { routes: [ { to: team } ], receivers: { team: { sns: team, format: [email] } } }
";

fn start() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

struct World {
    pack: Pack,
    api: Router,
    door: Router,
}

impl World {
    async fn of(file: &str) -> World {
        let pack = Pack::open(None, LocalClock::manual(start())).await.unwrap();
        pack.apply(file).await.unwrap().unwrap();
        pack.store.add_write_key("dev", "tests", start()).await.unwrap();
        let api = console::router(Arc::clone(&pack.console));
        let door = ingest::router(Arc::clone(&pack.ingest));
        World { pack, api, door }
    }

    async fn ask(&self, method: Method, path: &str, body: Json) -> Json {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.api.clone().oneshot(request).await.unwrap();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn get(&self, path: &str) -> Json {
        self.ask(Method::GET, path, Json::Null).await
    }

    async fn send(&self, calls: &[Json]) {
        let request = Request::post("/v1/batch").header("authorization", "Bearer dev");
        let request = request.body(Body::from(json!({"batch": calls}).to_string())).unwrap();
        let response = self.door.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }

    /// An account below another, with so many logins of a user of its own.
    async fn account(&self, id: &str, parent: Option<&str>, logins: usize) {
        let user = format!("user-of-{id}");
        let mut traits = json!({ "plan": "team" });
        if let Some(parent) = parent {
            traits["parent"] = parent.into();
        }
        let at = |minutes: usize| {
            (start() - SignedDuration::from_mins(600 - minutes as i64)).to_string()
        };
        let mut calls = vec![json!({
            "type": "group", "groupId": id, "userId": user, "traits": traits,
            "messageId": format!("{id}-{parent:?}"), "timestamp": at(0),
        })];
        calls.extend((0..logins).map(|nth| {
            json!({
                "type": "track", "event": "login", "userId": user,
                "messageId": format!("{id}-{nth}"), "timestamp": at(nth + 1),
            })
        }));
        self.send(&calls).await;
    }

    async fn night(&self, hours: i64) {
        let at = start() + SignedDuration::from_hours(hours);
        self.pack.run(SweepFunction::Evaluate, "test", at, SweepKind::All).await.unwrap();
    }

    async fn stage(&self, id: &str) -> String {
        let customer = self.get(&format!("/api/customers/{id}")).await;
        customer["stage"]["name"].as_str().unwrap_or("none").to_owned()
    }
}

#[tokio::test]
async fn an_account_is_judged_with_everything_below_it() {
    let world = World::of(FILE).await;
    world.account("holding", None, 1).await;
    world.account("north", Some("holding"), 1).await;
    world.account("south", Some("holding"), 1).await;
    world.account("harbour", Some("north"), 1).await;
    world.night(1).await;
    let holding = world.get("/api/customers/holding").await;
    assert_eq!((&holding["metrics"]["logins"], &holding["metrics"]["own"]), (&json!(4), &json!(1)));
    assert_eq!(holding["stage"]["name"], "large");
    assert_eq!(world.stage("north").await, "small");
    let north = world.get("/api/customers/north").await;
    assert_eq!(north["metrics"]["logins"], 2);
    let busy = world.get("/api/customers?segment=busy").await;
    assert_eq!(busy["items"].as_array().unwrap().len(), 1, "{busy}");
    let told = world.get("/api/customers/holding/explain").await;
    let logins = told["inputs"].as_array().unwrap();
    let logins = logins.iter().find(|input| input["name"] == "metrics.logins").unwrap();
    assert_eq!(logins["value"], 4);
}

#[tokio::test]
async fn an_account_that_goes_elsewhere_counts_there() {
    let world = World::of(FILE).await;
    world.account("one", None, 2).await;
    world.account("other", None, 2).await;
    world.account("child", Some("one"), 2).await;
    world.night(1).await;
    assert_eq!(
        (world.stage("one").await, world.stage("other").await),
        ("large".into(), "small".into())
    );
    let traits = json!({ "parent": "other" });
    let call = json!({
        "type": "group", "groupId": "child", "userId": "user-of-child", "traits": traits,
        "messageId": "moves", "timestamp": start().to_string(),
    });
    world.send(&[call]).await;
    world.night(2).await;
    assert_eq!(
        (world.stage("one").await, world.stage("other").await),
        ("small".into(), "large".into())
    );
    // The past is told as it was.
    let before = start() - SignedDuration::from_hours(1);
    for (id, then, now) in [("one", 4, 2), ("other", 2, 4)] {
        for (at, expected) in [(format!("?at={before}"), then), (String::new(), now)] {
            let told = world.get(&format!("/api/customers/{id}/explain{at}")).await;
            let inputs = told["inputs"].as_array().unwrap();
            let logins = inputs.iter().find(|input| input["name"] == "metrics.logins").unwrap();
            assert_eq!(logins["value"], expected, "{id}{at}");
        }
    }
}

#[tokio::test]
async fn a_circle_of_accounts_counts_each_once() {
    let world = World::of(FILE).await;
    world.account("a", Some("c"), 1).await;
    world.account("b", Some("a"), 2).await;
    world.account("c", Some("b"), 3).await;
    world.account("own", Some("own"), 1).await;
    world.night(1).await;
    for id in ["a", "b", "c"] {
        let told = world.get(&format!("/api/customers/{id}")).await;
        assert_eq!(told["metrics"]["logins"], 6, "{id}");
    }
    assert_eq!(world.get("/api/customers/own").await["metrics"]["logins"], 1);
}

#[tokio::test]
async fn a_file_that_begins_to_roll_up_learns_who_is_above_whom() {
    let world = World::of(&FILE.replace(", roll_up: true", "")).await;
    world.account("holding", None, 1).await;
    world.account("north", Some("holding"), 3).await;
    world.night(1).await;
    assert_eq!(world.stage("holding").await, "small");
    world.pack.apply(FILE).await.unwrap().unwrap();
    // A night folds everybody again; the next one knows who was folded after.
    world.night(2).await;
    world.night(3).await;
    assert_eq!(world.stage("holding").await, "large");
}

#[tokio::test]
async fn nothing_leads_to_an_account_that_was_erased() {
    let world = World::of(FILE).await;
    world.account("holding", None, 1).await;
    world.account("north", Some("holding"), 3).await;
    world.night(1).await;
    assert_eq!(world.stage("holding").await, "large");
    let body = json!({ "type": "DELETE_ONLY", "subject": "account", "ids": ["north"] });
    let asked = world.ask(Method::POST, "/api/privacy/requests", body).await;
    let id = asked["id"].as_str().unwrap();
    let lifecycle = world.pack.store.lifecycle().await.unwrap();
    let now = start() + SignedDuration::from_hours(2);
    world.pack.store.run_privacy_request(id, &lifecycle, now, &mut |_| false).await.unwrap();
    let holding = world.get("/api/customers/holding").await;
    assert_eq!(holding["metrics"]["logins"], 1);
    let tables = ::lifecycle::embedded::engine::dynamodb_at(world.pack.dynamodb_endpoint());
    let left = tables.scan().table_name("lifecycle-control").send().await.unwrap();
    let keys =
        left.items().iter().map(|item| (item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap()));
    let left: Vec<_> =
        keys.filter(|(list, key)| list.starts_with("below#") && *key == "north").collect();
    assert!(left.is_empty(), "{left:?}");
}
