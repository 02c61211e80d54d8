//! One step of boosting: a small tree over the bins of a term.
//!
//! Gains and leaf values are Newton's (Friedman, Hastie and Tibshirani, "Additive Logistic
//! Regression", 2000): a leaf with gradient `G` and curvature `H` gains `G² / (H + λ)` and moves the
//! logit by `G / (H + λ)`.

/// Gradient and curvature of one bin.
pub(super) type Cell = [f32; 2];

/// Added to the curvature of a leaf.
const RIDGE: f32 = 1.0;
/// A leaf has at least this curvature: about ten rows at a rate of one in seven.
const LEAST: f32 = 1.0;
/// Added to the curvature of a word when words are put in order (Fisher, "On Grouping for Maximum
/// Homogeneity", 1958): a rare word's gradient is mostly chance.
const WORD_RIDGE: f32 = 10.0;

/// What the bins of a term are like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Intervals in order; bin 0 is missing.
    Line(usize),
    /// Words in no order; bin 0 is missing.
    Words(usize),
    /// Bins of two features.
    Plane([usize; 2]),
    /// Bins of three features.
    Space([usize; 3]),
}

impl Shape {
    pub(super) fn cells(&self) -> usize {
        match self {
            Shape::Line(bins) | Shape::Words(bins) => *bins,
            Shape::Plane(sides) => sides.iter().product(),
            Shape::Space(sides) => sides.iter().product(),
        }
    }

    /// Writes the step of every bin; all 0 where no split gains `least`.
    pub(super) fn step(&self, cells: &[Cell], least: f32, steps: &mut [f32]) {
        steps.fill(0.0);
        match self {
            Shape::Line(_) => {
                line(&cells[1..], least, &mut steps[1..]);
                steps[0] = value(cells[0]);
            }
            Shape::Words(_) => {
                words(&cells[1..], least, &mut steps[1..]);
                steps[0] = value(cells[0]);
            }
            Shape::Plane([a, b]) => {
                let plane = Plane::best(cells, *a, *b);
                if plane.gain >= least {
                    plane.write(*a, *b, steps);
                }
            }
            Shape::Space(sides) => space(cells, *sides, least, steps),
        }
    }

    /// What the best step would gain.
    pub(super) fn gain(&self, cells: &[Cell]) -> f32 {
        match self {
            Shape::Plane([a, b]) => Plane::best(cells, *a, *b).gain,
            Shape::Space(sides) => best_slab(cells, *sides).map_or(0.0, |slab| slab.gain),
            Shape::Line(_) | Shape::Words(_) => 0.0,
        }
    }
}

fn add(a: Cell, b: Cell) -> Cell {
    [a[0] + b[0], a[1] + b[1]]
}

fn less(a: Cell, b: Cell) -> Cell {
    [a[0] - b[0], a[1] - b[1]]
}

fn gain(cell: Cell) -> f32 {
    cell[0] * cell[0] / (cell[1] + RIDGE)
}

fn value(cell: Cell) -> f32 {
    cell[0] / (cell[1] + RIDGE)
}

fn sum(cells: &[Cell]) -> Cell {
    cells.iter().fold([0.0; 2], |all, cell| add(all, *cell))
}

/// A split of a run of bins after the first `at` (0: none), with the sums of both sides and what
/// both gain.
#[derive(Debug, Clone, Copy)]
struct Split {
    at: usize,
    left: Cell,
    right: Cell,
    gain: f32,
}

fn split(cells: impl Iterator<Item = Cell>, total: Cell) -> Split {
    let mut best = Split { at: 0, left: [0.0; 2], right: total, gain: gain(total) };
    let mut left = [0.0; 2];
    for (at, cell) in cells.enumerate() {
        left = add(left, cell);
        let right = less(total, left);
        if left[1] >= LEAST && right[1] >= LEAST {
            let gain = gain(left) + gain(right);
            if gain > best.gain {
                best = Split { at: at + 1, left, right, gain };
            }
        }
    }
    best
}

/// Up to three leaves: the best split, then the best split of either side.
fn line(cells: &[Cell], least: f32, steps: &mut [f32]) {
    let total = sum(cells);
    let first = split(cells.iter().copied(), total);
    if first.at == 0 || first.gain < least {
        return;
    }
    let (low, high) = cells.split_at(first.at);
    let left = split(low.iter().copied(), first.left);
    let right = split(high.iter().copied(), first.right);
    let gain_left = left.gain - gain(first.left);
    let gain_right = right.gain - gain(first.right);
    let (low, high) = steps.split_at_mut(first.at);
    low.fill(value(first.left));
    high.fill(value(first.right));
    if gain_left > gain_right && left.at > 0 {
        low[..left.at].fill(value(left.left));
        low[left.at..].fill(value(left.right));
    } else if right.at > 0 {
        high[..right.at].fill(value(right.left));
        high[right.at..].fill(value(right.right));
    }
}

fn words(cells: &[Cell], least: f32, steps: &mut [f32]) {
    let mut order: Vec<usize> = (0..cells.len()).filter(|&word| cells[word][1] > 0.0).collect();
    let pull = |word: usize| cells[word][0] / (cells[word][1] + WORD_RIDGE);
    order.sort_by(|&a, &b| pull(a).total_cmp(&pull(b)));
    let sorted: Vec<Cell> = order.iter().map(|&word| cells[word]).collect();
    let mut moved = vec![0.0; sorted.len()];
    line(&sorted, least, &mut moved);
    for (word, step) in order.into_iter().zip(moved) {
        steps[word] = step;
    }
}

/// A plane cut once across one side, and both halves cut along the other.
#[derive(Debug, Clone, Copy)]
struct Plane {
    /// Whether the first cut is across the second side.
    is_turned: bool,
    at: usize,
    low: Split,
    high: Split,
    gain: f32,
}

impl Plane {
    fn best(cells: &[Cell], a: usize, b: usize) -> Plane {
        let upright = Plane::across(a, b, |x, y| cells[x * b + y]);
        let turned = Plane::across(b, a, |x, y| cells[y * b + x]);
        match turned.gain > upright.gain {
            true => Plane { is_turned: true, ..turned },
            false => upright,
        }
    }

    /// The best cut after `at` of the first side with the best cuts of the second on either half.
    fn across(a: usize, b: usize, cell: impl Fn(usize, usize) -> Cell) -> Plane {
        let mut columns = [[0.0f32; 2]; MOST_SIDE];
        for x in 0..a {
            for (y, column) in columns[..b].iter_mut().enumerate() {
                *column = add(*column, cell(x, y));
            }
        }
        let total = sum(&columns[..b]);
        let none = Split { at: 0, left: [0.0; 2], right: total, gain: gain(total) };
        let whole = split(columns[..b].iter().copied(), total);
        let mut best = Plane { is_turned: false, at: 0, low: none, high: whole, gain: whole.gain };
        let mut low = [[0.0f32; 2]; MOST_SIDE];
        let mut low_total = [0.0f32; 2];
        for x in 0..a.saturating_sub(1) {
            for (y, column) in low[..b].iter_mut().enumerate() {
                let here = cell(x, y);
                *column = add(*column, here);
                low_total = add(low_total, here);
            }
            let high_total = less(total, low_total);
            if low_total[1] < LEAST || high_total[1] < LEAST {
                continue;
            }
            let below = split(low[..b].iter().copied(), low_total);
            let above = split(
                columns[..b].iter().zip(&low[..b]).map(|(all, low)| less(*all, *low)),
                high_total,
            );
            let gain = below.gain + above.gain;
            if gain > best.gain {
                best = Plane { is_turned: false, at: x + 1, low: below, high: above, gain };
            }
        }
        best
    }

    fn value(&self, x: usize, y: usize) -> f32 {
        let (x, y) = if self.is_turned { (y, x) } else { (x, y) };
        let half = if x < self.at { &self.low } else { &self.high };
        value(if y < half.at { half.left } else { half.right })
    }

    fn write(&self, a: usize, b: usize, steps: &mut [f32]) {
        for x in 0..a {
            for y in 0..b {
                steps[x * b + y] = self.value(x, y);
            }
        }
    }
}

/// The most bins of one side of a plane or a space.
pub(super) const MOST_SIDE: usize = 32;

/// A space cut once across the side `side`, with the best planes of both parts.
struct Slab {
    side: usize,
    at: usize,
    low: Plane,
    high: Plane,
    gain: f32,
}

/// The other two sides of a space.
fn others(side: usize) -> [usize; 2] {
    match side {
        0 => [1, 2],
        1 => [0, 2],
        _ => [0, 1],
    }
}

fn best_slab(cells: &[Cell], sides: [usize; 3]) -> Option<Slab> {
    let strides = [sides[1] * sides[2], sides[2], 1];
    let mut best: Option<Slab> = None;
    for side in 0..3 {
        let [p, q] = others(side);
        let layer = sides[p] * sides[q];
        let mut all = vec![[0.0f32; 2]; layer];
        let at = |x: usize, k: usize| {
            cells[x * strides[side] + k / sides[q] * strides[p] + k % sides[q] * strides[q]]
        };
        for x in 0..sides[side] {
            for (k, cell) in all.iter_mut().enumerate() {
                *cell = add(*cell, at(x, k));
            }
        }
        let mut low = vec![[0.0f32; 2]; layer];
        let mut high = all;
        for x in 0..sides[side].saturating_sub(1) {
            for k in 0..layer {
                let here = at(x, k);
                low[k] = add(low[k], here);
                high[k] = less(high[k], here);
            }
            if sum(&low)[1] < LEAST || sum(&high)[1] < LEAST {
                continue;
            }
            let below = Plane::best(&low, sides[p], sides[q]);
            let above = Plane::best(&high, sides[p], sides[q]);
            let gain = below.gain + above.gain;
            if best.as_ref().is_none_or(|best| gain > best.gain) {
                best = Some(Slab { side, at: x + 1, low: below, high: above, gain });
            }
        }
    }
    best
}

fn space(cells: &[Cell], sides: [usize; 3], least: f32, steps: &mut [f32]) {
    let Some(slab) = best_slab(cells, sides).filter(|slab| slab.gain >= least) else { return };
    let [p, q] = others(slab.side);
    let mut cell = 0;
    for x in 0..sides[0] {
        for y in 0..sides[1] {
            for z in 0..sides[2] {
                let place = [x, y, z];
                let plane = if place[slab.side] < slab.at { &slab.low } else { &slab.high };
                steps[cell] = plane.value(place[p], place[q]);
                cell += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_steps_where_the_gradient_turns() {
        let mut cells = vec![[0.0, 0.0]];
        cells.extend((0..10).map(|bin| if bin < 4 { [-5.0, 5.0] } else { [5.0, 5.0] }));
        let mut steps = vec![9.0; 11];
        Shape::Line(11).step(&cells, 0.0, &mut steps);
        assert_eq!(steps[0], 0.0);
        assert!(steps[1..5].iter().all(|step| *step < -0.8));
        assert!(steps[5..].iter().all(|step| *step > 0.8));
    }

    #[test]
    fn a_plane_finds_what_no_line_can() {
        // The sign depends on both sides: no single cut gains anything.
        let cells: Vec<Cell> = (0..16)
            .map(|cell| if (cell / 4 < 2) == (cell % 4 < 2) { [3.0, 4.0] } else { [-3.0, 4.0] })
            .collect();
        let mut steps = vec![0.0; 16];
        Shape::Plane([4, 4]).step(&cells, 0.0, &mut steps);
        for (cell, step) in cells.iter().zip(steps) {
            assert!(cell[0] * step > 0.0);
        }
    }

    #[test]
    fn a_space_finds_what_no_plane_can() {
        let sign = |cell: usize| [cell / 4 % 2, cell / 2 % 2, cell % 2].iter().sum::<usize>() % 2;
        let cells: Vec<Cell> =
            (0..8).map(|cell| if sign(cell) == 0 { [3.0, 4.0] } else { [-3.0, 4.0] }).collect();
        let mut steps = vec![0.0; 8];
        Shape::Space([2, 2, 2]).step(&cells, 0.0, &mut steps);
        for (cell, step) in cells.iter().zip(steps) {
            assert!(cell[0] * step > 0.0);
        }
    }
}
