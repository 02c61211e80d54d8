//! How many events a second the function takes, from the event of API Gateway to the answer, beside
//! the bare puts of the same events into the same engine, and beside a Python function that does the
//! same commit with boto3 and Powertools.
//!
//! `python3 tests/benches/run.py` installs the Python function and runs all of it; under
//! `cargo bench --workspace --bench ingest` alone that function is left out. One request is under
//! way at a time: what is measured is about one core, the engine's share included on every side. What
//! each function uses of a processor itself, which is what a core can take of it, is printed at the end.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing to say"
)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::lifecycle::presets;
use ingest::App;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use tests::stack::{Stack, WRITE_KEY};

/// The name of the engine's thread.
const ENGINE: &str = "dynamodb";
/// Where the interpreter is that has the packages of `peer/requirements.txt`.
const PEER_PYTHON: &str = "PEER_PYTHON";

fn now() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

/// An event of API Gateway with a batch of calls, five of each account and one by each of its users.
fn request(calls: u64) -> Json {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let batch: Vec<Json> = (0..calls)
        .map(|call| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let account = (number / 5) % 500;
            let at = now() - SignedDuration::from_mins(i64::try_from(number % 2_400).unwrap());
            json!({
                "type": "track", "event": "login", "userId": format!("user-{account}-{}", call % 5),
                "messageId": format!("event-{number}"), "timestamp": at.to_string(),
                "context": { "groupId": format!("account-{account}") },
                "properties": { "plan": "team", "browser": "Firefox 145", "path": "/reports" },
            })
        })
        .collect();
    let body = json!({ "batch": batch, "writeKey": WRITE_KEY }).to_string();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/v1/batch", "rawQueryString": "",
        "headers": { "content-type": "application/json" },
        "requestContext": {
            "http": { "method": "POST", "path": "/v1/batch" }, "requestId": "r", "stage": "$default",
        },
        "body": body, "isBase64Encoded": false,
    })
}

async fn handle(app: &Arc<App>, event: &Json) {
    let payload = RawValue::from_string(event.to_string()).unwrap();
    let event = LambdaEvent { payload, context: Context::default() };
    let answer = ingest::handle(app, event).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
}

/// The floor: the calls of a request as items of the log, one put after the other, or at once.
async fn puts(stack: &Stack, event: &Json) {
    let body: Json = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
    let puts = body["batch"].as_array().unwrap().iter().map(|call| {
        let text = |value: &Json| AttributeValue::S(value.as_str().unwrap().to_owned());
        let item = HashMap::from([
            ("pk".to_owned(), text(&call["context"]["groupId"])),
            ("sk".to_owned(), text(&call["messageId"])),
            ("body".to_owned(), AttributeValue::S(call.to_string())),
        ]);
        stack.dynamodb.put_item().table_name(&stack.tables.events).set_item(Some(item)).send()
    });
    futures::future::try_join_all(puts).await.unwrap();
}

/// The Python function as a process.
struct Peer {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(stack: &Stack) -> Option<Peer> {
        #[allow(clippy::disallowed_methods, reason = "how a benchmark is told of an optional part")]
        let python = std::env::var(PEER_PYTHON).ok()?;
        let handler = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer/handler.py");
        let mut process = Command::new(python)
            .arg(handler)
            .env("AWS_ENDPOINT_URL", stack.endpoint())
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("NO_PROXY", "127.0.0.1")
            .env("EVENTS_TABLE", &stack.tables.events)
            .env("CUSTOMERS_TABLE", &stack.tables.customers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Some(Peer { process, requests, answers })
    }

    /// How long its handler took, and how much of a processor.
    fn handle(&mut self, event: &Json) -> [Duration; 2] {
        writeln!(self.requests, "{event}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let mut numbers = answer.split_whitespace().map(|number| number.parse().expect(&answer));
        [(); 2].map(|()| Duration::from_nanos(numbers.next().expect(&answer)))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn taking(c: &mut Criterion) {
    // As in the function itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source = presets::preset("b2b-saas").unwrap().source;
    let stack = runtime.block_on(Stack::start(source, now())).unwrap();
    let app = App {
        store: stack.store.clone(),
        clock: stack.clock.handle(),
        public_url: None,
        egress: platform::egress::Egress::quick(),
    };
    let app = Arc::new(app);
    let mut peer = Peer::start(&stack);
    let mut group = c.benchmark_group("ingest");
    group.sample_size(20);
    for (name, calls) in [("a lone event", 1), ("a batch of 100", 100), ("a batch of 2,500", 2_500)]
    {
        group.throughput(Throughput::Elements(calls));
        group.bench_function(name, |bench| {
            bench.iter_custom(|rounds| {
                let requests: Vec<Json> = (0..rounds).map(|_| request(calls)).collect();
                let begin = Instant::now();
                runtime.block_on(async {
                    for event in &requests {
                        handle(&app, event).await;
                    }
                });
                begin.elapsed()
            });
        });
        group.bench_function(format!("{name}: its bare puts"), |bench| {
            bench.iter_custom(|rounds| {
                let requests: Vec<Json> = (0..rounds).map(|_| request(calls)).collect();
                let begin = Instant::now();
                runtime.block_on(async {
                    for event in &requests {
                        puts(&stack, event).await;
                    }
                });
                begin.elapsed()
            });
        });
        if let Some(peer) = &mut peer {
            group.bench_function(format!("{name}: in Python"), |bench| {
                bench.iter_custom(|rounds| {
                    (0..rounds).map(|_| peer.handle(&request(calls))[0]).sum()
                });
            });
        }
    }
    group.finish();
    // By then it knows every user and every account, which the Python function does not keep.
    let [warm, measured]: [Vec<Json>; 2] =
        [25, 50].map(|batches| (0..batches).map(|_| request(100)).collect());
    runtime.block_on(handle_all(&app, &warm));
    let before = processor();
    runtime.block_on(handle_all(&app, &measured));
    let Some(ours) = processor().zip(before).map(|(after, before)| after.saturating_sub(before))
    else {
        return;
    };
    report("of a processor, without the engine", ours);
    if let Some(peer) = &mut peer {
        warm.iter().for_each(|event| _ = peer.handle(event));
        let theirs = measured.iter().map(|event| peer.handle(event)[1]).sum::<Duration>();
        report("of a processor, in Python", theirs);
        println!("ingest/times ours: {:.1}", theirs.as_secs_f64() / ours.as_secs_f64());
    }
}

async fn handle_all(app: &Arc<App>, events: &[Json]) {
    for event in events {
        handle(app, event).await;
    }
}

/// Prints what 50 batches of 100 took.
fn report(what: &str, took: Duration) {
    let micros = took.as_secs_f64() * 1e6 / 5_000.0;
    println!(
        "ingest/{what}: {micros:.0} us an event, {:.0} events a second and core",
        1e6 / micros
    );
}

/// What the threads of this process have used of a processor, but for the engine's; `None` where the
/// system does not tell.
fn processor() -> Option<Duration> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let thread = thread.ok()?.path();
        if std::fs::read_to_string(thread.join("comm")).ok()?.trim() != ENGINE {
            let told = std::fs::read_to_string(thread.join("schedstat")).ok()?;
            sum += told.split_whitespace().next()?.parse::<u64>().ok()?;
        }
    }
    Some(Duration::from_nanos(sum))
}

criterion_group!(benches, taking);
criterion_main!(benches);
