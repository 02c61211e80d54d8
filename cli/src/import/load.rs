//! Rows into the store: read and put into order first, then committed customer by customer.
//!
//! Invariants:
//! - Memory does not grow with the file: rows lie on disk, sorted by customer, between the two
//!   halves, and are committed in chunks.
//! - A row that cannot be taken is counted and set aside; it never stops the others.
//! - Everything can be repeated: ids are told by content, and the checkpoint is written after the
//!   chunk it speaks of, so that an interrupted import repeats at most one chunk.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use domain::feed::{Sender, SenderKind};
use domain::lifecycle::{Lifecycle, Subject};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use platform::store::SetAside;
use platform::{Clock, CustomerKey, Store};
use tokio::sync::mpsc;

use super::call::{Problem, Row};
use super::checkpoint::{Checkpoint, Place};
use super::report::{BadSample, Phase, Progress, Report, SHOWN, peak_rss_bytes};
use super::rows::{BadRow, RowError, Rows};
use super::spill::{self, Chunk, Chunking, Record, Slab, Spill, Writer};
use super::time::ShiftTo;

/// Events that are committed at once.
pub const CHUNK_EVENTS: usize = 20_000;
/// Rows read between two looks at everything else.
const ROWS_AT_ONCE: usize = 2_000;
/// Bad rows that are set aside; a file with more has one thing wrong with it, many times.
const MAX_SET_ASIDE: u64 = 1_000;
/// Links between users and accounts that are held before they are written.
const MAX_LINKS: usize = 200_000;
const PARALLEL: usize = 16;
/// Clocks differ; a row that is further ahead has a wrong time.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

const BY_CUSTOMER: &str = "by-customer";
const BY_USER: &str = "by-user";

/// How to import.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where checkpoints, and rows on their way, are kept.
    pub checkpoints: PathBuf,
    /// Forget an interrupted import of the same file.
    pub restart: bool,
    /// Move the rows in time.
    pub shift: Option<ShiftTo>,
    /// Events that are committed at once.
    pub chunk_events: usize,
}

impl Options {
    /// The usual ones.
    #[must_use]
    pub fn new(checkpoints: impl Into<PathBuf>) -> Options {
        Options {
            checkpoints: checkpoints.into(),
            restart: false,
            shift: None,
            chunk_events: CHUNK_EVENTS,
        }
    }
}

/// Imports the rows of a file.
///
/// Importing the same rows again, from this file or another, changes nothing. When it is
/// interrupted, the same call goes on after the last chunk that was committed.
///
/// # Errors
/// When the file or the store fails. A bad row is no error.
pub async fn load(
    mut rows: Rows,
    store: &Store,
    lifecycle: &Lifecycle,
    clock: &Clock,
    mut progress: impl FnMut(&Progress),
    options: &Options,
) -> Result<Report> {
    let started = Instant::now();
    let place = Place::of(&options.checkpoints, rows.path(), rows.plan(), options.shift)?;
    let spill = Spill::new(spill::folder(&options.checkpoints, &place.key), rows.bytes());
    let found =
        place.read().filter(|found| !options.restart && found.partitions == spill.partitions);
    let resumed_at = found.as_ref().map(|found| found.stored);
    let mut checkpoint = match found {
        Some(found) => found,
        None => {
            place.remove()?;
            spill.clear()?;
            let read =
                read(&mut rows, &spill, store, lifecycle, clock, &mut progress, options).await;
            let checkpoint = read.inspect_err(|_| drop(spill.clear()))?;
            place.write(&checkpoint).context("cannot write the checkpoint")?;
            checkpoint
        }
    };
    drop(rows);
    commit(&mut checkpoint, &spill, &place, store, lifecycle, clock, &mut progress, options)
        .await?;
    spill.clear()?;
    place.remove()?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(report(checkpoint, resumed_at, seconds))
}

fn report(checkpoint: Checkpoint, resumed_at: Option<u64>, seconds: f64) -> Report {
    let here = match resumed_at {
        Some(stored) => checkpoint.good.saturating_sub(stored),
        None => checkpoint.rows,
    };
    let shift = SignedDuration::from_hours(24 * checkpoint.shift_days);
    let shifted = |ms: Option<i64>| Timestamp::from_millisecond(ms?).ok()?.checked_add(shift).ok();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rows_per_second = here as f64 / seconds.max(1e-6);
    Report {
        rows: checkpoint.rows,
        accepted: checkpoint.accepted,
        duplicates: checkpoint.duplicates,
        rejected: checkpoint.rejected,
        customers: checkpoint.customers,
        seconds,
        rows_per_second,
        resumed_at,
        peak_rss_bytes: peak_rss_bytes(),
        first_at: shifted(checkpoint.first_ms),
        last_at: shifted(checkpoint.last_ms),
        shifted_days: checkpoint.shift_days,
        set_aside: checkpoint.set_aside,
        bad_rows: checkpoint.bad,
    }
}

// ---- the first half: every row into the partition of its customer ----

/// Reads the whole file.
async fn read(
    rows: &mut Rows,
    spill: &Spill,
    store: &Store,
    lifecycle: &Lifecycle,
    clock: &Clock,
    progress: &mut impl FnMut(&Progress),
    options: &Options,
) -> Result<Checkpoint> {
    let total = rows.bytes();
    let latest = match options.shift {
        None => clock.now().checked_add(AHEAD)?,
        Some(_) => Timestamp::MAX,
    };
    let mut router = Router {
        subject: lifecycle.subject,
        latest,
        by_customer: spill.writer(BY_CUSTOMER)?,
        by_user: spill.writer(BY_USER)?,
        links: HashMap::new(),
    };
    let mut checkpoint = Checkpoint::of_file(rows.path());
    checkpoint.partitions = spill.partitions;
    let shield = store.shield(lifecycle).await?;
    let mut is_over = false;
    while !is_over {
        let mut bad = Vec::new();
        for _ in 0..ROWS_AT_ONCE {
            let Some(row) = rows.next() else {
                is_over = true;
                break;
            };
            checkpoint.rows += 1;
            match row {
                Ok(mut row) => {
                    if let Some(shield) = &shield {
                        shield.treat_call(&mut row.body);
                    }
                    match router.route(&row)? {
                        Ok(()) => seen(&mut checkpoint, row.at),
                        Err(problem) => {
                            let raw = serde_json::to_vec(&row.body).unwrap_or_default();
                            bad.push(BadRow { line: row.line, problem, raw });
                        }
                    }
                }
                Err(RowError::Bad(one)) => bad.push(one),
                Err(error) => return Err(error.into()),
            }
        }
        set_aside(bad, &mut checkpoint, store, clock).await?;
        if router.links.len() >= MAX_LINKS {
            link(store, lifecycle, &router.links, clock.now()).await?;
            router.links.clear();
        }
        progress(&Progress {
            phase: Phase::Reading,
            done: rows.bytes_read(),
            total,
            rows: checkpoint.rows,
            rejected: checkpoint.rejected,
        });
        tokio::task::yield_now().await;
    }
    router.finish(spill, store, lifecycle, clock.now()).await?;
    if let (Some(shift), Some(last)) = (options.shift, checkpoint.last_ms) {
        let last = Timestamp::from_millisecond(last)?;
        let by = shift.by(last, &rows.plan().zone, clock.now());
        checkpoint.shift_days = by.as_hours() / 24;
    }
    Ok(checkpoint)
}

fn seen(checkpoint: &mut Checkpoint, at: Timestamp) {
    let at = at.as_millisecond();
    checkpoint.good += 1;
    checkpoint.first_ms = Some(checkpoint.first_ms.map_or(at, |first| first.min(at)));
    checkpoint.last_ms = Some(checkpoint.last_ms.map_or(at, |last| last.max(at)));
}

/// Counts bad rows and sets them aside, as far as somebody may look at them.
async fn set_aside(
    bad: Vec<BadRow>,
    checkpoint: &mut Checkpoint,
    store: &Store,
    clock: &Clock,
) -> Result<()> {
    let sender = Sender::new(SenderKind::Import, "import");
    for bad in bad {
        checkpoint.rejected += 1;
        if checkpoint.bad.len() < SHOWN {
            checkpoint.bad.push(BadSample::of(&bad));
        }
        if checkpoint.set_aside < MAX_SET_ASIDE {
            let message = format!("line {} of an imported file: {}", bad.line, bad.problem);
            let aside = SetAside {
                raw: &bad.raw,
                code: bad.problem.code,
                message: &message,
                sender: &sender,
                path: None,
                shared: None,
            };
            store.quarantine(&aside, clock.now()).await?;
            checkpoint.set_aside += 1;
        }
    }
    Ok(())
}

/// Tells whose customer's a row is.
struct Router {
    subject: Subject,
    latest: Timestamp,
    by_customer: Writer,
    /// Rows of users whose account only the end of the file, or the store, can tell.
    by_user: Writer,
    links: Links,
}

impl Router {
    fn route(&mut self, row: &Row) -> Result<Result<(), Problem>> {
        if row.at > self.latest {
            let reason = format!("{} lies in the future", row.at);
            return Ok(Err(Problem::new("future", None, reason)));
        }
        let body = match row.bytes() {
            Ok(body) => body,
            Err(problem) => return Ok(Err(problem)),
        };
        let (user, account) = (row.user(), row.account());
        let at_ms = row.at.as_millisecond();
        let id = row.id.as_deref().unwrap_or_default();
        let body = body.as_slice();
        match (self.subject, user, account) {
            (Subject::User, None, _) => {
                let reason = "the row names no user, and users are customers here";
                return Ok(Err(Problem::new("missing_user", None, reason)));
            }
            (Subject::User, Some(user), _) => {
                let key = CustomerKey::subject(&user);
                self.by_customer.write(&Record { customer: key.as_str(), at_ms, id, body })?;
            }
            (Subject::Account, user, Some(account)) => {
                let key = CustomerKey::subject(&account);
                self.by_customer.write(&Record { customer: key.as_str(), at_ms, id, body })?;
                if let Some(user) = user {
                    self.remember(user, account, at_ms);
                }
            }
            (Subject::Account, Some(user), None) => {
                self.by_user.write(&Record { customer: &user, at_ms, id, body })?;
            }
            (Subject::Account, None, None) => {
                let reason = "the row names no user and no account";
                return Ok(Err(Problem::new("missing_user", None, reason)));
            }
        }
        Ok(Ok(()))
    }

    /// Of several accounts of one user the newest one counts; the others are remembered.
    fn remember(&mut self, user: String, account: String, at_ms: i64) {
        let accounts = self.links.entry(user).or_default();
        match accounts.iter_mut().find(|(known, _)| *known == account) {
            Some((_, known_at)) => *known_at = at_ms.max(*known_at),
            None => accounts.push((account, at_ms)),
        }
    }

    /// Writes the links, and finds the account of every user that named none.
    async fn finish(
        mut self,
        spill: &Spill,
        store: &Store,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<()> {
        link(store, lifecycle, &self.links, now).await?;
        if !self.by_user.is_empty() {
            self.by_user.finish()?;
            let mut slab = Slab::default();
            for partition in 0..spill.partitions {
                let Some(mut reader) = spill.read(BY_USER, partition)? else { continue };
                loop {
                    reader.fill(&mut slab, 16 * 1024 * 1024)?;
                    if slab.len() == 0 {
                        break;
                    }
                    let keys = customers_of_users(&slab, &self.links, store).await?;
                    for index in 0..slab.len() {
                        let record = slab.get(index);
                        let customer = keys[record.customer].as_str();
                        self.by_customer.write(&Record { customer, ..record })?;
                    }
                }
                spill.remove(BY_USER, partition);
            }
        }
        Ok(self.by_customer.finish()?)
    }
}

/// Users, the accounts that the file names for them, and when each was last named, in milliseconds.
type Links = HashMap<String, Vec<(String, i64)>>;

async fn link(store: &Store, lifecycle: &Lifecycle, links: &Links, now: Timestamp) -> Result<()> {
    let writes = links.iter().map(|(user, accounts)| async move {
        let mut accounts: Vec<&(String, i64)> = accounts.iter().collect();
        // The newest first: what was kept under the user goes there.
        accounts.sort_unstable_by_key(|(_, at_ms)| std::cmp::Reverse(*at_ms));
        for (account, at_ms) in accounts {
            let at = Timestamp::from_millisecond(*at_ms)?;
            store.link(user, account, at, lifecycle, now).await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    // Collected first: a stream over a closure that borrows is not `Send` to the compiler.
    let writes: Vec<_> = writes.collect();
    stream::iter(writes).buffer_unordered(PARALLEL).try_collect().await
}

/// The customer of each user of the slab: the account the file or the store knows, else the user.
async fn customers_of_users(
    slab: &Slab,
    links: &Links,
    store: &Store,
) -> Result<HashMap<String, CustomerKey>> {
    let users: BTreeSet<&str> = (0..slab.len()).map(|index| slab.get(index).customer).collect();
    let reads = users.into_iter().map(|user| async move {
        let newest = links.get(user).and_then(|told| told.iter().max_by_key(|(_, at_ms)| *at_ms));
        let account = match newest {
            Some((account, _)) => Some(account.clone()),
            None => store.account_of(user).await?,
        };
        let key = match account {
            Some(account) => CustomerKey::subject(&account),
            None => CustomerKey::unlinked_user(user),
        };
        Ok::<_, anyhow::Error>((user.to_owned(), key))
    });
    stream::iter(reads).buffer_unordered(PARALLEL).try_collect().await
}

// ---- the second half: customer by customer into the store ----

/// Commits what lies in the partitions, from where the checkpoint is.
#[expect(clippy::too_many_arguments, reason = "a step of `load`, with what that was given")]
async fn commit(
    checkpoint: &mut Checkpoint,
    spill: &Spill,
    place: &Place,
    store: &Store,
    lifecycle: &Lifecycle,
    clock: &Clock,
    progress: &mut impl FnMut(&Progress),
    options: &Options,
) -> Result<()> {
    let mut chunks = read_ahead(checkpoint, spill, clock.now(), options.chunk_events);
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk.context("cannot read the rows on their way")?;
        let done = store.commit_bulk(&chunk.groups, lifecycle, clock.now()).await?;
        (checkpoint.partition, checkpoint.done) = (chunk.partition, chunk.done);
        checkpoint.stored += chunk.events;
        checkpoint.accepted += done.accepted;
        checkpoint.duplicates += done.duplicates;
        checkpoint.customers += chunk.new_customers;
        place.write(checkpoint).context("cannot write the checkpoint")?;
        progress(&Progress {
            phase: Phase::Storing,
            done: checkpoint.stored,
            total: checkpoint.good,
            rows: checkpoint.rows,
            rejected: checkpoint.rejected,
        });
    }
    Ok(())
}

/// Parses the next chunk while the present one is committed. It ends when nobody listens.
fn read_ahead(
    checkpoint: &Checkpoint,
    spill: &Spill,
    received_at: Timestamp,
    chunk_events: usize,
) -> mpsc::Receiver<std::io::Result<Chunk>> {
    let (send, receive) = mpsc::channel(1);
    let chunking = Chunking {
        family: BY_CUSTOMER,
        chunk_events,
        shift: SignedDuration::from_hours(24 * checkpoint.shift_days),
        received_at,
    };
    let (first, skip) = (checkpoint.partition, checkpoint.done);
    let spill = Arc::new(spill.clone());
    tokio::task::spawn_blocking(move || {
        for partition in first..spill.partitions {
            let skip = if partition == first { skip } else { 0 };
            let mut is_heard = true;
            let mut take = |chunk| {
                is_heard = send.blocking_send(Ok(chunk)).is_ok();
                is_heard
            };
            if let Err(error) = spill::chunks(&spill, partition, skip, &chunking, &mut take) {
                let _ = send.blocking_send(Err(error));
                return;
            }
            if !is_heard {
                return;
            }
        }
    });
    receive
}
