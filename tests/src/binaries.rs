//! The functions' own binaries, started as Lambda starts them and sent what AWS sends them.
//!
//! Behind a binary are the template's tables in an embedded DynamoDB, with the preset for
//! subscription businesses active and one write key, and an SNS endpoint that records. The binary
//! is told of them by the SDK's own variables, so everything between `main` and the wire is what
//! runs in AWS. Each scenario also holds what the process writes to the rules for logs: JSON lines
//! with level and time, one metric event per invocation, nothing personal.

mod console;
mod ingest;
mod notify;
mod sweep;
mod trust;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use domain::event::Event;
use domain::lifecycle::{Lifecycle, load, presets};
use jiff::Timestamp;
use lifecycle::embedded::{Engine, LocalSns, Location, create_tables, table_names};
use platform::{CustomerKey, Store};
use serde_json::{Value as Json, json};

use crate::runtime_api::{Function, FunctionConfig, InvocationError};

pub use console::console;
pub use ingest::ingest;
pub use notify::notify;
pub use sweep::{comply, evaluate, score};
pub use trust::trust;

const TABLE_PREFIX: &str = "stack-";
const WRITE_KEY: &str = "wk_of_the_binaries_tests";
/// Part of what is sent, and never to be found in a log or an error.
const PERSONAL: &str = "ada@example.com";
/// How long the last lines of a process may take to arrive here.
const OUTPUT_LIMIT: Duration = Duration::from_secs(10);

/// Runs a scenario to its end.
fn run(scenario: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be built");
    if let Err(error) = runtime.block_on(scenario) {
        panic!("{error:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the binaries under test follow the system's clock")]
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).expect("the present is representable")
}

/// What a function finds in AWS.
struct Stack {
    engine: Engine,
    sns: LocalSns,
    sns_endpoint: String,
    store: Store,
    lifecycle: Lifecycle,
}

impl Stack {
    async fn start() -> Result<Stack> {
        let engine = Engine::start(Location::Memory)?;
        let client = engine.dynamodb();
        let tables = create_tables(&client, TABLE_PREFIX).await?;
        let store = Store::new(client, tables, 400);
        let preset = presets::preset("b2b-saas").context("the preset is compiled in")?;
        let lifecycle = load(preset.source).ok().context("the preset is valid")?;
        store.apply_configuration(preset.source, &lifecycle.hash, now()).await?;
        store.add_write_key(WRITE_KEY, "tests", now()).await?;

        let sns = LocalSns::new(Arc::new(now));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let sns_endpoint = format!("http://{}", listener.local_addr()?);
        let router = sns.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Stack { engine, sns, sns_endpoint, store, lifecycle })
    }

    /// Starts a function on these tables.
    async fn spawn(&self, name: &'static str, binary: &str) -> Result<Served> {
        self.spawn_on(self.engine.endpoint(), name, binary).await
    }

    /// Starts a function on the tables of another endpoint.
    async fn spawn_on(&self, tables: &str, name: &'static str, binary: &str) -> Result<Served> {
        let arn = |topic: &str| format!("{topic}=arn:aws:sns:us-east-1:123456789012:{topic}");
        let queue = format!("{}/123456789012/{name}-tickets", self.sns_endpoint);
        let config = FunctionConfig::new(name)
            .tables(table_names(TABLE_PREFIX))
            .env("TOPICS", format!("{},{}", arn("team"), arn("urgent")))
            .env("SWEEP_QUEUE_URL", queue)
            .env("PRIVACY_QUEUE_URL", format!("{}/123456789012/comply-tickets", self.sns_endpoint))
            .env("REPLAY_QUEUE_URL", format!("{}/123456789012/ingest", self.sns_endpoint))
            .env("LOG_LEVEL", "info")
            .env("AWS_ENDPOINT_URL_DYNAMODB", tables)
            .env("AWS_ENDPOINT_URL_SNS", &self.sns_endpoint)
            .env("AWS_ENDPOINT_URL_SQS", &self.sns_endpoint);
        let function = Function::spawn(Path::new(binary), config).await?;
        let bytes = std::fs::metadata(binary)?.len();
        Ok(Served { function, name, bytes, measured: AtomicUsize::new(0) })
    }

    /// An account that has a plan and a user who logged in, and lacks a contact.
    async fn joins(&self, account: &str) -> Result<()> {
        let at = now();
        let traits = json!({ "name": "Acme", "plan": "team" });
        let calls = [
            json!({ "type": "group", "userId": PERSONAL, "groupId": account, "traits": traits }),
            json!({ "type": "track", "userId": PERSONAL, "event": "login" }),
        ];
        let mut events = Vec::new();
        for (number, call) in calls.into_iter().enumerate() {
            let Json::Object(body) = call else { bail!("a call is an object") };
            events.push(Event::from_body(format!("{account}-{number}"), at, at, body)?);
        }
        let key = CustomerKey::subject(account);
        self.store.commit(&key, &events, &self.lifecycle, at).await?;
        Ok(())
    }
}

/// A function, running.
struct Served {
    function: Function,
    name: &'static str,
    bytes: u64,
    /// How many metric events there are to be.
    measured: AtomicUsize,
}

impl Served {
    /// Sends an event that is to be answered.
    async fn answer(&self, event: Json) -> Result<Json> {
        self.measured.fetch_add(1, Ordering::Relaxed);
        Ok(self.function.invoke(event).await?)
    }

    /// Sends an event that is to fail: the type of the error.
    async fn failure(&self, event: Json) -> Result<String> {
        self.measured.fetch_add(1, Ordering::Relaxed);
        match self.function.invoke(event).await {
            Err(InvocationError::Function { error_type, message }) => {
                ensure!(!message.is_empty(), "{error_type} says nothing");
                ensure!(!message.contains(PERSONAL), "the error repeats the event: {message}");
                ensure!(!error_type.contains(char::is_whitespace), "no class: {error_type}");
                Ok(error_type)
            }
            Err(other) => bail!("not an error of the function: {other}"),
            Ok(answer) => bail!("answered: {answer}"),
        }
    }

    /// Holds what the process wrote to the rules, and prints what it took to start.
    #[expect(clippy::print_stdout, reason = "figures for whoever runs the tests with --nocapture")]
    async fn finish(self) -> Result<()> {
        let expected = self.measured.load(Ordering::Relaxed);
        let written = tokio::time::timeout(OUTPUT_LIMIT, async {
            loop {
                let lines = self.function.output();
                if lines.iter().filter(|line| is_metric(line)).count() >= expected {
                    return lines;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let lines = written.await.unwrap_or_else(|_| self.function.output());
        let mut metrics = 0;
        for line in &lines {
            let parsed = serde_json::from_str(line);
            let line: Json = parsed.with_context(|| format!("not JSON: {line}"))?;
            self.check(&line).with_context(|| format!("{line}"))?;
            metrics += usize::from(!line["_aws"].is_null());
        }
        ensure!(metrics == expected, "{metrics} metric events of {expected} invocations");
        let polled = self.function.init_time().context("the process asked for an event")?;
        #[expect(clippy::cast_precision_loss, reason = "megabytes of a file")]
        let megabytes = self.bytes as f64 / 1e6;
        println!(
            "{}: process start to first poll: {} ms; binary: {megabytes:.1} MB",
            self.name,
            polled.as_millis()
        );
        Ok(())
    }

    fn check(&self, line: &Json) -> Result<()> {
        let text = line.to_string();
        ensure!(!text.contains(PERSONAL) && !text.contains(WRITE_KEY), "this is not for a log");
        if line["_aws"].is_null() {
            let time: Option<Timestamp> =
                line["timestamp"].as_str().and_then(|time| time.parse().ok());
            ensure!(time.is_some(), "no time");
            let levels = ["ERROR", "WARN", "INFO"];
            ensure!(
                line["level"].as_str().is_some_and(|level| levels.contains(&level)),
                "no level"
            );
            return Ok(());
        }
        ensure!(line["_aws"]["Timestamp"].is_number(), "no time");
        ensure!(line["function"] == self.name, "not of this function");
        ensure!(line["outcome"] == "ok" || line["outcome"] == "error", "no outcome");
        ensure!(line["duration"].is_number(), "no duration");
        Ok(())
    }
}

fn is_metric(line: &str) -> bool {
    line.contains("\"_aws\"")
}

/// An event of API Gateway's HTTP API (payload format 2.0) without a body.
fn http_event(method: &str, path: &str) -> Json {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": { "host": "api.example.com", "x-forwarded-proto": "https" },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api0000001",
            "domainName": "api.example.com",
            "domainPrefix": "api",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.9.1",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "15/Jan/2026:10:30:00 +0000",
            "timeEpoch": 1_768_473_000_000_u64,
        },
        "isBase64Encoded": false,
    })
}

/// An SQS event of these bodies; the ids of its messages are `message-0` and so on.
fn sqs_event(bodies: &[&str]) -> Json {
    let records = bodies.iter().enumerate().map(|(number, body)| {
        json!({
            "messageId": format!("message-{number}"),
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1768473000000",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1768473000001",
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue",
            "awsRegion": "us-east-1",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// Events that no function is invoked with.
fn unexpected_events() -> [Json; 3] {
    [
        json!({ "greeting": PERSONAL }),
        json!({ "Records": PERSONAL }),
        json!({ "Records": [{ "messageId": [PERSONAL], "body": { "email": PERSONAL } }] }),
    ]
}
