//! What a journal entry does to alerts.

use std::sync::LazyLock;

use super::decide::{Cap, Policy};
use super::group::{Arrival, Group};
use super::mute::Inhibiting;
use crate::alert::{self, Labels, route_of};
use crate::customer::Customer;
use crate::facts::Facts;
use crate::journal::{ChangeKind, JournalEntry};
use crate::lifecycle::{Grouping, Lifecycle, Receiver, Route};
use crate::period::{HOUR, Period};
use crate::rise;

/// Of a route that gathers nothing: what was silenced is told at once when the silence is over.
static AT_ONCE: LazyLock<Grouping> = LazyLock::new(|| Grouping {
    by: vec!["customer".to_owned()],
    wait: 0,
    interval: 0,
    repeat: Period::Elapsed(4 * HOUR),
});

/// What an entry does to the alerts of its customer.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<'l> {
    /// This is so from now on. In a group where `route` says which, and otherwise only for what it
    /// mutes.
    Fires {
        /// The route that holds it.
        route: Option<HeldBy<'l>>,
        /// What is so.
        arrival: Arrival,
        /// What it mutes of other customers.
        mutes: Vec<Inhibiting>,
    },
    /// This is no longer so.
    Ends(Arrival),
    /// This happened, and is over with being told.
    News(HeldBy<'l>, Arrival),
    /// The customer is none any more: nothing of it is so.
    EndsAll(Arrival),
}

/// A route, compared by what it is.
#[derive(Debug, Clone, Copy)]
pub struct HeldBy<'l>(pub &'l Route);

impl PartialEq for HeldBy<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl HeldBy<'_> {
    /// The labels whose values make a group of this route.
    #[must_use]
    pub fn group_by(&self) -> &[String] {
        &self.0.grouping.as_ref().unwrap_or(&AT_ONCE).by
    }
}

/// An entry as alerts see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sorted<'l> {
    /// What it does to them, in this order.
    pub changes: Vec<Change<'l>>,
    /// The route that has it told at once, by itself, and what would be told later if it were muted.
    pub at_once: Option<(HeldBy<'l>, Arrival)>,
}

/// Sorts an entry of a customer, whose state is as it is after it or later.
#[must_use]
pub fn sort<'l>(
    key: &str,
    customer_id: &str,
    entry: &JournalEntry,
    customer: &Customer,
    lifecycle: &'l Lifecycle,
) -> Sorted<'l> {
    let mut labels = alert::labels(entry, customer, lifecycle);
    if entry.kind != ChangeKind::FeedSilent {
        labels.insert("customer".to_owned(), vec![customer_id.to_owned()]);
    }
    let facts = Facts::new(customer, lifecycle, entry.at);
    let arrival = |alert: &str, labels: &Labels| Arrival {
        key: key.to_owned(),
        customer: customer_id.to_owned(),
        name: alert::whose(customer_id, entry, customer, lifecycle),
        alert: alert.to_owned(),
        headline: alert::headline(entry, &facts),
        labels: labels.clone(),
        seq: entry.seq,
        at: entry.at,
    };
    if entry.to.is_none() {
        let changes = vec![Change::EndsAll(arrival("", &labels))];
        return Sorted { changes, at_once: None };
    }
    let route = route_of(entry.kind, &labels, lifecycle);
    let grouped = route.filter(|route| route.grouping.is_some()).map(HeldBy);
    let news = format!("{}.{}", entry.kind.as_str(), entry.seq);
    let at_once = route.filter(|route| route.grouping.is_none());
    let at_once = at_once.map(|route| (HeldBy(route), arrival(&news, &labels)));
    let mut changes = Vec::new();
    let tells = |changes: &mut Vec<Change<'l>>, held: Option<HeldBy<'l>>| {
        changes.extend(held.map(|route| Change::News(route, arrival(&news, &labels))));
    };
    let to = entry.to.as_deref().unwrap_or_default();
    // How it goes is no part of what it is about.
    let mut lasting = labels.clone();
    lasting.remove("state");
    lasting.remove("from");
    let fires = |alert: &str, held: Option<HeldBy<'l>>| {
        let mutes = Inhibiting::of_others(&lifecycle.inhibit, &labels);
        Change::Fires { route: held, arrival: arrival(alert, &lasting), mutes }
    };
    match entry.kind {
        ChangeKind::Finding => {
            let standard = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
            let id = format!("finding.{standard}");
            let is_open = customer.status.findings.iter().any(|open| open.standard == standard);
            match to == "closed" {
                // It is over already, which is told by an entry that came, or will come, after it.
                false if !is_open && customer.status.journal.seq >= entry.seq => {}
                false => changes.push(fires(&id, grouped)),
                // Another breach of the same standard goes on.
                true if is_open => {}
                true => {
                    changes.push(Change::Ends(arrival(&id, &lasting)));
                    tells(&mut changes, grouped.filter(|route| asks_for_state(route.0)));
                }
            }
        }
        ChangeKind::FeedSilent => match to {
            "open" => changes.push(fires(&entry.rule, grouped)),
            _ => {
                changes.push(Change::Ends(arrival(&entry.rule, &lasting)));
                tells(&mut changes, grouped.filter(|route| asks_for_state(route.0)));
            }
        },
        ChangeKind::Handoff if to == "pending" => changes.push(fires("handoff", grouped)),
        ChangeKind::Handoff => {
            changes.push(Change::Ends(arrival("handoff", &lasting)));
            tells(&mut changes, grouped.filter(|route| asks_for_state(route.0)));
        }
        ChangeKind::Stage => {
            changes.push(Change::Ends(arrival("handoff", &lasting)));
            changes.push(fires("stage", grouped.filter(|route| route.0.holds)));
            tells(&mut changes, grouped.filter(|route| !route.0.holds));
        }
        ChangeKind::Risk if entry.rule == rise::RULE => tells(&mut changes, grouped),
        ChangeKind::Risk => {
            changes.push(fires("risk", grouped.filter(|route| route.0.holds)));
            tells(&mut changes, grouped.filter(|route| !route.0.holds));
        }
        // What is waived does not count as open.
        ChangeKind::Waiver if to == "waived" => {
            let standard = entry.rule.strip_prefix("standards.").unwrap_or(&entry.rule);
            changes.push(Change::Ends(arrival(&format!("finding.{standard}"), &lasting)));
            tells(&mut changes, grouped);
        }
        ChangeKind::Task => {
            let id = format!("task.{}", entry.rule);
            match to {
                "overdue" | "escalated" => changes.push(fires(&id, grouped)),
                "done" | "closed" | "snoozed" => {
                    changes.push(Change::Ends(arrival(&id, &lasting)));
                    tells(&mut changes, grouped.filter(|route| asks_for_state(route.0)));
                }
                _ => tells(&mut changes, grouped),
            }
        }
        ChangeKind::Checkpoint
        | ChangeKind::Release
        | ChangeKind::Note
        | ChangeKind::Revision
        | ChangeKind::Met
        | ChangeKind::Acknowledgement
        | ChangeKind::Waiver
        | ChangeKind::Playbook
        | ChangeKind::Message => tells(&mut changes, grouped),
        ChangeKind::Root => {}
    }
    Sorted { changes, at_once }
}

/// Whether a route names the state of what it asks for: then an end is news of its own.
fn asks_for_state(route: &Route) -> bool {
    route.matchers.iter().any(|(label, _)| label == "state")
}

impl Group {
    /// Who was told of the group: its receiver, and those of the steps of escalation that were taken.
    #[must_use]
    pub fn told_receivers<'l>(&self, lifecycle: &'l Lifecycle) -> Vec<&'l Receiver> {
        let route = lifecycle.routes.iter().find(|route| route.key() == self.route);
        let steps = route.map_or(&[][..], |route| route.escalate.as_slice());
        let mut names: Vec<&str> = vec![&self.to];
        for step in steps.iter().take(self.log.steps) {
            if !names.contains(&step.to.as_str()) {
                names.push(&step.to);
            }
        }
        match self.log.messages {
            0 => Vec::new(),
            _ => names.into_iter().filter_map(|name| lifecycle.receiver(name)).collect(),
        }
    }
}

impl<'l> Policy<'l> {
    /// How a group is told; `None` where the file no longer has its receiver.
    #[must_use]
    pub fn of(group: &Group, lifecycle: &'l Lifecycle, cap: Option<Cap>) -> Option<Policy<'l>> {
        let route = lifecycle.routes.iter().find(|route| route.key() == group.route);
        let ends = ["closed", "acknowledged", "done"];
        let tells_resolved = route.is_none_or(|route| {
            route.matchers.iter().all(|(label, values)| {
                label != "state" || values.iter().any(|value| ends.contains(&value.as_str()))
            })
        });
        let receiver = lifecycle.receiver(&group.to)?;
        Some(Policy {
            grouping: route.and_then(|route| route.grouping.as_ref()).unwrap_or(&AT_ONCE),
            escalate: route.map_or(&[], |route| route.escalate.as_slice()),
            receiver,
            // What a receiver remembers has to end there.
            tells_resolved: tells_resolved || receiver.channel.keeps_state(),
            cap,
            calendar: &lifecycle.calendar,
        })
    }
}
