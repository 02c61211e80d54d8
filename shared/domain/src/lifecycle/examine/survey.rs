//! What a company's own customers answer to a file: stages that claim the same ones, and criteria
//! that cannot be told of anybody, or that nobody meets.

use std::collections::BTreeMap;

use super::{Examiner, rivals};
use crate::expr::Truth;
use crate::facts::Facts;
use crate::journal::value_json;
use crate::lifecycle::file::File;
use crate::lifecycle::{Diagnostic, Lifecycle, Severity};
use crate::yaml;

/// So many customers are named.
const NAMED: usize = 3;

/// The answers of many customers.
#[derive(Debug, Default)]
pub struct Survey {
    customers: u64,
    /// By the index of the stage.
    stages: BTreeMap<usize, Answers>,
    /// Customers who meet two stages of one priority, by the stages' indices.
    both: BTreeMap<(usize, usize), Met>,
    rivals: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Answers {
    yes: u64,
    unknown: u64,
    /// What was missing where it could not be told.
    missing: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Met {
    count: u64,
    some: Vec<String>,
}

impl Survey {
    /// Nobody was asked yet.
    #[must_use]
    pub fn new(source: &str, lifecycle: &Lifecycle) -> Survey {
        let file = yaml::read::<File>(source).value;
        let rivals = file.map(|file| rivals(&file, lifecycle)).unwrap_or_default();
        Survey { rivals, ..Survey::default() }
    }

    /// Asks a customer, by its id, for every stage's criteria.
    pub fn look_at(&mut self, id: &str, facts: &Facts<'_>) {
        self.customers += 1;
        let mut meets = Vec::new();
        for (index, stage) in facts.rules().stages.iter().enumerate() {
            let Some(enter) = &stage.enter else { continue };
            let answers = self.stages.entry(index).or_default();
            match facts.answer(&enter.when) {
                Truth::No => {}
                Truth::Yes => {
                    answers.yes += 1;
                    meets.push(index);
                }
                Truth::Unknown => {
                    answers.unknown += 1;
                    for (name, value) in
                        enter.when.leaves(facts).iter().flat_map(|leaf| &leaf.inputs)
                    {
                        if value_json(*value).is_null() {
                            *answers.missing.entry((*name).to_owned()).or_default() += 1;
                        }
                    }
                }
            }
        }
        for pair in &self.rivals {
            if meets.contains(&pair.0) && meets.contains(&pair.1) {
                let met = self.both.entry(*pair).or_default();
                met.count += 1;
                if met.some.len() < NAMED {
                    met.some.push(id.to_owned());
                }
            }
        }
    }

    /// What their answers say about the file, in its order.
    #[must_use]
    pub fn found(&self, source: &str, lifecycle: &Lifecycle) -> Vec<Diagnostic> {
        let Some(file) = yaml::read::<File>(source).value else { return Vec::new() };
        let mut examiner = Examiner { source, lifecycle, file: &file, found: Vec::new() };
        let all = self.customers;
        for (index, answers) in &self.stages {
            let (name, stage) = &file.stages.0[*index];
            let Some(enter) = &stage.enter else { continue };
            if all > 0 && answers.unknown == all {
                let message = format!(
                    "of none of {all} customers can it be told whether `{}` holds",
                    name.value
                );
                let most = answers.missing.iter().max_by_key(|(_, count)| **count);
                let diagnostic = examiner.say(
                    Severity::Warning,
                    "unknown_in_data",
                    enter.when.location(),
                    message,
                );
                diagnostic.help = most.map(|(name, count)| {
                    format!("`{name}` is missing for {count} of them: is it sent, by this name?")
                });
            } else if all > 0 && answers.yes == 0 {
                let message = format!(
                    "none of {all} customers meets the condition of the stage `{}`",
                    name.value
                );
                examiner.say(Severity::Note, "never_in_data", enter.when.location(), message);
            }
        }
        for ((index, other), met) in &self.both {
            let (name, other) = (&file.stages.0[*index].0, &file.stages.0[*other].0);
            let message = format!(
                "{} of {all} customers meet both `{}` and `{}`, which have the same priority",
                met.count, other.value, name.value
            );
            examiner.say(Severity::Warning, "tie_in_data", name.referenced, message).help =
                Some(format!(
                    "{}: the first in the file wins; give them different priorities",
                    met.some.join(", ")
                ));
        }
        examiner.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        examiner.found
    }
}
