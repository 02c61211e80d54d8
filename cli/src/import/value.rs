//! What a cell of a text file means: a number, yes or no, or text.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Number, Value as Json};

/// How a cell is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// A number or yes or no where the cell clearly is one, else text.
    #[default]
    Auto,
    /// As it stands.
    Text,
    /// A number; anything else makes the row a bad one.
    Number,
    /// `true`, `yes`, `1` or `false`, `no`, `0`; anything else makes the row a bad one.
    Bool,
}

/// Reads a cell. An empty one is no value.
///
/// # Errors
/// When the cell is not of the type it was declared to be.
pub fn read(cell: &str, ty: ValueType) -> Result<Option<Json>, String> {
    let trimmed = cell.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let value = match ty {
        ValueType::Auto => guess(trimmed),
        ValueType::Text => Json::String(cell.to_owned()),
        ValueType::Number => {
            let number = trimmed.parse::<f64>().ok().and_then(Number::from_f64);
            let whole = trimmed.parse::<i64>().ok().map(Number::from);
            Json::Number(whole.or(number).ok_or_else(|| format!("`{trimmed}` is not a number"))?)
        }
        ValueType::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" => Json::Bool(true),
            "false" | "no" | "n" | "f" | "0" => Json::Bool(false),
            _ => return Err(format!("`{trimmed}` is neither true nor false")),
        },
    };
    Ok(Some(value))
}

/// Only what cannot be meant as text is a number: ids with leading zeros, long digits and codes
/// as `1E5` stay as they are.
fn guess(cell: &str) -> Json {
    match cell {
        "true" | "TRUE" | "True" => Json::Bool(true),
        "false" | "FALSE" | "False" => Json::Bool(false),
        _ if is_number(cell) => Number::from_str(cell)
            .ok()
            .and_then(|number| match number.is_f64() {
                true => Number::from_f64(number.as_f64()?),
                false => Some(number),
            })
            .map_or_else(|| Json::String(cell.to_owned()), Json::Number),
        _ => Json::String(cell.to_owned()),
    }
}

fn is_number(cell: &str) -> bool {
    let unsigned = cell.strip_prefix('-').unwrap_or(cell);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_whole = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
    let is_short = fraction.is_some() || whole.len() <= 15;
    let is_scaled = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']);
        is_digits(digits.unwrap_or(exponent)) && (digits.is_some() || fraction.is_some())
    });
    is_whole && is_short && fraction.is_none_or(is_digits) && is_scaled
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(cell: &str, expect: Json) {
        assert_eq!(read(cell, ValueType::Auto).unwrap().unwrap(), expect, "{cell}");
    }

    #[test]
    fn plain_numbers_are_numbers() {
        check("0", json!(0));
        check("-12", json!(-12));
        check(" 29.90 ", json!(29.9));
        check("1e-05", json!(0.00001));
        check("1.5E+10", json!(1.5e10));
    }

    #[test]
    fn what_may_be_an_id_or_a_code_stays_text() {
        for cell in
            ["0042", "1E5", "1234567890123456", "+1", "1,5", "$3", "0x1f", "NaN", "inf", "-", "1."]
        {
            check(cell, json!(cell));
        }
    }

    #[test]
    fn true_and_false_are_not_text_but_yes_is() {
        check("true", json!(true));
        check("FALSE", json!(false));
        check("yes", json!("yes"));
    }

    #[test]
    fn an_empty_cell_is_no_value() {
        assert_eq!(read("  ", ValueType::Number), Ok(None));
    }

    #[test]
    fn a_declared_type_is_kept_or_the_row_is_bad() {
        assert_eq!(read("0042", ValueType::Number), Ok(Some(json!(42))));
        assert_eq!(read("42", ValueType::Text), Ok(Some(json!("42"))));
        assert_eq!(read("yes", ValueType::Bool), Ok(Some(json!(true))));
        assert!(read("n/a", ValueType::Number).is_err());
        assert!(read("NaN", ValueType::Number).is_err());
        assert!(read("2", ValueType::Bool).is_err());
    }
}
