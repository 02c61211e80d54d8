//! Logs and metrics: JSON lines with time and level, and one wide metric event per invocation.
//!
//! Logs never hold a body, an e-mail address, a name or a key. Metrics are CloudWatch's embedded
//! metric format, written as a line of the log; their dimensions are the function and the outcome,
//! never a customer.

use std::future::Future;
use std::time::Instant;

use metrique::emf::Emf;
use metrique::unit::Millisecond;
use metrique::unit_of_work::metrics;
use metrique::writer::sink::FlushImmediately;
use metrique::writer::{BoxEntrySink, FormatExt};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::Clock;
use crate::store::{RunProgress, Store};

/// The CloudWatch namespace of the pack's metrics.
const NAMESPACE: &str = "Lifecycle";

/// Sends logs to standard output as JSON lines, from `level` up. Does nothing when a test or the
/// command line has set up logs already.
pub fn init_logs(level: &str) {
    let filter = level.parse().unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false);
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

/// What an invocation counted. Each function fills in what it knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Customers looked at.
    pub visited: u64,
    /// Customers changed.
    pub changed: u64,
    /// Customers or records that could not be handled.
    pub failed: u64,
    /// Events that are new.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events set aside.
    pub rejected: u64,
    /// Alerts published.
    pub published: u64,
}

impl Counts {
    /// What a run counted so far.
    #[must_use]
    pub fn of(progress: &RunProgress) -> Counts {
        let RunProgress { visited, changed, failed, .. } = *progress;
        Counts { visited, changed, failed, ..Counts::default() }
    }

    /// What of a run's counts came after these.
    #[must_use]
    pub fn since(self, begun: &Counts) -> Counts {
        Counts {
            visited: self.visited - begun.visited,
            changed: self.changed - begun.changed,
            failed: self.failed - begun.failed,
            ..self
        }
    }

    /// Adds what another part of the invocation counted.
    pub fn add(&mut self, other: &Counts) {
        self.visited += other.visited;
        self.changed += other.changed;
        self.failed += other.failed;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.published += other.published;
    }
}

#[derive(Debug)]
#[metrics(emf::dimension_sets = [["function"], ["function", "outcome"]])]
struct InvocationMetrics {
    #[metrics(timestamp)]
    timestamp: std::time::SystemTime,
    function: &'static str,
    outcome: &'static str,
    #[metrics(unit = Millisecond)]
    duration: std::time::Duration,
    visited: u64,
    changed: u64,
    failed: u64,
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    published: u64,
    read_units: f64,
    write_units: f64,
}

/// Writes one metric event per invocation of a function.
#[derive(Clone)]
pub struct Telemetry {
    function: &'static str,
    clock: Clock,
    sink: BoxEntrySink,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("function", &self.function).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Metrics of a function, to standard output.
    #[must_use]
    pub fn new(function: &'static str, clock: Clock) -> Telemetry {
        let format = Emf::builder(NAMESPACE.to_owned(), vec![vec![]]).build();
        let stream = format.output_to_makewriter(|| std::io::stdout().lock());
        Telemetry { function, clock, sink: FlushImmediately::new_boxed(stream) }
    }

    /// Runs an invocation and writes its metric event, whatever comes of it.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn measure<T, E>(
        &self,
        store: &Store,
        work: impl Future<Output = Result<T, E>>,
        counts: impl FnOnce(&T) -> Counts,
    ) -> Result<T, E> {
        let began = Instant::now();
        let before = store.meter().total();
        let result = work.await;
        let after = store.meter().total();
        let counted = result.as_ref().map(counts).unwrap_or_default();
        let metrics = InvocationMetrics {
            timestamp: self.clock.now().into(),
            function: self.function,
            outcome: if result.is_ok() { "ok" } else { "error" },
            duration: began.elapsed(),
            visited: counted.visited,
            changed: counted.changed,
            failed: counted.failed,
            accepted: counted.accepted,
            duplicates: counted.duplicates,
            rejected: counted.rejected,
            published: counted.published,
            read_units: after.read_units - before.read_units,
            write_units: after.write_units - before.write_units,
        };
        drop(metrics.append_on_drop(self.sink.clone()));
        result
    }
}
