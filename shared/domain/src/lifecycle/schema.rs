//! The JSON Schema of the lifecycle file, generated from the types it is read into, so that editors
//! complete it. Draft 7, which YAML language servers know best.
//!
//! A schema knows shapes and words; names, types of conditions and times are for [`super::load`].

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use super::file::{
    ByCost, Counted, Entries, Exit, File, Hmac, Kept, Members, Metric, OneOrMany, RiskBands,
    Scheme, StageChoice, Texts, TraitType,
};
use crate::expr::ConditionSource;
use crate::feed::SCHEMES;
use crate::yaml::Spanned;

/// The file that a lifecycle file's first line names.
pub const SCHEMA_FILE: &str = "lifecycle.schema.json";

/// The schema as JSON.
#[must_use]
pub fn schema() -> Json {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    without_null(&mut schema);
    schema["title"] = json!("A customer lifecycle");
    schema["required"] = json!(["version", "stages"]);
    schema["properties"]["version"]["enum"] = json!([1]);
    schema
}

/// A key of the file is there with a value, or not at all.
fn without_null(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            members.values_mut().for_each(without_null);
            if members.get("default").is_some_and(Json::is_null) {
                members.remove("default");
            }
            if let Some(Json::Array(types)) = members.get_mut("type") {
                types.retain(|ty| ty != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    members.insert("type".to_owned(), one);
                }
            }
            if let Some(Json::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Json::Object(only)] = choices.as_mut_slice() {
                    let only = std::mem::take(only);
                    members.remove("anyOf");
                    // Beside a reference draft 7 ignores what else there is.
                    match only.contains_key("$ref") {
                        true => members.insert("allOf".to_owned(), json!([only])).is_none(),
                        false => only.into_iter().map(|(k, v)| members.insert(k, v)).count() > 0,
                    };
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NamesOf{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$" },
            "additionalProperties": value,
        })
    }
}

/// The schema of a type that can be written in several ways.
macro_rules! written_as {
    ($ty:ty, $name:literal, $about:literal, |$generator:ident| $choices:tt) => {
        impl JsonSchema for $ty {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                json_schema!({ "description": $about, "anyOf": $choices })
            }
        }
    };
}

written_as!(TraitType, "TraitType", "A type, with `?` where the fact may be missing; a list of words; or how a personal fact is kept.", |generator| [
    {
        "type": "string",
        "enum": [
            "text", "text?", "email", "email?", "number", "number?", "date", "date?", "yes_no",
            "yes_no?", "account", "account?"
        ],
    },
    { "type": "array", "items": { "type": "string" }, "minItems": 1 },
    generator.subschema_for::<Kept>(),
]);

written_as!(Metric, "Metric", "Counted from events, or a formula over other metrics and traits.", |generator| [
    { "type": "string", "minLength": 1 },
    generator.subschema_for::<Counted>(),
]);

written_as!(RiskBands, "RiskBands", "From which probability on each band begins, or `by_cost`: where acting pays.", |generator| [
    {
        "type": "object",
        "properties": { "by_cost": generator.subschema_for::<ByCost>() },
        "required": ["by_cost"],
        "additionalProperties": false,
    },
    generator.subschema_for::<Entries<Spanned<f64>>>(),
]);

written_as!(Exit, "Exit", "A stage; `at_once` where `stay_at_least` does not hold it back.", |_generator| [
    { "type": "string" },
    {
        "type": "object",
        "properties": { "to": { "type": "string" }, "at_once": { "type": "boolean" } },
        "required": ["to"],
        "additionalProperties": false,
    }
]);

written_as!(OneOrMany, "OneOrMany", "A word, or a list of words.", |_generator| [
    { "type": "string" },
    { "type": "array", "items": { "type": "string" } }
]);

written_as!(StageChoice, "StageChoice", "Every stage that has a target, or these.", |_generator| [
    { "type": "string", "enum": ["any"] },
    { "type": "array", "items": { "type": "string" } }
]);

written_as!(Scheme, "Scheme", "Whose signatures, or how they are made.", |generator| [
    { "type": "string", "enum": SCHEMES },
    {
        "type": "object",
        "properties": { "hmac": generator.subschema_for::<Hmac>() },
        "required": ["hmac"],
        "additionalProperties": false,
    }
]);

written_as!(Members, "Members", "A path to an object, or names and where their values are.", |_generator| [
    { "type": "string" },
    { "type": "object", "additionalProperties": { "type": "string" } }
]);

written_as!(Texts, "Texts", "A value, or a list of values of which one is meant.", |_generator| [
    { "type": ["string", "number", "boolean"] },
    { "type": "array", "items": { "type": ["string", "number", "boolean"] }, "minItems": 1 }
]);

impl JsonSchema for ConditionSource {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = json!({ "type": "array", "items": generator.subschema_for::<Self>() });
        json_schema!({
            "description": "A comparison of metrics, traits and segments, or lists of them.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                {
                    "type": "object",
                    "properties": { "all": list, "any": list, "none": list },
                    "minProperties": 1,
                    "additionalProperties": false,
                }
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_schema_leads_somewhere() {
        let schema = schema();
        let text = schema.to_string();
        let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next());
        let references: Vec<&str> = references.flatten().collect();
        assert!(references.len() > 10, "{references:?}");
        for reference in references {
            assert!(schema.pointer(reference).is_some(), "{reference}");
        }
        assert!(!text.contains("null"), "no value is nothing: {text}");
    }

    #[test]
    fn the_schema_has_the_words_of_the_file() {
        let schema = schema();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        for key in [
            "version",
            "traits",
            "metrics",
            "segments",
            "stages",
            "overlays",
            "playbooks",
            "alerts",
        ] {
            assert!(keys.iter().any(|known| *known == key), "{key} of {keys:?}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
