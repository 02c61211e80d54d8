//! `lifecycle validate`: is a lifecycle file right, and if not, where and why.
//!
//! Needs no tables and no network: the file is all it reads.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use domain::lifecycle::{Color, Diagnostic, Lifecycle, Severity, Subject, load};
use sha2::{Digest as _, Sha256};

/// Check a lifecycle file.
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Check a lifecycle file.\n\n\
        Every name, type, condition and reference is checked, and everything that is wrong is shown \
        with its line, its column and what to do about it. Nothing is changed and nothing but the \
        file is read, so it fits an editor or a pull request check.",
    after_long_help = "Examples:\n  \
        lifecycle validate\n  \
        lifecycle validate staging.yaml\n  \
        lifecycle validate --json | jq '.errors[] | \"\\(.line): \\(.message)\"'\n\n\
        With --json, one object on standard output:\n  \
        {\"valid\", \"file\", \"hash\", \"errors\": [{\"message\", \"line\", \"column\", \"label\", \
        \"help\", \"severity\"}], \"warnings\": […], \"stages\": [names]}\n\n\
        Exit codes: 0 valid (warnings or not), 1 not valid or not readable, 2 wrong use."
)]
pub struct Args {
    /// The lifecycle file.
    #[arg(value_name = "FILE", default_value = "lifecycle.yaml")]
    pub file: PathBuf,
    /// Answer with one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Checks the file: what is wrong goes to `err`, a line that sums it up or the JSON to `out`.
///
/// # Errors
/// When the file cannot be read.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    let color = if std::io::stderr().is_terminal() { Color::Terminal } else { Color::Plain };
    run_in(args, color, out, err)
}

fn run_in(
    args: &Args,
    color: Color,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<ExitCode> {
    let file = args.file.display().to_string();
    let bytes = std::fs::read(&args.file).with_context(|| match args.file.exists() {
        true => format!("cannot read {file}"),
        false => format!("there is no {file}: `lifecycle init` writes one to start from"),
    })?;
    let source = String::from_utf8(bytes).with_context(|| format!("{file} is not UTF-8"))?;
    let loaded = load(&source);
    let found: &[Diagnostic] = match &loaded {
        Ok(lifecycle) => &lifecycle.warnings,
        Err(found) => found,
    };
    if args.json {
        writeln!(out, "{}", answer(&file, &source, loaded.as_ref().ok(), found))?;
    } else {
        for diagnostic in found {
            writeln!(err, "{}\n", diagnostic.render(&file, &source, color))?;
        }
        match &loaded {
            Ok(lifecycle) => writeln!(out, "{}", summary(&file, lifecycle))?,
            Err(found) => writeln!(err, "{file} is not valid: {}.", tally(found))?,
        }
    }
    Ok(if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn answer(
    file: &str,
    source: &str,
    lifecycle: Option<&Lifecycle>,
    found: &[Diagnostic],
) -> serde_json::Value {
    let of = |severity| -> Vec<&Diagnostic> {
        found.iter().filter(|diagnostic| diagnostic.severity == severity).collect()
    };
    let stages = lifecycle.map_or(&[][..], |lifecycle| &lifecycle.stages);
    serde_json::json!({
        "valid": lifecycle.is_some(),
        "file": file,
        "hash": domain::hex(&Sha256::digest(source.as_bytes())),
        "errors": of(Severity::Error),
        "warnings": of(Severity::Warning),
        "stages": stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(),
    })
}

/// One line on what a valid file declares.
fn summary(file: &str, lifecycle: &Lifecycle) -> String {
    let subject = match lifecycle.subject {
        Subject::Account => "customers are accounts",
        Subject::User => "customers are users",
    };
    let parts = [
        count(lifecycle.stages.len(), "stage"),
        count(lifecycle.metrics.len(), "metric"),
        count(lifecycle.traits.len(), "trait"),
        count(lifecycle.segments.len(), "segment"),
        count(lifecycle.standards.len(), "standard"),
        count(lifecycle.routes.len(), "alert route"),
    ];
    let mut line = format!("{file} is valid: {}; {subject}", parts.join(", "));
    if !lifecycle.warnings.is_empty() {
        line.push_str(&format!(" ({})", count(lifecycle.warnings.len(), "warning")));
    }
    line.push('.');
    line
}

fn tally(found: &[Diagnostic]) -> String {
    let errors = found.iter().filter(|one| one.severity == Severity::Error).count();
    match found.len() - errors {
        0 => count(errors, "error"),
        warnings => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::lifecycle::presets::PRESETS;

    struct Ran {
        is_success: bool,
        out: String,
        err: String,
    }

    fn check(source: &str, json: bool) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifecycle.yaml");
        std::fs::write(&file, source).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run_in(&Args { file, json }, Color::Plain, &mut out, &mut err).unwrap();
        Ran {
            is_success: format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS),
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }

    #[test]
    fn a_valid_file_is_one_friendly_line() {
        for preset in PRESETS {
            let ran = check(preset.source, false);
            assert!(ran.is_success, "{}", ran.err);
            assert!(ran.out.contains("lifecycle.yaml is valid: "), "{}", ran.out);
            assert_eq!(ran.out.lines().count(), 1);
        }
    }

    #[test]
    fn an_error_has_its_line_a_caret_and_help() {
        let source = PRESETS[0].source.replacen("\nsubject: account", "\nsubject: acount", 1);
        let ran = check(&source, false);
        assert!(!ran.is_success);
        assert!(ran.out.is_empty());
        let line = source.lines().position(|line| line.starts_with("subject:")).unwrap() + 1;
        assert!(ran.err.contains(&format!("lifecycle.yaml:{line}:")), "{}", ran.err);
        assert!(ran.err.contains('^'), "{}", ran.err);
        assert!(ran.err.contains("is not valid: 1 error."), "{}", ran.err);
    }

    #[test]
    fn json_says_what_the_text_says() {
        let good: serde_json::Value =
            serde_json::from_str(&check(PRESETS[0].source, true).out).unwrap();
        assert_eq!(good["valid"], true);
        assert_eq!(good["hash"], load(PRESETS[0].source).unwrap().hash);
        assert!(!good["stages"].as_array().unwrap().is_empty());

        let bad: serde_json::Value =
            serde_json::from_str(&check("version: 1\nstags: {}\n", true).out).unwrap();
        assert_eq!(bad["valid"], false);
        assert_eq!(bad["errors"][0]["severity"], "error");
        assert_eq!(bad["errors"][0]["line"], 2);
        assert_eq!(bad["stages"], serde_json::json!([]));
    }

    #[test]
    fn a_file_that_is_not_there_is_said_with_what_to_do() {
        let args = Args { file: "no/such.yaml".into(), json: false };
        let error = run_in(&args, Color::Plain, &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("lifecycle init"), "{error}");
    }
}
