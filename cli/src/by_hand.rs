//! `lifecycle move`, `lifecycle release` and `lifecycle ack`: what people decide about a customer.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use domain::by_hand::{self, NeedsReason, Refused};
use domain::facts::Facts;
use domain::journal::{Change, JournalEntry};
use domain::lifecycle::Lifecycle;
use platform::Versioned;
use platform::store::ByHandOutcome;

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Whom it is about, and who decides.
#[derive(Debug, Clone, Args)]
pub struct Decision {
    /// The customer's id; where customers are accounts, a user's id means the user's account
    customer: String,
    /// Who decides, for the journal
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    pub(crate) author: Option<String>,
    /// Print the customer's stage and the journal entries as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Move a customer to a stage, and keep it there
#[derive(Debug, Args)]
#[command(
    long_about = "Moves a customer to a stage, whatever its criteria and exits. Until the expiry, or until \
`lifecycle release`, automation proposes where the customer belongs and does not move it. The journal \
says who decided, why and until when.\n\n  \
lifecycle move acme --to onboarding --reason \"they signed again by phone\" --until 2026-12-01\n  \
lifecycle move acme --to churned --reason \"the company closed\" --author kim@example.com"
)]
pub struct MoveArgs {
    #[command(flatten)]
    decision: Decision,
    /// A stage of the active lifecycle file
    #[arg(long, value_name = "STAGE")]
    to: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// When automation takes over again: an instant, or a date of the workspace's calendar
    /// [default: when released]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// Give a customer that was moved by hand back to automation
#[derive(Debug, Args)]
#[command(
    long_about = "Gives a customer that was moved by hand back to automation, which moves it at the next run.\n\n  \
lifecycle release acme --reason \"the contract is signed\""
)]
pub struct ReleaseArgs {
    #[command(flatten)]
    decision: Decision,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Acknowledge a handoff: say that the customer was taken over
#[derive(Debug, Args)]
#[command(
    long_about = "Says that a customer was taken over with its stage, where the lifecycle file asks for that with \
`handoff:`.\n\n  lifecycle ack acme --author kim@example.com"
)]
pub struct AckArgs {
    #[command(flatten)]
    decision: Decision,
    /// Anything to remember about it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Moves a customer.
///
/// # Errors
/// When the data cannot be opened, there is no such customer or stage, or the expiry is past.
pub async fn move_customer(args: MoveArgs) -> Result<ExitCode> {
    let MoveArgs { decision, to, reason, until } = args;
    let by = by_hand::author(decision.author.as_deref(), Some(&reason), NeedsReason::Yes)?;
    decide(&decision, |facts| {
        let calendar = &facts.lifecycle.calendar;
        let until = until.as_deref().map(|text| by_hand::until(text, calendar)).transpose()?;
        by_hand::move_to(facts, &to, by.clone(), until)
    })
    .await
}

/// Releases a customer.
///
/// # Errors
/// When the data cannot be opened, there is no such customer, or nobody holds it.
pub async fn release(args: ReleaseArgs) -> Result<ExitCode> {
    let ReleaseArgs { decision, reason } = args;
    let by = by_hand::author(decision.author.as_deref(), reason.as_deref(), NeedsReason::No)?;
    decide(&decision, |facts| Ok(vec![by_hand::release(facts, by.clone())?])).await
}

/// Acknowledges a handoff.
///
/// # Errors
/// When the data cannot be opened, there is no such customer, or no handoff waits.
pub async fn acknowledge(args: AckArgs) -> Result<ExitCode> {
    let AckArgs { decision, reason } = args;
    let by = by_hand::author(decision.author.as_deref(), reason.as_deref(), NeedsReason::No)?;
    decide(&decision, |facts| Ok(vec![by_hand::acknowledge(facts, by.clone())?])).await
}

pub(crate) async fn decide(
    decision: &Decision,
    decide: impl Fn(&Facts<'_>) -> Result<Vec<Change>, Refused>,
) -> Result<ExitCode> {
    let target = Target::open(&decision.target).await?;
    let lifecycle = target.store.lifecycle().await.context(
        "there is no active lifecycle file: `lifecycle run evaluate --config FILE` makes one active",
    )?;
    let found = target.store.find_customer(&decision.customer, lifecycle.subject).await?;
    let found = found.with_context(|| format!("there is no customer `{}`", decision.customer))?;
    let now = LocalClock::system().now();
    match target.store.decide_by_hand(&found.key, &lifecycle, now, decide).await? {
        ByHandOutcome::Refused(refused) => bail!(refused),
        ByHandOutcome::Done { customer, entries } => {
            let mut out = std::io::stdout();
            match decision.json {
                true => writeln!(out, "{}", answer(&customer, &entries))?,
                false => writeln!(out, "{}", sentence(&customer, &entries, &lifecycle))?,
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn answer(customer: &Versioned, entries: &[JournalEntry]) -> serde_json::Value {
    let status = &customer.customer.status;
    serde_json::json!({
        "customer": customer.key.id(),
        "stage": status.stage,
        "hold": status.hold,
        "handoff": status.handoff,
        "findings": status.findings,
        "tended": status.tended,
        "entries": entries,
    })
}

fn sentence(customer: &Versioned, entries: &[JournalEntry], lifecycle: &Lifecycle) -> String {
    let status = &customer.customer.status;
    let (id, stage) = (customer.key.id(), status.stage.as_ref());
    let stage = stage.map_or("no stage", |stage| stage.name.as_str());
    let seq = entries.first().map_or(0, |entry| entry.seq);
    let kind = entries.first().map_or("", |entry| entry.kind.as_str());
    let what = match (kind, &status.hold) {
        ("stage", Some(hold)) => match hold.until {
            Some(until) => {
                let local = lifecycle.calendar.zone().to_datetime(until);
                format!("{id} is in {stage} until {local}; until then automation only proposes")
            }
            None => format!("{id} is in {stage} until it is released"),
        },
        ("handoff", _) => format!("{id} was taken over in {stage}"),
        ("acknowledgement" | "waiver" | "finding", _) => {
            let standard = entries.first().map_or("", |entry| entry.rule.as_str());
            let standard = standard.strip_prefix("standards.").unwrap_or(standard);
            let to = entries.last().and_then(|entry| entry.to.as_deref()).unwrap_or_default();
            format!("{standard} of {id} is {to}")
        }
        _ => format!("{id} is in {stage}, and automation goes on at the next run"),
    };
    format!("{what} (journal entry {seq}).")
}
