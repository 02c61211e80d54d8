//! Whether a source of events is heard as it should be, and the one finding that says so.
//!
//! Two rules, both of the whole fleet and never of a customer:
//!
//! - **late**: nothing new came for longer than the feed's `expect_every`, counted from when the file was
//!   applied where nothing ever came. Elapsed time, nights and weekends included.
//! - **dropped**: much less came than in the same hours of the weeks before. Of the last 3, 6, 12 or 24
//!   whole hours the shortest stretch is taken in which usually at least 500 events come, else the last
//!   24 hours if at least 100 do: of fewer, half may be chance (a Poisson count of 100 falls below 60
//!   once in 50,000 stretches). It is a drop below 60 % of the **least** of the last two to four weeks at
//!   the same local time, so that a quiet week that is usual is none. Days are compared with days of
//!   their kind: a holiday with no working day. After a week the new rate is the usual one.
//!   It is over when the last three hours come to 75 % of that least again; what came before is then
//!   not looked at any more.
//!
//! The comparison with the same hours of past weeks is the seasonal naive forecast (Hyndman and
//! Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition, section 5.2).
//!
//! Invariants: of a feed one finding is open at a time; looking again at the same instant changes nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::feed::Feed;
use crate::journal::Reason;
use crate::period::{Calendar, Period};

/// For how many weeks hours are kept, the present one included.
const WEEKS: i64 = 5;
/// With how many past weeks hours are compared at most.
const PAST_WEEKS: i64 = 4;
/// And at least.
const LEAST_WEEKS: usize = 2;
const WEEK_HOURS: i64 = 7 * 24;
/// The stretches that are looked at, in hours.
const STRETCHES: [i64; 4] = [3, 6, 12, 24];
/// In a stretch usually come so many events.
const ENOUGH: u64 = 500;
/// Or, in the longest, so many.
const LEAST: u64 = 100;
/// Below this share of the least of past weeks it is a drop.
const DROPPED_BELOW: f64 = 0.6;
/// From this share on it is over.
const BACK_FROM: f64 = 0.75;
/// In the last hours usually come so many events, or they tell nothing of an end.
const ENOUGH_TO_END: u64 = 20;
/// Counts of an hour are whole so many seconds after it.
const SETTLED_AFTER: i64 = 300;
/// So soon after its end the same finding is open again.
pub const REOPEN_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// How it is with a feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It is heard of as it should be, as far as can be told.
    #[default]
    Fresh,
    /// Nothing came for too long.
    Late,
    /// Much less came than usual.
    Dropped,
}

impl Health {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Fresh => "fresh",
            Health::Late => "late",
            Health::Dropped => "dropped",
        }
    }
}

/// How many events came in each whole hour of the last weeks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// The first hour, since 1970.
    from: i64,
    counts: Vec<u64>,
}

impl Rates {
    /// Takes over the hours that are whole by now, of what is told from `oldest` on. A gap starts anew:
    /// hours of which nothing is known are not hours in which nothing came.
    #[must_use]
    pub fn with(mut self, hours: &BTreeMap<i64, u64>, oldest: i64, now: Timestamp) -> Rates {
        let end = (now.as_second() - SETTLED_AFTER).div_euclid(3_600);
        if self.counts.is_empty() || self.until() < oldest {
            // The hour in which the first event came is no whole one.
            let first = hours.keys().next().map_or(end, |first| (first + 1).max(oldest));
            self = Rates { from: first.min(end), counts: Vec::new() };
        }
        for hour in self.until()..end {
            self.counts.push(hours.get(&hour).copied().unwrap_or_default());
        }
        let too_old = self.counts.len().saturating_sub((WEEKS * WEEK_HOURS) as usize);
        self.counts.drain(..too_old);
        self.from += too_old as i64;
        self
    }

    /// The hour after the last one.
    #[must_use]
    pub fn until(&self) -> i64 {
        self.from + self.counts.len() as i64
    }

    /// What came from an hour up to another, where all of it is known.
    fn sum(&self, from: i64, until: i64) -> Option<u64> {
        let start = usize::try_from(from - self.from).ok()?;
        let end = usize::try_from(until - self.from).ok()?;
        Some(self.counts.get(start..end)?.iter().sum())
    }

    /// What came in the last `hours`, and in the same hours of past weeks.
    fn compare(&self, hours: i64, calendar: &Calendar) -> Option<Compared> {
        let until = self.until();
        let seen = self.sum(until - hours, until)?;
        let mut past: Vec<u64> = (1..=PAST_WEEKS)
            .filter_map(|week| {
                let end = weeks_before(until, hours, week, calendar)?;
                self.sum(end - hours, end)
            })
            .collect();
        past.sort_unstable();
        let (least, usual) = (*past.first()?, *past.get((past.len() - 1) / 2)?);
        (past.len() >= LEAST_WEEKS).then_some(Compared { hours, seen, least, usual })
    }

    /// The stretch that tells most, of hours after `cleared`.
    fn stretch(&self, calendar: &Calendar, cleared: i64) -> Option<Compared> {
        let mut stretches = STRETCHES.into_iter().filter(|hours| self.until() - hours >= cleared);
        let told = |hours| self.compare(hours, calendar);
        let enough = stretches.find_map(|hours| told(hours).filter(|it| it.usual >= ENOUGH));
        let longest = STRETCHES[STRETCHES.len() - 1];
        let all =
            || told(longest).filter(|it| it.usual >= LEAST && self.until() - longest >= cleared);
        enough.or_else(all)
    }
}

/// The end of the same hours so many weeks before, by local time; `None` where the days are of another
/// kind.
fn weeks_before(until: i64, hours: i64, weeks: i64, calendar: &Calendar) -> Option<i64> {
    let local = |hour: i64| {
        Timestamp::from_second(hour * 3_600).ok().map(|at| at.to_zoned(calendar.zone().clone()))
    };
    let (end, first) = (local(until)?, local(until - hours)?);
    let (then, then_first) =
        (end.checked_sub(weeks.weeks()).ok()?, first.checked_sub(weeks.weeks()).ok()?);
    let is_alike = |one: &jiff::Zoned, other: &jiff::Zoned| {
        calendar.is_workday(one.date()) == calendar.is_workday(other.date())
    };
    let alike = is_alike(&end, &then) && is_alike(&first, &then_first);
    alike.then(|| then.timestamp().as_second().div_euclid(3_600))
}

/// What came, against what usually comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// In so many hours.
    pub hours: i64,
    /// Events that came.
    pub seen: u64,
    /// The least of past weeks.
    pub least: u64,
    /// The middle of past weeks.
    pub usual: u64,
}

impl Compared {
    fn is_below(&self, share: f64) -> bool {
        (self.seen as f64) < share * self.least as f64
    }
}

/// How it is with a feed, and its last finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedHealth {
    /// How it is.
    pub health: Health,
    /// From when on nothing is to be concluded from its silence: when it was last heard of, or when the
    /// stretch of a drop began. `None` while it is fresh.
    pub silent_since: Option<Timestamp>,
    /// When the last finding was opened.
    pub opened_at: Option<Timestamp>,
    /// When it was closed; `None` while it is open.
    pub closed_at: Option<Timestamp>,
    /// How often it was opened again.
    #[serde(default)]
    pub reopened: u32,
    /// When it was last heard of, when the finding was opened.
    pub heard_at: Option<Timestamp>,
    /// What came then, against what usually comes.
    pub compared: Option<Compared>,
}

impl FeedHealth {
    /// How it is with a feed of which nothing was ever amiss.
    pub const FRESH: FeedHealth = FeedHealth {
        health: Health::Fresh,
        silent_since: None,
        opened_at: None,
        closed_at: None,
        reopened: 0,
        heard_at: None,
        compared: None,
    };

    /// Whether its finding is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.health != Health::Fresh
    }
}

/// What is known of a feed.
#[derive(Debug, Clone, Copy)]
pub struct Listened<'a> {
    /// When its last new event came.
    pub heard_at: Option<Timestamp>,
    /// Since when it is expected.
    pub declared_at: Timestamp,
    /// How many events came when.
    pub rates: &'a Rates,
}

/// What becomes of the finding of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedChange {
    /// The feed.
    pub feed: String,
    /// What it does.
    pub turn: Turn,
    /// The evidence.
    pub reasons: Vec<Reason>,
}

/// How the finding of a feed changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A new finding is open.
    Opens,
    /// The last one is open again.
    Reopens,
    /// It is closed.
    Closes,
}

/// How it is with a feed now, and what that changes about its finding.
#[must_use]
pub fn watch(
    feed: &Feed,
    before: &FeedHealth,
    listened: &Listened<'_>,
    calendar: &Calendar,
    now: Timestamp,
) -> (FeedHealth, Option<FeedChange>) {
    let (health, silent_since, compared) = state(feed, before, listened, calendar, now);
    let after = |turn| {
        let reasons = evidence(feed, health, listened, compared.as_ref());
        Some(FeedChange { feed: feed.name.clone(), turn, reasons })
    };
    match (before.is_open(), health) {
        (false, Health::Fresh) => (before.clone(), None),
        // It stays; what is amiss may be another thing. Silence began when it began.
        (true, Health::Late | Health::Dropped) => {
            let earliest = before.silent_since.into_iter().chain(silent_since).min();
            (FeedHealth { health, silent_since: earliest, ..before.clone() }, None)
        }
        (true, Health::Fresh) => {
            let closed = Some(now);
            let fresh = FeedHealth { health, silent_since, closed_at: closed, ..before.clone() };
            (fresh, after(Turn::Closes))
        }
        (false, Health::Late | Health::Dropped) => {
            let again = before.closed_at.is_some_and(|at| now.duration_since(at) <= REOPEN_WITHIN);
            let (turn, opened_at, reopened) = match again {
                true => (Turn::Reopens, before.opened_at, before.reopened + 1),
                false => (Turn::Opens, Some(now), 0),
            };
            let heard_at = listened.heard_at;
            let found = FeedHealth {
                health,
                silent_since,
                opened_at,
                closed_at: None,
                reopened,
                heard_at,
                compared,
            };
            (found, after(turn))
        }
    }
}

/// What is so of a feed that the lifecycle file no longer declares: nothing, and its finding is closed.
#[must_use]
pub fn forget(name: &str, before: &FeedHealth, now: Timestamp) -> (FeedHealth, Option<FeedChange>) {
    if !before.is_open() {
        return (before.clone(), None);
    }
    let reasons = vec![Reason::of_fact("the feed is no longer declared".to_owned(), &[])];
    let closed = FeedHealth {
        health: Health::Fresh,
        silent_since: None,
        closed_at: Some(now),
        ..before.clone()
    };
    (closed, Some(FeedChange { feed: name.to_owned(), turn: Turn::Closes, reasons }))
}

fn state(
    feed: &Feed,
    before: &FeedHealth,
    listened: &Listened<'_>,
    calendar: &Calendar,
    now: Timestamp,
) -> (Health, Option<Timestamp>, Option<Compared>) {
    let heard = listened.heard_at.unwrap_or(listened.declared_at);
    let rates = listened.rates;
    let cleared = before.closed_at.map_or(i64::MIN, |at| at.as_second().div_euclid(3_600));
    let compared = rates.stretch(calendar, cleared);
    if late_since(feed, heard).is_some_and(|due| due < now) {
        return (Health::Late, Some(heard), compared);
    }
    if before.health == Health::Dropped {
        let last = rates.compare(STRETCHES[0], calendar).filter(|it| it.usual >= ENOUGH_TO_END);
        let last = last.or_else(|| rates.compare(STRETCHES[STRETCHES.len() - 1], calendar));
        return match last {
            Some(last) if last.is_below(BACK_FROM) => {
                (Health::Dropped, before.silent_since, Some(last))
            }
            last => (Health::Fresh, None, last),
        };
    }
    match compared.filter(|compared| compared.is_below(DROPPED_BELOW)) {
        Some(compared) => {
            let began = Timestamp::from_second((rates.until() - compared.hours) * 3_600);
            (Health::Dropped, Some(began.unwrap_or(heard).min(heard)), Some(compared))
        }
        None => (Health::Fresh, None, compared),
    }
}

/// From when on a feed is late that was last heard of at an instant; never where the file says nothing.
#[must_use]
pub fn late_since(feed: &Feed, heard: Timestamp) -> Option<Timestamp> {
    match feed.expect_every? {
        Period::Elapsed(seconds) => heard.checked_add(SignedDuration::from_secs(seconds)).ok(),
        // The file takes none here.
        Period::Workdays(_) => None,
    }
}

fn evidence(
    feed: &Feed,
    health: Health,
    listened: &Listened<'_>,
    compared: Option<&Compared>,
) -> Vec<Reason> {
    let heard = listened.heard_at.map(|at| at.to_string());
    let every = feed.expect_every.map(|every| every.to_string());
    let told = match health {
        Health::Fresh => "events come again".to_owned(),
        Health::Late => format!("nothing came for more than {}", every.as_deref().unwrap_or("?")),
        Health::Dropped => compared.map_or_else(String::new, |of| {
            format!(
                "{} events in {} hours, where {} are usual and {} the least",
                of.seen, of.hours, of.usual, of.least
            )
        }),
    };
    let mut inputs = vec![("last_heard", Json::from(heard)), ("expect_every", Json::from(every))];
    if let Some(compared) = compared {
        inputs.extend([
            ("hours", Json::from(compared.hours)),
            ("events", Json::from(compared.seen)),
            ("usual", Json::from(compared.usual)),
            ("least", Json::from(compared.least)),
        ]);
    }
    vec![Reason::of_fact(told, &inputs)]
}

#[cfg(test)]
mod tests;
