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
use platform::{CustomerKey, Store, StoreError};
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

    /// Hands on every customer. Call it where blocking is allowed.
    pub(crate) fn each(self, visit: impl FnMut(Work) -> Result<()>) -> Result<()> {
        match self {
            Source::Local(data) => local(&data, visit),
            Source::Tables(store) => {
                tokio::runtime::Handle::current().block_on(tables(&store, visit))
            }
            Source::Export(folder) => export(&folder, visit),
        }
    }
}

/// A status that says where the customer is.
fn decided(status: Status) -> Option<Status> {
    status.stage.is_some().then_some(status)
}

fn local(data: &Path, mut visit: impl FnMut(Work) -> Result<()>) -> Result<()> {
    let rows = Rows::open(&database_file(data))?;
    let (customers, events) = (format!("{TABLE_PREFIX}customers"), format!("{TABLE_PREFIX}events"));
    rows.each(&customers, |item| {
        let (key, status) = customer_of_json(item)?;
        let log = Log::Json(rows.partition(&events, key.as_str())?);
        visit(Work { key, status: decided(status), log })
    })
}

async fn tables(store: &Store, mut visit: impl FnMut(Work) -> Result<()>) -> Result<()> {
    let mut cursor: Option<String> = None;
    loop {
        let page = store.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
        // Collected first: a stream over a closure that borrows is not `Send` to the compiler.
        let reads: Vec<_> = page
            .items
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
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// A line of an export.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "Item", borrow)]
    item: &'a RawValue,
}

/// An export has its items in no order: they are held, packed, until all are read.
fn export(folder: &Path, mut visit: impl FnMut(Work) -> Result<()>) -> Result<()> {
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
    for (key, packed) in customers {
        visit(Work { key, status: None, log: Log::Packed(packed) })?;
    }
    Ok(())
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
