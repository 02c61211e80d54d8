//! The `ingest` Lambda: tracking calls, signed webhooks and CloudEvents over HTTP, SQS and
//! EventBridge into the event log and the customers' state.
//!
//! Beside them is the door for the buttons of Slack messages. Every other way in ends at one pipeline, `take`: a call is read alone, so that a bad one never
//! takes its neighbours with it; what cannot be read is set aside in quarantine with its reason;
//! the others are committed customer by customer.
//!
//! Invariants: nothing is acknowledged before it is stored, be it in the log or in quarantine. A
//! call that is delivered again under the same id counts once. No body, key, id or name is logged.
//! This crate holds no rule of the lifecycle and no SDK call.

mod auth;
mod body;
mod bus;
mod call;
mod cloudevents;
mod feed;
mod forms;
mod gateway;
mod heard;
mod http;
mod items;
mod mend;
mod openapi;
mod percent;
mod problem;
mod quarantine;
mod queue;
mod slack;
mod take;
mod webhook;
mod when;
mod who;

use std::sync::Arc;

use domain::lifecycle::Lifecycle;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Diagnostic, LambdaEvent};
use platform::egress::Egress;
use platform::telemetry::Counts;
use platform::{Clock, Store, StoreError};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::call::{Came, Delivery};

pub use http::router;
pub use quarantine::{ReplayOutcome, Replayed, replay};

/// What the function works with.
#[derive(Debug)]
pub struct App {
    /// The tables.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// What stands before `/v1` in the addresses that senders know, where requests do not show it:
    /// HubSpot signs its own address.
    pub public_url: Option<String>,
    /// The way to Slack, which is told what became of a click.
    pub egress: Egress,
}

impl App {
    /// The present instant, to the millisecond, as the log keeps it.
    pub(crate) fn now(&self) -> Timestamp {
        when::to_millisecond(self.clock.now())
    }

    /// A delivery that arrived at an instant. Its calls are no older than the log keeps events.
    ///
    /// # Errors
    /// When the key of personal traits cannot be read.
    pub(crate) async fn delivery<'a>(
        &self,
        lifecycle: &Lifecycle,
        now: Timestamp,
        origin: &'a str,
        came: Came,
    ) -> Result<Delivery<'a>, StoreError> {
        let kept = SignedDuration::from_hours(24 * i64::from(self.store.event_retention_days()));
        let oldest = now.checked_sub(kept).ok();
        let (subject, came) = (lifecycle.subject, Arc::new(came));
        let shield = self.store.shield(lifecycle).await?;
        Ok(Delivery { subject, now, oldest, origin, kind: None, came, shield })
    }
}

/// The answer to an invocation; it serialises as its body.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Answer {
    /// What the caller gets: an HTTP response, the failures of a batch, or what became of an event.
    pub body: Json,
    /// What was counted.
    #[serde(skip)]
    pub counts: Counts,
}

/// Why an invocation failed. Its caller delivers the event again.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The event is of no kind this function is invoked with.
    #[error("the event is none of API Gateway's, SQS's or EventBridge's")]
    UnknownEvent,
    /// The event is of a known kind but lacks what that kind has.
    #[error("the {kind} event cannot be read")]
    Event {
        /// The kind.
        kind: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The tables could not be read or written.
    #[error("the event could not be stored")]
    Store(#[source] Arc<StoreError>),
    /// Not one record of a batch could be stored.
    #[error("none of the {records} records could be stored")]
    AllRecords {
        /// How many there were.
        records: usize,
        /// What the first one failed with.
        #[source]
        source: Arc<StoreError>,
    },
}

impl IngestError {
    /// Whether the same event may be taken later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            IngestError::UnknownEvent | IngestError::Event { .. } => false,
            IngestError::Store(source) | IngestError::AllRecords { source, .. } => {
                source.retryable()
            }
        }
    }
}

impl From<StoreError> for IngestError {
    fn from(source: StoreError) -> IngestError {
        IngestError::Store(Arc::new(source))
    }
}

impl From<IngestError> for Diagnostic {
    fn from(error: IngestError) -> Diagnostic {
        let error_type = match &error {
            IngestError::UnknownEvent => "UnknownEvent",
            IngestError::Event { .. } => "Event",
            IngestError::Store(_) => "Store",
            IngestError::AllRecords { .. } => "AllRecords",
        };
        Diagnostic { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// Handles an event of API Gateway, SQS or EventBridge: what its caller gets.
///
/// # Errors
/// As [`respond`].
pub async fn handle(
    app: &Arc<App>,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Json, IngestError> {
    respond(app, event).await.map(|answer| answer.body)
}

/// Handles an event of API Gateway, SQS or EventBridge: what its caller gets, and what was counted.
///
/// # Errors
/// When the event is of another kind; from SQS, when no record could be stored; from EventBridge,
/// when the event could not be. An HTTP request is always answered.
pub async fn respond(
    app: &Arc<App>,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Answer, IngestError> {
    // Boxed: nested as deep as it is, its layout would be too much for the compiler.
    let answer = Box::pin(dispatch(app, event.payload.get())).await;
    if let Err(error) = &answer {
        let error = error as &dyn std::error::Error;
        tracing::error!(error, request.id = event.context.request_id, "the invocation failed");
    }
    answer
}

/// The members that tell the kinds of events apart.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'a RawValue>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
    #[serde(rename = "rawPath")]
    raw_path: Option<IgnoredAny>,
}

async fn dispatch(app: &Arc<App>, event: &str) -> Result<Answer, IngestError> {
    let kind: Kind = serde_json::from_str(event).map_err(|_| IngestError::UnknownEvent)?;
    match kind {
        Kind { records: Some(records), .. } => queue::handle(app, &records).await,
        Kind { detail_type: Some(_), source: Some(_), .. } => bus::handle(app, event).await,
        Kind { raw_path: Some(_), .. } => gateway::handle(app, event).await,
        _ => Err(IngestError::UnknownEvent),
    }
}
