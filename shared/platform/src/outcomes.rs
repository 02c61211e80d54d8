//! Reads what outcomes are told from: the journal of some days.

use domain::journal::ChangeKind;
use domain::lifecycle::Lifecycle;
use domain::outcome::{Outcomes, Row};
use jiff::SignedDuration;

use crate::adherence::{AdherenceError, Span, happened};
use crate::store::Store;

/// How many days are told of where nothing is said.
pub const DEFAULT_DAYS: i64 = 180;

/// What the alarms of a part of history were worth, each looked ahead from by `horizon`. What came after
/// the part is not known to it.
///
/// # Errors
/// When the table cannot be read, or the journal of these days is too large.
pub async fn read(
    store: &Store,
    lifecycle: &Lifecycle,
    span: Span,
    horizon: SignedDuration,
) -> Result<Vec<Row>, AdherenceError> {
    let counts = |kind| {
        matches!(
            kind,
            ChangeKind::Finding
                | ChangeKind::Stage
                | ChangeKind::Risk
                | ChangeKind::Acknowledgement
        )
    };
    let mut outcomes = Outcomes::new(lifecycle, horizon, span.to());
    for entries in happened(store, span, counts).await?.into_values() {
        outcomes.add(entries);
    }
    Ok(outcomes.rows())
}
