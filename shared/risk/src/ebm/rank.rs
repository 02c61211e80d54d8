//! Which features act together: FAST (Lou, Caruana, Gehrke and Hooker, 2013). Every pair is tried
//! with one small tree on what the features' own tables leave unexplained, and the best are kept;
//! triples are tried the same way among the pairs that were kept and one more feature.

use super::tree::{Cell, MOST_SIDE, Shape};
use super::{Bins, width};
use crate::special::sigmoid;

/// Only this many features are tried with each other, the ones with most sides first left out last.
const MOST_TRIED: usize = 48;

struct Left<'a> {
    sides: &'a [Vec<u8>],
    bins: &'a Bins,
    cells: Vec<Cell>,
}

impl<'a> Left<'a> {
    fn new(sides: &'a [Vec<u8>], bins: &'a Bins, labels: &[bool], logits: &[f64]) -> Left<'a> {
        let cell = |(logit, label): (&f64, &bool)| {
            let p = sigmoid(*logit);
            [(f64::from(u8::from(*label)) - p) as f32, (p * (1.0 - p)) as f32]
        };
        Left { sides, bins, cells: logits.iter().zip(labels).map(cell).collect() }
    }

    /// What the best tree over these features gains.
    fn gain(&self, features: &[usize]) -> f32 {
        let widths: Vec<usize> = features.iter().map(|&f| width(&self.sides[f])).collect();
        let shape = match widths[..] {
            [a, b] => Shape::Plane([a, b]),
            [a, b, c] => Shape::Space([a, b, c]),
            _ => return 0.0,
        };
        let mut cells = vec![[0.0f32; 2]; shape.cells()];
        for (row, left) in self.cells.iter().enumerate() {
            let cell = features.iter().zip(&widths).fold(0, |cell, (&feature, width)| {
                cell * width
                    + usize::from(self.sides[feature][usize::from(self.bins[feature][row])])
            });
            cells[cell][0] += left[0];
            cells[cell][1] += left[1];
        }
        shape.gain(&cells)
    }
}

fn best(mut tried: Vec<(f32, Vec<usize>)>, most: usize) -> Vec<Vec<usize>> {
    tried.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    tried.truncate(most);
    tried.into_iter().map(|(_, features)| features).collect()
}

fn fit_for_joints<'a>(free: &'a [usize], sides: &'a [Vec<u8>]) -> impl Iterator<Item = usize> + 'a {
    free.iter()
        .copied()
        .filter(|&feature| (2..=MOST_SIDE).contains(&width(&sides[feature])))
        .take(MOST_TRIED)
}

/// The `most` best pairs among `free` features, the best first.
pub(super) fn pairs(
    free: &[usize],
    sides: &[Vec<u8>],
    bins: &Bins,
    labels: &[bool],
    logits: &[f64],
    most: usize,
) -> Vec<Vec<usize>> {
    let left = Left::new(sides, bins, labels, logits);
    let free: Vec<usize> = fit_for_joints(free, sides).collect();
    let mut tried = Vec::new();
    for (place, &a) in free.iter().enumerate() {
        for &b in &free[place + 1..] {
            tried.push((left.gain(&[a, b]), vec![a, b]));
        }
    }
    best(tried, most)
}

/// The `most` best triples of a pair and one more feature, the best first.
pub(super) fn triples(
    pairs: &[Vec<usize>],
    free: &[usize],
    sides: &[Vec<u8>],
    bins: &Bins,
    labels: &[bool],
    logits: &[f64],
    most: usize,
) -> Vec<Vec<usize>> {
    let left = Left::new(sides, bins, labels, logits);
    let mut seen = std::collections::BTreeSet::new();
    let mut tried = Vec::new();
    for pair in pairs {
        for feature in fit_for_joints(free, sides).filter(|feature| !pair.contains(feature)) {
            let mut triple = vec![pair[0], pair[1], feature];
            triple.sort_unstable();
            if pair.iter().all(|&f| width(&sides[f]) >= 2) && seen.insert(triple.clone()) {
                tried.push((left.gain(&triple), triple));
            }
        }
    }
    best(tried, most)
}
