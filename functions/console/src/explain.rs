//! Why a customer is where it is, and what would change it.

mod standards;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use domain::customer::Customer;
use domain::decide::Refusal;
use domain::event::Event;
use domain::explain::{self, Coming, Input, Judged, Origin, Other};
use domain::expr::Truth;
use domain::journal::{Change, JournalEntry};
use domain::lifecycle::{Lifecycle, load};
use domain::replay;
use domain::task::{OpenByJournal, open_by_journal};
use jiff::Timestamp;
use platform::{Store, StoreError, Versioned};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::customer::CustomerId;
use crate::page::Parameters;
use crate::problem::{CustomerErrors, Errors, Problem};
pub use crate::reason::Reason;
use crate::reason::reasons;
pub use standards::ExplainedStandard;

/// The newest events and journal entries that are read for one explanation.
const MAX_EVENTS: usize = 20_000;
const MAX_ENTRIES: usize = 2_000;
const PAGE: i32 = 1_000;
const DAY_SECONDS: i64 = 86_400;

/// Why a customer is where it is, as of an instant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = CustomerExplanation)]
pub struct Explanation {
    /// The customer's id.
    pub customer: String,
    /// The instant.
    pub at: Timestamp,
    /// The version of the lifecycle file that explains it: the one that was active then.
    #[schema(required)]
    pub config_version: Option<u64>,
    /// The hash of that file.
    pub config_hash: String,
    /// False where the customer has more events than are read for an explanation.
    pub complete: bool,
    /// The stage by then; null before the first decision.
    #[schema(required)]
    pub stage: Option<ExplainedStage>,
    /// The decision that moved the customer there, from the journal.
    #[schema(required)]
    pub decided_by: Option<Decided>,
    /// The stage's own criteria as of the instant.
    #[schema(required)]
    pub present: Option<Criteria>,
    /// The stage's bar to stay, where it has one.
    #[schema(required)]
    pub leave: Option<Criteria>,
    /// What the runs would decide at the instant; empty when all is as it should be.
    pub changes: Vec<Changed>,
    /// Every other stage, and why the customer is not there.
    pub others: Vec<OtherStage>,
    /// Everything the criteria of the stages read, its value and where it comes from.
    pub inputs: Vec<ExplainedInput>,
    /// For each input the smallest change that would move the customer, verified by deciding
    /// again; the smallest of all first.
    pub what_if: Vec<Supposed>,
    /// How it stands with each standard: why a finding is open and what would close it, and when one
    /// that is kept would be broken.
    pub standards: Vec<ExplainedStandard>,
    /// The tasks that are open, the oldest first, and why each was opened.
    pub tasks: Vec<ExplainedTask>,
    /// The next change with no new event, within 180 days; null for none.
    #[schema(required)]
    pub next: Option<Next>,
}

/// The stage of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExplainedStage {
    /// Its name in the lifecycle file.
    pub name: String,
    /// When it was entered.
    pub since: Timestamp,
    /// Whole days (of 24 hours) since then.
    pub days: i64,
    /// The number of this visit, over all stages, from 1.
    pub visit: u32,
}

/// A task that is open.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExplainedTask {
    /// What it is called within its customer: the playbook and its step.
    #[schema(example = "rescue.call")]
    pub id: String,
    /// What last became of it: `open`, `overdue`, `snoozed`, `reassigned`, `reopened` and so on.
    pub state: String,
    /// The decision that opened it.
    pub opened_by: Decided,
}

impl From<OpenByJournal> for ExplainedTask {
    fn from(task: OpenByJournal) -> ExplainedTask {
        ExplainedTask { id: task.id, state: task.state, opened_by: task.opened.into() }
    }
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Decided {
    /// Its number in the customer's journal.
    pub seq: u64,
    /// The instant it is of.
    pub at: Timestamp,
    /// The stage before.
    #[schema(required)]
    pub from: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// Why.
    pub reasons: Vec<Reason>,
    /// The hash of the lifecycle file that decided.
    pub config_hash: String,
    /// The version of that file, where it was recorded.
    #[schema(required)]
    pub config_version: Option<u64>,
}

/// Criteria, and what they come to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Criteria {
    /// The rule of the lifecycle file.
    #[schema(example = "stages.churned.enter")]
    pub rule: String,
    /// The criteria on one line.
    pub condition: String,
    /// True, false, or null for unknown.
    #[schema(required)]
    pub answer: Option<bool>,
    /// For how long they have to hold without a break.
    #[serde(rename = "for")]
    #[schema(required)]
    pub hold: Option<String>,
    /// Since when they hold, looking back as far as matters; null when they do not.
    #[schema(required)]
    pub held_since: Option<Timestamp>,
    /// Every comparison with its own answer and the values it read.
    pub parts: Vec<Reason>,
}

/// A stage where the customer is not.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OtherStage {
    /// The stage.
    pub stage: String,
    /// Its priority.
    pub priority: i32,
    /// A stable word for why not: `no_exit`, `not_from_here`, `does_not_hold`, `unknown`,
    /// `held_since`, `cooling_down`, `kept_until`, `held`, `not_above_present`, `outranked`, `left`,
    /// `feed_silent`;
    /// `taken` for the stage that the next run moves the customer to.
    pub code: &'static str,
    /// Why not, as a sentence; null for the stage that is taken.
    #[schema(required)]
    pub why_not: Option<String>,
    /// Its criteria.
    #[serde(flatten)]
    pub criteria: Criteria,
}

/// Something the criteria read.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExplainedInput {
    /// Its name.
    #[schema(example = "metrics.idle_days")]
    pub name: String,
    /// Its value; null is missing.
    pub value: Value,
    /// `events`, `computed` or `journal`.
    pub origin: &'static str,
    /// The newest events it comes from, newest first, 20 at most.
    pub events: Vec<EventRef>,
    /// How many events of the log it comes from.
    pub event_count: u64,
    /// What it is computed by: a formula, or the question of a segment.
    #[schema(required)]
    pub expression: Option<String>,
    /// The inputs it is computed from.
    pub of: Vec<String>,
    /// The journal entry that decided it.
    #[schema(required)]
    pub seq: Option<u64>,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventRef {
    /// The sender's message id.
    pub id: String,
    /// Its name.
    pub event: String,
    /// When it happened.
    pub timestamp: Timestamp,
}

/// One change of one input that would move the customer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Supposed {
    /// The input.
    pub input: String,
    /// Its value.
    pub from: Value,
    /// The nearest value that moves the customer; null is not known.
    pub to: Value,
    /// For how long it would have to be so.
    #[serde(rename = "for")]
    #[schema(required)]
    pub hold: Option<String>,
    /// The stage it would move to.
    pub stage: String,
    /// The rule that would decide.
    pub rule: String,
    /// All of this as a sentence.
    pub text: String,
}

/// What will change by itself.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Next {
    /// When.
    pub at: Timestamp,
    /// What the runs would decide then.
    pub changes: Vec<Changed>,
}

/// A change that is due.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Changed {
    /// `stage`, `risk`, `finding`, `checkpoint`, `handoff`, `task`, `playbook` or `message`.
    pub kind: &'static str,
    /// What it was.
    #[schema(required)]
    pub from: Option<String>,
    /// What it becomes.
    #[schema(required)]
    pub to: Option<String>,
    /// The rule of the lifecycle file.
    pub rule: String,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl From<Change> for Changed {
    fn from(change: Change) -> Changed {
        let kind = change.kind().as_str();
        let Change { from, to, rule, reasons: why, .. } = change;
        Changed { kind, from, to, rule, reasons: reasons(why) }
    }
}

impl From<JournalEntry> for Decided {
    fn from(entry: JournalEntry) -> Decided {
        Decided {
            seq: entry.seq,
            at: entry.at,
            from: entry.from,
            rule: entry.rule,
            reasons: reasons(entry.reasons),
            config_hash: entry.config_hash,
            config_version: entry.config_version,
        }
    }
}

impl From<Judged> for Criteria {
    fn from(judged: Judged) -> Criteria {
        Criteria {
            rule: judged.rule,
            condition: judged.condition,
            answer: match judged.answer {
                Truth::Yes => Some(true),
                Truth::No => Some(false),
                Truth::Unknown => None,
            },
            hold: judged.hold.map(|hold| hold.to_string()),
            held_since: judged.held_since,
            parts: reasons(judged.parts),
        }
    }
}

impl From<Other> for OtherStage {
    fn from(other: Other) -> OtherStage {
        let code = match (other.refusal, &other.why_not) {
            (_, None) => "taken",
            (None, Some(_)) => "left",
            (Some(refusal), Some(_)) => code(refusal),
        };
        OtherStage {
            stage: other.stage,
            priority: other.priority,
            code,
            why_not: other.why_not,
            criteria: other.judged.into(),
        }
    }
}

fn code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoExit => "no_exit",
        Refusal::NotFromHere => "not_from_here",
        Refusal::DoesNotHold => "does_not_hold",
        Refusal::Unknown => "unknown",
        Refusal::HeldSince(_) => "held_since",
        Refusal::CoolingDown(_) => "cooling_down",
        Refusal::KeptUntil(_) => "kept_until",
        Refusal::Held => "held",
        Refusal::NotAbovePresent => "not_above_present",
        Refusal::Outranked => "outranked",
        Refusal::FeedSilent { .. } => "feed_silent",
    }
}

impl From<Input> for ExplainedInput {
    fn from(input: Input) -> ExplainedInput {
        let mut shown = ExplainedInput {
            name: input.name,
            value: input.value,
            origin: "events",
            events: Vec::new(),
            event_count: 0,
            expression: None,
            of: Vec::new(),
            seq: None,
        };
        match input.origin {
            Origin::Events { newest, count } => {
                let newest = newest.into_iter();
                shown.events = newest
                    .map(|event| EventRef { id: event.id, event: event.event, timestamp: event.at })
                    .collect();
                shown.event_count = count;
            }
            Origin::Computed { expression, of } => {
                (shown.origin, shown.expression, shown.of) = ("computed", Some(expression), of);
            }
            Origin::Decided { seq } => (shown.origin, shown.seq) = ("journal", seq),
        }
        shown
    }
}

/// Explains the customer with this id; `None` when nobody has heard of it.
///
/// # Errors
/// When the tables cannot be read, or the lifecycle file of the time no longer loads.
pub async fn explain(
    store: &Store,
    id: &str,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Explanation>, StoreError> {
    let active = store.lifecycle().await?;
    match store.find_customer(id, active.subject).await? {
        Some(found) => explained(store, found, at, now).await.map(Some),
        None => Ok(None),
    }
}

pub(crate) async fn explained(
    store: &Store,
    found: Versioned,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Explanation, StoreError> {
    let at = at.filter(|at| *at < now);
    let instant = at.unwrap_or(now);
    let mut lifecycle = lifecycle_at(store, at).await?;
    // Of the past it is told what was decided; of now, what would be.
    if at.is_none() {
        let silent = store.silent_feeds().await?;
        if !silent.is_empty() {
            lifecycle = Arc::new(lifecycle.hearing(&silent));
        }
    }
    // Of the past, who was below it then; who is now where those would be too many to look at.
    let below_then = match at {
        Some(at) => store.below_at(&found.key, &lifecycle, &[at]).await?,
        None => None,
    };
    let found = store.with_below(found, &lifecycle).await?;
    let (log, complete) = log_until(store, &found, instant).await?;
    let journal = journal_until(store, &found, instant).await?;
    let is_folded_so = found.customer.profile.measures == lifecycle.measures.fingerprint;
    let customer = match at {
        None if is_folded_so => found.customer.clone(),
        _ => Customer {
            profile: replay::profile_at(&lifecycle, &log, instant),
            status: match at {
                None => found.customer.status.clone(),
                Some(_) => explain::status_at(&journal),
            },
            below: match below_then {
                Some(below) => below.at(0),
                None => found.customer.below.clone(),
            },
        },
    };
    let tasks = open_by_journal(&journal);
    let told = explain::explain(&customer, &lifecycle, &journal, &log, instant);
    let days = |since: Timestamp| (instant.as_second() - since.as_second()).div_euclid(DAY_SECONDS);
    Ok(Explanation {
        customer: found.key.id().to_owned(),
        at: instant,
        config_version: lifecycle.version,
        config_hash: lifecycle.hash.clone(),
        complete,
        stage: told.stage.map(|stage| ExplainedStage {
            days: days(stage.since),
            name: stage.name,
            since: stage.since,
            visit: stage.visit,
        }),
        decided_by: told.because.map(Decided::from),
        present: told.present.map(Criteria::from),
        leave: told.leave.map(Criteria::from),
        changes: told.decided.into_iter().map(Changed::from).collect(),
        others: told.others.into_iter().map(OtherStage::from).collect(),
        inputs: told.inputs.into_iter().map(ExplainedInput::from).collect(),
        what_if: told.what_if.into_iter().map(supposed).collect(),
        standards: told.standards.into_iter().map(ExplainedStandard::from).collect(),
        tasks: tasks.into_iter().map(ExplainedTask::from).collect(),
        next: told.coming.map(|Coming { at, changes }| Next {
            at,
            changes: changes.into_iter().map(Changed::from).collect(),
        }),
    })
}

fn supposed(what_if: explain::WhatIf) -> Supposed {
    Supposed {
        text: what_if.sentence(),
        input: what_if.input,
        from: what_if.from,
        to: what_if.to,
        hold: what_if.hold.map(|hold| hold.to_string()),
        stage: what_if.stage,
        rule: what_if.rule,
    }
}

/// The lifecycle file that was active at an instant; the present one where none was yet.
async fn lifecycle_at(store: &Store, at: Option<Timestamp>) -> Result<Arc<Lifecycle>, StoreError> {
    let active = store.lifecycle().await?;
    let Some(at) = at else { return Ok(active) };
    let versions = store.configuration_versions().await?;
    let Some(then) = versions.into_iter().find(|version| version.applied_at <= at) else {
        return Ok(active);
    };
    if then.hash == active.hash {
        return Ok(active);
    }
    let mut lifecycle = load(&then.source).map_err(|found| {
        let first = found.first().map_or_else(String::new, |found| found.message.clone());
        StoreError::Lifecycle(first)
    })?;
    lifecycle.version = Some(then.version);
    Ok(Arc::new(lifecycle))
}

/// The customer's log up to an instant, in order, and whether that is all of it.
pub(crate) async fn log_until(
    store: &Store,
    found: &Versioned,
    at: Timestamp,
) -> Result<(Vec<Event>, bool), StoreError> {
    let mut log = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.event_page(&found.key, PAGE, cursor.as_deref()).await?;
        log.extend(page.items.into_iter().filter(|event| event.at <= at));
        cursor = page.next_cursor;
        if cursor.is_none() || log.len() >= MAX_EVENTS {
            return Ok((replay::in_order(log), cursor.is_none()));
        }
    }
}

/// The journal up to an instant, newest first.
async fn journal_until(
    store: &Store,
    found: &Versioned,
    at: Timestamp,
) -> Result<Vec<JournalEntry>, StoreError> {
    let mut journal = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.journal(&found.key, PAGE, cursor.as_deref()).await?;
        journal.extend(page.items.into_iter().filter(|entry| entry.at <= at));
        cursor = page.next_cursor;
        if cursor.is_none() || journal.len() >= MAX_ENTRIES {
            return Ok(journal);
        }
    }
}

/// As of when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AsOf {
    /// The instant to explain, RFC 3339 in UTC; now where it is absent.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-06-30T12:00:00Z")]
    at: Option<String>,
}

/// An instant, checked.
pub(crate) struct Instant(Option<Timestamp>);

impl<S: Sync> FromRequestParts<S> for Instant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Instant, Problem> {
        let Parameters(asked) = Parameters::<AsOf>::from_request_parts(parts, state).await?;
        let at = asked.at.map(|text: String| {
            text.parse().map_err(|_| {
                Problem::bad("invalid_at", "`at` must be an instant, as 2026-06-30T12:00:00Z")
            })
        });
        Ok(Instant(at.transpose()?))
    }
}

/// Why a customer is where it is
///
/// The decision with every input and the events it comes from, why this stage and why not each
/// other one, what would change it, and when it will next change by itself: as of now, or of an
/// earlier instant by the lifecycle file that was active then.
#[utoipa::path(
    get,
    path = "/api/customers/{id}/explain",
    tag = "customers",
    params(CustomerId, AsOf),
    responses((status = 200, description = "The explanation.", body = Explanation), Errors, CustomerErrors)
)]
pub(crate) async fn explain_customer(
    State(app): State<Arc<App>>,
    id: CustomerId,
    Instant(at): Instant,
) -> Result<Json<Explanation>, Problem> {
    let found = id.find(&app.store).await?;
    Ok(Json(explained(&app.store, found, at, app.clock.now()).await?))
}
