//! What people do with tasks: to close them, put them off, give them away, open them again.
//!
//! Who acts is told as for a move by hand ([`crate::by_hand`]). Doing the same again changes nothing.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use domain::by_hand::{self, NeedsReason};
use domain::facts::Facts;
use domain::lifecycle::Lifecycle;
use domain::task::{self, Act};
use platform::store::ByHandOutcome;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::by_hand::{read, who};
use crate::customer::Customer;
use crate::gateway::Caller;
use crate::problem::{ActionErrors, CustomerErrors, Errors, Problem};

/// Which task of which customer.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TaskId {
    /// The customer's id, percent-encoded. Where customers are accounts, the id of a user means the
    /// user's account.
    id: String,
    /// The task, as `rescue.call`.
    task: String,
}

impl<S: Send + Sync> FromRequestParts<S> for TaskId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<TaskId, Problem> {
        let read = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((id, task)) = read.map_err(|_| {
            Problem::bad("invalid_id", "an id in the path is not percent-encoded UTF-8")
        })?;
        Ok(TaskId { id, task })
    }
}

/// Who acts, and anything to remember about it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acting {
    /// Who acts; the caller's identity where it is absent.
    author: Option<String>,
    /// Anything to remember about it, for the journal.
    note: Option<String>,
}

/// Until when a task is put off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snoozing {
    /// Who acts; the caller's identity where it is absent.
    author: Option<String>,
    /// Anything to remember about it, for the journal.
    note: Option<String>,
    /// An instant, or a date of the workspace's calendar.
    #[schema(example = "2026-12-01")]
    until: String,
}

/// Who gets a task.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reassigning {
    /// Who acts; the caller's identity where it is absent.
    author: Option<String>,
    /// Anything to remember about it, for the journal.
    note: Option<String>,
    /// A trait, a team or an address.
    #[schema(example = "kim@example.com")]
    to: String,
}

/// What of a checklist is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checking {
    /// Who acts; the caller's identity where it is absent.
    author: Option<String>,
    /// Anything to remember about it, for the journal.
    note: Option<String>,
    /// The item's text, or its number from 1.
    #[schema(example = "2")]
    item: String,
}

/// A request of a person.
struct Asked<'a> {
    app: &'a App,
    id: &'a TaskId,
    headers: &'a HeaderMap,
    caller: Option<&'a Caller>,
}

impl Asked<'_> {
    async fn done(
        &self,
        (author, note): (Option<String>, Option<String>),
        act: impl FnOnce(&Lifecycle) -> Result<Act, Problem>,
    ) -> Result<Json<Customer>, Problem> {
        let who = who(author.as_deref(), self.headers, self.caller);
        let by = by_hand::author(who.as_deref(), note.as_deref(), NeedsReason::No)?;
        let (store, now) = (&self.app.store, self.app.clock.now());
        let lifecycle = store.lifecycle().await?;
        let act = act(&lifecycle)?;
        let found = store.find_customer(&self.id.id, lifecycle.subject).await?;
        let found = found.ok_or_else(Problem::no_customer)?;
        let decide = |facts: &Facts<'_>| task::act(facts, &self.id.task, &act, &by);
        match store.decide_by_hand(&found.key, &lifecycle, now, decide).await? {
            ByHandOutcome::Done { customer, .. } => {
                Ok(Json(Customer::new(&customer, &lifecycle, now)))
            }
            ByHandOutcome::Refused(refused) => Err(refused.into()),
        }
    }
}

/// Does one thing with a task: the body, and what is done with it.
macro_rules! action {
    ($(#[$meta:meta])* $path:literal, $name:ident, $body:ident, |$asked:ident, $lifecycle:ident| $act:expr) => {
        $(#[$meta])*
        #[utoipa::path(
            post,
            path = $path,
            tag = "tasks",
            params(TaskId),
            request_body = $body,
            responses((status = 200, description = "The customer as it now is.", body = Customer), Errors, CustomerErrors, ActionErrors)
        )]
        pub(crate) async fn $name(
            State(app): State<Arc<App>>,
            id: TaskId,
            caller: Option<axum::Extension<Caller>>,
            headers: HeaderMap,
            body: Bytes,
        ) -> Result<Json<Customer>, Problem> {
            let $asked: $body = read(&headers, &body)?;
            let by = ($asked.author.clone(), $asked.note.clone());
            let request =
                Asked { app: &app, id: &id, headers: &headers, caller: caller.as_deref() };
            request.done(by, |$lifecycle| $act).await
        }
    };
}

action! {
    /// Close a task
    ///
    /// Says that a task is done. Where it was done already nothing changes.
    "/api/customers/{id}/tasks/{task}/done", done, Acting, |_asked, _lifecycle| Ok(Act::Done)
}

action! {
    /// Put a task off
    ///
    /// Until then it is neither told nor overdue.
    "/api/customers/{id}/tasks/{task}/snooze", snooze, Snoozing, |asked, lifecycle| {
        Ok(Act::Snooze(by_hand::until(&asked.until, &lifecycle.calendar)?))
    }
}

action! {
    /// Give a task to somebody else
    ///
    /// It keeps that owner, whatever the lifecycle file then says.
    "/api/customers/{id}/tasks/{task}/reassign", reassign, Reassigning, |asked, _lifecycle| {
        Ok(Act::Reassign(asked.to))
    }
}

action! {
    /// Open a task again
    ///
    /// It stays open until a person closes it.
    "/api/customers/{id}/tasks/{task}/reopen", reopen, Acting, |_asked, _lifecycle| Ok(Act::Reopen)
}

action! {
    /// Tick an item of a checklist
    ///
    /// Says that an item is done.
    "/api/customers/{id}/tasks/{task}/check", check, Checking, |asked, _lifecycle| {
        Ok(Act::Check(asked.item))
    }
}
