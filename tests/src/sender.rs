//! Senders that try again until what they sent is acknowledged: over HTTP, through the queue and the bus.

#![allow(clippy::unwrap_used, reason = "this is a part of tests")]

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use ingest::App;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

use crate::stack::WRITE_KEY;

/// How calls come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A batch over HTTP.
    Http,
    /// Records of the queue, a call each.
    Queue,
    /// One event of the bus.
    Bus,
}

/// An answer over HTTP.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// In seconds.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Json,
}

/// Posts a batch of calls.
///
/// # Panics
/// When the answer is no JSON.
pub async fn batch(app: &Arc<App>, calls: &Json) -> Reply {
    let request = Request::post("/v1/batch").header("x-write-key", WRITE_KEY);
    let request = request.body(Body::from(json!({"batch": calls}).to_string())).unwrap();
    let response = ingest::router(Arc::clone(app)).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let retry_after = parts.headers.get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    let body = serde_json::from_slice(&body).unwrap();
    Reply { status: parts.status, retry_after, body }
}

/// One attempt: how many calls were new and how many there already; `None` when its sender is to
/// try again.
///
/// # Panics
/// When the answer is none that a sender could go by.
pub async fn deliver(app: &Arc<App>, way: Way, calls: &[Json]) -> Option<(u64, u64)> {
    match way {
        Way::Http => {
            let reply = batch(app, &Json::from(calls.to_vec())).await;
            let number = |name: &str| reply.body[name].as_u64().unwrap();
            match reply.status {
                StatusCode::OK => Some((number("accepted"), number("duplicates"))),
                StatusCode::SERVICE_UNAVAILABLE => {
                    let seconds: u32 = reply.retry_after.unwrap().parse().unwrap();
                    assert!((1..=300).contains(&seconds), "Retry-After: {seconds}");
                    assert_eq!(reply.body["code"], "not_stored");
                    None
                }
                other => panic!("answered {other}: {}", reply.body),
            }
        }
        Way::Queue => {
            let record = |call: &Json| {
                let id = format!("record of {call}");
                json!({"messageId": id, "eventSource": "aws:sqs", "body": call.to_string()})
            };
            let records: Vec<Json> = calls.iter().map(record).collect();
            let answer = invoke(app, &json!({"Records": records})).await?;
            let failures = answer.body["batchItemFailures"].as_array().unwrap();
            let counts = answer.counts;
            failures.is_empty().then_some((counts.accepted, counts.duplicates))
        }
        Way::Bus => {
            let answer = invoke(app, &calls[0]).await?;
            Some((answer.counts.accepted, answer.counts.duplicates))
        }
    }
}

/// An invocation that fails is delivered again.
async fn invoke(app: &Arc<App>, event: &Json) -> Option<ingest::Answer> {
    let payload = RawValue::from_string(event.to_string()).unwrap();
    let event = LambdaEvent { payload, context: Context::default() };
    match ingest::respond(app, event).await {
        Ok(answer) => Some(answer),
        Err(error) => {
            assert!(error.retryable(), "{error}");
            None
        }
    }
}
