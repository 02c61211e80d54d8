//! How lively each source of events is, and what telling that costs.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use platform::Store;
use platform::handoff::Handoff;
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tests::door::{BEARER, Door};
use tower::ServiceExt as _;

const FILE: &str = r#"
version: 1
subject: user
stages: { active: {} }
feeds:
  product: { events: [login, page], expect_every: 1h }
  website: {}
  deals:
    scheme: { hmac: { header: X-Crm-Signature } }
    expect_every: 2d
    map: [{ when: { kind: won }, event: deal_won, user: by, id: "{deal}", time: at }]
  shop: { source: com.shop, map: [{ when: { detail-type: Paid }, event: paid, user: who }] }
"#;
const SECRET: &str = "a secret";

fn now() -> Timestamp {
    "2026-11-22T06:30:00Z".parse().unwrap()
}

fn at(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

async fn open() -> Door {
    let door = Door::open(FILE, now()).await.unwrap();
    door.stack.store.add_source_secret("deals", SECRET, now()).await.unwrap();
    door.stack.store.add_write_key("web", "website", now()).await.unwrap();
    door
}

fn login(id: &str, at: Timestamp) -> Json {
    json!({"type": "track", "event": "login", "userId": "ada", "messageId": id, "timestamp": at})
}

async fn send(door: &Door, calls: &[Json]) {
    let reply = door.post("/v1/batch", &[BEARER], json!({"batch": calls}).to_string()).await;
    reply.taken();
}

async fn list(door: &Door, query: &str) -> Json {
    let app = console::App {
        // Another function knows nothing of what this one has gathered.
        store: Store::new(door.stack.dynamodb.clone(), door.stack.tables.clone(), 400),
        clock: door.stack.clock.handle(),
        handoff: Handoff::new(async |_| Ok(())),
    };
    let request = Request::get(format!("/api/feeds{query}")).body(Body::empty()).unwrap();
    let answer = console::router(Arc::new(app)).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

async fn feed(door: &Door, name: &str, kind: &str) -> Json {
    let all = list(door, "").await;
    let mut items = all["items"].as_array().unwrap().iter();
    let found = items.find(|found| found["name"] == name && found["kind"] == kind);
    found.cloned().unwrap_or_else(|| panic!("{name} of {all}"))
}

fn counts(feed: &Json) -> (u64, u64) {
    (feed["accepted_24h"].as_u64().unwrap(), feed["rejected_24h"].as_u64().unwrap())
}

#[tokio::test]
async fn each_source_is_told_by_its_name_and_way() {
    let door = open().await;
    send(&door, &[login("1", at(-60)), login("2", at(-90)), json!({"type": "sale"})]).await;
    let web = json!({"type": "track", "event": "signup", "userId": "ada", "messageId": "3"});
    door.post("/v1/track", &[("authorization", "Bearer web")], web.to_string()).await.taken();
    let deal = json!({"kind": "won", "deal": 1, "by": "ada", "at": at(-5)}).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(deal.as_bytes());
    let signature = domain::hex(&mac.finalize().into_bytes());
    door.post("/v1/webhooks/deals", &[("x-crm-signature", &signature)], deal).await.taken();
    let event = |id: &str, source: &str| {
        json!({"version": "0", "id": id, "detail-type": "Paid", "source": source, "time": at(-3),
            "detail": {"who": "ada", "userId": "ada"}})
    };
    door.invoke(&event("e-1", "com.shop.eu")).await.unwrap();
    door.invoke(&event("e-2", "billing")).await.unwrap();
    let record =
        json!({"messageId": "r", "eventSource": "aws:sqs", "body": login("4", at(-1)).to_string()});
    door.invoke(&json!({"Records": [record]})).await.unwrap();

    // What came within a minute of the first waits for the next delivery.
    door.stack.clock.set(Some(at(2)));
    send(&door, &[]).await;
    let all = list(&door, "").await;
    assert_eq!(all["next_cursor"], Json::Null);
    let told: Vec<String> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            let (accepted, rejected) = counts(found);
            format!(
                "{} {} {accepted} {rejected}",
                found["kind"].as_str().unwrap(),
                found["name"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        // Those of the file, in its order: the logins of any write key or queue are the product's.
        "tracking product 3 0",
        "tracking website 1 0",
        "webhook deals 1 0",
        "bus shop 1 0",
        // And who else sent something.
        "write_key tests 2 1",
        "write_key website 1 0",
        "bus billing 1 0",
        "queue queue 1 0",
    ];
    assert_eq!(told, expected);
    let product = &all["items"][0];
    assert_eq!((&product["expect_every"], &product["is_declared"]), (&json!("1h"), &json!(true)));
    assert_eq!(product["last_received_at"], json!(now()));
    assert_eq!(product["last_event_at"], json!(at(-1)));
    assert_eq!(product["hours"], json!([{"from": at(-30), "accepted": 3, "rejected": 0}]));
    let first = list(&door, "?limit=3").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = list(&door, &format!("?limit=9&cursor={cursor}")).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 5);
    assert_eq!(rest["next_cursor"], Json::Null);
}

#[tokio::test]
async fn what_was_there_already_is_no_sign_of_life() {
    let door = open().await;
    send(&door, &[login("1", at(-1))]).await;
    door.stack.clock.set(Some(at(30)));
    send(&door, &[login("1", at(-1))]).await;
    let product = feed(&door, "product", "tracking").await;
    assert_eq!((counts(&product), &product["last_received_at"]), ((1, 0), &json!(now())));
    // What happened earlier and comes later does not turn the time back.
    door.stack.clock.set(Some(at(40)));
    send(&door, &[login("2", at(-5_000))]).await;
    let product = feed(&door, "product", "tracking").await;
    assert_eq!((counts(&product), &product["last_received_at"]), ((2, 0), &json!(at(40))));
    assert_eq!(product["last_event_at"], json!(at(-1)));
}

#[tokio::test]
async fn a_feed_is_late_once_it_is_silent_for_longer_than_it_may() {
    let door = open().await;
    let late = async |minutes: i64, name: &str, kind: &str| {
        door.stack.clock.set(Some(at(minutes)));
        let found = feed(&door, name, kind).await;
        assert_eq!(found["late"].as_bool().unwrap(), found["late_since"].is_string());
        found["late_since"].clone()
    };
    // Never heard of: from when the file was applied.
    assert_eq!(late(60, "product", "tracking").await, Json::Null);
    assert_eq!(late(61, "product", "tracking").await, json!(at(60)));
    assert_eq!(late(61, "deals", "webhook").await, Json::Null);
    assert_eq!(late(61, "website", "tracking").await, Json::Null, "nothing is expected of it");
    send(&door, &[login("1", at(61))]).await;
    assert_eq!(late(121, "product", "tracking").await, Json::Null);
    assert_eq!(late(130, "product", "tracking").await, json!(at(121)));
}

#[tokio::test]
async fn counts_are_of_the_last_day_and_old_ones_are_taken_away() {
    let door = open().await;
    for (n, hours) in [0, 3, 23, 26, 52, 53].into_iter().enumerate() {
        door.stack.clock.set(Some(at(60 * hours)));
        send(&door, &[login(&n.to_string(), at(60 * hours))]).await;
        send(&door, &[login(&format!("again-{n}"), at(60 * hours))]).await;
        door.stack.clock.set(Some(at(60 * hours + 2)));
        send(&door, &[json!({"type": "sale"})]).await;
    }
    let product = feed(&door, "product", "tracking").await;
    assert_eq!(counts(&product), (4, 0), "{product}");
    let item = door.stack.dynamodb.get_item().table_name(&door.stack.tables.control);
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let item = item.key("pk", text("sender")).key("sk", text("feed#product"));
    let item = item.send().await.unwrap().item.unwrap();
    let kept = item.keys().filter(|name| name[1..].parse::<i64>().is_ok()).count();
    assert!(kept <= 3, "{item:?}");
}

#[tokio::test]
async fn a_source_costs_a_write_a_minute_however_much_it_sends() {
    let door = open().await;
    send(&door, &[login("0", now())]).await;
    let meter = door.stack.store.meter();
    meter.reset();
    for second in 0..300 {
        door.stack.clock.set(Some(now() + SignedDuration::from_secs(second)));
        send(&door, &[login(&format!("m-{second}"), now())]).await;
    }
    let units = meter.read().into_iter().find(|(table, _)| *table == "control").unwrap().1;
    // One a minute for the key and one for the feed, and no read; what is suppressed is looked up.
    assert!(units.write_units <= 8.0 && units.read_units <= 2.0, "{units:?}");
    let product = feed(&door, "product", "tracking").await;
    assert!(counts(&product).0 >= 240, "at most the last minute is not told yet: {product}");
    // The next delivery of anybody brings what is left.
    door.stack.clock.set(Some(at(10)));
    let web = json!({"type": "page", "userId": "ada", "messageId": "w"}).to_string();
    door.post("/v1/track", &[("authorization", "Bearer web")], web).await;
    assert_eq!(counts(&feed(&door, "product", "tracking").await).0, 301);
}

#[tokio::test]
async fn what_cannot_be_counted_is_taken_all_the_same() {
    let door = open().await;
    send(&door, &[login("1", now())]).await;
    let table = &door.stack.tables.control;
    door.stack.dynamodb.delete_table().table_name(table).send().await.unwrap();
    door.stack.clock.set(Some(at(5)));
    let calls = json!({"batch": [login("2", at(5))]}).to_string();
    let reply = door.post("/v1/batch", &[BEARER], calls).await;
    assert_eq!(reply.taken(), ([1, 0, 0], vec![]));
}
