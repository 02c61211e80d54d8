//! The standards of an explanation.

use domain::explain::ToldStandard;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Reason;
use crate::reason::reasons;

/// How the customer stands with a standard.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExplainedStandard {
    /// Its name in the lifecycle file.
    #[schema(example = "kickoff_held")]
    pub standard: String,
    /// `low`, `medium`, `high` or `critical`; null where it is no longer declared.
    #[schema(required)]
    pub severity: Option<&'static str>,
    /// Who mends a breach.
    #[schema(required)]
    pub owner: Option<String>,
    /// `open` (a finding is), `broken` (the next run opens one), `waived`, `kept`, `cannot_tell` or
    /// `not_applicable`.
    #[schema(example = "open")]
    pub state: &'static str,
    /// When the open finding was found, or since when the standard is waived.
    #[schema(required)]
    pub since: Option<Timestamp>,
    /// Until when it is waived.
    #[schema(required)]
    pub until: Option<Timestamp>,
    /// The evidence of a breach; what is not known, where it cannot be told.
    pub reasons: Vec<Reason>,
    /// What would end the breach or close the finding; null where there is none.
    #[schema(required, example = "an event `kickoff_held`")]
    pub closed_by: Option<String>,
    /// Of one that is kept: when it is broken if nothing happens, within 180 days.
    #[schema(required)]
    pub breaks_at: Option<Timestamp>,
}

impl From<ToldStandard> for ExplainedStandard {
    fn from(told: ToldStandard) -> ExplainedStandard {
        ExplainedStandard {
            standard: told.standard,
            severity: told.severity.map(|severity| severity.as_str()),
            owner: told.owner,
            state: told.standing.as_str(),
            since: told.since,
            until: told.until,
            reasons: reasons(told.reasons),
            closed_by: told.closed_by,
            breaks_at: told.breaks_at,
        }
    }
}
