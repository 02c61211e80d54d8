//! `lifecycle run`: one scheduled run, now or as of an instant.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use platform::sweep::{self, ScheduleEvent, SweepAnswer, SweepEvent, SweepKind};

use crate::clock::LocalClock;
use crate::configuration::activate;
use crate::pack::SweepFunction;
use crate::target::{Target, TargetArgs};

/// Run a scheduled function once
#[derive(Debug, Args)]
#[command(
    long_about = "Runs evaluate, score or comply over all customers once, as its schedule does.\n\n\
  lifecycle run evaluate\n  lifecycle run comply --at 2026-06-30T06:00:00Z --json"
)]
pub struct RunArgs {
    /// Which one
    #[arg(value_enum)]
    function: SweepFunction,
    /// The instant its decisions are of [default: now]
    #[arg(long, value_name = "INSTANT")]
    at: Option<Timestamp>,
    /// Make this lifecycle file the active one first
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs once and prints the summary.
///
/// # Errors
/// When the data cannot be opened or the run fails.
pub async fn run(args: RunArgs) -> Result<ExitCode> {
    let clock = LocalClock::system();
    let now = clock.now();
    let target = Target::open(&args.target).await?;
    activate(&target.store, args.config.as_deref(), "b2b-saas", now).await?;
    let app = sweep::App {
        store: target.store.clone(),
        clock: clock.handle(),
        queue: None,
        customers_per_segment: sweep::CUSTOMERS_PER_SEGMENT,
        vault: None,
    };
    let event = SweepEvent::Schedule(ScheduleEvent {
        // Each call is a run of its own.
        schedule: format!("asked-{}", now.as_nanosecond()),
        scheduled_time: args.at.unwrap_or(now),
        sweep: SweepKind::All,
    });
    let answer = match args.function {
        SweepFunction::Evaluate => evaluate::handle(&app, event, None).await?,
        SweepFunction::Score => score::handle(&app, event, None).await?,
        SweepFunction::Comply => comply::handle(&app, event, None).await?,
    };
    let SweepAnswer::Summary(summary) = answer else {
        anyhow::bail!("a schedule is answered by a summary")
    };
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    } else {
        writeln!(
            out,
            "{} as of {}: {} customers visited, {} changed, {} failed",
            args.function.name(),
            summary.at,
            summary.visited,
            summary.changed,
            summary.failed
        )?;
    }
    Ok(if summary.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
