//! Where a plan's customers and their logs come from: local data, the tables of a stack, or an
//! export of the events table to S3.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use domain::customer::Status;
use domain::event::Event;
use flate2::bufread::MultiGzDecoder;
use futures::stream::{self, StreamExt as _};
use platform::store::{CustomerFilter, PackedEvent, customer_of_json};
use platform::{CustomerKey, Store, StoreError, Versioned};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::embedded::Rows;
use crate::pack::{TABLE_PREFIX, database_file};

/// Logs that are read at once from a stack.
const PARALLEL: usize = 16;
const PAGE: i32 = 200;
/// The longest line of an export: an item of DynamoDB ends at 400 KB.
const MAX_LINE_BYTES: u64 = 2 * 1024 * 1024;

/// Where customers come from.
pub(crate) enum Source {
    /// The database file of a local data folder.
    Local(PathBuf),
    /// The tables of a stack, or of a running `lifecycle dev`.
    Tables(Store),
    /// A folder with an export.
    Export(PathBuf),
}

/// A customer to look at.
pub(crate) struct Work {
    pub(crate) key: CustomerKey,
    pub(crate) status: Option<Status>,
    pub(crate) log: Log,
}

/// A customer's log, as it was read.
#[derive(Clone)]
pub(crate) enum Log {
    Events(Vec<Event>),
    Json(Vec<String>),
    Packed(Vec<PackedEvent>),
}

impl Log {
    /// The events. One that is damaged is passed over and counted.
    pub(crate) fn unpack(self, damaged: &mut u64) -> Vec<Event> {
        let mut keep = |event: Result<Event, StoreError>| match event {
            Ok(event) => Some(event),
            Err(_) => {
                *damaged += 1;
                None
            }
        };
        match self {
            Log::Events(events) => events,
            Log::Json(items) => {
                let events = items.iter().filter_map(|item| PackedEvent::of_json(item).transpose());
                events.map(|event| event?.1.unpack()).filter_map(&mut keep).collect()
            }
            Log::Packed(packed) => {
                packed.iter().map(PackedEvent::unpack).filter_map(keep).collect()
            }
        }
    }
}

impl Source {
    /// About how many customers there are; none where that is known only at the end.
    pub(crate) async fn customers(&self) -> Result<Option<u64>> {
        match self {
            Source::Tables(store) => Ok(Some(store.customers_about().await?)),
            Source::Local(_) | Source::Export(_) => Ok(None),
        }
    }

    /// Opens it. Call it, and what comes after, where blocking is allowed.
    pub(crate) fn open(self) -> Result<Customers> {
        Ok(match self {
            Source::Local(data) => Customers::Local(Rows::open(&database_file(&data))?),
            Source::Tables(store) => Customers::Tables(store),
            Source::Export(folder) => Customers::Export(export(&folder)?),
        })
    }
}

/// Customers that can be read, as often as it takes.
pub(crate) enum Customers {
    Local(Rows),
    Tables(Store),
    /// An export has its items in no order: they are held, packed.
    Export(HashMap<CustomerKey, Vec<PackedEvent>>),
}

impl Customers {
    /// Hands on every customer.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(Work) -> Result<()>) -> Result<()> {
        match self {
            Customers::Local(rows) => {
                rows.each(&local_table("customers"), |item| visit(local(rows, item)?))
            }
            Customers::Tables(store) => {
                tokio::runtime::Handle::current().block_on(tables(store, visit))
            }
            Customers::Export(customers) => {
                let mut customers = customers.iter();
                customers.try_for_each(|(key, packed)| visit(exported(key, packed)))
            }
        }
    }

    /// Those of these keys that there are.
    pub(crate) fn of(&self, keys: &[CustomerKey]) -> Result<Vec<Work>> {
        match self {
            Customers::Local(rows) => {
                let mut found = Vec::new();
                for key in keys {
                    for item in rows.partition(&local_table("customers"), key.as_str())? {
                        found.push(local(rows, &item)?);
                    }
                }
                Ok(found)
            }
            Customers::Tables(store) => {
                let mut found = Vec::new();
                let mut keep = |work| {
                    found.push(work);
                    Ok(())
                };
                tokio::runtime::Handle::current().block_on(async {
                    let customers = store.customers_by_key(keys).await?;
                    with_logs(store, customers, &mut keep).await
                })?;
                Ok(found)
            }
            Customers::Export(customers) => {
                let known = keys.iter().filter_map(|key| customers.get_key_value(key));
                Ok(known.map(|(key, packed)| exported(key, packed)).collect())
            }
        }
    }
}

/// A status that says where the customer is.
fn decided(status: Status) -> Option<Status> {
    status.stage.is_some().then_some(status)
}

fn local_table(name: &str) -> String {
    format!("{TABLE_PREFIX}{name}")
}

fn local(rows: &Rows, item: &str) -> Result<Work> {
    let (key, status) = customer_of_json(item)?;
    let log = Log::Json(rows.partition(&local_table("events"), key.as_str())?);
    Ok(Work { key, status: decided(status), log })
}

fn exported(key: &CustomerKey, packed: &[PackedEvent]) -> Work {
    Work { key: key.clone(), status: None, log: Log::Packed(packed.to_vec()) }
}

async fn tables(store: &Store, visit: &mut dyn FnMut(Work) -> Result<()>) -> Result<()> {
    let mut cursor: Option<String> = None;
    loop {
        let page = store.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
        with_logs(store, page.items, visit).await?;
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

async fn with_logs(
    store: &Store,
    customers: Vec<Versioned>,
    visit: &mut dyn FnMut(Work) -> Result<()>,
) -> Result<()> {
    // Collected first: a stream over a closure that borrows is not `Send` to the compiler.
    let reads: Vec<_> = customers
        .into_iter()
        .map(async |found| {
            let log = store.whole_log(&found.key).await?;
            Ok::<_, StoreError>((found, log))
        })
        .collect();
    let mut reads = stream::iter(reads).buffer_unordered(PARALLEL);
    while let Some(read) = reads.next().await {
        let (found, log) = read?;
        let status = decided(found.customer.status);
        visit(Work { key: found.key, status, log: Log::Events(log) })?;
    }
    Ok(())
}

/// A line of an export.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "Item", borrow)]
    item: &'a RawValue,
}

/// Reads an export: everybody's events.
fn export(folder: &Path) -> Result<HashMap<CustomerKey, Vec<PackedEvent>>> {
    let mut files = Vec::new();
    data_files(folder, &mut files)?;
    files.sort();
    if files.is_empty() {
        bail!(
            "there is no .json.gz file under {}: give the folder of an export of the events table to \
             S3 in the format DYNAMODB_JSON",
            folder.display()
        );
    }
    let mut customers: HashMap<CustomerKey, Vec<PackedEvent>> = HashMap::new();
    let (mut lines, mut passed_over) = (0_u64, 0_u64);
    for file in &files {
        let said = || format!("cannot read {}", file.display());
        let opened = BufReader::new(File::open(file).with_context(said)?);
        let mut reader: Box<dyn BufRead> = match file.extension().is_some_and(|end| end == "gz") {
            true => Box::new(BufReader::new(MultiGzDecoder::new(opened))),
            false => Box::new(opened),
        };
        let mut line = String::new();
        loop {
            line.clear();
            let read = reader.by_ref().take(MAX_LINE_BYTES).read_line(&mut line);
            if read.with_context(said)? == 0 {
                break;
            }
            if line.trim().is_empty() {
                continue;
            }
            lines += 1;
            let item = serde_json::from_str::<Line<'_>>(&line).ok();
            let event = item.map(|line| PackedEvent::of_json(line.item.get()));
            match event {
                Some(Ok(Some((key, event)))) => customers.entry(key).or_default().push(event),
                Some(Ok(None)) => {}
                Some(Err(_)) | None => passed_over += 1,
            }
        }
    }
    if customers.is_empty() {
        bail!("none of the {lines} lines under {} is an event of the log", folder.display());
    }
    if passed_over > 0 {
        tracing::warn!(
            lines = passed_over,
            "lines of the export that are no event were passed over"
        );
    }
    Ok(customers)
}

/// The data files of an export, wherever under the folder they are.
fn data_files(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let said = || format!("cannot read the folder {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(said)? {
        let entry = entry.with_context(said)?;
        let (path, kind) = (entry.path(), entry.file_type().with_context(said)?);
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            data_files(&path, into)?;
        } else if kind.is_file() && (name.ends_with(".json.gz") || name.ends_with(".jsonl")) {
            into.push(path);
        }
    }
    Ok(())
}
