//! `lifecycle explain`: why a customer is where it is, for a person at a terminal.
//!
//! What is explained is the read API's own answer; here it is only put into lines.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use console::explain::{
    Changed, Criteria, ExplainedInput, ExplainedStandard, ExplainedTask, Explanation, OtherStage,
};
use domain::explain::said;
use jiff::Timestamp;

use crate::clock::LocalClock;
use crate::simulate::instant;
use crate::target::{Target, TargetArgs};

/// Explain why a customer is in its stage
#[derive(Debug, Args)]
#[command(
    long_about = "Explains a customer: the decision that moved it where it is, every input with the \
events it comes from, why this stage and why not each other one, what would change it, how it stands \
with each standard, and when it will next change by itself.\n\n\
With --at, as of an earlier instant, by the lifecycle file that was active then.",
    after_long_help = "Examples:\n  \
lifecycle explain acme\n  \
lifecycle explain acme --at 2026-06-30\n  \
lifecycle explain acme --json | jq '.what_if[0].text'\n\n\
With --json, the answer of GET /api/customers/{id}/explain, which /api/openapi.json documents.\n\n\
Exit codes: 0 explained, 1 there is no such customer, or failed, 2 wrong use."
)]
pub struct ExplainArgs {
    /// The customer's id
    #[arg(value_name = "CUSTOMER")]
    customer: String,
    /// As of this instant or date [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    at: Option<Timestamp>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Explains a customer.
///
/// # Errors
/// When there is no such customer, or the tables cannot be read.
pub async fn run(args: ExplainArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let now = LocalClock::system().now();
    let told = console::explain::explain(&target.store, &args.customer, args.at, now).await?;
    let Some(told) = told else { bail!("there is no customer `{}`", args.customer) };
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string(&told)?)?,
        false => write!(out, "{}", text(&told, out.is_terminal()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How many events of an input, and how many suppositions, are shown.
const EVENTS: usize = 3;
const SUPPOSED: usize = 8;

fn text(told: &Explanation, is_colored: bool) -> String {
    let bold = |text: &str| match is_colored {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let mut text = String::new();
    let stage = told.stage.as_ref();
    let where_ = stage.map_or("in no stage yet".to_owned(), |stage| {
        format!(
            "in {} since {} ({} days, visit {})",
            stage.name, stage.since, stage.days, stage.visit
        )
    });
    let version = told.config_version.map(|version| format!("version {version}, "));
    text.push_str(&format!("{} is {where_}\n", bold(&printable(&told.customer))));
    text.push_str(&format!(
        "as of {}, by the lifecycle file {}{}\n",
        told.at,
        version.unwrap_or_default(),
        &told.config_hash[..12.min(told.config_hash.len())]
    ));
    if !told.complete {
        text.push_str("Only the newest events were read: the customer has very many.\n");
    }
    if let Some(decided) = &told.decided_by {
        text.push_str(&format!("\n{}\n", bold("Why this stage")));
        let from = decided.from.as_deref().map_or("none".to_owned(), printable);
        text.push_str(&format!(
            "  journal entry {}: from {from}, by {}, at {}\n",
            decided.seq, decided.rule, decided.at
        ));
        for reason in &decided.reasons {
            text.push_str(&format!("    {}\n", read(reason)));
        }
    }
    for (title, criteria) in
        [("Its own criteria now", &told.present), ("Its bar to stay", &told.leave)]
    {
        let Some(criteria) = criteria else { continue };
        text.push_str(&format!("\n{}: {}\n", bold(title), answer(criteria)));
        text.push_str(&parts(criteria));
    }
    if !told.changes.is_empty() {
        text.push_str(&format!("\n{}\n", bold("The next run will decide")));
        told.changes.iter().for_each(|change| text.push_str(&changed(change)));
    }
    text.push_str(&format!("\n{}\n", bold("Why not another")));
    for other in &told.others {
        text.push_str(&other_stage(other));
    }
    if !told.standards.is_empty() {
        text.push_str(&format!("\n{}\n", bold("Standards")));
        told.standards.iter().for_each(|standard| text.push_str(&standard_text(standard)));
    }
    if !told.tasks.is_empty() {
        text.push_str(&format!("\n{}\n", bold("Open tasks")));
        told.tasks.iter().for_each(|task| text.push_str(&task_text(task)));
    }
    text.push_str(&format!("\n{}\n", bold("Inputs")));
    for input in &told.inputs {
        text.push_str(&input_text(input));
    }
    text.push_str(&format!("\n{}\n", bold("What would change it")));
    if told.what_if.is_empty() {
        text.push_str("  no change of a single input moves it\n");
    }
    for supposed in told.what_if.iter().take(SUPPOSED) {
        text.push_str(&format!("  {}\n", printable(&supposed.text)));
    }
    text.push_str(&format!("\n{}\n", bold("What comes by itself")));
    match &told.next {
        None => text.push_str("  nothing within 180 days\n"),
        Some(next) => {
            text.push_str(&format!("  at {}\n", next.at));
            next.changes.iter().for_each(|change| text.push_str(&changed(change)));
        }
    }
    text
}

/// A standard: why its finding is open and what would close it, or when it would be broken.
fn standard_text(told: &ExplainedStandard) -> String {
    let since = told.since.map(|since| format!(" since {since}")).unwrap_or_default();
    let until = told.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let state = match told.state {
        "not_applicable" => "is not for this customer",
        "cannot_tell" => "cannot be told",
        "broken" => "broken: the next run opens a finding",
        state => state,
    };
    let mut text = format!("  {:<14} {state}{since}{until}", told.standard);
    if let Some(at) = told.breaks_at {
        text.push_str(&format!(", broken at {at} if nothing happens"));
    }
    text.push('\n');
    for reason in &told.reasons {
        text.push_str(&format!("    {}\n", read(reason)));
    }
    if let Some(closed_by) = &told.closed_by {
        text.push_str(&format!("    closed by {}\n", printable(closed_by)));
    }
    text
}

/// An open task, and why it was opened.
fn task_text(task: &ExplainedTask) -> String {
    let opened = &task.opened_by;
    let mut text = format!(
        "  {} ({}): journal entry {}, at {}\n",
        printable(&task.id),
        printable(&task.state),
        opened.seq,
        opened.at
    );
    for reason in &opened.reasons {
        text.push_str(&format!("    {}\n", read(reason)));
    }
    text
}

/// What came from outside, without what a terminal could take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn read(reason: &console::explain::Reason) -> String {
    let inputs: Vec<String> = reason
        .inputs
        .iter()
        .map(|(name, value)| format!("{name} = {}", printable(&said(value))))
        .collect();
    let value = said(&reason.value);
    match inputs.is_empty() {
        true => format!("{}: {value}", printable(&reason.expression)),
        false => format!("{}: {value} ({})", printable(&reason.expression), inputs.join(", ")),
    }
}

fn answer(criteria: &Criteria) -> String {
    let answer = match criteria.answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "cannot be told",
    };
    let since = criteria.held_since.map(|since| format!(", since {since}")).unwrap_or_default();
    let hold = criteria.hold.as_ref().map(|hold| format!(", asked for {hold}")).unwrap_or_default();
    format!("{answer}{since}{hold}")
}

fn parts(criteria: &Criteria) -> String {
    criteria.parts.iter().map(|part| format!("    {}\n", read(part))).collect()
}

fn other_stage(other: &OtherStage) -> String {
    match &other.why_not {
        None => format!("  {:<14} the next run moves it there\n", other.stage),
        Some(why) => format!("  {:<14} {}\n", other.stage, printable(why)),
    }
}

fn input_text(input: &ExplainedInput) -> String {
    let mut text = format!("  {} = {}", input.name, printable(&said(&input.value)));
    match (input.origin, &input.expression, input.seq) {
        ("computed", Some(expression), _) => text.push_str(&format!("   from {expression}")),
        ("journal", _, Some(seq)) => text.push_str(&format!("   journal entry {seq}")),
        ("events", _, _) => {
            let named: Vec<String> =
                input.events.iter().take(EVENTS).map(|event| printable(&event.id)).collect();
            let more = input.event_count.saturating_sub(named.len() as u64);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            match named.is_empty() {
                true => text.push_str("   no event"),
                false => text.push_str(&format!("   events {}{more}", named.join(", "))),
            }
        }
        _ => {}
    }
    text.push('\n');
    text
}

fn changed(change: &Changed) -> String {
    let from = change.from.as_deref().unwrap_or("none");
    let to = change.to.as_deref().unwrap_or("none");
    let reasons: Vec<String> = change.reasons.iter().map(read).collect();
    let why = if reasons.is_empty() { String::new() } else { format!("   {}", reasons.join("; ")) };
    format!("    {} {from} → {to} by {}{why}\n", change.kind, change.rule)
}
