//! Each function: starting, and one kind of invocation after the other.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::Settings;
use super::process::{processor, resident};
use super::stack::{Tables, now};
use crate::runtime_api::Function;
use crate::stack::WRITE_KEY;

const STARTS: usize = 15;
/// Customers of the sweeps.
const CUSTOMERS: u64 = 1_000;

/// What a function takes.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The function.
    pub name: String,
    /// From the start of the process to its first request for an event: time on the wall.
    pub start: Duration,
    /// The same, of a processor.
    pub start_processor: Duration,
    /// Memory at that moment, in MB.
    pub start_memory: f64,
    /// Memory after the invocations, in MB.
    pub memory: f64,
    /// The binary, and as a zip, in MB; none of a script.
    pub bytes: Option<(f64, f64)>,
    /// What it was invoked with.
    pub works: Vec<Work>,
}

/// One kind of invocation.
#[derive(Debug, Clone)]
pub struct Work {
    /// What it is.
    pub what: &'static str,
    /// Events, or customers, an invocation.
    pub items: u64,
    /// Half of the invocations take no longer.
    pub median: Duration,
    /// One in a hundred takes longer.
    pub p99: Duration,
    /// Of a processor, for one item, without the engine.
    pub processor: Duration,
    /// Read and write units for one item, as the function counts them; none of a script.
    pub units: Option<(f64, f64)>,
}

pub(super) async fn measure(settings: &Settings) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for name in ["ingest", "evaluate", "score", "comply", "notify", "console"] {
        (settings.progress)(name);
        let binary = settings.binaries.join(name);
        rows.push(of(name, &binary, None).await?);
    }
    if let Some(python) = &settings.python {
        for name in ["ingest", "evaluate"] {
            (settings.progress)(&format!("{name} in Python"));
            let module = if name == "ingest" { "handler" } else { "evaluate" };
            rows.push(of(name, python, Some(module)).await?);
        }
    }
    Ok(rows)
}

/// Measures a binary, or a module of Python functions.
async fn of(name: &str, binary: &Path, module: Option<&str>) -> Result<Row> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let tables = Tables::start().await?;
        let (function, pid) = start(&tables, name, binary, module).await?;
        let wall = function.init_time().context("it has started")?;
        starts.push((wall, processor(pid)?, resident(pid)?));
    }
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let of_starts =
        |pick: fn(&(Duration, Duration, f64)) -> f64| median(starts.iter().map(pick).collect());
    let mut row = Row {
        name: module.map_or(name.to_owned(), |_| format!("{name}, in Python")),
        start: Duration::from_secs_f64(of_starts(|start| start.0.as_secs_f64())),
        start_processor: Duration::from_secs_f64(of_starts(|start| start.1.as_secs_f64())),
        start_memory: of_starts(|start| start.2),
        bytes: module.is_none().then(|| sizes(binary)).transpose()?,
        ..Row::default()
    };
    let tables = Tables::start().await?;
    tables.join(0, CUSTOMERS).await?;
    let (function, pid) = start(&tables, name, binary, module).await?;
    for (what, items, count, event) in works(name) {
        row.works.push(work(&function, pid, (what, items), count, event).await?);
    }
    row.memory = resident(pid)?;
    Ok(row)
}

/// Starts a function and waits until it asks for its first event.
async fn start(
    tables: &Tables,
    name: &str,
    binary: &Path,
    module: Option<&str>,
) -> Result<(Function, u32)> {
    let function = match module {
        None => tables.spawn(name, binary).await?,
        Some(module) => {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer");
            let config = tables.config(name).env("_HANDLER", format!("{module}.handler"));
            let config = config.env("LAMBDA_TASK_ROOT", folder).env("PYTHONPATH", folder);
            let arguments = ["-m", "awslambdaric", &format!("{module}.handler")];
            Function::spawn_with(binary, &arguments, config).await?
        }
    };
    let begun = Instant::now();
    while function.init_time().is_none() {
        ensure!(
            begun.elapsed() < Duration::from_secs(30),
            "{name} does not start: {:?}",
            function.output()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What it still does while it waits for the answer.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let pid = function.pid();
    Ok((function, pid))
}

/// What a function is invoked with: what it is, items an invocation, invocations, and the event of one.
type Kind = (&'static str, u64, u64, fn(u64) -> Json);

fn works(name: &str) -> Vec<Kind> {
    let sweep: fn(u64) -> Json = |number| {
        // Each is a run of its own.
        let at = now() + SignedDuration::from_secs(i64::try_from(number).unwrap_or_default());
        json!({ "schedule": "nightly", "scheduled_time": at, "sweep": "all" })
    };
    match name {
        "ingest" => vec![
            // Each is known after the first invocations, which are not measured.
            ("a lone event of a known user", 1, 400, |number| batch(number, 1, |n| n % 100)),
            ("a lone event of a new user", 1, 200, |number| {
                batch(100_000 + number, 1, |number| number)
            }),
            ("a batch of 100", 100, 60, |number| {
                batch(1_000_000 + number * 100, 100, |number| number / 5 % 1_000)
            }),
        ],
        "notify" => vec![(
            "a tick with nothing to do",
            1,
            300,
            |_| json!({ "schedule": "tick", "scheduled_time": now(), "sweep": "due" }),
        )],
        "console" => vec![
            ("a customer", 1, 300, |number| {
                get(&format!("/api/customers/account-{}", number % CUSTOMERS), number)
            }),
            ("a page of 100 customers", 1, 100, |number| get("/api/customers", number)),
        ],
        _ => vec![
            ("the first sweep, of customers who move", CUSTOMERS, 1, sweep),
            ("a nightly sweep, of customers who stay", CUSTOMERS, 20, |number| {
                let at = now()
                    + SignedDuration::from_secs(10 + i64::try_from(number).unwrap_or_default());
                json!({ "schedule": "nightly", "scheduled_time": at, "sweep": "all" })
            }),
        ],
    }
}

async fn work(
    function: &Function,
    pid: u32,
    (what, items): (&'static str, u64),
    count: u64,
    event: fn(u64) -> Json,
) -> Result<Work> {
    let warm = if count > 1 { count / 4 } else { 0 };
    for number in 0..warm {
        invoke(function, event(number)).await?;
    }
    let (before, lines) = (processor(pid)?, function.output().len());
    let mut took = Vec::new();
    for number in warm..warm + count {
        let event = event(number);
        let begin = Instant::now();
        invoke(function, event).await?;
        took.push(begin.elapsed());
    }
    let used = processor(pid)?.saturating_sub(before);
    // Its last lines may be on their way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    took.sort();
    let of_all = u32::try_from(items * count)?;
    Ok(Work {
        what,
        items,
        median: took[took.len() / 2],
        p99: took[(took.len() * 99 / 100).min(took.len() - 1)],
        processor: used / of_all,
        units: units(&function.output()[lines..], f64::from(of_all)),
    })
}

async fn invoke(function: &Function, event: Json) -> Result<()> {
    let answer = function.invoke(event).await?;
    let status = answer["statusCode"].as_u64();
    ensure!(status.is_none_or(|status| status == 200), "{answer}");
    ensure!(answer["failed"].as_u64().unwrap_or_default() == 0, "{answer}");
    Ok(())
}

/// What the metric events of a function say of its units, for one item.
fn units(lines: &[String], items: f64) -> Option<(f64, f64)> {
    let metrics = lines.iter().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let told: Vec<(f64, f64)> = metrics
        .filter_map(|line| Some((line["read_units"].as_f64()?, line["write_units"].as_f64()?)))
        .collect();
    let sum = told.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (!told.is_empty()).then_some((sum.0 / items, sum.1 / items))
}

/// A request of API Gateway with so many events, numbered from one on: each is of a user by its number, who
/// belongs to one of the accounts.
fn batch(first: u64, events: u64, user: fn(u64) -> u64) -> Json {
    let at = now() - SignedDuration::from_mins(90);
    let calls: Vec<Json> = (first..first + events)
        .map(|number| {
            let user = user(number);
            json!({
                "type": "track", "event": "login", "userId": format!("user-{user}"),
                "messageId": format!("event-{number}"), "timestamp": at.to_string(),
                "context": { "groupId": format!("account-{}", user % CUSTOMERS) },
                "properties": { "plan": "team", "browser": "Firefox 145", "path": "/reports" },
            })
        })
        .collect();
    let body = json!({ "batch": calls, "writeKey": WRITE_KEY }).to_string();
    http("POST", "/v1/batch", &body)
}

/// A request of one of many readers: each of them may ask only so often.
fn get(path: &str, number: u64) -> Json {
    let mut event = http("GET", path, "");
    let reader = format!("arn:aws:iam::123456789012:user/reader-{}", number % 200);
    event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": reader } });
    event
}

fn http(method: &str, path: &str, body: &str) -> Json {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": { "content-type": "application/json", "host": "api.example.com" },
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example.com",
            "domainPrefix": "api", "requestId": "r", "routeKey": "$default", "stage": "$default",
            "time": "15/Jan/2026:10:30:00 +0000", "timeEpoch": 1_768_473_000_000_u64,
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7",
                "userAgent": "benchmark",
            },
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// A binary's bytes, and those of its zip, in MB.
fn sizes(binary: &Path) -> Result<(f64, f64)> {
    use std::io::Write as _;
    let whole =
        std::fs::read(binary).with_context(|| format!("there is no {}", binary.display()))?;
    // What a zip holds beside its one compressed file is a few hundred bytes.
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&whole)?;
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    Ok((megabytes(whole.len()), megabytes(packed.finish()?.len())))
}
