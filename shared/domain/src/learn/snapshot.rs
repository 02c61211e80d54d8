//! Snapshots: what was known of a customer on days of the past, and what became of it.
//!
//! # No future
//!
//! A snapshot of a day looks at events that had happened *and* had been received by then: a late one
//! would tell what nobody knew. Of what was received before a customer's first event ever reached the
//! pack (history that was imported) nobody noted when it was known; there the event's own time is
//! taken. From then on lateness counts, whatever its reason.
//!
//! What became of a customer is told only for windows that are over, from everything that is known
//! now. Customers who leave within the lead time are left out: it was too late for them.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use risk::btyd::{BgNbd, History};

use super::input::{tenure, value};
use crate::alive::history;
use crate::customer::{Customer, Scalar};
use crate::event::Event;
use crate::expr::Value;
use crate::facts::Facts;
use crate::fold::{self, HourRange, Scope};
use crate::lifecycle::{Learned, Leaves, Lifecycle};
use crate::period::{DAY, HOUR};

/// A customer that is known for less has no past to learn from.
const LEAST_TENURE_DAYS: f64 = 14.0;
/// At most so many days are looked at.
const MOST_DAYS: usize = 60;

/// What was known of a customer on a day.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The customer: a hash of its key.
    pub customer: u64,
    /// The day: which of [`days`].
    pub day: usize,
    /// Whether it left within the window.
    pub left: bool,
    /// The inputs, in their order, but for that of the rhythm, which is not fitted yet.
    pub row: Vec<f64>,
    /// When it had the rhythm's event.
    pub history: Option<History>,
}

/// What one customer teaches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taught {
    /// Its snapshots.
    pub snapshots: Vec<Snapshot>,
    /// When it had the rhythm's event, as of the last of [`days`].
    pub by_last_day: Option<History>,
    /// When it had the rhythm's event, as of now.
    pub by_now: Option<History>,
}

/// The days that are looked at, rising: a horizon apart, and the last one with a window that is over.
#[must_use]
pub fn days(learned: &Learned, now: Timestamp) -> Vec<Timestamp> {
    let window = i64::from(learned.window_days());
    let step = i64::from(learned.step_days());
    let back = |days: i64| now.saturating_sub(SignedDuration::from_hours(24 * days)).ok();
    let mut days: Vec<Timestamp> =
        (0..MOST_DAYS as i64).map_while(|number| back(window + number * step)).collect();
    days.reverse();
    days
}

/// Takes the snapshots of one customer. `log` is [`crate::replay::in_order`]; `days` rise; what happened
/// or came in after `now` is not looked at.
#[must_use]
pub fn snapshots(
    lifecycle: &Lifecycle,
    learned: &Learned,
    customer: u64,
    log: &[Event],
    days: &[Timestamp],
    now: Timestamp,
) -> Taught {
    let mut taught = Taught::default();
    let mut past = Past::new(lifecycle, log);
    let truth: Vec<&Event> =
        log.iter().filter(|event| event.at <= now && past.known(event) <= now).collect();
    for (day, at, renewal) in looks(lifecycle, learned, &truth, days, now) {
        past.until(at);
        if past.customer.profile.is_new() {
            continue;
        }
        let facts = Facts::new(&past.customer, lifecycle, at);
        if renewal.is_none() && day + 1 == days.len() {
            taught.by_last_day = history(&facts, learned.alive.measure);
        }
        if tenure(&facts) < LEAST_TENURE_DAYS || !learned.concerns(&facts) {
            continue;
        }
        if renewal.is_some_and(|renewal| learned.renewal(&facts) != Some(renewal)) {
            continue;
        }
        if let Some(left) = label(lifecycle, learned, &truth, at, renewal) {
            // The rhythm is fitted after all customers were seen.
            let unknown = BgNbd { r: 1.0, alpha: 1.0, a: 1.0, b: 1.0 };
            let of = |input: &super::Input| value(&facts, &input.kind, learned, &unknown);
            taught.snapshots.push(Snapshot {
                customer,
                day,
                left,
                row: learned.inputs.iter().map(of).collect(),
                history: history(&facts, learned.alive.measure),
            });
        }
    }
    past.until(now);
    let facts = Facts::new(&past.customer, lifecycle, now);
    taught.by_now = history(&facts, learned.alive.measure);
    taught
}

/// The instants at which a customer is looked at: the days, or ahead of each date of renewal.
fn looks(
    lifecycle: &Lifecycle,
    learned: &Learned,
    truth: &[&Event],
    days: &[Timestamp],
    now: Timestamp,
) -> Vec<(usize, Timestamp, Option<jiff::civil::Date>)> {
    let mut looks: Vec<_> = days.iter().enumerate().map(|(day, at)| (day, *at, None)).collect();
    let Leaves::NotRenewed { date, .. } = &learned.leaves else { return looks };
    let name = &lifecycle.traits[*date].name;
    let mut told: Vec<jiff::civil::Date> = truth
        .iter()
        .filter_map(|event| match event.traits()?.get(name).and_then(Scalar::from_json)? {
            Scalar::Text(text) => crate::facts::date_of(&text, lifecycle),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    told.dedup();
    for renewal in told {
        let calendar = &lifecycle.calendar;
        let ahead = SignedDuration::from_hours(24 * i64::from(learned.lead_days));
        let Ok(at) = calendar.start_of(renewal).checked_sub(ahead) else { continue };
        // It belongs to the last day that is not after it.
        let day = days.partition_point(|day| *day <= at);
        if day > 0 && closes(learned, at) <= now {
            looks.push((day - 1, at, Some(renewal)));
        }
    }
    looks.sort_by_key(|(_, at, _)| *at);
    looks
}

/// When the window of a snapshot is over.
fn closes(learned: &Learned, at: Timestamp) -> Timestamp {
    let window = SignedDuration::from_hours(24 * i64::from(learned.window_days()));
    at.saturating_add(window).unwrap_or(Timestamp::MAX)
}

/// What became of a customer that was looked at: whether it left within the window; `None` for one
/// that is not to be learnt from.
fn label(
    lifecycle: &Lifecycle,
    learned: &Learned,
    truth: &[&Event],
    at: Timestamp,
    renewal: Option<jiff::civil::Date>,
) -> Option<bool> {
    let lead = SignedDuration::from_hours(24 * i64::from(learned.lead_days));
    let from = at.saturating_add(lead).unwrap_or(Timestamp::MAX);
    let until = closes(learned, at);
    let happens = |measure: usize, after: Timestamp| {
        let measure = &lifecycle.measures.list()[measure];
        truth.iter().any(|event| after < event.at && event.at <= until && measure.takes(event))
    };
    match (&learned.leaves, renewal) {
        (Leaves::With(measure), _) => {
            let at_once = truth.iter().any(|event| {
                at < event.at
                    && event.at <= from
                    && lifecycle.measures.list()[*measure].takes(event)
            });
            (!at_once).then(|| happens(*measure, from))
        }
        (Leaves::Without(measure), _) => Some(!happens(*measure, from)),
        (Leaves::NotRenewed { by, .. }, Some(_)) => Some(!happens(*by, at)),
        (Leaves::NotRenewed { .. }, None) => None,
    }
}

/// A customer's past, lived through again by what was known when.
struct Past<'a> {
    lifecycle: &'a Lifecycle,
    log: &'a [Event],
    /// When the first of its events reached the pack.
    since: Timestamp,
    /// Whether each event was known when it happened, as nearly all are.
    is_punctual: bool,
    seen: Option<Timestamp>,
    customer: Customer,
}

impl<'a> Past<'a> {
    fn new(lifecycle: &'a Lifecycle, log: &'a [Event]) -> Past<'a> {
        let since = log.iter().map(|event| event.received_at).min().unwrap_or(Timestamp::MAX);
        let mut past = Past {
            lifecycle,
            log,
            since,
            is_punctual: true,
            seen: None,
            customer: Customer::default(),
        };
        past.is_punctual = log.iter().all(|event| past.known(event) == event.at);
        past
    }

    /// When an event was known.
    fn known(&self, event: &Event) -> Timestamp {
        if event.at < self.since { event.at } else { event.at.max(event.received_at) }
    }

    /// Folds in what had happened, and was known, by an instant. Instants rise. It is folded as of the
    /// last event that came, as the commit that took it was.
    fn until(&mut self, now: Timestamp) {
        let end = self.log.partition_point(|event| event.at <= now);
        let is_new = |event: &&Event| {
            let known = self.known(event);
            known <= now && self.seen.is_none_or(|seen| known > seen)
        };
        let new: Vec<Event> = self.log[..end].iter().filter(is_new).cloned().collect();
        let Some(came) = new.iter().map(|event| self.known(event)).max() else {
            self.seen = self.seen.max(Some(now));
            return;
        };
        let profile = &mut self.customer.profile;
        let scope = match profile.is_new() {
            true => Scope::Whole,
            false => fold::scope(profile, self.lifecycle, &new, came),
        };
        let first = match &scope {
            Scope::Whole => 0,
            Scope::Buckets { hours, .. } => {
                hours.first().map_or(end, |HourRange { from, .. }| {
                    self.log.partition_point(|event| event.at.as_second() < from * HOUR)
                })
            }
        };
        let log = &self.log[first.min(end)..end];
        let read = match self.is_punctual {
            true => Cow::Borrowed(log),
            false => {
                let known = log.iter().filter(|event| self.known(event) <= now);
                Cow::Owned(known.cloned().collect())
            }
        };
        fold::fold(&mut self.customer.profile, self.lifecycle, &scope, &read, came);
        self.seen = Some(now);
    }
}

impl Learned {
    /// From a snapshot to the end of its window, in days.
    #[must_use]
    pub fn window_days(&self) -> u32 {
        self.lead_days + self.horizon_days
    }

    /// Days from one snapshot to the next.
    #[must_use]
    pub fn step_days(&self) -> u32 {
        self.horizon_days.max(7)
    }

    /// Whether a customer can leave, as far as is known: whether it is here at all.
    #[must_use]
    pub fn concerns(&self, facts: &Facts<'_>) -> bool {
        match &self.leaves {
            // Gone, and nothing done since.
            Leaves::With(measure) => match facts.last_event(*measure) {
                None => facts.first_second() <= facts.as_of.as_second(),
                Some(gone) => self
                    .events
                    .iter()
                    .any(|(_, event)| facts.last_event(*event).is_some_and(|last| last > gone)),
            },
            Leaves::Without(measure) => facts.last_event(*measure).is_some_and(|last| {
                facts.as_of.as_second() - last <= i64::from(self.horizon_days) * DAY
            }),
            Leaves::NotRenewed { .. } => {
                self.renewal(facts).is_some_and(|renewal| renewal >= self.calendar_day(facts))
            }
        }
    }

    fn calendar_day(&self, facts: &Facts<'_>) -> jiff::civil::Date {
        facts.lifecycle.calendar.date(facts.as_of)
    }

    /// The date of renewal, as it is known.
    fn renewal(&self, facts: &Facts<'_>) -> Option<jiff::civil::Date> {
        let Leaves::NotRenewed { date, .. } = &self.leaves else { return None };
        match facts.trait_value(*date) {
            Value::Date(date) => Some(date),
            _ => None,
        }
    }
}
