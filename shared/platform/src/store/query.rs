//! Asking for items: one page of a query, or all of its pages, with the units counted.

use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

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
}
