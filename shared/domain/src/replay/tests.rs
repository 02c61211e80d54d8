//! A replay is the life that was lived.

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::lifecycle::presets::PRESETS;
use crate::tests_support::{commit, day, event, lifecycle};

/// What the presets have none of, over the preset's metrics.
fn whole() -> String {
    let stage = "  onboarding:\n";
    let more = "    checkpoints: { kickoff: { when: metrics.logins_7d > 0, target: 5d } }\n    \
                handoff: { to: success, ack_within: 2 workdays }\n    cool_down: 20d\n";
    let source = PRESETS[0].source.replacen(stage, &format!("{stage}{more}"), 1);
    assert_ne!(source, PRESETS[0].source);
    source
        + "\noverlays:\n  - for: traits.plan == \"enterprise\"\n    \
           stages: { onboarding: { target: 60d, stuck: 90d, cool_down: 2d } }\n"
}

/// What a customer of the preset may do on a day, by number.
fn happening(day: f64, what: u8) -> Event {
    let user = format!("u{}", what % 3);
    match what % 9 {
        0..=3 => event(day, "login", json!({ "user": user })),
        4 => event(day, "feature_used", json!({ "user": user, "feature": format!("f{what}") })),
        5 => event(day, "ticket_opened", json!({ "user": user })),
        6 => event(day, "kickoff_call", json!({ "user": user })),
        7 => event(day, "seat_report", json!({ "used": what })),
        _ => event(
            day,
            "group",
            json!({ "plan": if what > 128 { "team" } else { "enterprise" },
            "seats_bought": 10, "csm": "kim@example.com" }),
        ),
    }
}

fn log() -> impl Strategy<Value = Vec<Event>> {
    let happening = (0u32..60 * 24, any::<u8>())
        .prop_map(|(hour, what)| happening(f64::from(hour) / 24.0, what));
    proptest::collection::vec(happening, 1..60).prop_map(in_order)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replay_decides_what_live_runs_decided(
        log in log(), step in 1u32..9, is_whole in any::<bool>(),
    ) {
        let lifecycle = match is_whole {
            true => lifecycle(&whole()),
            false => lifecycle(PRESETS[0].source),
        };
        let mut replay = Replay::new(&lifecycle, &log);
        let mut live = Customer::default();
        let mut sent = 0;
        for at in (1..80).step_by(step as usize).map(|days| day(f64::from(days))) {
            // Live, events are committed as they come, each at its own instant.
            while let Some(new) = log.get(sent).filter(|event| event.at <= at) {
                commit(&mut live.profile, &lifecycle, &log[..=sent], std::slice::from_ref(new), new.at);
                sent += 1;
            }
            replay.until(at);
            let decided = replay.night(at);
            let mut entries = Vec::new();
            if let Some((note, changes)) = decide_risk(&live, &lifecycle, at) {
                live.status.note_risk(note);
                let made = changes.iter().map(|change| live.status.apply(change, at, &lifecycle));
                entries.extend(made);
            }
            for change in decide_stage(&live, &lifecycle, at).into_changes() {
                entries.push(live.status.apply(&change, at, &lifecycle));
            }
            for change in decide_standards(&live, &lifecycle, at) {
                entries.push(live.status.apply(&change, at, &lifecycle));
            }
            let replayed: Vec<JournalEntry> = decided.into_iter().map(|one| one.entry).collect();
            prop_assert_eq!(replayed, entries);
        }
        prop_assert_eq!(replay.customer.status, live.status);
    }

    #[test]
    fn steps_fold_to_what_one_fold_comes_to(log in log(), step in 1u32..20) {
        let lifecycle = lifecycle(PRESETS[0].source);
        let mut replay = Replay::new(&lifecycle, &log);
        for days in (1..90).step_by(step as usize) {
            replay.until(day(f64::from(days)));
        }
        let last = day(90.0);
        replay.until(last);
        let whole = profile_at(&lifecycle, &log, last);
        let mut stepped = replay.customer.profile;
        // Of tellings in between nothing is kept, and sets keep more than one window asks for.
        prop_assert_eq!(&stepped.traits.keys().collect::<Vec<_>>(), &whole.traits.keys().collect::<Vec<_>>());
        stepped.traits.clone_from(&whole.traits);
        stepped.series.retain(|_, series| !matches!(series, crate::customer::Series::Distinct(_)));
        let mut whole = whole;
        whole.series.retain(|_, series| !matches!(series, crate::customer::Series::Distinct(_)));
        prop_assert_eq!(stepped, whole);
    }
}

#[test]
fn what_came_late_is_where_it_belongs() {
    let lifecycle = lifecycle(PRESETS[0].source);
    let punctual = in_order(vec![happening(1.0, 8), happening(2.0, 0), happening(3.0, 1)]);
    let mut late = punctual.clone();
    late[1].received_at = late[1].at + SignedDuration::from_hours(24 * 30);
    late.rotate_left(1);
    let late = in_order(late);
    let life = |log: &[Event]| {
        let mut replay = Replay::new(&lifecycle, log);
        let mut entries = Vec::new();
        for days in 1..60 {
            replay.until(day(f64::from(days)));
            entries.extend(replay.night(day(f64::from(days))).into_iter().map(|one| one.entry));
        }
        entries
    };
    assert_eq!(life(&late), life(&punctual));
    assert!(!life(&late).is_empty());
}
