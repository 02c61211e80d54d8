//! From what another system sends to tracking calls, by the map of its feed.

use std::borrow::Cow;
use std::sync::Arc;

use domain::event::id_text;
use domain::feed::{Feed, Mapped, Sender, SenderKind};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::call::{self, Delivery, Rejection};
use crate::items::{Item, MAX_CALLS};
use crate::when;

/// An item of a body: its text for the quarantine, and what it says.
pub(crate) type Part<'a> = (Cow<'a, str>, Result<Json, Rejection>);

/// What an item is known by, and when it happened, where its feed's map does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Identity {
    pub(crate) id: Option<String>,
    pub(crate) time: Option<Json>,
}

/// The items of a delivery that are events of ours, or cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Mapping<'a> {
    pub(crate) items: Vec<Item<'a>>,
    /// How many are none of ours.
    pub(crate) ignored: usize,
}

impl<'a> Mapping<'a> {
    /// One item.
    pub(crate) fn of(item: Item<'a>) -> Mapping<'a> {
        Mapping { items: vec![item], ignored: 0 }
    }
}

/// Splits a body into items. Those of a list are read each alone.
///
/// # Errors
/// When it is no JSON, or a list that is too long.
pub(crate) fn split<'a>(feed: &Feed, text: &'a str) -> Result<Vec<Part<'a>>, Rejection> {
    let is_list = feed.each.is_none() && text.trim_start().starts_with('[');
    let items: Vec<Part> = match is_list.then(|| serde_json::from_str::<Vec<&RawValue>>(text)) {
        Some(Ok(items)) => items
            .into_iter()
            .map(|raw| (Cow::Borrowed(raw.get()), call::value(raw.get())))
            .collect(),
        // One that is refused as a whole may be mended as a whole.
        Some(Err(_)) | None => {
            let body = call::value(text)?;
            match feed.items(&body) {
                [item] if *item == body => vec![(Cow::Borrowed(text), Ok(body))],
                items => items
                    .iter()
                    .map(|item| (Cow::Owned(item.to_string()), Ok(item.clone())))
                    .collect(),
            }
        }
    };
    if items.len() > MAX_CALLS {
        let message = format!("a body may have {MAX_CALLS} items");
        return Err(Rejection::new("too_many", message));
    }
    Ok(items)
}

/// The items as tracking calls, known by an id of their feed's own.
pub(crate) fn map<'a>(
    feed: &Feed,
    parts: Vec<Part<'a>>,
    identity: impl Fn(usize) -> Identity,
    delivery: &Delivery,
) -> Mapping<'a> {
    let mut mapping = Mapping::default();
    let came = delivery.sent_by(Sender::new(SenderKind::Feed, &feed.name));
    for (index, (raw, item)) in parts.into_iter().enumerate() {
        let call = item.map(|item| feed.call(&item, delivery.subject));
        let call = match call {
            Ok(Mapped::Ignored) => {
                mapping.ignored += 1;
                continue;
            }
            Ok(Mapped::Call(body)) => {
                let body = identified(body, &feed.name, identity(index));
                call::read(body, index, delivery)
            }
            Err(rejection) => Err(rejection),
        };
        let came = Arc::clone(&came);
        mapping.items.push(Item { indexes: index..index + 1, raw, call, came });
    }
    mapping
}

/// A call whose id is one of its feed's alone, and whose time is told where anything tells it.
fn identified(mut body: Map<String, Json>, feed: &str, identity: Identity) -> Map<String, Json> {
    let id = body.get("messageId").and_then(id_text).or(identity.id);
    if let Some(id) = id {
        body.insert("messageId".to_owned(), format!("{feed}:{id}").into());
    }
    if when::told(&body).is_none()
        && let Some(time) = identity.time
    {
        body.insert("timestamp".to_owned(), time);
    }
    body
}
