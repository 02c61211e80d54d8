//! Whether everything that daily roots are over is still there.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use domain::audit::{Fault, days_of, subtree, tree};
use domain::hex;
use domain::journal::JournalEntry;
use platform::{CustomerKey, Store};

use super::{Audit, Found};

/// Checks each root against the list of what it is over, each of those against the journal, and how many
/// there are of each day. What the journal itself showed to be missing is not named again.
///
/// # Errors
/// When the tables cannot be read.
pub(super) async fn verify(store: &Store, audit: &mut Audit) -> Result<()> {
    let known = Known::of(&audit.found);
    let mut rooted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut missing: BTreeMap<String, u64> = BTreeMap::new();
    for root in &audit.roots {
        let days = days_of(root);
        let last_day = days.keys().next_back().cloned().unwrap_or_default();
        for (day, count) in days {
            let (seq, sum) = rooted.entry(day).or_default();
            (*seq, *sum) = (root.seq, *sum + count);
        }
        let checked = check(store, root, &last_day).await?;
        *missing.entry(last_day).or_default() += checked.missing;
        audit.found.extend(checked.found.into_iter().filter(|one| !known.has(one)));
    }
    for (day, (seq, count)) in rooted {
        let there = audit.days.get(&day).copied().unwrap_or_default();
        // Those that have a name are told by it.
        let named: u64 = missing.range(day.clone()..).map(|(_, count)| count).sum();
        if let Some(by) = count.checked_sub(there + named).filter(|by| *by > 0) {
            let customer = CustomerKey::roots();
            audit.found.push(Found { customer, number: seq, fault: Fault::Fewer { day, by } });
        }
    }
    Ok(())
}

#[derive(Default)]
struct Checked {
    found: Vec<Found>,
    /// How many are not there any more.
    missing: u64,
}

async fn check(store: &Store, root: &JournalEntry, day: &str) -> Result<Checked> {
    let mut checked = Checked::default();
    let (mut parts, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.root_leaves(root.seq, cursor.as_deref()).await?;
        for leaves in page.items {
            let hashes: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf.hash).collect();
            parts.push(subtree(&hashes));
            for (leaf, hash) in leaves.iter().zip(store.hashes_of(&leaves).await?) {
                let day = day.to_owned();
                let fault = match hash {
                    Some(hash) if hash == leaf.hash => continue,
                    Some(_) => Fault::Replaced { day },
                    None => Fault::Gone { day },
                };
                checked.missing += u64::from(hash.is_none());
                let customer = CustomerKey::stored(&leaf.customer);
                checked.found.push(Found { customer, number: leaf.seq, fault });
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if root.to.as_deref() != Some(hex(&tree(&parts)).as_str()) {
        let customer = CustomerKey::roots();
        checked.found.push(Found { customer, number: root.seq, fault: Fault::Unlisted });
    }
    Ok(checked)
}

/// What the journals themselves showed to be wrong.
struct Known {
    missing: Vec<(CustomerKey, std::ops::RangeInclusive<u64>)>,
    at: HashSet<(CustomerKey, u64)>,
}

impl Known {
    fn of(found: &[Found]) -> Known {
        let missing = found.iter().filter_map(|one| match one.fault {
            Fault::Missing { from } => Some((one.customer.clone(), from..=one.number)),
            _ => None,
        });
        let at = found.iter().map(|one| (one.customer.clone(), one.number));
        Known { missing: missing.collect(), at: at.collect() }
    }

    fn has(&self, one: &Found) -> bool {
        self.at.contains(&(one.customer.clone(), one.number))
            || self
                .missing
                .iter()
                .any(|(key, range)| *key == one.customer && range.contains(&one.number))
    }
}
