//! The `ingest` function over the tables of a stack: requests and events in, and what became of them.

#![allow(clippy::unwrap_used, reason = "this is a part of tests")]

use std::sync::Arc;

use anyhow::Result;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use ingest::{App, IngestError};
use jiff::Timestamp;
use lambda_runtime::{Context, LambdaEvent};
use platform::CustomerKey;
use platform::store::QuarantineFilter;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tower::ServiceExt as _;

use crate::stack::Stack;

/// The write key of a [`Stack`] as a header.
pub const BEARER: (&str, &str) = ("authorization", "Bearer dev");

/// The function and its tables.
pub struct Door {
    /// The tables and the clock.
    pub stack: Stack,
    /// The function.
    pub app: Arc<App>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null where it is no JSON.
    pub body: Json,
}

impl Reply {
    /// How many items became what, as `[accepted, duplicates, ignored]`, and the codes of the others.
    ///
    /// # Panics
    /// When the request was refused.
    pub fn taken(&self) -> ([u64; 3], Vec<&str>) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        let count = |name: &str| self.body[name].as_u64().unwrap_or_default();
        let rejected = self.body["rejected"].as_array().unwrap();
        let codes = rejected.iter().map(|found| found["code"].as_str().unwrap());
        (["accepted", "duplicates", "ignored"].map(count), codes.collect())
    }

    /// The status and the code of a refusal.
    ///
    /// # Panics
    /// When it is no problem as all of ours are.
    pub fn refused(&self) -> (u16, &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        for member in ["type", "title", "code", "message", "detail"] {
            assert!(self.body[member].is_string(), "{member} of {}", self.body);
        }
        assert_eq!(self.body["status"], self.status.as_u16());
        (self.status.as_u16(), self.body["code"].as_str().unwrap())
    }
}

impl Door {
    /// Starts a stack at an instant with a lifecycle file that is active.
    ///
    /// # Errors
    /// When the engine cannot start, or the file is not valid.
    pub async fn open(source: &str, now: Timestamp) -> Result<Door> {
        let stack = Stack::start(source, now).await?;
        let app = App {
            store: stack.store.clone(),
            clock: stack.clock.handle(),
            public_url: None,
            egress: platform::egress::Egress::with_this_machine(std::time::Duration::from_secs(2)),
        };
        Ok(Door { stack, app: Arc::new(app) })
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When a header is none.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let request = request.body(body.into()).unwrap();
        let response = ingest::router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Posts a body.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        self.request(Method::POST, path, headers, body).await
    }

    /// Invokes the function with an event.
    ///
    /// # Errors
    /// As the function.
    ///
    /// # Panics
    /// Never: an event is JSON.
    pub async fn invoke(&self, event: &Json) -> Result<Json, IngestError> {
        let payload = RawValue::from_string(event.to_string()).unwrap();
        ingest::handle(&self.app, LambdaEvent { payload, context: Context::default() }).await
    }

    /// The names of a customer's events, sorted.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub async fn event_names(&self, customer: &CustomerKey) -> Vec<String> {
        let page = self.stack.store.event_page(customer, 100, None).await.unwrap();
        let mut names: Vec<String> = page.items.into_iter().map(|event| event.name).collect();
        names.sort();
        names
    }

    /// The codes of what is in quarantine, sorted.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn quarantined(&self) -> Vec<String> {
        let page =
            self.stack.store.quarantined(&QuarantineFilter::default(), 100, None).await.unwrap();
        let mut codes: Vec<String> = page.items.into_iter().map(|item| item.code).collect();
        codes.sort();
        codes
    }
}
