//! Churn risk: which model tells it, and what that needs.

use super::{Loader, text};
use crate::alive::DAILY_DAYS;
use crate::lifecycle::file;
use crate::lifecycle::{Alive, RiskModel, Scorecard};
use crate::measure::{Counting, Measures, Need};
use crate::period::{DAY, Period};

/// The bands of risk where the file names none.
const RISK_BANDS: [&str; 4] = ["low", "elevated", "high", "critical"];

/// The names of the bands of risk.
pub(super) fn risk_bands(risk: &file::Risk) -> Vec<&str> {
    match risk.bands.0.as_slice() {
        [] => RISK_BANDS.to_vec(),
        bands => bands.iter().map(|(name, _)| name.value.as_str()).collect(),
    }
}

impl Loader<'_> {
    pub(super) fn risk(
        &mut self,
        risk: &file::Risk,
        health: Option<&file::Scorecard>,
        measures: &mut Measures,
    ) -> Option<RiskModel> {
        self.refuse(&risk.drop_alert, "drop_alert");
        match risk.model.value.as_str() {
            "scorecard" => self.risk_scorecard(risk, health).map(RiskModel::Scorecard),
            "alive" => self.alive(risk, measures).map(RiskModel::Alive),
            other => {
                let message = format!("there is no risk model `{other}`");
                self.error(&risk.model.referenced, message).help =
                    Some("use `model: scorecard` or `model: alive`".into());
                None
            }
        }
    }

    fn risk_scorecard(
        &mut self,
        risk: &file::Risk,
        health: Option<&file::Scorecard>,
    ) -> Option<Scorecard> {
        for (word, name) in [(&risk.event, "event"), (&risk.horizon, "horizon")] {
            if let Some(word) = word {
                let message = format!("a scorecard has no `{name}`");
                self.error(&word.referenced, message).help =
                    Some(format!("remove it, or use `model: alive`, which needs its {name}"));
            }
        }
        let Some(factors) = risk.factors.as_ref().or(health.map(|card| &card.factors)) else {
            self.error(&risk.model.referenced, "a scorecard needs `factors`").help =
                Some("give them here, or under `health:`".into());
            return None;
        };
        Some(self.scorecard(factors, &risk.bands, 1.0, &RISK_BANDS))
    }

    /// The probability of no further event: its event is counted for ever, and day by day for long
    /// enough.
    fn alive(&mut self, risk: &file::Risk, measures: &mut Measures) -> Option<Alive> {
        if let Some(factors) = &risk.factors {
            self.error(&factors.referenced, "`model: alive` has no factors").help =
                Some("remove them: it goes by the rhythm of the event alone".into());
        }
        let (Some(event), Some(horizon)) = (&risk.event, &risk.horizon) else {
            let message = "`model: alive` needs an `event` and a `horizon`";
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
        let bands = self.bands(&risk.bands, 1.0, &RISK_BANDS);
        Some(Alive { event: text(event), measure, horizon_days, bands, fitted: None })
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
