//! Signed webhooks through the real router into the tables, with recorded bodies.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use platform::CustomerKey;
use platform::store::{Person, PrivacyAction, QuarantineFilter};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tests::door::{Door, Reply};
use tests::recorded;

const FEEDS: &str = "
version: 1
subject: account
traits: { subscription_status: text?, lifecyclestage: text? }
metrics:
  paid_90d: { sum: invoice_paid.amount, over: 90d }
stages:
  active: {}
feeds:
  product: { events: [login], expect_every: 1h }
  stripe: { scheme: stripe, expect_every: 2d }
  hubspot: { scheme: hubspot }
  contacts:
    scheme: standard
    map:
      - when: { type: contact.created }
        event: contact_created
        account: data.id
        time: timestamp
  deals:
    scheme: { hmac: { header: X-Crm-Signature, prefix: \"sha256=\" } }
    each: items
    map:
      - when: { kind: won }
        event: deal_won
        account: company
        user: by
        id: \"{deal}\"
        time: at
        properties: { amount: money.amount }
";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn open(now: i64, secrets: &[(&str, &str)]) -> Door {
    let door = Door::open(FEEDS, at(now)).await.unwrap();
    for (source, secret) in secrets {
        door.stack.store.add_source_secret(source, secret, at(now)).await.unwrap();
    }
    door
}

fn sign(secret: &[u8], pieces: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    pieces.iter().for_each(|piece| mac.update(piece.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

async fn stripe(door: &Door, at: i64, body: &Json) -> Reply {
    let body = body.to_string();
    let signature = domain::hex(&sign(b"whsec_s", &[&at.to_string(), ".", &body]));
    let header = format!("t={at},v1={signature}");
    door.post("/v1/webhooks/stripe", &[("Stripe-Signature", &header)], body).await
}

#[tokio::test]
async fn recorded_deliveries_of_stripe_are_taken_once() {
    let recording = recorded("webhooks/stripe_signature.json");
    let text = |vector: &Json, name: &str| vector[name].as_str().unwrap().to_owned();
    let vectors = recording["vectors"].as_array().unwrap();
    let now = vectors[0]["now"].as_i64().unwrap();
    let door = open(now, &[("stripe", &text(&vectors[0], "secret"))]).await;
    let mut is_first = true;
    for vector in vectors {
        door.stack.clock.set(Some(at(vector["now"].as_i64().unwrap())));
        let header = text(vector, "header");
        let headers = [("stripe-signature", header.as_str())];
        let reply = door.post("/v1/webhooks/stripe", &headers, text(vector, "body")).await;
        let name = text(vector, "name");
        let is_ahead = name == "timestamp 10 min in the future";
        if text(vector, "sdk_verdict") == "accept" && !is_ahead {
            let expected = if std::mem::take(&mut is_first) { [1, 0, 0] } else { [0, 1, 0] };
            assert_eq!(reply.taken(), (expected, vec![]), "{name}");
        } else if name == "wrong secret" && text(vector, "secret") != text(&vectors[0], "secret") {
            assert_eq!(reply.refused().0, 401, "{name}");
        } else {
            let (status, code) = reply.refused();
            let outside = is_ahead || name == "301 s old";
            assert_eq!((status, code == "outside_window"), (401, outside), "{name}: {code}");
        }
    }
    let customer = CustomerKey::subject("cus_123");
    assert_eq!(door.event_names(&customer).await, ["subscription_deleted"]);
    assert_eq!(door.quarantined().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_paid_counts_for_the_customer_and_again_for_nobody() {
    let now = 1_768_473_000;
    let door = open(now, &[("stripe", "whsec_s")]).await;
    let paid = json!({
        "id": "evt_1", "type": "invoice.paid", "created": now - 5,
        "data": {"object": {"id": "in_1", "customer": "cus_9", "amount_paid": 4_900, "currency": "eur"}},
    });
    assert_eq!(stripe(&door, now, &paid).await.taken(), ([1, 0, 0], vec![]));
    // Stripe tries again for three days, with another signature each time.
    door.stack.clock.set(Some(at(now + 3 * 86_400)));
    assert_eq!(stripe(&door, now + 3 * 86_400, &paid).await.taken(), ([0, 1, 0], vec![]));
    let payout = json!({"id": "evt_2", "type": "payout.paid", "created": now, "data": {}});
    assert_eq!(stripe(&door, now + 3 * 86_400, &payout).await.taken(), ([0, 0, 1], vec![]));
    assert_eq!(door.event_names(&CustomerKey::subject("cus_9")).await, ["invoice_paid"]);
}

#[tokio::test]
async fn a_fault_in_the_data_is_set_aside_and_not_the_senders() {
    let now = 1_768_473_000;
    let door = open(now, &[("stripe", "whsec_s")]).await;
    let nobody = json!({"id": "evt_1", "type": "invoice.paid", "created": now, "data": {}});
    assert_eq!(stripe(&door, now, &nobody).await.taken(), ([0, 0, 0], vec!["missing_user"]));
    let dateless = json!({
        "id": "evt_2", "type": "invoice.paid", "created": "soon",
        "data": {"object": {"customer": "cus_9"}},
    });
    let reply = stripe(&door, now, &dateless).await;
    assert_eq!(reply.taken(), ([0, 0, 0], vec!["invalid_timestamp"]));
    let signature = domain::hex(&sign(b"whsec_s", &[&now.to_string(), ".", "{"]));
    let header = format!("t={now},v1={signature}");
    let reply = door.post("/v1/webhooks/stripe", &[("stripe-signature", &header)], "{").await;
    assert_eq!(reply.taken(), ([0, 0, 0], vec!["invalid_json"]));
    assert_eq!(door.quarantined().await, ["invalid_json", "invalid_timestamp", "missing_user"]);
}

#[tokio::test]
async fn what_was_set_aside_can_be_taken_again_once_the_map_is_mended() {
    let now = 1_768_473_000;
    let door = open(now, &[("deals", "secret")]).await;
    let item = json!({"kind": "won", "deal": 3, "org": "acme", "at": now});
    let body = json!({"items": [item]}).to_string();
    let signature = format!("sha256={}", domain::hex(&sign(b"secret", &[&body])));
    let headers = [("x-crm-signature", signature.as_str())];
    let reply = door.post("/v1/webhooks/deals", &headers, body.clone()).await;
    assert_eq!(reply.taken(), ([0, 0, 0], vec!["missing_user"]));
    let mended = domain::lifecycle::load(&FEEDS.replace("company", "[company, org]")).unwrap();
    door.stack.store.remember_lifecycle(std::sync::Arc::new(mended));
    let aside = door
        .stack
        .store
        .quarantined(&QuarantineFilter::default(), 1, None)
        .await
        .unwrap()
        .items
        .remove(0)
        .raw;
    let record = json!({"messageId": "r", "eventSource": "aws:sqs", "body": aside});
    door.invoke(&json!({"Records": [record]})).await.unwrap();
    assert_eq!(door.event_names(&CustomerKey::subject("acme")).await, ["deal_won"]);
    assert_eq!(door.post("/v1/webhooks/deals", &headers, body).await.taken(), ([0, 1, 0], vec![]));
}

#[tokio::test]
async fn recorded_deliveries_of_hubspot_are_verified_over_the_public_address() {
    let recording = recorded("webhooks/hubspot_signature.json");
    let valid = &recording["vectors"][0];
    let text = |name: &str| valid[name].as_str().unwrap();
    let secret = recording["client_secret"].as_str().unwrap();
    let now = valid["now"].as_i64().unwrap();
    let door = open(now, &[("hubspot", secret)]).await;
    let timestamp = valid["timestamp_ms"].to_string();
    let headers = [
        ("host", "ingest.example.com"),
        ("x-forwarded-proto", "https"),
        ("x-hubspot-signature-v3", text("signature")),
        ("x-hubspot-request-timestamp", timestamp.as_str()),
    ];
    let path = "/v1/webhooks/hubspot?source=crm";
    assert_eq!(
        door.post(path, &headers, text("body").to_owned()).await.taken(),
        ([2, 0, 0], vec![])
    );
    assert_eq!(
        door.post(path, &headers, text("body").to_owned()).await.taken(),
        ([0, 2, 0], vec![])
    );
    for (path, changed) in [
        ("/v1/webhooks/hubspot", headers),
        (path, [("host", "other.example.com"), headers[1], headers[2], headers[3]]),
        (path, [headers[0], ("x-forwarded-proto", "http"), headers[2], headers[3]]),
    ] {
        let reply = door.post(path, &changed, text("body").to_owned()).await;
        assert_eq!(reply.refused(), (401, "wrong_signature"));
    }
    let user = CustomerKey::unlinked_user("123");
    assert_eq!(door.event_names(&user).await, ["contact_changed"]);

    // Behind API Gateway the stage is a part of the address.
    let event = |body: &str, signature: &str| {
        json!({
            "version": "2.0", "rawPath": "/prod/v1/webhooks/hubspot", "rawQueryString": "a=%40",
            "headers": {
                "host": "x.execute-api.example", "x-forwarded-proto": "https",
                "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": timestamp,
            },
            "requestContext": {"stage": "prod", "http": {"method": "POST"}},
            "body": STANDARD.encode(body), "isBase64Encoded": true,
        })
    };
    let address = "https://x.execute-api.example/prod/v1/webhooks/hubspot?a=@";
    let own = sign(secret.as_bytes(), &["POST", address, "[]", &timestamp]);
    let answer = door.invoke(&event("[]", &STANDARD.encode(own))).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
}

#[tokio::test]
async fn recorded_deliveries_of_standard_webhooks_are_known_by_their_id() {
    let recording = recorded("webhooks/standard_webhooks.json");
    let secret = recording["secret"].as_str().unwrap();
    let vectors = recording["vectors"].as_array().unwrap();
    let now = vectors[0]["now"].as_i64().unwrap();
    let door = open(now, &[("contacts", secret)]).await;
    let mut accepted = 0;
    for vector in vectors {
        door.stack.clock.set(Some(at(vector["now"].as_i64().unwrap())));
        let headers = vector["headers"].as_object().unwrap().iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = vector["body"].as_str().unwrap().to_owned();
        let reply = door.post("/v1/webhooks/contacts", &headers, body).await;
        match vector["sdk_verdict"].as_str().unwrap() {
            "accept" => accepted += reply.taken().0[0],
            _ => assert_eq!(reply.refused().0, 401, "{}", vector["name"]),
        }
    }
    assert_eq!(accepted, 1);
    let customer = CustomerKey::subject("1f81eb52-5198-4599-803e-771906343485");
    assert_eq!(door.event_names(&customer).await, ["contact_created"]);
}

#[tokio::test]
async fn a_new_crm_needs_no_code() {
    let door = open(1_768_473_000, &[("deals", "old"), ("deals", "new")]).await;
    let body = json!({"items": [
        {"kind": "won", "deal": 1, "company": "acme", "by": "ada", "at": 1_768_472_000, "money": {"amount": 900}},
        {"kind": "lost", "deal": 2, "company": "acme", "at": 1_768_472_000},
        {"kind": "won", "deal": 3, "company": "", "at": 1_768_472_000},
    ]});
    let body = body.to_string();
    for (secret, expected) in [("new", [1, 0, 1]), ("old", [0, 1, 1])] {
        let signature = format!("sha256={}", domain::hex(&sign(secret.as_bytes(), &[&body])));
        let headers = [("x-crm-signature", signature.as_str())];
        let reply = door.post("/v1/webhooks/deals", &headers, body.clone()).await;
        assert_eq!(reply.taken(), (expected, vec!["missing_user"]), "{secret}");
    }
    assert_eq!(door.event_names(&CustomerKey::subject("acme")).await, ["deal_won"]);
    let signature = format!("sha256={}", domain::hex(&sign(b"none", &[&body])));
    let headers = [("x-crm-signature", signature.as_str())];
    let reply = door.post("/v1/webhooks/deals", &headers, body).await;
    assert_eq!(reply.refused(), (401, "wrong_signature"));
}

#[tokio::test]
async fn only_a_source_that_is_declared_and_signs_gets_in() {
    let door = open(1_768_473_000, &[("product", "secret")]).await;
    let refused = async |source: &str| {
        let reply = door.post(&format!("/v1/webhooks/{source}"), &[], "{}").await;
        let (status, code) = reply.refused();
        (status, code.to_owned())
    };
    assert_eq!(refused("pipedrive").await, (404, "unknown_source".to_owned()));
    // It has no scheme: its events come with a write key.
    assert_eq!(refused("product").await, (404, "unknown_source".to_owned()));
    assert_eq!(refused("stripe").await, (401, "no_secret".to_owned()));
    door.stack.store.add_source_secret("stripe", "whsec_s", at(0)).await.unwrap();
    assert_eq!(refused("stripe").await, (401, "missing_signature".to_owned()));
    assert_eq!(door.quarantined().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_preset_with_a_secret_needs_no_declaration() {
    let source = FEEDS.split("feeds:").next().unwrap();
    let now = 1_768_473_000;
    let door = Door::open(source, at(now)).await.unwrap();
    let body = json!({"id": "evt_1", "type": "payout.paid", "created": now, "data": {}});
    assert_eq!(stripe(&door, now, &body).await.refused(), (404, "unknown_source"));
    door.stack.store.add_source_secret("stripe", "whsec_s", at(now)).await.unwrap();
    assert_eq!(stripe(&door, now, &body).await.taken(), ([0, 0, 1], vec![]));
}

#[tokio::test]
async fn at_most_two_secrets_of_a_source_are_live() {
    use platform::store::SecretOutcome::{Added, TooMany};
    let door = open(0, &[]).await;
    let store = &door.stack.store;
    for (secret, expected) in [("a", Added), ("b", Added), ("b", Added), ("c", TooMany)] {
        assert_eq!(store.add_source_secret("crm", secret, at(0)).await.unwrap(), expected);
    }
    assert_eq!(store.add_source_secret("crm2", "c", at(0)).await.unwrap(), Added);
    let listed = store.list_source_secrets().await.unwrap();
    assert_eq!(listed.len(), 3);
    assert!(!format!("{listed:?}").contains("secret: \"a\""));
    assert!(store.remove_source_secret("crm", &listed[0].id).await.unwrap());
    assert_eq!(store.add_source_secret("crm", "c", at(0)).await.unwrap(), Added);
    assert_eq!(store.source_secrets("crm").await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_workspaces_own_secret_is_none_of_a_sources() {
    let now = 1_767_225_600;
    let door = open(now, &[("stripe", "whsec_s")]).await;
    let store = &door.stack.store;
    let ids = ["u-1".to_owned()];
    let action = PrivacyAction::SuppressOnly;
    store.request_privacy(action, Person::User, &ids, at(now)).await.unwrap();
    let listed = store.list_source_secrets().await.unwrap();
    assert_eq!(listed.iter().map(|one| one.source.as_str()).collect::<Vec<_>>(), ["stripe"]);
    let reply = door.post("/v1/webhooks/hubspot", &[], "[]").await;
    assert_eq!(reply.refused(), (401, "no_secret"));
}

#[tokio::test]
async fn what_cannot_be_stored_is_asked_for_again() {
    let now = 1_768_473_000;
    let door = open(now, &[("stripe", "whsec_s")]).await;
    let paid = json!({
        "id": "evt_1", "type": "invoice.paid", "created": now,
        "data": {"object": {"customer": "cus_9"}},
    });
    let table = &door.stack.tables.events;
    door.stack.dynamodb.delete_table().table_name(table).send().await.unwrap();
    let reply = stripe(&door, now, &paid).await;
    assert_eq!(reply.refused(), (503, "not_stored"));
    assert_eq!(reply.headers["retry-after"], "5");
}

#[tokio::test]
async fn a_webhook_costs_what_an_event_does() {
    let now = 1_768_473_000;
    let door = open(now, &[("stripe", "whsec_s")]).await;
    let paid = |id: &str| {
        let object = json!({"customer": "cus_9", "amount_paid": 4_900, "currency": "eur"});
        json!({"id": id, "type": "invoice.paid", "created": now, "data": {"object": object}})
    };
    stripe(&door, now, &paid("evt_1")).await.taken();
    let meter = door.stack.store.meter();
    for (id, expected, most_written) in [("evt_2", [1, 0, 0], 2.1), ("evt_2", [0, 1, 0], 0.0)] {
        meter.reset();
        assert_eq!(stripe(&door, now, &paid(id)).await.taken().0, expected);
        let units = meter.total();
        assert!(units.write_units <= most_written && units.read_units <= 1.6, "{id}: {units:?}");
    }
}
