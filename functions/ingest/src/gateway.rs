//! API Gateway's HTTP API (payload format 2.0) around the router.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform::telemetry::Counts;
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt as _;

use crate::http::Received;
use crate::problem::Problem;
use crate::{Answer, App, IngestError, http};

/// The name of the stage that is no part of the path.
const DEFAULT_STAGE: &str = "$default";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpEvent {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: RequestContext,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Http,
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// Answers a request. The router is told nothing of the gateway.
pub(crate) async fn handle(app: &Arc<App>, event: &str) -> Result<Answer, IngestError> {
    let event: HttpEvent = serde_json::from_str(event)
        .map_err(|source| IngestError::Event { kind: "API Gateway", source })?;
    let response = match request(event) {
        Some(request) => match http::router(Arc::clone(app)).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => {
            let message = "the request is damaged: its path, or the base64 of its body";
            Problem::bad_request("invalid_request", message).into_response()
        }
    };
    Ok(answer(response).await)
}

fn request(event: HttpEvent) -> Option<Request<Body>> {
    let stage = event.request_context.stage.filter(|stage| stage != DEFAULT_STAGE);
    let prefix = stage.map(|stage| format!("/{stage}"));
    let path = prefix.and_then(|prefix| event.raw_path.strip_prefix(&prefix));
    let path = path.filter(|path| path.starts_with('/')).unwrap_or(&event.raw_path);
    let body = event.body.unwrap_or_default();
    let body = match event.is_base64_encoded {
        true => STANDARD.decode(body).ok()?,
        false => body.into_bytes(),
    };
    let method = Method::from_bytes(event.request_context.http.method.as_bytes()).ok()?;
    let query = match event.raw_query_string.as_str() {
        "" => String::new(),
        query => format!("?{query}"),
    };
    let received = Received(format!("{}{query}", event.raw_path));
    let request = Request::builder().method(method).uri(format!("{path}{query}"));
    let mut request = request.extension(received).body(Body::from(body)).ok()?;
    for (name, value) in event.headers {
        let name = HeaderName::try_from(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            request.headers_mut().append(name, value);
        }
    }
    Some(request)
}

async fn answer(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let counts = parts.extensions.get::<Counts>().copied().unwrap_or_default();
    let headers = parts.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let headers: BTreeMap<String, String> = headers.collect();
    // The router's bodies are in memory: reading one cannot fail.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let body = json!({
        "statusCode": parts.status.as_u16(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
        "isBase64Encoded": false,
    });
    Answer { body, counts }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(stage: &str, raw_path: &str) -> String {
        let event = json!({
            "rawPath": raw_path,
            "requestContext": {"stage": stage, "http": {"method": "POST"}},
        });
        let event = serde_json::from_value(event).unwrap();
        request(event).unwrap().uri().path().to_owned()
    }

    #[test]
    fn the_senders_own_address_is_kept() {
        let event = json!({
            "rawPath": "/prod/v1/webhooks/crm", "rawQueryString": "a=%40",
            "requestContext": {"stage": "prod", "http": {"method": "POST"}},
        });
        let request = request(serde_json::from_value(event).unwrap()).unwrap();
        assert_eq!(request.uri(), "/v1/webhooks/crm?a=%40");
        let received = request.extensions().get::<Received>().unwrap();
        assert_eq!(received.0, "/prod/v1/webhooks/crm?a=%40");
    }

    #[test]
    fn the_stage_is_no_part_of_the_path() {
        assert_eq!(path("$default", "/v1/batch"), "/v1/batch");
        assert_eq!(path("prod", "/prod/v1/batch"), "/v1/batch");
        // Behind a domain of its own the path has no stage.
        assert_eq!(path("prod", "/v1/batch"), "/v1/batch");
        assert_eq!(path("v", "/v1/batch"), "/v1/batch");
    }
}
