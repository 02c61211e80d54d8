//! What the scenario tests share.

pub mod binaries;
pub mod faults;
pub mod queue;
pub mod runtime_api;
pub mod stack;
