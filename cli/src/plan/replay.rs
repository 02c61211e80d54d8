//! The replay of many customers, on the threads that there are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, anyhow};
use domain::plan::{Plan, Question, Subject};
use domain::replay::in_order;
use indicatif::ProgressBar;

use super::source::{Source, Work};

/// Customers that wait to be looked at: as many logs are in memory.
const WAITING: usize = 64;

/// What the replay came to.
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
    let (hand_on, waiting) = sync_channel::<Work>(WAITING);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let (mut plan, mut damaged, mut failed) = (Plan::default(), 0, 0);
                    loop {
                        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(Work { key, status, log }) = next else {
                            return (plan, damaged, failed);
                        };
                        let log = in_order(log.unpack(&mut damaged));
                        let status = status.as_ref();
                        let subject = Subject { id: key.id(), status, log: &log };
                        // A defect met by one customer must not keep the others from being seen.
                        let looked =
                            catch_unwind(AssertUnwindSafe(|| plan.look_at(subject, question)));
                        failed += u64::from(looked.is_err());
                        bar.inc(1);
                    }
                })
            })
            .collect();
        let read = source.each(|work| {
            hand_on.send(work).map_err(|_| anyhow!("the threads that replay have stopped"))
        });
        drop(hand_on);
        let (mut plan, mut damaged, mut failed) = (Plan::default(), 0, 0);
        for worker in workers {
            let (part, events, customers) =
                worker.join().map_err(|_| anyhow!("a thread that replays panicked"))?;
            plan.merge(part);
            damaged += events;
            failed += customers;
        }
        read?;
        plan.finish();
        Ok(Replayed { plan, damaged, failed })
    })
}
