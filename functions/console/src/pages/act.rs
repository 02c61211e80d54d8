//! What people do on pages: a form is a call of the API, in the name of its visitor.
//!
//! `POST /do/customers/acme/move` with the fields of a form is `POST /api/customers/acme/move` with the
//! same as JSON, and then the page again. Three fields are for here: `_back`, where to go on, `_method`,
//! where the call is a `DELETE`, and `_shown`, which showing of a page it is of: what is sent twice from one
//! is done once ([`crate::once`]). The author is who the visitor is, whatever a form says. A form that
//! comes from another site is refused, and so is one that asks for more than the role allows.

use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt as _;

use super::{Failure, View};
use crate::gateway::{Caller, LiteralId};
use crate::once::KEY;
use crate::problem::Problem;
use crate::visitor::Role;

const MAX_FORM_BYTES: usize = 16 * 1024;
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// What was done, by the last word of the call, and what is said of it.
const DONE: [(&str, &str); 15] = [
    (
        "move",
        "Moved by hand. It stays there until it is released, and the journal says who and why.",
    ),
    ("notes", "Written down, in the journal."),
    ("release", "Given back to automation."),
    ("ack", "Acknowledged, in your name."),
    ("waive", "Waived: it does not count, until the waiver ends."),
    ("unwaive", "The waiver is over: the standard counts again."),
    ("done", "Done. The task is closed."),
    ("snooze", "Put off."),
    ("reassign", "Given to somebody else."),
    ("reopen", "Open again."),
    ("check", "Ticked."),
    ("silences", "Saved. What still is so when a silence ends is told then."),
    ("replay", "Being taken again: what is taken leaves the quarantine."),
    ("requests", "Asked for. It is done within minutes; the setup page shows its state."),
    ("rollback", "The earlier file is active again, as a new version."),
];

/// What is said of something that was done.
pub(super) fn notice(word: &str) -> Option<&'static str> {
    let dropped = ("dropped", "Dropped for good.");
    let mut known = DONE.into_iter().chain([dropped]);
    known.find_map(|(done, said)| (done == word).then_some(said))
}

/// A form, as it was sent.
struct Asked {
    method: Method,
    back: String,
    shown: Option<String>,
    body: Value,
}

/// Does what a form asks for.
pub(super) async fn act(view: View, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    if !is_from_here(&parts.headers) {
        let detail = "The form did not come from a page of this console, so nothing was done.";
        return Err(Failure::refused("Refused", detail));
    }
    let call = parts.uri.path().trim_start_matches("/do/").to_owned();
    let body = to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| {
        Problem::bad("invalid_form", format!("the form is larger than {MAX_FORM_BYTES} bytes"))
    })?;
    let asked = Asked::read(&call, &body)?;
    let needed = Role::needed(&asked.method, &call);
    if !view.may(needed) {
        let detail = format!("This takes the role `{}`; nothing was done.", needed.as_str());
        return Err(Failure::refused("Not with your role", &detail).back_to(asked.back));
    }
    let mut inner = Request::builder()
        .method(asked.method.clone())
        .uri(format!("/api/{call}"))
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = asked.key(&call) {
        inner = inner.header(KEY, key);
    }
    let mut inner =
        inner.body(Body::from(asked.body.to_string())).map_err(|_| Problem::no_route())?;
    inner.extensions_mut().insert(Caller(view.visitor.name.clone()));
    if let Some(literal) = parts.extensions.get::<LiteralId>() {
        inner.extensions_mut().insert(literal.clone());
    }
    let answer = match crate::router::api(view.app).oneshot(inner).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    if answer.status().is_success() {
        let to = with_done(&asked.back, done_word(&asked.method, &call));
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response());
    }
    let status = answer.status();
    let told = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await.unwrap_or_default();
    let told: Value = serde_json::from_slice(&told).unwrap_or_default();
    let detail = told["detail"].as_str().unwrap_or("It could not be done.").to_owned();
    let title = "That was not done".to_owned();
    Err(Failure { status, title, detail, back: Some(asked.back) })
}

/// Whether a form comes from a page of this console. Browsers say so themselves, and a page of another
/// site cannot change what they say.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let of = origin.split_once("://").map(|(_, authority)| authority);
            of.is_some() && of == text("host")
        }
        (None, None) => false,
    }
}

fn done_word(method: &Method, call: &str) -> &'static str {
    let last = call.rsplit('/').next().unwrap_or_default();
    let word = match *method == Method::DELETE {
        true if call.starts_with("quarantine/") => "dropped",
        true if call.starts_with("silences/") => "silences",
        true if last == "waive" => "unwaive",
        true if last == "move" => "release",
        _ => last,
    };
    let known = DONE.into_iter().map(|(done, _)| done).chain(["dropped"]);
    known.into_iter().find(|done| *done == word).unwrap_or("ack")
}

/// The page to go on with, which says what was done.
fn with_done(back: &str, word: &str) -> String {
    let (path, part) = back.split_once('#').map_or((back, ""), |(path, part)| (path, part));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("done="));
    let query: Vec<&str> = kept.collect();
    let query = query.iter().fold(String::new(), |text, pair| format!("{text}{pair}&"));
    let part = if part.is_empty() { String::new() } else { format!("#{part}") };
    format!("{path}?{query}done={word}{part}")
}

impl Asked {
    fn read(call: &str, body: &[u8]) -> Result<Asked, Problem> {
        let wrong = || Problem::bad("invalid_form", "the form cannot be read");
        let text = std::str::from_utf8(body).map_err(|_| wrong())?;
        let uri: Uri = format!("/?{text}").parse().map_err(|_| wrong())?;
        let Query(fields) =
            Query::<Vec<(String, String)>>::try_from_uri(&uri).map_err(|_| wrong())?;
        let (mut method, mut back, mut sent) = (Method::POST, "/".to_owned(), Map::new());
        let mut shown = None;
        for (name, value) in fields {
            let value = value.trim();
            match name.as_str() {
                "_back" if is_local(value) => back = value.to_owned(),
                "_method" if value == "DELETE" => method = Method::DELETE,
                "_shown" if is_name(value) => shown = Some(value.to_owned()),
                "_back" | "_method" | "_shown" | "author" => {}
                _ if value.is_empty() => {}
                // So many labels as an author needs, each as `label=value,value` or `label!=value`.
                "matchers" if call == "silences" => {
                    sent.insert(name, Value::Array(matchers(value)));
                }
                _ => match name.strip_suffix("[]") {
                    Some(list) => {
                        let list = sent.entry(list).or_insert_with(|| json!([]));
                        list.as_array_mut().ok_or_else(wrong)?.push(value.into());
                    }
                    None if value == "true" && name == "all" => {
                        sent.insert(name, Value::Bool(true));
                    }
                    None => {
                        sent.insert(name, value.into());
                    }
                },
            }
        }
        Ok(Asked { method, back, shown, body: Value::Object(sent) })
    }

    /// One for each form of a showing of a page, and for what it says.
    fn key(&self, call: &str) -> Option<String> {
        let shown = self.shown.as_ref()?;
        let told = Sha256::digest(format!("{} {call} {}", self.method, self.body));
        Some(format!("form-{shown}-{}", domain::hex(&told[..12])))
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether an address is one of this console: a path, and no other host.
fn is_local(address: &str) -> bool {
    let mut bytes = address.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && address.bytes().all(|byte| byte.is_ascii_graphic())
}

fn matchers(text: &str) -> Vec<Value> {
    let words = text.split_whitespace().filter_map(|word| {
        let (label, values) = word.split_once('=')?;
        let (label, is_not) = label.strip_suffix('!').map_or((label, false), |label| (label, true));
        let values: Vec<&str> = values.split(',').filter(|value| !value.is_empty()).collect();
        Some(json!({ "label": label, "values": values, "is_not": is_not }))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_forms_of_this_console_are_taken() {
        assert!(is_from_here(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(is_from_here(&headers(&[("origin", "https://x.example"), ("host", "x.example")])));
        for other in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://x"), ("host", "x")],
            &[("origin", "https://evil.example"), ("host", "x.example")],
            &[("origin", "null"), ("host", "x.example")],
            &[("host", "x.example")],
        ] {
            assert!(!is_from_here(&headers(other)), "{other:?}");
        }
    }

    #[test]
    fn a_form_goes_on_with_a_page_of_this_console_only() {
        for wrong in ["//evil.example", "/\\evil.example", "https://evil.example", "", "x", "/a b"]
        {
            assert!(!is_local(wrong), "{wrong}");
        }
        assert!(is_local("/customers/a%20b?x=1#tasks"));
        assert_eq!(
            with_done("/customers/a?done=ack&x=1#t", "move"),
            "/customers/a?x=1&done=move#t"
        );
        assert_eq!(with_done("/", "ack"), "/?done=ack");
    }

    #[test]
    fn fields_are_the_body_and_the_author_is_never_one() {
        let asked =
            Asked::read("customers/a/move", b"to=x&reason=a+b%21&author=eve&_back=%2Fa&until=")
                .unwrap();
        assert_eq!(asked.body, json!({"to": "x", "reason": "a b!"}));
        assert_eq!((asked.method.clone(), asked.back.as_str()), (Method::POST, "/a"));
        assert_eq!(asked.key("customers/a/move"), None);
        let key = |form: &[u8]| Asked::read("x", form).unwrap().key("x");
        let first = key(b"_shown=a1&text=x");
        assert!(first.is_some() && first == key(b"_shown=a1&text=x"));
        assert_ne!(first, key(b"_shown=a2&text=x"));
        assert_ne!(first, key(b"_shown=a1&text=y"));
        assert_eq!(key(b"_shown=%22%3E&text=x"), None);
        let asked =
            Asked::read("privacy/requests", b"ids%5B%5D=1&ids%5B%5D=2&_method=DELETE").unwrap();
        assert_eq!(asked.body, json!({"ids": ["1", "2"]}));
        assert_eq!(asked.method, Method::DELETE);
        let asked =
            Asked::read("silences", b"matchers=csm%3Dkim+severity%21%3Dlow%2Cmedium").unwrap();
        assert_eq!(
            asked.body["matchers"][1],
            json!({"label": "severity", "values": ["low", "medium"], "is_not": true})
        );
    }

    #[test]
    fn what_cannot_be_undone_takes_an_admin() {
        assert_eq!(Role::needed(&Method::POST, "customers/a/move"), Role::Operator);
        assert_eq!(Role::needed(&Method::POST, "quarantine/1/replay"), Role::Operator);
        assert_eq!(Role::needed(&Method::DELETE, "quarantine/1"), Role::Admin);
        assert_eq!(Role::needed(&Method::POST, "privacy/requests"), Role::Admin);
        assert_eq!(Role::needed(&Method::POST, "lifecycle/rollback"), Role::Admin);
    }

    #[test]
    fn whatever_is_done_is_said() {
        for (word, said) in DONE {
            assert_eq!(notice(word), Some(said));
        }
        assert_eq!(notice("<script>"), None);
        assert_eq!(done_word(&Method::DELETE, "customers/a/findings/s/waive"), "unwaive");
        assert_eq!(done_word(&Method::DELETE, "quarantine/1"), "dropped");
    }
}
