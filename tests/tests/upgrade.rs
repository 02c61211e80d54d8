//! What another release stored: this one reads it and goes on from it, and what it leaves the other can read.
//!
//! `fixtures/stored` has every item of the tables of a small simulated company as the release of that day
//! wrote them, and what that release told of each customer. These files never change: what is stored at a
//! company's is not changed either.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::audit::{first_break, root};
use domain::customer::{
    HandoffState, Hold, OpenFinding, RiskState, Series, StageState, TraitState,
};
use domain::journal::{ChangeKind, JournalEntry, JournalHead};
use domain::lifecycle::presets;
use flate2::read::GzDecoder;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::embedded::engine::dynamodb_at;
use lifecycle::pack::{Pack, SweepFunction, TABLE_PREFIX};
use platform::store::{CustomerFilter, QuarantineFilter};
use platform::sweep::SweepKind;
use platform::{CustomerKey, Versioned, codec};
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

const STORED: &[u8] = include_bytes!("../fixtures/stored/2026-11-25.jsonl.gz");
const TOLD: &str = include_str!("../fixtures/stored/2026-11-25.json");
/// The write key that the senders of that company have.
const WRITE_KEY: &str = "wk_old";

/// Soon after the last thing that is stored.
fn then() -> Timestamp {
    "2026-11-28T22:05:00Z".parse().unwrap()
}

/// An attribute, as the API's JSON has it.
fn attribute(value: &Json) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let bytes = |value: &Json| Blob::new(STANDARD.decode(value.as_str().unwrap()).unwrap());
    let each = |value: &Json| value.as_array().unwrap().clone();
    match kind.as_str() {
        "S" => AttributeValue::S(text(value)),
        "N" => AttributeValue::N(text(value)),
        "B" => AttributeValue::B(bytes(value)),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(each(value).iter().map(text).collect()),
        "L" => AttributeValue::L(each(value).iter().map(attribute).collect()),
        "M" => {
            let members = value.as_object().unwrap().iter();
            AttributeValue::M(members.map(|(name, of)| (name.clone(), attribute(of))).collect())
        }
        other => panic!("an attribute of the kind {other}"),
    }
}

/// A pack of this release over tables that the other one filled.
async fn upgraded() -> Pack {
    let pack = Pack::open(None, LocalClock::manual(then())).await.unwrap();
    let client = dynamodb_at(pack.dynamodb_endpoint());
    for line in BufReader::new(GzDecoder::new(STORED)).lines() {
        let line: Json = serde_json::from_str(&line.unwrap()).unwrap();
        let item = line["item"].as_object().unwrap().iter();
        let item = item.map(|(name, value)| (name.clone(), attribute(value))).collect();
        let table = format!("{TABLE_PREFIX}{}", line["table"].as_str().unwrap());
        client.put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    }
    assert!(pack.resume().await.unwrap(), "its lifecycle file is the active one");
    pack
}

async fn customers(pack: &Pack) -> Vec<Versioned> {
    let page = pack.store.customers(&CustomerFilter::default(), 100, None).await.unwrap();
    let mut found = page.items;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

async fn journal(pack: &Pack, key: &CustomerKey) -> Vec<JournalEntry> {
    let mut entries = pack.store.journal(key, 1_000, None).await.unwrap().items;
    entries.sort_by_key(|entry| entry.seq);
    entries
}

/// Every schedule once.
async fn night(pack: &Pack) {
    let at = pack.clock.now();
    for function in SweepFunction::ALL {
        let run = pack.run(function, "nightly", at, SweepKind::All).await.unwrap();
        assert_eq!((run.visited, run.failed), (6, 0), "{}", function.name());
    }
    pack.tell().await.unwrap();
    pack.tick().await.unwrap();
}

async fn send(pack: &Pack, calls: Json) -> Json {
    let request = Request::post("/v1/batch").header("x-write-key", WRITE_KEY);
    let request = request.body(Body::from(json!({ "batch": calls }).to_string())).unwrap();
    let answer = ingest::router(Arc::clone(&pack.ingest)).oneshot(request).await.unwrap();
    serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_stored_is_read_as_it_told_it() {
    let pack = upgraded().await;
    let told: Json = serde_json::from_str(TOLD).unwrap();
    let mut lasts = Vec::new();
    let found = customers(&pack).await;
    assert_eq!(found.len(), told["customers"].as_object().unwrap().len());
    for one in &found {
        let (key, status) = (one.key.as_str(), &one.customer.status);
        let stage = status.stage.as_ref().unwrap();
        let last = domain::hex(&status.journal.hash);
        let now = json!({
            "stage": stage.name,
            "since": stage.since,
            "risk": status.risk.as_ref().map(|risk| &risk.band),
            "entries": status.journal.seq,
            "last_hash": last,
        });
        assert_eq!(now, told["customers"][key], "{key}");
        let entries = journal(&pack, &one.key).await;
        assert_eq!(first_break(&entries), None, "{key}");
        assert_eq!(entries.last().unwrap().hash, last, "{key}");
        lasts.push(last);
        assert!(!pack.store.whole_log(&one.key).await.unwrap().is_empty(), "{key}");
    }
    let moved = found.iter().find(|one| one.key.as_str() == "acct-00002").unwrap();
    let hold = moved.customer.status.hold.as_ref().unwrap();
    assert_eq!((hold.author.as_str(), hold.until.is_some()), ("kim@example.com", true));

    let mut cursor = None;
    let mut entries = 0;
    loop {
        let page = pack.store.journals(cursor.as_deref()).await.unwrap();
        entries += page.items.len();
        let erased = page.items.iter().filter(|place| place.key.is_erased());
        let last = erased.max_by_key(|place| place.number).and_then(|place| place.entry.as_ref());
        lasts.extend(last.map(|entry| entry.hash.clone()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(entries, 21);
    assert_eq!(root(lasts.iter().map(String::as_str).collect()), told["root"].as_str().unwrap());

    let versions = pack.store.configuration_versions().await.unwrap();
    assert_eq!(versions.iter().map(|one| one.version).max(), Some(2));
    assert_eq!(pack.store.write_keys().await.unwrap().len(), 2);
    let findings = pack.store.findings("open", 100, None).await.unwrap().items;
    let standards: Vec<&str> = findings.iter().map(|one| one.standard.as_str()).collect();
    assert_eq!(standards, ["phone_known"; 5]);
    assert_eq!(
        pack.store.quarantined(&QuarantineFilter::default(), 100, None).await.unwrap().items.len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn this_release_goes_on_from_it() {
    let pack = upgraded().await;
    let before = customers(&pack).await;
    night(&pack).await;
    for (before, after) in before.iter().zip(customers(&pack).await) {
        let stage = |one: &Versioned| one.customer.status.stage.clone();
        assert_eq!(stage(before), stage(&after), "{}: nothing happened since", after.key);
    }

    // A call that the other release took is known; what it erased and turned away stays away.
    let known = json!({ "type": "track", "event": "login", "userId": "acct-00003-u5",
        "messageId": "m-3-9" });
    let new = json!({ "type": "group", "userId": "acct-00003-u5", "groupId": "acct-00003",
        "traits": { "phone": "030 1" } });
    let gone = json!({ "type": "group", "userId": "eve", "groupId": "acct-00006",
        "traits": { "phone": "030 2" } });
    let answer = send(&pack, json!([known, new, gone])).await;
    assert_eq!((&answer["duplicates"], &answer["success"]), (&json!(1), &json!(true)), "{answer}");
    pack.clock.set(Some(then() + SignedDuration::from_hours(1)));
    night(&pack).await;
    let open = pack.store.findings("open", 100, None).await.unwrap().items;
    let open: Vec<&str> = open.iter().map(|one| one.customer.as_str()).collect();
    assert!(!open.contains(&"acct-00003") && open.len() == 5, "{open:?}");
    assert_eq!(customers(&pack).await.len(), 6);

    // Another file has everything counted again, from the log that the other release wrote.
    pack.apply(presets::preset("b2b-saas").unwrap().source).await.unwrap().unwrap();
    for days in 1..=30 {
        pack.clock.set(Some(then() + SignedDuration::from_hours(24 * days)));
        night(&pack).await;
    }
    let mut moved = 0;
    for one in customers(&pack).await {
        let entries = journal(&pack, &one.key).await;
        assert_eq!(first_break(&entries), None, "{}", one.key);
        assert_eq!(entries.last().unwrap().hash, domain::hex(&one.customer.status.journal.hash));
        moved += usize::from(
            entries.iter().any(|entry| entry.at > then() && entry.kind == ChangeKind::Stage),
        );
    }
    assert!(moved > 0, "a month without a sign of life is seen by what was counted before it");
}

/// The state of a customer as the release of 25 November 2026 knows it: no tasks, nothing tended.
type StatusThen = (
    Option<StageState>,
    Option<String>,
    BTreeMap<String, i64>,
    Option<RiskState>,
    Vec<OpenFinding>,
    JournalHead,
    BTreeMap<String, i64>,
    BTreeMap<String, i64>,
    Option<HandoffState>,
    Option<Hold>,
);
type ProfileThen = (u32, i64, i64, i64, i64, BTreeMap<String, TraitState>, BTreeMap<u32, Series>);

#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_release_reads_what_this_one_leaves() {
    let pack = upgraded().await;
    night(&pack).await;
    pack.clock.set(Some(then() + SignedDuration::from_hours(24 * 20)));
    night(&pack).await;
    let client = dynamodb_at(pack.dynamodb_endpoint());
    for one in customers(&pack).await {
        let found = client
            .get_item()
            .table_name(format!("{TABLE_PREFIX}customers"))
            .key("pk", AttributeValue::S(one.key.to_string()))
            .send()
            .await
            .unwrap()
            .item
            .unwrap();
        let bytes = |name: &str| found[name].as_b().unwrap().clone().into_inner();
        let (status, profile) = (&one.customer.status, &one.customer.profile);
        let then: StatusThen = codec::unpack(&bytes("status")).unwrap();
        assert_eq!(
            (&then.0, &then.1, &then.2),
            (&status.stage, &status.previous_stage, &status.entered)
        );
        assert_eq!((&then.3, &then.4, &then.5), (&status.risk, &status.findings, &status.journal));
        assert_eq!((&then.6, &then.7, &then.9), (&status.left, &status.reached, &status.hold));
        let then: ProfileThen = codec::unpack(&bytes("profile")).unwrap();
        assert_eq!(
            (then.0, &then.5, &then.6),
            (profile.measures, &profile.traits, &profile.series)
        );
    }
}
