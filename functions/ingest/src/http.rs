//! HTTP: the tracking API, with the paths, bodies and answers that the field's trackers know, and the
//! doors for signed webhooks and CloudEvents beside it.
//!
//! Invariants: a request that was taken is answered with 200 and nothing else, because some
//! trackers send it again on any other success; there is no redirect, because all of them would
//! follow it without the body and count it as success.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options, post};
use domain::event::EventKind;
use domain::feed::{Sender, SenderKind};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::StoreError;
use platform::telemetry::Counts;
use serde::Deserialize;
use serde_json::json;

use crate::body::{self, BodyFault, MAX_WIRE_BYTES};
use crate::call::{Came, Delivery, Rejection};
use crate::items::{self, Batch, Item};
use crate::mend::mend;
use crate::openapi;
use crate::problem::Problem;
use crate::take::{self, Outcome};
use crate::{App, auth, cloudevents, slack, webhook};

/// How many rejected calls an answer lists; all of them are in quarantine.
const MAX_LISTED: usize = 10_000;

/// What a path takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Endpoint {
    /// Many calls.
    Batch,
    /// Many calls, however old.
    Import,
    /// One call of a kind.
    Call(EventKind),
}

/// The paths; browsers use the short ones.
pub(crate) const PATHS: [(&str, Endpoint); 15] = [
    ("/v1/batch", Endpoint::Batch),
    ("/v1/b", Endpoint::Batch),
    ("/v1/import", Endpoint::Import),
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

impl Endpoint {
    /// What a path of the tracking API takes.
    pub(crate) fn of(path: &str) -> Option<Endpoint> {
        PATHS.iter().find(|(known, _)| *known == path).map(|(_, endpoint)| *endpoint)
    }

    /// Makes a delivery one of this path's.
    pub(crate) fn shape(self, delivery: &mut Delivery) {
        match self {
            Endpoint::Batch => {}
            Endpoint::Import => delivery.oldest = None,
            Endpoint::Call(kind) => delivery.kind = Some(kind),
        }
    }
}

/// The tracking API, webhooks and CloudEvents over an application.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, endpoint) in PATHS {
        let receive = move |State(app): State<Arc<App>>, request: Request| async move {
            receive(&app, path, endpoint, request).await.into_response()
        };
        router = router.route(path, post(receive).options(preflight));
    }
    router
        .route("/v1/openapi.json", get(openapi::answer).options(preflight))
        .route("/v1/webhooks/{source}", post(receive_webhook).options(preflight))
        .route(slack::PATH, post(receive_click))
        .route(cloudevents::PATH, post(receive_cloudevents).options(may_send_cloudevents))
        .route("/v1/{*path}", options(preflight).fallback(not_found))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(map_response(open_to_browsers))
        .with_state(app)
}

/// The source of a webhook, by name: this router may stand within another that has names too.
#[derive(Deserialize)]
struct WebhookPath {
    source: String,
}

async fn receive_webhook(
    State(app): State<Arc<App>>,
    Path(path): Path<WebhookPath>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    webhook::receive(&app, &path.source, &parts, body).await.into_response()
}

async fn receive_click(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    slack::receive(&app, &parts, body).await.into_response()
}

async fn receive_cloudevents(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    cloudevents::receive(&app, &parts, body).await.into_response()
}

async fn may_send_cloudevents(headers: HeaderMap) -> Response {
    match cloudevents::handshake(&headers) {
        Some(allowed) => allowed.into_response(),
        None => preflight().await.into_response(),
    }
}

/// What a request was answered with.
pub(crate) struct Taken {
    outcomes: Vec<(std::ops::Range<usize>, Outcome)>,
    counts: Counts,
    /// How many items a map passed over, where there is one.
    ignored: Option<usize>,
}

impl Taken {
    /// The one item of a request that had one.
    ///
    /// # Errors
    /// When that was rejected: whoever tries the API by hand sees why. It is in quarantine all the
    /// same.
    pub(crate) fn or_refused(self) -> Result<Taken, Problem> {
        match self.outcomes.as_slice() {
            [(_, Outcome::Rejected(rejection))] => {
                Err(Problem::bad_request(rejection.code, rejection.message.as_str()))
            }
            _ => Ok(self),
        }
    }
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
        let mut body = json!({
            "success": true,
            "accepted": self.counts.accepted,
            "duplicates": self.counts.duplicates,
            "rejected": rejected,
        });
        if let Some(ignored) = self.ignored {
            body["ignored"] = ignored.into();
        }
        let mut response = axum::Json(body).into_response();
        response.extensions_mut().insert(self.counts);
        response
    }
}

/// Takes a request of the tracking API.
async fn receive(
    app: &App,
    path: &str,
    endpoint: Endpoint,
    request: Request,
) -> Result<Taken, Problem> {
    let (parts, body) = request.into_parts();
    let header_key = auth::header_key(&parts.headers)?;
    let mut came = None;
    if let Some(key) = &header_key {
        came = Some(Came::new(admit(app, key).await?, Some(path)));
    }
    let wire = read_wire(body).await?;
    let text = match body::text(&wire) {
        Ok(text) => text,
        Err(BodyFault::TooLarge) => return Err(too_large(body::MAX_BYTES)),
        Err(BodyFault::Gzip) => {
            let rejection = Rejection::new("invalid_json", "the body is no whole gzip stream");
            return Err(unreadable(app, came.as_ref(), &wire, rejection).await);
        }
    };
    let mended;
    let (text, read) = match read(endpoint, &text) {
        Err(rejection) => match mend(&text) {
            Some(text) => {
                mended = text;
                (mended.as_str(), read(endpoint, &mended))
            }
            None => (text.as_str(), Err(rejection)),
        },
        read => (text.as_str(), read),
    };
    let (body_key, batch) = match read {
        Ok(read) => read,
        Err(rejection) => {
            return Err(unreadable(app, came.as_ref(), text.as_bytes(), rejection).await);
        }
    };
    let key = auth::one_key(header_key, body_key)?;
    let came = match came {
        Some(came) => came,
        None => Came::new(admit(app, &key).await?, Some(path)),
    };
    let lifecycle = app.store.lifecycle().await.map_err(|error| Problem::not_stored(&error))?;
    let now = app.now();
    let origin = now.to_string();
    let delivery = app.delivery(&lifecycle, now, &origin, came).await;
    let mut delivery = delivery.map_err(|error| Problem::not_stored(&error))?;
    endpoint.shape(&mut delivery);
    match &batch {
        Some(batch) => {
            delivery.share(&batch.shared);
            take_items(app, &lifecycle, batch.items(&delivery), None, now).await
        }
        None => {
            let items = vec![Item::parse(text, 0, &delivery)];
            take_items(app, &lifecycle, items, None, now).await?.or_refused()
        }
    }
}

/// The write key in a body, and the batch that it is where the path takes batches.
fn read(endpoint: Endpoint, text: &str) -> Result<(Option<String>, Option<Batch<'_>>), Rejection> {
    match endpoint {
        Endpoint::Batch | Endpoint::Import => {
            Batch::read(text).map(|batch| (batch.write_key.clone(), Some(batch)))
        }
        Endpoint::Call(_) => items::write_key(text).map(|key| (key, None)),
    }
}

/// The bytes of a body.
///
/// # Errors
/// When there are too many.
pub(crate) async fn read_wire(body: Body) -> Result<Bytes, Problem> {
    to_bytes(body, MAX_WIRE_BYTES).await.map_err(|_| too_large(MAX_WIRE_BYTES))
}

/// Takes the items of a request: what it is answered with.
///
/// # Errors
/// When one of them could not be stored: nothing of the request is acknowledged.
pub(crate) async fn take_items(
    app: &App,
    lifecycle: &Lifecycle,
    items: Vec<Item<'_>>,
    ignored: Option<usize>,
    now: Timestamp,
) -> Result<Taken, Problem> {
    let indexes: Vec<_> = items.iter().map(|item| item.indexes.clone()).collect();
    let outcomes = take::take(&app.store, lifecycle, items, now).await;
    let counts = take::counts(&outcomes);
    let failed = take::first_failure(&outcomes);
    match failed {
        Some(error) => Err(Problem::not_stored(error)),
        None => {
            Ok(Taken { outcomes: indexes.into_iter().zip(outcomes).collect(), counts, ignored })
        }
    }
}

/// Lets a request in whose key is live: whose it is.
pub(crate) async fn admit(app: &App, key: &str) -> Result<Sender, Problem> {
    match app.store.write_key_label(key).await {
        Ok(Some(label)) => Ok(Sender::new(SenderKind::WriteKey, &label)),
        Ok(None) => Err(auth::unknown_key()),
        Err(error) => Err(Problem::not_stored(&error)),
    }
}

/// Sets aside a body of which nothing can be read, if its sender is known; an empty one is nothing
/// to keep.
pub(crate) async fn unreadable(
    app: &App,
    came: Option<&Came>,
    raw: &[u8],
    rejection: Rejection,
) -> Problem {
    let Some(came) = came else { return auth::no_key() };
    if raw.is_empty() {
        return Problem::bad_request(rejection.code, rejection.message);
    }
    let stored = async {
        let shield = match app.store.lifecycle().await {
            Ok(lifecycle) => app.store.shield(&lifecycle).await?,
            Err(StoreError::NoLifecycle) => None,
            Err(error) => return Err(error),
        };
        take::set_aside(&app.store, raw, &rejection, came, shield.as_deref(), app.now()).await
    };
    match stored.await {
        Ok(()) => Problem::bad_request(rejection.code, rejection.message),
        Err(error) => Problem::not_stored(&error),
    }
}

pub(crate) fn too_large(limit: usize) -> Problem {
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
