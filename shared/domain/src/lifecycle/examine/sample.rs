//! Made-up customers: values on both sides of every constant that a condition compares with, in
//! every combination where those are few, and some thousands of combinations where they are many.
//!
//! Values that cannot be true together are not tried: who was idle for longer than a window has no
//! event in it, and a longer window never holds less than a shorter one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, date};

use super::conditions::Asked;
use crate::expr::{Condition, Name, Row, Truth, Type, Value};
use crate::journal::value_json;
use crate::lifecycle::{Lifecycle, MetricKind, RiskModel, Slot};
use crate::period::DAY;

/// The most made-up customers one condition is asked about.
const MAX_TRIES: usize = 3_000;
/// The most values tried of one name.
const MAX_VALUES: usize = 24;
/// Some day.
const TODAY: Date = date(2026, 6, 15);

/// A value that can be tried.
#[derive(Debug, Clone, PartialEq)]
enum Tried {
    Missing,
    Number(f64),
    Text(Arc<str>),
    Date(Date),
    YesNo(bool),
}

impl Tried {
    fn value(&self) -> Value<'_> {
        match self {
            Tried::Missing => Value::Missing,
            Tried::Number(number) => Value::Number(*number),
            Tried::Text(text) => Value::Text(text),
            Tried::Date(date) => Value::Date(*date),
            Tried::YesNo(flag) => Value::YesNo(*flag),
        }
    }
}

/// The values worth trying, by slot.
pub(super) struct Samples<'l> {
    lifecycle: &'l Lifecycle,
    values: BTreeMap<u32, Vec<Tried>>,
}

/// What made-up customers answered to a condition.
pub(super) struct Answers<'s> {
    /// One who said yes.
    pub yes: Option<Sample<'s>>,
    /// One of whom the most parts hold.
    nearest: Option<Sample<'s>>,
    pub is_always_yes: bool,
    tried: usize,
}

impl Answers<'_> {
    /// On what the nearest customer failed.
    pub fn why_not(&self, condition: &Condition) -> String {
        let Some(sample) = &self.nearest else { return "it has nothing to ask for".to_owned() };
        let leaves = condition.leaves(sample);
        let failed = leaves.iter().find(|leaf| leaf.value != Truth::Yes);
        let part = failed.map_or("the whole", |leaf| leaf.expression);
        format!(
            "{} made-up customers were tried: the nearest, with {}, fails on `{part}`",
            self.tried,
            sample.describe(condition)
        )
    }
}

impl<'l> Samples<'l> {
    pub fn new(lifecycle: &'l Lifecycle, asked: &[Asked<'_>]) -> Samples<'l> {
        let mut samples = Samples { lifecycle, values: BTreeMap::new() };
        for asked in asked {
            asked.condition.each_comparison(&mut |names, constants| {
                for name in names {
                    samples.beside(name.slot, constants);
                }
            });
        }
        samples
    }

    /// Notes values on both sides of constants that a name is compared with.
    fn beside(&mut self, slot: u32, constants: &[Value<'_>]) {
        if let Slot::Metric(index) = Slot::of(slot)
            && let MetricKind::Formula(formula) = &self.lifecycle.metrics[index].kind
        {
            for name in formula.names() {
                self.beside(name.slot, constants);
            }
        }
        let ty = self.type_of(slot);
        let values = self.values.entry(slot).or_default();
        let mut add = |value: Tried| {
            if values.len() < MAX_VALUES && !values.contains(&value) {
                values.push(value);
            }
        };
        let day = |days: i64| TODAY.saturating_add(days.clamp(-9_999, 9_999).days());
        for constant in constants {
            match (&ty, constant) {
                (Some(Type::Date), Value::Number(number)) => {
                    for days in [*number - 1.0, *number, *number + 1.0] {
                        add(Tried::Date(day(days as i64)));
                        add(Tried::Date(day(-days as i64)));
                    }
                }
                (_, Value::Number(number)) => {
                    let (low, high) = (number.floor(), number.ceil());
                    [low - 1.0, low, *number, high, high + 1.0]
                        .into_iter()
                        .for_each(|number| add(Tried::Number(number)));
                }
                (_, Value::Date(date)) => {
                    for days in [-1, 0, 1] {
                        add(Tried::Date(date.saturating_add(days.days())));
                    }
                }
                (_, Value::Text(text)) => add(Tried::Text(Arc::from(*text))),
                (_, Value::YesNo(_) | Value::Missing) => {}
            }
        }
    }

    fn type_of(&self, slot: u32) -> Option<Type> {
        match Slot::of(slot) {
            Slot::Trait(index) => Some(self.lifecycle.traits[index].ty.clone()),
            _ => None,
        }
    }

    /// Every value to try of a name.
    fn of(&self, slot: u32) -> Vec<Tried> {
        let noted = self.values.get(&slot).map_or(&[][..], Vec::as_slice).iter().cloned();
        let numbers = |list: &[f64]| list.iter().map(|n| Tried::Number(*n)).collect::<Vec<_>>();
        let words = |names: Vec<&str>| -> Vec<Tried> {
            names.into_iter().map(|name| Tried::Text(Arc::from(name))).collect()
        };
        let mut values: Vec<Tried> = match Slot::of(slot) {
            Slot::Metric(index) => {
                let kind = &self.lifecycle.metrics[index].kind;
                let is_count = matches!(
                    kind,
                    MetricKind::DaysWith { .. }
                        | MetricKind::Distinct { .. }
                        | MetricKind::DaysSince { .. }
                        | MetricKind::Total { minus: None, .. }
                );
                let usual = numbers(&[0.0, 1.0, 5.0, 40.0]);
                let mut values: Vec<Tried> = noted.chain(usual).collect();
                if is_count {
                    values.retain(|value| !matches!(value, Tried::Number(n) if *n < 0.0));
                }
                let is_always_known = matches!(
                    kind,
                    MetricKind::DaysWith { .. }
                        | MetricKind::Distinct { .. }
                        | MetricKind::Total { .. }
                );
                values.extend((!is_always_known).then_some(Tried::Missing));
                values
            }
            Slot::Trait(index) => {
                let usual = match &self.lifecycle.traits[index].ty {
                    Type::Number => numbers(&[0.0, 1.0, 40.0]),
                    Type::Words(list) => words(list.iter().map(|word| &**word).collect()),
                    Type::Text => words(vec!["another"]),
                    Type::Date => [-40, -1, 0, 1, 40]
                        .map(|days: i64| Tried::Date(TODAY.saturating_add(days.days())))
                        .to_vec(),
                    Type::YesNo => vec![Tried::YesNo(true), Tried::YesNo(false)],
                    Type::Dynamic => Vec::new(),
                };
                noted.chain(usual).chain([Tried::Missing]).collect()
            }
            Slot::RiskBand => {
                let bands = self.lifecycle.risk.iter().flat_map(RiskModel::bands);
                let known = words(bands.map(|band| band.name.as_str()).collect());
                noted.chain(known).chain([Tried::Missing]).collect()
            }
            Slot::StageName => {
                let stages = &self.lifecycle.stages;
                noted
                    .chain(words(stages.iter().map(|stage| stage.name.as_str()).collect()))
                    .collect()
            }
            Slot::StageDays | Slot::RiskProbability | Slot::HealthScore => {
                noted.chain(numbers(&[0.0, 1.0, 40.0])).chain([Tried::Missing]).collect()
            }
            Slot::Segment(_) | Slot::Open => Vec::new(),
        };
        let mut unique = Vec::with_capacity(values.len());
        values.retain(|value| {
            !unique.contains(value) && {
                unique.push(value.clone());
                true
            }
        });
        values
    }

    /// The slots that a condition reads in the end, through segments and formulas.
    fn slots(&self, conditions: &[&Condition]) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut open: Vec<u32> = conditions
            .iter()
            .flat_map(|condition| condition.names().into_iter().map(|name| name.slot))
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(slot) = open.pop() {
            if !seen.insert(slot) {
                continue;
            }
            match Slot::of(slot) {
                Slot::Segment(index) => {
                    let names = self.lifecycle.segments[index].condition.names();
                    open.extend(names.into_iter().map(|name| name.slot));
                }
                Slot::Metric(index) => match &self.lifecycle.metrics[index].kind {
                    MetricKind::Formula(formula) => {
                        open.extend(formula.names().iter().map(|name| name.slot));
                    }
                    _ => slots.push(slot),
                },
                Slot::Open => {}
                _ => slots.push(slot),
            }
        }
        slots.sort_unstable();
        slots
    }

    /// Made-up customers that differ in what the conditions read.
    fn customers<'s>(
        &'s self,
        conditions: &[&Condition],
    ) -> impl Iterator<Item = Sample<'s>> + use<'s, 'l> {
        let choices: Vec<(u32, Vec<Tried>)> =
            self.slots(conditions).into_iter().map(|slot| (slot, self.of(slot))).collect();
        let all = choices
            .iter()
            .try_fold(1_usize, |all, (_, values)| all.checked_mul(values.len().max(1)))
            .unwrap_or(usize::MAX);
        let count = all.min(MAX_TRIES);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        (0..count).map(move |index| {
            let mut rest = index;
            let values = choices.iter().map(|(slot, values)| {
                let at = if all <= MAX_TRIES {
                    let at = rest % values.len().max(1);
                    rest /= values.len().max(1);
                    at
                } else {
                    // Xorshift (Marsaglia 2003): the same customers every time.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    usize::try_from(random % values.len().max(1) as u64).unwrap_or(0)
                };
                (*slot, values.get(at).cloned().unwrap_or(Tried::Missing))
            });
            let mut sample = Sample { lifecycle: self.lifecycle, values: values.collect() };
            sample.settle();
            sample
        })
    }

    pub fn answers(&self, condition: &Condition) -> Answers<'_> {
        let mut answers = Answers { yes: None, nearest: None, is_always_yes: true, tried: 0 };
        let mut best = None;
        for sample in self.customers(&[condition]) {
            answers.tried += 1;
            match condition.truth(&sample) {
                Truth::Yes if answers.yes.is_none() => answers.yes = Some(sample),
                Truth::Yes => {}
                Truth::No | Truth::Unknown => {
                    answers.is_always_yes = false;
                    if answers.yes.is_none() {
                        let leaves = condition.leaves(&sample);
                        let holding = leaves.iter().filter(|leaf| leaf.value == Truth::Yes).count();
                        if best.is_none_or(|best| holding > best) {
                            best = Some(holding);
                            answers.nearest = Some(sample);
                        }
                    }
                }
            }
            if answers.yes.is_some() && !answers.is_always_yes {
                break;
            }
        }
        answers
    }

    /// A customer who meets both conditions, in words.
    pub fn both(&self, one: &Condition, other: &Condition) -> Option<String> {
        let mut customers = self.customers(&[one, other]);
        let witness = customers
            .find(|sample| one.truth(sample) == Truth::Yes && other.truth(sample) == Truth::Yes)?;
        let (mine, theirs) = (witness.describe(one), witness.describe(other));
        let mut parts: Vec<&str> = mine.split(", ").chain(theirs.split(", ")).collect();
        parts.sort_unstable();
        parts.dedup();
        Some(parts.join(", "))
    }
}

/// A made-up customer.
pub(super) struct Sample<'s> {
    lifecycle: &'s Lifecycle,
    values: BTreeMap<u32, Tried>,
}

impl Sample<'_> {
    /// Makes values agree that hang together.
    fn settle(&mut self) {
        let lifecycle = self.lifecycle;
        let metrics = || lifecycle.metrics.iter().enumerate();
        let slot = |index: usize| Slot::Metric(index).number();
        let idle: Vec<(usize, Option<f64>)> = metrics()
            .filter_map(|(index, metric)| match &metric.kind {
                MetricKind::DaysSince { measure } => match self.values.get(&slot(index))? {
                    Tried::Number(days) => Some((*measure, Some(*days))),
                    _ => Some((*measure, None)),
                },
                _ => None,
            })
            .collect();
        let mut windows: Vec<(usize, i64, usize)> = metrics()
            .filter_map(|(index, metric)| match &metric.kind {
                MetricKind::Total { measure, minus: None, over } => {
                    Some((*measure, over.unwrap_or(i64::MAX), index))
                }
                MetricKind::DaysWith { measure, over } => Some((*measure, *over, index)),
                _ => None,
            })
            .collect();
        windows.sort_unstable();
        let mut before: Option<(usize, bool, f64)> = None;
        for (measure, over, index) in windows {
            let days_with = matches!(lifecycle.metrics[index].kind, MetricKind::DaysWith { .. });
            let Some(Tried::Number(value)) = self.values.get_mut(&slot(index)) else { continue };
            if let Some((_, idle)) = idle.iter().find(|(of, _)| *of == measure) {
                let is_in =
                    idle.is_some_and(|days| over == i64::MAX || days * (DAY as f64) < over as f64);
                *value = if is_in { value.max(1.0) } else { 0.0 };
            }
            if let Some((of, kind, shorter)) = before
                && of == measure
                && kind == days_with
            {
                *value = value.max(shorter);
            }
            before = Some((measure, days_with, *value));
        }
    }

    /// The values a condition reads: `metrics.x = 3, traits.plan = "team"`.
    fn describe(&self, condition: &Condition) -> String {
        let names = condition.names();
        let parts: Vec<String> = names
            .iter()
            .map(|name| match value_json(self.get(name)) {
                serde_json::Value::Null => format!("no {}", name.path),
                value => format!("{} = {value}", name.path),
            })
            .collect();
        parts.join(", ")
    }
}

impl Row for Sample<'_> {
    fn get(&self, name: &Name) -> Value<'_> {
        match Slot::of(name.slot) {
            Slot::Segment(index) => self.lifecycle.segments[index].condition.truth(self).into(),
            Slot::Metric(index) => match &self.lifecycle.metrics[index].kind {
                MetricKind::Formula(formula) => {
                    formula.number(self).map_or(Value::Missing, Value::Number)
                }
                _ => self.values.get(&name.slot).map_or(Value::Missing, Tried::value),
            },
            _ => self.values.get(&name.slot).map_or(Value::Missing, Tried::value),
        }
    }

    fn today(&self) -> Date {
        TODAY
    }
}
