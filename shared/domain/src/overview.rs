//! A picture of all customers at an instant: how many are where, who moved, what is at risk, who is to
//! be looked at first.
//!
//! It is a fold over customers, each with what the journal says of it, in any order. People look at the
//! picture and not at the table, so that what a look costs does not grow with the number of customers.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::adherence::{Adherence, By, Row};
use crate::customer::{Customer, Scalar};
use crate::event::Event;
use crate::expr::{Name, Truth};
use crate::facts::Facts;
use crate::journal::{ChangeKind, JournalEntry};
use crate::lifecycle::Lifecycle;
use crate::pace::{Pace, pace};
use crate::replay::profile_at;
use crate::{score, stakes, task};

#[cfg(test)]
mod tests;

/// The spans of history that are told, in days.
pub const SPANS: [u32; 3] = [7, 30, 90];
/// So many customers are named in each part of a picture.
const MOST_NAMED: usize = 12;
/// So many customers are put in order, by their ids.
const MOST_RANKED: usize = 500;
/// So many segments have a part of their own, the first of the file.
const MOST_SEGMENTS: usize = 24;
/// So many owners are told one by one in each part, those with the most to do.
const MOST_OWNERS: usize = 50;
const DAY_SECONDS: i64 = 86_400;

/// All customers at an instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The instant.
    pub at: Timestamp,
    /// The version of the lifecycle file that it is told by.
    #[serde(default)]
    pub config_version: Option<u64>,
    /// How long it took to look at everybody, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
    /// Where the journal has more entries than one picture holds: since when moves and standards are
    /// told. It is never silently less.
    #[serde(default)]
    pub partial_since: Option<Timestamp>,
    /// Everybody, then each segment in the order of the file.
    pub parts: Vec<Part>,
    /// The ids of the 500 active customers with whom the most is at risk, and then of the most likely to
    /// leave.
    #[serde(default)]
    pub ranked: Vec<String>,
    /// As of when it was told what is retained.
    #[serde(default)]
    pub worth_at: Option<Timestamp>,
}

impl Overview {
    /// The part of a segment; of everybody where it is `None`.
    #[must_use]
    pub fn part(&self, segment: Option<&str>) -> Option<&Part> {
        self.parts.iter().find(|part| part.segment.as_deref() == segment)
    }

    /// Takes over from an earlier picture what is retained, and as of when.
    pub fn retained_as_in(&mut self, before: &Overview) {
        self.worth_at = before.worth_at;
        for part in &mut self.parts {
            let Some(before) = before.part(part.segment.as_deref()) else { continue };
            for (span, before) in part.spans.iter_mut().zip(&before.spans) {
                span.retained = before.retained;
            }
        }
    }
}

/// Some of the customers, or all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The segment; everybody where it is `None`.
    pub segment: Option<String>,
    /// How many customers there are.
    pub customers: u64,
    /// How many of them are in no stage that is lost.
    pub active: u64,
    /// What the active ones are worth, by `risk.value`; none where the file has none.
    pub value: Option<f64>,
    /// What is at risk with the active ones.
    pub at_risk: Option<f64>,
    /// Stages in the order of the file.
    pub stages: Vec<StagePart>,
    /// Bands of risk from the lowest, and how many active customers are in each.
    pub risk: Vec<(String, u64)>,
    /// Bands of health from the lowest, and how many active customers are in each.
    pub health: Vec<(String, u64)>,
    /// Who is to be looked at first.
    pub first: Vec<Named>,
    /// Who has what to do, those with the most first.
    pub owners: Vec<OwnerPart>,
    /// What happened, by span.
    pub spans: Vec<SpanPart>,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StagePart {
    /// Its name.
    pub stage: String,
    /// How many customers are in it.
    pub customers: u64,
    /// Of those how many are beyond its `target`.
    pub behind: u64,
    /// Of those how many are beyond its `stuck`.
    pub stuck: u64,
    /// Half of them have been in it for at most so many days.
    pub median_days: Option<f64>,
    /// What they are worth.
    pub value: f64,
}

/// A customer who is to be looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its name, where a trait tells it.
    pub name: Option<String>,
    /// Its stage.
    pub stage: Option<String>,
    /// The probability of leaving, 0 to 1.
    pub probability: f64,
    /// The band of it.
    pub band: String,
    /// What is at risk.
    pub at_risk: Option<f64>,
    /// The strongest reason.
    pub why: Option<String>,
    /// What is to be done next: the task that runs out first.
    pub task: Option<String>,
    /// Who does it.
    pub task_owner: Option<String>,
    /// By when.
    pub task_due: Option<Timestamp>,
    /// How many findings are open.
    pub findings: u64,
}

/// Somebody who has something to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnerPart {
    /// Who.
    pub owner: String,
    /// Findings that are open.
    pub findings: u64,
    /// Tasks that are open.
    pub tasks: u64,
    /// Of those how many are overdue.
    pub overdue: u64,
}

/// What happened in the last days.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpanPart {
    /// How many days.
    pub days: u32,
    /// Who moved: from, to and how often.
    pub moves: Vec<(Option<String>, String, u64)>,
    /// Customers who are lost, and were not before.
    pub lost: u64,
    /// What they were worth.
    pub lost_value: f64,
    /// Customers who were there, and not lost, when the span began.
    pub begun_with: u64,
    /// What became of what they were worth then; none where the lifecycle file says no value.
    #[serde(default)]
    pub retained: Option<Retained>,
    /// How well each standard was kept.
    pub adherence: Vec<Row>,
}

/// What became of the value of those who were there when a span began: nothing of who came later counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Retained {
    /// What they were worth then.
    pub begun: f64,
    /// Of that, what is still there: without what was added since (gross).
    pub kept: f64,
    /// What they are worth now (net); nothing where they are lost.
    pub now: f64,
    /// Those of whom it is not known, then or now.
    pub unknown: u64,
}

impl Retained {
    /// Gross revenue retention: from 0 to 1; none of nothing.
    #[must_use]
    pub fn gross(&self) -> Option<f64> {
        (self.begun > 0.0).then(|| self.kept / self.begun)
    }

    /// Net revenue retention: above 1 where more was added than lost; none of nothing.
    #[must_use]
    pub fn net(&self) -> Option<f64> {
        (self.begun > 0.0).then(|| self.now / self.begun)
    }

    fn add(&mut self, then: Option<f64>, now: Option<f64>) {
        match (then, now) {
            (Some(then), Some(now)) => {
                self.begun += then;
                self.kept += then.min(now);
                self.now += now;
            }
            _ => self.unknown += 1,
        }
    }
}

/// What a customer was worth at the beginnings of [`SPANS`], where that is what it is worth now; `None`
/// where only its log tells, because what the value is made of changed since, or is counted.
#[must_use]
pub fn worth_unchanged(
    customer: &Customer,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<[Option<f64>; 3]> {
    let stakes = lifecycle.stakes.as_ref()?;
    let first = begins(now, SPANS[2]).as_millisecond();
    let is_unchanged = |name: &Name| {
        let known = name.path.strip_prefix("traits.");
        known.is_some_and(|name| {
            customer.profile.traits.get(name).is_none_or(|told| told.since <= first)
        })
    };
    let is_same = stakes.value.names().iter().all(is_unchanged);
    is_same.then(|| [stakes::value(&Facts::new(customer, lifecycle, now)); 3])
}

/// The same, by the customer's log in its order.
#[must_use]
pub fn worth_by_log(log: &[Event], lifecycle: &Lifecycle, now: Timestamp) -> [Option<f64>; 3] {
    SPANS.map(|days| {
        let then = begins(now, days);
        let profile = profile_at(lifecycle, log, then);
        let customer = Customer { profile, ..Customer::default() };
        stakes::value(&Facts::new(&customer, lifecycle, then))
    })
}

fn begins(now: Timestamp, days: u32) -> Timestamp {
    let days = SignedDuration::from_hours(24 * i64::from(days));
    now.saturating_sub(days).unwrap_or(Timestamp::MIN)
}

/// A picture that is being taken.
#[derive(Debug)]
pub struct Taking<'a> {
    lifecycle: &'a Lifecycle,
    now: Timestamp,
    parts: Vec<Gathered<'a>>,
    ranked: Vec<(Urgency, String)>,
}

/// What is at risk, and how likely.
type Urgency = (f64, f64);

#[derive(Debug)]
struct Gathered<'a> {
    part: Part,
    days: Vec<Vec<i64>>,
    owners: BTreeMap<String, OwnerPart>,
    spans: Vec<GatheredSpan<'a>>,
}

#[derive(Debug)]
struct GatheredSpan<'a> {
    from: Timestamp,
    part: SpanPart,
    moves: BTreeMap<(Option<String>, String), u64>,
    adherence: Adherence<'a>,
}

impl<'a> Taking<'a> {
    /// Nobody was looked at yet.
    #[must_use]
    pub fn new(lifecycle: &'a Lifecycle, now: Timestamp) -> Taking<'a> {
        let segments = lifecycle.segments.iter().take(MOST_SEGMENTS);
        let segments = segments.map(|segment| Some(segment.name.clone()));
        let parts = std::iter::once(None).chain(segments);
        let parts = parts.map(|segment| Gathered::new(lifecycle, segment, now)).collect();
        Taking { lifecycle, now, parts, ranked: Vec::new() }
    }

    /// The instant from which on the journal is told.
    #[must_use]
    pub fn reaches_back_to(&self) -> Timestamp {
        let spans = self.parts[0].spans.iter();
        spans.map(|span| span.from).min().unwrap_or(self.now)
    }

    /// Takes one customer, its entries of the journal since [`Taking::reaches_back_to`], and what it was
    /// worth when each span began; where nobody asked, what is kept is not told.
    pub fn look_at(
        &mut self,
        id: &str,
        customer: &Customer,
        entries: &[JournalEntry],
        then: Option<[Option<f64>; 3]>,
    ) {
        let facts = Facts::new(customer, self.lifecycle, self.now);
        let seen = Seen::new(id, &facts, entries, then);
        let mut inside = vec![true];
        let segments = self.lifecycle.segments.iter().take(MOST_SEGMENTS);
        inside.extend(segments.map(|segment| facts.answer(&segment.condition) == Truth::Yes));
        for (gathered, is_inside) in self.parts.iter_mut().zip(inside) {
            if is_inside {
                gathered.add(&facts, &seen);
            }
        }
        if let (false, Some(risk)) = (seen.is_lost, &customer.status.risk) {
            self.rank(id, urgency(seen.at_risk, risk.probability));
        }
    }

    fn rank(&mut self, id: &str, mine: Urgency) {
        let place =
            self.ranked.partition_point(|(other, name)| (*other, id) >= (mine, name.as_str()));
        if place < MOST_RANKED {
            self.ranked.insert(place, (mine, id.to_owned()));
            self.ranked.truncate(MOST_RANKED);
        }
    }

    /// Takes what the journal says of somebody who was erased or joined another one since.
    pub fn remember(&mut self, entries: &[JournalEntry]) {
        for span in &mut self.parts[0].spans {
            let entries = span.of(entries);
            span.adherence.happened(&Customer::default(), entries);
        }
    }

    /// The picture.
    #[must_use]
    pub fn done(self) -> Overview {
        Overview {
            at: self.now,
            config_version: self.lifecycle.version,
            took_ms: 0,
            partial_since: None,
            parts: self.parts.into_iter().map(Gathered::done).collect(),
            ranked: self.ranked.into_iter().map(|(_, id)| id).collect(),
            worth_at: None,
        }
    }
}

/// What a customer adds, whichever parts it is in.
struct Seen<'s> {
    id: &'s str,
    entries: &'s [JournalEntry],
    /// The stage, as its place in the file, and for how many seconds.
    stage: Option<(usize, i64)>,
    is_lost: bool,
    value: Option<f64>,
    at_risk: Option<f64>,
    health: Option<String>,
    then: Option<[Option<f64>; 3]>,
}

impl<'s> Seen<'s> {
    fn new(
        id: &'s str,
        facts: &Facts<'_>,
        entries: &'s [JournalEntry],
        then: Option<[Option<f64>; 3]>,
    ) -> Seen<'s> {
        let status = &facts.customer.status;
        let place = |name: &str| facts.lifecycle.stages.iter().position(|one| one.name == name);
        let stage = status.stage.as_ref().and_then(|stage| {
            Some((place(&stage.name)?, facts.as_of.as_second() - stage.since.as_second()))
        });
        let value = stakes::value(facts);
        let risk = status.risk.as_ref();
        Seen {
            id,
            entries,
            is_lost: stage.is_some_and(|(place, _)| facts.lifecycle.stages[place].is_lost),
            stage,
            value,
            at_risk: value.zip(risk).map(|(value, risk)| value * risk.probability),
            health: score::health(facts).map(|health| health.band),
            then,
        }
    }

    /// What is retained of the customer over a span.
    fn retain(&self, span: &mut SpanPart) {
        let Some(then) = self.then else { return };
        let place = SPANS.iter().position(|days| *days == span.days).unwrap_or_default();
        let now = if self.is_lost { Some(0.0) } else { self.value };
        span.retained.get_or_insert_default().add(then[place], now);
    }
}

impl<'a> Gathered<'a> {
    fn new(lifecycle: &'a Lifecycle, segment: Option<String>, now: Timestamp) -> Gathered<'a> {
        let stages = lifecycle.stages.iter();
        let stages =
            stages.map(|stage| StagePart { stage: stage.name.clone(), ..StagePart::default() });
        let risk = lifecycle.risk.as_ref().map_or(&[][..], |risk| risk.bands());
        let health = lifecycle.health.as_ref().map_or(&[][..], |card| &card.bands);
        let worth = lifecycle.stakes.as_ref().map(|_| 0.0);
        let spans = SPANS.map(|days| GatheredSpan {
            from: begins(now, days),
            part: SpanPart { days, ..SpanPart::default() },
            moves: BTreeMap::new(),
            adherence: Adherence::new(lifecycle, By::Standard, now),
        });
        Gathered {
            days: vec![Vec::new(); lifecycle.stages.len()],
            owners: BTreeMap::new(),
            spans: spans.into(),
            part: Part {
                segment,
                value: worth,
                at_risk: worth,
                stages: stages.collect(),
                risk: risk.iter().map(|band| (band.name.clone(), 0)).collect(),
                health: health.iter().map(|band| (band.name.clone(), 0)).collect(),
                ..Part::default()
            },
        }
    }

    fn add(&mut self, facts: &Facts<'_>, seen: &Seen<'_>) {
        let part = &mut self.part;
        part.customers += 1;
        if let Some((place, seconds)) = seen.stage {
            let stage = &mut part.stages[place];
            stage.customers += 1;
            stage.value += seen.value.unwrap_or(0.0);
            let pace = pace(facts);
            stage.behind += u64::from(matches!(pace, Some(Pace::Behind | Pace::Stuck)));
            stage.stuck += u64::from(pace == Some(Pace::Stuck));
            self.days[place].push(seconds);
        }
        if !seen.is_lost {
            self.add_active(facts, seen);
        }
        self.add_owed(facts);
        for span in &mut self.spans {
            span.add(facts, seen);
        }
    }

    fn add_active(&mut self, facts: &Facts<'_>, seen: &Seen<'_>) {
        let part = &mut self.part;
        part.active += 1;
        add_to(&mut part.value, seen.value);
        add_to(&mut part.at_risk, seen.at_risk);
        count(&mut part.health, seen.health.as_deref());
        let Some(risk) = &facts.customer.status.risk else { return };
        count(&mut part.risk, Some(&risk.band));
        let is_lowest = part.risk.first().is_none_or(|(band, _)| *band == risk.band);
        if is_lowest {
            return;
        }
        let mine = urgency(seen.at_risk, risk.probability);
        let place = part.first.partition_point(|one| {
            let other = urgency(one.at_risk, one.probability);
            (other, seen.id) >= (mine, one.id.as_str())
        });
        if place < MOST_NAMED {
            part.first.insert(place, Named::new(facts, seen));
            part.first.truncate(MOST_NAMED);
        }
    }

    fn add_owed(&mut self, facts: &Facts<'_>) {
        let status = &facts.customer.status;
        for finding in &status.findings {
            let standard = facts.rules().standard(&finding.standard);
            let owner = standard.map_or("", |standard| standard.owner.as_str());
            self.owed(task::owner_name(owner, facts)).findings += 1;
        }
        for one in &status.tasks.open {
            let owed = self.owed(task::owner_name(&one.owner, facts));
            owed.tasks += 1;
            owed.overdue += u64::from(one.state(facts.as_of) == task::State::Overdue);
        }
    }

    fn owed(&mut self, owner: String) -> &mut OwnerPart {
        let owed = self.owners.entry(owner.clone()).or_default();
        owed.owner = owner;
        owed
    }

    fn done(self) -> Part {
        let mut part = self.part;
        for (stage, mut days) in part.stages.iter_mut().zip(self.days) {
            days.sort_unstable();
            let middle = days.get(days.len().saturating_sub(1) / 2);
            stage.median_days = middle.map(|seconds| *seconds as f64 / DAY_SECONDS as f64);
        }
        part.owners = self.owners.into_values().collect();
        let owed = |owner: &OwnerPart| owner.findings + owner.overdue;
        part.owners.sort_by(|a, b| (owed(b), b.tasks, &a.owner).cmp(&(owed(a), a.tasks, &b.owner)));
        part.owners.truncate(MOST_OWNERS);
        part.spans = self.spans.into_iter().map(GatheredSpan::done).collect();
        part
    }
}

impl GatheredSpan<'_> {
    fn of(&self, entries: &[JournalEntry]) -> Vec<JournalEntry> {
        entries.iter().filter(|entry| self.from <= entry.at).cloned().collect()
    }

    fn add(&mut self, facts: &Facts<'_>, seen: &Seen<'_>) {
        let entries = self.of(seen.entries);
        let is_lost = |name: Option<&str>| {
            name.and_then(|name| facts.lifecycle.stage(name)).is_some_and(|stage| stage.is_lost)
        };
        let mut was_lost = None;
        for entry in entries.iter().filter(|entry| entry.kind == ChangeKind::Stage) {
            let Some(to) = entry.to.clone().filter(|to| entry.from.as_ref() != Some(to)) else {
                continue;
            };
            was_lost = was_lost.or(Some(is_lost(entry.from.as_deref())));
            *self.moves.entry((entry.from.clone(), to)).or_default() += 1;
        }
        let first_seen = facts.customer.profile.first_seen;
        let is_old = first_seen != 0 && first_seen < self.from.as_millisecond();
        if is_old && !was_lost.unwrap_or(seen.is_lost) {
            self.part.begun_with += 1;
            seen.retain(&mut self.part);
            if seen.is_lost {
                self.part.lost += 1;
                self.part.lost_value += seen.value.unwrap_or(0.0);
            }
        }
        self.adherence.happened(facts.customer, entries);
        self.adherence.stands(facts.customer);
    }

    fn done(self) -> SpanPart {
        let mut part = self.part;
        let moves = self.moves.into_iter().map(|((from, to), count)| (from, to, count));
        part.moves = moves.collect();
        part.moves.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        part.adherence = self.adherence.rows();
        part
    }
}

impl Named {
    fn new(facts: &Facts<'_>, seen: &Seen<'_>) -> Named {
        let status = &facts.customer.status;
        let risk = status.risk.as_ref();
        let why = risk.and_then(|risk| score::risk(&facts.at(risk.at)));
        let why = why.and_then(|risk| Some(risk.reasons.into_iter().next()?.expression));
        let due = |task: &&task::Task| task.runs_out().unwrap_or(Timestamp::MAX);
        let task = status.tasks.open.iter().min_by_key(due);
        Named {
            id: seen.id.to_owned(),
            name: name(facts),
            stage: status.stage.as_ref().map(|stage| stage.name.clone()),
            probability: risk.map_or(0.0, |risk| risk.probability),
            band: risk.map(|risk| risk.band.clone()).unwrap_or_default(),
            at_risk: seen.at_risk,
            why,
            task: task.map(|task| task.title.clone()),
            task_owner: task.map(|one| task::owner_name(&one.owner, facts)),
            task_due: task.and_then(task::Task::runs_out),
            findings: status.findings.len() as u64,
        }
    }
}

/// A customer's name, where the trait `name` tells it.
#[must_use]
pub fn name(facts: &Facts<'_>) -> Option<String> {
    match &facts.customer.profile.traits.get("name")?.value {
        Scalar::Text(name) if !name.trim().is_empty() => Some(name.clone()),
        _ => None,
    }
}

fn urgency(at_risk: Option<f64>, probability: f64) -> Urgency {
    (at_risk.unwrap_or(0.0), probability)
}

fn add_to(sum: &mut Option<f64>, value: Option<f64>) {
    if let (Some(sum), Some(value)) = (sum, value) {
        *sum += value;
    }
}

fn count(bands: &mut [(String, u64)], band: Option<&str>) {
    if let Some((_, count)) = bands.iter_mut().find(|(name, _)| Some(name.as_str()) == band) {
        *count += 1;
    }
}
