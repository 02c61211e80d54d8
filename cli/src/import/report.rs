//! What an import says while it runs, and when it is done.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rows::BadRow;

/// How many bad rows are shown.
pub(super) const SHOWN: usize = 5;
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Rows are read, checked and put into order.
    Reading,
    /// Events are committed.
    Storing,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Bytes read, or events committed, so far.
    pub done: u64,
    /// Of so many.
    pub total: u64,
    /// Rows read so far.
    pub rows: u64,
    /// Rows that could not be taken.
    pub rejected: u64,
}

/// A row that could not be taken, for a person to find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadSample {
    /// The line of the file it starts on, from 1.
    pub line: u64,
    /// The column it is about.
    pub column: Option<String>,
    /// A stable word for programs.
    pub code: String,
    /// A sentence.
    pub reason: String,
}

impl BadSample {
    pub(super) fn of(bad: &BadRow) -> BadSample {
        BadSample {
            line: bad.line,
            column: bad.problem.column.clone(),
            code: bad.problem.code.to_owned(),
            reason: bad.problem.reason.clone(),
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Events that are new.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Rows that could not be taken.
    pub rejected: u64,
    /// Customers the rows are about.
    pub customers: u64,
    /// How long this run took.
    pub seconds: f64,
    /// Rows of this run by second.
    pub rows_per_second: f64,
    /// After how many committed rows this run took up an interrupted one.
    pub resumed_at: Option<u64>,
    /// The most memory this process has used, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// When the first event happened.
    pub first_at: Option<Timestamp>,
    /// When the last event happened.
    pub last_at: Option<Timestamp>,
    /// By how many days the rows were moved.
    pub shifted_days: i64,
    /// How many bad rows were set aside to be looked at; the others are only counted.
    pub set_aside: u64,
    /// The first bad rows.
    pub bad_rows: Vec<BadSample>,
}

impl Report {
    /// The report for a person.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(
            out,
            "Imported {} rows: {} new, {} there already, {} rejected; {} customers.",
            grouped(self.rows),
            grouped(self.accepted),
            grouped(self.duplicates),
            grouped(self.rejected),
            grouped(self.customers),
        )?;
        if let (Some(first), Some(last)) = (self.first_at, self.last_at) {
            write!(out, "From {first} to {last}")?;
            match self.shifted_days {
                0 => writeln!(out, ".")?,
                days => writeln!(out, ", moved by {days} days.")?,
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive rate"
        )]
        let rate = self.rows_per_second as u64;
        write!(out, "{:.1} s, {} rows a second", self.seconds, grouped(rate))?;
        if let Some(bytes) = self.peak_rss_bytes {
            write!(out, ", at most {} MB of memory", bytes / 1_000_000)?;
        }
        writeln!(out, ".")
    }
}

/// The bad rows for a person: the first few, and where the others are.
pub(super) fn write_bad(
    bad: &[BadSample],
    rejected: u64,
    set_aside: u64,
    err: &mut dyn Write,
) -> std::io::Result<()> {
    if rejected == 0 {
        return Ok(());
    }
    writeln!(err, "{} could not be taken:", rows(rejected))?;
    for bad in bad {
        match &bad.column {
            Some(column) => writeln!(err, "  line {}, {column}: {}", bad.line, bad.reason)?,
            None => writeln!(err, "  line {}: {}", bad.line, bad.reason)?,
        }
    }
    if rejected > bad.len() as u64 {
        writeln!(err, "  …")?;
    }
    match set_aside {
        0 => Ok(()),
        all if all == rejected => writeln!(err, "They are set aside in the quarantine."),
        some => writeln!(err, "The first {} are set aside in the quarantine.", grouped(some)),
    }
}

fn rows(number: u64) -> String {
    format!("{} row{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// 1234567 as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The most memory this process has used, where the system tells.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Where progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// As a bar that redraws itself.
    Bar,
    /// As a line every few seconds.
    Lines,
    /// Not at all.
    Silence,
}

/// Tells the progress as it comes.
pub(super) struct Teller<'a> {
    telling: Telling,
    err: &'a mut dyn Write,
    bar: Option<(Phase, ProgressBar)>,
    last: Instant,
}

impl<'a> Teller<'a> {
    pub(super) fn new(telling: Telling, err: &'a mut dyn Write) -> Teller<'a> {
        Teller { telling, err, bar: None, last: Instant::now() }
    }

    pub(super) fn tell(&mut self, progress: &Progress) {
        match self.telling {
            Telling::Silence => {}
            Telling::Bar => self.draw(progress),
            Telling::Lines => self.line(progress),
        }
    }

    fn draw(&mut self, progress: &Progress) {
        if self.bar.as_ref().is_none_or(|(phase, _)| *phase != progress.phase) {
            self.clear();
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style(progress.phase));
            self.bar = Some((progress.phase, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            let rejected = match progress.rejected {
                0 => String::new(),
                some => format!(", {} rejected", grouped(some)),
            };
            bar.set_message(rejected);
        }
    }

    fn line(&mut self, progress: &Progress) {
        if self.last.elapsed() < LINE_EVERY {
            return;
        }
        self.last = Instant::now();
        let percent = (progress.done * 100).checked_div(progress.total).unwrap_or(0).min(100);
        let what = match progress.phase {
            Phase::Reading => format!("reading: {} rows", grouped(progress.rows)),
            Phase::Storing => {
                format!("storing: {} of {} events", grouped(progress.done), grouped(progress.total))
            }
        };
        // Progress that cannot be told is no reason to stop.
        let _ = writeln!(self.err, "{what} ({percent} %)");
    }

    pub(super) fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(phase: Phase) -> ProgressStyle {
    let template = match phase {
        Phase::Reading => "reading  {bar:30} {bytes}/{total_bytes}, {eta} left{msg}",
        Phase::Storing => {
            "storing  {bar:30} {human_pos}/{human_len}, {per_sec:.0}, {eta} left{msg}"
        }
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 12, 999, 1_000, 1_234_567].map(grouped),
            ["0", "12", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn the_first_bad_rows_are_shown_and_the_others_counted() {
        let bad = BadSample {
            line: 7,
            column: Some("time".to_owned()),
            code: "time".to_owned(),
            reason: "`x` is not a time".to_owned(),
        };
        let mut err = Vec::new();
        write_bad(&[bad], 1_200, 1_000, &mut err).unwrap();
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "1,200 rows could not be taken:\n  line 7, time: `x` is not a time\n  …\n\
             The first 1,000 are set aside in the quarantine.\n"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_memory_is_told() {
        assert!(peak_rss_bytes().unwrap() > 1_000_000);
    }
}
