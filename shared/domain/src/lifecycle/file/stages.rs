//! Stages as they are written.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{Entries, Word};
use crate::expr::ConditionSource;
use crate::yaml::Spanned;

/// A stage.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// When a customer enters.
    pub enter: Option<Enter>,
    /// When a customer leaves for a named stage, judged before the other stages' criteria.
    pub leave: Option<Leave>,
    /// How long an entry holds, but for exits marked `at_once`.
    pub stay_at_least: Option<Word>,
    /// How long the stage should take.
    pub target: Option<Word>,
    /// After how long the customer is stuck.
    pub stuck: Option<Word>,
    /// Who looks after customers in this stage.
    pub owner: Option<Word>,
    /// The checkpoint of this stage: a metric's name.
    pub metric: Option<Word>,
    /// Where a customer may go from here; anywhere where it is absent.
    pub exits: Option<Vec<Exit>>,
    /// Who takes the customer over on entry, and says so.
    pub handoff: Option<Handoff>,
    /// Playbooks that run on entry.
    #[serde(default)]
    pub on_enter: Vec<Word>,
    /// Milestones inside the stage.
    #[serde(default)]
    pub checkpoints: Entries<Checkpoint>,
    /// How long a customer who left must stay away.
    pub cool_down: Option<Word>,
    /// Customers in this stage have left: they count as lost, and nobody looks after their risk.
    #[serde(default)]
    pub lost: bool,
}

/// Who takes a customer over on entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handoff {
    /// A trait, a team or an address.
    pub to: Word,
    /// Within what it is to be acknowledged.
    pub ack_within: Option<Word>,
}

/// A milestone inside a stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// What has to hold, once in a visit.
    pub when: ConditionSource,
    /// How long after entry it should be reached.
    pub target: Option<Word>,
}

/// The criteria of an entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enter {
    /// What must hold.
    pub when: ConditionSource,
    /// For how long without a break.
    #[serde(rename = "for")]
    pub hold: Option<Word>,
    /// The higher wins.
    #[serde(default)]
    pub priority: i32,
    /// Only from these stages.
    pub from: Option<Vec<Word>>,
}

/// The criteria of a departure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// What must hold.
    pub when: ConditionSource,
    /// For how long without a break.
    #[serde(rename = "for")]
    pub hold: Option<Word>,
    /// Where to.
    pub to: Word,
}

/// One exit of a stage: a name, or a name that `stay_at_least` does not hold back.
#[derive(Debug)]
pub struct Exit {
    /// The stage it leads to.
    pub to: Word,
    /// Not held back by `stay_at_least`.
    pub at_once: bool,
}

impl<'de> Deserialize<'de> for Exit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Marked {
            to: Word,
            #[serde(default)]
            at_once: bool,
        }
        enum Either {
            Name(String),
            Marked(Marked),
        }
        struct ExitVisitor;
        impl<'de> Visitor<'de> for ExitVisitor {
            type Value = Either;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a stage, or `{ to: stage, at_once: true }`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either, E> {
                Ok(Either::Name(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Either, A::Error> {
                Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(Either::Marked)
            }
        }
        impl<'de> Deserialize<'de> for Either {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ExitVisitor)
            }
        }
        let either = Spanned::<Either>::deserialize(deserializer)?;
        let (referenced, defined) = (either.referenced, either.defined);
        Ok(match either.value {
            Either::Name(value) => {
                Exit { to: Spanned { value, referenced, defined }, at_once: false }
            }
            Either::Marked(marked) => Exit { to: marked.to, at_once: marked.at_once },
        })
    }
}
