//! `lifecycle score`: what a model says of every row of a table, and why.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use risk::band::band_of;
use risk::drift::drift;
use risk::metrics::Figures;
use risk::reason::{Plain, percent, reasons};
use risk::score::{Score, Scorer, feature_drift};
use risk::table::is_missing;
use serde_json::{Map, Value as Json, json};

use super::file::{Cells, Header};
use super::settle;

/// Score a table by a model
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Score a table by a model that `lifecycle train` wrote.\n\n\
Every row gets a probability, its band and its exact reasons: base and contributions add up to the \
log-odds of the probability. Where the table has the target column, what came true is compared with what \
was said.",
    after_long_help = "Examples:\n  \
lifecycle score --table customers.csv --model model.json\n  \
lifecycle score --table customers.csv --model model.json --json | jq 'select(.band == \"high\")'\n\n\
With --json, one object a row on standard output, in the order of the rows:\n  \
{\"row\" (from 1), \"probability\", \"band\", \"base\", \"contributions\": {feature: log-odds}, \"coverage\": {\"known\", \"low\", \"high\"},\n   \
\"reasons\": [{\"feature\", \"code\", \"value\", \"typical\", \"contribution\", \"odds_factor\", \"what_if\", \"actionable\", \"text\"}]}\n\
`known` is the part of what usually tells rows apart that was not missing; `low` and `high` are what the \
probability could be with it.\n\n\
Exit codes: 0 done, 1 failed (a file), 2 wrong use."
)]
pub struct Args {
    /// The table: separated by commas, semicolons, tabs or blanks, with names in the first row
    #[arg(long, value_name = "FILE")]
    pub table: PathBuf,
    /// The model
    #[arg(long, value_name = "MODEL.json")]
    pub model: PathBuf,
    /// Print one JSON object a row
    #[arg(long)]
    pub json: bool,
}

/// Scores the rows.
///
/// # Errors
/// When the table or the model cannot be read, or have nothing in common.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    let done = score_table(args, out, err);
    settle(done, "score", err)
}

fn read_model(file: &Path) -> Result<Scorer> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the model {}", file.display()))?;
    Scorer::from_json(&text).with_context(|| format!("{} is not to be used", file.display()))
}

fn score_table(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    let scorer = read_model(&args.model)?;
    let model = scorer.model();
    let file = Cells::read(&args.table, Header::Needed)?;
    // A column is words here where it was words in training.
    let is_words = |name: &&String| {
        model.features.iter().any(|feature| {
            feature.name == **name && matches!(feature.axis, risk::feature::Axis::Words(_))
        })
    };
    let words: Vec<String> = file.names.iter().filter(is_words).cloned().collect();
    let table = file.table(&words);
    let (cells, absent) = scorer.cells(&table);
    if absent.len() == model.features.len() && !absent.is_empty() {
        bail!(
            "{} has no column that the model looks at: it looks at {}",
            args.table.display(),
            absent.iter().take(10).cloned().collect::<Vec<_>>().join(", ")
        );
    }
    if !model.is_as_trained() {
        writeln!(err, "note: the model was changed after it was trained")?;
    }
    if !absent.is_empty() {
        writeln!(err, "note: taken as missing, because not in the table: {}", absent.join(", "))?;
    }
    let mut scores = Vec::with_capacity(table.rows);
    let mut lines = BufWriter::new(&mut *out);
    let phrases = Plain { event: format!("{} being {}", model.target, model.positive) };
    let mut score = Score::default();
    let mut row = vec![0.0; cells.len()];
    for at in 0..table.rows {
        for (cell, column) in row.iter_mut().zip(&cells) {
            *cell = column[at];
        }
        scorer.score(&row, &mut score);
        scores.push(score.probability);
        if args.json {
            writeln!(lines, "{}", line(&scorer, &row, &score, &phrases, at))?;
        }
    }
    lines.flush()?;
    drop(lines);
    if args.json {
        if let Some(line) = compared(&file, &scorer, &scores) {
            writeln!(err, "{line}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    summary(&file, &scorer, &cells, &scores, &phrases, out)?;
    Ok(ExitCode::SUCCESS)
}

fn line(scorer: &Scorer, row: &[f64], score: &Score, phrases: &Plain, at: usize) -> Json {
    let model = scorer.model();
    let contributions: Map<String, Json> = model
        .features
        .iter()
        .zip(&score.contributions)
        .map(|(feature, logit)| (feature.name.clone(), json!(logit)))
        .collect();
    let coverage = scorer.coverage(row, score);
    json!({
        "row": at + 1,
        "probability": score.probability,
        "band": model.bands[band_of(&model.bands, score.probability)].name,
        "base": scorer.base(),
        "contributions": contributions,
        "coverage": { "known": coverage.known, "low": coverage.low, "high": coverage.high },
        "reasons": reasons(scorer, row, score, [3, 2], phrases),
    })
}

/// What was said against what came true, where the table tells.
fn compared(file: &Cells, scorer: &Scorer, scores: &[f64]) -> Option<String> {
    let model = scorer.model();
    let target = file.column(file.place(&model.target)?);
    let known: Vec<usize> = (0..target.len()).filter(|&row| !is_missing(target[row])).collect();
    let same = |cell: &str| {
        let cell = cell.trim();
        let number = risk::table::number(cell);
        cell == model.positive
            || (number.is_some() && number == risk::table::number(&model.positive))
    };
    let p: Vec<f64> = known.iter().map(|&row| scores[row]).collect();
    let y: Vec<bool> = known.iter().map(|&row| same(target[row])).collect();
    let figures = Figures::of(&p, &y);
    let large = risk::drift::in_the_large(&p, &y)?;
    let auc =
        figures.auc.map_or_else(|| "no AUC (one class)".to_owned(), |a| format!("AUC {a:.4}"));
    Some(format!(
        "Against {} in {} rows: {auc}, log-loss {:.4}, Brier {:.4}, calibration error {:.4}; predicted {}, \
         observed {} ({:+.1} standard errors).",
        model.target,
        known.len(),
        figures.log_loss,
        figures.brier,
        figures.ece,
        percent(large.predicted),
        percent(large.observed),
        large.deviates
    ))
}

fn summary(
    file: &Cells,
    scorer: &Scorer,
    cells: &[Vec<f64>],
    scores: &[f64],
    phrases: &Plain,
    out: &mut impl Write,
) -> Result<()> {
    let model = scorer.model();
    writeln!(out, "{} rows scored for {} being {}.", scores.len(), model.target, model.positive)?;
    for (place, band) in model.bands.iter().enumerate() {
        let within = scores.iter().filter(|p| band_of(&model.bands, **p) == place).count();
        writeln!(out, "  {:10} from {:>5.1} %: {within}", band.name, band.from * 100.0)?;
    }
    if let Some(line) = compared(file, scorer, scores) {
        writeln!(out, "{line}")?;
    }
    let since = drift(&model.scores.rows, &model.scores.count(scores));
    writeln!(
        out,
        "Drift of the scores: {:.3}{} (chance alone stays below {:.3}).",
        since.psi,
        if since.is_drift { ", other than in training" } else { "" },
        since.by_chance
    )?;
    for (name, moved) in feature_drift(scorer, cells).iter().filter(|(_, d)| d.is_drift).take(5) {
        writeln!(out, "  {name} moved: {:.3}", moved.psi)?;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    writeln!(out, "\nThe highest:")?;
    let mut score = Score::default();
    for at in order.into_iter().take(5) {
        let row: Vec<f64> = cells.iter().map(|column| column[at]).collect();
        scorer.score(&row, &mut score);
        writeln!(out, "  row {}: {}", at + 1, percent(score.probability))?;
        for reason in reasons(scorer, &row, &score, [3, 0], phrases) {
            writeln!(out, "    {}", reason.text)?;
        }
    }
    Ok(())
}
