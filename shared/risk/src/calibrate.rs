//! Calibration: probabilities that come true as often as they say.
//!
//! A calibrator maps the logit of a model to a better one. It is taken only when, fitted on other
//! rows than it is judged on, it lowers the log-loss: a machine that was stopped in time is
//! calibrated already, and every further step costs sharpness.

use serde::{Deserialize, Serialize};

use crate::metrics::log_loss;
use crate::special::{logit, sigmoid, softplus};

/// A map of logits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// As it is.
    #[default]
    None,
    /// Kull, Silva Filho and Flach, "Beta calibration", 2017: the logit becomes
    /// `a ln(p) - b ln(1 - p) + c`, with `a` and `b` not negative.
    Beta {
        /// Weight of `ln(p)`.
        a: f64,
        /// Weight of `-ln(1 - p)`.
        b: f64,
        /// Constant.
        c: f64,
    },
    /// Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
    /// Estimates", 2002: the best rising steps, joined by straight lines so that it stays continuous.
    Isotonic {
        /// Logits, rising.
        from: Vec<f64>,
        /// What each becomes, rising.
        to: Vec<f64>,
    },
}

/// Fits a kind of calibrator to logits and labels.
type Fit = fn(&[f64], &[bool]) -> Calibrator;

/// Isotonic calibration needs this many rows.
const ISOTONIC_ROWS: usize = 1_000;
/// Isotonic calibration needs this many positives.
const ISOTONIC_POSITIVES: usize = 100;

impl Calibrator {
    /// The calibrated logit.
    #[must_use]
    pub fn logit(&self, x: f64) -> f64 {
        match self {
            Calibrator::None => x,
            // ln(p) is -softplus(-x) and -ln(1 - p) is softplus(x).
            Calibrator::Beta { a, b, c } => c - a * softplus(-x) + b * softplus(x),
            Calibrator::Isotonic { from, to } => {
                let above = from.partition_point(|known| *known <= x);
                match (above.checked_sub(1), from.get(above)) {
                    (Some(below), Some(_)) => {
                        let share = (x - from[below]) / (from[above] - from[below]);
                        to[below] + share * (to[above] - to[below])
                    }
                    (Some(last), None) => to[last],
                    (None, _) => to.first().copied().unwrap_or(x),
                }
            }
        }
    }

    /// The name of its kind.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Calibrator::None => "none",
            Calibrator::Beta { .. } => "beta",
            Calibrator::Isotonic { .. } => "isotonic",
        }
    }

    /// Beta calibration by maximum likelihood (Newton's method, a weight below 0 set to 0).
    #[must_use]
    pub fn beta(logits: &[f64], labels: &[bool]) -> Calibrator {
        let mut use_a = true;
        let mut use_b = true;
        loop {
            let [a, b, c] = beta_weights(logits, labels, use_a, use_b);
            if a < 0.0 {
                use_a = false;
            } else if b < 0.0 {
                use_b = false;
            } else {
                return Calibrator::Beta { a, b, c };
            }
        }
    }

    /// Isotonic calibration by pooling adjacent violators; ends are kept off 0 and 1 by half a row.
    #[must_use]
    pub fn isotonic(logits: &[f64], labels: &[bool]) -> Calibrator {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        let (mut at, mut observed, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for row in order {
            let label = f64::from(u8::from(labels[row]));
            // Rows of one score cannot be told apart.
            if at.last() == Some(&logits[row]) {
                let last = rows.len() - 1;
                observed[last] = (observed[last] * rows[last] + label) / (rows[last] + 1.0);
                rows[last] += 1.0;
            } else {
                at.push(logits[row]);
                observed.push(label);
                rows.push(1.0);
            }
        }
        let pooled = pool(&observed, &rows);
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let mut start = 0;
        while start < pooled.len() {
            let end = start + pooled[start..].iter().take_while(|p| **p == pooled[start]).count();
            let n: f64 = rows[start..end].iter().sum();
            let middle = (start..end).map(|place| at[place] * rows[place]).sum::<f64>() / n;
            let p = (pooled[start] * n + 0.5 * pooled_rate(&observed, &rows)) / (n + 0.5);
            from.push(middle);
            to.push(logit(p));
            start = end;
        }
        // Shrinking short steps to the base rate may have bent the order at the ends.
        for place in 1..to.len() {
            to[place] = to[place].max(to[place - 1]);
        }
        thin(from, to)
    }

    /// The kinds that these rows are enough for.
    fn candidates(labels: &[bool]) -> Vec<Fit> {
        let positives = labels.iter().filter(|label| **label).count();
        let mut kinds: Vec<Fit> = Vec::new();
        if positives >= 20 && labels.len() >= positives + 20 {
            kinds.push(Calibrator::beta);
        }
        if positives >= ISOTONIC_POSITIVES && labels.len() >= ISOTONIC_ROWS {
            kinds.push(Calibrator::isotonic);
        }
        kinds
    }
}

/// A rising step function with at most 40 joints: those that matter least go first.
fn thin(mut from: Vec<f64>, mut to: Vec<f64>) -> Calibrator {
    while from.len() > 40 {
        let bend = |place: usize| {
            let share = (from[place] - from[place - 1]) / (from[place + 1] - from[place - 1]);
            (to[place - 1] + share * (to[place + 1] - to[place - 1]) - to[place]).abs()
        };
        let least = (1..from.len() - 1).min_by(|&a, &b| bend(a).total_cmp(&bend(b)));
        let least = least.unwrap_or(1);
        from.remove(least);
        to.remove(least);
    }
    Calibrator::Isotonic { from, to }
}

fn pooled_rate(observed: &[f64], rows: &[f64]) -> f64 {
    let sum: f64 = observed.iter().zip(rows).map(|(p, n)| p * n).sum();
    sum / rows.iter().sum::<f64>().max(1.0)
}

/// The nearest rising sequence, weighted: pool adjacent violators (Ayer and others, "An Empirical
/// Distribution Function for Sampling with Incomplete Information", 1955).
#[must_use]
pub fn pool(values: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for (value, weight) in values.iter().zip(weights) {
        let mut block = (*value, *weight, 1);
        while let Some(last) = blocks.last().filter(|last| last.0 >= block.0) {
            let weight = last.1 + block.1;
            block = ((last.0 * last.1 + block.0 * block.1) / weight, weight, last.2 + block.2);
            blocks.pop();
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(value, _, count)| std::iter::repeat_n(value, count)).collect()
}

fn beta_weights(logits: &[f64], labels: &[bool], use_a: bool, use_b: bool) -> [f64; 3] {
    let mut weights = [f64::from(u8::from(use_a)), f64::from(u8::from(use_b)), 0.0];
    for _ in 0..50 {
        let (mut gradient, mut curvature) = ([0.0; 3], [[0.0; 3]; 3]);
        for (x, label) in logits.iter().zip(labels) {
            let inputs = [
                if use_a { -softplus(-x) } else { 0.0 },
                if use_b { softplus(*x) } else { 0.0 },
                1.0,
            ];
            let z: f64 = weights.iter().zip(&inputs).map(|(w, x)| w * x).sum();
            let p = sigmoid(z);
            for i in 0..3 {
                gradient[i] += (f64::from(u8::from(*label)) - p) * inputs[i];
                for j in 0..3 {
                    curvature[i][j] += p * (1.0 - p) * inputs[i] * inputs[j];
                }
            }
        }
        // A little pull towards no change keeps separable rows finite.
        let targets = [f64::from(u8::from(use_a)), f64::from(u8::from(use_b)), 0.0];
        for i in 0..3 {
            gradient[i] -= 0.1 * (weights[i] - targets[i]);
            curvature[i][i] += 0.1;
        }
        let Some(step) = crate::linear::solve(
            &curvature.iter().flatten().copied().collect::<Vec<f64>>(),
            &gradient,
        ) else {
            break;
        };
        for (weight, step) in weights.iter_mut().zip(&step) {
            *weight += step.clamp(-2.0, 2.0);
        }
        if step.iter().all(|step| step.abs() < 1e-8) {
            break;
        }
    }
    weights
}

/// What cross-fitting found.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The calibrator, fitted on all rows.
    pub calibrator: Calibrator,
    /// By cross-validation, the probability of each row by a calibrator of its kind that never saw
    /// the row's fold.
    pub probabilities: Vec<Vec<f64>>,
}

/// Chooses a calibrator for the out-of-fold logits of one or more cross-validations (the logit and
/// the fold of each row): the kind whose mean cross-fitted log-loss is lowest, or none where none
/// lowers it.
#[must_use]
pub fn choose(validations: &[(&[f64], &[usize])], labels: &[bool]) -> Fitted {
    let mean_loss = |probabilities: &[Vec<f64>]| {
        probabilities.iter().map(|column| log_loss(column, labels)).sum::<f64>()
            / probabilities.len().max(1) as f64
    };
    let raw = |(logits, _): &(&[f64], &[usize])| logits.iter().map(|x| sigmoid(*x)).collect();
    let raw: Vec<Vec<f64>> = validations.iter().map(raw).collect();
    let mut best_loss = mean_loss(&raw);
    let mut best = Fitted { calibrator: Calibrator::None, probabilities: raw };
    for fit in Calibrator::candidates(labels) {
        let crossed = |(logits, folds): &(&[f64], &[usize])| cross_fit(logits, labels, folds, fit);
        let probabilities: Vec<Vec<f64>> = validations.iter().map(crossed).collect();
        let loss = mean_loss(&probabilities);
        if loss < best_loss {
            best_loss = loss;
            let logits: Vec<f64> = validations.iter().flat_map(|(x, _)| x.to_vec()).collect();
            let calibrator = fit(&logits, &labels.repeat(validations.len()));
            best = Fitted { calibrator, probabilities };
        }
    }
    best
}

/// The probability of each row by a calibrator fitted on the other folds.
fn cross_fit(logits: &[f64], labels: &[bool], folds: &[usize], fit: Fit) -> Vec<f64> {
    let mut probabilities = vec![0.0; logits.len()];
    let most = folds.iter().max().map_or(0, |fold| fold + 1);
    for fold in 0..most {
        let others: Vec<usize> = (0..logits.len()).filter(|&row| folds[row] != fold).collect();
        let x: Vec<f64> = others.iter().map(|&row| logits[row]).collect();
        let y: Vec<bool> = others.iter().map(|&row| labels[row]).collect();
        let calibrator = fit(&x, &y);
        for row in (0..logits.len()).filter(|&row| folds[row] == fold) {
            probabilities[row] = sigmoid(calibrator.logit(logits[row]));
        }
    }
    probabilities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Logits whose truth is `truth(logit)`.
    fn sample(truth: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<bool>, Vec<usize>) {
        let mut random = Random::new(5, 5);
        let logits: Vec<f64> = (0..4_000).map(|_| 6.0 * random.unit() - 4.0).collect();
        let labels = logits.iter().map(|x| random.unit() < sigmoid(truth(*x))).collect();
        let folds = (0..4_000).map(|row| row % 5).collect();
        (logits, labels, folds)
    }

    #[test]
    fn what_is_right_is_left_alone_or_nearly() {
        let (logits, labels, folds) = sample(|x| x);
        let Fitted { calibrator, .. } = choose(&[(&logits, &folds)], &labels);
        for x in [-3.0, -1.0, 1.0] {
            assert!((sigmoid(calibrator.logit(x)) - sigmoid(x)).abs() < 0.03);
        }
    }

    #[test]
    fn what_is_too_sure_is_mended() {
        let (logits, labels, folds) = sample(|x| 0.4 * x - 0.5);
        let fitted = choose(&[(&logits, &folds)], &labels);
        assert_ne!(fitted.calibrator, Calibrator::None);
        for x in [-3.0, -1.0, 1.0] {
            let truth = sigmoid(0.4 * x - 0.5);
            assert!((sigmoid(fitted.calibrator.logit(x)) - truth).abs() < 0.05);
        }
    }

    #[test]
    fn a_calibrator_never_turns_the_order() {
        let (logits, labels, _) = sample(|x| (3.0 * x).sin());
        for fit in [Calibrator::beta as Fit, Calibrator::isotonic] {
            let calibrator = fit(&logits, &labels);
            let line: Vec<f64> = (-60..60).map(|x| calibrator.logit(f64::from(x) / 10.0)).collect();
            assert!(line.is_sorted(), "{calibrator:?}");
            assert!(line.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn pooling_is_the_nearest_rising_sequence() {
        assert_eq!(pool(&[1.0, 3.0, 2.0, 4.0], &[1.0; 4]), [1.0, 2.5, 2.5, 4.0]);
        assert_eq!(pool(&[2.0, 1.0], &[3.0, 1.0]), [1.75, 1.75]);
    }
}
