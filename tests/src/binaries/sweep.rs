//! `evaluate`, `score` and `comply`: schedules, and tickets of their own queues.

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use platform::store::RunSlot;
use platform::sweep::Ticket;
use platform::{CustomerKey, Versioned};
use serde_json::{Value as Json, json};

use super::{Stack, now, run, sqs_event, unexpected_events};

/// Runs the binary of `evaluate` through what it is invoked with.
pub fn evaluate(binary: &str) {
    let is_in_stage = |found: &Versioned| found.customer.status.stage.is_some();
    run(sweeps("evaluate", binary, is_in_stage));
}

/// Runs the binary of `score` through what it is invoked with.
pub fn score(binary: &str) {
    run(sweeps("score", binary, |found| found.customer.status.risk.is_some()));
}

/// Runs the binary of `comply` through what it is invoked with.
pub fn comply(binary: &str) {
    run(sweeps("comply", binary, |found| !found.customer.status.findings.is_empty()));
}

async fn sweeps(
    name: &'static str,
    binary: &str,
    is_decided: fn(&Versioned) -> bool,
) -> Result<()> {
    let stack = Stack::start().await?;
    let function = stack.spawn(name, binary).await?;
    stack.joins("acme").await?;

    let at = now();
    let schedule = json!({
        "schedule": format!("{name}-nightly"), "scheduled_time": at, "sweep": "all",
    });
    let answer = function.answer(schedule.clone()).await?;
    ensure!(answer == summary("done", &at.to_string(), 1), "{answer}");
    let acme = stack.store.customer(&CustomerKey::subject("acme")).await?;
    ensure!(is_decided(&acme), "{:?}", acme.customer.status);
    let journal = stack.store.journal(&acme.key, 10, None).await?.items;
    ensure!(!journal.is_empty() && journal.iter().all(|entry| entry.at == at), "{journal:?}");

    let again = function.answer(schedule).await?;
    ensure!(again == summary("already_done", &at.to_string(), 1), "a double fire: {again}");
    for refused in unexpected_events() {
        let error_type = function.failure(refused).await?;
        ensure!(error_type == "UnexpectedEvent", "{error_type}");
    }
    let due = json!({ "schedule": format!("{name}-due"), "scheduled_time": at, "sweep": "due" });
    let answer = function.answer(due).await?;
    ensure!(answer["outcome"] == "done" && answer["failed"] == 0, "{answer}");

    stack.joins("globex").await?;
    let slot = RunSlot {
        function: name.to_owned(),
        schedule: format!("{name}-nightly"),
        at: at + SignedDuration::from_secs(60),
        segment: 0,
        segments: 1,
    };
    let foreign = RunSlot { function: "billing".to_owned(), ..slot.clone() };
    let ticket = |slot| serde_json::to_string(&Ticket { slot });
    let tickets = [ticket(slot)?, ticket(foreign)?, "not a ticket".to_owned()];
    let answer = function.answer(sqs_event(&tickets.each_ref().map(String::as_str))).await?;
    ensure!(answer == json!({ "batchItemFailures": [] }), "{answer}");
    let globex = stack.store.customer(&CustomerKey::subject("globex")).await?;
    ensure!(is_decided(&globex), "{:?}", globex.customer.status);
    function.finish().await
}

/// A run that changed every customer it visited.
fn summary(outcome: &str, at: &str, customers: u64) -> Json {
    json!({
        "outcome": outcome, "at": at, "visited": customers, "changed": customers, "failed": 0,
    })
}
