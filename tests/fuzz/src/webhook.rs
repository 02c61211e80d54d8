//! The schemes that sources sign with, as `ingest` verifies them.

#[path = "../../../functions/ingest/src/webhook/hmac.rs"]
mod hmac;
#[path = "../../../functions/ingest/src/webhook/hubspot.rs"]
mod hubspot;
#[path = "../../../functions/ingest/src/webhook/signature.rs"]
mod signature;
#[path = "../../../functions/ingest/src/webhook/standard.rs"]
mod standard;
#[path = "../../../functions/ingest/src/webhook/stripe.rs"]
mod stripe;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::feed::{Algorithm, Hmac};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use self::signature::{Refusal, Signed, keyed_hash};
use crate::store::Secret;

const SECRET: &str = "a secret that nobody guesses";
const URI: &str = "https://api.example.com/v1/webhooks/source?a=%2Fb";
/// 2026-01-15T12:00:00Z.
const NOW_SECONDS: i64 = 1_768_478_400;

/// A scheme, the headers it reads, and how it signs a body at [`NOW_SECONDS`].
struct Scheme {
    headers: &'static [&'static str],
    verify: fn(&Signed, &[Secret]) -> Result<String, Refusal>,
    sign: fn(&[u8]) -> Vec<(&'static str, String)>,
}

const SCHEMES: [Scheme; 4] = [
    Scheme {
        headers: &["stripe-signature"],
        verify: stripe::verify,
        sign: |body| {
            let at = NOW_SECONDS.to_string();
            let hash = domain::hex(&hash(&[at.as_bytes(), b".", body]));
            vec![("stripe-signature", format!("t={at},v1={hash}"))]
        },
    },
    Scheme {
        headers: &["webhook-id", "webhook-timestamp", "webhook-signature"],
        verify: standard::verify,
        sign: |body| {
            let at = NOW_SECONDS.to_string();
            let hash = STANDARD.encode(hash(&[b"id.", at.as_bytes(), b".", body]));
            vec![
                ("webhook-id", "id".to_owned()),
                ("webhook-timestamp", at),
                ("webhook-signature", format!("v1,{hash}")),
            ]
        },
    },
    Scheme {
        headers: &["x-hubspot-request-timestamp", "x-hubspot-signature-v3"],
        verify: hubspot::verify,
        sign: |body| {
            let at = format!("{NOW_SECONDS}000");
            let hash = STANDARD.encode(hash(&[b"POST", URI.as_bytes(), body, at.as_bytes()]));
            vec![("x-hubspot-request-timestamp", at), ("x-hubspot-signature-v3", hash)]
        },
    },
    Scheme {
        headers: &["x-signature"],
        verify: |signed, secrets| hmac::verify(&Hmac::new("x-signature"), signed, secrets),
        sign: |body| vec![("x-signature", domain::hex(&hash(&[body])))],
    },
];

fn hash(pieces: &[&[u8]]) -> Vec<u8> {
    keyed_hash(Algorithm::Sha256, SECRET.as_bytes(), pieces)
}

/// The first byte chooses a scheme, what follows up to a line break stands in its headers, and the
/// rest is the body: it is refused. Signed by who has the secret it is taken, and not when it was
/// changed on its way.
pub(crate) fn signature(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let scheme = &SCHEMES[usize::from(*first) % SCHEMES.len()];
    let (told, body) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (rest, &[][..]),
    };
    if let Ok(told) = HeaderValue::from_bytes(told) {
        let headers = scheme.headers.iter().map(|name| (*name, told.clone()));
        let forged = verify(scheme, headers.collect::<Vec<_>>(), body);
        assert!(forged.is_err(), "taken without the secret");
    }
    let signed = (scheme.sign)(body).into_iter();
    let signed = signed.map(|(name, value)| (name, value.parse().expect("it is a header")));
    let signed: Vec<(&str, HeaderValue)> = signed.collect();
    let known_by = verify(scheme, signed.clone(), body).expect("its source signed it");
    assert!(!known_by.is_empty());
    let changed = [body, b"!"].concat();
    assert_eq!(verify(scheme, signed, &changed), Err(Refusal::Wrong));
}

fn verify(
    scheme: &Scheme,
    pairs: Vec<(&'static str, HeaderValue)>,
    body: &[u8],
) -> Result<String, Refusal> {
    let mut headers = HeaderMap::new();
    pairs.into_iter().for_each(|(name, value)| {
        headers.append(name, value);
    });
    let now = Timestamp::from_second(NOW_SECONDS).expect("it is an instant");
    let uris = [URI.to_owned()];
    let signed = Signed { method: "POST", uris: &uris, headers: &headers, body, now };
    (scheme.verify)(&signed, &[Secret::from("another"), Secret::from(SECRET)])
}
