//! How lively each sender is: when its last event came, and how many in which hour.
//!
//! No delivery pays for this with a write of its own: a process gathers what its deliveries took, and
//! writes one small item for a sender at most once a minute, the first time at once. It is kept as
//! well as that allows: a process that ends takes the last minute with it, and an answer that is lost
//! may count a minute twice. The log is exact; this tells silence from noise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValue};
use domain::feed::Sender;
use jiff::{SignedDuration, Timestamp};

use super::attributes::{Item, Reader, key, n, s};
use super::{Store, StoreError};

const SENDERS: &str = "sender";
/// How often a process writes what it knows of a sender.
const FLUSH_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// For how many hours counts are kept, the present one included.
pub(super) const HOURS_KEPT: i64 = 25;
/// How many senders a process gathers counts of.
const MAX_GATHERED: usize = 1_000;
/// How many counts that are too old one write takes away.
const MAX_REMOVED: usize = 50;
/// What stands before the hour in the names of counts.
const ACCEPTED: &str = "a";
const REJECTED: &str = "r";

/// What a delivery took from a sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// Events that are new.
    pub accepted: u64,
    /// What was set aside.
    pub rejected: u64,
    /// The newest instant that a new event tells.
    pub newest: Option<Timestamp>,
}

/// What was set aside and taken in an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourCount {
    /// Events that were new.
    pub accepted: u64,
    /// What was set aside.
    pub rejected: u64,
}

/// How lively a sender is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveliness {
    /// Who it is.
    pub sender: Sender,
    /// When its last new event came.
    pub last_received_at: Option<Timestamp>,
    /// The newest instant that one of its events tells.
    pub last_event_at: Option<Timestamp>,
    /// The counts of the last day by the hours they came in, as hours since 1970.
    pub hours: BTreeMap<i64, HourCount>,
}

/// What a process has gathered of a sender.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    hours: BTreeMap<i64, HourCount>,
    received: Option<Timestamp>,
    newest: Option<Timestamp>,
    flushed_at: Option<Timestamp>,
    /// Counts that were found and are too old.
    stale: BTreeSet<String>,
}

impl Gathered {
    fn add(&mut self, heard: &Heard, now: Timestamp) {
        let hour = self.hours.entry(hour_of(now)).or_default();
        hour.accepted += heard.accepted;
        hour.rejected += heard.rejected;
        if heard.accepted > 0 {
            self.received = self.received.max(Some(now));
            self.newest = self.newest.max(heard.newest);
        }
    }

    /// Whether it is time to write it. A clock that was set back starts anew.
    fn is_due(&self, now: Timestamp) -> bool {
        let waits = self.flushed_at.is_some_and(|at| {
            let since = now.duration_since(at);
            !since.is_negative() && since < FLUSH_EVERY
        });
        !self.hours.is_empty() && !waits
    }

    /// What is to be written, and nothing gathered after that.
    fn take(&mut self, now: Timestamp) -> Gathered {
        let stale = std::mem::take(&mut self.stale);
        let taken =
            std::mem::replace(self, Gathered { flushed_at: Some(now), ..Gathered::default() });
        Gathered { stale, ..taken }
    }
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3_600)
}

/// The kind of a count and its hour.
fn count_of(name: &str) -> Option<(&str, i64)> {
    let (kind, hour) = name.split_at_checked(1)?;
    Some((kind, hour.parse().ok()?))
}

impl Store {
    /// Remembers what a delivery took from each sender, and writes what is due. What cannot be
    /// written is lost: no event is.
    pub async fn hear(&self, heard: &BTreeMap<Sender, Heard>, now: Timestamp) {
        let due: Vec<(Sender, Gathered)> = {
            let mut cache = self.caches.senders.lock().unwrap_or_else(PoisonError::into_inner);
            for (sender, heard) in heard {
                if cache.len() < MAX_GATHERED || cache.contains_key(sender) {
                    cache.entry(sender.clone()).or_default().add(heard, now);
                }
            }
            let due = cache.iter_mut().filter(|(_, gathered)| gathered.is_due(now));
            due.map(|(sender, gathered)| (sender.clone(), gathered.take(now))).collect()
        };
        for (sender, gathered) in due {
            match self.write_sender(&sender, &gathered, now).await {
                Ok(stale) => {
                    let mut cache =
                        self.caches.senders.lock().unwrap_or_else(PoisonError::into_inner);
                    cache.entry(sender).or_default().stale = stale;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "what a sender sent was not counted");
                }
            }
        }
    }

    /// Writes what was gathered: the names of counts that are too old by now.
    async fn write_sender(
        &self,
        sender: &Sender,
        gathered: &Gathered,
        now: Timestamp,
    ) -> Result<BTreeSet<String>, StoreError> {
        let found = match self.update_sender(sender, gathered, gathered.newest, now).await? {
            Some(found) => found,
            // There is a newer event already.
            None => self.update_sender(sender, gathered, None, now).await?.unwrap_or_default(),
        };
        let oldest = hour_of(now) - HOURS_KEPT;
        let is_old = |name: &&String| count_of(name).is_some_and(|(_, hour)| hour <= oldest);
        Ok(found.keys().filter(is_old).take(MAX_REMOVED).cloned().collect())
    }

    /// The item as it then is; `None` when it knows an event that is newer than `newest`.
    async fn update_sender(
        &self,
        sender: &Sender,
        gathered: &Gathered,
        newest: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Item>, StoreError> {
        let table = &self.tables.control;
        let sort_key = format!("{}#{}", sender.kind.as_str(), sender.name);
        let mut update = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(key(SENDERS, &sort_key)))
            .expression_attribute_names("#name", "name")
            .expression_attribute_values(":kind", s(sender.kind.as_str()))
            .expression_attribute_values(":name", s(&sender.name))
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut set = vec!["kind = :kind".to_owned(), "#name = :name".to_owned()];
        let mut add = Vec::new();
        for (hour, count) in &gathered.hours {
            for (kind, count) in [(ACCEPTED, count.accepted), (REJECTED, count.rejected)] {
                if count > 0 {
                    add.push(format!("{kind}{hour} :{kind}{hour}"));
                    update = update.expression_attribute_values(format!(":{kind}{hour}"), n(count));
                }
            }
        }
        if let Some(received) = gathered.received {
            set.push("received = :received".to_owned());
            update = update.expression_attribute_values(":received", n(received.as_millisecond()));
        }
        if let Some(newest) = newest {
            set.push("newest = :newest".to_owned());
            update = update
                .expression_attribute_values(":newest", n(newest.as_millisecond()))
                .condition_expression("attribute_not_exists(newest) OR newest <= :newest");
        }
        let oldest = hour_of(now) - HOURS_KEPT;
        let is_still_old = |name: &&String| count_of(name).is_some_and(|(_, hour)| hour <= oldest);
        let stale: Vec<&str> =
            gathered.stale.iter().filter(is_still_old).map(String::as_str).collect();
        let mut expression = format!("SET {}", set.join(", "));
        for (clause, parts) in [("ADD", add.join(", ")), ("REMOVE", stale.join(", "))] {
            if !parts.is_empty() {
                expression.push_str(&format!(" {clause} {parts}"));
            }
        }
        let mut found = None;
        let updated = update.update_expression(expression).send().await.map(|output| {
            found = output.attributes;
            output.consumed_capacity
        });
        let stood = self.stood("UpdateItem", table, updated)?;
        Ok(stood.then(|| found.unwrap_or_default()))
    }

    /// Every sender that was heard of, and how lively it is as of an instant.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn senders(&self, now: Timestamp) -> Result<Vec<Liveliness>, StoreError> {
        let found = self.query_all_control(SENDERS).await?;
        found.iter().filter_map(|found| liveliness(found, now).transpose()).collect()
    }
}

fn liveliness(found: &Item, now: Timestamp) -> Result<Option<Liveliness>, StoreError> {
    let read = Reader { table: "control", item: found };
    // A newer version of this program may know other kinds.
    let Some(sender) = Sender::read(read.text("kind")?, read.text("name")?) else {
        return Ok(None);
    };
    let wrong = |_| StoreError::Item { table: "control", what: "received" };
    let instant = |name: &str| {
        let ms: Option<i64> = read.maybe_number(name);
        ms.map(Timestamp::from_millisecond).transpose().map_err(wrong)
    };
    let mut hours: BTreeMap<i64, HourCount> = BTreeMap::new();
    let oldest = hour_of(now) - HOURS_KEPT;
    for name in found.keys() {
        let Some((kind, hour)) = count_of(name).filter(|(_, hour)| *hour > oldest) else {
            continue;
        };
        let Some(count) = read.maybe_number(name) else { continue };
        let counted = hours.entry(hour).or_default();
        match kind {
            ACCEPTED => counted.accepted = count,
            REJECTED => counted.rejected = count,
            _ => {}
        }
    }
    let (last_received_at, last_event_at) = (instant("received")?, instant("newest")?);
    Ok(Some(Liveliness { sender, last_received_at, last_event_at, hours }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_writes_at_once_and_then_once_a_minute() {
        let at = |second: i64| Timestamp::from_second(1_768_473_000 + second).unwrap();
        let heard = Heard { accepted: 2, rejected: 1, newest: Some(at(-60)) };
        let mut gathered = Gathered::default();
        assert!(!gathered.is_due(at(0)), "there is nothing to write");
        gathered.add(&heard, at(0));
        assert!(gathered.is_due(at(0)));
        assert_eq!(gathered.take(at(0)).received, Some(at(0)));
        gathered.add(&heard, at(1));
        gathered.add(&heard, at(59));
        assert!(!gathered.is_due(at(59)));
        assert!(gathered.is_due(at(60)) && gathered.is_due(at(-1)));
        let taken = gathered.take(at(60));
        let counts: Vec<HourCount> = taken.hours.into_values().collect();
        assert_eq!(counts, [HourCount { accepted: 4, rejected: 2 }]);
        assert!(!gathered.is_due(at(200)), "nothing new came");
    }
}
