use serde_json::json;

use super::*;
use crate::lifecycle::map_of;

fn feed(map: &str) -> Feed {
    Feed {
        name: "crm".to_owned(),
        scheme: None,
        source: None,
        each: None,
        map: Some(map_of(map)),
        events: Vec::new(),
        expect_every: None,
    }
}

#[track_caller]
fn mapped(feed: &Feed, item: Json, expected: Json) {
    let found = match feed.call(&item, Subject::Account) {
        Mapped::Call(call) => Json::Object(call),
        Mapped::Ignored => Json::Null,
    };
    assert_eq!(found, expected);
}

#[test]
fn a_rule_says_where_everything_is() {
    let crm = feed(
        "
- when: { type: deal.won, data.live: true }
  event: deal_won
  user: data.by
  account: [data.missing, data.company.0.id]
  id: \"d-{id}\"
  time: at
  properties: { amount: data.amount in data.currency, stage: data.stage }
  traits: { \"{data.key}\": data.value }
",
    );
    let item = json!({
        "type": "deal.won", "id": 7, "at": 1_768_473_000,
        "data": {"live": true, "by": "ada", "company": [{"id": "acme"}], "amount": 1250,
                 "currency": "eur", "key": "tier", "value": "gold", "stage": null},
    });
    mapped(
        &crm,
        item,
        json!({
            "type": "track", "event": "deal_won", "userId": "ada", "messageId": "d-7",
            "timestamp": "2026-01-15T10:30:00Z", "context": {"source": "crm", "groupId": "acme"},
            "properties": {"amount": 12.5}, "traits": {"tier": "gold"},
        }),
    );
    mapped(&crm, json!({"type": "deal.won", "data": {"live": false}}), Json::Null);
    mapped(&crm, json!(["deal.won"]), Json::Null);
}

#[test]
fn the_first_rule_that_matches_wins() {
    let crm = feed(
        "
- { when: { type: [a, b] }, event: first, customer: id }
- { when: { type: b }, event: second, customer: id }
- { event: \"other_{type}\", customer: id }
",
    );
    let name = |kind: &str| match crm.call(&json!({"type": kind, "id": "x"}), Subject::User) {
        Mapped::Call(call) => call.get("event").and_then(Json::as_str).map(str::to_owned),
        Mapped::Ignored => None,
    };
    assert_eq!(name("b").as_deref(), Some("first"));
    assert_eq!(name("deal.lost-1").as_deref(), Some("other_deal_lost_1"));
    // A name of which a part is missing is none; the call is refused where calls are read.
    assert_eq!(name(""), None);
}

#[test]
fn a_customer_is_whatever_the_lifecycle_says() {
    let crm = feed("- { event: seen, customer: who }");
    let of = |subject| match crm.call(&json!({"who": 7}), subject) {
        Mapped::Call(call) => {
            (call.get("userId").cloned(), call["context"].get("groupId").cloned())
        }
        Mapped::Ignored => panic!("it is mapped"),
    };
    assert_eq!(of(Subject::User), (Some("7".into()), None));
    assert_eq!(of(Subject::Account), (None, Some("7".into())));
    let crm = feed("- { event: seen, account: who }");
    assert_eq!(crm.call(&json!({"who": 7}), Subject::User), Mapped::Ignored);
}

#[test]
fn traits_alone_are_told_by_a_group_or_an_identify_call() {
    let crm = feed(
        "
- { when: { is: company }, account: id, traits: fields }
- { user: id, traits: fields }
",
    );
    let company = json!({"is": "company", "id": "acme", "fields": {"plan": "pro"}});
    mapped(
        &crm,
        company,
        json!({
            "type": "group", "groupId": "acme", "context": {"source": "crm"},
            "traits": {"plan": "pro"},
        }),
    );
    mapped(
        &crm,
        json!({"id": "ada", "fields": 7}),
        json!({"type": "identify", "userId": "ada", "context": {"source": "crm"}}),
    );
}

#[test]
fn instants_are_seconds_milliseconds_or_dates() {
    let crm = feed("- { event: seen, user: id, time: at }");
    for (told, expected) in [
        (json!(1_768_473_000), json!("2026-01-15T10:30:00Z")),
        (json!(1_768_473_000_123_i64), json!("2026-01-15T10:30:00.123Z")),
        (json!("1768473000"), json!("2026-01-15T10:30:00Z")),
        (json!(1_768_473_000.7), json!("2026-01-15T10:30:00Z")),
        (json!("2026-01-15T10:30:00+01:00"), json!("2026-01-15T10:30:00+01:00")),
        (json!("soon"), json!("soon")),
        (json!(i64::MAX), json!(i64::MAX)),
    ] {
        let Mapped::Call(call) = crm.call(&json!({"id": "u", "at": told}), Subject::User) else {
            panic!("it is mapped");
        };
        assert_eq!(call["timestamp"], expected);
    }
}

#[test]
fn money_is_told_in_whole_units_of_its_currency() {
    let amount = Source::parse("a in c").unwrap();
    let read = |amount_: Json, currency: &str| {
        let item = json!({"a": amount_, "c": currency});
        amount.read(&item).map(std::borrow::Cow::into_owned)
    };
    assert_eq!(read(json!(4_999), "usd"), Some(json!(49.99)));
    assert_eq!(read(json!(5_000), "JPY"), Some(json!(5_000.0)));
    assert_eq!(read(json!("1500"), "kwd"), Some(json!(1.5)));
    assert_eq!(read(json!(null), "usd"), None);
}

#[test]
fn the_items_of_a_body_are_its_list_or_itself() {
    let mut crm = feed("- { event: seen, user: id }");
    assert_eq!(crm.items(&json!([1, 2])).len(), 2);
    assert_eq!(crm.items(&json!({"id": 1})).len(), 1);
    crm.each = Some(Path::parse("results").unwrap());
    assert_eq!(crm.items(&json!({"results": [1, 2, 3]})).len(), 3);
    assert_eq!(crm.items(&json!({"id": 1})).len(), 0);
}

#[test]
fn a_source_is_claimed_as_a_whole_or_up_to_a_boundary() {
    let claims = |own: &str, source: &str| {
        Feed { source: Some(own.to_owned()), ..feed("- { event: e, user: u }") }.claims(source)
    };
    assert_eq!(claims("aws.partner/x", "aws.partner/x"), Some(13));
    assert_eq!(claims("aws.partner/x", "aws.partner/x/y"), Some(13));
    assert_eq!(claims("aws.partner/x", "aws.partner/xy"), None);
    assert_eq!(claims("https://", "https://crm.example.com"), Some(8));
    assert_eq!(feed("- { event: e, user: u }").claims("crm"), Some(3));
}

#[test]
fn without_a_map_an_item_is_a_call_or_an_event_by_its_type() {
    let plain = Feed { map: None, ..feed("- { event: e, user: u }") };
    let call = json!({"type": "track", "event": "login", "userId": "ada"});
    mapped(&plain, call.clone(), call);
    let item = json!({
        "type": "contact.created", "id": "1", "timestamp": "2026-01-15T10:29:58Z",
        "data": {"user_id": "ada", "accountId": "acme", "plan": "pro"},
    });
    mapped(
        &plain,
        item,
        json!({
            "type": "track", "event": "contact.created", "userId": "ada", "messageId": "1",
            "timestamp": "2026-01-15T10:29:58Z", "context": {"groupId": "acme"},
            "properties": {"user_id": "ada", "accountId": "acme", "plan": "pro"},
        }),
    );
}

#[test]
fn stripe_hubspot_and_salesforce_need_no_map() {
    let stripe = presets::named("stripe").unwrap();
    let paid = json!({
        "id": "evt_1", "type": "invoice.paid", "created": 1_768_473_000,
        "data": {"object": {"id": "in_1", "customer": "cus_9", "amount_paid": 4_900,
                            "currency": "eur", "billing_reason": "subscription_cycle"}},
    });
    mapped(
        stripe,
        paid,
        json!({
            "type": "track", "event": "invoice_paid", "messageId": "evt_1",
            "timestamp": "2026-01-15T10:30:00Z",
            "context": {"source": "stripe", "groupId": "cus_9"},
            "properties": {"amount": 49.0, "currency": "eur", "invoice": "in_1",
                           "reason": "subscription_cycle"},
        }),
    );
    mapped(stripe, json!({"type": "payout.paid"}), Json::Null);
    let hubspot = presets::named("hubspot").unwrap();
    let changed = json!({
        "eventId": 1, "subscriptionId": 2, "portalId": 3, "occurredAt": 1_768_473_000_000_i64,
        "subscriptionType": "contact.propertyChange", "objectId": 123,
        "propertyName": "lifecyclestage", "propertyValue": "customer", "changeSource": "CRM_UI",
    });
    mapped(
        hubspot,
        changed,
        json!({
            "type": "track", "event": "contact_changed", "userId": "123",
            "messageId": "3-2-123-1-1768473000000", "timestamp": "2026-01-15T10:30:00Z",
            "context": {"source": "hubspot"}, "traits": {"lifecyclestage": "customer"},
            "properties": {"property": "lifecyclestage", "value": "customer", "by": "CRM_UI"},
        }),
    );
    for preset in presets::all() {
        assert!(!preset.events.is_empty(), "{}", preset.name);
        for rule in preset.map.iter().flatten() {
            assert!(rule.id.is_some() && rule.time.is_some(), "{}", preset.name);
        }
    }
    assert_eq!(presets::of(Some(&Scheme::Stripe), None).unwrap().name, "stripe");
    let salesforce = "aws.partner/salesforce.com/00D/0YL";
    assert_eq!(presets::of(None, Some(salesforce)).unwrap().name, "salesforce");
    assert_eq!(presets::of(Some(&Scheme::Standard), None), None);
}

#[test]
fn paths_and_texts_are_told_apart_from_what_is_none() {
    for text in ["", ".", "a..b", "a b", "a.{b}", &"a.".repeat(20), &"a".repeat(201)] {
        assert!(Path::parse(text).is_err(), "{text}");
    }
    for text in ["", "{", "}", "{}", "a}b{", "{a}{", "{a b}"] {
        assert!(Text::parse(text).is_err(), "{text}");
    }
    assert_eq!(Text::parse("a").unwrap().written(), Some("a"));
    assert_eq!(Text::parse("{a}").unwrap().written(), None);
    for text in ["{nonce}.{body}", "{timestamp}", "", "body}"] {
        assert!(Piece::parse_all(text).is_err(), "{text}");
    }
    let pieces = [Piece::Id, Piece::Written(".".into()), Piece::Timestamp, Piece::Body];
    assert_eq!(Piece::parse_all("{id}.{timestamp}{body}").unwrap(), pieces);
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            ".{0,6}".prop_map(Json::from),
        ];
        let key = prop_oneof![
            Just("type".to_owned()),
            Just("data".to_owned()),
            Just("object".to_owned()),
            Just("customer".to_owned()),
            Just("created".to_owned()),
            ".{0,4}",
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(key.clone(), inner, 0..5)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_item_makes_a_map_fail(item in any_json(), word in "[a-z.]{0,30}") {
            let mut item = item;
            if let Some(members) = item.as_object_mut() {
                members.insert("type".to_owned(), word.into());
            }
            let everything = feed("- { event: \"x_{type}\", customer: data.object, id: id, time: created, properties: data, traits: { \"{type}\": data } }");
            let plain = Feed { map: None, ..everything.clone() };
            for feed in presets::all().into_iter().chain([&everything, &plain]) {
                for subject in [Subject::User, Subject::Account] {
                    for item in feed.items(&item) {
                        let _ = feed.call(item, subject);
                    }
                }
            }
        }

        #[test]
        fn no_text_makes_the_readers_of_paths_fail(text in ".{0,40}") {
            let _ = (Path::parse(&text), Text::parse(&text), Source::parse(&text), Piece::parse_all(&text));
        }
    }
}

#[test]
fn what_the_presets_propose_of_feeds_is_good() {
    for preset in crate::lifecycle::presets::PRESETS {
        let proposed = preset.source.replace("# feeds:", "feeds:");
        let lines = proposed.lines().map(|line| match line.contains("expect_every") {
            true => line.replacen('#', " ", 1),
            false => line.to_owned(),
        });
        let lifecycle = crate::lifecycle::load(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        let feed = lifecycle.feeds.first().unwrap();
        assert!(feed.expect_every.is_some() && !feed.events.is_empty());
        let depends = lifecycle
            .stages
            .iter()
            .any(|stage| !lifecycle.feeds_of_rule(&format!("stages.{}", stage.name)).is_empty());
        assert!(depends);
    }
}
