//! What was set aside, taken again: after a map was mended, or a rule of this function was.
//!
//! It is taken as of when it arrived, with the path and the sender it came by, through the same
//! pipeline as everything else, under the lifecycle file of now.
//!
//! Invariants: it leaves the quarantine only after everything in it is stored. Whoever dies before
//! that leaves it there, and taking it again counts nothing twice: its calls have the same ids each
//! time. What is rejected again stays, with its newest reason; of a batch, each call that is
//! rejected is set aside alone.

use std::sync::Arc;

use domain::feed::{Sender, SenderKind};
use futures::stream::{self, StreamExt};
use platform::StoreError;
use platform::store::{Attempt, Quarantined};
use platform::telemetry::Counts;
use serde::Serialize;

use crate::call::Came;
use crate::items::Item;
use crate::mend::mend;
use crate::{App, body, bus, forms, take};

/// How many items are taken at once.
const PARALLEL: usize = 8;

/// What became of an item that was taken again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Its id.
    pub id: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: ReplayOutcome,
    /// What was counted.
    #[serde(skip)]
    pub counts: Counts,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReplayOutcome {
    /// It is stored, or was already, and is no longer in quarantine.
    Taken,
    /// It is still in quarantine.
    Rejected {
        /// Why: a stable word for programs.
        code: String,
        /// Why, as a sentence.
        message: String,
    },
    /// There is no such item: it was taken, dropped or erased meanwhile.
    Gone,
}

/// Takes items of the quarantine again: what became of each, in their order.
///
/// # Errors
/// When something could not be stored; the others are done by then, and doing it again goes on.
pub async fn replay(app: &App, ids: &[String]) -> Result<Vec<Replayed>, Arc<StoreError>> {
    let work: Vec<_> = ids.iter().map(|id| replay_one(app, id)).collect();
    let done: Vec<_> = stream::iter(work).buffered(PARALLEL).collect().await;
    done.into_iter().collect()
}

async fn replay_one(app: &App, id: &str) -> Result<Replayed, Arc<StoreError>> {
    let replayed = |outcome, counts| Replayed { id: id.to_owned(), outcome, counts };
    let found = app.store.quarantined_item(id).await.map_err(Arc::new)?;
    let Some(found) = found else {
        return Ok(replayed(ReplayOutcome::Gone, Counts::default()));
    };
    let text = match readable(&found) {
        Some(text) => text,
        None => {
            let kept = keep(app, &found, &found.code, &found.message).await;
            let outcome = kept.map_err(Arc::new)?;
            return Ok(replayed(outcome, Counts::default()));
        }
    };
    let lifecycle = app.store.lifecycle().await.map_err(Arc::new)?;
    let delivery = app.delivery(&lifecycle, found.received_at, &found.id, came(&found)).await;
    let delivery = delivery.map_err(Arc::new)?;
    let items = forms::read(&text, &lifecycle, delivery).items;
    let (same, others): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.call.is_err() && item.raw == text);
    let outcomes = take::take_again(&app.store, &lifecycle, others, app.now()).await;
    if let Some(error) = take::first_failure(&outcomes) {
        return Err(Arc::clone(error));
    }
    let counts = take::counts(&outcomes);
    let rejected = same.into_iter().find_map(|item| item.call.err());
    let outcome = match rejected {
        Some(rejection) => keep(app, &found, rejection.code, &rejection.message).await,
        None => app.store.drop_quarantined(&found.id).await.map(|_| ReplayOutcome::Taken),
    };
    Ok(replayed(outcome.map_err(Arc::new)?, counts))
}

/// Leaves an item in quarantine with its newest reason.
async fn keep(
    app: &App,
    found: &Quarantined,
    code: &str,
    message: &str,
) -> Result<ReplayOutcome, StoreError> {
    app.store.note_attempt(&found.id, Attempt { code, message }, app.now()).await?;
    Ok(ReplayOutcome::Rejected { code: code.to_owned(), message: message.to_owned() })
}

/// The text of an item, if there is any sense in reading it again: not all of it may have been kept,
/// a row of a file is imported with its file, and a webhook's body that could not be split into
/// items does not say whose they are.
fn readable(found: &Quarantined) -> Option<String> {
    let is_imported = found.sender.as_ref().is_some_and(|by| by.kind == SenderKind::Import);
    if found.is_cut() || is_imported {
        return None;
    }
    let text = body::text(&found.kept()).ok()?;
    let is_webhook = found.path.as_ref().is_some_and(|path| path.starts_with("/v1/webhooks/"));
    if is_webhook && !bus::is_event(&text) {
        return None;
    }
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    Some(if is_json { text } else { mend(&text).unwrap_or(text) })
}

fn came(found: &Quarantined) -> Came {
    let shared = found.shared.clone().and_then(|shared| serde_json::from_value(shared).ok());
    // What an older version of this function set aside has no sender.
    let sender = found.sender.clone().unwrap_or_else(|| Sender::new(SenderKind::Queue, "queue"));
    Came { sender, path: found.path.clone(), shared: shared.unwrap_or_default() }
}
