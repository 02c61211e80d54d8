//! Feeds as they are written.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Entries, OneOrMany, Word};
use crate::yaml::Spanned;

/// A source of events, and what silence from it means.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// How its deliveries are signed.
    pub scheme: Option<Spanned<Scheme>>,
    /// What the `source` of its events on a bus begins with.
    pub source: Option<Word>,
    /// Where in a body the list of items is.
    pub each: Option<Word>,
    /// Which of our events its items are.
    pub map: Option<Spanned<Vec<Spanned<Rule>>>>,
    /// The events that are expected from it.
    #[serde(default)]
    pub events: Vec<Word>,
    /// The longest silence that is no alarm.
    pub expect_every: Option<Word>,
}

/// How deliveries are signed: a word, or `{ hmac: … }`.
#[derive(Debug)]
pub enum Scheme {
    /// `stripe`, `github` and the like.
    Named(String),
    /// A keyed hash, as described.
    Hmac(Box<Hmac>),
}

impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Described {
            hmac: Box<Hmac>,
        }
        struct SchemeVisitor;
        impl<'de> Visitor<'de> for SchemeVisitor {
            type Value = Scheme;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a scheme such as `stripe`, or `{ hmac: { header: x-signature } }`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Scheme, E> {
                Ok(Scheme::Named(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scheme, A::Error> {
                let described: Described =
                    Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Scheme::Hmac(described.hmac))
            }
        }
        deserializer.deserialize_any(SchemeVisitor)
    }
}

/// A keyed hash over parts of a delivery.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    /// The header of the signature.
    pub header: Word,
    /// `sha256` where it is absent.
    pub algorithm: Option<Word>,
    /// `hex` where it is absent.
    pub encoding: Option<Word>,
    /// What stands before the signature in its header.
    pub prefix: Option<Word>,
    /// What is signed: `{body}` where it is absent.
    pub signed: Option<Word>,
    /// The header of the instant of sending.
    pub timestamp_header: Option<Word>,
    /// The header of the delivery's id.
    pub id_header: Option<Word>,
    /// `text` where it is absent.
    pub secret: Option<Word>,
}

/// A rule of a feed's map.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What must be at which path; every item matches where it is absent.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Texts>")]
    pub when: Entries<Texts>,
    /// The name of our event.
    pub event: Option<Word>,
    /// Where the user is named.
    pub user: Option<OneOrMany>,
    /// Where the account is named.
    pub account: Option<OneOrMany>,
    /// Where whatever a customer is, is named.
    pub customer: Option<OneOrMany>,
    /// What makes the item the same when it comes again.
    pub id: Option<Word>,
    /// When it happened.
    pub time: Option<Word>,
    /// The properties of our event.
    pub properties: Option<Members>,
    /// The facts about the customer.
    pub traits: Option<Members>,
}

/// Members of an object: a path to all of them, or each with its path.
#[derive(Debug)]
pub enum Members {
    /// `data.object`
    All(Word),
    /// `{ amount: data.object.amount }`
    Named(Entries<Word>),
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Either {
            All(String),
            Named(Entries<Word>),
        }
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Either;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("names and paths as `{ amount: data.amount }`, or a path to an object")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either, E> {
                Ok(Either::All(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Either, A::Error> {
                Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(Either::Named)
            }
        }
        impl<'de> Deserialize<'de> for Either {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(MembersVisitor)
            }
        }
        let either = Spanned::<Either>::deserialize(deserializer)?;
        let (referenced, defined) = (either.referenced, either.defined);
        Ok(match either.value {
            Either::All(value) => Members::All(Spanned { value, referenced, defined }),
            Either::Named(members) => Members::Named(members),
        })
    }
}

/// A text, a number, a yes or no, or a list of them, as texts.
#[derive(Debug)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text, a number, `true`, `false`, or a list of them")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }
            fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<Texts, E> {
                Ok(Texts(vec![flag.to_string()]))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(Texts(more)) = seq.next_element()? {
                    texts.extend(more);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(TextsVisitor)
    }
}
