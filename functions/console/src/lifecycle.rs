//! The lifecycle file that is active.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::lifecycle::Subject;
use jiff::Timestamp;
use platform::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::problem::{Errors, Problem};

/// The lifecycle file that is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ActiveLifecycle {
    /// Counts up from 1 with every file that is applied.
    version: u64,
    /// SHA-256 of the file, in hexadecimal: each journal entry names it.
    hash: String,
    /// When it was applied.
    applied_at: Timestamp,
    /// Who applied it, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    /// Why, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The company's name, where the file has one.
    #[schema(required)]
    name: Option<String>,
    /// What a customer is: `account` or `user`.
    #[schema(example = "account")]
    subject: &'static str,
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
    // Read from this file: what the process goes on with may be half a minute older.
    let loaded = domain::lifecycle::load(&active.source).map_err(|found| {
        let first = found.first().map_or_else(String::new, |found| found.message.clone());
        StoreError::Lifecycle(first)
    })?;
    Ok(Json(ActiveLifecycle {
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
    }))
}
