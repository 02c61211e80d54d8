//! Findings: breaches of standards, from the first sight of one until it is mended or waived.
//!
//! Of one standard one finding is open at a time. Everything here decides only; changes become true
//! by [`crate::customer::Status::apply`].

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use crate::answers::Pair;
use crate::customer::{Customer, OpenFinding};
use crate::facts::Facts;
use crate::journal::{Change, Effect, Reason, Was};
use crate::lifecycle::{Lifecycle, Standard};
use crate::standard::{Judgement, judge, settled};
use crate::tended::{Mended, Tended};

#[cfg(test)]
mod tests;

/// Of one standard no more promises that were kept are told in one run.
const MAX_MET: usize = 5;
/// What an entry of a promise that is settled calls how long it took, in seconds.
pub const TOOK: &str = "seconds";
/// What a promise came to that was kept in time.
pub const MET: &str = "met";
/// What it came to when it was kept only after its time, before anybody looked.
pub const LATE: &str = "late";

/// The findings to open and to close.
#[must_use]
pub fn judge_all(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Vec<Change> {
    let facts = Facts::new(customer, lifecycle, now);
    let mut changes = Vec::new();
    for standard in &facts.rules().standards {
        changes.extend(judge_one(&facts, standard));
    }
    let is_orphan = |name: &str| lifecycle.standard(name).is_none();
    let orphans = customer.status.findings.iter().filter(|finding| is_orphan(&finding.standard));
    changes.extend(orphans.map(|finding| close(finding, "the standard is no longer declared")));
    let hidden = customer.status.tended.iter().filter(|(name, _)| is_orphan(name));
    changes.extend(hidden.filter_map(|(name, tended)| {
        let hidden = tended.waiver.as_ref()?.hides.as_ref()?;
        Some(close_hidden(name, hidden, "the standard is no longer declared"))
    }));
    changes
}

/// The findings of one standard to open and to close.
pub(crate) fn judge_one(facts: &Facts<'_>, standard: &Standard) -> Vec<Change> {
    let name = &standard.name;
    let status = &facts.customer.status;
    let tended = status.tended.get(name);
    let hidden = tended.and_then(|tended| tended.waiver.as_ref()?.hides.as_ref());
    let open = || status.findings.iter().filter(|finding| finding.standard == *name);
    let end = |why: &str| {
        let hidden = hidden.map(|hidden| close_hidden(name, hidden, why));
        hidden.into_iter().chain(open().map(|finding| close(finding, why))).collect()
    };
    match judge(facts, standard) {
        Judgement::CannotTell => Vec::new(),
        Judgement::Met => {
            let mut changes: Vec<Change> = end("it is mended");
            for change in &mut changes {
                note_time(facts, standard, change);
            }
            changes
        }
        Judgement::NotApplicable => end("it no longer applies"),
        // Until the waiver ends nobody is told.
        Judgement::Breached { .. } if status.waived(name, facts.as_of).is_some() => Vec::new(),
        Judgement::Breached { key, reasons } => {
            // Where findings are opened again, a standard's next breach is the same finding.
            let same = |other: &str| other == key || standard.reopen_within.is_some();
            let other = "another breach took its place";
            let mut changes: Vec<Change> =
                open().filter(|finding| !same(&finding.key)).map(|f| close(f, other)).collect();
            if let Some(hidden) = hidden.filter(|hidden| !same(&hidden.key)) {
                changes.push(close_hidden(name, hidden, other));
            }
            if !open().any(|finding| same(&finding.key)) {
                let hidden = hidden.filter(|hidden| same(&hidden.key));
                changes.push(stands(facts, standard, tended, hidden, key, reasons));
            }
            changes
        }
    }
}

/// A breach of which no finding is open: a new one, or one that was there before.
fn stands(
    facts: &Facts<'_>,
    standard: &Standard,
    tended: Option<&Tended>,
    hidden: Option<&Mended>,
    key: String,
    reasons: Vec<Reason>,
) -> Change {
    let name = standard.name.clone();
    let again = |last: &Mended, was| Effect::ReopenFinding {
        standard: name.clone(),
        key: last.key.clone(),
        opened_at: last.opened_at,
        was,
    };
    let mended = || tended?.reopens(standard, facts.lifecycle, facts.as_of);
    let (effect, from) = match (hidden, mended()) {
        (Some(hidden), _) => (again(hidden, Was::Waived), Some("waived")),
        (None, Some(last)) => (again(last, Was::Closed(last.at)), Some("closed")),
        (None, None) => (Effect::OpenFinding { standard: name.clone(), key }, None),
    };
    Change {
        effect,
        from: from.map(str::to_owned),
        to: Some("open".to_owned()),
        rule: format!("standards.{name}"),
        reasons,
    }
}

/// Says with a finding that is mended how long it took, where something started its clock.
fn note_time(facts: &Facts<'_>, standard: &Standard, change: &mut Change) {
    let Effect::CloseFinding { key, .. } = &change.effect else { return };
    let begun = key.parse::<i64>();
    let pair = settled(facts, standard).into_iter().find(|pair| Ok(pair.asked) == begun);
    if let (Some(pair), Some(reason)) = (pair, change.reasons.first_mut()) {
        reason.inputs.insert(TOOK.to_owned(), Json::from(pair.answered - pair.asked));
    }
}

/// The promises that were kept since they were last looked at, of standards that have an instant of
/// being due. What nobody saw within the days that occurrences are told apart is not told.
#[must_use]
pub fn kept_all(customer: &Customer, lifecycle: &Lifecycle, now: Timestamp) -> Vec<Change> {
    let facts = Facts::new(customer, lifecycle, now);
    let mut changes = Vec::new();
    for standard in &facts.rules().standards {
        if facts.customer.status.waived(&standard.name, now).is_some() {
            continue;
        }
        let is_for = match &standard.only_if {
            Some(condition) => facts.answer(condition) == crate::expr::Truth::Yes,
            None => true,
        };
        if is_for {
            let is_open = customer.status.findings.iter().any(|f| f.standard == standard.name);
            let met = unseen(&facts, standard).into_iter();
            let met = met.map(|pair| kept(&facts, standard, pair));
            // What came too late while a finding is open is that finding's.
            changes.extend(met.filter(|met| !is_open || met.to.as_deref() == Some(MET)));
        }
    }
    changes
}

/// What was settled since it was last told, and is no finding.
fn unseen(facts: &Facts<'_>, standard: &Standard) -> Vec<Pair> {
    let status = &facts.customer.status;
    let told = status.tended.get(&standard.name).and_then(|tended| tended.met);
    let open = status.findings.iter().filter(|finding| finding.standard == standard.name);
    let open = open.filter_map(|finding| finding.key.parse::<i64>().ok());
    let told = told.into_iter().chain(open).max();
    let mut pairs = settled(facts, standard);
    pairs.retain(|pair| told.is_none_or(|told| pair.asked > told));
    pairs.drain(..pairs.len().saturating_sub(MAX_MET));
    pairs
}

fn kept(facts: &Facts<'_>, standard: &Standard, pair: Pair) -> Change {
    let second = |at| Timestamp::from_second(at).unwrap_or(Timestamp::MIN);
    let calendar = &facts.lifecycle.calendar;
    let (begun, done) = (second(pair.asked), second(pair.answered));
    let periods = [standard.promise.period(), standard.grace].into_iter().flatten();
    let due = periods.fold(begun, |at, period| calendar.after(at, period));
    let took = SignedDuration::from_secs(pair.answered - pair.asked);
    let outcome = if done <= due { MET } else { LATE };
    let inputs = [
        ("begun", Json::from(begun.to_string())),
        ("done", Json::from(done.to_string())),
        ("deadline", Json::from(due.to_string())),
        (TOOK, Json::from(took.as_secs())),
    ];
    Change {
        effect: Effect::MeetStandard { standard: standard.name.clone(), begun: pair.asked },
        from: None,
        to: Some(outcome.to_owned()),
        rule: format!("standards.{}", standard.name),
        reasons: vec![Reason::of_fact(format!("done after {took:#}"), &inputs)],
    }
}

fn close(finding: &OpenFinding, why: &str) -> Change {
    closed(&finding.standard, &finding.key, finding.opened_at, "open", why)
}

fn close_hidden(standard: &str, hidden: &Mended, why: &str) -> Change {
    closed(standard, &hidden.key, hidden.opened_at, "waived", why)
}

fn closed(standard: &str, key: &str, opened_at: Timestamp, from: &str, why: &str) -> Change {
    Change {
        effect: Effect::CloseFinding { standard: standard.to_owned(), key: key.to_owned() },
        from: Some(from.to_owned()),
        to: Some("closed".to_owned()),
        rule: format!("standards.{standard}"),
        reasons: vec![Reason::of_fact(
            why.to_owned(),
            &[("opened_at", Json::from(opened_at.to_string()))],
        )],
    }
}
