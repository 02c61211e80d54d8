//! How churn risk is told.

use std::sync::Arc;

use risk::band::Band;

use super::{Lifecycle, Scorecard};
use crate::fitted::Fitted;

/// How churn risk is told.
#[derive(Debug, Clone)]
pub enum RiskModel {
    /// As what a scorecard is short of.
    Scorecard(Scorecard),
    /// As the probability of no further event, by the rhythm of all customers.
    Alive(Alive),
}

impl RiskModel {
    /// Its bands, from the lowest.
    #[must_use]
    pub fn bands(&self) -> &[Band] {
        match self {
            RiskModel::Scorecard(card) => &card.bands,
            RiskModel::Alive(alive) => &alive.bands,
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

impl Alive {
    /// What a fit has to be of to be used here.
    #[must_use]
    pub fn recipe(&self) -> String {
        format!("alive {}", self.event)
    }
}

impl Lifecycle {
    /// The name and the recipe of what has to be fitted to the workspace before risk can be told;
    /// `None` where the file says it all.
    #[must_use]
    pub fn to_fit(&self) -> Option<(&str, String)> {
        match &self.risk {
            Some(RiskModel::Alive(alive)) => Some(("alive", alive.recipe())),
            Some(RiskModel::Scorecard(_)) | None => None,
        }
    }

    /// What was fitted, where it is known.
    #[must_use]
    pub fn fitted(&self) -> Option<&Arc<Fitted>> {
        match &self.risk {
            Some(RiskModel::Alive(alive)) => alive.fitted.as_ref(),
            Some(RiskModel::Scorecard(_)) | None => None,
        }
    }

    /// Goes by what was fitted, if it is of this file's recipe.
    pub fn go_by(&mut self, fitted: Option<Arc<Fitted>>) {
        let recipe = self.to_fit().map(|(_, recipe)| recipe);
        let fitted = fitted.filter(|fitted| Some(&fitted.recipe) == recipe.as_ref());
        if let Some(RiskModel::Alive(alive)) = &mut self.risk {
            alive.fitted = fitted;
        }
    }
}
