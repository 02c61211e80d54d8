//! What people and programs are told: a line for each check as it ends, or one object at the end.

use std::io::{IsTerminal as _, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::meaning::{Found, Kind, State};
use crate::signals::Signals;

/// Whether somebody wants it to end.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens to the signals from now on.
    pub(super) fn listen() -> std::io::Result<Stop> {
        let mut signals = Signals::listen()?;
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            signals.come().await;
            let _ = tell.send(true);
        });
        Ok(Stop(told))
    }

    pub(super) fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits so long, or until somebody wants it to end.
    pub(super) async fn pause(&self, length: Duration) {
        let mut told = self.0.clone();
        let _ = tokio::time::timeout(length, told.wait_for(|is_wanted| *is_wanted)).await;
    }
}

/// A check that ended.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    seconds: f64,
    detail: String,
    /// What to look at; null where there is no need.
    see: Option<&'static str>,
}

/// The checks so far.
pub(super) struct Told {
    checks: Vec<Check>,
    json: bool,
    spinner: ProgressBar,
    stop: Stop,
    /// Why nothing can be printed any more: no reason to leave anything undone.
    broken: Option<std::io::Error>,
    /// From then on nothing is left out because somebody wants it to end.
    pub(super) is_cleaning_up: bool,
}

impl Told {
    pub(super) fn new(json: bool, stop: Stop) -> Result<Told> {
        let spinner = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        spinner.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?);
        let (checks, broken) = (Vec::new(), None);
        Ok(Told { checks, json, spinner, stop, broken, is_cleaning_up: false })
    }

    /// Makes a check and tells what it found. Whatever goes wrong on the way is a failed check.
    pub(super) async fn check(
        &mut self,
        kind: &Kind,
        asks: impl Future<Output = Result<Found>>,
    ) -> State {
        if !self.is_cleaning_up && self.stop.is_wanted() {
            return self.tell(kind, Duration::ZERO, Found::skipped("stopped before it"));
        }
        self.spinner.reset_elapsed();
        self.spinner.set_message(kind.name);
        self.spinner.enable_steady_tick(Duration::from_millis(100));
        let began = Instant::now();
        let found = asks.await.unwrap_or_else(|error| Found::failed(format!("{error:#}")));
        self.tell(kind, began.elapsed(), found)
    }

    /// Tells that a check was not made, and why.
    pub(super) fn skip(&mut self, kind: &Kind, why: &str) -> State {
        self.tell(kind, Duration::ZERO, Found::skipped(why))
    }

    pub(super) fn tell(&mut self, kind: &Kind, took: Duration, found: Found) -> State {
        let Found { state, detail } = found;
        let see = (state == State::Failed).then_some(kind.see);
        let seconds = (took.as_secs_f64() * 1_000.0).round() / 1_000.0;
        let check = Check { name: kind.name, state, seconds, detail, see };
        self.spinner.disable_steady_tick();
        if !self.json && self.broken.is_none() {
            self.broken = self.spinner.suspend(|| print(&check)).err();
        }
        self.checks.push(check);
        state
    }

    /// Says on standard error what takes long, where no spinner does.
    pub(super) fn announce(&self, what: &str) {
        if self.spinner.is_hidden() && !self.json {
            let _ = writeln!(std::io::stderr(), "{what}");
        }
    }

    /// Tells what all of it came to: whether nothing failed.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) fn end(self, url: &str) -> Result<bool> {
        if let Some(error) = self.broken {
            return Err(error.into());
        }
        self.spinner.finish_and_clear();
        let count = |state| self.checks.iter().filter(|check| check.state == state).count();
        let (passed, failed, skipped) =
            (count(State::Ok), count(State::Failed), count(State::Skipped));
        let mut out = std::io::stdout();
        if self.json {
            let told = json!({
                "url": url, "checks": self.checks,
                "passed": passed, "failed": failed, "skipped": skipped,
            });
            writeln!(out, "{told}")?;
        } else {
            writeln!(out, "\n{url}: {passed} passed, {failed} failed, {skipped} skipped")?;
        }
        Ok(failed == 0)
    }
}

fn print(check: &Check) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let (word, color) = match check.state {
        State::Ok => ("ok", 32),
        State::Failed => ("failed", 31),
        State::Skipped => ("skipped", 33),
    };
    let word = match out.is_terminal() {
        true => format!("\u{1b}[{color}m{word:<7}\u{1b}[0m"),
        false => format!("{word:<7}"),
    };
    let Check { name, seconds, detail, .. } = check;
    writeln!(out, "{word}  {name:<25} {seconds:>6.1} s  {detail}")?;
    if let Some(see) = check.see {
        writeln!(out, "         see {see}")?;
    }
    out.flush()
}
