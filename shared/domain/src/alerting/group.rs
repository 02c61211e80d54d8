//! A group of alerts: how many of which kind, and the first of them one by one.
//!
//! Invariant: `fresh <= firing` in each bucket, and folding the same alerts in any order of customers
//! comes to the same counts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::decide::{Policy, Reason};
use super::mute::{Muted, Mutes};
use crate::alert::Labels;
use crate::lifecycle::Route;

/// What is due is looked at every minute: a message that is later than this was held back.
const TICK_IS_LATE: SignedDuration = SignedDuration::from_mins(2);
/// How many alerts of a group are known one by one.
pub const MAX_MEMBERS: usize = 50;
/// How many bytes of names and labels those may have together.
const MAX_MEMBER_BYTES: usize = 24 * 1024;
/// How many different sets of labels are counted apart; the rest is counted as one.
const MAX_BUCKETS: usize = 100;
/// The labels that alerts are counted by.
const COUNTED: [&str; 7] = ["kind", "severity", "stage", "standard", "band", "checkpoint", "feed"];

/// Alerts that people hear of together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Names it everywhere.
    pub id: String,
    /// The route that took its alerts ([`Route::key`]).
    pub route: String,
    /// The receiver of that route.
    pub to: String,
    /// The labels all of its alerts have.
    pub labels: BTreeMap<String, String>,
    /// When its first alert came.
    pub opened_at: Timestamp,
    /// When an alert last came or ended.
    pub changed_at: Timestamp,
    /// Since when there is an alert, or news, that nobody was told of.
    #[serde(default)]
    pub fresh_since: Option<Timestamp>,
    /// Since when there is an end that nobody was told of.
    #[serde(default)]
    pub ended_since: Option<Timestamp>,
    /// How many alerts there are, by their labels.
    pub buckets: Vec<Bucket>,
    /// Up to [`MAX_MEMBERS`] of them.
    pub members: Vec<Member>,
    /// What was sent.
    pub log: Log,
    /// Who looks after it.
    #[serde(default)]
    pub ack: Option<Ack>,
}

/// How many alerts with the same labels there are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The labels that alerts are counted by.
    pub labels: Labels,
    /// Alerts that are.
    pub firing: u64,
    /// Of those, how many nobody was told of.
    pub fresh: u64,
    /// Alerts that were told of and ended since.
    pub resolved: u64,
    /// News that nobody was told of.
    pub news: u64,
    /// How often it was told of.
    pub epoch: u32,
    /// Whether a message left all of it out after it was last told of: then everything in it is new to
    /// the next one.
    #[serde(default)]
    pub is_hidden: bool,
}

/// Whether an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Firing,
    /// It was, and people heard of it.
    Resolved,
    /// It happened.
    News,
}

/// One alert of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The key of its customer.
    pub key: String,
    /// The customer's id.
    pub customer: String,
    /// The customer's name.
    pub name: String,
    /// Which alert of the customer.
    pub alert: String,
    /// What happened.
    pub headline: String,
    /// Its labels, but for those of the bucket and the group.
    pub labels: Labels,
    /// Where it is counted.
    pub bucket: u32,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is.
    pub state: State,
    /// Whether people heard of it.
    pub told: bool,
}

/// What was sent of a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// How many messages.
    pub messages: u32,
    /// When the last one was made.
    pub sent_at: Option<Timestamp>,
    /// The instant it was due at.
    pub due_at: Option<Timestamp>,
    /// The last turn at which all there was to tell was muted: it is told at a later one.
    #[serde(default)]
    pub held_at: Option<Timestamp>,
    /// Since when escalation counts.
    pub escalates_from: Option<Timestamp>,
    /// How many steps of it were taken.
    pub steps: usize,
}

/// That somebody looks after a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// A name or an address.
    pub author: String,
    /// Anything to remember about it.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What is remembered of one alert of a customer, to fold each of its changes once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The journal entry that it is as of.
    pub seq: u64,
    /// The group it is in.
    pub group: String,
    /// Where it is counted.
    pub bucket: u32,
    /// How often the bucket had been told of.
    pub epoch: u32,
    /// Whether it is.
    pub is_firing: bool,
    /// Whether people had heard of it by then.
    pub told: bool,
    /// What it mutes of other customers, by the keys of the store.
    #[serde(default)]
    pub mutes: Vec<String>,
}

/// An alert that comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The key of the customer.
    pub key: String,
    /// The customer's id.
    pub customer: String,
    /// The customer's name.
    pub name: String,
    /// Which alert of the customer.
    pub alert: String,
    /// What happened.
    pub headline: String,
    /// All of its labels.
    pub labels: Labels,
    /// The journal entry.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
}

/// The id of the group that alerts of a route with these labels are in.
#[must_use]
pub fn group_id(route: &str, labels: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    hash.update(route.as_bytes());
    for (label, value) in labels {
        hash.update([0]);
        hash.update(label.as_bytes());
        hash.update([1]);
        hash.update(value.as_bytes());
    }
    crate::hex(&hash.finalize()[..8])
}

impl Group {
    /// A group without alerts.
    #[must_use]
    pub fn new(route: &Route, by: &[String], labels: &Labels, at: Timestamp) -> Group {
        let value = |label: &String| labels.get(label).and_then(|values| values.first());
        let labels: BTreeMap<String, String> = by
            .iter()
            .map(|label| (label.clone(), value(label).cloned().unwrap_or_default()))
            .collect();
        let route_key = route.key();
        Group {
            id: group_id(&route_key, &labels),
            route: route_key,
            to: route.to.clone(),
            labels,
            opened_at: at,
            changed_at: at,
            fresh_since: None,
            ended_since: None,
            buckets: Vec::new(),
            members: Vec::new(),
            log: Log::default(),
            ack: None,
        }
    }

    /// How many alerts there are.
    #[must_use]
    pub fn firing(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.firing).sum()
    }

    /// Whether nothing is and nothing is left to tell.
    #[must_use]
    pub fn is_over(&self, policy: &Policy<'_>) -> bool {
        let untold = |bucket: &Bucket| {
            let ended = if policy.tells_resolved { bucket.resolved } else { 0 };
            bucket.firing + bucket.news + ended
        };
        self.buckets.iter().all(|bucket| untold(bucket) == 0)
    }

    /// An alert begins, or goes on as another one: what to remember of it. `before` is what was
    /// remembered, of this group.
    pub fn fire(&mut self, arrival: &Arrival, before: Option<&Note>, now: Timestamp) -> Note {
        let bucket = self.bucket_of(&arrival.labels);
        let here = before.filter(|note| note.bucket == bucket);
        if let Some(before) = before.filter(|note| note.bucket != bucket) {
            self.withdraw(&arrival.key, &arrival.alert, before);
        }
        let counted = self.bucket(bucket);
        let (epoch, has_ended, is_hidden) =
            (counted.epoch, counted.resolved > 0, counted.is_hidden);
        let note = |epoch, told| Note {
            seq: arrival.seq,
            group: self.id.clone(),
            bucket,
            epoch,
            is_firing: true,
            told,
            mutes: Vec::new(),
        };
        let note = match here {
            // It is already; what changes is the entry that says so.
            Some(before) if before.is_firing => {
                note(epoch, self.was_told(&arrival.key, &arrival.alert, before))
            }
            // It ended and began again before anybody heard of that.
            Some(before) if before.told && before.epoch == epoch && has_ended => {
                let note = note(epoch, !is_hidden);
                let counted = self.bucket(bucket);
                counted.resolved = counted.resolved.saturating_sub(1);
                counted.firing += 1;
                counted.fresh += u64::from(is_hidden);
                if is_hidden {
                    self.fresh_since.get_or_insert(now);
                }
                self.is_told_already();
                note
            }
            _ => {
                let note = note(epoch, false);
                let counted = self.bucket(bucket);
                counted.firing += 1;
                counted.fresh += 1;
                self.changed_at = self.changed_at.max(now);
                self.fresh_since.get_or_insert(now);
                note
            }
        };
        self.list(arrival, bucket, State::Firing, note.told);
        note
    }

    /// An alert ends: what to remember of it.
    pub fn resolve(&mut self, arrival: &Arrival, before: &Note, now: Timestamp) -> Note {
        let was_told = self.was_told(&arrival.key, &arrival.alert, before);
        if before.is_firing {
            self.uncount(before, was_told);
            if was_told {
                self.bucket(before.bucket).resolved += 1;
                self.changed_at = self.changed_at.max(now);
                self.ended_since.get_or_insert(now);
            }
            let found = self.position(&arrival.key, &arrival.alert);
            match (found, was_told) {
                (Some(at), true) => {
                    let member = &mut self.members[at];
                    member.state = State::Resolved;
                    member.headline.clone_from(&arrival.headline);
                }
                (Some(at), false) => {
                    self.members.remove(at);
                }
                (None, _) => {}
            }
        }
        let (epoch, told) = match before.is_firing {
            true => (self.bucket(before.bucket).epoch, was_told),
            // That it ended is remembered already, and as of when.
            false => (before.epoch, before.told),
        };
        Note { seq: arrival.seq, epoch, is_firing: false, told, ..before.clone() }
    }

    /// Something happened that is over with being told.
    pub fn tell(&mut self, arrival: &Arrival, now: Timestamp) -> Note {
        let bucket = self.bucket_of(&arrival.labels);
        let counted = self.bucket(bucket);
        counted.news += 1;
        let epoch = counted.epoch;
        self.changed_at = self.changed_at.max(now);
        self.fresh_since.get_or_insert(now);
        self.list(arrival, bucket, State::News, false);
        let (seq, group) = (arrival.seq, self.id.clone());
        Note { seq, group, bucket, epoch, is_firing: false, told: false, mutes: Vec::new() }
    }

    /// A customer that was erased goes from those that are known one by one; what is remembered of its
    /// alert says where it is counted.
    pub fn forget(&mut self, key: &str, alert: &str, note: Option<&Note>) {
        if let Some(note) = note.filter(|note| note.is_firing) {
            self.withdraw(key, alert, note);
        }
        let bucket_news: Vec<u32> = self
            .members
            .iter()
            .filter(|member| member.key == key && member.state == State::News)
            .map(|member| member.bucket)
            .collect();
        for bucket in bucket_news {
            let counted = self.bucket(bucket);
            counted.news = counted.news.saturating_sub(1);
        }
        let ended: Vec<u32> = self
            .members
            .iter()
            .filter(|member| member.key == key && member.state == State::Resolved)
            .map(|member| member.bucket)
            .collect();
        for bucket in ended {
            let counted = self.bucket(bucket);
            counted.resolved = counted.resolved.saturating_sub(1);
        }
        self.members.retain(|member| member.key != key);
        self.is_told_already();
    }

    /// Forgets since when there is something to tell where there is nothing any more.
    fn is_told_already(&mut self) {
        let is_none = |count: fn(&Bucket) -> u64| self.buckets.iter().all(|one| count(one) == 0);
        let has_fresh = !is_none(|bucket| bucket.fresh + bucket.news);
        let has_ended = !is_none(|bucket| bucket.resolved);
        self.fresh_since = self.fresh_since.filter(|_| has_fresh);
        self.ended_since = self.ended_since.filter(|_| has_ended);
    }

    /// What is true of the group once people were told what there was to hear.
    pub fn told(&mut self, reason: &Reason, mutes: &Mutes<'_>, due: Timestamp, now: Timestamp) {
        self.log.messages += 1;
        if let Reason::Escalation { step, .. } = reason {
            self.log.steps = step + 1;
            return;
        }
        let was_fresh = self.buckets.iter().any(|bucket| bucket.fresh > 0);
        // A pause counts from when a message was due, so that turns do not drift; from when it was made
        // where something had held it back.
        let is_held_back = now.duration_since(due) > TICK_IS_LATE;
        let due = if is_held_back { now } else { due };
        (self.log.sent_at, self.log.due_at) = (Some(now), Some(due));
        if self.log.escalates_from.is_none() || (self.ack.is_some() && was_fresh) {
            (self.log.escalates_from, self.log.steps, self.ack) = (Some(now), 0, None);
        }
        let muted: Vec<Option<Muted>> =
            (0..self.buckets.len()).map(|index| mutes.of_bucket(self, index)).collect();
        let mut left = vec![(0u64, 0u64, 0u64); self.buckets.len()];
        let mut members = std::mem::take(&mut self.members);
        members.retain_mut(|member| {
            let index = member.bucket as usize;
            let of_bucket = muted.get(index).cloned().flatten();
            let of_bucket = of_bucket.filter(|muted| muted.holds(member.state));
            let is_muted = of_bucket.is_some() || mutes.of_member(self, member).is_some();
            match (member.state, is_muted) {
                (State::Firing, true) => {
                    // As in Alertmanager, what was left out of a message is new to the next.
                    member.told = false;
                    left[index].0 += 1;
                    true
                }
                (State::Firing, false) => {
                    member.told = true;
                    true
                }
                (State::Resolved, true) => {
                    left[index].1 += 1;
                    true
                }
                (State::News, true) => {
                    left[index].2 += 1;
                    true
                }
                (State::Resolved | State::News, false) => false,
            }
        });
        self.members = members;
        for ((bucket, muted), (fresh, resolved, news)) in
            self.buckets.iter_mut().zip(muted).zip(left)
        {
            bucket.is_hidden = muted.is_some();
            if let Some(muted) = muted {
                bucket.fresh = bucket.firing;
                if !muted.holds(State::Resolved) {
                    bucket.resolved = 0;
                }
                continue;
            }
            (bucket.fresh, bucket.resolved, bucket.news) = (fresh, resolved, news);
            bucket.epoch += 1;
        }
        (self.fresh_since, self.ended_since) = (Some(now), Some(now));
        self.is_told_already();
    }

    fn was_told(&self, key: &str, alert: &str, note: &Note) -> bool {
        match self.position(key, alert) {
            Some(at) => self.members[at].told,
            None => {
                let bucket = self.buckets.get(note.bucket as usize);
                let is_hidden = bucket.is_some_and(|bucket| bucket.is_hidden);
                let was_told = bucket.is_some_and(|bucket| bucket.epoch > note.epoch);
                !is_hidden && (note.told || was_told)
            }
        }
    }

    /// Takes an alert out of where it was counted, as if it had never been.
    fn withdraw(&mut self, key: &str, alert: &str, note: &Note) {
        if note.is_firing {
            let was_told = self.was_told(key, alert, note);
            self.uncount(note, was_told);
        }
        if let Some(at) = self.position(key, alert) {
            self.members.remove(at);
        }
    }

    fn uncount(&mut self, note: &Note, was_told: bool) {
        let counted = self.bucket(note.bucket);
        counted.firing = counted.firing.saturating_sub(1);
        if !was_told {
            counted.fresh = counted.fresh.saturating_sub(1);
        }
        counted.fresh = counted.fresh.min(counted.firing);
        self.is_told_already();
    }

    /// Where the held alert of a customer is among those that are known.
    fn position(&self, key: &str, alert: &str) -> Option<usize> {
        self.members.iter().position(|member| {
            member.state != State::News && member.key == key && member.alert == alert
        })
    }

    fn bucket_of(&mut self, labels: &Labels) -> u32 {
        let counted: Labels = labels
            .iter()
            .filter(|(label, _)| COUNTED.contains(&label.as_str()))
            .map(|(label, values)| (label.clone(), values.clone()))
            .collect();
        let found = self.buckets.iter().position(|bucket| bucket.labels == counted);
        let index = found.unwrap_or_else(|| {
            if self.buckets.len() < MAX_BUCKETS {
                self.buckets.push(Bucket { labels: counted, ..Bucket::default() });
            } else if self.buckets.len() == MAX_BUCKETS {
                self.buckets.push(Bucket::default());
            }
            self.buckets.len() - 1
        });
        u32::try_from(index).unwrap_or_default()
    }

    /// A bucket; one that is not there is made, for a group that began anew counts anew.
    fn bucket(&mut self, index: u32) -> &mut Bucket {
        let index = (index as usize).min(MAX_BUCKETS);
        while self.buckets.len() <= index {
            self.buckets.push(Bucket::default());
        }
        &mut self.buckets[index]
    }

    fn list(&mut self, arrival: &Arrival, bucket: u32, state: State, told: bool) {
        if state != State::News
            && let Some(at) = self.position(&arrival.key, &arrival.alert)
        {
            let member = &mut self.members[at];
            (member.state, member.told, member.bucket) = (state, told, bucket);
            member.headline.clone_from(&arrival.headline);
            return;
        }
        let own = arrival.labels.iter().filter(|(label, _)| {
            !COUNTED.contains(&label.as_str())
                && !self.labels.contains_key(*label)
                && *label != "customer"
        });
        let member = Member {
            key: arrival.key.clone(),
            customer: arrival.customer.clone(),
            name: crate::alert::cut_chars(&arrival.name, 80),
            alert: arrival.alert.clone(),
            headline: crate::alert::cut_chars(&arrival.headline, 120),
            labels: own.map(|(label, values)| (label.clone(), values.clone())).collect(),
            bucket,
            since: arrival.at,
            state,
            told,
        };
        let bytes: usize = self.members.iter().map(bytes_of).sum();
        if self.members.len() < MAX_MEMBERS && bytes + bytes_of(&member) <= MAX_MEMBER_BYTES {
            self.members.push(member);
        }
    }
}

fn bytes_of(member: &Member) -> usize {
    let labels = member.labels.iter();
    let labels =
        labels.map(|(label, values)| label.len() + values.iter().map(String::len).sum::<usize>());
    let texts = [&member.key, &member.customer, &member.name, &member.alert, &member.headline];
    texts.into_iter().map(String::len).sum::<usize>() + labels.sum::<usize>()
}
