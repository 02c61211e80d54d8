//! Which accounts are below which, and what those count for the ones above.
//!
//! An account names the one above it in a trait. Whoever decides about an account as of now reads the
//! accounts below it as they are stored; whoever decides about it as of the past again has to know
//! who was below it then, and what that had counted by then: a [`Family`] tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::customer::{Profile, Scalar};
use crate::event::{Event, EventKind};
use crate::lifecycle::{Lifecycle, MetricKind};
use crate::replay::Replay;

#[cfg(test)]
mod tests;

/// Accounts further below are left out.
pub const MAX_LEVELS: usize = 5;
/// Of more accounts than these the nearest count.
pub const MAX_BELOW: usize = 1_000;
/// Longer ids are nobody's.
pub const MAX_ID_BYTES: usize = 1_023;

/// The id of the account that a customer says it is below.
#[must_use]
pub fn parent_of<'p>(profile: &'p Profile, lifecycle: &Lifecycle) -> Option<&'p str> {
    let declared = &lifecycle.traits[lifecycle.parent?];
    match &profile.traits.get(&declared.name)?.value {
        Scalar::Text(id) if is_id(id) => Some(id),
        _ => None,
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES
}

/// The ids of all accounts that a customer ever said it was below.
#[must_use]
pub fn parents_told<'l>(lifecycle: &Lifecycle, log: &'l [Event]) -> BTreeSet<&'l str> {
    let Some(parent) = lifecycle.parent else { return BTreeSet::new() };
    let name = &lifecycle.traits[parent].name;
    let told = log
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Group | EventKind::Identify))
        .filter_map(|event| event.traits()?.get(name)?.as_str());
    told.filter(|id| is_id(id)).collect()
}

/// The folds of the accounts below one, at each of some instants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Below(Vec<Vec<Arc<Profile>>>);

impl Below {
    /// Those at an instant, by its number; none where nothing is known of it.
    #[must_use]
    pub fn at(&self, instant: usize) -> Vec<Profile> {
        let folds = self.0.get(instant).map_or(&[][..], Vec::as_slice);
        folds.iter().map(|fold| Profile::clone(fold)).collect()
    }
}

/// Who was below whom at some instants, and what each had counted by then. Of a fold only what rolls
/// up is kept, and between two instants without an event it is kept once.
#[derive(Debug)]
pub struct Family<'a, K> {
    lifecycle: &'a Lifecycle,
    instants: &'a [Timestamp],
    /// The keys of the series that roll up.
    rolled: BTreeSet<u32>,
    /// For each instant: by the account above, those below it.
    below: Vec<BTreeMap<K, BTreeMap<K, Arc<Profile>>>>,
}

impl<'a, K: Clone + Ord> Family<'a, K> {
    /// Nobody yet. Instants rise.
    #[must_use]
    pub fn new(lifecycle: &'a Lifecycle, instants: &'a [Timestamp]) -> Family<'a, K> {
        let below = instants.iter().map(|_| BTreeMap::new()).collect();
        Family { lifecycle, instants, rolled: rolled(lifecycle), below }
    }

    /// Takes an account in, by its log, [`crate::replay::in_order`]. `key_of` is the key of an id.
    pub fn add(&mut self, key: &K, log: &[Event], key_of: impl Fn(&str) -> K) {
        if parents_told(self.lifecycle, log).is_empty() {
            return;
        }
        let mut replay = Replay::new(self.lifecycle, log);
        let mut kept: Option<(usize, Arc<Profile>)> = None;
        for (at, below) in self.instants.iter().zip(&mut self.below) {
            replay.until(*at);
            let profile = &replay.customer.profile;
            let Some(parent) = parent_of(profile, self.lifecycle).map(&key_of) else { continue };
            let seen = replay.seen();
            let fold = match kept.take().filter(|(before, _)| *before == seen) {
                Some((_, fold)) => fold,
                None => Arc::new(of_series(profile, &self.rolled)),
            };
            below.entry(parent).or_default().insert(key.clone(), Arc::clone(&fold));
            kept = Some((seen, fold));
        }
    }

    /// All accounts below one at each instant, the nearest first.
    #[must_use]
    pub fn below(&self, key: &K) -> Below {
        Below(self.below.iter().map(|at| gather(at, key)).collect())
    }
}

/// The accounts below one, level by level, each once however they name each other.
fn gather<K: Ord>(all: &BTreeMap<K, BTreeMap<K, Arc<Profile>>>, key: &K) -> Vec<Arc<Profile>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::from([key]));
    let mut level = vec![key];
    for _ in 0..MAX_LEVELS {
        let mut next = Vec::new();
        for (child, fold) in level.iter().filter_map(|parent| all.get(*parent)).flatten() {
            if !seen.insert(child) {
                continue;
            }
            if found.len() == MAX_BELOW {
                return found;
            }
            found.push(Arc::clone(fold));
            next.push(child);
        }
        level = next;
    }
    found
}

/// The series that some metric which rolls up reads.
fn rolled(lifecycle: &Lifecycle) -> BTreeSet<u32> {
    let list = lifecycle.measures.list();
    let rolling = lifecycle.metrics.iter().filter(|metric| metric.rolls_up);
    let measures = rolling.flat_map(|metric| match &metric.kind {
        MetricKind::Total { measure, minus, .. } => vec![Some(*measure), *minus],
        MetricKind::DaysWith { measure, .. }
        | MetricKind::Distinct { measure, .. }
        | MetricKind::Latest { measure, .. }
        | MetricKind::DaysSince { measure }
        | MetricKind::Change { measure, .. } => vec![Some(*measure)],
        MetricKind::Formula(_) => Vec::new(),
    });
    measures.flatten().map(|measure| list[measure].key).collect()
}

fn of_series(profile: &Profile, keys: &BTreeSet<u32>) -> Profile {
    let series = profile.series.iter().filter(|(key, _)| keys.contains(key));
    Profile {
        measures: profile.measures,
        first_seen: profile.first_seen,
        last_seen: profile.last_seen,
        hourly_from: profile.hourly_from,
        daily_from: profile.daily_from,
        traits: BTreeMap::new(),
        series: series.map(|(key, series)| (*key, series.clone())).collect(),
    }
}
