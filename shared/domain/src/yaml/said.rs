//! What is wrong with a text, in words for the person who wrote it.

use crate::lifecycle::diagnostic::nearest;

/// What is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// A few words to stand under the place.
    pub label: &'static str,
    /// What to do.
    pub help: Option<String>,
}

impl Said {
    pub(super) fn new(message: impl Into<String>) -> Said {
        Said { message: message.into(), label: "", help: None }
    }

    pub(super) fn label(mut self, label: &'static str) -> Said {
        self.label = label;
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Said {
        self.help = Some(help.into());
        self
    }

    /// A key that nobody asks for.
    pub(super) fn unknown_key(key: &str, known: &[&'static str]) -> Said {
        let message = format!("there is no key `{key}` here");
        Said::new(message).label("not known").help(among("keys", key, known))
    }

    /// A word that is none of a few.
    pub(super) fn unknown_word(word: &str, known: &[&'static str]) -> Said {
        let message = format!("`{word}` is not one of the words that can stand here");
        Said::new(message).label("not known").help(among("words", word, known))
    }

    /// The parser's own words, without the place, which is shown beside them.
    pub(super) fn of_syntax(text: &str) -> Said {
        let text = text.trim_end_matches(':');
        if text.contains("tab") && (text.contains("disallowed") || text.contains("not allowed")) {
            return Said::new("a line is indented with a tab")
                .label("a tab")
                .help("YAML is indented with spaces");
        }
        if text.contains("anchor") {
            return Said::new("`*` refers to an anchor that is not there")
                .help("quote a text that starts with `*`");
        }
        if text.contains("nest") || text.contains("recursion") {
            return Said::new("the file is nested too deeply, or repeats too much")
                .help("write it out, with fewer levels");
        }
        let said = Said::new(format!("this is not YAML: {text}"));
        if text.contains("mapping values are not allowed") {
            return said.help(
                "quote a text with a `: ` in it, and indent what is below a key; conditions have no \
                 choice `a ? b : c`",
            );
        }
        if text.contains("parsing a flow") {
            return said.help(
                "within `{ … }` and `[ … ]` quote a condition that has brackets or a comma, or give it a \
                 line of its own",
            );
        }
        said
    }
}

/// What was probably meant, or what there is to choose from.
fn among(kind: &str, wrong: &str, known: &[&'static str]) -> String {
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{kind} that can stand here: {}", known.join(", ")),
    }
}
