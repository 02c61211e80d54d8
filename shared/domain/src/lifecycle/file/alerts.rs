//! Routes and receivers as they are written.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::{Entries, Later, Word};

use crate::yaml::Spanned;

/// Who hears of what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// The first that matches wins.
    pub routes: Vec<Spanned<Route>>,
    /// Where messages go.
    pub receivers: Entries<Spanned<Receiver>>,
    /// Grouping labels.
    #[schemars(skip)]
    pub group_by: Later,
    /// How long a new group waits for company.
    #[schemars(skip)]
    pub group_wait: Later,
    /// How often a changed group speaks.
    #[schemars(skip)]
    pub group_interval: Later,
    /// How often an unchanged group speaks.
    #[schemars(skip)]
    pub repeat_interval: Later,
    /// What mutes what.
    #[schemars(skip)]
    pub inhibit: Later,
}

/// One route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Labels and the values that match; everything matches where it is absent.
    #[serde(default, rename = "match")]
    pub matchers: Entries<OneOrMany>,
    /// The receiver.
    pub to: Word,
    /// Who hears of it when nobody acts.
    #[schemars(skip)]
    pub escalate: Later,
}

/// One word or a list of them.
#[derive(Debug)]
pub struct OneOrMany(pub Vec<Word>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Either {
            One(String),
            Many(Vec<Word>),
        }
        struct EitherVisitor;
        impl<'de> Visitor<'de> for EitherVisitor {
            type Value = Either;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a word or a list of words")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either, E> {
                Ok(Either::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Either, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(Either::Many(words))
            }
        }
        impl<'de> Deserialize<'de> for Either {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(EitherVisitor)
            }
        }
        let either = Spanned::<Either>::deserialize(deserializer)?;
        let (referenced, defined) = (either.referenced, either.defined);
        Ok(OneOrMany(match either.value {
            Either::One(value) => vec![Spanned { value, referenced, defined }],
            Either::Many(words) => words,
        }))
    }
}

/// Where messages go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// The name of an SNS topic.
    pub sns: Word,
    /// `email`, `slack`, or both.
    #[serde(default)]
    pub format: Vec<Word>,
    /// Digest times.
    #[schemars(skip)]
    pub at: Later,
}
