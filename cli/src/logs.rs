//! Logs of the command line: warnings and errors for a person, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The SDK warns of every answer that is an error, also where the code expects one.
const QUIET: [&str; 3] = ["aws_smithy_runtime", "aws_smithy_runtime_api", "dynoxide"];

/// Starts the logs.
pub fn init() {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(QUIET.map(|target| (target, LevelFilter::ERROR)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}
