//! What people and time make of findings: who saw one, who waived a standard, what was mended of
//! late, and which promises were kept.
//!
//! A finding is open, then acknowledged, then closed by what mends it, or waived. A waived one does
//! not count as open; where its breach still stands when the waiver ends, it is open again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::customer::Status;
use crate::journal::{Effect, FindingOutcome, Was};
use crate::lifecycle::{Lifecycle, Standard};

/// What is remembered of a standard for a customer, besides its open finding. Stored bytes have no
/// names: nothing is taken out of the middle.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tended {
    /// Who saw the open finding.
    pub acknowledged: Option<Seen>,
    /// Who lets the customer off the standard.
    pub waiver: Option<Waiver>,
    /// The finding that was closed last, where a breach soon after opens it again.
    pub closed: Option<Mended>,
    /// How often the open finding was opened again.
    pub reopened: u32,
    /// What started the newest clock that is settled, in seconds since the epoch.
    pub met: Option<i64>,
}

/// Who saw a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// A name or an address.
    pub author: String,
    /// When.
    pub at: Timestamp,
    /// What it was worth.
    pub outcome: FindingOutcome,
    /// Anything else, in the author's words.
    pub note: Option<String>,
}

/// A customer that is let off a standard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiver {
    /// Who.
    pub author: String,
    /// Why, in their words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; not by itself where it is `None`.
    pub until: Option<Timestamp>,
    /// The finding that was open.
    pub hides: Option<Mended>,
}

impl Waiver {
    /// Whether it is in force at an instant.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A finding that is not open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mended {
    /// The key it was opened with.
    pub key: String,
    /// When it was first found.
    pub opened_at: Timestamp,
    /// Since when it is not open.
    pub at: Timestamp,
    /// How often it was opened again before.
    pub reopened: u32,
}

impl Tended {
    /// The waiver in force at an instant.
    #[must_use]
    pub fn waived(&self, now: Timestamp) -> Option<&Waiver> {
        self.waiver.as_ref().filter(|waiver| waiver.is_in_force(now))
    }

    /// The finding that a breach at an instant opens again.
    #[must_use]
    pub fn reopens(
        &self,
        standard: &Standard,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Option<&Mended> {
        let within = standard.reopen_within?;
        self.closed.as_ref().filter(|last| now <= lifecycle.calendar.after(last.at, within))
    }
}

impl Status {
    /// The waiver of a standard that is in force at an instant.
    #[must_use]
    pub fn waived(&self, standard: &str, now: Timestamp) -> Option<&Waiver> {
        self.tended.get(standard)?.waived(now)
    }

    /// What a change does to what is remembered of standards; before the change is made true.
    pub(crate) fn tend(&mut self, effect: &Effect, at: Timestamp, lifecycle: &Lifecycle) {
        let Some(name) = effect.standard() else { return };
        let mut tended = self.tended.remove(name).unwrap_or_default();
        match effect {
            Effect::ReopenFinding { was, .. } => tended.open_again(*was),
            Effect::CloseFinding { key, .. } => {
                let open = self.findings.iter().find(|f| f.standard == name && f.key == *key);
                let opened_at = open.map(|open| open.opened_at);
                tended.close(key, opened_at.filter(|_| is_reopened(lifecycle, name)), at);
            }
            Effect::MeetStandard { begun, .. } => tended.met = tended.met.max(Some(*begun)),
            Effect::AcknowledgeFinding { by, outcome, .. } => {
                let (author, note) = (by.name.clone(), by.reason.clone());
                tended.acknowledged = Some(Seen { author, at, outcome: *outcome, note });
            }
            Effect::Waive { hides, by, until, .. } => {
                let hides = hides.clone().map(|(key, opened_at)| Mended {
                    key,
                    opened_at,
                    at,
                    reopened: tended.reopened,
                });
                tended.waive(Waiver {
                    author: by.name.clone(),
                    reason: by.reason.clone().unwrap_or_default(),
                    since: at,
                    until: *until,
                    hides,
                });
            }
            Effect::Unwaive { .. } => tended.unwaive(at),
            _ => tended = Tended { met: tended.met, ..Tended::default() },
        }
        if tended != Tended::default() {
            self.tended.insert(name.to_owned(), tended);
        }
    }
}

/// Whether some overlay or none opens findings of a standard again.
fn is_reopened(lifecycle: &Lifecycle, name: &str) -> bool {
    let mut all = lifecycle.variants.standards.iter();
    all.any(|standard| standard.name == name && standard.reopen_within.is_some())
}

impl Tended {
    fn open_again(&mut self, was: Was) {
        let before = match was {
            Was::Waived => self.waiver.take().and_then(|waiver| waiver.hides),
            Was::Closed(_) => self.closed.take(),
        };
        let reopened = before.map_or(1, |before| before.reopened + 1);
        *self = Tended { met: self.met, reopened, ..Tended::default() };
    }

    /// Closes a finding: the one a waiver hides, or the open one, which is remembered where
    /// `opened_at` is given.
    fn close(&mut self, key: &str, opened_at: Option<Timestamp>, at: Timestamp) {
        match &mut self.waiver {
            Some(waiver) if waiver.hides.as_ref().is_some_and(|hidden| hidden.key == key) => {
                waiver.hides = None;
            }
            _ => {
                let (key, reopened) = (key.to_owned(), self.reopened);
                self.closed = opened_at.map(|opened_at| Mended { key, opened_at, at, reopened });
                (self.acknowledged, self.reopened) = (None, 0);
            }
        }
        // The key of a deadline is what started its clock: nothing that was started waits now.
        if key.parse::<i64>().is_ok() {
            self.met = self.met.max(Some(at.as_second()));
        }
    }

    fn waive(&mut self, mut waiver: Waiver) {
        let before = self.waiver.take().and_then(|before| before.hides);
        waiver.hides = waiver.hides.or(before);
        self.waiver = Some(waiver);
        (self.acknowledged, self.reopened) = (None, 0);
    }

    /// Ends a waiver; a finding that it hid waits to be opened again or closed.
    fn unwaive(&mut self, at: Timestamp) {
        match &mut self.waiver {
            Some(waiver) if waiver.hides.is_some() => waiver.until = Some(at),
            waiver => *waiver = None,
        }
    }
}
