use domain::customer::Customer;
use domain::journal::JournalHead;
use jiff::{SignedDuration, Timestamp};
use platform::store::{Ran, RunSlot};
use serde_json::{Value as Json, json};

use super::meaning::{
    Awaited, Found, SCHEDULES, Schedule, State, awaited, chain, console, ran, refused, strangers,
    stuck, taken,
};
use super::site::{Site, Token};

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn schedule(name: &str) -> &'static Schedule {
    SCHEDULES.iter().find(|schedule| schedule.kind.name == name).unwrap()
}

fn run(schedule: &str, at: Timestamp, part: (i32, i32), is_done: bool) -> Ran {
    let (segment, segments) = part;
    let (function, schedule) = ("score".to_owned(), schedule.to_owned());
    let slot = RunSlot { function, schedule, at, segment, segments };
    Ran { slot, is_done, visited: 10, failed: 0 }
}

fn state(found: &Found) -> State {
    found.state
}

#[test]
fn a_schedule_is_well_where_its_last_run_that_finished_is_young_enough() {
    let score = schedule("score_nightly");
    let judge = |runs: &[Ran], made| ran(score, runs, made, now());
    let (old, young) = (ago(1_000), ago(3));
    assert_eq!(state(&judge(&[run("score-nightly", ago(10), (0, 1), true)], old)), State::Ok);
    let late = judge(&[run("score-nightly", ago(27), (0, 1), true)], old);
    assert_eq!((late.state, late.detail.contains("27 h ago")), (State::Failed, true), "{late:?}");
    let unfinished = [run("score-nightly", ago(10), (0, 1), false)];
    assert_eq!(state(&judge(&unfinished, old)), State::Failed);
    let others = [run("score-learn", ago(1), (0, 1), true), run("feeds", ago(1), (0, 1), true)];
    assert_eq!(state(&judge(&others, old)), State::Failed);
    let skipped = judge(&others, young);
    assert_eq!((skipped.state, skipped.detail.contains("3 h old")), (State::Skipped, true));
}

#[test]
fn a_run_in_segments_is_finished_when_all_of_them_are() {
    let parts = |done: bool| {
        [
            run("nightly", ago(1), (1, 2), done),
            run("nightly", ago(1), (0, 2), true),
            run("nightly", ago(25), (0, 1), true),
        ]
    };
    let judge = |runs: &[Ran]| ran(schedule("score_nightly"), runs, ago(1_000), now()).detail;
    assert_eq!(judge(&parts(true)), "finished 60 min ago, 20 customers visited");
    assert_eq!(judge(&parts(false)), "finished 25 h ago, 10 customers visited");
}

#[test]
fn events_are_taken_once() {
    let answer =
        |accepted: u64, duplicates: u64| json!({ "accepted": accepted, "duplicates": duplicates });
    assert_eq!(state(&taken(200, &answer(2, 0), 2, true)), State::Ok);
    assert_eq!(state(&taken(200, &answer(0, 2), 2, false)), State::Ok);
    for (status, body, as_new) in [
        (200, answer(2, 0), false),
        (200, answer(0, 2), true),
        (200, answer(1, 1), true),
        (200, Json::Null, true),
        (202, answer(2, 0), true),
        (503, json!({}), false),
    ] {
        assert_eq!(state(&taken(status, &body, 2, as_new)), State::Failed, "{status} {body}");
    }
    let unknown = taken(401, &json!({ "message": "unknown write key" }), 2, true);
    assert_eq!(unknown.detail, "answered 401: unknown write key");
    let body = json!({ "accepted": 1, "duplicates": 0, "rejected": [{ "code": "too_old" }] });
    assert!(taken(200, &body, 2, true).detail.ends_with("rejected: too_old"));
}

#[test]
fn strangers_get_nothing_but_on_this_machine() {
    for status in [401, 403] {
        assert_eq!(state(&strangers(status, false)), State::Ok);
        assert_eq!(state(&strangers(status, true)), State::Ok);
    }
    for status in [200, 301, 404, 500] {
        assert_eq!(state(&strangers(status, false)), State::Failed, "{status}");
    }
    assert_eq!(
        (state(&strangers(200, true)), state(&strangers(500, true))),
        (State::Skipped, State::Failed)
    );
    assert_eq!(refused(403, &[401]).detail, "answered 403, not 401");
    assert_eq!(state(&console(200, &json!({ "items": [] }))), State::Ok);
    assert_eq!(state(&console(200, &json!("<html>"))), State::Failed);
    assert!(console(403, &Json::Null).detail.contains("token"));
}

#[test]
fn a_decision_is_waited_for_only_where_one_is_due() {
    let new = Customer::default();
    let mut decided = Customer::default();
    decided.status.journal.seq = 1;
    assert_eq!(awaited(&new, None, now()), Awaited::NotNow);
    assert_eq!(awaited(&new, Some(now() + SignedDuration::from_hours(72)), now()), Awaited::NotNow);
    assert_eq!(awaited(&new, Some(ago(0)), now()), Awaited::Soon);
    assert_eq!(awaited(&decided, None, now()), Awaited::Decided);
}

#[test]
fn a_journal_that_ends_before_the_customers_state_does_not_verify() {
    let mut customer = Customer::default();
    customer.status.journal = JournalHead { seq: 1, hash: [7; 32] };
    let found = chain(&customer, &[]);
    assert_eq!((found.state, found.detail.contains("entry 1")), (State::Failed, true), "{found:?}");
}

#[test]
fn what_waits_too_long_is_stuck() {
    assert_eq!(
        (state(&stuck(0, 0)), state(&stuck(1, 0)), state(&stuck(0, 1))),
        (State::Ok, State::Failed, State::Failed)
    );
}

#[test]
fn keys_and_tokens_go_over_https_or_stay_on_this_machine() {
    for (url, is_local) in [
        ("https://abc.execute-api.eu-central-1.amazonaws.com", false),
        ("https://lifecycle.example.com/api/", false),
        ("http://127.0.0.1:9000", true),
        ("http://localhost:9000/", true),
        ("http://[::1]:9000", true),
    ] {
        let site = Site::at(url).unwrap();
        assert_eq!((site.is_local, site.base.ends_with('/')), (is_local, false), "{url}");
    }
    for url in [
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "https://kim:secret@example.com",
        "https://example.com/?key=1",
        "ftp://127.0.0.1",
        "127.0.0.1:9000",
        "example.com",
        "https://",
        "",
    ] {
        assert!(Site::at(url).is_err(), "{url}");
    }
}

#[test]
fn a_token_is_not_printed() {
    let token: Token = "Bearer eyJ.a.b\n".parse().unwrap();
    assert_eq!(format!("{token:?}"), "***");
    assert!("".parse::<Token>().is_err() && "two words".parse::<Token>().is_err());
}
