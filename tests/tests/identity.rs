//! Who is who: events that come before their link, aliases, and moves that die at every step.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use domain::audit::first_break;
use domain::customer::Profile;
use domain::decide::decide;
use domain::fold::{Scope, fold};
use domain::lifecycle::{Lifecycle, load};
use jiff::Timestamp;
use platform::store::{CustomerFilter, Decisions};
use platform::{Clock, CustomerKey, Store};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tests::crash::{Crash, Side};
use tests::stack::Stack;
use tower::ServiceExt as _;

const FILE: &str = "
version: 1
subject: account
traits:
  plan: text?
  phone: text?
metrics:
  logins_7d: { count: login, over: 7d }
  users_7d: { distinct: user, over: 7d }
  spend: { sum: order.amount }
segments:
  active: metrics.logins_7d >= 1
stages:
  active:
    enter: { when: segment.active, priority: 10 }
standards:
  plan_known: { required: [traits.plan], only_if: segment.active, severity: high, owner: rev_ops }
";

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

fn users() -> String {
    FILE.replace("subject: account", "subject: user")
}

/// Tables that several processes work on.
struct World {
    stack: Stack,
    lifecycle: Lifecycle,
}

/// A process with caches of its own.
struct Process {
    app: Arc<ingest::App>,
    crash: Crash,
}

impl World {
    async fn of(file: &str) -> World {
        World { stack: Stack::start(file, now()).await.unwrap(), lifecycle: load(file).unwrap() }
    }

    async fn process(&self) -> Process {
        let crash = Crash::default();
        let client = crash.client(&self.stack.dynamodb);
        let store = Store::new(client, self.stack.tables.clone(), 400);
        // What every process knows after its first request.
        store.lifecycle().await.unwrap();
        store.write_key_label("dev").await.unwrap();
        let app = ingest::App {
            store,
            clock: Clock::new(now),
            public_url: None,
            egress: platform::egress::Egress::quick(),
        };
        Process { app: Arc::new(app), crash }
    }

    async fn ids(&self, key: &CustomerKey) -> Vec<String> {
        let page = self.stack.store.event_page(key, 1_000, None).await.unwrap();
        let mut ids: Vec<String> = page.items.into_iter().map(|event| event.id).collect();
        ids.sort();
        ids
    }

    async fn account(&self, id: &str) -> Vec<String> {
        self.ids(&CustomerKey::subject(id)).await
    }

    async fn user(&self, id: &str) -> Vec<String> {
        self.ids(&CustomerKey::unlinked_user(id)).await
    }

    /// Everything that anybody could tell apart: customers with their profiles, and every log.
    async fn state(&self) -> BTreeMap<String, (Profile, Vec<String>)> {
        let filter = CustomerFilter::default();
        let customers = self.stack.store.customers(&filter, 1_000, None).await.unwrap();
        let mut state = BTreeMap::new();
        for found in customers.items {
            self.is_the_fold_of_its_log(&found.key).await;
            let ids = self.ids(&found.key).await;
            state.insert(found.key.to_string(), (found.customer.profile, ids));
        }
        state
    }

    async fn is_the_fold_of_its_log(&self, key: &CustomerKey) {
        let events = self.stack.store.event_page(key, 1_000, None).await.unwrap().items;
        let mut profile = Profile::default();
        fold(&mut profile, &self.lifecycle, &Scope::Whole, &events, now());
        let found = self.stack.store.customer(key).await.unwrap().customer.profile;
        assert_eq!(found, profile, "{key}");
    }

    /// Decides about a customer, as the sweeps do.
    async fn settle(&self, key: &CustomerKey) {
        for _ in 0..4 {
            let before = self.stack.store.customer(key).await.unwrap();
            let decision = decide(&before.customer, &self.lifecycle, now());
            let decisions = Decisions::of(decision.into_changes());
            self.stack.store.decide(&before, &decisions, &self.lifecycle, now()).await.unwrap();
        }
    }
}

impl Process {
    async fn send(&self, calls: &[Json]) -> StatusCode {
        self.answer(calls).await.0
    }

    async fn answer(&self, calls: &[Json]) -> (StatusCode, Json) {
        let request = Request::post("/v1/batch").header("authorization", "Bearer dev");
        let request = request.body(Body::from(json!({"batch": calls}).to_string())).unwrap();
        let answer = ingest::router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, serde_json::from_slice(&body).unwrap())
    }

    async fn ok(&self, calls: &[Json]) {
        let (status, body) = self.answer(calls).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
}

fn call(kind: &str, id: &str, minute: u32, more: Json) -> Json {
    let at = format!("2026-11-22T05:{minute:02}:00Z");
    let mut call = json!({"type": kind, "messageId": id, "timestamp": at});
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

fn login(user: &str, id: &str) -> Json {
    call("track", id, 10, json!({"event": "login", "userId": user}))
}

fn order(user: &str, id: &str) -> Json {
    let properties = json!({"amount": 12.5});
    call("track", id, 20, json!({"event": "order", "userId": user, "properties": properties}))
}

fn group(user: &str, account: &str, id: &str) -> Json {
    call("group", id, 30, json!({"userId": user, "groupId": account, "traits": {"plan": "team"}}))
}

fn alias(previous: &str, user: &str, id: &str) -> Json {
    call("alias", id, 40, json!({"previousId": previous, "userId": user}))
}

#[tokio::test]
async fn what_came_before_the_link_is_in_the_account_afterwards_and_nowhere_else() {
    let world = World::of(FILE).await;
    let process = world.process().await;
    process.ok(&[login("u", "1"), order("u", "2")]).await;
    assert_eq!(world.user("u").await, ["1", "2"]);
    process.ok(&[group("u", "acme", "3")]).await;
    process.ok(&[login("u", "4")]).await;
    assert_eq!(world.account("acme").await, ["1", "2", "3", "4"]);
    assert!(world.user("u").await.is_empty());
    let state = world.state().await;
    assert_eq!(state.keys().collect::<Vec<_>>(), ["acme"]);
}

#[tokio::test]
async fn an_event_that_was_moved_and_is_sent_again_is_a_duplicate() {
    let world = World::of(FILE).await;
    let (one, other) = (world.process().await, world.process().await);
    one.ok(&[login("u", "1")]).await;
    other.ok(&[login("u", "2")]).await;
    one.ok(&[group("u", "acme", "3")]).await;
    // The other one still believes that the user has no account.
    for process in [&one, &other] {
        let (_, body) = process.answer(&[login("u", "1"), login("u", "2"), login("u", "1")]).await;
        assert_eq!((&body["accepted"], &body["duplicates"]), (&json!(0), &json!(3)));
    }
    assert_eq!(world.account("acme").await, ["1", "2", "3"]);
    assert_eq!(world.state().await.len(), 1);
}

#[tokio::test]
async fn a_process_that_knows_no_link_yet_puts_nothing_beside_the_account() {
    let world = World::of(FILE).await;
    let (one, other) = (world.process().await, world.process().await);
    let store = &other.app.store;
    let home = store.home_of("u", &world.lifecycle, now()).await.unwrap();
    assert_eq!(home, CustomerKey::unlinked_user("u"));
    one.ok(&[group("u", "acme", "1")]).await;
    other.ok(&[login("u", "2")]).await;
    assert_eq!(world.account("acme").await, ["1", "2"]);
    assert_eq!(world.state().await.len(), 1);
    other.ok(&[login("u", "3")]).await;
    assert_eq!(world.account("acme").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_user_who_goes_to_another_account_leaves_the_past_where_it_is() {
    let world = World::of(FILE).await;
    let process = world.process().await;
    process.ok(&[group("u", "acme", "1"), login("u", "2")]).await;
    let to_globex = call("group", "3", 50, json!({"userId": "u", "groupId": "globex"}));
    process.ok(&[to_globex]).await;
    process.ok(&[login("u", "4")]).await;
    // Told late, it is older than what is known.
    let late = call("group", "5", 1, json!({"userId": "u", "groupId": "initech"}));
    process.ok(&[late]).await;
    process.ok(&[login("u", "6")]).await;
    assert_eq!(world.account("acme").await, ["1", "2"]);
    assert_eq!(world.account("globex").await, ["3", "4", "6"]);
    assert_eq!(world.account("initech").await, ["5"]);
}

#[tokio::test]
async fn an_alias_brings_what_was_anonymous_to_the_account_in_any_order() {
    for first in [true, false] {
        let world = World::of(FILE).await;
        let process = world.process().await;
        process.ok(&[login("anon", "1"), login("u", "2")]).await;
        let (link, same) = (group("u", "acme", "3"), alias("anon", "u", "4"));
        process.ok(&[if first { link.clone() } else { same.clone() }]).await;
        process.ok(&[if first { same } else { link }]).await;
        process.ok(&[login("anon", "5"), login("u", "6")]).await;
        world.process().await.ok(&[login("anon", "7")]).await;
        assert_eq!(world.account("acme").await, ["1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(world.state().await.len(), 1);
    }
}

#[tokio::test]
async fn the_account_of_an_id_is_the_account_of_the_user_it_is_an_alias_of() {
    for first in [true, false] {
        let world = World::of(FILE).await;
        let process = world.process().await;
        let (link, same) = (group("anon", "acme", "1"), alias("anon", "u", "2"));
        process.ok(&[if first { link.clone() } else { same.clone() }]).await;
        process.ok(&[if first { same } else { link }]).await;
        process.ok(&[login("u", "3"), login("anon", "4")]).await;
        assert_eq!(world.account("acme").await, ["1", "2", "3", "4"]);
        let found = world.stack.store.find_customer("anon", world.lifecycle.subject).await.unwrap();
        assert_eq!(found.unwrap().key, CustomerKey::subject("acme"));
    }
}

#[tokio::test]
async fn where_users_are_customers_an_alias_makes_one_of_two() {
    let world = World::of(&users()).await;
    let process = world.process().await;
    let told = call("identify", "1", 5, json!({"userId": "anon", "traits": {"phone": "1"}}));
    process.ok(&[told, login("anon", "2"), login("u", "3")]).await;
    let old = CustomerKey::subject("anon");
    world.settle(&old).await;
    assert_eq!(world.stack.store.findings("open", 10, None).await.unwrap().items.len(), 1);
    process.ok(&[alias("anon", "u", "4")]).await;
    process.ok(&[login("anon", "5")]).await;
    assert_eq!(world.account("u").await, ["1", "2", "3", "4", "5"]);
    assert_eq!(world.state().await.keys().collect::<Vec<_>>(), ["u"]);

    // The old one left its stage and its findings, and says so in its journal.
    assert!(world.stack.store.findings("open", 10, None).await.unwrap().items.is_empty());
    assert_eq!(world.stack.store.findings("closed", 10, None).await.unwrap().items.len(), 1);
    assert_eq!(world.stack.store.count_stage("active").await.unwrap(), 0);
    let mut journal = world.stack.store.journal(&old, 100, None).await.unwrap().items;
    journal.reverse();
    assert_eq!(first_break(&journal), None);
    assert_eq!(journal.len(), 4);
    let left = journal.iter().find(|entry| entry.rule == "identity.moved").unwrap();
    assert_eq!((left.from.as_deref(), left.to.as_deref()), (Some("active"), None));
}

#[tokio::test]
async fn aliases_end_wherever_they_lead() {
    for file in [FILE.to_owned(), users()] {
        let world = World::of(&file).await;
        let process = world.process().await;
        process.ok(&[login("a", "1"), login("b", "2"), login("c", "3")]).await;
        process.ok(&[alias("a", "a", "4")]).await;
        process.ok(&[alias("a", "b", "5"), alias("b", "c", "6")]).await;
        // Back along the chain: nothing new.
        process.ok(&[alias("c", "a", "7"), alias("b", "a", "8")]).await;
        process.ok(&[login("a", "9"), login("b", "10"), login("c", "11")]).await;
        let state = world.state().await;
        assert_eq!(state.len(), 1, "{state:?}");
        let (key, (_, ids)) = state.first_key_value().unwrap();
        assert!(key.ends_with('c'), "{key}");
        assert_eq!(ids.len(), 11);
    }
}

#[tokio::test]
async fn an_alias_without_a_previous_id_is_an_event() {
    let world = World::of(&users()).await;
    world.process().await.ok(&[call("alias", "1", 1, json!({"userId": "u"}))]).await;
    assert_eq!(world.account("u").await, ["1"]);
}

#[tokio::test]
async fn an_event_with_both_ids_is_about_the_user() {
    let world = World::of(FILE).await;
    let process = world.process().await;
    let ids = json!({"event": "login", "userId": "u", "anonymousId": "anon"});
    process.ok(&[group("u", "acme", "1"), call("track", "2", 11, ids)]).await;
    assert_eq!(world.account("acme").await, ["1", "2"]);
}

/// A history, and a delivery that moves some of it.
type Scenario = (&'static str, bool, Vec<Vec<Json>>, Vec<Json>);

fn scenarios() -> Vec<Scenario> {
    let before = || vec![vec![login("u", "1"), order("u", "2")], vec![login("v", "3")]];
    vec![
        ("link", false, before(), vec![group("u", "acme", "4"), login("u", "5")]),
        (
            "alias of a linked user",
            false,
            [before(), vec![vec![group("v", "acme", "4")]]].concat(),
            vec![alias("u", "v", "5")],
        ),
        ("alias of a user", false, before(), vec![alias("u", "v", "4"), login("u", "5")]),
        (
            "alias of an id with a link",
            false,
            [before(), vec![vec![group("u", "acme", "4")]]].concat(),
            vec![alias("u", "v", "5")],
        ),
        (
            "link of an alias",
            false,
            [before(), vec![vec![alias("u", "v", "4")]]].concat(),
            vec![group("u", "acme", "5")],
        ),
        ("alias where users are customers", true, before(), vec![alias("u", "v", "4")]),
    ]
}

/// Plays a scenario with a death, and the sender's retry to the same or another process: the state
/// it comes to, and whether anybody died.
async fn play(
    scenario: &Scenario,
    death: Option<(usize, Side)>,
    same: bool,
) -> (BTreeMap<String, (Profile, Vec<String>)>, bool) {
    let (name, is_user, history, delivery) = scenario;
    let file = if *is_user { users() } else { FILE.to_owned() };
    let world = World::of(&file).await;
    let earlier = world.process().await;
    for calls in history {
        earlier.ok(calls).await;
    }
    for key in [CustomerKey::subject("u"), CustomerKey::unlinked_user("u")] {
        if world.stack.store.customer(&key).await.unwrap().is_here() {
            world.settle(&key).await;
        }
    }
    let process = world.process().await;
    let mut has_died = false;
    if let Some((at, side)) = death {
        process.crash.at(at, side);
        let status = process.send(delivery).await;
        has_died = process.crash.recover();
        if has_died && status == StatusCode::OK {
            // Only the count of what its sender sent was left to write.
            let again = world.process().await.answer(delivery).await;
            assert_eq!(again.1["accepted"], 0, "{name}: {death:?}: {}", again.1);
        } else {
            let expected = if has_died { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            assert_eq!(status, expected, "{name}: {death:?}");
        }
    }
    let next = if same { process } else { world.process().await };
    next.ok(delivery).await;
    // Whoever comes later finds it done.
    next.ok(delivery).await;
    let mut late = earlier.answer(&[login("u", "late")]).await;
    assert_eq!(late.0, StatusCode::OK);
    late = world.process().await.answer(&[login("u", "late")]).await;
    assert_eq!(late.1["duplicates"], 1, "{name}: {death:?}");
    (world.state().await, has_died)
}

#[tokio::test]
async fn a_move_that_dies_anywhere_is_finished_by_the_next_delivery() {
    for scenario in scenarios() {
        let (expected, _) = play(&scenario, None, true).await;
        for side in [Side::Before, Side::After] {
            let mut deaths = 0;
            for at in 0.. {
                let same = at % 2 == 0;
                let (state, has_died) = play(&scenario, Some((at, side)), same).await;
                assert_eq!(state, expected, "{}: {side:?} {at}, same: {same}", scenario.0);
                if !has_died {
                    break;
                }
                deaths += 1;
            }
            assert!(deaths > 8, "{}: it died {deaths} times", scenario.0);
        }
    }
}

/// Which process a delivery goes to, which call it has, and where the process dies.
type Step = (usize, usize, Option<(usize, bool)>);

/// Deliveries to one of three processes, one or two at a time, some of which die.
fn chaos() -> impl Strategy<Value = Vec<Step>> {
    let death = prop_oneof![3 => Just(None), 2 => (0usize..14, any::<bool>()).prop_map(Some)];
    prop::collection::vec((0usize..3, any::<prop::sample::Index>(), death), 30..60).prop_map(
        |steps| {
            let steps = steps.into_iter();
            steps.map(|(process, call, death)| (process, call.index(CALLS), death)).collect()
        },
    )
}

const CALLS: usize = 15;

fn calls() -> Vec<Json> {
    let mut calls = vec![
        group("u", "acme", "g1"),
        group("v", "acme", "g2"),
        group("w", "globex", "g3"),
        alias("a", "u", "a1"),
        alias("b", "a", "a2"),
        alias("c", "w", "a3"),
    ];
    for (at, user) in ["u", "v", "w", "a", "b", "c", "a", "b", "c"].iter().enumerate() {
        let id = format!("t{at}");
        calls.push(if at % 2 == 0 { login(user, &id) } else { order(user, &id) });
    }
    assert_eq!(calls.len(), CALLS);
    calls
}

async fn deliver(process: &Process, call: &Json, death: Option<(usize, bool)>) {
    if let Some((at, is_before)) = death {
        process.crash.at(at, if is_before { Side::Before } else { Side::After });
        process.send(std::slice::from_ref(call)).await;
        process.crash.recover();
    }
    process.ok(std::slice::from_ref(call)).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_order_any_duplicates_and_any_deaths_come_to_one_state(steps in chaos()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::of(FILE).await;
            let calls = calls();
            let processes =
                [world.process().await, world.process().await, world.process().await];
            for pair in steps.chunks(2) {
                let (process, call, death) = pair[0];
                let first = deliver(&processes[process], &calls[call], death);
                match pair.get(1) {
                    // Two at once, in different processes.
                    Some((other, call, None)) if *other != process => {
                        let second = deliver(&processes[*other], &calls[*call], None);
                        futures::join!(first, second);
                    }
                    Some((other, call, death)) => {
                        first.await;
                        deliver(&processes[*other], &calls[*call], *death).await;
                    }
                    None => first.await,
                }
            }
            // In the end everything was told.
            for (at, call) in calls.iter().enumerate() {
                deliver(&processes[at % 3], call, None).await;
            }
            let last = world.process().await;
            for call in &calls {
                let (_, body) = last.answer(std::slice::from_ref(call)).await;
                assert_eq!(body["duplicates"], 1, "{call}: {body}");
            }
            let state = world.state().await;
            assert_eq!(state.keys().collect::<Vec<_>>(), ["acme", "globex"]);
            let count = |key: &str| state[key].1.len();
            assert_eq!((count("acme"), count("globex")), (10, 5));
            for user in ["u", "v", "w", "a", "b", "c"] {
                assert!(world.user(user).await.is_empty(), "{user}");
            }
        });
    }
}
