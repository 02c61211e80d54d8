//! What AWS does by itself: schedules, the journal's stream, and a lifecycle file that is applied
//! when it changes.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use platform::sweep::SweepKind;

use crate::configuration::{Source, print_diagnostics};
use crate::pack::{Pack, SweepFunction};

/// How often due customers are looked at, the stream is read and the file is checked.
const TICK: Duration = Duration::from_secs(1);
/// How often all customers are visited, at most.
const FULL_EVERY: Duration = Duration::from_secs(60);

/// A lifecycle file that is applied again when it changes.
pub struct WatchedFile {
    source: Source,
    seen: Mutex<String>,
}

impl WatchedFile {
    /// Watches a source whose present text is active.
    pub fn new(source: Source) -> WatchedFile {
        WatchedFile { seen: Mutex::new(source.text.clone()), source }
    }

    /// Where the lifecycle is from.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// Applies the file if it changed: whether it did. A file that cannot be used is complained
    /// about once and changes nothing.
    pub async fn refresh(&self, pack: &Pack) -> Result<bool> {
        let Some(path) = &self.source.path else { return Ok(false) };
        let Ok(text) = std::fs::read_to_string(path) else { return Ok(false) };
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == text {
                return Ok(false);
            }
            seen.clone_from(&text);
        }
        match pack.apply(&text).await? {
            Ok(changed) => {
                if changed {
                    writeln!(std::io::stderr(), "{} changed: applied", self.source.name)?;
                }
                Ok(changed)
            }
            Err(found) => {
                let mut err = std::io::stderr();
                print_diagnostics(&mut err, &self.source.name, &text, &found)?;
                writeln!(
                    err,
                    "{} changed: not applied, the one before stays active",
                    self.source.name
                )?;
                Ok(false)
            }
        }
    }
}

/// Runs for ever: with a manual clock the stream only, for schedules are then asked for.
pub async fn keep_running(pack: &Pack, file: &WatchedFile, schedules: bool) -> Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut full_due: Option<Instant> = None;
    let mut run = 0u64;
    loop {
        ticks.tick().await;
        if schedules {
            let changed = file.refresh(pack).await?;
            run += 1;
            let is_full = changed || full_due.is_none_or(|at| at <= Instant::now());
            let began = Instant::now();
            let worked = if is_full { sweep_all(pack, run).await } else { due(pack, run).await };
            let worked = match worked {
                Ok(()) => picture(pack, run).await,
                Err(error) => Err(error),
            };
            if let Err(error) = worked {
                // As on AWS, a run that fails is tried again by the next.
                tracing::error!(error = format!("{error:#}"), "a scheduled run failed");
            }
            if is_full {
                full_due = Some(Instant::now() + FULL_EVERY.max(began.elapsed() * 20));
            }
        }
        if let Err(error) = pack.tell().await {
            tracing::error!(error = format!("{error:#}"), "the journal's stream could not be told");
        }
        if schedules && let Err(error) = pack.tick().await {
            tracing::error!(error = format!("{error:#}"), "alerts that are due could not be told");
        }
    }
}

async fn due(pack: &Pack, run: u64) -> Result<()> {
    let schedule = format!("evaluate-due-{run}");
    pack.run(SweepFunction::Evaluate, &schedule, pack.clock.now(), SweepKind::Due).await?;
    Ok(())
}

/// The picture that the console's overview shows; one that is still good is not taken again.
async fn picture(pack: &Pack, run: u64) -> Result<()> {
    let schedule = format!("comply-overview-{run}");
    pack.run(SweepFunction::Comply, &schedule, pack.clock.now(), SweepKind::Overview).await?;
    Ok(())
}

/// Everything a night brings. Risk is scored before stages, which may ask for it.
async fn sweep_all(pack: &Pack, run: u64) -> Result<()> {
    let at = pack.clock.now();
    for function in [SweepFunction::Score, SweepFunction::Evaluate, SweepFunction::Comply] {
        pack.run(function, &format!("nightly-{run}"), at, SweepKind::All).await?;
    }
    Ok(())
}
