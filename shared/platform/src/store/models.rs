//! What the workspace's history taught, in `control`: every version of it, and which one is gone by.
//!
//! A version is written once and never changed. The champion is a small item that names one, so that
//! a process that looks for a newer one reads half a unit and no model.

use std::sync::Arc;

use domain::fitted::Fitted;
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::control::PutOutcome;
use super::{Store, StoreError};
use crate::codec;

/// The most versions of a name that are looked through.
const MOST_VERSIONS: i32 = 1_000;
/// How often a version is written anew because somebody else wrote one of its number.
const TRIES: u32 = 4;
const CHAMPION: &str = "champion";
const VERSION: &str = "version#";

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
    format!("{VERSION}{version:08}")
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

    /// What is gone by under a name, whole.
    ///
    /// # Errors
    /// As [`Store::champion`] and [`Store::learnt`].
    pub async fn champion_of(&self, name: &str) -> Result<Option<Learnt>, StoreError> {
        match self.champion(name).await? {
            Some((version, _)) => self.learnt(name, version).await,
            None => Ok(None),
        }
    }

    /// The version that was gone by before the champion; `None` where there was none.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn before_champion(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let Some(found) = self.get_control(&partition(name), CHAMPION, true).await? else {
            return Ok(None);
        };
        let before: u64 = Reader { table: "control", item: &found }.number("before")?;
        Ok((before > 0).then_some(before))
    }

    /// The versions that were learnt under a name, the newest first.
    ///
    /// # Errors
    /// When the table cannot be read, or an item is damaged or was changed.
    pub async fn learnt_versions(&self, name: &str) -> Result<Vec<Learnt>, StoreError> {
        let (items, _) = self.query_control(&partition(name), MOST_VERSIONS, None, false).await?;
        let is_version = |found: &&Item| {
            let read = Reader { table: "control", item: found };
            read.maybe_text("sk").is_some_and(|sk| sk.starts_with(VERSION))
        };
        items.iter().filter(is_version).map(learnt_of).collect()
    }

    /// Keeps what was learnt under a name as the next version.
    ///
    /// # Errors
    /// When the table cannot be written, or others keep writing versions meanwhile.
    pub async fn keep_learnt(&self, name: &str, fitted: &Fitted) -> Result<Learnt, StoreError> {
        let hash = fitted.hash();
        for _ in 0..TRIES {
            let (newest, _) = self.query_control(&partition(name), 1, None, false).await?;
            let last = newest.first().map_or(Ok(0), |found| {
                let read = Reader { table: "control", item: found };
                // Versions come after the champion, in the order of keys.
                read.number::<u64>("version")
            })?;
            let version = last + 1;
            let mut found = key(&partition(name), &version_key(version));
            found.extend(item([
                ("version", n(version)),
                ("hash", s(hash.as_str())),
                ("fitted_at", s(fitted.fitted_at.to_string())),
                ("body", b(codec::shrink(&fitted.to_json()))),
            ]));
            let absent = Some(("attribute_not_exists(pk)", Item::new()));
            if self.put_control(found, absent).await? == PutOutcome::Put {
                return Ok(Learnt { version, hash, fitted: Arc::new(fitted.clone()) });
            }
        }
        Err(StoreError::Conflict(TRIES))
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
}
