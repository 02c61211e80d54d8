//! Customers in a list, by stage, band and segment.
//!
//! The stage is indexed; bands and segments are not stored, so they are told for each customer
//! that is read. A part of such a list ends when it is full, at the last customer, or when the
//! request has read its share: then it is short, and its cursor goes on from there.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::expr::Truth;
use domain::facts::Facts;
use domain::lifecycle::{self, Lifecycle, RiskModel, Segment};
use domain::pace::{HandoffPace, Pace, pace};
use domain::{overview, score, stakes, task};
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
const RANKED: &str = "ranked";
const OPEN: [&str; 2] = ["overdue", "finding"];
/// The code of the problem that more customers would have to be put in order than one request reads.
pub(crate) const TOO_MANY_TO_SORT: &str = "too_many_to_sort";

/// A customer in a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct CustomerSummary {
    /// The id as its sender gave it.
    pub(crate) id: String,
    /// The present stage; null before the first decision.
    #[schema(required, example = "onboarding")]
    pub(crate) stage: Option<String>,
    /// When the stage was entered.
    #[schema(required)]
    pub(crate) since: Option<Timestamp>,
    /// Whole days (of 24 hours) since then.
    #[schema(required)]
    pub(crate) days: Option<i64>,
    /// `on_track`, `behind` or `stuck`, by the stage's times; null where it has none.
    #[schema(required, example = "on_track")]
    pub(crate) pace: Option<&'static str>,
    /// The health as of now; null where the lifecycle file scores none.
    #[schema(required)]
    pub(crate) health: Option<HealthSummary>,
    /// The last assessment of churn risk; null before the first.
    #[schema(required)]
    pub(crate) risk: Option<RiskSummary>,
    /// The customer's name, where the trait `name` tells it.
    #[schema(required, example = "Acme")]
    pub(crate) name: Option<String>,
    /// Who looks after the customer in its stage; null where the lifecycle file does not say.
    #[schema(required, example = "kim@example.com")]
    pub(crate) owner: Option<String>,
    /// The segments the customer is in as of now.
    pub(crate) segments: Vec<String>,
    /// How many findings are open.
    pub(crate) findings: usize,
    /// How many tasks are overdue.
    pub(crate) tasks_overdue: usize,
    /// Whether the customer has left: it is in a stage that the lifecycle file calls lost.
    pub(crate) lost: bool,
    /// When the first event happened.
    #[schema(required)]
    pub(crate) first_seen: Option<Timestamp>,
    /// When the last event happened.
    #[schema(required)]
    pub(crate) last_seen: Option<Timestamp>,
    /// Goes up with every change.
    pub(crate) version: u64,
}

/// A health score.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct HealthSummary {
    /// 0 to 100.
    pub(crate) score: f64,
    /// The band of the lifecycle file.
    #[schema(example = "yellow")]
    pub(crate) band: String,
    /// The share of the weights whose factor was known, 0 to 1.
    pub(crate) coverage: f64,
}

/// The last assessment of churn risk.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RiskSummary {
    /// The probability of leaving, 0 to 1.
    pub(crate) probability: f64,
    /// The band of the lifecycle file.
    #[schema(example = "elevated")]
    pub(crate) band: String,
    /// The value that is lost when the customer leaves, by `risk.value`, times the probability; null
    /// where the lifecycle file has no `value` or it is not known.
    #[schema(required)]
    pub(crate) revenue_at_risk: Option<f64>,
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
            name: overview::name(facts),
            owner: owner(facts),
            segments: segments(facts),
            findings: status.findings.len(),
            tasks_overdue: overdue(facts),
            lost: is_lost(facts),
            first_seen,
            last_seen,
            version: found.version,
        }
    }
}

/// Who looks after a customer in its stage.
fn owner(facts: &Facts<'_>) -> Option<String> {
    let stage = facts.customer.status.stage.as_ref()?;
    let owner = facts.rules().stage(&stage.name)?.owner.as_ref()?;
    Some(task::owner_name(owner, facts))
}

fn is_lost(facts: &Facts<'_>) -> bool {
    let stage = facts.customer.status.stage.as_ref();
    let stage = stage.and_then(|stage| facts.lifecycle.stage(&stage.name));
    stage.is_some_and(|stage| stage.is_lost)
}

fn overdue(facts: &Facts<'_>) -> usize {
    let open = facts.customer.status.tasks.open.iter();
    open.filter(|task| task.state(facts.as_of) == task::State::Overdue).count()
}

/// Which customers.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CustomersParameters {
    /// Only those in this stage of the lifecycle file, the longest there first.
    #[param(example = "onboarding")]
    pub(crate) stage: Option<String>,
    /// Only those in this band: of risk as last assessed or, where the risk model has no such
    /// band, of health as of now.
    #[param(example = "critical")]
    pub(crate) band: Option<String>,
    /// Only those in this segment of the lifecycle file, as of now.
    #[param(example = "paying")]
    pub(crate) segment: Option<String>,
    /// Only those at this pace in their stage, as of now: `on_track`, `behind` or `stuck`.
    #[param(example = "stuck")]
    pub(crate) pace: Option<String>,
    /// Only those whose handoff is `pending`, `overdue` or `acknowledged`.
    #[param(example = "overdue")]
    pub(crate) handoff: Option<String>,
    /// Only those whose id or name has this text, in capitals or not.
    #[param(example = "acme")]
    pub(crate) q: Option<String>,
    /// Only those whom this person looks after in their stage, or has a task with.
    #[param(example = "kim@example.com")]
    pub(crate) owner: Option<String>,
    /// Only those with a task that is `overdue`, or with an open `finding`.
    #[param(example = "overdue", pattern = "^(overdue|finding)?$")]
    pub(crate) open: Option<String>,
    /// Only those with whom at least so much revenue is at risk, in the workspace's currency.
    #[param(value_type = Option<f64>, minimum = 0, example = 1000)]
    pub(crate) at_risk: Option<String>,
    /// By `risk`, `revenue_at_risk`, `health`, `days`, `last_seen` or `name`; the most urgent first, or
    /// with a `-` before it last. For an order the customers that are asked for are read, at most 10,000
    /// of all of them: beyond that, narrow it by `stage`.
    #[param(
        example = "revenue_at_risk",
        pattern = "^-?(risk|revenue_at_risk|health|days|last_seen|name)?$"
    )]
    pub(crate) sort: Option<String>,
}

/// What customers are put in the order of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Risk,
    AtRisk,
    Health,
    Days,
    LastSeen,
    Name,
}

impl Sort {
    const ALL: [(Sort, &str); 6] = [
        (Sort::Risk, "risk"),
        (Sort::AtRisk, "revenue_at_risk"),
        (Sort::Health, "health"),
        (Sort::Days, "days"),
        (Sort::LastSeen, "last_seen"),
        (Sort::Name, "name"),
    ];

    /// The more urgent of two comes first; who has no such value comes last, whichever way.
    fn compare(self, a: &CustomerSummary, b: &CustomerSummary, is_turned: bool) -> Ordering {
        let key = |one: &CustomerSummary| -> Option<f64> {
            match self {
                // Nothing is at risk any more with those who have left.
                Sort::Risk | Sort::AtRisk if one.lost => None,
                Sort::Risk => one.risk.as_ref().map(|risk| -risk.probability),
                Sort::AtRisk => one.risk.as_ref()?.revenue_at_risk.map(|amount| -amount),
                Sort::Health => one.health.as_ref().map(|health| health.score),
                Sort::Days => one.days.map(|days| -(days as f64)),
                Sort::LastSeen => one.last_seen.map(|at| at.as_second() as f64),
                Sort::Name => None,
            }
        };
        let turned = |order: Ordering| if is_turned { order.reverse() } else { order };
        let name = |one: &CustomerSummary| one.name.as_ref().unwrap_or(&one.id).to_lowercase();
        let order = match (key(a), key(b)) {
            (Some(a), Some(b)) => turned(a.total_cmp(&b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) if self == Sort::Name => turned(name(a).cmp(&name(b))),
            (None, None) => Ordering::Equal,
        };
        order.then_with(|| a.id.cmp(&b.id))
    }
}

/// Which customers, by a lifecycle file that has all of the names.
struct Selection<'a> {
    stage: Option<String>,
    band: Option<Band>,
    segment: Option<&'a Segment>,
    pace: Option<Pace>,
    handoff: Option<HandoffPace>,
    text: Option<String>,
    owner: Option<String>,
    open: Option<Open>,
    at_risk: Option<f64>,
    sort: Option<(Sort, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Overdue,
    Finding,
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
        let open = given(asked.open).map(|word| match word.as_str() {
            "overdue" => Ok(Open::Overdue),
            "finding" => Ok(Open::Finding),
            _ => Err(Problem::unknown("unknown_open", "kind of open thing", &word, OPEN)),
        });
        let sort = given(asked.sort).map(|word| {
            let (name, is_turned) =
                word.strip_prefix('-').map_or((word.as_str(), false), |name| (name, true));
            let found = Sort::ALL.into_iter().find(|(_, known)| *known == name);
            found.map(|(sort, _)| (sort, is_turned)).ok_or_else(|| {
                let known = Sort::ALL.map(|(_, name)| name);
                Problem::unknown("unknown_sort", "order", name, known)
            })
        });
        let at_risk = asked.at_risk.map(|text| {
            let amount =
                text.parse().ok().filter(|amount: &f64| amount.is_finite() && *amount >= 0.0);
            amount.ok_or_else(|| {
                Problem::bad("invalid_at_risk", "`at_risk` must be a number from 0 on, as 1000")
            })
        });
        Ok(Selection {
            at_risk: at_risk.transpose()?,
            text: given(asked.q).map(|text| text.trim().to_lowercase()),
            owner: given(asked.owner),
            open: open.transpose()?,
            sort: sort.transpose()?,
            stage,
            band,
            segment: segment.transpose()?,
            pace: pace.transpose()?,
            handoff: handoff.transpose()?,
        })
    }

    fn takes(&self, id: &str, facts: &Facts<'_>) -> bool {
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
        let status = &facts.customer.status;
        let of_owner = |wanted: &String| {
            let open = status.tasks.open.iter();
            let mut owners =
                open.map(|task| task::owner_name(&task.owner, facts)).chain(owner(facts));
            owners.any(|owner| owner == *wanted)
        };
        let is_open = |wanted| match wanted {
            Open::Overdue => overdue(facts) > 0,
            Open::Finding => !status.findings.is_empty(),
        };
        let has_text = |text: &String| {
            let name = overview::name(facts).unwrap_or_default();
            id.to_lowercase().contains(text) || name.to_lowercase().contains(text)
        };
        let has_at_risk = |least: f64| {
            let risk = status.risk.as_ref().map(|risk| risk.probability);
            let at_risk = stakes::value(facts).zip(risk).map(|(value, risk)| value * risk);
            !is_lost(facts) && at_risk.is_some_and(|at_risk| at_risk >= least)
        };
        in_band
            && self.at_risk.is_none_or(has_at_risk)
            && self.text.as_ref().is_none_or(has_text)
            && self.owner.as_ref().is_none_or(of_owner)
            && self.open.is_none_or(is_open)
            && self.pace.is_none_or(|wanted| pace(facts) == Some(wanted))
            && self.handoff.is_none_or(handed)
            && self.segment.is_none_or(|segment| facts.answer(&segment.condition) == Truth::Yes)
    }

    /// How many customers to read for so many that are wanted.
    fn reads(&self, wanted: usize, budget: usize) -> usize {
        let is_sparse = self.band.is_some()
            || self.segment.is_some()
            || self.pace.is_some()
            || self.handoff.is_some()
            || self.text.is_some()
            || self.owner.is_some()
            || self.open.is_some()
            || self.at_risk.is_some()
            || self.sort.is_some();
        let asked = if is_sparse { wanted.max(MIN_READ) } else { wanted };
        asked.min(MAX_READ).min(budget)
    }

    /// The list that cursors belong to: its order is by stage or by key.
    fn list(&self) -> String {
        if let Some((sort, is_turned)) = self.sort {
            return format!("sorted:{sort:?}:{is_turned}");
        }
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
    find(&app, &lifecycle, selection, &page).await.map(Json)
}

/// A part of the list of customers.
async fn find(
    app: &App,
    lifecycle: &Lifecycle,
    selection: Selection<'_>,
    page: &PageRequest,
) -> Result<List<CustomerSummary>, Problem> {
    let list = selection.list();
    let sort = selection.sort;
    if sort.is_some() && are_known_to_be_many(&app.store, selection.stage.as_deref()).await? {
        return Err(too_many_to_sort());
    }
    let mut search = Search {
        store: &app.store,
        parents: app.store.parents(lifecycle).await?,
        lifecycle,
        selection,
        now: app.clock.now(),
        read: 0,
    };
    let mut cursor = page.start(&list)?;
    let limit = usize::from(page.limit);
    if let Some((sort, is_turned)) = sort {
        let first: usize = match cursor {
            Some(cursor) => cursor.parse().map_err(|_| Problem::cursor())?,
            None => 0,
        };
        let mut all = search.all().await?;
        all.sort_by(|a, b| sort.compare(a, b, is_turned));
        let end = first.saturating_add(limit).min(all.len());
        let next = (end < all.len()).then(|| end.to_string());
        let shown = all.drain(first.min(end)..end).collect();
        return Ok(List::new(&list, shown, next));
    }
    let mut items = Vec::new();
    loop {
        let (found, next) = search.part(limit - items.len(), cursor.as_deref()).await?;
        items.extend(found);
        cursor = next;
        if items.len() == limit || cursor.is_none() || search.read >= READ_BUDGET {
            return Ok(List::new(&list, items, cursor));
        }
    }
}

/// The customers that the newest picture puts first: with whom the most is at risk, at most 500, from a
/// place on; and the place of the next ones. It reads only those that it answers, however many there are.
pub(crate) async fn first_of_all(
    app: &App,
    lifecycle: &Lifecycle,
    ranked: &[String],
    page: &PageRequest,
) -> Result<List<CustomerSummary>, Problem> {
    let first: usize = match page.start(RANKED)? {
        Some(cursor) => cursor.parse().map_err(|_| Problem::cursor())?,
        None => 0,
    };
    let end = first.saturating_add(page.limit.into()).min(ranked.len());
    let wanted = ranked.get(first..end).unwrap_or_default();
    let keys: Vec<CustomerKey> =
        wanted.iter().flat_map(|id| CustomerKey::candidates(id, lifecycle.subject)).collect();
    let parents = app.store.parents(lifecycle).await?;
    let mut items = Vec::with_capacity(wanted.len());
    for mut found in app.store.customers_by_key(&keys).await? {
        if parents.contains(&found.key) {
            found = app.store.with_below(found, lifecycle).await?;
        }
        let facts = Facts::new(&found.customer, lifecycle, app.clock.now());
        items.push(CustomerSummary::new(&found, &facts));
    }
    let place = |one: &CustomerSummary| wanted.iter().position(|id| *id == one.id);
    items.sort_by_key(place);
    let next = (end < ranked.len()).then(|| end.to_string());
    Ok(List::new(RANKED, items, next))
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

fn too_many_to_sort() -> Problem {
    let detail = format!(
        "more than {READ_BUDGET} customers would have to be put in order: narrow it by `stage`, or leave `sort` away"
    );
    Problem::bad(TOO_MANY_TO_SORT, detail)
}

/// Whether the newest picture says that more are in a stage, or at all, than one request reads: told by one
/// item.
async fn are_known_to_be_many(store: &Store, stage: Option<&str>) -> Result<bool, Problem> {
    let picture = store.overview().await?;
    let Some(all) = picture.as_ref().and_then(|picture| picture.part(None)) else {
        return Ok(false);
    };
    let in_stage = all.stages.iter().find(|one| Some(one.stage.as_str()) == stage);
    Ok(in_stage.map_or(all.customers, |one| one.customers) > READ_BUDGET as u64)
}

impl Search<'_> {
    /// All that are asked for.
    async fn all(&mut self) -> Result<Vec<CustomerSummary>, Problem> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let (found, next) = self.part(READ_BUDGET, cursor.as_deref()).await?;
            items.extend(found);
            cursor = next;
            if cursor.is_none() {
                return Ok(items);
            }
            if self.read >= READ_BUDGET {
                return Err(too_many_to_sort());
            }
        }
    }

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
                if self.selection.takes(customer.key.id(), &facts) {
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
            ..CustomersParameters::default()
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
