//! A customer's journal: every decision, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::journal::JournalEntry;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::customer::CustomerId;
use crate::page::{List, PageParameters, PageRequest};
use crate::problem::{CustomerErrors, Errors, Problem};
use crate::reason::{Reason, reasons};

/// One decision about a customer. Each entry names the hash of the one before, and is sealed by
/// its own: SHA-256 over its JSON, members in this order, with an empty `hash`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// 1 for the customer's first entry.
    pub(crate) seq: u64,
    /// The instant the decision is of.
    pub(crate) at: Timestamp,
    /// `stage`, `risk`, `finding`, `checkpoint`, `handoff`, `release`; `revision` where a past decision
    /// would have been another, had everything been known then.
    #[schema(example = "stage")]
    pub(crate) kind: &'static str,
    /// What it was; null where there was nothing.
    #[schema(required)]
    pub(crate) from: Option<String>,
    /// What it became.
    #[schema(required)]
    pub(crate) to: Option<String>,
    /// The rule of the lifecycle file that decided.
    #[schema(example = "stages.churned.enter")]
    pub(crate) rule: String,
    /// Why.
    pub(crate) reasons: Vec<Reason>,
    /// Who decided; only where it was a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    /// Why, in the author's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Until when automation keeps away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// The hash of the lifecycle file that decided.
    pub(crate) config_hash: String,
    /// The version under which that file was applied, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_version: Option<u64>,
    /// The hash of the entry before; empty for the first.
    pub(crate) prev: String,
    /// The hash of this entry.
    pub(crate) hash: String,
}

impl From<JournalEntry> for Entry {
    fn from(entry: JournalEntry) -> Entry {
        Entry {
            seq: entry.seq,
            at: entry.at,
            kind: entry.kind.as_str(),
            from: entry.from,
            to: entry.to,
            rule: entry.rule,
            reasons: reasons(entry.reasons),
            author: entry.author,
            reason: entry.reason,
            until: entry.until,
            config_hash: entry.config_hash,
            config_version: entry.config_version,
            prev: entry.prev,
            hash: entry.hash,
        }
    }
}

/// A customer's journal
///
/// Every decision about the customer with its reasons, newest first.
#[utoipa::path(
    get,
    path = "/api/customers/{id}/journal",
    tag = "customers",
    params(CustomerId, PageParameters),
    responses((status = 200, description = "Entries, newest first.", body = List<Entry>), Errors, CustomerErrors)
)]
pub(crate) async fn journal(
    State(app): State<Arc<App>>,
    id: CustomerId,
    page: PageRequest,
) -> Result<Json<List<Entry>>, Problem> {
    let found = id.find(&app.store).await?;
    let list = format!("journal:{}", found.key);
    let start = page.start(&list)?;
    let read = app.store.journal(&found.key, page.limit.into(), start.as_deref()).await?;
    let entries = read.items.into_iter().map(Entry::from).collect();
    Ok(Json(List::new(&list, entries, read.next_cursor)))
}

#[cfg(test)]
mod tests {
    use domain::journal::{Author, Change, Effect, JournalHead};
    use domain::lifecycle::load;
    use domain::lifecycle::presets::PRESETS;

    use super::*;

    #[test]
    fn an_entry_is_shown_as_it_was_sealed() {
        let lifecycle = load(PRESETS[0].source).unwrap();
        let reason = domain::journal::Reason::of_fact("a >= 1".into(), &[("a", 1.5.into())]);
        let at = "2026-02-03T04:05:06.789Z".parse().unwrap();
        let by = Author { name: "kim".into(), reason: Some("we spoke".into()) };
        for effect in [Effect::EnterStage, Effect::MoveByHand { by, until: Some(at) }] {
            let change = Change {
                effect,
                from: None,
                to: Some("onboarding".into()),
                rule: "stages.onboarding.enter".into(),
                reasons: vec![reason.clone()],
            };
            let entry = JournalEntry::seal(&change, at, &lifecycle, &mut JournalHead::default());
            let sealed = serde_json::to_string(&entry).unwrap();
            let shown = serde_json::to_string(&Entry::from(entry)).unwrap();
            assert_eq!(shown, sealed);
        }
    }
}
