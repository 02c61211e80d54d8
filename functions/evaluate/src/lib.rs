//! The `evaluate` Lambda: moves customers between stages.
//!
//! On a schedule it visits every customer, or those that are due, asks the domain for the stage
//! step and what comes with it, and makes that true together with its journal entries. Holds no rule and no SDK call.

use std::time::Instant;

use domain::decide::decide_stage;
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::store::Decisions;
use platform::sweep::{self, SweepAnswer, SweepError, SweepEvent};
use platform::{Clock, Versioned};

pub use platform::sweep::App;

/// Handles a schedule's event or a batch of sweep tickets.
///
/// # Errors
/// When the tables cannot be read, or no customer at all could be handled.
pub async fn handle(
    app: &App,
    event: SweepEvent,
    deadline: Option<Instant>,
) -> Result<SweepAnswer, SweepError> {
    sweep::handle(app, "evaluate", decide, event, deadline).await
}

/// Serves the function until its environment is shut down.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime cannot be reached.
pub async fn serve(clock: Clock) -> Result<(), lambda_runtime::Error> {
    platform::lambda::serve_sweep("evaluate", handle, clock).await
}

/// The stage step of one customer.
fn decide(found: &Versioned, lifecycle: &Lifecycle, at: Timestamp) -> Option<Decisions> {
    let changes = decide_stage(&found.customer, lifecycle, at).into_changes();
    let was_due = found.due_at.is_some_and(|due| due <= at);
    // Without a change there is something to write only where a due entry has to go or to move on.
    (!changes.is_empty() || was_due || lifecycle.is_sub_day).then(|| Decisions {
        changes,
        risk: None,
        settles_due: found.due_at.is_none_or(|due| due <= at),
    })
}
