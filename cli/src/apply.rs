//! `lifecycle apply` and `lifecycle rollback`: another lifecycle file becomes the active one.
//!
//! A version is written once and never changed; the active one moves from a known version to the
//! next, or not at all, so that of two people who apply at once one is told of the other. What is
//! counted from now on is counted for the past too: customers are folded again from their logs.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use domain::lifecycle::{Diagnostic, Lifecycle, Severity, load};
use futures::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use platform::Store;
use platform::store::{ApplyOutcome, By, Configuration, CustomerFilter};
use serde_json::json;

use crate::clock::LocalClock;
use crate::configuration::{FILE_NAME, Source, print_diagnostics};
use crate::history::{diff_stat, version};
use crate::target::{Target, TargetArgs};

/// Customers that are folded again at once, and in one page.
const PARALLEL: usize = 8;
const PAGE: i32 = 200;

/// Make a lifecycle file the active one
#[derive(Debug, Args)]
#[command(
    long_about = "Checks a lifecycle file and makes it the active one, as a new version with its \
author and message. Running functions go by it within a minute, and every decision records the \
version that made it.\n\n\
When somebody else applied one in between, nothing is changed and you are told who and when. Metrics \
that are new are counted for the past too: every customer is folded again from its event log. That \
can be interrupted; the same command, or the next nightly run, goes on with it.",
    after_long_help = "Examples:\n  \
lifecycle plan lifecycle.yaml                              see first what it would do\n  \
lifecycle apply --message 'onboarding takes 45 days'\n  \
lifecycle apply lifecycle.yaml --expect-version 7 --yes    in CI: only on top of version 7\n  \
lifecycle rollback                                         back to the version before\n\n\
With --json, one object on standard output:\n  \
{\"version\", \"hash\", \"changed\", \"author\", \"message\", \"applied_at\", \"previous\": version or \
null, \"refolded\": customers}\n\n\
Exit codes: 0 active (also when it was already), 1 not valid, overtaken or failed, 2 wrong use."
)]
pub struct ApplyArgs {
    /// The lifecycle file
    #[arg(value_name = "FILE", default_value = FILE_NAME)]
    file: PathBuf,
    #[command(flatten)]
    by: ByArgs,
    /// Refuse unless this version is the active one; 0 for none
    #[arg(long, value_name = "N")]
    expect_version: Option<u64>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Make an earlier version the active one again
#[derive(Debug, Args)]
#[command(
    long_about = "Applies an earlier version once more, as a new one: the one before the active \
version, unless you name another. `lifecycle history` lists them.",
    after_long_help = "Examples:\n  lifecycle rollback\n  lifecycle rollback 3 --message 'too many churned'\n\n\
With --json, the object of `lifecycle apply`.\n\n\
Exit codes: 0 active, 1 there is no such version, overtaken or failed, 2 wrong use."
)]
pub struct RollbackArgs {
    /// The version to go back to [default: the one before the active]
    #[arg(value_name = "VERSION", value_parser = version)]
    version: Option<u64>,
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Who applies it and why.
#[derive(Debug, Args)]
struct ByArgs {
    /// Who applies it [default: the user of this machine]
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    author: Option<String>,
    /// Why, in a sentence
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Applies a file.
///
/// # Errors
/// When the file or the tables cannot be read, or the tables not be written.
pub async fn run(args: ApplyArgs) -> Result<ExitCode> {
    let source = Source::file(&args.file)?;
    let lifecycle = match load(&source.text) {
        Ok(lifecycle) => lifecycle,
        Err(found) => return refuse(&source, &found),
    };
    print_diagnostics(&mut std::io::stderr(), &source.name, &source.text, &lifecycle.warnings)?;
    let target = Target::open(&args.target).await?;
    let active = target.store.configuration().await?;
    if let Some(expected) = args.expect_version
        && active.as_ref().map_or(0, |active| active.version) != expected
    {
        return overtaken(active.as_ref(), expected);
    }
    make_active(&target.store, &source.text, lifecycle, active, &args.by).await
}

/// Applies an earlier version.
///
/// # Errors
/// When there is none, or the tables cannot be read or written.
pub async fn rollback(args: RollbackArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let store = &target.store;
    let active = store.configuration().await?;
    let active = active.context("no lifecycle file is active, so there is none to go back to")?;
    let wanted = match args.version {
        Some(version) => version,
        None if active.version > 1 => active.version - 1,
        None => bail!("version 1 is active: there is none before it"),
    };
    let earlier = store.configuration_version(wanted).await?;
    let earlier = earlier.with_context(|| {
        format!("there is no version {wanted}; `lifecycle history` lists what there is")
    })?;
    let source = Source { name: format!("version {wanted}"), path: None, text: earlier.source };
    let lifecycle = match load(&source.text) {
        Ok(lifecycle) => lifecycle,
        Err(found) => return refuse(&source, &found),
    };
    let mut by = args.by;
    by.message.get_or_insert_with(|| format!("roll back to version {wanted}"));
    make_active(store, &source.text, lifecycle, Some(active), &by).await
}

fn refuse(source: &Source, found: &[Diagnostic]) -> Result<ExitCode> {
    let mut err = std::io::stderr();
    print_diagnostics(&mut err, &source.name, &source.text, found)?;
    let errors = found.iter().filter(|one| one.severity == Severity::Error).count();
    let plural = if errors == 1 { "" } else { "s" };
    writeln!(err, "error: {} has {errors} error{plural}; nothing was applied", source.name)?;
    Ok(ExitCode::FAILURE)
}

fn overtaken(active: Option<&Configuration>, expected: u64) -> Result<ExitCode> {
    let mut err = std::io::stderr();
    match active {
        None => writeln!(err, "error: no version is active, and not version {expected}")?,
        Some(active) => writeln!(
            err,
            "error: version {} is active, and not version {expected}: {} applied it at {}{}\n\
             Look at it with `lifecycle diff {expected} {}`, then plan and apply again.",
            active.version,
            active.by.author.as_deref().unwrap_or("somebody"),
            active.applied_at,
            active.by.message.as_ref().map_or(String::new(), |message| format!(" ({message})")),
            active.version,
        )?,
    }
    Ok(ExitCode::FAILURE)
}

async fn make_active(
    store: &Store,
    source: &str,
    lifecycle: Lifecycle,
    active: Option<Configuration>,
    args: &ByArgs,
) -> Result<ExitCode> {
    let was = active.as_ref().map_or(0, |active| active.version);
    let is_same = active.as_ref().is_some_and(|active| active.hash == lifecycle.hash);
    if !is_same && !is_confirmed(active.as_ref(), source, args)? {
        writeln!(std::io::stderr(), "Nothing was applied.")?;
        return Ok(ExitCode::FAILURE);
    }
    let by = By { author: args.author.clone(), message: args.message.clone() };
    let now = LocalClock::system().now();
    let outcome = store.apply_version(source, &lifecycle.hash, &by, was, now).await?;
    let (applied, has_changed) = match outcome {
        ApplyOutcome::Applied(applied) => (applied, true),
        ApplyOutcome::Unchanged(applied) => (applied, false),
        ApplyOutcome::Overtaken(other) => return overtaken(other.as_ref(), was),
    };
    let refolded = back_fill(store, &lifecycle, now, args.json).await?;
    let mut out = std::io::stdout();
    if args.json {
        let answer = json!({
            "version": applied.version,
            "hash": applied.hash,
            "changed": has_changed,
            "author": applied.by.author,
            "message": applied.by.message,
            "applied_at": applied.applied_at,
            "previous": (has_changed && was > 0).then_some(was),
            "refolded": refolded,
        });
        writeln!(out, "{answer}")?;
        return Ok(ExitCode::SUCCESS);
    }
    match has_changed {
        true => writeln!(
            out,
            "Version {} is active; running functions go by it within a minute.",
            applied.version
        )?,
        false => writeln!(out, "Version {} is active already: nothing changed.", applied.version)?,
    }
    if refolded > 0 {
        writeln!(out, "{refolded} customers were counted again from their event logs.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks, where there is somebody to ask.
fn is_confirmed(active: Option<&Configuration>, source: &str, args: &ByArgs) -> Result<bool> {
    let is_asked = std::io::stdin().is_terminal() && !args.yes && !args.json;
    if !is_asked {
        return Ok(true);
    }
    let mut err = std::io::stderr();
    match active {
        None => write!(err, "Apply the first version? [y/N] ")?,
        Some(active) => write!(
            err,
            "Version {} is active; this changes {} of its lines. Apply version {}? [y/N] ",
            active.version,
            diff_stat(&active.source, source),
            active.version + 1
        )?,
    }
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Folds every customer again that was folded for other measures: how many. Those that are done
/// already are passed over, so that an interrupted call is gone on with by the next.
async fn back_fill(
    store: &Store,
    lifecycle: &Lifecycle,
    now: Timestamp,
    is_quiet: bool,
) -> Result<u64> {
    let bar = progress(store.customers_about().await?, is_quiet);
    let (mut refolded, mut cursor) = (0, None::<String>);
    loop {
        let page = store.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
        let seen = page.items.len() as u64;
        let old = page
            .items
            .into_iter()
            .filter(|found| found.customer.profile.measures != lifecycle.measures.fingerprint);
        // Collected first: a stream over a closure that borrows is not `Send` to the compiler.
        let folds: Vec<_> = old.map(|found| store.refold(found, lifecycle, now)).collect();
        let mut folds = stream::iter(folds).buffer_unordered(PARALLEL);
        while let Some(folded) = folds.next().await {
            folded?;
            refolded += 1;
            bar.set_message(format!("{refolded} counted again"));
        }
        bar.inc(seen);
        cursor = page.next_cursor;
        if cursor.is_none() {
            bar.finish_and_clear();
            return Ok(refolded);
        }
    }
}

fn progress(customers: u64, is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(customers);
    let style = ProgressStyle::with_template("  {bar:30} {pos}/{len} customers, {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
