//! Counts and sums over time, in cells small enough to sweep cheaply.
//!
//! A cell is everything that happened in one bucket: an hour while it is recent, a day of the
//! workspace's calendar to the horizon, a month beyond. It carries the instant of its last event,
//! so a window's edge is exact wherever a bucket holds one event; a busier bucket leaves a window
//! as a whole when its last event does. Cells are recomputed from the log, never incremented.
//! Newest values are kept in the same cells, which then hold the last value of their bucket.

use serde::{Deserialize, Serialize};

/// Everything of one bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The last event of the bucket, in seconds since the epoch.
    pub at: i64,
    /// The count, the sum of a property, or its last value.
    pub value: f64,
}

/// What two values of one bucket come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// Their sum: counts and sums.
    Add,
    /// The later: newest values.
    Last,
}

impl Join {
    fn into(self, cell: &mut Cell, later: Cell) {
        cell.at = later.at;
        match self {
            Join::Add => cell.value += later.value,
            Join::Last => cell.value = later.value,
        }
    }
}

/// Cells in the order of time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Tally {
    cells: Vec<Cell>,
}

/// The packed form: gaps between cells, and counts as small integers.
#[derive(Serialize, Deserialize)]
enum Wire {
    Counts(i64, Vec<(u32, u32)>),
    Sums(i64, Vec<(u32, f64)>),
}

impl From<Tally> for Wire {
    fn from(tally: Tally) -> Wire {
        let first = tally.cells.first().map_or(0, |cell| cell.at);
        let mut before = first;
        let gaps = tally.cells.iter().map(|cell| {
            let gap = u32::try_from(cell.at - before).unwrap_or(u32::MAX);
            before = cell.at;
            (gap, cell.value)
        });
        if tally.cells.iter().all(|cell| cell.value == f64::from(cell.value as u32)) {
            Wire::Counts(first, gaps.map(|(gap, value)| (gap, value as u32)).collect())
        } else {
            Wire::Sums(first, gaps.collect())
        }
    }
}

impl From<Wire> for Tally {
    fn from(wire: Wire) -> Tally {
        let (mut at, gaps): (i64, Vec<(u32, f64)>) = match wire {
            Wire::Counts(first, gaps) => {
                (first, gaps.into_iter().map(|(gap, count)| (gap, f64::from(count))).collect())
            }
            Wire::Sums(first, gaps) => (first, gaps),
        };
        let cells = gaps.into_iter().map(|(gap, value)| {
            at += i64::from(gap);
            Cell { at, value }
        });
        Tally { cells: cells.collect() }
    }
}

impl Tally {
    /// The cells in the order of time.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The sum of the cells in `(after, until]`; `after` is `None` for all of history.
    #[must_use]
    pub fn total(&self, after: Option<i64>, until: i64) -> f64 {
        self.between(after, until).iter().map(|cell| cell.value).sum()
    }

    /// The cells in `(after, until]`.
    #[must_use]
    pub fn between(&self, after: Option<i64>, until: i64) -> &[Cell] {
        let end = self.cells.partition_point(|cell| cell.at <= until);
        let start =
            after.map_or(0, |after| self.cells[..end].partition_point(|cell| cell.at <= after));
        &self.cells[start..end]
    }

    /// The last event at or before an instant.
    #[must_use]
    pub fn last(&self, until: i64) -> Option<i64> {
        self.between(None, until).last().map(|cell| cell.at)
    }

    /// The newest cell at or before an instant.
    #[must_use]
    pub fn newest(&self, until: i64) -> Option<Cell> {
        self.between(None, until).last().copied()
    }

    /// Adds an event after all others: to the last cell where that lies in the same bucket, which
    /// starts at `bucket`.
    pub(crate) fn push(&mut self, event: Cell, bucket: i64, join: Join) {
        match self.cells.last_mut() {
            Some(last) if last.at >= bucket => join.into(last, event),
            _ => self.cells.push(event),
        }
    }

    /// Replaces the cells that `stale` picks by freshly counted ones.
    pub(crate) fn replace(&mut self, stale: impl Fn(i64) -> bool, fresh: Tally) {
        self.cells.retain(|cell| !stale(cell.at));
        if fresh.cells.is_empty() {
            return;
        }
        self.cells.extend(fresh.cells);
        self.cells.sort_by_key(|cell| cell.at);
    }

    /// Merges the cells before `end` that share a bucket; `span` is the first and last second of
    /// the bucket of an instant.
    pub(crate) fn coarsen(&mut self, end: i64, span: impl Fn(i64) -> (i64, i64), join: Join) {
        let old = self.cells.partition_point(|cell| cell.at < end);
        let mut merged: Vec<Cell> = Vec::with_capacity(self.cells.len());
        let mut last_second = i64::MIN;
        for cell in &self.cells[..old] {
            match merged.last_mut() {
                Some(into) if cell.at <= last_second => join.into(into, *cell),
                _ => {
                    last_second = span(cell.at).1;
                    merged.push(*cell);
                }
            }
        }
        merged.extend_from_slice(&self.cells[old..]);
        self.cells = merged;
    }

    /// Drops what lies before `start`, the start of a bucket, but for the newest cell there: it
    /// says when the last event before `start` was. It counts nothing, so that what it holds does
    /// not depend on when the others were dropped; a last value stays what it is.
    pub(crate) fn forget_before(&mut self, start: i64, join: Join) {
        let before = self.cells.partition_point(|cell| cell.at < start);
        self.cells.drain(..before.saturating_sub(1));
        if let (Join::Add, Some(standing)) = (join, self.cells.first_mut().filter(|_| before > 0)) {
            standing.value = 0.0;
        }
    }
}
