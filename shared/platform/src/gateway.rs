//! API Gateway's HTTP API and function URLs: what they hand over, as the request that was sent, and
//! what they take as its answer.
//!
//! Both speak payload format 2.0. `lambda_http` reads it too, and every other format with it; together
//! with what that takes of a URL's and a text's encodings it would be a fifth of a megabyte in a function.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_ENCODING;
use http::{HeaderName, HeaderValue, Method, Request, response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// The name of the stage that is no part of the path.
const DEFAULT_STAGE: &str = "$default";
/// What cannot stand in a path (RFC 3986, section 3.3), but for the `%` of what is encoded already.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A request as a function is invoked with it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: RequestContext,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct RequestContext {
    http: Http,
    stage: Option<String>,
    authorizer: Option<Authorizer>,
}

#[derive(Debug, Clone, Deserialize)]
struct Http {
    method: String,
}

/// Whom the gateway has checked, by one of the two.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Authorizer {
    /// The bearer of a token.
    pub jwt: Option<Token>,
    /// An identity of IAM.
    pub iam: Option<Identity>,
}

/// A token whose signature, issuer, audience and time were checked.
#[derive(Debug, Clone, Deserialize)]
pub struct Token {
    /// What it says of its bearer; the gateway writes a list as `[a b]`.
    pub claims: HashMap<String, String>,
}

/// An identity of IAM that has signed the request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its ARN.
    pub user_arn: Option<String>,
}

/// The path and the query as the sender wrote them, the stage with them: an extension of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received(pub String);

impl Event {
    /// The path below the stage, as the gateway tells it: an HTTP API has decoded it, a function URL
    /// has not.
    #[must_use]
    pub fn path(&self) -> &str {
        let stage = self.request_context.stage.as_ref().filter(|stage| *stage != DEFAULT_STAGE);
        let below = stage.and_then(|stage| self.raw_path.strip_prefix('/')?.strip_prefix(stage));
        below.filter(|path| path.starts_with('/')).unwrap_or(&self.raw_path)
    }

    /// Whom the gateway has checked; nobody where it checks nobody.
    #[must_use]
    pub fn authorizer(&self) -> Option<&Authorizer> {
        self.request_context.authorizer.as_ref()
    }

    /// The request that was sent, with its address as [`Received`]. What cannot stand in a path comes out
    /// encoded, and a header that is none is left out. Nothing where the path, the method or the body
    /// cannot be read.
    #[must_use]
    pub fn request(self) -> Option<Request<Vec<u8>>> {
        let path = utf8_percent_encode(self.path(), NOT_IN_PATHS);
        let query = match self.raw_query_string.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        let method = Method::from_bytes(self.request_context.http.method.as_bytes()).ok()?;
        let request = Request::builder().method(method).uri(format!("{path}{query}"));
        let request = request.extension(Received(format!("{}{query}", self.raw_path)));
        let body = self.body.unwrap_or_default();
        let body = match self.is_base64_encoded {
            true => STANDARD.decode(body).ok()?,
            false => body.into_bytes(),
        };
        let mut request = request.body(body).ok()?;
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                request.headers_mut().append(name, value);
            }
        }
        Some(request)
    }
}

/// The answer to a request, as the gateway takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The HTTP status.
    pub status_code: u16,
    /// The headers; several of one name as a list with commas (RFC 9110, section 5.3).
    pub headers: BTreeMap<String, String>,
    /// The body: a text, or base64.
    pub body: String,
    /// Whether the body is base64.
    pub is_base64_encoded: bool,
}

impl Answer {
    /// An answer of which the whole body is there. It goes as a text unless it is compressed.
    #[must_use]
    pub fn new(head: &response::Parts, body: &[u8]) -> Answer {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &head.headers {
            let Ok(value) = value.to_str() else { continue };
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|values| *values = format!("{values}, {value}"))
                .or_insert_with(|| value.to_owned());
        }
        let is_base64_encoded = head.headers.contains_key(CONTENT_ENCODING);
        let body = match is_base64_encoded {
            true => STANDARD.encode(body),
            false => String::from_utf8_lossy(body).into_owned(),
        };
        Answer { status_code: head.status.as_u16(), headers, body, is_base64_encoded }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use serde_json::{Value as Json, json};

    use super::*;

    fn event(event: Json) -> Event {
        serde_json::from_value(event).unwrap()
    }

    fn uri(stage: &str, raw_path: &str) -> String {
        let event = event(json!({
            "rawPath": raw_path,
            "requestContext": {"stage": stage, "http": {"method": "POST"}},
        }));
        event.request().unwrap().uri().to_string()
    }

    #[test]
    fn the_senders_own_address_is_kept() {
        let event = event(json!({
            "rawPath": "/prod/v1/webhooks/crm", "rawQueryString": "a=%40",
            "requestContext": {"stage": "prod", "http": {"method": "POST"}},
        }));
        let request = event.request().unwrap();
        assert_eq!(request.uri(), "/v1/webhooks/crm?a=%40");
        let received = request.extensions().get::<Received>().unwrap();
        assert_eq!(received.0, "/prod/v1/webhooks/crm?a=%40");
    }

    #[test]
    fn the_stage_is_no_part_of_the_path() {
        assert_eq!(uri("$default", "/v1/batch"), "/v1/batch");
        assert_eq!(uri("prod", "/prod/v1/batch"), "/v1/batch");
        // Behind a domain of its own the path has no stage.
        assert_eq!(uri("prod", "/v1/batch"), "/v1/batch");
        assert_eq!(uri("v", "/v1/batch"), "/v1/batch");
    }

    #[test]
    fn a_decoded_path_is_encoded_again() {
        assert_eq!(uri("$default", "/alerts/Jane & Söhne"), "/alerts/Jane%20&%20S%C3%B6hne");
        assert_eq!(uri("$default", "/alerts/a%20b?#"), "/alerts/a%20b%3F%23");
    }

    #[test]
    fn headers_and_the_body_are_those_that_were_sent() {
        let event = event(json!({
            "rawPath": "/v1/batch", "headers": {"content-type": "text/plain", "a b": "no name"},
            "requestContext": {"http": {"method": "PUT"}},
            "body": "w7w=", "isBase64Encoded": true,
        }));
        let request = event.request().unwrap();
        assert_eq!((request.method(), request.headers().len()), (&Method::PUT, 1));
        assert_eq!(request.headers()["content-type"], "text/plain");
        assert_eq!(request.body(), "ü".as_bytes());
    }

    #[test]
    fn what_cannot_be_a_request_is_none() {
        let damaged = json!({
            "rawPath": "/", "requestContext": {"http": {"method": "GET"}},
            "body": "*", "isBase64Encoded": true,
        });
        assert!(event(damaged).request().is_none());
        let method = json!({"rawPath": "/", "requestContext": {"http": {"method": "A B"}}});
        assert!(event(method).request().is_none());
    }

    #[test]
    fn an_answer_is_a_text_unless_it_is_compressed() {
        let plain = Response::builder().status(201).header("vary", "a").header("vary", "b");
        let (head, ()) = plain.body(()).unwrap().into_parts();
        let answer = json!({
            "statusCode": 201, "headers": {"vary": "a, b"}, "body": "ü", "isBase64Encoded": false,
        });
        assert_eq!(json!(Answer::new(&head, "ü".as_bytes())), answer);
        let (head, ()) =
            Response::builder().header("content-encoding", "gzip").body(()).unwrap().into_parts();
        let answer = Answer::new(&head, &[255]);
        assert_eq!((answer.body.as_str(), answer.is_base64_encoded), ("/w==", true));
    }
}
