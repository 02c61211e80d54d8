//! The quarantine: what could not be taken, with its reason, the bytes it came as, and what has to be
//! known to take it again.
//!
//! An item is known by a hash of its path and its bytes, so that the same thing sent again is set
//! aside once. It leaves when it is taken, dropped or erased, and by itself after 30 days.

use aws_sdk_dynamodb::types::{Delete, ReturnConsumedCapacity, TransactWriteItem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::feed::Sender;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::control::DAY;
use super::read::{Page, cursor_key, cursor_text};
use super::{Store, StoreError};
use crate::codec;

const QUARANTINE: &str = "quarantine";
/// For how long something set aside waits to be looked at.
const KEEP_DAYS: i64 = 30;
/// An item ends at 400 KB; what is larger is kept as far as it fits.
const MAX_KEPT_BYTES: usize = 256 * 1024;
/// A hash in hexadecimal.
const ID_DIGITS: usize = 32;

/// Something to set aside.
#[derive(Debug, Clone, Copy)]
pub struct SetAside<'a> {
    /// The bytes as they came.
    pub raw: &'a [u8],
    /// Why: a stable word for programs.
    pub code: &'a str,
    /// Why, as a sentence.
    pub message: &'a str,
    /// Who sent it.
    pub sender: &'a Sender,
    /// The path it came by, where it came by one.
    pub path: Option<&'a str>,
    /// What its batch said of all calls, where that matters.
    pub shared: Option<&'a Json>,
}

/// Something that could not be taken, set aside with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// A hash of its path and its bytes: the same thing sent again is set aside once.
    pub id: String,
    /// When it came.
    pub received_at: Timestamp,
    /// When it goes by itself.
    pub expires_at: Timestamp,
    /// Why it was not taken, at its last attempt: a stable word for programs.
    pub code: String,
    /// Why, as a sentence.
    pub message: String,
    /// Who sent it.
    pub sender: Option<Sender>,
    /// The path it came by, where it came by one.
    pub path: Option<String>,
    /// How often it was tried again since.
    pub attempts: u32,
    /// When it was last tried again.
    pub last_attempt_at: Option<Timestamp>,
    /// How many bytes it came with.
    pub bytes: u64,
    /// The bytes as they came, as text.
    pub raw: String,
    /// The same in base64, where they are no text.
    pub raw_base64: Option<String>,
    /// What its batch said of all calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Json>,
}

impl Quarantined {
    /// Whether not all of it was kept: then it cannot be taken.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.bytes > MAX_KEPT_BYTES as u64
    }

    /// The bytes that were kept.
    #[must_use]
    pub fn kept(&self) -> Vec<u8> {
        let decoded = self.raw_base64.as_ref().and_then(|text| STANDARD.decode(text).ok());
        decoded.unwrap_or_else(|| self.raw.clone().into_bytes())
    }
}

/// Which of it to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Only what was not taken for this reason.
    pub code: Option<String>,
    /// Only what this sender sent: a write key's label, or a feed's name.
    pub source: Option<String>,
}

/// What came of taking something again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Why it was not taken: a stable word for programs.
    pub code: &'a str,
    /// Why, as a sentence.
    pub message: &'a str,
}

pub(super) fn quarantined_of(found: &Item) -> Result<Quarantined, StoreError> {
    let read = Reader { table: "control", item: found };
    let wrong = |what| StoreError::Item { table: "control", what };
    let bytes = codec::grow(read.bytes("body")?)
        .map_err(|source| StoreError::Codec { table: "control", source })?;
    let instant = |ms: i64| Timestamp::from_millisecond(ms).map_err(|_| wrong("received_at"));
    let shared = found.get("shared").and_then(|value| value.as_b().ok());
    let shared = shared.and_then(|shared| codec::grow(shared.as_ref()).ok());
    let size = read.maybe_number("bytes").unwrap_or(bytes.len() as u64);
    let (raw, raw_base64) = match String::from_utf8(bytes) {
        Ok(raw) => (raw, None),
        // Only the cut took a part of the last character.
        Err(error) if size > MAX_KEPT_BYTES as u64 && error.utf8_error().error_len().is_none() => {
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), None)
        }
        Err(error) => {
            let bytes = error.into_bytes();
            (String::from_utf8_lossy(&bytes).into_owned(), Some(STANDARD.encode(bytes)))
        }
    };
    let sender = match (read.maybe_text("sender"), read.maybe_text("source")) {
        (Some(kind), Some(name)) => Sender::read(kind, name),
        _ => None,
    };
    Ok(Quarantined {
        id: read.text("sk")?.to_owned(),
        received_at: instant(read.number("received_at")?)?,
        expires_at: Timestamp::from_second(read.number("expires")?)
            .map_err(|_| wrong("expires"))?,
        code: read.text("code")?.to_owned(),
        message: read.text("message")?.to_owned(),
        sender,
        path: read.maybe_text("path").map(str::to_owned),
        attempts: read.maybe_number("attempts").unwrap_or_default(),
        last_attempt_at: read.maybe_number("attempted_at").map(instant).transpose()?,
        bytes: size,
        raw,
        raw_base64,
        shared: shared.and_then(|shared| serde_json::from_slice(&shared).ok()),
    })
}

fn is_id(id: &str) -> bool {
    id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Store {
    /// Sets something aside with its reason.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn quarantine(&self, aside: &SetAside<'_>, now: Timestamp) -> Result<(), StoreError> {
        let kept = &aside.raw[..aside.raw.len().min(MAX_KEPT_BYTES)];
        let path = aside.path.unwrap_or_default();
        let hash = Sha256::new().chain_update(path).chain_update([0]).chain_update(aside.raw);
        let mut found = key(QUARANTINE, &domain::hex(&hash.finalize()[..ID_DIGITS / 2]));
        found.extend(item([
            ("received_at", n(now.as_millisecond())),
            ("code", s(aside.code)),
            ("message", s(aside.message)),
            ("sender", s(aside.sender.kind.as_str())),
            ("source", s(&aside.sender.name)),
            ("bytes", n(aside.raw.len())),
            ("body", b(codec::shrink(kept))),
            ("expires", n(now.as_second() + KEEP_DAYS * DAY)),
        ]));
        if let Some(path) = aside.path {
            found.insert("path".to_owned(), s(path));
        }
        if let Some(shared) = aside.shared {
            let shared = serde_json::to_vec(shared).unwrap_or_default();
            found.insert("shared".to_owned(), b(codec::shrink(&shared)));
        }
        let absent = ("attribute_not_exists(pk)", Item::new());
        self.put_control(found, Some(absent)).await.map(|_| ())
    }

    /// One item of the quarantine.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn quarantined_item(&self, id: &str) -> Result<Option<Quarantined>, StoreError> {
        if !is_id(id) {
            return Ok(None);
        }
        let found = self.get_control(QUARANTINE, id, true).await?;
        found.as_ref().map(quarantined_of).transpose()
    }

    /// A page of what was set aside. With a filter a page may be short, or empty, before the last.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn quarantined(
        &self,
        filter: &QuarantineFilter,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<Quarantined>, StoreError> {
        let (items, last) =
            self.query_quarantine(filter, None, Some(limit), cursor_key(cursor)?).await?;
        let items = items.iter().map(quarantined_of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: cursor_text(last) })
    }

    /// The ids of what matches, at most so many, and whether there are more.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn quarantined_ids(
        &self,
        filter: &QuarantineFilter,
        at_most: usize,
    ) -> Result<(Vec<String>, bool), StoreError> {
        let (mut ids, mut start) = (Vec::new(), None);
        loop {
            let (items, last) =
                self.query_quarantine(filter, Some("sk"), None, start.take()).await?;
            for found in &items {
                ids.push(Reader { table: "control", item: found }.text("sk")?.to_owned());
            }
            if ids.len() > at_most {
                ids.truncate(at_most);
                return Ok((ids, true));
            }
            match last {
                Some(last) => start = Some(last),
                None => return Ok((ids, false)),
            }
        }
    }

    /// Ids that begin so, of which two are enough to know that there are several.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn quarantined_beginning(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        if beginning.is_empty() || beginning.len() > ID_DIGITS {
            return Ok(Vec::new());
        }
        let query = self
            .query_under(&self.tables.control, QUARANTINE)
            .key_condition_expression("pk = :pk AND begins_with(sk, :beginning)")
            .expression_attribute_values(":beginning", s(beginning))
            .projection_expression("sk")
            .limit(2);
        let output = self.one_page(query).await?;
        let id = |found| Reader { table: "control", item: found }.text("sk").map(str::to_owned);
        output.items().iter().map(id).collect()
    }

    async fn query_quarantine(
        &self,
        filter: &QuarantineFilter,
        projection: Option<&str>,
        limit: Option<i32>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let mut query = self
            .query_under(&self.tables.control, QUARANTINE)
            .set_projection_expression(projection.map(str::to_owned))
            .set_limit(limit)
            .set_exclusive_start_key(start);
        let mut conditions = Vec::new();
        for (name, wanted) in [("code", &filter.code), ("source", &filter.source)] {
            let Some(wanted) = wanted else { continue };
            conditions.push(format!("#{name} = :{name}"));
            query = query
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), s(wanted));
        }
        if !conditions.is_empty() {
            query = query.filter_expression(conditions.join(" AND "));
        }
        let output = self.one_page(query).await?;
        Ok((output.items.unwrap_or_default(), output.last_evaluated_key))
    }

    /// Notes that something was tried again and not taken, if it is still there.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn note_attempt(
        &self,
        id: &str,
        attempt: Attempt<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let table = &self.tables.control;
        let updated = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(key(QUARANTINE, id)))
            .update_expression(
                "SET #code = :code, #message = :message, attempted_at = :now ADD attempts :one",
            )
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#code", "code")
            .expression_attribute_names("#message", "message")
            .expression_attribute_values(":code", s(attempt.code))
            .expression_attribute_values(":message", s(attempt.message))
            .expression_attribute_values(":now", n(now.as_millisecond()))
            .expression_attribute_values(":one", n(1))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let updated = updated.map(|output| output.consumed_capacity);
        self.stood("UpdateItem", table, updated).map(|_| ())
    }

    /// Takes something out of the quarantine for good: whether it was there.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn drop_quarantined(&self, id: &str) -> Result<bool, StoreError> {
        if !is_id(id) {
            return Ok(false);
        }
        if !self.is_under_a_key() {
            return self.delete_control(QUARANTINE, id).await;
        }
        let table = &self.tables.control;
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key(QUARANTINE, id)))
            .condition_expression("attribute_exists(pk)")
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", table))?;
        self.transact(vec![TransactWriteItem::builder().delete(delete).build()]).await
    }
}
