//! Accounts that have to be looked at together, because what one counts rolls up to another.

use std::collections::HashMap;

use domain::event::Event;
use domain::hierarchy::parents_told;
use domain::lifecycle::Lifecycle;
use platform::CustomerKey;

/// Who ever was below whom, as groups that no account of one leads out of.
#[derive(Default)]
pub(crate) struct Families {
    /// The group of each account that has somebody below or above it.
    group: HashMap<CustomerKey, usize>,
    groups: Vec<Vec<CustomerKey>>,
}

/// The accounts that a customer ever said it was below, under any of these files.
pub(crate) fn parents<'a>(
    files: impl IntoIterator<Item = &'a Lifecycle>,
    log: &[Event],
) -> Vec<CustomerKey> {
    let told = files.into_iter().flat_map(|file| parents_told(file, log));
    let mut keys: Vec<CustomerKey> = told.map(CustomerKey::subject).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl Families {
    /// Joins accounts with those above them.
    pub(crate) fn of(links: impl IntoIterator<Item = (CustomerKey, Vec<CustomerKey>)>) -> Families {
        let mut families = Families::default();
        for (child, parents) in links {
            for parent in parents.into_iter().filter(|parent| *parent != child) {
                families.join(&child, &parent);
            }
        }
        families
    }

    fn join(&mut self, one: &CustomerKey, other: &CustomerKey) {
        let (one, other) = (self.place(one), self.place(other));
        if one == other {
            return;
        }
        // The smaller group moves: each account moves as often as its group can double.
        let (into, from) = match self.groups[one].len() >= self.groups[other].len() {
            true => (one, other),
            false => (other, one),
        };
        let moving = std::mem::take(&mut self.groups[from]);
        for key in &moving {
            self.group.insert(key.clone(), into);
        }
        self.groups[into].extend(moving);
    }

    fn place(&mut self, key: &CustomerKey) -> usize {
        if let Some(group) = self.group.get(key) {
            return *group;
        }
        self.groups.push(vec![key.clone()]);
        self.group.insert(key.clone(), self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// Whether an account is looked at together with others.
    pub(crate) fn has(&self, key: &CustomerKey) -> bool {
        self.group.contains_key(key)
    }

    /// The groups, each in the order of its keys.
    pub(crate) fn into_groups(self) -> impl Iterator<Item = Vec<CustomerKey>> {
        self.groups.into_iter().filter(|group| !group.is_empty()).map(|mut group| {
            group.sort_unstable();
            group
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> CustomerKey {
        CustomerKey::subject(id)
    }

    #[test]
    fn accounts_that_lead_to_each_other_are_one_group_in_any_order() {
        let links = [("c", "b"), ("x", "y"), ("b", "a"), ("d", "b"), ("own", "own"), ("a", "d")];
        let links = links.map(|(child, parent)| (key(child), vec![key(parent)]));
        let backwards = links.iter().rev().cloned();
        for families in [Families::of(links.clone()), Families::of(backwards)] {
            assert!(families.has(&key("a")) && !families.has(&key("own")));
            let mut groups: Vec<Vec<CustomerKey>> = families.into_groups().collect();
            groups.sort();
            let named = |ids: &[&str]| ids.iter().map(|id| key(id)).collect::<Vec<_>>();
            assert_eq!(groups, [named(&["a", "b", "c", "d"]), named(&["x", "y"])]);
        }
    }
}
