//! From JSON as some senders write it to JSON.
//!
//! Python's `json` writes `NaN` and `Infinity`, cuts of text leave half a surrogate pair, numbers
//! are larger than a float, and files joined together have byte order marks in their midst. The
//! reader refuses each of them, and with it everything around. Here they become what stands for
//! them: null for a number that is none, U+FFFD for half a character, nothing for a mark.
//!
//! Invariant: a text that the reader takes is never changed: it is looked at only when it was refused.

/// The longest number that can be too large without an exponent.
const MAX_FLOAT_DIGITS: usize = 308;

/// The text with everything mended that can be; `None` when there is nothing to mend.
pub(crate) fn mend(text: &str) -> Option<String> {
    let mut mended = Mended { text, kept: 0, out: String::new() };
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at = match bytes[at] {
            b'"' => string(&mut mended, at),
            b'-' | b'0'..=b'9' => number(&mut mended, at),
            b'N' => word(&mut mended, at, at, "NaN"),
            b'I' => word(&mut mended, at, at, "Infinity"),
            0xef if text[at..].starts_with('\u{feff}') => {
                let end = at + '\u{feff}'.len_utf8();
                mended.replace(at, end, "");
                end
            }
            _ => at + 1,
        };
    }
    mended.finish()
}

/// What is copied so far of a text, and what is not yet.
struct Mended<'a> {
    text: &'a str,
    /// Up to here the text is in `out`, or replaced.
    kept: usize,
    out: String,
}

impl Mended<'_> {
    fn replace(&mut self, from: usize, to: usize, with: &str) {
        self.out.push_str(&self.text[self.kept..from]);
        self.out.push_str(with);
        self.kept = to;
    }

    fn finish(mut self) -> Option<String> {
        if self.kept == 0 {
            return None;
        }
        self.out.push_str(&self.text[self.kept..]);
        Some(self.out)
    }
}

/// Passes a word that begins at `at`; one that stands for no number becomes null, with the sign
/// before it at `from`.
fn word(mended: &mut Mended, from: usize, at: usize, word: &str) -> usize {
    if !mended.text[at..].starts_with(word) {
        return at + 1;
    }
    mended.replace(from, at + word.len(), "null");
    at + word.len()
}

fn number(mended: &mut Mended, from: usize) -> usize {
    let bytes = mended.text.as_bytes();
    if bytes[from] == b'-' && bytes.get(from + 1) == Some(&b'I') {
        return word(mended, from, from + 1, "Infinity");
    }
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let length = bytes[from..].iter().take_while(|byte| is_part(byte)).count();
    let to = from + length;
    let number = &mended.text[from..to];
    let may_be_large = length > MAX_FLOAT_DIGITS || number.contains(['e', 'E']);
    if may_be_large && number.parse::<f64>().is_ok_and(f64::is_infinite) {
        mended.replace(from, to, "null");
    }
    to
}

/// Passes a string that begins at `from`: where it ends.
fn string(mended: &mut Mended, from: usize) -> usize {
    let bytes = mended.text.as_bytes();
    let mut at = from + 1;
    while at < bytes.len() {
        at = match bytes[at] {
            b'"' => return at + 1,
            b'\\' => escape(mended, at),
            control @ ..0x20 => {
                mended.replace(at, at + 1, &format!("\\u{control:04x}"));
                at + 1
            }
            _ => at + 1,
        };
    }
    at
}

/// Passes an escape of a string; half a surrogate pair becomes U+FFFD.
fn escape(mended: &mut Mended, at: usize) -> usize {
    const HALVES: std::ops::RangeInclusive<u32> = 0xd800..=0xdfff;
    const FIRST: std::ops::RangeInclusive<u32> = 0xd800..=0xdbff;
    const SECOND: std::ops::RangeInclusive<u32> = 0xdc00..=0xdfff;
    let Some(unit) = unit(mended.text, at) else { return at + 2 };
    let is_pair = FIRST.contains(&unit)
        && self::unit(mended.text, at + 6).is_some_and(|next| SECOND.contains(&next));
    if is_pair {
        return at + 12;
    }
    if HALVES.contains(&unit) {
        mended.replace(at, at + 6, "\\ufffd");
    }
    at + 6
}

/// The code unit of an escape as `\ud83d`, if there is one.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    fn check(text: &str, expected: &str) {
        let mended = mend(text);
        assert_eq!(mended.as_deref().unwrap_or(text), expected);
        serde_json::from_str::<Json>(expected).unwrap();
    }

    #[test]
    fn what_is_no_number_becomes_null() {
        check(r#"{"a":NaN,"b":[Infinity, -Infinity]}"#, r#"{"a":null,"b":[null, null]}"#);
        check(r#"{"a":1e400,"b":-1E+999}"#, r#"{"a":null,"b":null}"#);
        check(&format!("[{}]", "9".repeat(400)), "[null]");
        check(r#"{"a":"NaN","b":"-Infinity 1e400"}"#, r#"{"a":"NaN","b":"-Infinity 1e400"}"#);
    }

    #[test]
    fn half_a_character_becomes_its_sign() {
        check(r#""a\ud83d""#, r#""a\ufffd""#);
        check(r#""\ude00\ud83d\ud83d\ude00""#, r#""\ufffd\ufffd\ud83d\ude00""#);
        check(r#""\\ud83d""#, r#""\\ud83d""#);
        check(r#""\ud83d\n""#, r#""\ufffd\n""#);
    }

    #[test]
    fn marks_and_bare_control_characters_are_no_reason_to_refuse() {
        check("[\u{feff}{\"a\":\"\u{feff}\"}]", "[{\"a\":\"\u{feff}\"}]");
        check("\"a\tb\u{1}\"", r#""a\u0009b\u0001""#);
    }

    #[test]
    fn what_cannot_be_mended_is_left() {
        for text in
            ["", "{", "\"", "\"\\", "\"\\u", "\"\\ud8", "N", "-", "[1e]", "Infinit", "\"é\\"]
        {
            assert_eq!(mend(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "([\\[\\]{}\":,0-9eE+-]|NaN|Infinity|\\\\u|d83d|\\\\|\u{feff}|.){0,30}") {
            if let Some(mended) = mend(&text) {
                // What is mended stays mended.
                prop_assert_eq!(mend(&mended), None);
            }
        }

        #[test]
        fn what_the_reader_takes_is_not_changed(
            text in "\\[(-?[0-9]{1,3}(e[0-9]{1,2})?|\"[a-zé\u{feff}]{0,3}\"|null|\\{\\})?\\]"
        ) {
            if serde_json::from_str::<Json>(&text).is_ok() {
                prop_assert_eq!(mend(&text), None);
            }
        }
    }
}
