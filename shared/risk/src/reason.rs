//! Reasons: why a probability is what it is, in words and in numbers.
//!
//! A reason's factor is exact: it is `e` to the contribution, by which the odds are multiplied
//! against the average row; without it the probability would be `what_if`. Features that say the same
//! are told as one. The order is stable: by strength, then by name.

use std::borrow::Cow;

use serde::Serialize;

use crate::feature::{Axis, Feature};
use crate::model::Model;
use crate::score::{Score, Scorer};
use crate::special::sigmoid;

/// A reason weaker than this, in logits, is not told: it changes the odds by less than a tenth.
const LEAST: f64 = 0.1;
/// About the length of a sentence, in bytes.
const SENTENCE: usize = 160;

/// One reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason<'m> {
    /// The feature.
    pub feature: &'m str,
    /// For programs: the feature in capitals, and whether it raises or lowers.
    pub code: &'m str,
    /// Its value, as text; `missing` where it is.
    pub value: Cow<'m, str>,
    /// Its usual value.
    pub typical: &'m str,
    /// What it adds to the logit.
    pub contribution: f64,
    /// By what it multiplies the odds.
    pub odds_factor: f64,
    /// The probability if this were as in the average row, all else the same.
    pub what_if: f64,
    /// Whether something can be done about it.
    pub actionable: bool,
    /// All of it as a sentence.
    pub text: String,
}

/// How numbers and events are named in sentences.
pub trait Phrases {
    /// What the odds are of, such as `leaving`.
    fn event(&self) -> &str;

    /// Writes a sentence's beginning: the feature and its value against what is usual.
    fn fact(&self, feature: &Feature, value: &str, typical: &str, into: &mut String) {
        into.push_str(&feature.name);
        match value {
            "missing" => {
                into.push_str(" is not known");
            }
            value if value == typical => {
                into.push_str(" is ");
                into.push_str(value);
                into.push_str(", as usual");
                return;
            }
            value => {
                into.push_str(" is ");
                into.push_str(value);
            }
        }
        into.push_str(" (usually ");
        into.push_str(typical);
        into.push(')');
    }
}

/// Names as in the table.
#[derive(Debug, Clone)]
pub struct Plain {
    /// What the odds are of.
    pub event: String,
}

impl Phrases for Plain {
    fn event(&self) -> &str {
        &self.event
    }
}

/// What is said of a feature in every row: prepared once, so that a sentence is soon written.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    raises: String,
    lowers: String,
    typical: String,
    /// The features whose reasons are told with this one's, itself first; none where another tells
    /// this one's.
    members: Vec<usize>,
}

pub(crate) fn words(model: &Model) -> Vec<Words> {
    let features = &model.features;
    let mut told = vec![false; features.len()];
    let mut words = Vec::with_capacity(features.len());
    for (place, feature) in features.iter().enumerate() {
        let mut members = Vec::new();
        if !told[place] {
            let alike =
                |other: &usize| !told[*other] && feature.family.contains(&features[*other].name);
            members.push(place);
            members.extend((place + 1..features.len()).filter(alike));
            members.iter().for_each(|&member| told[member] = true);
        }
        let code = code(&feature.name);
        words.push(Words {
            raises: format!("{code}_RAISES"),
            lowers: format!("{code}_LOWERS"),
            typical: value_text(feature, feature.typical).into_owned(),
            members,
        });
    }
    words
}

/// The reasons of a score: at most `raising` that raise it, then at most `lowering` that lower it.
#[must_use]
pub fn reasons<'m>(
    scorer: &'m Scorer,
    row: &[f64],
    score: &Score,
    [raising, lowering]: [usize; 2],
    phrases: &impl Phrases,
) -> Vec<Reason<'m>> {
    let features = &scorer.model().features;
    let mut sums: Vec<(usize, f64)> = Vec::with_capacity(features.len());
    for Words { members, .. } in scorer.words() {
        let sum: f64 = members.iter().map(|&member| score.contributions[member]).sum();
        if sum.abs() >= LEAST {
            // The member that says most of it speaks for all.
            let strength = |member: usize| score.contributions[member] * sum.signum();
            let most = |a: &&usize, b: &&usize| strength(**a).total_cmp(&strength(**b));
            if let Some(&speaker) = members.iter().max_by(most) {
                sums.push((speaker, sum));
            }
        }
    }
    sums.sort_unstable_by(|a, b| {
        let name = |place: usize| &features[place].name;
        b.1.abs().total_cmp(&a.1.abs()).then_with(|| name(a.0).cmp(name(b.0)))
    });
    let mut told = Vec::with_capacity(raising + lowering);
    let up = sums.iter().filter(|(_, sum)| *sum > 0.0).take(raising);
    let down = sums.iter().filter(|(_, sum)| *sum < 0.0).take(lowering);
    for &(place, sum) in up.chain(down) {
        told.push(one(scorer, place, row[place], sum, score, phrases));
    }
    told
}

fn one<'m>(
    scorer: &'m Scorer,
    place: usize,
    cell: f64,
    sum: f64,
    score: &Score,
    phrases: &impl Phrases,
) -> Reason<'m> {
    let feature = &scorer.model().features[place];
    let words = &scorer.words()[place];
    let value = value_text(feature, cell);
    let (odds_factor, what_if) = (libm::exp(sum), sigmoid(score.logit - sum));
    let mut text = String::with_capacity(SENTENCE);
    phrases.fact(feature, &value, &words.typical, &mut text);
    text.push_str(": multiplies the odds of ");
    text.push_str(phrases.event());
    text.push_str(" by ");
    push_short(odds_factor, &mut text);
    text.push_str("; without that it would be ");
    push_percent(what_if, &mut text);
    text.push_str(", not ");
    push_percent(score.probability, &mut text);
    Reason {
        feature: &feature.name,
        code: if sum > 0.0 { &words.raises } else { &words.lowers },
        value,
        typical: &words.typical,
        contribution: sum,
        odds_factor,
        what_if,
        actionable: !feature.is_context,
        text,
    }
}

/// A feature's name in capitals, digits and underscores.
#[must_use]
pub fn code(name: &str) -> String {
    let mut code = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            code.push(letter.to_ascii_uppercase());
        } else if !code.ends_with('_') {
            code.push('_');
        }
    }
    code.trim_matches('_').to_owned()
}

/// A cell as text.
#[must_use]
pub fn value_text(feature: &Feature, cell: f64) -> Cow<'_, str> {
    match &feature.axis {
        _ if cell.is_nan() => Cow::Borrowed("missing"),
        Axis::Numbers(_) => Cow::Owned(short(cell)),
        Axis::Words(words) => {
            Cow::Borrowed(words.get(cell.max(0.0) as usize).map_or("a rare word", String::as_str))
        }
    }
}

/// A number to three figures, or as it is when it is a small whole one.
#[must_use]
pub fn short(number: f64) -> String {
    let mut text = String::with_capacity(8);
    push_short(number, &mut text);
    text
}

/// Writes a number as [`short`] does. Whole numbers are written digit by digit: the shortest form of
/// a float takes ten times as long to find.
fn push_short(number: f64, into: &mut String) {
    let size = number.abs();
    if size == 0.0 {
        into.push('0');
        return;
    }
    if !(1e-4..1e7).contains(&size) {
        use std::fmt::Write as _;
        let _ = write!(into, "{number:.2e}");
        return;
    }
    let mut digits = 0;
    let mut below = 100.0;
    while size < below && digits < 6 {
        digits += 1;
        below /= 10.0;
    }
    push_fixed(number, digits, into);
}

const TENS: [f64; 8] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7];

/// Writes a number below 10,000,000 with so many decimal places, at most seven, and without zeros at
/// its end.
fn push_fixed(number: f64, mut digits: usize, into: &mut String) {
    let mut scaled = libm::round(number.abs() * TENS[digits]) as u64;
    if number < 0.0 && scaled > 0 {
        into.push('-');
    }
    while digits > 0 && scaled.is_multiple_of(10) {
        scaled /= 10;
        digits -= 1;
    }
    let mut buffer = [b'0'; 24];
    let mut at = buffer.len();
    let mut place = 0;
    while scaled > 0 || place <= digits {
        if place == digits && digits > 0 {
            at -= 1;
            buffer[at] = b'.';
        }
        at -= 1;
        buffer[at] = b'0' + (scaled % 10) as u8;
        scaled /= 10;
        place += 1;
    }
    into.extend(buffer[at..].iter().map(|digit| char::from(*digit)));
}

/// A probability in percent: one figure more where it is small.
#[must_use]
pub fn percent(probability: f64) -> String {
    let mut text = String::with_capacity(8);
    push_percent(probability, &mut text);
    text
}

fn push_percent(probability: f64, into: &mut String) {
    match probability * 100.0 {
        below if below < 0.1 => into.push_str("less than 0.1"),
        small if small < 3.0 => push_fixed(small, 1, into),
        over if over >= 99.5 => into.push_str("more than 99"),
        other => push_fixed(other, 0, into),
    }
    into.push_str(" %");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        for (number, text) in [
            (3.0, "3"),
            (29.85, "29.9"),
            (1_889.5, "1890"),
            (0.012_34, "0.0123"),
            (0.0, "0"),
            (-2.5, "-2.5"),
            (0.999_6, "1"),
            (99.96, "100"),
            (0.000_123_4, "0.000123"),
            (-0.000_5, "-0.0005"),
            (120.0, "120"),
            (9_999_999.4, "9999999"),
            (1e12, "1.00e12"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            [percent(0.0001), percent(0.012), percent(0.31), percent(0.999)],
            ["less than 0.1 %", "1.2 %", "31 %", "more than 99 %"]
        );
        assert_eq!(
            [percent(0.02), percent(0.995), percent(1.0)],
            ["2 %", "more than 99 %", "more than 99 %"]
        );
    }

    #[test]
    fn a_code_is_for_programs() {
        assert_eq!(code("Total charges (28 d)"), "TOTAL_CHARGES_28_D");
    }
}
