//! Who hears of a decision, and in which words.
//!
//! A decision has labels; the first route whose every label matches names the receiver. The words
//! are composed for each channel: plain text for e-mail, the Amazon Q custom notification for
//! chat, with everything that came from outside escaped.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::customer::{Customer, Scalar};
use crate::expr::Truth;
use crate::facts::Facts;
use crate::finding;
use crate::journal::{ChangeKind, JournalEntry, Reason};
use crate::lifecycle::{Action, FindingSeverity, Lifecycle, Receiver, Route, Standard, Step};
use crate::post::Post;
use crate::rise;
use crate::task;
use crate::template::Channel;

/// SNS takes subjects of fewer than 100 characters.
pub(crate) const MAX_SUBJECT_CHARS: usize = 99;
/// SNS takes 262,144 bytes in all; a text for people never needs more than this.
pub(crate) const MAX_TEXT_BYTES: usize = 16 * 1024;

/// The labels that filter policies of subscriptions may ask for.
pub(crate) const FILTERED: [&str; 8] =
    ["kind", "severity", "stage", "from", "standard", "band", "state", "checkpoint"];

/// A message for one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The name of the SNS topic; empty where there is a `post`.
    pub topic: String,
    /// One line of at most 99 characters.
    pub subject: String,
    /// The message as e-mail: plain text.
    pub text: String,
    /// The message for chat: an Amazon Q Developer custom notification.
    pub chat: Json,
    /// For filter policies: `kind`, `severity`, `stage`, `standard`, `band`, `state`.
    pub attributes: BTreeMap<String, String>,
    /// The message itself, for a receiver that is no SNS topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<Post>,
}

impl Alert {
    /// A message for a receiver that is no SNS topic.
    #[must_use]
    pub fn posted(post: Post, subject: String, attributes: BTreeMap<String, String>) -> Alert {
        let (topic, text) = (String::new(), String::new());
        Alert { topic, subject, text, chat: Json::Null, attributes, post: Some(post) }
    }
}

/// Labels of a decision; `segment` may have many values, the others one.
pub type Labels = BTreeMap<String, Vec<String>>;

/// The labels an entry has by itself; with those of its customer they are [`labels`].
fn own_labels(entry: &JournalEntry) -> Labels {
    let mut labels = Labels::new();
    let mut put = |label: &str, value: Option<&str>| {
        if let Some(value) = value {
            labels.insert(label.to_owned(), vec![value.to_owned()]);
        }
    };
    put("kind", Some(entry.kind.as_str()));
    match entry.kind {
        ChangeKind::Stage => {
            put("stage", entry.to.as_deref());
            put("from", entry.from.as_deref());
        }
        ChangeKind::Risk => {
            put("band", entry.to.as_deref());
            put("state", (entry.rule == rise::RULE).then_some("rise"));
        }
        ChangeKind::Checkpoint => put("checkpoint", entry.to.as_deref()),
        ChangeKind::Handoff | ChangeKind::Release => put("state", entry.to.as_deref()),
        ChangeKind::Revision | ChangeKind::Root | ChangeKind::Note => {}
        ChangeKind::FeedSilent => {
            put("state", entry.to.as_deref());
            put("severity", Some(FindingSeverity::High.as_str()));
            put("feed", entry.rule.strip_prefix("feeds."));
        }
        ChangeKind::Task => {
            put("state", entry.to.as_deref());
            put("playbook", task::of_rule(&entry.rule).map(|(playbook, _)| playbook));
        }
        ChangeKind::Playbook => {
            put("playbook", task::of_rule(&entry.rule).map(|(playbook, _)| playbook));
        }
        ChangeKind::Message => {
            put("purpose", entry.to.as_deref());
            put("playbook", task::of_rule(&entry.rule).map(|(playbook, _)| playbook));
        }
        ChangeKind::Finding
        | ChangeKind::Met
        | ChangeKind::Acknowledgement
        | ChangeKind::Waiver => {
            put("state", entry.to.as_deref());
            let name = entry.rule.strip_prefix("standards.");
            put("standard", name);
        }
    }
    labels
}

/// The labels of an entry, for routes to match.
#[must_use]
pub fn labels(entry: &JournalEntry, customer: &Customer, lifecycle: &Lifecycle) -> Labels {
    let mut labels = own_labels(entry);
    if entry.kind == ChangeKind::FeedSilent {
        return labels;
    }
    let feeds = lifecycle.feeds_of_rule(&entry.rule);
    if !feeds.is_empty() {
        labels.insert("feed".to_owned(), feeds.into_iter().map(str::to_owned).collect());
    }
    if let (Some(stage), true) = (&customer.status.stage, entry.kind != ChangeKind::Stage) {
        labels.insert("stage".to_owned(), vec![stage.name.clone()]);
    }
    let facts = Facts::new(customer, lifecycle, entry.at);
    if let Some(standard) = standard_of(entry, &facts) {
        labels.insert("severity".to_owned(), vec![standard.severity.as_str().to_owned()]);
    }
    if let Some(severity) = severity_of_step(entry, &facts) {
        labels.insert("severity".to_owned(), vec![severity.as_str().to_owned()]);
    }
    if let Some(owner) = owner(entry, customer, &facts) {
        labels.insert("owner".to_owned(), vec![owner]);
    }
    labels.extend(labels_of_customer(customer, &facts));
    labels
}

/// The segments a customer is in, and the traits that some rule of the alerts names.
fn labels_of_customer(customer: &Customer, facts: &Facts<'_>) -> Labels {
    let lifecycle = facts.lifecycle;
    let segments = lifecycle.segments.iter();
    let inside = segments.filter(|segment| facts.answer(&segment.condition) == Truth::Yes);
    let inside = inside.map(|segment| segment.name.clone()).collect();
    let mut labels = Labels::from([("segment".to_owned(), inside)]);
    for name in &lifecycle.label_traits {
        let told = customer.profile.traits.get(name).map(|state| &state.value);
        let value = match told {
            Some(Scalar::Text(text)) => one_line(text),
            Some(Scalar::Number(number)) => number.to_string(),
            Some(Scalar::YesNo(flag)) => flag.to_string(),
            Some(Scalar::Null) | None => continue,
        };
        labels.insert(name.clone(), vec![value]);
    }
    labels
}

/// The labels of everything that is so of a customer now: its stage, its band of risk, each open
/// finding, and a handoff that waits. What mutes another alert of the same customer is one of these,
/// whether or not anybody is told of it.
#[must_use]
pub fn standing(
    customer_id: &str,
    customer: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Vec<Labels> {
    let facts = Facts::new(customer, lifecycle, now);
    let mut common = labels_of_customer(customer, &facts);
    common.insert("customer".to_owned(), vec![customer_id.to_owned()]);
    let status = &customer.status;
    if let Some(stage) = &status.stage {
        common.insert("stage".to_owned(), vec![stage.name.clone()]);
    }
    let with = |labels: &[(&str, &str)]| {
        let own =
            labels.iter().map(|(label, value)| ((*label).to_owned(), vec![(*value).to_owned()]));
        let mut labels = common.clone();
        labels.extend(own);
        labels
    };
    let mut all = Vec::new();
    if status.stage.is_some() {
        all.push(with(&[("kind", "stage")]));
    }
    if let Some(risk) = &status.risk {
        all.push(with(&[("kind", "risk"), ("band", &risk.band)]));
    }
    for open in &status.findings {
        let standard = facts.rules().standard(&open.standard);
        let severity = standard.map_or("", |standard| standard.severity.as_str());
        all.push(with(&[
            ("kind", "finding"),
            ("standard", &open.standard),
            ("severity", severity),
            ("state", "open"),
        ]));
    }
    if status.handoff.as_ref().is_some_and(|handoff| handoff.acknowledged.is_none()) {
        all.push(with(&[("kind", "handoff"), ("state", "pending")]));
    }
    all
}

/// Who looks after what an entry is about.
fn owner(entry: &JournalEntry, customer: &Customer, facts: &Facts<'_>) -> Option<String> {
    let owner = match entry.kind {
        ChangeKind::FeedSilent => None,
        ChangeKind::Finding
        | ChangeKind::Met
        | ChangeKind::Acknowledgement
        | ChangeKind::Waiver => standard_of(entry, facts).map(|standard| standard.owner.clone()),
        ChangeKind::Task => owner_of_task(entry, facts),
        ChangeKind::Handoff => customer.status.handoff.as_ref().map(|handoff| handoff.to.clone()),
        ChangeKind::Root
        | ChangeKind::Stage
        | ChangeKind::Risk
        | ChangeKind::Checkpoint
        | ChangeKind::Release
        | ChangeKind::Note
        | ChangeKind::Revision
        | ChangeKind::Playbook
        | ChangeKind::Message => {
            let stage = customer.status.stage.as_ref();
            stage.and_then(|stage| facts.rules().stage(&stage.name)?.owner.clone())
        }
    };
    owner.map(|owner| owner_name(&owner, customer))
}

/// A customer's name as it is told.
#[must_use]
pub fn name_of(customer_id: &str, customer: &Customer) -> String {
    match customer.profile.traits.get("name").map(|state| &state.value) {
        Some(Scalar::Text(name)) if !name.trim().is_empty() => one_line(name),
        _ => one_line(customer_id),
    }
}

/// Whom an entry is about: a customer by name, or the workspace.
pub(crate) fn whose(
    customer_id: &str,
    entry: &JournalEntry,
    customer: &Customer,
    lifecycle: &Lifecycle,
) -> String {
    match entry.kind {
        ChangeKind::FeedSilent => one_line(lifecycle.name.as_deref().unwrap_or("workspace")),
        _ => name_of(customer_id, customer),
    }
}

/// The standard an entry of a finding is about, as it holds for the customer.
fn standard_of<'a>(entry: &JournalEntry, facts: &Facts<'a>) -> Option<&'a Standard> {
    facts.rules().standard(entry.rule.strip_prefix("standards.")?)
}

/// How bad it is that a task is as it is, by its priority, or what a playbook tells.
fn severity_of_step(entry: &JournalEntry, facts: &Facts<'_>) -> Option<FindingSeverity> {
    match (entry.kind, &task::step_of(facts, &entry.rule)?.action) {
        (ChangeKind::Task, Action::Task(rule)) => Some(rule.priority.severity()),
        (ChangeKind::Playbook, Action::Notify { severity, .. }) => Some(*severity),
        _ => None,
    }
}

/// Who does the task an entry is about, as the lifecycle file or who reassigned it has it.
fn owner_of_task(entry: &JournalEntry, facts: &Facts<'_>) -> Option<String> {
    if entry.kind != ChangeKind::Task {
        return None;
    }
    let (playbook, step) = task::of_rule(&entry.rule)?;
    let open = facts.customer.status.tasks.of(playbook, step).map(|task| task.owner.clone());
    open.or_else(|| Some(task::step_of(facts, &entry.rule)?.task()?.owner.clone()))
}

fn has(labels: &Labels, (label, wanted): &(String, Vec<String>)) -> bool {
    let values = labels.get(label.as_str());
    values.is_some_and(|values| values.iter().any(|value| wanted.contains(value)))
}

/// Whether any route may ask for an entry, as far as can be told without its customer.
#[must_use]
pub fn may_concern_anyone(entry: &JournalEntry, lifecycle: &Lifecycle) -> bool {
    if is_waived(entry) || entry.kind == ChangeKind::Root {
        return false;
    }
    if entry.to.is_none() {
        // It became a part of another customer, of which is told; alerts of it end.
        return lifecycle.routes.iter().any(|route| route.grouping.is_some());
    }
    let labels = own_labels(entry);
    let is_open = |matcher: &(String, Vec<String>)| {
        // An overlay may change how severe a breach is.
        let of_entry = matches!(
            matcher.0.as_str(),
            "kind" | "from" | "band" | "state" | "checkpoint" | "standard" | "playbook" | "purpose"
        );
        has(&labels, matcher) || (!of_entry && !labels.contains_key(matcher.0.as_str()))
    };
    let may_ask = |route: &Route| asks(route, entry.kind) && route.matchers.iter().all(is_open);
    // What ends was not asked for by what asks for its beginning, and what mutes is not told.
    let is_end = matches!(
        entry.to.as_deref(),
        Some("closed" | "acknowledged" | "waived" | "done" | "snoozed")
    );
    let may_end = is_end || matches!(entry.kind, ChangeKind::Stage | ChangeKind::Risk);
    let may_be_grouped = |route: &Route| route.grouping.is_some() && may_end;
    lifecycle.routes.iter().any(|route| may_ask(route) || may_be_grouped(route))
        || lifecycle.inhibit.iter().any(|rule| !rule.is_of_customer())
}

/// Whether an entry is of a breach that was mended while it was waived: nobody hears of that one.
fn is_waived(entry: &JournalEntry) -> bool {
    entry.kind == ChangeKind::Finding
        && entry.from.as_deref() == Some("waived")
        && entry.to.as_deref() == Some("closed")
}

/// Whether a route asks for this kind of entry at all: for quiet ones only when it names them.
fn asks(route: &Route, kind: ChangeKind) -> bool {
    !kind.is_quiet() || route.matchers.iter().any(|(label, _)| label == "kind")
}

/// The first route that matches.
#[must_use]
pub fn route_of<'l>(
    kind: ChangeKind,
    labels: &Labels,
    lifecycle: &'l Lifecycle,
) -> Option<&'l Route> {
    let mut routes = lifecycle.routes.iter();
    routes.find(|route| asks(route, kind) && matches(&route.matchers, labels))
}

/// Whether labels match all of these.
pub(crate) fn matches(matchers: &[(String, Vec<String>)], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| has(labels, matcher))
}

/// The receiver of the first route that matches.
#[must_use]
pub fn route<'l>(
    kind: ChangeKind,
    labels: &Labels,
    lifecycle: &'l Lifecycle,
) -> Option<&'l Receiver> {
    lifecycle.receiver(&route_of(kind, labels, lifecycle)?.to)
}

/// Composes the message of an entry for its receiver; `None` when no route asks for it.
#[must_use]
pub fn alert(
    customer_id: &str,
    entry: &JournalEntry,
    customer: &Customer,
    lifecycle: &Lifecycle,
) -> Option<Alert> {
    if is_waived(entry) || entry.to.is_none() {
        return None;
    }
    let labels = labels(entry, customer, lifecycle);
    let receiver = route(entry.kind, &labels, lifecycle)?;
    let name = whose(customer_id, entry, customer, lifecycle);
    let facts = Facts::new(customer, lifecycle, entry.at);
    let headline = headline(entry, &facts);
    let owner = owner(entry, customer, &facts);
    let mut text = format!("{name}: {headline}.\n\nWhy:\n");
    for reason in &entry.reasons {
        text.push_str(&format!("- {}\n", sentence(reason)));
    }
    text.push_str(&format!("\nRule: {}\n", entry.rule));
    if entry.kind != ChangeKind::FeedSilent {
        text.push_str(&format!("Customer: {}\n", one_line(customer_id)));
    }
    if let Some(owner) = &owner {
        text.push_str(&format!("Owner: {owner}\n"));
    }
    if let Some(author) = &entry.author {
        text.push_str(&format!("By: {}\n", one_line(author)));
    }
    let hash: String = entry.config_hash.chars().take(12).collect();
    text.push_str(&format!(
        "Decided: {} (journal entry {}, lifecycle file {hash})\n",
        entry.at, entry.seq
    ));
    cut_bytes(&mut text, MAX_TEXT_BYTES);
    let subject = cut_chars(&format!("{name}: {headline}"), MAX_SUBJECT_CHARS);
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    for (label, values) in &labels {
        if let ([value], true) = (values.as_slice(), FILTERED.contains(&label.as_str())) {
            attributes.insert(label.clone(), value.clone());
        }
    }
    let chat = chat(customer_id, entry, &name, &headline, owner.as_deref(), &attributes);
    Some(Alert { topic: receiver.address.clone(), subject, text, chat, attributes, post: None })
}

/// What happened, without the customer's name and without a full stop.
pub(crate) fn headline(entry: &JournalEntry, facts: &Facts<'_>) -> String {
    let to = entry.to.as_deref().unwrap_or("none");
    match (entry.kind, &entry.from) {
        (ChangeKind::Stage, Some(from)) => format!("{from} → {to}"),
        (ChangeKind::Stage, None) => format!("starts in {to}"),
        (ChangeKind::Risk, _) if entry.rule == rise::RULE => {
            let told = entry.reasons.first().map_or("rose", |reason| &reason.expression);
            format!("churn risk {told} ({to})")
        }
        (ChangeKind::Risk, Some(from)) => format!("churn risk {from} → {to}"),
        (ChangeKind::Risk, None) => format!("churn risk {to}"),
        (ChangeKind::Checkpoint, _) => format!("checkpoint {to} reached"),
        (ChangeKind::Handoff, _) => format!("handoff {to}"),
        (ChangeKind::Release, _) => "given back to automation".to_owned(),
        (ChangeKind::Note, _) => "a note was written".to_owned(),
        (ChangeKind::Revision, from) => {
            let from = from.as_deref().unwrap_or("none");
            format!("{from} would have been {to}, had it been known then")
        }
        (ChangeKind::Task, _) => format!("task {to}: {}", task_title(entry, facts)),
        (ChangeKind::Playbook, _) => match task::step_of(facts, &entry.rule) {
            Some(Step { action: Action::Notify { text, .. }, .. }) => {
                text.render(facts, Channel::Plain)
            }
            _ => entry.rule.clone(),
        },
        (ChangeKind::Message, _) => format!("message {to} asked for"),
        (ChangeKind::FeedSilent, _) => {
            let feed = entry.rule.strip_prefix("feeds.").unwrap_or(&entry.rule);
            let told = entry.reasons.first().map_or("", |reason| &reason.expression);
            match to {
                "closed" => format!("feed {feed} is heard of again"),
                _ => format!("feed {feed} is silent: {told}"),
            }
        }
        (ChangeKind::Root, _) => format!("root {to}"),
        (
            ChangeKind::Finding
            | ChangeKind::Met
            | ChangeKind::Acknowledgement
            | ChangeKind::Waiver,
            from,
        ) => {
            let standard = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
            format!("standard {standard} {}", of_standard(entry.kind, from.as_deref(), to))
        }
    }
}

/// What became of a standard.
fn of_standard(kind: ChangeKind, from: Option<&str>, to: &str) -> String {
    match (kind, from, to) {
        (ChangeKind::Finding, _, "closed") => "no longer breached".to_owned(),
        (ChangeKind::Finding, Some("closed"), _) => "breached again".to_owned(),
        (ChangeKind::Finding, Some("waived"), _) => {
            "still breached, and no longer waived".to_owned()
        }
        (ChangeKind::Finding, ..) => "breached".to_owned(),
        (ChangeKind::Met, ..) if to == finding::LATE => "kept too late".to_owned(),
        (ChangeKind::Met, ..) => "kept".to_owned(),
        _ => to.to_owned(),
    }
}

/// What a task is called: as it was opened, or by its step where it is over.
fn task_title(entry: &JournalEntry, facts: &Facts<'_>) -> String {
    let of_rule = task::of_rule(&entry.rule);
    let open = of_rule.and_then(|(playbook, step)| facts.customer.status.tasks.of(playbook, step));
    let rule = || task::step_of(facts, &entry.rule)?.task();
    match open {
        Some(task) => one_line(&task.title),
        None => rule()
            .map_or_else(|| entry.rule.clone(), |rule| rule.title.render(facts, Channel::Plain)),
    }
}

/// A reason as a line: the expression, and what it read.
fn sentence(reason: &Reason) -> String {
    let inputs: Vec<String> = reason
        .inputs
        .iter()
        .map(|(name, value)| {
            let shown = match value {
                Json::Null => "not known".to_owned(),
                Json::String(text) => one_line(text),
                other => other.to_string(),
            };
            format!("{name} = {shown}")
        })
        .collect();
    let expression = one_line(&reason.expression);
    if inputs.is_empty() { expression } else { format!("{expression} ({})", inputs.join(", ")) }
}

/// An owner that is a trait is the person the trait names.
fn owner_name(owner: &str, customer: &Customer) -> String {
    let name = owner.strip_prefix("traits.").unwrap_or(owner);
    match customer.profile.traits.get(name).map(|state| &state.value) {
        Some(Scalar::Text(person)) => one_line(person),
        _ => owner.to_owned(),
    }
}

/// The custom notification of Amazon Q Developer in chat applications: `version`, `source` and
/// `content.description` are required, values of `additionalContext` are strings, and updates
/// with one `threadId` share a thread.
fn chat(
    customer_id: &str,
    entry: &JournalEntry,
    name: &str,
    headline: &str,
    owner: Option<&str>,
    attributes: &BTreeMap<String, String>,
) -> Json {
    let mut description = format!("*{}*: {}", escape(name), escape(headline));
    for reason in entry.reasons.iter().take(6) {
        description.push_str(&format!("\n• {}", escape(&sentence(reason))));
    }
    if let Some(owner) = owner {
        description.push_str(&format!("\nOwner: {}", escape(owner)));
    }
    cut_bytes(&mut description, 3_000);
    let mut context: BTreeMap<&str, String> =
        attributes.iter().map(|(label, value)| (label.as_str(), value.clone())).collect();
    let resource = match entry.kind {
        ChangeKind::FeedSilent => {
            format!("feed/{}", entry.rule.strip_prefix("feeds.").unwrap_or_default())
        }
        _ => {
            context.insert("customer", one_line(customer_id));
            format!("customer/{}", one_line(customer_id))
        }
    };
    context.insert("rule", entry.rule.clone());
    context.insert("config_hash", entry.config_hash.clone());
    json!({
        "version": "1.0",
        "source": "custom",
        "id": format!("{}-{}", one_line(customer_id), entry.seq),
        "content": {
            "textType": "client-markdown",
            "title": cut_chars(&escape(&format!("{name}: {headline}")), 150),
            "description": description,
            "keywords": [entry.kind.as_str()],
        },
        "metadata": {
            "threadId": format!("{}:{}", one_line(customer_id), entry.rule),
            "summary": cut_chars(&escape(&format!("{name}: {headline}")), 150),
            "eventType": format!("lifecycle.{}", entry.kind.as_str()),
            "relatedResources": [resource],
            "additionalContext": context,
        },
    })
}

/// Text for a chat client: its three control characters, escaped.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Control characters and line breaks become spaces.
pub(crate) fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut_chars(line.trim(), 200)
}

pub(crate) fn cut_chars(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

pub(crate) fn cut_bytes(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - 3));
        text.push('…');
    }
}
