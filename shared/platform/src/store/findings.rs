//! Findings and waivers in the `control` table: lists for people, written in the transaction of the
//! decision they are of.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};
use domain::customer::Customer;
use domain::facts::Facts;
use domain::journal::{Change, Effect, JournalEntry, Reason, Was};
use domain::lifecycle::{FindingSeverity, Lifecycle};
use domain::tended::{Seen, Tended};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::control::DAY;
use super::read::{cursor_key, cursor_text};
use super::{CustomerKey, Page, Store, StoreError, Versioned};
use crate::codec;

/// The lists that findings are in.
pub(super) const LISTS: [&str; 2] = [OPEN, CLOSED];
const OPEN: &str = "findings#open";
const CLOSED: &str = "findings#closed";
/// The list of waivers.
pub(super) const WAIVERS: &str = "waivers";

/// A breach of a standard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The same breach has the same id.
    pub id: String,
    /// The customer's id.
    pub customer: String,
    /// The standard's name.
    pub standard: String,
    /// What makes this breach a different one from the next.
    pub key: String,
    /// How bad it is, by the lifecycle file that found it.
    pub severity: Option<FindingSeverity>,
    /// Who mends it.
    pub owner: Option<String>,
    /// The customer's stage at the time.
    pub stage: Option<String>,
    /// `open`, `acknowledged` or `closed`.
    pub state: String,
    /// When it was found.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// The evidence, or why it was closed.
    pub reasons: Vec<Reason>,
    /// Who saw it, and what it was worth to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Seen>,
    /// How often it was opened again after it was mended or waived.
    #[serde(default)]
    pub reopened: u32,
}

fn open_sort_key(opened_at: Timestamp, id: &str) -> String {
    format!("{opened_at}#{id}")
}

pub(super) fn finding_of(found: &Item) -> Result<Finding, StoreError> {
    let read = Reader { table: "control", item: found };
    let grown = |name| {
        codec::grow(read.bytes(name)?)
            .map_err(|source| StoreError::Codec { table: "control", source })
    };
    let wrong = |_| StoreError::Item { table: "control", what: "finding" };
    let mut finding: Finding = serde_json::from_slice(&grown("body")?).map_err(wrong)?;
    if found.contains_key("seen") {
        finding.acknowledged = Some(serde_json::from_slice(&grown("seen")?).map_err(wrong)?);
        finding.state = "acknowledged".to_owned();
    }
    Ok(finding)
}

fn packed(value: &impl Serialize) -> Vec<u8> {
    codec::shrink(&serde_json::to_vec(value).unwrap_or_default())
}

/// The same breach has the same id, wherever it is looked at.
#[must_use]
pub fn finding_id(customer: &Versioned, standard: &str, key: &str) -> String {
    id_of(&customer.key, standard, key)
}

fn id_of(customer: &CustomerKey, standard: &str, key: &str) -> String {
    use sha2::{Digest, Sha256};
    let name = format!("{}\u{0}{standard}\u{0}{key}", customer.as_str());
    domain::hex(&Sha256::digest(name.as_bytes())[..8])
}

fn waiver_sort_key(customer: &CustomerKey, standard: &str) -> String {
    id_of(customer, standard, "waiver")
}

/// Decisions about one customer, as far as they are about standards.
pub(super) struct FindingWrites<'a> {
    pub(super) store: &'a Store,
    pub(super) before: &'a Versioned,
    pub(super) after: &'a Customer,
    pub(super) lifecycle: &'a Lifecycle,
    pub(super) changes: &'a [Change],
}

impl FindingWrites<'_> {
    /// What one of the changes does to the lists of findings: at most two writes.
    pub(super) fn of(
        &self,
        change: &Change,
        entry: &JournalEntry,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let at = entry.at;
        let before = &self.before.customer.status;
        let tended = change.effect.standard().and_then(|name| before.tended.get(name));
        match &change.effect {
            Effect::OpenFinding { standard, key } => {
                Ok(vec![self.put_open(&self.record(standard, key, at, entry))?])
            }
            Effect::ReopenFinding { standard, key, opened_at, was } => {
                let finding = self.record(standard, key, *opened_at, entry);
                let mut writes = vec![self.put_open(&finding)?];
                if let Was::Closed(closed_at) = was {
                    let sk = open_sort_key(*closed_at, &finding.id);
                    writes.push(self.delete(CLOSED, &sk)?);
                }
                Ok(writes)
            }
            Effect::CloseFinding { standard, key } => {
                let open = before.findings.iter();
                let open = open.clone().find(|f| f.standard == *standard && f.key == *key);
                let hidden = tended.and_then(|tended| tended.waiver.as_ref()?.hides.as_ref());
                let opened_at = open.map(|finding| finding.opened_at);
                let opened_at = opened_at.or(hidden.map(|hidden| hidden.opened_at)).unwrap_or(at);
                let mut finding = self.record(standard, key, opened_at, entry);
                (finding.state, finding.closed_at) = ("closed".to_owned(), Some(at));
                let was = |tended: &Tended| (tended.acknowledged.clone(), tended.reopened);
                (finding.acknowledged, finding.reopened) = tended.map(was).unwrap_or_default();
                let mut writes = vec![self.put_closed(&finding, at)?];
                if open.is_some() {
                    writes.push(self.delete(OPEN, &open_sort_key(opened_at, &finding.id))?);
                }
                Ok(writes)
            }
            Effect::AcknowledgeFinding { standard, key, .. } => {
                let open = before.findings.iter();
                let open = open.clone().find(|f| f.standard == *standard && f.key == *key);
                let seen = self.after.status.tended.get(standard);
                let seen = seen.and_then(|tended| tended.acknowledged.as_ref());
                let (Some(open), Some(seen)) = (open, seen) else { return Ok(Vec::new()) };
                Ok(vec![self.note_seen(standard, key, open.opened_at, seen)?])
            }
            Effect::Waive { standard, hides: Some((key, opened_at)), .. } => {
                let id = finding_id(self.before, standard, key);
                Ok(vec![self.delete(OPEN, &open_sort_key(*opened_at, &id))?])
            }
            Effect::Waive { .. } | Effect::Unwaive { .. } => Ok(Vec::new()),
            Effect::EnterStage
            | Effect::EnterBand
            | Effect::MoveByHand { .. }
            | Effect::Release(_)
            | Effect::Note(_)
            | Effect::OpenHandoff { .. }
            | Effect::AcknowledgeHandoff(_)
            | Effect::ReachCheckpoint { .. }
            | Effect::MeetStandard { .. }
            | Effect::Revise
            | Effect::Task(_) => Ok(Vec::new()),
        }
    }

    /// What all of the changes do to the list of waivers: one write for each that begins, ends or gets
    /// another end.
    pub(super) fn waivers(&self, at: Timestamp) -> Result<Vec<TransactWriteItem>, StoreError> {
        let standards = self.changes.iter().filter_map(|change| change.effect.standard());
        let standards: BTreeSet<&str> = standards.collect();
        let mut writes = Vec::new();
        for standard in standards {
            let until = |customer: &Customer| {
                Some(customer.status.tended.get(standard)?.waiver.as_ref()?.until)
            };
            if until(&self.before.customer) == until(self.after) {
                continue;
            }
            // One that a person ended may be remembered for what it hid.
            match self.after.status.waived(standard, at) {
                Some(waiver) => writes.push(self.put_waiver(standard, waiver.until)?),
                None => writes.push(self.end_waiver(standard)?),
            }
        }
        Ok(writes)
    }

    fn record(
        &self,
        standard: &str,
        breach: &str,
        opened_at: Timestamp,
        entry: &JournalEntry,
    ) -> Finding {
        let rules = Facts::new(self.after, self.lifecycle, entry.at).rules();
        let declared = rules.standard(standard);
        let status = &self.after.status;
        Finding {
            id: finding_id(self.before, standard, breach),
            customer: self.before.key.id().to_owned(),
            standard: standard.to_owned(),
            key: breach.to_owned(),
            severity: declared.map(|standard| standard.severity),
            owner: declared.map(|standard| standard.owner.clone()),
            stage: status.stage.as_ref().map(|stage| stage.name.clone()),
            state: "open".to_owned(),
            opened_at,
            closed_at: None,
            reasons: entry.reasons.clone(),
            acknowledged: None,
            reopened: status.tended.get(standard).map_or(0, |tended| tended.reopened),
        }
    }

    fn put_open(&self, finding: &Finding) -> Result<TransactWriteItem, StoreError> {
        let mut found = key(OPEN, &open_sort_key(finding.opened_at, &finding.id));
        found.insert("body".to_owned(), b(packed(finding)));
        self.put(found)
    }

    fn put_closed(
        &self,
        finding: &Finding,
        at: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut found = key(CLOSED, &open_sort_key(at, &finding.id));
        found.insert("body".to_owned(), b(packed(finding)));
        let keep = i64::from(self.store.event_retention_days) * DAY;
        found.insert("expires".to_owned(), n(at.as_second() + keep));
        self.put(found)
    }

    /// Who lets a customer off a standard is kept with the customer; here is only which one.
    fn put_waiver(
        &self,
        standard: &str,
        until: Option<Timestamp>,
    ) -> Result<TransactWriteItem, StoreError> {
        let customer = &self.before.key;
        let mut found = key(WAIVERS, &waiver_sort_key(customer, standard));
        found.extend(item([("customer", s(customer.as_str())), ("standard", s(standard))]));
        if let Some(until) = until {
            let keep = i64::from(self.store.event_retention_days) * DAY;
            found.insert("expires".to_owned(), n(until.as_second() + keep));
        }
        self.put(found)
    }

    fn end_waiver(&self, standard: &str) -> Result<TransactWriteItem, StoreError> {
        self.delete(WAIVERS, &waiver_sort_key(&self.before.key, standard))
    }

    fn note_seen(
        &self,
        standard: &str,
        breach: &str,
        opened_at: Timestamp,
        seen: &Seen,
    ) -> Result<TransactWriteItem, StoreError> {
        let table = &self.store.tables.control;
        let id = finding_id(self.before, standard, breach);
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key(OPEN, &open_sort_key(opened_at, &id))))
            .update_expression("SET seen = :seen")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":seen", b(packed(seen)))
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn put(&self, found: Item) -> Result<TransactWriteItem, StoreError> {
        let table = &self.store.tables.control;
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(found))
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn delete(&self, list: &str, sk: &str) -> Result<TransactWriteItem, StoreError> {
        let table = &self.store.tables.control;
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key(list, sk)))
            .build()
            .map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}

/// A customer that is let off a standard.
#[derive(Debug, Clone, PartialEq)]
pub struct WaivedStandard {
    /// The customer; who waived the standard, why and until when is with it.
    pub customer: Versioned,
    /// The standard.
    pub standard: String,
}

impl Store {
    /// A page of findings in a state (`open` or `closed`), newest first.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn findings(
        &self,
        state: &str,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<Finding>, StoreError> {
        let start = cursor_key(cursor)?;
        let pk = format!("findings#{state}");
        let (items, last) = self.query_control(&pk, limit, start, false).await?;
        let items = items.iter().map(finding_of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: cursor_text(last) })
    }

    /// A page of waivers that are in force at an instant, in no order of interest. One that has run
    /// out, or whose customer is a part of another one now, is left out, so that a page may be short.
    ///
    /// # Errors
    /// When the tables cannot be read, or the cursor is none of ours.
    pub async fn waivers(
        &self,
        now: Timestamp,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<WaivedStandard>, StoreError> {
        let (items, last) = self.query_control(WAIVERS, limit, cursor_key(cursor)?, true).await?;
        let mut listed = Vec::with_capacity(items.len());
        for found in &items {
            let read = Reader { table: "control", item: found };
            let customer = CustomerKey::stored(read.text("customer")?);
            listed.push((customer, read.text("standard")?.to_owned()));
        }
        let mut keys: Vec<CustomerKey> = listed.iter().map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys.dedup();
        let customers = self.customers_by_key(&keys).await?;
        let waived = listed.into_iter().filter_map(|(key, standard)| {
            let customer = customers.iter().find(|found| found.key == key)?;
            customer.customer.status.waived(&standard, now)?;
            Some(WaivedStandard { customer: customer.clone(), standard })
        });
        Ok(Page { items: waived.collect(), next_cursor: cursor_text(last) })
    }

    /// Deletes the waivers of a customer from their list.
    pub(super) async fn erase_waivers(&self, of: &CustomerKey) -> Result<(), StoreError> {
        for found in self.query_all_control(WAIVERS).await? {
            let read = Reader { table: "control", item: &found };
            if read.text("customer")? == of.as_str() {
                self.delete_control(WAIVERS, read.text("sk")?).await?;
            }
        }
        Ok(())
    }
}
