//! How a customer's present visit goes, by the times of its stage.

use jiff::Timestamp;
use serde::Serialize;

use crate::customer::HandoffState;
use crate::facts::Facts;

/// Whether the present stage takes as long as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Within the stage's target.
    OnTrack,
    /// Beyond the target.
    Behind,
    /// Beyond the time after which the customer is stuck.
    Stuck,
}

impl Pace {
    /// All of them.
    pub const ALL: [Pace; 3] = [Pace::OnTrack, Pace::Behind, Pace::Stuck];

    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Pace::OnTrack => "on_track",
            Pace::Behind => "behind",
            Pace::Stuck => "stuck",
        }
    }
}

/// The pace of the present visit; `None` where its stage has neither `target` nor `stuck`.
#[must_use]
pub fn pace(facts: &Facts<'_>) -> Option<Pace> {
    let state = facts.customer.status.stage.as_ref()?;
    let stage = facts.rules().stage(&state.name)?;
    let calendar = &facts.lifecycle.calendar;
    let is_beyond = |limit| calendar.after(state.since, limit) < facts.as_of;
    match (stage.target, stage.stuck) {
        (None, None) => None,
        (_, Some(stuck)) if is_beyond(stuck) => Some(Pace::Stuck),
        (Some(target), _) if is_beyond(target) => Some(Pace::Behind),
        _ => Some(Pace::OnTrack),
    }
}

/// Where a handoff stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoffPace {
    /// Nobody said yet that they took over.
    Pending,
    /// Nobody did in time.
    Overdue,
    /// Somebody did.
    Acknowledged,
}

impl HandoffPace {
    /// All of them.
    pub const ALL: [HandoffPace; 3] =
        [HandoffPace::Pending, HandoffPace::Overdue, HandoffPace::Acknowledged];

    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HandoffPace::Pending => "pending",
            HandoffPace::Overdue => "overdue",
            HandoffPace::Acknowledged => "acknowledged",
        }
    }

    /// Where a handoff stands at an instant.
    #[must_use]
    pub fn of(handoff: &HandoffState, now: Timestamp) -> HandoffPace {
        match (&handoff.acknowledged, handoff.due) {
            (Some(_), _) => HandoffPace::Acknowledged,
            (None, Some(due)) if due < now => HandoffPace::Overdue,
            (None, _) => HandoffPace::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests_support::{customer, day, in_stage, lifecycle};

    const FILE: &str = "version: 1
workspace: { holidays: [2026-03-04] }
traits: { plan: [trial, enterprise] }
segments: { big: traits.plan == \"enterprise\" }
stages:
  plain: { enter: { when: has(traits.plan) } }
  timed: { target: 2 workdays, stuck: 5d }
  stuck: { stuck: 5d }
overlays:
  - { for: segment.big, stages: { timed: { target: 4d, stuck: 9d } } }
";

    fn pace_of(stage: &str, plan: &str, at: f64) -> Option<Pace> {
        let file = lifecycle(FILE);
        let known = customer(&file, &[(0.0, "group", json!({ "plan": plan }))], 0.0);
        let known = in_stage(known, stage, 0.0);
        pace(&Facts::new(&known, &file, day(at)))
    }

    #[test]
    fn a_customer_is_behind_after_the_target_and_stuck_after_that() {
        use Pace::{Behind, OnTrack, Stuck};
        for (stage, plan, at, want) in [
            ("plain", "trial", 99.0, None),
            // Two workdays from Monday are Thursday: Wednesday is a holiday.
            ("timed", "trial", 3.0, Some(OnTrack)),
            ("timed", "trial", 3.001, Some(Behind)),
            ("timed", "trial", 5.0, Some(Behind)),
            ("timed", "trial", 5.001, Some(Stuck)),
            ("stuck", "trial", 5.0, Some(OnTrack)),
            ("stuck", "trial", 5.001, Some(Stuck)),
            ("timed", "enterprise", 4.0, Some(OnTrack)),
            ("timed", "enterprise", 4.001, Some(Behind)),
            ("timed", "enterprise", 9.001, Some(Stuck)),
        ] {
            assert_eq!(pace_of(stage, plan, at), want, "{stage} of {plan} on day {at}");
        }
    }
}
