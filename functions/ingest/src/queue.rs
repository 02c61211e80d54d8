//! SQS: records that hold a tracking call, a batch of them, an event of the bus or CloudEvents.
//!
//! A record fails only when something of it could not be stored; then SQS delivers it again, and
//! the ids of its calls keep what was stored from counting twice. What cannot be read is set aside
//! and acknowledged: it would be no better the next time.
//!
//! A record that the gateway put into the queue for a sender has the sender's path and credentials
//! beside its body. Whether they hold is looked at here: one without a live write key is dropped, as
//! it would have been refused at the door.
//!
//! A record may also be work that another function hands on: items of the quarantine to take again.

use std::ops::Range;
use std::sync::Arc;

use domain::feed::{Sender, SenderKind};
use jiff::{SignedDuration, Timestamp};
use platform::StoreError;
use platform::handoff::Work;
use platform::telemetry::Counts;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;

use crate::call::Came;
use crate::mend::mend;
use crate::take::{self, Outcome};
use crate::{Answer, App, IngestError, auth, forms, quarantine};

const SOURCE: &str = "aws:sqs";
/// SQS keeps no message longer.
const LONGEST_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);
/// The name of whoever may put messages into it.
const QUEUE: &str = "queue";
/// What stands before the paths that lead into the queue.
const QUEUED: &str = "/v1/queued";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    event_source: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    message_attributes: MessageAttributes,
}

#[derive(Default, Deserialize)]
struct Attributes {
    /// Milliseconds since 1970; the same however often the record is delivered.
    #[serde(rename = "SentTimestamp")]
    sent_timestamp: Option<String>,
}

/// What the gateway puts beside the body of a request.
#[derive(Default, Deserialize)]
struct MessageAttributes {
    path: Option<MessageAttribute>,
    authorization: Option<MessageAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageAttribute {
    string_value: Option<String>,
}

impl MessageAttribute {
    fn text(attribute: Option<&MessageAttribute>) -> Option<&str> {
        attribute?.string_value.as_deref()
    }
}

impl Record {
    /// When it was sent to the queue, which is when its calls arrived. What SQS cannot have kept so
    /// long is not believed.
    fn received_at(&self, now: Timestamp) -> Timestamp {
        let sent = self.attributes.sent_timestamp.as_ref().and_then(|sent| sent.parse().ok());
        let sent = sent.and_then(|sent| Timestamp::from_millisecond(sent).ok());
        let is_kept = |sent: &Timestamp| *sent <= now && now.duration_since(*sent) <= LONGEST_KEPT;
        sent.filter(is_kept).unwrap_or(now)
    }

    /// The path of its request, if it was one.
    fn path(&self) -> Option<&str> {
        let path = MessageAttribute::text(self.message_attributes.path.as_ref())?;
        Some(path.strip_prefix(QUEUED).unwrap_or(path))
    }

    /// The work that it is, where it came from within the account.
    fn work(&self) -> Option<Work> {
        if self.message_attributes.path.is_some() {
            return None;
        }
        serde_json::from_str(&self.body).ok()
    }

    /// How it came in, if it may: what did not come through the gateway came from within the account.
    async fn admitted(&self, app: &App) -> Result<Option<Came>, StoreError> {
        if self.message_attributes.path.is_none() {
            return Ok(Some(Came::new(Sender::new(SenderKind::Queue, QUEUE), None)));
        }
        let given = MessageAttribute::text(self.message_attributes.authorization.as_ref());
        match given.and_then(auth::credentials) {
            Some(key) => {
                let label = app.store.write_key_label(&key).await?;
                let sender = label.map(|label| Sender::new(SenderKind::WriteKey, &label));
                Ok(sender.map(|sender| Came::new(sender, self.path())))
            }
            None => Ok(None),
        }
    }
}

/// Takes a batch of records: answers those that SQS should deliver again.
///
/// # Errors
/// When not one record could be stored, so that the failure shows in the function's errors too.
pub(crate) async fn handle(app: &App, records: &[&RawValue]) -> Result<Answer, IngestError> {
    let records = records.iter().map(|record| serde_json::from_str(record.get()));
    let mut records: Vec<Record> = records
        .collect::<Result<_, _>>()
        .map_err(|source| IngestError::Event { kind: "SQS", source })?;
    if records.iter().any(|record| record.event_source != SOURCE) {
        return Err(IngestError::UnknownEvent);
    }
    let lifecycle = app.store.lifecycle().await?;
    let now = app.now();
    for record in &mut records {
        if serde_json::from_str::<IgnoredAny>(&record.body).is_err()
            && let Some(mended) = mend(&record.body)
        {
            record.body = mended;
        }
    }
    let (mut items, mut places) = (Vec::new(), Vec::new());
    let mut failed: Vec<(&str, Arc<StoreError>)> = Vec::new();
    let mut replayed = Counts::default();
    for record in &records {
        let from = items.len();
        if let Some(Work::Replay(ids)) = record.work() {
            match quarantine::replay(app, &ids).await {
                Ok(done) => done.iter().for_each(|done| replayed.add(&done.counts)),
                Err(error) => failed.push((&record.message_id, error)),
            }
        } else if let Some(came) = record.admitted(app).await? {
            let received_at = record.received_at(now);
            let delivery = app.delivery(&lifecycle, received_at, &record.message_id, came).await?;
            items.extend(forms::read(&record.body, &lifecycle, delivery).items);
        } else {
            tracing::warn!("a record without a live write key was dropped");
        }
        places.push(from..items.len());
    }
    let outcomes = take::take(&app.store, &lifecycle, items, now).await;
    failed.extend(records.iter().zip(places).filter_map(|(record, place)| {
        Some((record.message_id.as_str(), failure(&outcomes, place)?))
    }));
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
    let mut counts = take::counts(&outcomes);
    counts.add(&replayed);
    Ok(Answer { body, counts })
}

fn failure(outcomes: &[Outcome], place: Range<usize>) -> Option<Arc<StoreError>> {
    outcomes[place].iter().find_map(|outcome| match outcome {
        Outcome::Failed(error) => Some(Arc::clone(error)),
        Outcome::Accepted | Outcome::Duplicate | Outcome::Suppressed | Outcome::Rejected(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use domain::lifecycle::{Subject, load};
    use serde_json::Value as Json;

    use super::*;
    use crate::call::{Came, Delivery};

    fn check_record(record: Json, expected: &[Result<&str, &str>]) {
        let record: Record = serde_json::from_value(record).unwrap();
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let subject = Subject::User;
        let came = Came::new(Sender::new(SenderKind::Queue, QUEUE), record.path()).into();
        let origin = record.message_id.clone();
        let shield = None;
        let delivery =
            Delivery { subject, now, oldest: None, origin: &origin, kind: None, came, shield };
        let lifecycle = load("version: 1\nsubject: user\nstages: { a: {} }\n").unwrap();
        let found = forms::read(&record.body, &lifecycle, delivery).items;
        let found = found.iter().map(|item| match &item.call {
            Ok(call) => Ok(call.event.name.as_str()),
            Err(rejection) => Err(rejection.code),
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{}", record.body);
    }

    fn check(body: &str, expected: &[Result<&str, &str>]) {
        check_record(json!({"messageId": "r-1", "eventSource": SOURCE, "body": body}), expected);
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
        let event =
            json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "u"});
        check(&event.to_string(), &[Ok("t")]);
        check(&json!([event, 7]).to_string(), &[Ok("t"), Err("invalid_json")]);
    }

    #[test]
    fn a_request_in_the_queue_is_of_the_kind_its_path_names() {
        let body = json!({"userId": "u"}).to_string();
        let path = json!({"path": {"stringValue": "/v1/queued/v1/identify", "dataType": "String"}});
        let record = json!({
            "messageId": "r-1", "eventSource": SOURCE, "body": body, "messageAttributes": path,
        });
        check_record(record, &[Ok("identify")]);
    }

    #[test]
    fn a_record_arrived_when_it_was_sent() {
        let record = json!({
            "messageId": "r-1", "eventSource": SOURCE,
            "attributes": {"SentTimestamp": "1768473000123", "ApproximateReceiveCount": "3"},
        });
        let record: Record = serde_json::from_value(record).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let sent = at("2026-01-15T10:30:00.123Z");
        assert_eq!(record.received_at(at("2026-01-29T10:30:00Z")), sent);
        for now in [at("2026-01-29T10:30:01Z"), at("2026-01-15T10:30:00Z")] {
            assert_eq!(record.received_at(now), now);
        }
    }

    #[test]
    fn what_cannot_be_read_is_one_rejected_item() {
        for body in ["", "hello", "[", "{\"batch\":7}", "{\"type\":\"track\""] {
            check(body, &[Err("invalid_json")]);
        }
        check("[]", &[]);
        check("{\"detail-type\":\"a\",\"source\":\"b\"}", &[Err("invalid_json")]);
        check("{}", &[Err("unknown_type")]);
    }
}
