//! The simulated company is the same again, fits the preset, and leaves for reasons that show.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::Event;
use domain::lifecycle::{load, presets};

use super::*;

fn shape(accounts: u32, months: u32, seed: u64) -> Shape {
    Shape { accounts, months, seed, until: "2026-07-01T00:00:00Z".parse().unwrap() }
}

fn all(shape: Shape) -> (Vec<Call>, Tally) {
    let mut company = Company::new(shape);
    let mut calls = Vec::new();
    while let Some(day) = company.next_day() {
        calls.extend(day);
    }
    (calls, company.tally)
}

fn account(call: &Call) -> String {
    domain::event::account_of(&call.body).unwrap()
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_another() {
    let (first, tally) = all(shape(20, 3, 1));
    let (again, same) = all(shape(20, 3, 1));
    assert_eq!((&first, &tally), (&again, &same));
    assert_ne!(first, all(shape(20, 3, 2)).0);
}

#[test]
fn more_accounts_only_add_to_the_story() {
    let (few, _) = all(shape(10, 3, 1));
    let (many, _) = all(shape(30, 3, 1));
    let known: BTreeSet<String> = few.iter().map(account).collect();
    let kept: Vec<&Call> = many.iter().filter(|call| known.contains(&account(call))).collect();
    assert_eq!(kept, few.iter().collect::<Vec<_>>());
}

#[test]
fn calls_come_in_the_order_of_time_within_the_months_each_with_an_id_of_its_own() {
    let (calls, tally) = all(shape(40, 2, 1));
    assert_eq!(calls.len() as u64, tally.events);
    let ids: BTreeSet<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids.len(), calls.len());
    let days: Vec<String> = calls.iter().map(|call| call.at.to_string()[..10].to_owned()).collect();
    assert!(days.is_sorted());
    assert!(calls.iter().all(|call| {
        let at = call.at.to_string();
        at.as_str() >= "2026-05-01" && at.as_str() < "2026-07-01"
    }));
}

#[test]
fn every_event_and_trait_that_the_preset_reads_is_told() {
    let (calls, _) = all(shape(60, 6, 1));
    let lifecycle = load(presets::preset("b2b-saas").unwrap().source).unwrap();
    let names: BTreeSet<&str> =
        calls.iter().filter_map(|call| call.body.get("event")?.as_str()).collect();
    let measures = lifecycle.measures.list().iter();
    for event in measures.filter_map(|measure| measure.event.as_deref()) {
        assert!(names.contains(event), "nobody tells {event}");
    }
    let told: BTreeSet<String> = calls
        .iter()
        .filter(|call| call.body["type"] == "group")
        .flat_map(|call| call.body["traits"].as_object().unwrap().keys().cloned())
        .collect();
    for declared in &lifecycle.traits {
        assert!(told.contains(&declared.name), "nobody tells {}", declared.name);
    }
    for call in &calls {
        let event = Event::from_body(call.id.clone(), call.at, call.at, call.body.clone());
        assert!(event.is_ok(), "{}", call.line());
    }
}

/// What an account did in its last weeks, or over its life.
#[derive(Default)]
struct Story {
    logins: Vec<Timestamp>,
    failed: u32,
    first: Option<Timestamp>,
    cause: Option<(String, Timestamp)>,
}

#[test]
fn who_leaves_shows_it_before() {
    let (calls, tally) = all(shape(600, 12, 1));
    let mut stories: BTreeMap<String, Story> = BTreeMap::new();
    for call in &calls {
        let story = stories.entry(account(call)).or_default();
        story.first.get_or_insert(call.at);
        match call.body.get("event").and_then(|event| event.as_str()) {
            Some("login") => story.logins.push(call.at),
            Some("invoice_failed") => story.failed += 1,
            Some("subscription_cancelled") => {
                let cause = call.body["properties"]["cause"].as_str().unwrap().to_owned();
                story.cause.get_or_insert((cause, call.at));
            }
            _ => {}
        }
    }
    assert_eq!(tally.accounts, 600);
    let share = tally.churned as f64 / 600.0;
    assert!((0.08..0.45).contains(&share), "{share} leave in a year: {:?}", tally.causes);
    for cause in ["usage", "payment", "support", "onboarding", "other"] {
        assert!(tally.causes.get(cause).is_some_and(|count| *count >= 3), "{cause}: {tally:?}");
    }
    // The month before the decision against the two before it: usage fades first.
    let between = |story: &Story, end: Timestamp, from: i64, to: i64| {
        let days = |days: i64| end - jiff::SignedDuration::from_hours(24 * days);
        let logins = story.logins.iter();
        logins.filter(|at| days(from) < **at && **at <= days(to)).count() as f64
    };
    let usage = stories.values().filter_map(|story| {
        let (cause, at) = story.cause.as_ref()?;
        let is_long = at.duration_since(story.first?) > jiff::SignedDuration::from_hours(24 * 120);
        (cause == "usage" && is_long)
            .then(|| (between(story, *at, 60, 30), between(story, *at, 120, 60) / 2.0))
    });
    let (late, early) = usage.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(late < 0.75 * early, "{late} logins a month, {early} before");
    let failed = |cause: bool| {
        let of = stories.values().filter(|story| {
            (story.cause.as_ref().is_some_and(|(found, _)| found == "payment")) == cause
        });
        let failed: Vec<f64> = of.map(|story| f64::from(story.failed)).collect();
        failed.iter().sum::<f64>() / failed.len() as f64
    };
    assert!(failed(true) > 3.0 * failed(false), "{} {}", failed(true), failed(false));
}

#[test]
fn a_feed_that_stops_is_silent_from_then_on_and_nothing_else_changes() {
    let (whole, _) = all(shape(20, 3, 1));
    let at: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    for feed in [Feed::Product, Feed::Support, Feed::Success, Feed::Surveys, Feed::Billing] {
        let mut company = Company::new(shape(20, 3, 1)).stopping(Some(Stop { feed, at }));
        let mut calls = Vec::new();
        while let Some(day) = company.next_day() {
            calls.extend(day);
        }
        assert_eq!(calls.len() as u64, company.tally.events);
        let is_of = |call: &&Call| {
            let event = call.body.get("event").and_then(|event| event.as_str());
            event.is_some_and(|event| feed.events().contains(&event))
        };
        assert!(whole.iter().filter(is_of).any(|call| call.at >= at), "{feed:?} is heard of");
        let is_kept = |call: &&Call| call.at < at || !is_of(call);
        assert_eq!(calls, whole.iter().filter(is_kept).cloned().collect::<Vec<_>>());
    }
}
