//! Customers for tests: made by folding events, never by hand.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use crate::customer::{Customer, Profile};
use crate::decide::decide;
use crate::event::Event;
use crate::fold::{self, Scope, hour_of};
use crate::journal::JournalEntry;
use crate::lifecycle::{Lifecycle, load};

/// A checked lifecycle, or a panic that says what is wrong.
pub fn lifecycle(yaml: &str) -> Lifecycle {
    load(yaml).unwrap_or_else(|found| {
        let lines: Vec<String> =
            found.iter().map(|f| format!("{}:{} {}", f.line, f.column, f.message)).collect();
        panic!("{}\n{yaml}", lines.join("\n"))
    })
}

/// So many days after midnight (UTC) of a Monday.
pub fn day(days: f64) -> Timestamp {
    let monday: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
    monday + SignedDuration::from_secs((days * 86_400.0).round() as i64)
}

/// An event on a day: a `track` call with properties, or a `group` or `identify` call with
/// traits. The property `user` names the user.
pub fn event(days: f64, name: &str, told: Json) -> Event {
    let user = told.get("user").cloned().unwrap_or_else(|| json!("ada"));
    let body = match name {
        "group" | "identify" => json!({ "type": name, "userId": user, "traits": told }),
        _ => json!({ "type": "track", "event": name, "userId": user, "properties": told }),
    };
    let Json::Object(body) = body else { unreachable!() };
    let at = day(days);
    Event::from_body(format!("{name}-{days}-{told}"), at, at, body).unwrap()
}

/// `event` for many.
pub fn events(list: &[(f64, &str, Json)]) -> Vec<Event> {
    list.iter().map(|(days, name, told)| event(*days, name, told.clone())).collect()
}

/// The profile of a whole log.
pub fn profile(lifecycle: &Lifecycle, log: &[Event], now: Timestamp) -> Profile {
    let mut profile = Profile::default();
    fold::fold(&mut profile, lifecycle, &Scope::Whole, log, now);
    profile
}

/// A customer of whom nothing was decided yet.
pub fn customer(lifecycle: &Lifecycle, list: &[(f64, &str, Json)], now: f64) -> Customer {
    let profile = profile(lifecycle, &events(list), day(now));
    Customer { profile, ..Customer::default() }
}

/// A customer who entered a stage on a day.
pub fn in_stage(mut customer: Customer, stage: &str, since: f64) -> Customer {
    customer.status.stage =
        Some(crate::customer::StageState { name: stage.to_owned(), since: day(since), visit: 1 });
    customer.status.entered.insert(stage.to_owned(), day(since).as_second());
    customer
}

/// Commits new events the way ingestion does: reads what the scope names of the log, folds it.
pub fn commit(
    profile: &mut Profile,
    lifecycle: &Lifecycle,
    log: &[Event],
    new: &[Event],
    now: Timestamp,
) {
    let scope = fold::scope(profile, lifecycle, new, now);
    let read: Vec<Event> = match &scope {
        Scope::Whole => log.to_vec(),
        Scope::Buckets { hours, .. } => {
            let is_read =
                |hour: i64| hours.iter().any(|range| (range.from..range.to).contains(&hour));
            log.iter().filter(|event| is_read(hour_of(event.at))).cloned().collect()
        }
    };
    fold::fold(profile, lifecycle, &scope, &read, now);
}

/// Decides and applies once: the journal entries.
pub fn run(customer: &mut Customer, lifecycle: &Lifecycle, now: Timestamp) -> Vec<JournalEntry> {
    let changes = decide(customer, lifecycle, now).into_changes().into_iter();
    changes.map(|change| customer.status.apply(&change, now, lifecycle)).collect()
}

/// The present stage's name.
pub fn stage_of(customer: &Customer) -> &str {
    customer.status.stage.as_ref().map_or("none", |stage| &stage.name)
}
