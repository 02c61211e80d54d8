//! Nothing is left behind: the key is revoked and the customer erased, as `lifecycle erase` does it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::store::{Person, PrivacyAction, PrivacyState, hash_of};
use platform::{CustomerKey, Store};

use super::checks::{Checks, ID_PREFIX, LABEL, LEFT_AFTER, ids_of};
use super::meaning::{self, Found};
use super::told::Told;

/// What the functions are still at may write once more about the customer: it is looked again so often.
const TRIES: usize = 5;
const SETTLES_IN: Duration = Duration::from_secs(2);

/// Revokes the key, so that nothing more comes, and erases the customer.
pub(super) async fn clean_up(checks: &Checks<'_>, told: &mut Told) {
    if !checks.has_begun {
        told.skip(&meaning::REVOKED, "none was made");
        told.skip(&meaning::ERASED, "there is nobody to erase");
        return;
    }
    told.check(&meaning::REVOKED, revoke(checks)).await;
    told.check(&meaning::ERASED, erased(checks)).await;
}

async fn revoke(checks: &Checks<'_>) -> Result<Found> {
    let hash = hash_of(&checks.key);
    checks.store.remove_write_key(&hash).await?;
    let is_live = checks.store.write_keys().await?.iter().any(|key| key.hash == hash);
    Ok(match is_live {
        false => Found::ok("functions stop taking it within half a minute"),
        true => Found::failed(format!("the write key {} is still live", &hash[..12])),
    })
}

async fn erased(checks: &Checks<'_>) -> Result<Found> {
    let Some(lifecycle) = &checks.lifecycle else {
        return Ok(Found::failed(format!("{} could not be erased", checks.id)));
    };
    let ids = checks.ids(lifecycle);
    let mut left = BTreeSet::new();
    for _ in 0..TRIES {
        erase(checks.store, lifecycle, &checks.id, checks.clock.now()).await?;
        tokio::time::sleep(SETTLES_IN).await;
        left.clear();
        for (_, id) in &ids {
            left.extend(meaning::left(&checks.store.held_about(id, lifecycle).await?));
        }
        if left.is_empty() {
            return Ok(Found::ok("nothing is held about the customer any more"));
        }
    }
    let left: Vec<&str> = left.into_iter().collect();
    Ok(Found::failed(format!("of {} there still is: {}", checks.id, left.join(", "))))
}

/// Erases a customer of this command, its user and what silenced it.
async fn erase(store: &Store, lifecycle: &Lifecycle, id: &str, now: Timestamp) -> Result<()> {
    // Only what had come by then is erased, by the clocks of the functions.
    let events = store.event_page(&CustomerKey::subject(id), 100, None).await?.items;
    let now = events.iter().map(|event| event.received_at).fold(now, Timestamp::max);
    for (person, id) in ids_of(id, lifecycle) {
        erase_one(store, lifecycle, person, &id, now).await?;
    }
    Ok(())
}

async fn erase_one(
    store: &Store,
    lifecycle: &Lifecycle,
    person: Person,
    id: &str,
    now: Timestamp,
) -> Result<()> {
    let ids = [id.to_owned()];
    let request = store.request_privacy(PrivacyAction::DeleteOnly, person, &ids, now).await?;
    let done = store.run_privacy_request(&request.id, lifecycle, now, &mut |_| false).await?;
    if done.is_none_or(|done| done.state != PrivacyState::Finished) {
        bail!("the request {} to erase {id} did not come to its end", request.id);
    }
    Ok(())
}

/// Cleans up after earlier ones that were killed: how many there were.
pub(super) async fn leftovers(
    store: &Store,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Result<usize> {
    let is_left = |made: Timestamp| now.duration_since(made) > LEFT_AFTER;
    let keys = store.write_keys().await?.into_iter();
    let keys: Vec<_> = keys.filter(|key| key.label == LABEL && is_left(key.created_at)).collect();
    for key in &keys {
        store.remove_write_key(&key.hash).await?;
    }
    // What silences a customer names it.
    let silences = store.silences().await?.into_iter();
    let silences = silences.filter(|one| one.author == LABEL && is_left(one.starts_at));
    let values = silences.flat_map(|one| one.matchers).flat_map(|matcher| matcher.values);
    let ids: BTreeSet<String> = values.filter(|id| id.starts_with(ID_PREFIX)).collect();
    for id in &ids {
        erase(store, lifecycle, id, now).await?;
    }
    Ok(keys.len().max(ids.len()))
}
