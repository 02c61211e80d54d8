//! A company's days under faults, drawn from a seed, and what has to be true afterwards.
//!
//! Every call to the tables and to SNS may be throttled, conflict, time out before or after it is carried
//! out, or be the last of its process. Deliveries come late, in any order, more than once; schedules fire
//! twice at once; the stream repeats what it told; clocks of processes differ; some calls cannot be read;
//! SNS is away for hours. Then the weather clears, everything outstanding is done, and the
//! promises are looked at. A seed that breaks one breaks it again when it is run again.

#![allow(clippy::unwrap_used, reason = "this is a part of tests")]

mod history;
mod promises;
mod world;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::faults::Fault;
use history::History;
use platform::settings::Tables;
use world::World;

/// What came to pass in one or more scenarios.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Calls to the tables and to SNS while faults could happen.
    pub calls: usize,
    /// Faults that came to pass.
    pub faults: BTreeMap<String, usize>,
    /// Processes that died.
    pub deaths: usize,
    /// Deliveries, those that were sent again included.
    pub deliveries: usize,
    /// Invocations of sweeps and of `notify`.
    pub invocations: usize,
    /// Events that are in the log.
    pub events: usize,
    /// Journal entries.
    pub entries: usize,
    /// Messages that were published.
    pub messages: usize,
}

impl Report {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Report) {
        self.calls += other.calls;
        for (fault, times) in &other.faults {
            *self.faults.entry(fault.clone()).or_default() += times;
        }
        self.deaths += other.deaths;
        self.deliveries += other.deliveries;
        self.invocations += other.invocations;
        self.events += other.events;
        self.entries += other.entries;
        self.messages += other.messages;
    }

    fn note(&mut self, calls: usize, injected: Vec<(String, Fault)>) {
        self.calls += calls;
        for (_, fault) in injected {
            *self.faults.entry(format!("{fault:?}")).or_default() += 1;
        }
    }
}

/// A scenario that was lived through.
pub struct Lived {
    world: World,
    history: History,
}

impl Lived {
    /// Lives through the scenario of a seed, until nothing is left to do. What happens is on the heap: it is
    /// large where nothing is optimised.
    ///
    /// # Errors
    /// When something is never done, or the embedded engine cannot be used.
    pub async fn through(seed: u64) -> Result<Lived> {
        let history = History::of(seed);
        let mut world = World::start(seed).await?;
        for step in &history.steps {
            let what_happens = Box::pin(world.step(step));
            what_happens.await.with_context(|| format!("at {}", step.at))?;
        }
        Box::pin(world.settle(history.end())).await.context("after the weather cleared")?;
        Ok(Lived { world, history })
    }

    /// The tables as they are now, for who wants to damage them.
    #[must_use]
    pub fn tables(&self) -> (aws_sdk_dynamodb::Client, &Tables) {
        (self.world.engine.dynamodb(), &self.world.tables)
    }

    /// Looks whether every promise was kept.
    ///
    /// # Errors
    /// The first that was not, and where.
    pub async fn look(mut self) -> Result<Report> {
        Box::pin(promises::look(&mut self.world, &self.history)).await?;
        Ok(std::mem::take(&mut self.world.report))
    }
}

/// Lives through the scenario of a seed and looks whether every promise was kept.
///
/// # Errors
/// When one was not: which one, and where. Also when the embedded engine cannot be used.
pub async fn run(seed: u64) -> Result<Report> {
    Lived::through(seed).await?.look().await
}
