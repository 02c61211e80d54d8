//! `lifecycle init`: a lifecycle file to start from.
//!
//! Never overwrites a file that it was not told to overwrite.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValue;
use clap::builder::PossibleValuesParser;
use domain::lifecycle::SCHEMA_FILE;
use domain::lifecycle::presets::{PRESETS, preset};

use crate::schema;

/// Write a commented lifecycle file to start from.
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Write a commented lifecycle file to start from.\n\n\
        The file declares what is counted, the stages a customer goes through, what is promised and \
        who is told. It is meant to be read aloud and edited: every part of it carries a comment.\n\n\
        The JSON Schema that its first line names is written beside it, for editors to complete it.",
    after_long_help = "Examples:\n  \
        lifecycle init                                a B2B SaaS lifecycle in lifecycle.yaml, and tests\n  \
        lifecycle init --preset ecommerce             a shop's\n  \
        lifecycle init --list                         what there is to start from\n\n\
        Then edit the file and check it with `lifecycle validate`.\n\n\
        Exit codes: 0 written, 1 not written (as when the file exists), 2 wrong use."
)]
pub struct Args {
    /// The lifecycle to start from.
    #[arg(long, short, default_value = PRESETS[0].name, value_parser = names())]
    pub preset: String,
    /// The file to write.
    #[arg(value_name = "FILE", default_value = "lifecycle.yaml")]
    pub file: PathBuf,
    /// Replace the file if it exists.
    #[arg(long, short)]
    pub force: bool,
    /// List what there is to start from, and write nothing.
    #[arg(long, conflicts_with = "force")]
    pub list: bool,
    /// Answer with one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn names() -> PossibleValuesParser {
    PRESETS.map(|preset| PossibleValue::new(preset.name).help(preset.about)).into()
}

/// Writes the file, or lists the presets.
///
/// # Errors
/// When the file exists and is not to be replaced, or cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> Result<ExitCode> {
    if args.list {
        list(args, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = preset(&args.preset)
        .with_context(|| format!("there is no preset `{}`: see --list", args.preset))?;
    let cases = cases_file(&args.file);
    if cases.exists() && !args.force {
        bail!("{} exists: choose another name, or replace both with --force", cases.display());
    }
    write_file(&args.file, chosen.source, args.force)?;
    write_file(&cases, chosen.cases, args.force)?;
    // The file's first line names it, for editors. It is nobody's work, so it is replaced.
    let schema = args.file.with_file_name(SCHEMA_FILE);
    std::fs::write(&schema, schema::text() + "\n")
        .with_context(|| format!("cannot write {}", schema.display()))?;
    let (file, cases, schema) = (args.file.display(), cases.display(), schema.display());
    if args.json {
        let written = serde_json::json!({
            "file": file.to_string(), "tests": cases.to_string(), "preset": chosen.name,
            "bytes": chosen.source.len(), "schema": schema.to_string(),
        });
        writeln!(out, "{written}")?;
    } else {
        writeln!(out, "Wrote {file}: {} ({}).", chosen.name, chosen.about)?;
        writeln!(out, "Wrote {cases}: cases that test it.")?;
        writeln!(
            out,
            "Edit them, then check with `lifecycle validate {file}` and `lifecycle test --config \
             {file}`."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &Args, out: &mut impl Write) -> Result<()> {
    if args.json {
        let presets: Vec<_> = PRESETS
            .iter()
            .map(|preset| serde_json::json!({ "name": preset.name, "about": preset.about }))
            .collect();
        writeln!(out, "{}", serde_json::json!({ "presets": presets }))?;
        return Ok(());
    }
    for preset in PRESETS {
        writeln!(out, "{:<10}  {}", preset.name, preset.about)?;
    }
    Ok(())
}

/// Where the cases of a lifecycle file lie: `lifecycle.tests.yaml` beside `lifecycle.yaml`.
fn cases_file(file: &Path) -> PathBuf {
    file.with_extension("tests.yaml")
}

fn write_file(path: &Path, source: &str, force: bool) -> Result<()> {
    let file = path.display();
    let mut options = File::options();
    options.write(true);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let opened = options.open(path);
    if let Err(error) = &opened
        && error.kind() == ErrorKind::AlreadyExists
    {
        bail!("{file} exists: choose another name, or replace it with --force");
    }
    let mut opened = opened.with_context(|| format!("cannot write {file}"))?;
    opened.write_all(source.as_bytes()).with_context(|| format!("cannot write {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(file: PathBuf) -> Args {
        Args { preset: PRESETS[0].name.to_owned(), file, force: false, list: false, json: false }
    }

    #[test]
    fn each_preset_is_written_as_it_is_and_loads() {
        let folder = tempfile::tempdir().unwrap();
        for preset in PRESETS {
            let file = folder.path().join(preset.name);
            let mut out = Vec::new();
            run(&Args { preset: preset.name.to_owned(), ..args(file.clone()) }, &mut out).unwrap();
            let written = std::fs::read_to_string(file).unwrap();
            assert_eq!(written, preset.source);
            assert!(domain::lifecycle::load(&written).is_ok());
            assert!(written.contains(&format!("$schema=./{SCHEMA_FILE}")));
            let schema = std::fs::read_to_string(folder.path().join(SCHEMA_FILE)).unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(&schema).is_ok());
            assert!(String::from_utf8(out).unwrap().contains("lifecycle validate"));
            let cases = folder.path().join(format!("{}.tests.yaml", preset.name));
            assert_eq!(std::fs::read_to_string(cases).unwrap(), preset.cases);
        }
    }

    #[test]
    fn a_file_that_exists_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifecycle.yaml");
        std::fs::write(&file, "mine").unwrap();
        let error = run(&args(file.clone()), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        run(&Args { force: true, ..args(file.clone()) }, &mut Vec::new()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), PRESETS[0].source);
    }

    #[test]
    fn the_list_writes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lifecycle.yaml");
        let mut out = Vec::new();
        run(&Args { list: true, json: true, ..args(file.clone()) }, &mut out).unwrap();
        let list: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(list["presets"][1]["name"], "ecommerce");
        assert!(!file.exists());
    }
}
