//! Runs of a sweep: one per function, schedule and scheduled instant, so that a schedule that
//! fires twice runs once, and a run that was cut off goes on from its cursor.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::control::PutOutcome;
use super::{Store, StoreError};
use crate::codec;
use crate::meter::Access;

/// A run that said nothing for so long was cut off, and another may go on with it. Longer than a
/// function may live.
const LEASE: SignedDuration = SignedDuration::from_mins(16);
/// For how long a run is remembered.
const KEEP_DAYS: i64 = 14;

/// What identifies a run, or one segment of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSlot {
    /// `evaluate`, `score` or `comply`.
    pub function: String,
    /// The schedule's name.
    pub schedule: String,
    /// The scheduled instant: `now` for every decision of the run.
    pub at: Timestamp,
    /// Which segment of the table.
    pub segment: i32,
    /// Of how many.
    pub segments: i32,
}

impl RunSlot {
    fn key(&self) -> Item {
        let RunSlot { schedule, at, segment, segments, .. } = self;
        key(&format!("run#{}", self.function), &format!("{at}#{schedule}#{segment}/{segments}"))
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunProgress {
    /// Where to go on; `None` is the beginning.
    pub cursor: Option<Item>,
    /// Customers looked at.
    pub visited: u64,
    /// Customers changed.
    pub changed: u64,
    /// Customers that could not be handled.
    pub failed: u64,
}

/// A run, or one segment of it, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What identifies it.
    pub slot: RunSlot,
    /// Whether it came to its end.
    pub is_done: bool,
    /// Customers looked at.
    pub visited: u64,
    /// Customers that could not be handled.
    pub failed: u64,
}

/// Whether to run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunStart {
    /// Begin, or go on from here.
    Go(RunProgress),
    /// It has run.
    Done(RunProgress),
    /// It is running.
    Busy,
}

impl Store {
    /// Takes a run's slot.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub async fn start_run(&self, slot: &RunSlot, now: Timestamp) -> Result<RunStart, StoreError> {
        let fresh = run_item(slot, &RunProgress::default(), "running", now);
        let absent = ("attribute_not_exists(pk)", Item::new());
        if self.put_control(fresh, Some(absent)).await? == PutOutcome::Put {
            return Ok(RunStart::Go(RunProgress::default()));
        }
        let keys = slot.key();
        let (pk, sk) = (text(&keys, "pk"), text(&keys, "sk"));
        let found = self.get_control(&pk, &sk, true).await?.unwrap_or_default();
        let read = Reader { table: "control", item: &found };
        let progress = RunProgress {
            cursor: cursor_of(&read)?,
            visited: read.number("visited")?,
            changed: read.number("changed")?,
            failed: read.number("failed")?,
        };
        if read.text("progress")? == "done" {
            return Ok(RunStart::Done(progress));
        }
        let lease: i64 = read.number("lease")?;
        if lease > now.as_millisecond() {
            return Ok(RunStart::Busy);
        }
        let taken = run_item(slot, &progress, "running", now);
        let same = ("lease = :lease", item([(":lease", n(lease))]));
        Ok(match self.put_control(taken, Some(same)).await? {
            PutOutcome::Put => RunStart::Go(progress),
            PutOutcome::Exists => RunStart::Busy,
        })
    }

    /// Notes how far a run has come, and that it is alive.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn checkpoint_run(
        &self,
        slot: &RunSlot,
        progress: &RunProgress,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.put_control(run_item(slot, progress, "running", now), None).await.map(|_| ())
    }

    /// Lets go of a run that is not done, so that whoever gets its ticket goes on at once.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn release_run(
        &self,
        slot: &RunSlot,
        progress: &RunProgress,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let before = now.saturating_sub(LEASE).unwrap_or(Timestamp::MIN);
        self.put_control(run_item(slot, progress, "running", before), None).await.map(|_| ())
    }

    /// Notes that a run is done.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn finish_run(
        &self,
        slot: &RunSlot,
        progress: &RunProgress,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let done = RunProgress { cursor: None, ..progress.clone() };
        self.put_control(run_item(slot, &done, "done", now), None).await.map(|_| ())
    }

    /// The last runs of a function, of all its schedules, the newest first: at most so many segments.
    /// Runs of those that are due leave nothing to be remembered by.
    ///
    /// # Errors
    /// When the table cannot be read or an item is damaged.
    pub async fn runs(&self, function: &str, most: i32) -> Result<Vec<Ran>, StoreError> {
        let (items, _) = self.query_control(&format!("run#{function}"), most, None, false).await?;
        items.iter().map(|found| ran_of(function, found)).collect()
    }

    /// When the workspace's tables were made; `None` where the database does not say.
    ///
    /// # Errors
    /// When the table cannot be described.
    pub async fn made_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let table = &self.tables.control;
        let described = self.client.describe_table().table_name(table).send().await;
        let described = described.map_err(StoreError::call("DescribeTable", table))?;
        let made = described.table.and_then(|table| table.creation_date_time);
        Ok(made.and_then(|made| Timestamp::from_second(made.secs()).ok()))
    }

    /// About how many customers there are: DynamoDB counts every few hours.
    ///
    /// # Errors
    /// When the table cannot be described.
    pub async fn customers_about(&self) -> Result<u64, StoreError> {
        let table = &self.tables.customers;
        let described = self
            .client
            .describe_table()
            .table_name(table)
            .send()
            .await
            .map_err(StoreError::call("DescribeTable", table))?;
        let count = described.table.and_then(|table| table.item_count);
        Ok(u64::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    /// A page of customers that are due by an instant, from one shard of the index: their keys.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) async fn due_keys(
        &self,
        shard: u8,
        by: Timestamp,
        start: Option<Item>,
    ) -> Result<(Vec<super::CustomerKey>, Option<Item>), StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.customers)
            .index_name("due")
            .key_condition_expression("due_shard = :shard AND due_at <= :by")
            .expression_attribute_values(":shard", s(shard.to_string()))
            .expression_attribute_values(":by", s(super::customers::index_time(by)))
            .set_exclusive_start_key(start);
        let output = self.one_page(query).await?;
        let keys = output.items().iter().map(|found| {
            let read = Reader { table: "customers", item: found };
            read.text("pk").map(super::CustomerKey::stored)
        });
        Ok((keys.collect::<Result<_, _>>()?, output.last_evaluated_key))
    }

    /// A page of a segment of the customers table.
    ///
    /// # Errors
    /// When the table cannot be read. An item that is damaged is left out and logged, one that is
    /// no customer any more is left out.
    pub(crate) async fn scan_customers(
        &self,
        segment: i32,
        segments: i32,
        start: Option<Item>,
        limit: Option<i32>,
    ) -> Result<(Vec<super::Versioned>, Option<Item>), StoreError> {
        let table = &self.tables.customers;
        let mut scan = self
            .client
            .scan()
            .table_name(table)
            .set_limit(limit)
            .set_exclusive_start_key(start)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if segments > 1 {
            scan = scan.segment(segment).total_segments(segments);
        }
        let output = scan.send().await.map_err(StoreError::call("Scan", table))?;
        self.meter.add(&self.tables, Access::Read, output.consumed_capacity.as_slice());
        let mut customers = Vec::with_capacity(output.items().len());
        for found in output.items() {
            match super::Versioned::from_item(found) {
                Ok(customer) if customer.is_here() => customers.push(customer),
                Ok(_) => {}
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a customer's item was passed over"
                ),
            }
        }
        Ok((customers, output.last_evaluated_key))
    }

    /// How many shards the `due` index has.
    pub(crate) fn due_shards() -> std::ops::Range<u8> {
        0..super::customers::DUE_SHARDS
    }
}

fn run_item(slot: &RunSlot, progress: &RunProgress, state: &str, now: Timestamp) -> Item {
    let lease = now.saturating_add(LEASE).unwrap_or(now);
    let mut found = slot.key();
    found.extend(item([
        ("progress", s(state)),
        ("visited", n(progress.visited)),
        ("changed", n(progress.changed)),
        ("failed", n(progress.failed)),
        ("lease", n(lease.as_millisecond())),
        ("expires", n(now.as_second() + KEEP_DAYS * 86_400)),
    ]));
    if let Some(cursor) = &progress.cursor {
        found.insert("resume".to_owned(), b(codec::pack(&plain(cursor))));
    }
    found
}

fn ran_of(function: &str, found: &Item) -> Result<Ran, StoreError> {
    let read = Reader { table: "control", item: found };
    let slot = slot_of(function, read.text("sk")?);
    Ok(Ran {
        slot: slot.ok_or(StoreError::Item { table: "control", what: "sk" })?,
        is_done: read.text("progress")? == "done",
        visited: read.number("visited")?,
        failed: read.number("failed")?,
    })
}

/// What [`RunSlot::key`] wrote.
fn slot_of(function: &str, sk: &str) -> Option<RunSlot> {
    let (at, rest) = sk.split_once('#')?;
    let (schedule, part) = rest.rsplit_once('#')?;
    let (segment, segments) = part.split_once('/')?;
    Some(RunSlot {
        function: function.to_owned(),
        schedule: schedule.to_owned(),
        at: at.parse().ok()?,
        segment: segment.parse().ok()?,
        segments: segments.parse().ok()?,
    })
}

fn cursor_of(read: &Reader<'_>) -> Result<Option<Item>, StoreError> {
    if !read.item.contains_key("resume") {
        return Ok(None);
    }
    let plain: Vec<(String, String)> = read.unpack("resume")?;
    Ok(Some(plain.into_iter().map(|(name, value)| (name, AttributeValue::S(value))).collect()))
}

/// All keys of the customers table and its indexes are text.
pub(super) fn plain(cursor: &Item) -> Vec<(String, String)> {
    let pairs = cursor.iter();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_s().ok()?.clone()))).collect()
}

fn text(found: &Item, name: &str) -> String {
    found.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_comes_back_as_its_key_was_written() {
        let slot = RunSlot {
            function: "score".to_owned(),
            schedule: "by#hand".to_owned(),
            at: "2026-02-03T04:05:06.789Z".parse().unwrap(),
            segment: 2,
            segments: 3,
        };
        assert_eq!(slot_of("score", &text(&slot.key(), "sk")), Some(slot));
        assert_eq!(slot_of("score", "2026-02-03T04:05:06Z#nightly"), None);
    }
}
