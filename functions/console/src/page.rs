//! Lists in parts: `limit`, `cursor` and `next_cursor`.
//!
//! A cursor is the store's own, sealed with a checksum over it and over the list it belongs to, so
//! that one that was cut, changed or taken to another list is refused instead of misread. It is a
//! guard against mistakes, not against forgery: a forged one reads nothing its caller may not.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

const DEFAULT_LIMIT: u16 = 100;
const MAX_LIMIT: u16 = 1_000;
/// A cursor's checksum, in hexadecimal digits.
const CHECKSUM_DIGITS: usize = 12;
/// The most bytes of items in one answer. Lambda's answers end at 6 MB, in which every quote and
/// backslash of the body takes a byte more.
pub(crate) const MAX_BYTES: usize = 3_000_000;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The items of this part.
    pub(crate) items: Vec<T>,
    /// Where the next part begins; null after the last one. A part may be short, or empty, and
    /// still not be the last.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A part of the list named `list`, from items and the store's cursor.
    pub(crate) fn new(list: &str, items: Vec<T>, next: Option<String>) -> List<T> {
        List { items, next_cursor: next.map(|next| seal(list, &next)) }
    }
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// How many items to answer at most.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// Where to go on: the `next_cursor` of the part before, unchanged.
    cursor: Option<String>,
}

/// Which part of a list, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// 1 to 1000.
    pub(crate) limit: u16,
    cursor: Option<String>,
}

impl PageRequest {
    /// So many items, from a cursor on.
    pub(crate) fn new(limit: u16, cursor: Option<String>) -> PageRequest {
        PageRequest { limit: limit.clamp(1, MAX_LIMIT), cursor }
    }

    /// The store's cursor to begin at.
    pub(crate) fn start(&self, list: &str) -> Result<Option<String>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        open(list, cursor).map(Some).ok_or_else(Problem::cursor)
    }
}

impl<S: Sync> FromRequestParts<S> for PageRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PageRequest, Problem> {
        let Parameters(asked) =
            Parameters::<PageParameters>::from_request_parts(parts, state).await?;
        let limit: u16 = match asked.limit {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| {
                    let detail = format!("`limit` must be a whole number from 1 to {MAX_LIMIT}");
                    Problem::bad("invalid_limit", detail)
                })?,
        };
        Ok(PageRequest { limit, cursor: given(asked.cursor) })
    }
}

/// Query parameters; what cannot be read is a problem.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters<T>, Problem> {
        let Query(read) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let detail = format!("the query cannot be read: {}", rejection.body_text());
            Problem::bad("invalid_query", detail)
        })?;
        Ok(Parameters(read))
    }
}

/// A parameter that was left empty, as forms send it, was not given.
pub(crate) fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|text| !text.is_empty())
}

/// How many of these items fit one answer, where not all do. At least one always does: no stored
/// item comes near the limit.
pub(crate) fn fitting<T: Serialize>(items: &[T]) -> Option<usize> {
    let mut bytes = 0;
    let fits = items.iter().take_while(|item| {
        bytes += serde_json::to_vec(item).map_or(0, |json| json.len() + 1);
        bytes <= MAX_BYTES
    });
    let count = fits.count();
    (count < items.len()).then_some(count.max(1))
}

fn seal(list: &str, cursor: &str) -> String {
    format!("{}{cursor}", checksum(list, cursor))
}

fn open(list: &str, sealed: &str) -> Option<String> {
    let (sum, cursor) = sealed.split_at_checked(CHECKSUM_DIGITS)?;
    (sum == checksum(list, cursor)).then(|| cursor.to_owned())
}

fn checksum(list: &str, cursor: &str) -> String {
    let digest = Sha256::digest(format!("{list}\u{0}{cursor}"));
    domain::hex(&digest[..CHECKSUM_DIGITS / 2])
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn request(query: &str) -> Result<PageRequest, Problem> {
        let (mut parts, ()) =
            Request::get(format!("/api/events?{query}")).body(()).unwrap().into_parts();
        let mut asked = std::pin::pin!(PageRequest::from_request_parts(&mut parts, &()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match asked.as_mut().poll(&mut context) {
            std::task::Poll::Ready(asked) => asked,
            std::task::Poll::Pending => unreachable!("nothing is waited for"),
        }
    }

    #[test]
    fn the_limit_is_from_1_to_1000() {
        assert_eq!(request("").unwrap().limit, 100);
        assert_eq!(request("limit=1").unwrap().limit, 1);
        assert_eq!(request("limit=1000").unwrap().limit, 1_000);
        for query in
            ["limit=", "limit=0", "limit=1001", "limit=-1", "limit=ten", "limit=1.5", "limit=99999"]
        {
            assert!(request(query).is_err(), "{query}");
        }
        assert!(request("limit=1&limit=2").is_err());
    }

    #[test]
    fn a_cursor_opens_only_where_it_was_sealed() {
        let sealed = seal("journal:a", "5b5d");
        assert_eq!(open("journal:a", &sealed).as_deref(), Some("5b5d"));
        assert_eq!(open("journal:b", &sealed), None);
        assert_eq!(open("journal:a", &sealed[..sealed.len() - 1]), None);
        assert_eq!(open("journal:a", &format!("{sealed}00")), None);
        assert_eq!(open("journal:a", "née"), None);
    }

    #[test]
    fn large_items_make_short_parts() {
        let item = "x".repeat(1_000_000);
        assert_eq!(fitting(&[&item, &item]), None);
        assert_eq!(fitting(&[&item, &item, &item, &item]), Some(2));
        assert_eq!(fitting(&["x".repeat(4_000_000), String::new()]), Some(1));
    }
}
