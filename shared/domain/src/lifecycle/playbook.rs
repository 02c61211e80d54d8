//! Playbooks: what is to be done about a customer, when, and by whom.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::expr::Condition;
use crate::period::{Calendar, Period};
use crate::template::Template;

/// What is done when a customer enters a stage, its risk reaches a band, or a standard is breached.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// Its name.
    pub name: String,
    /// How often its steps may run for one customer.
    pub once_per: Cadence,
    /// What starts it, beside the stages whose `on_enter` names it.
    pub triggers: Triggers,
    /// For whom; where nothing else starts it, this does.
    pub condition: Option<Condition>,
    /// What is done, in the order of the file.
    pub steps: Vec<Step>,
}

impl Playbook {
    /// A step by name.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

/// What starts a playbook; any of it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triggers {
    /// The customer is in one of these stages, each of which names the playbook in `on_enter`.
    pub stages: Vec<String>,
    /// The churn risk is in one of these bands.
    pub bands: Vec<String>,
    /// One of these standards is breached.
    pub standards: Vec<String>,
    /// One of these checkpoints was reached in the present visit.
    pub checkpoints: Vec<String>,
}

impl Triggers {
    /// Whether nothing of this can start the playbook.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Triggers::default()
    }
}

/// How often a step may run for one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// Once in each visit to a stage.
    Visit,
    /// Once in a month of the workspace's calendar.
    Month,
    /// Once in a quarter of the workspace's calendar.
    Quarter,
    /// Once in such a period, counted from the last time.
    Every(Period),
}

impl Cadence {
    /// What makes a run a different one from the next. `visit` is the number of the present one.
    #[must_use]
    pub fn key(self, visit: u32, at: Timestamp, calendar: &Calendar) -> String {
        let date = calendar.date(at);
        match self {
            Cadence::Visit => format!("visit {visit}"),
            Cadence::Month => format!("{}-{:02}", date.year(), date.month()),
            Cadence::Quarter => format!("{}-Q{}", date.year(), (date.month() + 2) / 3),
            Cadence::Every(_) => Timestamp::from_second(at.as_second()).unwrap_or(at).to_string(),
        }
    }
}

/// One step of a playbook.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, unique in the playbook: `step_1` where the file gives none.
    pub name: String,
    /// For whom.
    pub condition: Option<Condition>,
    /// What is done.
    pub action: Action,
}

impl Step {
    /// The task that it opens, where it does.
    #[must_use]
    pub fn task(&self) -> Option<&TaskRule> {
        match &self.action {
            Action::Task(task) => Some(task),
            Action::Notify { .. } | Action::Message { .. } => None,
        }
    }
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Opens a task for somebody.
    Task(TaskRule),
    /// Tells people.
    Notify {
        /// How urgent it is.
        severity: super::FindingSeverity,
        /// What.
        text: Template,
    },
    /// Asks the mail tool in use to write to the customer.
    Message {
        /// What for: one message of a purpose in each `window`.
        purpose: String,
        /// For so long no other message of the purpose is asked for.
        window: Option<Period>,
        /// The mail tool's name of its template.
        template: String,
    },
}

/// A task as the file describes it.
#[derive(Debug, Clone)]
pub struct TaskRule {
    /// What is to be done.
    pub title: Template,
    /// Who does it: a trait, a team or an address.
    pub owner: String,
    /// Within what.
    pub due: Option<Period>,
    /// How urgent it is.
    pub priority: Priority,
    /// What belongs to it, in order.
    pub checklist: Vec<String>,
    /// About how long it takes, in minutes.
    pub effort_minutes: Option<u32>,
    /// Who gets it when it stays open beyond its due time.
    pub escalate: Vec<super::Escalation>,
    /// The success plan that it is an objective of.
    pub plan: Option<String>,
    /// The objective is met, and the task done, when this holds.
    pub met_when: Option<Condition>,
}

/// How urgent a task is.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When there is time.
    Low,
    /// This week.
    #[default]
    Medium,
    /// Today.
    High,
    /// Now.
    Urgent,
}

impl Priority {
    /// The word of the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Medium => "medium",
            Priority::High => "high",
            Priority::Urgent => "urgent",
        }
    }

    /// The severity that routes know it by.
    #[must_use]
    pub fn severity(self) -> super::FindingSeverity {
        match self {
            Priority::Low => super::FindingSeverity::Low,
            Priority::Medium => super::FindingSeverity::Medium,
            Priority::High => super::FindingSeverity::High,
            Priority::Urgent => super::FindingSeverity::Critical,
        }
    }
}
