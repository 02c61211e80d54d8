//! Silences: what people do not want to hear of for a while.

use domain::alerting::{GROUP_LABEL, Silence};
use jiff::Timestamp;

use super::alerts::notification_item;
use super::attributes::{Item, Reader, b, key, n};
use super::{Notification, Store, StoreError};
use crate::codec;

const SILENCES: &str = "silences";
/// For how long a silence that is over is still shown.
const KEEP_SECONDS: i64 = 30 * 86_400;

impl Store {
    /// The silences that are not over, and those that ended lately.
    ///
    /// # Errors
    /// When the table cannot be read or an item is damaged.
    pub async fn silences(&self) -> Result<Vec<Silence>, StoreError> {
        let mut silences = Vec::new();
        for found in self.query_all_control(SILENCES).await? {
            let read = Reader { table: "control", item: &found };
            let bytes = codec::grow(read.bytes("body")?)
                .map_err(|source| StoreError::Codec { table: "control", source })?;
            let silence = serde_json::from_slice(&bytes);
            silences
                .push(silence.map_err(|_| StoreError::Item { table: "control", what: "silence" })?);
        }
        Ok(silences)
    }

    /// A name for a silence that nobody else has.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn silence_id(&self) -> Result<String, StoreError> {
        super::suppression::random_hex().map(|random| random.chars().take(12).collect())
    }

    /// Silences alerts.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn add_silence(&self, silence: &Silence, now: Timestamp) -> Result<(), StoreError> {
        self.makes(&silence.id);
        let told = told("silenced", silence, &silence.author, &silence.reason, now);
        self.put_together(vec![silence_item(silence), notification_item(&told)]).await
    }

    /// Ends a silence: the silence as it was, if there was one that was not over.
    ///
    /// # Errors
    /// When the table cannot be read or written.
    pub async fn end_silence(
        &self,
        id: &str,
        author: &str,
        now: Timestamp,
    ) -> Result<Option<Silence>, StoreError> {
        let found = self.silences().await?.into_iter().find(|silence| silence.id == id);
        let Some(silence) = found.filter(|silence| now < silence.ends_at) else { return Ok(None) };
        let starts_at = silence.starts_at.min(now);
        let over = Silence { starts_at, ends_at: now, ..silence.clone() };
        let told = told("silence_ended", &silence, author, "", now);
        self.put_together(vec![silence_item(&over), notification_item(&told)]).await?;
        Ok(Some(silence))
    }

    /// Takes a customer's id out of what is silenced; what silenced it alone goes.
    pub(super) async fn erase_silences(&self, customer: &str) -> Result<(), StoreError> {
        for silence in self.silences().await?.into_iter().filter(|one| one.names(customer)) {
            let id = silence.id.clone();
            match silence.without(customer) {
                Some(rest) => self.put_control(silence_item(&rest), None).await.map(|_| ())?,
                None => self.delete_control(SILENCES, &id).await.map(|_| ())?,
            }
        }
        Ok(())
    }
}

fn silence_item(silence: &Silence) -> Item {
    let mut found = key(SILENCES, &silence.id);
    let bytes = codec::shrink(&serde_json::to_vec(silence).unwrap_or_default());
    found.insert("body".to_owned(), b(bytes));
    found.insert("expires".to_owned(), n(silence.ends_at.as_second() + KEEP_SECONDS));
    found
}

fn told(what: &str, silence: &Silence, author: &str, reason: &str, now: Timestamp) -> Notification {
    let of_group = silence.matchers.iter().find(|matcher| matcher.label == GROUP_LABEL);
    Notification {
        group: of_group.and_then(|matcher| matcher.values.first().cloned()),
        id: format!("{}-{what}", silence.id),
        at: now,
        what: what.to_owned(),
        reason: reason.to_owned(),
        author: Some(author.to_owned()),
        ..Notification::default()
    }
}
