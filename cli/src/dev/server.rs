//! The local HTTP server: the functions' own routers, and what only development needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use console::Visitor;
use jiff::Timestamp;
use platform::sweep::SweepKind;
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt as _;

use super::ClockKind;
use super::schedule::WatchedFile;
use crate::pack::{Pack, SweepFunction, Told};

struct Dev {
    pack: Arc<Pack>,
    file: Arc<WatchedFile>,
    clock: ClockKind,
    runs: AtomicU64,
}

/// All routes, behind a check of the Host header: a page of another site whose name was made to
/// resolve to this machine gets nothing.
pub fn router(
    pack: Arc<Pack>,
    file: Arc<WatchedFile>,
    clock: ClockKind,
    address: SocketAddr,
    visitor: Visitor,
) -> Router {
    let ingest = ingest::router(Arc::clone(&pack.ingest));
    // Whoever reaches this machine's own address is who started the server.
    let console = console::router(Arc::clone(&pack.console)).layer(Extension(visitor));
    let dev = Arc::new(Dev { pack, file, clock, runs: AtomicU64::new(0) });
    Router::new()
        .route("/dev/clock", get(read_clock).post(set_clock))
        .route("/dev/run/{function}", post(run))
        .route("/dev/sns", get(published))
        .route("/dev/outbox", get(posts))
        .route("/dev/capacity", get(capacity).delete(reset_capacity))
        .with_state(dev)
        .route("/v1/{*rest}", any(move |request: Request| ingest.clone().oneshot(request)))
        .fallback(move |request: Request| console.clone().oneshot(request))
        .layer(from_fn_with_state(address, refuse_foreign_host))
}

async fn refuse_foreign_host(
    State(address): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let port = address.port();
    let known = ["127.0.0.1", "localhost", "[::1]"];
    let is_ours = host.is_some_and(|host| {
        known.iter().any(|name| host == *name || host == format!("{name}:{port}"))
    });
    if is_ours {
        return next.run(request).await;
    }
    problem(
        StatusCode::FORBIDDEN,
        "foreign_host",
        "this server answers to 127.0.0.1 and localhost only",
    )
}

fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": message,
        "code": code,
        "message": message,
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body.to_string()).into_response()
}

fn failed(error: &anyhow::Error) -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "failed", &format!("{error:#}"))
}

async fn read_clock(State(dev): State<Arc<Dev>>) -> Response {
    let mode = match dev.clock {
        ClockKind::System => "system",
        ClockKind::Manual => "manual",
    };
    Json(json!({ "now": dev.pack.clock.now(), "clock": mode })).into_response()
}

#[derive(Deserialize)]
struct NewTime {
    now: Timestamp,
}

async fn set_clock(State(dev): State<Arc<Dev>>, body: String) -> Response {
    if dev.clock == ClockKind::System {
        let message = "the clock follows the system; start with --clock manual to set it";
        return problem(StatusCode::CONFLICT, "system_clock", message);
    }
    match serde_json::from_str::<NewTime>(&body) {
        Ok(time) => {
            dev.pack.clock.set(Some(time.now));
            Json(json!({ "now": time.now })).into_response()
        }
        Err(_) => {
            let message = "send {\"now\":\"2026-01-15T10:30:00Z\"}";
            problem(StatusCode::BAD_REQUEST, "invalid_time", message)
        }
    }
}

#[derive(Default, Deserialize)]
struct RunRequest {
    at: Option<Timestamp>,
    #[serde(default)]
    sweep: SweepKind,
}

/// Invokes a function with a schedule event of an instant, then tells what the journal has.
async fn run(State(dev): State<Arc<Dev>>, Path(function): Path<String>, body: String) -> Response {
    let request = match body.trim() {
        "" => Ok(RunRequest::default()),
        body => serde_json::from_str(body),
    };
    let Ok(request) = request else {
        let message = "send {\"at\":\"2026-01-15T10:30:00Z\"}, or nothing for now";
        return problem(StatusCode::BAD_REQUEST, "invalid_request", message);
    };
    if let Err(error) = dev.file.refresh(&dev.pack).await {
        return failed(&error);
    }
    if function == "notify" {
        // The stream first: what it brings may be due at once.
        let told = match dev.pack.tell().await {
            Ok(told) => told,
            Err(error) => return failed(&error),
        };
        return match dev.pack.tick().await {
            Ok(due) => {
                let (visited, changed) = (told.visited + due.visited, told.changed + due.changed);
                Json(Told { visited, changed }).into_response()
            }
            Err(error) => failed(&error),
        };
    }
    let Some(sweep) = SweepFunction::ALL.into_iter().find(|known| known.name() == function) else {
        let message = "there is evaluate, score, comply and notify";
        return problem(StatusCode::NOT_FOUND, "unknown_function", message);
    };
    let at = request.at.unwrap_or_else(|| dev.pack.clock.now());
    // Each request is a run of its own: who asks twice wants it twice.
    let schedule =
        format!("asked-{}-{}", std::process::id(), dev.runs.fetch_add(1, Ordering::Relaxed));
    let summary = dev.pack.run(sweep, &schedule, at, request.sweep).await;
    let told = dev.pack.tell().await;
    match (summary, told) {
        (Ok(summary), Ok(_)) => Json(summary).into_response(),
        (Err(error), _) | (_, Err(error)) => failed(&error),
    }
}

async fn published(State(dev): State<Arc<Dev>>) -> Response {
    Json(dev.pack.sns.published()).into_response()
}

/// What receivers that are no topics would have got, had they an address here.
async fn posts(State(dev): State<Arc<Dev>>) -> Response {
    Json(dev.pack.posts.kept()).into_response()
}

async fn capacity(State(dev): State<Arc<Dev>>) -> Response {
    Json(dev.pack.capacity()).into_response()
}

async fn reset_capacity(State(dev): State<Arc<Dev>>) -> Response {
    dev.pack.reset_capacity();
    StatusCode::NO_CONTENT.into_response()
}
