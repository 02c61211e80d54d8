//! The adapters around the domain: DynamoDB, SNS, SQS tickets, settings, logs and metrics.
//!
//! This crate holds no business rule. Where things live: [`store`] is the four tables, [`sweep`]
//! walks all customers or those that are due, [`publish`] sends messages to SNS and [`post`] to other receivers, over [`egress`], [`learn`] has the history
//! teach, [`adherence`] reads how standards are kept, [`settings`] reads the environment, [`telemetry`] writes logs and one metric event per invocation, [`aws`] builds the
//! clients and [`lambda`] runs the loop, of which [`gateway`] reads the HTTP requests.

pub mod adherence;
pub mod aws;
pub mod clock;
pub mod codec;
pub mod egress;
pub mod gateway;
pub mod handoff;
pub mod lambda;
pub mod learn;
pub mod meter;
pub mod outcomes;
pub mod overview;
pub mod post;
pub mod publish;
pub mod settings;
pub mod store;
pub mod sweep;
pub mod telemetry;
pub mod vault;

pub use clock::Clock;
pub use settings::Settings;
pub use store::{CustomerKey, Store, StoreError, Versioned};
