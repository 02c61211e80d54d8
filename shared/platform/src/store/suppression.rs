//! Ids that are turned away at the door, known by a keyed hash and nothing else.
//!
//! A delivery must not pay for the check with a read of its own: a process reads one small item
//! (`suppression`, `head`) every half minute, and the hashes only when that says they changed.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::attributes::{Item, Reader, b, item, key, n, s};
use super::control::PutOutcome;
use super::{Store, StoreError};

/// For how long a process believes that nothing changed.
const TTL: Duration = Duration::from_secs(30);
/// How many hashes one item holds: 160 KB of an item's 400.
const PER_ITEM: usize = 10_000;
const MAX_CONFLICTS: u32 = 12;

/// A keyed hash of an id.
type Hash = [u8; 16];

/// Whom a suppressed id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Person {
    /// A user, or whatever a customer is where users are customers.
    User,
    /// An account.
    Account,
}

/// The workspace's own secret, for keyed hashes.
pub(super) type Secret = [u8; 32];

/// The ids that are turned away.
#[derive(Debug, Default)]
pub struct Suppressed {
    secret: Secret,
    hashes: BTreeSet<Hash>,
}

impl Suppressed {
    /// Whether anybody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether an id is.
    #[must_use]
    pub fn has(&self, person: Person, id: &str) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&hash(&self.secret, person, id))
    }
}

/// What a process knows.
#[derive(Debug)]
pub(super) struct Known {
    read_at: Instant,
    version: u64,
    suppressed: Arc<Suppressed>,
}

/// Which items hold the hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Head {
    /// Goes up with every change.
    version: u64,
    token: String,
    parts: usize,
}

impl Head {
    fn name(&self, part: usize) -> String {
        format!("{}#{part:05}", self.token)
    }
}

/// What becomes of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// They are turned away from now on.
    Away,
    /// They are let in again.
    In,
}

impl Store {
    /// The ids that are turned away; as of half a minute ago at most.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn suppressed(&self) -> Result<Arc<Suppressed>, StoreError> {
        let known = {
            let known = self.caches.suppressed.lock().unwrap_or_else(PoisonError::into_inner);
            known.as_ref().map(|known| {
                (known.read_at.elapsed() < TTL, known.version, Arc::clone(&known.suppressed))
            })
        };
        if let Some((true, _, suppressed)) = &known {
            return Ok(Arc::clone(suppressed));
        }
        let mut head = self.suppression_head(false).await?;
        let suppressed = match known {
            Some((_, was, suppressed)) if was == head.version => suppressed,
            _ if head.version == 0 => Arc::default(),
            _ => {
                let secret = self.secret().await?;
                let hashes;
                (head, hashes) = self.suppressed_hashes(head).await?;
                Arc::new(Suppressed { secret, hashes })
            }
        };
        let version = head.version;
        let mut cache = self.caches.suppressed.lock().unwrap_or_else(PoisonError::into_inner);
        let read_at = Instant::now();
        *cache = Some(Known { read_at, version, suppressed: Arc::clone(&suppressed) });
        Ok(suppressed)
    }

    /// Turns ids away, or lets them in again. This process knows at once, others within half a
    /// minute.
    pub(super) async fn turn(
        &self,
        turn: Turn,
        person: Person,
        ids: &[String],
    ) -> Result<(), StoreError> {
        let secret = self.secret().await?;
        let ids: BTreeSet<Hash> = ids.iter().map(|id| hash(&secret, person, id)).collect();
        for _ in 0..MAX_CONFLICTS {
            let head = self.suppression_head(true).await?;
            let (was, mut hashes) = self.suppressed_hashes(head).await?;
            match turn {
                Turn::Away => hashes.extend(&ids),
                Turn::In => hashes.retain(|hash| !ids.contains(hash)),
            }
            let next = self.put_hashes(was.version + 1, &hashes).await?;
            let mut found = key("suppression", "head");
            found.extend(item([
                ("version", n(next.version)),
                ("token", s(&next.token)),
                ("parts", n(next.parts)),
            ]));
            let condition = "attribute_not_exists(version) OR version = :was";
            let condition = (condition, item([(":was", n(was.version))]));
            let stood = self.put_control(found, Some(condition)).await? == PutOutcome::Put;
            self.delete_hashes(if stood { &was } else { &next }).await?;
            if stood {
                self.caches.suppressed.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Ok(());
            }
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    async fn suppression_head(&self, consistent: bool) -> Result<Head, StoreError> {
        let found = self.get_control("suppression", "head", consistent).await?;
        let Some(found) = found else { return Ok(Head::default()) };
        let read = Reader { table: "control", item: &found };
        Ok(Head {
            version: read.number("version")?,
            token: read.text("token")?.to_owned(),
            parts: read.number("parts")?,
        })
    }

    /// Puts the hashes under names of their own.
    async fn put_hashes(&self, version: u64, hashes: &BTreeSet<Hash>) -> Result<Head, StoreError> {
        let all: Vec<Hash> = hashes.iter().copied().collect();
        let parts: Vec<&[Hash]> = all.chunks(PER_ITEM).collect();
        let head = Head { version, token: random_hex()?, parts: parts.len() };
        for (at, part) in parts.into_iter().enumerate() {
            let mut found = key("suppressed", &head.name(at));
            found.extend(item([("hashes", b(part.concat()))]));
            self.put_control(found, None).await?;
        }
        Ok(head)
    }

    async fn delete_hashes(&self, head: &Head) -> Result<(), StoreError> {
        for at in 0..head.parts {
            self.delete_control("suppressed", &head.name(at)).await?;
        }
        Ok(())
    }

    /// The hashes that a head names; those of a newer one where they were replaced meanwhile.
    async fn suppressed_hashes(
        &self,
        mut head: Head,
    ) -> Result<(Head, BTreeSet<Hash>), StoreError> {
        for _ in 0..MAX_CONFLICTS {
            let mut hashes = BTreeSet::new();
            let mut parts = 0;
            while parts < head.parts {
                let found = self.get_control("suppressed", &head.name(parts), true).await?;
                let Some(found) = found else { break };
                let read = Reader { table: "control", item: &found };
                hashes.extend(read.bytes("hashes")?.as_chunks::<16>().0);
                parts += 1;
            }
            if parts == head.parts {
                return Ok((head, hashes));
            }
            head = self.suppression_head(true).await?;
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    /// The workspace's secret, made at its first use.
    pub(super) async fn secret(&self) -> Result<Secret, StoreError> {
        if let Some(secret) = self.caches.secret.get() {
            return Ok(*secret);
        }
        let found = match self.get_control("secret", "hashes", true).await? {
            Some(found) => found,
            None => {
                let mut fresh = [0; 32];
                getrandom::fill(&mut fresh).map_err(|_| StoreError::Random)?;
                let mut found = key("secret", "hashes");
                found.extend(item([("secret", b(fresh.to_vec()))]));
                let absent = ("attribute_not_exists(pk)", Item::new());
                match self.put_control(found.clone(), Some(absent)).await? {
                    PutOutcome::Put => found,
                    PutOutcome::Exists => {
                        self.get_control("secret", "hashes", true).await?.unwrap_or_default()
                    }
                }
            }
        };
        let read = Reader { table: "control", item: &found };
        let secret = Secret::try_from(read.bytes("secret")?);
        let secret = secret.map_err(|_| StoreError::Item { table: "control", what: "secret" })?;
        Ok(*self.caches.secret.get_or_init(|| secret))
    }
}

fn hash(secret: &Secret, person: Person, id: &str) -> Hash {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
    mac.update(match person {
        Person::User => b"user\0",
        Person::Account => b"account\0",
    });
    mac.update(id.as_bytes());
    let bytes = mac.finalize().into_bytes();
    std::array::from_fn(|at| bytes[at])
}

/// 64 random bits as text.
pub(super) fn random_hex() -> Result<String, StoreError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| StoreError::Random)?;
    Ok(domain::hex(&bytes))
}
