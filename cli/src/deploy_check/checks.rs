//! Asks the stack: its address as a sender and a reader do, its tables as an operator does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use domain::alerting::{Matcher, Silence};
use domain::expr::Type;
use domain::lifecycle::{Lifecycle, Subject};
use jiff::{SignedDuration, Timestamp};
use platform::store::{Person, Versioned};
use platform::{CustomerKey, Store};
use serde_json::{Map, Value as Json, json};

use super::meaning::{self, Awaited, Found, SCHEDULES, STUCK_AFTER, Schedule, State};
use super::site::{Site, Token, Whom};
use super::told::{Stop, Told};
use crate::clock::LocalClock;
use crate::keys::new_key;

/// Of the write key, and who silences the customer's alerts: the same each time, because senders are
/// remembered by the label of their key.
pub(super) const LABEL: &str = "deploy-check (temporary)";
/// What the id of each customer of this command begins with.
pub(super) const ID_PREFIX: &str = "deploy-check-";
/// What is older was left by a process that was killed. Alerts are silenced for so long.
pub(super) const LEFT_AFTER: SignedDuration = SignedDuration::from_hours(4);
/// No feed claims it, and no rule reads it.
const EVENT: &str = "deploy_check";
/// How long an event that was taken may need to be seen.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// How long a run may take, once it is started.
const GRACE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_secs(1);
/// How many runs are looked through for the last of each schedule.
const RUNS: i32 = 1_000;

/// A stack, and the customer it is checked with.
pub(super) struct Checks<'a> {
    pub(super) store: &'a Store,
    pub(super) clock: LocalClock,
    /// The active lifecycle, once it was read.
    pub(super) lifecycle: Option<Arc<Lifecycle>>,
    /// The customer's id.
    pub(super) id: String,
    pub(super) key: String,
    /// Whether there may be anything to clean up.
    pub(super) has_begun: bool,
    calls: Json,
    site: &'a Site,
    stop: Stop,
    wait: Duration,
    token: Option<&'a Token>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(
        store: &'a Store,
        site: &'a Site,
        stop: Stop,
        wait: Duration,
        token: Option<&'a Token>,
    ) -> Result<Checks<'a>> {
        let key = new_key()?;
        let random = new_key()?;
        let id = format!("{ID_PREFIX}{}", random.get(3..15).unwrap_or_default());
        let clock = LocalClock::system();
        let (lifecycle, calls, has_begun) = (None, Json::Null, false);
        Ok(Checks { store, clock, lifecycle, id, key, has_begun, calls, site, stop, wait, token })
    }

    /// Makes every check but those of the cleanup.
    pub(super) async fn make(&mut self, told: &mut Told, is_local: bool) {
        let is_there = told.check(&meaning::TABLES, self.tables()).await == State::Ok;
        let has_key = match is_there {
            true => told.check(&meaning::WRITE_KEY, self.write_key()).await == State::Ok,
            false => told.skip(&meaning::WRITE_KEY, NO_WORKSPACE) == State::Ok,
        };
        told.check(&meaning::REFUSES, self.refuses()).await;
        let is_taken = match has_key {
            true => told.check(&meaning::ACCEPTS, self.sends(true)).await == State::Ok,
            false => told.skip(&meaning::ACCEPTS, "there is no write key") == State::Ok,
        };
        if is_taken {
            told.check(&meaning::DUPLICATES, self.sends(false)).await;
            told.check(&meaning::STATE, self.state()).await;
        } else {
            told.skip(&meaning::DUPLICATES, NOTHING_TAKEN);
            told.skip(&meaning::STATE, NOTHING_TAKEN);
        }
        for schedule in &SCHEDULES {
            match (is_there, is_local && !schedule.is_local) {
                (_, true) => told.skip(&schedule.kind, "`lifecycle dev` has no such schedule"),
                (true, _) => told.check(&schedule.kind, self.ran(schedule)).await,
                (false, _) => told.skip(&schedule.kind, NO_WORKSPACE),
            };
        }
        told.check(&meaning::CONSOLE_REFUSES, self.strangers()).await;
        told.check(&meaning::CONSOLE, self.console()).await;
        self.follow(told, is_there, is_taken).await;
    }

    /// What becomes of the customer.
    async fn follow(&self, told: &mut Told, is_there: bool, is_taken: bool) {
        let decided = match is_taken {
            true => {
                told.announce("waiting for the first decision");
                told.check(&meaning::DECISION, self.decision()).await
            }
            false => told.skip(&meaning::DECISION, NOTHING_TAKEN),
        };
        match decided {
            State::Ok => told.check(&meaning::JOURNAL, self.journal()).await,
            _ => told.skip(&meaning::JOURNAL, "there is no decision in it"),
        };
        if is_there {
            told.check(&meaning::QUARANTINE, self.quarantine()).await;
            told.check(&meaning::MESSAGES, self.messages()).await;
        } else {
            told.skip(&meaning::QUARANTINE, NO_WORKSPACE);
            told.skip(&meaning::MESSAGES, NO_WORKSPACE);
        }
    }

    /// The ids that the events name, and whose each is: the user's first, whose links lead to the account.
    pub(super) fn ids(&self, lifecycle: &Lifecycle) -> Vec<(Person, String)> {
        ids_of(&self.id, lifecycle)
    }

    fn customer_key(&self) -> CustomerKey {
        CustomerKey::subject(&self.id)
    }

    async fn customer(&self) -> Result<Versioned> {
        Ok(self.store.customer(&self.customer_key()).await?)
    }

    async fn tables(&mut self) -> Result<Found> {
        let Some(active) = self.store.configuration().await? else {
            return Ok(Found::failed("no lifecycle file is active"));
        };
        // One item of each of the other tables, to see that they are there.
        let (key, store) = (self.customer_key(), self.store);
        store.customer(&key).await?;
        store.event_page(&key, 1, None).await?;
        store.journal(&key, 1, None).await?;
        let lifecycle = store.lifecycle().await?;
        let now = self.clock.now();
        self.calls = calls(&self.id, &lifecycle, now);
        let left = super::cleanup::leftovers(store, &lifecycle, now).await?;
        self.lifecycle = Some(lifecycle);
        let left = match left {
            0 => String::new(),
            left => format!("; cleaned up what {left} earlier checks that were killed had left"),
        };
        Ok(Found::ok(format!("version {} of the lifecycle file is active{left}", active.version)))
    }

    /// Makes the key, and has nobody told of the customer.
    async fn write_key(&mut self) -> Result<Found> {
        self.has_begun = true;
        let now = self.clock.now();
        let customer =
            Matcher { label: "customer".into(), values: vec![self.id.clone()], is_not: false };
        let silence = Silence {
            id: self.store.silence_id()?,
            matchers: vec![customer],
            author: LABEL.to_owned(),
            reason: "a check of the deployment: nobody is to be told of its customer".to_owned(),
            starts_at: now,
            ends_at: now.saturating_add(LEFT_AFTER)?,
        };
        self.store.add_silence(&silence, now).await?;
        self.store.add_write_key(&self.key, LABEL, now).await?;
        Ok(Found::ok("made, for the time of the check"))
    }

    async fn refuses(&self) -> Result<Found> {
        let answer = self.site.send(Whom::Stranger, &self.calls).await?;
        Ok(meaning::refused(answer.status, &[401]))
    }

    async fn sends(&self, as_new: bool) -> Result<Found> {
        let answer = self.site.send(Whom::Sender(&self.key), &self.calls).await?;
        let count = self.calls.as_array().map_or(0, Vec::len) as u64;
        Ok(meaning::taken(answer.status, &answer.body, count, as_new))
    }

    async fn state(&self) -> Result<Found> {
        let (began, key) = (Instant::now(), self.customer_key());
        let sent = self.calls.as_array().map_or(0, Vec::len);
        loop {
            let is_here = self.customer().await?.is_here();
            let logged = self.store.event_page(&key, 10, None).await?.items.len();
            if is_here && logged == sent {
                return Ok(Found::ok(format!(
                    "the customer is there, its log has the {sent} events"
                )));
            }
            if logged > sent || began.elapsed() > SEEN_WITHIN || self.stop.is_wanted() {
                let is = if is_here { "is" } else { "is not" };
                return Ok(Found::failed(format!(
                    "the customer {is} there, its log has {logged} events, not {sent}"
                )));
            }
            self.stop.pause(POLL).await;
        }
    }

    async fn ran(&self, schedule: &Schedule) -> Result<Found> {
        let runs = self.store.runs(schedule.function, RUNS).await?;
        let now = self.clock.now();
        // Where the database does not say, the tables are taken to be old.
        let made = self.store.made_at().await?.unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(meaning::ran(schedule, &runs, made, now))
    }

    async fn strangers(&self) -> Result<Found> {
        let answer = self.site.stages(Whom::Stranger).await?;
        Ok(meaning::strangers(answer.status, self.site.is_local))
    }

    async fn console(&self) -> Result<Found> {
        if let Some(token) = self.token {
            let answer = self.site.stages(Whom::Reader(token)).await?;
            return Ok(meaning::console(answer.status, &answer.body));
        }
        if self.site.is_local {
            let answer = self.site.stages(Whom::Stranger).await?;
            if !matches!(answer.status, 401 | 403) {
                return Ok(meaning::console(answer.status, &answer.body));
            }
        }
        Ok(Found::skipped("give --token to read it"))
    }

    async fn decision(&self) -> Result<Found> {
        let began = Instant::now();
        let by = self.clock.now().saturating_add(SignedDuration::try_from(self.wait)?)?;
        loop {
            let found = self.customer().await?;
            match meaning::awaited(&found.customer, found.due_at, by) {
                Awaited::Decided => {
                    let stage = found.customer.status.stage.map(|stage| stage.name);
                    let stage =
                        stage.map_or("in no stage".to_owned(), |name| format!("in stage {name}"));
                    return Ok(Found::ok(format!("made: {stage}")));
                }
                Awaited::NotNow => {
                    return Ok(Found::skipped(
                        "by the lifecycle file, nothing is to be decided about it yet",
                    ));
                }
                Awaited::Soon if self.wait.is_zero() => return Ok(Found::skipped("--wait 0s")),
                Awaited::Soon if self.stop.is_wanted() => {
                    return Ok(Found::skipped("stopped while it was waited for"));
                }
                Awaited::Soon if began.elapsed() > self.wait + GRACE => {
                    let waited = SignedDuration::try_from(began.elapsed())?;
                    return Ok(Found::failed(format!("none within {}", meaning::rough(waited))));
                }
                Awaited::Soon => self.stop.pause(POLL).await,
            }
        }
    }

    async fn journal(&self) -> Result<Found> {
        let found = self.customer().await?;
        let entries = self.store.journal(&found.key, 1_000, None).await?;
        Ok(meaning::chain(&found.customer, &entries.items))
    }

    async fn quarantine(&self) -> Result<Found> {
        let lifecycle = self.lifecycle.as_ref().context("no lifecycle file is active")?;
        for (_, id) in self.ids(lifecycle) {
            let held = self.store.held_about(&id, lifecycle).await?;
            if let Some(aside) = held.quarantine.first() {
                return Ok(Found::failed(format!("set aside: {} ({})", aside.code, aside.id)));
            }
        }
        Ok(Found::ok("nothing of the customer is set aside"))
    }

    async fn messages(&self) -> Result<Found> {
        let by = self.clock.now().saturating_sub(STUCK_AFTER)?;
        let messages = self.store.outgoing(by, 100).await?.len();
        let groups = self.store.due_groups(by, 100).await?.len();
        Ok(meaning::stuck(messages, groups))
    }
}

const NOTHING_TAKEN: &str = "no event was taken";
const NO_WORKSPACE: &str = "there is no workspace that could be read";

/// The ids of a customer of this command: with a user of its own where customers are accounts.
pub(super) fn ids_of(id: &str, lifecycle: &Lifecycle) -> Vec<(Person, String)> {
    match lifecycle.subject {
        Subject::User => vec![(Person::User, id.to_owned())],
        Subject::Account => {
            vec![(Person::User, format!("{id}-user")), (Person::Account, id.to_owned())]
        }
    }
}

/// Somebody joins and does something, a minute ago: clocks may differ.
fn calls(id: &str, lifecycle: &Lifecycle, now: Timestamp) -> Json {
    let at = now.saturating_sub(SignedDuration::from_mins(1)).unwrap_or(now);
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    let call = |number: u8, rest: Json| {
        let mut call = json!({ "messageId": format!("{id}-{number}"), "timestamp": at });
        if let (Some(call), Json::Object(rest)) = (call.as_object_mut(), rest) {
            call.extend(rest);
        }
        call
    };
    let traits = traits(lifecycle);
    let (joins, user) = match lifecycle.subject {
        Subject::User => {
            (json!({ "type": "identify", "userId": id, "traits": traits }), id.to_owned())
        }
        Subject::Account => {
            let user = format!("{id}-user");
            (json!({ "type": "group", "userId": user, "groupId": id, "traits": traits }), user)
        }
    };
    json!([call(1, joins), call(2, json!({ "type": "track", "userId": user, "event": EVENT }))])
}

/// Of each trait that is a list of words its last, which is seldom the one of who only looks around: plans
/// and the like put customers into a stage.
fn traits(lifecycle: &Lifecycle) -> Map<String, Json> {
    let traits = lifecycle.traits.iter().filter_map(|known| match &known.ty {
        Type::Words(words) => Some((known.name.clone(), Json::from(words.last()?.as_ref()))),
        _ => None,
    });
    traits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(subject: &str) -> Lifecycle {
        let source = format!(
            "version: 1\nsubject: {subject}\ntraits: {{ plan: [trial, team], mrr: number? }}\n\
             stages: {{ trying: {{ enter: {{ when: has(traits.plan), priority: 1 }} }} }}\n"
        );
        domain::lifecycle::load(&source).unwrap()
    }

    #[test]
    fn an_account_joins_with_a_user_of_its_own() {
        let now = "2026-02-03T04:05:06.7Z".parse().unwrap();
        let lifecycle = lifecycle("account");
        let at = "2026-02-03T04:04:06Z";
        let expected = json!([
            { "type": "group", "userId": "x-user", "groupId": "x", "traits": { "plan": "team" },
              "messageId": "x-1", "timestamp": at },
            { "type": "track", "userId": "x-user", "event": "deploy_check", "messageId": "x-2",
              "timestamp": at },
        ]);
        assert_eq!(calls("x", &lifecycle, now), expected);
        let user = (Person::User, "x-user".to_owned());
        assert_eq!(ids_of("x", &lifecycle), [user, (Person::Account, "x".to_owned())]);
    }

    #[test]
    fn a_user_joins_where_users_are_customers() {
        let calls = calls("x", &lifecycle("user"), Timestamp::UNIX_EPOCH);
        assert_eq!((&calls[0]["type"], &calls[0]["userId"]), (&json!("identify"), &json!("x")));
        assert_eq!(calls[1]["userId"], "x");
    }
}
