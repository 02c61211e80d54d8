//! Playbooks: what is done, when, and by whom.

use std::collections::BTreeSet;

use super::risk::risk_bands;
use super::{Known, Loader, text};
use crate::expr;
use crate::lifecycle::file::{self, Entries, File, OneOrMany, Word};
use crate::lifecycle::{
    Action, Cadence, Escalation, Playbook, Receiver, Stage, Standard, Step, TaskRule, Triggers,
};
use crate::template::Template;

/// The most steps of one playbook: with every objective of a plan a step of its own.
const MAX_STEPS: usize = 30;
/// The most items of a checklist.
const MAX_CHECKLIST: usize = 30;
/// The longest item of a checklist, in characters.
const MAX_ITEM_CHARS: usize = 200;
/// The longest effort, in minutes: four working weeks.
const MAX_EFFORT: u32 = 9_600;

impl Loader<'_> {
    pub(super) fn playbooks(
        &mut self,
        file: &File,
        stages: &[Stage],
        standards: &[Standard],
    ) -> Vec<Playbook> {
        self.names_fit(&file.playbooks, "playbooks");
        let mut playbooks = Vec::new();
        for (name, written) in &file.playbooks.0 {
            let written = &written.value;
            let triggers = self.triggers(name, written, file, (stages, standards));
            let condition = written.condition.as_ref().and_then(|source| self.condition(source));
            let is_broken = !self.is_whole("playbooks", name);
            if triggers.is_empty() && written.condition.is_none() && !is_broken {
                let message = format!("nothing starts the playbook `{}`", name.value);
                self.error(&name.referenced, message).help =
                    Some("name it in the `on_enter` of a stage, or give it `on:` or `if:`".into());
            }
            let once_per = written.once_per.as_ref().and_then(|word| self.cadence(word));
            let steps = self.steps(name, written);
            if is_broken || written.condition.is_some() != condition.is_some() {
                continue;
            }
            playbooks.push(Playbook {
                name: name.value.clone(),
                once_per: once_per.unwrap_or(Cadence::Visit),
                triggers,
                condition,
                steps,
            });
        }
        playbooks
    }

    fn triggers(
        &mut self,
        name: &Word,
        written: &file::Playbook,
        file: &File,
        (stages, standards): (&[Stage], &[Standard]),
    ) -> Triggers {
        let entering = stages.iter().filter(|stage| stage.on_enter.contains(&name.value));
        let mut triggers = Triggers {
            stages: entering.map(|stage| stage.name.clone()).collect(),
            ..Triggers::default()
        };
        let Some(on) = &written.on else { return triggers };
        let bands = file.risk.as_ref().map(risk_bands).unwrap_or_default();
        triggers.bands = self.all_of(on.risk_band.as_ref(), "band", bands);
        let names = standards.iter().map(|standard| standard.name.as_str()).collect();
        triggers.standards = self.all_of(on.finding.as_ref(), "standard", names);
        let points = stages.iter().flat_map(|stage| stage.checkpoints.iter());
        let names = points.map(|point| point.name.as_str()).collect();
        triggers.checkpoints = self.all_of(on.checkpoint.as_ref(), "checkpoint", names);
        triggers
    }

    fn all_of(
        &mut self,
        written: Option<&OneOrMany>,
        kind: &'static str,
        names: Vec<&str>,
    ) -> Vec<String> {
        let Some(OneOrMany(words)) = written else { return Vec::new() };
        let known = Known { kind, names };
        for word in words {
            self.find(word, &known);
        }
        words.iter().map(text).collect()
    }

    fn cadence(&mut self, word: &Word) -> Option<Cadence> {
        match word.value.trim() {
            "stage visit" => Some(Cadence::Visit),
            "month" => Some(Cadence::Month),
            "quarter" => Some(Cadence::Quarter),
            other if other.starts_with(|c: char| c.is_ascii_digit()) => {
                let period = self.period(word)?;
                if period == crate::period::Period::Elapsed(0)
                    || period == crate::period::Period::Workdays(0)
                {
                    self.error(&word.referenced, "once in no time is no limit").help =
                        Some("write a period as `90d`".into());
                    return None;
                }
                Some(Cadence::Every(period))
            }
            other => {
                let message = format!("`{other}` says nothing of how often");
                self.error(&word.referenced, message).help =
                    Some("write `stage visit`, `month`, `quarter`, or a period as `90d`".into());
                None
            }
        }
    }

    fn steps(&mut self, playbook: &Word, written: &file::Playbook) -> Vec<Step> {
        let mut steps = Vec::new();
        if written.steps.is_empty() && self.is_whole("playbooks", playbook) {
            let message = format!("the playbook `{}` does nothing", playbook.value);
            self.error(&playbook.referenced, message).help =
                Some("list under `do:` what is to be done".into());
        }
        for (index, step) in written.steps.iter().enumerate() {
            let place = &step.referenced;
            let step = &step.value;
            if let Some(name) = &step.name {
                self.is_name(name);
            }
            let name = step.name.as_ref().map_or_else(|| format!("step_{}", index + 1), text);
            let condition = match &step.condition {
                None => None,
                Some(source) => match self.condition(source) {
                    Some(condition) => Some(condition),
                    None => continue,
                },
            };
            let given = [
                step.task.is_some(),
                step.notify.is_some(),
                step.message.is_some(),
                step.plan.is_some(),
            ];
            if given.iter().filter(|given| **given).count() != 1 {
                if self.is_whole("playbooks", playbook) {
                    let words = "a step has exactly one of task, notify, message, plan";
                    self.error(place, words);
                }
                continue;
            }
            let add = |name: String, action: Option<Action>| {
                action.map(|action| Step { name, condition: condition.clone(), action })
            };
            if let Some(task) = &step.task {
                let action = self.task(&name, &task.referenced, &task.value);
                steps.extend(add(name, action));
            } else if let Some(notify) = &step.notify {
                let severity = notify.value.severity.value;
                let text = self.template(&notify.value.text);
                let action = text.map(|text| Action::Notify { severity, text });
                steps.extend(add(name, action));
            } else if let Some(message) = &step.message {
                let action = self.message(&message.value);
                steps.extend(add(name, action));
            } else if let Some(plan) = &step.plan {
                for (name, objective) in self.plan(&name, &plan.referenced, &plan.value) {
                    steps.extend(add(name, Some(Action::Task(objective))));
                }
            }
        }
        self.steps_fit(playbook, written, &steps);
        steps
    }

    /// Names of steps are unique, and there are not too many.
    fn steps_fit(&mut self, playbook: &Word, written: &file::Playbook, steps: &[Step]) {
        let mut seen = BTreeSet::new();
        for step in steps {
            if seen.insert(&step.name) {
                continue;
            }
            let mut named = written.steps.iter().filter_map(|known| known.value.name.as_ref());
            let place = named.rfind(|name| name.value == step.name);
            let place = place.unwrap_or(playbook).referenced;
            let message = format!("the playbook has two steps named `{}`", step.name);
            self.error(&place, message).help = Some("give each a `name` of its own".into());
        }
        if steps.len() > MAX_STEPS {
            let message = format!("the playbook has more than {MAX_STEPS} steps");
            self.error(&playbook.referenced, message).help = Some("split it".into());
        }
    }

    fn task(
        &mut self,
        name: &str,
        place: &crate::yaml::Location,
        written: &file::Task,
    ) -> Option<Action> {
        let title = self.template(&written.title);
        let due = written.due.as_ref().and_then(|word| self.period(word));
        let mut escalate = Vec::new();
        for step in &written.escalate {
            let to = self.owner(&step.to);
            let after = self.period(&step.after);
            escalate.extend(after.map(|after| Escalation { after, to }));
        }
        if let (Some(first), None) = (written.escalate.first(), &written.due) {
            self.error(&first.after.referenced, "a task without `due` is never overdue").help =
                Some("give the task `due:`, as `2 workdays`".into());
        }
        self.checklist(&written.checklist);
        if let Some(effort) = &written.effort
            && !(1..=MAX_EFFORT).contains(&effort.value)
        {
            let message = format!("an effort is 1 to {MAX_EFFORT} minutes");
            self.error(&effort.referenced, message);
        }
        let Some(owner) = written.owner.as_ref().map(|word| self.owner(word)) else {
            self.error(place, format!("the task `{name}` has no owner")).help =
                Some("add `owner:` with a trait, a team or an address".into());
            return None;
        };
        Some(Action::Task(TaskRule {
            title: title?,
            owner,
            due,
            priority: written.priority.as_ref().map(|word| word.value).unwrap_or_default(),
            checklist: written.checklist.iter().map(text).collect(),
            effort_minutes: written.effort.as_ref().map(|effort| effort.value),
            escalate,
            plan: None,
            met_when: None,
        }))
    }

    fn checklist(&mut self, items: &[Word]) {
        if let Some(item) = items.get(MAX_CHECKLIST) {
            let message = format!("a checklist has more than {MAX_CHECKLIST} items");
            self.error(&item.referenced, message);
        }
        let mut seen = BTreeSet::new();
        for item in items {
            let chars = item.value.chars().count();
            if chars == 0 || chars > MAX_ITEM_CHARS || item.value.chars().any(char::is_control) {
                let message = format!(
                    "an item of a checklist is one line of 1 to {MAX_ITEM_CHARS} characters"
                );
                self.error(&item.referenced, message);
            } else if !seen.insert(item.value.as_str()) {
                self.error(&item.referenced, "the checklist has this item twice");
            }
        }
    }

    fn message(&mut self, written: &file::Message) -> Option<Action> {
        let is_good = self.is_name(&written.purpose);
        let window = match &written.window {
            None => None,
            Some(word) => Some(self.period(word)?),
        };
        let template = written.template.value.trim();
        if template.is_empty() || template.len() > 200 || template.chars().any(char::is_control) {
            self.error(&written.template.referenced, "`template` is a name of 1 to 200 characters");
            return None;
        }
        is_good.then(|| Action::Message {
            purpose: text(&written.purpose),
            window,
            template: template.to_owned(),
        })
    }

    /// The objectives of a success plan, each a task with the plan's title.
    fn plan(
        &mut self,
        name: &str,
        place: &crate::yaml::Location,
        written: &file::SuccessPlan,
    ) -> Vec<(String, TaskRule)> {
        if written.objectives.is_empty() {
            self.error(place, "a plan needs at least one objective");
        }
        if written.title.value.trim().is_empty() || written.title.value.chars().count() > 200 {
            self.error(&written.title.referenced, "a plan's title has 1 to 200 characters");
        }
        let mut tasks = Vec::new();
        for (index, objective) in written.objectives.iter().enumerate() {
            let place = objective.referenced;
            let objective = &objective.value;
            let title = self.template(&objective.title);
            let due = self.period(&objective.due);
            let when = self.condition(&objective.when);
            let owner = objective.owner.as_ref().or(written.owner.as_ref());
            let Some(owner) = owner.map(|word| self.owner(word)) else {
                self.error(&place, "nobody owns the objective").help =
                    Some("add `owner:` to it or to its plan: a trait, a team or an address".into());
                continue;
            };
            let (Some(title), Some(due), Some(when)) = (title, due, when) else { continue };
            tasks.push((
                format!("{name}_{}", index + 1),
                TaskRule {
                    title,
                    owner,
                    due: Some(due),
                    priority: Default::default(),
                    checklist: Vec::new(),
                    effort_minutes: None,
                    escalate: Vec::new(),
                    plan: Some(written.title.value.trim().to_owned()),
                    met_when: Some(when),
                },
            ));
        }
        tasks
    }

    fn template(&mut self, word: &Word) -> Option<Template> {
        match Template::parse(&word.value, &self.scope) {
            Ok(template) => Some(template),
            Err(faults) => {
                for fault in faults {
                    let span =
                        expr::in_file(self.source, &word.referenced, &word.value, &fault.span);
                    self.at(span, fault.message).help = fault.help;
                }
                None
            }
        }
    }

    /// The receiver of messages for customers; a file that asks for messages names one, or has a
    /// route for them.
    pub(super) fn messages(&mut self, file: &File, receivers: &[Receiver]) -> Option<String> {
        if let Some(messages) = &file.messages {
            let names = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
            self.find(&messages.to, &Known { kind: "receiver", names });
            let receiver = receivers.iter().find(|receiver| receiver.name == messages.to.value);
            self.takes_messages(receiver, &messages.to);
            return Some(text(&messages.to));
        }
        let routes = file.alerts.iter().flat_map(|alerts| &alerts.routes);
        let is_routed = routes.flat_map(|route| &route.value.matchers.0).any(|(label, values)| {
            label.value == "kind" && values.0.iter().any(|value| value.value == "message")
        });
        if let (Some(message), false) = (first_message(file), is_routed) {
            self.error(&message.purpose.referenced, "nobody takes messages for customers").help =
                Some("name a receiver with `messages: { to: … }`, beside `alerts`".into());
        }
        None
    }
}

fn messages_of(file: &File) -> impl Iterator<Item = &file::Message> {
    let steps = file.playbooks.0.iter().flat_map(|(_, playbook)| &playbook.value.steps);
    steps.filter_map(|step| step.value.message.as_ref().map(|message| &message.value))
}

fn first_message(file: &File) -> Option<&file::Message> {
    messages_of(file).next()
}

/// Names of a section, for a label's values.
pub(super) fn names_of<V>(entries: &Entries<V>) -> Vec<&str> {
    entries.0.iter().map(|(name, _)| name.value.as_str()).collect()
}

/// What messages are for.
pub(super) fn purposes(file: &File) -> Vec<&str> {
    messages_of(file).map(|message| message.purpose.value.as_str()).collect()
}
