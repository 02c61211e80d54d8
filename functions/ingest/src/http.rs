//! The tracking API: the paths, bodies and answers that the field's trackers know.
//!
//! Invariants: a request that was taken is answered with 200 and nothing else, because some
//! trackers send it again on any other success; there is no redirect, because all of them would
//! follow it without the body and count it as success.

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options, post};
use domain::event::EventKind;
use platform::telemetry::Counts;
use serde_json::json;

use crate::App;
use crate::auth;
use crate::body::{self, BodyFault, MAX_WIRE_BYTES};
use crate::call::{Delivery, Rejection, Shared};
use crate::items::{self, Batch, Item};
use crate::openapi;
use crate::problem::Problem;
use crate::take::{self, Outcome};

/// How many rejected calls an answer lists; all of them are in quarantine.
const MAX_LISTED: usize = 10_000;

/// What a path takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Endpoint {
    /// Many calls.
    Batch,
    /// One call of a kind.
    Call(EventKind),
}

/// The paths; browsers use the short ones.
pub(crate) const PATHS: [(&str, Endpoint); 15] = [
    ("/v1/batch", Endpoint::Batch),
    ("/v1/b", Endpoint::Batch),
    ("/v1/import", Endpoint::Batch),
    ("/v1/track", Endpoint::Call(EventKind::Track)),
    ("/v1/t", Endpoint::Call(EventKind::Track)),
    ("/v1/identify", Endpoint::Call(EventKind::Identify)),
    ("/v1/i", Endpoint::Call(EventKind::Identify)),
    ("/v1/group", Endpoint::Call(EventKind::Group)),
    ("/v1/g", Endpoint::Call(EventKind::Group)),
    ("/v1/page", Endpoint::Call(EventKind::Page)),
    ("/v1/p", Endpoint::Call(EventKind::Page)),
    ("/v1/screen", Endpoint::Call(EventKind::Screen)),
    ("/v1/s", Endpoint::Call(EventKind::Screen)),
    ("/v1/alias", Endpoint::Call(EventKind::Alias)),
    ("/v1/a", Endpoint::Call(EventKind::Alias)),
];

/// The tracking API over an application.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, endpoint) in PATHS {
        let receive = move |State(app): State<Arc<App>>, request: Request| async move {
            receive(&app, endpoint, request).await.into_response()
        };
        router = router.route(path, post(receive).options(preflight));
    }
    router
        .route("/v1/openapi.json", get(openapi::answer).options(preflight))
        .route("/v1/{*path}", options(preflight).fallback(not_found))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(map_response(open_to_browsers))
        .with_state(app)
}

/// What a request was answered with.
struct Taken {
    outcomes: Vec<(std::ops::Range<usize>, Outcome)>,
    counts: Counts,
}

impl IntoResponse for Taken {
    fn into_response(self) -> Response {
        let mut rejected = Vec::new();
        for (indexes, outcome) in &self.outcomes {
            let Outcome::Rejected(found) = outcome else { continue };
            rejected.extend(indexes.clone().take(MAX_LISTED - rejected.len()).map(|index| {
                json!({
                    "index": index,
                    "messageId": found.message_id,
                    "code": found.code,
                    "message": found.message,
                })
            }));
        }
        let body = json!({
            "success": true,
            "accepted": self.counts.accepted,
            "duplicates": self.counts.duplicates,
            "rejected": rejected,
        });
        let mut response = axum::Json(body).into_response();
        response.extensions_mut().insert(self.counts);
        response
    }
}

/// Takes a request. A single call that is rejected is refused, so that whoever tries the API by
/// hand sees why; it is in quarantine all the same.
async fn receive(app: &App, endpoint: Endpoint, request: Request) -> Result<Taken, Problem> {
    let (parts, body) = request.into_parts();
    let header_key = auth::header_key(&parts.headers)?;
    if let Some(key) = &header_key {
        admit(app, key).await?;
    }
    let wire = to_bytes(body, MAX_WIRE_BYTES).await.map_err(|_| too_large(MAX_WIRE_BYTES))?;
    let text = match body::text(&wire) {
        Ok(text) => text,
        Err(BodyFault::TooLarge) => return Err(too_large(body::MAX_BYTES)),
        Err(BodyFault::Gzip) => {
            let rejection = Rejection::new("invalid_json", "the body is no whole gzip stream");
            return Err(unreadable(app, header_key, &wire, rejection).await);
        }
    };
    let read = match endpoint {
        Endpoint::Batch => Batch::read(&text).map(|batch| (batch.write_key.clone(), Some(batch))),
        Endpoint::Call(_) => items::write_key(&text).map(|key| (key, None)),
    };
    let (body_key, batch) = match read {
        Ok(read) => read,
        Err(rejection) => {
            let raw = Bytes::from(text);
            return Err(unreadable(app, header_key, &raw, rejection).await);
        }
    };
    let is_admitted = header_key.is_some();
    let key = auth::one_key(header_key, body_key)?;
    if !is_admitted {
        admit(app, &key).await?;
    }
    take_items(app, endpoint, &text, batch).await
}

async fn take_items(
    app: &App,
    endpoint: Endpoint,
    text: &str,
    batch: Option<Batch<'_>>,
) -> Result<Taken, Problem> {
    let lifecycle = app.store.lifecycle().await.map_err(|error| Problem::not_stored(&error))?;
    let now = app.now();
    let kind = match endpoint {
        Endpoint::Batch => None,
        Endpoint::Call(kind) => Some(kind),
    };
    let shared = batch.as_ref().map_or_else(Shared::default, |batch| batch.shared.clone());
    let origin = now.to_string();
    let delivery = Delivery { subject: lifecycle.subject, now, origin: &origin, kind, shared };
    let items = match &batch {
        Some(batch) => batch.items(&delivery),
        None => vec![Item::parse(text, 0, &delivery)],
    };
    let indexes: Vec<_> = items.iter().map(|item| item.indexes.clone()).collect();
    let outcomes = take::take(&app.store, &lifecycle, items, now).await;
    let counts = take::counts(&outcomes);
    for outcome in &outcomes {
        match (outcome, endpoint) {
            (Outcome::Failed(error), _) => return Err(Problem::not_stored(error)),
            (Outcome::Rejected(rejection), Endpoint::Call(_)) => {
                return Err(Problem::bad_request(rejection.code, rejection.message.as_str()));
            }
            _ => {}
        }
    }
    Ok(Taken { outcomes: indexes.into_iter().zip(outcomes).collect(), counts })
}

/// Lets a request in whose key is live.
async fn admit(app: &App, key: &str) -> Result<(), Problem> {
    match app.store.is_write_key(key).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(auth::unknown_key()),
        Err(error) => Err(Problem::not_stored(&error)),
    }
}

/// Sets aside a body of which nothing can be read, if its sender is known; an empty one is nothing
/// to keep.
async fn unreadable(
    app: &App,
    admitted: Option<String>,
    raw: &[u8],
    rejection: Rejection,
) -> Problem {
    if admitted.is_none() {
        return auth::no_key();
    }
    if !raw.is_empty()
        && let Err(error) = take::set_aside(&app.store, raw, &rejection, app.now()).await
    {
        return Problem::not_stored(&error);
    }
    Problem::bad_request(rejection.code, rejection.message)
}

fn too_large(limit: usize) -> Problem {
    Problem::bad_request("too_large", format!("the body is larger than {limit} bytes; split it"))
}

async fn not_found() -> Problem {
    let message = "there is nothing at this path; send to /v1/batch, or /v1/track and the like";
    Problem { status: StatusCode::NOT_FOUND, code: "not_found", message: message.to_owned() }
}

async fn method_not_allowed() -> Problem {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Problem { status, code: "method_not_allowed", message: "use POST".to_owned() }
}

/// Answers a browser that asks whether it may send a call: from anywhere, with a write key.
async fn preflight() -> impl IntoResponse {
    let allowed = "authorization, content-type, x-retry-count, x-write-key";
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers)
}

async fn open_to_browsers(mut response: Response) -> Response {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after")),
    ];
    response.headers_mut().extend(headers);
    response
}
