//! How fast events are committed and customers swept, each beside its floor: what the same
//! embedded engine takes for the bare writes or reads, through the same client.
//!
//! `cargo bench --workspace --bench store`. The ratio is the figure: the engine is the same on both
//! sides, and DynamoDB itself is slower and wider.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing to say")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::event::Event;
use domain::lifecycle::presets;
use jiff::{SignedDuration, Timestamp};
use platform::CustomerKey;
use platform::sweep::{
    App, CUSTOMERS_PER_SEGMENT, ScheduleEvent, SweepAnswer, SweepEvent, SweepKind,
};
use serde_json::json;
use tests::stack::Stack;
use tokio::runtime::Runtime;

/// Customers of the sweep.
const FLEET: u64 = 2_000;

fn start() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

fn preset() -> &'static str {
    presets::preset("b2b-saas").unwrap().source
}

/// A number that was not given before: ids of events and customers, names of runs.
fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn login(id: u64, at: Timestamp) -> Event {
    let user = format!("user-{}", id % 5);
    let mut body = json!({ "type": "track", "event": "login", "userId": user });
    let body = std::mem::take(body.as_object_mut().unwrap());
    Event::from_body(format!("event-{id}"), at, at, body).unwrap()
}

fn session(events: u64, at: Timestamp) -> Vec<Event> {
    (0..events)
        .map(|second| login(fresh(), at + SignedDuration::from_secs(second as i64)))
        .collect()
}

fn committing(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let stack = runtime.block_on(Stack::start(preset(), start())).unwrap();
    let lifecycle = runtime.block_on(stack.store.lifecycle()).unwrap();
    let mut group = c.benchmark_group("commit");
    for (name, events) in [("a lone event", 1), ("a session of 6", 6), ("a batch of 100", 100)] {
        group.throughput(Throughput::Elements(events));
        group.bench_function(name, |bench| {
            bench.to_async(&runtime).iter(|| async {
                // Of 500 customers, each event in an hour that has few others.
                let number = fresh();
                let key = CustomerKey::subject(&format!("account-{}", number % 500));
                let at = start() - SignedDuration::from_hours(i64::try_from(number % 40).unwrap());
                stack.store.commit(&key, &session(events, at), &lifecycle, start()).await.unwrap()
            });
        });
        group.bench_function(format!("{name}: its bare puts"), |bench| {
            bench.to_async(&runtime).iter(|| async {
                let puts = session(events, start()).into_iter().map(|event| put(&stack, event));
                futures::future::try_join_all(puts).await.unwrap()
            });
        });
    }
    group.finish();
}

/// The floor of a commit: the event as the log keeps it, and nothing else.
async fn put(stack: &Stack, event: Event) -> Result<(), aws_sdk_dynamodb::Error> {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let item = HashMap::from([
        ("pk".to_owned(), text(&format!("bare-{}", fresh() % 500))),
        ("sk".to_owned(), text(&format!("{}#{}", event.at, event.id))),
        ("body".to_owned(), text(&json!(event.body).to_string())),
    ]);
    stack.dynamodb.put_item().table_name(&stack.tables.events).set_item(Some(item)).send().await?;
    Ok(())
}

fn sweeping(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let stack = runtime.block_on(fleet());
    let app = App {
        store: stack.store.clone(),
        clock: stack.clock.handle(),
        queue: None,
        customers_per_segment: CUSTOMERS_PER_SEGMENT,
        vault: None,
    };
    let run = || async {
        let event = SweepEvent::Schedule(ScheduleEvent {
            schedule: format!("run-{}", fresh()),
            scheduled_time: start(),
            sweep: SweepKind::All,
        });
        match evaluate::handle(&app, event, None).await.unwrap() {
            SweepAnswer::Summary(summary) => assert_eq!(summary.visited, FLEET),
            SweepAnswer::Tickets { .. } => panic!("a summary"),
        }
    };
    // The first run decides; those that are measured find nothing to do.
    runtime.block_on(run());
    let mut group = c.benchmark_group("sweep");
    group.throughput(Throughput::Elements(FLEET));
    group.sample_size(20);
    group.bench_function("untouched customers", |bench| bench.to_async(&runtime).iter(run));
    group.bench_function("untouched customers: the bare scan", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let mut pages = stack.dynamodb.scan().table_name(&stack.tables.customers);
            loop {
                let page = pages.send().await.unwrap();
                let Some(key) = page.last_evaluated_key else { break };
                let scan = stack.dynamodb.scan().table_name(&stack.tables.customers);
                pages = scan.set_exclusive_start_key(Some(key));
            }
        });
    });
    group.finish();
}

/// Accounts of the subscription preset, each with a plan and thirty logins.
async fn fleet() -> Stack {
    let stack = Stack::start(preset(), start()).await.unwrap();
    let lifecycle = stack.store.lifecycle().await.unwrap();
    let mut groups = Vec::new();
    for number in 0..FLEET {
        let traits = json!({ "name": "Acme", "plan": "team" });
        let mut body = json!({ "type": "group", "groupId": number.to_string(), "traits": traits });
        let body = std::mem::take(body.as_object_mut().unwrap());
        let mut events = session(30, start() - SignedDuration::from_hours(30));
        events.push(Event::from_body(format!("group-{number}"), start(), start(), body).unwrap());
        groups.push((CustomerKey::subject(&format!("account-{number}")), events));
    }
    stack.store.commit_bulk(&groups, &lifecycle, start()).await.unwrap();
    stack
}

criterion_group!(benches, committing, sweeping);
criterion_main!(benches);
