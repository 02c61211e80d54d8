//! `lifecycle models`: what was learnt, version by version, and which one is gone by.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use domain::learn::Verdict;
use platform::Store;
use platform::store::Learnt;
use serde_json::{Value as Json, json};

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Show what was learnt of who leaves, and choose by which version risk is told
#[derive(Debug, Args)]
#[command(
    long_about = "Shows the versions of what was learnt for the active lifecycle file's risk model, and \
which one is gone by.\n\n\
  lifecycle models                 the versions, the newest first\n  \
lifecycle models promote 3       go by version 3, if it is no worse on the last period\n  \
lifecycle models rollback        go by what was gone by before\n\n\
Exit codes: 0 done, 1 refused or failed, 2 wrong use."
)]
pub struct ModelsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Go by a version
    Promote {
        /// Its number
        version: u64,
        /// Even if it is worse than what is gone by
        #[arg(long)]
        force: bool,
    },
    /// Go by what was gone by before
    Rollback,
}

/// Shows, promotes or rolls back.
///
/// # Errors
/// When the workspace cannot be read or written, or the version is refused.
pub async fn run(args: ModelsArgs, out: &mut impl Write) -> Result<ExitCode> {
    let now = LocalClock::system().now();
    let target = Target::open(&args.target).await?;
    let store = &target.store;
    let lifecycle = store.lifecycle().await.context("there is no workspace")?;
    let (name, _) = lifecycle.to_fit().context(
        "the lifecycle file tells risk by a scorecard, or not at all: nothing is learnt",
    )?;
    let champion = store.champion_of(name).await?;
    let was = champion.as_ref().map_or(0, |champion| champion.version);
    let chosen = match args.action {
        None => return list(store, name, was, args.json, out).await,
        Some(Action::Promote { version, force }) => {
            let learnt = version_of(store, name, version).await?;
            if let (Some(champion), false) = (&champion, force) {
                refuse_worse(&learnt, champion)?;
            }
            learnt
        }
        Some(Action::Rollback) => {
            let before = store.before_champion(name).await?;
            let before =
                before.context("nothing was gone by before: there is nothing to go back to")?;
            version_of(store, name, before).await?
        }
    };
    if chosen.version == was {
        writeln!(out, "{}", said(args.json, name, &chosen, "is gone by already"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !store.promote(name, &chosen, was, now).await? {
        bail!("somebody else chose a version at the same moment: look again");
    }
    writeln!(out, "{}", said(args.json, name, &chosen, "is gone by from now on"))?;
    Ok(ExitCode::SUCCESS)
}

fn said(is_json: bool, name: &str, chosen: &Learnt, what: &str) -> String {
    match is_json {
        true => {
            json!({ "model": name, "version": chosen.version, "hash": chosen.hash }).to_string()
        }
        false => format!("{name}: version {} {what}.", chosen.version),
    }
}

async fn version_of(store: &Store, name: &str, version: u64) -> Result<Learnt> {
    let learnt = store.learnt(name, version).await?;
    learnt.with_context(|| format!("there is no version {version} of {name}"))
}

fn refuse_worse(learnt: &Learnt, champion: &Learnt) -> Result<()> {
    match Verdict::between(&learnt.fitted, &champion.fitted) {
        Verdict::Worse { log_loss, champion: known } => bail!(
            "version {} is worse than version {} on the last period: log-loss {log_loss:.4} against \
             {known:.4}; --force goes by it all the same",
            learnt.version,
            champion.version
        ),
        Verdict::First | Verdict::NoWorse { .. } | Verdict::Untried => Ok(()),
    }
}

async fn list(
    store: &Store,
    name: &str,
    champion: u64,
    is_json: bool,
    out: &mut impl Write,
) -> Result<ExitCode> {
    let versions = store.learnt_versions(name).await?;
    if is_json {
        let versions: Vec<Json> = versions.iter().map(|one| entry(one, champion)).collect();
        writeln!(out, "{}", json!({ "model": name, "versions": versions }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if versions.is_empty() {
        writeln!(out, "{name}: nothing was learnt yet; `lifecycle train` does.")?;
    }
    for one in &versions {
        let mark = if one.version == champion { "*" } else { " " };
        let known = one.fitted.knowledge.as_ref();
        let kind = known.map_or("alive", |known| known.model.kind.name());
        let later = known.and_then(|known| known.later).map_or_else(String::new, |later| {
            format!(", log-loss {:.4} on the last period", later.figures.log_loss)
        });
        writeln!(
            out,
            "{mark} {:>4}  {}  {kind:<9} {} customers{later}  {}",
            one.version,
            one.fitted.fitted_at,
            one.fitted.customers,
            &one.hash[..12]
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn entry(one: &Learnt, champion: u64) -> Json {
    let known = one.fitted.knowledge.as_ref();
    json!({
        "version": one.version,
        "champion": one.version == champion,
        "fitted_at": one.fitted.fitted_at,
        "kind": known.map_or("alive", |known| known.model.kind.name()),
        "customers": one.fitted.customers,
        "later": known.and_then(|known| known.later),
        "hash": one.hash,
    })
}
