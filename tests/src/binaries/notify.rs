//! `notify`: the journal's stream.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::decide::step;
use lifecycle::embedded::table_names;
use platform::CustomerKey;
use platform::store::Decisions;
use serde_json::{Map, Value as Json, json};

use super::{Stack, TABLE_PREFIX, now, run, unexpected_events};

/// Runs the binary through what `notify` is invoked with.
pub fn notify(binary: &str) {
    run(tells_what_the_stream_delivers(binary));
}

async fn tells_what_the_stream_delivers(binary: &str) -> Result<()> {
    let stack = Stack::start().await?;
    let function = stack.spawn("notify", binary).await?;
    let image = decided(&stack).await?;
    let mut damaged = image.clone();
    damaged["entry"] = json!({ "S": "{\"seq\":" });
    let mut bare = image.clone();
    bare.as_object_mut().context("an image")?.remove("entry");

    // More failures than the SDK's own attempts.
    stack.sns.fail_next(6, 503, "ServiceUnavailable");
    let event = stream_event(&[damaged, bare, image]);
    let answer = function.answer(event.clone()).await?;
    let third =
        json!({ "batchItemFailures": [{ "itemIdentifier": "4421584500000000017450439093" }] });
    ensure!(answer == third, "from the record on that SNS did not take: {answer}");
    // Whatever was left of the failures is used up before the message is taken.
    while function.answer(event.clone()).await? != json!({ "batchItemFailures": [] }) {}
    let answer = function.answer(event).await?;
    ensure!(answer == json!({ "batchItemFailures": [] }), "{answer}");

    let published = stack.sns.published();
    ensure!(published.len() == 1, "told once, and the poison passed over: {published:?}");
    let message = &published[0];
    ensure!(message.topic == "team", "{message:?}");
    ensure!(message.subject.as_deref() == Some("Acme: starts in onboarding"), "{message:?}");
    let texts: BTreeMap<String, String> = serde_json::from_str(&message.message)?;
    let journal = stack.store.journal(&CustomerKey::subject("acme"), 10, None).await?.items;
    ensure!(!journal[0].reasons.is_empty(), "a decision has reasons");
    for reason in &journal[0].reasons {
        ensure!(texts["email"].contains(&reason.expression), "{}", texts["email"]);
    }
    let chat: Json = serde_json::from_str(&texts["https"])?;
    ensure!(chat["source"] == "custom", "{chat}");

    for refused in unexpected_events() {
        let error_type = function.failure(refused).await?;
        ensure!(error_type == "UnexpectedEvent", "{error_type}");
    }
    let empty = function.answer(json!({ "Records": [] })).await?;
    ensure!(empty == json!({ "batchItemFailures": [] }), "{empty}");
    function.finish().await
}

/// Decides about an account: the item of the journal entry, as a stream shows it.
async fn decided(stack: &Stack) -> Result<Json> {
    stack.joins("acme").await?;
    let acme = stack.store.customer(&CustomerKey::subject("acme")).await?;
    let at = now();
    let change = step(&acme.customer, &stack.lifecycle, at).change.context("the first stage")?;
    stack.store.decide(&acme, &Decisions::of(vec![change]), &stack.lifecycle, at).await?;
    let journal = table_names(TABLE_PREFIX).journal;
    let entries = stack.engine.dynamodb().scan().table_name(journal).send().await?;
    let [entry] = entries.items() else { bail!("one decision is one entry") };
    image(entry)
}

fn image(item: &HashMap<String, AttributeValue>) -> Result<Json> {
    let mut image = Map::new();
    for (name, value) in item {
        let value = match value {
            AttributeValue::S(text) => json!({ "S": text }),
            AttributeValue::N(number) => json!({ "N": number }),
            other => bail!("an entry is of texts and numbers, not {other:?}"),
        };
        image.insert(name.clone(), value);
    }
    Ok(Json::Object(image))
}

fn stream_event(images: &[Json]) -> Json {
    let records = images.iter().enumerate().map(|(number, image)| {
        json!({
            "eventID": format!("c4ca4238a0b923820dcc509a6f75849{number}"),
            "eventName": "INSERT",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_768_473_000,
                "Keys": { "pk": image["pk"], "sk": image["sk"] },
                "NewImage": image,
                "SequenceNumber": format!("442158450000000001745043909{}", number + 1),
                "SizeBytes": 512,
                "StreamViewType": "NEW_IMAGE",
            },
            "eventSourceARN":
                "arn:aws:dynamodb:us-east-1:123456789012:table/journal/stream/2026-01-15T10:30:00.000",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}
