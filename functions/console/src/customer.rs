//! One customer: what is known, as of now, and what was decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use domain::customer::OpenFinding;
use domain::facts::Facts;
use domain::journal::number_json;
use domain::lifecycle::Lifecycle;
use domain::pace::{HandoffPace, pace};
use domain::{checkpoint, decide, rise, score, stakes};
use jiff::Timestamp;
use platform::store::finding_id;
use platform::{Store, Versioned};
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::findings::Acknowledged;
use crate::gateway::LiteralId;
use crate::problem::{CustomerErrors, Errors, Problem};
use crate::reason::{Reason, reasons};
use crate::tasks::{Task, open_of};

const DAY_SECONDS: i64 = 86_400;

/// A customer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Customer {
    /// The id as its sender gave it.
    pub(crate) id: String,
    /// The present stage; null before the first decision.
    #[schema(required)]
    pub(crate) stage: Option<Stage>,
    /// The stage before it.
    #[schema(required)]
    pub(crate) previous_stage: Option<String>,
    /// The person who chose the stage, while automation keeps away; else null.
    #[schema(required)]
    pub(crate) hold: Option<Hold>,
    /// The move that automation would make, were the customer not held; else null.
    #[schema(required)]
    pub(crate) proposed: Option<Proposed>,
    /// The health as of now; null where the lifecycle file scores none.
    #[schema(required)]
    pub(crate) health: Option<Health>,
    /// The last assessment of churn risk; null before the first.
    #[schema(required)]
    pub(crate) risk: Option<Risk>,
    /// The segments the customer is in as of now.
    pub(crate) segments: Vec<String>,
    /// What is known of the customer.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub(crate) traits: Named,
    /// Every metric of the lifecycle file, in its order, as of now; null is missing.
    #[schema(value_type = BTreeMap<String, Option<f64>>)]
    pub(crate) metrics: Named,
    /// Findings that are open.
    pub(crate) findings: Vec<CustomerFinding>,
    /// Tasks that are open.
    pub(crate) tasks: Vec<Task>,
    /// When the first event happened.
    #[schema(required)]
    pub(crate) first_seen: Option<Timestamp>,
    /// When the last event happened.
    #[schema(required)]
    pub(crate) last_seen: Option<Timestamp>,
    /// Goes up with every change.
    pub(crate) version: u64,
}

/// The present stage of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Stage {
    /// Its name in the lifecycle file.
    #[schema(example = "onboarding")]
    pub(crate) name: String,
    /// When it was entered.
    pub(crate) since: Timestamp,
    /// Whole days (of 24 hours) since then.
    pub(crate) days: i64,
    /// `on_track`, `behind` or `stuck`, by the stage's times; null where it has none.
    #[schema(required, example = "on_track")]
    pub(crate) pace: Option<&'static str>,
    /// Who takes the customer over; null where nobody has to.
    #[schema(required)]
    pub(crate) handoff: Option<Handoff>,
    /// The stage's milestones, in the order of the lifecycle file.
    pub(crate) checkpoints: Vec<Checkpoint>,
}

/// Who takes a customer over with its stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Handoff {
    /// A trait, a team or an address.
    pub(crate) to: String,
    /// `pending`, `overdue` or `acknowledged`.
    #[schema(example = "pending")]
    pub(crate) state: &'static str,
    /// Since when.
    pub(crate) since: Timestamp,
    /// By when it is to be acknowledged.
    #[schema(required)]
    pub(crate) due: Option<Timestamp>,
    /// Who acknowledged it.
    #[schema(required)]
    pub(crate) acknowledged_by: Option<String>,
    /// When.
    #[schema(required)]
    pub(crate) acknowledged_at: Option<Timestamp>,
}

/// A milestone of the present stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Checkpoint {
    /// Its name in the lifecycle file.
    pub(crate) name: String,
    /// Whether it was reached in this visit.
    pub(crate) done: bool,
    /// When it was reached.
    #[schema(required)]
    pub(crate) at: Option<Timestamp>,
    /// By when it should be.
    #[schema(required)]
    pub(crate) due: Option<Timestamp>,
    /// Whether it was not reached by then.
    pub(crate) late: bool,
}

/// A stage that a person chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Hold {
    /// Who.
    pub(crate) author: String,
    /// Why.
    pub(crate) reason: String,
    /// Since when.
    pub(crate) since: Timestamp,
    /// When automation takes over again; null for not by itself.
    #[schema(required)]
    pub(crate) until: Option<Timestamp>,
}

/// A move that automation would make.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Proposed {
    /// The stage.
    pub(crate) to: String,
    /// The rule of the lifecycle file.
    pub(crate) rule: String,
    /// Why.
    pub(crate) reasons: Vec<Reason>,
}

/// A health score, and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Health {
    /// 0 to 100.
    pub(crate) score: f64,
    /// The band of the lifecycle file.
    #[schema(example = "yellow")]
    pub(crate) band: String,
    /// The share of the weights whose factor was known, 0 to 1.
    pub(crate) coverage: f64,
    /// What it is made of.
    pub(crate) factors: Vec<HealthFactor>,
}

/// What one factor earned.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct HealthFactor {
    /// The factor's name.
    pub(crate) name: String,
    /// The number that was weighed; null when it is missing.
    #[schema(required)]
    pub(crate) value: Option<f64>,
    /// Points of 100 it could earn.
    pub(crate) weight: f64,
    /// Points it earned.
    pub(crate) points: f64,
    /// The expression behind the number.
    pub(crate) expression: String,
}

/// An assessment of churn risk.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Risk {
    /// The probability of leaving, 0 to 1.
    pub(crate) probability: f64,
    /// The band of the lifecycle file.
    #[schema(example = "elevated")]
    pub(crate) band: String,
    /// Since when the band has been this one.
    pub(crate) band_since: Timestamp,
    /// The instant the assessment is of.
    pub(crate) at: Timestamp,
    /// The value that is lost when the customer leaves, by `risk.value`, times the probability; null
    /// where the lifecycle file has no `value` or it is not known.
    #[schema(required)]
    pub(crate) revenue_at_risk: Option<f64>,
    /// By how much the probability is above the lowest of the last 7 days; null where the lifecycle
    /// file has no `risk.drop_alert`.
    #[schema(required)]
    rise_7d: Option<f64>,
    /// What raised it, the strongest first; `value` is the share of the probability.
    pub(crate) reasons: Vec<Reason>,
}

/// An open breach of a standard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CustomerFinding {
    /// The same breach has the same id.
    pub(crate) id: String,
    /// The standard's name in the lifecycle file.
    pub(crate) standard: String,
    /// `low`, `medium`, `high` or `critical`; null when the standard is no longer declared.
    #[schema(required)]
    pub(crate) severity: Option<&'static str>,
    /// Who mends it; null when the standard is no longer declared.
    #[schema(required)]
    pub(crate) owner: Option<String>,
    /// When it was found.
    pub(crate) opened_at: Timestamp,
    /// `open` or `acknowledged`.
    #[schema(example = "open")]
    pub(crate) state: &'static str,
    /// What makes this breach a different one from the next: the visit or the deadline.
    pub(crate) key: String,
    /// Who saw it; null before anybody said so.
    #[schema(required)]
    pub(crate) acknowledged: Option<Acknowledged>,
    /// How often it was opened again after it was mended or waived.
    pub(crate) reopened: u32,
}

/// Values by name, in the order of the lifecycle file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named(pub(crate) Vec<(String, Value)>);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Which customer.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CustomerId {
    /// The customer's id, percent-encoded. Where customers are accounts, the id of a user answers
    /// the user's account.
    pub(crate) id: String,
    #[param(ignore)]
    pub(crate) literal: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for CustomerId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<CustomerId, Problem> {
        let wrong =
            || Problem::bad("invalid_id", "the id in the path is not percent-encoded UTF-8");
        let path = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let Path(mut named) = path.map_err(|_| wrong())?;
        let id = named.remove("id").ok_or_else(wrong)?;
        let literal = parts.extensions.get::<LiteralId>().map(|LiteralId(id)| id.clone());
        Ok(CustomerId { id, literal })
    }
}

impl CustomerId {
    /// The customer, or the account of the user, with this id.
    pub(crate) async fn find(&self, store: &Store) -> Result<Versioned, Problem> {
        let subject = store.lifecycle().await?.subject;
        for id in [Some(&self.id), self.literal.as_ref()].into_iter().flatten() {
            if let Some(found) = store.find_customer(id, subject).await? {
                return Ok(found);
            }
        }
        Err(Problem::no_customer())
    }
}

impl Customer {
    /// A customer as of now.
    pub(crate) fn new(found: &Versioned, lifecycle: &Lifecycle, now: Timestamp) -> Customer {
        let status = &found.customer.status;
        let facts = Facts::new(&found.customer, lifecycle, now);
        let (first_seen, last_seen) = seen(found);
        Customer {
            id: found.key.id().to_owned(),
            stage: stage(&facts),
            previous_stage: status.previous_stage.clone(),
            hold: status.held(now).map(|hold| Hold {
                author: hold.author.clone(),
                reason: hold.reason.clone(),
                since: hold.since,
                until: hold.until,
            }),
            proposed: proposed(&facts),
            health: score::health(&facts).map(Health::from),
            risk: risk(&facts),
            segments: segments(&facts),
            traits: traits(&facts),
            metrics: metrics(&facts),
            findings: status.findings.iter().map(|open| finding(found, open, &facts)).collect(),
            tasks: open_of(found, lifecycle, now),
            first_seen,
            last_seen,
            version: found.version,
        }
    }
}

impl From<score::Health> for Health {
    fn from(health: score::Health) -> Health {
        let factor = |factor: score::FactorScore| HealthFactor {
            name: factor.name,
            value: factor.value,
            weight: factor.weight,
            points: factor.points,
            expression: factor.expression,
        };
        Health {
            score: health.score,
            band: health.band,
            coverage: health.coverage,
            factors: health.factors.into_iter().map(factor).collect(),
        }
    }
}

/// The present stage of a customer.
pub(crate) fn stage(facts: &Facts<'_>) -> Option<Stage> {
    let (status, now) = (&facts.customer.status, facts.as_of);
    let stage = status.stage.as_ref()?;
    let days = (now.as_second() - stage.since.as_second()).div_euclid(DAY_SECONDS);
    let handoff = status.handoff.as_ref().map(|handoff| Handoff {
        to: handoff.to.clone(),
        state: HandoffPace::of(handoff, now).as_str(),
        since: handoff.since,
        due: handoff.due,
        acknowledged_by: handoff.acknowledged.as_ref().map(|by| by.author.clone()),
        acknowledged_at: handoff.acknowledged.as_ref().map(|by| by.at),
    });
    let checkpoints = checkpoint::progress(facts).into_iter().map(|progress| Checkpoint {
        name: progress.name.to_owned(),
        done: progress.reached.is_some(),
        at: progress.reached,
        due: progress.due,
        late: progress.is_late(now),
    });
    Some(Stage {
        name: stage.name.clone(),
        since: stage.since,
        days,
        pace: pace(facts).map(|pace| pace.as_str()),
        handoff,
        checkpoints: checkpoints.collect(),
    })
}

/// What automation would do with a customer that a person holds.
fn proposed(facts: &Facts<'_>) -> Option<Proposed> {
    facts.customer.status.held(facts.as_of)?;
    let change = decide::step(facts.customer, facts.lifecycle, facts.as_of).proposed?;
    let (rule, reasons) = (change.rule, reasons(change.reasons));
    Some(Proposed { to: change.to?, rule, reasons })
}

/// The segments that are known to hold.
pub(crate) fn segments(facts: &Facts<'_>) -> Vec<String> {
    let segments = facts.lifecycle.segments.iter();
    let holding =
        segments.filter(|segment| facts.answer(&segment.condition) == domain::expr::Truth::Yes);
    holding.map(|segment| segment.name.clone()).collect()
}

/// When the first and the last event happened.
pub(crate) fn seen(found: &Versioned) -> (Option<Timestamp>, Option<Timestamp>) {
    let profile = &found.customer.profile;
    if profile.first_seen == 0 && profile.last_seen == 0 {
        return (None, None);
    }
    let instant = |at| Timestamp::from_millisecond(at).ok();
    (instant(profile.first_seen), instant(profile.last_seen))
}

/// The stored assessment. Its reasons are those of its own instant, by the present lifecycle file.
fn risk(facts: &Facts<'_>) -> Option<Risk> {
    let risk = facts.customer.status.risk.as_ref()?;
    let reassessed = score::risk(&facts.at(risk.at));
    Some(Risk {
        probability: risk.probability,
        band: risk.band.clone(),
        band_since: risk.band_since,
        at: risk.at,
        revenue_at_risk: stakes::value(facts).map(|value| value * risk.probability),
        rise_7d: rise::within_week(
            &facts.customer.status,
            facts.lifecycle,
            risk.probability,
            facts.as_of,
        ),
        reasons: reassessed.map(|risk| reasons(risk.reasons)).unwrap_or_default(),
    })
}

fn traits(facts: &Facts<'_>) -> Named {
    let told = &facts.customer.profile.traits;
    let declared = facts.lifecycle.traits.iter();
    let known = declared.filter_map(|declared| {
        Some((declared.name.clone(), told.get(&declared.name)?.value.to_json()))
    });
    Named(known.collect())
}

fn metrics(facts: &Facts<'_>) -> Named {
    let metrics = facts.lifecycle.metrics.iter().enumerate();
    let told = metrics.map(|(index, metric)| {
        (metric.name.clone(), facts.metric(index).map_or(Value::Null, number_json))
    });
    Named(told.collect())
}

fn finding(found: &Versioned, open: &OpenFinding, facts: &Facts<'_>) -> CustomerFinding {
    let standard = facts.rules().standard(&open.standard);
    let tended = facts.customer.status.tended.get(&open.standard);
    let seen = tended.and_then(|tended| tended.acknowledged.as_ref());
    CustomerFinding {
        id: finding_id(found, &open.standard, &open.key),
        standard: open.standard.clone(),
        severity: standard.map(|standard| standard.severity.as_str()),
        owner: standard.map(|standard| standard.owner.clone()),
        opened_at: open.opened_at,
        state: if seen.is_some() { "acknowledged" } else { "open" },
        key: open.key.clone(),
        acknowledged: seen.cloned().map(Acknowledged::from),
        reopened: tended.map_or(0, |tended| tended.reopened),
    }
}

/// A customer
///
/// What is known of the customer as of now, and what was decided.
#[utoipa::path(
    get,
    path = "/api/customers/{id}",
    tag = "customers",
    params(CustomerId),
    responses((status = 200, description = "The customer.", body = Customer), Errors, CustomerErrors)
)]
pub(crate) async fn customer(
    State(app): State<Arc<App>>,
    id: CustomerId,
) -> Result<Json<Customer>, Problem> {
    let found = id.find(&app.store).await?;
    let lifecycle = app.store.lifecycle().await?;
    let found = app.store.with_below(found, &lifecycle).await?;
    Ok(Json(Customer::new(&found, &lifecycle, app.clock.now())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_order_of_the_file() {
        let named = Named(vec![("b".into(), 1.into()), ("a".into(), Value::Null)]);
        assert_eq!(serde_json::to_string(&named).unwrap(), r#"{"b":1,"a":null}"#);
    }
}
