//! Why something was decided.

use std::collections::BTreeMap;

use domain::journal;
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// One reason: a condition or a factor, what it came to, and the values it read.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Reason {
    /// The text of the lifecycle file.
    pub expression: String,
    /// True, false, or null for unknown; a number for a factor.
    pub value: Json,
    /// Every name it read, and its value; null is missing.
    pub inputs: BTreeMap<String, Json>,
}

impl From<journal::Reason> for Reason {
    fn from(reason: journal::Reason) -> Reason {
        let journal::Reason { expression, value, inputs } = reason;
        Reason { expression, value, inputs }
    }
}

/// Reasons as they are shown.
pub(crate) fn reasons(reasons: Vec<journal::Reason>) -> Vec<Reason> {
    reasons.into_iter().map(Reason::from).collect()
}
