//! Tables in files: separated by commas, semicolons, tabs or blanks.
//!
//! Whatever the file holds, the answer is a table or a sentence on what is wrong and where.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use risk::table::Table;

/// A file larger than this is no table to be held in memory.
const MOST_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// More columns than this are no table of features.
const MOST_COLUMNS: usize = 5_000;
/// The columns of the CDNOW files, which have no header.
const CDNOW: [&str; 5] = ["master_id", "id", "date", "items", "amount"];

/// A file of cells.
#[derive(Debug)]
pub struct Cells {
    /// The names of the columns.
    pub names: Vec<String>,
    /// How many rows there are.
    pub rows: usize,
    /// What was noticed, as sentences.
    pub notes: Vec<String>,
    text: String,
    /// Where each cell ends in the text, row by row.
    ends: Vec<usize>,
    /// How many rows come before the data: that of the names, or none.
    before: usize,
}

/// Whether a file begins with the names of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// It must.
    Needed,
    /// Without one, columns are called `1`, `2`, ….
    Optional,
}

impl Cells {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or is no table.
    pub fn read(path: &Path, header: Header) -> Result<Cells> {
        let file = path.display();
        let bytes = std::fs::metadata(path).with_context(|| format!("cannot read {file}"))?.len();
        if bytes > MOST_BYTES {
            bail!("{file} has {bytes} bytes; at most {MOST_BYTES} are read at once");
        }
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
        Cells::parse(&bytes, header).with_context(|| format!("{file} is not a table to read"))
    }

    fn parse(bytes: &[u8], header: Header) -> Result<Cells> {
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            bail!("it is UTF-16: save it as UTF-8");
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut notes = Vec::new();
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            notes.push("some letters are not UTF-8 and are read as \u{fffd}".to_owned());
        }
        let Some(first) = text.lines().find(|line| !line.trim().is_empty()) else {
            bail!("it is empty");
        };
        let mut cells = match separator(first) {
            Separator::Blanks => blanks(&text)?,
            Separator::Sign(sign) => separated(text.as_bytes(), sign, &mut notes)?,
        };
        cells.name(header)?;
        cells.notes.extend(notes);
        Ok(cells)
    }

    /// Takes the first row as the names, or gives names.
    fn name(&mut self, header: Header) -> Result<()> {
        let width = self.names.len();
        if width > MOST_COLUMNS {
            bail!("it has {width} columns; at most {MOST_COLUMNS} are read");
        }
        let first: Vec<String> = (0..width).map(|column| self.cell(0, column).to_owned()).collect();
        let is_data = |cell: &String| {
            cell.bytes().any(|byte| byte.is_ascii_digit()) && risk::table::number(cell).is_some()
        };
        if first.iter().any(is_data) {
            if header == Header::Needed {
                bail!("its first row is data: a first row with the names of the columns is needed");
            }
            self.names = (1..=width).map(|place| place.to_string()).collect();
            if width == CDNOW.len() && is_cdnow(&first) {
                self.names = CDNOW.map(str::to_owned).to_vec();
            }
            return Ok(());
        }
        self.names = first
            .iter()
            .enumerate()
            .map(|(place, name)| match name.trim() {
                "" => format!("column {}", place + 1),
                name => name.to_owned(),
            })
            .collect();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, name) in self.names.iter().enumerate() {
            if let Some(before) = places.insert(name, place) {
                bail!(
                    "two columns are called `{name}` (the {}. and the {}.): rename one",
                    before + 1,
                    place + 1
                );
            }
        }
        self.rows -= 1;
        self.before = 1;
        Ok(())
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        let place = (row + self.before) * self.names.len() + column;
        let from = place.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.text[from..self.ends[place]]
    }

    /// The cells of a column.
    #[must_use]
    pub fn column(&self, place: usize) -> Vec<&str> {
        (0..self.rows).map(|row| self.cell(row, place)).collect()
    }

    /// The place of a column, by its name or, in a file without names, its number.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name).or_else(|| {
            let number: usize = name.parse().ok()?;
            (self.names == CDNOW && (1..=CDNOW.len()).contains(&number)).then(|| number - 1)
        })
    }

    /// The columns with their kinds.
    #[must_use]
    pub fn table(&self, categories: &[String]) -> Table {
        let is_category = |name: &str| categories.iter().any(|category| category == name);
        let mut table = Table::read(self.names.clone(), |place| self.column(place), is_category);
        table.notes.splice(0..0, self.notes.iter().cloned());
        table
    }
}

fn is_cdnow(cells: &[String]) -> bool {
    let is_digits = |cell: &String| cell.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(&cells[0]) && is_digits(&cells[1]) && is_digits(&cells[2]) && cells[2].len() == 8
}

enum Separator {
    Sign(u8),
    Blanks,
}

/// The sign that a first line has most of, outside quotes.
fn separator(line: &str) -> Separator {
    let mut is_quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in line.bytes() {
        is_quoted ^= byte == b'"';
        for (sign, count) in &mut counts {
            *count += u32::from(byte == *sign && !is_quoted);
        }
    }
    // Of equally many the earlier: a comma.
    let best = counts.iter().rev().max_by_key(|(_, count)| *count);
    match best {
        Some((sign, count)) if *count > 0 => Separator::Sign(*sign),
        _ if !line.contains('"') && line.split_whitespace().nth(1).is_some() => Separator::Blanks,
        _ => Separator::Sign(b','),
    }
}

struct Gathered {
    text: String,
    ends: Vec<usize>,
    width: usize,
    short: u64,
}

impl Gathered {
    fn new(width: usize) -> Gathered {
        Gathered { text: String::new(), ends: Vec::new(), width, short: 0 }
    }

    fn row<'a>(&mut self, line: u64, cells: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut taken = 0;
        for cell in cells {
            if taken == self.width {
                if cell.trim().is_empty() {
                    continue;
                }
                bail!("line {line} has more cells than the first one, which has {}", self.width);
            }
            self.text.push_str(cell);
            self.ends.push(self.text.len());
            taken += 1;
        }
        self.short += u64::from(taken < self.width);
        for _ in taken..self.width {
            self.ends.push(self.text.len());
        }
        Ok(())
    }

    fn into_cells(self) -> Cells {
        let rows = self.ends.len() / self.width.max(1);
        let mut notes = Vec::new();
        if self.short > 0 {
            notes.push(format!("{} rows are short: what they lack is missing", self.short));
        }
        let names = vec![String::new(); self.width];
        Cells { names, rows, notes, text: self.text, ends: self.ends, before: 0 }
    }
}

fn separated(bytes: &[u8], sign: u8, notes: &mut Vec<String>) -> Result<Cells> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(sign)
        .from_reader(bytes);
    let mut gathered: Option<Gathered> = None;
    let mut record = csv::StringRecord::new();
    let mut commas = 0u64;
    while reader.read_record(&mut record).context("a line cannot be read")? {
        if record.iter().all(|cell| cell.trim().is_empty()) {
            // The csv reader passes over empty lines itself; these hold separators alone.
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let rows = gathered.get_or_insert_with(|| Gathered::new(record.len()));
        let decimals: Vec<String> = match sign {
            // Where semicolons separate, a comma is the point of a number.
            b';' => record.iter().map(|cell| decimal_point(cell, &mut commas)).collect(),
            _ => Vec::new(),
        };
        match sign {
            b';' => rows.row(line, decimals.iter().map(String::as_str))?,
            _ => rows.row(line, record.iter())?,
        }
    }
    if commas > 0 {
        notes.push(format!("in {commas} cells a comma is taken as the point of a number"));
    }
    Ok(gathered.unwrap_or_else(|| Gathered::new(1)).into_cells())
}

fn decimal_point(cell: &str, commas: &mut u64) -> String {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match cell.trim().split_once(',') {
        Some((whole, part)) if is_digits(whole.trim_start_matches('-')) && is_digits(part) => {
            *commas += 1;
            format!("{whole}.{part}")
        }
        _ => cell.to_owned(),
    }
}

fn blanks(text: &str) -> Result<Cells> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut gathered: Option<Gathered> = None;
    for (at, line) in lines {
        let width = line.split_whitespace().count();
        let rows = gathered.get_or_insert_with(|| Gathered::new(width));
        rows.row(at as u64 + 1, line.split_whitespace())?;
    }
    Ok(gathered.unwrap_or_else(|| Gathered::new(1)).into_cells())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Cells {
        Cells::parse(text.as_bytes(), Header::Optional).unwrap()
    }

    fn problem(text: &str, header: Header) -> String {
        format!("{:#}", Cells::parse(text.as_bytes(), header).unwrap_err())
    }

    #[test]
    fn every_separator_is_told() {
        for text in
            ["a,b\n1,x\n2,y\n", "a;b\n1;x\n2;y\n", "a\tb\n1\tx\n2\ty\n", "a b\n1  x\n 2 y\n"]
        {
            let cells = read(text);
            assert_eq!(cells.names, ["a", "b"], "{text:?}");
            assert_eq!(cells.column(0), ["1", "2"]);
            assert_eq!(cells.column(1), ["x", "y"]);
        }
        let quoted = read("\u{feff}\"a;x\",b\n\"1,5\",\"two\nlines\"\n");
        assert_eq!(quoted.names, ["a;x", "b"]);
        assert_eq!(quoted.column(1), ["two\nlines"]);
        assert_eq!(read("a;b\n1,5;x\n").column(0), ["1.5"]);
        assert_eq!(read("only\n1\n2\n").column(0), ["1", "2"]);
    }

    #[test]
    fn a_file_without_names_has_numbers_for_names() {
        let cells = read("7,x\n8,y\n");
        assert_eq!(cells.names, ["1", "2"]);
        assert_eq!(cells.column(0), ["7", "8"]);
        let cdnow = read(" 00004 0001 19970101  2   29.33\n 00004 0001 19970118  2   29.73\n");
        assert_eq!(cdnow.names, CDNOW);
        assert_eq!((cdnow.place("amount"), cdnow.place("5")), (Some(4), Some(4)));
        assert_eq!(cdnow.column(2), ["19970101", "19970118"]);
    }

    #[test]
    fn what_is_no_table_is_said_with_its_place() {
        for (text, words) in [
            ("", "empty"),
            ("\n \n", "empty"),
            ("a,a\n1,2\n", "two columns are called `a` (the 1. and the 2.)"),
            ("a,b\n1,2\n1,2,3\n", "line 3 has more cells"),
            ("1,2\n3,4\n", "first row is data"),
        ] {
            let problem = problem(text, Header::Needed);
            assert!(problem.contains(words), "{text:?}: {problem}");
        }
    }

    #[test]
    fn short_rows_and_strange_letters_are_noted() {
        let cells = Cells::parse(b"a,b\n1\n\xff,2\n", Header::Needed).unwrap();
        assert_eq!(cells.column(1), ["", "2"]);
        assert_eq!(cells.notes.len(), 2);
    }
}
