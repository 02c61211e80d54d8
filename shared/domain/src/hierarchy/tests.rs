//! What was below an account is told as it was.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::customer::Customer;
use crate::decide::decide_stage;
use crate::journal::JournalEntry;
use crate::replay::in_order;
use crate::tests_support::{commit, day, event, lifecycle};

const SOURCE: &str = "version: 1
traits: { parent: account?, plan: [trial, team] }
metrics:
  logins: { count: login, over: 7d, roll_up: true }
  users: { distinct: user, over: 14d, roll_up: true }
  idle: { days_since: login, roll_up: true }
  used: { latest: seats.used, stale_after: 10d, roll_up: true }
  own: { count: ticket, over: 30d }
stages:
  quiet: { enter: { when: metrics.idle >= 0, priority: 10 } }
  used: { enter: { when: metrics.used > 5, priority: 15 } }
  wide: { enter: { when: metrics.users >= 2, priority: 20 } }
  busy: { enter: { when: metrics.logins >= 4, for: 2d, priority: 30 } }
standards:
  spoken: { silence: { events: [ticket], limit: 9d }, severity: low, owner: csm }
";

const ACCOUNTS: [&str; 4] = ["a", "b", "c", "d"];

fn told(days: f64, parent: &str) -> Event {
    event(days, "group", json!({ "parent": parent }))
}

fn happening(day: f64, what: u8) -> Event {
    match what % 8 {
        0..=3 => event(day, "login", json!({ "user": format!("u{}", what % 3) })),
        4 => event(day, "ticket", json!({})),
        5 => event(day, "seats", json!({ "used": what % 7 })),
        // An account may be told to be below itself, or below nobody again.
        what => told(day, ["a", "b", "c", ""][usize::from(what + day as u8) % 4]),
    }
}

fn company() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let happening = (0u32..40 * 24, any::<u8>())
        .prop_map(|(hour, what)| happening(f64::from(hour) / 24.0, what));
    let log = proptest::collection::vec(happening, 0..25).prop_map(in_order);
    proptest::collection::vec(log, ACCOUNTS.len())
}

/// The accounts below one, as those who have the folds of all at hand find them.
fn below(all: &[Customer], of: usize, lifecycle: &Lifecycle) -> Vec<Profile> {
    let (mut found, mut seen, mut level) = (Vec::new(), vec![of], vec![of]);
    while !level.is_empty() {
        let mut next = Vec::new();
        for above in level {
            for (index, child) in all.iter().enumerate() {
                let is_below = parent_of(&child.profile, lifecycle) == Some(ACCOUNTS[above]);
                if is_below && !seen.contains(&index) {
                    seen.push(index);
                    next.push(index);
                    found.push(child.profile.clone());
                }
            }
        }
        level = next;
    }
    found
}

/// Lives through the nights: each event is committed at its own instant.
fn live(
    lifecycle: &Lifecycle,
    logs: &[Vec<Event>],
    nights: &[Timestamp],
) -> Vec<Vec<JournalEntry>> {
    let mut all = vec![Customer::default(); logs.len()];
    let mut journals = vec![Vec::new(); logs.len()];
    let mut sent = vec![0; logs.len()];
    for at in nights {
        for ((customer, log), sent) in all.iter_mut().zip(logs).zip(&mut sent) {
            while let Some(new) = log.get(*sent).filter(|event| event.at <= *at) {
                let new = std::slice::from_ref(new);
                commit(&mut customer.profile, lifecycle, &log[..=*sent], new, new[0].at);
                *sent += 1;
            }
        }
        for (index, journal) in journals.iter_mut().enumerate() {
            let mut customer = all[index].clone();
            customer.below = below(&all, index, lifecycle);
            for change in decide_stage(&customer, lifecycle, *at).into_changes() {
                journal.push(customer.status.apply(&change, *at, lifecycle));
            }
            for change in crate::finding::judge_all(&customer, lifecycle, *at) {
                journal.push(customer.status.apply(&change, *at, lifecycle));
            }
            all[index].status = customer.status;
        }
    }
    journals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replay_sees_below_an_account_what_live_runs_saw(logs in company(), step in 1usize..9) {
        let lifecycle = lifecycle(SOURCE);
        let nights: Vec<Timestamp> =
            (1..60).step_by(step).map(|days| day(f64::from(days))).collect();
        let mut family = Family::new(&lifecycle, &nights);
        for (key, log) in ACCOUNTS.iter().zip(&logs) {
            family.add(&(*key).to_owned(), log, str::to_owned);
        }
        let lived = live(&lifecycle, &logs, &nights);
        for ((key, log), lived) in ACCOUNTS.iter().zip(&logs).zip(lived) {
            let below = family.below(&(*key).to_owned());
            let mut replay = Replay::new(&lifecycle, log);
            let mut replayed = Vec::new();
            for (index, at) in nights.iter().enumerate() {
                replay.customer.below = below.at(index);
                replay.until(*at);
                replayed.extend(replay.night(*at).into_iter().map(|one| one.entry));
            }
            prop_assert_eq!(replayed, lived, "{}", key);
        }
    }
}

#[test]
fn an_account_that_goes_elsewhere_is_below_each_in_its_time() {
    let lifecycle = lifecycle(SOURCE);
    let nights = [day(1.0), day(5.0), day(9.0)];
    let log = [told(2.0, "one"), event(3.0, "login", json!({})), told(7.0, "other")];
    assert_eq!(parents_told(&lifecycle, &log), BTreeSet::from(["one", "other"]));
    let mut family = Family::new(&lifecycle, &nights);
    family.add(&"child", &log, |id| if id == "one" { "one" } else { "other" });
    let counts = |key| {
        let below = family.below(&key);
        (0..nights.len()).map(|night| below.at(night).len()).collect::<Vec<_>>()
    };
    assert_eq!((counts("one"), counts("other")), (vec![0, 1, 0], vec![0, 0, 1]));
    assert_eq!(counts("child"), [0, 0, 0]);
}

#[test]
fn accounts_too_far_below_are_left_out_and_the_nearest_count() {
    let lifecycle = lifecycle(SOURCE);
    let nights = [day(9.0)];
    let mut chain = Family::new(&lifecycle, &nights);
    for level in 1..10_u32 {
        let parent = (level - 1).to_string();
        chain.add(&level, &[told(1.0, &parent)], |id| id.parse().unwrap());
    }
    assert_eq!(chain.below(&0).at(0).len(), MAX_LEVELS);
    assert_eq!(chain.below(&8).at(0).len(), 1);

    let mut wide = Family::new(&lifecycle, &nights);
    let many = u32::try_from(MAX_BELOW).unwrap() + 5;
    for child in 1..=many {
        wide.add(&child, &[told(1.0, "0")], |id| id.parse().unwrap());
    }
    assert_eq!(wide.below(&0).at(0).len(), MAX_BELOW);
}

#[test]
fn of_a_fold_only_what_rolls_up_is_kept_and_of_a_quiet_time_it_is_kept_once() {
    let lifecycle = lifecycle(SOURCE);
    let nights = [day(5.0), day(6.0), day(9.0)];
    let log = [told(1.0, "top"), event(2.0, "ticket", json!({})), event(8.0, "login", json!({}))];
    let mut family = Family::new(&lifecycle, &nights);
    family.add(&"child", &log, |_| "top");
    let Below(folds) = family.below(&"top");
    assert!(Arc::ptr_eq(&folds[0][0], &folds[1][0]) && !Arc::ptr_eq(&folds[1][0], &folds[2][0]));
    assert!(folds[2][0].traits.is_empty());
    // Logins, and users of any activity; tickets do not roll up.
    assert_eq!(folds[2][0].series.len(), 2, "{:?}", folds[2][0]);
}
