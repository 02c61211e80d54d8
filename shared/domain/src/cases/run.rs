//! A case, lived through night by night.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Map, Value as Json, json};

use super::file::{Case, Cases, Expectation, Happening, What, known_before, last_day};
use super::{CaseOutcome, Coverage, Covered, Failure, Outcome};
use crate::alert;
use crate::customer::StageState;
use crate::event::Event;
use crate::explain;
use crate::expr::Truth;
use crate::facts::Facts;
use crate::journal::{ChangeKind, JournalEntry};
use crate::lifecycle::{Lifecycle, RiskModel, Subject};
use crate::period::DAY;
use crate::replay::{Replay, in_order};
use crate::rise;
use crate::score;

/// The customer of every case.
const CUSTOMER: &str = "case";

/// Names that fired.
#[derive(Default)]
struct Fired {
    stages: BTreeSet<String>,
    standards: BTreeSet<String>,
    segments: BTreeSet<String>,
    bands: BTreeSet<String>,
}

pub(super) fn run(cases: &Cases, lifecycle: &Lifecycle) -> Outcome {
    let mut fired = Fired::default();
    let outcomes = cases.list.iter().map(|case| Life::new(case, lifecycle).live(&mut fired));
    let cases = outcomes.collect();
    let bands = lifecycle.risk.iter().flat_map(RiskModel::bands);
    Outcome {
        cases,
        coverage: Coverage {
            stages: Covered::of(lifecycle.stages.iter().map(|one| &*one.name), &fired.stages),
            standards: Covered::of(
                lifecycle.standards.iter().map(|one| &*one.name),
                &fired.standards,
            ),
            segments: Covered::of(lifecycle.segments.iter().map(|one| &*one.name), &fired.segments),
            bands: Covered::of(bands.map(|band| &*band.name), &fired.bands),
        },
    }
}

struct Life<'a> {
    case: &'a Case,
    lifecycle: &'a Lifecycle,
    log: Vec<Event>,
}

impl<'a> Life<'a> {
    fn new(case: &'a Case, lifecycle: &'a Lifecycle) -> Life<'a> {
        let mut life = Life { case, lifecycle, log: Vec::new() };
        let mut log = Vec::new();
        if !case.traits.is_empty() || case.stage.is_some() {
            let at = life.day(0) - SignedDuration::from_secs(known_before(case));
            log.extend(life.telling(at, "given", "ada", &case.traits));
        }
        for (number, happening) in case.happenings.iter().enumerate() {
            life.happens(number, happening, &mut log);
        }
        life.log = in_order(log);
        life
    }

    /// The start of a day in the workspace's time zone.
    fn day(&self, day: i64) -> Timestamp {
        let days = i32::try_from(day).unwrap_or(0);
        self.lifecycle.calendar.start_of(self.case.start.saturating_add(days.days()))
    }

    fn happens(&self, number: usize, happening: &Happening, log: &mut Vec<Event>) {
        let Happening { day, times, user, what } = happening;
        for time in 0..*times {
            let noon = self.day(*day) + SignedDuration::from_secs(DAY / 2);
            // Several on one day are a minute apart.
            let at = noon + SignedDuration::from_mins(i64::from(time));
            let id = format!("{number}-{time}");
            match what {
                What::Traits(traits) => log.extend(self.telling(at, &id, user, traits)),
                What::Event(event, properties) => {
                    let body = json!({
                        "type": "track", "event": event, "userId": user, "properties": properties,
                    });
                    log.extend(call(id, at, body));
                }
            }
        }
    }

    /// A call that tells facts about the customer.
    fn telling(
        &self,
        at: Timestamp,
        id: &str,
        user: &str,
        traits: &Map<String, Json>,
    ) -> Option<Event> {
        let body = match self.lifecycle.subject {
            Subject::Account => {
                json!({ "type": "group", "groupId": CUSTOMER, "userId": user, "traits": traits })
            }
            Subject::User => json!({ "type": "identify", "userId": user, "traits": traits }),
        };
        call(id.to_owned(), at, body)
    }

    fn live(&self, fired: &mut Fired) -> CaseOutcome {
        let mut replay = Replay::new(self.lifecycle, &self.log);
        if let Some((name, ago)) = &self.case.stage {
            let since = self.day(0) - SignedDuration::from_secs(*ago);
            let status = &mut replay.customer.status;
            status.stage = Some(StageState { name: name.clone(), since, visit: 1 });
            status.entered.insert(name.clone(), since.as_second());
        }
        let mut outcome = CaseOutcome {
            name: self.case.name.clone(),
            line: self.case.line,
            expectations: 0,
            failures: Vec::new(),
        };
        let mut alerts = Vec::new();
        for day in 0..=last_day(self.case) {
            let now = self.day(day + 1) - SignedDuration::from_secs(60);
            replay.until(now);
            for one in replay.night(now) {
                fired.note(&one.entry);
                alerts.extend(self.alert(&one.entry, &replay));
            }
            let facts = Facts::new(&replay.customer, self.lifecycle, now);
            for segment in &self.lifecycle.segments {
                if facts.answer(&segment.condition) == Truth::Yes {
                    fired.segments.insert(segment.name.clone());
                }
            }
            for expectation in self.case.expectations.iter().filter(|one| one.day == day) {
                let looked = Looked { facts: &facts, replay: &replay, alerts: &alerts };
                looked.at(expectation, &mut outcome);
                if expectation.alerts.is_some() {
                    alerts.clear();
                }
            }
        }
        outcome
    }

    /// An alert as it is written in a case.
    fn alert(&self, entry: &JournalEntry, replay: &Replay<'_>) -> Option<String> {
        let labels = alert::labels(entry, &replay.customer, self.lifecycle);
        let receiver = alert::route(entry.kind, &labels, self.lifecycle)?;
        let name = match entry.kind {
            ChangeKind::Finding => {
                let standard = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
                let closed = entry.to.as_deref() == Some("closed");
                if closed { format!("{standard} closed") } else { standard.to_owned() }
            }
            // A rise within a band; with another band that is what is told.
            ChangeKind::Risk if entry.rule == rise::RULE && entry.from == entry.to => {
                "rise".to_owned()
            }
            _ => entry.to.clone().unwrap_or_default(),
        };
        Some(format!("{}: {} {name}", receiver.name, entry.kind.as_str()))
    }
}

fn call(id: String, at: Timestamp, body: Json) -> Option<Event> {
    let Json::Object(body) = body else { return None };
    Event::from_body(id, at, at, body).ok()
}

impl Fired {
    fn note(&mut self, entry: &JournalEntry) {
        let to = entry.to.clone().unwrap_or_default();
        match entry.kind {
            ChangeKind::Checkpoint
            | ChangeKind::Handoff
            | ChangeKind::Release
            | ChangeKind::Note
            | ChangeKind::Revision
            | ChangeKind::Met
            | ChangeKind::Acknowledgement
            | ChangeKind::Waiver
            | ChangeKind::Task
            | ChangeKind::Playbook
            | ChangeKind::Message
            | ChangeKind::FeedSilent
            | ChangeKind::Root => false,
            ChangeKind::Stage => self.stages.insert(to),
            ChangeKind::Risk => self.bands.insert(to),
            ChangeKind::Finding => {
                let standard = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
                self.standards.insert(standard.to_owned())
            }
        };
    }
}

/// A customer as an expectation looks at it.
struct Looked<'a> {
    facts: &'a Facts<'a>,
    replay: &'a Replay<'a>,
    alerts: &'a [String],
}

impl Looked<'_> {
    fn at(&self, expectation: &Expectation, outcome: &mut CaseOutcome) {
        let status = &self.replay.customer.status;
        let mut check =
            |what: &str, expected: Vec<String>, found: Vec<String>, why: Vec<String>| {
                outcome.expectations += 1;
                if expected != found {
                    outcome.failures.push(Failure {
                        line: expectation.line,
                        day: expectation.day,
                        date: self.facts.lifecycle.calendar.date(self.facts.as_of).to_string(),
                        what: what.to_owned(),
                        expected,
                        found,
                        why,
                    });
                }
            };
        let none = || "none".to_owned();
        if let Some(expected) = &expectation.stage {
            let found = status.stage.as_ref().map_or_else(none, |stage| stage.name.clone());
            let why = if found == *expected { Vec::new() } else { self.why_not(expected) };
            check("stage", vec![expected.clone()], vec![found], why);
        }
        if let Some(expected) = &expectation.risk {
            let found = status.risk.as_ref().map_or_else(none, |risk| risk.band.clone());
            let risk = score::risk(self.facts);
            let why =
                risk.map_or(Vec::new(), |risk| risk.reasons.iter().map(explain::reads).collect());
            check("risk", vec![expected.clone()], vec![found], why);
        }
        if let Some(expected) = &expectation.health {
            let health = score::health(self.facts);
            let found = health.map_or_else(none, |health| health.band);
            check("health", vec![expected.clone()], vec![found], Vec::new());
        }
        if let Some(expected) = &expectation.findings {
            let mut found: Vec<String> =
                status.findings.iter().map(|finding| finding.standard.clone()).collect();
            found.sort();
            let mut expected = expected.clone();
            expected.sort();
            check("findings", expected, found, Vec::new());
        }
        if let Some(expected) = &expectation.tasks {
            let mut found: Vec<String> = status.tasks.open.iter().map(|task| task.id()).collect();
            found.sort();
            let mut expected = expected.clone();
            expected.sort();
            check("tasks", expected, found, Vec::new());
        }
        if let Some(expected) = &expectation.alerts {
            let (mut expected, mut found) = (expected.clone(), self.alerts.to_vec());
            expected.sort();
            found.sort();
            check("alerts", expected, found, Vec::new());
        }
        for (name, expected) in &expectation.segments {
            let segments = &self.facts.lifecycle.segments;
            let Some(segment) = segments.iter().find(|segment| segment.name == *name) else {
                continue;
            };
            let found = match self.facts.answer(&segment.condition) {
                Truth::Yes => "yes",
                Truth::No => "no",
                Truth::Unknown => "unknown",
            };
            let parts = segment.condition.leaves(self.facts);
            let why = parts.iter().map(crate::journal::Reason::of_leaf);
            let why = why
                .map(|part| format!("{}: {}", explain::said(&part.value), explain::reads(&part)));
            check(
                &format!("segments.{name}"),
                vec![expected.clone()],
                vec![found.into()],
                why.collect(),
            );
        }
    }

    /// Why the customer is in the stage where it is, and not in the one that was expected.
    fn why_not(&self, expected: &str) -> Vec<String> {
        let (present, others) = explain::stages_of(self.facts);
        let mut why = Vec::new();
        if let Some(present) = present {
            let answer = explain::said(&answer(present.answer));
            why.push(format!("{} is {answer}: {}", present.rule, present.condition));
        }
        let other = others.into_iter().find(|other| other.stage == expected);
        why.extend(other.and_then(|other| Some(format!("not {expected}: {}", other.why_not?))));
        why
    }
}

fn answer(truth: Truth) -> Json {
    match truth {
        Truth::Yes => Json::Bool(true),
        Truth::No => Json::Bool(false),
        Truth::Unknown => Json::Null,
    }
}
