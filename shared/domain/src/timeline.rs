//! When an answer can change by itself: the instants at which an event leaves a window, a silence
//! grows by a day, a fact goes stale or a date is reached.
//!
//! Looking back, the same instants tell for how long a condition has held without a break; looking
//! ahead, when a decision is due.

use jiff::{SignedDuration, Timestamp};

use crate::customer::Series;
use crate::expr::{Condition, Name, Truth};
use crate::facts::Facts;
use crate::lifecycle::{MetricKind, Slot};
use crate::period::DAY;

#[cfg(test)]
mod tests;

/// Seconds after `after` and up to `until`.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Not included.
    pub after: i64,
    /// Included.
    pub until: i64,
}

impl Stretch {
    fn holds(self, at: i64) -> bool {
        self.after < at && at <= self.until
    }

    /// `anchor` and every whole day after it that lies in the stretch, up to `end`.
    fn days_from(self, anchor: i64, end: i64, into: &mut Vec<i64>) {
        let behind = ((self.after + 1 - anchor).max(0) + DAY - 1) / DAY;
        let mut at = anchor + behind * DAY;
        while at <= self.until.min(end) {
            into.push(at);
            at += DAY;
        }
    }
}

/// The instants of a stretch at which the answer to a condition may change, in seconds, sorted.
#[must_use]
pub fn change_points(facts: &Facts<'_>, condition: &Condition, stretch: Stretch) -> Vec<i64> {
    // Before the first event nothing is known.
    let mut found = vec![facts.first_second()];
    of_condition(facts, condition, stretch, &mut found);
    found.retain(|at| stretch.holds(*at));
    found.sort_unstable();
    found.dedup();
    found
}

/// Since when a condition has held without a break, looking back no further than `hold`: `None`
/// when it does not hold now. An unknown answer in between neither breaks it nor counts as its
/// beginning, unless it is unknown because a value has gone stale: that breaks it.
#[must_use]
pub fn held_since(
    facts: &Facts<'_>,
    condition: &Condition,
    hold: SignedDuration,
) -> Option<Timestamp> {
    answered_since(facts, condition, Truth::Yes, hold)
}

/// As [`held_since`], of another answer.
pub(crate) fn answered_since(
    facts: &Facts<'_>,
    condition: &Condition,
    wanted: Truth,
    hold: SignedDuration,
) -> Option<Timestamp> {
    if facts.answer(condition) != wanted {
        return None;
    }
    let mut since = facts.as_of;
    let start = facts.as_of.saturating_sub(hold).unwrap_or(Timestamp::MIN);
    let stretch = Stretch { after: start.as_second(), until: facts.as_of.as_second() };
    let points = change_points(facts, condition, stretch);
    let instants = points.into_iter().rev().filter_map(|at| Timestamp::from_second(at).ok());
    for instant in instants.filter(|at| *at < facts.as_of).chain([start]) {
        match facts.at(instant).answer(condition) {
            answer if answer == wanted => since = instant,
            Truth::Yes | Truth::No => break,
            Truth::Unknown if is_stale(&facts.at(instant), &condition.names()) => break,
            Truth::Unknown => {}
        }
    }
    Some(since)
}

/// Whether a metric that names lead to has gone stale.
fn is_stale(facts: &Facts<'_>, names: &[&Name]) -> bool {
    names.iter().any(|name| match Slot::of(name.slot) {
        Slot::Metric(index) => match &facts.lifecycle.metrics[index].kind {
            MetricKind::Formula(formula) => {
                is_stale(facts, &formula.names().iter().collect::<Vec<_>>())
            }
            _ => facts.is_stale(index),
        },
        Slot::Segment(index) => is_stale(facts, &facts.lifecycle.segments[index].condition.names()),
        _ => false,
    })
}

fn of_condition(facts: &Facts<'_>, condition: &Condition, stretch: Stretch, into: &mut Vec<i64>) {
    if condition.uses_date() {
        midnights(facts, stretch, into);
    }
    for name in condition.names() {
        of_slot(facts, Slot::of(name.slot), stretch, into);
    }
}

fn midnights(facts: &Facts<'_>, stretch: Stretch, into: &mut Vec<i64>) {
    let calendar = &facts.lifecycle.calendar;
    let Ok(mut at) = Timestamp::from_second(stretch.after) else { return };
    loop {
        let next = calendar.next_midnight(at);
        if next <= at || next.as_second() > stretch.until {
            return;
        }
        at = next;
        into.push(at.as_second());
    }
}

fn of_slot(facts: &Facts<'_>, slot: Slot, stretch: Stretch, into: &mut Vec<i64>) {
    let status = &facts.customer.status;
    match slot {
        Slot::Metric(index) => of_metric(facts, index, stretch, into),
        Slot::Trait(index) => {
            let name = &facts.lifecycle.traits[index].name;
            if let Some(state) = facts.customer.profile.traits.get(name) {
                // Known from the first whole second on.
                into.push(state.since.div_euclid(1_000) + i64::from(state.since % 1_000 != 0));
            }
        }
        Slot::Segment(index) => {
            of_condition(facts, &facts.lifecycle.segments[index].condition, stretch, into);
        }
        Slot::StageName => into.extend(status.stage.iter().map(|stage| stage.since.as_second())),
        Slot::StageDays => {
            if let Some(stage) = &status.stage {
                stretch.days_from(stage.since.as_second(), i64::MAX, into);
            }
        }
        Slot::RiskBand | Slot::RiskProbability => {
            into.extend(status.risk.iter().map(|risk| risk.band_since.as_second()));
        }
        Slot::HealthScore => {
            // An overlay changes what a factor earns, never what it reads.
            for applies in &facts.lifecycle.overlays {
                of_condition(facts, applies, stretch, into);
            }
            let factors = facts.lifecycle.health.iter().flat_map(|card| &card.factors);
            for factor in factors {
                for name in factor.value.names() {
                    of_slot(facts, Slot::of(name.slot), stretch, into);
                }
                if factor.value.uses_date() {
                    midnights(facts, stretch, into);
                }
            }
        }
        Slot::Open => {}
    }
}

fn of_metric(facts: &Facts<'_>, index: usize, stretch: Stretch, into: &mut Vec<i64>) {
    let metric = &facts.lifecycle.metrics[index];
    let mut with_window = |measure: usize, windows: &[i64]| {
        for series in facts.counted(metric, measure) {
            match series {
                Series::Tally(tally) | Series::Latest(tally) => {
                    for cell in tally.cells() {
                        into.push(cell.at);
                        into.extend(windows.iter().map(|window| cell.at + window));
                    }
                }
                Series::Distinct(set) => {
                    for (first, last) in set.edges() {
                        into.push(first);
                        into.extend(windows.iter().map(|window| last + window));
                    }
                }
                // No metric reads them.
                Series::Answers(_) => {}
            }
        }
    };
    match &metric.kind {
        MetricKind::Total { measure, minus, over } => {
            for measure in [Some(*measure), *minus].into_iter().flatten() {
                with_window(measure, over.as_slice());
            }
        }
        MetricKind::DaysWith { measure, over } | MetricKind::Distinct { measure, over } => {
            with_window(*measure, &[*over]);
        }
        MetricKind::Change { measure, over } => with_window(*measure, &[*over, 2 * over]),
        MetricKind::Latest { measure, stale_after } => {
            // Still fresh at that age, stale the second after.
            let stale = stale_after.map(|limit| limit + 1);
            with_window(*measure, stale.as_slice());
        }
        MetricKind::DaysSince { measure } => {
            for series in facts.counted(metric, *measure) {
                let Series::Tally(tally) = series else { continue };
                let cells = tally.cells();
                for (index, cell) in cells.iter().enumerate() {
                    let end = cells.get(index + 1).map_or(i64::MAX, |next| next.at);
                    stretch.days_from(cell.at, end, into);
                }
            }
        }
        MetricKind::Formula(formula) => {
            if formula.uses_date() {
                midnights(facts, stretch, into);
            }
            for name in formula.names() {
                of_slot(facts, Slot::of(name.slot), stretch, into);
            }
        }
    }
}
