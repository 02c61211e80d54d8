//! Asking for items: one page of a query, all of its pages, or those of some keys, with the units counted.

use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnConsumedCapacity};

use super::attributes::{Item, s};
use super::{Store, StoreError};
use crate::meter::Access;

impl Store {
    /// A query of all items under a key; the caller narrows it.
    pub(super) fn query_under(&self, table: &str, pk: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(pk))
    }

    /// One page of what a query asks for.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn one_page(
        &self,
        query: QueryFluentBuilder,
    ) -> Result<QueryOutput, StoreError> {
        let table = query.get_table_name().clone().unwrap_or_default();
        let output = query
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::call("Query", &table))?;
        self.meter.add(&self.tables, Access::Read, output.consumed_capacity.as_slice());
        Ok(output)
    }

    /// All that a query asks for, held in memory.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn all_pages(
        &self,
        query: QueryFluentBuilder,
    ) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let output = self.one_page(query.clone().set_exclusive_start_key(start)).await?;
            items.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// The items of at most a hundred keys that are there, in any order.
    ///
    /// # Errors
    /// When the table cannot be read, or keeps leaving keys unread.
    pub(super) async fn batch_get(
        &self,
        table: &str,
        mut wanted: Vec<Item>,
    ) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut tries) = (Vec::with_capacity(wanted.len()), 0);
        while !wanted.is_empty() {
            let request = KeysAndAttributes::builder().set_keys(Some(wanted)).build();
            let request = request.map_err(StoreError::call_built("BatchGetItem", table))?;
            let output = self
                .client
                .batch_get_item()
                .request_items(table, request)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(StoreError::call("BatchGetItem", table))?;
            self.meter.add(&self.tables, Access::Read, output.consumed_capacity());
            items.extend(output.responses.unwrap_or_default().into_values().flatten());
            let left = output.unprocessed_keys.unwrap_or_default().into_values();
            wanted = left.flat_map(|left| left.keys).collect();
            tries += 1;
            if tries > 8 && !wanted.is_empty() {
                return Err(StoreError::Unprocessed(wanted.len()));
            }
        }
        Ok(items)
    }
}
