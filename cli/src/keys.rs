//! `lifecycle keys`: the write keys that senders use.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Make, list and end write keys
#[derive(Debug, Args)]
#[command(
    long_about = "Write keys let senders put events in, and nothing else. Only a hash of each is \
kept, so a key is shown once, when it is made. Make a second key, move the senders over, then \
remove the first.\n\n  lifecycle keys add website\n  lifecycle keys list\n  lifecycle keys remove 5e88"
)]
pub struct KeysArgs {
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
    /// Make a write key
    Add {
        /// What it is for
        label: String,
    },
    /// List write keys by their hashes
    List,
    /// End a write key
    Remove {
        /// The beginning of its hash
        hash: String,
    },
}

/// Does what the arguments ask for.
///
/// # Errors
/// When the data cannot be opened.
pub async fn run(args: KeysArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let mut out = std::io::stdout();
    match args.action {
        Action::Add { label } => {
            let key = new_key()?;
            target.store.add_write_key(&key, &label, LocalClock::system().now()).await?;
            if args.json {
                writeln!(out, "{}", serde_json::json!({ "write_key": key, "label": label }))?;
            } else {
                writeln!(out, "{key}\n\nThis is the only time it is shown.")?;
            }
        }
        Action::List => {
            let keys = target.store.write_keys().await?;
            if args.json {
                writeln!(out, "{}", serde_json::json!({ "items": keys }))?;
            } else if keys.is_empty() {
                writeln!(out, "There is no write key. Make one: lifecycle keys add website")?;
            }
            for key in keys.iter().filter(|_| !args.json) {
                writeln!(out, "{}  {}  {}", &key.hash[..12], key.created_at, key.label)?;
            }
        }
        Action::Remove { hash } => {
            let keys = target.store.write_keys().await?;
            let mut found = keys.iter().filter(|key| key.hash.starts_with(&hash));
            let (Some(key), None) = (found.next(), found.next()) else {
                writeln!(
                    std::io::stderr(),
                    "error: `{hash}` is the beginning of no hash, or of several; see `lifecycle keys list`"
                )?;
                return Ok(ExitCode::FAILURE);
            };
            target.store.remove_write_key(&key.hash).await?;
            if args.json {
                writeln!(out, "{}", serde_json::json!({ "removed": key.hash }))?;
            } else {
                writeln!(
                    out,
                    "removed {}; running functions stop taking it within half a minute",
                    key.label
                )?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// 160 random bits of the operating system, as text.
pub(crate) fn new_key() -> Result<String> {
    let mut bytes = [0u8; 20];
    getrandom::fill(&mut bytes).context("the operating system gave no random numbers")?;
    Ok(format!("wk_{}", domain::hex(&bytes)))
}
