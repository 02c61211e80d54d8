//! Traits that are hashed or dropped on arrival, whichever way they come.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use hmac::{Hmac, KeyInit, Mac};
use ingest::{ReplayOutcome, replay};
use jiff::Timestamp;
use platform::store::QuarantineFilter;
use platform::{CustomerKey, Store};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tests::door::{BEARER, Door};

const FILE: &str = r#"
version: 1
subject: user
traits:
  plan: text?
  email: { type: email?, pii: hash }
  phone: { type: text?, pii: drop }
metrics:
  senders: { distinct: mailed.email, over: 28d }
stages: { active: { enter: { when: metrics.senders >= 1, priority: 10 } } }
feeds:
  crm:
    scheme: { hmac: { header: X-Crm-Signature } }
    map: [{ user: id, time: at, traits: { email: mail, phone: phones.work, plan: plan } }]
"#;
const SECRET: &str = "a secret";
const EMAIL: &str = "Ada@Example.test";
const PHONE: &str = "+49 30 5550123";

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

async fn open() -> Door {
    let door = Door::open(FILE, now()).await.unwrap();
    door.stack.store.add_source_secret("crm", SECRET, now()).await.unwrap();
    door
}

/// Everything that is stored, unpacked, as text.
async fn dump(door: &Door) -> String {
    let mut dump = String::new();
    let tables = &door.stack.tables;
    for table in [&tables.events, &tables.customers, &tables.journal, &tables.control] {
        let scan = door.stack.dynamodb.scan().table_name(table).send().await.unwrap();
        for item in scan.items() {
            for (name, value) in item {
                let text = match value {
                    AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
                    AttributeValue::B(bytes) => {
                        let bytes = bytes.as_ref();
                        let grown = platform::codec::grow(bytes);
                        let bytes = grown.unwrap_or_else(|_| bytes.to_vec());
                        String::from_utf8_lossy(&bytes).into_owned()
                    }
                    _ => String::new(),
                };
                // Of the active file, only its names are there.
                dump.push_str(&format!("{table} {name} {text}\n"));
            }
        }
    }
    dump
}

async fn assert_nothing_plain(door: &Door) {
    let dump = dump(door).await.to_lowercase();
    for plain in [EMAIL, PHONE] {
        let found = dump.lines().find(|line| line.contains(&plain.to_lowercase()));
        assert_eq!(found, None, "{plain}");
    }
}

async fn told(door: &Door, user: &str) -> Vec<Json> {
    let key = CustomerKey::subject(user);
    let page = door.stack.store.event_page(&key, 100, None).await.unwrap();
    page.items.into_iter().map(|event| Json::Object(event.body)).collect()
}

fn facts() -> Json {
    json!({"email": EMAIL, "phone": PHONE, "plan": "team"})
}

#[tokio::test]
async fn nothing_is_stored_as_it_was_told_whichever_way_it_comes() {
    let door = open().await;
    let identify =
        json!({"type": "identify", "userId": "ada", "messageId": "1", "traits": facts()});
    let node = json!({"type": "identify", "userId": "ada", "messageId": "2",
        "context": {"traits": facts()}});
    let page = json!({"type": "page", "userId": "ada", "messageId": "3", "properties": facts()});
    let batch = json!({"batch": [identify, node, page], "context": {"traits": facts()}});
    door.post("/v1/batch", &[BEARER], batch.to_string()).await.taken();

    let cloud = |id: &str, data: Json| {
        json!({"specversion": "1.0", "id": id, "source": "s", "type": "mailed", "subject": "ada",
            "data": data})
    };
    let kind = ("content-type", "application/cloudevents+json");
    let event = cloud("c-1", facts()).to_string();
    door.post("/v1/cloudevents", &[BEARER, kind], event).await.taken();
    let bus = json!({"version": "0", "id": "e-1", "detail-type": "Mailed", "source": "mailer",
        "time": now(), "detail": {"userId": "ada", "contact": facts()}});
    door.invoke(&bus).await.unwrap();
    let group = json!({"type": "group", "userId": "ada", "groupId": "g", "messageId": "4",
        "traits": {"owner": facts()}});
    let record = json!({"messageId": "r", "eventSource": "aws:sqs", "body": group.to_string()});
    door.invoke(&json!({"Records": [record]})).await.unwrap();
    let contact = json!({"id": "ada", "mail": EMAIL, "phones": {"work": PHONE}, "plan": "team",
        "at": now()});
    assert_eq!(webhook(&door, &contact).await, ([1, 0, 0], 0));

    assert_eq!(told(&door, "ada").await.len(), 7);
    assert_nothing_plain(&door).await;
    let customer = door.stack.store.customer(&CustomerKey::subject("ada")).await.unwrap();
    let traits: BTreeSet<&str> =
        customer.customer.profile.traits.keys().map(String::as_str).collect();
    assert_eq!(traits, ["email", "plan"].into());
    let email = customer.customer.profile.traits["email"].value.to_json();
    assert!(email.as_str().unwrap().starts_with("hmac-sha256:"), "{email}");
}

async fn webhook(door: &Door, body: &Json) -> ([u64; 3], usize) {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = domain::hex(&mac.finalize().into_bytes());
    let headers = [("x-crm-signature", signature.as_str())];
    let reply = door.post("/v1/webhooks/crm", &headers, body).await;
    let (counts, rejected) = reply.taken();
    (counts, rejected.len())
}

#[tokio::test]
async fn equal_stays_equal_in_every_process_and_nothing_else_does() {
    let door = open().await;
    let mailed = |id: &str, email: &str| {
        json!({"type": "track", "event": "mailed", "userId": "ada", "messageId": id,
            "timestamp": now(), "properties": {"email": email}})
    };
    let first = json!({"batch": [mailed("1", EMAIL), mailed("2", " ada@example.TEST ")]});
    door.post("/v1/batch", &[BEARER], first.to_string()).await.taken();
    // A process that has just started.
    let store = Store::new(door.stack.dynamodb.clone(), door.stack.tables.clone(), 400);
    store.remember_lifecycle(door.stack.store.lifecycle().await.unwrap());
    let clock = door.stack.clock.handle();
    let fresh = Arc::new(ingest::App {
        store,
        clock,
        public_url: None,
        egress: platform::egress::Egress::quick(),
    });
    let door = Door { app: fresh, ..door };
    let second = json!({"batch": [mailed("3", EMAIL), mailed("4", "eve@example.test")]});
    door.post("/v1/batch", &[BEARER], second.to_string()).await.taken();
    let emails: Vec<Json> =
        told(&door, "ada").await.iter().map(|call| call["properties"]["email"].clone()).collect();
    let distinct: BTreeSet<String> = emails.iter().map(Json::to_string).collect();
    assert_eq!((emails.len(), distinct.len()), (4, 2), "{emails:?}");
}

#[tokio::test]
async fn what_is_set_aside_holds_them_as_they_are_kept_and_can_be_taken_again() {
    let door = open().await;
    let nobody =
        json!({"type": "identify", "groupId": "acme", "messageId": "1", "traits": facts()});
    let batch = json!({"batch": [nobody], "context": {"traits": facts()}});
    let reply = door.post("/v1/batch", &[BEARER], batch.to_string()).await;
    assert_eq!(reply.taken().1, ["missing_user"]);
    // A body of which nothing can be read, but that is JSON.
    let body = json!({"traits": facts()}).to_string();
    assert_eq!(door.post("/v1/batch", &[BEARER], body).await.refused().0, 400);
    assert_nothing_plain(&door).await;

    let accounts = FILE.replace("subject: user", "subject: account");
    let accounts = accounts.replace("user: id", "account: id");
    let accounts = domain::lifecycle::load(&accounts).unwrap();
    door.stack.store.remember_lifecycle(Arc::new(accounts));
    let store = &door.stack.store;
    let found = store.quarantined(&QuarantineFilter::default(), 10, None).await.unwrap().items;
    let ids: Vec<String> = found.into_iter().map(|found| found.id).collect();
    let done = replay(&door.app, &ids).await.unwrap();
    let taken = done.iter().filter(|done| done.outcome == ReplayOutcome::Taken).count();
    assert_eq!((done.len(), taken), (2, 1));
    let direct = json!({"type": "group", "groupId": "acme", "messageId": "2", "traits": facts()});
    door.post("/v1/batch", &[BEARER], json!({"batch": [direct]}).to_string()).await.taken();
    let calls = told(&door, "acme").await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0]["traits"], calls[1]["traits"], "nothing is hashed twice");
}

#[tokio::test]
async fn a_lifecycle_without_such_traits_reads_no_key() {
    let plain = FILE.replace("pii: hash", "").replace("pii: drop", "");
    let plain = plain.replace("{ type: email?,  }", "email?").replace("{ type: text?,  }", "text?");
    let door = Door::open(&plain, now()).await.unwrap();
    let call = json!({"type": "identify", "userId": "ada", "messageId": "1", "traits": facts()});
    door.post("/v1/batch", &[BEARER], json!({"batch": [call]}).to_string()).await.taken();
    let dump = dump(&door).await;
    assert!(dump.contains(EMAIL) && dump.contains(PHONE));
    assert!(!dump.contains("sk hashes"), "no key was made");
}
