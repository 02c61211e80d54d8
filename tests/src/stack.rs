//! The tables of a stack on an embedded DynamoDB, with a lifecycle file and a write key, under a
//! clock that a test sets.

use std::sync::Arc;

use ::lifecycle::clock::LocalClock;
use ::lifecycle::embedded::{Engine, Location, create_tables};
use anyhow::{Result, anyhow};
use domain::lifecycle;
use jiff::Timestamp;
use lifecycle::Lifecycle;
use platform::Store;
use platform::settings::Tables;

/// The live write key.
pub const WRITE_KEY: &str = "dev";
const RETENTION_DAYS: u32 = 400;

/// A stack without functions.
pub struct Stack {
    /// The store over the tables; its caches know the lifecycle file.
    pub store: Store,
    /// The names of the tables.
    pub tables: Tables,
    /// A client for what the store does not do, such as damage.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The time; it stands still.
    pub clock: LocalClock,
    // Dropped last: it serves the others.
    engine: Engine,
}

impl Stack {
    /// Starts a stack at an instant with a lifecycle file that is active.
    ///
    /// # Errors
    /// When the engine cannot start, or the file is not valid.
    pub async fn start(source: &str, now: Timestamp) -> Result<Stack> {
        let stack = Stack::without_lifecycle(now).await?;
        let loaded: Lifecycle = lifecycle::load(source).map_err(|found| anyhow!("{found:?}"))?;
        stack.store.apply_configuration(source, &loaded.hash, now).await?;
        stack.store.remember_lifecycle(Arc::new(loaded));
        Ok(stack)
    }

    /// Starts a stack at an instant to which no lifecycle file was applied.
    ///
    /// # Errors
    /// When the engine cannot start.
    pub async fn without_lifecycle(now: Timestamp) -> Result<Stack> {
        let engine = Engine::start(Location::Memory)?;
        let dynamodb = engine.dynamodb();
        let tables = create_tables(&dynamodb, "test-").await?;
        let store = Store::new(dynamodb.clone(), tables.clone(), RETENTION_DAYS);
        store.add_write_key(WRITE_KEY, "tests", now).await?;
        let clock = LocalClock::manual(now);
        Ok(Stack { store, tables, dynamodb, clock, engine })
    }

    /// Where the tables are served, for other processes.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.engine.endpoint()
    }
}
