//! Learning from the tables: what the workspace's history teaches is read, learnt and kept.
//!
//! Every customer's log is read once and let go of; what it teaches is small. What is learnt, and
//! whether it is better than what was known, is decided in [`domain::learn`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::alive::{self, history};
use domain::facts::Facts;
use domain::fitted::Fitted;
use domain::learn::{Learning, Lessons, TrainError, days, snapshots};
use domain::lifecycle::{Lifecycle, RiskModel};
use domain::replay::in_order;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::store::{
    CustomerFilter, CustomerKey, Learnt, RunProgress, RunSlot, RunStart, Store, StoreError,
};
use crate::sweep::{App, RunOutcome, ScheduleEvent, Summary, SweepError};
use crate::telemetry::Counts;

/// The rhythm rests on at most this many customers. A scan goes by the hashes of keys, so that the
/// first ones it gives are any of them.
const MOST_CUSTOMERS: usize = 50_000;
const PAGE: i32 = 1_000;
/// Logs are held in memory for so many customers at once.
const LOGS: i32 = 100;
/// Logs that are read at once.
const PARALLEL: usize = 16;
/// After a change of the lifecycle file at most this many customers are folded again for a fit; the
/// run that comes after it does the others, and the next fit has them all.
const MOST_REFOLDED: usize = 5_000;
/// A function has a quarter of an hour on one processor: so many snapshots are learnt from in less than
/// half of that.
const SCHEDULED_SNAPSHOTS: usize = 20_000;
/// Of the time there is, so much is left for learning when reading ends.
const TO_LEARN: Duration = Duration::from_secs(8 * 60);

/// What can end learning.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The tables.
    #[error("what there is to learn from could not be read")]
    Store(#[from] StoreError),
    /// The active file has no such model.
    #[error(
        "the lifecycle file tells risk by a scorecard, or not at all: there is nothing to learn. `risk: \
         {{ model: leaving, event: login, horizon: 60d, leaves: {{ with: subscription_cancelled }} }}` \
         would be learnt"
    )]
    NothingToLearn,
    /// Too few customers.
    #[error(
        "too few customers had `{0}` on two days to tell their rhythm: at least ten are needed; is \
         that the event that they have again and again?"
    )]
    NoRhythm(String),
    /// Nothing tells customers apart.
    #[error("nothing was learnt")]
    Train(#[from] TrainError),
}

/// How much may be taken for learning.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many threads work.
    pub threads: usize,
    /// At most so many snapshots are learnt from.
    pub snapshots: usize,
    /// Reading ends when this comes near.
    pub deadline: Option<Instant>,
}

/// What was learnt, beside what was known before.
#[derive(Debug)]
pub struct Lesson {
    /// The name of the model.
    pub name: String,
    /// What was learnt.
    pub learning: Learning,
    /// What is gone by now.
    pub champion: Option<Learnt>,
}

/// What became of what was learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The version it is.
    pub learnt: Learnt,
    /// Whether risk is told by it from now on.
    pub is_champion: bool,
}

/// Learns from every customer's history. Where reading ends early, what was read by then are any of the
/// customers.
///
/// # Errors
/// When the tables cannot be read, or there is nothing to learn, or too little to learn from.
pub async fn learn(
    store: &Store,
    lifecycle: &Lifecycle,
    now: Timestamp,
    limits: Limits,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Lesson, LearnError> {
    let Some((name, recipe)) = lifecycle.to_fit() else { return Err(LearnError::NothingToLearn) };
    let name = name.to_owned();
    let champion = store.champion_of(&name).await?;
    let Some(learned) = lifecycle.learned() else {
        let (fitted, event) = fit_rhythm(store, lifecycle, recipe, now).await?;
        let fitted = fitted.ok_or(LearnError::NoRhythm(event))?;
        return Ok(Lesson { name, learning: Learning::of_rhythm(fitted), champion });
    };
    let mut lessons = Lessons::new(days(learned, now), limits.snapshots);
    let (mut cursor, mut unread) = (None::<String>, 0);
    let is_short = || {
        let left = limits.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        left.is_some_and(|left| left < TO_LEARN)
    };
    loop {
        let page = store.customers(&CustomerFilter::default(), LOGS, cursor.as_deref()).await?;
        // Collected first: a stream over a closure that borrows is not `Send` to the compiler.
        let reads: Vec<_> = page
            .items
            .into_iter()
            .map(async |found| (store.whole_log(&found.key).await, found.key))
            .collect();
        let mut reads = stream::iter(reads).buffered(PARALLEL);
        while let Some((log, key)) = reads.next().await {
            match log {
                Ok(log) => {
                    let log = in_order(log);
                    let customer = number_of(&key);
                    let days = lessons.days();
                    let taught = snapshots(lifecycle, learned, customer, &log, days, now);
                    lessons.add(taught);
                }
                Err(error) => {
                    unread += 1;
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a customer's log was not learnt from"
                    );
                }
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() || is_short() {
            break;
        }
    }
    let known = champion.as_ref().map(|champion| champion.fitted.as_ref());
    let learning = lessons.learn(lifecycle, learned, known, now, limits.threads, progress)?;
    let event = &learned.alive.event;
    let mut learning = learning.ok_or_else(|| LearnError::NoRhythm(event.clone()))?;
    if cursor.is_some() {
        learning.notes.push("the time was short: not every customer's log was read".to_owned());
    }
    if unread > 0 {
        learning.notes.push(format!("the logs of {unread} customers could not be read"));
    }
    Ok(Lesson { name, learning, champion })
}

/// Keeps what was learnt as the next version, and goes by it unless it is worse than what is gone by.
///
/// # Errors
/// When the table cannot be written.
pub async fn keep(store: &Store, lesson: &Lesson, now: Timestamp) -> Result<Kept, StoreError> {
    let Lesson { name, learning, champion } = lesson;
    let learnt = store.keep_learnt(name, &learning.fitted).await?;
    let was = champion.as_ref().map_or(0, |champion| champion.version);
    let is_champion = learning.verdict.is_for() && store.promote(name, &learnt, was, now).await?;
    Ok(Kept { learnt, is_champion })
}

/// Learns on a schedule, and goes by it if it is no worse. A double fire learns once.
///
/// # Errors
/// When the tables cannot be read or written. That there is nothing to learn, or too little, is logged
/// and no error: the next time there may be more.
pub async fn scheduled(
    app: &App,
    function: &str,
    event: &ScheduleEvent,
    deadline: Option<Instant>,
) -> Result<Summary, SweepError> {
    let slot = RunSlot {
        function: function.to_owned(),
        schedule: event.schedule.clone(),
        at: event.scheduled_time,
        segment: 0,
        segments: 1,
    };
    let store = &app.store;
    let mut progress = match store.start_run(&slot, app.clock.now()).await? {
        RunStart::Go(progress) => progress,
        RunStart::Done(progress) => {
            return Ok(Summary::idle(&slot, RunOutcome::AlreadyDone, &progress));
        }
        RunStart::Busy => {
            return Ok(Summary::idle(&slot, RunOutcome::Busy, &RunProgress::default()));
        }
    };
    let lifecycle = store.lifecycle().await?;
    let limits = Limits {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        snapshots: SCHEDULED_SNAPSHOTS,
        deadline,
    };
    match learn(store, &lifecycle, slot.at, limits, &|_, _| ()).await {
        Ok(lesson) => {
            let kept = keep(store, &lesson, app.clock.now()).await?;
            progress.visited = lesson.learning.material.customers as u64;
            progress.changed = u64::from(kept.is_champion);
            tracing::info!(
                version = kept.learnt.version,
                champion = kept.is_champion,
                snapshots = lesson.learning.material.snapshots,
                left = lesson.learning.material.left,
                "learnt who leaves"
            );
        }
        Err(LearnError::Store(error)) => {
            store.release_run(&slot, &progress, app.clock.now()).await?;
            return Err(error.into());
        }
        Err(error) => tracing::warn!(%error, "nothing was learnt"),
    }
    store.finish_run(&slot, &progress, app.clock.now()).await?;
    Ok(Summary::of(&slot, RunOutcome::Done, &progress, &Counts::default()))
}

/// Fits what the nightly run needs and what is due, and goes on with it: the rhythm, where risk goes by
/// it, or where nothing was learnt yet.
///
/// # Errors
/// When the tables cannot be read or written.
pub async fn fit_where_due(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let lifecycle = store.lifecycle().await?;
    let Some((name, recipe)) = lifecycle.to_fit() else { return Ok(()) };
    let known = lifecycle.fitted().map(AsRef::as_ref);
    let is_due = match lifecycle.learned() {
        // It is learnt again by its own schedule.
        Some(_) => known.is_none(),
        None => Fitted::is_due(known, &recipe, now),
    };
    if !is_due {
        return Ok(());
    }
    let was = store.champion(name).await?.map_or(0, |(version, _)| version);
    let (Some(fitted), _) = fit_rhythm(store, &lifecycle, recipe, now).await? else {
        return Ok(());
    };
    let learnt = store.keep_learnt(name, &fitted).await?;
    // Of two runs that fit at once the first is gone by.
    if store.promote(name, &learnt, was, now).await? {
        let mut with = Lifecycle::clone(&lifecycle);
        with.go_by(Some(learnt.fitted));
        store.remember_lifecycle(Arc::new(with));
    }
    Ok(())
}

/// Fits the rhythm to the customers' items; `None` where too few came twice. Answers the event, too.
async fn fit_rhythm(
    store: &Store,
    lifecycle: &Lifecycle,
    recipe: String,
    now: Timestamp,
) -> Result<(Option<Fitted>, String), StoreError> {
    let alive = match &lifecycle.risk {
        Some(RiskModel::Alive(alive)) => alive,
        Some(RiskModel::Learned(learned)) => &learned.alive,
        Some(RiskModel::Scorecard(_)) | None => return Ok((None, String::new())),
    };
    let (mut histories, mut refolded) = (Vec::new(), 0);
    let mut cursor: Option<String> = None;
    loop {
        let page = store.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
        for found in page.items {
            let is_folded = found.customer.profile.measures == lifecycle.measures.fingerprint;
            if !is_folded && refolded == MOST_REFOLDED {
                continue;
            }
            refolded += usize::from(!is_folded);
            match store.refold(found, lifecycle, now).await {
                Ok(found) => {
                    let facts = Facts::new(&found.customer, lifecycle, now);
                    histories.extend(history(&facts, alive.measure));
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a customer was left out of a fit"
                ),
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() || histories.len() >= MOST_CUSTOMERS {
            break;
        }
    }
    Ok((alive::fit(recipe, &histories, now), alive.event.clone()))
}

/// A number for a customer, from which its key cannot be told.
fn number_of(key: &CustomerKey) -> u64 {
    let digest = Sha256::digest(key.as_str().as_bytes());
    u64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
}
