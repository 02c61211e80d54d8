//! The file of cases as it is written, and its checks.

use std::fmt;
use std::ops::Range;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::{Map, Value as Json};

use super::MAX_FILE_BYTES;
use crate::expr;
use crate::lifecycle::diagnostic::nearest;
use crate::lifecycle::{Diagnostic, Lifecycle, Severity};
use crate::period::{DAY, Period};
use crate::yaml::{self, Location, Spanned};

/// The Monday that day 0 is where nothing else is said.
const MONDAY: Date = jiff::civil::date(2026, 1, 5);
/// The furthest day, either way, and the most events of a case.
const MAX_DAYS: i64 = 3_660;
const MAX_EVENTS: usize = 20_000;

type Word = Spanned<String>;

/// A checked file of cases.
#[derive(Debug, Clone)]
pub struct Cases {
    pub(super) list: Vec<Case>,
    /// What the file may not mean as written.
    pub warnings: Vec<Diagnostic>,
}

/// One case.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) start: Date,
    /// The stage at first, and for how many seconds it has been that before day 0.
    pub(super) stage: Option<(String, i64)>,
    pub(super) traits: Map<String, Json>,
    pub(super) happenings: Vec<Happening>,
    pub(super) expectations: Vec<Expectation>,
}

/// Something that happens on a day.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub(super) day: i64,
    pub(super) times: u32,
    pub(super) user: String,
    pub(super) what: What,
}

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum What {
    Event(String, Map<String, Json>),
    Traits(Map<String, Json>),
}

/// What should be true after a night.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) line: usize,
    pub(super) day: i64,
    pub(super) stage: Option<String>,
    pub(super) risk: Option<String>,
    pub(super) health: Option<String>,
    pub(super) findings: Option<Vec<String>>,
    pub(super) tasks: Option<Vec<String>>,
    pub(super) alerts: Option<Vec<String>>,
    pub(super) segments: Vec<(String, String)>,
}

// ---- as it is written ----

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: Word,
    #[serde(default)]
    given: Given,
    expect: Spanned<Vec<Spanned<Expected>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    start: Option<Word>,
    stage: Option<Word>,
    traits: Option<Spanned<Map<String, Json>>>,
    #[serde(default)]
    events: Vec<Spanned<Written>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    day: Spanned<Days>,
    every: Option<Spanned<u32>>,
    times: Option<Spanned<u32>>,
    event: Option<Word>,
    user: Option<Word>,
    properties: Option<Spanned<Map<String, Json>>>,
    traits: Option<Spanned<Map<String, Json>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    day: Spanned<i64>,
    stage: Option<Word>,
    risk: Option<Word>,
    health: Option<Word>,
    findings: Option<Vec<Word>>,
    tasks: Option<Vec<Word>>,
    alerts: Option<Vec<Word>>,
    segments: Option<Spanned<Map<String, Json>>>,
}

/// A day, or several: `3`, `-30 to 0`.
struct Days {
    first: i64,
    last: i64,
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DaysVisitor;
        impl Visitor<'_> for DaysVisitor {
            type Value = Days;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a day, as `3`, or several, as `0 to 20`")
            }
            fn visit_i64<E: serde::de::Error>(self, day: i64) -> Result<Days, E> {
                Ok(Days { first: day, last: day })
            }
            fn visit_u64<E: serde::de::Error>(self, day: u64) -> Result<Days, E> {
                self.visit_i64(i64::try_from(day).unwrap_or(i64::MAX))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Days, E> {
                let day = |text: &str| text.trim().parse::<i64>().ok();
                let days = match text.split_once("to") {
                    Some((first, last)) => day(first).zip(day(last)),
                    None => day(text).map(|day| (day, day)),
                };
                let (first, last) = days.ok_or_else(|| {
                    E::custom(format!("`{text}` is no day: write `3`, or `0 to 20`"))
                })?;
                Ok(Days { first, last })
            }
        }
        deserializer.deserialize_any(DaysVisitor)
    }
}

pub(super) fn read(source: &str, lifecycle: &Lifecycle) -> Result<Cases, Vec<Diagnostic>> {
    if source.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} KiB", MAX_FILE_BYTES / 1024);
        return Err(vec![Diagnostic::new(Severity::Error, source, 0..0, message)]);
    }
    let reading = yaml::read::<Vec<Spanned<WrittenCase>>>(source);
    let written = match reading.value {
        Some(written) if reading.faults.is_empty() => written,
        _ => {
            let faults = reading.faults.into_iter();
            return Err(faults.map(|fault| Diagnostic::of_fault(source, fault)).collect());
        }
    };
    let mut checker = Checker { source, lifecycle, found: Vec::new() };
    if written.is_empty() {
        checker.at(0..0, "there is no case in the file");
    }
    let list = written.iter().map(|case| checker.case(case)).collect();
    let mut found = checker.found;
    found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    match found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        true => Err(found),
        false => Ok(Cases { list, warnings: found }),
    }
}

struct Checker<'a> {
    source: &'a str,
    lifecycle: &'a Lifecycle,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn at(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::new(Severity::Error, self.source, span, message));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    fn error(&mut self, location: &Location, message: impl Into<String>) -> &mut Diagnostic {
        let span = expr::scalar(self.source, location);
        self.at(span, message)
    }

    fn line(&self, location: &Location) -> usize {
        let start = expr::scalar(self.source, location).start.min(self.source.len());
        self.source.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn case(&mut self, written: &Spanned<WrittenCase>) -> Case {
        let WrittenCase { name, given, expect } = &written.value;
        let mut happenings = Vec::new();
        for event in &given.events {
            self.happening(event, &mut happenings);
        }
        if happenings.len() > MAX_EVENTS {
            self.error(&name.referenced, format!("more than {MAX_EVENTS} events in one case"));
        }
        happenings.sort_by_key(|happening| happening.day);
        if expect.value.is_empty() {
            self.error(&name.referenced, "the case expects nothing").help =
                Some("add `expect:` with a list, as `- { day: 7, stage: … }`".into());
        }
        let mut expectations: Vec<Expectation> =
            expect.value.iter().map(|expected| self.expectation(expected)).collect();
        expectations.sort_by_key(|expectation| expectation.day);
        let traits = given.traits.as_ref().map(|traits| self.traits(traits)).unwrap_or_default();
        Case {
            name: name.value.clone(),
            line: self.line(&name.referenced),
            start: given.start.as_ref().map_or(MONDAY, |word| self.date(word)),
            stage: given.stage.as_ref().and_then(|word| self.first_stage(word)),
            traits,
            happenings,
            expectations,
        }
    }

    fn date(&mut self, word: &Word) -> Date {
        word.value.parse().unwrap_or_else(|_| {
            self.error(&word.referenced, format!("`{}` is no date", word.value)).help =
                Some("write it as 2026-01-05".into());
            MONDAY
        })
    }

    /// `adopting`, or `adopting since 90d`.
    fn first_stage(&mut self, word: &Word) -> Option<(String, i64)> {
        let (name, since) = match word.value.split_once(" since ") {
            Some((name, since)) => (name.trim(), Some(since.trim())),
            None => (word.value.trim(), None),
        };
        let stages: Vec<String> =
            self.lifecycle.stages.iter().map(|stage| stage.name.clone()).collect();
        let known = self.known("stage", name, &word.referenced, &stages);
        let ago = match since.map(Period::parse) {
            None => 0,
            Some(Ok(Period::Elapsed(seconds))) => seconds,
            Some(Ok(Period::Workdays(_))) => {
                self.error(&word.referenced, "write it in days, as `since 90d`");
                0
            }
            Some(Err(message)) => {
                self.error(&word.referenced, message);
                0
            }
        };
        known.then(|| (name.to_owned(), ago))
    }

    fn happening(&mut self, written: &Spanned<Written>, into: &mut Vec<Happening>) {
        let Written { day, every, times, event, user, properties, traits } = &written.value;
        let Days { first, last } = day.value;
        self.day(first, &day.referenced);
        self.day(last, &day.referenced);
        if first > last {
            self.error(&day.referenced, "the last day comes before the first");
        }
        let step = every.as_ref().map_or(1, |every| every.value).max(1);
        if let Some(every) = every.as_ref().filter(|every| every.value == 0) {
            self.error(&every.referenced, "`every` counts days from 1 on");
        }
        let times = times.as_ref().map_or(1, |times| times.value.clamp(1, 1_000));
        let what = match (event, traits) {
            (Some(event), None) => {
                self.is_counted(event);
                let properties = properties.as_ref().map(|told| told.value.clone());
                What::Event(event.value.clone(), properties.unwrap_or_default())
            }
            (None, Some(traits)) => {
                if let Some(properties) = properties {
                    self.error(&properties.referenced, "`properties` are those of an `event`");
                }
                What::Traits(self.traits(traits))
            }
            _ => {
                self.error(&day.referenced, "what happens is one of `event` and `traits`").help =
                    Some("as `{ day: 3, event: login }`, or `{ day: 3, traits: { … } }`".into());
                return;
            }
        };
        let user = user.as_ref().map_or_else(|| "ada".to_owned(), |user| user.value.clone());
        let days = (first..=last.min(first + 2 * MAX_DAYS)).step_by(step as usize);
        into.extend(days.map(|day| Happening {
            day,
            times,
            user: user.clone(),
            what: what.clone(),
        }));
    }

    fn day(&mut self, day: i64, location: &Location) {
        if day.abs() > MAX_DAYS {
            self.error(location, format!("a day lies within {MAX_DAYS} of day 0"));
        }
    }

    /// An event that no rule reads is probably misspelt.
    fn is_counted(&mut self, word: &Word) {
        let measures = self.lifecycle.measures.list().iter();
        let names: Vec<String> =
            measures.flat_map(|measure| measure.events().cloned().collect::<Vec<_>>()).collect();
        if names.contains(&word.value) {
            return;
        }
        let near = nearest(&word.value, names.iter().map(String::as_str));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        let message = format!("no rule of the lifecycle file reads `{}`", word.value);
        let diagnostic = self.error(&word.referenced, message);
        diagnostic.severity = Severity::Warning;
        diagnostic.help = help;
    }

    fn traits(&mut self, told: &Spanned<Map<String, Json>>) -> Map<String, Json> {
        let names: Vec<String> =
            self.lifecycle.traits.iter().map(|declared| declared.name.clone()).collect();
        for name in told.value.keys() {
            self.known("trait", name, &told.referenced, &names);
        }
        told.value.clone()
    }

    fn known(&mut self, kind: &str, name: &str, location: &Location, known: &[String]) -> bool {
        if known.iter().any(|known| known == name) {
            return true;
        }
        let help = nearest(name, known.iter().map(String::as_str)).map_or_else(
            || format!("declared: {}", known.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("there is no {kind} `{name}`");
        // In a mapping only the mapping has a place: the name is looked for in it.
        let mut span = expr::scalar(self.source, location);
        let rest = self.source.get(span.start..).unwrap_or_default();
        if rest.get(..name.len()).is_none_or(|text| text != name)
            && let Some(at) = rest.find(name)
        {
            span = span.start + at..span.start + at + name.len();
        }
        let diagnostic = self.at(span, message);
        diagnostic.label = "not declared".into();
        diagnostic.help = Some(help);
        false
    }

    fn one_of(&mut self, kind: &str, word: &Word, known: &[String]) -> String {
        self.known(kind, &word.value, &word.referenced, known);
        word.value.clone()
    }

    fn expectation(&mut self, written: &Spanned<Expected>) -> Expectation {
        let Expected { day, stage, risk, health, findings, tasks, alerts, segments } =
            &written.value;
        self.day(day.value, &day.referenced);
        if day.value < 0 {
            self.error(&day.referenced, "the nights begin with day 0");
        }
        let lifecycle = self.lifecycle;
        let named = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut stages = named(lifecycle.stages.iter().map(|stage| &*stage.name).collect());
        stages.push("none".to_owned());
        let bands = |bands: &[crate::lifecycle::Band]| {
            bands.iter().map(|band| band.name.clone()).collect::<Vec<_>>()
        };
        let mut risks = lifecycle.risk.as_ref().map_or(Vec::new(), |model| bands(model.bands()));
        risks.push("none".to_owned());
        let healths = lifecycle.health.as_ref().map_or(Vec::new(), |card| bands(&card.bands));
        let standards = named(lifecycle.standards.iter().map(|one| &*one.name).collect());
        let stage = stage.as_ref().map(|word| self.one_of("stage", word, &stages));
        let risk = risk.as_ref().map(|word| self.one_of("band of risk", word, &risks));
        let health = health.as_ref().map(|word| self.one_of("band of health", word, &healths));
        let findings = findings.as_ref().map(|list| {
            list.iter().map(|word| self.one_of("standard", word, &standards)).collect()
        });
        let playbooks = lifecycle.playbooks.iter();
        let steps = playbooks.flat_map(|playbook| {
            let steps = playbook.steps.iter().filter(|step| step.task().is_some());
            steps.map(|step| format!("{}.{}", playbook.name, step.name))
        });
        let steps: Vec<String> = steps.collect();
        let tasks = tasks
            .as_ref()
            .map(|list| list.iter().map(|word| self.one_of("task", word, &steps)).collect());
        let alerts = alerts.as_ref().map(|list| list.iter().map(|word| self.alert(word)).collect());
        let segments = segments.as_ref().map(|told| self.segments(told)).unwrap_or_default();
        if stage.is_none()
            && risk.is_none()
            && health.is_none()
            && findings.is_none()
            && tasks.is_none()
            && alerts.is_none()
            && segments.is_empty()
        {
            self.error(&day.referenced, "the day expects nothing").help =
                Some("add one of stage, risk, health, findings, tasks, alerts and segments".into());
        }
        let line = self.line(&day.referenced);
        let day = day.value;
        Expectation { line, day, stage, risk, health, findings, tasks, alerts, segments }
    }

    /// `receiver: kind name`.
    fn alert(&mut self, word: &Word) -> String {
        let receivers: Vec<String> =
            self.lifecycle.receivers.iter().map(|receiver| receiver.name.clone()).collect();
        match word.value.split_once(": ") {
            Some((receiver, _)) => {
                self.known("receiver", receiver, &word.referenced, &receivers);
            }
            None => {
                self.error(&word.referenced, format!("`{}` is no alert", word.value)).help =
                    Some("write receiver, kind and name, as \"urgent: stage churned\"".into());
            }
        }
        word.value.clone()
    }

    fn segments(&mut self, told: &Spanned<Map<String, Json>>) -> Vec<(String, String)> {
        let names: Vec<String> =
            self.lifecycle.segments.iter().map(|segment| segment.name.clone()).collect();
        let mut segments = Vec::new();
        for (name, answer) in &told.value {
            self.known("segment", name, &told.referenced, &names);
            let answer = match answer {
                Json::Bool(true) => "yes",
                Json::Bool(false) => "no",
                Json::String(text) if ["yes", "no", "unknown"].contains(&text.as_str()) => text,
                _ => {
                    let message = format!("the answer for `{name}` is yes, no or unknown");
                    self.error(&told.referenced, message);
                    continue;
                }
            };
            segments.push((name.clone(), answer.to_owned()));
        }
        segments
    }
}

/// The last day that a case looks at.
pub(super) fn last_day(case: &Case) -> i64 {
    case.expectations.iter().map(|expectation| expectation.day).max().unwrap_or(0)
}

/// Seconds before day 0 at which a customer is known: its stage, or the first event.
pub(super) fn known_before(case: &Case) -> i64 {
    let stage = case.stage.as_ref().map_or(0, |(_, ago)| *ago);
    let first = case.happenings.first().map_or(0, |happening| happening.day);
    stage.max(-first.min(0) * DAY)
}
