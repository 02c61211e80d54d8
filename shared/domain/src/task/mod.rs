//! Tasks: what playbooks ask people to do about a customer.
//!
//! Which tasks there should be is decided from where the customer is, never from what happened to
//! bring it there: so deciding again repeats nothing, and the order in which events came makes no
//! difference. A step of a playbook has one open task of a customer at most; it is closed when its
//! cause is over, and what was done is remembered for as long as the visit or the period lasts.
//!
//! Every change is one entry of the journal. Titles may hold personal data: they are kept with the
//! customer, and never in the journal.

mod act;
mod decide;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::customer::Status;
use crate::expr::Value;
use crate::facts::Facts;
use crate::journal::{Author, ChangeKind, JournalEntry};
use crate::lifecycle::{Action, Cadence, Lifecycle, Priority, Step, TaskRule};
use crate::period::Calendar;

pub use act::{Act, act};
pub use decide::{decide, following};

/// The most tasks that are open for one customer.
pub const MAX_OPEN: usize = 50;

/// What is kept of a customer's tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tasks {
    /// Those that are open, the oldest first.
    pub open: Vec<Task>,
    /// What ran and is over, until its visit or period ends.
    pub over: Vec<Over>,
    /// When a message of each purpose was last asked for, in seconds since the epoch.
    pub messages: BTreeMap<String, i64>,
}

/// A task that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The playbook that opened it.
    pub playbook: String,
    /// Its step.
    pub step: String,
    /// The run of the playbook: the visit or the period.
    pub run: String,
    /// What is to be done.
    pub title: String,
    /// Who does it, as the lifecycle file or who reassigned it has it.
    pub owner: String,
    /// How urgent it is.
    pub priority: Priority,
    /// About how long it takes, in minutes.
    pub effort_minutes: Option<u32>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// By when it is to be done.
    pub due: Option<Timestamp>,
    /// Until when nobody wants to hear of it.
    pub snoozed_until: Option<Timestamp>,
    /// Since when it is overdue, once that was told.
    pub overdue_since: Option<Timestamp>,
    /// How many steps of its escalation were taken.
    pub escalated: u32,
    /// The owner is one that the file did not choose.
    pub is_reassigned: bool,
    /// A person opened it again: it stays until a person closes it.
    pub is_by_hand: bool,
    /// Items of the checklist that are done.
    pub checked: Vec<String>,
    /// What of the file made it what it is.
    pub made_of: u32,
}

/// A step that ran, and whose task, if it had one, is no longer open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// The playbook.
    pub playbook: String,
    /// Its step.
    pub step: String,
    /// The run: the visit or the period.
    pub run: String,
    /// When it ran, or its task was closed.
    pub at: Timestamp,
    /// How it ended.
    pub how: Ended,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The task was done.
    Done,
    /// Its cause was over.
    Cleared,
    /// There were too many open tasks to open another.
    Refused,
    /// It opened none.
    Ran,
}

impl Ended {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Done => "done",
            Ended::Cleared => "closed",
            Ended::Refused => "refused",
            Ended::Ran => "ran",
        }
    }
}

/// A change of one step's task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskChange {
    /// The playbook.
    pub playbook: String,
    /// Its step.
    pub step: String,
    /// The run.
    pub run: String,
    /// The task as it then is.
    pub after: After,
    /// Who decided, where it was a person.
    pub by: Option<Author>,
    /// For a task that was snoozed: until when.
    pub until: Option<Timestamp>,
}

/// What a change leaves of a step's task.
#[derive(Debug, Clone, PartialEq)]
pub enum After {
    /// It is open, and like this.
    Open(Box<Task>),
    /// It is not.
    Over(Ended),
    /// A message of this purpose was asked for.
    Message(String),
}

/// Where a task stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// To be done.
    Open,
    /// To be done, and late.
    Overdue,
    /// Put off.
    Snoozed,
}

impl State {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Overdue => "overdue",
            State::Snoozed => "snoozed",
        }
    }
}

impl Task {
    /// How people name it, within its customer: `rescue.call`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.playbook, self.step)
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        if self.snoozed_until.is_some_and(|until| now < until) {
            State::Snoozed
        } else if self.runs_out().is_some_and(|due| due < now) {
            State::Overdue
        } else {
            State::Open
        }
    }

    /// From when on it is overdue: its due time, or the end of a snooze beyond it.
    #[must_use]
    pub fn runs_out(&self) -> Option<Timestamp> {
        let due = self.due?;
        Some(self.snoozed_until.map_or(due, |until| until.max(due)))
    }

    /// The items of a checklist, and whether each is done.
    #[must_use]
    pub fn checklist<'a>(&'a self, rule: Option<&'a TaskRule>) -> Vec<(&'a str, bool)> {
        let items = rule.map_or(&[][..], |rule| &rule.checklist).iter();
        items.map(|item| (item.as_str(), self.checked.contains(item))).collect()
    }

    fn is_of(&self, playbook: &str, step: &str) -> bool {
        self.playbook == playbook && self.step == step
    }
}

impl Tasks {
    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.over.is_empty() && self.messages.is_empty()
    }

    /// The open task of a step.
    #[must_use]
    pub fn of(&self, playbook: &str, step: &str) -> Option<&Task> {
        self.open.iter().find(|task| task.is_of(playbook, step))
    }

    /// What last became of a step whose task is not open.
    #[must_use]
    pub fn over(&self, playbook: &str, step: &str) -> Option<&Over> {
        let mut over = self.over.iter().rev();
        over.find(|over| over.playbook == playbook && over.step == step)
    }

    /// Makes a change true.
    pub(crate) fn apply(&mut self, change: &TaskChange, at: Timestamp) {
        let TaskChange { playbook, step, run, after, .. } = change;
        let is_of = |task: &Task| task.is_of(playbook, step);
        let how = match after {
            After::Open(task) => {
                match self.open.iter_mut().find(|task| is_of(task)) {
                    Some(open) => open.clone_from(task),
                    None => self.open.push(Task::clone(task)),
                }
                self.over.retain(|over| {
                    over.playbook != *playbook || over.step != *step || over.run != *run
                });
                return;
            }
            After::Over(how) => *how,
            After::Message(purpose) => {
                self.messages.insert(purpose.clone(), at.as_second());
                Ended::Ran
            }
        };
        self.open.retain(|task| !is_of(task));
        // An older run of the step is over and done with: one key is enough.
        self.over.retain(|over| over.playbook != *playbook || over.step != *step);
        let (playbook, step, run) = (playbook.clone(), step.clone(), run.clone());
        self.over.push(Over { playbook, step, run, at, how });
    }

    /// Forgets what ran in visits before this one.
    pub(crate) fn enter(&mut self, visit: u32) {
        let present = Cadence::Visit.key(visit, Timestamp::UNIX_EPOCH, &Calendar::utc());
        self.over.retain(|over| !over.run.starts_with("visit ") || over.run == present);
    }
}

/// A step with its playbook's name, as `playbooks.rescue.call`: the rule of a task's entries.
#[must_use]
pub fn rule(playbook: &str, step: &str) -> String {
    format!("playbooks.{playbook}.{step}")
}

/// The playbook and the step of a rule.
#[must_use]
pub fn of_rule(rule: &str) -> Option<(&str, &str)> {
    rule.strip_prefix("playbooks.")?.split_once('.')
}

/// The step of a rule, as it holds for the customer.
#[must_use]
pub fn step_of<'a>(facts: &Facts<'a>, rule: &str) -> Option<&'a Step> {
    let (playbook, step) = of_rule(rule)?;
    facts.rules().playbook(playbook)?.step(step)
}

/// Which step ran, or was asked for, by an entry: its playbook, its step and the run.
fn ran(entry: &JournalEntry) -> Option<(&str, &str, &str)> {
    let (playbook, step) = of_rule(&entry.rule)?;
    let inputs = entry.reasons.iter().find_map(|reason| reason.inputs.get(decide::RUN));
    Some((playbook, step, inputs?.as_str()?))
}

/// Notes that a step ran, as its entry of the journal tells. What a task was like no entry tells; that
/// it was asked for is enough not to ask again.
pub(crate) fn note(tasks: &mut Tasks, entry: &JournalEntry) {
    let Some((playbook, step, run)) = ran(entry) else { return };
    tasks.over.retain(|over| over.playbook != playbook || over.step != step);
    tasks.over.push(Over {
        playbook: playbook.to_owned(),
        step: step.to_owned(),
        run: run.to_owned(),
        at: entry.at,
        how: Ended::Ran,
    });
    if let (ChangeKind::Message, Some(purpose)) = (entry.kind, &entry.to) {
        tasks.messages.insert(purpose.clone(), entry.at.as_second());
    }
}

/// A task that is open by what the journal says.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenByJournal {
    /// What it is called within its customer: `rescue.call`.
    pub id: String,
    /// What last became of it: `open`, `overdue`, `snoozed` and so on.
    pub state: String,
    /// The entry that opened it, with the cause.
    pub opened: JournalEntry,
}

/// The tasks that are open by a journal, newest first, and why each was opened.
#[must_use]
pub fn open_by_journal(journal: &[JournalEntry]) -> Vec<OpenByJournal> {
    let mut found: Vec<OpenByJournal> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, entry) in journal.iter().enumerate() {
        if entry.kind != ChangeKind::Task || seen.contains(&entry.rule.as_str()) {
            continue;
        }
        seen.push(&entry.rule);
        let state = entry.to.as_deref().unwrap_or_default();
        let opened = journal[index..].iter().find(|it| {
            it.rule == entry.rule && matches!(it.to.as_deref(), Some("open" | "reopened"))
        });
        let is_over = matches!(state, "done" | "closed" | "refused");
        if let (false, Some(opened), Some((playbook, step))) =
            (is_over, opened, of_rule(&entry.rule))
        {
            let id = format!("{playbook}.{step}");
            found.push(OpenByJournal { id, state: state.to_owned(), opened: opened.clone() });
        }
    }
    found.reverse();
    found
}

/// An owner that is a trait is the person the trait names, where it names one.
#[must_use]
pub fn owner_name(owner: &str, facts: &Facts<'_>) -> String {
    let name = owner.strip_prefix("traits.").unwrap_or(owner);
    let index = facts.lifecycle.traits.iter().position(|declared| declared.name == name);
    match index.map(|index| facts.trait_value(index)) {
        Some(Value::Text(person)) if !person.trim().is_empty() => {
            person.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
        }
        _ => owner.to_owned(),
    }
}

/// Instants at which something about open tasks changes by itself: due times, ends of snoozes,
/// escalations, and windows of periods and messages that end.
#[must_use]
pub fn instants(status: &Status, lifecycle: &Lifecycle) -> Vec<Timestamp> {
    let calendar = &lifecycle.calendar;
    let mut found = Vec::new();
    for task in &status.tasks.open {
        found.extend(task.snoozed_until);
        let Some(due) = task.runs_out() else { continue };
        found.push(due);
        let rules = lifecycle.variants.playbooks.iter().filter(|it| it.name == task.playbook);
        let rules = rules.filter_map(|playbook| playbook.step(&task.step)?.task());
        let steps = rules.flat_map(|rule| &rule.escalate);
        found.extend(steps.map(|step| calendar.after(due, step.after)));
    }
    for playbook in lifecycle.variants.playbooks.iter() {
        for step in &playbook.steps {
            let over = status.tasks.over(&playbook.name, &step.name);
            if let (Cadence::Every(period), Some(over)) = (playbook.once_per, over) {
                found.push(calendar.after(over.at, period));
            }
            if let Action::Message { purpose, window: Some(window), .. } = &step.action {
                let last = status.tasks.messages.get(purpose);
                let last = last.and_then(|at| Timestamp::from_second(*at).ok());
                found.extend(last.map(|last| calendar.after(last, *window)));
            }
        }
    }
    found
}

/// The next end of a snooze, which a person may set to any second.
#[must_use]
pub fn next_snooze_end(status: &Status, now: Timestamp) -> Option<Timestamp> {
    let ends = status.tasks.open.iter().filter_map(|task| task.snoozed_until);
    ends.filter(|end| *end > now).min()
}
