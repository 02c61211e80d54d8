//! How events are committed: exactly once in effect, with no transaction and no stream.
//!
//! For one customer, in this order:
//!
//! 1. Read the customer item: version `v`.
//! 2. Read, strongly consistent, the buckets of the log that the events fall in.
//! 3. Put each event whose id is not there.
//! 4. Recompute those buckets' cells from what 2 read and 3 put.
//! 5. Update the customer on condition that its version is still `v`; on conflict go back to 1.
//! 6. Answer.
//!
//! Why it holds: a cell is recomputed, never incremented, so repeating any step changes nothing.
//! Step 2 comes after step 1, so a commit whose view of the log is older than the state it would
//! replace fails its condition. A crash between 3 and 5 leaves an event that nobody acknowledged;
//! the sender's retry, or the next event in its bucket, folds it in. The order is the proof:
//! `tests/commit_model.rs` explores every interleaving, and loses an event when 1 and 2 swap.
//!
//! Where step 1 finds no customer, step 2 reads nothing the first time: a log without a customer
//! holds nothing that was acknowledged, and a customer that was there after all fails step 5.
//!
//! A customer that became a part of another one (`identity`) takes no events: the commit
//! goes on at the other one. An event that an earlier delivery settled at another instant (`log`) goes
//! on at that instant.

use std::borrow::Cow;
use std::collections::HashSet;

use domain::customer::Customer;
use domain::decide::{decide_stage, next_due};
use domain::event::Event;
use domain::fold::{self, Scope};
use domain::lifecycle::Lifecycle;
use domain::task::next_snooze_end;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use super::customers::{CustomerUpdate, Due, Freshness, Late, Parts, index_time};
use super::log::{Logged, Reach, sort_key};
use super::{CustomerKey, Moved, Store, StoreError, Versioned};

/// How often a commit starts again when others change the same customer.
const MAX_CONFLICTS: u32 = 12;
/// How many customers a commit is sent on by.
const MAX_HOPS: u32 = 32;
/// How many reads of one commit are under way at once.
const PARALLEL_READS: usize = 16;

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is new, and counts.
    Accepted,
    /// Its id was there already; the first one counts.
    Duplicate,
}

/// What one customer made of a commit.
enum Attempt {
    Done(Committed),
    /// It is a part of another customer.
    Moved(Moved),
}

/// A commit that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// What became of each event, in the order they were given.
    pub fates: Vec<Fate>,
}

impl Store {
    /// Commits events of one customer. Nothing is acknowledged unless this returns `Ok`.
    ///
    /// # Errors
    /// When a table cannot be read or written, or others kept changing the customer. Some of the
    /// events may be in the log all the same; committing them again is safe and completes them.
    pub async fn commit(
        &self,
        key: &CustomerKey,
        events: &[Event],
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let mut key = key.clone();
        for _ in 0..MAX_HOPS {
            match self.commit_here(&key, events, lifecycle, now).await? {
                Attempt::Done(committed) => return Ok(committed),
                Attempt::Moved(moved) => key = self.home(&key, &moved, lifecycle, now).await?,
            }
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    async fn commit_here(
        &self,
        key: &CustomerKey,
        events: &[Event],
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Attempt, StoreError> {
        let mut events = Cow::Borrowed(events);
        let mut put_by_us: HashSet<String> = HashSet::new();
        let mut freshness = Freshness::Eventual;
        for _ in 0..MAX_CONFLICTS {
            let before = self.read_customer(key, freshness).await?;
            if let Some(moved) = before.moved {
                let taken_back: Vec<String> = put_by_us.into_iter().collect();
                self.delete_events(key, &taken_back).await?;
                return Ok(Attempt::Moved(moved));
            }
            let scope = scope(&before, lifecycle, &events, now);
            let logged = match (before.version, freshness) {
                (0, Freshness::Eventual) => Logged::default(),
                _ => self.read_scope(key, &scope).await?,
            };
            if let Some(redirected) = logged.redirected(&events) {
                events = Cow::Owned(redirected);
                continue;
            }
            let logged = logged.events;
            let missing = missing(&events, &logged);
            let puts = self.put_events(key, &missing).await?;
            let put = missing.iter().zip(&puts).filter(|(_, put)| **put).map(|(event, _)| *event);
            put_by_us.extend(put.map(|event| sort_key(event.at, &event.id)));
            freshness = Freshness::Strong;
            if puts.contains(&false) {
                // Another writer put one of the ids first: what it put is what counts.
                continue;
            }
            if let Some(moved) = self.moved_by_link(&before, lifecycle).await? {
                let taken_back: Vec<String> = put_by_us.into_iter().collect();
                self.delete_events(key, &taken_back).await?;
                return Ok(Attempt::Moved(moved));
            }
            let all: Vec<Event> = logged.iter().chain(missing).cloned().collect();
            let late = Late::after(&before, events.iter().map(|event| event.at));
            if self.fold_and_update(&before, &scope, &all, late, lifecycle, now).await? {
                return Ok(Attempt::Done(Committed { fates: fates(&events, put_by_us) }));
            }
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    /// Folds a customer's whole log again for the measures of a newer lifecycle file. Answers the
    /// customer as it then is.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn refold(
        &self,
        before: Versioned,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<Versioned, StoreError> {
        let key = before.key.clone();
        let mut before = before;
        for _ in 0..MAX_CONFLICTS {
            if before.customer.profile.measures == lifecycle.measures.fingerprint {
                return Ok(before);
            }
            let logged = self.log(&key, Reach::Whole).await?;
            let (scope, late) = (Scope::Whole, Late::Keep);
            self.fold_and_update(&before, &scope, &logged, late, lifecycle, now).await?;
            before = self.read_customer(&key, Freshness::Strong).await?;
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    pub(super) async fn read_scope(
        &self,
        key: &CustomerKey,
        scope: &Scope,
    ) -> Result<Logged, StoreError> {
        let hours = match scope {
            Scope::Buckets { hours, .. } if !scope.reads_everything() => hours,
            _ => return self.read_log(key, Reach::Whole).await,
        };
        // Collected, because a stream over a closure that borrows is not `Send` to the compiler.
        let reads = hours.iter().map(|range| self.read_log(key, Reach::Hours(*range)));
        let reads: Vec<_> = reads.collect();
        let parts: Vec<Logged> =
            stream::iter(reads).buffer_unordered(PARALLEL_READS).try_collect().await?;
        let mut all = Logged::default();
        for part in parts {
            all.events.extend(part.events);
            all.signposts.extend(part.signposts);
        }
        Ok(all)
    }

    /// Steps 4 and 5: whether the update stood.
    async fn fold_and_update(
        &self,
        before: &Versioned,
        scope: &Scope,
        events: &[Event],
        late: Late,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let folded = match folded(before, scope, events, lifecycle, now) {
            Some(folded) => folded,
            None => return Ok(true),
        };
        self.note_parent(before, &folded, lifecycle).await?;
        let due = due(before, &folded, lifecycle, now);
        let update = CustomerUpdate::new(before, &folded, Parts::Profile, (due, late), now);
        self.update_customer(&before.key, update).await
    }
}

/// What of the log has to be read and recomputed for these events.
pub(super) fn scope(
    before: &Versioned,
    lifecycle: &Lifecycle,
    events: &[Event],
    now: Timestamp,
) -> Scope {
    fold::scope(&before.customer.profile, lifecycle, events, now)
}

/// The events whose ids the log does not have, each id once.
pub(super) fn missing<'e>(events: &'e [Event], logged: &[Event]) -> Vec<&'e Event> {
    let mut known: HashSet<String> =
        logged.iter().map(|event| sort_key(event.at, &event.id)).collect();
    events.iter().filter(|event| known.insert(sort_key(event.at, &event.id))).collect()
}

/// The customer with the events folded in; `None` when they change nothing but its age.
pub(super) fn folded(
    before: &Versioned,
    scope: &Scope,
    events: &[Event],
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<Customer> {
    let mut after = before.customer.clone();
    fold::fold(&mut after.profile, lifecycle, scope, events, now);
    if before.version != 0 && *scope != Scope::Whole {
        let mut aged = before.customer.profile.clone();
        let nothing = Scope::Buckets { starts: Default::default(), hours: Vec::new() };
        fold::fold(&mut aged, lifecycle, &nothing, &[], now);
        if aged == after.profile {
            return None;
        }
    }
    Some(after)
}

/// `evaluate` should look at the customer now when the stage disagrees with what happened, and at
/// the first instant of the coming day at which it would, where the file has rules that fine.
pub(super) fn due(
    before: &Versioned,
    folded: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Due {
    let waits = |at: Timestamp| before.due_at.is_some_and(|due| index_time(due) <= index_time(at));
    if decide_stage(folded, lifecycle, now).is_change() {
        return if waits(now) { Due::Keep } else { Due::At(now) };
    }
    match coming(folded, lifecycle, now) {
        Some(at) if before.due_at.is_none_or(|due| due > at) => Due::At(at),
        _ => Due::Keep,
    }
}

/// The first instant at which something would change by itself before the nightly sweep comes to
/// it: of the coming day, where the lifecycle has rules that fine, and when a move by hand or a snooze runs out.
pub(super) fn coming(
    customer: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<Timestamp> {
    let hold = customer.status.hold.as_ref();
    let released = hold.and_then(|hold| hold.until).filter(|until| *until > now);
    // A person may put a task off until any second.
    let released = released.into_iter().chain(next_snooze_end(&customer.status, now)).min();
    if !lifecycle.is_sub_day {
        return released;
    }
    let until = now.saturating_add(SignedDuration::from_hours(26)).unwrap_or(Timestamp::MAX);
    next_due(customer, lifecycle, now, until).into_iter().chain(released).min()
}

fn fates(events: &[Event], mut put_by_us: HashSet<String>) -> Vec<Fate> {
    let mut fates = Vec::with_capacity(events.len());
    for event in events {
        // Taken out, so that a second event with the same id in one request is the duplicate.
        let accepted = put_by_us.remove(&sort_key(event.at, &event.id));
        fates.push(if accepted { Fate::Accepted } else { Fate::Duplicate });
    }
    fates
}
