//! What is asked for under a key is done once, however often it is asked for.
//!
//! The key is a mark in `control` that is put in the same transaction as what is done, on condition that
//! it is not there: a crash leaves both or none, and of two requests at the same moment one does it. The
//! answer is put beside the mark afterwards; where that failed, the mark still says that it was done, and
//! what it made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::{Store, StoreError};
use crate::codec;

/// For how long a key is remembered, in hours.
pub const KEPT_HOURS: i64 = 24;
const ONCE: &str = "once";
/// The longest answer that is kept, in bytes as stored: an item has at most 400 KB.
const MAX_ANSWER_BYTES: usize = 300_000;

/// A key, and what was asked for under it.
#[derive(Debug, Clone)]
pub struct Once(Arc<Asked>);

#[derive(Debug)]
struct Asked {
    name: String,
    request: String,
    now: Timestamp,
    is_marked: AtomicBool,
    was_done: AtomicBool,
    made: Mutex<Option<String>>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whether it was for the same request.
    pub is_same: bool,
    /// The status and the body that were answered, where they are known.
    pub answer: Option<(u16, Vec<u8>)>,
    /// What was made, where it has an id.
    pub made: Option<String>,
}

impl Once {
    /// The key of a caller, for a request: whatever makes the request another one is in `request`.
    /// Neither is kept as it is.
    #[must_use]
    pub fn new(caller: &str, name: &str, request: &[&[u8]], now: Timestamp) -> Once {
        let mut digest = Sha256::new();
        for part in request {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        Once(Arc::new(Asked {
            name: super::control::hash_of(&format!("{caller}\u{0}{name}")),
            request: domain::hex(&digest.finalize()),
            now,
            is_marked: AtomicBool::new(false),
            was_done: AtomicBool::new(false),
            made: Mutex::new(None),
        }))
    }

    /// Whether it was found, while it was being done, that somebody had done it by then.
    #[must_use]
    pub fn was_done(&self) -> bool {
        self.0.was_done.load(Ordering::Relaxed)
    }

    fn expires(&self) -> i64 {
        self.0.now.as_second() + KEPT_HOURS * 3_600
    }

    fn item(&self) -> Item {
        let mut mark = key(ONCE, &self.0.name);
        mark.extend(item([("asked", s(&self.0.request)), ("expires", n(self.expires()))]));
        let made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        mark.extend(made.map(|made| ("made".to_owned(), s(made))));
        mark
    }
}

impl Store {
    /// The same tables, in which what is done next is done under a key.
    #[must_use]
    pub fn under(&self, once: &Once) -> Store {
        Store { once: Some(once.clone()), ..self.clone() }
    }

    /// A name that nobody else has.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn fresh_name(&self) -> Result<String, StoreError> {
        super::suppression::random_hex()
    }

    /// What is known of a key that was used within the last [`KEPT_HOURS`].
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn kept(&self, once: &Once) -> Result<Option<Kept>, StoreError> {
        let Some(found) = self.get_control(ONCE, &once.0.name, true).await? else {
            return Ok(None);
        };
        let read = Reader { table: "control", item: &found };
        if read.number::<i64>("expires")? < once.0.now.as_second() {
            return Ok(None);
        }
        let answer = match read.maybe_number::<u16>("status") {
            Some(status) => {
                let body = codec::grow(read.bytes("body")?)
                    .map_err(|source| StoreError::Codec { table: "control", source })?;
                Some((status, body))
            }
            None => None,
        };
        let made = read.maybe_text("made").map(str::to_owned);
        // What is kept from now on names it, too.
        once.0.made.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&made);
        Ok(Some(Kept { is_same: read.text("asked")? == once.0.request, made, answer }))
    }

    /// Keeps what was answered under a key.
    ///
    /// # Errors
    /// When the table cannot be written: the mark stays, where there is one.
    pub async fn keep_answer(
        &self,
        once: &Once,
        status: u16,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let mut kept = once.item();
        let body = codec::shrink(body);
        if body.len() <= MAX_ANSWER_BYTES {
            kept.extend(item([("status", n(status)), ("body", b(body))]));
        }
        // Another request of the same key may have been faster: the first answer stays.
        let values = item([(":same", s(&once.0.request)), (":now", n(once.0.now.as_second()))]);
        let condition = "attribute_not_exists(pk) OR expires < :now \
            OR (asked = :same AND attribute_not_exists(body))";
        self.put_control(kept, Some((condition, values))).await.map(|_| ())
    }

    /// Forgets all answers, whoever they are about. That something was done stays known.
    pub(super) async fn forget_answers(&self) -> Result<(), StoreError> {
        for mut kept in self.query_all_control(ONCE).await? {
            if kept.remove("body").is_some() {
                kept.remove("status");
                self.put_control(kept, None).await?;
            }
        }
        Ok(())
    }

    pub(super) fn is_under_a_key(&self) -> bool {
        self.once.is_some()
    }

    /// Says what is about to be made: the mark names it.
    pub(super) fn makes(&self, id: &str) {
        if let Some(Once(asked)) = &self.once {
            *asked.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        }
    }

    /// The mark that belongs into the next transaction, where there is one to be put.
    pub(super) fn mark(&self) -> Result<Option<TransactWriteItem>, StoreError> {
        let Some(once) = &self.once else { return Ok(None) };
        if once.0.is_marked.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let put = Put::builder()
            .table_name(&self.tables.control)
            .set_item(Some(once.item()))
            .condition_expression("attribute_not_exists(pk) OR expires < :now")
            .expression_attribute_values(":now", n(once.0.now.as_second()))
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", &self.tables.control))?;
        Ok(Some(TransactWriteItem::builder().put(put).build()))
    }

    /// Remembers what became of the transaction with the mark.
    pub(super) fn marked(&self, stood: bool) {
        if let Some(Once(asked)) = &self.once {
            let flag = if stood { &asked.is_marked } else { &asked.was_done };
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Puts items of `control` together, and with them the mark of what is being done.
    pub(super) async fn put_together(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let table = &self.tables.control;
        if items.len() == 1 && !self.is_under_a_key() {
            for found in items {
                self.put_control(found, None).await?;
            }
            return Ok(());
        }
        let puts = items.into_iter().map(|found| {
            let put = Put::builder().table_name(table).set_item(Some(found)).build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(StoreError::call_built("TransactWriteItems", table))
        });
        let writes: Vec<TransactWriteItem> = puts.collect::<Result<_, _>>()?;
        match self.transact(writes).await? {
            true => Ok(()),
            // None of them has a condition: others write the same at this moment.
            false => Err(StoreError::Conflict(1)),
        }
    }
}
