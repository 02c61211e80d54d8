//! DynamoDB in this process: an engine on SQLite behind an HTTP server on loopback.
//!
//! Invariants:
//! - A write that was answered survives the death of the process (`kill -9` included). File
//!   databases run in write-ahead mode with `synchronous = NORMAL`: every commit reaches the
//!   operating system before it is answered, the disk is forced at checkpoints. A power cut may
//!   lose the last commits of a file database, never its consistency.
//! - One process at a time: a file database is guarded by an operating system lock on a file
//!   beside it, which the system releases however the process ends.
//! - The engine runs its statements inline, so it has a thread and a runtime of its own and never
//!   holds up the caller's.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use dynoxide::Database;
use dynoxide::storage::Storage;
use tokio::sync::oneshot;

/// The region the clients sign for; the engine takes any.
pub const REGION: &str = "us-east-1";
/// The access key id the clients sign with; the engine takes any.
pub const ACCESS_KEY_ID: &str = "local";
/// The secret that goes with [`ACCESS_KEY_ID`]. It protects nothing.
pub const SECRET_ACCESS_KEY: &str = "local";

/// How long a stopping engine waits for the requests it is answering.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// The engine finds the next number of a stream by the greatest one so far, and reads a stream by
/// number, with no index: each write would cost in proportion to all records ever streamed.
const STREAM_INDEX: &str = "CREATE INDEX IF NOT EXISTS lifecycle_stream_order \
     ON _stream_records (table_name, CAST(sequence_number AS INTEGER))";

/// Where the engine keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In memory; gone when the engine is dropped.
    Memory,
    /// In this database file, which is made, with its folder, when it is not there.
    File(PathBuf),
}

/// A running engine. Dropping it stops its server and releases its data.
pub struct Engine {
    endpoint: String,
    database: Option<Database>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    // Released last, after the database is closed.
    _lock: Option<File>,
}

impl Engine {
    /// Opens the data and serves it on a free port of 127.0.0.1.
    ///
    /// Fails when the file is in use by another process, is not a database of this engine, or was
    /// written by a newer version of it.
    pub fn start(location: Location) -> Result<Engine> {
        let (database, lock) = match &location {
            Location::Memory => (open_memory()?, None),
            Location::File(path) => {
                let lock = lock_data(path)?;
                (open_file(path)?, Some(lock))
            }
        };
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on 127.0.0.1")?;
        listener.set_nonblocking(true)?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime of the embedded DynamoDB")?;
        let (stop, stopped) = oneshot::channel();
        let served = database.clone();
        let server = std::thread::Builder::new()
            .name("dynamodb".into())
            .spawn(move || runtime.block_on(serve(listener, served, stopped)))
            .context("cannot start the thread of the embedded DynamoDB")?;
        let database = Some(database);
        Ok(Engine { endpoint, database, stop: Some(stop), server: Some(server), _lock: lock })
    }

    /// The base URL, `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL_DYNAMODB` and the like.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A client for this engine.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        dynamodb_at(&self.endpoint)
    }

    /// A client for this engine's streams.
    pub fn streams(&self) -> aws_sdk_dynamodbstreams::Client {
        let config = aws_sdk_dynamodbstreams::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::from_static(REGION))
            .credentials_provider(credentials())
            .http_client(Builder::new().build_http())
            .retry_config(retries())
            .build();
        aws_sdk_dynamodbstreams::Client::from_conf(config)
    }

    /// Deletes the items whose time to live has passed, by the system clock, and says how many.
    ///
    /// The engine expires nothing by itself. The call blocks; requests are served in between.
    pub fn sweep_ttl(&self) -> Result<usize> {
        let database = self.database.as_ref().context("the embedded DynamoDB has stopped")?;
        database.sweep_ttl().map_err(|error| anyhow!("cannot expire items: {error}"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.database = None;
        if let Some(stop) = self.stop.take() {
            // The server may be gone already; then there is nothing to stop.
            let _ = stop.send(());
        }
        if let Some(server) = self.server.take()
            && server.join().is_err()
        {
            tracing::error!("the embedded DynamoDB panicked");
        }
    }
}

/// Serves until told to stop, then for at most [`STOP_GRACE`] longer. When the caller drops the
/// runtime, what is left of the connections goes with it.
async fn serve(listener: TcpListener, database: Database, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the embedded DynamoDB cannot listen"),
    };
    let (finish, finishing) = oneshot::channel::<()>();
    let server = dynoxide::server::serve_with_shutdown(listener, database, async {
        // A dropped sender stops the server like a sent signal.
        let _ = finishing.await;
    });
    let stop = async {
        let _ = stopped.await;
        drop(finish);
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        served = server => {
            if let Err(error) = served {
                tracing::error!(%error, "the embedded DynamoDB stopped serving");
            }
        }
        () = stop => tracing::warn!("the embedded DynamoDB stopped with a request unfinished"),
    }
}

/// An empty database in memory, with the index on streams.
///
/// The engine gives no access to a memory database's schema, but it restores a snapshot with the
/// schema that the snapshot has: one of an empty database goes through a file, not forced to disk.
fn open_memory() -> Result<Database> {
    static SNAPSHOTS: AtomicU64 = AtomicU64::new(0);
    let number = SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
    let name = format!("lifecycle-{}-{number}.sqlite", std::process::id());
    let path = std::env::temp_dir().join(name);
    let restored = restore_indexed(&path);
    // Beside a snapshot there may be the files of its write-ahead log.
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(with_suffix(&path, suffix));
    }
    restored.map_err(|error| anyhow!("cannot open a database in memory: {error}"))
}

fn restore_indexed(snapshot: &Path) -> dynoxide::Result<Database> {
    let storage = Storage::memory()?;
    storage.conn().execute_batch("PRAGMA synchronous = OFF")?;
    storage.conn().execute_batch(STREAM_INDEX)?;
    // What a process of the same id left behind when it was killed here.
    let _ = std::fs::remove_file(snapshot);
    storage.vacuum_into(&snapshot.to_string_lossy())?;
    let database = Database::memory()?;
    database.restore_from(&snapshot.to_string_lossy())?;
    Ok(database)
}

/// Opens or makes the database file, with the index on streams and one disk flush a checkpoint
/// instead of one a commit.
fn open_file(path: &Path) -> Result<Database> {
    let name = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    let open = || -> dynoxide::Result<Database> {
        Storage::new(name)?.conn().execute_batch(STREAM_INDEX)?;
        let database = Database::new(name)?;
        // The engine's only way to ask for `synchronous = NORMAL`; the other settings that this
        // restores are at their defaults already.
        database.disable_bulk_loading()?;
        Ok(database)
    };
    open().map_err(|error| anyhow!("cannot open {}: {error}", path.display()))
}

/// Takes the lock beside the database file, and notes in it who holds it.
pub(super) fn lock_data(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let lock_path = with_suffix(path, ".lock");
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .with_context(|| format!("cannot open {}", lock_path.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message: without it the error is as true.
            let _ = lock.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            bail!(
                "{} is in use by {holder}: stop it, or choose another data folder",
                path.display()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", lock_path.display()));
        }
    }
    lock.set_len(0)?;
    lock.rewind()?;
    write!(lock, "{}", std::process::id())?;
    Ok(lock)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The SDK's client for an engine that serves at `endpoint`, in this process or another.
pub fn dynamodb_at(endpoint: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static(REGION))
        .credentials_provider(credentials())
        .http_client(Builder::new().build_http())
        .retry_config(retries())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// The SDK's SNS client for a local endpoint.
pub fn sns_at(endpoint: &str) -> aws_sdk_sns::Client {
    let config = aws_sdk_sns::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static(REGION))
        .credentials_provider(credentials())
        .http_client(Builder::new().build_http())
        .build();
    aws_sdk_sns::Client::from_conf(config)
}

fn credentials() -> Credentials {
    Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "embedded")
}

/// The engine never throttles: one more attempt, at once, is for a connection that was closed
/// while it was idle.
fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(5))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
        ScalarAttributeType, TimeToLiveSpecification,
    };

    use super::*;

    async fn make_table(client: &aws_sdk_dynamodb::Client) {
        let pk = AttributeDefinition::builder()
            .attribute_name("pk")
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap();
        let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash);
        client
            .create_table()
            .table_name("items")
            .attribute_definitions(pk)
            .key_schema(key.build().unwrap())
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
    }

    async fn put(client: &aws_sdk_dynamodb::Client, pk: &str, expires: u64) {
        client
            .put_item()
            .table_name("items")
            .item("pk", AttributeValue::S(pk.into()))
            .item("expires", AttributeValue::N(expires.to_string()))
            .send()
            .await
            .unwrap();
    }

    async fn count(client: &aws_sdk_dynamodb::Client) -> i32 {
        client.scan().table_name("items").send().await.unwrap().count()
    }

    #[tokio::test]
    async fn a_file_keeps_its_items_when_the_engine_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("lifecycle.db");
        let engine = Engine::start(Location::File(path.clone())).unwrap();
        make_table(&engine.dynamodb()).await;
        put(&engine.dynamodb(), "a", 0).await;
        drop(engine);

        let engine = Engine::start(Location::File(path)).unwrap();
        assert_eq!(count(&engine.dynamodb()).await, 1);
    }

    #[test]
    fn a_file_is_opened_by_one_engine_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lifecycle.db");
        let first = Engine::start(Location::File(path.clone())).unwrap();
        let second = Engine::start(Location::File(path.clone()));
        let message = second.err().unwrap().to_string();
        assert!(message.contains(&format!("in use by process {}", std::process::id())));
        drop(first);
        Engine::start(Location::File(path)).unwrap();
    }

    #[test]
    fn a_file_that_is_no_database_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lifecycle.db");
        std::fs::write(&path, "stages: [trial, paid]\n".repeat(100)).unwrap();
        let message = Engine::start(Location::File(path)).err().unwrap().to_string();
        assert!(message.contains("lifecycle.db"), "{message}");
    }

    #[tokio::test]
    async fn engines_in_memory_share_nothing() {
        let (one, other) =
            (Engine::start(Location::Memory).unwrap(), Engine::start(Location::Memory).unwrap());
        make_table(&one.dynamodb()).await;
        assert!(other.dynamodb().describe_table().table_name("items").send().await.is_err());
    }

    /// The plan of the statement that the engine runs for each write to a table with a stream.
    fn plan_of_a_stream_write(path: &Path) -> String {
        let storage = Storage::new(path.to_str().unwrap()).unwrap();
        let sql = "EXPLAIN QUERY PLAN SELECT MAX(CAST(sequence_number AS INTEGER)) \
             FROM _stream_records WHERE table_name = 'journal'";
        storage.conn().query_row(sql, [], |row| row.get(3)).unwrap()
    }

    #[test]
    fn a_stream_write_does_not_read_the_whole_stream() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copy) = (folder.path().join("file.db"), folder.path().join("copy.db"));
        drop(Engine::start(Location::File(file.clone())).unwrap());
        let memory = Engine::start(Location::Memory).unwrap();
        memory.database.as_ref().unwrap().vacuum_into(copy.to_str().unwrap()).unwrap();
        for path in [file, copy] {
            let plan = plan_of_a_stream_write(&path);
            assert!(plan.contains("lifecycle_stream_order"), "{plan}");
        }
    }

    #[tokio::test]
    async fn a_sweep_deletes_the_expired_items_only() {
        let engine = Engine::start(Location::Memory).unwrap();
        let client = engine.dynamodb();
        make_table(&client).await;
        let ttl = TimeToLiveSpecification::builder().attribute_name("expires").enabled(true);
        client
            .update_time_to_live()
            .table_name("items")
            .time_to_live_specification(ttl.build().unwrap())
            .send()
            .await
            .unwrap();
        put(&client, "past", 1_700_000_000).await;
        put(&client, "far", 32_503_680_000).await;
        assert_eq!(engine.sweep_ttl().unwrap(), 1);
        assert_eq!(count(&client).await, 1);
    }

    #[test]
    fn a_connection_that_never_finishes_its_request_does_not_hold_up_the_stop() {
        use std::net::TcpStream;
        let engine = Engine::start(Location::Memory).unwrap();
        let address = engine.endpoint().trim_start_matches("http://").to_owned();
        let mut half = TcpStream::connect(address).unwrap();
        half.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").unwrap();
        drop(engine);
    }
}
