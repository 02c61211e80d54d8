//! A customer's events, newest first, as they were received.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::event::{Event, EventKind};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::App;
use crate::customer::CustomerId;
use crate::page::{List, PageParameters, PageRequest, fitting};
use crate::problem::{CustomerErrors, Errors, Problem};

/// An event as it was received, with what it was read as.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReceivedEvent {
    /// The sender's message id.
    pub(crate) id: String,
    /// `track`, `identify`, `group`, `page`, `screen` or `alias`.
    #[serde(rename = "type")]
    #[schema(example = "track")]
    pub(crate) kind: &'static str,
    /// The name of a `track` event, else the word of its type.
    pub(crate) event: String,
    /// When it happened.
    pub(crate) timestamp: Timestamp,
    /// When it was received.
    pub(crate) received_at: Timestamp,
    /// The user it is about.
    #[schema(required)]
    pub(crate) user: Option<String>,
    /// Everything else its sender sent.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub(crate) sent: serde_json::Map<String, Value>,
}

impl From<Event> for ReceivedEvent {
    fn from(event: Event) -> ReceivedEvent {
        let mut sent = event.body;
        for shown in ["id", "type", "event", "timestamp", "received_at", "user"] {
            sent.remove(shown);
        }
        let is_track = event.kind == EventKind::Track;
        ReceivedEvent {
            id: event.id,
            kind: event.kind.as_str(),
            event: if is_track { event.name } else { event.kind.as_str().to_owned() },
            timestamp: event.at,
            received_at: event.received_at,
            user: event.user,
            sent,
        }
    }
}

/// A customer's events
///
/// The events in the customer's log as they were received, newest first.
#[utoipa::path(
    get,
    path = "/api/customers/{id}/events",
    tag = "customers",
    params(CustomerId, PageParameters),
    responses((status = 200, description = "Events, newest first.", body = List<ReceivedEvent>), Errors, CustomerErrors)
)]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    id: CustomerId,
    page: PageRequest,
) -> Result<Json<List<ReceivedEvent>>, Problem> {
    let found = id.find(&app.store).await?;
    let list = format!("events:{}", found.key);
    let start = page.start(&list)?;
    let mut limit = page.limit;
    loop {
        let read = app.store.event_page(&found.key, limit.into(), start.as_deref()).await?;
        let events: Vec<_> = read.items.into_iter().map(ReceivedEvent::from).collect();
        match fitting(&events).and_then(|count| u16::try_from(count).ok()) {
            Some(fewer) if fewer < limit => limit = fewer,
            _ => return Ok(Json(List::new(&list, events, read.next_cursor))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_keeps_its_own_fields_beside_what_it_was_read_as() {
        let body = json!({
            "type": "identify", "messageId": "m1", "userId": 7, "timestamp": "yesterday",
            "user": {"nested": true}, "traits": {"plan": "team"}, "event": "spurious",
        });
        let at: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
        let event = Event::from_body("m1".into(), at, at, body.as_object().unwrap().clone());
        let shown = serde_json::to_value(ReceivedEvent::from(event.unwrap())).unwrap();
        assert_eq!(
            shown,
            json!({
                "id": "m1", "type": "identify", "event": "identify", "user": "7",
                "timestamp": "2026-02-03T04:05:06Z", "received_at": "2026-02-03T04:05:06Z",
                "messageId": "m1", "userId": 7, "traits": {"plan": "team"},
            })
        );
    }
}
