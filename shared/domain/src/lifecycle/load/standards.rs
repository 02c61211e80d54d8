//! Standards: what the company promised itself.

use super::{Known, Loader, text};
use crate::lifecycle::file::{self, File, Word};
use crate::lifecycle::{Promise, RespondWord, Stage, Standard, Trait};
use crate::measure::{Counting, Measures, Need};
use crate::yaml::Location;

/// For so many days back occurrences are told apart: so long may no run look at a customer without
/// missing when a promise was kept.
const KEEP_DAYS: u32 = 5;
/// The most steps of a sequence, and the most events of an answer.
const MAX_EVENTS: usize = 20;

/// What the promises of standards may name.
struct Names<'a> {
    stages: &'a [Stage],
    traits: &'a [Trait],
}

impl Loader<'_> {
    pub(super) fn standards(
        &mut self,
        file: &File,
        stages: &[Stage],
        traits: &[Trait],
        measures: &mut Measures,
    ) -> Vec<Standard> {
        self.names_fit(&file.standards, "standards");
        let names = Names { stages, traits };
        let mut standards = Vec::new();
        for (name, written) in &file.standards.0 {
            let location = written.referenced;
            let written = &written.value;
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
            let grace = written.grace.as_ref().map(|word| self.period(word));
            let reopen_within = written.reopen_within.as_ref().map(|word| self.period(word));
            let Some(promise) = self.promise(file, written, &location, &names, measures) else {
                continue;
            };
            standards.push(Standard {
                name: name.value.clone(),
                promise,
                only_if,
                severity: written.severity.value,
                owner,
                grace: grace.flatten(),
                reopen_within: reopen_within.flatten(),
            });
        }
        standards
    }

    fn promise(
        &mut self,
        file: &File,
        written: &file::Standard,
        location: &Location,
        names: &Names<'_>,
        measures: &mut Measures,
    ) -> Option<Promise> {
        let given = [
            written.deadline.is_some(),
            written.silence.is_some(),
            written.required.is_some(),
            written.respond.is_some(),
            written.stage_overdue.is_some(),
            written.sequence.is_some(),
            written.holds.is_some(),
            written.task_overdue.is_some(),
        ];
        match given.iter().filter(|given| **given).count() {
            1 => {}
            _ => {
                let words = "deadline, silence, required, respond, stage_overdue, task_overdue, \
                             sequence, holds";
                self.error(location, format!("a standard has exactly one of {words}"));
                return None;
            }
        }
        if let (Some(word), None) = (&written.hold, &written.holds) {
            self.error(&word.referenced, "`for` has no meaning without `holds`").help =
                Some("use `grace` to forgive a breach for a while".into());
        }
        if let Some(deadline) = &written.deadline {
            return self.deadline(&deadline.value, location, names, measures);
        }
        if let Some(silence) = &written.silence {
            let silence = &silence.value;
            if silence.events.is_empty() {
                self.error(location, "`silence` needs at least one event");
                return None;
            }
            let need = Need { keep_days: Some(2), window: None };
            let mut tally =
                |event: &Word| measures.add(Counting::Count, Some(event.value.clone()), None, need);
            return Some(Promise::Silence {
                measures: silence.events.iter().map(&mut tally).collect(),
                events: silence.events.iter().map(text).collect(),
                limit: self.period(&silence.limit)?,
            });
        }
        if let Some(respond) = &written.respond {
            let file::Respond { to, filter, with, within } = &respond.value;
            if with.is_empty() || with.len() > MAX_EVENTS {
                let message = format!("`with` has from one to {MAX_EVENTS} events");
                self.error(location, message).help =
                    Some("name the events that answer, as `with: [call, email_reply]`".into());
                return None;
            }
            let with: Vec<&Word> = with.iter().collect();
            let asked = (to, filter.as_ref(), with.as_slice(), within);
            return self.respond(asked, RespondWord::Respond, measures);
        }
        if let Some(sequence) = &written.sequence {
            return self.sequence(&sequence.value, location, names, measures);
        }
        if let Some(source) = &written.holds {
            let hold = match &written.hold {
                Some(word) => Some(self.period(word)?),
                None => None,
            };
            return Some(Promise::Holds { condition: self.condition(source)?, hold });
        }
        if let Some(required) = &written.required {
            let traits = names.traits.iter();
            let traits: Vec<String> =
                traits.map(|declared| format!("traits.{}", declared.name)).collect();
            let known = Known { kind: "trait", names: traits.iter().map(String::as_str).collect() };
            let found: Vec<Option<usize>> =
                required.iter().map(|word| self.find(word, &known)).collect();
            return found.into_iter().collect::<Option<Vec<usize>>>().map(Promise::Required);
        }
        if let Some(choice) = &written.task_overdue {
            return self.task_overdue(file, choice);
        }
        self.stage_overdue(written.stage_overdue.as_ref()?, names.stages)
    }

    fn stage(&mut self, word: &Word, stages: &[Stage]) -> Option<usize> {
        let names = stages.iter().map(|stage| stage.name.as_str()).collect();
        self.find(word, &Known { kind: "stage", names })
    }

    fn deadline(
        &mut self,
        deadline: &file::Deadline,
        location: &Location,
        names: &Names<'_>,
        measures: &mut Measures,
    ) -> Option<Promise> {
        let file::Deadline { stage, after, filter, event, within } = deadline;
        match (stage, after) {
            (Some(stage), None) => {
                if let Some(filter) = filter {
                    self.error(&filter.referenced, "`where` has no meaning without `after`").help =
                        Some("a stage is entered or not; `only_if` says for whom it holds".into());
                }
                let need = Need { keep_days: Some(KEEP_DAYS), window: None };
                let measure = measures.add(Counting::Count, Some(event.value.clone()), None, need);
                self.stage(stage, names.stages)?;
                Some(Promise::Deadline {
                    stage: stage.value.clone(),
                    measure,
                    event: event.value.clone(),
                    within: self.period(within)?,
                })
            }
            (None, Some(after)) => {
                let with = [event];
                let asked = (after, filter.as_ref(), with.as_slice(), within);
                self.respond(asked, RespondWord::Deadline, measures)
            }
            _ => {
                self.error(location, "a deadline has exactly one of stage, after").help =
                    Some("`stage` starts the clock with its entry, `after` with an event".into());
                None
            }
        }
    }

    fn respond(
        &mut self,
        (to, filter, with, within): (&Word, Option<&Word>, &[&Word], &Word),
        word: RespondWord,
        measures: &mut Measures,
    ) -> Option<Promise> {
        if let Some(same) = with.iter().find(|event| event.value == to.value) {
            let message = format!("`{}` would answer itself", same.value);
            self.error(&same.referenced, message).help =
                Some("name the event that follows it".into());
            return None;
        }
        let filter = match filter {
            Some(filter) => Some(self.event_filter(filter)?),
            None => None,
        };
        let need = Need { keep_days: Some(KEEP_DAYS), window: None };
        let with: Vec<String> = with.iter().map(|event| event.value.clone()).collect();
        let counting = Counting::Answers(with.clone());
        let measure = measures.add(counting, Some(to.value.clone()), filter, need);
        let within = self.period(within)?;
        Some(Promise::Respond { to: to.value.clone(), measure, with, within, word })
    }

    fn sequence(
        &mut self,
        sequence: &file::Sequence,
        location: &Location,
        names: &Names<'_>,
        measures: &mut Measures,
    ) -> Option<Promise> {
        let file::Sequence { stage, steps } = sequence;
        if !(2..=MAX_EVENTS).contains(&steps.len()) {
            let message = format!("a sequence has from two to {MAX_EVENTS} steps");
            self.error(location, message).help =
                Some("name events in their order, as `steps: [signed, kickoff_call]`".into());
            return None;
        }
        let twice =
            (1..steps.len()).find(|at| steps[..*at].iter().any(|s| s.value == steps[*at].value));
        if let Some(at) = twice {
            let message = format!("`{}` is a step of this sequence already", steps[at].value);
            self.error(&steps[at].referenced, message);
            return None;
        }
        if let Some(stage) = stage {
            self.stage(stage, names.stages)?;
        }
        let need = Need { keep_days: Some(2), window: None };
        let tally = |step: &Word| {
            let event = step.value.clone();
            (event.clone(), measures.add(Counting::Count, Some(event), None, need))
        };
        let steps = steps.iter().map(tally).collect();
        Some(Promise::Sequence { stage: stage.as_ref().map(text), steps })
    }

    fn stage_overdue(&mut self, choice: &file::StageChoice, stages: &[Stage]) -> Option<Promise> {
        let stages = match choice {
            file::StageChoice::Any => stages
                .iter()
                .filter(|stage| stage.stuck.or(stage.target).is_some())
                .map(|stage| stage.name.clone())
                .collect(),
            file::StageChoice::Listed(list) => {
                for word in list {
                    let found = self.stage(word, stages)?;
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
