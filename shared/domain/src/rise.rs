//! A rise of risk within a week: a signal by itself, whatever the band.
//!
//! A band tells how bad it is; a rise tells that something happened. So that it shows with no history
//! of assessments, a customer keeps [`RiskWeek`]: the lows that its noted risk was at of late, at most
//! one a day. What was noted stands until a move of five points is noted, so a rise is told at the
//! latest when it is five points more.
//!
//! A rise is told once: what it rose from no longer counts, and only a further rise from what it fell
//! to since is another. What only another model or another fit says is no rise of the customer's.

use jiff::{SignedDuration, Timestamp};
use risk::reason::percent;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::customer::{RiskState, Status};
use crate::facts::Facts;
use crate::journal::{Change, Effect, Reason, number_json};
use crate::learn::input::definition;
use crate::learn::{Input, InputKind};
use crate::lifecycle::{Lifecycle, RiskModel, Slot};
use crate::period::DAY;
use crate::score::{self, PROBABILITY, Risk};

#[cfg(test)]
mod tests;

/// The rule of a change that tells a rise.
pub const RULE: &str = "risk.drop_alert";
/// The days within which it rises.
pub const WITHIN_DAYS: i32 = 7;
/// Rounding is no rise, and takes nothing from one.
const ROUNDING: f64 = 1e-6;

/// The lows that a customer's noted risk was at in the last days, and whether a rise was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskWeek {
    /// What told the risk: the model, and what it was fitted to ([`told_by`]).
    told_by: u32,
    /// Falling back in time they fall, too: what was higher before a low is never the lowest again.
    lows: Vec<Low>,
    /// The day on which a rise was told.
    told: Option<i32>,
}

/// A risk that was noted until a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Low {
    /// The last day, in days since 1970.
    until: i32,
    /// The probability.
    millionths: u32,
}

impl RiskWeek {
    /// The lowest that was noted from a day on, but before the present one.
    fn lowest(&self, from: i32) -> Option<f64> {
        let low = self.lows.iter().find(|low| low.until >= from)?;
        Some(f64::from(low.millionths) / 1e6)
    }

    /// The same once `before` is followed by another assessment.
    fn followed(&self, before: Option<&RiskState>, today: i32) -> RiskWeek {
        let mut week = self.clone();
        if let Some(before) = before {
            let millionths = (before.probability.clamp(0.0, 1.0) * 1e6).round() as u32;
            while week.lows.last().is_some_and(|last| last.millionths >= millionths) {
                week.lows.pop();
            }
            // One a day is enough: of two the lower.
            if week.lows.last().is_none_or(|last| last.until < today) {
                week.lows.push(Low { until: today, millionths });
            }
        }
        week.lows.retain(|low| low.until >= today - WITHIN_DAYS);
        week.told = week.told.filter(|told| *told >= today - WITHIN_DAYS);
        week
    }
}

/// A rise that is to be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rise {
    /// The probability it was at within the last seven days.
    pub from: f64,
    /// The probability now.
    pub to: f64,
}

/// A day, in days since 1970.
fn day_of(at: Timestamp) -> i32 {
    i32::try_from(at.as_second().div_euclid(DAY)).unwrap_or(0)
}

/// By how much a probability is above the lowest of the last seven days, told or not; `None` where
/// the lifecycle file does not ask for rises, and before the first assessment.
#[must_use]
pub fn within_week(
    status: &Status,
    lifecycle: &Lifecycle,
    probability: f64,
    now: Timestamp,
) -> Option<f64> {
    lifecycle.rise_alert?;
    let noted = status.risk.as_ref()?.probability;
    let lowest = status.risk_week.lowest(day_of(now) - WITHIN_DAYS);
    Some((probability - lowest.map_or(noted, |low| low.min(noted))).max(0.0))
}

/// The rise of a customer whose risk is now this probability, where it is one to be told.
pub(crate) fn risen(facts: &Facts<'_>, probability: f64) -> Option<Rise> {
    let least = facts.lifecycle.rise_alert?;
    let status = &facts.customer.status;
    let noted = status.risk.as_ref()?.probability;
    let week = &status.risk_week;
    let today = day_of(facts.as_of);
    // What it rose from when it was told last no longer counts.
    let from = week.told.map_or(today - WITHIN_DAYS, |told| (today - WITHIN_DAYS).max(told + 1));
    let low = week.lowest(from).map_or(noted, |low| low.min(noted));
    let is_rise = |low: f64| probability - low >= least - ROUNDING;
    if !is_rise(low) {
        return None;
    }
    if week.told_by == told_by(facts.lifecycle) {
        return Some(Rise { from: low, to: probability });
    }
    // Another model told what it was: what does the present one say of those days?
    let before = |days: i64| facts.as_of.checked_sub(SignedDuration::from_hours(24 * days)).ok();
    let said =
        (1..=i64::from(WITHIN_DAYS)).filter_map(|days| score::risk(&facts.at(before(days)?)));
    let low = said.map(|risk| risk.probability).min_by(f64::total_cmp)?;
    is_rise(low).then_some(Rise { from: low, to: probability })
}

/// The lows to keep beside a new assessment. `risen` is the rise that is told with it.
pub(crate) fn week_after(
    status: &Status,
    lifecycle: &Lifecycle,
    risen: Option<&Rise>,
    now: Timestamp,
) -> RiskWeek {
    if lifecycle.rise_alert.is_none() {
        return RiskWeek::default();
    }
    let today = day_of(now);
    let told_by = told_by(lifecycle);
    let same = status.risk_week.told_by == told_by;
    // What another model said is nothing to rise from.
    let week = match same {
        true => status.risk_week.followed(status.risk.as_ref(), today),
        false => RiskWeek::default(),
    };
    RiskWeek { told_by, told: risen.map(|_| today).or(week.told), ..week }
}

impl Rise {
    /// The change that tells it: one with that of the band, where that changes too.
    pub(crate) fn change(&self, band_before: Option<String>, risk: &Risk) -> Change {
        let told = Reason {
            expression: format!(
                "rose from {} to {} within {WITHIN_DAYS} days",
                percent(self.from),
                percent(self.to)
            ),
            value: number_json(self.to - self.from),
            inputs: [
                (PROBABILITY.to_owned(), number_json(self.to)),
                ("risk.lowest_7d".to_owned(), number_json(self.from)),
            ]
            .into(),
        };
        Change {
            effect: Effect::EnterBand,
            from: band_before,
            to: Some(risk.band.clone()),
            rule: RULE.to_owned(),
            reasons: std::iter::once(told).chain(risk.reasons.iter().cloned()).collect(),
        }
    }
}

/// A number for what tells the risk: the definition of the model, and the fit. Never 0, which is
/// what a customer keeps that was never assessed for rises.
fn told_by(lifecycle: &Lifecycle) -> u32 {
    let mut text = match &lifecycle.risk {
        None => String::new(),
        Some(RiskModel::Alive(alive)) => format!("{} {}", alive.recipe(), alive.horizon_days),
        Some(RiskModel::Learned(learned)) => learned.recipe(lifecycle),
        Some(RiskModel::Scorecard(card)) => {
            let mut text = String::new();
            for factor in &card.factors {
                let (source, weight) = (factor.value.source(), factor.weight);
                text.push_str(&format!("{source} {weight} {} {};", factor.worst, factor.best));
                for name in factor.value.names() {
                    if let Slot::Metric(index) = Slot::of(name.slot) {
                        let (name, kind) = (name.path.to_string(), InputKind::Metric(index));
                        text.push_str(&definition(lifecycle, &Input { name, kind }));
                    }
                }
            }
            text
        }
    };
    if let Some(fitted) = lifecycle.fitted() {
        text.push_str(&format!(" fit of {}", fitted.fitted_at));
    }
    let digest = Sha256::digest(text.as_bytes());
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1)
}
