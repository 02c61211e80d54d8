//! The `score` Lambda: assesses churn risk.
//!
//! On a schedule it visits every customer and asks the domain for the risk. A change of band is made
//! true together with its journal entry; within a band only a move that people could see is
//! written. Holds no rule and no SDK call.

use std::time::Instant;

use domain::customer::RiskState;
use domain::decide::assess_risk;
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
    sweep::handle(app, "score", decide, event, deadline).await
}

/// Serves the function until its environment is shut down.
///
/// # Errors
/// When the environment is not complete, or the Lambda runtime cannot be reached.
pub async fn serve(clock: Clock) -> Result<(), lambda_runtime::Error> {
    platform::lambda::serve_sweep("score", decide, clock).await
}

/// Within a band, a probability that moved by less than five points in a hundred is not written
/// again: most customers drift a little every night, and each write is billed.
const VISIBLE: f64 = 0.05;

/// The assessment of one customer.
fn decide(found: &Versioned, lifecycle: &Lifecycle, at: Timestamp) -> Option<Decisions> {
    let (risk, change) = assess_risk(&found.customer, lifecycle, at)?;
    let before = found.customer.status.risk.as_ref();
    let moved = before.is_none_or(|was| (was.probability - risk.probability).abs() >= VISIBLE);
    (change.is_some() || moved).then(|| Decisions {
        changes: change.into_iter().collect(),
        risk: Some(RiskState {
            probability: risk.probability,
            band_since: before.map_or(at, |was| was.band_since),
            band: risk.band,
            at,
        }),
        settles_due: false,
    })
}
