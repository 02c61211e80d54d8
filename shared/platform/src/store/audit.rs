//! Reading the whole journal, as it is kept.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use domain::journal::JournalEntry;

use super::attributes::Reader;
use super::read::{cursor_key, cursor_text};
use super::{CustomerKey, Page, Store, StoreError};
use crate::meter::Access;

/// What is at one place of a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalPlace {
    /// Whose journal.
    pub key: CustomerKey,
    /// The number of the place, from 1.
    pub number: u64,
    /// The entry; `None` where what is there cannot be read as one.
    pub entry: Option<JournalEntry>,
}

impl Store {
    /// A part of all journals: those of one customer together, in rising order.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn journals(&self, cursor: Option<&str>) -> Result<Page<JournalPlace>, StoreError> {
        let table = &self.tables.journal;
        let output = self
            .client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .set_exclusive_start_key(cursor_key(cursor)?)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::call("Scan", table))?;
        self.meter.add(&self.tables, Access::Read, output.consumed_capacity.as_slice());
        let mut items = Vec::with_capacity(output.items().len());
        for found in output.items() {
            let read = Reader { table: "journal", item: found };
            let entry = read.maybe_text("entry");
            items.push(JournalPlace {
                key: CustomerKey::stored(read.text("pk")?),
                number: read.number("sk")?,
                entry: entry.and_then(|entry| serde_json::from_str(entry).ok()),
            });
        }
        Ok(Page { items, next_cursor: cursor_text(output.last_evaluated_key) })
    }
}
