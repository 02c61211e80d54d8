//! How fast events are folded, and a customer decided.
//!
//! `cargo bench -p domain`. The decision is measured beside the same rule as plain Rust over the
//! same numbers, which is what the lifecycle file costs.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::alerting::{Arrival, Group, Matcher, Mutes, Policy, Silence, next};
use domain::customer::{Customer, Profile, StageState};
use domain::decide::{decide, next_due, step};
use domain::event::Event;
use domain::facts::Facts;
use domain::fold::{Scope, fold, scope};
use domain::lifecycle::presets::PRESETS;
use domain::lifecycle::{Lifecycle, load};
use domain::period::Period;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

const RULE: &str = "
version: 1
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
stages:
  active: { enter: { when: metrics.logins_7d >= 3 && metrics.idle_days < 4, priority: 2 } }
  quiet: { enter: { when: metrics.logins_7d < 3, priority: 1 } }
";

fn lifecycle(source: &str) -> Lifecycle {
    load(source).expect("the file is good")
}

fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).expect("an instant")
}

/// So many events over 60 days: logins of 5 users, features, seats and orders.
fn events(count: i64) -> Vec<Event> {
    (0..count)
        .map(|index| {
            let at = now() - SignedDuration::from_secs((count - index) * 60 * 86_400 / count);
            let (name, told) = match index % 4 {
                0 | 1 => ("login", json!({})),
                2 => ("feature_used", json!({ "feature": format!("f{}", index % 7) })),
                _ => ("seat_report", json!({ "used": index % 40 })),
            };
            let user = format!("user-{}", index % 5);
            let body =
                json!({ "type": "track", "event": name, "userId": user, "properties": told });
            let Json::Object(body) = body else { unreachable!("an object") };
            Event::from_body(format!("id-{index}"), at, at, body).expect("a call")
        })
        .collect()
}

fn customer(lifecycle: &Lifecycle, count: i64) -> Customer {
    let mut profile = Profile::default();
    fold(&mut profile, lifecycle, &Scope::Whole, &events(count), now());
    let mut customer = Customer { profile, ..Customer::default() };
    let first = &lifecycle.stages[0].name;
    customer.status.stage = Some(StageState {
        name: first.clone(),
        since: now() - SignedDuration::from_hours(24 * 20),
        visit: 1,
    });
    customer
}

fn folding(c: &mut Criterion) {
    let lifecycle = lifecycle(PRESETS[0].source);
    let log = events(1_000);
    let mut group = c.benchmark_group("fold");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("a log of 1,000 events", |bench| {
        bench.iter(|| {
            let mut profile = Profile::default();
            fold(&mut profile, &lifecycle, &Scope::Whole, black_box(&log), now());
            profile
        });
    });
    let folded = customer(&lifecycle, 1_000).profile;
    let newest = &log[999..];
    group.throughput(Throughput::Elements(1));
    group.bench_function("one event into 60 days", |bench| {
        bench.iter(|| {
            let mut profile = folded.clone();
            let scope = scope(&profile, &lifecycle, &newest[..1], now());
            fold(&mut profile, &lifecycle, &scope, black_box(newest), now());
            profile
        });
    });
    group.finish();
}

fn deciding(c: &mut Criterion) {
    let rule = lifecycle(RULE);
    let simple = customer(&rule, 200);
    let preset = lifecycle(PRESETS[0].source);
    let full = customer(&preset, 1_000);
    let mut group = c.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    group.bench_function("two stages, from the file", |bench| {
        bench.iter(|| step(black_box(&simple), &rule, black_box(now())));
    });
    group.bench_function("two stages, as Rust", |bench| {
        let plain = |customer: &Customer| {
            let facts = Facts::new(customer, &rule, now());
            let (logins, idle) = (facts.metric(0), facts.metric(1));
            let is_active = logins? >= 3.0 && idle? < 4.0;
            Some(if is_active { "active" } else { "quiet" })
        };
        bench.iter(|| plain(black_box(&simple)));
    });
    group.bench_function("b2b-saas", |bench| {
        bench.iter(|| decide(black_box(&full), &preset, black_box(now())));
    });
    group.bench_function("b2b-saas, what is due in 26 hours", |bench| {
        let until = now() + SignedDuration::from_hours(26);
        bench.iter(|| next_due(black_box(&full), &preset, now(), until));
    });
    group.finish();
}

const ALERTS: &str = "
version: 1
workspace: { timezone: Europe/Berlin }
traits: { csm: email? }
metrics: { logins: { count: login, over: 7d } }
stages: { active: { enter: { when: metrics.logins > 0, priority: 1 } } }
standards: { known: { required: [traits.csm], severity: high, owner: ops } }
alerts:
  group_by: [standard]
  repeat_interval: 1 workday
  routes: [{ to: team, escalate: [{ after: 4h, to: team }] }]
  receivers: { team: { sns: team, quiet: \"20:00-07:00\" } }
";

fn arrival(number: u64) -> Arrival {
    let labels = [("kind", "finding"), ("standard", "known"), ("severity", "high")];
    let customer = format!("customer-{number}");
    Arrival {
        key: customer.clone(),
        customer: customer.clone(),
        name: customer,
        alert: "finding.known".to_owned(),
        headline: "standard known breached".to_owned(),
        labels: labels.map(|(label, value)| (label.to_owned(), vec![value.to_owned()])).into(),
        seq: number,
        at: now(),
    }
}

fn alerting(c: &mut Criterion) {
    let lifecycle = lifecycle(ALERTS);
    let route = &lifecycle.routes[0];
    let by = ["standard".to_owned()];
    let mut full = Group::new(route, &by, &arrival(0).labels, now());
    for number in 0..10_000 {
        full.fire(&arrival(number), None, now());
    }
    let until = now() + SignedDuration::from_hours(1);
    let matchers = vec![Matcher::parse("customer=customer-7").expect("a matcher")];
    let who = (Some("kim"), Some("away"));
    let silence = Silence::checked("s".to_owned(), matchers, who, (now(), until), now());
    let silences = [silence.expect("a silence")];
    let policy = Policy::of(&full, &lifecycle, None).expect("there is a receiver");
    let mut group = c.benchmark_group("alerts");
    for (name, silences) in [("no silence", &silences[..0]), ("a silence", &silences[..])] {
        let mutes = Mutes { silences, rules: &[], sources: &[], now: now() };
        group.bench_function(format!("what is due of 10,000 alerts, {name}"), |bench| {
            bench.iter(|| next(black_box(&full), &mutes, &policy, black_box(now())));
        });
    }
    let next_one = arrival(20_000);
    group.bench_function("one more alert of 10,000", |bench| {
        bench.iter(|| {
            let mut group = full.clone();
            group.fire(black_box(&next_one), None, now())
        });
    });
    // Over the night in which clocks go forward, and a year.
    let friday: Timestamp = "2026-03-27T08:00:00Z".parse().expect("an instant");
    for days in [1, 10, 250] {
        group.bench_function(format!("{days} working days across daylight saving"), |bench| {
            bench.iter(|| lifecycle.calendar.after(black_box(friday), Period::Workdays(days)));
        });
    }
    group.finish();
}

fn loading(c: &mut Criterion) {
    c.bench_function("load b2b-saas", |bench| bench.iter(|| load(black_box(PRESETS[0].source))));
}

criterion_group!(benches, folding, deciding, alerting, loading);
criterion_main!(benches);
