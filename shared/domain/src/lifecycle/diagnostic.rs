//! What is wrong with a lifecycle file, where, and what to do about it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::yaml::Fault;

/// How bad a finding about the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; it may not mean what its author thinks.
    Warning,
    /// Worth knowing; the file means what it says.
    Note,
}

/// One message about a lifecycle file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error, warning or note.
    pub severity: Severity,
    /// A stable word for programs: `yaml` for what cannot be read, `invalid` for other errors; those
    /// of warnings and notes say what is doubted.
    pub code: &'static str,
    /// What is wrong, in one sentence.
    pub message: String,
    /// 1-based line in the file.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// 1-based line of the end.
    pub end_line: usize,
    /// 1-based column of the end, in characters: the first after it.
    pub end_column: usize,
    /// Byte range in the file.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Two or three words under the caret.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A message about a byte range of `source`.
    #[must_use]
    pub fn new(
        severity: Severity,
        source: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        let start = floor_boundary(source, span.start);
        let end = floor_boundary(source, span.end.max(start));
        let ((line, column), (end_line, end_column)) = (place(source, start), place(source, end));
        Diagnostic {
            severity,
            code: "invalid",
            message: message.into(),
            line,
            column,
            end_line,
            end_column,
            span: start..end,
            label: String::new(),
            help: None,
        }
    }

    /// What could not be read of `source`.
    pub(crate) fn of_fault(source: &str, fault: Fault) -> Diagnostic {
        let Fault { at, said } = fault;
        let error = Diagnostic::new(Severity::Error, source, at.range(source), said.message);
        Diagnostic { code: "yaml", label: said.label.into(), help: said.help, ..error }
    }

    /// The message as a compiler prints it: the line, a caret, the help.
    #[must_use]
    pub fn render(&self, file_name: &str, source: &str, color: Color) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let snippet = Snippet::source(source)
            .path(file_name)
            .annotation(AnnotationKind::Primary.span(self.span.clone()).label(self.label.as_str()));
        let mut group =
            Group::with_title(level.primary_title(self.message.as_str())).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = match color {
            Color::Plain => Renderer::plain(),
            Color::Terminal => Renderer::styled(),
        };
        renderer.render(&[group])
    }
}

/// Whether a rendering may carry terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Bytes for a file, a log or a pipe.
    Plain,
    /// Escape sequences for a terminal.
    Terminal,
}

/// The 1-based line and column of a byte.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn floor_boundary(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The declared name nearest to a misspelt one, when it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}
