//! Repeat purchases without labels: BG/NBD.
//!
//! Fader, Hardie and Lee, "'Counting Your Customers' the Easy Way: An Alternative to the Pareto/NBD
//! Model", Marketing Science, 2005. While a customer is alive, events come at a rate that differs
//! between customers as a gamma distribution (`r`, `alpha`); after each event the customer may drop
//! out, with a probability that differs as a beta distribution (`a`, `b`).
//!
//! It needs an event that can be repeated, knows no season, and is fitted on every customer ever
//! seen: on the lately active alone it is far off. The probability of being alive is no risk of
//! leaving: it is 1 for everyone who never came back. The risk is that of no event within a horizon.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::optimise::nelder_mead;
use crate::special::{hypergeometric, ln_gamma};

/// What the model knows of a customer, in one unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Events after the first.
    pub frequency: f64,
    /// From the first event to the last.
    pub recency: f64,
    /// From the first event to now.
    pub age: f64,
}

/// The parameters of BG/NBD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BgNbd {
    /// Shape of the rates.
    pub r: f64,
    /// Scale of the rates, in the unit of time.
    pub alpha: f64,
    /// First shape of dropping out.
    pub a: f64,
    /// Second shape of dropping out.
    pub b: f64,
}

/// A fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BgNbdFit {
    /// The parameters.
    pub params: BgNbd,
    /// The log-likelihood they reach.
    pub log_likelihood: f64,
    /// How often the likelihood was asked.
    pub evaluations: usize,
}

/// Why a model of repeat purchases cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BtydError {
    /// Nobody.
    #[error("there is no customer with an event")]
    Nobody,
    /// Nobody came back.
    #[error(
        "no customer has events on two different days: a model of repeated events has nothing to \
         learn from"
    )]
    NobodyTwice,
}

/// Customers alike, for the likelihood.
struct Group {
    history: History,
    place: usize,
    customers: f64,
}

impl BgNbd {
    /// Fits by maximum likelihood (equation 6 of the paper) from several starts.
    ///
    /// # Errors
    /// When nobody has an event, or nobody a second one.
    pub fn fit(histories: &[History]) -> Result<BgNbdFit, BtydError> {
        if histories.is_empty() {
            return Err(BtydError::Nobody);
        }
        if histories.iter().all(|one| one.frequency == 0.0) {
            return Err(BtydError::NobodyTwice);
        }
        let longest = histories.iter().map(|one| one.age).fold(0.0, f64::max);
        // Time in tenths of the longest history, so that one start fits every unit.
        let scale = if longest > 0.0 { longest / 10.0 } else { 1.0 };
        let (groups, frequencies) = group(histories, scale);
        let n = histories.len() as f64;
        let mut evaluations = 0;
        let mut best: Option<(f64, Vec<f64>)> = None;
        for start in [[-1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 1.0]] {
            let found = nelder_mead(&start, 0.5, 1e-10, 2_000, |at| {
                // Beyond e^±12 nothing changes any more: there is no minimum to run after.
                let outside: f64 = at.iter().map(|x| (x.abs() - 12.0).max(0.0)).sum();
                let params = BgNbd::of_logarithms(at);
                outside - log_likelihood(&params, &groups, &frequencies) / n
            });
            evaluations += found.evaluations;
            if best.as_ref().is_none_or(|best| found.value < best.0) {
                best = Some((found.value, found.at));
            }
        }
        let at = best.map(|best| best.1).unwrap_or_default();
        let mut params = BgNbd::of_logarithms(&at);
        let repeats: f64 = histories.iter().map(|one| one.frequency).sum();
        // The density of times in tenths is that of times in units by the scale for each event.
        let log_likelihood =
            log_likelihood(&params, &groups, &frequencies) - repeats * libm::log(scale);
        params.alpha *= scale;
        Ok(BgNbdFit { params, log_likelihood, evaluations })
    }

    fn of_logarithms(at: &[f64]) -> BgNbd {
        let value =
            |place: usize| libm::exp(at.get(place).copied().unwrap_or(0.0).clamp(-13.0, 13.0));
        BgNbd { r: value(0), alpha: value(1), a: value(2), b: value(3) }
    }

    /// The probability that a customer has not dropped out (equation 7 of "Computing P(alive) Using
    /// the BG/NBD Model", Fader, Hardie and Lee, 2008). 1 for one without a second event.
    #[must_use]
    pub fn p_alive(&self, of: &History) -> f64 {
        if of.frequency == 0.0 {
            return 1.0;
        }
        let BgNbd { r, alpha, a, b } = *self;
        let odds = libm::log(a / (b + of.frequency - 1.0))
            + (r + of.frequency) * libm::log((alpha + of.age) / (alpha + of.recency));
        crate::special::sigmoid(-odds)
    }

    /// The probability of no event within `horizon`:
    /// `1 - P(alive) (1 - ((alpha + T) / (alpha + T + h))^(r + x))`. Given that a customer is alive,
    /// the rate is gamma distributed with `r + x` and `alpha + T`, and dropping out comes only after
    /// an event.
    #[must_use]
    pub fn p_none(&self, of: &History, horizon: f64) -> f64 {
        let ratio = (self.alpha + of.age) / (self.alpha + of.age + horizon);
        1.0 - self.p_alive(of) * (1.0 - libm::pow(ratio, self.r + of.frequency))
    }

    /// The number of events to be expected within `horizon` (equation 10 of the paper).
    #[must_use]
    pub fn expected(&self, of: &History, horizon: f64) -> f64 {
        let BgNbd { r, alpha, b, .. } = *self;
        // At a = 1 the formula is 0 by 0; beside it, it is continuous.
        let a = if (self.a - 1.0).abs() < 1e-6 { 1.0 + 1e-6 } else { self.a };
        let x = of.frequency;
        let z = horizon / (alpha + of.age + horizon);
        let ratio = (alpha + of.age) / (alpha + of.age + horizon);
        let series = hypergeometric(r + x, b + x, a + b + x - 1.0, z);
        let gross = (a + b + x - 1.0) / (a - 1.0) * (1.0 - libm::pow(ratio, r + x) * series);
        (gross * self.p_alive(of)).max(0.0)
    }

    /// The usual time between two events of a customer that is alive: the inverse of the mean rate.
    #[must_use]
    pub fn cadence(&self, of: &History) -> f64 {
        (self.alpha + of.age) / (self.r + of.frequency)
    }
}

fn group(histories: &[History], scale: f64) -> (Vec<Group>, Vec<(f64, f64)>) {
    let mut alike: BTreeMap<[u64; 3], f64> = BTreeMap::new();
    let mut frequencies: BTreeMap<u64, f64> = BTreeMap::new();
    for one in histories {
        let recency = if one.frequency == 0.0 { 0.0 } else { one.recency };
        let key = [one.frequency.to_bits(), recency.to_bits(), one.age.to_bits()];
        *alike.entry(key).or_default() += 1.0;
        *frequencies.entry(one.frequency.to_bits()).or_default() += 1.0;
    }
    let places: Vec<u64> = frequencies.keys().copied().collect();
    let groups = alike
        .into_iter()
        .map(|([frequency, recency, age], customers)| Group {
            history: History {
                frequency: f64::from_bits(frequency),
                recency: f64::from_bits(recency) / scale,
                age: f64::from_bits(age) / scale,
            },
            place: places.partition_point(|known| *known < frequency),
            customers,
        })
        .collect();
    let frequencies = frequencies.into_iter().map(|(x, n)| (f64::from_bits(x), n)).collect();
    (groups, frequencies)
}

/// The log-likelihood; what depends on the frequency alone is computed once for each.
fn log_likelihood(params: &BgNbd, groups: &[Group], frequencies: &[(f64, f64)]) -> f64 {
    let BgNbd { r, alpha, a, b } = *params;
    let (at_r, at_b) = (ln_gamma(r), ln_gamma(b));
    let (at_ab, ln_alpha) = (ln_gamma(a + b), libm::log(alpha));
    let mut sum = 0.0;
    let drop: Vec<f64> = frequencies
        .iter()
        .map(|&(x, customers)| {
            let counts = ln_gamma(r + x) - at_r + r * ln_alpha;
            let stays = at_ab + ln_gamma(b + x) - at_b - ln_gamma(a + b + x);
            sum += customers * (counts + stays);
            if x > 0.0 { libm::log(a / (b + x - 1.0)) } else { f64::NEG_INFINITY }
        })
        .collect();
    for Group { history, place, customers } in groups {
        let History { frequency: x, recency, age } = history;
        let alive = -(r + x) * libm::log(alpha + age);
        let both = if *x > 0.0 {
            let dropped = drop[*place] - (r + x) * libm::log(alpha + recency);
            let (high, low) = if alive > dropped { (alive, dropped) } else { (dropped, alive) };
            high + libm::log1p(libm::exp(low - high))
        } else {
            alive
        };
        sum += customers * both;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const CDNOW: BgNbd = BgNbd { r: 0.243, alpha: 4.414, a: 0.793, b: 2.426 };

    #[test]
    fn the_paper_s_customer_is_expected_to_buy_as_the_paper_says() {
        let history = History { frequency: 2.0, recency: 30.43, age: 38.86 };
        assert!((CDNOW.expected(&history, 39.0) - 1.226).abs() < 0.001);
    }

    #[test]
    fn who_never_came_back_is_alive_but_not_safe() {
        let once = History { frequency: 0.0, recency: 0.0, age: 38.0 };
        assert_eq!(CDNOW.p_alive(&once), 1.0);
        assert!(CDNOW.p_none(&once, 39.0) > 0.8);
    }

    #[test]
    fn risk_rises_with_silence_and_falls_with_the_horizon() {
        let at = |age| History { frequency: 5.0, recency: 20.0, age };
        let silent: Vec<f64> =
            [20.0, 25.0, 30.0, 60.0].map(|t| CDNOW.p_none(&at(t), 10.0)).to_vec();
        assert!(silent.is_sorted());
        let longer: Vec<f64> =
            [1.0, 10.0, 100.0, 1e6].map(|h| -CDNOW.p_none(&at(25.0), h)).to_vec();
        assert!(longer.is_sorted());
    }

    #[test]
    fn a_fit_does_not_depend_on_the_unit_of_time() {
        let weeks: Vec<History> = (0..300)
            .map(|n| {
                let x = f64::from(n % 7);
                let age = 20.0 + f64::from(n % 13);
                History { frequency: x, recency: age * x / (x + 1.5), age }
            })
            .collect();
        let days: Vec<History> = weeks
            .iter()
            .map(|one| History { recency: one.recency * 7.0, age: one.age * 7.0, ..*one })
            .collect();
        let (a, b) = (BgNbd::fit(&weeks).unwrap().params, BgNbd::fit(&days).unwrap().params);
        assert!((a.alpha * 7.0 / b.alpha - 1.0).abs() < 1e-6 && (a.r / b.r - 1.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_to_learn_from_is_said() {
        assert_eq!(BgNbd::fit(&[]), Err(BtydError::Nobody));
        let once = History { frequency: 0.0, recency: 0.0, age: 3.0 };
        assert_eq!(BgNbd::fit(&[once]), Err(BtydError::NobodyTwice));
        let odd = History { frequency: 1.0, recency: 0.0, age: 0.0 };
        assert!(BgNbd::fit(&[odd]).unwrap().log_likelihood.is_finite());
    }
}
