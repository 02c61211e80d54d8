//! The language of conditions: small, checked at load, and answering yes, no or unknown.
//!
//! An expression is a strict subset of CEL, the Common Expression Language: comparisons, `&&`,
//! `||`, `!`, `in`, `+ - * / %`, `has(x)`, `days_until(x)`, `days_since(x)` and `today`. There are
//! no loops, regular expressions or text functions, so its cost is known before it runs. YAML lists
//! under `all:`, `any:` and `none:` join expressions into a [`Condition`].
//!
//! # Meaning
//!
//! - A comparison with a missing value is unknown. `&&`, `||` and `!` are Kleene's: unknown matters
//!   only where the other side does not decide. `has(x)` is never unknown.
//! - A division by zero is unknown, and so is any number that is not finite.
//! - `%` is for whole numbers and takes the sign of the left side; otherwise it is unknown.
//! - `days_until(x)` counts the calendar days from today to `x`, negative when `x` is past;
//!   `days_since(x)` is its opposite.
//! - Words and texts compare for equality only. A date compares with a date, with `today` and with
//!   a text such as `"2026-12-25"`.
//! - An event property is compared as what it turns out to be: a number with a number, a text with
//!   a text (which sort by their bytes, as in CEL). Two values of different kinds give unknown, for `==` and `!=` too, because the sender
//!   may have meant `"500"` as 500 and neither answer can be relied on.
//!
//! # The relation to CEL
//!
//! Every accepted expression is a CEL expression with the same answer, where unknown stands for
//! CEL's error, numbers are doubles (a whole number beside one is read as a double), dates are
//! ISO texts, `today` is a variable and the two day counts are functions. What CEL answers and this
//! language does not, each for a reason:
//!
//! - `x / 0` is unknown, where CEL has an infinity for doubles: a share of nothing is not known, and
//!   no threshold should hold for it. A remainder by zero is an error in CEL, and unknown here.
//! - `==` and `!=` of two kinds (`event.status == "500"` of a number) are unknown, where CEL says no:
//!   the sender may have meant the same, and neither answer can be relied on.
//! - A number that is not finite reads as missing: no comparison with it means anything.
//! - Refused, because in a file they could only be mistakes: constants (`1 < 2`), the order of texts
//!   and of answers, `1 / 2` of two whole constants (which CEL rounds), `%` beside a fraction, empty
//!   lists, lists of anything but constants, whole numbers beyond 2^53. [`Expected::Any`] answers
//!   constants and orders as CEL does.
//! - Not in the subset: unsigned numbers (`3u`), bytes, `null`, lists and maps as values, indexing,
//!   `? :`, comprehensions, conversions, text and time functions, `timestamp` and `duration`.
//!
//! `oracle` compares random expressions and rows with the `cel` crate, over every operator and
//! function, and allows for exactly the first of these.
//!
//! # Invariants
//!
//! Whatever compiles cannot fail, loop or panic when it runs, on any row. The module reads no
//! clock: the row says what day it is. It knows nothing of customers, stages or files, except the
//! byte offsets of the conditions it was read from.

use std::ops::Range;
use std::sync::Arc;

mod check;
mod condition;
mod eval;
mod given;
mod kinds;
mod lex;
mod names;
mod parse;
mod place;
mod scope;
mod stray;
mod tree;
mod value;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use condition::{Condition, ConditionSource, Leaf};
pub use given::Given;
pub(crate) use place::{in_file, scalar};
pub use scope::{Binding, Scope, Type};
pub use value::{Name, Row, Truth, Value};

/// Whole numbers up to here have an exact `f64`.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
/// The longest expression, in bytes.
const MAX_BYTES: usize = 4096;
/// The largest expression, in names, constants and operators.
const MAX_NODES: u32 = 400;
/// The deepest nesting of parentheses, calls and lists.
const MAX_DEPTH: u32 = 40;

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A condition.
    YesNo,
    /// A formula.
    Number,
    /// Whatever it comes to: constants and the order of texts are answered as CEL does, which in a
    /// lifecycle file could only be mistakes.
    Any,
}

/// Something wrong with an expression, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the source.
    pub span: Range<usize>,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// A few words to stand under the place.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { span, message: message.into(), label: "here".to_owned(), help: None }
    }

    fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A compiled expression. Clones share it.
#[derive(Clone, Debug)]
pub struct Expr(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: Box<str>,
    root: eval::Part,
    names: Box<[Name]>,
    cost: u32,
    uses_date: bool,
}

/// Reads, checks and compiles one expression. Of what cannot be read the first problem is reported,
/// of what can be read but is wrong every one.
pub fn compile(source: &str, scope: &Scope, expected: Expected) -> Result<Expr, Vec<Problem>> {
    let tree = parse::parse(source).map_err(|problem| vec![problem])?;
    check::check(source, &tree, scope, expected).map(|compiled| Expr(Arc::new(compiled)))
}

impl Expr {
    /// The answer for `row`. A formula has none: unknown.
    pub fn truth(&self, row: &impl Row) -> Truth {
        self.0.root.node.truth(row, &self.0.names)
    }

    /// The number for `row`: none when missing or unknown, never one that is not finite.
    pub fn number(&self, row: &impl Row) -> Option<f64> {
        self.0.root.node.number(row, &self.0.names)
    }

    /// The value for `row`, whatever it is; missing for what is unknown.
    pub fn value<'a>(&'a self, row: &'a impl Row) -> Value<'a> {
        self.0.root.node.value(row, &self.0.names)
    }

    /// The names it reads, each once, in the order of their first use.
    pub fn names(&self) -> &[Name] {
        &self.0.names
    }

    /// The numbers it compares with or computes by, as often as they are written.
    pub fn numbers(&self) -> Vec<f64> {
        let mut found = Vec::new();
        self.0.root.node.numbers(&mut found);
        found
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the answer may change at midnight with no new fact: it uses `today`, a day count or
    /// a date.
    pub fn uses_date(&self) -> bool {
        self.0.uses_date
    }

    /// The most steps one evaluation can take: names, constants and operators.
    pub fn cost(&self) -> u32 {
        self.0.cost
    }
}
