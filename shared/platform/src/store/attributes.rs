//! Items of DynamoDB, attribute by attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::codec;

/// An item.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn s(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn n(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn b(value: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// An item from pairs.
pub(super) fn item<const N: usize>(pairs: [(&str, AttributeValue); N]) -> Item {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A key of two parts.
pub(super) fn key(pk: &str, sk: &str) -> Item {
    item([("pk", s(pk)), ("sk", s(sk))])
}

/// Reads the attributes of an item of one table.
pub(super) struct Reader<'a> {
    pub(super) table: &'static str,
    pub(super) item: &'a Item,
}

impl<'a> Reader<'a> {
    pub(super) fn text(&self, name: &'static str) -> Result<&'a str, StoreError> {
        self.maybe_text(name).ok_or(StoreError::Item { table: self.table, what: name })
    }

    pub(super) fn maybe_text(&self, name: &str) -> Option<&'a str> {
        self.item.get(name)?.as_s().ok().map(String::as_str)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, StoreError> {
        self.maybe_number(name).ok_or(StoreError::Item { table: self.table, what: name })
    }

    pub(super) fn maybe_number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.item.get(name)?.as_n().ok()?.parse().ok()
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<&'a [u8], StoreError> {
        self.item
            .get(name)
            .and_then(|value| value.as_b().ok())
            .map(Blob::as_ref)
            .ok_or(StoreError::Item { table: self.table, what: name })
    }

    pub(super) fn unpack<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, StoreError> {
        codec::unpack(self.bytes(name)?)
            .map_err(|source| StoreError::Codec { table: self.table, source })
    }
}
