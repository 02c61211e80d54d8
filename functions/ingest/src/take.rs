//! The pipeline that every way in ends at: from calls to what became of each.
//!
//! Invariants: all links between users and accounts, and then all aliases, that a delivery tells are
//! stored before any of its events is given to a customer, so that an `identify` before its `group`
//! lands in the account. Events of one customer are committed together, in the order they came. A failure
//! concerns the calls it happened to; whether that fails the others is for the way in to say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::event::{Event, id_text};
use domain::feed::SenderKind;
use domain::lifecycle::Lifecycle;
use domain::personal::Shield;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use platform::store::{Fate, Person, SetAside, Suppressed};
use platform::telemetry::Counts;
use platform::{CustomerKey, Store, StoreError};

use crate::call::{Call, Came, Rejection};
use crate::heard::Listener;
use crate::items::Item;
use crate::when::{self, When};
use crate::who::Who;

/// How many customers are committed at once.
const PARALLEL_CUSTOMERS: usize = 8;
/// How many small reads or writes of other tables are under way at once.
const PARALLEL_CALLS: usize = 16;

/// What became of an item of a delivery.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It is new, and counts.
    Accepted,
    /// Its id was there already.
    Duplicate,
    /// It is about somebody who is not to be known: nothing of it is kept.
    Suppressed,
    /// It is in quarantine.
    Rejected(Rejection),
    /// It is not stored.
    Failed(Arc<StoreError>),
}

/// Something that a call needs and that could not be stored or read.
type Shared<T> = Result<T, Arc<StoreError>>;

/// A call and its place among the items.
type Placed = (usize, Call);

/// Takes the items of a delivery, and remembers who sent how much: what became of each, in their order.
pub(crate) async fn take(
    store: &Store,
    lifecycle: &Lifecycle,
    items: Vec<Item<'_>>,
    now: Timestamp,
) -> Vec<Outcome> {
    let listener = Listener::of(&items, lifecycle);
    let outcomes = take_again(store, lifecycle, items, now).await;
    store.hear(&listener.heard(&outcomes), now).await;
    outcomes
}

/// Takes items that came before: what became of each, in their order.
pub(crate) async fn take_again(
    store: &Store,
    lifecycle: &Lifecycle,
    items: Vec<Item<'_>>,
    now: Timestamp,
) -> Vec<Outcome> {
    let (mut calls, mut rejected) = (Vec::new(), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match item.call {
            Ok(call) => calls.push((place, call)),
            Err(rejection) => rejected.push((place, item.raw, rejection, item.came)),
        }
    }
    let rejected = rejected.into_iter().map(|(place, raw, rejection, came)| async move {
        let stored = async {
            let shield = store.shield(lifecycle).await?;
            set_aside(store, raw.as_bytes(), &rejection, &came, shield.as_deref(), now).await
        };
        let stored = stored.await;
        let outcome = stored.map(|()| Outcome::Rejected(rejection));
        (place, outcome.unwrap_or_else(|error| Outcome::Failed(Arc::new(error))))
    });
    let set_aside = all(rejected, PARALLEL_CALLS);
    let (mut outcomes, committed) =
        futures::join!(set_aside, commit_all(store, lifecycle, calls, now));
    outcomes.extend(committed);
    outcomes.sort_unstable_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Sets something aside with its reason, without its write key, and with its personal traits as they
/// are kept. What a feed's map goes by stays as it came: its names are not ours.
pub(crate) async fn set_aside(
    store: &Store,
    raw: &[u8],
    rejection: &Rejection,
    came: &Came,
    shield: Option<&Shield>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let shield = shield.filter(|_| came.sender.kind != SenderKind::Feed);
    let text = std::str::from_utf8(raw).map(|text| {
        let text = without_write_key(text);
        shield.and_then(|shield| shield.treat_text(&text)).unwrap_or(text)
    });
    let raw = text.as_ref().map_or(raw, |text| text.as_bytes());
    let mut shared = came.shared.clone();
    shield.into_iter().for_each(|shield| shield.treat_context(&mut shared.context));
    let shared = (!shared.is_empty()).then(|| serde_json::to_value(&shared).ok());
    let shared = shared.flatten();
    let aside = SetAside {
        raw,
        code: rejection.code,
        message: &rejection.message,
        sender: &came.sender,
        path: came.path.as_deref(),
        shared: shared.as_ref(),
    };
    store.quarantine(&aside, now).await
}

/// Why the first of a delivery's items that could not be stored was not.
pub(crate) fn first_failure(outcomes: &[Outcome]) -> Option<&Arc<StoreError>> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Failed(error) => Some(error),
        Outcome::Accepted | Outcome::Duplicate | Outcome::Suppressed | Outcome::Rejected(_) => None,
    })
}

/// What there is to count of a delivery.
pub(crate) fn counts(outcomes: &[Outcome]) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        match outcome {
            Outcome::Accepted => counts.accepted += 1,
            Outcome::Duplicate => counts.duplicates += 1,
            Outcome::Suppressed => {}
            Outcome::Rejected(_) => counts.rejected += 1,
            Outcome::Failed(_) => counts.failed += 1,
        }
    }
    counts
}

async fn commit_all(
    store: &Store,
    lifecycle: &Lifecycle,
    calls: Vec<Placed>,
    now: Timestamp,
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(calls.len());
    let suppressed = match store.suppressed().await {
        Ok(suppressed) => suppressed,
        Err(error) => {
            let error = Arc::new(error);
            let failed = |(place, _)| (place, Outcome::Failed(Arc::clone(&error)));
            return calls.into_iter().map(failed).collect();
        }
    };
    let (turned_away, calls): (Vec<_>, Vec<_>) =
        calls.into_iter().partition(|(_, call)| is_suppressed(call, &suppressed));
    outcomes.extend(turned_away.into_iter().map(|(place, _)| (place, Outcome::Suppressed)));
    let calls = give_instants(store, calls, now, &mut outcomes).await;
    let links = link_all(store, lifecycle, &calls, now).await;
    let calls = alias_all(store, lifecycle, calls, now, &mut outcomes).await;
    let homes = look_up_homes(store, lifecycle, &calls, now).await;
    let mut customers: Vec<(CustomerKey, Vec<usize>, Vec<Event>)> = Vec::new();
    let mut known: HashMap<CustomerKey, usize> = HashMap::new();
    let mut homed = Vec::with_capacity(calls.len());
    for (place, call) in calls {
        match customer_of(&call.who, &links, &homes) {
            Ok(customer) if is_of_suppressed(&call.who, &customer, &suppressed) => {
                outcomes.push((place, Outcome::Suppressed));
            }
            customer => homed.push(async move {
                let settled = async {
                    let customer = customer?;
                    Ok((settled(store, &customer, call, now).await.map_err(Arc::new)?, customer))
                };
                (place, settled.await)
            }),
        }
    }
    for (place, settled) in all(homed.into_iter(), PARALLEL_CALLS).await {
        match settled {
            Ok((event, customer)) => {
                let at = *known.entry(customer).or_insert_with_key(|customer| {
                    customers.push((customer.clone(), Vec::new(), Vec::new()));
                    customers.len() - 1
                });
                customers[at].1.push(place);
                customers[at].2.push(event);
            }
            Err(error) => outcomes.push((place, Outcome::Failed(error))),
        }
    }
    let commits = customers.into_iter().map(|(customer, places, events)| async move {
        (places, store.commit(&customer, &events, lifecycle, now).await)
    });
    for (places, committed) in all(commits, PARALLEL_CUSTOMERS).await {
        match committed {
            Ok(committed) => {
                let fates = committed.fates.into_iter().map(|fate| match fate {
                    Fate::Accepted => Outcome::Accepted,
                    Fate::Duplicate => Outcome::Duplicate,
                });
                outcomes.extend(places.into_iter().zip(fates));
            }
            Err(error) => {
                let error = Arc::new(error);
                let failed = |place| (place, Outcome::Failed(Arc::clone(&error)));
                outcomes.extend(places.into_iter().map(failed));
            }
        }
    }
    outcomes
}

/// Whether a call names anybody who is not to be known.
fn is_suppressed(call: &Call, suppressed: &Suppressed) -> bool {
    if suppressed.is_empty() {
        return false;
    }
    let told = |name: &str| call.event.body.get(name).and_then(id_text);
    let users = [told("userId"), told("anonymousId"), call.previous.clone()];
    let account = match &call.who {
        Who::Account { account, .. } => suppressed.has(Person::Account, account),
        Who::User(_) | Who::UserOfAccount(_) => false,
    };
    account || users.iter().flatten().any(|user| suppressed.has(Person::User, user))
}

/// Whether a user's call turns out to be about an account that is not to be known.
fn is_of_suppressed(who: &Who, customer: &CustomerKey, suppressed: &Suppressed) -> bool {
    matches!(who, Who::UserOfAccount(_))
        && customer.user().is_none()
        && suppressed.has(Person::Account, customer.id())
}

/// Gives the calls that have no instant of their own that of their arrival, or of the first one
/// under the same id.
async fn give_instants(
    store: &Store,
    calls: Vec<Placed>,
    now: Timestamp,
    outcomes: &mut Vec<(usize, Outcome)>,
) -> Vec<Placed> {
    let timed = calls.into_iter().map(|(place, mut call)| async move {
        if matches!(call.when, When::Arrival { .. }) {
            call.event.at =
                store.arrival(&call.event.id, now, now).await.map_err(|e| (place, e))?;
        }
        Ok((place, call))
    });
    let timed: Vec<Result<Placed, (usize, StoreError)>> = all(timed, PARALLEL_CALLS).await;
    let mut calls = Vec::with_capacity(timed.len());
    for result in timed {
        match result {
            Ok(call) => calls.push(call),
            Err((place, error)) => outcomes.push((place, Outcome::Failed(Arc::new(error)))),
        }
    }
    calls
}

/// The event of a call at the instant that counts. Where that is in another hour than the call tells,
/// an earlier delivery may have settled it otherwise, and a later one has to find it.
async fn settled(
    store: &Store,
    customer: &CustomerKey,
    call: Call,
    now: Timestamp,
) -> Result<Event, StoreError> {
    let mut event = call.event;
    if let When::Corrected { told, .. } | When::Arrival { told: Some(told) } = call.when
        && when::hour(told) != when::hour(event.at)
    {
        event.at = store.settle(customer, &event.id, told, event.at, now).await?;
    }
    Ok(event)
}

/// Remembers which user belongs to which account: of several tellings the newest, of two at one
/// instant the later in the delivery.
async fn link_all(
    store: &Store,
    lifecycle: &Lifecycle,
    calls: &[Placed],
    now: Timestamp,
) -> HashMap<String, Shared<()>> {
    let mut told: BTreeMap<&str, Vec<(&str, Timestamp)>> = BTreeMap::new();
    for (_, call) in calls {
        if let Who::Account { account, user: Some(user) } = &call.who {
            told.entry(user).or_default().push((account, call.event.at));
        }
    }
    let links = told.into_iter().map(|(user, mut accounts)| async move {
        // The newest first: what was kept under the user goes there.
        accounts.reverse();
        accounts.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let linked = async {
            for (account, at) in accounts {
                store.link(user, account, at, lifecycle, now).await?;
            }
            Ok(())
        };
        (user.to_owned(), linked.await.map_err(Arc::new))
    });
    all(links, PARALLEL_CALLS).await.into_iter().collect()
}

/// Makes one user of two ids, in the order the delivery tells it. A call whose alias could not be
/// stored is not taken, so that its sender tells it again.
async fn alias_all(
    store: &Store,
    lifecycle: &Lifecycle,
    calls: Vec<Placed>,
    now: Timestamp,
    outcomes: &mut Vec<(usize, Outcome)>,
) -> Vec<Placed> {
    let mut taken = Vec::with_capacity(calls.len());
    for (place, call) in calls {
        if let (Some(previous), Some(user)) = (&call.previous, &call.event.user) {
            let told = store.alias(previous, user, call.event.at, lifecycle, now).await;
            if let Err(error) = told {
                outcomes.push((place, Outcome::Failed(Arc::new(error))));
                continue;
            }
        }
        taken.push((place, call));
    }
    taken
}

/// Looks up the customers of users, each once.
async fn look_up_homes(
    store: &Store,
    lifecycle: &Lifecycle,
    calls: &[Placed],
    now: Timestamp,
) -> HashMap<String, Shared<CustomerKey>> {
    let mut users: Vec<&str> = Vec::new();
    for (_, call) in calls {
        if let Who::UserOfAccount(user) = &call.who {
            users.push(user);
        }
    }
    users.sort_unstable();
    users.dedup();
    let homes = users.into_iter().map(|user| async move {
        let home = store.home_of(user, lifecycle, now).await;
        (user.to_owned(), home.map_err(Arc::new))
    });
    all(homes, PARALLEL_CALLS).await.into_iter().collect()
}

/// Runs work, so much of it at once, and answers in the order it was given. Collected first,
/// because a stream over a closure that borrows is not `Send` to the compiler.
async fn all<T>(work: impl Iterator<Item = impl Future<Output = T>>, at_once: usize) -> Vec<T> {
    let work: Vec<_> = work.collect();
    stream::iter(work).buffered(at_once).collect().await
}

fn customer_of(
    who: &Who,
    links: &HashMap<String, Shared<()>>,
    homes: &HashMap<String, Shared<CustomerKey>>,
) -> Shared<CustomerKey> {
    match who {
        Who::User(user) => Ok(CustomerKey::subject(user)),
        Who::Account { account, user } => {
            if let Some(user) = user
                && let Some(Err(error)) = links.get(user)
            {
                return Err(Arc::clone(error));
            }
            Ok(CustomerKey::subject(account))
        }
        Who::UserOfAccount(user) => match homes.get(user) {
            Some(home) => home.clone(),
            None => Ok(CustomerKey::unlinked_user(user)),
        },
    }
}

/// A text with the values of its `writeKey` members blotted out: only hashes of keys are kept.
fn without_write_key(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find("\"writeKey\"") {
        let (before, after) = rest.split_at(found + "\"writeKey\"".len());
        kept.push_str(before);
        rest = after;
        let value = after.trim_start().strip_prefix(':').map(str::trim_start);
        let Some(value) = value.and_then(|value| value.strip_prefix('"')) else { continue };
        kept.push_str(":\"***");
        rest = &value[value.find('"').unwrap_or(value.len())..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_keys_are_blotted_out() {
        let check = |text, expected| assert_eq!(without_write_key(text), expected);
        check(r#"{"writeKey" : "dev","a":1}"#, r#"{"writeKey":"***","a":1}"#);
        check(
            r#"[{"writeKey":"a"},{"writeKey":"b"}]"#,
            r#"[{"writeKey":"***"},{"writeKey":"***"}]"#,
        );
        check(r#"{"writeKey":null}"#, r#"{"writeKey":null}"#);
        check(r#"{"writeKey":"#, r#"{"writeKey":"#);
        check(r#"{"writeKey":"cut o"#, r#"{"writeKey":"***"#);
        check(r#"{"a":"writeKey"}"#, r#"{"a":"writeKey"}"#);
    }
}
