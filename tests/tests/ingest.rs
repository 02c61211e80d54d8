//! What `ingest` promises its senders: over HTTP, from a queue and from the bus.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]
#![allow(clippy::type_complexity, reason = "tables of cases are read, not named")]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use ingest::App;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Context, LambdaEvent};
use platform::meter::Units;
use platform::store::QuarantineFilter;
use platform::{CustomerKey, Store};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use tests::stack::Stack;
use tower::ServiceExt as _;

const ACCOUNTS: &str = "
version: 1
subject: account
traits:
  plan: text?
metrics:
  logins_7d: { count: login, over: 7d }
stages:
  active:
    enter: { when: metrics.logins_7d >= 1, priority: 10 }
";
const BEARER: (&str, &str) = ("authorization", "Bearer dev");

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

struct Sut {
    stack: Stack,
    app: Arc<App>,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Json,
}

impl Sut {
    fn over(stack: Stack) -> Sut {
        let app = App {
            store: stack.store.clone(),
            clock: stack.clock.handle(),
            public_url: None,
            egress: platform::egress::Egress::quick(),
        };
        Sut { app: Arc::new(app), stack }
    }

    async fn accounts() -> Sut {
        Sut::over(Stack::start(ACCOUNTS, now()).await.unwrap())
    }

    async fn users() -> Sut {
        let source = ACCOUNTS.replace("subject: account", "subject: user");
        Sut::over(Stack::start(&source, now()).await.unwrap())
    }

    async fn request(&self, request: Request<Body>) -> Reply {
        let response = ingest::router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(body.into()).unwrap()).await
    }

    async fn batch(&self, calls: &[Json]) -> Reply {
        self.send("/v1/batch", &[BEARER], json!({"batch": calls}).to_string()).await
    }

    async fn invoke(&self, event: &Json) -> Result<Json, ingest::IngestError> {
        let payload = RawValue::from_string(event.to_string()).unwrap();
        ingest::handle(&self.app, LambdaEvent { payload, context: Context::default() }).await
    }

    async fn event_names(&self, key: CustomerKey) -> Vec<String> {
        let page = self.stack.store.event_page(&key, 100, None).await.unwrap();
        let mut names: Vec<String> = page.items.into_iter().map(|event| event.name).collect();
        names.sort();
        names
    }

    async fn quarantined(&self) -> Vec<(String, String)> {
        let page =
            self.stack.store.quarantined(&QuarantineFilter::default(), 100, None).await.unwrap();
        let mut found: Vec<_> = page.items.into_iter().map(|item| (item.code, item.raw)).collect();
        found.sort();
        found
    }

    async fn drop_table(&self, table: &str) {
        self.stack.dynamodb.delete_table().table_name(table).send().await.unwrap();
    }

    /// What the work between here and the last call was billed.
    fn units(&self) -> Units {
        let units = self.stack.store.meter().total();
        self.stack.store.meter().reset();
        units
    }
}

fn login(user: &str, id: &str) -> Json {
    let at = "2026-11-22T05:10:00Z";
    json!({"type": "track", "event": "login", "userId": user, "messageId": id, "timestamp": at})
}

fn group(user: &str, account: &str, id: &str) -> Json {
    let at = "2026-11-22T05:00:00Z";
    json!({"type": "group", "userId": user, "groupId": account, "messageId": id, "timestamp": at})
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn recorded(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/recorded").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.body);
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    assert_eq!(reply.body["code"], code);
    assert_eq!(reply.body["status"], status);
    for member in ["type", "title", "code", "message", "detail"] {
        assert!(reply.body[member].is_string(), "{member} of {}", reply.body);
    }
}

fn taken(reply: &Reply, accepted: u64, duplicates: u64) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.body["accepted"], accepted, "{}", reply.body);
    assert_eq!(reply.body["duplicates"], duplicates, "{}", reply.body);
}

#[tokio::test]
async fn a_batch_is_answered_with_what_became_of_each_call() {
    let sut = Sut::users().await;
    let reply = sut.batch(&[login("u", "m-1"), json!({"messageId": "m-2"})]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let rejected = json!([{
        "index": 1,
        "messageId": "m-2",
        "code": "unknown_type",
        "message": "`type` must be one of track, identify, group, page, screen and alias",
    }]);
    let expected = json!({"success": true, "accepted": 1, "duplicates": 0, "rejected": rejected});
    assert_eq!(reply.body, expected);
}

#[tokio::test]
async fn the_same_id_counts_once_within_a_request_and_across_requests() {
    let sut = Sut::users().await;
    taken(&sut.batch(&[login("u", "m-1"), login("u", "m-1"), login("u", "m-2")]).await, 2, 1);
    taken(&sut.batch(&[login("u", "m-2"), login("u", "m-3")]).await, 1, 1);
    assert_eq!(sut.event_names(CustomerKey::subject("u")).await.len(), 3);
}

#[tokio::test]
async fn a_call_without_a_time_counts_once_however_late_it_is_sent_again() {
    let sut = Sut::users().await;
    let call = json!({"type": "track", "event": "login", "userId": "u", "messageId": "m-1"});
    taken(&sut.batch(std::slice::from_ref(&call)).await, 1, 0);
    sut.stack.clock.set(Some(now() + SignedDuration::from_hours(30)));
    taken(&sut.batch(&[call]).await, 0, 1);
}

#[tokio::test]
async fn bad_calls_are_set_aside_and_take_no_other_with_them() {
    let sut = Sut::users().await;
    let deep = format!("{}{}", "[".repeat(140), "]".repeat(140));
    let good = login("u", "m-1");
    let body = format!(r#"{{"batch":[7,{{"p":"\ud83d"}},{{"p":{deep}}},{good},{{"p":1e400}}]}}"#);
    let reply = sut.send("/v1/batch", &[BEARER], body).await;
    taken(&reply, 1, 0);
    let indexes = reply.body["rejected"].as_array().unwrap().iter();
    let indexes: Vec<u64> = indexes.map(|found| found["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [0, 1, 2, 4]);
    let quarantined = sut.quarantined().await;
    let codes: Vec<&str> = quarantined.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["invalid_json", "too_deep", "unknown_type", "unknown_type"]);
    assert!(quarantined.iter().any(|(_, raw)| raw == r#"{"p":"\ud83d"}"#));
}

#[tokio::test]
async fn the_longest_batch_of_five_megabytes_is_taken_whole() {
    let sut = Sut::users().await;
    let call = |n: usize| {
        let (user, note) = (format!("u-{}", n % 400), "x".repeat(1_900));
        json!({
            "type": "track", "event": "login", "userId": user, "messageId": format!("m-{n}"),
            "timestamp": now(), "properties": { "note": note },
        })
    };
    let body = json!({ "batch": (0..2_500).map(call).collect::<Vec<Json>>() }).to_string();
    assert!((5_000_000..5_300_000).contains(&body.len()), "{}", body.len());
    taken(&sut.send("/v1/batch", &[BEARER], body.clone()).await, 2_500, 0);
    taken(&sut.send("/v1/batch", &[BEARER], gzip(body.as_bytes())).await, 0, 2_500);
}

#[tokio::test]
async fn a_batch_that_is_too_long_loses_nothing() {
    let sut = Sut::users().await;
    let bad = |n: usize| json!({"type": "page", "n": n});
    let mut calls: Vec<Json> = vec![json!(7); 2_499];
    calls.extend([login("u", "m-1"), bad(1), bad(2)]);
    let reply = sut.batch(&calls).await;
    taken(&reply, 1, 0);
    let rejected = reply.body["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 2_501);
    assert_eq!(
        rejected[2_500],
        json!({
            "index": 2_501, "messageId": null, "code": "too_many",
            "message": "a batch may have 2500 calls; send these in another",
        })
    );
    let again = json!({"batch": [bad(1), bad(2)]}).to_string();
    assert!(sut.quarantined().await.contains(&("too_many".to_owned(), again)));
}

#[tokio::test]
async fn each_path_takes_its_call_and_tells_a_sender_by_hand_what_is_wrong() {
    let sut = Sut::users().await;
    for path in ["track", "t", "identify", "i", "page", "p", "screen", "s", "alias", "a"] {
        let call = json!({"userId": "u", "event": "login", "messageId": path}).to_string();
        taken(&sut.send(&format!("/v1/{path}"), &[BEARER], call).await, 1, 0);
    }
    let call = json!({"userId": "u", "groupId": "g"}).to_string();
    taken(&sut.send("/v1/group", &[BEARER], call).await, 1, 0);
    let import = json!({"batch": [login("u", "m-1")]}).to_string();
    taken(&sut.send("/v1/import", &[BEARER], import).await, 1, 0);
    let reply = sut.send("/v1/track", &[BEARER], r#"{"userId":"u","writeKey":"dev"}"#).await;
    problem(&reply, 400, "missing_event");
    let raw = r#"{"userId":"u","writeKey":"***"}"#.to_owned();
    assert_eq!(sut.quarantined().await, [("missing_event".to_owned(), raw)]);
}

#[tokio::test]
async fn the_write_key_is_taken_from_wherever_a_client_puts_it() {
    let sut = Sut::users().await;
    let plain = json!({"batch": []}).to_string();
    let in_body = json!({"batch": [], "writeKey": "dev"}).to_string();
    let ways: [(&[(&str, &str)], &str); 6] = [
        (&[("authorization", "Basic ZGV2Og==")], &plain),
        (&[BEARER], &plain),
        (&[("x-write-key", "dev")], &plain),
        (&[], &in_body),
        (&[BEARER], &in_body),
        (&[BEARER, ("x-write-key", "dev")], &in_body),
    ];
    for (headers, body) in ways {
        taken(&sut.send("/v1/batch", headers, body.to_owned()).await, 0, 0);
    }
}

#[tokio::test]
async fn without_one_live_write_key_nothing_is_taken() {
    let sut = Sut::users().await;
    let plain = json!({"batch": [7]}).to_string();
    let other = json!({"batch": [7], "writeKey": "other"}).to_string();
    let ways: [(&[(&str, &str)], &str, &str); 7] = [
        (&[], &plain, "missing_write_key"),
        (&[("authorization", "Digest dev")], &plain, "missing_write_key"),
        (&[], "{", "missing_write_key"),
        (&[("authorization", "Bearer other")], &plain, "unknown_write_key"),
        (&[], &other, "unknown_write_key"),
        (&[BEARER], &other, "two_write_keys"),
        (&[BEARER, ("x-write-key", "other")], &plain, "two_write_keys"),
    ];
    for (headers, body, code) in ways {
        let reply = sut.send("/v1/batch", headers, body.to_owned()).await;
        problem(&reply, 401, code);
    }
    assert_eq!(sut.quarantined().await, []);
}

#[tokio::test]
async fn two_write_keys_may_be_live_and_one_that_was_ended_is_refused() {
    let sut = Sut::users().await;
    let store = &sut.stack.store;
    store.add_write_key("next", "website", now()).await.unwrap();
    let next = ("authorization", "Bearer next");
    let body = |id: &str| json!({"batch": [login("u", id)]}).to_string();
    taken(&sut.send("/v1/batch", &[BEARER], body("m-1")).await, 1, 0);
    taken(&sut.send("/v1/batch", &[next], body("m-1")).await, 0, 1);
    taken(&sut.send("/v1/batch", &[next], body("m-2")).await, 1, 0);

    let old = store.write_keys().await.unwrap();
    let old = old.iter().find(|key| key.label == "tests").unwrap();
    assert!(store.remove_write_key(&old.hash).await.unwrap());
    assert!(!store.remove_write_key(&old.hash).await.unwrap());
    // Whoever knew the key goes by that for a moment; whoever starts now does not.
    let store = Store::new(sut.stack.dynamodb.clone(), sut.stack.tables.clone(), 400);
    store.remember_lifecycle(sut.stack.store.lifecycle().await.unwrap());
    let clock = sut.stack.clock.handle();
    let app =
        Arc::new(App { store, clock, public_url: None, egress: platform::egress::Egress::quick() });
    for (key, status) in [("Bearer dev", 401), ("Bearer next", 200), ("Bearer dev", 401)] {
        let request = Request::post("/v1/batch").header("authorization", key);
        let request = request.body(Body::from(body("m-2"))).unwrap();
        let reply = ingest::router(Arc::clone(&app)).oneshot(request).await.unwrap();
        assert_eq!(reply.status().as_u16(), status, "{key}");
    }
}

#[tokio::test]
async fn a_body_of_which_nothing_can_be_read_is_refused_and_kept() {
    let sut = Sut::users().await;
    for body in ["hello", "[]", "{}", r#"{"batch":7}"#, r#"{"batch":[}"#] {
        let reply = sut.send("/v1/batch", &[BEARER], body).await;
        problem(&reply, 400, "invalid_json");
    }
    assert_eq!(sut.quarantined().await.len(), 5);
    // The same by another path is another thing: what it may come to differs.
    let reply = sut.send("/v1/track", &[BEARER], "[]").await;
    problem(&reply, 400, "invalid_json");
    problem(&sut.send("/v1/batch", &[BEARER], "").await, 400, "invalid_json");
    assert_eq!(sut.quarantined().await.len(), 6);
    let cut = gzip(b"{\"batch\":[]}")[..20].to_vec();
    problem(&sut.send("/v1/batch", &[BEARER], cut).await, 400, "invalid_json");
    assert_eq!(sut.quarantined().await.len(), 7);
}

#[tokio::test]
async fn a_body_is_limited_on_the_wire_and_inflated() {
    let sut = Sut::users().await;
    let wire = vec![b' '; 6 * 1024 * 1024 + 1];
    problem(&sut.send("/v1/batch", &[BEARER], wire).await, 400, "too_large");
    let bomb = gzip(&vec![b' '; 8 * 1024 * 1024 + 1]);
    problem(&sut.send("/v1/batch", &[BEARER], bomb).await, 400, "too_large");
}

#[tokio::test]
async fn gzip_is_inflated_whatever_the_headers_say() {
    let sut = Sut::users().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = gzip(json!({"batch": [login("u", "m-1")]}).to_string().as_bytes());
    taken(&sut.send("/v1/batch", &[BEARER, form], body).await, 1, 0);
    let plain = json!({"batch": [login("u", "m-2")]}).to_string();
    let claimed = ("content-encoding", "gzip");
    taken(&sut.send("/v1/batch", &[BEARER, claimed], plain).await, 1, 0);
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_acknowledged() {
    let sut = Sut::users().await;
    taken(&sut.batch(&[]).await, 0, 0);
    sut.drop_table(&sut.stack.tables.events).await;
    let reply = sut.batch(&[login("u", "m-1")]).await;
    problem(&reply, 503, "not_stored");
    assert_eq!(reply.headers["retry-after"], "5");
    sut.drop_table(&sut.stack.tables.control).await;
    problem(&sut.batch(&[json!(7)]).await, 503, "not_stored");
    problem(&sut.send("/v1/batch", &[BEARER], "{").await, 503, "not_stored");
}

#[tokio::test]
async fn without_a_lifecycle_file_a_sender_is_asked_to_wait() {
    let sut = Sut::over(Stack::without_lifecycle(now()).await.unwrap());
    let reply = sut.batch(&[login("u", "m-1")]).await;
    problem(&reply, 503, "no_lifecycle");
    assert_eq!(reply.headers["retry-after"], "5");
}

#[tokio::test]
async fn a_browser_may_send_from_anywhere() {
    let sut = Sut::users().await;
    for path in ["/v1/batch", "/v1/t", "/v1/anything/else"] {
        let request = Request::builder().method(Method::OPTIONS).uri(path);
        let reply = sut.request(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{path}");
        let allowed = reply.headers["access-control-allow-headers"].to_str().unwrap();
        for header in ["authorization", "content-type", "x-retry-count"] {
            assert!(allowed.contains(header), "{allowed}");
        }
        assert!(reply.headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
        assert!(reply.headers.contains_key("access-control-max-age"));
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
    }
    let reply = sut.batch(&[]).await;
    assert_eq!(reply.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn another_path_or_method_is_a_problem_too() {
    let sut = Sut::users().await;
    problem(&sut.send("/v1/engage", &[BEARER], "{}").await, 404, "not_found");
    problem(&sut.send("/", &[BEARER], "{}").await, 404, "not_found");
    let request = Request::builder().uri("/v1/batch").body(Body::empty()).unwrap();
    problem(&sut.request(request).await, 405, "method_not_allowed");
}

#[tokio::test]
async fn an_identify_before_its_group_lands_in_the_account() {
    let sut = Sut::accounts().await;
    let identify = json!({"type": "identify", "userId": "u", "messageId": "m-1"});
    taken(&sut.batch(&[identify, group("u", "acme", "m-2")]).await, 2, 0);
    taken(&sut.batch(&[login("u", "m-3"), login("v", "m-4")]).await, 2, 0);
    let names = sut.event_names(CustomerKey::subject("acme")).await;
    assert_eq!(names, ["group", "identify", "login"]);
    assert_eq!(sut.event_names(CustomerKey::unlinked_user("v")).await, ["login"]);
}

#[tokio::test]
async fn recorded_clients_are_taken_whole() {
    for (client, in_account, unlinked) in [
        // The alias of these brings what was anonymous.
        ("segment_py", 9, vec!["42"]),
        ("segment_node", 8, vec![]),
        ("rudder_py", 7, vec!["42"]),
        ("analytics_next", 5, vec!["anon-browser-1"]),
        ("analytics_next_batch", 5, vec!["anon-browser-1"]),
    ] {
        let sut = Sut::accounts().await;
        sut.stack.store.add_write_key("WRITE_KEY", "recorded", now()).await.unwrap();
        let recording = recorded(&format!("clients/{client}.json"));
        let mut requests = recording["requests"].as_array().unwrap().clone();
        // A browser sends each call alone: the `group` has to be first to gather them.
        requests.sort_by_key(|request| request["path"] != "/v1/g");
        for request in &requests {
            let headers = request["headers"].as_object().unwrap().iter();
            let headers: Vec<_> =
                headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
            let body = STANDARD.decode(request["body_wire_base64"].as_str().unwrap()).unwrap();
            let reply = sut.send(request["path"].as_str().unwrap(), &headers, body).await;
            assert_eq!(reply.status, StatusCode::OK, "{client}: {}", reply.body);
            assert_eq!(reply.body["rejected"], json!([]), "{client}");
            assert_eq!(reply.body["duplicates"], 0, "{client}");
        }
        let account = sut.event_names(CustomerKey::subject("acct-9")).await;
        assert_eq!(account.len(), in_account, "{client}: {account:?}");
        for user in unlinked {
            let events = sut.event_names(CustomerKey::unlinked_user(user)).await;
            assert_eq!(events.len(), 1, "{client}: {user}: {events:?}");
        }
    }
}

#[tokio::test]
async fn recorded_gateway_events_are_answered_as_the_gateway_wants() {
    for (name, accepted) in [
        ("segment_py_0", 10),
        ("rudder_py_0", 8),
        ("segment_node_0", 8),
        ("analytics_next_0", 1),
        ("analytics_next_batch_0", 6),
    ] {
        let sut = Sut::accounts().await;
        sut.stack.store.add_write_key("WRITE_KEY", "recorded", now()).await.unwrap();
        let mut event = recorded(&format!("apigw_v2/{name}.json"));
        let answer = sut.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
        assert_eq!(answer["isBase64Encoded"], false);
        assert_eq!(answer["headers"]["content-type"], "application/json");
        let body: Json = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["accepted"], accepted, "{name}: {body}");
        event["isBase64Encoded"] = true.into();
        event["body"] = "%%%".into();
        assert_eq!(sut.invoke(&event).await.unwrap()["statusCode"], 400);
    }
}

fn records(bodies: &[&str]) -> Json {
    let record = |(index, body): (usize, &&str)| json!({"messageId": format!("r-{index}"), "eventSource": "aws:sqs", "body": body});
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_record_fails_only_when_it_could_not_be_stored() {
    let sut = Sut::users().await;
    taken(&sut.batch(&[login("damaged", "m-0")]).await, 1, 0);
    let key = aws_sdk_dynamodb::types::AttributeValue::S("damaged".to_owned());
    let damage = aws_sdk_dynamodb::types::AttributeValue::S("nonsense".to_owned());
    let update = sut.stack.dynamodb.update_item().table_name(&sut.stack.tables.customers);
    let update = update.key("pk", key).update_expression("SET profile = :damage");
    update.expression_attribute_values(":damage", damage).send().await.unwrap();

    let good = login("u", "m-1").to_string();
    let half = json!({"batch": [login("u", "m-2"), login("damaged", "m-3")]}).to_string();
    let answer = sut.invoke(&records(&[&good, "hello", &half, "{}"])).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "r-2"}]}));
    assert_eq!(sut.event_names(CustomerKey::subject("u")).await, ["login", "login"]);
    assert_eq!(sut.quarantined().await.len(), 2);

    let error = sut.invoke(&records(&[&half])).await.unwrap_err();
    assert!(error.to_string().contains("none of the 1 records"), "{error}");
    let answer = sut.invoke(&records(&["hello"])).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
}

#[tokio::test]
async fn a_record_that_is_delivered_again_counts_once() {
    let sut = Sut::users().await;
    let call = json!({"type": "track", "event": "login", "userId": "u"}).to_string();
    sut.invoke(&records(&[&call])).await.unwrap();
    sut.stack.clock.set(Some(now() + SignedDuration::from_hours(3)));
    sut.invoke(&records(&[&call])).await.unwrap();
    assert_eq!(sut.event_names(CustomerKey::subject("u")).await, ["login"]);
}

#[tokio::test]
async fn an_event_of_the_bus_is_taken_once_or_set_aside() {
    let sut = Sut::accounts().await;
    let event = |id: &str, detail: Json| {
        json!({
            "version": "0", "id": id, "detail-type": "Invoice Paid", "source": "billing",
            "account": "123456789012", "time": "2026-11-22T05:00:00Z", "region": "eu-west-1",
            "resources": [], "detail": detail,
        })
    };
    let paid = event("e-1", json!({"customerId": "acme", "amount": 12}));
    assert_eq!(sut.invoke(&paid).await.unwrap()["accepted"], 1);
    assert_eq!(sut.invoke(&paid).await.unwrap()["duplicates"], 1);
    assert_eq!(sut.event_names(CustomerKey::subject("acme")).await, ["Invoice Paid"]);
    let nobody = event("e-2", json!({"amount": 12}));
    assert_eq!(sut.invoke(&nobody).await.unwrap()["rejected"], 1);
    assert_eq!(sut.quarantined().await[0].0, "missing_user");
    sut.drop_table(&sut.stack.tables.events).await;
    assert!(
        sut.invoke(&event("e-3", json!({"customerId": "acme"}))).await.unwrap_err().retryable()
    );
}

#[tokio::test]
async fn an_event_of_no_known_kind_fails() {
    let sut = Sut::users().await;
    let s3 = json!({"Records": [{"messageId": "r", "eventSource": "aws:s3", "body": ""}]});
    for event in [json!({}), json!(7), json!({"detail-type": "x"}), s3] {
        assert!(!sut.invoke(&event).await.unwrap_err().retryable(), "{event}");
    }
}

#[tokio::test]
async fn an_event_costs_what_it_should() {
    let sut = Sut::accounts().await;
    taken(&sut.batch(&[group("u", "acme", "m-0"), login("u", "m-1")]).await, 2, 0);
    sut.units();

    taken(&sut.batch(&[login("u", "m-2")]).await, 1, 0);
    let lone = sut.units();
    assert!(lone.write_units <= 2.1 && lone.read_units <= 1.6, "{lone:?}");

    taken(&sut.batch(&[login("u", "m-2")]).await, 0, 1);
    let duplicate = sut.units();
    assert!(duplicate.write_units == 0.0 && duplicate.read_units <= 1.6, "{duplicate:?}");

    let session: Vec<Json> = (3..9).map(|n| login("u", &format!("m-{n}"))).collect();
    taken(&sut.batch(&session).await, 6, 0);
    let session = sut.units();
    let (written, read) = (session.write_units / 6.0, session.read_units / 6.0);
    assert!(written <= 1.25 && read <= 0.3, "{session:?}");
    println!("lone {lone:?}\nduplicate {duplicate:?}\nsession of six {session:?}");
}
