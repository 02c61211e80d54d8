//! Laws: whatever comes when, no alert is lost, none is told again too soon, and each that is not told
//! is held for a reason.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::tests::World;
use super::*;

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
}
