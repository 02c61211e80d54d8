//! A checked lifecycle: what the lifecycle file says, compiled.
//!
//! A [`Lifecycle`] exists only if the whole file was understood: every name is declared, every
//! condition compiles, every reference leads somewhere. [`load`] is the only way to one.

mod alerts;
pub mod diagnostic;
mod examine;
mod file;
mod load;
mod model;
mod names;
mod overlays;
mod playbook;
pub mod presets;
mod schema;

use std::sync::Arc;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use alerts::{
    Channel, Digest, Escalation, Grouping, Inhibit, Matchers, Quiet, Receiver, Route, SLACK_SIGNING,
};
pub use diagnostic::{Color, Diagnostic, Severity};
pub use examine::{Survey, examine};
pub use file::Subject;
pub use load::load;
pub(crate) use load::map_of;
#[cfg(test)]
pub(crate) use model::by_share;
pub use model::{Alive, Learned, Leaves, Ready, RiskModel};
pub(crate) use names::Slot;
pub use overlays::Rules;
pub use playbook::{Action, Cadence, Playbook, Priority, Step, TaskRule, Triggers};
pub use risk::band::Band;
pub use schema::{SCHEMA_FILE, schema};

use crate::expr::{Condition, Expr, Type};
use crate::feed::{Feed, SilentFeeds};
use crate::measure::Measures;
use crate::period::{Calendar, Period};
use crate::personal::Treatment;
use crate::stakes::Stakes;

/// The largest lifecycle file, in bytes.
pub const MAX_FILE_BYTES: usize = 512 * 1024;

/// A checked lifecycle.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// SHA-256 of the file's bytes, in hexadecimal: each decision names it.
    pub hash: String,
    /// The version under which the file was applied; none for one that was only read.
    pub version: Option<u64>,
    /// The company's name.
    pub name: Option<String>,
    /// The currency of amounts, as three letters of ISO 4217, where the file names one.
    pub currency: Option<String>,
    /// What a customer is.
    pub subject: Subject,
    /// Time zone, working days, holidays.
    pub calendar: Calendar,
    /// Declared traits, in the order of the file.
    pub traits: Vec<Trait>,
    /// The index of the trait that names an account's parent, where some metric rolls up.
    pub parent: Option<usize>,
    /// What has to be counted.
    pub measures: Measures,
    /// Metrics, in the order of the file.
    pub metrics: Vec<Metric>,
    /// Segments, in the order of the file.
    pub segments: Vec<Segment>,
    /// Stages, in the order of the file, without overlays.
    pub stages: Vec<Arc<Stage>>,
    /// The health scorecard, without overlays.
    pub health: Option<Arc<Scorecard>>,
    /// The risk model.
    pub risk: Option<RiskModel>,
    /// What is at stake with a customer, where the file says so.
    pub stakes: Option<Stakes>,
    /// A rise of the risk by so much within a week is told by itself.
    pub rise_alert: Option<f64>,
    /// Standards, in the order of the file, without overlays.
    pub standards: Vec<Arc<Standard>>,
    /// Playbooks, in the order of the file, without overlays.
    pub playbooks: Vec<Arc<Playbook>>,
    /// The receiver of messages for customers, where the file names one.
    pub messages_to: Option<String>,
    /// Sources of events, in the order of the file.
    pub feeds: Vec<Feed>,
    /// Which of them are silent now; no part of the file.
    pub silent: SilentFeeds,
    /// For whom each overlay holds, in the order of the file.
    pub(crate) overlays: Vec<Condition>,
    /// The rules with each combination of overlays: the bits of an index say which hold.
    pub(crate) rules: Vec<Rules>,
    /// Every stage and standard that some combination has, each once.
    pub(crate) variants: Rules,
    /// Who hears of what: the first that matches wins.
    pub routes: Vec<Route>,
    /// Where messages go.
    pub receivers: Vec<Receiver>,
    /// What is not told while something else is so.
    pub inhibit: Vec<Inhibit>,
    /// The traits that some rule of the alerts names as a label.
    pub label_traits: Vec<String>,
    /// Whether some rule can change its answer at any hour of a day.
    pub is_sub_day: bool,
    /// What the file may not mean as written.
    pub warnings: Vec<Diagnostic>,
}

impl Lifecycle {
    /// A stage by name, without overlays.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name).map(AsRef::as_ref)
    }

    /// A standard by name, without overlays.
    #[must_use]
    pub fn standard(&self, name: &str) -> Option<&Standard> {
        self.standards.iter().find(|standard| standard.name == name).map(AsRef::as_ref)
    }

    /// A playbook by name, without overlays.
    #[must_use]
    pub fn playbook(&self, name: &str) -> Option<&Playbook> {
        self.playbooks.iter().find(|playbook| playbook.name == name).map(AsRef::as_ref)
    }

    /// The scorecard that risk is told by, where it is told by one.
    pub(crate) fn risk_card(&self) -> Option<&Scorecard> {
        match self.risk.as_ref()? {
            RiskModel::Scorecard(card) => Some(card),
            RiskModel::Alive(_) | RiskModel::Learned(_) => None,
        }
    }

    /// A feed by name.
    #[must_use]
    pub fn feed(&self, name: &str) -> Option<&Feed> {
        self.feeds.iter().find(|feed| feed.name == name)
    }

    /// The feed that events with this `source` belong to: of several the one that knows most of it.
    #[must_use]
    pub fn feed_of(&self, source: &str) -> Option<&Feed> {
        let claims = self.feeds.iter().filter_map(|feed| Some((feed.claims(source)?, feed)));
        claims.max_by_key(|(length, _)| *length).map(|(_, feed)| feed)
    }

    /// The traits that are not kept as told.
    #[must_use]
    pub fn personal(&self) -> BTreeMap<String, Treatment> {
        let traits = self.traits.iter();
        traits.filter_map(|known| Some((known.name.clone(), known.pii?))).collect()
    }

    /// A receiver by name.
    #[must_use]
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

/// A declared fact.
#[derive(Debug, Clone)]
pub struct Trait {
    /// Its name, as senders write it.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// What happens to it on arrival; kept as told where it is `None`.
    pub pii: Option<Treatment>,
}

/// A number counted from events.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its name in `metrics.<name>`.
    pub name: String,
    /// How it is told.
    pub kind: MetricKind,
    /// Whether the accounts below the customer count too.
    pub rolls_up: bool,
}

/// How a metric is told. Measures are indexes into [`Measures::list`], windows are seconds.
#[derive(Debug, Clone)]
pub enum MetricKind {
    /// A count or a sum over a window, or over all of history.
    Total {
        /// What is added up.
        measure: usize,
        /// What is subtracted.
        minus: Option<usize>,
        /// The window.
        over: Option<i64>,
    },
    /// Calendar days of the window with such an event.
    DaysWith {
        /// What is looked for.
        measure: usize,
        /// The window.
        over: i64,
    },
    /// Different users or values in the window.
    Distinct {
        /// The set.
        measure: usize,
        /// The window.
        over: i64,
    },
    /// The newest value.
    Latest {
        /// The value.
        measure: usize,
        /// After so long without news it is missing.
        stale_after: Option<i64>,
    },
    /// Whole days (24 hours each) since the last event; missing when there was none.
    DaysSince {
        /// What is looked for.
        measure: usize,
    },
    /// Percent change of the count against the window before; missing when that was empty.
    Change {
        /// What is counted.
        measure: usize,
        /// The window.
        over: i64,
    },
    /// A formula over the others.
    Formula(Expr),
}

/// A named question.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its name in `segment.<name>`.
    pub name: String,
    /// The question.
    pub condition: Condition,
}

/// A stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// When a customer enters; never by itself where it is `None`.
    pub enter: Option<Enter>,
    /// When a customer leaves for a named stage.
    pub leave: Option<Leave>,
    /// How long an entry holds, but for exits at once.
    pub stay_at_least: Option<Period>,
    /// How long a customer who left stays away.
    pub cool_down: Option<Period>,
    /// How long it should take.
    pub target: Option<Period>,
    /// After how long the customer is stuck.
    pub stuck: Option<Period>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// The index of its checkpoint metric.
    pub metric: Option<usize>,
    /// Where a customer may go; anywhere where it is `None`.
    pub exits: Option<Vec<Exit>>,
    /// Who takes over from the stage before, and says so.
    pub handoff: Option<Handoff>,
    /// Milestones, in the order of the file.
    pub checkpoints: Vec<Checkpoint>,
    /// Playbooks that run on entry.
    pub on_enter: Vec<String>,
    /// Whether customers here have left.
    pub is_lost: bool,
}

impl Stage {
    /// The exit to a stage, if there is one.
    #[must_use]
    pub fn exit_to(&self, name: &str) -> Option<Exit> {
        match &self.exits {
            Some(exits) => exits.iter().find(|exit| exit.to == name).cloned(),
            None => Some(Exit { to: name.to_owned(), at_once: false }),
        }
    }
}

/// Who takes a customer over on entry, and says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    /// A trait, a team or an address.
    pub to: String,
    /// Within what it is to be acknowledged.
    pub ack_within: Option<Period>,
}

/// A milestone inside a stage.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its name.
    pub name: String,
    /// What has to hold, once in a visit.
    pub when: Condition,
    /// How long after entry it should be reached.
    pub target: Option<Period>,
}

/// The criteria of an entry.
#[derive(Debug, Clone)]
pub struct Enter {
    /// What must hold.
    pub when: Condition,
    /// For how long without a break.
    pub hold: Option<Period>,
    /// The higher wins.
    pub priority: i32,
    /// Only from these stages.
    pub from: Option<Vec<String>>,
}

/// The criteria of a departure.
#[derive(Debug, Clone)]
pub struct Leave {
    /// What must hold.
    pub when: Condition,
    /// For how long without a break.
    pub hold: Option<Period>,
    /// Where to.
    pub to: String,
}

/// One exit of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The stage it leads to.
    pub to: String,
    /// Not held back by `stay_at_least`.
    pub at_once: bool,
}

/// A scorecard.
#[derive(Debug, Clone)]
pub struct Scorecard {
    /// What is weighed; weights sum to 100.
    pub factors: Vec<Factor>,
    /// Bands and where each begins, rising.
    pub bands: Vec<Band>,
}

/// One factor of a scorecard.
#[derive(Debug, Clone)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// Points of 100.
    pub weight: f64,
    /// The number that is weighed.
    pub value: Expr,
    /// The value that earns nothing.
    pub worst: f64,
    /// The value that earns all of the weight.
    pub best: f64,
}

/// Something the company promised itself.
#[derive(Debug, Clone)]
pub struct Standard {
    /// Its name.
    pub name: String,
    /// What is promised.
    pub promise: Promise,
    /// For whom it holds.
    pub only_if: Option<Condition>,
    /// How bad a breach is.
    pub severity: FindingSeverity,
    /// Who mends it.
    pub owner: String,
    /// For so long a breach is forgiven.
    pub grace: Option<Period>,
    /// So soon after the last breach was mended the next one opens the same finding again.
    pub reopen_within: Option<Period>,
}

/// What a standard promises.
#[derive(Debug, Clone)]
pub enum Promise {
    /// An event within a period of entering a stage.
    Deadline {
        /// The stage whose entry starts the clock.
        stage: String,
        /// The measure that counts the event.
        measure: usize,
        /// The event's name.
        event: String,
        /// Within what.
        within: Period,
    },
    /// No longer than this without one of these events.
    Silence {
        /// The measures that count the events.
        measures: Vec<usize>,
        /// The events' names.
        events: Vec<String>,
        /// The longest silence.
        limit: Period,
    },
    /// Traits (by index) that must be known.
    Required(Vec<usize>),
    /// Nobody stays in one of these stages beyond its `stuck`, or `target`, time.
    StageOverdue(Vec<String>),
    /// Each occurrence of an event answered by one of others within a period.
    Respond {
        /// The event that calls for it.
        to: String,
        /// The measure of what was asked and answered.
        measure: usize,
        /// The events that answer.
        with: Vec<String>,
        /// Within what.
        within: Period,
        /// The word of the file: an event's deadline is an answer to what starts its clock.
        word: RespondWord,
    },
    /// Events in this order, with the measures that count them.
    Sequence {
        /// Within each visit to this stage; ever where it is `None`.
        stage: Option<String>,
        /// The first one first.
        steps: Vec<(String, usize)>,
    },
    /// A condition that must hold.
    Holds {
        /// It is broken by a no.
        condition: Condition,
        /// For how long it has to be a no.
        hold: Option<Period>,
    },
    /// No task of these playbooks stays open beyond its due time.
    TaskOverdue(Vec<String>),
}

/// How the file words that an event calls for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RespondWord {
    /// `deadline: { after: … }`
    Deadline,
    /// `respond: { to: … }`
    Respond,
}

impl Promise {
    /// Its word in the file.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Promise::Deadline { .. } | Promise::Respond { word: RespondWord::Deadline, .. } => {
                "deadline"
            }
            Promise::Respond { word: RespondWord::Respond, .. } => "respond",
            Promise::Silence { .. } => "silence",
            Promise::Required(_) => "required",
            Promise::StageOverdue(_) => "stage_overdue",
            Promise::Sequence { .. } => "sequence",
            Promise::Holds { .. } => "holds",
            Promise::TaskOverdue(_) => "task_overdue",
        }
    }

    /// Its period, where it has one: of a deadline or an answer, of a silence, of a condition.
    pub(crate) fn period_mut(&mut self) -> Option<&mut Period> {
        match self {
            Promise::Deadline { within, .. } | Promise::Respond { within, .. } => Some(within),
            Promise::Silence { limit, .. } => Some(limit),
            Promise::Holds { hold, .. } => hold.as_mut(),
            Promise::Required(_)
            | Promise::StageOverdue(_)
            | Promise::TaskOverdue(_)
            | Promise::Sequence { .. } => None,
        }
    }

    /// The same to read.
    #[must_use]
    pub fn period(&self) -> Option<Period> {
        match self {
            Promise::Deadline { within, .. } | Promise::Respond { within, .. } => Some(*within),
            Promise::Silence { limit, .. } => Some(*limit),
            Promise::Holds { hold, .. } => *hold,
            Promise::Required(_)
            | Promise::StageOverdue(_)
            | Promise::TaskOverdue(_)
            | Promise::Sequence { .. } => None,
        }
    }
}

/// How bad a breach is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FindingSeverity {
    /// Put it on a list.
    Low,
    /// Look at it this week.
    Medium,
    /// Look at it today.
    High,
    /// Wake somebody.
    Critical,
}

impl FindingSeverity {
    /// The word of the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FindingSeverity::Low => "low",
            FindingSeverity::Medium => "medium",
            FindingSeverity::High => "high",
            FindingSeverity::Critical => "critical",
        }
    }
}
