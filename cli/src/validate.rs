//! `lifecycle validate`: is a lifecycle file right, and if not, where and why.
//!
//! Needs no network: the files are all it reads, and the local data where that is asked for.

mod data;

use std::io::{IsTerminal as _, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use domain::lifecycle::{Color, Diagnostic, Lifecycle, Severity, Subject, Survey, examine, load};
use sha2::{Digest as _, Sha256};

use crate::clock::LocalClock;
use crate::schema;

/// Check a lifecycle file.
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Check lifecycle files.\n\n\
        Every name, type, condition and reference is checked, and everything that is wrong is shown \
        with its line, its column and what to do about it. Conditions are asked about made-up \
        customers, which finds those that nobody can meet and stages that two rules claim at once. \
        Nothing is changed and nothing but the files is read, so it fits an editor or a pull request \
        check. With --data the company's own customers are asked as well: which stages of one priority \
        claim the same of them, and what can be told of none.",
    after_long_help = "Examples:\n  \
        lifecycle validate\n  \
        lifecycle validate staging.yaml production.yaml\n  \
        git show main:lifecycle.yaml | lifecycle validate -\n  \
        lifecycle validate --json | jq '.errors[] | \"\\(.line): \\(.message)\"'\n  \
        lifecycle validate lifecycle.yaml --data\n  \
        lifecycle validate --schema > lifecycle.schema.json\n\n\
        With --json, one object on standard output:\n  \
        {\"valid\", \"file\", \"hash\", \"errors\": [{\"severity\", \"code\", \"message\", \"line\", \"column\", \
        \"end_line\", \"end_column\", \"label\", \"help\"}], \"warnings\": […], \"notes\": […], \"stages\": [names]}; \
        for several files {\"valid\", \"files\": [those objects]}\n\n\
        Exit codes: 0 valid (warnings or not), 1 not valid or not readable, 2 wrong use."
)]
pub struct Args {
    /// The lifecycle files; `-` for standard input.
    #[arg(value_name = "FILE", default_value = "lifecycle.yaml")]
    pub files: Vec<PathBuf>,
    /// Answer with one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Show what is worth knowing, too: what missing facts do to each condition.
    #[arg(long)]
    pub notes: bool,
    /// Ask the customers of the local data, too, in this folder.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".lifecycle")]
    pub data: Option<PathBuf>,
    /// Warnings fail as errors do.
    #[arg(long)]
    pub strict: bool,
    /// Print the JSON Schema of the file, and check nothing.
    #[arg(long, conflicts_with_all = ["json", "notes", "strict", "data", "files"])]
    pub schema: bool,
}

/// Checks the files: what is wrong goes to `err`, a line that sums each up or the JSON to `out`.
///
/// # Errors
/// When a file or the data cannot be read.
pub async fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    if args.schema {
        return schema::run(out);
    }
    let color = if std::io::stderr().is_terminal() { Color::Terminal } else { Color::Plain };
    let mut checks = Vec::new();
    for path in &args.files {
        checks.push(Check::of(path)?);
    }
    if let Some(data) = &args.data {
        for check in &mut checks {
            check.ask_customers_of(data).await?;
        }
    }
    answer(&checks, args, color, out, err)
}

fn answer(
    checks: &[Check],
    args: &Args,
    color: Color,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<ExitCode> {
    let is_good = checks.iter().all(|check| check.is_good(args));
    if args.json {
        let mut answers: Vec<_> = checks.iter().map(Check::json).collect();
        let answer = match answers.len() {
            1 => answers.remove(0),
            _ => serde_json::json!({ "valid": is_good, "files": answers }),
        };
        writeln!(out, "{answer}")?;
    } else {
        for check in checks {
            check.print(args, color, out, err)?;
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One file with everything that is said about it.
struct Check {
    file: String,
    source: String,
    lifecycle: Option<Lifecycle>,
    found: Vec<Diagnostic>,
}

impl Check {
    fn of(path: &Path) -> Result<Check> {
        let (file, bytes) = read(path)?;
        let source = String::from_utf8(bytes).with_context(|| format!("{file} is not UTF-8"))?;
        let (lifecycle, found) = match load(&source) {
            Ok(lifecycle) => {
                let mut found = lifecycle.warnings.clone();
                found.extend(examine(&source, &lifecycle));
                found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
                (Some(lifecycle), found)
            }
            Err(found) => (None, found),
        };
        Ok(Check { file, source, lifecycle, found })
    }

    /// Adds what the customers of a data folder answer.
    async fn ask_customers_of(&mut self, data: &Path) -> Result<()> {
        let Some(lifecycle) = self.lifecycle.take() else { return Ok(()) };
        let customers = data::customers_of(data).await?;
        let (source, now) = (self.source.clone(), LocalClock::system().now());
        let (lifecycle, found) = tokio::task::spawn_blocking(move || {
            let mut survey = Survey::new(&source, &lifecycle);
            data::ask_all(&customers.open()?, &mut survey, &lifecycle, now)?;
            let found = survey.found(&source, &lifecycle);
            Ok::<_, anyhow::Error>((lifecycle, found))
        })
        .await
        .context("the customers could not be asked")??;
        self.lifecycle = Some(lifecycle);
        self.found.extend(found);
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        Ok(())
    }

    fn of_severity(&self, severity: Severity) -> Vec<&Diagnostic> {
        self.found.iter().filter(|diagnostic| diagnostic.severity == severity).collect()
    }

    fn is_good(&self, args: &Args) -> bool {
        let is_doubtful = args.strict && !self.of_severity(Severity::Warning).is_empty();
        self.lifecycle.is_some() && !is_doubtful
    }

    fn json(&self) -> serde_json::Value {
        let stages = self.lifecycle.iter().flat_map(|lifecycle| &lifecycle.stages);
        serde_json::json!({
            "valid": self.lifecycle.is_some(),
            "file": self.file,
            "hash": domain::hex(&Sha256::digest(self.source.as_bytes())),
            "errors": self.of_severity(Severity::Error),
            "warnings": self.of_severity(Severity::Warning),
            "notes": self.of_severity(Severity::Note),
            "stages": stages.map(|stage| stage.name.as_str()).collect::<Vec<_>>(),
        })
    }

    fn print(
        &self,
        args: &Args,
        color: Color,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> Result<()> {
        let is_shown = |found: &&Diagnostic| args.notes || found.severity != Severity::Note;
        for diagnostic in self.found.iter().filter(is_shown) {
            writeln!(err, "{}\n", diagnostic.render(&self.file, &self.source, color))?;
        }
        match &self.lifecycle {
            Some(lifecycle) => writeln!(out, "{}", self.summary(lifecycle, args))?,
            None => writeln!(err, "{} is not valid: {}.", self.file, self.tally())?,
        }
        Ok(())
    }

    /// One line on what a valid file declares.
    fn summary(&self, lifecycle: &Lifecycle, args: &Args) -> String {
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
        let mut line = format!("{} is valid: {}; {subject}", self.file, parts.join(", "));
        let said = self.tally();
        if !said.is_empty() {
            line.push_str(&format!(" ({said})"));
        }
        if !args.notes && !self.of_severity(Severity::Note).is_empty() {
            line.push_str("; --notes shows the notes");
        }
        line.push('.');
        line
    }

    fn tally(&self) -> String {
        let nouns =
            [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
        let parts = nouns.map(|(severity, noun)| match self.of_severity(severity).len() {
            0 => String::new(),
            number => count(number, noun),
        });
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(", ")
    }
}

/// The file's name for people, and its bytes.
fn read(path: &Path) -> Result<(String, Vec<u8>)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(("standard input".to_owned(), bytes));
    }
    let file = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| match path.exists() {
        true => format!("cannot read {file}"),
        false => format!("there is no {file}: `lifecycle init` writes one to start from"),
    })?;
    Ok((file, bytes))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Target, TargetArgs};
    use domain::lifecycle::presets::PRESETS;

    struct Ran {
        is_success: bool,
        out: String,
        err: String,
    }

    fn args(files: Vec<PathBuf>, json: bool) -> Args {
        Args { files, json, notes: false, strict: false, data: None, schema: false }
    }

    fn ran(args: &Args) -> Ran {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let checks: Vec<Check> =
            args.files.iter().map(|file| Check::of(file)).collect::<Result<_>>().unwrap();
        let code = answer(&checks, args, Color::Plain, &mut out, &mut err).unwrap();
        Ran {
            is_success: format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS),
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }

    fn check(source: &str, json: bool) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifecycle.yaml");
        std::fs::write(&file, source).unwrap();
        ran(&args(vec![file], json))
    }

    #[test]
    fn a_valid_file_is_one_friendly_line() {
        for preset in PRESETS {
            let ran = check(preset.source, false);
            assert!(ran.is_success, "{}", ran.err);
            assert!(ran.out.contains("lifecycle.yaml is valid: "), "{}", ran.out);
            assert_eq!(ran.out.lines().count(), 1);
            assert_eq!(ran.err, "", "nothing is doubtful about it");
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
        assert!(!good["notes"].as_array().unwrap().is_empty());

        let bad: serde_json::Value =
            serde_json::from_str(&check("version: 1\nstags: {}\n", true).out).unwrap();
        assert_eq!(bad["valid"], false);
        let error = &bad["errors"].as_array().unwrap().iter().find(|e| e["line"] == 2).unwrap();
        assert_eq!((&error["severity"], &error["code"]), (&"error".into(), &"yaml".into()));
        assert_eq!((&error["column"], &error["end_column"]), (&1.into(), &6.into()));
        assert_eq!(bad["stages"], serde_json::json!([]));
    }

    #[test]
    fn several_files_are_checked_and_one_that_is_wrong_fails_all() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good.yaml"), folder.path().join("bad.yaml"));
        std::fs::write(&good, PRESETS[0].source).unwrap();
        std::fs::write(&bad, "version: 2\n").unwrap();
        let both = ran(&args(vec![good.clone(), bad], true));
        assert!(!both.is_success);
        let answer: serde_json::Value = serde_json::from_str(&both.out).unwrap();
        assert_eq!((&answer["valid"], &answer["files"][0]["valid"]), (&false.into(), &true.into()));
        assert!(ran(&args(vec![good.clone(), good], false)).is_success);
    }

    #[test]
    fn warnings_fail_where_they_are_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifecycle.yaml");
        let source = "version: 1\nmetrics: { idle: { days_since: login } }\n\
            stages: { a: { enter: { when: metrics.idle > 5 && metrics.idle < 3 } } }\n";
        std::fs::write(&file, source).unwrap();
        let lenient = ran(&args(vec![file.clone()], false));
        assert!(
            lenient.is_success && lenient.err.contains("no customer can meet"),
            "{}",
            lenient.err
        );
        assert!(!ran(&Args { strict: true, ..args(vec![file], false) }).is_success);
    }

    #[test]
    fn a_file_that_is_not_there_is_said_with_what_to_do() {
        let error = Check::of(Path::new("no/such.yaml")).err().unwrap();
        assert!(error.to_string().contains("lifecycle init"), "{error}");
    }

    #[tokio::test]
    async fn the_companys_own_customers_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("lifecycle.yaml"), folder.path().join("data"));
        let source = "version: 1
subject: user
metrics: { logins: { count: login } }
stages:
  one: { enter: { when: metrics.logins > 0, priority: 5 } }
  other: { enter: { when: metrics.logins > 1, priority: 5 } }
";
        std::fs::write(&file, source).unwrap();
        let asks = Args { data: Some(data.clone()), ..args(vec![file.clone()], true) };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let error = run(&asks, &mut out, &mut err).await.unwrap_err();
        assert!(error.to_string().contains("lifecycle import"), "{error}");

        let target = Target::open(&TargetArgs { data, aws: false }).await.unwrap();
        let (lifecycle, now) = (load(source).unwrap(), LocalClock::system().now());
        for (user, logins) in [("ada", 2), ("bob", 1)] {
            let events = (0..logins).map(|nth| {
                let body = serde_json::json!({ "type": "track", "event": "login", "userId": user });
                let serde_json::Value::Object(body) = body else { unreachable!() };
                domain::event::Event::from_body(format!("{user}-{nth}"), now, now, body).unwrap()
            });
            let key = platform::CustomerKey::subject(user);
            let events: Vec<_> = events.collect();
            target.store.commit(&key, &events, &lifecycle, now).await.unwrap();
        }
        drop(target);
        run(&asks, &mut out, &mut err).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let ties = answer["warnings"].as_array().unwrap();
        let tie = ties.iter().find(|warning| warning["code"] == "tie_in_data").unwrap();
        assert_eq!(
            tie["message"],
            "1 of 2 customers meet both `one` and `other`, which have the same priority"
        );
        assert!(tie["help"].as_str().unwrap().starts_with("ada: "), "{tie}");
    }

    #[tokio::test]
    async fn an_account_is_asked_with_what_the_accounts_below_it_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("lifecycle.yaml"), folder.path().join("data"));
        let source = "version: 1
subject: account
traits: { parent: account? }
metrics: { logins: { count: login, roll_up: true } }
stages:
  one: { enter: { when: metrics.logins >= 1, priority: 5 } }
  other: { enter: { when: metrics.logins >= 3, priority: 5 } }
";
        std::fs::write(&file, source).unwrap();
        let target = TargetArgs { data: data.clone(), aws: false };
        let target = Target::open(&target).await.unwrap();
        let (lifecycle, now) = (load(source).unwrap(), LocalClock::system().now());
        for (account, traits) in [("holding", "{}"), ("branch", r#"{"parent": "holding"}"#)] {
            let traits: serde_json::Value = serde_json::from_str(traits).unwrap();
            let group = serde_json::json!({
                "type": "group", "userId": "ada", "groupId": account, "traits": traits,
            });
            let login = serde_json::json!({ "type": "track", "event": "login", "userId": "ada" });
            let bodies = [group, login.clone(), login];
            let events = bodies.into_iter().enumerate().map(|(nth, body)| {
                let serde_json::Value::Object(body) = body else { unreachable!() };
                let id = format!("{account}-{nth}");
                domain::event::Event::from_body(id, now, now, body).unwrap()
            });
            let (key, events) =
                (platform::CustomerKey::subject(account), events.collect::<Vec<_>>());
            target.store.commit(&key, &events, &lifecycle, now).await.unwrap();
        }
        drop(target);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        run(&Args { data: Some(data), ..args(vec![file], true) }, &mut out, &mut err)
            .await
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let ties = answer["warnings"].as_array().unwrap();
        let tie = ties.iter().find(|warning| warning["code"] == "tie_in_data").unwrap();
        assert!(tie["message"].as_str().unwrap().starts_with("1 of 2 customers"), "{tie}");
        assert!(tie["help"].as_str().unwrap().starts_with("holding: "), "{tie}");
    }
}
