//! What a learnt model says of a customer, in sentences that somebody can act upon.

use risk::feature::Feature;
use risk::reason::{Phrases, Reason as Told, percent, reasons, short};
use risk::score::{Coverage, Score};
use risk::special::sigmoid;

use super::input::{InputKind, four_weeks_before, value};
use crate::alive::{self, days};
use crate::expr::Type;
use crate::facts::Facts;
use crate::journal::{Reason, number_json};
use crate::lifecycle::{Learned, Ready};
use crate::score::{PROBABILITY, Risk};
use crate::stakes;

/// Reasons that raise the risk, and reasons that lower it.
const TOLD: [usize; 2] = [3, 2];
/// With less than this share of what usually tells customers apart, it is said how unsure that is.
const KNOWN_ENOUGH: f64 = 0.8;

/// The risk of a customer. Until a model was learnt it is that of the rhythm alone. `None` for one that
/// is gone, or of whom nothing can be told.
#[must_use]
pub fn risk(facts: &Facts<'_>, learned: &Learned) -> Option<Risk> {
    if !learned.concerns(facts) {
        return None;
    }
    let Some(ready) = &learned.ready else { return alive::risk(facts, &learned.alive) };
    let rhythm = &learned.alive.fitted.as_ref()?.rhythm.params;
    let of = |place: &usize| value(facts, &learned.inputs[*place].kind, learned, rhythm);
    let row: Vec<f64> = ready.inputs.iter().map(of).collect();
    let mut score = Score::default();
    ready.scorer.score(&row, &mut score);
    let coverage = ready.scorer.coverage(&row, &score);
    Some(Risk {
        probability: score.probability,
        band: stakes::band(facts, &ready.bands, score.probability),
        coverage: coverage.known,
        revenue_at_risk: None,
        reasons: told(facts, learned, ready, &row, &score, &coverage),
    })
}

fn told(
    facts: &Facts<'_>,
    learned: &Learned,
    ready: &Ready,
    row: &[f64],
    score: &Score,
    coverage: &Coverage,
) -> Vec<Reason> {
    let Learned { horizon_days, lead_days, .. } = learned;
    let from = match lead_days {
        0 => String::new(),
        days => format!(", from {} on", alive::days(f64::from(*days))),
    };
    let feared = Reason {
        expression: format!(
            "leaves within {horizon_days} days{from}, with a probability of {}",
            percent(score.probability)
        ),
        value: number_json(score.probability),
        inputs: [
            (PROBABILITY.to_owned(), number_json(score.probability)),
            ("horizon_days".to_owned(), (*horizon_days).into()),
        ]
        .into(),
    };
    let sentences = Sentences { facts, before: facts.at(four_weeks_before(facts.as_of)), learned };
    let told = reasons(&ready.scorer, row, score, TOLD, &sentences);
    let mut all = vec![feared];
    all.extend(told.into_iter().map(|told| sentences.reason(told, row, ready)));
    if coverage.known < KNOWN_ENOUGH {
        all.push(Reason {
            expression: format!(
                "{} of what usually tells customers apart is known: the risk may be {} to {}",
                percent(coverage.known),
                percent(coverage.low),
                percent(coverage.high)
            ),
            value: number_json(coverage.known),
            inputs: [
                ("low".to_owned(), number_json(coverage.low)),
                ("high".to_owned(), number_json(coverage.high)),
            ]
            .into(),
        });
    }
    all
}

/// Sentences about one customer, against its own past.
struct Sentences<'a> {
    facts: &'a Facts<'a>,
    /// Four weeks before.
    before: Facts<'a>,
    learned: &'a Learned,
}

impl Sentences<'_> {
    fn kind(&self, feature: &str) -> Option<&InputKind> {
        let input = self.learned.inputs.iter().find(|input| input.name == feature);
        input.map(|input| &input.kind)
    }

    /// The name of a measure's event, in words.
    fn name(&self, measure: usize) -> String {
        let measure = &self.facts.lifecycle.measures.list()[measure];
        measure.event.as_deref().unwrap_or("activity").replace('_', " ")
    }

    /// What a number counts, in words.
    fn label(&self, kind: &InputKind) -> String {
        let lifecycle = self.facts.lifecycle;
        match *kind {
            InputKind::Metric(index) => lifecycle.metrics[index].name.replace('_', " "),
            InputKind::Trait(index) => {
                let declared = &lifecycle.traits[index];
                let name = declared.name.replace('_', " ");
                if declared.ty == Type::Date { format!("days until {name}") } else { name }
            }
            InputKind::Count { measure, days } => {
                format!("{} in {}", self.name(measure), alive::days(f64::from(days)))
            }
            InputKind::Trend(measure) => format!("the trend of {}", self.name(measure)),
            InputKind::ActiveDays(measure) => {
                format!("days with {}, of 28,", self.name(measure))
            }
            InputKind::Since(measure) => format!("days since {}", self.name(measure)),
            InputKind::Rate(measure) => format!("{} in 4 weeks, of 12,", self.name(measure)),
            InputKind::Ratio { measure, of } => {
                format!("{} for each {}", self.name(measure), self.name(of))
            }
            InputKind::Tenure => "days since the first event".to_owned(),
            InputKind::Alive => "the rhythm".to_owned(),
        }
    }

    fn past(&self, kind: &InputKind) -> Option<f64> {
        let rhythm = &self.learned.alive.fitted.as_ref()?.rhythm.params;
        let known = self.before.first_second() <= self.before.as_of.as_second();
        let past = known.then(|| value(&self.before, kind, self.learned, rhythm))?;
        (!past.is_nan()).then_some(past)
    }

    fn reason(&self, told: Told<'_>, row: &[f64], ready: &Ready) -> Reason {
        let features = &ready.scorer.model().features;
        let place = features.iter().position(|feature| feature.name == told.feature);
        let cell = place.map_or(f64::NAN, |place| row[place]);
        let value = match &features[place.unwrap_or(0)].axis {
            risk::feature::Axis::Words(_) => (*told.value).into(),
            risk::feature::Axis::Numbers(_) if cell.is_nan() => serde_json::Value::Null,
            risk::feature::Axis::Numbers(_) => number_json(cell),
        };
        let inputs = [
            (told.feature.to_owned(), value),
            ("code".to_owned(), told.code.into()),
            ("odds_factor".to_owned(), number_json(told.odds_factor)),
            ("what_if".to_owned(), number_json(told.what_if)),
            ("actionable".to_owned(), told.actionable.into()),
        ];
        Reason {
            expression: told.text,
            value: number_json(told.contribution),
            inputs: inputs.into(),
        }
    }
}

impl Phrases for Sentences<'_> {
    fn event(&self) -> &str {
        "leaving"
    }

    fn fact(&self, feature: &Feature, told: &str, typical: &str, into: &mut String) {
        let Some(kind) = self.kind(&feature.name) else { return into.push_str(&feature.name) };
        let label = self.label(kind);
        let now = self.learned.alive.fitted.as_ref().map_or(f64::NAN, |fitted| {
            value(self.facts, kind, self.learned, &fitted.rhythm.params)
        });
        let text = match *kind {
            InputKind::Alive => {
                let event = &self.learned.alive.event;
                let horizon = days(f64::from(self.learned.alive.horizon_days));
                format!(
                    "no {event} within {horizon} would have a probability of {} by the rhythm \
                     (usually {})",
                    percent(sigmoid(now)),
                    percent(sigmoid(feature.typical))
                )
            }
            InputKind::Trend(measure) if !now.is_nan() => {
                let (recent, all) = (self.facts.count(measure, 28), self.facts.count(measure, 56));
                let (before, event) = (all - recent, self.name(measure));
                match recent < before {
                    true => format!("{event} fell to {recent} in 28 days, was {before} before"),
                    false if recent > before => {
                        format!("{event} rose to {recent} in 28 days, was {before} before")
                    }
                    false => format!("{event} stayed at {recent} in 28 days"),
                }
            }
            _ if now.is_nan() => match kind {
                InputKind::Since(measure) => format!("{} never happened", self.name(*measure)),
                _ => format!("{label} is not known (usually {typical})"),
            },
            InputKind::Trait(_) | InputKind::Tenure => {
                format!("{label} is {told} (usually {typical})")
            }
            _ => match self.past(kind).filter(|past| short(*past) != short(now)) {
                Some(past) if past > now => {
                    format!(
                        "{label} fell to {told}, was {} four weeks before (usually {typical})",
                        short(past)
                    )
                }
                Some(past) => {
                    format!(
                        "{label} rose to {told}, was {} four weeks before (usually {typical})",
                        short(past)
                    )
                }
                None => format!("{label} is {told} (usually {typical})"),
            },
        };
        into.push_str(&text);
    }
}
