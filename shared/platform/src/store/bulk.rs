//! History in bulk: the same commit, for many customers at once.
//!
//! The order is that of [`super::commit`] (customers, then the log, then events, then the
//! customers on condition), with batches where the commit has single calls. Ids of imported events
//! are derived from their content, so putting one again writes the same item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{PutRequest, ReturnConsumedCapacity, WriteRequest};
use domain::event::Event;
use domain::fold::{HourRange, Scope};
use domain::lifecycle::Lifecycle;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::commit::{Committed, Fate, due, folded, missing, scope};
use super::customers::{CustomerUpdate, Late, Parts};
use super::log::{Logged, event_item};
use super::{CustomerKey, Store, StoreError, Versioned};
use crate::meter::Access;

/// DynamoDB takes so many items in one batch, and so many actions in one transaction.
pub(super) const BATCH: usize = 25;
const TRANSACTION: usize = 100;
const PARALLEL: usize = 8;
/// So many ranges of a customer's log are read apart.
const READS: usize = 4;
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
        // Collected first: a stream over a closure that borrows is not `Send` to the compiler.
        let chunks = groups.chunks(TRANSACTION);
        let parts: Vec<BoxFuture<'_, Result<Bulk, StoreError>>> =
            chunks.map(|chunk| self.commit_chunk(chunk, lifecycle, now).boxed()).collect();
        let sum = |done: Bulk, part: Bulk| async move {
            Ok(Bulk {
                accepted: done.accepted + part.accepted,
                duplicates: done.duplicates + part.duplicates,
                customers: done.customers + part.customers,
            })
        };
        stream::iter(parts).buffer_unordered(CHUNKS_AT_ONCE).try_fold(Bulk::default(), sum).await
    }

    async fn commit_chunk(
        &self,
        groups: &[(CustomerKey, Vec<Event>)],
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Bulk, StoreError> {
        let keys: Vec<CustomerKey> = groups.iter().map(|(key, _)| key.clone()).collect();
        let known = self.items_by_key(&keys).await?;
        if known.iter().any(|found| found.moved.is_some()) {
            return self.commit_each(groups, lifecycle, now).await;
        }
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
                        0 => Logged::default(),
                        _ => self.read_scope(key, &in_few_reads(&scope)).await?,
                    };
                    Ok((before, scope, logged))
                }
                .boxed(),
            );
        }
        let read: Vec<(Versioned, Scope, Logged)> =
            stream::iter(reads).buffered(PARALLEL).try_collect().await?;
        let mut met = groups.iter().zip(&read);
        if met.any(|((_, events), (_, _, logged))| logged.redirected(events).is_some()) {
            return self.commit_each(groups, lifecycle, now).await;
        }

        let mut done = Bulk { customers: groups.len() as u64, ..Bulk::default() };
        let mut puts = Vec::new();
        let mut all = Vec::with_capacity(groups.len());
        for ((key, events), (_, _, logged)) in groups.iter().zip(&read) {
            let new = missing(events, &logged.events);
            done.accepted += new.len() as u64;
            done.duplicates += (events.len() - new.len()) as u64;
            puts.extend(new.iter().map(|event| (key, *event)));
            all.push(logged.events.iter().chain(new).cloned().collect::<Vec<Event>>());
        }
        self.put_batches(&puts).await?;
        for (before, _, _) in &read {
            if self.moved_by_link(before, lifecycle).await?.is_some() {
                return self.commit_each(groups, lifecycle, now).await;
            }
        }

        let mut updates = Vec::new();
        for (((before, scope, _), events), (_, sent)) in read.iter().zip(&all).zip(groups) {
            if let Some(after) = folded(before, scope, events, lifecycle, now) {
                self.note_parent(before, &after, lifecycle).await?;
                let late = Late::after(before, sent.iter().map(|event| event.at));
                let due = due(before, &after, lifecycle, now);
                let update = CustomerUpdate::new(before, &after, Parts::Profile, (due, late), now);
                updates.push(self.transact_update(before, update)?);
            }
        }
        if updates.is_empty() || self.transact(updates).await? {
            return Ok(done);
        }
        // Somebody else committed to one of them meanwhile: one by one, each with its own retries.
        self.commit_each(groups, lifecycle, now).await?;
        Ok(done)
    }

    async fn commit_each(
        &self,
        groups: &[(CustomerKey, Vec<Event>)],
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Bulk, StoreError> {
        let mut singles: Vec<BoxFuture<'_, _>> = Vec::new();
        for (key, events) in groups {
            singles.push(self.commit(key, events, lifecycle, now).boxed());
        }
        let singles: Vec<Committed> =
            stream::iter(singles).buffer_unordered(PARALLEL).try_collect().await?;
        let mut done = Bulk { customers: groups.len() as u64, ..Bulk::default() };
        for fate in singles.into_iter().flat_map(|single| single.fates) {
            match fate {
                Fate::Accepted => done.accepted += 1,
                Fate::Duplicate => done.duplicates += 1,
            }
        }
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
        self.write_batch(table, requests).await
    }

    /// Puts and deletes at most [`BATCH`] items of one table.
    pub(super) async fn write_batch(
        &self,
        table: &str,
        mut requests: Vec<WriteRequest>,
    ) -> Result<(), StoreError> {
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

/// The same hours in at most [`READS`] ranges, and what lies between them: history touches most
/// days of a customer's log, and a query costs more than the few events it would leave out. A fold
/// passes over what is not in its scope.
fn in_few_reads(scope: &Scope) -> Scope {
    let Scope::Buckets { starts, hours } = scope else { return scope.clone() };
    let mut gaps: Vec<(i64, usize)> = hours
        .windows(2)
        .enumerate()
        .map(|(at, pair)| (pair[1].from - pair[0].to, at + 1))
        .collect();
    // The widest gaps stay.
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.truncate(READS - 1);
    let mut cuts: Vec<usize> = gaps.into_iter().map(|(_, at)| at).collect();
    cuts.sort_unstable();
    let mut merged = Vec::with_capacity(READS);
    let mut rest = hours.as_slice();
    for cut in cuts.into_iter().rev() {
        let (before, after) = rest.split_at(cut);
        merged.extend(covering(after));
        rest = before;
    }
    merged.extend(covering(rest));
    merged.reverse();
    Scope::Buckets { starts: starts.clone(), hours: merged }
}

fn covering(hours: &[HourRange]) -> Option<HourRange> {
    Some(HourRange { from: hours.first()?.from, to: hours.last()?.to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hours: &[(i64, i64)], expect: &[(i64, i64)]) {
        let hours = hours.iter().map(|(from, to)| HourRange { from: *from, to: *to }).collect();
        let scope = Scope::Buckets { starts: Default::default(), hours };
        let Scope::Buckets { hours, .. } = in_few_reads(&scope) else { panic!() };
        let found: Vec<(i64, i64)> = hours.iter().map(|range| (range.from, range.to)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn scattered_days_are_read_together_and_far_ones_apart() {
        check(&[], &[]);
        check(&[(1, 2), (5, 6)], &[(1, 2), (5, 6)]);
        check(
            &[(0, 1), (2, 3), (100, 101), (200, 201), (202, 203), (300, 301)],
            &[(0, 3), (100, 101), (200, 203), (300, 301)],
        );
    }

    #[test]
    fn the_whole_log_stays_the_whole_log() {
        assert_eq!(in_few_reads(&Scope::Whole), Scope::Whole);
    }
}
