//! Keeping the journal of a customer who was erased: every decision as it was, and nobody's.
//!
//! A journal is taken to a key that nothing leads back from: a hash of random bits and of its first
//! entry. The bits are written down under the customer's key before anything moves and forgotten when
//! everything has: a burial that was cut off goes on at the same key, two journals that begin alike are
//! kept apart, and who knows an id cannot tell which journal was its own.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};
use sha2::{Digest, Sha256};

use super::attributes::{Item, Reader, item, key, s};
use super::control::PutOutcome;
use super::suppression::random_hex;
use super::{CustomerKey, Store, StoreError};

/// Where the random bits of burials that are under way are.
const GRAVES: &str = "grave";

impl Store {
    /// Takes a journal to a key of its own. The first entry goes last: the key is made from it.
    pub(super) async fn bury_journal(&self, of: &CustomerKey) -> Result<(), StoreError> {
        let query = self.query_under(&self.tables.journal, of.as_str()).consistent_read(true);
        let entries = self.all_pages(query).await?;
        if let Some(first) = entries.first() {
            let grave = self.grave(of, first).await?;
            let day = |entry: &Item| entry.get("day")?.as_s().ok().cloned();
            let days: BTreeSet<String> = entries.iter().filter_map(day).collect();
            self.rename_in_roots(of, &grave, &days).await?;
            for entry in entries.into_iter().rev() {
                self.bury_entry(of, &grave, entry).await?;
            }
        }
        self.delete_control(GRAVES, of.as_str()).await.map(|_| ())
    }

    /// The key that a journal with this first entry is kept under from now on: the same each time, until
    /// the burial is over.
    async fn grave(&self, of: &CustomerKey, first: &Item) -> Result<CustomerKey, StoreError> {
        let mut bits = format!("{}{}", random_hex()?, random_hex()?);
        let mut found = key(GRAVES, of.as_str());
        found.insert("bits".to_owned(), s(&bits));
        let is_new = ("attribute_not_exists(pk)", Item::new());
        if self.put_control(found, Some(is_new)).await? == PutOutcome::Exists {
            let begun = self.get_control(GRAVES, of.as_str(), true).await?.unwrap_or_default();
            Reader { table: "control", item: &begun }.text("bits")?.clone_into(&mut bits);
        }
        let mut hash = Sha256::new();
        hash.update(bits);
        hash.update(Reader { table: "journal", item: first }.text("entry")?);
        Ok(CustomerKey::erased(&domain::hex(&hash.finalize()[..16])))
    }

    async fn bury_entry(
        &self,
        of: &CustomerKey,
        grave: &CustomerKey,
        mut entry: Item,
    ) -> Result<(), StoreError> {
        let table = &self.tables.journal;
        let missing = StoreError::Item { table: "journal", what: "sk" };
        let sequence = entry.get("sk").cloned().ok_or(missing)?;
        entry.insert("pk".to_owned(), s(grave.as_str()));
        let put = PutRequest::builder().set_item(Some(entry)).build();
        let put = put.map_err(StoreError::call_built("BatchWriteItem", table))?;
        let put = WriteRequest::builder().put_request(put).build();
        self.write_batch(table, vec![put]).await?;
        let old = item([("pk", s(of.as_str())), ("sk", sequence)]);
        let delete = DeleteRequest::builder().set_key(Some(old)).build();
        let delete = delete.map_err(StoreError::call_built("BatchWriteItem", table))?;
        let delete = WriteRequest::builder().delete_request(delete).build();
        self.write_batch(table, vec![delete]).await
    }
}
