//! `lifecycle quarantine`: what could not be taken, to be looked at, taken again or dropped.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use ingest::ReplayOutcome;
use platform::Store;
use platform::store::{QuarantineFilter, Quarantined};
use serde_json::json;

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// How many items are read, or taken again, at once.
const AT_ONCE: usize = 100;
/// How much of an id is shown in a list: enough to name it by.
const SHOWN_DIGITS: usize = 12;

/// List, show, take again and drop what could not be taken
#[derive(Debug, Args)]
#[command(
    long_about = "What cannot be taken in is set aside for 30 days, with its reason and as it came. After \
a map of the lifecycle file is mended, take it again: it counts as of when it came, and once.\n\n  \
lifecycle quarantine list\n  lifecycle quarantine show 5e88\n  lifecycle quarantine replay 5e88\n  \
lifecycle quarantine replay --source stripe --code missing_user\n  lifecycle quarantine drop --code \
too_old --yes"
)]
pub struct QuarantineArgs {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what was set aside
    List {
        /// Only those with this reason, as `missing_user`
        #[arg(long)]
        code: Option<String>,
        /// Only those from this source: the label of a write key, or the name of a feed
        #[arg(long)]
        source: Option<String>,
        /// How many to list at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Show an item and what was sent
    Show {
        /// The beginning of its id
        id: String,
    },
    /// Take items again; exit code 1 when some are rejected again
    Replay {
        #[command(flatten)]
        which: Which,
    },
    /// Drop items for good
    Drop {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Which {
    /// The beginnings of their ids
    #[arg(value_name = "ID", conflicts_with_all = ["code", "source", "all"])]
    ids: Vec<String>,
    /// Those with this reason, as `missing_user`
    #[arg(long)]
    code: Option<String>,
    /// Those from this source: the label of a write key, or the name of a feed
    #[arg(long)]
    source: Option<String>,
    /// All of them
    #[arg(long, conflicts_with_all = ["code", "source"])]
    all: bool,
}

/// Does what the arguments ask for.
///
/// # Errors
/// When the data cannot be opened, read or written.
pub async fn run(args: QuarantineArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let store = &target.store;
    match args.action {
        Action::List { code, source, limit } => {
            list(store, &QuarantineFilter { code, source }, limit, args.json).await
        }
        Action::Show { id } => show(store, &id, args.json).await,
        Action::Replay { which } => match ids(store, &which).await? {
            Ok(ids) => replay(store, &ids, args.json).await,
            Err(message) => failed(&message),
        },
        Action::Drop { which, yes } => match ids(store, &which).await? {
            Ok(ids) if !yes && !is_sure(ids.len())? => {
                writeln!(
                    std::io::stderr(),
                    "error: nothing was dropped: say --yes, or answer yes"
                )?;
                Ok(ExitCode::from(2))
            }
            Ok(ids) => drop_all(store, &ids, args.json).await,
            Err(message) => failed(&message),
        },
    }
}

async fn list(
    store: &Store,
    filter: &QuarantineFilter,
    limit: usize,
    is_json: bool,
) -> Result<ExitCode> {
    let (mut found, mut cursor) = (Vec::new(), None);
    let mut is_more = true;
    while is_more && found.len() < limit {
        let at_once = i32::try_from(AT_ONCE).unwrap_or(i32::MAX);
        let page = store.quarantined(filter, at_once, cursor.as_deref()).await?;
        found.extend(page.items);
        cursor = page.next_cursor;
        is_more = cursor.is_some();
    }
    is_more |= found.len() > limit;
    found.truncate(limit);
    let mut out = std::io::stdout();
    if is_json {
        writeln!(out, "{}", json!({ "items": found, "more": is_more }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        writeln!(out, "Nothing is in quarantine.")?;
    }
    for item in &found {
        let id = &item.id[..SHOWN_DIGITS];
        let tried = match item.attempts {
            0 => String::new(),
            attempts => format!(" (tried again {attempts} times)"),
        };
        let (at, code, by) = (item.received_at, &item.code, sender(item));
        writeln!(out, "{id}  {at}  {code}  {by}  {}{tried}", item.message)?;
    }
    if is_more {
        writeln!(out, "There are more: raise --limit.")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn sender(item: &Quarantined) -> &str {
    item.sender.as_ref().map_or("-", |sender| sender.name.as_str())
}

async fn show(store: &Store, id: &str, is_json: bool) -> Result<ExitCode> {
    let id = match matching(store, id).await? {
        Ok(id) => id,
        Err(message) => return failed(&message),
    };
    let Some(item) = store.quarantined_item(&id).await? else {
        return failed("it has left the quarantine just now");
    };
    let mut out = std::io::stdout();
    if is_json {
        writeln!(out, "{}", serde_json::to_string(&item)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "id        {}", item.id)?;
    writeln!(out, "received  {}, kept until {}", item.received_at, item.expires_at)?;
    writeln!(out, "source    {}{}", sender(&item), by_path(&item))?;
    writeln!(out, "reason    {}: {}", item.code, item.message)?;
    if let Some(at) = item.last_attempt_at {
        writeln!(out, "tried     {} times since, last {at}", item.attempts)?;
    }
    writeln!(out, "bytes     {}\n\n{}", item.bytes, item.raw)?;
    Ok(ExitCode::SUCCESS)
}

fn by_path(item: &Quarantined) -> String {
    item.path.as_ref().map_or_else(String::new, |path| format!(", by {path}"))
}

async fn replay(store: &Store, ids: &[String], is_json: bool) -> Result<ExitCode> {
    store.lifecycle().await.context("there is no workspace to take anything into")?;
    let clock = LocalClock::system().handle();
    let app = ingest::App {
        store: store.clone(),
        clock,
        public_url: None,
        egress: platform::egress::Egress::quick(),
    };
    let (mut taken, mut rejected) = (0_usize, Vec::new());
    for together in ids.chunks(AT_ONCE) {
        for done in ingest::replay(&app, together).await? {
            match &done.outcome {
                ReplayOutcome::Taken => taken += 1,
                ReplayOutcome::Rejected { .. } => rejected.push(done),
                ReplayOutcome::Gone => {}
            }
        }
    }
    let mut out = std::io::stdout();
    if is_json {
        let answer = json!({ "matched": ids.len(), "taken": taken, "rejected": rejected });
        writeln!(out, "{answer}")?;
    } else {
        writeln!(out, "{taken} of {} taken", ids.len())?;
        for done in &rejected {
            let ReplayOutcome::Rejected { code, message } = &done.outcome else { continue };
            writeln!(out, "{}  {code}  {message}", &done.id[..SHOWN_DIGITS])?;
        }
    }
    Ok(if rejected.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn drop_all(store: &Store, ids: &[String], is_json: bool) -> Result<ExitCode> {
    let mut dropped = 0_usize;
    for id in ids {
        dropped += usize::from(store.drop_quarantined(id).await?);
    }
    let mut out = std::io::stdout();
    if is_json {
        writeln!(out, "{}", json!({ "dropped": dropped }))?;
    } else {
        writeln!(out, "{dropped} dropped")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The ids of the items that are meant, or what is wrong with one of them.
async fn ids(store: &Store, which: &Which) -> Result<std::result::Result<Vec<String>, String>> {
    if which.ids.is_empty() {
        let (code, source) = (which.code.clone(), which.source.clone());
        let filter = QuarantineFilter { code, source };
        let (ids, _) = store.quarantined_ids(&filter, usize::MAX).await?;
        return Ok(Ok(ids));
    }
    let mut ids = Vec::new();
    for beginning in &which.ids {
        match matching(store, beginning).await? {
            Ok(id) if !ids.contains(&id) => ids.push(id),
            Ok(_) => {}
            Err(message) => return Ok(Err(message)),
        }
    }
    Ok(Ok(ids))
}

/// The one item whose id begins so.
async fn matching(store: &Store, beginning: &str) -> Result<std::result::Result<String, String>> {
    let mut found = store.quarantined_beginning(beginning).await?;
    Ok(match (found.pop(), found.pop()) {
        (Some(id), None) => Ok(id),
        _ => Err(format!(
            "`{beginning}` is the beginning of no id, or of several; see `lifecycle quarantine list`"
        )),
    })
}

fn is_sure(count: usize) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut err = std::io::stderr();
    write!(err, "Drop {count} items for good? [yes/no] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn failed(message: &str) -> Result<ExitCode> {
    writeln!(std::io::stderr(), "error: {message}")?;
    Ok(ExitCode::FAILURE)
}
