//! From the bytes of a request to its text, whatever its headers say of them.
//!
//! Gateways inflate bodies and leave `Content-Encoding`, and trackers send JSON as form data or
//! plain text; so only the bytes are believed.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

/// The largest body as it travels; Lambda takes no more.
pub(crate) const MAX_WIRE_BYTES: usize = 6 * 1024 * 1024;
/// The largest body once inflated; the largest seen from a real client is 4.2 MB.
pub(crate) const MAX_BYTES: usize = 8 * 1024 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a body has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It begins as gzip and is not.
    Gzip,
    /// It inflates to more than is taken.
    TooLarge,
}

/// The text of a body. Bytes that are no UTF-8 become U+FFFD, so that a name in another encoding
/// costs a character and not the batch; a byte order mark is dropped.
pub(crate) fn text(wire: &[u8]) -> Result<String, BodyFault> {
    let bytes = if wire.starts_with(&GZIP) { &inflate(wire)? } else { wire };
    let text = String::from_utf8_lossy(bytes);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

fn inflate(wire: &[u8]) -> Result<Vec<u8>, BodyFault> {
    let mut bytes = Vec::new();
    let mut inflated = MultiGzDecoder::new(wire).take(MAX_BYTES as u64 + 1);
    inflated.read_to_end(&mut bytes).map_err(|_| BodyFault::Gzip)?;
    if bytes.len() > MAX_BYTES { Err(BodyFault::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_known_by_its_bytes() {
        assert_eq!(text(&gzip(b"{}")), Ok("{}".to_owned()));
        assert_eq!(text(b"{}"), Ok("{}".to_owned()));
        assert_eq!(text(b""), Ok(String::new()));
    }

    #[test]
    fn stray_bytes_cost_a_character() {
        assert_eq!(text(b"\"Zo\xeb\""), Ok("\"Zo\u{fffd}\"".to_owned()));
        assert_eq!(text("\u{feff}{}".as_bytes()), Ok("{}".to_owned()));
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        assert_eq!(text(&gzip(&vec![b' '; MAX_BYTES + 1])), Err(BodyFault::TooLarge));
        assert!(text(&gzip(&vec![b' '; MAX_BYTES])).is_ok());
    }

    #[test]
    fn a_damaged_stream_is_told_apart() {
        let whole = gzip(b"{\"batch\":[]}");
        assert_eq!(text(&whole[..whole.len() - 9]), Err(BodyFault::Gzip));
        assert_eq!(text(&[0x1f, 0x8b]), Err(BodyFault::Gzip));
    }
}
