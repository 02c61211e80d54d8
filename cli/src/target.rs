//! Which workspace a command works on: a local data folder, or the tables of a deployed stack.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_config::BehaviorVersion;
use clap::Args;
use platform::aws::https;
use platform::settings::TrustStore;
use platform::{Settings, Store};

use crate::embedded::engine::dynamodb_at;
use crate::embedded::{Engine, Location, create_tables};
use crate::pack::{EVENT_RETENTION_DAYS, TABLE_PREFIX, database_file};

/// Where the workspace's data is.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// The folder of the local data; a running `lifecycle dev` on it is used as it is
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".lifecycle",
        conflicts_with = "aws",
        global = true
    )]
    pub data: PathBuf,
    /// Work on a deployed stack: credentials and region as for any AWS tool, table names from
    /// EVENTS_TABLE, CUSTOMERS_TABLE, JOURNAL_TABLE and CONTROL_TABLE (outputs of the stack)
    #[arg(long, global = true)]
    pub aws: bool,
}

/// An open workspace.
pub struct Target {
    /// Its tables.
    pub store: Store,
    /// Where the command may keep notes of its own.
    pub notes: PathBuf,
    /// Stops the embedded engine when dropped.
    _engine: Option<Engine>,
}

impl Target {
    /// Opens the workspace.
    ///
    /// # Errors
    /// When the data is in use by something other than `lifecycle dev`, or the stack's tables are
    /// not named.
    pub async fn open(args: &TargetArgs) -> Result<Target> {
        if args.aws {
            let settings = Settings::from_env()
                .context("--aws needs the names of the stack's tables; see the stack's outputs")?;
            let sdk = aws_config::defaults(BehaviorVersion::latest());
            let sdk = sdk.http_client(https(TrustStore::System)).load().await;
            let client = aws_sdk_dynamodb::Client::new(&sdk);
            let store = Store::new(client, settings.tables, settings.event_retention_days);
            return Ok(Target { store, notes: args.data.clone(), _engine: None });
        }
        let (client, engine) = match running(&args.data) {
            Some(endpoint) => (dynamodb_at(&endpoint), None),
            None => {
                let engine = Engine::start(Location::File(database_file(&args.data)))?;
                (engine.dynamodb(), Some(engine))
            }
        };
        let tables = create_tables(&client, TABLE_PREFIX).await?;
        let store = Store::new(client, tables, EVENT_RETENTION_DAYS);
        Ok(Target { store, notes: args.data.clone(), _engine: engine })
    }
}

fn endpoint_file(data: &Path) -> PathBuf {
    data.join("dynamodb.endpoint")
}

/// Notes where a running `dev` serves the data, for other commands to find.
///
/// # Errors
/// When the folder cannot be written.
pub fn announce(data: &Path, endpoint: &str) -> Result<()> {
    std::fs::write(endpoint_file(data), endpoint)
        .with_context(|| format!("cannot write to {}", data.display()))
}

/// Takes the note back.
pub fn withdraw(data: &Path) {
    let _ = std::fs::remove_file(endpoint_file(data));
}

/// Whether a `dev` runs on this data.
#[must_use]
pub fn is_served(data: &Path) -> bool {
    running(data).is_some()
}

/// The endpoint of a `dev` that runs on this data.
fn running(data: &Path) -> Option<String> {
    let endpoint = std::fs::read_to_string(endpoint_file(data)).ok()?;
    let address: SocketAddr = endpoint.strip_prefix("http://")?.parse().ok()?;
    if !address.ip().is_loopback() {
        return None;
    }
    TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok()?;
    Some(endpoint)
}
