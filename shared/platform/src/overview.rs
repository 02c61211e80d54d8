//! Takes pictures of all customers, and keeps the newest, for people who look at it all day.
//!
//! A picture reads every customer and the journal of the last 90 days, once; looking at it reads one
//! item. Where taking one takes long, it is taken less often. What customers were worth before is told once
//! a day: where it changed, their logs are read for it.

use std::collections::BTreeMap;
use std::time::Instant;

use domain::journal::{ChangeKind, JournalEntry};
use domain::lifecycle::Lifecycle;
use domain::overview::{Overview, Taking, worth_by_log, worth_unchanged};
use domain::replay::in_order;
use jiff::{SignedDuration, Timestamp};

use crate::store::{
    CustomerFilter, CustomerKey, RunProgress, RunSlot, RunStart, Store, StoreError, Versioned,
};
use crate::sweep::{App, RunOutcome, ScheduleEvent, Summary, SweepError};
use crate::telemetry::Counts;

/// How many customers are read at a time.
const PAGE: i32 = 1_000;
/// Beyond so many entries of the journal, those of the oldest days are left out.
const MOST_ENTRIES: usize = 200_000;
/// A picture is good for so many times as long as it took to take: a hundredth of a function's time, at
/// most, goes into pictures.
const GOOD_FOR: i64 = 100;
/// For how long it is good enough what customers were worth before.
const WORTH_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Of so many customers whose value changed the logs are read.
const MOST_LOGS: usize = 20_000;

/// Takes a picture of all customers.
///
/// # Errors
/// When the tables cannot be read.
pub async fn take(
    store: &Store,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Result<Overview, StoreError> {
    take_after(None, store, lifecycle, now).await
}

/// Takes a picture after another one, of which it takes over what is told once a day.
async fn take_after(
    before: Option<Overview>,
    store: &Store,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Result<Overview, StoreError> {
    let began = Instant::now();
    let before = before.filter(|before| {
        let is_todays = |at: Timestamp| at <= now && now.duration_since(at) < WORTH_FOR;
        before.config_version == lifecycle.version && before.worth_at.is_some_and(is_todays)
    });
    let mut logs_read = 0;
    let mut taking = Taking::new(lifecycle, now);
    let (mut told, partial_since) = told_since(store, taking.reaches_back_to(), now).await?;
    let mut cursor: Option<String> = None;
    loop {
        let page = store.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
        for found in page.items {
            let entries = told.remove(&found.key).unwrap_or_default();
            let found = store.with_below(found, lifecycle).await?;
            let then = match &before {
                Some(_) => None,
                None => worth_then(store, lifecycle, &found, now, &mut logs_read).await?,
            };
            taking.look_at(found.key.id(), &found.customer, &entries, then);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    for entries in told.values() {
        taking.remember(entries);
    }
    let mut taken = taking.done();
    taken.worth_at = lifecycle.stakes.as_ref().map(|_| now);
    if let Some(before) = &before {
        taken.retained_as_in(before);
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Overview { took_ms, partial_since, ..taken })
}

/// What a customer was worth when each span began; unknown of those beyond [`MOST_LOGS`].
async fn worth_then(
    store: &Store,
    lifecycle: &Lifecycle,
    found: &Versioned,
    now: Timestamp,
    logs_read: &mut usize,
) -> Result<Option<[Option<f64>; 3]>, StoreError> {
    if lifecycle.stakes.is_none() {
        return Ok(None);
    }
    if let Some(same) = worth_unchanged(&found.customer, lifecycle, now) {
        return Ok(Some(same));
    }
    if *logs_read >= MOST_LOGS {
        return Ok(Some([None; 3]));
    }
    *logs_read += 1;
    let log = in_order(store.whole_log(&found.key).await?);
    Ok(Some(worth_by_log(&log, lifecycle, now)))
}

/// The entries about stages and standards, by customer; where there are more than are held, those of
/// the last days, and since when they are told.
async fn told_since(
    store: &Store,
    from: Timestamp,
    now: Timestamp,
) -> Result<(BTreeMap<CustomerKey, Vec<JournalEntry>>, Option<Timestamp>), StoreError> {
    let mut told: BTreeMap<CustomerKey, Vec<JournalEntry>> = BTreeMap::new();
    let (mut count, mut at) = (0, now);
    let first_day = day(from);
    loop {
        let mut cursor: Option<String> = None;
        loop {
            let page = store.journal_of_day(&day(at), cursor.as_deref()).await?;
            for (key, entry) in page.items {
                let is_told =
                    matches!(entry.kind, ChangeKind::Finding | ChangeKind::Met | ChangeKind::Stage);
                if is_told && from <= entry.at && entry.at <= now {
                    count += 1;
                    told.entry(key).or_default().push(entry);
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if day(at) <= first_day {
            return Ok((told, None));
        }
        if count > MOST_ENTRIES {
            return Ok((told, Some(at)));
        }
        at = at.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(from);
    }
}

fn day(at: Timestamp) -> String {
    at.to_string()[..10].to_owned()
}

/// Takes a picture and keeps it, unless the one there is is still good.
///
/// # Errors
/// When the tables cannot be read or written.
pub async fn refresh(store: &Store, now: Timestamp) -> Result<bool, StoreError> {
    let kept = store.overview().await?;
    if kept.as_ref().is_some_and(|kept| is_good(kept, now)) {
        return Ok(false);
    }
    let lifecycle = store.lifecycle().await?;
    let taken = take_after(kept, store, &lifecycle, now).await?;
    store.keep_overview(&taken).await?;
    Ok(true)
}

fn is_good(kept: &Overview, now: Timestamp) -> bool {
    let took = i64::try_from(kept.took_ms).unwrap_or(i64::MAX);
    let good_for = SignedDuration::from_millis(took.saturating_mul(GOOD_FOR));
    kept.at <= now && now.duration_since(kept.at) < good_for
}

/// Takes a picture on a schedule. A double fire takes one.
///
/// # Errors
/// When the tables cannot be read or written.
pub async fn scheduled(
    app: &App,
    function: &str,
    event: &ScheduleEvent,
) -> Result<Summary, SweepError> {
    let slot = RunSlot {
        function: function.to_owned(),
        schedule: event.schedule.clone(),
        at: event.scheduled_time,
        segment: 0,
        segments: 1,
    };
    let summary = |outcome, changed| {
        let progress = RunProgress { changed, ..RunProgress::default() };
        Summary::of(&slot, outcome, &progress, &Counts::default())
    };
    match app.store.start_run(&slot, app.clock.now()).await? {
        RunStart::Go(_) => {}
        RunStart::Done(_) => return Ok(summary(RunOutcome::AlreadyDone, 0)),
        RunStart::Busy => return Ok(summary(RunOutcome::Busy, 0)),
    }
    match refresh(&app.store, slot.at).await {
        Ok(is_taken) => {
            app.store.finish_run(&slot, &RunProgress::default(), app.clock.now()).await?;
            Ok(summary(RunOutcome::Done, u64::from(is_taken)))
        }
        Err(error) => {
            app.store.release_run(&slot, &RunProgress::default(), app.clock.now()).await?;
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_took_long_is_good_for_long() {
        let at: Timestamp = "2026-02-03T04:00:00Z".parse().unwrap();
        let kept = |took_ms| Overview {
            at,
            config_version: None,
            took_ms,
            partial_since: None,
            parts: Vec::new(),
            ranked: Vec::new(),
            worth_at: None,
        };
        let later = |seconds| at + SignedDuration::from_secs(seconds);
        assert!(is_good(&kept(6_000), later(599)));
        assert!(!is_good(&kept(6_000), later(600)));
        assert!(!is_good(&kept(0), at));
        assert!(!is_good(&kept(6_000), later(-1)));
    }
}
