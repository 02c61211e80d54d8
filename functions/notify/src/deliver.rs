//! Sending what was made: each message until it is taken, and none because of another.
//!
//! Messages of one receiver go one after the other, in the order they were made: what ended must not be
//! told before it began. Receivers go side by side, so that one that hangs keeps no other waiting. One
//! that is no topic and does not take its messages is left alone for a while, longer each time; its
//! messages wait apart. A message that nobody took for a day is given up, and what is refused for good
//! at once; both are logged.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use platform::StoreError;
use platform::publish::{Publish, PublishError};
use platform::store::{Notification, Outgoing, SlowReceiver};

use crate::{App, Late};

/// How long a receiver is left alone at first, and at most.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// For how long it is tried to send a message.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Sends messages: how many were taken.
pub(crate) async fn deliver<P: Publish>(
    app: &App<P>,
    mut all: Vec<Outgoing>,
    late: Late,
    now: Timestamp,
) -> u64 {
    // In the order they were made, however long they waited.
    all.sort_by_key(|out| out.at);
    let mut queues: BTreeMap<String, Vec<Outgoing>> = BTreeMap::new();
    for out in all {
        queues.entry(place(&out)).or_default().push(out);
    }
    let queues = queues.into_iter();
    let sent = join_all(queues.map(|(place, queue)| async move {
        let sent = match queue.first().is_some_and(|out| out.alert.post.is_some()) {
            true => to_receiver(app, &place, &queue, late, now).await,
            false => Ok(to_topic(app, &queue).await),
        };
        sent.unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what is known of a receiver of alerts could not be read or written"
            );
            0
        })
    }));
    sent.await.into_iter().sum()
}

/// What tells where a message goes from where others do.
fn place(out: &Outgoing) -> String {
    match &out.alert.post {
        Some(post) => format!("{}:{}", post.channel.as_str(), post.secret),
        None => format!("sns:{}", out.alert.topic),
    }
}

/// Of a topic that does not answer the other messages wait for the next tick.
async fn to_topic<P: Publish>(app: &App<P>, queue: &[Outgoing]) -> u64 {
    let mut taken = 0;
    for out in queue {
        match send(app, out).await {
            Sent::Taken => taken += 1,
            Sent::GivenUp => {}
            Sent::NotYet(_) => break,
        }
    }
    taken
}

/// Of a receiver that does not take its messages all of them wait.
async fn to_receiver<P: Publish>(
    app: &App<P>,
    place: &str,
    queue: &[Outgoing],
    late: Late,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut slow = app.store.slow_receiver(place).await?;
    // It was asked lately, or messages before these wait for the next tick.
    if let Some(known) = slow.filter(|known| now < known.again_at || late == Late::Leave) {
        put_off(app, queue, known.again_at.max(now)).await?;
        return Ok(0);
    }
    let mut taken = 0;
    for (index, out) in queue.iter().enumerate() {
        match send(app, out).await {
            Sent::Taken => {
                taken += 1;
                if slow.take().is_some() {
                    app.store.note_slow(place, None).await?;
                }
            }
            Sent::GivenUp => {}
            Sent::NotYet(error) => {
                let attempts = slow.map_or(0, |slow| slow.attempts).saturating_add(1);
                let pause = pause(attempts).max(error.retry_after().unwrap_or_default());
                let again_at = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
                let known = SlowReceiver { attempts, again_at };
                app.store.note_slow(place, Some(known)).await?;
                let (old, waiting): (Vec<_>, Vec<_>) = queue[index..]
                    .iter()
                    .cloned()
                    .partition(|out| now.duration_since(out.at) > GIVE_UP_AFTER);
                for out in old {
                    give_up(app, &out, &error).await;
                }
                put_off(app, &waiting, again_at).await?;
                break;
            }
        }
    }
    Ok(taken)
}

/// How long a receiver is left alone that did not take a message so often in a row.
fn pause(attempts: u32) -> SignedDuration {
    let doubled = FIRST_PAUSE.checked_mul(1 << attempts.saturating_sub(1).min(16));
    doubled.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}

async fn put_off<P>(app: &App<P>, queue: &[Outgoing], until: Timestamp) -> Result<(), StoreError> {
    for out in queue {
        app.store.put_off(out, until).await?;
    }
    Ok(())
}

/// What became of a message.
enum Sent {
    Taken,
    GivenUp,
    NotYet(PublishError),
}

async fn send<P: Publish>(app: &App<P>, out: &Outgoing) -> Sent {
    match app.publisher.publish(&out.alert).await {
        Ok(answer) => {
            let told =
                Notification { what: "sent".to_owned(), answer: Some(answer), ..out.told.clone() };
            note(app, out, &told).await;
            Sent::Taken
        }
        Err(error) if error.retryable() => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a message about alerts could not be sent yet"
            );
            Sent::NotYet(error)
        }
        Err(error) => {
            give_up(app, out, &error).await;
            Sent::GivenUp
        }
    }
}

async fn give_up<P>(app: &App<P>, out: &Outgoing, error: &PublishError) {
    tracing::error!(error = error as &dyn std::error::Error, "a message about alerts was given up");
    let answer = Some(error.to_string());
    let told = Notification { what: "failed".to_owned(), answer, ..out.told.clone() };
    note(app, out, &told).await;
}

async fn note<P>(app: &App<P>, out: &Outgoing, told: &Notification) {
    if let Err(error) = app.store.note_sent(out, told).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a message that was sent will be sent again, under the same id"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_an_hour() {
        let seconds: Vec<i64> =
            [1, 2, 3, 7, 8, 40, u32::MAX].map(|attempts| pause(attempts).as_secs()).to_vec();
        assert_eq!(seconds, [30, 60, 120, 1_920, 3_600, 3_600, 3_600]);
    }
}
