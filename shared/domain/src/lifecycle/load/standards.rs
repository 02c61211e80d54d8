//! Standards: what the company promised itself.

use super::{Known, Loader, text};
use crate::lifecycle::file::{self, File, Word};
use crate::lifecycle::{Promise, Stage, Standard, Trait};
use crate::measure::{Counting, Measures, Need};
use crate::yaml::Location;

impl Loader<'_> {
    pub(super) fn standards(
        &mut self,
        file: &File,
        stages: &[Stage],
        traits: &[Trait],
        measures: &mut Measures,
    ) -> Vec<Standard> {
        self.names_fit(&file.standards, "standards");
        let mut standards = Vec::new();
        for (name, written) in &file.standards.0 {
            let location = written.referenced;
            let written = &written.value;
            for (later, word) in [
                (&written.respond, "respond"),
                (&written.sequence, "sequence"),
                (&written.grace, "grace"),
            ] {
                self.refuse(later, word);
            }
            let only_if = match &written.only_if {
                None => None,
                Some(source) => match self.condition(source) {
                    Some(condition) => Some(condition),
                    None => continue,
                },
            };
            let Some(owner) = written.owner.as_ref().map(|word| self.owner(word)) else {
                let message = format!("the standard `{}` has no owner", name.value);
                self.error(&name.referenced, message).help =
                    Some("add `owner:` with a trait, a team or an address".into());
                continue;
            };
            if !self.is_whole("standards", name) {
                continue;
            }
            let Some(promise) = self.promise(file, written, &location, stages, traits, measures)
            else {
                continue;
            };
            let severity = written.severity.value;
            standards.push(Standard {
                name: name.value.clone(),
                promise,
                only_if,
                severity,
                owner,
            });
        }
        standards
    }

    fn promise(
        &mut self,
        file: &File,
        written: &file::Standard,
        location: &Location,
        stages: &[Stage],
        traits: &[Trait],
        measures: &mut Measures,
    ) -> Option<Promise> {
        let given = [
            written.deadline.is_some(),
            written.silence.is_some(),
            written.required.is_some(),
            written.stage_overdue.is_some(),
            written.task_overdue.is_some(),
        ];
        let later = written.respond.is_some() || written.sequence.is_some();
        match given.iter().filter(|given| **given).count() {
            1 if !later => {}
            0 if later => return None,
            _ => {
                let words =
                    "deadline, silence, required, respond, stage_overdue, task_overdue, sequence";
                self.error(location, format!("a standard has exactly one of {words}"));
                return None;
            }
        }
        let known = Known {
            kind: "stage",
            names: stages.iter().map(|stage| stage.name.as_str()).collect(),
        };
        let need = Need { keep_days: Some(2), window: None };
        let mut tally =
            |event: &Word| measures.add(Counting::Count, Some(event.value.clone()), None, need);
        if let Some(deadline) = &written.deadline {
            let deadline = &deadline.value;
            let measure = tally(&deadline.event);
            self.find(&deadline.stage, &known)?;
            return Some(Promise::Deadline {
                stage: deadline.stage.value.clone(),
                measure,
                event: deadline.event.value.clone(),
                within: self.period(&deadline.within)?,
            });
        }
        if let Some(silence) = &written.silence {
            let silence = &silence.value;
            if silence.events.is_empty() {
                self.error(location, "`silence` needs at least one event");
                return None;
            }
            return Some(Promise::Silence {
                measures: silence.events.iter().map(&mut tally).collect(),
                events: silence.events.iter().map(text).collect(),
                limit: self.period(&silence.limit)?,
            });
        }
        if let Some(required) = &written.required {
            let names: Vec<String> =
                traits.iter().map(|declared| format!("traits.{}", declared.name)).collect();
            let known = Known { kind: "trait", names: names.iter().map(String::as_str).collect() };
            let found: Vec<Option<usize>> =
                required.iter().map(|word| self.find(word, &known)).collect();
            return found.into_iter().collect::<Option<Vec<usize>>>().map(Promise::Required);
        }
        if let Some(choice) = &written.task_overdue {
            return self.task_overdue(file, choice);
        }
        let stages = match written.stage_overdue.as_ref()? {
            file::StageChoice::Any => stages
                .iter()
                .filter(|stage| stage.stuck.or(stage.target).is_some())
                .map(|stage| stage.name.clone())
                .collect(),
            file::StageChoice::Listed(list) => {
                for word in list {
                    let found = self.find(word, &known)?;
                    if stages[found].stuck.or(stages[found].target).is_none() {
                        let message = format!("the stage `{}` has no target", word.value);
                        self.error(&word.referenced, message).help =
                            Some("give the stage `target:` or `stuck:`".into());
                    }
                }
                list.iter().map(text).collect()
            }
        };
        Some(Promise::StageOverdue(stages))
    }

    fn task_overdue(&mut self, file: &File, choice: &file::StageChoice) -> Option<Promise> {
        let names: Vec<&str> =
            file.playbooks.0.iter().map(|(name, _)| name.value.as_str()).collect();
        let chosen = match choice {
            file::StageChoice::Any => names.iter().map(|name| (*name).to_owned()).collect(),
            file::StageChoice::Listed(list) => {
                let known = Known { kind: "playbook", names };
                for word in list {
                    self.find(word, &known)?;
                }
                list.iter().map(text).collect()
            }
        };
        Some(Promise::TaskOverdue(chosen))
    }
}
