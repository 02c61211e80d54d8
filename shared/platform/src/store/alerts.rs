//! Groups of alerts, what is remembered of each alert, and the messages that wait to be sent.
//!
//! All of it is in `control`, and grows with what is so, not with what was:
//!
//! | key | holds |
//! |---|---|
//! | `alerts`, group | a group: counts, up to 50 alerts, what was sent; gone when all of it is over and told |
//! | `alerts#due`, instant and group | that there is something to do for a group then |
//! | `alert#<customer>`, alert | where an alert is counted, as of which journal entry |
//! | `alerts#muting`, rule, values, customer and alert | that an alert mutes those of other customers |
//! | `alerts#out`, instant and message | a message that is to be sent, from that instant on |
//! | `alerts#slow`, receiver | that a receiver did not take its messages, and when it is tried again |
//! | `alerts#had`, receiver | how many messages it had in this hour, where there is a limit |
//! | `alerts#log`, instant and message | what was sent, to whom and why; kept for 30 days |
//!
//! Invariants: a group changes only together with what is remembered of its alerts, each on condition
//! that it is still as it was read, so that a record that is delivered twice, or late, counts once. A
//! message is made in the transaction that notes it as told, and sent afterwards: at least once, under
//! one id.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use domain::alert::Alert;
use domain::alerting::{Ack, Cap, Group, Inhibiting, Note};
use domain::journal::Author;
use domain::lifecycle::{Inhibit, Lifecycle};
use domain::post::acknowledged;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::read::{cursor_key, cursor_text};
use super::{CustomerKey, Page, Store, StoreError};
use crate::codec;

pub(super) const GROUPS: &str = "alerts";
const DUE: &str = "alerts#due";
const MUTING: &str = "alerts#muting";
const OUT: &str = "alerts#out";
const SLOW: &str = "alerts#slow";
const HAD: &str = "alerts#had";
const LOG: &str = "alerts#log";
const DAY: i64 = 86_400;
/// For how long an alert that is over is remembered: the stream delivers a record again for a day.
const NOTE_DAYS: i64 = 3;
/// For how long it is told what was sent.
const LOG_DAYS: i64 = 30;
/// DynamoDB takes 100 writes in one transaction.
const MAX_WRITES: usize = 100;
/// The most bytes of a group; alerts that are known one by one make room.
const MAX_GROUP_BYTES: usize = 12 * 1024;

/// A group as it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeldGroup {
    /// The group; `None` where there is none.
    pub group: Option<Group>,
    /// Counts its writes; 0 where there is none.
    pub version: u64,
    /// When there is something to do.
    pub due: Option<Timestamp>,
}

/// What is remembered of the alerts of a customer, by their names.
pub type CustomerNotes = BTreeMap<String, Note>;

/// A change of a group.
#[derive(Debug, Clone)]
pub struct GroupWrite {
    /// The group.
    pub id: String,
    /// As it was read.
    pub before: HeldGroup,
    /// As it is to be; `None` where it is over.
    pub after: Option<Group>,
    /// When there is something to do.
    pub due: Option<Timestamp>,
}

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Names the message, however often it is sent.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// The message.
    pub alert: Alert,
    /// What is logged of it.
    pub told: Notification,
    /// The keys of the customers it names.
    pub customers: Vec<String>,
    /// When it is tried again, where its receiver did not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
}

impl Outgoing {
    fn key(&self) -> String {
        out_key(self.again_at.unwrap_or(self.at), &self.id)
    }
}

/// That a receiver did not take its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowReceiver {
    /// How often in a row.
    pub attempts: u32,
    /// When it is tried again.
    pub again_at: Timestamp,
}

/// What was sent, or decided about alerts by a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Names the message, however often it was sent.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// `sent`, `failed`, `acknowledged`, `silenced`, `silence_ended`, or `muted`.
    pub what: String,
    /// The group; none of a change that was told by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// The topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Why: a word of the decision, or what a person said.
    pub reason: String,
    /// Who decided, where it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How many alerts of the group were so.
    #[serde(default)]
    pub firing: u64,
    /// The id that SNS gave, or the code of its refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// What a receiver had in an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapState {
    /// The hour, since 1970.
    pub hour: i64,
    /// How many messages.
    pub had: u32,
    /// Whether one of them summed up what was too much.
    pub is_summed_up: bool,
    /// Counts its writes; 0 where there is none.
    pub version: u64,
}

impl CapState {
    /// As a decision sees it.
    #[must_use]
    pub fn cap(&self, most: u32) -> Cap {
        let next = Timestamp::from_second((self.hour + 1) * 3_600).unwrap_or(Timestamp::MAX);
        Cap { most, had: self.had, is_summed_up: self.is_summed_up, next }
    }
}

/// What is to be true together.
#[derive(Debug, Clone, Default)]
pub struct AlertWrites {
    /// Groups.
    pub groups: Vec<GroupWrite>,
    /// What is to be remembered: the customer, the alert, and as of which entry it was before.
    pub notes: Vec<(CustomerKey, String, Note, Option<u64>)>,
    /// Keys of what begins, and of what ceases, to mute others.
    pub muting: (Vec<String>, Vec<String>),
    /// Messages.
    pub out: Vec<Outgoing>,
    /// What receivers had by then.
    pub had: Vec<(String, CapState)>,
    /// What a person decided, for the log.
    pub told: Option<Notification>,
}

impl AlertWrites {
    /// Whether they fit one transaction.
    #[must_use]
    pub fn fit(&self) -> bool {
        let muting = self.muting.0.len() + self.muting.1.len();
        let rest = self.notes.len() + self.out.len() + self.had.len() + muting;
        3 * self.groups.len() + rest <= MAX_WRITES
    }
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, PartialEq)]
pub enum AckOutcome {
    /// Somebody looks after the group now.
    Done(Box<Group>),
    /// There is no such group, or all of it is over.
    NoGroup,
}

fn due_key(due: Timestamp, group: &str) -> String {
    format!("{:015}#{group}", due.as_millisecond().max(0))
}

fn out_key(at: Timestamp, id: &str) -> String {
    format!("{:015}#{id}", at.as_millisecond().max(0))
}

fn notes_key(customer: &CustomerKey) -> String {
    format!("alert#{customer}")
}

fn group_bytes(group: &Group) -> Vec<u8> {
    let mut group = group.clone();
    loop {
        let bytes = codec::shrink(&serde_json::to_vec(&group).unwrap_or_default());
        if bytes.len() <= MAX_GROUP_BYTES || group.members.pop().is_none() {
            return bytes;
        }
    }
}

/// What was sent or decided, as the log keeps it.
pub(super) fn notification_item(told: &Notification) -> Item {
    let mut found = body(LOG, &out_key(told.at, &told.id), told);
    found.insert("expires".to_owned(), n(told.at.as_second() + LOG_DAYS * DAY));
    found
}

fn read_json<T: serde::de::DeserializeOwned>(
    found: &Item,
    what: &'static str,
) -> Result<T, StoreError> {
    let bytes = codec::grow(Reader { table: "control", item: found }.bytes("body")?)
        .map_err(|source| StoreError::Codec { table: "control", source })?;
    serde_json::from_slice(&bytes).map_err(|_| StoreError::Item { table: "control", what })
}

fn body<T: Serialize>(pk: &str, sk: &str, value: &T) -> Item {
    let mut found = key(pk, sk);
    let bytes = codec::shrink(&serde_json::to_vec(value).unwrap_or_default());
    found.insert("body".to_owned(), b(bytes));
    found
}

fn held_of(found: &Item) -> Result<HeldGroup, StoreError> {
    let read = Reader { table: "control", item: found };
    let due = read.maybe_number::<i64>("due");
    Ok(HeldGroup {
        group: Some(read_json(found, "group")?),
        version: read.number("v")?,
        due: due.and_then(|due| Timestamp::from_millisecond(due).ok()),
    })
}

/// The key under which an alert is known to mute others.
#[must_use]
fn muting_prefix(rules: &[Inhibit], source: &Inhibiting) -> String {
    let rule = rules.get(source.rule).map(Inhibit::key).unwrap_or_default();
    let mut hash = Sha256::new();
    for value in &source.equal {
        hash.update(value.as_bytes());
        hash.update([0]);
    }
    let rule = Sha256::digest(rule.as_bytes());
    let equal = hash.finalize();
    let side = u8::from(source.is_muted_too);
    format!("{}#{}#{side}#", domain::hex(&rule[..8]), domain::hex(&equal[..8]))
}

impl Store {
    /// The key under which an alert of a customer is known to mute others.
    #[must_use]
    pub fn muting_key(
        rules: &[Inhibit],
        source: &Inhibiting,
        customer: &CustomerKey,
        alert: &str,
    ) -> String {
        format!("{}{customer}#{alert}", muting_prefix(rules, source))
    }

    /// Whether some alert mutes others in this way.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn is_muting(
        &self,
        rules: &[Inhibit],
        source: &Inhibiting,
    ) -> Result<bool, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.control)
            .key_condition_expression("pk = :pk AND begins_with(sk, :sk)")
            .expression_attribute_values(":pk", s(MUTING))
            .expression_attribute_values(":sk", s(muting_prefix(rules, source)))
            .limit(1);
        Ok(!self.one_page(query).await?.items().is_empty())
    }

    /// A group, as it now is.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn alert_group(&self, id: &str) -> Result<HeldGroup, StoreError> {
        let found = self.get_control(GROUPS, id, true).await?;
        found.as_ref().map_or_else(|| Ok(HeldGroup::default()), held_of)
    }

    /// A page of the groups.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn alert_groups(
        &self,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<Group>, StoreError> {
        let start = cursor_key(cursor)?;
        let (items, last) = self.query_control(GROUPS, limit, start, true).await?;
        let groups = items.iter().map(|found| read_json(found, "group"));
        Ok(Page { items: groups.collect::<Result<_, _>>()?, next_cursor: cursor_text(last) })
    }

    /// The groups for which there is something to do by an instant, the longest due first.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn due_groups(&self, by: Timestamp, most: i32) -> Result<Vec<String>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.control)
            .key_condition_expression("pk = :pk AND sk < :by")
            .expression_attribute_values(":pk", s(DUE))
            // Everything of this millisecond: `$` comes after `#`.
            .expression_attribute_values(":by", s(format!("{:015}$", by.as_millisecond().max(0))))
            .consistent_read(true)
            .limit(most);
        let output = self.one_page(query).await?;
        let ids = output.items().iter().map(|found| {
            let sk = Reader { table: "control", item: found }.text("sk")?;
            Ok(sk.split_once('#').map_or(sk, |(_, id)| id).to_owned())
        });
        ids.collect()
    }

    /// What is remembered of the alerts of a customer.
    ///
    /// # Errors
    /// When the table cannot be read or an item is damaged.
    pub async fn alert_notes(&self, customer: &CustomerKey) -> Result<CustomerNotes, StoreError> {
        let query = self.query_under(&self.tables.control, &notes_key(customer));
        let mut notes = CustomerNotes::new();
        for found in self.all_pages(query.consistent_read(true)).await? {
            let read = Reader { table: "control", item: &found };
            notes.insert(read.text("sk")?.to_owned(), read_json(&found, "note")?);
        }
        Ok(notes)
    }

    /// Makes changes of groups true together, if everything is still as it was read: whether it was.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn write_alerts(
        &self,
        writes: &AlertWrites,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut all = Vec::new();
        for write in &writes.groups {
            self.write_group(write, &mut all)?;
        }
        for (customer, alert, note, before) in &writes.notes {
            let mut found = body(&notes_key(customer), alert, note);
            found.insert("seq".to_owned(), n(note.seq));
            if !note.is_firing {
                found.insert("expires".to_owned(), n(now.as_second() + NOTE_DAYS * DAY));
            }
            let condition = match before {
                Some(seq) => ("seq = :was", Some(item([(":was", n(seq))]))),
                None => ("attribute_not_exists(pk)", None),
            };
            all.push(self.alert_put(found, Some(condition))?);
        }
        for sk in &writes.muting.0 {
            all.push(self.alert_put(key(MUTING, sk), None)?);
        }
        for sk in &writes.muting.1 {
            all.push(self.alert_delete(MUTING, sk, None)?);
        }
        for out in &writes.out {
            all.push(self.alert_put(body(OUT, &out.key(), out), None)?);
        }
        for (receiver, state) in &writes.had {
            let mut found = key(HAD, receiver);
            found.extend(item([
                ("hour", n(state.hour)),
                ("had", n(state.had)),
                ("summed_up", n(u8::from(state.is_summed_up))),
                ("v", n(state.version + 1)),
                ("expires", n((state.hour + 48) * 3_600)),
            ]));
            all.push(self.alert_put(found, Some(version_is(state.version)))?);
        }
        if let Some(told) = &writes.told {
            all.push(self.alert_put(notification_item(told), None)?);
        }
        if all.is_empty() { Ok(true) } else { self.transact(all).await }
    }

    fn write_group(
        &self,
        write: &GroupWrite,
        all: &mut Vec<TransactWriteItem>,
    ) -> Result<(), StoreError> {
        let GroupWrite { id, before, after, due } = write;
        let due = if after.is_some() { *due } else { None };
        match after {
            Some(group) => {
                let mut found = key(GROUPS, id);
                found.insert("body".to_owned(), b(group_bytes(group)));
                found.insert("v".to_owned(), n(before.version + 1));
                if let Some(due) = due {
                    found.insert("due".to_owned(), n(due.as_millisecond()));
                }
                all.push(self.alert_put(found, Some(version_is(before.version)))?);
            }
            None if before.version > 0 => {
                let condition = version_is(before.version);
                all.push(self.alert_delete(GROUPS, id, Some(condition))?);
            }
            None => return Ok(()),
        }
        let key_of = |due: Option<Timestamp>| due.map(|due| due_key(due, id));
        let (was, is) = (key_of(before.due), key_of(due));
        if was != is {
            if let Some(was) = was {
                all.push(self.alert_delete(DUE, &was, None)?);
            }
            if let Some(is) = is {
                all.push(self.alert_put(key(DUE, &is), None)?);
            }
        }
        Ok(())
    }

    fn alert_put(
        &self,
        found: Item,
        condition: Option<(&str, Option<Item>)>,
    ) -> Result<TransactWriteItem, StoreError> {
        let table = &self.tables.control;
        let mut put = Put::builder().table_name(table).set_item(Some(found));
        if let Some((expression, values)) = condition {
            put = put.condition_expression(expression).set_expression_attribute_values(values);
        }
        let put = put.build().map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn alert_delete(
        &self,
        pk: &str,
        sk: &str,
        condition: Option<(&str, Option<Item>)>,
    ) -> Result<TransactWriteItem, StoreError> {
        let table = &self.tables.control;
        let mut delete = Delete::builder().table_name(table).set_key(Some(key(pk, sk)));
        if let Some((expression, values)) = condition {
            delete =
                delete.condition_expression(expression).set_expression_attribute_values(values);
        }
        let delete = delete.build().map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// What a receiver had in the hour of an instant.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn cap_state(&self, receiver: &str, now: Timestamp) -> Result<CapState, StoreError> {
        let hour = now.as_second().div_euclid(3_600);
        let Some(found) = self.get_control(HAD, receiver, true).await? else {
            return Ok(CapState { hour, ..CapState::default() });
        };
        let read = Reader { table: "control", item: &found };
        let version = read.number("v")?;
        if read.number::<i64>("hour")? != hour {
            return Ok(CapState { hour, version, ..CapState::default() });
        }
        let is_summed_up = read.number::<u8>("summed_up")? == 1;
        Ok(CapState { hour, had: read.number("had")?, is_summed_up, version })
    }

    /// Messages that are to be sent by an instant, those that wait longest first.
    ///
    /// # Errors
    /// When the table cannot be read or an item is damaged.
    pub async fn outgoing(&self, by: Timestamp, most: i32) -> Result<Vec<Outgoing>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.control)
            .key_condition_expression("pk = :pk AND sk < :by")
            .expression_attribute_values(":pk", s(OUT))
            .expression_attribute_values(":by", s(format!("{:015}$", by.as_millisecond().max(0))))
            .consistent_read(true)
            .limit(most);
        let output = self.one_page(query).await?;
        output.items().iter().map(|found| read_json(found, "message")).collect()
    }

    /// Has a message wait for another attempt: until then it is in nobody's way.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn put_off(&self, out: &Outgoing, again_at: Timestamp) -> Result<(), StoreError> {
        let later = Outgoing { again_at: Some(again_at), ..out.clone() };
        if later.key() == out.key() {
            return Ok(());
        }
        self.put_control(body(OUT, &later.key(), &later), None).await?;
        self.delete_control(OUT, &out.key()).await.map(|_| ())
    }

    /// Whether a receiver did not take its messages lately.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn slow_receiver(&self, receiver: &str) -> Result<Option<SlowReceiver>, StoreError> {
        let found = self.get_control(SLOW, receiver, true).await?;
        found.map(|found| read_json(&found, "slow receiver")).transpose()
    }

    /// Remembers that a receiver did not take its messages, or that it does again.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn note_slow(
        &self,
        receiver: &str,
        slow: Option<SlowReceiver>,
    ) -> Result<(), StoreError> {
        let Some(slow) = slow else {
            return self.delete_control(SLOW, receiver).await.map(|_| ());
        };
        let mut found = body(SLOW, receiver, &slow);
        found.insert("expires".to_owned(), n(slow.again_at.as_second() + 2 * DAY));
        self.put_control(found, None).await.map(|_| ())
    }

    /// Notes that a message was sent, or never can be.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn note_sent(&self, out: &Outgoing, told: &Notification) -> Result<(), StoreError> {
        self.log_notification(told).await?;
        self.delete_control(OUT, &out.key()).await.map(|_| ())
    }

    /// Adds to the log of what was sent and decided about alerts; the same twice is the same.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn log_notification(&self, told: &Notification) -> Result<(), StoreError> {
        self.put_control(notification_item(told), None).await.map(|_| ())
    }

    /// A page of what was sent and decided about alerts, the newest first.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn notifications(
        &self,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<Notification>, StoreError> {
        let start = cursor_key(cursor)?;
        let (items, last) = self.query_control(LOG, limit, start, false).await?;
        let told = items.iter().map(|found| read_json(found, "notification"));
        Ok(Page { items: told.collect::<Result<_, _>>()?, next_cursor: cursor_text(last) })
    }

    /// Says that somebody looks after a group: it is not repeated and not escalated until another
    /// alert joins it. Receivers that know acknowledgements hear of it.
    ///
    /// # Errors
    /// When the table cannot be read or written, or others keep changing the group.
    pub async fn acknowledge_alerts(
        &self,
        id: &str,
        by: &Author,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<AckOutcome, StoreError> {
        for _ in 0..8 {
            let before = self.alert_group(id).await?;
            let Some(mut group) = before.group.clone().filter(|group| group.firing() > 0) else {
                return Ok(AckOutcome::NoGroup);
            };
            let ack = Ack { author: by.name.clone(), reason: by.reason.clone(), at: now };
            let out = told_of_ack(&group, &ack, lifecycle);
            group.ack = Some(ack);
            let firing = group.firing();
            let after = Some(group.clone());
            // What is due is looked at anew.
            let write = GroupWrite { id: id.to_owned(), before, after, due: Some(now) };
            let told = Notification {
                id: format!("{id}-ack-{}", now.as_millisecond()),
                at: now,
                what: "acknowledged".to_owned(),
                group: Some(id.to_owned()),
                receiver: Some(group.to.clone()),
                reason: by.reason.clone().unwrap_or_default(),
                author: Some(by.name.clone()),
                firing,
                ..Notification::default()
            };
            let (groups, told) = (vec![write], Some(told));
            let writes = AlertWrites { groups, out, told, ..AlertWrites::default() };
            if self.write_alerts(&writes, now).await? {
                return Ok(AckOutcome::Done(Box::new(group)));
            }
        }
        Err(StoreError::Conflict(8))
    }

    /// Takes a customer out of every group, and out of messages that were not sent yet.
    pub(super) async fn erase_alerts(
        &self,
        customer: &CustomerKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for (alert, note) in self.alert_notes(customer).await? {
            for _ in 0..8 {
                let before = self.alert_group(&note.group).await?;
                let Some(mut group) = before.group.clone() else { break };
                group.forget(customer.as_str(), &alert, Some(&note));
                let is_over = group.firing() == 0 && group.members.is_empty();
                let write = GroupWrite {
                    id: note.group.clone(),
                    due: Some(now),
                    after: (!is_over).then_some(group),
                    before,
                };
                let writes = AlertWrites { groups: vec![write], ..AlertWrites::default() };
                if self.write_alerts(&writes, now).await? {
                    break;
                }
            }
            for sk in &note.mutes {
                self.delete_control(MUTING, sk).await?;
            }
            self.delete_control(&notes_key(customer), &alert).await?;
        }
        for mut out in self.outgoing(Timestamp::MAX, 1_000).await? {
            if out.customers.iter().any(|key| key == customer.as_str()) {
                out.customers.clear();
                out.alert = without_names(&out);
                self.put_control(body(OUT, &out.key(), &out), None).await?;
            }
        }
        Ok(())
    }
}

/// What receivers are told of an acknowledgement.
fn told_of_ack(group: &Group, ack: &Ack, lifecycle: &Lifecycle) -> Vec<Outgoing> {
    let told = group.told_receivers(lifecycle).into_iter().filter_map(|receiver| {
        let (began, now) = (group.opened_at.as_second(), ack.at.as_millisecond());
        let id = format!("{}-{began}-ack-{now}-{}", group.id, receiver.name);
        let post = acknowledged(&id, receiver, group, ack)?;
        let reason = "acknowledged";
        Some(Outgoing {
            at: ack.at,
            alert: Alert::posted(post, String::new(), BTreeMap::new()),
            told: Notification {
                id: id.clone(),
                at: ack.at,
                group: Some(group.id.clone()),
                receiver: Some(receiver.name.clone()),
                reason: reason.to_owned(),
                firing: group.firing(),
                ..Notification::default()
            },
            customers: Vec::new(),
            again_at: None,
            id,
        })
    });
    told.collect()
}

/// A message of which somebody was erased before it was sent.
fn without_names(out: &Outgoing) -> Alert {
    let group = out.told.group.as_deref().unwrap_or("several");
    let text = format!("Alerts changed, of somebody who was erased since (group {group}).");
    let attributes = out.alert.attributes.clone();
    if let Some(post) = &out.alert.post {
        return Alert::posted(post.without_names(&text), text, attributes);
    }
    let chat = serde_json::json!({
        "version": "1.0",
        "source": "custom",
        "id": out.id,
        "content": { "textType": "client-markdown", "description": text },
        "metadata": { "threadId": group },
    });
    let topic = out.alert.topic.clone();
    Alert { topic, subject: text.clone(), text, chat, attributes, post: None }
}

fn version_is(version: u64) -> (&'static str, Option<Item>) {
    match version {
        0 => ("attribute_not_exists(pk)", None),
        version => ("v = :was", Some(item([(":was", n(version))]))),
    }
}
