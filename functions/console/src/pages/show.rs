//! How things are shown: times, amounts, words, bands.

use domain::lifecycle::{Band, Lifecycle, RiskModel};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::Value;

use crate::gateway::encode;
use crate::reason::Reason;

const DAY_SECONDS: i64 = 86_400;

/// An instant, in UTC; the script shows it in the reader's zone.
pub(super) fn time(at: Timestamp) -> Markup {
    let text = TimeZone::UTC.to_datetime(at).strftime("%-d %b %Y, %H:%M UTC").to_string();
    html! { time datetime=(at) { (text) } }
}

/// The day of an instant.
pub(super) fn day(at: Timestamp) -> Markup {
    let text = TimeZone::UTC.to_datetime(at).strftime("%-d %b %Y").to_string();
    html! { time datetime=(at) data-show="day" { (text) } }
}

/// How long ago, or in how long, in the largest unit that says enough.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let (span, is_past) = (seconds.abs(), seconds >= 0);
    let text = match span {
        0..60 => return "now".to_owned(),
        60..3_600 => format!("{} min", span / 60),
        3_600..172_800 => format!("{} h", span / 3_600),
        _ => format!("{} days", span / DAY_SECONDS),
    };
    if is_past { format!("{text} ago") } else { format!("in {text}") }
}

/// An amount: whole above a hundred, with the workspace's currency where it has one.
pub(super) fn money(amount: f64, currency: Option<&str>) -> String {
    let text = if amount.abs() >= 100.0 { grouped(amount.round()) } else { number(amount) };
    match currency {
        Some(currency) => format!("{text} {currency}"),
        None => text,
    }
}

/// A number as people write it.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    let whole = rounded.trunc();
    let rest = ((rounded - whole).abs() * 100.0).round();
    let sign = if rounded < 0.0 && whole == 0.0 { "-" } else { "" };
    match rest as i64 {
        0 => grouped(whole),
        rest if rest % 10 == 0 => format!("{sign}{}.{}", grouped(whole), rest / 10),
        rest => format!("{sign}{}.{rest:02}", grouped(whole)),
    }
}

fn grouped(whole: f64) -> String {
    let digits = format!("{:.0}", whole.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if whole < 0.0 { format!("-{text}") } else { text }
}

/// A share, from 0 to 1, in whole percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A name of the lifecycle file as words.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A message of the API as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let text = format!("{first}{}", chars.as_str());
    if text.ends_with(['.', '!', '?', '`']) { text } else { format!("{text}.") }
}

/// A value as it is read: text without quotes.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(told) => told.as_f64().map_or_else(|| told.to_string(), number),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How good or bad a band is, from 0 (good) to 3, as its colour.
fn tone(place: usize, of: usize, is_best_first: bool) -> &'static str {
    let place = if is_best_first { place } else { of - 1 - place };
    let step = match of {
        0 | 1 => 0,
        _ => (place * 3).div_ceil(of - 1),
    };
    ["tone-0", "tone-1", "tone-2", "tone-3"][step.min(3)]
}

fn bands_tone(bands: &[Band], name: &str, is_best_first: bool) -> &'static str {
    let place = bands.iter().position(|band| band.name == name);
    place.map_or("tone-none", |place| tone(place, bands.len(), is_best_first))
}

/// The colour of a band of risk.
pub(super) fn risk_tone(lifecycle: &Lifecycle, band: &str) -> &'static str {
    bands_tone(lifecycle.risk.as_ref().map_or(&[][..], RiskModel::bands), band, true)
}

/// The colour of a band of health.
pub(super) fn health_tone(lifecycle: &Lifecycle, band: &str) -> &'static str {
    bands_tone(lifecycle.health.as_ref().map_or(&[][..], |card| &card.bands), band, false)
}

/// A band, with its colour.
pub(super) fn chip(tone: &str, text: &str) -> Markup {
    html! { span class={ "chip " (tone) } { (words(text)) } }
}

/// How bad a finding is.
pub(super) fn severity(word: Option<&str>) -> Markup {
    let tone = match word {
        Some("critical") => "tone-3",
        Some("high") => "tone-2",
        Some("medium") => "tone-1",
        _ => "tone-none",
    };
    chip(tone, word.unwrap_or("no longer declared"))
}

/// A bar of a share from 0 to 1. It says nothing that the number beside it does not.
pub(super) fn bar(share: f64, tone: &str) -> Markup {
    let width = format!("{:.1}", share.clamp(0.0, 1.0) * 100.0);
    html! {
        svg class={ "bar " (tone) } viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="8" rx="1" {}
            rect.fill width=(width) height="8" rx="1" {}
        }
    }
}

/// A line of values over time; the table or number beside it says the same.
pub(super) fn spark(values: &[Option<f64>]) -> Markup {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let (low, high) = known
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    let span = if high > low { high - low } else { 1.0 };
    let step = 100.0 / (values.len().max(2) - 1) as f64;
    let points = values.iter().enumerate().filter_map(|(at, value)| {
        let height = 22.0 - ((*value)? - low) / span * 20.0;
        Some(format!("{:.1},{height:.1}", at as f64 * step))
    });
    let points: Vec<String> = points.collect();
    html! {
        @if known.len() > 1 {
            svg.spark viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true" {
                polyline points=(points.join(" ")) {}
            }
        }
    }
}

/// The address of a customer's page.
pub(super) fn customer_href(id: &str) -> String {
    format!("/customers/{}", encode(id))
}

/// A customer by name, with the id beside it where that is another.
pub(super) fn customer(id: &str, name: Option<&str>) -> Markup {
    html! {
        a href=(customer_href(id)) { (name.unwrap_or(id)) }
        @if name.is_some_and(|name| name != id) { " " span.quiet.id { (id) } }
    }
}

/// An address with parameters; those that are empty are left out.
pub(super) fn href(path: &str, parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<String> =
        given.map(|(name, value)| format!("{name}={}", encode(value))).collect();
    match given.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", given.join("&")),
    }
}

/// Text of the lifecycle file as code, and a sentence as one.
pub(super) fn said(text: &str) -> Markup {
    html! { @if is_sentence(text) { (text) } @else { code { (text) } } }
}

/// What an expression of the lifecycle file asks, in words; what is in quotes stays as it is.
pub(super) fn in_words(expression: &str) -> String {
    let mut told = String::with_capacity(expression.len() + 16);
    for (at, part) in expression.split('"').enumerate() {
        if at % 2 == 1 {
            told.push('“');
            told.push_str(part);
            told.push('”');
            continue;
        }
        let mut part = part.to_owned();
        for (sign, word) in [
            ("metrics.", ""),
            ("traits.", ""),
            ("segment.", ""),
            ("_", " "),
            ("==", " is "),
            ("!=", " is not "),
            (">=", " is at least "),
            ("<=", " is at most "),
            (">", " is more than "),
            ("<", " is less than "),
            ("&&", " and "),
            ("||", " or "),
            ("!", "not "),
        ] {
            part = part.replace(sign, word);
        }
        told.push_str(&part);
    }
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A criterion in words, and as the file has it.
pub(super) fn criterion(expression: &str) -> Markup {
    html! { (in_words(expression)) " " code.id { (expression) } }
}

/// Whether a reason is in words: it has some, and nothing that only an expression has.
fn is_sentence(text: &str) -> bool {
    let is_name = |word: &str| {
        let word = word.trim_end_matches(['.', ',', ':', ')']);
        word.contains(['.', '_', '(', '"']) && !word.starts_with(|c: char| c.is_ascii_digit())
            || matches!(
                word,
                "==" | "!=" | "<" | ">" | "<=" | ">=" | "&&" | "||" | "*" | "+" | "in"
            )
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words.len() > 2 && !words.into_iter().any(is_name)
}

/// Reasons with what they read.
pub(super) fn reasons(reasons: &[Reason]) -> Markup {
    html! {
        ul.reasons {
            @for reason in reasons {
                li {
                    (said(&reason.expression))
                    @if !reason.inputs.is_empty() {
                        span.quiet {
                            @for (at, (name, read)) in reason.inputs.iter().enumerate() {
                                @if at > 0 { ", " } @else { " · " }
                                (name.trim_start_matches("metrics.").trim_start_matches("traits."))
                                " = " (value(read))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is said where a list is empty: what it means, and what to do next.
pub(super) fn empty(what: &str, next: &str) -> Markup {
    html! { p.empty { strong { (what) } " " (next) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(
            (number(0.5), number(-0.25), number(12.346)),
            ("0.5".into(), "-0.25".into(), "12.35".into())
        );
        assert_eq!((number(0.0), number(-3.0)), ("0".into(), "-3".into()));
        assert_eq!(money(12_345.67, Some("EUR")), "12,346 EUR");
        assert_eq!(money(9.5, None), "9.5");
        assert_eq!(percent(0.456), "46 %");
    }

    #[test]
    fn the_best_band_is_calm_and_the_worst_is_not() {
        assert_eq!((tone(0, 4, true), tone(3, 4, true)), ("tone-0", "tone-3"));
        assert_eq!((tone(0, 3, false), tone(2, 3, false)), ("tone-3", "tone-0"));
        assert_eq!(tone(0, 1, true), "tone-0");
    }

    #[test]
    fn a_criterion_is_told_in_words() {
        let told =
            in_words("metrics.idle_days >= 14 && traits.plan != \"pro_2\" || !segment.paying");
        assert_eq!(told, "idle days is at least 14 and plan is not “pro_2” or not paying");
    }

    #[test]
    fn a_sentence_is_no_code() {
        for sentence in ["nothing came for 12.5 days", "fewer logins than usual, by a half."] {
            assert!(is_sentence(sentence), "{sentence}");
        }
        for code in ["traits.plan == \"team\"", "silence: metrics.idle_days", "a < 3", "paying"] {
            assert!(!is_sentence(code), "{code}");
        }
    }

    #[test]
    fn what_somebody_is_called_is_text() {
        let shown = customer("<b>", Some("<script>alert(1)</script>")).into_string();
        assert!(!shown.contains("<script") && !shown.contains("<b>"), "{shown}");
        assert!(shown.contains("/customers/%3Cb%3E"), "{shown}");
    }

    #[test]
    fn an_address_keeps_what_is_given() {
        assert_eq!(href("/customers", &[("q", "a&b"), ("stage", "")]), "/customers?q=a%26b");
        assert_eq!(href("/", &[("days", "")]), "/");
    }

    #[test]
    fn a_distance_is_told_in_a_unit_that_says_enough() {
        let now: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let at = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap();
        assert_eq!(distance(at(-90), now), "1 min ago");
        assert_eq!(distance(at(7_200), now), "in 2 h");
        assert_eq!(distance(at(-10 * DAY_SECONDS), now), "10 days ago");
    }
}
