//! Which accounts are below which, for metrics that roll up.
//!
//! An account names the one above it in a trait. Before its own item says so, `control` does: in
//! `below#<parent>`, an item a child, and in `parents`, which tells a sweep of whom to ask at all.
//! So a crash in between leaves at worst an item too many, as does an account that goes elsewhere:
//! whoever reads the list asks each child, and goes by what that says. Only erasure deletes.

use std::collections::BTreeSet;

use domain::customer::Customer;
use domain::hierarchy::{self, Below, Family, MAX_BELOW, MAX_LEVELS};
use domain::lifecycle::Lifecycle;
use domain::replay::in_order;
use jiff::Timestamp;

use super::attributes::{Reader, item, s};
use super::{CustomerKey, Store, StoreError, Versioned};

/// The list of everybody who has, or had, an account below it.
const PARENTS: &str = "parents";
/// A longer key has no place in an item's key: such an account is nobody's child.
const MAX_KEY_BYTES: usize = 1_024;
fn list_of(parent: &CustomerKey) -> String {
    format!("below#{parent}")
}

/// The account that a customer says it is below.
fn parent_of(customer: &Customer, lifecycle: &Lifecycle) -> Option<CustomerKey> {
    hierarchy::parent_of(&customer.profile, lifecycle).map(CustomerKey::subject)
}

impl Store {
    /// Notes whom an account is below, where that is news. Comes before the update of its item.
    pub(super) async fn note_parent(
        &self,
        before: &Versioned,
        after: &Customer,
        lifecycle: &Lifecycle,
    ) -> Result<(), StoreError> {
        let Some(parent) = parent_of(after, lifecycle) else { return Ok(()) };
        let is_known = before.customer.profile.measures == lifecycle.measures.fingerprint
            && parent_of(&before.customer, lifecycle).as_ref() == Some(&parent);
        if is_known || parent == before.key || before.key.as_str().len() > MAX_KEY_BYTES {
            return Ok(());
        }
        let above = item([("pk", s(PARENTS)), ("sk", s(parent.as_str()))]);
        self.put_control(above, None).await?;
        let below = item([("pk", s(list_of(&parent))), ("sk", s(before.key.as_str()))]);
        self.put_control(below, None).await.map(|_| ())
    }

    /// Everybody who may have an account below it; nobody where nothing rolls up.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn parents(
        &self,
        lifecycle: &Lifecycle,
    ) -> Result<BTreeSet<CustomerKey>, StoreError> {
        match lifecycle.parent {
            None => Ok(BTreeSet::new()),
            Some(_) => self.keys_of(PARENTS).await,
        }
    }

    /// The customer with the folds of all accounts below it, where anything rolls up. One that was
    /// folded for another lifecycle file does not count until it is folded again.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn with_below(
        &self,
        mut found: Versioned,
        lifecycle: &Lifecycle,
    ) -> Result<Versioned, StoreError> {
        let below = self.below(&found.key, lifecycle).await?.into_iter();
        found.customer.below = below.map(|child| child.customer.profile).collect();
        Ok(found)
    }

    /// All accounts below a customer, the nearest first; none where nothing rolls up.
    pub(crate) async fn below(
        &self,
        key: &CustomerKey,
        lifecycle: &Lifecycle,
    ) -> Result<Vec<Versioned>, StoreError> {
        let mut below: Vec<Versioned> = Vec::new();
        if lifecycle.parent.is_none() {
            return Ok(below);
        }
        let mut seen = BTreeSet::from([key.clone()]);
        let mut level = vec![key.clone()];
        for _ in 0..MAX_LEVELS {
            let mut next = Vec::new();
            for parent in level {
                let listed = self.keys_of(&list_of(&parent)).await?;
                let new: Vec<CustomerKey> = listed.difference(&seen).cloned().collect();
                for child in self.customers_by_key(&new).await? {
                    if parent_of(&child.customer, lifecycle).as_ref() != Some(&parent) {
                        continue;
                    }
                    if below.len() == MAX_BELOW {
                        tracing::warn!(
                            limit = MAX_BELOW,
                            "an account has more below it than count"
                        );
                        return Ok(below);
                    }
                    seen.insert(child.key.clone());
                    next.push(child.key.clone());
                    below.push(child);
                }
            }
            level = next;
        }
        Ok(below)
    }

    /// What the accounts below a customer had counted at instants of the past, each by what is known
    /// of it now; `None` where more ever were below it than count.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn below_at(
        &self,
        key: &CustomerKey,
        lifecycle: &Lifecycle,
        instants: &[Timestamp],
    ) -> Result<Option<Below>, StoreError> {
        if lifecycle.parent.is_none() || instants.is_empty() {
            return Ok(Some(Below::default()));
        }
        let Some(keys) = self.ever_below(key).await? else { return Ok(None) };
        let mut family = Family::new(lifecycle, instants);
        for child in keys {
            let log = in_order(self.whole_log(&child).await?);
            family.add(&child, &log, CustomerKey::subject);
        }
        Ok(Some(family.below(key)))
    }

    /// Everybody who is on the list of a customer, or on that of one of those; `None` where they are
    /// more than count.
    async fn ever_below(
        &self,
        key: &CustomerKey,
    ) -> Result<Option<BTreeSet<CustomerKey>>, StoreError> {
        let mut found = BTreeSet::new();
        let mut level = vec![key.clone()];
        for _ in 0..MAX_LEVELS {
            let mut next = Vec::new();
            for parent in level {
                for child in self.keys_of(&list_of(&parent)).await? {
                    if child != *key && found.insert(child.clone()) {
                        next.push(child);
                    }
                }
                if found.len() > MAX_BELOW {
                    return Ok(None);
                }
            }
            level = next;
        }
        // In a circle it is below itself by what others say; its own log tells whom it is below.
        found.insert(key.clone());
        Ok(Some(found))
    }

    /// Takes an account out of every list of those below another, and its own list with it.
    pub(super) async fn leave_hierarchy(&self, key: &CustomerKey) -> Result<(), StoreError> {
        for parent in self.keys_of(PARENTS).await? {
            self.delete_control(&list_of(&parent), key.as_str()).await?;
        }
        for child in self.keys_of(&list_of(key)).await? {
            self.delete_control(&list_of(key), child.as_str()).await?;
        }
        self.delete_control(PARENTS, key.as_str()).await.map(|_| ())
    }

    async fn keys_of(&self, list: &str) -> Result<BTreeSet<CustomerKey>, StoreError> {
        let items = self.query_all_control(list).await?;
        let key = |found| {
            let read = Reader { table: "control", item: found };
            Ok(CustomerKey::stored(read.text("sk")?))
        };
        items.iter().map(key).collect()
    }
}
