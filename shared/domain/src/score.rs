//! Scorecards: health from 0 to 100, and churn risk as what health is short of.
//!
//! Each factor maps a number linearly between its `worst` (nothing) and its `best` (all of its
//! weight). A missing factor earns nothing, so missing data never raises a score; it lowers the
//! coverage, the share of the weights that was known, which is reported beside the score.

use std::collections::BTreeSet;

use risk::band::band_of;
use serde::Serialize;

use crate::alive;
use crate::expr::Row;
use crate::facts::Facts;
use crate::journal::{Reason, number_json, value_json};
use crate::learn;
use crate::lifecycle::{Factor, RiskModel, Scorecard};
use crate::stakes;

#[cfg(test)]
mod tests;

/// With less coverage than this, in percent, no score is in a band above `yellow`, or, where there
/// is no such band, in the highest.
const GOOD_NEEDS_COVERAGE: f64 = 60.0;
/// Below this coverage, in percent, risk cannot be told.
const RISK_NEEDS_COVERAGE: f64 = 50.0;

/// The input of a reason that tells the probability, where the reasons' values do not add up to it.
pub const PROBABILITY: &str = "risk.probability";

/// A health score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// 0 to 100.
    pub score: f64,
    /// The band of the lifecycle file.
    pub band: String,
    /// The share of the weights whose factor was known, 0 to 1.
    pub coverage: f64,
    /// What it is made of.
    pub factors: Vec<FactorScore>,
}

/// What one factor earned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactorScore {
    /// The factor's name.
    pub name: String,
    /// The number that was weighed; null when it is missing.
    pub value: Option<f64>,
    /// Points of 100 it could earn.
    pub weight: f64,
    /// Points it earned.
    pub points: f64,
    /// The expression behind the number.
    pub expression: String,
}

/// An assessment of churn risk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Risk {
    /// The probability of leaving, 0 to 1.
    pub probability: f64,
    /// The band of the lifecycle file.
    pub band: String,
    /// The share of the weights whose factor was known, 0 to 1.
    pub coverage: f64,
    /// The value that is lost when the customer leaves, times the probability; `None` where the file
    /// has no `value`, or it cannot be told.
    pub revenue_at_risk: Option<f64>,
    /// What raises it, the strongest first. Of a scorecard's factor `value` is its share of the
    /// probability, of a learnt model's what it adds to the log-odds.
    pub reasons: Vec<Reason>,
}

/// The health of a customer, when the file has a scorecard for it.
#[must_use]
pub fn health(facts: &Facts<'_>) -> Option<Health> {
    let card = facts.rules().health.as_ref()?;
    let factors: Vec<FactorScore> =
        card.factors.iter().map(|factor| weigh(factor, facts)).collect();
    let known: f64 = known_weight(&factors);
    let score = factors.iter().map(|factor| factor.points).sum::<f64>().clamp(0.0, 100.0);
    let mut band = band_of(&card.bands, score);
    if known < GOOD_NEEDS_COVERAGE {
        let yellow = card.bands.iter().position(|band| band.name == "yellow");
        band = band.min(yellow.unwrap_or(card.bands.len().saturating_sub(2)));
    }
    Some(Health { score, band: card.bands[band].name.clone(), coverage: known / 100.0, factors })
}

/// The risk of a customer. `None` when the file has no risk model, or too little is known to tell.
#[must_use]
pub fn risk(facts: &Facts<'_>) -> Option<Risk> {
    // A model is asked as of when the feeds of what it looks at were last heard of.
    let still = facts.stilled(&match facts.lifecycle.silent.is_empty() {
        true => BTreeSet::new(),
        false => facts.lifecycle.read_by_risk(),
    });
    let of_model = &still.map_or(*facts, |since| facts.at(since));
    let mut risk = match facts.lifecycle.risk.as_ref()? {
        RiskModel::Scorecard(card) => by_scorecard(facts, card),
        RiskModel::Alive(model) => alive::risk(of_model, model),
        // It looks at windows, which a later fold may have emptied.
        RiskModel::Learned(_)
            if still.is_some_and(|since| !facts.customer.profile.reaches_back_to(since)) =>
        {
            None
        }
        RiskModel::Learned(model) => learn::risk(of_model, model),
    }?;
    risk.revenue_at_risk = stakes::value(facts).map(|value| value * risk.probability);
    risk.reasons.extend(stakes::reason(facts, risk.probability));
    Some(risk)
}

/// The share of the known weight of a scorecard that was not earned.
fn by_scorecard(facts: &Facts<'_>, card: &Scorecard) -> Option<Risk> {
    let factors: Vec<(&Factor, FactorScore)> =
        card.factors.iter().map(|factor| (factor, weigh(factor, facts))).collect();
    let scores: Vec<FactorScore> = factors.iter().map(|(_, score)| score.clone()).collect();
    let known = known_weight(&scores);
    if known < RISK_NEEDS_COVERAGE {
        return None;
    }
    let mut reasons: Vec<(f64, Reason)> = factors
        .iter()
        .filter(|(_, score)| score.value.is_some() && score.points < score.weight)
        .map(|(factor, score)| {
            let share = (score.weight - score.points) / known;
            (share, reason(factor, share, facts))
        })
        .collect();
    let probability = reasons.iter().map(|(share, _)| share).sum::<f64>().clamp(0.0, 1.0);
    reasons.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    Some(Risk {
        probability,
        band: stakes::band(facts, &card.bands, probability),
        coverage: known / 100.0,
        revenue_at_risk: None,
        reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
    })
}

fn known_weight(factors: &[FactorScore]) -> f64 {
    let known = factors.iter().filter(|factor| factor.value.is_some());
    let sum: f64 = known.map(|factor| factor.weight).sum();
    // Weights such as 33.3 do not add up exactly.
    (sum * 1e9).round() / 1e9
}

fn weigh(factor: &Factor, facts: &Facts<'_>) -> FactorScore {
    let value = factor.value.number(facts);
    let earned = value.map_or(0.0, |value| {
        ((value - factor.worst) / (factor.best - factor.worst)).clamp(0.0, 1.0)
    });
    FactorScore {
        name: factor.name.clone(),
        value,
        weight: factor.weight,
        points: earned * factor.weight,
        expression: factor.value.source().to_owned(),
    }
}

fn reason(factor: &Factor, share: f64, facts: &Facts<'_>) -> Reason {
    let names = factor.value.names().iter();
    Reason {
        expression: format!("{}: {}", factor.name, factor.value.source()),
        value: number_json(share),
        inputs: names.map(|name| (name.path.to_string(), value_json(facts.get(name)))).collect(),
    }
}
