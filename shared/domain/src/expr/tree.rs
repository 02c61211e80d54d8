//! An expression as it was read: the tree between the parser and the checker.

use std::cmp::Ordering;
use std::ops::Range;

use super::value::Truth;

/// An expression as read, not yet checked.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub kind: Kind<'a>,
    /// Without the parentheses around it.
    pub span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    Number { value: f64, whole: bool },
    Text(String),
    YesNo(bool),
    Path(&'a str),
    Call { name: &'a str, name_span: Range<usize>, arguments: Vec<Tree<'a>> },
    Not(Box<Tree<'a>>),
    Negate(Box<Tree<'a>>),
    Join(Join, Vec<Tree<'a>>),
    Compare(Compare, Box<[Tree<'a>; 2]>),
    In(Box<Tree<'a>>, Vec<Tree<'a>>),
    Arith(Arith, Box<[Tree<'a>; 2]>),
}

/// `&&` or `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    And,
    Or,
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    /// Whether it holds for sides in this order.
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Compare::Equal => ordering.is_eq(),
            Compare::NotEqual => ordering.is_ne(),
            Compare::Less => ordering.is_lt(),
            Compare::LessOrEqual => ordering.is_le(),
            Compare::Greater => ordering.is_gt(),
            Compare::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// The answer for two numbers; unknown where one is not a number.
    #[inline(always)]
    pub(super) fn of_numbers(self, left: f64, right: f64) -> Truth {
        // One of the three holds, or none where one is not a number: no branch depends on the data.
        let holds = (u8::from(left < right) * LESS)
            | (u8::from(left == right) * EQUAL)
            | (u8::from(left > right) * GREATER);
        match holds {
            0 => Truth::Unknown,
            holds => Truth::from(self.among() & holds != 0),
        }
    }

    /// Which outcomes of a comparison it holds for.
    fn among(self) -> u8 {
        match self {
            Compare::Equal => EQUAL,
            Compare::NotEqual => LESS | GREATER,
            Compare::Less => LESS,
            Compare::LessOrEqual => LESS | EQUAL,
            Compare::Greater => GREATER,
            Compare::GreaterOrEqual => GREATER | EQUAL,
        }
    }
}

const LESS: u8 = 1;
const EQUAL: u8 = 2;
const GREATER: u8 = 4;

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arith {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}
