//! Sources of a company's events: what goes silent when one stops.

use clap::ValueEnum;
use jiff::Timestamp;

use super::Call;

/// A source of events, as a lifecycle file would declare it under `feeds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Feed {
    /// The product itself: `login`, `feature_used`, `api_call`, `seat_report`, `onboarding_step`
    Product,
    /// The help desk: `ticket_opened`, `ticket_closed`
    Support,
    /// Calendars and mail boxes: `call`, `meeting`, `email_reply`, `kickoff_call`, `training_held`
    Success,
    /// Surveys: `survey`
    Surveys,
    /// Payments: `invoice_paid`, `invoice_failed`
    Billing,
}

impl Feed {
    /// The events that come from it.
    #[must_use]
    pub fn events(self) -> &'static [&'static str] {
        match self {
            Feed::Product => {
                &["login", "feature_used", "api_call", "seat_report", "onboarding_step"]
            }
            Feed::Support => &["ticket_opened", "ticket_closed"],
            Feed::Success => &["call", "meeting", "email_reply", "kickoff_call", "training_held"],
            Feed::Surveys => &["survey"],
            Feed::Billing => &["invoice_paid", "invoice_failed"],
        }
    }
}

/// A source that is silent from an instant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// The source.
    pub feed: Feed,
    /// The first instant of which it tells nothing.
    pub at: Timestamp,
}

impl Stop {
    /// Whether a call never arrives.
    #[must_use]
    pub(super) fn loses(self, call: &Call) -> bool {
        let event = call.body.get("event").and_then(|event| event.as_str());
        call.at >= self.at && event.is_some_and(|event| self.feed.events().contains(&event))
    }
}
