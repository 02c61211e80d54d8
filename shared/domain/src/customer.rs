//! What the pack knows of one customer.
//!
//! A customer is two things: the [`Profile`], a fold of the event log that can be rebuilt from it
//! at any time, and the [`Status`], what was decided about the customer, every change of which
//! has a journal entry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::answers::Answers;
use crate::distinct::Distinct;
use crate::journal::{Change, Effect, JournalEntry, JournalHead};
use crate::lifecycle::Lifecycle;
use crate::rise::RiskWeek;
use crate::tally::Tally;
use crate::task::Tasks;
use crate::tended::Tended;

/// A customer: what happened, and what was decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Customer {
    /// The fold of the event log.
    pub profile: Profile,
    /// What was decided.
    pub status: Status,
    /// The folds of the accounts below it, for metrics that roll up: kept with those accounts, and
    /// read along where the lifecycle file asks for them.
    pub below: Vec<Profile>,
}

/// The fold of a customer's events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Which set of measures it was folded for ([`crate::measure::Measures::fingerprint`]); with
    /// another one it has to be folded again from the whole log.
    pub measures: u32,
    /// The first event, in milliseconds since the epoch.
    pub first_seen: i64,
    /// The last event, in milliseconds since the epoch.
    pub last_seen: i64,
    /// Before this instant (seconds) cells are days of the workspace's calendar, not hours.
    pub hourly_from: i64,
    /// Before this instant (seconds) cells are months.
    pub daily_from: i64,
    /// Declared traits by name.
    pub traits: BTreeMap<String, TraitState>,
    /// What was counted, by the key of its measure.
    pub series: BTreeMap<u32, Series>,
}

impl Profile {
    /// Whether any event was folded in.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.measures == 0 && self.series.is_empty() && self.traits.is_empty()
    }

    /// Whether it still has everything that windows as of an instant read. Each fold lets go of what
    /// is older than they ask for as of then, and keeps two days more.
    #[must_use]
    pub fn reaches_back_to(&self, at: Timestamp) -> bool {
        self.hourly_from <= at.as_second()
    }
}

/// What one measure counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Series {
    /// Counts or sums in cells.
    Tally(Tally),
    /// The newest value, and those it replaced, in cells.
    Latest(Tally),
    /// Different users or values.
    Distinct(Distinct),
    /// What was asked, and what was answered.
    Answers(Answers),
}

/// A fact of a customer, as the newest event that told it has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "TraitWire", into = "TraitWire")]
pub struct TraitState {
    /// The value; null when it was cleared.
    pub value: Scalar,
    /// When it was last told, in milliseconds since the epoch.
    pub at: i64,
    /// Since when it has had this value.
    pub since: i64,
    /// When it was last told to be something else, if ever.
    pub other_at: Option<i64>,
    /// A fact about the account told by a `group` call outranks one told of a user.
    pub rank: u8,
}

/// The packed form: gaps instead of instants.
#[derive(Serialize, Deserialize)]
struct TraitWire(Scalar, i64, u64, Option<u64>, u8);

impl From<TraitState> for TraitWire {
    fn from(state: TraitState) -> TraitWire {
        let gap = |from: i64, to: i64| u64::try_from(from - to).unwrap_or(0);
        TraitWire(
            state.value,
            state.at,
            gap(state.at, state.since),
            state.other_at.map(|other| gap(state.at, other)),
            state.rank,
        )
    }
}

impl From<TraitWire> for TraitState {
    fn from(TraitWire(value, at, since, other, rank): TraitWire) -> TraitState {
        let back = |gap: u64| at.saturating_sub_unsigned(gap);
        TraitState { value, at, since: back(since), other_at: other.map(back), rank }
    }
}

/// A value small enough to keep: text is cut at 256 bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// Told to be nothing.
    Null,
    /// A number.
    Number(f64),
    /// Text, and dates as they came.
    Text(String),
    /// Yes or no.
    YesNo(bool),
}

impl Scalar {
    /// Reads a JSON value; lists and objects are no facts a rule can use.
    #[must_use]
    pub fn from_json(value: &Json) -> Option<Scalar> {
        Some(match value {
            Json::Null => Scalar::Null,
            Json::Bool(flag) => Scalar::YesNo(*flag),
            Json::Number(number) => Scalar::Number(number.as_f64()?),
            Json::String(text) => {
                let mut end = text.len().min(256);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                Scalar::Text(text[..end].to_owned())
            }
            Json::Array(_) | Json::Object(_) => return None,
        })
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Scalar::Null => Json::Null,
            Scalar::Number(number) => crate::journal::number_json(*number),
            Scalar::Text(text) => Json::from(text.as_str()),
            Scalar::YesNo(flag) => Json::from(*flag),
        }
    }
}

/// What was decided about a customer. Stored bytes read from the front: a new field goes to the end,
/// where bytes from before it read as nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The present stage; none before the first decision.
    pub stage: Option<StageState>,
    /// The stage before it.
    pub previous_stage: Option<String>,
    /// When each stage was last entered, in seconds since the epoch.
    pub entered: BTreeMap<String, i64>,
    /// The last assessment of risk.
    pub risk: Option<RiskState>,
    /// Findings that are open.
    pub findings: Vec<OpenFinding>,
    /// Where the journal stands.
    pub journal: JournalHead,
    /// When each stage was last left, in seconds since the epoch.
    pub left: BTreeMap<String, i64>,
    /// When each checkpoint of the present visit was reached, in seconds since the epoch.
    pub reached: BTreeMap<String, i64>,
    /// Who takes the customer over with the present visit.
    pub handoff: Option<HandoffState>,
    /// The person who chose the present stage, while automation keeps away.
    pub hold: Option<Hold>,
    /// How low the risk was of late, where rises are told.
    pub risk_week: RiskWeek,
    /// What else is remembered of standards, by name: who saw a finding, who waived it, what was
    /// mended of late, what was kept.
    pub tended: BTreeMap<String, Tended>,
    /// What playbooks ask people to do.
    pub tasks: Tasks,
}

impl Status {
    /// Makes a change true and seals its journal entry. This is the only way a stage, a band or a
    /// finding changes, so none changes without an entry.
    pub fn apply(&mut self, change: &Change, at: Timestamp, lifecycle: &Lifecycle) -> JournalEntry {
        self.tend(&change.effect, at, lifecycle);
        match &change.effect {
            Effect::EnterStage => self.enter(change.to.as_deref(), at),
            Effect::MoveByHand { by, until } => {
                // In the stage where the customer is, a person only says that it stays.
                if change.to != change.from {
                    self.enter(change.to.as_deref(), at);
                }
                let reason = by.reason.clone().unwrap_or_default();
                self.hold =
                    Some(Hold { author: by.name.clone(), reason, since: at, until: *until });
            }
            Effect::Release(_) => self.hold = None,
            Effect::OpenHandoff { to, due } => {
                let to = to.clone();
                self.handoff = Some(HandoffState { to, since: at, due: *due, acknowledged: None });
            }
            Effect::AcknowledgeHandoff(by) => {
                if let Some(handoff) = &mut self.handoff {
                    handoff.acknowledged = Some(Acknowledged { author: by.name.clone(), at });
                }
            }
            Effect::ReachCheckpoint { name, at } => {
                self.reached.insert(name.clone(), at.as_second());
            }
            Effect::Revise
            | Effect::Note(_)
            | Effect::MeetStandard { .. }
            | Effect::AcknowledgeFinding { .. }
            | Effect::Unwaive { .. } => {}
            Effect::Task(change) => self.tasks.apply(change, at),
            // A rise may stay within its band.
            Effect::EnterBand => {
                if let (Some(risk), Some(band)) = (&mut self.risk, &change.to)
                    && change.to != change.from
                {
                    risk.band.clone_from(band);
                    risk.band_since = at;
                }
            }
            Effect::OpenFinding { standard, key } => self.findings.push(OpenFinding {
                standard: standard.clone(),
                key: key.clone(),
                opened_at: at,
            }),
            Effect::CloseFinding { standard, key } => {
                self.findings.retain(|open| open.standard != *standard || open.key != *key);
            }
            Effect::ReopenFinding { standard, key, opened_at, .. } => {
                self.findings.push(OpenFinding {
                    standard: standard.clone(),
                    key: key.clone(),
                    opened_at: *opened_at,
                });
            }
            // Until the waiver ends it does not count as open.
            Effect::Waive { standard, .. } => {
                self.findings.retain(|open| open.standard != *standard);
            }
        }
        JournalEntry::seal(change, at, lifecycle, &mut self.journal)
    }

    /// Takes a new assessment of risk; its band is that of the change which comes with it.
    pub fn note_risk(&mut self, note: RiskNote) {
        self.risk = Some(note.state);
        self.risk_week = note.week;
    }

    /// Begins a visit; what belonged to the one before ends with it.
    pub(crate) fn enter(&mut self, stage: Option<&str>, at: Timestamp) {
        let visit = self.visits() + 1;
        let left = self.stage.take().map(|stage| stage.name);
        if let Some(name) = &left {
            self.left.insert(name.clone(), at.as_second());
        }
        self.previous_stage = left;
        if let Some(name) = stage {
            self.stage = Some(StageState { name: name.to_owned(), since: at, visit });
            self.entered.insert(name.to_owned(), at.as_second());
        }
        self.reached.clear();
        self.tasks.enter(visit);
        (self.handoff, self.hold) = (None, None);
    }

    /// The hold that is in force at an instant: one that has run out holds nothing.
    #[must_use]
    pub fn held(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.until.is_none_or(|until| now < until))
    }

    /// How many stages were entered so far.
    fn visits(&self) -> u32 {
        self.stage.as_ref().map_or(0, |stage| stage.visit)
    }
}

/// The present stage of a customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageState {
    /// Its name in the lifecycle file.
    pub name: String,
    /// When it was entered.
    pub since: Timestamp,
    /// The number of this visit, over all stages, from 1.
    pub visit: u32,
}

/// Who takes a customer over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoffState {
    /// A trait, a team or an address, as the lifecycle file has it.
    pub to: String,
    /// Since when.
    pub since: Timestamp,
    /// By when it is to be acknowledged.
    pub due: Option<Timestamp>,
    /// Who said that they took over.
    pub acknowledged: Option<Acknowledged>,
}

/// Who took a customer over, and when they said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// A name or an address.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// A stage that a person chose: automation proposes, and does not move the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub author: String,
    /// Why, in their words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When automation takes over again; not by itself where it is `None`.
    pub until: Option<Timestamp>,
}

/// The last assessment of risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RiskState {
    /// The probability of leaving, 0 to 1.
    pub probability: f64,
    /// Its band in the lifecycle file.
    pub band: String,
    /// Since when the band has been this one.
    pub band_since: Timestamp,
    /// The instant the assessment is of.
    pub at: Timestamp,
}

/// An assessment of risk that is worth keeping.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskNote {
    /// The assessment.
    pub state: RiskState,
    /// How low the risk was before it, of late.
    pub week: RiskWeek,
}

/// A breach that nobody has mended yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenFinding {
    /// The standard's name.
    pub standard: String,
    /// What makes this breach a different one from the next: the visit or the deadline.
    pub key: String,
    /// When it was found.
    pub opened_at: Timestamp,
}
