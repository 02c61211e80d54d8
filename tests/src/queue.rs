//! An SQS endpoint on loopback, as far as a sender of messages is concerned.
//!
//! It takes what the real client sends over the JSON protocol, keeps the bodies until a test takes
//! them, and refuses on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value as Json, json};

/// A queue whose messages a test takes by hand.
#[derive(Debug, Clone)]
pub struct LocalQueue {
    endpoint: String,
    state: Arc<Mutex<Messages>>,
}

#[derive(Debug, Default)]
struct Messages {
    bodies: VecDeque<String>,
    sent: usize,
    refusals: usize,
}

impl LocalQueue {
    /// Serves an empty queue on a free port of 127.0.0.1, for as long as the runtime lives.
    ///
    /// # Errors
    /// When nothing can listen there.
    pub async fn start() -> Result<LocalQueue> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let queue = LocalQueue { endpoint, state: Arc::default() };
        let router = Router::new().fallback(post(receive)).with_state(queue.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(queue)
    }

    /// A real client that sends here, without attempts of its own.
    #[must_use]
    pub fn client(&self) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
            .endpoint_url(&self.endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("us-east-1"))
            .retry_config(RetryConfig::disabled())
            .build();
        aws_sdk_sqs::Client::from_conf(config)
    }

    /// Where it is served.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The address a message is sent to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/000000000000/tickets", self.endpoint)
    }

    /// The oldest message that was not taken yet.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        self.messages().bodies.pop_front()
    }

    /// How many messages were taken in so far.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.messages().sent
    }

    /// Refuses the next messages.
    pub fn refuse_next(&self, count: usize) {
        self.messages().refusals = count;
    }

    fn messages(&self) -> std::sync::MutexGuard<'_, Messages> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(State(queue): State<LocalQueue>, request: String) -> Response {
    let mut messages = queue.messages();
    if messages.refusals > 0 {
        messages.refusals -= 1;
        let body = json!({ "__type": "com.amazonaws.sqs#OverLimit", "message": "later" });
        return answer(StatusCode::BAD_REQUEST, &body);
    }
    let request: Json = serde_json::from_str(&request).unwrap_or_default();
    let Some(body) = request["MessageBody"].as_str() else {
        return answer(StatusCode::BAD_REQUEST, &json!({ "__type": "InvalidMessageContents" }));
    };
    messages.bodies.push_back(body.to_owned());
    messages.sent += 1;
    answer(StatusCode::OK, &json!({ "MessageId": format!("message-{}", messages.sent) }))
}

fn answer(status: StatusCode, body: &Json) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    (status, kind, body.to_string()).into_response()
}
