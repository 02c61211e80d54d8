//! How well a company keeps its standards: a fold over the journal and over how customers stand now.
//!
//! Of a standard that has an instant of being due, the journal says what was kept in time and what was
//! broken; of any other one it only says what was broken, so customers of whom it is kept now count
//! as kept. The order in which customers are looked at does not matter.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::customer::Customer;
use crate::expr::Truth;
use crate::facts::Facts;
use crate::finding::{LATE, MET, TOOK};
use crate::journal::{ChangeKind, JournalEntry};
use crate::lifecycle::{Lifecycle, Promise, Standard};
use crate::standard::{State, state};

#[cfg(test)]
mod tests;

/// What rows are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The standard.
    Standard,
    /// The customer's stage: of what happened the one then, of how it stands the one now.
    Stage,
    /// The segments that the customer is in now; one in several counts in each.
    Segment,
    /// Who mends a breach, by the lifecycle file.
    Owner,
    /// The month of the workspace's calendar.
    Month,
}

impl By {
    /// All of them.
    pub const ALL: [By; 5] = [By::Standard, By::Stage, By::Segment, By::Owner, By::Month];

    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            By::Standard => "standard",
            By::Stage => "stage",
            By::Segment => "segment",
            By::Owner => "owner",
            By::Month => "month",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<By> {
        By::ALL.into_iter().find(|by| by.as_str() == text)
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is of: a standard, a stage, a segment, an owner or a month as `2026-03`; `none` where
    /// there is none.
    pub group: String,
    /// Promises kept in time, and customers of whom a standard without a due instant is kept now.
    pub met: u64,
    /// Breaches found, and promises kept only after their time before anybody looked.
    pub breached: u64,
    /// Findings that are open now.
    pub open: u64,
    /// Clocks that run now and have used three quarters of their time.
    pub at_risk: u64,
    /// Breaches that a waiver hides now.
    pub waived: u64,
    /// Customers of whom it cannot be told now.
    pub cannot_tell: u64,
    /// What was met of all that was met or missed, from 0 to 1; none where there was neither.
    pub adherence: Option<f64>,
    /// Half of what was done took at most so many seconds.
    pub p50_seconds: Option<i64>,
    /// Nine tenths of what was done took at most so many seconds.
    pub p90_seconds: Option<i64>,
}

#[derive(Debug, Default)]
struct Group {
    met: u64,
    missed: u64,
    breached: u64,
    open: u64,
    at_risk: u64,
    waived: u64,
    cannot_tell: u64,
    took: Vec<i64>,
}

/// Adherence as far as it was looked at.
#[derive(Debug)]
pub struct Adherence<'a> {
    lifecycle: &'a Lifecycle,
    by: By,
    now: Timestamp,
    groups: BTreeMap<String, Group>,
}

impl<'a> Adherence<'a> {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(lifecycle: &'a Lifecycle, by: By, now: Timestamp) -> Adherence<'a> {
        Adherence { lifecycle, by, now, groups: BTreeMap::new() }
    }

    /// Takes what happened to one customer, in any order; `customer` is how it stands now.
    pub fn happened(&mut self, customer: &Customer, mut entries: Vec<JournalEntry>) {
        entries.sort_by_key(|entry| entry.seq);
        let facts = Facts::new(customer, self.lifecycle, self.now);
        let segments = self.segments(&facts);
        // Before the first move that is known the customer was where that led from.
        let moves = entries.iter().filter(|entry| entry.kind == ChangeKind::Stage);
        let mut stage = match moves.clone().next() {
            Some(first) => first.from.clone(),
            None => customer.status.stage.as_ref().map(|stage| stage.name.clone()),
        };
        for entry in &entries {
            if entry.kind == ChangeKind::Stage {
                stage.clone_from(&entry.to);
            }
            let Some(told) = Told::of(entry) else { continue };
            let name = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
            let standard = self.lifecycle.standard(name);
            let groups = match self.by {
                By::Standard => vec![name.to_owned()],
                By::Stage => vec![stage.clone().unwrap_or_else(none)],
                By::Segment => segments.clone(),
                By::Owner => vec![standard.map_or_else(none, |one| one.owner.clone())],
                By::Month => vec![self.month(entry.at)],
            };
            for group in groups {
                let group = self.groups.entry(group).or_default();
                group.met += u64::from(told.is_met);
                group.breached += u64::from(told.is_breach);
                let is_missed = told.is_breach && standard.is_none_or(has_due);
                group.missed += u64::from(is_missed);
                group.took.extend(told.took);
            }
        }
    }

    /// Takes how one customer stands now.
    pub fn stands(&mut self, customer: &Customer) {
        let facts = Facts::new(customer, self.lifecycle, self.now);
        let is_folded = customer.profile.measures == self.lifecycle.measures.fingerprint;
        let segments = self.segments(&facts);
        for standard in &facts.rules().standards {
            let groups = match self.by {
                By::Standard => vec![standard.name.clone()],
                By::Stage => {
                    let stage = customer.status.stage.as_ref();
                    vec![stage.map_or_else(none, |stage| stage.name.clone())]
                }
                By::Segment => segments.clone(),
                By::Owner => vec![standard.owner.clone()],
                By::Month => vec![self.month(self.now)],
            };
            // What was not counted for this lifecycle file says nothing.
            let state = if is_folded { state(&facts, standard) } else { State::CannotTell };
            for group in groups {
                self.groups.entry(group).or_default().add(&facts, standard, &state);
            }
        }
    }

    /// The rows, by name.
    #[must_use]
    pub fn rows(self) -> Vec<Row> {
        self.groups.into_iter().map(|(group, counted)| counted.row(group)).collect()
    }

    fn segments(&self, facts: &Facts<'_>) -> Vec<String> {
        let all = self.lifecycle.segments.iter();
        let inside = all.filter(|segment| facts.answer(&segment.condition) == Truth::Yes);
        let inside: Vec<String> = inside.map(|segment| segment.name.clone()).collect();
        if inside.is_empty() { vec![none()] } else { inside }
    }

    fn month(&self, at: Timestamp) -> String {
        self.lifecycle.calendar.date(at).strftime("%Y-%m").to_string()
    }
}

fn none() -> String {
    "none".to_owned()
}

/// Whether the journal says when a standard was kept.
fn has_due(standard: &Standard) -> bool {
    matches!(standard.promise, Promise::Deadline { .. } | Promise::Respond { .. })
}

/// What an entry says of a standard.
struct Told {
    is_met: bool,
    is_breach: bool,
    took: Option<i64>,
}

impl Told {
    fn of(entry: &JournalEntry) -> Option<Told> {
        let to = entry.to.as_deref();
        let (is_met, is_breach) = match entry.kind {
            ChangeKind::Met => (to == Some(MET), to == Some(LATE)),
            // One that is opened again is the same one.
            ChangeKind::Finding => (false, to == Some("open") && entry.from.is_none()),
            _ => return None,
        };
        let took = entry.reasons.first().and_then(|reason| reason.inputs.get(TOOK)?.as_i64());
        Some(Told { is_met, is_breach, took })
    }
}

impl Group {
    fn add(&mut self, facts: &Facts<'_>, standard: &Standard, state: &State) {
        let status = &facts.customer.status;
        let is_broken = |state: &State| match state {
            State::Running(running) => running.is_broken(facts.as_of),
            State::NotApplicable | State::Kept | State::CannotTell => false,
        };
        if status.waived(&standard.name, facts.as_of).is_some() {
            self.waived += u64::from(is_broken(state));
            return;
        }
        let is_open = status.findings.iter().any(|finding| finding.standard == standard.name);
        self.open += u64::from(is_open);
        self.missed += u64::from(is_open && !has_due(standard));
        match state {
            State::NotApplicable => return,
            State::CannotTell => {
                self.cannot_tell += 1;
                return;
            }
            State::Running(running) => {
                let late = running.due.is_some_and(|due| {
                    let left = due.duration_since(facts.as_of);
                    let whole = due.duration_since(running.begun);
                    left >= SignedDuration::ZERO && left.as_secs() <= whole.as_secs() / 4
                });
                self.at_risk += u64::from(late);
            }
            State::Kept => {}
        }
        self.met += u64::from(!has_due(standard) && !is_open && !is_broken(state));
    }

    fn row(mut self, group: String) -> Row {
        self.took.sort_unstable();
        let all = self.met + self.missed;
        Row {
            group,
            met: self.met,
            breached: self.breached,
            open: self.open,
            at_risk: self.at_risk,
            waived: self.waived,
            cannot_tell: self.cannot_tell,
            adherence: (all > 0).then(|| self.met as f64 / all as f64),
            p50_seconds: percentile(&self.took, 50),
            p90_seconds: percentile(&self.took, 90),
        }
    }
}

/// The nearest rank: the smallest value that so many in a hundred do not exceed.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}
