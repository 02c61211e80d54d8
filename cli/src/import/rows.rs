//! The rows of a file, one at a time: a file of any size is read in the same memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::ByteRecord;
use domain::event::{EventKind, account_of, id_text};
use serde_json::{Map, Value as Json};

use super::call::{Parts, Problem, Row};
use super::plan::{Columns, Format, Member, Plan, Presence};
use super::value::{self, ValueType};
use super::{Usage, cdnow, time};

/// A line, or a quoted cell, that goes on for longer is damage, not data.
const MAX_ROW_BYTES: u64 = 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// A row that cannot be taken. The rows after it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The line of the file it starts on, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
    /// The row as it stands.
    pub raw: Vec<u8>,
}

/// Why there is no row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// This one cannot be taken; the next may be.
    #[error("line {}: {}", .0.line, .0.problem)]
    Bad(BadRow),
    /// Nothing more can be read.
    #[error("cannot read on from line {line}")]
    End {
        /// The line reading got to.
        line: u64,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The rows of a file as tracking calls.
pub struct Rows {
    plan: Plan,
    path: PathBuf,
    bytes: u64,
    format: Format,
    columns: Option<Columns>,
    reader: Reader,
    left: u64,
    is_over: bool,
}

enum Reader {
    Csv(Box<CsvReader>),
    Lines(Lines),
}

struct CsvReader {
    rows: csv::Reader<Guarded>,
    guard: Arc<AtomicU64>,
    record: ByteRecord,
    width: usize,
    delimiter: u8,
    user: Option<usize>,
    account: Option<usize>,
    time: (usize, String),
    id: Option<usize>,
    event: Option<usize>,
    members: Vec<(Member, usize)>,
}

struct Lines {
    reader: BufReader<File>,
    buffer: Vec<u8>,
    line: u64,
    position: u64,
}

impl Rows {
    /// Opens a file and finds the columns that mean something.
    ///
    /// # Errors
    /// [`Usage`] when the file is not of a form that can be read, or the columns cannot be told;
    /// else when it cannot be read.
    pub fn open(path: &Path, plan: &Plan) -> anyhow::Result<Rows> {
        let name = path.display();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, mut file) = opened
            .map_err(|error| anyhow::Error::new(error).context(format!("cannot read {name}")))?;
        if metadata.is_dir() {
            return Err(Usage::new(format!("{name} is a folder: give one file")).into());
        }
        let mut head = vec![0; 64 * 1024];
        let mut length = 0;
        while length < head.len() {
            match file.read(&mut head[length..])? {
                0 => break,
                more => length += more,
            }
        }
        head.truncate(length);
        file.seek(SeekFrom::Start(0))?;
        check_head(path, &head)?;
        let format = plan.format.unwrap_or_else(|| format_of(path, &head));
        let (reader, columns) = match format {
            Format::Csv => {
                let (reader, columns) = csv_reader(file, plan, &head)?;
                (Reader::Csv(Box::new(reader)), Some(columns))
            }
            Format::Jsonl => {
                let columns = json_columns(plan, &head)?;
                (Reader::Lines(Lines::new(file)), columns)
            }
            Format::Cdnow => (Reader::Lines(Lines::new(file)), None),
        };
        Ok(Rows {
            plan: plan.clone(),
            path: path.to_owned(),
            bytes: metadata.len(),
            format,
            columns,
            reader,
            left: plan.limit.unwrap_or(u64::MAX),
            is_over: false,
        })
    }

    /// The form of the file.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The columns that mean something; none where rows are full calls or columns are fixed.
    #[must_use]
    pub fn columns(&self) -> Option<&Columns> {
        self.columns.as_ref()
    }

    /// What the rows become.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much of the file has been read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        match &self.reader {
            Reader::Csv(reader) => reader.rows.position().byte(),
            Reader::Lines(lines) => lines.position,
        }
    }

    fn next_row(&mut self) -> Option<Result<Row, RowError>> {
        match &mut self.reader {
            Reader::Csv(reader) => reader.next(&self.plan),
            Reader::Lines(lines) => {
                let line = match lines.next()? {
                    Ok(line) => line,
                    Err(error) => return Some(Err(error)),
                };
                let text = lines.buffer.as_slice();
                let row = match self.format {
                    Format::Cdnow => cdnow_row(text, line),
                    _ => json_row(text, line, &self.plan, self.columns.as_ref()),
                };
                let raw = |problem| BadRow { line, problem, raw: text.to_vec() };
                Some(row.map_err(|problem| RowError::Bad(raw(problem))))
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let row = self.next_row();
        self.is_over = matches!(row, None | Some(Err(RowError::End { .. })));
        row
    }
}

// ---- which form ----

/// Refuses what would only be read as thousands of bad rows.
fn check_head(path: &Path, head: &[u8]) -> Result<(), Usage> {
    let name = path.display();
    let refuse = |what: &str| Err(Usage::new(format!("{name} {what}")));
    let bare = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    match bare.trim_ascii_start() {
        [] if head.len() < 64 * 1024 => refuse("is empty"),
        [0x1f, 0x8b, ..] => refuse("is compressed: unpack it first, as with `gunzip -k`"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => refuse("is compressed: unpack it first, as with `unzstd`"),
        [b'P', b'K', 3, 4, ..] => {
            refuse("is a zip archive or a spreadsheet: unpack it, or export it as CSV")
        }
        [b'P', b'A', b'R', b'1', ..] => refuse("is Parquet: export it as CSV or JSON Lines"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => refuse("is UTF-16: save it as UTF-8"),
        [b'[', ..] if is_json_name(path) => {
            refuse("is one JSON array: write one object a line, as with `jq -c '.[]'`")
        }
        _ => Ok(()),
    }
}

fn is_json_name(path: &Path) -> bool {
    matches!(extension(path).as_str(), "json" | "jsonl" | "ndjson")
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn format_of(path: &Path, head: &[u8]) -> Format {
    match extension(path).as_str() {
        "csv" | "tsv" => return Format::Csv,
        "json" | "jsonl" | "ndjson" => return Format::Jsonl,
        _ => {}
    }
    let text = String::from_utf8_lossy(head);
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        Format::Jsonl
    } else if cdnow::is_line(first) {
        Format::Cdnow
    } else {
        Format::Csv
    }
}

// ---- CSV ----

fn csv_reader(file: File, plan: &Plan, head: &[u8]) -> anyhow::Result<(CsvReader, Columns)> {
    let delimiter = plan.delimiter.unwrap_or_else(|| delimiter_of(head));
    let guard = Arc::new(AtomicU64::new(2 * MAX_ROW_BYTES));
    let guarded = Guarded { file, read: 0, limit: Arc::clone(&guard) };
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(guarded);
    let header = rows.byte_headers()?.clone();
    let names: Result<Vec<String>, _> =
        header.iter().map(|cell| String::from_utf8(cell.to_vec())).collect();
    let names = names.map_err(|_| Usage::new("the header is not UTF-8: save the file as UTF-8"))?;
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    let columns = plan.columns(&names, Presence::Always)?;
    let index = |name: &str| names.iter().position(|column| column == name);
    let members = columns.members_of(&names).into_iter();
    let reader = CsvReader {
        guard,
        record: ByteRecord::new(),
        width: names.len(),
        delimiter,
        user: columns.user.as_deref().and_then(index),
        account: columns.account.as_deref().and_then(index),
        time: (index(&columns.time).unwrap_or_default(), columns.time.clone()),
        id: columns.id.as_deref().and_then(index),
        event: columns.event.as_deref().and_then(index),
        members: members
            .filter_map(|member| index(&member.column).map(|at| (member, at)))
            .collect(),
        rows,
    };
    Ok((reader, columns))
}

/// What separates the cells of the header: what is most frequent in it, outside quotes.
fn delimiter_of(head: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut is_quoted = false;
    for byte in head {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ if is_quoted => {}
            _ => {
                if let Some((_, count)) = counts.iter_mut().find(|(one, _)| one == byte) {
                    *count += 1;
                }
            }
        }
    }
    let mut best = counts[0];
    for one in &counts[1..] {
        if one.1 > best.1 {
            best = *one;
        }
    }
    best.0
}

/// A file that ends in an error when a row is read far beyond its likely end: one quote that is
/// never closed would otherwise take the rest of the file into memory.
struct Guarded {
    file: File,
    read: u64,
    limit: Arc<AtomicU64>,
}

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read > self.limit.load(Ordering::Relaxed) {
            return Err(std::io::Error::other(format!(
                "a row is longer than {} KiB: a quote is opened and not closed",
                MAX_ROW_BYTES / 1024
            )));
        }
        let more = self.file.read(buffer)?;
        self.read += more as u64;
        Ok(more)
    }
}

impl CsvReader {
    fn next(&mut self, plan: &Plan) -> Option<Result<Row, RowError>> {
        let start = self.rows.position().clone();
        let ahead = start.byte() + MAX_ROW_BYTES + 2 * BUFFER_BYTES as u64;
        self.guard.store(ahead, Ordering::Relaxed);
        let line = start.line();
        match self.rows.read_byte_record(&mut self.record) {
            Ok(false) => return None,
            Ok(true) => {}
            Err(error) => {
                let source = std::io::Error::other(error);
                return Some(Err(RowError::End { line, source }));
            }
        }
        // Blank lines before a record are passed over: the record knows where it starts.
        let line = self.record.position().map_or(line, csv::Position::line);
        let row = self.parts(plan).and_then(|parts| parts.into_call(plan.kind, line));
        Some(row.map_err(|problem| RowError::Bad(BadRow { line, problem, raw: self.raw() })))
    }

    fn parts(&self, plan: &Plan) -> Result<Parts, Problem> {
        if self.record.len() != self.width {
            let reason =
                format!("the row has {} cells, the header has {}", self.record.len(), self.width);
            return Err(Problem::new("columns", None, reason));
        }
        let mut members = Map::new();
        for (member, at) in &self.members {
            let cell = self.cell(*at, &member.column)?;
            let value = value::read(cell, member.ty)
                .map_err(|reason| Problem::new("value", Some(&member.column), reason))?;
            if let Some(value) = value {
                members.insert(member.name.clone(), value);
            }
        }
        let (at, column) = (self.time.0, self.time.1.as_str());
        let written = self.cell(at, column)?.trim();
        let at = match written {
            "" => None,
            _ => {
                let read = plan.time_format.read(written, &plan.zone);
                Some(read.map_err(|reason| Problem::new("time", Some(column), reason))?)
            }
        };
        Ok(Parts {
            user: self.text(self.user, "user")?,
            account: self.text(self.account, "account")?,
            event: match &plan.event {
                Some(event) => Some(event.clone()),
                None => self.text(self.event, "event")?,
            },
            at,
            id: self.text(self.id, "id")?,
            members,
        })
    }

    fn cell(&self, at: usize, column: &str) -> Result<&str, Problem> {
        std::str::from_utf8(self.record.get(at).unwrap_or_default())
            .map_err(|_| Problem::new("encoding", Some(column), "the cell is not UTF-8"))
    }

    fn text(&self, at: Option<usize>, column: &str) -> Result<Option<String>, Problem> {
        let Some(at) = at else { return Ok(None) };
        let cell = self.cell(at, column)?.trim();
        Ok((!cell.is_empty()).then(|| cell.to_owned()))
    }

    /// The row as it could stand in a file, for whoever has to mend it.
    fn raw(&self) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .flexible(true)
            .from_writer(Vec::new());
        let written = writer.write_byte_record(&self.record);
        written.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default()
    }
}

// ---- lines ----

impl Lines {
    fn new(file: File) -> Lines {
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Lines { reader, buffer: Vec::new(), line: 0, position: 0 }
    }

    /// Reads the next line that is not blank into the buffer, without its end: its number.
    fn next(&mut self) -> Option<Result<u64, RowError>> {
        loop {
            self.line += 1;
            let line = self.line;
            self.buffer.clear();
            let mut limited = self.reader.by_ref().take(MAX_ROW_BYTES);
            match limited.read_until(b'\n', &mut self.buffer) {
                Ok(0) => return None,
                Ok(read) => self.position += read as u64,
                Err(source) => return Some(Err(RowError::End { line, source })),
            }
            if !self.buffer.ends_with(b"\n") && self.buffer.len() as u64 == MAX_ROW_BYTES {
                if let Err(source) = self.skip_line() {
                    return Some(Err(RowError::End { line, source }));
                }
                let reason = format!("the line is longer than {} KiB", MAX_ROW_BYTES / 1024);
                let problem = Problem::new("too_large", None, reason);
                let raw = self.buffer[..64 * 1024].to_vec();
                return Some(Err(RowError::Bad(BadRow { line, problem, raw })));
            }
            if line == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            let kept = self.buffer.trim_ascii_end().len();
            self.buffer.truncate(kept);
            if !self.buffer.is_empty() {
                return Some(Ok(line));
            }
        }
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let ahead = self.reader.fill_buf()?;
            let end = ahead.iter().position(|byte| *byte == b'\n');
            let passed = end.map_or(ahead.len(), |at| at + 1);
            self.reader.consume(passed);
            self.position += passed as u64;
            if end.is_some() || passed == 0 {
                return Ok(());
            }
        }
    }
}

fn cdnow_row(text: &[u8], line: u64) -> Result<Row, Problem> {
    let text = std::str::from_utf8(text)
        .map_err(|_| Problem::new("encoding", None, "the line is not UTF-8"))?;
    cdnow::parts(text)?.into_track_call(line)
}

// ---- JSON Lines ----

/// The columns of flat rows, told from the first one; none where that is a full tracking call.
fn json_columns(plan: &Plan, head: &[u8]) -> Result<Option<Columns>, Usage> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let rows = head
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Map<String, Json>>(line).ok());
    let mut header: Vec<String> = Vec::new();
    for row in rows {
        if !plan.is_mapped() && is_call(&row) {
            return Ok(None);
        }
        for column in row.into_iter().map(|(column, _)| column) {
            if !header.contains(&column) {
                header.push(column);
            }
        }
    }
    if header.is_empty() && !plan.is_mapped() {
        // Nothing at the start is an object: each row will say so.
        return Ok(None);
    }
    plan.columns(&header, Presence::Sometimes).map(Some)
}

/// Whether an object is a tracking call rather than a flat row.
fn is_call(row: &Map<String, Json>) -> bool {
    let kind = row.get("type").and_then(Json::as_str).and_then(EventKind::parse);
    let names = |id: &&str| row.contains_key(*id);
    // What a system tells of an account names no user.
    kind.is_some()
        && (["userId", "anonymousId", "groupId"].iter().any(names) || account_of(row).is_some())
}

fn json_row(
    text: &[u8],
    line: u64,
    plan: &Plan,
    columns: Option<&Columns>,
) -> Result<Row, Problem> {
    let body: Map<String, Json> = serde_json::from_slice(text).map_err(|error| {
        Problem::new("json", None, format!("the line is no JSON object: {error}"))
    })?;
    if !plan.is_mapped() && is_call(&body) {
        return Row::of_call(line, body);
    }
    let Some(columns) = columns else {
        let reason = "the row is no tracking call: it needs `type`, `userId` and `timestamp`";
        return Err(Problem::new("unknown_type", Some("type"), reason));
    };
    flat_row(body, line, plan, columns)
}

fn flat_row(
    body: Map<String, Json>,
    line: u64,
    plan: &Plan,
    columns: &Columns,
) -> Result<Row, Problem> {
    let id = |column: &Option<String>| id_text(at_path(&body, column.as_deref()?)?);
    let at = match at_path(&body, &columns.time).and_then(time::of_json) {
        Some(written) => {
            let read = plan.time_format.read(&written, &plan.zone);
            Some(read.map_err(|reason| Problem::new("time", Some(&columns.time), reason))?)
        }
        None => None,
    };
    let (user, account, own_id) = (id(&columns.user), id(&columns.account), id(&columns.id));
    let event = plan.event.clone().or_else(|| id(&columns.event));
    let mut members = Map::new();
    match &columns.members {
        Some(named) => {
            for member in named {
                let Some(value) = at_path(&body, &member.column) else { continue };
                if let Some(value) = typed(value, member)? {
                    members.insert(member.name.clone(), value);
                }
            }
        }
        None => {
            for (column, value) in body {
                if !columns.used.contains(&column) && !value.is_null() {
                    members.insert(Member::of_column(&column).name, value);
                }
            }
        }
    }
    Parts { user, account, event, at, id: own_id, members }.into_call(plan.kind, line)
}

/// A value as JSON has it, unless its column was declared to be of a type.
fn typed(value: &Json, member: &Member) -> Result<Option<Json>, Problem> {
    let written = match value {
        Json::Null => return Ok(None),
        _ if member.ty == ValueType::Auto => return Ok(Some(value.clone())),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    value::read(&written, member.ty)
        .map_err(|reason| Problem::new("value", Some(&member.column), reason))
}

/// A member by its name, or by the path `order.total` into nested objects.
fn at_path<'a>(body: &'a Map<String, Json>, path: &str) -> Option<&'a Json> {
    if let Some(value) = body.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    at_path(body.get(first)?.as_object()?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::lifecycle::Subject;
    use jiff::tz::TimeZone;
    use serde_json::json;

    fn plan() -> Plan {
        Plan::new(Subject::User, TimeZone::UTC)
    }

    fn read(name: &str, text: impl AsRef<[u8]>, plan: &Plan) -> Vec<Result<Row, RowError>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Rows::open(&path, plan).unwrap().collect()
    }

    fn refusal(name: &str, text: impl AsRef<[u8]>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = Rows::open(&path, &plan()).err().unwrap();
        error.downcast::<Usage>().unwrap().to_string()
    }

    /// Bodies of good rows; line, column and code of bad ones.
    fn shown(rows: Vec<Result<Row, RowError>>) -> Vec<Json> {
        let shown = rows.into_iter().map(|row| match row {
            Ok(row) => Json::Object(row.body),
            Err(RowError::Bad(bad)) => json!([bad.line, bad.problem.column, bad.problem.code]),
            Err(RowError::End { line, source }) => json!([line, source.to_string()]),
        });
        shown.collect()
    }

    #[test]
    fn a_csv_row_becomes_a_call_with_typed_properties() {
        let text = "\u{feff}user_id,event,timestamp,amount,sku,gift,note\r\n\
            u1,order,2026-01-01T00:00:00Z,29.90,0042,true,\"two\nlines, \"\"quoted\"\"\"\r\n";
        assert_eq!(
            shown(read("a.csv", text, &plan())),
            [json!({
                "type": "track", "event": "order", "userId": "u1",
                "timestamp": "2026-01-01T00:00:00Z",
                "properties": {
                    "amount": 29.9, "sku": "0042", "gift": true, "note": "two\nlines, \"quoted\"",
                },
            })]
        );
    }

    #[test]
    fn cells_may_be_separated_by_anything_usual() {
        for (name, text) in [
            ("a.csv", "user;time;event;x,y\nu;2026-01-01;login;1\n"),
            ("a.tsv", "user\ttime\tevent\tx\nu\t2026-01-01\tlogin\t1\n"),
            ("a.dat", "user|time|event\nu|2026-01-01|login\n"),
        ] {
            let rows = read(name, text, &plan());
            assert_eq!(rows[0].as_ref().unwrap().user().as_deref(), Some("u"), "{name}");
        }
    }

    #[test]
    fn a_bad_row_is_named_and_the_rest_is_read() {
        let text = b"user,time,event,n\n\
            u1,2026-01-01,login,1\n\
            u2,not a time,login,1\n\
            u3,2026-01-01,login\n\
            ,2026-01-01,login,1\n\
            \"u\n4\",,login,1\n\
            u5,2026-01-01,,1\n\
            u6,2026-01-01,login,\xff\n\
            u7,2026-01-01,login,1\n";
        let rows = shown(read("a.csv", text, &plan()));
        assert_eq!(rows.len(), 8);
        assert_eq!(
            rows[1..7],
            [
                json!([3, "time", "time"]),
                json!([4, null, "columns"]),
                json!([5, null, "missing_user"]),
                json!([6, null, "missing_time"]),
                json!([8, null, "missing_event"]),
                json!([9, "n", "encoding"]),
            ]
        );
        assert_eq!(rows[7]["userId"], "u7");
    }

    #[test]
    fn a_bad_row_is_kept_as_it_stands() {
        let text = "user,time,event\n\"a,b\",never,login\n";
        let rows = read("a.csv", text, &plan());
        let Err(RowError::Bad(bad)) = &rows[0] else { panic!() };
        assert_eq!(String::from_utf8_lossy(&bad.raw), "\"a,b\",never,login\n");
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_take_the_file_into_memory() {
        let mut text = String::from("user,time,event\nu,2026-01-01,\"login\n");
        text.push_str(&"u,2026-01-01,login\n".repeat(200_000));
        let rows = shown(read("a.csv", text, &plan()));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0][0], 2);
        assert!(rows[0][1].as_str().unwrap().contains("not closed"), "{}", rows[0]);
    }

    #[test]
    fn flags_say_what_columns_mean() {
        let plan = Plan {
            user: Some("Shopper".to_owned()),
            time: Some("when".to_owned()),
            time_format: time::TimeFormat::parse("%d.%m.%Y").unwrap(),
            event: Some("order".to_owned()),
            members: Some(vec![Member {
                ty: ValueType::Number,
                ..Member::parse("amount=Total").unwrap()
            }]),
            ..plan()
        };
        let rows = shown(read(
            "a.csv",
            "Shopper,when,Total,x\n7,31.01.2026,10,1\n8,31.01.2026,-,1\n",
            &plan,
        ));
        assert_eq!(
            rows,
            [
                json!({
                    "type": "track", "event": "order", "userId": "7",
                    "timestamp": "2026-01-31T00:00:00Z", "properties": { "amount": 10 },
                }),
                json!([3, "Total", "value"]),
            ]
        );
    }

    #[test]
    fn rows_can_be_facts_about_users_and_accounts() {
        let identify = Plan { kind: EventKind::Identify, ..plan() };
        let rows = shown(read("a.csv", "user,date,plan,seats\nu,2026-01-01,team,5\n", &identify));
        assert_eq!(rows[0]["type"], "identify");
        assert_eq!(rows[0]["traits"], json!({ "plan": "team", "seats": 5 }));
        let group = Plan { kind: EventKind::Group, ..plan() };
        let rows = shown(read("a.csv", "account,date,mrr\na,2026-01-01,99.5\n", &group));
        assert_eq!(rows[0]["groupId"], "a");
        assert_eq!(rows[0]["traits"], json!({ "mrr": 99.5 }));
    }

    #[test]
    fn json_lines_may_be_full_calls() {
        let text = "{\"type\":\"identify\",\"userId\":\"u\",\"traits\":{\"plan\":\"team\"},\
            \"timestamp\":\"2026-01-01T00:00:00Z\",\"messageId\":\"m\"}\n\n\
            {\"type\":\"dance\",\"userId\":\"u\",\"timestamp\":\"2026-01-01T00:00:00Z\"}\n\
            [1]\n{\"userId\":NaN}\n";
        let rows = shown(read("a.jsonl", text, &plan()));
        assert_eq!(rows[0]["traits"], json!({ "plan": "team" }));
        assert_eq!(
            rows[1..],
            [
                json!([3, "type", "unknown_type"]),
                json!([4, null, "json"]),
                json!([5, null, "json"]),
            ]
        );
    }

    #[test]
    fn json_lines_may_be_flat_rows_with_paths() {
        let mapped = Plan {
            user: Some("user.id".to_owned()),
            event: Some("order".to_owned()),
            members: Some(vec![Member::parse("order.total").unwrap()]),
            ..plan()
        };
        let text = "{\"user\":{\"id\":7},\"ts\":1767225600,\"order\":{\"total\":9.5}}\n";
        assert_eq!(
            shown(read("a.ndjson", text, &mapped)),
            [json!({
                "type": "track", "event": "order", "userId": "7",
                "timestamp": "2026-01-01T00:00:00Z", "properties": { "total": 9.5 },
            })]
        );
        let text = "{\"user_id\":\"u\",\"event\":\"login\",\"time\":\"2026-01-01\",\"n\":1,\"gone\":null}\n";
        let rows = shown(read("a.ndjson", text, &plan()));
        assert_eq!(rows[0]["properties"], json!({ "n": 1 }));
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = "x".repeat(3 << 20);
        text.push_str(
            "\n{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\"timestamp\":\"2026-01-01\"}",
        );
        let rows = shown(read("a.jsonl", text, &plan()));
        assert_eq!(rows[0], json!([1, null, "too_large"]));
        assert_eq!(rows[1]["event"], "e");
    }

    #[test]
    fn cdnow_is_told_by_its_lines() {
        let rows = shown(read("sample.txt", " 00004 0001 19970101  2   29.33\r\n x\r\n", &plan()));
        assert_eq!(
            rows,
            [
                json!({
                    "type": "track", "event": "order", "userId": "0001",
                    "timestamp": "1997-01-01T12:00:00Z",
                    "properties": { "amount": 29.33, "items": 2 },
                }),
                json!([2, "id", "columns"]),
            ]
        );
    }

    #[test]
    fn a_limit_is_kept() {
        let plan = Plan { limit: Some(1), ..plan() };
        assert_eq!(
            read("a.csv", "user,time,event\nu,2026-01-01,e\nu,2026-01-01,e\n", &plan).len(),
            1
        );
    }

    #[test]
    fn what_is_no_text_is_refused_with_what_to_do() {
        assert!(refusal("a.csv.gz", [0x1f, 0x8b, 8, 0]).contains("gunzip"));
        assert!(refusal("a.xlsx", b"PK\x03\x04xxxx").contains("export it as CSV"));
        assert!(refusal("a.csv", b"\xff\xfeu\0s\0").contains("UTF-8"));
        assert!(refusal("a.json", b"[{\"a\":1}]").contains("jq -c"));
        assert!(refusal("a.csv", b"").contains("empty"));
        assert!(refusal("a.csv", "user,x\n1,2\n").contains("--time COLUMN"));
    }
}
