//! The days of a simulated company, one after the other.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::account::{Account, Today};
use super::{Call, Stop, Tally};

/// What company to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many accounts it has in all.
    pub accounts: u32,
    /// How many months are told.
    pub months: u32,
    /// The same seed tells the same story.
    pub seed: u64,
    /// The story ends before the UTC day of this instant.
    pub until: Timestamp,
}

/// A company. Memory is that of its accounts and of one day's calls, however long it lives.
pub struct Company {
    accounts: Vec<Account>,
    first: Date,
    day: i32,
    days: i32,
    stop: Option<Stop>,
    /// What has happened so far.
    pub tally: Tally,
}

impl Company {
    /// A company on the evening before its first day.
    #[must_use]
    pub fn new(shape: Shape) -> Company {
        let end = TimeZone::UTC.to_datetime(shape.until).date();
        let months = i32::try_from(shape.months).unwrap_or(i32::MAX);
        let first = end.saturating_sub(months.months());
        let days = first.until(end).map_or(0, |span| span.get_days());
        let accounts = 1..=shape.accounts;
        Company {
            accounts: accounts.map(|number| Account::new(shape.seed, number, days)).collect(),
            first,
            day: 0,
            days,
            stop: None,
            tally: Tally::default(),
        }
    }

    /// The same company, one of whose sources goes silent. What it lives through is the same.
    #[must_use]
    pub fn stopping(self, stop: Option<Stop>) -> Company {
        Company { stop, ..self }
    }

    /// How many days there are in all.
    #[must_use]
    pub fn days(&self) -> u64 {
        u64::try_from(self.days).unwrap_or(0)
    }

    /// The calls of the next day in the order of their time; none after the last.
    pub fn next_day(&mut self) -> Option<Vec<Call>> {
        if self.day >= self.days {
            return None;
        }
        let date = self.first.saturating_add(self.day.days());
        let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let mut calls = Vec::new();
        for account in &mut self.accounts {
            let (day, tally) = (self.day, &mut self.tally);
            account.live(&mut Today { day, date, midnight, calls: &mut calls, tally });
        }
        if let Some(stop) = self.stop {
            let all = calls.len();
            calls.retain(|call| !stop.loses(call));
            self.tally.events -= (all - calls.len()) as u64;
        }
        calls.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        if let (Some(first), Some(last)) = (calls.first(), calls.last()) {
            self.tally.first_at.get_or_insert(first.at);
            self.tally.last_at = Some(last.at);
        }
        self.day += 1;
        Some(calls)
    }
}
