//! Playbooks as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{OneOrMany, Word};
use crate::expr::ConditionSource;
use crate::lifecycle::{FindingSeverity, Priority};
use crate::yaml::Spanned;

/// What is done when a customer enters a stage, its risk reaches a band, or a standard is breached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// How often its steps may run for one customer: `stage visit` (the default), `month`, `quarter`,
    /// or a period such as `90d`.
    pub once_per: Option<Word>,
    /// What starts it, beside the stages whose `on_enter` names it.
    pub on: Option<Triggers>,
    /// For whom; where nothing else starts it, this does.
    #[serde(rename = "if")]
    pub condition: Option<ConditionSource>,
    /// What is done.
    #[serde(rename = "do")]
    pub steps: Vec<Spanned<Step>>,
}

/// What starts a playbook; any of it does.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Triggers {
    /// Bands of the churn risk.
    pub risk_band: Option<OneOrMany>,
    /// Standards that are breached.
    pub finding: Option<OneOrMany>,
    /// Checkpoints that were reached.
    pub checkpoint: Option<OneOrMany>,
}

/// One step: one of `task`, `notify`, `message` and `plan`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, for overlays and for the journal.
    pub name: Option<Word>,
    /// For whom.
    #[serde(rename = "if")]
    pub condition: Option<ConditionSource>,
    /// Opens a task for somebody.
    pub task: Option<Spanned<Task>>,
    /// Tells people.
    pub notify: Option<Spanned<Notify>>,
    /// Asks the mail tool in use to write to the customer.
    pub message: Option<Spanned<Message>>,
    /// Opens a success plan: a task for each objective.
    pub plan: Option<Spanned<SuccessPlan>>,
}

/// A task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What is to be done, with names in double braces.
    pub title: Word,
    /// Who does it: a trait, a team or an address.
    pub owner: Option<Word>,
    /// Within what.
    pub due: Option<Word>,
    /// How urgent it is; `medium` where it is absent.
    pub priority: Option<Spanned<Priority>>,
    /// What belongs to it, in order.
    #[serde(default)]
    pub checklist: Vec<Word>,
    /// About how long it takes, in minutes.
    pub effort: Option<Spanned<u32>>,
    /// Who gets it when it stays open beyond its due time.
    #[serde(default)]
    pub escalate: Vec<Escalation>,
}

/// Who gets a task that stays open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// So long after its due time.
    pub after: Word,
    /// A trait, a team or an address.
    pub to: Word,
}

/// Something to tell people.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// How urgent it is.
    pub severity: Spanned<FindingSeverity>,
    /// What, with names in double braces.
    pub text: Word,
}

/// A message for the customer, by the mail tool in use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// What for, as `win_back`: one message of a purpose in each `window`.
    pub purpose: Word,
    /// For so long no other message of the purpose is asked for.
    pub window: Option<Word>,
    /// The mail tool's name of its template.
    pub template: Word,
}

/// A success plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuccessPlan {
    /// What it is called.
    pub title: Word,
    /// Who leads it: a trait, a team or an address.
    pub owner: Option<Word>,
    /// What is to be reached.
    pub objectives: Vec<Spanned<Objective>>,
}

/// An objective of a success plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// What is to be reached, with names in double braces.
    pub title: Word,
    /// Within what.
    pub due: Word,
    /// It is met when this holds.
    pub when: ConditionSource,
    /// Who sees to it; the plan's owner where it is absent.
    pub owner: Option<Word>,
}

/// Where messages for customers go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// A receiver of `alerts`.
    pub to: Word,
}
