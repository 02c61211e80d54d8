//! The `score` Lambda: assesses churn risk.
//!
//! On a schedule it visits every customer and asks the domain for the risk. A change of band, or a rise
//! that is told by itself, is made true together with its journal entry; within a band only a move that people could see is
//! written. Where risk goes by what the workspace's own history teaches, that is learnt first when it
//! is due; once a week everything is learnt anew. Holds no rule and no SDK call.

use std::time::Instant;

use domain::decide::decide_risk;
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::learn;
use platform::store::Decisions;
use platform::sweep::{self, SweepAnswer, SweepError, SweepEvent, SweepKind};
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
    if let SweepEvent::Schedule(schedule) = &event {
        if schedule.sweep == SweepKind::Learn {
            let summary = learn::scheduled(app, "score", schedule, deadline).await?;
            return Ok(SweepAnswer::Summary(summary));
        }
        // Before anybody is assessed, so that a run goes by one fit.
        learn::fit_where_due(&app.store, schedule.scheduled_time).await?;
    }
    sweep::handle(app, "score", decide, event, deadline).await
}

/// Serves the function until its environment is shut down.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime cannot be reached.
pub async fn serve(clock: Clock) -> Result<(), lambda_runtime::Error> {
    platform::lambda::serve_sweep("score", handle, clock).await
}

/// The assessment of one customer, and the tasks that follow from another band.
fn decide(found: &Versioned, lifecycle: &Lifecycle, at: Timestamp) -> Option<Decisions> {
    let (note, changes) = decide_risk(&found.customer, lifecycle, at)?;
    Some(Decisions { changes, risk: Some(note), settles_due: false })
}
