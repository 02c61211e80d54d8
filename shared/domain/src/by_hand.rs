//! What people decide: to move a customer, to give it back to automation, to take it over; and of a
//! finding, that they saw it or that it does not count.
//!
//! A customer moved by hand stays where it was put, until the expiry or for ever; meanwhile
//! automation only proposes ([`crate::decide::StageStep::proposed`]). Each of these decisions
//! carries its author and is in the journal like any other.

mod findings;

use jiff::Timestamp;
use jiff::civil::Date;

pub use self::findings::{acknowledge_finding, outcome, unwaive, waive};

use crate::customer::StageState;
use crate::decide::entered;
use crate::facts::Facts;
use crate::journal::{Author, Change, Effect, Reason};
use crate::lifecycle::diagnostic::nearest;
use crate::period::Calendar;

/// The rule of a decision that a person made.
pub const RULE: &str = "by_hand";
/// The longest name of an author, in characters.
const MAX_AUTHOR: usize = 200;
/// The longest reason, in characters.
const MAX_REASON: usize = 1_000;

/// Why a person's decision cannot be made true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The lifecycle file has no such stage.
    #[error("there is no stage `{stage}`: {help}")]
    NoStage {
        /// The word that names none.
        stage: String,
        /// What may be meant.
        help: String,
    },
    /// The expiry is not in the future.
    #[error(
        "`until` is not in the future: leave it away to keep the customer there until released"
    )]
    Past,
    /// The expiry is neither an instant nor a date.
    #[error("`until` is no instant: write it as 2026-12-01T09:00:00Z, or a date as 2026-12-01")]
    BadUntil,
    /// No author was given.
    #[error(
        "`author` is missing: say who decides, by a name or an address of at most {MAX_AUTHOR} characters"
    )]
    NoAuthor,
    /// No reason was given.
    #[error("`reason` is missing: say why, in at most {MAX_REASON} characters")]
    NoReason,
    /// No person holds the customer.
    #[error("nobody holds the customer in its stage, so there is nothing to release")]
    NotHeld,
    /// The customer has no such task.
    #[error("there is no task `{task}`: {help}")]
    NoTask {
        /// The word that names none.
        task: String,
        /// What may be meant.
        help: String,
    },
    /// The task is not open.
    #[error("the task `{task}` is {how}: reopen it first")]
    TaskClosed {
        /// The task.
        task: String,
        /// What became of it.
        how: &'static str,
    },
    /// The snooze would be over already.
    #[error("`until` is not in the future")]
    SnoozePast,
    /// No new owner was given.
    #[error("`to` is missing: say who gets the task, by a trait, a team or an address")]
    NoOwner,
    /// The checklist has no such item.
    #[error("the checklist has no such item: {help}")]
    NoItem {
        /// What it has.
        help: String,
    },
    /// No handoff is open.
    #[error("no handoff waits to be acknowledged")]
    NoHandoff,
    /// The lifecycle file has no such standard.
    #[error("there is no standard `{standard}`: {help}")]
    NoStandard {
        /// The word that names none.
        standard: String,
        /// What may be meant.
        help: String,
    },
    /// The word is none of the three.
    #[error("`outcome` is none of useful, known, false")]
    BadOutcome,
    /// No finding of the standard is open.
    #[error("no finding of this standard is open")]
    NoFinding,
    /// The customer is not let off the standard.
    #[error("this standard is not waived, so there is nothing to end")]
    NotWaived,
}

impl Refused {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Refused::NoStage { .. } => "unknown_stage",
            Refused::Past => "until_past",
            Refused::BadUntil => "invalid_until",
            Refused::NoAuthor => "author_missing",
            Refused::NoReason => "reason_missing",
            Refused::NotHeld => "not_held",
            Refused::NoHandoff => "no_handoff",
            Refused::NoStandard { .. } => "unknown_standard",
            Refused::BadOutcome => "invalid_outcome",
            Refused::NoFinding => "no_finding",
            Refused::NotWaived => "not_waived",
            Refused::NoTask { .. } => "unknown_task",
            Refused::TaskClosed { .. } => "task_closed",
            Refused::SnoozePast => "until_past",
            Refused::NoOwner => "owner_missing",
            Refused::NoItem { .. } => "unknown_item",
        }
    }

    /// Whether the request is fine and the customer is not in the state for it.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Refused::NotHeld
                | Refused::NoHandoff
                | Refused::NoFinding
                | Refused::NotWaived
                | Refused::TaskClosed { .. }
        )
    }
}

/// Reads who decides and why: on one line each, with no control characters.
///
/// # Errors
/// When either is missing or too long; a reason only where `needs_reason`.
pub fn author(
    name: Option<&str>,
    reason: Option<&str>,
    needs_reason: NeedsReason,
) -> Result<Author, Refused> {
    let line = |text: Option<&str>, most: usize| {
        let text = text?.trim();
        let good = !text.is_empty()
            && text.chars().count() <= most
            && !text.chars().any(|c| c.is_control() && c != '\n');
        good.then(|| text.replace('\n', " "))
    };
    let name = line(name, MAX_AUTHOR).ok_or(Refused::NoAuthor)?;
    let given = reason.filter(|text| !text.trim().is_empty());
    let reason = match (given, needs_reason) {
        (None, NeedsReason::No) => None,
        (reason, _) => Some(line(reason, MAX_REASON).ok_or(Refused::NoReason)?),
    };
    Ok(Author { name, reason })
}

/// Reads an expiry: an instant, or a date, which begins at midnight of the workspace.
///
/// # Errors
/// When it is neither.
pub fn until(text: &str, calendar: &Calendar) -> Result<Timestamp, Refused> {
    let instant = text.trim().parse::<Timestamp>();
    let date = || text.trim().parse::<Date>().map(|date| calendar.start_of(date));
    instant.or_else(|_| date()).map_err(|_| Refused::BadUntil)
}

/// Whether a decision has to say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedsReason {
    /// It does.
    Yes,
    /// It may.
    No,
}

/// Moves a customer to a stage, whatever its criteria and exits, and holds it there.
///
/// # Errors
/// When there is no such stage, or the expiry is not in the future.
pub fn move_to(
    facts: &Facts<'_>,
    stage: &str,
    by: Author,
    until: Option<Timestamp>,
) -> Result<Vec<Change>, Refused> {
    let rules = facts.rules();
    let Some(to) = rules.stage(stage) else {
        let known: Vec<&str> = rules.stages.iter().map(|stage| stage.name.as_str()).collect();
        let help = meant(stage, &known);
        return Err(Refused::NoStage { stage: stage.chars().take(64).collect(), help });
    };
    if until.is_some_and(|until| until <= facts.as_of) {
        return Err(Refused::Past);
    }
    let status = &facts.customer.status;
    let from = status.stage.as_ref().map(|state| state.name.clone());
    let stays = from.as_deref() == Some(stage);
    let reason = by.reason.clone().unwrap_or_default();
    let mut changes = vec![Change {
        effect: Effect::MoveByHand { by, until },
        from,
        to: Some(stage.to_owned()),
        rule: RULE.to_owned(),
        reasons: vec![Reason::of_fact(reason, &[])],
    }];
    if !stays {
        let visit = status.stage.as_ref().map_or(1, |state| state.visit + 1);
        let state = StageState { name: stage.to_owned(), since: facts.as_of, visit };
        changes.extend(entered(facts, &state, to));
    }
    Ok(changes)
}

/// Gives a customer back to automation.
///
/// # Errors
/// When no person holds it.
pub fn release(facts: &Facts<'_>, by: Author) -> Result<Change, Refused> {
    let hold = facts.customer.status.held(facts.as_of).ok_or(Refused::NotHeld)?;
    let by_whom = Reason::of_fact(
        "held by hand".to_owned(),
        &[("author", hold.author.as_str().into()), ("since", hold.since.to_string().into())],
    );
    Ok(Change {
        effect: Effect::Release(by),
        from: Some("held".to_owned()),
        to: Some("released".to_owned()),
        rule: RULE.to_owned(),
        reasons: vec![by_whom],
    })
}

/// Writes something down about the customer. It changes nothing.
#[must_use]
pub fn note(by: Author) -> Change {
    let (rule, to) = (RULE.to_owned(), Some("noted".to_owned()));
    Change { effect: Effect::Note(by), from: None, to, rule, reasons: Vec::new() }
}

/// Says that the customer was taken over.
///
/// # Errors
/// When no handoff waits for that.
pub fn acknowledge(facts: &Facts<'_>, by: Author) -> Result<Change, Refused> {
    let status = &facts.customer.status;
    let handoff = status.handoff.as_ref().filter(|handoff| handoff.acknowledged.is_none());
    let (Some(handoff), Some(stage)) = (handoff, &status.stage) else {
        return Err(Refused::NoHandoff);
    };
    let due = handoff.due.map_or(serde_json::Value::Null, |due| due.to_string().into());
    let inputs = [("since", handoff.since.to_string().into()), ("due", due)];
    Ok(Change {
        effect: Effect::AcknowledgeHandoff(by),
        from: Some("pending".to_owned()),
        to: Some("acknowledged".to_owned()),
        rule: format!("stages.{}.handoff", stage.name),
        reasons: vec![Reason::of_fact(format!("handed to {}", handoff.to), &inputs)],
    })
}

fn meant(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;
