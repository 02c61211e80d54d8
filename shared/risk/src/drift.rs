//! Drift: whether what comes in is still like what was learnt.

use serde::{Deserialize, Serialize};

use crate::special::chi_square_quantile;

/// Bins of a probability, fixed at training, and the rows in each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Where the bins after the first begin, rising.
    pub cuts: Vec<f64>,
    /// Rows in each bin.
    pub rows: Vec<u64>,
}

impl Shares {
    /// Ten bins of about equal counts of these values.
    #[must_use]
    pub fn tenths(values: &[f64]) -> Shares {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut cuts: Vec<f64> = (1..10)
            .filter_map(|tenth| sorted.get(sorted.len() * tenth / 10).copied())
            .map(|cut| crate::feature::rounded(cut, 6))
            .collect();
        cuts.dedup();
        let rows = vec![0; cuts.len() + 1];
        let mut shares = Shares { cuts, rows };
        shares.rows = shares.count(values);
        shares
    }

    /// How many of other values fall into each bin.
    #[must_use]
    pub fn count(&self, values: &[f64]) -> Vec<u64> {
        let mut rows = vec![0; self.rows.len()];
        for value in values {
            rows[self.cuts.partition_point(|cut| *cut <= *value)] += 1;
        }
        rows
    }
}

/// How far two distributions are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// The population stability index: the sum of `(p - q) ln(p / q)` over the bins.
    pub psi: f64,
    /// What it exceeds with a chance of one in a thousand when nothing changed: under no drift the
    /// index is distributed as chi-square with one less degree of freedom than bins, times
    /// `1/n + 1/m` (Yurdakul and Naranjo, "Statistical Properties of the Population Stability Index",
    /// 2020).
    pub by_chance: f64,
    /// Whether it is beyond both chance and the customary 0.1.
    pub is_drift: bool,
}

/// Compares counts by bin: `before` at training, `now` since.
#[must_use]
pub fn drift(before: &[u64], now: &[u64]) -> Drift {
    let bins = before.len().max(1) as f64;
    let (n, m) = (before.iter().sum::<u64>() as f64, now.iter().sum::<u64>() as f64);
    if n == 0.0 || m == 0.0 || before.len() != now.len() {
        return Drift { psi: 0.0, by_chance: 0.0, is_drift: false };
    }
    // Half a row more in every bin: an empty one is no infinity.
    let share = |rows: u64, all: f64| (rows as f64 + 0.5) / (all + 0.5 * bins);
    let of = |(before, now): (&u64, &u64)| {
        let (p, q) = (share(*before, n), share(*now, m));
        (p - q) * libm::log(p / q)
    };
    let psi: f64 = before.iter().zip(now).map(of).sum();
    let used = before.iter().zip(now).filter(|(a, b)| **a + **b > 0).count() as f64;
    let by_chance = chi_square_quantile((used - 1.0).max(1.0), 3.090_232) * (1.0 / n + 1.0 / m);
    Drift { psi, by_chance, is_drift: psi > by_chance.max(0.1) }
}

/// Mean prediction against the share that came true, once labels are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct InTheLarge {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Share of positives.
    pub observed: f64,
    /// Standard errors between them, by the variance of the predictions themselves.
    pub deviates: f64,
}

/// Calibration in the large (Spiegelhalter, 1986).
#[must_use]
pub fn in_the_large(probabilities: &[f64], labels: &[bool]) -> Option<InTheLarge> {
    let n = probabilities.len() as f64;
    if probabilities.is_empty() {
        return None;
    }
    let predicted = probabilities.iter().sum::<f64>() / n;
    let observed = labels.iter().filter(|label| **label).count() as f64 / n;
    let variance: f64 = probabilities.iter().map(|p| p * (1.0 - p)).sum::<f64>() / n;
    let deviates = (observed - predicted) / libm::sqrt(variance / n).max(1e-12);
    Some(InTheLarge { predicted, observed, deviates })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn chance_alone_is_no_drift_and_a_shift_is() {
        let mut random = Random::new(1, 9);
        let mut draw = |n: usize, by: f64| -> Vec<f64> {
            (0..n).map(|_| (random.unit() + by).min(1.0)).collect()
        };
        let shares = Shares::tenths(&draw(5_000, 0.0));
        let mut alarms = 0;
        for _ in 0..200 {
            alarms += u32::from(drift(&shares.rows, &shares.count(&draw(300, 0.0))).is_drift);
        }
        assert!(alarms <= 2, "{alarms} of 200");
        let moved = drift(&shares.rows, &shares.count(&draw(300, 0.2)));
        assert!(moved.is_drift && moved.psi > 0.1, "{moved:?}");
    }

    #[test]
    fn empty_bins_are_no_infinity() {
        assert!(drift(&[10, 0], &[0, 10]).psi.is_finite());
        assert_eq!(drift(&[], &[]).psi, 0.0);
    }

    #[test]
    fn a_mean_that_is_off_is_told_in_standard_errors() {
        let labels: Vec<bool> = (0..1_000).map(|n| n % 10 == 0).collect();
        assert!(in_the_large(&[0.1; 1_000], &labels).unwrap().deviates.abs() < 0.1);
        assert!(in_the_large(&[0.2; 1_000], &labels).unwrap().deviates < -7.0);
        assert_eq!(in_the_large(&[], &[]), None);
    }
}
