//! `Idempotency-Key`: an action that is asked for again under the same key is not done again, and is
//! answered as it was the first time.
//!
//! The key is that of its caller. What was refused did nothing, so that it is tried again like new. How
//! it holds whatever crashes is the store's matter ([`platform::store::Once`]): where it was done and
//! nobody got to keep the answer, the answer is what the action would say now.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use platform::handoff::Work;
use platform::store::{Kept, Once};
use tower::ServiceExt as _;

use crate::gateway::{Caller, LiteralId};
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::{App, alerts, privacy, silences};

/// The header that carries a key.
pub(crate) const KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const MAX_KEY_BYTES: usize = 255;
/// Bodies of actions are far below: what is larger is not read on.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// Does an action that has a key once.
pub(crate) async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let may_act = [Method::POST, Method::DELETE].contains(request.method());
    match key(request.headers()) {
        Ok(Some(key)) if may_act => {
            if !is_served(&app, request.method().clone(), request.uri().clone()).await {
                return next.run(request).await;
            }
            let asked = match Asked::read(key, request).await {
                Ok(asked) => asked,
                Err(problem) => return problem.into_response(),
            };
            match asked.answer(&app).await {
                Ok(answer) => answer,
                Err(problem) => problem.into_response(),
            }
        }
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether a path takes a method that does something: what none is there for is refused as without a key.
async fn is_served(app: &Arc<App>, method: Method, uri: axum::http::Uri) -> bool {
    // No path takes this one, and the refusal names those that it takes.
    let mut probe = Request::new(Body::empty());
    *probe.method_mut() = Method::TRACE;
    *probe.uri_mut() = uri;
    let Ok(refused) = crate::router::bare(Arc::clone(app)).oneshot(probe).await;
    let taken = refused.headers().get(header::ALLOW).and_then(|taken| taken.to_str().ok());
    taken.is_some_and(|taken| taken.split(',').any(|one| one.trim() == method.as_str()))
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let is_alone = given.next().is_none();
    let text = key.to_str().ok().filter(|key| (1..=MAX_KEY_BYTES).contains(&key.len()));
    text.filter(|key| is_alone && key.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(|key| Some(key.to_owned()))
        .ok_or_else(|| {
            let detail = format!(
                "`Idempotency-Key` must be one text of 1 to {MAX_KEY_BYTES} printable ASCII \
                 characters without spaces, as a UUID"
            );
            Problem::bad("invalid_idempotency_key", detail)
        })
}

/// An action and its key.
struct Asked {
    key: String,
    method: Method,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
    caller: Option<Caller>,
    literal: Option<LiteralId>,
    visitor: Option<Visitor>,
}

impl Asked {
    async fn read(key: String, request: Request) -> Result<Asked, Problem> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
            Problem::bad("invalid_body", format!("the body is larger than {MAX_BODY_BYTES} bytes"))
        })?;
        Ok(Asked {
            key,
            caller: parts.extensions.get::<Caller>().cloned(),
            literal: parts.extensions.get::<LiteralId>().cloned(),
            visitor: parts.extensions.get::<Visitor>().cloned(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
        })
    }

    async fn answer(&self, app: &Arc<App>) -> Result<Response, Problem> {
        let once = self.once(app);
        if let Some(kept) = app.store.kept(&once).await? {
            return self.again(app, &once, kept).await;
        }
        let under = App { store: app.store.under(&once), ..App::clone(app) };
        let answer = self.done(under).await;
        if once.was_done() {
            // Somebody was faster with the same key.
            let kept = app.store.kept(&once).await?.ok_or_else(Problem::key_in_use)?;
            return self.again(app, &once, kept).await;
        }
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        if head.status.is_success() {
            self.keep(app, &once, (head.status, &body[..])).await;
        }
        Ok(Response::from_parts(head, Body::from(body)))
    }

    /// What makes it the same request: whoever asks for it, and all of it.
    fn once(&self, app: &App) -> Once {
        let visitor = self.visitor.as_ref().map(|visitor| visitor.name.as_str());
        let caller = self.caller.as_ref().map(|Caller(name)| name.as_str()).or(visitor);
        let author = self.headers.get("x-author").map_or(&b""[..], HeaderValue::as_bytes);
        let path = self.uri.path_and_query().map_or("", |path| path.as_str());
        let request = [self.method.as_str().as_bytes(), path.as_bytes(), author, &self.body[..]];
        Once::new(caller.unwrap_or_default(), &self.key, &request, app.clock.now())
    }

    /// Does it, in tables that know the key.
    async fn done(&self, app: App) -> Response {
        let mut inner = Request::new(Body::from(self.body.clone()));
        inner.method_mut().clone_from(&self.method);
        inner.uri_mut().clone_from(&self.uri);
        inner.headers_mut().clone_from(&self.headers);
        if let Some(caller) = &self.caller {
            inner.extensions_mut().insert(caller.clone());
        }
        if let Some(literal) = &self.literal {
            inner.extensions_mut().insert(literal.clone());
        }
        match crate::router::bare(Arc::new(app)).oneshot(inner).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }

    async fn keep(&self, app: &App, once: &Once, (status, body): (StatusCode, &[u8])) {
        if let Err(error) = app.store.keep_answer(once, status.as_u16(), body).await {
            // It is done, and marked as done: whoever asks again is told how it is by then.
            tracing::warn!(error = &error as &dyn std::error::Error, "an answer was not kept");
        }
    }

    /// What was answered, or is said where that is not known any more.
    async fn again(&self, app: &Arc<App>, once: &Once, kept: Kept) -> Result<Response, Problem> {
        if !kept.is_same {
            return Err(Problem::key_of_another());
        }
        let mut answer = match kept.answer {
            Some((status, body)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                said(status, body)
            }
            None => {
                let answer = self.as_it_is(app, kept.made.as_deref()).await?;
                let (head, body) = answer.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
                if head.status.is_success() {
                    self.keep(app, once, (head.status, &body[..])).await;
                }
                Response::from_parts(head, Body::from(body))
            }
        };
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(answer)
    }

    /// How what was done looks now.
    async fn as_it_is(&self, app: &Arc<App>, made: Option<&str>) -> Result<Response, Problem> {
        let state = || State(Arc::clone(app));
        let path: Vec<&str> = self.uri.path().trim_start_matches("/api/").split('/').collect();
        match (path.as_slice(), made) {
            (["customers", id, ..], _) => {
                let look = Asked {
                    method: Method::GET,
                    uri: format!("/api/customers/{id}").parse().map_err(|_| Problem::no_route())?,
                    key: String::new(),
                    headers: HeaderMap::new(),
                    body: Bytes::new(),
                    caller: None,
                    literal: self.literal.clone(),
                    visitor: None,
                };
                Ok(look.done(App::clone(app)).await)
            }
            (["alerts", group, ..], _) => Ok(alerts::group(app, group).await?.into_response()),
            (["silences"], Some(id)) => Ok(silences::silence(app, id).await?.into_response()),
            (["lifecycle", ..], _) => {
                Ok(crate::lifecycle::lifecycle(state()).await?.into_response())
            }
            (["privacy", ..], Some(id)) => {
                // Whoever crashed may not have handed it on; twice is once.
                app.handoff.hand_on(Work::Privacy(id.to_owned())).await?;
                let request = privacy::request(state(), Path(id.to_owned())).await?;
                Ok((StatusCode::CREATED, request).into_response())
            }
            _ => Ok(StatusCode::NO_CONTENT.into_response()),
        }
    }
}

fn said(status: StatusCode, body: Vec<u8>) -> Response {
    if body.is_empty() {
        return status.into_response();
    }
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_printable_text() {
        let read = |keys: &[&str]| {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append(KEY, HeaderValue::from_bytes(key.as_bytes()).unwrap());
            }
            key(&headers).map_err(|problem| problem.code)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["4f0c"]), Ok(Some("4f0c".into())));
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        for wrong in [&[""][..], &["a b"], &["ü"], &[&long], &["a", "b"]] {
            assert_eq!(read(wrong), Err("invalid_idempotency_key"), "{wrong:?}");
        }
    }
}
