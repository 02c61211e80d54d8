//! Milestones inside a stage: reached once in a visit, at the first instant their condition held.

use jiff::Timestamp;

use crate::customer::StageState;
use crate::decide::reasons;
use crate::expr::{Condition, Truth};
use crate::facts::Facts;
use crate::journal::{Change, Effect, JournalEntry, Reason};
use crate::lifecycle::Stage;
use crate::period::DAY;
use crate::timeline::{Stretch, change_points};

/// How far back the instant of a checkpoint is looked for, in days: further than a week without a
/// run, it is said to have been reached then.
pub(crate) const CHECKPOINT_DAYS: u32 = 7;

/// What a journal entry calls the instant of a checkpoint, which may be before it was noticed.
const FIRST_HELD: &str = "first held";

/// When the checkpoint of a journal entry was reached.
pub(crate) fn reached_at(entry: &JournalEntry) -> Timestamp {
    let told = entry.reasons.iter().find(|reason| reason.expression == FIRST_HELD);
    told.and_then(|reason| reason.inputs.get("at")?.as_str()?.parse().ok()).unwrap_or(entry.at)
}

/// A milestone of the present visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Its name in the lifecycle file.
    pub name: &'a str,
    /// When it was reached.
    pub reached: Option<Timestamp>,
    /// By when it should be.
    pub due: Option<Timestamp>,
}

impl Progress<'_> {
    /// Whether it was not reached by its target.
    #[must_use]
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due < self.reached.unwrap_or(now))
    }
}

/// The milestones of the present visit, in the order of the file.
#[must_use]
pub fn progress<'a>(facts: &Facts<'a>) -> Vec<Progress<'a>> {
    let status = &facts.customer.status;
    let Some(state) = &status.stage else { return Vec::new() };
    let Some(stage) = facts.rules().stage(&state.name) else { return Vec::new() };
    let calendar = &facts.lifecycle.calendar;
    let checkpoints = stage.checkpoints.iter().map(|checkpoint| Progress {
        name: &checkpoint.name,
        reached: status
            .reached
            .get(&checkpoint.name)
            .and_then(|at| Timestamp::from_second(*at).ok())
            .filter(|at| *at <= facts.as_of),
        due: checkpoint.target.map(|target| calendar.after(state.since, target)),
    });
    checkpoints.collect()
}

/// The checkpoints of the present visit that were reached and not noticed yet.
pub(crate) fn reached(facts: &Facts<'_>) -> Vec<Change> {
    let status = &facts.customer.status;
    let Some(state) = &status.stage else { return Vec::new() };
    let Some(stage) = facts.rules().stage(&state.name) else { return Vec::new() };
    reached_in(facts, state, stage, |name| status.reached.contains_key(name))
}

/// The checkpoints of a visit that are reached by now, but for those that are known.
pub(crate) fn reached_in(
    facts: &Facts<'_>,
    visit: &StageState,
    stage: &Stage,
    is_known: impl Fn(&str) -> bool,
) -> Vec<Change> {
    let earliest = facts.as_of.as_second() - i64::from(CHECKPOINT_DAYS) * DAY;
    let from = visit.since.as_second().max(earliest);
    let open = stage.checkpoints.iter().filter(|checkpoint| !is_known(&checkpoint.name));
    let reached = open.filter_map(|checkpoint| {
        let at = first_held(facts, &checkpoint.when, from)?;
        let mut reasons = reasons(&facts.at(at), &checkpoint.when);
        reasons.push(Reason::of_fact(FIRST_HELD.to_owned(), &[("at", at.to_string().into())]));
        Some(Change {
            effect: Effect::ReachCheckpoint { name: checkpoint.name.clone(), at },
            from: None,
            to: Some(checkpoint.name.clone()),
            rule: format!("stages.{}.checkpoints.{}", stage.name, checkpoint.name),
            reasons,
        })
    });
    reached.collect()
}

/// The first instant from `from` to now at which a condition holds.
fn first_held(facts: &Facts<'_>, when: &Condition, from: i64) -> Option<Timestamp> {
    let until = facts.as_of.as_second();
    let points = change_points(facts, when, Stretch { after: from, until });
    let points = [from].into_iter().chain(points);
    let mut instants = points.filter_map(|at| Timestamp::from_second(at).ok());
    instants.find(|at| facts.at(*at).answer(when) == Truth::Yes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::customer::Customer;
    use crate::lifecycle::Lifecycle;
    use crate::tests_support::{customer, day, in_stage, lifecycle, run};

    const FILE: &str = "version: 1
traits: { score: number? }
metrics: { calls: { count: call }, logins_2d: { count: login, over: 2d } }
stages:
  first:
    enter: { when: traits.score >= 0, priority: 1 }
    checkpoints:
      kickoff: { when: metrics.calls > 0, target: 3d }
      busy: { when: metrics.logins_2d >= 2 }
  next:
    enter: { when: traits.score >= 5, priority: 2 }
    checkpoints: { called: { when: metrics.calls > 0 } }
";

    fn starts(file: &Lifecycle, events: &[(f64, &str, serde_json::Value)]) -> Customer {
        in_stage(customer(file, events, 10.0), "first", 0.0)
    }

    fn reached_at(known: &Customer, name: &str) -> Option<f64> {
        known.status.reached.get(name).map(|at| (at - day(0.0).as_second()) as f64 / 86_400.0)
    }

    #[test]
    fn a_checkpoint_is_reached_at_the_first_instant_whenever_it_is_looked_at() {
        let file = lifecycle(FILE);
        let login = |at| (at, "login", json!({}));
        let events = [(2.25, "call", json!({})), login(3.0), login(4.5), (9.0, "call", json!({}))];
        for look in [4.5, 5.0, 7.0, 9.0] {
            let mut known = starts(&file, &events);
            run(&mut known, &file, day(look));
            assert_eq!(reached_at(&known, "kickoff"), Some(2.25), "looked at on day {look}");
            assert_eq!(reached_at(&known, "busy"), Some(4.5), "looked at on day {look}");
        }
    }

    #[test]
    fn it_is_reached_once_and_stays_so() {
        let file = lifecycle(FILE);
        let login = |at| (at, "login", json!({}));
        let mut known = starts(&file, &[login(1.0), login(1.5), login(9.0), login(9.5)]);
        let entries = run(&mut known, &file, day(2.0));
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].rule, "stages.first.checkpoints.busy");
        assert_eq!(entries[0].kind.as_str(), "checkpoint");
        for look in [3.0, 6.0, 10.0] {
            assert!(run(&mut known, &file, day(look)).is_empty());
        }
        assert_eq!(reached_at(&known, "busy"), Some(1.5));
    }

    #[test]
    fn what_happened_before_the_visit_is_reached_as_it_begins() {
        let file = lifecycle(FILE);
        let mut known = in_stage(customer(&file, &[(-3.0, "call", json!({}))], 30.0), "first", 0.0);
        run(&mut known, &file, day(1.0));
        assert_eq!(reached_at(&known, "kickoff"), Some(0.0));
    }

    #[test]
    fn the_last_checkpoint_counts_even_where_it_is_what_moves_the_customer_on() {
        let file = lifecycle(FILE);
        let events = [(1.0, "call", json!({})), (2.0, "group", json!({ "score": 7 }))];
        let mut known = starts(&file, &events);
        let told: Vec<String> =
            run(&mut known, &file, day(2.0)).iter().map(|entry| entry.rule.clone()).collect();
        assert_eq!(
            told,
            [
                "stages.first.checkpoints.kickoff",
                "stages.next.enter",
                "stages.next.checkpoints.called"
            ]
        );
        assert_eq!(reached_at(&known, "called"), Some(2.0));
        assert_eq!(reached_at(&known, "kickoff"), None, "that was another visit");
    }

    #[test]
    fn a_checkpoint_is_late_after_its_target() {
        let file = lifecycle(FILE);
        let mut known = starts(&file, &[(4.0, "call", json!({}))]);
        let late = |known: &Customer, at| {
            let facts = Facts::new(known, &file, day(at));
            let found = progress(&facts).into_iter().find(|p| p.name == "kickoff");
            found.unwrap().is_late(day(at))
        };
        assert!(!late(&known, 3.0) && late(&known, 3.5));
        run(&mut known, &file, day(5.0));
        assert!(late(&known, 5.0), "reached on the fourth day, a day too late");
    }
}
