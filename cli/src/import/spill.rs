//! Rows put into order on disk: by customer, in as many files as keep each one small.
//!
//! Committing all of a customer's events together is what makes an import fast: the customer is
//! read and written once, and a new one's log need not be read at all. A customer is in one
//! partition, whole; a partition is sorted in memory, in slabs where it is a large one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use domain::event::Event;
use jiff::{SignedDuration, Timestamp};
use platform::CustomerKey;
use serde_json::{Map, Value as Json};

use super::call::{Row, digest_of, message_id};

/// What a partition should come to, and the most of one that is held in memory.
const PARTITION_BYTES: u64 = 24 * 1024 * 1024;
const SLAB_BYTES: usize = 64 * 1024 * 1024;
const MAX_PARTITIONS: u64 = 200;
const BUFFER_BYTES: usize = 32 * 1024;

/// The folder of the partitions of one import.
#[derive(Debug, Clone)]
pub(super) struct Spill {
    folder: PathBuf,
    pub(super) partitions: u32,
}

/// A record as it lies in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) customer: &'a str,
    pub(super) at_ms: i64,
    /// Empty where the content tells it.
    pub(super) id: &'a str,
    pub(super) body: &'a [u8],
}

const HEAD_BYTES: usize = 16;

impl Spill {
    pub(super) fn new(folder: PathBuf, file_bytes: u64) -> Spill {
        // A row grows by about half when it becomes a call.
        let partitions = (file_bytes * 3 / 2).div_ceil(PARTITION_BYTES).clamp(1, MAX_PARTITIONS);
        Spill { folder, partitions: u32::try_from(partitions).unwrap_or(1) }
    }

    pub(super) fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Starts a family of partitions from nothing.
    pub(super) fn writer(&self, family: &'static str) -> io::Result<Writer> {
        fs::create_dir_all(&self.folder)?;
        let files = (0..self.partitions).map(|_| None).collect();
        Ok(Writer { spill: self.clone(), family, files })
    }

    fn path(&self, family: &str, partition: u32) -> PathBuf {
        self.folder.join(format!("{family}-{partition:03}"))
    }

    /// The records of one partition, in the order they were written.
    pub(super) fn read(&self, family: &str, partition: u32) -> io::Result<Option<Reader>> {
        match File::open(self.path(family, partition)) {
            Ok(file) => Ok(Some(Reader { file: BufReader::with_capacity(8 * BUFFER_BYTES, file) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove(&self, family: &str, partition: u32) {
        // What stays behind goes with the folder.
        let _ = fs::remove_file(self.path(family, partition));
    }
}

/// Writes records into the partition of their customer.
pub(super) struct Writer {
    spill: Spill,
    family: &'static str,
    files: Vec<Option<BufWriter<File>>>,
}

impl Writer {
    pub(super) fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        let partition = partition_of(record.customer, self.spill.partitions);
        let slot = &mut self.files[partition as usize];
        let file = match slot {
            Some(file) => file,
            None => {
                let file = File::create(self.spill.path(self.family, partition))?;
                slot.insert(BufWriter::with_capacity(BUFFER_BYTES, file))
            }
        };
        record.write(file)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.iter().all(Option::is_none)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.files.iter_mut().flatten().try_for_each(BufWriter::flush)
    }
}

fn partition_of(customer: &str, partitions: u32) -> u32 {
    // FNV-1a: the same in every version of this command.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in customer.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    u32::try_from((hash >> 16) % u64::from(partitions)).unwrap_or(0)
}

impl Record<'_> {
    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let mut head = [0; HEAD_BYTES];
        let too_long = |_| io::Error::other("a record is too long");
        let customer = u16::try_from(self.customer.len()).map_err(too_long)?;
        let id = u16::try_from(self.id.len()).map_err(too_long)?;
        let body = u32::try_from(self.body.len()).map_err(too_long)?;
        head[..8].copy_from_slice(&self.at_ms.to_le_bytes());
        head[8..10].copy_from_slice(&customer.to_le_bytes());
        head[10..12].copy_from_slice(&id.to_le_bytes());
        head[12..].copy_from_slice(&body.to_le_bytes());
        file.write_all(&head)?;
        file.write_all(self.customer.as_bytes())?;
        file.write_all(self.id.as_bytes())?;
        file.write_all(self.body)
    }
}

pub(super) struct Reader {
    file: BufReader<File>,
}

/// Records in memory, next to each other.
#[derive(Default)]
pub(super) struct Slab {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Reader {
    /// Reads records until the slab is full or there are no more.
    pub(super) fn fill(&mut self, slab: &mut Slab, limit: usize) -> io::Result<()> {
        slab.bytes.clear();
        slab.starts.clear();
        while slab.bytes.len() < limit {
            let start = slab.bytes.len();
            slab.bytes.resize(start + HEAD_BYTES, 0);
            match self.file.read_exact(&mut slab.bytes[start..]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    slab.bytes.truncate(start);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let head = Head::of(&slab.bytes[start..]);
            let end = slab.bytes.len() + head.customer + head.id + head.body;
            slab.bytes.resize(end, 0);
            self.file.read_exact(&mut slab.bytes[start + HEAD_BYTES..])?;
            slab.starts.push(u32::try_from(start).map_err(io::Error::other)?);
        }
        Ok(())
    }
}

struct Head {
    at_ms: i64,
    customer: usize,
    id: usize,
    body: usize,
}

impl Head {
    fn of(bytes: &[u8]) -> Head {
        let part = |from: usize, length: usize| {
            let mut word = [0; 8];
            word[..length].copy_from_slice(&bytes[from..from + length]);
            u64::from_le_bytes(word)
        };
        Head {
            at_ms: part(0, 8).cast_signed(),
            customer: part(8, 2) as usize,
            id: part(10, 2) as usize,
            body: part(12, 4) as usize,
        }
    }
}

impl Slab {
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn get(&self, index: usize) -> Record<'_> {
        let bytes = &self.bytes[self.starts[index] as usize..];
        let head = Head::of(bytes);
        let (customer, rest) = bytes[HEAD_BYTES..].split_at(head.customer);
        let (id, rest) = rest.split_at(head.id);
        Record {
            customer: std::str::from_utf8(customer).unwrap_or_default(),
            at_ms: head.at_ms,
            id: std::str::from_utf8(id).unwrap_or_default(),
            body: &rest[..head.body],
        }
    }

    /// By customer, then by time; what is equal stays in the order of the file.
    fn sort(&mut self) {
        let mut starts = std::mem::take(&mut self.starts);
        let order = |start: &u32| {
            let bytes = &self.bytes[*start as usize..];
            let head = Head::of(bytes);
            (&bytes[HEAD_BYTES..HEAD_BYTES + head.customer], head.at_ms)
        };
        starts.sort_by(|a, b| order(a).cmp(&order(b)));
        self.starts = starts;
    }
}

/// Events ready to be committed, and how far into which partition they reach.
pub(super) struct Chunk {
    pub(super) groups: Vec<(CustomerKey, Vec<Event>)>,
    pub(super) events: u64,
    /// Customers that no chunk before held.
    pub(super) new_customers: u64,
    pub(super) partition: u32,
    /// Records of the partition that are dealt with when this chunk is.
    pub(super) done: u64,
}

/// What stays the same over all chunks.
pub(super) struct Chunking {
    pub(super) family: &'static str,
    pub(super) chunk_events: usize,
    pub(super) shift: SignedDuration,
    pub(super) received_at: Timestamp,
}

/// Reads one partition from the record `skip` on, and hands on its events chunk by chunk, as long
/// as `take` wants more. Each customer's events are next to each other and in order.
pub(super) fn chunks(
    spill: &Spill,
    partition: u32,
    skip: u64,
    chunking: &Chunking,
    take: &mut impl FnMut(Chunk) -> bool,
) -> io::Result<()> {
    let Some(mut reader) = spill.read(chunking.family, partition)? else { return Ok(()) };
    let mut slab = Slab::default();
    let mut names = Names::default();
    let mut done = 0;
    let empty = |done| Chunk { groups: Vec::new(), events: 0, new_customers: 0, partition, done };
    let mut chunk = empty(0);
    loop {
        reader.fill(&mut slab, SLAB_BYTES)?;
        if slab.len() == 0 {
            break;
        }
        slab.sort();
        for index in 0..slab.len() {
            let record = slab.get(index);
            let is_new = names.see(record.customer);
            let event = names.event(&record, chunking);
            done += 1;
            if done <= skip {
                continue;
            }
            chunk.done = done;
            chunk.new_customers += u64::from(is_new);
            let Some(event) = event else { continue };
            chunk.events += 1;
            match chunk.groups.last_mut() {
                Some((key, events)) if key.as_str() == record.customer => events.push(event),
                _ => chunk.groups.push((CustomerKey::stored(record.customer), vec![event])),
            }
            if chunk.events as usize >= chunking.chunk_events
                && !take(std::mem::replace(&mut chunk, empty(done)))
            {
                return Ok(());
            }
        }
        // A chunk holds a customer once, and the next slab begins with the first again.
        if chunk.events > 0 && !take(std::mem::replace(&mut chunk, empty(done))) {
            return Ok(());
        }
        if slab.bytes.len() < SLAB_BYTES {
            break;
        }
    }
    Ok(())
}

/// What is remembered of a partition: how many rows said the same, and which customers came.
#[derive(Default)]
struct Names {
    seen: HashMap<[u8; 16], u32>,
    customers: HashSet<[u8; 16]>,
    last: String,
}

impl Names {
    fn see(&mut self, customer: &str) -> bool {
        if self.last == customer && !self.customers.is_empty() {
            return false;
        }
        self.last.clear();
        self.last.push_str(customer);
        self.customers.insert(digest_of(customer.as_bytes()))
    }

    fn event(&mut self, record: &Record<'_>, chunking: &Chunking) -> Option<Event> {
        let body: Map<String, Json> = serde_json::from_slice(record.body).ok()?;
        let at = Timestamp::from_millisecond(record.at_ms).ok()?;
        let mut row = Row { line: 0, at, id: None, body };
        row.shift(chunking.shift);
        let id = match record.id {
            "" => {
                let digest = match chunking.shift.is_zero() {
                    true => digest_of(record.body),
                    false => row.digest(),
                };
                let ordinal = self.seen.entry(digest).or_default();
                *ordinal += 1;
                message_id(&digest, *ordinal - 1)
            }
            id => id.to_owned(),
        };
        Event::from_body(id, row.at, chunking.received_at, row.body).ok()
    }
}

/// Where the records of an import lie.
pub(super) fn folder(checkpoints: &Path, key: &str) -> PathBuf {
    checkpoints.join(format!("{key}.rows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunking(chunk_events: usize) -> Chunking {
        let received_at = Timestamp::UNIX_EPOCH;
        Chunking { family: "by-customer", chunk_events, shift: SignedDuration::ZERO, received_at }
    }

    fn spill(folder: &Path, partitions: u32) -> Spill {
        Spill { folder: folder.join("x.rows"), partitions }
    }

    /// Writes (customer, millisecond) pairs and reads them back in chunks.
    fn through(records: &[(&str, i64)], partitions: u32, size: usize, skip: u64) -> Vec<Chunk> {
        let folder = tempfile::tempdir().unwrap();
        let spill = spill(folder.path(), partitions);
        let mut writer = spill.writer("by-customer").unwrap();
        for (customer, at_ms) in records {
            let body = format!(r#"{{"type":"track","event":"e","userId":"{customer}"}}"#);
            let body = body.as_bytes();
            writer.write(&Record { customer, at_ms: *at_ms, id: "", body }).unwrap();
        }
        writer.finish().unwrap();
        let mut found = Vec::new();
        for partition in 0..partitions {
            let mut take = |chunk| {
                found.push(chunk);
                true
            };
            chunks(&spill, partition, skip, &chunking(size), &mut take).unwrap();
        }
        spill.clear().unwrap();
        found
    }

    #[test]
    fn a_customer_is_in_one_group_in_order_of_time() {
        let found = through(&[("b", 3), ("a", 2), ("b", 1), ("a", 9)], 1, 100, 0);
        assert_eq!(found.len(), 1);
        let groups: Vec<(&str, Vec<i64>)> = found[0]
            .groups
            .iter()
            .map(|(key, events)| {
                (key.as_str(), events.iter().map(|event| event.at.as_millisecond()).collect())
            })
            .collect();
        assert_eq!(groups, [("a", vec![2, 9]), ("b", vec![1, 3])]);
        assert_eq!((found[0].events, found[0].new_customers, found[0].done), (4, 2, 4));
    }

    #[test]
    fn chunks_are_no_larger_than_asked_and_can_be_taken_up_again() {
        let records = [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)];
        let whole = through(&records, 1, 2, 0);
        assert_eq!(whole.iter().map(|chunk| chunk.events).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(whole.iter().map(|chunk| chunk.new_customers).sum::<u64>(), 2);
        let rest = through(&records, 1, 2, 2);
        assert_eq!(rest.iter().map(|chunk| chunk.events).collect::<Vec<_>>(), [2, 1]);
        let ids = |chunks: &[Chunk]| -> Vec<String> {
            let groups = chunks.iter().flat_map(|chunk| &chunk.groups);
            groups.flat_map(|(_, events)| events.iter().map(|event| event.id.clone())).collect()
        };
        assert_eq!(ids(&rest), ids(&whole)[2..]);
    }

    #[test]
    fn rows_that_say_the_same_are_told_apart() {
        let found = through(&[("a", 1), ("a", 1), ("a", 1)], 1, 100, 0);
        let ids: HashSet<&str> =
            found[0].groups[0].1.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn partitions_hold_everything_once() {
        let names: Vec<String> = (0..500).map(|number| format!("c{number}")).collect();
        let records: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let found = through(&records, 7, 100, 0);
        assert_eq!(found.iter().map(|chunk| chunk.events).sum::<u64>(), 500);
        assert_eq!(found.iter().map(|chunk| chunk.partition).collect::<HashSet<_>>().len(), 7);
    }
}
