//! Walking all customers, or those that are due, once per scheduled instant.
//!
//! The scheduled instant is `now` for every decision of a run, so running again decides the same.
//! A small table is walked in place; a large one becomes segment tickets on SQS, each with a
//! cursor of its own, handed on before the function's deadline. One customer that cannot be
//! handled is logged and counted, and stops nobody else.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use domain::lifecycle::Lifecycle;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::handoff::Work;
use crate::store::{
    CustomerKey, DecisionOutcome, Decisions, PrivacyRequest, RunProgress, RunSlot, RunStart, Store,
    StoreError, Versioned, Watched,
};
use crate::telemetry::Counts;
use crate::vault::{Vault, VaultError};

/// A table with more than twice as many customers is walked in segments of about this size.
pub const CUSTOMERS_PER_SEGMENT: u64 = 20_000;
const MAX_SEGMENTS: u64 = 64;
/// How many groups of customers are written at once.
const PARALLEL: usize = 8;
/// A run is handed on when less than this is left of its time.
const HAND_ON_BEFORE: Duration = Duration::from_secs(20);

/// So soon after a feed was heard of again it is seen what its silence held.
const RELEASE_WITHIN: SignedDuration = SignedDuration::from_mins(30);
/// The name of the run that does so.
const RELEASE: &str = "feeds";

/// What a schedule sends to its function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEvent {
    /// The schedule's name: with the instant, what makes a run one run.
    pub schedule: String,
    /// The instant the schedule was for, not the one it arrived at.
    pub scheduled_time: Timestamp,
    /// Whom to visit.
    #[serde(default)]
    pub sweep: SweepKind,
}

/// Whom a run visits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepKind {
    /// Every customer.
    #[default]
    All,
    /// Those whose `due_at` has come.
    Due,
    /// All, to learn from their history who leaves ([`crate::learn::scheduled`]): of `score` alone.
    Learn,
    /// All, for a picture that people look at ([`crate::overview::scheduled`]): of `comply` alone.
    Overview,
}

/// A segment of a run, as it travels over SQS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The segment.
    pub slot: RunSlot,
}

/// What a sweep function is invoked with: a schedule's event, or a batch of tickets.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum SweepEvent {
    /// From EventBridge Scheduler.
    Schedule(ScheduleEvent),
    /// From the function's own queue.
    Tickets(TicketBatch),
}

/// An SQS batch, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub struct TicketBatch {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<TicketMessage>,
}

/// One SQS message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketMessage {
    /// Names the message in a partial failure.
    pub message_id: String,
    /// A ticket as JSON.
    pub body: String,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How it ended.
    pub outcome: RunOutcome,
    /// The instant its decisions are of.
    pub at: Timestamp,
    /// Customers looked at.
    pub visited: u64,
    /// Customers changed.
    pub changed: u64,
    /// Customers that could not be handled.
    pub failed: u64,
    /// What this invocation did of that: other invocations may have begun the run, or done it.
    #[serde(skip)]
    pub work: Counts,
}

impl Summary {
    /// Of a run that has come so far, of which `begun` was counted before this invocation.
    pub(crate) fn of(
        slot: &RunSlot,
        outcome: RunOutcome,
        progress: &RunProgress,
        begun: &Counts,
    ) -> Summary {
        let RunProgress { visited, changed, failed, .. } = *progress;
        let work = Counts::of(progress).since(begun);
        Summary { outcome, at: slot.at, visited, changed, failed, work }
    }

    /// Of a run that this invocation does nothing of.
    pub(crate) fn idle(slot: &RunSlot, outcome: RunOutcome, progress: &RunProgress) -> Summary {
        Summary::of(slot, outcome, progress, &Counts::of(progress))
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every customer was visited.
    Done,
    /// It had been done before.
    AlreadyDone,
    /// Another invocation is at it.
    Busy,
    /// It was split into segments.
    Split,
    /// It ran out of time and was handed on.
    HandedOn,
}

/// What SQS is answered: the messages to deliver again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartialFailures {
    /// By message id.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<FailedMessage>,
}

/// A message to deliver again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedMessage {
    /// Its id.
    #[serde(rename = "itemIdentifier")]
    pub id: String,
}

/// What a sweep function answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SweepAnswer {
    /// To a schedule.
    Summary(Summary),
    /// To a batch of tickets.
    Tickets {
        /// The tickets to deliver again.
        #[serde(flatten)]
        failures: PartialFailures,
        /// What was done for the others.
        #[serde(skip)]
        work: Counts,
    },
}

/// What can end a sweep.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The tables.
    #[error("the sweep could not go on")]
    Store(#[from] StoreError),
    /// A ticket could not be sent.
    #[error("a sweep ticket could not be sent")]
    Ticket(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A daily root could not be put where nobody can change it.
    #[error("a daily root could not be kept")]
    Vault(#[from] VaultError),
    /// No customer could be handled.
    #[error("none of the {0} customers visited could be handled")]
    AllFailed(u64),
}

/// The queue of a function's own tickets.
#[derive(Debug, Clone)]
pub struct TicketQueue {
    /// The client.
    pub client: aws_sdk_sqs::Client,
    /// The queue.
    pub url: String,
}

impl TicketQueue {
    async fn send(&self, slot: &RunSlot) -> Result<(), SweepError> {
        self.send_body(&Ticket { slot: slot.clone() }).await
    }

    async fn send_body(&self, body: &impl Serialize) -> Result<(), SweepError> {
        let body = serde_json::to_string(body).map_err(|error| SweepError::Ticket(error.into()))?;
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(|_| ()).map_err(|error| SweepError::Ticket(error.into()))
    }
}

/// DynamoDB takes 100 writes in one transaction.
const WRITES_PER_TRANSACTION: usize = 100;
/// How often a customer that others keep changing is decided about in one visit.
const TRIES: u32 = 4;

/// What a sweep function works with.
#[derive(Debug)]
pub struct App {
    /// The tables.
    pub store: Store,
    /// The time: for leases, never for decisions.
    pub clock: Clock,
    /// Where a large run's segments go; everything is walked in place where there is none.
    pub queue: Option<TicketQueue>,
    /// About how many customers a segment holds.
    pub customers_per_segment: u64,
    /// Where daily roots are kept besides the journal; nowhere where there is none.
    pub vault: Option<Vault>,
}

/// What to do about a customer at the instant of the run: the pure part of a sweep.
pub type Decide = fn(&Versioned, &Lifecycle, Timestamp) -> Option<Decisions>;

/// Handles an invocation of the sweep function `function`.
///
/// # Errors
/// When the tables cannot be read, or no customer at all could be handled.
pub async fn handle(
    app: &App,
    function: &'static str,
    decide: Decide,
    event: SweepEvent,
    deadline: Option<Instant>,
) -> Result<SweepAnswer, SweepError> {
    let lifecycle = app.store.lifecycle().await?;
    let parents = app.store.parents(&lifecycle).await?;
    // Before anybody is decided about, so that nobody is by a silence that nobody noticed.
    let Watched { silent, released_at } =
        app.store.watch_feeds(&lifecycle, app.clock.now()).await?;
    let hearing = (!silent.is_empty()).then(|| lifecycle.hearing(&silent));
    let sweep = Sweep {
        app,
        function,
        decide,
        lifecycle: &lifecycle,
        hearing: hearing.as_ref().unwrap_or(&lifecycle),
        released_at,
        parents,
        deadline,
    };
    match event {
        SweepEvent::Schedule(event) => sweep.schedule(&event).await.map(SweepAnswer::Summary),
        SweepEvent::Tickets(batch) => {
            let (mut failures, mut work) = (PartialFailures::default(), Counts::default());
            for message in batch.records {
                match sweep.ticket(&message.body).await {
                    Ok(done) => work.add(&done),
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a sweep ticket failed"
                        );
                        work.failed += 1;
                        failures.failures.push(FailedMessage { id: message.message_id });
                    }
                }
            }
            Ok(SweepAnswer::Tickets { failures, work })
        }
    }
}

/// Why a customer could not be handled.
enum Failure {
    Store(StoreError),
    Panicked,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl Failure {
    fn count(self, progress: &mut RunProgress) {
        progress.failed += 1;
        match self {
            Failure::Store(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                retryable = error.retryable(),
                "a customer could not be handled"
            ),
            Failure::Panicked => {
                tracing::error!("a customer could not be handled: the code panicked");
            }
        }
    }
}

/// One invocation.
struct Sweep<'a> {
    app: &'a App,
    function: &'static str,
    decide: Decide,
    lifecycle: &'a Lifecycle,
    /// The same, knowing which feeds are silent: what is decided by.
    hearing: &'a Lifecycle,
    /// When a feed was last heard of again.
    released_at: Option<Timestamp>,
    /// Who may have accounts below it that count.
    parents: BTreeSet<CustomerKey>,
    deadline: Option<Instant>,
}

impl Sweep<'_> {
    async fn schedule(&self, event: &ScheduleEvent) -> Result<Summary, SweepError> {
        let slot = RunSlot {
            function: self.function.to_owned(),
            schedule: event.schedule.clone(),
            at: event.scheduled_time,
            segment: 0,
            segments: 1,
        };
        if event.sweep == SweepKind::Due {
            let released = self.release(&slot).await?;
            let mut due = self.due(&slot).await?;
            due.work.add(&released);
            return Ok(due);
        }
        self.all(&slot).await
    }

    /// Decides about everybody as of when a feed was heard of again, once: what its silence held
    /// happens then, or does not. Where no run comes so soon, the next that visits all does it.
    async fn release(&self, slot: &RunSlot) -> Result<Counts, SweepError> {
        let is_fresh = |at: &Timestamp| {
            let since = slot.at.duration_since(*at);
            !since.is_negative() && since < RELEASE_WITHIN
        };
        let Some(at) = self.released_at.filter(is_fresh) else { return Ok(Counts::default()) };
        let slot = RunSlot { schedule: RELEASE.to_owned(), at, ..slot.clone() };
        Ok(self.all(&slot).await?.work)
    }

    /// Visits every customer.
    async fn all(&self, slot: &RunSlot) -> Result<Summary, SweepError> {
        if let Some(queue) = self.app.queue.as_ref() {
            let segments = self.app.store.customers_about().await? / self.app.customers_per_segment;
            if segments > 1 {
                return self.split(queue, slot, segments.min(MAX_SEGMENTS)).await;
            }
        }
        self.segment(slot).await
    }

    /// Does what a message asks for; one that is not for this function is dropped.
    async fn ticket(&self, body: &str) -> Result<Counts, SweepError> {
        if let Ok(Work::Privacy(request)) = serde_json::from_str(body) {
            return self.privacy_request(&request).await.map(|()| Counts::default());
        }
        let ticket: Ticket = match serde_json::from_str(body) {
            Ok(ticket) => ticket,
            Err(error) => {
                // It would be no better the next time.
                tracing::error!(%error, "a message that is no sweep ticket was dropped");
                return Ok(Counts::default());
            }
        };
        if ticket.slot.function != self.function {
            tracing::error!(function = ticket.slot.function, "a ticket for another function");
            return Ok(Counts::default());
        }
        Ok(self.segment(&ticket.slot).await?.work)
    }

    /// Does a privacy request, or as much of it as there is time for; what is left is handed on.
    async fn privacy_request(&self, id: &str) -> Result<(), SweepError> {
        let now = self.app.clock.now();
        let queue = self.app.queue.as_ref();
        let mut is_over = |_: &PrivacyRequest| queue.is_some() && self.is_late();
        let store = &self.app.store;
        let done = store.run_privacy_request(id, self.lifecycle, now, &mut is_over).await?;
        match (done, queue) {
            (Some(request), Some(queue)) if request.finished_at.is_none() => {
                queue.send_body(&Work::Privacy(id.to_owned())).await
            }
            _ => Ok(()),
        }
    }

    async fn split(
        &self,
        queue: &TicketQueue,
        slot: &RunSlot,
        segments: u64,
    ) -> Result<Summary, SweepError> {
        let segments = i32::try_from(segments).unwrap_or(i32::MAX);
        // Sending a ticket twice is harmless: the second finds its segment taken.
        for segment in 0..segments {
            queue.send(&RunSlot { segment, segments, ..slot.clone() }).await?;
        }
        Ok(Summary::idle(slot, RunOutcome::Split, &RunProgress::default()))
    }

    /// Walks one segment of the table (all of it, where there is one).
    async fn segment(&self, slot: &RunSlot) -> Result<Summary, SweepError> {
        let mut progress = match self.app.store.start_run(slot, self.app.clock.now()).await? {
            RunStart::Go(progress) => progress,
            RunStart::Done(progress) => {
                return Ok(Summary::idle(slot, RunOutcome::AlreadyDone, &progress));
            }
            RunStart::Busy => {
                return Ok(Summary::idle(slot, RunOutcome::Busy, &RunProgress::default()));
            }
        };
        let begun = Counts::of(&progress);
        loop {
            let start = progress.cursor.take();
            let (page, next) =
                self.app.store.scan_customers(slot.segment, slot.segments, start, None).await?;
            self.visit_all(page, slot.at, &mut progress).await;
            progress.cursor = next;
            if progress.cursor.is_none() {
                break;
            }
            if let (true, Some(queue)) = (self.is_late(), self.app.queue.as_ref()) {
                self.app.store.release_run(slot, &progress, self.app.clock.now()).await?;
                queue.send(slot).await?;
                return Ok(Summary::of(slot, RunOutcome::HandedOn, &progress, &begun));
            }
            self.app.store.checkpoint_run(slot, &progress, self.app.clock.now()).await?;
        }
        self.app.store.finish_run(slot, &progress, self.app.clock.now()).await?;
        if progress.failed > 0 && progress.failed == progress.visited {
            return Err(SweepError::AllFailed(progress.visited));
        }
        Ok(Summary::of(slot, RunOutcome::Done, &progress, &begun))
    }

    /// Visits the customers whose `due_at` has come. What is not reached in time stays due, and is
    /// taken by the next run.
    async fn due(&self, slot: &RunSlot) -> Result<Summary, SweepError> {
        let mut progress = RunProgress::default();
        for shard in Store::due_shards() {
            let mut start = None;
            loop {
                let (keys, next) = self.app.store.due_keys(shard, slot.at, start).await?;
                let customers = self.app.store.customers_by_key(&keys).await?;
                self.visit_all(customers, slot.at, &mut progress).await;
                start = next;
                if start.is_none() || self.is_late() {
                    break;
                }
            }
        }
        if progress.failed > 0 && progress.failed == progress.visited {
            return Err(SweepError::AllFailed(progress.visited));
        }
        Ok(Summary::of(slot, RunOutcome::Done, &progress, &Counts::default()))
    }

    /// Decides about the customers of a page and makes that true, several at a time.
    async fn visit_all(
        &self,
        customers: Vec<Versioned>,
        at: Timestamp,
        progress: &mut RunProgress,
    ) {
        progress.visited += customers.len() as u64;
        let mut groups: Vec<Vec<(Versioned, Decisions)>> = vec![Vec::new()];
        let mut writes = 0;
        for customer in customers {
            match self.decide_one(customer, at).await {
                Ok(None) => {}
                Ok(Some((customer, decisions))) => {
                    let (size, alone) = (decisions.writes(), decisions.changes.is_empty());
                    if writes + size > WRITES_PER_TRANSACTION || alone {
                        groups.push(Vec::new());
                        writes = 0;
                    }
                    writes += if alone { WRITES_PER_TRANSACTION } else { size };
                    groups.last_mut().expect("there is a group").push((customer, decisions));
                }
                Err(failure) => failure.count(progress),
            }
        }
        let groups = groups.into_iter().filter(|group| !group.is_empty());
        let mut written: Vec<BoxFuture<'_, _>> = Vec::new();
        for group in groups {
            written.push(self.write_group(group, at).boxed());
        }
        let mut written = stream::iter(written).buffer_unordered(PARALLEL);
        while let Some((changed, failures)) = written.next().await {
            progress.changed += changed;
            failures.into_iter().for_each(|failure| failure.count(progress));
        }
    }

    /// What to do about one customer; `None` for nothing. A customer whose profile was folded for
    /// an older lifecycle file is folded again first, where events came late past decisions are looked
    /// at again, and a run as of the past sees the customer as it was then.
    async fn decide_one(
        &self,
        customer: Versioned,
        at: Timestamp,
    ) -> Result<Option<(Versioned, Decisions)>, Failure> {
        let customer = self.app.store.refold(customer, self.lifecycle, at).await?;
        let customer = self.app.store.revise(customer, self.lifecycle, at).await?;
        let Some(mut customer) = self.app.store.as_of(customer, self.lifecycle, at).await? else {
            return Ok(None);
        };
        if self.parents.contains(&customer.key) {
            for child in self.app.store.below(&customer.key, self.lifecycle).await? {
                let child = self.app.store.refold(child, self.lifecycle, at).await?;
                let child = self.app.store.as_of(child, self.lifecycle, at).await?;
                customer.customer.below.extend(child.map(|child| child.customer.profile));
            }
        }
        let decide = || (self.decide)(&customer, self.hearing, at);
        // A defect met by one customer must not keep the others from being visited.
        let decisions = catch_unwind(AssertUnwindSafe(decide)).map_err(|_| Failure::Panicked)?;
        Ok(decisions.map(|decisions| (customer, decisions)))
    }

    /// Writes a group, or its customers one by one when one of them has changed: how many changed,
    /// and what failed.
    async fn write_group(
        &self,
        group: Vec<(Versioned, Decisions)>,
        at: Timestamp,
    ) -> (u64, Vec<Failure>) {
        let (mut changed, mut failures) = (0, Vec::new());
        match self.app.store.decide_group(&group, self.lifecycle, at).await {
            Ok(DecisionOutcome::Written(_) | DecisionOutcome::Nothing) => {
                let changes = group.iter().filter(|(_, decisions)| decisions.is_change());
                changed = changes.count() as u64;
            }
            Ok(DecisionOutcome::Stale) | Err(_) => {
                for (customer, _) in group {
                    match self.visit_again(customer, at).await {
                        Ok(has_changed) => changed += u64::from(has_changed),
                        Err(failure) => failures.push(failure),
                    }
                }
            }
        }
        (changed, failures)
    }

    /// Reads a customer afresh, decides and writes, until nobody is in between.
    async fn visit_again(&self, customer: Versioned, at: Timestamp) -> Result<bool, Failure> {
        let store = &self.app.store;
        for _ in 0..TRIES {
            let fresh = store.customer_now(&customer.key).await?;
            if !fresh.is_here() {
                return Ok(false);
            }
            let Some((fresh, decisions)) = self.decide_one(fresh, at).await? else {
                return Ok(false);
            };
            match store.decide(&fresh, &decisions, self.lifecycle, at).await? {
                DecisionOutcome::Written(_) => return Ok(decisions.is_change()),
                DecisionOutcome::Nothing => return Ok(false),
                DecisionOutcome::Stale => {}
            }
        }
        Err(Failure::Store(StoreError::Conflict(TRIES)))
    }

    fn is_late(&self) -> bool {
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        left.is_some_and(|left| left < HAND_ON_BEFORE)
    }
}

impl SweepAnswer {
    /// What the invocation counted, for its metric event.
    #[must_use]
    pub fn counts(&self) -> Counts {
        match self {
            SweepAnswer::Summary(Summary { work, .. }) | SweepAnswer::Tickets { work, .. } => *work,
        }
    }
}

/// The moment an invocation ends, on the clock that sweeps measure by.
#[must_use]
pub fn deadline(ends_at: std::time::SystemTime, now: Timestamp) -> Option<Instant> {
    let left = ends_at.duration_since(std::time::SystemTime::from(now)).ok()?;
    Instant::now().checked_add(left)
}
