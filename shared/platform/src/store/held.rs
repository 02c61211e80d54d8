//! Everything held about one id, for whoever asks in its name.

use std::collections::{BTreeMap, BTreeSet};

use domain::alert::Labels;
use domain::alerting::{Group, Note, Silence, State};
use domain::customer::Customer;
use domain::event::Event;
use domain::journal::JournalEntry;
use domain::lifecycle::{Lifecycle, Subject};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::alerts::{Notification, Outgoing};
use super::attributes::{Item, Reader};
use super::customers::Freshness;
use super::erase::{is_about, names};
use super::findings::{Finding, LISTS, finding_of};
use super::log::Reach;
use super::quarantine::{Quarantined, quarantined_of};
use super::suppression::Person;
use super::tasks::{TaskRecord, is_record_of, record_of};
use super::{CustomerKey, Store, StoreError, Versioned};

/// Everything held about one id.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The customers that are the id's alone.
    pub customers: Vec<Versioned>,
    /// Every id that is the same person.
    pub ids: BTreeSet<String>,
    /// The accounts a user was told to belong to.
    pub accounts: BTreeSet<String>,
    /// Their events, and those about the user in the accounts.
    pub events: Vec<(CustomerKey, Event)>,
    /// Decisions about the customers.
    pub journal: Vec<(CustomerKey, JournalEntry)>,
    /// Findings about them.
    pub findings: Vec<Finding>,
    /// Tasks about them.
    pub tasks: Vec<TaskRecord>,
    /// Alerts about the customers, as they are counted now.
    pub alerts: Vec<HeldAlert>,
    /// What was sent of the groups that these alerts are in, in the last 30 days.
    pub notifications: Vec<Notification>,
    /// What was sent of the customers alone.
    pub sent: Vec<SentMark>,
    /// Messages that name a customer and wait to be sent.
    pub waiting: Vec<Outgoing>,
    /// Silences that name a customer.
    pub silences: Vec<Silence>,
    /// What was set aside and names the id.
    pub quarantine: Vec<Quarantined>,
    /// Whether the id is turned away at the door, as a user's and as an account's.
    pub suppressed: (bool, bool),
}

/// An alert about a customer, as it is counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldAlert {
    /// The customer's id.
    pub customer: String,
    /// Which alert of the customer.
    pub alert: String,
    /// The group it is counted in.
    pub group: String,
    /// The journal entry that it is as of.
    pub entry: u64,
    /// Whether it is; one that is over is remembered for some days.
    pub firing: bool,
    /// Where the group knows it one by one: since when,
    pub since: Option<Timestamp>,
    /// the customer's name,
    pub name: Option<String>,
    /// what happened,
    pub headline: Option<String>,
    /// its own labels,
    pub labels: Labels,
    /// how it stands,
    pub state: Option<State>,
    /// and whether people heard of it.
    pub told: bool,
}

impl HeldAlert {
    fn new(key: &CustomerKey, alert: String, note: &Note, group: Option<&Group>) -> HeldAlert {
        let members = group.into_iter().flat_map(|group| &group.members);
        let known = members
            .filter(|member| member.key == key.as_str() && member.alert == alert)
            .max_by_key(|member| member.since);
        HeldAlert {
            customer: key.id().to_owned(),
            group: note.group.clone(),
            entry: note.seq,
            firing: note.is_firing,
            since: known.map(|member| member.since),
            name: known.map(|member| member.name.clone()),
            headline: known.map(|member| member.headline.clone()),
            labels: known.map(|member| member.labels.clone()).unwrap_or_default(),
            state: known.map(|member| member.state),
            told: known.map_or(note.told, |member| member.told),
            alert,
        }
    }
}

/// That people were sent a change of a customer by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentMark {
    /// The customer's id.
    pub customer: String,
    /// The number of the journal entry.
    pub entry: u64,
    /// The topic.
    pub topic: String,
    /// When.
    pub sent_at: String,
}

impl SentMark {
    fn of(key: &CustomerKey, found: &Item) -> Result<SentMark, StoreError> {
        let read = Reader { table: "control", item: found };
        let entry = read.text("sk")?.parse();
        Ok(SentMark {
            customer: key.id().to_owned(),
            entry: entry.map_err(|_| StoreError::Item { table: "control", what: "sk" })?,
            topic: read.text("topic")?.to_owned(),
            sent_at: read.text("sent_at")?.to_owned(),
        })
    }
}

impl Store {
    /// Everything held about an id, be it a user's or an account's.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn held_about(&self, id: &str, lifecycle: &Lifecycle) -> Result<Held, StoreError> {
        let own = [id.to_owned()].into();
        let mut held =
            Held { ids: self.same_as(Person::User, &own, lifecycle).await?, ..Held::default() };
        let mut keys: BTreeSet<CustomerKey> =
            CustomerKey::candidates(id, lifecycle.subject).into_iter().collect();
        for same in &held.ids {
            if lifecycle.subject == Subject::Account {
                keys.insert(CustomerKey::unlinked_user(same));
                let accounts = self.accounts_of(same).await?;
                held.accounts.extend(accounts.iter().map(|account| account.id().to_owned()));
            } else {
                keys.insert(CustomerKey::subject(same));
            }
        }
        for key in &keys {
            let found = self.read_customer(key, Freshness::Strong).await?;
            let log = self.log(key, Reach::Whole).await?;
            held.events.extend(log.into_iter().map(|event| (key.clone(), event)));
            let entries = self.whole_journal(key).await?;
            held.journal.extend(entries.into_iter().map(|entry| (key.clone(), entry)));
            if found.version > 0 {
                held.customers.push(found);
            }
        }
        let accounts = held.accounts.iter().map(|account| CustomerKey::subject(account));
        for key in accounts.filter(|key| !keys.contains(key)).collect::<Vec<_>>() {
            let log = self.log(&key, Reach::Whole).await?;
            let about = log.into_iter().filter(|event| is_about(&event.body, &held.ids));
            held.events.extend(about.map(|event| (key.clone(), event)));
        }
        self.hold_findings(&keys, &mut held).await?;
        self.hold_alerts(&keys, &mut held).await?;
        self.hold_quarantined(&mut held).await?;
        let suppressed = self.suppressed().await?;
        held.suppressed = (suppressed.has(Person::User, id), suppressed.has(Person::Account, id));
        Ok(held)
    }

    async fn hold_findings(
        &self,
        keys: &BTreeSet<CustomerKey>,
        held: &mut Held,
    ) -> Result<(), StoreError> {
        let customers: BTreeSet<&str> = keys.iter().map(CustomerKey::id).collect();
        for list in LISTS {
            for found in self.query_all_control(list).await? {
                let finding = finding_of(&found)?;
                if customers.contains(finding.customer.as_str()) {
                    held.findings.push(finding);
                }
            }
        }
        for list in [super::tasks::OPEN, super::tasks::CLOSED] {
            for found in self.query_all_control(list).await? {
                let record = record_of(&found)?;
                if keys.iter().any(|key| is_record_of(&found, &record, key)) {
                    held.tasks.push(record);
                }
            }
        }
        Ok(())
    }

    /// Alerts, and what people were sent of them. What was sent of a group names no customer: it is told
    /// from when one of these alerts began.
    async fn hold_alerts(
        &self,
        keys: &BTreeSet<CustomerKey>,
        held: &mut Held,
    ) -> Result<(), StoreError> {
        let mut groups: BTreeMap<String, Timestamp> = BTreeMap::new();
        for key in keys {
            for (alert, note) in self.alert_notes(key).await? {
                let group = self.alert_group(&note.group).await?.group;
                let told = HeldAlert::new(key, alert, &note, group.as_ref());
                let since = told.since.unwrap_or(Timestamp::MIN);
                let from = groups.entry(note.group).or_insert(since);
                *from = since.min(*from);
                held.alerts.push(told);
            }
            for found in self.query_all_control(&format!("sent#{key}")).await? {
                held.sent.push(SentMark::of(key, &found)?);
            }
        }
        if !groups.is_empty() {
            held.notifications = self.notifications_of(&groups).await?;
        }
        let named: BTreeSet<&str> = keys.iter().map(CustomerKey::as_str).collect();
        let is_named = |out: &Outgoing| out.customers.iter().any(|key| named.contains(&**key));
        held.waiting = self.outgoing(Timestamp::MAX, 1_000).await?;
        held.waiting.retain(is_named);
        held.silences = self.silences().await?;
        held.silences.retain(|silence| keys.iter().any(|key| silence.names(key.id())));
        Ok(())
    }

    /// What was sent of groups, of each from an instant on, newest first.
    async fn notifications_of(
        &self,
        groups: &BTreeMap<String, Timestamp>,
    ) -> Result<Vec<Notification>, StoreError> {
        let (mut told, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.notifications(1_000, cursor.as_deref()).await?;
            told.extend(page.items.into_iter().filter(|one| {
                let from = one.group.as_ref().and_then(|group| groups.get(group));
                from.is_some_and(|from| *from <= one.at)
            }));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(told);
            }
        }
    }

    async fn hold_quarantined(&self, held: &mut Held) -> Result<(), StoreError> {
        for found in self.query_all_control("quarantine").await? {
            let quarantined = quarantined_of(&found)?;
            let is_named = match serde_json::from_str(&quarantined.raw) {
                Ok(body) => names(&body, &held.ids),
                Err(_) => held
                    .ids
                    .iter()
                    .any(|id| quarantined.raw.contains(&Json::from(id.as_str()).to_string())),
            };
            let is_shared = quarantined.shared.as_ref();
            if is_named || is_shared.is_some_and(|shared| names(shared, &held.ids)) {
                held.quarantine.push(quarantined);
            }
        }
        Ok(())
    }

    async fn whole_journal(&self, key: &CustomerKey) -> Result<Vec<JournalEntry>, StoreError> {
        let (mut entries, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.journal(key, 1_000, cursor.as_deref()).await?;
            entries.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                entries.reverse();
                return Ok(entries);
            }
        }
    }
}

impl Held {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.customers.is_empty()
            && self.accounts.is_empty()
            && self.events.is_empty()
            && self.journal.is_empty()
            && self.findings.is_empty()
            && self.tasks.is_empty()
            && self.alerts.is_empty()
            && self.sent.is_empty()
            && self.waiting.is_empty()
            && self.silences.is_empty()
            && self.quarantine.is_empty()
            && self.suppressed == (false, false)
    }

    /// As JSON, for whoever asked.
    #[must_use]
    pub fn to_json(&self, id: &str, now: Timestamp) -> Json {
        let events = self.events.iter().map(|(customer, event)| {
            json!({
                "customer": customer.id(),
                "id": event.id,
                "timestamp": event.at,
                "received_at": event.received_at,
                "call": event.body,
            })
        });
        let journal = self
            .journal
            .iter()
            .map(|(customer, entry)| json!({ "customer": customer.id(), "entry": entry }));
        let (user, account) = self.suppressed;
        json!({
            "id": id,
            "exported_at": now,
            "ids": self.ids,
            "accounts": self.accounts,
            "suppressed": { "user": user, "account": account },
            "customers": self.customers.iter().map(customer_json).collect::<Vec<_>>(),
            "events": events.collect::<Vec<_>>(),
            "journal": journal.collect::<Vec<_>>(),
            "findings": self.findings,
            "tasks": self.tasks,
            "alerts": self.alerts,
            "notifications": self.notifications,
            "sent": self.sent,
            "waiting": self.waiting,
            "silences": self.silences,
            "quarantine": self.quarantine,
        })
    }
}

fn customer_json(found: &Versioned) -> Json {
    let Customer { profile, status, .. } = &found.customer;
    let traits = profile.traits.iter().map(|(name, state)| {
        let told_at = Timestamp::from_millisecond(state.at).ok();
        (name.clone(), json!({ "value": state.value.to_json(), "told_at": told_at }))
    });
    let seen = |ms: i64| (ms != 0).then(|| Timestamp::from_millisecond(ms).ok()).flatten();
    json!({
        "id": found.key.id(),
        "version": found.version,
        "part_of": found.moved.as_ref().map(|moved| moved.to.id()),
        "first_seen": seen(profile.first_seen),
        "last_seen": seen(profile.last_seen),
        "traits": traits.collect::<serde_json::Map<_, _>>(),
        "counted": profile.series,
        "stage": status.stage,
        "previous_stage": status.previous_stage,
        "entered": status.entered,
        "risk": status.risk,
        "risk_week": status.risk_week,
        "findings": status.findings,
        "tended": status.tended,
        "tasks": status.tasks,
    })
}
