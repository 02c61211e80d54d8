//! How a customer stands with each standard: why a finding is open and what would close it; of what is
//! kept, when it would be broken.

use jiff::Timestamp;

use super::AHEAD;
use crate::decide::points_of_standard;
use crate::expr::{Condition, Truth};
use crate::facts::Facts;
use crate::journal::Reason;
use crate::lifecycle::{FindingSeverity, Promise, Standard};
use crate::standard::{Judgement, judge, mended_by};

/// How a customer stands with a standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A finding is open.
    Open,
    /// It is broken, and the next run will open a finding.
    Broken,
    /// A person lets the customer off it.
    Waived,
    /// It is kept.
    Kept,
    /// Something needed is missing.
    CannotTell,
    /// It is not for this customer.
    NotApplicable,
}

impl Standing {
    /// The word of the wire format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Open => "open",
            Standing::Broken => "broken",
            Standing::Waived => "waived",
            Standing::Kept => "kept",
            Standing::CannotTell => "cannot_tell",
            Standing::NotApplicable => "not_applicable",
        }
    }
}

/// A standard, and how the customer stands with it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldStandard {
    /// Its name.
    pub standard: String,
    /// How bad a breach is; none where it is no longer declared.
    pub severity: Option<FindingSeverity>,
    /// Who mends one.
    pub owner: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// When the open finding was found, or since when the standard is waived.
    pub since: Option<Timestamp>,
    /// Until when it is waived.
    pub until: Option<Timestamp>,
    /// The evidence of a breach; what is not known, where it cannot be told.
    pub reasons: Vec<Reason>,
    /// What would end the breach or close the finding, as a part of a sentence.
    pub closed_by: Option<String>,
    /// Of one that is kept: when it is broken if nothing happens, within 180 days.
    pub breaks_at: Option<Timestamp>,
}

/// Every standard in the order of the file, and findings of those that are no longer declared.
pub(super) fn standards(facts: &Facts<'_>) -> Vec<ToldStandard> {
    let declared = facts.rules().standards.iter().map(|standard| told(facts, standard));
    let open = facts.customer.status.findings.iter();
    let orphans = open.filter(|finding| facts.rules().standard(&finding.standard).is_none());
    let orphans = orphans.map(|finding| ToldStandard {
        standard: finding.standard.clone(),
        severity: None,
        owner: None,
        standing: Standing::Open,
        since: Some(finding.opened_at),
        until: None,
        reasons: Vec::new(),
        closed_by: Some("the next run, for the standard is no longer declared".to_owned()),
        breaks_at: None,
    });
    declared.chain(orphans).collect()
}

fn told(facts: &Facts<'_>, standard: &Standard) -> ToldStandard {
    let status = &facts.customer.status;
    let judgement = judge(facts, standard);
    let finding = status.findings.iter().find(|finding| finding.standard == standard.name);
    let waiver = status.waived(&standard.name, facts.as_of);
    let standing = match (&judgement, finding, waiver) {
        (_, _, Some(_)) => Standing::Waived,
        (_, Some(_), None) => Standing::Open,
        (Judgement::Breached { .. }, None, None) => Standing::Broken,
        (Judgement::Met, None, None) => Standing::Kept,
        (Judgement::CannotTell, None, None) => Standing::CannotTell,
        (Judgement::NotApplicable, None, None) => Standing::NotApplicable,
    };
    let closed_by = match &judgement {
        Judgement::Breached { .. } => Some(mended_by(facts, standard)),
        _ if standing != Standing::Open => None,
        Judgement::Met => Some("the next run, for it is mended".to_owned()),
        Judgement::NotApplicable => Some("the next run, for it no longer applies".to_owned()),
        Judgement::CannotTell => Some("nothing before it can be told again".to_owned()),
    };
    let breaks_at = || breaks_at(facts, &standard.name);
    ToldStandard {
        standard: standard.name.clone(),
        severity: Some(standard.severity),
        owner: Some(standard.owner.clone()),
        standing,
        since: waiver.map(|waiver| waiver.since).or(finding.map(|finding| finding.opened_at)),
        until: waiver.and_then(|waiver| waiver.until),
        breaks_at: if standing == Standing::Kept { breaks_at() } else { None },
        reasons: match judgement {
            Judgement::Breached { reasons, .. } => reasons,
            Judgement::CannotTell => unknown(facts, standard),
            Judgement::Met | Judgement::NotApplicable => Vec::new(),
        },
        closed_by,
    }
}

/// The first instant at which a standard is broken with no new event.
fn breaks_at(facts: &Facts<'_>, name: &str) -> Option<Timestamp> {
    let until = facts.as_of.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    points_of_standard(facts, name, until).into_iter().find(|at| {
        let then = Facts::new(facts.customer, facts.lifecycle, *at);
        let standard = then.rules().standard(name);
        standard.is_some_and(|one| matches!(judge(&then, one), Judgement::Breached { .. }))
    })
}

/// The comparisons of a standard whose answer is not known.
fn unknown(facts: &Facts<'_>, standard: &Standard) -> Vec<Reason> {
    let promised = match &standard.promise {
        Promise::Holds { condition, .. } => Some(condition),
        _ => None,
    };
    let asked = standard.only_if.iter().chain(promised);
    let open = asked.filter(|condition| facts.answer(condition) == Truth::Unknown);
    let leaves = open.flat_map(|condition: &Condition| condition.leaves(facts));
    leaves.filter(|leaf| leaf.value == Truth::Unknown).map(|leaf| Reason::of_leaf(&leaf)).collect()
}
