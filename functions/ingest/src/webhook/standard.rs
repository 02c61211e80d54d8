//! Standard Webhooks: `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature`, a list of
//! `v1,<base64>` with spaces between, each the HMAC-SHA256 of `<id>.<timestamp>.<body>` under the bytes
//! that the secret is the base64 of (<https://www.standardwebhooks.com>). The headers are also known
//! as `svix-…`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::feed::Algorithm;
use platform::store::Secret;

use super::signature::{Refusal, Signed, instant, is_equal, keyed_hash};

const PREFIXES: [&str; 2] = ["webhook", "svix"];

/// Verifies a delivery; answers its id.
///
/// # Errors
/// When it is not the source's.
pub(super) fn verify(signed: &Signed, secrets: &[Secret]) -> Result<String, Refusal> {
    let found = PREFIXES.iter().find_map(|prefix| {
        let header = |name: &str| signed.header(&format!("{prefix}-{name}"));
        Some((header("id")?, header("timestamp")?, header("signature")?))
    });
    let (id, timestamp, header) = found.ok_or(Refusal::Missing)?;
    let at = instant(&timestamp).ok_or(Refusal::Missing)?;
    // `v1a` is a signature by a key pair, which nothing here has.
    let signatures: Vec<Vec<u8>> = header
        .split_whitespace()
        .filter_map(|signature| signature.trim_end_matches(',').strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .collect();
    if id.is_empty() || signatures.is_empty() {
        return Err(Refusal::Missing);
    }
    let fits = secrets.iter().any(|secret| {
        let pieces: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", signed.body];
        let own = keyed_hash(Algorithm::Sha256, &key(secret), &pieces);
        signatures.iter().any(|signature| is_equal(&own, signature))
    });
    if !fits {
        return Err(Refusal::Wrong);
    }
    signed.within_window(at).map(|()| id)
}

/// The bytes of a secret; one that is no base64 is its own text.
fn key(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    let text = text.strip_prefix("whsec_").unwrap_or(text);
    STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value as Json;

    use super::*;
    use crate::webhook::signature::tests::{headers, recorded};

    fn judge(
        pairs: &[(&str, &str)],
        body: &str,
        now: i64,
        secret: &str,
    ) -> Result<String, Refusal> {
        let headers = headers(pairs);
        let now = Timestamp::from_second(now).unwrap();
        let signed =
            Signed { method: "POST", uris: &[], headers: &headers, body: body.as_bytes(), now };
        verify(&signed, &["whsec_b3RoZXI=".into(), secret.into()])
    }

    #[test]
    fn the_recorded_vectors_are_judged_as_the_schemes_own_library_does() {
        let recording = recorded("standard_webhooks.json");
        let secret = recording["secret"].as_str().unwrap();
        for vector in recording["vectors"].as_array().unwrap() {
            let text = |value: &Json| value.as_str().unwrap().to_owned();
            let pairs = vector["headers"].as_object().unwrap().iter();
            let pairs: Vec<(String, String)> =
                pairs.map(|(name, value)| (name.clone(), text(value))).collect();
            let expected = vector["sdk_verdict"] == "accept";
            for (from, to) in [("webhook-", "webhook-"), ("webhook-", "svix-")] {
                let pairs: Vec<(String, &str)> = pairs
                    .iter()
                    .map(|(name, value)| (name.replace(from, to), value.as_str()))
                    .collect();
                let pairs: Vec<(&str, &str)> =
                    pairs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                let body = text(&vector["body"]);
                let found = judge(&pairs, &body, vector["now"].as_i64().unwrap(), secret);
                assert_eq!(found.is_ok(), expected, "{}: {found:?}", vector["name"]);
            }
        }
    }

    #[test]
    fn the_published_vector_fits() {
        let recording = recorded("standard_webhooks.json");
        let published = &recording["published"];
        let timestamp = published["timestamp"].to_string();
        let pairs = [
            ("webhook-id", published["msg_id"].as_str().unwrap()),
            ("webhook-timestamp", timestamp.as_str()),
            ("webhook-signature", published["signature"].as_str().unwrap()),
        ];
        let body = published["body"].as_str().unwrap();
        let secret = recording["secret"].as_str().unwrap();
        let found = judge(&pairs, body, published["timestamp"].as_i64().unwrap(), secret);
        assert_eq!(found, Ok("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned()));
    }
}
