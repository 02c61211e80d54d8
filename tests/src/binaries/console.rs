//! `console`: the read API behind API Gateway.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value as Json;

use super::{Served, Stack, http_event, run, unexpected_events};

/// Runs the binary through what `console` is invoked with.
pub fn console(binary: &str) {
    run(answers_requests(binary));
}

async fn answers_requests(binary: &str) -> Result<()> {
    let stack = Stack::start().await?;
    let function = stack.spawn("console", binary).await?;
    stack.joins("acme").await?;

    let (status, stages) = request(&function, "GET", "/api/stages").await?;
    ensure!(status == 200, "{stages}");
    let stages = stages["items"].as_array().context("a list")?;
    let named = stages.iter().filter_map(|stage| stage["stage"].as_str());
    ensure!(named.eq(stack.lifecycle.stages.iter().map(|stage| stage.name.as_str())));

    let (status, acme) = request(&function, "GET", "/api/customers/acme").await?;
    ensure!(status == 200 && acme["id"] == "acme", "{acme}");
    ensure!(acme["traits"]["plan"] == "team" && acme["metrics"]["logins_7d"] == 1, "{acme}");

    for refused in unexpected_events() {
        let error_type = function.failure(refused).await?;
        ensure!(error_type == "UnexpectedEvent", "{error_type}");
    }

    for (method, path, expected) in [
        ("GET", "/api/customers/nobody", 404),
        ("GET", "/api/nothing", 404),
        ("DELETE", "/api/stages", 405),
    ] {
        let (status, problem) = request(&function, method, path).await?;
        ensure!(status == expected && problem["code"].is_string(), "{path}: {problem}");
    }
    function.finish().await
}

async fn request(function: &Served, method: &str, path: &str) -> Result<(u64, Json)> {
    let answer = function.answer(http_event(method, path)).await?;
    ensure!(answer["headers"]["cache-control"] == "no-store", "{answer}");
    ensure!(answer["isBase64Encoded"] == false, "{answer}");
    let status = answer["statusCode"].as_u64().context("a status")?;
    let body = serde_json::from_str(answer["body"].as_str().context("a body")?)?;
    Ok((status, body))
}
