//! Customers in a list, by stage, band and segment.
//!
//! The stage is indexed; bands and segments are not stored, so they are told for each customer
//! that is read. A part of such a list ends when it is full, at the last customer, or when the
//! request has read its share: then it is short, and its cursor goes on from there.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::expr::Truth;
use domain::facts::Facts;
use domain::lifecycle::{self, Lifecycle, RiskModel, Segment};
use domain::pace::{HandoffPace, Pace, pace};
use domain::{score, stakes};
use jiff::Timestamp;
use platform::store::{CustomerFilter, CustomerKey};
use platform::{Store, Versioned};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::customer::{seen, segments, stage};
use crate::page::{List, PageParameters, PageRequest, Parameters, given};
use crate::problem::{Errors, Problem};

/// How many customers one request reads at most while it looks for those that are asked for.
const READ_BUDGET: usize = 10_000;
/// How many customers are read at a time at least, where some may not be asked for.
const MIN_READ: usize = 200;
const MAX_READ: usize = 1_000;

/// A customer in a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct CustomerSummary {
    /// The id as its sender gave it.
    id: String,
    /// The present stage; null before the first decision.
    #[schema(required, example = "onboarding")]
    stage: Option<String>,
    /// When the stage was entered.
    #[schema(required)]
    since: Option<Timestamp>,
    /// Whole days (of 24 hours) since then.
    #[schema(required)]
    days: Option<i64>,
    /// `on_track`, `behind` or `stuck`, by the stage's times; null where it has none.
    #[schema(required, example = "on_track")]
    pace: Option<&'static str>,
    /// The health as of now; null where the lifecycle file scores none.
    #[schema(required)]
    health: Option<HealthSummary>,
    /// The last assessment of churn risk; null before the first.
    #[schema(required)]
    risk: Option<RiskSummary>,
    /// The segments the customer is in as of now.
    segments: Vec<String>,
    /// How many findings are open.
    findings: usize,
    /// When the first event happened.
    #[schema(required)]
    first_seen: Option<Timestamp>,
    /// When the last event happened.
    #[schema(required)]
    last_seen: Option<Timestamp>,
    /// Goes up with every change.
    version: u64,
}

/// A health score.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct HealthSummary {
    /// 0 to 100.
    score: f64,
    /// The band of the lifecycle file.
    #[schema(example = "yellow")]
    band: String,
    /// The share of the weights whose factor was known, 0 to 1.
    coverage: f64,
}

/// The last assessment of churn risk.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RiskSummary {
    /// The probability of leaving, 0 to 1.
    probability: f64,
    /// The band of the lifecycle file.
    #[schema(example = "elevated")]
    band: String,
    /// The value that is lost when the customer leaves, by `risk.value`, times the probability; null
    /// where the lifecycle file has no `value` or it is not known.
    #[schema(required)]
    revenue_at_risk: Option<f64>,
}

impl CustomerSummary {
    /// A customer as of now.
    fn new(found: &Versioned, facts: &Facts<'_>) -> CustomerSummary {
        let stage = stage(facts);
        let (since, days) = (stage.as_ref().map(|at| at.since), stage.as_ref().map(|at| at.days));
        let pace = stage.as_ref().and_then(|at| at.pace);
        let status = &found.customer.status;
        let risk = status.risk.as_ref();
        let (first_seen, last_seen) = seen(found);
        CustomerSummary {
            id: found.key.id().to_owned(),
            stage: stage.map(|stage| stage.name),
            since,
            days,
            pace,
            health: score::health(facts).map(|health| HealthSummary {
                score: health.score,
                band: health.band,
                coverage: health.coverage,
            }),
            risk: risk.map(|risk| RiskSummary {
                probability: risk.probability,
                band: risk.band.clone(),
                revenue_at_risk: stakes::value(facts).map(|value| value * risk.probability),
            }),
            segments: segments(facts),
            findings: status.findings.len(),
            first_seen,
            last_seen,
            version: found.version,
        }
    }
}

/// Which customers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CustomersParameters {
    /// Only those in this stage of the lifecycle file, the longest there first.
    #[param(example = "onboarding")]
    stage: Option<String>,
    /// Only those in this band: of risk as last assessed or, where the risk model has no such
    /// band, of health as of now.
    #[param(example = "critical")]
    band: Option<String>,
    /// Only those in this segment of the lifecycle file, as of now.
    #[param(example = "paying")]
    segment: Option<String>,
    /// Only those at this pace in their stage, as of now: `on_track`, `behind` or `stuck`.
    #[param(example = "stuck")]
    pace: Option<String>,
    /// Only those whose handoff is `pending`, `overdue` or `acknowledged`.
    #[param(example = "overdue")]
    handoff: Option<String>,
}

/// Which customers, by a lifecycle file that has all of the names.
struct Selection<'a> {
    stage: Option<String>,
    band: Option<Band>,
    segment: Option<&'a Segment>,
    pace: Option<Pace>,
    handoff: Option<HandoffPace>,
}

#[derive(Debug, PartialEq, Eq)]
enum Band {
    Risk(String),
    Health(String),
}

impl<'a> Selection<'a> {
    fn new(asked: CustomersParameters, lifecycle: &'a Lifecycle) -> Result<Self, Problem> {
        let stage = given(asked.stage);
        if let Some(name) = &stage
            && lifecycle.stage(name).is_none()
        {
            let known = lifecycle.stages.iter().map(|stage| stage.name.as_str());
            return Err(Problem::unknown("unknown_stage", "stage", name, known));
        }
        let band = given(asked.band).map(|name| band(name, lifecycle)).transpose()?;
        let segment = given(asked.segment).map(|name| {
            let found = lifecycle.segments.iter().find(|segment| segment.name == name);
            found.ok_or_else(|| {
                let known = lifecycle.segments.iter().map(|segment| segment.name.as_str());
                Problem::unknown("unknown_segment", "segment", &name, known)
            })
        });
        let pace = given(asked.pace).map(|name| {
            let found = Pace::ALL.into_iter().find(|pace| pace.as_str() == name);
            found.ok_or_else(|| {
                let known = Pace::ALL.map(Pace::as_str);
                Problem::unknown("unknown_pace", "pace", &name, known)
            })
        });
        let handoff = given(asked.handoff).map(|name| {
            let found = HandoffPace::ALL.into_iter().find(|state| state.as_str() == name);
            found.ok_or_else(|| {
                let known = HandoffPace::ALL.map(HandoffPace::as_str);
                Problem::unknown("unknown_handoff", "state of a handoff", &name, known)
            })
        });
        Ok(Selection {
            stage,
            band,
            segment: segment.transpose()?,
            pace: pace.transpose()?,
            handoff: handoff.transpose()?,
        })
    }

    fn takes(&self, facts: &Facts<'_>) -> bool {
        let in_band = match &self.band {
            None => true,
            Some(Band::Risk(name)) => {
                facts.customer.status.risk.as_ref().is_some_and(|risk| risk.band == *name)
            }
            Some(Band::Health(name)) => {
                score::health(facts).is_some_and(|health| health.band == *name)
            }
        };
        let handed = |wanted| {
            let handoff = facts.customer.status.handoff.as_ref();
            handoff.is_some_and(|handoff| HandoffPace::of(handoff, facts.as_of) == wanted)
        };
        in_band
            && self.pace.is_none_or(|wanted| pace(facts) == Some(wanted))
            && self.handoff.is_none_or(handed)
            && self.segment.is_none_or(|segment| facts.answer(&segment.condition) == Truth::Yes)
    }

    /// How many customers to read for so many that are wanted.
    fn reads(&self, wanted: usize, budget: usize) -> usize {
        let is_sparse = self.band.is_some()
            || self.segment.is_some()
            || self.pace.is_some()
            || self.handoff.is_some();
        let asked = if is_sparse { wanted.max(MIN_READ) } else { wanted };
        asked.min(MAX_READ).min(budget)
    }

    /// The list that cursors belong to: its order is by stage or by key.
    fn list(&self) -> String {
        self.stage.as_ref().map_or_else(|| "customers".to_owned(), |stage| format!("in:{stage}"))
    }
}

fn band(name: String, lifecycle: &Lifecycle) -> Result<Band, Problem> {
    fn names(bands: &[lifecycle::Band]) -> impl Iterator<Item = &str> {
        bands.iter().map(|band| band.name.as_str())
    }
    let risk = lifecycle.risk.as_ref().map_or(&[][..], RiskModel::bands);
    let health = lifecycle.health.as_ref().map_or(&[][..], |card| &card.bands);
    if names(risk).any(|known| known == name) {
        Ok(Band::Risk(name))
    } else if names(health).any(|known| known == name) {
        Ok(Band::Health(name))
    } else {
        Err(Problem::unknown("unknown_band", "band", &name, names(risk).chain(names(health))))
    }
}

/// Customers
///
/// Every customer, or those in a stage, a band or a segment, at a pace, or to be taken over.
#[utoipa::path(
    get,
    path = "/api/customers",
    tag = "customers",
    params(CustomersParameters, PageParameters),
    responses((status = 200, description = "Customers.", body = List<CustomerSummary>), Errors)
)]
pub(crate) async fn customers(
    State(app): State<Arc<App>>,
    Parameters(asked): Parameters<CustomersParameters>,
    page: PageRequest,
) -> Result<Json<List<CustomerSummary>>, Problem> {
    let lifecycle = app.store.lifecycle().await?;
    let selection = Selection::new(asked, &lifecycle)?;
    let list = selection.list();
    let mut cursor = page.start(&list)?;
    let mut search = Search {
        store: &app.store,
        parents: app.store.parents(&lifecycle).await?,
        lifecycle: &lifecycle,
        selection,
        now: app.clock.now(),
        read: 0,
    };
    let limit = usize::from(page.limit);
    let mut items = Vec::new();
    loop {
        let (found, next) = search.part(limit - items.len(), cursor.as_deref()).await?;
        items.extend(found);
        cursor = next;
        if items.len() == limit || cursor.is_none() || search.read >= READ_BUDGET {
            return Ok(Json(List::new(&list, items, cursor)));
        }
    }
}

/// Reads customers and keeps those that are asked for.
struct Search<'a> {
    store: &'a Store,
    /// Who may have accounts below it that count.
    parents: BTreeSet<CustomerKey>,
    lifecycle: &'a Lifecycle,
    selection: Selection<'a>,
    now: Timestamp,
    /// How many customers were read so far.
    read: usize,
}

impl Search<'_> {
    /// At most `wanted` customers from `cursor` on, and where to go on. A page that has more of
    /// them than are wanted is read again up to the last one wanted, so that its cursor is there.
    async fn part(
        &mut self,
        wanted: usize,
        cursor: Option<&str>,
    ) -> Result<(Vec<CustomerSummary>, Option<String>), Problem> {
        let filter = CustomerFilter { stage: self.selection.stage.clone() };
        let mut size = self.selection.reads(wanted, READ_BUDGET.saturating_sub(self.read).max(1));
        loop {
            let limit = i32::try_from(size).unwrap_or(i32::MAX);
            let mut page = self.store.customers(&filter, limit, cursor).await?;
            self.read += size;
            for customer in &mut page.items {
                if self.parents.contains(&customer.key) {
                    *customer = self.store.with_below(customer.clone(), self.lifecycle).await?;
                }
            }
            let mut found: Vec<(usize, CustomerSummary)> = Vec::new();
            for (at, customer) in page.items.iter().enumerate() {
                let facts = Facts::new(&customer.customer, self.lifecycle, self.now);
                if self.selection.takes(&facts) {
                    found.push((at, CustomerSummary::new(customer, &facts)));
                }
            }
            match found.get(wanted) {
                None => {
                    let found = found.into_iter().map(|(_, summary)| summary).collect();
                    return Ok((found, page.next_cursor));
                }
                Some(_) => size = found[wanted - 1].0 + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::lifecycle::load;
    use domain::lifecycle::presets::PRESETS;

    use super::*;

    fn asked(stage: &str, band: &str, segment: &str) -> CustomersParameters {
        let some = |text: &str| Some(text.to_owned());
        CustomersParameters {
            stage: some(stage),
            band: some(band),
            segment: some(segment),
            pace: None,
            handoff: None,
        }
    }

    #[test]
    fn a_name_the_file_does_not_have_is_refused() {
        let lifecycle = load(PRESETS[0].source).unwrap();
        assert!(Selection::new(asked("churned", "green", "paying"), &lifecycle).is_ok());
        assert!(Selection::new(asked("", "", ""), &lifecycle).is_ok());
        assert!(Selection::new(asked("Churned", "", ""), &lifecycle).is_err());
        assert!(Selection::new(asked("", "greeen", ""), &lifecycle).is_err());
        assert!(Selection::new(asked("", "", "payin"), &lifecycle).is_err());
    }

    #[test]
    fn a_band_is_of_risk_first() {
        let lifecycle = load(PRESETS[0].source).unwrap();
        assert_eq!(band("critical".into(), &lifecycle).unwrap(), Band::Risk("critical".into()));
        assert_eq!(band("green".into(), &lifecycle).unwrap(), Band::Health("green".into()));
    }

    #[test]
    fn a_sparse_list_reads_more_than_is_wanted_and_never_beyond_its_budget() {
        let lifecycle = load(PRESETS[0].source).unwrap();
        let all = Selection::new(asked("", "", ""), &lifecycle).unwrap();
        assert_eq!(all.reads(1, READ_BUDGET), 1);
        let sparse = Selection::new(asked("", "green", ""), &lifecycle).unwrap();
        assert_eq!(sparse.reads(1, READ_BUDGET), MIN_READ);
        assert_eq!(sparse.reads(1_000, READ_BUDGET), 1_000);
        assert_eq!(sparse.reads(1_000, 7), 7);
    }
}
