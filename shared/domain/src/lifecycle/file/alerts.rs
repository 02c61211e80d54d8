//! Routes and receivers as they are written.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::{Entries, Word};

use crate::yaml::Spanned;

/// Who hears of what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// The first that matches wins.
    pub routes: Vec<Spanned<Route>>,
    /// Where messages go.
    pub receivers: Entries<Spanned<Receiver>>,
    /// The labels whose values make a group; all of a route are one group where it is absent.
    pub group_by: Option<Vec<Word>>,
    /// How long a new group waits for company: 30s where it is absent.
    pub group_wait: Option<Word>,
    /// How often a changed group speaks: 5m where it is absent.
    pub group_interval: Option<Word>,
    /// How often an unchanged group speaks: 4h where it is absent.
    pub repeat_interval: Option<Word>,
    /// What mutes what.
    #[serde(default)]
    pub inhibit: Vec<Spanned<Inhibit>>,
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
    #[serde(default)]
    pub escalate: Vec<Spanned<Escalate>>,
    /// As of all routes, for this one.
    pub group_by: Option<Vec<Word>>,
    /// As of all routes, for this one.
    pub group_wait: Option<Word>,
    /// As of all routes, for this one.
    pub group_interval: Option<Word>,
    /// As of all routes, for this one.
    pub repeat_interval: Option<Word>,
}

/// A step of an escalation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalate {
    /// How long after the first message.
    pub after: Word,
    /// The receiver.
    pub to: Word,
}

/// What is not told while something else is so.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inhibit {
    /// The labels of what mutes.
    pub when: Entries<OneOrMany>,
    /// The labels of what is muted.
    pub mute: Entries<OneOrMany>,
    /// Labels that both have with the same values.
    #[serde(default)]
    pub equal: Vec<Word>,
    /// `depends_on_feed`: only what depends on the feed that is silent is muted.
    #[serde(rename = "where")]
    pub depends: Option<Word>,
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

/// Where messages go: one of `sns`, `slack`, `webhook`, `pagerduty` and `alertmanager`. All but the first
/// name a secret that has the address: it is kept with `lifecycle secrets add NAME`, and never here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// The name of an SNS topic.
    pub sns: Option<Word>,
    /// The name of the secret that has the address of a Slack incoming webhook.
    pub slack: Option<Word>,
    /// The name of the secret that has an address and the key of Standard Webhooks.
    pub webhook: Option<Word>,
    /// The name of the secret that has the routing key of a PagerDuty service (Events API v2).
    pub pagerduty: Option<Word>,
    /// The name of the secret that has the address of a Prometheus Alertmanager (API v2).
    pub alertmanager: Option<Word>,
    /// What subscribes to the topic: `email`, `slack`, or both.
    #[serde(default)]
    pub format: Vec<Word>,
    /// When it is told, as `weekdays 08:00`; at any time where it is absent.
    pub at: Option<Word>,
    /// When it is not told, as `20:00-07:00`.
    pub quiet: Option<Word>,
    /// How many messages it gets in an hour; one that sums up comes in place of the rest.
    pub cap_per_hour: Option<Spanned<u32>>,
}
