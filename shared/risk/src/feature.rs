//! Features: what a model looks at, and into which bins each falls.
//!
//! Bin 0 is what is missing. Numbers fall into intervals in order; words have a bin each, the most
//! frequent first, and one more for the rare ones and those never seen in training.

use serde::{Deserialize, Serialize};

use crate::table::{Column, NO_WORD, Table};

/// A number is told apart into at most this many intervals.
const MOST_INTERVALS: usize = 64;
/// A column of words keeps at most this many; the rest are one.
const MOST_WORDS: usize = 64;
/// A word seen in fewer rows is one of the rare.
const LEAST_ROWS: usize = 5;

/// One feature of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The name of its column.
    pub name: String,
    /// How its values fall into bins.
    pub axis: Axis,
    /// Its middle value in training: the median, or the most frequent word's bin.
    pub typical: f64,
    /// The training rows in each bin, in ten-thousandths: what drift is measured against.
    pub shares: Vec<u32>,
    /// Other features, by name, that say nearly the same: their reasons are told as one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<String>,
    /// Whether it tells who the customer is, which nobody can act upon, and not what it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_context: bool,
}

/// How values fall into bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Numbers, cut where these are: a number on a cut belongs to the interval above it.
    Numbers(Vec<f64>),
    /// Words, the most frequent first.
    Words(Vec<String>),
}

impl Axis {
    /// How many bins there are, the missing one included.
    #[must_use]
    pub fn bins(&self) -> usize {
        match self {
            Axis::Numbers(cuts) => cuts.len() + 2,
            Axis::Words(words) => words.len() + 2,
        }
    }

    /// The bin of a cell: a number, or the place of a word among the words (anything beyond is the
    /// bin of rare words); `NaN` is missing.
    #[must_use]
    pub fn bin(&self, cell: f64) -> usize {
        if cell.is_nan() {
            return 0;
        }
        match self {
            Axis::Numbers(cuts) => 1 + cuts.partition_point(|cut| *cut <= cell),
            Axis::Words(words) => 1 + (cell.max(0.0) as usize).min(words.len()),
        }
    }

    /// The cell of each row of a column: words by their place among this axis's.
    #[must_use]
    pub fn cells(&self, column: &Column) -> Vec<f64> {
        match (self, column) {
            (Axis::Numbers(_), Column::Numbers(numbers)) => numbers.clone(),
            (Axis::Words(known), Column::Words { words, codes }) => {
                let place: Vec<f64> = words.iter().map(|word| place_of(known, word)).collect();
                let cell = |code: &u32| place.get(*code as usize).copied().unwrap_or(f64::NAN);
                codes.iter().map(cell).collect()
            }
            // Words that all look like numbers in one table, and do not in another.
            (Axis::Words(known), Column::Numbers(numbers)) => {
                let cell = |number: &f64| match number.is_nan() {
                    true => f64::NAN,
                    false => place_of_number(known, *number),
                };
                numbers.iter().map(cell).collect()
            }
            (Axis::Numbers(_), Column::Words { words, codes }) => {
                let number = |word: &String| crate::table::number(word).unwrap_or(f64::NAN);
                let numbers: Vec<f64> = words.iter().map(number).collect();
                let cell = |code: &u32| numbers.get(*code as usize).copied().unwrap_or(f64::NAN);
                codes.iter().map(cell).collect()
            }
        }
    }

    /// What a bin holds, in words.
    #[must_use]
    pub fn label(&self, bin: usize) -> String {
        match self {
            _ if bin == 0 => "missing".to_owned(),
            Axis::Words(words) => {
                words.get(bin - 1).cloned().unwrap_or_else(|| "another word".to_owned())
            }
            Axis::Numbers(cuts) if cuts.is_empty() => "any".to_owned(),
            Axis::Numbers(cuts) if bin == 1 => format!("below {}", cuts[0]),
            Axis::Numbers(cuts) => match cuts.get(bin - 1) {
                Some(upper) => format!("{} to {upper}", cuts[bin - 2]),
                None => format!("{} or more", cuts[cuts.len() - 1]),
            },
        }
    }
}

fn place_of(known: &[String], word: &str) -> f64 {
    known.iter().position(|one| one == word).unwrap_or(known.len()) as f64
}

fn place_of_number(known: &[String], number: f64) -> f64 {
    let is = |word: &String| crate::table::number(word) == Some(number);
    known.iter().position(is).unwrap_or(known.len()) as f64
}

/// The features worth looking at in the columns of a table, but those of `except`, learnt from the
/// rows `rows`; and sentences on the columns that were left out.
#[must_use]
pub fn features(table: &Table, rows: &[usize], except: &[&str]) -> (Vec<Feature>, Vec<String>) {
    let (mut features, mut notes) = (Vec::new(), Vec::new());
    for (name, column) in table.names.iter().zip(&table.columns) {
        if except.contains(&name.as_str()) {
            continue;
        }
        match learn(name, column, rows) {
            Ok(feature) => features.push(feature),
            Err(why) => notes.push(format!("{name} is left out: {why}")),
        }
    }
    (features, notes)
}

fn learn(name: &str, column: &Column, rows: &[usize]) -> Result<Feature, String> {
    let axis = match column {
        Column::Numbers(numbers) => Axis::Numbers(intervals(numbers, rows)),
        Column::Words { words, codes } => Axis::Words(frequent(words, codes, rows)?),
    };
    let cells = axis.cells(column);
    let mut counts = vec![0usize; axis.bins()];
    for &row in rows {
        counts[axis.bin(cells[row])] += 1;
    }
    if counts.iter().filter(|count| **count > 0).count() < 2 {
        return Err("it is the same in every row".to_owned());
    }
    let mut known: Vec<f64> =
        rows.iter().map(|row| cells[*row]).filter(|cell| !cell.is_nan()).collect();
    known.sort_by(f64::total_cmp);
    let typical = match axis {
        Axis::Numbers(_) => known.get(known.len() / 2).copied().unwrap_or(0.0),
        Axis::Words(_) => 0.0,
    };
    let share = |count: &usize| (*count as f64 / rows.len() as f64 * 1e4).round() as u32;
    let shares = counts.iter().map(share).collect();
    Ok(Feature {
        name: name.to_owned(),
        axis,
        typical,
        shares,
        family: Vec::new(),
        is_context: false,
    })
}

/// Words by how many rows have them. An error when nearly each row has its own.
fn frequent(words: &[String], codes: &[u32], rows: &[usize]) -> Result<Vec<String>, String> {
    let mut counts = vec![0usize; words.len()];
    let mut known = 0;
    for &row in rows {
        if codes[row] != NO_WORD {
            counts[codes[row] as usize] += 1;
            known += 1;
        }
    }
    let different = counts.iter().filter(|count| **count > 0).count();
    if different > 20 && different * 2 > known {
        return Err(format!("{different} different words in {known} rows tell rows, not groups"));
    }
    let mut order: Vec<usize> =
        (0..words.len()).filter(|&word| counts[word] >= LEAST_ROWS.min(rows.len() / 50)).collect();
    order.retain(|&word| counts[word] > 0);
    order.sort_by(|&a, &b| counts[b].cmp(&counts[a]).then(words[a].cmp(&words[b])));
    order.truncate(MOST_WORDS);
    Ok(order.into_iter().map(|word| words[word].clone()).collect())
}

/// Cuts between neighbouring values, so that intervals hold about equal numbers of rows.
fn intervals(numbers: &[f64], rows: &[usize]) -> Vec<f64> {
    let mut known: Vec<f64> =
        rows.iter().map(|row| numbers[*row]).filter(|number| !number.is_nan()).collect();
    known.sort_by(f64::total_cmp);
    let mut cuts = Vec::new();
    let mut left = MOST_INTERVALS;
    let mut from = 0;
    while from < known.len() && left > 1 {
        let want = (known.len() - from).div_ceil(left).max(2);
        let mut to = (from + want).min(known.len());
        while to < known.len() && known[to] == known[to - 1] {
            to += 1;
        }
        if to < known.len() {
            cuts.push(between(known[to - 1], known[to]));
        }
        left -= 1;
        from = to;
    }
    cuts
}

/// The shortest decimal above `low` and not above `high`: a cut that a person can read.
fn between(low: f64, high: f64) -> f64 {
    let middle = low + (high - low) / 2.0;
    for digits in 0..12 {
        let cut = rounded(middle, digits);
        if cut > low && cut <= high {
            return cut;
        }
    }
    high
}

/// A number to so many decimal places.
#[must_use]
pub fn rounded(number: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    let scaled = libm::round(number * unit) / unit;
    // No minus zero, and nothing that overflowed.
    if scaled == 0.0 || !scaled.is_finite() {
        if scaled == 0.0 { 0.0 } else { number }
    } else {
        scaled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_an_interval_each_and_many_have_equal_shares() {
        let few: Vec<f64> = (0..100).map(|n| f64::from(n % 4)).collect();
        let rows: Vec<usize> = (0..100).collect();
        assert_eq!(intervals(&few, &rows).len(), 3);
        let many: Vec<f64> = (0..10_000).map(f64::from).collect();
        let rows: Vec<usize> = (0..10_000).collect();
        let cuts = intervals(&many, &rows);
        assert_eq!(cuts.len(), MOST_INTERVALS - 1);
        assert!(cuts.is_sorted());
    }

    #[test]
    fn a_cut_separates_its_neighbours_with_few_digits() {
        assert_eq!(between(1.0, 2.0), 2.0);
        assert_eq!(between(0.11, 0.14), 0.13);
        let (low, high) = (1e9, 1e9 + 1e-6);
        let cut = between(low, high);
        assert!(cut > low && cut <= high);
        assert!(between(f64::MIN, f64::MAX).is_finite());
    }

    #[test]
    fn missing_and_unseen_have_bins_of_their_own() {
        let axis = Axis::Words(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!([axis.bin(f64::NAN), axis.bin(0.0), axis.bin(1.0), axis.bin(2.0)], [0, 1, 2, 3]);
        let axis = Axis::Numbers(vec![1.0, 2.0]);
        assert_eq!([axis.bin(f64::NAN), axis.bin(0.9), axis.bin(1.0), axis.bin(9.0)], [0, 1, 2, 3]);
        assert_eq!(axis.label(2), "1 to 2");
    }
}
