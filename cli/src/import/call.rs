//! A row as a tracking call, and the id that makes importing it again a duplicate.

use domain::event::{EventKind, account_of, id_text};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::time;

/// Ids and names are parts of keys, which end at 1 KiB.
const MAX_ID_BYTES: usize = 512;
/// A stored item ends at 400 KB; a body that large is no event.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Why a row cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Problem {
    /// A stable word for programs.
    pub code: &'static str,
    /// The column it is about.
    pub column: Option<String>,
    /// A sentence.
    pub reason: String,
}

impl Problem {
    pub(super) fn new(
        code: &'static str,
        column: Option<&str>,
        reason: impl Into<String>,
    ) -> Problem {
        Problem { code, column: column.map(str::to_owned), reason: reason.into() }
    }
}

/// What the columns of a row say, before it is a call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) user: Option<String>,
    pub(super) account: Option<String>,
    pub(super) event: Option<String>,
    pub(super) at: Option<Timestamp>,
    pub(super) id: Option<String>,
    /// Properties, or the traits of an `identify` or `group` call.
    pub(super) members: Map<String, Json>,
}

impl Parts {
    pub(super) fn into_track_call(self, line: u64) -> Result<Row, Problem> {
        self.into_call(EventKind::Track, line)
    }

    /// The call that the row is.
    pub(super) fn into_call(self, kind: EventKind, line: u64) -> Result<Row, Problem> {
        let at =
            self.at.ok_or_else(|| Problem::new("missing_time", None, "the row has no time"))?;
        let mut body = Map::new();
        body.insert("type".to_owned(), kind.as_str().into());
        body.insert("timestamp".to_owned(), time::text(at).into());
        match kind {
            EventKind::Track => {
                let event = self.event.filter(|event| !event.trim().is_empty());
                let missing = || Problem::new("missing_event", None, "the row names no event");
                body.insert("event".to_owned(), event.ok_or_else(missing)?.into());
            }
            EventKind::Identify if self.user.is_none() => {
                return Err(Problem::new("missing_user", None, "the row names no user"));
            }
            EventKind::Group if self.account.is_none() => {
                return Err(Problem::new("missing_account", None, "the row names no account"));
            }
            _ => {}
        }
        if let Some(user) = self.user {
            body.insert("userId".to_owned(), user.into());
        }
        match (self.account, kind) {
            (Some(account), EventKind::Group) => {
                body.insert("groupId".to_owned(), account.into());
            }
            (Some(account), _) => {
                body.insert("context".to_owned(), json!({ "groupId": account }));
            }
            (None, _) => {}
        }
        let members = match kind {
            EventKind::Identify | EventKind::Group => "traits",
            _ => "properties",
        };
        if !self.members.is_empty() {
            body.insert(members.to_owned(), Json::Object(self.members));
        }
        Row { line, at, id: self.id, body }.checked()
    }
}

/// A row that can be imported: a tracking call.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line of the file it starts on, from 1.
    pub line: u64,
    /// When it happened, to the millisecond.
    pub at: Timestamp,
    /// The id its sender gave it; without one it is told by its content.
    pub id: Option<String>,
    /// The call: `type`, `userId`, `timestamp`, `properties` and so on.
    pub body: Map<String, Json>,
}

impl Row {
    /// Reads an object that already is a tracking call.
    pub(super) fn of_call(line: u64, body: Map<String, Json>) -> Result<Row, Problem> {
        let written = ["timestamp", "originalTimestamp", "receivedAt", "sentAt"]
            .iter()
            .find_map(|name| Some((*name, time::of_json(body.get(*name)?)?)));
        let (column, written) = written.ok_or_else(|| {
            Problem::new("missing_time", Some("timestamp"), "the call has no `timestamp`")
        })?;
        let at = time::TimeFormat::Auto
            .read(&written, &jiff::tz::TimeZone::UTC)
            .map_err(|reason| Problem::new("time", Some(column), reason))?;
        let id = body.get("messageId").and_then(id_text);
        Row { line, at, id, body }.checked()
    }

    fn checked(self) -> Result<Row, Problem> {
        let kind = self.body.get("type").and_then(Json::as_str).and_then(EventKind::parse);
        let event = self.body.get("event").and_then(Json::as_str).unwrap_or_default();
        if kind == Some(EventKind::Track) && event.is_empty() {
            let reason = "a track call needs the name of its event in `event`";
            return Err(Problem::new("missing_event", Some("event"), reason));
        }
        let (user, account) = (self.user(), self.account());
        if user.is_none() && account.is_none() {
            return Err(Problem::new("missing_user", None, "the row names no user and no account"));
        }
        let named = [
            ("user", user.as_deref()),
            ("account", account.as_deref()),
            ("event", Some(event)),
            ("id", self.id.as_deref()),
        ];
        for (what, value) in named {
            if value.is_some_and(|value| value.len() > MAX_ID_BYTES) {
                let reason = format!("the {what} is longer than {MAX_ID_BYTES} bytes");
                return Err(Problem::new("too_long", Some(what), reason));
            }
        }
        Ok(self)
    }

    /// The user the row is about.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        let user = self.body.get("userId").and_then(id_text);
        user.or_else(|| self.body.get("anonymousId").and_then(id_text))
    }

    /// The account the row names.
    #[must_use]
    pub fn account(&self) -> Option<String> {
        account_of(&self.body)
    }

    /// Moves the row in time. An instant beyond what can be told is left where it is.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        if !by.is_zero()
            && let Ok(at) = self.at.checked_add(by)
        {
            self.at = at;
            self.body.insert("timestamp".to_owned(), time::text(at).into());
        }
    }

    /// The call as it is kept.
    ///
    /// # Errors
    /// When it is too large to be.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Problem> {
        let bytes = serde_json::to_vec(&self.body).unwrap_or_default();
        if bytes.len() > MAX_BODY_BYTES {
            let reason = format!("the row is larger than {} KiB", MAX_BODY_BYTES / 1024);
            return Err(Problem::new("too_large", None, reason));
        }
        Ok(bytes)
    }

    /// What the row says, whichever file and line it is in and whatever the order of its columns.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        digest_of(&serde_json::to_vec(&self.body).unwrap_or_default())
    }
}

/// The digest of a call's bytes: objects are written with their keys in order.
pub(super) fn digest_of(body: &[u8]) -> [u8; 16] {
    let hash = Sha256::digest(body);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}

/// The message id of a row without one: told by its content, and by how many rows that say the
/// same came before it, so that two equal purchases count as two and an import again as none.
#[must_use]
pub fn message_id(digest: &[u8; 16], ordinal: u32) -> String {
    match ordinal {
        0 => format!("import-{}", domain::hex(digest)),
        _ => format!("import-{}-{ordinal}", domain::hex(digest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts {
            user: Some("u1".to_owned()),
            event: Some("login".to_owned()),
            at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            ..Parts::default()
        }
    }

    fn call(text: &str) -> Result<Row, Problem> {
        Row::of_call(1, serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_row_becomes_a_call_of_its_kind() {
        let mut members = Map::new();
        members.insert("plan".to_owned(), json!("team"));
        let parts = Parts { account: Some("a1".to_owned()), members, ..parts() };
        let track = parts.clone().into_call(EventKind::Track, 1).unwrap();
        assert_eq!(
            Json::Object(track.body),
            json!({
                "type": "track", "event": "login", "userId": "u1", "context": { "groupId": "a1" },
                "timestamp": "2026-01-01T00:00:00Z", "properties": { "plan": "team" },
            })
        );
        let group = parts.into_call(EventKind::Group, 1).unwrap();
        assert_eq!(
            Json::Object(group.body),
            json!({
                "type": "group", "userId": "u1", "groupId": "a1",
                "timestamp": "2026-01-01T00:00:00Z", "traits": { "plan": "team" },
            })
        );
    }

    #[test]
    fn a_row_that_lacks_something_says_what() {
        let code = |parts: Parts, kind| parts.into_call(kind, 1).unwrap_err().code;
        assert_eq!(code(Parts { at: None, ..parts() }, EventKind::Track), "missing_time");
        assert_eq!(code(Parts { event: None, ..parts() }, EventKind::Track), "missing_event");
        assert_eq!(code(Parts { user: None, ..parts() }, EventKind::Track), "missing_user");
        assert_eq!(code(Parts { user: None, ..parts() }, EventKind::Identify), "missing_user");
        assert_eq!(code(parts(), EventKind::Group), "missing_account");
        assert_eq!(
            code(Parts { user: Some("x".repeat(600)), ..parts() }, EventKind::Track),
            "too_long"
        );
    }

    #[test]
    fn a_full_call_is_taken_as_it_is() {
        let text = r#"{"type":"track","event":"login","userId":42,"messageId":"m1",
            "timestamp":"2026-01-01T02:00:00+02:00","context":{"groupId":"a1"}}"#;
        let row = call(text).unwrap();
        assert_eq!(row.at.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!((row.user(), row.account()), (Some("42".to_owned()), Some("a1".to_owned())));
        assert_eq!(row.id.as_deref(), Some("m1"));
        assert_eq!(
            call(r#"{"type":"track","event":"x","userId":"u"}"#).unwrap_err().code,
            "missing_time"
        );
        let unnamed = r#"{"type":"track","userId":"u","timestamp":"2026-01-01"}"#;
        assert_eq!(call(unnamed).unwrap_err().code, "missing_event");
    }

    #[test]
    fn the_same_row_has_the_same_id_and_its_repetition_another() {
        let row = parts().into_track_call(1).unwrap();
        let elsewhere = parts().into_track_call(99).unwrap();
        assert_eq!(row.digest(), elsewhere.digest());
        let other = Parts { user: Some("u2".to_owned()), ..parts() }.into_track_call(1).unwrap();
        assert_ne!(row.digest(), other.digest());
        let digest = row.digest();
        assert_ne!(message_id(&digest, 0), message_id(&digest, 1));
    }

    #[test]
    fn a_shift_moves_the_instant_and_what_the_body_says_of_it() {
        let mut row = parts().into_track_call(1).unwrap();
        row.shift(SignedDuration::from_hours(24));
        assert_eq!(row.at.to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(row.body["timestamp"], "2026-01-02T00:00:00Z");
    }
}
