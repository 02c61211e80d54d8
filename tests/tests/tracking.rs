//! What no body, clock or retry of a tracker can do to the log.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use platform::CustomerKey;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tests::door::{BEARER, Door, Reply};
use tests::recorded;

const USERS: &str = "
version: 1
subject: user
metrics:
  logins_7d: { count: login, over: 7d }
stages:
  active: {}
";

fn now() -> Timestamp {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

async fn open() -> Door {
    Door::open(USERS, now()).await.unwrap()
}

async fn batch(door: &Door, body: &Json) -> Reply {
    door.post("/v1/batch", &[BEARER], body.to_string()).await
}

fn login(id: &str, timestamp: &str) -> Json {
    json!({"type": "track", "event": "login", "userId": "ada", "messageId": id, "timestamp": timestamp})
}

async fn instants(door: &Door) -> Vec<String> {
    let page = door.stack.store.event_page(&CustomerKey::subject("ada"), 100, None).await.unwrap();
    let mut found: Vec<String> = page.items.iter().map(|event| event.at.to_string()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_recorded_body_of_hazards_costs_only_what_cannot_be_represented() {
    let door = open().await;
    door.stack.clock.set(Some("2026-11-22T05:00:00Z".parse().unwrap()));
    let recording = recorded("clients/hazard_segment_py.json");
    let body = STANDARD.decode(recording["body_wire_base64"].as_str().unwrap()).unwrap();
    door.stack.store.add_write_key("WRITE_KEY", "recorded", now()).await.unwrap();
    let reply = door.post("/v1/batch", &[], body.clone()).await;
    assert_eq!(reply.taken(), ([12, 0, 0], vec!["too_deep"]));
    assert_eq!(reply.body["rejected"][0]["messageId"], "hz-deep140");
    let again = door.post("/v1/batch", &[], body).await;
    assert_eq!(again.taken(), ([0, 12, 0], vec!["too_deep"]));
    assert_eq!(door.quarantined().await, ["too_deep"]);
}

#[tokio::test]
async fn marks_between_events_cost_nothing() {
    let door = open().await;
    let call = login("m-1", "2026-01-15T11:00:00Z");
    let body = format!("\u{feff}{{\"batch\":[\u{feff}{call},\u{feff}7]}}");
    let reply = door.post("/v1/batch", &[BEARER], body).await;
    assert_eq!(reply.taken(), ([1, 0, 0], vec!["invalid_json"]));
    let single = "\u{feff}{\"userId\":\"ada\",\"event\":\"login\",\"properties\":{\"n\":NaN}}";
    let reply = door.post("/v1/track", &[BEARER], single).await;
    assert_eq!(reply.taken(), ([1, 0, 0], vec![]));
}

#[tokio::test]
async fn a_wrong_clock_is_put_right_and_a_retry_changes_nothing() {
    let door = open().await;
    // The sender's clock is three hours behind.
    let told =
        |sent: &str| json!({"batch": [login("m-1", "2026-01-15T08:30:00Z")], "sentAt": sent});
    let first = batch(&door, &told("2026-01-15T09:00:00Z")).await;
    assert_eq!(first.taken(), ([1, 0, 0], vec![]));
    assert_eq!(instants(&door).await, ["2026-01-15T11:30:00Z"]);
    // Tried again a minute later, with a new `sentAt`, and an hour later with the first one.
    for (later, sent) in [(60, "2026-01-15T09:01:02Z"), (3_600, "2026-01-15T09:00:00Z")] {
        door.stack.clock.set(Some(now() + SignedDuration::from_secs(later)));
        assert_eq!(batch(&door, &told(sent)).await.taken(), ([0, 1, 0], vec![]));
    }
    assert_eq!(instants(&door).await, ["2026-01-15T11:30:00Z"]);
}

#[tokio::test]
async fn a_clock_that_is_right_by_the_next_attempt_makes_no_second_event() {
    let door = open().await;
    let told = |id: &str, sent: &str| json!({"batch": [login(id, "2026-01-15T08:30:00Z")], "sentAt": sent});
    // Wrong first and then right, and the other way round.
    for (id, first, then, at) in [
        ("m-1", "2026-01-15T09:00:00Z", "2026-01-15T12:00:00Z", "2026-01-15T11:30:00Z"),
        ("m-2", "2026-01-15T12:00:00Z", "2026-01-15T09:00:00Z", "2026-01-15T08:30:00Z"),
    ] {
        assert_eq!(batch(&door, &told(id, first)).await.taken(), ([1, 0, 0], vec![]), "{id}");
        assert_eq!(batch(&door, &told(id, then)).await.taken(), ([0, 1, 0], vec![]), "{id}");
        assert!(instants(&door).await.contains(&at.to_owned()), "{id}");
    }
    // Of one delivery that has it twice, too.
    let twice = json!({"batch": [
        {"type": "page", "userId": "ada", "messageId": "m-3", "timestamp": "2026-01-15T08:30:00Z",
            "sentAt": "2026-01-15T09:00:00Z"},
        {"type": "page", "userId": "ada", "messageId": "m-3", "timestamp": "2026-01-15T08:30:00Z"},
    ]});
    assert_eq!(batch(&door, &twice).await.taken(), ([1, 1, 0], vec![]));
    assert_eq!(instants(&door).await.len(), 3);
}

#[tokio::test]
async fn an_event_from_the_future_that_is_sent_again_in_its_hour_counts_once() {
    let door = open().await;
    let body = json!({"batch": [login("m-1", "2026-01-15T14:10:00Z")]});
    assert_eq!(batch(&door, &body).await.taken(), ([1, 0, 0], vec![]));
    for minutes in [30, 125, 126, 190, 3_000] {
        door.stack.clock.set(Some(now() + SignedDuration::from_mins(minutes)));
        assert_eq!(batch(&door, &body).await.taken(), ([0, 1, 0], vec![]), "{minutes}");
    }
    assert_eq!(instants(&door).await, ["2026-01-15T12:00:00Z"]);
}

#[tokio::test]
async fn an_event_that_moved_to_an_account_since_is_still_known_again() {
    let accounts = USERS.replace("subject: user", "subject: account");
    let door = Door::open(&accounts, now()).await.unwrap();
    let body = json!({"batch": [login("m-1", "2026-01-15T14:10:00Z")]});
    assert_eq!(batch(&door, &body).await.taken(), ([1, 0, 0], vec![]));
    let group = json!({"batch": [{"type": "group", "userId": "ada", "groupId": "acme",
        "messageId": "m-2", "timestamp": "2026-01-15T12:00:00Z"}]});
    assert_eq!(batch(&door, &group).await.taken(), ([1, 0, 0], vec![]));
    door.stack.clock.set(Some(now() + SignedDuration::from_hours(3)));
    assert_eq!(batch(&door, &body).await.taken(), ([0, 1, 0], vec![]));
    assert_eq!(door.event_names(&CustomerKey::subject("acme")).await, ["group", "login"]);
}

/// An attempt to send one event: after how many minutes, and by how many minutes the sender's clock
/// is ahead, if the attempt tells when it is sent.
type Sent = (i64, Option<i64>);

#[test]
fn however_clocks_go_one_event_counts_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let door = runtime.block_on(open());
    let clock = prop::option::of(prop_oneof![-2_000_i64..2_000, -6_i64..6]);
    let attempt = (prop_oneof![0_i64..8, 0_i64..3_000], clock);
    let case = (-1_500_i64..1_430, prop::collection::vec(attempt, 1..6));
    let ids = AtomicUsize::new(0);
    proptest!(ProptestConfig::with_cases(96), |((told, attempts) in case)| {
        let user = format!("u-{}", ids.fetch_add(1, Ordering::Relaxed));
        let told = now() + SignedDuration::from_mins(told);
        let call = json!({"type": "track", "event": "login", "userId": user, "messageId": "m",
            "timestamp": told.to_string()});
        let (mut accepted, mut minutes) = (0, 0);
        for (later, ahead) in attempts as Vec<Sent> {
            minutes += later;
            let at = now() + SignedDuration::from_mins(minutes);
            door.stack.clock.set(Some(at));
            let mut body = json!({"batch": [call]});
            if let Some(ahead) = ahead {
                body["sentAt"] = (at + SignedDuration::from_mins(ahead)).to_string().into();
            }
            let reply = runtime.block_on(batch(&door, &body));
            let ([new, known, _], rejected) = reply.taken();
            prop_assert_eq!(new + known + rejected.len() as u64, 1);
            accepted += new;
        }
        prop_assert!(accepted <= 1, "{accepted} times");
        let log = runtime.block_on(door.event_names(&CustomerKey::subject(&user)));
        prop_assert_eq!(log.len() as u64, accepted);
    });
}

#[tokio::test]
async fn a_body_that_is_sent_again_hours_later_as_it_was_counts_once() {
    let door = open().await;
    let body = json!({
        "batch": [login("m-1", "2026-01-15T11:59:00Z"), login("m-2", "2026-01-15T09:00:00Z")],
        "sentAt": "2026-01-15T12:00:00Z",
    });
    assert_eq!(batch(&door, &body).await.taken(), ([2, 0, 0], vec![]));
    for hours in [1, 5, 30] {
        door.stack.clock.set(Some(now() + SignedDuration::from_hours(hours)));
        assert_eq!(batch(&door, &body).await.taken(), ([0, 2, 0], vec![]), "{hours} h");
    }
    assert_eq!(instants(&door).await, ["2026-01-15T09:00:00Z", "2026-01-15T11:59:00Z"]);
}

#[tokio::test]
async fn what_is_too_old_or_too_far_ahead_is_set_aside_with_its_reason() {
    let door = open().await;
    let body = json!({"batch": [
        login("m-1", "2024-12-11T11:59:59Z"),
        login("m-2", "2026-01-16T12:00:01Z"),
        login("m-3", "2026-01-15T12:04:00Z"),
        login("m-4", "2026-01-15T13:00:00Z"),
    ]});
    assert_eq!(batch(&door, &body).await.taken(), ([2, 0, 0], vec!["too_old", "too_far_ahead"]));
    assert_eq!(door.quarantined().await, ["too_far_ahead", "too_old"]);
    // The fourth counts when it arrived.
    assert_eq!(instants(&door).await, ["2026-01-15T12:00:00Z", "2026-01-15T12:04:00Z"]);
    let history = json!({"batch": [login("m-5", "1997-01-01T00:00:00Z")]}).to_string();
    let reply = door.post("/v1/import", &[BEARER], history.clone()).await;
    assert_eq!(reply.taken(), ([1, 0, 0], vec![]));
    let reply = door.post("/v1/import", &[BEARER], history).await;
    assert_eq!(reply.taken(), ([0, 1, 0], vec![]));
}

#[tokio::test]
async fn an_id_is_one_however_its_number_is_written() {
    let door = open().await;
    for (index, id) in ["42", "42.0", "\"42\""].into_iter().enumerate() {
        let body = format!(r#"{{"event":"login","userId":{id},"messageId":"m-{index}"}}"#);
        let reply = door.post("/v1/track", &[BEARER], body).await;
        assert_eq!(reply.taken(), ([1, 0, 0], vec![]), "{id}");
    }
    assert_eq!(door.event_names(&CustomerKey::subject("42")).await.len(), 3);
    let body = r#"{"event":"login","userId":1180591620717411303424}"#;
    let reply = door.post("/v1/track", &[BEARER], body).await;
    assert_eq!(reply.refused(), (400, "missing_user"));
}

#[tokio::test]
async fn a_clock_that_is_put_right_costs_little_more() {
    let door = open().await;
    let sent = |id: &str| json!({"batch": [login(id, "2026-01-15T08:30:00Z")], "sentAt": "2026-01-15T09:00:00Z"});
    batch(&door, &sent("m-0")).await.taken();
    let meter = door.stack.store.meter();
    meter.reset();
    assert_eq!(batch(&door, &sent("m-1")).await.taken(), ([1, 0, 0], vec![]));
    let units = meter.total();
    assert!(units.write_units <= 3.1 && units.read_units <= 2.6, "{units:?}");
}

#[test]
fn no_bytes_make_the_door_fail() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let door = runtime.block_on(open());
    runtime.block_on(door.stack.store.add_source_secret("stripe", "s", now())).unwrap();
    let paths = [
        "/v1/batch",
        "/v1/t",
        "/v1/import",
        "/v1/cloudevents",
        "/v1/webhooks/stripe",
        "/v1/webhooks/hubspot",
    ];
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            "{\"batch\":[",
            "{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\"}",
            "]}",
            "NaN",
            "[",
            "{",
            "\\ud83d",
            "\u{feff}",
            "\"",
            "1e999",
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",",
            "\"type\":\"t\"}",
            "\u{1f}\u{8b}",
            "payload=%7B",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let body = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    let header = prop::collection::vec(0x20_u8..0x7f, 0..40);
    let case = (body, header, prop::sample::select(paths.to_vec()), any::<bool>());
    proptest!(ProptestConfig::with_cases(192), |((body, header, path, is_typed) in case)| {
        let header = String::from_utf8(header).unwrap();
        let content_type = if is_typed { "application/cloudevents-batch+json" } else { "" };
        let headers = [
            BEARER, ("content-type", content_type), ("stripe-signature", &header),
            ("x-hubspot-signature-v3", &header), ("x-hubspot-request-timestamp", &header),
        ];
        let reply = runtime.block_on(door.post(path, &headers, body));
        let status = reply.status.as_u16();
        prop_assert!(matches!(status, 200 | 400 | 401 | 404 | 415), "{path}: {status} {}", reply.body);
        if status != 200 {
            reply.refused();
        }
    });
}
