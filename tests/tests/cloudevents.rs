//! CloudEvents, events of the bus and queued requests through the real handlers into the tables.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use platform::CustomerKey;
use serde_json::{Value as Json, json};
use tests::door::{BEARER, Door};
use tests::recorded;

const ACCOUNTS: &str = "
version: 1
subject: account
stages:
  active: {}
feeds:
  crm:
    source: https://crm.example.com
    map:
      - when: { type: com.example.customer.subscription.cancelled }
        event: cancelled
        account: tenantid
        user: subject
        properties: data
      - { when: { type: com.example.noise }, event: noise, account: nobody.home }
";

fn now() -> Timestamp {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

async fn open() -> Door {
    Door::open(ACCOUNTS, now()).await.unwrap()
}

async fn post(
    door: &Door,
    content_type: &str,
    body: impl Into<axum::body::Body>,
) -> tests::door::Reply {
    door.post("/v1/cloudevents", &[BEARER, ("content-type", content_type)], body).await
}

#[tokio::test]
async fn recorded_events_of_both_libraries_are_taken_or_refused_as_they_should() {
    let recording = recorded("webhooks/cloudevents.json");
    for vector in recording["vectors"].as_array().unwrap() {
        let door = open().await;
        let name = vector["name"].as_str().unwrap();
        let headers = vector["headers"].as_object().unwrap().iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let headers: Vec<_> = headers.chain([BEARER]).collect();
        let body = vector["body"].as_str().unwrap().to_owned();
        let reply = door.post("/v1/cloudevents", &headers, body).await;
        let expected = vector["expect"].as_str().unwrap_or("accept");
        if expected.contains("1 duplicate")
            || name.starts_with("empty")
            || name.starts_with("batch")
        {
            assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.body);
        } else if expected.starts_with("accept") {
            // Those that name nobody are events all the same: they are in quarantine for that alone.
            let is_of_nobody = reply.status == StatusCode::BAD_REQUEST;
            assert_eq!(is_of_nobody, !name.contains("sdk"), "{name}: {}", reply.body);
            if is_of_nobody {
                assert_eq!(reply.refused(), (400, "missing_user"), "{name}");
            } else {
                assert_eq!(reply.taken(), ([1, 0, 0], vec![]), "{name}");
                let names = door.event_names(&CustomerKey::subject("t42")).await;
                assert_eq!(names, ["cancelled"], "{name}");
            }
        } else {
            let (status, code) = reply.refused();
            assert!(matches!(status, 400 | 415) && code != "missing_user", "{name}: {code}");
        }
    }
}

#[tokio::test]
async fn attributes_in_headers_are_the_same_escaped_and_raw() {
    let recording = recorded("webhooks/cloudevents.json");
    let door = open().await;
    let vectors = recording["vectors"].as_array().unwrap().iter();
    let odd = vectors.filter(|vector| vector["name"].as_str().unwrap().contains("subject"));
    let mut found = Vec::new();
    for vector in odd {
        let headers = vector["headers"].as_object().unwrap().iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let headers: Vec<_> = headers.chain([BEARER]).collect();
        let body = vector["body"].as_str().unwrap().to_owned();
        found.push(door.post("/v1/cloudevents", &headers, body).await.taken().0);
    }
    // Both are the same event, by its source and its id.
    assert_eq!(found, [[1, 0, 0], [0, 1, 0]]);
    let page = door.stack.store.event_page(&CustomerKey::subject("t42"), 10, None).await.unwrap();
    assert_eq!(page.items[0].user.as_deref(), Some("Ünal \"q\" 100%"));
}

#[tokio::test]
async fn an_event_is_known_by_its_source_and_its_id() {
    let door = open().await;
    let event = |source: &str, id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": source, "type": "login", "subject": "acme",
            "time": "2026-01-15T11:00:00Z", "data": {"userId": "ada"},
        })
    };
    let events = json!([event("/a", "1"), event("/a", "1"), event("/b", "1"), event("/a", "2")]);
    let batch = "application/cloudevents-batch+json; charset=utf-8";
    assert_eq!(post(&door, batch, events.to_string()).await.taken(), ([3, 1, 0], vec![]));
    let structured = "application/cloudevents+json";
    let again = post(&door, structured, event("/b", "1").to_string()).await;
    assert_eq!(again.taken(), ([0, 1, 0], vec![]));
    // Its data names a user; the subject is not asked then.
    assert_eq!(door.event_names(&CustomerKey::unlinked_user("ada")).await.len(), 3);
}

#[tokio::test]
async fn an_event_that_no_feed_claims_is_a_call_or_is_named_by_its_type() {
    let door = open().await;
    let event = |id: &str, data: Json| {
        json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": "com.shop.paid",
            "subject": "acme", "time": "2026-01-15T11:00:00Z", "data": data,
        })
    };
    let call =
        json!({"type": "track", "event": "login", "userId": "ada", "context": {"groupId": "acme"}});
    let bad = json!({"specversion": "1.0", "source": "/shop", "type": "t"});
    let events =
        json!([event("1", call), event("2", json!("text")), event("3", json!(null)), 7, bad]);
    let reply = post(&door, "application/cloudevents-batch+json", events.to_string()).await;
    assert_eq!(reply.taken(), ([3, 0, 0], vec!["invalid_json", "missing_id"]));
    let names = door.event_names(&CustomerKey::subject("acme")).await;
    assert_eq!(names, ["com.shop.paid", "com.shop.paid", "login"]);
}

#[tokio::test]
async fn what_is_no_cloudevent_or_has_no_key_is_refused() {
    let door = open().await;
    let structured = ("content-type", "application/cloudevents+json");
    let event =
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "a"});
    let reply = door.post("/v1/cloudevents", &[structured], event.to_string()).await;
    assert_eq!(reply.refused(), (401, "missing_write_key"));
    let other = ("authorization", "Bearer other");
    let reply = door.post("/v1/cloudevents", &[structured, other], event.to_string()).await;
    assert_eq!(reply.refused(), (401, "unknown_write_key"));
    for content_type in
        ["application/cloudevents+xml", "application/cloudevents-batch+avro", "text/plain"]
    {
        let reply = post(&door, content_type, "<e/>").await;
        assert_eq!(reply.refused(), (415, "unsupported_media_type"), "{content_type}");
    }
    assert_eq!(door.quarantined().await, Vec::<String>::new());
    let reply = post(&door, "application/cloudevents+json", "{").await;
    assert_eq!(reply.refused(), (400, "invalid_json"));
    // Plain JSON is taken for what it is.
    assert_eq!(post(&door, "application/json", event.to_string()).await.taken().0, [1, 0, 0]);
}

#[tokio::test]
async fn a_sender_that_asks_may_send() {
    let door = open().await;
    let asks = [("webhook-request-origin", "events.example.com"), ("webhook-request-rate", "120")];
    let reply = door.request(Method::OPTIONS, "/v1/cloudevents", &asks, "").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.headers["webhook-allowed-origin"], "events.example.com");
    assert_eq!(reply.headers["webhook-allowed-rate"], "120");
    let browser =
        [("origin", "https://app.example.com"), ("access-control-request-method", "POST")];
    let reply = door.request(Method::OPTIONS, "/v1/cloudevents", &browser, "").await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert!(reply.headers.contains_key("access-control-allow-headers"));
}

#[tokio::test]
async fn a_recorded_change_of_salesforce_is_an_event_of_its_account() {
    let door = open().await;
    let recording = recorded("webhooks/salesforce.json");
    let event = &recording["eventbridge_partner_event"];
    let answer = door.invoke(event).await.unwrap();
    assert_eq!(answer, json!({"accepted": 1, "duplicates": 0, "rejected": 0}));
    assert_eq!(door.invoke(event).await.unwrap()["duplicates"], 1);
    let account = CustomerKey::subject("001RM000004UF9sYAG");
    assert_eq!(door.event_names(&account).await, ["account_changed"]);
    let mut overflow = event.clone();
    overflow["detail"]["payload"]["ChangeEventHeader"]["changeType"] = "GAP_OVERFLOW".into();
    assert_eq!(door.invoke(&overflow).await.unwrap()["ignored"], 1);
}

fn record(id: &str, body: &Json, attributes: &Json) -> Json {
    json!({
        "messageId": id, "eventSource": "aws:sqs", "body": body.to_string(),
        "attributes": {"SentTimestamp": "1768477800000"}, "messageAttributes": attributes,
    })
}

#[tokio::test]
async fn records_of_a_queue_hold_any_form_and_fail_alone() {
    let door = open().await;
    let cloud = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/s", "type": "seen", "subject": "acme",
        })
    };
    let bus = recorded("webhooks/salesforce.json")["eventbridge_partner_event"].clone();
    let records = json!({"Records": [
        record("r-1", &cloud("1"), &json!({})),
        record("r-2", &json!([cloud("2"), cloud("1")]), &json!({})),
        record("r-3", &bus, &json!({})),
        record("r-4", &json!({"x": 1}), &json!({})),
    ]});
    for _ in 0..2 {
        let answer = door.invoke(&records).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
    }
    assert_eq!(door.event_names(&CustomerKey::subject("acme")).await, ["seen", "seen"]);
    assert_eq!(door.quarantined().await, ["unknown_type"]);
}

#[tokio::test]
async fn a_queued_request_needs_its_senders_key() {
    let door = open().await;
    let attribute = |text: &str| json!({"stringValue": text, "dataType": "String"});
    let request = |path: &str, authorization: &str| json!({"path": attribute(path), "authorization": attribute(authorization)});
    let call = |user: &str| json!({"event": "login", "userId": user});
    let records = json!({"Records": [
        record("r-1", &call("ada"), &request("/v1/queued/v1/track", "Basic ZGV2Og==")),
        record("r-2", &call("bob"), &request("/v1/queued/v1/track", "Basic b3RoZXI6")),
        record("r-3", &call("cyd"), &json!({"path": attribute("/v1/queued/v1/track")})),
    ]});
    let answer = door.invoke(&records).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert_eq!(door.event_names(&CustomerKey::unlinked_user("ada")).await, ["login"]);
    for user in ["bob", "cyd"] {
        let user = CustomerKey::unlinked_user(user);
        assert_eq!(door.event_names(&user).await, Vec::<String>::new());
    }
    assert_eq!(door.quarantined().await, Vec::<String>::new());
    // It arrived when it was put into the queue, not when it was taken from it.
    let page =
        door.stack.store.event_page(&CustomerKey::unlinked_user("ada"), 1, None).await.unwrap();
    assert_eq!(page.items[0].received_at, "2026-01-15T11:50:00Z".parse().unwrap());
}
