//! Reading for people: lists with cursors.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use domain::journal::JournalEntry;

use super::attributes::{Item, Reader, item, s};
use super::{CustomerKey, LoggedEvent, Store, StoreError, Versioned};

/// A part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// Opaque; `None` when this was the last part.
    pub next_cursor: Option<String>,
}

/// Which customers to list. Segments and bands are for the caller to filter by: they are not
/// stored, or not indexed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerFilter {
    /// Only those in this stage, the longest there first.
    pub stage: Option<String>,
}

/// A cursor as text: the key of the last item, in a form that fits a URL.
pub(super) fn cursor_text(last: Option<Item>) -> Option<String> {
    let last = last?;
    let mut plain: Vec<(String, String)> = last
        .into_iter()
        .filter_map(|(name, value)| match value {
            AttributeValue::S(text) => Some((name, format!("s{text}"))),
            AttributeValue::N(number) => Some((name, format!("n{number}"))),
            _ => None,
        })
        .collect();
    plain.sort();
    Some(domain::hex(serde_json::to_string(&plain).unwrap_or_default().as_bytes()))
}

pub(super) fn cursor_key(text: Option<&str>) -> Result<Option<Item>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    let bytes = bytes.filter(|bytes| bytes.len() <= 8_192).ok_or(StoreError::Cursor)?;
    let plain: Vec<(String, String)> =
        serde_json::from_slice(&bytes).map_err(|_| StoreError::Cursor)?;
    let mut found = Item::new();
    for (name, value) in plain {
        let value = match value.split_at_checked(1) {
            Some(("s", text)) => AttributeValue::S(text.to_owned()),
            Some(("n", number)) if number.parse::<u64>().is_ok() => {
                AttributeValue::N(number.to_owned())
            }
            _ => return Err(StoreError::Cursor),
        };
        found.insert(name, value);
    }
    Ok(Some(found))
}

impl Store {
    /// How many customers are in each of the named stages.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn count_stage(&self, stage: &str) -> Result<u64, StoreError> {
        let mut start = None;
        let mut count = 0;
        loop {
            let query =
                self.query_stage(stage).select(Select::Count).set_exclusive_start_key(start);
            let output = self.one_page(query).await?;
            count += u64::try_from(output.count).unwrap_or_default();
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(count);
            }
        }
    }

    fn query_stage(&self, stage: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.tables.customers)
            .index_name("stage")
            .key_condition_expression("stage = :stage")
            .expression_attribute_values(":stage", s(stage))
    }

    /// A page of customers.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn customers(
        &self,
        filter: &CustomerFilter,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<Versioned>, StoreError> {
        let start = cursor_key(cursor)?;
        let Some(stage) = &filter.stage else {
            let (items, last) = self.scan_customers(0, 1, start, Some(limit)).await?;
            return Ok(Page { items, next_cursor: cursor_text(last) });
        };
        let query = self.query_stage(stage).limit(limit).set_exclusive_start_key(start);
        let output = self.one_page(query).await?;
        let mut keys = Vec::new();
        for found in output.items() {
            let read = Reader { table: "customers", item: found };
            keys.push(CustomerKey::stored(read.text("pk")?));
        }
        let mut items = self.customers_by_key(&keys).await?;
        // The index may be a moment behind.
        items.retain(|found| {
            found.customer.status.stage.as_ref().is_some_and(|present| present.name == *stage)
        });
        Ok(Page { items, next_cursor: cursor_text(output.last_evaluated_key) })
    }

    /// Customers by key, in the order of the keys; what is no customer is left out.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn customers_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<Versioned>, StoreError> {
        let mut customers = self.items_by_key(keys).await?;
        customers.retain(Versioned::is_here);
        Ok(customers)
    }

    /// The same with those that were moved.
    pub(super) async fn items_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<Versioned>, StoreError> {
        let table = &self.tables.customers;
        let mut found: std::collections::HashMap<CustomerKey, Versioned> = Default::default();
        for chunk in keys.chunks(100) {
            let wanted = chunk.iter().map(|key| item([("pk", s(key.as_str()))]));
            for item in self.batch_get(table, wanted.collect()).await? {
                let customer = Versioned::from_item(&item)?;
                found.insert(customer.key.clone(), customer);
            }
        }
        Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
    }

    /// A page of a customer's journal, newest first.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn journal(
        &self,
        key: &CustomerKey,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<JournalEntry>, StoreError> {
        let query = self
            .query_under(&self.tables.journal, key.as_str())
            .scan_index_forward(false)
            .limit(limit)
            .set_exclusive_start_key(cursor_key(cursor)?);
        let output = self.one_page(query).await?;
        let mut entries = Vec::new();
        for found in output.items() {
            let read = Reader { table: "journal", item: found };
            let entry = serde_json::from_str(read.text("entry")?);
            entries.push(entry.map_err(|_| StoreError::Item { table: "journal", what: "entry" })?);
        }
        Ok(Page { items: entries, next_cursor: cursor_text(output.last_evaluated_key) })
    }

    /// A page of a customer's events, newest first.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn event_page(
        &self,
        key: &CustomerKey,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<LoggedEvent>, StoreError> {
        let (items, last) = self.events(key, limit, cursor_key(cursor)?).await?;
        Ok(Page { items, next_cursor: cursor_text(last) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let last = item([("pk", s("käse#1")), ("sk", super::super::attributes::n(42))]);
        let text = cursor_text(Some(last.clone()));
        assert_eq!(cursor_key(text.as_deref()).unwrap(), Some(last));
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        for text in ["zz", "7b7d", "5b5b2261222c2278225d5d", "0"] {
            assert!(matches!(cursor_key(Some(text)), Err(StoreError::Cursor)), "{text}");
        }
    }
}
