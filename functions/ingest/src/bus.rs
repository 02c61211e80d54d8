//! EventBridge: an event of the bus as tracking calls.
//!
//! An event whose `source` a feed claims goes through that feed's map; its item is `detail`, with the
//! `detail-type` beside. A change event of Salesforce is one item for each of its records. Any other
//! event is a tracking call by itself, or a `track` call that is named as the event is.

use std::borrow::Cow;

use domain::event::{EventKind, id_text};
use domain::feed::{self, Feed, Sender, SenderKind, presets};
use domain::lifecycle::Lifecycle;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

use crate::call::{self, Came, Delivery, Rejection};
use crate::feed::{Identity, Mapping, Part};
use crate::items::{self, Item};
use crate::take;
use crate::{Answer, App, IngestError, when};

/// The `detail-type` of an item of a webhook.
const WEBHOOK: &str = "webhook";

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
    // Each event says itself whose it is.
    let came = Came::new(Sender::new(SenderKind::Bus, ""), None);
    let delivery = app.delivery(&lifecycle, now, &origin, came).await?;
    let Mapping { items, ignored } = items(event, &lifecycle, &delivery);
    let outcomes = take::take(&app.store, &lifecycle, items, now).await;
    let failed = take::first_failure(&outcomes);
    if let Some(error) = failed {
        return Err(IngestError::Store(error.clone()));
    }
    let counts = take::counts(&outcomes);
    let mut body = json!({
        "accepted": counts.accepted,
        "duplicates": counts.duplicates,
        "rejected": counts.rejected,
    });
    if ignored > 0 {
        body["ignored"] = ignored.into();
    }
    Ok(Answer { body, counts })
}

/// The feed that events with this `source` belong to.
pub(crate) fn feed_of<'a>(lifecycle: &'a Lifecycle, source: &str) -> Option<&'a Feed> {
    let preset = || presets::named(source).or_else(|| presets::of(None, Some(source)));
    lifecycle.feed(source).or_else(|| lifecycle.feed_of(source)).or_else(preset)
}

/// An item of a webhook as an event of the bus.
pub(crate) fn enveloped(feed: &str, id: Option<&str>, item: &str) -> String {
    let (feed, id) = (json!(feed), json!(id));
    format!(r#"{{"detail-type":"{WEBHOOK}","source":{feed},"id":{id},"detail":{item}}}"#)
}

/// Whether a text is an event of the bus.
pub(crate) fn is_event(text: &str) -> bool {
    items::object::<Envelope>(text).is_some()
}

/// Reads an event of the bus.
pub(crate) fn items<'a>(text: &'a str, lifecycle: &Lifecycle, delivery: &Delivery) -> Mapping<'a> {
    match read(text, lifecycle, delivery) {
        Ok(mapping) => mapping,
        Err(rejection) => Mapping::of(Item::rejected(text, rejection, delivery)),
    }
}

fn read<'a>(
    text: &'a str,
    lifecycle: &Lifecycle,
    delivery: &Delivery,
) -> Result<Mapping<'a>, Rejection> {
    let envelope: Envelope = items::object(text).ok_or_else(|| {
        Rejection::new("invalid_json", "the event has no `detail-type`, `source` or `detail`")
    })?;
    let detail = call::object(envelope.detail.get())?;
    let has_map = |feed: &&Feed| feed.map.is_some() || envelope.detail_type == WEBHOOK;
    match feed_of(lifecycle, &envelope.source).filter(has_map) {
        Some(feed) => Ok(mapped(text, feed, envelope, detail, delivery)),
        None => {
            // What comes with a write key is its sender's, whatever it says of itself.
            let came = match delivery.came.sender.kind {
                SenderKind::WriteKey => delivery.came.clone(),
                _ => delivery.sent_by(Sender::new(SenderKind::Bus, &envelope.source)),
            };
            let call = call::read(unclaimed(envelope, detail, delivery), 0, delivery);
            Ok(Mapping::of(Item { indexes: 0..1, raw: text.into(), call, came }))
        }
    }
}

fn mapped<'a>(
    text: &'a str,
    feed: &Feed,
    envelope: Envelope,
    mut detail: Map<String, Json>,
    delivery: &Delivery,
) -> Mapping<'a> {
    let parts: Vec<Part> = match records(&detail) {
        // Each is set aside as the whole event, which can be taken again.
        Some(records) => {
            records.into_iter().map(|record| (Cow::Borrowed(text), Ok(record))).collect()
        }
        None => {
            detail.entry("detail-type").or_insert_with(|| envelope.detail_type.into());
            vec![(Cow::Borrowed(text), Ok(Json::Object(detail)))]
        }
    };
    let is_one = parts.len() == 1;
    let identity = |index: usize| Identity {
        id: envelope
            .id
            .as_ref()
            .map(|id| if is_one { id.clone() } else { format!("{id}#{index}") }),
        time: envelope.time.clone().map(Json::from),
    };
    crate::feed::map(feed, parts, identity, delivery)
}

/// The records of a change event of Salesforce, each with the header and the fields that they have
/// in common.
fn records(detail: &Map<String, Json>) -> Option<Vec<Json>> {
    let payload = detail.get("payload")?.as_object()?;
    let header = payload.get("ChangeEventHeader")?.as_object()?;
    let ids = header.get("recordIds")?.as_array()?;
    let mut fields = payload.clone();
    fields.remove("ChangeEventHeader");
    let mut header = header.clone();
    header.remove("recordIds");
    let record = |id| json!({"recordId": id, "header": header, "fields": fields});
    Some(ids.iter().map(record).collect())
}

/// An event that no feed claims.
fn unclaimed(
    envelope: Envelope,
    detail: Map<String, Json>,
    delivery: &Delivery,
) -> Map<String, Json> {
    let is_call = detail.get("type").and_then(Json::as_str).and_then(EventKind::parse).is_some();
    let mut body = match is_call {
        true => detail,
        false => {
            let mut body = feed::foreign(&envelope.detail_type, &detail, &[], delivery.subject);
            let context = body.entry("context").or_insert_with(|| Map::new().into());
            if let Some(context) = context.as_object_mut() {
                context.insert("source".to_owned(), envelope.source.into());
            }
            body
        }
    };
    // The id and the time of the envelope stay the same when the bus delivers it again.
    if body.get("messageId").and_then(id_text).is_none()
        && let Some(id) = envelope.id
    {
        body.insert("messageId".to_owned(), id.into());
    }
    if when::told(&body).is_none()
        && let Some(time) = envelope.time
    {
        body.insert("timestamp".to_owned(), time.into());
    }
    body
}

#[cfg(test)]
mod tests {
    use domain::lifecycle::{Subject, load};
    use jiff::Timestamp;

    use super::*;
    use crate::call::Call;
    use crate::who::Who;

    fn lifecycle(feeds: &str) -> Lifecycle {
        load(&format!("version: 1\nstages: {{ a: {{}} }}\n{feeds}")).unwrap()
    }

    fn read_from(source: &str, feeds: &str, subject: Subject, detail: Json) -> Mapping<'static> {
        let now: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
        let came = Came::new(Sender::new(SenderKind::Bus, ""), None).into();
        let origin = "";
        let delivery =
            Delivery { subject, now, oldest: None, origin, kind: None, came, shield: None };
        let envelope = json!({
            "version": "0", "id": "e-1", "detail-type": "Invoice Paid", "source": source,
            "account": "123456789012", "time": "2026-01-15T10:30:00Z", "region": "eu-west-1",
            "resources": [], "detail": detail,
        });
        items(envelope.to_string().leak(), &lifecycle(feeds), &delivery)
    }

    fn read_detail(subject: Subject, detail: Json) -> Result<Call, Rejection> {
        read_from("billing", "", subject, detail).items.remove(0).call
    }

    fn calls(mapping: Mapping) -> Vec<(String, String, Who)> {
        let calls = mapping.items.into_iter().map(|item| item.call.unwrap());
        calls.map(|call| (call.event.name, call.event.id, call.who)).collect()
    }

    #[test]
    fn a_change_of_several_records_is_an_event_of_each() {
        let header = json!({
            "entityName": "Account", "changeType": "UPDATE", "recordIds": ["001A", "001B"],
            "changedFields": ["Fax"], "commitTimestamp": 1_768_472_998_000_i64,
            "transactionKey": "tx", "sequenceNumber": 1,
        });
        let detail = json!({"payload": {"Fax": "1", "ChangeEventHeader": header}});
        let source = "aws.partner/salesforce.com/00D/0YL";
        let found = calls(read_from(source, "", Subject::Account, detail));
        let of = |id: &str| {
            let who = Who::Account { account: id.to_owned(), user: None };
            ("account_changed".to_owned(), format!("salesforce:tx-1-{id}"), who)
        };
        assert_eq!(found, [of("001A"), of("001B")]);
    }

    #[test]
    fn a_gap_says_that_something_changed_and_tells_no_fact() {
        let header = json!({
            "entityName": "Account", "changeType": "GAP_UPDATE", "recordIds": ["001A"],
            "transactionKey": "tx", "sequenceNumber": 1,
        });
        let detail = json!({"payload": {"ChangeEventHeader": header}});
        let source = "aws.partner/salesforce.com/00D/0YL";
        let mapping = read_from(source, "", Subject::Account, detail);
        let event = mapping.items.into_iter().next().unwrap().call.unwrap().event;
        assert_eq!((event.name.as_str(), event.traits()), ("account_gap", None));
        // Without a time of its own it happened when the envelope says.
        assert_eq!(event.at, "2026-01-15T10:30:00Z".parse().unwrap());
    }

    #[test]
    fn an_event_of_a_partner_is_mapped_as_its_webhook_is() {
        let detail = json!({
            "id": "evt_1", "type": "customer.subscription.deleted", "created": 1_768_472_998,
            "data": {"object": {"id": "sub_1", "customer": "cus_1", "status": "canceled"}},
        });
        let source = "aws.partner/stripe.com/ed_test";
        let found = calls(read_from(source, "", Subject::User, detail.clone()));
        let who = Who::User("cus_1".to_owned());
        let expected = ("subscription_deleted".to_owned(), "stripe:evt_1".to_owned(), who);
        assert_eq!(found, [expected]);
        let other = json!({"id": "evt_2", "type": "payout.paid"});
        let mapping = read_from(source, "", Subject::User, other);
        assert_eq!((mapping.items.len(), mapping.ignored), (0, 1));
    }

    #[test]
    fn a_feed_of_the_file_maps_the_events_of_its_source() {
        let feeds = "feeds: { shop: { source: com.shop, map: [{ when: { detail-type: Invoice Paid }, event: paid, customer: who }] } }";
        let found = calls(read_from("com.shop.eu", feeds, Subject::User, json!({"who": 7})));
        let expected = ("paid".to_owned(), "shop:e-1".to_owned(), Who::User("7".to_owned()));
        assert_eq!(found, [expected]);
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
        for name in ["groupId", "account_id", "accountId", "customer_id", "customerId"] {
            let both = Who::Account { account: "a".into(), user: Some("u".into()) };
            assert_eq!(who(Subject::Account, json!({name: "a", "user_id": "u"})), both);
        }
        for name in ["userId", "user_id", "customer_id", "customerId"] {
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
