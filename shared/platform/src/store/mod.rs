//! The four tables, and the only code that talks to them.
//!
//! One concrete store on `aws-sdk-dynamodb`: tests and `lifecycle dev` run the same code over an
//! embedded DynamoDB. It holds no business rule; what should be true is decided in `domain`, and
//! this module makes it true once, whatever crashes, repeats or races.

mod alerts;
mod attributes;
mod audit;
mod bulk;
mod burial;
mod by_hand;
mod commit;
mod control;
mod customers;
mod decisions;
mod erase;
mod error;
mod exported;
mod feeds;
mod findings;
mod held;
mod hierarchy;
mod identity;
mod log;
mod models;
mod muting;
mod once;
mod overview;
mod personal;
mod privacy;
mod quarantine;
mod query;
mod read;
mod roots;
mod runs;
mod secrets;
mod senders;
mod silences;
mod suppression;
mod tasks;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ConsumedCapacity;
use domain::feed::Sender;
use domain::lifecycle::{self, Lifecycle};

pub use alerts::{
    AckOutcome, AlertWrites, CapState, CustomerNotes, GroupWrite, HeldGroup, Notification,
    Outgoing, SlowReceiver,
};
pub use audit::JournalPlace;
pub use bulk::Bulk;
pub use by_hand::ByHandOutcome;
pub use commit::{Committed, Fate};
pub use control::{ApplyOutcome, By, Configuration, WriteKey, hash_of};
pub use customers::{CustomerKey, Moved, Versioned};
pub use decisions::{DecisionOutcome, Decisions};
pub use error::StoreError;
pub use exported::{PackedEvent, customer_of_json};
pub use feeds::{Watched, WatchedFeed};
pub use findings::{Finding, WaivedStandard, finding_id};
pub use held::{Held, HeldAlert, SentMark};
pub use log::LoggedEvent;
pub use models::Learnt;
pub use once::{KEPT_HOURS, Kept, Once};
pub use privacy::{MAX_IDS, PrivacyAction, PrivacyRequest, PrivacyState};
pub use quarantine::{Attempt, QuarantineFilter, Quarantined, SetAside};
pub use read::{CustomerFilter, Page};
pub use roots::{LATE_DAYS, Leaf, RootOutcome};
pub use runs::{Ran, RunProgress, RunSlot, RunStart};
pub use secrets::{MAX_LIVE, Secret, SecretOutcome, SourceSecret};
pub use senders::{Heard, HourCount, Liveliness};
pub use suppression::{Person, Suppressed};
pub use tasks::{ClosedTask, OpenTasks, TaskRecord};

use crate::meter::{Access, Meter};
use crate::settings::Tables;

/// How long a function may go on with a lifecycle file before it looks for a newer one.
const LIFECYCLE_TTL: Duration = Duration::from_secs(30);

/// The tables. Clones share the client, the meter and the caches.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    tables: Arc<Tables>,
    meter: Meter,
    caches: Arc<Caches>,
    event_retention_days: u32,
    /// The key under which something is being done.
    once: Option<Once>,
}

/// What a process remembers between invocations.
#[derive(Debug, Default)]
struct Caches {
    lifecycle: Mutex<Option<(Instant, Arc<Lifecycle>)>>,
    /// User to account; `None` is a user without one.
    links: Mutex<BTreeMap<String, identity::KnownLink>>,
    suppressed: Mutex<Option<suppression::Known>>,
    secret: OnceLock<suppression::Secret>,
    /// Write key hash to what the key is for; `None` is no live one.
    write_keys: Mutex<BTreeMap<String, (Instant, Option<String>)>>,
    /// What was heard of senders since it was last written.
    senders: Mutex<BTreeMap<Sender, senders::Gathered>>,
    /// The secrets of sources.
    secrets: Mutex<secrets::SecretsCache>,
}

impl Store {
    /// A store over the given tables.
    #[must_use]
    pub fn new(client: Client, tables: Tables, event_retention_days: u32) -> Store {
        Store {
            client,
            tables: Arc::new(tables),
            meter: Meter::default(),
            caches: Arc::default(),
            event_retention_days,
            once: None,
        }
    }

    /// The same tables and caches with a meter of its own, so that each function's units show.
    #[must_use]
    pub fn with_own_meter(&self) -> Store {
        Store { meter: Meter::default(), ..self.clone() }
    }

    /// For how many days the log keeps an event: for that long its id counts once.
    #[must_use]
    pub fn event_retention_days(&self) -> u32 {
        self.event_retention_days
    }

    /// What was billed through this store.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The lifecycle that is active, read again after half a minute.
    ///
    /// # Errors
    /// When there is none, when the stored file no longer loads, or when the table cannot be read.
    pub async fn lifecycle(&self) -> Result<Arc<Lifecycle>, StoreError> {
        let known = self.caches.lifecycle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read_at, lifecycle)) = &known
            && read_at.elapsed() < LIFECYCLE_TTL
        {
            return Ok(Arc::clone(lifecycle));
        }
        let active = self.configuration().await?.ok_or(StoreError::NoLifecycle)?;
        let is_active =
            |known: &Lifecycle| known.hash == active.hash && known.version == Some(active.version);
        let lifecycle = match known {
            Some((_, lifecycle)) if is_active(&lifecycle) => lifecycle,
            _ => {
                let mut loaded = lifecycle::load(&active.source).map_err(|found| {
                    let first = found.first().map_or_else(String::new, |d| d.message.clone());
                    StoreError::Lifecycle(first)
                })?;
                loaded.version = Some(active.version);
                Arc::new(loaded)
            }
        };
        self.go_on_with(lifecycle).await
    }

    /// Makes a lifecycle the one this process goes on with, after giving it what was learnt for it.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn go_on_with(
        &self,
        lifecycle: Arc<Lifecycle>,
    ) -> Result<Arc<Lifecycle>, StoreError> {
        let lifecycle = self.with_learnt(lifecycle).await?;
        self.remember_lifecycle(Arc::clone(&lifecycle));
        Ok(lifecycle)
    }

    /// Makes a lifecycle the one this process goes on with.
    pub fn remember_lifecycle(&self, lifecycle: Arc<Lifecycle>) {
        let mut cache = self.caches.lifecycle.lock().unwrap_or_else(PoisonError::into_inner);
        *cache = Some((Instant::now(), lifecycle));
    }

    /// What became of a write that has a condition: whether the condition held.
    fn stood<E>(
        &self,
        operation: &'static str,
        table: &str,
        written: Result<Option<ConsumedCapacity>, SdkError<E>>,
    ) -> Result<bool, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match written {
            Ok(units) => {
                self.meter.add(&self.tables, Access::Write, units.as_slice());
                Ok(true)
            }
            Err(error) => match error.as_service_error().and_then(ProvideErrorMetadata::code) {
                Some("ConditionalCheckFailedException") => Ok(false),
                _ => Err(StoreError::call(operation, table)(error)),
            },
        }
    }
}
