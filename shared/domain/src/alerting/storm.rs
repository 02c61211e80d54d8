//! A storm: a hundred thousand findings from one edit of the lifecycle file.

use jiff::SignedDuration;

use super::tests::World;

const FINDINGS: usize = 100_000;
/// How long the sweep that opens them takes, in seconds.
const SWEEP: i64 = 600;
const TICK: i64 = 10;

const ALERTS: &str = "  group_by: [standard]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes: [{ to: team }]";

fn customer(number: usize) -> String {
    format!("customer-{number}")
}

#[test]
fn a_storm_is_one_message_for_a_route_and_an_interval_and_state_of_one_group() {
    let mut world = World::new(ALERTS, "2026-01-15T12:00:00Z");
    let each = FINDINGS / usize::try_from(SWEEP / TICK).unwrap();
    let mut opened = 0;
    let mut largest = 0;
    for at in (0..=2 * SWEEP).step_by(usize::try_from(TICK).unwrap()) {
        world.now = world.start + SignedDuration::from_secs(at);
        let until = if at >= SWEEP { FINDINGS } else { opened + each };
        for number in opened..until {
            world.push(&customer(number), "late");
        }
        opened = until;
        world.tick();
        let sizes = world.groups.values().map(|group| serde_json::to_vec(group).unwrap().len());
        largest = sizes.max().unwrap_or_default().max(largest);
        assert_eq!(world.groups.len(), 1);
    }
    // The wait, and then every five minutes while there is news: at 30, 330 and 630 seconds.
    let told: Vec<i64> =
        world.sent.iter().map(|sent| sent.at.duration_since(world.start).as_secs()).collect();
    assert_eq!(told, [30, 330, 630]);
    assert_eq!(world.sent.last().unwrap().firing, FINDINGS as u64);
    assert!(largest < 24 * 1024, "{largest} bytes of state");

    // When all of it is mended, nothing is left of the group.
    for number in 0..FINDINGS {
        world.resolve(&customer(number), "late");
    }
    for _ in 0..(SWEEP / TICK) {
        world.now += SignedDuration::from_secs(TICK);
        world.tick();
    }
    assert_eq!(world.sent.len(), 4);
    assert!(world.groups.is_empty());
}
