//! What is at stake with a customer: the value that is lost when it leaves, and from which risk on
//! acting pays.
//!
//! Acting on a risk `p` costs the same whoever it is done for, and keeps a share of those who would
//! leave; so it pays where `p · success rate · value > cost`, from `p = cost / (success rate · value)`
//! on. That is the decision of least expected cost (Elkan, "The Foundations of Cost-Sensitive
//! Learning", 2001, section 2), with a threshold of each customer's own: the same risk may be worth a
//! call to one customer and not to another. It rests on a probability that is calibrated.

use risk::band::{Band, Costs, band_after};
use risk::reason::{percent, short};

use crate::expr::Expr;
use crate::facts::Facts;
use crate::journal::{Reason, number_json};

#[cfg(test)]
mod tests;

/// How far beyond a border, in logits, a probability has to be to change band.
const MARGIN: f64 = 0.1;

/// What is at stake with a customer.
#[derive(Debug, Clone)]
pub struct Stakes {
    /// The value that is lost when the customer leaves.
    pub value: Expr,
    /// What acting costs, where bands go by it.
    pub acting: Option<Acting>,
}

/// What acting upon a risk costs and does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Acting {
    /// What it costs, in the unit of the value.
    pub costs: f64,
    /// The share of leaving customers that it keeps.
    pub success_rate: f64,
}

/// The value that is lost when the customer leaves; `None` where the file does not say what that is,
/// or it cannot be told.
#[must_use]
pub fn value(facts: &Facts<'_>) -> Option<f64> {
    let value = facts.lifecycle.stakes.as_ref()?.value.number(facts)?;
    Some(value.max(0.0))
}

/// What acting costs and may save with a customer. `None` where bands do not go by it, and where the
/// value cannot be told.
fn costs(facts: &Facts<'_>) -> Option<Costs> {
    let Acting { costs, success_rate } = facts.lifecycle.stakes.as_ref()?.acting?;
    Some(Costs { value_at_risk: value(facts)?, acting: costs, success: success_rate })
}

/// The name of the band of a probability: of the bands by cost, where the file asks for them and the
/// value is known, else of `bands`. It changes only beyond a border.
pub(crate) fn band(facts: &Facts<'_>, bands: &[Band], probability: f64) -> String {
    let by_cost = costs(facts)
        .map(|costs| costs.bands(&bands.iter().map(|band| band.name.as_str()).collect::<Vec<_>>()));
    let bands = by_cost.as_deref().unwrap_or(bands);
    let before = facts.customer.status.risk.as_ref();
    let before = before.and_then(|was| bands.iter().position(|band| band.name == was.band));
    bands[band_after(bands, probability, before, MARGIN)].name.clone()
}

/// Why the band is what it is, where bands go by what acting costs.
pub(crate) fn reason(facts: &Facts<'_>, probability: f64) -> Option<Reason> {
    let acting = facts.lifecycle.stakes.as_ref()?.acting?;
    let Some(costs) = costs(facts) else {
        let text = "the value is not known: the band goes by the probability alone";
        return Some(Reason::of_fact(text.to_owned(), &[]));
    };
    let at_risk = probability * costs.value_at_risk;
    let pays = match costs.threshold() {
        Some(from) => format!("acting pays from a probability of {} on", percent(from)),
        None => "acting never pays".to_owned(),
    };
    let text = format!(
        "{} of {} at risk; {pays} (it costs {} and keeps {} of those who leave)",
        short(at_risk),
        short(costs.value_at_risk),
        short(acting.costs),
        percent(acting.success_rate)
    );
    let mut inputs = vec![
        ("risk.value", number_json(costs.value_at_risk)),
        ("risk.revenue_at_risk", number_json(at_risk)),
    ];
    inputs.extend(costs.threshold().map(|from| ("acting_pays_from", number_json(from))));
    Some(Reason::of_fact(text, &inputs))
}
