//! Groups of alerts over the tables: each record counts once however it is delivered, a message is sent at
//! least once under one id, and a storm is few messages and little state.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]
#![allow(clippy::print_stdout, reason = "figures are printed for people to see")]

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use domain::alerting::{Matcher, Silence};
use domain::event::Event;
use domain::journal::Author;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::embedded::engine::{dynamodb_at, sns_at};
use lifecycle::embedded::table_names;
use lifecycle::pack::{Pack, SweepFunction, TABLE_PREFIX};
use platform::publish::SnsPublisher;
use platform::store::{Person, PrivacyAction};
use platform::sweep::SweepKind;
use platform::{CustomerKey, Store};
use serde_json::{Map, Value as Json, json};
use tests::faults::{Attempts, Fault, Faults};
use tower::ServiceExt as _;

const FILE: &str = "
version: 1
subject: account
traits: { name: text?, csm: email?, phone: text? }
metrics: { logins: { count: login, over: 7d } }
stages:
  active: { enter: { when: metrics.logins >= 0, priority: 1 } }
standards:
  phone_known: { required: [traits.phone], severity: high, owner: ops }
alerts:
  group_by: [csm]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1d
  routes:
    - { match: { kind: finding, severity: high }, to: team, escalate: [{ after: 4h, to: lead }] }
  receivers:
    team: { sns: team }
    lead: { sns: urgent }
";

fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn event(id: &str, at: Timestamp, body: Json) -> Event {
    let Json::Object(body) = body else { panic!("a call is an object") };
    Event::from_body(id.to_owned(), at, at, body).unwrap()
}

fn joins(account: &str, csm: &str, at: Timestamp) -> Event {
    let traits = json!({ "name": account.to_uppercase(), "csm": csm });
    let body = json!({ "type": "group", "userId": "u", "groupId": account, "traits": traits });
    event(&format!("joins-{account}"), at, body)
}

struct World {
    pack: Pack,
    tables: aws_sdk_dynamodb::Client,
    sns: String,
    faults: Faults,
    runs: u64,
}

impl World {
    async fn of(file: &str) -> World {
        let pack = Pack::open(None, LocalClock::manual(start())).await.unwrap();
        pack.apply(file).await.unwrap().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sns = format!("http://{}", listener.local_addr().unwrap());
        let router = pack.sns.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let tables = dynamodb_at(pack.dynamodb_endpoint());
        World { pack, tables, sns, faults: Faults::default(), runs: 0 }
    }

    /// A process of `notify`, with these topics.
    fn notify(&self, topics: &[&str]) -> notify::App<SnsPublisher> {
        let client = self.faults.dynamodb(&self.tables, Attempts::One);
        let arn = |topic: &&str| {
            ((*topic).to_owned(), format!("arn:aws:sns:us-east-1:000000000000:{topic}"))
        };
        notify::App {
            store: Store::new(client, table_names(TABLE_PREFIX), 400),
            clock: self.pack.clock.handle(),
            publisher: SnsPublisher::new(sns_at(&self.sns), topics.iter().map(arn).collect()),
        }
    }

    fn at(&self, seconds: i64) -> Timestamp {
        let at = start() + SignedDuration::from_secs(seconds);
        self.pack.clock.set(Some(at));
        at
    }

    async fn happens(&self, account: &str, event: Event) {
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let (key, now) = (CustomerKey::subject(account), self.pack.clock.now());
        self.pack.store.commit(&key, &[event], &lifecycle, now).await.unwrap();
    }

    async fn mends(&self, account: &str) {
        let now = self.pack.clock.now();
        let body = json!({ "type": "group", "userId": "u", "groupId": account,
            "traits": { "phone": "1" } });
        self.happens(account, event(&format!("phone-{account}-{now}"), now, body)).await;
    }

    async fn judge(&mut self) {
        self.runs += 1;
        let (name, now) = (format!("run-{}", self.runs), self.pack.clock.now());
        self.pack.run(SweepFunction::Comply, &name, now, SweepKind::All).await.unwrap();
    }

    /// The journal's items as a stream shows them, by customer and number.
    async fn records(&self) -> Vec<Json> {
        let table = table_names(TABLE_PREFIX).journal;
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let scan = self.tables.scan().table_name(&table).set_exclusive_start_key(from);
            let page = scan.send().await.unwrap();
            items.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        items.sort_by_key(|item| item["sk"].as_n().unwrap().parse::<u64>().unwrap());
        let record = |(number, item): (usize, BTreeMap<String, AttributeValue>)| {
            let image: Map<String, Json> = item
                .into_iter()
                .filter_map(|(name, value)| match value {
                    AttributeValue::S(text) => Some((name, json!({ "S": text }))),
                    AttributeValue::N(number) => Some((name, json!({ "N": number }))),
                    _ => None,
                })
                .collect();
            json!({
                "eventID": format!("{number}"),
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1_768_473_000,
                    "Keys": { "pk": image["pk"], "sk": image["sk"] },
                    "NewImage": image,
                    "SequenceNumber": format!("{number:020}"),
                    "SizeBytes": 512,
                    "StreamViewType": "NEW_IMAGE",
                },
                "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/journal/stream/2026",
            })
        };
        items.into_iter().map(|item| item.into_iter().collect()).enumerate().map(record).collect()
    }

    /// The records of findings, of their beginnings or of their ends.
    async fn findings(&self, are_ends: bool) -> Vec<Json> {
        let is_it = |record: &Json| {
            let image = record["dynamodb"]["NewImage"].to_string();
            image.contains("phone_known") && image.contains("closed") == are_ends
        };
        self.records().await.into_iter().filter(is_it).collect()
    }

    /// Delivers records in batches of 100, again from where an answer says so.
    async fn deliver(&self, app: &notify::App<SnsPublisher>, records: &[Json]) {
        for batch in records.chunks(100) {
            let mut from = 0;
            for _ in 0..20 {
                let event = serde_json::from_value(json!({ "Records": batch[from..] })).unwrap();
                let Ok(answer) = notify::handle(app, event).await else { continue };
                assert_eq!(answer.passed_over, 0);
                let Some(failed) = answer.failures.failures.first() else { break };
                let number = |record: &Json| record["dynamodb"]["SequenceNumber"].clone();
                from =
                    batch.iter().position(|record| number(record) == failed.id.as_str()).unwrap();
            }
        }
    }

    async fn tick(&self) {
        notify::tick(&self.notify(&["team", "urgent"])).await.unwrap();
    }

    /// Topic, subject and reason of each message.
    fn told(&self) -> Vec<String> {
        let published = self.pack.sns.published().into_iter();
        let told = published.map(|one| {
            let subject = one.subject.unwrap_or_default();
            let subject = subject.split(':').next().unwrap_or_default();
            format!("{} {subject} {}", one.topic, one.attributes["reason"])
        });
        told.collect()
    }

    /// The texts of messages by their ids.
    fn by_id(&self) -> BTreeMap<String, Vec<String>> {
        let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for one in self.pack.sns.published() {
            let channels: BTreeMap<String, String> = serde_json::from_str(&one.message).unwrap();
            let chat: Json = serde_json::from_str(&channels["https"]).unwrap();
            messages.entry(chat["id"].as_str().unwrap().to_owned()).or_default().push(one.message);
        }
        messages
    }

    async fn api(&self, method: Method, path: &str, body: &Json) -> (u16, Json) {
        let router = console::router(Arc::clone(&self.pack.console));
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// The sizes of the items of `control` whose key begins so.
    async fn control(&self, prefix: &str) -> Vec<usize> {
        let table = table_names(TABLE_PREFIX).control;
        let (mut sizes, mut from) = (Vec::new(), None);
        loop {
            let scan = self.tables.scan().table_name(&table).set_exclusive_start_key(from);
            let page = scan.send().await.unwrap();
            for item in page.items() {
                if item["pk"].as_s().unwrap().starts_with(prefix) {
                    let bytes = item.iter().map(|(name, value)| {
                        name.len()
                            + match value {
                                AttributeValue::B(bytes) => bytes.as_ref().len(),
                                AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
                                _ => 0,
                            }
                    });
                    sizes.push(bytes.sum());
                }
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return sizes;
            }
        }
    }
}

/// Three accounts of two people without a telephone number.
async fn three() -> World {
    let mut world = World::of(FILE).await;
    for (account, csm) in [("acme", "kim@x"), ("axa", "kim@x"), ("boreal", "lou@x")] {
        world.happens(account, joins(account, csm, start())).await;
    }
    world.judge().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn many_findings_are_one_message_of_a_group_and_their_end_is_another() {
    let mut world = three().await;
    let app = world.notify(&["team", "urgent"]);
    world.deliver(&app, &world.records().await).await;
    world.tick().await;
    assert_eq!(world.told(), Vec::<String>::new(), "a new group waits");
    world.at(60);
    world.tick().await;
    world.tick().await;
    let mut told = world.told();
    told.sort();
    assert_eq!(told, ["team [1 firing] csm=lou@x first", "team [2 firing] csm=kim@x first"]);

    world.at(120);
    world.mends("acme").await;
    world.judge().await;
    world.deliver(&app, &world.records().await).await;
    world.at(400);
    world.tick().await;
    let ended = world.told().split_off(2);
    assert_eq!(ended, ["team [1 firing, 1 resolved] csm=kim@x resolved"]);

    // Nobody acts, and then somebody does.
    world.at(4 * 3_600 + 60);
    world.tick().await;
    let mut escalated = world.told().split_off(3);
    escalated.sort();
    let expected =
        ["urgent [1 firing] csm=kim@x escalation", "urgent [1 firing] csm=lou@x escalation"];
    assert_eq!(escalated, expected);
    let (status, groups) = world.api(Method::GET, "/api/alerts", &json!(null)).await;
    assert_eq!((status, groups["items"].as_array().unwrap().len()), (200, 2), "{groups}");
    let of_kim = groups["items"].as_array().unwrap().iter().find(|g| g["labels"]["csm"] == "kim@x");
    let id = of_kim.unwrap()["id"].as_str().unwrap().to_owned();
    let ack = json!({ "author": "kim", "reason": "on it" });
    let (status, acked) = world.api(Method::POST, &format!("/api/alerts/{id}/ack"), &ack).await;
    assert_eq!((status, &acked["state"]), (200, &json!("acknowledged")), "{acked}");
    assert_eq!(acked["acknowledged"]["author"], "kim");
    world.at(2 * 86_400);
    world.tick().await;
    let repeated = world.told().split_off(5);
    assert_eq!(repeated, ["team [1 firing] csm=lou@x repeat"], "the other is looked after");

    for account in ["axa", "boreal"] {
        world.mends(account).await;
    }
    world.judge().await;
    world.deliver(&app, &world.records().await).await;
    world.at(2 * 86_400 + 600);
    world.tick().await;
    let (_, groups) = world.api(Method::GET, "/api/alerts", &json!(null)).await;
    assert_eq!(groups["items"], json!([]), "what is over and told is gone");
    assert_eq!(world.control("alerts#due").await.len(), 0);
    let (_, log) = world.api(Method::GET, "/api/notifications", &json!(null)).await;
    let log = log["items"].as_array().unwrap().clone();
    assert_eq!(log.len(), world.told().len() + 1, "every message and the acknowledgement: {log:?}");
    assert!(log.iter().any(|one| one["what"] == "acknowledged" && one["author"] == "kim"));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_twice_or_in_another_order_count_once() {
    let mut world = three().await;
    world.at(60);
    world.mends("acme").await;
    world.judge().await;
    let app = world.notify(&["team", "urgent"]);
    let records = world.records().await;
    let mut backwards = records.clone();
    backwards.reverse();
    for order in [&records, &backwards, &records] {
        world.deliver(&app, order).await;
    }
    let (_, groups) = world.api(Method::GET, "/api/alerts", &json!(null)).await;
    let firing: Vec<u64> =
        groups["items"].as_array().unwrap().iter().map(|g| g["firing"].as_u64().unwrap()).collect();
    assert_eq!(firing, [1, 1], "{groups}");
    world.at(120);
    world.tick().await;
    for order in [&backwards, &records] {
        world.deliver(&app, order).await;
    }
    world.at(3_600);
    world.tick().await;
    let mut told = world.told();
    told.sort();
    assert_eq!(told, ["team [1 firing] csm=kim@x first", "team [1 firing] csm=lou@x first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_each_message_is_sent_at_least_once_under_one_id() {
    let plain = three().await;
    let app = plain.notify(&["team", "urgent"]);
    let records = plain.records().await;
    plain.faults.calm();
    plain.deliver(&app, &records).await;
    plain.at(60);
    notify::tick(&app).await.unwrap();
    let calls = plain.faults.calls();
    let count = plain.by_id().len();
    assert_eq!(count, 2);

    let mut repeated = 0;
    for number in 0..calls {
        for fault in [Fault::LostAnswer, Fault::LostRequest] {
            let world = three().await;
            let records = world.records().await;
            world.faults.fail_call(number, fault);
            let app = world.notify(&["team", "urgent"]);
            world.deliver(&app, &records).await;
            world.at(60);
            let _ = notify::tick(&app).await;
            world.faults.calm();
            // The stream delivers again what it was not told that it was taken; the clock goes on.
            world.deliver(&app, &records).await;
            for minute in 2..5 {
                world.at(60 * minute);
                world.tick().await;
            }
            let told = world.by_id();
            assert_eq!(told.len(), count, "call {number}, {fault:?}: {:?}", world.told());
            for (id, messages) in &told {
                assert!(messages.iter().all(|one| *one == messages[0]), "{id} differs");
                assert!(messages.len() <= 2, "{id}: {}", messages.len());
                repeated += messages.len() - 1;
            }
            assert_eq!(world.control("alerts#out").await.len(), 0, "nothing waits to be sent");
        }
    }
    println!("{calls} calls, {repeated} messages sent twice under their id");
    assert!(repeated > 0, "a crash between sending and noting it sends again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sns_does_not_take_is_sent_when_it_does() {
    for (status, code) in [
        (503, "ServiceUnavailable"),
        (500, "InternalError"),
        (400, "Throttling"),
        (400, "RequestThrottled"),
        (429, "Throttled"),
    ] {
        let world = three().await;
        let app = world.notify(&["team", "urgent"]);
        world.deliver(&app, &world.records().await).await;
        world.at(60);
        // More failures than the SDK's own attempts.
        world.pack.sns.fail_next(3, status, code);
        world.tick().await;
        assert_eq!(world.told().len(), 0, "{code}");
        assert_eq!(world.control("alerts#out").await.len(), 2, "{code}: both wait");
        for _ in 0..4 {
            world.tick().await;
        }
        assert_eq!((world.told().len(), world.by_id().len()), (2, 2), "{code}");
        assert_eq!(world.control("alerts#out").await.len(), 0, "{code}: none waits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_keeps_no_other_waiting() {
    let file =
        FILE.replace("  routes:\n", "  routes:\n    - { match: { csm: kim@x }, to: gone }\n");
    let file = file.replace("    team: {", "    gone: { sns: gone }\n    team: {");
    let mut world = World::of(&file).await;
    for (account, csm) in [("acme", "kim@x"), ("boreal", "lou@x")] {
        world.happens(account, joins(account, csm, start())).await;
    }
    world.judge().await;
    let app = world.notify(&["team", "urgent"]);
    world.deliver(&app, &world.records().await).await;
    world.at(60);
    notify::tick(&app).await.unwrap();
    assert_eq!(world.told(), ["team [1 firing] csm=lou@x first"]);
    let (_, log) = world.api(Method::GET, "/api/notifications", &json!(null)).await;
    let failed = log["items"].as_array().unwrap().iter().find(|one| one["what"] == "failed");
    assert_eq!(failed.unwrap()["receiver"], "gone", "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_silenced_is_told_when_the_silence_ends() {
    let world = three().await;
    let app = world.notify(&["team", "urgent"]);
    let asked = json!({
        "matchers": [{ "label": "csm", "values": ["kim@x"] }],
        "author": "kim", "reason": "away", "ends_at": "2026-03-02T13:00:00Z",
    });
    let (status, silence) = world.api(Method::POST, "/api/silences", &asked).await;
    assert_eq!((status, &silence["state"]), (200, &json!("active")), "{silence}");
    world.deliver(&app, &world.records().await).await;
    world.at(60);
    world.tick().await;
    assert_eq!(world.told(), ["team [1 firing] csm=lou@x first"]);
    let (_, groups) = world.api(Method::GET, "/api/alerts", &json!(null)).await;
    let of_kim = groups["items"].as_array().unwrap().iter().find(|g| g["labels"]["csm"] == "kim@x");
    let of_kim = of_kim.unwrap();
    assert_eq!(
        (&of_kim["state"], &of_kim["silence"]["reason"]),
        (&json!("silenced"), &json!("away"))
    );
    // With the next turn of its group: half a minute and every five from its beginning.
    world.at(3_631);
    world.tick().await;
    assert_eq!(world.told()[1..], ["team [2 firing] csm=kim@x first"]);

    let (status, refused) = world
        .api(
            Method::POST,
            "/api/silences",
            &json!({
                "matchers": [], "author": "kim", "reason": "away", "ends_at": "2026-03-09",
            }),
        )
        .await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_matchers")), "{refused}");
    let path = format!("/api/silences/{}", silence["id"].as_str().unwrap());
    let by = json!({ "author": "kim" });
    assert_eq!(world.api(Method::DELETE, &path, &by).await.0, 404, "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_group_that_is_silenced_is_told_and_its_end_too_when_the_silence_is_over() {
    let mut world = three().await;
    let app = world.notify(&["team", "urgent"]);
    let silence = |id: &str, customer: &str, hours: i64| {
        let matchers = vec![Matcher::parse(&format!("customer={customer}")).unwrap()];
        let ends = start() + SignedDuration::from_hours(hours);
        let who = (Some("kim"), Some("away"));
        Silence::checked(id.to_owned(), matchers, who, (start(), ends), start()).unwrap()
    };
    let store = world.pack.store.clone();
    store.add_silence(&silence("s1", "acme", 1), start()).await.unwrap();
    world.deliver(&app, &world.records().await).await;
    for minutes in (1..70).step_by(1) {
        world.at(60 * minutes);
        world.tick().await;
    }
    let of_kim = |world: &World| -> Vec<String> {
        world.told().into_iter().filter(|one| one.contains("kim@x")).collect()
    };
    let first = "team [2 firing] csm=kim@x first";
    let told = of_kim(&world);
    assert_eq!(
        told,
        [
            first.replace("2 firing", "1 firing"),
            first.replace("first", "new_alerts").replace("2 firing", "2 firing (1 new)")
        ]
    );

    // What ends while it is silenced leaves nothing behind, and who heard that it began hears of it.
    store.add_silence(&silence("s2", "acme,axa", 3), start()).await.unwrap();
    for account in ["acme", "axa"] {
        world.mends(account).await;
    }
    world.judge().await;
    world.deliver(&app, &world.records().await).await;
    for minutes in 70..200 {
        world.at(60 * minutes);
        world.tick().await;
    }
    assert_eq!(of_kim(&world)[2..], ["team [2 resolved] csm=kim@x resolved"]);
    let groups = world.control("alerts").await.len() - world.control("alerts#").await.len();
    assert_eq!(groups, 1, "only lou's is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_gathered_neither_a_batch_nor_a_tick_reads_silences() {
    let world = World::of(FILE).await;
    let app = world.notify(&["team"]);
    // The file, and what is due and waits to be sent.
    world.faults.calm();
    notify::tick(&app).await.unwrap();
    let first = world.faults.calls();
    world.faults.calm();
    notify::tick(&app).await.unwrap();
    assert!(world.faults.calls() <= first && world.faults.calls() <= 3, "{}", world.faults.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_told_by_itself_is_held_back_by_a_silence_too() {
    let plain = FILE
        .lines()
        .filter(|line| !["group_", "repeat_"].iter().any(|word| line.trim().starts_with(word)))
        .collect::<Vec<_>>()
        .join("\n")
        .replace(", escalate: [{ after: 4h, to: lead }]", "");
    let mut world = World::of(&plain).await;
    for account in ["acme", "boreal"] {
        world.happens(account, joins(account, "kim@x", start())).await;
    }
    world.judge().await;
    let matchers = vec![Matcher::parse("customer=acme").unwrap()];
    let hour = start() + SignedDuration::from_hours(1);
    let who = (Some("kim"), Some("away"));
    let silence =
        Silence::checked("s1".to_owned(), matchers, who, (start(), hour), start()).unwrap();
    world.pack.store.add_silence(&silence, start()).await.unwrap();
    let app = world.notify(&["team", "urgent"]);
    world.deliver(&app, &world.records().await).await;
    let subjects = |world: &World| -> Vec<String> {
        world.pack.sns.published().into_iter().filter_map(|one| one.subject).collect()
    };
    assert_eq!(subjects(&world), ["BOREAL: standard phone_known breached"]);
    world.at(60);
    world.tick().await;
    assert_eq!(subjects(&world).len(), 1);
    world.at(3_600);
    world.tick().await;
    let last = subjects(&world).pop().unwrap();
    assert!(last.starts_with("[1 news] customer=acme: ACME: standard phone_known"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_customer_that_is_erased_no_alert_is_left() {
    let world = three().await;
    let app = world.notify(&["team", "urgent"]);
    world.deliver(&app, &world.records().await).await;
    world.at(60);
    world.pack.sns.fail_next(3, 503, "ServiceUnavailable");
    world.tick().await;
    let store = &world.pack.store;
    let lifecycle = store.lifecycle().await.unwrap();
    let now = world.at(120);
    let ids = ["acme".to_owned()];
    let request =
        store.request_privacy(PrivacyAction::DeleteOnly, Person::Account, &ids, now).await.unwrap();
    store.run_privacy_request(&request.id, &lifecycle, now, &mut |_| false).await.unwrap();
    for _ in 0..3 {
        world.tick().await;
    }
    let (_, groups) = world.api(Method::GET, "/api/alerts", &json!(null)).await;
    let text = groups.to_string();
    assert!(!text.to_lowercase().contains("acme") && text.contains("AXA"), "{text}");
    assert_eq!(world.told().len(), 2);
    for one in world.pack.sns.published() {
        assert!(!one.message.to_lowercase().contains("acme"), "{}", one.message);
    }
    assert_eq!(world.control("alert#acme").await.len(), 0);
    let by = Author { name: "kim".to_owned(), reason: None };
    let id = groups["items"][0]["id"].as_str().unwrap();
    store.acknowledge_alerts(id, &by, &lifecycle, now).await.unwrap();
}

/// So many findings by one edit of the lifecycle file, their records delivered over ten minutes, and their
/// end: what is sent and what is kept.
async fn storm(customers: usize) {
    const MINUTES: i64 = 10;
    let file = FILE.replace("group_by: [csm]", "group_by: [standard]");
    let mut world = World::of(
        &file.replace("phone_known:", "name_known:").replace("traits.phone]", "traits.name]"),
    )
    .await;
    let lifecycle = world.pack.store.lifecycle().await.unwrap();
    let account = |number: usize| format!("account-{number:06}");
    let numbers: Vec<usize> = (0..customers).collect();
    for part in numbers.chunks(5_000) {
        let joined = part.iter().map(|number| {
            let account = account(*number);
            (CustomerKey::subject(&account), vec![joins(&account, "kim@x", start())])
        });
        world
            .pack
            .store
            .commit_bulk(&joined.collect::<Vec<_>>(), &lifecycle, start())
            .await
            .unwrap();
    }
    world.judge().await;
    world.pack.apply(&file).await.unwrap().unwrap();
    world.judge().await;
    let records = world.findings(false).await;
    assert_eq!(records.len(), customers, "one finding each");

    let app = world.notify(&["team", "urgent"]);
    let began = std::time::Instant::now();
    let each = customers.div_ceil(usize::try_from(MINUTES).unwrap());
    for (part, minute) in records.chunks(each).zip(1..) {
        world.deliver(&app, part).await;
        world.at(60 * minute);
        world.tick().await;
    }
    let took = began.elapsed();
    for minute in MINUTES + 1..=MINUTES + 6 {
        world.at(60 * minute);
        world.tick().await;
    }
    let told = world.told();
    // After the wait, and every five minutes while there is news.
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[2].starts_with(&format!("team [{customers} firing ")), "{told:?}");
    assert_eq!(world.by_id().len(), 3);
    let groups = world.control("alerts").await;
    let (items, bytes) = (groups.len(), groups.iter().sum::<usize>());
    // One group and when it is due; three lines of the log.
    assert_eq!(items, 2 + told.len(), "{groups:?}");
    let largest = groups.iter().max().copied().unwrap_or_default();
    assert!(largest < 16 * 1024, "the group has {largest} bytes");
    let notes = world.control("alert#").await;
    assert_eq!(notes.len(), customers, "what counts each once");
    let note = notes.iter().sum::<usize>() / customers;
    assert!(note < 300, "{note} bytes for an alert");
    println!(
        "{customers} findings told in {took:.1?}: {} messages, {items} items of {bytes} bytes, and {note} bytes each",
        told.len()
    );

    // When all of it is mended there is one message more, no group, and nothing more of each.
    let now = world.at(3_600);
    for part in numbers.chunks(5_000) {
        let mended = part.iter().map(|number| {
            let account = account(*number);
            let body = json!({ "type": "group", "userId": "u", "groupId": account,
                "traits": { "phone": "1" } });
            (CustomerKey::subject(&account), vec![event(&format!("mends-{account}"), now, body)])
        });
        let lifecycle = world.pack.store.lifecycle().await.unwrap();
        world.pack.store.commit_bulk(&mended.collect::<Vec<_>>(), &lifecycle, now).await.unwrap();
    }
    world.judge().await;
    let ended = world.findings(true).await;
    assert_eq!(ended.len(), customers);
    world.deliver(&app, &ended).await;
    for minute in 61..=66 {
        world.at(60 * minute);
        world.tick().await;
    }
    assert_eq!(world.told().len(), 4, "{:?}", world.told());
    assert_eq!(world.control("alerts").await.len(), 4, "the log alone");
    assert_eq!(world.control("alert#").await.len(), customers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_one_message_for_a_route_and_an_interval_and_little_state() {
    storm(5_000).await;
}

/// `cargo test --workspace --locked --release --test alerts -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes"]
async fn a_storm_of_a_hundred_thousand() {
    storm(100_000).await;
}
