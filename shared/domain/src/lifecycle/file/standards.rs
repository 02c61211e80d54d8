//! Standards as they are written.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::{Later, Word};
use crate::expr::ConditionSource;
use crate::yaml::Spanned;

/// A standard: one of the first seven keys says what is promised.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standard {
    /// An event within a period of entering a stage.
    pub deadline: Option<Spanned<Deadline>>,
    /// No longer than this without one of these events.
    pub silence: Option<Spanned<Silence>>,
    /// Facts that must be known.
    pub required: Option<Vec<Word>>,
    /// An event answered by another within a period.
    #[schemars(skip)]
    pub respond: Later,
    /// Nobody stays in a stage beyond its `stuck` (or `target`) time.
    pub stage_overdue: Option<StageChoice>,
    /// No task stays open beyond its due time: `any`, or those of a list of playbooks.
    pub task_overdue: Option<StageChoice>,
    /// Steps in an order.
    #[schemars(skip)]
    pub sequence: Later,
    /// For whom it holds.
    pub only_if: Option<ConditionSource>,
    /// How bad a breach is.
    pub severity: Spanned<crate::lifecycle::FindingSeverity>,
    /// Who mends it: a trait, a team or an address.
    pub owner: Option<Word>,
    /// A breach is forgiven for so long.
    #[schemars(skip)]
    pub grace: Later,
}

/// An event within a period of entering a stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// The stage whose entry starts the clock.
    pub stage: Word,
    /// What has to happen.
    pub event: Word,
    /// Within what.
    pub within: Word,
}

/// No longer than this without one of these events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Any of these breaks the silence.
    pub events: Vec<Word>,
    /// The longest silence.
    pub limit: Word,
}

/// `any`, or a list of stages (of playbooks, for `task_overdue`).
#[derive(Debug)]
pub enum StageChoice {
    /// Every stage that has a target, or every playbook.
    Any,
    /// These.
    Listed(Vec<Word>),
}

impl<'de> Deserialize<'de> for StageChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoiceVisitor;
        impl<'de> Visitor<'de> for ChoiceVisitor {
            type Value = StageChoice;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`any`, or a list of names")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StageChoice, E> {
                match text {
                    "any" => Ok(StageChoice::Any),
                    other => {
                        Err(E::custom(format!("`{other}` is neither `any` nor a list of names")))
                    }
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<StageChoice, A::Error> {
                let mut stages = Vec::new();
                while let Some(stage) = seq.next_element()? {
                    stages.push(stage);
                }
                Ok(StageChoice::Listed(stages))
            }
        }
        deserializer.deserialize_any(ChoiceVisitor)
    }
}
