//! What a workspace's own history taught: kept beside the lifecycle file, and given to it.
//!
//! A lifecycle file says which model tells the risk; what that model learnt is no part of the file,
//! because it changes without anybody's edit. It has a recipe, so that it is never used by a file
//! that asks for something else, and a hash, so that every use of it can be told apart.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::alive::Rhythm;
use crate::learn::Knowledge;
use crate::period::DAY;

/// A fit is taken again after so many days: a company's customers change slowly.
const REFIT_DAYS: i64 = 28;

/// It is never larger, in bytes of JSON.
pub const MOST_BYTES: usize = risk::model::MOST_BYTES;

/// What was learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// What it was fitted for ([`crate::lifecycle::Lifecycle::to_fit`]).
    pub recipe: String,
    /// The instant it is of: nothing later was looked at.
    pub fitted_at: Timestamp,
    /// How many customers it rests on.
    pub customers: usize,
    /// The rhythm of the customers' events.
    pub rhythm: Rhythm,
    /// A model of who leaves, where enough left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knowledge: Option<Knowledge>,
}

impl Fitted {
    /// Reads what [`Fitted::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_json(json: &[u8]) -> Result<Fitted, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of the JSON, as hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        crate::hex(&Sha256::digest(self.to_json()))
    }

    /// Whether it is time to fit again for a recipe: nothing is known yet, what is known is of
    /// another recipe, or it has grown old.
    #[must_use]
    pub fn is_due(known: Option<&Fitted>, recipe: &str, now: Timestamp) -> bool {
        known.filter(|known| known.recipe == recipe).is_none_or(|known| {
            let age = now.as_second() - known.fitted_at.as_second();
            !(0..REFIT_DAYS * DAY).contains(&age)
        })
    }
}
