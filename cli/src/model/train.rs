//! `lifecycle train`: learns who leaves from a table, and proves it.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use risk::metrics::Figures;
use risk::table::is_missing;
use risk::train::{FoldColumn, Rung, Task, Trained, own_folds, train};
use serde_json::{Value as Json, json};

use super::file::{Cells, Header};
use super::{Usage, card, column, learn, names, settle};
use crate::simulate::instant;
use crate::target::TargetArgs;

/// Learn who leaves, from the workspace's history or from a table
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Learn who leaves, and prove it.\n\n\
Without --table it learns from the event log what the lifecycle file asks for, as in\n\n  \
risk: { model: leaving, event: login, horizon: 60d, lead: 7d, leaves: { with: subscription_cancelled } }\n\n\
Snapshots are taken of every customer on days of the past, of what had happened and was known by then; \
windows that are not over teach nothing. It is tried on the last period, learnt from what was known \
before it, and risk is told by it only if it is no worse there than what was learnt before.\n\n\
With --table it learns from others' data. \
A row is a customer, a column what is known of it; the target column says what became of it, as 0 or 1 or \
as two words. The base rate, logistic regression and, with enough positives, an explainable boosting \
machine are cross-validated on the same rows; a step up is taken only when it predicts unseen rows \
better. Columns of text are categories; what is missing stays missing. The figures are of rows the \
model had not seen; the model is then fitted on all rows.",
    after_long_help = "Examples:\n  \
lifecycle train --dry-run                        what would be learnt, and how good it is\n  \
lifecycle train --card card.html                 learn, keep, go by it if it is no worse\n  \
lifecycle train --table customers.csv --target churned --out model.json\n  \
lifecycle train --table customers.csv --target status --positive left --card card.html\n  \
lifecycle train --table telco.csv --target y --folds f0,f1,f2 --categorical Contract,gender --json\n\n\
With --json, one object on standard output:\n  \
{\"kind\": \"ebm|logistic|base_rate\", \"calibration\", \"target\", \"positive\", \"rows\", \"positives\",\n   \
\"mean\": {\"auc\", \"pr_auc\", \"log_loss\", \"brier\", \"ece\", \"lift10\"}, \"pooled\": {the same}, \"ece_floor\",\n   \
\"folds\": [{\"column\", \"fold\", \"rows\", \"positives\", the figures}], \"ladder\": [{\"name\", \"kind\", \"mean\", \"pooled\"}],\n   \
\"artifact_bytes\", \"hash\", \"seed\", \"notes\": […]}\n\
Without --table: {\"model\", \"kind\", \"rung\", \"customers\", \"snapshots\", \"days\", \"left\", \"rhythm\", \"mean\", \"pooled\",\n   \
\"later\": {\"day\", \"rows\", \"left\", \"figures\"}, \"ladder\", \"verdict\", \"watch\", \"promoted\", \"version\", \"champion\",\n   \
\"dry_run\", \"artifact_bytes\", \"hash\", \"notes\"}\n\
`mean` is over the folds; `pooled` is of all out-of-fold predictions of a fold column together. `ece` has \
ten bins of equal count; `ece_floor` is what a perfectly calibrated model would show.\n\n\
Exit codes: 0 done, 1 failed (the file, or nothing to learn from), 2 wrong use."
)]
pub struct Args {
    /// The table: separated by commas, semicolons, tabs or blanks, with names in the first row
    #[arg(long, value_name = "FILE", requires = "target")]
    pub table: Option<PathBuf>,
    /// The column that says what became of a customer
    #[arg(long, value_name = "COL", requires = "table")]
    pub target: Option<String>,
    /// Columns that say which fold of a cross-validation a row is in [default: five folds of its own]
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    pub folds: Vec<String>,
    /// Columns whose numbers are codes of categories
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    pub categorical: Vec<String>,
    /// Columns not to look at, such as what is known only afterwards
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Columns that may only raise the probability as they grow
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    pub rising: Vec<String>,
    /// Columns that may only lower the probability as they grow
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    pub falling: Vec<String>,
    /// The word of the target that counts [default: 1, or the rarer one]
    #[arg(long, value_name = "WORD")]
    pub positive: Option<String>,
    /// Where to write the model
    #[arg(long, value_name = "MODEL.json")]
    pub out: Option<PathBuf>,
    /// Where to write the model card, a page with plots of calibration and lift
    #[arg(long, value_name = "CARD.html")]
    pub card: Option<PathBuf>,
    /// Another number draws other folds and bags
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Learn, show and keep nothing
    #[arg(long, conflicts_with = "table")]
    pub dry_run: bool,
    /// Learn what was known by this instant [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant, conflicts_with = "table")]
    pub at: Option<Timestamp>,
    /// Make this lifecycle file the active one first
    #[arg(long, value_name = "FILE", conflicts_with = "table")]
    pub config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The workspace whose history is learnt from
    #[command(flatten)]
    pub workspace: TargetArgs,
}

/// Trains, and prints the model card.
///
/// # Errors
/// When the table cannot be read, there is nothing to learn from, or the model cannot be written.
pub async fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    let done = match (&args.table, &args.target) {
        (Some(table), Some(target)) => train_table(args, table, target, out),
        _ => learn::run(args, out).await,
    };
    settle(done, "train", err)
}

fn train_table(args: &Args, file: &Path, name: &str, out: &mut impl Write) -> Result<ExitCode> {
    let cells = Cells::read(file, Header::Needed)?;
    let named = [&args.folds, &args.categorical, &args.ignore, &args.rising, &args.falling];
    let flags = ["--folds", "--categorical", "--ignore", "--rising", "--falling"];
    for (flag, named) in flags.iter().zip(named) {
        for name in names(named) {
            column(&cells, flag, &name)?;
        }
    }
    let target = column(&cells, "--target", name)?;
    if names(&args.folds).iter().any(|fold| fold == name) {
        return Err(Usage("--folds names the target column".to_owned()).into());
    }
    let mut notes = Vec::new();
    let labels = Labels::of(&cells.column(target), name, args, &mut notes)?;
    let folds = fold_columns(&cells, args, &labels)?;
    let mut table = cells.table(&names(&args.categorical));
    notes.splice(0..0, std::mem::take(&mut table.notes));
    let table = labels.keep(table);
    let mut except = vec![name];
    except.extend(args.folds.iter().chain(&args.ignore).map(|name| name.trim()));
    let rising = names(&args.rising).into_iter().map(|name| (name, risk::ebm::Monotone::Rising));
    let falling = names(&args.falling).into_iter().map(|name| (name, risk::ebm::Monotone::Falling));
    let monotone: Vec<_> = rising.chain(falling).collect();
    let task = Task {
        table: &table,
        labels: &labels.labels,
        target: name,
        positive: &labels.positive,
        except: &except,
        folds: &folds,
        monotone: &monotone,
        context: &[],
        few: &[],
        seed: args.seed,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let bar = progress_bar();
    let mut trained = train(&task, &|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })
    .with_context(|| format!("cannot learn {name} from {}", file.display()))?;
    bar.finish_and_clear();
    trained.notes.splice(0..0, notes);
    save(args, &trained)?;
    if args.json {
        writeln!(out, "{}", answer(&trained))?;
    } else {
        card::write(&trained, out)?;
        match &args.out {
            Some(file) => writeln!(out, "\nThe model is in {}.", file.display())?,
            None => writeln!(out, "\nThe model was not kept: --out MODEL.json keeps it.")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = "{msg} {bar:30} {pos}/{len} {eta}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style).with_message("training")
}

fn save(args: &Args, trained: &Trained) -> Result<()> {
    if let Some(file) = &args.out {
        std::fs::write(file, trained.model.to_json())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = &args.card {
        std::fs::write(file, card::page(trained))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The labels of the rows that have one.
struct Labels {
    rows: Vec<usize>,
    labels: Vec<bool>,
    positive: String,
    all: usize,
}

impl Labels {
    fn of(cells: &[&str], target: &str, args: &Args, notes: &mut Vec<String>) -> Result<Labels> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rows = Vec::with_capacity(cells.len());
        for (row, cell) in cells.iter().enumerate() {
            if !is_missing(cell) {
                *counts.entry(word(cell)).or_default() += 1;
                rows.push(row);
            }
        }
        if rows.len() < cells.len() {
            let without = cells.len() - rows.len();
            notes.push(format!("{without} rows have no {target} and are left out"));
        }
        let positive = match &args.positive {
            Some(asked) if counts.contains_key(word(asked)) => word(asked).to_owned(),
            Some(asked) => {
                let message =
                    format!("--positive {asked}: no row has that {target}; {}", told(&counts));
                return Err(Usage(message).into());
            }
            None => positive_of(&counts, target)?,
        };
        if counts.len() < 2 {
            bail!("every row has the same {target}, `{positive}`: there is nothing to tell apart");
        }
        if counts.len() > 2 {
            notes.push(format!("every {target} but `{positive}` counts as negative"));
        }
        let labels = rows.iter().map(|&row| word(cells[row]) == positive).collect();
        Ok(Labels { rows, labels, positive, all: cells.len() })
    }

    /// The rows of a table that have a label.
    fn keep(&self, mut table: risk::table::Table) -> risk::table::Table {
        if self.rows.len() < self.all {
            for column in &mut table.columns {
                column.keep(&self.rows);
            }
            table.rows = self.rows.len();
        }
        table
    }
}

/// A word of the target; 0 and 1 are themselves however they are written.
fn word(cell: &str) -> &str {
    let cell = cell.trim();
    match risk::table::number(cell) {
        Some(0.0) => "0",
        Some(1.0) => "1",
        _ => cell,
    }
}

fn told(counts: &BTreeMap<&str, usize>) -> String {
    let mut each: Vec<String> =
        counts.iter().take(6).map(|(word, rows)| format!("`{}` in {rows}", short(word))).collect();
    if counts.len() > 6 {
        each.push(format!("and {} more", counts.len() - 6));
    }
    format!("there are {}", each.join(", "))
}

fn short(word: &str) -> String {
    let mut text: String = word.chars().take(30).collect();
    if text.len() < word.len() {
        text.push('…');
    }
    text
}

fn positive_of(counts: &BTreeMap<&str, usize>, target: &str) -> Result<String> {
    let words: Vec<(&str, usize)> = counts.iter().map(|(word, rows)| (*word, *rows)).collect();
    Ok(match words[..] {
        [] => bail!("no row has a {target}"),
        [(only, _)] | [("0", _), (only @ "1", _)] => only.to_owned(),
        // The rarer one; of equally rare ones the later in the alphabet, as `yes` is.
        [(first, rows), (_, others)] if rows < others => first.to_owned(),
        [_, (second, _)] => second.to_owned(),
        _ => bail!(
            "{target} has {} different values where 0 and 1, or two words, are needed ({}): \
             --positive WORD says which counts",
            words.len(),
            told(counts)
        ),
    })
}

fn fold_columns(cells: &Cells, args: &Args, labels: &Labels) -> Result<Vec<FoldColumn>> {
    let asked = names(&args.folds);
    if asked.is_empty() {
        let positives = labels.labels.iter().filter(|label| **label).count();
        if positives == 0 || positives == labels.labels.len() {
            return Ok(Vec::new());
        }
        return Ok(vec![own_folds(&labels.labels, 5, args.seed)]);
    }
    let mut columns = Vec::with_capacity(asked.len());
    for name in asked {
        let place = column(cells, "--folds", &name)?;
        let column = cells.column(place);
        let column: Vec<&str> = labels.rows.iter().map(|&row| column[row].trim()).collect();
        if let Some(row) = column.iter().position(|cell| is_missing(cell)) {
            bail!("the fold column {name} is empty in row {}", labels.rows[row] + 1);
        }
        let mut words: Vec<&str> = column.clone();
        words.sort_by(|a, b| {
            let number = |word: &str| risk::table::number(word).unwrap_or(f64::INFINITY);
            number(a).total_cmp(&number(b)).then(a.cmp(b))
        });
        words.dedup();
        let places: BTreeMap<&str, usize> =
            words.iter().enumerate().map(|(place, word)| (*word, place)).collect();
        columns.push(FoldColumn {
            name,
            names: words.iter().map(|word| (*word).to_owned()).collect(),
            folds: column.iter().map(|cell| places[cell]).collect(),
        });
    }
    Ok(columns)
}

fn merged(mut object: Json, figures: &Figures) -> Json {
    if let (Some(object), Json::Object(figures)) = (object.as_object_mut(), json!(figures)) {
        object.extend(figures);
    }
    object
}

fn answer(trained: &Trained) -> Json {
    let rung = &trained.rungs[trained.chosen];
    let model = &trained.model;
    let folds: Vec<Json> = rung
        .folds
        .iter()
        .map(|fold| {
            let object = json!({
                "column": fold.column,
                "fold": fold.fold,
                "rows": fold.rows,
                "positives": fold.positives,
            });
            merged(object, &fold.figures)
        })
        .collect();
    json!({
        "kind": model.kind,
        "calibration": rung.calibration,
        "target": model.target,
        "positive": model.positive,
        "rows": model.rows,
        "positives": model.positives,
        "mean": rung.mean,
        "pooled": rung.pooled,
        "ece_floor": rung.floor,
        "folds": folds,
        "ladder": trained.rungs.iter().map(step).collect::<Vec<_>>(),
        "features": model.features.len(),
        "artifact_bytes": model.to_json().len(),
        "hash": model.hash,
        "seed": model.seed,
        "notes": trained.notes,
    })
}

/// A rung of the ladder as JSON.
pub(super) fn step(rung: &Rung) -> Json {
    json!({
        "name": rung.name,
        "kind": rung.kind,
        "calibration": rung.calibration,
        "mean": rung.mean,
        "pooled": rung.pooled,
    })
}
