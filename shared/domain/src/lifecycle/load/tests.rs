//! Every way a lifecycle file can be wrong, and what its author is told.
//!
//! `invalid/` has one file per error and `doubtful/` one per warning. The comment at a file's end
//! is what is said about it: `#! line:column message (label)`, then the help.

use std::fmt::Write;
use std::path::PathBuf;

use super::*;
use crate::lifecycle::presets::PRESETS;
use crate::lifecycle::{Color, MAX_FILE_BYTES, examine};

fn told(found: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let Diagnostic { line, column, message, label, .. } = diagnostic;
        let label = if label.is_empty() { String::new() } else { format!(" ({label})") };
        writeln!(text, "#! {line}:{column} {message}{label}").unwrap();
        if let Some(help) = &diagnostic.help {
            writeln!(text, "#!   {help}").unwrap();
        }
    }
    text
}

/// The name, the text and the expected messages of each file in a folder.
fn files(folder: &str) -> Vec<(String, String, String)> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/lifecycle", folder].iter().collect();
    let mut files: Vec<(String, String, String)> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let (source, expected) = match text.find("#! ") {
                Some(at) => text.split_at(at),
                None => (text.as_str(), ""),
            };
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, source.to_owned(), expected.to_owned())
        })
        .collect();
    files.sort();
    files
}

#[track_caller]
fn check(folder: &str, say: impl Fn(&str) -> Vec<Diagnostic>) {
    let mut different = String::new();
    for (name, source, expected) in files(folder) {
        let found = say(&source);
        let actual = told(&found);
        if actual != expected {
            write!(different, "== {name}\n{actual}").unwrap();
        }
        for diagnostic in found {
            assert!(
                diagnostic.render("lifecycle.yaml", &source, Color::Plain).len() > 20,
                "{name}"
            );
        }
    }
    assert!(different.is_empty(), "these messages differ, and now read:\n{different}");
}

#[test]
fn each_invalid_file_is_refused_with_its_place_and_what_to_do() {
    check("invalid", |source| load(source).map(|_| ()).expect_err("an invalid file"));
}

#[test]
fn each_doubtful_file_is_loaded_with_a_warning() {
    check("doubtful", |source| {
        let lifecycle = load(source).unwrap_or_else(|found| panic!("{}", told(&found)));
        assert!(lifecycle.warnings.iter().all(|found| found.severity == Severity::Warning));
        let examined = examine(source, &lifecycle).into_iter();
        let mut found = lifecycle.warnings;
        found.extend(examined.filter(|found| found.severity == Severity::Warning));
        found
    });
}

#[test]
fn the_presets_load_without_a_word() {
    for preset in PRESETS {
        let lifecycle = load(preset.source).unwrap_or_else(|found| panic!("{}", told(&found)));
        assert_eq!(told(&lifecycle.warnings), "", "{}", preset.name);
    }
}

#[test]
fn a_feed_takes_from_its_preset_what_it_does_not_say() {
    let feeds = |feeds: &str| {
        let source = format!("version: 1\nstages: {{ a: {{}} }}\nfeeds: {{ {feeds} }}\n");
        load(&source).unwrap_or_else(|found| panic!("{}", told(&found))).feeds
    };
    let stripe = feeds("stripe: { expect_every: 2d }").remove(0);
    let preset = crate::feed::presets::named("stripe").unwrap();
    assert_eq!((&stripe.scheme, &stripe.source), (&preset.scheme, &preset.source));
    assert_eq!((&stripe.map, &stripe.events), (&preset.map, &preset.events));
    let named = feeds("billing: { scheme: stripe, events: [invoice_paid] }").remove(0);
    assert_eq!((&named.map, named.events.len()), (&preset.map, 1));
    let own = feeds("stripe: { scheme: stripe, map: [{ event: e, customer: c }] }").remove(0);
    assert_eq!((own.map.unwrap().len(), &own.source), (1, &preset.source));
    let product = feeds("product: { events: [login], expect_every: 1h }").remove(0);
    assert_eq!((product.scheme, product.map), (None, None));
    assert_eq!(product.expect_every, Some(Period::Elapsed(3_600)));
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let found = load(&" ".repeat(MAX_FILE_BYTES + 1)).unwrap_err();
    assert_eq!(told(&found), "#! 1:1 the file is larger than 512 KiB\n");
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for (open, close) in [("[", "]"), ("{ all: [", "] }"), ("{ a: ", " }")] {
        for depth in [20, 100, 1_000, 20_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let source = format!("version: 1\nstages:\n  a:\n    enter:\n      when: {nested}\n");
            let found = load(&source).unwrap_err();
            assert!(!found.is_empty() && found[0].line == 5, "{depth} of {open}: {}", told(&found));
            assert!(found[0].message.len() < 200, "{}", found[0].message);
        }
    }
}

#[test]
fn a_small_change_of_a_good_file_never_panics() {
    let source = PRESETS[0].source;
    for (at, _) in source.char_indices().step_by(97) {
        for cut in ["", "\"", "\t", "{", "é", "- ", "\u{feff}", "*a", "&a ", "!x "] {
            let _ = load(&format!("{}{cut}{}", &source[..at], &source[at + 1..]));
            let _ = load(&format!("{}{cut}", &source[..at]));
        }
    }
}
