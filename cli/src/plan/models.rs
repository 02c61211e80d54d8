//! What tells risk in a plan: the model that each file names, as far as the workspace has learnt it.
//!
//! What was learnt for one question is no answer to another. Where a file asks for a model that is not
//! there, risk is left out under both files: bands stay where they are, or what only one of them can
//! tell would look like a difference between the files.

use anyhow::Result;
use domain::lifecycle::{Lifecycle, RiskModel};
use platform::Store;
use platform::store::Learnt;
use serde_json::{Value as Json, json};

/// What tells risk under one file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    /// What the file calls it; none where it has no risk.
    name: Option<String>,
    /// What was learnt for it.
    learnt: Option<Learnt>,
    /// What was learnt under its name for something else.
    other: Option<u64>,
    /// Whether it has to be learnt.
    is_learnt: bool,
    /// Whether only the rhythm of what was learnt is of use: the file has other inputs.
    is_rhythm_alone: bool,
}

/// What tells risk under both files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Models {
    pub(super) active: Model,
    pub(super) proposed: Model,
    /// The events alone are there, and nothing that was learnt.
    is_export: bool,
}

impl Models {
    /// Gives both files what was learnt for them, or takes risk from both.
    pub(super) async fn give(
        store: Option<&Store>,
        active: &mut Lifecycle,
        proposed: &mut Lifecycle,
    ) -> Result<Models> {
        let models = Models {
            active: Model::give(store, active).await?,
            proposed: Model::give(store, proposed).await?,
            is_export: store.is_none(),
        };
        if models.is_left_out() {
            (active.risk, proposed.risk) = (None, None);
        }
        Ok(models)
    }

    fn is_left_out(&self) -> bool {
        self.active.is_missing() || self.proposed.is_missing()
    }

    /// What has to be known to read the plan, a sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let files =
            [("active", &self.active, None), ("proposed", &self.proposed, Some(&self.active))];
        for (file, model, other) in files {
            if model.is_missing() {
                let name = model.name.as_deref().unwrap_or_default();
                notes.push(format!(
                    "the {file} file tells risk by `{name}`, {}",
                    self.missing(model, other)
                ));
            } else if model.is_rhythm_alone && !self.is_left_out() {
                notes.push(format!(
                    "{} looks at what the {file} file does not have: risk is told by the rhythm alone",
                    model.words()
                ));
            }
        }
        if self.is_left_out() {
            notes.push(
                "so risk is left out of this plan: bands stay where they are, and over the past months \
                 nothing is told that depends on them"
                    .to_owned(),
            );
        } else if self.active.learnt.is_some() || self.proposed.learnt.is_some() {
            notes.push("over the past months, too, risk is told by what is known today".to_owned());
        }
        notes
    }

    fn missing(&self, model: &Model, other: Option<&Model>) -> String {
        if self.is_export {
            return "and an export of the events has nothing that was learnt".to_owned();
        }
        let remedy = match model.name.as_deref() {
            Some("alive") => "the first night after `lifecycle apply` fits it",
            _ => "`lifecycle train --dry-run --config FILE` shows what would be",
        };
        match (model.other, other.filter(|other| other.learnt.is_some())) {
            (Some(version), _) => format!(
                "whose version {version} was learnt for something else than this file asks; {remedy}"
            ),
            (None, Some(known)) if known.name != model.name => {
                format!("but what is learnt is {}; {remedy}", known.words())
            }
            (None, _) => format!("which is not learnt yet; {remedy}"),
        }
    }
}

impl Model {
    async fn give(store: Option<&Store>, lifecycle: &mut Lifecycle) -> Result<Model> {
        let name = match &lifecycle.risk {
            None => None,
            Some(RiskModel::Scorecard(_)) => Some("scorecard".to_owned()),
            Some(_) => lifecycle.to_fit().map(|(name, _)| name.to_owned()),
        };
        let is_learnt = lifecycle.to_fit().is_some();
        let found = match (store, &name) {
            (Some(store), Some(name)) if is_learnt => store.champion_of(name).await?,
            _ => None,
        };
        lifecycle.go_by(found.as_ref().map(|learnt| learnt.fitted.clone()));
        let is_used = lifecycle.fitted().is_some();
        let knows_more = |learnt: &Learnt| learnt.fitted.knowledge.is_some();
        let is_rhythm_alone = lifecycle.learned().is_some_and(|learned| {
            learned.ready.is_none() && found.as_ref().is_some_and(knows_more)
        });
        let (learnt, other) = match found {
            Some(learnt) if is_used => (Some(learnt), None),
            Some(learnt) => (None, Some(learnt.version)),
            None => (None, None),
        };
        Ok(Model { name, learnt, other, is_learnt, is_rhythm_alone })
    }

    fn is_missing(&self) -> bool {
        self.is_learnt && self.learnt.is_none()
    }

    /// `version 3 of leaving, learnt on 2026-07-01`; nothing where nothing was learnt.
    pub(super) fn words(&self) -> String {
        match (&self.name, &self.learnt) {
            (Some(name), Some(learnt)) => {
                let day = learnt.fitted.fitted_at.strftime("%F");
                format!("version {} of {name}, learnt on {day}", learnt.version)
            }
            (Some(name), None) => name.clone(),
            (None, _) => String::new(),
        }
    }

    pub(super) fn json(&self) -> Json {
        let Some(name) = &self.name else { return Json::Null };
        let learnt = self.learnt.as_ref();
        json!({
            "model": name,
            "version": learnt.map(|learnt| learnt.version),
            "hash": learnt.map(|learnt| &learnt.hash),
            "fitted_at": learnt.map(|learnt| learnt.fitted.fitted_at),
            "missing": self.is_missing(),
        })
    }

    /// Whether what was learnt tells it.
    pub(super) fn is_fitted(&self) -> bool {
        self.learnt.is_some()
    }
}
