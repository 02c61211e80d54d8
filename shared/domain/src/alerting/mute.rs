//! What is not told: silences, which people make, and inhibitions, which the lifecycle file has.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::group::{Group, Member, State};
use crate::alert::{Labels, matches};
use crate::by_hand::{NeedsReason, Refused};
use crate::lifecycle::Inhibit;

/// The most matchers of a silence, and values of one.
const MAX_MATCHERS: usize = 16;
/// The longest label or value, in bytes.
const MAX_TEXT: usize = 256;
/// The label that is a customer's id.
const CUSTOMER: &str = "customer";

/// A question to one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// The values it may have, or may not; an alert without the label has the empty one.
    pub values: Vec<String>,
    /// Whether it must have none of them.
    #[serde(default)]
    pub is_not: bool,
}

impl Matcher {
    /// Reads `kind=finding`, `csm!=kim@example.com` or `standard=kickoff_held,owner_known`.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Matcher, String> {
        let (left, values) = text.split_once('=').ok_or_else(|| {
            format!("`{text}` is no matcher: write it as `label=value` or `label!=value`")
        })?;
        let (label, is_not) = match left.strip_suffix('!') {
            Some(label) => (label, true),
            None => (left, false),
        };
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        Ok(Matcher { label: label.trim().to_owned(), values, is_not })
    }

    fn is_met_by(&self, values: Option<&Vec<String>>) -> bool {
        let has = match values {
            Some(values) if !values.is_empty() => {
                values.iter().any(|value| self.values.contains(value))
            }
            _ => self.values.iter().any(String::is_empty),
        };
        has != self.is_not
    }

    fn names(&self, customer: &str) -> bool {
        self.label == CUSTOMER && self.values.iter().any(|value| value == customer)
    }

    fn is_good(&self) -> bool {
        let is_short = |text: &String| text.len() <= MAX_TEXT;
        !self.label.is_empty()
            && is_short(&self.label)
            && !self.values.is_empty()
            && self.values.len() <= MAX_MATCHERS
            && self.values.iter().all(is_short)
    }
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.is_not { "!=" } else { "=" };
        write!(f, "{}{sign}{}", self.label, self.values.join(","))
    }
}

/// Alerts that somebody does not want to hear of for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Names it.
    pub id: String,
    /// Which alerts: all of these must be met.
    pub matchers: Vec<Matcher>,
    /// Who does not want to hear of them.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// Why a silence cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SilenceRefused {
    /// It would silence everything, or nothing that can be told.
    #[error(
        "`matchers` needs 1 to {MAX_MATCHERS} of them, each with a label and 1 to {MAX_MATCHERS} values of at most {MAX_TEXT} bytes"
    )]
    Matchers,
    /// It ends before it begins, or is over.
    #[error("`ends_at` is not after `starts_at` and in the future")]
    Over,
    /// It would never end.
    #[error("a silence lasts at most a year: make a new one when it is over")]
    TooLong,
    /// Who makes it, or why, is not said.
    #[error(transparent)]
    Who(#[from] Refused),
}

impl Silence {
    /// Whether it is about a customer by its id.
    #[must_use]
    pub fn names(&self, customer: &str) -> bool {
        self.matchers.iter().any(|matcher| matcher.names(customer))
    }

    /// The same without a customer's id; `None` where nothing of it is left.
    #[must_use]
    pub fn without(mut self, customer: &str) -> Option<Silence> {
        let mut is_of_nobody = false;
        self.matchers.retain_mut(|matcher| {
            if !matcher.names(customer) {
                return true;
            }
            matcher.values.retain(|value| value != customer);
            // Without values none has one of them, and all have none of them.
            is_of_nobody |= matcher.values.is_empty() && !matcher.is_not;
            !matcher.values.is_empty()
        });
        (!is_of_nobody && !self.matchers.is_empty()).then_some(self)
    }

    /// Checks what somebody asks for.
    ///
    /// # Errors
    /// When it is not what a silence has to be.
    pub fn checked(
        id: String,
        matchers: Vec<Matcher>,
        (author, reason): (Option<&str>, Option<&str>),
        (starts_at, ends_at): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<Silence, SilenceRefused> {
        let by = crate::by_hand::author(author, reason, NeedsReason::Yes)?;
        let count = matchers.len();
        if !(1..=MAX_MATCHERS).contains(&count) || !matchers.iter().all(Matcher::is_good) {
            return Err(SilenceRefused::Matchers);
        }
        if ends_at <= starts_at || ends_at <= now {
            return Err(SilenceRefused::Over);
        }
        if ends_at.duration_since(now) > jiff::SignedDuration::from_hours(24 * 366) {
            return Err(SilenceRefused::TooLong);
        }
        let reason = by.reason.unwrap_or_default();
        Ok(Silence { id, matchers, author: by.name, reason, starts_at, ends_at })
    }

    /// Whether it is in force at an instant.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at
    }

    /// Whether it is about an alert with these labels.
    pub(crate) fn is_about<'a>(&self, value: impl Fn(&str) -> Option<&'a Vec<String>>) -> bool {
        self.matchers.iter().all(|matcher| matcher.is_met_by(value(&matcher.label)))
    }
}

/// Something that mutes others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibiting {
    /// The index of the rule in the lifecycle file.
    pub rule: usize,
    /// The values of the rule's `equal` labels; then the feed, where it mutes what depends on one.
    pub equal: Vec<String>,
    /// Whether it would itself be muted by the rule: then it mutes only what does not mute.
    pub is_muted_too: bool,
}

/// Why an alert is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Muted {
    /// Somebody silenced it.
    Silenced {
        /// The silence.
        id: String,
        /// When it ends.
        until: Timestamp,
    },
    /// Something else is so.
    Inhibited {
        /// The index of the rule in the lifecycle file.
        rule: usize,
    },
}

impl Muted {
    /// Whether it holds back that an alert is, or that it ended. That something else is so does not keep
    /// from whoever heard that an alert began that it ended.
    #[must_use]
    pub(crate) fn holds(&self, state: State) -> bool {
        state != State::Resolved || matches!(self, Muted::Silenced { .. })
    }

    /// Of two reasons, the one that ends first as far as is known.
    #[must_use]
    pub fn first(self, other: Muted) -> Muted {
        match (&self, &other) {
            (Muted::Silenced { until, .. }, Muted::Silenced { until: then, .. })
                if then < until =>
            {
                other
            }
            (Muted::Inhibited { .. }, Muted::Silenced { .. }) => other,
            _ => self,
        }
    }
}

/// What mutes at an instant.
#[derive(Debug, Clone)]
pub struct Mutes<'a> {
    /// Silences, in force or not.
    pub silences: &'a [Silence],
    /// The rules of the lifecycle file.
    pub rules: &'a [Inhibit],
    /// What mutes others now.
    pub sources: &'a [Inhibiting],
    /// The instant.
    pub now: Timestamp,
}

impl Mutes<'_> {
    /// What mutes an alert with these labels.
    #[must_use]
    pub fn of(&self, labels: &Labels) -> Option<Muted> {
        self.of_value(&|label| labels.get(label))
    }

    /// What mutes all alerts that are counted together.
    pub(crate) fn of_bucket(&self, group: &Group, index: usize) -> Option<Muted> {
        if self.silences.is_empty() && self.sources.is_empty() {
            return None;
        }
        let shared = shared(group);
        let bucket = group.buckets.get(index)?;
        // A label that is not of the bucket may have any value: only what is surely met counts.
        let known = |label: &str| bucket.labels.get(label).or_else(|| shared.get(label));
        let silences = self.silences.iter().filter(|silence| silence.is_active(self.now));
        let silence = silences.filter(|silence| {
            silence.matchers.iter().all(|matcher| {
                known(&matcher.label).is_some_and(|values| matcher.is_met_by(Some(values)))
            })
        });
        longest(silence).or_else(|| self.inhibited(&known))
    }

    /// What mutes one alert.
    pub(crate) fn of_member(&self, group: &Group, member: &Member) -> Option<Muted> {
        if self.silences.is_empty() && self.sources.is_empty() {
            return None;
        }
        let shared = shared(group);
        let bucket = group.buckets.get(member.bucket as usize);
        let customer = vec![member.customer.clone()];
        let muted = self.of_value(&|label| match label {
            "customer" => Some(&customer),
            _ => (member.labels.get(label))
                .or_else(|| bucket.and_then(|bucket| bucket.labels.get(label)))
                .or_else(|| shared.get(label)),
        });
        muted.filter(|muted| muted.holds(member.state))
    }

    fn of_value<'v>(&self, value: &impl Fn(&str) -> Option<&'v Vec<String>>) -> Option<Muted> {
        let silences = self.silences.iter().filter(|silence| silence.is_active(self.now));
        longest(silences.filter(|silence| silence.is_about(value)))
            .or_else(|| self.inhibited(value))
    }

    fn inhibited<'v>(&self, value: &impl Fn(&str) -> Option<&'v Vec<String>>) -> Option<Muted> {
        let source = self.sources.iter().find(|source| {
            let Some(rule) = self.rules.get(source.rule) else { return false };
            let is_muted = rule.mute.iter().all(|(label, wanted)| {
                value(label).is_some_and(|values| values.iter().any(|one| wanted.contains(one)))
            });
            // As in Alertmanager: of what is on both sides of a rule, none mutes another.
            let mutes_too = rule.when.iter().all(|(label, wanted)| {
                value(label).is_some_and(|values| values.iter().any(|one| wanted.contains(one)))
            });
            let is_itself = source.is_muted_too && mutes_too;
            let equal = rule.equal.iter().zip(&source.equal).all(|(label, wanted)| {
                value(label).and_then(|values| values.first()).map_or("", String::as_str) == wanted
            });
            let depends = !rule.depends_on_feed
                || value("feed").is_some_and(|feeds| {
                    source.equal.last().is_some_and(|feed| feeds.contains(feed))
                });
            is_muted && !is_itself && equal && depends
        });
        source.map(|source| Muted::Inhibited { rule: source.rule })
    }
}

/// The silence that lasts longest.
fn longest<'a>(silences: impl Iterator<Item = &'a Silence>) -> Option<Muted> {
    let last = silences.max_by_key(|silence| silence.ends_at)?;
    Some(Muted::Silenced { id: last.id.clone(), until: last.ends_at })
}

/// The label by which a silence names one group. No trait has such a name.
pub const GROUP_LABEL: &str = "@group";

fn shared(group: &Group) -> Labels {
    let labels = group.labels.iter().map(|(label, value)| (label.as_str(), value.clone()));
    let own = std::iter::once((GROUP_LABEL, group.id.clone()));
    labels.chain(own).map(|(label, value)| (label.to_owned(), vec![value])).collect()
}

impl Inhibiting {
    /// What mutes others by what is so of one customer ([`crate::alert::standing`]), as far as the
    /// rules ask for the same customer.
    #[must_use]
    pub fn of_customer(rules: &[Inhibit], standing: &[Labels]) -> Vec<Inhibiting> {
        let mut found = Vec::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.is_of_customer()) {
            for labels in standing.iter().filter(|labels| matches(&rule.when, labels)) {
                found.push(source(index, rule, labels));
            }
        }
        found
    }

    /// What an alert mutes of other customers.
    #[must_use]
    pub fn of_others(rules: &[Inhibit], labels: &Labels) -> Vec<Inhibiting> {
        let rules = rules.iter().enumerate().filter(|(_, rule)| !rule.is_of_customer());
        rules
            .filter(|(_, rule)| matches(&rule.when, labels))
            .map(|(index, rule)| source(index, rule, labels))
            .collect()
    }

    /// What of other customers might mute an alert with these labels.
    #[must_use]
    pub fn that_may_mute(rules: &[Inhibit], labels: &Labels) -> Vec<Inhibiting> {
        let rules = rules.iter().enumerate().filter(|(_, rule)| !rule.is_of_customer());
        let rules = rules.filter(|(_, rule)| matches(&rule.mute, labels));
        let mut found = Vec::new();
        for (rule, of) in rules {
            let feeds = labels.get("feed").map_or(&[][..], Vec::as_slice);
            for equal in with_feeds(of, equal_of(of, labels), feeds) {
                found.extend([false, true].map(|is_muted_too| Inhibiting {
                    rule,
                    equal: equal.clone(),
                    is_muted_too,
                }));
            }
        }
        found
    }
}

impl Group {
    /// What of other customers might mute alerts of this group: each rule with the values that its
    /// `equal` labels have here.
    #[must_use]
    pub fn may_be_muted_by(&self, rules: &[Inhibit]) -> Vec<Inhibiting> {
        let shared = shared(self);
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.is_of_customer()) {
            let none = Labels::new();
            let members =
                self.members.iter().map(|member| (member.bucket as usize, &member.labels));
            let buckets = (0..self.buckets.len()).map(|bucket| (bucket, &none));
            for (bucket, own) in members.chain(buckets) {
                let counted = self.buckets.get(bucket).map_or(&none, |bucket| &bucket.labels);
                let value = |label: &String| {
                    let values =
                        own.get(label).or_else(|| counted.get(label)).or_else(|| shared.get(label));
                    values.and_then(|values| values.first()).cloned().unwrap_or_default()
                };
                let equal: Vec<String> = rule.equal.iter().map(value).collect();
                let feeds = own.get("feed").or_else(|| counted.get("feed"));
                let feeds = feeds.map_or(&[][..], Vec::as_slice);
                for equal in with_feeds(rule, equal, feeds) {
                    if seen.insert((index, equal.clone())) {
                        for is_muted_too in [false, true] {
                            let equal = equal.clone();
                            found.push(Inhibiting { rule: index, equal, is_muted_too });
                        }
                    }
                }
            }
        }
        found
    }
}

fn source(index: usize, rule: &Inhibit, labels: &Labels) -> Inhibiting {
    let is_muted_too = matches(&rule.mute, labels);
    let mut equal = equal_of(rule, labels);
    if rule.depends_on_feed {
        let feed = labels.get("feed").and_then(|feeds| feeds.first());
        equal.push(feed.cloned().unwrap_or_default());
    }
    Inhibiting { rule: index, equal, is_muted_too }
}

/// What a rule asks for of what mutes: once for each feed, where it mutes what depends on one.
fn with_feeds(rule: &Inhibit, equal: Vec<String>, feeds: &[String]) -> Vec<Vec<String>> {
    match rule.depends_on_feed {
        false => vec![equal],
        true => feeds.iter().map(|feed| equal.iter().chain([feed]).cloned().collect()).collect(),
    }
}

fn equal_of(rule: &Inhibit, labels: &Labels) -> Vec<String> {
    let value = |label: &String| labels.get(label).and_then(|values| values.first());
    rule.equal.iter().map(|label| value(label).cloned().unwrap_or_default()).collect()
}
