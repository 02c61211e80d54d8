//! `ETag` and `If-None-Match`: whoever holds an answer asks whether it still is so, and is not sent it
//! again where it is (RFC 9110, 8.8.3 and 13.1.2).
//!
//! The tag is a hash of the answer, so that it changes with it and with nothing else. It saves what is
//! sent and not what is read.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

/// A hash of so many bytes tells answers of one path apart.
const TAG_BYTES: usize = 12;

/// Tags what is read, and says so where it is what the caller has.
pub(crate) async fn tagged(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let held = request.headers().clone();
    let answer = next.run(request).await;
    if answer.status() != StatusCode::OK {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(head, Body::empty());
    };
    let tag = format!("\"{}\"", domain::hex(&Sha256::digest(&body)[..TAG_BYTES]));
    let is_held = holds(&held, &tag);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        head.headers.insert(header::ETAG, tag);
    }
    if is_held {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(header::CONTENT_TYPE);
        head.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(body))
}

/// Whether one of the tags that a caller holds is this one: compared weakly, as a read is.
fn holds(headers: &HeaderMap, tag: &str) -> bool {
    let held = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|held| held.to_str().ok());
    let mut held = held.flat_map(|list| list.split(',')).map(str::trim);
    held.any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_held_alone_in_a_list_weakly_or_any() {
        let is_held = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(text));
            holds(&headers, "\"a1\"")
        };
        assert!(
            is_held("\"a1\"") && is_held("W/\"a1\"") && is_held("\"b\", \"a1\"") && is_held("*")
        );
        assert!(
            !is_held("\"b\"") && !is_held("a1") && !is_held("") && !holds(&HeaderMap::new(), "x")
        );
    }
}
