//! The customer lifecycle as pure decisions.
//!
//! This crate answers one question: given what happened to a customer, what a lifecycle file says
//! and an instant, what should be true, and why? It is the same code in the nightly run, in a
//! replay over history, in a test under a virtual clock and in an explanation.
//!
//! Where things live: [`lifecycle`] is the file and its checks, [`yaml`] how it is read, [`expr`]
//! the language of its conditions; [`event`], [`measure`], [`tally`], [`distinct`] and [`fold`] turn
//! events into a [`customer::Profile`], [`answers`] among them; [`facts`] tells it as of an instant; [`decide`], [`score`],
//! [`alive`] and [`standard`] decide, [`finding`] is what a broken standard becomes and [`tended`] what people and time make of findings, [`checkpoint`] and [`pace`] say how a stage goes, [`by_hand`] is
//! what people decide; [`learn`] is how a workspace's own history teaches, [`fitted`] what it taught;
//! [`timeline`] knows when an answer can change by itself; [`journal`] seals decisions, [`adherence`] counts them, [`audit`] verifies that nobody changed
//! them; [`alert`] puts them into words, [`alerting`] says who hears of which together and when; [`feed`] turns what other systems send into events.
//! [`replay`] lives a log through again, [`plan`] does so under two files, [`cases`] under a test's
//! clock; [`hierarchy`] knows what was below an account then; [`explain`] says why, [`revision`] what would
//! have been decided otherwise.
//!
//! Invariants: nothing here can fail for an outside reason. `now` is always a parameter. The crate
//! knows no AWS, no network, no storage, no environment and no clock.

pub mod adherence;
pub mod alert;
pub mod alerting;
pub mod alive;
pub mod answers;
pub mod audit;
pub mod by_hand;
pub mod cases;
pub mod checkpoint;
pub mod customer;
pub mod decide;
pub mod distinct;
pub mod event;
pub mod explain;
pub mod expr;
pub mod facts;
pub mod feed;
pub mod finding;
pub mod fitted;
pub mod fold;
pub mod hierarchy;
pub mod journal;
pub mod learn;
pub mod lifecycle;
pub mod measure;
pub mod message;
pub mod outcome;
pub mod overview;
pub mod pace;
pub mod period;
pub mod personal;
pub mod plan;
pub mod post;
pub mod replay;
pub mod revision;
pub mod rise;
pub mod score;
pub mod stakes;
pub mod standard;
pub mod tally;
pub mod task;
pub mod template;
pub mod tended;
pub mod timeline;
pub mod yaml;

#[cfg(test)]
mod tests_support;

/// Bytes as lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
