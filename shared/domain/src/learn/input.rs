//! What a model looks at: numbers and words that are told of a customer as of any instant, the same
//! way in a snapshot of the past and in the nightly run.

use jiff::Timestamp;
use risk::btyd::BgNbd;
use risk::special::logit;

use crate::alive::history;
use crate::expr::{Type, Value};
use crate::facts::Facts;
use crate::lifecycle::{Learned, Lifecycle, MetricKind, Slot};
use crate::period::DAY;

/// The days of the windows that events are counted over.
pub(crate) const WINDOWS: [u32; 3] = [7, 28, 84];
/// For so many days back events are counted: the longest window and the one before it.
pub(crate) const KEEP_DAYS: u32 = 168;

/// One thing that a model looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name: the path of a metric or a trait, or the event's and what is counted of it.
    pub name: String,
    /// What it is.
    pub kind: InputKind,
}

/// What an input is. Numbers are indexes: of metrics, of traits, and of measures.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// A metric of the lifecycle file.
    Metric(usize),
    /// A fact that was told.
    Trait(usize),
    /// How many of an event in so many days.
    Count {
        /// The count of the event.
        measure: usize,
        /// The window.
        days: u32,
    },
    /// Which share of the events of 56 days fell into the last 28: a half is steady.
    Trend(usize),
    /// Days with the event, of 28.
    ActiveDays(usize),
    /// Days since the last one; missing where there was none.
    Since(usize),
    /// Events in 28 days, as the mean of 84 days or of as many as the customer is known for.
    Rate(usize),
    /// Events for each of another event, over 84 days.
    Ratio {
        /// The count of the event.
        measure: usize,
        /// The count of the other.
        of: usize,
    },
    /// Days since the customer's first event.
    Tenure,
    /// The probability of none of the rhythm's event, by the rhythm of all customers, as a logit.
    Alive,
}

impl InputKind {
    /// The count of the event that it is made of, where it is made of one.
    #[must_use]
    pub(crate) fn event(&self) -> Option<usize> {
        match *self {
            InputKind::Count { measure, .. }
            | InputKind::Ratio { measure, .. }
            | InputKind::Trend(measure)
            | InputKind::ActiveDays(measure)
            | InputKind::Since(measure)
            | InputKind::Rate(measure) => Some(measure),
            InputKind::Metric(_) | InputKind::Trait(_) | InputKind::Tenure | InputKind::Alive => {
                None
            }
        }
    }

    /// Whether it tells who a customer is, which nobody can act upon, and not what it does.
    #[must_use]
    pub fn is_context(&self) -> bool {
        matches!(self, InputKind::Trait(_) | InputKind::Tenure)
    }
}

/// The inputs that count one event; `main` is the event of the rhythm.
pub(crate) fn of_event(event: &str, measure: usize, main: (&str, usize)) -> Vec<Input> {
    let named = |what: &str, kind| Input { name: format!("{event}.{what}"), kind };
    let mut inputs: Vec<Input> = WINDOWS
        .iter()
        .map(|&days| named(&format!("{days}d"), InputKind::Count { measure, days }))
        .collect();
    inputs.extend([
        named("trend", InputKind::Trend(measure)),
        named("days_28d", InputKind::ActiveDays(measure)),
        named("since", InputKind::Since(measure)),
        named("rate", InputKind::Rate(measure)),
    ]);
    if measure != main.1 {
        let kind = InputKind::Ratio { measure, of: main.1 };
        inputs.push(named(&format!("per_{}", main.0), kind));
    }
    inputs
}

/// The value of an input: a number, or the place of a word among the declared ones; `NaN` where it is
/// missing. What comes after the instant of `facts` has no part in it.
#[must_use]
pub(crate) fn value(facts: &Facts<'_>, kind: &InputKind, learned: &Learned, rhythm: &BgNbd) -> f64 {
    let share = |part: f64, all: f64| if all > 0.0 { part / all } else { f64::NAN };
    match *kind {
        InputKind::Metric(index) => facts.metric(index).unwrap_or(f64::NAN),
        InputKind::Trait(index) => trait_value(facts, index),
        InputKind::Count { measure, days } => facts.count(measure, days),
        InputKind::Trend(measure) => share(facts.count(measure, 28), facts.count(measure, 56)),
        InputKind::ActiveDays(measure) => facts.days_with(measure, 28 * DAY),
        InputKind::Since(measure) => {
            let last = facts.last_event(measure);
            last.map_or(f64::NAN, |last| (facts.as_of.as_second() - last) as f64 / DAY as f64)
        }
        InputKind::Rate(measure) => {
            let days = tenure(facts).clamp(7.0, 84.0);
            facts.count(measure, 84) / days * 28.0
        }
        InputKind::Ratio { measure, of } => share(facts.count(measure, 84), facts.count(of, 84)),
        InputKind::Tenure => tenure(facts),
        InputKind::Alive => history(facts, learned.alive.measure).map_or(f64::NAN, |history| {
            let p = rhythm.p_none(&history, f64::from(learned.alive.horizon_days));
            logit(p.clamp(1e-6, 1.0 - 1e-6))
        }),
    }
}

/// Days since the customer's first event.
pub(crate) fn tenure(facts: &Facts<'_>) -> f64 {
    ((facts.as_of.as_second() - facts.first_second()) as f64 / DAY as f64).max(0.0)
}

fn trait_value(facts: &Facts<'_>, index: usize) -> f64 {
    match facts.trait_value(index) {
        Value::Number(number) => number,
        Value::YesNo(flag) => f64::from(u8::from(flag)),
        Value::Date(date) => {
            let today = facts.lifecycle.calendar.date(facts.as_of);
            date.duration_since(today).as_hours() as f64 / 24.0
        }
        Value::Text(text) => words(facts.lifecycle, index)
            .and_then(|words| words.iter().position(|word| word == text))
            .map_or(f64::NAN, |place| place as f64),
        Value::Missing => f64::NAN,
    }
}

/// The words that a trait may be, where it is one of some.
pub(crate) fn words(lifecycle: &Lifecycle, index: usize) -> Option<Vec<String>> {
    match &lifecycle.traits[index].ty {
        Type::Words(words) => Some(words.iter().map(|word| word.to_string()).collect()),
        _ => None,
    }
}

/// The definition of an input: the same text is the same number.
pub(crate) fn definition(lifecycle: &Lifecycle, input: &Input) -> String {
    match input.kind {
        InputKind::Metric(index) => format!("{}={}", input.name, metric(lifecycle, index)),
        InputKind::Trait(index) => {
            format!("{}:{:?}", input.name, words(lifecycle, index).unwrap_or_default())
        }
        _ => input.name.clone(),
    }
}

fn metric(lifecycle: &Lifecycle, index: usize) -> String {
    let key = |measure: &usize| lifecycle.measures.list()[*measure].key;
    match &lifecycle.metrics[index].kind {
        MetricKind::Total { measure, minus, over } => {
            format!("total {} {:?} {over:?}", key(measure), minus.as_ref().map(key))
        }
        MetricKind::DaysWith { measure, over } => format!("days {} {over}", key(measure)),
        MetricKind::Distinct { measure, over } => format!("distinct {} {over}", key(measure)),
        MetricKind::Latest { measure, stale_after } => {
            format!("latest {} {stale_after:?}", key(measure))
        }
        MetricKind::DaysSince { measure } => format!("since {}", key(measure)),
        MetricKind::Change { measure, over } => format!("change {} {over}", key(measure)),
        MetricKind::Formula(formula) => {
            let mut text = formula.source().to_owned();
            for name in formula.names() {
                if let Slot::Metric(index) = Slot::of(name.slot) {
                    text.push_str(&format!("; {}={}", name.path, metric(lifecycle, index)));
                }
            }
            text
        }
    }
}

/// The instant four weeks before: what a customer's own past is told as of.
pub(crate) fn four_weeks_before(at: Timestamp) -> Timestamp {
    at.saturating_sub(jiff::SignedDuration::from_hours(28 * 24)).unwrap_or(Timestamp::MIN)
}
