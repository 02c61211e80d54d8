//! From the text of a delivery to its calls, each of which is read alone.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::call::{self, Call, Came, Delivery, Rejection, Shared};

/// How many calls of a batch are taken.
pub(crate) const MAX_CALLS: usize = 2_500;
/// The most a batch may say of all its calls: it is copied into each of them.
const MAX_SHARED_BYTES: usize = 16 * 1024;
/// How much of what is beyond [`MAX_CALLS`] is set aside as one.
const OVERFLOW_BYTES: usize = 200 * 1024;

/// A call of a delivery, or several that are rejected as one.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// Its place in the delivery.
    pub(crate) indexes: Range<usize>,
    /// Its text, for the quarantine.
    pub(crate) raw: Cow<'a, str>,
    /// What it says.
    pub(crate) call: Result<Call, Rejection>,
    /// How it came in.
    pub(crate) came: Arc<Came>,
}

/// A batch whose calls are not read yet.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// The write key in the body.
    pub(crate) write_key: Option<String>,
    /// What is said of all calls.
    pub(crate) shared: Shared,
    calls: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct BatchWire<'a> {
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
    #[serde(rename = "writeKey")]
    write_key: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
    integrations: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    #[serde(rename = "sentAt")]
    sent_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WriteKeyWire<'a> {
    #[serde(rename = "writeKey", borrow)]
    write_key: Option<&'a RawValue>,
}

impl<'a> Batch<'a> {
    /// Splits a batch into its calls.
    ///
    /// # Errors
    /// When it is no JSON object with a list `batch`, or says too much of all calls.
    pub(crate) fn read(text: &'a str) -> Result<Batch<'a>, Rejection> {
        let wire: BatchWire = object(text).ok_or_else(|| {
            Rejection::new("invalid_json", "the body must be a JSON object with a list `batch`")
        })?;
        let shared = [wire.context, wire.integrations, wire.timestamp, wire.sent_at];
        if shared.iter().flatten().any(|value| value.get().len() > MAX_SHARED_BYTES) {
            let message = format!(
                "`context`, `integrations`, `timestamp` or `sentAt` of the batch is larger than \
                 {MAX_SHARED_BYTES} bytes; send it with each call"
            );
            return Err(Rejection::new("too_large", message));
        }
        Ok(Batch {
            write_key: value(wire.write_key),
            shared: Shared {
                context: value(wire.context).unwrap_or_default(),
                integrations: value(wire.integrations).unwrap_or_default(),
                timestamp: value(wire.timestamp),
                sent_at: value(wire.sent_at),
            },
            calls: wire.batch,
        })
    }

    /// Reads the calls. Those beyond the largest number are rejected, and set aside in batches
    /// that can be sent again.
    pub(crate) fn items(&self, delivery: &Delivery) -> Vec<Item<'a>> {
        let taken = self.calls.iter().take(MAX_CALLS).enumerate();
        let mut items: Vec<Item> =
            taken.map(|(index, raw)| Item::parse(raw.get(), index, delivery)).collect();
        let mut index = MAX_CALLS;
        while index < self.calls.len() {
            let from = index;
            let mut bytes = 0;
            while index < self.calls.len()
                && (index == from || bytes + self.calls[index].get().len() <= OVERFLOW_BYTES)
            {
                bytes += self.calls[index].get().len() + 1;
                index += 1;
            }
            let calls: Vec<&str> = self.calls[from..index].iter().map(|raw| raw.get()).collect();
            let message = format!("a batch may have {MAX_CALLS} calls; send these in another");
            items.push(Item {
                indexes: from..index,
                raw: Cow::Owned(format!("{{\"batch\":[{}]}}", calls.join(","))),
                call: Err(Rejection::new("too_many", message)),
                came: Arc::clone(&delivery.came),
            });
        }
        items
    }
}

impl<'a> Item<'a> {
    /// Reads one call, the `index`th of its delivery.
    pub(crate) fn parse(raw: &'a str, index: usize, delivery: &Delivery) -> Item<'a> {
        let call = call::parse(raw, index, delivery);
        let came = Arc::clone(&delivery.came);
        Item { indexes: index..index + 1, raw: Cow::Borrowed(raw), call, came }
    }

    /// Something that is no call.
    pub(crate) fn rejected(raw: &'a str, rejection: Rejection, delivery: &Delivery) -> Item<'a> {
        let came = Arc::clone(&delivery.came);
        Item { indexes: 0..1, raw: Cow::Borrowed(raw), call: Err(rejection), came }
    }
}

/// The write key in the body of a single call.
///
/// # Errors
/// When the body is no JSON object.
pub(crate) fn write_key(text: &str) -> Result<Option<String>, Rejection> {
    let wire: WriteKeyWire = object(text)
        .ok_or_else(|| Rejection::new("invalid_json", "the body must be a JSON object"))?;
    Ok(value(wire.write_key))
}

/// Reads a JSON object; a list whose items happen to fit its members is none.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let text = text.trim_start().starts_with('{').then_some(text)?;
    serde_json::from_str(text).ok()
}

fn value<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

#[cfg(test)]
mod tests {
    use domain::feed::{Sender, SenderKind};
    use domain::lifecycle::Subject;
    use jiff::Timestamp;

    use super::*;

    fn delivery() -> Delivery<'static> {
        let now: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
        let came = Arc::new(Came::new(Sender::new(SenderKind::Queue, "queue"), None));
        let (subject, shield) = (Subject::User, None);
        Delivery { subject, now, oldest: None, origin: "", kind: None, came, shield }
    }

    #[test]
    fn one_bad_call_does_not_lose_the_others() {
        let text = r#"{"batch":[{"type":"page","userId":"u"},17,{"x":"\ud83d"},
            {"type":"page","userId":"v","name":"\ud83d"}],"writeKey":"dev"}"#;
        let batch = Batch::read(text).unwrap();
        assert_eq!(batch.write_key.as_deref(), Some("dev"));
        let items = batch.items(&delivery());
        let taken: Vec<bool> = items.iter().map(|item| item.call.is_ok()).collect();
        assert_eq!(taken, [true, false, false, true]);
        assert_eq!(items[2].raw, r#"{"x":"\ud83d"}"#);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for text in ["", "{", "[]", "[[]]", "{}", r#"{"batch":{}}"#, r#"{"batch":[]}x"#, "null"] {
            assert_eq!(Batch::read(text).unwrap_err().code, "invalid_json", "{text}");
        }
        let context = "x".repeat(MAX_SHARED_BYTES);
        let text = format!(r#"{{"batch":[],"context":{{"a":"{context}"}}}}"#);
        assert_eq!(Batch::read(&text).unwrap_err().code, "too_large");
    }

    #[test]
    fn a_list_is_no_call() {
        assert_eq!(write_key(r#"["dev"]"#).unwrap_err().code, "invalid_json");
        assert_eq!(write_key(r#"{"writeKey":"dev"}"#), Ok(Some("dev".to_owned())));
        assert_eq!(write_key(r#"{"writeKey":7}"#), Ok(None));
    }

    #[test]
    fn calls_beyond_the_limit_are_set_aside_in_batches_that_can_be_sent_again() {
        let call = format!(r#"{{"type":"page","userId":"{}"}}"#, "u".repeat(300));
        let count = MAX_CALLS + 1_000;
        let text = format!(r#"{{"batch":[{}]}}"#, vec![call; count].join(","));
        let items = Batch::read(&text).unwrap().items(&delivery());
        assert_eq!(items.len(), MAX_CALLS + 2);
        assert_eq!(items.last().unwrap().indexes.end, count);
        for item in &items[MAX_CALLS..] {
            assert_eq!(item.call.as_ref().unwrap_err().code, "too_many");
            let again = Batch::read(&item.raw).unwrap();
            assert_eq!(again.calls.len(), item.indexes.len());
        }
    }
}
