//! Lifecycle files to start from.

/// A lifecycle file to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// The YAML, with comments.
    pub source: &'static str,
    /// Cases that test it, as YAML with comments.
    pub cases: &'static str,
}

/// All presets; the first is the default.
pub const PRESETS: [Preset; 2] = [
    Preset {
        name: "b2b-saas",
        about: "accounts of a subscription business, from onboarding to renewal",
        source: include_str!("../presets/b2b-saas.yaml"),
        cases: include_str!("../presets/b2b-saas.tests.yaml"),
    },
    Preset {
        name: "ecommerce",
        about: "shoppers and their orders, from the first purchase to win-back",
        source: include_str!("../presets/ecommerce.yaml"),
        cases: include_str!("../presets/ecommerce.tests.yaml"),
    },
];

/// A preset by name.
#[must_use]
pub fn preset(name: &str) -> Option<Preset> {
    PRESETS.into_iter().find(|preset| preset.name == name)
}
