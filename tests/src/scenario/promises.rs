//! What has to be true of every scenario once nothing fails any more.
//!
//! 1. Whatever was acknowledged is in the log exactly once, and nothing else is.
//! 2. A customer's state is what its log says: that of one who was told everything in order, at once.
//! 3. What cannot be read is set aside once, and stopped nothing.
//! 4. Every journal verifies, and its head is the customer's.
//! 5. A change has one entry: stages and bands follow from one another, findings open and close in turn.
//! 6. The customer's stage, and the lists of findings, are what the journal says.
//! 7. Whoever is to be told was told, under one id with one text; nobody waits any more.
//! 8. The daily roots follow from one another.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use domain::alert::{alert, labels, route_of};
use domain::audit::{Chain, first_break};
use domain::customer::Customer;
use domain::event::Event;
use domain::facts::Facts;
use domain::journal::{ChangeKind, JournalEntry};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use lifecycle::embedded::create_tables;
use platform::store::{QuarantineFilter, Versioned};
use platform::{CustomerKey, Store};
use serde_json::Value as Json;

use super::history::{ACCOUNTS, History};
use super::world::World;

/// Looks at all of them.
pub(super) async fn look(world: &mut World, history: &History) -> Result<()> {
    let plain = create_tables(&world.engine.dynamodb(), "plain-").await?;
    let plain = Store::new(world.engine.dynamodb(), plain, 400);
    let mut due = BTreeMap::new();
    for (account, calls) in ACCOUNTS.iter().zip(&history.calls) {
        let key = CustomerKey::subject(account);
        async {
            is_logged_once(&world.store, &key, calls).await?;
            let found = world.store.customer(&key).await?;
            let expected = told_in_order(&plain, &key, calls, &world.lifecycle).await?;
            counts_as(&found.customer, &expected.customer, &world.lifecycle, history.end())?;
            let journal = journal(&world.store, &key).await?;
            verifies(&found, &journal)?;
            follows(&journal)?;
            is_where(&world.store, account, &found, &journal).await?;
            world.report.events += calls.len();
            world.report.entries += journal.len();
            for entry in &journal {
                if is_told_alone(account, entry, &found.customer, &world.lifecycle) {
                    due.insert(format!("{account}-{}", entry.seq), format!("{entry:?}"));
                }
            }
            Ok::<(), anyhow::Error>(())
        }
        .await
        .with_context(|| format!("of {account}"))?;
    }
    is_set_aside(&world.store, &history.poison).await?;
    is_told(world, &due).await?;
    let roots = journal(&world.store, &CustomerKey::roots()).await?;
    ensure!(!roots.is_empty(), "there is no daily root");
    ensure!(first_break(&roots).is_none(), "the daily roots do not follow from one another");
    Ok(())
}

async fn is_logged_once(store: &Store, key: &CustomerKey, calls: &[Json]) -> Result<()> {
    let mut logged: Vec<String> =
        store.whole_log(key).await?.into_iter().map(|event| event.id).collect();
    let mut sent: Vec<&str> = calls.iter().filter_map(|call| call["messageId"].as_str()).collect();
    logged.sort_unstable();
    sent.sort_unstable();
    ensure!(logged == sent, "the log has {logged:?}, sent was {sent:?}");
    Ok(())
}

/// A customer to whom everything happened in order, with nothing in its way.
async fn told_in_order(
    plain: &Store,
    key: &CustomerKey,
    calls: &[Json],
    lifecycle: &Lifecycle,
) -> Result<Versioned> {
    let mut events = Vec::new();
    for call in calls {
        let Json::Object(body) = call.clone() else { anyhow::bail!("a call is an object") };
        let at: Timestamp = call["timestamp"].as_str().context("it has a time")?.parse()?;
        let id = call["messageId"].as_str().context("it has an id")?.to_owned();
        events.push(
            Event::from_body(id, at, at, body).map_err(|refused| anyhow::anyhow!("{refused:?}"))?,
        );
    }
    events.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    let last = events.last().context("there are calls")?.at;
    plain.commit(key, &events, lifecycle, last).await?;
    Ok(plain.customer(key).await?)
}

fn counts_as(
    found: &Customer,
    expected: &Customer,
    lifecycle: &Lifecycle,
    at: Timestamp,
) -> Result<()> {
    let numbers = |customer: &Customer| -> Vec<Option<f64>> {
        let facts = Facts::new(customer, lifecycle, at);
        (0..lifecycle.metrics.len()).map(|metric| facts.metric(metric)).collect()
    };
    let (has, should) = (numbers(found), numbers(expected));
    ensure!(has == should, "its metrics are {has:?}, its log says {should:?}");
    let traits = |customer: &Customer| -> Vec<String> {
        let told = customer.profile.traits.iter();
        told.map(|(name, told)| format!("{name} {:?}", told.value)).collect()
    };
    let (has, should) = (traits(found), traits(expected));
    ensure!(has == should, "its traits are {has:?}, its log says {should:?}");
    Ok(())
}

async fn journal(store: &Store, key: &CustomerKey) -> Result<Vec<JournalEntry>> {
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.journal(key, 1_000, cursor.as_deref()).await?;
        entries.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            entries.reverse();
            return Ok(entries);
        }
    }
}

fn verifies(found: &Versioned, journal: &[JournalEntry]) -> Result<()> {
    let mut chain = Chain::default();
    for (place, entry) in (1..).zip(journal) {
        let fault = chain.follow(place, Some(entry));
        ensure!(fault.is_none(), "the journal does not verify: {fault:?}");
    }
    let fault = chain.ends(&found.customer.status.journal);
    ensure!(fault.is_none(), "the journal's head does not verify: {fault:?}");
    Ok(())
}

/// Each entry of a thing begins where the one before it ended.
fn follows(journal: &[JournalEntry]) -> Result<()> {
    let mut last: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for entry in journal {
        let thing = match entry.kind {
            ChangeKind::Stage => "stage",
            ChangeKind::Risk => "risk",
            // One that somebody has seen is open still; where there is none, and where it is waived
            // already, a waiver changes none.
            ChangeKind::Waiver if entry.from.is_none() || entry.from == entry.to => continue,
            ChangeKind::Finding | ChangeKind::Waiver => entry.rule.as_str(),
            _ => continue,
        };
        let before = last.insert(thing, entry.to.clone()).flatten();
        let is_next = match entry.kind {
            // A new breach of the same standard begins where the old one is over.
            ChangeKind::Finding => {
                entry.from == before
                    || (entry.from.is_none() && before.as_deref() == Some("closed"))
            }
            // What a waiver let off when there was no breach, it lets off no more.
            ChangeKind::Waiver => entry.from == before || entry.from.as_deref() == Some("waived"),
            _ => entry.from == before,
        };
        ensure!(is_next, "entry {} does not follow from {before:?}: {entry:?}", entry.seq);
        let is_change = entry.from != entry.to || entry.author.is_some();
        ensure!(is_change, "entry {} changes nothing: {entry:?}", entry.seq);
    }
    Ok(())
}

async fn is_where(
    store: &Store,
    account: &str,
    found: &Versioned,
    journal: &[JournalEntry],
) -> Result<()> {
    let says = journal
        .iter()
        .rev()
        .find(|entry| entry.kind == ChangeKind::Stage)
        .and_then(|entry| entry.to.clone());
    let is = found.customer.status.stage.as_ref().map(|stage| stage.name.clone());
    ensure!(says == is, "it is in {is:?}, its journal says {says:?}");
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    let is_of_standard = |kind| {
        matches!(kind, ChangeKind::Finding | ChangeKind::Acknowledgement | ChangeKind::Waiver)
    };
    for entry in journal.iter().filter(|entry| is_of_standard(entry.kind)) {
        let standard = entry.rule.trim_start_matches("standards.").to_owned();
        match entry.to.as_deref() {
            Some(state @ ("open" | "acknowledged")) => open.insert(standard, state.to_owned()),
            _ => open.remove(&standard),
        };
    }
    let listed = store.findings("open", 100, None).await?.items.into_iter();
    let listed: BTreeMap<String, String> = listed
        .filter(|finding| finding.customer == account)
        .map(|finding| (finding.standard, finding.state))
        .collect();
    ensure!(listed == open, "listed are {listed:?}, its journal says {open:?}");
    Ok(())
}

/// Whether an entry is a message of its own.
fn is_told_alone(
    account: &str,
    entry: &JournalEntry,
    customer: &Customer,
    lifecycle: &Lifecycle,
) -> bool {
    let labels = labels(entry, customer, lifecycle);
    let route = route_of(entry.kind, &labels, lifecycle);
    route.is_some_and(|route| route.grouping.is_none())
        && alert(account, entry, customer, lifecycle).is_some()
}

async fn is_set_aside(store: &Store, poison: &[String]) -> Result<()> {
    let items = store.quarantined(&QuarantineFilter::default(), 1_000, None).await?.items;
    for id in poison {
        let found = items.iter().filter(|item| item.raw.contains(&format!("\"{id}\""))).count();
        ensure!(found == 1, "{id} is set aside {found} times");
    }
    ensure!(
        items.len() == poison.len(),
        "{} are set aside, sent were {}",
        items.len(),
        poison.len()
    );
    Ok(())
}

async fn is_told(world: &mut World, due: &BTreeMap<String, String>) -> Result<()> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let published = world.sns.published();
    world.report.messages += published.len();
    for one in published {
        let channels: BTreeMap<String, String> = serde_json::from_str(&one.message)?;
        let chat: Json = serde_json::from_str(&channels["https"])?;
        let id = chat["id"].as_str().context("a message has an id")?.to_owned();
        told.entry(id).or_default().push(channels["https"].clone());
    }
    for (id, entry) in due {
        ensure!(told.contains_key(id), "nobody was told of {id}: {entry}");
    }
    let groups = world.store.alert_groups(1_000, None).await?.items;
    for group in &groups {
        let untold: u64 =
            group.buckets.iter().map(|bucket| bucket.fresh + bucket.resolved + bucket.news).sum();
        ensure!(untold == 0, "{untold} alerts of a group wait: {group:?}");
    }
    let open = world.store.findings("open", 100, None).await?.items.into_iter();
    for finding in open.filter(|finding| finding.standard == "answered") {
        let is_member = |group: &domain::alerting::Group| {
            group.members.iter().any(|member| member.customer == finding.customer && member.told)
        };
        ensure!(groups.iter().any(is_member), "nobody was told of {finding:?}");
    }
    for (id, texts) in &told {
        // That of an entry says where the customer is now; that of a group was made once.
        let is_of_group = !due.contains_key(id);
        ensure!(
            !is_of_group || texts.iter().all(|text| *text == texts[0]),
            "{id} has several texts"
        );
    }
    Ok(())
}
