//! What is due of groups: the message is made, and noted as told, in one transaction; then it is sent.

use std::collections::BTreeMap;

use domain::alerting::{Group, Hold, Mutes, Policy, Reason, Silence, Step, message, next, summary};
use domain::lifecycle::{Channel, Lifecycle, Receiver};
use domain::post::ButtonKey;
use jiff::Timestamp;
use platform::store::{AlertWrites, CapState, GroupWrite, HeldGroup, Notification, Outgoing};
use platform::{Store, StoreError};

use crate::fold::due;

/// How often it is tried again when others change the same group.
const MAX_CONFLICTS: u32 = 8;
/// Why something is not told while a feed is silent, as the lifecycle file words it.
const DEPENDS_ON_FEED: &str = "depends_on_feed";
/// How many groups one summary notes as told in the transaction that makes it.
const AT_ONCE: usize = 20;

/// What groups are settled by.
pub(crate) struct Settling<'s> {
    pub(crate) store: &'s Store,
    pub(crate) lifecycle: &'s Lifecycle,
    pub(crate) silences: &'s [Silence],
    /// What buttons are signed with, where messages have some.
    pub(crate) buttons: Option<ButtonKey>,
    pub(crate) now: Timestamp,
}

/// What became of a group.
pub(crate) enum Settled {
    /// There is nothing to send.
    Nothing,
    /// These are to be sent.
    Messages(Vec<Outgoing>),
    /// It is one too many for its receiver.
    TooMany(Box<HeldGroup>),
}

impl Settling<'_> {
    /// Makes the message of a group, if one is due.
    pub(crate) async fn settle(&self, id: &str) -> Result<Settled, StoreError> {
        for _ in 0..MAX_CONFLICTS {
            let before = self.store.alert_group(id).await?;
            let Some(group) = before.group.clone() else { return Ok(Settled::Nothing) };
            let Some((receiver, most)) = self.receiver(&group) else {
                // Nobody is left to be told, by a change of the lifecycle file.
                let writes = AlertWrites {
                    groups: vec![write(before, None, None)],
                    ..AlertWrites::default()
                };
                self.store.write_alerts(&writes, self.now).await?;
                tracing::warn!(group = id, "a group of alerts was dropped: its receiver is gone");
                return Ok(Settled::Nothing);
            };
            let had = match most {
                Some(_) => Some(self.store.cap_state(&receiver, self.now).await?),
                None => None,
            };
            let cap = had.zip(most).map(|(had, most)| had.cap(most));
            let Some(policy) = Policy::of(&group, self.lifecycle, cap) else {
                return Ok(Settled::Nothing);
            };
            let sources = self.store.inhibiting(&group, self.lifecycle, self.now).await?;
            let rules = &self.lifecycle.inhibit;
            let mutes = Mutes { silences: self.silences, rules, sources: &sources, now: self.now };
            let (reason, due_at) = match next(&group, &mutes, &policy, self.now) {
                Step::Send { reason, due } => (reason, due),
                Step::Wait { hold, due } => {
                    self.log_muted(&group, &hold).await?;
                    let mut held = group;
                    held.hold(&mutes, &policy, self.now);
                    if self.wait(before, held, &policy, due).await? {
                        return Ok(Settled::Nothing);
                    }
                    continue;
                }
            };
            if reason == Reason::SummaryOverCap {
                return Ok(Settled::TooMany(Box::new(before)));
            }
            let out = self.messages(&group, &reason, &mutes);
            if out.is_empty() {
                return Ok(Settled::Nothing);
            }
            let mut after = group;
            after.told(&reason, &mutes, due_at, self.now);
            let (after, due) = self.after(after, &mutes, cap);
            let had = had.filter(|_| !matches!(reason, Reason::Escalation { .. }));
            let had = had.map(|had| (receiver, CapState { had: had.had + 1, ..had }));
            let writes = AlertWrites {
                groups: vec![write(before, after, due)],
                out: out.clone(),
                had: had.into_iter().collect(),
                ..AlertWrites::default()
            };
            if self.store.write_alerts(&writes, self.now).await? {
                return Ok(Settled::Messages(out));
            }
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    /// Makes the one message that a receiver gets in place of those that were too many.
    pub(crate) async fn sum_up(
        &self,
        receiver: &str,
        groups: &[HeldGroup],
    ) -> Result<Option<Outgoing>, StoreError> {
        let known = self.lifecycle.receiver(receiver);
        let Some((known, most)) = known.and_then(|known| Some((known, known.cap_per_hour?))) else {
            return Ok(None);
        };
        let had = self.store.cap_state(receiver, self.now).await?;
        if had.is_summed_up {
            return Ok(None);
        }
        let told: Vec<&Group> = groups.iter().filter_map(|held| held.group.as_ref()).collect();
        let id = format!("summary-{receiver}-{}", had.hour);
        let alert = summary(&id, known, &told, most, self.now);
        let out = Outgoing {
            customers: told.iter().flat_map(|group| names(group)).collect(),
            told: Notification {
                id: id.clone(),
                at: self.now,
                receiver: Some(receiver.to_owned()),
                topic: topic_of(known),
                reason: Reason::SummaryOverCap.as_str().to_owned(),
                firing: told.iter().map(|group| group.firing()).sum(),
                ..Notification::default()
            },
            id,
            at: self.now,
            alert,
            again_at: None,
        };
        let mut is_made = false;
        for part in groups.chunks(AT_ONCE) {
            let mut writes = AlertWrites::default();
            for held in part {
                let Some(mut group) = held.group.clone() else { continue };
                let sources = self.store.inhibiting(&group, self.lifecycle, self.now).await?;
                let rules = &self.lifecycle.inhibit;
                let mutes =
                    Mutes { silences: self.silences, rules, sources: &sources, now: self.now };
                group.told(&Reason::SummaryOverCap, &mutes, self.now, self.now);
                let (after, due) = self.after(group, &mutes, None);
                writes.groups.push(write(held.clone(), after, due));
            }
            if !is_made {
                let had = CapState { had: had.had + 1, is_summed_up: true, ..had };
                writes.out.push(out.clone());
                writes.had.push((receiver.to_owned(), had));
            }
            // What changed meanwhile is looked at again: it stays due.
            let stood = self.store.write_alerts(&writes, self.now).await?;
            if !is_made && !stood {
                return Ok(None);
            }
            is_made = true;
        }
        Ok(is_made.then_some(out))
    }

    /// Says in the log, once for what there is to hear, that it is not told because a feed is silent.
    async fn log_muted(&self, group: &Group, hold: &Hold) -> Result<(), StoreError> {
        let Hold::Inhibited { rule } = hold else { return Ok(()) };
        if !self.lifecycle.inhibit.get(*rule).is_some_and(|rule| rule.depends_on_feed) {
            return Ok(());
        }
        let told = Notification {
            id: format!("{}-muted", group.id),
            // The same again is the same line.
            at: group.changed_at,
            what: "muted".to_owned(),
            group: Some(group.id.clone()),
            receiver: Some(group.to.clone()),
            reason: DEPENDS_ON_FEED.to_owned(),
            firing: group.firing(),
            ..Notification::default()
        };
        self.store.log_notification(&told).await
    }

    /// The receiver of a group, and how many messages it gets in an hour.
    fn receiver(&self, group: &Group) -> Option<(String, Option<u32>)> {
        let receiver = self.lifecycle.receiver(&group.to)?;
        Some((receiver.name.clone(), receiver.cap_per_hour))
    }

    /// Notes when to look at a group again, or that it is over: whether that stood.
    async fn wait(
        &self,
        before: HeldGroup,
        group: Group,
        policy: &Policy<'_>,
        due: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let after = (!group.is_over(policy)).then_some(group);
        if after == before.group && due == before.due {
            return Ok(true);
        }
        let writes =
            AlertWrites { groups: vec![write(before, after, due)], ..AlertWrites::default() };
        self.store.write_alerts(&writes, self.now).await
    }

    /// A group after a message, and when there is something to do for it.
    fn after(
        &self,
        group: Group,
        mutes: &Mutes<'_>,
        cap: Option<domain::alerting::Cap>,
    ) -> (Option<Group>, Option<Timestamp>) {
        match Policy::of(&group, self.lifecycle, cap) {
            Some(policy) if !group.is_over(&policy) => {
                let due = next(&group, mutes, &policy, self.now).due();
                (Some(group), due)
            }
            _ => due(Some(group), self.lifecycle, self.now),
        }
    }

    /// The messages of a group: for the receiver that is due to hear, and where all of it is over also
    /// for those of the escalation that would remember it for ever.
    fn messages(&self, group: &Group, reason: &Reason, mutes: &Mutes<'_>) -> Vec<Outgoing> {
        let to = match reason {
            Reason::Escalation { to, .. } => to,
            _ => &group.to,
        };
        let Some(receiver) = self.lifecycle.receiver(to) else { return Vec::new() };
        let id = format!("{}-{}-{}", group.id, group.opened_at.as_second(), group.log.messages + 1);
        let mut out = vec![self.outgoing(id.clone(), receiver, group, reason, mutes)];
        if group.firing() == 0 {
            let others = group.told_receivers(self.lifecycle).into_iter();
            let others =
                others.filter(|one| one.name != receiver.name && one.channel.keeps_state());
            out.extend(others.map(|other| {
                self.outgoing(format!("{id}-{}", other.name), other, group, reason, mutes)
            }));
        }
        out
    }

    fn outgoing(
        &self,
        id: String,
        receiver: &Receiver,
        group: &Group,
        reason: &Reason,
        mutes: &Mutes<'_>,
    ) -> Outgoing {
        let buttons = self.buttons.as_ref();
        let alert = message(&id, receiver, group, reason, mutes, self.now, buttons);
        let told = Notification {
            id: id.clone(),
            at: self.now,
            group: Some(group.id.clone()),
            receiver: Some(receiver.name.clone()),
            topic: topic_of(receiver),
            reason: reason.as_str().to_owned(),
            firing: group.firing(),
            ..Notification::default()
        };
        Outgoing { id, at: self.now, alert, told, customers: names(group), again_at: None }
    }
}

/// The SNS topic of a receiver, where it is one.
fn topic_of(receiver: &Receiver) -> Option<String> {
    (receiver.channel == Channel::Sns).then(|| receiver.address.clone())
}

/// The keys of the customers that a message of a group may name.
fn names(group: &Group) -> Vec<String> {
    group.members.iter().map(|member| member.key.clone()).collect()
}

fn write(before: HeldGroup, after: Option<Group>, due: Option<Timestamp>) -> GroupWrite {
    let id = before.group.as_ref().map(|group| group.id.clone()).unwrap_or_default();
    GroupWrite { id, before, after, due }
}

/// Groups that are too many, by their receivers.
pub(crate) type TooMany = BTreeMap<String, Vec<HeldGroup>>;
