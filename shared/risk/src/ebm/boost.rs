//! Cyclic gradient boosting of additive terms, with early stopping on rows kept aside (Lou, Caruana
//! and Gehrke, "Intelligible Models for Classification and Regression", 2012).
//!
//! Rows hold their odds, not their logit: a step multiplies by `e^step`, which is computed once per
//! bin and not per row.

use super::tree::{Cell, Shape};

/// A term to be boosted: what its bins are like, and the bin of each row.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub shape: Shape,
    pub bins: Vec<u16>,
}

/// When and how fast to boost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The share of Newton's step that is taken.
    pub rate: f32,
    /// Rounds without a better loss on the rows kept aside before it ends.
    pub patience: usize,
    /// A step is taken only when it gains this much: what chance alone would gain is not learnt.
    pub least: f32,
    /// The most rounds.
    pub rounds: usize,
}

/// How much better a loss has to be to be worth further rounds.
const WORTH: f64 = 1e-4;

/// The rows of one bag: those that are learnt from and those kept aside.
#[derive(Debug, Clone)]
pub(super) struct Bag {
    pub learn: Rows,
    pub aside: Rows,
}

/// Some rows with their labels and odds.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub rows: Vec<u32>,
    pub labels: Vec<f32>,
    pub odds: Vec<f32>,
}

impl Rows {
    pub(super) fn new(rows: Vec<u32>, labels: &[bool], odds: f32) -> Rows {
        let label = |row: &u32| f32::from(u8::from(labels[*row as usize]));
        let labels = rows.iter().map(label).collect();
        let odds = vec![odds; rows.len()];
        Rows { rows, labels, odds }
    }

    fn bins(&self, term: &Term) -> Vec<u16> {
        self.rows.iter().map(|&row| term.bins[row as usize]).collect()
    }

    fn advance(&mut self, bins: &[u16], factors: &[f32]) {
        for (odds, bin) in self.odds.iter_mut().zip(bins) {
            *odds *= factors[usize::from(*bin)];
        }
    }

    /// Adds the gradient and the curvature of every row to its bin.
    fn gather(&self, bins: &[u16], cells: &mut [Cell]) {
        cells.fill([0.0; 2]);
        for ((odds, label), bin) in self.odds.iter().zip(&self.labels).zip(bins) {
            let p = odds / (1.0 + odds);
            let cell = &mut cells[usize::from(*bin)];
            cell[0] += label - p;
            cell[1] += p * (1.0 - p);
        }
    }

    /// [`Rows::advance`] by one term and [`Rows::gather`] for the next in a single pass.
    fn advance_and_gather(
        &mut self,
        bins: &[u16],
        factors: &[f32],
        next: &[u16],
        cells: &mut [Cell],
    ) {
        cells.fill([0.0; 2]);
        let rows = self.odds.iter_mut().zip(&self.labels).zip(bins.iter().zip(next));
        for ((odds, label), (bin, next)) in rows {
            *odds *= factors[usize::from(*bin)];
            let p = *odds / (1.0 + *odds);
            let cell = &mut cells[usize::from(*next)];
            cell[0] += label - p;
            cell[1] += p * (1.0 - p);
        }
    }

    /// Mean log-loss.
    fn loss(&self) -> f64 {
        let of = |(odds, label): (&f32, &f32)| {
            let odds = f64::from(*odds);
            let all = libm::log1p(odds);
            if *label > 0.5 { all - libm::log(odds.max(1e-30)) } else { all }
        };
        let sum: f64 = self.odds.iter().zip(&self.labels).map(of).sum();
        sum / self.odds.len().max(1) as f64
    }
}

impl Bag {
    /// Adds finished tables to every row's logit.
    pub(super) fn apply(&mut self, terms: &[Term], tables: &[Vec<f32>]) {
        for (term, table) in terms.iter().zip(tables) {
            let factors: Vec<f32> = table.iter().map(|step| libm::expf(*step)).collect();
            for rows in [&mut self.learn, &mut self.aside] {
                let bins = rows.bins(term);
                rows.advance(&bins, &factors);
            }
        }
    }

    /// Boosts terms in turn; answers the tables of the best round (all 0 where no round was better
    /// than none) and moves the rows' odds to them.
    pub(super) fn boost(&mut self, terms: &[Term], pace: Pace) -> Vec<Vec<f32>> {
        let mut tables: Vec<Vec<f32>> =
            terms.iter().map(|term| vec![0.0; term.shape.cells()]).collect();
        if terms.is_empty() {
            return tables;
        }
        let start = self.clone();
        let learn: Vec<Vec<u16>> = terms.iter().map(|term| self.learn.bins(term)).collect();
        let aside: Vec<Vec<u16>> = terms.iter().map(|term| self.aside.bins(term)).collect();
        let most = tables.iter().map(Vec::len).max().unwrap_or(0);
        let (mut cells, mut steps) = (vec![[0.0; 2]; most], vec![0.0; most]);
        let mut factors = vec![1.0; most];
        let (mut best, mut best_loss, mut since) = (tables.clone(), self.aside.loss(), 0);
        let mut marked = best_loss;
        self.learn.gather(&learn[0], &mut cells[..tables[0].len()]);
        for _ in 0..pace.rounds {
            for (turn, term) in terms.iter().enumerate() {
                let size = tables[turn].len();
                term.shape.step(&cells[..size], pace.least, &mut steps[..size]);
                for bin in 0..size {
                    let step = pace.rate * steps[bin];
                    tables[turn][bin] += step;
                    factors[bin] = libm::expf(step);
                }
                self.aside.advance(&aside[turn], &factors);
                let next = (turn + 1) % terms.len();
                let cells = &mut cells[..tables[next].len()];
                self.learn.advance_and_gather(&learn[turn], &factors, &learn[next], cells);
            }
            let loss = self.aside.loss();
            since += 1;
            if loss < best_loss {
                // What is hardly better is taken, but is no reason to go on.
                if loss < marked - WORTH {
                    (marked, since) = (loss, 0);
                }
                best_loss = loss;
                best.clone_from(&tables);
            }
            if since >= pace.patience {
                break;
            }
        }
        *self = start;
        self.apply(terms, &best);
        best
    }
}
