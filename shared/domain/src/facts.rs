//! What is known of a customer at an instant: the row that conditions and formulas read.
//!
//! Everything is told as of the instant, from what was known by then: metrics from their cells, a
//! trait since its last change, the stage and the band of risk since they were set. An instant
//! before the customer's first event knows nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::answers::Answers;
use crate::customer::{Customer, Scalar, Series, TraitState};
use crate::distinct::Distinct;
use crate::expr::{Condition, Name, Row, Truth, Type, Value};
use crate::lifecycle::{Lifecycle, Metric, MetricKind, Rules, Slot};
use crate::period::DAY;
use crate::score;
use crate::tally::{Cell, Tally};

#[cfg(test)]
mod tests;

/// A customer seen at an instant.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The customer.
    pub customer: &'a Customer,
    /// The lifecycle whose names are used.
    pub lifecycle: &'a Lifecycle,
    /// The instant.
    pub as_of: Timestamp,
    /// A value in place of what is known.
    supposed: Option<&'a Supposed>,
    unheard: Unheard,
}

/// What is made of what a silent feed might have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unheard {
    /// Its clock stands still.
    Still,
    /// It is not known.
    Unknown,
    /// Nothing: as if it were heard of.
    Nothing,
}

/// A value that is supposed in place of what is known, at every instant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Supposed {
    pub(crate) slot: Slot,
    pub(crate) value: Supposition,
}

/// A supposed value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Supposition {
    Missing,
    Number(f64),
    Text(String),
    Date(Date),
    YesNo(bool),
}

impl Supposition {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Supposition::Missing => Value::Missing,
            Supposition::Number(number) => Value::Number(*number),
            Supposition::Text(text) => Value::Text(text),
            Supposition::Date(date) => Value::Date(*date),
            Supposition::YesNo(flag) => Value::YesNo(*flag),
        }
    }
}

impl<'a> Facts<'a> {
    /// A customer at an instant.
    #[must_use]
    pub fn new(customer: &'a Customer, lifecycle: &'a Lifecycle, as_of: Timestamp) -> Facts<'a> {
        let unheard = Unheard::Still;
        Facts { customer, lifecycle, as_of, supposed: None, unheard }
    }

    /// The same customer at another instant.
    #[must_use]
    pub fn at(&self, as_of: Timestamp) -> Facts<'a> {
        Facts { as_of, ..*self }
    }

    /// The same customer with a value supposed.
    pub(crate) fn supposing(&self, supposed: &'a Supposed) -> Facts<'a> {
        Facts { supposed: Some(supposed), ..*self }
    }

    /// The same customer, with what silent feeds might have told since not known.
    pub(crate) fn without_silent(&self) -> Facts<'a> {
        Facts { unheard: Unheard::Unknown, ..*self }
    }

    /// The same customer, as if no feed were silent.
    pub(crate) fn as_if_heard(&self) -> Facts<'a> {
        Facts { unheard: Unheard::Nothing, ..*self }
    }

    /// Since when one of these measures is stilled.
    pub(crate) fn stilled(&self, measures: &BTreeSet<usize>) -> Option<Timestamp> {
        let is_heard = self.lifecycle.silent.is_empty() || self.unheard == Unheard::Nothing;
        let since = if is_heard { None } else { self.lifecycle.silent.of_any(measures) };
        since.filter(|since| *since < self.as_of)
    }

    /// Since when a silent feed might have told another answer to a condition; `None` where the answer
    /// stands whatever it would have told.
    pub(crate) fn rests_on_silence(&self, condition: &Condition) -> Option<Timestamp> {
        if self.lifecycle.silent.is_empty() {
            return None;
        }
        let since = self.stilled(&self.lifecycle.read_by(condition))?;
        (self.without_silent().answer(condition) != self.answer(condition)).then_some(since)
    }

    /// Stages, standards and health scorecard as they hold for the customer now: those of the file
    /// with every overlay whose condition is answered with yes.
    #[must_use]
    pub fn rules(&self) -> &'a Rules {
        let overlays = self.lifecycle.overlays.iter().enumerate();
        let holding = overlays.filter(|(_, applies)| self.answer(applies) == Truth::Yes);
        &self.lifecycle.rules[holding.fold(0, |mask, (index, _)| mask | 1 << index)]
    }

    /// Answers a condition; unknown before the customer's first event.
    #[must_use]
    pub fn answer(&self, condition: &Condition) -> Truth {
        if self.as_of.as_second() < self.first_second() {
            return Truth::Unknown;
        }
        condition.truth(self)
    }

    /// The second of the customer's first event.
    pub(crate) fn first_second(&self) -> i64 {
        self.customer.profile.first_seen.div_euclid(1_000)
    }

    /// A metric; `None` is missing.
    #[must_use]
    pub fn metric(&self, index: usize) -> Option<f64> {
        let now = self.as_of.as_second();
        let metric = &self.lifecycle.metrics[index];
        // What a silent feed counts ages no further than it was heard of.
        let aged = self.aged(&metric.kind)?;
        let total = |measure, after, until| {
            let tallies = self.tallies(metric, measure);
            tallies.fold(0.0, |sum, tally| sum + tally.total(after, until))
        };
        match &metric.kind {
            MetricKind::Total { measure, minus, over } => {
                let after = over.map(|over| aged - over);
                let total = |measure| total(measure, after, now);
                Some(total(*measure) - minus.map_or(0.0, total))
            }
            MetricKind::DaysWith { measure, over } => {
                let calendar = &self.lifecycle.calendar;
                let mut days: Vec<Date> = Vec::new();
                for tally in self.tallies(metric, *measure) {
                    let cells = tally.between(Some(aged - over), now).iter();
                    let instants = cells.filter_map(|cell| Timestamp::from_second(cell.at).ok());
                    days.extend(instants.map(|at| calendar.date(at)));
                }
                days.sort_unstable();
                days.dedup();
                Some(days.len() as f64)
            }
            MetricKind::Distinct { measure, over } => {
                let sets = self.counted(metric, *measure).filter_map(|series| match series {
                    Series::Distinct(set) => Some(set),
                    _ => None,
                });
                let sets: Vec<&Distinct> = sets.collect();
                Some(Distinct::count_all(&sets, aged - over, now))
            }
            MetricKind::Latest { measure, stale_after } => {
                let newest = self.newest(metric, *measure);
                let fresh = newest
                    .filter(|newest| stale_after.is_none_or(|limit| aged - newest.at <= limit));
                fresh.map(|newest| newest.value).reduce(|sum, value| sum + value)
            }
            MetricKind::DaysSince { measure } => {
                let last =
                    self.tallies(metric, *measure).filter_map(|tally| tally.last(now)).max()?;
                Some((aged - last).max(0).div_euclid(DAY) as f64)
            }
            MetricKind::Change { measure, over } => {
                let before = total(*measure, Some(aged - 2 * over), aged - over);
                let recent = total(*measure, Some(aged - over), now);
                (before != 0.0).then(|| (recent - before) / before * 100.0)
            }
            MetricKind::Formula(formula) => formula.number(self),
        }
    }

    /// The second up to which what a metric counts has aged; `None` where it is not to be known.
    fn aged(&self, kind: &MetricKind) -> Option<i64> {
        let now = self.as_of.as_second();
        let silent = &self.lifecycle.silent;
        if silent.is_empty() || self.unheard == Unheard::Nothing {
            return Some(now);
        }
        let (measures, over) = match kind {
            MetricKind::Total { measure, minus, over } => ([Some(*measure), *minus], *over),
            MetricKind::DaysWith { measure, over } | MetricKind::Distinct { measure, over } => {
                ([Some(*measure), None], Some(*over))
            }
            MetricKind::Latest { measure, stale_after } => ([Some(*measure), None], *stale_after),
            MetricKind::Change { measure, over } => ([Some(*measure), None], Some(2 * over)),
            MetricKind::DaysSince { measure } => ([Some(*measure), None], None),
            // It is told by what it reads.
            MetricKind::Formula(_) => return Some(now),
        };
        let measures = measures.into_iter().flatten();
        let since = measures.clone().filter_map(|measure| silent.of(measure)).min();
        let Some(since) = since.filter(|since| *since < self.as_of) else { return Some(now) };
        let is_kept = |measure| over.is_none_or(|over| self.keeps(measure, over, since));
        let is_known = self.unheard == Unheard::Still && measures.clone().all(is_kept);
        is_known.then(|| since.as_second())
    }

    /// Whether the profile still has what a window counted as of an instant: a later fold lets go of
    /// what is older than its own windows.
    fn keeps(&self, measure: usize, over: i64, as_of: Timestamp) -> bool {
        let profile = &self.customer.profile;
        let keep_days = self.lifecycle.measures.list()[measure].keep_days;
        // Hours are kept for two days before the fold; a day more for what is rounded.
        let oldest = keep_days.map(|days| profile.hourly_from + (3 - i64::from(days)) * DAY);
        profile.reaches_back_to(as_of)
            || oldest.is_none_or(|oldest| oldest <= as_of.as_second() - over)
    }

    /// What a measure of a metric comes to: of the customer, and of the accounts below it where the
    /// metric rolls up.
    pub(crate) fn counted(
        &self,
        metric: &Metric,
        measure: usize,
    ) -> impl Iterator<Item = &'a Series> + use<'a> {
        let key = self.lifecycle.measures.list()[measure].key;
        let customer = self.customer;
        let below = if metric.rolls_up { customer.below.as_slice() } else { &[] };
        let profiles = std::iter::once(&customer.profile).chain(below);
        profiles.filter_map(move |profile| profile.series.get(&key))
    }

    fn tallies(
        &self,
        metric: &Metric,
        measure: usize,
    ) -> impl Iterator<Item = &'a Tally> + use<'a> {
        self.counted(metric, measure).filter_map(|series| match series {
            Series::Tally(tally) => Some(tally),
            _ => None,
        })
    }

    fn newest(&self, metric: &Metric, measure: usize) -> impl Iterator<Item = Cell> + use<'a> {
        let now = self.as_of.as_second();
        self.counted(metric, measure).filter_map(move |series| match series {
            Series::Latest(tally) => tally.newest(now),
            _ => None,
        })
    }

    /// The last event a measure counted by this instant, in seconds since the epoch.
    #[must_use]
    pub fn last_event(&self, measure: usize) -> Option<i64> {
        self.tally(measure)?.last(self.as_of.as_second())
    }

    /// The calendar days of the last `over` seconds on which a measure counted something.
    #[must_use]
    pub fn days_with(&self, measure: usize, over: i64) -> f64 {
        let (now, calendar) = (self.as_of.as_second(), &self.lifecycle.calendar);
        let cells = self.tally(measure).map_or(&[][..], |t| t.between(Some(now - over), now));
        let mut days = 0.0;
        let mut last: Option<Date> = None;
        for cell in cells {
            let date = Timestamp::from_second(cell.at).map(|at| calendar.date(at)).ok();
            if date != last {
                days += 1.0;
                last = date;
            }
        }
        days
    }

    /// What a measure added up over so many days.
    #[must_use]
    pub fn count(&self, measure: usize, days: u32) -> f64 {
        let now = self.as_of.as_second();
        self.tally(measure).map_or(0.0, |t| t.total(Some(now - i64::from(days) * DAY), now))
    }

    /// What a measure counted by this instant, in the order of time.
    #[must_use]
    pub fn cells(&self, measure: usize) -> &'a [Cell] {
        self.tally(measure).map_or(&[][..], |tally| tally.between(None, self.as_of.as_second()))
    }

    /// A trait's value by now; `None` is missing.
    #[must_use]
    pub fn told(&self, index: usize) -> Option<&'a TraitState> {
        let state = self.customer.profile.traits.get(&self.lifecycle.traits[index].name)?;
        let known = state.since <= self.as_of.as_millisecond() && state.value != Scalar::Null;
        known.then_some(state)
    }

    /// Whether a metric is missing only because its newest value is too old.
    pub(crate) fn is_stale(&self, index: usize) -> bool {
        let metric = &self.lifecycle.metrics[index];
        let MetricKind::Latest { measure, stale_after: Some(_) } = &metric.kind else {
            return false;
        };
        self.newest(metric, *measure).next().is_some() && self.metric(index).is_none()
    }

    /// What was asked and answered; nothing where it never was.
    pub(crate) fn answers(&self, measure: usize) -> Option<&'a Answers> {
        match self.customer.profile.series.get(&self.lifecycle.measures.list()[measure].key)? {
            Series::Answers(answers) => Some(answers),
            _ => None,
        }
    }

    fn tally(&self, measure: usize) -> Option<&'a Tally> {
        match self.customer.profile.series.get(&self.lifecycle.measures.list()[measure].key)? {
            Series::Tally(tally) => Some(tally),
            _ => None,
        }
    }

    /// A trait's value, if it is one of the declared type.
    pub(crate) fn trait_value(&self, index: usize) -> Value<'a> {
        let Some(state) = self.told(index) else { return Value::Missing };
        match (&state.value, &self.lifecycle.traits[index].ty) {
            (Scalar::Number(number), Type::Number) => Value::Number(*number),
            (Scalar::Text(text), Type::Number) => {
                let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                number.map_or(Value::Missing, Value::Number)
            }
            (Scalar::Text(text), Type::Text | Type::Words(_)) => Value::Text(text),
            (Scalar::Text(text), Type::Date) => {
                date_of(text, self.lifecycle).map_or(Value::Missing, Value::Date)
            }
            (Scalar::YesNo(flag), Type::YesNo) => Value::YesNo(*flag),
            (Scalar::Text(text), Type::YesNo) => match text.as_str() {
                "true" | "yes" => Value::YesNo(true),
                "false" | "no" => Value::YesNo(false),
                _ => Value::Missing,
            },
            _ => Value::Missing,
        }
    }
}

/// A date as senders write it: `2026-12-25`, or an instant whose local date counts.
pub(crate) fn date_of(text: &str, lifecycle: &Lifecycle) -> Option<Date> {
    if text.len() > 10
        && let Ok(instant) = text.parse::<Timestamp>()
    {
        return Some(lifecycle.calendar.date(instant));
    }
    text.get(..10).unwrap_or(text).parse().ok()
}

impl Row for Facts<'_> {
    fn get(&self, name: &Name) -> Value<'_> {
        if let Some(supposed) = self.supposed.filter(|one| one.slot == Slot::of(name.slot)) {
            return supposed.value.as_value();
        }
        let number = |value: Option<f64>| value.map_or(Value::Missing, Value::Number);
        let status = &self.customer.status;
        let stage = status.stage.as_ref().filter(|stage| stage.since <= self.as_of);
        let risk = status.risk.as_ref().filter(|risk| risk.band_since <= self.as_of);
        match Slot::of(name.slot) {
            Slot::Metric(index) => number(self.metric(index)),
            Slot::Trait(index) => self.trait_value(index),
            Slot::Segment(index) => match self.lifecycle.segments[index].condition.truth(self) {
                Truth::Yes => Value::YesNo(true),
                Truth::No => Value::YesNo(false),
                Truth::Unknown => Value::Missing,
            },
            Slot::StageName => stage.map_or(Value::Missing, |stage| Value::Text(&stage.name)),
            Slot::StageDays => number(stage.map(|stage| {
                (self.as_of.as_second() - stage.since.as_second()).div_euclid(DAY) as f64
            })),
            Slot::RiskBand => risk.map_or(Value::Missing, |risk| Value::Text(&risk.band)),
            Slot::RiskProbability => number(risk.map(|risk| risk.probability)),
            Slot::HealthScore => number(score::health(self).map(|health| health.score)),
            Slot::Open => Value::Missing,
        }
    }

    fn number(&self, name: &Name) -> Option<f64> {
        match Slot::of(name.slot) {
            Slot::Metric(index) if self.supposed.is_none() => self.metric(index),
            _ => match self.get(name) {
                Value::Number(number) => Some(number),
                _ => None,
            },
        }
    }

    fn has(&self, name: &Name) -> Truth {
        let is_there = self.get(name).finite() != Value::Missing;
        let is_hidden = || {
            let Slot::Metric(index) = Slot::of(name.slot) else { return false };
            let since = self.stilled(&self.lifecycle.read_by_metric(index));
            since.is_some_and(|since| {
                self.unheard == Unheard::Unknown || !self.customer.profile.reaches_back_to(since)
            })
        };
        if !is_there && is_hidden() { Truth::Unknown } else { Truth::from(is_there) }
    }

    fn today(&self) -> Date {
        self.lifecycle.calendar.date(self.as_of)
    }
}
