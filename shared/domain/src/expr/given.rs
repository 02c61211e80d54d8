//! Values given as JSON: for asking one expression outside of any lifecycle file.
//!
//! `{"traits": {"plan": "team"}, "metrics": {"logins": 3}}` declares `traits.plan` and
//! `metrics.logins`, each with the type of its value. A text that is a date is one; `null` is a
//! declared name whose value is missing; lists are no values.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::Value as Json;

use super::eval::parse_date;
use super::{Binding, Name, Row, Scope, Type, Value};

/// How deep objects may lie in each other.
const MAX_DEPTH: usize = 8;

/// Values by name, and the day it is.
#[derive(Debug, Clone)]
pub struct Given {
    values: BTreeMap<String, Json>,
    today: Date,
}

impl Given {
    /// Reads values; a top-level `today` says what day it is, else it is `today`.
    ///
    /// # Errors
    /// A sentence on what cannot be used.
    pub fn from_json(json: &Json, today: Date) -> Result<Given, String> {
        let Json::Object(members) = json else {
            return Err("facts are an object, as {\"metrics\": {\"logins\": 3}}".to_owned());
        };
        let today = match members.get("today") {
            None => today,
            Some(day) => {
                day.as_str().and_then(parse_date).ok_or("`today` is a date, as 2026-12-25")?
            }
        };
        let mut values = BTreeMap::new();
        for (name, value) in members.iter().filter(|(name, _)| *name != "today") {
            flatten(name, value, 1, &mut values)?;
        }
        Ok(Given { values, today })
    }

    /// The names that are given, with the types of their values.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let mut scope = Scope::new();
        for (index, (path, value)) in self.values.iter().enumerate() {
            let ty = match value {
                Json::Number(_) => Type::Number,
                Json::Bool(_) => Type::YesNo,
                Json::String(text) if parse_date(text).is_some() => Type::Date,
                Json::String(_) => Type::Text,
                _ => Type::Dynamic,
            };
            let slot = u32::try_from(index).unwrap_or(u32::MAX);
            scope.declare(path, Binding { ty, slot, optional: true });
        }
        scope
    }
}

fn flatten(
    path: &str,
    value: &Json,
    depth: usize,
    into: &mut BTreeMap<String, Json>,
) -> Result<(), String> {
    match value {
        Json::Object(_) if depth == MAX_DEPTH => {
            Err(format!("`{path}` lies more than {MAX_DEPTH} objects deep"))
        }
        Json::Object(members) => members.iter().try_for_each(|(name, value)| {
            flatten(&format!("{path}.{name}"), value, depth + 1, into)
        }),
        Json::Array(_) => Err(format!("`{path}` is a list, and a fact is one value")),
        value => {
            into.insert(path.to_owned(), value.clone());
            Ok(())
        }
    }
}

impl Row for Given {
    fn get(&self, name: &Name) -> Value<'_> {
        match self.values.get(&*name.path) {
            Some(Json::Number(number)) => number.as_f64().map_or(Value::Missing, Value::Number),
            Some(Json::Bool(flag)) => Value::YesNo(*flag),
            Some(Json::String(text)) => match parse_date(text) {
                Some(date) => Value::Date(date),
                None => Value::Text(text),
            },
            _ => Value::Missing,
        }
    }

    fn today(&self) -> Date {
        self.today
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;
    use crate::expr::{Expected, compile};

    fn answer(source: &str, facts: Json) -> Result<Json, String> {
        let given = Given::from_json(&facts, date(2026, 11, 25))?;
        let expr = compile(source, &given.scope(), Expected::Any)
            .map_err(|problems| problems[0].message.clone())?;
        Ok(crate::journal::value_json(expr.value(&given)))
    }

    #[test]
    fn any_value_can_be_asked_for() {
        let facts = json!({
            "traits": { "plan": "team", "start": "2026-11-20", "gone": null },
            "metrics": { "logins": 3, "share": 0.5 },
        });
        for (source, want) in [
            ("metrics.logins > 2 && traits.plan == \"team\"", json!(true)),
            ("metrics.logins * 2 + 1", json!(7)),
            ("metrics.share", json!(0.5)),
            ("traits.plan", json!("team")),
            ("days_since(traits.start)", json!(5)),
            ("traits.gone > 3", Json::Null),
            ("has(traits.gone)", json!(false)),
            ("metrics.logins / (metrics.logins - 3) > 0", Json::Null),
            ("today", json!("2026-11-25")),
        ] {
            assert_eq!(answer(source, facts.clone()), Ok(want), "{source}");
        }
        assert_eq!(answer("today", json!({ "today": "2026-01-02" })), Ok(json!("2026-01-02")));
    }

    #[test]
    fn constants_are_asked_as_cel_answers_them() {
        for (source, want) in [
            ("1 + 2 * 3 == 7", json!(true)),
            ("-(2 - 5) == 3.0", json!(true)),
            ("7 % 3", json!(1)),
            ("-7 % 3", json!(-1)),
            ("0x1F == 31", json!(true)),
            ("1e3 == 1000.0", json!(true)),
            (".5 < 0.75", json!(true)),
            ("'a' < 'b' && 'B' < 'a'", json!(true)),
            ("'\\x41\\u00e9\\U0001F600\\101' == 'Aé😀A'", json!(true)),
            ("r'\\n' == '\\\\n'", json!(true)),
            ("'''it's''' == \"it's\"", json!(true)),
            ("false < true", json!(true)),
            ("2 in [1, 2.0, 3] && !('x' in ['y'])", json!(true)),
            ("true || 1 / 0 > 1", json!(true)),
            ("false && 1 / 0 > 1", json!(false)),
            ("1 / 0 > 1 || true", json!(true)),
            ("1 / 0 > 1", Json::Null),
            ("!!true", json!(true)),
        ] {
            assert_eq!(answer(source, json!({})), Ok(want), "{source}");
        }
    }

    #[test]
    fn what_is_not_given_or_no_value_is_an_error() {
        assert!(answer("metrics.logins > 1", json!({})).is_err());
        assert!(answer("1", json!([])).is_err());
        assert!(answer("1", json!({ "a": { "b": [1] } })).is_err());
        assert!(answer("1", json!({ "today": "soon" })).is_err());
        let deep = (0..20).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert!(answer("1", deep).is_err());
    }
}
