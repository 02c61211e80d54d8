//! The pages: what people look at every morning.
//!
//! A page is rendered on the server from what the API answers too, and says why as readily as what. It
//! works without scripts; the script makes times local, draws charts and looks again by itself. What a
//! person does is a form, and a form is a call of the API ([`act`]): there is one way to do a thing.
//!
//! Invariants: all text is escaped by `maud`; nothing is inline that the content security policy would
//! have to allow; a page never says more than its visitor may see, and shows no button that would be
//! refused.

mod act;
mod alerts;
mod assets;
mod audit;
mod changes;
mod customer;
mod customers;
mod history;
mod journey;
mod layout;
mod overview;
mod packed;
mod planned;
mod setup;
mod show;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::App;
use crate::problem::Problem;
use crate::visitor::{Role, Visitor};
use layout::{Nav, Page};

/// Only what the server itself has: no script, style or frame from elsewhere, and none inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The routes of the pages.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/customers", get(customers::customers))
        .route("/customers.csv", get(customers::export))
        .route("/customers/{id}", get(customer::customer))
        .route("/journey", get(journey::journey))
        .route("/alerts", get(alerts::alerts))
        .route("/changes", get(changes::changes))
        .route("/audit", get(audit::audit))
        .route("/setup", get(setup::setup))
        .route("/do/{*call}", post(act::act))
        .route("/assets/{hash}/{name}", get(assets::asset))
        .method_not_allowed_fallback(async || Problem::no_method())
        .layer(map_response(seal))
        .layer(from_fn(packed::packed))
}

/// What a browser may do with a page, and that nobody on the way keeps it.
async fn seal(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}

/// The answer where there is nothing: a page to people, a problem to programs.
pub(crate) fn no_route(headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    match accepts.is_some_and(|accept| accept.contains("text/html")) {
        true => Failure::from(Problem::no_route()).into_response(),
        false => Problem::no_route().into_response(),
    }
}

/// What every page is made from.
pub(crate) struct View {
    app: Arc<App>,
    visitor: Visitor,
    lifecycle: Arc<Lifecycle>,
    now: Timestamp,
    /// What was just done.
    notice: Option<&'static str>,
    /// Names this showing of the page: a form that is sent twice from it acts once.
    shown: String,
}

impl FromRequestParts<Arc<App>> for View {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<View, Failure> {
        let visitor = parts.extensions.get::<Visitor>().cloned().ok_or_else(Failure::nobody)?;
        let lifecycle = app.store.lifecycle().await.map_err(Problem::from)?;
        let query = parts.uri.query().unwrap_or_default();
        let done = query.split('&').find_map(|pair| pair.strip_prefix("done="));
        Ok(View {
            visitor,
            lifecycle,
            now: app.clock.now(),
            notice: done.and_then(act::notice),
            shown: app.store.fresh_name().map_err(Problem::from)?,
            app: Arc::clone(app),
        })
    }
}

impl View {
    fn page(&self, nav: Nav, title: &str, body: Markup) -> Page {
        Page {
            nav,
            title: title.to_owned(),
            workspace: self.lifecycle.name.clone(),
            visitor: Some(self.visitor.clone()),
            notice: self.notice,
            looks_again: false,
            has_charts: false,
            body,
        }
    }

    /// What every form carries: where to go on, and which showing of the page it is of.
    fn form(&self, back: &str) -> Markup {
        html! {
            input type="hidden" name="_back" value=(back);
            input type="hidden" name="_shown" value=(self.shown);
        }
    }

    fn may(&self, role: Role) -> bool {
        self.visitor.role >= role
    }

    fn money(&self, amount: f64) -> String {
        show::money(amount, self.lifecycle.currency.as_deref())
    }
}

/// Why there is no page.
pub(crate) struct Failure {
    status: StatusCode,
    title: String,
    detail: String,
    back: Option<String>,
}

impl Failure {
    fn nobody() -> Failure {
        Failure {
            status: StatusCode::UNAUTHORIZED,
            title: "Sign in first".to_owned(),
            detail:
                "Nobody told the console who you are, or your account has no role: it needs the \
                     claim `lifecycle_role` (viewer, operator or admin), or one of the groups \
                     lifecycle-viewer, lifecycle-operator and lifecycle-admin."
                    .to_owned(),
            back: None,
        }
    }

    fn refused(title: &str, detail: &str) -> Failure {
        Failure {
            status: StatusCode::FORBIDDEN,
            title: title.to_owned(),
            detail: detail.to_owned(),
            back: None,
        }
    }

    fn back_to(self, back: String) -> Failure {
        Failure { back: Some(back), ..self }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = match problem.code {
            "no_lifecycle" => "No lifecycle file is active yet".to_owned(),
            "not_found" => "There is nothing here".to_owned(),
            "customer_not_found" => "Nobody by this id".to_owned(),
            _ => problem.title.to_owned(),
        };
        let detail = match problem.code {
            "no_lifecycle" => "Write one with `lifecycle init` and make it active with `lifecycle \
                               apply`: then customers have stages, and this page has something to say."
                .to_owned(),
            "not_found" => "The address leads nowhere. Begin at the overview.".to_owned(),
            _ => problem.detail.clone(),
        };
        Failure { status, title, detail, back: None }
    }
}

impl From<platform::StoreError> for Failure {
    fn from(error: platform::StoreError) -> Failure {
        Failure::from(Problem::from(error))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = html! {
            section.card.narrow {
                p { (show::sentence(&self.detail)) }
                p {
                    @if let Some(back) = &self.back { a href=(back) { "Back" } " · " }
                    a href="/" { "Overview" }
                }
            }
        };
        let page = Page {
            nav: Nav::None,
            title: self.title,
            workspace: None,
            visitor: None,
            notice: None,
            looks_again: false,
            has_charts: false,
            body,
        };
        let mut response = (self.status, page).into_response();
        // Not every failure goes through the routes of the pages.
        let policy = HeaderValue::from_static(POLICY);
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }
}
