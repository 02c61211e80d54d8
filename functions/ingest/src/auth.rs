//! The write key of a request. Whether it is live, the store knows.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::problem::Problem;

const WRITE_KEY: &str = "x-write-key";

/// The write key in the headers: the user name of `Basic`, whose password is not looked at, the
/// token of `Bearer`, or `X-Write-Key`.
///
/// # Errors
/// When there are two different ones: which one is meant cannot be known.
pub(crate) fn header_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let authorization = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = authorization.filter_map(|value| credentials(value.to_str().ok()?));
    let own = headers.get_all(WRITE_KEY).iter();
    let own = own.filter_map(|value| value.to_str().ok().map(|key| key.trim().to_owned()));
    authorization.chain(own).filter(|key| !key.is_empty()).try_fold(
        None,
        |found, key| match found {
            Some(found) if found != key => Err(two_keys()),
            _ => Ok(Some(key)),
        },
    )
}

/// The one key of a request whose headers and body may both have one.
///
/// # Errors
/// When there is none, or two different ones.
pub(crate) fn one_key(header: Option<String>, body: Option<String>) -> Result<String, Problem> {
    match (header, body.filter(|key| !key.is_empty())) {
        (Some(header), Some(body)) if header != body => Err(two_keys()),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err(no_key()),
    }
}

/// There is no write key in the request.
pub(crate) fn no_key() -> Problem {
    Problem::unauthorized(
        "missing_write_key",
        "send the write key as Basic user name, Bearer token, X-Write-Key or `writeKey`",
    )
}

/// The write key is not a live one.
pub(crate) fn unknown_key() -> Problem {
    Problem::unauthorized("unknown_write_key", "the write key is not a live one")
}

fn two_keys() -> Problem {
    Problem::unauthorized("two_write_keys", "the request has two different write keys; send one")
}

/// The write key of an `Authorization` header.
pub(crate) fn credentials(authorization: &str) -> Option<String> {
    let (scheme, credentials) = authorization.trim().split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    Some(pair.split_once(':').map_or(pair.as_str(), |(user, _)| user).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], expected: Result<Option<&str>, &str>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let found = header_key(&map);
        let found = found.as_ref().map(Option::as_deref).map_err(|problem| problem.code);
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn the_key_is_found_wherever_a_client_puts_it() {
        check(&[("authorization", "Basic ZGV2Og==")], Ok(Some("dev")));
        check(&[("authorization", "basic ZGV2")], Ok(Some("dev")));
        check(&[("authorization", "Bearer dev")], Ok(Some("dev")));
        check(&[("x-write-key", " dev ")], Ok(Some("dev")));
        check(&[("authorization", "Bearer dev"), ("x-write-key", "dev")], Ok(Some("dev")));
    }

    #[test]
    fn what_holds_no_key_is_none() {
        check(&[], Ok(None));
        check(&[("authorization", "Basic Og==")], Ok(None));
        check(&[("authorization", "Basic ???")], Ok(None));
        check(&[("authorization", "Digest dev")], Ok(None));
        check(&[("authorization", "dev")], Ok(None));
        check(&[("x-write-key", "")], Ok(None));
    }

    #[test]
    fn two_different_keys_are_refused() {
        let headers = [("authorization", "Bearer dev"), ("x-write-key", "other")];
        check(&headers, Err("two_write_keys"));
        let owned = |key: &str| Some(key.to_owned());
        assert_eq!(one_key(owned("a"), owned("b")).unwrap_err().code, "two_write_keys");
        assert_eq!(one_key(owned("a"), owned("a")).unwrap(), "a");
        assert_eq!(one_key(None, owned("b")).unwrap(), "b");
        assert_eq!(one_key(None, owned("")).unwrap_err().code, "missing_write_key");
    }
}
