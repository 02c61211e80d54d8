//! Erasing everything held about a person or an account.
//!
//! What goes: the event log, the customer's item, findings, tasks, links and aliases, markers of ids and of
//! sent alerts, and what quarantine holds of the id. Of a user of an account only that user's events
//! go, and the account is folded again from what is left; a `group` call keeps what it tells of the
//! account and loses who told it.
//!
//! What stays: the decisions. Journal entries hold no personal data in the first place
//! ([`domain::journal`]); only their key is the customer's id. So they are taken to a key that
//! nothing leads back from ([`super::burial`]). Not a byte of an entry changes: the chain verifies as
//! it did.
//!
//! Only what was received up to the request is erased; what comes later is a new customer's, unless
//! the id is suppressed. Every step can be repeated: an erasure that was cut off is started again.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{PutRequest, ReturnConsumedCapacity, WriteRequest};
use domain::customer::{Customer, Status};
use domain::event::{Event, EventKind, id_text};
use domain::fold::{self, Scope};
use domain::lifecycle::{Lifecycle, Subject};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::attributes::{Reader, b, key, n, s};
use super::bulk::BATCH;
use super::commit::due;
use super::customers::{CustomerUpdate, Freshness, Late, Parts};
use super::findings::{LISTS, finding_id, finding_of};

use super::identity::Link;
use super::log::{Logged, Reach, event_item, sort_key};
use super::quarantine::quarantined_of;
use super::suppression::Person;
use super::{CustomerKey, Store, StoreError, Versioned};
use crate::codec;

const MAX_CONFLICTS: u32 = 12;
/// Where a call says whom it is about.
const WHO: [&str; 3] = ["userId", "anonymousId", "previousId"];
/// Where bodies of any sender name an id that may be a number.
const IDS: [&str; 14] = [
    "userId",
    "user_id",
    "anonymousId",
    "anonymous_id",
    "previousId",
    "groupId",
    "group_id",
    "accountId",
    "account_id",
    "customerId",
    "customer_id",
    "customer",
    "company",
    "id",
];

/// What is erased, and up to when.
pub(super) struct Erasure<'a> {
    pub(super) lifecycle: &'a Lifecycle,
    /// What was received later stays.
    pub(super) until: Timestamp,
    pub(super) now: Timestamp,
}

impl Store {
    /// All ids that are the same persons or accounts as these, as far as aliases that are held tell.
    pub(super) async fn same_as(
        &self,
        person: Person,
        ids: &BTreeSet<String>,
        lifecycle: &Lifecycle,
    ) -> Result<BTreeSet<String>, StoreError> {
        let key_of = match (lifecycle.subject, person) {
            (Subject::Account, Person::Account) => return Ok(ids.clone()),
            (Subject::Account, Person::User) => CustomerKey::unlinked_user,
            (Subject::User, _) => CustomerKey::subject,
        };
        let (mut ids, mut looked_at) = (ids.clone(), BTreeSet::new());
        // Each log may name further ids, each of them further logs.
        while let Some(next) = ids.difference(&looked_at).next().cloned() {
            let key = key_of(&next);
            let end = self.end_of(&key, lifecycle).await?;
            ids.insert(end.id().to_owned());
            let mut logs: BTreeSet<CustomerKey> = [key, end].into();
            if lifecycle.subject == Subject::Account {
                logs.extend(self.accounts_of(&next).await?);
            }
            for log in &logs {
                add_aliases(&mut ids, &self.log(log, Reach::Whole).await?);
            }
            looked_at.insert(next);
        }
        Ok(ids)
    }

    /// The customers of all accounts that a user was ever told to belong to.
    pub(super) async fn accounts_of(
        &self,
        user: &str,
    ) -> Result<BTreeSet<CustomerKey>, StoreError> {
        let link = self.read_link(user, Freshness::Strong).await?;
        let accounts = link.map(|link| link.accounts).unwrap_or_default();
        Ok(accounts.iter().map(|account| CustomerKey::subject(account)).collect())
    }

    /// Erases everything held about ids, among which are all that `same_as` found.
    pub(super) async fn erase(
        &self,
        person: Person,
        ids: &BTreeSet<String>,
        erasure: &Erasure<'_>,
    ) -> Result<(), StoreError> {
        match (erasure.lifecycle.subject, person) {
            (Subject::Account, Person::User) => {
                let mut accounts = BTreeSet::new();
                for id in ids {
                    accounts.extend(self.accounts_of(id).await?);
                }
                for account in &accounts {
                    self.strip(account, ids, erasure).await?;
                }
                // The links last: they lead to the accounts.
                for id in ids {
                    self.erase_customer(&CustomerKey::unlinked_user(id), erasure).await?;
                    self.delete_control("link", id).await?;
                    self.forget_link(id);
                }
            }
            (Subject::Account, Person::Account) => {
                for id in ids {
                    self.erase_customer(&CustomerKey::subject(id), erasure).await?;
                    self.unlink_account(id).await?;
                }
            }
            (Subject::User, Person::User | Person::Account) => {
                for id in ids {
                    self.erase_customer(&CustomerKey::subject(id), erasure).await?;
                }
            }
        }
        Ok(())
    }

    /// Erases a whole customer.
    async fn erase_customer(
        &self,
        key: &CustomerKey,
        erasure: &Erasure<'_>,
    ) -> Result<(), StoreError> {
        let mut is_done = false;
        for _ in 0..MAX_CONFLICTS {
            let Logged { events, signposts } = self.read_log(key, Reach::Whole).await?;
            let (old, new): (Vec<&Event>, Vec<&Event>) =
                events.iter().partition(|event| event.received_at <= erasure.until);
            self.delete_with_markers(key, old).await?;
            let is_new = |sort_key: &&String| new.iter().any(|event| is_of(sort_key, event));
            let old: Vec<String> =
                signposts.into_keys().filter(|sort_key| !is_new(&sort_key)).collect();
            self.delete_events(key, &old).await?;
            let before = self.read_customer(key, Freshness::Strong).await?;
            if before.version == 0 {
                is_done = true;
                break;
            }
            let rest = self.log(key, Reach::Whole).await?;
            is_done = match rest.is_empty() || before.moved.is_some() {
                true => self.delete_customer(&before).await?,
                false => self.begin_again(&before, &rest, erasure).await?,
            };
            if is_done {
                break;
            }
        }
        if !is_done {
            return Err(StoreError::Conflict(MAX_CONFLICTS));
        }
        self.leave_hierarchy(key).await?;
        for list in LISTS {
            self.erase_findings(list, key).await?;
        }
        self.erase_waivers(key).await?;
        self.erase_tasks(key).await?;
        self.erase_alerts(key, erasure.now).await?;
        self.erase_silences(key.id()).await?;
        for found in self.query_all_control(&format!("sent#{key}")).await? {
            let sk = Reader { table: "control", item: &found }.text("sk")?;
            self.delete_control(&format!("sent#{key}"), sk).await?;
        }
        self.bury_journal(key).await
    }

    /// Makes a customer of what came after the request alone: whether it stood.
    async fn begin_again(
        &self,
        before: &Versioned,
        rest: &[Event],
        erasure: &Erasure<'_>,
    ) -> Result<bool, StoreError> {
        let mut customer = Customer { status: Status::default(), ..Customer::default() };
        let Erasure { lifecycle, now, .. } = *erasure;
        fold::fold(&mut customer.profile, lifecycle, &Scope::Whole, rest, now);
        let update = CustomerUpdate::begin_again(before, &customer, now);
        self.update_customer(&before.key, update).await
    }

    /// Deletes a customer's item if it is still as it was read: whether it was.
    async fn delete_customer(&self, before: &Versioned) -> Result<bool, StoreError> {
        let table = &self.tables.customers;
        let deleted = self
            .client
            .delete_item()
            .table_name(table)
            .key("pk", s(before.key.as_str()))
            .condition_expression("attribute_not_exists(pk) OR v = :was")
            .expression_attribute_values(":was", n(before.version))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        self.stood("DeleteItem", table, deleted.map(|output| output.consumed_capacity))
    }

    /// Takes a user's events out of an account, and folds the account again.
    async fn strip(
        &self,
        account: &CustomerKey,
        ids: &BTreeSet<String>,
        erasure: &Erasure<'_>,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_CONFLICTS {
            let before = self.read_customer(account, Freshness::Strong).await?;
            if before.version == 0 {
                return Ok(());
            }
            let Logged { events: log, signposts } = self.read_log(account, Reach::Whole).await?;
            let is_theirs =
                |event: &&Event| event.received_at <= erasure.until && is_about(&event.body, ids);
            let (groups, others): (Vec<&Event>, Vec<&Event>) =
                log.iter().filter(is_theirs).partition(|event| event.kind == EventKind::Group);
            let erased: Vec<Timestamp> = others.iter().map(|event| event.at).collect();
            self.put_anonymous(account, &groups).await?;
            let is_theirs = |sort_key: &String| others.iter().any(|event| is_of(sort_key, event));
            let theirs: Vec<String> = signposts.into_keys().filter(is_theirs).collect();
            self.delete_events(account, &theirs).await?;
            self.delete_with_markers(account, others).await?;
            let rest = self.log(account, Reach::Whole).await?;
            if rest.is_empty() {
                return self.erase_customer(account, erasure).await;
            }
            let mut after = before.customer.clone();
            let Erasure { lifecycle, now, .. } = *erasure;
            fold::fold(&mut after.profile, lifecycle, &Scope::Whole, &rest, now);
            if after.profile == before.customer.profile {
                return Ok(());
            }
            let due = due(&before, &after, lifecycle, now);
            let late = Late::after(&before, erased);
            let update = CustomerUpdate::new(&before, &after, Parts::Profile, (due, late), now);
            if self.update_customer(account, update).await? {
                return Ok(());
            }
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    /// Puts `group` calls again with what they tell of the account and nothing of who told it.
    async fn put_anonymous(
        &self,
        account: &CustomerKey,
        groups: &[&Event],
    ) -> Result<(), StoreError> {
        let table = &self.tables.events;
        for batch in groups.chunks(BATCH) {
            let mut requests = Vec::with_capacity(batch.len());
            for event in batch {
                let event = Event { user: None, body: anonymous(event), ..(*event).clone() };
                let put = PutRequest::builder()
                    .set_item(Some(event_item(account, &event, self.event_retention_days)))
                    .build()
                    .map_err(StoreError::call_built("BatchWriteItem", table))?;
                requests.push(WriteRequest::builder().put_request(put).build());
            }
            self.write_batch(table, requests).await?;
        }
        Ok(())
    }

    /// Deletes events, and the markers of those that were keyed by their arrival.
    async fn delete_with_markers(
        &self,
        key: &CustomerKey,
        events: Vec<&Event>,
    ) -> Result<(), StoreError> {
        for event in events.iter().filter(|event| event.at == event.received_at) {
            self.delete_control("arrival", &event.id).await?;
        }
        let sort_keys: Vec<String> =
            events.iter().map(|event| sort_key(event.at, &event.id)).collect();
        self.delete_events(key, &sort_keys).await
    }

    /// Takes an account out of every link.
    async fn unlink_account(&self, account: &str) -> Result<(), StoreError> {
        for found in self.query_all_control("link").await? {
            let user = Reader { table: "control", item: &found }.text("sk")?.to_owned();
            let mut link = Link::of_item(&found)?;
            if !link.accounts.remove(account) {
                continue;
            }
            self.forget_link(&user);
            match link.accounts.last() {
                None => {
                    self.delete_control("link", &user).await?;
                }
                Some(other) => {
                    if link.account == account {
                        link.account.clone_from(other);
                    }
                    self.put_link(&user, &link).await?;
                }
            }
        }
        Ok(())
    }

    async fn erase_findings(&self, list: &str, of: &CustomerKey) -> Result<(), StoreError> {
        let customer = Versioned::absent(of.clone());
        let mut start = None;
        loop {
            let (items, next) = self.query_control(list, 1_000, start, true).await?;
            for found in &items {
                let finding = finding_of(found)?;
                if finding.customer == of.id()
                    && finding.id == finding_id(&customer, &finding.standard, &finding.key)
                {
                    let sk = Reader { table: "control", item: found }.text("sk")?;
                    self.delete_control(list, sk).await?;
                }
            }
            start = next;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    /// Erases what quarantine holds of ids; of a batch, only the calls that name one.
    pub(super) async fn erase_quarantined(&self, ids: &BTreeSet<String>) -> Result<(), StoreError> {
        let mut start = None;
        loop {
            let (items, next) = self.query_control("quarantine", 1_000, start, true).await?;
            for found in items {
                let aside = quarantined_of(&found)?;
                let sk = Reader { table: "control", item: &found }.text("sk")?.to_owned();
                let is_shared = aside.shared.as_ref().is_some_and(|shared| names(shared, ids));
                let left = if is_shared { Without::Nothing } else { without(&aside.raw, ids) };
                match left {
                    Without::Same => {}
                    Without::Nothing => {
                        self.delete_control("quarantine", &sk).await?;
                    }
                    Without::Rest(rest) => {
                        let mut kept = found;
                        kept.insert("body".to_owned(), b(codec::shrink(rest.as_bytes())));
                        self.put_control(kept, None).await?;
                    }
                }
            }
            start = next;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    async fn put_link(&self, user: &str, link: &Link) -> Result<(), StoreError> {
        let mut found = key("link", user);
        found.extend(link.attributes());
        self.put_control(found, None).await.map(|_| ())
    }
}

/// Whether a signpost is an event's.
fn is_of(sort_key: &str, event: &Event) -> bool {
    sort_key.split_once('#').is_some_and(|(_, id)| id == event.id)
}

/// Adds the ids that aliases among the events make the same as one of `ids`.
pub(super) fn add_aliases(ids: &mut BTreeSet<String>, events: &[Event]) {
    let told = |event: &Event, name: &str| event.body.get(name).and_then(id_text);
    loop {
        let before = ids.len();
        for event in events.iter().filter(|event| event.kind == EventKind::Alias) {
            if event.user.as_ref().is_some_and(|user| ids.contains(user)) {
                ids.extend(told(event, "previousId"));
            }
        }
        if ids.len() == before {
            return;
        }
    }
}

/// Whether a call is about one of `ids`.
pub(super) fn is_about(body: &Map<String, Json>, ids: &BTreeSet<String>) -> bool {
    let named = WHO.iter().filter_map(|name| id_text(body.get(*name)?));
    named.into_iter().any(|id| ids.contains(&id))
}

/// A `group` call without who told it.
fn anonymous(event: &Event) -> Map<String, Json> {
    let mut body = event.body.clone();
    let account = event.account();
    body.retain(|name, _| ["type", "traits", "timestamp", "messageId"].contains(&name.as_str()));
    if let Some(account) = account {
        body.insert("groupId".to_owned(), account.into());
    }
    body
}

/// What is left of a text without ids.
#[derive(Debug, PartialEq)]
enum Without {
    /// It names none.
    Same,
    /// Nothing.
    Nothing,
    /// Some calls of a batch.
    Rest(String),
}

fn without(raw: &str, ids: &BTreeSet<String>) -> Without {
    let Ok(mut body) = serde_json::from_str::<Json>(raw) else {
        let is_named = ids.iter().any(|id| raw.contains(&Json::from(id.as_str()).to_string()));
        return if is_named { Without::Nothing } else { Without::Same };
    };
    let Some(batch) = body.get_mut("batch").and_then(Json::as_array_mut) else {
        return if names(&body, ids) { Without::Nothing } else { Without::Same };
    };
    let before = batch.len();
    batch.retain(|call| !names(call, ids));
    match (batch.len() == before, batch.is_empty()) {
        (true, _) => Without::Same,
        (false, true) => Without::Nothing,
        (false, false) => Without::Rest(body.to_string()),
    }
}

/// Whether a value names one of `ids`: as a text anywhere, as a number where ids stand.
pub(super) fn names(value: &Json, ids: &BTreeSet<String>) -> bool {
    match value {
        Json::String(text) => ids.contains(text),
        Json::Array(items) => items.iter().any(|item| names(item, ids)),
        Json::Object(members) => members.iter().any(|(name, member)| match member {
            Json::Number(number) => {
                IDS.contains(&name.as_str()) && ids.contains(&number.to_string())
            }
            member => names(member, ids),
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Without) {
        let ids = ["7".to_owned(), "ada@example.test".to_owned()].into();
        assert_eq!(without(raw, &ids), expected, "{raw}");
    }

    #[test]
    fn only_what_names_an_id_goes() {
        check(r#"{"userId":"8","properties":{"n":7}}"#, Without::Same);
        check(r#"{"userId":"7"}"#, Without::Nothing);
        check(r#"{"userId":7}"#, Without::Nothing);
        check(r#"{"detail":{"contact":["ada@example.test"]}}"#, Without::Nothing);
        check(r#"{"userId":"ada@example.test", cut"#, Without::Nothing);
        check(r#"{"userId":"77", cut"#, Without::Same);
        let rest = Without::Rest(r#"{"batch":[{"userId":"8"}]}"#.to_owned());
        check(r#"{"batch":[{"userId":"8"},{"userId":"7"}]}"#, rest);
        check(r#"{"batch":[{"userId":"7"}]}"#, Without::Nothing);
        check(r#"{"batch":[{"userId":"8"}]}"#, Without::Same);
    }
}
