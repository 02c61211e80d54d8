//! One tracking call, read alone.

use std::sync::Arc;

use domain::event::{Event, EventKind, Malformed, id_text};
use domain::feed::Sender;
use domain::lifecycle::Subject;
use domain::personal::Shield;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::items;
use crate::mend::mend;
use crate::when::{self, Clocks, When};
use crate::who::{self, Who};

/// The largest call. Trackers promise 32 KiB and send up to 200 kB; an item of the log ends at
/// 400 KB.
pub(crate) const MAX_CALL_BYTES: usize = 256 * 1024;
/// How deep objects and lists may be nested: half of what the parser takes without overflowing.
const MAX_DEPTH: usize = 64;
/// The longest message id, in bytes: it is a part of a key.
const MAX_MESSAGE_ID_BYTES: usize = 256;

/// Why a call is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// What is wrong, as a sentence.
    pub(crate) message: String,
    /// The call's own id, if it could be read.
    pub(crate) message_id: Option<String>,
}

impl Rejection {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Rejection {
        Rejection { code, message: message.into(), message_id: None }
    }
}

impl From<Malformed> for Rejection {
    fn from(malformed: Malformed) -> Rejection {
        Rejection::new(malformed.code(), malformed.to_string())
    }
}

/// A call that is understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// The event. Without an instant of its own it is, for now, that of its arrival.
    pub(crate) event: Event,
    /// Whether the event has an instant of its own.
    pub(crate) when: When,
    /// Whom it is about.
    pub(crate) who: Who,
    /// The id that its user had before, as an `alias` call tells.
    pub(crate) previous: Option<String>,
}

/// What the calls of one delivery have in common.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// What a customer is.
    pub(crate) subject: Subject,
    /// When it arrived.
    pub(crate) now: Timestamp,
    /// What happened before this instant is not taken; `None` where history is told.
    pub(crate) oldest: Option<Timestamp>,
    /// What tells this delivery from another of the same content: calls that have neither an id
    /// nor a time are told apart by it.
    pub(crate) origin: &'a str,
    /// The kind of call the path names; it outranks `type`.
    pub(crate) kind: Option<EventKind>,
    /// How it came in.
    pub(crate) came: Arc<Came>,
    /// What keeps personal traits from being stored as told, where the lifecycle has any.
    pub(crate) shield: Option<Arc<Shield>>,
}

impl Delivery<'_> {
    /// The same delivery from another sender.
    pub(crate) fn sent_by(&self, sender: Sender) -> Arc<Came> {
        Arc::new(Came { sender, ..(*self.came).clone() })
    }

    /// Adds what its batch says of all calls.
    pub(crate) fn share(&mut self, shared: &Shared) {
        if !shared.is_empty() {
            Arc::make_mut(&mut self.came).shared = shared.clone();
        }
    }
}

/// How something came in: what is kept beside what cannot be taken, so that it can be taken again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Came {
    /// Who sent it.
    pub(crate) sender: Sender,
    /// The path, where it came by one.
    pub(crate) path: Option<String>,
    /// What its batch says of all calls.
    pub(crate) shared: Shared,
}

impl Came {
    /// From a sender, by a path.
    pub(crate) fn new(sender: Sender, path: Option<&str>) -> Came {
        Came { sender, path: path.map(str::to_owned), shared: Shared::default() }
    }
}

/// What a batch says of all its calls; what a call says itself outranks it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Shared {
    /// Members of the calls' `context`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) context: Map<String, Json>,
    /// Members of the calls' `integrations`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) integrations: Map<String, Json>,
    /// The instant of calls that tell none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<Json>,
    /// When the batch was sent, by its sender's clock.
    #[serde(rename = "sentAt", skip_serializing_if = "Option::is_none")]
    pub(crate) sent_at: Option<Json>,
}

impl Shared {
    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Shared::default()
    }
}

/// Reads the text of a call, the `index`th of its delivery.
pub(crate) fn parse(raw: &str, index: usize, delivery: &Delivery) -> Result<Call, Rejection> {
    let body =
        object(raw).map_err(|rejection| Rejection { message_id: peek_id(raw), ..rejection })?;
    read(body, index, delivery)
}

/// The id of a call that is not read, for its sender to know it by.
fn peek_id(raw: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(rename = "messageId", borrow)]
        message_id: Option<&'a RawValue>,
    }
    let peek: Peek = items::object(raw)?;
    let id = serde_json::from_str(peek.message_id?.get()).ok()?;
    id_text(&id).filter(|id| id.len() <= MAX_MESSAGE_ID_BYTES)
}

/// Reads an object whose sender is not trusted with its size and depth.
pub(crate) fn object(raw: &str) -> Result<Map<String, Json>, Rejection> {
    match value(raw)? {
        Json::Object(members) => Ok(members),
        _ => Err(Rejection::new("invalid_json", "the call is no JSON object")),
    }
}

/// Reads a value whose sender is not trusted with its size and depth. What the reader refuses is
/// mended where that is possible.
pub(crate) fn value(raw: &str) -> Result<Json, Rejection> {
    if raw.len() > MAX_CALL_BYTES {
        let message = format!("the call is larger than {MAX_CALL_BYTES} bytes");
        return Err(Rejection::new("too_large", message));
    }
    if depth(raw) > MAX_DEPTH {
        let message = format!("the call is nested deeper than {MAX_DEPTH} levels");
        return Err(Rejection::new("too_deep", message));
    }
    let read = serde_json::from_str(raw);
    let read = read.or_else(|error| match mend(raw) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    });
    read.map_err(|_| Rejection::new("invalid_json", "the call is no JSON that can be represented"))
}

/// Reads a call, the `index`th of its delivery.
pub(crate) fn read(
    mut body: Map<String, Json>,
    index: usize,
    delivery: &Delivery,
) -> Result<Call, Rejection> {
    // Browsers put the write key into each call; it is not for the log.
    body.remove("writeKey");
    if let Some(shield) = &delivery.shield {
        shield.treat_call(&mut body);
    }
    if let Some(kind) = delivery.kind {
        body.insert("type".to_owned(), kind.as_str().into());
    }
    let message_id = message_id(&body)?;
    understood(body, message_id.clone(), index, delivery)
        .map_err(|rejection| Rejection { message_id, ..rejection })
}

fn understood(
    mut body: Map<String, Json>,
    message_id: Option<String>,
    index: usize,
    delivery: &Delivery,
) -> Result<Call, Rejection> {
    let now = delivery.now;
    let id = message_id.unwrap_or_else(|| derived_id(&body, index, delivery));
    let mut shared = delivery.came.shared.clone();
    if let Some(shield) = &delivery.shield {
        shield.treat_context(&mut shared.context);
    }
    merge(&mut body, shared);
    let mut event = Event::from_body(id, now, now, body)?;
    let who = who::read(&event, delivery.subject)?;
    let previous = who::previous(&event)?;
    let shared = &delivery.came.shared;
    let told = when::told(&event.body).or(shared.timestamp.as_ref());
    let own_sent = event.body.get("sentAt").filter(|sent| !sent.is_null());
    let sent = when::sent(own_sent.or(shared.sent_at.as_ref()));
    let clocks = Clocks { received: now, sent, oldest: delivery.oldest };
    let when = when::read(told, &clocks)?;
    if let When::At(at) | When::Corrected { at, .. } = when {
        event.at = at;
    }
    if clocks.are_wrong()
        && let Some(sent) = &shared.sent_at
    {
        // So that the log shows what the instant was made of.
        event.body.entry("sentAt").or_insert_with(|| sent.clone());
    }
    Ok(Call { event, when, who, previous })
}

fn message_id(body: &Map<String, Json>) -> Result<Option<String>, Rejection> {
    let Some(id) = body.get("messageId").and_then(id_text) else { return Ok(None) };
    if id.len() > MAX_MESSAGE_ID_BYTES {
        let message = format!("`messageId` is longer than {MAX_MESSAGE_ID_BYTES} bytes");
        return Err(Rejection::new("invalid_message_id", message));
    }
    if id.chars().any(char::is_control) {
        let message = "`messageId` has control characters";
        return Err(Rejection::new("invalid_message_id", message));
    }
    Ok(Some(id))
}

/// The id of a call that has none. A call with a time of its own is the same call wherever it
/// turns up again; with the time of its batch, where it stands at the same place of the same
/// batch; without a time, only within one delivery.
fn derived_id(body: &Map<String, Json>, index: usize, delivery: &Delivery) -> String {
    let mut content = body.clone();
    // Clients refresh it with each attempt.
    content.remove("sentAt");
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&content).unwrap_or_default());
    if when::told(body).is_none() {
        match &delivery.came.shared.timestamp {
            Some(timestamp) => hash.update(timestamp.to_string()),
            None => hash.update(delivery.origin),
        }
        hash.update(index.to_le_bytes());
    }
    format!("content-{}", domain::hex(&hash.finalize()))
}

fn merge(body: &mut Map<String, Json>, shared: Shared) {
    let members = [("context", shared.context), ("integrations", shared.integrations)];
    for (name, values) in members.into_iter().filter(|(_, values)| !values.is_empty()) {
        let own = body.entry(name).or_insert(Json::Null);
        if !own.is_object() {
            *own = Json::Object(Map::new());
        }
        for (key, value) in values {
            if let Some(own) = own.as_object_mut() {
                own.entry(key).or_insert(value);
            }
        }
    }
}

/// How deep brackets are nested in a JSON text.
fn depth(raw: &str) -> usize {
    let (mut depth, mut deepest, mut is_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in raw.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use domain::feed::SenderKind;
    use serde_json::json;

    use super::*;

    fn sharing(shared: Shared) -> Delivery<'static> {
        let mut delivery = delivery("");
        delivery.share(&shared);
        delivery
    }

    fn delivery(origin: &str) -> Delivery<'_> {
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let came = Arc::new(Came::new(Sender::new(SenderKind::Queue, "queue"), None));
        let (subject, shield) = (Subject::User, None);
        Delivery { subject, now, oldest: None, origin, kind: None, came, shield }
    }

    fn parsed(body: &Json, delivery: &Delivery) -> Result<Call, Rejection> {
        parse(&body.to_string(), 0, delivery)
    }

    fn id(body: Json, index: usize, delivery: &Delivery) -> String {
        parse(&body.to_string(), index, delivery).unwrap().event.id
    }

    fn rejected(raw: &str, code: &str) {
        assert_eq!(parse(raw, 0, &delivery("")).unwrap_err().code, code, "{raw:.80}");
    }

    #[test]
    fn what_a_call_lacks_is_named() {
        rejected(r#"{"userId":"u"}"#, "unknown_type");
        rejected(r#"{"userId":"u","type":"sale"}"#, "unknown_type");
        rejected(r#"{"userId":"u","type":"track"}"#, "missing_event");
        rejected(r#"{"userId":"u","type":"track","event":""}"#, "missing_event");
        rejected(r#"{"type":"track","event":"e"}"#, "missing_user");
        rejected(r#"{"userId":"u","type":"group"}"#, "missing_group");
        rejected(r#"{"userId":"u","type":"page","timestamp":"soon"}"#, "invalid_timestamp");
        rejected("[]", "invalid_json");
        rejected("17", "invalid_json");
        rejected(r#"{"userId":"u","type":"page""#, "invalid_json");
    }

    #[test]
    fn what_stands_for_no_value_does_not_cost_the_call() {
        let call = r#"{"userId":"u","type":"page","properties":{"n":NaN,"m":1e400,"s":"A\ud83d"}}"#;
        let call = parse(call, 0, &delivery("")).unwrap();
        assert_eq!(call.event.body["properties"], json!({"n": null, "m": null, "s": "A\u{fffd}"}));
        let call = r#"{"userId":"u","type":"page","properties":{"n":1180591620717411303424,"s":"\u0000"}}"#;
        assert!(parse(call, 0, &delivery("")).is_ok());
    }

    #[test]
    fn the_senders_clock_is_told_by_the_call_or_by_its_batch() {
        let call = json!({"type": "page", "userId": "u", "timestamp": "2026-01-15T08:00:00Z"});
        let sent = |sent_at: Option<&str>, own: Option<&str>| {
            let sent_at = sent_at.map(Json::from);
            let shared = Shared { sent_at, ..Shared::default() };
            let mut call = call.clone();
            if let Some(own) = own {
                call["sentAt"] = own.into();
            }
            parsed(&call, &sharing(shared)).unwrap().event
        };
        let corrected = sent(Some("2026-01-15T09:00:00Z"), None);
        assert_eq!(corrected.at, "2026-01-15T11:00:00Z".parse().unwrap());
        assert_eq!(corrected.body["sentAt"], "2026-01-15T09:00:00Z");
        assert_eq!(corrected.body["timestamp"], "2026-01-15T08:00:00Z");
        let own = sent(Some("2026-01-15T09:00:00Z"), Some("2026-01-15T10:00:00Z"));
        assert_eq!(own.at, "2026-01-15T10:00:00Z".parse().unwrap());
        let plain = sent(Some("soon"), None);
        assert_eq!(plain.at, "2026-01-15T08:00:00Z".parse().unwrap());
        assert!(!plain.body.contains_key("sentAt"));
    }

    #[test]
    fn a_rejection_has_the_id_of_its_call() {
        let rejection = parsed(&json!({"messageId": "m-1"}), &delivery("")).unwrap_err();
        assert_eq!(rejection.message_id.as_deref(), Some("m-1"));
    }

    #[test]
    fn a_call_is_limited_in_size_and_depth() {
        let call =
            |value: String| format!(r#"{{"userId":"u","type":"page","properties":{value}}}"#);
        rejected(&call(format!("\"{}\"", "x".repeat(MAX_CALL_BYTES))), "too_large");
        let nested = |levels: usize| call("[".repeat(levels) + &"]".repeat(levels));
        rejected(&nested(MAX_DEPTH), "too_deep");
        rejected(&nested(100_000), "too_deep");
        assert!(parse(&nested(MAX_DEPTH - 1), 0, &delivery("")).is_ok());
        assert!(parse(&call(format!("\"{}\\\"[\"", "[".repeat(99))), 0, &delivery("")).is_ok());
    }

    #[test]
    fn a_message_id_fits_into_a_key() {
        let call = |id: &str| json!({"userId": "u", "type": "page", "messageId": id});
        for id in ["m".repeat(MAX_MESSAGE_ID_BYTES + 1), "m\u{0}".to_owned()] {
            let rejection = parsed(&call(&id), &delivery("")).unwrap_err();
            assert_eq!(rejection.code, "invalid_message_id");
        }
        let longest = "m".repeat(MAX_MESSAGE_ID_BYTES);
        assert_eq!(parsed(&call(&longest), &delivery("")).unwrap().event.id, longest);
        let number = json!({"userId": "u", "type": "page", "messageId": 7});
        assert_eq!(parsed(&number, &delivery("")).unwrap().event.id, "7");
    }

    #[test]
    fn a_call_with_a_time_and_no_id_is_the_same_call_wherever_it_turns_up() {
        let call = json!({"type": "page", "userId": "u", "timestamp": "2026-01-15"});
        let first = id(call.clone(), 0, &delivery("a"));
        let mut again = call.clone();
        again["sentAt"] = "2026-01-15T11:00:00Z".into();
        again["writeKey"] = "dev".into();
        assert_eq!(id(again, 3, &delivery("b")), first);
        let mut other = call;
        other["name"] = "Pricing".into();
        assert_ne!(id(other, 0, &delivery("a")), first);
    }

    #[test]
    fn calls_without_a_time_and_an_id_are_told_apart() {
        let call = || json!({"type": "page", "userId": "u"});
        let first = id(call(), 0, &delivery("a"));
        assert_eq!(id(call(), 0, &delivery("a")), first);
        assert_ne!(id(call(), 1, &delivery("a")), first);
        assert_ne!(id(call(), 0, &delivery("b")), first);
    }

    #[test]
    fn with_the_time_of_its_batch_a_call_is_the_same_at_the_same_place() {
        let call = || json!({"type": "page", "userId": "u"});
        let in_batch = |origin| {
            let timestamp = Some(json!("2026-01-15T10:00:00Z"));
            Delivery { origin, ..sharing(Shared { timestamp, ..Shared::default() }) }
        };
        let first = id(call(), 0, &in_batch("a"));
        assert_eq!(id(call(), 0, &in_batch("b")), first);
        assert_ne!(id(call(), 1, &in_batch("a")), first);
        let found = parsed(&call(), &in_batch("a")).unwrap();
        assert_eq!(found.event.at, "2026-01-15T10:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_a_batch_says_is_merged_and_outranked_by_the_call() {
        let object = |value: Json| value.as_object().cloned().unwrap();
        let shared = Shared {
            context: object(json!({"ip": "203.0.113.7", "library": "batch"})),
            integrations: object(json!({"All": false})),
            timestamp: Some(json!("2026-01-15T09:00:00Z")),
            sent_at: None,
        };
        let delivery = sharing(shared);
        let call = json!({
            "type": "page", "userId": "u", "originalTimestamp": "2026-01-15T10:00:00Z",
            "context": {"library": "call"}, "integrations": null,
        });
        let event = parsed(&call, &delivery).unwrap().event;
        let context = json!({"ip": "203.0.113.7", "library": "call"});
        assert_eq!(event.body["context"], context);
        assert_eq!(event.body["integrations"], json!({"All": false}));
        assert_eq!(event.at, "2026-01-15T10:00:00Z".parse().unwrap());
    }

    #[test]
    fn the_path_outranks_the_type_and_the_write_key_is_dropped() {
        let delivery = Delivery { kind: Some(EventKind::Page), ..delivery("") };
        let call = json!({"type": "track", "userId": "u", "writeKey": "dev"});
        let event = parsed(&call, &delivery).unwrap().event;
        assert_eq!((event.kind, event.body.contains_key("writeKey")), (EventKind::Page, false));
    }

    #[test]
    fn an_event_from_the_future_happens_when_it_arrives() {
        let call = json!({"type": "page", "userId": "u", "timestamp": "2026-01-16"});
        let found = parsed(&call, &delivery("")).unwrap();
        let told = Some("2026-01-16T00:00:00Z".parse().unwrap());
        assert_eq!(found.when, When::Arrival { told });
        assert_eq!(found.event.at, found.event.received_at);
    }
}
