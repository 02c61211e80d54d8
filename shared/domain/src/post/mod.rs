//! Messages about alerts for receivers that are no SNS topics: the body of each, and the request that
//! carries it.
//!
//! A body is made once, with the message, and is the same however often it is sent; what is secret (the
//! address, a key) is put to it when it is sent ([`Post::request`]). Everything that came from outside is
//! escaped for its receiver, and cut to what that takes: a body that was cut says `truncated`.
//!
//! Nothing here sends, and nothing here knows what a name resolves to.

mod alertmanager;
mod button;
mod pagerduty;
mod slack;
mod target;
mod text;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alerting::{Ack, Group, Member};
use crate::lifecycle::{Channel, Receiver};

pub use button::{Button, ButtonAction, ButtonKey, ButtonRefused};
pub use target::{BadTarget, Target};

/// The most bytes of a body: what Standard Webhooks asks senders to keep to
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Payload size").
pub const MAX_BODY_BYTES: usize = 20 * 1024;

/// A message for a receiver that is no SNS topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// What kind of receiver.
    pub channel: Channel,
    /// The name of the secret that has the address.
    pub secret: String,
    /// Names the message, however often it is sent.
    pub id: String,
    /// The body: a JSON text, without anything secret.
    pub body: String,
}

/// A request that carries a message. What it says of itself has nothing secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The address; a secret.
    pub url: String,
    /// Headers, by their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What a message says of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Something is so.
    Firing,
    /// Something happened that is over with being told.
    News,
    /// Nothing is so any longer.
    Resolved,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Standing::Firing => "firing",
            Standing::News => "news",
            Standing::Resolved => "resolved",
        }
    }
}

/// What there is to tell.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    /// Names the message.
    pub(crate) id: &'a str,
    /// The group; none of a message that sums up several.
    pub(crate) group: Option<&'a Group>,
    /// The word of the decision.
    pub(crate) reason: &'a str,
    /// The same as a sentence.
    pub(crate) why: &'a str,
    pub(crate) standing: Standing,
    /// One line.
    pub(crate) subject: &'a str,
    /// The numbers of the message.
    pub(crate) what: &'a str,
    /// The labels of the group, as one line.
    pub(crate) labels: &'a str,
    /// What all alerts have in common, and the worst severity.
    pub(crate) attributes: &'a BTreeMap<String, String>,
    /// The alerts that are known one by one.
    pub(crate) listed: &'a [&'a Member],
    /// How many others there are.
    pub(crate) left_out: u64,
    /// The message as plain text.
    pub(crate) text: &'a str,
    pub(crate) now: Timestamp,
}

/// The message for a receiver; `None` where that is an SNS topic.
pub(crate) fn post(
    receiver: &Receiver,
    told: &Told<'_>,
    buttons: Option<&ButtonKey>,
) -> Option<Post> {
    let body = match receiver.channel {
        Channel::Sns => return None,
        Channel::Slack => slack::body(&receiver.name, told, buttons),
        Channel::Webhook => webhook::body(&receiver.name, told),
        Channel::PagerDuty => pagerduty::body(told),
        Channel::Alertmanager => alertmanager::body(&receiver.name, told),
    };
    Some(of(receiver, told.id, body.to_string()))
}

/// What a receiver is told of an acknowledgement; `None` where it is told nothing of it.
#[must_use]
pub fn acknowledged(id: &str, receiver: &Receiver, group: &Group, ack: &Ack) -> Option<Post> {
    let body = match receiver.channel {
        Channel::PagerDuty => pagerduty::acknowledged(&group.id),
        Channel::Webhook => webhook::acknowledged(id, &receiver.name, group, ack),
        Channel::Sns | Channel::Slack | Channel::Alertmanager => return None,
    };
    Some(of(receiver, id, body.to_string()))
}

fn of(receiver: &Receiver, id: &str, body: String) -> Post {
    let (channel, secret) = (receiver.channel, receiver.address.clone());
    Post { channel, secret, id: id.to_owned(), body }
}

impl Post {
    /// The request that carries the message, as of an instant.
    #[must_use]
    pub fn request(&self, target: &Target, now: Timestamp) -> Request {
        let mut headers = vec![
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("user-agent", "lifecycle".to_owned()),
        ];
        let mut url = target.url().to_owned();
        let mut body = self.body.clone();
        match self.channel {
            Channel::Sns | Channel::Slack => {}
            Channel::Webhook => headers.extend(webhook::headers(&self.id, &body, target, now)),
            Channel::PagerDuty => body = pagerduty::with_key(&body, target),
            Channel::Alertmanager => {
                url = alertmanager::address(&url);
                headers.extend(
                    target.keys().first().map(|key| ("authorization", format!("Bearer {key}"))),
                );
            }
        }
        Request { url, headers, body }
    }

    /// The same message of which somebody was erased before it was sent: it says that something changed,
    /// and names nobody.
    #[must_use]
    pub fn without_names(&self, text: &str) -> Post {
        let body = match self.channel {
            Channel::Sns | Channel::Slack => slack::nameless(text),
            Channel::Webhook => webhook::nameless(&self.body, text),
            Channel::PagerDuty => pagerduty::nameless(&self.body, text),
            Channel::Alertmanager => alertmanager::nameless(&self.body, text),
        };
        Post { body: body.to_string(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
