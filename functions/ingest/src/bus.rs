//! EventBridge: an event of the bus as a tracking call.

use domain::event::{EventKind, id_text};
use domain::lifecycle::Subject;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

use crate::call::{self, Call, Delivery, Rejection, Shared};
use crate::items::{self, Item};
use crate::take::{self, Outcome};
use crate::{Answer, App, IngestError};

/// Where events of other systems name the user.
const USER: [&str; 2] = ["userId", "user_id"];
/// Where they name the account.
const ACCOUNT: [&str; 3] = ["groupId", "account_id", "accountId"];
/// Where they name what may be either: whatever a customer is.
const CUSTOMER: [&str; 2] = ["customer_id", "customerId"];

/// An event of the bus.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: String,
    source: String,
    time: Option<String>,
    #[serde(borrow)]
    detail: &'a RawValue,
}

/// Takes an event. One that cannot be read is acknowledged, in quarantine.
pub(crate) async fn handle(app: &App, event: &str) -> Result<Answer, IngestError> {
    let lifecycle = app.store.lifecycle().await?;
    let now = app.now();
    let origin = now.to_string();
    let (subject, shared) = (lifecycle.subject, Shared::default());
    let delivery = Delivery { subject, now, origin: &origin, kind: None, shared };
    let items = vec![item(event, &delivery)];
    let outcomes = take::take(&app.store, &lifecycle, items, now).await;
    if let Some(Outcome::Failed(error)) = outcomes.first() {
        return Err(IngestError::Store(error.clone()));
    }
    let counts = take::counts(&outcomes);
    let body = json!({
        "accepted": counts.accepted,
        "duplicates": counts.duplicates,
        "rejected": counts.rejected,
    });
    Ok(Answer { body, counts })
}

/// Reads an event of the bus.
pub(crate) fn item<'a>(text: &'a str, delivery: &Delivery) -> Item<'a> {
    match read(text, delivery) {
        Ok(call) => Item { indexes: 0..1, raw: text.into(), call: Ok(call) },
        Err(rejection) => Item::rejected(text, rejection),
    }
}

fn read(text: &str, delivery: &Delivery) -> Result<Call, Rejection> {
    let envelope: Envelope = items::object(text).ok_or_else(|| {
        Rejection::new("invalid_json", "the event has no `detail-type`, `source` or `detail`")
    })?;
    let detail = call::object(envelope.detail.get())?;
    let is_call = detail.get("type").and_then(Json::as_str).and_then(EventKind::parse).is_some();
    let mut body = if is_call { detail } else { track(&envelope, detail, delivery.subject) };
    // The id and the time of the envelope stay the same when the bus delivers it again.
    if body.get("messageId").and_then(id_text).is_none()
        && let Some(id) = envelope.id
    {
        body.insert("messageId".to_owned(), id.into());
    }
    if crate::when::told(&body).is_none()
        && let Some(time) = envelope.time
    {
        body.insert("timestamp".to_owned(), time.into());
    }
    call::read(body, 0, delivery)
}

/// An event of another system as a `track` call that is named as the event is.
fn track(envelope: &Envelope, detail: Map<String, Json>, subject: Subject) -> Map<String, Json> {
    let first = |names: &[&str]| names.iter().find_map(|name| id_text(detail.get(*name)?));
    let customer = first(&CUSTOMER);
    let (user, account) = match subject {
        Subject::User => (first(&USER).or(customer), first(&ACCOUNT)),
        Subject::Account => (first(&USER), first(&ACCOUNT).or(customer)),
    };
    let mut body = Map::new();
    body.insert("type".to_owned(), EventKind::Track.as_str().into());
    body.insert("event".to_owned(), envelope.detail_type.as_str().into());
    if let Some(user) = user {
        body.insert("userId".to_owned(), user.into());
    }
    let mut context = Map::from_iter([("source".to_owned(), envelope.source.as_str().into())]);
    if let Some(account) = account {
        context.insert("groupId".to_owned(), account.into());
    }
    body.insert("context".to_owned(), context.into());
    body.insert("properties".to_owned(), detail.into());
    body
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::who::Who;

    fn read_detail(subject: Subject, detail: Json) -> Result<Call, Rejection> {
        let now: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
        let shared = Shared::default();
        let delivery = Delivery { subject, now, origin: "", kind: None, shared };
        let envelope = json!({
            "version": "0", "id": "e-1", "detail-type": "Invoice Paid", "source": "billing",
            "account": "123456789012", "time": "2026-01-15T10:30:00Z", "region": "eu-west-1",
            "resources": [], "detail": detail,
        });
        read(&envelope.to_string(), &delivery)
    }

    #[test]
    fn an_event_of_another_system_is_a_track_call() {
        let detail = json!({"customer_id": 7, "amount": 12.5, "type": "invoice.paid"});
        let call = read_detail(Subject::Account, detail.clone()).unwrap();
        assert_eq!(call.event.name, "Invoice Paid");
        assert_eq!(call.event.id, "e-1");
        assert_eq!(call.event.at, "2026-01-15T10:30:00Z".parse().unwrap());
        assert_eq!(call.event.body["properties"], detail);
        assert_eq!(call.who, Who::Account { account: "7".into(), user: None });
    }

    #[test]
    fn whom_it_is_about_is_found_by_the_names_in_use() {
        let who = |subject, detail| read_detail(subject, detail).unwrap().who;
        for name in ACCOUNT.into_iter().chain(CUSTOMER) {
            let both = Who::Account { account: "a".into(), user: Some("u".into()) };
            assert_eq!(who(Subject::Account, json!({name: "a", "user_id": "u"})), both);
        }
        for name in USER.into_iter().chain(CUSTOMER) {
            assert_eq!(who(Subject::User, json!({name: "u"})), Who::User("u".into()));
        }
        let rejection = read_detail(Subject::User, json!({"order": 1})).unwrap_err();
        assert_eq!(rejection.code, "missing_user");
    }

    #[test]
    fn a_tracking_call_on_the_bus_is_taken_as_it_is() {
        let detail = json!({"type": "identify", "userId": "u", "traits": {"plan": "pro"}});
        let call = read_detail(Subject::User, detail).unwrap();
        assert_eq!((call.event.kind, call.event.id.as_str()), (EventKind::Identify, "e-1"));
        let detail = json!({"type": "page", "userId": "u", "messageId": "m", "timestamp": "2026"});
        assert_eq!(read_detail(Subject::User, detail).unwrap_err().code, "invalid_timestamp");
    }
}
