//! Tracking calls, as a tracker writes them.

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

/// A tracking call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// When it happened.
    pub at: Timestamp,
    /// Its message id.
    pub id: String,
    /// The call: `type`, `messageId`, `timestamp`, `userId`, `context.groupId` and so on.
    pub body: Map<String, Json>,
}

/// What a call is of.
pub(super) enum What {
    Identify,
    Group,
    Track(&'static str),
}

impl Call {
    pub(super) fn new(
        what: &What,
        at: Timestamp,
        id: String,
        account: &str,
        user: Option<&str>,
        told: Map<String, Json>,
    ) -> Call {
        let mut body = Map::new();
        let (kind, members) = match what {
            What::Identify => ("identify", "traits"),
            What::Group => ("group", "traits"),
            What::Track(event) => {
                body.insert("event".to_owned(), Json::from(*event));
                ("track", "properties")
            }
        };
        body.insert("type".to_owned(), kind.into());
        body.insert("messageId".to_owned(), id.as_str().into());
        body.insert("timestamp".to_owned(), at.to_string().into());
        if let Some(user) = user {
            body.insert("userId".to_owned(), user.into());
        }
        match what {
            What::Group => body.insert("groupId".to_owned(), account.into()),
            _ => body.insert("context".to_owned(), json!({ "groupId": account })),
        };
        if !told.is_empty() {
            body.insert(members.to_owned(), Json::Object(told));
        }
        Call { at, id, body }
    }

    /// The call as a line of JSON, without the line's end.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(&self.body).unwrap_or_default()
    }
}
