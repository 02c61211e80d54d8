//! The part of history that a question is about: `from` and `to`.

use domain::by_hand;
use domain::lifecycle::Lifecycle;
use jiff::{SignedDuration, Timestamp};
use platform::adherence::{AdherenceError, MAX_DAYS, Span};

use crate::page::given;
use crate::problem::Problem;

/// A part of history, and its ends as they were asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) span: Span,
}

impl Asked {
    /// Reads the ends: instants, or dates of the workspace's calendar. Without `to` until `now`, without
    /// `from` so many days before `to`.
    pub(crate) fn read(
        (from, to): (Option<String>, Option<String>),
        lifecycle: &Lifecycle,
        days: i64,
        now: Timestamp,
    ) -> Result<Asked, Problem> {
        let instant = |text: Option<String>| {
            let read =
                given(text).map(|text| by_hand::until(&text, &lifecycle.calendar)).transpose();
            read.map_err(|_| {
                Problem::bad("invalid_span", "`from` and `to` are instants, or dates as 2026-03-01")
            })
        };
        let to = instant(to)?.unwrap_or(now);
        let before = || to.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(to);
        let from = instant(from)?.unwrap_or_else(before);
        Asked::of(from, to)
    }

    /// The same part, without what has not happened yet.
    pub(crate) fn until(self, now: Timestamp) -> Result<Asked, Problem> {
        Asked::of(self.from, self.to.min(now))
    }

    fn of(from: Timestamp, to: Timestamp) -> Result<Asked, Problem> {
        let span = Span::new(from, to).ok_or_else(|| {
            let detail = format!("`from` comes before `to`, by at most {MAX_DAYS} days");
            Problem::bad("invalid_span", detail)
        })?;
        Ok(Asked { from, to, span })
    }
}

/// Why a part of history cannot be told.
pub(crate) fn problem(error: AdherenceError) -> Problem {
    match error {
        AdherenceError::Store(error) => Problem::from(error),
        AdherenceError::TooMany => Problem::bad(
            "too_many_entries",
            "the journal has too many entries for one answer: ask for fewer days",
        ),
    }
}
