//! Calls to an endpoint, in batches, each until it is taken.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value as Json;

use super::Call;

/// Calls and bytes of one batch: what trackers send at most.
const BATCH_CALLS: usize = 500;
const BATCH_BYTES: usize = 450_000;
/// How often a batch is sent again that nobody took, and the longest wait before it.
const TRIES: u32 = 8;
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the endpoint answered so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// Calls that are new there.
    pub accepted: u64,
    /// Calls that were there already.
    pub duplicates: u64,
    /// Calls it would not take.
    pub rejected: u64,
}

/// Sends calls to the tracking API of a server.
pub(super) struct Sender {
    agent: ureq::Agent,
    url: String,
    key: String,
    batch: String,
    calls: usize,
    pub(super) sent: Sent,
}

impl Sender {
    /// For a server such as `https://example.com`, or the URL of its `/v1` or `/v1/batch`.
    pub(super) fn new(url: &str, key: &str) -> Sender {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/batch").unwrap_or(base);
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .build();
        Sender {
            agent: config.into(),
            // Not `batch`, which takes no events older than the log keeps them.
            url: format!("{base}/v1/import"),
            key: key.to_owned(),
            batch: String::new(),
            calls: 0,
            sent: Sent::default(),
        }
    }

    pub(super) async fn send(&mut self, call: &Call) -> Result<()> {
        let line = call.line();
        if self.calls >= BATCH_CALLS || self.batch.len() + line.len() > BATCH_BYTES {
            self.flush().await?;
        }
        if self.calls > 0 {
            self.batch.push(',');
        }
        self.batch.push_str(&line);
        self.calls += 1;
        Ok(())
    }

    /// Sends what is left.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if self.calls == 0 {
            return Ok(());
        }
        let body = format!("{{\"batch\":[{}]}}", std::mem::take(&mut self.batch));
        self.calls = 0;
        let mut wait = Duration::from_millis(250);
        for _ in 0..TRIES {
            match self.post(body.clone()).await? {
                Posted::Taken(answer) => {
                    let count = |name: &str| answer[name].as_u64().unwrap_or(0);
                    self.sent.accepted += count("accepted");
                    self.sent.duplicates += count("duplicates");
                    self.sent.rejected += answer["rejected"].as_array().map_or(0, Vec::len) as u64;
                    return Ok(());
                }
                Posted::Later(asked) => {
                    tokio::time::sleep(asked.unwrap_or(wait).min(LONGEST_WAIT)).await;
                    wait *= 2;
                }
            }
        }
        bail!("{} did not take a batch in {TRIES} tries; is it running?", self.url)
    }

    async fn post(&self, body: String) -> Result<Posted> {
        let (agent, url, key) = (self.agent.clone(), self.url.clone(), self.key.clone());
        // The client blocks: it has a thread of its own.
        let posted = tokio::task::spawn_blocking(move || {
            let request = agent.post(&url).header("content-type", "application/json");
            let mut answer = match request.header("x-write-key", &key).send(body) {
                Ok(answer) => answer,
                Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                    return Err(error).with_context(|| format!("{url} is no address to send to"));
                }
                Err(_) => return Ok(Posted::Later(None)),
            };
            let status = answer.status().as_u16();
            let asked = answer.headers().get("retry-after");
            let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok());
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            let answer: Json = serde_json::from_str(&text).unwrap_or_default();
            match status {
                200 => Ok(Posted::Taken(answer)),
                429 | 500.. => Ok(Posted::Later(asked.map(Duration::from_secs))),
                _ => {
                    let why = answer["message"].as_str().unwrap_or("it did not say why");
                    bail!("{url} answered {status}: {why}")
                }
            }
        });
        posted.await.context("the sending thread stopped")?
    }
}

enum Posted {
    Taken(Json),
    /// Try again, after so long where the server said.
    Later(Option<Duration>),
}
