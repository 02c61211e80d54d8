//! Reasons: why a probability is what it is, in words and in numbers.
//!
//! A reason's factor is exact: it is `e` to the contribution, by which the odds are multiplied
//! against the average row; without it the probability would be `what_if`. Features that say the same
//! are told as one. The order is stable: by strength, then by name.

use serde::Serialize;

use crate::feature::{Axis, Feature};
use crate::score::{Score, Scorer};
use crate::special::sigmoid;

/// A reason weaker than this, in logits, is not told: it changes the odds by less than a tenth.
const LEAST: f64 = 0.1;

/// One reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// The feature.
    pub feature: String,
    /// For programs: the feature in capitals, and whether it raises or lowers.
    pub code: String,
    /// Its value, as text; `missing` where it is.
    pub value: String,
    /// Its usual value.
    pub typical: String,
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
    fn event(&self) -> String;

    /// A sentence's beginning: the feature and its value against what is usual.
    fn fact(&self, feature: &Feature, value: &str, typical: &str) -> String {
        let name = &feature.name;
        match value {
            "missing" => format!("{name} is not known (usually {typical})"),
            value if value == typical => format!("{name} is {value}, as usual"),
            value => format!("{name} is {value} (usually {typical})"),
        }
    }
}

/// Names as in the table.
#[derive(Debug, Clone)]
pub struct Plain {
    /// What the odds are of.
    pub event: String,
}

impl Phrases for Plain {
    fn event(&self) -> String {
        self.event.clone()
    }
}

/// The reasons of a score: at most `raising` that raise it, then at most `lowering` that lower it.
#[must_use]
pub fn reasons(
    scorer: &Scorer,
    row: &[f64],
    score: &Score,
    [raising, lowering]: [usize; 2],
    phrases: &impl Phrases,
) -> Vec<Reason> {
    let features = &scorer.model().features;
    let mut told = vec![false; features.len()];
    let mut sums: Vec<(usize, f64)> = Vec::new();
    for place in 0..features.len() {
        if told[place] {
            continue;
        }
        let mut members: Vec<usize> = vec![place];
        members.extend((place + 1..features.len()).filter(|&other| {
            !told[other] && features[place].family.contains(&features[other].name)
        }));
        let sum = members.iter().map(|&member| score.contributions[member]).sum();
        members.iter().for_each(|&member| told[member] = true);
        // The member that says most speaks for all.
        let strength = |member: usize| score.contributions[member].abs();
        let speaker = members.into_iter().max_by(|&a, &b| strength(a).total_cmp(&strength(b)));
        sums.push((speaker.unwrap_or(place), sum));
    }
    sums.retain(|(_, sum)| sum.abs() >= LEAST);
    sums.sort_by(|a, b| {
        let name = |place: usize| &features[place].name;
        b.1.abs().total_cmp(&a.1.abs()).then_with(|| name(a.0).cmp(name(b.0)))
    });
    let tell =
        |&(place, sum): &(usize, f64)| one(&features[place], row[place], sum, score, phrases);
    let up = sums.iter().filter(|(_, sum)| *sum > 0.0).take(raising);
    let down = sums.iter().filter(|(_, sum)| *sum < 0.0).take(lowering);
    up.chain(down).map(tell).collect()
}

fn one(feature: &Feature, cell: f64, sum: f64, score: &Score, phrases: &impl Phrases) -> Reason {
    let value = value_text(feature, cell);
    let typical = value_text(feature, feature.typical);
    let (odds_factor, what_if) = (libm::exp(sum), sigmoid(score.logit - sum));
    let way = if sum > 0.0 { "RAISES" } else { "LOWERS" };
    let text = format!(
        "{}: multiplies the odds of {} by {}; without that it would be {}, not {}",
        phrases.fact(feature, &value, &typical),
        phrases.event(),
        short(odds_factor),
        percent(what_if),
        percent(score.probability),
    );
    Reason {
        feature: feature.name.clone(),
        code: format!("{}_{way}", code(&feature.name)),
        value,
        typical,
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
pub fn value_text(feature: &Feature, cell: f64) -> String {
    match &feature.axis {
        _ if cell.is_nan() => "missing".to_owned(),
        Axis::Numbers(_) => short(cell),
        Axis::Words(words) => {
            words.get(cell.max(0.0) as usize).cloned().unwrap_or_else(|| "a rare word".to_owned())
        }
    }
}

/// A number to three figures, or as it is when it is a small whole one.
#[must_use]
pub fn short(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    if number.abs() >= 1e7 || number.abs() < 1e-4 {
        return format!("{number:.2e}");
    }
    let digits = 2 - libm::floor(libm::log10(number.abs())) as i32;
    let rounded = crate::feature::rounded(number, digits.max(0));
    format!("{rounded}")
}

/// A probability in percent: one figure more where it is small.
#[must_use]
pub fn percent(probability: f64) -> String {
    match probability * 100.0 {
        below if below < 0.1 => "less than 0.1 %".to_owned(),
        small if small < 3.0 => format!("{small:.1} %"),
        over if over > 99.5 => "more than 99 %".to_owned(),
        other => format!("{other:.0} %"),
    }
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
            (1e12, "1.00e12"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            [percent(0.0001), percent(0.012), percent(0.31), percent(0.999)],
            ["less than 0.1 %", "1.2 %", "31 %", "more than 99 %"]
        );
    }

    #[test]
    fn a_code_is_for_programs() {
        assert_eq!(code("Total charges (28 d)"), "TOTAL_CHARGES_28_D");
    }
}
