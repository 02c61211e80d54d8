//! The same lifecycle with other numbers for customers in a segment.
//!
//! What each combination of overlays comes to is worked out when the file is loaded, so that
//! looking at a customer only asks which overlays hold. An overlay never adds or removes a stage,
//! a standard or a factor, so an index means the same in every combination.

use std::sync::Arc;

use super::{Playbook, Scorecard, Stage, Standard};

/// Stages, standards, playbooks and the health scorecard as they hold for a customer at an instant.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Stages, in the order of the file.
    pub stages: Vec<Arc<Stage>>,
    /// Standards, in the order of the file.
    pub standards: Vec<Arc<Standard>>,
    /// Playbooks, in the order of the file.
    pub playbooks: Vec<Arc<Playbook>>,
    /// The health scorecard.
    pub health: Option<Arc<Scorecard>>,
}

impl Rules {
    /// A stage by name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name).map(AsRef::as_ref)
    }

    /// A standard by name.
    #[must_use]
    pub fn standard(&self, name: &str) -> Option<&Standard> {
        self.standards.iter().find(|standard| standard.name == name).map(AsRef::as_ref)
    }

    /// A playbook by name.
    #[must_use]
    pub fn playbook(&self, name: &str) -> Option<&Playbook> {
        self.playbooks.iter().find(|playbook| playbook.name == name).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests;
