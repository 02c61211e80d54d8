//! `lifecycle plan`: what a changed lifecycle file would do, before it does it.
//!
//! The event log is replayed under the active and the proposed file; nothing is written. What is
//! compared, and how, is `domain::plan`'s; here customers are read, replayed on all threads, and the
//! outcome is put into text, JSON and a page.

pub(crate) mod families;
mod models;
pub(crate) mod page;
mod replay;
mod report;
pub(crate) mod source;

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use domain::lifecycle::{Lifecycle, load};
use domain::plan::{Plan, Question};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use platform::Store;

use self::models::Models;
use self::replay::Replayed;
use self::report::Report;
use self::source::Source as Customers;
use crate::clock::LocalClock;
use crate::configuration::{FILE_NAME, InvalidFile, Source, print_diagnostics};
use crate::import::peak_rss_bytes;
use crate::simulate::instant;
use crate::target::{Target, TargetArgs, is_served};

/// Show what a changed lifecycle file would do
#[derive(Debug, Args)]
#[command(
    long_about = "Replays the event log under the active and the proposed lifecycle file, as of now \
and over the past months in weekly runs, and shows what differs: who would move, by stage, segment and \
revenue; which findings and alerts would appear or vanish; how often customers would flap; and the \
customers that are affected most, with the reason for each. Paying customers that would be taken for \
churned come first. Nothing is changed.\n\n\
Stages of customers who are gone are known by a word of their names: churned, lost, cancelled, closed, \
gone.\n\n\
Risk that is learnt is told by the version that is gone by. Where a file names a model that is not learnt \
yet, the plan says so and leaves risk out. Where metrics roll up, every account is looked at with all \
that was below it at the time; the log is read twice then.",
    after_long_help = "Examples:\n  \
lifecycle plan                                   lifecycle.yaml against the active version\n  \
lifecycle plan staging.yaml --html plan.html     a page with charts, to pass on\n  \
lifecycle plan --max-moves 2%                    in CI: fail when more customers move\n  \
lifecycle plan --aws                             over a deployed stack's log\n  \
lifecycle plan --export ./export --active active.yaml   over an export of the events table to S3\n\n\
With --json, one object on standard output:\n  \
{\"active\": {\"version\", \"hash\", \"risk\": {\"model\", \"version\", \"hash\", \"fitted_at\", \"missing\"}},\n   \
\"proposed\": {\"file\", \"hash\", \"risk\"}, \"notes\": [], \"at\", \"months\", \"steps\", \"customers\", \"events\", \"empty\",\n   \
\"moves\": {\"customers\", \"share\", \"revenue\", \"paying_lost\": {\"customers\", \"revenue\"},\n     \
\"by_stage\": [{\"from\", \"to\", \"customers\", \"revenue\"}], \"by_segment\": [{\"segment\", …}]},\n   \
\"findings\": [{\"standard\", \"active\", \"proposed\", \"appear\", \"vanish\"}], \"alerts\": \
[{\"receiver\", \"kind\", …}],\n   \
\"history\": {\"customers\", \"moves\", \"flapping\", \"findings\", \"alerts\", \"course\": [{\"at\", \
\"stages\"}]},\n   \
\"affected\": [{\"id\", \"name\", \"revenue\", \"paying\", \"lost\", \"segments\", \"present\", \
\"active\", \"proposed\", \"rule\", \"by\", \"reasons\"}],\n   \
\"limit\": {\"max_moves\", \"exceeded\"}, \"seconds\", \"peak_rss_bytes\"}\n\n\
Exit codes: 0 planned, 1 more customers move than --max-moves allows, a file is not valid, or failed, \
2 wrong use."
)]
pub struct PlanArgs {
    /// The proposed lifecycle file
    #[arg(value_name = "FILE", default_value = FILE_NAME)]
    file: PathBuf,
    /// How many months are replayed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    months: u32,
    /// As of this instant or date [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    at: Option<Timestamp>,
    /// Fail when more customers than this move: a share, as 2%, or a number
    #[arg(long, value_name = "LIMIT")]
    max_moves: Option<Limit>,
    /// The trait that tells what a customer pays [default: mrr, arr, revenue or amount, if declared]
    #[arg(long, value_name = "TRAIT")]
    revenue: Option<String>,
    /// Write one page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Compare with this file, and not with the active version
    #[arg(long, value_name = "FILE")]
    active: Option<PathBuf>,
    /// Read the log from an export of the events table to S3 (DYNAMODB_JSON)
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "aws"], requires = "active")]
    export: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// How many customers may move.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    /// So many.
    Customers(u64),
    /// So many of a hundred.
    Percent(f64),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        let wrong = || "write a share, as 2%, or a number of customers".to_owned();
        match text.trim().strip_suffix('%') {
            None => text.trim().parse().map(Limit::Customers).map_err(|_| wrong()),
            Some(percent) => match percent.trim().parse::<f64>() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Limit::Percent(percent)),
                _ => Err(wrong()),
            },
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::Customers(customers) => write!(f, "{customers}"),
            Limit::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Limit {
    fn is_exceeded(self, plan: &Plan) -> bool {
        match self {
            Limit::Customers(most) => plan.moved.customers > most,
            Limit::Percent(most) => plan.share() * 100.0 > most,
        }
    }
}

/// Traits that usually tell what a customer pays.
const REVENUE: [&str; 4] = ["mrr", "arr", "revenue", "amount"];

/// Plans, and prints the plan.
///
/// # Errors
/// When a file or the data cannot be read.
pub async fn run(args: PlanArgs) -> Result<ExitCode> {
    let began = Instant::now();
    let now = args.at.unwrap_or_else(|| LocalClock::system().now());
    let proposed = Source::file(&args.file)?;
    let Some(mut proposed_file) = usable(&proposed)? else { return Ok(ExitCode::FAILURE) };
    let Against { active, active_name, models, customers } =
        Against::of(&args, &mut proposed_file).await?;
    let revenue = revenue_trait(args.revenue.as_deref(), &proposed_file)?;
    let total = customers.customers().await?;
    let bar = progress(total, args.json);
    let months = args.months;
    let (replayed, revenue, steps, active, proposed_file) =
        tokio::task::spawn_blocking(move || -> Result<_> {
            let question = Question::weekly(&active, &proposed_file, now, months, revenue);
            let threads = std::thread::available_parallelism().map_or(2, usize::from);
            let replayed = replay::replay(customers, &question, threads, &bar)?;
            bar.finish_and_clear();
            let (steps, revenue) = (question.instants.len(), question.revenue.clone());
            Ok((replayed, revenue, steps, active, proposed_file))
        })
        .await
        .context("the replay stopped")??;
    let Replayed { plan, damaged, failed } = replayed;
    let mut err = std::io::stderr();
    if damaged > 0 {
        writeln!(err, "warning: {damaged} events could not be read and were passed over")?;
    }
    let report = Report {
        plan: &plan,
        active: (&active_name, &active),
        proposed: (&proposed.name, &proposed_file),
        models: &models,
        at: now,
        months,
        steps,
        revenue: revenue.as_deref(),
        limit: args.max_moves,
        seconds: began.elapsed().as_secs_f64(),
        peak_rss_bytes: peak_rss_bytes(),
    };
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", report.json())?,
        false => write!(out, "{}", report.text(out.is_terminal()))?,
    }
    if let Some(file) = &args.html {
        std::fs::write(file, page::page(&report)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if failed > 0 {
        writeln!(err, "error: {failed} customers could not be replayed")?;
        return Ok(ExitCode::FAILURE);
    }
    if report.is_exceeded() {
        writeln!(err, "{}", report.complaint())?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A file's lifecycle, or what is wrong with it, printed.
fn usable(source: &Source) -> Result<Option<Lifecycle>> {
    match load(&source.text) {
        Ok(lifecycle) => Ok(Some(lifecycle)),
        Err(found) => {
            let mut err = std::io::stderr();
            print_diagnostics(&mut err, &source.name, &source.text, &found)?;
            let invalid = InvalidFile { name: source.name.clone(), errors: found.len() };
            writeln!(err, "error: {invalid}; nothing was planned")?;
            Ok(None)
        }
    }
}

/// What a file is compared with.
struct Against {
    active: Lifecycle,
    active_name: String,
    /// What tells risk under both files.
    models: Models,
    customers: Customers,
}

impl Against {
    /// Reads it, and gives both files what was learnt for them.
    async fn of(args: &PlanArgs, proposed: &mut Lifecycle) -> Result<Against> {
        let given = args.active.as_deref().map(Source::file).transpose()?;
        if let (Some(folder), Some(given)) = (&args.export, &given) {
            let mut active = lifecycle_of(given)?;
            let models = Models::give(None, &mut active, proposed).await?;
            let customers = Customers::Export(folder.clone());
            return Ok(Against { active, active_name: given.name.clone(), models, customers });
        }
        let target = Target::open(&args.target).await?;
        let (mut active, active_name) = match &given {
            Some(given) => (lifecycle_of(given)?, given.name.clone()),
            None => active_file(&target.store).await?,
        };
        let models = Models::give(Some(&target.store), &mut active, proposed).await?;
        let customers = match args.target.aws || is_served(&args.target.data) {
            true => Customers::Tables(target.store.clone()),
            // The file is read without the engine, which lets go of it at the end of this.
            false => Customers::Local(args.target.data.clone()),
        };
        Ok(Against { active, active_name, models, customers })
    }
}

/// The active version, and what it is called.
async fn active_file(store: &Store) -> Result<(Lifecycle, String)> {
    let found = store.configuration().await?.context(
        "no lifecycle file is active yet, so there is nothing to compare with: apply one, or name one \
         with --active",
    )?;
    let name = format!("version {}", found.version);
    let source = Source { name: name.clone(), path: None, text: found.source };
    let mut active = lifecycle_of(&source)?;
    active.version = Some(found.version);
    Ok((active, name))
}

fn lifecycle_of(source: &Source) -> Result<Lifecycle> {
    load(&source.text).map_err(|found| {
        let first = found.into_iter().next().map(|found| found.message).unwrap_or_default();
        anyhow::anyhow!("{} can no longer be used: {first}", source.name)
    })
}

fn revenue_trait(given: Option<&str>, lifecycle: &Lifecycle) -> Result<Option<String>> {
    let is_declared = |name: &str| lifecycle.traits.iter().any(|declared| declared.name == name);
    match given {
        Some(name) if is_declared(name) => Ok(Some(name.to_owned())),
        Some(name) => {
            let known: Vec<&str> =
                lifecycle.traits.iter().map(|declared| declared.name.as_str()).collect();
            anyhow::bail!("there is no trait `{name}`; declared: {}", known.join(", "))
        }
        None => Ok(REVENUE.into_iter().find(|name| is_declared(name)).map(str::to_owned)),
    }
}

fn progress(total: Option<u64>, is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "replaying  {bar:30} {pos}/{len} customers, {eta} left")
        }
        None => (ProgressBar::new_spinner(), "replaying  {spinner} {pos} customers, {elapsed}"),
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The file name of a path, for headings.
fn short(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_share_or_a_number() {
        assert_eq!("2%".parse(), Ok(Limit::Percent(2.0)));
        assert_eq!(" 0.5 % ".parse(), Ok(Limit::Percent(0.5)));
        assert_eq!("20".parse(), Ok(Limit::Customers(20)));
        for wrong in ["", "%", "-1%", "101%", "two", "-3", "NaN%"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
        let mut plan = Plan { customers: 100, ..Plan::default() };
        plan.moved.customers = 2;
        assert!(!Limit::Percent(2.0).is_exceeded(&plan) && !Limit::Customers(2).is_exceeded(&plan));
        plan.moved.customers = 3;
        assert!(Limit::Percent(2.0).is_exceeded(&plan) && Limit::Customers(2).is_exceeded(&plan));
        assert!(!Limit::Percent(0.0).is_exceeded(&Plan::default()), "nobody moves where nobody is");
    }
}
