//! YAML into values with the place of each word, and everything that is wrong with it at once.
//!
//! The text is read into a tree first. What the tree is asked for and does not have, or has and
//! nobody asks for, is noted and taken out, and the tree is asked again: so one misspelt key does
//! not hide what else is wrong. What was taken out is listed ([`Reading::broken`]), for whoever
//! checks the rest not to complain of its absence.
//!
//! Invariants: YAML 1.2 words only; no key twice, no merge keys, no custom tags. Nesting and the
//! number of nodes are bounded, so nothing that walks a tree runs out of stack.

mod read;
mod said;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use serde::de::DeserializeOwned;

pub use read::Spanned;
pub use said::Said;

/// Where something stands in a text, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Location {
    /// The bytes of `text`, whatever text it is.
    #[must_use]
    pub fn range(&self, text: &str) -> Range<usize> {
        let clamp = |at: usize| text.floor_char_boundary(at.min(text.len()));
        let (start, end) = (clamp(self.start), clamp(self.end));
        start..end.max(start)
    }
}

/// Something wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Location,
    /// What, and what to do.
    pub said: Said,
}

/// What came of reading a text.
#[derive(Debug)]
pub struct Reading<T> {
    /// The value, from everything that could be read.
    pub value: Option<T>,
    /// What is wrong, in the order in which it was noticed.
    pub faults: Vec<Fault>,
    /// The paths (`metrics.idle_days`) of what had to be left out.
    pub broken: BTreeSet<String>,
}

/// More than this is not listed.
const MAX_FAULTS: usize = 100;

/// Reads a text.
pub fn read<T: DeserializeOwned>(text: &str) -> Reading<T> {
    let mut reading = Reading { value: None, faults: Vec::new(), broken: BTreeSet::new() };
    let mut root = match tree::parse(text, &mut reading.faults, &mut reading.broken) {
        Ok(root) => root,
        Err(fault) => {
            reading.faults.push(fault);
            return reading;
        }
    };
    while reading.faults.len() < MAX_FAULTS {
        let error = match T::deserialize(&root) {
            Ok(value) => {
                reading.value = Some(value);
                break;
            }
            Err(error) => error,
        };
        let path = error.path();
        let names = root.names(&path);
        // A key that had to be left out is not missing.
        let known = error.missing().map(|field| join(&names, field));
        if let (Some(meant), Some((_, parent))) = (error.meant(), names.split_last()) {
            reading.broken.insert(join(parent, meant));
        }
        if !known.is_some_and(|path| reading.broken.contains(&path)) {
            reading.faults.extend(error.fault(&root, text));
        }
        if path.is_empty() {
            break;
        }
        root.remove(&path);
        reading.broken.insert(names.join("."));
    }
    reading
}

/// Reads a text, or says what is first wrong with it.
///
/// # Errors
/// The first fault.
pub fn read_strictly<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let reading = read(text);
    match (reading.value, reading.faults.into_iter().next()) {
        (Some(value), None) => Ok(value),
        (_, Some(fault)) => Err(fault),
        (None, None) => {
            Err(Fault { at: Location::default(), said: Said::new("it cannot be read") })
        }
    }
}

fn join(names: &[String], last: &str) -> String {
    let mut path = names.to_vec();
    path.push(last.to_owned());
    path.join(".")
}
