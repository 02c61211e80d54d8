//! Ridge logistic regression: what few labels are enough for.
//!
//! Hoerl and Kennard, "Ridge Regression", 1970; le Cessie and van Houwelingen, "Ridge Estimators in
//! Logistic Regression", 1992: maximises the log-likelihood less half the sum of squared weights of
//! standardised inputs, by iteratively reweighted least squares. Numbers that are skewed (by more
//! than 4, and never negative) enter as `ln(1 + x)`; a word enters as one input each; what is missing
//! as the mean, with an input of its own.

use serde::{Deserialize, Serialize};

use crate::feature::{Axis, Feature};
use crate::linear::solve;
use crate::special::{sigmoid, softplus};

/// How strongly weights are pulled towards 0.
const RIDGE: f64 = 1.0;
/// More inputs than this are too many to solve for: rare words have none of their own.
const MOST_INPUTS: usize = 1_200;

/// A number's part of the logit: `weight · (t(x) - mean)`, with `t` the identity or `ln(1 + x)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Logit per unit.
    pub weight: f64,
    /// The mean of the training rows, of which the part is 0.
    pub mean: f64,
    /// The least and the greatest number of the training rows: beyond them it is taken as flat.
    pub range: [f64; 2],
    /// Whether the logarithm of one more is taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_log: bool,
    /// The logit where it is missing.
    pub missing: f64,
}

impl Line {
    /// The part of a number.
    #[must_use]
    pub fn at(&self, cell: f64) -> f64 {
        if cell.is_nan() { self.missing } else { self.weight * (self.value(cell) - self.mean) }
    }

    fn value(&self, cell: f64) -> f64 {
        let cell = cell.clamp(self.range[0], self.range[1]);
        if self.is_log { libm::log1p(cell) } else { cell }
    }
}

/// One feature's part of the logit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A straight line over a number.
    Line(Line),
    /// A logit for each bin.
    Table(Vec<f64>),
}

/// A fitted regression: the logit is `base` and the sum of the parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// The logit at the mean of every input.
    pub base: f64,
    /// A part for each feature.
    pub parts: Vec<Part>,
}

/// Where the inputs of a feature are, and how a cell becomes inputs.
enum Coding {
    /// `at`, and `at + 1` for what is missing.
    Number { at: usize, line: Line, deviation: f64 },
    /// One input per bin, from `at`.
    Words { at: usize },
}

/// Fits a regression to rows: cells by feature, and labels.
#[must_use]
pub fn fit(features: &[Feature], cells: &[Vec<f64>], labels: &[bool]) -> Regression {
    let mut inputs = 1;
    let most = MOST_INPUTS / features.len().max(1);
    let codings: Vec<Coding> = features
        .iter()
        .zip(cells)
        .map(|(feature, cells)| {
            let at = inputs;
            match &feature.axis {
                Axis::Numbers(_) => {
                    inputs += 2;
                    let (line, deviation) = standard(cells);
                    Coding::Number { at, line, deviation }
                }
                Axis::Words(_) => {
                    inputs += feature.axis.bins().min(most.max(3));
                    Coding::Words { at }
                }
            }
        })
        .collect();
    let ends: Vec<usize> =
        (0..codings.len()).map(|one| codings.get(one + 1).map_or(inputs, Coding::at)).collect();
    let rows: Vec<Vec<(u32, f64)>> = (0..labels.len())
        .map(|row| {
            let mut row_inputs = vec![(0, 1.0)];
            for (((coding, end), feature), cells) in
                codings.iter().zip(&ends).zip(features).zip(cells)
            {
                row_inputs.extend(coding.input(feature, *end, cells[row]));
            }
            row_inputs
        })
        .collect();
    let weights = solve_rows(&rows, labels, inputs);
    put_together(&codings, &ends, features, cells, &weights)
}

impl Coding {
    fn at(&self) -> usize {
        match self {
            Coding::Number { at, .. } | Coding::Words { at } => *at,
        }
    }

    fn input(&self, feature: &Feature, end: usize, cell: f64) -> Option<(u32, f64)> {
        let (input, value) = match self {
            Coding::Number { at, .. } if cell.is_nan() => (at + 1, 1.0),
            Coding::Number { at, line, deviation } => {
                (*at, (line.value(cell) - line.mean) / deviation)
            }
            Coding::Words { at } => {
                let input = at + feature.axis.bin(cell);
                (input < end).then_some((input, 1.0))?
            }
        };
        Some((u32::try_from(input).ok()?, value))
    }
}

/// The range, mean and standard deviation of a column, and whether its logarithm is better.
fn standard(cells: &[f64]) -> (Line, f64) {
    let known: Vec<f64> = cells.iter().copied().filter(|cell| !cell.is_nan()).collect();
    let least = known.iter().copied().fold(f64::INFINITY, f64::min);
    let most = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = if known.is_empty() { [0.0, 0.0] } else { [least, most] };
    let (_, _, skew) = moments(known.iter().copied());
    let is_log = skew > 4.0 && least >= 0.0;
    let mut line = Line { weight: 0.0, mean: 0.0, range, is_log, missing: 0.0 };
    let (mean, deviation, _) = moments(known.iter().map(|cell| line.value(*cell)));
    line.mean = mean;
    (line, if deviation > 0.0 && deviation.is_finite() { deviation } else { 1.0 })
}

/// Mean, standard deviation and skewness.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64, f64) {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().map(|x| x / n).sum::<f64>();
    let deviation = libm::sqrt(values.clone().map(|x| (x - mean) / n * (x - mean)).sum::<f64>());
    let skew = values.map(|x| ((x - mean) / deviation).powi(3) / n).sum::<f64>();
    (mean, deviation, skew)
}

fn solve_rows(rows: &[Vec<(u32, f64)>], labels: &[bool], inputs: usize) -> Vec<f64> {
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let mut weights = vec![0.0; inputs];
    weights[0] = libm::log((positives + 0.5) / (labels.len() as f64 - positives + 0.5));
    for _ in 0..25 {
        let mut gradient: Vec<f64> = weights.iter().map(|weight| -RIDGE * weight).collect();
        let mut curvature = vec![0.0; inputs * inputs];
        gradient[0] = 0.0;
        for (row, label) in rows.iter().zip(labels) {
            let z: f64 = row.iter().map(|&(input, x)| weights[input as usize] * x).sum();
            let p = sigmoid(z);
            let (residual, bend) = (f64::from(u8::from(*label)) - p, (p * (1.0 - p)).max(1e-9));
            for &(i, x) in row {
                gradient[i as usize] += residual * x;
                let scaled = bend * x;
                for &(j, y) in row {
                    if j <= i {
                        curvature[i as usize * inputs + j as usize] += scaled * y;
                    }
                }
            }
        }
        for i in 0..inputs {
            curvature[i * inputs + i] += if i == 0 { 1e-9 } else { RIDGE };
        }
        let Some(step) = solve(&curvature, &gradient) else { break };
        let longest = step.iter().fold(0.0, |most: f64, step| most.max(step.abs()));
        if longest < 1e-7 {
            break;
        }
        let before = objective(rows, labels, &weights);
        let mut scale = (5.0 / longest).min(1.0);
        // Where classes are nearly apart a whole step of Newton's goes too far, and the next one back.
        for _ in 0..20 {
            let there: Vec<f64> =
                weights.iter().zip(&step).map(|(w, step)| w + scale * step).collect();
            if objective(rows, labels, &there) >= before - 1e-9 {
                weights = there;
                break;
            }
            scale /= 2.0;
        }
    }
    weights
}

/// What is maximised: the log-likelihood less the penalty.
fn objective(rows: &[Vec<(u32, f64)>], labels: &[bool], weights: &[f64]) -> f64 {
    let of = |(row, label): (&Vec<(u32, f64)>, &bool)| {
        let z: f64 = row.iter().map(|&(input, x)| weights[input as usize] * x).sum();
        if *label { -softplus(-z) } else { -softplus(z) }
    };
    let penalty: f64 = weights[1..].iter().map(|weight| weight * weight).sum();
    rows.iter().zip(labels).map(of).sum::<f64>() - RIDGE / 2.0 * penalty
}

fn put_together(
    codings: &[Coding],
    ends: &[usize],
    features: &[Feature],
    cells: &[Vec<f64>],
    weights: &[f64],
) -> Regression {
    let mut base = weights[0];
    let mut parts = Vec::with_capacity(codings.len());
    for (((coding, end), feature), cells) in codings.iter().zip(ends).zip(features).zip(cells) {
        let mut part = match coding {
            Coding::Number { at, line, deviation } => Part::Line(Line {
                weight: weights[*at] / deviation,
                missing: weights[at + 1],
                ..line.clone()
            }),
            Coding::Words { at } => {
                let weight = |bin| if at + bin < *end { weights[at + bin] } else { 0.0 };
                Part::Table((0..feature.axis.bins()).map(weight).collect())
            }
        };
        // Parts are against the average row.
        let mean = cells.iter().map(|cell| part.at(&feature.axis, *cell)).sum::<f64>()
            / cells.len().max(1) as f64;
        base += mean;
        match &mut part {
            Part::Line(line) => {
                line.missing -= mean;
                if line.weight != 0.0 {
                    line.mean += mean / line.weight;
                }
            }
            Part::Table(table) => table.iter_mut().for_each(|logit| *logit -= mean),
        }
        parts.push(part);
    }
    Regression { base, parts }
}

impl Part {
    /// The part of a cell.
    #[must_use]
    pub fn at(&self, axis: &Axis, cell: f64) -> f64 {
        match self {
            Part::Line(line) => line.at(cell),
            Part::Table(table) => table[axis.bin(cell)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::features;
    use crate::random::Random;
    use crate::table::{Column, Table};

    #[test]
    fn a_line_is_found_again() {
        let mut random = Random::new(3, 3);
        let x: Vec<f64> = (0..5_000).map(|_| 4.0 * random.unit() - 2.0).collect();
        let labels: Vec<bool> = x.iter().map(|x| random.unit() < sigmoid(1.5 * x - 1.0)).collect();
        let table = Table {
            names: vec!["x".to_owned()],
            columns: vec![Column::Numbers(x)],
            rows: 5_000,
            notes: vec![],
        };
        let rows: Vec<usize> = (0..5_000).collect();
        let (features, _) = features(&table, &rows, &[]);
        let cells = vec![features[0].axis.cells(&table.columns[0])];
        let fitted = fit(&features, &cells, &labels);
        let logit = |x: f64| fitted.base + fitted.parts[0].at(&features[0].axis, x);
        assert!((logit(0.0) + 1.0).abs() < 0.15, "{}", logit(0.0));
        assert!((logit(1.0) - logit(0.0) - 1.5).abs() < 0.15);
        assert_eq!(logit(1e300), logit(2.0_f64.min(1e300)).max(logit(1e300)));
    }

    #[test]
    fn classes_that_are_nearly_apart_are_told_apart() {
        let mut random = Random::new(5, 5);
        // One in twelve has a number at all, and nearly only positives have.
        let labels: Vec<bool> = (0..2_000).map(|_| random.unit() < 0.06).collect();
        let number = |label: &bool, random: &mut Random| match *label || random.unit() < 0.02 {
            true => 8.0 + 30.0 * random.unit(),
            false => f64::NAN,
        };
        let since: Vec<f64> = labels.iter().map(|label| number(label, &mut random)).collect();
        let known = |days: f64| since.iter().map(|x| f64::from(u8::from(*x < days))).collect();
        let columns: Vec<Vec<f64>> = vec![since.clone(), known(28.0), known(84.0), known(90.0)];
        let table = Table {
            names: (0..4).map(|place| format!("x{place}")).collect(),
            columns: columns.into_iter().map(Column::Numbers).collect(),
            rows: 2_000,
            notes: vec![],
        };
        let rows: Vec<usize> = (0..2_000).collect();
        let (features, _) = features(&table, &rows, &[]);
        let cells: Vec<Vec<f64>> =
            features.iter().zip(&table.columns).map(|(f, column)| f.axis.cells(column)).collect();
        let fitted = fit(&features, &cells, &labels);
        let logit = |row: usize| {
            let parts = fitted.parts.iter().zip(&features).zip(&cells);
            fitted.base + parts.map(|((part, f), cells)| part.at(&f.axis, cells[row])).sum::<f64>()
        };
        let told: Vec<f64> = rows.iter().map(|&row| sigmoid(logit(row))).collect();
        let auc = crate::metrics::auc(&told, &labels).unwrap();
        assert!(auc > 0.97, "{auc}");
    }

    #[test]
    fn one_class_gives_its_rate_and_not_infinity() {
        let axis = Axis::Numbers(vec![0.5]);
        let feature = Feature {
            name: "x".to_owned(),
            axis,
            typical: 0.0,
            shares: vec![0, 5_000, 5_000],
            family: vec![],
            is_context: false,
        };
        let fitted = fit(&[feature], &[vec![0.0, 1.0, 0.0, 1.0]], &[false; 4]);
        assert!(fitted.base.is_finite() && fitted.base < 0.0);
    }
}
