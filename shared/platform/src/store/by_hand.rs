//! What people decide about one customer, made true like any other decision: with its journal
//! entries, on condition that the customer is still the one that was decided about.

use domain::by_hand::Refused;
use domain::facts::Facts;
use domain::journal::{Change, JournalEntry};
use domain::lifecycle::Lifecycle;
use domain::task::following;
use jiff::Timestamp;

use super::{CustomerKey, DecisionOutcome, Decisions, Store, StoreError, Versioned};

/// How often a person's decision starts again when others change the customer meanwhile.
const TRIES: u32 = 6;

/// What became of a person's decision.
#[derive(Debug, Clone, PartialEq)]
pub enum ByHandOutcome {
    /// It is true now.
    Done {
        /// The customer as it then was.
        customer: Box<Versioned>,
        /// The entries that say so.
        entries: Vec<JournalEntry>,
    },
    /// It cannot be made true.
    Refused(Refused),
}

impl Store {
    /// Makes what a person decides true; `decide` is asked again whenever the customer changed
    /// meanwhile.
    ///
    /// # Errors
    /// When the tables cannot be used, or others keep changing the customer.
    pub async fn decide_by_hand(
        &self,
        key: &CustomerKey,
        lifecycle: &Lifecycle,
        now: Timestamp,
        decide: impl Fn(&Facts<'_>) -> Result<Vec<Change>, Refused>,
    ) -> Result<ByHandOutcome, StoreError> {
        for _ in 0..TRIES {
            let before = self.customer_now(key).await?;
            let before = self.refold(before, lifecycle, now).await?;
            let before = self.with_below(before, lifecycle).await?;
            let facts = Facts::new(&before.customer, lifecycle, now);
            let changes = match decide(&facts) {
                Ok(changes) => changes,
                Err(refused) => return Ok(ByHandOutcome::Refused(refused)),
            };
            if changes.is_empty() {
                // It is so already.
                let customer = Box::new(before);
                return Ok(ByHandOutcome::Done { customer, entries: Vec::new() });
            }
            let changes = following(&before.customer, None, changes, lifecycle, now);
            match self.decide(&before, &Decisions::of(changes), lifecycle, now).await? {
                DecisionOutcome::Written(entries) => {
                    let customer = self.customer_now(key).await?;
                    let customer = Box::new(self.with_below(customer, lifecycle).await?);
                    return Ok(ByHandOutcome::Done { customer, entries });
                }
                DecisionOutcome::Nothing | DecisionOutcome::Stale => {}
            }
        }
        Err(StoreError::Conflict(TRIES))
    }
}
