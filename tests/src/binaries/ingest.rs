//! `ingest`: HTTP, SQS and EventBridge.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform::CustomerKey;
use platform::store::QuarantineFilter;
use serde_json::{Value as Json, json};

use super::{PERSONAL, Stack, WRITE_KEY, now, run, sqs_event, unexpected_events};

/// A request of the official Python client, as API Gateway handed it on.
const RECORDED: &str = include_str!("../../fixtures/recorded/apigw_v2/segment_py_0.json");

/// Runs the binary through everything that `ingest` is invoked with.
pub fn ingest(binary: &str) {
    run(takes_what_aws_sends(binary));
    run(answers_an_outage(binary));
}

async fn takes_what_aws_sends(binary: &str) -> Result<()> {
    let stack = Stack::start().await?;
    let function = stack.spawn("ingest", binary).await?;

    let stranger = function.answer(serde_json::from_str(RECORDED)?).await?;
    ensure!(stranger["statusCode"] == 401, "{stranger}");
    let request = recorded()?;
    let sent: Json = serde_json::from_str(request["body"].as_str().context("a body")?)?;
    let sent = sent["batch"].as_array().context("a batch")?.len();
    let answer = function.answer(request.clone()).await?;
    ensure!(answer["statusCode"] == 200, "{answer}");
    ensure!(answer["headers"]["access-control-allow-origin"] == "*", "{answer}");
    let all_new = json!({ "success": true, "accepted": sent, "duplicates": 0, "rejected": [] });
    ensure!(body(&answer)? == all_new, "{answer}");
    let answer = function.answer(request).await?;
    let all_known = json!({ "success": true, "accepted": 0, "duplicates": sent, "rejected": [] });
    ensure!(body(&answer)? == all_known, "{answer}");
    // Eight of the user, and one of the anonymous id that an alias call names.
    let kept = events(&stack, "acct-9").await?;
    ensure!(kept == 9, "the user's events are the account's: {kept}");

    let call = json!({
        "type": "track", "event": "login", "messageId": "from-sqs", "timestamp": now(),
        "userId": PERSONAL, "context": { "groupId": "globex" },
    });
    let unparsable = format!("{{\"email\":\"{PERSONAL}\",");
    let answer = function.answer(sqs_event(&[&call.to_string(), &unparsable])).await?;
    ensure!(answer == json!({ "batchItemFailures": [] }), "{answer}");
    ensure!(events(&stack, "globex").await? == 1, "the good record is in the log");
    let aside = stack.store.quarantined(&QuarantineFilter::default(), 10, None).await?.items;
    ensure!(aside.len() == 1 && aside[0].raw == unparsable, "{aside:?}");

    for refused in unexpected_events() {
        let error_type = function.failure(refused).await?;
        ensure!(["UnknownEvent", "Event"].contains(&error_type.as_str()), "{error_type}");
    }

    let event = json!({
        "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": "Invoice Paid",
        "source": "billing", "account": "123456789012", "time": now(), "region": "us-east-1",
        "resources": [], "detail": { "customer_id": "globex", "amount": 49.5 },
    });
    let answer = function.answer(event.clone()).await?;
    ensure!(answer == json!({ "accepted": 1, "duplicates": 0, "rejected": 0 }), "{answer}");
    let answer = function.answer(event).await?;
    ensure!(answer == json!({ "accepted": 0, "duplicates": 1, "rejected": 0 }), "{answer}");
    ensure!(events(&stack, "globex").await? == 2, "the invoice is in the log, once");
    function.finish().await
}

/// Without its tables, nothing is acknowledged and everything asks to be sent again.
async fn answers_an_outage(binary: &str) -> Result<()> {
    let stack = Stack::start().await?;
    // A port that was free a moment ago: connections to it are refused.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let function = stack.spawn_on(&format!("http://{closed}"), "ingest", binary).await?;
    let answer = function.answer(recorded()?).await?;
    ensure!(answer["statusCode"] == 503, "{answer}");
    ensure!(answer["headers"]["retry-after"].is_string(), "{answer}");
    let call = json!({ "type": "track", "event": "login", "userId": PERSONAL });
    let error_type = function.failure(sqs_event(&[&call.to_string()])).await?;
    ensure!(error_type == "Store", "{error_type}");
    function.finish().await
}

/// The recorded request, with the key of this stack where the client put its own: as Basic user
/// name and in the body.
fn recorded() -> Result<Json> {
    let key = "WRITE_KEY";
    let basic = |key: &str| STANDARD.encode(format!("{key}:"));
    let event = RECORDED.replace(&basic(key), &basic(WRITE_KEY)).replace(key, WRITE_KEY);
    Ok(serde_json::from_str(&event)?)
}

fn body(answer: &Json) -> Result<Json> {
    let body = answer["body"].as_str().with_context(|| format!("no body: {answer}"))?;
    Ok(serde_json::from_str(body)?)
}

async fn events(stack: &Stack, customer: &str) -> Result<usize> {
    let page = stack.store.event_page(&CustomerKey::subject(customer), 100, None).await?;
    Ok(page.items.len())
}
