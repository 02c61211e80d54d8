//! One history, told in any order, with repetitions, in pieces of any size: the same customers, and
//! the same decisions about them, word for word.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use domain::customer::Customer;
use domain::journal::JournalEntry;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::store::CustomerFilter;
use platform::sweep::{RunOutcome, SweepKind};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

const FILE: &str = "
version: 1
subject: account
traits:
  plan: [trial, team, business]
  seats: number?
metrics:
  logins_7d: { count: login, over: 7d }
  users_28d: { distinct: user, over: 28d }
  days_14d: { days_with: login, over: 14d }
  spend: { sum: order.amount }
  last_order: { latest: order.amount }
  idle_days: { days_since: login }
segments:
  paying: traits.plan != \"trial\"
stages:
  onboarding: { enter: { when: segment.paying, for: 3d, priority: 10 } }
  adopting: { enter: { when: metrics.logins_7d >= 2, for: 2d, priority: 20 } }
  fading: { enter: { when: metrics.idle_days > 5, priority: 30 } }
risk:
  model: scorecard
  factors:
    idle: { weight: 60, value: metrics.idle_days, worst: 20, best: 0 }
    users: { weight: 40, value: metrics.users_28d, worst: 0, best: 3 }
  bands: { low: 0, middle: 0.3, high: 0.6 }
standards:
  orders: { silence: { events: [order], limit: 6d }, severity: high, owner: rev_ops }
  seats_known: { required: [traits.seats], only_if: segment.paying, severity: low, owner: rev_ops }
";

/// Users, and the account each belongs to.
const USERS: [(&str, &str); 4] =
    [("ada", "acme"), ("ben", "acme"), ("cy", "globex"), ("di", "globex")];
const DAYS: i64 = 20;

fn start() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

/// When everything arrives and when it is decided about.
fn day(day: i64) -> Timestamp {
    start() + SignedDuration::from_hours(24 * day)
}

/// A call that somebody made in some minute.
fn call() -> impl Strategy<Value = Json> {
    let what = prop_oneof![
        5 => Just(json!({ "type": "track", "event": "login" })),
        3 => (1i64..50_000).prop_map(|cents| {
            let properties = json!({ "amount": cents as f64 / 100.0 });
            json!({ "type": "track", "event": "order", "properties": properties })
        }),
        3 => prop::sample::select(vec!["trial", "team", "business"]).prop_map(|plan| {
            json!({ "type": "group", "traits": { "plan": plan } })
        }),
        2 => (1u8..4).prop_map(|seats| json!({ "type": "identify", "traits": { "seats": seats } })),
    ];
    // Few minutes of the day, so that some are the same.
    let minute = (0..DAYS, 0i64..60).prop_map(|(day, minute)| day * 24 * 60 + minute * 20);
    (0..USERS.len(), what, minute).prop_map(|(user, mut call, minute)| {
        let (user, account) = USERS[user];
        call["userId"] = user.into();
        if call["type"] == "group" {
            call["groupId"] = account.into();
        }
        call["timestamp"] = (start() + SignedDuration::from_mins(minute)).to_string().into();
        call
    })
}

/// A history, in which each user says once which account is theirs.
fn history() -> impl Strategy<Value = Vec<Json>> {
    prop::collection::vec(call(), 4..30).prop_map(|mut calls| {
        calls.extend(USERS.map(|(user, account)| {
            json!({ "type": "group", "userId": user, "groupId": account, "timestamp": start() })
        }));
        calls.sort_by_key(|call| call["timestamp"].as_str().unwrap().to_owned());
        for (at, call) in calls.iter_mut().enumerate() {
            call["messageId"] = format!("m{at:02}").into();
        }
        calls
    })
}

/// The same history as it may arrive: shuffled, some of it twice, in requests of these sizes.
fn arrival() -> impl Strategy<Value = (Vec<Json>, Vec<Json>, Vec<usize>)> {
    history().prop_flat_map(|calls| {
        let again = prop::sample::subsequence(calls.clone(), 0..calls.len());
        let sizes = prop::collection::vec(1usize..8, 60);
        (Just(calls), again, sizes).prop_flat_map(|(calls, again, sizes)| {
            let arriving: Vec<Json> = calls.iter().cloned().chain(again).collect();
            (Just(calls), Just(arriving).prop_shuffle(), Just(sizes))
        })
    })
}

/// What came of a history: of each customer its state, its log and its journal.
type Outcome = BTreeMap<String, (Customer, Vec<String>, Vec<JournalEntry>)>;

async fn outcome(requests: &[&[Json]]) -> Outcome {
    let pack = Pack::open(None, LocalClock::manual(day(DAYS))).await.unwrap();
    pack.apply(FILE).await.unwrap().unwrap();
    pack.store.add_write_key("dev", "tests", start()).await.unwrap();
    let router = ingest::router(Arc::clone(&pack.ingest));
    for calls in requests {
        let body = json!({ "batch": calls, "writeKey": "dev" }).to_string();
        let request = Request::post("/v1/batch").body(Body::from(body)).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    for days in [DAYS, DAYS + 4, DAYS + 9] {
        pack.clock.set(Some(day(days)));
        for function in SweepFunction::ALL {
            let name = format!("{}-{days}", function.name());
            let run = pack.run(function, &name, day(days), SweepKind::All).await.unwrap();
            assert_eq!((run.outcome, run.failed), (RunOutcome::Done, 0));
        }
    }
    let customers = pack.store.customers(&CustomerFilter::default(), 100, None).await.unwrap();
    let mut outcome = Outcome::new();
    for found in customers.items {
        let log = pack.store.event_page(&found.key, 1_000, None).await.unwrap();
        let log = log.items.into_iter().map(|event| event.id).collect();
        let journal = pack.store.journal(&found.key, 100, None).await.unwrap();
        outcome.insert(found.key.to_string(), (found.customer, log, journal.items));
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_repetition_and_splitting_change_neither_state_nor_journal(
        (calls, arriving, sizes) in arrival()
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let in_order = outcome(&[calls.as_slice()]).await;
            let mut requests = Vec::new();
            let mut rest = arriving.as_slice();
            for size in sizes {
                let (request, later) = rest.split_at(size.min(rest.len()));
                requests.push(request);
                rest = later;
            }
            requests.push(rest);
            requests.retain(|request| !request.is_empty());
            let accounts: Vec<&str> = in_order.keys().map(String::as_str).collect();
            assert_eq!(accounts, ["acme", "globex"]);
            assert!(in_order.values().any(|(_, _, journal)| !journal.is_empty()));
            assert_eq!(outcome(&requests).await, in_order);
        });
    }
}
