//! Tests of a lifecycle file: cases that say what happens to a customer and what should come of it.
//!
//! ```yaml
//! - name: a silent account is called before it leaves
//!   given:
//!     start: 2026-01-05                      # day 0; the Monday is the default
//!     stage: adopting since 90d              # none: a new customer
//!     traits: { plan: team, mrr: 500 }       # told before anything else
//!     events:
//!       - { day: -30 to 0, every: 2, event: login, user: ada }
//!       - { day: 3, event: survey, properties: { kind: nps, score: 4 } }
//!       - { day: 40, traits: { churn_notice: 2026-03-01 } }
//!   expect:
//!     - { day: 21, stage: adopting }
//!     - { day: 24, stage: will_churn, alerts: ["urgent: stage will_churn"] }
//! ```
//!
//! Events happen at noon of their day, in the workspace's time zone. Each night from day 0 on, at
//! 23:59, risk is scored, the stage evaluated and standards judged, by the code that does so in
//! production; an expectation of a day is looked at after that day's night. `findings` are the
//! standards that are breached, `tasks` those that are open (as `playbook.step`), `alerts` what was sent since the expectation before (as
//! `receiver: kind name`; a rise within a band is `receiver: risk rise`), both exactly; `segments`
//! answers to the questions that are asked.
//!
//! What is wrong with the file is said as for a lifecycle file, with its place.

mod file;
mod run;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::lifecycle::{Diagnostic, Lifecycle};

pub use file::Cases;

/// The largest file of cases, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Reads and checks a file of cases against the lifecycle that they test.
///
/// # Errors
/// Everything found wrong, each with its line and column.
pub fn read(source: &str, lifecycle: &Lifecycle) -> Result<Cases, Vec<Diagnostic>> {
    file::read(source, lifecycle)
}

/// Runs every case.
#[must_use]
pub fn run(cases: &Cases, lifecycle: &Lifecycle) -> Outcome {
    run::run(cases, lifecycle)
}

/// What came of a file of cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The cases, in the order of the file.
    pub cases: Vec<CaseOutcome>,
    /// Which rules any case made true.
    pub coverage: Coverage,
}

impl Outcome {
    /// How many cases did not go as expected.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.failures.is_empty()).count()
    }
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseOutcome {
    /// Its name.
    pub name: String,
    /// Its line in the file.
    pub line: usize,
    /// How many things were expected.
    pub expectations: usize,
    /// What is not as expected.
    pub failures: Vec<Failure>,
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The line of the expectation.
    pub line: usize,
    /// The day.
    pub day: i64,
    /// Its date.
    pub date: String,
    /// What was looked at: `stage`, `risk`, `health`, `findings`, `tasks`, `alerts` or `segments.<name>`.
    pub what: String,
    /// What was expected, one item each.
    pub expected: Vec<String>,
    /// What was found, one item each.
    pub found: Vec<String>,
    /// Why it is so, where that can be told.
    pub why: Vec<String>,
}

/// Which rules fired in any case.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Stages that were entered.
    pub stages: Covered,
    /// Standards that were breached.
    pub standards: Covered,
    /// Segments that held.
    pub segments: Covered,
    /// Bands of risk that were entered.
    pub bands: Covered,
}

/// Names that fired, and names that never did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Covered {
    /// Those that fired, in the order of the file.
    pub fired: Vec<String>,
    /// Those that never did.
    pub never: Vec<String>,
}

impl Covered {
    fn of<'a>(all: impl Iterator<Item = &'a str>, fired: &BTreeSet<String>) -> Covered {
        let (fired, never): (Vec<&str>, Vec<&str>) = all.partition(|name| fired.contains(*name));
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Covered { fired: owned(fired), never: owned(never) }
    }

    /// Adds what fired in another file of cases over the same lifecycle.
    pub fn merge(&mut self, other: &Covered) {
        let known: BTreeMap<&str, ()> =
            other.fired.iter().map(|name| (name.as_str(), ())).collect();
        let (more, never): (Vec<String>, Vec<String>) =
            self.never.drain(..).partition(|name| known.contains_key(name.as_str()));
        self.fired.extend(more);
        self.never = never;
    }
}

impl Coverage {
    /// Adds what fired in another file of cases over the same lifecycle.
    pub fn merge(&mut self, other: &Coverage) {
        self.stages.merge(&other.stages);
        self.standards.merge(&other.standards);
        self.segments.merge(&other.segments);
        self.bands.merge(&other.bands);
    }
}
