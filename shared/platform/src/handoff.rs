//! Work that one function finds and another has to do.
//!
//! Functions never depend on each other. On AWS the console hands work to the queue of the function
//! that may do it; in one process it is done at once. This is all that either side knows.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// Work that is handed on. Doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// Do this privacy request.
    Privacy(String),
    /// Take these items of the quarantine again.
    Replay(Vec<String>),
}

/// The addresses of the queues that work goes into.
#[derive(Debug, Clone)]
pub struct Queues {
    /// Of `comply`, which does privacy requests.
    pub privacy: String,
    /// Of `ingest`, which takes again what was set aside.
    pub replay: String,
}

/// Work could not be handed on.
#[derive(Debug, thiserror::Error)]
#[error("work could not be handed on")]
pub struct HandoffError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

type HandOn = dyn Fn(Work) -> BoxFuture<'static, Result<(), HandoffError>> + Send + Sync;

/// Where work goes.
#[derive(Clone)]
pub struct Handoff(Arc<HandOn>);

impl std::fmt::Debug for Handoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handoff")
    }
}

/// How long a privacy request waits: whoever believes that an id is not suppressed, or still has a
/// link, has looked again by then.
const PRIVACY_DELAY_SECONDS: i32 = 45;

impl Handoff {
    /// Work is done by this.
    pub fn new<F>(hand_on: impl Fn(Work) -> F + Send + Sync + 'static) -> Handoff
    where
        F: Future<Output = Result<(), HandoffError>> + Send + 'static,
    {
        Handoff(Arc::new(move |work| hand_on(work).boxed()))
    }

    /// Work goes into the queue of the function that may do it.
    #[must_use]
    pub fn to_queues(client: aws_sdk_sqs::Client, queues: Queues) -> Handoff {
        Handoff::new(move |work| {
            let (url, delay) = match work {
                Work::Privacy(_) => (&queues.privacy, PRIVACY_DELAY_SECONDS),
                Work::Replay(_) => (&queues.replay, 0),
            };
            let send = client.send_message().queue_url(url).delay_seconds(delay);
            async move {
                let body =
                    serde_json::to_string(&work).map_err(|error| HandoffError(error.into()))?;
                let sent = send.message_body(body).send().await;
                sent.map(|_| ()).map_err(|error| HandoffError(error.into()))
            }
        })
    }

    /// Hands work on.
    ///
    /// # Errors
    /// When nobody has it now.
    pub async fn hand_on(&self, work: Work) -> Result<(), HandoffError> {
        (self.0)(work).await
    }
}
