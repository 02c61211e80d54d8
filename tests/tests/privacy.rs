//! Erasing, suppressing and exporting: nothing of a person is left anywhere, and every decision is.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use jiff::Timestamp;
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::handoff::{Handoff, Queues};
use platform::store::{Person, PrivacyAction, PrivacyState};
use platform::sweep::{
    SweepAnswer, SweepEvent, SweepKind, TicketBatch, TicketMessage, TicketQueue,
};
use platform::{CustomerKey, Store};
use serde_json::{Value as Json, json};
use tests::crash::{Crash, Side};
use tests::queue::LocalQueue;
use tower::ServiceExt as _;

const FILE: &str = r#"
version: 1
subject: account
traits:
  name: text?
  plan: [trial, team]
  csm: email?
  phone: text?
metrics:
  logins_7d: { count: login, over: 7d }
  spend: { sum: order.amount }
segments:
  paying: has(traits.csm) && traits.plan == "team"
stages:
  paying: { enter: { when: { all: [ has(traits.csm), traits.plan == "team" ] }, priority: 20 } }
  quiet: { enter: { when: metrics.logins_7d == 0, priority: 10 } }
standards:
  phone_known: { required: [traits.phone], only_if: segment.paying, severity: high, owner: rev_ops }
  loud: { silence: { events: [call], limit: 1h }, severity: low, owner: rev_ops }
alerts:
  routes: [ { to: team } ]
  receivers:
    team: { sns: team, format: [email] }
"#;

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

struct World {
    pack: Pack,
    api: Router,
    door: Router,
    tables: aws_sdk_dynamodb::Client,
}

impl World {
    async fn new() -> World {
        World::of(FILE).await
    }

    async fn of(file: &str) -> World {
        let pack = Pack::open(None, LocalClock::manual(now())).await.unwrap();
        pack.apply(file).await.unwrap().unwrap();
        pack.store.add_write_key("dev", "tests", now()).await.unwrap();
        let api = console::router(Arc::clone(&pack.console));
        let door = ingest::router(Arc::clone(&pack.ingest));
        let tables = lifecycle::embedded::engine::dynamodb_at(pack.dynamodb_endpoint());
        World { pack, api, door, tables }
    }

    fn store(&self) -> &Store {
        &self.pack.store
    }

    async fn ask(&self, method: Method, path: &str, body: Json) -> (StatusCode, Json) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(body.to_string())).unwrap();
        answer(self.api.clone().oneshot(request).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Json) {
        self.ask(Method::GET, path, Json::Null).await
    }

    async fn post(&self, path: &str, body: Json) -> (StatusCode, Json) {
        self.ask_as_json(Method::POST, path, body).await
    }

    async fn ask_as_json(&self, method: Method, path: &str, body: Json) -> (StatusCode, Json) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        answer(self.api.clone().oneshot(request).await.unwrap()).await
    }

    async fn request(&self, action: &str, subject: &str, ids: &[&str]) -> Json {
        let body = json!({"type": action, "subject": subject, "ids": ids});
        let (status, answer) = self.ask(Method::POST, "/api/privacy/requests", body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer
    }

    async fn send(&self, calls: &[Json]) -> Json {
        let request = Request::post("/v1/batch").header("authorization", "Bearer dev");
        let request = request.body(Body::from(json!({"batch": calls}).to_string())).unwrap();
        let (status, body) = answer(self.door.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    async fn decide(&self, run: &str) {
        for function in SweepFunction::ALL {
            self.pack.run(function, run, now(), SweepKind::All).await.unwrap();
        }
        self.pack.tell().await.unwrap();
    }

    /// Every item of every table as text, with what is packed and compressed unpacked.
    async fn dump(&self) -> String {
        let mut dump = String::new();
        for table in ["events", "customers", "journal", "control"] {
            let scan = self.tables.scan().table_name(format!("lifecycle-{table}"));
            for item in scan.send().await.unwrap().items() {
                for (name, value) in item {
                    let text = match value {
                        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
                        AttributeValue::Ss(texts) => texts.join(" "),
                        AttributeValue::B(bytes) => {
                            let bytes = bytes.as_ref();
                            let grown = platform::codec::grow(bytes);
                            let bytes = grown.unwrap_or_else(|_| bytes.to_vec());
                            String::from_utf8_lossy(&bytes).into_owned()
                        }
                        _ => String::new(),
                    };
                    dump.push_str(&format!("{table} {name} {text}\n"));
                }
            }
        }
        dump
    }

    /// Journals that are left: their keys, and whether each verifies.
    async fn journals(&self) -> Vec<(String, Vec<domain::journal::JournalEntry>)> {
        let scan = self.tables.scan().table_name("lifecycle-journal").send().await.unwrap();
        let keys: BTreeSet<String> =
            scan.items().iter().map(|item| item["pk"].as_s().unwrap().clone()).collect();
        let mut journals = Vec::new();
        for key in keys {
            let page = self.store().journal(&CustomerKey::stored(&key), 1_000, None).await;
            let mut entries = page.unwrap().items;
            entries.reverse();
            assert_eq!(domain::audit::first_break(&entries), None, "{key}");
            journals.push((key, entries));
        }
        journals
    }
}

async fn answer(answer: axum::response::Response) -> (StatusCode, Json) {
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, serde_json::from_slice(&body).unwrap_or_default())
}

fn call(kind: &str, id: &str, more: Json) -> Json {
    let mut call = json!({"type": kind, "messageId": id, "timestamp": "2026-11-21T05:00:00Z"});
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

fn login(user: &str, id: &str) -> Json {
    call("track", id, json!({"event": "login", "userId": user}))
}

/// Two accounts, of which one has two users and an anonymous past.
fn history() -> Vec<Json> {
    let traits = json!({"name": "Acme Ltd", "plan": "team", "csm": "kim@vendor.test"});
    vec![
        call(
            "group",
            "1",
            json!({"userId": "ada@acme.test", "groupId": "acme-77", "traits": traits}),
        ),
        call("identify", "2", json!({"userId": "ada@acme.test", "traits": {"phone": "+4930555"}})),
        call("alias", "3", json!({"previousId": "anon-4711", "userId": "ada@acme.test"})),
        login("anon-4711", "4"),
        login("ada@acme.test", "5"),
        call("group", "6", json!({"userId": "ben@acme.test", "groupId": "acme-77"})),
        login("ben@acme.test", "7"),
        call("group", "8", json!({"userId": "eve@other.test", "groupId": "globex-9"})),
        // Set aside, each naming somebody.
        json!({"type": "track", "userId": "ada@acme.test", "messageId": "9"}),
        json!({"type": "track", "anonymousId": "anon-4711", "messageId": "10"}),
        json!({"type": "group", "groupId": "", "traits": {"account": "acme-77"}}),
        json!({"type": "track", "userId": "ben@acme.test", "messageId": "11"}),
        // Without a time of its own: its id is remembered.
        json!({"type": "track", "event": "login", "userId": "ada@acme.test", "messageId": "untimed-1"}),
        // From the future: it leaves a signpost.
        json!({"type": "track", "event": "login", "userId": "ada@acme.test", "messageId": "ahead-1",
            "timestamp": "2026-11-22T09:00:00Z"}),
    ]
}

#[tokio::test]
async fn nothing_of_an_erased_account_is_left_and_its_decisions_verify() {
    let world = World::new().await;
    world.send(&history()).await;
    world.decide("one").await;
    let before = world.journals().await;
    let of_acme = &before.iter().find(|(key, _)| key == "acme-77").unwrap().1;
    assert!(of_acme.len() >= 2, "{of_acme:?}");
    assert!(world.dump().await.contains("acme-77"));

    let asked = world.request("DELETE_ONLY", "account", &["acme-77"]).await;
    assert_eq!((&asked["state"], &asked["done"]), (&json!("FINISHED"), &json!(1)));
    let dump = world.dump().await;
    for held in ["acme-77", "Acme Ltd", "+4930555", "untimed-1", "ahead-1"] {
        assert!(!dump.contains(held), "{held} is left: {dump}");
    }
    // The other account is as it was.
    assert!(dump.contains("globex-9"));
    assert_eq!(world.get("/api/customers/acme-77").await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/api/customers/globex-9").await.0, StatusCode::OK);

    // Not a byte of a decision changed; only where it is kept.
    let after = world.journals().await;
    let (grave, kept) = after.iter().find(|(key, _)| key.starts_with("erased:")).unwrap();
    assert_eq!(kept, of_acme);
    assert!(!grave.contains("acme"));
    let published = world.pack.sns.published().len();
    world.decide("two").await;
    assert_eq!(world.pack.sns.published().len(), published, "no decision is told again");
    assert_eq!(world.get("/api/findings").await.1["items"].as_array().unwrap().len(), 1);

    // Who comes back is new.
    world.send(&history()[..1]).await;
    world.decide("three").await;
    let (_, customer) = world.get("/api/customers/acme-77").await;
    assert_eq!(
        (&customer["stage"]["name"], &customer["previous_stage"]),
        (&json!("paying"), &Json::Null)
    );
    world.journals().await;
}

#[tokio::test]
async fn an_erased_user_takes_only_what_is_theirs_out_of_the_account() {
    let world = World::new().await;
    world.send(&history()).await;
    world.decide("one").await;
    let before = world.get("/api/customers/acme-77").await.1;
    assert_eq!(
        (&before["metrics"]["logins_7d"], &before["traits"]["phone"]),
        (&json!(5), &json!("+4930555"))
    );

    world.request("DELETE_ONLY", "user", &["ada@acme.test"]).await;
    let dump = world.dump().await;
    for held in ["ada@acme.test", "anon-4711", "+4930555", "untimed-1", "ahead-1"] {
        assert!(!dump.contains(held), "{held} is left: {dump}");
    }
    assert!(dump.contains("ben@acme.test"));
    let after = world.get("/api/customers/acme-77").await.1;
    assert_eq!(after["metrics"]["logins_7d"], 1, "{after}");
    // What the user told of the account is the account's.
    let traits = json!({"name": "Acme Ltd", "plan": "team", "csm": "kim@vendor.test"});
    assert_eq!(after["traits"], traits);
    assert_eq!(after["stage"], before["stage"]);
    world.journals().await;
}

#[tokio::test]
async fn where_users_are_customers_the_person_goes_with_every_id() {
    let world = World::of(&FILE.replace("subject: account", "subject: user")).await;
    let told = json!({"plan": "team", "csm": "kim@vendor.test"});
    world
        .send(&[
            login("anon-4711", "1"),
            call("identify", "2", json!({"userId": "ada@acme.test", "traits": told})),
            call("alias", "3", json!({"previousId": "anon-4711", "userId": "ada@acme.test"})),
            login("eve@other.test", "4"),
        ])
        .await;
    world.decide("one").await;
    world.request("DELETE_ONLY", "user", &["anon-4711"]).await;
    let dump = world.dump().await;
    for held in ["ada@acme.test", "anon-4711"] {
        assert!(!dump.contains(held), "{held} is left: {dump}");
    }
    assert!(dump.contains("eve@other.test"));
    world.journals().await;
    let wrong = json!({"type": "DELETE_ONLY", "subject": "account", "ids": ["a"]});
    let (status, problem) = world.ask(Method::POST, "/api/privacy/requests", wrong).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_subject")));
}

#[tokio::test]
async fn journals_that_begin_alike_are_kept_apart_when_their_customers_are_erased() {
    let world = World::of(&FILE.replace("subject: account", "subject: user")).await;
    let told = |user: &str| call("identify", user, json!({"userId": user, "traits": {}}));
    world.send(&[told("ada@acme.test"), told("ben@acme.test")]).await;
    world.decide("one").await;
    let before = world.journals().await;
    let of = |key: &str| before.iter().find(|(at, _)| at == key).unwrap().1.clone();
    assert_eq!(of("ada@acme.test"), of("ben@acme.test"), "nothing tells them apart");

    world.request("DELETE_ONLY", "user", &["ada@acme.test", "ben@acme.test"]).await;
    // The daily root is a journal of nobody's.
    let kept = world.journals().await.into_iter().filter(|(key, _)| key != "audit:roots");
    let kept: Vec<_> = kept.map(|(_, entries)| entries).collect();
    assert_eq!(kept, [of("ada@acme.test"), of("ben@acme.test")]);
    assert!(!world.dump().await.contains("@acme.test"));
}

#[tokio::test]
async fn who_is_suppressed_is_turned_away_with_200_until_let_in_again() {
    let world = World::new().await;
    world.send(&history()).await;
    world.request("SUPPRESS_WITH_DELETE", "user", &["ben@acme.test"]).await;
    let calls = [login("ben@acme.test", "20"), login("ada@acme.test", "21")];
    let reply = world.send(&calls).await;
    let expected = json!({"success": true, "accepted": 1, "duplicates": 0, "rejected": []});
    assert_eq!(reply, expected);
    let by_alias = call("alias", "22", json!({"previousId": "ben@acme.test", "userId": "b2"}));
    world.send(&[by_alias]).await;
    assert!(!world.dump().await.contains("ben@acme.test"));

    // An account: whether a call names it, or its user is known to belong to it.
    world.request("SUPPRESS_ONLY", "account", &["acme-77"]).await;
    let named = call("group", "23", json!({"userId": "new@acme.test", "groupId": "acme-77"}));
    let reply =
        world.send(&[login("ada@acme.test", "24"), named, login("eve@other.test", "25")]).await;
    assert_eq!(reply, expected);
    assert!(!world.dump().await.contains("new@acme.test"));

    world.request("UNSUPPRESS", "account", &["acme-77"]).await;
    world.request("UNSUPPRESS", "user", &["ben@acme.test"]).await;
    let reply = world.send(&[login("ada@acme.test", "26"), login("ben@acme.test", "27")]).await;
    assert_eq!(reply["accepted"], 2);
    let (_, listed) = world.get("/api/privacy/requests?limit=2").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(listed["next_cursor"].is_string());
}

#[tokio::test]
async fn the_check_at_the_door_costs_no_read_of_its_own() {
    let world = World::new().await;
    world.send(&history()).await;
    world.request("SUPPRESS_ONLY", "user", &["somebody"]).await;
    world.send(&[login("ada@acme.test", "30")]).await;
    world.pack.ingest.store.meter().reset();
    for id in 31..41 {
        world.send(&[login("ada@acme.test", &id.to_string())]).await;
    }
    let units = world.pack.ingest.store.meter().total();
    assert!(units.write_units <= 21.0 && units.read_units <= 16.0, "{units:?}");
}

#[tokio::test]
async fn a_request_says_what_is_wrong_with_it() {
    let world = World::new().await;
    let many: Vec<String> = (0..5_001).map(|id| id.to_string()).collect();
    for (body, code) in [
        (json!(7), "invalid_request"),
        (json!({"type": "DELETE", "subject": "user", "ids": ["a"]}), "invalid_request"),
        (json!({"type": "DELETE_ONLY", "ids": ["a"]}), "invalid_request"),
        (json!({"type": "DELETE_ONLY", "subject": "user", "ids": []}), "invalid_ids"),
        (json!({"type": "DELETE_ONLY", "subject": "user", "ids": [""]}), "invalid_ids"),
        (json!({"type": "DELETE_ONLY", "subject": "user", "ids": [{}]}), "invalid_request"),
        (json!({"type": "DELETE_ONLY", "subject": "user", "ids": many}), "invalid_ids"),
    ] {
        let (status, problem) = world.ask(Method::POST, "/api/privacy/requests", body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)));
    }
    let (status, problem) = world.get("/api/privacy/requests/none").await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("request_not_found")));
    let numbers = json!({"type": "SUPPRESS_ONLY", "subject": "user", "ids": [7, "7", "8"]});
    let (_, asked) = world.ask(Method::POST, "/api/privacy/requests", numbers).await;
    assert_eq!((&asked["ids"], &asked["state"]), (&json!(2), &json!("FINISHED")));
    let path = format!("/api/privacy/requests/{}", asked["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.1, asked);
}

#[tokio::test]
async fn everything_held_about_an_id_is_exported_and_after_erasing_nothing() {
    let world = World::new().await;
    world.send(&history()).await;
    world.decide("one").await;
    let (status, user) = world.get("/api/privacy/export/ada%40acme.test").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(user["ids"], json!(["ada@acme.test", "anon-4711"]));
    assert_eq!(user["accounts"], json!(["acme-77"]));
    let ids: Vec<&str> = user["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 7, "{ids:?}");
    assert_eq!(user["quarantine"].as_array().unwrap().len(), 2);

    let (_, account) = world.get("/api/privacy/export/acme-77").await;
    assert_eq!(account["customers"][0]["traits"]["name"]["value"], "Acme Ltd");
    assert_eq!(account["events"].as_array().unwrap().len(), 9);
    assert!(account["journal"].as_array().unwrap().len() >= 2);
    assert!(!account["findings"].as_array().unwrap().is_empty());
    let sent = account["sent"].as_array().unwrap();
    assert_eq!((&sent[0]["customer"], &sent[0]["topic"]), (&json!("acme-77"), &json!("team")));
    assert_eq!(account["alerts"], json!([]), "what is told at once is no alert of a group");

    world.request("DELETE_ONLY", "account", &["acme-77"]).await;
    world.request("DELETE_ONLY", "user", &["ada@acme.test"]).await;
    for id in ["acme-77", "ada%40acme.test"] {
        let (status, problem) = world.get(&format!("/api/privacy/export/{id}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    }
}

#[tokio::test]
async fn alerts_messages_and_silences_that_name_somebody_are_exported_and_erased() {
    let grouped =
        "alerts:\n  group_by: [standard]\n  group_wait: 30s\n  group_interval: 5m\n  routes:";
    let world = World::of(&FILE.replace("alerts:\n  routes:", grouped)).await;
    world.send(&history()).await;
    world.decide("one").await;
    let silence = |value: &str, more: Json| {
        let mut matchers =
            vec![json!({"label": "customer", "values": value.split(',').collect::<Vec<_>>()})];
        matchers.extend(more.as_array().unwrap().clone());
        json!({"matchers": matchers, "author": "kim", "reason": "known",
            "ends_at": "2026-11-30T00:00:00Z"})
    };
    for body in [
        silence("acme-77", json!([{"label": "standard", "values": ["loud"]}])),
        silence("acme-77,globex-9", json!([])),
        silence("globex-9", json!([])),
    ] {
        let (status, answer) = world.post("/api/silences", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let (_, held) = world.get("/api/privacy/export/acme-77").await;
    let alerts = held["alerts"].as_array().unwrap();
    assert!(!alerts.is_empty(), "{held}");
    let is_named = |alert: &Json| {
        alert["customer"] == "acme-77" && alert["name"] == "Acme Ltd" && alert["firing"] == true
    };
    assert!(alerts.iter().any(is_named), "{alerts:?}");
    assert_eq!((&held["notifications"], &held["waiting"]), (&json!([]), &json!([])));
    assert_eq!(held["silences"].as_array().unwrap().len(), 2);

    // Silences end; people hear of it, and what they were sent is told.
    for silence in world.get("/api/silences").await.1["items"].as_array().unwrap() {
        let path = format!("/api/silences/{}", silence["id"].as_str().unwrap());
        let (status, answer) =
            world.ask_as_json(Method::DELETE, &path, json!({"author": "kim"})).await;
        assert!(status.is_success(), "{answer}");
    }
    world.pack.clock.set(Some(now() + jiff::SignedDuration::from_mins(10)));
    world.pack.tick().await.unwrap();
    let (_, held) = world.get("/api/privacy/export/acme-77").await;
    let told = held["notifications"].as_array().unwrap();
    let groups: Vec<&Json> =
        held["alerts"].as_array().unwrap().iter().map(|alert| &alert["group"]).collect();
    assert!(told.iter().any(|one| one["what"] == "sent"), "{told:?}");
    assert!(told.iter().all(|one| groups.contains(&&one["group"])), "{told:?}");

    world.request("DELETE_ONLY", "account", &["acme-77"]).await;
    assert!(!world.dump().await.contains("acme-77"));
    let (_, silences) = world.get("/api/silences?state=all").await;
    assert!(silences.to_string().contains("globex-9"), "{silences}");
    let (status, _) = world.get("/api/privacy/export/acme-77").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_entry_holds_no_free_text_that_a_trait_was_told_to_be() {
    let world = World::new().await;
    world.send(&history()).await;
    world.decide("one").await;
    let (_, journal) = world.get("/api/customers/acme-77/journal").await;
    let text = journal.to_string();
    assert!(!text.contains("kim@vendor.test") && !text.contains("Acme Ltd"), "{text}");
    let entry = journal["items"].as_array().unwrap().iter().find(|entry| entry["to"] == "paying");
    let reasons = entry.unwrap()["reasons"].as_array().unwrap().iter();
    let inputs: Vec<&Json> = reasons.map(|reason| &reason["inputs"]).collect();
    assert!(inputs.contains(&&json!({"traits.csm": "known"})), "{inputs:?}");
    assert!(inputs.contains(&&json!({"traits.plan": "team"})), "{inputs:?}");
}

#[tokio::test]
async fn an_erasure_that_dies_anywhere_is_finished_by_the_next_attempt() {
    for (subject, id) in [(Person::Account, "acme-77"), (Person::User, "ada@acme.test")] {
        let mut at = 0;
        loop {
            let world = World::new().await;
            world.send(&history()).await;
            world.decide("one").await;
            let lifecycle = world.store().lifecycle().await.unwrap();
            let ids = [id.to_owned()];
            let request =
                world.store().request_privacy(PrivacyAction::DeleteOnly, subject, &ids, now());
            let request = request.await.unwrap();
            let crash = Crash::default();
            let names = platform::settings::Tables {
                events: "lifecycle-events".into(),
                customers: "lifecycle-customers".into(),
                journal: "lifecycle-journal".into(),
                control: "lifecycle-control".into(),
            };
            let dying = Store::new(crash.client(&world.tables), names, 400);
            let side = if at % 2 == 0 { Side::Before } else { Side::After };
            crash.at(at, side);
            let mut goes_on = |_: &platform::store::PrivacyRequest| false;
            let died =
                dying.run_privacy_request(&request.id, &lifecycle, now(), &mut goes_on).await;
            let has_died = crash.recover();
            assert_eq!(died.is_err(), has_died);
            let done =
                world.store().run_privacy_request(&request.id, &lifecycle, now(), &mut goes_on);
            assert_eq!(done.await.unwrap().unwrap().state, PrivacyState::Finished);
            let dump = world.dump().await;
            assert!(!dump.contains(id), "{subject:?} {at}: {dump}");
            assert!(dump.contains("globex-9"));
            world.journals().await;
            if !has_died {
                break;
            }
            at += if at < 12 { 1 } else { 3 };
        }
        assert!(at > 20, "{subject:?}: it died {at} times");
    }
}

#[tokio::test]
async fn on_aws_a_request_goes_through_the_queue_of_comply() {
    let world = World::new().await;
    world.send(&history()).await;
    let queue = LocalQueue::start().await.unwrap();
    let queues = Queues { privacy: queue.url(), replay: format!("{}-replay", queue.url()) };
    let clock = world.pack.clock.handle();
    let app = console::App {
        store: world.store().clone(),
        clock: clock.clone(),
        handoff: Handoff::to_queues(queue.client(), queues),
    };
    let on_aws = World { api: console::router(Arc::new(app)), ..world };

    // More ids than one part has: each part is one of the steps below.
    let others: Vec<String> = (0..60).map(|n| format!("other-{n:02}")).collect();
    let ids: Vec<&str> =
        ["ada@acme.test"].into_iter().chain(others.iter().map(String::as_str)).collect();
    let asked = on_aws.request("SUPPRESS_WITH_DELETE", "user", &ids).await;
    assert_eq!((&asked["state"], &asked["done"]), (&json!("INITIALIZED"), &json!(0)));
    assert!(on_aws.dump().await.contains("ada@acme.test"), "nothing is erased yet");
    let path = format!("/api/privacy/requests/{}", asked["id"].as_str().unwrap());

    let comply = comply::App {
        store: on_aws.store().clone(),
        clock,
        queue: Some(TicketQueue { client: queue.client(), url: queue.url() }),
        customers_per_segment: 1,
        vault: None,
    };
    let mut states = Vec::new();
    while let Some(body) = queue.take() {
        assert!(!body.contains("ada"), "a message holds no id: {body}");
        let message = TicketMessage { message_id: "m".to_owned(), body };
        // SQS may deliver it twice; each time there is no time for more than a part.
        for _ in 0..2 {
            let batch = TicketBatch { records: vec![message.clone()] };
            let event = SweepEvent::Tickets(batch);
            let answer = comply::handle(&comply, event, Some(std::time::Instant::now())).await;
            let SweepAnswer::Tickets { failures, .. } = answer.unwrap() else { panic!("tickets") };
            assert!(failures.failures.is_empty());
        }
        states.push(on_aws.get(&path).await.1["state"].clone());
    }
    assert_eq!(states.last(), Some(&json!("FINISHED")), "{states:?}");
    assert!(!on_aws.dump().await.contains("ada@acme.test"));

    queue.refuse_next(1);
    let body = json!({"type": "DELETE_ONLY", "subject": "user", "ids": ["ben@acme.test"]});
    let (status, problem) = on_aws.ask(Method::POST, "/api/privacy/requests", body).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
    );
}
