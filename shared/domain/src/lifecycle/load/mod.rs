//! From the text of a lifecycle file to a checked [`Lifecycle`], or to everything wrong with it.

mod alerts;
mod feeds;
mod metrics;
mod overlays;
mod playbooks;
mod risk;
mod scores;
mod stages;
mod standards;
mod uses;
pub(super) mod warnings;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

pub(crate) use self::feeds::map_of;
use self::uses::Endless;
use super::diagnostic::{Diagnostic, Severity, nearest};
use super::file::{self, File, Word};
use super::names::{MAX_NAMES, Slot, declare};
use super::{Lifecycle, MAX_FILE_BYTES, Metric, MetricKind, Promise, Rules, Subject};
use crate::checkpoint::CHECKPOINT_DAYS;
use crate::expr::{self, Condition, ConditionSource, Expected, Expr, Problem, Scope, Type};
use crate::feed::SilentFeeds;
use crate::measure::Measures;
use crate::period::{Calendar, DAY, Period, parse_workdays};
use crate::yaml::{self, Location};

/// Reads and checks a lifecycle file.
///
/// # Errors
/// Everything found wrong, each with its line and column. A file that is no YAML ends at the first
/// such place.
pub fn load(source: &str) -> Result<Lifecycle, Vec<Diagnostic>> {
    if source.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} KiB", MAX_FILE_BYTES / 1024);
        return Err(vec![Diagnostic::new(Severity::Error, source, 0..0, message)]);
    }
    let reading = yaml::read::<File>(source);
    let faults = reading.faults.into_iter();
    let mut found: Vec<Diagnostic> =
        faults.map(|fault| Diagnostic::of_fault(source, fault)).collect();
    let Some(file) = reading.value else {
        found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        return Err(found);
    };
    let mut loader = Loader {
        source,
        scope: Scope::new(),
        facts: Scope::new(),
        traits: Vec::new(),
        metric_steps: Vec::new(),
        broken: reading.broken,
        found,
    };
    let lifecycle = loader.lifecycle(&file);
    loader.leave_out_what_follows();
    loader.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    if loader.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(loader.found);
    }
    Ok(Lifecycle { warnings: loader.found, ..lifecycle })
}

/// The state of one reading: the names declared so far, and what was found wrong.
struct Loader<'a> {
    source: &'a str,
    scope: Scope,
    /// Metrics and traits only: what a scorecard may weigh, so that no score asks for itself.
    facts: Scope,
    /// The names of the declared traits.
    traits: Vec<String>,
    /// The steps that each metric takes.
    metric_steps: Vec<u64>,
    /// The paths of what could not be read and was left out.
    broken: BTreeSet<String>,
    found: Vec<Diagnostic>,
}

/// A list of things under one root, for "there is no x" messages.
struct Known<'a> {
    kind: &'static str,
    names: Vec<&'a str>,
}

impl<'a> Loader<'a> {
    fn lifecycle(&mut self, file: &File) -> Lifecycle {
        match &file.version {
            Some(version) if version.value != 1 => {
                self.error(&version.referenced, "this version reads `version: 1` only");
            }
            None if !self.broken.contains("version") => {
                self.at(0..0, "the key `version` is missing").help =
                    Some("begin the file with `version: 1`".into());
            }
            _ => {}
        }
        let calendar = self.calendar(&file.workspace);
        let currency = self.currency(&file.workspace);
        let subject = file.subject.as_ref().map_or(Subject::Account, |subject| subject.value);
        let traits = self.traits(file);
        self.traits = traits.iter().map(|declared| declared.name.clone()).collect();
        let mut measures = Measures::default();
        let metrics = self.metrics(file, &mut measures);
        let parent = self.parent(file, subject);
        self.facts = self.scope.clone();
        self.declare_decided(file);
        let segments = self.segments(file);
        let stages = self.stages(file, &metrics);
        let health = file
            .health
            .as_ref()
            .map(|card| self.scorecard(&card.factors, &card.bands, 100.0, &scores::HEALTH_BANDS))
            .map(Arc::new);
        let risk = file.risk.as_ref().and_then(|risk| {
            self.risk(risk, file.health.as_ref(), (&traits, &metrics), &mut measures)
        });
        let stakes = file.risk.as_ref().and_then(|risk| self.stakes(risk));
        let rise_alert = file.risk.as_ref().and_then(|risk| self.rise_alert(risk));
        declare(
            &mut self.scope,
            "stage.name",
            words(stages.iter().map(|s| &s.name)),
            Slot::StageName,
            false,
        );
        declare(&mut self.scope, "stage.days", Type::Number, Slot::StageDays, false);
        let standards = self.standards(file, &stages, &traits, &mut measures);
        let playbooks = self.playbooks(file, &stages, &standards);
        let feeds = self.feeds(file, subject);
        let alerts = self.alerts(file, &stages, &standards, &traits);
        let messages_to = self.messages(file, &alerts.receivers);
        let base = Rules {
            stages: stages.into_iter().map(Arc::new).collect(),
            standards: standards.into_iter().map(Arc::new).collect(),
            playbooks: playbooks.into_iter().map(Arc::new).collect(),
            health,
        };
        let overlays::Loaded { applies, rules, variants } =
            self.overlays(file, &segments, base.clone());
        if self.found.is_empty() {
            self.warn(file);
        }
        let margin = longest_look_back(&variants, &calendar) + 2;
        let mut others: Vec<&str> = traits.iter().map(|declared| declared.name.as_str()).collect();
        let subject_word = format!("{subject:?}");
        others.extend([calendar.zone().iana_name().unwrap_or("UTC"), subject_word.as_str()]);
        // Who is above whom is noted as profiles are folded.
        let above = parent.map(|index| format!("above: {}", traits[index].name));
        others.extend(above.as_deref());
        measures.seal(margin, &others);
        let is_sub_day = is_sub_day(&metrics, &variants);
        Lifecycle {
            hash: crate::hex(&Sha256::digest(self.source.as_bytes())),
            version: None,
            name: file.workspace.name.clone(),
            currency,
            subject,
            calendar,
            traits,
            parent,
            measures,
            metrics,
            segments,
            stages: base.stages,
            health: base.health,
            risk,
            stakes,
            rise_alert,
            standards: base.standards,
            playbooks: base.playbooks,
            messages_to,
            feeds,
            silent: SilentFeeds::default(),
            overlays: applies,
            rules,
            variants,
            routes: alerts.routes,
            receivers: alerts.receivers,
            inhibit: alerts.inhibit,
            label_traits: alerts.label_traits,
            is_sub_day,
            warnings: Vec::new(),
        }
    }

    // ---- saying what is wrong ----

    fn at(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::new(Severity::Error, self.source, span, message));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    fn error(&mut self, location: &Location, message: impl Into<String>) -> &mut Diagnostic {
        let span = expr::scalar(self.source, location);
        self.at(span, message)
    }

    /// What the file may not mean as written; it is no reason to refuse it.
    fn caution(&mut self, location: &Location, message: impl Into<String>) -> &mut Diagnostic {
        let diagnostic = self.error(location, message);
        diagnostic.severity = Severity::Warning;
        diagnostic.code = "doubtful";
        diagnostic
    }

    /// An owner is a declared trait, a team's name or an address.
    fn owner(&mut self, word: &Word) -> String {
        if word.value.starts_with("traits.") && self.scope.get(&word.value).is_none() {
            let traits = self.traits.iter();
            let traits: Vec<String> = traits.map(|name| format!("traits.{name}")).collect();
            let known = Known { kind: "trait", names: traits.iter().map(String::as_str).collect() };
            self.find(word, &known);
        }
        text(word)
    }

    /// Whether nothing of an entry of a section had to be left out.
    fn is_whole(&self, section: &str, name: &Word) -> bool {
        let below = format!("{section}.{}.", name.value);
        !self.broken.iter().any(|path| path.starts_with(&below))
    }

    /// What could not be read and was left out is not missed as well: each mistake is told once.
    fn leave_out_what_follows(&mut self) {
        let broken = std::mem::take(&mut self.broken);
        let source = self.source;
        let follows = |diagnostic: &Diagnostic| {
            if diagnostic.message.starts_with("the weights sum to")
                || diagnostic.message.starts_with("a scorecard needs")
            {
                return broken
                    .iter()
                    .any(|path| path.starts_with("health.") || path.starts_with("risk."));
            }
            if diagnostic.message.starts_with("a lifecycle needs at least one stage") {
                return broken.iter().any(|path| path.starts_with("stages"));
            }
            let text = source[diagnostic.span.clone()].trim_matches(['"', '\'']);
            let (root, name) = text.split_once('.').unwrap_or(("", text));
            let root = if root == "segment" { "segments" } else { root };
            diagnostic.message.starts_with("there is no")
                && broken.iter().any(|path| {
                    path == root || path.split_once('.').is_some_and(|(_, rest)| rest == name)
                })
        };
        // What could not be read is itself told in any case.
        self.found.retain(|diagnostic| diagnostic.code == "yaml" || !follows(diagnostic));
    }

    fn problems(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            let diagnostic = self.at(problem.span, problem.message);
            diagnostic.label = problem.label;
            diagnostic.help = problem.help;
        }
    }

    /// The index of a name, or an error with the nearest one.
    fn find(&mut self, word: &Word, known: &Known<'_>) -> Option<usize> {
        let found = known.names.iter().position(|name| *name == word.value);
        if found.is_none() {
            let help = nearest(&word.value, known.names.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .or_else(|| match known.names.as_slice() {
                    [] => Some("none is declared".to_owned()),
                    names => Some(format!("declared: {}", names.join(", "))),
                });
            let message = format!("there is no {} `{}`", known.kind, word.value);
            let diagnostic = self.error(&word.referenced, message);
            diagnostic.label = "not declared".into();
            diagnostic.help = help;
        }
        found
    }

    fn period(&mut self, word: &Word) -> Option<Period> {
        Period::parse(&word.value)
            .map_err(|message| {
                self.error(&word.referenced, message);
            })
            .ok()
    }

    /// A period of elapsed time, in seconds: windows do not know working days.
    fn window(&mut self, word: &Word) -> Option<i64> {
        match self.period(word)? {
            Period::Elapsed(0) => {
                self.error(&word.referenced, "a window of no length holds nothing");
                None
            }
            Period::Elapsed(seconds) => Some(seconds),
            Period::Workdays(_) => {
                self.error(
                    &word.referenced,
                    "a window is elapsed time: write it in days, as `14d`",
                );
                None
            }
        }
    }

    fn condition(&mut self, source: &ConditionSource) -> Option<Condition> {
        source.each_place(&mut |place| self.is_cut_short(place));
        source.compile(self.source, &self.scope).map_err(|found| self.problems(found)).ok()
    }

    /// A ` # ` ends a condition, whatever its author meant.
    fn is_cut_short(&mut self, place: Location) {
        let rest = &self.source[place.range(self.source).end..];
        let line = rest.lines().next().unwrap_or_default();
        let comment = line.trim_start();
        let operators = ["&&", "||", "==", "!=", ">=", "<="];
        if let (true, Some(operator)) = (
            comment.starts_with('#') && comment.len() < line.len(),
            operators.iter().find(|operator| comment.contains(**operator)),
        ) {
            let start = place.end + line.len() - comment.len();
            let end = place.end + line.trim_end().len();
            let message = format!("a comment with `{operator}` follows the condition");
            let location = Location { start, end };
            let diagnostic = self.caution(&location, message);
            diagnostic.label = "not a part of it".into();
            diagnostic.help =
                Some("` #` starts a comment: quote a condition that has one in a text".into());
        }
    }

    fn expression(&mut self, word: &Word, scope: &Scope, expected: Expected) -> Option<Expr> {
        expr::compile(&word.value, scope, expected)
            .map_err(|found| {
                let placed = found.into_iter().map(|mut problem| {
                    problem.span =
                        expr::in_file(self.source, &word.referenced, &word.value, &problem.span);
                    problem
                });
                let placed = placed.collect();
                self.problems(placed);
            })
            .ok()
    }

    /// Says that a formula or a segment has no end, or none in time.
    fn endless(&mut self, endless: Endless, kind: &str, names: &[&Word]) {
        let (index, message, help) = match endless {
            Endless::Cycle(index) => (index, "leads back to itself", "break the circle"),
            Endless::TooMuch(index) => {
                (index, "takes too many steps", "split it, or lead it to fewer others")
            }
        };
        let Some(word) = names.get(index) else { return };
        self.error(&word.referenced, format!("the {kind} `{}` {message}", word.value)).help =
            Some(help.into());
    }

    /// Whether a name can be written in a condition; says so if not.
    fn is_name(&mut self, word: &Word) -> bool {
        let mut chars = word.value.chars();
        let good = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && word.value.len() <= 64;
        if !good {
            let message = format!("`{}` is no name", word.value);
            self.error(&word.referenced, message).help =
                Some("use letters, digits and `_`, starting with a letter".into());
        }
        good
    }

    fn names_fit<V>(&mut self, entries: &file::Entries<V>, kind: &str) {
        for (name, _) in &entries.0 {
            self.is_name(name);
        }
        if let Some((name, _)) = entries.0.get(MAX_NAMES) {
            self.error(&name.referenced, format!("more than {MAX_NAMES} {kind}"));
        }
    }

    // ---- the parts of the file ----

    fn calendar(&mut self, workspace: &file::Workspace) -> Calendar {
        let mut zone = TimeZone::UTC;
        if let Some(name) = &workspace.timezone {
            match TimeZone::get(&name.value) {
                Ok(found) => zone = found,
                Err(_) => {
                    let message = format!("`{}` is no time zone", name.value);
                    self.error(&name.referenced, message).help =
                        Some("use an IANA name, as `Europe/Berlin` or `UTC`".into());
                }
            }
        }
        let mut workdays = [true, true, true, true, true, false, false];
        if let Some(word) = &workspace.workdays {
            match parse_workdays(&word.value) {
                Ok(flags) => workdays = flags,
                Err(message) => {
                    self.error(&word.referenced, message);
                }
            }
        }
        let mut holidays = Vec::new();
        for word in &workspace.holidays {
            match word.value.parse::<Date>() {
                Ok(date) => holidays.push(date),
                Err(_) => {
                    self.error(&word.referenced, format!("`{}` is no date", word.value)).help =
                        Some("write it as 2026-12-25".into());
                }
            }
        }
        Calendar::new(zone, workdays, holidays)
    }

    fn currency(&mut self, workspace: &file::Workspace) -> Option<String> {
        let word = workspace.currency.as_ref()?;
        let is_code = word.value.len() == 3 && word.value.bytes().all(|b| b.is_ascii_uppercase());
        if !is_code {
            let message = format!("`{}` is no currency", word.value);
            self.error(&word.referenced, message).help =
                Some("write its three letters, as `EUR` or `USD`".into());
        }
        Some(word.value.clone())
    }
}

fn text(word: &Word) -> String {
    word.value.clone()
}

fn words<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> Type {
    Type::Words(list.into_iter().map(|word| Arc::from(word.as_ref())).collect())
}

fn days(seconds: i64) -> u32 {
    u32::try_from((seconds + DAY - 1) / DAY).unwrap_or(u32::MAX)
}

/// How far back conditions are asked about, in days: metrics must be known as of that long ago.
fn longest_look_back(all: &Rules, calendar: &Calendar) -> u32 {
    let holds = all.stages.iter().flat_map(|stage| {
        let enter = stage.enter.as_ref().and_then(|enter| enter.hold);
        let leave = stage.leave.as_ref().and_then(|leave| leave.hold);
        [enter, leave].into_iter().flatten()
    });
    let checkpoints = all.stages.iter().any(|stage| !stage.checkpoints.is_empty());
    let checkpoints = if checkpoints { CHECKPOINT_DAYS } else { 0 };
    let standards = all.standards.iter().map(|standard| {
        let asked = match &standard.promise {
            Promise::Holds { hold, .. } => [*hold, standard.grace],
            Promise::Sequence { .. } => [None, standard.grace],
            _ if standard.only_if.is_some() => [None, standard.grace],
            _ => [None, None],
        };
        asked.into_iter().flatten().map(|period| calendar.at_most_days(period)).sum()
    });
    let holds = holds.map(|hold| calendar.at_most_days(hold));
    holds.chain(standards).chain([checkpoints]).max().unwrap_or(0)
}

/// Whether any period of the file can end within a day.
fn is_sub_day(metrics: &[Metric], all: &Rules) -> bool {
    let windows = metrics.iter().filter_map(|metric| match &metric.kind {
        MetricKind::Total { over, .. } => *over,
        MetricKind::DaysWith { over, .. }
        | MetricKind::Distinct { over, .. }
        | MetricKind::Change { over, .. } => Some(*over),
        MetricKind::Latest { stale_after, .. } => *stale_after,
        MetricKind::DaysSince { .. } | MetricKind::Formula(_) => None,
    });
    let of_stages = all.stages.iter().flat_map(|stage| {
        let enter = stage.enter.as_ref().and_then(|enter| enter.hold);
        let leave = stage.leave.as_ref().and_then(|leave| leave.hold);
        [enter, leave, stage.stay_at_least, stage.cool_down, stage.target, stage.stuck]
            .into_iter()
            .flatten()
    });
    let of_standards = all
        .standards
        .iter()
        .flat_map(|standard| [standard.promise.period(), standard.grace].into_iter().flatten());
    let of_tasks = all.playbooks.iter().flat_map(|playbook| playbook.steps.iter());
    let of_tasks = of_tasks.filter_map(|step| step.task()).flat_map(|task| {
        task.due.into_iter().chain(task.escalate.iter().map(|escalation| escalation.after))
    });
    windows
        .map(Period::Elapsed)
        .chain(of_stages)
        .chain(of_standards)
        .chain(of_tasks)
        .any(Period::is_sub_day)
}
