//! Which tasks there should be.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::{After, Ended, MAX_OPEN, State, Task, TaskChange, rule};
use crate::customer::{Customer, RiskNote};
use crate::decide::reasons;
use crate::expr::Truth;
use crate::facts::Facts;
use crate::journal::{Change, Effect, Reason};
use crate::lifecycle::{Action, Cadence, Lifecycle, Playbook, Step, TaskRule};
use crate::template::Channel;

/// The most changes of one customer's tasks that are decided at once: they go into one transaction,
/// with what else changes. What is left is decided by the next run.
const MAX_AT_ONCE: usize = 24;
/// The input of an entry's reason that names the run.
pub(super) const RUN: &str = "playbook.run";
/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 300;

/// Adds to changes of a customer the changes of its tasks that follow from them.
#[must_use]
pub fn following(
    customer: &Customer,
    note: Option<&RiskNote>,
    mut changes: Vec<Change>,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Vec<Change> {
    if lifecycle.playbooks.is_empty() && customer.status.tasks.open.is_empty() {
        return changes;
    }
    if changes.is_empty() && note.is_none() {
        return decide(&Facts::new(customer, lifecycle, now));
    }
    let mut after = customer.clone();
    if let Some(note) = note {
        after.status.note_risk(note.clone());
    }
    for change in &changes {
        // The entry is made, and counted, when the change is made true.
        let _ = after.status.apply(change, now, lifecycle);
    }
    let room = MAX_AT_ONCE.saturating_sub(changes.len());
    let mut tasks = decide(&Facts::new(&after, lifecycle, now));
    tasks.truncate(room);
    changes.extend(tasks);
    changes
}

impl Task {
    /// The change that closes the task because nothing asks for it any longer.
    #[must_use]
    pub fn cleared(&self, reasons: Vec<Reason>) -> Change {
        change(self, After::Over(Ended::Cleared), reasons)
    }
}

/// What should change about a customer's tasks.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Vec<Change> {
    let status = &facts.customer.status;
    let rules = facts.rules();
    let mut changes = Vec::new();
    let mut open: Vec<(&str, &str)> = Vec::new();
    for task in &status.tasks.open {
        let playbook = rules.playbook(&task.playbook);
        let step = playbook.and_then(|playbook| Some((playbook, playbook.step(&task.step)?)));
        let step = step.and_then(|(playbook, step)| Some((playbook, step.task()?)));
        let closing = match step {
            None => Some(cleared("it is no longer declared")),
            Some((playbook, rule)) => closing(facts, task, playbook, rule),
        };
        match (closing, step) {
            (Some((how, reasons)), _) => changes.push(change(task, After::Over(how), reasons)),
            (None, Some((playbook, rule))) => {
                open.push((&task.playbook, &task.step));
                follow(facts, task, playbook, rule, &mut changes);
            }
            (None, None) => {}
        }
    }
    let mut asked: Vec<&str> = Vec::new();
    for playbook in &rules.playbooks {
        let Some(cause) = starts(facts, playbook) else { continue };
        for step in &playbook.steps {
            if open.iter().any(|(of, name)| *of == playbook.name && *name == step.name) {
                continue;
            }
            let Some(run) = run(facts, playbook, step) else { continue };
            if !step.condition.as_ref().is_none_or(|when| facts.answer(when) == Truth::Yes) {
                continue;
            }
            let mut why = cause.clone();
            why.extend(step.condition.iter().flat_map(|when| reasons(facts, when)));
            let at = Place { playbook, step, run };
            match &step.action {
                Action::Task(rule) => {
                    let is_met = |when| facts.answer(when) == Truth::Yes;
                    if rule.met_when.as_ref().is_some_and(is_met) {
                        continue;
                    }
                    if open.len() < MAX_OPEN {
                        open.push((&playbook.name, &step.name));
                        changes.push(at.open(facts, rule, why));
                    } else {
                        let text = format!("{MAX_OPEN} tasks are open already");
                        let why = vec![Reason::of_fact(text, &[])];
                        changes.push(at.ran(After::Over(Ended::Refused), why));
                    }
                }
                Action::Notify { .. } => changes.push(at.ran(After::Over(Ended::Ran), why)),
                Action::Message { purpose, window, .. } => {
                    let is_free = || is_free(facts, purpose, *window);
                    if !asked.contains(&purpose.as_str()) && is_free() {
                        asked.push(purpose);
                        changes.push(at.ran(After::Message(purpose.clone()), why));
                    }
                }
            }
        }
    }
    changes.truncate(MAX_AT_ONCE);
    changes
}

/// Where a step runs.
struct Place<'a> {
    playbook: &'a Playbook,
    step: &'a Step,
    run: String,
}

impl Place<'_> {
    fn open(self, facts: &Facts<'_>, rule: &TaskRule, why: Vec<Reason>) -> Change {
        let Place { playbook, step, run } = self;
        let task = Task {
            playbook: playbook.name.clone(),
            step: step.name.clone(),
            run,
            title: title(facts, rule),
            owner: rule.owner.clone(),
            priority: rule.priority,
            effort_minutes: rule.effort_minutes,
            opened_at: facts.as_of,
            due: rule.due.map(|due| facts.lifecycle.calendar.after(facts.as_of, due)),
            snoozed_until: None,
            overdue_since: None,
            escalated: 0,
            is_reassigned: false,
            is_by_hand: false,
            checked: Vec::new(),
            made_of: made_of(rule),
        };
        opened(task, None, "open", why)
    }

    fn ran(self, after: After, reasons: Vec<Reason>) -> Change {
        let to = match &after {
            After::Message(purpose) => purpose.clone(),
            After::Over(Ended::Refused) => "refused".to_owned(),
            After::Over(_) | After::Open(_) => "told".to_owned(),
        };
        let Place { playbook, step, run } = self;
        let change = TaskChange {
            playbook: playbook.name.clone(),
            step: step.name.clone(),
            run,
            after,
            by: None,
            until: None,
        };
        entry(change, None, &to, reasons)
    }
}

/// A task that is opened, or opened again.
pub(super) fn opened(task: Task, from: Option<&str>, to: &str, reasons: Vec<Reason>) -> Change {
    let change = TaskChange {
        playbook: task.playbook.clone(),
        step: task.step.clone(),
        run: task.run.clone(),
        after: After::Open(Box::new(task)),
        by: None,
        until: None,
    };
    entry(change, from, to, reasons)
}

/// A change of an open task, by automation.
pub(super) fn change(task: &Task, after: After, reasons: Vec<Reason>) -> Change {
    let to = match &after {
        After::Over(how) => how.as_str(),
        After::Open(_) | After::Message(_) => "open",
    };
    let change = TaskChange {
        playbook: task.playbook.clone(),
        step: task.step.clone(),
        run: task.run.clone(),
        after,
        by: None,
        until: None,
    };
    entry(change, Some("open"), to, reasons)
}

pub(super) fn entry(
    change: TaskChange,
    from: Option<&str>,
    to: &str,
    mut reasons: Vec<Reason>,
) -> Change {
    // What makes this one a different one from the next.
    let run = [(RUN, Json::from(change.run.as_str()))];
    reasons.push(Reason::of_fact(change.run.clone(), &run));
    Change {
        from: from.map(str::to_owned),
        to: Some(to.to_owned()),
        rule: rule(&change.playbook, &change.step),
        reasons,
        effect: Effect::Task(Box::new(change)),
    }
}

fn cleared(why: &str) -> (Ended, Vec<Reason>) {
    (Ended::Cleared, vec![Reason::of_fact(why.to_owned(), &[])])
}

/// Whether an open task closes by itself.
fn closing(
    facts: &Facts<'_>,
    task: &Task,
    playbook: &Playbook,
    rule: &TaskRule,
) -> Option<(Ended, Vec<Reason>)> {
    if let Some(when) = &rule.met_when
        && facts.answer(when) == Truth::Yes
    {
        return Some((Ended::Done, reasons(facts, when)));
    }
    if task.is_by_hand {
        return None;
    }
    if cause(facts, playbook) == Truth::No {
        return Some(cleared("its cause is over"));
    }
    let present = run_key(facts, playbook);
    (playbook.once_per == Cadence::Visit && task.run != present)
        .then(|| cleared("the visit is over"))
}

/// What happens to a task that stays open: the file may have changed, and time goes on.
fn follow(
    facts: &Facts<'_>,
    task: &Task,
    playbook: &Playbook,
    rule: &TaskRule,
    changes: &mut Vec<Change>,
) {
    let calendar = &facts.lifecycle.calendar;
    let mut now = task.clone();
    let mut note = |task: &Task, from: &str, to: &str, reason: Reason| {
        changes.push(opened(task.clone(), Some(from), to, vec![reason]));
    };
    if now.made_of != made_of(rule) {
        now.title = title(facts, rule);
        now.priority = rule.priority;
        now.effort_minutes = rule.effort_minutes;
        now.due = rule.due.map(|due| calendar.after(now.opened_at, due));
        if !now.is_reassigned {
            now.owner.clone_from(&rule.owner);
        }
        now.checked.retain(|item| rule.checklist.contains(item));
        now.made_of = made_of(rule);
        if now.state(facts.as_of) != State::Overdue {
            now.overdue_since = None;
        }
        let why = format!("playbooks.{} changed", playbook.name);
        note(&now, "open", "updated", Reason::of_fact(why, &[]));
    }
    if now.state(facts.as_of) != State::Overdue {
        return;
    }
    let Some(due) = now.runs_out() else { return };
    if now.overdue_since.is_none() {
        now.overdue_since = Some(due);
        let inputs = [("due", Json::from(due.to_string()))];
        let why = Reason::of_fact(format!("not done by {due}"), &inputs);
        note(&now, "open", "overdue", why);
    }
    while let Some(step) = rule.escalate.get(now.escalated as usize) {
        if calendar.after(due, step.after) >= facts.as_of {
            break;
        }
        now.escalated += 1;
        let why = format!("overdue for more than {}: to {}", step.after, step.to);
        now.owner.clone_from(&step.to);
        now.is_reassigned = true;
        let inputs = [("due", Json::from(due.to_string()))];
        note(&now, "overdue", "escalated", Reason::of_fact(why, &inputs));
    }
}

/// Whether a playbook's cause is there: any of its triggers, or its condition where it has none.
fn cause(facts: &Facts<'_>, playbook: &Playbook) -> Truth {
    if !playbook.triggers.is_empty() {
        return if trigger(facts, playbook).is_some() { Truth::Yes } else { Truth::No };
    }
    playbook.condition.as_ref().map_or(Truth::No, |when| facts.answer(when))
}

/// The trigger that is there.
fn trigger(facts: &Facts<'_>, playbook: &Playbook) -> Option<Reason> {
    let (status, triggers) = (&facts.customer.status, &playbook.triggers);
    if let Some(state) = &status.stage
        && triggers.stages.contains(&state.name)
    {
        let inputs = [
            ("stage.name", Json::from(state.name.as_str())),
            ("stage.since", Json::from(state.since.to_string())),
        ];
        return Some(Reason::of_fact(format!("in the stage {}", state.name), &inputs));
    }
    if let Some(risk) = &status.risk
        && triggers.bands.contains(&risk.band)
    {
        let inputs = [("risk.band", Json::from(risk.band.as_str()))];
        return Some(Reason::of_fact(format!("the churn risk is {}", risk.band), &inputs));
    }
    let mut findings = status.findings.iter();
    if let Some(finding) = findings.find(|it| triggers.standards.contains(&it.standard)) {
        let inputs = [("opened_at", Json::from(finding.opened_at.to_string()))];
        let why = format!("the standard {} is breached", finding.standard);
        return Some(Reason::of_fact(why, &inputs));
    }
    let point = triggers.checkpoints.iter().find(|name| status.reached.contains_key(*name))?;
    Some(Reason::of_fact(format!("the checkpoint {point} was reached"), &[]))
}

/// Why a playbook's steps may run now, where they may.
fn starts(facts: &Facts<'_>, playbook: &Playbook) -> Option<Vec<Reason>> {
    let mut why = Vec::new();
    if !playbook.triggers.is_empty() {
        why.push(trigger(facts, playbook)?);
    }
    if let Some(when) = &playbook.condition {
        if facts.answer(when) != Truth::Yes {
            return None;
        }
        why.extend(reasons(facts, when));
    }
    (!why.is_empty()).then_some(why)
}

fn run_key(facts: &Facts<'_>, playbook: &Playbook) -> String {
    let visit = facts.customer.status.stage.as_ref().map_or(0, |stage| stage.visit);
    playbook.once_per.key(visit, facts.as_of, &facts.lifecycle.calendar)
}

/// The run in which a step may run now; `None` where it has run.
fn run(facts: &Facts<'_>, playbook: &Playbook, step: &Step) -> Option<String> {
    let key = run_key(facts, playbook);
    let over = facts.customer.status.tasks.over(&playbook.name, &step.name);
    let has_run = over.is_some_and(|over| match playbook.once_per {
        Cadence::Every(period) => facts.lifecycle.calendar.after(over.at, period) > facts.as_of,
        Cadence::Visit | Cadence::Month | Cadence::Quarter => over.run == key,
    });
    (!has_run).then_some(key)
}

/// Whether no message of a purpose was asked for within its window.
fn is_free(facts: &Facts<'_>, purpose: &str, window: Option<crate::period::Period>) -> bool {
    let last = facts.customer.status.tasks.messages.get(purpose);
    let last = last.and_then(|at| Timestamp::from_second(*at).ok());
    match (last, window) {
        (Some(last), Some(window)) => facts.lifecycle.calendar.after(last, window) <= facts.as_of,
        _ => true,
    }
}

fn title(facts: &Facts<'_>, rule: &TaskRule) -> String {
    rule.title.render(facts, Channel::Plain).chars().take(MAX_TITLE_CHARS).collect()
}

/// A fingerprint of what the file says of a task: with another one it is written anew.
pub(super) fn made_of(rule: &TaskRule) -> u32 {
    let mut text = String::new();
    let due = rule.due.map_or_else(String::new, |due| due.to_string());
    let _ = write!(
        text,
        "{}\0{}\0{due}\0{}\0{:?}\0{}",
        rule.title.source(),
        rule.owner,
        rule.priority.as_str(),
        rule.effort_minutes,
        rule.checklist.join("\u{1}"),
    );
    let digest = Sha256::digest(text.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}
