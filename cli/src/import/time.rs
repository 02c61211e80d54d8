//! When a row says that it happened.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

/// How instants are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// ISO 8601 with or without an offset, a date, `YYYYMMDD`, or a number of seconds, milli- or
    /// microseconds since 1970.
    #[default]
    Auto,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
    /// A pattern of `strptime`, as `%d.%m.%Y %H:%M`.
    Pattern(String),
}

impl TimeFormat {
    /// Reads the word or the pattern a person gave.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<TimeFormat, String> {
        Ok(match text {
            "auto" | "iso" | "rfc3339" => TimeFormat::Auto,
            "unix" => TimeFormat::Unix,
            "unix_ms" => TimeFormat::UnixMs,
            _ if text.contains('%') => TimeFormat::Pattern(text.to_owned()),
            _ => {
                return Err(format!(
                    "`{text}` is no time format: use auto, unix, unix_ms or a pattern as \
                     \"%d.%m.%Y %H:%M\""
                ));
            }
        })
    }

    /// Reads an instant. What has no offset is in `zone`; a date is the start of its day there.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence.
    pub fn read(&self, text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
        let text = text.trim();
        match self {
            TimeFormat::Auto => auto(text, zone),
            TimeFormat::Unix => unix(text, 1.0),
            TimeFormat::UnixMs => unix(text, 1_000.0),
            TimeFormat::Pattern(pattern) => patterned(text, pattern, zone),
        }
    }
}

/// The instant as a tracking call writes it.
#[must_use]
pub fn text(at: Timestamp) -> String {
    match at.subsec_nanosecond() {
        0 => at.to_string(),
        _ => format!("{at:.3}"),
    }
}

/// The text of a JSON value that may hold an instant.
pub fn of_json(value: &Json) -> Option<String> {
    match value {
        Json::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// To the millisecond, which is what the log keeps.
fn whole_ms(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

fn auto(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')
        && let Some(at) = numeric(text, zone)
    {
        return Ok(at);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(whole_ms(at));
    }
    // `2024-01-31 10:00:00 UTC`, as BigQuery and Postgres write it.
    let (bare, zone) = match text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")) {
        Some(bare) => (bare, &TimeZone::UTC),
        None => (text, zone),
    };
    let dashed = bare.replace('/', "-");
    let bare = if starts_with_year(bare) { dashed.as_str() } else { bare };
    if let Ok(at) = bare.parse::<Timestamp>() {
        return Ok(whole_ms(at));
    }
    match bare.parse::<DateTime>() {
        Ok(civil) => in_zone(civil, zone),
        Err(_) => Err(format!(
            "`{text}` is not a time that can be told without a format: give --time-format, as \
             \"%d.%m.%Y %H:%M\""
        )),
    }
}

fn starts_with_year(text: &str) -> bool {
    text.len() > 4 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit)
}

/// `YYYYMMDD`, or a count since 1970 whose unit its size tells.
fn numeric(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if text.len() == 8
        && let Some(date) = compact_date(text)
    {
        return in_zone(date.to_datetime(jiff::civil::Time::midnight()), zone).ok();
    }
    let number: f64 = text.parse().ok()?;
    let per_second = match number.abs() {
        size if size < 1e11 => 1.0,
        size if size < 1e14 => 1e3,
        size if size < 1e17 => 1e6,
        _ => 1e9,
    };
    unix(text, per_second).ok()
}

/// A date written as `YYYYMMDD`.
pub(super) fn compact_date(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let year: i16 = text[..4].parse().ok()?;
    let (month, day) = (text[4..6].parse().ok()?, text[6..].parse().ok()?);
    Date::new(year, month, day).ok().filter(|_| (1900..=2200).contains(&year))
}

fn unix(text: &str, per_second: f64) -> Result<Timestamp, String> {
    let wrong = || format!("`{text}` is no number of seconds or milliseconds since 1970");
    let number: f64 = text.parse().map_err(|_| wrong())?;
    let ms = (number / per_second * 1_000.0).round();
    if !ms.is_finite() || ms.abs() > 1e15 {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 1e15")]
    Timestamp::from_millisecond(ms as i64).map_err(|_| wrong())
}

fn patterned(text: &str, pattern: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = |error: jiff::Error| format!("`{text}` does not fit \"{pattern}\": {error}");
    let parsed = BrokenDownTime::parse(pattern, text).map_err(wrong)?;
    if parsed.offset().is_some() || parsed.timestamp().is_some() {
        return parsed.to_timestamp().map(whole_ms).map_err(wrong);
    }
    let date = parsed.to_date().map_err(wrong)?;
    let time = match parsed.hour() {
        Some(_) => parsed.to_time().map_err(wrong)?,
        None => jiff::civil::Time::midnight(),
    };
    in_zone(date.to_datetime(time), zone)
}

/// A time that the clocks skip or repeat is read as `TimeZone` does by default: after the gap, and
/// the first of the two.
fn in_zone(civil: DateTime, zone: &TimeZone) -> Result<Timestamp, String> {
    let at = zone.to_ambiguous_timestamp(civil).compatible();
    at.map(whole_ms).map_err(|_| format!("{civil} is beyond what can be told"))
}

/// Where the last row is to fall when a file is shifted in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShiftTo {
    /// On this date.
    Date(Date),
    /// As late as whole days allow without lying in the future.
    Today,
}

impl ShiftTo {
    /// Reads `today` or a date.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<ShiftTo, String> {
        match text {
            "today" => Ok(ShiftTo::Today),
            _ => text
                .parse()
                .map(ShiftTo::Date)
                .map_err(|_| format!("`{text}` is neither `today` nor a date as 2026-01-31")),
        }
    }

    /// Whole days to move every row by, for the last one to fall where it should.
    #[must_use]
    pub fn by(self, last: Timestamp, zone: &TimeZone, now: Timestamp) -> SignedDuration {
        match self {
            ShiftTo::Date(date) => {
                let from = zone.to_datetime(last).date();
                let days = from.until(date).map_or(0, |span| i64::from(span.get_days()));
                SignedDuration::from_hours(24 * days)
            }
            ShiftTo::Today => {
                let seconds = now.as_second() - last.as_second();
                SignedDuration::from_hours(24 * seconds.div_euclid(86_400))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, cell: &str) -> Result<String, String> {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        TimeFormat::parse(format).unwrap().read(cell, &berlin).map(|at| at.to_string())
    }

    fn check(format: &str, cell: &str, expect: &str) {
        assert_eq!(read(format, cell).as_deref(), Ok(expect), "{cell}");
    }

    #[test]
    fn times_that_need_no_format() {
        check("auto", "2024-03-01T10:00:00Z", "2024-03-01T10:00:00Z");
        check("auto", "2024-03-01T10:00:00.123456+02:00", "2024-03-01T08:00:00.123Z");
        check("auto", "2024-03-01 10:00:00+0200", "2024-03-01T08:00:00Z");
        check("auto", "2024-03-01 10:00:00", "2024-03-01T09:00:00Z");
        check("auto", "2024-03-01 10:00:00.5 UTC", "2024-03-01T10:00:00.5Z");
        check("auto", "2024/03/01 10:00", "2024-03-01T09:00:00Z");
        check("auto", " 2024-03-01 ", "2024-02-29T23:00:00Z");
        check("auto", "20240301", "2024-02-29T23:00:00Z");
        check("auto", "1709287200", "2024-03-01T10:00:00Z");
        check("auto", "1709287200123", "2024-03-01T10:00:00.123Z");
        check("auto", "1709287200.5", "2024-03-01T10:00:00.5Z");
        check("auto", "1709287200123456", "2024-03-01T10:00:00.123Z");
    }

    #[test]
    fn times_by_their_format() {
        check("unix", "1709287200", "2024-03-01T10:00:00Z");
        check("unix_ms", "1709287200123", "2024-03-01T10:00:00.123Z");
        check("%d.%m.%Y %H:%M", "01.03.2024 10:00", "2024-03-01T09:00:00Z");
        check("%d/%m/%Y", "01/03/2024", "2024-02-29T23:00:00Z");
        check("%Y-%m-%d %H:%M:%S %z", "2024-03-01 10:00:00 +0000", "2024-03-01T10:00:00Z");
        check("%m/%d/%Y %I:%M %p", "03/01/2024 01:30 PM", "2024-03-01T12:30:00Z");
    }

    #[test]
    fn a_time_the_clocks_skip_is_after_the_gap() {
        check("auto", "2024-03-31 02:30:00", "2024-03-31T01:30:00Z");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for cell in ["1/2/2024", "01.02.2024", "yesterday", "", "10:00"] {
            assert!(read("auto", cell).is_err(), "{cell}");
        }
        assert!(read("auto", "1/2/2024").unwrap_err().contains("--time-format"));
        assert!(TimeFormat::parse("iso8601ish").is_err());
        assert!(read("unix", "9e99").is_err());
    }

    #[test]
    fn a_shift_is_by_whole_days() {
        let last: Timestamp = "1998-06-30T12:00:00Z".parse().unwrap();
        let now: Timestamp = "2026-11-19T09:00:00Z".parse().unwrap();
        let shifted = |to: ShiftTo| (last + to.by(last, &TimeZone::UTC, now)).to_string();
        assert_eq!(shifted(ShiftTo::parse("2026-01-31").unwrap()), "2026-01-31T12:00:00Z");
        assert_eq!(shifted(ShiftTo::Today), "2026-11-18T12:00:00Z");
        assert!(ShiftTo::parse("soon").is_err());
    }
}
