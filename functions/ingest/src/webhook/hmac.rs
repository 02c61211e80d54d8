//! A keyed hash as a feed describes it: GitHub's, Slack's, Zendesk's, Intercom's, or any other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::feed::{Encoding, Hmac, Piece, SecretForm};
use platform::store::Secret;

use super::signature::{Refusal, Signed, instant, is_equal, keyed_hash};
use crate::percent::from_hex;

/// Verifies a delivery; answers its id where that is signed, else what it is known by.
///
/// # Errors
/// When it is not the source's.
pub(super) fn verify(
    scheme: &Hmac,
    signed: &Signed,
    secrets: &[Secret],
) -> Result<String, Refusal> {
    let header = signed.header(&scheme.header).ok_or(Refusal::Missing)?;
    // Some list several, for a rotation.
    let signatures = header.split([',', ' ']).filter_map(|part| {
        let signature = part.trim().strip_prefix(scheme.prefix.as_str())?;
        match scheme.encoding {
            Encoding::Hex => from_hex(signature),
            Encoding::Base64 => STANDARD.decode(signature).ok(),
        }
    });
    let signatures: Vec<Vec<u8>> = signatures.filter(|signature| !signature.is_empty()).collect();
    if signatures.is_empty() {
        return Err(Refusal::Missing);
    }
    let header = |name: &Option<String>| {
        name.as_ref().map(|name| signed.header(name).ok_or(Refusal::Missing)).transpose()
    };
    let timestamp = header(&scheme.timestamp_header)?;
    let id = header(&scheme.id_header)?;
    let at = timestamp.as_deref().map(|text| instant(text).ok_or(Refusal::Missing)).transpose()?;
    let pieces: Vec<&[u8]> = scheme
        .signed
        .iter()
        .map(|piece| match piece {
            Piece::Body => signed.body,
            Piece::Timestamp => timestamp.as_deref().unwrap_or_default().as_bytes(),
            Piece::Id => id.as_deref().unwrap_or_default().as_bytes(),
            Piece::Written(text) => text.as_bytes(),
        })
        .collect();
    let fits = secrets.iter().any(|secret| {
        let own = keyed_hash(scheme.algorithm, &key(scheme.secret, secret), &pieces);
        signatures.iter().any(|signature| is_equal(&own, signature))
    });
    if !fits {
        return Err(Refusal::Wrong);
    }
    at.map(|at| signed.within_window(at)).transpose()?;
    // An id that no signature covers may be another each time that a delivery is sent again.
    let id = id.filter(|id| !id.is_empty() && scheme.signed.contains(&Piece::Id));
    Ok(id.unwrap_or_else(|| signed.known_by(timestamp.as_deref().unwrap_or_default())))
}

fn key(form: SecretForm, secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    match form {
        SecretForm::Text => text.as_bytes().to_vec(),
        SecretForm::Base64 => STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use domain::feed::{Algorithm, Scheme};
    use jiff::Timestamp;

    use super::*;
    use crate::webhook::signature::tests::{headers, recorded};

    fn named(word: &str) -> Hmac {
        match Scheme::parse(word) {
            Some(Scheme::Hmac(hmac)) => hmac,
            other => panic!("{word}: {other:?}"),
        }
    }

    fn judge(
        scheme: &Hmac,
        headers: &HeaderMap,
        body: &str,
        now: i64,
        secret: &str,
    ) -> Result<String, Refusal> {
        let now = Timestamp::from_second(now).unwrap();
        let signed = Signed { method: "POST", uris: &[], headers, body: body.as_bytes(), now };
        verify(scheme, &signed, &["other".into(), secret.into()])
    }

    #[test]
    fn the_recorded_vectors_of_slack_are_judged_as_its_own_library_does() {
        let recording = recorded("slack_signature.json");
        for vector in recording["vectors"].as_array().unwrap() {
            let text = |name: &str| vector[name].as_str().unwrap();
            let mut pairs = vec![("X-Slack-Signature", text("signature"))];
            pairs.extend(vector["timestamp"].as_str().map(|at| ("X-Slack-Request-Timestamp", at)));
            let now = vector["now"].as_i64().unwrap();
            let found = judge(&named("slack"), &headers(&pairs), text("body"), now, text("secret"));
            let expected = text("sdk_verdict").starts_with("accept");
            assert_eq!(found.is_ok(), expected, "{}: {found:?}", text("name"));
        }
    }

    #[test]
    fn githubs_published_vector_fits() {
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = headers(&[("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", "d-1")]);
        let secret = "It's a Secret to Everybody";
        let found = judge(&named("github"), &headers, "Hello, World!", 0, secret);
        // The delivery's id is not signed, so that another one makes no other delivery of it.
        let hash = "dffd6021bb2bd5b0af676290809ec3a5";
        assert_eq!(found, Ok(hash.to_owned()));
        let found = judge(&named("github"), &headers, "Hello, World?", 0, secret);
        assert_eq!(found, Err(Refusal::Wrong));
    }

    #[test]
    fn a_described_scheme_signs_what_it_says() {
        let scheme = Hmac {
            algorithm: Algorithm::Sha512,
            encoding: Encoding::Base64,
            prefix: "v1:".to_owned(),
            signed: Piece::parse_all("{id}|{timestamp}|{body}").unwrap(),
            timestamp_header: Some("x-at".to_owned()),
            id_header: Some("x-id".to_owned()),
            secret: SecretForm::Base64,
            ..Hmac::new("x-signature")
        };
        let secret = STANDARD.encode(b"key");
        let own = STANDARD.encode(keyed_hash(Algorithm::Sha512, b"key", &[b"d-1|1768473000|{}"]));
        let judge =
            |pairs: &[(&str, &str)], now| judge(&scheme, &headers(pairs), "{}", now, &secret);
        let (wrong, signature) = (format!("v1:AAAA,v1:{own}"), format!("v1:{own}"));
        let good = [("x-signature", &*wrong), ("x-at", "1768473000"), ("x-id", "d-1")];
        assert_eq!(judge(&good, 1_768_473_300), Ok("d-1".to_owned()));
        assert_eq!(judge(&good, 1_768_473_301), Err(Refusal::OutsideWindow));
        assert_eq!(judge(&good, 1_768_472_699), Err(Refusal::OutsideWindow));
        let other = [("x-signature", &*signature), ("x-at", "1768473000"), ("x-id", "d-2")];
        assert_eq!(judge(&other, 1_768_473_000), Err(Refusal::Wrong));
        assert_eq!(judge(&good[..2], 1_768_473_000), Err(Refusal::Missing));
        assert_eq!(judge(&[("x-signature", &*own)], 1_768_473_000), Err(Refusal::Missing));
    }
}
