//! The CDNOW data set: purchases in fixed columns, the common ground of repeat-purchase models.
//!
//! A line holds the customer's id in the whole data set, the id in the sample, the day, the number
//! of CDs and dollars: ` 00004 0001 19970101  2   29.33`. Each is an `order` with `amount` and
//! `items` of the user that the sample's id names, at noon UTC.

use std::collections::HashMap;

use domain::event::Event;
use jiff::civil::{Date, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};

use super::call::{Parts, Problem};
use super::time::compact_date;

/// The name of the event that a line becomes.
pub const EVENT: &str = "order";

/// The data that `lifecycle dev --sample` starts with.
pub const SAMPLE: &str = include_str!("../../sample/CDNOW_sample.txt");

/// Whether a line is of this form.
#[must_use]
pub fn is_line(line: &str) -> bool {
    line.split_whitespace().count() == 5 && parts(line).is_ok()
}

pub(super) fn parts(line: &str) -> Result<Parts, Problem> {
    let mut cells = line.split_whitespace();
    let mut cell = |column: &'static str| {
        cells.next().ok_or_else(|| Problem::new("columns", Some(column), "the line is too short"))
    };
    let _master = cell("master id")?;
    let user = cell("id")?;
    let day = cell("date")?;
    let items = cell("number of CDs")?;
    let amount = cell("dollars")?;
    let day: Date = compact_date(day)
        .ok_or_else(|| Problem::new("time", Some("date"), format!("`{day}` is no YYYYMMDD")))?;
    let items: u32 = items.parse().map_err(|_| {
        Problem::new("value", Some("number of CDs"), format!("`{items}` is no count"))
    })?;
    let amount: f64 =
        amount.parse().ok().filter(|amount: &f64| amount.is_finite()).ok_or_else(|| {
            Problem::new("value", Some("dollars"), format!("`{amount}` is no amount"))
        })?;
    let mut members = Map::new();
    members.insert("amount".to_owned(), json!(amount));
    members.insert("items".to_owned(), json!(items));
    Ok(Parts {
        user: Some(user.to_owned()),
        event: Some(EVENT.to_owned()),
        at: Some(noon(day)),
        members,
        ..Parts::default()
    })
}

fn noon(day: Date) -> Timestamp {
    let noon = day.to_datetime(time(12, 0, 0, 0));
    TimeZone::UTC.to_timestamp(noon).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The purchases of a file of this form by user, oldest first, moved by whole days so that the
/// last one is on the day `last`. Lines that are not of this form are passed over.
///
/// The events are those of an import of the same file shifted to the same day: same ids, same
/// bodies.
#[must_use]
pub fn purchases(text: &str, last: Date, received_at: Timestamp) -> Vec<(String, Event)> {
    let mut rows: Vec<Parts> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter_map(|line| parts(line).ok())
        .collect();
    let newest = rows.iter().filter_map(|parts| parts.at).max().unwrap_or(Timestamp::UNIX_EPOCH);
    let shift = noon(last).duration_since(newest);
    let shift = SignedDuration::from_hours(24 * (shift.as_hours() / 24));
    rows.sort_by_key(|parts| parts.at);
    let mut seen: HashMap<[u8; 16], u32> = HashMap::new();
    let mut events = Vec::with_capacity(rows.len());
    for parts in rows {
        let Ok(mut row) = parts.into_track_call(0) else { continue };
        row.shift(shift);
        let digest = row.digest();
        let ordinal = seen.entry(digest).or_default();
        let (user, id) =
            (row.user().unwrap_or_default(), super::call::message_id(&digest, *ordinal));
        *ordinal += 1;
        if let Ok(event) = Event::from_body(id, row.at, received_at, row.body) {
            events.push((user, event));
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn the_sample_is_6919_purchases_of_2357_customers() {
        let events = purchases(SAMPLE, day("1998-06-30"), Timestamp::UNIX_EPOCH);
        assert_eq!(events.len(), 6_919);
        let users: HashSet<&str> = events.iter().map(|(user, _)| user.as_str()).collect();
        assert_eq!(users.len(), 2_357);
        let ids: HashSet<&str> = events.iter().map(|(_, event)| event.id.as_str()).collect();
        assert_eq!(ids.len(), 6_919);
        assert!(events.is_sorted_by_key(|(_, event)| event.at));
    }

    #[test]
    fn a_line_is_an_order_at_noon() {
        let (user, event) = purchases(
            " 00004 0001 19970101  2   29.33\r\n",
            day("1997-01-01"),
            Timestamp::UNIX_EPOCH,
        )
        .remove(0);
        assert_eq!(user, "0001");
        assert_eq!(event.name, "order");
        assert_eq!(event.user.as_deref(), Some("0001"));
        assert_eq!(event.at.to_string(), "1997-01-01T12:00:00Z");
        assert_eq!(event.property("amount"), Some(&json!(29.33)));
        assert_eq!(event.property("items"), Some(&json!(2)));
    }

    #[test]
    fn the_last_purchase_falls_on_the_day_asked_for() {
        let events = purchases(SAMPLE, day("2026-11-18"), Timestamp::UNIX_EPOCH);
        assert_eq!(events[6_918].1.at.to_string(), "2026-11-18T12:00:00Z");
        let all = events[6_918].1.at.duration_since(events[0].1.at).as_hours() / 24;
        assert_eq!(all, 545);
        assert_eq!(events[0].1.body["timestamp"], json!(events[0].1.at.to_string()));
    }

    #[test]
    fn only_lines_of_this_form_are_taken_for_it() {
        assert!(is_line(" 00004 0001 19970101  2   29.33"));
        assert!(!is_line("user time event a b"));
        assert!(!is_line("1,2,3"));
        assert!(!is_line(""));
    }
}
