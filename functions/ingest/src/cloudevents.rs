//! CloudEvents 1.0 over HTTP, to `/v1/cloudevents`: structured, binary and in batches
//! (<https://github.com/cloudevents/spec>).
//!
//! Invariants: an event is known by its source and id together, and refused without either: an
//! invented id would make a new event of each attempt. An event whose source a feed claims goes
//! through that feed's map, its item the event in its structured form; any other is a tracking call
//! in its `data`, or a `track` call named by its `type`.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::event::{EventKind, id_text};
use domain::feed::{Feed, Mapped, Sender, SenderKind, foreign};
use domain::lifecycle::{Lifecycle, Subject};
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::body::{self, BodyFault};
use crate::bus::feed_of;
use crate::call::{self, Came, Delivery, Rejection};
use crate::feed::{Mapping, Part};
use crate::http::{self, Taken};
use crate::items::{Item, MAX_CALLS};
use crate::mend::mend;
use crate::percent::percent_decoded;
use crate::problem::Problem;
use crate::{App, auth, when};

/// The path.
pub(crate) const PATH: &str = "/v1/cloudevents";
/// The content types of an event, and of a list of them, in JSON.
const STRUCTURED: &str = "application/cloudevents";
const BATCH: &str = "application/cloudevents-batch";
/// What stands before the names of attributes in headers.
const PREFIX: &str = "ce-";

/// How a request carries its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Structured,
    Batch,
    Binary,
}

/// Takes a request. An event that comes alone and is rejected is refused, so that its sender sees why.
pub(crate) async fn receive(app: &App, parts: &Parts, body: Body) -> Result<Taken, Problem> {
    let key = auth::header_key(&parts.headers)?.ok_or_else(auth::no_key)?;
    let sender = http::admit(app, &key).await?;
    let wire = http::read_wire(body).await?;
    let text = match body::text(&wire) {
        Ok(text) => text,
        Err(BodyFault::TooLarge) => return Err(http::too_large(body::MAX_BYTES)),
        Err(BodyFault::Gzip) => String::from_utf8_lossy(&wire).into_owned(),
    };
    let mode = mode(&parts.headers, &text).ok_or_else(unsupported)?;
    let events = match mode {
        Mode::Structured => vec![structured(&text)],
        Mode::Binary => vec![binary(&parts.headers, &text, &wire)],
        Mode::Batch => match batch(&text) {
            Some(events) => events,
            None => {
                let rejection = Rejection::new("invalid_json", "the body must be a list of events");
                let came = Came::new(sender, Some(PATH));
                return Err(http::unreadable(app, Some(&came), &wire, rejection).await);
            }
        },
    };
    let lifecycle = app.store.lifecycle().await.map_err(|error| Problem::not_stored(&error))?;
    let now = app.now();
    let origin = now.to_string();
    let delivery = app.delivery(&lifecycle, now, &origin, Came::new(sender, Some(PATH))).await;
    let delivery = delivery.map_err(|error| Problem::not_stored(&error))?;
    let Mapping { items, ignored } = mapped(events, &lifecycle, &delivery);
    let taken = http::take_items(app, &lifecycle, items, Some(ignored), now).await?;
    if mode == Mode::Batch { Ok(taken) } else { taken.or_refused() }
}

/// The answer to a sender that asks whether it may send here, as the webhook specification has it:
/// whoever has a write key may, from anywhere and as often as it asks for.
pub(crate) fn handshake(headers: &HeaderMap) -> Option<impl IntoResponse + use<>> {
    let origin = headers.get("webhook-request-origin")?.clone();
    let rate = headers.get("webhook-request-rate").cloned();
    let rate = rate.unwrap_or_else(|| HeaderValue::from_static("*"));
    let allowed = [
        (header::ALLOW, HeaderValue::from_static("POST, OPTIONS")),
        (HeaderName::from_static("webhook-allowed-origin"), origin),
        (HeaderName::from_static("webhook-allowed-rate"), rate),
    ];
    Some((StatusCode::OK, allowed))
}

fn mode(headers: &HeaderMap, text: &str) -> Option<Mode> {
    let content_type = content_type(headers);
    if let Some(format) = content_type.strip_prefix(BATCH) {
        return matches!(format, "" | "+json").then_some(Mode::Batch);
    }
    if let Some(format) = content_type.strip_prefix(STRUCTURED) {
        return matches!(format, "" | "+json").then_some(Mode::Structured);
    }
    if headers.contains_key("ce-specversion") {
        return Some(Mode::Binary);
    }
    // Plain JSON that is nothing else.
    match text.trim_start().as_bytes().first() {
        Some(b'{') if text.contains("\"specversion\"") => Some(Mode::Structured),
        Some(b'[') => Some(Mode::Batch),
        _ => None,
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn unsupported() -> Problem {
    let message = "send a CloudEvent: as application/cloudevents+json, as \
                   application/cloudevents-batch+json, or with its attributes in `ce-` headers";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Problem { status, code: "unsupported_media_type", message: message.to_owned() }
}

/// An event in its structured form.
pub(crate) fn structured(text: &str) -> Part<'_> {
    (Cow::Borrowed(text), call::object(text).map(Json::Object))
}

/// The events of a list, each read alone; `None` when it is no list.
pub(crate) fn batch(text: &str) -> Option<Vec<Part<'_>>> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    if let Ok(events) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return Some(events.into_iter().map(|raw| structured(raw.get())).collect());
    }
    let mended = mend(text)?;
    let events = serde_json::from_str::<Vec<&RawValue>>(&mended).ok()?;
    let owned = |raw: &&RawValue| {
        let event = call::object(raw.get()).map(Json::Object);
        (Cow::Owned(raw.get().to_owned()), event)
    };
    Some(events.iter().map(owned).collect())
}

/// An event whose attributes are headers, in its structured form.
fn binary<'a>(headers: &HeaderMap, text: &'a str, wire: &[u8]) -> Part<'a> {
    let mut event = Map::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
        // Some libraries escape what is no ASCII, some do not.
        let value = String::from_utf8_lossy(value.as_bytes());
        event.insert(name.to_owned(), percent_decoded(&value, |_| true).into());
    }
    let content_type = content_type(headers);
    if !content_type.is_empty() {
        event.insert("datacontenttype".to_owned(), content_type.as_str().into());
    }
    let data = match text {
        "" => Ok(None),
        _ if is_json(&content_type) => call::value(text).map(|data| Some(("data", data))),
        _ if content_type.starts_with("text/") => Ok(Some(("data", text.into()))),
        _ => Ok(Some(("data_base64", STANDARD.encode(wire).into()))),
    };
    match data {
        Ok(data) => {
            event.extend(data.map(|(name, data)| (name.to_owned(), data)));
            let event = Json::Object(event);
            (Cow::Owned(event.to_string()), Ok(event))
        }
        Err(rejection) => (Cow::Borrowed(text), Err(rejection)),
    }
}

fn is_json(content_type: &str) -> bool {
    matches!(content_type, "" | "application/json" | "text/json") || content_type.ends_with("+json")
}

/// Events as tracking calls.
pub(crate) fn mapped<'a>(
    events: Vec<Part<'a>>,
    lifecycle: &Lifecycle,
    delivery: &Delivery,
) -> Mapping<'a> {
    let mut mapping = Mapping::default();
    for (index, (raw, event)) in events.into_iter().enumerate() {
        let source = event.as_ref().ok().and_then(|event| event.get("source")?.as_str());
        let came = match source.and_then(|source| claimed_by(lifecycle, source)) {
            Some(feed) => delivery.sent_by(Sender::new(SenderKind::Feed, &feed.name)),
            None => delivery.came.clone(),
        };
        let call = match event.and_then(|event| checked(event, index)) {
            Ok(event) => match body(event, lifecycle, delivery.subject) {
                Some(body) => call::read(body, index, delivery),
                None => {
                    mapping.ignored += 1;
                    continue;
                }
            },
            Err(rejection) => Err(rejection),
        };
        mapping.items.push(Item { indexes: index..index + 1, raw, call, came });
    }
    mapping
}

/// The attributes and the data of an event, when it is one.
fn checked(event: Json, index: usize) -> Result<Map<String, Json>, Rejection> {
    let Json::Object(mut event) = event else {
        return Err(Rejection::new("invalid_json", "an event is a JSON object"));
    };
    if index >= MAX_CALLS {
        let message = format!("a batch may have {MAX_CALLS} events; send these in another");
        return Err(Rejection::new("too_many", message));
    }
    if event.get("specversion").and_then(Json::as_str) != Some("1.0") {
        let message = "`specversion` must be \"1.0\"";
        return Err(Rejection::new("unsupported_specversion", message));
    }
    for (name, code) in
        [("id", "missing_id"), ("source", "missing_source"), ("type", "missing_type")]
    {
        let text = event.get(name).and_then(Json::as_str).unwrap_or_default();
        if text.is_empty() {
            return Err(Rejection::new(code, format!("an event needs a text in `{name}`")));
        }
    }
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if let Some(name) = event.keys().find(|name| *name != "data_base64" && !is_name(name)) {
        let shown: String = name.chars().take(40).collect();
        let message = format!("`{shown}` is no attribute: names are lower-case letters and digits");
        return Err(Rejection::new("invalid_attribute", message));
    }
    if let Some(time) = event.get("time").filter(|time| !time.is_null())
        && time.as_str().is_none_or(|time| time.parse::<Timestamp>().is_err())
    {
        return Err(Rejection::new("invalid_timestamp", "`time` must be an RFC 3339 timestamp"));
    }
    if event.contains_key("data") && event.contains_key("data_base64") {
        return Err(Rejection::new("two_data", "an event has `data` or `data_base64`, not both"));
    }
    decode_data(&mut event);
    Ok(event)
}

/// Puts JSON that came as base64 where JSON is.
fn decode_data(event: &mut Map<String, Json>) {
    let content_type = event.get("datacontenttype").and_then(Json::as_str).unwrap_or_default();
    let Some(encoded) = event.get("data_base64").filter(|_| is_json(content_type)) else { return };
    let decoded = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(data) = decoded.and_then(|text| call::value(&text).ok()) {
        event.remove("data_base64");
        event.insert("data".to_owned(), data);
    }
}

/// An event as a tracking call; `None` where its feed passes it over.
fn body(
    event: Map<String, Json>,
    lifecycle: &Lifecycle,
    subject: Subject,
) -> Option<Map<String, Json>> {
    let text = |name: &str| event.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let (source, time) = (text("source"), event.get("time").cloned());
    let known_by = known_by(&source, &text("id"));
    let mut body = match claimed_by(lifecycle, &source) {
        Some(feed) => match feed.call(&Json::Object(event), subject) {
            Mapped::Ignored => return None,
            Mapped::Call(mut body) => {
                let own = body.get("messageId").and_then(id_text);
                if let Some(own) = own {
                    body.insert("messageId".to_owned(), format!("{}:{own}", feed.name).into());
                }
                body
            }
        },
        None => unclaimed(&event, &text("type"), &source, subject),
    };
    if body.get("messageId").and_then(id_text).is_none() {
        body.insert("messageId".to_owned(), known_by.into());
    }
    if when::told(&body).is_none()
        && let Some(time) = time
    {
        body.insert("timestamp".to_owned(), time);
    }
    Some(body)
}

/// The feed whose map an event goes through.
fn claimed_by<'a>(lifecycle: &'a Lifecycle, source: &str) -> Option<&'a Feed> {
    feed_of(lifecycle, source).filter(|feed| feed.map.is_some())
}

/// What tells an event from all others: its source and its id.
fn known_by(source: &str, id: &str) -> String {
    let hash = Sha256::new().chain_update(source).chain_update([0]).chain_update(id);
    format!("ce-{}", domain::hex(&hash.finalize()[..16]))
}

/// An event that no feed claims. Its customer is named in its data or its attributes, else it is
/// its `subject`.
fn unclaimed(
    event: &Map<String, Json>,
    name: &str,
    source: &str,
    subject: Subject,
) -> Map<String, Json> {
    let data = match event.get("data") {
        Some(Json::Object(data)) => data.clone(),
        Some(Json::Null) | None => Map::new(),
        Some(other) => Map::from_iter([("data".to_owned(), other.clone())]),
    };
    let is_call = data.get("type").and_then(Json::as_str).and_then(EventKind::parse).is_some();
    if is_call {
        return data;
    }
    let mut body = foreign(name, &data, &[event], subject);
    let mut context = match body.remove("context") {
        Some(Json::Object(context)) => context,
        _ => Map::new(),
    };
    let is_nobody = !body.contains_key("userId") && !context.contains_key("groupId");
    if let Some(named) = event.get("subject").filter(|named| is_nobody && id_text(named).is_some())
    {
        match subject {
            Subject::User => body.insert("userId".to_owned(), named.clone()),
            Subject::Account => context.insert("groupId".to_owned(), named.clone()),
        };
    }
    context.insert("source".to_owned(), source.into());
    body.insert("context".to_owned(), context.into());
    body
}
