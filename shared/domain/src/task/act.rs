//! What people do with tasks. Doing the same again changes nothing.

use jiff::Timestamp;

use super::decide::{entry, made_of};
use super::{After, Ended, Over, Task, TaskChange, rule, step_of};
use crate::by_hand::Refused;
use crate::facts::Facts;
use crate::journal::{Author, Change, Reason};
use crate::lifecycle::diagnostic::nearest;
use crate::template::Channel;

/// The longest owner, in characters.
const MAX_OWNER: usize = 200;

/// What a person does with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// It is done.
    Done,
    /// Nobody wants to hear of it until then.
    Snooze(Timestamp),
    /// Somebody else does it: a trait, a team or an address.
    Reassign(String),
    /// It was not done after all.
    Reopen,
    /// An item of its checklist is done: its text, or its number from 1.
    Check(String),
}

/// Acts on a customer's task, named as in `rescue.call`. Nothing changes where it is so already.
///
/// # Errors
/// When there is no such task, it is not in the state for it, or what is said of it cannot be.
pub fn act(facts: &Facts<'_>, id: &str, act: &Act, by: &Author) -> Result<Vec<Change>, Refused> {
    let tasks = &facts.customer.status.tasks;
    let no_task = || {
        let open = tasks.open.iter().map(Task::id);
        let over = tasks.over.iter().map(|over| format!("{}.{}", over.playbook, over.step));
        let known: Vec<String> = open.chain(over).collect();
        let help = match nearest(id, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "the customer has none".to_owned(),
            None => format!("there are {}", known.join(", ")),
        };
        Refused::NoTask { task: id.chars().take(130).collect(), help }
    };
    let (playbook, step) = id.split_once('.').ok_or_else(no_task)?;
    let change = match (tasks.of(playbook, step), tasks.over(playbook, step)) {
        (Some(task), _) => on_open(facts, task, act, by)?,
        (None, Some(over)) => on_closed(facts, over, act, by)?,
        (None, None) => return Err(no_task()),
    };
    Ok(change.into_iter().collect())
}

fn on_open(
    facts: &Facts<'_>,
    task: &Task,
    act: &Act,
    by: &Author,
) -> Result<Option<Change>, Refused> {
    let mut after = task.clone();
    let mut told = None;
    let (after, to, until) = match act {
        Act::Done => (After::Over(Ended::Done), "done", None),
        Act::Reopen => return Ok(None),
        Act::Snooze(until) => {
            if *until <= facts.as_of {
                return Err(Refused::SnoozePast);
            }
            if task.snoozed_until == Some(*until) {
                return Ok(None);
            }
            after.snoozed_until = Some(*until);
            // It is late again only after it was put off.
            after.overdue_since = None;
            (After::Open(Box::new(after)), "snoozed", Some(*until))
        }
        Act::Reassign(to) => {
            let to = to.trim();
            let is_good = !to.is_empty()
                && to.chars().count() <= MAX_OWNER
                && !to.chars().any(char::is_control);
            if !is_good {
                return Err(Refused::NoOwner);
            }
            if task.owner == to {
                return Ok(None);
            }
            after.owner = to.to_owned();
            after.is_reassigned = true;
            told = Some(format!("given to {to}"));
            (After::Open(Box::new(after)), "reassigned", None)
        }
        Act::Check(item) => {
            let step = step_of(facts, &rule(&task.playbook, &task.step));
            let items = step.and_then(|step| step.task()).map(|rule| &rule.checklist);
            let items = items.map_or(&[][..], Vec::as_slice);
            let number = item.trim().parse::<usize>().ok();
            let by_number = number.and_then(|number| items.get(number.checked_sub(1)?));
            let found = items.iter().find(|known| known.trim() == item.trim()).or(by_number);
            let Some(found) = found else {
                let help = match items {
                    [] => "the task has no checklist".to_owned(),
                    items => format!("there are {}", items.join("; ")),
                };
                return Err(Refused::NoItem { help });
            };
            if task.checked.contains(found) {
                return Ok(None);
            }
            after.checked.push(found.clone());
            told = Some(format!("checked: {found}"));
            (After::Open(Box::new(after)), "checked", None)
        }
    };
    let mut change = by_person(task, Some("open"), (after, to, until), by);
    change.reasons.extend(told.map(|text| Reason::of_fact(text, &[])));
    Ok(Some(change))
}

fn on_closed(
    facts: &Facts<'_>,
    over: &Over,
    act: &Act,
    by: &Author,
) -> Result<Option<Change>, Refused> {
    let was = over.how.as_str();
    match (act, over.how) {
        (Act::Done, Ended::Done) => Ok(None),
        (Act::Reopen, Ended::Done | Ended::Cleared | Ended::Refused) => {
            let id = format!("{}.{}", over.playbook, over.step);
            let gone = || Refused::TaskClosed { task: id, how: "no longer declared" };
            let step = step_of(facts, &rule(&over.playbook, &over.step));
            let rule = step.and_then(|step| step.task()).ok_or_else(gone)?;
            let calendar = &facts.lifecycle.calendar;
            let task = Task {
                playbook: over.playbook.clone(),
                step: over.step.clone(),
                run: over.run.clone(),
                title: rule.title.render(facts, Channel::Plain),
                owner: rule.owner.clone(),
                priority: rule.priority,
                effort_minutes: rule.effort_minutes,
                opened_at: facts.as_of,
                due: rule.due.map(|due| calendar.after(facts.as_of, due)),
                snoozed_until: None,
                overdue_since: None,
                escalated: 0,
                is_reassigned: false,
                is_by_hand: true,
                checked: Vec::new(),
                made_of: made_of(rule),
            };
            let after = After::Open(Box::new(task.clone()));
            Ok(Some(by_person(&task, Some(was), (after, "reopened", None), by)))
        }
        _ => {
            Err(Refused::TaskClosed { task: format!("{}.{}", over.playbook, over.step), how: was })
        }
    }
}

fn by_person(
    task: &Task,
    from: Option<&str>,
    (after, to, until): (After, &str, Option<Timestamp>),
    by: &Author,
) -> Change {
    let change = TaskChange {
        playbook: task.playbook.clone(),
        step: task.step.clone(),
        run: task.run.clone(),
        after,
        by: Some(by.clone()),
        until,
    };
    entry(change, from, to, Vec::new())
}
