//! `lifecycle findings`, `lifecycle finding …` and `lifecycle adherence`: breaches of standards, what
//! people say of them, and how well standards are kept.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use domain::adherence::{By, Row};
use domain::by_hand::{self, NeedsReason};
use domain::feed::health::FeedHealth;
use domain::journal::FindingOutcome;
use jiff::Timestamp;
use platform::adherence::{DEFAULT_DAYS, Span, read};
use platform::store::Finding;
use serde_json::{Value as Json, json};

use crate::by_hand::{Decision, decide};
use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Which findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Those that nobody has mended, acknowledged or not
    Open,
    /// Those that were mended or no longer apply
    Closed,
    /// What waivers hide
    Waived,
}

/// List findings: breaches of what the company promised itself
#[derive(Debug, Args)]
#[command(
    long_about = "Lists breaches of standards, newest first, or the waivers that hide some.\n\n  \
lifecycle findings\n  lifecycle findings --state closed --limit 20\n  lifecycle findings --state waived --json"
)]
pub struct FindingsArgs {
    /// Which
    #[arg(long, value_enum, default_value = "open")]
    state: State,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Say what a finding was worth, or that a standard does not count for a customer
#[derive(Debug, Args)]
pub struct FindingArgs {
    #[command(subcommand)]
    command: FindingCommand,
}

#[derive(Debug, Subcommand)]
enum FindingCommand {
    Ack(SeenArgs),
    Waive(WaiveArgs),
    Unwaive(UnwaiveArgs),
}

/// The customer and the standard.
#[derive(Debug, Args)]
struct About {
    #[command(flatten)]
    decision: Decision,
    /// The standard's name in the active lifecycle file
    standard: String,
}

/// What a finding was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Worth {
    /// It told something worth knowing
    Useful,
    /// It was right, and known before
    Known,
    /// It was wrong
    False,
}

/// Acknowledge the open finding of a standard
#[derive(Debug, Args)]
#[command(
    long_about = "Says that a finding was seen, and what it was worth. It stays open until it is mended.\n\n  \
lifecycle finding ack acme kickoff_held --outcome useful --note \"booked for Monday\""
)]
struct SeenArgs {
    #[command(flatten)]
    about: About,
    /// What it was worth
    #[arg(long, value_enum)]
    outcome: Worth,
    /// Anything to remember about it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Let a customer off a standard for a while
#[derive(Debug, Args)]
#[command(
    long_about = "Lets a customer off a standard: its finding does not count and nobody is told of another one. \
Where the breach still stands when the waiver ends, the finding is open again.\n\n  \
lifecycle finding waive acme kickoff_held --reason \"the contact is on leave\" --until 2026-12-01"
)]
struct WaiveArgs {
    #[command(flatten)]
    about: About,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When the standard counts again: an instant, or a date of the workspace's calendar
    /// [default: when the waiver is ended]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// End a waiver: the standard counts again at once
#[derive(Debug, Args)]
#[command(
    long_about = "Ends a waiver. A breach that stands is an open finding again at once.\n\n  \
lifecycle finding unwaive acme kickoff_held"
)]
struct UnwaiveArgs {
    #[command(flatten)]
    about: About,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Show how well standards are kept
#[derive(Debug, Args)]
#[command(
    long_about = "Shows how well standards are kept: what was met and broken in a part of history and how long it \
took, and what is open, at risk, waived or cannot be told now.\n\n  \
lifecycle adherence\n  lifecycle adherence --from 2026-01-01 --to 2026-04-01 --by month --json"
)]
pub struct AdherenceArgs {
    /// From when on: an instant, or a date of the workspace's calendar [default: 30 days before]
    #[arg(long, value_name = "WHEN")]
    from: Option<String>,
    /// Until when [default: now]
    #[arg(long, value_name = "WHEN")]
    to: Option<String>,
    /// What rows are made by
    #[arg(long, default_value = "standard", value_parser = ["standard", "stage", "segment", "owner", "month"])]
    by: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Lists findings.
///
/// # Errors
/// When the data cannot be opened or read.
pub async fn findings(args: FindingsArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let mut out = std::io::stdout();
    let limit = i32::from(args.limit);
    let state = match args.state {
        State::Open => "open",
        State::Closed => "closed",
        State::Waived => return waived(&target, limit, args.json, &mut out).await,
    };
    let page = target.store.findings(state, limit, None).await?;
    let feeds = of_feeds(&target, state).await?;
    if args.json {
        let more = page.next_cursor.is_some();
        let all = serde_json::json!({ "findings": page.items, "feeds": feeds, "more": more });
        writeln!(out, "{all}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for feed in &feeds {
        writeln!(out, "{}", printable(&line_of_feed(feed)))?;
    }
    for finding in &page.items {
        writeln!(out, "{}", line(finding))?;
    }
    if page.items.is_empty() && feeds.is_empty() {
        writeln!(out, "No finding is {state}.")?;
    }
    if page.next_cursor.is_some() {
        writeln!(out, "There are more: raise --limit.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The findings of sources of events: they are of no customer.
async fn of_feeds(target: &Target, state: &str) -> Result<Vec<Json>> {
    let watched = target.store.watched_feeds().await?.into_iter();
    let is_asked =
        |health: &FeedHealth| health.opened_at.is_some() && health.is_open() == (state == "open");
    let found = watched.filter(|(_, watched)| is_asked(&watched.health));
    let told = found.map(|(name, watched)| {
        let health = watched.health;
        json!({
            "feed": name,
            "state": state,
            "health": health.health.as_str(),
            "silent_since": health.silent_since,
            "opened_at": health.opened_at,
            "closed_at": health.closed_at,
            "reopened": health.reopened,
            "heard_at": health.heard_at,
            "rate": health.compared,
        })
    });
    Ok(told.collect())
}

fn line_of_feed(feed: &Json) -> String {
    let text = |name: &str| feed[name].as_str().unwrap_or("-").to_owned();
    let (opened, name, state) = (text("opened_at"), text("feed"), text("state"));
    let heard = match feed["heard_at"].as_str() {
        Some(heard) => format!("last heard of {heard}"),
        None => "never heard of".to_owned(),
    };
    let standard = "feed_silent";
    format!(
        "{opened}  {:<8} {standard:<20} {name:<20} {state:<12} -  {}, {heard}",
        "high",
        text("health")
    )
}

fn line(finding: &Finding) -> String {
    let severity = finding.severity.map_or("-", |severity| severity.as_str());
    let owner = finding.owner.as_deref().unwrap_or("-");
    let why = finding.reasons.first().map_or("", |reason| &reason.expression);
    let text = format!(
        "{}  {:<8} {:<20} {:<20} {:<12} {owner}  {why}",
        finding.opened_at, severity, finding.standard, finding.customer, finding.state
    );
    printable(&text)
}

async fn waived(
    target: &Target,
    limit: i32,
    is_json: bool,
    out: &mut impl Write,
) -> Result<ExitCode> {
    let now = LocalClock::system().now();
    let page = target.store.waivers(now, limit, None).await?;
    let mut listed = Vec::new();
    for found in page.items {
        let waiver = found.customer.customer.status.waived(&found.standard, now);
        let Some(waiver) = waiver else { continue };
        listed.push(serde_json::json!({
            "customer": found.customer.key.id(),
            "standard": found.standard,
            "author": waiver.author,
            "reason": waiver.reason,
            "since": waiver.since,
            "until": waiver.until,
        }));
    }
    if is_json {
        let more = page.next_cursor.is_some();
        writeln!(out, "{}", serde_json::json!({ "waivers": listed, "more": more }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for waiver in &listed {
        let text = |name: &str| waiver[name].as_str().unwrap_or("it is ended").to_owned();
        let line = format!(
            "{:<20} {:<20} until {}  by {}: {}",
            text("standard"),
            text("customer"),
            text("until"),
            text("author"),
            text("reason")
        );
        writeln!(out, "{}", printable(&line))?;
    }
    if listed.is_empty() {
        writeln!(out, "No waiver is in force.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What came from outside, without what a terminal could take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Makes what a person says of a finding true.
///
/// # Errors
/// When the data cannot be opened, there is no such customer or standard, or it cannot be said.
pub async fn finding(args: FindingArgs) -> Result<ExitCode> {
    match args.command {
        FindingCommand::Ack(SeenArgs { about: About { decision, standard }, outcome, note }) => {
            let author = decision.author.as_deref();
            let by = by_hand::author(author, note.as_deref(), NeedsReason::No)?;
            let outcome = match outcome {
                Worth::Useful => FindingOutcome::Useful,
                Worth::Known => FindingOutcome::Known,
                Worth::False => FindingOutcome::False,
            };
            decide(&decision, |facts| {
                Ok(vec![by_hand::acknowledge_finding(facts, &standard, by.clone(), outcome)?])
            })
            .await
        }
        FindingCommand::Waive(WaiveArgs { about: About { decision, standard }, reason, until }) => {
            let author = decision.author.as_deref();
            let by = by_hand::author(author, Some(&reason), NeedsReason::Yes)?;
            decide(&decision, |facts| {
                let calendar = &facts.lifecycle.calendar;
                let until =
                    until.as_deref().map(|text| by_hand::until(text, calendar)).transpose()?;
                by_hand::waive(facts, &standard, by.clone(), until)
            })
            .await
        }
        FindingCommand::Unwaive(UnwaiveArgs { about: About { decision, standard }, reason }) => {
            let author = decision.author.as_deref();
            let by = by_hand::author(author, reason.as_deref(), NeedsReason::No)?;
            decide(&decision, |facts| by_hand::unwaive(facts, &standard, by.clone())).await
        }
    }
}

/// Shows adherence.
///
/// # Errors
/// When the data cannot be opened or read, or the part of history is none.
pub async fn adherence(args: AdherenceArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let lifecycle = target.store.lifecycle().await.context(
        "there is no active lifecycle file: `lifecycle run evaluate --config FILE` makes one active",
    )?;
    let now = LocalClock::system().now();
    let ends = (args.from.as_deref(), args.to.as_deref());
    let span = Span::asked(ends, &lifecycle.calendar, DEFAULT_DAYS, now)?;
    let (from, to) = (span.from(), span.to());
    let by = By::parse(&args.by).unwrap_or(By::Standard);
    let rows = read(&target.store, &lifecycle, by, span, now).await?;
    let mut out = std::io::stdout();
    if args.json {
        let told = serde_json::json!({
            "from": from, "to": to, "at": now, "by": by.as_str(), "rows": rows,
        });
        writeln!(out, "{told}")?;
        return Ok(ExitCode::SUCCESS);
    }
    table(&mut out, by, (from, to), &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn table(
    out: &mut impl Write,
    by: By,
    (from, to): (Timestamp, Timestamp),
    rows: &[Row],
) -> std::io::Result<()> {
    writeln!(out, "Adherence from {from} to {to}")?;
    writeln!(
        out,
        "{:<24} {:>6} {:>9} {:>6} {:>8} {:>7} {:>7} {:>7} {:>9} {:>9}",
        by.as_str(),
        "met",
        "breached",
        "open",
        "at risk",
        "waived",
        "unknown",
        "kept",
        "p50",
        "p90"
    )?;
    for row in rows {
        let share = row.adherence.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0));
        writeln!(
            out,
            "{:<24} {:>6} {:>9} {:>6} {:>8} {:>7} {:>7} {share:>7} {:>9} {:>9}",
            printable(&row.group),
            row.met,
            row.breached,
            row.open,
            row.at_risk,
            row.waived,
            row.cannot_tell,
            time(row.p50_seconds),
            time(row.p90_seconds)
        )?;
    }
    Ok(())
}

fn time(seconds: Option<i64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds >= 2 * 86_400 => format!("{:.1} d", seconds as f64 / 86_400.0),
        Some(seconds) => format!("{:.1} h", seconds as f64 / 3_600.0),
    }
}
