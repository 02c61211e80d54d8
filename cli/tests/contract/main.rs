//! The `lifecycle` command from outside: the binary as a person, a script or a sender meets it.
#![allow(clippy::unwrap_used, reason = "what these tests share fails as they do")]

mod alerts;
mod as_code;
mod audit;
mod commands;
mod deploy_check;
mod dev;
mod kill;
mod learn;
mod model;
mod plan;
mod privacy;
mod process;
mod quarantine;
mod secrets;
mod tasks;
