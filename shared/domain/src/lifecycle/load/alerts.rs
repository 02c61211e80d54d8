//! Routes and receivers: who hears of what.

use super::playbooks::{names_of, purposes, task_owners};
use super::risk::risk_bands;
use super::{Known, Loader, text};
use crate::lifecycle::file::{self, File, Word};
use crate::lifecycle::{Receiver, Route, Stage, Standard};

/// Kinds of decisions that a route may name.
const KINDS: [&str; 9] =
    ["stage", "risk", "finding", "checkpoint", "handoff", "release", "task", "playbook", "message"];
/// Values of the label `state`.
const STATES: [&str; 12] = [
    "open",
    "closed",
    "pending",
    "acknowledged",
    "released",
    "rise",
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
    ) -> (Vec<Route>, Vec<Receiver>) {
        let Some(alerts) = &file.alerts else { return (Vec::new(), Vec::new()) };
        for (later, word) in [
            (&alerts.group_by, "group_by"),
            (&alerts.group_wait, "group_wait"),
            (&alerts.group_interval, "group_interval"),
            (&alerts.repeat_interval, "repeat_interval"),
            (&alerts.inhibit, "inhibit"),
        ] {
            self.refuse(later, word);
        }
        let mut receivers = Vec::new();
        for (name, receiver) in &alerts.receivers.0 {
            let receiver = &receiver.value;
            self.refuse(&receiver.at, "at");
            for format in &receiver.format {
                let known = Known { kind: "format", names: vec!["email", "slack"] };
                self.find(format, &known);
            }
            let topic = receiver.sns.value.clone();
            receivers.push(Receiver { name: name.value.clone(), topic });
        }
        let known = Known {
            kind: "receiver",
            names: alerts.receivers.0.iter().map(|(name, _)| name.value.as_str()).collect(),
        };
        let mut routes = Vec::new();
        let mut caught_all = false;
        for route in &alerts.routes {
            if caught_all {
                self.error(&route.referenced, "this route is never reached").help =
                    Some("the one before it matches everything: put this one first".into());
            }
            let route = &route.value;
            self.refuse(&route.escalate, "escalate");
            self.find(&route.to, &known);
            caught_all |= route.matchers.0.is_empty();
            for (label, values) in &route.matchers.0 {
                self.label(label, values, file, stages, standards);
            }
            let matchers = route.matchers.0.iter();
            routes.push(Route {
                matchers: matchers
                    .map(|(label, values)| (text(label), values.0.iter().map(text).collect()))
                    .collect(),
                to: text(&route.to),
            });
        }
        (routes, receivers)
    }

    /// A label of a route's `match`, and values it can have.
    fn label(
        &mut self,
        label: &Word,
        values: &file::OneOrMany,
        file: &File,
        stages: &[Stage],
        standards: &[Standard],
    ) {
        let stage_names = || stages.iter().map(|stage| stage.name.as_str()).collect();
        let (kind, names): (&'static str, Vec<&str>) = match label.value.as_str() {
            "kind" => ("kind", KINDS.to_vec()),
            "severity" => ("severity", vec!["low", "medium", "high", "critical"]),
            "stage" | "from" => ("stage", stage_names()),
            "standard" => ("standard", standards.iter().map(|s| s.name.as_str()).collect()),
            "band" => ("band", file.risk.as_ref().map(risk_bands).unwrap_or_default()),
            "segment" => {
                let segments = file.segments.0.iter();
                ("segment", segments.map(|(name, _)| name.value.as_str()).collect())
            }
            "playbook" => ("playbook", names_of(&file.playbooks)),
            "owner" => ("owner", task_owners(file)),
            "purpose" => ("purpose", purposes(file)),
            "state" => ("state", STATES.to_vec()),
            _ => {
                let labels = vec![
                    "kind", "severity", "stage", "from", "standard", "band", "segment", "state",
                    "playbook", "owner", "purpose",
                ];
                self.find(label, &Known { kind: "label", names: labels });
                return;
            }
        };
        for value in &values.0 {
            self.find(value, &Known { kind, names: names.clone() });
        }
    }
}
