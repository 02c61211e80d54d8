//! API Gateway and function URLs around the router, which is told nothing of them.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use platform::gateway::{self, Event};
use platform::telemetry::Counts;
use serde_json::json;
use tower::ServiceExt as _;

use crate::problem::Problem;
use crate::{Answer, App, IngestError, http};

/// Answers a request.
pub(crate) async fn handle(app: &Arc<App>, event: &str) -> Result<Answer, IngestError> {
    let event: Event = serde_json::from_str(event)
        .map_err(|source| IngestError::Event { kind: "API Gateway", source })?;
    let response = match event.request() {
        Some(request) => {
            match http::router(Arc::clone(app)).oneshot(request.map(Body::from)).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        None => {
            let message = "the request is damaged: its path, its method, or the base64 of its body";
            Problem::bad_request("invalid_request", message).into_response()
        }
    };
    Ok(answer(response).await)
}

async fn answer(response: Response) -> Answer {
    let (head, body) = response.into_parts();
    let counts = head.extensions.get::<Counts>().copied().unwrap_or_default();
    // The router's bodies are in memory: reading one cannot fail.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Answer { body: json!(gateway::Answer::new(&head, &body)), counts }
}
