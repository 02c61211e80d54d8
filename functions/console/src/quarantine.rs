//! What could not be taken, set aside with its reason.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use platform::store;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::page::{List, PageParameters, PageRequest, fitting};
use crate::problem::{Errors, Problem};

/// Something that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Quarantined {
    /// A hash of its bytes: the same thing sent again is set aside once.
    id: String,
    /// When it came.
    received_at: Timestamp,
    /// A stable word for programs.
    code: String,
    /// Why, as a sentence.
    message: String,
    /// What was sent, as text; of the largest only the first 256 KB.
    raw: String,
}

impl From<store::Quarantined> for Quarantined {
    fn from(found: store::Quarantined) -> Quarantined {
        let store::Quarantined { id, received_at, code, message, raw } = found;
        Quarantined { id, received_at, code, message, raw }
    }
}

/// The quarantine
///
/// What could not be taken in the last 30 days, with the reason, in no particular order.
#[utoipa::path(
    get,
    path = "/api/quarantine",
    tag = "workspace",
    params(PageParameters),
    responses((status = 200, description = "What was set aside.", body = List<Quarantined>), Errors)
)]
pub(crate) async fn quarantine(
    State(app): State<Arc<App>>,
    page: PageRequest,
) -> Result<Json<List<Quarantined>>, Problem> {
    let start = page.start("quarantine")?;
    let mut limit = page.limit;
    loop {
        let read = app.store.quarantined(limit.into(), start.as_deref()).await?;
        let items: Vec<_> = read.items.into_iter().map(Quarantined::from).collect();
        match fitting(&items).and_then(|count| u16::try_from(count).ok()) {
            Some(fewer) if fewer < limit => limit = fewer,
            _ => return Ok(Json(List::new("quarantine", items, read.next_cursor))),
        }
    }
}
