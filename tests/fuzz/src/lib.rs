//! What each fuzz target does with its input.
//!
//! The modules of `ingest` that read bodies, calls and signatures are compiled in by their path: they
//! know nothing of AWS, so the targets build in a minute, and nothing of them has to be made public.

#![allow(dead_code, unused_imports, reason = "of the modules of `ingest` only a part is used")]
#![allow(missing_docs, reason = "they are documented where they are")]

#[path = "../../../functions/ingest/src/body.rs"]
mod body;
#[path = "../../../functions/ingest/src/call.rs"]
mod call;
#[path = "../../../functions/ingest/src/items.rs"]
mod items;
#[path = "../../../functions/ingest/src/mend.rs"]
mod mend;
#[path = "../../../functions/ingest/src/percent.rs"]
mod percent;
#[path = "../../../functions/ingest/src/when.rs"]
mod when;
#[path = "../../../functions/ingest/src/who.rs"]
mod who;

pub mod store;
mod webhook;

// What those modules take from these two is here, and nothing else of them is needed.
extern crate self as axum;
extern crate self as platform;
pub use http;

use domain::feed::{Sender, SenderKind};
use domain::lifecycle::{self, Severity, Subject};
use jiff::Timestamp;

use crate::call::{Came, Delivery};
use crate::items::{Batch, Item};
use crate::when::When;

/// Stages of one file that are examined: pairs of them are compared.
const MOST_CONDITIONS: usize = 6;

/// A body of the tracking API as it travels: whatever it is, each of its calls is read or
/// rejected, alone and in its place.
pub fn body(wire: &[u8]) {
    let Ok(text) = body::text(wire) else { return };
    let mended = match Batch::read(&text) {
        Ok(_) => None,
        Err(_) => mend::mend(&text),
    };
    let Ok(batch) = Batch::read(mended.as_deref().unwrap_or(&text)) else { return };
    for subject in [Subject::Account, Subject::User] {
        let mut delivery = delivery(subject);
        delivery.share(&batch.shared);
        let mut next = 0;
        for item in batch.items(&delivery) {
            assert_eq!(item.indexes.start, next, "a call is not in its place");
            next = item.indexes.end;
            check(&item);
        }
    }
}

/// One call: what is taken can be stored and read again, as the same call.
pub fn call(text: &str) {
    for subject in [Subject::Account, Subject::User] {
        let delivery = delivery(subject);
        let item = Item::parse(text, 0, &delivery);
        check(&item);
        let Ok(call) = &item.call else { return };
        let stored = serde_json::to_string(&call.event.body).expect("a body is plain data");
        if stored.len() > call::MAX_CALL_BYTES {
            // Escapes may take more room than what they stand for.
            return;
        }
        let again = call::parse(&stored, 0, &delivery).expect("what is stored can be read");
        assert_eq!(again.who, call.who);
        assert_eq!(again.when, call.when);
        if call.event.body.contains_key("messageId") && !matches!(call.when, When::Arrival { .. }) {
            assert_eq!(again.event.id, call.event.id);
        }
    }
}

/// A delivery of a source that signs, as its scheme has it.
pub fn signature(input: &[u8]) {
    webhook::signature(input);
}

/// A lifecycle file: it loads, or is refused with places that are in it.
pub fn lifecycle_file(text: &str) {
    let lines = text.lines().count() + 1;
    match lifecycle::load(text) {
        Ok(lifecycle) => assert!(!lifecycle.stages.is_empty()),
        Err(found) => {
            assert!(!found.is_empty(), "refused without a reason");
            for diagnostic in found {
                assert!(diagnostic.line <= lines, "{} of {lines} lines", diagnostic.line);
                assert!(!diagnostic.message.is_empty());
            }
        }
    }
}

/// A condition, in a file that is good but for it.
pub fn condition(text: &str) {
    let quoted = serde_json::to_string(text).expect("a text is plain data");
    lifecycle_file(&format!(
        "version: 1\ntraits:\n  plan: [trial, team]\n  seats: number?\n  owner: email?\n\
         metrics:\n  logins_7d: {{ count: login, over: 7d }}\n  idle_days: {{ days_since: login }}\n\
         segments:\n  paying: traits.plan == \"team\"\n\
         stages:\n  on: {{ enter: {{ when: {quoted}, priority: 1 }} }}\n"
    ));
}

/// Conditions, a line each, as the criteria of stages of one priority in a file that is good but for
/// them: what is said about made-up customers is said twice the same, and of places in the file.
pub fn examine(text: &str) {
    let mut file = "version: 1\ntraits:\n  plan: [trial, team]\n  seats: number?\n  \
                    owner: email?\n  notice: date?\n  paid: yes_no\nmetrics:\n  \
                    logins_7d: { count: login, over: 7d }\n  \
                    logins_30d: { count: login, over: 30d }\n  \
                    trend: { change: login, over: 7d }\n  idle_days: { days_since: login }\n  \
                    used: { latest: seats.used, stale_after: 3d }\n  \
                    share: metrics.used / traits.seats\nsegments:\n  \
                    paying: traits.plan == \"team\"\nstages:\n"
        .to_owned();
    for (number, condition) in text.lines().take(MOST_CONDITIONS).enumerate() {
        let quoted = serde_json::to_string(condition).expect("a text is plain data");
        file.push_str(&format!("  s{number}: {{ enter: {{ when: {quoted}, priority: 1 }} }}\n"));
    }
    let Ok(lifecycle) = lifecycle::load(&file) else { return };
    let found = lifecycle::examine(&file, &lifecycle);
    let lines = file.lines().count() + 1;
    for diagnostic in &found {
        assert!(diagnostic.line <= lines, "{} of {lines} lines", diagnostic.line);
        assert!(!diagnostic.message.is_empty());
        assert_ne!(diagnostic.severity, Severity::Error, "a good file has no errors");
    }
    assert_eq!(lifecycle::examine(&file, &lifecycle), found, "it is said by chance");
}

fn delivery(subject: Subject) -> Delivery<'static> {
    let now: Timestamp = "2026-01-15T12:00:00Z".parse().expect("it is an instant");
    let came = Came::new(Sender::new(SenderKind::Queue, "fuzz"), None).into();
    Delivery { subject, now, oldest: None, origin: "origin", kind: None, came, shield: None }
}

fn check(item: &Item<'_>) {
    assert!(!item.indexes.is_empty());
    match &item.call {
        Ok(call) => {
            let id = &call.event.id;
            assert!(!id.is_empty() && id.len() <= 256, "an id of {} bytes", id.len());
            assert!(!id.chars().any(char::is_control), "an id with control characters");
        }
        Err(rejection) => assert!(!rejection.code.is_empty() && !rejection.message.is_empty()),
    }
}
