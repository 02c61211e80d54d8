//! Scorecards and the bands of scores.

use super::risk::risk_bands;
use super::{Loader, words};
use crate::expr::{Expected, Type};
use crate::lifecycle::file::{self, File};
use crate::lifecycle::names::{Slot, declare};
use crate::lifecycle::{Band, Factor, Scorecard};
use crate::yaml::Spanned;

/// The bands of a health scorecard that names none.
pub(super) const HEALTH_BANDS: [&str; 3] = ["red", "yellow", "green"];

impl Loader<'_> {
    /// What was decided earlier may be asked for: risk and health.
    pub(super) fn declare_decided(&mut self, file: &File) {
        if let Some(risk) = &file.risk {
            let bands = words(risk_bands(risk));
            declare(&mut self.scope, "risk.band", bands, Slot::RiskBand, true);
            let slot = Slot::RiskProbability;
            declare(&mut self.scope, "risk.probability", Type::Number, slot, true);
        }
        if file.health.is_some() {
            declare(&mut self.scope, "health.score", Type::Number, Slot::HealthScore, true);
        }
    }

    /// `scale` is the highest score: 100 for health, 1 for a probability.
    pub(super) fn scorecard(
        &mut self,
        factors: &Spanned<file::Entries<Spanned<file::Factor>>>,
        bands: &file::Entries<Spanned<f64>>,
        scale: f64,
        usual: &[&str],
    ) -> Scorecard {
        let scope = self.facts.clone();
        if factors.value.0.is_empty() {
            self.error(&factors.referenced, "a scorecard needs at least one factor");
        }
        let factors = &factors.value;
        let mut list = Vec::new();
        let mut sum = 0.0;
        for (name, factor) in &factors.0 {
            let file::Factor { weight, value, worst, best } = &factor.value;
            sum += weight.value;
            if !(weight.value > 0.0 && weight.value <= 100.0) {
                self.error(&weight.referenced, "a weight lies between 0 and 100");
            }
            if worst.value == best.value || !worst.value.is_finite() || !best.value.is_finite() {
                self.error(&best.referenced, "`worst` and `best` must differ");
            }
            if let Some(value) = self.expression(value, &scope, Expected::Number) {
                list.push(Factor {
                    name: name.value.clone(),
                    weight: weight.value,
                    value,
                    worst: worst.value,
                    best: best.value,
                });
            }
        }
        if let Some((name, _)) = factors.0.first()
            && (sum - 100.0).abs() > 1e-9
        {
            let message = format!("the weights sum to {sum}, not to 100");
            self.error(&name.referenced, message);
        }
        let bands = self.bands(bands, scale, usual);
        Scorecard { factors: list, bands }
    }

    /// The bands of a score, from 0 up to below `scale`; `usual` ones of equal width where none is
    /// named.
    pub(super) fn bands(
        &mut self,
        bands: &file::Entries<Spanned<f64>>,
        scale: f64,
        usual: &[&str],
    ) -> Vec<Band> {
        let mut result: Vec<Band> = Vec::new();
        for (name, from) in &bands.0 {
            if !(0.0..=scale).contains(&from.value) {
                self.error(&from.referenced, format!("a band begins between 0 and {scale}"));
            }
            if result.last().is_some_and(|last| last.from >= from.value) {
                self.error(&from.referenced, "bands are listed from the lowest to the highest");
            }
            result.push(Band { name: name.value.clone(), from: from.value });
        }
        if let (Some((name, from)), true) =
            (bands.0.first(), result.first().is_some_and(|first| first.from != 0.0))
        {
            let message = format!("the lowest band, `{}`, must begin at 0", name.value);
            self.error(&from.referenced, message);
        }
        if result.is_empty() {
            let step = scale / usual.len() as f64;
            let usual = usual.iter().enumerate();
            result = usual
                .map(|(at, name)| Band { name: (*name).to_owned(), from: step * at as f64 })
                .collect();
        }
        result
    }
}
