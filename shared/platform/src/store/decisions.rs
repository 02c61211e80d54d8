//! Making decisions true: the customer, its journal entries and its findings in one transaction.
//!
//! No journal entry, no change: both are in the same `TransactWriteItems`, on condition that the
//! customer is still the one that was decided about.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, ReturnConsumedCapacity, TransactWriteItem, Update};
use domain::customer::{Customer, RiskNote};
use domain::journal::{Change, ChangeKind, JournalEntry};
use domain::lifecycle::Lifecycle;
use domain::replay::{in_order, profile_at};
use domain::revision::{instants, revisions};
use jiff::Timestamp;

use super::attributes::{Item, item, n, s};
use super::customers::{CustomerUpdate, Due, Late, Parts};
use super::findings::FindingWrites;
use super::{CustomerKey, Store, StoreError, Versioned};
use crate::meter::Access;

/// DynamoDB takes 100 writes in one transaction: the customer, and so many revisions.
const MAX_REVISIONS: usize = 90;
/// So many of the newest entries of a journal are looked at again.
const MAX_ENTRIES: usize = 5_000;

/// Decisions about one customer, to be made true together.
#[derive(Debug, Clone, PartialEq)]
pub struct Decisions {
    /// What changes; each gets a journal entry.
    pub changes: Vec<Change>,
    /// A new assessment of risk, when there is one worth writing.
    pub risk: Option<RiskNote>,
    /// Whether the customer's `due` entry has been dealt with.
    pub settles_due: bool,
}

impl Decisions {
    /// Whether they change anything but the customer's `due` entry.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !self.changes.is_empty() || self.risk.is_some()
    }

    /// How many writes of one transaction they take at most.
    pub(crate) fn writes(&self) -> usize {
        // The customer, and for each change its entry and a finding or a task taken from one list to
        // another.
        1 + 3 * self.changes.len()
    }

    /// Changes and nothing else.
    #[must_use]
    pub fn of(changes: Vec<Change>) -> Decisions {
        Decisions { changes, risk: None, settles_due: false }
    }
}

/// What became of decisions.
#[derive(Debug, Clone, PartialEq)]
pub enum DecisionOutcome {
    /// They are true now, and these entries say so.
    Written(Vec<JournalEntry>),
    /// The customer changed since it was read: decide again.
    Stale,
    /// There was nothing to write.
    Nothing,
}

/// What making decisions true takes.
enum Prepared {
    /// Nothing.
    Nothing,
    /// One update: no journal entry is due.
    Update(CustomerUpdate),
    /// One transaction.
    Transaction { writes: Vec<TransactWriteItem>, entries: Vec<JournalEntry> },
}

impl Store {
    /// Makes decisions true, or nothing.
    ///
    /// # Errors
    /// When the tables cannot be written. Whether the decisions stand is then unknown; deciding
    /// again from a fresh read is safe.
    pub async fn decide(
        &self,
        before: &Versioned,
        decisions: &Decisions,
        lifecycle: &Lifecycle,
        at: Timestamp,
    ) -> Result<DecisionOutcome, StoreError> {
        match self.prepare(before, decisions, lifecycle, at)? {
            Prepared::Nothing => Ok(DecisionOutcome::Nothing),
            Prepared::Update(update) => {
                Ok(match self.update_customer(&before.key, update).await? {
                    true => DecisionOutcome::Written(Vec::new()),
                    false => DecisionOutcome::Stale,
                })
            }
            Prepared::Transaction { writes, entries } => Ok(match self.transact(writes).await? {
                true => DecisionOutcome::Written(entries),
                false => DecisionOutcome::Stale,
            }),
        }
    }

    /// Makes decisions about many customers true, several in one transaction: it costs the same
    /// units and a fraction of the calls. Answers which customers have to be looked at again,
    /// because one of their group changed meanwhile: nothing of that group was written.
    ///
    /// # Errors
    /// As [`Store::decide`], for one group.
    pub(crate) async fn decide_group(
        &self,
        group: &[(Versioned, Decisions)],
        lifecycle: &Lifecycle,
        at: Timestamp,
    ) -> Result<DecisionOutcome, StoreError> {
        if let [(before, decisions)] = group {
            return self.decide(before, decisions, lifecycle, at).await;
        }
        let (mut all, mut sealed) = (Vec::new(), Vec::new());
        for (before, decisions) in group {
            match self.prepare(before, decisions, lifecycle, at)? {
                Prepared::Nothing => {}
                Prepared::Update(_) => return Ok(DecisionOutcome::Stale),
                Prepared::Transaction { writes, entries } => {
                    all.extend(writes);
                    sealed.extend(entries);
                }
            }
        }
        Ok(match all.is_empty() || self.transact(all).await? {
            true => DecisionOutcome::Written(sealed),
            false => DecisionOutcome::Stale,
        })
    }

    fn prepare(
        &self,
        before: &Versioned,
        decisions: &Decisions,
        lifecycle: &Lifecycle,
        at: Timestamp,
    ) -> Result<Prepared, StoreError> {
        let mut after = before.customer.clone();
        if let Some(note) = &decisions.risk {
            after.status.note_risk(note.clone());
        }
        let mut entries = Vec::new();
        for change in &decisions.changes {
            entries.push(after.status.apply(change, at, lifecycle));
        }
        let coming =
            match decisions.changes.iter().any(|change| change.kind() == ChangeKind::Release) {
                // What automation proposed meanwhile is for the next run.
                true => Some(at),
                false => super::commit::coming(&after, lifecycle, at),
            };
        let due = match (coming, decisions.settles_due) {
            (Some(instant), true) => Due::At(instant),
            (Some(instant), false) if before.due_at.is_none_or(|due| due > instant) => {
                Due::At(instant)
            }
            (None, true) => Due::Clear,
            (_, false) => Due::Keep,
        };
        let settles = match due {
            Due::Keep => false,
            Due::Clear => before.due_at.is_some(),
            Due::At(instant) => before.due_at != Some(instant),
        };
        if entries.is_empty() && after.status == before.customer.status && !settles {
            return Ok(Prepared::Nothing);
        }
        let update = CustomerUpdate::new(before, &after, Parts::Status, (due, Late::Keep), at);
        if entries.is_empty() {
            return Ok(Prepared::Update(update));
        }
        let mut writes = vec![self.transact_update(before, update)?];
        let told = (decisions.changes.as_slice(), entries.as_slice());
        writes.extend(self.transact_changes(before, &after, told, lifecycle)?);
        Ok(Prepared::Transaction { writes, entries })
    }

    /// Looks at past decisions again where events came late after them, or were erased: a decision
    /// that would have been another gets an entry that says so. Answers the customer as it then is.
    /// Of a customer to whom nothing came late nothing is read. One that had more accounts below it
    /// than count is left alone.
    ///
    /// # Errors
    /// When the tables cannot be read or written; doing it again is safe.
    pub(crate) async fn revise(
        &self,
        found: Versioned,
        lifecycle: &Lifecycle,
        at: Timestamp,
    ) -> Result<Versioned, StoreError> {
        let Some(since) = found.late_from else { return Ok(found) };
        let journal = self.newest_entries(&found).await?;
        let instants = instants(lifecycle, &journal, since);
        let mut revised = match self.below_at(&found.key, lifecycle, &instants).await? {
            Some(below) => {
                let log = in_order(self.whole_log(&found.key).await?);
                revisions(lifecycle, &journal, &log, &below, since)
            }
            None => {
                tracing::warn!(
                    "past decisions about an account with very many below it stay as they are"
                );
                Vec::new()
            }
        };
        // The newest are kept where there are more than fit one transaction.
        revised.drain(..revised.len().saturating_sub(MAX_REVISIONS));
        let mut after = found.customer.clone();
        let entries: Vec<JournalEntry> =
            revised.iter().map(|change| after.status.apply(change, at, lifecycle)).collect();
        let marks = (Due::Keep, Late::Clear);
        let update = CustomerUpdate::new(&found, &after, Parts::Status, marks, at);
        if entries.is_empty() {
            self.update_customer(&found.key, update).await?;
        } else {
            let mut writes = vec![self.transact_update(&found, update)?];
            for entry in &entries {
                writes.push(self.transact_entry(&found, entry)?);
            }
            // Where somebody was faster the mark stays, and the next visit looks again.
            self.transact(writes).await?;
        }
        self.customer_now(&found.key).await
    }

    /// The customer as of a past instant: where its profile was folded so much later that windows as of
    /// then are emptied, folded again from the log as far as then. Nothing of that is kept. Answers
    /// `None` where nothing had happened yet.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(crate) async fn as_of(
        &self,
        mut found: Versioned,
        lifecycle: &Lifecycle,
        at: Timestamp,
    ) -> Result<Option<Versioned>, StoreError> {
        if !found.customer.profile.reaches_back_to(at) {
            let log = in_order(self.whole_log(&found.key).await?);
            found.customer.profile = profile_at(lifecycle, &log, at);
            if found.customer.profile.is_new() {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// The journal of a customer, newest first, as far back as decisions are revised.
    async fn newest_entries(&self, found: &Versioned) -> Result<Vec<JournalEntry>, StoreError> {
        let mut entries = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.journal(&found.key, 1_000, cursor.as_deref()).await?;
            entries.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || entries.len() >= MAX_ENTRIES {
                return Ok(entries);
            }
        }
    }

    /// The entries of changes, and the records of the findings and tasks among them.
    pub(super) fn transact_changes(
        &self,
        before: &Versioned,
        after: &Customer,
        (changes, entries): (&[Change], &[JournalEntry]),
        lifecycle: &Lifecycle,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut writes = Vec::new();
        for entry in entries {
            writes.push(self.transact_entry(before, entry)?);
        }
        let told = FindingWrites { store: self, before, after, lifecycle, changes };
        for (change, entry) in changes.iter().zip(entries) {
            writes.extend(told.of(change, entry)?);
        }
        if let Some(entry) = entries.first() {
            writes.extend(told.waivers(entry.at)?);
            let as_of = (lifecycle, entry.at);
            writes.extend(self.transact_tasks(before, after, changes, as_of)?);
        }
        Ok(writes)
    }

    pub(super) fn transact_update(
        &self,
        before: &Versioned,
        update: CustomerUpdate,
    ) -> Result<TransactWriteItem, StoreError> {
        let names = update.names();
        let update = Update::builder()
            .table_name(&self.tables.customers)
            .key("pk", s(before.key.as_str()))
            .set_expression_attribute_names(names)
            .update_expression(update.expression)
            .condition_expression(update.condition)
            .set_expression_attribute_values(Some(update.values))
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", &self.tables.customers))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn transact_entry(
        &self,
        before: &Versioned,
        entry: &JournalEntry,
    ) -> Result<TransactWriteItem, StoreError> {
        self.transact_entry_under(&before.key, entry)
    }

    /// The next entry of a journal.
    pub(super) fn transact_entry_under(
        &self,
        key: &CustomerKey,
        entry: &JournalEntry,
    ) -> Result<TransactWriteItem, StoreError> {
        let table = &self.tables.journal;
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(entry_item(key, entry)?))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes all or nothing: whether every condition held. What is done under a key is marked as done
    /// with it, and not done where it is marked already.
    pub(super) async fn transact(
        &self,
        mut writes: Vec<TransactWriteItem>,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.customers;
        let mark = self.mark()?;
        let place_of_mark = mark.as_ref().map(|_| writes.len());
        writes.extend(mark);
        let written = self
            .client
            .transact_write_items()
            .set_transact_items(Some(writes))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match written {
            Ok(output) => {
                self.meter.add(&self.tables, Access::Write, output.consumed_capacity());
                self.marked(true);
                Ok(true)
            }
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
                    if place_of_mark
                        .and_then(|place| cancelled.cancellation_reasons().get(place))
                        .is_some_and(|reason| reason.code() == Some("ConditionalCheckFailed")) =>
                {
                    self.marked(false);
                    Err(StoreError::Repeated)
                }
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
                    if cancelled.cancellation_reasons().iter().any(|reason| {
                        matches!(
                            reason.code(),
                            Some("ConditionalCheckFailed" | "TransactionConflict")
                        )
                    }) =>
                {
                    Ok(false)
                }
                _ => Err(StoreError::call("TransactWriteItems", table)(error)),
            },
        }
    }
}

/// An entry of a journal as it is kept.
pub(super) fn entry_item(key: &CustomerKey, entry: &JournalEntry) -> Result<Item, StoreError> {
    let at = entry.at.to_string();
    let json = serde_json::to_string(entry);
    let json = json.map_err(|_| StoreError::Item { table: "journal", what: "entry" })?;
    Ok(item([
        ("pk", s(key.as_str())),
        ("sk", n(entry.seq)),
        ("day", s(&at[..10])),
        ("at", s(at.clone())),
        ("entry", s(json)),
    ]))
}
