//! The laws of folding.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::customer::Customer;
use crate::facts::Facts;
use crate::tests_support::{commit, customer, day, event, events, lifecycle, profile};

const YAML: &str = "
version: 1
workspace: { timezone: Asia/Kolkata }
traits: { plan: [trial, team, business], mrr: number? }
metrics:
  logins_36h: { count: login, over: 36h }
  logins_7d: { count: login, over: 7d }
  days_28d: { days_with: login, over: 28d }
  users_7d: { distinct: user, over: 7d }
  users_28d: { distinct: user, over: 28d }
  spend_28d: { sum: order.amount, over: 28d }
  spend: { sum: order.amount }
  orders: { count: order, minus: refund }
  used: { latest: seats.used, stale_after: 5d }
  idle: { days_since: login }
  trend: { change: login, over: 7d }
stages:
  active: { enter: { when: metrics.logins_7d > 0, for: 10d } }
";

/// An event, and after how many days it arrives.
fn arrivals() -> impl Strategy<Value = Vec<(f64, Event)>> {
    let what = prop_oneof![
        4 => (0u32..9).prop_map(|user| ("login", json!({ "user": format!("u{user}") }))),
        3 => (1i64..100_000).prop_map(|cents| ("order", json!({ "amount": cents as f64 / 100.0 }))),
        1 => Just(("refund", json!({}))),
        2 => (0i64..90).prop_map(|used| ("seats", json!({ "used": used }))),
        2 => prop::sample::select(vec!["trial", "team", "business"])
            .prop_map(|plan| ("group", json!({ "plan": plan }))),
        1 => (0i64..50).prop_map(|mrr| ("identify", json!({ "mrr": mrr }))),
    ];
    let delay = prop_oneof![5 => Just(0.0), 2 => 0.0..2.0f64, 1 => 0.0..60.0f64];
    let arrival = (0u32..120 * 24 * 20, what, delay).prop_map(|(at, (name, told), delay)| {
        let at = f64::from(at) / 480.0;
        (at + delay, event(at, name, told))
    });
    prop::collection::vec(arrival, 1..70)
}

fn without_sets(mut profile: Profile) -> Profile {
    profile.series.retain(|_, series| !matches!(series, Series::Distinct(_)));
    profile
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_order_any_duplicates_and_any_batches_come_to_one_fold_of_everything(
        mut arrivals in arrivals(),
        sizes in prop::collection::vec(1usize..9, 1..20),
        again in 0usize..9,
    ) {
        let lifecycle = lifecycle(YAML);
        arrivals.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut log: Vec<Event> = Vec::new();
        let mut folded = Profile::default();
        let mut rest = arrivals.as_slice();
        for size in sizes.into_iter().chain(std::iter::repeat(7)) {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            let Some((now, _)) = batch.last() else { break };
            let mut new: Vec<Event> = batch.iter().map(|(_, event)| event.clone()).collect();
            log.extend(new.clone());
            new.extend(log.iter().take(again).cloned());
            commit(&mut folded, &lifecycle, &log, &new, day(*now));
            rest = later;
        }
        let end = day(arrivals.last().unwrap().0 + 0.3);
        commit(&mut folded, &lifecycle, &log, &[], end);
        let whole = profile(&lifecycle, &log, end);

        prop_assert_eq!(without_sets(folded.clone()), without_sets(whole.clone()));
        // The sets may hold other runs before what is asked for; what is asked for is the same.
        let (a, b) = (
            Customer { profile: folded, ..Customer::default() },
            Customer { profile: whole, ..Customer::default() },
        );
        for back in 0..=20 {
            let then = end - SignedDuration::from_hours(12 * back);
            for (index, metric) in lifecycle.metrics.iter().enumerate() {
                prop_assert_eq!(
                    Facts::new(&a, &lifecycle, then).metric(index),
                    Facts::new(&b, &lifecycle, then).metric(index),
                    "{} {} half days ago", metric.name, back
                );
            }
        }
    }

    #[test]
    fn the_order_of_a_log_does_not_matter(arrivals in arrivals(), seed in any::<u64>()) {
        let lifecycle = lifecycle(YAML);
        let mut log: Vec<Event> = arrivals.into_iter().map(|(_, event)| event).collect();
        let forward = profile(&lifecycle, &log, day(130.0));
        let len = log.len() as u64;
        for i in 0..log.len() {
            log.swap(i, (seed.wrapping_mul(i as u64 + 7) % len) as usize);
        }
        log.extend(log.clone());
        prop_assert_eq!(profile(&lifecycle, &log, day(130.0)), forward);
    }

    #[test]
    fn folding_twice_is_folding_once(arrivals in arrivals(), at in 0usize..70) {
        let lifecycle = lifecycle(YAML);
        let log: Vec<Event> = arrivals.into_iter().map(|(_, event)| event).collect();
        let mut folded = profile(&lifecycle, &log, day(121.0));
        let once = folded.clone();
        let again = &log[at % log.len()];
        commit(&mut folded, &lifecycle, &log, std::slice::from_ref(again), day(121.0));
        prop_assert_eq!(folded, once);
    }

    #[test]
    fn within_48_hours_a_metric_is_what_counting_the_log_gives(
        arrivals in arrivals(),
        hours in 0i64..=12,
    ) {
        let lifecycle = lifecycle(YAML);
        // One event to an hour, so that no edge of a window cuts through a bucket: looking back 12
        // hours, a window of 36 does not reach the cells of whole days.
        let mut log: Vec<Event> = arrivals.into_iter().map(|(_, event)| event).collect();
        log.sort_by_key(|event| event.at);
        log.dedup_by_key(|event| hour_of(event.at));
        let now = day(120.0) - SignedDuration::from_hours(hours);
        let customer = Customer { profile: profile(&lifecycle, &log, day(120.0)), ..Default::default() };
        let facts = Facts::new(&customer, &lifecycle, now);
        let after = now - SignedDuration::from_hours(36);
        let inside = |event: &&Event| event.at > after && event.at <= now;
        let logins = log.iter().filter(|event| event.name == "login").filter(inside).count();
        prop_assert_eq!(facts.metric(0), Some(logins as f64));
    }
}

#[test]
fn a_late_event_joins_the_day_or_the_month_it_happened_in() {
    let lifecycle = lifecycle(YAML);
    let now = day(100.0);
    for late in [99.5, 80.25, 3.5] {
        let mut log = events(&[
            (late + 0.01, "order", json!({ "amount": 10 })),
            (late + 0.02, "order", json!({ "amount": 20 })),
        ]);
        let mut folded = Profile::default();
        commit(&mut folded, &lifecycle, &log, &log.clone(), now);
        let new = event(late, "order", json!({ "amount": 5 }));
        log.push(new.clone());
        commit(&mut folded, &lifecycle, &log, &[new], now);
        assert_eq!(folded, profile(&lifecycle, &log, now), "{late}");
        let customer = Customer { profile: folded, ..Default::default() };
        assert_eq!(Facts::new(&customer, &lifecycle, now).metric(6), Some(35.0), "{late}");
    }
}

#[test]
fn a_commit_whose_clock_lags_splits_nothing() {
    let lifecycle = lifecycle(YAML);
    let mut log = events(&[(1.0, "login", json!({})), (1.1, "login", json!({}))]);
    let mut folded = Profile::default();
    commit(&mut folded, &lifecycle, &log, &log.clone(), day(40.0));
    let new = event(1.2, "login", json!({}));
    log.push(new.clone());
    commit(&mut folded, &lifecycle, &log, &[new], day(2.0));
    assert_eq!(folded, profile(&lifecycle, &log, day(40.0)));
}

#[test]
fn another_set_of_measures_asks_for_the_whole_log() {
    let before = lifecycle(YAML);
    let after = lifecycle(&YAML.replace("over: 36h", "over: 48h"));
    let log = events(&[(1.0, "login", json!({}))]);
    let folded = profile(&before, &log, day(2.0));
    assert_eq!(scope(&folded, &after, &log, day(2.0)), Scope::Whole);
    assert_ne!(scope(&folded, &before, &log, day(2.0)), Scope::Whole);
    let reordered = YAML
        .replace("  idle: { days_since: login }\n", "")
        .replace("metrics:\n", "metrics:\n  idle: { days_since: login }\n");
    assert_eq!(lifecycle(&reordered).measures.fingerprint, before.measures.fingerprint);
}

#[test]
fn a_fact_of_the_account_outranks_one_of_a_user() {
    let lifecycle = lifecycle(YAML);
    let told =
        [(1.0, "group", json!({ "plan": "team" })), (2.0, "identify", json!({ "plan": "trial" }))];
    let customer = customer(&lifecycle, &told, 3.0);
    assert_eq!(customer.profile.traits["plan"].value, Scalar::Text("team".into()));
}

#[test]
fn a_trait_has_its_value_since_it_was_last_told_otherwise() {
    let lifecycle = lifecycle(YAML);
    let told: Vec<_> =
        [(1.0, "trial"), (2.0, "team"), (3.0, "trial"), (4.0, "team"), (5.0, "team")]
            .map(|(at, plan)| (at, "group", json!({ "plan": plan })))
            .into();
    let state = &customer(&lifecycle, &told, 6.0).profile.traits["plan"];
    assert_eq!(state.since, day(4.0).as_millisecond());
    assert_eq!(state.at, day(5.0).as_millisecond());
    assert_eq!(state.other_at, Some(day(3.0).as_millisecond()));
}

#[test]
fn a_fact_that_was_told_otherwise_meanwhile_holds_since_the_telling_after() {
    let lifecycle = lifecycle(YAML);
    let told = |at: f64, plan: &str| event(at, "group", json!({ "plan": plan }));
    let mut log = vec![told(1.0, "team"), told(4.0, "team"), told(6.0, "team")];
    let mut folded = profile(&lifecycle, &log, day(7.0));
    let late = told(3.0, "trial");
    let scope = scope(&folded, &lifecycle, std::slice::from_ref(&late), day(7.0));
    assert!(scope.reads_everything() && scope != Scope::Whole, "nothing is counted again");
    log.push(late.clone());
    commit(&mut folded, &lifecycle, &log, &[late], day(7.0));
    assert_eq!(folded.traits["plan"].since, day(4.0).as_millisecond());
    assert_eq!(folded, profile(&lifecycle, &log, day(7.0)));
}

#[test]
fn cells_are_hours_then_days_then_months() {
    let lifecycle = lifecycle(YAML);
    let order = |at: f64| (at, "order", json!({ "amount": 1 }));
    // Two hours of two days of each of: now, last month, long ago.
    let list: Vec<_> = [200.0, 199.0, 170.0, 169.0, 20.0, 19.0]
        .into_iter()
        .flat_map(|at| [order(at - 0.5), order(at - 0.4)])
        .collect();
    let customer = customer(&lifecycle, &list, 200.0);
    let cells: Vec<(i64, f64)> = customer
        .profile
        .series
        .values()
        .filter_map(|series| match series {
            Series::Tally(tally) if tally.total(None, i64::MAX) == 12.0 => Some(tally),
            _ => None,
        })
        .flat_map(|tally| tally.cells().iter().map(|cell| (cell.at, cell.value)))
        .collect();
    let at = |days: f64| day(days).as_second();
    let want = [
        (at(19.6), 4.0),
        (at(168.6), 2.0),
        (at(169.6), 2.0),
        (at(198.5), 1.0),
        (at(198.6), 1.0),
        (at(199.5), 1.0),
        (at(199.6), 1.0),
    ];
    assert!(cells.starts_with(&want), "{cells:?}");
}
