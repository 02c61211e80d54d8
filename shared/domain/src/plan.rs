//! What a changed lifecycle file would do: the log replayed under the active and the proposed one.
//!
//! Two questions are asked of every customer. As of now: in which stage does the next night leave
//! it, under each file, from where it is? And over the months before: from the same start, which
//! moves, findings, tasks and alerts would each file have made? Where both files are the same, so are the
//! answers, and the plan is empty.
//!
//! Pure, and one customer at a time: [`Plan::look_at`] adds a customer to a [`Plan`], plans are
//! added up by [`Plan::merge`], in any order.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::alert;
use crate::customer::{Customer, Scalar, Status};
use crate::event::Event;
use crate::expr::Truth;
use crate::facts::Facts;
use crate::hierarchy::Below;
use crate::journal::{Effect, Reason};
use crate::lifecycle::Lifecycle;
use crate::replay::{Decided, Replay};
use crate::task::After;

#[cfg(test)]
mod tests;

/// How many customers a plan names, the most affected first.
pub const NAMED: usize = 10;
/// Who is back in a stage so soon after leaving it has flapped.
const FLAP: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Words that a stage of customers who are gone has in its name.
const GONE: [&str; 6] = ["churned", "lost", "cancelled", "canceled", "closed", "gone"];

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The file that decides at present.
    pub active: &'a Lifecycle,
    /// The file that would.
    pub proposed: &'a Lifecycle,
    /// The instants of the runs that are replayed, rising; the last is now.
    pub instants: Vec<Timestamp>,
    /// The trait that tells what a customer pays, where there is one.
    pub revenue: Option<String>,
}

impl<'a> Question<'a> {
    /// Weekly runs over the months up to `now`.
    #[must_use]
    pub fn weekly(
        active: &'a Lifecycle,
        proposed: &'a Lifecycle,
        now: Timestamp,
        months: u32,
        revenue: Option<String>,
    ) -> Question<'a> {
        let weeks = (i64::from(months) * 365 + 83) / 84;
        let back = |week: i64| now.saturating_sub(SignedDuration::from_hours(7 * 24 * week));
        let instants = (0..=weeks).rev().filter_map(|week| back(week).ok()).collect();
        Question { active, proposed, instants, revenue }
    }

    fn now(&self) -> Timestamp {
        self.instants.last().copied().unwrap_or_default()
    }
}

/// A customer as a plan looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its id.
    pub id: &'a str,
    /// What was decided about it, where that is known; else it is replayed.
    pub status: Option<&'a Status>,
    /// Its log, [`crate::replay::in_order`].
    pub log: &'a [Event],
    /// What the accounts below it counted at each instant of the question, under the active and
    /// under the proposed file; none where it has none, or nothing rolls up.
    pub below: Option<&'a [Below; 2]>,
}

/// Two numbers: under the active file, and under the proposed one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Both {
    /// Under the active file.
    pub active: u64,
    /// Under the proposed file.
    pub proposed: u64,
}

/// What is made under either file, and what only one of them makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference {
    /// How many are made.
    pub made: Both,
    /// How many only the proposed file makes.
    pub appear: u64,
    /// How many only the active file makes.
    pub vanish: u64,
}

/// Customers, and what they pay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weight {
    /// How many.
    pub customers: u64,
    /// What they pay together.
    pub revenue: f64,
}

/// A customer that would be in another stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// The customer's id.
    pub id: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What it pays.
    pub revenue: f64,
    /// Whether it is a customer that pays.
    pub is_paying: bool,
    /// Whether the proposed file takes it for one that is gone, and the active file does not.
    pub is_lost: bool,
    /// Its segments under the proposed file.
    pub segments: Vec<String>,
    /// Where it is.
    pub present: Option<String>,
    /// Where the active file leaves it.
    pub active: Option<String>,
    /// Where the proposed file leaves it.
    pub proposed: Option<String>,
    /// The rule that makes the difference, and the file it is in.
    pub rule: String,
    /// Whether it is the proposed file's rule that moves the customer; else it is the active
    /// file's, which would have.
    pub by_proposed: bool,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl Move {
    /// Paying customers that would be taken for gone come first, then those who pay most.
    fn rank(&self) -> (bool, bool, i64, &str) {
        let cents = -(self.revenue * 100.0).round() as i64;
        (!(self.is_lost && self.is_paying), !self.is_lost, cents, &self.id)
    }
}

/// What a changed file would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Customers looked at.
    pub customers: u64,
    /// Their events.
    pub events: u64,
    /// What they pay together.
    pub revenue: f64,
    /// Customers that would be in another stage as of now.
    pub moved: Weight,
    /// Of those, the paying ones that only the proposed file takes for gone.
    pub lost: Weight,
    /// By the stage under the active file and that under the proposed.
    pub by_stage: BTreeMap<(String, String), Weight>,
    /// By segment.
    pub by_segment: BTreeMap<String, Weight>,
    /// Whom it moves, the most affected first.
    pub named: Vec<Move>,
    /// Moves over the months.
    pub moves: Both,
    /// Returns to a stage within 30 days of leaving it.
    pub flaps: Both,
    /// Customers whose path over the months differs.
    pub paths_differ: u64,
    /// Findings opened over the months, by standard.
    pub findings: BTreeMap<String, Difference>,
    /// Alerts over the months, by receiver and kind.
    pub alerts: BTreeMap<(String, String), Difference>,
    /// Tasks over the months, by playbook and step.
    pub tasks: BTreeMap<String, Difference>,
    /// Tasks the next night opens, by playbook and step.
    pub tasks_now: BTreeMap<String, Difference>,
    /// Findings the next night opens, by standard.
    pub findings_now: BTreeMap<String, Difference>,
    /// Alerts the next night brings, by receiver and kind.
    pub alerts_now: BTreeMap<(String, String), Difference>,
    /// Customers in each stage at each instant.
    pub course: BTreeMap<Timestamp, BTreeMap<String, Both>>,
}

impl Plan {
    /// Whether the proposed file decides anything differently.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let same = |difference: &Difference| difference.appear == 0 && difference.vanish == 0;
        self.moved.customers == 0
            && self.paths_differ == 0
            && self.findings.values().chain(self.findings_now.values()).all(same)
            && self.alerts.values().chain(self.alerts_now.values()).all(same)
            && self.tasks.values().chain(self.tasks_now.values()).all(same)
    }

    /// The share of the customers that would be in another stage, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        match self.customers {
            0 => 0.0,
            all => self.moved.customers as f64 / all as f64,
        }
    }

    /// Adds what another part of the customers came to.
    pub fn merge(&mut self, other: Plan) {
        self.customers += other.customers;
        self.events += other.events;
        self.revenue += other.revenue;
        self.moved.add(other.moved);
        self.lost.add(other.lost);
        for (key, weight) in other.by_stage {
            self.by_stage.entry(key).or_default().add(weight);
        }
        for (key, weight) in other.by_segment {
            self.by_segment.entry(key).or_default().add(weight);
        }
        self.named.extend(other.named);
        self.keep_most_affected();
        self.moves.add(other.moves);
        self.flaps.add(other.flaps);
        self.paths_differ += other.paths_differ;
        add_all(&mut self.findings, other.findings);
        add_all(&mut self.findings_now, other.findings_now);
        add_all(&mut self.tasks, other.tasks);
        add_all(&mut self.tasks_now, other.tasks_now);
        add_all(&mut self.alerts, other.alerts);
        add_all(&mut self.alerts_now, other.alerts_now);
        for (at, stages) in other.course {
            let sum = self.course.entry(at).or_default();
            for (stage, both) in stages {
                sum.entry(stage).or_default().add(both);
            }
        }
    }

    fn keep_most_affected(&mut self) {
        self.named.sort_by(|a, b| a.rank().cmp(&b.rank()));
        self.named.truncate(NAMED);
    }

    /// Looks at one customer.
    pub fn look_at(&mut self, subject: Subject<'_>, question: &Question<'_>) {
        let now = question.now();
        let Some(end) = subject.log.iter().rposition(|event| event.at <= now) else { return };
        let log = &subject.log[..=end];
        self.customers += 1;
        self.events += log.len() as u64;
        let mut pair = Pair::new(log, subject.below, question);
        self.live_through(&mut pair, question);
        let status = subject.status.unwrap_or(&pair.active.customer.status).clone();
        self.look_ahead(subject.id, pair, status, question);
    }

    /// The months before now, under both files, from the same start.
    fn live_through(&mut self, pair: &mut Pair<'_>, question: &Question<'_>) {
        let (mut active, mut proposed) = (Path::default(), Path::default());
        for (index, at) in question.instants.iter().enumerate() {
            pair.until(index, *at);
            if !pair.active.has_begun() {
                continue;
            }
            if index == 0 {
                // What the file made of it before the months began is nobody's doing.
                pair.active.night(*at);
                pair.proposed.customer.status = pair.active.customer.status.clone();
            } else {
                active.note(&pair.active.night(*at), &pair.active.customer, question.active);
                proposed.note(
                    &pair.proposed.night(*at),
                    &pair.proposed.customer,
                    question.proposed,
                );
            }
            let stages = self.course.entry(*at).or_default();
            let customers = [&pair.active.customer, &pair.proposed.customer];
            for (customer, is_active) in customers.into_iter().zip([true, false]) {
                let Some(stage) = &customer.status.stage else { continue };
                let both = match stages.get_mut(&stage.name) {
                    Some(both) => both,
                    None => stages.entry(stage.name.clone()).or_default(),
                };
                if is_active {
                    both.active += 1;
                } else {
                    both.proposed += 1;
                }
            }
        }
        self.moves.add(Both { active: active.moves(), proposed: proposed.moves() });
        self.flaps.add(Both { active: active.flaps(), proposed: proposed.flaps() });
        self.paths_differ += u64::from(active.stages != proposed.stages);
        compare(&active.findings, &proposed.findings, &mut self.findings, |key| key.0.clone());
        compare(&active.tasks, &proposed.tasks, &mut self.tasks, |key| key.0.clone());
        compare(&active.alerts, &proposed.alerts, &mut self.alerts, AlertKey::group);
    }

    /// The next night, under both files, from where the customer is.
    fn look_ahead(&mut self, id: &str, pair: Pair<'_>, status: Status, question: &Question<'_>) {
        let now = question.now();
        let present = status.stage.as_ref().map(|stage| stage.name.clone());
        let mut next = [pair.active, pair.proposed];
        let files = [question.active, question.proposed];
        let mut paths = [Path::default(), Path::default()];
        let mut moves = [None, None];
        for ((replay, path), (file, moved)) in
            next.iter_mut().zip(&mut paths).zip(files.iter().zip(&mut moves))
        {
            replay.customer.status = status.clone();
            let decided = replay.night(now);
            path.note(&decided, &replay.customer, file);
            *moved =
                decided.into_iter().find(|one| matches!(one.change.effect, Effect::EnterStage));
        }
        let [active, proposed] = &paths;
        compare(&active.findings, &proposed.findings, &mut self.findings_now, |key| key.0.clone());
        compare(&active.tasks, &proposed.tasks, &mut self.tasks_now, |key| key.0.clone());
        compare(&active.alerts, &proposed.alerts, &mut self.alerts_now, AlertKey::group);

        let [active, proposed] = &next;
        let revenue = revenue(&active.customer, question);
        self.revenue += revenue;
        let stage = |replay: &Replay<'_>| {
            replay.customer.status.stage.as_ref().map(|stage| stage.name.clone())
        };
        let (from, to) = (stage(active), stage(proposed));
        if from == to {
            return;
        }
        let [by_active, by_proposed] = moves;
        let facts = Facts::new(&proposed.customer, question.proposed, now);
        let segments = segments(&facts);
        let is_gone = |stage: &Option<String>| stage.as_deref().is_some_and(is_gone);
        let is_lost = is_gone(&to) && !is_gone(&from);
        let is_paying = is_paying(revenue, &segments);
        let weight = Weight { customers: 1, revenue };
        self.moved.add(weight);
        if is_lost && is_paying {
            self.lost.add(weight);
        }
        let named = |stage: &Option<String>| stage.clone().unwrap_or_else(|| "none".to_owned());
        self.by_stage.entry((named(&from), named(&to))).or_default().add(weight);
        for segment in &segments {
            self.by_segment.entry(segment.clone()).or_default().add(weight);
        }
        let (change, is_proposed) = match (by_proposed, by_active) {
            (Some(decided), _) => (Some(decided.change), true),
            (None, decided) => (decided.map(|decided| decided.change), false),
        };
        let name = match proposed.customer.profile.traits.get("name").map(|told| &told.value) {
            Some(Scalar::Text(name)) if !name.trim().is_empty() => Some(name.clone()),
            _ => None,
        };
        self.named.push(Move {
            id: id.to_owned(),
            name,
            revenue,
            is_paying,
            is_lost,
            segments,
            present,
            active: from,
            proposed: to,
            rule: change.as_ref().map(|change| change.rule.clone()).unwrap_or_default(),
            by_proposed: is_proposed,
            reasons: change.map(|change| change.reasons).unwrap_or_default(),
        });
        if self.named.len() > 2 * NAMED {
            self.keep_most_affected();
        }
    }

    /// Brings the list of the most affected to its end. Call it after the last customer.
    pub fn finish(&mut self) {
        self.keep_most_affected();
    }
}

/// A customer under both files.
struct Pair<'a> {
    active: Replay<'a>,
    proposed: Replay<'a>,
    /// Both files count the same things: one fold serves both.
    is_counted_alike: bool,
    below: Option<&'a [Below; 2]>,
}

impl<'a> Pair<'a> {
    fn new(log: &'a [Event], below: Option<&'a [Below; 2]>, question: &Question<'a>) -> Pair<'a> {
        let Question { active, proposed, .. } = question;
        Pair {
            active: Replay::new(active, log),
            proposed: Replay::new(proposed, log),
            is_counted_alike: active.measures.fingerprint == proposed.measures.fingerprint,
            below,
        }
    }

    /// Both go on to an instant of the question.
    fn until(&mut self, index: usize, now: Timestamp) {
        if let Some([active, proposed]) = self.below {
            self.active.customer.below = active.at(index);
            self.proposed.customer.below = proposed.at(index);
        }
        self.active.until(now);
        if self.is_counted_alike {
            self.proposed.until_as(&self.active);
        } else {
            self.proposed.until(now);
        }
    }
}

/// What makes an alert the same under both files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AlertKey {
    receiver: String,
    kind: String,
    at: Timestamp,
    rule: String,
    to: Option<String>,
}

impl AlertKey {
    fn group(&self) -> (String, String) {
        (self.receiver.clone(), self.kind.clone())
    }
}

/// What one file made of a customer over some nights.
#[derive(Default)]
struct Path {
    stages: Vec<(Timestamp, String)>,
    /// The standard, and the key of the breach.
    findings: BTreeSet<(String, String)>,
    /// The playbook with its step, and the run.
    tasks: BTreeSet<(String, String)>,
    alerts: BTreeSet<AlertKey>,
}

impl Path {
    fn note(&mut self, decided: &[Decided], customer: &Customer, lifecycle: &Lifecycle) {
        for Decided { change, entry } in decided {
            match &change.effect {
                Effect::EnterStage => {
                    self.stages.push((entry.at, change.to.clone().unwrap_or_default()));
                }
                Effect::OpenFinding { standard, key }
                | Effect::ReopenFinding { standard, key, .. } => {
                    self.findings.insert((standard.clone(), key.clone()));
                }
                Effect::Task(task) if change.from.is_none() => {
                    if let After::Open(task) = &task.after {
                        self.tasks.insert((task.id(), task.run.clone()));
                    }
                }
                _ => {}
            }
            let labels = alert::labels(entry, customer, lifecycle);
            if let Some(receiver) = alert::route(entry.kind, &labels, lifecycle) {
                self.alerts.insert(AlertKey {
                    receiver: receiver.name.clone(),
                    kind: entry.kind.as_str().to_owned(),
                    at: entry.at,
                    rule: entry.rule.clone(),
                    to: entry.to.clone(),
                });
            }
        }
    }

    fn moves(&self) -> u64 {
        self.stages.len() as u64
    }

    /// Returns to a stage within 30 days of leaving it.
    fn flaps(&self) -> u64 {
        let back = self
            .stages
            .windows(3)
            .filter(|path| path[0].1 == path[2].1 && path[2].0.duration_since(path[1].0) <= FLAP);
        back.count() as u64
    }
}

/// Counts what both made, and what only one of them made.
fn compare<K: Ord, G: Ord>(
    active: &BTreeSet<K>,
    proposed: &BTreeSet<K>,
    into: &mut BTreeMap<G, Difference>,
    group: impl Fn(&K) -> G,
) {
    for key in active {
        let difference = into.entry(group(key)).or_default();
        difference.made.active += 1;
        difference.vanish += u64::from(!proposed.contains(key));
    }
    for key in proposed {
        let difference = into.entry(group(key)).or_default();
        difference.made.proposed += 1;
        difference.appear += u64::from(!active.contains(key));
    }
}

fn add_all<K: Ord>(into: &mut BTreeMap<K, Difference>, other: BTreeMap<K, Difference>) {
    for (key, difference) in other {
        let sum = into.entry(key).or_default();
        sum.made.add(difference.made);
        sum.appear += difference.appear;
        sum.vanish += difference.vanish;
    }
}

impl Both {
    fn add(&mut self, other: Both) {
        self.active += other.active;
        self.proposed += other.proposed;
    }
}

impl Weight {
    fn add(&mut self, other: Weight) {
        self.customers += other.customers;
        self.revenue += other.revenue;
    }
}

fn revenue(customer: &Customer, question: &Question<'_>) -> f64 {
    let told = question.revenue.as_ref().and_then(|name| customer.profile.traits.get(name));
    match told.map(|told| &told.value) {
        Some(Scalar::Number(number)) if number.is_finite() => *number,
        Some(Scalar::Text(text)) => {
            text.trim().parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or(0.0)
        }
        _ => 0.0,
    }
}

fn segments(facts: &Facts<'_>) -> Vec<String> {
    let segments = facts.lifecycle.segments.iter();
    let inside = segments.filter(|segment| facts.answer(&segment.condition) == Truth::Yes);
    inside.map(|segment| segment.name.clone()).collect()
}

/// Whoever pays something, or is in a segment `paying`.
fn is_paying(revenue: f64, segments: &[String]) -> bool {
    revenue > 0.0 || segments.iter().any(|segment| segment == "paying")
}

/// Whether a stage is that of customers who are gone, by its name.
#[must_use]
pub fn is_gone(stage: &str) -> bool {
    stage.split('_').any(|word| GONE.contains(&word))
}
