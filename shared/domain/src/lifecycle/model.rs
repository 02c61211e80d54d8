//! How churn risk is told.

use std::sync::Arc;

use risk::band::Band;
use risk::feature::rounded;
use risk::score::Scorer;
use sha2::{Digest, Sha256};

use super::{Lifecycle, Scorecard};
use crate::fitted::Fitted;
use crate::learn::input::definition;
use crate::learn::{Input, Knowledge};

/// How churn risk is told.
#[derive(Debug, Clone)]
pub enum RiskModel {
    /// As what a scorecard is short of.
    Scorecard(Scorecard),
    /// As the probability of no further event, by the rhythm of all customers.
    Alive(Alive),
    /// As what the workspace's own history teaches.
    Learned(Box<Learned>),
}

impl RiskModel {
    /// Its bands, from the lowest.
    #[must_use]
    pub fn bands(&self) -> &[Band] {
        match self {
            RiskModel::Scorecard(card) => &card.bands,
            RiskModel::Alive(alive) => &alive.bands,
            RiskModel::Learned(learned) => &learned.alive.bands,
        }
    }
}

/// The probability of no further event of a kind.
#[derive(Debug, Clone)]
pub struct Alive {
    /// The event.
    pub event: String,
    /// The count of it, an index into [`crate::measure::Measures::list`].
    pub measure: usize,
    /// How far ahead is looked.
    pub horizon_days: u32,
    /// The bands of the probability.
    pub bands: Vec<Band>,
    /// What the workspace's history taught; no part of the file.
    pub fitted: Option<Arc<Fitted>>,
}

/// A model that is learnt.
#[derive(Debug, Clone)]
pub struct Learned {
    /// Its name.
    pub name: String,
    /// What is told until it is learnt; its rhythm is one of the inputs.
    pub alive: Alive,
    /// What counts as leaving.
    pub leaves: Leaves,
    /// From so many days ahead it is told, so that somebody can act.
    pub lead_days: u32,
    /// Within so many days from then on.
    pub horizon_days: u32,
    /// The events that are learnt from, and the counts of them.
    pub events: Vec<(String, usize)>,
    /// What is looked at.
    pub inputs: Vec<Input>,
    /// Whether the file says where bands begin.
    pub has_own_bands: bool,
    /// The model made ready, once it was learnt; no part of the file.
    pub ready: Option<Arc<Ready>>,
}

/// What counts as leaving. Numbers are counts of events, indexes into
/// [`crate::measure::Measures::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaves {
    /// This event happens.
    With(usize),
    /// This event does not happen.
    Without(usize),
    /// A date passes without this event.
    NotRenewed {
        /// The trait that tells the date.
        date: usize,
        /// The event.
        by: usize,
    },
}

/// A learnt model, ready to be asked.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The model.
    pub scorer: Scorer,
    /// The input of each of its features.
    pub inputs: Vec<usize>,
    /// The bands: those of the file, or by the share that leaves.
    pub bands: Vec<Band>,
}

impl Alive {
    /// What a fit has to be of to be used here.
    #[must_use]
    pub fn recipe(&self) -> String {
        format!("alive {}", self.event)
    }
}

impl Learned {
    /// What a model has to be of to be used here: what counts as leaving, and when.
    #[must_use]
    pub fn recipe(&self, lifecycle: &Lifecycle) -> String {
        let key = |measure: usize| lifecycle.measures.list()[measure].key;
        let leaves = match self.leaves {
            Leaves::With(measure) => format!("with {}", key(measure)),
            Leaves::Without(measure) => format!("without {}", key(measure)),
            Leaves::NotRenewed { date, by } => {
                format!("{} without {}", lifecycle.traits[date].name, key(by))
            }
        };
        let text = format!(
            "{leaves}, {} and {} days, rhythm {}",
            self.lead_days, self.horizon_days, self.alive.event
        );
        crate::hex(&Sha256::digest(text.as_bytes())[..8])
    }

    /// Makes a model ready, if all that it looks at is here and means the same.
    pub(crate) fn ready(&self, lifecycle: &Lifecycle, known: &Knowledge) -> Option<Ready> {
        let Knowledge { model, definitions, .. } = known;
        let of = |(feature, meant): (&risk::feature::Feature, &String)| {
            let place = self.inputs.iter().position(|input| input.name == feature.name)?;
            (definition(lifecycle, &self.inputs[place]) == *meant).then_some(place)
        };
        let inputs: Vec<usize> =
            model.features.iter().zip(definitions).map(of).collect::<Option<_>>()?;
        let share = model.positives as f64 / model.rows.max(1) as f64;
        let bands = match self.has_own_bands {
            true => self.alive.bands.clone(),
            false => by_share(&self.alive.bands, share),
        };
        (inputs.len() == model.features.len()).then(|| Ready {
            scorer: Scorer::new(model.clone()),
            inputs,
            bands,
        })
    }
}

/// Bands of these names for a share that leaves: the second begins at it, each further one where the
/// odds are twice those of the one before.
pub(crate) fn by_share(names: &[Band], share: f64) -> Vec<Band> {
    let mut odds = share / (1.0 - share).max(1e-9);
    let mut from = 0.0;
    names
        .iter()
        .map(|band| {
            let made = Band { name: band.name.clone(), from };
            from = rounded(odds / (1.0 + odds), 4);
            odds *= 2.0;
            made
        })
        .collect()
}

impl Lifecycle {
    /// The name and the recipe of what has to be fitted to the workspace before risk can be told;
    /// `None` where the file says it all.
    #[must_use]
    pub fn to_fit(&self) -> Option<(&str, String)> {
        match &self.risk {
            Some(RiskModel::Alive(alive)) => Some(("alive", alive.recipe())),
            Some(RiskModel::Learned(learned)) => Some((&learned.name, learned.recipe(self))),
            Some(RiskModel::Scorecard(_)) | None => None,
        }
    }

    /// The model that is to be learnt, where the file has one.
    #[must_use]
    pub fn learned(&self) -> Option<&Learned> {
        match &self.risk {
            Some(RiskModel::Learned(learned)) => Some(learned),
            _ => None,
        }
    }

    /// What was fitted, where it is known.
    #[must_use]
    pub fn fitted(&self) -> Option<&Arc<Fitted>> {
        match &self.risk {
            Some(RiskModel::Alive(alive)) => alive.fitted.as_ref(),
            Some(RiskModel::Learned(learned)) => learned.alive.fitted.as_ref(),
            Some(RiskModel::Scorecard(_)) | None => None,
        }
    }

    /// Goes by what was fitted, if it is of this file's recipe.
    pub fn go_by(&mut self, fitted: Option<Arc<Fitted>>) {
        let recipe = self.to_fit().map(|(_, recipe)| recipe);
        let fitted = fitted.filter(|fitted| Some(&fitted.recipe) == recipe.as_ref());
        let ready = self.learned().and_then(|learned| {
            let known = fitted.as_ref()?.knowledge.as_ref()?;
            learned.ready(self, known).map(Arc::new)
        });
        match &mut self.risk {
            Some(RiskModel::Alive(alive)) => alive.fitted = fitted,
            Some(RiskModel::Learned(learned)) => {
                learned.ready = ready;
                learned.alive.fitted = fitted;
            }
            Some(RiskModel::Scorecard(_)) | None => {}
        }
    }
}
