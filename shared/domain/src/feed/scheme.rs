//! How a delivery is signed. Only the description is here: what is computed, and compared, is the
//! business of whoever receives it.

/// How a feed's deliveries are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// Stripe's `Stripe-Signature`.
    Stripe,
    /// HubSpot's signature of version 3.
    HubSpot,
    /// Standard Webhooks, under `webhook-` or `svix-` names.
    Standard,
    /// A keyed hash, as described.
    Hmac(Hmac),
}

/// The words a lifecycle file may use.
pub const WORDS: [&str; 7] =
    ["stripe", "hubspot", "standard", "github", "slack", "zendesk", "intercom"];

impl Scheme {
    /// Reads a word of the lifecycle file.
    #[must_use]
    pub fn parse(word: &str) -> Option<Scheme> {
        let hmac = |header: &str, prefix: &str, signed: &[Piece]| Hmac {
            prefix: prefix.to_owned(),
            signed: signed.to_vec(),
            ..Hmac::new(header)
        };
        let (colon, v0) = (Piece::Written(":".to_owned()), Piece::Written("v0:".to_owned()));
        Some(match word {
            "stripe" => Scheme::Stripe,
            "hubspot" => Scheme::HubSpot,
            "standard" => Scheme::Standard,
            "github" => Scheme::Hmac(Hmac {
                id_header: Some("x-github-delivery".to_owned()),
                ..hmac("x-hub-signature-256", "sha256=", &[Piece::Body])
            }),
            "slack" => Scheme::Hmac(Hmac {
                timestamp_header: Some("x-slack-request-timestamp".to_owned()),
                ..hmac("x-slack-signature", "v0=", &[v0, Piece::Timestamp, colon, Piece::Body])
            }),
            "zendesk" => Scheme::Hmac(Hmac {
                encoding: Encoding::Base64,
                timestamp_header: Some("x-zendesk-webhook-signature-timestamp".to_owned()),
                ..hmac("x-zendesk-webhook-signature", "", &[Piece::Timestamp, Piece::Body])
            }),
            "intercom" => Scheme::Hmac(Hmac {
                algorithm: Algorithm::Sha1,
                ..hmac("x-hub-signature", "sha1=", &[Piece::Body])
            }),
            _ => return None,
        })
    }
}

/// A keyed hash over parts of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hmac {
    /// The header of the signature, in lower case.
    pub header: String,
    /// The hash.
    pub algorithm: Algorithm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What stands before it in the header.
    pub prefix: String,
    /// What is signed, piece by piece.
    pub signed: Vec<Piece>,
    /// The header of the instant of sending, in lower case: seconds or milliseconds since 1970, or
    /// a date. Where there is one, a delivery from outside the window is refused.
    pub timestamp_header: Option<String>,
    /// The header of the delivery's id, in lower case.
    pub id_header: Option<String>,
    /// What of the secret is the key.
    pub secret: SecretForm,
}

impl Hmac {
    /// The simplest: the body's SHA-256 in hexadecimal.
    #[must_use]
    pub fn new(header: &str) -> Hmac {
        Hmac {
            header: header.to_owned(),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: String::new(),
            signed: vec![Piece::Body],
            timestamp_header: None,
            id_header: None,
            secret: SecretForm::Text,
        }
    }
}

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, for those who know no other.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, in either case.
    Hex,
    /// Base64.
    Base64,
}

/// What of a secret is the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// Its text.
    Text,
    /// The bytes that its text is the base64 of.
    Base64,
}

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The body, as it travelled.
    Body,
    /// The text of the timestamp's header.
    Timestamp,
    /// The text of the id's header.
    Id,
    /// This text.
    Written(String),
}

impl Piece {
    /// Reads what is signed, as `{timestamp}.{body}`.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse_all(text: &str) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let named =
                [("{body}", Piece::Body), ("{timestamp}", Piece::Timestamp), ("{id}", Piece::Id)];
            let found = named.into_iter().find(|(name, _)| rest[open..].starts_with(name));
            let Some((name, piece)) = found else {
                let message = "is put together of `{body}`, `{timestamp}`, `{id}` and text";
                return Err(format!("`signed` {message}"));
            };
            if open > 0 {
                pieces.push(Piece::Written(rest[..open].to_owned()));
            }
            pieces.push(piece);
            rest = &rest[open + name.len()..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Written(rest.to_owned()));
        }
        if !pieces.contains(&Piece::Body) {
            return Err("`signed` has to have `{body}` in it: else anything could be sent".into());
        }
        Ok(pieces)
    }
}
