//! What `ingest` promises when the tables fail it: at every single call, in every way they can.
//!
//! Each delivery is sent once without faults, to see how many calls it takes and what is held
//! afterwards. Then it is sent again and again under other names, each time with one fault at one
//! of the calls, until it is acknowledged, as its sender would. What is held must then be the same,
//! and sending it once more must change nothing.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]
#![allow(clippy::print_stdout, reason = "figures are printed for people to see")]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use domain::facts::Facts;
use domain::lifecycle::Lifecycle;
use ingest::App;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use platform::store::QuarantineFilter;
use platform::{CustomerKey, Store};
use serde_json::{Value as Json, json};
use tests::faults::{Attempts, Fault, Faults};
use tests::sender::{Way, batch, deliver};
use tests::stack::Stack;

const SOURCE: &str = "
version: 1
subject: account
traits:
  plan: text?
metrics:
  logins_7d: { count: login, over: 7d }
  users_7d: { distinct: user, over: 7d }
  spent_28d: { sum: order.amount, over: 28d }
stages:
  active:
    enter: { when: metrics.logins_7d >= 1, priority: 10 }
";
/// One fault never takes more than this, nor does a storm.
const MAX_ATTEMPTS: usize = 200;
/// How long a sender waits before it sends again: into another hour of the log.
const PAUSE: SignedDuration = SignedDuration::from_mins(70);

fn now() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

/// Calls under a name of their own, so that many deliveries share one stack.
struct Delivery {
    way: Way,
    /// Sent before, without faults.
    before: Vec<Json>,
    calls: Vec<Json>,
    /// Whose state it changes.
    customers: Vec<CustomerKey>,
}

/// What there is of a delivery, without its name.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    customers: BTreeMap<String, Customer>,
    set_aside: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Customer {
    events: Vec<String>,
    metrics: Vec<Option<f64>>,
    traits: Vec<String>,
}

struct World {
    stack: Stack,
    lifecycle: Arc<Lifecycle>,
    faults: Faults,
}

impl World {
    async fn start() -> World {
        let stack = Stack::start(SOURCE, now()).await.unwrap();
        let lifecycle = stack.store.lifecycle().await.unwrap();
        World { stack, lifecycle, faults: Faults::default() }
    }

    /// A process of the function that has just started: it remembers nothing.
    fn process(&self, clock: &LocalClock, attempts: Attempts) -> Arc<App> {
        let client = self.faults.dynamodb(&self.stack.dynamodb, attempts);
        let store = Store::new(client, self.stack.tables.clone(), 400);
        Arc::new(App {
            store,
            clock: clock.handle(),
            public_url: None,
            egress: platform::egress::Egress::quick(),
        })
    }

    /// Sends a delivery until it is acknowledged: how many attempts that took, and how many of its
    /// calls were new and how many were there already, as the last attempt says.
    async fn send(&self, delivery: &Delivery, attempts: Attempts) -> (usize, u64, u64) {
        let clock = LocalClock::manual(now());
        let mut process = self.process(&clock, attempts);
        for attempt in 1..=MAX_ATTEMPTS {
            if let Some((accepted, duplicates)) =
                deliver(&process, delivery.way, &delivery.calls).await
            {
                return (attempt, accepted, duplicates);
            }
            clock.set(Some(clock.now() + PAUSE));
            // The sender may meet the same process again, or another.
            if attempt % 2 == 1 {
                process = self.process(&clock, attempts);
            }
        }
        panic!("not acknowledged after {MAX_ATTEMPTS} attempts");
    }

    async fn prepare(&self, delivery: &Delivery) {
        let app = self.process(&LocalClock::manual(now()), Attempts::One);
        for calls in &delivery.before {
            assert_eq!(batch(&app, calls).await.status, StatusCode::OK);
        }
    }

    async fn held(&self, name: &str, delivery: &Delivery) -> Held {
        let store = &self.stack.store;
        let plain = |text: String| text.replace(name, "");
        let mut customers = BTreeMap::new();
        for key in &delivery.customers {
            let found = store.customer(key).await.unwrap().customer;
            let facts = Facts::new(&found, &self.lifecycle, now() + SignedDuration::from_hours(24));
            let metrics = 0..self.lifecycle.metrics.len();
            let metrics = metrics.map(|index| facts.metric(index)).collect();
            let log = store.event_page(key, 1_000, None).await.unwrap();
            assert!(log.next_cursor.is_none(), "more events than were sent");
            let mut events: Vec<String> = log
                .items
                .iter()
                .map(|event| plain(format!("{} {}", event.id, event.name)))
                .collect();
            events.sort();
            let traits = found.profile.traits.iter();
            let traits = traits.map(|(name, told)| format!("{name} {:?}", told.value)).collect();
            customers.insert(plain(key.to_string()), Customer { events, metrics, traits });
        }
        let set_aside = store.quarantined(&QuarantineFilter::default(), 1_000, None).await.unwrap();
        assert!(set_aside.next_cursor.is_none(), "more than one page is set aside");
        let of_this = set_aside.items.into_iter().filter(|found| found.raw.contains(name));
        let set_aside =
            of_this.map(|found| plain(format!("{} {}", found.code, found.raw))).collect();
        Held { customers, set_aside }
    }

    /// Sends a delivery with one fault and looks at what came of it: whether the fault came to
    /// pass, which it does where such a call can meet it.
    async fn survives(
        &self,
        name: &str,
        delivery: &Delivery,
        attempts: Attempts,
        expected: &Held,
        injected: impl Fn() -> Vec<(String, Fault)>,
    ) -> usize {
        let (sent, accepted, duplicates) = self.send(delivery, attempts).await;
        let injected = injected();
        assert!(sent == 1 || !injected.is_empty(), "{name}: sent {sent} times without a fault");
        let rejected = expected.set_aside.len() as u64;
        let total = delivery.calls.len() as u64;
        assert_eq!(accepted + duplicates + rejected, total, "{name}: {injected:?}");
        let held = self.held(name, delivery).await;
        assert_eq!(held, *expected, "{name}: {injected:?}, sent {sent} times");

        let (sent, accepted, duplicates) = self.send(delivery, attempts).await;
        assert_eq!((sent, accepted, duplicates), (1, 0, total - rejected), "{name}: {injected:?}");
        assert_eq!(self.held(name, delivery).await, *expected, "{name}: {injected:?}: sent again");
        injected.len()
    }
}

/// Walks all calls of a delivery with all faults.
async fn walk(make: fn(&str) -> Delivery) {
    let world = World::start().await;
    let plain = make("plain-");
    world.prepare(&plain).await;
    world.faults.calm();
    let (sent, _, _) = world.send(&plain, Attempts::One).await;
    let calls = world.faults.calls();
    assert_eq!(sent, 1);
    let expected = world.held("plain-", &plain).await;
    assert!(expected.customers.values().all(|customer| !customer.events.is_empty()));

    let mut injected = 0;
    for number in 0..calls {
        for (attempts, fault) in Fault::ALL
            .map(|fault| (Attempts::One, fault))
            .into_iter()
            .chain([(Attempts::Three, Fault::LostAnswer)])
        {
            let name = format!("{number}-{fault:?}-{attempts:?}-");
            let delivery = make(&name);
            world.prepare(&delivery).await;
            world.faults.fail_call(number, fault);
            let calm = || world.faults.calm();
            injected += world.survives(&name, &delivery, attempts, &expected, calm).await;
        }
    }
    println!("{calls} calls, {injected} faults");
    assert!(injected > 4 * calls, "too few faults came to pass: {injected} at {calls} calls");
    weather(&world, make, &expected).await;
}

/// Sends a delivery through storms: any call may fail, of the retries too.
async fn weather(world: &World, make: fn(&str) -> Delivery, expected: &Held) {
    for seed in 0..12 {
        let name = format!("storm-{seed}-");
        let delivery = make(&name);
        world.prepare(&delivery).await;
        world.faults.storm(seed, 12);
        let calm = || world.faults.calm();
        world.survives(&name, &delivery, Attempts::One, expected, calm).await;
    }
}

fn login(user: &str, id: &str) -> Json {
    let at = "2026-11-22T05:10:00Z";
    json!({"type": "track", "event": "login", "userId": user, "messageId": id, "timestamp": at})
}

fn order(account: &str, id: &str, at: &str) -> Json {
    json!({
        "type": "track", "event": "order", "userId": format!("buyer of {account}"), "messageId": id,
        "timestamp": at, "context": {"groupId": account}, "properties": {"amount": 12.5},
    })
}

fn group(user: &str, account: &str, id: &str) -> Json {
    json!({
        "type": "group", "userId": user, "groupId": account, "messageId": id,
        "timestamp": "2026-11-22T05:00:00Z", "traits": {"plan": "team"},
    })
}

fn unlinked(name: &str, user: &str) -> CustomerKey {
    CustomerKey::unlinked_user(&format!("{name}{user}"))
}

fn account(name: &str, account: &str) -> CustomerKey {
    CustomerKey::subject(&format!("{name}{account}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_every_fault() {
    walk(|name| Delivery {
        way: Way::Http,
        before: vec![],
        calls: vec![login(&format!("{name}ada"), &format!("{name}1"))],
        customers: vec![unlinked(name, "ada")],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_time_survives_every_fault() {
    walk(|name| {
        let mut call = login(&format!("{name}ada"), &format!("{name}1"));
        call.as_object_mut().unwrap().remove("timestamp");
        Delivery {
            way: Way::Http,
            before: vec![],
            calls: vec![call],
            customers: vec![unlinked(name, "ada")],
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_several_customers_survives_every_fault() {
    walk(|name| {
        let acme = format!("{name}acme");
        let globex = format!("{name}globex");
        let at = "2026-11-21T05:10:00Z";
        Delivery {
            way: Way::Http,
            before: vec![json!([order(&acme, &format!("{name}0"), at)])],
            calls: vec![
                order(&acme, &format!("{name}1"), at),
                order(&globex, &format!("{name}2"), at),
                order(&acme, &format!("{name}3"), "2026-11-20T05:10:00Z"),
                order(&globex, &format!("{name}4"), at),
            ],
            customers: vec![account(name, "acme"), account(name, "globex")],
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_between_user_and_account_survives_every_fault() {
    walk(|name| {
        let ada = format!("{name}ada");
        let identify = json!({
            "type": "identify", "userId": ada, "messageId": format!("{name}1"),
            "timestamp": "2026-11-22T04:00:00Z", "traits": {"plan": "trial"},
        });
        Delivery {
            way: Way::Http,
            before: vec![],
            calls: vec![
                identify,
                group(&ada, &format!("{name}acme"), &format!("{name}2")),
                login(&ada, &format!("{name}3")),
            ],
            customers: vec![account(name, "acme")],
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_half_of_which_is_there_survives_every_fault() {
    walk(|name| {
        let ada = format!("{name}ada");
        Delivery {
            way: Way::Http,
            before: vec![json!([
                login(&ada, &format!("{name}1")),
                login(&ada, &format!("{name}2"))
            ])],
            calls: vec![login(&ada, &format!("{name}2")), login(&ada, &format!("{name}3"))],
            customers: vec![unlinked(name, "ada")],
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_call_and_a_good_one_survive_every_fault() {
    walk(|name| Delivery {
        way: Way::Http,
        before: vec![],
        calls: vec![
            json!({"messageId": format!("{name}1")}),
            login(&format!("{name}ada"), &format!("{name}2")),
        ],
        customers: vec![unlinked(name, "ada")],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_queue_survive_every_fault() {
    walk(|name| Delivery {
        way: Way::Queue,
        before: vec![],
        calls: vec![
            login(&format!("{name}ada"), &format!("{name}1")),
            json!({"nothing": format!("{name}2")}),
            group(&format!("{name}ben"), &format!("{name}acme"), &format!("{name}3")),
        ],
        customers: vec![unlinked(name, "ada"), account(name, "acme")],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_bus_survives_every_fault() {
    walk(|name| {
        let event = json!({
            "version": "0", "id": format!("{name}1"), "detail-type": "order", "source": "billing",
            "account": "123456789012", "time": "2026-11-22T05:00:00Z", "region": "eu-west-1",
            "resources": [], "detail": {"customerId": format!("{name}acme"), "amount": 12},
        });
        Delivery {
            way: Way::Bus,
            before: vec![],
            calls: vec![event],
            customers: vec![account(name, "acme")],
        }
    })
    .await;
}
