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
    if is_name_start(first) {
        let len = name_len(rest);
        return Ok((Token::Word(&rest[..len]), len));
    }
    if first == '"' || first == '\'' {
        return text(rest, at, first);
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

fn number(rest: &str, at: usize) -> Result<(Token<'_>, usize), Problem> {
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
        return Err(Problem::new(at..at + len, "this number is too large")
            .label("too large")
            .help("whole numbers go up to 9007199254740992"));
    }
    Ok((Token::Number { value, whole }, len))
}

/// A number that letters follow: `14d`, `1_000`, `0x1F`, `3u`.
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

fn text(rest: &str, at: usize, quote: char) -> Result<(Token<'_>, usize), Problem> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\n' | '\r' => break,
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some(escaped @ ('\\' | '"' | '\'')) => value.push(escaped),
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(other) => {
                    return Err(Problem::new(
                        at + i..at + i + 1 + other.len_utf8(),
                        format!("`\\{other}` means nothing in a text"),
                    )
                    .label("unknown escape")
                    .help("write `\\\\` for a backslash"));
                }
                None => break,
            },
            c if c == quote => return Ok((Token::Text(value), i + 1)),
            c => value.push(c),
        }
    }
    let len = rest.find(['\n', '\r']).unwrap_or(rest.len());
    Err(Problem::new(at..at + len, "this text has no closing quote")
        .label(format!("opened with {quote}"))
        .help(format!("end it with {quote} on the same line")))
}
