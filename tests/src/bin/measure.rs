//! `measure`: what the functions take, as a page.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that people run")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tests::measure::{Settings, measure, write};

/// Measures the functions' release binaries, beside Python functions that do the same, and as the table
/// of customers grows; writes a page and a picture.
#[derive(Debug, Parser)]
#[command(after_help = "Exit codes: 0 measured, 1 something failed, 2 wrong use.")]
struct Arguments {
    /// The folder of the binaries.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// The interpreter that has what tests/benches/peer/requirements.txt asks for.
    #[arg(long)]
    python: Option<PathBuf>,
    /// How many customers there are, size after size.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    sizes: Vec<u64>,
    /// The machine, as the page names it.
    #[arg(long)]
    machine: String,
    /// The date, as the page names it.
    #[arg(long)]
    date: String,
    /// Where the page and the picture go.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let progress = |what: &str| eprintln!("measuring {what}");
    let settings = Settings {
        binaries: arguments.binaries,
        python: arguments.python,
        sizes: arguments.sizes,
        progress,
    };
    let done = async {
        let found = measure(&settings).await?;
        write(&found, &arguments.machine, &arguments.date, &arguments.out)
    };
    match done.await {
        Ok(()) => {
            println!("written: {}", arguments.out.join("benchmarks.md").display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
