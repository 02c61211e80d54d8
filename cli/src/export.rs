//! `lifecycle export`: everything held about one id.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Print everything held about one id, as JSON
#[derive(Debug, Args)]
#[command(
    long_about = "Prints everything held about the id of a user or an account, as one JSON object: the \
ids that are the same person, accounts, events as received, state, decisions, findings, what was set \
aside.\n\n  lifecycle export u-17 > u-17.json"
)]
pub struct ExportArgs {
    /// The id, as its senders give it
    id: String,
    #[command(flatten)]
    target: TargetArgs,
}

/// Prints it.
///
/// # Errors
/// When the data cannot be opened or read.
pub async fn run(args: ExportArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let lifecycle = target.store.lifecycle().await.context("there is no workspace to export")?;
    let held = target.store.held_about(&args.id, &lifecycle).await?;
    if held.is_empty() {
        writeln!(std::io::stderr(), "error: nothing is held about this id")?;
        return Ok(ExitCode::FAILURE);
    }
    let told = held.to_json(&args.id, LocalClock::system().now());
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&told)?)?;
    Ok(ExitCode::SUCCESS)
}
