//! Folding journal entries into groups of alerts: each once, whatever is delivered again.

use std::collections::{BTreeMap, BTreeSet};

use domain::alerting::{
    Arrival, Change, Group, HeldBy, Inhibiting, Mutes, Note, Policy, group_id, next,
};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::store::{AlertWrites, CustomerNotes, GroupWrite, HeldGroup};
use platform::{CustomerKey, Store, StoreError};

/// How often it is tried again when others change the same groups.
const MAX_CONFLICTS: u32 = 12;
/// How many entries are folded at once: more would not fit one transaction.
const AT_ONCE: usize = 60;

/// What one record of the stream does to alerts.
#[derive(Debug)]
pub(crate) struct Folding<'l> {
    /// Names the record to the stream.
    pub(crate) record: String,
    /// The customer.
    pub(crate) key: CustomerKey,
    /// What it does, in this order.
    pub(crate) changes: Vec<Change<'l>>,
}

/// What could not be folded.
#[derive(Debug)]
pub(crate) struct NotFolded {
    /// The first record that was not.
    pub(crate) record: String,
    /// Why.
    pub(crate) error: StoreError,
}

/// Folds records in their order; answers the groups that were touched.
pub(crate) async fn fold(
    store: &Store,
    lifecycle: &Lifecycle,
    all: &[Folding<'_>],
    now: Timestamp,
    touched: &mut BTreeSet<String>,
) -> Result<(), NotFolded> {
    let mut parts: Vec<&[Folding<'_>]> = all.chunks(AT_ONCE).rev().collect();
    while let Some(part) = parts.pop() {
        let failed = |error| NotFolded { record: part[0].record.clone(), error };
        if !fold_part(store, lifecycle, part, now, touched).await.map_err(failed)? {
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
        }
    }
    Ok(())
}

/// Folds records in one transaction: whether they fit one.
async fn fold_part(
    store: &Store,
    lifecycle: &Lifecycle,
    part: &[Folding<'_>],
    now: Timestamp,
    touched: &mut BTreeSet<String>,
) -> Result<bool, StoreError> {
    for _ in 0..MAX_CONFLICTS {
        let mut work = Work::new(store, lifecycle, now);
        for folding in part {
            for change in &folding.changes {
                work.apply(&folding.key, change).await?;
            }
        }
        let groups: Vec<String> = work.groups.keys().cloned().collect();
        let writes = work.writes();
        if part.len() > 1 && !writes.fit() {
            return Ok(false);
        }
        if store.write_alerts(&writes, now).await? {
            touched.extend(groups);
            return Ok(true);
        }
    }
    Err(StoreError::Conflict(MAX_CONFLICTS))
}

/// What was read, and what it becomes.
struct Work<'w> {
    store: &'w Store,
    lifecycle: &'w Lifecycle,
    now: Timestamp,
    groups: BTreeMap<String, (HeldGroup, Option<Group>)>,
    notes: BTreeMap<CustomerKey, Notes>,
    muting: BTreeMap<String, bool>,
}

#[derive(Default)]
struct Notes {
    before: CustomerNotes,
    now: CustomerNotes,
}

impl<'w> Work<'w> {
    fn new(store: &'w Store, lifecycle: &'w Lifecycle, now: Timestamp) -> Work<'w> {
        Work {
            store,
            lifecycle,
            now,
            groups: BTreeMap::new(),
            notes: BTreeMap::new(),
            muting: BTreeMap::new(),
        }
    }

    async fn apply(&mut self, key: &CustomerKey, change: &Change<'_>) -> Result<(), StoreError> {
        match change {
            Change::Fires { route, arrival, mutes } => {
                let before = self.note(key, &arrival.alert).await?;
                if before.as_ref().is_some_and(|note| note.seq >= arrival.seq) {
                    return Ok(());
                }
                let note = self.fire(arrival, *route, before.as_ref()).await?;
                let mutes: Vec<String> = mutes
                    .iter()
                    .map(|source| self.muting_key(source, key, &arrival.alert))
                    .collect();
                let note = match note {
                    Some(note) => Note { mutes, ..note },
                    // It is told to nobody, and mutes others or replaces what was told.
                    None if before.is_some() || !mutes.is_empty() => {
                        Note { is_firing: !mutes.is_empty(), mutes, ..nowhere(arrival.seq) }
                    }
                    None => return Ok(()),
                };
                self.remember(key, &arrival.alert, before.as_ref(), note);
            }
            Change::Ends(arrival) => {
                let before = self.note(key, &arrival.alert).await?;
                if let Some(before) = before.filter(|note| note.seq < arrival.seq) {
                    let note = self.end(arrival, &before).await?;
                    self.remember(key, &arrival.alert, Some(&before), note);
                }
            }
            Change::EndsAll(arrival) => {
                self.note(key, "").await?;
                let known = self.notes.get(key).map(|notes| notes.now.clone()).unwrap_or_default();
                for (alert, before) in known {
                    if before.is_firing && before.seq < arrival.seq {
                        let arrival = Arrival { alert: alert.clone(), ..arrival.clone() };
                        let note = self.end(&arrival, &before).await?;
                        self.remember(key, &alert, Some(&before), note);
                    }
                }
            }
            Change::News(route, arrival) => {
                if self.note(key, &arrival.alert).await?.is_none() {
                    let now = self.now;
                    let note = self.group_of(arrival, *route).await?.tell(arrival, now);
                    self.remember(key, &arrival.alert, None, note);
                }
            }
        }
        Ok(())
    }

    /// An alert begins in the group of its route; where it was in another it ends there.
    async fn fire(
        &mut self,
        arrival: &Arrival,
        route: Option<HeldBy<'_>>,
        before: Option<&Note>,
    ) -> Result<Option<Note>, StoreError> {
        let now = self.now;
        let was_in = before.filter(|note| note.is_firing).map(|note| note.group.clone());
        let Some(route) = route else {
            if let (Some(before), Some(_)) = (before, was_in) {
                self.end(arrival, before).await?;
            }
            return Ok(None);
        };
        let id = self.group_of(arrival, route).await?.id.clone();
        if let (Some(before), Some(was_in)) = (before, was_in)
            && was_in != id
        {
            self.end(arrival, before).await?;
        }
        let here = before.filter(|note| note.group == id);
        Ok(Some(self.group_of(arrival, route).await?.fire(arrival, here, now)))
    }

    async fn end(&mut self, arrival: &Arrival, before: &Note) -> Result<Note, StoreError> {
        let now = self.now;
        let over = Note { seq: arrival.seq, is_firing: false, mutes: Vec::new(), ..before.clone() };
        if before.group.is_empty() {
            return Ok(over);
        }
        match &mut self.group(&before.group).await?.1 {
            Some(group) => Ok(Note { mutes: Vec::new(), ..group.resolve(arrival, before, now) }),
            None => Ok(over),
        }
    }

    async fn note(&mut self, key: &CustomerKey, alert: &str) -> Result<Option<Note>, StoreError> {
        if !self.notes.contains_key(key) {
            let before = self.store.alert_notes(key).await?;
            self.notes.insert(key.clone(), Notes { now: before.clone(), before });
        }
        Ok(self.notes.get(key).and_then(|notes| notes.now.get(alert)).cloned())
    }

    fn remember(&mut self, key: &CustomerKey, alert: &str, before: Option<&Note>, note: Note) {
        for muting in before.into_iter().flat_map(|note| &note.mutes) {
            self.muting.insert(muting.clone(), false);
        }
        for muting in &note.mutes {
            self.muting.insert(muting.clone(), true);
        }
        self.notes.entry(key.clone()).or_default().now.insert(alert.to_owned(), note);
    }

    fn muting_key(&self, source: &Inhibiting, key: &CustomerKey, alert: &str) -> String {
        Store::muting_key(&self.lifecycle.inhibit, source, key, alert)
    }

    async fn group(&mut self, id: &str) -> Result<&mut (HeldGroup, Option<Group>), StoreError> {
        if !self.groups.contains_key(id) {
            let held = self.store.alert_group(id).await?;
            self.groups.insert(id.to_owned(), (held.clone(), held.group));
        }
        Ok(self.groups.entry(id.to_owned()).or_default())
    }

    async fn group_of(
        &mut self,
        arrival: &Arrival,
        route: HeldBy<'_>,
    ) -> Result<&mut Group, StoreError> {
        let fresh = Group::new(route.0, route.group_by(), &arrival.labels, self.now);
        let id = group_id(&fresh.route, &fresh.labels);
        let (_, group) = self.group(&id).await?;
        Ok(group.get_or_insert(fresh))
    }

    fn writes(self) -> AlertWrites {
        let Work { lifecycle, now, groups, notes, muting, .. } = self;
        let mut writes = AlertWrites::default();
        for (id, (before, after)) in groups {
            if before.group == after {
                continue;
            }
            let (after, due) = due(after, lifecycle, now);
            writes.groups.push(GroupWrite { id, before, after, due });
        }
        for (key, Notes { before, now }) in notes {
            for (alert, note) in now {
                let was = before.get(&alert);
                if was != Some(&note) {
                    let seq = was.map(|note| note.seq);
                    writes.notes.push((key.clone(), alert, note, seq));
                }
            }
        }
        for (sk, begins) in muting {
            if begins { writes.muting.0.push(sk) } else { writes.muting.1.push(sk) }
        }
        writes
    }
}

/// When there is something to do for a group by itself, whatever may mute it then; a group that is over
/// is none.
pub(crate) fn due(
    group: Option<Group>,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> (Option<Group>, Option<Timestamp>) {
    let Some(group) = group else { return (None, None) };
    let mutes = Mutes { silences: &[], rules: &[], sources: &[], now };
    // A group whose receiver is gone is looked at at once, and let go.
    let due = match Policy::of(&group, lifecycle, None) {
        Some(policy) if group.is_over(&policy) => return (None, None),
        Some(policy) => next(&group, &mutes, &policy, now).due(),
        None => Some(now),
    };
    (Some(group), due)
}

fn nowhere(seq: u64) -> Note {
    Note {
        seq,
        group: String::new(),
        bucket: 0,
        epoch: 0,
        is_firing: false,
        told: false,
        mutes: Vec::new(),
    }
}
