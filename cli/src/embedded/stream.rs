//! The journal's stream, read as Lambda reads it for a function.
//!
//! Invariants:
//! - Records come in the order they were written, in the shape of Lambda's DynamoDB event.
//! - At least once: a batch is delivered again, unchanged, until it is committed, and after a
//!   restart reading goes on behind the last checkpoint that the caller stored.
//! - The embedded engine keeps a table's stream in one shard and never trims it; a stream of more
//!   shards is refused, not half read.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use aws_lambda_events::encodings::Base64Data;
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::primitives::Blob;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType, StreamRecord};
use serde_json::{Map, Value, json};

/// Reads the stream of one table, batch by batch.
pub struct JournalPump {
    client: Client,
    stream_arn: String,
    shard_id: String,
    iterator: Option<String>,
    checkpoint: Option<String>,
    batch: Option<Batch>,
}

/// What was delivered and not yet committed.
struct Batch {
    records: Vec<EventRecord>,
    next_iterator: Option<String>,
}

impl JournalPump {
    /// Finds the stream of a table. Reading starts behind `checkpoint`, or at the first record.
    pub async fn open(
        client: Client,
        table: &str,
        checkpoint: Option<String>,
    ) -> Result<JournalPump> {
        let streams = client.list_streams().table_name(table).send().await?;
        let stream_arn = streams.streams().last().and_then(|stream| stream.stream_arn());
        let stream_arn =
            stream_arn.with_context(|| format!("the table {table} has no stream"))?.to_owned();
        let described = client.describe_stream().stream_arn(&stream_arn).send().await?;
        let stream = described.stream_description().context("the stream has no description")?;
        let [shard] = stream.shards() else {
            bail!("the stream of {table} has {} shards, not one", stream.shards().len())
        };
        let shard_id = shard.shard_id().context("the stream's shard has no id")?.to_owned();
        Ok(JournalPump { client, stream_arn, shard_id, iterator: None, checkpoint, batch: None })
    }

    /// The sequence number of the last committed record, to be stored and given to [`Self::open`].
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The batch that was not committed, or the next one: at most `limit` records, none when all
    /// are read.
    pub async fn next_batch(&mut self, limit: usize) -> Result<Vec<EventRecord>> {
        if let Some(batch) = &self.batch {
            return Ok(batch.records.clone());
        }
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.iterator_behind_checkpoint().await?,
        };
        let limit = i32::try_from(limit.min(1_000))?;
        let request = self.client.get_records().shard_iterator(iterator).limit(limit);
        // After an error, an iterator that aged among them, reading starts at the checkpoint.
        let answer = request.send().await.context("cannot read the stream")?;
        let records: Vec<EventRecord> = answer
            .records()
            .iter()
            .map(|record| event_record(record, &self.stream_arn))
            .collect::<Result<_>>()?;
        if records.is_empty() {
            self.iterator = answer.next_shard_iterator;
            return Ok(records);
        }
        let next_iterator = answer.next_shard_iterator;
        self.batch = Some(Batch { records: records.clone(), next_iterator });
        Ok(records)
    }

    /// Moves behind the delivered batch.
    pub fn commit_batch(&mut self) {
        let Some(Batch { mut records, next_iterator }) = self.batch.take() else { return };
        let last = records.pop().and_then(|record| record.change.sequence_number);
        self.checkpoint = last.or(self.checkpoint.take());
        self.iterator = next_iterator;
    }

    /// Moves to the record of the delivered batch that has this sequence number, the first that a
    /// function reported as failed: it and what follows are delivered again.
    pub fn commit_until(&mut self, sequence_number: &str) {
        let Some(batch) = &mut self.batch else { return };
        let number = |record: &EventRecord| record.change.sequence_number.clone();
        let found =
            batch.records.iter().position(|one| number(one).as_deref() == Some(sequence_number));
        // As in Lambda, a number that was not delivered means that the whole batch failed.
        let done: Vec<_> = batch.records.drain(..found.unwrap_or(0)).collect();
        if let Some(last) = done.last() {
            self.checkpoint = number(last);
        }
    }

    async fn iterator_behind_checkpoint(&self) -> Result<String> {
        let start = match self.checkpoint {
            Some(_) => ShardIteratorType::AfterSequenceNumber,
            None => ShardIteratorType::TrimHorizon,
        };
        let answer = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.stream_arn)
            .shard_id(&self.shard_id)
            .shard_iterator_type(start)
            .set_sequence_number(self.checkpoint.clone())
            .send()
            .await
            .with_context(|| format!("cannot read the stream behind {:?}", self.checkpoint))?;
        answer.shard_iterator.context("the stream gave no iterator")
    }
}

/// A record as Lambda puts it in an event. It goes through Lambda's JSON, so that the types of
/// the event are filled by the same code as in a deployed function.
fn event_record(record: &Record, stream_arn: &str) -> Result<EventRecord> {
    let change = record.dynamodb().context("a stream record without its change")?;
    let mut event = json!({
        "eventID": record.event_id().unwrap_or_default(),
        "eventName": record.event_name().map(|name| name.as_str()).unwrap_or_default(),
        "eventVersion": record.event_version(),
        "eventSource": record.event_source(),
        "eventSourceARN": stream_arn,
        "awsRegion": record.aws_region().unwrap_or_default(),
        "dynamodb": change_json(change)?,
    });
    if let Some(identity) = record.user_identity() {
        event["userIdentity"] =
            json!({ "type": identity.r#type(), "principalId": identity.principal_id() });
    }
    serde_json::from_value(event).context("a stream record of an unknown shape")
}

fn change_json(change: &StreamRecord) -> Result<Value> {
    let mut json = json!({
        "SequenceNumber": change.sequence_number(),
        "SizeBytes": change.size_bytes().unwrap_or_default(),
        "StreamViewType": change.stream_view_type().map(|view| view.as_str()),
    });
    if let Some(created) = change.approximate_creation_date_time() {
        json["ApproximateCreationDateTime"] = json!(created.as_secs_f64());
    }
    let images = [
        ("Keys", change.keys()),
        ("NewImage", change.new_image()),
        ("OldImage", change.old_image()),
    ];
    for (name, image) in images {
        if let Some(image) = image {
            json[name] = image_json(image)?;
        }
    }
    Ok(json)
}

fn image_json(image: &HashMap<String, AttributeValue>) -> Result<Value> {
    let members = image.iter().map(|(name, value)| Ok((name.clone(), value_json(value)?)));
    Ok(Value::Object(members.collect::<Result<Map<_, _>>>()?))
}

fn value_json(value: &AttributeValue) -> Result<Value> {
    Ok(match value {
        AttributeValue::B(bytes) => json!({ "B": base64(bytes) }),
        AttributeValue::Bool(is_true) => json!({ "BOOL": is_true }),
        AttributeValue::Bs(set) => {
            json!({ "BS": set.iter().map(base64).collect::<Vec<_>>() })
        }
        AttributeValue::L(list) => {
            json!({ "L": list.iter().map(value_json).collect::<Result<Vec<_>>>()? })
        }
        AttributeValue::M(map) => json!({ "M": image_json(map)? }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Ns(set) => json!({ "NS": set }),
        AttributeValue::Null(is_null) => json!({ "NULL": is_null }),
        AttributeValue::S(string) => json!({ "S": string }),
        AttributeValue::Ss(set) => json!({ "SS": set }),
        other => bail!("an attribute of an unknown type: {other:?}"),
    })
}

fn base64(bytes: &Blob) -> Base64Data {
    let mut data = Base64Data::default();
    data.0 = bytes.as_ref().to_vec();
    data
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
        ScalarAttributeType, StreamSpecification, StreamViewType,
    };

    use super::*;
    use crate::embedded::{Engine, Location};

    async fn journal_with(entries: usize) -> Engine {
        let engine = Engine::start(Location::Memory).unwrap();
        let client = engine.dynamodb();
        let pk = AttributeDefinition::builder()
            .attribute_name("pk")
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap();
        let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash);
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewImage);
        client
            .create_table()
            .table_name("journal")
            .attribute_definitions(pk)
            .key_schema(key.build().unwrap())
            .stream_specification(stream.build().unwrap())
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
        for number in 0..entries {
            put(&engine, number).await;
        }
        engine
    }

    async fn put(engine: &Engine, number: usize) {
        let nested = AttributeValue::M(HashMap::from([
            ("list".into(), AttributeValue::L(vec![AttributeValue::Bool(true)])),
            ("none".into(), AttributeValue::Null(true)),
        ]));
        engine
            .dynamodb()
            .put_item()
            .table_name("journal")
            .item("pk", AttributeValue::S(number.to_string()))
            .item("number", AttributeValue::N(number.to_string()))
            .item("packed", AttributeValue::B(Blob::new([0, 159, 146, 150])))
            .item("nested", nested)
            .send()
            .await
            .unwrap();
    }

    async fn open(engine: &Engine, checkpoint: Option<String>) -> JournalPump {
        JournalPump::open(engine.streams(), "journal", checkpoint).await.unwrap()
    }

    fn numbers(records: &[EventRecord]) -> Vec<String> {
        let change = |record: &EventRecord| serde_json::to_value(&record.change).unwrap();
        let number = |change: Value| change["NewImage"]["number"]["N"].as_str().unwrap().to_owned();
        records.iter().map(change).map(number).collect()
    }

    #[tokio::test]
    async fn records_have_the_shape_of_lambdas_event() {
        let engine = journal_with(1).await;
        let records = open(&engine, None).await.next_batch(10).await.unwrap();
        let event = serde_json::to_value(&records[0]).unwrap();
        assert_eq!(event["eventName"], "INSERT");
        assert_eq!(event["eventSource"], "aws:dynamodb");
        assert!(event["eventSourceARN"].as_str().unwrap().contains("table/journal/stream/"));
        assert_eq!(event["dynamodb"]["Keys"], json!({ "pk": { "S": "0" } }));
        let image = &event["dynamodb"]["NewImage"];
        assert_eq!(image["packed"], json!({ "B": "AJ+Slg==" }));
        let nested = json!({ "list": { "L": [{ "BOOL": true }] }, "none": { "NULL": true } });
        assert_eq!(image["nested"], json!({ "M": nested }));
        assert_eq!(event["dynamodb"]["StreamViewType"], "NEW_IMAGE");
        assert!(records[0].change.approximate_creation_date_time.timestamp() > 1_700_000_000);
    }

    #[tokio::test]
    async fn a_batch_is_delivered_again_until_it_is_committed() {
        let engine = journal_with(3).await;
        let mut pump = open(&engine, None).await;
        assert_eq!(numbers(&pump.next_batch(2).await.unwrap()), ["0", "1"]);
        assert_eq!(numbers(&pump.next_batch(2).await.unwrap()), ["0", "1"]);
        assert_eq!(pump.checkpoint(), None);
        pump.commit_batch();
        assert_eq!(numbers(&pump.next_batch(2).await.unwrap()), ["2"]);
        pump.commit_batch();
        assert!(pump.next_batch(2).await.unwrap().is_empty());
        put(&engine, 3).await;
        assert_eq!(numbers(&pump.next_batch(2).await.unwrap()), ["3"]);
    }

    #[tokio::test]
    async fn a_restart_goes_on_behind_the_stored_checkpoint() {
        let engine = journal_with(3).await;
        let mut pump = open(&engine, None).await;
        pump.next_batch(2).await.unwrap();
        pump.commit_batch();
        pump.next_batch(2).await.unwrap();
        let stored = pump.checkpoint().map(str::to_owned);
        drop(pump);
        let mut pump = open(&engine, stored).await;
        assert_eq!(numbers(&pump.next_batch(2).await.unwrap()), ["2"]);
    }

    #[tokio::test]
    async fn a_failed_record_is_delivered_again_with_what_follows_it() {
        let engine = journal_with(4).await;
        let mut pump = open(&engine, None).await;
        let batch = pump.next_batch(3).await.unwrap();
        pump.commit_until(batch[1].change.sequence_number.as_deref().unwrap());
        assert_eq!(pump.checkpoint(), batch[0].change.sequence_number.as_deref());
        assert_eq!(numbers(&pump.next_batch(3).await.unwrap()), ["1", "2"]);
        pump.commit_until("not delivered");
        assert_eq!(numbers(&pump.next_batch(3).await.unwrap()), ["1", "2"]);
        pump.commit_batch();
        assert_eq!(numbers(&pump.next_batch(3).await.unwrap()), ["3"]);
    }

    #[tokio::test]
    async fn a_table_without_a_stream_is_named() {
        let engine = Engine::start(Location::Memory).unwrap();
        let error = JournalPump::open(engine.streams(), "journal", None).await.err().unwrap();
        assert!(error.to_string().contains("journal"), "{error:#}");
    }
}
