//! Silences: what people do not want to hear of for a while.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use domain::alerting::{self, SilenceRefused};
use domain::by_hand::{self, NeedsReason};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::App;
use crate::by_hand::{By, by, read, who};
use crate::gateway::Caller;
use crate::page::List;
use crate::problem::{ActionErrors, Errors, ItemErrors, Problem};

/// A question to one label of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matcher {
    /// `kind`, `severity`, `stage`, `standard`, `band`, `segment`, `checkpoint`, `owner`, `customer`, or a
    /// trait that the alerts of the lifecycle file name.
    #[schema(example = "standard")]
    pub(crate) label: String,
    /// The values it may have.
    #[schema(example = json!(["kickoff_held"]))]
    pub(crate) values: Vec<String>,
    /// Whether it must have none of them.
    #[serde(default)]
    pub(crate) is_not: bool,
}

/// What is to be silenced, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSilence {
    /// Which alerts: those that meet all of these.
    pub(crate) matchers: Vec<Matcher>,
    /// Why.
    #[schema(required, example = "they are moving office this week")]
    pub(crate) reason: Option<String>,
    /// Who does not want to hear of them; the caller's identity where it is absent.
    pub(crate) author: Option<String>,
    /// When it begins; now where it is absent.
    pub(crate) starts_at: Option<Timestamp>,
    /// When it ends: an instant, or a date of the workspace's calendar.
    #[schema(example = "2026-12-01")]
    pub(crate) ends_at: String,
}

/// Alerts that somebody does not want to hear of for a while.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Silence {
    /// Names it.
    pub(crate) id: String,
    /// Which alerts: those that meet all of these.
    pub(crate) matchers: Vec<Matcher>,
    /// Who does not want to hear of them.
    pub(crate) author: String,
    /// Why.
    pub(crate) reason: String,
    /// When it begins.
    pub(crate) starts_at: Timestamp,
    /// When it ends.
    pub(crate) ends_at: Timestamp,
    /// `pending`, `active` or `over`.
    pub(crate) state: &'static str,
}

impl Silence {
    fn new(silence: alerting::Silence, now: Timestamp) -> Silence {
        let state = match silence.is_active(now) {
            true => "active",
            false if now < silence.starts_at => "pending",
            false => "over",
        };
        let matchers = silence.matchers.into_iter().map(|matcher| Matcher {
            label: matcher.label,
            values: matcher.values,
            is_not: matcher.is_not,
        });
        Silence {
            id: silence.id,
            matchers: matchers.collect(),
            author: silence.author,
            reason: silence.reason,
            starts_at: silence.starts_at,
            ends_at: silence.ends_at,
            state,
        }
    }
}

impl From<SilenceRefused> for Problem {
    fn from(refused: SilenceRefused) -> Problem {
        let code = match &refused {
            SilenceRefused::Matchers => "invalid_matchers",
            SilenceRefused::Over => "ends_past",
            SilenceRefused::TooLong => "ends_too_late",
            SilenceRefused::Who(refused) => refused.code(),
        };
        Problem::bad(code, refused.to_string())
    }
}

/// Silences
///
/// What people do not want to hear of: what is in force, what is to come, and what ended within the last
/// 30 days.
#[utoipa::path(
    get,
    path = "/api/silences",
    tag = "alerts",
    responses((status = 200, description = "Silences, those that end last first.", body = List<Silence>), Errors)
)]
pub(crate) async fn silences(State(app): State<Arc<App>>) -> Result<Json<List<Silence>>, Problem> {
    let now = app.clock.now();
    let mut all = app.store.silences().await?;
    all.sort_by_key(|silence| std::cmp::Reverse(silence.ends_at));
    let all = all.into_iter().map(|silence| Silence::new(silence, now)).collect();
    Ok(Json(List::new("silences", all, None)))
}

/// A silence as it now is.
pub(crate) async fn silence(app: &App, id: &str) -> Result<Json<Silence>, Problem> {
    let all = app.store.silences().await?;
    let found = all.into_iter().find(|silence| silence.id == id).ok_or_else(no_silence)?;
    Ok(Json(Silence::new(found, app.clock.now())))
}

/// Silence alerts
///
/// What is silenced is not told, and is told when the silence ends if it still is so.
#[utoipa::path(
    post,
    path = "/api/silences",
    tag = "alerts",
    request_body = NewSilence,
    responses((status = 200, description = "The silence.", body = Silence), Errors, ActionErrors)
)]
pub(crate) async fn add_silence(
    State(app): State<Arc<App>>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Silence>, Problem> {
    let asked: NewSilence = read(&headers, &body)?;
    let now = app.clock.now();
    let author = who(asked.author.as_deref(), &headers, caller.as_deref());
    let lifecycle = app.store.lifecycle().await?;
    let ends_at = by_hand::until(&asked.ends_at, &lifecycle.calendar).map_err(|_| {
        let detail =
            "`ends_at` is no instant: write it as 2026-12-01T09:00:00Z, or a date as 2026-12-01";
        Problem::bad("invalid_ends_at", detail)
    })?;
    let matchers = asked.matchers.into_iter().map(|matcher| alerting::Matcher {
        label: matcher.label,
        values: matcher.values,
        is_not: matcher.is_not,
    });
    let silence = alerting::Silence::checked(
        app.store.silence_id()?,
        matchers.collect(),
        (author.as_deref(), asked.reason.as_deref()),
        (asked.starts_at.unwrap_or(now), ends_at),
        now,
    )?;
    app.store.add_silence(&silence, now).await?;
    Ok(Json(Silence::new(silence, now)))
}

/// End a silence
///
/// What it silenced and still is so is told within minutes.
#[utoipa::path(
    delete,
    path = "/api/silences/{id}",
    tag = "alerts",
    params(("id" = String, Path, description = "The silence's id.")),
    request_body = By,
    responses((status = 204, description = "It is over."), Errors, ItemErrors, ActionErrors)
)]
pub(crate) async fn end_silence(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let by = by(&headers, &body, caller.as_deref())?;
    let by = by_hand::author(Some(&by.name), None, NeedsReason::No)?;
    match app.store.end_silence(&id, &by.name, app.clock.now()).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(no_silence()),
    }
}

fn no_silence() -> Problem {
    Problem::not_found("silence_not_found", "there is no silence with this id that is not over")
}
