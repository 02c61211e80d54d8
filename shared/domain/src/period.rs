//! Lengths of time as people write them (`30d`, `4h`, `10 workdays`) and the calendar that turns
//! them into instants.
//!
//! A day of a window (`over: 7d`) is 24 hours; a workday is a date of the workspace's calendar.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// A length of time: elapsed seconds, or whole working days of the workspace's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Seconds of elapsed time; `1d` is 86,400 of them whatever the time zone does.
    Elapsed(i64),
    /// Working days: weekends and holidays of the workspace do not count.
    Workdays(u32),
}

/// Seconds in a day of elapsed time.
pub const DAY: i64 = 86_400;
/// Seconds in an hour.
pub const HOUR: i64 = 3_600;
/// No period may be longer than this: ten years.
const LONGEST: i64 = 3_653 * DAY;

impl Period {
    /// Reads `30s`, `5m`, `4h`, `7d`, `2w`, `10 workdays` or `1 workday`.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Period, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: i64 = number.parse().map_err(|_| {
            format!("`{text}` is not a period: write a whole number and a unit, as in `30d`")
        })?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => HOUR,
            "d" => DAY,
            "w" => 7 * DAY,
            "workday" | "workdays" => {
                return match u32::try_from(number) {
                    Ok(days) if days <= 2_600 => Ok(Period::Workdays(days)),
                    _ => Err(format!("`{text}` is longer than ten years")),
                };
            }
            "" => return Err(format!("`{text}` has no unit: write `{text}d` for days")),
            _ if unit.starts_with('.') => {
                return Err(format!("`{text}` is no whole number: write it in a smaller unit"));
            }
            other => {
                return Err(format!("`{other}` is no unit: use s, m, h, d, w or workdays"));
            }
        };
        match number.checked_mul(seconds) {
            Some(seconds) if seconds <= LONGEST => Ok(Period::Elapsed(seconds)),
            _ => Err(format!("`{text}` is longer than ten years")),
        }
    }

    /// Whether this period can end at any hour, so that waiting for a nightly run is too coarse.
    #[must_use]
    pub fn is_sub_day(self) -> bool {
        matches!(self, Period::Elapsed(seconds) if seconds % DAY != 0)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Period::Workdays(1) => write!(f, "1 workday"),
            Period::Workdays(days) => write!(f, "{days} workdays"),
            Period::Elapsed(s) if s % DAY == 0 => write!(f, "{}d", s / DAY),
            Period::Elapsed(s) if s % HOUR == 0 => write!(f, "{}h", s / HOUR),
            Period::Elapsed(s) if s % 60 == 0 => write!(f, "{}m", s / 60),
            Period::Elapsed(s) => write!(f, "{s}s"),
        }
    }
}

/// The workspace's time zone, working days and holidays.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    /// Monday first.
    workdays: [bool; 7],
    holidays: Vec<Date>,
}

impl Calendar {
    /// A calendar; `workdays` starts on Monday and holds at least one working day.
    #[must_use]
    pub fn new(zone: TimeZone, workdays: [bool; 7], mut holidays: Vec<Date>) -> Calendar {
        holidays.sort_unstable();
        Calendar { zone, workdays, holidays }
    }

    /// UTC, Monday to Friday, no holidays.
    #[must_use]
    pub fn utc() -> Calendar {
        Calendar::new(TimeZone::UTC, [true, true, true, true, true, false, false], Vec::new())
    }

    /// The time zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The local date at an instant.
    #[must_use]
    pub fn date(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }

    /// The instant at which a local date starts.
    #[must_use]
    pub fn start_of(&self, date: Date) -> Timestamp {
        date.to_zoned(self.zone.clone())
            .map_or_else(|_| Timestamp::MIN, |midnight| midnight.timestamp())
    }

    /// The first local midnight after an instant.
    #[must_use]
    pub fn next_midnight(&self, at: Timestamp) -> Timestamp {
        self.start_of(self.date(at).saturating_add(1.day()))
    }

    /// An upper bound of a period in whole days, for deciding how much history to keep.
    #[must_use]
    pub fn at_most_days(&self, period: Period) -> u32 {
        match period {
            Period::Elapsed(seconds) => {
                u32::try_from((seconds + DAY - 1) / DAY).unwrap_or(u32::MAX)
            }
            Period::Workdays(days) => {
                let a_week = self.workdays.iter().filter(|works| **works).count().max(1);
                let weeks = days.div_ceil(u32::try_from(a_week).unwrap_or(1)) + 1;
                weeks * 7 + u32::try_from(self.holidays.len()).unwrap_or(0)
            }
        }
    }

    /// Whether people work on a local date.
    #[must_use]
    pub fn is_workday(&self, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        let works = usize::try_from(weekday).is_ok_and(|index| self.workdays[index]);
        works && self.holidays.binary_search(&date).is_err()
    }

    /// The instant a period after another: elapsed time, or the same local time so many working
    /// days later (counting from the first working day on or after `from`).
    #[must_use]
    pub fn after(&self, from: Timestamp, period: Period) -> Timestamp {
        match period {
            Period::Elapsed(seconds) => {
                from.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
            }
            Period::Workdays(days) => {
                let local = self.zone.to_datetime(from);
                let mut date = local.date();
                let mut left = days;
                while left > 0 && date < Date::MAX {
                    date = date.saturating_add(1.day());
                    if self.is_workday(date) {
                        left -= 1;
                    }
                }
                date.to_datetime(local.time())
                    .to_zoned(self.zone.clone())
                    .map_or(Timestamp::MAX, |zoned| zoned.timestamp())
            }
        }
    }
}

/// Reads `mon-fri`, `sun-thu` or `mon, wed, fri` into flags that start on Monday.
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn parse_workdays(text: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| -> Result<usize, String> {
        let weekday = match name.trim().to_ascii_lowercase().as_str() {
            "mon" => Weekday::Monday,
            "tue" => Weekday::Tuesday,
            "wed" => Weekday::Wednesday,
            "thu" => Weekday::Thursday,
            "fri" => Weekday::Friday,
            "sat" => Weekday::Saturday,
            "sun" => Weekday::Sunday,
            other => return Err(format!("`{other}` is no weekday: use mon, tue, … sun")),
        };
        Ok(weekday.to_monday_zero_offset().unsigned_abs().into())
    };
    let mut flags = [false; 7];
    for part in text.split(',') {
        match part.split_once('-') {
            None => flags[day(part)?] = true,
            Some((first, last)) => {
                let (mut index, last) = (day(first)?, day(last)?);
                flags[index] = true;
                while index != last {
                    index = (index + 1) % 7;
                    flags[index] = true;
                }
            }
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_are_read_as_people_write_them() {
        for (text, want) in [
            ("30s", Period::Elapsed(30)),
            ("4h", Period::Elapsed(4 * HOUR)),
            ("7d", Period::Elapsed(7 * DAY)),
            ("2w", Period::Elapsed(14 * DAY)),
            ("1 workday", Period::Workdays(1)),
            ("10 workdays", Period::Workdays(10)),
        ] {
            assert_eq!(Period::parse(text), Ok(want), "{text}");
        }
        for text in ["", "d", "7", "7 years", "-3d", "99999999999d", "1.5d"] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn workdays_skip_weekends_and_holidays() {
        let holidays = vec!["2026-12-25".parse().unwrap(), "2027-01-01".parse().unwrap()];
        let calendar = Calendar::new(TimeZone::UTC, parse_workdays("mon-fri").unwrap(), holidays);
        assert_eq!(
            calendar.after(at("2026-12-23T09:00:00Z"), Period::Workdays(5)),
            at("2026-12-31T09:00:00Z")
        );
    }

    #[test]
    fn a_workday_keeps_the_local_hour_across_daylight_saving() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let calendar = Calendar::new(zone, parse_workdays("mon-fri").unwrap(), Vec::new());
        // Friday before the change at the end of March to Monday after it.
        assert_eq!(
            calendar.after(at("2026-03-27T08:00:00Z"), Period::Workdays(1)),
            at("2026-03-30T07:00:00Z")
        );
    }

    #[test]
    fn workdays_are_read_as_ranges_and_lists() {
        assert_eq!(
            parse_workdays("sun-thu").unwrap(),
            [true, true, true, true, false, false, true]
        );
        assert_eq!(
            parse_workdays("mon, wed").unwrap(),
            [true, false, true, false, false, false, false]
        );
        assert!(parse_workdays("mon-fry").is_err());
    }
}
