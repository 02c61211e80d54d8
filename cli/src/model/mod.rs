//! `lifecycle train`, `lifecycle score`, `lifecycle alive` and `lifecycle models`: models of churn from
//! tables and from the workspace's own history, and what they say.
//!
//! The models themselves are the risk crate's; here are files, arguments and what a person reads.

pub mod alive;
mod card;
mod file;
pub mod learn;
pub mod score;
pub mod train;
pub mod versions;

use std::io::Write;
use std::process::ExitCode;

use file::Cells;

/// The command was not used as it can be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The place of a column that an argument names.
fn column(cells: &Cells, argument: &str, name: &str) -> Result<usize, Usage> {
    cells.place(name).ok_or_else(|| {
        let names: Vec<&str> = cells.names.iter().take(20).map(String::as_str).collect();
        let more = if cells.names.len() > 20 { ", …" } else { "" };
        Usage(format!(
            "{argument} names a column `{name}` that is not there; there are {}{more}",
            names.join(", ")
        ))
    })
}

/// Wrong use ends with exit code 2 and a sentence; everything else as it is.
fn settle(
    done: anyhow::Result<ExitCode>,
    command: &str,
    err: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    match done {
        Err(error) if error.is::<Usage>() => {
            writeln!(err, "error: {error}\n\nFor more, try `lifecycle {command} --help`.")?;
            Ok(ExitCode::from(2))
        }
        // Whoever reads has seen enough: `… | head`.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Names separated by commas, as one argument or several.
fn names(arguments: &[String]) -> Vec<String> {
    arguments.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}
