//! Who hears of what, and when: routes, receivers and what mutes what, as the file has them.

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

use crate::period::{Calendar, Period};

/// Labels and the values that match; all labels must.
pub type Matchers = Vec<(String, Vec<String>)>;

/// A route: which decisions go to which receiver.
#[derive(Debug, Clone)]
pub struct Route {
    /// Labels and the values that match; all labels must.
    pub matchers: Matchers,
    /// The receiver's name.
    pub to: String,
    /// How what it takes is gathered; each change is told at once where it is `None`.
    pub grouping: Option<Grouping>,
    /// Who else hears of it when nobody acts, in the order of time.
    pub escalate: Vec<Escalation>,
    /// Whether a stage or a band of risk stays an alert for as long as the customer is in it: the
    /// route itself says that it is repeated or escalated.
    pub holds: bool,
}

impl Route {
    /// What tells the route apart from others, whichever version of the file has it.
    #[must_use]
    pub fn key(&self) -> String {
        let matchers = self.matchers.iter();
        let matchers = matchers.map(|(label, values)| format!("{label}={}", values.join(",")));
        format!("{} > {}", matchers.collect::<Vec<_>>().join(" "), self.to)
    }
}

/// How alerts are gathered into messages: the words and their meaning are Alertmanager's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// The labels whose values make a group.
    pub by: Vec<String>,
    /// How long a new group waits for company, in seconds.
    pub wait: i64,
    /// How often a changed group speaks, in seconds.
    pub interval: i64,
    /// How often an unchanged group speaks.
    pub repeat: Period,
}

/// A step of an escalation, of an alert or of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// How long after the first message, or after a task's due time.
    pub after: Period,
    /// The receiver's name; of a task a trait, a team or an address.
    pub to: String,
}

/// What is not told while something else is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibit {
    /// The labels of what mutes.
    pub when: Matchers,
    /// The labels of what is muted.
    pub mute: Matchers,
    /// Labels that both have with the same values.
    pub equal: Vec<String>,
    /// Whether only what depends on the feed that is silent is muted.
    pub depends_on_feed: bool,
}

impl Inhibit {
    /// Whether what mutes is of the same customer.
    #[must_use]
    pub fn is_of_customer(&self) -> bool {
        self.equal.iter().any(|label| label == "customer")
    }

    /// What tells the rule apart from others, whichever version of the file has it.
    #[must_use]
    pub fn key(&self) -> String {
        let depends = if self.depends_on_feed { " feed" } else { "" };
        format!("{:?} {:?} {:?}{depends}", self.when, self.mute, self.equal)
    }
}

/// The name of the secret with which Slack signs what its buttons send.
pub const SLACK_SIGNING: &str = "slack_signing";

/// What kind of place messages go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// An SNS topic: e-mail, chat, and whatever else subscribes.
    #[default]
    Sns,
    /// A Slack incoming webhook.
    Slack,
    /// Any receiver of Standard Webhooks.
    Webhook,
    /// PagerDuty, Events API v2.
    PagerDuty,
    /// Prometheus Alertmanager, API v2.
    Alertmanager,
}

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 5] =
        [Channel::Sns, Channel::Slack, Channel::Webhook, Channel::PagerDuty, Channel::Alertmanager];

    /// The word of the lifecycle file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Sns => "sns",
            Channel::Slack => "slack",
            Channel::Webhook => "webhook",
            Channel::PagerDuty => "pagerduty",
            Channel::Alertmanager => "alertmanager",
        }
    }

    /// Whether the receiver itself remembers what is so until it is told that it ended.
    #[must_use]
    pub fn keeps_state(self) -> bool {
        matches!(self, Channel::PagerDuty | Channel::Alertmanager)
    }
}

/// Where messages go.
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// What kind of place it is.
    pub channel: Channel,
    /// The SNS topic's name; of other channels the name of the secret that has the address.
    pub address: String,
    /// When it is told; at any time where it is `None`.
    pub digest: Option<Digest>,
    /// When it is not told.
    pub quiet: Option<Quiet>,
    /// How many messages it gets in an hour.
    pub cap_per_hour: Option<u32>,
}

/// A local time on some days of the week, or on working days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Monday first; the workspace's working days where it is `None`.
    pub days: Option<[bool; 7]>,
    /// The local time.
    pub time: Time,
}

/// No digest waits longer than this for its day: a calendar may have no day that is meant.
const LONGEST_WAIT_DAYS: u32 = 400;

impl Digest {
    /// Reads `weekdays 08:00`, `daily 08:00`, or days of the week, as `mon, thu 08:00`.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Digest, String> {
        let (days, time) = text.trim().rsplit_once(' ').ok_or_else(|| {
            format!("`{text}` is no time of a digest: write it as `weekdays 08:00`")
        })?;
        let days = match days.trim() {
            "weekdays" | "workdays" => None,
            "daily" => Some([true; 7]),
            days => Some(crate::period::parse_workdays(days)?),
        };
        Ok(Digest { days, time: local_time(time)? })
    }

    /// The first such instant at or after another.
    #[must_use]
    pub fn next(&self, from: Timestamp, calendar: &Calendar) -> Timestamp {
        let mut date = calendar.date(from);
        for _ in 0..LONGEST_WAIT_DAYS {
            if self.is_on(date, calendar) {
                let at = instant(date, self.time, calendar);
                if at >= from {
                    return at;
                }
            }
            date = date.saturating_add(1.day());
        }
        from
    }

    fn is_on(&self, date: Date, calendar: &Calendar) -> bool {
        match &self.days {
            None => calendar.is_workday(date),
            Some(days) => {
                let index = usize::try_from(date.weekday().to_monday_zero_offset());
                index.is_ok_and(|index| days[index])
            }
        }
    }
}

/// Local times between which nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// The first quiet minute.
    pub from: Time,
    /// The first one that is not.
    pub to: Time,
}

impl Quiet {
    /// Reads `20:00-07:00`.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Quiet, String> {
        let (from, to) = text
            .split_once('-')
            .ok_or_else(|| format!("`{text}` is no quiet time: write it as `20:00-07:00`"))?;
        let quiet = Quiet { from: local_time(from)?, to: local_time(to)? };
        if quiet.from == quiet.to {
            return Err(format!("`{text}` ends when it begins: nobody would ever be told"));
        }
        Ok(quiet)
    }

    /// Until when it is quiet, if it is at an instant.
    #[must_use]
    pub fn until(&self, now: Timestamp, calendar: &Calendar) -> Option<Timestamp> {
        let local = calendar.zone().to_datetime(now);
        let (date, time) = (local.date(), local.time());
        let ends = match self.from < self.to {
            true if self.from <= time && time < self.to => date,
            false if time >= self.from => date.saturating_add(1.day()),
            false if time < self.to => date,
            _ => return None,
        };
        let ends = instant(ends, self.to, calendar);
        // An hour that comes twice in autumn may end before it is over.
        (ends > now).then_some(ends)
    }
}

fn local_time(text: &str) -> Result<Time, String> {
    let wrong = || format!("`{}` is no time of the day: write it as `08:00`", text.trim());
    let (hour, minute) = text.trim().split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| match text.len() {
        1 | 2 => text.parse::<i8>().map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| wrong())
}

fn instant(date: Date, time: Time, calendar: &Calendar) -> Timestamp {
    let zoned = date.to_datetime(time).to_zoned(calendar.zone().clone());
    zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn berlin() -> Calendar {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let holidays = vec!["2026-12-25".parse().unwrap()];
        Calendar::new(zone, [true, true, true, true, true, false, false], holidays)
    }

    #[test]
    fn a_digest_comes_at_a_local_time_of_working_days() {
        let digest = Digest::parse("weekdays 08:00").unwrap();
        for (from, want) in [
            ("2026-03-27T06:00:00Z", "2026-03-27T07:00:00Z"),
            ("2026-03-27T07:00:00Z", "2026-03-27T07:00:00Z"),
            // Over a weekend, and into summer time.
            ("2026-03-27T07:00:01Z", "2026-03-30T06:00:00Z"),
            // Over a holiday and a weekend.
            ("2026-12-24T12:00:00Z", "2026-12-28T07:00:00Z"),
        ] {
            assert_eq!(digest.next(at(from), &berlin()), at(want), "{from}");
        }
        let weekly = Digest::parse("mon, thu 9:30").unwrap();
        let want = at("2026-03-30T07:30:00Z");
        assert_eq!(weekly.next(at("2026-03-27T12:00:00Z"), &berlin()), want);
        for wrong in
            ["08:00", "weekdays", "weekdays 8", "weekdays 25:00", "never 08:00", "daily 8:1x"]
        {
            assert!(Digest::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_quiet_time_may_go_over_midnight() {
        let quiet = Quiet::parse("20:00-07:00").unwrap();
        for (now, want) in [
            ("2026-01-15T18:59:59Z", None),
            ("2026-01-15T19:00:00Z", Some("2026-01-16T06:00:00Z")),
            ("2026-01-16T05:59:59Z", Some("2026-01-16T06:00:00Z")),
            ("2026-01-16T06:00:00Z", None),
        ] {
            assert_eq!(quiet.until(at(now), &berlin()), want.map(at), "{now}");
        }
        let noon = Quiet::parse("12:00-13:00").unwrap();
        assert_eq!(
            noon.until(at("2026-01-15T11:30:00Z"), &berlin()),
            Some(at("2026-01-15T12:00:00Z"))
        );
        assert_eq!(noon.until(at("2026-01-15T12:00:00Z"), &berlin()), None);
        assert!(Quiet::parse("20:00").is_err() && Quiet::parse("20:00-20:00").is_err());
    }
}
