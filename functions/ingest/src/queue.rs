//! SQS: records that hold a tracking call, a batch of them, or an event of the bus.
//!
//! A record fails only when something of it could not be stored; then SQS delivers it again, and
//! the ids of its calls keep what was stored from counting twice. What cannot be read is set aside
//! and acknowledged: it would be no better the next time.

use std::ops::Range;
use std::sync::Arc;

use domain::lifecycle::Subject;
use jiff::Timestamp;
use platform::StoreError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;

use crate::call::{Delivery, Rejection, Shared};
use crate::items::{self, Batch, Item};
use crate::take::{self, Outcome};
use crate::{Answer, App, IngestError, bus};

const SOURCE: &str = "aws:sqs";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    event_source: String,
    #[serde(default)]
    body: String,
}

/// Takes a batch of records: answers those that SQS should deliver again.
///
/// # Errors
/// When not one record could be stored, so that the failure shows in the function's errors too.
pub(crate) async fn handle(app: &App, records: &[&RawValue]) -> Result<Answer, IngestError> {
    let records = records.iter().map(|record| serde_json::from_str(record.get()));
    let records: Vec<Record> = records
        .collect::<Result<_, _>>()
        .map_err(|source| IngestError::Event { kind: "SQS", source })?;
    if records.iter().any(|record| record.event_source != SOURCE) {
        return Err(IngestError::UnknownEvent);
    }
    let lifecycle = app.store.lifecycle().await?;
    let now = app.now();
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for record in &records {
        let from = items.len();
        items.extend(calls(record, lifecycle.subject, now));
        places.push(from..items.len());
    }
    let outcomes = take::take(&app.store, &lifecycle, items, now).await;
    let failed = records.iter().zip(places).filter_map(|(record, place)| {
        Some((record.message_id.as_str(), failure(&outcomes, place)?))
    });
    let failed: Vec<(&str, Arc<StoreError>)> = failed.collect();
    if let Some((_, source)) = failed.first() {
        let source = Arc::clone(source);
        if failed.len() == records.len() {
            return Err(IngestError::AllRecords { records: records.len(), source });
        }
        let error = &*source as &dyn std::error::Error;
        tracing::error!(error, records.failed = failed.len(), "records could not be stored");
    }
    let failures = failed.iter().map(|(id, _)| json!({"itemIdentifier": id}));
    let body = json!({"batchItemFailures": failures.collect::<Vec<_>>()});
    Ok(Answer { body, counts: take::counts(&outcomes) })
}

fn failure(outcomes: &[Outcome], place: Range<usize>) -> Option<Arc<StoreError>> {
    outcomes[place].iter().find_map(|outcome| match outcome {
        Outcome::Failed(error) => Some(Arc::clone(error)),
        Outcome::Accepted | Outcome::Duplicate | Outcome::Rejected(_) => None,
    })
}

/// The members that tell the forms of a body apart.
#[derive(Deserialize)]
struct Form {
    #[serde(rename = "detail-type")]
    detail_type: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
    batch: Option<IgnoredAny>,
}

/// The calls of a record, each read alone. Calls without an id and a time are known again by the
/// record's id, which SQS keeps when it delivers the record again.
fn calls(record: &Record, subject: Subject, now: Timestamp) -> Vec<Item<'_>> {
    let text = record.body.as_str();
    let shared = Shared::default();
    let mut delivery = Delivery { subject, now, origin: &record.message_id, kind: None, shared };
    match items::object(text) {
        Some(Form { detail_type: Some(_), source: Some(_), .. }) => {
            vec![bus::item(text, &delivery)]
        }
        Some(Form { batch: Some(_), .. }) => match Batch::read(text) {
            Ok(batch) => {
                delivery.shared = batch.shared.clone();
                batch.items(&delivery)
            }
            Err(rejection) => vec![Item::rejected(text, rejection)],
        },
        Some(Form { .. }) => vec![Item::parse(text, 0, &delivery)],
        None => {
            let message = "the record must be a tracking call, a batch of them, or an event";
            vec![Item::rejected(text, Rejection::new("invalid_json", message))]
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn check(body: &str, expected: &[Result<&str, &str>]) {
        let record = json!({"messageId": "r-1", "eventSource": SOURCE, "body": body});
        let record: Record = serde_json::from_value(record).unwrap();
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let found = calls(&record, Subject::User, now);
        let found = found.iter().map(|item| match &item.call {
            Ok(call) => Ok(call.event.name.as_str()),
            Err(rejection) => Err(rejection.code),
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{body}");
    }

    fn call() -> Json {
        json!({"type": "track", "event": "login", "userId": "u"})
    }

    #[test]
    fn a_record_holds_a_call_a_batch_or_an_event() {
        check(&call().to_string(), &[Ok("login")]);
        check(
            &json!({"batch": [call(), 7, call()]}).to_string(),
            &[Ok("login"), Err("invalid_json"), Ok("login")],
        );
        let envelope = json!({"detail-type": "Paid", "source": "billing", "detail": {"userId": 1}});
        check(&envelope.to_string(), &[Ok("Paid")]);
    }

    #[test]
    fn what_cannot_be_read_is_one_rejected_item() {
        for body in ["", "hello", "[]", "{\"batch\":7}", "{\"type\":\"track\""] {
            check(body, &[Err("invalid_json")]);
        }
        check("{\"detail-type\":\"a\",\"source\":\"b\"}", &[Err("invalid_json")]);
        check("{}", &[Err("unknown_type")]);
    }
}
