//! Finds the place in a YAML file of a part of a scalar.
//!
//! The text of a scalar is aligned with its source, character by character, through quotes,
//! escapes and folded lines. What does not align is placed at the start of the scalar.

use std::ops::Range;

use crate::yaml::Location;

/// The place in `file` of `span`, a part of the `text` of the scalar at `location`.
pub(crate) fn in_file(
    file: &str,
    location: &Location,
    text: &str,
    span: &Range<usize>,
) -> Range<usize> {
    let scalar = scalar(file, location);
    let raw = &file[scalar.clone()];
    let aligned = align(raw, text, span.start).zip(align(raw, text, span.end));
    match aligned {
        Some((start, end)) => scalar.start + start..scalar.start + end.max(start),
        None => {
            let line = raw.find(['\n', '\r']).unwrap_or(raw.len());
            scalar.start..scalar.start + line
        }
    }
}

/// The bytes of the scalar, with its quotes.
pub(crate) fn scalar(file: &str, location: &Location) -> Range<usize> {
    location.range(file)
}

/// Where in `raw`, the source of a scalar, the byte `target` of its `text` is.
fn align(raw: &str, text: &str, target: usize) -> Option<usize> {
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut at = match quote {
        Some(_) => 1,
        None => block(raw).unwrap_or(0),
    };
    for (i, c) in text.char_indices() {
        if i >= target {
            return Some(at);
        }
        at += width(&raw[at..], c, quote)?;
    }
    Some(at)
}

/// Where the content of a block scalar starts, after its header line and the indentation.
fn block(raw: &str) -> Option<usize> {
    if !raw.starts_with(['>', '|']) {
        return None;
    }
    let line = raw.find('\n')? + 1;
    Some(line + blank(&raw[line..]))
}

/// The bytes of `rest` that the character `c` of the text was written with.
fn width(rest: &str, c: char, quote: Option<char>) -> Option<usize> {
    if c == ' ' || c == '\n' {
        // A line break, with the blanks around it, reads as a space or a line break.
        let blanks = blank(rest);
        if rest[..blanks].contains('\n') {
            return Some(blanks);
        }
    }
    let escaped = match quote {
        Some('"') => rest.strip_prefix('\\').is_some_and(|next| next.starts_with(c)),
        Some('\'') => c == '\'' && rest.starts_with("''"),
        _ => false,
    };
    if escaped {
        return Some(1 + c.len_utf8());
    }
    rest.starts_with(c).then_some(c.len_utf8())
}

fn blank(rest: &str) -> usize {
    rest.find(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(rest.len())
}
