//! What an expression reads and what it answers.
//!
//! Invariants: a number an expression works with is finite, and an answer is never guessed: what
//! cannot be judged is [`Truth::Unknown`].

use jiff::civil::Date;

/// One name an expression reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name as written: `metrics.logins_7d`.
    pub path: Box<str>,
    /// The caller's index of a declared name; `u32::MAX` for a name below an open root.
    pub slot: u32,
}

/// The value of one name at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Not known: never told, never counted, or stale.
    Missing,
    /// A number. One that is not finite reads as missing.
    Number(f64),
    /// A text or a declared word.
    Text(&'a str),
    /// A calendar day.
    Date(Date),
    /// An answer.
    YesNo(bool),
}

impl Value<'_> {
    /// The value with numbers that are not finite read as missing.
    pub(crate) fn finite(self) -> Self {
        match self {
            Value::Number(n) if !n.is_finite() => Value::Missing,
            value => value,
        }
    }
}

impl From<Truth> for Value<'_> {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::Yes => Value::YesNo(true),
            Truth::No => Value::YesNo(false),
            Truth::Unknown => Value::Missing,
        }
    }
}

/// Where values come from: a customer as of an instant, or one event.
pub trait Row {
    /// The value of `name`. `slot` finds declared names quickly; `path` serves open roots.
    fn get(&self, name: &Name) -> Value<'_>;
    /// The value of `name` where only a number will do; none when it is missing, or no number.
    #[inline]
    fn number(&self, name: &Name) -> Option<f64> {
        match self.get(name) {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
    /// Whether there is a value of `name`.
    fn has(&self, name: &Name) -> Truth {
        Truth::from(self.get(name).finite() != Value::Missing)
    }
    /// The calendar day, in the workspace's time zone, of the instant asked about.
    fn today(&self) -> Date;
}

/// The answer to a condition, in Kleene's three-valued logic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// It cannot be judged, because a value is missing or a division was by zero.
    Unknown,
}

impl Truth {
    /// Both hold. One *no* decides, whatever the other is.
    pub fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::No, _) | (_, Truth::No) => Truth::No,
            (Truth::Yes, Truth::Yes) => Truth::Yes,
            _ => Truth::Unknown,
        }
    }

    /// At least one holds. One *yes* decides, whatever the other is.
    pub fn or(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
            (Truth::No, Truth::No) => Truth::No,
            _ => Truth::Unknown,
        }
    }

    /// The opposite; the opposite of unknown is unknown.
    #[expect(clippy::should_implement_trait, reason = "reads as a word beside `and` and `or`")]
    pub fn not(self) -> Truth {
        match self {
            Truth::Yes => Truth::No,
            Truth::No => Truth::Yes,
            Truth::Unknown => Truth::Unknown,
        }
    }

    /// Whether all hold; stops at the first *no*.
    pub(super) fn all(parts: impl IntoIterator<Item = Truth>) -> Truth {
        let mut answer = Truth::Yes;
        for part in parts {
            answer = answer.and(part);
            if answer == Truth::No {
                break;
            }
        }
        answer
    }

    /// Whether any holds; stops at the first *yes*.
    pub(super) fn any(parts: impl IntoIterator<Item = Truth>) -> Truth {
        let mut answer = Truth::No;
        for part in parts {
            answer = answer.or(part);
            if answer == Truth::Yes {
                break;
            }
        }
        answer
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::Yes } else { Truth::No }
    }
}
