//! The pipeline that every way in ends at: from calls to what became of each.
//!
//! Invariants: all links between users and accounts that a delivery tells are stored before any of
//! its events is given to a customer, so that an `identify` before its `group` lands in the
//! account. Events of one customer are committed together, in the order they came. A failure
//! concerns the calls it happened to; whether that fails the others is for the way in to say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::event::Event;
use domain::lifecycle::Lifecycle;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use platform::store::Fate;
use platform::telemetry::Counts;
use platform::{CustomerKey, Store, StoreError};

use crate::call::{Call, Rejection};
use crate::items::Item;
use crate::when::When;
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
    /// It is in quarantine.
    Rejected(Rejection),
    /// It is not stored.
    Failed(Arc<StoreError>),
}

/// Something that a call needs and that could not be stored or read.
type Shared<T> = Result<T, Arc<StoreError>>;

/// A call and its place among the items.
type Placed = (usize, Call);

/// Takes the items of a delivery: what became of each, in their order.
pub(crate) async fn take(
    store: &Store,
    lifecycle: &Lifecycle,
    items: Vec<Item<'_>>,
    now: Timestamp,
) -> Vec<Outcome> {
    let (mut calls, mut rejected) = (Vec::new(), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match item.call {
            Ok(call) => calls.push((place, call)),
            Err(rejection) => rejected.push((place, item.raw, rejection)),
        }
    }
    let rejected = rejected.into_iter().map(|(place, raw, rejection)| async move {
        let stored = set_aside(store, raw.as_bytes(), &rejection, now).await;
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

/// Sets something aside with its reason, and without its write key.
pub(crate) async fn set_aside(
    store: &Store,
    raw: &[u8],
    rejection: &Rejection,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = std::str::from_utf8(raw).map(without_write_key);
    let raw = text.as_ref().map_or(raw, |text| text.as_bytes());
    store.quarantine(raw, rejection.code, &rejection.message, now).await
}

/// What there is to count of a delivery.
pub(crate) fn counts(outcomes: &[Outcome]) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        match outcome {
            Outcome::Accepted => counts.accepted += 1,
            Outcome::Duplicate => counts.duplicates += 1,
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
    let calls = give_instants(store, calls, now, &mut outcomes).await;
    let links = link_all(store, &calls).await;
    let accounts = look_up_accounts(store, &calls).await;
    let mut customers: Vec<(CustomerKey, Vec<usize>, Vec<Event>)> = Vec::new();
    let mut known: HashMap<CustomerKey, usize> = HashMap::new();
    let homed = calls.into_iter().map(|(place, call)| {
        let customer = customer_of(&call.who, &links, &accounts);
        async move {
            let settled = async {
                let customer = customer?;
                Ok((settled(store, &customer, call, now).await.map_err(Arc::new)?, customer))
            };
            (place, settled.await)
        }
    });
    for (place, settled) in all(homed, PARALLEL_CALLS).await {
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

/// Gives the calls that have no instant of their own that of their arrival, or of the first one
/// under the same id.
async fn give_instants(
    store: &Store,
    calls: Vec<Placed>,
    now: Timestamp,
    outcomes: &mut Vec<(usize, Outcome)>,
) -> Vec<Placed> {
    let timed = calls.into_iter().map(|(place, mut call)| async move {
        if call.when == When::Arrival {
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

/// The event of a call at the instant that counts. Where a wrong clock was put right, an earlier
/// delivery may have told otherwise: then the log has the event in the hour it tells, or its id is
/// remembered with another instant.
async fn settled(
    store: &Store,
    customer: &CustomerKey,
    call: Call,
    now: Timestamp,
) -> Result<Event, StoreError> {
    let mut event = call.event;
    if let When::Corrected { at, told } = call.when {
        event.at = match store.has_event(customer, told, &event.id).await? {
            true => told,
            false => store.arrival(&event.id, at, now).await?,
        };
    }
    Ok(event)
}

/// Remembers which user belongs to which account: of several tellings the newest, of two at one
/// instant the later in the delivery.
async fn link_all(store: &Store, calls: &[Placed]) -> HashMap<String, Shared<()>> {
    let mut newest: BTreeMap<&str, (&str, Timestamp)> = BTreeMap::new();
    for (_, call) in calls {
        if let Who::Account { account, user: Some(user) } = &call.who {
            let at = call.event.at;
            let link = newest.entry(user).or_insert((account, at));
            if at >= link.1 {
                *link = (account, at);
            }
        }
    }
    let links = newest.into_iter().map(|(user, (account, at))| async move {
        let linked = store.link(user, account, at).await;
        (user.to_owned(), linked.map_err(Arc::new))
    });
    all(links, PARALLEL_CALLS).await.into_iter().collect()
}

/// Looks up the accounts of users, each once.
async fn look_up_accounts(
    store: &Store,
    calls: &[Placed],
) -> HashMap<String, Shared<Option<String>>> {
    let mut users: Vec<&str> = Vec::new();
    for (_, call) in calls {
        if let Who::UserOfAccount(user) = &call.who {
            users.push(user);
        }
    }
    users.sort_unstable();
    users.dedup();
    let accounts = users.into_iter().map(|user| async move {
        let account = store.account_of(user).await;
        (user.to_owned(), account.map_err(Arc::new))
    });
    all(accounts, PARALLEL_CALLS).await.into_iter().collect()
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
    accounts: &HashMap<String, Shared<Option<String>>>,
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
        Who::UserOfAccount(user) => match accounts.get(user) {
            Some(Ok(Some(account))) => Ok(CustomerKey::subject(account)),
            Some(Err(error)) => Err(Arc::clone(error)),
            Some(Ok(None)) | None => Ok(CustomerKey::unlinked_user(user)),
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
