//! One item per customer: its version, its packed profile and status, and the few attributes the
//! indexes need. Small enough that a sweep reads five of them for one read unit.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use domain::customer::Customer;
use domain::lifecycle::Subject;
use domain::revision::late_from;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::attributes::{Item, Reader, item, n, s};
use super::{Store, StoreError};
use crate::codec;
use crate::meter::Access;

/// How many partitions the `due` index is spread over.
pub(super) const DUE_SHARDS: u8 = 4;
const USER_PREFIX: &str = "user:";
const ERASED_PREFIX: &str = "erased:";
const WORKSPACE_PREFIX: &str = "workspace:";
/// The journal of the roots over all others.
const ROOTS: &str = "audit:roots";

/// The partition key of a customer.
///
/// Where customers are accounts, a user whose account is not known yet is a customer too, under a
/// key that no account's id can be taken for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerKey(String);

impl CustomerKey {
    /// The customer of an account, or of a user where users are customers.
    #[must_use]
    pub fn subject(id: &str) -> CustomerKey {
        let own = [USER_PREFIX, ERASED_PREFIX, WORKSPACE_PREFIX];
        match own.iter().any(|own| id.starts_with(own)) || id == ROOTS {
            // An id that looks like a key of another kind is set apart from it.
            true => CustomerKey(format!("id:{id}")),
            false => CustomerKey(id.to_owned()),
        }
    }

    /// A user without an account, where accounts are customers.
    #[must_use]
    pub fn unlinked_user(id: &str) -> CustomerKey {
        CustomerKey(format!("{USER_PREFIX}{id}"))
    }

    /// The key of a journal whose customer was erased.
    pub(super) fn erased(token: &str) -> CustomerKey {
        CustomerKey(format!("{ERASED_PREFIX}{token}"))
    }

    /// The key of the workspace's own journal: of its feeds.
    #[must_use]
    pub fn workspace() -> CustomerKey {
        CustomerKey(format!("{WORKSPACE_PREFIX}feeds"))
    }

    /// The key of the journal of roots, which is no customer's.
    #[must_use]
    pub fn roots() -> CustomerKey {
        CustomerKey(ROOTS.to_owned())
    }

    /// Whether this is the key of the journal of roots.
    #[must_use]
    pub fn is_roots(&self) -> bool {
        self.0 == ROOTS
    }

    /// Whether this is the key of a journal whose customer was erased.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.0.starts_with(ERASED_PREFIX)
    }

    /// The key of a stored item.
    #[must_use]
    pub fn stored(key: &str) -> CustomerKey {
        CustomerKey(key.to_owned())
    }

    /// The keys an id may be found under, the likeliest first.
    #[must_use]
    pub fn candidates(id: &str, subject: Subject) -> Vec<CustomerKey> {
        let mut keys = vec![CustomerKey::subject(id)];
        if subject == Subject::Account {
            keys.push(CustomerKey::unlinked_user(id));
            // An id that was read from a key already; most are no such thing, and no batch takes a key twice.
            let stored = CustomerKey::stored(id);
            if !keys.contains(&stored) {
                keys.push(stored);
            }
        }
        keys
    }

    /// The user of a key that [`CustomerKey::unlinked_user`] made.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.0.strip_prefix(USER_PREFIX)
    }

    /// The partition key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as its sender gave it.
    #[must_use]
    pub fn id(&self) -> &str {
        let known = self.0.strip_prefix(USER_PREFIX).or_else(|| self.0.strip_prefix("id:"));
        let known = known.or_else(|| self.0.strip_prefix(WORKSPACE_PREFIX));
        known.unwrap_or(&self.0)
    }

    /// The shard of the `due` index.
    pub(super) fn due_shard(&self) -> String {
        (Sha256::digest(self.0.as_bytes())[0] % DUE_SHARDS).to_string()
    }
}

impl std::fmt::Display for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a customer went that is a part of another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The customer it is a part of.
    pub to: CustomerKey,
    /// When that was told, in milliseconds since the epoch.
    pub told_at: i64,
}

/// A customer as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned {
    /// Its key.
    pub key: CustomerKey,
    /// Goes up with every write; 0 is a customer without an item. The first version is the instant
    /// the item was made, so that one which was erased and comes back never has a version again
    /// that somebody may still stand on.
    pub version: u64,
    /// Set when this is no longer a customer (`identity`): nothing is committed to it and
    /// nothing decided about it.
    pub moved: Option<Moved>,
    /// When `evaluate` should look at it, if before the nightly sweep.
    pub due_at: Option<Timestamp>,
    /// From when on events came late, after a decision, and no revision has looked at it yet.
    pub late_from: Option<Timestamp>,
    /// The customer.
    pub customer: Customer,
}

impl Versioned {
    /// A customer nobody has heard of.
    #[must_use]
    pub fn absent(key: CustomerKey) -> Versioned {
        Versioned {
            key,
            version: 0,
            moved: None,
            due_at: None,
            late_from: None,
            customer: Customer::default(),
        }
    }

    /// Whether there is a customer.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.version > 0 && self.moved.is_none()
    }

    pub(super) fn from_item(found: &Item) -> Result<Versioned, StoreError> {
        let read = Reader { table: "customers", item: found };
        let due_at = read.maybe_text("due_at").map(str::parse);
        let due_at = due_at.transpose();
        let due_at = due_at.map_err(|_| StoreError::Item { table: "customers", what: "due_at" })?;
        let late_from = read.maybe_number("late").map(Timestamp::from_millisecond).transpose();
        let late_from =
            late_from.map_err(|_| StoreError::Item { table: "customers", what: "late" })?;
        let moved = read.maybe_text("moved_to").map(|to| Moved {
            to: CustomerKey::stored(to),
            told_at: read.maybe_number("moved_at").unwrap_or_default(),
        });
        Ok(Versioned {
            key: CustomerKey::stored(read.text("pk")?),
            version: read.number("v")?,
            moved,
            due_at,
            late_from,
            customer: Customer {
                profile: read.unpack("profile")?,
                status: read.unpack("status")?,
                below: Vec::new(),
            },
        })
    }
}

/// An instant as the indexes sort it: UTC to the second, so that texts order as instants do.
pub(super) fn index_time(at: Timestamp) -> String {
    let second = Timestamp::from_second(at.as_second()).unwrap_or(at);
    second.to_string()
}

/// An update of a customer item: the expression, its values, and the version it stands on.
pub(super) struct CustomerUpdate {
    pub(super) expression: String,
    pub(super) condition: String,
    pub(super) values: Item,
}

/// What becomes of the `due` entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Keep,
    Clear,
    At(Timestamp),
}

/// What becomes of the mark that events came late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Keep,
    Clear,
    From(Timestamp),
}

impl Late {
    /// The mark after events of these instants came, or went.
    pub(super) fn after(before: &Versioned, times: impl IntoIterator<Item = Timestamp>) -> Late {
        match late_from(&before.customer.status, times) {
            Some(at) if before.late_from.is_none_or(|from| at < from) => Late::From(at),
            _ => Late::Keep,
        }
    }
}

/// Which parts of a customer an update writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    Profile,
    Status,
}

impl CustomerUpdate {
    /// Writes `parts` of `customer` over the version that `before` has.
    pub(super) fn new(
        before: &Versioned,
        customer: &Customer,
        parts: Parts,
        (due, late): (Due, Late),
        now: Timestamp,
    ) -> Self {
        let mut sets = vec!["v = :v".to_owned()];
        let mut removes: Vec<&str> = Vec::new();
        let mut values = item([(":v", n(next_version(before, now)))]);
        let is_new = before.version == 0;
        if parts != Parts::Status || is_new {
            sets.push("profile = :profile".to_owned());
            values.insert(":profile".to_owned(), blob(codec::pack(&customer.profile)));
        }
        if parts != Parts::Profile || is_new {
            sets.push("#status = :status".to_owned());
            values.insert(":status".to_owned(), blob(codec::pack(&customer.status)));
        }
        if parts != Parts::Profile
            && let Some(stage) = &customer.status.stage
            && before.customer.status.stage.as_ref() != Some(stage)
        {
            sets.push("stage = :stage, since = :since".to_owned());
            values.insert(":stage".to_owned(), s(&stage.name));
            values.insert(":since".to_owned(), s(index_time(stage.since)));
        }
        match due {
            Due::Keep => {}
            Due::Clear if before.due_at.is_some() => removes.extend(["due_shard", "due_at"]),
            Due::Clear => {}
            Due::At(at) => {
                sets.push("due_shard = :shard, due_at = :due".to_owned());
                values.insert(":shard".to_owned(), s(before.key.due_shard()));
                values.insert(":due".to_owned(), s(index_time(at)));
            }
        }
        match late {
            Late::Keep => {}
            Late::Clear => removes.push("late"),
            Late::From(at) => {
                sets.push("late = :late".to_owned());
                values.insert(":late".to_owned(), n(at.as_millisecond()));
            }
        }
        let mut expression = format!("SET {}", sets.join(", "));
        if !removes.is_empty() {
            expression.push_str(&format!(" REMOVE {}", removes.join(", ")));
        }
        let condition = unchanged(before, &mut values);
        CustomerUpdate { expression, condition, values }
    }

    /// Makes a new customer of one that was erased: nothing decided about it is left.
    pub(super) fn begin_again(before: &Versioned, customer: &Customer, now: Timestamp) -> Self {
        let mut values = item([
            (":v", n(next_version(before, now))),
            (":profile", blob(codec::pack(&customer.profile))),
            (":status", blob(codec::pack(&customer.status))),
        ]);
        let expression = "SET v = :v, profile = :profile, #status = :status \
                          REMOVE stage, since, due_shard, due_at, late";
        let condition = unchanged(before, &mut values);
        CustomerUpdate { expression: expression.to_owned(), condition, values }
    }

    /// Makes `before` a part of another customer: what is left of it says where it went, and where
    /// its journal stands.
    pub(super) fn moving(
        before: &Versioned,
        moved: &Moved,
        left: &Customer,
        now: Timestamp,
    ) -> Self {
        let mut values = item([
            (":v", n(next_version(before, now))),
            (":to", s(moved.to.as_str())),
            (":told_at", n(moved.told_at)),
            (":profile", blob(codec::pack(&left.profile))),
            (":status", blob(codec::pack(&left.status))),
        ]);
        let expression = "SET v = :v, moved_to = :to, moved_at = :told_at, profile = :profile, \
                          #status = :status REMOVE stage, since, due_shard, due_at, late";
        let condition = unchanged(before, &mut values);
        CustomerUpdate { expression: expression.to_owned(), condition, values }
    }

    /// `status` is a reserved word of DynamoDB's expressions.
    pub(super) fn names(&self) -> Option<std::collections::HashMap<String, String>> {
        let names = || [("#status".to_owned(), "status".to_owned())].into();
        self.expression.contains("#status").then(names)
    }
}

fn next_version(before: &Versioned, now: Timestamp) -> u64 {
    match before.version {
        0 => u64::try_from(now.as_millisecond()).unwrap_or_default().max(1),
        version => version + 1,
    }
}

/// The condition that a customer is still as it was read.
fn unchanged(before: &Versioned, values: &mut Item) -> String {
    if before.version == 0 {
        return "attribute_not_exists(pk)".to_owned();
    }
    values.insert(":was".to_owned(), n(before.version));
    "v = :was".to_owned()
}

fn blob(bytes: Vec<u8>) -> AttributeValue {
    super::attributes::b(bytes)
}

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Half the price; may be a moment old.
    Eventual,
    /// Every write that was answered is in it.
    Strong,
}

impl Store {
    /// Reads a customer; one that has no item is [`Versioned::absent`].
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn customer(&self, key: &CustomerKey) -> Result<Versioned, StoreError> {
        self.read_customer(key, Freshness::Eventual).await
    }

    /// Reads a customer with every write that was answered.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub(crate) async fn customer_now(&self, key: &CustomerKey) -> Result<Versioned, StoreError> {
        self.read_customer(key, Freshness::Strong).await
    }

    pub(super) async fn read_customer(
        &self,
        key: &CustomerKey,
        freshness: Freshness,
    ) -> Result<Versioned, StoreError> {
        let table = &self.tables.customers;
        let output = self
            .client
            .get_item()
            .table_name(table)
            .key("pk", s(key.as_str()))
            .consistent_read(freshness == Freshness::Strong)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(StoreError::call("GetItem", table))?;
        self.meter.add(&self.tables, Access::Read, output.consumed_capacity.as_slice());
        match output.item {
            Some(found) => Versioned::from_item(&found),
            None => Ok(Versioned::absent(key.clone())),
        }
    }

    /// Updates a customer if its version is still the one the update stands on: whether it was.
    pub(super) async fn update_customer(
        &self,
        key: &CustomerKey,
        update: CustomerUpdate,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.customers;
        let updated = self
            .client
            .update_item()
            .table_name(table)
            .key("pk", s(key.as_str()))
            .set_expression_attribute_names(update.names())
            .update_expression(update.expression)
            .condition_expression(update.condition)
            .set_expression_attribute_values(Some(update.values))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        self.stood("UpdateItem", table, updated.map(|output| output.consumed_capacity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_account_id_can_be_taken_for_an_unlinked_user() {
        let user = CustomerKey::unlinked_user("42");
        let account = CustomerKey::subject("42");
        let tricky = CustomerKey::subject("user:42");
        assert_ne!(user, account);
        assert_ne!(user, tricky);
        assert_eq!((user.id(), account.id(), tricky.id()), ("42", "42", "user:42"));
    }

    #[test]
    fn index_times_sort_as_instants_do() {
        let early: Timestamp = "2026-01-01T00:00:00.999Z".parse().unwrap();
        let late: Timestamp = "2026-01-01T00:00:01Z".parse().unwrap();
        assert!(index_time(early) < index_time(late));
    }
}
