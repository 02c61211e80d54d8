//! What customers spend: the gamma-gamma model.
//!
//! Fader and Hardie, "The Gamma-Gamma Model of Monetary Value", 2013: amounts differ around a
//! customer's mean as a gamma distribution, and means between customers as another. It takes amounts
//! as independent of how often somebody buys.

use serde::{Deserialize, Serialize};

use crate::btyd::{BgNbd, History};
use crate::optimise::nelder_mead;
use crate::special::ln_gamma;

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GammaGamma {
    /// Shape of the amounts of a customer.
    pub p: f64,
    /// Shape of the scale between customers.
    pub q: f64,
    /// Scale between customers.
    pub v: f64,
}

impl GammaGamma {
    /// Fits to customers' numbers of purchases and mean amounts (equation 1a); customers without a
    /// positive amount tell nothing. `None` with fewer than ten that do.
    #[must_use]
    pub fn fit(customers: &[(f64, f64)]) -> Option<GammaGamma> {
        let known: Vec<(f64, f64)> =
            customers.iter().copied().filter(|(x, mean)| *x > 0.0 && *mean > 0.0).collect();
        if known.len() < 10 {
            return None;
        }
        let n = known.len() as f64;
        // Amounts in units of their mean, so that one start fits every currency.
        let scale = known.iter().map(|(_, mean)| mean / n).sum::<f64>();
        let found = nelder_mead(&[1.0, 1.0, 1.0], 0.5, 1e-10, 2_000, |at| {
            let outside: f64 = at.iter().map(|x| (x.abs() - 12.0).max(0.0)).sum();
            let [p, q, v] = [at[0], at[1], at[2]].map(|x| libm::exp(x.clamp(-13.0, 13.0)));
            let sum: f64 = known
                .iter()
                .map(|&(x, mean)| {
                    let m = mean / scale;
                    ln_gamma(p * x + q) - ln_gamma(p * x) - ln_gamma(q)
                        + q * libm::log(v)
                        + (p * x - 1.0) * libm::log(m)
                        + p * x * libm::log(x)
                        - (p * x + q) * libm::log(x * m + v)
                })
                .sum();
            outside - sum / n
        });
        let [p, q, v] = [0, 1, 2].map(|i| libm::exp(found.at[i].clamp(-13.0, 13.0)));
        Some(GammaGamma { p, q, v: v * scale })
    }

    /// The mean amount to be expected of a customer with `x` purchases of `mean` each (equation 5);
    /// `None` where the model has no mean.
    #[must_use]
    pub fn expected_amount(&self, x: f64, mean: f64) -> Option<f64> {
        let weight = self.p * x + self.q - 1.0;
        (weight > 0.0).then(|| self.p * (self.v + x * mean) / weight)
    }
}

/// The value of a customer's events within `horizon`, discounted: events are taken to come in `parts`
/// equal stretches of the horizon, each discounted at its middle with `discount` per unit of time.
#[must_use]
pub fn lifetime_value(
    events: &BgNbd,
    of: &History,
    amount: f64,
    horizon: f64,
    parts: u32,
    discount: f64,
) -> f64 {
    let part = horizon / f64::from(parts.max(1));
    let mut before = 0.0;
    let mut value = 0.0;
    for n in 1..=parts.max(1) {
        let until = events.expected(of, part * f64::from(n));
        let middle = part * (f64::from(n) - 0.5);
        value += (until - before) * amount / libm::pow(1.0 + discount, middle);
        before = until;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_s_mean_is_pulled_to_that_of_all() {
        let customers: Vec<(f64, f64)> =
            (0..500).map(|n| (f64::from(1 + n % 5), 20.0 + f64::from(n % 17) * 3.0)).collect();
        let fit = GammaGamma::fit(&customers).unwrap();
        let all = 44.0;
        let few = fit.expected_amount(1.0, 80.0).unwrap();
        let many = fit.expected_amount(50.0, 80.0).unwrap();
        assert!(all < few && few < many && many < 80.0, "{few} {many}");
        assert_eq!(GammaGamma::fit(&customers[..3]), None);
    }

    #[test]
    fn discounting_lowers_the_value() {
        let events = BgNbd { r: 0.243, alpha: 4.414, a: 0.793, b: 2.426 };
        let of = History { frequency: 2.0, recency: 30.43, age: 38.86 };
        let plain = lifetime_value(&events, &of, 35.0, 39.0, 12, 0.0);
        assert!((plain - events.expected(&of, 39.0) * 35.0).abs() < 1e-9);
        assert!(lifetime_value(&events, &of, 35.0, 39.0, 12, 0.002) < plain);
    }
}
