//! What people say of findings: that they saw one, and that a standard does not count for a customer.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use domain::by_hand::{self, NeedsReason};
use domain::facts::Facts;
use domain::lifecycle::Lifecycle;
use domain::standard::{Judgement, judge};
use jiff::Timestamp;
use platform::store::WaivedStandard;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::App;
use crate::by_hand::{By, by, decide, read, who};
use crate::customer::{Customer, CustomerId};
use crate::gateway::Caller;
use crate::page::{List, PageParameters, PageRequest};
use crate::problem::{ActionErrors, CustomerErrors, Errors, Problem};
use crate::reason::{Reason, reasons};

/// What a finding was worth.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    /// Who saw it; the caller's identity where it is absent.
    pub(crate) author: Option<String>,
    /// `useful`: worth knowing; `known`: right, and known before; `false`: wrong.
    #[schema(example = "useful", pattern = "^(useful|known|false)$")]
    pub(crate) outcome: String,
    /// Anything else, for the journal.
    pub(crate) note: Option<String>,
}

/// Why a standard does not count for a customer, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waive {
    /// Who decides; the caller's identity where it is absent.
    pub(crate) author: Option<String>,
    /// Why, for the journal.
    #[schema(required, example = "the contact is on leave")]
    pub(crate) reason: Option<String>,
    /// When the standard counts again: an instant, or a date of the workspace's calendar. Until the
    /// waiver is ended where it is absent.
    #[schema(example = "2026-12-01")]
    pub(crate) until: Option<String>,
}

/// The standard that a path names.
#[derive(Debug, Deserialize)]
pub(crate) struct StandardPath {
    pub(crate) standard: String,
}

/// Acknowledge a finding
///
/// Says that the open finding of a standard was seen, and what it was worth. It stays open until it
/// is mended or waived.
#[utoipa::path(
    post,
    path = "/api/customers/{id}/findings/{standard}/ack",
    tag = "findings",
    params(CustomerId, ("standard" = String, Path, description = "The standard's name in the lifecycle file.")),
    request_body = Seen,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn acknowledge_finding(
    State(app): State<Arc<App>>,
    id: CustomerId,
    Path(path): Path<StandardPath>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    let asked: Seen = read(&headers, &body)?;
    let who = who(asked.author.as_deref(), &headers, caller.as_deref());
    let by = by_hand::author(who.as_deref(), asked.note.as_deref(), NeedsReason::No)?;
    let outcome = by_hand::outcome(&asked.outcome)?;
    let lifecycle = app.store.lifecycle().await?;
    decide(&app, &id, &lifecycle, |facts| {
        let by = by.clone();
        Ok(vec![by_hand::acknowledge_finding(facts, &path.standard, by, outcome)?])
    })
    .await
}

/// Waive a standard
///
/// Lets the customer off a standard: its finding, if one is open, does not count and nobody is told
/// of another one. Where the breach still stands when the waiver ends, the finding is open again.
#[utoipa::path(
    post,
    path = "/api/customers/{id}/findings/{standard}/waive",
    tag = "findings",
    params(CustomerId, ("standard" = String, Path, description = "The standard's name in the lifecycle file.")),
    request_body = Waive,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn waive(
    State(app): State<Arc<App>>,
    id: CustomerId,
    Path(path): Path<StandardPath>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    let asked: Waive = read(&headers, &body)?;
    let who = who(asked.author.as_deref(), &headers, caller.as_deref());
    let by = by_hand::author(who.as_deref(), asked.reason.as_deref(), NeedsReason::Yes)?;
    let lifecycle = app.store.lifecycle().await?;
    let until = asked.until.as_deref().filter(|text| !text.is_empty());
    let until = until.map(|text| by_hand::until(text, &lifecycle.calendar)).transpose()?;
    decide(&app, &id, &lifecycle, |facts| by_hand::waive(facts, &path.standard, by.clone(), until))
        .await
}

/// End a waiver
///
/// The standard counts again for the customer, and a breach that stands is open again at once.
#[utoipa::path(
    delete,
    path = "/api/customers/{id}/findings/{standard}/waive",
    tag = "findings",
    params(CustomerId, ("standard" = String, Path, description = "The standard's name in the lifecycle file.")),
    request_body = By,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn unwaive(
    State(app): State<Arc<App>>,
    id: CustomerId,
    Path(path): Path<StandardPath>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    let by = by(&headers, &body, caller.as_deref())?;
    let lifecycle = app.store.lifecycle().await?;
    decide(&app, &id, &lifecycle, |facts| by_hand::unwaive(facts, &path.standard, by.clone())).await
}

/// A customer that is let off a standard, and what that hides.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Waiver {
    /// The customer's id.
    pub(crate) customer: String,
    /// The standard's name in the lifecycle file.
    pub(crate) standard: String,
    /// Who decided it.
    pub(crate) author: String,
    /// Why.
    pub(crate) reason: String,
    /// Since when.
    pub(crate) since: Timestamp,
    /// When the standard counts again; null for not by itself.
    #[schema(required)]
    pub(crate) until: Option<Timestamp>,
    /// Whether the standard is broken now, which nobody is told.
    pub(crate) hides: bool,
    /// `low`, `medium`, `high` or `critical`; null when the standard is no longer declared.
    #[schema(required)]
    pub(crate) severity: Option<&'static str>,
    /// Who would mend it.
    #[schema(required)]
    pub(crate) owner: Option<String>,
    /// The evidence of what is hidden.
    pub(crate) reasons: Vec<Reason>,
}

impl Waiver {
    fn new(found: WaivedStandard, lifecycle: &Lifecycle, now: Timestamp) -> Option<Waiver> {
        let WaivedStandard { customer, standard: name } = found;
        let waiver = customer.customer.status.waived(&name, now)?.clone();
        let facts = Facts::new(&customer.customer, lifecycle, now);
        let standard = facts.rules().standard(&name);
        let hidden = match standard.map(|standard| judge(&facts, standard)) {
            Some(Judgement::Breached { reasons, .. }) => Some(reasons),
            _ => None,
        };
        Some(Waiver {
            customer: customer.key.id().to_owned(),
            severity: standard.map(|standard| standard.severity.as_str()),
            owner: standard.map(|standard| standard.owner.clone()),
            standard: name,
            author: waiver.author,
            reason: waiver.reason,
            since: waiver.since,
            until: waiver.until,
            hides: hidden.is_some(),
            reasons: reasons(hidden.unwrap_or_default()),
        })
    }
}

/// Waivers
///
/// Every waiver that is in force, and the breach that it hides as of now.
#[utoipa::path(
    get,
    path = "/api/waivers",
    tag = "findings",
    params(PageParameters),
    responses((status = 200, description = "Waivers in force.", body = List<Waiver>), Errors)
)]
pub(crate) async fn waivers(
    State(app): State<Arc<App>>,
    page: PageRequest,
) -> Result<Json<List<Waiver>>, Problem> {
    let (lifecycle, now) = (app.store.lifecycle().await?, app.clock.now());
    let start = page.start("waivers")?;
    let read = app.store.waivers(now, page.limit.into(), start.as_deref()).await?;
    let mut items = Vec::with_capacity(read.items.len());
    for mut found in read.items {
        found.customer = app.store.with_below(found.customer, &lifecycle).await?;
        items.extend(Waiver::new(found, &lifecycle, now));
    }
    Ok(Json(List::new("waivers", items, read.next_cursor)))
}
