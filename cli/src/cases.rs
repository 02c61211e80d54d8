//! `lifecycle test`: do the cases beside a lifecycle file come out as they say?
//!
//! Needs no tables and no network. The clock is the cases'; the code that decides is production's.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use domain::cases::{self, CaseOutcome, Coverage, Covered, Failure};
use domain::lifecycle::{Diagnostic, Lifecycle, load};
use serde_json::json;

use crate::configuration::{FILE_NAME, Source, print_diagnostics};

/// How often watched files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Test a lifecycle file
#[derive(Debug, Args)]
#[command(
    long_about = "Runs the cases of a tests file: what happens to a customer on which day, and what \
should be true then. Days pass under a virtual clock, and each night the code decides that does so in \
production. Rules that no case made true are listed.\n\n\
A case:\n\n  \
- name: a silent account is called before it leaves\n    \
given:\n      \
stage: adopting since 90d            # without it, a new customer\n      \
traits: { plan: team, mrr: 500 }     # told before anything else\n      \
events:\n        \
- { day: -30 to 0, every: 2, event: login, user: ada }\n        \
- { day: 3, event: survey, properties: { kind: nps, score: 4 } }\n        \
- { day: 40, traits: { churn_notice: 2026-03-01 } }\n    \
expect:\n      \
- { day: 21, stage: adopting }\n      \
- { day: 24, stage: will_churn, risk: critical, findings: [], segments: { paying: yes },\n          \
alerts: [\"urgent: stage will_churn\"] }\n\n\
Day 0 is Monday 2026-01-05, or `given.start`. Events happen at noon; an expectation is looked at \
after the night of its day. `findings` are all that are open, `alerts` all since the expectation \
before.",
    after_long_help = "Examples:\n  \
lifecycle test                          lifecycle.tests.yaml against lifecycle.yaml\n  \
lifecycle test --watch                  again whenever a file is saved\n  \
lifecycle test smoke.yaml --config staging.yaml\n\n\
With --json, one object on standard output:\n  \
{\"passed\", \"failed\", \"cases\": [{\"file\", \"name\", \"line\", \"passed\", \"expectations\", \
\"failures\": [{\"line\", \"day\", \"date\", \"what\", \"expected\", \"found\", \"why\"}]}], \"coverage\": \
{\"stages\" | \"standards\" | \"segments\" | \"bands\": {\"fired\", \"never\"}}, \"errors\": […], \
\"warnings\": […]}\n\n\
Exit codes: 0 all as expected, 1 a case failed or a file is not valid, 2 wrong use."
)]
pub struct TestArgs {
    /// Files of cases [default: lifecycle.tests.yaml beside the lifecycle file]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The lifecycle file that is tested
    #[arg(long, value_name = "FILE", default_value = FILE_NAME)]
    config: PathBuf,
    /// Run again whenever a file changes, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the cases, once or again and again.
///
/// # Errors
/// When a file cannot be read.
pub async fn run(args: TestArgs) -> Result<ExitCode> {
    let files = match args.files.is_empty() {
        true => vec![args.config.with_extension("tests.yaml")],
        false => args.files.clone(),
    };
    if !args.watch {
        return once(&args, &files);
    }
    let mut seen = None;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            _ = looks.tick() => {}
        }
        let texts: Vec<Option<String>> = std::iter::once(&args.config)
            .chain(&files)
            .map(|file| std::fs::read_to_string(file).ok())
            .collect();
        if seen.as_ref() == Some(&texts) {
            continue;
        }
        if seen.replace(texts).is_some() {
            writeln!(std::io::stdout(), "\n──")?;
        }
        if let Err(error) = once(&args, &files) {
            writeln!(std::io::stderr(), "error: {error:#}")?;
        }
    }
}

/// What came of all files.
#[derive(Default)]
struct Report {
    cases: Vec<(String, CaseOutcome)>,
    coverage: Option<Coverage>,
    errors: Vec<(String, Diagnostic)>,
    warnings: Vec<(String, Diagnostic)>,
}

fn once(args: &TestArgs, files: &[PathBuf]) -> Result<ExitCode> {
    let config = Source::file(&args.config)?;
    let mut report = Report::default();
    match load(&config.text) {
        Err(found) => report.wrong(&config, found, args.json)?,
        Ok(lifecycle) => {
            for file in files {
                report.run(file, &lifecycle, args.json)?;
            }
        }
    }
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", report.json())?,
        false => write!(out, "{}", report.text(out.is_terminal()))?,
    }
    let is_good = report.errors.is_empty() && report.failed() == 0;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    fn wrong(&mut self, source: &Source, found: Vec<Diagnostic>, is_json: bool) -> Result<()> {
        if !is_json {
            print_diagnostics(&mut std::io::stderr(), &source.name, &source.text, &found)?;
        }
        self.errors.extend(found.into_iter().map(|one| (source.name.clone(), one)));
        Ok(())
    }

    fn run(&mut self, file: &Path, lifecycle: &Lifecycle, is_json: bool) -> Result<()> {
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "cannot read the cases of {}; `lifecycle init` writes some to start from",
                file.display()
            )
        })?;
        let source = Source { name: file.display().to_string(), path: None, text };
        let cases = match cases::read(&source.text, lifecycle) {
            Ok(cases) => cases,
            Err(found) => return self.wrong(&source, found, is_json),
        };
        if !is_json {
            let warnings = &cases.warnings;
            print_diagnostics(&mut std::io::stderr(), &source.name, &source.text, warnings)?;
        }
        let warnings = cases.warnings.iter().map(|one| (source.name.clone(), one.clone()));
        self.warnings.extend(warnings);
        let outcome = cases::run(&cases, lifecycle);
        match &mut self.coverage {
            Some(coverage) => coverage.merge(&outcome.coverage),
            None => self.coverage = Some(outcome.coverage),
        }
        self.cases.extend(outcome.cases.into_iter().map(|case| (source.name.clone(), case)));
        Ok(())
    }

    fn failed(&self) -> usize {
        self.cases.iter().filter(|(_, case)| !case.failures.is_empty()).count()
    }

    fn json(&self) -> serde_json::Value {
        let cases: Vec<_> = self
            .cases
            .iter()
            .map(|(file, case)| {
                json!({
                    "file": file,
                    "name": case.name,
                    "line": case.line,
                    "passed": case.failures.is_empty(),
                    "expectations": case.expectations,
                    "failures": case.failures,
                })
            })
            .collect();
        let listed = |found: &[(String, Diagnostic)]| -> Vec<serde_json::Value> {
            found
                .iter()
                .map(|(file, one)| {
                    let mut shown = json!(one);
                    shown["file"] = json!(file);
                    shown
                })
                .collect()
        };
        json!({
            "passed": self.cases.len() - self.failed(),
            "failed": self.failed(),
            "cases": cases,
            "coverage": self.coverage,
            "errors": listed(&self.errors),
            "warnings": listed(&self.warnings),
        })
    }

    fn text(&self, is_colored: bool) -> String {
        let paint = |color: &str, text: &str| match is_colored {
            true => format!("\u{1b}[{color}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        };
        let mut text = String::new();
        for (file, case) in &self.cases {
            if case.failures.is_empty() {
                text.push_str(&format!("{} {}\n", paint("32", "pass"), case.name));
                continue;
            }
            let place = format!("{file}:{}", case.line);
            text.push_str(&format!("{} {} ({place})\n", paint("31", "FAIL"), case.name));
            for failure in &case.failures {
                text.push_str(&failure_text(file, failure, &paint));
            }
        }
        if self.errors.is_empty() {
            let failed = self.failed();
            let all = self.cases.len();
            let verdict = match failed {
                0 => paint("32", &format!("{all} cases as expected")),
                _ => paint("31", &format!("{failed} of {all} cases not as expected")),
            };
            text.push_str(&format!("\n{verdict}.\n"));
        }
        if let Some(coverage) = &self.coverage {
            text.push_str(&coverage_text(coverage));
        }
        text
    }
}

/// What was expected and what was found, as a diff.
fn failure_text(file: &str, failure: &Failure, paint: &impl Fn(&str, &str) -> String) -> String {
    let Failure { line, day, date, what, expected, found, why } = failure;
    let mut text = format!("  day {day} ({date}), {what}, {file}:{line}\n");
    for item in expected.iter().filter(|item| !found.contains(item)) {
        text.push_str(&format!("    {}\n", paint("32", &format!("- {item}  expected"))));
    }
    for item in found.iter().filter(|item| !expected.contains(item)) {
        text.push_str(&format!("    {}\n", paint("31", &format!("+ {item}  found"))));
    }
    let mut left = found.clone();
    left.sort();
    left.dedup();
    if expected.iter().all(|item| found.contains(item)) && left.len() < found.len() {
        text.push_str(&format!("    found {} of them\n", found.len()));
    }
    for reason in why {
        text.push_str(&format!("      {reason}\n"));
    }
    text
}

fn coverage_text(coverage: &Coverage) -> String {
    let mut text = String::new();
    let Coverage { stages, standards, segments, bands } = coverage;
    for (kind, Covered { fired, never }) in [
        ("stages", stages),
        ("standards", standards),
        ("segments", segments),
        ("risk bands", bands),
    ] {
        let all = fired.len() + never.len();
        if all == 0 {
            continue;
        }
        text.push_str(&format!("{kind:<11} {} of {all} fired", fired.len()));
        if !never.is_empty() {
            text.push_str(&format!("; never: {}", never.join(", ")));
        }
        text.push('\n');
    }
    text
}
