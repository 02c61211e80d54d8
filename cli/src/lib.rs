//! The `lifecycle` command: the operator's tool, and the whole pack in one process on an embedded
//! DynamoDB.
//!
//! Where things live: [`dev`] serves the pack, [`pack`] is the pack itself, [`embedded`] what it
//! runs on; [`import`], [`init`], [`validate`], [`simulate`], [`model`] (`train`, `score` and `alive`),
//! [`run`], [`keys`], [`secrets`], [`erase`], [`export`], [`cases`] (`lifecycle test`), [`explain`],
//! [`plan`], [`apply`] and [`history`] are commands; [`target`] is the workspace a command works on and
//! [`configuration`] the lifecycle file it goes by.

pub mod apply;
pub mod audit;
pub mod cases;
pub mod clock;
pub mod configuration;
pub mod dev;
pub mod embedded;
pub mod erase;
pub mod explain;
pub mod export;
pub mod history;
pub mod import;
pub mod init;
pub mod keys;
pub mod logs;
pub mod model;
pub mod pack;
pub mod plan;
pub mod run;
pub mod secrets;
pub mod simulate;
pub mod target;
pub mod validate;
