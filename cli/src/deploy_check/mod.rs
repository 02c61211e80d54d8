//! `lifecycle deploy-check`: a deployed stack, verified end to end with a customer that never was.
//!
//! `checks` asks, `meaning` says what the answers mean, `told` tells it, `cleanup` leaves
//! nothing behind. Whatever happens in between, a failed check, Ctrl-C or a fault of this command,
//! the customer is erased and the write key revoked; what a killed process leaves, the next one cleans up.

mod checks;
mod cleanup;
mod meaning;
mod site;
mod told;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use domain::period::Period;
use futures::FutureExt as _;
use platform::Settings;

use self::checks::Checks;
use self::meaning::{CHECKS, Found};
use self::site::{Site, Token};
use self::told::{Stop, Told};
use crate::target::{Target, TargetArgs, is_served};

/// The longest `DueRate` of the template, in seconds.
const LONGEST_WAIT: i64 = 3_600;

/// Verify a deployed stack end to end
#[derive(Debug, Args)]
#[command(
    long_about = "Sends events of a customer that never was through a deployed stack, and looks what becomes of \
them: they are taken once, by who has a key; the schedules run, a decision is made and its journal verifies; \
nothing is set aside or stuck; the console refuses strangers. Then the customer is erased and the key \
revoked, also when a check failed or Ctrl-C was pressed. Nobody is told of that customer: its alerts are silenced.\n\n\
Table names come from EVENTS_TABLE, CUSTOMERS_TABLE, JOURNAL_TABLE and CONTROL_TABLE, as with every --aws; \
README, Deploy, has the line that sets them and API_URL from the stack's outputs.",
    after_long_help = "Examples:\n  \
lifecycle deploy-check --aws --url \"$API_URL\"\n  \
lifecycle deploy-check --aws --url \"$API_URL\" --wait 15m      where DueRate is rate(15 minutes)\n  \
LIFECYCLE_TOKEN=… lifecycle deploy-check --aws --url \"$API_URL\" --json > check.json\n  \
lifecycle deploy-check --url http://127.0.0.1:9000            a `lifecycle dev` that runs here\n\n\
With --json, one object on standard output:\n  \
{\"url\", \"checks\": [{\"name\", \"state\": \"ok\"|\"failed\"|\"skipped\", \"seconds\", \"detail\", \"see\" or null}], \
\"passed\", \"failed\", \"skipped\"}\n\n\
Exit codes: 0 nothing failed, 1 something failed or it was stopped, 2 wrong use."
)]
pub struct DeployCheckArgs {
    /// The API: the output ApiUrl of the stack; http:// for this machine only
    #[arg(long, value_name = "URL")]
    url: String,
    /// Whose token opens the console; without one only its refusal of strangers is checked
    #[arg(long, value_name = "JWT", env = "LIFECYCLE_TOKEN", hide_env_values = true)]
    token: Option<Token>,
    /// How often evaluate takes who is due (DueRate): so long, and a minute more, the first decision is
    /// waited for; 0s for not at all
    #[arg(long, value_name = "PERIOD", default_value = "5m", value_parser = wait)]
    wait: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

fn wait(text: &str) -> Result<Duration, String> {
    match Period::parse(text)? {
        Period::Elapsed(seconds @ 0..=LONGEST_WAIT) => {
            Ok(Duration::from_secs(seconds.unsigned_abs()))
        }
        _ => Err("write it as `5m`, and at most `1h`".to_owned()),
    }
}

/// Makes the checks and cleans up.
///
/// # Errors
/// When the tables cannot be opened, or standard output cannot be written.
pub async fn run(args: DeployCheckArgs) -> Result<ExitCode> {
    let site = match Site::at(&args.url) {
        Ok(site) => site,
        Err(message) => return wrong(&message),
    };
    if let Some(message) = misused(&args, &site) {
        return wrong(&message);
    }
    let stop = Stop::listen().context("cannot listen to signals")?;
    let target = Target::open(&args.target).await?;
    let mut told = Told::new(args.json, stop.clone())?;
    let mut checks =
        Checks::new(&target.store, &site, stop.clone(), args.wait, args.token.as_ref())?;
    let is_local = !args.target.aws;
    let made = AssertUnwindSafe(checks.make(&mut told, is_local)).catch_unwind().await;
    told.is_cleaning_up = true;
    if made.is_err() {
        told.tell(&CHECKS, Duration::ZERO, Found::failed("the command failed on the way"));
    }
    if stop.is_wanted() {
        told.announce("stopped: cleaning up");
    }
    cleanup::clean_up(&checks, &mut told).await;
    let is_good = told.end(&site.base)? && !stop.is_wanted();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong with how it is used.
fn misused(args: &DeployCheckArgs, site: &Site) -> Option<String> {
    if args.target.aws {
        let names = Settings::from_env().err()?;
        return Some(format!("--aws needs the names of the stack's tables: {names}"));
    }
    if !site.is_local {
        return Some(
            "--url is not on this machine: give --aws and the names of the stack's tables".into(),
        );
    }
    let data = args.target.data.display();
    let is_there = is_served(&args.target.data);
    (!is_there)
        .then(|| format!("no `lifecycle dev` runs on {data}: start one, or give --data or --aws"))
}

fn wrong(message: &str) -> Result<ExitCode> {
    writeln!(
        std::io::stderr(),
        "error: {message}\n\nFor more information, try 'lifecycle deploy-check --help'."
    )?;
    Ok(ExitCode::from(2))
}
