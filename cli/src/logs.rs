//! Logs of the command line: warnings and errors for a person, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The SDK warns of every answer that is an error, also where the code expects one.
const FILTER: &str = "warn,aws_smithy_runtime=error,aws_smithy_runtime_api=error,dynoxide=error";

/// Starts the logs.
pub fn init() {
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(EnvFilter::new(FILTER))
        .try_init();
}
