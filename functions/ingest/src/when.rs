//! When a call happened.
//!
//! A sender's clock may be wrong; how wrong shows in the `sentAt` of its delivery, beside the instant
//! of its arrival. The log keys an event by the hour it happened in, so that an event which is sent
//! again meets itself. Hence the invariant: what differs between two deliveries of an event - when
//! they arrive, and their `sentAt` - moves it to another hour only where the log does not have it
//! in the hour that it tells, and then a signpost in that hour says where it is: the first one counts.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};

use crate::call::Rejection;

/// How far a sender's clock may be ahead of ours: what is further ahead counts when it arrives.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// What is further ahead than any time zone is no matter of clocks.
const MAX_FUTURE: SignedDuration = SignedDuration::from_hours(24);
/// No customer's history is older; what is, is a number of another meaning.
const EARLIEST: Timestamp = Timestamp::constant(631_152_000, 0);
/// A difference of clocks that is no longer told apart from the time a delivery takes.
const MIN_SKEW: SignedDuration = SignedDuration::from_secs(1);
/// From here on a clock is wrong, and an event may move to another hour.
const LARGE_SKEW: SignedDuration = SignedDuration::from_mins(5);
const HOUR_MS: i64 = 3_600_000;

/// What a call says of its instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// It happened then.
    At(Timestamp),
    /// It happened then by this delivery, in another hour than it tells; an earlier delivery may have
    /// said otherwise.
    Corrected {
        /// The instant by our clock.
        at: Timestamp,
        /// The instant that is told, under which the log may have it.
        told: Timestamp,
    },
    /// Nothing that can be true: it happened when it arrived.
    Arrival {
        /// The instant that is told, if one is: a later delivery may come when it can be true.
        told: Option<Timestamp>,
    },
}

/// What is known of a delivery's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// When it arrived, by ours.
    pub(crate) received: Timestamp,
    /// When it was sent, by the sender's.
    pub(crate) sent: Option<Timestamp>,
    /// What happened before this instant is not taken; `None` where history is told.
    pub(crate) oldest: Option<Timestamp>,
}

impl Clocks {
    /// How far the sender's clock is behind.
    fn skew(&self) -> SignedDuration {
        let skew = self.sent.map(|sent| self.received.duration_since(sent)).unwrap_or_default();
        if skew.abs() < MIN_SKEW { SignedDuration::ZERO } else { skew }
    }

    /// Whether the sender's clock is wrong, as far as the delivery tells.
    pub(crate) fn are_wrong(&self) -> bool {
        self.skew().abs() >= LARGE_SKEW
    }
}

/// The time that a call tells, as it was written, if it tells one.
///
/// `originalTimestamp` is where some clients keep the sender's own time.
pub(crate) fn told(body: &Map<String, Json>) -> Option<&Json> {
    let members = ["timestamp", "originalTimestamp"];
    members.iter().filter_map(|name| body.get(*name)).find(|value| !value.is_null())
}

/// When a delivery was sent, by its sender's clock; what is no date is not told.
pub(crate) fn sent(told: Option<&Json>) -> Option<Timestamp> {
    told?.as_str().and_then(|text| parse(text.trim())).map(to_millisecond)
}

/// Reads what a call tells: `received - (sent - told)`, as Segment's specification has it.
///
/// # Errors
/// When it is no date, or one that is too old or too far ahead.
pub(crate) fn read(told: Option<&Json>, clocks: &Clocks) -> Result<When, Rejection> {
    let Some(told) = told else {
        return Ok(When::Arrival { told: None });
    };
    let told = told.as_str().and_then(|text| parse(text.trim())).map(to_millisecond);
    let told = told.ok_or_else(|| {
        Rejection::new("invalid_timestamp", "`timestamp` must be an ISO 8601 date and time")
    })?;
    if told < EARLIEST {
        return Err(Rejection::new("invalid_timestamp", "`timestamp` is before 1990"));
    }
    let skew = clocks.skew();
    let at = told.checked_add(skew).map_or(told, to_millisecond);
    let ahead = at.duration_since(clocks.received);
    if ahead > MAX_FUTURE {
        let message = "`timestamp` is more than a day ahead; send it when it has happened";
        return Err(Rejection::new("too_far_ahead", message));
    }
    if clocks.oldest.is_some_and(|oldest| at < oldest) {
        let message = "`timestamp` is older than the log keeps events; send history to /v1/import";
        return Err(Rejection::new("too_old", message));
    }
    Ok(match skew.abs() {
        _ if ahead > MAX_AHEAD => When::Arrival { told: Some(told) },
        skew if skew < LARGE_SKEW => When::At(within_hour(at, told)),
        _ if hour(at) == hour(told) => When::At(at),
        _ => When::Corrected { at, told },
    })
}

/// The hour of the log that an instant is in.
pub(crate) fn hour(at: Timestamp) -> i64 {
    at.as_millisecond().div_euclid(HOUR_MS)
}

/// The instant nearest to `at` in the hour of `told`.
fn within_hour(at: Timestamp, told: Timestamp) -> Timestamp {
    let first = hour(told) * HOUR_MS;
    let at = at.as_millisecond().clamp(first, first + HOUR_MS - 1);
    Timestamp::from_millisecond(at).unwrap_or(told)
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

    fn now() -> Timestamp {
        "2026-01-15T12:00:00Z".parse().unwrap()
    }

    fn check_sent(told: Json, sent: Option<&str>, expected: &str) {
        let sent = sent.map(|sent| sent.parse().unwrap());
        let oldest = Some("2024-12-11T12:00:00Z".parse().unwrap());
        let found = match read(Some(&told), &Clocks { received: now(), sent, oldest }) {
            Ok(When::At(at)) => at.to_string(),
            Ok(When::Corrected { at, .. }) => format!("corrected {at}"),
            Ok(When::Arrival { .. }) => "arrival".to_owned(),
            Err(rejection) => rejection.code.to_owned(),
        };
        assert_eq!(found, expected, "{told} sent {sent:?}");
    }

    fn check(told: Json, expected: &str) {
        check_sent(told, None, expected);
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
    }

    #[test]
    fn a_clock_may_be_five_minutes_ahead() {
        check(json!("2026-01-15T12:05:00Z"), "2026-01-15T12:05:00Z");
        check(json!("2026-01-15T12:05:00.001Z"), "arrival");
        check(json!("2026-01-16T12:00:00Z"), "arrival");
        check(json!("2026-01-16T12:00:00.001Z"), "too_far_ahead");
        check(json!("2036-01-15"), "too_far_ahead");
    }

    #[test]
    fn what_the_log_would_no_longer_keep_is_taken_as_history_only() {
        check(json!("2024-12-11T12:00:00Z"), "2024-12-11T12:00:00Z");
        check(json!("2024-12-11T11:59:59Z"), "too_old");
        check(json!("1990-01-01"), "too_old");
        let clocks = Clocks { received: now(), sent: None, oldest: None };
        let first = "1990-01-01T00:00:00Z";
        let found = read(Some(&json!(first)), &clocks).unwrap();
        assert_eq!(found, When::At(first.parse().unwrap()));
    }

    #[test]
    fn a_wrong_clock_is_put_right_by_what_it_says_of_the_sending() {
        let told = || json!("2026-01-15T10:30:00Z");
        check_sent(told(), Some("2026-01-15T12:00:00Z"), "2026-01-15T10:30:00Z");
        check_sent(told(), Some("2026-01-15T11:59:59.001Z"), "2026-01-15T10:30:00Z");
        check_sent(told(), Some("2026-01-15T11:59:58Z"), "2026-01-15T10:30:02Z");
        check_sent(told(), Some("2026-01-15T12:00:10Z"), "2026-01-15T10:29:50Z");
        check_sent(told(), Some("2026-01-15T11:57:00Z"), "2026-01-15T10:33:00Z");
        check_sent(told(), Some("2026-01-15T11:40:00Z"), "2026-01-15T10:50:00Z");
        check_sent(told(), Some("2026-01-15T11:00:00Z"), "corrected 2026-01-15T11:30:00Z");
        check_sent(
            json!("2026-01-15T13:30:00Z"),
            Some("2026-01-15T15:00:00Z"),
            "corrected 2026-01-15T10:30:00Z",
        );
        check_sent(told(), Some("2026-01-15T09:00:00Z"), "arrival");
        check_sent(told(), Some("2024-01-15T09:00:00Z"), "too_far_ahead");
        check_sent(told(), Some("2028-01-15T09:00:00Z"), "too_old");
        assert_eq!(sent(Some(&json!("soon"))), None);
        assert_eq!(sent(Some(&json!(17))), None);
    }

    #[test]
    fn a_small_difference_does_not_move_an_event_to_another_hour() {
        check_sent(
            json!("2026-01-15T10:59:59Z"),
            Some("2026-01-15T11:59:50Z"),
            "2026-01-15T10:59:59.999Z",
        );
        check_sent(
            json!("2026-01-15T10:00:01Z"),
            Some("2026-01-15T12:00:30Z"),
            "2026-01-15T10:00:00Z",
        );
        check_sent(
            json!("2026-01-15T10:59:00Z"),
            Some("2026-01-15T11:57:00Z"),
            "2026-01-15T10:59:59.999Z",
        );
    }

    #[test]
    fn the_senders_own_time_is_found() {
        let told = |body: Json| told(body.as_object().unwrap()).cloned();
        assert_eq!(told(json!({"timestamp": "a", "originalTimestamp": "b"})), Some(json!("a")));
        assert_eq!(told(json!({"timestamp": null, "originalTimestamp": "b"})), Some(json!("b")));
        assert_eq!(told(json!({"sentAt": "c"})), None);
    }
}
