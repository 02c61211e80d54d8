//! The daily root: one hash over every entry that was decided since the root before.
//!
//! It is the head of a Merkle tree as in RFC 6962, section 2.1, whose leaves are the hashes of entries.
//! An entry's hash says nothing of whose it is, so erasing a customer changes no root. A root is itself
//! an entry, of a journal of its own, so that each names the one before; how many entries of which day
//! it is over stands in it.
//!
//! A tree is made of parts of [`LEAVES`] leaves, of which only the heads are held: a day of any size takes
//! the memory of one part.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::journal::{ChangeKind, JournalEntry, Reason};

/// How many leaves a part has, but for the last: a power of two, so that the tree over the heads of parts
/// is the tree over all leaves.
pub const LEAVES: usize = 512;

/// The head of a part: the tree over the hashes of its entries.
#[must_use]
pub fn subtree(hashes: &[[u8; 32]]) -> [u8; 32] {
    let leaves: Vec<[u8; 32]> = hashes.iter().map(|hash| digest(&[&[0], hash])).collect();
    tree(&leaves)
}

/// The tree over nodes: the heads of parts, in their order.
#[must_use]
pub fn tree(nodes: &[[u8; 32]]) -> [u8; 32] {
    match nodes {
        [] => digest(&[]),
        [only] => *only,
        nodes => {
            // The largest power of two that is smaller than their number.
            let (left, right) = nodes.split_at(nodes.len().next_power_of_two() / 2);
            digest(&[&[1], &tree(left), &tree(right)])
        }
    }
}

/// The tree over the hashes of entries, as a root has it.
#[must_use]
pub fn whole(hashes: &[[u8; 32]]) -> String {
    crate::hex(&tree(&hashes.chunks(LEAVES).map(subtree).collect::<Vec<_>>()))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// What a root is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rooting {
    /// How many entries of each day (`2026-03-01`, in UTC); the last day is there if it has none.
    pub days: BTreeMap<String, u64>,
    /// The heads of its parts.
    pub parts: Vec<[u8; 32]>,
}

/// Seals a root as of an instant, as the next entry of the journal of roots.
#[must_use]
pub fn seal_root(
    rooting: &Rooting,
    at: Timestamp,
    config: (&str, Option<u64>),
    before: Option<&JournalEntry>,
) -> JournalEntry {
    let counts = rooting.days.iter().map(|(day, count)| (day.clone(), Json::from(*count)));
    let total: u64 = rooting.days.values().sum();
    let mut entry = JournalEntry {
        seq: before.map_or(0, |before| before.seq) + 1,
        at,
        kind: ChangeKind::Root,
        from: before.and_then(|before| before.to.clone()),
        to: Some(crate::hex(&tree(&rooting.parts))),
        rule: "audit.root".to_owned(),
        reasons: vec![Reason {
            expression: "entries".to_owned(),
            value: Json::from(total),
            inputs: counts.collect(),
        }],
        author: None,
        reason: None,
        until: None,
        config_hash: config.0.to_owned(),
        config_version: config.1,
        prev: before.map(|before| before.hash.clone()).unwrap_or_default(),
        hash: String::new(),
    };
    entry.close();
    entry
}

/// How many entries of each day a root is over; nothing for what is no root.
#[must_use]
pub fn days_of(entry: &JournalEntry) -> BTreeMap<String, u64> {
    let reasons = entry.reasons.iter().filter(|_| entry.kind == ChangeKind::Root);
    let days = reasons.flat_map(|reason| &reason.inputs);
    days.filter_map(|(day, count)| Some((day.clone(), count.as_u64()?))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Section 2.1 of the RFC, word for word.
    fn by_the_book(leaves: &[[u8; 32]]) -> [u8; 32] {
        match leaves {
            [] => digest(&[]),
            [leaf] => digest(&[&[0], leaf]),
            leaves => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                let (left, right) = leaves.split_at(k);
                digest(&[&[1], &by_the_book(left), &by_the_book(right)])
            }
        }
    }

    fn leaves(count: usize) -> Vec<[u8; 32]> {
        (0..count).map(|at| digest(&[&at.to_be_bytes()])).collect()
    }

    #[test]
    fn the_empty_tree_is_that_of_the_rfc() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(whole(&[]), empty);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_tree_in_parts_is_the_tree_over_all_leaves(count in 0_usize..5_000) {
            let leaves = leaves(count);
            prop_assert_eq!(whole(&leaves), crate::hex(&by_the_book(&leaves)));
        }

        #[test]
        fn a_leaf_changed_or_gone_or_elsewhere_shows(count in 2_usize..1_500, at in 0_usize..1_500) {
            let at = at % (count - 1);
            let before = leaves(count);
            let (mut changed, mut gone, mut swapped) =
                (before.clone(), before.clone(), before.clone());
            changed[at][31] ^= 1;
            gone.remove(at);
            swapped.swap(at, at + 1);
            for other in [changed, gone, swapped] {
                prop_assert_ne!(whole(&other), whole(&before));
            }
        }
    }

    #[test]
    fn roots_are_a_journal() {
        let at = Timestamp::from_second(1_772_000_000).unwrap();
        let rooting = Rooting {
            days: [("2026-02-24".to_owned(), 3), ("2026-02-25".to_owned(), 0)].into(),
            parts: vec![subtree(&leaves(3))],
        };
        let first = seal_root(&rooting, at, ("c0ffee", Some(2)), None);
        let second = seal_root(&Rooting::default(), at, ("c0ffee", Some(2)), Some(&first));
        assert_eq!(days_of(&first), rooting.days);
        assert_eq!(first.to.as_deref(), Some(whole(&leaves(3)).as_str()));
        assert_eq!((second.seq, &second.from), (2, &first.to));
        assert_eq!(crate::audit::first_break(&[first.clone(), second]), None);
        let forged = JournalEntry { to: Some(whole(&leaves(2))), ..first };
        assert_eq!(crate::audit::first_break(&[forged]), Some(1));
    }
}
