//! The explainable boosting machine: a table of logits for each feature, for some pairs and, where
//! they help, for some triples of features; the score is their sum.
//!
//! Lou, Caruana and Gehrke, "Intelligible Models for Classification and Regression", 2012 (boosted
//! tables); Lou, Caruana, Gehrke and Hooker, "Accurate Intelligible Models with Pairwise
//! Interactions", 2013 (the choice of pairs); Nori, Jenkins, Koch and Caruana, "InterpretML", 2019
//! (bagging and cyclic boosting at a low rate); Lengerich and others, "Purifying Interaction
//! Effects", 2020 (what a pair's table holds of one feature alone belongs to that feature).
//!
//! Deterministic: the same rows, settings and seed give the same tables.

mod boost;
mod rank;
mod tree;

use boost::{Bag, Pace, Rows, Term};
use tree::Shape;

use crate::feature::{Axis, Feature};
use crate::random::Random;

/// How an explainable boosting machine is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Models whose mean is taken, each stopped on its own rows kept aside.
    pub bags: usize,
    /// The share of rows kept aside.
    pub aside: f64,
    /// Pairs of features.
    pub pairs: usize,
    /// Intervals of a feature in a pair.
    pub pair_bins: usize,
    /// Triples of features.
    pub triples: usize,
    /// Intervals of a feature in a triple.
    pub triple_bins: usize,
    /// Share of Newton's step for the features' own tables.
    pub rate: f32,
    /// The same for pairs and triples.
    pub joint_rate: f32,
    /// What a step of a table has to gain.
    pub least: f32,
    /// What a step of a pair or triple has to gain.
    pub joint_least: f32,
    /// What chance starts from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            bags: 6,
            aside: 0.15,
            pairs: 12,
            pair_bins: 16,
            triples: 10,
            triple_bins: 6,
            rate: 0.05,
            joint_rate: 0.05,
            least: 6.0,
            joint_least: 2.0,
            seed: 42,
        }
    }
}

/// Whether a feature may only raise, or only lower, the logit as it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monotone {
    /// Never lower for a greater number.
    Rising,
    /// Never higher for a greater number.
    Falling,
}

/// A table over two or three features.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint {
    /// The features, by index, rising.
    pub features: Vec<usize>,
    /// For each of them, which side of the table each of its bins is on.
    pub sides: Vec<Vec<u8>>,
    /// The logits, the last feature running fastest.
    pub table: Vec<f64>,
}

impl Joint {
    /// How many bins each side has.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        self.sides.iter().map(|side| width(side)).collect()
    }
}

fn width(side: &[u8]) -> usize {
    side.iter().max().map_or(1, |most| usize::from(*most) + 1)
}

/// A fitted machine: the logit is `base` and the sum of the tables at a row's bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The logit of nobody in particular.
    pub base: f64,
    /// The logits of each feature's bins.
    pub tables: Vec<Vec<f64>>,
    /// Pairs and triples.
    pub joints: Vec<Joint>,
}

/// The bins of some rows: one column per feature.
pub type Bins = Vec<Vec<u16>>;

/// The bins of cells (a column per feature).
#[must_use]
pub fn bins(features: &[Feature], cells: &[Vec<f64>]) -> Bins {
    let column = |(feature, cells): (&Feature, &Vec<f64>)| {
        cells.iter().map(|cell| feature.axis.bin(*cell) as u16).collect()
    };
    features.iter().zip(cells).map(column).collect()
}

/// Two machines of one fit: whether the second is better has to be seen on other rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Machines {
    /// With tables of features and of pairs.
    pub pairs: Machine,
    /// The same, and tables of triples.
    pub triples: Machine,
}

/// Fits machines to rows (their bins and labels). `monotone` has an entry for each feature.
#[must_use]
pub fn fit(
    features: &[Feature],
    bins: &Bins,
    labels: &[bool],
    monotone: &[Option<Monotone>],
    settings: &Settings,
) -> Machines {
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let odds = (positives + 0.5) / (labels.len() as f64 - positives + 0.5);
    let mut bags = bags(labels, odds, settings);
    // Each round of more rows moves surer and costs more: patience is for few rows.
    let patience = 50;
    let pace = Pace { rate: settings.rate, patience, least: settings.least, rounds: 3_000 };
    let singles: Vec<Term> = features.iter().zip(bins).map(|(f, bins)| single(f, bins)).collect();
    let mut tables = stage(&mut bags, &singles, pace);

    let is_free = |feature: &usize| monotone.get(*feature).is_none_or(Option::is_none);
    let free: Vec<usize> = (0..features.len()).filter(is_free).collect();
    let free = distinct(&free, features, bins);
    let pace = Pace {
        rate: settings.joint_rate,
        patience: 30,
        least: settings.joint_least,
        rounds: 1_500,
    };
    let sides = sides(features, bins, &tables, settings.pair_bins);
    let mut logits = vec![libm::log(odds); labels.len()];
    sum_up(&mut logits, &singles, &tables);
    let pairs = rank::pairs(&free, &sides, bins, labels, &logits, settings.pairs);
    let terms: Vec<Term> = pairs.iter().map(|pair| joint_term(pair, &sides, bins)).collect();
    let mut joints = stage(&mut bags, &terms, pace);
    sum_up(&mut logits, &terms, &joints);
    let mut groups: Vec<(Vec<usize>, Vec<Vec<u8>>)> =
        pairs.iter().map(|pair| (pair.clone(), chosen(pair, &sides))).collect();
    for ((table, limit), (feature, bins)) in
        tables.iter_mut().zip(monotone).zip(features.iter().zip(bins))
    {
        if let (Some(limit), Axis::Numbers(_)) = (limit, &feature.axis) {
            *table = bend(table, bins, *limit);
        }
    }
    let put_together = |groups: &[(Vec<usize>, Vec<Vec<u8>>)], joints: &[Vec<f64>]| {
        let joints = groups
            .iter()
            .zip(joints)
            .filter(|(_, table)| table.iter().any(|logit| *logit != 0.0))
            .map(|((features, sides), table)| {
                let (features, sides, table) = (features.clone(), sides.clone(), table.clone());
                Joint { features, sides, table }
            })
            .collect();
        let mut machine = Machine { base: libm::log(odds), tables: tables.clone(), joints };
        purify(&mut machine, bins);
        machine.base = settle(&machine, bins, labels);
        machine
    };
    let first = put_together(&groups, &joints);

    let sides = self::sides(features, bins, &tables, settings.triple_bins);
    let triples = rank::triples(&pairs, &free, &sides, bins, labels, &logits, settings.triples);
    let terms: Vec<Term> = triples.iter().map(|t| joint_term(t, &sides, bins)).collect();
    joints.extend(stage(&mut bags, &terms, pace));
    groups.extend(triples.iter().map(|triple| (triple.clone(), chosen(triple, &sides))));
    Machines { pairs: first, triples: put_together(&groups, &joints) }
}

/// Bags: each keeps other rows aside, as many positives and negatives in proportion.
fn bags(labels: &[bool], odds: f64, settings: &Settings) -> Vec<Bag> {
    (0..settings.bags.max(1))
        .map(|bag| {
            let mut random = Random::new(settings.seed, bag as u64 + 1);
            let (mut learn, mut aside) = (Vec::new(), Vec::new());
            for class in [false, true] {
                let mut rows: Vec<u32> =
                    (0..labels.len() as u32).filter(|&row| labels[row as usize] == class).collect();
                random.shuffle(&mut rows);
                let kept = (rows.len() as f64 * settings.aside).round() as usize;
                aside.extend_from_slice(&rows[..kept]);
                learn.extend_from_slice(&rows[kept..]);
            }
            // Rows in their own order are read in order.
            learn.sort_unstable();
            aside.sort_unstable();
            let odds = odds as f32;
            Bag { learn: Rows::new(learn, labels, odds), aside: Rows::new(aside, labels, odds) }
        })
        .collect()
}

/// Boosts the same terms in every bag; answers the mean tables.
fn stage(bags: &mut [Bag], terms: &[Term], pace: Pace) -> Vec<Vec<f64>> {
    let mut mean: Vec<Vec<f64>> = terms.iter().map(|term| vec![0.0; term.shape.cells()]).collect();
    let share = 1.0 / bags.len() as f64;
    for bag in bags {
        for (mean, table) in mean.iter_mut().zip(bag.boost(terms, pace)) {
            for (mean, logit) in mean.iter_mut().zip(table) {
                *mean += share * f64::from(logit);
            }
        }
    }
    mean
}

fn single(feature: &Feature, bins: &[u16]) -> Term {
    let size = feature.axis.bins();
    let shape = match feature.axis {
        Axis::Numbers(_) => Shape::Line(size),
        Axis::Words(_) => Shape::Words(size),
    };
    Term { shape, bins: bins.to_vec() }
}

fn chosen(features: &[usize], sides: &[Vec<u8>]) -> Vec<Vec<u8>> {
    features.iter().map(|&feature| sides[feature].clone()).collect()
}

fn joint_term(features: &[usize], sides: &[Vec<u8>], bins: &Bins) -> Term {
    let widths: Vec<usize> = features.iter().map(|&feature| width(&sides[feature])).collect();
    let cells = (0..bins[features[0]].len())
        .map(|row| {
            features.iter().zip(&widths).fold(0, |cell, (&feature, width)| {
                cell * width + usize::from(sides[feature][usize::from(bins[feature][row])])
            }) as u16
        })
        .collect();
    let shape = match widths[..] {
        [a, b] => Shape::Plane([a, b]),
        [a, b, c] => Shape::Space([a, b, c]),
        _ => Shape::Line(widths[0]),
    };
    Term { shape, bins: cells }
}

/// The bins of every feature put together into at most `most` sides of about equal numbers of rows:
/// intervals in order, words in the order of their own logits; what is missing comes first.
fn sides(features: &[Feature], bins: &Bins, tables: &[Vec<f64>], most: usize) -> Vec<Vec<u8>> {
    let side = |feature: usize| {
        let size = features[feature].axis.bins();
        let mut rows = vec![0usize; size];
        for bin in &bins[feature] {
            rows[usize::from(*bin)] += 1;
        }
        let mut order: Vec<usize> = (1..size).collect();
        if matches!(features[feature].axis, Axis::Words(_)) {
            let table = &tables[feature];
            order.sort_by(|&a, &b| table[a].total_cmp(&table[b]).then(a.cmp(&b)));
        }
        let mut side = vec![0u8; size];
        let (mut now, mut filled) = (u8::from(rows[0] > 0), 0);
        let mut left: usize = rows[1..].iter().sum();
        let mut sides_left = most - usize::from(now);
        for bin in order {
            if filled > 0 && rows[bin] > 0 && sides_left > 1 {
                // Closed when what it holds is nearer to an equal share than with this bin.
                let share = (left + filled) as f64 / sides_left as f64;
                if (filled as f64 + rows[bin] as f64 / 2.0) > share {
                    now += 1;
                    sides_left -= 1;
                    filled = 0;
                }
            }
            side[bin] = now;
            filled += rows[bin];
            left -= rows[bin];
        }
        side
    };
    (0..features.len()).map(side).collect()
}

/// Features without those that say the same as an earlier one: minutes and their price.
fn distinct(free: &[usize], features: &[Feature], bins: &Bins) -> Vec<usize> {
    let is_number = |feature: usize| matches!(features[feature].axis, Axis::Numbers(_));
    let mut kept: Vec<usize> = Vec::new();
    for &feature in free {
        let is_said = |&other: &usize| {
            is_number(other) && is_number(feature) && alike(&bins[other], &bins[feature])
        };
        if !kept.iter().any(is_said) {
            kept.push(feature);
        }
    }
    kept
}

/// Whether two columns of bins are the same but for little: by the correlation of their bins,
/// which are ranks.
pub(crate) fn alike(a: &[u16], b: &[u16]) -> bool {
    let n = a.len() as f64;
    let mean = |bins: &[u16]| bins.iter().map(|bin| f64::from(*bin)).sum::<f64>() / n;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x) - mean_a, f64::from(*y) - mean_b);
        (ab, aa, bb) = (ab + x * y, aa + x * x, bb + y * y);
    }
    ab * ab > 0.99 * aa * bb
}

fn sum_up(logits: &mut [f64], terms: &[Term], tables: &[Vec<f64>]) {
    for (term, table) in terms.iter().zip(tables) {
        for (logit, bin) in logits.iter_mut().zip(&term.bins) {
            *logit += table[usize::from(*bin)];
        }
    }
}

/// The nearest table that only rises, or only falls: pool adjacent violators (Ayer and others,
/// 1955), weighted by rows. The missing bin is free.
fn bend(table: &[f64], bins: &[u16], limit: Monotone) -> Vec<f64> {
    let mut rows = vec![1e-6; table.len()];
    for bin in bins {
        rows[usize::from(*bin)] += 1.0;
    }
    let sign = if limit == Monotone::Rising { 1.0 } else { -1.0 };
    let risen: Vec<f64> = table[1..].iter().map(|logit| sign * logit).collect();
    let mut bent = vec![table[0]];
    bent.extend(crate::calibrate::pool(&risen, &rows[1..]).into_iter().map(|logit| sign * logit));
    bent
}

/// Moves what a joint table holds of one feature alone into that feature's table, and centres all
/// tables on the rows, so that contributions are against the average row. Scores stay the same.
fn purify(machine: &mut Machine, bins: &Bins) {
    let rows = bins.first().map_or(0, Vec::len);
    for joint in &mut machine.joints {
        let widths = joint.widths();
        let mut counts = vec![0.0; joint.table.len()];
        for row in 0..rows {
            let cell = joint.features.iter().zip(&joint.sides).zip(&widths).fold(
                0,
                |cell, ((&feature, side), width)| {
                    cell * width + usize::from(side[usize::from(bins[feature][row])])
                },
            );
            counts[cell] += 1.0;
        }
        for _ in 0..20 {
            for place in 0..widths.len() {
                let stride: usize = widths[place + 1..].iter().product();
                let mut sums = vec![(0.0, 0.0); widths[place]];
                for (cell, logit) in joint.table.iter().enumerate() {
                    let at = &mut sums[cell / stride % widths[place]];
                    *at = (at.0 + counts[cell] * logit, at.1 + counts[cell]);
                }
                let means: Vec<f64> =
                    sums.iter().map(|(sum, n)| if *n > 0.0 { sum / n } else { 0.0 }).collect();
                for (cell, logit) in joint.table.iter_mut().enumerate() {
                    *logit -= means[cell / stride % widths[place]];
                }
                let own = &mut machine.tables[joint.features[place]];
                for (bin, side) in joint.sides[place].iter().enumerate() {
                    own[bin] += means[usize::from(*side)];
                }
            }
        }
        // Where no row was, nothing is known of the pair.
        for (logit, count) in joint.table.iter_mut().zip(&counts) {
            if *count == 0.0 {
                *logit = 0.0;
            }
        }
    }
    for (table, bins) in machine.tables.iter_mut().zip(bins) {
        let mut counts = vec![0.0; table.len()];
        for bin in bins {
            counts[usize::from(*bin)] += 1.0;
        }
        let sum: f64 = table.iter().zip(&counts).map(|(logit, n)| logit * n).sum();
        let mean = sum / rows.max(1) as f64;
        for (logit, count) in table.iter_mut().zip(&counts) {
            *logit = if *count > 0.0 { *logit - mean } else { 0.0 };
        }
        machine.base += mean;
    }
}

/// The base at which the mean prediction is the share of positives, by Newton's method.
fn settle(machine: &Machine, bins: &Bins, labels: &[bool]) -> f64 {
    let logits: Vec<f64> = (0..labels.len())
        .map(|row| machine.logit(|feature| usize::from(bins[feature][row])) - machine.base)
        .collect();
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let mut base = machine.base;
    for _ in 0..20 {
        let (mut sum, mut curvature) = (0.0, 0.0);
        for logit in &logits {
            let p = crate::special::sigmoid(base + logit);
            sum += p;
            curvature += p * (1.0 - p);
        }
        let step = (positives - sum) / (curvature + 1e-6);
        base += step.clamp(-1.0, 1.0);
        if step.abs() < 1e-9 {
            break;
        }
    }
    base
}

impl Machine {
    /// The logit of a row, given the bin of each feature.
    pub fn logit(&self, bin: impl Fn(usize) -> usize) -> f64 {
        let own: f64 =
            self.tables.iter().enumerate().map(|(feature, table)| table[bin(feature)]).sum();
        let joint: f64 =
            self.joints
                .iter()
                .map(|joint| {
                    let cell =
                        joint.features.iter().zip(&joint.sides).fold(0, |cell, (&f, side)| {
                            cell * width(side) + usize::from(side[bin(f)])
                        });
                    joint.table[cell]
                })
                .sum();
        self.base + own + joint
    }
}
