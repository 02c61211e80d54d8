//! What could not be taken, set aside with its reason; to be taken again, or dropped.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::feed::Sender;
use jiff::Timestamp;
use platform::handoff::Work;
use platform::store::{self, QuarantineFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::page::{List, PageParameters, PageRequest, Parameters, fitting, given};
use crate::problem::{Errors, ItemErrors, Problem};

/// How many items one request may have taken again.
const MAX_REPLAYED: usize = 10_000;
/// How many of them are handed on together: they are taken within one run of the other function.
const TOGETHER: usize = 100;

/// Something that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Quarantined {
    /// A hash of its path and its bytes: the same thing sent again is set aside once.
    pub(crate) id: String,
    /// When it came.
    pub(crate) received_at: Timestamp,
    /// When it goes by itself.
    pub(crate) expires_at: Timestamp,
    /// Why it was not taken, at its last attempt: a stable word for programs.
    #[schema(example = "missing_user")]
    pub(crate) code: String,
    /// Why, as a sentence.
    pub(crate) message: String,
    /// Who sent it: the label of a write key, the name of a feed, or the `source` of an event.
    #[schema(required, example = "stripe")]
    pub(crate) source: Option<String>,
    /// What `source` is: `write_key`, `feed`, `bus`, `queue` or `import`.
    #[schema(required, example = "feed")]
    pub(crate) source_kind: Option<&'static str>,
    /// The path it came by.
    #[schema(required, example = "/v1/webhooks/stripe")]
    pub(crate) path: Option<String>,
    /// How often it was tried again since.
    pub(crate) attempts: u32,
    /// When it was last tried again.
    #[schema(required)]
    pub(crate) last_attempt_at: Option<Timestamp>,
    /// How many bytes it has; of the largest only the first 256 KB are kept.
    pub(crate) bytes: u64,
    /// What was sent, as text.
    pub(crate) raw: String,
    /// What was sent, in base64, where it is no text.
    #[schema(required)]
    raw_base64: Option<String>,
}

impl From<store::Quarantined> for Quarantined {
    fn from(found: store::Quarantined) -> Quarantined {
        let (source_kind, source) = match found.sender {
            Some(Sender { kind, name }) => (Some(kind.as_str()), Some(name)),
            None => (None, None),
        };
        Quarantined {
            id: found.id,
            received_at: found.received_at,
            expires_at: found.expires_at,
            code: found.code,
            message: found.message,
            source,
            source_kind,
            path: found.path,
            attempts: found.attempts,
            last_attempt_at: found.last_attempt_at,
            bytes: found.bytes,
            raw: found.raw,
            raw_base64: found.raw_base64,
        }
    }
}

/// Which of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct QuarantineParameters {
    /// Only what was not taken for this reason.
    #[param(example = "missing_user")]
    pub(crate) code: Option<String>,
    /// Only what this source sent: the label of a write key, or the name of a feed.
    #[param(example = "stripe")]
    pub(crate) source: Option<String>,
}

/// The quarantine
///
/// What could not be taken in the last 30 days, with the reason, in no particular order.
#[utoipa::path(
    get,
    path = "/api/quarantine",
    tag = "quarantine",
    params(QuarantineParameters, PageParameters),
    responses((status = 200, description = "What was set aside.", body = List<Quarantined>), Errors)
)]
pub(crate) async fn quarantine(
    State(app): State<Arc<App>>,
    Parameters(asked): Parameters<QuarantineParameters>,
    page: PageRequest,
) -> Result<Json<List<Quarantined>>, Problem> {
    let filter = QuarantineFilter { code: given(asked.code), source: given(asked.source) };
    let list = format!("quarantine:{:?}", (&filter.code, &filter.source));
    let start = page.start(&list)?;
    let mut limit = page.limit;
    loop {
        let read = app.store.quarantined(&filter, limit.into(), start.as_deref()).await?;
        let items: Vec<_> = read.items.into_iter().map(Quarantined::from).collect();
        match fitting(&items).and_then(|count| u16::try_from(count).ok()) {
            Some(fewer) if fewer < limit => limit = fewer,
            _ => return Ok(Json(List::new(&list, items, read.next_cursor))),
        }
    }
}

/// There is no such item in quarantine.
fn gone() -> Problem {
    let detail =
        "there is no such item in quarantine: it was taken, dropped, erased, or has expired";
    Problem::not_found("quarantined_not_found", detail)
}

/// An item of the quarantine
///
/// With its reason and what was sent.
#[utoipa::path(
    get,
    path = "/api/quarantine/{id}",
    tag = "quarantine",
    params(("id" = String, Path, description = "The item's id.")),
    responses(
        (status = 200, description = "The item.", body = Quarantined),
        Errors,
        ItemErrors,
    )
)]
pub(crate) async fn quarantined_item(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Quarantined>, Problem> {
    let found = app.store.quarantined_item(&id).await?.ok_or_else(gone)?;
    Ok(Json(found.into()))
}

/// Drop an item of the quarantine
///
/// It is gone for good.
#[utoipa::path(
    delete,
    path = "/api/quarantine/{id}",
    tag = "quarantine",
    params(("id" = String, Path, description = "The item's id.")),
    responses(
        (status = 204, description = "It is gone."),
        Errors,
        ItemErrors,
    )
)]
pub(crate) async fn drop_quarantined_item(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    match app.store.drop_quarantined(&id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(gone()),
    }
}

/// What came of taking an item again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    /// The item's id.
    pub(crate) id: String,
    /// What came of it so far.
    pub(crate) outcome: ReplayedOutcome,
    /// The item, while it is in quarantine: with its newest reason.
    #[schema(required)]
    pub(crate) item: Option<Quarantined>,
}

/// What came of taking an item again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplayedOutcome {
    /// It is stored, and no longer in quarantine.
    Taken,
    /// It was rejected again.
    Rejected,
    /// It is about to be taken.
    Queued,
}

/// Take an item again
///
/// As of when it came, with the lifecycle file of now; it counts once, however often this is asked
/// for. It leaves the quarantine when it is stored. One that is rejected again stays, with its
/// newest reason. On AWS `ingest` does this a moment later: ask for the item to see what came of it.
#[utoipa::path(
    post,
    path = "/api/quarantine/{id}/replay",
    tag = "quarantine",
    params(("id" = String, Path, description = "The item's id.")),
    responses(
        (status = 200, description = "What came of it.", body = Replayed),
        Errors,
        ItemErrors,
    )
)]
pub(crate) async fn replay_quarantined_item(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Replayed>, Problem> {
    let before = app.store.quarantined_item(&id).await?.ok_or_else(gone)?;
    app.handoff.hand_on(Work::Replay(vec![before.id.clone()])).await?;
    let after = app.store.quarantined_item(&id).await?;
    let outcome = match &after {
        None => ReplayedOutcome::Taken,
        Some(after) if after.attempts > before.attempts => ReplayedOutcome::Rejected,
        Some(_) => ReplayedOutcome::Queued,
    };
    Ok(Json(Replayed { id: before.id, outcome, item: after.map(Quarantined::from) }))
}

/// Which items to take again: these, or all that match.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "missing_user", "source": "stripe"}))]
pub(crate) struct ReplayRequest {
    /// These.
    #[schema(min_items = 1, max_items = 10000)]
    #[serde(default)]
    pub(crate) ids: Option<Vec<String>>,
    /// All that were not taken for this reason.
    #[serde(default)]
    #[schema(example = "missing_user")]
    pub(crate) code: Option<String>,
    /// All that this source sent; with `code`, those that match both.
    #[serde(default)]
    #[schema(example = "stripe")]
    pub(crate) source: Option<String>,
    /// Everything.
    #[serde(default)]
    pub(crate) all: Option<bool>,
}

/// How many items are taken again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayStarted {
    /// How many matched.
    pub(crate) matched: usize,
    /// Whether more match than one request takes: ask again when these are done.
    pub(crate) more: bool,
}

/// Take items again
///
/// Those of a list, or all with a reason or from a source, at most 10,000 at a time; see `POST
/// /api/quarantine/{id}/replay`. On AWS they are taken by and by: the list shows what is left.
#[utoipa::path(
    post,
    path = "/api/quarantine/replay",
    tag = "quarantine",
    request_body = ReplayRequest,
    responses((status = 200, description = "How many are taken again.", body = ReplayStarted), Errors)
)]
pub(crate) async fn replay_quarantine(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<ReplayStarted>, Problem> {
    let asked: ReplayRequest = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!(
            "the body must be JSON with `ids`, or with `code`, `source` or both, or with `all`; it is \
             not at line {}, column {}",
            error.line(),
            error.column()
        );
        Problem::bad("invalid_request", detail)
    })?;
    let filter = QuarantineFilter { code: given(asked.code), source: given(asked.source) };
    let is_filtered = filter != QuarantineFilter::default();
    let is_all = asked.all == Some(true);
    let (ids, more) = match asked.ids {
        Some(ids) if is_filtered || is_all || ids.is_empty() || ids.len() > MAX_REPLAYED => {
            let detail = format!("give from 1 to {MAX_REPLAYED} `ids` and nothing beside them");
            return Err(Problem::bad("invalid_request", detail));
        }
        Some(ids) => (ids, false),
        None if is_filtered != is_all => app.store.quarantined_ids(&filter, MAX_REPLAYED).await?,
        None => {
            let detail = "say which: `ids`, or `code` and `source`, or `all` as true";
            return Err(Problem::bad("invalid_request", detail));
        }
    };
    for together in ids.chunks(TOGETHER) {
        app.handoff.hand_on(Work::Replay(together.to_vec())).await?;
    }
    Ok(Json(ReplayStarted { matched: ids.len(), more }))
}
