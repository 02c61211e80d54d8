//! Receivers that are no SNS topics, on this machine: what has no address here is kept and shown, what
//! has one is sent there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use domain::alert::Alert;
use domain::lifecycle::Channel;
use domain::post::{BadTarget, Post};
use jiff::Timestamp;
use platform::publish::{Publish, PublishError, Publisher};
use serde::Serialize;
use serde_json::Value as Json;

use crate::clock::LocalClock;

/// How many messages are kept.
const CAPACITY: usize = 1_000;

/// A message that would have been sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    /// What kind of receiver.
    pub channel: Channel,
    /// The name of the secret that would have its address.
    pub secret: String,
    /// Names the message, however often it is sent.
    pub id: String,
    /// The body, without anything secret.
    pub body: Json,
    /// When it would have been sent.
    pub at: Timestamp,
}

/// The messages that were kept, the oldest first. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LocalPosts(Arc<Mutex<VecDeque<Kept>>>);

impl LocalPosts {
    /// The messages, the oldest first.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn keep(&self, post: &Post, at: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == CAPACITY {
            kept.pop_front();
        }
        let body = serde_json::from_str(&post.body).unwrap_or_default();
        let (secret, id) = (post.secret.clone(), post.id.clone());
        kept.push_back(Kept { channel: post.channel, secret, id, body, at });
    }
}

/// Publishes as the stack does, but keeps what has no address on this machine.
#[derive(Debug, Clone)]
pub struct LocalPublisher {
    /// Topics, and receivers that have an address here.
    pub publisher: Publisher,
    /// The others.
    pub posts: LocalPosts,
    /// The time.
    pub clock: LocalClock,
}

impl Publish for LocalPublisher {
    async fn publish(&self, alert: &Alert) -> Result<String, PublishError> {
        if let Some(post) = &alert.post
            && let Ok(Err(BadTarget::Unset)) = self.publisher.poster.target(post).await
        {
            self.posts.keep(post, self.clock.now());
            return Ok("kept on this machine: its secret is not set".to_owned());
        }
        self.publisher.publish(alert).await
    }
}
