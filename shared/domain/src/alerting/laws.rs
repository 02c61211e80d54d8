//! Laws: whatever comes when, no alert is lost, none is told again too soon, and each that is not told
//! is held for a reason.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::tests::{World, file};
use super::*;
use crate::alert::Labels;
use crate::lifecycle::Lifecycle;

const ALERTS: &str = "  group_by: [csm]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
  routes: [{ match: { severity: high }, to: team, escalate: [{ after: 2h, to: boss }] }, { to: calm }]
  inhibit: [{ when: { stage: churned }, mute: { kind: finding }, equal: [customer] }]";

#[derive(Debug, Clone)]
enum Act {
    Push(u8, bool),
    Resolve(u8, bool),
    Silence(u8, i64),
    Churns(u8),
    Returns(u8),
    Ack,
    Pass(i64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0u8..6, any::<bool>()).prop_map(|(who, high)| Act::Push(who, high)),
        3 => (0u8..6, any::<bool>()).prop_map(|(who, high)| Act::Resolve(who, high)),
        1 => (0u8..6, 1i64..7_200).prop_map(|(who, seconds)| Act::Silence(who, seconds)),
        1 => (0u8..6).prop_map(Act::Churns),
        1 => (0u8..6).prop_map(Act::Returns),
        1 => Just(Act::Ack),
        6 => (1i64..90).prop_map(|ticks| Act::Pass(ticks * 10)),
    ]
}

fn customer(number: u8) -> String {
    ["acme", "axa", "ards", "boreal", "bond", "coil"][usize::from(number)].to_owned()
}

fn standard(high: bool) -> &'static str {
    if high { "late" } else { "dull" }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_is_told_again_too_soon(acts in prop::collection::vec(act(), 1..60)) {
        let mut world = World::new(ALERTS, "2026-01-15T11:00:00Z");
        let mut open = std::collections::BTreeSet::new();
        let pass = |world: &mut World, seconds: i64| {
            for _ in 0..seconds / 10 {
                world.now += SignedDuration::from_secs(10);
                world.tick();
            }
        };
        for act in acts {
            match act {
                Act::Push(who, high) => {
                    world.push(&customer(who), standard(high));
                    open.insert((customer(who), standard(high)));
                }
                Act::Resolve(who, high) => {
                    world.resolve(&customer(who), standard(high));
                    open.remove(&(customer(who), standard(high)));
                }
                Act::Silence(who, seconds) => {
                    world.silence(&format!("customer={}", customer(who)), seconds);
                }
                Act::Churns(who) => world.churns(&customer(who)),
                Act::Returns(who) => world.returns(&customer(who)),
                Act::Ack => world.ack_all(),
                Act::Pass(seconds) => pass(&mut world, seconds),
            }
            let firing: u64 = world.groups.values().map(Group::firing).sum();
            prop_assert_eq!(firing, open.len() as u64, "each is counted once");
            for group in world.groups.values() {
                for bucket in &group.buckets {
                    prop_assert!(bucket.fresh <= bucket.firing);
                }
            }
            for (id, step) in world.steps() {
                // What nobody was told of is due, or held back for a reason, and looked at again.
                let group = &world.groups[&id];
                if group.buckets.iter().any(|bucket| bucket.fresh + bucket.news > 0) {
                    prop_assert!(step.due().is_some(), "{:?}", step);
                }
                if world.has_unheard(group) {
                    let is_none = matches!(
                        step,
                        Step::Wait { hold: Hold::Nothing | Hold::Acknowledged, .. }
                    );
                    prop_assert!(!is_none, "{:?}", step);
                }
                if let Step::Wait { hold: Hold::NotYet(until), due } = step {
                    prop_assert!(until > world.now);
                    prop_assert!(due.is_some_and(|due| due <= until));
                }
            }
        }
        // Once silences are over, who left is back and the night has passed, whatever is so was told.
        (0..6).for_each(|who| world.returns(&customer(who)));
        pass(&mut world, 26 * 3_600);
        for group in world.groups.values() {
            prop_assert!(group.buckets.iter().all(|bucket| bucket.fresh + bucket.news == 0));
            prop_assert!(group.members.iter().all(|member| member.told));
        }
        let told: std::collections::BTreeSet<&str> =
            world.sent.iter().map(|sent| sent.group.as_str()).collect();
        prop_assert!(world.groups.keys().all(|id| told.contains(id.as_str())));
        // None is told twice within its pause.
        for (number, sent) in world.sent.iter().enumerate() {
            if matches!(sent.reason, Reason::Escalation { .. }) {
                continue;
            }
            let before = world.sent[..number].iter().rev().find(|before| {
                before.group == sent.group && !matches!(before.reason, Reason::Escalation { .. })
            });
            let Some(before) = before else { continue };
            let since = sent.at.duration_since(before.at).as_secs();
            let least = match sent.reason {
                // A message may be two minutes late, and the next one is not late for that.
                Reason::Repeat => 3_600 - 120,
                Reason::FirstWait => 0,
                _ => 300 - 120,
            };
            prop_assert!(since >= least, "{:?} {} s after {:?}", sent, since, before);
        }
    }

    #[test]
    fn a_group_counts_alike_those_it_knows_one_by_one_and_those_it_does_not(
        acts in prop::collection::vec(crowd_act(), 1..80),
    ) {
        let mut crowd = Crowd::new();
        for act in acts {
            crowd.act(act);
            let bucket = &crowd.group.buckets[0];
            let count = |what: fn(&Is) -> bool| crowd.is.iter().filter(|is| what(is)).count() as u64;
            prop_assert_eq!(bucket.firing, count(|is| matches!(is, Is::New | Is::Told)), "firing");
            prop_assert_eq!(bucket.fresh, count(|is| *is == Is::New), "fresh");
            prop_assert_eq!(bucket.resolved, count(|is| *is == Is::Ended), "resolved");
        }
    }
}

/// How one alert is, by what people heard of it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Is {
    Not,
    New,
    Told,
    /// It ended, and whoever heard of it was not told.
    Ended,
}

#[derive(Debug, Clone)]
enum CrowdAct {
    Fire(usize),
    FireFrom(usize, usize),
    End(usize),
    Message,
    /// A message that leaves the bucket out: it is inhibited, or silenced.
    MessageWithout {
        is_silenced: bool,
    },
}

fn crowd_act() -> impl Strategy<Value = CrowdAct> {
    let who = 0..Crowd::MOST;
    prop_oneof![
        3 => who.clone().prop_map(CrowdAct::Fire),
        1 => (who.clone(), 1..Crowd::MOST).prop_map(|(from, count)| CrowdAct::FireFrom(from, count)),
        4 => who.prop_map(CrowdAct::End),
        2 => Just(CrowdAct::Message),
        2 => any::<bool>().prop_map(|is_silenced| CrowdAct::MessageWithout { is_silenced }),
    ]
}

/// More alerts of one kind than a group knows one by one.
struct Crowd {
    lifecycle: Lifecycle,
    group: Group,
    notes: Vec<Option<Note>>,
    is: Vec<Is>,
    now: jiff::Timestamp,
    seq: u64,
}

impl Crowd {
    const MOST: usize = MAX_MEMBERS + 20;

    fn new() -> Crowd {
        let alerts = "  routes: [{ to: team, repeat_interval: 1h }]\n  inhibit: [{ when: { kind: feed_silent }, mute: { kind: finding } }]";
        let lifecycle = file(alerts);
        let route = &lifecycle.routes[0];
        let now = "2026-01-15T11:00:00Z".parse().unwrap();
        let group = Group::new(route, &[], &Labels::new(), now);
        let (notes, is) = (vec![None; Crowd::MOST], vec![Is::Not; Crowd::MOST]);
        let mut crowd = Crowd { lifecycle, group, notes, is, now, seq: 0 };
        (0..Crowd::MOST).for_each(|who| crowd.fire(who));
        crowd
    }

    fn arrival(&mut self, who: usize) -> Arrival {
        self.seq += 1;
        let labels = [("kind", "finding"), ("standard", "dull")];
        Arrival {
            key: format!("c{who}"),
            customer: format!("c{who}"),
            name: String::new(),
            alert: "finding.dull".to_owned(),
            headline: String::new(),
            labels: labels.map(|(label, value)| (label.to_owned(), vec![value.to_owned()])).into(),
            seq: self.seq,
            at: self.now,
        }
    }

    fn fire(&mut self, who: usize) {
        let arrival = self.arrival(who);
        let is_hidden = self.group.buckets.first().is_some_and(|bucket| bucket.is_hidden);
        self.notes[who] = Some(self.group.fire(&arrival, self.notes[who].as_ref(), self.now));
        self.is[who] = match self.is[who] {
            Is::Not => Is::New,
            Is::Ended if is_hidden => Is::New,
            Is::Ended => Is::Told,
            is => is,
        };
    }

    fn act(&mut self, act: CrowdAct) {
        self.now += SignedDuration::from_mins(10);
        match act {
            CrowdAct::Fire(who) => self.fire(who),
            CrowdAct::FireFrom(from, count) => {
                (from..(from + count).min(Crowd::MOST)).for_each(|who| self.fire(who));
            }
            CrowdAct::End(who) => {
                let arrival = self.arrival(who);
                let Some(before) = self.notes[who].clone() else { return };
                self.notes[who] = Some(self.group.resolve(&arrival, &before, self.now));
                self.is[who] = match self.is[who] {
                    Is::New | Is::Not => Is::Not,
                    Is::Told | Is::Ended => Is::Ended,
                };
            }
            CrowdAct::Message => self.message(&[], &[]),
            CrowdAct::MessageWithout { is_silenced: true } => {
                let silence = Silence {
                    id: "s".to_owned(),
                    matchers: vec![Matcher::parse("kind=finding").unwrap()],
                    author: "kim".to_owned(),
                    reason: "known".to_owned(),
                    starts_at: self.now,
                    ends_at: self.now + SignedDuration::from_mins(1),
                };
                self.message(&[silence], &[]);
            }
            CrowdAct::MessageWithout { is_silenced: false } => {
                let source = Inhibiting { rule: 0, equal: Vec::new(), is_muted_too: false };
                self.message(&[], &[source]);
            }
        }
    }

    fn message(&mut self, silences: &[Silence], sources: &[Inhibiting]) {
        let rules = &self.lifecycle.inhibit;
        let mutes = Mutes { silences, rules, sources, now: self.now };
        let is_muted = mutes.of_bucket(&self.group, 0);
        assert_eq!(is_muted.is_some(), !silences.is_empty() || !sources.is_empty());
        self.group.told(&Reason::NewAlerts, &mutes, self.now, self.now);
        for is in &mut self.is {
            *is = match (*is, &is_muted) {
                (Is::New, None) => Is::Told,
                (Is::Told, Some(_)) => Is::New,
                (Is::Ended, None | Some(Muted::Inhibited { .. })) => Is::Not,
                (is, _) => is,
            };
        }
    }
}
