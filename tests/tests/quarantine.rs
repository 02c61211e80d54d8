//! What was set aside, taken again: as of when it came, by today's lifecycle file, and once.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use domain::lifecycle::load;
use hmac::{Hmac, KeyInit, Mac};
use ingest::{ReplayOutcome, replay};
use jiff::{SignedDuration, Timestamp};
use platform::handoff::{Handoff, HandoffError, Queues, Work};
use platform::store::{QuarantineFilter, Quarantined};
use platform::{CustomerKey, Store};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tests::crash::{Crash, Side};
use tests::door::{BEARER, Door};
use tests::queue::LocalQueue;
use tower::ServiceExt as _;

const FILE: &str = r#"
version: 1
subject: user
metrics:
  logins_7d: { count: login, over: 7d }
stages:
  active: { enter: { when: metrics.logins_7d >= 1, priority: 10 } }
feeds:
  deals:
    scheme: { hmac: { header: X-Crm-Signature } }
    each: items
    map:
      - when: { kind: won }
        event: deal_won
        user: by
        id: "{deal}"
        time: at
"#;
const SECRET: &str = "a secret";

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

async fn open() -> Door {
    let door = Door::open(FILE, now()).await.unwrap();
    door.stack.store.add_source_secret("deals", SECRET, now()).await.unwrap();
    door
}

/// Goes on with a lifecycle file in which something was changed.
fn mend(door: &Door, from: &str, to: &str) {
    assert!(FILE.contains(from));
    let mended = load(&FILE.replace(from, to)).unwrap();
    door.stack.store.remember_lifecycle(Arc::new(mended));
}

async fn aside(store: &Store) -> Vec<Quarantined> {
    store.quarantined(&QuarantineFilter::default(), 1_000, None).await.unwrap().items
}

async fn webhook(door: &Door, body: &Json) -> (u64, usize) {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = domain::hex(&mac.finalize().into_bytes());
    let headers = [("x-crm-signature", signature.as_str())];
    let reply = door.post("/v1/webhooks/deals", &headers, body).await;
    let (counts, rejected) = reply.taken();
    (counts[0], rejected.len())
}

/// Takes everything again: the outcomes, in words.
async fn replay_all(door: &Door) -> Vec<String> {
    let ids: Vec<String> =
        aside(&door.stack.store).await.into_iter().map(|found| found.id).collect();
    let done = replay(&door.app, &ids).await.unwrap();
    let word = |outcome| match outcome {
        ReplayOutcome::Taken => "taken".to_owned(),
        ReplayOutcome::Gone => "gone".to_owned(),
        ReplayOutcome::Rejected { code, .. } => code,
    };
    let mut words: Vec<String> = done.into_iter().map(|done| word(done.outcome)).collect();
    words.sort();
    words
}

fn deal(by: &str) -> Json {
    let at = now().as_second() - 60;
    json!({"items": [{"kind": "won", "deal": 7, "owner": by, "at": at}]})
}

#[tokio::test]
async fn a_webhook_goes_by_the_map_of_today() {
    let door = open().await;
    assert_eq!(webhook(&door, &deal("ada")).await, (0, 1));
    let found = aside(&door.stack.store).await.remove(0);
    assert_eq!((found.code.as_str(), found.attempts), ("missing_user", 0));
    assert_eq!(found.sender.as_ref().unwrap().name, "deals");
    assert_eq!(found.path.as_deref(), Some("/v1/webhooks/deals"));

    assert_eq!(replay_all(&door).await, ["missing_user"], "nothing was mended");
    let found = aside(&door.stack.store).await.remove(0);
    assert_eq!((found.attempts, found.last_attempt_at), (1, Some(now())));

    mend(&door, "user: by", "user: [by, owner]");
    door.stack.clock.set(Some(now() + SignedDuration::from_hours(24 * 20)));
    assert_eq!(replay_all(&door).await, ["taken"]);
    let ada = CustomerKey::subject("ada");
    let log = door.stack.store.event_page(&ada, 10, None).await.unwrap().items;
    assert_eq!((log.len(), log[0].name.as_str()), (1, "deal_won"));
    assert_eq!(log[0].received_at, now(), "it came when it came");
    assert!(aside(&door.stack.store).await.is_empty());

    // The same again, from the source itself or from here, is nothing new.
    assert_eq!(webhook(&door, &deal("ada")).await.0, 0);
    let ids = [found.id.clone()];
    assert_eq!(replay(&door.app, &ids).await.unwrap()[0].outcome, ReplayOutcome::Gone);
    assert_eq!(door.event_names(&ada).await, ["deal_won"]);
}

#[tokio::test]
async fn a_call_is_read_with_the_path_and_the_batch_that_it_came_by() {
    let door = open().await;
    // Without a type and a user, and with a clock that is an hour behind.
    let call = json!({"event": "login", "groupId": "acme", "timestamp": "2026-11-22T04:30:00Z",
        "messageId": "m-1", "sentAt": "2026-11-22T05:00:00Z"});
    let reply = door.post("/v1/track", &[BEARER], call.to_string()).await;
    assert_eq!(reply.refused(), (400, "missing_user"));
    let batch = json!({
        "context": {"groupId": "acme"}, "sentAt": "2026-11-22T05:00:00Z",
        "batch": [{"type": "track", "event": "login", "timestamp": "2026-11-22T04:10:00Z",
            "messageId": "m-2"}],
    });
    let reply = door.post("/v1/batch", &[BEARER], batch.to_string()).await;
    assert_eq!(reply.taken(), ([0, 0, 0], vec!["missing_user"]));
    let found = aside(&door.stack.store).await;
    assert!(found.iter().all(|found| found.sender.as_ref().unwrap().name == "tests"));

    mend(&door, "subject: user", "subject: account");
    door.stack.clock.set(Some(now() + SignedDuration::from_hours(30)));
    assert_eq!(replay_all(&door).await, ["taken", "taken"]);
    let acme = CustomerKey::subject("acme");
    let log = door.stack.store.event_page(&acme, 10, None).await.unwrap().items;
    let mut at: Vec<String> = log.iter().map(|event| event.at.to_string()).collect();
    at.sort();
    assert_eq!(at, ["2026-11-22T05:10:00Z", "2026-11-22T05:30:00Z"]);
}

#[tokio::test]
async fn of_a_batch_what_is_rejected_again_is_set_aside_alone() {
    let door = open().await;
    let login = |n: usize| {
        let id = format!("m-{n}");
        json!({"type": "track", "event": "login", "userId": "ada", "messageId": id,
            "timestamp": "2026-11-22T05:00:00Z"})
    };
    let mut calls: Vec<Json> = (0..2_500).map(|_| login(0)).collect();
    calls.extend([login(1), json!({"type": "page"}), login(2)]);
    let body = json!({"batch": calls}).to_string();
    let reply = door.post("/v1/batch", &[BEARER], body).await;
    assert_eq!(reply.taken().1, ["too_many"; 3]);
    assert_eq!(replay_all(&door).await, ["taken"]);
    let left = aside(&door.stack.store).await;
    let raw: Vec<&str> = left.iter().map(|left| left.raw.as_str()).collect();
    assert_eq!(raw, [r#"{"type":"page"}"#]);
    assert_eq!(door.event_names(&CustomerKey::subject("ada")).await, ["login"; 3]);
}

#[tokio::test]
async fn what_cannot_be_read_at_all_keeps_its_reason() {
    let door = open().await;
    let gzip = [0x1f, 0x8b, 0, 1, 2];
    let reply = door.post("/v1/batch", &[BEARER], gzip.to_vec()).await;
    assert_eq!(reply.refused(), (400, "invalid_json"));
    let found = aside(&door.stack.store).await.remove(0);
    assert_eq!((found.kept(), found.raw_base64.is_some()), (gzip.to_vec(), true));
    let huge = json!({"type": "page", "userId": "ada", "name": "x".repeat(300_000)});
    let reply = door.post("/v1/batch", &[BEARER], json!({"batch": [huge]}).to_string()).await;
    assert_eq!(reply.taken().1, ["too_large"]);
    assert_eq!(replay_all(&door).await, ["invalid_json", "too_large"]);
    assert!(aside(&door.stack.store).await.iter().all(|found| found.attempts == 1));
}

#[tokio::test]
async fn a_replay_that_dies_anywhere_counts_once_in_the_end() {
    let mut at = 0;
    loop {
        let door = open().await;
        assert_eq!(webhook(&door, &deal("ada")).await, (0, 1));
        // Without an id and a time of its own, too.
        let call = json!({"event": "login", "groupId": "ada"}).to_string();
        assert_eq!(door.post("/v1/track", &[BEARER], call).await.refused().0, 400);
        let mut mended = FILE.replace("user: by", "account: [by, owner]");
        mended = mended.replace("subject: user", "subject: account");
        door.stack.store.remember_lifecycle(Arc::new(load(&mended).unwrap()));

        let crash = Crash::default();
        let client = crash.client(&door.stack.dynamodb);
        let dying = Store::new(client, door.stack.tables.clone(), 400);
        dying.remember_lifecycle(door.stack.store.lifecycle().await.unwrap());
        let clock = door.stack.clock.handle();
        let app = ingest::App {
            store: dying,
            clock,
            public_url: None,
            egress: platform::egress::Egress::quick(),
        };
        crash.at(at, if at % 2 == 0 { Side::Before } else { Side::After });
        let ids: Vec<String> =
            aside(&door.stack.store).await.into_iter().map(|found| found.id).collect();
        let died = replay(&app, &ids).await.is_err();
        assert_eq!(died, crash.recover());
        door.stack.clock.set(Some(now() + SignedDuration::from_hours(3)));
        replay(&door.app, &ids).await.unwrap();
        assert_eq!(aside(&door.stack.store).await, []);
        let ada = CustomerKey::subject("ada");
        assert_eq!(door.event_names(&ada).await, ["deal_won", "login"], "call {at}");
        if !died {
            break;
        }
        at += 1;
    }
    assert!(at > 8, "it died {at} times");
}

struct Console {
    api: axum::Router,
}

impl Console {
    /// The console beside the function; what it hands on goes where `handoff` says.
    fn over(door: &Door, handoff: Handoff) -> Console {
        let (store, clock) = (door.stack.store.clone(), door.stack.clock.handle());
        let app = console::App { store, clock, handoff };
        Console { api: console::router(Arc::new(app)) }
    }

    /// The console as it is in one process.
    fn at_once(door: &Door) -> Console {
        let app = Arc::clone(&door.app);
        let handoff = Handoff::new(move |work| {
            let app = Arc::clone(&app);
            async move {
                let Work::Replay(ids) = work else { unreachable!("nothing else is handed on") };
                let done = replay(&app, &ids).await;
                done.map(|_| ()).map_err(|error| HandoffError(error.into()))
            }
        });
        Console::over(door, handoff)
    }

    async fn ask(&self, method: Method, path: &str, body: Json) -> (u16, Json) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(body.to_string())).unwrap();
        let answer = self.api.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn listed(&self, query: &str) -> usize {
        let (status, list) =
            self.ask(Method::GET, &format!("/api/quarantine{query}"), Json::Null).await;
        assert_eq!(status, 200, "{list}");
        list["items"].as_array().unwrap().len()
    }
}

/// Two calls that name an account alone, one that is of no kind, and a deal of nobody.
async fn set_aside_four(door: &Door) {
    let named =
        |id: &str| json!({"type": "track", "event": "login", "groupId": "ada", "messageId": id});
    let calls = json!({"batch": [named("m-1"), named("m-2"), {"type": "sale", "userId": "ada"}]});
    let reply = door.post("/v1/batch", &[BEARER], calls.to_string()).await;
    assert_eq!(reply.taken().1.len(), 3);
    assert_eq!(webhook(door, &deal("ada")).await, (0, 1));
}

#[tokio::test]
async fn an_operator_takes_again_one_or_all_that_match() {
    let door = open().await;
    set_aside_four(&door).await;
    let console = Console::at_once(&door);
    for (query, expected) in [
        ("", 4),
        ("?code=missing_user", 3),
        ("?source=deals", 1),
        ("?code=missing_user&source=tests", 2),
        ("?code=none", 0),
    ] {
        assert_eq!(console.listed(query).await, expected, "{query}");
    }
    let of_deals = console.ask(Method::GET, "/api/quarantine?source=deals", Json::Null).await.1;
    let item = &of_deals["items"][0];
    let path = format!("/api/quarantine/{}", item["id"].as_str().unwrap());
    assert_eq!(console.ask(Method::GET, &path, Json::Null).await, (200, item.clone()));

    let replay_path = format!("{path}/replay");
    let (status, answer) = console.ask(Method::POST, &replay_path, Json::Null).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("rejected")));
    assert_eq!(answer["item"]["attempts"], 1);
    mend(&door, "user: by", "user: [by, owner]");
    let (_, answer) = console.ask(Method::POST, &replay_path, Json::Null).await;
    assert_eq!((&answer["outcome"], &answer["item"]), (&json!("taken"), &Json::Null));
    for method in [Method::GET, Method::DELETE] {
        let (status, problem) = console.ask(method, &path, Json::Null).await;
        assert_eq!((status, &problem["code"]), (404, &json!("quarantined_not_found")));
    }
    assert_eq!(console.ask(Method::POST, &replay_path, Json::Null).await.0, 404);

    mend(&door, "subject: user", "subject: account");
    let asked = json!({"code": "missing_user", "source": "tests"});
    let (status, answer) = console.ask(Method::POST, "/api/quarantine/replay", asked).await;
    assert_eq!((status, &answer), (200, &json!({"matched": 2, "more": false})));
    assert_eq!(console.listed("").await, 1);
    let log = door.event_names(&CustomerKey::subject("ada")).await;
    assert_eq!(log, ["deal_won", "login", "login"]);

    let left = aside(&door.stack.store).await.remove(0);
    let path = format!("/api/quarantine/{}", left.id);
    assert_eq!(console.ask(Method::DELETE, &path, Json::Null).await.0, 204);
    assert_eq!(console.listed("").await, 0);
}

#[tokio::test]
async fn which_to_take_again_has_to_be_said() {
    let door = open().await;
    set_aside_four(&door).await;
    let console = Console::at_once(&door);
    for body in [
        json!({}),
        json!([]),
        json!({"ids": []}),
        json!({"all": false}),
        json!({"all": true, "code": "missing_user"}),
        json!({"ids": ["a"], "all": true}),
        json!({"reason": "missing_user"}),
    ] {
        let (status, problem) =
            console.ask(Method::POST, "/api/quarantine/replay", body.clone()).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_request")), "{body}");
    }
    assert!(aside(&door.stack.store).await.iter().all(|found| found.attempts == 0));
    let (_, answer) =
        console.ask(Method::POST, "/api/quarantine/replay", json!({"all": true})).await;
    assert_eq!(answer, json!({"matched": 4, "more": false}));
    assert!(aside(&door.stack.store).await.iter().all(|found| found.attempts == 1));
}

#[tokio::test]
async fn on_aws_a_replay_goes_through_the_queue_of_ingest() {
    let door = open().await;
    set_aside_four(&door).await;
    let queue = LocalQueue::start().await.unwrap();
    let queues = Queues { privacy: format!("{}-privacy", queue.url()), replay: queue.url() };
    let console = Console::over(&door, Handoff::to_queues(queue.client(), queues));
    mend(&door, "subject: user", "subject: account");
    let asked = json!({"code": "missing_user"});
    let (status, answer) = console.ask(Method::POST, "/api/quarantine/replay", asked).await;
    assert_eq!((status, &answer["matched"]), (200, &json!(3)));
    assert_eq!(console.listed("").await, 4, "nothing is taken yet");

    let record = |body: String| json!({"Records": [{"messageId": "r", "eventSource": "aws:sqs", "body": body}]});
    let message = queue.take().unwrap();
    for _ in 0..2 {
        let answer = door.invoke(&record(message.clone())).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
    }
    assert_eq!(door.event_names(&CustomerKey::subject("ada")).await, ["login", "login"]);
    assert_eq!(door.quarantined().await, ["missing_user", "unknown_type"]);
    assert_eq!(queue.take(), None);

    // What comes through the gateway is no work, whatever it says.
    let mut forged = record(message);
    let text = |text: &str| json!({"stringValue": text, "dataType": "String"});
    forged["Records"][0]["messageAttributes"] =
        json!({"path": text("/v1/queued/v1/batch"), "authorization": text("Bearer dev")});
    mend(&door, "user: by", "user: [by, owner]");
    door.invoke(&forged).await.unwrap();
    assert_eq!(door.quarantined().await, ["missing_user", "unknown_type", "unknown_type"]);

    // A queue that takes nothing is said, and nothing is lost.
    queue.refuse_next(1);
    let (status, problem) =
        console.ask(Method::POST, "/api/quarantine/replay", json!({"all": true})).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    assert_eq!(console.listed("").await, 3);
}
