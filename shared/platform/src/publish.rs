//! Sending messages to people: SNS; and, with [`crate::post`], other receivers.

use std::collections::BTreeMap;
use std::future::Future;

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::types::MessageAttributeValue;
use domain::alert::Alert;
use jiff::SignedDuration;

use crate::post::Poster;

/// The codes of AWS's common errors that ask for patience with status 400.
const PUT_OFF: [&str; 4] =
    ["RequestLimitExceeded", "RequestThrottled", "Throttling", "ThrottlingException"];

/// Where alerts go: the one thing outside that a test may replace.
pub trait Publish {
    /// Publishes an alert; answers the message's id.
    ///
    /// # Errors
    /// When it was not taken; [`PublishError::retryable`] says whether to try again.
    fn publish(&self, alert: &Alert) -> impl Future<Output = Result<String, PublishError>> + Send;
}

/// Why an alert was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The lifecycle file names a topic that the stack does not have.
    #[error("there is no SNS topic named `{0}` in this stack")]
    UnknownTopic(String),
    /// SNS did not take it.
    #[error("SNS did not take a message for the topic `{topic}` ({code})")]
    Sns {
        /// The topic's name.
        topic: String,
        /// The error code, or the kind of failure.
        code: String,
        /// Whether the same message may be taken later.
        retryable: bool,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A receiver that is no topic did not take it. It is never said where that is.
    #[error("the {channel} receiver did not take a message: {why}")]
    Post {
        /// The kind of receiver.
        channel: &'static str,
        /// The status and the word of its answer, or why there is none.
        why: String,
        /// Whether the same message may be taken later.
        retryable: bool,
        /// How long it asks to be left alone.
        retry_after: Option<SignedDuration>,
    },
}

impl PublishError {
    /// Whether the same message may be taken later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            PublishError::UnknownTopic(_) => false,
            PublishError::Sns { retryable, .. } | PublishError::Post { retryable, .. } => {
                *retryable
            }
        }
    }

    /// How long the receiver asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<SignedDuration> {
        match self {
            PublishError::UnknownTopic(_) | PublishError::Sns { .. } => None,
            PublishError::Post { retry_after, .. } => *retry_after,
        }
    }
}

/// Publishes to the topics of the stack.
#[derive(Debug, Clone)]
pub struct SnsPublisher {
    client: aws_sdk_sns::Client,
    topics: BTreeMap<String, String>,
}

impl SnsPublisher {
    /// A publisher to topics by the name the lifecycle file uses.
    #[must_use]
    pub fn new(client: aws_sdk_sns::Client, topics: BTreeMap<String, String>) -> SnsPublisher {
        SnsPublisher { client, topics }
    }
}

/// Publishes to the topics of the stack, and to the receivers whose addresses are secrets.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The topics.
    pub sns: SnsPublisher,
    /// The other receivers.
    pub poster: Poster,
}

impl Publish for Publisher {
    async fn publish(&self, alert: &Alert) -> Result<String, PublishError> {
        match &alert.post {
            None => self.sns.publish(alert).await,
            Some(post) => self.poster.post(post).await,
        }
    }
}

impl Publish for SnsPublisher {
    async fn publish(&self, alert: &Alert) -> Result<String, PublishError> {
        let unknown = || PublishError::UnknownTopic(alert.topic.clone());
        let arn = self.topics.get(&alert.topic).ok_or_else(unknown)?;
        let mut publish = self
            .client
            .publish()
            .topic_arn(arn)
            .subject(&alert.subject)
            .message(message(alert))
            .message_structure("json");
        for (name, value) in &alert.attributes {
            let attribute = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .map_err(|source| failure(alert, "build".to_owned(), false, source.into()))?;
            publish = publish.message_attributes(name, attribute);
        }
        match publish.send().await {
            Ok(output) => Ok(output.message_id.unwrap_or_default()),
            Err(error) => {
                let code = error.code().unwrap_or("unreachable").to_owned();
                // What SNS refuses as malformed or forbidden it refuses again; what it puts off,
                // some of its answers with the same status do, it takes later.
                let refused = matches!(&error, SdkError::ServiceError(service)
                    if (400..429).contains(&service.raw().status().as_u16()));
                let retryable = !refused || PUT_OFF.contains(&code.as_str());
                Err(failure(alert, code, retryable, error.into()))
            }
        }
    }
}

fn failure(
    alert: &Alert,
    code: String,
    retryable: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> PublishError {
    PublishError::Sns { topic: alert.topic.clone(), code, retryable, source }
}

/// One message for every kind of subscriber: plain text for e-mail, the chat notification for
/// the HTTPS subscription of a chat client.
#[must_use]
pub fn message(alert: &Alert) -> String {
    serde_json::json!({
        "default": alert.text,
        "email": alert.text,
        "https": alert.chat.to_string(),
    })
    .to_string()
}
