//! Standards as they are written.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::Word;
use crate::expr::ConditionSource;
use crate::yaml::Spanned;

/// A standard: one of the first seven keys says what is promised.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standard {
    /// An event within a period of entering a stage, or of another event.
    pub deadline: Option<Spanned<Deadline>>,
    /// No longer than this without one of these events.
    pub silence: Option<Spanned<Silence>>,
    /// Facts that must be known.
    pub required: Option<Vec<Word>>,
    /// Each occurrence of an event answered by another within a period.
    pub respond: Option<Spanned<Respond>>,
    /// Nobody stays in a stage beyond its `stuck` (or `target`) time.
    pub stage_overdue: Option<StageChoice>,
    /// No task stays open beyond its due time: `any`, or those of a list of playbooks.
    pub task_overdue: Option<StageChoice>,
    /// Steps in an order.
    pub sequence: Option<Spanned<Sequence>>,
    /// A condition that must hold: a no is a breach, and what is unknown cannot be told.
    pub holds: Option<ConditionSource>,
    /// With `holds`: for how long it has to be a no, without a break, to be a breach.
    #[serde(rename = "for")]
    pub hold: Option<Word>,
    /// For whom it holds.
    pub only_if: Option<ConditionSource>,
    /// How bad a breach is.
    pub severity: Spanned<crate::lifecycle::FindingSeverity>,
    /// Who mends it: a trait, a team or an address.
    pub owner: Option<Word>,
    /// A breach is forgiven for so long.
    pub grace: Option<Word>,
    /// A breach so soon after the last one was mended opens the same finding again.
    pub reopen_within: Option<Word>,
}

/// An event within a period of entering a stage, or of another event.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// The stage whose entry starts the clock.
    pub stage: Option<Word>,
    /// The event that starts the clock, instead of a stage; while it runs another one does not start
    /// it anew.
    pub after: Option<Word>,
    /// Which events start it.
    #[serde(rename = "where")]
    pub filter: Option<Word>,
    /// What has to happen.
    pub event: Word,
    /// Within what.
    pub within: Word,
}

/// Each occurrence of an event answered by another within a period.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// The event that calls for an answer.
    pub to: Word,
    /// Which of them do.
    #[serde(rename = "where")]
    pub filter: Option<Word>,
    /// Any of these answers everything before it.
    pub with: Vec<Word>,
    /// Within what.
    pub within: Word,
}

/// Steps in an order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Only while a customer is in this stage, each visit by itself; else ever.
    pub stage: Option<Word>,
    /// Events, the first one first.
    pub steps: Vec<Word>,
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
