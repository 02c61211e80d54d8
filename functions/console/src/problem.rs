//! What is answered when a request cannot be: problem details (RFC 9457), with a stable code for
//! programs and a sentence for people.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::by_hand::Refused;
use domain::lifecycle::diagnostic::nearest;
use platform::StoreError;
use platform::adherence::{AdherenceError, SpanError};
use platform::handoff::HandoffError;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// After how many seconds to ask again.
const RETRY_AFTER_SECONDS: u64 = 5;
/// How many names a message lists.
const MAX_LISTED: usize = 12;

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the status says it all, the code says which.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub(crate) kind: &'static str,
    /// The status in words.
    #[schema(example = "Bad Request")]
    pub(crate) title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    pub(crate) status: u16,
    /// What is wrong, and what to do.
    pub(crate) detail: String,
    /// A stable word for programs.
    #[schema(example = "unknown_stage")]
    pub(crate) code: &'static str,
    /// The same as `detail`.
    pub(crate) message: String,
    /// After how many seconds to ask again.
    #[serde(skip)]
    pub(crate) retry_after: Option<u64>,
}

/// The errors of every route.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers in the document")]
pub(crate) enum Errors {
    /// A parameter is wrong; the message says which and why.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// Stored data cannot be read; the function's log says why.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// The tables did not answer, or no lifecycle file was applied yet. Ask again after the
    /// seconds in `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds to wait.")))]
    Unavailable(Problem),
}

/// The errors of routes about one customer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers in the document")]
pub(crate) enum CustomerErrors {
    /// There is no such customer.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// The errors of routes about one thing that has an id.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers in the document")]
pub(crate) enum ItemErrors {
    /// There is nothing with this id.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// The errors of routes by which people decide.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers in the document")]
pub(crate) enum ActionErrors {
    /// The customer is not in the state for it.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The body is not sent as `application/json`.
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(Problem),
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            message: detail.clone(),
            detail,
            code,
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS),
        }
    }

    /// A parameter that cannot be used.
    pub(crate) fn bad(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A name of the lifecycle file (or a fixed word) that does not exist, with what may be meant.
    pub(crate) fn unknown<'a>(
        code: &'static str,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Problem {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "the lifecycle file has none".to_owned(),
            None => {
                let listed: Vec<String> =
                    known.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect();
                let more = if known.len() > MAX_LISTED { ", …" } else { "" };
                format!("there are {}{more}", listed.join(", "))
            }
        };
        Problem::bad(code, format!("there is no {what} `{name}`: {help}"))
    }

    /// A cursor that no list of this kind gave out.
    pub(crate) fn cursor() -> Problem {
        Problem::bad(
            "invalid_cursor",
            "`cursor` is not one that this list gave out: leave it away to begin at the start",
        )
    }

    /// Something that the caller's role does not allow.
    pub(crate) fn role(needed: &str) -> Problem {
        let detail = format!("this takes the role `{needed}`: nothing was done");
        Problem::new(StatusCode::FORBIDDEN, "role_needed", detail)
    }

    /// A customer that nobody has heard of.
    pub(crate) fn no_customer() -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "customer_not_found",
            "there is no customer with this id, and no user with it belongs to one",
        )
    }

    /// Something else that does not exist.
    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// A body that is not JSON, or does not say so.
    pub(crate) fn media_type() -> Problem {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send the body as JSON, with `content-type: application/json`",
        )
    }

    /// Somebody else applied a lifecycle file in between.
    pub(crate) fn overtaken() -> Problem {
        Problem::new(
            StatusCode::CONFLICT,
            "overtaken",
            "another version is active by now: look at it first",
        )
    }

    /// A key under which another request was made.
    pub(crate) fn key_of_another() -> Problem {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "another request was made with this `Idempotency-Key`: nothing was done; use a new key for \
             each action",
        )
    }

    /// A key whose request is being done at this moment.
    pub(crate) fn key_in_use() -> Problem {
        Problem::new(
            StatusCode::CONFLICT,
            "idempotency_key_in_use",
            "a request with this `Idempotency-Key` is being done at this moment: ask again",
        )
    }

    /// More requests than one caller may make.
    pub(crate) fn too_many(seconds: u64) -> Problem {
        let detail = format!("too many requests: wait for {seconds} s and ask again");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
        Problem { retry_after: Some(seconds), ..problem }
    }

    /// A path that leads nowhere.
    pub(crate) fn no_route() -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this path: /api/openapi.json lists what there is",
        )
    }

    /// A method a path does not have.
    pub(crate) fn no_method() -> Problem {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "the path does not have this method: the header `allow` lists those it has",
        )
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let status = match refused.is_conflict() {
            true => StatusCode::CONFLICT,
            false => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, refused.code(), refused.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Cursor => return Problem::cursor(),
            // Nothing failed: somebody was faster under the same key.
            StoreError::Repeated => return Problem::key_in_use(),
            _ => {}
        }
        tracing::error!(
            error = &error as &dyn Error,
            retryable = error.retryable(),
            "a request could not be answered"
        );
        match &error {
            StoreError::NoLifecycle => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_lifecycle",
                "no lifecycle file is active yet: apply one and ask again",
            ),
            error if error.retryable() => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the tables cannot be read at the moment: ask again in a few seconds",
            ),
            _ => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "stored data cannot be read: the function's log says why",
            ),
        }
    }
}

impl From<SpanError> for Problem {
    fn from(error: SpanError) -> Problem {
        Problem::bad("invalid_span", error.to_string())
    }
}

impl From<AdherenceError> for Problem {
    fn from(error: AdherenceError) -> Problem {
        match error {
            AdherenceError::Store(error) => Problem::from(error),
            AdherenceError::TooMany => Problem::bad(
                "too_many_entries",
                "the journal has too many entries for one answer: ask for fewer days",
            ),
        }
    }
}

impl From<HandoffError> for Problem {
    fn from(error: HandoffError) -> Problem {
        tracing::error!(error = &error as &dyn Error, "work could not be handed on");
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "what you asked for is written down, but nobody has it to do yet: ask again in a few seconds",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest() {
        let known = ["onboarding", "churned"];
        let near = Problem::unknown("unknown_stage", "stage", "onbording", known);
        assert_eq!(near.detail, "there is no stage `onbording`: did you mean `onboarding`?");
        let far = Problem::unknown("unknown_stage", "stage", "x", known);
        assert_eq!(far.detail, "there is no stage `x`: there are `onboarding`, `churned`");
        let none = Problem::unknown("unknown_band", "band", "x", []);
        assert_eq!(none.detail, "there is no band `x`: the lifecycle file has none");
    }

    #[test]
    fn only_what_may_succeed_later_is_asked_for_again() {
        let retry = Problem::from(StoreError::Unprocessed(3)).into_response();
        assert_eq!(retry.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(retry.headers()[header::RETRY_AFTER], "5");
        let damaged = StoreError::Item { table: "journal", what: "entry" };
        let fatal = Problem::from(damaged).into_response();
        assert_eq!(fatal.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(fatal.headers().get(header::RETRY_AFTER).is_none());
        let many = Problem::too_many(3).into_response();
        assert_eq!(many.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(many.headers()[header::RETRY_AFTER], "3");
        let repeated = Problem::from(StoreError::Repeated);
        assert_eq!((repeated.status, repeated.code), (409, "idempotency_key_in_use"));
        let cursor = Problem::from(StoreError::Cursor).into_response();
        assert_eq!(cursor.status(), StatusCode::BAD_REQUEST);
        assert_eq!(cursor.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
