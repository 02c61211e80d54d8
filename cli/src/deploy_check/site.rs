//! The stack's address, and requests to it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value as Json;
use ureq::http::Uri;

/// Longer than the gateway waits for a function: who gives up earlier does not know what is still done.
const TIMEOUT: Duration = Duration::from_secs(35);

/// A token for the console. It is not printed.
#[derive(Clone)]
pub(super) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::str::FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Token, String> {
        let token = text.trim();
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Token(token.to_owned())),
            false => Err("give the token alone, as the issuer gave it".to_owned()),
        }
    }
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Null where it is no JSON.
    pub(super) body: Json,
}

/// Whom a request is from.
#[derive(Clone, Copy)]
pub(super) enum Whom<'a> {
    Stranger,
    Reader(&'a Token),
    Sender(&'a str),
}

/// A stack's API.
pub(super) struct Site {
    agent: ureq::Agent,
    pub(super) base: String,
    /// Whether it is on this machine.
    pub(super) is_local: bool,
}

impl Site {
    /// The API at `https://…`, or at `http://…` of this machine.
    ///
    /// # Errors
    /// A sentence for the person who wrote the address.
    pub(super) fn at(url: &str) -> Result<Site, String> {
        let uri: Uri = url.parse().map_err(|_| format!("`{url}` is no address"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_local = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_local => {}
            Some("http") => {
                return Err(
                    "--url must be https: over http keys and tokens can be read on the way".into(),
                );
            }
            _ => return Err(format!("`{url}` is no address: write it as ApiUrl, https://…")),
        }
        let is_plain =
            uri.query().is_none() && uri.authority().is_some_and(|a| !a.as_str().contains('@'));
        if !is_plain || host.is_empty() {
            return Err("--url is the address alone, without user, password and query".into());
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT));
        // No proxy leads back to this machine.
        let config = if is_local { config.proxy(None) } else { config };
        let base = url.trim_end_matches('/').to_owned();
        Ok(Site { agent: config.build().into(), base, is_local })
    }

    /// Sends calls as trackers do.
    pub(super) async fn send(&self, whom: Whom<'_>, calls: &Json) -> Result<Answer> {
        let request = self.agent.post(format!("{}/v1/batch", self.base));
        let request = request.header("content-type", "application/json");
        let request = match whom {
            Whom::Sender(key) => request.header("x-write-key", key),
            Whom::Stranger | Whom::Reader(_) => request,
        };
        let body = serde_json::json!({ "batch": calls }).to_string();
        self.read("POST /v1/batch", move || request.send(body)).await
    }

    /// Asks the console.
    pub(super) async fn stages(&self, whom: Whom<'_>) -> Result<Answer> {
        let request = self.agent.get(format!("{}/api/stages", self.base));
        let request = match whom {
            Whom::Reader(Token(token)) => {
                request.header("authorization", format!("Bearer {token}"))
            }
            Whom::Stranger | Whom::Sender(_) => request,
        };
        self.read("GET /api/stages", move || request.call()).await
    }

    /// The client blocks: it has a thread of its own.
    async fn read(
        &self,
        what: &str,
        call: impl FnOnce() -> Result<ureq::http::Response<ureq::Body>, ureq::Error> + Send + 'static,
    ) -> Result<Answer> {
        let asked = tokio::task::spawn_blocking(move || {
            let mut answer = call()?;
            let status = answer.status().as_u16();
            let text = answer.body_mut().read_to_string()?;
            Ok::<_, ureq::Error>(Answer {
                status,
                body: serde_json::from_str(&text).unwrap_or_default(),
            })
        });
        let answer = asked.await.context("the asking thread stopped")?;
        answer.map_err(|error| anyhow!("{what} at {} was not answered: {error}", self.base))
    }
}
