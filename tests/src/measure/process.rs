//! What the system knows of a process.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// What a process has used of processors since it started, by the scheduler's own count, its threads
/// together.
pub(super) fn processor(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let told = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = told.split_whitespace().next().context("the scheduler counts")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// What a process holds of memory, in MB of 10^6 bytes.
pub(super) fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("memory is counted")?;
    Ok(kib.parse::<f64>()? * 1024.0 / 1e6)
}
