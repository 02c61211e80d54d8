//! How the file is read as YAML, and the reader's errors in words for people.

use serde_saphyr::Error;

use super::{Diagnostic, Severity, nearest};
use crate::expr;

/// YAML 1.2 words only, no merge keys, no surprises.
pub(crate) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        with_snippet: false,
    }
}

/// The first thing that stopped the reading.
pub(crate) fn problem(source: &str, error: &Error) -> Diagnostic {
    let error = error.without_snippet();
    let mut span = error.location().map_or(0..0, |location| expr::scalar(source, &location));
    let said = match error {
        // The reader places it at the last key of a mapping: at the top, that says nothing.
        Error::SerdeMissingField { field: "version" | "stages", .. } | Error::Eof { .. } => {
            span = 0..0;
            said(error)
        }
        _ => said(error),
    };
    // A mapping that is wrong as a whole is shown by its first line.
    if let Some(line) = source[span.clone()].find('\n') {
        span.end = span.start + line;
    }
    let mut diagnostic = Diagnostic::new(Severity::Error, source, span, said.message);
    diagnostic.label = said.label.into();
    diagnostic.help = said.help;
    diagnostic
}

struct Said {
    message: String,
    label: &'static str,
    help: Option<String>,
}

impl Said {
    fn new(message: impl Into<String>) -> Said {
        Said { message: message.into(), label: "", help: None }
    }

    fn label(mut self, label: &'static str) -> Said {
        self.label = label;
        self
    }

    fn help(mut self, help: impl Into<String>) -> Said {
        self.help = Some(help.into());
        self
    }
}

fn said(error: &Error) -> Said {
    match error {
        Error::Eof { .. } => Said::new("there is nothing in the file")
            .help("`lifecycle init` writes one to start from"),
        Error::MultipleDocuments { .. } => Said::new("the file goes on after its end")
            .label("a second document")
            .help("a lifecycle file is one YAML document: remove the line `---`"),
        Error::MergeKeyNotAllowed { .. } => {
            Said::new("`<<` is not supported").label("a merge key").help("write the keys out")
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("this key");
            Said::new(format!("`{key}` is there twice"))
                .label("the second")
                .help("keep one of them, or give them different names")
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            let message = format!("there is no key `{field}` here");
            Said::new(message).label("not known").help(among("keys", field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let message = format!("`{variant}` is not one of the words that can stand here");
            Said::new(message).label("not known").help(among("words", variant, expected))
        }
        Error::SerdeMissingField { field, .. } => {
            Said::new(format!("the key `{field}` is missing")).help(match *field {
                "version" => "begin the file with `version: 1`".to_owned(),
                "stages" => "a lifecycle has at least one stage under `stages:`".to_owned(),
                field => format!("add `{field}:`"),
            })
        }
        Error::Unexpected { expected, .. } => Said::new(match *expected {
            "mapping start" => "this should be a map of keys and values, as `key: value`",
            "sequence start" => "this should be a list, as `[one, two]`",
            "string scalar" | "scalar" => "this should be one word or one text",
            other => return Said::new(format!("this should be {other}")),
        })
        .label("something else"),
        Error::InvalidScalar { ty, .. } => Said::new(match *ty {
            "f64" | "f32" => "this should be a number",
            "bool" => "this should be `true` or `false`",
            _ => "this should be a whole number",
        })
        .label("something else"),
        Error::InvalidBooleanStrict { .. } => Said::new("this should be `true` or `false`")
            .label("something else")
            .help("in YAML 1.2, `yes`, `no`, `on` and `off` are texts"),
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            let message = format!("this should be {expected}");
            Said::new(message).label("something else").help(format!("here is {unexpected}"))
        }
        Error::NonFiniteFloat { .. } => Said::new("this should be a finite number"),
        Error::UnknownAnchor { .. } => Said::new("`*` refers to an anchor that is not there")
            .help("quote a text that starts with `*`"),
        Error::UnsupportedTag { tag, .. } => Said::new(format!("`{tag}` is read as a YAML tag"))
            .help("quote a text that starts with `!`"),
        Error::Budget { .. } => Said::new("the file is nested too deeply, or repeats too much")
            .help("write it out, with fewer levels"),
        other => syntax(&other.to_string()),
    }
}

/// The reader's own words, without the place, which is shown beside them.
fn syntax(text: &str) -> Said {
    let text = text.split(" at line ").next().unwrap_or(text);
    let text = match text.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, message)) => message,
        None => text,
    };
    let text = text.trim_end_matches(':');
    if text.contains("tabs disallowed") {
        return Said::new("a line is indented with a tab")
            .label("a tab")
            .help("YAML is indented with spaces");
    }
    Said::new(format!("this is not YAML: {text}"))
}

/// What was probably meant, or what there is to choose from.
fn among(kind: &str, wrong: &str, known: &[&'static str]) -> String {
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{kind} that can stand here: {}", known.join(", ")),
    }
}
