//! What the stages' criteria read, and which events it comes from.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::event::{Event, EventKind};
use crate::expr::{Condition, Name, Row};
use crate::facts::Facts;
use crate::journal::{ChangeKind, JournalEntry, value_json};
use crate::lifecycle::{MetricKind, Slot};
use crate::measure::Measure;

/// So many events of an input are named, the newest; all are counted.
const NAMED: usize = 20;

/// Something the criteria read.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name, as `metrics.idle_days`.
    pub name: String,
    /// Its value; null is missing.
    pub value: Json,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Counted from events of the log, or told by them.
    Events {
        /// The newest of them, newest first.
        newest: Vec<EventRef>,
        /// How many there are in the log.
        count: u64,
    },
    /// Computed from other inputs.
    Computed {
        /// The formula, or the question of the segment.
        expression: String,
        /// What it reads.
        of: Vec<String>,
    },
    /// Decided before, by this entry of the journal where it is at hand.
    Decided {
        /// The entry's number.
        seq: Option<u64>,
    },
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRef {
    /// The sender's message id.
    pub id: String,
    /// Its name.
    pub event: String,
    /// When it happened.
    pub at: Timestamp,
}

impl EventRef {
    fn of(event: &Event) -> EventRef {
        EventRef { id: event.id.clone(), event: event.name.clone(), at: event.at }
    }
}

/// Every condition that decides about stages, or about which criteria are the customer's.
pub(super) fn conditions<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Condition> {
    let of_stages = super::stages(facts).flat_map(|stage| {
        let enter = stage.enter.as_ref().map(|enter| &enter.when);
        enter.into_iter().chain(stage.leave.as_ref().map(|leave| &leave.when))
    });
    of_stages.chain(&facts.lifecycle.overlays)
}

/// Everything that is read, each once: what a condition names, and what that is made of.
pub(super) fn names<'a>(facts: &Facts<'a>) -> Vec<&'a Name> {
    let mut found: Vec<&Name> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<&Name> = conditions(facts).flat_map(Condition::names).collect();
    open.reverse();
    while let Some(name) = open.pop() {
        if !seen.insert(name.slot) {
            continue;
        }
        found.push(name);
        let made_of = made_of(facts, Slot::of(name.slot));
        open.extend(made_of.into_iter().rev());
    }
    found
}

fn made_of<'a>(facts: &Facts<'a>, slot: Slot) -> Vec<&'a Name> {
    match slot {
        Slot::Segment(index) => facts.lifecycle.segments[index].condition.names(),
        Slot::Metric(index) => match &facts.lifecycle.metrics[index].kind {
            MetricKind::Formula(formula) => formula.names().iter().collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

pub(super) fn inputs(facts: &Facts<'_>, journal: &[JournalEntry], log: &[Event]) -> Vec<Input> {
    let input = |name: &Name| Input {
        name: name.path.to_string(),
        value: value_json(facts.get(name)),
        origin: origin(facts, Slot::of(name.slot), journal, log),
    };
    names(facts).into_iter().map(input).collect()
}

fn origin(facts: &Facts<'_>, slot: Slot, journal: &[JournalEntry], log: &[Event]) -> Origin {
    let computed = |expression: String| Origin::Computed {
        expression,
        of: made_of(facts, slot).iter().map(|name| name.path.to_string()).collect(),
    };
    let last = |kind: ChangeKind| journal.iter().find(|entry| entry.kind == kind);
    match slot {
        Slot::Metric(index) => match &facts.lifecycle.metrics[index].kind {
            MetricKind::Formula(formula) => computed(formula.source().to_owned()),
            kind => counted(facts, kind, log),
        },
        Slot::Segment(index) => computed(facts.lifecycle.segments[index].condition.describe()),
        Slot::Trait(index) => told(facts, index, log),
        Slot::StageName | Slot::StageDays => {
            Origin::Decided { seq: last(ChangeKind::Stage).map(|entry| entry.seq) }
        }
        _ => Origin::Decided { seq: last(ChangeKind::Risk).map(|entry| entry.seq) },
    }
}

/// The events that a metric counts as of the instant.
fn counted(facts: &Facts<'_>, kind: &MetricKind, log: &[Event]) -> Origin {
    let now = facts.as_of.as_second();
    let since = |over: &i64| Some(now - over);
    let (measures, after, newest_only): (Vec<usize>, Option<i64>, bool) = match kind {
        MetricKind::Total { measure, minus, over } => {
            let measures = [Some(*measure), *minus].into_iter().flatten().collect();
            (measures, over.as_ref().and_then(since), false)
        }
        MetricKind::DaysWith { measure, over } | MetricKind::Distinct { measure, over } => {
            (vec![*measure], since(over), false)
        }
        MetricKind::Change { measure, over } => (vec![*measure], since(&(2 * over)), false),
        MetricKind::Latest { measure, .. } | MetricKind::DaysSince { measure } => {
            (vec![*measure], None, true)
        }
        MetricKind::Formula(_) => (Vec::new(), None, false),
    };
    let list = facts.lifecycle.measures.list();
    let measures: Vec<&Measure> = measures.into_iter().map(|index| &list[index]).collect();
    let counts = |event: &&Event| {
        let at = event.at.as_second();
        at <= now
            && after.is_none_or(|after| at > after)
            && measures.iter().any(|measure| measure.takes(event))
    };
    let mut events = log.iter().rev().filter(counts);
    if newest_only {
        let newest: Vec<EventRef> = events.next().map(EventRef::of).into_iter().collect();
        return Origin::Events { count: newest.len() as u64, newest };
    }
    let newest: Vec<EventRef> = events.by_ref().take(NAMED).map(EventRef::of).collect();
    let count = newest.len() as u64 + events.count() as u64;
    Origin::Events { newest, count }
}

/// The events that told the present value of a trait: the newest of them, and the first since it
/// was last different.
fn told(facts: &Facts<'_>, index: usize, log: &[Event]) -> Origin {
    let declared = &facts.lifecycle.traits[index].name;
    let none = Origin::Events { newest: Vec::new(), count: 0 };
    let Some(state) = facts.customer.profile.traits.get(declared) else { return none };
    let tells = |event: &&Event| {
        let at = event.at.as_millisecond();
        matches!(event.kind, EventKind::Group | EventKind::Identify)
            && state.since <= at
            && at <= facts.as_of.as_millisecond()
            && event.traits().is_some_and(|traits| {
                traits.get(declared).and_then(crate::customer::Scalar::from_json).as_ref()
                    == Some(&state.value)
            })
    };
    let mut events = log.iter().rev().filter(tells);
    let newest: Vec<EventRef> = events.by_ref().take(NAMED).map(EventRef::of).collect();
    let count = newest.len() as u64 + events.count() as u64;
    Origin::Events { newest, count }
}
