//! Overlays as they are written: the same names as in the file, and only what differs.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Entries, Word};
use crate::expr::ConditionSource;
use crate::yaml::Spanned;

/// Other numbers for the customers of whom a condition holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// For whom: `segment.enterprise`, or any condition over metrics, traits and segments.
    #[serde(rename = "for")]
    pub applies: ConditionSource,
    /// Stages of the file, and what differs.
    #[serde(default)]
    pub stages: Entries<StageOverlay>,
    /// Standards of the file, and what differs.
    #[serde(default)]
    pub standards: Entries<StandardOverlay>,
    /// Playbooks of the file, and what differs.
    #[serde(default)]
    pub playbooks: Entries<PlaybookOverlay>,
    /// What differs in the health scorecard.
    pub health: Option<HealthOverlay>,
}

/// What differs in a stage.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageOverlay {
    /// When a customer enters.
    pub enter: Option<EnterOverlay>,
    /// When a customer leaves.
    pub leave: Option<LeaveOverlay>,
    /// How long an entry holds.
    pub stay_at_least: Option<Word>,
    /// How long a customer who left must stay away.
    pub cool_down: Option<Word>,
    /// How long the stage should take.
    pub target: Option<Word>,
    /// After how long the customer is stuck.
    pub stuck: Option<Word>,
    /// Who looks after customers in this stage.
    pub owner: Option<Word>,
    /// Who takes the customer over, and within what it is to be acknowledged.
    pub handoff: Option<HandoffOverlay>,
    /// Targets of checkpoints.
    #[serde(default)]
    pub checkpoints: Entries<CheckpointOverlay>,
}

/// What differs in the criteria of an entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnterOverlay {
    /// What must hold.
    pub when: Option<ConditionSource>,
    /// For how long without a break.
    #[serde(rename = "for")]
    pub hold: Option<Word>,
}

/// What differs in the criteria of a departure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveOverlay {
    /// What must hold.
    pub when: Option<ConditionSource>,
    /// For how long without a break.
    #[serde(rename = "for")]
    pub hold: Option<Word>,
}

/// What differs in a handoff.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoffOverlay {
    /// A trait, a team or an address.
    pub to: Option<Word>,
    /// Within what it is to be acknowledged.
    pub ack_within: Option<Word>,
}

/// What differs in a checkpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointOverlay {
    /// How long after entry it should be reached.
    pub target: Word,
}

/// What differs in a standard.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StandardOverlay {
    /// The period of a `deadline`.
    pub deadline: Option<DeadlineOverlay>,
    /// The period of a `silence`.
    pub silence: Option<SilenceOverlay>,
    /// The period of a `respond`.
    pub respond: Option<DeadlineOverlay>,
    /// With `holds`: for how long it has to be a no.
    #[serde(rename = "for")]
    pub hold: Option<Word>,
    /// For how long a breach is forgiven.
    pub grace: Option<Word>,
    /// How soon after the last one a breach opens the same finding again.
    pub reopen_within: Option<Word>,
    /// How bad a breach is.
    pub severity: Option<Spanned<crate::lifecycle::FindingSeverity>>,
    /// Who mends it.
    pub owner: Option<Word>,
}

/// What differs in a playbook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaybookOverlay {
    /// Steps that open a task, and what differs.
    pub tasks: Entries<TaskOverlay>,
}

/// What differs in a task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskOverlay {
    /// Within what.
    pub due: Option<Word>,
    /// Who does it.
    pub owner: Option<Word>,
    /// How urgent it is.
    pub priority: Option<Spanned<crate::lifecycle::Priority>>,
}

/// The period of a `deadline` or a `respond`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadlineOverlay {
    /// Within what.
    pub within: Word,
}

/// The period of a `silence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceOverlay {
    /// The longest silence.
    pub limit: Word,
}

/// What differs in the health scorecard.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthOverlay {
    /// Factors of the file, and what differs.
    #[serde(default)]
    pub factors: Entries<FactorOverlay>,
    /// Where bands of the file begin.
    #[serde(default)]
    pub bands: Entries<Spanned<f64>>,
}

/// What differs in a factor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorOverlay {
    /// Points of 100.
    pub weight: Option<Spanned<f64>>,
    /// The value that earns nothing.
    pub worst: Option<Spanned<f64>>,
    /// The value that earns all of the weight.
    pub best: Option<Spanned<f64>>,
}
