//! What is not concluded while a source of events is silent.
//!
//! The clock of a silent feed stands still: what reads its events ages no further than the instant it
//! was last heard of, and what still arrives counts. So no stage is entered, no finding opened and no
//! risk raised because time passes in silence, and everything that follows from facts goes on. After
//! recovery nothing of this is left: the same is decided as if the feed had never been late.
//!
//! A silence is no part of the lifecycle file. Whoever decides for now says which feeds are silent
//! ([`Lifecycle::hearing`]); what looks at the past, or at a file, knows of none.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::expr::{Condition, Name};
use crate::lifecycle::{Lifecycle, MetricKind, Promise, RiskModel, Slot, Stage, Standard};
use crate::measure::Measure;

/// A feed that is silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentFeed {
    /// Its name.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
}

/// The feeds that are silent, and what that stills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SilentFeeds {
    feeds: Vec<SilentFeed>,
    /// Of each measure, since when one of its feeds is silent.
    measures: Vec<Option<Timestamp>>,
}

impl SilentFeeds {
    /// Whether no feed is silent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    /// The feeds.
    #[must_use]
    pub fn feeds(&self) -> &[SilentFeed] {
        &self.feeds
    }

    /// Since when a measure is stilled.
    pub(crate) fn of(&self, measure: usize) -> Option<Timestamp> {
        self.measures.get(measure).copied().flatten()
    }

    /// Since when one of several measures is stilled.
    pub(crate) fn of_any(&self, measures: &BTreeSet<usize>) -> Option<Timestamp> {
        measures.iter().filter_map(|measure| self.of(*measure)).min()
    }
}

impl Lifecycle {
    /// The same lifecycle, deciding while these feeds are silent. Those that it does not declare are
    /// left out.
    #[must_use]
    pub fn hearing(&self, told: &[SilentFeed]) -> Lifecycle {
        let declared = told.iter().filter(|feed| self.feed(&feed.name).is_some());
        let feeds: Vec<SilentFeed> = declared.cloned().collect();
        let measures = self.measures.list().iter().map(|measure| {
            let theirs = feeds.iter().filter(|feed| self.is_of(measure, &feed.name));
            theirs.map(|feed| feed.since).min()
        });
        let silent = SilentFeeds { measures: measures.collect(), feeds: feeds.clone() };
        Lifecycle { silent, ..self.clone() }
    }

    /// Whether a measure counts events of a feed. What counts any activity counts those of each.
    fn is_of(&self, measure: &Measure, feed: &str) -> bool {
        let Some(feed) = self.feed(feed) else { return false };
        match measure.event {
            None => true,
            Some(_) => measure.events().any(|event| feed.events.contains(event)),
        }
    }

    /// The names of the feeds whose events some measures count, in the order of the file.
    fn feeds_of(&self, measures: &BTreeSet<usize>) -> Vec<&str> {
        let list = self.measures.list();
        let counts = |feed: &str| measures.iter().any(|at| self.is_of(&list[*at], feed));
        self.feeds.iter().map(|feed| feed.name.as_str()).filter(|name| counts(name)).collect()
    }

    /// The names of the silent feeds that a condition reads, in the order of the file.
    #[must_use]
    pub fn silent_feeds_of(&self, condition: &Condition) -> Vec<&str> {
        let mut feeds = self.feeds_of(&self.read_by(condition));
        feeds.retain(|name| self.silent.feeds.iter().any(|feed| feed.name == *name));
        feeds
    }

    /// The measures that a condition reads, through formulas, segments and scores.
    pub(crate) fn read_by(&self, condition: &Condition) -> BTreeSet<usize> {
        let mut reading = Reading::new(self);
        reading.condition(condition);
        reading.measures
    }

    /// The measures that a metric reads.
    pub(crate) fn read_by_metric(&self, index: usize) -> BTreeSet<usize> {
        let mut reading = Reading::new(self);
        reading.metric(index);
        reading.measures
    }

    /// The measures whose events keep a standard, or are missing when it is broken.
    pub(crate) fn read_by_standard(&self, standard: &Standard) -> BTreeSet<usize> {
        let mut reading = Reading::new(self);
        reading.standard(standard);
        reading.measures
    }

    /// The measures that risk is told by.
    pub(crate) fn read_by_risk(&self) -> BTreeSet<usize> {
        let mut reading = Reading::new(self);
        reading.risk();
        reading.measures
    }

    /// The feeds that a decision depends on, by its rule, as `stages.churned.enter`, `standards.kickoff`
    /// or `risk.bands`: whatever some combination of overlays reads. In the order of the file.
    #[must_use]
    pub fn feeds_of_rule(&self, rule: &str) -> Vec<&str> {
        if self.feeds.is_empty() {
            return Vec::new();
        }
        let mut reading = Reading::new(self);
        let mut words = rule.splitn(3, '.');
        let (section, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match section {
            "stages" => {
                for stage in self.variants.stages.iter().filter(|stage| stage.name == name) {
                    reading.stage(stage);
                }
            }
            "standards" => {
                for one in self.variants.standards.iter().filter(|one| one.name == name) {
                    reading.standard(one);
                }
            }
            "risk" => reading.risk(),
            _ => {}
        }
        self.feeds_of(&reading.measures)
    }
}

/// Gathers measures; what it came to before is not gone through again.
struct Reading<'l> {
    lifecycle: &'l Lifecycle,
    measures: BTreeSet<usize>,
    slots: BTreeSet<u32>,
}

impl<'l> Reading<'l> {
    fn new(lifecycle: &'l Lifecycle) -> Reading<'l> {
        Reading { lifecycle, measures: BTreeSet::new(), slots: BTreeSet::new() }
    }

    fn condition(&mut self, condition: &Condition) {
        self.names(condition.names());
    }

    fn names<'n>(&mut self, names: impl IntoIterator<Item = &'n Name>) {
        for name in names {
            if self.slots.insert(name.slot) {
                self.slot(Slot::of(name.slot));
            }
        }
    }

    fn slot(&mut self, slot: Slot) {
        match slot {
            Slot::Metric(index) => self.metric(index),
            Slot::Segment(index) => self.condition(&self.lifecycle.segments[index].condition),
            Slot::RiskBand | Slot::RiskProbability => self.risk(),
            Slot::HealthScore => {
                let cards = self.lifecycle.rules.iter().filter_map(|rules| rules.health.as_ref());
                for factor in cards.flat_map(|card| &card.factors) {
                    self.names(factor.value.names());
                }
            }
            Slot::Trait(_) | Slot::StageName | Slot::StageDays | Slot::Open => {}
        }
    }

    fn metric(&mut self, index: usize) {
        match &self.lifecycle.metrics[index].kind {
            MetricKind::Total { measure, minus, .. } => {
                self.measures.insert(*measure);
                self.measures.extend(*minus);
            }
            MetricKind::DaysWith { measure, .. }
            | MetricKind::Distinct { measure, .. }
            | MetricKind::Latest { measure, .. }
            | MetricKind::DaysSince { measure }
            | MetricKind::Change { measure, .. } => {
                self.measures.insert(*measure);
            }
            MetricKind::Formula(formula) => self.names(formula.names()),
        }
    }

    fn stage(&mut self, stage: &Stage) {
        let enter = stage.enter.as_ref().map(|enter| &enter.when);
        let leave = stage.leave.as_ref().map(|leave| &leave.when);
        enter.into_iter().chain(leave).for_each(|condition| self.condition(condition));
    }

    fn standard(&mut self, standard: &Standard) {
        standard.only_if.iter().for_each(|condition| self.condition(condition));
        match &standard.promise {
            Promise::Deadline { measure, .. } | Promise::Respond { measure, .. } => {
                self.measures.insert(*measure);
            }
            Promise::Silence { measures, .. } => self.measures.extend(measures),
            Promise::Sequence { steps, .. } => {
                self.measures.extend(steps.iter().map(|(_, measure)| *measure));
            }
            Promise::Holds { condition, .. } => self.condition(condition),
            // Whoever is held in a stage by a silence is not stuck there.
            Promise::StageOverdue(stages) => {
                let all = self.lifecycle.variants.stages.iter();
                for stage in all.clone().filter(|stage| stages.contains(&stage.name)) {
                    stage.leave.iter().for_each(|leave| self.condition(&leave.when));
                    for other in all.clone().filter(|to| stage.exit_to(&to.name).is_some()) {
                        other.enter.iter().for_each(|enter| self.condition(&enter.when));
                    }
                }
            }
            Promise::Required(_) | Promise::TaskOverdue(_) => {}
        }
    }

    fn risk(&mut self) {
        match &self.lifecycle.risk {
            Some(RiskModel::Scorecard(card)) => {
                card.factors.iter().for_each(|factor| self.names(factor.value.names()));
            }
            Some(RiskModel::Alive(alive)) => {
                self.measures.insert(alive.measure);
            }
            Some(RiskModel::Learned(learned)) => {
                self.measures.insert(learned.alive.measure);
                self.measures.extend(learned.events.iter().map(|(_, measure)| *measure));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
