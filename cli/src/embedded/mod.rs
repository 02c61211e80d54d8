//! The parts of AWS that one process needs to run the whole pack on its own: DynamoDB on an
//! embedded engine, the tables of the deployment template, an SNS endpoint that records, and the
//! stream that feeds the notifier.
//!
//! Invariants:
//! - The functions cannot tell: the real SDK clients talk to these endpoints over loopback HTTP.
//! - Nothing here listens on any address but 127.0.0.1.
//! - Nothing here holds a business rule; tables are defined by the template and nowhere else.

pub mod engine;
pub mod rows;
pub mod sns;
pub mod stream;
pub mod tables;

pub use engine::{Engine, Location};
pub use rows::Rows;
pub use sns::{LocalSns, Published};
pub use stream::JournalPump;
pub use tables::{create_tables, table_names};
