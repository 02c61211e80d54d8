//! Requests to suppress and to erase.
//!
//! A request is written down before anything is done, its ids in parts; a part that is done is
//! deleted, so that a worker that was cut off goes on with what is left, and no id outlives its
//! request. What is kept of a finished request are its numbers.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::erase::Erasure;
use super::read::{Page, cursor_key, cursor_text};
use super::suppression::{Person, Turn, random_hex};
use super::{Store, StoreError};
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
