//! A nightly sweep of `evaluate` as the table of customers grows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::Settings;
use super::process::{processor, resident};
use super::stack::{Tables, now};

/// A sweep of so many customers.
#[derive(Debug, Clone)]
pub struct Size {
    /// Customers.
    pub customers: u64,
    /// Time on the wall, all invocations after one another.
    pub wall: Duration,
    /// Of a processor, without the engine.
    pub processor: Duration,
    /// Read units of all customers.
    pub read_units: f64,
    /// Write units of all customers.
    pub write_units: f64,
    /// The memory of the function afterwards, in MB.
    pub memory: f64,
}

pub(super) async fn measure(settings: &Settings) -> Result<Vec<Size>> {
    let tables = Tables::start().await?;
    let mut stored = 0;
    let mut sizes = Vec::new();
    for (round, customers) in (0..).zip(&settings.sizes) {
        (settings.progress)(&format!("{customers} customers"));
        tables.join(stored, *customers).await?;
        stored = *customers;
        // Everybody is where it belongs before the night that is measured.
        sweep(&tables, settings, *customers, 2 * round).await?;
        sizes.push(sweep(&tables, settings, *customers, 2 * round + 1).await?);
    }
    Ok(sizes)
}

async fn sweep(tables: &Tables, settings: &Settings, customers: u64, run: i64) -> Result<Size> {
    let function = tables.spawn("evaluate", &settings.binaries.join("evaluate")).await?;
    let at = now() + SignedDuration::from_mins(run);
    let limit = Duration::from_secs(900);
    let begin = Instant::now();
    let event = json!({ "schedule": "evaluate-nightly", "scheduled_time": at, "sweep": "all" });
    let answer = function.invoke_within(limit, event).await?;
    ensure!(answer["failed"] == 0, "{answer}");
    while let Some(ticket) = tables.queue.take() {
        let record = json!({
            "messageId": "ticket", "receiptHandle": "r", "body": ticket, "attributes": {},
            "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue", "awsRegion": "us-east-1",
        });
        let answer = function.invoke_within(limit, json!({ "Records": [record] })).await?;
        ensure!(answer["batchItemFailures"] == json!([]), "{answer}");
    }
    let wall = begin.elapsed();
    let pid = function.pid();
    let (used, memory) = (processor(pid)?, resident(pid)?);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (mut read_units, mut write_units, mut seen) = (0.0, 0.0, 0);
    for line in function.output() {
        let Ok(line) = serde_json::from_str::<Json>(&line) else { continue };
        let number = |name: &str| line[name].as_f64().unwrap_or_default();
        read_units += number("read_units");
        write_units += number("write_units");
        seen += line["visited"].as_u64().unwrap_or_default();
    }
    ensure!(seen == customers, "{seen} of {customers} customers were visited: {answer}");
    Ok(Size { customers, wall, processor: used, read_units, write_units, memory })
}
