//! What a valid file may not mean as it is written, found by asking it about made-up customers, and
//! what is worth knowing about it.
//!
//! None of this keeps a file from being used, and it takes a few milliseconds, so it is for the
//! person who edits the file, not for the functions that load it.

mod conditions;
mod sample;
mod survey;

#[cfg(test)]
mod tests;

use self::conditions::Asked;
pub use self::survey::Survey;
use super::file::{File, Metric as WrittenMetric, TraitType};
use super::load::warnings::leads;
use super::names::Slot;
use super::{Diagnostic, Lifecycle, MetricKind, Severity};
use crate::expr::Name;
use crate::period::{DAY, Period};
use crate::yaml::{self, Location};

/// Events are kept for so long unless the deployment says otherwise, in days.
const RETENTION_DAYS: i64 = 400;
/// Runs of those that are due are so far apart, in seconds.
const RUN_INTERVAL: i64 = 300;

/// Warnings and notes about a file that [`super::load`] took, in the order of the file.
#[must_use]
pub fn examine(source: &str, lifecycle: &Lifecycle) -> Vec<Diagnostic> {
    let Some(file) = yaml::read::<File>(source).value else { return Vec::new() };
    let asked = conditions::all(&file, lifecycle);
    let mut examiner = Examiner { source, lifecycle, file: &file, found: Vec::new() };
    examiner.unused_metrics(&asked);
    examiner.periods();
    examiner.may_be_missing(&asked);
    examiner.answers(&asked);
    examiner.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    examiner.found
}

struct Examiner<'a> {
    source: &'a str,
    lifecycle: &'a Lifecycle,
    file: &'a File,
    found: Vec<Diagnostic>,
}

impl Examiner<'_> {
    fn say(
        &mut self,
        severity: Severity,
        code: &'static str,
        place: Location,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let span = place.range(self.source);
        // A list of conditions is shown by its first line.
        let line = self.source[span.clone()].find('\n').unwrap_or(span.len());
        let span = span.start..span.start + line;
        self.found.push(Diagnostic::new(severity, self.source, span, message));
        let last = self.found.len() - 1;
        self.found[last].code = code;
        &mut self.found[last]
    }

    fn unused_metrics(&mut self, asked: &[Asked<'_>]) {
        let mut is_used = vec![false; self.lifecycle.metrics.len()];
        let mut mark = |name: &Name| {
            if let Slot::Metric(index) = Slot::of(name.slot) {
                is_used[index] = true;
            }
        };
        for asked in asked {
            asked.condition.names().into_iter().for_each(&mut mark);
        }
        let cards = [self.lifecycle.health.as_deref(), self.lifecycle.risk_card()];
        for factor in cards.into_iter().flatten().flat_map(|card| &card.factors) {
            factor.value.names().iter().for_each(&mut mark);
        }
        for metric in &self.lifecycle.metrics {
            if let MetricKind::Formula(formula) = &metric.kind {
                formula.names().iter().for_each(&mut mark);
            }
        }
        for stage in &self.lifecycle.stages {
            if let Some(index) = stage.metric {
                is_used[index] = true;
            }
        }
        let file = self.file;
        for ((name, _), _) in file.metrics.0.iter().zip(&is_used).filter(|(_, used)| !**used) {
            let message = format!("no rule uses the metric `{}`", name.value);
            self.say(Severity::Warning, "unused_metric", name.referenced, message).help =
                Some("remove it: counting it costs a little with every event".into());
        }
    }

    fn periods(&mut self) {
        let file = self.file;
        for (_, metric) in &file.metrics.0 {
            let WrittenMetric::Counted(counted) = &metric.value else { continue };
            let Some(word) = &counted.over else { continue };
            let times = if counted.change.is_some() { 2 } else { 1 };
            if let Ok(Period::Elapsed(seconds)) = Period::parse(&word.value)
                && seconds * times > RETENTION_DAYS * DAY
            {
                let message =
                    format!("the window is longer than the {RETENTION_DAYS} days events are kept");
                self.say(Severity::Warning, "window_too_long", word.referenced, message).help =
                    Some("shorten it, or deploy with a longer `EventRetentionDays`".into());
            }
        }
        for (_, stage) in &file.stages.0 {
            let enter = stage.enter.as_ref().and_then(|enter| enter.hold.as_ref());
            let leave = stage.leave.as_ref().and_then(|leave| leave.hold.as_ref());
            for word in [enter, leave].into_iter().flatten() {
                if let Ok(Period::Elapsed(seconds)) = Period::parse(&word.value)
                    && seconds < RUN_INTERVAL
                {
                    let message = "the period is shorter than the 5 minutes between runs";
                    self.say(Severity::Warning, "period_too_short", word.referenced, message)
                        .help =
                        Some("nobody is moved faster: leave `for` out, or make it longer".into());
                }
            }
        }
    }

    /// Facts that may be missing, asked for without `has`: whoever lacks them never meets the line.
    fn may_be_missing(&mut self, asked: &[Asked<'_>]) {
        for asked in asked {
            let text = asked.condition.describe();
            for name in asked.condition.names() {
                let is_told = match Slot::of(name.slot) {
                    Slot::Trait(index) => self.file.traits.0.get(index).is_some_and(|(_, ty)| {
                        let ty = match &ty.value {
                            TraitType::Kept(kept) => &kept.ty.value,
                            plain => plain,
                        };
                        matches!(ty, TraitType::Named(text) if text.ends_with('?'))
                    }),
                    Slot::Metric(index) => {
                        matches!(self.lifecycle.metrics[index].kind, MetricKind::Latest { .. })
                    }
                    _ => false,
                };
                if !is_told || text.contains(&format!("has({})", name.path)) {
                    continue;
                }
                let Some(place) = asked.place_of(self.source, &name.path) else { continue };
                let message = format!("customers without `{}` never meet this", name.path);
                self.say(Severity::Note, "may_be_missing", place, message).help =
                    Some(format!("ask `has({})` where that is not meant", name.path));
            }
        }
    }

    /// What made-up customers answer: nobody yes, everybody yes, two stages at once.
    fn answers(&mut self, asked: &[Asked<'_>]) {
        let samples = sample::Samples::new(self.lifecycle, asked);
        for asked in asked {
            let answers = samples.answers(asked.condition);
            if answers.yes.is_none() {
                let message = format!("no customer can meet the condition of {}", asked.what);
                let help = answers.why_not(asked.condition);
                let diagnostic = self.say(Severity::Warning, "never_yes", asked.place, message);
                diagnostic.label = "never yes".into();
                diagnostic.help = Some(help);
            } else if answers.is_always_yes {
                let message = format!("every customer meets the condition of {}", asked.what);
                self.say(Severity::Note, "always_yes", asked.place, message).label =
                    "always yes".into();
            }
        }
        self.ties(&samples);
    }

    /// Two stages of one priority that can follow the same one, and a customer who meets both.
    fn ties(&mut self, samples: &sample::Samples<'_>) {
        let file = self.file;
        let mut told = None;
        for (index, at) in rivals(file, self.lifecycle) {
            let when = |index: usize| self.lifecycle.stages[index].enter.as_ref().map(|e| &e.when);
            let (Some(mine), Some(theirs)) = (when(index), when(at)) else { continue };
            // One rival of a stage is enough.
            if told == Some(index) {
                continue;
            }
            let Some(witness) = samples.both(mine, theirs) else { continue };
            told = Some(index);
            let ((name, stage), (other, _)) = (&file.stages.0[index], &file.stages.0[at]);
            let priority = stage.enter.as_ref().map_or(0, |enter| enter.priority);
            let message = format!(
                "the stages `{}` and `{}` have the same priority, {priority}, and a customer can meet both",
                other.value, name.value
            );
            self.say(Severity::Warning, "tie", name.referenced, message).help = Some(format!(
                "with {witness} the first in the file wins; give them different priorities"
            ));
        }
    }
}

/// Pairs of stages of one priority that can follow the same stage: the later one and the earlier.
fn rivals(file: &File, lifecycle: &Lifecycle) -> Vec<(usize, usize)> {
    let stages = &file.stages.0;
    let mut found = Vec::new();
    for (index, (name, stage)) in stages.iter().enumerate().take(lifecycle.stages.len()) {
        let Some(enter) = &stage.enter else { continue };
        for (at, (other, written)) in stages[..index].iter().enumerate() {
            let Some(known) = &written.enter else { continue };
            let follow_one = || {
                stages.iter().any(|(from, present)| {
                    leads(from, present, name, enter) && leads(from, present, other, known)
                })
            };
            let both_begin = known.from.is_none() && enter.from.is_none();
            if known.priority == enter.priority && (both_begin || follow_one()) {
                found.push((index, at));
            }
        }
    }
    found
}
