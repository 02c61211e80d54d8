//! How many different users (or values of a property) were seen in a trailing window.
//!
//! A value is kept with its runs: stretches of time in which it was never away for longer than the
//! shortest window that asks, so that for each such window the run is the same as all of its
//! sightings. Sightings may come late, twice and in any order, and the count is known as of any
//! instant, not only the newest.
//!
//! Exact up to [`EXACT_LIMIT`] values. Beyond that the runs are those of HyperLogLog registers and
//! ranks instead (Flajolet, Fusy, Gandouet and Meunier 2007, made to slide as in Chabchoub and
//! Hébrail, "Sliding HyperLogLog: Estimating Cardinality in a Data Stream over a Sliding Window",
//! 2010), by the day. With 256 registers the standard error is 1.04 / sqrt(256) = 6.5 %.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::period::DAY;

/// Up to so many values the count is exact.
pub const EXACT_LIMIT: usize = 400;
const REGISTERS: u32 = 256;
/// More than any rank of a 64-bit hash.
const RANKS: u32 = 64;

/// The values seen, with when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distinct {
    /// The runs of each value, by its hash, in seconds.
    Exact(Vec<Run>),
    /// The runs of each register and rank, in days.
    Sketch(Vec<Run>),
}

/// A stretch of time in which something was seen again and again. Runs of one key are apart, and
/// lists of them are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    key: u32,
    first: u32,
    /// From the first sighting to the last.
    length: u32,
}

impl Run {
    fn last(self) -> u32 {
        self.first.saturating_add(self.length)
    }
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Exact(Vec::new())
    }
}

impl Distinct {
    /// Notes that a value was seen at an instant. `gap` is the shortest window that will ask, in
    /// seconds. Any order and any repetition give the same set.
    pub fn observe(&mut self, value: &str, at: i64, gap: i64) {
        let digest = Sha256::digest(value.as_bytes());
        let hash = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let at = u32::try_from(at).unwrap_or(if at < 0 { 0 } else { u32::MAX });
        let run = Run { key: hash, first: at, length: 0 };
        match self {
            Distinct::Sketch(runs) => note(runs, run, gap),
            Distinct::Exact(runs) => {
                insert(runs, run, u32::try_from(gap).unwrap_or(0));
                if runs.len() > EXACT_LIMIT && keys(runs.iter()) > EXACT_LIMIT {
                    let mut sketch = Vec::new();
                    runs.iter().for_each(|run| note(&mut sketch, *run, gap));
                    *self = Distinct::Sketch(sketch);
                }
            }
        }
    }

    /// How many values were seen in `(after, until]`.
    #[must_use]
    pub fn count(&self, after: i64, until: i64) -> f64 {
        let (runs, unit) = self.runs();
        let seen = runs.iter().filter(|run| {
            i64::from(run.first) * unit <= until && i64::from(run.last()) * unit > after
        });
        match self {
            Distinct::Exact(_) => keys(seen) as f64,
            Distinct::Sketch(_) => estimate(seen),
        }
    }

    /// As [`Distinct::count`], of what any of several sets saw.
    #[must_use]
    pub(crate) fn count_all(sets: &[&Distinct], after: i64, until: i64) -> f64 {
        if let [set] = sets {
            return set.count(after, until);
        }
        let is_seen = |run: &Run, unit: i64| {
            i64::from(run.first) * unit <= until && i64::from(run.last()) * unit > after
        };
        let is_approximate = sets.iter().any(|set| set.is_approximate());
        let mut seen = Vec::new();
        for set in sets {
            let (runs, unit) = set.runs();
            for run in runs.iter().filter(|run| is_seen(run, unit)) {
                match set {
                    Distinct::Exact(_) if is_approximate => note(&mut seen, *run, 0),
                    _ => seen.push(*run),
                }
            }
        }
        seen.sort_unstable_by_key(|run| run.key);
        if is_approximate { estimate(seen.iter()) } else { keys(seen.iter()) as f64 }
    }

    /// Whether [`Distinct::count`] is an estimate.
    #[must_use]
    pub fn is_approximate(&self) -> bool {
        matches!(self, Distinct::Sketch(_))
    }

    /// Drops what was last seen before `start`.
    pub(crate) fn forget_before(&mut self, start: i64) {
        let unit = self.runs().1;
        let (Distinct::Exact(runs) | Distinct::Sketch(runs)) = self;
        runs.retain(|run| i64::from(run.last()) * unit >= start);
    }

    /// When each run began, and its last sighting: a window of `over` seconds loses it `over`
    /// after that.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let (runs, unit) = self.runs();
        runs.iter().map(move |run| (i64::from(run.first) * unit, i64::from(run.last()) * unit))
    }

    /// The runs, and the seconds of their unit.
    fn runs(&self) -> (&[Run], i64) {
        match self {
            Distinct::Exact(runs) => (runs, 1),
            Distinct::Sketch(runs) => (runs, DAY),
        }
    }
}

/// Adds a run, and makes one of those of its key that are no longer apart.
fn insert(runs: &mut Vec<Run>, run: Run, gap: u32) {
    let from = runs.partition_point(|known| {
        (known.key, known.last().saturating_add(gap)) < (run.key, run.first)
    });
    let end = run.last().saturating_add(gap);
    let to = runs.partition_point(|known| (known.key, known.first) <= (run.key, end));
    if from >= to {
        runs.insert(from, run);
        return;
    }
    let first = runs[from].first.min(run.first);
    let last = runs[to - 1].last().max(run.last());
    runs[from] = Run { key: run.key, first, length: last - first };
    runs.drain(from + 1..to);
}

/// Adds the run of a hash to its register and rank.
fn note(sketch: &mut Vec<Run>, run: Run, gap: i64) {
    let day = u32::try_from(DAY).unwrap_or(u32::MAX);
    // The hash is used for the register's choice and, mixed once more, for the rank.
    let register = run.key % REGISTERS;
    let mixed = (u64::from(run.key) ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let rank = (mixed >> 8).trailing_zeros().min(40) + 1;
    let first = run.first / day;
    let run = Run { key: register * RANKS + rank, first, length: run.last() / day - first };
    // Rounded up: what was one run by the second is one by the day.
    insert(sketch, run, u32::try_from((gap + DAY - 1) / DAY).unwrap_or(0));
}

fn keys<'a>(runs: impl Iterator<Item = &'a Run>) -> usize {
    let mut last = None;
    runs.filter(|run| last.replace(run.key) != Some(run.key)).count()
}

fn estimate<'a>(runs: impl Iterator<Item = &'a Run>) -> f64 {
    let m = f64::from(REGISTERS);
    let alpha = 0.7213 / (1.0 + 1.079 / m);
    let mut ranks = [0_u32; REGISTERS as usize];
    for run in runs {
        let best = &mut ranks[(run.key / RANKS) as usize % REGISTERS as usize];
        *best = (*best).max(run.key % RANKS);
    }
    let raw = alpha * m * m / ranks.iter().map(|&rank| 0.5_f64.powi(rank as i32)).sum::<f64>();
    let empty = ranks.iter().filter(|&&rank| rank == 0).count();
    // Linear counting where the raw estimate is biased (Flajolet and others 2007, section 4).
    if raw <= 2.5 * m && empty > 0 {
        return (m * (m / empty as f64).ln()).round();
    }
    raw.round()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEEK: i64 = 7 * DAY;

    #[test]
    fn a_value_counts_once_however_often_it_is_seen() {
        let mut users = Distinct::default();
        for day in [5, 9, 7] {
            users.observe("ada", day * DAY, WEEK);
        }
        users.observe("ben", 2 * DAY, WEEK);
        assert_eq!(users.count(0, 9 * DAY), 2.0);
        assert_eq!(users.count(2 * DAY, 9 * DAY), 1.0);
        assert_eq!(users.count(-DAY, 3 * DAY), 1.0, "ada was first seen on day 5");
    }

    #[test]
    fn who_came_back_was_not_there_in_between() {
        let mut users = Distinct::default();
        users.observe("ada", 10 * DAY, WEEK);
        users.observe("ada", 100 * DAY, WEEK);
        assert_eq!(users.count(93 * DAY, 100 * DAY), 1.0);
        assert_eq!(users.count(90 * DAY, 97 * DAY), 0.0, "back three days later only");
        assert_eq!(users.count(3 * DAY, 10 * DAY), 1.0);
    }

    #[test]
    fn beyond_the_limit_the_count_is_within_four_standard_errors() {
        let mut users = Distinct::default();
        for user in 0..5_000 {
            users.observe(&format!("user-{user}"), 100 * DAY, WEEK);
        }
        for user in 0..1_000 {
            users.observe(&format!("user-{user}"), 200 * DAY, WEEK);
        }
        assert!(users.is_approximate());
        let all = users.count(99 * DAY, 200 * DAY);
        let late = users.count(150 * DAY, 200 * DAY);
        let between = users.count(120 * DAY, 150 * DAY);
        assert!((all - 5_000.0).abs() < 5_000.0 * 0.26, "{all}");
        assert!((late - 1_000.0).abs() < 1_000.0 * 0.26, "{late}");
        assert_eq!(between, 0.0);
    }

    #[test]
    fn a_large_account_is_known_as_of_earlier_too() {
        let mut users = Distinct::default();
        for day in 100..160 {
            for user in 0..600 {
                users.observe(&format!("user-{user}"), day * DAY + 3_600, WEEK);
            }
        }
        let (now, before) = (160 * DAY, 140 * DAY);
        assert!((users.count(before - WEEK, before) - 600.0).abs() < 600.0 * 0.26);
        assert_eq!(users.count(before - WEEK, before), users.count(now - WEEK, now));
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(
            seen in proptest::collection::vec((0u32..2_000, 0i64..400 * DAY), 1..900),
            gap in 1i64..40 * DAY,
            seed in any::<u64>(),
        ) {
            let mut forward = Distinct::default();
            let mut shuffled = Distinct::default();
            for (user, at) in &seen {
                forward.observe(&user.to_string(), *at, gap);
            }
            let mut other = seen.clone();
            other.extend(seen.iter().take(20).copied());
            let len = other.len() as u64;
            for i in 0..other.len() {
                other.swap(i, (seed.wrapping_mul(i as u64 + 7) % len) as usize);
            }
            for (user, at) in &other {
                shuffled.observe(&user.to_string(), *at, gap);
            }
            prop_assert_eq!(forward, shuffled);
        }

        #[test]
        fn runs_count_as_all_their_sightings_for_windows_no_shorter_than_the_gap(
            seen in proptest::collection::vec((0u32..20, 0i64..100), 1..120),
            gap in 1i64..30,
            longer in 0i64..30,
            until in 0i64..140,
        ) {
            let mut users = Distinct::default();
            for (user, at) in &seen {
                users.observe(&user.to_string(), *at, gap);
            }
            let after = until - gap - longer;
            let there = seen.iter().filter(|(_, at)| after < *at && *at <= until);
            let want: std::collections::BTreeSet<u32> = there.map(|(user, _)| *user).collect();
            prop_assert_eq!(users.count(after, until), want.len() as f64);
        }
    }
}
