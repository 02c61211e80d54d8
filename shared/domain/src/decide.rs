//! The one question: given a customer, a lifecycle and an instant, what should be true?
//!
//! Every function here is pure and answers with changes and their reasons; nothing is changed
//! until [`crate::customer::Status::apply`] makes a change true. Deciding the same again, with
//! nothing new, decides nothing.

use jiff::{SignedDuration, Timestamp};

use crate::checkpoint;
use crate::customer::{Customer, RiskNote, RiskState, StageState};
use crate::expr::{Condition, Truth};
use crate::facts::Facts;
use crate::finding;
use crate::journal::{Change, Effect, Reason};
use crate::lifecycle::{Enter, Exit, Lifecycle, Promise, Rules, Stage, Standard};
use crate::period::{Calendar, DAY, Period};
use crate::rise;
use crate::score::{self, Risk};
use crate::standard;
use crate::task;
use crate::timeline::{Stretch, change_points, held_since};

#[cfg(test)]
mod tests;

/// What should change about a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The checkpoints of the present visit that were reached.
    pub reached: Vec<Change>,
    /// The step to another stage, and why each other stage was not taken.
    pub stage: StageStep,
    /// What begins with the new visit: its handoff, and checkpoints that are reached at once.
    pub entered: Vec<Change>,
    /// The findings to open and close.
    pub findings: Vec<Change>,
    /// What then changes about tasks.
    pub tasks: Vec<Change>,
}

impl Decision {
    /// Whether anything should change.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.stage.change.is_some()
            || !self.reached.is_empty()
            || !self.findings.is_empty()
            || !self.tasks.is_empty()
    }

    fn with_tasks(self, customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Decision {
        let before = self.clone().into_changes();
        let count = before.len();
        let mut all = task::following(customer, None, before, lifecycle, now);
        Decision { tasks: all.split_off(count), ..self }
    }

    /// Everything that should change, in the order in which it does.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        let Decision { reached, stage, entered, findings, tasks } = self;
        let changes = reached.into_iter().chain(stage.change).chain(entered);
        changes.chain(findings).chain(tasks).collect()
    }
}

/// Decides stage, findings and tasks. (Risk is assessed apart: [`assess_risk`].)
#[must_use]
pub fn decide(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Decision {
    Decision {
        findings: finding::judge_all(customer, lifecycle, now),
        ..stage_alone(customer, lifecycle, now)
    }
    .with_tasks(customer, lifecycle, now)
}

/// Decides the stage and what comes with it, and no findings.
#[must_use]
pub fn decide_stage(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Decision {
    stage_alone(customer, lifecycle, now).with_tasks(customer, lifecycle, now)
}

/// A new assessment of risk that is worth noting, with the change when there is one and the tasks that
/// follow from it.
#[must_use]
pub fn decide_risk(
    customer: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<(RiskNote, Vec<Change>)> {
    let (note, change) = reassess(customer, lifecycle, now)?;
    let changes = match change {
        None => Vec::new(),
        Some(change) => task::following(customer, Some(&note), vec![change], lifecycle, now),
    };
    Some((note, changes))
}

/// Decides findings, what was kept, and the tasks that follow.
#[must_use]
pub fn decide_standards(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Vec<Change> {
    let mut changes = finding::judge_all(customer, lifecycle, now);
    changes.extend(finding::kept_all(customer, lifecycle, now));
    task::following(customer, None, changes, lifecycle, now)
}

fn stage_alone(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Decision {
    let facts = Facts::new(customer, lifecycle, now);
    let stage = step(customer, lifecycle, now);
    let to = stage.change.as_ref().and_then(|change| change.to.as_deref());
    let entered = to.and_then(|to| facts.rules().stage(to)).map(|to| {
        let visit = customer.status.stage.as_ref().map_or(1, |state| state.visit + 1);
        entered(&facts, &StageState { name: to.name.clone(), since: now, visit }, to)
    });
    Decision {
        reached: checkpoint::reached(&facts),
        entered: entered.unwrap_or_default(),
        stage,
        findings: Vec::new(),
        tasks: Vec::new(),
    }
}

/// What begins with a visit.
pub(crate) fn entered(facts: &Facts<'_>, visit: &StageState, stage: &Stage) -> Vec<Change> {
    let handoff = stage.handoff.as_ref().map(|handoff| {
        let calendar = &facts.lifecycle.calendar;
        let due = handoff.ack_within.map(|within| calendar.after(visit.since, within));
        let due_json = due.map_or(serde_json::Value::Null, |due| due.to_string().into());
        let expression = format!("handed to {}", handoff.to);
        Change {
            effect: Effect::OpenHandoff { to: handoff.to.clone(), due },
            from: None,
            to: Some("pending".to_owned()),
            rule: format!("stages.{}.handoff", stage.name),
            reasons: vec![Reason::of_fact(expression, &[("due", due_json)])],
        }
    });
    let reached = checkpoint::reached_in(facts, visit, stage, |_| false);
    handoff.into_iter().chain(reached).collect()
}

/// The outcome of the stage step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StageStep {
    /// The move, if there is one.
    pub change: Option<Change>,
    /// The move that automation would make, were the customer not held by a person.
    pub proposed: Option<Change>,
    /// The move that would be made, were it not for the silence of a feed.
    pub silenced: Option<Change>,
    /// Each candidate that was not taken, by its index in the lifecycle, and why.
    pub refused: Vec<(usize, Refusal)>,
}

impl StageStep {
    /// The same for a customer that a person holds.
    fn held(mut self, rules: &Rules) -> StageStep {
        self.proposed = self.change.take();
        let to = self.proposed.as_ref().and_then(|change| change.to.as_deref());
        let index = rules.stages.iter().position(|stage| Some(stage.name.as_str()) == to);
        self.refused.extend(index.map(|index| (index, Refusal::Held)));
        self
    }
}

impl StageStep {
    /// The same, with the move that only the silence of a feed keeps back.
    fn silenced(mut self, facts: &Facts<'_>) -> StageStep {
        let heard = step_alone(&facts.as_if_heard());
        let own = |step: &StageStep| step.change.clone().or_else(|| step.proposed.clone());
        let Some(change) = own(&heard).filter(|change| {
            own(&self).is_none_or(|own| (&own.to, &own.rule) != (&change.to, &change.rule))
        }) else {
            return self;
        };
        let rules = facts.rules();
        let index = rules.stages.iter().position(|stage| Some(&stage.name) == change.to.as_ref());
        if let (Some(index), Some((feed, since))) = (index, keeping_back(facts, &change)) {
            self.refused.retain(|(refused, _)| *refused != index);
            self.refused.push((index, Refusal::FeedSilent { feed, since }));
            self.silenced = Some(change);
        }
        self
    }
}

/// The silent feed that a move rests on, the one that is longest silent.
fn keeping_back(facts: &Facts<'_>, change: &Change) -> Option<(usize, Timestamp)> {
    let lifecycle = facts.lifecycle;
    let of_rule = lifecycle.feeds_of_rule(&change.rule);
    // What no longer holds of the present stage lets a lower one be taken.
    let present = change.from.as_ref().map(|from| format!("stages.{from}.enter"));
    let of_present = present.map(|rule| lifecycle.feeds_of_rule(&rule)).unwrap_or_default();
    let silent = lifecycle.silent.feeds().iter();
    let silent =
        silent.filter(|feed| of_rule.iter().chain(&of_present).any(|name| *name == feed.name));
    let feed = silent.min_by_key(|feed| feed.since)?;
    let index = lifecycle.feeds.iter().position(|known| known.name == feed.name)?;
    Some((index, feed.since))
}

/// Why a candidate stage was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The present stage has no exit to it.
    NoExit,
    /// It may not be entered from the present stage.
    NotFromHere,
    /// Its condition does not hold, or its `leave` does.
    DoesNotHold,
    /// Its condition cannot be told: something is missing.
    Unknown,
    /// Its condition has held since this instant, which is not yet long enough.
    HeldSince(Timestamp),
    /// It holds, but the customer was there before, and has to stay away until this instant.
    CoolingDown(Timestamp),
    /// It holds, but the present stage keeps its customers until this instant.
    KeptUntil(Timestamp),
    /// It would be taken, but a person keeps the customer where it is.
    Held,
    /// It holds, but its priority is not above that of the present stage, which holds too.
    NotAbovePresent,
    /// It holds, but another stage that holds has a higher priority.
    Outranked,
    /// It would be taken, but a feed that its condition reads is silent since this instant.
    FeedSilent {
        /// The feed, by its index in the lifecycle.
        feed: usize,
        /// Since when.
        since: Timestamp,
    },
}

/// The stage step: one move at most. New customers (and those whose stage the file no longer has)
/// take the highest-priority stage that holds, whatever its `for`.
#[must_use]
pub fn step(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> StageStep {
    step_of(&Facts::new(customer, lifecycle, now))
}

/// As [`step`], of what is known or supposed.
pub(crate) fn step_of(facts: &Facts<'_>) -> StageStep {
    let step = step_alone(facts);
    match facts.lifecycle.silent.is_empty() {
        true => step,
        false => step.silenced(facts),
    }
}

fn step_alone(facts: &Facts<'_>) -> StageStep {
    let rules = facts.rules();
    let present = facts.customer.status.stage.as_ref();
    match present.and_then(|state| Some((state, rules.stage(&state.name)?))) {
        None => first_stage(facts, rules, present),
        Some((state, stage)) => {
            let step = leave(facts, state, stage);
            let step = step.unwrap_or_else(|| next_stage(facts, rules, state, stage));
            match facts.customer.status.held(facts.as_of) {
                Some(_) => step.held(rules),
                None => step,
            }
        }
    }
}

fn first_stage(facts: &Facts<'_>, rules: &Rules, present: Option<&StageState>) -> StageStep {
    let mut refused = Vec::new();
    let mut best: Option<(i32, usize)> = None;
    for (index, stage) in rules.stages.iter().enumerate() {
        let Some(enter) = &stage.enter else { continue };
        if enter.from.is_some() {
            refused.push((index, Refusal::NotFromHere));
            continue;
        }
        match answer(facts, stage, enter) {
            Truth::No => refused.push((index, Refusal::DoesNotHold)),
            Truth::Unknown => refused.push((index, Refusal::Unknown)),
            Truth::Yes => match best {
                Some((priority, _)) if priority >= enter.priority => {
                    refused.push((index, Refusal::Outranked));
                }
                _ => {
                    refused.extend(best.map(|(_, other)| (other, Refusal::Outranked)));
                    best = Some((enter.priority, index));
                }
            },
        }
    }
    let change = best.and_then(|(_, index)| {
        let to = &rules.stages[index];
        let when = &to.enter.as_ref()?.when;
        Some(enter_stage(facts, present, &to.name, format!("stages.{}.enter", to.name), when))
    });
    StageStep { change, refused, ..StageStep::default() }
}

/// `leave` is judged first: a lower bar to stay than to enter.
fn leave(facts: &Facts<'_>, state: &StageState, stage: &Stage) -> Option<StageStep> {
    let leave = stage.leave.as_ref()?;
    // Its target is an exit, listed or not.
    let exit = stage.exit_to(&leave.to);
    let exit = exit.unwrap_or_else(|| Exit { to: leave.to.clone(), at_once: false });
    if !is_left(facts, stage) || kept_until(facts, state, stage, &exit).is_some() {
        return None;
    }
    let rule = format!("stages.{}.leave", stage.name);
    let change = enter_stage(facts, Some(state), &leave.to, rule, &leave.when);
    Some(StageStep { change: Some(change), ..StageStep::default() })
}

fn next_stage(facts: &Facts<'_>, rules: &Rules, state: &StageState, present: &Stage) -> StageStep {
    let mut refused = Vec::new();
    let mut best: Option<(i32, usize)> = None;
    let rank = present.enter.as_ref().map_or(i32::MIN, |enter| enter.priority);
    let no_longer_holds = !still_holds(facts, present);
    for (index, stage) in rules.stages.iter().enumerate() {
        let Some(enter) = stage.enter.as_ref().filter(|_| stage.name != present.name) else {
            continue;
        };
        let refusal = match present.exit_to(&stage.name) {
            None => Some(Refusal::NoExit),
            Some(_) if enter.from.as_ref().is_some_and(|from| !from.contains(&state.name)) => {
                Some(Refusal::NotFromHere)
            }
            Some(exit) => match answer(facts, stage, enter) {
                Truth::No => Some(Refusal::DoesNotHold),
                Truth::Unknown => Some(Refusal::Unknown),
                Truth::Yes => has_held(facts, &enter.when, enter.hold).err().or_else(|| {
                    let cooling = cools_until(facts, stage).map(Refusal::CoolingDown);
                    let kept = || kept_until(facts, state, present, &exit).map(Refusal::KeptUntil);
                    cooling.or_else(kept).or_else(|| {
                        let above = enter.priority > rank || no_longer_holds;
                        (!above).then_some(Refusal::NotAbovePresent)
                    })
                }),
            },
        };
        match (refusal, best) {
            (Some(refusal), _) => refused.push((index, refusal)),
            (None, Some((priority, _))) if priority >= enter.priority => {
                refused.push((index, Refusal::Outranked));
            }
            (None, _) => {
                refused.extend(best.map(|(_, other)| (other, Refusal::Outranked)));
                best = Some((enter.priority, index));
            }
        }
    }
    let change = best.and_then(|(_, index)| {
        let to = &rules.stages[index];
        let when = &to.enter.as_ref()?.when;
        let rule = format!("stages.{}.enter", to.name);
        Some(enter_stage(facts, Some(state), &to.name, rule, when))
    });
    StageStep { change, refused, ..StageStep::default() }
}

/// Whether a customer may enter a stage by its condition; not where the stage would be left again
/// at once by its own `leave`.
fn answer(facts: &Facts<'_>, stage: &Stage, enter: &Enter) -> Truth {
    match facts.answer(&enter.when) {
        Truth::Yes if is_left(facts, stage) => Truth::No,
        answer => answer,
    }
}

/// Whether a stage still holds its customer against stages of no higher priority. What cannot be
/// told holds; with a `leave` the stage holds until that says otherwise, which is the lower bar.
fn still_holds(facts: &Facts<'_>, present: &Stage) -> bool {
    match (&present.leave, &present.enter) {
        (Some(_), _) => !is_left(facts, present),
        (None, Some(enter)) => facts.answer(&enter.when) != Truth::No,
        (None, None) => false,
    }
}

fn is_left(facts: &Facts<'_>, stage: &Stage) -> bool {
    stage.leave.as_ref().is_some_and(|leave| {
        facts.answer(&leave.when) == Truth::Yes && has_held(facts, &leave.when, leave.hold).is_ok()
    })
}

/// Whether a condition that holds now has held for as long as is asked.
fn has_held(facts: &Facts<'_>, when: &Condition, hold: Option<Period>) -> Result<(), Refusal> {
    let Some(hold) = hold else { return Ok(()) };
    if facts.lifecycle.silent.is_empty() {
        return has_held_by(facts, when, hold, facts.as_of);
    }
    match facts.stilled(&facts.lifecycle.read_by(when)) {
        None => has_held_by(facts, when, hold, facts.as_of),
        // No time passes for what rests on a silent feed; for what holds without it, it does.
        Some(since) => has_held_by(facts, when, hold, since).or_else(|refusal| {
            match facts.without_silent().answer(when) {
                Truth::Yes => has_held_by(&facts.without_silent(), when, hold, facts.as_of),
                Truth::No | Truth::Unknown => Err(refusal),
            }
        }),
    }
}

/// The same of what has held by an instant.
fn has_held_by(
    facts: &Facts<'_>,
    when: &Condition,
    hold: Period,
    by: Timestamp,
) -> Result<(), Refusal> {
    let calendar = &facts.lifecycle.calendar;
    let look_back = SignedDuration::from_secs(look_back(calendar, hold));
    let look_back = look_back + facts.as_of.duration_since(by);
    let since = held_since(facts, when, look_back).unwrap_or(facts.as_of);
    if calendar.after(since, hold) <= by { Ok(()) } else { Err(Refusal::HeldSince(since)) }
}

/// The most seconds that a period can take.
pub(crate) fn look_back(calendar: &Calendar, period: Period) -> i64 {
    match period {
        Period::Elapsed(seconds) => seconds,
        Period::Workdays(_) => i64::from(calendar.at_most_days(period)) * DAY,
    }
}

/// Until when the present stage keeps its customers, when that is not over yet.
fn kept_until(
    facts: &Facts<'_>,
    state: &StageState,
    present: &Stage,
    exit: &Exit,
) -> Option<Timestamp> {
    let stay = present.stay_at_least.filter(|_| !exit.at_once)?;
    let until = facts.lifecycle.calendar.after(state.since, stay);
    (until > facts.as_of).then_some(until)
}

/// Until when a customer who left a stage stays away from it, when that is not over yet. A `leave`
/// and a person lead there all the same.
fn cools_until(facts: &Facts<'_>, stage: &Stage) -> Option<Timestamp> {
    let left = *facts.customer.status.left.get(&stage.name)?;
    let left = Timestamp::from_second(left).ok().filter(|left| *left <= facts.as_of)?;
    let until = facts.lifecycle.calendar.after(left, stage.cool_down?);
    (until > facts.as_of).then_some(until)
}

fn enter_stage(
    facts: &Facts<'_>,
    from: Option<&StageState>,
    to: &str,
    rule: String,
    when: &Condition,
) -> Change {
    Change {
        effect: Effect::EnterStage,
        from: from.map(|stage| stage.name.clone()),
        to: Some(to.to_owned()),
        rule,
        reasons: reasons(facts, when),
    }
}

/// The parts of a condition that hold, with what they read.
pub(crate) fn reasons(facts: &Facts<'_>, when: &Condition) -> Vec<Reason> {
    let leaves = when.leaves(facts);
    let all: Vec<Reason> = leaves.iter().map(Reason::of_leaf).collect();
    let decisive: Vec<Reason> = all.iter().filter(|reason| reason.value == true).cloned().collect();
    if decisive.is_empty() { all } else { decisive }
}

/// Assesses risk: the new assessment, and the change of band when there is one.
#[must_use]
pub fn assess_risk(
    customer: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<(Risk, Option<Change>)> {
    let facts = Facts::new(customer, lifecycle, now);
    let risk = score::risk(&facts)?;
    let before = customer.status.risk.as_ref().map(|risk| risk.band.clone());
    let change = (before.as_ref() != Some(&risk.band)).then(|| Change {
        effect: Effect::EnterBand,
        from: before,
        to: Some(risk.band.clone()),
        rule: "risk.bands".to_owned(),
        reasons: risk.reasons.clone(),
    });
    Some((risk, change))
}

/// Within a band, a probability that moved by less than five points in a hundred is not noted
/// again: most customers drift a little every night, and each write is billed.
pub(crate) const VISIBLE: f64 = 0.05;

/// A new assessment of risk that is worth noting, and the change when there is one: of its band, or a
/// rise that is told by itself.
#[must_use]
pub fn reassess(
    customer: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<(RiskNote, Option<Change>)> {
    let (risk, change) = assess_risk(customer, lifecycle, now)?;
    let before = customer.status.risk.as_ref();
    let rise = rise::risen(&Facts::new(customer, lifecycle, now), risk.probability);
    let change = match &rise {
        Some(rise) => Some(rise.change(before.map(|was| was.band.clone()), &risk)),
        None => change,
    };
    let moved = before.is_none_or(|was| (was.probability - risk.probability).abs() >= VISIBLE);
    (change.is_some() || moved).then(|| {
        let state = RiskState {
            probability: risk.probability,
            band_since: before.map_or(now, |was| was.band_since),
            band: risk.band,
            at: now,
        };
        let week = rise::week_after(&customer.status, lifecycle, rise.as_ref(), now);
        (RiskNote { state, week }, change)
    })
}

/// The first instant after `now` and up to `until` at which [`decide`] would change something with
/// no new event.
#[must_use]
pub fn next_due(
    customer: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
    until: Timestamp,
) -> Option<Timestamp> {
    let facts = Facts::new(customer, lifecycle, now);
    let ahead = Stretch { after: now.as_second(), until: until.as_second() };
    let points = points(&facts, conditions(lifecycle), deadlines(&facts), ahead);
    points.into_iter().find(|at| decide(customer, lifecycle, *at).is_change())
}

/// The instants after `facts.as_of` and up to `until` at which the judgement of a standard may be another
/// one with no new event, in order.
pub(crate) fn points_of_standard(
    facts: &Facts<'_>,
    name: &str,
    until: Timestamp,
) -> Vec<Timestamp> {
    let variants = || facts.lifecycle.variants.standards.iter().filter(|one| one.name == name);
    let overlays = facts.lifecycle.overlays.iter().map(|condition| (condition, [None, None]));
    let asked = variants().flat_map(|standard| asked_by(standard)).chain(overlays);
    let deadlines = with_after(variants().filter_map(|one| standard::runs_out(facts, one)));
    let ahead = Stretch { after: facts.as_of.as_second(), until: until.as_second() };
    points(facts, asked, deadlines, ahead)
}

/// The instants of a stretch at which an answer may change, a time that it begins may be over, or a
/// deadline may have passed, in order.
fn points<'a>(
    facts: &Facts<'_>,
    conditions: impl Iterator<Item = (&'a Condition, [Option<Period>; 2])>,
    deadlines: Vec<Timestamp>,
    ahead: Stretch,
) -> Vec<Timestamp> {
    let calendar = &facts.lifecycle.calendar;
    let mut points = Vec::new();
    for (when, holds) in conditions {
        let holds = holds.into_iter().flatten();
        let back: i64 = holds.clone().map(|hold| look_back(calendar, hold)).sum();
        let stretch = Stretch { after: ahead.after - back - 1, until: ahead.until };
        for at in change_points(facts, when, stretch) {
            points.push(at);
            if let (true, Ok(since)) = (back > 0, Timestamp::from_second(at)) {
                let held = holds.clone().fold(since, |at, hold| calendar.after(at, hold));
                // A standard is broken after its time, not at it.
                points.extend([held.as_second(), held.as_second() + 1]);
            }
        }
    }
    points.extend(deadlines.into_iter().map(|at| at.as_second()));
    points.retain(|at| ahead.after < *at && *at <= ahead.until);
    points.sort_unstable();
    points.dedup();
    points.into_iter().filter_map(|at| Timestamp::from_second(at).ok()).collect()
}

/// Every condition, and the times that begin when its answer changes, one after the other.
fn conditions(lifecycle: &Lifecycle) -> impl Iterator<Item = (&Condition, [Option<Period>; 2])> {
    let stages = lifecycle.variants.stages.iter().flat_map(|stage| {
        let checkpoints =
            stage.checkpoints.iter().map(|checkpoint| (&checkpoint.when, [None, None]));
        let enter = stage.enter.as_ref().map(|enter| (&enter.when, [enter.hold, None]));
        let leave = stage.leave.as_ref().map(|leave| (&leave.when, [leave.hold, None]));
        [enter, leave].into_iter().flatten().chain(checkpoints)
    });
    let overlays = lifecycle.overlays.iter().map(|condition| (condition, [None, None]));
    let standards = lifecycle.variants.standards.iter().flat_map(|standard| asked_by(standard));
    let playbooks = lifecycle.variants.playbooks.iter().flat_map(|playbook| {
        let steps = playbook.steps.iter().flat_map(|step| {
            let met = step.task().and_then(|task| task.met_when.as_ref());
            step.condition.iter().chain(met)
        });
        playbook.condition.iter().chain(steps).map(|condition| (condition, [None, None]))
    });
    stages.chain(standards).chain(overlays).chain(playbooks)
}

/// The conditions of a standard, and the times that begin when their answers change.
fn asked_by(standard: &Standard) -> impl Iterator<Item = (&Condition, [Option<Period>; 2])> {
    let (condition, hold) = match &standard.promise {
        Promise::Holds { condition, hold } => (Some(condition), *hold),
        _ => (None, None),
    };
    let asked = standard.only_if.iter().chain(condition);
    asked.map(move |condition| (condition, [hold, standard.grace]))
}

/// Instants at which a stage's keeping, a stage's time or a promise runs out.
fn deadlines(facts: &Facts<'_>) -> Vec<Timestamp> {
    let calendar = &facts.lifecycle.calendar;
    let mut found = Vec::new();
    let status = &facts.customer.status;
    let all = &facts.lifecycle.variants;
    if let Some(state) = &status.stage {
        let present = all.stages.iter().filter(|stage| stage.name == state.name);
        let periods = present.flat_map(|stage| [stage.stay_at_least, stage.target, stage.stuck]);
        found.extend(periods.flatten().map(|period| calendar.after(state.since, period)));
    }
    for stage in all.stages.iter() {
        let left = status.left.get(&stage.name).and_then(|at| Timestamp::from_second(*at).ok());
        found.extend(left.zip(stage.cool_down).map(|(left, period)| calendar.after(left, period)));
    }
    found.extend(status.hold.as_ref().and_then(|hold| hold.until));
    let waivers = status.tended.values().filter_map(|tended| tended.waiver.as_ref()?.until);
    found.extend(waivers);
    found.extend(all.standards.iter().filter_map(|one| standard::runs_out(facts, one)));
    found.extend(task::instants(status, facts.lifecycle));
    with_after(found.into_iter())
}

/// Instants, and the second after each: a promise is broken after its instant, not at it.
fn with_after(instants: impl Iterator<Item = Timestamp>) -> Vec<Timestamp> {
    instants.flat_map(|at| [at, at + SignedDuration::from_secs(1)]).collect()
}
