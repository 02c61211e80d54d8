//! What is due of a group, and why.

use jiff::{SignedDuration, Timestamp};

use super::group::{Group, State};
use super::mute::{Muted, Mutes};
use crate::lifecycle::{Escalation, Grouping, Receiver};
use crate::period::Calendar;

/// How soon it is looked again whether what mutes still does, where a group's turns come more often than
/// anything is looked at.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);
/// How often what is due is looked at.
const TICK: SignedDuration = SignedDuration::from_mins(1);

/// How a group is told.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    /// How its alerts are gathered.
    pub grouping: &'a Grouping,
    /// Who hears of it when nobody acts.
    pub escalate: &'a [Escalation],
    /// Who hears of it.
    pub receiver: &'a Receiver,
    /// Whether it is told that an alert ended.
    pub tells_resolved: bool,
    /// What the receiver had in this hour, where there is a limit.
    pub cap: Option<Cap>,
    /// Working days and local times.
    pub calendar: &'a Calendar,
}

/// What a receiver had in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// How many messages it gets.
    pub most: u32,
    /// How many it had.
    pub had: u32,
    /// Whether one of them summed up what was too much.
    pub is_summed_up: bool,
    /// When the next hour begins.
    pub next: Timestamp,
}

/// Why a message is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The group is new and has waited for company.
    FirstWait,
    /// There are alerts nobody heard of.
    NewAlerts,
    /// Alerts ended that people heard of.
    Resolved,
    /// Nothing changed for `repeat_interval`.
    Repeat,
    /// Nobody acknowledged it in time.
    Escalation {
        /// Which step of the route, from 0.
        step: usize,
        /// Its receiver.
        to: String,
    },
    /// The receiver's time of the day has come.
    Digest,
    /// The receiver had as many messages as it gets in an hour: one sums up the rest.
    SummaryOverCap,
}

impl Reason {
    /// The word of the log, of messages and of metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Reason::FirstWait => "first",
            Reason::NewAlerts => "new_alerts",
            Reason::Resolved => "resolved",
            Reason::Repeat => "repeat",
            Reason::Escalation { .. } => "escalation",
            Reason::Digest => "digest",
            Reason::SummaryOverCap => "summary_over_cap",
        }
    }
}

/// Why no message is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It is not time.
    NotYet(Timestamp),
    /// Somebody silenced all there is to hear.
    Silenced {
        /// The silence that ends first.
        id: String,
        /// When.
        until: Timestamp,
    },
    /// Something else mutes all there is to hear.
    Inhibited {
        /// The index of the rule in the lifecycle file.
        rule: usize,
    },
    /// Somebody looks after it.
    Acknowledged,
    /// The receiver is not told at this time of the day.
    Quiet(Timestamp),
    /// There is nothing to hear.
    Nothing,
}

/// What is due of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A message.
    Send {
        /// Why.
        reason: Reason,
        /// Since when it is due.
        due: Timestamp,
    },
    /// None.
    Wait {
        /// Why not.
        hold: Hold,
        /// When to look again; when something changes where it is `None`.
        due: Option<Timestamp>,
    },
}

impl Step {
    /// When to look at the group again, if nothing changes before.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Step::Send { due, .. } => Some(*due),
            Step::Wait { due, .. } => *due,
        }
    }
}

/// What there is to hear of a group, or of one of its buckets.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) firing: u64,
    pub(super) fresh: u64,
    pub(super) resolved: u64,
    pub(super) news: u64,
    /// What holds back the rest.
    muted: Option<Muted>,
    /// What holds back what nobody was told of.
    withheld: Option<Muted>,
}

impl Heard {
    /// What there is to hear of a bucket.
    pub(super) fn of_bucket(group: &Group, index: usize, mutes: &Mutes<'_>) -> Heard {
        let mut heard = Heard::default();
        let Some(bucket) = group.buckets.get(index) else { return heard };
        let of_bucket = mutes.of_bucket(group, index);
        if let Some(muted) = &of_bucket {
            heard.hold(bucket.firing + bucket.news, bucket.fresh + bucket.news, muted);
            if muted.holds(State::Resolved) {
                heard.hold(bucket.resolved, bucket.resolved, muted);
                return heard;
            }
            heard.resolved = bucket.resolved;
        } else {
            heard.firing = bucket.firing;
            heard.fresh = bucket.fresh;
            heard.resolved = bucket.resolved;
            heard.news = bucket.news;
        }
        for member in group.members.iter().filter(|member| member.bucket as usize == index) {
            if of_bucket.is_some() && member.state != State::Resolved {
                continue;
            }
            let Some(muted) = mutes.of_member(group, member) else { continue };
            let less = |count: &mut u64| *count = count.saturating_sub(1);
            match member.state {
                State::Firing => {
                    less(&mut heard.firing);
                    if !member.told {
                        less(&mut heard.fresh);
                    }
                }
                State::Resolved => less(&mut heard.resolved),
                State::News => less(&mut heard.news),
            }
            let is_untold = member.state != State::Firing || !member.told;
            heard.hold(1, u64::from(is_untold), &muted);
        }
        heard
    }

    fn of(group: &Group, mutes: &Mutes<'_>) -> Heard {
        let mut heard = Heard::default();
        for index in 0..group.buckets.len() {
            let part = Heard::of_bucket(group, index, mutes);
            heard.firing += part.firing;
            heard.fresh += part.fresh;
            heard.resolved += part.resolved;
            heard.news += part.news;
            heard.muted = first(heard.muted, part.muted);
            heard.withheld = first(heard.withheld, part.withheld);
        }
        heard
    }

    /// So many alerts are held back, of which nobody was told of so many.
    fn hold(&mut self, count: u64, untold: u64, muted: &Muted) {
        let held = |count: u64| (count > 0).then(|| muted.clone());
        self.muted = first(self.muted.take(), held(count));
        self.withheld = first(self.withheld.take(), held(untold));
    }
}

fn first(one: Option<Muted>, other: Option<Muted>) -> Option<Muted> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.first(other)),
        (one, other) => one.or(other),
    }
}

/// Says what is due of a group, and why. After a message of it was made, [`Group::told`] says what is
/// then true.
///
/// The rules are those of Alertmanager's `needsUpdate`: tell a group nobody heard of if anything is;
/// tell alerts that are not in the last message; tell those that ended since; else tell it again when
/// `repeat_interval` is over.
#[must_use]
pub fn next(group: &Group, mutes: &Mutes<'_>, policy: &Policy<'_>, now: Timestamp) -> Step {
    let heard = Heard::of(group, mutes);
    let ended = if policy.tells_resolved { heard.resolved } else { 0 };
    let is_quiet = heard.firing + heard.news + ended == 0;
    if is_quiet && let Some(muted) = heard.muted {
        let due = Some(look_again(group, &muted, policy.grouping, now));
        return match muted {
            Muted::Silenced { id, until } => Step::Wait { hold: Hold::Silenced { id, until }, due },
            Muted::Inhibited { rule } => Step::Wait { hold: Hold::Inhibited { rule }, due },
        };
    }
    let regular = regular(group, &heard, ended, policy);
    let escalation = escalation(group, &heard, policy);
    let step = match regular {
        Regular::At(reason, due) => when(reason, due, policy, now),
        Regular::Acknowledged => Step::Wait { hold: Hold::Acknowledged, due: None },
        Regular::Nothing => Step::Wait { hold: Hold::Nothing, due: None },
    };
    let step = match (step, escalation) {
        (Step::Wait { .. }, Some((step, due))) if due <= now => {
            let to = policy.escalate[step].to.clone();
            Step::Send { reason: Reason::Escalation { step, to }, due }
        }
        (Step::Wait { hold, due }, Some((_, escalates))) => {
            Step::Wait { hold, due: Some(due.map_or(escalates, |due| due.min(escalates))) }
        }
        (step, _) => step,
    };
    match (step, &heard.withheld) {
        (Step::Wait { hold, due }, Some(muted)) => {
            let again = look_again(group, muted, policy.grouping, now);
            Step::Wait { hold, due: Some(due.map_or(again, |due| due.min(again))) }
        }
        (step, _) => step,
    }
}

/// When to look again whether what mutes still does: at the turn after a silence ends, and at the next
/// one, for it may be ended before, and what inhibits ends unannounced.
fn look_again(group: &Group, muted: &Muted, grouping: &Grouping, now: Timestamp) -> Timestamp {
    let is_often = SignedDuration::from_secs(grouping.interval) < TICK;
    let soon = match is_often {
        true => turn(group, grouping, now.saturating_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX)),
        false => turn_after(group, grouping, now),
    };
    match muted {
        Muted::Silenced { until, .. } => soon.min(turn(group, grouping, *until)),
        Muted::Inhibited { .. } => soon,
    }
}

impl Group {
    /// Notes that its turn came and all there was to tell was muted: when it no longer is, it is told at a
    /// turn after this one, as Alertmanager does.
    pub fn hold(&mut self, mutes: &Mutes<'_>, policy: &Policy<'_>, now: Timestamp) {
        let heard = Heard::of(self, mutes);
        let ended = if policy.tells_resolved { heard.resolved } else { 0 };
        let is_held = match policy.receiver.digest {
            // Beside what is told at a time of the day nothing is put off.
            Some(_) => heard.muted.is_some() && heard.firing + heard.news + ended == 0,
            None => heard.muted.is_some() && heard.fresh + heard.news + ended == 0,
        };
        let is_noted =
            self.log.held_at.is_some_and(|at| now < turn_after(self, policy.grouping, at));
        if is_held && !is_noted && now >= first_turn(self, policy.grouping) {
            self.log.held_at = Some(now);
        }
    }
}

enum Regular {
    At(Reason, Timestamp),
    Acknowledged,
    Nothing,
}

fn regular(group: &Group, heard: &Heard, ended: u64, policy: &Policy<'_>) -> Regular {
    let grouping = policy.grouping;
    let Some(sent_at) = group.log.sent_at else {
        return match heard.firing + heard.news {
            0 => Regular::Nothing,
            _ => {
                Regular::At(Reason::FirstWait, at_turn(group, first_turn(group, grouping), policy))
            }
        };
    };
    let last = group.log.due_at.unwrap_or(sent_at);
    let next = after(last, grouping.interval);
    // From the first change on, not the last: what goes on changing would never be told.
    let since = |at: Option<Timestamp>| at.unwrap_or(group.changed_at).max(next);
    if heard.fresh + heard.news > 0 {
        Regular::At(Reason::NewAlerts, at_turn(group, since(group.fresh_since), policy))
    } else if ended > 0 {
        Regular::At(Reason::Resolved, at_turn(group, since(group.ended_since), policy))
    } else if heard.firing == 0 {
        Regular::Nothing
    } else if group.ack.is_some() {
        Regular::Acknowledged
    } else {
        let repeated = policy.calendar.after(last, grouping.repeat);
        Regular::At(Reason::Repeat, at_turn(group, repeated, policy))
    }
}

/// The first turn from an instant on at which what there is to tell is not known to be muted. A receiver
/// that is told at a time of the day has no other turns.
fn at_turn(group: &Group, from: Timestamp, policy: &Policy<'_>) -> Timestamp {
    let held_at = group.log.held_at;
    if policy.receiver.digest.is_some() {
        return held_at.map_or(from, |held_at| from.max(held_at));
    }
    let due = turn(group, policy.grouping, from);
    held_at.map_or(due, |held_at| due.max(turn_after(group, policy.grouping, held_at)))
}

/// When a group first speaks.
fn first_turn(group: &Group, grouping: &Grouping) -> Timestamp {
    after(group.opened_at, grouping.wait)
}

/// The first turn of a group at or after an instant. Its turns come every `group_interval` from the end of
/// `group_wait` on, as in Alertmanager's dispatcher.
fn turn(group: &Group, grouping: &Grouping, from: Timestamp) -> Timestamp {
    let anchor = first_turn(group, grouping);
    let from = from.max(anchor);
    let interval = i128::from(grouping.interval) * 1_000_000_000;
    if interval == 0 {
        return from;
    }
    let since = from.as_nanosecond() - anchor.as_nanosecond();
    let turns = (since + interval - 1).div_euclid(interval);
    Timestamp::from_nanosecond(anchor.as_nanosecond() + turns * interval).unwrap_or(from)
}

/// The first turn after an instant.
fn turn_after(group: &Group, grouping: &Grouping, at: Timestamp) -> Timestamp {
    turn(group, grouping, at.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(at))
}

/// The next step of the escalation, and when it is due.
fn escalation(group: &Group, heard: &Heard, policy: &Policy<'_>) -> Option<(usize, Timestamp)> {
    let from = group.log.escalates_from.filter(|_| heard.firing > 0 && group.ack.is_none())?;
    let step = policy.escalate.get(group.log.steps)?;
    Some((group.log.steps, policy.calendar.after(from, step.after)))
}

/// Holds a message back until its receiver is told.
fn when(reason: Reason, due: Timestamp, policy: &Policy<'_>, now: Timestamp) -> Step {
    let (reason, due) = match &policy.receiver.digest {
        Some(digest) => (Reason::Digest, digest.next(due, policy.calendar)),
        None => (reason, due),
    };
    if now < due {
        return Step::Wait { hold: Hold::NotYet(due), due: Some(due) };
    }
    let quiet = policy.receiver.quiet.as_ref();
    if let Some(until) = quiet.and_then(|quiet| quiet.until(now, policy.calendar)) {
        return Step::Wait { hold: Hold::Quiet(until), due: Some(until) };
    }
    // A message that was held back over night is due when the night is over.
    let ended = quiet.and_then(|quiet| quiet.until(due, policy.calendar));
    let due = ended.map_or(due, |ended| ended.max(due).min(now));
    match policy.cap {
        Some(cap) if cap.had >= cap.most && cap.is_summed_up => {
            Step::Wait { hold: Hold::NotYet(cap.next), due: Some(cap.next) }
        }
        Some(cap) if cap.had >= cap.most => Step::Send { reason: Reason::SummaryOverCap, due },
        _ => Step::Send { reason, due },
    }
}

fn after(from: Timestamp, seconds: i64) -> Timestamp {
    from.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
