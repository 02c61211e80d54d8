//! The `comply` Lambda: watches the standards the company set itself.
//!
//! On a schedule it visits every customer, asks the domain which breaches to open and which to
//! close, which tasks that asks for and which are overdue, and makes that true together with the journal
//! entries. Then it makes the root over what all functions decided until the day before, and keeps it where
//! nobody can change it, if the stack has such a place. On another schedule it takes the picture of all customers that the console shows. Holds no rule and no SDK call.

use std::time::Instant;

use domain::decide::decide_standards;
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::store::Decisions;
use platform::sweep::{self, SweepAnswer, SweepError, SweepEvent, SweepKind};
use platform::{Clock, Versioned, overview};

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
    let scheduled = match &event {
        SweepEvent::Schedule(schedule) if schedule.sweep == SweepKind::Overview => {
            let summary = overview::scheduled(app, "comply", schedule).await?;
            return Ok(SweepAnswer::Summary(summary));
        }
        SweepEvent::Schedule(schedule) => Some(schedule.scheduled_time),
        SweepEvent::Tickets(_) => None,
    };
    let answer = sweep::handle(app, "comply", decide, event, deadline).await?;
    if let Some(at) = scheduled {
        // Afterwards, so that a root that cannot be made keeps no finding from being made; the schedule
        // asks again, and only the root is still to be made then.
        let lifecycle = app.store.lifecycle().await?;
        app.store.make_root(&lifecycle, at).await?;
        if let Some(vault) = &app.vault {
            vault.keep_roots(&app.store, app.clock.now()).await?;
        }
    }
    Ok(answer)
}

/// Serves the function until its environment is shut down.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime cannot be reached.
pub async fn serve(clock: Clock) -> Result<(), lambda_runtime::Error> {
    platform::lambda::serve_sweep("comply", handle, clock).await
}

/// The findings of one customer to open and to close, the promises that were kept, and the tasks that follow.
fn decide(found: &Versioned, lifecycle: &Lifecycle, at: Timestamp) -> Option<Decisions> {
    let changes = decide_standards(&found.customer, lifecycle, at);
    (!changes.is_empty()).then(|| Decisions::of(changes))
}
