//! The pack in bad weather: each invocation meets a process that may be fresh, whose clock is off, and
//! whose calls may fail.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use aws_lambda_events::event::dynamodb::{Event as StreamEvent, EventRecord};
use domain::by_hand::{self, Refused};
use domain::facts::Facts;
use domain::journal::{Author, Change, FindingOutcome};
use domain::lifecycle::{Lifecycle, load};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::embedded::engine::sns_at;
use lifecycle::embedded::{Engine, JournalPump, LocalSns, Location, create_tables};
use platform::publish::SnsPublisher;
use platform::settings::Tables;
use platform::store::ByHandOutcome;
use platform::sweep::{self, RunOutcome, ScheduleEvent, SweepAnswer, SweepEvent, SweepKind};
use platform::{CustomerKey, Store};
use tokio::task::JoinHandle;

use super::Report;
use super::history::{ACCOUNTS, Decision, Delivery, Step, What, start};
use crate::faults::{Attempts, Faults};
use crate::sender::deliver;
use crate::stack::WRITE_KEY;

const SOURCE: &str = include_str!("company.yaml");
const RETENTION_DAYS: u32 = 400;
/// Chances of a call to fail, in a hundred, and of its process to die there, in a thousand.
const FAULTS: u64 = 4;
const DEATHS: u64 = 4;
/// A clock is off by at most so much.
const SKEW_SECONDS: i64 = 120;
/// What nobody would wait for.
const MAX_ROUNDS: usize = 60;
const SWEEPS: [&str; 3] = ["evaluate", "score", "comply"];

/// The tables, the topics, and what goes on.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) sns: LocalSns,
    pub(super) engine: Engine,
    pub(super) report: Report,
    pub(super) tables: Tables,
    faults: Faults,
    topics: Faults,
    are_topics_down: bool,
    sns_endpoint: String,
    pump: JournalPump,
    told: Vec<EventRecord>,
    outstanding: Vec<Delivery>,
    process: Store,
    rng: Rng,
    serving: JoinHandle<()>,
    now: Timestamp,
    is_calm: bool,
}

impl World {
    pub(super) async fn start(seed: u64) -> Result<World> {
        let engine = Engine::start(Location::Memory)?;
        let dynamodb = engine.dynamodb();
        let tables = create_tables(&dynamodb, "storm-").await?;
        let store = Store::new(dynamodb, tables.clone(), RETENTION_DAYS);
        let Ok(lifecycle) = load(SOURCE) else {
            bail!("the scenario's lifecycle file is not valid")
        };
        store.apply_configuration(SOURCE, &lifecycle.hash, start()).await?;
        store.add_write_key(WRITE_KEY, "tests", start()).await?;
        let sns = LocalSns::new(Arc::new(start));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let sns_endpoint = format!("http://{}", listener.local_addr()?);
        let router = sns.router();
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let pump = JournalPump::open(engine.streams(), &tables.journal, None).await?;
        let (faults, topics) = (Faults::default(), Faults::default());
        faults.deadly_storm(seed, FAULTS, DEATHS);
        topics.storm(seed, FAULTS);
        let process = store.clone();
        let mut world = World {
            process,
            lifecycle: Arc::new(lifecycle),
            store,
            sns,
            engine,
            report: Report::default(),
            tables,
            faults,
            topics,
            are_topics_down: false,
            sns_endpoint,
            pump,
            told: Vec::new(),
            outstanding: Vec::new(),
            rng: Rng::with_seed(!seed),
            serving,
            now: start(),
            is_calm: false,
        };
        world.process = world.fresh();
        Ok(world)
    }

    /// A process that has just started: it remembers nothing.
    fn fresh(&mut self) -> Store {
        let attempts = if self.rng.bool() { Attempts::One } else { Attempts::Three };
        let client = self.faults.dynamodb(&self.engine.dynamodb(), attempts);
        Store::new(client, self.tables.clone(), RETENTION_DAYS)
    }

    /// The process that takes the next invocation, and its clock.
    fn meet(&mut self) -> (Store, LocalClock) {
        let has_died = self.faults.revive();
        self.report.deaths += usize::from(has_died);
        if has_died || self.rng.u8(..) < 60 {
            self.process = self.fresh();
        }
        let skew = if self.is_calm { 0 } else { self.rng.i64(-SKEW_SECONDS..=SKEW_SECONDS) };
        (self.process.clone(), LocalClock::manual(self.now + SignedDuration::from_secs(skew)))
    }

    pub(super) async fn step(&mut self, step: &Step) -> Result<()> {
        self.now = step.at;
        // Who was not heard tries again.
        for delivery in std::mem::take(&mut self.outstanding) {
            self.deliver(delivery).await;
        }
        match &step.what {
            What::Deliver(delivery) => self.deliver(delivery.clone()).await,
            What::Sweep { function, slot, is_doubled } => {
                self.sweep(*function, *slot, *is_doubled).await;
            }
            What::Tell { is_repeated } => {
                if *is_repeated {
                    let again = self.told.clone();
                    self.notify(again).await?;
                }
                self.tell().await?;
            }
            What::Tick => self.tick().await?,
            What::Decide(account, decision) => self.decide(*account, *decision).await?,
            What::Topics { are_down } => {
                self.are_topics_down = *are_down;
                let calls = self.topics.calls();
                let seed = self.rng.u64(..);
                let injected = self.topics.calm();
                self.report.note(calls, injected);
                self.topics.storm(seed, if *are_down { 100 } else { FAULTS });
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, delivery: Delivery) {
        self.report.deliveries += 1;
        let (store, clock) = self.meet();
        let egress = platform::egress::Egress::quick();
        let app = ingest::App { store, clock: clock.handle(), public_url: None, egress };
        let taken = deliver(&Arc::new(app), delivery.way, &delivery.calls).await;
        if taken.is_none() {
            self.outstanding.push(delivery);
        }
    }

    /// An event of a schedule: whether its run is done.
    async fn sweep(&mut self, function: usize, slot: Timestamp, is_doubled: bool) -> bool {
        let (first, second) = (self.meet(), is_doubled.then(|| self.meet()));
        self.report.invocations += 1 + usize::from(is_doubled);
        match second {
            None => invoke(first, function, slot).await,
            Some(second) => {
                let both =
                    tokio::join!(invoke(first, function, slot), invoke(second, function, slot));
                both.0 || both.1
            }
        }
    }

    /// Hands what the stream has to `notify`, once: whether there was anything.
    async fn tell(&mut self) -> Result<bool> {
        let records = self.pump.next_batch(100).await?;
        if records.is_empty() {
            return Ok(false);
        }
        if let Some(answer) = self.notify(records.clone()).await? {
            match answer.failures.failures.first() {
                None => self.pump.commit_batch(),
                Some(failed) => self.pump.commit_until(&failed.id),
            }
        }
        self.told = records;
        Ok(true)
    }

    async fn notify(&mut self, records: Vec<EventRecord>) -> Result<Option<notify::Answer>> {
        let app = self.notifier();
        let mut event = StreamEvent::default();
        event.records = records;
        // An invocation that fails is delivered again whole.
        let Ok(answer) = notify::handle(&app, event).await else { return Ok(None) };
        ensure!(answer.passed_over == 0, "an entry was passed over for a passing fault");
        Ok(Some(answer))
    }

    async fn tick(&mut self) -> Result<()> {
        let app = self.notifier();
        // One that fails is followed by the next.
        let _ = notify::tick(&app).await;
        Ok(())
    }

    fn notifier(&mut self) -> notify::App<SnsPublisher> {
        self.report.invocations += 1;
        let (store, clock) = self.meet();
        let client = self.topics.sns(&sns_at(&self.sns_endpoint), Attempts::One);
        let arn =
            |topic: &str| (topic.to_owned(), format!("arn:aws:sns:us-east-1:000000000000:{topic}"));
        let publisher = SnsPublisher::new(client, ["team", "urgent"].map(arn).into());
        notify::App { store, clock: clock.handle(), publisher }
    }

    async fn decide(&mut self, account: usize, decision: Decision) -> Result<()> {
        let key = CustomerKey::subject(ACCOUNTS[account]);
        let lifecycle = Arc::clone(&self.lifecycle);
        for _ in 0..MAX_ROUNDS {
            let (store, clock) = self.meet();
            let now = clock.now();
            let by =
                |reason: &str| Author { name: "kim".to_owned(), reason: Some(reason.to_owned()) };
            let until = self.now + SignedDuration::from_hours(30);
            let decided = store.decide_by_hand(
                &key,
                &lifecycle,
                now,
                |facts: &Facts<'_>| -> Result<Vec<Change>, Refused> {
                    match decision {
                        Decision::Acknowledge => Ok(vec![by_hand::acknowledge_finding(
                            facts,
                            "known",
                            by("seen"),
                            FindingOutcome::Known,
                        )?]),
                        Decision::Waive => {
                            by_hand::waive(facts, "known", by("they are new"), Some(until))
                        }
                        Decision::Move => {
                            by_hand::move_to(facts, "quiet", by("they called"), Some(until))
                        }
                        Decision::Release => Ok(vec![by_hand::release(facts, by("they called"))?]),
                        Decision::Note => Ok(vec![by_hand::note(by("they called"))]),
                    }
                },
            );
            match decided.await {
                // What was decided and not heard is so already when it is said again, but for a note.
                Ok(ByHandOutcome::Done { .. } | ByHandOutcome::Refused(_)) => return Ok(()),
                Err(_) if matches!(decision, Decision::Note) => return Ok(()),
                Err(_) => {}
            }
        }
        bail!("a person was not heard in {MAX_ROUNDS} rounds")
    }

    /// Clears the weather, and goes on from an instant until nothing is left to do.
    pub(super) async fn settle(&mut self, at: Timestamp) -> Result<()> {
        self.report.deaths += usize::from(self.faults.revive());
        for faults in [&self.faults, &self.topics] {
            let calls = faults.calls();
            let injected = faults.calm();
            self.report.note(calls, injected);
        }
        self.is_calm = true;
        self.now = at;
        self.process = self.fresh();
        for delivery in std::mem::take(&mut self.outstanding) {
            self.deliver(delivery).await;
        }
        ensure!(self.outstanding.is_empty(), "a delivery is not acknowledged though nothing fails");
        // A run that was cut off holds its place for a while.
        for round in 0..2 {
            for (function, name) in SWEEPS.iter().enumerate() {
                let slot = self.now + SignedDuration::from_hours(round);
                ensure!(self.sweep(function, slot, false).await, "{name} is not done");
            }
        }
        for _ in 0..MAX_ROUNDS {
            while self.tell().await? {}
            if self.is_all_told().await? {
                return Ok(());
            }
            self.now += SignedDuration::from_mins(20);
            self.tick().await?;
        }
        bail!("somebody is not told in {MAX_ROUNDS} ticks")
    }

    /// Whether nobody has to be told of anything.
    pub(super) async fn is_all_told(&self) -> Result<bool> {
        let groups = self.store.alert_groups(1_000, None).await?.items;
        let mut buckets = groups.iter().flat_map(|group| &group.buckets);
        let is_told = buckets.all(|of| of.fresh + of.resolved + of.news == 0);
        Ok(is_told && self.store.outgoing(Timestamp::MAX, 1).await?.is_empty())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One invocation by a schedule: whether everybody was dealt with.
async fn invoke((store, clock): (Store, LocalClock), function: usize, slot: Timestamp) -> bool {
    let customers_per_segment = sweep::CUSTOMERS_PER_SEGMENT;
    let app = sweep::App {
        store,
        clock: clock.handle(),
        queue: None,
        customers_per_segment,
        vault: None,
    };
    let event = SweepEvent::Schedule(ScheduleEvent {
        schedule: format!("{}-nightly", SWEEPS[function]),
        scheduled_time: slot,
        sweep: SweepKind::All,
    });
    let answer = match function {
        0 => Box::pin(evaluate::handle(&app, event, None)).await,
        1 => Box::pin(score::handle(&app, event, None)).await,
        _ => Box::pin(comply::handle(&app, event, None)).await,
    };
    match answer {
        Ok(SweepAnswer::Summary(summary)) => {
            let is_done = matches!(summary.outcome, RunOutcome::Done | RunOutcome::AlreadyDone);
            is_done && summary.failed == 0
        }
        Ok(SweepAnswer::Tickets { .. }) | Err(_) => false,
    }
}
