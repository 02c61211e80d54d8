//! How good probabilities are: ranking, sharpness and calibration.
//!
//! All take a probability and a label for each row, in the same order. What needs both classes is
//! `None` when there is only one.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The figures of one set of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Area under the receiver operating characteristic.
    pub auc: Option<f64>,
    /// Average precision: area under precision over recall.
    pub pr_auc: Option<f64>,
    /// Mean negative log-likelihood, in nats.
    pub log_loss: f64,
    /// Mean squared error of the probability.
    pub brier: f64,
    /// Expected calibration error over ten bins of equal count.
    pub ece: f64,
    /// Positives among the tenth with the highest probability, against chance.
    pub lift10: Option<f64>,
}

impl Figures {
    /// The figures of some predictions.
    #[must_use]
    pub fn of(probabilities: &[f64], labels: &[bool]) -> Figures {
        Figures {
            auc: auc(probabilities, labels),
            pr_auc: pr_auc(probabilities, labels),
            log_loss: log_loss(probabilities, labels),
            brier: brier(probabilities, labels),
            ece: ece(probabilities, labels),
            lift10: lift(probabilities, labels, 0.1),
        }
    }

    /// The means of several figures; of those that exist where some do not.
    #[must_use]
    pub fn mean(of: &[Figures]) -> Figures {
        let mean = |get: &dyn Fn(&Figures) -> f64| {
            of.iter().map(get).sum::<f64>() / of.len().max(1) as f64
        };
        let known = |get: &dyn Fn(&Figures) -> Option<f64>| {
            let all: Vec<f64> = of.iter().filter_map(get).collect();
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        Figures {
            auc: known(&|one| one.auc),
            pr_auc: known(&|one| one.pr_auc),
            log_loss: mean(&|one| one.log_loss),
            brier: mean(&|one| one.brier),
            ece: mean(&|one| one.ece),
            lift10: known(&|one| one.lift10),
        }
    }
}

/// Rows by rising probability; equal ones in their own order.
fn ranked(probabilities: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    order
}

fn positives(labels: &[bool]) -> usize {
    labels.iter().filter(|label| **label).count()
}

/// The ends of runs of equal probability in a ranked order.
fn run_end(probabilities: &[f64], order: &[usize], from: usize) -> usize {
    let value = probabilities[order[from]];
    from + order[from..].iter().take_while(|&&row| probabilities[row] == value).count()
}

/// The probability that a positive row ranks above a negative one, ties counting half: the
/// Mann-Whitney statistic (Hanley and McNeil, 1982).
#[must_use]
pub fn auc(probabilities: &[f64], labels: &[bool]) -> Option<f64> {
    let (n, p) = (labels.len(), positives(labels));
    if p == 0 || p == n {
        return None;
    }
    let order = ranked(probabilities);
    let (mut rank_sum, mut from) = (0.0, 0);
    while from < n {
        let to = run_end(probabilities, &order, from);
        let rank = (from + to + 1) as f64 / 2.0;
        rank_sum += rank * order[from..to].iter().filter(|&&row| labels[row]).count() as f64;
        from = to;
    }
    let p = p as f64;
    Some((rank_sum - p * (p + 1.0) / 2.0) / (p * (n as f64 - p)))
}

/// Average precision: the mean over the positives of the precision at their threshold.
#[must_use]
pub fn pr_auc(probabilities: &[f64], labels: &[bool]) -> Option<f64> {
    let all = positives(labels);
    if all == 0 || all == labels.len() {
        return None;
    }
    let mut order = ranked(probabilities);
    order.reverse();
    let (mut sum, mut hits, mut from) = (0.0, 0, 0);
    while from < order.len() {
        let to = run_end(probabilities, &order, from);
        let here = order[from..to].iter().filter(|&&row| labels[row]).count();
        hits += here;
        sum += here as f64 * hits as f64 / to as f64;
        from = to;
    }
    Some(sum / all as f64)
}

/// The log-loss of one row.
#[must_use]
pub fn loss(probability: f64, label: bool) -> f64 {
    let p = probability.clamp(1e-12, 1.0 - 1e-12);
    if label { -libm::log(p) } else { -libm::log1p(-p) }
}

/// Mean negative log-likelihood, in nats.
#[must_use]
pub fn log_loss(probabilities: &[f64], labels: &[bool]) -> f64 {
    let sum: f64 = probabilities.iter().zip(labels).map(|(p, label)| loss(*p, *label)).sum();
    sum / labels.len().max(1) as f64
}

/// Mean squared error of the probability (Brier, 1950).
#[must_use]
pub fn brier(probabilities: &[f64], labels: &[bool]) -> f64 {
    let of = |(p, label): (&f64, &bool)| (p - f64::from(u8::from(*label))).powi(2);
    probabilities.iter().zip(labels).map(of).sum::<f64>() / labels.len().max(1) as f64
}

/// Mean prediction, share observed and number of rows of one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of positives.
    pub observed: f64,
    /// Rows.
    pub rows: usize,
}

/// Predictions by rising probability in `bins` bins of equal count (the first ones one row larger
/// where it does not divide).
#[must_use]
pub fn calibration(probabilities: &[f64], labels: &[bool], bins: usize) -> Vec<Bin> {
    let order = ranked(probabilities);
    let n = order.len();
    let mut from = 0;
    let mut made = Vec::with_capacity(bins);
    for bin in 0..bins {
        let rows = n / bins + usize::from(bin < n % bins);
        let part = &order[from..from + rows];
        from += rows;
        if rows > 0 {
            made.push(Bin {
                predicted: part.iter().map(|&row| probabilities[row]).sum::<f64>() / rows as f64,
                observed: part.iter().filter(|&&row| labels[row]).count() as f64 / rows as f64,
                rows,
            });
        }
    }
    made
}

/// Expected calibration error over ten bins of equal count (Naeini, Cooper and Hauskrecht, 2015).
#[must_use]
pub fn ece(probabilities: &[f64], labels: &[bool]) -> f64 {
    let bins = calibration(probabilities, labels, 10);
    let of = |bin: &Bin| bin.rows as f64 * (bin.predicted - bin.observed).abs();
    bins.iter().map(of).sum::<f64>() / labels.len().max(1) as f64
}

/// The calibration error that perfectly calibrated predictions with these probabilities would show
/// by chance alone: the mean over labels drawn from them.
#[must_use]
pub fn ece_floor(probabilities: &[f64], draws: usize, seed: u64) -> f64 {
    let mut random = Random::new(seed, 0xECE);
    let mut labels = vec![false; probabilities.len()];
    let mut sum = 0.0;
    for _ in 0..draws {
        for (label, p) in labels.iter_mut().zip(probabilities) {
            *label = random.unit() < *p;
        }
        sum += ece(probabilities, &labels);
    }
    sum / draws.max(1) as f64
}

/// The share of positives among the `share` of rows with the highest probability, against all rows.
/// Where the cut falls within rows of equal probability they count by the part that is taken.
#[must_use]
pub fn lift(probabilities: &[f64], labels: &[bool], share: f64) -> Option<f64> {
    let (n, all) = (labels.len(), positives(labels));
    if all == 0 || n == 0 {
        return None;
    }
    let take = libm::round(n as f64 * share).max(1.0);
    let mut order = ranked(probabilities);
    order.reverse();
    let (mut hits, mut from) = (0.0, 0);
    while from < n && (from as f64) < take {
        let to = run_end(probabilities, &order, from);
        let here = order[from..to].iter().filter(|&&row| labels[row]).count() as f64;
        let taken = (take - from as f64).min((to - from) as f64);
        hits += here * taken / (to - from) as f64;
        from = to;
    }
    Some(hits / take / (all as f64 / n as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [f64; 6] = [0.1, 0.4, 0.35, 0.8, 0.8, 0.2];
    const Y: [bool; 6] = [false, false, true, true, false, false];

    #[test]
    fn ranking_counts_ties_as_half() {
        // Pairs: 0.35 beats 0.1 and 0.2; 0.8 beats three and ties with one: 5.5 of 8.
        assert!((auc(&P, &Y).unwrap() - 5.5 / 8.0).abs() < 1e-12);
        assert_eq!(auc(&[0.5; 4], &[true, false, true, false]), Some(0.5));
    }

    #[test]
    fn average_precision_is_that_of_its_definition() {
        // Thresholds 0.8 (1 of 2), 0.4 (1 of 3), 0.35 (2 of 4): (0.5 + 0.5) / 2.
        assert!((pr_auc(&P, &Y).unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_needs_both_classes_is_absent_with_one() {
        let figures = Figures::of(&[0.2, 0.3], &[false, false]);
        assert_eq!((figures.auc, figures.pr_auc, figures.lift10), (None, None, None));
        assert!(figures.log_loss.is_finite());
    }

    #[test]
    fn calibration_bins_hold_equal_counts() {
        let p: Vec<f64> = (0..103).map(|n| f64::from(n) / 103.0).collect();
        let y: Vec<bool> = (0..103).map(|n| n % 2 == 0).collect();
        let bins = calibration(&p, &y, 10);
        assert_eq!(bins.iter().map(|bin| bin.rows).sum::<usize>(), 103);
        assert!(bins.iter().all(|bin| bin.rows == 10 || bin.rows == 11));
    }

    #[test]
    fn an_error_of_calibration_is_what_it_is_off_by() {
        let y: Vec<bool> = (0..1_000).map(|n| n % 4 == 0).collect();
        assert!(ece(&[0.25; 1_000], &y) < 0.01);
        assert!((ece(&[0.45; 1_000], &y) - 0.2).abs() < 0.01);
    }

    #[test]
    fn the_floor_falls_with_the_number_of_rows() {
        let p = |n: usize| (0..n).map(|k| k as f64 / n as f64).collect::<Vec<_>>();
        let (few, many) = (ece_floor(&p(500), 20, 1), ece_floor(&p(8_000), 20, 1));
        assert!(few > 2.0 * many, "{few} {many}");
    }

    #[test]
    fn lift_is_against_chance() {
        let p: Vec<f64> = (0..100).map(|n| f64::from(n) / 100.0).collect();
        let y: Vec<bool> = (0..100).map(|n| n >= 90).collect();
        assert!((lift(&p, &y, 0.1).unwrap() - 10.0).abs() < 1e-9);
        assert!((lift(&[0.5; 100], &y, 0.1).unwrap() - 1.0).abs() < 1e-9);
    }
}
