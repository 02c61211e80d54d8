//! Feeds: the sources of events that are no tracking calls, how what they send is known to be
//! theirs, and which of our events it is.
//!
//! A feed is declared under `feeds:` of the lifecycle file. A [`Rule`] of its map picks an item by
//! values at paths in it and says where the name, the customer, the id, the time and the
//! properties of our event are: no code, so that a new CRM is a few lines of the file. The first
//! rule that matches an item wins; an item that no rule matches is none of ours.
//!
//! Invariants: mapping is a pure function of the item; nothing in an item, whatever its shape, makes
//! it fail. How an item travelled, and whether its signature holds, is not known here.

pub mod health;
mod path;
pub mod presets;
mod scheme;
mod sender;
mod silence;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

pub use path::{Path, Source, Text};
pub use scheme::{Algorithm, Encoding, Hmac, Piece, Scheme, SecretForm, WORDS as SCHEMES};
pub use sender::{Sender, SenderKind};
pub use silence::{SilentFeed, SilentFeeds};

use crate::event::{EventKind, id_text};
use crate::lifecycle::Subject;
use crate::period::Period;

/// Where events of other systems name the user.
const USER: [&str; 3] = ["userId", "user_id", "userid"];
/// Where they name the account.
const ACCOUNT: [&str; 5] = ["groupId", "account_id", "accountId", "groupid", "accountid"];
/// Where they name what may be either: whatever a customer is.
const CUSTOMER: [&str; 3] = ["customer_id", "customerId", "customerid"];

/// A source of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// Its name: that of its path, `/v1/webhooks/<name>`.
    pub name: String,
    /// How its deliveries are signed; `None` where it sends none of its own.
    pub scheme: Option<Scheme>,
    /// What the `source` of its events on a bus, or of its CloudEvents, begins with.
    pub source: Option<String>,
    /// Where in a body the list of items is; the body itself where it is `None`.
    pub each: Option<Path>,
    /// Which of our events its items are; `None` for items that are tracking calls, or name what
    /// they are in `type` and hold the rest in `data`.
    pub map: Option<Vec<Rule>>,
    /// The events that are expected from it.
    pub events: Vec<String>,
    /// The longest silence that is no alarm.
    pub expect_every: Option<Period>,
}

/// A rule of a feed's map.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What must be at which path: one of the texts.
    pub when: Vec<(Path, Vec<String>)>,
    /// The name of our event; without one the item only tells traits.
    pub event: Option<Text>,
    /// Where the user is named; the first that is there.
    pub user: Vec<Source>,
    /// Where the account is named.
    pub account: Vec<Source>,
    /// Where whatever a customer is, is named.
    pub customer: Vec<Source>,
    /// What makes the item the same when it comes again.
    pub id: Option<Source>,
    /// When it happened.
    pub time: Option<Source>,
    /// The properties of our event.
    pub properties: Members,
    /// The facts about the customer that it tells.
    pub traits: Members,
}

/// Members of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Members {
    /// None.
    #[default]
    Nothing,
    /// Those of an object of the item.
    All(Path),
    /// These, each from where it is.
    Named(Vec<(Text, Source)>),
}

/// What an item comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// No rule matches it: it is none of our events.
    Ignored,
    /// A tracking call. Its `messageId` is the item's own id, if it has one.
    Call(Map<String, Json>),
}

impl Feed {
    /// Whether events that name this `source` are this feed's, and by how many characters it is
    /// known: the longest wins. A source matches as a whole, or up to a `/`, `.` or `:`.
    #[must_use]
    pub fn claims(&self, source: &str) -> Option<usize> {
        let own = self.source.as_deref().unwrap_or(&self.name);
        let rest = source.strip_prefix(own)?;
        let is_whole = own.ends_with(['/', '.', ':']) || rest.is_empty();
        (is_whole || rest.starts_with(['/', '.', ':'])).then_some(own.len())
    }

    /// Whether its events are tracking calls that come with a write key: it signs nothing, has no map,
    /// and is on no bus.
    #[must_use]
    pub fn comes_with_a_write_key(&self) -> bool {
        self.scheme.is_none() && self.source.is_none() && self.map.is_none()
    }

    /// Whether a tracking call of this sender, of this event, is one of this feed's: its events are
    /// listed, or are all those of the write key that has its name.
    #[must_use]
    pub fn has_call(&self, sender: &Sender, event: &str) -> bool {
        let is_listed = || self.events.iter().any(|known| known == event);
        let is_own = || self.events.is_empty() && self.name == sender.name;
        self.comes_with_a_write_key()
            && matches!(sender.kind, SenderKind::WriteKey | SenderKind::Queue)
            && (is_listed() || is_own())
    }

    /// The items of a body: the list at `each`, a list, or the body itself.
    #[must_use]
    pub fn items<'a>(&self, body: &'a Json) -> &'a [Json] {
        let found = match &self.each {
            Some(path) => path.find(body),
            None => Some(body),
        };
        match found {
            Some(Json::Array(items)) => items,
            Some(item) => std::slice::from_ref(item),
            None => &[],
        }
    }

    /// Which of our events an item is.
    #[must_use]
    pub fn call(&self, item: &Json, subject: Subject) -> Mapped {
        let Some(rules) = &self.map else { return Mapped::Call(unmapped(item, subject)) };
        match rules.iter().find(|rule| rule.matches(item)) {
            Some(rule) if rule.can_name_a_customer(subject) => {
                Mapped::Call(rule.call(item, &self.name, subject))
            }
            Some(_) | None => Mapped::Ignored,
        }
    }
}

impl Rule {
    fn matches(&self, item: &Json) -> bool {
        self.when.iter().all(|(path, texts)| {
            let found = path.find(item).and_then(path::scalar_text);
            found.is_some_and(|found| texts.contains(&found))
        })
    }

    /// Whether what the rule names can be a customer: an account is none where users are.
    #[must_use]
    pub fn can_name_a_customer(&self, subject: Subject) -> bool {
        subject == Subject::Account || !self.user.is_empty() || !self.customer.is_empty()
    }

    fn call(&self, item: &Json, feed: &str, subject: Subject) -> Map<String, Json> {
        let first =
            |sources: &[Source]| sources.iter().find_map(|source| source.id(item)).map(Json::from);
        let customer = first(&self.customer);
        let (user, account) = match subject {
            Subject::User => (first(&self.user).or(customer), first(&self.account)),
            Subject::Account => (first(&self.user), first(&self.account).or(customer)),
        };
        let kind = match (&self.event, &account) {
            (Some(_), _) => EventKind::Track,
            (None, Some(_)) => EventKind::Group,
            (None, None) => EventKind::Identify,
        };
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Json>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("type", Some(kind.as_str().into()));
        set("event", self.event.as_ref().and_then(|name| name.word(item)).map(Json::from));
        set("userId", user);
        let mut context = Map::from_iter([("source".to_owned(), Json::from(feed))]);
        match (kind, account) {
            (EventKind::Group, account) => set("groupId", account),
            (_, Some(account)) => {
                context.insert("groupId".to_owned(), account);
            }
            (_, None) => {}
        }
        set("context", Some(context.into()));
        set("messageId", self.id.as_ref().and_then(|id| id.id(item)).map(Json::from));
        set("timestamp", self.time.as_ref().and_then(|time| time.read(item)).map(instant));
        set("properties", self.properties.read(item).map(Json::from));
        set("traits", self.traits.read(item).map(Json::from));
        body
    }
}

impl Members {
    fn read(&self, item: &Json) -> Option<Map<String, Json>> {
        match self {
            Members::Nothing => None,
            Members::All(path) => path.find(item)?.as_object().cloned(),
            Members::Named(members) => {
                let members = members.iter();
                let found = members.filter_map(|(name, source)| {
                    Some((name.text(item)?, source.read(item)?.into_owned()))
                });
                Some(found.collect())
            }
        }
    }
}

/// The instant of a number: milliseconds since 1970, or seconds where that would be before 1973.
#[must_use]
pub fn instant_of(number: i64) -> Option<Timestamp> {
    /// As seconds this is the year 5138.
    const FIRST_MILLISECOND: i64 = 100_000_000_000;
    match number {
        ..FIRST_MILLISECOND => Timestamp::from_second(number).ok(),
        _ => Timestamp::from_millisecond(number).ok(),
    }
}

/// An instant as a tracking call tells it: a number becomes a date; what is none stays as it is, to
/// be refused where calls are read.
fn instant(told: std::borrow::Cow<'_, Json>) -> Json {
    let number = match &*told {
        #[expect(clippy::cast_possible_truncation, reason = "a float that large is no date anyway")]
        Json::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))
        }
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    let at = number.and_then(instant_of);
    at.map_or_else(|| told.into_owned(), |at| at.to_string().into())
}

/// An item without a map: a tracking call as it is; else an event named by `type` whose customer is
/// named, as other systems name it, in `data` or in the item.
fn unmapped(item: &Json, subject: Subject) -> Map<String, Json> {
    let Json::Object(item) = item else { return Map::new() };
    let name = item.get("type").and_then(Json::as_str).unwrap_or_default();
    if EventKind::parse(name).is_some() {
        return item.clone();
    }
    let data = item.get("data").and_then(Json::as_object);
    let mut body = foreign(name, data.unwrap_or(item), &[item], subject);
    for (ours, theirs) in [("messageId", "id"), ("timestamp", "timestamp"), ("timestamp", "time")] {
        if let Some(value) = item.get(theirs) {
            let value = std::borrow::Cow::Borrowed(value);
            let value = if ours == "timestamp" { instant(value) } else { value.into_owned() };
            body.entry(ours).or_insert(value);
        }
    }
    body
}

/// An event of another system as a `track` call that is named as the event is: its customer is
/// looked for under the names in use, in its data and then in `around`.
#[must_use]
pub fn foreign(
    name: &str,
    data: &Map<String, Json>,
    around: &[&Map<String, Json>],
    subject: Subject,
) -> Map<String, Json> {
    let first = |names: &[&str]| {
        let places = std::iter::once(data).chain(around.iter().copied());
        let mut found = places.flat_map(|place| names.iter().map(|name| place.get(*name)));
        found.find_map(|value| id_text(value?)).map(Json::from)
    };
    let customer = first(&CUSTOMER);
    let (user, account) = match subject {
        Subject::User => (first(&USER).or(customer), first(&ACCOUNT)),
        Subject::Account => (first(&USER), first(&ACCOUNT).or(customer)),
    };
    let mut body = Map::new();
    body.insert("type".to_owned(), EventKind::Track.as_str().into());
    body.insert("event".to_owned(), name.into());
    if let Some(user) = user {
        body.insert("userId".to_owned(), user);
    }
    if let Some(account) = account {
        body.insert("context".to_owned(), Map::from_iter([("groupId".to_owned(), account)]).into());
    }
    body.insert("properties".to_owned(), data.clone().into());
    body
}
