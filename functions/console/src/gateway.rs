//! Requests as AWS hands them over, into requests as they were sent.
//!
//! An HTTP API decodes the path before it calls the function, so that the slashes of a customer's
//! id look like those between segments; a function URL leaves it encoded. Both come out as one
//! encoded segment here, which is what the router takes.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Uri};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use platform::gateway::{Answer, Authorizer, Event};
use tower::ServiceExt;

use crate::App;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::router::SERVED;
use crate::visitor::{Role, Visitor};

/// Paths whose next segment is a customer's id: of the API, of forms that call it, and of pages.
const CUSTOMERS: [&str; 3] = ["/api/customers/", "/do/customers/", "/customers/"];
/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The id of a customer in a route of the API.
const CUSTOMER: &str = "/api/customers/{id}/";

/// The id in a path that may have been decoded already: read as it is, where reading it as encoded
/// finds nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiteralId(pub(crate) String);

/// Who calls, as the gateway has checked: the ARN of an IAM identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) String);

/// Answers a request of API Gateway or of a function URL, unless its caller asks too often. What goes
/// wrong is an answer too.
pub async fn handle(app: &Arc<App>, limits: &Limits, event: Event) -> Answer {
    let response = respond(app, limits, event).await;
    let (head, body) = response.into_parts();
    // The router's bodies are in memory: reading one cannot fail.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Answer::new(&head, &body)
}

async fn respond(app: &Arc<App>, limits: &Limits, event: Event) -> Response {
    let checked = event.authorizer().cloned().unwrap_or_default();
    let visitor = visitor(&checked);
    let caller = visitor.as_ref().map_or("", |visitor| visitor.name.as_str());
    if let Err(seconds) = limits.take(caller, app.clock.now()) {
        return Problem::too_many(seconds).into_response();
    }
    let path = customer_path(event.path());
    let Some(request) = event.request() else {
        let message = "the request is damaged: its path, its method, or the base64 of its body";
        return Problem::bad("invalid_request", message).into_response();
    };
    let mut request = request.map(Body::from);
    if let Some((path, literal)) = path {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(uri) = format!("{path}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
        if let Some(literal) = literal {
            request.extensions_mut().insert(literal);
        }
    }
    if let Some(refused) = refused(&checked, &request) {
        return refused.into_response();
    }
    if let Some(visitor) = visitor {
        request.extensions_mut().insert(Caller(visitor.name.clone()));
        request.extensions_mut().insert(visitor);
    }
    match crate::router(Arc::clone(app)).oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// What a token does not allow of the API. Forms of pages are checked where they are read.
fn refused<B>(checked: &Authorizer, request: &Request<B>) -> Option<Problem> {
    checked.jwt.as_ref()?;
    let call = request.uri().path().strip_prefix("/api/")?;
    let needed = Role::needed(request.method(), call);
    let is_allowed = visitor(checked).is_some_and(|visitor| visitor.role >= needed);
    (!is_allowed).then(|| Problem::role(needed.as_str()))
}

/// Who asks: as the gateway has read it from a token, or an identity of IAM, whose policy says which
/// methods it may use.
fn visitor(checked: &Authorizer) -> Option<Visitor> {
    match &checked.jwt {
        Some(token) => Visitor::of_claims(&token.claims),
        None => {
            let name = checked.iam.as_ref()?.user_arn.clone()?;
            Some(Visitor { name, role: Role::Admin })
        }
    }
}

/// The path of a customer with its id as one encoded segment, and the id as it came where it may
/// be meant so.
fn customer_path(raw: &str) -> Option<(String, Option<LiteralId>)> {
    let (customers, rest) =
        CUSTOMERS.into_iter().find_map(|prefix| Some((prefix, raw.strip_prefix(prefix)?)))?;
    let routes = SERVED.iter().filter_map(|(path, _)| path.strip_prefix(CUSTOMER));
    let (id, below) = routes
        .filter_map(|route| split_below(rest, route))
        .filter(|(id, _)| !id.is_empty() && customers != "/customers/")
        .min_by_key(|(id, _)| id.len())
        .unwrap_or((rest, ""));
    let (id, literal) = if !is_encoded(id) {
        (encode(id), None)
    } else if id.contains('%') {
        (id.replace('/', "%2F"), Some(LiteralId(id.to_owned())))
    } else {
        (id.replace('/', "%2F"), None)
    };
    Some((format!("{customers}{id}{below}"), literal))
}

/// The customer's id and the rest of a path, where the path ends as a route does. What stands for a
/// parameter is a name of the lifecycle file, with dots between them.
fn split_below<'a>(rest: &'a str, route: &str) -> Option<(&'a str, &'a str)> {
    let mut id = rest;
    for wanted in route.rsplit('/') {
        let (above, found) = id.rsplit_once('/')?;
        let is_name =
            found.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        let fits = if wanted.starts_with('{') { is_name } else { found == wanted };
        id = fits.then_some(above)?;
    }
    Some(rest.split_at(id.len()))
}

/// Whether a path can be an encoded one: only characters that may stand in it, and each `%` with
/// its two digits.
fn is_encoded(path: &str) -> bool {
    let mut escapes = path.split('%');
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte))
    };
    escapes.next().is_none_or(is_plain)
        && escapes.all(|escape| {
            let digits = escape.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
                && is_plain(escape)
        })
}

/// A text as one segment of a path, or as one value of a query.
pub(crate) fn encode(id: &str) -> String {
    utf8_percent_encode(id, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn checked(authorizer: Json) -> Authorizer {
        serde_json::from_value(authorizer).unwrap()
    }

    fn path(raw: &str) -> String {
        customer_path(raw).map(|(path, _)| path).unwrap_or_default()
    }

    fn literal(raw: &str) -> Option<String> {
        customer_path(raw)?.1.map(|LiteralId(id)| id)
    }

    #[test]
    fn a_decoded_id_becomes_one_segment() {
        assert_eq!(path("/api/customers/a/b"), "/api/customers/a%2Fb");
        assert_eq!(path("/api/customers/a/b/journal"), "/api/customers/a%2Fb/journal");
        assert_eq!(
            path("/api/customers/a/b/findings/owner_known/waive"),
            "/api/customers/a%2Fb/findings/owner_known/waive"
        );
        assert_eq!(
            path("/api/customers/100 % ü/events"),
            "/api/customers/100%20%25%20%C3%BC/events"
        );
        assert_eq!(path("/api/customers/what?#"), "/api/customers/what%3F%23");
    }

    #[test]
    fn every_route_below_a_customer_is_reached_by_a_decoded_id() {
        for route in SERVED.iter().filter_map(|(path, _)| path.strip_prefix(CUSTOMER)) {
            let below = route.replace("{standard}", "owner_known").replace("{task}", "rescue.call");
            assert!(!below.contains('{'), "say what stands for the parameter of {route}");
            let raw = format!("/api/customers/a/b/{below}");
            assert_eq!(path(&raw), format!("/api/customers/a%2Fb/{below}"));
        }
    }

    #[test]
    fn an_encoded_id_stays_as_it_is() {
        assert_eq!(path("/api/customers/a%2Fb%20c/journal"), "/api/customers/a%2Fb%20c/journal");
        assert_eq!(path("/api/customers/jane@example.com"), "/api/customers/jane@example.com");
    }

    #[test]
    fn what_may_be_either_is_read_both_ways() {
        assert_eq!(literal("/api/customers/a%20b").as_deref(), Some("a%20b"));
        assert_eq!(literal("/api/customers/a b%20"), None);
        assert_eq!(literal("/api/customers/plain"), None);
    }

    #[test]
    fn what_is_done_with_a_task_is_below_its_customer() {
        assert_eq!(
            path("/api/customers/a/b/tasks/rescue.call/done"),
            "/api/customers/a%2Fb/tasks/rescue.call/done"
        );
        assert_eq!(path("/do/customers/a/b/move"), "/do/customers/a%2Fb/move");
        assert_eq!(path("/customers/a/b/move"), "/customers/a%2Fb%2Fmove");
    }

    #[test]
    fn a_token_tells_who_looks_and_what_they_may_do() {
        let event = |claims: Json| checked(json!({"jwt": {"claims": claims, "scopes": null}}));
        let kim =
            event(json!({"email": "kim@example.com", "cognito:groups": "[lifecycle-operator x]"}));
        let expected = Visitor { name: "kim@example.com".into(), role: Role::Operator };
        assert_eq!(visitor(&kim), Some(expected));
        assert_eq!(visitor(&event(json!({"sub": "1"}))), None);
    }

    #[test]
    fn a_token_opens_the_api_as_far_as_its_role_goes() {
        let call = |method: &str, path: &str, authorizer: Json| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            refused(&checked(authorizer), &request).map(|problem| (problem.status, problem.code))
        };
        let token = |role: &str| {
            let claims = json!({"sub": "kim", "lifecycle_role": role});
            json!({"jwt": {"claims": claims, "scopes": null}})
        };
        let no = Some((403, "role_needed"));
        for (method, path, allowed_from) in [
            ("GET", "/api/customers", Role::Viewer),
            ("POST", "/api/customers/a/move", Role::Operator),
            ("DELETE", "/api/customers/a/move", Role::Operator),
            ("POST", "/api/quarantine/1/replay", Role::Operator),
            ("DELETE", "/api/quarantine/1", Role::Admin),
            ("GET", "/api/privacy/export/a", Role::Admin),
            ("POST", "/api/privacy/requests", Role::Admin),
            ("POST", "/api/lifecycle/rollback", Role::Admin),
        ] {
            for role in Role::ALL {
                let expected = if role >= allowed_from { None } else { no };
                assert_eq!(call(method, path, token(role.as_str())), expected, "{role:?} {path}");
            }
            assert_eq!(call(method, path, token("owner")), no, "{path}");
            let iam = json!({"iam": {"userArn": "arn:aws:iam::1:user/kim"}});
            assert_eq!(call(method, path, iam), None, "its policy says what it may do");
        }
    }

    #[test]
    fn an_identity_of_iam_is_known_by_its_arn() {
        let iam = checked(json!({"iam": {"accountId": "1", "userArn": "arn:aws:iam::1:user/kim"}}));
        let expected = Visitor { name: "arn:aws:iam::1:user/kim".into(), role: Role::Admin };
        assert_eq!(visitor(&iam), Some(expected));
        assert_eq!(visitor(&Authorizer::default()), None);
    }

    #[test]
    fn a_customer_may_be_called_journal() {
        assert_eq!(path("/api/customers/journal"), "/api/customers/journal");
        assert_eq!(path("/api/customers/journal/journal"), "/api/customers/journal/journal");
    }

    #[test]
    fn other_paths_are_left_alone() {
        assert_eq!(customer_path("/api/stages"), None);
        assert_eq!(customer_path("/api/customers"), None);
    }
}
