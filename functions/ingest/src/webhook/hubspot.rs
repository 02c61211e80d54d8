//! HubSpot, version 3: `X-HubSpot-Signature-v3`, the base64 of the HMAC-SHA256 of method, address, body
//! and `X-HubSpot-Request-Timestamp` (milliseconds) under the client secret
//! (<https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests>).
//!
//! The address is that which HubSpot sends to. Its documents have some escapes in it decoded before
//! it is hashed, its libraries none; both are taken. Versions 1 and 2 are not keyed hashes, and what
//! they sign may be sent again for ever: they are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::feed::Algorithm;
use platform::store::Secret;

use super::signature::{Refusal, Signed, instant, is_equal, keyed_hash};
use crate::percent::percent_decoded;

const SIGNATURE: &str = "x-hubspot-signature-v3";
const TIMESTAMP: &str = "x-hubspot-request-timestamp";
/// The characters whose escapes are decoded, as HubSpot's documents list them.
const DECODED: &[u8] = b":/?@!$'()*,;";

/// Verifies a delivery; answers what it is known by, as it has no id of its own.
///
/// # Errors
/// When it is not HubSpot's.
pub(super) fn verify(signed: &Signed, secrets: &[Secret]) -> Result<String, Refusal> {
    let signature = signed.header(SIGNATURE).ok_or(Refusal::Missing)?;
    let signature = STANDARD.decode(signature.trim()).map_err(|_| Refusal::Missing)?;
    let timestamp = signed.header(TIMESTAMP).ok_or(Refusal::Missing)?;
    let at = instant(&timestamp).ok_or(Refusal::Missing)?;
    let addresses = signed.uris.iter().flat_map(|uri| {
        let listed = percent_decoded(uri, |byte| DECODED.contains(&byte));
        [uri.clone(), listed.into_owned(), percent_decoded(uri, |_| true).into_owned()]
    });
    let addresses: Vec<String> = addresses.collect();
    let fits = secrets.iter().any(|secret| {
        addresses.iter().any(|address| {
            let pieces: [&[u8]; 4] =
                [signed.method.as_bytes(), address.as_bytes(), signed.body, timestamp.as_bytes()];
            let own = keyed_hash(Algorithm::Sha256, secret.expose().as_bytes(), &pieces);
            is_equal(&own, &signature)
        })
    });
    if !fits {
        return Err(Refusal::Wrong);
    }
    signed.within_window(at).map(|()| signed.known_by(&timestamp))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value as Json;

    use super::*;
    use crate::webhook::signature::tests::{headers, recorded};

    fn judge(
        recording: &Json,
        uri: &str,
        signature: &str,
        timestamp: Option<i64>,
        body: &str,
        now: i64,
    ) -> Result<String, Refusal> {
        let timestamp = timestamp.map(|timestamp| timestamp.to_string());
        let mut pairs = vec![("X-HubSpot-Signature-V3", signature)];
        pairs.extend(timestamp.as_deref().map(|at| ("X-HubSpot-Request-Timestamp", at)));
        let headers = headers(&pairs);
        let (uris, body) = ([uri.to_owned()], body.as_bytes());
        let now = Timestamp::from_second(now).unwrap();
        let signed = Signed { method: "POST", uris: &uris, headers: &headers, body, now };
        verify(&signed, &["other".into(), recording["client_secret"].as_str().unwrap().into()])
    }

    #[test]
    fn the_recorded_vectors_are_judged_as_hubspots_own_library_does() {
        let recording = recorded("hubspot_signature.json");
        let vectors = recording["vectors"].as_array().unwrap().iter();
        let mut judged = 0;
        for vector in vectors.filter(|vector| vector["version"] == "v3") {
            let text = |name: &str| vector[name].as_str().unwrap();
            let at = vector["timestamp_ms"].as_i64();
            let (uri, signature, body) = (text("uri"), text("signature"), text("body"));
            let now = vector["now"].as_i64().unwrap();
            let found = judge(&recording, uri, signature, at, body, now);
            // HubSpot's library takes any future instant; a window has two sides.
            let is_ahead = text("name") == "v3 10 min in future";
            let expected = text("sdk_verdict") == "accept" && !is_ahead;
            assert_eq!(found.is_ok(), expected, "{}: {found:?}", text("name"));
            judged += 1;
        }
        assert_eq!(judged, 9);
    }

    #[test]
    fn the_address_is_taken_as_documented_and_as_the_library_hashes_it() {
        let recording = recorded("hubspot_signature.json");
        let rule = &recording["uri_decoding"];
        let valid = &recording["vectors"][0];
        let uri = rule["received_uri"].as_str().unwrap();
        for name in ["signature_over_decoded", "signature_over_encoded"] {
            let signature = rule[name].as_str().unwrap();
            let at = valid["timestamp_ms"].as_i64();
            let body = valid["body"].as_str().unwrap();
            let now = valid["now"].as_i64().unwrap();
            assert!(judge(&recording, uri, signature, at, body, now).is_ok(), "{name}");
        }
    }
}
