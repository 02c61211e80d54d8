//! `lifecycle history` and `lifecycle diff`: the versions of the lifecycle file.

use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use platform::Store;
use serde_json::json;
use similar::{ChangeTag, TextDiff};

use crate::configuration::{FILE_NAME, Source};
use crate::target::{Target, TargetArgs};

/// Lines shown around a change.
const AROUND: usize = 3;

/// List the versions that were applied
#[derive(Debug, Args)]
#[command(
    long_about = "Lists the versions of the lifecycle file, the newest first, with who applied each \
and why.",
    after_long_help = "With --json, one object on standard output:\n  \
{\"items\": [{\"version\", \"hash\", \"applied_at\", \"author\", \"message\", \"active\"}]}"
)]
pub struct HistoryArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Show what differs between two versions, or a version and a file
#[derive(Debug, Args)]
#[command(
    long_about = "Shows line by line what differs between two versions of the lifecycle file, or \
between a version and a file: by default between the active version and ./lifecycle.yaml.",
    after_long_help = "Examples:\n  \
lifecycle diff                       the active version against lifecycle.yaml\n  \
lifecycle diff staging.yaml          the active version against another file\n  \
lifecycle diff 3                     version 3 against the active one\n  \
lifecycle diff 3 5                   version 3 against version 5\n\n\
With --json, one object on standard output:\n  \
{\"from\", \"to\", \"changed\", \"added\", \"removed\", \"diff\"}\n\n\
Exit codes: 0 compared, 1 failed (as when there is no such version), 2 wrong use."
)]
pub struct DiffArgs {
    /// A version, or a file
    #[arg(value_name = "FROM")]
    from: Option<String>,
    /// A version, or a file
    #[arg(value_name = "TO")]
    to: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// A version as people write it: `3`, or `v3`.
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn version(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('v').unwrap_or(text);
    match digits.parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err("write the number of a version, as 3".to_owned()),
    }
}

/// Lists the versions.
///
/// # Errors
/// When the tables cannot be read.
pub async fn history(args: HistoryArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let active = target.store.configuration().await?.map(|active| active.version);
    let versions = target.store.configuration_versions().await?;
    let mut out = std::io::stdout();
    if args.json {
        let items: Vec<_> = versions
            .iter()
            .map(|one| {
                json!({
                    "version": one.version,
                    "hash": one.hash,
                    "applied_at": one.applied_at,
                    "author": one.by.author,
                    "message": one.by.message,
                    "active": Some(one.version) == active,
                })
            })
            .collect();
        writeln!(out, "{}", json!({ "items": items }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if versions.is_empty() {
        writeln!(out, "No lifecycle file was applied yet: `lifecycle apply` does.")?;
    }
    for one in versions {
        let mark = if Some(one.version) == active { '*' } else { ' ' };
        writeln!(
            out,
            "{mark} {:>4}  {}  {}  {:<16}  {}",
            one.version,
            one.applied_at,
            &one.hash[..12.min(one.hash.len())],
            one_line(one.by.author.as_deref().unwrap_or("-")),
            one_line(one.by.message.as_deref().unwrap_or("")),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a terminal could take for a command is shown as a space.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Compares two versions, or a version and a file.
///
/// # Errors
/// When one of them cannot be read.
pub async fn diff(args: DiffArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let store = &target.store;
    let (from, to) = match (&args.from, &args.to) {
        (None, _) => (active(store).await?, Source::file(Path::new(FILE_NAME))?),
        (Some(one), None) if version(one).is_ok() && !Path::new(one).is_file() => {
            (named(store, one).await?, active(store).await?)
        }
        (Some(file), None) => (active(store).await?, named(store, file).await?),
        (Some(from), Some(to)) => (named(store, from).await?, named(store, to).await?),
    };
    let lines = TextDiff::from_lines(&from.text, &to.text);
    let count = |tag| lines.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    let mut unified = lines.unified_diff();
    let text = unified.context_radius(AROUND).header(&from.name, &to.name).to_string();
    let mut out = std::io::stdout();
    if args.json {
        let answer = json!({
            "from": from.name, "to": to.name, "changed": added + removed > 0,
            "added": added, "removed": removed, "diff": text,
        });
        writeln!(out, "{answer}")?;
    } else if text.is_empty() {
        writeln!(out, "{} and {} do not differ.", from.name, to.name)?;
    } else {
        write!(out, "{}", painted(&text, out.is_terminal()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Red and green, where there is a terminal.
fn painted(text: &str, is_colored: bool) -> String {
    if !is_colored {
        return text.to_owned();
    }
    let paint = |line: &str| {
        let color = match line.as_bytes().first() {
            Some(b'+') => "32",
            Some(b'-') => "31",
            Some(b'@') => "36",
            _ => return format!("{line}\n"),
        };
        format!("\u{1b}[{color}m{line}\u{1b}[0m\n")
    };
    text.lines().map(paint).collect()
}

/// How many lines differ.
pub(crate) fn diff_stat(from: &str, to: &str) -> usize {
    let lines = TextDiff::from_lines(from, to);
    lines.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal).count()
}

async fn active(store: &Store) -> Result<Source> {
    let active = store.configuration().await?;
    let active = active.context("no lifecycle file is active yet: `lifecycle apply` does that")?;
    Ok(Source { name: format!("version {}", active.version), path: None, text: active.source })
}

async fn named(store: &Store, name: &str) -> Result<Source> {
    let number = match version(name) {
        Ok(number) if !Path::new(name).is_file() => number,
        _ => return Source::file(Path::new(name)),
    };
    let found = store.configuration_version(number).await?;
    let found = found.with_context(|| {
        format!("there is no version {number}; `lifecycle history` lists what there is")
    })?;
    Ok(Source { name: format!("version {number}"), path: None, text: found.source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_from_1_on() {
        assert_eq!((version("3"), version("v12")), (Ok(3), Ok(12)));
        for wrong in ["", "0", "-1", "three", "v", "3.yaml"] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_that_changes_is_one_that_goes_and_one_that_comes() {
        assert_eq!(diff_stat("a\nb\nc\n", "a\nx\nc\nd\n"), 3);
        assert_eq!(diff_stat("a\n", "a\n"), 0);
    }

    #[test]
    fn colours_are_for_terminals() {
        let text = "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z\n";
        assert_eq!(painted(text, false), text);
        assert!(painted(text, true).contains("\u{1b}[32m+y\u{1b}[0m\n z\n"));
    }
}
