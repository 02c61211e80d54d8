//! The `console` Lambda: the API over customers, decisions, findings and what was set aside, for what
//! people decide, and for what an operator may ask for; and the pages that people look at.
//!
//! Each route is one noun and one file. A handler reads the store, asks the domain what the facts
//! come to as of now, and answers with a view of its own, so that the wire format changes only
//! when a view does. The OpenAPI document is generated from the same handlers: a route cannot
//! exist undocumented.
//!
//! Invariants: what is written is only what a person decides, with its author and its journal entry, or
//! asks for, and work that other functions do is handed on to them; nothing is decided here that the
//! domain does not decide; every answer, errors included, says that it must not be cached. No id, name
//! or body is logged.

#![allow(unused_qualifications, reason = "what `utoipa` expands to has them")]

mod adherence;
mod alerts;
mod by_hand;
mod customer;
mod customers;
mod described;
mod events;
pub mod explain;
mod feeds;
mod findings;
mod gateway;
mod journal;
mod lifecycle;
mod limits;
mod once;
pub mod outcomes;
mod page;
mod pages;
mod privacy;
mod problem;
mod quarantine;
mod reason;
mod router;
mod silences;
mod stages;
mod tagged;
mod task_actions;
pub mod tasks;
mod visitor;
mod waivers;

use platform::gateway::Answer;
use platform::handoff::Handoff;
use platform::telemetry::Counts;
use platform::{Clock, Store};

pub use gateway::handle;
pub use limits::Limits;
pub use router::{document, router};
pub use visitor::{Role, Visitor};

/// What the function works with.
#[derive(Debug, Clone)]
pub struct App {
    /// The tables.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where work for other functions goes.
    pub handoff: Handoff,
}

/// What an answer counts as in the function's metrics.
#[must_use]
pub fn counts(answer: &Answer) -> Counts {
    Counts { failed: u64::from(answer.status_code >= 500), ..Counts::default() }
}
