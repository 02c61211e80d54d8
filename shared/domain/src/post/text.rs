//! Text that fits: cut before it is escaped, so that no escape is cut in two.
//!
//! Receivers count characters; some count them as UTF-16 does. What has no more units of UTF-16 than a
//! limit fits it either way.

/// How long a text is for a receiver.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A text with `&`, `<` and `>` escaped, of at most so many units; what is too much ends in `…`.
pub(super) fn escaped(text: &str, most: usize) -> String {
    cut(text, most, |char| match char {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}

/// A text of at most so many units; what is too much ends in `…`.
pub(super) fn plain(text: &str, most: usize) -> String {
    cut(text, most, |_| None)
}

fn cut(text: &str, most: usize, escape: impl Fn(char) -> Option<&'static str>) -> String {
    let mut fits = String::with_capacity(text.len());
    // Where a text of one unit less ends: there is room for the sign that something is missing.
    let (mut length, mut room) = (0, 0);
    for char in text.chars() {
        let escaped = escape(char);
        length += escaped.map_or(char.len_utf16(), str::len);
        if length > most {
            fits.truncate(room);
            fits.push('…');
            return fits;
        }
        match escaped {
            Some(escaped) => fits.push_str(escaped),
            None => fits.push(char),
        }
        if length < most {
            room = fits.len();
        }
    }
    fits
}
