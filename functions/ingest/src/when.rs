//! When a call happened.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};

use crate::call::Rejection;

/// How far a sender's clock may be ahead of ours.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// No customer's history is older; what is, is a number of another meaning.
const EARLIEST: Timestamp = Timestamp::constant(631_152_000, 0);

/// What a call says of its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// It happened then.
    At(Timestamp),
    /// Nothing that can be true: it happened when it arrived.
    Arrival,
}

/// The time that a call tells, as it was written, if it tells one.
///
/// `originalTimestamp` is where some clients keep the sender's own time.
pub(crate) fn told(body: &Map<String, Json>) -> Option<&Json> {
    let members = ["timestamp", "originalTimestamp"];
    members.iter().filter_map(|name| body.get(*name)).find(|value| !value.is_null())
}

/// Reads what a call tells.
///
/// # Errors
/// When it is no date, or one before 1990.
pub(crate) fn read(told: Option<&Json>, now: Timestamp) -> Result<When, Rejection> {
    let Some(told) = told else { return Ok(When::Arrival) };
    let at = told.as_str().and_then(|text| parse(text.trim())).ok_or_else(|| {
        Rejection::new("invalid_timestamp", "`timestamp` must be an ISO 8601 date and time")
    })?;
    if at < EARLIEST {
        return Err(Rejection::new("invalid_timestamp", "`timestamp` is before 1990"));
    }
    let is_ahead = at.duration_since(now) > MAX_AHEAD;
    Ok(if is_ahead { When::Arrival } else { When::At(to_millisecond(at)) })
}

/// An instant as the log keeps it.
pub(crate) fn to_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// An instant with its offset; one without is taken as UTC, as is a day.
fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(told: Json, expected: &str) {
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let found = match read(Some(&told), now) {
            Ok(When::At(at)) => at.to_string(),
            Ok(When::Arrival) => "arrival".to_owned(),
            Err(rejection) => rejection.code.to_owned(),
        };
        assert_eq!(found, expected, "{told}");
    }

    #[test]
    fn what_clients_write_is_read() {
        check(json!("2026-01-15T10:30:00.123Z"), "2026-01-15T10:30:00.123Z");
        check(json!("2026-01-15T10:30:00.123+00:00"), "2026-01-15T10:30:00.123Z");
        check(json!("2026-01-15T12:30:00.000+02:00"), "2026-01-15T10:30:00Z");
        check(json!("2026-01-15T10:30:00.123456+00:00"), "2026-01-15T10:30:00.123Z");
        check(json!("2026-01-15T10:30:00"), "2026-01-15T10:30:00Z");
        check(json!("2026-01-15 10:30:00"), "2026-01-15T10:30:00Z");
        check(json!(" 2026-01-15 "), "2026-01-15T00:00:00Z");
    }

    #[test]
    fn what_is_no_date_is_rejected() {
        for told in [json!("soon"), json!(""), json!(1_768_473_000), json!({}), json!(true)] {
            check(told, "invalid_timestamp");
        }
        check(json!("2026-02-30"), "invalid_timestamp");
        check(json!("1989-12-31T23:59:59Z"), "invalid_timestamp");
        check(json!("1990-01-01"), "1990-01-01T00:00:00Z");
    }

    #[test]
    fn a_clock_may_be_five_minutes_ahead() {
        check(json!("2026-01-15T12:05:00Z"), "2026-01-15T12:05:00Z");
        check(json!("2026-01-15T12:05:00.001Z"), "arrival");
        check(json!("2036-01-15"), "arrival");
    }

    #[test]
    fn the_senders_own_time_is_found() {
        let told = |body: Json| told(body.as_object().unwrap()).cloned();
        assert_eq!(told(json!({"timestamp": "a", "originalTimestamp": "b"})), Some(json!("a")));
        assert_eq!(told(json!({"timestamp": null, "originalTimestamp": "b"})), Some(json!("b")));
        assert_eq!(told(json!({"sentAt": "c"})), None);
    }
}
