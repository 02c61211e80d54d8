//! Timelines: what is pushed when, and what must be told between which instants.
//!
//! The world below is the least that can hold groups: every ten seconds, which is how late a message may
//! be, it looks at those that changed and those that are due, and at no others, as a store does.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::alert::{Labels, route_of};
use crate::journal::ChangeKind;
use crate::lifecycle::{Lifecycle, Receiver};
use crate::period::Period;
use crate::tests_support::lifecycle;

const TICK: i64 = 10;

/// A lifecycle file with this section of alerts.
pub(super) fn file(alerts: &str) -> Lifecycle {
    lifecycle(&format!(
        "version: 1
workspace: {{ timezone: Europe/Berlin }}
traits: {{ csm: email?, big: yes_no? }}
metrics: {{ logins: {{ count: login, over: 7d }} }}
stages: {{ active: {{ enter: {{ when: metrics.logins > 0, priority: 1 }} }}, churned: {{}} }}
standards:
  late: {{ required: [traits.csm], severity: high, owner: ops }}
  dull: {{ required: [traits.big], severity: low, owner: ops }}
alerts:
{alerts}
  receivers:
    team: {{ sns: team }}
    boss: {{ sns: boss }}
    daily: {{ sns: team, at: \"weekdays 08:00\" }}
    calm: {{ sns: team, quiet: \"20:00-07:00\" }}
    few: {{ sns: team, cap_per_hour: 2 }}
"
    ))
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sent {
    pub(super) at: Timestamp,
    pub(super) to: String,
    pub(super) reason: Reason,
    pub(super) group: String,
    pub(super) firing: u64,
}

/// Groups, as a store holds them.
pub(super) struct World {
    pub(super) lifecycle: Lifecycle,
    pub(super) start: Timestamp,
    pub(super) now: Timestamp,
    pub(super) groups: BTreeMap<String, Group>,
    /// When there is something to do for a group; now where it is not known.
    due: BTreeMap<String, Option<Timestamp>>,
    pub(super) notes: BTreeMap<(String, String), Note>,
    pub(super) silences: Vec<Silence>,
    /// Customers that have churned.
    churned: Vec<String>,
    had: BTreeMap<(String, i64), (u32, bool)>,
    pub(super) sent: Vec<Sent>,
    seq: u64,
}

impl World {
    pub(super) fn new(alerts: &str, start: &str) -> World {
        let start = start.parse().unwrap();
        World {
            lifecycle: file(alerts),
            start,
            now: start,
            groups: BTreeMap::new(),
            due: BTreeMap::new(),
            notes: BTreeMap::new(),
            silences: Vec::new(),
            churned: Vec::new(),
            had: BTreeMap::new(),
            sent: Vec::new(),
            seq: 0,
        }
    }

    fn arrival(&mut self, customer: &str, standard: &str) -> Arrival {
        self.seq += 1;
        let severity = if standard == "late" { "high" } else { "low" };
        let stage = if self.churned.iter().any(|c| c == customer) { "churned" } else { "active" };
        let csm = format!("{}@example.com", customer.chars().next().unwrap_or('x'));
        let labels = [
            ("kind", "finding"),
            ("standard", standard),
            ("severity", severity),
            ("stage", stage),
            ("customer", customer),
            ("csm", csm.as_str()),
        ];
        let labels: Labels =
            labels.map(|(label, value)| (label.to_owned(), vec![value.to_owned()])).into();
        Arrival {
            key: customer.to_owned(),
            customer: customer.to_owned(),
            name: customer.to_uppercase(),
            alert: format!("finding.{standard}"),
            headline: format!("standard {standard} breached"),
            labels,
            seq: self.seq,
            at: self.now,
        }
    }

    pub(super) fn push(&mut self, customer: &str, standard: &str) {
        let arrival = self.arrival(customer, standard);
        let route = route_of(ChangeKind::Finding, &arrival.labels, &self.lifecycle);
        let route = HeldBy(route.expect("a route takes it"));
        let fresh = Group::new(route.0, route.group_by(), &arrival.labels, self.now);
        let key = (customer.to_owned(), arrival.alert.clone());
        let before = self.notes.get(&key).cloned();
        self.due.remove(&fresh.id);
        let group = self.groups.entry(fresh.id.clone()).or_insert(fresh);
        let note = group.fire(&arrival, before.as_ref(), self.now);
        self.notes.insert(key, note);
    }

    pub(super) fn resolve(&mut self, customer: &str, standard: &str) {
        let arrival = self.arrival(customer, standard);
        let key = (customer.to_owned(), arrival.alert.clone());
        let Some(before) = self.notes.get(&key).cloned() else { return };
        self.due.remove(&before.group);
        if let Some(group) = self.groups.get_mut(&before.group) {
            let note = group.resolve(&arrival, &before, self.now);
            self.notes.insert(key, note);
        }
    }

    pub(super) fn silence(&mut self, matchers: &str, seconds: i64) {
        let matchers = matchers.split(' ').map(|text| Matcher::parse(text).unwrap()).collect();
        let ends = self.now + SignedDuration::from_secs(seconds);
        let id = format!("s{}", self.silences.len());
        let who = (Some("kim"), Some("a test"));
        let silence = Silence::checked(id, matchers, who, (self.now, ends), self.now).unwrap();
        self.silences.push(silence);
    }

    pub(super) fn churns(&mut self, customer: &str) {
        self.churned.push(customer.to_owned());
    }

    pub(super) fn returns(&mut self, customer: &str) {
        self.churned.retain(|known| known != customer);
    }

    pub(super) fn ack_all(&mut self) {
        self.due.clear();
        for group in self.groups.values_mut() {
            let author = "kim".to_owned();
            group.ack = Some(Ack { author, reason: None, at: self.now });
        }
    }

    fn sources(&self) -> Vec<Inhibiting> {
        let standing: Vec<Labels> = self
            .churned
            .iter()
            .map(|customer| {
                let labels = [("kind", "stage"), ("stage", "churned"), ("customer", customer)];
                labels.map(|(label, value)| (label.to_owned(), vec![value.to_owned()])).into()
            })
            .collect();
        Inhibiting::of_customer(&self.lifecycle.inhibit, &standing)
    }

    /// What is due of each group now, as it would be sent.
    pub(super) fn steps(&self) -> Vec<(String, Step)> {
        let sources = self.sources();
        let rules = &self.lifecycle.inhibit;
        let mutes = Mutes { silences: &self.silences, rules, sources: &sources, now: self.now };
        let of = |group: &Group| {
            let policy = Policy::of(group, &self.lifecycle, self.cap(&group.to)).unwrap();
            next(group, &mutes, &policy, self.now)
        };
        self.groups.iter().map(|(id, group)| (id.clone(), of(group))).collect()
    }

    /// Whether there is an alert that nobody was told of and nothing mutes.
    pub(super) fn has_unheard(&self, group: &Group) -> bool {
        let (sources, rules) = (self.sources(), &self.lifecycle.inhibit);
        let mutes = Mutes { silences: &self.silences, rules, sources: &sources, now: self.now };
        let mut untold = group.members.iter().filter(|member| !member.told);
        untold
            .any(|member| member.state == State::Firing && mutes.of_member(group, member).is_none())
    }

    fn cap(&self, to: &str) -> Option<Cap> {
        let most = self.lifecycle.receiver(to)?.cap_per_hour?;
        let hour = self.now.as_second() / 3_600;
        let (had, is_summed_up) = self.had.get(&(to.to_owned(), hour)).copied().unwrap_or_default();
        let next = Timestamp::from_second((hour + 1) * 3_600).unwrap();
        Some(Cap { most, had, is_summed_up, next })
    }

    pub(super) fn tick(&mut self) {
        let ids: Vec<String> = self.groups.keys().cloned().collect();
        let mut summed_up = Vec::new();
        for id in ids {
            if self.due.get(&id).is_some_and(|due| due.is_none_or(|due| self.now < due)) {
                continue;
            }
            let found = self.steps().into_iter().find(|(known, _)| *known == id);
            let Some((_, Step::Send { reason, due })) = found else {
                self.hold(&id);
                self.drop_if_over(&id);
                continue;
            };
            let group = &self.groups[&id];
            let to = match &reason {
                Reason::Escalation { to, .. } => to.clone(),
                _ => group.to.clone(),
            };
            let sent = Sent {
                at: self.now,
                to: to.clone(),
                reason: reason.clone(),
                group: id.clone(),
                firing: group.firing(),
            };
            if reason == Reason::SummaryOverCap {
                summed_up.push(to);
            } else {
                let hour = self.now.as_second() / 3_600;
                self.had.entry((to, hour)).or_default().0 += 1;
            }
            self.sent.push(sent);
            let sources = self.sources();
            let rules = &self.lifecycle.inhibit;
            let mutes = Mutes { silences: &self.silences, rules, sources: &sources, now: self.now };
            let group = self.groups.get_mut(&id).unwrap();
            group.told(&reason, &mutes, due, self.now);
            self.note_due(&id);
            self.drop_if_over(&id);
        }
        for to in summed_up {
            let hour = self.now.as_second() / 3_600;
            self.had.entry((to, hour)).or_default().1 = true;
        }
    }

    fn hold(&mut self, id: &str) {
        let (sources, rules) = (self.sources(), &self.lifecycle.inhibit);
        let mutes = Mutes { silences: &self.silences, rules, sources: &sources, now: self.now };
        let group = self.groups.get_mut(id).unwrap();
        let policy = Policy::of(group, &self.lifecycle, None).unwrap();
        group.hold(&mutes, &policy, self.now);
        self.note_due(id);
    }

    fn note_due(&mut self, id: &str) {
        let found = self.steps().into_iter().find(|(known, _)| known == id);
        self.due.insert(id.to_owned(), found.and_then(|(_, step)| step.due()));
    }

    fn drop_if_over(&mut self, id: &str) {
        let group = &self.groups[id];
        let policy = Policy::of(group, &self.lifecycle, None).unwrap();
        if group.is_over(&policy) {
            self.groups.remove(id);
            self.due.remove(id);
        }
    }

    fn run(&mut self, script: &str, until: i64) -> String {
        let mut steps: Vec<(i64, Vec<&str>)> = script
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                let mut words = line.split_whitespace();
                (seconds(words.next().unwrap()), words.collect())
            })
            .collect();
        steps.reverse();
        for at in (0..=until).step_by(usize::try_from(TICK).unwrap()) {
            self.now = self.start + SignedDuration::from_secs(at);
            while steps.last().is_some_and(|(when, _)| *when <= at) {
                let (_, words) = steps.pop().unwrap();
                match words.as_slice() {
                    ["push", customer, standard] => self.push(customer, standard),
                    ["resolve", customer, standard] => self.resolve(customer, standard),
                    ["ack"] => self.ack_all(),
                    ["churns", customer] => self.churns(customer),
                    ["returns", customer] => self.returns(customer),
                    ["silence", matchers @ .., period] => {
                        self.silence(&matchers.join(" "), seconds(period));
                    }
                    ["unsilence"] => {
                        let now = self.now;
                        self.silences.iter_mut().for_each(|silence| silence.ends_at = now);
                    }
                    other => panic!("{other:?}"),
                }
            }
            self.tick();
        }
        let told = self.sent.iter().map(|sent| {
            let at = sent.at.duration_since(self.start).as_secs();
            format!("{} {} {} {}\n", period(at), sent.to, sent.reason.as_str(), sent.firing)
        });
        told.collect()
    }
}

fn team() -> Receiver {
    Receiver { name: "team".to_owned(), address: "team".to_owned(), ..Receiver::default() }
}

fn seconds(text: &str) -> i64 {
    text.split('+')
        .map(|part| match Period::parse(part).unwrap() {
            Period::Elapsed(seconds) => seconds,
            Period::Workdays(_) => panic!("{part} is no elapsed time"),
        })
        .sum()
}

fn period(at: i64) -> String {
    let parts = [(at / 3_600, "h"), (at / 60 % 60, "m"), (at % 60, "s")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join("+") }
}

/// Thursday noon in Berlin.
const NOON: &str = "2026-01-15T11:00:00Z";
const PLAIN: &str = "  group_by: [csm]\n  group_wait: 30s\n  group_interval: 5m\n  repeat_interval: 4h\n  routes: [{ to: team }]";

#[track_caller]
fn check(alerts: &str, start: &str, hours: i64, script: &str, expected: &str) {
    let told = World::new(alerts, start).run(script, hours * 3_600);
    let expected: String = expected
        .lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| format!("{}\n", l.trim()))
        .collect();
    assert_eq!(told, expected, "after {script}");
}

#[test]
fn a_new_group_waits_for_company_and_is_repeated_while_it_lasts() {
    let script = "0s push acme late\n20s push axa dull";
    check(PLAIN, NOON, 9, script, "30s team first 2\n4h+30s team repeat 2\n8h+30s team repeat 2");
}

#[test]
fn groups_are_by_the_values_of_labels() {
    let script = "0s push acme late\n10s push boreal late";
    check(PLAIN, NOON, 1, script, "30s team first 1\n40s team first 1");
}

#[test]
fn a_change_is_told_at_the_next_turn_and_with_all_others() {
    let script = "0s push acme late\n1m push axa late\n2m push ards late\n7m push aloha late";
    let told = "30s team first 1\n5m+30s team new_alerts 3\n10m+30s team new_alerts 4";
    check(PLAIN, NOON, 1, script, told);
}

#[test]
fn an_end_is_told_once_if_the_beginning_was() {
    let script = "0s push acme late\n1m resolve acme late";
    check(PLAIN, NOON, 9, script, "30s team first 1\n5m+30s team resolved 0");
    let script = "0s push acme late\n20s resolve acme late";
    check(PLAIN, NOON, 9, script, "");
    let script = "0s push acme late\n1m push axa late\n2m resolve axa late";
    check(PLAIN, NOON, 1, script, "30s team first 1");
}

#[test]
fn what_ends_and_begins_again_between_two_turns_is_no_change() {
    let script = "0s push acme late\n1m resolve acme late\n2m push acme late";
    check(PLAIN, NOON, 5, script, "30s team first 1\n4h+30s team repeat 1");
    // After the end was told it is a new group.
    let script = "0s push acme late\n1m resolve acme late\n6m push acme late";
    let told = "30s team first 1\n5m+30s team resolved 0\n6m+30s team first 1";
    check(PLAIN, NOON, 1, script, told);
}

#[test]
fn a_route_that_asks_for_open_findings_hears_of_no_end() {
    let open = PLAIN.replace("{ to: team }", "{ match: { state: open }, to: team }");
    let world = World::new(&open, NOON);
    let route = &world.lifecycle.routes[0];
    let group = Group::new(route, &["csm".to_owned()], &Labels::new(), world.now);
    assert!(!Policy::of(&group, &world.lifecycle, None).unwrap().tells_resolved);
    let both = PLAIN.replace("{ to: team }", "{ match: { state: [open, closed] }, to: team }");
    let world = World::new(&both, NOON);
    let group = Group::new(&world.lifecycle.routes[0], &[], &Labels::new(), world.now);
    assert!(Policy::of(&group, &world.lifecycle, None).unwrap().tells_resolved);
}

#[test]
fn a_silence_holds_back_what_it_is_about_and_is_told_when_it_ends() {
    let script = "0s silence customer=acme 1h\n10s push acme late";
    check(PLAIN, NOON, 2, script, "1h+40s team first 1");
    // The other of the group is told; then the one that was silenced is new.
    let script = "0s silence customer=acme 1h\n10s push acme late\n10s push axa late";
    check(PLAIN, NOON, 2, script, "40s team first 2\n1h+40s team new_alerts 2");
    // What is over by then was never told.
    let script = "0s silence standard=late 1h\n10s push acme late\n30m resolve acme late";
    check(PLAIN, NOON, 2, script, "");
    // A silence that does not match silences nothing.
    let script = "0s silence customer!=acme 1h\n10s push acme late";
    check(PLAIN, NOON, 1, script, "40s team first 1");
    let script = "0s silence customer=acme severity=low 1h\n10s push acme late";
    check(PLAIN, NOON, 1, script, "40s team first 1");
    let script = "0s silence customer=acme,axa 1h\n10s push acme late\n10m unsilence";
    check(PLAIN, NOON, 1, script, "10m+40s team first 1");
}

#[test]
fn an_end_that_was_silenced_is_told_when_the_silence_is_over() {
    let script = "0s push acme late\n1m silence customer=acme 1h\n10m resolve acme late";
    check(PLAIN, NOON, 3, script, "30s team first 1\n1h+5m+30s team resolved 0");
    let script =
        "0s push acme late\n0s push axa late\n1m silence customer=acme 1h\n10m resolve acme late";
    check(PLAIN, NOON, 3, script, "30s team first 2\n1h+5m+30s team resolved 1");
}

#[test]
fn an_end_is_told_whatever_else_is_so() {
    let inhibit = format!(
        "{PLAIN}\n  inhibit: [{{ when: {{ stage: churned }}, mute: {{ kind: finding }}, equal: [customer] }}]"
    );
    let script = "0s push acme late\n1m churns acme\n10m resolve acme late";
    check(&inhibit, NOON, 9, script, "30s team first 1\n10m+30s team resolved 0");
}

#[test]
fn what_goes_on_changing_is_told_at_each_turn_however_late_it_is_looked_at() {
    let mut world = World::new(PLAIN, NOON);
    for second in 0..1_800 {
        world.now = world.start + SignedDuration::from_secs(second);
        if second % 20 == 10 {
            world.push(&format!("a{second}"), "late");
        }
        // A tick a minute, half a minute after the turns.
        if second % 60 == 10 {
            world.tick();
        }
    }
    let told: Vec<i64> =
        world.sent.iter().map(|sent| sent.at.duration_since(world.start).as_secs() / 60).collect();
    assert_eq!(told, [1, 6, 11, 16, 21, 26]);
}

#[test]
fn all_but_a_digest_is_told_at_the_turns_of_its_group() {
    let odd = PLAIN.replace("repeat_interval: 4h", "repeat_interval: 7m");
    let told = "30s team first 1\n10m+30s team repeat 1\n20m+30s team repeat 1";
    check(
        &odd,
        NOON,
        1,
        "0s push acme late\n25m resolve acme late",
        &format!("{told}\n25m+30s team resolved 0"),
    );
    // What is silenced beside it puts off no digest.
    let daily = PLAIN.replace("to: team", "to: daily").replace("4h", "1 workday");
    let script = "0s silence customer=axa 200h\n0s push acme late\n0s push axa late";
    check(&daily, NOON, 95, script, "20h daily digest 2\n92h daily digest 2");
}

#[test]
fn an_acknowledged_group_is_quiet_until_another_alert_joins() {
    let escalates = PLAIN.replace(
        "{ to: team }",
        "{ to: team, escalate: [{ after: 1h, to: boss }, { after: 2h, to: boss }] }",
    );
    let script = "0s push acme late\n30m ack";
    check(&escalates, NOON, 10, script, "30s team first 1");
    let script = "0s push acme late\n30m ack\n3h push axa late";
    let told = "30s team first 1\n3h+30s team new_alerts 2\n4h+30s boss escalation 2\n5h+30s boss escalation 2\n7h+30s team repeat 2";
    check(&escalates, NOON, 9, script, told);
}

#[test]
fn nobody_acts_so_others_hear_of_it() {
    let escalates = PLAIN.replace(
        "{ to: team }",
        "{ to: team, escalate: [{ after: 1h, to: boss }, { after: 6h, to: boss }] }",
    );
    let script = "0s push acme late";
    let told = "30s team first 1\n1h+30s boss escalation 1\n4h+30s team repeat 1\n6h+30s boss escalation 1";
    check(&escalates, NOON, 7, script, told);
    // What is over escalates no further.
    let script = "0s push acme late\n50m resolve acme late";
    check(&escalates, NOON, 7, script, "30s team first 1\n50m+30s team resolved 0");
}

#[test]
fn a_digest_comes_at_its_time_of_working_days() {
    let daily = PLAIN.replace("to: team", "to: daily");
    // Thursday noon; Friday 08:00 is 20 hours later, Monday's 92.
    let script = "0s push acme late\n1h push axa late\n30h push ards dull";
    check(&daily, NOON, 95, script, "20h daily digest 2\n92h daily digest 3");
}

#[test]
fn a_quiet_time_holds_back_until_it_is_over() {
    let calm = PLAIN.replace("to: team", "to: calm");
    let script = "0s push acme late\n8h push axa late\n9h push ards late";
    // 19:00 quiet begins at 20:00, which is eight hours after noon.
    let told =
        "30s calm first 1\n4h+30s calm repeat 1\n19h calm new_alerts 3\n23h+30s calm repeat 3";
    check(&calm, NOON, 24, script, told);
}

#[test]
fn beyond_the_cap_one_summary_comes_in_place_of_the_rest() {
    let few = PLAIN.replace("to: team", "to: few");
    let script = "0s push acme late\n0s push boreal late\n0s push coil late\n0s push dune late\n1m push echo late";
    let told = "30s few first 1\n30s few first 1\n30s few summary_over_cap 1\n30s few summary_over_cap 1\n1h few first 1";
    check(&few, NOON, 2, script, told);
}

#[test]
fn what_holds_of_a_customer_mutes_its_other_alerts() {
    let inhibit = format!(
        "{PLAIN}\n  inhibit: [{{ when: {{ stage: churned }}, mute: {{ kind: [risk, finding] }}, equal: [customer] }}]"
    );
    let script = "0s churns acme\n10s push acme late\n10s push axa late";
    check(&inhibit, NOON, 1, script, "40s team first 2");
    let script = "0s churns acme\n10s push acme late\n30m returns acme";
    check(&inhibit, NOON, 1, script, "30m+40s team first 1");
}

#[test]
fn zero_wait_is_told_at_once() {
    let now = PLAIN.replace("group_wait: 30s", "group_wait: 0s");
    check(&now, NOON, 1, "10s push acme late", "10s team first 1");
}

#[test]
fn a_repetition_may_be_a_working_day() {
    let daily = PLAIN.replace("repeat_interval: 4h", "repeat_interval: 1 workday");
    // From Friday to Monday.
    let told = "30s team first 1\n72h+30s team repeat 1";
    check(&daily, "2026-01-16T11:00:00Z", 80, "0s push acme late", told);
}

#[test]
fn a_large_group_is_counted_exactly_and_stays_small() {
    let mut world = World::new(&PLAIN.replace("[csm]", "[kind]"), NOON);
    for number in 0..5_000 {
        world.push(&format!("customer-{number}"), if number % 3 == 0 { "late" } else { "dull" });
    }
    world.now = world.start + SignedDuration::from_secs(60);
    world.tick();
    for number in 0..4_990 {
        world.resolve(&format!("customer-{number}"), if number % 3 == 0 { "late" } else { "dull" });
    }
    let group = world.groups.values().next().unwrap();
    assert_eq!((world.groups.len(), group.firing()), (1, 10));
    let resolved: u64 = group.buckets.iter().map(|bucket| bucket.resolved).sum();
    assert_eq!(resolved, 4_990, "all were told");
    assert_eq!(group.members.len(), MAX_MEMBERS);
    assert!(serde_json::to_vec(group).unwrap().len() < 24 * 1024);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn a_message_is_cut_to_what_sns_takes_and_says_so() {
    let mut world = World::new(&PLAIN.replace("[csm]", "[kind]"), NOON);
    for number in 0..400 {
        world.push(&format!("customer-{number}\r\n<b>"), "late");
    }
    let group = world.groups.values().next().unwrap();
    let mutes = Mutes { silences: &[], rules: &[], sources: &[], now: world.now };
    let told = message("id-1", &team(), group, &Reason::FirstWait, &mutes, world.now, None);
    assert!(
        told.subject.chars().count() < 100 && !told.subject.contains(['\n', '\r']),
        "{}",
        told.subject
    );
    assert!(told.subject.starts_with("[400 firing] kind=finding: CUSTOMER-0"), "{}", told.subject);
    assert!(told.text.contains("… and 350 more."), "{}", told.text);
    assert!(told.text.contains("severity high: 400"), "{}", told.text);
    assert_eq!(told.attributes["truncated"], "true");
    assert_eq!(told.attributes["standard"], "late");
    assert_eq!(told.chat["metadata"]["threadId"], group.id.as_str());
    assert!(told.chat["content"]["description"].as_str().unwrap().contains("&lt;"));
    let small = World::new(PLAIN, NOON);
    let mut small = World { groups: BTreeMap::new(), ..small };
    small.push("acme", "late");
    let group = small.groups.values().next().unwrap();
    let told = message("id-2", &team(), group, &Reason::FirstWait, &mutes, small.now, None);
    assert!(!told.attributes.contains_key("truncated"));
    let sum = summary("id-3", &team(), &[group, group], 2, small.now);
    assert!(sum.subject.chars().count() < 100 && sum.text.contains("csm=a@example.com"), "{sum:?}");
}

#[test]
fn a_silence_forgets_a_customer_and_is_gone_where_nobody_else_is_left() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let check = |matchers: &[&str], expected: Option<&[&str]>| {
        let matchers: Vec<_> = matchers.iter().map(|text| Matcher::parse(text).unwrap()).collect();
        let silence = Silence {
            id: "s".to_owned(),
            matchers,
            author: "kim".to_owned(),
            reason: "known".to_owned(),
            starts_at: at("2026-01-01T00:00:00Z"),
            ends_at: at("2026-02-01T00:00:00Z"),
        };
        let is_about = silence.names("acme");
        let left = silence.without("acme");
        let left = left
            .map(|silence| silence.matchers.iter().map(ToString::to_string).collect::<Vec<_>>());
        let expected = expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(left, expected);
        is_about
    };
    assert!(!check(&["csm=acme"], Some(&["csm=acme"])));
    assert!(check(&["customer=acme"], None));
    assert!(check(&["customer=acme", "standard=late"], None), "it would be of everybody");
    assert!(check(
        &["customer=acme,axa", "standard=late"],
        Some(&["customer=axa", "standard=late"])
    ));
    assert!(check(&["customer!=acme", "standard=late"], Some(&["standard=late"])));
    assert!(check(&["customer!=acme"], None));
}
