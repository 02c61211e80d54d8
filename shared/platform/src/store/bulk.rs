//! History in bulk: the same commit, for many customers at once.
//!
//! The order is that of [`super::commit`] (customers, then the log, then events, then the
//! customers on condition), with batches where the commit has single calls. Ids of imported events
//! are derived from their content, so putting one again writes the same item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{PutRequest, ReturnConsumedCapacity, WriteRequest};
use domain::event::Event;
use domain::fold::Scope;
use domain::lifecycle::Lifecycle;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::commit::{due, folded, missing, scope};
use super::customers::{CustomerUpdate, Parts};
use super::log::event_item;
use super::{CustomerKey, Store, StoreError, Versioned};
use crate::meter::Access;

/// DynamoDB takes so many items in one batch, and so many actions in one transaction.
const BATCH: usize = 25;
const TRANSACTION: usize = 100;
const PARALLEL: usize = 8;
/// While one chunk waits for the tables another is folded. Each keeps the order of its own calls,
/// and a customer that is in two of them is settled by its version, as between two writers.
const CHUNKS_AT_ONCE: usize = 3;

/// What became of a bulk commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bulk {
    /// Events that are new.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Customers touched.
    pub customers: u64,
}

impl Store {
    /// Commits the events of many customers.
    ///
    /// # Errors
    /// As [`Store::commit`]; committing the same again is safe and completes it.
    pub async fn commit_bulk(
        &self,
        groups: &[(CustomerKey, Vec<Event>)],
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Bulk, StoreError> {
        let chunks = groups.chunks(TRANSACTION);
        let parts = stream::iter(chunks.map(|chunk| self.commit_chunk(chunk, lifecycle, now)));
        let sum = |done: Bulk, part: Bulk| async move {
            Ok(Bulk {
                accepted: done.accepted + part.accepted,
                duplicates: done.duplicates + part.duplicates,
                customers: done.customers + part.customers,
            })
        };
        parts.buffer_unordered(CHUNKS_AT_ONCE).try_fold(Bulk::default(), sum).await
    }

    async fn commit_chunk(
        &self,
        groups: &[(CustomerKey, Vec<Event>)],
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Bulk, StoreError> {
        let keys: Vec<CustomerKey> = groups.iter().map(|(key, _)| key.clone()).collect();
        let known = self.customers_by_key(&keys).await?;
        let mut known: HashMap<CustomerKey, Versioned> =
            known.into_iter().map(|found| (found.key.clone(), found)).collect();

        let mut reads: Vec<BoxFuture<'_, Result<_, StoreError>>> = Vec::new();
        for (key, events) in groups {
            let before = known.remove(key).unwrap_or_else(|| Versioned::absent(key.clone()));
            let scope = scope(&before, lifecycle, events, now);
            reads.push(
                async move {
                    // A customer without an item has no event that was ever acknowledged.
                    let logged = match before.version {
                        0 => Vec::new(),
                        _ => self.read_scope(key, &scope).await?,
                    };
                    Ok((before, scope, logged))
                }
                .boxed(),
            );
        }
        let read: Vec<(Versioned, Scope, Vec<Event>)> =
            stream::iter(reads).buffered(PARALLEL).try_collect().await?;

        let mut done = Bulk { customers: groups.len() as u64, ..Bulk::default() };
        let mut puts = Vec::new();
        let mut all = Vec::with_capacity(groups.len());
        for ((key, events), (_, _, logged)) in groups.iter().zip(&read) {
            let new = missing(events, logged);
            done.accepted += new.len() as u64;
            done.duplicates += (events.len() - new.len()) as u64;
            puts.extend(new.iter().map(|event| (key, *event)));
            all.push(logged.iter().chain(new).cloned().collect::<Vec<Event>>());
        }
        self.put_batches(&puts).await?;

        let mut updates = Vec::new();
        for ((before, scope, _), events) in read.iter().zip(&all) {
            if let Some(after) = folded(before, scope, events, lifecycle, now) {
                let due = due(before, &after, lifecycle, now);
                let update = CustomerUpdate::new(before, &after, Parts::Profile, due);
                updates.push(self.transact_update(before, update)?);
            }
        }
        if updates.is_empty() || self.transact(updates).await? {
            return Ok(done);
        }
        // Somebody else committed to one of them meanwhile: one by one, each with its own retries.
        let mut singles: Vec<BoxFuture<'_, _>> = Vec::new();
        for (key, events) in groups {
            singles.push(self.commit(key, events, lifecycle, now).boxed());
        }
        let _: Vec<_> = stream::iter(singles).buffer_unordered(PARALLEL).try_collect().await?;
        Ok(done)
    }

    async fn put_batches(&self, puts: &[(&CustomerKey, &Event)]) -> Result<(), StoreError> {
        let batches: Vec<BoxFuture<'_, _>> =
            puts.chunks(BATCH).map(|batch| self.put_batch(batch).boxed()).collect();
        stream::iter(batches).buffer_unordered(PARALLEL).try_collect().await
    }

    async fn put_batch(&self, batch: &[(&CustomerKey, &Event)]) -> Result<(), StoreError> {
        let table = &self.tables.events;
        let mut requests = Vec::with_capacity(batch.len());
        for (key, event) in batch {
            let put = PutRequest::builder()
                .set_item(Some(event_item(key, event, self.event_retention_days)))
                .build()
                .map_err(StoreError::call_built("BatchWriteItem", table))?;
            requests.push(WriteRequest::builder().put_request(put).build());
        }
        for _ in 0..10 {
            let output = self
                .client
                .batch_write_item()
                .request_items(table, requests)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(StoreError::call("BatchWriteItem", table))?;
            self.meter.add(&self.tables, Access::Write, output.consumed_capacity());
            requests =
                output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
            if requests.is_empty() {
                return Ok(());
            }
        }
        Err(StoreError::Unprocessed(requests.len()))
    }
}
