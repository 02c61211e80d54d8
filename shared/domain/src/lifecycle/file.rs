//! The lifecycle file as it is written: the YAML vocabulary, with the place of every word.
//!
//! Nothing here is checked beyond its shape; [`super::load`] turns it into a [`super::Lifecycle`].
//! Unknown keys are errors, so nothing in a file is silently ignored.

mod alerts;
mod feeds;
mod overlays;
mod playbooks;
mod stages;
mod standards;

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

pub use self::alerts::{Alerts, Escalate, Inhibit, OneOrMany, Receiver};
pub use self::feeds::{Feed, Hmac, Members, Rule, Scheme, Texts};
pub use self::overlays::{
    FactorOverlay, HealthOverlay, Overlay, PlaybookOverlay, StageOverlay, StandardOverlay,
};
pub use self::playbooks::{Message, Messages, Playbook, SuccessPlan, Task};
pub use self::stages::{Enter, Exit, Stage};
pub use self::standards::{Deadline, Respond, Sequence, StageChoice, Standard};
use crate::expr::ConditionSource;
pub use crate::yaml::Spanned;

/// A word of the file and where it stands.
pub type Word = Spanned<String>;

/// A YAML mapping in the order of the file, with the place of each key.
#[derive(Debug)]
pub struct Entries<V>(pub Vec<(Word, V)>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
            type Value = Entries<V>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The version of this vocabulary: 1.
    pub version: Option<Spanned<u32>>,
    /// Name, time zone and calendar.
    #[serde(default)]
    pub workspace: Workspace,
    /// What a customer is: `account` or `user`.
    pub subject: Option<Spanned<Subject>>,
    /// Facts the senders tell us.
    #[serde(default)]
    pub traits: Entries<Spanned<TraitType>>,
    /// Numbers counted from events.
    #[serde(default)]
    pub metrics: Entries<Spanned<Metric>>,
    /// Named questions.
    #[serde(default)]
    pub segments: Entries<ConditionSource>,
    /// The stages.
    #[serde(default)]
    pub stages: Entries<Stage>,
    /// The same lifecycle with other numbers for a segment.
    #[serde(default)]
    pub overlays: Vec<Spanned<Overlay>>,
    /// The health scorecard.
    pub health: Option<Scorecard>,
    /// Churn risk.
    pub risk: Option<Risk>,
    /// Sources and what silence from one means.
    #[serde(default)]
    pub feeds: Entries<Feed>,
    /// What to do on entry, on risk, on a finding.
    #[serde(default)]
    pub playbooks: Entries<Spanned<Playbook>>,
    /// Where messages for customers go.
    pub messages: Option<Messages>,
    /// What we promised ourselves.
    #[serde(default)]
    pub standards: Entries<Spanned<Standard>>,
    /// Who hears of what.
    pub alerts: Option<Alerts>,
}

/// Name, time zone and calendar of the workspace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// The company's name.
    pub name: Option<String>,
    /// An IANA time zone; UTC where it is absent.
    pub timezone: Option<Word>,
    /// `mon-fri` where it is absent.
    pub workdays: Option<Word>,
    /// Dates nobody works.
    #[serde(default)]
    pub holidays: Vec<Word>,
    /// The currency of amounts, as `EUR`: shown beside them, never converted.
    pub currency: Option<Word>,
}

/// What a customer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Events of an account's users roll up to the account.
    Account,
    /// Each user is a customer.
    User,
}

/// The type of a trait: a name with an optional `?`, or a list of words.
#[derive(Debug)]
pub enum TraitType {
    /// `text`, `number?`, `date?`, `email?`, `yes_no?`, `account?`.
    Named(String),
    /// One of these words.
    Words(Vec<Word>),
    /// A type, and how it is kept.
    Kept(Box<Kept>),
}

/// A trait that is not kept as it is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Spanned<TraitType>,
    /// `hash` or `drop`.
    pub pii: Option<Word>,
}

impl<'de> Deserialize<'de> for TraitType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TypeVisitor;
        impl<'de> Visitor<'de> for TypeVisitor {
            type Value = TraitType;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(
                    "a type such as `number?`, a list of words, or `{ type: text?, pii: hash }`",
                )
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TraitType, A::Error> {
                let kept =
                    Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(TraitType::Kept(kept))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TraitType, E> {
                Ok(TraitType::Named(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TraitType, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(TraitType::Words(words))
            }
        }
        deserializer.deserialize_any(TypeVisitor)
    }
}

/// A metric: counted from events, or a formula over the others.
#[derive(Debug)]
pub enum Metric {
    /// `metrics.seats_used / traits.seats_bought`
    Formula(String),
    /// `{ count: login, over: 7d }`
    Counted(Box<Counted>),
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetricVisitor;
        impl<'de> Visitor<'de> for MetricVisitor {
            type Value = Metric;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a metric such as `{ count: login, over: 7d }`, or a formula")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Metric, E> {
                Ok(Metric::Formula(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Metric, A::Error> {
                let counted =
                    Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Metric::Counted(counted))
            }
        }
        deserializer.deserialize_any(MetricVisitor)
    }
}

/// A metric counted from events; one of the first seven keys says how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// How many such events.
    pub count: Option<Word>,
    /// On how many calendar days there was one.
    pub days_with: Option<Word>,
    /// How many different users, or values of `event.property`.
    pub distinct: Option<Word>,
    /// The sum of `event.property`.
    pub sum: Option<Word>,
    /// The newest value of `event.property`.
    pub latest: Option<Word>,
    /// Whole days since the last such event.
    pub days_since: Option<Word>,
    /// Percent change of the count against the period before.
    pub change: Option<Word>,
    /// Subtracts the count of another event.
    pub minus: Option<Word>,
    /// Which events count.
    #[serde(rename = "where")]
    pub filter: Option<Word>,
    /// The window; all of history where it is absent.
    pub over: Option<Word>,
    /// For `change`: `previous`.
    pub against: Option<Word>,
    /// For `latest`: after so long without news the value counts as missing.
    pub stale_after: Option<Word>,
    /// Whether the accounts below count too, by the trait that names an account's parent.
    pub roll_up: Option<Spanned<bool>>,
}

/// A scorecard: weighted factors and bands.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scorecard {
    /// What is weighed.
    pub factors: Spanned<Entries<Spanned<Factor>>>,
    /// From which score on a band begins.
    #[serde(default)]
    pub bands: Entries<Spanned<f64>>,
}

/// One factor of a scorecard.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Points of 100.
    pub weight: Spanned<f64>,
    /// A number: a metric, a trait or a formula.
    pub value: Word,
    /// The value that earns nothing.
    pub worst: Spanned<f64>,
    /// The value that earns all of the weight.
    pub best: Spanned<f64>,
}

/// What counts as leaving: an event that happens, one that does not, or a date that passes without one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Leaves {
    /// Who has this event has left.
    pub with: Option<Word>,
    /// Who does not have this event has left.
    pub without: Option<Word>,
    /// The trait that tells the date by which `without` has to happen.
    pub renewal: Option<Word>,
}

/// Churn risk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Risk {
    /// `scorecard`, `alive`, or the name of a model that is learnt.
    pub model: Word,
    /// The event that customers have again and again; not of a scorecard.
    pub event: Option<Word>,
    /// How far ahead is looked; not of a scorecard.
    pub horizon: Option<Word>,
    /// Of a model that is learnt: what counts as leaving.
    pub leaves: Option<Spanned<Leaves>>,
    /// Of a model that is learnt: how long before leaving it is to be told; a week where it is absent.
    pub lead: Option<Word>,
    /// Of a model that is learnt: the events it looks at; those of the metrics where it is absent.
    pub learn_from: Option<Spanned<Vec<Word>>>,
    /// Of a model that is learnt: metrics and traits that it does not look at.
    pub ignore: Option<Spanned<Vec<Word>>>,
    /// The factors of the scorecard; those of `health` where they are absent.
    pub factors: Option<Spanned<Entries<Spanned<Factor>>>>,
    /// From which probability on a band begins, or that acting has to pay.
    #[serde(default)]
    pub bands: RiskBands,
    /// The value that is lost when the customer leaves: a trait, a metric or a formula.
    pub value: Option<Word>,
    /// A rise of the probability by this much within 7 days is an alert by itself.
    pub drop_alert: Option<Spanned<f64>>,
}

/// The bands of risk.
#[derive(Debug, Default)]
pub struct RiskBands {
    /// From which probability on each begins.
    pub fixed: Entries<Spanned<f64>>,
    /// `by_cost`: where acting pays.
    pub by_cost: Option<(Word, Spanned<ByCost>)>,
}

impl<'de> Deserialize<'de> for RiskBands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BandsVisitor;
        impl<'de> Visitor<'de> for BandsVisitor {
            type Value = RiskBands;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a mapping of names to where they begin, or `by_cost`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RiskBands, A::Error> {
                let mut bands = RiskBands::default();
                while let Some(name) = map.next_key::<Word>()? {
                    if name.value == "by_cost" {
                        bands.by_cost = Some((name, map.next_value()?));
                    } else {
                        bands.fixed.0.push((name, map.next_value()?));
                    }
                }
                Ok(bands)
            }
        }
        deserializer.deserialize_map(BandsVisitor)
    }
}

/// Bands by what acting costs: from `low`, where acting upon the risk does not pay, to `critical`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByCost {
    /// What acting costs for one customer, in the unit of `value`.
    pub acting_costs: Spanned<f64>,
    /// The share of leaving customers that acting keeps, as in 0.2.
    pub success_rate: Spanned<f64>,
}
