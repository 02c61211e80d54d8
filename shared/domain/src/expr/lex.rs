//! Splits an expression into tokens.
//!
//! What is not CEL is refused here, with what was probably meant: `=` for `==`, curly quotes,
//! `14d`, `≥`.

use std::ops::Range;

use super::{MAX_WHOLE, Problem};

/// One token of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A number; `whole` when it was written without a point or exponent.
    Number { value: f64, whole: bool },
    /// A string literal, unescaped.
    Text(String),
    /// A name with its dots, or a word of the language.
    Word(&'a str),
    /// An operator or a bracket.
    Sign(&'static str),
    /// The end of the source.
    End,
}

/// A token and its place, in bytes of the source.
pub(super) type Spanned<'a> = (Token<'a>, Range<usize>);

/// The longer ones first: the first that matches is taken.
const SIGNS: [&str; 19] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]",
    ",",
];

/// What people write instead, and the sentence that helps.
const STRANGERS: [(&str, &str, &str); 20] = [
    ("<>", "`<>` is not an operator", "write `!=` for not equal"),
    ("=>", "`=>` is not an operator", "write `>=`"),
    ("=<", "`=<` is not an operator", "write `<=`"),
    ("=", "`=` does not compare", "write `==`"),
    ("&", "`&` is not an operator", "write `&&`"),
    ("|", "`|` is not an operator", "write `||`"),
    ("“", "curly quotes do not quote", "write straight quotes: \"...\""),
    ("”", "curly quotes do not quote", "write straight quotes: \"...\""),
    ("„", "curly quotes do not quote", "write straight quotes: \"...\""),
    ("‘", "curly quotes do not quote", "write straight quotes: '...'"),
    ("’", "curly quotes do not quote", "write straight quotes: '...'"),
    ("≥", "`≥` is not an operator", "write `>=`"),
    ("≤", "`≤` is not an operator", "write `<=`"),
    ("≠", "`≠` is not an operator", "write `!=`"),
    ("×", "`×` is not an operator", "write `*`"),
    ("÷", "`÷` is not an operator", "write `/`"),
    ("–", "`–` is a dash", "write `-` for minus"),
    ("−", "`−` is not an operator", "write `-`"),
    (
        "?",
        "there is no choice `a ? b : c` in conditions",
        "write the cases with `&&` and `||`, or as lists under `any:` and `all:`",
    ),
    ("#", "`#` is not an operator", "a YAML comment starts on its own, outside the quotes"),
];

/// The tokens of `source`, the last one [`Token::End`]; or the first thing that is none.
pub(super) fn tokens(source: &str) -> Result<Vec<Spanned<'_>>, Problem> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        if matches!(first, ' ' | '\t' | '\n' | '\r') {
            at += 1;
            continue;
        }
        let (token, len) = token(source, at, first)?;
        tokens.push((token, at..at + len));
        at += len;
    }
    tokens.push((Token::End, source.len()..source.len()));
    Ok(tokens)
}

fn token(source: &str, at: usize, first: char) -> Result<(Token<'_>, usize), Problem> {
    let rest = &source[at..];
    if first.is_ascii_digit()
        || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
    {
        return number(rest, at);
    }
    if let Some(raw) = rest.strip_prefix(['r', 'R'])
        && let Some(quote @ ('"' | '\'')) = raw.chars().next()
    {
        return text(rest, at, quote, Escapes::Kept);
    }
    if is_name_start(first) {
        let len = name_len(rest);
        return Ok((Token::Word(&rest[..len]), len));
    }
    if first == '"' || first == '\'' {
        return text(rest, at, first, Escapes::Read);
    }
    let signs = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    let strangers = STRANGERS.iter().find(|(text, ..)| rest.starts_with(text));
    match (signs, strangers) {
        (Some(sign), None) => Ok((Token::Sign(sign), sign.len())),
        // `&` and `|` begin `&&` and `||`, which are signs.
        (Some(sign), Some((text, ..))) if sign.len() > text.len() => {
            Ok((Token::Sign(sign), sign.len()))
        }
        (_, Some((text, message, help))) => {
            Err(Problem::new(at..at + text.len(), *message).label("not understood").help(*help))
        }
        (None, None) => {
            Err(Problem::new(at..at + first.len_utf8(), format!("`{first}` has no meaning here"))
                .label("not understood"))
        }
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The length of a name with its dots; a dot that no name follows is left over.
fn name_len(rest: &str) -> usize {
    let mut len = 0;
    loop {
        len += rest[len..].find(|c| !is_name_part(c)).unwrap_or(rest.len() - len);
        let dotted =
            rest[len..].strip_prefix('.').is_some_and(|next| next.starts_with(is_name_start));
        if !dotted {
            return len;
        }
        len += 1;
    }
}

fn digits(rest: &str) -> usize {
    rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
}

/// `0x1F`: a whole number.
fn hexadecimal(rest: &str) -> Option<usize> {
    let figures = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"))?;
    let len = figures.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(figures.len());
    (len > 0 && !figures[len..].starts_with(is_name_part)).then_some(2 + len)
}

/// `2026-12-25`: a date that lost its quotes, and a subtraction to CEL.
fn is_date(rest: &str) -> bool {
    let bytes = rest.as_bytes();
    let digits = |range: Range<usize>| {
        bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let dash = |at: usize| bytes.get(at) == Some(&b'-');
    digits(0..4)
        && dash(4)
        && digits(5..7)
        && dash(7)
        && digits(8..10)
        && !bytes.get(10).is_some_and(u8::is_ascii_digit)
}

fn number(rest: &str, at: usize) -> Result<(Token<'_>, usize), Problem> {
    if is_date(rest) {
        let date = &rest[..10];
        return Err(Problem::new(at..at + 10, format!("`{date}` without quotes is a subtraction"))
            .label("not a date")
            .help(format!("a date needs quotes: \"{date}\"")));
    }
    if let Some(len) = hexadecimal(rest) {
        let value = u64::from_str_radix(&rest[2..len], 16).map_or(f64::INFINITY, |n| n as f64);
        if value > MAX_WHOLE {
            return Err(too_large(at..at + len));
        }
        return Ok((Token::Number { value, whole: true }, len));
    }
    let mut len = digits(rest);
    let mut whole = true;
    if let Some(fraction) = rest[len..].strip_prefix('.') {
        let places = digits(fraction);
        if places == 0 {
            return Err(Problem::new(at..at + len + 1, "a number cannot end in a point")
                .label("not a number")
                .help(format!("write `{}`", &rest[..len])));
        }
        len += 1 + places;
        whole = false;
    }
    if let Some(exponent) = rest[len..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let places = digits(&exponent[sign..]);
        if places > 0 {
            len += 1 + sign + places;
            whole = false;
        }
    }
    if rest[len..].starts_with(is_name_part) {
        return Err(unit(rest, len, at));
    }
    let value: f64 = rest[..len].parse().unwrap_or(f64::INFINITY);
    if !value.is_finite() || (whole && value > MAX_WHOLE) {
        return Err(too_large(at..at + len));
    }
    Ok((Token::Number { value, whole }, len))
}

fn too_large(span: Range<usize>) -> Problem {
    Problem::new(span, "this number is too large")
        .label("too large")
        .help("whole numbers go up to 9007199254740992")
}

/// A number that letters follow: `14d`, `1_000`, `3u`.
fn unit(rest: &str, number: usize, at: usize) -> Problem {
    let len = number + rest[number..].find(|c| !is_name_part(c)).unwrap_or(rest.len() - number);
    let (figures, letters) = (&rest[..number], &rest[number..len]);
    let problem = Problem::new(at..at + len, format!("`{}` is not a number", &rest[..len]));
    let help = match letters {
        "d" | "days" | "day" => format!(
            "days are plain numbers: `days_since(x) <= {figures}`; a duration goes under `for:` or `over:`"
        ),
        "h" | "m" | "s" | "w" | "min" | "workdays" => {
            "durations go under `for:` or `over:`, beside the condition".to_owned()
        }
        _ if letters.starts_with('_') => "write the digits without separators".to_owned(),
        _ => "write a plain number, such as 12 or 0.5".to_owned(),
    };
    problem.label("not a number").help(help)
}

/// What a backslash in a text means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// It begins an escape.
    Read,
    /// It is one, in `r"..."`.
    Kept,
}

/// A text in quotes, in three of them, or raw. `rest` begins with its prefix or its quote.
fn text(
    rest: &str,
    at: usize,
    quote: char,
    escapes: Escapes,
) -> Result<(Token<'_>, usize), Problem> {
    let prefix = usize::from(escapes == Escapes::Kept);
    let triple = [quote; 3].iter().collect::<String>();
    let is_triple = rest[prefix..].starts_with(&triple);
    let close = if is_triple { triple.as_str() } else { &triple[..1] };
    let mut value = String::new();
    let mut i = prefix + close.len();
    while let Some(c) = rest[i..].chars().next() {
        if rest[i..].starts_with(close) {
            return Ok((Token::Text(value), i + close.len()));
        }
        match c {
            '\n' | '\r' if !is_triple => break,
            '\\' if escapes == Escapes::Read => {
                let (escaped, len) = escape(&rest[i..]).map_err(|len| {
                    let shown = &rest[i..i + len];
                    Problem::new(at + i..at + i + len, format!("`{shown}` means nothing in a text"))
                        .label("unknown escape")
                        .help("write `\\\\` for a backslash")
                })?;
                value.push(escaped);
                i += len;
            }
            c => {
                value.push(c);
                i += c.len_utf8();
            }
        }
    }
    let len = rest.find(['\n', '\r']).unwrap_or(rest.len());
    Err(Problem::new(at..at + len, "this text has no closing quote")
        .label(format!("opened with {close}"))
        .help(format!("end it with {close} on the same line")))
}

/// The character an escape stands for and the bytes it takes, or the bytes that mean nothing: those
/// of the CEL specification, "String and Bytes Values".
fn escape(rest: &str) -> Result<(char, usize), usize> {
    let kind = rest[1..].chars().next().ok_or(1_usize)?;
    let simple = match kind {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '?' | '"' | '\'' | '`' => kind,
        'x' | 'X' => return code_point(rest, 2, 2, 16),
        'u' => return code_point(rest, 2, 4, 16),
        'U' => return code_point(rest, 2, 8, 16),
        '0'..='3' => return code_point(rest, 1, 3, 8),
        other => return Err(1 + other.len_utf8()),
    };
    Ok((simple, 2))
}

fn code_point(rest: &str, from: usize, figures: usize, radix: u32) -> Result<(char, usize), usize> {
    let found = rest.get(from..from + figures);
    let found = found.filter(|text| text.chars().all(|c| c.is_digit(radix)));
    let number = found.and_then(|text| u32::from_str_radix(text, radix).ok());
    number.and_then(char::from_u32).map(|c| (c, from + figures)).ok_or(2)
}
