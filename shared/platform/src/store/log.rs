//! The event log: one item per event, sorted by the hour it happened in.
//!
//! The sort key is `<hour>#<event id>`: a retry of the same event meets its own item, and the
//! hours a commit has to look at are one range.
//!
//! An event that counts in another hour than the one it tells, because its sender's clock was wrong
//! or ahead, leaves a *signpost* in the hour it tells: an item under the key that a retry of it will
//! look for, which says when it counts. A commit that reads or meets one goes on at that instant, so
//! that a retry is the same event even when the clock is right by then. No other event costs
//! anything more for it.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    BatchStatementError, BatchStatementErrorCodeEnum as Refused, BatchStatementRequest,
    DeleteRequest, ReturnConsumedCapacity, WriteRequest,
};
use domain::event::Event;
use domain::fold::{HourRange, hour_of};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::bulk::BATCH;
use super::{CustomerKey, Store, StoreError};
use crate::codec;
use crate::meter::Access;

/// The largest number of events one call reads back for a decision; beyond it a customer's log is
/// read page by page anyway, this is how many items one page asks for.
const PAGE: i32 = 1_000;

/// The API operation that puts several events.
const INSERT: &str = "BatchExecuteStatement";
/// How many such batches of one commit are under way at once.
const PARALLEL_BATCHES: usize = 4;
/// How long each attempt at a batch waits first. What the SDK repeats is the call; what the table was
/// too busy for is told for each statement of a call that succeeded.
const INSERT_WAITS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(400),
];

/// The attribute of a signpost: when its event counts, in milliseconds since the epoch.
const ELSEWHERE: &str = "elsewhere";

/// What a part of a log holds.
#[derive(Debug, Default)]
pub(super) struct Logged {
    pub(super) events: Vec<Event>,
    /// When the events count that would stand under these sort keys.
    pub(super) signposts: HashMap<String, Timestamp>,
}

impl Logged {
    /// The same events, those that have a signpost at the instant it tells; `None` where none has.
    pub(super) fn redirected(&self, events: &[Event]) -> Option<Vec<Event>> {
        if self.signposts.is_empty() {
            return None;
        }
        let mut events = events.to_vec();
        let mut is_any = false;
        for event in &mut events {
            if let Some(at) = self.signposts.get(&sort_key(event.at, &event.id)) {
                (event.at, is_any) = (*at, true);
            }
        }
        is_any.then_some(events)
    }
}

/// An event of the log, for people to look at.
pub type LoggedEvent = Event;

/// The sort key of an event.
pub(super) fn sort_key(at: Timestamp, id: &str) -> String {
    format!("{:07}#{id}", hour_of(at).max(0))
}

/// Which part of a customer's log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Whole,
    Hours(HourRange),
}

/// An event as an item. `expires` counts from when it was received, so that history imported
/// today is kept as long as what happens today.
pub(super) fn event_item(key: &CustomerKey, event: &Event, retention_days: u32) -> Item {
    let body = serde_json::to_vec(&event.body).unwrap_or_default();
    let expires = event.received_at.as_second() + i64::from(retention_days) * 86_400;
    item([
        ("pk", s(key.as_str())),
        ("sk", s(sort_key(event.at, &event.id))),
        ("t", n(event.at.as_millisecond())),
        ("r", n(event.received_at.as_millisecond())),
        ("b", b(codec::shrink(&body))),
        ("expires", n(expires)),
    ])
}

/// The statement that puts an item where none is; it fails where one is.
fn insert(table: &str, item: Item) -> Result<BatchStatementRequest, BuildError> {
    let (names, values): (Vec<String>, Vec<_>) = item.into_iter().unzip();
    let fields: Vec<String> = names.iter().map(|name| format!("'{name}': ?")).collect();
    BatchStatementRequest::builder()
        .statement(format!("INSERT INTO \"{table}\" VALUE {{{}}}", fields.join(", ")))
        .set_parameters(Some(values))
        .build()
}

/// Whether a statement that failed so may succeed a moment later.
fn may_pass(error: &BatchStatementError) -> bool {
    matches!(
        error.code(),
        Some(
            Refused::InternalServerError
                | Refused::ProvisionedThroughputExceeded
                | Refused::RequestLimitExceeded
                | Refused::ThrottlingError
                | Refused::TransactionConflict
        )
    )
}

fn refused(table: &str, error: &BatchStatementError) -> StoreError {
    let code = error.code().map_or("unknown", Refused::as_str).to_owned();
    let source = error.message().unwrap_or_default().into();
    StoreError::Call { operation: INSERT, table: table.to_owned(), code, source }
}

/// The instant that a signpost tells; `None` for an event.
fn signpost_of(found: &Item) -> Option<Timestamp> {
    let read = Reader { table: "events", item: found };
    Timestamp::from_millisecond(read.maybe_number(ELSEWHERE)?).ok()
}

pub(super) fn event_of(found: &Item) -> Result<Event, StoreError> {
    let read = Reader { table: "events", item: found };
    let wrong = |what| StoreError::Item { table: "events", what };
    let (_, id) = read.text("sk")?.split_once('#').ok_or(wrong("sk"))?;
    let instant = |name| Timestamp::from_millisecond(read.number(name)?).map_err(|_| wrong(name));
    let (at, received_at) = (instant("t")?, instant("r")?);
    let bytes = codec::grow(read.bytes("b")?)
        .map_err(|source| StoreError::Codec { table: "events", source })?;
    let body: Map<String, Json> = serde_json::from_slice(&bytes).map_err(|_| wrong("b"))?;
    Event::from_body(id.to_owned(), at, received_at, body).map_err(|_| wrong("b"))
}

impl Store {
    /// Reads the events of a part of a customer's log, strongly consistent, oldest first.
    pub(super) async fn log(
        &self,
        key: &CustomerKey,
        reach: Reach,
    ) -> Result<Vec<Event>, StoreError> {
        Ok(self.read_log(key, reach).await?.events)
    }

    /// Reads a part of a customer's log, strongly consistent, oldest first.
    pub(super) async fn read_log(
        &self,
        key: &CustomerKey,
        reach: Reach,
    ) -> Result<Logged, StoreError> {
        let mut logged = Logged::default();
        let mut start: Option<Item> = None;
        loop {
            let query = self
                .query_under(&self.tables.events, key.as_str())
                .consistent_read(true)
                .limit(PAGE)
                .set_exclusive_start_key(start);
            let query = match reach {
                Reach::Whole => query,
                Reach::Hours(HourRange { from, to }) => query
                    .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                    .expression_attribute_values(":from", s(format!("{:07}", from.max(0))))
                    .expression_attribute_values(":to", s(format!("{:07}", to.max(0)))),
            };
            let output = self.one_page(query).await?;
            for found in output.items() {
                if let Some(at) = signpost_of(found) {
                    let sk = Reader { table: "events", item: found }.text("sk")?.to_owned();
                    logged.signposts.insert(sk, at);
                    continue;
                }
                match event_of(found) {
                    Ok(event) => logged.events.push(event),
                    // One damaged item must not stop a customer: it is named and passed over.
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an event of the log was passed over"
                    ),
                }
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(logged);
            }
        }
    }

    /// When an event counts that tells another instant than it would count at: as an earlier delivery
    /// settled it, else at `at`. From then on there is a signpost where the event tells it happened.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub async fn settle(
        &self,
        customer: &CustomerKey,
        id: &str,
        told: Timestamp,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let sort_key = sort_key(told, id);
        if self.put_signpost(customer, &sort_key, at, now).await? {
            return Ok(at);
        }
        let table = &self.tables.events;
        let output = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(key(customer.as_str(), &sort_key)))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::call("GetItem", table))?;
        self.meter.add(&self.tables, Access::Read, output.consumed_capacity.as_slice());
        match output.item {
            Some(found) => match signpost_of(&found) {
                Some(at) => Ok(at),
                None => Ok(event_of(&found)?.at),
            },
            // It was moved or erased a moment ago.
            None => Ok(at),
        }
    }

    /// Puts a signpost where nothing is: whether it was put.
    pub(super) async fn put_signpost(
        &self,
        customer: &CustomerKey,
        sort_key: &str,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.events;
        let mut found = key(customer.as_str(), sort_key);
        let expires = now.as_second() + i64::from(self.event_retention_days) * 86_400;
        found.extend(item([(ELSEWHERE, n(at.as_millisecond())), ("expires", n(expires))]));
        let put = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(found))
            .condition_expression("attribute_not_exists(pk)")
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        self.stood("PutItem", table, put.map(|output| output.consumed_capacity))
    }

    /// A customer's whole log, oldest first.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn whole_log(&self, key: &CustomerKey) -> Result<Vec<Event>, StoreError> {
        self.log(key, Reach::Whole).await
    }

    /// Puts events, each unless its id is there already: which were put, in their order. No id may be
    /// there twice.
    ///
    /// Several go in batches of PartiQL inserts, which are conditional as a batch of puts is not, are
    /// billed the same, and take the request, the signature and the answer of one call.
    ///
    /// # Errors
    /// When an event could not be put. Others may have been.
    pub(super) async fn put_events(
        &self,
        key: &CustomerKey,
        events: &[&Event],
    ) -> Result<Vec<bool>, StoreError> {
        if let [event] = events {
            return Ok(vec![self.put_event(key, event).await?]);
        }
        let batches = events.chunks(BATCH).map(|batch| self.insert(key, batch));
        let batches: Vec<_> = batches.collect();
        let put: Vec<Vec<bool>> =
            stream::iter(batches).buffered(PARALLEL_BATCHES).try_collect().await?;
        Ok(put.concat())
    }

    async fn put_event(&self, key: &CustomerKey, event: &Event) -> Result<bool, StoreError> {
        let table = &self.tables.events;
        let put = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(event_item(key, event, self.event_retention_days)))
            .condition_expression("attribute_not_exists(pk)")
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        self.stood("PutItem", table, put.map(|output| output.consumed_capacity))
    }

    /// At most [`BATCH`] events in one call. What the table was too busy for is sent again.
    async fn insert(&self, key: &CustomerKey, events: &[&Event]) -> Result<Vec<bool>, StoreError> {
        let table = &self.tables.events;
        let mut put = vec![true; events.len()];
        let mut left: Vec<usize> = (0..events.len()).collect();
        for wait in INSERT_WAITS {
            tokio::time::sleep(wait).await;
            let statements = left
                .iter()
                .map(|at| insert(table, event_item(key, events[*at], self.event_retention_days)));
            let statements = statements.collect::<Result<Vec<_>, _>>();
            let output = self
                .client
                .batch_execute_statement()
                .set_statements(Some(statements.map_err(StoreError::call_built(INSERT, table))?))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(StoreError::call(INSERT, table))?;
            self.meter.add(&self.tables, Access::Write, output.consumed_capacity());
            if output.responses().len() != left.len() {
                return Err(StoreError::Item { table: "events", what: "the answer to its insert" });
            }
            let mut again = Vec::new();
            for (at, answer) in left.into_iter().zip(output.responses()) {
                match answer.error() {
                    None => {}
                    Some(error) if error.code() == Some(&Refused::DuplicateItem) => put[at] = false,
                    Some(error) if may_pass(error) => again.push(at),
                    Some(error) => return Err(refused(table, error)),
                }
            }
            left = again;
            if left.is_empty() {
                return Ok(put);
            }
        }
        Err(StoreError::Unprocessed(left.len()))
    }

    /// Deletes events by their sort keys.
    pub(super) async fn delete_events(
        &self,
        key: &CustomerKey,
        sort_keys: &[String],
    ) -> Result<(), StoreError> {
        let table = &self.tables.events;
        for batch in sort_keys.chunks(BATCH) {
            let mut requests = Vec::with_capacity(batch.len());
            for sort_key in batch {
                let delete = DeleteRequest::builder()
                    .set_key(Some(super::attributes::key(key.as_str(), sort_key)))
                    .build()
                    .map_err(StoreError::call_built("BatchWriteItem", table))?;
                requests.push(WriteRequest::builder().delete_request(delete).build());
            }
            self.write_batch(table, requests).await?;
        }
        Ok(())
    }

    /// Deletes a customer's whole log.
    pub(super) async fn clear_log(&self, key: &CustomerKey) -> Result<(), StoreError> {
        let mut start: Option<Item> = None;
        loop {
            let query = self
                .query_under(&self.tables.events, key.as_str())
                .projection_expression("sk")
                .consistent_read(true)
                .set_exclusive_start_key(start);
            let output = self.one_page(query).await?;
            let mut sort_keys = Vec::with_capacity(output.items().len());
            for found in output.items() {
                sort_keys.push(Reader { table: "events", item: found }.text("sk")?.to_owned());
            }
            self.delete_events(key, &sort_keys).await?;
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    /// A page of a customer's events, newest first.
    ///
    /// # Errors
    /// When the table cannot be read or an item is damaged.
    pub async fn events(
        &self,
        key: &CustomerKey,
        limit: i32,
        start: Option<HashMap<String, aws_sdk_dynamodb::types::AttributeValue>>,
    ) -> Result<(Vec<LoggedEvent>, Option<Item>), StoreError> {
        let query = self
            .query_under(&self.tables.events, key.as_str())
            .scan_index_forward(false)
            .limit(limit)
            .set_exclusive_start_key(start);
        let output = self.one_page(query).await?;
        let events = output.items().iter().filter(|found| signpost_of(found).is_none());
        let events = events.map(event_of).collect::<Result<_, _>>()?;
        Ok((events, output.last_evaluated_key))
    }
}
