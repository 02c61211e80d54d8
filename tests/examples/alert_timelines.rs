//! What the alert decision tells of timelines, as JSON: standard input has them, standard output the messages.
//!
//! `tests/alerts/run.py` runs the same timelines through a real Alertmanager and compares. Time is virtual
//! here: what is due is looked at when it is due, and what changed when it changed, as a store does it.
//!
//! A timeline is `{"file": the lifecycle file, "until": seconds, "events": [...]}`, and an event, in the
//! order of time, one of
//!
//! - `{"at": seconds, "fire": alert, "labels": {label: value}}`
//! - `{"at": seconds, "end": alert}`
//! - `{"at": seconds, "silence": name, "matchers": ["label=value"], "ends": seconds}`
//! - `{"at": seconds, "unsilence": name}`
//!
//! An alert is a customer's only finding; its name is the customer's. Of each timeline is told
//! `{"sent": [{"at", "to", "group", "firing", "resolved", "reason"}], "over": [[group, seconds]],
//! "opened": [[group, seconds]], "untold": alerts that ended before anybody heard of them, "muted": alerts
//! whose end was muted}`.

#![allow(clippy::unwrap_used, reason = "what it is given is made by a program")]
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::collections::BTreeMap;
use std::io::Read as _;

use domain::alert::{Labels, route_of};
use domain::alerting::{
    Arrival, Group, HeldBy, Inhibiting, Matcher, Mutes, Note, Policy, Silence, State, Step,
    message, next,
};
use domain::journal::ChangeKind;
use domain::lifecycle::{Lifecycle, load};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let timelines: Vec<Json> = serde_json::from_str(&text).unwrap();
    let told: Vec<Json> =
        timelines.iter().map(|timeline| World::new(timeline).live(timeline)).collect();
    println!("{}", Json::from(told));
}

/// Groups as a store has them, and all alerts there are.
struct World {
    lifecycle: Lifecycle,
    now: Timestamp,
    groups: BTreeMap<String, (Group, Option<Timestamp>)>,
    notes: BTreeMap<String, Note>,
    alerts: BTreeMap<String, Labels>,
    /// The labels of those that ended, too.
    labels: BTreeMap<String, Labels>,
    silences: Vec<Silence>,
    seq: u64,
    sent: Vec<Json>,
    over: Vec<Json>,
    opened: Vec<Json>,
    untold: Vec<String>,
    muted: Vec<String>,
}

fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn instant(seconds: &Json) -> Timestamp {
    start() + SignedDuration::from_millis((seconds.as_f64().unwrap() * 1_000.0).round() as i64)
}

fn seconds(at: Timestamp) -> f64 {
    at.duration_since(start()).as_millis() as f64 / 1_000.0
}

impl World {
    fn new(timeline: &Json) -> World {
        let lifecycle = load(timeline["file"].as_str().unwrap());
        World {
            lifecycle: lifecycle.unwrap_or_else(|wrong| panic!("{wrong:?}")),
            now: start(),
            groups: BTreeMap::new(),
            notes: BTreeMap::new(),
            alerts: BTreeMap::new(),
            labels: BTreeMap::new(),
            silences: Vec::new(),
            seq: 0,
            sent: Vec::new(),
            over: Vec::new(),
            opened: Vec::new(),
            untold: Vec::new(),
            muted: Vec::new(),
        }
    }

    fn live(mut self, timeline: &Json) -> Json {
        let until = instant(&timeline["until"]);
        let mut events = timeline["events"].as_array().unwrap().iter().peekable();
        loop {
            let event = events.peek().map(|event| instant(&event["at"]));
            let due = self.groups.values().filter_map(|(_, due)| *due).min();
            let Some(at) = event.into_iter().chain(due).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            match event.filter(|event| *event <= at) {
                Some(_) => self.happens(events.next().unwrap()),
                None => self.settle_due(),
            }
        }
        json!({
            "sent": self.sent,
            "over": self.over,
            "opened": self.opened,
            "untold": self.untold,
            "muted": self.muted,
        })
    }

    fn happens(&mut self, event: &Json) {
        if let Some(alert) = event["fire"].as_str() {
            let labels = event["labels"].as_object().unwrap().iter();
            let labels: Labels = labels
                .map(|(label, value)| (label.clone(), vec![value.as_str().unwrap().to_owned()]))
                .collect();
            self.fire(alert, labels);
        } else if let Some(alert) = event["end"].as_str() {
            self.end(alert);
        } else if let Some(name) = event["silence"].as_str() {
            let matchers = event["matchers"].as_array().unwrap().iter();
            let matchers = matchers.map(|text| Matcher::parse(text.as_str().unwrap()).unwrap());
            let who = (Some("kim"), Some("away"));
            let times = (self.now, instant(&event["ends"]));
            let silence =
                Silence::checked(name.to_owned(), matchers.collect(), who, times, self.now);
            self.silences.push(silence.unwrap());
        } else {
            let name = event["unsilence"].as_str().unwrap();
            let now = self.now;
            let ended = self.silences.iter_mut().filter(|silence| silence.id == name);
            ended.for_each(|silence| silence.ends_at = now);
        }
    }

    fn arrival(&mut self, alert: &str, labels: &Labels) -> Arrival {
        self.seq += 1;
        Arrival {
            key: alert.to_owned(),
            customer: alert.to_owned(),
            name: alert.to_owned(),
            alert: "finding".to_owned(),
            headline: "breached".to_owned(),
            labels: labels.clone(),
            seq: self.seq,
            at: self.now,
        }
    }

    fn fire(&mut self, alert: &str, labels: Labels) {
        self.alerts.insert(alert.to_owned(), labels.clone());
        self.labels.insert(alert.to_owned(), labels.clone());
        let arrival = self.arrival(alert, &labels);
        let Some(route) = route_of(ChangeKind::Finding, &labels, &self.lifecycle) else { return };
        let route = HeldBy(route);
        let fresh = Group::new(route.0, route.group_by(), &labels, self.now);
        let id = fresh.id.clone();
        if !self.groups.contains_key(&id) {
            self.opened.push(json!([id, seconds(self.now)]));
        }
        let (group, _) = self.groups.entry(id.clone()).or_insert((fresh, None));
        let note = group.fire(&arrival, self.notes.get(alert), self.now);
        self.notes.insert(alert.to_owned(), note);
        self.settle(&id);
    }

    fn end(&mut self, alert: &str) {
        let Some(labels) = self.alerts.remove(alert) else { return };
        let arrival = self.arrival(alert, &labels);
        let Some(before) = self.notes.get(alert).cloned() else { return };
        if let Some((group, _)) = self.groups.get_mut(&before.group) {
            let note = group.resolve(&arrival, &before, self.now);
            if !note.told {
                self.untold.push(alert.to_owned());
            }
            self.notes.insert(alert.to_owned(), note);
        }
        self.settle(&before.group);
    }

    fn sources(&self) -> Vec<Inhibiting> {
        let rules = &self.lifecycle.inhibit;
        let all: Vec<Labels> = self.alerts.values().cloned().collect();
        let mut found = Inhibiting::of_customer(rules, &all);
        found.extend(all.iter().flat_map(|labels| Inhibiting::of_others(rules, labels)));
        found
    }

    fn is_muted(&self, labels: &Labels) -> bool {
        let (sources, rules) = (self.sources(), &self.lifecycle.inhibit);
        let mutes = Mutes { silences: &self.silences, rules, sources: &sources, now: self.now };
        mutes.of(labels).is_some()
    }

    fn settle_due(&mut self) {
        let is_due = |due: &Option<Timestamp>| due.is_some_and(|due| due <= self.now);
        let due = self.groups.iter().filter(|(_, (_, due))| is_due(due));
        for id in due.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.settle(&id);
        }
    }

    /// Tells a group if it is due, and notes when it is next.
    fn settle(&mut self, id: &str) {
        let Some((mut group, _)) = self.groups.remove(id) else { return };
        let ended = group.members.iter().filter(|member| member.state == State::Resolved);
        let muted = ended.filter(|member| self.is_muted(&self.labels[&member.key]));
        self.muted.extend(muted.map(|member| member.key.clone()).collect::<Vec<_>>());
        let (sources, rules, now) = (self.sources(), &self.lifecycle.inhibit, self.now);
        let mutes = Mutes { silences: &self.silences, rules, sources: &sources, now };
        let policy = Policy::of(&group, &self.lifecycle, None).unwrap();
        match next(&group, &mutes, &policy, now) {
            Step::Send { reason, due } => {
                let told = message("id", policy.receiver, &group, &reason, &mutes, now, None);
                let body: Json = serde_json::from_str(&told.post.unwrap().body).unwrap();
                let listed = |state: &str| -> Vec<Json> {
                    let alerts = body["data"]["alerts"].as_array().unwrap().iter();
                    let alerts = alerts.filter(|alert| alert["state"] == state);
                    alerts.map(|alert| alert["customer"].clone()).collect()
                };
                self.sent.push(json!({
                    "at": seconds(now),
                    "to": body["data"]["receiver"],
                    "group": body["data"]["labels"],
                    "reason": reason.as_str(),
                    "firing": listed("firing"),
                    "resolved": listed("resolved"),
                }));
                group.told(&reason, &mutes, due, now);
            }
            Step::Wait { .. } => group.hold(&mutes, &policy, now),
        }
        if group.is_over(&policy) {
            self.over.push(json!([id, seconds(now)]));
            return;
        }
        let due = next(&group, &mutes, &policy, now).due();
        assert!(group.members.iter().all(|member| member.state != State::News));
        assert!(due.is_none_or(|due| due > now), "{due:?} is not after {now}");
        self.groups.insert(id.to_owned(), (group, due));
    }
}
