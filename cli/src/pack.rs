//! The whole pack in one process: every function's own handler, over an embedded DynamoDB and a
//! local SNS endpoint that the real SDK clients talk to.
//!
//! `lifecycle dev` serves it, and scenario tests run it under a clock they set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_lambda_events::event::dynamodb::Event as StreamEvent;
use domain::lifecycle::{self, Diagnostic, Lifecycle};
use jiff::Timestamp;
use platform::egress::Egress;
use platform::handoff::{Handoff, HandoffError, Work};
use platform::post::Poster;
use platform::publish::{Publisher, SnsPublisher};
use platform::store::PrivacyRequest;
use platform::sweep::{ScheduleEvent, Summary, SweepAnswer, SweepEvent, SweepKind};
use platform::{Store, sweep};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::clock::LocalClock;
use crate::embedded::engine::{REGION, sns_at};
use crate::embedded::{Engine, JournalPump, LocalSns, Location, create_tables};
use crate::posts::{LocalPosts, LocalPublisher};

/// How many records of the journal's stream go to `notify` at once, as in the template.
const STREAM_BATCH: usize = 100;
/// The prefix of the local tables.
pub const TABLE_PREFIX: &str = "lifecycle-";
/// For how many days the local log keeps an event.
pub const EVENT_RETENTION_DAYS: u32 = 400;

/// The functions that a schedule starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SweepFunction {
    /// Moves customers between stages.
    Evaluate,
    /// Assesses churn risk.
    Score,
    /// Judges standards.
    Comply,
}

impl SweepFunction {
    /// All of them, in the order of the nightly schedules.
    pub const ALL: [SweepFunction; 3] =
        [SweepFunction::Evaluate, SweepFunction::Score, SweepFunction::Comply];

    /// The function's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SweepFunction::Evaluate => "evaluate",
            SweepFunction::Score => "score",
            SweepFunction::Comply => "comply",
        }
    }
}

/// Units one function was billed for on one table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapacityRow {
    /// The function.
    pub function: &'static str,
    /// The table.
    pub table: &'static str,
    /// Write request units.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
    /// Calls that were billed.
    pub calls: u64,
}

/// What telling the journal's news came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Entries looked at.
    pub visited: u64,
    /// Messages published.
    pub changed: u64,
}

/// A running pack.
pub struct Pack {
    engine: Engine,
    /// The tables, metered apart from the functions.
    pub store: Store,
    /// The ingest function.
    pub ingest: Arc<ingest::App>,
    /// The console function.
    pub console: Arc<console::App>,
    sweeps: BTreeMap<&'static str, sweep::App>,
    notify: RwLock<Arc<notify::App<LocalPublisher>>>,
    /// What was published.
    pub sns: LocalSns,
    /// What would have been sent to receivers whose secrets are not set here.
    pub posts: LocalPosts,
    sns_endpoint: String,
    pump: Mutex<JournalPump>,
    checkpoint_file: Option<PathBuf>,
    /// The clock of every function.
    pub clock: LocalClock,
}

impl std::fmt::Debug for Pack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pack").field("engine", &self.engine.endpoint()).finish_non_exhaustive()
    }
}

impl Pack {
    /// Opens the data (a folder; memory where there is none), makes the tables that are missing
    /// and starts everything but the schedules.
    ///
    /// # Errors
    /// When the data cannot be opened, or is in use by another process.
    pub async fn open(data: Option<&Path>, clock: LocalClock) -> Result<Pack> {
        let location = match data {
            Some(folder) => Location::File(database_file(folder)),
            None => Location::Memory,
        };
        let engine = Engine::start(location)?;
        let client = engine.dynamodb();
        let tables = create_tables(&client, TABLE_PREFIX).await?;
        let journal = tables.journal.clone();
        let store = Store::new(client, tables, EVENT_RETENTION_DAYS);

        let telling = clock.clone();
        let sns = LocalSns::new(Arc::new(move || telling.now()));
        let sns_endpoint = serve_sns(&sns).await?;

        let checkpoint_file = data.map(|folder| folder.join("journal.checkpoint"));
        // A process that is killed while it writes leaves an empty one. Then the stream is read from
        // its beginning again, and nothing is told twice: what was sent is remembered.
        let checkpoint = checkpoint_file
            .as_ref()
            .and_then(|file| std::fs::read_to_string(file).ok())
            .filter(|checkpoint| !checkpoint.is_empty());
        let pump = JournalPump::open(engine.streams(), &journal, checkpoint).await?;

        let time = clock.handle();
        let sweep_app = |_| sweep::App {
            store: store.with_own_meter(),
            clock: time.clone(),
            queue: None,
            customers_per_segment: sweep::CUSTOMERS_PER_SEGMENT,
            vault: None,
        };
        let sweeps = SweepFunction::ALL.map(|function| (function.name(), sweep_app(function)));
        let notify_store = store.with_own_meter();
        let posts = LocalPosts::default();
        let notify = notify::App {
            publisher: LocalPublisher {
                publisher: Publisher {
                    sns: SnsPublisher::new(sns_at(&sns_endpoint), BTreeMap::new()),
                    poster: Poster::new(notify_store.clone(), time.clone(), way_out()),
                },
                posts: posts.clone(),
                clock: clock.clone(),
            },
            store: notify_store,
            clock: time.clone(),
        };
        let ingest = Arc::new(ingest::App {
            store: store.with_own_meter(),
            clock: time.clone(),
            public_url: None,
            egress: way_out(),
        });
        let console = Arc::new(console::App {
            store: store.with_own_meter(),
            clock: time.clone(),
            handoff: at_once(store.with_own_meter(), clock.clone(), Arc::clone(&ingest)),
        });
        Ok(Pack {
            ingest,
            console,
            sweeps: sweeps.into(),
            notify: RwLock::new(Arc::new(notify)),
            engine,
            store,
            sns,
            posts,
            sns_endpoint,
            pump: Mutex::new(pump),
            checkpoint_file,
            clock,
        })
    }

    /// The endpoint of the embedded DynamoDB.
    #[must_use]
    pub fn dynamodb_endpoint(&self) -> &str {
        self.engine.endpoint()
    }

    /// Checks a lifecycle file and makes it the active one: whether it changed anything.
    ///
    /// # Errors
    /// Everything wrong with the file, in `Ok(Err(…))`; `Err` when it cannot be stored.
    pub async fn apply(&self, source: &str) -> Result<Result<bool, Vec<Diagnostic>>> {
        let mut lifecycle = match lifecycle::load(source) {
            Ok(lifecycle) => lifecycle,
            Err(found) => return Ok(Err(found)),
        };
        let was = self.store.configuration().await?.map(|active| active.hash);
        let now = self.clock.now();
        let active = self.store.apply_configuration(source, &lifecycle.hash, now).await?;
        lifecycle.version = Some(active.version);
        let changed = was.as_ref() != Some(&lifecycle.hash);
        self.go_on_with(lifecycle).await?;
        Ok(Ok(changed))
    }

    /// Goes on with the lifecycle file that is active already, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or no longer loads.
    pub async fn resume(&self) -> Result<bool> {
        let Some(active) = self.store.configuration().await? else { return Ok(false) };
        let mut lifecycle = lifecycle::load(&active.source).map_err(|found| {
            let first = found.into_iter().next().map(|d| d.message).unwrap_or_default();
            anyhow::anyhow!("the active lifecycle file can no longer be used: {first}")
        })?;
        lifecycle.version = Some(active.version);
        self.go_on_with(lifecycle).await?;
        Ok(true)
    }

    async fn go_on_with(&self, lifecycle: Lifecycle) -> Result<()> {
        let lifecycle = self.store.go_on_with(Arc::new(lifecycle)).await?;
        let mut notify = self.notify.write().unwrap_or_else(PoisonError::into_inner);
        // Every topic the file names exists here.
        let topics = lifecycle.receivers.iter().map(|receiver| {
            let arn = format!("arn:aws:sns:{REGION}:000000000000:{}", receiver.address);
            (receiver.address.clone(), arn)
        });
        let mut publisher = notify.publisher.clone();
        publisher.publisher.sns = SnsPublisher::new(sns_at(&self.sns_endpoint), topics.collect());
        let (store, clock) = (notify.store.clone(), notify.clock.clone());
        *notify = Arc::new(notify::App { store, clock, publisher });
        Ok(())
    }

    /// Runs a sweep function with a schedule's event, as the scheduler does.
    ///
    /// # Errors
    /// Those of the function.
    pub async fn run(
        &self,
        function: SweepFunction,
        schedule: &str,
        at: Timestamp,
        kind: SweepKind,
    ) -> Result<Summary> {
        let event = SweepEvent::Schedule(ScheduleEvent {
            schedule: schedule.to_owned(),
            scheduled_time: at,
            sweep: kind,
        });
        let app = &self.sweeps[function.name()];
        let answer = match function {
            SweepFunction::Evaluate => evaluate::handle(app, event, None).await?,
            SweepFunction::Score => score::handle(app, event, None).await?,
            SweepFunction::Comply => comply::handle(app, event, None).await?,
        };
        match answer {
            SweepAnswer::Summary(summary) => Ok(summary),
            SweepAnswer::Tickets { .. } => bail!("a schedule is answered by a summary"),
        }
    }

    /// Hands what the journal's stream has to `notify`, until there is nothing more or something
    /// has to be tried again later.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub async fn tell(&self) -> Result<Told> {
        let mut pump = self.pump.lock().await;
        let mut told = Told::default();
        loop {
            let records = pump.next_batch(STREAM_BATCH).await?;
            if records.is_empty() {
                return Ok(told);
            }
            let app = Arc::clone(&self.notify.read().unwrap_or_else(PoisonError::into_inner));
            let mut event = StreamEvent::default();
            event.records = records;
            let answer = notify::handle(&app, event).await?;
            told.visited += answer.visited;
            told.changed += answer.published;
            match answer.failures.failures.first() {
                None => pump.commit_batch(),
                Some(failed) => pump.commit_until(&failed.id),
            }
            if let (Some(file), Some(checkpoint)) = (&self.checkpoint_file, pump.checkpoint()) {
                std::fs::write(file, checkpoint)
                    .context("cannot note how far the journal was told")?;
            }
            if !answer.failures.failures.is_empty() {
                return Ok(told);
            }
        }
    }

    /// Does what is due of groups of alerts, as the minute's schedule does.
    ///
    /// # Errors
    /// When the tables cannot be used.
    pub async fn tick(&self) -> Result<Told> {
        let app = Arc::clone(&self.notify.read().unwrap_or_else(PoisonError::into_inner));
        let answer = notify::tick(&app).await?;
        Ok(Told { visited: answer.visited, changed: answer.published })
    }

    /// What each function was billed for.
    #[must_use]
    pub fn capacity(&self) -> Vec<CapacityRow> {
        let notify = Arc::clone(&self.notify.read().unwrap_or_else(PoisonError::into_inner));
        let mut stores: Vec<(&'static str, &Store)> =
            vec![("ingest", &self.ingest.store), ("console", &self.console.store)];
        stores.extend(self.sweeps.iter().map(|(name, app)| (*name, &app.store)));
        stores.push(("notify", &notify.store));
        let mut rows = Vec::new();
        for (function, store) in stores {
            for (table, units) in store.meter().read() {
                rows.push(CapacityRow {
                    function,
                    table,
                    write_units: units.write_units,
                    read_units: units.read_units,
                    calls: units.calls,
                });
            }
        }
        rows
    }

    /// Starts counting from nothing.
    pub fn reset_capacity(&self) {
        self.ingest.store.meter().reset();
        self.console.store.meter().reset();
        self.sweeps.values().for_each(|app| app.store.meter().reset());
        self.notify.read().unwrap_or_else(PoisonError::into_inner).store.meter().reset();
    }
}

/// How long a receiver on the way out may take.
const POST_TIMEOUT: Duration = Duration::from_secs(2);

/// The way out of this machine, and to it: a receiver may be a server that somebody tries here.
fn way_out() -> Egress {
    Egress::with_this_machine(POST_TIMEOUT)
}

/// Does work that is handed on at once: there are no queues here.
fn at_once(store: Store, clock: LocalClock, ingest: Arc<ingest::App>) -> Handoff {
    Handoff::new(move |work| {
        let (store, now, ingest) = (store.clone(), clock.now(), Arc::clone(&ingest));
        async move {
            match work {
                Work::Privacy(id) => {
                    let done = async {
                        let lifecycle = store.lifecycle().await?;
                        let mut goes_on = |_: &PrivacyRequest| false;
                        store.run_privacy_request(&id, &lifecycle, now, &mut goes_on).await
                    };
                    done.await.map(|_| ()).map_err(|error| HandoffError(error.into()))
                }
                Work::Replay(ids) => {
                    let done = ingest::replay(&ingest, &ids).await;
                    done.map(|_| ()).map_err(|error| HandoffError(error.into()))
                }
            }
        }
    })
}

/// The database of a data folder.
#[must_use]
pub fn database_file(folder: &Path) -> PathBuf {
    folder.join("dynamodb.sqlite")
}

/// Serves the SNS endpoint on a free port of 127.0.0.1: its URL.
async fn serve_sns(sns: &LocalSns) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let router = sns.router();
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok(endpoint)
}
