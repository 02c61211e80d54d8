//! What alarms were worth: how precise, how early, how many saved.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::outcome::{Lead, Row, Share};
use jiff::{SignedDuration, Timestamp};
use platform::adherence::Span;
use platform::outcomes::{DEFAULT_DAYS, read};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::page::{Parameters, given};
use crate::problem::{Errors, Problem};

/// How many days an alarm looks ahead where nothing is said, and at most.
const DEFAULT_HORIZON: u16 = 60;
const MAX_HORIZON: u16 = 365;

/// What the alarms of a part of history were worth.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Outcomes {
    /// From when on alarms count.
    pub from: Timestamp,
    /// Until when; what came later is not known to the answer.
    pub to: Timestamp,
    /// How many days an alarm looks ahead.
    pub horizon_days: u16,
    /// One row for each stage of customers who are about to leave, standard and risk band.
    pub rows: Vec<OutcomeRow>,
}

impl Outcomes {
    /// As it is told.
    #[must_use]
    pub fn new(span: Span, horizon_days: u16, rows: &[Row]) -> Outcomes {
        let rows = rows.iter().map(OutcomeRow::from).collect();
        Outcomes { from: span.from(), to: span.to(), horizon_days, rows }
    }
}

/// What came of one group of alarms.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OutcomeRow {
    /// What raises them: `rule` (a stage), `standard` or `band` (of risk).
    #[schema(example = "standard")]
    pub source: &'static str,
    /// The stage, standard or band.
    pub name: String,
    /// How many there were.
    pub alarms: u64,
    /// Of these, how many have a horizon that is not over.
    pub censored: u64,
    /// Of the others, how many were gone within it.
    pub churned: u64,
    /// Of the others, how many alarms ended within it, the customer not gone.
    pub saved: u64,
    /// The share of those whose horizon is over that were gone; null where there is none.
    #[schema(required)]
    pub churn: Option<OutcomeShare>,
    /// How long before it the alarm came, of those who were gone.
    #[schema(required)]
    pub lead: Option<OutcomeLead>,
    /// How many findings were said to be useful.
    pub useful: u64,
    /// How many were right, and known before.
    pub known: u64,
    /// How many were wrong.
    pub r#false: u64,
    /// The useful ones of those that were useful or wrong.
    #[schema(required)]
    pub precision: Option<OutcomeShare>,
}

/// A share, and the interval (Wilson's) in which it lies with 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct OutcomeShare {
    /// The share, from 0 to 1.
    pub share: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// From an alarm to the customer's leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutcomeLead {
    /// A quarter were gone at most so soon, in seconds.
    pub p25_seconds: i64,
    /// Half of them were.
    pub p50_seconds: i64,
    /// Three quarters.
    pub p75_seconds: i64,
}

impl From<&Row> for OutcomeRow {
    fn from(row: &Row) -> OutcomeRow {
        let share = |Share { share, low, high }| OutcomeShare { share, low, high };
        let lead = |Lead { p25_seconds, p50_seconds, p75_seconds }| OutcomeLead {
            p25_seconds,
            p50_seconds,
            p75_seconds,
        };
        OutcomeRow {
            source: row.source.as_str(),
            name: row.name.clone(),
            alarms: row.alarms,
            censored: row.censored,
            churned: row.churned,
            saved: row.saved,
            churn: row.churn.map(share),
            lead: row.lead.map(lead),
            useful: row.useful,
            known: row.known,
            r#false: row.r#false,
            precision: row.precision.map(share),
        }
    }
}

/// Which part of history, and how far an alarm looks ahead.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OutcomesParameters {
    /// From when on: an instant, or a date of the workspace's calendar; 180 days before `to` where it
    /// is absent.
    #[param(example = "2026-01-01")]
    from: Option<String>,
    /// Until when; now where it is absent or in the future.
    #[param(example = "2026-07-01")]
    to: Option<String>,
    /// How many days an alarm looks ahead.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 365, default = 60)]
    horizon: Option<String>,
}

/// Outcomes
///
/// What alarms were worth: of each stage of customers who are about to leave, standard and risk band how
/// many were gone within the horizon and how long the alarm came before, how many came back, and what
/// people said of findings. Alarms whose horizon is not over are counted apart.
#[utoipa::path(
    get,
    path = "/api/outcomes",
    tag = "findings",
    params(OutcomesParameters),
    responses((status = 200, description = "One row for each group of alarms.", body = Outcomes), Errors)
)]
pub(crate) async fn outcomes(
    State(app): State<Arc<App>>,
    Parameters(asked): Parameters<OutcomesParameters>,
) -> Result<Json<Outcomes>, Problem> {
    let (lifecycle, now) = (app.store.lifecycle().await?, app.clock.now());
    let horizon = match given(asked.horizon) {
        None => DEFAULT_HORIZON,
        Some(text) => {
            let days = text.parse().ok().filter(|days| (1..=MAX_HORIZON).contains(days));
            days.ok_or_else(|| {
                let detail = format!("`horizon` must be a whole number from 1 to {MAX_HORIZON}");
                Problem::bad("invalid_horizon", detail)
            })?
        }
    };
    let ends = (asked.from.as_deref(), asked.to.as_deref());
    let span = Span::asked(ends, &lifecycle.calendar, DEFAULT_DAYS, now)?.until(now)?;
    let ahead = SignedDuration::from_hours(24 * i64::from(horizon));
    let rows = read(&app.store, &lifecycle, span, ahead).await?;
    Ok(Json(Outcomes::new(span, horizon, &rows)))
}
