//! Churn risk: which model tells it, and what that needs.

use std::collections::BTreeSet;

use super::{Known, Loader, text};
use crate::alive::DAILY_DAYS;
use crate::decide::VISIBLE;
use crate::expr::{Expected, Type};
use crate::learn::input::{self, KEEP_DAYS};
use crate::learn::{ALIVE, Input, InputKind};
use crate::lifecycle::file;
use crate::lifecycle::{Alive, Learned, Leaves, Metric, RiskModel, Scorecard, Trait};
use crate::measure::{Counting, Measures, Need};
use crate::period::{DAY, Period};
use crate::stakes::{Acting, Stakes};
use crate::yaml::Spanned;

/// The bands of risk where the file names none.
const RISK_BANDS: [&str; 4] = ["low", "elevated", "high", "critical"];

/// A model that is learnt tells it so many days ahead where the file says nothing.
const LEAD_DAYS: u32 = 7;
/// The most events that a model looks at.
const MOST_EVENTS: usize = 30;
/// Keys that have no meaning with a scorecard.
const SCORECARD_HAS_NOT: &[&str] = &["event", "horizon", "leaves", "lead", "learn_from", "ignore"];
/// Keys that have no meaning with the rhythm alone.
const ALIVE_HAS_NOT: &[&str] = &["leaves", "lead", "learn_from", "ignore"];

/// Everything that a model looks at, but what is ignored.
fn inputs(
    events: &[(String, usize)],
    traits: &[Trait],
    metrics: &[Metric],
    ignored: &[String],
) -> Vec<Input> {
    let mut inputs = vec![Input { name: ALIVE.to_owned(), kind: InputKind::Alive }];
    if let Some((main, measure)) = events.first() {
        let main = (main.as_str(), *measure);
        inputs.extend(
            events.iter().flat_map(|(event, measure)| input::of_event(event, *measure, main)),
        );
    }
    // What accounts below count was not read for the past, and would be something else now.
    for (index, metric) in metrics.iter().enumerate().filter(|(_, metric)| !metric.rolls_up) {
        let (name, kind) = (format!("metrics.{}", metric.name), InputKind::Metric(index));
        inputs.push(Input { name, kind });
    }
    // A free text tells one from another, and groups nobody.
    let telling = traits.iter().enumerate().filter(|(_, declared)| declared.ty != Type::Text);
    for (index, declared) in telling {
        let (name, kind) = (format!("traits.{}", declared.name), InputKind::Trait(index));
        inputs.push(Input { name, kind });
    }
    inputs.push(Input { name: "tenure".to_owned(), kind: InputKind::Tenure });
    inputs.retain(|input| !ignored.contains(&input.name));
    inputs
}

/// The names of the bands of risk.
pub(super) fn risk_bands(risk: &file::Risk) -> Vec<&str> {
    match risk.bands.fixed.0.as_slice() {
        [] => RISK_BANDS.to_vec(),
        bands => bands.iter().map(|(name, _)| name.value.as_str()).collect(),
    }
}

impl Loader<'_> {
    pub(super) fn risk(
        &mut self,
        risk: &file::Risk,
        health: Option<&file::Scorecard>,
        told: (&[Trait], &[Metric]),
        measures: &mut Measures,
    ) -> Option<RiskModel> {
        match risk.model.value.as_str() {
            "scorecard" => {
                self.needless(risk, SCORECARD_HAS_NOT, "a scorecard has no");
                self.risk_scorecard(risk, health).map(RiskModel::Scorecard)
            }
            "alive" => {
                self.needless(risk, ALIVE_HAS_NOT, "`model: alive` has no");
                self.alive(risk, measures).map(RiskModel::Alive)
            }
            name => match &risk.leaves {
                Some(leaves) => {
                    let learned = self.learned(name, risk, leaves, told, measures);
                    learned.map(Box::new).map(RiskModel::Learned)
                }
                None => {
                    let message = format!("there is no risk model `{name}`");
                    self.error(&risk.model.referenced, message).help = Some(
                        "use `model: scorecard` or `model: alive`; to learn a model of this name, say what \
                         counts as leaving, as in `leaves: { with: subscription_cancelled }`"
                            .into(),
                    );
                    None
                }
            },
        }
    }

    /// What is lost when a customer leaves, and from which risk on acting pays.
    pub(super) fn stakes(&mut self, risk: &file::Risk) -> Option<Stakes> {
        let acting = risk.bands.by_cost.as_ref().map(|(name, by_cost)| {
            let file::ByCost { acting_costs, success_rate } = &by_cost.value;
            if let Some((fixed, _)) = risk.bands.fixed.0.first() {
                let message =
                    format!("bands go by cost, or begin where they are said to: `{}`", fixed.value);
                self.error(&fixed.referenced, message).help =
                    Some("remove `by_cost`, or the bands beside it".into());
            }
            if risk.value.is_none() {
                let message = "bands by cost need the `value` that is lost when a customer leaves";
                self.error(&name.referenced, message).help =
                    Some("add it under `risk`, as in `value: traits.mrr * 12`".into());
            }
            if !(acting_costs.value > 0.0 && acting_costs.value.is_finite()) {
                self.error(&acting_costs.referenced, "what acting costs is more than 0").help =
                    Some("in the unit of `value`, as in `acting_costs: 150`".into());
            }
            if !(success_rate.value > 0.0 && success_rate.value <= 1.0) {
                self.error(
                    &success_rate.referenced,
                    "a success rate is more than 0 and at most 1",
                )
                .help = Some("the share of leaving customers that acting keeps, as in 0.2".into());
            }
            Acting { costs: acting_costs.value, success_rate: success_rate.value }
        });
        let scope = self.facts.clone();
        let value = self.expression(risk.value.as_ref()?, &scope, Expected::Number)?;
        Some(Stakes { value, acting })
    }

    /// How much of a rise is told by itself.
    pub(super) fn rise_alert(&mut self, risk: &file::Risk) -> Option<f64> {
        let least = risk.drop_alert.as_ref()?;
        if !(VISIBLE..=1.0).contains(&least.value) {
            let message = format!("a rise that is told is from {VISIBLE} to 1");
            self.error(&least.referenced, message).help = Some(
                "write it as a share, as in `drop_alert: 0.2`: from 30 % to 50 % is such a rise; moves of \
                 less than five points are everyday"
                    .into(),
            );
        }
        Some(least.value)
    }

    /// Says which keys have no meaning with a model.
    fn needless(&mut self, risk: &file::Risk, keys: &[&str], of: &str) {
        let places = [
            ("event", risk.event.as_ref().map(|word| word.referenced)),
            ("horizon", risk.horizon.as_ref().map(|word| word.referenced)),
            ("leaves", risk.leaves.as_ref().map(|leaves| leaves.referenced)),
            ("lead", risk.lead.as_ref().map(|word| word.referenced)),
            ("learn_from", risk.learn_from.as_ref().map(|list| list.referenced)),
            ("ignore", risk.ignore.as_ref().map(|list| list.referenced)),
        ];
        for (key, place) in places {
            if let (true, Some(place)) = (keys.contains(&key), place) {
                self.error(&place, format!("{of} `{key}`")).help =
                    Some("remove it, or use another `model`".into());
            }
        }
    }

    fn risk_scorecard(
        &mut self,
        risk: &file::Risk,
        health: Option<&file::Scorecard>,
    ) -> Option<Scorecard> {
        let Some(factors) = risk.factors.as_ref().or(health.map(|card| &card.factors)) else {
            self.error(&risk.model.referenced, "a scorecard needs `factors`").help =
                Some("give them here, or under `health:`".into());
            return None;
        };
        Some(self.scorecard(factors, &risk.bands.fixed, 1.0, &RISK_BANDS))
    }

    /// The probability of no further event: its event is counted for ever, and day by day for long
    /// enough.
    fn alive(&mut self, risk: &file::Risk, measures: &mut Measures) -> Option<Alive> {
        if let Some(factors) = &risk.factors {
            let message = format!("`model: {}` has no factors", risk.model.value);
            self.error(&factors.referenced, message).help =
                Some("remove them: only a scorecard weighs factors".into());
        }
        let (Some(event), Some(horizon)) = (&risk.event, &risk.horizon) else {
            let message = format!("`model: {}` needs an `event` and a `horizon`", risk.model.value);
            self.error(&risk.model.referenced, message).help = Some(
                "name what customers do again and again, and how far ahead to look, as in `event: order` \
                 and `horizon: 90d`"
                    .into(),
            );
            return None;
        };
        let horizon_days = self.whole_days(horizon)?;
        let need = Need { keep_days: None, window: None };
        let measure = measures.add(Counting::Count, Some(text(event)), None, need);
        measures.keep_daily(DAILY_DAYS);
        let bands = self.bands(&risk.bands.fixed, 1.0, &RISK_BANDS);
        Some(Alive { event: text(event), measure, horizon_days, bands, fitted: None })
    }

    /// A model that is learnt.
    fn learned(
        &mut self,
        name: &str,
        risk: &file::Risk,
        leaves: &Spanned<file::Leaves>,
        (traits, metrics): (&[Trait], &[Metric]),
        measures: &mut Measures,
    ) -> Option<Learned> {
        self.is_name(&risk.model);
        let mut alive = self.alive(risk, measures)?;
        let lead_days = match &risk.lead {
            Some(word) => self.whole_days(word)?,
            None => LEAD_DAYS,
        };
        let horizon_days = alive.horizon_days;
        alive.horizon_days = lead_days + horizon_days;
        let leaves = self.leaves(leaves, traits, measures)?;
        let mut names: Vec<String> = match &risk.learn_from {
            Some(list) => list.value.iter().map(text).collect(),
            None => measures.list().iter().filter_map(|measure| measure.event.clone()).collect(),
        };
        names.insert(0, alive.event.clone());
        let mut known = BTreeSet::new();
        names.retain(|name| known.insert(name.clone()));
        if let Leaves::With(measure) = leaves {
            // Who left is not asked how often.
            names.retain(|name| measures.list()[measure].event.as_ref() != Some(name));
        }
        if let (Some(list), true) = (&risk.learn_from, names.len() > MOST_EVENTS) {
            self.error(&list.referenced, format!("at most {MOST_EVENTS} events are learnt from"));
        }
        names.truncate(MOST_EVENTS);
        let events: Vec<(String, usize)> = names
            .into_iter()
            .map(|name| {
                let need = Need { keep_days: Some(KEEP_DAYS), window: None };
                let measure = measures.add(Counting::Count, Some(name.clone()), None, need);
                (name, measure)
            })
            .collect();
        let ignored = self.ignored(risk, traits, metrics);
        let inputs = inputs(&events, traits, metrics, &ignored);
        let has_own_bands = !risk.bands.fixed.0.is_empty();
        Some(Learned {
            name: name.to_owned(),
            alive,
            leaves,
            lead_days,
            horizon_days,
            events,
            inputs,
            has_own_bands,
            ready: None,
        })
    }

    fn leaves(
        &mut self,
        written: &Spanned<file::Leaves>,
        traits: &[Trait],
        measures: &mut Measures,
    ) -> Option<Leaves> {
        // The newest one is always kept.
        let need = Need { keep_days: Some(2), window: None };
        let mut count =
            |word: &file::Word| measures.add(Counting::Count, Some(text(word)), None, need);
        let file::Leaves { with, without, renewal } = &written.value;
        match (with, without, renewal) {
            (Some(event), None, None) => Some(Leaves::With(count(event))),
            (None, Some(event), None) => Some(Leaves::Without(count(event))),
            (None, Some(event), Some(renewal)) => {
                let by = count(event);
                let paths: Vec<String> =
                    traits.iter().map(|declared| format!("traits.{}", declared.name)).collect();
                let names = paths.iter().map(String::as_str).collect();
                let date = self.find(renewal, &Known { kind: "trait", names })?;
                if traits[date].ty != Type::Date {
                    let message = format!("`{}` is no date", renewal.value);
                    self.error(&renewal.referenced, message).help =
                        Some("name a trait that is declared as `date?`".into());
                    return None;
                }
                Some(Leaves::NotRenewed { date, by })
            }
            _ => {
                let message =
                    "`leaves` is `with` an event, `without` an event, or `renewal` and `without`";
                self.error(&written.referenced, message).help = Some(
                    "as in `{ with: subscription_cancelled }`, `{ without: login }` or \
                     `{ renewal: traits.renewal_date, without: subscription_renewed }`"
                        .into(),
                );
                None
            }
        }
    }

    fn ignored(&mut self, risk: &file::Risk, traits: &[Trait], metrics: &[Metric]) -> Vec<String> {
        let traits = traits.iter().map(|declared| format!("traits.{}", declared.name));
        let paths: Vec<String> =
            traits.chain(metrics.iter().map(|metric| format!("metrics.{}", metric.name))).collect();
        let list = risk.ignore.iter().flat_map(|list| &list.value);
        list.filter_map(|word| {
            let names = paths.iter().map(String::as_str).collect();
            self.find(word, &Known { kind: "metric or trait", names })?;
            Some(text(word))
        })
        .collect()
    }

    /// A period of whole days.
    fn whole_days(&mut self, word: &file::Word) -> Option<u32> {
        match self.period(word)? {
            Period::Elapsed(seconds) if seconds >= DAY && seconds % DAY == 0 => {
                u32::try_from(seconds / DAY).ok()
            }
            Period::Elapsed(_) | Period::Workdays(_) => {
                let message = "the horizon of risk is a number of whole days, as in `90d`";
                self.error(&word.referenced, message);
                None
            }
        }
    }
}
