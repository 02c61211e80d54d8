//! Daily roots: over every entry of the journal that was decided since the root before.
//!
//! A root is an entry of a journal of its own ([`CustomerKey::roots`]); what it is over is listed beside it,
//! part by part, so that what is missing later has a name. The list is held to by the root, but for the
//! names: erasing a customer changes them and no root.
//!
//! A root is of whole days, up to the last that is over. An entry that was decided as of a day and written
//! after that day's root (a run that was handed on) is in the next one, for [`LATE_DAYS`] days; later than
//! that it is held by the next entry of its own journal.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::audit::{LEAVES, Rooting, days_of, seal_root, subtree};
use domain::journal::JournalEntry;
use domain::lifecycle::Lifecycle;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::read::{Page, cursor_key, cursor_text};
use super::{CustomerKey, Store, StoreError};
use crate::codec;

/// For how many days an entry that was written late is looked for. A message waits in a queue for at most
/// fourteen.
pub const LATE_DAYS: i32 = 14;
/// So many roots are looked at for what is in them already: more than are made in [`LATE_DAYS`].
const RECENT: i32 = 40;
/// Where it is remembered up to which root all were kept elsewhere.
const KEPT: (&str, &str) = ("roots", "kept");
/// Parts of a list that are read at once.
const PARTS: i32 = 10;

/// What a root is over: an entry, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The key its journal is under.
    pub customer: String,
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// What came of making a root.
#[derive(Debug, Clone, PartialEq)]
pub enum RootOutcome {
    /// There is a new one.
    Made(Box<JournalEntry>),
    /// There is one of the last day that is over.
    UpToDate,
}

/// Collects leaves into parts and lists them.
struct Listing<'a> {
    store: &'a Store,
    seq: u64,
    leaves: Vec<Leaf>,
    rooting: Rooting,
}

impl Listing<'_> {
    async fn add(
        &mut self,
        key: &CustomerKey,
        day: &str,
        entry: &JournalEntry,
    ) -> Result<(), StoreError> {
        let Some(hash) = hash_of(entry) else { return Ok(()) };
        *self.rooting.days.entry(day.to_owned()).or_default() += 1;
        self.leaves.push(Leaf { customer: key.as_str().to_owned(), seq: entry.seq, hash });
        if self.leaves.len() == LEAVES { self.list().await } else { Ok(()) }
    }

    async fn list(&mut self) -> Result<(), StoreError> {
        if self.leaves.is_empty() {
            return Ok(());
        }
        let part = self.rooting.parts.len();
        self.store.put_part(self.seq, &format!("{part:06}"), &self.leaves).await?;
        let hashes: Vec<[u8; 32]> = self.leaves.drain(..).map(|leaf| leaf.hash).collect();
        self.rooting.parts.push(subtree(&hashes));
        Ok(())
    }
}

impl Store {
    /// Makes the root of the days up to the one before `at` (in UTC) that have none yet. Made twice it is
    /// made once.
    ///
    /// # Errors
    /// When the tables cannot be read or written. What was listed by then is listed again.
    pub async fn make_root(
        &self,
        lifecycle: &Lifecycle,
        at: Timestamp,
    ) -> Result<RootOutcome, StoreError> {
        let last_day = day_of(at).saturating_sub(1.day());
        let recent = self.journal(&CustomerKey::roots(), RECENT, None).await?.items;
        let before = recent.first();
        let known = before.map(last_of);
        if known.as_deref().is_some_and(|known| *known >= *last_day.to_string()) {
            return Ok(RootOutcome::UpToDate);
        }
        let seq = before.map_or(1, |before| before.seq + 1);
        let mut listing =
            Listing { store: self, seq, leaves: Vec::new(), rooting: Rooting::default() };
        match known.and_then(|known| known.parse::<Date>().ok()) {
            None => self.list_all(&mut listing, &last_day.to_string()).await?,
            Some(known) => {
                self.list_late(&mut listing, known, &recent).await?;
                let mut day = known.saturating_add(1.day());
                while day <= last_day {
                    self.list_day(&mut listing, &day.to_string(), &BTreeSet::new()).await?;
                    day = day.saturating_add(1.day());
                }
            }
        }
        listing.list().await?;
        listing.rooting.days.entry(last_day.to_string()).or_default();
        let config = (lifecycle.hash.as_str(), lifecycle.version);
        let root = seal_root(&listing.rooting, at, config, before);
        // Another invocation may have been faster: its root is over the same.
        let is_made = self.put_root(&root).await?;
        Ok(if is_made { RootOutcome::Made(Box::new(root)) } else { RootOutcome::UpToDate })
    }

    /// Where there is no root yet: every entry up to a day.
    async fn list_all(&self, listing: &mut Listing<'_>, last: &str) -> Result<(), StoreError> {
        let mut cursor = None;
        loop {
            let page = self.journals(cursor.as_deref()).await?;
            for place in page.items {
                let Some(entry) = place.entry else { continue };
                let day = day_of(entry.at).to_string();
                if *day <= *last {
                    listing.add(&place.key, &day, &entry).await?;
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Entries of days that had their root before they were written: of days that have more entries than
    /// roots are over.
    async fn list_late(
        &self,
        listing: &mut Listing<'_>,
        last: Date,
        recent: &[JournalEntry],
    ) -> Result<(), StoreError> {
        for back in (0..LATE_DAYS).rev() {
            let day = last.saturating_sub(back.days()).to_string();
            let of_day = |root: &&JournalEntry| days_of(root).get(&day).is_some_and(|of| *of > 0);
            let roots: Vec<&JournalEntry> = recent.iter().filter(of_day).collect();
            let rooted: u64 = roots.iter().filter_map(|root| days_of(root).remove(&day)).sum();
            if self.count_of_day(&day).await? <= rooted {
                continue;
            }
            let mut known = BTreeSet::new();
            for root in roots {
                let mut cursor = None;
                loop {
                    let page = self.root_leaves(root.seq, cursor.as_deref()).await?;
                    let leaves = page.items.into_iter().flatten();
                    known.extend(leaves.map(|leaf| (leaf.customer, leaf.seq)));
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
            self.list_day(listing, &day, &known).await?;
        }
        Ok(())
    }

    async fn list_day(
        &self,
        listing: &mut Listing<'_>,
        day: &str,
        known: &BTreeSet<(String, u64)>,
    ) -> Result<(), StoreError> {
        let mut cursor = None;
        loop {
            let page = self.journal_of_day(day, cursor.as_deref()).await?;
            for (key, entry) in page.items {
                let is_known = known.contains(&(key.as_str().to_owned(), entry.seq));
                if !key.is_roots() && !is_known {
                    listing.add(&key, day, &entry).await?;
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// How many entries a day has, by the index alone.
    async fn count_of_day(&self, day: &str) -> Result<u64, StoreError> {
        let (mut count, mut start) = (0, None);
        loop {
            let query = self.query_day(day).set_exclusive_start_key(start);
            let output = self.one_page(query).await?;
            let roots = CustomerKey::roots();
            let is_root =
                |found: &&Item| found.get("pk").is_some_and(|pk| *pk == s(roots.as_str()));
            count += output.items().iter().filter(|found| !is_root(found)).count() as u64;
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(count);
            }
        }
    }

    /// A page of the list of what a root is over: part by part, in order.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn root_leaves(
        &self,
        seq: u64,
        cursor: Option<&str>,
    ) -> Result<Page<Vec<Leaf>>, StoreError> {
        let start = cursor_key(cursor)?;
        let (items, last) = self.query_control(&list_of(seq), PARTS, start, true).await?;
        let parts = items
            .iter()
            .map(|found| Reader { table: "control", item: found }.unpack::<Vec<Leaf>>("leaves"));
        Ok(Page { items: parts.collect::<Result<_, _>>()?, next_cursor: cursor_text(last) })
    }

    /// The hashes of the entries that leaves name, in their order; `None` where there is none that can be
    /// read.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn hashes_of(&self, leaves: &[Leaf]) -> Result<Vec<Option<[u8; 32]>>, StoreError> {
        let mut found = BTreeMap::new();
        for chunk in leaves.chunks(100) {
            // A list that somebody wrote may name one twice; a request may not.
            let wanted: BTreeSet<(&str, u64)> =
                chunk.iter().map(|leaf| (leaf.customer.as_str(), leaf.seq)).collect();
            let keys = wanted.into_iter().map(|(pk, sk)| item([("pk", s(pk)), ("sk", n(sk))]));
            let mut entries = Vec::new();
            self.read_entries(keys.collect(), &mut entries).await?;
            for (key, entry) in entries {
                found.extend(
                    hash_of(&entry).map(|hash| ((key.as_str().to_owned(), entry.seq), hash)),
                );
            }
        }
        let of = |leaf: &Leaf| found.get(&(leaf.customer.clone(), leaf.seq)).copied();
        Ok(leaves.iter().map(of).collect())
    }

    /// The roots that were not put where nobody can change them, the oldest first.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn roots_to_keep(&self) -> Result<Vec<JournalEntry>, StoreError> {
        let kept = self.get_control(KEPT.0, KEPT.1, true).await?;
        let kept = kept.map(|found| Reader { table: "control", item: &found }.number("seq"));
        let kept: u64 = kept.transpose()?.unwrap_or_default();
        let (mut roots, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.journal(&CustomerKey::roots(), RECENT, cursor.as_deref()).await?;
            let is_last = page.items.iter().any(|root| root.seq <= kept);
            roots.extend(page.items.into_iter().filter(|root| root.seq > kept));
            cursor = page.next_cursor.filter(|_| !is_last);
            if cursor.is_none() {
                roots.reverse();
                return Ok(roots);
            }
        }
    }

    /// Remembers up to which root all were put where nobody can change them.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn note_root_kept(&self, seq: u64) -> Result<(), StoreError> {
        let mut found = key(KEPT.0, KEPT.1);
        found.insert("seq".to_owned(), n(seq));
        self.put_control(found, None).await.map(|_| ())
    }

    /// Takes a customer's key out of the lists of the roots that are over its entries of some days.
    pub(super) async fn rename_in_roots(
        &self,
        of: &CustomerKey,
        to: &CustomerKey,
        days: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let mut cursor: Option<String> = None;
        loop {
            let page = self.journal(&CustomerKey::roots(), 1_000, cursor.as_deref()).await?;
            for root in page.items {
                if days_of(&root).keys().any(|day| days.contains(day)) {
                    self.rename_in_root(root.seq, of, to).await?;
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn rename_in_root(
        &self,
        seq: u64,
        of: &CustomerKey,
        to: &CustomerKey,
    ) -> Result<(), StoreError> {
        let mut start = None;
        loop {
            let (items, last) = self.query_control(&list_of(seq), PARTS, start, true).await?;
            for found in &items {
                let read = Reader { table: "control", item: found };
                let mut leaves: Vec<Leaf> = read.unpack("leaves")?;
                let mut renamed = 0;
                for leaf in leaves.iter_mut().filter(|leaf| leaf.customer == of.as_str()) {
                    to.as_str().clone_into(&mut leaf.customer);
                    renamed += 1;
                }
                if renamed > 0 {
                    self.put_part(seq, read.text("sk")?, &leaves).await?;
                }
            }
            start = last;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    async fn put_part(&self, seq: u64, part: &str, leaves: &[Leaf]) -> Result<(), StoreError> {
        let mut found = key(&list_of(seq), part);
        found.insert("leaves".to_owned(), b(codec::pack(&leaves)));
        self.put_control(found, None).await.map(|_| ())
    }

    /// Whether it was not there.
    async fn put_root(&self, root: &JournalEntry) -> Result<bool, StoreError> {
        let table = &self.tables.journal;
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(super::decisions::entry_item(&CustomerKey::roots(), root)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", table))?;
        self.transact(vec![TransactWriteItem::builder().put(put).build()]).await
    }
}

/// Where the list of a root is.
fn list_of(seq: u64) -> String {
    format!("root#{seq}")
}

fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The last day a root is of.
fn last_of(root: &JournalEntry) -> String {
    days_of(root).into_keys().next_back().unwrap_or_default()
}

/// The hash an entry was sealed with; none where it has no such.
fn hash_of(entry: &JournalEntry) -> Option<[u8; 32]> {
    let text = entry.hash.as_bytes();
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&entry.hash[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(hash)
}
