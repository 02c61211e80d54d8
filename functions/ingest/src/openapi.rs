//! The doors of HTTP as an OpenAPI document: the tracking API, webhooks and CloudEvents; made from the paths and the limits of the code that
//! answers.
//!
//! The schemas say what a sender should send. More than that is taken: what a call says in other
//! words or in excess is kept as it is, and what cannot be read costs that call alone.

use std::sync::LazyLock;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::event::EventKind;
use serde_json::{Map, Value, json};

use crate::call::MAX_CALL_BYTES;
use crate::http::{Endpoint, PATHS};
use crate::items::MAX_CALLS;
use crate::problem::RETRY_AFTER_SECONDS;
use crate::{body, slack, who};

/// Characters that may stand in an id: all but control characters, and not only spaces.
const ID: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f]$";

/// The document does not depend on the tables: it is made once.
static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// Answers with the document.
pub(crate) async fn answer() -> Response {
    Json(&*DOCUMENT).into_response()
}

fn document() -> Value {
    let tracking = PATHS.iter().map(|(path, endpoint)| (*path, operation(path, *endpoint)));
    let others = [
        ("/v1/webhooks/{source}", webhook()),
        ("/v1/cloudevents", cloudevents()),
        (slack::PATH, slack_actions()),
    ];
    let paths = tracking.chain(others);
    let paths = paths.map(|(path, post)| (path.to_owned(), json!({ "post": post })));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Customer lifecycle: events in",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": format!(
                "Events in, as Segment-compatible clients send them. The write key comes as Basic \
                 user name with an empty password, as Bearer token, as `X-Write-Key`, or as \
                 `writeKey` in the body. The body is JSON whatever its content type says, gzip or \
                 not, of at most {} bytes as it travels and {} bytes inflated. An event counts \
                 once under its `messageId`, however often it is sent; send it again, unchanged, \
                 after a 5xx or a lost connection.",
                body::MAX_WIRE_BYTES, body::MAX_BYTES,
            ),
        },
        "security": [{ "basic": [] }, { "bearer": [] }, { "header": [] }],
        "paths": paths.collect::<Map<String, Value>>(),
        "components": {
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer" },
                "header": { "type": "apiKey", "in": "header", "name": "X-Write-Key" },
            },
            "schemas": schemas(),
            "responses": responses(),
        },
    })
}

fn operation(path: &str, endpoint: Endpoint) -> Value {
    let (summary, description, schema) = match endpoint {
        Endpoint::Batch | Endpoint::Import => (
            "Take many calls".to_owned(),
            format!(
                "Each call is read alone: one that cannot be read is listed in `rejected`, and the \
                 others are taken. At most {MAX_CALLS} calls of {MAX_CALL_BYTES} bytes each."
            ),
            "Batch",
        ),
        Endpoint::Call(kind) => (
            format!("Take one {} call", kind.as_str()),
            "A call that cannot be read is refused with the reason.".to_owned(),
            schema_of(kind),
        ),
    };
    let refused = json!({ "$ref": "#/components/responses/Refused" });
    json!({
        "operationId": path.trim_start_matches("/v1/"),
        "summary": summary,
        "description": description,
        "requestBody": {
            "required": true,
            "content": {
                "application/json": {
                    "schema": { "$ref": format!("#/components/schemas/{schema}") },
                },
            },
        },
        "responses": {
            "200": { "$ref": "#/components/responses/Taken" },
            "400": refused,
            "401": refused,
            "503": { "$ref": "#/components/responses/NotStored" },
        },
    })
}

/// A delivery of another system, in whatever form it has.
fn webhook() -> Value {
    let refused = json!({ "$ref": "#/components/responses/Refused" });
    json!({
        "operationId": "webhook",
        "summary": "Take a signed delivery of another system",
        "description":
            "The source is a feed of the lifecycle file that has a `scheme`, or `stripe` or \
             `hubspot`. It signs as it always does; there is no write key. After a good signature \
             the answer is 200: what the feed's map passes over is counted in `ignored`, what \
             cannot be read is in `rejected` and set aside.",
        "security": [],
        "parameters": [{
            "name": "source",
            "in": "path",
            "required": true,
            "description": "The name of the feed.",
            "schema": { "type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$" },
        }],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": {} } },
        },
        "responses": {
            "200": { "$ref": "#/components/responses/Taken" },
            "400": refused,
            "401": refused,
            "404": refused,
            "503": { "$ref": "#/components/responses/NotStored" },
        },
    })
}

/// A click of a button in a Slack message.
fn slack_actions() -> Value {
    let refused = json!({ "$ref": "#/components/responses/Refused" });
    let header = |name: &str, pattern: &str| {
        json!({
            "name": name,
            "in": "header",
            "required": true,
            "schema": { "type": "string", "pattern": pattern },
        })
    };
    json!({
        "operationId": "slack_actions",
        "summary": "Take a click of a button in a Slack message",
        "description": format!(
            "The address for the interactivity of the Slack app that messages about alerts are sent \
             with. Slack signs it with the secret that is kept as `slack_signing`; a click is taken \
             once. The buttons are {}.",
            slack::words().map(|word| format!("`{word}`")).join(", "),
        ),
        "security": [],
        "parameters": [
            header("x-slack-signature", "^v0=[0-9a-f]{64}$"),
            header("x-slack-request-timestamp", "^[0-9]{1,12}$"),
        ],
        "requestBody": {
            "required": true,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": ["payload"],
                        "properties": { "payload": { "type": "string" } },
                    },
                },
            },
        },
        "responses": {
            "200": {
                "description": "It is done; the message as it is now.",
                "content": { "application/json": { "schema": { "type": "object" } } },
            },
            "400": refused,
            "401": refused,
            "503": { "$ref": "#/components/responses/NotStored" },
        },
    })
}

fn cloudevents() -> Value {
    let refused = json!({ "$ref": "#/components/responses/Refused" });
    let event = json!({ "$ref": "#/components/schemas/CloudEvent" });
    let batch = json!({ "type": "array", "maxItems": MAX_CALLS, "items": event });
    let attribute = |name: &str| {
        json!({
            "name": format!("ce-{name}"),
            "in": "header",
            "description": "In binary mode, in which the body is the event's data.",
            "schema": { "type": "string", "pattern": "^[!-~]+$" },
        })
    };
    let attributes = ["specversion", "id", "source", "type", "subject", "time"].map(attribute);
    json!({
        "operationId": "cloudevents",
        "summary": "Take CloudEvents 1.0",
        "description":
            "Structured, binary or a batch. An event counts once under its `source` and `id`. A \
             feed whose `source` the event's begins with maps it; any other is a tracking call in \
             its `data`, or an event named by its `type`.",
        "parameters": attributes,
        "requestBody": {
            "required": true,
            "content": {
                "application/cloudevents+json": { "schema": event },
                "application/cloudevents-batch+json": { "schema": batch },
                "application/json": { "schema": {} },
            },
        },
        "responses": {
            "200": { "$ref": "#/components/responses/Taken" },
            "400": refused,
            "401": refused,
            "415": refused,
            "503": { "$ref": "#/components/responses/NotStored" },
        },
    })
}

fn schema_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Track => "Track",
        EventKind::Identify => "Identify",
        EventKind::Group => "Group",
        EventKind::Page => "Page",
        EventKind::Screen => "Screen",
        EventKind::Alias => "Alias",
    }
}

fn schemas() -> Value {
    let kinds = [
        EventKind::Track,
        EventKind::Identify,
        EventKind::Group,
        EventKind::Page,
        EventKind::Screen,
        EventKind::Alias,
    ];
    let mut schemas: Map<String, Value> =
        kinds.iter().map(|kind| (schema_of(*kind).to_owned(), call(*kind))).collect();
    schemas.insert("Batch".to_owned(), batch(&kinds));
    schemas.insert("CloudEvent".to_owned(), cloudevent());
    schemas.insert("Taken".to_owned(), taken());
    schemas.insert("Problem".to_owned(), problem());
    schemas.into()
}

/// What a call of a kind should say.
fn call(kind: EventKind) -> Value {
    let id = json!({
        "description": format!("A string or a number; at most {} bytes.", who::MAX_ID_BYTES),
        "anyOf": [
            { "type": "string", "pattern": ID, "maxLength": who::MAX_ID_BYTES / 4 },
            { "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX },
        ],
    });
    let object = json!({ "type": "object" });
    let mut properties = json!({
        "userId": id,
        "anonymousId": id,
        "messageId": {
            "description": "Names the call: it counts once. Made from the content where absent.",
            "type": "string",
            "pattern": "^[!-~]{1,256}$",
        },
        "timestamp": {
            "description": "When it happened. Where absent, when it arrives.",
            "type": "string",
            "format": "date-time",
        },
        "context": object,
        "integrations": object,
    });
    let (required, own): (&[&str], Value) = match kind {
        EventKind::Track => (
            &["event"],
            json!({ "event": { "type": "string", "minLength": 1 }, "properties": object }),
        ),
        EventKind::Identify => (&[], json!({ "traits": object })),
        EventKind::Group => (&["groupId"], json!({ "groupId": id, "traits": object })),
        EventKind::Page | EventKind::Screen => {
            (&[], json!({ "name": { "type": "string" }, "properties": object }))
        }
        EventKind::Alias => (&["previousId"], json!({ "previousId": id })),
    };
    if let (Some(properties), Value::Object(own)) = (properties.as_object_mut(), own) {
        properties.extend(own);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "anyOf": [{ "required": ["userId"] }, { "required": ["anonymousId"] }],
    })
}

fn batch(kinds: &[EventKind]) -> Value {
    let call = |kind: &EventKind| {
        let named = json!({
            "properties": { "type": { "const": kind.as_str() } },
            "required": ["type"],
        });
        let schema = format!("#/components/schemas/{}", schema_of(*kind));
        json!({ "allOf": [{ "$ref": schema }, named] })
    };
    json!({
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {
                "type": "array",
                "maxItems": MAX_CALLS,
                "items": { "anyOf": kinds.iter().map(call).collect::<Vec<Value>>() },
            },
            "context": { "type": "object", "description": "Merged into each call's own." },
            "sentAt": { "type": "string", "format": "date-time" },
        },
    })
}

/// The attributes of an event (<https://github.com/cloudevents/spec>, 1.0.2).
fn cloudevent() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    json!({
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": text,
            "source": text,
            "type": text,
            "subject": { "type": "string", "description": "The customer, where data names none." },
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": text,
            "data": {},
        },
    })
}

fn taken() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "type": "object",
        "required": ["success", "accepted", "duplicates", "rejected"],
        "properties": {
            "success": { "const": true },
            "accepted": count,
            "duplicates": count,
            "ignored": {
                "description": "What a feed's map passed over.", "type": "integer", "minimum": 0,
            },
            "rejected": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["index", "messageId", "code", "message"],
                    "properties": {
                        "index": { "description": "Its place in the batch.", "type": "integer" },
                        "messageId": { "type": ["string", "null"] },
                        "code": { "description": "For programs.", "type": "string" },
                        "message": { "description": "For people.", "type": "string" },
                    },
                },
            },
        },
    })
}

/// As RFC 9457 has it, with a code for programs.
fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "message"],
        "properties": {
            "type": text,
            "title": text,
            "status": { "type": "integer" },
            "detail": text,
            "code": text,
            "message": text,
        },
    })
}

fn responses() -> Value {
    let content = json!({
        "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
    });
    json!({
        "Taken": {
            "description": "Taken: every call is stored, in the log or among what was set aside.",
            "content": {
                "application/json": { "schema": { "$ref": "#/components/schemas/Taken" } },
            },
        },
        "Refused": {
            "description": "The request is wrong; sending it again does not help.",
            "content": content,
        },
        "NotStored": {
            "description": "Nothing was acknowledged; send all of it again.",
            "headers": {
                "Retry-After": {
                    "description": "Seconds to wait.",
                    "required": true,
                    "schema": { "type": "integer", "example": RETRY_AFTER_SECONDS },
                },
            },
            "content": content,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(document: &Value, found: &Value) {
            match found {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let pointer = reference.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    members.values().for_each(|member| walk(document, member));
                }
                Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
        assert_eq!(document["paths"].as_object().unwrap().len(), PATHS.len() + 2);
    }
}
