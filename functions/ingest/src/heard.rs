//! Who is heard of in a delivery, and how much: what tells later whether a source has gone silent.

use std::collections::BTreeMap;

use domain::feed::{Sender, SenderKind};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::store::Heard;

use crate::items::Item;
use crate::take::Outcome;

/// Whom each item of a delivery is of, and when its event happened.
pub(crate) struct Listener(Vec<(Vec<Sender>, Option<Timestamp>)>);

impl Listener {
    /// Listens to the items of a delivery.
    pub(crate) fn of(items: &[Item<'_>], lifecycle: &Lifecycle) -> Listener {
        let senders = items.iter().map(|item| {
            let mut senders = vec![item.came.sender.clone()];
            let Ok(call) = &item.call else { return (senders, None) };
            let feeds = lifecycle.feeds.iter();
            let feeds = feeds.filter(|feed| feed.has_call(&senders[0], &call.event.name));
            let feeds: Vec<Sender> =
                feeds.map(|feed| Sender::new(SenderKind::Feed, &feed.name)).collect();
            senders.extend(feeds);
            (senders, Some(call.event.at))
        });
        Listener(senders.collect())
    }

    /// What was heard of each sender, once it is known what became of the items. What was there
    /// already is no sign of life.
    pub(crate) fn heard(&self, outcomes: &[Outcome]) -> BTreeMap<Sender, Heard> {
        let mut all: BTreeMap<Sender, Heard> = BTreeMap::new();
        for ((senders, at), outcome) in self.0.iter().zip(outcomes) {
            let (accepted, rejected) = match outcome {
                Outcome::Accepted => (1, 0),
                Outcome::Rejected(_) => (0, 1),
                Outcome::Duplicate | Outcome::Suppressed | Outcome::Failed(_) => continue,
            };
            for sender in senders {
                let heard = all.entry(sender.clone()).or_default();
                heard.accepted += accepted;
                heard.rejected += rejected;
                heard.newest = heard.newest.max(at.filter(|_| accepted > 0));
            }
        }
        all
    }
}
