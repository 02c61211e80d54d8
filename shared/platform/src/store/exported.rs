//! Items as DynamoDB JSON: what an export to S3 writes, line by line, and what the embedded engine
//! keeps.
//!
//! Invariant: nothing that is read here is trusted; an item that is none of ours is an error of its
//! own and stops no other.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::customer::Status;
use domain::event::Event;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};

use super::{CustomerKey, StoreError};
use crate::codec;

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "S", borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Number<'a> {
    #[serde(rename = "N", borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Bytes<'a> {
    #[serde(rename = "B", borrow)]
    base64: Cow<'a, str>,
}

impl Bytes<'_> {
    fn decode(&self, table: &'static str) -> Result<Vec<u8>, StoreError> {
        let wrong = |_| StoreError::Item { table, what: "base64" };
        BASE64_STANDARD.decode(self.base64.as_bytes()).map_err(wrong)
    }
}

#[derive(Deserialize)]
struct EventItem<'a> {
    #[serde(borrow)]
    pk: Text<'a>,
    #[serde(borrow)]
    sk: Text<'a>,
    /// Of a signpost: it has nothing else.
    elsewhere: Option<IgnoredAny>,
    #[serde(borrow)]
    t: Option<Number<'a>>,
    #[serde(borrow)]
    r: Option<Number<'a>>,
    #[serde(borrow)]
    b: Option<Bytes<'a>>,
}

#[derive(Deserialize)]
struct CustomerItem<'a> {
    #[serde(borrow)]
    pk: Text<'a>,
    #[serde(borrow)]
    status: Bytes<'a>,
}

/// An event of the log, still packed: small enough to hold a whole export of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedEvent {
    id: Box<str>,
    at_ms: i64,
    received_ms: i64,
    body: Box<[u8]>,
}

impl PackedEvent {
    /// Reads an item of the events table: whose it is, and the event; `None` for a signpost, which
    /// is no event.
    ///
    /// # Errors
    /// When it is no item of ours.
    pub fn of_json(item: &str) -> Result<Option<(CustomerKey, PackedEvent)>, StoreError> {
        let wrong = |what| StoreError::Item { table: "events", what };
        let item: EventItem<'_> = serde_json::from_str(item).map_err(|_| wrong("json"))?;
        let (_, id) = item.sk.text.split_once('#').ok_or(wrong("sk"))?;
        if item.elsewhere.is_some() {
            return Ok(None);
        }
        let number = |found: Option<Number<'_>>, what| {
            found.and_then(|found| found.text.parse().ok()).ok_or(wrong(what))
        };
        let packed = PackedEvent {
            id: id.into(),
            at_ms: number(item.t, "t")?,
            received_ms: number(item.r, "r")?,
            body: item.b.ok_or(wrong("b"))?.decode("events")?.into(),
        };
        Ok(Some((CustomerKey::stored(&item.pk.text), packed)))
    }

    /// The event.
    ///
    /// # Errors
    /// When its bytes are damaged.
    pub fn unpack(&self) -> Result<Event, StoreError> {
        let wrong = |what| StoreError::Item { table: "events", what };
        let bytes = codec::grow(&self.body)
            .map_err(|source| StoreError::Codec { table: "events", source })?;
        let body: Map<String, Json> = serde_json::from_slice(&bytes).map_err(|_| wrong("b"))?;
        let at = Timestamp::from_millisecond(self.at_ms).map_err(|_| wrong("t"))?;
        let received = Timestamp::from_millisecond(self.received_ms).map_err(|_| wrong("r"))?;
        Event::from_body(self.id.to_string(), at, received, body).map_err(|_| wrong("b"))
    }
}

/// Reads an item of the customers table: who it is, and what was decided.
///
/// # Errors
/// When it is none.
pub fn customer_of_json(item: &str) -> Result<(CustomerKey, Status), StoreError> {
    let wrong = |what| StoreError::Item { table: "customers", what };
    let item: CustomerItem<'_> = serde_json::from_str(item).map_err(|_| wrong("json"))?;
    let status = codec::unpack(&item.status.decode("customers")?)
        .map_err(|source| StoreError::Codec { table: "customers", source })?;
    Ok((CustomerKey::stored(&item.pk.text), status))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_from_dynamodb_json() {
        let body = json!({ "type": "track", "event": "login", "userId": "käse" });
        let packed = codec::shrink(body.to_string().as_bytes());
        let item = json!({
            "pk": { "S": "acme" }, "sk": { "S": "0486488#m#1" }, "t": { "N": "1751358003204" },
            "r": { "N": "1751358003999" }, "b": { "B": BASE64_STANDARD.encode(packed) },
            "expires": { "N": "1830163486" },
        });
        let (key, packed) = PackedEvent::of_json(&item.to_string()).unwrap().unwrap();
        let event = packed.unpack().unwrap();
        assert_eq!((key.as_str(), event.id.as_str()), ("acme", "m#1"));
        assert_eq!((event.name.as_str(), event.user.as_deref()), ("login", Some("käse")));
        assert_eq!(event.at.as_millisecond(), 1_751_358_003_204);
        assert_eq!(event.received_at.as_millisecond(), 1_751_358_003_999);
    }

    #[test]
    fn a_signpost_is_no_event() {
        let item =
            r#"{"pk":{"S":"a"},"sk":{"S":"0486488#m"},"elsewhere":{"N":"1"},"expires":{"N":"1"}}"#;
        assert_eq!(PackedEvent::of_json(item).unwrap(), None);
    }

    #[test]
    fn what_is_no_item_of_ours_is_an_error() {
        for item in [
            "",
            "{}",
            "[]",
            r#"{"pk":{"N":"1"}}"#,
            r#"{"pk":{"S":"a"},"sk":{"S":"no"},"t":{"N":"1"},"r":{"N":"1"},"b":{"B":""}}"#,
            r#"{"pk":{"S":"a"},"sk":{"S":"1#x"},"t":{"N":"x"},"r":{"N":"1"},"b":{"B":""}}"#,
            r#"{"pk":{"S":"a"},"sk":{"S":"1#x"},"t":{"N":"1"},"r":{"N":"1"},"b":{"B":"!"}}"#,
        ] {
            assert!(PackedEvent::of_json(item).is_err(), "{item}");
            assert!(customer_of_json(item).is_err(), "{item}");
        }
        let damaged =
            r#"{"pk":{"S":"a"},"sk":{"S":"1#x"},"t":{"N":"1"},"r":{"N":"1"},"b":{"B":"AXh4"}}"#;
        assert!(PackedEvent::of_json(damaged).unwrap().unwrap().1.unpack().is_err());
    }
}
