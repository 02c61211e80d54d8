//! The `control` table: the active lifecycle file, write keys, id markers, and what was sent.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{Put, ReturnConsumedCapacity, TransactWriteItem};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::PoisonError;

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::{Store, StoreError};
use crate::codec;
use crate::meter::Access;

/// For how long a process believes what it read of a key.
const CACHE_TTL: Duration = Duration::from_secs(30);
/// For how long it is remembered that an alert was sent.
const MARKER_DAYS: i64 = 14;
pub(super) const DAY: i64 = 86_400;

/// The active lifecycle file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Counts up from 1.
    pub version: u64,
    /// SHA-256 of the source, in hexadecimal.
    pub hash: String,
    /// The YAML.
    pub source: String,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// Who applied it, and why.
    pub by: By,
}

/// Who applies a lifecycle file, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// A name or an address.
    pub author: Option<String>,
    /// In their words.
    pub message: Option<String>,
}

/// What became of a lifecycle file that was to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// It is the active one now.
    Applied(Configuration),
    /// It was the active one already.
    Unchanged(Configuration),
    /// Another version than the expected one is active: nothing was changed.
    Overtaken(Option<Configuration>),
}

/// A write key, as far as it is known: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriteKey {
    /// SHA-256 of the key, in hexadecimal.
    pub hash: String,
    /// What it is for.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The partition of the lifecycle file's versions.
const CONFIG: &str = "config";
const VERSION_PREFIX: &str = "version#";

fn version_key(version: u64) -> String {
    format!("{VERSION_PREFIX}{version:08}")
}

fn configuration_item(sk: &str, configuration: &Configuration) -> Item {
    let Configuration { version, hash, source, applied_at, by } = configuration;
    let mut found = key(CONFIG, sk);
    found.extend(item([
        ("version", n(version)),
        ("hash", s(hash)),
        ("applied_at", s(applied_at.to_string())),
        ("body", b(codec::shrink(source.as_bytes()))),
    ]));
    let told = [("author", &by.author), ("message", &by.message)];
    let told = told.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
    found.extend(told.map(|(name, text)| (name.to_owned(), s(text))));
    found
}

fn configuration_of(found: &Item) -> Result<Configuration, StoreError> {
    let read = Reader { table: "control", item: found };
    let wrong = |what| StoreError::Item { table: "control", what };
    let bytes = codec::grow(read.bytes("body")?)
        .map_err(|source| StoreError::Codec { table: "control", source })?;
    Ok(Configuration {
        version: read.number("version")?,
        hash: read.text("hash")?.to_owned(),
        source: String::from_utf8(bytes).map_err(|_| wrong("body"))?,
        applied_at: read.text("applied_at")?.parse().map_err(|_| wrong("applied_at"))?,
        by: By {
            author: read.maybe_text("author").map(str::to_owned),
            message: read.maybe_text("message").map(str::to_owned),
        },
    })
}

/// Whether a process still goes by what it read of a write key so long ago.
fn is_believed(age: Duration) -> bool {
    age < CACHE_TTL
}

/// Whether a conditional put stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutOutcome {
    Put,
    Exists,
}

impl Store {
    // ---- one item at a time ----

    pub(super) async fn get_control(
        &self,
        pk: &str,
        sk: &str,
        consistent: bool,
    ) -> Result<Option<Item>, StoreError> {
        let table = &self.tables.control;
        let output = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(key(pk, sk)))
            .consistent_read(consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::call("GetItem", table))?;
        self.meter.add(&self.tables, Access::Read, output.consumed_capacity.as_slice());
        Ok(output.item)
    }

    pub(super) async fn put_control(
        &self,
        found: Item,
        condition: Option<(&str, Item)>,
    ) -> Result<PutOutcome, StoreError> {
        let table = &self.tables.control;
        let mut put = self
            .client
            .put_item()
            .table_name(table)
            .set_item(Some(found))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some((expression, values)) = condition {
            put = put.condition_expression(expression);
            if !values.is_empty() {
                put = put.set_expression_attribute_values(Some(values));
            }
        }
        let put = put.send().await.map(|output| output.consumed_capacity);
        Ok(match self.stood("PutItem", table, put)? {
            true => PutOutcome::Put,
            false => PutOutcome::Exists,
        })
    }

    /// Deletes an item: whether there was one.
    pub(super) async fn delete_control(&self, pk: &str, sk: &str) -> Result<bool, StoreError> {
        let table = &self.tables.control;
        let output = self
            .client
            .delete_item()
            .table_name(table)
            .set_key(Some(key(pk, sk)))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::call("DeleteItem", table))?;
        self.meter.add(&self.tables, Access::Write, output.consumed_capacity.as_slice());
        Ok(output.attributes.is_some())
    }

    // ---- the lifecycle file ----

    /// The active lifecycle file, if one was applied.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn configuration(&self) -> Result<Option<Configuration>, StoreError> {
        let found = self.get_control(CONFIG, "active", false).await?;
        found.as_ref().map(configuration_of).transpose()
    }

    /// A version of the lifecycle file.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn configuration_version(
        &self,
        version: u64,
    ) -> Result<Option<Configuration>, StoreError> {
        let found = self.get_control(CONFIG, &version_key(version), true).await?;
        found.as_ref().map(configuration_of).transpose()
    }

    /// All versions of the lifecycle file, the newest first.
    ///
    /// # Errors
    /// When the table cannot be read or an item is damaged.
    pub async fn configuration_versions(&self) -> Result<Vec<Configuration>, StoreError> {
        let mut versions = Vec::new();
        let mut start = None;
        loop {
            let (items, last) = self.query_control(CONFIG, 100, start, false).await?;
            for found in &items {
                let read = Reader { table: "control", item: found };
                if read.text("sk")?.starts_with(VERSION_PREFIX) {
                    versions.push(configuration_of(found)?);
                }
            }
            start = last;
            if start.is_none() {
                return Ok(versions);
            }
        }
    }

    /// Makes a lifecycle file the active one, unless it is already. The caller has checked it.
    ///
    /// # Errors
    /// When the table cannot be written, or somebody else applied one at the same moment.
    pub async fn apply_configuration(
        &self,
        source: &str,
        hash: &str,
        now: Timestamp,
    ) -> Result<Configuration, StoreError> {
        let was = self.configuration().await?.map_or(0, |active| active.version);
        match self.apply_version(source, hash, &By::default(), was, now).await? {
            ApplyOutcome::Applied(active) | ApplyOutcome::Unchanged(active) => Ok(active),
            ApplyOutcome::Overtaken(_) => Err(StoreError::Conflict(1)),
        }
    }

    /// Makes a lifecycle file the active one on top of version `was` (0 for none), as the next
    /// version; nothing is written when another version is active by then. The caller has checked
    /// the file.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub async fn apply_version(
        &self,
        source: &str,
        hash: &str,
        by: &By,
        was: u64,
        now: Timestamp,
    ) -> Result<ApplyOutcome, StoreError> {
        let found = self.get_control(CONFIG, "active", true).await?;
        let active = found.as_ref().map(configuration_of).transpose()?;
        if active.as_ref().map_or(0, |active| active.version) != was {
            return Ok(ApplyOutcome::Overtaken(active));
        }
        if let Some(active) = active.filter(|active| active.hash == hash) {
            return Ok(ApplyOutcome::Unchanged(active));
        }
        let configuration = Configuration {
            version: was + 1,
            hash: hash.to_owned(),
            source: source.to_owned(),
            applied_at: now,
            by: by.clone(),
        };
        let table = &self.tables.control;
        let put = |sk: &str, condition: &str, values: Option<Item>| {
            let built = Put::builder()
                .table_name(table)
                .set_item(Some(configuration_item(sk, &configuration)))
                .condition_expression(condition)
                .set_expression_attribute_values(values)
                .build()
                .map_err(StoreError::call_built("TransactWriteItems", table));
            built.map(|put| TransactWriteItem::builder().put(put).build())
        };
        // A version is written once; both or none, so that each version was active.
        let same = ("version = :was", Some(item([(":was", n(was))])));
        let (unchanged, values) = if was == 0 { ("attribute_not_exists(pk)", None) } else { same };
        let writes = vec![
            put(&version_key(configuration.version), "attribute_not_exists(pk)", None)?,
            put("active", unchanged, values)?,
        ];
        match self.transact(writes).await? {
            true => Ok(ApplyOutcome::Applied(configuration)),
            false => Ok(ApplyOutcome::Overtaken(self.configuration().await?)),
        }
    }

    // ---- write keys ----

    /// Makes a write key live. Only its hash is kept.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn add_write_key(
        &self,
        secret: &str,
        label: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut found = key("writekey", &hash_of(secret));
        found.extend(item([("label", s(label)), ("created_at", s(now.to_string()))]));
        self.put_control(found, None).await.map(|_| ())
    }

    /// Ends a write key: whether there was one with this hash.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn remove_write_key(&self, hash: &str) -> Result<bool, StoreError> {
        self.delete_control("writekey", hash).await
    }

    /// The live write keys.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn write_keys(&self) -> Result<Vec<WriteKey>, StoreError> {
        let (items, _) = self.query_control("writekey", 1_000, None, true).await?;
        let mut keys = Vec::new();
        for found in &items {
            let read = Reader { table: "control", item: found };
            let created_at = read.text("created_at")?.parse();
            keys.push(WriteKey {
                hash: read.text("sk")?.to_owned(),
                label: read.text("label")?.to_owned(),
                created_at: created_at
                    .map_err(|_| StoreError::Item { table: "control", what: "created_at" })?,
            });
        }
        Ok(keys)
    }

    /// What a write key is for; `None` when it is not a live one. It is looked up by its hash, so
    /// nothing that depends on the key's characters takes a different time.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn write_key_label(&self, secret: &str) -> Result<Option<String>, StoreError> {
        let hash = hash_of(secret);
        {
            let cache = self.caches.write_keys.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read_at, label)) = cache.get(&hash)
                && is_believed(read_at.elapsed())
            {
                return Ok(label.clone());
            }
        }
        let found = self.get_control("writekey", &hash, false).await?;
        let label = found.map(|found| {
            let read = Reader { table: "control", item: &found };
            read.maybe_text("label").unwrap_or_default().to_owned()
        });
        let mut cache = self.caches.write_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= 1_000 {
            // Only guesses fill it up.
            cache.clear();
        }
        cache.insert(hash, (Instant::now(), label.clone()));
        Ok(label)
    }

    // ---- events without a time of their own ----

    /// The instant under which an event was first keyed whose own does not say: `at`, or what an
    /// earlier delivery with the same id was given. It is remembered for as long as the log keeps
    /// the event.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub async fn arrival(
        &self,
        id: &str,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let mut found = key("arrival", id);
        found.extend(item([
            ("at", n(at.as_millisecond())),
            ("expires", n(now.as_second() + i64::from(self.event_retention_days) * DAY)),
        ]));
        let absent = ("attribute_not_exists(pk)", Item::new());
        match self.put_control(found, Some(absent)).await? {
            PutOutcome::Put => Ok(at),
            PutOutcome::Exists => {
                let found = self.get_control("arrival", id, true).await?.unwrap_or_default();
                let at: i64 = Reader { table: "control", item: &found }.number("at")?;
                Timestamp::from_millisecond(at)
                    .map_err(|_| StoreError::Item { table: "control", what: "at" })
            }
        }
    }

    // ---- what was sent ----

    /// Whether the alert of a journal entry was sent already.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn was_sent(&self, customer: &str, seq: u64) -> Result<bool, StoreError> {
        let sk = format!("{seq:010}");
        Ok(self.get_control(&format!("sent#{customer}"), &sk, true).await?.is_some())
    }

    /// Remembers that the alert of a journal entry was sent.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn mark_sent(
        &self,
        customer: &str,
        seq: u64,
        topic: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut found = key(&format!("sent#{customer}"), &format!("{seq:010}"));
        found.extend(item([
            ("topic", s(topic)),
            ("sent_at", s(now.to_string())),
            ("expires", n(now.as_second() + MARKER_DAYS * DAY)),
        ]));
        self.put_control(found, None).await.map(|_| ())
    }

    /// Whether something is seen for the first time; it is remembered for so many seconds.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn is_first(
        &self,
        id: &str,
        seconds: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut found = key("seen", id);
        found.extend(item([("expires", n(now.as_second() + seconds))]));
        let absent = ("attribute_not_exists(pk)", Item::new());
        Ok(matches!(self.put_control(found, Some(absent)).await?, PutOutcome::Put))
    }

    /// A page of the items under a key of `control`.
    pub(super) async fn query_control(
        &self,
        pk: &str,
        limit: i32,
        start: Option<Item>,
        forward: bool,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let query = self
            .query_under(&self.tables.control, pk)
            .scan_index_forward(forward)
            .limit(limit)
            .set_exclusive_start_key(start);
        let output = self.one_page(query).await?;
        Ok((output.items.unwrap_or_default(), output.last_evaluated_key))
    }

    /// Every item under a key of `control`.
    pub(super) async fn query_all_control(&self, pk: &str) -> Result<Vec<Item>, StoreError> {
        self.all_pages(self.query_under(&self.tables.control, pk)).await
    }
}

/// What is stored of a secret.
#[must_use]
pub fn hash_of(secret: &str) -> String {
    domain::hex(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_key_that_was_ended_is_taken_for_half_a_minute_at_most() {
        assert!(is_believed(Duration::from_secs(29)));
        assert!(!is_believed(Duration::from_secs(30)));
    }
}
