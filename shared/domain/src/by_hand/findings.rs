//! What people decide about findings.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Refused, meant};
use crate::facts::Facts;
use crate::finding::judge_one;
use crate::journal::{Author, Change, Effect, FindingOutcome, Reason};
use crate::lifecycle::Standard;
use crate::standard::{Judgement, judge};

/// Reads what a finding was worth: `useful`, `known` or `false`.
///
/// # Errors
/// When it is another word.
pub fn outcome(text: &str) -> Result<FindingOutcome, Refused> {
    FindingOutcome::parse(text.trim()).ok_or(Refused::BadOutcome)
}

fn standard<'a>(facts: &Facts<'a>, name: &str) -> Result<&'a Standard, Refused> {
    let rules = facts.rules();
    rules.standard(name).ok_or_else(|| {
        let known: Vec<&str> = rules.standards.iter().map(|one| one.name.as_str()).collect();
        let help = match known.is_empty() {
            true => "the lifecycle file has none".to_owned(),
            false => meant(name, &known),
        };
        Refused::NoStandard { standard: name.chars().take(64).collect(), help }
    })
}

/// Says that the open finding of a standard was seen, and what it was worth. It stays open.
///
/// # Errors
/// When there is no such standard, or no finding of it is open.
pub fn acknowledge_finding(
    facts: &Facts<'_>,
    name: &str,
    by: Author,
    outcome: FindingOutcome,
) -> Result<Change, Refused> {
    let standard = standard(facts, name)?;
    let open = facts.customer.status.findings.iter().find(|open| open.standard == standard.name);
    let open = open.ok_or(Refused::NoFinding)?;
    let inputs = [
        ("outcome", Json::from(outcome.as_str())),
        ("opened_at", Json::from(open.opened_at.to_string())),
    ];
    Ok(Change {
        effect: Effect::AcknowledgeFinding {
            standard: standard.name.clone(),
            key: open.key.clone(),
            by,
            outcome,
        },
        from: Some("open".to_owned()),
        to: Some("acknowledged".to_owned()),
        rule: format!("standards.{name}"),
        reasons: vec![Reason::of_fact("seen by a person".to_owned(), &inputs)],
    })
}

/// Lets the customer off a standard: its finding, if one is open, does not count until the waiver
/// ends, and no other is opened.
///
/// # Errors
/// When there is no such standard, or the expiry is not in the future.
pub fn waive(
    facts: &Facts<'_>,
    name: &str,
    by: Author,
    until: Option<Timestamp>,
) -> Result<Vec<Change>, Refused> {
    let standard = standard(facts, name)?;
    if until.is_some_and(|until| until <= facts.as_of) {
        return Err(Refused::Past);
    }
    let status = &facts.customer.status;
    let open = status.findings.iter().find(|open| open.standard == standard.name);
    let was = match (open, status.waived(name, facts.as_of)) {
        (Some(_), _) => Some("open"),
        (None, Some(_)) => Some("waived"),
        (None, None) => None,
    };
    let reasons = match judge(facts, standard) {
        Judgement::Breached { reasons, .. } => reasons,
        Judgement::Met | Judgement::NotApplicable | Judgement::CannotTell => {
            vec![Reason::of_fact("no breach is known".to_owned(), &[])]
        }
    };
    Ok(vec![Change {
        effect: Effect::Waive {
            standard: standard.name.clone(),
            hides: open.map(|open| (open.key.clone(), open.opened_at)),
            by,
            until,
        },
        from: was.map(str::to_owned),
        to: Some("waived".to_owned()),
        rule: format!("standards.{name}"),
        reasons,
    }])
}

/// Ends a waiver: a breach that stands is an open finding again at once.
///
/// # Errors
/// When no waiver of the standard is in force.
pub fn unwaive(facts: &Facts<'_>, name: &str, by: Author) -> Result<Vec<Change>, Refused> {
    let waiver = facts.customer.status.waived(name, facts.as_of).ok_or(Refused::NotWaived)?;
    let by_whom = Reason::of_fact(
        "waived by hand".to_owned(),
        &[("author", waiver.author.as_str().into()), ("since", waiver.since.to_string().into())],
    );
    let lift = Change {
        effect: Effect::Unwaive { standard: name.to_owned(), by },
        from: Some("waived".to_owned()),
        to: Some("lifted".to_owned()),
        rule: format!("standards.{name}"),
        reasons: vec![by_whom],
    };
    // What stands is judged of the customer as it then is.
    let mut after = facts.customer.clone();
    after.status.tend(&lift.effect, facts.as_of, facts.lifecycle);
    let facts = Facts::new(&after, facts.lifecycle, facts.as_of);
    let found = facts.rules().standard(name).map(|standard| judge_one(&facts, standard));
    Ok(std::iter::once(lift).chain(found.into_iter().flatten()).collect())
}
