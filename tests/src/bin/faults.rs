//! `faults`: lives through scenarios under faults, and looks whether every promise held.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that people run")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tests::scenario::{self, Report};
use tokio::task::JoinSet;

/// Lives through a company's days under faults, many times over, each drawn from a seed, and looks
/// whether every promise held.
///
/// Throttles, conflicts, time-outs before and after a call is carried out, processes that die at any call,
/// duplicated, reordered and late deliveries, schedules that fire twice at once, repeated records of the
/// stream, clocks that are off, calls that cannot be read, SNS that is away for hours.
#[derive(Debug, Parser)]
#[command(
    name = "faults",
    after_help = "Examples:\n  faults --seeds 2000\n  faults --minutes 60            a soak: memory is printed each minute\n  \
                  faults --from 4711 --seeds 1   the same scenario again\n\n\
                  Exit codes: 0 every promise held, 1 one was broken, 2 wrong use."
)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds; with --minutes, no more than these.
    #[arg(long)]
    seeds: Option<u64>,
    /// For how long to go on.
    #[arg(long)]
    minutes: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limit = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let seeds = arguments.seeds.unwrap_or(if limit.is_some() { u64::MAX } else { 100 });
    let bar = bar(seeds);
    let next = Arc::new(AtomicU64::new(arguments.from));
    let end = arguments.from.saturating_add(seeds);
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores {
        let (next, stop, bar) = (Arc::clone(&next), Arc::clone(&stop), bar.clone());
        workers.spawn(async move {
            let (mut report, mut broken, mut lived) = (Report::default(), Vec::new(), 0_u64);
            while !stop.load(Ordering::Relaxed) && limit.is_none_or(|limit| began.elapsed() < limit)
            {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    break;
                }
                lived += 1;
                match tokio::spawn(scenario::run(seed)).await {
                    Ok(Ok(lived)) => report.add(&lived),
                    Ok(Err(error)) => broken.push((seed, format!("{error:#}"))),
                    Err(panic) => broken.push((seed, panic.to_string())),
                }
                stop.fetch_or(!broken.is_empty(), Ordering::Relaxed);
                bar.inc(1);
            }
            (report, broken, lived)
        });
    }
    let soak = limit.is_some().then(|| tokio::spawn(print_memory(began)));
    let (mut report, mut broken, mut lived) = (Report::default(), Vec::new(), 0);
    while let Some(done) = workers.join_next().await {
        let Ok((of_worker, found, count)) = done else { return ExitCode::FAILURE };
        report.add(&of_worker);
        broken.extend(found);
        lived += count;
    }
    if let Some(soak) = soak {
        soak.abort();
    }
    bar.finish_and_clear();
    println!("{lived} scenarios in {:.0} s", began.elapsed().as_secs_f64());
    println!(
        "{} deliveries, {} invocations, {} calls: {} events in the logs, {} journal entries, {} messages",
        report.deliveries,
        report.invocations,
        report.calls,
        report.events,
        report.entries,
        report.messages
    );
    let faults: Vec<String> =
        report.faults.iter().map(|(fault, times)| format!("{fault} {times}")).collect();
    println!("faults: {}; processes that died: {}", faults.join(", "), report.deaths);
    for (seed, why) in &broken {
        println!("BROKEN by seed {seed}: {why}\n  again: faults --from {seed} --seeds 1");
    }
    if broken.is_empty() {
        println!("every promise held");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn bar(seeds: u64) -> ProgressBar {
    let bar = if seeds == u64::MAX { ProgressBar::new_spinner() } else { ProgressBar::new(seeds) };
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} scenarios, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints each minute what the process holds of memory.
async fn print_memory(began: Instant) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    loop {
        minutes.tick().await;
        let status = tokio::fs::read_to_string("/proc/self/status").await.unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown");
        println!("after {:.0} s: {} resident", began.elapsed().as_secs_f64(), resident.trim());
    }
}
