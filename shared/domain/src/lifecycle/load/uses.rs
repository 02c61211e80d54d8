//! What leads to what: formulas to metrics, segments to segments. Nothing may lead back to itself,
//! and nothing may cost more than a sweep over every customer can afford.

use crate::expr::{Condition, Expr, Name};

/// The most steps of one formula or segment with everything it leads to.
pub(super) const MAX_STEPS: u64 = 10_000;
/// The longest chain of formulas or segments.
pub(super) const MAX_DEPTH: u32 = 40;

/// A formula or a segment: its own steps, and what it leads to, how often.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub steps: u64,
    pub others: Vec<(usize, u64)>,
}

impl Uses {
    /// What a formula uses, of what `index` picks.
    pub(super) fn of_formula(formula: &Expr, index: impl Fn(&Name) -> Option<usize>) -> Uses {
        let source = formula.source();
        Uses {
            steps: formula.cost().into(),
            others: occurrences(source, formula.names().iter(), index),
        }
    }

    /// What a condition uses, of what `index` picks.
    pub(super) fn of_condition(
        condition: &Condition,
        index: impl Fn(&Name) -> Option<usize>,
    ) -> Uses {
        Uses {
            steps: condition.cost().into(),
            others: occurrences(&condition.describe(), condition.names().into_iter(), index),
        }
    }
}

/// Counts names by their text: one too many where a name begins like another, never one too few.
fn occurrences<'n>(
    source: &str,
    names: impl Iterator<Item = &'n Name>,
    index: impl Fn(&Name) -> Option<usize>,
) -> Vec<(usize, u64)> {
    names
        .filter_map(|name| Some((index(name)?, source.matches(&*name.path).count().max(1) as u64)))
        .collect()
}

/// Why one of a list cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endless {
    /// It leads back to itself.
    Cycle(usize),
    /// It takes more than [`MAX_STEPS`], or is a chain of more than [`MAX_DEPTH`].
    TooMuch(usize),
}

/// The steps of each with everything it leads to.
pub(super) fn steps(uses: &[Uses]) -> Result<Vec<u64>, Endless> {
    let mut known = vec![Known::No; uses.len()];
    (0..uses.len()).map(|at| visit(uses, at, &mut known).map(|(steps, _)| steps)).collect()
}

#[derive(Clone, Copy)]
enum Known {
    No,
    Begun,
    Yes(u64, u32),
}

fn visit(uses: &[Uses], at: usize, known: &mut [Known]) -> Result<(u64, u32), Endless> {
    match known[at] {
        Known::Begun => return Err(Endless::Cycle(at)),
        Known::Yes(steps, depth) => return Ok((steps, depth)),
        Known::No => known[at] = Known::Begun,
    }
    let (mut steps, mut depth) = (uses[at].steps, 1);
    for &(other, times) in &uses[at].others {
        let (below, levels) = visit(uses, other, known)?;
        steps = steps.saturating_add(below.saturating_mul(times));
        depth = depth.max(levels + 1);
    }
    if steps > MAX_STEPS || depth > MAX_DEPTH {
        return Err(Endless::TooMuch(at));
    }
    known[at] = Known::Yes(steps, depth);
    Ok((steps, depth))
}
