//! Findings of all customers: breaches of what the company promised itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::tended::Seen;
use jiff::Timestamp;
use platform::store;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::page::{List, PageParameters, PageRequest, Parameters, given};
use crate::problem::{Errors, Problem};
use crate::reason::{Reason, reasons};

const STATES: [&str; 2] = ["open", "closed"];

/// A breach of a standard.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// The same breach has the same id.
    pub(crate) id: String,
    /// The customer's id.
    pub(crate) customer: String,
    /// The standard's name in the lifecycle file.
    pub(crate) standard: String,
    /// What makes this breach a different one from the next: the visit or the deadline.
    pub(crate) key: String,
    /// `low`, `medium`, `high` or `critical`, by the lifecycle file that found it.
    #[schema(required)]
    pub(crate) severity: Option<&'static str>,
    /// Who mends it.
    #[schema(required)]
    pub(crate) owner: Option<String>,
    /// The customer's stage at the time.
    #[schema(required)]
    pub(crate) stage: Option<String>,
    /// `open`, `acknowledged` or `closed`.
    pub(crate) state: String,
    /// When it was found.
    pub(crate) opened_at: Timestamp,
    /// When it was closed; null while it is open.
    #[schema(required)]
    pub(crate) closed_at: Option<Timestamp>,
    /// The evidence, or why it was closed.
    pub(crate) reasons: Vec<Reason>,
    /// Who saw it; null before anybody said so.
    #[schema(required)]
    pub(crate) acknowledged: Option<Acknowledged>,
    /// How often it was opened again after it was mended or waived.
    pub(crate) reopened: u32,
}

/// Who saw a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AcknowledgedFinding)]
pub(crate) struct Acknowledged {
    /// Who.
    pub(crate) author: String,
    /// When.
    pub(crate) at: Timestamp,
    /// What it was worth: `useful`, `known` or `false`.
    #[schema(example = "useful")]
    pub(crate) outcome: &'static str,
    /// Anything else, in the author's words.
    #[schema(required)]
    pub(crate) note: Option<String>,
}

impl From<Seen> for Acknowledged {
    fn from(seen: Seen) -> Acknowledged {
        let Seen { author, at, outcome, note } = seen;
        Acknowledged { author, at, outcome: outcome.as_str(), note }
    }
}

impl From<store::Finding> for Finding {
    fn from(finding: store::Finding) -> Finding {
        Finding {
            id: finding.id,
            customer: finding.customer,
            standard: finding.standard,
            key: finding.key,
            severity: finding.severity.map(|severity| severity.as_str()),
            owner: finding.owner,
            stage: finding.stage,
            state: finding.state,
            opened_at: finding.opened_at,
            closed_at: finding.closed_at,
            reasons: reasons(finding.reasons),
            acknowledged: finding.acknowledged.map(Acknowledged::from),
            reopened: finding.reopened,
        }
    }
}

/// Which findings.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FindingsParameters {
    /// `open` (the default) or `closed`.
    #[param(default = "open", example = "closed", pattern = "^(open|closed)?$")]
    pub(crate) state: Option<String>,
}

/// Findings
///
/// Breaches of standards, of all customers: the open ones, the acknowledged among them, by when they
/// were found, the closed ones by when they were closed, newest first. What a waiver hides is among
/// neither (`/api/waivers`). That a feed is silent is a finding of no customer: it is in `/api/feeds`.
#[utoipa::path(
    get,
    path = "/api/findings",
    tag = "findings",
    params(FindingsParameters, PageParameters),
    responses((status = 200, description = "Findings, newest first.", body = List<Finding>), Errors)
)]
pub(crate) async fn findings(
    State(app): State<Arc<App>>,
    Parameters(asked): Parameters<FindingsParameters>,
    page: PageRequest,
) -> Result<Json<List<Finding>>, Problem> {
    let state = given(asked.state).unwrap_or_else(|| "open".to_owned());
    if !STATES.contains(&state.as_str()) {
        return Err(Problem::unknown("unknown_state", "state", &state, STATES));
    }
    let list = format!("findings:{state}");
    let start = page.start(&list)?;
    let read = app.store.findings(&state, page.limit.into(), start.as_deref()).await?;
    let findings = read.items.into_iter().map(Finding::from).collect();
    Ok(Json(List::new(&list, findings, read.next_cursor)))
}
