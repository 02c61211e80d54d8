//! The `lifecycle` command: the operator's tool, and the whole pack in one process on an embedded
//! DynamoDB.
//!
//! Where things live: [`dev`] serves the pack, [`pack`] is the pack itself, [`embedded`] what it
//! runs on; [`target`] is the workspace a command works on and [`configuration`] the lifecycle file it
//! goes by; [`by_hand`] is what people decide, [`cases`] is `lifecycle test`, [`model`] is `train`,
//! `score` and `alive`. The others are the commands of their names.

pub mod alerts;
pub mod apply;
pub mod audit;
pub mod by_hand;
pub mod cases;
pub mod clock;
pub mod configuration;
pub mod deploy_check;
pub mod dev;
pub mod embedded;
pub mod erase;
pub mod eval;
pub mod explain;
pub mod export;
pub mod finding;
pub mod history;
pub mod import;
pub mod init;
pub mod keys;
pub mod logs;
pub mod model;
pub mod outcomes;
pub mod pack;
pub mod plan;
pub mod posts;
pub mod quarantine;
pub mod run;
pub mod schema;
pub mod secrets;
mod signals;
pub mod simulate;
pub mod target;
pub mod tasks;
pub mod validate;
