//! Reads what adherence is told from: the journal of some days, and every customer.

use std::collections::{BTreeMap, BTreeSet};

use domain::adherence::{Adherence, By, Row};
use domain::by_hand;
use domain::customer::Customer;
use domain::journal::{ChangeKind, JournalEntry};
use domain::lifecycle::Lifecycle;
use domain::period::Calendar;
use jiff::{SignedDuration, Timestamp};

use crate::store::{CustomerFilter, CustomerKey, Store, StoreError};

/// How many days are told of where nothing is said.
pub const DEFAULT_DAYS: i64 = 30;
/// The most days of one answer.
pub const MAX_DAYS: i64 = 400;
/// The most entries of the journal that are held for one answer.
const MAX_ENTRIES: usize = 200_000;
/// How many customers are read at a time.
const PAGE: i32 = 1_000;

/// Why adherence cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum AdherenceError {
    /// The tables cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is more than one answer can hold.
    #[error(
        "the journal has more than {MAX_ENTRIES} entries that count in these days: ask for fewer"
    )]
    TooMany,
}

/// Why something is no part of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// An end of it is no point in time.
    #[error("`from` and `to` are instants, or dates as 2026-03-01")]
    Ends,
    /// It ends before it begins, or is too long.
    #[error("`from` comes before `to`, by at most {MAX_DAYS} days")]
    Length,
}

/// A part of history: from an instant up to but not including another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    /// From an instant to a later one, at most [`MAX_DAYS`] days.
    #[must_use]
    pub fn new(from: Timestamp, to: Timestamp) -> Option<Span> {
        let most = SignedDuration::from_hours(24 * MAX_DAYS);
        (from < to && to.duration_since(from) <= most).then_some(Span { from, to })
    }

    /// Reads the ends that somebody asks for: instants, or dates of a calendar. Without `to` until `now`,
    /// without `from` so many days before `to`.
    ///
    /// # Errors
    /// When an end is neither, or they are too far apart or in the wrong order.
    pub fn asked(
        (from, to): (Option<&str>, Option<&str>),
        calendar: &Calendar,
        days: i64,
        now: Timestamp,
    ) -> Result<Span, SpanError> {
        let instant = |text: Option<&str>| {
            let text = text.filter(|text| !text.is_empty());
            text.map(|text| by_hand::until(text, calendar)).transpose().map_err(|_| SpanError::Ends)
        };
        let to = instant(to)?.unwrap_or(now);
        let before = || to.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(to);
        let from = instant(from)?.unwrap_or_else(before);
        Span::new(from, to).ok_or(SpanError::Length)
    }

    /// The same part, without what has not happened yet.
    ///
    /// # Errors
    /// When nothing of it has.
    pub fn until(self, now: Timestamp) -> Result<Span, SpanError> {
        Span::new(self.from, self.to.min(now)).ok_or(SpanError::Length)
    }

    /// From when on.
    #[must_use]
    pub fn from(self) -> Timestamp {
        self.from
    }

    /// Up to when.
    #[must_use]
    pub fn to(self) -> Timestamp {
        self.to
    }

    /// The days in UTC, by which the journal is indexed.
    fn days(self) -> impl Iterator<Item = String> {
        let mut at = Some(self.from);
        let mut days = BTreeSet::new();
        while let Some(day) = at.filter(|day| *day < self.to) {
            days.insert(day.to_string()[..10].to_owned());
            at = day.saturating_add(SignedDuration::from_hours(24)).ok();
        }
        days.insert(self.to.to_string()[..10].to_owned());
        days.into_iter()
    }
}

/// How well standards are kept: what happened in a part of history, and how customers stand at `now`.
///
/// # Errors
/// When the tables cannot be read, or the journal of these days is too large.
pub async fn read(
    store: &Store,
    lifecycle: &Lifecycle,
    by: By,
    span: Span,
    now: Timestamp,
) -> Result<Vec<Row>, AdherenceError> {
    let counts = |kind| matches!(kind, ChangeKind::Finding | ChangeKind::Met | ChangeKind::Stage);
    let mut told = happened(store, span, counts).await?;
    let mut adherence = Adherence::new(lifecycle, by, now);
    let mut cursor: Option<String> = None;
    loop {
        let page = store.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
        for found in page.items {
            let entries = told.remove(&found.key).unwrap_or_default();
            let found = store.with_below(found, lifecycle).await?;
            adherence.happened(&found.customer, entries);
            adherence.stands(&found.customer);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    // Of those that were erased or joined another one it is still known what was met and broken.
    for entries in told.into_values() {
        adherence.happened(&Customer::default(), entries);
    }
    Ok(adherence.rows())
}

/// The entries of the kinds that count, by customer.
pub(crate) async fn happened(
    store: &Store,
    span: Span,
    counts: impl Fn(ChangeKind) -> bool,
) -> Result<BTreeMap<CustomerKey, Vec<JournalEntry>>, AdherenceError> {
    let mut told: BTreeMap<CustomerKey, Vec<JournalEntry>> = BTreeMap::new();
    let mut count = 0;
    for day in span.days() {
        let mut cursor: Option<String> = None;
        loop {
            let page = store.journal_of_day(&day, cursor.as_deref()).await?;
            for (key, entry) in page.items {
                let is_asked = span.from <= entry.at && entry.at < span.to;
                if is_asked && counts(entry.kind) {
                    count += 1;
                    told.entry(key).or_default().push(entry);
                }
            }
            if count > MAX_ENTRIES {
                return Err(AdherenceError::TooMany);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_days_and_an_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let span = Span::new(at("2026-02-27T23:00:00Z"), at("2026-03-01T01:00:00Z")).unwrap();
        let days: Vec<String> = span.days().collect();
        assert_eq!(days, ["2026-02-27", "2026-02-28", "2026-03-01"]);
        assert!(Span::new(at("2026-03-01T00:00:00Z"), at("2026-03-01T00:00:00Z")).is_none());
        assert!(Span::new(at("2024-03-01T00:00:00Z"), at("2026-03-01T00:00:00Z")).is_none());
    }
}
