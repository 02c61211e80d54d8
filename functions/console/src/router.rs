//! The routes, and the OpenAPI document that describes them.
//!
//! The document is written out from the code by a test, which fails where `openapi.json` is another one
//! (`OPENAPI=write cargo test -p console` renews it): what describes the API is code that only that test
//! runs, and the function only answers with the text.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use crate::problem::Problem;
use crate::{
    App, adherence, alerts, by_hand, customer, customers, described, events, explain, feeds,
    findings, journal, lifecycle, once, outcomes, pages, privacy, quarantine, silences, stages,
    tagged, task_actions, tasks, waivers,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Customer lifecycle",
        description = "Customers with their stage, health and churn risk, the journal of decisions \
            with their reasons, findings, events, and what was set aside.\n\nInstants are RFC 3339 \
            in UTC. Lists come in parts: ask again with `cursor` set to `next_cursor` until that \
            is null. Errors are problem details (RFC 9457) with a stable `code`. An answer has an `ETag`, \
            which `If-None-Match` asks about. An action takes an `Idempotency-Key`: asked again within \
            24 hours it is not done again. Where one caller asks for more than 20 requests a second, 100 \
            at once, or all callers for more than the gateway lets through, the answer is 429."
    ),
    components(schemas(Problem)),
    tags(
        (name = "customers", description = "Customers, and what was decided about them."),
        (name = "findings", description = "Breaches of what the company promised itself."),
        (name = "tasks", description = "What playbooks ask people to do."),
        (name = "alerts", description = "Groups of alerts, silences, and what was sent."),
        (name = "quarantine", description = "What could not be taken, to be taken again or dropped."),
        (name = "privacy", description = "To erase, to suppress, to tell what is held."),
        (name = "workspace", description = "The lifecycle file, the sources of events, this document.")
    )
)]
struct Document;

/// The API and the pages: one router for API Gateway, a local server and tests.
pub fn router(app: Arc<App>) -> Router {
    let api = once_and_tagged(&app);
    let fallback = Router::new()
        .fallback(async |headers: HeaderMap| pages::no_route(&headers))
        .layer(map_response(seal));
    api.merge(pages::routes()).merge(fallback).with_state(app)
}

/// The API alone, as pages call it.
pub(crate) fn api(app: Arc<App>) -> Router {
    let api = once_and_tagged(&app).fallback(async || Problem::no_route());
    api.layer(map_response(seal)).with_state(app)
}

/// The handlers alone, for an action whose key was looked at.
pub(crate) fn bare(app: Arc<App>) -> Router {
    routes().fallback(async || Problem::no_route()).with_state(app)
}

fn once_and_tagged(app: &Arc<App>) -> Router<Arc<App>> {
    routes()
        .method_not_allowed_fallback(async || Problem::no_method())
        .layer(from_fn_with_state(Arc::clone(app), once::once))
        .layer(from_fn(tagged::tagged))
        .layer(map_response(seal))
}

/// The document of the API, as the code has it.
#[must_use]
pub fn document() -> serde_json::Value {
    let mut document = <Document as utoipa::OpenApi>::openapi();
    document.merge(<Operations as utoipa::OpenApi>::openapi());
    described::complete(&document)
}

/// Declares what is served, and that the same is described.
macro_rules! routes {
    ($($path:literal $($method:ident $module:ident::$handler:ident),+;)+) => {
        fn routes() -> Router<Arc<App>> {
            Router::new()$(.route($path, MethodRouter::new()$(.$method($module::$handler))+))+
        }

        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($module::$handler),+),+))]
        struct Operations;

        /// Paths with their methods, as they are served.
        pub(crate) const SERVED: &[(&str, &[&str])] = &[$(($path, &[$(stringify!($method)),+])),+];
    };
}

routes! {
    "/api/stages" get stages::stages;
    "/api/customers" get customers::customers;
    "/api/customers/{id}" get customer::customer;
    "/api/customers/{id}/move" post by_hand::move_customer, delete by_hand::end_move;
    "/api/customers/{id}/release" post by_hand::release;
    "/api/customers/{id}/handoff/ack" post by_hand::acknowledge;
    "/api/customers/{id}/notes" post by_hand::note;
    "/api/customers/{id}/findings/{standard}/ack" post waivers::acknowledge_finding;
    "/api/customers/{id}/findings/{standard}/waive" post waivers::waive, delete waivers::unwaive;
    "/api/customers/{id}/journal" get journal::journal;
    "/api/customers/{id}/explain" get explain::explain_customer;
    "/api/customers/{id}/events" get events::events;
    "/api/customers/{id}/tasks/{task}/done" post task_actions::done;
    "/api/customers/{id}/tasks/{task}/snooze" post task_actions::snooze;
    "/api/customers/{id}/tasks/{task}/reassign" post task_actions::reassign;
    "/api/customers/{id}/tasks/{task}/reopen" post task_actions::reopen;
    "/api/customers/{id}/tasks/{task}/check" post task_actions::check;
    "/api/tasks" get tasks::tasks;
    "/api/workload" get tasks::workload;
    "/api/findings" get findings::findings;
    "/api/waivers" get waivers::waivers;
    "/api/adherence" get adherence::adherence;
    "/api/outcomes" get outcomes::outcomes;
    "/api/alerts" get alerts::alerts;
    "/api/alerts/{id}/ack" post alerts::acknowledge_alerts;
    "/api/silences" get silences::silences, post silences::add_silence;
    "/api/silences/{id}" delete silences::end_silence;
    "/api/notifications" get alerts::notifications;
    "/api/feeds" get feeds::feeds;
    "/api/quarantine" get quarantine::quarantine;
    "/api/quarantine/replay" post quarantine::replay_quarantine;
    "/api/quarantine/{id}" get quarantine::quarantined_item, delete quarantine::drop_quarantined_item;
    "/api/quarantine/{id}/replay" post quarantine::replay_quarantined_item;
    "/api/privacy/requests" get privacy::requests, post privacy::ask;
    "/api/privacy/requests/{id}" get privacy::request;
    "/api/privacy/export/{id}" get privacy::export;
    "/api/lifecycle" get lifecycle::lifecycle;
    "/api/lifecycle/rollback" post lifecycle::rollback;
    "/api/openapi.json" get this::openapi;
}

mod this {
    use super::{HeaderValue, IntoResponse, header};

    /// This document
    ///
    /// The API as an OpenAPI 3.1 document, generated from the code that answers.
    #[utoipa::path(
        get,
        path = "/api/openapi.json",
        tag = "workspace",
        responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object))
    )]
    pub(super) async fn openapi() -> impl IntoResponse {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], include_str!("../openapi.json"))
    }
}

/// Answers hold personal data: nobody on the way may keep one, or take it for something else.
async fn seal(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_out() -> String {
        let mut text = serde_json::to_string_pretty(&document()).unwrap();
        text.push('\n');
        text
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests asks for it")]
    fn the_document_is_what_the_code_says() {
        let text = written_out();
        if std::env::var("OPENAPI").is_ok_and(|asked| asked == "write") {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
            std::fs::write(file, &text).unwrap();
        } else {
            let is_same = text == include_str!("../openapi.json");
            assert!(is_same, "openapi.json is old: OPENAPI=write cargo test -p console");
        }
    }

    #[test]
    fn what_is_served_is_described_and_nothing_else() {
        let document: serde_json::Value = serde_json::from_str(&written_out()).unwrap();
        let mut described = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                described.push((path.as_str(), method.as_str()));
            }
        }
        let served = SERVED.iter().flat_map(|(path, methods)| methods.iter().map(|m| (*path, *m)));
        let mut served: Vec<(&str, &str)> = served.collect();
        served.sort_unstable();
        described.sort_unstable();
        assert_eq!(described, served);
    }
}
