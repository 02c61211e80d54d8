//! What is due of a group, and why.

use jiff::{SignedDuration, Timestamp};

use super::group::{Group, State};
use super::mute::{Muted, Mutes};
use crate::lifecycle::{Escalation, Grouping, Receiver};
use crate::period::Calendar;

/// How soon it is looked again whether what inhibits is still so.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);

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

/// What there is to hear of a group.
#[derive(Debug, Default)]
struct Heard {
    firing: u64,
    fresh: u64,
    resolved: u64,
    news: u64,
}

fn heard(group: &Group, mutes: &Mutes<'_>) -> Heard {
    let mut heard = Heard::default();
    for (index, bucket) in group.buckets.iter().enumerate() {
        if mutes.of_bucket(group, index).is_some() {
            continue;
        }
        heard.firing += bucket.firing;
        heard.fresh += bucket.fresh;
        heard.resolved += bucket.resolved;
        heard.news += bucket.news;
        for member in group.members.iter().filter(|member| member.bucket as usize == index) {
            if mutes.of_member(group, member).is_none() {
                continue;
            }
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
        }
    }
    heard
}

/// Says what is due of a group, and why. After a message of it was made, [`Group::told`] says what is
/// then true.
///
/// The rules are those of Alertmanager's `needsUpdate`: tell a group nobody heard of if anything is;
/// tell alerts that are not in the last message; tell those that ended since; else tell it again when
/// `repeat_interval` is over.
#[must_use]
pub fn next(group: &Group, mutes: &Mutes<'_>, policy: &Policy<'_>, now: Timestamp) -> Step {
    let heard = heard(group, mutes);
    let ended = if policy.tells_resolved { heard.resolved } else { 0 };
    let is_quiet = heard.firing + heard.news + ended == 0;
    if is_quiet && let Some(muted) = group.muted(mutes) {
        return match muted {
            Muted::Silenced { id, until } => {
                Step::Wait { hold: Hold::Silenced { id, until }, due: Some(until) }
            }
            Muted::Inhibited { rule } => {
                let due = now.saturating_add(LOOK_AGAIN).ok();
                Step::Wait { hold: Hold::Inhibited { rule }, due }
            }
        };
    }
    let regular = regular(group, &heard, ended, policy);
    let escalation = escalation(group, &heard, policy);
    let step = match regular {
        Regular::At(reason, due) => when(reason, due, policy, now),
        Regular::Acknowledged => Step::Wait { hold: Hold::Acknowledged, due: None },
        Regular::Nothing => Step::Wait { hold: Hold::Nothing, due: None },
    };
    match (step, escalation) {
        (Step::Wait { .. }, Some((step, due))) if due <= now => {
            let to = policy.escalate[step].to.clone();
            Step::Send { reason: Reason::Escalation { step, to }, due }
        }
        (Step::Wait { hold, due }, Some((_, escalates))) => {
            Step::Wait { hold, due: Some(due.map_or(escalates, |due| due.min(escalates))) }
        }
        (step, _) => step,
    }
}

enum Regular {
    At(Reason, Timestamp),
    Acknowledged,
    Nothing,
}

fn regular(group: &Group, heard: &Heard, ended: u64, policy: &Policy<'_>) -> Regular {
    let Some(sent_at) = group.log.sent_at else {
        let first = after(group.opened_at, policy.grouping.wait);
        return match heard.firing + heard.news {
            0 => Regular::Nothing,
            _ => Regular::At(Reason::FirstWait, first),
        };
    };
    let last = group.log.due_at.unwrap_or(sent_at);
    if heard.fresh + heard.news > 0 {
        Regular::At(Reason::NewAlerts, next_turn(group, last, policy.grouping))
    } else if ended > 0 {
        Regular::At(Reason::Resolved, next_turn(group, last, policy.grouping))
    } else if heard.firing == 0 {
        Regular::Nothing
    } else if group.ack.is_some() {
        Regular::Acknowledged
    } else {
        Regular::At(Reason::Repeat, policy.calendar.after(last, policy.grouping.repeat))
    }
}

/// The first turn of a group after its last change and its last message. Its turns come every
/// `group_interval` from the end of `group_wait` on, as in Alertmanager's dispatcher.
fn next_turn(group: &Group, last: Timestamp, grouping: &Grouping) -> Timestamp {
    let anchor = after(group.opened_at, grouping.wait);
    let earliest = group.changed_at.max(after(last, grouping.interval));
    let interval = i128::from(grouping.interval) * 1_000_000_000;
    if interval == 0 {
        return earliest;
    }
    let since = earliest.as_nanosecond() - anchor.as_nanosecond();
    let turns = (since + interval - 1).div_euclid(interval).max(0);
    Timestamp::from_nanosecond(anchor.as_nanosecond() + turns * interval).unwrap_or(earliest)
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
