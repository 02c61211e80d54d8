//! How well the company keeps its standards.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::adherence::{self, By};
use jiff::Timestamp;
use platform::adherence::{DEFAULT_DAYS, Span, read};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::page::{Parameters, given};
use crate::problem::{Errors, Problem};

/// How well standards were kept.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Adherence {
    /// From when on it is told what was met and broken.
    pub(crate) from: Timestamp,
    /// Until when.
    pub(crate) to: Timestamp,
    /// The instant of what is open, at risk, waived or cannot be told.
    pub(crate) at: Timestamp,
    /// What the rows are made by.
    #[schema(example = "standard")]
    pub(crate) by: &'static str,
    /// One row for each, by name.
    pub(crate) rows: Vec<AdherenceRow>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct AdherenceRow {
    /// A standard, a stage, a segment, an owner, or a month as `2026-03`; `none` where there is none.
    pub(crate) group: String,
    /// Promises kept in time, and customers of whom a standard without a due instant is kept now.
    pub(crate) met: u64,
    /// Breaches found, and promises kept only after their time before anybody looked.
    pub(crate) breached: u64,
    /// Findings that are open now.
    pub(crate) open: u64,
    /// Clocks that run now and have used three quarters of their time.
    pub(crate) at_risk: u64,
    /// Breaches that a waiver hides now.
    pub(crate) waived: u64,
    /// Customers of whom it cannot be told now.
    pub(crate) cannot_tell: u64,
    /// What was met of all that was met or missed, from 0 to 1; null where there was neither.
    #[schema(required)]
    pub(crate) adherence: Option<f64>,
    /// Half of what was done took at most so many seconds.
    #[schema(required)]
    p50_seconds: Option<i64>,
    /// Nine tenths of what was done took at most so many seconds.
    #[schema(required)]
    p90_seconds: Option<i64>,
}

impl From<adherence::Row> for AdherenceRow {
    fn from(row: adherence::Row) -> AdherenceRow {
        let adherence::Row { group, met, breached, open, at_risk, waived, .. } = row;
        AdherenceRow {
            group,
            met,
            breached,
            open,
            at_risk,
            waived,
            cannot_tell: row.cannot_tell,
            adherence: row.adherence,
            p50_seconds: row.p50_seconds,
            p90_seconds: row.p90_seconds,
        }
    }
}

/// Which part of history, and by what.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AdherenceParameters {
    /// From when on: an instant, or a date of the workspace's calendar; 30 days before `to` where it
    /// is absent.
    #[param(example = "2026-03-01")]
    pub(crate) from: Option<String>,
    /// Until when; now where it is absent.
    #[param(example = "2026-04-01")]
    pub(crate) to: Option<String>,
    /// `standard` (the default), `stage`, `segment`, `owner` or `month`.
    #[param(
        default = "standard",
        example = "owner",
        pattern = "^(standard|stage|segment|owner|month)?$"
    )]
    pub(crate) by: Option<String>,
}

/// Adherence
///
/// How well the standards are kept: what was met and broken in a part of history, how long it took,
/// and what is open, at risk, waived or cannot be told now.
#[utoipa::path(
    get,
    path = "/api/adherence",
    tag = "findings",
    params(AdherenceParameters),
    responses((status = 200, description = "One row for each of what it is told by.", body = Adherence), Errors)
)]
pub(crate) async fn adherence(
    State(app): State<Arc<App>>,
    Parameters(asked): Parameters<AdherenceParameters>,
) -> Result<Json<Adherence>, Problem> {
    let (lifecycle, now) = (app.store.lifecycle().await?, app.clock.now());
    let by = given(asked.by).unwrap_or_else(|| By::Standard.as_str().to_owned());
    let words = By::ALL.map(By::as_str);
    let by = By::parse(&by).ok_or_else(|| Problem::unknown("unknown_by", "by", &by, words))?;
    let ends = (asked.from.as_deref(), asked.to.as_deref());
    let span = Span::asked(ends, &lifecycle.calendar, DEFAULT_DAYS, now)?;
    let rows = read(&app.store, &lifecycle, by, span, now).await?;
    let rows = rows.into_iter().map(AdherenceRow::from).collect();
    Ok(Json(Adherence { from: span.from(), to: span.to(), at: now, by: by.as_str(), rows }))
}
