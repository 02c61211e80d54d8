//! What the workspace's history taught, in `control`: every version of it, and which one is gone by.
//!
//! A version is written once and never changed. The champion is a small item that names one, so that
//! a process that looks for a newer one reads half a unit and no model.

use std::sync::Arc;

use domain::alive::{self, history};
use domain::facts::Facts;
use domain::fitted::Fitted;
use domain::lifecycle::{Lifecycle, RiskModel};
use jiff::Timestamp;

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::control::PutOutcome;
use super::{CustomerFilter, Store, StoreError};
use crate::codec;

/// A fit rests on at most this many customers. A scan goes by the hashes of keys, so that the first
/// ones it gives are any of them.
const MOST_CUSTOMERS: usize = 50_000;
const PAGE: i32 = 1_000;
/// After a change of the lifecycle file at most this many customers are folded again for a fit; the
/// run that comes after it does the others, and the next fit has them all.
const MOST_REFOLDED: usize = 5_000;
const CHAMPION: &str = "champion";

/// A version of what was learnt under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Learnt {
    /// Counts up from 1.
    pub version: u64,
    /// SHA-256 of it, as hexadecimal.
    pub hash: String,
    /// It.
    pub fitted: Arc<Fitted>,
}

fn partition(name: &str) -> String {
    format!("model#{name}")
}

fn version_key(version: u64) -> String {
    format!("version#{version:08}")
}

fn learnt_of(found: &Item) -> Result<Learnt, StoreError> {
    let read = Reader { table: "control", item: found };
    let bytes = codec::grow(read.bytes("body")?)
        .map_err(|source| StoreError::Codec { table: "control", source })?;
    let fitted = Fitted::from_json(&bytes)
        .map_err(|_| StoreError::Item { table: "control", what: "model" })?;
    let hash = read.text("hash")?.to_owned();
    if fitted.hash() != hash {
        return Err(StoreError::Item { table: "control", what: "hash of a model" });
    }
    Ok(Learnt { version: read.number("version")?, hash, fitted: Arc::new(fitted) })
}

impl Store {
    /// The version of a name that is gone by, and its hash.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn champion(&self, name: &str) -> Result<Option<(u64, String)>, StoreError> {
        let Some(found) = self.get_control(&partition(name), CHAMPION, false).await? else {
            return Ok(None);
        };
        let read = Reader { table: "control", item: &found };
        Ok(Some((read.number("version")?, read.text("hash")?.to_owned())))
    }

    /// A version of what was learnt under a name.
    ///
    /// # Errors
    /// When the table cannot be read, or the item is damaged or was changed.
    pub async fn learnt(&self, name: &str, version: u64) -> Result<Option<Learnt>, StoreError> {
        let found = self.get_control(&partition(name), &version_key(version), false).await?;
        found.as_ref().map(learnt_of).transpose()
    }

    /// Keeps what was learnt under a name as the next version after `last`; `None` when that version
    /// was written by somebody else meanwhile.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn keep_learnt(
        &self,
        name: &str,
        fitted: &Fitted,
        last: u64,
    ) -> Result<Option<Learnt>, StoreError> {
        let (version, hash) = (last + 1, fitted.hash());
        let mut found = key(&partition(name), &version_key(version));
        found.extend(item([
            ("version", n(version)),
            ("hash", s(hash.as_str())),
            ("fitted_at", s(fitted.fitted_at.to_string())),
            ("body", b(codec::shrink(&fitted.to_json()))),
        ]));
        let absent = Some(("attribute_not_exists(pk)", Item::new()));
        Ok(match self.put_control(found, absent).await? {
            PutOutcome::Put => Some(Learnt { version, hash, fitted: Arc::new(fitted.clone()) }),
            PutOutcome::Exists => None,
        })
    }

    /// Goes by a version from now on, if `was` (0 for none) is what was gone by: whether it did.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn promote(
        &self,
        name: &str,
        learnt: &Learnt,
        was: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut found = key(&partition(name), CHAMPION);
        found.extend(item([
            ("version", n(learnt.version)),
            ("hash", s(learnt.hash.as_str())),
            ("before", n(was)),
            ("promoted_at", s(now.to_string())),
        ]));
        let condition = match was {
            0 => ("attribute_not_exists(pk)", Item::new()),
            was => ("version = :was", item([(":was", n(was))])),
        };
        Ok(self.put_control(found, Some(condition)).await? == PutOutcome::Put)
    }

    /// The lifecycle with what was learnt for it, where it needs that.
    pub(super) async fn with_learnt(
        &self,
        lifecycle: Arc<Lifecycle>,
    ) -> Result<Arc<Lifecycle>, StoreError> {
        let Some((name, _)) = lifecycle.to_fit() else { return Ok(lifecycle) };
        let Some((version, hash)) = self.champion(name).await? else { return Ok(lifecycle) };
        if lifecycle.fitted().is_some_and(|known| known.hash() == hash) {
            return Ok(lifecycle);
        }
        let learnt = self.learnt(name, version).await?;
        let mut with = Lifecycle::clone(&lifecycle);
        with.go_by(learnt.map(|learnt| learnt.fitted));
        Ok(Arc::new(with))
    }

    /// Fits the rhythm that a lifecycle goes by where that is due, and goes on with it.
    ///
    /// # Errors
    /// When the tables cannot be read or written.
    pub async fn fit_where_due(&self, now: Timestamp) -> Result<(), StoreError> {
        let lifecycle = self.lifecycle().await?;
        let Some((name, recipe)) = lifecycle.to_fit() else { return Ok(()) };
        if !Fitted::is_due(lifecycle.fitted().map(AsRef::as_ref), &recipe, now) {
            return Ok(());
        }
        let Some(RiskModel::Alive(model)) = &lifecycle.risk else { return Ok(()) };
        let (mut histories, mut refolded) = (Vec::new(), 0);
        let mut cursor: Option<String> = None;
        loop {
            let page = self.customers(&CustomerFilter::default(), PAGE, cursor.as_deref()).await?;
            for found in page.items {
                let is_folded = found.customer.profile.measures == lifecycle.measures.fingerprint;
                if !is_folded && refolded == MOST_REFOLDED {
                    continue;
                }
                refolded += usize::from(!is_folded);
                match self.refold(found, &lifecycle, now).await {
                    Ok(found) => {
                        let facts = Facts::new(&found.customer, &lifecycle, now);
                        histories.extend(history(&facts, model.measure));
                    }
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a customer was left out of a fit"
                    ),
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() || histories.len() >= MOST_CUSTOMERS {
                break;
            }
        }
        let Some(fitted) = alive::fit(recipe, &histories, now) else { return Ok(()) };
        let was = self.champion(name).await?.map_or(0, |(version, _)| version);
        // Of two runs that fit at once the first is gone by.
        if let Some(learnt) = self.keep_learnt(name, &fitted, was).await?
            && self.promote(name, &learnt, was, now).await?
        {
            let mut with = Lifecycle::clone(&lifecycle);
            with.go_by(Some(learnt.fitted));
            self.remember_lifecycle(Arc::new(with));
        }
        Ok(())
    }
}
