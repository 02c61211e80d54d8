//! The `notify` Lambda: journal entries to people.
//!
//! The journal's stream delivers each entry at least once and in order per customer. Where the lifecycle
//! file says nothing of grouping, an entry that a route asks for becomes one message; that it was sent is
//! remembered, so a record that is delivered again says nothing twice. Elsewhere it is folded into the
//! groups of [`domain::alerting`], which are told when they are due: in the same invocation where
//! `group_wait` is nothing, else by [`tick`], every minute.
//!
//! A group's message is made in the transaction that notes it as told, sent afterwards, and only then
//! forgotten: a crash in between sends it again, under the same id. A topic or another receiver that does
//! not answer keeps no other waiting: its messages wait apart, longer each time, for up to a day.
//!
//! A record that can never be sent (it cannot be read, its topic does not exist, SNS refuses it)
//! is logged and passed over: it must not block its shard. Only what may succeed later is asked
//! for again, from that record on.

mod deliver;
mod fold;
mod settle;

use std::collections::BTreeSet;

use aws_lambda_events::event::dynamodb::{Event as StreamEvent, EventRecord};
use domain::alert::{alert, may_concern_anyone};
use domain::alerting::{Change, Inhibiting, Mutes, Silence, sort};
use domain::journal::{ChangeKind, JournalEntry};
use domain::lifecycle::{Channel, Lifecycle, SLACK_SIGNING};
use domain::message::message;
use jiff::Timestamp;
use platform::publish::{Publish, PublishError};
use platform::store::{Notification, Outgoing, Person};
use platform::sweep::{FailedMessage, PartialFailures, ScheduleEvent};
use platform::telemetry::Counts;
use platform::{Clock, CustomerKey, Store, StoreError};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::fold::{Folding, fold};
use crate::settle::{Settled, Settling, TooMany};

/// How many groups one tick settles at most; the rest stays due.
const MAX_DUE: i32 = 500;

/// What the function is invoked with.
#[derive(Debug)]
pub enum NotifyEvent {
    /// The minute's tick.
    Tick(ScheduleEvent),
    /// Records of the journal's stream.
    Stream(Box<StreamEvent>),
}

impl<'de> Deserialize<'de> for NotifyEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NotifyEvent, D::Error> {
        let event = Box::<RawValue>::deserialize(deserializer)?;
        if let Ok(tick) = serde_json::from_str(event.get()) {
            return Ok(NotifyEvent::Tick(tick));
        }
        let read = serde_json::from_str(event.get());
        // What was found in the place of what was expected stays unsaid.
        read.map(NotifyEvent::Stream).map_err(|_| D::Error::custom("neither a tick nor records"))
    }
}

/// What the function works with.
#[derive(Debug)]
pub struct App<P> {
    /// The tables.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where messages go.
    pub publisher: P,
}

/// What became of a batch of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The records to deliver again.
    #[serde(flatten)]
    pub failures: PartialFailures,
    /// Entries looked at.
    #[serde(skip)]
    pub visited: u64,
    /// Messages published.
    #[serde(skip)]
    pub published: u64,
    /// Records passed over for good.
    #[serde(skip)]
    pub passed_over: u64,
}

impl Answer {
    /// What the invocation counted, for its metric event.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            visited: self.visited,
            changed: self.published,
            published: self.published,
            failed: self.passed_over + self.failures.failures.len() as u64,
            ..Counts::default()
        }
    }
}

/// Why one record was not dealt with.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("the record holds no journal entry")]
    NotAnEntry,
    #[error("the tables could not be used")]
    Store(#[from] StoreError),
    #[error("the message could not be published")]
    Publish(#[from] PublishError),
}

impl RecordError {
    fn retryable(&self) -> bool {
        match self {
            RecordError::NotAnEntry => false,
            RecordError::Store(error) => error.retryable(),
            RecordError::Publish(error) => error.retryable(),
        }
    }
}

/// Handles a batch of the journal's stream.
///
/// # Errors
/// When there is no lifecycle to route by.
pub async fn handle<P: Publish>(app: &App<P>, event: StreamEvent) -> Result<Answer, StoreError> {
    let mut answer = Answer::default();
    if event.records.is_empty() {
        return Ok(answer);
    }
    let lifecycle = app.store.lifecycle().await?;
    let known = Known::new(&app.store, &lifecycle, app.clock.now());
    let mut foldings = Vec::new();
    for record in &event.records {
        if record.event_name != "INSERT" {
            // Entries are only ever added; anything else is not ours to tell.
            continue;
        }
        answer.visited += 1;
        let id = || record.change.sequence_number.clone().unwrap_or_default();
        match tell(app, record, &known).await {
            Ok(Told::Published) => answer.published += 1,
            Ok(Told::Nothing) => {}
            Ok(Told::Changes(key, changes)) => {
                foldings.push(Folding { record: id(), key, changes });
            }
            Err(error) if error.retryable() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a journal entry could not be told yet"
                );
                // A stream goes on from the first record that failed.
                answer.failures.failures.push(FailedMessage { id: id() });
                break;
            }
            Err(error) => {
                answer.passed_over += 1;
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    event.id = record.event_id,
                    "a journal entry was passed over"
                );
            }
        }
    }
    let mut touched = BTreeSet::new();
    if let Err(failed) = fold(&app.store, &lifecycle, &foldings, known.now, &mut touched).await {
        tracing::warn!(
            error = &failed.error as &dyn std::error::Error,
            "journal entries could not be folded yet"
        );
        answer.failures.failures = vec![FailedMessage { id: failed.record }];
    }
    let due: Vec<String> = touched.into_iter().collect();
    if !due.is_empty() {
        answer.published += known.settling().await?.settle_all(app, &due, Late::Leave).await;
    }
    Ok(answer)
}

/// Does what is due by now: first messages, repetitions, escalations, digests, and whatever could not
/// be sent before.
///
/// # Errors
/// When the tables cannot be read, or there is no lifecycle.
pub async fn tick<P: Publish>(app: &App<P>) -> Result<Answer, StoreError> {
    let lifecycle = app.store.lifecycle().await?;
    let known = Known::new(&app.store, &lifecycle, app.clock.now());
    let due = app.store.due_groups(known.now, MAX_DUE).await?;
    let published = match due.is_empty() {
        // What was made before is sent as it is.
        true => send_late(app, Vec::new(), known.now).await,
        false => known.settling().await?.settle_all(app, &due, Late::Send).await,
    };
    Ok(Answer { visited: due.len() as u64, published, ..Answer::default() })
}

/// Handles whatever the function is invoked with.
///
/// # Errors
/// As [`handle`] and [`tick`].
pub async fn handle_any<P: Publish>(
    app: &App<P>,
    event: NotifyEvent,
) -> Result<Answer, StoreError> {
    match event {
        NotifyEvent::Tick(_) => tick(app).await,
        NotifyEvent::Stream(event) => handle(app, *event).await,
    }
}

/// Whether messages of others that wait to be sent, and summaries, are dealt with as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    Send,
    Leave,
}

impl Settling<'_> {
    /// Settles groups and sends their messages: how many were sent. A group that cannot be settled
    /// stays due, a message that cannot be sent stays where it is.
    async fn settle_all<P: Publish>(&self, app: &App<P>, ids: &[String], late: Late) -> u64 {
        let mut out = Vec::new();
        let mut too_many = TooMany::new();
        for id in ids {
            match self.settle(id).await {
                Ok(Settled::Nothing) => {}
                Ok(Settled::Messages(messages)) => out.extend(messages),
                Ok(Settled::TooMany(held)) => {
                    let to = held.group.as_ref().map(|group| group.to.clone()).unwrap_or_default();
                    too_many.entry(to).or_default().push(*held);
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    group = id,
                    "a group of alerts could not be settled yet"
                ),
            }
        }
        if late == Late::Send {
            for (receiver, groups) in &too_many {
                match self.sum_up(receiver, groups).await {
                    Ok(message) => out.extend(message),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what was too much for a receiver could not be summed up yet"
                    ),
                }
            }
            return send_late(app, out, self.now).await;
        }
        deliver::deliver(app, out, late, self.now).await
    }
}

/// Sends messages, after those that could not be sent before: how many were sent.
async fn send_late<P: Publish>(app: &App<P>, mut out: Vec<Outgoing>, now: Timestamp) -> u64 {
    match app.store.outgoing(now, MAX_DUE).await {
        Ok(waiting) => {
            let is_new = |one: &Outgoing| !out.iter().any(|made| made.id == one.id);
            let waiting: Vec<_> = waiting.into_iter().filter(is_new).collect();
            out.splice(0..0, waiting);
        }
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "messages that wait to be sent could not be read"
        ),
    }
    deliver::deliver(app, out, Late::Send, now).await
}

/// What records are dealt with by.
struct Known<'k> {
    store: &'k Store,
    lifecycle: &'k Lifecycle,
    /// Read when first asked for.
    silences: OnceCell<Vec<Silence>>,
    /// Whether anything is gathered in groups, or mutes other customers.
    has_groups: bool,
    now: Timestamp,
}

impl<'k> Known<'k> {
    fn new(store: &'k Store, lifecycle: &'k Lifecycle, now: Timestamp) -> Known<'k> {
        let has_groups = lifecycle.routes.iter().any(|route| route.grouping.is_some())
            || lifecycle.inhibit.iter().any(|rule| !rule.is_of_customer());
        Known { store, lifecycle, silences: OnceCell::new(), has_groups, now }
    }

    /// # Errors
    /// When the table cannot be read.
    async fn silences(&self) -> Result<&[Silence], StoreError> {
        let silences = self.silences.get_or_try_init(|| self.store.silences()).await?;
        Ok(silences.as_slice())
    }

    /// # Errors
    /// When silences or the key of buttons cannot be read.
    async fn settling(&self) -> Result<Settling<'_>, StoreError> {
        let Known { store, lifecycle, now, .. } = *self;
        let silences = self.silences().await?;
        // Without the secret that Slack signs with, what a button sends could not be taken.
        let has_buttons = lifecycle.receivers.iter().any(|one| one.channel == Channel::Slack)
            && !store.source_secrets(SLACK_SIGNING).await?.is_empty();
        let buttons = if has_buttons { Some(store.button_key().await?) } else { None };
        Ok(Settling { store, lifecycle, silences, buttons, now })
    }
}

/// What became of a record.
enum Told<'k> {
    Nothing,
    Published,
    /// It is to be folded into groups.
    Changes(CustomerKey, Vec<Change<'k>>),
}

/// Tells one entry that is told by itself, if a route asks for it and nobody was told; says of others
/// what they do to groups.
async fn tell<'k, P: Publish>(
    app: &App<P>,
    record: &EventRecord,
    known: &Known<'k>,
) -> Result<Told<'k>, RecordError> {
    let (key, entry) = entry_of(record).ok_or(RecordError::NotAnEntry)?;
    let lifecycle = known.lifecycle;
    let is_message = entry.kind == ChangeKind::Message;
    if key.is_erased() || !(is_message || may_concern_anyone(&entry, lifecycle)) {
        return Ok(Told::Nothing);
    }
    if is_message && is_turned_away(app, &key).await? {
        return Ok(Told::Nothing);
    }
    let found = app.store.customer(&key).await?;
    let found = app.store.with_below(found, lifecycle).await?;
    if is_message {
        return Ok(match tell_at_once(app, &key, &entry, &found, known).await? {
            true => Told::Published,
            false => Told::Nothing,
        });
    }
    let mut sorted = sort(key.as_str(), key.id(), &entry, &found.customer, lifecycle);
    if !known.has_groups {
        sorted.changes.clear();
    }
    let changes = |changes| Ok(Told::Changes(key.clone(), changes));
    let Some((route, arrival)) = sorted.at_once else {
        return match sorted.changes.is_empty() {
            true => Ok(Told::Nothing),
            false => changes(sorted.changes),
        };
    };
    if is_muted(app, &found, &arrival.labels, known).await? {
        sorted.changes.push(Change::News(route, arrival));
        return changes(sorted.changes);
    }
    let is_told = tell_at_once(app, &key, &entry, &found, known).await?;
    match (sorted.changes.is_empty(), is_told) {
        (false, _) => changes(sorted.changes),
        (true, true) => Ok(Told::Published),
        (true, false) => Ok(Told::Nothing),
    }
}

/// Whether an alert that is told by itself is muted.
async fn is_muted<P>(
    app: &App<P>,
    found: &platform::Versioned,
    labels: &domain::alert::Labels,
    known: &Known<'_>,
) -> Result<bool, StoreError> {
    let (rules, now) = (&known.lifecycle.inhibit, known.now);
    let mut sources = Vec::new();
    if !rules.is_empty() {
        let standing =
            domain::alert::standing(found.key.id(), &found.customer, known.lifecycle, now);
        sources = Inhibiting::of_customer(rules, &standing);
        for source in Inhibiting::that_may_mute(rules, labels) {
            if app.store.is_muting(rules, &source).await? {
                sources.push(source);
            }
        }
    }
    let mutes = Mutes { silences: known.silences().await?, rules, sources: &sources, now };
    Ok(mutes.of(labels).is_some())
}

async fn tell_at_once<P: Publish>(
    app: &App<P>,
    key: &CustomerKey,
    entry: &JournalEntry,
    found: &platform::Versioned,
    known: &Known<'_>,
) -> Result<bool, RecordError> {
    let compose = if entry.kind == ChangeKind::Message { message } else { alert };
    let Some(message) = compose(key.id(), entry, &found.customer, known.lifecycle) else {
        return Ok(false);
    };
    if app.store.was_sent(key.as_str(), entry.seq).await? {
        return Ok(false);
    }
    let answer = app.publisher.publish(&message).await?;
    app.store.mark_sent(key.as_str(), entry.seq, &message.topic, known.now).await?;
    // What names a customer is kept by its customer only.
    let id = Sha256::digest(format!("{key}#{}", entry.seq).as_bytes());
    let told = Notification {
        id: domain::hex(&id[..8]),
        at: known.now,
        what: "sent".to_owned(),
        topic: Some(message.topic),
        reason: "change".to_owned(),
        answer: Some(answer),
        ..Notification::default()
    };
    if let Err(error) = app.store.log_notification(&told).await {
        // It was told, and is not told again for the log's sake.
        tracing::warn!(error = &error as &dyn std::error::Error, "a message was not logged");
    }
    Ok(true)
}

/// Whether a customer's id is turned away at the door: nobody writes to it either.
async fn is_turned_away<P: Publish>(app: &App<P>, key: &CustomerKey) -> Result<bool, StoreError> {
    let suppressed = app.store.suppressed().await?;
    let id = key.id();
    Ok(suppressed.has(Person::User, id) || suppressed.has(Person::Account, id))
}

fn entry_of(record: &EventRecord) -> Option<(CustomerKey, JournalEntry)> {
    let image: std::collections::HashMap<String, serde_json::Value> =
        serde_json::to_value(&record.change.new_image).ok().and_then(|image| match image {
            serde_json::Value::Object(image) => Some(image.into_iter().collect()),
            _ => None,
        })?;
    let text = |name: &str| image.get(name)?.get("S")?.as_str();
    let entry = serde_json::from_str(text("entry")?).ok()?;
    Some((CustomerKey::stored(text("pk")?), entry))
}
