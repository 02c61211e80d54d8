//! Bands of a probability: fixed ones, those by what acting costs, and how a customer changes band.

use serde::{Deserialize, Serialize};

use crate::feature::rounded;

/// A band: from this probability up to the next band's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Its name.
    pub name: String,
    /// The least probability in it.
    pub from: f64,
}

/// Bands for a share of positives where nothing else is said: `low` below it, `medium`, and `high`
/// from twice of it (or half-way to certain, where that is less).
#[must_use]
pub fn by_base_rate(rate: f64) -> Vec<Band> {
    let high = (2.0 * rate).min((1.0 + rate) / 2.0);
    let band = |name: &str, from: f64| Band { name: name.to_owned(), from: rounded(from, 3) };
    vec![band("low", 0.0), band("medium", rate), band("high", high)]
}

/// What acting upon a risk costs and may save.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// The value that is lost when the customer leaves.
    pub value_at_risk: f64,
    /// The cost of acting.
    pub acting: f64,
    /// The share of leaving customers that acting keeps, 0 to 1.
    pub success: f64,
}

impl Costs {
    /// The least probability at which acting is worth more than it costs (Elkan, "The Foundations of
    /// Cost-Sensitive Learning", 2001): acting pays `p · success · value - cost`. `None` where it
    /// never does.
    #[must_use]
    pub fn threshold(&self) -> Option<f64> {
        let saved = self.success * self.value_at_risk;
        let threshold = self.acting / saved;
        (saved > 0.0 && threshold < 1.0).then_some(threshold.max(0.0))
    }

    /// Bands of these names: in the first acting does not pay; the second begins where it does, and
    /// each further one where it pays back twice as much as in the one before. What no probability
    /// reaches begins beyond 1.
    #[must_use]
    pub fn bands(&self, names: &[&str]) -> Vec<Band> {
        let threshold = self.threshold().unwrap_or(f64::INFINITY);
        let mut from = 0.0;
        names
            .iter()
            .map(|name| {
                let band = Band { name: (*name).to_owned(), from };
                from = if from > 0.0 { 2.0 * from } else { threshold };
                band
            })
            .collect()
    }
}

/// The band of a probability. Bands rise; the first takes what is below all.
#[must_use]
pub fn band_of(bands: &[Band], probability: f64) -> usize {
    bands.iter().rposition(|band| band.from <= probability + 1e-9).unwrap_or(0)
}

/// The band of a probability for a customer that was in `before`: it changes only when the
/// probability is beyond the border by `margin` (of the logit), so that it does not flap.
#[must_use]
pub fn band_after(bands: &[Band], probability: f64, before: Option<usize>, margin: f64) -> usize {
    let now = band_of(bands, probability);
    let Some(before) = before.filter(|before| *before < bands.len() && *before != now) else {
        return now;
    };
    let moved = |by: f64| crate::special::sigmoid(crate::special::logit(probability) + by);
    // Moved towards where it was: what still is in another band has crossed the border for good.
    let steadied = band_of(bands, moved(if now > before { -margin } else { margin }));
    if now > before { steadied.max(before) } else { steadied.min(before) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acting_starts_where_it_pays() {
        let costs = Costs { value_at_risk: 1_000.0, acting: 50.0, success: 0.25 };
        assert_eq!(costs.threshold(), Some(0.2));
        let names = ["low", "medium", "high", "critical"];
        let from =
            |costs: Costs| costs.bands(&names).iter().map(|band| band.from).collect::<Vec<_>>();
        assert_eq!(from(costs), [0.0, 0.2, 0.4, 0.8]);
        assert_eq!(Costs { success: 0.0, ..costs }.threshold(), None);
        // For nothing, or with nothing to lose, acting never pays.
        for never in [Costs { acting: 900.0, ..costs }, Costs { value_at_risk: 0.0, ..costs }] {
            assert_eq!(band_of(&never.bands(&names), 1.0), 0);
            assert_eq!(band_after(&never.bands(&names), 1.0, Some(3), 0.1), 0);
        }
    }

    #[test]
    fn a_band_changes_only_beyond_its_border() {
        let bands = by_base_rate(0.2);
        assert_eq!(band_of(&bands, 0.2), 1);
        assert_eq!(band_after(&bands, 0.205, Some(0), 0.1), 0);
        assert_eq!(band_after(&bands, 0.25, Some(0), 0.1), 1);
        assert_eq!(band_after(&bands, 0.195, Some(1), 0.1), 1);
        assert_eq!(band_after(&bands, 0.15, Some(1), 0.1), 0);
        assert_eq!(band_after(&bands, 0.9, None, 0.1), 2);
        assert_eq!(band_after(&bands, 0.39, Some(2), 0.1), 2);
        assert_eq!(band_after(&bands, 0.01, Some(2), 0.1), 0);
    }
}
