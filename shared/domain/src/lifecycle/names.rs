//! The names a condition may use, and the slots they are found by.

use crate::expr::{Binding, Scope, Type};

/// What a name of a condition stands for. Indexes are those of the [`super::Lifecycle`]'s lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Metric(usize),
    Trait(usize),
    Segment(usize),
    StageName,
    StageDays,
    RiskBand,
    RiskProbability,
    HealthScore,
    /// A name of an open root, such as an event's property.
    Open,
}

/// How many metrics, traits or segments a file may declare.
pub(crate) const MAX_NAMES: usize = 1_000;
const TRAITS: u32 = 1_000;
const SEGMENTS: u32 = 2_000;
const SYSTEM: u32 = 3_000;

impl Slot {
    /// The number under which the condition carries it.
    pub(crate) fn number(self) -> u32 {
        let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        match self {
            Slot::Metric(at) => index(at),
            Slot::Trait(at) => TRAITS + index(at),
            Slot::Segment(at) => SEGMENTS + index(at),
            Slot::StageName => SYSTEM,
            Slot::StageDays => SYSTEM + 1,
            Slot::RiskBand => SYSTEM + 2,
            Slot::RiskProbability => SYSTEM + 3,
            Slot::HealthScore => SYSTEM + 4,
            Slot::Open => u32::MAX,
        }
    }

    /// The slot of a number.
    pub(crate) fn of(number: u32) -> Slot {
        let index = |base: u32| (number - base) as usize;
        match number {
            0..TRAITS => Slot::Metric(index(0)),
            TRAITS..SEGMENTS => Slot::Trait(index(TRAITS)),
            SEGMENTS..SYSTEM => Slot::Segment(index(SEGMENTS)),
            3_000 => Slot::StageName,
            3_001 => Slot::StageDays,
            3_002 => Slot::RiskBand,
            3_003 => Slot::RiskProbability,
            3_004 => Slot::HealthScore,
            _ => Slot::Open,
        }
    }
}

/// Declares a name.
pub(crate) fn declare(scope: &mut Scope, path: &str, ty: Type, slot: Slot, optional: bool) {
    scope.declare(path, Binding { ty, slot: slot.number(), optional });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_found_by_its_number() {
        for slot in [
            Slot::Metric(0),
            Slot::Metric(999),
            Slot::Trait(0),
            Slot::Trait(7),
            Slot::Segment(999),
            Slot::StageName,
            Slot::StageDays,
            Slot::RiskBand,
            Slot::RiskProbability,
            Slot::HealthScore,
            Slot::Open,
        ] {
            assert_eq!(Slot::of(slot.number()), slot);
        }
    }
}
