//! What is asked for in the name of a person: to be erased, to be left alone, to be told what is held.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Json, extract};
use domain::event::id_text;
use jiff::Timestamp;
use platform::handoff::Work;
use platform::store::{self, MAX_IDS, Person, PrivacyAction, PrivacyState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::App;
use crate::page::{List, MAX_BYTES, PageParameters, PageRequest};
use crate::problem::{Errors, ItemErrors, Problem};

/// The longest id, in bytes: that of a customer's key.
const MAX_ID_BYTES: usize = 512;

/// A request about the data of persons or accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PrivacyRequest {
    /// Sorts by time.
    pub(crate) id: String,
    /// `SUPPRESS_ONLY`, `UNSUPPRESS`, `SUPPRESS_WITH_DELETE` or `DELETE_ONLY`.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "SUPPRESS_WITH_DELETE")]
    pub(crate) action: PrivacyAction,
    /// `user` or `account`.
    #[schema(value_type = String, example = "user")]
    pub(crate) subject: Person,
    /// `INITIALIZED`, `RUNNING`, `FINISHED`, `FAILED` or `PARTIAL_SUCCESS`.
    #[schema(value_type = String, example = "FINISHED")]
    pub(crate) state: PrivacyState,
    /// How many ids it has; the ids themselves are forgotten as they are done.
    pub(crate) ids: u64,
    /// How many of them are done.
    pub(crate) done: u64,
    /// How many could not be; the function's log says why.
    pub(crate) failed: u64,
    /// When it was asked.
    pub(crate) created_at: Timestamp,
    /// When it came to its end.
    #[schema(required)]
    pub(crate) finished_at: Option<Timestamp>,
}

impl From<store::PrivacyRequest> for PrivacyRequest {
    fn from(found: store::PrivacyRequest) -> PrivacyRequest {
        let store::PrivacyRequest {
            id,
            action,
            subject,
            state,
            ids,
            done,
            failed,
            created_at,
            finished_at,
        } = found;
        PrivacyRequest { id, action, subject, state, ids, done, failed, created_at, finished_at }
    }
}

/// What to do about whose data.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPrivacyRequest {
    /// `SUPPRESS_ONLY` turns what still comes about the ids away, with 200 and unstored;
    /// `UNSUPPRESS` takes it in again; `DELETE_ONLY` erases what is held; `SUPPRESS_WITH_DELETE` does
    /// both.
    #[serde(rename = "type")]
    #[schema(value_type = PrivacyActionWord, example = "SUPPRESS_WITH_DELETE")]
    pub(crate) action: PrivacyAction,
    /// `user` or `account`.
    #[schema(value_type = PrivacySubjectWord, example = "user")]
    pub(crate) subject: Person,
    /// At most 5,000.
    #[schema(min_items = 1, max_items = 5000, example = json!(["u-17"]))]
    pub(crate) ids: Vec<PrivacyId>,
}

/// What may be asked for.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "describes requests in the document")]
pub(crate) enum PrivacyActionWord {
    SuppressOnly,
    Unsuppress,
    SuppressWithDelete,
    DeleteOnly,
}

/// Whose ids they may be.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes requests in the document")]
pub(crate) enum PrivacySubjectWord {
    User,
    Account,
}

/// An id as its senders give it: a text or a whole number.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PrivacyId {
    /// Of at most 512 bytes, and not blank.
    Text(String),
    /// Taken as its digits.
    Number(i64),
}

impl PrivacyId {
    fn text(&self) -> Option<String> {
        let id = match self {
            PrivacyId::Text(text) => id_text(&Value::from(text.as_str())),
            PrivacyId::Number(number) => Some(number.to_string()),
        };
        id.filter(|id| id.len() <= MAX_ID_BYTES)
    }
}

impl NewPrivacyRequest {
    fn read(body: &[u8]) -> Result<NewPrivacyRequest, Problem> {
        serde_json::from_slice(body).map_err(|error| {
            let detail = format!(
                "the body must be JSON with `type` (SUPPRESS_ONLY, UNSUPPRESS, \
                 SUPPRESS_WITH_DELETE or DELETE_ONLY), `subject` (user or account) and a list \
                 `ids`; it is not at line {}, column {}",
                error.line(),
                error.column()
            );
            Problem::bad("invalid_request", detail)
        })
    }

    /// The ids, each once.
    fn ids(&self) -> Result<Vec<String>, Problem> {
        if self.ids.is_empty() || self.ids.len() > MAX_IDS {
            let detail = format!("`ids` must have between 1 and {MAX_IDS} ids");
            return Err(Problem::bad("invalid_ids", detail));
        }
        let ids = self.ids.iter().map(|id| {
            id.text().ok_or_else(|| {
                let detail = format!(
                    "each of `ids` must be a text or a whole number of at most {MAX_ID_BYTES} bytes"
                );
                Problem::bad("invalid_ids", detail)
            })
        });
        let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
        ids.sort();
        ids.dedup();
        Ok(ids)
    }
}

/// Ask to suppress or erase
///
/// Written down at once, and answered before all of it is done: ask for its state by its id. Until it
/// has ended nothing of it is lost, whatever fails; ids that are suppressed are turned away within
/// half a minute.
#[utoipa::path(
    post,
    path = "/api/privacy/requests",
    tag = "privacy",
    request_body = NewPrivacyRequest,
    responses((status = 201, description = "The request.", body = PrivacyRequest), Errors)
)]
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<(StatusCode, Json<PrivacyRequest>), Problem> {
    let asked = NewPrivacyRequest::read(&body)?;
    let ids = asked.ids()?;
    let lifecycle = app.store.lifecycle().await?;
    if lifecycle.subject == domain::lifecycle::Subject::User && asked.subject == Person::Account {
        let detail = "customers are users here: there is nothing under an account's id";
        return Err(Problem::bad("invalid_subject", detail));
    }
    let (action, subject) = (asked.action, asked.subject);
    let mut request = app.store.request_privacy(action, subject, &ids, app.clock.now()).await?;
    if action.erases() {
        app.handoff.hand_on(Work::Privacy(request.id.clone())).await?;
        request = app.store.privacy_request(&request.id).await?.unwrap_or(request);
    }
    Ok((StatusCode::CREATED, Json(request.into())))
}

/// Privacy requests
///
/// What was asked for in the last 400 days, newest first.
#[utoipa::path(
    get,
    path = "/api/privacy/requests",
    tag = "privacy",
    params(PageParameters),
    responses((status = 200, description = "Requests, newest first.", body = List<PrivacyRequest>), Errors)
)]
pub(crate) async fn requests(
    State(app): State<Arc<App>>,
    page: PageRequest,
) -> Result<Json<List<PrivacyRequest>>, Problem> {
    let start = page.start("privacy")?;
    let read = app.store.privacy_requests(page.limit.into(), start.as_deref()).await?;
    let items = read.items.into_iter().map(PrivacyRequest::from).collect();
    Ok(Json(List::new("privacy", items, read.next_cursor)))
}

/// A privacy request
///
/// How far a request has come.
#[utoipa::path(
    get,
    path = "/api/privacy/requests/{id}",
    tag = "privacy",
    params(("id" = String, Path, description = "The request's id.")),
    responses(
        (status = 200, description = "The request.", body = PrivacyRequest),
        Errors,
        ItemErrors,
    )
)]
pub(crate) async fn request(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<PrivacyRequest>, Problem> {
    let found = app.store.privacy_request(&id).await?;
    let found = found.ok_or_else(|| {
        Problem::not_found("request_not_found", "there is no privacy request with this id")
    })?;
    Ok(Json(found.into()))
}

/// Everything held about an id
///
/// Of a customer, or of a user of an account: events, state, decisions, findings, the ids that are the
/// same person, what was set aside. What is larger than one answer is refused:
/// `lifecycle export` takes any size.
#[utoipa::path(
    get,
    path = "/api/privacy/export/{id}",
    tag = "privacy",
    params(("id" = String, Path, description = "The id of a user or an account, percent-encoded.")),
    responses(
        (status = 200, description = "What is held; empty lists where there is nothing.", body = Object),
        Errors,
        ItemErrors,
    )
)]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, extract::rejection::PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id.map_err(|_| {
        Problem::bad("invalid_id", "the id in the path is not percent-encoded UTF-8")
    })?;
    if id.len() > MAX_ID_BYTES {
        return Err(Problem::not_found("nothing_held", "nothing is held about this id"));
    }
    let lifecycle = app.store.lifecycle().await?;
    let held = app.store.held_about(&id, &lifecycle).await?;
    if held.is_empty() {
        return Err(Problem::not_found("nothing_held", "nothing is held about this id"));
    }
    let told = held.to_json(&id, app.clock.now());
    if told.to_string().len() > MAX_BYTES {
        let detail = "more is held about this id than fits an answer: use `lifecycle export`";
        return Err(Problem::bad("too_large", detail));
    }
    Ok(Json(told))
}
