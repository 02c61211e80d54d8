//! The `notify` Lambda: journal entries to people.
//!
//! The journal's stream delivers each entry at least once and in order per customer. An entry that
//! a route of the lifecycle file asks for becomes one message; that it was sent is remembered, so
//! a record that is delivered again says nothing twice.
//!
//! A record that can never be sent (it cannot be read, its topic does not exist, SNS refuses it)
//! is logged and passed over: it must not block its shard. Only what may succeed later is asked
//! for again, from that record on.

use aws_lambda_events::event::dynamodb::{Event as StreamEvent, EventRecord};
use domain::alert::{alert, may_concern_anyone};
use domain::journal::{ChangeKind, JournalEntry};
use domain::lifecycle::Lifecycle;
use domain::message::message;
use platform::publish::{Publish, PublishError};
use platform::store::Person;
use platform::sweep::{FailedMessage, PartialFailures};
use platform::telemetry::Counts;
use platform::{Clock, CustomerKey, Store, StoreError};
use serde::Serialize;

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
    for record in &event.records {
        if record.event_name != "INSERT" {
            // Entries are only ever added; anything else is not ours to tell.
            continue;
        }
        answer.visited += 1;
        match tell(app, record, &lifecycle).await {
            Ok(published) => answer.published += u64::from(published),
            Err(error) if error.retryable() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a journal entry could not be told yet"
                );
                // A stream goes on from the first record that failed.
                let id = record.change.sequence_number.clone().unwrap_or_default();
                answer.failures.failures.push(FailedMessage { id });
                return Ok(answer);
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
    Ok(answer)
}

/// Tells one entry, if a route asks for it and nobody was told: whether a message was published.
async fn tell<P: Publish>(
    app: &App<P>,
    record: &EventRecord,
    lifecycle: &Lifecycle,
) -> Result<bool, RecordError> {
    let (key, entry) = entry_of(record).ok_or(RecordError::NotAnEntry)?;
    let is_message = entry.kind == ChangeKind::Message;
    if key.is_erased() || !(is_message || may_concern_anyone(&entry, lifecycle)) {
        return Ok(false);
    }
    if is_message && is_turned_away(app, &key).await? {
        return Ok(false);
    }
    let found = app.store.customer(&key).await?;
    let found = app.store.with_below(found, lifecycle).await?;
    let compose = if is_message { message } else { alert };
    let Some(message) = compose(key.id(), &entry, &found.customer, lifecycle) else {
        return Ok(false);
    };
    if app.store.was_sent(key.as_str(), entry.seq).await? {
        return Ok(false);
    }
    app.publisher.publish(&message).await?;
    app.store.mark_sent(key.as_str(), entry.seq, &message.topic, app.clock.now()).await?;
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
