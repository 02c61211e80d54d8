//! Events into a profile.
//!
//! The profile is a function of the set of events, not of the order they came in: tallies are
//! recomputed bucket by bucket from everything the log holds of that bucket, traits keep the newest
//! by the event's own time and id. Doing any fold again changes nothing.
//!
//! What holds exactly, for commits at rising instants in any order and batching, against one fold
//! of everything at the last of them: tallies and newest values are equal cell by cell, and so are
//! traits; sets answer the same for every window and look-back the lifecycle has, unless one of them has
//! ever held more than [`crate::distinct::EXACT_LIMIT`] values, when both are estimates.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::answers::{Answers, Mark, MarkKind};
use crate::customer::{Profile, Scalar, Series, TraitState};
use crate::event::{Event, EventKind};
use crate::lifecycle::{Lifecycle, Subject};
use crate::measure::{Counting, Measure};
use crate::period::{DAY, HOUR};
use crate::tally::{Cell, Join, Tally};

#[cfg(test)]
mod tests;

/// Hours of the log, as numbers since the epoch: `from` up to but not including `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourRange {
    /// The first hour.
    pub from: i64,
    /// The hour after the last.
    pub to: i64,
}

impl HourRange {
    /// All hours there are.
    pub const ALL: HourRange = HourRange { from: i64::MIN, to: i64::MAX };
}

/// The hour of the log an instant lies in.
#[must_use]
pub fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR)
}

/// What has to be read from the log, and recomputed, for new events to count.
#[derive(Debug, Clone, PartialEq)]
pub enum Scope {
    /// The whole log of the customer: the profile was folded for other measures.
    Whole,
    /// The buckets the events fall in.
    Buckets {
        /// Where those buckets start, in seconds since the epoch.
        starts: BTreeSet<i64>,
        /// The hours of the log that cover them, merged and in order; [`HourRange::ALL`] where a
        /// fact was told late: since when it holds, only the tellings around that one know.
        hours: Vec<HourRange>,
    },
}

impl Scope {
    /// Whether the whole log is read.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        match self {
            Scope::Whole => true,
            Scope::Buckets { hours, .. } => hours.as_slice() == [HourRange::ALL],
        }
    }
}

/// What has to be read so that these events can be folded in.
#[must_use]
pub fn scope(profile: &Profile, lifecycle: &Lifecycle, events: &[Event], now: Timestamp) -> Scope {
    if !profile.is_new() && profile.measures != lifecycle.measures.fingerprint {
        return Scope::Whole;
    }
    let grid = Grid::of(profile, lifecycle, now);
    if events.iter().any(|event| is_upsetting(profile, lifecycle, &grid, event)) {
        return Scope::Whole;
    }
    let mut starts = BTreeSet::new();
    let mut hours = Vec::new();
    for event in events {
        let at = event.at.as_second();
        if starts.insert(grid.bucket(at)) {
            let (from, to) = grid.span(at);
            hours.push(HourRange { from: from.div_euclid(HOUR), to: to.div_euclid(HOUR) + 1 });
        }
    }
    let is_contrary =
        |event: &Event| !contradicted(profile, &tellings(lifecycle, [event])).is_empty();
    if events.iter().any(is_contrary) {
        return Scope::Buckets { starts, hours: vec![HourRange::ALL] };
    }
    hours.sort_unstable();
    let mut merged: Vec<HourRange> = Vec::with_capacity(hours.len());
    for range in hours {
        match merged.last_mut() {
            Some(last) if range.from <= last.to => last.to = last.to.max(range.to),
            _ => merged.push(range),
        }
    }
    Scope::Buckets { starts, hours: merged }
}

/// Whether an event answers, days late, a question after which others were let go of: only the log
/// knows what it leaves unanswered.
fn is_upsetting(profile: &Profile, lifecycle: &Lifecycle, grid: &Grid<'_>, event: &Event) -> bool {
    let at = event.at.as_second();
    if at >= grid.hourly_from {
        return false;
    }
    let mut answered =
        lifecycle.measures.of_event(event).filter(|measure| measure.is_answered_by(event));
    answered.any(|measure| match profile.series.get(&measure.key) {
        Some(Series::Answers(answers)) => answers.is_upset_by(at),
        _ => false,
    })
}

/// Folds into `profile` everything the log holds of a scope. `events` may hold more than the
/// scope's buckets; what lies outside them is passed over.
pub fn fold(
    profile: &mut Profile,
    lifecycle: &Lifecycle,
    scope: &Scope,
    events: &[Event],
    now: Timestamp,
) {
    if *scope == Scope::Whole {
        *profile = Profile::default();
    }
    let grid = Grid::of(profile, lifecycle, now);
    profile.measures = lifecycle.measures.fingerprint;
    let starts = starts(lifecycle, &grid, now);
    age(profile, &grid);
    forget(profile, &starts);

    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    sorted.dedup_by(|a, b| a.id == b.id && a.at == b.at);
    let read = sorted.clone();
    let touched = Touched::of(scope, &grid);
    sorted.retain(|event| touched.holds(event.at.as_second()));

    see(profile, &sorted);
    count(profile, lifecycle, &grid, &starts, &touched, &sorted);
    tell_traits(profile, lifecycle, &sorted, &read);
    forget(profile, &starts);
}

/// The buckets that are recomputed: their first seconds and their last, in order.
enum Touched {
    All,
    Spans(Vec<(i64, i64)>),
}

impl Touched {
    fn of(scope: &Scope, grid: &Grid<'_>) -> Touched {
        match scope {
            Scope::Whole => Touched::All,
            Scope::Buckets { starts, .. } => {
                Touched::Spans(starts.iter().map(|start| grid.span(*start)).collect())
            }
        }
    }

    fn holds(&self, at: i64) -> bool {
        match self {
            Touched::All => true,
            Touched::Spans(spans) => {
                let after = spans.partition_point(|(from, _)| *from <= at);
                after > 0 && at <= spans[after - 1].1
            }
        }
    }
}

fn see(profile: &mut Profile, events: &[&Event]) {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
    let (first, last) = (first.at.as_millisecond(), last.at.as_millisecond());
    let unseen = profile.last_seen == 0 && profile.first_seen == 0;
    profile.first_seen = if unseen { first } else { profile.first_seen.min(first) };
    profile.last_seen = if unseen { last } else { profile.last_seen.max(last) };
}

/// How the values of one bucket are joined; `None` for sets, which have no buckets, and for what
/// keeps its instants.
fn join_of(counting: &Counting) -> Option<Join> {
    match counting {
        Counting::Count | Counting::Sum(_) => Some(Join::Add),
        Counting::Latest(_) => Some(Join::Last),
        Counting::Users | Counting::Values(_) | Counting::Answers(_) => None,
    }
}

/// Recomputes the cells of the touched buckets, and adds to the sets. A bucket is always counted
/// by the hour first and joined upwards from there, so that a sum of fractions comes to the same
/// number whenever it is computed.
fn count(
    profile: &mut Profile,
    lifecycle: &Lifecycle,
    grid: &Grid<'_>,
    starts: &Starts,
    touched: &Touched,
    events: &[&Event],
) {
    let mut fresh: BTreeMap<u32, Tally> = BTreeMap::new();
    let mut marks: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
    let mut hour = (i64::MAX, i64::MIN);
    for event in events {
        let at = event.at.as_second();
        if !(hour.0 <= at && at <= hour.1) {
            hour = grid.hour(at);
        }
        for measure in lifecycle.measures.of_event(event).filter(|measure| measure.takes(event)) {
            if let Some(join) = join_of(&measure.counting) {
                let Some(value) = measure.amount(event) else { continue };
                fresh.entry(measure.key).or_default().push(Cell { at, value }, hour.0, join);
            } else if let Counting::Answers(_) = measure.counting {
                let is_answer = measure.is_answered_by(event);
                let kind = if is_answer { MarkKind::Answered } else { MarkKind::Asked };
                marks.entry(measure.key).or_default().push(Mark { at, kind });
            } else if starts[&measure.key].is_none_or(|start| at >= start) {
                let Some(member) = measure.member(event) else { continue };
                let set = profile.series.entry(measure.key);
                let set = set.or_insert_with(|| Series::Distinct(Default::default()));
                if let Series::Distinct(set) = set {
                    set.observe(&member, at, measure.shortest.unwrap_or(0));
                }
            }
        }
    }
    replace_marks(profile, lifecycle, touched, marks);
    for measure in lifecycle.measures.list() {
        let Some(join) = join_of(&measure.counting) else { continue };
        let mut cells = fresh.remove(&measure.key).unwrap_or_default();
        grid.coarsen(&mut cells, join);
        match profile.series.get_mut(&measure.key) {
            Some(Series::Tally(tally) | Series::Latest(tally)) => {
                tally.replace(|at| touched.holds(at), cells);
            }
            _ if !cells.is_empty() => {
                let series = match join {
                    Join::Add => Series::Tally(cells),
                    Join::Last => Series::Latest(cells),
                };
                profile.series.insert(measure.key, series);
            }
            _ => {}
        }
    }
}

/// Puts the questions and answers of the touched buckets in place of those that were known.
fn replace_marks(
    profile: &mut Profile,
    lifecycle: &Lifecycle,
    touched: &Touched,
    mut marks: BTreeMap<u32, Vec<Mark>>,
) {
    for measure in lifecycle.measures.list() {
        let Counting::Answers(_) = measure.counting else { continue };
        let mut fresh = marks.remove(&measure.key).unwrap_or_default();
        fresh.sort_unstable();
        if let Some(Series::Answers(answers)) = profile.series.get_mut(&measure.key) {
            answers.replace(|at| touched.holds(at), fresh);
        } else if !fresh.is_empty() {
            let mut answers = Answers::default();
            answers.replace(|_| false, fresh);
            profile.series.insert(measure.key, Series::Answers(answers));
        }
    }
}

/// What was told of facts, by name, the rank of who tells it, and when, in milliseconds.
type Tellings<'a> = BTreeMap<(&'a str, u8, i64), Scalar>;

/// What events tell about this customer: a `group` call facts of the account, an `identify` call
/// those of the user, which an account takes only where its own are silent. Of two tellings of one
/// fact in one millisecond the later in the list counts.
fn tellings<'a, 'e>(
    lifecycle: &'a Lifecycle,
    events: impl IntoIterator<Item = &'e Event>,
) -> Tellings<'a> {
    let mut told = Tellings::new();
    for event in events {
        let rank = match (event.kind, lifecycle.subject) {
            (EventKind::Group, Subject::Account) => 1,
            (EventKind::Identify, _) => 0,
            _ => continue,
        };
        let Some(traits) = event.traits() else { continue };
        for declared in &lifecycle.traits {
            if let Some(value) = traits.get(&declared.name).and_then(Scalar::from_json) {
                told.insert((&declared.name, rank, event.at.as_millisecond()), value);
            }
        }
    }
    told
}

/// The facts that were told to be something else at a time at which they were held to be what they
/// are.
fn contradicted<'a>(profile: &Profile, told: &Tellings<'a>) -> BTreeSet<&'a str> {
    let contrary = told.iter().filter(|((name, rank, at), value)| {
        profile.traits.get(*name).is_some_and(|state| {
            let is_within = (state.since..=state.at).contains(at);
            *rank == state.rank && is_within && **value != state.value
        })
    });
    contrary.map(|((name, ..), _)| *name).collect()
}

/// Merges what events tell; `read` is what was read of the log, those events among it. A fact that
/// is contradicted is told again from all of it: every telling since the contrary one is there.
fn tell_traits(profile: &mut Profile, lifecycle: &Lifecycle, events: &[&Event], read: &[&Event]) {
    let mut told = tellings(lifecycle, events.iter().copied());
    let again = contradicted(profile, &told);
    if !again.is_empty() {
        let all = tellings(lifecycle, read.iter().copied());
        told.extend(all.into_iter().filter(|((name, ..), _)| again.contains(name)));
        profile.traits.retain(|name, _| !again.contains(name.as_str()));
    }
    // What is newer than anything known from the first on; then what came late, from the last back:
    // each telling is merged after those that lie between it and what is held.
    let is_late = |((name, rank, at), _): &((&str, u8, i64), Scalar)| {
        let known = profile.traits.get(*name).filter(|state| state.rank == *rank);
        known.is_some_and(|state| *at <= state.at)
    };
    let (late, newer): (Vec<_>, Vec<_>) = told.into_iter().partition(is_late);
    for ((name, rank, at), value) in newer.into_iter().chain(late.into_iter().rev()) {
        match profile.traits.get_mut(name) {
            Some(state) => merge_trait(state, value, at, rank),
            None => {
                let state = TraitState { value, at, since: at, other_at: None, rank };
                profile.traits.insert(name.to_owned(), state);
            }
        }
    }
}

/// The last writer by event time wins; `since` is the first telling after the last different one.
/// A telling that contradicts `state` within the time it held is none of this function's.
fn merge_trait(state: &mut TraitState, value: Scalar, at: i64, rank: u8) {
    if rank < state.rank {
        return;
    }
    if rank > state.rank {
        *state = TraitState { value, at, since: at, other_at: None, rank };
    } else if value == state.value {
        state.at = state.at.max(at);
        if at < state.since && state.other_at.is_none_or(|other| other < at) {
            state.since = at;
        }
    } else if at > state.at {
        *state = TraitState { value, at, since: at, other_at: Some(state.at), rank };
    } else {
        state.other_at = Some(state.other_at.map_or(at, |other| other.max(at)));
    }
}

/// The first second each measure looks back to; none where it counts all of history. It is always
/// the start of a bucket, so that what is forgotten does not depend on when.
type Starts = BTreeMap<u32, Option<i64>>;

fn starts(lifecycle: &Lifecycle, grid: &Grid<'_>, now: Timestamp) -> Starts {
    let start = |measure: &Measure| {
        let days = measure.keep_days?;
        Some(grid.bucket(now.as_second() - i64::from(days) * DAY))
    };
    lifecycle.measures.list().iter().map(|measure| (measure.key, start(measure))).collect()
}

/// Lets old cells grow coarser as the clock moves on.
fn age(profile: &mut Profile, grid: &Grid<'_>) {
    let is_older = (profile.hourly_from, profile.daily_from) != (grid.hourly_from, grid.daily_from);
    (profile.hourly_from, profile.daily_from) = (grid.hourly_from, grid.daily_from);
    for series in profile.series.values_mut().filter(|_| is_older) {
        match series {
            Series::Tally(tally) => grid.coarsen(tally, Join::Add),
            Series::Latest(tally) => grid.coarsen(tally, Join::Last),
            Series::Distinct(_) | Series::Answers(_) => {}
        }
    }
}

/// Forgets what no measure looks back to.
fn forget(profile: &mut Profile, starts: &Starts) {
    profile.series.retain(|key, series| {
        let Some(start) = starts.get(key) else { return false };
        if let Some(start) = *start {
            match series {
                Series::Tally(tally) => tally.forget_before(start, Join::Add),
                Series::Latest(tally) => tally.forget_before(start, Join::Last),
                Series::Distinct(set) => set.forget_before(start),
                Series::Answers(answers) => answers.forget_before(start),
            }
        }
        true
    });
}

/// Which bucket an instant lies in: an hour, a day or a month.
struct Grid<'a> {
    lifecycle: &'a Lifecycle,
    hourly_from: i64,
    daily_from: i64,
}

impl<'a> Grid<'a> {
    /// The grid of a profile, moved on to `now`. It never moves back, so a commit whose clock
    /// lags cannot split what is already merged.
    fn of(profile: &Profile, lifecycle: &'a Lifecycle, now: Timestamp) -> Grid<'a> {
        let calendar = &lifecycle.calendar;
        let back = |hours| now.saturating_sub(SignedDuration::from_hours(hours));
        let hours_end = back(48).unwrap_or(Timestamp::MIN);
        let hourly = calendar.start_of(calendar.date(hours_end)).as_second();
        let days = i64::from(lifecycle.measures.horizon_days) + 1;
        let first = calendar.date(back(24 * days).unwrap_or(Timestamp::MIN)).first_of_month();
        let daily = calendar.start_of(first).as_second();
        if profile.is_new() {
            return Grid { lifecycle, hourly_from: hourly, daily_from: daily };
        }
        Grid {
            lifecycle,
            hourly_from: profile.hourly_from.max(hourly),
            daily_from: profile.daily_from.max(daily),
        }
    }

    /// Where the bucket of an instant starts: its key.
    fn bucket(&self, at: i64) -> i64 {
        self.span(at).0
    }

    /// The bucket of an instant: its first second and its last.
    fn span(&self, at: i64) -> (i64, i64) {
        if at >= self.hourly_from {
            self.hour(at)
        } else if at >= self.daily_from {
            self.day(at)
        } else {
            self.month(at)
        }
    }

    /// Hours into days, and days into months.
    fn coarsen(&self, tally: &mut Tally, join: Join) {
        tally.coarsen(self.hourly_from, |at| self.day(at), join);
        tally.coarsen(self.daily_from, |at| self.month(at), join);
    }

    fn hour(&self, at: i64) -> (i64, i64) {
        let hour = at.div_euclid(HOUR) * HOUR;
        // In zones that are off by half an hour a day starts within an hour.
        let (midnight, last) = self.day(at);
        (hour.max(midnight), (hour + HOUR - 1).min(last))
    }

    fn day(&self, at: i64) -> (i64, i64) {
        let date = self.date(at);
        (self.midnight(date), self.midnight(date.saturating_add(1.day())) - 1)
    }

    fn month(&self, at: i64) -> (i64, i64) {
        let first = self.date(at).first_of_month();
        (self.midnight(first), self.midnight(first.saturating_add(1.month())) - 1)
    }

    fn date(&self, at: i64) -> Date {
        self.lifecycle.calendar.date(Timestamp::from_second(at).unwrap_or(Timestamp::MIN))
    }

    fn midnight(&self, date: Date) -> i64 {
        self.lifecycle.calendar.start_of(date).as_second()
    }
}
