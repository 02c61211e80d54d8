//! A group in words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::decide::{Heard, Reason};
use super::group::{Group, Member, State};
use super::mute::Mutes;
use crate::alert::{
    Alert, FILTERED, MAX_SUBJECT_CHARS, MAX_TEXT_BYTES, cut_bytes, cut_chars, escape, one_line,
};
use crate::lifecycle::Receiver;
use crate::post::{ButtonKey, Standing, Told, post};

/// How many alerts a chat message lists.
const MAX_IN_CHAT: usize = 12;
/// The longest text of a chat message, in bytes.
const MAX_CHAT_BYTES: usize = 3_000;
/// How many groups a summary lists.
const MAX_IN_SUMMARY: usize = 50;

/// What a message tells, in numbers.
#[derive(Debug, Default)]
struct Counts {
    firing: u64,
    fresh: u64,
    resolved: u64,
    news: u64,
    /// Firing alerts and news by severity and by stage.
    by: BTreeMap<(&'static str, String), u64>,
}

/// Composes the message of a group for a receiver; `id` is that of the message. A chat message has
/// buttons where there is a key to sign them with.
#[must_use]
pub fn message(
    id: &str,
    receiver: &Receiver,
    group: &Group,
    reason: &Reason,
    mutes: &Mutes<'_>,
    now: Timestamp,
    buttons: Option<&ButtonKey>,
) -> Alert {
    let listed: Vec<&Member> =
        group.members.iter().filter(|member| mutes.of_member(group, member).is_none()).collect();
    let counts = counts(group, mutes);
    let what = in_numbers(&counts);
    let labels = labels(group);
    let subject = {
        let names: Vec<&str> = listed.iter().map(|member| member.name.as_str()).collect();
        let first = listed.first().map_or("", |member| member.headline.as_str());
        let place = if labels.is_empty() { String::new() } else { format!(" {labels}") };
        cut_chars(
            &one_line(&format!("[{what}]{place}: {}: {first}", names.join(", "))),
            MAX_SUBJECT_CHARS,
        )
    };
    let left_out =
        (counts.firing + counts.resolved + counts.news).saturating_sub(listed.len() as u64);
    let mut text = format!(
        "{what}{}.\n",
        if labels.is_empty() { String::new() } else { format!(" for {labels}") }
    );
    let why = why(reason, group, now);
    text.push_str(&format!("{why}\n"));
    for (heading, state) in
        [("Firing", State::Firing), ("News", State::News), ("No longer", State::Resolved)]
    {
        let mut lines = listed.iter().filter(|member| member.state == state).peekable();
        if lines.peek().is_some() {
            text.push_str(&format!("\n{heading}:\n"));
        }
        for member in lines {
            let is_new = if state == State::Firing && !member.told { " (new)" } else { "" };
            text.push_str(&format!(
                "- {}: {}, {}{is_new} [{}]\n",
                member.name,
                member.headline,
                member.since,
                one_line(&member.customer)
            ));
        }
    }
    if left_out > 0 {
        text.push_str(&format!("… and {left_out} more.\n"));
    }
    for ((label, value), count) in &counts.by {
        text.push_str(&format!("\n{label} {value}: {count}"));
    }
    text.push_str(&format!("\n\nGroup: {} (message {id})\n", group.id));
    let is_cut = text.len() > MAX_TEXT_BYTES || left_out > 0;
    cut_bytes(&mut text, MAX_TEXT_BYTES);
    let mut attributes = attributes(group, mutes);
    attributes.insert("reason".to_owned(), reason.as_str().to_owned());
    let state = if counts.firing + counts.news > 0 { "firing" } else { "resolved" };
    attributes.insert("state".to_owned(), state.to_owned());
    if is_cut {
        attributes.insert("truncated".to_owned(), "true".to_owned());
    }
    let standing = match (counts.firing, counts.news) {
        (0, 0) => Standing::Resolved,
        (0, _) => Standing::News,
        _ => Standing::Firing,
    };
    let told = Told {
        id,
        group: Some(group),
        reason: reason.as_str(),
        why: &why,
        standing,
        subject: &subject,
        what: &what,
        labels: &labels,
        attributes: &attributes,
        listed: &listed,
        left_out,
        text: &text,
        now,
    };
    if let Some(post) = post(receiver, &told, buttons) {
        return Alert::posted(post, subject, attributes);
    }
    let mut description = format!(
        "*{}*{}",
        escape(&what),
        if labels.is_empty() { String::new() } else { format!(" for {}", escape(&labels)) }
    );
    for member in listed.iter().take(MAX_IN_CHAT) {
        let ended = if member.state == State::Resolved { "✓ " } else { "" };
        description.push_str(&format!(
            "\n• {ended}{}: {}",
            escape(&member.name),
            escape(&member.headline)
        ));
    }
    let more = left_out + listed.len().saturating_sub(MAX_IN_CHAT) as u64;
    if more > 0 {
        description.push_str(&format!("\n… and {more} more"));
    }
    cut_bytes(&mut description, MAX_CHAT_BYTES);
    let mut context = attributes.clone();
    context.insert("group".to_owned(), group.id.clone());
    let title = cut_chars(&escape(&subject), 150);
    let chat = json!({
        "version": "1.0",
        "source": "custom",
        "id": id,
        "content": {
            "textType": "client-markdown",
            "title": title,
            "description": description,
            "nextSteps": [format!("lifecycle alerts ack {}", group.id)],
        },
        "metadata": {
            "threadId": group.id,
            "summary": title,
            "eventType": format!("lifecycle.alerts.{}", reason.as_str()),
            "relatedResources": [format!("alerts/{}", group.id)],
            "additionalContext": context,
        },
    });
    Alert { topic: receiver.address.clone(), subject, text, chat, attributes, post: None }
}

/// Composes the one message that a receiver gets in place of those that were too many.
#[must_use]
pub fn summary(
    id: &str,
    receiver: &Receiver,
    groups: &[&Group],
    most: u32,
    now: Timestamp,
) -> Alert {
    let topic = &receiver.address;
    let alerts: u64 = groups.iter().map(|group| group.firing()).sum();
    let subject = format!(
        "[{} groups, {alerts} firing] more than {most} messages in this hour",
        groups.len()
    );
    let mut text = format!("{subject}.\n\n");
    for group in groups.iter().take(MAX_IN_SUMMARY) {
        let names: Vec<&str> =
            group.members.iter().take(3).map(|member| member.name.as_str()).collect();
        let labels = labels(group);
        text.push_str(&format!(
            "- {} firing {labels}: {} (group {})\n",
            group.firing(),
            names.join(", "),
            group.id
        ));
    }
    let left_out = groups.len().saturating_sub(MAX_IN_SUMMARY);
    if left_out > 0 {
        text.push_str(&format!("… and {left_out} groups more.\n"));
    }
    let is_cut = text.len() > MAX_TEXT_BYTES || left_out > 0;
    cut_bytes(&mut text, MAX_TEXT_BYTES);
    let reason = Reason::SummaryOverCap.as_str();
    let mut attributes = BTreeMap::from([("reason".to_owned(), reason.to_owned())]);
    if is_cut {
        attributes.insert("truncated".to_owned(), "true".to_owned());
    }
    let told = Told {
        id,
        group: None,
        reason,
        why: &text,
        standing: Standing::News,
        subject: &subject,
        what: &subject,
        labels: "",
        attributes: &attributes,
        listed: &[],
        left_out: left_out as u64,
        text: &text,
        now,
    };
    if let Some(post) = post(receiver, &told, None) {
        return Alert::posted(post, cut_chars(&subject, MAX_SUBJECT_CHARS), attributes);
    }
    let mut description = escape(&text);
    cut_bytes(&mut description, MAX_CHAT_BYTES);
    let chat = json!({
        "version": "1.0",
        "source": "custom",
        "id": id,
        "content": { "textType": "client-markdown", "title": subject, "description": description },
        "metadata": {
            "threadId": format!("summary:{topic}"),
            "summary": subject,
            "eventType": format!("lifecycle.alerts.{reason}"),
            "additionalContext": attributes,
        },
    });
    Alert {
        topic: topic.to_owned(),
        subject: cut_chars(&subject, MAX_SUBJECT_CHARS),
        text,
        chat,
        attributes,
        post: None,
    }
}

fn counts(group: &Group, mutes: &Mutes<'_>) -> Counts {
    let mut counts = Counts::default();
    for (index, bucket) in group.buckets.iter().enumerate() {
        let part = Heard::of_bucket(group, index, mutes);
        counts.firing += part.firing;
        counts.fresh += part.fresh.min(part.firing);
        counts.resolved += part.resolved;
        counts.news += part.news;
        for label in ["severity", "stage"] {
            if let Some(value) = bucket.labels.get(label).and_then(|values| values.first()) {
                *counts.by.entry((label, value.clone())).or_default() += part.firing + part.news;
            }
        }
    }
    counts.by.retain(|_, count| *count > 0);
    counts
}

fn in_numbers(counts: &Counts) -> String {
    let mut parts = Vec::new();
    if counts.firing > 0 {
        let fresh = match counts.fresh {
            0 => String::new(),
            fresh if fresh == counts.firing => String::new(),
            fresh => format!(" ({fresh} new)"),
        };
        parts.push(format!("{} firing{fresh}", counts.firing));
    }
    if counts.news > 0 {
        parts.push(format!("{} news", counts.news));
    }
    if counts.resolved > 0 {
        parts.push(format!("{} resolved", counts.resolved));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn labels(group: &Group) -> String {
    let labels = group.labels.iter().filter(|(_, value)| !value.is_empty());
    one_line(&labels.map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(" "))
}

fn why(reason: &Reason, group: &Group, now: Timestamp) -> String {
    match reason {
        Reason::FirstWait => "The first message of this group.".to_owned(),
        Reason::NewAlerts => "There are new alerts in this group.".to_owned(),
        Reason::Resolved => "Alerts of this group ended.".to_owned(),
        Reason::Repeat => "Still so, and nobody has acknowledged it.".to_owned(),
        Reason::Escalation { step, .. } => {
            let since = group.log.escalates_from.unwrap_or(now);
            format!("Escalation {}: nobody has acknowledged it since {since}.", step + 1)
        }
        Reason::Digest => "The digest of this group.".to_owned(),
        Reason::SummaryOverCap => "There were more messages than this receiver gets.".to_owned(),
    }
}

/// What all alerts that are told have in common, and the worst severity.
fn attributes(group: &Group, mutes: &Mutes<'_>) -> BTreeMap<String, String> {
    let told = (0..group.buckets.len()).filter(|index| {
        let heard = Heard::of_bucket(group, *index, mutes);
        heard.firing + heard.news + heard.resolved > 0
    });
    let told: Vec<_> = told.map(|index| &group.buckets[index].labels).collect();
    let mut attributes = BTreeMap::new();
    for label in FILTERED {
        let mut values = told.iter().map(|labels| labels.get(label).and_then(|v| v.first()));
        let first = values.next().flatten();
        if let Some(first) = first.filter(|first| values.all(|value| value == Some(first))) {
            attributes.insert(label.to_owned(), first.clone());
        }
    }
    let worst = ["critical", "high", "medium", "low"].into_iter().find(|severity| {
        let is_it = |values: &Vec<String>| values.iter().any(|value| value == severity);
        told.iter().any(|labels| labels.get("severity").is_some_and(is_it))
    });
    if let Some(worst) = worst {
        attributes.insert("severity".to_owned(), worst.to_owned());
    }
    attributes
}
