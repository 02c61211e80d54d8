//! What the scenario tests share.

pub mod binaries;
pub mod crash;
pub mod door;
pub mod faults;
pub mod measure;
pub mod queue;
pub mod runtime_api;
pub mod scenario;
pub mod sender;
pub mod stack;

/// A recording under `fixtures/recorded`.
///
/// # Panics
/// When there is none of this name.
#[must_use]
pub fn recorded(name: &str) -> serde_json::Value {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recorded").join(name);
    let text = std::fs::read_to_string(&path).expect("a recording is there to be read");
    serde_json::from_str(&text).expect("a recording is JSON")
}
