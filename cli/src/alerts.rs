//! `lifecycle alerts` and `lifecycle silence`: what people hear of, and what they do not want to.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use domain::alerting::{Group, Hold, Matcher, Mutes, Policy, Silence, Step, next};
use domain::by_hand::{self, NeedsReason};
use domain::lifecycle::Lifecycle;
use domain::period::Period;
use jiff::Timestamp;
use platform::Store;
use platform::store::AckOutcome;
use serde_json::json;

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// How many groups are read at once.
const AT_ONCE: i32 = 100;
/// How many alerts of a group are listed.
const LISTED: usize = 5;

/// List groups of alerts, and acknowledge them
#[derive(Debug, Args)]
#[command(
    long_about = "Lists the groups of alerts: what is so, who looks after it, what is silenced and until when. An \
acknowledged group is not repeated and not escalated until another alert joins it.\n\n  \
lifecycle alerts\n  lifecycle alerts ack 5e884898da280471 --author kim@example.com"
)]
pub struct AlertsArgs {
    #[command(subcommand)]
    action: Option<AlertsAction>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum AlertsAction {
    /// Say that somebody looks after a group
    Ack {
        /// The group
        group: String,
        /// Who
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
        author: Option<String>,
        /// Anything to remember about it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Silence alerts for a while
#[derive(Debug, Args)]
#[command(
    long_about = "What is silenced is not told; what still is so when the silence ends is told then. A silence names \
labels: all of its matchers must be met.\n\n  \
lifecycle silence add standard=kickoff_held csm=kim@example.com --for 3d --reason \"kim is ill\"\n  \
lifecycle silence add 'severity!=critical' --until 2026-12-27 --reason \"holidays\"\n  \
lifecycle silence list\n  lifecycle silence end 5e884898da28"
)]
pub struct SilenceArgs {
    #[command(subcommand)]
    action: SilenceAction,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum SilenceAction {
    /// Silence what meets all of the matchers
    Add {
        /// `label=value`, `label!=value`; several values with commas
        #[arg(required = true, value_parser = Matcher::parse)]
        matchers: Vec<Matcher>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long, as `4h`, `3d` or `2 workdays`
        #[arg(long = "for", value_name = "PERIOD", value_parser = Period::parse)]
        period: Option<Period>,
        /// Until when: an instant, or a date of the workspace's calendar
        #[arg(
            long,
            value_name = "WHEN",
            conflicts_with = "period",
            required_unless_present = "period"
        )]
        until: Option<String>,
        /// Who does not want to hear of it
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
        author: Option<String>,
    },
    /// List silences
    List,
    /// End one
    End {
        /// Its id
        id: String,
        /// Who ends it
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
        author: Option<String>,
    },
}

/// Lists or acknowledges groups.
///
/// # Errors
/// When the data cannot be opened, or there is no such group.
pub async fn alerts(args: AlertsArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let lifecycle = active(&target.store).await?;
    let now = LocalClock::system().now();
    let mut out = std::io::stdout();
    match args.action {
        None => list(&target.store, &lifecycle, now, args.json, &mut out).await?,
        Some(AlertsAction::Ack { group, author, reason }) => {
            let by = by_hand::author(author.as_deref(), reason.as_deref(), NeedsReason::No)?;
            match target.store.acknowledge_alerts(&group, &by, &lifecycle, now).await? {
                AckOutcome::NoGroup => bail!("there is no group `{group}` of which alerts are so"),
                AckOutcome::Done(group) if args.json => writeln!(out, "{}", json!(group))?,
                AckOutcome::Done(group) => writeln!(
                    out,
                    "{} looks after {} ({} firing).",
                    by.name,
                    group.id,
                    group.firing()
                )?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds, lists or ends silences.
///
/// # Errors
/// When the data cannot be opened, there is no such silence, or what is asked for is none.
pub async fn silence(args: SilenceArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let lifecycle = active(&target.store).await?;
    let now = LocalClock::system().now();
    let mut out = std::io::stdout();
    match args.action {
        SilenceAction::Add { matchers, reason, period, until, author } => {
            let calendar = &lifecycle.calendar;
            let until = until.as_deref().map(|text| by_hand::until(text, calendar)).transpose()?;
            let ends = until.or(period.map(|period| calendar.after(now, period))).unwrap_or(now);
            let id = target.store.silence_id()?;
            let who = (author.as_deref(), Some(reason.as_str()));
            let silence = Silence::checked(id, matchers, who, (now, ends), now)?;
            target.store.add_silence(&silence, now).await?;
            match args.json {
                true => writeln!(out, "{}", json!(silence))?,
                false => writeln!(out, "Silenced until {} ({}).", silence.ends_at, silence.id)?,
            }
        }
        SilenceAction::List => {
            let silences = target.store.silences().await?;
            if args.json {
                writeln!(out, "{}", json!(silences))?;
            } else {
                print_silences(&silences, now, &mut out)?;
            }
        }
        SilenceAction::End { id, author } => {
            let by = by_hand::author(author.as_deref(), None, NeedsReason::No)?;
            let ended = target.store.end_silence(&id, &by.name, now).await?;
            let ended = ended.with_context(|| format!("there is no silence `{id}` to end"))?;
            match args.json {
                true => writeln!(out, "{}", json!(ended))?,
                false => writeln!(out, "The silence {id} is over.")?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn active(store: &Store) -> Result<std::sync::Arc<Lifecycle>> {
    store.lifecycle().await.context("there is no active lifecycle file")
}

async fn list(
    store: &Store,
    lifecycle: &Lifecycle,
    now: Timestamp,
    as_json: bool,
    out: &mut impl Write,
) -> Result<()> {
    let silences = store.silences().await?;
    let mut cursor: Option<String> = None;
    let mut all = Vec::new();
    loop {
        let page = store.alert_groups(AT_ONCE, cursor.as_deref()).await?;
        for group in page.items {
            let sources = store.inhibiting(&group, lifecycle, now).await?;
            let rules = &lifecycle.inhibit;
            let mutes = Mutes { silences: &silences, rules, sources: &sources, now };
            let state = state(&group, &mutes, lifecycle, now);
            match as_json {
                true => all.push(json!({ "group": group, "state": state })),
                false => print_group(&group, &state, out)?,
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if as_json {
        writeln!(out, "{}", json!(all))?;
    }
    Ok(())
}

fn state(group: &Group, mutes: &Mutes<'_>, lifecycle: &Lifecycle, now: Timestamp) -> String {
    let Some(policy) = Policy::of(group, lifecycle, None) else {
        return format!("its receiver {} is gone", group.to);
    };
    match (next(group, mutes, &policy, now), &group.ack) {
        (Step::Wait { hold: Hold::Silenced { id, until }, .. }, _) => {
            let silence = mutes.silences.iter().find(|silence| silence.id == id);
            let by = silence.map_or(String::new(), |silence| {
                format!(" by {}: {}", silence.author, silence.reason)
            });
            format!("silenced until {until}{by}")
        }
        (Step::Wait { hold: Hold::Inhibited { .. }, .. }, _) => "inhibited".to_owned(),
        (Step::Wait { hold: Hold::Quiet(until), .. }, _) => format!("quiet until {until}"),
        (_, Some(ack)) => format!("acknowledged by {} at {}", ack.author, ack.at),
        (Step::Send { reason, .. }, None) => format!("due: {}", reason.as_str()),
        (Step::Wait { due: Some(due), .. }, None) => format!("next at {due}"),
        (Step::Wait { due: None, .. }, None) => "told".to_owned(),
    }
}

fn print_group(group: &Group, state: &str, out: &mut impl Write) -> Result<()> {
    let labels = group.labels.iter().map(|(label, value)| format!("{label}={value}"));
    let labels = labels.collect::<Vec<_>>().join(" ");
    writeln!(out, "{} {labels} to {}: {} firing, {state}", group.id, group.to, group.firing())?;
    for member in group.members.iter().take(LISTED) {
        writeln!(out, "  {}: {}, {}", member.name, member.headline, member.since)?;
    }
    let more = group.members.len().saturating_sub(LISTED);
    if more > 0 {
        writeln!(out, "  … and {more} more")?;
    }
    Ok(())
}

fn print_silences(silences: &[Silence], now: Timestamp, out: &mut impl Write) -> Result<()> {
    for silence in silences {
        let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
        let state = if silence.is_active(now) { "" } else { " (not in force)" };
        writeln!(
            out,
            "{} {} until {}{state}, {}: {}",
            silence.id,
            matchers.join(" "),
            silence.ends_at,
            silence.author,
            silence.reason
        )?;
    }
    Ok(())
}
