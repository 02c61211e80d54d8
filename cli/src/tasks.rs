//! `lifecycle tasks` and `lifecycle task`: what there is to do, and saying that it is done.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use console::tasks::{Order, Task, open_tasks};
use domain::by_hand::{self, NeedsReason, Refused};
use domain::facts::Facts;
use domain::lifecycle::Lifecycle;
use domain::task::{self, Act};
use platform::store::ByHandOutcome;

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// List open tasks
#[derive(Debug, Args)]
#[command(
    long_about = "Lists the tasks that playbooks opened and nobody closed yet, of all customers: those that \
run out first first, 5,000 at most.\n\n  \
lifecycle tasks --overdue\n  \
lifecycle tasks --owner kim@example.com --next-best\n\n\
With --json, a list of the tasks that GET /api/tasks answers.",
    after_long_help = "Exit codes: 0 listed, 1 failed, 2 wrong use."
)]
pub struct TasksArgs {
    /// Only those of this owner: as the lifecycle file has it, or the person it comes to
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// Only those of this customer
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<String>,
    /// Only those that are overdue
    #[arg(long)]
    overdue: bool,
    /// What is at risk for each minute of effort first
    #[arg(long)]
    next_best: bool,
    /// Print one JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Close, put off or give away a task
#[derive(Debug, Args)]
#[command(
    long_about = "Says what became of a customer's task. The journal says who decided. What is so already is \
left as it is.\n\n  \
lifecycle task done acme rescue.call --note \"they stay\"\n  \
lifecycle task snooze acme rescue.call --until 2026-12-01\n  \
lifecycle task reassign acme rescue.call --to kim@example.com\n  \
lifecycle task check acme rescue.call --item 2\n  \
lifecycle task reopen acme rescue.call",
    after_long_help = "Exit codes: 0 done, 1 there is no such task, or failed, 2 wrong use."
)]
pub struct TaskArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say that a task is done
    Done(Which),
    /// Put a task off
    Snooze {
        #[command(flatten)]
        which: Which,
        /// Until when: an instant, or a date of the workspace's calendar
        #[arg(long, value_name = "WHEN")]
        until: String,
    },
    /// Give a task to somebody else
    Reassign {
        #[command(flatten)]
        which: Which,
        /// A trait, a team or an address
        #[arg(long, value_name = "OWNER")]
        to: String,
    },
    /// Open a task again
    Reopen(Which),
    /// Tick an item of a task's checklist
    Check {
        #[command(flatten)]
        which: Which,
        /// The item's text, or its number from 1
        #[arg(long, value_name = "ITEM")]
        item: String,
    },
}

/// Which task, and who acts.
#[derive(Debug, Clone, Args)]
struct Which {
    /// The customer's id; where customers are accounts, a user's id means the user's account
    customer: String,
    /// The task, as `rescue.call`: the playbook and its step
    task: String,
    /// Who acts, for the journal
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    author: Option<String>,
    /// Anything to remember about it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Print the customer's open tasks and the journal entries as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Lists tasks.
///
/// # Errors
/// When the data cannot be opened or read.
pub async fn list(args: TasksArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let lifecycle = target.store.lifecycle().await.context(NO_LIFECYCLE)?;
    let order = if args.next_best { Order::NextBest } else { Order::Due };
    let now = LocalClock::system().now();
    let mut tasks = open_tasks(&target.store, &lifecycle, order, now).await?;
    tasks.retain(|task| {
        let of_owner = |owner: &String| task.owner == *owner || task.owner_name == *owner;
        args.owner.as_ref().is_none_or(of_owner)
            && args.customer.as_ref().is_none_or(|customer| task.customer == *customer)
            && (!args.overdue || task.state == "overdue")
    });
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&tasks)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for task in &tasks {
        write!(out, "{}", line(task, &lifecycle))?;
    }
    if tasks.is_empty() {
        writeln!(std::io::stderr(), "no task is open")?;
    }
    Ok(ExitCode::SUCCESS)
}

const NO_LIFECYCLE: &str =
    "there is no active lifecycle file: `lifecycle apply FILE` makes one active";

fn line(task: &Task, lifecycle: &Lifecycle) -> String {
    let due = task.due.map_or_else(
        || "no due time".to_owned(),
        |due| format!("due {}", lifecycle.calendar.date(due)),
    );
    let risk = task.revenue_at_risk.map(|risk| format!(", {risk:.0} at risk"));
    format!(
        "{:<8} {:<6} {}  {}  {}\n         {}, {due}{}\n",
        task.state,
        task.priority,
        printable(&task.customer),
        task.id,
        printable(&task.title),
        printable(&task.owner_name),
        risk.unwrap_or_default()
    )
}

/// What came from outside, without what a terminal could take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Acts on a task.
///
/// # Errors
/// When the data cannot be opened, there is no such customer or task, or it is not in the state for it.
pub async fn act(args: TaskArgs) -> Result<ExitCode> {
    let which = match &args.action {
        Action::Done(which) | Action::Reopen(which) => which,
        Action::Snooze { which, .. }
        | Action::Reassign { which, .. }
        | Action::Check { which, .. } => which,
    };
    let by = by_hand::author(which.author.as_deref(), which.note.as_deref(), NeedsReason::No)?;
    let target = Target::open(&which.target).await?;
    let lifecycle = target.store.lifecycle().await.context(NO_LIFECYCLE)?;
    let act = wanted(&args.action, &lifecycle)?;
    let found = target.store.find_customer(&which.customer, lifecycle.subject).await?;
    let found = found.with_context(|| format!("there is no customer `{}`", which.customer))?;
    let now = LocalClock::system().now();
    let decide = |facts: &Facts<'_>| task::act(facts, &which.task, &act, &by);
    match target.store.decide_by_hand(&found.key, &lifecycle, now, decide).await? {
        ByHandOutcome::Refused(refused) => bail!(refused),
        ByHandOutcome::Done { customer, entries } => {
            let mut out = std::io::stdout();
            if which.json {
                let told = serde_json::json!({
                    "customer": customer.key.id(),
                    "tasks": customer.customer.status.tasks.open,
                    "entries": entries,
                });
                writeln!(out, "{told}")?;
                return Ok(ExitCode::SUCCESS);
            }
            let (id, task) = (printable(customer.key.id()), printable(&which.task));
            match entries.first() {
                Some(entry) => {
                    let became = entry.to.as_deref().unwrap_or_default();
                    writeln!(out, "{task} of {id} is {became} (journal entry {}).", entry.seq)?;
                }
                None => writeln!(out, "{task} of {id} is so already.")?,
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn wanted(action: &Action, lifecycle: &Lifecycle) -> Result<Act, Refused> {
    Ok(match action {
        Action::Done(_) => Act::Done,
        Action::Reopen(_) => Act::Reopen,
        Action::Snooze { until, .. } => Act::Snooze(by_hand::until(until, &lifecycle.calendar)?),
        Action::Reassign { to, .. } => Act::Reassign(to.clone()),
        Action::Check { item, .. } => Act::Check(item.clone()),
    })
}
