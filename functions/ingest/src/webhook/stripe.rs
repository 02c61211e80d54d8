//! Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>]`, the HMAC-SHA256 of `<t>.<body>`
//! under the whole text of the secret (<https://docs.stripe.com/webhooks/signature>).

use domain::feed::Algorithm;
use platform::store::Secret;

use super::signature::{Refusal, Signed, instant, is_equal, keyed_hash};
use crate::percent::from_hex;

const HEADER: &str = "stripe-signature";

/// Verifies a delivery; answers what it is known by. Its own id is in its body.
///
/// # Errors
/// When it is not Stripe's.
pub(super) fn verify(signed: &Signed, secrets: &[Secret]) -> Result<String, Refusal> {
    let header = signed.header(HEADER).ok_or(Refusal::Missing)?;
    let (mut timestamp, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) => timestamp = timestamp.or(Some(value)),
            Some(("v1", value)) => signatures.extend(from_hex(value)),
            // Other versions are of other uses: v0 is of test events.
            Some(_) | None => {}
        }
    }
    let timestamp = timestamp.ok_or(Refusal::Missing)?;
    let at = instant(timestamp).ok_or(Refusal::Missing)?;
    if signatures.is_empty() {
        return Err(Refusal::Missing);
    }
    let fits = secrets.iter().any(|secret| {
        let pieces: [&[u8]; 3] = [timestamp.as_bytes(), b".", signed.body];
        let own = keyed_hash(Algorithm::Sha256, secret.expose().as_bytes(), &pieces);
        signatures.iter().any(|signature| is_equal(&own, signature))
    });
    if !fits {
        return Err(Refusal::Wrong);
    }
    signed.within_window(at).map(|()| signed.known_by(timestamp))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::webhook::signature::tests::{headers, recorded};

    #[test]
    fn the_recorded_vectors_are_judged_as_stripes_own_library_does() {
        let recording = recorded("stripe_signature.json");
        for vector in recording["vectors"].as_array().unwrap() {
            let text = |name: &str| vector[name].as_str().unwrap();
            let headers = headers(&[("Stripe-Signature", text("header"))]);
            let signed = Signed {
                method: "POST",
                uris: &[],
                headers: &headers,
                body: text("body").as_bytes(),
                now: Timestamp::from_second(vector["now"].as_i64().unwrap()).unwrap(),
            };
            let found = verify(&signed, &["other".into(), text("secret").into()]);
            // Stripe's libraries take any future instant; a window has two sides.
            let is_ahead = text("name") == "timestamp 10 min in the future";
            let expected = text("sdk_verdict") == "accept" && !is_ahead;
            assert_eq!(found.is_ok(), expected, "{}: {found:?}", text("name"));
        }
        assert!(recording["vectors"].as_array().unwrap().len() >= 14);
    }
}
