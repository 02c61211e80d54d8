//! Prometheus Alertmanager, API v2 (`POST /api/v2/alerts`): a group of alerts is one alert there, which is
//! so until it is told that it ended.
//!
//! An alert is known by its labels, so these are what stays the same for as long as the group lasts: its
//! id, the labels it is grouped by, the receiver. The worst severity is a label too, for routes to match;
//! as it may change, the alerts of the other severities are ended with each message. All else is
//! annotations.
//!
//! Alertmanager ends by itself what is not told again within its `resolve_timeout`; we tell when something
//! changed. So each alert that is so says that it ends in [`FIRING_DAYS`] days, and a later message says
//! otherwise.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::{Standing, Told, text};

const PATH: &str = "/api/v2/alerts";
/// For how long an alert is so when nothing more is heard of it.
const FIRING_DAYS: i64 = 30;
/// For how long something is so that happened and is over with being told: Alertmanager's own time-out.
const NEWS_MINUTES: i64 = 5;
const SEVERITIES: [&str; 4] = ["critical", "high", "medium", "low"];
/// The longest value of a label, and of a short annotation.
const MAX_VALUE: usize = 256;
/// The longest description.
const MAX_DESCRIPTION: usize = 8_000;

/// The address of the alerts of an Alertmanager.
pub(super) fn address(url: &str) -> String {
    match url.trim_end_matches('/') {
        url if url.ends_with(PATH) => url.to_owned(),
        url => format!("{url}{PATH}"),
    }
}

/// The alerts of a message.
pub(super) fn body(receiver: &str, told: &Told<'_>) -> Json {
    let starts_at = told.group.map_or(told.now, |group| group.opened_at);
    let mut labels = labels(receiver, told);
    let annotations = annotations(told);
    let alert = |labels: &BTreeMap<String, String>, ends_at: Timestamp| {
        json!({
            "labels": labels,
            "annotations": annotations,
            "startsAt": starts_at,
            "endsAt": ends_at,
        })
    };
    let later = |time: SignedDuration| told.now.saturating_add(time).unwrap_or(Timestamp::MAX);
    let ends_at = match told.standing {
        Standing::Firing => later(SignedDuration::from_hours(24 * FIRING_DAYS)),
        Standing::News => later(SignedDuration::from_mins(NEWS_MINUTES)),
        Standing::Resolved => told.now,
    };
    let severity = told.attributes.get("severity").map(String::as_str);
    // A label that the group has by itself does not change.
    if labels.contains_key("severity") {
        return json!([alert(&labels, ends_at)]);
    }
    let mut alerts = Vec::new();
    for known in std::iter::once(None).chain(SEVERITIES.map(Some)) {
        match known {
            Some(known) => labels.insert("severity".to_owned(), known.to_owned()),
            None => labels.remove("severity"),
        };
        let is_it = known == severity;
        // What is alone in being told of needs no others to be ended.
        if is_it || (told.group.is_some() && told.standing != Standing::News) {
            alerts.push(alert(&labels, if is_it { ends_at } else { told.now }));
        }
    }
    Json::Array(alerts)
}

/// Alerts in which nobody is named: labels stay, as they say which alert it is.
pub(super) fn nameless(body: &str, text: &str) -> Json {
    let mut alerts: Json = serde_json::from_str(body).unwrap_or_default();
    for alert in alerts.as_array_mut().into_iter().flatten() {
        alert["annotations"] = json!({ "summary": text });
    }
    alerts
}

fn labels(receiver: &str, told: &Told<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("alertname".to_owned(), "Lifecycle".to_owned()),
        ("receiver".to_owned(), receiver.to_owned()),
    ]);
    match (told.group, told.standing) {
        (Some(group), Standing::Firing | Standing::Resolved) => {
            labels.insert("group".to_owned(), group.id.clone());
        }
        _ => {
            labels.insert("message".to_owned(), told.id.to_owned());
        }
    }
    for (name, value) in told.group.into_iter().flat_map(|group| &group.labels) {
        // Alertmanager refuses all of a request for one label that is no name.
        if !value.is_empty() {
            let value = text::plain(value, MAX_VALUE);
            labels.entry(label_name(name)).or_insert(value);
        }
    }
    labels
}

/// A name that Alertmanager takes: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub(super) fn label_name(name: &str) -> String {
    let is_good = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut good: String =
        name.chars().map(|char| if is_good(char) { char } else { '_' }).collect();
    if !good.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        good.insert(0, '_');
    }
    good
}

fn annotations(told: &Told<'_>) -> BTreeMap<String, String> {
    let description = text::plain(told.text, MAX_DESCRIPTION);
    let is_cut = told.left_out > 0 || description.len() < told.text.len();
    let mut annotations: BTreeMap<String, String> = told
        .attributes
        .iter()
        .map(|(name, value)| (label_name(name), text::plain(value, MAX_VALUE)))
        .collect();
    annotations.insert("summary".to_owned(), text::plain(told.subject, MAX_VALUE));
    annotations.insert("description".to_owned(), description);
    annotations.insert("message".to_owned(), told.id.to_owned());
    if is_cut {
        annotations.insert("truncated".to_owned(), "true".to_owned());
    }
    annotations
}
