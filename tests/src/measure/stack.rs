//! The tables with a lifecycle file and a write key, an SNS endpoint, and what a function is started with.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use domain::event::Event;
use domain::lifecycle::{Lifecycle, load, presets};
use jiff::Timestamp;
use lifecycle::embedded::{Engine, LocalSns, Location, create_tables, table_names};
use platform::{CustomerKey, Store};
use serde_json::{Value as Json, json};

use crate::queue::LocalQueue;
use crate::runtime_api::{Function, FunctionConfig};
use crate::stack::WRITE_KEY;

const PREFIX: &str = "measure-";
/// Customers that are stored at once.
const CHUNK: u64 = 2_000;

pub(super) struct Tables {
    engine: Engine,
    sns_endpoint: String,
    pub(super) queue: LocalQueue,
    pub(super) store: Store,
    pub(super) lifecycle: Lifecycle,
}

#[expect(clippy::disallowed_methods, reason = "the binaries follow the system's clock")]
pub(super) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("the present is an instant")
}

impl Tables {
    pub(super) async fn start() -> Result<Tables> {
        let engine = Engine::start(Location::Memory)?;
        let tables = create_tables(&engine.dynamodb(), PREFIX).await?;
        let store = Store::new(engine.dynamodb(), tables, 400);
        let preset = presets::preset("b2b-saas").context("the preset is compiled in")?;
        let lifecycle = load(preset.source).ok().context("the preset is valid")?;
        store.apply_configuration(preset.source, &lifecycle.hash, now()).await?;
        store.add_write_key(WRITE_KEY, "benchmarks", now()).await?;
        let sns = LocalSns::new(Arc::new(now));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let sns_endpoint = format!("http://{}", listener.local_addr()?);
        let router = sns.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let queue = LocalQueue::start().await?;
        Ok(Tables { engine, sns_endpoint, queue, store, lifecycle })
    }

    /// What a function finds in its environment.
    pub(super) fn config(&self, name: &str) -> FunctionConfig {
        let arn = |topic: &str| format!("{topic}=arn:aws:sns:us-east-1:123456789012:{topic}");
        FunctionConfig::new(name)
            .tables(table_names(PREFIX))
            .env("TOPICS", format!("{},{}", arn("team"), arn("urgent")))
            .env("SWEEP_QUEUE_URL", self.queue.url())
            .env("PRIVACY_QUEUE_URL", self.queue.url())
            .env("REPLAY_QUEUE_URL", self.queue.url())
            .env("LOG_LEVEL", "warn")
            .env("AWS_ENDPOINT_URL_DYNAMODB", self.engine.endpoint())
            .env("AWS_ENDPOINT_URL_SNS", &self.sns_endpoint)
            .env("AWS_ENDPOINT_URL_SQS", self.queue.endpoint())
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("NO_PROXY", "127.0.0.1")
    }

    pub(super) async fn spawn(&self, name: &str, binary: &Path) -> Result<Function> {
        let spawned = Function::spawn(binary, self.config(name)).await;
        spawned.with_context(|| format!("cannot start {}", binary.display()))
    }

    /// Stores so many customers, each an account that joined and logged in: those from a number on.
    pub(super) async fn join(&self, from: u64, to: u64) -> Result<()> {
        let at = now();
        for first in (from..to).step_by(usize::try_from(CHUNK)?) {
            let mut groups = Vec::new();
            for number in first..(first + CHUNK).min(to) {
                let account = format!("account-{number}");
                let traits = json!({ "name": format!("Account {number}"), "plan": "team" });
                let calls = [
                    json!({ "type": "group", "userId": "ada", "groupId": account, "traits": traits }),
                    json!({ "type": "track", "userId": "ada", "event": "login" }),
                ];
                let mut events = Vec::new();
                for (place, call) in calls.into_iter().enumerate() {
                    let Json::Object(body) = call else { continue };
                    events.push(Event::from_body(format!("{number}-{place}"), at, at, body)?);
                }
                groups.push((CustomerKey::subject(&account), events));
            }
            self.store.commit_bulk(&groups, &self.lifecycle, at).await?;
        }
        Ok(())
    }
}
