//! Where in an item something is, and how it is written in a map: a path, `data.object.customer`;
//! a text with paths in braces, `deal-{objectId}`; an amount of money in the smallest unit of its
//! currency, `data.object.amount_paid in data.object.currency`.

use std::borrow::Cow;

use serde_json::Value as Json;

/// The longest path, in steps, and the longest text, in bytes.
const MAX_STEPS: usize = 16;
const MAX_BYTES: usize = 200;

/// Steps from an item to a value in it: names of members, or places in lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Path, String> {
        let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
        let is_step = |step: &String| {
            !step.is_empty() && !step.contains(|c: char| c.is_whitespace() || "{}".contains(c))
        };
        if text.len() > MAX_BYTES || steps.len() > MAX_STEPS {
            return Err(format!("a path has at most {MAX_STEPS} steps and {MAX_BYTES} bytes"));
        }
        if !steps.iter().all(is_step) {
            return Err(format!("`{text}` is no path: write it as `data.object.id`"));
        }
        Ok(Path(steps))
    }

    /// What is there; null is nothing.
    #[must_use]
    pub fn find<'a>(&self, item: &'a Json) -> Option<&'a Json> {
        let found = self.0.iter().try_fold(item, |value, step| match value {
            Json::Object(members) => members.get(step),
            Json::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })?;
        (!found.is_null()).then_some(found)
    }
}

/// A text, a part of which may come from the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Written(String),
    Found(Path),
}

impl Text {
    /// Reads a text with paths in braces.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Text, String> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(format!("a text here has from 1 to {MAX_BYTES} bytes"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let close = rest.find('}').filter(|close| *close > open);
            let (Some(close), true) = (close, rest[open..].starts_with('{')) else {
                return Err(format!("`{text}` has a brace without its other half"));
            };
            if open > 0 {
                parts.push(Part::Written(rest[..open].to_owned()));
            }
            parts.push(Part::Found(Path::parse(&rest[open + 1..close])?));
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Written(rest.to_owned()));
        }
        Ok(Text(parts))
    }

    /// The text as it was written, if nothing of it comes from the item.
    #[must_use]
    pub fn written(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Written(text)] => Some(text),
            _ => None,
        }
    }

    /// The text of an item; `None` where a part of it is not there.
    #[must_use]
    pub fn text(&self, item: &Json) -> Option<String> {
        self.join(item, |found| found)
    }

    /// The text of an item as a word that a lifecycle file can name: what is found has `_` in place
    /// of everything but letters, digits and `_`.
    #[must_use]
    pub fn word(&self, item: &Json) -> Option<String> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        self.join(item, |found| found.chars().map(plain).collect())
    }

    fn join(&self, item: &Json, change: impl Fn(String) -> String) -> Option<String> {
        let parts = self.0.iter().map(|part| match part {
            Part::Written(text) => Some(text.clone()),
            Part::Found(path) => path.find(item).and_then(scalar_text).map(&change),
        });
        parts.collect()
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A place in the item.
    At(Path),
    /// A text put together from it.
    Text(Text),
    /// An amount in the smallest unit of a currency, as the number of whole ones.
    Money {
        /// Where the amount is.
        amount: Path,
        /// Where the currency's code is.
        currency: Path,
    },
}

impl Source {
    /// Reads where a value comes from.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Source, String> {
        if text.contains(['{', '}']) {
            return Text::parse(text).map(Source::Text);
        }
        match text.split_once(" in ") {
            Some((amount, currency)) => Ok(Source::Money {
                amount: Path::parse(amount.trim())?,
                currency: Path::parse(currency.trim())?,
            }),
            None => Path::parse(text).map(Source::At),
        }
    }

    /// What is there.
    #[must_use]
    pub fn read<'a>(&self, item: &'a Json) -> Option<Cow<'a, Json>> {
        match self {
            Source::At(path) => path.find(item).map(Cow::Borrowed),
            Source::Text(text) => text.text(item).map(|text| Cow::Owned(text.into())),
            Source::Money { amount, currency } => {
                let amount = crate::event::number_of(amount.find(item)?)?;
                let units = units(currency.find(item)?.as_str()?);
                Some(Cow::Owned((amount / units).into()))
            }
        }
    }

    /// What is there, as an id.
    #[must_use]
    pub fn id(&self, item: &Json) -> Option<String> {
        self.read(item).and_then(|found| crate::event::id_text(&found))
    }
}

/// How many of the smallest unit make one of a currency: ISO 4217's minor units, with those that
/// payment services count otherwise as they do.
fn units(currency: &str) -> f64 {
    match currency.to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 1.0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 1_000.0,
        _ => 100.0,
    }
}

/// A text, a number or a yes or no as text; an empty text is nothing.
pub(super) fn scalar_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => (!text.is_empty()).then(|| text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}
