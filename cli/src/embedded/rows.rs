//! The items of a database file, read without the engine's server: for work that reads everything,
//! an HTTP answer an item would be most of the cost.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use dynoxide::storage::{QueryParams, ScanParams, Storage};

use super::engine::lock_data;

/// How many items are read at once.
const PAGE: usize = 1_000;

/// An open database file. As long as it is open, nobody else opens it.
pub struct Rows {
    storage: Storage,
    _lock: File,
}

impl Rows {
    /// Opens a database file.
    ///
    /// # Errors
    /// When it is in use, or cannot be opened.
    pub fn open(path: &Path) -> Result<Rows> {
        let lock = lock_data(path)?;
        let name = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        let storage = Storage::new(name);
        let storage =
            storage.map_err(|error| anyhow!("cannot open {}: {error}", path.display()))?;
        Ok(Rows { storage, _lock: lock })
    }

    /// Visits every item of a table, as DynamoDB JSON.
    ///
    /// # Errors
    /// When the file cannot be read, and those of `visit`.
    pub fn each(&self, table: &str, mut visit: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let mut last: Option<(String, String)> = None;
        loop {
            let params = ScanParams {
                limit: Some(PAGE),
                exclusive_start_pk: last.as_ref().map(|(pk, _)| pk.as_str()),
                exclusive_start_sk: last.as_ref().map(|(_, sk)| sk.as_str()),
                ..ScanParams::default()
            };
            let items = self.storage.scan_items(table, &params);
            let items = items.map_err(|error| anyhow!("cannot read {table}: {error}"))?;
            for (_, _, item) in &items {
                visit(item)?;
            }
            if items.len() < PAGE {
                return Ok(());
            }
            last = items.into_iter().next_back().map(|(pk, sk, _)| (pk, sk));
        }
    }

    /// The items of one partition, in the order of their sort keys, as DynamoDB JSON.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn partition(&self, table: &str, key: &str) -> Result<Vec<String>> {
        // The engine marks a key with its type.
        let key = format!("S:{key}");
        let params = QueryParams { forward: true, ..QueryParams::default() };
        let items = self.storage.query_items(table, &key, &params);
        let items = items.map_err(|error| anyhow!("cannot read {table}: {error}"))?;
        Ok(items.into_iter().map(|(_, _, item)| item).collect())
    }
}
