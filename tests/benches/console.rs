//! What a look at the console takes with very many customers: server time, units and bytes, each beside
//! its limit.
//!
//! `cargo bench --workspace --bench console` makes 100,000 customers in the embedded engine, which takes
//! some minutes; `-- 1000` makes another number of them. Exit code 1 where something is beyond its limit.
//! DynamoDB itself answers slower than the engine, and bills the same units.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on has nothing to say, and one that can says it here"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::{Extension, Router};
use console::{Role, Visitor};
use domain::event::Event;
use domain::lifecycle::presets;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::sweep::SweepKind;
use platform::{CustomerKey, overview};
use serde_json::json;
use tower::ServiceExt as _;

const CUSTOMERS: usize = 100_000;
/// So many are committed together.
const TOGETHER: usize = 5_000;
const LOOKS: usize = 15;
const MOST_TIME: Duration = Duration::from_millis(300);
const MOST_BYTES: usize = 60_000;
/// The picture is one item, and names are read of those that are shown: neither grows with customers.
const MOST_UNITS: f64 = 60.0;

fn now() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// A team with a plan, a price and some logins: the later its number, the longer it is silent.
fn account(number: usize) -> (CustomerKey, Vec<Event>) {
    let id = format!("account-{number:06}");
    let silent = SignedDuration::from_hours(i64::try_from(number % 60).unwrap() * 12);
    let event = |name: &str, at: Timestamp, body: serde_json::Value| {
        let body = body.as_object().unwrap().clone();
        Event::from_body(format!("{id}-{name}"), at, at, body).unwrap()
    };
    let traits =
        json!({ "name": format!("Account {number}"), "plan": "team", "mrr": number % 900 });
    let began = now() - SignedDuration::from_hours(24 * 200);
    let events = vec![
        event("facts", began, json!({ "type": "group", "groupId": id, "traits": traits })),
        event("login", now() - silent, json!({ "type": "track", "event": "login", "userId": "u" })),
    ];
    (CustomerKey::subject(&id), events)
}

async fn company(customers: usize) -> Pack {
    let pack = Pack::open(None, LocalClock::manual(now())).await.unwrap();
    pack.apply(presets::preset("b2b-saas").unwrap().source).await.unwrap().unwrap();
    let lifecycle = pack.store.lifecycle().await.unwrap();
    let all: Vec<usize> = (0..customers).collect();
    for some in all.chunks(TOGETHER) {
        let groups: Vec<_> = some.iter().map(|number| account(*number)).collect();
        pack.store.commit_bulk(&groups, &lifecycle, now()).await.unwrap();
    }
    for (sweep, name) in [(SweepFunction::Evaluate, "stages"), (SweepFunction::Score, "risk")] {
        pack.run(sweep, name, now(), SweepKind::All).await.unwrap();
    }
    let taken = overview::take(&pack.store, &lifecycle, now()).await.unwrap();
    assert_eq!(taken.parts[0].customers, customers as u64);
    pack.store.keep_overview(&taken).await.unwrap();
    pack
}

/// What a look took: the middle of the times, units, and bytes before charts.
struct Look {
    time: Duration,
    units: f64,
    bytes: usize,
}

async fn look(pack: &Pack, pages: &Router, path: &str) -> Look {
    let ask = async |path: &str| {
        let request = Request::get(path).header(header::ACCEPT_ENCODING, "gzip");
        let answer = pages.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        to_bytes(answer.into_body(), usize::MAX).await.unwrap()
    };
    let mut times = Vec::new();
    let mut units = 0.0;
    for _ in 0..LOOKS {
        pack.console.store.meter().reset();
        let began = Instant::now();
        ask(path).await;
        times.push(began.elapsed());
        units = pack.console.store.meter().total().read_units;
    }
    times.sort_unstable();
    let plain = Request::get(path).body(Body::empty()).unwrap();
    let plain = pages.clone().oneshot(plain).await.unwrap();
    let plain = to_bytes(plain.into_body(), usize::MAX).await.unwrap();
    let plain = String::from_utf8(plain.to_vec()).unwrap();
    let mut bytes = ask(path).await.len();
    for file in plain.split('"').filter(|text| text.starts_with("/assets/")) {
        if !file.contains("uplot") {
            bytes += ask(file).await.len();
        }
    }
    Look { time: times[LOOKS / 2], units, bytes }
}

#[tokio::main]
async fn main() -> ExitCode {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let customers = asked.unwrap_or(CUSTOMERS);
    let began = Instant::now();
    let pack = company(customers).await;
    println!("{customers} customers, made in {:.0} s", began.elapsed().as_secs_f64());
    let visitor = Visitor { name: "kim@example.com".into(), role: Role::Admin };
    let pages = console::router(Arc::clone(&pack.console)).layer(Extension(visitor));
    let mut is_good = true;
    for path in
        ["/", "/?days=90", "/customers", "/customers/account-000007", "/api/customers?limit=50"]
    {
        let Look { time, units, bytes } = look(&pack, &pages, path).await;
        is_good &= time < MOST_TIME && units < MOST_UNITS && bytes < MOST_BYTES;
        println!(
            "{path:<28} {:>7.1} ms of {}   {units:>6.1} read units of {MOST_UNITS}   {:>5.1} KB of {}",
            time.as_secs_f64() * 1_000.0,
            MOST_TIME.as_millis(),
            bytes as f64 / 1_000.0,
            MOST_BYTES / 1_000,
        );
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
