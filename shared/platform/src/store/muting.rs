//! What mutes the alerts of a group now: read from its customers, and from what is known to mute
//! others.

use std::collections::BTreeSet;

use domain::alert::standing;
use domain::alerting::{Group, Inhibiting};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;

use super::{CustomerKey, Store, StoreError};

impl Store {
    /// What mutes alerts of a group, as far as the rules of the lifecycle file ask. Of the same customer
    /// it is known for the alerts that the group knows one by one.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn inhibiting(
        &self,
        group: &Group,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Vec<Inhibiting>, StoreError> {
        let rules = &lifecycle.inhibit;
        let mut found = Vec::new();
        if rules.iter().any(domain::lifecycle::Inhibit::is_of_customer) {
            let keys: BTreeSet<&str> = group.members.iter().map(|m| m.key.as_str()).collect();
            let keys: Vec<CustomerKey> = keys.into_iter().map(CustomerKey::stored).collect();
            for customer in self.customers_by_key(&keys).await? {
                let standing = standing(customer.key.id(), &customer.customer, lifecycle, now);
                found.extend(Inhibiting::of_customer(rules, &standing));
            }
        }
        for source in group.may_be_muted_by(rules) {
            if self.is_muting(rules, &source).await? {
                found.push(source);
            }
        }
        Ok(found)
    }
}
