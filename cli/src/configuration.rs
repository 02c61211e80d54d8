//! Which lifecycle file a command goes by.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use domain::lifecycle::{Color, Diagnostic, Lifecycle, load, presets};
use jiff::Timestamp;
use platform::Store;

/// The file that `lifecycle init` writes and that commands look for in the current folder.
pub const FILE_NAME: &str = "lifecycle.yaml";

/// A lifecycle file and where it is from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path, or the name of the preset.
    pub name: String,
    /// Where it can be read again, when it is a file.
    pub path: Option<PathBuf>,
    /// The YAML.
    pub text: String,
}

impl Source {
    /// A file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(path: &Path) -> Result<Source> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the lifecycle file {}", path.display()))?;
        Ok(Source { name: path.display().to_string(), path: Some(path.to_owned()), text })
    }

    /// A preset.
    ///
    /// # Panics
    /// Never for a name of [`presets::PRESETS`].
    #[must_use]
    pub fn preset(name: &str) -> Source {
        let preset = presets::preset(name).expect("a preset of this name is compiled in");
        Source {
            name: format!("the preset {}", preset.name),
            path: None,
            text: preset.source.to_owned(),
        }
    }

    /// The file that is given, or `lifecycle.yaml` of the current folder where there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn given_or_found(given: Option<&Path>) -> Result<Option<Source>> {
        match given {
            Some(path) => Source::file(path).map(Some),
            None if Path::new(FILE_NAME).is_file() => Source::file(Path::new(FILE_NAME)).map(Some),
            None => Ok(None),
        }
    }
}

/// Prints what is wrong with a file, as a compiler does.
///
/// # Errors
/// When `out` cannot be written.
pub fn print_diagnostics(
    out: &mut dyn Write,
    name: &str,
    source: &str,
    found: &[Diagnostic],
) -> std::io::Result<()> {
    let color = if std::io::stderr().is_terminal() { Color::Terminal } else { Color::Plain };
    for diagnostic in found {
        writeln!(out, "{}\n", diagnostic.render(name, source, color))?;
    }
    Ok(())
}

/// A lifecycle file that cannot be used; what is wrong with it has been printed.
#[derive(Debug, thiserror::Error)]
#[error("{name} has {errors} error{}", if *errors == 1 { "" } else { "s" })]
pub struct InvalidFile {
    /// The file.
    pub name: String,
    /// How many.
    pub errors: usize,
}

/// The lifecycle of a workspace: the given file made active, else the one that is active, else
/// the file of the current folder or the preset `fallback` made active.
///
/// # Errors
/// [`InvalidFile`] after printing what is wrong; others when the tables cannot be used.
pub async fn activate(
    store: &Store,
    given: Option<&Path>,
    fallback: &str,
    now: Timestamp,
) -> Result<Lifecycle> {
    let source = match given {
        Some(path) => Source::file(path)?,
        None => match store.configuration().await? {
            Some(active) => {
                Source { name: "the active lifecycle file".into(), path: None, text: active.source }
            }
            None => Source::given_or_found(None)?.unwrap_or_else(|| Source::preset(fallback)),
        },
    };
    let lifecycle = load(&source.text).map_err(|found| {
        let _ = print_diagnostics(&mut std::io::stderr(), &source.name, &source.text, &found);
        InvalidFile { name: source.name.clone(), errors: found.len() }
    })?;
    store.apply_configuration(&source.text, &lifecycle.hash, now).await?;
    Ok(lifecycle)
}
