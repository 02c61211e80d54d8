//! Whether past decisions would have been others, had events that came late been there, or those
//! that were erased not.
//!
//! The past is not rewritten: what was decided was decided on what was known. A decision that would
//! have been another gets an entry of its own, which says so and changes nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::customer::{Customer, Status};
use crate::decide::{assess_risk, step};
use crate::event::Event;
use crate::explain::status_at;
use crate::hierarchy::Below;
use crate::journal::{Change, ChangeKind, Effect, JournalEntry, Reason};
use crate::lifecycle::{Lifecycle, RiskModel};
use crate::replay::Replay;

#[cfg(test)]
mod tests;

/// When the last decision about a customer was made; none before the first.
#[must_use]
pub fn last_decided(status: &Status) -> Option<Timestamp> {
    let stage = status.stage.as_ref().map(|stage| stage.since);
    let risk = status.risk.as_ref().map(|risk| risk.band_since);
    let findings = status.findings.iter().map(|finding| finding.opened_at);
    stage.into_iter().chain(risk).chain(findings).max()
}

/// The first of these instants that lies before the last decision: an event of it came late.
#[must_use]
pub fn late_from(status: &Status, times: impl IntoIterator<Item = Timestamp>) -> Option<Timestamp> {
    let decided = last_decided(status)?;
    times.into_iter().filter(|at| *at < decided).min()
}

/// The revisions of decisions about the stage and the band of risk from `since` on: each is decided
/// again at its own instant, from where the customer was then, on what is known now. `journal` is
/// newest first, `log` in order. Decisions of another lifecycle file are left alone, and so is what
/// was revised to the same before. `below` is what the accounts below it had counted at
/// [`instants`].
#[must_use]
pub fn revisions(
    lifecycle: &Lifecycle,
    journal: &[JournalEntry],
    log: &[Event],
    below: &Below,
    since: Timestamp,
) -> Vec<Change> {
    let mut known = Replay::new(lifecycle, log);
    let mut revised = Vec::new();
    for (instant, (index, entry)) in looked_at(lifecycle, journal, since).enumerate() {
        known.until(entry.at);
        let before = Customer {
            profile: known.customer.profile.clone(),
            status: status_at(&journal[index + 1..]),
            below: below.at(instant),
        };
        let Some((would_be, rule, reasons)) = again(&before, lifecycle, entry) else { continue };
        if entry.to == would_be || revised_before(journal, entry.seq).contains(&would_be) {
            continue;
        }
        revised.push(Change {
            effect: Effect::Revise,
            from: entry.to.clone(),
            to: would_be,
            rule,
            reasons: std::iter::once(of_entry(entry, since)).chain(reasons).collect(),
        });
    }
    revised
}

/// The instants at which something was decided that is looked at again, rising.
#[must_use]
pub fn instants(
    lifecycle: &Lifecycle,
    journal: &[JournalEntry],
    since: Timestamp,
) -> Vec<Timestamp> {
    looked_at(lifecycle, journal, since).map(|(_, entry)| entry.at).collect()
}

/// The entries that are looked at again, oldest first, and where they are in the journal.
fn looked_at<'j>(
    lifecycle: &Lifecycle,
    journal: &'j [JournalEntry],
    since: Timestamp,
) -> impl Iterator<Item = (usize, &'j JournalEntry)> {
    let is_looked_at =
        move |entry: &JournalEntry| entry.at >= since && entry.config_hash == lifecycle.hash;
    journal.iter().enumerate().rev().filter(move |(_, entry)| is_looked_at(entry))
}

/// What would be decided instead of an entry: what comes of it, the rule and the reasons.
fn again(
    before: &Customer,
    lifecycle: &Lifecycle,
    entry: &JournalEntry,
) -> Option<(Option<String>, String, Vec<Reason>)> {
    match entry.kind {
        // What a person decides, and what follows from who is who, stands as it is.
        ChangeKind::Stage if entry.rule.starts_with("stages.") => {
            let present = before.status.stage.as_ref().map(|stage| stage.name.clone());
            Some(match step(before, lifecycle, entry.at).change {
                Some(change) => (change.to, change.rule, change.reasons),
                None => (present, entry.rule.clone(), Vec::new()),
            })
        }
        // What is fitted to all customers was another fit then.
        ChangeKind::Risk if matches!(lifecycle.risk, Some(RiskModel::Scorecard(_))) => {
            let (risk, _) = assess_risk(before, lifecycle, entry.at)?;
            Some((Some(risk.band), entry.rule.clone(), risk.reasons))
        }
        ChangeKind::Stage
        | ChangeKind::Risk
        | ChangeKind::Finding
        | ChangeKind::Checkpoint
        | ChangeKind::Handoff
        | ChangeKind::Release
        | ChangeKind::Note
        | ChangeKind::Revision
        | ChangeKind::Met
        | ChangeKind::Acknowledgement
        | ChangeKind::Waiver
        | ChangeKind::Task
        | ChangeKind::Playbook
        | ChangeKind::Message
        | ChangeKind::FeedSilent
        | ChangeKind::Root => None,
    }
}

fn of_entry(entry: &JournalEntry, since: Timestamp) -> Reason {
    Reason::of_fact(
        format!("journal entry {} would have been decided otherwise", entry.seq),
        &[
            ("entry", Json::from(entry.seq)),
            ("entry.at", Json::from(entry.at.to_string())),
            ("late_from", Json::from(since.to_string())),
        ],
    )
}

/// What an entry was said before to have been instead, by its newest revision.
fn revised_before(journal: &[JournalEntry], seq: u64) -> BTreeSet<Option<String>> {
    let is_of = |entry: &&JournalEntry| {
        let named = entry.reasons.first().and_then(|reason| reason.inputs.get("entry"));
        entry.kind == ChangeKind::Revision && named == Some(&Json::from(seq))
    };
    journal.iter().find(is_of).map(|entry| entry.to.clone()).into_iter().collect()
}
