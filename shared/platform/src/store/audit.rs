//! Reading the whole journal, as it is kept.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use domain::journal::JournalEntry;

use super::attributes::{Item, Reader, item, n, s};
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
    /// The day it is listed under (`2026-03-01`, in UTC).
    pub day: String,
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
                day: read.maybe_text("day").unwrap_or_default().to_owned(),
                entry: entry.and_then(|entry| serde_json::from_str(entry).ok()),
            });
        }
        Ok(Page { items, next_cursor: cursor_text(output.last_evaluated_key) })
    }

    /// A page of the entries of a day (`2026-03-01`, in UTC), of all customers, as they were decided.
    /// An entry that cannot be read as one is left out; the audit tells of it.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub(crate) async fn journal_of_day(
        &self,
        day: &str,
        cursor: Option<&str>,
    ) -> Result<Page<(CustomerKey, JournalEntry)>, StoreError> {
        let query = self.query_day(day).limit(1_000).set_exclusive_start_key(cursor_key(cursor)?);
        let output = self.one_page(query).await?;
        let mut keys = Vec::new();
        for found in output.items() {
            let read = Reader { table: "journal", item: found };
            let number: u64 = read.number("sk")?;
            keys.push(item([("pk", s(read.text("pk")?)), ("sk", n(number))]));
        }
        let mut items = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(100) {
            self.read_entries(chunk.to_vec(), &mut items).await?;
        }
        Ok(Page { items, next_cursor: cursor_text(output.last_evaluated_key) })
    }

    /// The keys of a day's entries, as they were decided.
    pub(super) fn query_day(&self, day: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.tables.journal)
            .index_name("day")
            .key_condition_expression("#day = :day")
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":day", s(day))
    }

    pub(super) async fn read_entries(
        &self,
        wanted: Vec<Item>,
        into: &mut Vec<(CustomerKey, JournalEntry)>,
    ) -> Result<(), StoreError> {
        for found in self.batch_get(&self.tables.journal, wanted).await? {
            let read = Reader { table: "journal", item: &found };
            let entry = read.maybe_text("entry").and_then(|e| serde_json::from_str(e).ok());
            let key = CustomerKey::stored(read.text("pk")?);
            into.extend(entry.map(|entry| (key, entry)));
        }
        Ok(())
    }
}
