//! The stages of the lifecycle, and how many customers are in each.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::future::try_join_all;
use platform::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::page::{List, PageParameters, PageRequest};
use crate::problem::{Errors, Problem};

const LIST: &str = "stages";

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StageCount {
    /// Its name in the lifecycle file.
    #[schema(example = "onboarding")]
    stage: String,
    /// How many customers are in it.
    customers: u64,
}

/// Stages
///
/// Every stage of the active lifecycle file, in its order, and how many customers are in it.
#[utoipa::path(
    get,
    path = "/api/stages",
    tag = "customers",
    params(PageParameters),
    responses((status = 200, description = "Stages in the order of the file.", body = List<StageCount>), Errors)
)]
pub(crate) async fn stages(
    State(app): State<Arc<App>>,
    page: PageRequest,
) -> Result<Json<List<StageCount>>, Problem> {
    let lifecycle = app.store.lifecycle().await?;
    let start = match page.start(LIST)? {
        Some(cursor) => cursor.parse().map_err(|_| Problem::cursor())?,
        None => 0_usize,
    };
    let end = (start.saturating_add(page.limit.into())).min(lifecycle.stages.len());
    let shown = lifecycle.stages.get(start..end).unwrap_or_default();
    let counts = shown.iter().map(async |stage| {
        let customers = app.store.count_stage(&stage.name).await?;
        Ok::<_, StoreError>(StageCount { stage: stage.name.clone(), customers })
    });
    let counts = try_join_all(counts).await?;
    let next = (end < lifecycle.stages.len()).then(|| end.to_string());
    Ok(Json(List::new(LIST, counts, next)))
}
