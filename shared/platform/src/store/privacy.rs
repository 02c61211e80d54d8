//! Requests to suppress and to erase, and everything held about one id.
//!
//! A request is written down before anything is done, its ids in parts; a part that is done is
//! deleted, so that a worker that was cut off goes on with what is left, and no id outlives its
//! request. What is kept of a finished request are its numbers.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use domain::customer::Customer;
use domain::event::Event;
use domain::journal::JournalEntry;
use domain::lifecycle::{Lifecycle, Subject};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::customers::Freshness;
use super::erase::{Erasure, is_about, names};
use super::findings::{Finding, LISTS, finding_of};
use super::log::Reach;
use super::quarantine::{Quarantined, quarantined_of};
use super::read::{Page, cursor_key, cursor_text};
use super::suppression::{Person, Turn, random_hex};
use super::tasks::{TaskRecord, is_record_of, record_of};
use super::{CustomerKey, Store, StoreError, Versioned};
use crate::codec;
use crate::meter::Access;

/// How many ids a request may have.
pub const MAX_IDS: usize = 5_000;
/// How many of them are erased between two looks at the time.
const PART: usize = 50;
/// For how long it is remembered that there was a request.
const KEEP_DAYS: i64 = 400;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PrivacyAction {
    /// Turn the ids away at the door.
    SuppressOnly,
    /// Let them in again.
    Unsuppress,
    /// Turn them away, and erase what is held.
    SuppressWithDelete,
    /// Erase what is held.
    DeleteOnly,
}

impl PrivacyAction {
    /// Whether anything is erased.
    #[must_use]
    pub fn erases(self) -> bool {
        matches!(self, PrivacyAction::SuppressWithDelete | PrivacyAction::DeleteOnly)
    }
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PrivacyState {
    /// It is written down.
    Initialized,
    /// It is being done.
    Running,
    /// It is done.
    Finished,
    /// None of it could be done.
    Failed,
    /// Some of its ids could not be done.
    PartialSuccess,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrivacyRequest {
    /// Sorts by time.
    pub id: String,
    /// What is asked for.
    #[serde(rename = "type")]
    pub action: PrivacyAction,
    /// Whose ids they are.
    pub subject: Person,
    /// How far it has come.
    pub state: PrivacyState,
    /// How many ids it has.
    pub ids: u64,
    /// How many of them are done.
    pub done: u64,
    /// How many could not be.
    pub failed: u64,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
}

/// Everything held about one id.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The customers that are the id's alone.
    pub customers: Vec<Versioned>,
    /// Every id that is the same person.
    pub ids: BTreeSet<String>,
    /// The accounts a user was told to belong to.
    pub accounts: BTreeSet<String>,
    /// Their events, and those about the user in the accounts.
    pub events: Vec<(CustomerKey, Event)>,
    /// Decisions about the customers.
    pub journal: Vec<(CustomerKey, JournalEntry)>,
    /// Findings about them.
    pub findings: Vec<Finding>,
    /// Tasks about them.
    pub tasks: Vec<TaskRecord>,
    /// What was set aside and names the id.
    pub quarantine: Vec<Quarantined>,
    /// Whether the id is turned away at the door, as a user's and as an account's.
    pub suppressed: (bool, bool),
}

impl Store {
    /// Writes a request down. What needs no worker is done when this returns.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn request_privacy(
        &self,
        action: PrivacyAction,
        subject: Person,
        ids: &[String],
        now: Timestamp,
    ) -> Result<PrivacyRequest, StoreError> {
        let id = format!("{:013}-{}", now.as_millisecond(), random_hex()?);
        let mut request = PrivacyRequest {
            id,
            action,
            subject,
            state: PrivacyState::Initialized,
            ids: ids.len() as u64,
            done: 0,
            failed: 0,
            created_at: now,
            finished_at: None,
        };
        match action {
            PrivacyAction::SuppressOnly | PrivacyAction::SuppressWithDelete => {
                self.turn(Turn::Away, subject, ids).await?;
            }
            PrivacyAction::Unsuppress => self.turn(Turn::In, subject, ids).await?,
            PrivacyAction::DeleteOnly => {}
        }
        if action.erases() {
            for (at, part) in ids.chunks(PART).enumerate() {
                let mut found = key(&parts_of(&request.id), &format!("{at:05}"));
                let expires = n(now.as_second() + KEEP_DAYS * 86_400);
                found.extend(item([("ids", b(codec::pack(&part))), ("expires", expires)]));
                self.put_control(found, None).await?;
            }
        } else {
            (request.state, request.done) = (PrivacyState::Finished, request.ids);
            request.finished_at = Some(now);
        }
        self.makes(&request.id);
        self.put_together(vec![request_item(&request)]).await?;
        Ok(request)
    }

    /// A request.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn privacy_request(&self, id: &str) -> Result<Option<PrivacyRequest>, StoreError> {
        if id.is_empty() || id.len() > 64 {
            return Ok(None);
        }
        let found = self.get_control("privacy", id, true).await?;
        found.as_ref().map(request_of).transpose()
    }

    /// A page of requests, newest first.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn privacy_requests(
        &self,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<PrivacyRequest>, StoreError> {
        let start = cursor_key(cursor)?;
        let (items, last) = self.query_control("privacy", limit, start, false).await?;
        let items = items.iter().map(request_of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: cursor_text(last) })
    }

    /// Does what a request asks for, part by part, until it is done or `is_over` says to stop: the
    /// request as it then is. Doing it again goes on.
    ///
    /// # Errors
    /// When the tables cannot be used. An id that cannot be erased for another reason is counted as
    /// failed and logged.
    pub async fn run_privacy_request(
        &self,
        id: &str,
        lifecycle: &Lifecycle,
        now: Timestamp,
        is_over: &mut (dyn FnMut(&PrivacyRequest) -> bool + Send),
    ) -> Result<Option<PrivacyRequest>, StoreError> {
        let Some(mut request) = self.privacy_request(id).await? else { return Ok(None) };
        if request.finished_at.is_some() {
            return Ok(Some(request));
        }
        let erasure = Erasure { lifecycle, until: request.created_at, now };
        for found in self.query_all_control(&parts_of(id)).await? {
            let read = Reader { table: "control", item: &found };
            let ids: Vec<String> = read.unpack("ids")?;
            let failed = self.erase_part(request.subject, &found, &ids, &erasure).await?;
            // They may name them; the next ones do not.
            self.forget_overview().await?;
            self.forget_answers().await?;
            // Whoever deletes the part counts it.
            if self.delete_control(&parts_of(id), read.text("sk")?).await? {
                self.count_part(id, ids.len() as u64, failed).await?;
            }
            request = self.privacy_request(id).await?.unwrap_or(request);
            if is_over(&request) {
                return Ok(Some(request));
            }
        }
        request.state = match request.failed {
            0 => PrivacyState::Finished,
            failed if failed == request.ids => PrivacyState::Failed,
            _ => PrivacyState::PartialSuccess,
        };
        request.finished_at = Some(now);
        self.put_control(request_item(&request), None).await?;
        Ok(Some(request))
    }

    /// Erases the ids of a part: how many of them could not be.
    ///
    /// The other ids of the same persons are written down first: what tells of them is erased too.
    async fn erase_part(
        &self,
        subject: Person,
        part: &Item,
        ids: &[String],
        erasure: &Erasure<'_>,
    ) -> Result<u64, StoreError> {
        let mut known: BTreeSet<String> = ids.iter().cloned().collect();
        if part.contains_key("same") {
            let same: Vec<String> = Reader { table: "control", item: part }.unpack("same")?;
            known.extend(same);
        }
        let all = self.same_as(subject, &known, erasure.lifecycle).await?;
        if all != known {
            let mut part = part.clone();
            let all: Vec<&String> = all.iter().collect();
            part.insert("same".to_owned(), b(codec::pack(&all)));
            self.put_control(part, None).await?;
        }
        let failed = match self.erase(subject, &all, erasure).await {
            Ok(()) => 0,
            Err(error) if error.retryable() => return Err(error),
            Err(_) => self.erase_each(subject, ids, erasure).await?,
        };
        self.erase_quarantined(&all).await?;
        Ok(failed)
    }

    /// Erases ids one by one, so that one that cannot be leaves none of the others: how many cannot.
    async fn erase_each(
        &self,
        subject: Person,
        ids: &[String],
        erasure: &Erasure<'_>,
    ) -> Result<u64, StoreError> {
        let mut failed = 0;
        for id in ids {
            let erased = async {
                let same = self.same_as(subject, &[id.clone()].into(), erasure.lifecycle).await?;
                self.erase(subject, &same, erasure).await
            };
            match erased.await {
                Ok(()) => {}
                Err(error) if error.retryable() => return Err(error),
                Err(error) => {
                    failed += 1;
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "an id could not be erased");
                }
            }
        }
        Ok(failed)
    }

    async fn count_part(&self, id: &str, done: u64, failed: u64) -> Result<(), StoreError> {
        let table = &self.tables.control;
        let output = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(key("privacy", id)))
            .update_expression("SET #state = :running ADD done :done, failed :failed")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":running", s(word(&PrivacyState::Running)))
            .expression_attribute_values(":done", n(done - failed))
            .expression_attribute_values(":failed", n(failed))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::call("UpdateItem", table))?;
        self.meter.add(&self.tables, Access::Write, output.consumed_capacity.as_slice());
        Ok(())
    }

    // ---- export ----

    /// Everything held about an id, be it a user's or an account's.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn held_about(&self, id: &str, lifecycle: &Lifecycle) -> Result<Held, StoreError> {
        let own = [id.to_owned()].into();
        let mut held =
            Held { ids: self.same_as(Person::User, &own, lifecycle).await?, ..Held::default() };
        let mut keys: BTreeSet<CustomerKey> =
            CustomerKey::candidates(id, lifecycle.subject).into_iter().collect();
        for same in &held.ids {
            if lifecycle.subject == Subject::Account {
                keys.insert(CustomerKey::unlinked_user(same));
                let accounts = self.accounts_of(same).await?;
                held.accounts.extend(accounts.iter().map(|account| account.id().to_owned()));
            } else {
                keys.insert(CustomerKey::subject(same));
            }
        }
        for key in &keys {
            let found = self.read_customer(key, Freshness::Strong).await?;
            let log = self.log(key, Reach::Whole).await?;
            held.events.extend(log.into_iter().map(|event| (key.clone(), event)));
            let entries = self.whole_journal(key).await?;
            held.journal.extend(entries.into_iter().map(|entry| (key.clone(), entry)));
            if found.version > 0 {
                held.customers.push(found);
            }
        }
        let accounts = held.accounts.iter().map(|account| CustomerKey::subject(account));
        for key in accounts.filter(|key| !keys.contains(key)).collect::<Vec<_>>() {
            let log = self.log(&key, Reach::Whole).await?;
            let about = log.into_iter().filter(|event| is_about(&event.body, &held.ids));
            held.events.extend(about.map(|event| (key.clone(), event)));
        }
        let customers: BTreeSet<&str> = keys.iter().map(CustomerKey::id).collect();
        for list in LISTS {
            for found in self.query_all_control(list).await? {
                let finding = finding_of(&found)?;
                if customers.contains(finding.customer.as_str()) {
                    held.findings.push(finding);
                }
            }
        }
        for list in [super::tasks::OPEN, super::tasks::CLOSED] {
            for found in self.query_all_control(list).await? {
                let record = record_of(&found)?;
                if keys.iter().any(|key| is_record_of(&found, &record, key)) {
                    held.tasks.push(record);
                }
            }
        }
        for found in self.query_all_control("quarantine").await? {
            let quarantined = quarantined_of(&found)?;
            let is_named = match serde_json::from_str(&quarantined.raw) {
                Ok(body) => names(&body, &held.ids),
                Err(_) => held
                    .ids
                    .iter()
                    .any(|id| quarantined.raw.contains(&Json::from(id.as_str()).to_string())),
            };
            let is_shared = quarantined.shared.as_ref();
            if is_named || is_shared.is_some_and(|shared| names(shared, &held.ids)) {
                held.quarantine.push(quarantined);
            }
        }
        let suppressed = self.suppressed().await?;
        held.suppressed = (suppressed.has(Person::User, id), suppressed.has(Person::Account, id));
        Ok(held)
    }

    async fn whole_journal(&self, key: &CustomerKey) -> Result<Vec<JournalEntry>, StoreError> {
        let (mut entries, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.journal(key, 1_000, cursor.as_deref()).await?;
            entries.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                entries.reverse();
                return Ok(entries);
            }
        }
    }
}

fn parts_of(id: &str) -> String {
    format!("privacy#{id}")
}

/// The word of the wire format.
fn word<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn request_item(request: &PrivacyRequest) -> Item {
    let mut found = key("privacy", &request.id);
    found.extend(item([
        ("type", s(word(&request.action))),
        ("subject", s(word(&request.subject))),
        ("state", s(word(&request.state))),
        ("ids", n(request.ids)),
        ("done", n(request.done)),
        ("failed", n(request.failed)),
        ("created_at", n(request.created_at.as_millisecond())),
        ("expires", n(request.created_at.as_second() + KEEP_DAYS * 86_400)),
    ]));
    if let Some(at) = request.finished_at {
        found.insert("finished_at".to_owned(), n(at.as_millisecond()));
    }
    found
}

fn request_of(found: &Item) -> Result<PrivacyRequest, StoreError> {
    let read = Reader { table: "control", item: found };
    let wrong = |what| StoreError::Item { table: "control", what };
    let instant = |ms| Timestamp::from_millisecond(ms).map_err(|_| wrong("created_at"));
    let parse = |what| Ok::<_, StoreError>(Json::from(read.text(what)?));
    Ok(PrivacyRequest {
        id: read.text("sk")?.to_owned(),
        action: serde_json::from_value(parse("type")?).map_err(|_| wrong("type"))?,
        subject: serde_json::from_value(parse("subject")?).map_err(|_| wrong("subject"))?,
        state: serde_json::from_value(parse("state")?).map_err(|_| wrong("state"))?,
        ids: read.number("ids")?,
        done: read.number("done")?,
        failed: read.number("failed")?,
        created_at: instant(read.number("created_at")?)?,
        finished_at: read.maybe_number("finished_at").map(instant).transpose()?,
    })
}

impl Held {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.customers.is_empty()
            && self.accounts.is_empty()
            && self.events.is_empty()
            && self.journal.is_empty()
            && self.findings.is_empty()
            && self.tasks.is_empty()
            && self.quarantine.is_empty()
            && self.suppressed == (false, false)
    }

    /// As JSON, for whoever asked.
    #[must_use]
    pub fn to_json(&self, id: &str, now: Timestamp) -> Json {
        let events = self.events.iter().map(|(customer, event)| {
            json!({
                "customer": customer.id(),
                "id": event.id,
                "timestamp": event.at,
                "received_at": event.received_at,
                "call": event.body,
            })
        });
        let journal = self
            .journal
            .iter()
            .map(|(customer, entry)| json!({ "customer": customer.id(), "entry": entry }));
        let (user, account) = self.suppressed;
        json!({
            "id": id,
            "exported_at": now,
            "ids": self.ids,
            "accounts": self.accounts,
            "suppressed": { "user": user, "account": account },
            "customers": self.customers.iter().map(customer_json).collect::<Vec<_>>(),
            "events": events.collect::<Vec<_>>(),
            "journal": journal.collect::<Vec<_>>(),
            "findings": self.findings,
            "tasks": self.tasks,
            "quarantine": self.quarantine,
        })
    }
}

fn customer_json(found: &Versioned) -> Json {
    let Customer { profile, status, .. } = &found.customer;
    let traits = profile.traits.iter().map(|(name, state)| {
        let told_at = Timestamp::from_millisecond(state.at).ok();
        (name.clone(), json!({ "value": state.value.to_json(), "told_at": told_at }))
    });
    let seen = |ms: i64| (ms != 0).then(|| Timestamp::from_millisecond(ms).ok()).flatten();
    json!({
        "id": found.key.id(),
        "version": found.version,
        "part_of": found.moved.as_ref().map(|moved| moved.to.id()),
        "first_seen": seen(profile.first_seen),
        "last_seen": seen(profile.last_seen),
        "traits": traits.collect::<serde_json::Map<_, _>>(),
        "counted": profile.series,
        "stage": status.stage,
        "previous_stage": status.previous_stage,
        "entered": status.entered,
        "risk": status.risk,
        "risk_week": status.risk_week,
        "findings": status.findings,
        "tended": status.tended,
        "tasks": status.tasks,
    })
}
