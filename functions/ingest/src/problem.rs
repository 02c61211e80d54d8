//! Errors as HTTP tells them: `application/problem+json` (RFC 9457) with a `code` for programs.
//!
//! Some trackers read `code` and `message` out of an error body and send the request again, up to
//! ten times, when they are not there; so every error has both, and is an object.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use platform::StoreError;
use serde_json::json;

/// After how many seconds a sender should try again. Never zero: some would at once.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 5;

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// What is wrong and what to do, as a sentence.
    pub(crate) message: String,
}

impl Problem {
    /// The request is wrong; sending it again does not help.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Problem {
        Problem { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// The write key is missing, or is none.
    pub(crate) fn unauthorized(code: &'static str, message: impl Into<String>) -> Problem {
        Problem { status: StatusCode::UNAUTHORIZED, code, message: message.into() }
    }

    /// Something could not be stored, so nothing of the request is acknowledged. This is the edge
    /// where the cause is logged.
    pub(crate) fn not_stored(error: &StoreError) -> Problem {
        tracing::error!(error = error as &dyn Error, "a request could not be stored");
        let (code, message) = match error {
            StoreError::NoLifecycle => {
                ("no_lifecycle", "no lifecycle file is active yet; apply one and send again")
            }
            _ => ("not_stored", "nothing of this request was acknowledged; send all of it again"),
        };
        Problem { status: StatusCode::SERVICE_UNAVAILABLE, code, message: message.to_owned() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "message": self.message,
            "detail": self.message,
        }));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            }
            StatusCode::UNAUTHORIZED => {
                // Not `Basic`, for which a browser would ask its user for a password.
                let challenge = HeaderValue::from_static("Bearer realm=\"ingest\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            _ => {}
        }
        response
    }
}
