//! One thing that happened to a customer, as a sender reported it.
//!
//! Knows the shape of the tracking call (`type`, `event`, `properties`, `traits`); does not know
//! how it travelled.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::expr::{Name, Row, Value};

/// The kind of a tracking call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Something a user did.
    Track,
    /// Facts about a user.
    Identify,
    /// Facts about an account, and that a user belongs to it.
    Group,
    /// A page was seen.
    Page,
    /// A screen was seen.
    Screen,
    /// Two ids are one user.
    Alias,
}

impl EventKind {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Track => "track",
            EventKind::Identify => "identify",
            EventKind::Group => "group",
            EventKind::Page => "page",
            EventKind::Screen => "screen",
            EventKind::Alias => "alias",
        }
    }

    /// Reads the word of the wire format.
    #[must_use]
    pub fn parse(word: &str) -> Option<EventKind> {
        Some(match word {
            "track" => EventKind::Track,
            "identify" => EventKind::Identify,
            "group" => EventKind::Group,
            "page" => EventKind::Page,
            "screen" => EventKind::Screen,
            "alias" => EventKind::Alias,
            _ => return None,
        })
    }

    /// Whether this is a user at work, rather than a fact being told.
    #[must_use]
    pub fn is_activity(self) -> bool {
        matches!(self, EventKind::Track | EventKind::Page | EventKind::Screen)
    }
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The sender's message id; the log holds it once.
    pub id: String,
    /// The kind of call.
    pub kind: EventKind,
    /// The event's name: that of a `track` call, else the word of the kind.
    pub name: String,
    /// The user it is about.
    pub user: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// The call as received: a JSON object.
    pub body: Map<String, Json>,
}

impl Event {
    /// Reads a tracking call.
    ///
    /// # Errors
    /// What is missing, as a stable code and a sentence.
    pub fn from_body(
        id: String,
        at: Timestamp,
        received_at: Timestamp,
        body: Map<String, Json>,
    ) -> Result<Event, Malformed> {
        let kind = body
            .get("type")
            .and_then(Json::as_str)
            .and_then(EventKind::parse)
            .ok_or(Malformed::UnknownType)?;
        let name = match kind {
            EventKind::Track => body
                .get("event")
                .and_then(Json::as_str)
                .filter(|name| !name.is_empty())
                .ok_or(Malformed::MissingEvent)?
                .to_owned(),
            other => other.as_str().to_owned(),
        };
        let user = body.get("userId").and_then(id_text);
        let user = user.or_else(|| body.get("anonymousId").and_then(id_text));
        Ok(Event { id, kind, name, user, at, received_at, body })
    }

    /// A property of the event.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Json> {
        self.body.get("properties")?.get(name)
    }

    /// The traits the call tells, wherever its client puts them.
    #[must_use]
    pub fn traits(&self) -> Option<&Map<String, Json>> {
        let own = self.body.get("traits").and_then(Json::as_object);
        own.filter(|traits| !traits.is_empty())
            .or_else(|| self.body.get("context")?.get("traits")?.as_object())
    }

    /// The account the call names.
    #[must_use]
    pub fn account(&self) -> Option<String> {
        account_of(&self.body)
    }
}

/// The account a call names: a `group` call's own id, or the one in its context.
#[must_use]
pub fn account_of(body: &Map<String, Json>) -> Option<String> {
    body.get("groupId")
        .and_then(id_text)
        .or_else(|| body.get("context").and_then(|context| id_text(context.get("groupId")?)))
}

/// An id that came as a string or as a number; empty strings are no id. A whole number is the same
/// id however it is written, and one that a float does not hold exactly is no id: two of them could
/// be taken for one.
#[must_use]
pub fn id_text(value: &Json) -> Option<String> {
    /// From here on not every whole number has a float of its own.
    const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Json::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Json::Number(number) if number.is_f64() => {
            let float = number.as_f64().filter(|float| float.abs() < FIRST_INEXACT)?;
            // Written without a fraction where it has none, and zero without a sign.
            Some((float + 0.0).to_string())
        }
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number, or a string that is one, as some senders write it.
#[must_use]
pub fn number_of(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

/// What a call lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `type` is absent or no word of the tracking API.
    #[error("`type` must be one of track, identify, group, page, screen and alias")]
    UnknownType,
    /// A `track` call without `event`.
    #[error("a track call needs the name of its event in `event`")]
    MissingEvent,
}

impl Malformed {
    /// A stable word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Malformed::UnknownType => "unknown_type",
            Malformed::MissingEvent => "missing_event",
        }
    }
}

/// An event as the row of a `where:` condition: `event.status` is the property `status`.
pub(crate) struct EventRow<'a>(pub &'a Event);

impl Row for EventRow<'_> {
    fn get(&self, name: &Name) -> Value<'_> {
        let mut path = name.path.split('.').skip(1);
        let mut found = path.next().and_then(|first| self.0.property(first));
        for step in path {
            found = found.and_then(|value| value.get(step));
        }
        match found {
            Some(Json::Number(number)) => number.as_f64().map_or(Value::Missing, Value::Number),
            Some(Json::String(text)) => Value::Text(text),
            Some(Json::Bool(flag)) => Value::YesNo(*flag),
            _ => Value::Missing,
        }
    }

    /// A `where:` asks about the event itself; its day is the day it happened, in UTC.
    fn today(&self) -> jiff::civil::Date {
        jiff::tz::TimeZone::UTC.to_datetime(self.0.at).date()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_the_same_however_its_number_is_written() {
        let check = |value: Json, expected: Option<&str>| {
            assert_eq!(id_text(&value).as_deref(), expected, "{value}");
        };
        check(json!("42"), Some("42"));
        check(json!(42), Some("42"));
        check(json!(42.0), Some("42"));
        check(json!(-0.0), Some("0"));
        check(json!(1.5), Some("1.5"));
        check(json!(u64::MAX), Some("18446744073709551615"));
        check(json!(1_180_591_620_717_411_303_424_f64), None);
        check(json!(" "), None);
        check(json!(true), None);
    }
}
