//! Risk without labels: the probability that a customer has no further event of a kind.
//!
//! The rhythm of all customers ever seen is fitted once in a while ([`fit`]); a customer's own
//! history is told from its profile alone. Days count once, by the calendar of the workspace; before
//! the days that a profile keeps apart, a month's events count as days of it.
//!
//! The risk is `1 - P(alive) P(at least one | alive)`, never `1 - P(alive)`: that is 0 for everybody
//! who came once ([`risk::btyd`]).

use jiff::Timestamp;
use jiff::civil::Date;
use risk::btyd::{BgNbd, History};
use risk::reason::{percent, short};
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::fitted::Fitted;
use crate::journal::{Reason, number_json};
use crate::lifecycle::Alive;
use crate::score::{PROBABILITY, Risk};
use crate::stakes;

#[cfg(test)]
mod tests;

/// Days for which a profile keeps the days of the event apart.
pub(crate) const DAILY_DAYS: u32 = 730;
/// With fewer customers that came twice nothing can be said of anybody.
const LEAST_REPEATING: usize = 10;

/// The rhythm of a company's customers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    /// The parameters, in days.
    pub params: BgNbd,
    /// The log-likelihood they reach.
    pub log_likelihood: f64,
}

/// Fits the rhythm to the histories of every customer that ever had the event. `None` where too few
/// had it on two days.
#[must_use]
pub fn rhythm(histories: &[History]) -> Option<Rhythm> {
    let repeating = histories.iter().filter(|one| one.frequency > 0.0).count();
    if repeating < LEAST_REPEATING {
        return None;
    }
    let fit = BgNbd::fit(histories).ok()?;
    Some(Rhythm { params: fit.params, log_likelihood: fit.log_likelihood })
}

/// Fits what [`risk()`] goes by; `None` as [`rhythm`].
#[must_use]
pub fn fit(recipe: String, histories: &[History], now: Timestamp) -> Option<Fitted> {
    let rhythm = rhythm(histories)?;
    Some(Fitted { recipe, fitted_at: now, customers: histories.len(), rhythm, knowledge: None })
}

/// When a customer had an event, in days of the calendar, from the count of it; `None` where it never
/// had.
#[must_use]
pub fn history(facts: &Facts<'_>, measure: usize) -> Option<History> {
    let cells = facts.cells(measure);
    let daily_from = facts.customer.profile.daily_from;
    let mut days = 0.0;
    let mut before = None;
    for cell in cells {
        let day = date(facts, cell.at);
        if cell.at < daily_from {
            days += cell.value.min(f64::from(day.days_in_month()));
        } else if before != Some(day) {
            days += 1.0;
        }
        before = Some(day);
    }
    let (first, last) = (date(facts, cells.first()?.at), date(facts, cells.last()?.at));
    let days_from = |first: Date, last: Date| last.duration_since(first).as_hours() as f64 / 24.0;
    Some(History {
        frequency: days - 1.0,
        recency: days_from(first, last),
        age: days_from(first, date(facts, facts.as_of.as_second())),
    })
}

fn date(facts: &Facts<'_>, at: i64) -> Date {
    facts.lifecycle.calendar.date(Timestamp::from_second(at).unwrap_or(Timestamp::MIN))
}

/// The risk of a customer: the probability of no event within the horizon. `None` before the rhythm
/// was fitted, and for one that never had the event.
#[must_use]
pub fn risk(facts: &Facts<'_>, alive: &Alive) -> Option<Risk> {
    let params = &alive.fitted.as_ref()?.rhythm.params;
    let history = history(facts, alive.measure)?;
    let probability = params.p_none(&history, f64::from(alive.horizon_days));
    Some(Risk {
        probability,
        band: stakes::band(facts, &alive.bands, probability),
        coverage: 1.0,
        revenue_at_risk: None,
        reasons: reasons(alive, params, &history, probability),
    })
}

/// Why, in sentences: what is to be feared, the customer's own rhythm against its silence, and what
/// is still expected.
fn reasons(alive: &Alive, params: &BgNbd, of: &History, probability: f64) -> Vec<Reason> {
    let Alive { event, horizon_days, .. } = alive;
    let silent = of.age - of.recency;
    let rhythm = if of.frequency > 0.0 {
        let usual = (of.recency / of.frequency).max(1.0);
        format!("usually has {event} every {}, silent for {}", days(usual), days(silent))
    } else {
        format!("had {event} once, {} ago, and not again", days(silent))
    };
    let alive = params.p_alive(of);
    let expected = params.expected(of, f64::from(*horizon_days));
    let rest = format!("{} with {event} to be expected within {horizon_days} days", days(expected));
    let rest = match of.frequency > 0.0 {
        true => format!("not gone for good with a probability of {}; {rest}", percent(alive)),
        // Of one who came once the model cannot tell: everybody is alive until the second event.
        false => rest,
    };
    let reason = |expression: String, value: f64, inputs: &[(&str, f64)]| Reason {
        expression,
        value: number_json(value),
        inputs: inputs
            .iter()
            .map(|(name, number)| ((*name).to_owned(), number_json(*number)))
            .collect(),
    };
    let told = [(PROBABILITY, probability), ("horizon_days", f64::from(*horizon_days))];
    let own = [
        ("days_with_event", of.frequency + 1.0),
        ("silent_days", silent),
        ("known_for_days", of.age),
    ];
    let feared = format!(
        "no {event} within {horizon_days} days with a probability of {}",
        percent(probability)
    );
    vec![
        reason(feared, probability, &told),
        reason(rhythm, silent, &own),
        reason(rest, expected, &[("p_alive", alive)]),
    ]
}

/// So many days, in words.
pub(crate) fn days(number: f64) -> String {
    match short(number).as_str() {
        "1" => "1 day".to_owned(),
        number => format!("{number} days"),
    }
}
