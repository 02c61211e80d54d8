//! What real clients sent, byte for byte, through every way a request comes in: each event is
//! stored under the id its client gave it, once, however often it is sent.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use ingest::App;
use jiff::Timestamp;
use lambda_runtime::{Context, LambdaEvent};
use platform::store::CustomerFilter;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use tests::stack::Stack;
use tower::ServiceExt as _;

const SOURCE: &str = "
version: 1
subject: account
metrics:
  logins_7d: { count: login, over: 7d }
stages:
  active:
    enter: { when: metrics.logins_7d >= 1, priority: 10 }
";
/// The write key of the recordings.
const WRITE_KEY: &str = "WRITE_KEY";

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

struct Sut {
    stack: Stack,
    app: Arc<App>,
}

impl Sut {
    async fn start() -> Sut {
        let stack = Stack::start(SOURCE, now()).await.unwrap();
        stack.store.add_write_key(WRITE_KEY, "recorded", now()).await.unwrap();
        let app = App {
            store: stack.store.clone(),
            clock: stack.clock.handle(),
            public_url: None,
            egress: platform::egress::Egress::quick(),
        };
        Sut { app: Arc::new(app), stack }
    }

    /// Sends a recorded request as it was sent: the status and the body of the answer.
    async fn over_http(&self, recorded: &Json) -> (u64, Json) {
        let mut request = Request::post(recorded["path"].as_str().unwrap());
        for (name, value) in recorded["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let request = request.body(Body::from(wire(recorded))).unwrap();
        let response = ingest::router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let status = response.status().as_u16().into();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Hands an event of the gateway to the function: the status and the body of the answer.
    async fn through_the_gateway(&self, event: &Json) -> (u64, Json) {
        let payload = RawValue::from_string(event.to_string()).unwrap();
        let event = LambdaEvent { payload, context: Context::default() };
        let answer = ingest::handle(&self.app, event).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    /// The ids of all events of all customers, sorted.
    async fn stored(&self) -> Vec<String> {
        let store = &self.stack.store;
        let customers = store.customers(&CustomerFilter::default(), 1_000, None).await.unwrap();
        assert!(customers.next_cursor.is_none());
        let mut ids = Vec::new();
        for customer in customers.items {
            let events = store.event_page(&customer.key, 1_000, None).await.unwrap();
            assert!(events.next_cursor.is_none());
            ids.extend(events.items.into_iter().map(|event| event.id));
        }
        ids.sort();
        ids
    }
}

/// The recordings of a folder, by name.
fn recordings(folder: &str) -> Vec<(String, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recorded").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let read = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
    };
    let mut recordings: Vec<(String, Json)> = files.map(read).collect();
    recordings.sort_by(|a, b| a.0.cmp(&b.0));
    recordings
}

/// The requests of the clients, by client.
fn clients() -> Vec<(String, Vec<Json>)> {
    let whole = recordings("clients").into_iter();
    let whole = whole
        .filter_map(|(name, recording)| Some((name, recording["requests"].as_array()?.clone())));
    whole.collect()
}

fn wire(recorded: &Json) -> Vec<u8> {
    STANDARD.decode(recorded["body_wire_base64"].as_str().unwrap()).unwrap()
}

/// The same request as API Gateway's HTTP API hands it over.
fn as_gateway_event(recorded: &Json) -> Json {
    let headers = recorded["headers"].as_object().unwrap().iter();
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.clone()));
    json!({
        "version": "2.0", "routeKey": "POST /v1/{proxy+}", "rawPath": recorded["path"],
        "rawQueryString": "", "headers": headers.collect::<serde_json::Map<_, _>>(),
        "requestContext": {
            "stage": "$default", "requestId": "r", "timeEpoch": 1,
            "domainName": "api.example.com",
            "http": {"method": "POST", "path": recorded["path"], "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7", "userAgent": "recorded"},
        },
        "body": STANDARD.encode(wire(recorded)), "isBase64Encoded": true,
    })
}

/// The message ids in a body, compressed or not, of one call or many.
fn ids(wire: &[u8]) -> BTreeSet<String> {
    let mut text = Vec::new();
    match wire.starts_with(&[0x1f, 0x8b]) {
        true => GzDecoder::new(wire).read_to_end(&mut text).map(|_| ()).unwrap(),
        false => text.extend(wire),
    }
    let body: Json = serde_json::from_slice(&text).unwrap();
    let calls = body["batch"].as_array().cloned().unwrap_or_else(|| vec![body]);
    calls.iter().map(|call| call["messageId"].as_str().unwrap().to_owned()).collect()
}

/// Holds an answer to a first and then a second sending of so many events.
fn check(name: &str, sending: usize, events: usize, (status, body): (u64, Json)) {
    assert_eq!(status, 200, "{name}: {body}");
    let counts = if sending == 0 { (events, 0) } else { (0, events) };
    assert_eq!((&body["accepted"], &body["duplicates"]), (&counts.0.into(), &counts.1.into()));
    assert_eq!(body["rejected"], json!([]), "{name}");
}

#[tokio::test]
async fn every_event_of_a_recorded_client_is_stored_once_whichever_way_it_comes() {
    let clients = clients();
    assert!(clients.len() >= 5);
    for (client, requests) in clients {
        let expected: BTreeSet<String> =
            requests.iter().flat_map(|request| ids(&wire(request))).collect();
        let expected: Vec<String> = expected.into_iter().collect();
        for first in ["http", "gateway"] {
            let sut = Sut::start().await;
            for sending in 0..2 {
                for request in &requests {
                    let events = ids(&wire(request)).len();
                    // What came one way first comes the other way again.
                    let answer = match (first == "http") == (sending == 0) {
                        true => sut.over_http(request).await,
                        false => sut.through_the_gateway(&as_gateway_event(request)).await,
                    };
                    check(&client, sending, events, answer);
                }
                assert_eq!(sut.stored().await, expected, "{client}: sending {sending}");
            }
        }
    }
}

#[tokio::test]
async fn every_recorded_event_of_the_gateway_is_stored_once() {
    let events = recordings("apigw_v2");
    assert!(events.len() >= 5);
    for (name, event) in events {
        let sut = Sut::start().await;
        let body = event["body"].as_str().unwrap();
        let wire = match event["isBase64Encoded"].as_bool().unwrap() {
            true => STANDARD.decode(body).unwrap(),
            false => body.as_bytes().to_vec(),
        };
        let expected: Vec<String> = ids(&wire).into_iter().collect();
        for sending in 0..2 {
            let answer = sut.through_the_gateway(&event).await;
            check(&name, sending, expected.len(), answer);
            assert_eq!(sut.stored().await, expected, "{name}: sending {sending}");
        }
    }
}
