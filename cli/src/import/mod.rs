//! `lifecycle import`: history from a file into the event log and the customers.
//!
//! Where things live: [`Args`] is what a person says, [`Plan`] what it means, [`Rows`] the rows of
//! a file as tracking calls, [`load`] brings them into the store, [`cdnow`] is the sample.
//!
//! Nothing here knows how an event is committed; the store does that for history as for the
//! present.

mod call;
pub mod cdnow;
mod checkpoint;
mod load;
mod options;
mod plan;
mod report;
mod rows;
mod spill;
mod time;
mod value;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use domain::lifecycle::Lifecycle;
use platform::{Clock, Store};
use serde_json::json;

pub use call::{Problem, Row};
pub use load::{CHUNK_EVENTS, Options, load};
pub use options::{Args, RowKind};
pub use plan::{Columns, Format, Member, Plan};
pub use report::{BadSample, Phase, Progress, Report, peak_rss_bytes};
pub use rows::{BadRow, RowError, Rows};
pub use time::{ShiftTo, TimeFormat};
pub use value::ValueType;

use report::{Teller, Telling, grouped, write_bad};

/// The command was not used as it can be: exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

impl Usage {
    pub(crate) fn new(message: impl Into<String>) -> Usage {
        Usage(message.into())
    }
}

/// Imports a file into the store, with `checkpoints` as the folder for notes.
///
/// # Errors
/// When the file or the store fails. Wrong use is no error but exit code 2, with a message.
pub async fn run(
    args: Args,
    store: &Store,
    lifecycle: &Lifecycle,
    clock: &Clock,
    checkpoints: &Path,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitCode> {
    let done = attempt(&args, store, lifecycle, clock, checkpoints, out, err).await;
    match done {
        Err(error) if error.is::<Usage>() => {
            writeln!(err, "error: {error}\nSee `lifecycle import --help`.")?;
            Ok(ExitCode::from(2))
        }
        other => other,
    }
}

async fn attempt(
    args: &Args,
    store: &Store,
    lifecycle: &Lifecycle,
    clock: &Clock,
    checkpoints: &Path,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitCode> {
    let plan = args.plan(lifecycle)?;
    if let Some(ShiftTo::Date(date)) = args.shift_to
        && date > plan.zone.to_datetime(clock.now()).date()
    {
        return Err(Usage::new(format!("--shift-to {date} lies in the future")).into());
    }
    let rows = Rows::open(&args.file, &plan)?;
    if !args.json {
        writeln!(err, "{}", reading(&rows))?;
    }
    if args.dry_run {
        return dry_run(rows, args.json, out, err);
    }
    let options = Options {
        restart: args.restart,
        shift: args.shift_to,
        ..Options::new(checkpoints.join("imports"))
    };
    let telling = match (args.json, std::io::stderr().is_terminal()) {
        (true, _) => Telling::Silence,
        (false, true) => Telling::Bar,
        (false, false) => Telling::Lines,
    };
    let mut teller = Teller::new(telling, err);
    let loaded =
        load(rows, store, lifecycle, clock, |progress| teller.tell(progress), &options).await;
    teller.clear();
    let report = loaded?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        if let Some(rows) = report.resumed_at {
            writeln!(
                err,
                "Went on with an interrupted import of this file, after {} events; --restart \
                 begins again.",
                grouped(rows)
            )?;
        }
        write_bad(&report.bad_rows, report.rejected, report.set_aside, err)?;
        report.write(out)?;
    }
    Ok(code(report.rows, report.rejected))
}

/// A file none of whose rows could be taken has not been imported.
fn code(rows: u64, rejected: u64) -> ExitCode {
    if rows > 0 && rows == rejected { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One line on how the file is read, so that a wrong guess is seen at once.
fn reading(rows: &Rows) -> String {
    let mut line = format!("Reading {} as {}", rows.path().display(), rows.format().as_str());
    let Some(columns) = rows.columns() else {
        line.push('.');
        return line;
    };
    let event = match (&rows.plan().event, &columns.event) {
        (Some(event), _) => Some(format!("every row is `{event}`")),
        (None, Some(column)) => Some(format!("event = {column}")),
        (None, None) => None,
    };
    let column = |what: &str, column: &Option<String>| {
        column.as_ref().map(|column| format!("{what} = {column}"))
    };
    let others = match &columns.members {
        Some(named) if named.is_empty() => "no other column".to_owned(),
        Some(named) => named
            .iter()
            .map(|member| match member.name == member.column {
                true => member.name.clone(),
                false => format!("{} = {}", member.name, member.column),
            })
            .collect::<Vec<_>>()
            .join(", "),
        None => "all other columns".to_owned(),
    };
    let parts = [
        column("user", &columns.user),
        column("account", &columns.account),
        Some(format!("time = {}", columns.time)),
        event,
        column("id", &columns.id),
        Some(others),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{line}: {}.", parts.join(", "))
}

/// How many customers and names a rehearsal tells apart before it only says "more than".
const TOLD_APART: usize = 100_000;

fn dry_run(
    rows: Rows,
    is_json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitCode> {
    let (mut count, mut rejected) = (0, 0);
    let mut bad: Vec<BadSample> = Vec::new();
    let mut first_rows: Vec<serde_json::Value> = Vec::new();
    let mut events: BTreeMap<String, u64> = BTreeMap::new();
    let mut customers: HashSet<String> = HashSet::new();
    let (mut first, mut last) = (None, None);
    for row in rows {
        count += 1;
        let row = match row {
            Ok(row) => row,
            Err(RowError::Bad(one)) => {
                rejected += 1;
                if bad.len() < report::SHOWN {
                    bad.push(BadSample::of(&one));
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        first = Some(first.map_or(row.at, |first: jiff::Timestamp| first.min(row.at)));
        last = Some(last.map_or(row.at, |last: jiff::Timestamp| last.max(row.at)));
        let name = row.body.get("event").or_else(|| row.body.get("type"));
        let name = name.and_then(serde_json::Value::as_str).unwrap_or_default();
        if let Some(count) = events.get_mut(name) {
            *count += 1;
        } else if events.len() < TOLD_APART {
            events.insert(name.to_owned(), 1);
        }
        if customers.len() < TOLD_APART {
            customers.extend(row.account().or_else(|| row.user()));
        }
        if first_rows.len() < 3 {
            first_rows.push(row.body.into());
        }
    }
    if is_json {
        let answer = json!({
            "dry_run": true, "rows": count, "rejected": rejected, "bad_rows": bad,
            "customers": customers.len(), "events": events, "first_at": first, "last_at": last,
            "first_rows": first_rows,
        });
        writeln!(out, "{answer}")?;
        return Ok(code(count, rejected));
    }
    write_bad(&bad, rejected, 0, err)?;
    let more = if customers.len() >= TOLD_APART { "more than " } else { "" };
    writeln!(
        out,
        "{} rows, {} of them good; {more}{} customers.",
        grouped(count),
        grouped(count - rejected),
        grouped(customers.len() as u64)
    )?;
    if let (Some(first), Some(last)) = (first, last) {
        writeln!(out, "From {first} to {last}.")?;
    }
    for (name, count) in events.iter().take(20) {
        writeln!(out, "  {name}: {}", grouped(*count))?;
    }
    writeln!(out, "The first rows become:")?;
    for row in first_rows {
        writeln!(out, "  {row}")?;
    }
    writeln!(out, "Nothing was stored.")?;
    Ok(code(count, rejected))
}
