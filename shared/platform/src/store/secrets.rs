//! The secrets with which sources sign what they send, and those that have the addresses of receivers.
//!
//! Unlike a write key a secret is needed in clear, to compute a signature with it; it is encrypted
//! at rest as everything in the table is. It is written here and read here: never logged, never
//! listed, never told again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use domain::post::ButtonKey;
use jiff::Timestamp;
use serde::Serialize;

use super::attributes::{Item, Reader, item, key, s};
use super::control::hash_of;
use super::{Store, StoreError};

/// For how long a process goes on with the secrets it has read.
const CACHE_TTL: Duration = Duration::from_secs(30);
/// How soon it looks again for those of a source that has none.
const MISSING_TTL: Duration = Duration::from_secs(2);
/// How many secrets of one source may be live: the old one and the new one of a rotation.
pub const MAX_LIVE: usize = 2;

/// The secrets of all sources, and when they were read.
pub(super) type SecretsCache = Option<(Instant, Arc<BTreeMap<String, Vec<Secret>>>)>;

/// A secret. What it says of itself is not the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret in clear, to compute with.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A secret of a source, as far as it may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceSecret {
    /// The source.
    pub source: String,
    /// The beginning of the SHA-256 of the secret, in hexadecimal.
    pub id: String,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Whether a secret was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOutcome {
    /// It is live.
    Added,
    /// There are two others already.
    TooMany,
}

fn id_of(secret: &str) -> String {
    hash_of(secret)[..16].to_owned()
}

impl Store {
    /// Makes a secret of a source live. Adding it again changes nothing.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub async fn add_source_secret(
        &self,
        source: &str,
        secret: &str,
        now: Timestamp,
    ) -> Result<SecretOutcome, StoreError> {
        let id = id_of(secret);
        let live = self.list_source_secrets().await?;
        let others = live.iter().filter(|live| live.source == source && live.id != id);
        if others.count() >= MAX_LIVE {
            return Ok(SecretOutcome::TooMany);
        }
        let mut found = key("secret", &format!("{source}#{id}"));
        found.extend(item([("secret", s(secret)), ("created_at", s(now.to_string()))]));
        self.put_control(found, None).await?;
        self.forget_secrets();
        Ok(SecretOutcome::Added)
    }

    /// Ends a secret of a source: whether there was one with this id.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn remove_source_secret(&self, source: &str, id: &str) -> Result<bool, StoreError> {
        let removed = self.delete_control("secret", &format!("{source}#{id}")).await?;
        self.forget_secrets();
        Ok(removed)
    }

    /// The live secrets of all sources, without the secrets.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn list_source_secrets(&self) -> Result<Vec<SourceSecret>, StoreError> {
        let secrets = self.source_items().await?;
        let secrets = secrets.iter().map(|found| {
            let read = Reader { table: "control", item: found };
            let wrong = |what| StoreError::Item { table: "control", what };
            let (source, id) = read.text("sk")?.split_once('#').ok_or(wrong("sk"))?;
            let created_at = read.text("created_at")?.parse().map_err(|_| wrong("created_at"))?;
            Ok(SourceSecret { source: source.to_owned(), id: id.to_owned(), created_at })
        });
        secrets.collect()
    }

    /// The live secrets of a source, the newest first, as this process last read them.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn source_secrets(&self, source: &str) -> Result<Vec<Secret>, StoreError> {
        let known = self.caches.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read_at, secrets)) = known {
            let ttl = if secrets.contains_key(source) { CACHE_TTL } else { MISSING_TTL };
            if read_at.elapsed() < ttl {
                return Ok(secrets.get(source).cloned().unwrap_or_default());
            }
        }
        let mut items = self.source_items().await?;
        items.sort_by_cached_key(|found| {
            let read = Reader { table: "control", item: found };
            let at = read.maybe_text("created_at").and_then(|text| text.parse::<Timestamp>().ok());
            std::cmp::Reverse(at)
        });
        let mut secrets: BTreeMap<String, Vec<Secret>> = BTreeMap::new();
        for found in &items {
            let read = Reader { table: "control", item: found };
            let of = read.text("sk")?.split('#').next().unwrap_or_default();
            secrets.entry(of.to_owned()).or_default().push(read.text("secret")?.into());
        }
        let found = secrets.get(source).cloned().unwrap_or_default();
        let mut cache = self.caches.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        *cache = Some((Instant::now(), Arc::new(secrets)));
        Ok(found)
    }

    /// The key that the buttons of messages are signed with.
    ///
    /// # Errors
    /// When the table cannot be read, or the workspace's first secret not be written.
    pub async fn button_key(&self) -> Result<ButtonKey, StoreError> {
        Ok(ButtonKey::of(&self.secret().await?))
    }

    /// The items of all sources. The secret of the workspace itself stands beside them, under a name
    /// that no source's has.
    async fn source_items(&self) -> Result<Vec<Item>, StoreError> {
        let (mut items, _) = self.query_control("secret", 1_000, None, true).await?;
        items.retain(|found| {
            let read = Reader { table: "control", item: found };
            read.maybe_text("sk").is_some_and(|sk| sk.contains('#'))
        });
        Ok(items)
    }

    fn forget_secrets(&self) {
        *self.caches.secrets.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
