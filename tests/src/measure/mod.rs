//! What the functions' binaries take: time and processor to start, time and processor an invocation,
//! memory, bytes, units of the tables; beside a Python function that does the same, and as the table of
//! customers grows.
//!
//! Binaries run as Lambda runs them, served by a Runtime API on loopback; the tables are an embedded
//! DynamoDB, in this process, whose work is not counted. Time on the wall holds the engine's share,
//! time of the processor does not.

#![allow(clippy::unwrap_used, reason = "this is a part of benchmarks")]

mod functions;
mod growth;
mod page;
mod process;
mod stack;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use functions::Row;
pub use growth::Size;

/// What is measured, and with what.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the functions' binaries.
    pub binaries: PathBuf,
    /// The interpreter with the packages of the Python functions; without it they are left out.
    pub python: Option<PathBuf>,
    /// How many customers there are, size after size.
    pub sizes: Vec<u64>,
    /// Prints what is being done.
    pub progress: fn(&str),
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// Of each function, and of each Python function.
    pub rows: Vec<Row>,
    /// As the table grows.
    pub growth: Vec<Size>,
}

/// Measures all of it.
///
/// # Errors
/// When a binary is missing or a function fails.
pub async fn measure(settings: &Settings) -> Result<Findings> {
    let rows = functions::measure(settings).await?;
    let growth = growth::measure(settings).await?;
    Ok(Findings { rows, growth })
}

/// Writes the page and the picture of the growth into a folder.
///
/// # Errors
/// When they cannot be written.
pub fn write(findings: &Findings, machine: &str, date: &str, folder: &Path) -> Result<()> {
    page::write(findings, machine, date, folder)
}
