//! What would change it: for each input the smallest change that moves the customer, found by
//! deciding again with that one value supposed.
//!
//! A supposition holds for as long as the criteria look back, so that a `for` is fulfilled by it.
//! Values of derived inputs follow from those they are made of.

use jiff::ToSpan;
use serde_json::Value as Json;

use crate::decide::{StageStep, step_of};
use crate::expr::{Condition, Name, Row, Type, Value};
use crate::facts::{Facts, Supposed, Supposition};
use crate::journal::value_json;
use crate::lifecycle::{MetricKind, RiskModel, Slot};
use crate::period::Period;

/// The furthest a number is tried away from what it is, in powers of two.
const POWERS: i32 = 24;
/// The most values of one input that are decided upon.
const TRIES: usize = 160;

/// One change that would move the customer.
#[derive(Debug, Clone, PartialEq)]
pub struct WhatIf {
    /// The input.
    pub input: String,
    /// Its value.
    pub from: Json,
    /// The nearest value that moves the customer; null is not known.
    pub to: Json,
    /// The stage it moves to.
    pub stage: String,
    /// The rule that would decide.
    pub rule: String,
    /// For how long it would have to be so.
    pub hold: Option<Period>,
    /// How large the change is, against the value: for ordering only.
    pub(super) size: f64,
}

pub(super) fn what_if(facts: &Facts<'_>) -> Vec<WhatIf> {
    let inputs = super::provenance::names(facts);
    let mut found: Vec<WhatIf> =
        inputs.into_iter().filter_map(|name| Trial::new(facts, name).smallest()).collect();
    found.sort_by(|a, b| a.size.total_cmp(&b.size));
    found
}

/// One input whose values are tried.
struct Trial<'a> {
    facts: Facts<'a>,
    name: &'a Name,
    slot: Slot,
    /// Where the customer goes, or stays, without a change.
    goes: Option<String>,
}

/// A value that moves the customer.
struct Found {
    value: Supposition,
    step: StageStep,
    size: f64,
}

impl<'a> Trial<'a> {
    fn new(facts: &Facts<'a>, name: &'a Name) -> Trial<'a> {
        let goes = destination(facts, &step_of(facts));
        Trial { facts: *facts, name, slot: Slot::of(name.slot), goes }
    }

    fn smallest(&self) -> Option<WhatIf> {
        let found = match self.slot {
            Slot::Metric(index) => match &self.facts.lifecycle.metrics[index].kind {
                // What it is made of is tried instead.
                MetricKind::Formula(_) => None,
                MetricKind::Total { minus: None, .. }
                | MetricKind::DaysWith { .. }
                | MetricKind::Distinct { .. }
                | MetricKind::DaysSince { .. } => self.number(Some(0.0), self.is_whole(index)),
                MetricKind::Total { .. } => self.number(None, self.is_whole(index)),
                _ => self.number(None, false),
            },
            Slot::Trait(index) => match &self.facts.lifecycle.traits[index].ty {
                Type::Number => self.number(None, false).or_else(|| self.missing()),
                Type::Words(words) => {
                    self.one_of(words.iter().map(|word| Supposition::Text(word.to_string())))
                }
                Type::YesNo => self.one_of([true, false].map(Supposition::YesNo)),
                Type::Date => self.date(),
                _ => self.one_of([Supposition::Text("something".to_owned())]),
            },
            Slot::RiskBand => {
                let bands = self.facts.lifecycle.risk.iter().flat_map(RiskModel::bands);
                self.one_of(bands.map(|band| Supposition::Text(band.name.clone())))
            }
            _ => None,
        }?;
        let change = found.step.change?;
        Some(WhatIf {
            input: self.name.path.to_string(),
            from: value_json(self.facts.get(self.name)),
            to: value_json(found.value.as_value()),
            stage: change.to.clone().unwrap_or_default(),
            hold: self.hold_of(&change.rule),
            rule: change.rule,
            size: found.size,
        })
    }

    fn is_whole(&self, index: usize) -> bool {
        use crate::measure::Counting;
        let list = self.facts.lifecycle.measures.list();
        match &self.facts.lifecycle.metrics[index].kind {
            MetricKind::Total { measure, .. } => list[*measure].counting == Counting::Count,
            _ => true,
        }
    }

    fn hold_of(&self, rule: &str) -> Option<Period> {
        let (stage, way) = rule.strip_prefix("stages.")?.split_once('.')?;
        let stage = super::stage(&self.facts, stage)?;
        match way {
            "leave" => stage.leave.as_ref()?.hold,
            _ => stage.enter.as_ref()?.hold,
        }
    }

    /// Decides with a value: the step, when it leads elsewhere.
    fn try_value(&self, value: &Supposition) -> Option<StageStep> {
        let supposed = Supposed { slot: self.slot, value: value.clone() };
        let step = step_of(&self.facts.supposing(&supposed));
        let moves = step.change.is_some() && destination(&self.facts, &step) != self.goes;
        moves.then_some(step)
    }

    fn one_of(&self, values: impl IntoIterator<Item = Supposition>) -> Option<Found> {
        let present = self.facts.get(self.name);
        let others = values.into_iter().filter(|value| value.as_value() != present);
        let mut found = others
            .filter_map(|value| Some(Found { step: self.try_value(&value)?, value, size: 1.0 }));
        found.next().or_else(|| self.missing())
    }

    fn missing(&self) -> Option<Found> {
        if self.facts.get(self.name) == Value::Missing {
            return None;
        }
        let value = Supposition::Missing;
        // To forget something is a larger change than any other.
        Some(Found { step: self.try_value(&value)?, value, size: 100.0 })
    }

    /// The numbers that the criteria compare with, and those next to them.
    fn thresholds(&self) -> Vec<f64> {
        let lifecycle = self.facts.lifecycle;
        let of_segments = lifecycle.segments.iter().map(|segment| &segment.condition);
        let conditions = super::provenance::conditions(&self.facts).chain(of_segments);
        let mut found: Vec<f64> = conditions.flat_map(Condition::numbers).collect();
        found.sort_by(f64::total_cmp);
        found.dedup();
        found
    }

    /// The nearest number that moves the customer.
    fn number(&self, least: Option<f64>, is_whole: bool) -> Option<Found> {
        let present = match self.facts.get(self.name) {
            Value::Number(number) => Some(number),
            _ => None,
        };
        let from = present.unwrap_or(0.0);
        let unit = if is_whole { 1.0 } else { (from.abs() / 100.0).max(0.01) };
        let mut values: Vec<f64> = Vec::new();
        for power in 0..POWERS {
            let step = unit * f64::from(1 << power);
            values.extend([from + step, from - step]);
        }
        for threshold in self.thresholds() {
            values.extend([threshold - unit, threshold, threshold + unit]);
        }
        values.retain(|value| {
            least.is_none_or(|least| *value >= least)
                && Some(*value) != present
                && (!is_whole || value.fract() == 0.0)
        });
        values.sort_by(|a, b| (a - from).abs().total_cmp(&(b - from).abs()).then(a.total_cmp(b)));
        values.dedup();
        values.truncate(TRIES);
        let mut still = [from, from];
        for value in values {
            let side = usize::from(value > from);
            match self.try_value(&Supposition::Number(value)) {
                None => still[side] = value,
                Some(step) => {
                    let (value, step) = self.nearer(still[side], value, step, is_whole);
                    let size = (value - from).abs() / from.abs().max(1.0);
                    return Some(Found { value: Supposition::Number(value), step, size });
                }
            }
        }
        None
    }

    /// Halves the way between a number that does not move the customer and one that does.
    fn nearer(
        &self,
        mut still: f64,
        mut moves: f64,
        mut step: StageStep,
        is_whole: bool,
    ) -> (f64, StageStep) {
        for _ in 0..40 {
            let middle = match is_whole {
                true => ((still + moves) / 2.0).round(),
                false => (still + moves) / 2.0,
            };
            let is_close = (moves - still).abs() <= 1e-6 * moves.abs().max(1.0);
            if middle == still || middle == moves || is_close {
                break;
            }
            match self.try_value(&Supposition::Number(middle)) {
                Some(found) => (moves, step) = (middle, found),
                None => still = middle,
            }
        }
        // A number that a person can say, where one is as good.
        for places in 0..5 {
            let scale = 10_f64.powi(places);
            let short = match moves > still {
                true => (moves * scale - 1e-4).ceil() / scale,
                false => (moves * scale + 1e-4).floor() / scale,
            };
            if (short - moves).abs() <= 0.005 * moves.abs().max(1.0)
                && let Some(found) = self.try_value(&Supposition::Number(short))
            {
                return (short, found);
            }
        }
        (moves, step)
    }

    /// The nearest date that moves the customer, or else that there is none.
    fn date(&self) -> Option<Found> {
        let today = self.facts.today();
        let present = match self.facts.get(self.name) {
            Value::Date(date) => Some(date),
            _ => None,
        };
        let from = present.unwrap_or(today);
        let mut days: Vec<i32> = vec![-1, 0, 1];
        for threshold in self.thresholds() {
            if threshold.abs() < 4_000.0 {
                let days_off = threshold as i32;
                days.extend([-1, 0, 1].map(|near| days_off + near));
                days.extend([-1, 0, 1].map(|near| -days_off + near));
            }
        }
        let mut dates: Vec<_> = days.iter().map(|days| today.saturating_add(days.days())).collect();
        let distance = |date: &jiff::civil::Date| {
            from.until(*date).map_or(i32::MAX, |span| span.get_days().abs())
        };
        dates.sort_by_key(|date| (distance(date), *date));
        dates.dedup();
        let dates = dates.into_iter().filter(|date| Some(*date) != present).take(TRIES);
        let mut found = dates.filter_map(|date| {
            let value = Supposition::Date(date);
            let size = f64::from(distance(&date).max(1)) / 30.0;
            Some(Found { step: self.try_value(&value)?, value, size })
        });
        found.next().or_else(|| self.missing())
    }
}

/// The stage that a step leaves the customer in.
fn destination(facts: &Facts<'_>, step: &StageStep) -> Option<String> {
    let present = facts.customer.status.stage.as_ref().map(|stage| stage.name.clone());
    step.change.as_ref().map_or(present, |change| change.to.clone())
}

impl WhatIf {
    /// The same as a sentence without a full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        let to = super::said(&self.to);
        let from = super::said(&self.from);
        let hold = self.hold.map(|hold| format!(" for {hold}")).unwrap_or_default();
        format!("if {} were {to} (it is {from}){hold}: {}", self.input, self.stage)
    }
}
