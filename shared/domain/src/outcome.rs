//! What alarms were worth: a fold over the journal of each customer.
//!
//! An alarm is a finding that opens, a risk band that is risen into, or a stage of customers who are about to
//! leave that is entered. Within the horizon of an alarm a second one of the same group and customer is the
//! same alarm. Two things are told of each group, and they are not the same: what people who saw its findings
//! said, and who of those alarmed was gone within the horizon.
//!
//! Only alarms whose horizon is over by the end of what is known count as right or wrong; the others are
//! told apart, whatever became of them by now, for who leaves early would be counted and who stays would not.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::journal::{ChangeKind, FindingOutcome, JournalEntry};
use crate::lifecycle::Lifecycle;
use crate::plan::is_gone;

#[cfg(test)]
mod tests;

/// Words that a stage of customers who are about to leave has in its name.
const LEAVING: [&str; 4] = ["churn", "risk", "leaving", "endangered"];
/// The normal deviate of a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// What raised an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A stage of customers who are about to leave.
    Rule,
    /// A finding of a standard.
    Standard,
    /// A band of risk, of those above the lowest.
    Band,
}

impl Source {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Rule => "rule",
            Source::Standard => "standard",
            Source::Band => "band",
        }
    }
}

/// A share, and the interval in which it lies with 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// The share, from 0 to 1.
    pub share: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Share {
    /// So many of so many; none of none. The interval is Wilson's: "Probable Inference, the Law of
    /// Succession, and Statistical Inference", 1927.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Option<Share> {
        if whole == 0 {
            return None;
        }
        let (n, share) = (whole as f64, part as f64 / whole as f64);
        let scale = 1.0 + Z * Z / n;
        let centre = (share + Z * Z / (2.0 * n)) / scale;
        let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
        Some(Share { share, low: (centre - reach).max(0.0), high: (centre + reach).min(1.0) })
    }
}

/// From an alarm to the day the customer was gone, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lead {
    /// A quarter were gone at most so soon.
    pub p25_seconds: i64,
    /// Half of them were.
    pub p50_seconds: i64,
    /// Three quarters.
    pub p75_seconds: i64,
}

/// What came of one group of alarms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What raises them.
    pub source: Source,
    /// The stage, standard or band.
    pub name: String,
    /// How many there were in the period.
    pub alarms: u64,
    /// Of these, how many have a horizon that is not over.
    pub censored: u64,
    /// Of the others, how many were gone within it.
    pub churned: u64,
    /// Of the others, how many alarms ended within it, the customer not gone: the stage was left for one
    /// of customers who stay, the risk fell below the band, the finding was closed.
    pub saved: u64,
    /// The share of those whose horizon is over that were gone.
    pub churn: Option<Share>,
    /// How long before it the alarm came, of those who were gone.
    pub lead: Option<Lead>,
    /// How many findings were said to be useful.
    pub useful: u64,
    /// How many were right, and known before.
    pub known: u64,
    /// How many were wrong.
    pub r#false: u64,
    /// The useful ones of those that were useful or wrong.
    pub precision: Option<Share>,
}

/// One alarm.
struct Alarm {
    at: Timestamp,
    ended: Option<Timestamp>,
}

#[derive(Default)]
struct Group {
    alarms: u64,
    censored: u64,
    churned: u64,
    saved: u64,
    leads: Vec<i64>,
    said: BTreeMap<&'static str, u64>,
}

/// The fold.
pub struct Outcomes<'a> {
    lifecycle: &'a Lifecycle,
    horizon: SignedDuration,
    until: Timestamp,
    groups: BTreeMap<(Source, String), Group>,
}

impl<'a> Outcomes<'a> {
    /// Nothing yet. An alarm looks ahead by `horizon`; what happened from `until` on is not known.
    #[must_use]
    pub fn new(
        lifecycle: &'a Lifecycle,
        horizon: SignedDuration,
        until: Timestamp,
    ) -> Outcomes<'a> {
        Outcomes { lifecycle, horizon, until, groups: BTreeMap::new() }
    }

    /// Takes in one customer's entries of the period.
    pub fn add(&mut self, mut entries: Vec<JournalEntry>) {
        entries.retain(|entry| entry.at < self.until);
        entries.sort_by_key(|entry| entry.seq);
        let mut alarms: BTreeMap<(Source, String), Vec<Alarm>> = BTreeMap::new();
        let mut gone: Vec<Timestamp> = Vec::new();
        let mut said: BTreeMap<(String, String), FindingOutcome> = BTreeMap::new();
        for entry in &entries {
            if let Some(name) = self.raised(entry) {
                let of = alarms.entry(name).or_default();
                if of.last().is_none_or(|last| entry.at.duration_since(last.at) >= self.horizon) {
                    of.push(Alarm { at: entry.at, ended: None });
                }
            }
            for (group, of) in &mut alarms {
                if let Some(last) = of.last_mut().filter(|last| last.ended.is_none())
                    && self.ends(entry, group)
                {
                    last.ended = Some(entry.at);
                }
            }
            match entry.kind {
                ChangeKind::Stage if entry.to.as_deref().is_some_and(is_gone) => {
                    gone.push(entry.at);
                }
                ChangeKind::Acknowledgement => said.extend(outcome(entry)),
                _ => {}
            }
        }
        for (name, alarms) in alarms {
            let group = self.groups.entry(name).or_default();
            for alarm in alarms {
                group.take(&alarm, &gone, (self.horizon, self.until));
            }
        }
        for ((standard, _), outcome) in said {
            let group = self.groups.entry((Source::Standard, standard)).or_default();
            *group.said.entry(outcome.as_str()).or_default() += 1;
        }
    }

    /// The group of the alarm that an entry is.
    fn raised(&self, entry: &JournalEntry) -> Option<(Source, String)> {
        let to = entry.to.as_deref()?;
        match entry.kind {
            ChangeKind::Stage if is_leaving(to) && entry.from.as_deref() != Some(to) => {
                Some((Source::Rule, to.to_owned()))
            }
            ChangeKind::Risk => {
                let before = entry.from.as_deref().and_then(|from| self.rank(from)).unwrap_or(0);
                (self.rank(to)? > before).then(|| (Source::Band, to.to_owned()))
            }
            ChangeKind::Finding if to == "open" => {
                Some((Source::Standard, entry.rule.strip_prefix("standards.")?.to_owned()))
            }
            _ => None,
        }
    }

    /// Whether an entry says that what an alarm was about is over, and well.
    fn ends(&self, entry: &JournalEntry, (source, name): &(Source, String)) -> bool {
        let Some(to) = entry.to.as_deref() else { return false };
        match (source, entry.kind) {
            (Source::Rule, ChangeKind::Stage) => !is_leaving(to) && !is_gone(to),
            (Source::Band, ChangeKind::Risk) => self.rank(to) < self.rank(name),
            (Source::Standard, ChangeKind::Finding) => {
                to == "closed" && entry.rule.strip_prefix("standards.") == Some(name.as_str())
            }
            _ => false,
        }
    }

    fn rank(&self, band: &str) -> Option<usize> {
        let bands = self.lifecycle.risk.as_ref()?.bands();
        bands.iter().position(|one| one.name == band)
    }

    /// A row for each group.
    #[must_use]
    pub fn rows(self) -> Vec<Row> {
        let groups = self.groups.into_iter();
        groups.map(|((source, name), group)| group.row(source, name)).collect()
    }
}

impl Group {
    fn take(
        &mut self,
        alarm: &Alarm,
        gone: &[Timestamp],
        (horizon, until): (SignedDuration, Timestamp),
    ) {
        self.alarms += 1;
        let end = alarm.at.saturating_add(horizon).unwrap_or(Timestamp::MAX);
        if end > until {
            self.censored += 1;
            return;
        }
        let within = |at: &&Timestamp| alarm.at <= **at && **at < end;
        if let Some(left) = gone.iter().find(within) {
            self.churned += 1;
            self.leads.push(left.duration_since(alarm.at).as_secs());
        } else if alarm.ended.is_some_and(|ended| ended < end) {
            self.saved += 1;
        }
    }

    fn row(mut self, source: Source, name: String) -> Row {
        self.leads.sort_unstable();
        // The nearest rank: the least value that so large a part does not exceed.
        let at = |quarters: usize| {
            let place = (self.leads.len() * quarters).div_ceil(4).saturating_sub(1);
            self.leads.get(place).copied()
        };
        let lead = at(1).zip(at(2)).zip(at(3));
        let said =
            |outcome: FindingOutcome| self.said.get(outcome.as_str()).copied().unwrap_or_default();
        let (useful, wrong) = (said(FindingOutcome::Useful), said(FindingOutcome::False));
        Row {
            source,
            name,
            alarms: self.alarms,
            censored: self.censored,
            churned: self.churned,
            saved: self.saved,
            churn: Share::of(self.churned, self.alarms - self.censored),
            lead: lead.map(|((p25_seconds, p50_seconds), p75_seconds)| Lead {
                p25_seconds,
                p50_seconds,
                p75_seconds,
            }),
            useful,
            known: said(FindingOutcome::Known),
            r#false: wrong,
            precision: Share::of(useful, useful + wrong),
        }
    }
}

/// Whether a stage is that of customers who are about to leave, by its name.
#[must_use]
pub fn is_leaving(stage: &str) -> bool {
    !is_gone(stage) && stage.split('_').any(|word| LEAVING.contains(&word))
}

/// Which finding somebody saw, and what it was worth: the last word counts.
fn outcome(entry: &JournalEntry) -> Option<((String, String), FindingOutcome)> {
    let standard = entry.rule.strip_prefix("standards.")?;
    let inputs = &entry.reasons.first()?.inputs;
    let opened_at = inputs.get("opened_at")?.as_str()?;
    let outcome = FindingOutcome::parse(inputs.get("outcome")?.as_str()?)?;
    Some(((standard.to_owned(), opened_at.to_owned()), outcome))
}
