//! Answers a compiled expression for one row.
//!
//! Nothing here can fail: what cannot be computed is missing, and a comparison with it unknown.
//! No allocation, no clock, and as many steps as the tree has nodes.

use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;

use super::tree::{Arith, Compare, Join};
use super::value::{Name, Row, Truth, Value};

/// A node of a compiled expression. Names are indices into the expression's list of them.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Constant),
    Name(u32),
    Has(u32),
    Today,
    /// Days until or since a date.
    Days(Direction, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Join(Join, Box<[Part]>),
    Compare(Compare, Box<[Node; 2]>),
    /// Of which one is a number by its type, so that anything else beside it is unknown.
    CompareNumbers(Compare, Box<[Node; 2]>),
    In(Box<Node>, Box<[Constant]>),
    Arith(Arith, Box<[Node; 2]>),
}

/// One side of `&&` or `||`, with its place in the source.
#[derive(Debug)]
pub(super) struct Part {
    pub node: Node,
    pub span: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Until,
    Since,
}

/// A value written in the expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Number(f64),
    Text(Arc<str>),
    Date(Date),
    YesNo(bool),
}

impl Constant {
    fn value(&self) -> Value<'_> {
        match self {
            Constant::Number(number) => Value::Number(*number),
            Constant::Text(text) => Value::Text(text),
            Constant::Date(date) => Value::Date(*date),
            Constant::YesNo(yes) => Value::YesNo(*yes),
        }
    }
}

// Most of a condition is comparisons of names and constants. Those are answered where they stand, in
// `truth` and `real`; only what has parts of its own is a call.
impl Node {
    /// The answer; unknown for what is no condition.
    #[inline(always)]
    pub(super) fn truth<R: Row>(&self, row: &R, names: &[Name]) -> Truth {
        match self {
            Node::CompareNumbers(compare, sides) => {
                let [left, right] = &**sides;
                compare.of_numbers(left.real(row, names), right.real(row, names))
            }
            _ => self.joined(row, names),
        }
    }

    fn joined<R: Row>(&self, row: &R, names: &[Name]) -> Truth {
        match self {
            Node::Join(Join::And, parts) => {
                Truth::all(parts.iter().map(|part| part.node.truth(row, names)))
            }
            Node::Join(Join::Or, parts) => {
                Truth::any(parts.iter().map(|part| part.node.truth(row, names)))
            }
            Node::Not(inner) => inner.truth(row, names).not(),
            Node::Compare(compare, sides) => {
                let [left, right] = &**sides;
                judge(*compare, left.value(row, names), right.value(row, names))
            }
            Node::CompareNumbers(..) => self.truth(row, names),
            Node::In(left, list) => {
                let left = left.value(row, names);
                Truth::any(list.iter().map(|item| judge(Compare::Equal, left, item.value())))
            }
            Node::Has(name) => names.get(*name as usize).map_or(Truth::No, |name| row.has(name)),
            Node::Name(_) | Node::Constant(_) => match self.value(row, names) {
                Value::YesNo(yes) => Truth::from(yes),
                _ => Truth::Unknown,
            },
            Node::Today | Node::Days(..) | Node::Negate(_) | Node::Arith(..) => Truth::Unknown,
        }
    }

    /// The number; none when missing, not finite, or no number.
    pub(super) fn number<R: Row>(&self, row: &R, names: &[Name]) -> Option<f64> {
        let number = self.real(row, names);
        number.is_finite().then_some(number)
    }

    /// The number; not a number when missing, not finite, or no number.
    #[inline(always)]
    fn real<R: Row>(&self, row: &R, names: &[Name]) -> f64 {
        match self {
            Node::Name(name) => {
                let number = names.get(*name as usize).and_then(|name| row.number(name));
                finite(number.unwrap_or(f64::NAN))
            }
            Node::Constant(Constant::Number(number)) => *number,
            _ => self.computed(row, names),
        }
    }

    fn computed<R: Row>(&self, row: &R, names: &[Name]) -> f64 {
        match self {
            Node::Arith(arith, sides) => {
                let left = sides[0].real(row, names);
                // What is beside something missing is not asked for.
                if left.is_nan() {
                    return f64::NAN;
                }
                compute(*arith, left, sides[1].real(row, names))
            }
            Node::Negate(inner) => -inner.real(row, names),
            Node::Days(direction, date) => {
                let until = as_date(date.value(row, names))
                    .and_then(|date| row.today().until(date).ok())
                    .map_or(f64::NAN, |span| f64::from(span.get_days()));
                if *direction == Direction::Until { until } else { -until }
            }
            _ => f64::NAN,
        }
    }

    /// The value, whatever its kind.
    pub(super) fn value<'a, R: Row>(&'a self, row: &'a R, names: &'a [Name]) -> Value<'a> {
        match self {
            Node::Constant(constant) => constant.value(),
            Node::Name(name) => read(row, names, *name),
            Node::Today => Value::Date(row.today()),
            Node::Days(..) | Node::Negate(_) | Node::Arith(..) => {
                self.number(row, names).map_or(Value::Missing, Value::Number)
            }
            Node::Has(_)
            | Node::Not(_)
            | Node::Join(..)
            | Node::Compare(..)
            | Node::CompareNumbers(..)
            | Node::In(..) => self.truth(row, names).into(),
        }
    }

    /// The sides of `&&` or `||`.
    pub(super) fn parts(&self) -> Option<&[Part]> {
        match self {
            Node::Join(_, parts) => Some(parts),
            _ => None,
        }
    }

    /// The numbers that are written in it.
    pub(super) fn numbers(&self, found: &mut Vec<f64>) {
        match self {
            Node::Constant(Constant::Number(number)) => found.push(*number),
            Node::Constant(_) | Node::Name(_) | Node::Has(_) | Node::Today => {}
            Node::Days(_, inner) | Node::Not(inner) | Node::Negate(inner) => inner.numbers(found),
            Node::In(inner, list) => {
                inner.numbers(found);
                found.extend(list.iter().filter_map(|item| match item {
                    Constant::Number(number) => Some(*number),
                    _ => None,
                }));
            }
            Node::Join(_, parts) => parts.iter().for_each(|part| part.node.numbers(found)),
            Node::Compare(_, sides) | Node::CompareNumbers(_, sides) | Node::Arith(_, sides) => {
                sides.iter().for_each(|side| side.numbers(found));
            }
        }
    }

    /// Calls `visit` with the names and the constants of each comparison.
    pub(super) fn comparisons(&self, visit: &mut dyn FnMut(&[u32], &[Value<'_>])) {
        match self {
            Node::Join(_, parts) => parts.iter().for_each(|part| part.node.comparisons(visit)),
            Node::Not(inner) => inner.comparisons(visit),
            Node::Compare(_, sides) | Node::CompareNumbers(_, sides) => {
                let (mut names, mut constants) = (Vec::new(), Vec::new());
                for side in sides.iter() {
                    side.reads(&mut names);
                    side.constants(&mut constants);
                    side.comparisons(visit);
                }
                visit(&names, &constants);
            }
            Node::In(left, list) => {
                let mut names = Vec::new();
                left.reads(&mut names);
                let constants: Vec<Value<'_>> = list.iter().map(Constant::value).collect();
                visit(&names, &constants);
            }
            _ => {}
        }
    }

    fn constants<'a>(&'a self, found: &mut Vec<Value<'a>>) {
        match self {
            Node::Constant(constant) => found.push(constant.value()),
            Node::Days(_, inner) | Node::Negate(inner) => inner.constants(found),
            Node::Arith(_, sides) => sides.iter().for_each(|side| side.constants(found)),
            _ => {}
        }
    }

    /// The names it reads, each once, as indices.
    pub(super) fn reads(&self, found: &mut Vec<u32>) {
        match self {
            Node::Name(name) | Node::Has(name) => {
                if !found.contains(name) {
                    found.push(*name);
                }
            }
            Node::Constant(_) | Node::Today => {}
            Node::Days(_, inner) | Node::Not(inner) | Node::Negate(inner) | Node::In(inner, _) => {
                inner.reads(found);
            }
            Node::Join(_, parts) => parts.iter().for_each(|part| part.node.reads(found)),
            Node::Compare(_, sides) | Node::CompareNumbers(_, sides) | Node::Arith(_, sides) => {
                sides.iter().for_each(|side| side.reads(found));
            }
        }
    }
}

fn read<'a, R: Row>(row: &'a R, names: &'a [Name], name: u32) -> Value<'a> {
    names.get(name as usize).map_or(Value::Missing, |name| row.get(name).finite())
}

/// The number; not a number where it is not finite.
fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { f64::NAN }
}

/// What is not finite, as what is divided by zero, has no answer.
fn compute(arith: Arith, left: f64, right: f64) -> f64 {
    finite(match arith {
        Arith::Add => left + right,
        Arith::Subtract => left - right,
        Arith::Multiply => left * right,
        Arith::Divide => left / right,
        // CEL has a remainder of whole numbers only.
        Arith::Remainder if left.fract() != 0.0 || right.fract() != 0.0 => f64::NAN,
        Arith::Remainder => left % right,
    })
}

/// Compares two values; unknown when either is missing or they are of different kinds.
fn judge(compare: Compare, left: Value<'_>, right: Value<'_>) -> Truth {
    let ordering = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(&right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::YesNo(left), Value::YesNo(right)) => Some(left.cmp(&right)),
        (Value::Date(_), Value::Date(_) | Value::Text(_)) | (Value::Text(_), Value::Date(_)) => {
            as_date(left).zip(as_date(right)).map(|(left, right)| left.cmp(&right))
        }
        _ => None,
    };
    ordering.map_or(Truth::Unknown, |ordering| Truth::from(compare.holds(ordering)))
}

fn as_date(value: Value<'_>) -> Option<Date> {
    match value {
        Value::Date(date) => Some(date),
        Value::Text(text) => parse_date(text),
        _ => None,
    }
}

/// Reads `2026-12-25` and nothing else: only this form sorts as a text as it does as a date.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if shaped { text.parse().ok() } else { None }
}
