//! Standards: what the company promised itself, and whether it keeps it.
//!
//! A breach opens one finding, which closes when it is mended or no longer counts. What cannot be
//! told neither opens nor closes anything, and is never called met.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::customer::Customer;
use crate::expr::{Truth, Value};
use crate::facts::Facts;
use crate::journal::{Change, Effect, Reason};
use crate::lifecycle::{Lifecycle, Promise, Standard};

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

/// Judges one standard.
#[must_use]
pub fn judge(facts: &Facts<'_>, standard: &Standard) -> Judgement {
    match standard.only_if.as_ref().map(|condition| facts.answer(condition)) {
        Some(Truth::No) => return Judgement::NotApplicable,
        Some(Truth::Unknown) => return Judgement::CannotTell,
        Some(Truth::Yes) | None => {}
    }
    match &standard.promise {
        Promise::Deadline { stage, event, .. } => {
            let Some(entered) = entered(facts, stage) else { return Judgement::NotApplicable };
            match runs_out(facts, &standard.promise) {
                Some(deadline) if deadline < facts.as_of => breached(
                    entered.to_string(),
                    format!("no {event} by {deadline}"),
                    &[
                        (&format!("stages.{stage}.entered"), Json::from(instant(entered))),
                        ("deadline", Json::from(deadline.to_string())),
                    ],
                ),
                _ => Judgement::Met,
            }
        }
        Promise::Silence { measures, events, limit } => {
            let deadline = runs_out(facts, &standard.promise);
            let Some(deadline) = deadline.filter(|deadline| *deadline < facts.as_of) else {
                return Judgement::Met;
            };
            let last = last_of(facts, measures);
            breached(
                deadline.to_string(),
                format!("no {} for {limit}", events.join(", ")),
                &[("last", last.map_or(Json::Null, |at| Json::from(instant(at))))],
            )
        }
        Promise::Required(traits) => {
            let missing: Vec<String> = traits
                .iter()
                .filter(|index| !is_known(facts, **index))
                .map(|index| format!("traits.{}", facts.lifecycle.traits[*index].name))
                .collect();
            if missing.is_empty() {
                return Judgement::Met;
            }
            let inputs: Vec<(&str, Json)> =
                missing.iter().map(|name| (name.as_str(), Json::Null)).collect();
            // The same breach for as long as anything is missing.
            breached("required".to_owned(), format!("missing: {}", missing.join(", ")), &inputs)
        }
        Promise::StageOverdue(stages) => stage_overdue(facts, stages),
        Promise::TaskOverdue(playbooks) => task_overdue(facts, playbooks),
    }
}

fn stage_overdue(facts: &Facts<'_>, stages: &[String]) -> Judgement {
    let Some(state) = facts.customer.status.stage.as_ref().filter(|s| stages.contains(&s.name))
    else {
        return Judgement::NotApplicable;
    };
    let stage = facts.rules().stage(&state.name);
    let Some(limit) = stage.and_then(|stage| stage.stuck.or(stage.target)) else {
        return Judgement::NotApplicable;
    };
    let deadline = facts.lifecycle.calendar.after(state.since, limit);
    if deadline >= facts.as_of {
        return Judgement::Met;
    }
    breached(
        format!("visit {}", state.visit),
        format!("in {} for more than {limit}", state.name),
        &[
            ("stage.name", Json::from(state.name.as_str())),
            ("stage.since", Json::from(state.since.to_string())),
        ],
    )
}

/// The same breach for as long as any task is overdue.
fn task_overdue(facts: &Facts<'_>, playbooks: &[String]) -> Judgement {
    let tasks = facts.customer.status.tasks.open.iter();
    let mut late: Vec<(Timestamp, String)> = tasks
        .filter(|task| playbooks.contains(&task.playbook))
        .filter(|task| task.state(facts.as_of) == crate::task::State::Overdue)
        .filter_map(|task| Some((task.runs_out()?, task.id())))
        .collect();
    late.sort();
    let Some((since, first)) = late.first() else { return Judgement::Met };
    breached(
        "overdue".to_owned(),
        format!("the task {first} was due {since}"),
        &[("due", Json::from(since.to_string())), ("tasks", Json::from(late.len()))],
    )
}

fn breached(key: String, expression: String, inputs: &[(&str, Json)]) -> Judgement {
    Judgement::Breached { key, reasons: vec![Reason::of_fact(expression, inputs)] }
}

/// When a promise that is not kept yet runs out; `None` when it is kept or has not begun.
pub(crate) fn runs_out(facts: &Facts<'_>, promise: &Promise) -> Option<Timestamp> {
    let calendar = &facts.lifecycle.calendar;
    match promise {
        Promise::Deadline { stage, measure, within, .. } => {
            let entered = entered(facts, stage)?;
            if facts.last_event(*measure).is_some_and(|last| last >= entered) {
                return None;
            }
            Some(calendar.after(Timestamp::from_second(entered).ok()?, *within))
        }
        Promise::Silence { measures, limit, .. } => {
            let last = last_of(facts, measures).unwrap_or(facts.first_second());
            Some(calendar.after(Timestamp::from_second(last).ok()?, *limit))
        }
        Promise::Required(_) | Promise::StageOverdue(_) | Promise::TaskOverdue(_) => None,
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

fn instant(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

/// The findings to open and to close.
#[must_use]
pub fn judge_all(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Vec<Change> {
    let facts = Facts::new(customer, lifecycle, now);
    let mut changes = Vec::new();
    let open = &customer.status.findings;
    for standard in &facts.rules().standards {
        let mut opened = open.iter().filter(|finding| finding.standard == standard.name);
        match judge(&facts, standard) {
            Judgement::CannotTell => {}
            Judgement::Breached { key, reasons } => {
                let is_open = opened.clone().any(|finding| finding.key == key);
                for other in opened.by_ref().filter(|finding| finding.key != key) {
                    changes.push(close(other, "another breach took its place"));
                }
                if !is_open {
                    changes.push(Change {
                        effect: Effect::OpenFinding { standard: standard.name.clone(), key },
                        from: None,
                        to: Some("open".to_owned()),
                        rule: format!("standards.{}", standard.name),
                        reasons,
                    });
                }
            }
            Judgement::Met => changes.extend(opened.map(|finding| close(finding, "it is mended"))),
            Judgement::NotApplicable => {
                changes.extend(opened.map(|finding| close(finding, "it no longer applies")));
            }
        }
    }
    let orphans = open.iter().filter(|finding| lifecycle.standard(&finding.standard).is_none());
    changes.extend(orphans.map(|finding| close(finding, "the standard is no longer declared")));
    changes
}

fn close(finding: &crate::customer::OpenFinding, why: &str) -> Change {
    Change {
        effect: Effect::CloseFinding {
            standard: finding.standard.clone(),
            key: finding.key.clone(),
        },
        from: Some("open".to_owned()),
        to: Some("closed".to_owned()),
        rule: format!("standards.{}", finding.standard),
        reasons: vec![Reason::of_fact(
            why.to_owned(),
            &[("opened_at", Json::from(finding.opened_at.to_string()))],
        )],
    }
}
