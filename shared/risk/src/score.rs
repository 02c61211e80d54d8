//! Scoring: a probability and its exact contributions, in well under a microsecond.

use crate::ebm::bins;
use crate::feature::{Axis, Feature};
use crate::logistic::Part;
use crate::model::{Model, ModelError, sides_of};
use crate::reason::{Words, words};
use crate::special::sigmoid;
use crate::table::Table;

/// A model made ready.
#[derive(Debug, Clone)]
pub struct Scorer {
    model: Model,
    joints: Vec<Joint>,
    base: f64,
    /// How much each feature's own table moves the logit in training: its standard deviation.
    spread: Vec<f64>,
    words: Vec<Words>,
}

#[derive(Debug, Clone)]
struct Joint {
    features: Vec<(usize, Vec<u8>, usize)>,
    table: Vec<f64>,
    share: f64,
}

/// The score of one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// The probability.
    pub probability: f64,
    /// Its logit: the scorer's base and the contributions.
    pub logit: f64,
    /// What each feature adds to the logit of the average row.
    pub contributions: Vec<f64>,
    bins: Vec<u16>,
}

/// What was not known of a row, and how much that widens the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// The part of what usually tells rows apart that was known, 0 to 1.
    pub known: f64,
    /// The probability if what is missing spoke for staying, one in ten times more than that.
    pub low: f64,
    /// The probability if it spoke against, one in ten times more than that.
    pub high: f64,
}

impl Scorer {
    /// Makes a model ready.
    #[must_use]
    pub fn new(model: Model) -> Scorer {
        let joints = model
            .joints
            .iter()
            .map(|joint| {
                let side = |(feature, side): (&usize, &usize)| {
                    let side = sides_of(&model.sides[*side]);
                    let width = side.iter().max().map_or(1, |most| usize::from(*most) + 1);
                    (*feature, side, width)
                };
                Joint {
                    features: joint.features.iter().zip(&joint.sides).map(side).collect(),
                    table: joint.thousandths.iter().map(|x| f64::from(*x) / 1e3).collect(),
                    share: 1.0 / joint.features.len() as f64,
                }
            })
            .collect();
        let each = model.features.iter().zip(&model.parts);
        let spread = each.map(|(feature, part)| mean_and_spread(feature, part).1).collect();
        let base = model.calibrator.logit(model.base);
        let words = words(&model);
        Scorer { model, joints, base, spread, words }
    }

    /// Reads a model and makes it ready.
    ///
    /// # Errors
    /// As [`Model::from_json`].
    pub fn from_json(json: &str) -> Result<Scorer, ModelError> {
        Ok(Scorer::new(Model::from_json(json)?))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The logit to which contributions are added: that of the average row.
    #[must_use]
    pub fn base(&self) -> f64 {
        self.base
    }

    /// How much each feature's own table usually moves the logit: its standard deviation in training.
    #[must_use]
    pub fn spread(&self) -> &[f64] {
        &self.spread
    }

    pub(crate) fn words(&self) -> &[Words] {
        &self.words
    }

    /// The cells of a table's rows for this model, by feature; a column that is not there is missing
    /// in every row, and named in the answer.
    #[must_use]
    pub fn cells(&self, table: &Table) -> (Vec<Vec<f64>>, Vec<String>) {
        let mut absent = Vec::new();
        let cells = self
            .model
            .features
            .iter()
            .map(|feature| match table.column(&feature.name) {
                Some(column) => feature.axis.cells(column),
                None => {
                    absent.push(feature.name.clone());
                    vec![f64::NAN; table.rows]
                }
            })
            .collect();
        (cells, absent)
    }

    /// Scores a row: a cell for each feature, numbers, or places among the feature's words (`NaN` is
    /// missing). `score` is written over, so that one can be used for many rows.
    pub fn score(&self, row: &[f64], score: &mut Score) {
        let Model { features, parts, calibrator, base, .. } = &self.model;
        score.bins.clear();
        score.contributions.clear();
        let mut sum = 0.0;
        for ((feature, part), cell) in features.iter().zip(parts).zip(row) {
            let bin = feature.axis.bin(*cell);
            let logit = match part {
                Part::Table(table) => table[bin],
                Part::Line(line) => line.at(*cell),
            };
            score.bins.push(bin as u16);
            score.contributions.push(logit);
            sum += logit;
        }
        for joint in &self.joints {
            let cell = joint.features.iter().fold(0, |cell, (feature, side, width)| {
                cell * width + usize::from(side[usize::from(score.bins[*feature])])
            });
            let logit = joint.table[cell];
            if logit != 0.0 {
                sum += logit;
                for (feature, ..) in &joint.features {
                    score.contributions[*feature] += logit * joint.share;
                }
            }
        }
        score.logit = base + sum;
        if !matches!(calibrator, crate::calibrate::Calibrator::None) {
            let calibrated = calibrator.logit(score.logit);
            // Contributions keep their proportions, and add up to what calibration made of them.
            let factor = if sum.abs() > 1e-9 { (calibrated - self.base) / sum } else { 1.0 };
            score.contributions.iter_mut().for_each(|logit| *logit *= factor);
            score.logit = calibrated;
        }
        settle(score, self.base);
        score.probability = sigmoid(score.logit);
    }

    /// How much of what usually tells rows apart was known of a row, and between which probabilities
    /// the answer would lie in four of five cases if the rest were known too.
    #[must_use]
    pub fn coverage(&self, row: &[f64], score: &Score) -> Coverage {
        let (mut known, mut all, mut variance) = (0.0, 0.0, 0.0);
        for (cell, spread) in row.iter().zip(&self.spread) {
            all += spread;
            if cell.is_nan() {
                variance += spread * spread;
            } else {
                known += spread;
            }
        }
        // 1.2816 is the ninth decile of the normal distribution.
        let width = 1.2816 * libm::sqrt(variance);
        Coverage {
            known: if all > 0.0 { known / all } else { 1.0 },
            low: sigmoid(score.logit - width),
            high: sigmoid(score.logit + width),
        }
    }
}

/// Rounding, and the step of a calibrator right at the base, go to the greatest contribution.
fn settle(score: &mut Score, base: f64) {
    let sum: f64 = score.contributions.iter().sum();
    let rest = score.logit - base - sum;
    if rest.abs() > 1e-12
        && let Some(greatest) =
            score.contributions.iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs()))
    {
        *greatest += rest;
    }
}

/// What a feature's own part adds to the logit in training: the mean and the standard deviation.
pub(crate) fn mean_and_spread(feature: &Feature, part: &Part) -> (f64, f64) {
    let all: f64 = feature.shares.iter().map(|share| f64::from(*share)).sum();
    let at = |bin: usize| match part {
        Part::Table(table) => table[bin],
        Part::Line(line) => line.at(middle(&feature.axis, bin)),
    };
    let mean = |of: &dyn Fn(f64) -> f64| -> f64 {
        let each = feature.shares.iter().enumerate();
        each.map(|(bin, share)| f64::from(*share) * of(at(bin))).sum::<f64>() / all.max(1.0)
    };
    let centre = mean(&|x| x);
    (centre, libm::sqrt(mean(&|x| (x - centre) * (x - centre))))
}

/// A number of an interval.
fn middle(axis: &Axis, bin: usize) -> f64 {
    match axis {
        Axis::Numbers(cuts) if bin > 0 && !cuts.is_empty() => {
            let low = cuts[(bin.max(2) - 2).min(cuts.len() - 1)];
            let high = cuts[(bin - 1).min(cuts.len() - 1)];
            low + (high - low) / 2.0
        }
        _ => f64::NAN,
    }
}

/// Scores all rows of cells by feature; answers their probabilities.
#[must_use]
pub fn probabilities(scorer: &Scorer, cells: &[Vec<f64>], rows: usize) -> Vec<f64> {
    let mut score = Score::default();
    let mut row = vec![0.0; cells.len()];
    (0..rows)
        .map(|at| {
            for (cell, column) in row.iter_mut().zip(cells) {
                *cell = column[at];
            }
            scorer.score(&row, &mut score);
            score.probability
        })
        .collect()
}

/// How far the features of a table's rows are from those of training, the farthest first.
#[must_use]
pub fn feature_drift(scorer: &Scorer, cells: &[Vec<f64>]) -> Vec<(String, crate::drift::Drift)> {
    let model = scorer.model();
    let columns = bins(&model.features, cells);
    let mut found: Vec<(String, crate::drift::Drift)> = model
        .features
        .iter()
        .zip(&columns)
        .map(|(feature, bins)| {
            let mut now = vec![0u64; feature.axis.bins()];
            bins.iter().for_each(|bin| now[usize::from(*bin)] += 1);
            let before = feature
                .shares
                .iter()
                .map(|share| (f64::from(*share) * model.rows as f64 / 1e4).round() as u64);
            let (before, now) = tenths(&before.collect::<Vec<_>>(), &now);
            (feature.name.clone(), crate::drift::drift(&before, &now))
        })
        .collect();
    found.sort_by(|a, b| b.1.psi.total_cmp(&a.1.psi).then_with(|| a.0.cmp(&b.0)));
    found
}

/// Neighbouring bins put together until each holds about a tenth of the rows of training.
fn tenths(before: &[u64], now: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let all: u64 = before.iter().skip(1).sum();
    let (mut a, mut b) = (vec![before[0]], vec![now[0]]);
    let mut filled = u64::MAX;
    for (before, now) in before.iter().zip(now).skip(1) {
        if filled.saturating_mul(10) >= all {
            a.push(0);
            b.push(0);
            filled = 0;
        }
        let last = a.len() - 1;
        a[last] += before;
        b[last] += now;
        filled += before;
    }
    (a, b)
}
