//! Who is who: users and their accounts, and two ids that turn out to be one.
//!
//! Where customers are accounts, a user whose account is not known yet is a customer of its own,
//! under [`CustomerKey::unlinked_user`]. When a *link* tells the account, what was kept under the
//! user is moved into the account, once; a user who goes to another account later leaves what
//! happened before where it is, and what comes goes to the new account. An *alias* tells that an id
//! (mostly an anonymous one) is another user: the old id's customer is moved into the new one's, and
//! what still comes under the old id follows. An id that is an alias already and is told to be a
//! third one leaves what happened where it is and follows the newest telling.
//!
//! # How a customer is moved into another
//!
//! 1. A link's item is written with `moving`, the account that the move goes to. (An alias is told
//!    by an event that is acknowledged only after all of this, so its sender starts it again.)
//! 2. Read, strongly consistent, the customer `from` at version `v`, and after that its whole log.
//! 3. Commit these events to the customer `into`, by the normal commit: ids de-duplicate.
//! 4. In one transaction, on condition that `from` still has version `v` and that `into` did not
//!    itself become an alias: `from` says where it went (`moved_to`), is emptied, leaves its stage
//!    and closes its findings, each with a journal entry. When the condition fails, go to 2.
//! 5. Delete the log of `from`.
//! 6. Take `moving` off the link.
//!
//! Why nothing is lost: until 4 everything still counts where it did, and 4 stands only if nobody
//! committed to `from` since 2, so all of it is in `into` by then. A commit that meets `moved_to`
//! takes back what it put into the old log and goes on at the customer that `from` went to; one that
//! read `from` before 4 fails its own condition on the version and reads again. Why nothing counts
//! twice: within a customer, ids do; and after 4 `from` counts nothing. A crash after 1, 2 or 3
//! repeats them; after 4 only 5 and 6 are left. Whoever next reads the link goes on where it stopped.
//!
//! A user's own customer is made only while there is no link. Whoever is about to make one has put its
//! events into the user's log by then, and after that looks for the link, strongly consistent; a link's
//! mover that finds no customer looks into that log after it wrote the link, and when it finds
//! anything does 3 to 5 all the same, so that no customer can be made. Of the two writes one comes
//! first, and the other side sees it.
//!
//! Aliases cannot go in circles: an alias is written only onto an id that is none, in the
//! transaction of step 4, so what it points to never leads back to it. An alias to itself, or back
//! along a chain, says nothing new and changes nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, ReturnConsumedCapacity, TransactWriteItem,
};
use domain::customer::{Customer, Status};
use domain::journal::{Change, Effect, Reason};
use domain::lifecycle::{Lifecycle, Subject};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::sync::PoisonError;

use super::attributes::{Item, Reader, item, key, n, s};
use super::control::PutOutcome;
use super::customers::{CustomerUpdate, Freshness, Moved};
use super::decisions::Decisions;
use super::log::{Logged, Reach};
use super::{CustomerKey, Store, StoreError, Versioned};

/// For how long a process believes that a user has no account, or that a move is not done.
const UNSETTLED_TTL: Duration = Duration::from_secs(30);
/// For how long it believes which account a user has.
const LINK_TTL: Duration = Duration::from_secs(600);
/// How many users' accounts a process remembers.
const MAX_LINKS: usize = 50_000;
/// How often a move starts again when others commit to the same customer.
const MAX_CONFLICTS: u32 = 12;
/// How many aliases are followed. They are written to the end of a chain, so that long ones arise
/// only from ids that were aliased one after the other.
const MAX_HOPS: usize = 32;
/// How many events of a log are committed to the other customer at once.
const CHUNK: usize = 500;
/// How many findings and tasks one transaction closes: three writes each, of a hundred.
const MAX_CLOSED: usize = 30;
/// The rule that journal entries of a moved customer name.
const RULE: &str = "identity.moved";
/// The longest key of a customer, and of an item of `control`: DynamoDB's limits.
const MAX_KEY_BYTES: usize = 2_048;
const MAX_SORT_KEY_BYTES: usize = 1_024;

/// The account of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// The newest told.
    pub(super) account: String,
    /// When it was told, in milliseconds since the epoch.
    pub(super) at: i64,
    /// All that were ever told: each may hold events of the user.
    pub(super) accounts: BTreeSet<String>,
    /// The account that what was kept under the user is being moved into.
    moving: Option<String>,
}

/// What a process remembers of a user: the link, or that there is none.
pub(super) type KnownLink = (Instant, Option<Link>);

impl Link {
    pub(super) fn of_item(found: &Item) -> Result<Link, StoreError> {
        let read = Reader { table: "control", item: found };
        let account = read.text("account")?.to_owned();
        let told = found.get("accounts").and_then(|value| value.as_ss().ok());
        let mut accounts: BTreeSet<String> = told.into_iter().flatten().cloned().collect();
        accounts.insert(account.clone());
        let moving = read.maybe_text("moving").map(str::to_owned);
        Ok(Link { account, at: read.number("at")?, accounts, moving })
    }

    /// The attributes of its item.
    pub(super) fn attributes(&self) -> Item {
        let accounts = self.accounts.iter().cloned().collect();
        let mut found = item([
            ("account", s(&self.account)),
            ("accounts", AttributeValue::Ss(accounts)),
            ("at", n(self.at)),
        ]);
        if let Some(moving) = &self.moving {
            found.insert("moving".to_owned(), s(moving));
        }
        found
    }
}

impl Store {
    // ---- reading ----

    /// The account a user belongs to, as far as it was told.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn account_of(&self, user: &str) -> Result<Option<String>, StoreError> {
        Ok(self.link_of(user).await?.map(|link| link.account))
    }

    /// The customer with this id: of an account, of a user, or the one that it is a part of by now.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn find_customer(
        &self,
        id: &str,
        subject: Subject,
    ) -> Result<Option<Versioned>, StoreError> {
        let mut keys = CustomerKey::candidates(id, subject);
        // The first is often the last, too.
        if keys.len() > 1 && keys.first() == keys.last() {
            keys.pop();
        }
        for key in &keys {
            let mut found = self.stored(key).await?;
            for _ in 0..MAX_HOPS {
                match found {
                    Some(Versioned { moved: Some(Moved { to, .. }), .. }) => {
                        found = self.stored(&self.successor(&to).await?).await?;
                    }
                    Some(found) => return Ok(Some(found)),
                    None => break,
                }
            }
        }
        if subject == Subject::Account && !id.is_empty() && id.len() <= MAX_SORT_KEY_BYTES {
            let account = self.account_of(id).await?;
            if let Some(account) = account {
                return self.stored(&CustomerKey::subject(&account)).await;
            }
        }
        Ok(None)
    }

    async fn stored(&self, key: &CustomerKey) -> Result<Option<Versioned>, StoreError> {
        if key.as_str().is_empty() || key.as_str().len() > MAX_KEY_BYTES {
            return Ok(None);
        }
        let found = self.read_customer(key, Freshness::Eventual).await?;
        Ok((found.version > 0).then_some(found))
    }

    /// The account of an unlinked user's key, if it is one and has one.
    async fn successor(&self, key: &CustomerKey) -> Result<CustomerKey, StoreError> {
        let Some(user) = key.user() else { return Ok(key.clone()) };
        let account = self.account_of(user).await?;
        Ok(account.map_or_else(|| key.clone(), |account| CustomerKey::subject(&account)))
    }

    async fn link_of(&self, user: &str) -> Result<Option<Link>, StoreError> {
        if let Some(known) = self.known_link(user) {
            return Ok(known);
        }
        let link = self.read_link(user, Freshness::Eventual).await?;
        self.remember_link(user, link.clone());
        Ok(link)
    }

    pub(super) async fn read_link(
        &self,
        user: &str,
        freshness: Freshness,
    ) -> Result<Option<Link>, StoreError> {
        let found = self.get_control("link", user, freshness == Freshness::Strong).await?;
        found.as_ref().map(Link::of_item).transpose()
    }

    fn known_link(&self, user: &str) -> Option<Option<Link>> {
        let cache = self.caches.links.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, link) = cache.get(user)?;
        let is_settled = link.as_ref().is_some_and(|link| link.moving.is_none());
        let ttl = if is_settled { LINK_TTL } else { UNSETTLED_TTL };
        (read_at.elapsed() < ttl).then(|| link.clone())
    }

    fn remember_link(&self, user: &str, link: Option<Link>) {
        let mut cache = self.caches.links.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_LINKS {
            cache.clear();
        }
        cache.insert(user.to_owned(), (Instant::now(), link));
    }

    pub(super) fn forget_link(&self, user: &str) {
        self.caches.links.lock().unwrap_or_else(PoisonError::into_inner).remove(user);
    }

    // ---- the customer of a user ----

    /// The customer that events of a user belong to where customers are accounts: the account, or
    /// the user while that is not known. Goes on with a move that was cut off.
    ///
    /// # Errors
    /// When a table cannot be read, or the move cannot be done.
    pub async fn home_of(
        &self,
        user: &str,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<CustomerKey, StoreError> {
        let Some(link) = self.link_of(user).await? else {
            return Ok(CustomerKey::unlinked_user(user));
        };
        if link.moving.is_some() {
            self.finish_move(user, &link, lifecycle, now).await?;
        }
        Ok(CustomerKey::subject(&link.account))
    }

    /// Where to go on from a customer that was moved.
    pub(super) async fn home(
        &self,
        from: &CustomerKey,
        moved: &Moved,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<CustomerKey, StoreError> {
        // What this process knew of the user was older than the move.
        for key in [from, &moved.to] {
            key.user().into_iter().for_each(|user| self.forget_link(user));
        }
        match (lifecycle.subject, from.user(), moved.to.user()) {
            // The user may have gone to another account since.
            (Subject::Account, Some(user), None) => {
                match self.home_of(user, lifecycle, now).await? {
                    home if home == *from => Ok(moved.to.clone()),
                    home => Ok(home),
                }
            }
            (Subject::Account, _, Some(user)) => self.home_of(user, lifecycle, now).await,
            _ => Ok(moved.to.clone()),
        }
    }

    /// Where a user belongs whose own customer is about to be made: see the module.
    pub(super) async fn moved_by_link(
        &self,
        before: &Versioned,
        lifecycle: &Lifecycle,
    ) -> Result<Option<Moved>, StoreError> {
        let (0, Subject::Account, Some(user)) =
            (before.version, lifecycle.subject, before.key.user())
        else {
            return Ok(None);
        };
        let link = self.read_link(user, Freshness::Strong).await?;
        Ok(link.map(|link| Moved { to: CustomerKey::subject(&link.account), told_at: link.at }))
    }

    // ---- telling ----

    /// Tells that a user belongs to an account, from an instant on, and moves what was kept under
    /// the user into it when nothing was known of an account before.
    ///
    /// # Errors
    /// When a table cannot be read or written. Telling it again goes on.
    pub async fn link(
        &self,
        user: &str,
        account: &str,
        at: Timestamp,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let told = at.as_millisecond();
        let says_nothing = |link: &Link| {
            link.account == account || (told < link.at && link.accounts.contains(account))
        };
        if let Some(Some(link)) = self.known_link(user)
            && link.moving.is_none()
            && says_nothing(&link)
        {
            return Ok(());
        }
        let mut freshness = Freshness::Eventual;
        for _ in 0..MAX_CONFLICTS {
            let known = self.read_link(user, freshness).await?;
            freshness = Freshness::Strong;
            let link = match known {
                None => self.first_link(user, account, told).await?,
                Some(link) if says_nothing(&link) => Some(link),
                Some(link) => self.next_link(user, link, account, told).await?,
            };
            let Some(link) = link else { continue };
            self.remember_link(user, Some(link.clone()));
            return match link.moving {
                Some(_) => self.finish_move(user, &link, lifecycle, now).await,
                None => Ok(()),
            };
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    /// Step 1 of a move: the link as it was written; `None` when there is one already.
    async fn first_link(
        &self,
        user: &str,
        account: &str,
        at: i64,
    ) -> Result<Option<Link>, StoreError> {
        let link = Link {
            account: account.to_owned(),
            at,
            accounts: [account.to_owned()].into(),
            moving: Some(account.to_owned()),
        };
        let mut found = key("link", user);
        found.extend(link.attributes());
        let absent = ("attribute_not_exists(pk)", Item::new());
        Ok(match self.put_control(found, Some(absent)).await? {
            PutOutcome::Put => Some(link),
            PutOutcome::Exists => None,
        })
    }

    /// Another account of a user: the newest told is the one that counts from then on. `None` when
    /// somebody else changed the link.
    async fn next_link(
        &self,
        user: &str,
        link: Link,
        account: &str,
        at: i64,
    ) -> Result<Option<Link>, StoreError> {
        let is_newer = at >= link.at;
        let mut values = item([
            (":was", s(&link.account)),
            (":was_at", n(link.at)),
            (":accounts", AttributeValue::Ss(vec![account.to_owned()])),
        ]);
        let mut expression = "ADD accounts :accounts".to_owned();
        if is_newer {
            expression.push_str(" SET account = :account, #at = :at");
            values.extend(item([(":account", s(account)), (":at", n(at))]));
        }
        let unchanged = "account = :was AND #at = :was_at";
        let stood = self.update_link(user, &expression, unchanged, values).await?;
        Ok(stood.then(|| {
            let mut next = link;
            next.accounts.insert(account.to_owned());
            if is_newer {
                (next.account, next.at) = (account.to_owned(), at);
            }
            next
        }))
    }

    /// Updates a link: whether the condition held.
    async fn update_link(
        &self,
        user: &str,
        expression: &str,
        condition: &str,
        values: Item,
    ) -> Result<bool, StoreError> {
        let table = &self.tables.control;
        let mut update = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(key("link", user)))
            .update_expression(expression)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if condition.contains("#at") || expression.contains("#at") {
            update = update.expression_attribute_names("#at", "at");
        }
        let updated = update.send().await;
        self.stood("UpdateItem", table, updated.map(|output| output.consumed_capacity))
    }

    /// Steps 2 to 6 of a link's move.
    async fn finish_move(
        &self,
        user: &str,
        link: &Link,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(account) = &link.moving else { return Ok(()) };
        let from = CustomerKey::unlinked_user(user);
        let into = Moved { to: CustomerKey::subject(account), told_at: link.at };
        if let Some(other) = self.absorb(&from, &into, Move::Link, lifecycle, now).await? {
            // The id is an alias: it is the other user who belongs to the account.
            let Some(other) = other.user().map(str::to_owned) else { return Ok(()) };
            return self.hand_link_over(user, link, other, lifecycle, now).await;
        }
        let moving = item([(":moving", s(account))]);
        self.update_link(user, "REMOVE moving", "moving = :moving", moving).await?;
        self.remember_link(user, Some(Link { moving: None, ..link.clone() }));
        Ok(())
    }

    /// Gives the link of an id that is an alias to the user it is an alias of.
    fn hand_link_over<'a>(
        &'a self,
        user: &'a str,
        link: &'a Link,
        other: String,
        lifecycle: &'a Lifecycle,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let instant = |at| Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
            for account in link.accounts.iter().filter(|account| **account != link.account) {
                self.link(&other, account, Timestamp::UNIX_EPOCH, lifecycle, now).await?;
            }
            self.link(&other, &link.account, instant(link.at), lifecycle, now).await?;
            self.delete_control("link", user).await?;
            self.forget_link(user);
            Ok(())
        }
        .boxed()
    }

    /// Tells that two ids are one user: what was kept under `previous`, and what still comes under
    /// it, is about `user`.
    ///
    /// # Errors
    /// When a table cannot be read or written. Telling it again goes on.
    pub async fn alias(
        &self,
        previous: &str,
        user: &str,
        at: Timestamp,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key_of = match lifecycle.subject {
            Subject::User => CustomerKey::subject,
            Subject::Account => CustomerKey::unlinked_user,
        };
        let (from, to) = (key_of(previous), key_of(user));
        let into = Moved { to, told_at: at.as_millisecond() };
        self.absorb(&from, &into, Move::Alias, lifecycle, now).await?;
        if lifecycle.subject == Subject::User {
            return Ok(());
        }
        let after = self.read_customer(&from, Freshness::Strong).await?;
        let other = after.moved.and_then(|moved| moved.to.user().map(str::to_owned));
        match (other, self.read_link(previous, Freshness::Strong).await?) {
            (Some(other), Some(link)) => {
                self.hand_link_over(previous, &link, other, lifecycle, now).await
            }
            _ => Ok(()),
        }
    }

    // ---- moving ----

    /// Moves a customer into another one: steps 2 to 5. Answers the user that `from` is an alias of,
    /// where a link finds that it is one.
    fn absorb<'a>(
        &'a self,
        from: &'a CustomerKey,
        into: &'a Moved,
        kind: Move,
        lifecycle: &'a Lifecycle,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<CustomerKey>, StoreError>> {
        async move {
            for _ in 0..MAX_CONFLICTS {
                let before = self.read_customer(from, Freshness::Strong).await?;
                let to = match kind {
                    Move::Link => into.to.clone(),
                    Move::Alias => self.end_of(&into.to, lifecycle).await?,
                };
                if to == *from {
                    return Ok(None);
                }
                if let Some(moved) = &before.moved {
                    let is_alias = lifecycle.subject == Subject::User || moved.to.user().is_some();
                    let is_newer = moved.told_at < into.told_at;
                    match kind {
                        Move::Link if is_alias => return Ok(Some(moved.to.clone())),
                        Move::Alias if moved.to != to && (!is_alias || is_newer) => {}
                        Move::Link | Move::Alias => {
                            self.clear_log(from).await?;
                            return Ok(None);
                        }
                    }
                } else if before.version > 0 {
                    self.copy_log(from, &to, lifecycle, now).await?;
                } else if kind == Move::Link {
                    if self.log(from, Reach::Whole).await?.is_empty() {
                        return Ok(None);
                    }
                    // Somebody may be about to make a customer of it.
                    self.copy_log(from, &to, lifecycle, now).await?;
                }
                let moved = Moved { to, told_at: into.told_at };
                if self.retire(&before, &moved, lifecycle, now).await? {
                    self.clear_log(from).await?;
                    return Ok(None);
                }
            }
            Err(StoreError::Conflict(MAX_CONFLICTS))
        }
        .boxed()
    }

    /// The id that a chain of aliases ends at.
    pub(super) async fn end_of(
        &self,
        key: &CustomerKey,
        lifecycle: &Lifecycle,
    ) -> Result<CustomerKey, StoreError> {
        let mut end = key.clone();
        for _ in 0..MAX_HOPS {
            match self.read_customer(&end, Freshness::Strong).await?.moved {
                Some(Moved { to, .. })
                    if lifecycle.subject == Subject::User || to.user().is_some() =>
                {
                    end = to;
                }
                _ => return Ok(end),
            }
        }
        Err(StoreError::Conflict(MAX_CONFLICTS))
    }

    /// Step 3: everything in a customer's log into another one's.
    async fn copy_log(
        &self,
        from: &CustomerKey,
        to: &CustomerKey,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Logged { events, signposts } = self.read_log(from, Reach::Whole).await?;
        let home = match to.user() {
            Some(user) if lifecycle.subject == Subject::Account => {
                self.forget_link(user);
                self.home_of(user, lifecycle, now).await?
            }
            _ => to.clone(),
        };
        // Before the events, so that a retry never finds an event without its signpost.
        for (sort_key, at) in &signposts {
            self.put_signpost(&home, sort_key, *at, now).await?;
        }
        for chunk in events.chunks(CHUNK) {
            self.commit(&home, chunk, lifecycle, now).await?;
        }
        Ok(())
    }

    /// Step 4: whether it stood.
    async fn retire(
        &self,
        before: &Versioned,
        moved: &Moved,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changes = farewell(&before.customer.status);
        if changes.len() > MAX_CLOSED {
            let some = changes.into_iter().rev().take(MAX_CLOSED).collect();
            self.decide(before, &Decisions::of(some), lifecycle, now).await?;
            return Ok(false);
        }
        let mut after = before.customer.clone();
        let mut entries = Vec::with_capacity(changes.len());
        for change in &changes {
            entries.push(after.status.apply(change, now, lifecycle));
        }
        let journal = after.status.journal.clone();
        let left =
            Customer { status: Status { journal, ..Status::default() }, ..Customer::default() };
        let update = CustomerUpdate::moving(before, moved, &left, now);
        let mut writes = vec![self.transact_update(before, update)?];
        writes.push(self.transact_end_of_chain(&moved.to, lifecycle.subject)?);
        let told = (changes.as_slice(), entries.as_slice());
        writes.extend(self.transact_changes(before, &after, told, lifecycle)?);
        self.transact(writes).await
    }

    /// The condition that a customer is no alias. (An unlinked user who has an account may be
    /// pointed to: that is followed by the link.)
    fn transact_end_of_chain(
        &self,
        to: &CustomerKey,
        subject: Subject,
    ) -> Result<TransactWriteItem, StoreError> {
        let table = &self.tables.customers;
        let check = ConditionCheck::builder().table_name(table).key("pk", s(to.as_str()));
        let check = match subject {
            Subject::User => check.condition_expression("attribute_not_exists(moved_to)"),
            Subject::Account => check
                .condition_expression(
                    "attribute_not_exists(moved_to) OR NOT begins_with(moved_to, :user)",
                )
                .expression_attribute_values(":user", s(CustomerKey::unlinked_user("").as_str())),
        };
        let check = check.build().map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }
}

/// Why a customer is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// The user's account is known now.
    Link,
    /// The id is another user.
    Alias,
}

/// What ends when a customer becomes a part of another one: its tasks, its findings, and its stage.
fn farewell(status: &Status) -> Vec<Change> {
    let why = || vec![Reason::of_fact("it is a part of another customer now".to_owned(), &[])];
    let mut changes = Vec::new();
    if let Some(stage) = &status.stage {
        changes.push(Change {
            effect: Effect::EnterStage,
            from: Some(stage.name.clone()),
            to: None,
            rule: RULE.to_owned(),
            reasons: why(),
        });
    }
    changes.extend(status.findings.iter().map(|finding| Change {
        effect: Effect::CloseFinding {
            standard: finding.standard.clone(),
            key: finding.key.clone(),
        },
        from: Some("open".to_owned()),
        to: Some("closed".to_owned()),
        rule: format!("standards.{}", finding.standard),
        reasons: why(),
    }));
    changes.extend(status.tasks.open.iter().map(|task| task.cleared(why())));
    changes
}
