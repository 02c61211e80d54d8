//! Training: the ladder from the base rate over ridge regression to the boosting machine.
//!
//! Every rung is cross-validated on the same folds, and a step up is taken only when it lowers the
//! out-of-fold log-loss. No class weights and no resampling: they would break calibration.
//!
//! Deterministic: the same table, folds, settings and seed give the same model, byte by byte, however
//! many threads work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::band::by_base_rate;
use crate::calibrate::{self, Fitted as Fitting};
use crate::drift::Shares;
use crate::ebm::{self, Monotone, alike};
use crate::feature::{Axis, Feature, features, rounded};
use crate::logistic::{self, Part};
use crate::metrics::{Bin, Figures, calibration, ece_floor};
use crate::model::{FORMAT, Kind, MOST_BYTES, Model, machine_parts, regression_parts};
use crate::random::Random;
use crate::score::{Scorer, probabilities};
use crate::special::logit;
use crate::table::Table;

/// From about this many positives a boosting machine is tried: with fewer, regression is better
/// (measured: they meet at 650).
const EBM_POSITIVES: usize = 500;
/// A boosting machine is fitted on at most this many rows, drawn in proportion.
const MOST_ROWS: usize = 50_000;
/// From this many rows on, fewer bags are as good.
const FEWER_BAGS: usize = 20_000;

/// What is to be learnt.
#[derive(Debug, Clone)]
pub struct Task<'a> {
    /// The columns.
    pub table: &'a Table,
    /// The label of each row.
    pub labels: &'a [bool],
    /// The column that was learnt.
    pub target: &'a str,
    /// Its word that counts as positive.
    pub positive: &'a str,
    /// Columns that are not looked at: the target's and those of folds.
    pub except: &'a [&'a str],
    /// Cross-validations.
    pub folds: &'a [FoldColumn],
    /// Columns whose rising number may only raise, or lower, the probability.
    pub monotone: &'a [(String, Monotone)],
    /// Columns that tell who somebody is, which nobody can act upon.
    pub context: &'a [&'a str],
    /// Regressions on a few columns, which are tried before that on all.
    pub few: &'a [Few<'a>],
    /// What chance starts from.
    pub seed: u64,
    /// How many threads work.
    pub threads: usize,
}

/// A regression on a few columns.
#[derive(Debug, Clone, Copy)]
pub struct Few<'a> {
    /// What it is called.
    pub name: &'static str,
    /// The columns; those that are not there are passed over.
    pub columns: &'a [&'a str],
}

/// One cross-validation: the fold of each row.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldColumn {
    /// Its name.
    pub name: String,
    /// What its folds are called.
    pub names: Vec<String>,
    /// One per row.
    pub folds: Vec<usize>,
}

/// Why nothing was learnt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// Too little of either class.
    #[error(
        "{positives} of {rows} rows are positive: at least two of each class are needed to learn \
         and to check what was learnt"
    )]
    Classes {
        /// How many are positive.
        positives: usize,
        /// How many there are.
        rows: usize,
    },
    /// No column is left.
    #[error("no column is left to learn from{}", list(.0))]
    NoFeatures(Vec<String>),
    /// A fold column that cannot be used.
    #[error("the folds of {0}: there must be at least two and at most 100 of them")]
    Folds(String),
}

fn list(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!(": {}", notes.join("; ")) }
}

/// A model and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model, fitted on all rows.
    pub model: Model,
    /// What the rungs of the ladder reached, from the lowest; the chosen one is `chosen`.
    pub rungs: Vec<Rung>,
    /// The place of the rung that was chosen.
    pub chosen: usize,
    /// Sentences on what was noticed.
    pub notes: Vec<String>,
}

/// How good one rung of the ladder is, on rows it never saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    /// What it is, in words.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// How it was calibrated.
    pub calibration: &'static str,
    /// Means over all folds.
    pub mean: Figures,
    /// Of all out-of-fold predictions of a fold column together; means over the columns.
    pub pooled: Figures,
    /// The calibration error that a perfectly calibrated model would show.
    pub floor: f64,
    /// The figures of each fold.
    pub folds: Vec<FoldFigures>,
    /// Out-of-fold calibration of the first column: twenty bins of equal count.
    pub bins: Vec<Bin>,
    /// Share of positives found among the first 5, 10, … 100 % of rows, of the first column.
    pub gains: Vec<f64>,
}

/// The figures of one fold.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldFigures {
    /// The fold column.
    pub column: String,
    /// The fold.
    pub fold: String,
    /// Its rows.
    pub rows: usize,
    /// Its positives.
    pub positives: usize,
    /// Its figures.
    pub figures: Figures,
}

/// Folds of our own: stratified, `count` of them or as many as the rarer class has rows.
#[must_use]
pub fn own_folds(labels: &[bool], count: usize, seed: u64) -> FoldColumn {
    let positives = labels.iter().filter(|label| **label).count();
    let count = count.min(positives).min(labels.len() - positives).max(2);
    let mut folds = vec![0; labels.len()];
    let mut random = Random::new(seed, 0xF01D);
    let mut next = 0;
    for class in [true, false] {
        let mut rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == class).collect();
        random.shuffle(&mut rows);
        for row in rows {
            folds[row] = next % count;
            next += 1;
        }
    }
    let names = (0..count).map(|fold| fold.to_string()).collect();
    FoldColumn { name: "own".to_owned(), names, folds }
}

/// The rungs that are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidate {
    BaseRate,
    /// One of the task's.
    Few(usize),
    Logistic,
    Pairs,
    Triples,
}

impl Candidate {
    fn name(self, task: &Task<'_>) -> &'static str {
        match self {
            Candidate::BaseRate => "base rate",
            Candidate::Few(place) => task.few[place].name,
            Candidate::Logistic => "ridge logistic regression",
            Candidate::Pairs => "explainable boosting machine",
            Candidate::Triples => "explainable boosting machine with triples",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Candidate::BaseRate => Kind::BaseRate,
            Candidate::Few(_) | Candidate::Logistic => Kind::Logistic,
            Candidate::Pairs | Candidate::Triples => Kind::Ebm,
        }
    }
}

/// Cross-validates the rungs of the ladder, chooses one, and fits it on all rows. `progress` is told
/// how many of how many fits are done.
///
/// # Errors
/// When there is too little of either class, no column to learn from, or folds that are none.
pub fn train(
    task: &Task<'_>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Trained, TrainError> {
    let rows = task.labels.len();
    let positives = task.labels.iter().filter(|label| **label).count();
    if positives < 2 || rows - positives < 2 {
        return Err(TrainError::Classes { positives, rows });
    }
    for column in task.folds {
        if !(2..=100).contains(&column.names.len()) {
            return Err(TrainError::Folds(column.name.clone()));
        }
    }
    let all: Vec<usize> = (0..rows).collect();
    let (_, mut notes) = features(task.table, &all, task.except);
    let found = learnable(task, &all);
    if found.is_empty() {
        return Err(TrainError::NoFeatures(notes));
    }
    let mut candidates = vec![Candidate::BaseRate];
    candidates.extend((0..task.few.len()).map(Candidate::Few));
    candidates.push(Candidate::Logistic);
    if positives >= EBM_POSITIVES {
        candidates.extend([Candidate::Pairs, Candidate::Triples]);
    } else {
        notes.push(format!(
            "{positives} positives are too few for a boosting machine, which is tried from \
             {EBM_POSITIVES}"
        ));
    }
    let logits = cross_validate(task, &candidates, progress);
    let judged: Vec<(Rung, Fitting)> = candidates
        .iter()
        .zip(&logits)
        .map(|(candidate, logits)| judge(task, *candidate, logits))
        .collect();
    let mut chosen = 0;
    for place in 1..judged.len() {
        if judged[place].0.pooled.log_loss < judged[chosen].0.pooled.log_loss {
            chosen = place;
        }
    }
    let (model, left_out) = fit_final(task, candidates[chosen], &judged[chosen]);
    if left_out > 0 {
        notes.push(left_out_note(left_out, left_out + model.features.len()));
    }
    let rungs = judged.into_iter().map(|(rung, _)| rung).collect();
    Ok(Trained { model, rungs, chosen, notes })
}

/// What is said of features that a model of its size has no room for.
#[must_use]
pub fn left_out_note(left_out: usize, of: usize) -> String {
    format!(
        "{left_out} of {of} features move the log-odds least and are left out: with all of them the \
         model would be larger than {} KB; the figures are those of all",
        MOST_BYTES / 1024
    )
}

fn learnable(task: &Task<'_>, rows: &[usize]) -> Vec<Feature> {
    features(task.table, rows, task.except).0
}

fn cells_of(features: &[Feature], table: &Table, rows: &[usize]) -> Vec<Vec<f64>> {
    features
        .iter()
        .map(|feature| {
            let cells = table.column(&feature.name).map(|column| feature.axis.cells(column));
            let cells = cells.unwrap_or_default();
            rows.iter().map(|&row| cells[row]).collect()
        })
        .collect()
}

/// A fitted rung.
enum Fitted {
    Constant(f64),
    Regression(logistic::Regression),
    Machine(ebm::Machine),
}

fn fit_candidates(
    task: &Task<'_>,
    features: &[Feature],
    cells: &[Vec<f64>],
    labels: &[bool],
    candidates: &[Candidate],
) -> Vec<Fitted> {
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let rate = logit((positives + 0.5) / (labels.len() as f64 + 1.0));
    let mut machines = None;
    candidates
        .iter()
        .map(|candidate| match candidate {
            Candidate::BaseRate => Fitted::Constant(rate),
            Candidate::Logistic => Fitted::Regression(logistic::fit(features, cells, labels)),
            Candidate::Few(place) => {
                Fitted::Regression(fit_few(task.few[*place].columns, features, cells, labels))
            }
            Candidate::Pairs | Candidate::Triples => {
                let machines =
                    machines.get_or_insert_with(|| fit_machines(task, features, cells, labels));
                Fitted::Machine(match candidate {
                    Candidate::Triples => machines.triples.clone(),
                    _ => machines.pairs.clone(),
                })
            }
        })
        .collect()
}

/// A regression on a few of the features: the parts of the others are nothing.
fn fit_few(
    columns: &[&str],
    features: &[Feature],
    cells: &[Vec<f64>],
    labels: &[bool],
) -> logistic::Regression {
    let is_looked_at = |place: &usize| columns.contains(&features[*place].name.as_str());
    let places: Vec<usize> = (0..features.len()).filter(is_looked_at).collect();
    let some: Vec<Feature> = places.iter().map(|&place| features[place].clone()).collect();
    let their: Vec<Vec<f64>> = places.iter().map(|&place| cells[place].clone()).collect();
    let fitted = logistic::fit(&some, &their, labels);
    let mut parts: Vec<Part> =
        features.iter().map(|feature| Part::Table(vec![0.0; feature.axis.bins()])).collect();
    for (place, part) in places.into_iter().zip(fitted.parts) {
        parts[place] = part;
    }
    logistic::Regression { base: fitted.base, parts }
}

fn fit_machines(
    task: &Task<'_>,
    features: &[Feature],
    cells: &[Vec<f64>],
    labels: &[bool],
) -> ebm::Machines {
    let limit = |feature: &Feature| {
        task.monotone.iter().find(|(name, _)| *name == feature.name).map(|(_, limit)| *limit)
    };
    let monotone: Vec<Option<Monotone>> = features.iter().map(limit).collect();
    let bags = if labels.len() > FEWER_BAGS { 3 } else { 6 };
    let settings = ebm::Settings { bags, seed: task.seed, ..ebm::Settings::default() };
    let mut bins = ebm::bins(features, cells);
    if labels.len() <= MOST_ROWS {
        return ebm::fit(features, &bins, labels, &monotone, &settings);
    }
    let drawn = draw(labels, MOST_ROWS, task.seed);
    for column in &mut bins {
        *column = drawn.iter().map(|&row| column[row]).collect();
    }
    let labels: Vec<bool> = drawn.iter().map(|&row| labels[row]).collect();
    ebm::fit(features, &bins, &labels, &monotone, &settings)
}

/// Some of the rows, as many of either class in proportion, in their own order.
fn draw(labels: &[bool], most: usize, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed, 0xD4A3);
    let mut drawn = Vec::with_capacity(most);
    for class in [false, true] {
        let mut rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == class).collect();
        random.shuffle(&mut rows);
        let share = rows.len() as f64 * most as f64 / labels.len() as f64;
        rows.truncate(share.round() as usize);
        drawn.extend(rows);
    }
    drawn.sort_unstable();
    drawn
}

impl Fitted {
    fn logits(&self, features: &[Feature], cells: &[Vec<f64>], rows: usize) -> Vec<f64> {
        match self {
            Fitted::Constant(logit) => vec![*logit; rows],
            Fitted::Regression(regression) => (0..rows)
                .map(|row| {
                    let each = regression.parts.iter().zip(features).zip(cells);
                    let sum: f64 = each
                        .map(|((part, feature), cells)| part.at(&feature.axis, cells[row]))
                        .sum();
                    regression.base + sum
                })
                .collect(),
            Fitted::Machine(machine) => {
                let bins = ebm::bins(features, cells);
                (0..rows).map(|row| machine.logit(|f| usize::from(bins[f][row]))).collect()
            }
        }
    }
}

/// Out-of-fold logits: by candidate, by fold column, by row.
fn cross_validate(
    task: &Task<'_>,
    candidates: &[Candidate],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Vec<Vec<f64>>> {
    let jobs: Vec<(usize, usize)> = task
        .folds
        .iter()
        .enumerate()
        .flat_map(|(column, folds)| (0..folds.names.len()).map(move |fold| (column, fold)))
        .collect();
    let rows = task.labels.len();
    let logits = Mutex::new(vec![vec![vec![0.0; rows]; task.folds.len()]; candidates.len()]);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(&(column, fold)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let folds = &task.folds[column].folds;
            let of = |is_test: bool| -> Vec<usize> {
                (0..rows).filter(|&row| (folds[row] == fold) == is_test).collect()
            };
            let (learn, test) = (of(false), of(true));
            let features = learnable(task, &learn);
            let cells = cells_of(&features, task.table, &learn);
            let labels: Vec<bool> = learn.iter().map(|&row| task.labels[row]).collect();
            let fitted = fit_candidates(task, &features, &cells, &labels, candidates);
            let cells = cells_of(&features, task.table, &test);
            let found: Vec<Vec<f64>> =
                fitted.iter().map(|one| one.logits(&features, &cells, test.len())).collect();
            let mut logits = logits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (all, found) in logits.iter_mut().zip(found) {
                for (row, logit) in test.iter().zip(found) {
                    all[column][*row] = logit;
                }
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len() + 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..task.threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    logits.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn judge(task: &Task<'_>, candidate: Candidate, logits: &[Vec<f64>]) -> (Rung, Fitting) {
    let columns = logits.iter().zip(task.folds);
    let validations: Vec<(&[f64], &[usize])> = match candidate {
        Candidate::BaseRate => columns.map(|(x, folds)| (&x[..], &folds.folds[..0])).collect(),
        _ => columns.map(|(x, folds)| (&x[..], &folds.folds[..])).collect(),
    };
    let fitting = calibrate::choose(&validations, task.labels);
    (rung(task, candidate, fitting.calibrator.name(), &fitting.probabilities), fitting)
}

fn rung(
    task: &Task<'_>,
    candidate: Candidate,
    calibration_name: &'static str,
    probabilities: &[Vec<f64>],
) -> Rung {
    let labels = task.labels;
    let mut folds = Vec::new();
    for (column, probabilities) in task.folds.iter().zip(probabilities) {
        for (fold, name) in column.names.iter().enumerate() {
            let rows: Vec<usize> =
                (0..labels.len()).filter(|&row| column.folds[row] == fold).collect();
            let p: Vec<f64> = rows.iter().map(|&row| probabilities[row]).collect();
            let y: Vec<bool> = rows.iter().map(|&row| labels[row]).collect();
            folds.push(FoldFigures {
                column: column.name.clone(),
                fold: name.clone(),
                rows: rows.len(),
                positives: y.iter().filter(|label| **label).count(),
                figures: Figures::of(&p, &y),
            });
        }
    }
    let each: Vec<Figures> = folds.iter().map(|fold| fold.figures).collect();
    let pooled: Vec<Figures> = probabilities.iter().map(|p| Figures::of(p, labels)).collect();
    Rung {
        name: candidate.name(task),
        kind: candidate.kind(),
        calibration: calibration_name,
        mean: Figures::mean(&each),
        pooled: Figures::mean(&pooled),
        floor: ece_floor(&probabilities[0], 20, task.seed),
        folds,
        bins: calibration(&probabilities[0], labels, 20),
        gains: gains(&probabilities[0], labels),
    }
}

/// Share of positives found among the first 5, 10, … 100 % by falling probability.
fn gains(probabilities: &[f64], labels: &[bool]) -> Vec<f64> {
    (1..=20)
        .map(|part| {
            let share = f64::from(part) / 20.0;
            crate::metrics::lift(probabilities, labels, share).unwrap_or(0.0) * share
        })
        .collect()
}

/// The model, and how many features it had no room for.
fn fit_final(task: &Task<'_>, candidate: Candidate, judged: &(Rung, Fitting)) -> (Model, usize) {
    let all: Vec<usize> = (0..task.labels.len()).collect();
    let mut features = learnable(task, &all);
    if let Candidate::Few(place) = candidate {
        features.retain(|feature| task.few[place].columns.contains(&feature.name.as_str()));
    }
    for feature in &mut features {
        feature.is_context = task.context.contains(&feature.name.as_str());
    }
    let cells = cells_of(&features, task.table, &all);
    name_families(&mut features, &cells);
    let fitted = fit_candidates(task, &features, &cells, task.labels, &[candidate]);
    let none = || features.iter().map(|f| Part::Table(vec![0.0; f.axis.bins()])).collect();
    let (base, parts, sides, joints) = match fitted.first() {
        Some(Fitted::Machine(machine)) => {
            let (parts, sides, joints) = machine_parts(machine);
            (machine.base, parts, sides, joints)
        }
        Some(Fitted::Regression(regression)) => {
            (regression.base, regression_parts(regression), Vec::new(), Vec::new())
        }
        Some(Fitted::Constant(logit)) => (*logit, none(), Vec::new(), Vec::new()),
        None => (0.0, none(), Vec::new(), Vec::new()),
    };
    let positives = task.labels.iter().filter(|label| **label).count();
    let mut model = Model {
        format: FORMAT,
        hash: String::new(),
        kind: candidate.kind(),
        target: task.target.to_owned(),
        positive: task.positive.to_owned(),
        rows: task.labels.len(),
        positives,
        seed: task.seed,
        figures: judged.0.pooled,
        bands: by_base_rate(positives as f64 / task.labels.len() as f64),
        base: rounded(base, 9),
        calibrator: judged.1.calibrator.clone(),
        scores: Shares::default(),
        features,
        parts,
        sides,
        joints,
    };
    // Drift is measured against what the model gives to rows it never saw.
    model.scores = Shares::tenths(&judged.1.probabilities[0]);
    let features = model.features.len();
    model.seal();
    let left_out = features - model.features.len();
    (model, left_out)
}

/// Names for each feature those that say nearly the same.
fn name_families(features: &mut [Feature], cells: &[Vec<f64>]) {
    let bins = ebm::bins(features, cells);
    let is_number = |feature: &Feature| matches!(feature.axis, Axis::Numbers(_));
    for a in 0..features.len().min(200) {
        for b in a + 1..features.len().min(200) {
            if is_number(&features[a]) && is_number(&features[b]) && alike(&bins[a], &bins[b]) {
                let name = features[b].name.clone();
                features[a].family.push(name);
            }
        }
    }
}

/// The probabilities of a table's rows by a model, and the columns it misses.
#[must_use]
pub fn predict(scorer: &Scorer, table: &Table) -> (Vec<f64>, Vec<String>) {
    let (cells, absent) = scorer.cells(table);
    (probabilities(scorer, &cells, table.rows), absent)
}
