//! Whether journals are as they were written.
//!
//! Each entry is sealed by a hash over its content and the hash of the entry before
//! ([`crate::journal`]), and the customer's own state holds the hash of the last one. So an entry
//! that was changed, removed, put elsewhere or added is found, and named. Whoever can write both
//! tables could still cut a journal short or take it away with its customer: the daily root
//! ([`seal_root`]) over every entry, each chained to the one before, names what is missing then. What
//! nobody but the keeper of a root can rule out is that all roots were made anew as well.

mod roots;

use std::fmt;

use sha2::{Digest, Sha256};

use crate::journal::{JournalEntry, JournalHead};

pub use roots::{LEAVES, Rooting, days_of, seal_root, subtree, tree, whole};

/// What is wrong at one place of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The entry is not what was sealed.
    Edited,
    /// There is something that is no entry.
    Unreadable,
    /// Entries are not there, from this one to the fault's own.
    Missing {
        /// The first of them.
        from: u64,
    },
    /// The entry is another one, of this number.
    Misplaced {
        /// The number that it was sealed with.
        number: u64,
    },
    /// It was sealed, but does not follow from the entry before: one of the two was replaced.
    Detached,
    /// It is not what the customer's state ends with: it was replaced, or added.
    Foreign,
    /// A root was over it, and it is not there.
    Gone {
        /// The last day the root is of.
        day: String,
    },
    /// A root was over another one.
    Replaced {
        /// The last day the root is of.
        day: String,
    },
    /// Of a root: the list of what it is over is not there, or another.
    Unlisted,
    /// Of a root: there are fewer entries of a day than roots are over.
    Fewer {
        /// The day.
        day: String,
        /// How many fewer.
        by: u64,
    },
}

impl Fault {
    /// A word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Edited => "edited",
            Fault::Unreadable => "unreadable",
            Fault::Missing { .. } => "missing",
            Fault::Misplaced { .. } => "misplaced",
            Fault::Detached => "detached",
            Fault::Foreign => "foreign",
            Fault::Gone { .. } => "gone",
            Fault::Replaced { .. } => "replaced",
            Fault::Unlisted => "unlisted",
            Fault::Fewer { .. } => "fewer",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Edited => f.write_str("was changed after it was sealed"),
            Fault::Unreadable => f.write_str("cannot be read as an entry"),
            Fault::Missing { from } => write!(f, "and all from {from} on are missing"),
            Fault::Misplaced { number } => write!(f, "is entry {number}, put elsewhere"),
            Fault::Detached => f.write_str("does not follow from the entry before it"),
            Fault::Foreign => f.write_str("is not the one that the customer's state ends with"),
            Fault::Gone { day } => write!(f, "is missing: the root of {day} was over it"),
            Fault::Replaced { day } => write!(f, "is not the one that the root of {day} was over"),
            Fault::Unlisted => {
                f.write_str("is a root over other entries than those listed with it")
            }
            Fault::Fewer { day, by } => {
                write!(f, "is a root over {by} more entries of {day} than there are")
            }
        }
    }
}

/// A journal that is read from its first entry on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// The number of the last entry; 0 before the first.
    pub number: u64,
    /// Its hash, where there is one to go on from.
    pub hash: Option<String>,
}

impl Chain {
    /// Reads on: what is at the next place, `None` where that is no entry. Answers what is wrong
    /// there, with its number.
    pub fn follow(&mut self, place: u64, entry: Option<&JournalEntry>) -> Option<(u64, Fault)> {
        let gap = (place > self.number + 1).then_some(self.number + 1);
        let is_first = self.number == 0;
        let before = std::mem::replace(&mut self.hash, entry.map(|entry| entry.hash.clone()));
        self.number = place;
        if let Some(from) = gap {
            return Some((place - 1, Fault::Missing { from }));
        }
        let Some(entry) = entry else { return Some((place, Fault::Unreadable)) };
        let follows = match before {
            Some(before) => entry.prev == before,
            None => !is_first || entry.prev.is_empty(),
        };
        let fault = match () {
            () if entry.seq != place => Fault::Misplaced { number: entry.seq },
            () if !entry.is_intact() => Fault::Edited,
            () if !follows => Fault::Detached,
            () => return None,
        };
        Some((place, fault))
    }

    /// Whether the entry just read is the one that the customer's state ends with, where it should
    /// be.
    #[must_use]
    pub fn contradicts(&self, head: &JournalHead) -> Option<(u64, Fault)> {
        let hash = self.hash.as_deref()?;
        let is_other = self.number == head.seq && hash != crate::hex(&head.hash);
        is_other.then_some((head.seq, Fault::Foreign))
    }

    /// What is wrong with where the journal ended, given where the customer's state does.
    #[must_use]
    pub fn ends(&self, head: &JournalHead) -> Option<(u64, Fault)> {
        match self.number {
            number if number < head.seq => Some((head.seq, Fault::Missing { from: number + 1 })),
            number if number > head.seq => Some((number, Fault::Foreign)),
            _ => None,
        }
    }
}

/// The number of the first entry of a whole journal that is not as it was written.
#[must_use]
pub fn first_break(entries: &[JournalEntry]) -> Option<u64> {
    let mut chain = Chain::default();
    let mut places = (1..).zip(entries);
    places.find_map(|(place, entry)| chain.follow(place, Some(entry))).map(|(number, _)| number)
}

/// One hash over the last entries of all journals, whatever order they are read in: SHA-256 over
/// their hashes as lower-case hexadecimal text, sorted, each followed by a line feed.
#[must_use]
pub fn root(mut hashes: Vec<&str>) -> String {
    hashes.sort_unstable();
    let mut digest = Sha256::new();
    for hash in hashes {
        digest.update(hash);
        digest.update(b"\n");
    }
    crate::hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests_support::{customer, day, lifecycle, run};

    const FILE: &str = "
version: 1
metrics: { logins_7d: { count: login, over: 7d } }
stages:
  quiet: { enter: { when: metrics.logins_7d == 0, priority: 1 } }
  busy: { enter: { when: metrics.logins_7d > 0, priority: 2 } }
";

    fn journal() -> (Vec<JournalEntry>, JournalHead) {
        let lifecycle = lifecycle(FILE);
        let logins = [1.0, 20.0, 40.0, 60.0].map(|at| (at, "login", json!({ "user": "u" })));
        let mut known = customer(&lifecycle, &[], 0.0);
        let mut entries = Vec::new();
        for at in 0..70 {
            let now = f64::from(at);
            let seen = logins.iter().filter(|(login, ..)| *login <= now).cloned();
            known.profile = customer(&lifecycle, &seen.collect::<Vec<_>>(), now).profile;
            entries.extend(run(&mut known, &lifecycle, day(now)));
        }
        assert!(entries.len() >= 6, "{}", entries.len());
        let customer = known;
        (entries, customer.status.journal)
    }

    fn faults(entries: &[Option<JournalEntry>], head: &JournalHead) -> Vec<(u64, Fault)> {
        let places = entries.iter().enumerate().map(|(at, entry)| (at as u64 + 1, entry.as_ref()));
        faults_at(places, head)
    }

    fn faults_at<'e>(
        places: impl IntoIterator<Item = (u64, Option<&'e JournalEntry>)>,
        head: &JournalHead,
    ) -> Vec<(u64, Fault)> {
        let mut chain = Chain::default();
        let mut faults = Vec::new();
        for (place, entry) in places {
            faults.extend(chain.follow(place, entry));
            faults.extend(chain.contradicts(head));
        }
        faults.extend(chain.ends(head));
        faults
    }

    #[test]
    fn every_way_to_change_a_journal_is_found_where_it_was_done() {
        let (entries, head) = journal();
        let some = |entries: &[JournalEntry]| entries.iter().cloned().map(Some).collect::<Vec<_>>();
        assert_eq!(faults(&some(&entries), &head), []);

        for (at, number) in (1..=head.seq).enumerate() {
            let mut edited = entries.clone();
            edited[at].to = Some("elsewhere".into());
            assert_eq!(faults(&some(&edited), &head), [(number, Fault::Edited)]);

            let mut unreadable = some(&entries);
            unreadable[at] = None;
            assert_eq!(faults(&unreadable, &head), [(number, Fault::Unreadable)]);

            let rest = (1..).zip(&entries).filter(|(place, _)| *place != number);
            let found = faults_at(rest.map(|(place, entry)| (place, Some(entry))), &head);
            assert_eq!(found, [(number, Fault::Missing { from: number })]);
        }

        let mut swapped = entries.clone();
        swapped.swap(1, 2);
        let found = faults(&some(&swapped), &head);
        let misplaced = [(2, Fault::Misplaced { number: 3 }), (3, Fault::Misplaced { number: 2 })];
        assert_eq!(found[..2], misplaced);

        let mut last = entries.clone();
        let at = last.len() - 1;
        last[at] = resealed(&last[at], "elsewhere");
        assert_eq!(faults(&some(&last), &head), [(head.seq, Fault::Foreign)]);

        let mut middle = entries.clone();
        middle[2] = resealed(&middle[2], "elsewhere");
        assert_eq!(faults(&some(&middle), &head), [(4, Fault::Detached)]);

        let mut longer = entries.clone();
        let mut added = longer[at].clone();
        (added.seq, added.prev) = (head.seq + 1, longer[at].hash.clone());
        longer.push(resealed(&added, "elsewhere"));
        assert_eq!(faults(&some(&longer), &head), [(head.seq + 1, Fault::Foreign)]);
        assert_eq!(faults(&[], &head), [(head.seq, Fault::Missing { from: 1 })]);
    }

    /// What somebody who knows how entries are sealed would put in the place of one.
    fn resealed(entry: &JournalEntry, to: &str) -> JournalEntry {
        let mut changed =
            JournalEntry { to: Some(to.into()), hash: String::new(), ..entry.clone() };
        changed.hash = crate::hex(&Sha256::digest(serde_json::to_vec(&changed).unwrap()));
        assert!(changed.is_intact());
        changed
    }

    #[test]
    fn the_root_is_of_the_set_of_journals() {
        assert_eq!(root(vec!["b", "a"]), root(vec!["a", "b"]));
        assert_ne!(root(vec!["a", "b"]), root(vec!["a"]));
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(root(Vec::new()), empty);
    }
}
