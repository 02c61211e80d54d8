//! Sending what was made: each message until it is taken, and none because of another.

use std::collections::BTreeSet;

use platform::publish::Publish;
use platform::store::{Notification, Outgoing};

use crate::App;

/// Sends messages: how many were taken. Of a topic that does not answer the others wait as well; what
/// is refused for good is logged and given up.
pub(crate) async fn deliver<P: Publish>(app: &App<P>, all: &[Outgoing]) -> u64 {
    let mut taken = 0;
    let mut silent = BTreeSet::new();
    for out in all {
        if silent.contains(&out.alert.topic) {
            continue;
        }
        let told = match app.publisher.publish(&out.alert).await {
            Ok(answer) => {
                taken += 1;
                Notification { what: "sent".to_owned(), answer: Some(answer), ..out.told.clone() }
            }
            Err(error) if error.retryable() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a message about alerts could not be sent yet"
                );
                silent.insert(out.alert.topic.clone());
                continue;
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a message about alerts was given up"
                );
                let answer = Some(error.to_string());
                Notification { what: "failed".to_owned(), answer, ..out.told.clone() }
            }
        };
        if let Err(error) = app.store.note_sent(out, &told).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a message that was sent will be sent again, under the same id"
            );
        }
    }
    taken
}
