//! The newest picture of all customers.

use domain::overview::Overview;

use super::attributes::{Reader, b, item, key, n};
use super::{Store, StoreError};
use crate::codec;

const OVERVIEW: &str = "overview";
/// A picture that nobody takes anew goes by itself, and the names in it with it.
const KEEP_DAYS: i64 = 7;

impl Store {
    /// The newest picture of all customers, if one was taken.
    ///
    /// # Errors
    /// When the table cannot be read or the item is damaged.
    pub async fn overview(&self) -> Result<Option<Overview>, StoreError> {
        let Some(found) = self.get_control(OVERVIEW, "newest", false).await? else {
            return Ok(None);
        };
        let read = Reader { table: "control", item: &found };
        let wrong = |_| StoreError::Item { table: "control", what: "overview" };
        let bytes = codec::grow(read.bytes("overview")?)
            .map_err(|source| StoreError::Codec { table: "control", source })?;
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    /// Drops the newest picture: there is none until the next one is taken.
    pub(super) async fn forget_overview(&self) -> Result<(), StoreError> {
        self.delete_control(OVERVIEW, "newest").await.map(|_| ())
    }

    /// Keeps a picture in the place of the one before.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn keep_overview(&self, taken: &Overview) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(taken).unwrap_or_default();
        let mut kept = key(OVERVIEW, "newest");
        kept.extend(item([
            ("overview", b(codec::shrink(&bytes))),
            ("expires", n(taken.at.as_second() + KEEP_DAYS * 86_400)),
        ]));
        self.put_control(kept, None).await.map(|_| ())
    }
}
