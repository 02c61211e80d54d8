//! `lifecycle eval`: what an expression answers for given values.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use domain::expr::{Expected, Given, Problem, Value, compile};
use domain::journal::value_json;
use domain::lifecycle::{Color, Diagnostic, Severity};
use jiff::civil::Date;
use serde_json::{Value as Json, json};

use crate::clock::LocalClock;

/// Answer an expression for given values
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Answers an expression of the lifecycle file's language, a strict subset of CEL, for values given \
as JSON. A comparison with something missing is unknown, and so is a division by zero; names that are not \
given are errors.",
    after_long_help = "Examples:\n  \
lifecycle eval 'metrics.logins_7d >= 3 && traits.plan == \"team\"' --facts acme.json\n  \
echo '{\"metrics\":{\"used\":8},\"traits\":{\"seats\":10}}' | \
lifecycle eval 'metrics.used / traits.seats' --facts -\n  \
lifecycle eval '1 + 2 == 3' --json\n\n\
The facts are objects by root; each value declares its name with its type, null a name whose value is \
missing, and a text that is a date a date. `today` may be given as a date.\n\n\
With --json, one object: {\"answer\": \"yes\"|\"no\"|\"unknown\"} for a condition and for what is unknown, \
{\"value\": …} for a number, a text or a date, {\"error\": {\"message\", \"line\", \"column\", \"help\"}}.\n\n\
Exit codes: 0 answered (no and unknown are answers), 1 an error, 2 wrong use."
)]
pub struct Args {
    /// The expression
    #[arg(value_name = "EXPRESSION", allow_hyphen_values = true)]
    expression: String,
    /// A JSON file of values; `-` for standard input
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// Answers the expression.
///
/// # Errors
/// When the facts cannot be read.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    let facts = match &args.facts {
        None => json!({}),
        Some(path) => read(path)?,
    };
    let zone = jiff::tz::TimeZone::UTC;
    let today = zone.to_datetime(LocalClock::system().now()).date();
    let (answer, code) = match answer(&args.expression, &facts, today)? {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(problems) => {
            if !args.json {
                for problem in &problems {
                    let diagnostic = diagnostic(&args.expression, problem);
                    let shown = diagnostic.render("expression", &args.expression, Color::Plain);
                    writeln!(err, "{shown}\n")?;
                }
                return Ok(ExitCode::FAILURE);
            }
            (error_json(&args.expression, &problems), ExitCode::FAILURE)
        }
    };
    if args.json {
        writeln!(out, "{answer}")?;
    } else {
        let shown = answer.get("answer").or(answer.get("value"));
        match shown {
            Some(Json::String(text)) => writeln!(out, "{text}")?,
            Some(other) => writeln!(out, "{other}")?,
            None => {}
        }
    }
    Ok(code)
}

fn read(path: &Path) -> Result<Json> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

fn answer(source: &str, facts: &Json, today: Date) -> Result<Result<Json, Vec<Problem>>> {
    let given = Given::from_json(facts, today).map_err(anyhow::Error::msg)?;
    let expr = match compile(source, &given.scope(), Expected::Any) {
        Ok(expr) => expr,
        Err(problems) => return Ok(Err(problems)),
    };
    Ok(Ok(match expr.value(&given) {
        Value::YesNo(true) => json!({ "answer": "yes" }),
        Value::YesNo(false) => json!({ "answer": "no" }),
        Value::Missing => json!({ "answer": "unknown" }),
        value => json!({ "value": value_json(value) }),
    }))
}

fn diagnostic(source: &str, problem: &Problem) -> Diagnostic {
    let at = Diagnostic::new(Severity::Error, source, problem.span.clone(), &*problem.message);
    Diagnostic { label: problem.label.clone(), help: problem.help.clone(), ..at }
}

fn error_json(source: &str, problems: &[Problem]) -> Json {
    let errors: Vec<Json> = problems
        .iter()
        .map(|problem| {
            let Diagnostic { message, line, column, help, .. } = diagnostic(source, problem);
            json!({ "message": message, "line": line, "column": column, "help": help })
        })
        .collect();
    json!({ "error": errors.first(), "errors": errors })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(source: &str, facts: Json) -> Json {
        match answer(source, &facts, Date::constant(2026, 11, 25)).unwrap() {
            Ok(answer) => answer,
            Err(problems) => error_json(source, &problems),
        }
    }

    #[test]
    fn conditions_are_answered_and_others_have_values() {
        let facts = json!({ "traits": { "plan": "team", "gone": null }, "metrics": { "n": 4 } });
        for (source, want) in [
            ("traits.plan == \"team\"", json!({ "answer": "yes" })),
            ("metrics.n < 4", json!({ "answer": "no" })),
            ("traits.gone > 1", json!({ "answer": "unknown" })),
            ("metrics.n * 2", json!({ "value": 8 })),
            ("metrics.n / 0", json!({ "answer": "unknown" })),
        ] {
            assert_eq!(asked(source, facts.clone()), want, "{source}");
        }
    }

    #[test]
    fn an_error_has_its_column() {
        let told = asked("true && metrics.m > 1", json!({ "metrics": { "n": 4 } }));
        assert_eq!(told["error"]["column"], 9);
        assert!(told["error"]["message"].as_str().unwrap().contains("there is no `m`"), "{told}");
        assert_eq!(asked("1 +", json!({}))["error"]["column"], 4);
    }
}
