//! Tables of others' data: what kind each column is, told from its cells.
//!
//! A column is numbers when nine in ten of its cells are (dates count as days), else words. What is
//! missing, or is no number among numbers, is kept as missing and never guessed.

use std::collections::BTreeMap;

/// The code of a missing word.
pub const NO_WORD: u32 = u32::MAX;
/// A longer cell is cut here: it can only be told from others by its beginning.
const LONGEST_WORD: usize = 120;

/// Columns of equal length with their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The names of the columns, in order.
    pub names: Vec<String>,
    /// The columns.
    pub columns: Vec<Column>,
    /// How many rows each has.
    pub rows: usize,
    /// What was noticed while reading, as sentences.
    pub notes: Vec<String>,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Numbers; `NaN` where missing.
    Numbers(Vec<f64>),
    /// Words, each row's as an index into `words`, or [`NO_WORD`].
    Words {
        /// The different words, in order.
        words: Vec<String>,
        /// One per row.
        codes: Vec<u32>,
    },
}

impl Table {
    /// Reads columns of text, which `cells` gives by their place. `is_category` names columns that
    /// are words even where they look like numbers.
    #[must_use]
    pub fn read<'a>(
        names: Vec<String>,
        cells: impl Fn(usize) -> Vec<&'a str>,
        is_category: impl Fn(&str) -> bool,
    ) -> Table {
        let (mut notes, mut rows) = (Vec::new(), 0);
        let columns = names
            .iter()
            .enumerate()
            .map(|(place, name)| {
                let cells = cells(place);
                rows = cells.len();
                column(name, &cells, is_category(name), &mut notes)
            })
            .collect();
        Table { names, columns, rows, notes }
    }

    /// A column by its name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.names.iter().position(|known| known == name).map(|index| &self.columns[index])
    }
}

impl Column {
    /// Keeps only some rows, in their order.
    pub fn keep(&mut self, rows: &[usize]) {
        match self {
            Column::Numbers(numbers) => *numbers = rows.iter().map(|&row| numbers[row]).collect(),
            Column::Words { codes, .. } => *codes = rows.iter().map(|&row| codes[row]).collect(),
        }
    }
}

/// Whether a cell says that nothing is known.
#[must_use]
pub fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    cell.is_empty() || ["na", "n/a", "nan", "null"].iter().any(|no| cell.eq_ignore_ascii_case(no))
}

/// The number a cell holds: plain, with thousands separated by commas, a percentage, an amount with
/// its currency sign, or a date (as days since 1970).
#[must_use]
pub fn number(cell: &str) -> Option<f64> {
    let cell = cell.trim();
    let plain = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let bare = cell.trim_start_matches(['$', '€', '£']).trim_end_matches('%').trim();
    if bare.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    plain(bare).or_else(|| thousands(bare).and_then(|text| plain(&text))).or_else(|| day(cell))
}

fn thousands(text: &str) -> Option<String> {
    let digits = text.trim_start_matches(['-', '+']);
    let (whole, _) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let mut rest = groups.peekable();
    rest.peek()?;
    let right = (1..=3).contains(&first.len()) && rest.all(|group| group.len() == 3);
    right.then(|| text.replace(',', ""))
}

/// `YYYY-MM-DD`, with a time or without, as days since 1970 (Hinnant's days from civil).
fn day(cell: &str) -> Option<f64> {
    let (date, time) = cell.split_at_checked(10)?;
    let bytes = date.as_bytes();
    if bytes[4] != b'-' || bytes[7] != b'-' || !(time.is_empty() || time.starts_with(['T', ' '])) {
        return None;
    }
    let part = |from: usize, to: usize| date.get(from..to)?.parse::<u32>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = i64::from(year) - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year =
        (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let clock = time.get(1..).unwrap_or("");
    let mut units = clock.split(':').map(|unit| unit.get(..2).unwrap_or(unit).parse::<f64>().ok());
    let mut unit = || units.next().flatten().unwrap_or(0.0);
    let seconds = unit() * 3_600.0 + unit() * 60.0 + unit();
    Some(days as f64 + (seconds / 86_400.0).min(1.0))
}

fn column(name: &str, cells: &[&str], is_category: bool, notes: &mut Vec<String>) -> Column {
    let known = cells.iter().filter(|cell| !is_missing(cell)).count();
    if !is_category {
        let numbers: Vec<f64> = cells
            .iter()
            .map(|cell| if is_missing(cell) { f64::NAN } else { number(cell).unwrap_or(f64::NAN) })
            .collect();
        let read = numbers.iter().filter(|number| !number.is_nan()).count();
        if read == known || (read as f64) >= 0.9 * known as f64 {
            if read < known {
                let others = known - read;
                notes.push(format!(
                    "{name}: {others} of {known} cells are no number and are taken as missing"
                ));
            }
            return Column::Numbers(numbers);
        }
    }
    words(cells)
}

/// Cells as words, in alphabetical order.
#[must_use]
pub fn words(cells: &[&str]) -> Column {
    let text = |cell: &&str| -> Option<String> {
        (!is_missing(cell)).then(|| cell.trim().chars().take(LONGEST_WORD).collect())
    };
    let mut known: BTreeMap<String, u32> = cells.iter().filter_map(text).map(|w| (w, 0)).collect();
    for (index, code) in known.values_mut().enumerate() {
        *code = u32::try_from(index).unwrap_or(NO_WORD);
    }
    let codes = cells.iter().map(|cell| text(cell).map_or(NO_WORD, |word| known[&word])).collect();
    Column::Words { words: known.into_keys().collect(), codes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_the_shapes_people_write() {
        for (text, value) in [
            ("12", 12.0),
            (" -1.5 ", -1.5),
            ("1e3", 1_000.0),
            ("1,234,567.5", 1_234_567.5),
            ("$9.99", 9.99),
            ("12 %", 12.0),
            ("1970-01-02", 1.0),
            ("2000-03-01", 11_017.0),
            ("1970-01-01T12:00:00Z", 0.5),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for text in ["", "x", "inf", "nan", "1,2", "12,34", "1970-13-01", "é0-00-000x", "0-0-0"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_column_is_numbers_when_nearly_all_of_it_is() {
        let mut notes = Vec::new();
        let mut mostly = vec!["5"; 19];
        mostly.push("five");
        assert!(matches!(column("a", &mostly, false, &mut notes), Column::Numbers(_)));
        assert_eq!(notes.len(), 1);
        let half = ["1", "one"];
        assert!(matches!(column("a", &half, false, &mut notes), Column::Words { .. }));
        let codes = ["1", "2"];
        assert!(matches!(column("a", &codes, true, &mut notes), Column::Words { .. }));
    }

    #[test]
    fn missing_stays_missing() {
        let Column::Words { words, codes } = words(&["b", "", "a", " NA ", "b"]) else {
            unreachable!()
        };
        assert_eq!(words, ["a", "b"]);
        assert_eq!(codes, [1, NO_WORD, 0, NO_WORD, 1]);
        let Column::Numbers(numbers) = column("a", &["1", "", "null"], false, &mut vec![]) else {
            unreachable!()
        };
        assert!(numbers[1].is_nan() && numbers[2].is_nan());
    }
}
