//! The replay of many customers, on the threads that there are.
//!
//! Where something rolls up, the logs are read twice: once for who was ever below whom, and once to look
//! at everybody, those that lead to each other together. Of such groups as many are in memory at once
//! as there are threads, and of a group the logs as they are stored, and what its accounts counted at
//! each instant.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Result, anyhow};
use domain::hierarchy::Family;
use domain::plan::{Plan, Question, Subject};
use domain::replay::in_order;
use indicatif::ProgressBar;
use platform::CustomerKey;

use super::families::{Families, parents};
use super::source::{Customers, Source, Work};

/// Customers that wait to be looked at: as many logs are in memory.
const WAITING: usize = 64;

/// What the replay came to.
#[derive(Default)]
pub(super) struct Replayed {
    pub(super) plan: Plan,
    /// Events that could not be read.
    pub(super) damaged: u64,
    /// Customers that could not be replayed.
    pub(super) failed: u64,
}

/// Looks at every customer.
pub(super) fn replay(
    source: Source,
    question: &Question<'_>,
    threads: usize,
    bar: &ProgressBar,
) -> Result<Replayed> {
    let customers = source.open()?;
    let families = families(&customers, question, threads)?;
    let slots = Slots::new(threads);
    let parts = on_threads(
        threads,
        |hand_on| {
            customers.each(&mut |work| match families.has(&work.key) {
                true => Ok(()),
                false => hand_on(Group { members: vec![work], _slot: None }),
            })?;
            for keys in families.into_groups() {
                let slot = Some(slots.take());
                hand_on(Group { members: customers.of(&keys)?, _slot: slot })?;
            }
            Ok(())
        },
        |part: &mut Replayed, group: Group| {
            let members = group.members.len() as u64;
            match group.members.len() {
                1 => part.look_at_one(group.members, question),
                _ => part.look_at_family(group.members, question),
            }
            bar.inc(members);
        },
    )?;
    let mut sum = Replayed::default();
    for Replayed { plan, damaged, failed } in parts {
        sum.plan.merge(plan);
        sum.damaged += damaged;
        sum.failed += failed;
    }
    sum.plan.finish();
    Ok(sum)
}

/// Who has to be looked at together; nobody where nothing rolls up.
fn families(customers: &Customers, question: &Question<'_>, threads: usize) -> Result<Families> {
    let files = [question.active, question.proposed];
    if files.iter().all(|file| file.parent.is_none()) {
        return Ok(Families::default());
    }
    let links = on_threads(
        threads,
        |hand_on| customers.each(hand_on),
        |links: &mut Links, Work { key, log, .. }| {
            let above = parents(files, &log.unpack(&mut 0));
            if !above.is_empty() {
                links.push((key, above));
            }
        },
    )?;
    Ok(Families::of(links.into_iter().flatten()))
}

/// Whom each account ever said it was below.
type Links = Vec<(CustomerKey, Vec<CustomerKey>)>;

/// Customers that are looked at together.
struct Group {
    members: Vec<Work>,
    /// Given back when the group is let go of.
    _slot: Option<Slot>,
}

/// How many groups there may be at once.
struct Slots(SyncSender<()>, Arc<Mutex<Receiver<()>>>);

struct Slot(Arc<Mutex<Receiver<()>>>);

impl Slots {
    fn new(count: usize) -> Slots {
        let (taken, given_back) = sync_channel(count);
        Slots(taken, Arc::new(Mutex::new(given_back)))
    }

    /// Waits until there is one.
    fn take(&self) -> Slot {
        // The receiver is held here as well, so that nobody can have dropped it.
        let _ = self.0.send(());
        Slot(Arc::clone(&self.1))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).try_recv();
    }
}

impl Replayed {
    fn look_at_one(&mut self, members: Vec<Work>, question: &Question<'_>) {
        for Work { key, status, log } in members {
            let log = in_order(log.unpack(&mut self.damaged));
            let subject = Subject { id: key.id(), status: status.as_ref(), log: &log, below: None };
            self.look_at(subject, question);
        }
    }

    /// First what everybody counts for those above, then everybody with what is below.
    fn look_at_family(&mut self, members: Vec<Work>, question: &Question<'_>) {
        let files = [question.active, question.proposed];
        let mut families = files.map(|file| Family::new(file, &question.instants));
        for Work { key, log, .. } in &members {
            let log = in_order(log.clone().unpack(&mut 0));
            for family in &mut families {
                let add = || family.add(key, &log, CustomerKey::subject);
                // Whoever fails here fails below, too, and is counted there.
                let _ = catch_unwind(AssertUnwindSafe(add));
            }
        }
        for Work { key, status, log } in members {
            let log = in_order(log.unpack(&mut self.damaged));
            let below = families.each_ref().map(|family| family.below(&key));
            let (id, status) = (key.id(), status.as_ref());
            self.look_at(Subject { id, status, log: &log, below: Some(&below) }, question);
        }
    }

    /// A defect met by one customer must not keep the others from being seen.
    fn look_at(&mut self, subject: Subject<'_>, question: &Question<'_>) {
        let look = || self.plan.look_at(subject, question);
        self.failed += u64::from(catch_unwind(AssertUnwindSafe(look)).is_err());
    }
}

/// What each of some threads makes of what it gets of all that `read` hands on.
fn on_threads<W: Send, T: Default + Send>(
    threads: usize,
    read: impl FnOnce(&mut dyn FnMut(W) -> Result<()>) -> Result<()>,
    take: impl Fn(&mut T, W) + Sync,
) -> Result<Vec<T>> {
    let (hand_on, waiting) = sync_channel::<W>(WAITING);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut part = T::default();
                    loop {
                        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(next) = next else { return part };
                        take(&mut part, next);
                    }
                })
            })
            .collect();
        let read = read(&mut |work| {
            hand_on.send(work).map_err(|_| anyhow!("the threads that replay have stopped"))
        });
        drop(hand_on);
        let mut parts = Vec::with_capacity(threads);
        for worker in workers {
            parts.push(worker.join().map_err(|_| anyhow!("a thread that replays panicked"))?);
        }
        read?;
        Ok(parts)
    })
}
