//! Bytes written as hexadecimal digits: whole texts, and the escapes of RFC 3986, section 2.1.

use std::borrow::Cow;

/// The bytes of a text in hexadecimal.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

/// A text whose `%XX` are decoded where the character they stand for is `wanted`.
pub(crate) fn percent_decoded(text: &str, wanted: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(from_hex).map(|byte| byte[0]).filter(|byte| wanted(*byte)) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_in_either_case() {
        assert_eq!(from_hex("0aFf"), Some(vec![10, 255]));
        assert_eq!((from_hex("0"), from_hex("0g"), from_hex("é")), (None, None, None));
    }

    #[test]
    fn escapes_are_decoded_where_they_are_wanted() {
        let all = |text| percent_decoded(text, |_| true).into_owned();
        assert_eq!(all("%C3%9Cnal %22q%22 100%"), "Ünal \"q\" 100%");
        assert_eq!(all("%zz%4"), "%zz%4");
        assert_eq!(percent_decoded("a%40b%20c", |byte| byte == b'@'), "a@b%20c");
    }
}
