//! What the scenario tests share.

pub mod binaries;
pub mod queue;
pub mod runtime_api;
pub mod stack;
