//! Sending messages to receivers that are no SNS topics.
//!
//! Their addresses are secrets: they are read from the store, used, and neither logged nor told. What a
//! receiver refuses for good (any status of 400 to 499 but 408, 425 and 429; a redirect) is not sent again.

use std::sync::Arc;

use domain::post::{BadTarget, Post, Target};
use jiff::SignedDuration;

use crate::clock::Clock;
use crate::egress::{Answer, Egress};
use crate::publish::PublishError;
use crate::store::{Secret, Store, StoreError};

/// The longest word of an answer that is told.
const MAX_WORD: usize = 60;

/// Sends messages to receivers by the names of their secrets.
#[derive(Debug, Clone)]
pub struct Poster {
    store: Store,
    clock: Clock,
    egress: Arc<Egress>,
}

impl Poster {
    /// What sends to the receivers of a store, by a way out.
    #[must_use]
    pub fn new(store: Store, clock: Clock, egress: Egress) -> Poster {
        Poster { store, clock, egress: Arc::new(egress) }
    }

    /// Where a message goes.
    ///
    /// # Errors
    /// When the store cannot be read. Inside, when the secret is not set, or is no address.
    pub async fn target(&self, post: &Post) -> Result<Result<Target, BadTarget>, StoreError> {
        let secrets = self.store.source_secrets(&post.secret).await?;
        Ok(Target::read(post.channel, secrets.iter().map(Secret::expose)))
    }

    /// Sends a message; answers the status it was taken with.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn post(&self, post: &Post) -> Result<String, PublishError> {
        let failure = |why: String, retryable, retry_after| {
            let channel = post.channel.as_str();
            PublishError::Post { channel, why, retryable, retry_after }
        };
        let target = self.target(post).await.map_err(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the secret of a receiver could not be read"
            );
            failure("its secret could not be read".to_owned(), true, None)
        })?;
        // A person may set the secret, or mend it, while the message waits.
        let target = target.map_err(|error| failure(error.to_string(), true, None))?;
        let now = self.clock.now();
        let sent = self.egress.send(&post.request(&target, now), now).await;
        let answer = sent.map_err(|error| failure(error.to_string(), error.retryable(), None))?;
        match judge(&answer) {
            Taken::Yes => Ok(answer.status.to_string()),
            Taken::Later(wait) => Err(failure(told(&answer), true, wait)),
            Taken::Never => Err(failure(told(&answer), false, None)),
        }
    }
}

/// Whether a message was taken.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    Later(Option<SignedDuration>),
    Never,
}

fn judge(answer: &Answer) -> Taken {
    match answer.status {
        200..=299 => Taken::Yes,
        408 | 425 | 429 | 500..=599 => Taken::Later(answer.retry_after),
        _ => Taken::Never,
    }
}

/// The status, and the word of a body that is one: `404 no_service`. What is longer may say anything.
fn told(answer: &Answer) -> String {
    let word = answer.body.trim();
    let is_word = !word.is_empty()
        && word.len() <= MAX_WORD
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match is_word {
        true => format!("{} {word}", answer.status),
        false => answer.status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_taken_later_is_sent_again() {
        let answer = |status| Answer { status, retry_after: None, body: "no_service\n".to_owned() };
        for status in [200, 201, 202, 204] {
            assert_eq!(judge(&answer(status)), Taken::Yes, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 529] {
            assert_eq!(judge(&answer(status)), Taken::Later(None), "{status}");
        }
        for status in [301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
            assert_eq!(judge(&answer(status)), Taken::Never, "{status}");
        }
        assert_eq!(told(&answer(404)), "404 no_service");
        let long = Answer { body: "<html>token=x</html>".to_owned(), ..answer(500) };
        assert_eq!(told(&long), "500");
    }
}
