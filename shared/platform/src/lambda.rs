//! Running as a Lambda function: the loop, the metric event, and what a failure looks like.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use lambda_runtime::{Diagnostic, LambdaEvent, run, service_fn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::aws::Environment;
use crate::clock::Clock;
use crate::sweep::{App, CUSTOMERS_PER_SEGMENT, SweepAnswer, SweepError, SweepEvent, deadline};

/// Serves a sweep function, of which `handle` answers an event, until the environment is shut down.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime cannot be reached.
pub async fn serve_sweep(
    function: &'static str,
    handle: impl AsyncFn(&App, SweepEvent, Option<Instant>) -> Result<SweepAnswer, SweepError>,
    clock: Clock,
) -> Result<(), lambda_runtime::Error> {
    // A customer whose decision panics would end the sweep of all others.
    const { assert!(cfg!(panic = "unwind"), "a sweep is built so that panics unwind") };
    let environment = Environment::from_env(function, clock).await?;
    let (queue, vault) = (environment.ticket_queue(), environment.vault());
    let Environment { store, clock, telemetry, .. } = environment;
    let customers_per_segment = CUSTOMERS_PER_SEGMENT;
    let app = Arc::new(App { store, clock, queue, customers_per_segment, vault });
    run(service_fn(|event: LambdaEvent<Incoming<SweepEvent>>| {
        let (app, telemetry, handle) = (Arc::clone(&app), telemetry.clone(), &handle);
        async move {
            let ends = deadline(event.context.deadline(), app.clock.now());
            // Boxed: the types of nested futures would grow beyond what the compiler follows.
            let work = Box::pin(async {
                let event = event.payload.expected()?;
                let answer = handle(&app, event, ends).await;
                answer.map_err(|error: SweepError| failure("SweepError", &error))
            });
            telemetry.measure(&app.store, work, SweepAnswer::counts).await
        }
    }))
    .await
}

/// What a function is invoked with, or something else. The runtime would report, and log, what it
/// found in the place of what it expected; here that stays unsaid.
#[derive(Debug)]
pub struct Incoming<T>(Result<T, Position>);

/// Where an event is not what was expected.
#[derive(Debug, Clone, Copy)]
struct Position {
    line: usize,
    column: usize,
}

impl<T> Incoming<T> {
    /// The event.
    ///
    /// # Errors
    /// When it is of another shape: where, and nothing of what is there.
    pub fn expected(self) -> Result<T, Diagnostic> {
        self.0.map_err(|Position { line, column }| Diagnostic {
            error_type: "UnexpectedEvent".to_owned(),
            error_message: format!(
                "the function is not invoked with such an event (line {line}, column {column})"
            ),
        })
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Incoming<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Incoming<T>, D::Error> {
        let event = Box::<RawValue>::deserialize(deserializer)?;
        let read = serde_json::from_str(event.get());
        Ok(Incoming(read.map_err(|error| Position { line: error.line(), column: error.column() })))
    }
}

/// A failure as the runtime reports it: a stable type for alarms and retries, and the chain of
/// causes, which is logged here and nowhere else.
#[must_use]
pub fn failure(error_type: &str, error: &dyn Error) -> Diagnostic {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    Diagnostic { error_type: error_type.to_owned(), error_message: message }
}
