//! How it is with each source of events, its finding, and the workspace's own journal, in which findings
//! that are of no customer are told.
//!
//! | key in `control` | holds |
//! |---|---|
//! | `feed`, name | how it is with a feed, and its last finding |
//! | `feed#hours`, name | how many events came in each hour of the last weeks; written once an hour |
//! | `feed#journal`, `head` | where the workspace's own journal stands |
//!
//! Invariants: a finding is opened or closed together with its entry of the journal, on condition that
//! nobody was faster. Watching costs three small queries an invocation, however many customers there are.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::feed::health::{FeedChange, FeedHealth, Listened, Rates, forget, watch};
use domain::feed::{Sender, SenderKind, SilentFeed};
use domain::journal::{JournalEntry, JournalHead};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::senders::HOURS_KEPT;
use super::{CustomerKey, Liveliness, Store, StoreError};
use crate::codec;

const FEEDS: &str = "feed";
const HOURS: &str = "feed#hours";
const JOURNAL: &str = "feed#journal";
const HEAD: &str = "head";

/// A feed as it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedFeed {
    /// How it is with it.
    pub health: FeedHealth,
    /// Since when it is watched: when the lifecycle file was applied that was active then.
    pub watched_from: Timestamp,
    /// Counts its writes.
    #[serde(skip)]
    version: u64,
}

/// What watching came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// The feeds that are silent.
    pub silent: Vec<SilentFeed>,
    /// When one was last heard of again.
    pub released_at: Option<Timestamp>,
}

impl Watched {
    fn add(&mut self, name: &str, health: &FeedHealth) {
        if let Some(since) = health.silent_since.filter(|_| health.is_open()) {
            self.silent.push(SilentFeed { name: name.to_owned(), since });
        }
        self.released_at = self.released_at.max(health.closed_at);
    }
}

impl Store {
    /// Looks how it is with each feed that the lifecycle file declares, and opens and closes findings.
    /// Where another process is faster, that one's decision stands.
    ///
    /// # Errors
    /// When the tables cannot be read or written.
    pub async fn watch_feeds(
        &self,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Watched, StoreError> {
        let mut known = self.watched_feeds().await?;
        let mut watched = Watched::default();
        if lifecycle.feeds.is_empty() && known.is_empty() {
            return Ok(watched);
        }
        let senders = self.senders(now).await?.into_iter();
        let mut heard: BTreeMap<Sender, Liveliness> =
            senders.map(|found| (found.sender.clone(), found)).collect();
        let mut hours = self.hours_of_feeds().await?;
        for feed in &lifecycle.feeds {
            let before = match known.remove(&feed.name) {
                Some(before) => before,
                None => WatchedFeed {
                    health: FeedHealth::FRESH,
                    watched_from: self.configuration().await?.map_or(now, |it| it.applied_at),
                    version: 0,
                },
            };
            let found = heard.remove(&Sender::new(SenderKind::Feed, &feed.name));
            let before_hours = hours.remove(&feed.name).unwrap_or_default();
            let rates = self.note_hours(&feed.name, before_hours, found.as_ref(), now).await?;
            let listened = Listened {
                heard_at: found.and_then(|found| found.last_received_at),
                declared_at: before.watched_from,
                rates: &rates,
            };
            let calendar = &lifecycle.calendar;
            let (health, change) = watch(feed, &before.health, &listened, calendar, now);
            watched.add(&feed.name, &health);
            self.note_feed(&feed.name, &before, (health, change), lifecycle, now).await?;
        }
        for (name, before) in known {
            let after = forget(&name, &before.health, now);
            watched.add(&name, &after.0);
            self.note_feed(&name, &before, after, lifecycle, now).await?;
        }
        Ok(watched)
    }

    /// How it was with each feed when it was last looked at, by name.
    ///
    /// # Errors
    /// When the table cannot be read or an item is damaged.
    pub async fn watched_feeds(&self) -> Result<BTreeMap<String, WatchedFeed>, StoreError> {
        let found = self.query_all_control(FEEDS).await?;
        let read = |found: &Item| {
            let read = Reader { table: "control", item: found };
            let wrong = |_| StoreError::Item { table: "control", what: "feed" };
            let mut watched: WatchedFeed =
                serde_json::from_str(read.text("body")?).map_err(wrong)?;
            watched.version = read.number("v")?;
            Ok((read.text("sk")?.to_owned(), watched))
        };
        found.iter().map(read).collect()
    }

    /// The feeds that were silent when they were last looked at.
    ///
    /// # Errors
    /// As [`Store::watched_feeds`].
    pub async fn silent_feeds(&self) -> Result<Vec<SilentFeed>, StoreError> {
        let mut watched = Watched::default();
        for (name, feed) in self.watched_feeds().await? {
            watched.add(&name, &feed.health);
        }
        Ok(watched.silent)
    }

    async fn hours_of_feeds(&self) -> Result<BTreeMap<String, Rates>, StoreError> {
        let found = self.query_all_control(HOURS).await?;
        let read = |found: &Item| {
            let read = Reader { table: "control", item: found };
            let bytes = codec::grow(read.bytes("body")?)
                .map_err(|source| StoreError::Codec { table: "control", source })?;
            let rates = serde_json::from_slice(&bytes);
            let wrong = |_| StoreError::Item { table: "control", what: "hours" };
            Ok((read.text("sk")?.to_owned(), rates.map_err(wrong)?))
        };
        found.iter().map(read).collect()
    }

    /// Takes over the hours that are whole by now. Two processes that do so at once write the same.
    async fn note_hours(
        &self,
        name: &str,
        before: Rates,
        heard: Option<&Liveliness>,
        now: Timestamp,
    ) -> Result<Rates, StoreError> {
        let Some(heard) = heard else { return Ok(before) };
        let hours = heard.hours.iter().map(|(hour, count)| (*hour, count.accepted)).collect();
        let oldest = now.as_second().div_euclid(3_600) - HOURS_KEPT + 1;
        let after = before.clone().with(&hours, oldest, now);
        if after != before {
            let mut found = key(HOURS, name);
            let bytes = serde_json::to_vec(&after).unwrap_or_default();
            found.insert("body".to_owned(), b(codec::shrink(&bytes)));
            self.put_control(found, None).await?;
        }
        Ok(after)
    }

    async fn note_feed(
        &self,
        name: &str,
        before: &WatchedFeed,
        (health, change): (FeedHealth, Option<FeedChange>),
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if health == before.health && before.version > 0 {
            return Ok(());
        }
        let after = WatchedFeed { health, ..before.clone() };
        let mut found = key(FEEDS, name);
        let body = serde_json::to_string(&after);
        let body = body.map_err(|_| StoreError::Item { table: "control", what: "feed" })?;
        found.extend(item([("body", s(body)), ("v", n(before.version + 1))]));
        let mut writes = vec![self.put_if(found, "v", before.version)?];
        if let Some(change) = change {
            let (mut head, version) = self.workspace_head().await?;
            let entry = JournalEntry::of_feed(&change, now, lifecycle, &mut head);
            let mut found = key(JOURNAL, HEAD);
            found.extend(item([
                ("seq", n(head.seq)),
                ("hash", b(head.hash.to_vec())),
                ("v", n(version + 1)),
            ]));
            writes.push(self.put_if(found, "v", version)?);
            writes.push(self.transact_entry_under(&CustomerKey::workspace(), &entry)?);
        }
        if !self.transact(writes).await? {
            tracing::info!(feed = name, "another process looked after the feed");
        }
        Ok(())
    }

    /// Where the workspace's own journal stands, and how often that was written.
    async fn workspace_head(&self) -> Result<(JournalHead, u64), StoreError> {
        let Some(found) = self.get_control(JOURNAL, HEAD, true).await? else {
            return Ok((JournalHead::default(), 0));
        };
        let read = Reader { table: "control", item: &found };
        let wrong = |_| StoreError::Item { table: "control", what: "hash" };
        let hash = read.bytes("hash")?.try_into().map_err(wrong)?;
        Ok((JournalHead { seq: read.number("seq")?, hash }, read.number("v")?))
    }

    /// A put on condition that the item was written so often.
    fn put_if(
        &self,
        found: Item,
        name: &str,
        version: u64,
    ) -> Result<TransactWriteItem, StoreError> {
        let table = &self.tables.control;
        let put = Put::builder().table_name(table).set_item(Some(found));
        let put = match version {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            version => put
                .condition_expression(format!("{name} = :was"))
                .expression_attribute_values(":was", n(version)),
        };
        let put = put.build().map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}
