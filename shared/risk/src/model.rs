//! The model: what a training leaves behind, and all that scoring needs.
//!
//! It is a sum of parts, so that every score comes with its exact reasons: `base` and the
//! contributions of the features add up to the logit of the probability. A person can read its JSON
//! and mend a table; the hash tells that it was changed.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::band::Band;
use crate::calibrate::Calibrator;
use crate::drift::Shares;
use crate::ebm::{Joint, Machine};
use crate::feature::{Axis, Feature, rounded};
use crate::logistic::{Part, Regression};
use crate::metrics::Figures;
use crate::score::mean_and_spread;

/// The version of the form.
pub const FORMAT: u32 = 1;
/// A model is never larger, in bytes of JSON.
pub const MOST_BYTES: usize = 64 * 1024;

/// A feature whose part moves the logit by less than this is not missed.
const HARDLY: f64 = 0.002;

/// What kind of model it is: the rungs of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The same for everybody.
    BaseRate,
    /// Ridge logistic regression.
    Logistic,
    /// An explainable boosting machine.
    Ebm,
}

impl Kind {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::BaseRate => "base_rate",
            Kind::Logistic => "logistic",
            Kind::Ebm => "ebm",
        }
    }
}

/// A trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// [`FORMAT`].
    pub format: u32,
    /// SHA-256 of the rest, as hexadecimal.
    pub hash: String,
    /// Its kind.
    pub kind: Kind,
    /// The column that was learnt.
    pub target: String,
    /// The word of that column that counts as positive.
    pub positive: String,
    /// The rows it was trained on.
    pub rows: usize,
    /// How many of them were positive.
    pub positives: usize,
    /// What chance started from.
    pub seed: u64,
    /// Out-of-fold figures.
    pub figures: Figures,
    /// The bands of the probability.
    pub bands: Vec<Band>,
    /// The logit of the average row.
    pub base: f64,
    /// How the logit becomes that of the probability.
    pub calibrator: Calibrator,
    /// The probabilities of the training rows: what drift of the scores is measured against.
    pub scores: Shares,
    /// What it looks at.
    pub features: Vec<Feature>,
    /// The part of each feature.
    pub parts: Vec<Part>,
    /// Which bins of a feature make a side of a joint table: a letter for each bin.
    pub sides: Vec<String>,
    /// Tables of pairs and triples.
    pub joints: Vec<JointTable>,
}

/// A table over two or three features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointTable {
    /// The features, by their place.
    pub features: Vec<usize>,
    /// Their sides, by place in [`Model::sides`].
    pub sides: Vec<usize>,
    /// Thousandths of a logit, the last feature running fastest.
    pub thousandths: Vec<i32>,
}

/// What may be wrong with a model that is read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It is no model.
    #[error("it is no model: {0}")]
    Form(#[from] serde_json::Error),
    /// Of another version.
    #[error("it has format {0}; this version reads {FORMAT}: train it again")]
    Format(u32),
    /// Its parts do not fit together.
    #[error("its parts do not fit together: {0}")]
    Shape(&'static str),
    /// It is larger than a model can be.
    #[error("it has {0} bytes; a model has at most {MOST_BYTES}")]
    Size(usize),
}

/// The letter of a side.
fn letter(side: u8) -> char {
    char::from_digit(u32::from(side), 36).unwrap_or('z')
}

fn side_of(letter: char) -> Option<usize> {
    letter.to_digit(36).map(|side| side as usize)
}

/// The tables of a machine in the form of a model: parts, sides and joints.
pub(crate) fn machine_parts(machine: &Machine) -> (Vec<Part>, Vec<String>, Vec<JointTable>) {
    let round = |table: &Vec<f64>| Part::Table(table.iter().map(|x| rounded(*x, 4)).collect());
    let mut sides: Vec<String> = Vec::new();
    let joints = machine.joints.iter().map(|joint| joint_table(joint, &mut sides)).collect();
    (machine.tables.iter().map(round).collect(), sides, joints)
}

fn joint_table(joint: &Joint, sides: &mut Vec<String>) -> JointTable {
    let place = |side: &Vec<u8>| {
        let text: String = side.iter().map(|side| letter(*side)).collect();
        sides.iter().position(|known| *known == text).unwrap_or_else(|| {
            sides.push(text);
            sides.len() - 1
        })
    };
    let thousandths = joint.table.iter().map(|logit| (logit * 1e3).round() as i32).collect();
    let features = joint.features.clone();
    JointTable { features, sides: joint.sides.iter().map(place).collect(), thousandths }
}

/// The parts of a regression, rounded to what is worth writing down.
pub(crate) fn regression_parts(regression: &Regression) -> Vec<Part> {
    let round = |part: &Part| match part {
        Part::Table(table) => Part::Table(table.iter().map(|x| rounded(*x, 5)).collect()),
        Part::Line(line) => Part::Line(line.clone()),
    };
    regression.parts.iter().map(round).collect()
}

impl Model {
    /// The hash of everything but the hash.
    #[must_use]
    pub fn digest(&self) -> String {
        let bare = Model { hash: String::new(), ..self.clone() };
        let bytes = serde_json::to_vec(&bare).unwrap_or_default();
        Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether it is as it was trained, and nobody mended it since.
    #[must_use]
    pub fn is_as_trained(&self) -> bool {
        self.hash == self.digest()
    }

    /// Seals it: what matters least goes until it is as small as a model may be, and the hash is
    /// taken.
    pub(crate) fn seal(&mut self) {
        // The hash is yet to come.
        self.shrink(MOST_BYTES - 80);
    }

    /// Makes it at most so many bytes of JSON. First go intervals that no score depends on, then
    /// features that hardly move the logit, joints, and the other features, each time what matters
    /// least. What a feature added on the mean stays in the base, so that the average row keeps its
    /// probability. The hash is taken anew.
    pub fn shrink(&mut self, most_bytes: usize) {
        if self.to_json().len() > most_bytes {
            self.coarsen();
        }
        while self.to_json().len() > most_bytes {
            let feature = self.least_feature();
            match (feature, self.least_joint()) {
                (Some((place, spread)), _) if spread < HARDLY => self.forget(place),
                (_, Some(joint)) => {
                    self.joints.remove(joint);
                    self.forget_sides();
                }
                (Some((place, _)), None) => self.forget(place),
                (None, None) => break,
            }
        }
        self.hash = self.digest();
    }

    /// Of a feature whose part is a line, intervals only tell its drift, and for that tenths will do.
    fn coarsen(&mut self) {
        for (feature, part) in self.features.iter_mut().zip(&self.parts) {
            let (Part::Line(_), Axis::Numbers(cuts)) = (part, &mut feature.axis) else { continue };
            let all: u32 = feature.shares.iter().skip(1).sum();
            let (mut kept, mut filled) = (Vec::new(), 0);
            let mut shares = feature.shares[..1].to_vec();
            for (place, share) in feature.shares.iter().skip(1).enumerate() {
                filled += share;
                if let (Some(cut), true) = (cuts.get(place), filled * 10 >= all) {
                    kept.push(*cut);
                    shares.push(filled);
                    filled = 0;
                }
            }
            shares.push(filled);
            (*cuts, feature.shares) = (kept, shares);
        }
    }

    /// The joint that moves the logit least.
    fn least_joint(&self) -> Option<usize> {
        let weight = |joint: &JointTable| -> i64 {
            let sum: i64 = joint.thousandths.iter().map(|x| i64::from(x.abs())).sum();
            sum * 100 / joint.thousandths.len().max(1) as i64
        };
        (0..self.joints.len()).min_by_key(|&joint| weight(&self.joints[joint]))
    }

    /// The feature of no joint that moves the logit least, and by how much it does; of equal ones the
    /// last.
    fn least_feature(&self) -> Option<(usize, f64)> {
        let each = self.features.iter().zip(&self.parts).enumerate();
        let alone = each
            .filter(|(place, _)| self.joints.iter().all(|joint| !joint.features.contains(place)));
        let spread = |(place, (feature, part))| (place, mean_and_spread(feature, part).1);
        alone.map(spread).min_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    }

    /// Looks at a feature no more; it is in no joint.
    fn forget(&mut self, place: usize) {
        let (feature, part) = (self.features.remove(place), self.parts.remove(place));
        let mean = mean_and_spread(&feature, &part).0;
        self.base = rounded(self.base + mean, 9);
        for other in &mut self.features {
            other.family.retain(|name| *name != feature.name);
        }
        let later = self.joints.iter_mut().flat_map(|joint| &mut joint.features);
        later.filter(|other| **other > place).for_each(|other| *other -= 1);
    }

    /// Drops the sides that no joint has any more.
    fn forget_sides(&mut self) {
        for place in (0..self.sides.len()).rev() {
            if self.joints.iter().any(|joint| joint.sides.contains(&place)) {
                continue;
            }
            self.sides.remove(place);
            let later = self.joints.iter_mut().flat_map(|joint| &mut joint.sides);
            later.filter(|other| **other > place).for_each(|other| *other -= 1);
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads JSON and checks that its parts fit together.
    ///
    /// # Errors
    /// When it is too large, no model, of another format, or inconsistent.
    pub fn from_json(json: &str) -> Result<Model, ModelError> {
        if json.len() > MOST_BYTES {
            return Err(ModelError::Size(json.len()));
        }
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_str(json)?;
        if head.format != FORMAT {
            return Err(ModelError::Format(head.format));
        }
        let model: Model = serde_json::from_str(json)?;
        model.check().map_err(ModelError::Shape)?;
        Ok(model)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.parts.len() != self.features.len() {
            return Err("as many parts as features are needed");
        }
        if self.bands.is_empty() {
            return Err("there is no band");
        }
        for (feature, part) in self.features.iter().zip(&self.parts) {
            let bins = feature.axis.bins();
            if feature.shares.len() != bins {
                return Err("a feature's shares do not fit its bins");
            }
            match part {
                Part::Table(table) if table.len() != bins => {
                    return Err("a feature's table does not fit its bins");
                }
                Part::Line(line) if line.range[0] > line.range[1] || line.range[0].is_nan() => {
                    return Err("a line's range is the wrong way round");
                }
                _ => {}
            }
            if let Axis::Numbers(cuts) = &feature.axis
                && !cuts.is_sorted()
            {
                return Err("a feature's cuts do not rise");
            }
        }
        if let Calibrator::Isotonic { from, to } = &self.calibrator
            && (from.len() != to.len() || !from.is_sorted() || !to.is_sorted())
        {
            return Err("the calibrator does not rise");
        }
        for joint in &self.joints {
            let mut cells = 1;
            if joint.features.len() != joint.sides.len() || joint.features.len() < 2 {
                return Err("a joint table's features do not fit its sides");
            }
            for (feature, side) in joint.features.iter().zip(&joint.sides) {
                let feature =
                    self.features.get(*feature).ok_or("a joint's feature is not there")?;
                let side = self.sides.get(*side).ok_or("a joint's side is not there")?;
                let width = width_of(side).ok_or("a side has a sign that is no side")?;
                if side.chars().count() != feature.axis.bins() {
                    return Err("a side does not fit its feature's bins");
                }
                cells *= width;
            }
            if cells != joint.thousandths.len() {
                return Err("a joint table does not fit its sides");
            }
        }
        Ok(())
    }
}

/// How many sides a text of letters tells.
fn width_of(side: &str) -> Option<usize> {
    let mut most = 0;
    for letter in side.chars() {
        most = most.max(side_of(letter)?);
    }
    Some(most + 1)
}

/// The sides of a text of letters.
pub(crate) fn sides_of(side: &str) -> Vec<u8> {
    side.chars().map(|letter| side_of(letter).unwrap_or(0) as u8).collect()
}
