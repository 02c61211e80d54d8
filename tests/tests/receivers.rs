//! Receivers beyond SNS, from an event to the server of a vendor and back: each message arrives at least once
//! under one id whatever that server answers, none waits for another's, and a click in Slack is a decision.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::event::Event;
use domain::post::{self, ButtonKey};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::egress::{Egress, EgressError};
use platform::sweep::SweepKind;
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tower::ServiceExt as _;

const FILE: &str = "
version: 1
subject: account
traits: { name: text?, csm: email?, a: text?, b: text?, c: text?, d: text?, e: text? }
metrics: { logins: { count: login, over: 7d } }
stages:
  active: { enter: { when: metrics.logins >= 0, priority: 1 } }
standards:
  a_known: { required: [traits.a], severity: high, owner: ops }
  b_known: { required: [traits.b], severity: high, owner: ops }
  c_known: { required: [traits.c], severity: high, owner: ops }
  d_known: { required: [traits.d], severity: critical, owner: ops }
  e_known: { required: [traits.e], severity: low, owner: ops }
alerts:
  group_by: [csm]
  group_wait: 0s
  group_interval: 5m
  repeat_interval: 1d
  routes:
    - { match: { standard: a_known }, to: crm }
    - { match: { standard: b_known }, to: chat, escalate: [{ after: 4h, to: oncall }] }
    - { match: { standard: c_known }, to: am }
    - { match: { standard: d_known }, to: oncall }
    - { match: { standard: e_known }, to: team }
  receivers:
    crm: { webhook: crm_hook }
    chat: { slack: chat_hook }
    am: { alertmanager: am_url }
    oncall: { pagerduty: oncall_key }
    team: { sns: team }
";
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
const HOOK_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNING: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn start() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// What a server answers next.
#[derive(Clone)]
enum Says {
    Status(u16, &'static [(&'static str, &'static str)], &'static str),
    Nothing,
}

/// A request as it came.
#[derive(Debug, Clone)]
struct Came {
    path: String,
    headers: HeaderMap,
    body: String,
}

/// The servers of all vendors: one per first part of the path, with a script each; `ok` after its end.
#[derive(Clone, Default)]
struct Vendors {
    came: Arc<Mutex<Vec<Came>>>,
    scripts: Arc<Mutex<BTreeMap<String, VecDeque<Says>>>>,
}

async fn vendor(
    State(vendors): State<Vendors>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let name = path.split('/').nth(1).unwrap_or_default().to_owned();
    vendors.came.lock().unwrap().push(Came { path, headers, body });
    let says = vendors.scripts.lock().unwrap().get_mut(&name).and_then(VecDeque::pop_front);
    match says.unwrap_or(Says::Status(200, &[], "ok")) {
        Says::Status(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            response
        }
        Says::Nothing => std::future::pending().await,
    }
}

impl Vendors {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(vendor).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn says(&self, name: &str, script: &[Says]) {
        self.scripts.lock().unwrap().insert(name.to_owned(), script.to_vec().into());
    }

    fn of(&self, name: &str) -> Vec<Came> {
        let came = self.came.lock().unwrap();
        let is_it = |one: &&Came| one.path.split('/').nth(1) == Some(name);
        came.iter().filter(is_it).cloned().collect()
    }

    fn bodies(&self, name: &str) -> Vec<Json> {
        self.of(name).iter().map(|one| serde_json::from_str(&one.body).unwrap()).collect()
    }
}

struct World {
    pack: Pack,
    vendors: Vendors,
    url: String,
    runs: u64,
}

impl World {
    /// A pack whose receivers have addresses on this machine.
    async fn new() -> World {
        let pack = Pack::open(None, LocalClock::manual(start())).await.unwrap();
        pack.apply(FILE).await.unwrap().unwrap();
        let vendors = Vendors::default();
        let url = vendors.serve().await;
        let world = World { pack, vendors, url: url.clone(), runs: 0 };
        for (name, secret) in [
            ("crm_hook", format!("{url}/crm/hook {HOOK_KEY}")),
            ("chat_hook", format!("{url}/chat/services/T/B/X")),
            ("am_url", format!("{url}/am")),
            ("oncall_key", format!("{url}/oncall/v2/enqueue {ROUTING_KEY}")),
            ("slack_signing", SIGNING.to_owned()),
        ] {
            world.pack.store.add_source_secret(name, &secret, start()).await.unwrap();
        }
        world
    }

    fn at(&self, seconds: i64) -> Timestamp {
        let at = start() + SignedDuration::from_secs(seconds);
        self.pack.clock.set(Some(at));
        at
    }

    /// An account tells traits, and standards are judged.
    async fn happens(&mut self, account: &str, traits: Json) {
        let now = self.pack.clock.now();
        let body = json!({ "type": "group", "userId": "u", "groupId": account, "traits": traits });
        let Json::Object(body) = body else { unreachable!() };
        let id = format!("{account}-{now}-{}", self.runs);
        let event = Event::from_body(id, now, now, body).unwrap();
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let key = CustomerKey::subject(account);
        self.pack.store.commit(&key, &[event], &lifecycle, now).await.unwrap();
        self.runs += 1;
        let name = format!("run-{}", self.runs);
        self.pack.run(SweepFunction::Comply, &name, now, SweepKind::All).await.unwrap();
        self.pack.tell().await.unwrap();
    }

    async fn tick(&self, seconds: i64) {
        self.at(seconds);
        self.pack.tick().await.unwrap();
    }

    async fn api(&self, path: &str) -> Json {
        let router = console::router(Arc::clone(&self.pack.console));
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// What was noted of a receiver, the oldest first: what, and the answer.
    async fn noted(&self, receiver: &str) -> Vec<String> {
        let all = self.api("/api/notifications").await;
        let items = all["items"].as_array().unwrap().iter().rev();
        let items = items.filter(|one| one["receiver"] == receiver);
        items.map(|one| format!("{} {}", one["what"].as_str().unwrap(), one["answer"])).collect()
    }

    /// Sends a click as Slack does: the status and the answer.
    async fn click(&self, click: &Json, signed_at: i64, secret: &str) -> (u16, Json) {
        let payload: String = click
            .to_string()
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                b' ' => "+".to_owned(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        let body = format!("payload={payload}");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("v0:{signed_at}:{body}").as_bytes());
        let signature = format!("v0={}", domain::hex(&mac.finalize().into_bytes()));
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/slack/actions")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-slack-request-timestamp", signed_at.to_string())
            .header("x-slack-signature", signature)
            .body(Body::from(body))
            .unwrap();
        let router = ingest::router(Arc::clone(&self.pack.ingest));
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// The click of a user on a button of the last Slack message.
    fn clicked(&self, button: usize, trigger: &str) -> Json {
        let message = self.vendors.bodies("chat").pop().unwrap();
        let value = message["blocks"][3]["elements"][button]["value"].clone();
        json!({
            "type": "block_actions",
            "trigger_id": trigger,
            "user": { "id": "U024BE7LH", "username": "kim" },
            "message": message,
            "response_url": format!("{}/answers/{trigger}", self.url),
            "actions": [{ "action_id": "x", "type": "button", "value": value }],
        })
    }
}

fn known() -> Json {
    json!({ "name": "Acme", "csm": "kim@x", "a": "1", "b": "1", "c": "1", "d": "1", "e": "1" })
}

fn without(names: &[&str]) -> Json {
    let mut traits = known();
    names.iter().for_each(|name| {
        traits.as_object_mut().unwrap().remove(*name);
    });
    traits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_at_least_once_under_one_id_and_waits_for_nobody() {
    let mut world = World::new().await;
    let vendors = world.vendors.clone();
    vendors.says(
        "crm",
        &[Says::Status(500, &[], "oops"), Says::Status(429, &[("retry-after", "120")], "")],
    );
    vendors.says("chat", &[Says::Status(410, &[], "channel_is_archived")]);
    vendors.says("am", &[Says::Status(302, &[("location", "/elsewhere")], "")]);
    world.happens("acme", without(&["a", "b", "c", "d", "e"])).await;
    // Each was asked once, whatever the others answered; SNS too.
    for name in ["crm", "chat", "am", "oncall"] {
        assert_eq!(vendors.of(name).len(), 1, "{name}");
    }
    assert_eq!(world.pack.sns.published().len(), 1);
    assert_eq!(world.noted("oncall").await, ["sent \"200\""]);
    let gone = "the slack receiver did not take a message: 410 channel_is_archived";
    assert_eq!(world.noted("chat").await, [format!("failed \"{gone}\"")]);
    let moved = "the alertmanager receiver did not take a message: 302";
    assert_eq!(world.noted("am").await, [format!("failed \"{moved}\"")]);
    assert_eq!(world.noted("crm").await, Vec::<String>::new());
    // It is left alone for half a minute, then for as long as it asks.
    for (seconds, want) in [(10, 1), (29, 1), (31, 2), (90, 2), (150, 2), (152, 3), (300, 3)] {
        world.tick(seconds).await;
        assert_eq!(vendors.of("crm").len(), want, "after {seconds} s");
    }
    assert_eq!(world.noted("crm").await, ["sent \"200\""]);
    let came = vendors.of("crm");
    for one in &came {
        let header = |name: &str| one.headers[name].to_str().unwrap().to_owned();
        assert_eq!(
            (header("webhook-id"), &one.body),
            (came[0].headers["webhook-id"].to_str().unwrap().to_owned(), &came[0].body)
        );
        // What is signed is what came, at the time it was sent.
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&STANDARD.decode(&HOOK_KEY[6..]).unwrap()).unwrap();
        let signed =
            format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), one.body);
        mac.update(signed.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(header("webhook-signature"), format!("v1,{signature}"));
    }
    // What was refused for good is not sent again, and a redirect leads nowhere.
    assert_eq!((vendors.of("chat").len(), vendors.of("am").len()), (1, 1));
    assert!(vendors.of("elsewhere").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_keeps_no_other_waiting_and_its_messages_stay_in_order() {
    let mut world = World::new().await;
    let vendors = world.vendors.clone();
    vendors.says("oncall", &[Says::Nothing, Says::Status(503, &[], "")]);
    world.happens("acme", without(&["a", "d", "e"])).await;
    assert_eq!(vendors.of("crm").len(), 1);
    assert_eq!(world.pack.sns.published().len(), 1);
    // It ended before anybody could be told that it began.
    world.at(400);
    world.happens("acme", known()).await;
    world.tick(700).await;
    let events = |world: &World| -> Vec<String> {
        let bodies = world.vendors.bodies("oncall").into_iter();
        bodies.map(|body| body["event_action"].as_str().unwrap().to_owned()).collect()
    };
    // The second attempt failed too: that it ended waits behind that it began.
    assert_eq!(events(&world), ["trigger", "trigger"]);
    world.tick(1_000).await;
    assert_eq!(events(&world), ["trigger", "trigger", "trigger", "resolve"]);
    let bodies = vendors.bodies("oncall");
    assert!(bodies.iter().all(|body| body["dedup_key"] == bodies[0]["dedup_key"]));
    assert_eq!(bodies[3]["routing_key"], ROUTING_KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_for_a_day_is_given_up() {
    let mut world = World::new().await;
    let vendors = world.vendors.clone();
    vendors.says("crm", &[const { Says::Status(500, &[], "") }; 100]);
    world.happens("acme", without(&["a"])).await;
    let mut seconds = 0;
    while world.noted("crm").await.is_empty() {
        seconds += 3_600;
        assert!(seconds < 26 * 3_600, "{} attempts", vendors.of("crm").len());
        world.tick(seconds).await;
    }
    assert!(seconds > 24 * 3_600, "{seconds}");
    let told = "the webhook receiver did not take a message: 500";
    assert!(world.noted("crm").await[0].contains(&format!("failed \"{told}\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_escalated_to_pagerduty_is_acknowledged_and_resolved_there() {
    let mut world = World::new().await;
    world.happens("acme", without(&["b"])).await;
    assert!(world.vendors.of("oncall").is_empty());
    world.tick(4 * 3_600 + 1).await;
    let groups = world.api("/api/alerts").await;
    let id = groups["items"][0]["id"].as_str().unwrap().to_owned();
    let now = world.at(4 * 3_600 + 60);
    let by = domain::journal::Author { name: "kim".to_owned(), reason: None };
    let lifecycle = world.pack.store.lifecycle().await.unwrap();
    world.pack.store.acknowledge_alerts(&id, &by, &lifecycle, now).await.unwrap();
    world.tick(4 * 3_600 + 120).await;
    world.at(5 * 3_600);
    world.happens("acme", known()).await;
    world.tick(6 * 3_600).await;
    let events: Vec<Json> = world.vendors.bodies("oncall");
    let actions: Vec<&str> =
        events.iter().map(|one| one["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(events.iter().all(|one| one["dedup_key"] == format!("lifecycle:{id}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_in_slack_acknowledges_the_group_and_it_is_not_repeated() {
    let mut world = World::new().await;
    world.happens("acme", without(&["b"])).await;
    world.happens("axa", without(&["b"])).await;
    world.tick(300).await;
    assert_eq!(world.vendors.of("chat").len(), 2, "a group of two has one button to acknowledge");
    let at = world.at(600).as_second();
    let click = world.clicked(0, "t1");
    // None of these is Slack's, or ours.
    let mut tampered = click.clone();
    let value = click["actions"][0]["value"].as_str().unwrap().replace("acknowledge", "snooze_1d");
    tampered["actions"][0]["value"] = json!(value);
    let mut forged = click.clone();
    let of = ("0123456789abcdef", start());
    let button = post::Button::new(post::ButtonAction::Acknowledge, of, "chat", start());
    forged["actions"][0]["value"] = json!(ButtonKey::of(b"guess").sign(&button));
    for (click, signed_at, secret, code) in [
        (&click, at, "another", "wrong_signature"),
        (&click, at - 301, SIGNING, "outside_window"),
        (&click, at + 301, SIGNING, "outside_window"),
        (&tampered, at, SIGNING, "wrong_button"),
        (&forged, at, SIGNING, "wrong_button"),
    ] {
        let (status, answer) = world.click(click, signed_at, secret).await;
        assert_eq!((status, &answer["code"]), (401, &json!(code)));
    }
    let state = |groups: &Json| groups["items"][0]["state"].clone();
    assert_eq!(state(&world.api("/api/alerts").await), "firing");
    assert!(world.vendors.of("answers").is_empty());

    let (status, answer) = world.click(&click, at, SIGNING).await;
    assert_eq!(status, 200, "{answer}");
    let group = world.api("/api/alerts").await["items"][0].clone();
    assert_eq!(group["state"], "acknowledged");
    assert_eq!(group["acknowledged"]["author"], "slack:U024BE7LH");
    let log = world.api("/api/notifications").await;
    assert_eq!(
        (&log["items"][0]["what"], &log["items"][0]["author"]),
        (&json!("acknowledged"), &json!("slack:U024BE7LH"))
    );
    // The message loses its buttons and says who looks after it.
    let replaced = world.vendors.bodies("answers");
    assert_eq!(replaced, std::slice::from_ref(&answer));
    assert_eq!(
        (&answer["replace_original"], answer["blocks"].as_array().unwrap().len()),
        (&json!(true), 4)
    );
    assert_eq!(answer["text"], "✓ <@U024BE7LH> looks after this.");
    // The same request again is no decision.
    let (status, answer) = world.click(&click, at, SIGNING).await;
    assert_eq!((status, &answer["code"]), (401, &json!("replayed")));
    // Neither a repetition nor the escalation comes.
    for hours in [5, 25, 49] {
        world.tick(hours * 3_600).await;
    }
    assert_eq!((world.vendors.of("chat").len(), world.vendors.of("oncall").len()), (2, 0));
    // A message of a group that is over, and began anew, has buttons of its own only.
    world.at(50 * 3_600);
    world.happens("acme", known()).await;
    world.happens("axa", known()).await;
    world.tick(51 * 3_600).await;
    let at = world.at(51 * 3_600).as_second();
    let mut old = click.clone();
    old["trigger_id"] = json!("t2");
    let (status, answer) = world.click(&old, at, SIGNING).await;
    assert_eq!((status, &answer["text"]), (200, &json!("This is over already.")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_in_slack_says_what_the_one_finding_of_a_message_was_worth() {
    for (button, outcome, said) in
        [(0, "useful", "useful"), (1, "known", "known before"), (2, "false", "a false alarm")]
    {
        let mut world = World::new().await;
        world.happens("acme", without(&["b"])).await;
        let at = world.at(600).as_second();
        let click = world.clicked(button, "t1");
        let text = click["actions"][0]["value"].as_str().unwrap();
        assert!(text.contains(outcome) && !text.contains("acme"), "{text}");
        // Another outcome than was signed, or another's signature, is no decision.
        let mut tampered = click.clone();
        tampered["actions"][0]["value"] = json!(text.replace(outcome, "usefull"));
        let (status, answer) = world.click(&tampered, at, SIGNING).await;
        assert_eq!((status, &answer["code"]), (401, &json!("wrong_button")));
        assert_eq!(world.click(&click, at, "another").await.0, 401);
        assert_eq!(world.api("/api/findings").await["items"][0]["acknowledged"], json!(null));

        let (status, answer) = world.click(&click, at, SIGNING).await;
        assert_eq!(status, 200, "{answer}");
        let text = format!("✓ <@U024BE7LH> looks after this. It was {said}.");
        assert_eq!(answer["text"], text.as_str());
        let seen = world.api("/api/findings").await["items"][0]["acknowledged"].clone();
        assert_eq!(
            (&seen["outcome"], &seen["author"]),
            (&json!(outcome), &json!("slack:U024BE7LH"))
        );
        assert_eq!(world.api("/api/alerts").await["items"][0]["state"], "acknowledged");
        // Nobody hears of it again.
        for hours in [5, 25] {
            world.tick(hours * 3_600).await;
        }
        assert_eq!((world.vendors.of("chat").len(), world.vendors.of("oncall").len()), (1, 0));
        // Of what was mended meanwhile nothing is said.
        world.happens("acme", known()).await;
        let mut late = click.clone();
        late["trigger_id"] = json!("t2");
        let at = world.at(26 * 3_600).as_second();
        let (status, answer) = world.click(&late, at, SIGNING).await;
        assert_eq!((status, &answer["text"]), (200, &json!("This is over already.")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_snoozed_in_slack_is_told_when_the_hour_is_over() {
    let mut world = World::new().await;
    world.happens("acme", without(&["b"])).await;
    let at = world.at(60).as_second();
    let (status, _) = world.click(&world.clicked(3, "t1"), at, SIGNING).await;
    assert_eq!(status, 200);
    let silence = world.api("/api/silences").await["items"][0].clone();
    assert_eq!(
        (&silence["author"], &silence["ends_at"]),
        (&json!("slack:U024BE7LH"), &json!("2026-03-02T13:01:00Z"))
    );
    assert_eq!(silence["reason"], "Snooze 1 hour in Slack");
    assert_eq!(world.api("/api/alerts").await["items"][0]["state"], "silenced");
    // Another account of the same group joins, and nobody hears of it; other groups are told.
    world.at(600);
    let mut other = without(&["b"]);
    other["name"] = json!("Axa");
    world.happens("axa", other.clone()).await;
    other["csm"] = json!("lou@x");
    world.happens("boreal", other).await;
    world.tick(1_200).await;
    let told = |world: &World| -> Vec<String> {
        let bodies = world.vendors.bodies("chat").into_iter();
        bodies.map(|body| body["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told(&world).len(), 2, "{:?}", told(&world));
    assert!(told(&world)[1].contains("lou@x"));
    for seconds in [3_661, 3_960, 4_260] {
        world.tick(seconds).await;
    }
    let told = told(&world);
    assert!(told.len() == 3 && told[2].contains("kim@x") && told[2].contains("Axa"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_a_message_is_shown_on_this_machine() {
    let pack = Pack::open(None, LocalClock::manual(start())).await.unwrap();
    pack.apply(FILE).await.unwrap().unwrap();
    let vendors = Vendors::default();
    let mut world = World { pack, vendors, url: String::new(), runs: 0 };
    world.happens("acme", without(&["a", "b", "c", "d"])).await;
    let mut kept: Vec<String> = world
        .pack
        .posts
        .kept()
        .into_iter()
        .map(|one| format!("{} {}", one.channel.as_str(), one.secret))
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        ["alertmanager am_url", "pagerduty oncall_key", "slack chat_hook", "webhook crm_hook"]
    );
    // And a click, which nothing signs here, is refused.
    let (status, answer) = world.click(&json!({}), start().as_second(), SIGNING).await;
    assert_eq!((status, &answer["code"]), (401, &json!("no_secret")));
}

#[tokio::test]
async fn the_way_out_follows_no_redirect_reads_little_and_gives_up_in_time() {
    let vendors = Vendors::default();
    let url = vendors.serve().await;
    let egress = Egress::with_this_machine(Duration::from_millis(300));
    let asked = |path: &str| post::Request {
        url: format!("{url}/{path}"),
        headers: vec![("content-type", "application/json".to_owned())],
        body: "{}".to_owned(),
    };
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "x".repeat(1 << 20));
    vendors.says("moved", &[Says::Status(307, &[("location", "/elsewhere")], "")]);
    vendors.says("long", &[Says::Status(200, &[], LONG.as_str())]);
    vendors.says("hangs", &[Says::Nothing]);
    let answer = egress.send(&asked("moved"), start()).await.unwrap();
    assert_eq!((answer.status, vendors.of("elsewhere").len()), (307, 0));
    let answer = egress.send(&asked("long"), start()).await.unwrap();
    assert_eq!(answer.body.len(), platform::egress::MAX_ANSWER_BYTES);
    assert_eq!(egress.send(&asked("hangs"), start()).await, Err(EgressError::Timeout));
    // The way of production does not lead here, whatever the scheme.
    let plain = Egress::public().send(&asked("x"), start()).await;
    assert_eq!(plain, Err(EgressError::NotHttps));
    let mut secure = asked("x");
    secure.url = secure.url.replace("http://", "https://");
    assert_eq!(Egress::public().send(&secure, start()).await, Err(EgressError::NotPublic));
    let closed = post::Request { url: "http://127.0.0.1:1/".to_owned(), ..asked("x") };
    assert_eq!(egress.send(&closed, start()).await, Err(EgressError::Unreachable));
}
