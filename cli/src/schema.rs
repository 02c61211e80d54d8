//! `lifecycle schema`: the JSON Schema of the lifecycle file, for editors and other tools.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use domain::lifecycle::schema;

/// Print the JSON Schema of the lifecycle file
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Prints the JSON Schema (draft 7) of the lifecycle file. `lifecycle init` writes it beside the file, \
whose first line names it, so that editors with a YAML language server complete and check the file.\n\n  \
lifecycle schema > lifecycle.schema.json\n\n\
A schema knows shapes and words; `lifecycle validate` knows names, types and times too."
)]
pub struct Args {}

/// Prints the schema.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(out: &mut impl Write) -> Result<ExitCode> {
    writeln!(out, "{}", text())?;
    Ok(ExitCode::SUCCESS)
}

/// The schema as `lifecycle schema` prints it.
#[must_use]
pub fn text() -> String {
    format!("{:#}", schema())
}
