//! The lifecycle file that is active, and the way back to one before it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use domain::by_hand::{self, NeedsReason};
use domain::lifecycle::Subject;
use jiff::Timestamp;
use platform::StoreError;
use platform::store::{ApplyOutcome, By, Configuration};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::App;
use crate::by_hand::{read, who};
use crate::gateway::Caller;
use crate::problem::{ActionErrors, Errors, Problem};

/// The lifecycle file that is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ActiveLifecycle {
    /// Counts up from 1 with every file that is applied.
    pub(crate) version: u64,
    /// SHA-256 of the file, in hexadecimal: each journal entry names it.
    pub(crate) hash: String,
    /// When it was applied.
    pub(crate) applied_at: Timestamp,
    /// Who applied it, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    /// Why, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// The company's name, where the file has one.
    #[schema(required)]
    pub(crate) name: Option<String>,
    /// What a customer is: `account` or `user`.
    #[schema(example = "account")]
    pub(crate) subject: &'static str,
}

/// The active lifecycle file
///
/// Which file decides at present, and since when.
#[utoipa::path(
    get,
    path = "/api/lifecycle",
    tag = "workspace",
    responses((status = 200, description = "The active file.", body = ActiveLifecycle), Errors)
)]
pub(crate) async fn lifecycle(
    State(app): State<Arc<App>>,
) -> Result<Json<ActiveLifecycle>, Problem> {
    let active = app.store.configuration().await?.ok_or(StoreError::NoLifecycle)?;
    told(active).map(Json)
}

fn told(active: Configuration) -> Result<ActiveLifecycle, Problem> {
    // Read from this file: what the process goes on with may be half a minute older.
    let loaded = domain::lifecycle::load(&active.source).map_err(|found| {
        let first = found.first().map_or_else(String::new, |found| found.message.clone());
        StoreError::Lifecycle(first)
    })?;
    Ok(ActiveLifecycle {
        version: active.version,
        hash: active.hash,
        applied_at: active.applied_at,
        author: active.by.author,
        message: active.by.message,
        name: loaded.name,
        subject: match loaded.subject {
            Subject::Account => "account",
            Subject::User => "user",
        },
    })
}

/// Which version to go back to, and on top of which one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// The version that is to be active again: its number.
    #[schema(example = "3")]
    version: String,
    /// The version that is active as far as the caller knows: where another is by now, nothing is done.
    #[schema(example = "4")]
    active: String,
    /// Why, in a sentence.
    message: Option<String>,
    /// Who decides; the caller's identity where it is absent.
    author: Option<String>,
}

/// Roll the lifecycle file back
///
/// Makes an earlier version the active one again, as a new version. Running functions go by it within a
/// minute; what it counts and the present one does not is counted by the next nightly run.
#[utoipa::path(
    post,
    path = "/api/lifecycle/rollback",
    tag = "workspace",
    request_body = Rollback,
    responses((status = 200, description = "The active file.", body = ActiveLifecycle), Errors, ActionErrors)
)]
pub(crate) async fn rollback(
    State(app): State<Arc<App>>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ActiveLifecycle>, Problem> {
    let asked: Rollback = read(&headers, &body)?;
    let who = who(asked.author.as_deref(), &headers, caller.as_deref());
    let by = by_hand::author(who.as_deref(), asked.message.as_deref(), NeedsReason::No)?;
    let number = |text: &str| {
        let detail = "`version` and `active` are numbers of versions, as 3";
        text.parse::<u64>().map_err(|_| Problem::bad("invalid_version", detail))
    };
    let (version, active) = (number(&asked.version)?, number(&asked.active)?);
    let found =
        app.store.configuration_version(version).await?.ok_or_else(|| {
            Problem::bad("unknown_version", format!("there is no version {version}"))
        })?;
    if let Err(found) = domain::lifecycle::load(&found.source) {
        let first = found.first().map_or_else(String::new, |found| found.message.clone());
        let detail = format!("version {version} can no longer be used: {first}");
        return Err(Problem::bad("invalid_version", detail));
    }
    let message = by.reason.unwrap_or_else(|| format!("back to version {version}"));
    let by = By { author: Some(by.name), message: Some(message) };
    let now = app.clock.now();
    match app.store.apply_version(&found.source, &found.hash, &by, active, now).await? {
        ApplyOutcome::Applied(active) | ApplyOutcome::Unchanged(active) => told(active).map(Json),
        ApplyOutcome::Overtaken(_) => Err(Problem::overtaken()),
    }
}
