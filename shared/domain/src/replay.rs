//! A customer's life again: events fold in as time goes on, and the nightly runs decide over them.
//!
//! It is the code of production, only that the log is at hand and the clock is an argument: the same
//! fold, the same decisions, in the order of the nightly schedules. An instant sees what had
//! happened by then, by the events' own time, so that late events lead to the same life as
//! punctual ones.

use jiff::Timestamp;

use crate::customer::{Customer, Profile, Status};
use crate::decide::{decide_risk, decide_stage, decide_standards};
use crate::event::Event;
use crate::fold::{self, HourRange, Scope};
use crate::journal::{Change, JournalEntry};
use crate::lifecycle::Lifecycle;
use crate::period::HOUR;

#[cfg(test)]
mod tests;

/// A log as a replay takes it: in the order of time, each event once.
#[must_use]
pub fn in_order(mut log: Vec<Event>) -> Vec<Event> {
    log.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    log.dedup_by(|a, b| a.at == b.at && a.id == b.id);
    log
}

/// One decision of a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// What changed.
    pub change: Change,
    /// The entry of the journal that says so.
    pub entry: JournalEntry,
}

/// A customer under a lifecycle, as far as the replay has come.
#[derive(Debug, Clone)]
pub struct Replay<'a> {
    lifecycle: &'a Lifecycle,
    log: &'a [Event],
    /// How many events were folded in.
    seen: usize,
    /// The customer by now.
    pub customer: Customer,
}

impl<'a> Replay<'a> {
    /// A customer before the first event of a log that is [`in_order`].
    #[must_use]
    pub fn new(lifecycle: &'a Lifecycle, log: &'a [Event]) -> Replay<'a> {
        Replay { lifecycle, log, seen: 0, customer: Customer::default() }
    }

    /// The same, with what was decided before.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Replay<'a> {
        self.customer.status = status;
        self
    }

    /// Whether anything has happened yet.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.seen > 0
    }

    /// How many events were folded in.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }

    /// Folds in everything that happened by `now`. Instants only rise.
    ///
    /// It is folded as of the last event, as the commit that took that event did: when nothing
    /// happens, nothing grows coarser either.
    pub fn until(&mut self, now: Timestamp) {
        let end = self.seen + self.log[self.seen..].partition_point(|event| event.at <= now);
        let Some(last) = self.log[self.seen..end].last() else { return };
        let profile = &mut self.customer.profile;
        let new = &self.log[self.seen..end];
        let scope = match self.seen {
            0 => Scope::Whole,
            _ => fold::scope(profile, self.lifecycle, new, last.at),
        };
        fold::fold(profile, self.lifecycle, &scope, read(&self.log[..end], &scope), last.at);
        self.seen = end;
    }

    /// As [`Replay::until`], where another replay of the same log has folded the same measures.
    pub fn until_as(&mut self, other: &Replay<'_>) {
        self.customer.profile.clone_from(&other.customer.profile);
        self.seen = other.seen;
    }

    /// What the runs of a night decide and make true: risk, then the stage, then standards, the broken and
    /// the kept, each with the tasks that follow.
    pub fn night(&mut self, now: Timestamp) -> Vec<Decided> {
        let mut decided = Vec::new();
        if let Some((note, changes)) = decide_risk(&self.customer, self.lifecycle, now) {
            self.customer.status.note_risk(note);
            self.enact(changes, now, &mut decided);
        }
        let changes = decide_stage(&self.customer, self.lifecycle, now).into_changes();
        self.enact(changes, now, &mut decided);
        let changes = decide_standards(&self.customer, self.lifecycle, now);
        self.enact(changes, now, &mut decided);
        decided
    }

    fn enact(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        now: Timestamp,
        decided: &mut Vec<Decided>,
    ) {
        for change in changes {
            let entry = self.customer.status.apply(&change, now, self.lifecycle);
            decided.push(Decided { change, entry });
        }
    }
}

/// What of a log a scope asks for: all from its first hour on; a fold passes over the rest.
fn read<'l>(log: &'l [Event], scope: &Scope) -> &'l [Event] {
    let Scope::Buckets { hours, .. } = scope else { return log };
    if scope.reads_everything() {
        return log;
    }
    let Some(HourRange { from, .. }) = hours.first() else { return &[] };
    let first = log.partition_point(|event| event.at.as_second() < from * HOUR);
    &log[first..]
}

/// A customer's profile as of an instant, folded from the log.
#[must_use]
pub fn profile_at(lifecycle: &Lifecycle, log: &[Event], now: Timestamp) -> Profile {
    let mut replay = Replay::new(lifecycle, log);
    replay.until(now);
    replay.customer.profile
}
