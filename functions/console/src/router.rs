//! The routes, and the OpenAPI document they generate.

use std::sync::{Arc, LazyLock};

use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::{
    App, by_hand, customer, customers, events, explain, feeds, findings, journal, lifecycle,
    privacy, quarantine, stages,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Customer lifecycle",
        description = "Customers with their stage, health and churn risk, the journal of decisions \
            with their reasons, findings, events, and what was set aside.\n\nInstants are RFC 3339 \
            in UTC. Lists come in parts: ask again with `cursor` set to `next_cursor` until that \
            is null. Errors are problem details (RFC 9457) with a stable `code`."
    ),
    components(schemas(Problem)),
    tags(
        (name = "customers", description = "Customers, and what was decided about them."),
        (name = "findings", description = "Breaches of what the company promised itself."),
        (name = "quarantine", description = "What could not be taken, to be taken again or dropped."),
        (name = "privacy", description = "To erase, to suppress, to tell what is held."),
        (name = "workspace", description = "The lifecycle file, the sources of events, this document.")
    )
)]
struct Document;

/// The document does not depend on the tables: it is made once.
static DOCUMENT: LazyLock<serde_json::Value> = LazyLock::new(|| {
    let document = routes().into_openapi();
    serde_json::to_value(document).expect("a document is plain data")
});

/// The API: one router for API Gateway, a local server and tests.
pub fn router(app: Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .method_not_allowed_fallback(async || Problem::no_method())
        .fallback(async || Problem::no_route())
        .layer(map_response(seal))
        .with_state(app)
}

fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(stages::stages))
        .routes(routes!(customers::customers))
        .routes(routes!(customer::customer))
        .routes(routes!(by_hand::move_customer, by_hand::end_move))
        .routes(routes!(by_hand::release))
        .routes(routes!(by_hand::acknowledge))
        .routes(routes!(journal::journal))
        .routes(routes!(explain::explain_customer))
        .routes(routes!(events::events))
        .routes(routes!(findings::findings))
        .routes(routes!(feeds::feeds))
        .routes(routes!(quarantine::quarantine))
        .routes(routes!(quarantine::replay_quarantine))
        .routes(routes!(quarantine::quarantined_item, quarantine::drop_quarantined_item))
        .routes(routes!(quarantine::replay_quarantined_item))
        .routes(routes!(privacy::requests, privacy::ask))
        .routes(routes!(privacy::request))
        .routes(routes!(privacy::export))
        .routes(routes!(lifecycle::lifecycle))
        .routes(routes!(openapi))
}

/// This document
///
/// The API as an OpenAPI 3.1 document, generated from the code that answers.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "workspace",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object))
)]
async fn openapi() -> impl IntoResponse {
    Json(&*DOCUMENT)
}

/// Answers hold personal data: nobody on the way may keep one, or take it for something else.
async fn seal(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
