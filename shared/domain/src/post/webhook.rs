//! Standard Webhooks (<https://www.standardwebhooks.com>): a body of `type`, `timestamp` and `data`, and the
//! headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
//!
//! The id is the message's, the same however often it is sent: receivers know by it what they have seen.
//! The signature is the HMAC-SHA256 of `<id>.<timestamp>.<body>` under the bytes that the key is the base64
//! of; while two keys are live there are two.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sha2::Sha256;

use super::target::key_bytes;
use super::{MAX_BODY_BYTES, Target, Told, text};
use crate::alerting::{Ack, Group, State};

/// The body of a message.
pub(super) fn body(receiver: &str, told: &Told<'_>) -> Json {
    let mut alerts: Vec<Json> = told
        .listed
        .iter()
        .map(|member| {
            json!({
                "customer": member.customer,
                "name": member.name,
                "headline": member.headline,
                "state": state(member.state),
                "new": member.state == State::Firing && !member.told,
                "since": member.since,
            })
        })
        .collect();
    let mut body = json!({
        "type": format!("alerts.{}", told.standing.as_str()),
        "timestamp": told.now,
        "data": {
            "id": told.id,
            "receiver": receiver,
            "group": told.group.map(|group| &group.id),
            "labels": told.group.map(|group| &group.labels),
            "opened_at": told.group.map(|group| group.opened_at),
            "reason": told.reason,
            "summary": told.subject,
            "description": told.why,
            "counts": told.what,
            "attributes": told.attributes,
            "truncated": told.left_out > 0,
        },
    });
    if told.group.is_none() {
        body["data"]["text"] = json!(text::plain(told.text, MAX_BODY_BYTES / 4));
    }
    // As many alerts as there is room for.
    let mut room = MAX_BODY_BYTES.saturating_sub(body.to_string().len() + 64);
    let fits = alerts.iter().take_while(|alert| {
        let bytes = alert.to_string().len() + 1;
        let is_room = bytes <= room;
        room = room.saturating_sub(bytes);
        is_room
    });
    let fits = fits.count();
    if fits < alerts.len() {
        alerts.truncate(fits);
        body["data"]["truncated"] = json!(true);
    }
    body["data"]["alerts"] = Json::Array(alerts);
    body
}

/// What is told of an acknowledgement.
pub(super) fn acknowledged(id: &str, receiver: &str, group: &Group, ack: &Ack) -> Json {
    json!({
        "type": "alerts.acknowledged",
        "timestamp": ack.at,
        "data": {
            "id": id,
            "receiver": receiver,
            "group": group.id,
            "labels": group.labels,
            "opened_at": group.opened_at,
            "author": ack.author,
            "reason": ack.reason,
        },
    })
}

/// A body in which nobody is named.
pub(super) fn nameless(body: &str, text: &str) -> Json {
    let read: Json = serde_json::from_str(body).unwrap_or_default();
    json!({
        "type": read["type"],
        "timestamp": read["timestamp"],
        "data": {
            "id": read["data"]["id"],
            "receiver": read["data"]["receiver"],
            "group": read["data"]["group"],
            "reason": read["data"]["reason"],
            "summary": text,
            "truncated": true,
            "alerts": [],
        },
    })
}

fn state(state: State) -> &'static str {
    match state {
        State::Firing => "firing",
        State::Resolved => "resolved",
        State::News => "news",
    }
}

/// The headers that identify and sign a body.
pub(super) fn headers(
    id: &str,
    body: &str,
    target: &Target,
    now: Timestamp,
) -> [(&'static str, String); 3] {
    let timestamp = now.as_second();
    let signatures = target.keys().iter().map(|key| {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&key_bytes(key).unwrap_or_default())
                .expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    });
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.collect::<Vec<_>>().join(" ")),
    ]
}
