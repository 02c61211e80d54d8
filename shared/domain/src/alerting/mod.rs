//! Who hears of which alerts together, and when.
//!
//! The vocabulary and the semantics are those of Prometheus Alertmanager (its dispatcher, and
//! `needsUpdate` of its notification log): alerts of a route with the same values of the `group_by`
//! labels are one [`Group`]; a new group waits `group_wait` for company, a changed one speaks every
//! `group_interval`, an unchanged one every `repeat_interval`; what is silenced or inhibited is not
//! told; that an alert ended is told once, if it was told. Acknowledgements and escalations are as
//! on-call systems have them.
//!
//! A finding, and a handoff that waits, is an alert until it is closed. A stage or a band of risk is
//! one for as long as the customer is in it where the route says `escalate` or `repeat_interval` of
//! its own; elsewhere it is news: told once, and over.
//!
//! Invariants: a group's size does not grow with its alerts. Each alert is counted in the bucket of
//! its labels, and up to [`MAX_MEMBERS`] of them are known one by one. Nothing here sends: [`next`]
//! says what is due and why, [`Group::told`] what is true after it was said.

mod change;
mod decide;
mod group;
mod message;
mod mute;

pub use change::{Change, HeldBy, Sorted, sort};
pub use decide::{Cap, Hold, Policy, Reason, Step, next};
pub use group::{Ack, Arrival, Bucket, Group, Log, MAX_MEMBERS, Member, Note, State, group_id};
pub use message::{message, summary};
pub use mute::{GROUP_LABEL, Inhibiting, Matcher, Muted, Mutes, Silence, SilenceRefused};

#[cfg(test)]
mod laws;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
