//! What people decide about a customer: to move it, to give it back to automation, to take it over.
//!
//! Who decides is the `author` of the body, else the header `x-author`, else the identity that the
//! gateway has checked. A request must carry `application/json`, which no page of another site can
//! send without being asked first.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use domain::by_hand::{self, NeedsReason, Refused};
use domain::facts::Facts;
use domain::journal::{Author, Change};
use domain::lifecycle::Lifecycle;
use platform::store::ByHandOutcome;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::App;
use crate::customer::{Customer, CustomerId};
use crate::gateway::Caller;
use crate::problem::{ActionErrors, CustomerErrors, Errors, Problem};

/// The largest body.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Where to, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    /// A stage of the lifecycle file.
    #[schema(example = "onboarding")]
    to: String,
    /// Why, for the journal.
    #[schema(required, example = "they signed again by phone")]
    reason: Option<String>,
    /// Who decides; the caller's identity where it is absent.
    author: Option<String>,
    /// When automation takes over again: an instant, or a date of the workspace's calendar. Until
    /// it is released where it is absent.
    #[schema(example = "2026-12-01")]
    until: Option<String>,
}

/// Who decides, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct By {
    /// Who decides; the caller's identity where it is absent.
    author: Option<String>,
    /// Why, for the journal.
    reason: Option<String>,
}

/// Move a customer
///
/// Moves the customer to a stage, whatever its criteria and exits, and keeps it there: until the
/// expiry, or until it is released, automation proposes and does not move it.
#[utoipa::path(
    post,
    path = "/api/customers/{id}/move",
    tag = "customers",
    params(CustomerId),
    request_body = Move,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn move_customer(
    State(app): State<Arc<App>>,
    id: CustomerId,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    let asked: Move = read(&headers, &body)?;
    let who = who(asked.author.as_deref(), &headers, caller.as_deref());
    let by = by_hand::author(who.as_deref(), asked.reason.as_deref(), NeedsReason::Yes)?;
    let lifecycle = app.store.lifecycle().await?;
    let until = asked.until.as_deref().filter(|text| !text.is_empty());
    let until = until.map(|text| by_hand::until(text, &lifecycle.calendar)).transpose()?;
    decide(&app, &id, &lifecycle, |facts| by_hand::move_to(facts, &asked.to, by.clone(), until))
        .await
}

/// Release a customer
///
/// Gives a customer that was moved by hand back to automation at once.
#[utoipa::path(
    post,
    path = "/api/customers/{id}/release",
    tag = "customers",
    params(CustomerId),
    request_body = By,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    id: CustomerId,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    let by = by(&headers, &body, caller.as_deref())?;
    let lifecycle = app.store.lifecycle().await?;
    decide(&app, &id, &lifecycle, |facts| Ok(vec![by_hand::release(facts, by.clone())?])).await
}

/// End a move
///
/// The same as releasing the customer.
#[utoipa::path(
    delete,
    path = "/api/customers/{id}/move",
    tag = "customers",
    params(CustomerId),
    request_body = By,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn end_move(
    app: State<Arc<App>>,
    id: CustomerId,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    release(app, id, caller, headers, body).await
}

/// Acknowledge a handoff
///
/// Says that the customer was taken over with its stage.
#[utoipa::path(
    post,
    path = "/api/customers/{id}/handoff/ack",
    tag = "customers",
    params(CustomerId),
    request_body = By,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn acknowledge(
    State(app): State<Arc<App>>,
    id: CustomerId,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    let by = by(&headers, &body, caller.as_deref())?;
    let lifecycle = app.store.lifecycle().await?;
    decide(&app, &id, &lifecycle, |facts| Ok(vec![by_hand::acknowledge(facts, by.clone())?])).await
}

/// Something to remember about a customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    /// What, in at most 1,000 characters.
    #[schema(required, example = "they asked for a call in May")]
    text: Option<String>,
    /// Who writes it; the caller's identity where it is absent.
    author: Option<String>,
}

/// Write a note
///
/// Writes something down about the customer, in its journal. It changes nothing else, and stays for as
/// long as the journal does: nothing that has to be erased one day belongs here.
#[utoipa::path(
    post,
    path = "/api/customers/{id}/notes",
    tag = "customers",
    params(CustomerId),
    request_body = Note,
    responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
)]
pub(crate) async fn note(
    State(app): State<Arc<App>>,
    id: CustomerId,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Customer>, Problem> {
    let asked: Note = read(&headers, &body)?;
    let who = who(asked.author.as_deref(), &headers, caller.as_deref());
    if asked.text.as_deref().is_none_or(|text| text.trim().is_empty()) {
        return Err(Problem::bad("no_text", "`text` is missing: say what is to be remembered"));
    }
    let by = by_hand::author(who.as_deref(), asked.text.as_deref(), NeedsReason::Yes)?;
    let lifecycle = app.store.lifecycle().await?;
    decide(&app, &id, &lifecycle, |_| Ok(vec![by_hand::note(by.clone())])).await
}

pub(crate) async fn decide(
    app: &App,
    id: &CustomerId,
    lifecycle: &Lifecycle,
    decide: impl Fn(&Facts<'_>) -> Result<Vec<Change>, Refused>,
) -> Result<Json<Customer>, Problem> {
    let (found, now) = (id.find(&app.store).await?, app.clock.now());
    match app.store.decide_by_hand(&found.key, lifecycle, now, decide).await? {
        ByHandOutcome::Done { customer, .. } => Ok(Json(Customer::new(&customer, lifecycle, now))),
        ByHandOutcome::Refused(refused) => Err(refused.into()),
    }
}

pub(crate) fn by(
    headers: &HeaderMap,
    body: &[u8],
    caller: Option<&Caller>,
) -> Result<Author, Problem> {
    let by: By = match body.iter().all(u8::is_ascii_whitespace) {
        true if is_json(headers) || headers.contains_key("x-author") || caller.is_some() => {
            By::default()
        }
        _ => read(headers, body)?,
    };
    let who = who(by.author.as_deref(), headers, caller);
    Ok(by_hand::author(who.as_deref(), by.reason.as_deref(), NeedsReason::No)?)
}

pub(crate) fn who(
    body: Option<&str>,
    headers: &HeaderMap,
    caller: Option<&Caller>,
) -> Option<String> {
    let header = || headers.get("x-author").and_then(|value| value.to_str().ok());
    let caller = || caller.map(|Caller(arn)| arn.as_str());
    body.or_else(header).or_else(caller).map(str::to_owned)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

pub(crate) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    if !is_json(headers) {
        return Err(Problem::media_type());
    }
    if body.len() > MAX_BODY_BYTES {
        let detail = format!("the body is larger than {MAX_BODY_BYTES} bytes");
        return Err(Problem::bad("invalid_body", detail));
    }
    serde_json::from_slice(body).map_err(|error| {
        // Where it broke, and none of what was sent.
        let place = format!("line {}, column {}", error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Data => "is not of the documented shape",
            _ => "is not JSON",
        };
        Problem::bad("invalid_body", format!("the body {what} ({place}): see /api/openapi.json"))
    })
}
