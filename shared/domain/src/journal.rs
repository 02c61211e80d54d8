//! The journal: every decision about a customer, with its reasons, in a chain of hashes.
//!
//! An entry names the hash of the one before it and is sealed by its own, SHA-256 over its JSON
//! without the `hash` member, so that a later change of any entry shows.
//!
//! An entry outlives the data it was decided on, so it holds none that is personal: not the
//! customer's id, which is only its key, and no free text that a trait was told to be. Where a reason
//! read such a text, the entry says that it was [`KNOWN`]; numbers, dates, answers and the words that
//! the lifecycle file lists stand as they were read. So erasing a person changes no entry, and a
//! chain verifies before and after ([`crate::audit`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::expr::{Leaf, Truth, Type, Value};
use crate::feed::health::{FeedChange, Turn};
use crate::lifecycle::Lifecycle;
use crate::task::{After, TaskChange};

#[cfg(test)]
mod tests;

/// What an entry says of a free text: that there was one.
pub const KNOWN: &str = "known";

/// Where a customer's journal stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The sequence number of the last entry; 0 before the first.
    pub seq: u64,
    /// The hash of the last entry.
    pub hash: [u8; 32],
}

/// What kind of change an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The customer moved to another stage.
    Stage,
    /// The risk went into another band.
    Risk,
    /// A finding was opened or closed.
    Finding,
    /// A checkpoint of the stage was reached.
    Checkpoint,
    /// Somebody is to take the customer over, or said that they did.
    Handoff,
    /// A stage that a person had chosen was given back to automation.
    Release,
    /// A past decision would have been another, had events that came late been there.
    Revision,
    /// A promise that has an instant of being due was kept, or only afterwards.
    Met,
    /// A person saw a finding, and says what it was worth.
    Acknowledgement,
    /// A person lets a customer off a standard, or no longer.
    Waiver,
    /// A task was opened, changed or closed.
    Task,
    /// A playbook tells people something.
    Playbook,
    /// A playbook asks the mail tool in use to write to the customer.
    Message,
    /// A source of events went silent, or is heard of again: of no customer.
    FeedSilent,
    /// A root over what was decided since the one before ([`crate::audit`]): of no customer.
    Root,
    /// A person wrote something down about the customer.
    Note,
}

impl ChangeKind {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Stage => "stage",
            ChangeKind::Risk => "risk",
            ChangeKind::Finding => "finding",
            ChangeKind::Checkpoint => "checkpoint",
            ChangeKind::Handoff => "handoff",
            ChangeKind::Release => "release",
            ChangeKind::Note => "note",
            ChangeKind::Revision => "revision",
            ChangeKind::Met => "met",
            ChangeKind::Acknowledgement => "acknowledgement",
            ChangeKind::Waiver => "waiver",
            ChangeKind::Task => "task",
            ChangeKind::Playbook => "playbook",
            ChangeKind::Message => "message",
            ChangeKind::FeedSilent => "feed_silent",
            ChangeKind::Root => "root",
        }
    }

    /// Whether people hear of it only by a route that names the kind.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        match self {
            ChangeKind::Stage
            | ChangeKind::Risk
            | ChangeKind::Finding
            | ChangeKind::Playbook
            | ChangeKind::FeedSilent => false,
            ChangeKind::Checkpoint
            | ChangeKind::Handoff
            | ChangeKind::Release
            | ChangeKind::Note
            | ChangeKind::Revision
            | ChangeKind::Met
            | ChangeKind::Acknowledgement
            | ChangeKind::Waiver
            | ChangeKind::Task
            | ChangeKind::Message
            | ChangeKind::Root => true,
        }
    }
}

/// One reason: a condition (or factor), what it came to, and the values it read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The text of the lifecycle file.
    pub expression: String,
    /// True, false or null for unknown; a number for a factor.
    pub value: Json,
    /// Every name it read, and its value.
    pub inputs: BTreeMap<String, Json>,
}

impl Reason {
    /// A condition's part as a reason.
    #[must_use]
    pub fn of_leaf(leaf: &Leaf<'_>) -> Reason {
        Reason {
            expression: leaf.expression.to_owned(),
            value: match leaf.value {
                Truth::Yes => Json::from(true),
                Truth::No => Json::from(false),
                Truth::Unknown => Json::Null,
            },
            inputs: leaf
                .inputs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value_json(*value)))
                .collect(),
        }
    }

    /// A fact that is no condition: a name and its value.
    #[must_use]
    pub fn of_fact(expression: String, inputs: &[(&str, Json)]) -> Reason {
        let inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Reason { expression, value: Json::from(true), inputs: inputs.collect() }
    }
}

/// A value of a condition as JSON; missing is null.
#[must_use]
pub fn value_json(value: Value<'_>) -> Json {
    match value {
        Value::Missing => Json::Null,
        Value::Number(number) => number_json(number),
        Value::Text(text) => Json::from(text),
        Value::Date(date) => Json::from(date.to_string()),
        Value::YesNo(flag) => Json::from(flag),
    }
}

/// A number as JSON: whole numbers without a fraction.
#[must_use]
pub fn number_json(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 9.0e15 {
        Json::from(number as i64)
    } else {
        Json::from(number)
    }
}

/// A decision to change something.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it does to the customer's status.
    pub effect: Effect,
    /// What it was.
    pub from: Option<String>,
    /// What it becomes.
    pub to: Option<String>,
    /// The rule of the lifecycle file that decided, as `stages.churned.enter`.
    pub rule: String,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What a change does to a customer's status.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The customer moves to the stage `to`.
    EnterStage,
    /// The risk goes into the band `to`, or rises within it.
    EnterBand,
    /// A breach of a standard was found.
    OpenFinding {
        /// The standard.
        standard: String,
        /// What makes this breach a different one from the next.
        key: String,
    },
    /// A breach was mended, or no longer counts.
    CloseFinding {
        /// The standard.
        standard: String,
        /// The key it was opened with.
        key: String,
    },
    /// A person moves the customer to the stage `to`, where automation leaves it for a while.
    MoveByHand {
        /// Who, and why.
        by: Author,
        /// When automation takes over again; not by itself where it is `None`.
        until: Option<Timestamp>,
    },
    /// A person gives the customer back to automation.
    Release(Author),
    /// Something to remember, in the words of a person: the reason of the author.
    Note(Author),
    /// The stage `to` of the same instant is to be acknowledged by who takes over.
    OpenHandoff {
        /// Who takes over.
        to: String,
        /// By when, where the lifecycle file says so.
        due: Option<Timestamp>,
    },
    /// Who takes over says so.
    AcknowledgeHandoff(Author),
    /// A checkpoint of the present stage was reached.
    ReachCheckpoint {
        /// Its name.
        name: String,
        /// When, which may be before it was noticed.
        at: Timestamp,
    },
    /// Nothing changes: a past decision to `from` would have been one to `to`.
    Revise,
    /// A breach that was mended a while ago, or waived until now, stands again: the same finding.
    ReopenFinding {
        /// The standard.
        standard: String,
        /// The key it was opened with.
        key: String,
        /// When it was first found.
        opened_at: Timestamp,
        /// Where it was meanwhile.
        was: Was,
    },
    /// A promise was kept, and what began at this instant is settled.
    MeetStandard {
        /// The standard.
        standard: String,
        /// The stage's entry or the event that started the clock, in seconds since the epoch.
        begun: i64,
    },
    /// A person saw a finding.
    AcknowledgeFinding {
        /// The standard.
        standard: String,
        /// The key it was opened with.
        key: String,
        /// Who.
        by: Author,
        /// What it was worth.
        outcome: FindingOutcome,
    },
    /// A person lets the customer off a standard.
    Waive {
        /// The standard.
        standard: String,
        /// The key and the beginning of the finding that is open, where one is.
        hides: Option<(String, Timestamp)>,
        /// Who, and why.
        by: Author,
        /// Until when; not by itself where it is `None`.
        until: Option<Timestamp>,
    },
    /// A person ends a waiver.
    Unwaive {
        /// The standard.
        standard: String,
        /// Who.
        by: Author,
    },
    /// A step of a playbook ran, or its task changed.
    Task(Box<TaskChange>),
}

/// Where a finding was that is open again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// It was closed at this instant.
    Closed(Timestamp),
    /// It was waived.
    Waived,
}

/// What a finding was worth to who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingOutcome {
    /// It told something worth knowing.
    Useful,
    /// It was right, and known before.
    Known,
    /// It was wrong.
    False,
}

impl FindingOutcome {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FindingOutcome::Useful => "useful",
            FindingOutcome::Known => "known",
            FindingOutcome::False => "false",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<FindingOutcome> {
        let all = [FindingOutcome::Useful, FindingOutcome::Known, FindingOutcome::False];
        all.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

impl Effect {
    /// The standard that it is about, where it is about one.
    #[must_use]
    pub fn standard(&self) -> Option<&str> {
        match self {
            Effect::OpenFinding { standard, .. }
            | Effect::CloseFinding { standard, .. }
            | Effect::ReopenFinding { standard, .. }
            | Effect::MeetStandard { standard, .. }
            | Effect::AcknowledgeFinding { standard, .. }
            | Effect::Waive { standard, .. }
            | Effect::Unwaive { standard, .. } => Some(standard),
            Effect::EnterStage
            | Effect::EnterBand
            | Effect::MoveByHand { .. }
            | Effect::Release(_)
            | Effect::Note(_)
            | Effect::OpenHandoff { .. }
            | Effect::AcknowledgeHandoff(_)
            | Effect::ReachCheckpoint { .. }
            | Effect::Revise
            | Effect::Task(_) => None,
        }
    }
}

/// A person who decides, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// A name or an address.
    pub name: String,
    /// Why, in their words; none for an acknowledgement.
    pub reason: Option<String>,
}

impl Change {
    /// What kind of change it is.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match &self.effect {
            Effect::EnterStage | Effect::MoveByHand { .. } => ChangeKind::Stage,
            Effect::EnterBand => ChangeKind::Risk,
            Effect::OpenFinding { .. }
            | Effect::CloseFinding { .. }
            | Effect::ReopenFinding { .. } => ChangeKind::Finding,
            Effect::MeetStandard { .. } => ChangeKind::Met,
            Effect::AcknowledgeFinding { .. } => ChangeKind::Acknowledgement,
            Effect::Waive { .. } | Effect::Unwaive { .. } => ChangeKind::Waiver,
            Effect::Release(_) => ChangeKind::Release,
            Effect::Note(_) => ChangeKind::Note,
            Effect::OpenHandoff { .. } | Effect::AcknowledgeHandoff(_) => ChangeKind::Handoff,
            Effect::ReachCheckpoint { .. } => ChangeKind::Checkpoint,
            Effect::Revise => ChangeKind::Revision,
            Effect::Task(change) => match &change.after {
                After::Message(_) => ChangeKind::Message,
                After::Over(crate::task::Ended::Ran) => ChangeKind::Playbook,
                After::Open(_) | After::Over(_) => ChangeKind::Task,
            },
        }
    }

    /// Who decided it, where it was a person.
    #[must_use]
    pub fn author(&self) -> Option<&Author> {
        match &self.effect {
            Effect::MoveByHand { by, .. }
            | Effect::Release(by)
            | Effect::Note(by)
            | Effect::AcknowledgeHandoff(by)
            | Effect::AcknowledgeFinding { by, .. }
            | Effect::Waive { by, .. }
            | Effect::Unwaive { by, .. } => Some(by),
            Effect::Task(change) => change.by.as_ref(),
            Effect::EnterStage
            | Effect::EnterBand
            | Effect::OpenFinding { .. }
            | Effect::CloseFinding { .. }
            | Effect::OpenHandoff { .. }
            | Effect::ReachCheckpoint { .. }
            | Effect::ReopenFinding { .. }
            | Effect::MeetStandard { .. }
            | Effect::Revise => None,
        }
    }

    fn until(&self) -> Option<Timestamp> {
        match &self.effect {
            Effect::MoveByHand { until, .. } | Effect::Waive { until, .. } => *until,
            Effect::Task(change) => change.until,
            _ => None,
        }
    }
}

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// 1 for the customer's first entry.
    pub seq: u64,
    /// The instant the decision is of.
    pub at: Timestamp,
    /// What kind of change.
    pub kind: ChangeKind,
    /// What it was.
    pub from: Option<String>,
    /// What it became.
    pub to: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Who decided, where it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why, in the author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when automation keeps away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The lifecycle file that decided.
    pub config_hash: String,
    /// The version under which that file was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_version: Option<u64>,
    /// The hash of the entry before; empty for the first.
    pub prev: String,
    /// The hash of this entry.
    pub hash: String,
}

impl JournalEntry {
    /// Seals a change as the next entry of a journal and moves its head on.
    #[must_use]
    pub fn seal(
        change: &Change,
        at: Timestamp,
        lifecycle: &Lifecycle,
        head: &mut JournalHead,
    ) -> JournalEntry {
        let entry = JournalEntry {
            seq: head.seq + 1,
            at,
            kind: change.kind(),
            from: change.from.clone(),
            to: change.to.clone(),
            rule: change.rule.clone(),
            reasons: change.reasons.iter().map(|reason| impersonal(reason, lifecycle)).collect(),
            author: change.author().map(|author| author.name.clone()),
            reason: change.author().and_then(|author| author.reason.clone()),
            until: change.until(),
            config_hash: lifecycle.hash.clone(),
            config_version: lifecycle.version,
            prev: String::new(),
            hash: String::new(),
        };
        entry.sealed(head)
    }

    /// Seals what becomes of the finding of a feed as the next entry of the workspace's own journal, and
    /// moves its head on.
    #[must_use]
    pub fn of_feed(
        change: &FeedChange,
        at: Timestamp,
        lifecycle: &Lifecycle,
        head: &mut JournalHead,
    ) -> JournalEntry {
        let (from, to) = match change.turn {
            Turn::Opens => (None, "open"),
            Turn::Reopens => (Some("closed"), "open"),
            Turn::Closes => (Some("open"), "closed"),
        };
        let entry = JournalEntry {
            seq: head.seq + 1,
            at,
            kind: ChangeKind::FeedSilent,
            from: from.map(str::to_owned),
            to: Some(to.to_owned()),
            rule: format!("feeds.{}", change.feed),
            reasons: change.reasons.clone(),
            author: None,
            reason: None,
            until: None,
            config_hash: lifecycle.hash.clone(),
            config_version: lifecycle.version,
            prev: String::new(),
            hash: String::new(),
        };
        entry.sealed(head)
    }

    fn sealed(self, head: &mut JournalHead) -> JournalEntry {
        let prev = if head.seq == 0 { String::new() } else { crate::hex(&head.hash) };
        let mut entry = JournalEntry { prev, ..self };
        *head = JournalHead { seq: entry.seq, hash: entry.close() };
        entry
    }

    /// Seals an entry that is complete but for its hash.
    pub(crate) fn close(&mut self) -> [u8; 32] {
        let digest = self.digest();
        self.hash = crate::hex(&digest);
        digest
    }

    /// SHA-256 over the entry's JSON, members in the order of the struct, `hash` empty.
    fn digest(&self) -> [u8; 32] {
        let unsealed = JournalEntry { hash: String::new(), ..self.clone() };
        let bytes = serde_json::to_vec(&unsealed).expect("an entry is plain data");
        Sha256::digest(&bytes).into()
    }

    /// Whether the entry is as it was sealed.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        crate::hex(&self.digest()) == self.hash
    }
}

/// A reason without the free texts it read.
fn impersonal(reason: &Reason, lifecycle: &Lifecycle) -> Reason {
    let is_listed = |name: &str, text: &str| {
        let declared = lifecycle.traits.iter().find(|declared| declared.name == name);
        declared.is_some_and(|declared| match &declared.ty {
            Type::Words(words) => words.iter().any(|word| **word == *text),
            Type::Date => true,
            _ => false,
        })
    };
    let mut reason = reason.clone();
    for (name, value) in &mut reason.inputs {
        if let (Some(name), Json::String(text)) = (name.strip_prefix("traits."), &*value)
            && !is_listed(name, text)
        {
            *value = Json::from(KNOWN);
        }
    }
    reason
}
