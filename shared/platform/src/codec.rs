//! Bytes as they are stored: packed, and compressed where that is smaller. Billed units are bytes.

use std::cell::RefCell;
use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zstd::bulk::{Compressor, Decompressor};

const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// Nothing the pack stores unpacks to more than this: DynamoDB items end at 400 KB, and text
/// compresses perhaps tenfold.
const MAX_UNPACKED_BYTES: usize = 8 * 1024 * 1024;
/// How hard zstd tries.
const LEVEL: i32 = 3;

thread_local! {
    // Making the working memory of zstd costs more than compressing an item.
    static COMPRESSOR: RefCell<io::Result<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL));
    static DECOMPRESSOR: RefCell<io::Result<Decompressor<'static>>> = RefCell::new(Decompressor::new());
}

/// Bytes that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The first byte names no known form.
    #[error("stored bytes have the unknown form {0:?}")]
    UnknownForm(Option<u8>),
    /// The compression is damaged.
    #[error("stored bytes cannot be decompressed")]
    Zstd(#[source] io::Error),
    /// The packing is damaged, or of another version.
    #[error("stored bytes cannot be unpacked")]
    Postcard(#[source] postcard::Error),
}

/// Compresses bytes where that makes them smaller; the first byte says which.
#[must_use]
pub fn shrink(bytes: &[u8]) -> Vec<u8> {
    let mut stored = vec![ZSTD];
    // Below this size the frame outweighs the gain.
    if bytes.len() >= 96
        && let Ok(compressed) = compress(bytes)
        && compressed.len() < bytes.len()
    {
        stored.extend(compressed);
        return stored;
    }
    stored[0] = RAW;
    stored.extend(bytes);
    stored
}

/// Undoes [`shrink`].
///
/// # Errors
/// When the bytes are damaged or unpack to more than 8 MiB.
pub fn grow(stored: &[u8]) -> Result<Vec<u8>, CodecError> {
    match stored.split_first() {
        Some((&RAW, bytes)) => Ok(bytes.to_vec()),
        Some((&ZSTD, bytes)) => decompress(bytes).map_err(CodecError::Zstd),
        other => Err(CodecError::UnknownForm(other.map(|(form, _)| *form))),
    }
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| match compressor {
        Ok(compressor) => compressor.compress(bytes),
        Err(error) => Err(error.kind().into()),
    })
}

fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
        Ok(decompressor) => decompressor.decompress(bytes, MAX_UNPACKED_BYTES),
        Err(error) => Err(error.kind().into()),
    })
}

/// The version of the packed types; the byte before them.
const PACKED_VERSION: u8 = 1;
/// Postcard has no names: bytes from before a field was added end early. Fields are only added at
/// the end of a stored type, and zeros there read as none, empty and 0.
const ROOM_FOR_NEW_FIELDS: [u8; 32] = [0; 32];

/// Packs a value: a version byte, then postcard.
#[must_use]
pub fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = postcard::to_extend(value, vec![PACKED_VERSION]);
    shrink(&bytes.expect("writing plain data to memory cannot fail"))
}

/// Undoes [`pack`].
///
/// # Errors
/// When the bytes are damaged or of another version.
pub fn unpack<T: DeserializeOwned>(stored: &[u8]) -> Result<T, CodecError> {
    let mut bytes = grow(stored)?;
    bytes.extend(ROOM_FOR_NEW_FIELDS);
    match bytes.split_first() {
        Some((&PACKED_VERSION, packed)) => {
            postcard::from_bytes(packed).map_err(CodecError::Postcard)
        }
        other => Err(CodecError::UnknownForm(other.map(|(version, _)| *version))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shrinks_and_noise_costs_one_byte() {
        let text = "the same words again ".repeat(20);
        let stored = shrink(text.as_bytes());
        assert!(stored.len() < text.len() / 4);
        assert_eq!(grow(&stored).unwrap(), text.as_bytes());
        assert_eq!(shrink(b"short").len(), 6);
        assert_eq!(grow(&shrink(b"short")).unwrap(), b"short");
    }

    #[test]
    fn bytes_from_before_a_field_was_added_read_as_without_it() {
        use std::collections::BTreeMap;
        let old = ("kim".to_owned(), 7_u32);
        let new: (String, u32, Option<String>, BTreeMap<String, i64>) =
            unpack(&pack(&old)).unwrap();
        assert_eq!(new, ("kim".to_owned(), 7, None, BTreeMap::new()));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_harm_nothing_that_follows() {
        let text = "the same words again ".repeat(20);
        let mut cut = shrink(text.as_bytes());
        cut.truncate(cut.len() / 2);
        assert!(grow(&cut).is_err());
        assert_eq!(grow(&shrink(text.as_bytes())).unwrap(), text.as_bytes());
        assert!(grow(&[]).is_err());
        assert!(grow(&[9, 1, 2]).is_err());
        assert!(unpack::<u32>(&[RAW, 7, 1]).is_err());
    }
}
