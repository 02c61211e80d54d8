//! What the OpenAPI document says beyond what each handler says of itself: what holds for every
//! operation, and an example of every body.
//!
//! An example is made from the schema, member by member: by the member's own `example` where it has one,
//! else by what a member of this name usually holds in one story about one customer, else by its type. It
//! cannot have a member that the schema does not have, nor lack one.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// What members of these names hold in examples.
const STORY: [(&str, &str); 63] = [
    ("id", "acme"),
    ("customer", "acme"),
    ("name", "Acme"),
    ("customer_name", "Acme"),
    ("stage", "onboarding"),
    ("from", "trialing"),
    ("to", "onboarding"),
    ("previous_stage", "trialing"),
    ("standard", "owner_known"),
    ("playbook", "rescue"),
    ("task", "rescue.call"),
    ("run", "visit 3"),
    ("title", "Call the champion"),
    ("text", "Ask what got in the way"),
    ("plan", "first_value"),
    ("segment", "paying"),
    ("segments", "paying"),
    ("band", "elevated"),
    ("author", "kim@example.com"),
    ("owner", "kim@example.com"),
    ("owner_name", "kim@example.com"),
    ("acknowledged_by", "kim@example.com"),
    ("closed_by", "kim@example.com"),
    ("reason", "they signed again by phone"),
    ("note", "booked for Monday"),
    ("message", "quieter alerts"),
    ("outcome", "useful"),
    ("state", "open"),
    ("severity", "high"),
    ("priority", "high"),
    ("pace", "on_track"),
    ("kind", "stage"),
    ("rule", "stages.onboarding.enter"),
    ("expression", "traits.plan == \"team\""),
    ("condition", "traits.plan == \"team\""),
    ("why_not", "traits.plan is \"trial\""),
    ("headline", "Acme moved to onboarding"),
    ("receiver", "team"),
    ("route", "kind=finding > team"),
    ("topic", "arn:aws:sns:eu-west-1:111122223333:lifecycle-alerts"),
    ("answer", "b9a1e7f0-0f6c-5d2e-9a3b-1c2d3e4f5a6b"),
    ("group", "5f2c9e1ab7d4"),
    ("key", "visit 3"),
    ("what", "sent"),
    ("hash", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("prev", "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"),
    ("config_hash", "fcde2b2edba56bf408601fb721fe9b5c338d25c3b8d6e8e3c0f6b2a1d0e9f8c7"),
    ("code", "missing_user"),
    ("detail", "the call names no user: give it a `userId`"),
    ("raw", "{\"type\":\"track\",\"event\":\"login\"}"),
    ("path", "/v1/batch"),
    ("source", "stripe"),
    ("user", "u-17"),
    ("event", "login"),
    ("type", "track"),
    ("for", "3d"),
    ("input", "metrics.idle_days"),
    ("of", "metrics.idle_days"),
    ("origin", "events"),
    ("ids", "9f86d081884c7d659a2feaa0c55ad015"),
    ("raw_base64", "/w=="),
    ("next_cursor", "9c41d08e5a7f7b22"),
    ("cursor", "9c41d08e5a7f7b22"),
];

/// What problems say in examples, by status: a code, the status in words, and a sentence.
const PROBLEMS: [(u16, &str, &str, &str); 9] = [
    (
        400,
        "Bad Request",
        "unknown_stage",
        "there is no stage `onbording`: did you mean `onboarding`?",
    ),
    (403, "Forbidden", "role_needed", "this takes the role `operator`: nothing was done"),
    (
        404,
        "Not Found",
        "customer_not_found",
        "there is no customer with this id, and no user with it belongs to one",
    ),
    (409, "Conflict", "not_held", "nobody holds this customer"),
    (
        415,
        "Unsupported Media Type",
        "unsupported_media_type",
        "send the body as JSON, with `content-type: application/json`",
    ),
    (
        422,
        "Unprocessable Entity",
        "idempotency_key_reused",
        "another request was made with this `Idempotency-Key`: nothing was done; use a new key for each action",
    ),
    (
        429,
        "Too Many Requests",
        "too_many_requests",
        "too many requests: wait for 1 s and ask again",
    ),
    (
        500,
        "Internal Server Error",
        "internal",
        "stored data cannot be read: the function's log says why",
    ),
    (
        503,
        "Service Unavailable",
        "unavailable",
        "the tables cannot be read at the moment: ask again in a few seconds",
    ),
];

/// What a text says of which the story does not tell: no example has it.
const UNTOLD: &str = "something";
/// References are followed so deep: a schema may hold itself.
const MAX_DEPTH: usize = 12;

/// The document with what holds for every operation, and with examples.
pub(crate) fn complete(document: &OpenApi) -> Value {
    let mut told = serde_json::to_value(document).unwrap_or_default();
    let schemas = told["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let paths = told["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for (method, operation) in paths.filter_map(Value::as_object_mut).flatten() {
        if let Some(operation) = operation.as_object_mut() {
            common(method, operation);
            examples(operation, &schemas);
        }
    }
    told
}

/// What every operation has: conditional reads, keys of actions, and limits.
fn common(method: &str, operation: &mut Map<String, Value>) {
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    let header = match method {
        "get" => json!({
            "name": "If-None-Match", "in": "header", "required": false,
            "description": "The `ETag` of an answer that you hold: 304 where it still is so.",
            "schema": {"type": "string"}, "example": "\"5d41402abc4b2a76b9719d91\"",
        }),
        _ => json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A text of your own, as a UUID, for one action. Asked again under it within \
                24 hours, the action is not done again and is answered as it was, with \
                `Idempotent-Replayed: true`. What was refused did nothing and is not remembered.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }),
    };
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(header);
    }
    let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    if method == "get" {
        let tag = json!({
            "description": "Changes with the answer, and with nothing else.",
            "schema": {"type": "string"},
        });
        if let Some(good) = answers.get_mut("200") {
            good["headers"]["ETag"] = tag;
        }
        let same = "It still is what you hold, by its `ETag`.";
        answers.insert("304".to_owned(), json!({ "description": same }));
    } else {
        let other = problem("Another request was made with this `Idempotency-Key`.");
        answers.entry("422").or_insert(other);
    }
    let mut many = problem("You ask too often: wait for the seconds in `Retry-After`.");
    many["headers"]["Retry-After"] =
        json!({"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}});
    answers.entry("429").or_insert(many);
}

fn problem(description: &str) -> Value {
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    let content = json!({"application/problem+json": {"schema": schema}});
    json!({"description": description, "content": content})
}

/// An example of what is sent and of each answer.
fn examples(operation: &mut Map<String, Value>, schemas: &Map<String, Value>) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        if parameter["in"] == "path" && parameter.get("example").is_none() {
            parameter["example"] = story(&name).into();
        }
    }
    if let Some(body) = operation.get_mut("requestBody") {
        let shown = body["content"].as_object_mut();
        for content in shown.into_iter().flat_map(Map::values_mut) {
            content["example"] = example(&content["schema"], "", schemas, 0);
        }
    }
    let answers = operation.get_mut("responses").and_then(Value::as_object_mut);
    for (status, answer) in answers.into_iter().flatten() {
        let shown = answer.get_mut("content").and_then(Value::as_object_mut);
        for content in shown.into_iter().flat_map(Map::values_mut) {
            let mut shown = example(&content["schema"], "", schemas, 0);
            if let Some(known) = PROBLEMS.iter().find(|known| known.0.to_string() == *status) {
                let (number, title, code, detail) = *known;
                shown = json!({
                    "type": "about:blank", "title": title, "status": number, "detail": detail,
                    "code": code, "message": detail,
                });
            }
            content["example"] = shown;
        }
    }
}

fn story(name: &str) -> &'static str {
    STORY.iter().find(|(known, _)| *known == name).map_or(UNTOLD, |(_, told)| told)
}

/// A value of a schema that belongs to a member of this name.
fn example(schema: &Value, name: &str, schemas: &Map<String, Value>, depth: usize) -> Value {
    if let Some(told) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return told.clone();
    }
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    let deeper = |schema: &Value| example(schema, name, schemas, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        let named = reference.rsplit('/').next().and_then(|name| schemas.get(name));
        return named.map_or(Value::Null, deeper);
    }
    for any in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[any].as_array() {
            let chosen = choices.iter().find(|choice| choice["type"] != "null");
            return chosen.map_or(Value::Null, deeper);
        }
    }
    if let Some(first) = schema["enum"].get(0).or_else(|| schema.get("const")) {
        return first.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").unwrap_or(&Value::Null),
        kind => kind,
    };
    match kind.as_str() {
        Some("string") if schema["format"] == "date-time" => "2026-03-10T12:00:00Z".into(),
        Some("string") => story(name).into(),
        Some("integer") => 3.into(),
        Some("number") => 0.5.into(),
        Some("boolean") => false.into(),
        Some("array") => json!([example(&schema["items"], name, schemas, depth + 1)]),
        Some("object") => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let mut told: Map<String, Value> = members
                .map(|(name, of)| (name.clone(), example(of, name, schemas, depth + 1)))
                .collect();
            let others = &schema["additionalProperties"];
            if told.is_empty() && others.is_object() {
                told.insert("plan".to_owned(), example(others, "plan", schemas, depth + 1));
            }
            told.into()
        }
        // Whatever a trait, a metric or a condition may be.
        _ => match name {
            "plan" => "team".into(),
            "value" => true.into(),
            _ => 14.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        crate::document()
    }

    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
        });
        operations.collect()
    }

    #[test]
    fn every_body_and_every_path_has_an_example() {
        let document = document();
        for (name, operation) in operations(&document) {
            let sent = operation["requestBody"]["content"].as_object();
            let answers = operation["responses"].as_object().unwrap().values();
            let told = answers.filter_map(|answer| answer["content"].as_object());
            for content in sent.into_iter().chain(told).flat_map(Map::values) {
                let example = &content["example"];
                assert!(!example.is_null(), "{name}: {content}");
                assert!(!example.to_string().contains(UNTOLD), "{name}: {example}");
            }
            for parameter in operation["parameters"].as_array().unwrap() {
                let is_shown = parameter["in"] != "path" || parameter["example"].is_string();
                assert!(is_shown, "{name}: {parameter}");
            }
        }
    }

    #[test]
    fn reads_are_conditional_and_actions_have_keys() {
        let document = document();
        for (name, operation) in operations(&document) {
            let has = |header: &str| {
                let parameters = operation["parameters"].as_array().unwrap().iter();
                parameters.filter(|one| one["in"] == "header").any(|one| one["name"] == header)
            };
            let is_read = name.starts_with("get ");
            assert_eq!(has("If-None-Match"), is_read, "{name}");
            assert_eq!(has("Idempotency-Key"), !is_read, "{name}");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.contains_key("429"), "{name}");
            assert_eq!(answers.contains_key("304"), is_read, "{name}");
            assert_eq!(answers.contains_key("422"), !is_read, "{name}");
        }
    }
}
