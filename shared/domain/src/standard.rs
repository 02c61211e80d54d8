//! Standards: what the company promised itself, and whether it keeps it.
//!
//! A breach opens one finding ([`crate::finding`]), which closes when it is mended or no longer counts.
//! What cannot be told neither opens nor closes anything, and is never called met.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use crate::answers::Pair;
use crate::decide::look_back;
use crate::expr::{Condition, Truth, Value};
use crate::facts::Facts;
use crate::journal::Reason;
use crate::lifecycle::{Promise, Standard};
use crate::timeline::answered_since;

#[cfg(test)]
mod tests;

/// Whether a standard is kept for a customer.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// It does not hold for this customer.
    NotApplicable,
    /// It is kept so far.
    Met,
    /// It is broken.
    Breached {
        /// What makes this breach a different one from the next.
        key: String,
        /// The evidence.
        reasons: Vec<Reason>,
    },
    /// Something needed is missing.
    CannotTell,
}

/// How it stands with a promise.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It does not concern this customer.
    NotApplicable,
    /// It is kept, and no clock runs.
    Kept,
    /// Something needed is missing.
    CannotTell,
    /// It is not kept yet.
    Running(Running),
}

/// A promise that is not kept yet, and the time it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// What makes this breach a different one from the next.
    pub key: String,
    /// Since when it has not been kept.
    pub begun: Timestamp,
    /// It is broken after this instant, grace included; at once where it is `None`.
    pub due: Option<Timestamp>,
}

impl Running {
    /// Whether it is broken.
    #[must_use]
    pub fn is_broken(&self, now: Timestamp) -> bool {
        self.due.is_none_or(|due| due < now)
    }

    /// Whether it was already, at an instant before.
    fn was_broken(&self, then: Timestamp) -> bool {
        self.due.map_or(self.begun <= then, |due| due < then)
    }
}

/// Since when a silent feed might have told what keeps a standard.
fn silenced(facts: &Facts<'_>, standard: &Standard, running: &Running) -> Option<Timestamp> {
    if facts.lifecycle.silent.is_empty() {
        return None;
    }
    match &standard.promise {
        // Without a time of its own it is broken by what was known before.
        Promise::Holds { condition, .. } => {
            running.due.and_then(|_| facts.rests_on_silence(condition))
        }
        _ => facts.stilled(&facts.lifecycle.read_by_standard(standard)),
    }
}

/// Judges one standard.
#[must_use]
pub fn judge(facts: &Facts<'_>, standard: &Standard) -> Judgement {
    match state(facts, standard) {
        State::NotApplicable => Judgement::NotApplicable,
        State::CannotTell => Judgement::CannotTell,
        State::Running(running) if running.is_broken(facts.as_of) => {
            // What would break only by a silence of those who tell us is not known to be broken.
            if silenced(facts, standard, &running).is_some_and(|since| !running.was_broken(since)) {
                return Judgement::CannotTell;
            }
            let reasons = evidence(facts, standard, &running);
            Judgement::Breached { key: running.key, reasons }
        }
        State::Kept | State::Running(_) => Judgement::Met,
    }
}

/// How it stands with a standard.
#[must_use]
pub fn state(facts: &Facts<'_>, standard: &Standard) -> State {
    match standard.only_if.as_ref().map(|condition| facts.answer(condition)) {
        Some(Truth::No) => State::NotApplicable,
        Some(Truth::Unknown) => State::CannotTell,
        Some(Truth::Yes) | None => promised(facts, standard),
    }
}

/// As [`state`], of somebody whom the standard is for.
fn promised(facts: &Facts<'_>, standard: &Standard) -> State {
    let calendar = &facts.lifecycle.calendar;
    let forgiven = |at: Timestamp| match standard.grace {
        Some(grace) => calendar.after(at, grace),
        None => at,
    };
    match &standard.promise {
        Promise::Deadline { stage, measure, within, .. } => {
            let Some(entered) = entered(facts, stage) else { return State::NotApplicable };
            if facts.last_event(*measure).is_some_and(|last| last >= entered) {
                return State::Kept;
            }
            let begun = second(entered);
            let due = Some(forgiven(calendar.after(begun, *within)));
            State::Running(Running { key: entered.to_string(), begun, due })
        }
        Promise::Respond { measure, within, .. } => {
            let now = facts.as_of.as_second();
            let answers = facts.answers(*measure).filter(|answers| answers.has_begun(now));
            let Some(answers) = answers else { return State::NotApplicable };
            let Some(asked) = answers.waiting(now) else { return State::Kept };
            let begun = second(asked);
            let due = Some(forgiven(calendar.after(begun, *within)));
            State::Running(Running { key: asked.to_string(), begun, due })
        }
        Promise::Silence { measures, limit, .. } => {
            let begun = second(last_of(facts, measures).unwrap_or(facts.first_second()));
            let due = calendar.after(begun, *limit);
            State::Running(Running { key: due.to_string(), begun, due: Some(forgiven(due)) })
        }
        Promise::Required(traits) => {
            let missing = traits.iter().filter(|index| !is_known(facts, **index));
            let Some(since) = missing.map(|index| missing_since(facts, *index)).min() else {
                return State::Kept;
            };
            // The same breach for as long as anything is missing.
            at_once(facts, standard, "required".to_owned(), since)
        }
        Promise::StageOverdue(stages) => {
            let state = facts.customer.status.stage.as_ref().filter(|s| stages.contains(&s.name));
            let Some(state) = state else { return State::NotApplicable };
            let stage = facts.rules().stage(&state.name);
            let Some(limit) = stage.and_then(|stage| stage.stuck.or(stage.target)) else {
                return State::NotApplicable;
            };
            let due = Some(forgiven(calendar.after(state.since, limit)));
            let key = format!("visit {}", state.visit);
            State::Running(Running { key, begun: state.since, due })
        }
        // The same breach for as long as any task is overdue.
        Promise::TaskOverdue(playbooks) => {
            let Some((begun, _)) = first_due(facts, playbooks) else { return State::Kept };
            let due = Some(forgiven(begun));
            State::Running(Running { key: "overdue".to_owned(), begun, due })
        }
        Promise::Sequence { stage, steps } => {
            let (key, from) = match stage {
                None => ("steps".to_owned(), i64::MIN),
                Some(name) => {
                    let status = &facts.customer.status;
                    let visit = status
                        .stage
                        .as_ref()
                        .filter(|visit| visit.name == *name && visit.since <= facts.as_of);
                    let Some(visit) = visit else { return State::NotApplicable };
                    (format!("visit {}", visit.visit), visit.since.as_second())
                }
            };
            match skipped(facts, steps, from) {
                None => State::Kept,
                Some(skipped) => at_once(facts, standard, key, second(skipped.since)),
            }
        }
        Promise::Holds { condition, hold } => match facts.answer(condition) {
            Truth::Yes => State::Kept,
            Truth::Unknown => State::CannotTell,
            Truth::No => {
                let since = since(facts, standard, condition, Truth::No);
                let key = "holds".to_owned();
                match hold {
                    None => at_once(facts, standard, key, since),
                    Some(hold) => {
                        let begun = since.max(applies_since(facts, standard));
                        let due = Some(forgiven(calendar.after(begun, *hold)));
                        State::Running(Running { key, begun, due })
                    }
                }
            }
        },
    }
}

/// A promise that has no time of its own, broken since an instant: at once, but for its grace.
fn at_once(facts: &Facts<'_>, standard: &Standard, key: String, since: Timestamp) -> State {
    let begun = since.max(applies_since(facts, standard));
    let due = standard.grace.map(|grace| facts.lifecycle.calendar.after(begun, grace));
    State::Running(Running { key, begun, due })
}

/// Since when a standard is for the customer, as far back as that matters.
fn applies_since(facts: &Facts<'_>, standard: &Standard) -> Timestamp {
    match &standard.only_if {
        Some(condition) => since(facts, standard, condition, Truth::Yes),
        None => Timestamp::MIN,
    }
}

/// Since when a condition has had its answer, looking back as far as the standard's own times.
fn since(
    facts: &Facts<'_>,
    standard: &Standard,
    condition: &Condition,
    answer: Truth,
) -> Timestamp {
    let hold = match &standard.promise {
        Promise::Holds { hold, .. } => *hold,
        _ => None,
    };
    let periods = [hold, standard.grace].into_iter().flatten();
    let back: i64 = periods.map(|period| look_back(&facts.lifecycle.calendar, period)).sum();
    if back == 0 {
        return facts.as_of;
    }
    // A second more, so that what has lasted exactly as long is known to have.
    let back = SignedDuration::from_secs(back + 1);
    answered_since(facts, condition, answer, back).unwrap_or(facts.as_of)
}

/// A step that came before an earlier one.
struct Skipped<'a> {
    ahead: &'a str,
    missing: &'a str,
    /// When the former came.
    since: i64,
}

/// The first step of a visit that is missing though a later one was seen; one that is made up for
/// counts, whenever it came.
fn skipped<'a>(facts: &Facts<'_>, steps: &'a [(String, usize)], from: i64) -> Option<Skipped<'a>> {
    let seen = |measure: usize| facts.cells(measure).iter().find(|cell| cell.at >= from);
    let missing = steps.iter().position(|(_, measure)| seen(*measure).is_none())?;
    let later = steps[missing + 1..].iter();
    let later = later.filter_map(|(ahead, measure)| Some((seen(*measure)?.at, ahead)));
    let (since, ahead) = later.min_by_key(|(at, _)| *at)?;
    Some(Skipped { ahead, missing: &steps[missing].0, since })
}

/// The evidence of a breach.
fn evidence(facts: &Facts<'_>, standard: &Standard, running: &Running) -> Vec<Reason> {
    let grace = standard.grace.map_or(String::new(), |grace| format!(" and {grace} of grace"));
    let begun = Json::from(running.begun.to_string());
    let due = || Json::from(running.due.map(|due| due.to_string()));
    let fact =
        |expression: String, inputs: &[(&str, Json)]| vec![Reason::of_fact(expression, inputs)];
    match &standard.promise {
        Promise::Deadline { stage, event, .. } => {
            let by = running.due.map_or(String::new(), |due| due.to_string());
            let entered = format!("stages.{stage}.entered");
            fact(format!("no {event} by {by}"), &[(&entered, begun), ("deadline", due())])
        }
        Promise::Respond { to, with, within, .. } => fact(
            format!("no {} within {within}{grace} of {to}", with.join(", ")),
            &[(to.as_str(), begun), ("deadline", due())],
        ),
        Promise::Silence { measures, events, limit } => {
            let last = last_of(facts, measures);
            let last = last.map_or(Json::Null, |at| Json::from(second(at).to_string()));
            fact(format!("no {} for {limit}{grace}", events.join(", ")), &[("last", last)])
        }
        Promise::Required(traits) => {
            let missing: Vec<String> = traits
                .iter()
                .filter(|index| !is_known(facts, **index))
                .map(|index| format!("traits.{}", facts.lifecycle.traits[*index].name))
                .collect();
            let inputs: Vec<(&str, Json)> =
                missing.iter().map(|name| (name.as_str(), Json::Null)).collect();
            fact(format!("missing: {}", missing.join(", ")), &inputs)
        }
        Promise::StageOverdue(_) => {
            let Some(state) = &facts.customer.status.stage else { return Vec::new() };
            let stage = facts.rules().stage(&state.name);
            let limit = stage.and_then(|stage| stage.stuck.or(stage.target));
            let limit = limit.map_or(String::new(), |limit| limit.to_string());
            fact(
                format!("in {} for more than {limit}{grace}", state.name),
                &[("stage.name", Json::from(state.name.as_str())), ("stage.since", begun)],
            )
        }
        Promise::TaskOverdue(playbooks) => match first_due(facts, playbooks) {
            Some((due, task)) => fact(
                format!("the task {task} was due {due}{grace}"),
                &[("due", Json::from(due.to_string()))],
            ),
            None => Vec::new(),
        },
        Promise::Sequence { steps, .. } => {
            let from = visit_from(facts, standard);
            let Some(skipped) = skipped(facts, steps, from) else { return Vec::new() };
            let came = Json::from(second(skipped.since).to_string());
            fact(
                format!("{} came before {}", skipped.ahead, skipped.missing),
                &[(skipped.ahead, came), (skipped.missing, Json::Null)],
            )
        }
        Promise::Holds { condition, .. } => {
            let mut reasons: Vec<Reason> =
                condition.leaves(facts).iter().map(Reason::of_leaf).collect();
            let is_no = |reason: &Reason| reason.value == false;
            if reasons.iter().any(is_no) {
                reasons.retain(is_no);
            }
            reasons
        }
    }
}

/// What would end a breach, as a part of a sentence.
#[must_use]
pub fn mended_by(facts: &Facts<'_>, standard: &Standard) -> String {
    let one_of = |events: &[String]| format!("an event `{}`", events.join("` or `"));
    let mend = match &standard.promise {
        Promise::Deadline { event, .. } => format!("an event `{event}`"),
        Promise::Respond { with, .. } => one_of(with),
        Promise::Silence { events, .. } => one_of(events),
        Promise::Required(traits) => {
            let missing = traits.iter().filter(|index| !is_known(facts, **index));
            let missing: Vec<String> = missing
                .map(|index| format!("`traits.{}`", facts.lifecycle.traits[*index].name))
                .collect();
            format!("{} becoming known", missing.join(" and "))
        }
        Promise::StageOverdue(_) => {
            let stage = facts.customer.status.stage.as_ref().map_or("", |stage| &stage.name);
            format!("leaving the stage `{stage}`")
        }
        Promise::TaskOverdue(playbooks) => {
            let tasks = facts.customer.status.tasks.open.iter();
            let overdue = tasks.filter(|task| {
                let is_over = task.runs_out().is_some_and(|due| due < facts.as_of);
                is_over && playbooks.contains(&task.playbook)
            });
            let ids: Vec<String> = overdue.map(|task| format!("`{}`", task.id())).collect();
            format!("closing the task {}", ids.join(" and "))
        }
        Promise::Sequence { steps, .. } => {
            match skipped(facts, steps, visit_from(facts, standard)) {
                Some(skipped) => format!("an event `{}`", skipped.missing),
                None => "the steps in their order".to_owned(),
            }
        }
        Promise::Holds { condition, .. } => format!("`{}` holding", condition.describe()),
    };
    match &standard.only_if {
        Some(condition) => format!("{mend}, or `{}` no longer holding", condition.describe()),
        None => mend,
    }
}

/// From when on the steps of a sequence count.
fn visit_from(facts: &Facts<'_>, standard: &Standard) -> i64 {
    let is_of_visit = matches!(&standard.promise, Promise::Sequence { stage: Some(_), .. });
    let visit = facts.customer.status.stage.as_ref().filter(|_| is_of_visit);
    visit.map_or(i64::MIN, |visit| visit.since.as_second())
}

/// The open task of some playbooks that is overdue first, and from when on.
fn first_due(facts: &Facts<'_>, playbooks: &[String]) -> Option<(Timestamp, String)> {
    let tasks = facts.customer.status.tasks.open.iter();
    let theirs = tasks.filter(|task| playbooks.contains(&task.playbook));
    theirs.filter_map(|task| Some((task.runs_out()?, task.id()))).min()
}

/// When a promise that is not kept yet runs out; `None` when it is kept, or is broken at once.
pub(crate) fn runs_out(facts: &Facts<'_>, standard: &Standard) -> Option<Timestamp> {
    match promised(facts, standard) {
        State::Running(running) => running.due,
        State::NotApplicable | State::Kept | State::CannotTell => None,
    }
}

/// What was settled of promises that have an instant of being due, oldest first: what started the
/// clock, and what stopped it. Only as far back as occurrences are told apart.
pub(crate) fn settled(facts: &Facts<'_>, standard: &Standard) -> Vec<Pair> {
    match &standard.promise {
        Promise::Deadline { stage, measure, .. } => {
            let Some(entered) = entered(facts, stage) else { return Vec::new() };
            let cell = facts.cells(*measure).iter().find(|cell| cell.at >= entered);
            // The newest of what was let go counts nothing: it may not be the first.
            let cell = cell.filter(|cell| cell.value > 0.0);
            cell.map(|cell| Pair { asked: entered, answered: cell.at }).into_iter().collect()
        }
        Promise::Respond { measure, .. } => facts
            .answers(*measure)
            .map_or_else(Vec::new, |answers| answers.pairs(facts.as_of.as_second())),
        Promise::Silence { .. }
        | Promise::Required(_)
        | Promise::StageOverdue(_)
        | Promise::TaskOverdue(_)
        | Promise::Sequence { .. }
        | Promise::Holds { .. } => Vec::new(),
    }
}

fn entered(facts: &Facts<'_>, stage: &str) -> Option<i64> {
    let entered = *facts.customer.status.entered.get(stage)?;
    (entered <= facts.as_of.as_second()).then_some(entered)
}

fn last_of(facts: &Facts<'_>, measures: &[usize]) -> Option<i64> {
    measures.iter().filter_map(|measure| facts.last_event(*measure)).max()
}

/// Whether a trait has a value of its declared type, as conditions read it.
fn is_known(facts: &Facts<'_>, index: usize) -> bool {
    match facts.trait_value(index) {
        Value::Missing => false,
        Value::Text(text) => !text.trim().is_empty(),
        _ => true,
    }
}

/// Since when a trait has not been known: since it was told to be nothing of its type, or from the
/// first sight on.
fn missing_since(facts: &Facts<'_>, index: usize) -> Timestamp {
    let name = &facts.lifecycle.traits[index].name;
    let told = facts.customer.profile.traits.get(name);
    let told = told.map(|state| state.since.div_euclid(1_000));
    let told = told.filter(|at| *at <= facts.as_of.as_second());
    second(told.unwrap_or(facts.first_second()))
}

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN)
}
