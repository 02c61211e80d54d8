//! `lifecycle outcomes`: what alarms were worth.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use domain::outcome::{Row, Share};
use jiff::SignedDuration;
use platform::adherence::Span;
use platform::outcomes::{DEFAULT_DAYS, read};

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Show what alarms were worth: how precise, how early, how many saved
#[derive(Debug, Args)]
#[command(
    long_about = "For each stage of customers who are about to leave, each standard and each risk band above the \
lowest: how many alarms there were, how many of those alarmed were gone within the horizon and how long the \
alarm came before, how many came back and stayed, and what people who acknowledged findings said of them \
(useful, known, false).\n\n\
Only alarms whose horizon is over count; the others are told apart as open. The intervals are Wilson's, of 95 %.",
    after_long_help = "Examples:\n  \
lifecycle outcomes\n  \
lifecycle outcomes --from 2026-01-01 --to 2026-07-01 --horizon 60 --json\n\n\
With --json, one object on standard output, as GET /api/outcomes answers:\n  \
{\"from\", \"to\", \"horizon_days\", \"rows\": [{\"source\", \"name\", \"alarms\", \"censored\", \"churned\", \"saved\",\n   \
\"churn\", \"lead\", \"useful\", \"known\", \"false\", \"precision\"}]}\n\n\
Exit codes: 0 done, 1 failed, 2 wrong use."
)]
pub struct OutcomesArgs {
    /// From when on: an instant or a date [default: 180 days before --to]
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Until when: an instant or a date [default: now]
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
    /// How many days an alarm looks ahead
    #[arg(long, value_name = "DAYS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=365))]
    horizon: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Shows outcomes.
///
/// # Errors
/// When the data cannot be opened or read, or the part of history is none.
pub async fn run(args: OutcomesArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let lifecycle = target.store.lifecycle().await.context(
        "there is no active lifecycle file: `lifecycle run evaluate --config FILE` makes one active",
    )?;
    let now = LocalClock::system().now();
    let ends = (args.from.as_deref(), args.to.as_deref());
    let span = Span::asked(ends, &lifecycle.calendar, DEFAULT_DAYS, now)?.until(now)?;
    let horizon = SignedDuration::from_hours(24 * i64::from(args.horizon));
    let rows = read(&target.store, &lifecycle, span, horizon).await?;
    let mut out = std::io::stdout();
    if args.json {
        let told = console::outcomes::Outcomes::new(span, args.horizon, &rows);
        writeln!(out, "{}", serde_json::to_string(&told)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (from, to) = (span.from(), span.to());
    writeln!(out, "Alarms from {from} to {to}, each looking {} days ahead", args.horizon)?;
    table(&mut out, &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn table(out: &mut impl Write, rows: &[Row]) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<32} {:>6} {:>5} {:>5} {:>5} {:>18} {:>8} {:>18}",
        "", "alarms", "open", "gone", "saved", "gone of all", "lead", "useful"
    )?;
    for row in rows {
        let name = format!("{} {}", row.source.as_str(), row.name);
        let lead = row
            .lead
            .map_or("-".to_owned(), |lead| format!("{:.1} d", lead.p50_seconds as f64 / 86_400.0));
        writeln!(
            out,
            "{:<32} {:>6} {:>5} {:>5} {:>5} {:>18} {lead:>8} {:>18}",
            name,
            row.alarms,
            row.censored,
            row.churned,
            row.saved,
            share(row.churn),
            share(row.precision)
        )?;
    }
    Ok(())
}

fn share(share: Option<Share>) -> String {
    share.map_or("-".to_owned(), |Share { share, low, high }| {
        let [share, low, high] = [share, low, high].map(|share| share * 100.0);
        format!("{share:.0} % ({low:.0}-{high:.0})")
    })
}
