//! Daily roots in a bucket that lets nobody change them: what is put there, and what becomes of a night in
//! which it cannot be.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::event::Event;
use domain::journal::JournalEntry;
use jiff::{SignedDuration, Timestamp};
use platform::CustomerKey;
use platform::sweep::{ScheduleEvent, SweepAnswer, SweepError, SweepEvent, SweepKind};
use platform::vault::Vault;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tests::stack::Stack;

const FILE: &str = "
version: 1
traits: { plan: text? }
metrics: { logins: { count: login } }
stages: { active: { enter: { when: metrics.logins >= 0, priority: 1 } } }
standards: { plan_known: { required: [traits.plan], severity: low, owner: ops } }
";

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T06:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

#[derive(Clone)]
struct Put {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A stand-in for S3 on this machine: it writes down what it is asked, and answers what it is told to.
#[derive(Clone, Default)]
struct Bucket {
    asked: Arc<Mutex<Vec<Put>>>,
    refuses: Arc<Mutex<Vec<u16>>>,
}

impl Bucket {
    async fn start() -> (Bucket, String) {
        let bucket = Bucket::default();
        let router = Router::new().fallback(answer).with_state(bucket.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (bucket, address)
    }

    fn asked(&self) -> Vec<Put> {
        self.asked.lock().unwrap().clone()
    }

    fn refuse(&self, statuses: &[u16]) {
        *self.refuses.lock().unwrap() = statuses.to_vec();
    }
}

async fn answer(
    State(bucket): State<Bucket>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let path = uri.to_string();
    bucket.asked.lock().unwrap().push(Put { method, path, headers, body });
    match bucket.refuses.lock().unwrap().pop() {
        None => (StatusCode::OK, String::new()),
        Some(status) => {
            let text = "<Error><Code>SlowDown</Code><Message>acme</Message></Error>";
            (StatusCode::from_u16(status).unwrap(), text.to_owned())
        }
    }
}

struct World {
    stack: Stack,
    app: comply::App,
    bucket: Bucket,
}

impl World {
    async fn new() -> World {
        let (bucket, address) = Bucket::start().await;
        let stack = Stack::start(FILE, day(0)).await.unwrap();
        let credentials =
            Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test");
        let credentials = SharedCredentialsProvider::new(credentials);
        let app = comply::App {
            store: stack.store.clone(),
            clock: stack.clock.handle(),
            queue: None,
            customers_per_segment: 1_000,
            vault: Some(Vault::new("roots-of-acme", "eu-central-1", credentials, Some(&address))),
        };
        World { stack, app, bucket }
    }

    async fn joins(&self, customer: &str, at: Timestamp) {
        let Json::Object(body) = json!({ "type": "track", "event": "login", "userId": customer })
        else {
            panic!("a call is an object")
        };
        let event = Event::from_body(format!("{customer}-{at}"), at, at, body).unwrap();
        let lifecycle = self.stack.store.lifecycle().await.unwrap();
        let key = CustomerKey::subject(customer);
        self.stack.store.commit(&key, &[event], &lifecycle, at).await.unwrap();
    }

    async fn night(&self, on: i64) -> Result<SweepAnswer, SweepError> {
        self.stack.clock.set(Some(day(on)));
        let (schedule, scheduled_time) = ("comply-nightly".to_owned(), day(on));
        let event = ScheduleEvent { schedule, scheduled_time, sweep: SweepKind::All };
        comply::handle(&self.app, SweepEvent::Schedule(event), None).await
    }

    async fn roots(&self) -> Vec<JournalEntry> {
        let page = self.stack.store.journal(&CustomerKey::roots(), 100, None).await.unwrap();
        page.items.into_iter().rev().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_root_is_put_once_signed_and_as_the_journal_has_it() {
    let world = World::new().await;
    world.joins("acme", day(0)).await;
    for night in 0..3 {
        world.night(night).await.unwrap();
        world.night(night).await.unwrap();
    }
    let (asked, roots) = (world.bucket.asked(), world.roots().await);
    let paths: Vec<&str> = asked.iter().map(|put| put.path.as_str()).collect();
    let object = |day: &str| format!("/roots-of-acme/roots/{day}.json");
    assert_eq!(paths, [object("2025-12-31"), object("2026-01-01"), object("2026-01-02")]);
    assert_eq!(roots.len(), 3);
    for (put, root) in asked.iter().zip(&roots) {
        assert_eq!(put.method, Method::PUT);
        let kept: JournalEntry = serde_json::from_slice(&put.body).unwrap();
        assert_eq!(&kept, root);
        let header = |name: &str| put.headers[name].to_str().unwrap().to_owned();
        let digest = Sha256::digest(&put.body);
        assert_eq!(header("x-amz-checksum-sha256"), STANDARD.encode(digest), "a lock asks for it");
        assert_eq!(header("x-amz-content-sha256"), domain::hex(&digest[..]));
        assert_eq!(
            (header("if-none-match"), header("x-amz-security-token")),
            ("*".into(), "token".into())
        );
        assert_eq!(header("content-length"), put.body.len().to_string());
        let signed = header("authorization");
        let stamp = header("x-amz-date");
        let scope = format!("Credential=AKIDEXAMPLE/{}/eu-central-1/s3/aws4_request", &stamp[..8]);
        assert!(signed.starts_with("AWS4-HMAC-SHA256") && signed.contains(&scope), "{signed}");
        assert!(signed.contains("if-none-match") && signed.contains("x-amz-checksum-sha256"));
        assert!(!String::from_utf8_lossy(&put.body).contains("acme"), "a root names nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_keeps_no_finding_waiting_and_has_every_root_in_the_end() {
    let world = World::new().await;
    world.joins("acme", day(0)).await;
    world.bucket.refuse(&[503, 403]);
    let failed = world.night(0).await.unwrap_err();
    let SweepError::Vault(cause) = &failed else { panic!("{failed:?}") };
    assert_eq!(cause.to_string(), "the bucket answered 403 (SlowDown)");
    let open = world.stack.store.findings("open", 10, None).await.unwrap().items;
    assert_eq!(open.len(), 1, "what was decided stands");
    assert_eq!(world.roots().await.len(), 1, "and so does the root");

    // The schedule asks again, in vain; the next night puts what is missing and its own.
    world.night(0).await.unwrap_err();
    world.night(1).await.unwrap();
    let days = |puts: &[Put]| -> Vec<String> {
        let names = puts.iter().map(|put| put.path.rsplit('/').next().unwrap());
        names.map(|name| name.trim_end_matches(".json").to_owned()).collect()
    };
    let expected = ["2025-12-31", "2025-12-31", "2025-12-31", "2026-01-01"];
    assert_eq!(days(&world.bucket.asked()), expected);

    // It was put, and the answer was lost: what is there stays, and the next one follows.
    world.bucket.refuse(&[412]);
    world.night(2).await.unwrap();
    world.night(3).await.unwrap();
    assert_eq!(days(&world.bucket.asked()).split_off(4), ["2026-01-02", "2026-01-03"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_said_to_be() {
    let mut world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let credentials = Credentials::new("a", "b", None, None, "test");
    let vault = |region: &str, endpoint: Option<&str>| {
        Vault::new("roots", region, SharedCredentialsProvider::new(credentials.clone()), endpoint)
    };
    world.app.vault = Some(vault("eu-central-1", Some(&address)));
    let failed = world.night(0).await.unwrap_err();
    assert!(
        matches!(&failed, SweepError::Vault(cause) if cause.to_string().contains("cannot be reached"))
    );
    let addresses =
        ["eu-central-1", "cn-north-1"].map(|region| format!("{:?}", vault(region, None)));
    assert!(
        addresses[0].contains("\"https://roots.s3.eu-central-1.amazonaws.com\""),
        "{addresses:?}"
    );
    assert!(
        addresses[1].contains("\"https://roots.s3.cn-north-1.amazonaws.com.cn\""),
        "{addresses:?}"
    );
}
