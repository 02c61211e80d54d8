//! Renewal of contracts without labels per customer: the shifted beta-geometric curve.
//!
//! Fader and Hardie, "How to Project Customer Retention", Journal of Interactive Marketing, 2007: at
//! each renewal a customer leaves with a probability of its own, which differs between customers as a
//! beta distribution. Those who stay are more and more those who would: retention rises.

use serde::{Deserialize, Serialize};

use crate::optimise::nelder_mead;

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShiftedBetaGeometric {
    /// First shape.
    pub alpha: f64,
    /// Second shape.
    pub beta: f64,
    /// The log-likelihood reached.
    pub log_likelihood: f64,
}

impl ShiftedBetaGeometric {
    /// Fits to how many customers of a cohort were left after 0, 1, 2, … renewals (equation 7).
    /// `None` with fewer than two numbers, numbers that rise, or nobody that left.
    #[must_use]
    pub fn fit(left: &[f64]) -> Option<ShiftedBetaGeometric> {
        let falls = left.windows(2).all(|pair| pair[0] >= pair[1] && pair[1] >= 0.0);
        let (first, last) = (*left.first()?, *left.last()?);
        if left.len() < 2 || !falls || first == last || !first.is_finite() {
            return None;
        }
        let likelihood = |alpha: f64, beta: f64| {
            let mut stay = 1.0;
            let mut sum = 0.0;
            for (place, pair) in left.windows(2).enumerate() {
                let t = place as f64 + 1.0;
                let leave = (alpha) / (alpha + beta + t - 1.0) * stay;
                sum += (pair[0] - pair[1]) * libm::log(leave);
                stay *= (beta + t - 1.0) / (alpha + beta + t - 1.0);
            }
            sum + last * libm::log(stay)
        };
        let found = nelder_mead(&[0.0, 0.0], 0.5, 1e-12, 2_000, |at| {
            let outside: f64 = at.iter().map(|x| (x.abs() - 12.0).max(0.0)).sum();
            outside
                - likelihood(
                    libm::exp(at[0].clamp(-13.0, 13.0)),
                    libm::exp(at[1].clamp(-13.0, 13.0)),
                ) / first
        });
        let [alpha, beta] = [0, 1].map(|i| libm::exp(found.at[i].clamp(-13.0, 13.0)));
        Some(ShiftedBetaGeometric { alpha, beta, log_likelihood: likelihood(alpha, beta) })
    }

    /// The share of those at renewal `period` (from 1) that renew (equation 8).
    #[must_use]
    pub fn retention(&self, period: u32) -> f64 {
        let t = f64::from(period);
        (self.beta + t - 1.0) / (self.alpha + self.beta + t - 1.0)
    }

    /// The share of a cohort that is left after so many renewals.
    #[must_use]
    pub fn survival(&self, period: u32) -> f64 {
        (1..=period).map(|t| self.retention(t)).product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Survivors of 1,000 in the first eight years, from table 1 of the paper.
    const HIGH_END: [f64; 8] = [1_000.0, 869.0, 743.0, 653.0, 593.0, 551.0, 517.0, 491.0];
    const REGULAR: [f64; 8] = [1_000.0, 631.0, 468.0, 382.0, 326.0, 289.0, 262.0, 241.0];

    #[test]
    fn the_paper_s_two_cohorts_are_found_again() {
        for (left, alpha, beta, likelihood) in
            [(HIGH_END, 0.668, 3.806, -1_611.2), (REGULAR, 0.704, 1.182, -1_680.3)]
        {
            let fit = ShiftedBetaGeometric::fit(&left).unwrap();
            assert!(
                (fit.alpha - alpha).abs() < 0.002 && (fit.beta - beta).abs() < 0.002,
                "{fit:?}"
            );
            assert!((fit.log_likelihood - likelihood).abs() < 0.1, "{fit:?}");
            assert!(fit.retention(1) < fit.retention(5));
            assert!((fit.survival(7) * 1_000.0 - left[7]).abs() < 20.0);
        }
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        for left in [&[][..], &[5.0], &[5.0, 6.0], &[5.0, 5.0]] {
            assert_eq!(ShiftedBetaGeometric::fit(left), None);
        }
    }
}
