//! Routes, receivers and what mutes what: who hears of which, and when.

use super::playbooks::{names_of, purposes};
use super::risk::risk_bands;
use super::{Known, Loader, text};
use crate::expr::Type;
use crate::lifecycle::file::{self, File, OneOrMany, Word};
use crate::lifecycle::{
    Channel, Digest, Escalation, Grouping, Inhibit, Matchers, Quiet, Receiver, Route,
    SLACK_SIGNING, Stage, Standard, Trait,
};
use crate::period::{HOUR, Period};

/// Alertmanager's own: 30 seconds, 5 minutes, 4 hours.
const DEFAULT_WAIT: i64 = 30;
const DEFAULT_INTERVAL: i64 = 300;
const DEFAULT_REPEAT: Period = Period::Elapsed(4 * HOUR);
/// The labels that are no traits.
const LABELS: [&str; 14] = [
    "feed",
    "kind",
    "severity",
    "stage",
    "from",
    "standard",
    "band",
    "segment",
    "state",
    "checkpoint",
    "playbook",
    "purpose",
    "owner",
    "customer",
];
/// A label may have several values at once, or says how it goes rather than what it is about.
const NOT_TO_GROUP_BY: [&str; 3] = ["segment", "state", "from"];
/// The most labels of a group.
const MAX_GROUP_BY: usize = 8;
/// The most steps of an escalation.
const MAX_STEPS: usize = 8;
/// The longest name of a secret.
const MAX_SECRET_NAME: usize = 64;

/// What the section says.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) routes: Vec<Route>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) inhibit: Vec<Inhibit>,
    pub(super) label_traits: Vec<String>,
}

/// The names a label or its values can have.
struct Names<'a> {
    file: &'a File,
    stages: &'a [Stage],
    standards: &'a [Standard],
    traits: &'a [Trait],
}

/// What a rule may ask for beside labels.
const DEPENDS_ON_FEED: &str = "depends_on_feed";
/// The kind of what is told of a feed.
const FEED_SILENT: &str = "feed_silent";

/// Kinds of decisions that a route may name.
const KINDS: [&str; 13] = [
    FEED_SILENT,
    "stage",
    "risk",
    "finding",
    "checkpoint",
    "handoff",
    "release",
    "met",
    "acknowledgement",
    "waiver",
    "task",
    "playbook",
    "message",
];
/// Values of the label `state`.
const STATES: [&str; 16] = [
    "open",
    "closed",
    "pending",
    "acknowledged",
    "released",
    "rise",
    "met",
    "late",
    "waived",
    "lifted",
    "done",
    "overdue",
    "snoozed",
    "reassigned",
    "reopened",
    "escalated",
];

impl Loader<'_> {
    pub(super) fn alerts(
        &mut self,
        file: &File,
        stages: &[Stage],
        standards: &[Standard],
        traits: &[Trait],
    ) -> Loaded {
        let Some(alerts) = &file.alerts else { return Loaded::default() };
        let names = Names { file, stages, standards, traits };
        let receivers = self.receivers(file, alerts);
        let routes = self.routes(alerts, &receivers, &names);
        let inhibit: Vec<Inhibit> =
            alerts.inhibit.iter().map(|rule| self.inhibit(&rule.value, &names)).collect();
        let grouped = routes.iter().filter_map(|route| route.grouping.as_ref());
        let named = grouped
            .flat_map(|grouping| grouping.by.iter())
            .chain(routes.iter().flat_map(|route| labels_of(&route.matchers)))
            .chain(inhibit.iter().flat_map(|rule| labels_of(&rule.when)))
            .chain(inhibit.iter().flat_map(|rule| labels_of(&rule.mute)))
            .chain(inhibit.iter().flat_map(|rule| rule.equal.iter()));
        let mut label_traits: Vec<String> =
            named.filter(|label| !LABELS.contains(&label.as_str())).cloned().collect();
        label_traits.sort();
        label_traits.dedup();
        Loaded { routes, receivers, inhibit, label_traits }
    }

    fn receivers(&mut self, file: &File, alerts: &file::Alerts) -> Vec<Receiver> {
        let mut receivers = Vec::new();
        for (name, receiver) in &alerts.receivers.0 {
            let receiver = &receiver.value;
            for format in &receiver.format {
                let known = Known { kind: "format", names: vec!["email", "slack"] };
                self.find(format, &known);
            }
            let Some((channel, address)) = self.address(file, name, receiver) else {
                continue;
            };
            if let Some(cap) = receiver.cap_per_hour.as_ref().filter(|cap| cap.value == 0) {
                self.error(&cap.referenced, "a receiver that gets no message hears of nothing");
            }
            receivers.push(Receiver {
                name: name.value.clone(),
                channel,
                address,
                digest: receiver.at.as_ref().and_then(|word| self.time(word, Digest::parse)),
                quiet: receiver.quiet.as_ref().and_then(|word| self.time(word, Quiet::parse)),
                cap_per_hour: receiver.cap_per_hour.as_ref().map(|cap| cap.value),
            });
        }
        receivers
    }

    /// Where a receiver is: its channel, and the name of a topic or of a secret.
    fn address(
        &mut self,
        file: &File,
        name: &Word,
        receiver: &file::Receiver,
    ) -> Option<(Channel, String)> {
        let (place, name) = (&name.referenced, &name.value);
        let words = [
            (Channel::Sns, &receiver.sns),
            (Channel::Slack, &receiver.slack),
            (Channel::Webhook, &receiver.webhook),
            (Channel::PagerDuty, &receiver.pagerduty),
            (Channel::Alertmanager, &receiver.alertmanager),
        ];
        let mut given =
            words.into_iter().filter_map(|(channel, word)| Some((channel, word.as_ref()?)));
        let Some((channel, word)) = given.next() else {
            self.error(place, format!("the receiver `{name}` is nowhere")).help = Some(
                "give it one of sns, slack, webhook, pagerduty and alertmanager, as `{ sns: team }`"
                    .into(),
            );
            return None;
        };
        if let Some((_, other)) = given.next() {
            self.error(&other.referenced, "a receiver is one place").help =
                Some("make two receivers, and a route with `escalate` or two routes".into());
        }
        if channel == Channel::Sns {
            return Some((channel, word.value.clone()));
        }
        if let Some(format) = receiver.format.first() {
            self.error(&format.referenced, "`format` is of what subscribes to a topic").help =
                Some(format!("leave it away: this receiver is told as {} is", channel.as_str()));
        }
        let is_name = (1..=MAX_SECRET_NAME).contains(&word.value.len())
            && word.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            let message = "this is no name of a secret: letters, digits and `_`, at most 64";
            self.error(&word.referenced, message).help = Some(format!(
                "addresses and keys are not in this file: write `{}: {name}`, and keep them with \
                 `lifecycle secrets add {name}`",
                channel.as_str()
            ));
        } else if word.value == SLACK_SIGNING {
            self.error(&word.referenced, "this secret is the one that Slack signs with").help =
                Some(format!("give the address a name of its own, as `{name}`"));
        } else if file.feeds.0.iter().any(|(feed, _)| feed.value == word.value) {
            let message = format!("the secret `{}` is the one of a feed", word.value);
            self.error(&word.referenced, message).help = Some(
                "give the address another name: whoever knows one secret knows no other".into(),
            );
        }
        Some((channel, word.value.clone()))
    }

    fn time<T>(&mut self, word: &Word, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let read = parse(&word.value);
        read.map_err(|message| {
            self.error(&word.referenced, message);
        })
        .ok()
    }

    fn routes(
        &mut self,
        alerts: &file::Alerts,
        receivers: &[Receiver],
        names: &Names<'_>,
    ) -> Vec<Route> {
        let known = || Known {
            kind: "receiver",
            names: alerts.receivers.0.iter().map(|(name, _)| name.value.as_str()).collect(),
        };
        let of_all = (
            &alerts.group_by,
            [&alerts.group_wait, &alerts.group_interval, &alerts.repeat_interval],
        );
        let of_all = self.grouping(of_all, None, names);
        let mut routes = Vec::new();
        let mut caught_all = false;
        for route in &alerts.routes {
            if caught_all {
                self.error(&route.referenced, "this route is never reached").help =
                    Some("the one before it matches everything: put this one first".into());
            }
            let route = &route.value;
            let to = self.find(&route.to, &known());
            caught_all |= route.matchers.0.is_empty();
            for (label, values) in &route.matchers.0 {
                match label.value.as_str() {
                    "customer" => {
                        self.error(&label.referenced, "a route cannot name a customer").help =
                            Some("match a trait or a segment instead".into());
                    }
                    _ => self.label(label, Some(values), names),
                }
            }
            let own = (
                &route.group_by,
                [&route.group_wait, &route.group_interval, &route.repeat_interval],
            );
            let own = self.grouping(own, of_all.as_ref(), names);
            let receiver = to.and_then(|_| receivers.iter().find(|one| one.name == route.to.value));
            let is_slowed = receiver.is_some_and(|receiver| {
                receiver.digest.is_some()
                    || receiver.quiet.is_some()
                    || receiver.cap_per_hour.is_some()
                    || receiver.channel != Channel::Sns
            });
            // What the receiver remembers has to end there as well.
            let keeps_state = receiver.is_some_and(|receiver| receiver.channel.keeps_state());
            let kinds = route.matchers.0.iter().filter(|(label, _)| label.value == "kind");
            for word in kinds.flat_map(|(_, values)| &values.0) {
                if word.value == "message" {
                    self.takes_messages(receiver, word);
                }
            }
            let is_grouped = is_slowed || !route.escalate.is_empty();
            let grouping = own.or_else(|| of_all.clone());
            routes.push(Route {
                matchers: matchers(&route.matchers),
                to: text(&route.to),
                grouping: grouping.or_else(|| is_grouped.then(default_grouping)),
                escalate: self.escalation(&route.escalate, &known()),
                holds: route.repeat_interval.is_some() || !route.escalate.is_empty() || keeps_state,
            });
        }
        routes
    }

    /// Messages for customers go to topics: the mail tool hears of them there.
    pub(super) fn takes_messages(&mut self, receiver: Option<&Receiver>, word: &Word) {
        if let Some(receiver) = receiver.filter(|receiver| receiver.channel != Channel::Sns) {
            let told = receiver.channel.as_str();
            let message = format!("a message for a customer cannot go to {told}");
            self.error(&word.referenced, message).help =
                Some("send it to a receiver with `sns`".into());
        }
    }

    /// What the words of grouping come to on top of others; `None` where there is none.
    fn grouping(
        &mut self,
        (by, [wait, interval, repeat]): (&Option<Vec<Word>>, [&Option<Word>; 3]),
        of_all: Option<&Grouping>,
        names: &Names<'_>,
    ) -> Option<Grouping> {
        if by.is_none() && [wait, interval, repeat].iter().all(|word| word.is_none()) {
            return None;
        }
        let mut grouping = of_all.cloned().unwrap_or_else(default_grouping);
        if let Some(by) = by {
            grouping.by = self.group_by(by, names);
        }
        if let Some(seconds) = wait.as_ref().and_then(|word| self.elapsed(word)) {
            grouping.wait = seconds;
        }
        if let Some(seconds) = interval.as_ref().and_then(|word| self.elapsed(word)) {
            grouping.interval = seconds;
        }
        if let Some(word) = repeat {
            match self.period(word) {
                Some(Period::Elapsed(0) | Period::Workdays(0)) => {
                    self.error(&word.referenced, "nobody can be told without a pause");
                }
                Some(period) => grouping.repeat = period,
                None => {}
            }
        }
        Some(grouping)
    }

    fn group_by(&mut self, by: &[Word], names: &Names<'_>) -> Vec<String> {
        if let Some(word) = by.get(MAX_GROUP_BY) {
            self.error(&word.referenced, format!("more than {MAX_GROUP_BY} labels of a group"));
        }
        for word in by {
            if NOT_TO_GROUP_BY.contains(&word.value.as_str()) {
                let message = format!("alerts cannot be grouped by `{}`", word.value);
                self.error(&word.referenced, message).help = Some(
                    "group by what an alert is about for as long as it lasts, as `csm` or `standard`"
                        .into(),
                );
            } else {
                self.label(word, None, names);
            }
        }
        by.iter().map(text).collect()
    }

    fn elapsed(&mut self, word: &Word) -> Option<i64> {
        match self.period(word)? {
            Period::Elapsed(seconds) => Some(seconds),
            Period::Workdays(_) => {
                let message = "this is elapsed time: write it in minutes or hours, as `5m`";
                self.error(&word.referenced, message);
                None
            }
        }
    }

    fn escalation(
        &mut self,
        steps: &[file::Spanned<file::Escalate>],
        known: &Known<'_>,
    ) -> Vec<Escalation> {
        if let Some(step) = steps.get(MAX_STEPS) {
            self.error(&step.referenced, format!("more than {MAX_STEPS} steps of an escalation"));
        }
        let mut read: Vec<Escalation> = Vec::new();
        for step in steps {
            let step = &step.value;
            self.find(&step.to, known);
            let Some(after) = self.period(&step.after) else { continue };
            if read.last().is_some_and(|before| is_sooner(after, before.after)) {
                let message = "this step comes before the one above it";
                self.error(&step.after.referenced, message).help =
                    Some("write the steps in the order of time".into());
            }
            read.push(Escalation { after, to: text(&step.to) });
        }
        read
    }

    fn inhibit(&mut self, rule: &file::Inhibit, names: &Names<'_>) -> Inhibit {
        if let Some(word) = &rule.depends {
            self.find(word, &Known { kind: "such dependence", names: vec![DEPENDS_ON_FEED] });
            let kinds = rule.when.0.iter().find(|(label, _)| label.value == "kind");
            let is_of_feeds = kinds
                .is_some_and(|(_, kinds)| kinds.0.iter().all(|kind| kind.value == FEED_SILENT));
            if !is_of_feeds {
                self.error(&word.referenced, "only on a silent feed does something depend").help =
                    Some(format!("write `when: {{ kind: {FEED_SILENT} }}`"));
            }
        }
        for (label, values) in rule.when.0.iter().chain(&rule.mute.0) {
            self.label(label, Some(values), names);
        }
        for word in &rule.equal {
            if word.value == "segment" {
                self.error(&word.referenced, "a customer may be in several segments").help =
                    Some("name a label that has one value, as `customer`".into());
            } else {
                self.label(word, None, names);
            }
        }
        Inhibit {
            when: matchers(&rule.when),
            mute: matchers(&rule.mute),
            equal: rule.equal.iter().map(text).collect(),
            depends_on_feed: rule.depends.is_some(),
        }
    }

    /// A label, and values it can have.
    fn label(&mut self, label: &Word, values: Option<&OneOrMany>, names: &Names<'_>) {
        let stage_names = || names.stages.iter().map(|stage| stage.name.as_str()).collect();
        let (kind, known): (&'static str, Vec<&str>) = match label.value.as_str() {
            "kind" => ("kind", KINDS.to_vec()),
            "severity" => ("severity", vec!["low", "medium", "high", "critical"]),
            "stage" | "from" => ("stage", stage_names()),
            "standard" => ("standard", names.standards.iter().map(|s| s.name.as_str()).collect()),
            "band" => ("band", names.file.risk.as_ref().map(risk_bands).unwrap_or_default()),
            "segment" => {
                let segments = names.file.segments.0.iter();
                ("segment", segments.map(|(name, _)| name.value.as_str()).collect())
            }
            "feed" => ("feed", names_of(&names.file.feeds)),
            "playbook" => ("playbook", names_of(&names.file.playbooks)),
            "purpose" => ("purpose", purposes(names.file)),
            "state" => ("state", STATES.to_vec()),
            // Whatever their values are, they are known only when it happens.
            "customer" | "owner" | "checkpoint" => return,
            name => match names.traits.iter().find(|declared| declared.name == name) {
                Some(Trait { ty: Type::Words(words), .. }) => {
                    ("word of the trait", words.iter().map(AsRef::as_ref).collect())
                }
                Some(_) => return,
                None => {
                    let mut labels = LABELS.to_vec();
                    labels.extend(names.traits.iter().map(|declared| declared.name.as_str()));
                    self.find(label, &Known { kind: "label", names: labels });
                    return;
                }
            },
        };
        for value in values.iter().flat_map(|values| &values.0) {
            self.find(value, &Known { kind, names: known.clone() });
        }
    }
}

fn default_grouping() -> Grouping {
    Grouping {
        by: Vec::new(),
        wait: DEFAULT_WAIT,
        interval: DEFAULT_INTERVAL,
        repeat: DEFAULT_REPEAT,
    }
}

fn matchers(entries: &file::Entries<OneOrMany>) -> Matchers {
    let entries = entries.0.iter();
    entries.map(|(label, values)| (text(label), values.0.iter().map(text).collect())).collect()
}

fn labels_of(matchers: &Matchers) -> impl Iterator<Item = &String> {
    matchers.iter().map(|(label, _)| label)
}

/// Whether one period surely ends before another begins to count as over.
fn is_sooner(one: Period, other: Period) -> bool {
    match (one, other) {
        (Period::Elapsed(one), Period::Elapsed(other)) => one < other,
        (Period::Workdays(one), Period::Workdays(other)) => one < other,
        _ => false,
    }
}
