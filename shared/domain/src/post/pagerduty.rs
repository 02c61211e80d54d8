//! PagerDuty, Events API v2 (<https://developer.pagerduty.com/docs/events-api-v2-overview>): a group of alerts
//! is one incident, triggered and updated under the group's id, acknowledged when somebody acknowledges
//! the group, and resolved when nothing of it is so any longer.
//!
//! What happened and is over with being told has nothing that would resolve it: it is an incident of its
//! own, for a person to close.

use serde_json::{Map, Value as Json, json};

use super::{MAX_BODY_BYTES, Standing, Target, Told, text};

const MAX_SUMMARY: usize = 1_024;
/// The most bytes of the alerts in the details.
const MAX_DETAILS: usize = MAX_BODY_BYTES / 2;
const SOURCE: &str = "lifecycle";

fn key_of(group: &str) -> String {
    format!("lifecycle:{group}")
}

/// The event of a message, without its routing key.
pub(super) fn body(told: &Told<'_>) -> Json {
    let dedup_key = match (told.group, told.standing) {
        (Some(group), Standing::Firing | Standing::Resolved) => key_of(&group.id),
        _ => key_of(told.id),
    };
    if told.standing == Standing::Resolved {
        return json!({ "event_action": "resolve", "dedup_key": dedup_key });
    }
    let severity = match told.attributes.get("severity").map(String::as_str) {
        Some("critical") => "critical",
        Some("high") => "error",
        Some("medium") => "warning",
        _ => "info",
    };
    let (alerts, is_cut) = alerts(told);
    let mut details = Map::new();
    details.insert("reason".to_owned(), json!(told.reason));
    details.insert("description".to_owned(), json!(text::plain(told.why, MAX_SUMMARY)));
    details.insert("counts".to_owned(), json!(told.what));
    details.insert("message".to_owned(), json!(told.id));
    details.insert("alerts".to_owned(), json!(alerts));
    if is_cut {
        details.insert("truncated".to_owned(), json!("true"));
    }
    for (name, value) in told.group.into_iter().flat_map(|group| &group.labels) {
        details.entry(name.clone()).or_insert_with(|| json!(text::plain(value, 256)));
    }
    let mut payload = json!({
        "summary": text::plain(told.subject, MAX_SUMMARY),
        "source": SOURCE,
        "severity": severity,
        "timestamp": told.now,
        "custom_details": details,
    });
    if let Some(kind) = told.attributes.get("kind") {
        payload["class"] = json!(kind);
    }
    if !told.labels.is_empty() {
        payload["group"] = json!(text::plain(told.labels, 255));
    }
    json!({
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "payload": payload,
        "client": SOURCE,
    })
}

/// The alerts as lines, as many as there is room for: and whether some are missing.
fn alerts(told: &Told<'_>) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut bytes = 0;
    for member in told.listed {
        let line = text::plain(&format!("{}: {}", member.name, member.headline), MAX_SUMMARY);
        // As JSON it may be longer than it is.
        bytes += json!(line).to_string().len() + 1;
        if bytes > MAX_DETAILS {
            break;
        }
        lines.push(line);
    }
    let is_cut = told.left_out > 0 || lines.len() < told.listed.len();
    (lines, is_cut)
}

/// The event of an acknowledgement.
pub(super) fn acknowledged(group: &str) -> Json {
    json!({ "event_action": "acknowledge", "dedup_key": key_of(group) })
}

/// An event in which nobody is named.
pub(super) fn nameless(body: &str, text: &str) -> Json {
    let mut event: Json = serde_json::from_str(body).unwrap_or_default();
    if event["payload"].is_object() {
        let (severity, timestamp) = (&event["payload"]["severity"], &event["payload"]["timestamp"]);
        event["payload"] = json!({
            "summary": text,
            "source": SOURCE,
            "severity": severity,
            "timestamp": timestamp,
        });
    }
    event
}

/// The event with its routing key.
pub(super) fn with_key(body: &str, target: &Target) -> String {
    let mut event: Json = serde_json::from_str(body).unwrap_or_default();
    event["routing_key"] = json!(target.keys().first());
    event.to_string()
}
