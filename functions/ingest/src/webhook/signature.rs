//! What all schemes have in common: keyed hashes, their comparison, and the window of time.

use ::hmac::{Hmac, KeyInit, Mac};
use axum::http::HeaderMap;
use domain::feed::{Algorithm, instant_of};
use jiff::{SignedDuration, Timestamp};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::percent::percent_decoded;

/// How old, or how far ahead, a signature may be: the five minutes of every scheme that has a
/// window, on both sides.
const WINDOW: SignedDuration = SignedDuration::from_secs(300);

/// A delivery as it travelled.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// What the sender may take for its address.
    pub(crate) uris: &'a [String],
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) now: Timestamp,
}

/// Why a delivery is not its source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is nothing to verify it with.
    NoSecret,
    /// It is not signed, or not in a form of its scheme.
    Missing,
    /// No signature fits.
    Wrong,
    /// It is signed, and too old or too far ahead.
    OutsideWindow,
}

impl Signed<'_> {
    /// A header's text; of several, all of them, with commas between.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.get_all(name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// What a delivery without an id is known by when it is sent again: what is signed of it.
    pub(crate) fn known_by(&self, timestamp: &str) -> String {
        let hash = Sha256::new().chain_update(timestamp).chain_update(self.body);
        domain::hex(&hash.finalize()[..16])
    }

    /// Whether an instant is within the window.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn within_window(&self, at: Timestamp) -> Result<(), Refusal> {
        let difference = self.now.duration_since(at).abs();
        // The log's clock has milliseconds, senders' have seconds: 300.9 s are 300.
        match difference.as_secs() <= WINDOW.as_secs() {
            true => Ok(()),
            false => Err(Refusal::OutsideWindow),
        }
    }
}

/// The keyed hash of some pieces, one after the other.
pub(crate) fn keyed_hash(algorithm: Algorithm, key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    fn of<M: Mac + KeyInit>(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
        pieces.iter().for_each(|piece| Mac::update(&mut mac, piece));
        mac.finalize().into_bytes().to_vec()
    }
    match algorithm {
        Algorithm::Sha1 => of::<Hmac<Sha1>>(key, pieces),
        Algorithm::Sha256 => of::<Hmac<Sha256>>(key, pieces),
        Algorithm::Sha512 => of::<Hmac<Sha512>>(key, pieces),
    }
}

/// Whether two hashes are one, in a time that does not tell where they differ.
pub(crate) fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// An instant in a header: seconds or milliseconds since 1970, or a date.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    match text.parse() {
        Ok(number) => instant_of(number),
        Err(_) => text.parse().ok(),
    }
}

/// The data of a body: the body, or the JSON in the field `payload` of a form.
pub(crate) fn payload(text: &str) -> String {
    match text.strip_prefix("payload=") {
        Some(value) => {
            let value = value.split('&').next().unwrap_or_default().replace('+', " ");
            percent_decoded(&value, |_| true).into_owned()
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The recorded vectors of a scheme.
    pub(crate) fn recorded(name: &str) -> serde_json::Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("../../tests/fixtures/recorded/webhooks").join(name);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: axum::http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn hashes_are_those_of_rfc_4231_and_rfc_2202() {
        let hash = |algorithm| {
            domain::hex(&keyed_hash(algorithm, b"Jefe", &[b"what do ya ", b"want for nothing?"]))
        };
        assert_eq!(hash(Algorithm::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            hash(Algorithm::Sha256),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(hash(Algorithm::Sha512).starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"));
    }

    #[test]
    fn hashes_are_equal_only_as_a_whole() {
        assert!(is_equal(b"ab", b"ab"));
        assert!(!is_equal(b"ab", b"ac") && !is_equal(b"ab", b"a") && !is_equal(b"", b"a"));
    }

    #[test]
    fn instants_are_read_as_senders_write_them() {
        let at: Timestamp = "2026-01-15T10:30:00Z".parse().unwrap();
        for text in ["1768473000", " 1768473000000 ", "2026-01-15T10:30:00Z"] {
            assert_eq!(instant(text), Some(at), "{text}");
        }
        assert_eq!(
            (instant(""), instant("soon"), instant(&i64::MAX.to_string())),
            (None, None, None)
        );
    }

    #[test]
    fn the_data_of_a_form_is_its_payload() {
        assert_eq!(payload("payload=%7B%22a%22%3A%22b+c%22%7D&x=1"), "{\"a\":\"b c\"}");
        assert_eq!(payload("{}"), "{}");
    }
}
