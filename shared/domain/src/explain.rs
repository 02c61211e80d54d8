//! Why a customer is where it is, why it is not elsewhere, what would change that, how it stands with
//! each standard, and when something will change by itself.
//!
//! Nothing is explained that is not decided: every answer is that of the functions that decide,
//! asked again, and a change that is said to move the customer has been decided upon with that
//! one value supposed.

mod provenance;
mod standards;
mod what_if;

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use crate::checkpoint::reached_at;
use crate::customer::{
    Acknowledged, Customer, HandoffState, Hold, OpenFinding, RiskState, StageState, Status,
};
use crate::decide::{Refusal, decide, next_due, step};
use crate::event::Event;
use crate::expr::{Condition, Truth};
use crate::facts::Facts;
use crate::journal::{Change, ChangeKind, FindingOutcome, JournalEntry, Reason};
use crate::lifecycle::{Lifecycle, Stage};
use crate::period::Period;
use crate::score::{self, Health, PROBABILITY, Risk};
use crate::task;
use crate::tended::{Mended, Seen, Waiver};
use crate::timeline::held_since;

pub use provenance::{EventRef, Input, Origin};
pub use standards::{Standing, ToldStandard};
pub use what_if::WhatIf;

/// How far ahead the next change by itself is looked for.
const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 180);

/// Why a customer is where it is, as of an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The instant.
    pub at: Timestamp,
    /// The stage by then.
    pub stage: Option<StageState>,
    /// The entry of the journal that moved the customer there.
    pub because: Option<JournalEntry>,
    /// The stage's own criteria as of the instant.
    pub present: Option<Judged>,
    /// Its bar to stay, where it has one.
    pub leave: Option<Judged>,
    /// What the runs would decide at the instant.
    pub decided: Vec<Change>,
    /// Every other stage, and why the customer is not there.
    pub others: Vec<Other>,
    /// Everything the stages' criteria read, its value, and where it comes from.
    pub inputs: Vec<Input>,
    /// For each input, the smallest change that moves the customer; the smallest of all first.
    pub what_if: Vec<WhatIf>,
    /// How the customer stands with each standard, in the order of the file.
    pub standards: Vec<ToldStandard>,
    /// The next change with no new event, within 180 days.
    pub coming: Option<Coming>,
    /// The health score.
    pub health: Option<Health>,
    /// The assessment of risk.
    pub risk: Option<Risk>,
}

/// Criteria, and what they come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The rule, as `stages.churned.enter`.
    pub rule: String,
    /// The criteria on one line.
    pub condition: String,
    /// What they come to.
    pub answer: Truth,
    /// For how long they have to hold.
    pub hold: Option<Period>,
    /// Since when they hold, looking back as far as matters.
    pub held_since: Option<Timestamp>,
    /// Every comparison with its own answer and the values it read.
    pub parts: Vec<Reason>,
}

/// A stage where the customer is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    /// The stage.
    pub stage: String,
    /// Its priority.
    pub priority: i32,
    /// Why not; `None` for the stage that the next run moves the customer to.
    pub refusal: Option<Refusal>,
    /// The same, as a sentence.
    pub why_not: Option<String>,
    /// Its criteria.
    pub judged: Judged,
}

/// What will change by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Coming {
    /// When.
    pub at: Timestamp,
    /// What.
    pub changes: Vec<Change>,
}

/// Explains a customer as of an instant. `journal` are the entries up to then, newest first, as
/// far as the one that moved the customer into its stage; `log` the events up to then, in order.
#[must_use]
pub fn explain(
    customer: &Customer,
    lifecycle: &Lifecycle,
    journal: &[JournalEntry],
    log: &[Event],
    now: Timestamp,
) -> Explanation {
    let facts = Facts::new(customer, lifecycle, now);
    let state = customer.status.stage.as_ref();
    let stage = state.and_then(|state| stage(&facts, &state.name));
    let is_move = |entry: &&JournalEntry| {
        entry.kind == ChangeKind::Stage
            && state.is_some_and(|state| entry.to.as_deref() == Some(&state.name))
    };
    Explanation {
        at: now,
        stage: state.cloned(),
        because: journal.iter().find(is_move).cloned(),
        present: stage.and_then(|stage| entry_of(&facts, stage)),
        leave: stage.and_then(|stage| {
            let leave = stage.leave.as_ref()?;
            let rule = format!("stages.{}.leave", stage.name);
            Some(judge(&facts, rule, &leave.when, leave.hold))
        }),
        decided: changes(customer, lifecycle, now),
        others: others(&facts),
        inputs: provenance::inputs(&facts, journal, log),
        what_if: what_if::what_if(&facts),
        standards: standards::standards(&facts),
        coming: coming(customer, lifecycle, now),
        health: score::health(&facts),
        risk: score::risk(&facts),
    }
}

/// A stage as it holds for the customer.
fn stage<'a>(facts: &Facts<'a>, name: &str) -> Option<&'a Stage> {
    facts.rules().stage(name)
}

/// The stages as they hold for the customer.
fn stages<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Stage> + use<'a> {
    facts.rules().stages.iter().map(AsRef::as_ref)
}

fn changes(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Vec<Change> {
    decide(customer, lifecycle, now).into_changes()
}

fn coming(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Option<Coming> {
    let until = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    let at = next_due(customer, lifecycle, now, until)?;
    Some(Coming { at, changes: changes(customer, lifecycle, at) })
}

fn entry_of(facts: &Facts<'_>, stage: &Stage) -> Option<Judged> {
    let enter = stage.enter.as_ref()?;
    Some(judge(facts, format!("stages.{}.enter", stage.name), &enter.when, enter.hold))
}

fn judge(facts: &Facts<'_>, rule: String, when: &Condition, hold: Option<Period>) -> Judged {
    let seconds = match hold {
        Some(Period::Elapsed(seconds)) => seconds,
        Some(period) => {
            i64::from(facts.lifecycle.calendar.at_most_days(period)) * crate::period::DAY
        }
        None => 0,
    };
    // A day more than is asked for, so that what has just become true shows since when.
    let back = SignedDuration::from_secs(seconds.saturating_add(crate::period::DAY));
    Judged {
        rule,
        condition: when.describe(),
        answer: facts.answer(when),
        hold,
        held_since: held_since(facts, when, back),
        parts: when.leaves(facts).iter().map(Reason::of_leaf).collect(),
    }
}

/// Every stage but the present one.
fn others(facts: &Facts<'_>) -> Vec<Other> {
    let status = &facts.customer.status;
    let taken = step(facts.customer, facts.lifecycle, facts.as_of);
    let goes_to = taken.change.as_ref().and_then(|change| change.to.as_deref());
    let change = taken.change.as_ref().or(taken.proposed.as_ref());
    let is_left = change.is_some_and(|change| change.rule.ends_with(".leave"));
    let mut found = Vec::new();
    for (index, stage) in stages(facts).enumerate() {
        let is_present = status.stage.as_ref().is_some_and(|state| state.name == stage.name);
        let (false, Some(enter)) = (is_present, stage.enter.as_ref()) else { continue };
        let Some(judged) = entry_of(facts, stage) else { continue };
        let refusal = taken.refused.iter().find(|(refused, _)| *refused == index);
        let refusal = refusal.map(|(_, refusal)| *refusal);
        let is_taken = goes_to == Some(&stage.name);
        let why_not = match refusal {
            _ if is_taken => None,
            Some(refusal) => Some(why_not(refusal, &judged, facts)),
            None if is_left => Some("the present stage is left by its own `leave`".to_owned()),
            None => Some(why_not(Refusal::DoesNotHold, &judged, facts)),
        };
        found.push(Other {
            stage: stage.name.clone(),
            priority: enter.priority,
            refusal: refusal.filter(|_| !is_taken),
            why_not,
            judged,
        });
    }
    found
}

/// Why a stage was not taken, as a sentence without a full stop.
#[must_use]
pub fn why_not(refusal: Refusal, judged: &Judged, facts: &Facts<'_>) -> String {
    let present = facts.customer.status.stage.as_ref().map_or("none", |stage| &stage.name);
    match refusal {
        Refusal::NoExit => format!("`{present}` has no exit to it"),
        Refusal::NotFromHere => format!("it is not entered from `{present}`"),
        Refusal::DoesNotHold if judged.answer == Truth::Yes => {
            "it would be left again at once by its own `leave`".to_owned()
        }
        Refusal::DoesNotHold => format!("it does not hold: {}", parts_that(judged, Truth::No)),
        Refusal::Unknown => format!("it cannot be told: {}", parts_that(judged, Truth::Unknown)),
        Refusal::HeldSince(since) => {
            let hold = judged.hold.map(|hold| hold.to_string()).unwrap_or_default();
            format!("it holds since {since}, which is not yet {hold}")
        }
        Refusal::CoolingDown(until) => {
            format!("it holds, but the customer was there before and stays away until {until}")
        }
        Refusal::Held => {
            let hold = facts.customer.status.held(facts.as_of);
            let by = hold.map_or("a person", |hold| &hold.author);
            let until = hold.and_then(|hold| hold.until);
            let until = until.map_or("it is released".to_owned(), |until| until.to_string());
            format!("it holds, but {by} keeps the customer in `{present}` until {until}")
        }
        Refusal::FeedSilent { feed, since } => {
            let name = facts.lifecycle.feeds.get(feed).map_or("a", |feed| feed.name.as_str());
            format!("held: the feed `{name}` is silent since {since}")
        }
        Refusal::KeptUntil(until) => format!("`{present}` keeps its customers until {until}"),
        Refusal::NotAbovePresent => {
            format!("it holds, and so does `{present}`, whose priority is not lower")
        }
        Refusal::Outranked => "it holds, and a stage of higher priority does too".to_owned(),
    }
}

/// The comparisons with an answer, with what they read.
fn parts_that(judged: &Judged, answer: Truth) -> String {
    let wanted = match answer {
        Truth::Yes => serde_json::Value::Bool(true),
        Truth::No => serde_json::Value::Bool(false),
        Truth::Unknown => serde_json::Value::Null,
    };
    let said: Vec<String> =
        judged.parts.iter().filter(|part| part.value == wanted).map(reads).collect();
    if said.is_empty() { judged.condition.clone() } else { said.join("; ") }
}

/// A comparison and the values it read: `metrics.idle_days > 21 (metrics.idle_days = 3)`.
#[must_use]
pub fn reads(part: &Reason) -> String {
    let inputs: Vec<String> = part
        .inputs
        .iter()
        .map(|(name, value)| match value {
            serde_json::Value::Null => format!("{name} is not known"),
            value => format!("{name} = {}", said(value)),
        })
        .collect();
    match inputs.is_empty() {
        true => part.expression.clone(),
        false => format!("{} ({})", part.expression, inputs.join(", ")),
    }
}

/// A value for a person: texts without quotes, fractions to four places.
#[must_use]
pub fn said(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "not known".to_owned(),
        serde_json::Value::Bool(true) => "yes".to_owned(),
        serde_json::Value::Bool(false) => "no".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(fraction) if fraction.fract() != 0.0 => {
                format!("{fraction:.4}").trim_end_matches('0').to_owned()
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// What was decided by an instant, from the entries of the journal up to then, newest first. Of a
/// finding the key, which no entry tells, is its entry's number.
#[must_use]
pub fn status_at(journal: &[JournalEntry]) -> Status {
    let mut status = Status::default();
    for entry in journal.iter().rev() {
        match entry.kind {
            ChangeKind::Stage => {
                let stays = entry.author.is_some() && entry.to == entry.from;
                if !stays {
                    status.enter(entry.to.as_deref(), entry.at);
                }
                if let Some(author) = entry.author.clone() {
                    let reason = entry.reason.clone().unwrap_or_default();
                    let (since, until) = (entry.at, entry.until);
                    status.hold = Some(Hold { author, reason, since, until });
                }
            }
            ChangeKind::Revision | ChangeKind::FeedSilent | ChangeKind::Root | ChangeKind::Note => {
            }
            ChangeKind::Met | ChangeKind::Acknowledgement | ChangeKind::Waiver => {
                tended_to(&mut status, entry);
            }
            ChangeKind::Task | ChangeKind::Playbook | ChangeKind::Message => {
                task::note(&mut status.tasks, entry);
            }
            ChangeKind::Release => status.hold = None,
            ChangeKind::Handoff => handed_on(&mut status, entry),
            ChangeKind::Checkpoint => {
                if let Some(name) = &entry.to {
                    status.reached.insert(name.clone(), reached_at(entry).as_second());
                }
            }
            ChangeKind::Risk => {
                let said = |reason: &Reason| reason.inputs.get(PROBABILITY)?.as_f64();
                let shares = entry.reasons.iter().filter_map(|reason| reason.value.as_f64());
                let said = entry.reasons.iter().find_map(said);
                // A rise may stay within its band.
                let before = status.risk.take().filter(|was| entry.to.as_ref() == Some(&was.band));
                status.risk = entry.to.clone().map(|band| RiskState {
                    probability: said.unwrap_or_else(|| shares.sum()).clamp(0.0, 1.0),
                    band,
                    band_since: before.map_or(entry.at, |was| was.band_since),
                    at: entry.at,
                });
            }
            ChangeKind::Finding => {
                let standard = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
                status.findings.retain(|finding| finding.standard != standard);
                if entry.to.as_deref() == Some("open") {
                    status.findings.push(OpenFinding {
                        standard: standard.to_owned(),
                        key: entry.seq.to_string(),
                        opened_at: entry.at,
                    });
                }
            }
        }
    }
    status
}

/// What a person or time made of a standard.
fn tended_to(status: &mut Status, entry: &JournalEntry) {
    let Some(standard) = entry.rule.strip_prefix("standards.") else { return };
    let open = status.findings.iter().position(|finding| finding.standard == standard);
    let tended = status.tended.entry(standard.to_owned()).or_default();
    let (author, note) = (entry.author.clone().unwrap_or_default(), entry.reason.clone());
    match (entry.kind, entry.to.as_deref()) {
        (ChangeKind::Acknowledgement, _) => {
            let told = entry.reasons.first().and_then(|reason| reason.inputs.get("outcome"));
            let outcome = told.and_then(serde_json::Value::as_str);
            tended.acknowledged = Some(Seen {
                author,
                at: entry.at,
                outcome: outcome.and_then(FindingOutcome::parse).unwrap_or(FindingOutcome::Known),
                note,
            });
        }
        (ChangeKind::Waiver, Some("waived")) => {
            let hides = open.map(|at| status.findings.remove(at));
            tended.waiver = Some(Waiver {
                author,
                reason: note.unwrap_or_default(),
                since: entry.at,
                until: entry.until,
                hides: hides.map(|finding| Mended {
                    key: finding.key,
                    opened_at: finding.opened_at,
                    at: entry.at,
                    reopened: 0,
                }),
            });
        }
        (ChangeKind::Waiver, _) => tended.waiver = None,
        _ => {}
    }
}

/// A handoff that was opened or acknowledged.
fn handed_on(status: &mut Status, entry: &JournalEntry) {
    match (&entry.author, &mut status.handoff) {
        (Some(author), Some(handoff)) => {
            handoff.acknowledged = Some(Acknowledged { author: author.clone(), at: entry.at });
        }
        (Some(_), None) => {}
        (None, handoff) => {
            let reason = entry.reasons.first();
            let to = reason.and_then(|reason| reason.expression.strip_prefix("handed to "));
            let due = reason.and_then(|reason| reason.inputs.get("due")?.as_str()?.parse().ok());
            let to = to.unwrap_or_default().to_owned();
            *handoff = Some(HandoffState { to, since: entry.at, due, acknowledged: None });
        }
    }
}

/// The stages' part of an explanation: why this one, and why not each other.
#[must_use]
pub fn stages_of(facts: &Facts<'_>) -> (Option<Judged>, Vec<Other>) {
    let state = facts.customer.status.stage.as_ref();
    let stage = state.and_then(|state| stage(facts, &state.name));
    (stage.and_then(|stage| entry_of(facts, stage)), others(facts))
}
