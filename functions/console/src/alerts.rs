//! Groups of alerts: what is so, who looks after it, what is silenced and why, and what was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use domain::alerting::{self, Group, Hold, Mutes, Policy, Silence, Step, next};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::store::{self, AckOutcome};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::by_hand::{By, by};
use crate::gateway::Caller;
use crate::page::{List, PageParameters, PageRequest};
use crate::problem::{ActionErrors, Errors, ItemErrors, Problem};

/// Alerts that people hear of together.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct AlertGroup {
    /// Names it.
    pub(crate) id: String,
    /// The labels all of its alerts have.
    pub(crate) labels: BTreeMap<String, String>,
    /// The route of the lifecycle file that took them: its labels and its receiver.
    #[schema(example = "kind=finding severity=high,critical > urgent")]
    pub(crate) route: String,
    /// The receiver.
    pub(crate) receiver: String,
    /// `firing`, `acknowledged`, `silenced`, `inhibited`, `quiet`, or `resolved` where all of it is over
    /// and that is still to be told.
    #[schema(example = "firing")]
    pub(crate) state: &'static str,
    /// When there is something to do for it by itself, and null where only a change brings that.
    #[schema(required)]
    pub(crate) due_at: Option<Timestamp>,
    /// When its first alert came.
    pub(crate) opened_at: Timestamp,
    /// When an alert last came or ended.
    pub(crate) changed_at: Timestamp,
    /// How many alerts there are.
    pub(crate) firing: u64,
    /// Of those, how many nobody was told of.
    pub(crate) untold: u64,
    /// How many ended since the last message.
    pub(crate) resolved: u64,
    /// How much news there is that nobody was told of.
    pub(crate) news: u64,
    /// How many alerts there are by severity and by stage.
    pub(crate) counts: BTreeMap<String, u64>,
    /// The first of them, one by one.
    pub(crate) alerts: Vec<GroupedAlert>,
    /// Who looks after it, where somebody does.
    #[schema(required)]
    pub(crate) acknowledged: Option<Acknowledged>,
    /// What silences all of it, where something does.
    #[schema(required)]
    pub(crate) silence: Option<SilenceView>,
    /// How many messages were made.
    pub(crate) messages: u32,
    /// When the last one was made.
    #[schema(required)]
    pub(crate) sent_at: Option<Timestamp>,
    /// How many steps of its escalation were taken.
    pub(crate) escalated: usize,
}

/// One alert of a group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct GroupedAlert {
    /// The customer's id.
    pub(crate) customer: String,
    /// The customer's name.
    pub(crate) name: String,
    /// What happened.
    pub(crate) headline: String,
    /// Since when.
    pub(crate) since: Timestamp,
    /// `firing`, `resolved` or `news`.
    pub(crate) state: &'static str,
    /// Whether people heard of it.
    pub(crate) told: bool,
}

/// Who looks after a group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Acknowledged {
    /// A name or an address.
    pub(crate) author: String,
    /// Anything to remember about it.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// When.
    pub(crate) at: Timestamp,
}

/// A silence as it shows at a group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct SilenceView {
    /// Names it.
    pub(crate) id: String,
    /// Who does not want to hear of it.
    pub(crate) author: String,
    /// Why.
    pub(crate) reason: String,
    /// Until when.
    pub(crate) until: Timestamp,
}

/// What was sent, or decided about alerts by a person.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Notification {
    /// Names the message, however often it was sent.
    pub(crate) id: String,
    /// When it was made.
    pub(crate) at: Timestamp,
    /// `sent`, `failed`, `acknowledged`, `silenced`, `silence_ended`, or `muted`.
    pub(crate) what: String,
    /// The group; null of a change that was told by itself.
    #[schema(required)]
    pub(crate) group: Option<String>,
    /// The receiver.
    #[schema(required)]
    pub(crate) receiver: Option<String>,
    /// The SNS topic.
    #[schema(required)]
    pub(crate) topic: Option<String>,
    /// `change`, `first`, `new_alerts`, `resolved`, `repeat`, `escalation`, `digest`, `summary_over_cap`;
    /// what a person said where one decided; `depends_on_feed` of what is muted while a feed is silent.
    pub(crate) reason: String,
    /// Who decided, where it was a person.
    #[schema(required)]
    pub(crate) author: Option<String>,
    /// How many alerts of the group were so.
    pub(crate) firing: u64,
    /// The id that SNS gave, or why it was given up.
    #[schema(required)]
    pub(crate) answer: Option<String>,
}

/// Alerts
///
/// Groups of alerts that are so, or are over and that is still to be told. Where the lifecycle file says
/// nothing of grouping there is none: each change is told by itself.
#[utoipa::path(
    get,
    path = "/api/alerts",
    tag = "alerts",
    params(PageParameters),
    responses((status = 200, description = "Groups of alerts.", body = List<AlertGroup>), Errors)
)]
pub(crate) async fn alerts(
    State(app): State<Arc<App>>,
    page: PageRequest,
) -> Result<Json<List<AlertGroup>>, Problem> {
    let start = page.start("alerts")?;
    let lifecycle = app.store.lifecycle().await?;
    let silences = app.store.silences().await?;
    let read = app.store.alert_groups(page.limit.into(), start.as_deref()).await?;
    let mut groups = Vec::new();
    for group in &read.items {
        groups.push(view(&app, group, &lifecycle, &silences).await?);
    }
    Ok(Json(List::new("alerts", groups, read.next_cursor)))
}

/// Acknowledge alerts
///
/// Says that somebody looks after a group: it is not repeated and not escalated until another alert
/// joins it, or all of it is over.
#[utoipa::path(
    post,
    path = "/api/alerts/{id}/ack",
    tag = "alerts",
    params(("id" = String, Path, description = "The group's id.")),
    request_body = By,
    responses((status = 200, description = "The group as it now is.", body = AlertGroup), Errors, ItemErrors, ActionErrors)
)]
pub(crate) async fn acknowledge_alerts(
    State(app): State<Arc<App>>,
    Path(group): Path<String>,
    caller: Option<axum::Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AlertGroup>, Problem> {
    let by = by(&headers, &body, caller.as_deref())?;
    if group.is_empty() || group.len() > 64 {
        return Err(no_group());
    }
    let lifecycle = app.store.lifecycle().await?;
    match app.store.acknowledge_alerts(&group, &by, &lifecycle, app.clock.now()).await? {
        AckOutcome::NoGroup => Err(no_group()),
        AckOutcome::Done(group) => {
            let silences = app.store.silences().await?;
            Ok(Json(view(&app, &group, &lifecycle, &silences).await?))
        }
    }
}

/// A group as it now is.
pub(crate) async fn group(app: &App, id: &str) -> Result<Json<AlertGroup>, Problem> {
    let held = app.store.alert_group(id).await?;
    let group = held.group.ok_or_else(no_group)?;
    let (lifecycle, silences) = (app.store.lifecycle().await?, app.store.silences().await?);
    Ok(Json(view(app, &group, &lifecycle, &silences).await?))
}

fn no_group() -> Problem {
    Problem::not_found("group_not_found", "there is no group with this id of which alerts are so")
}

/// Notifications
///
/// What was sent, to whom and why, and what people decided about alerts, newest first; for 30 days.
#[utoipa::path(
    get,
    path = "/api/notifications",
    tag = "alerts",
    params(PageParameters),
    responses((status = 200, description = "Notifications, newest first.", body = List<Notification>), Errors)
)]
pub(crate) async fn notifications(
    State(app): State<Arc<App>>,
    page: PageRequest,
) -> Result<Json<List<Notification>>, Problem> {
    let start = page.start("notifications")?;
    let read = app.store.notifications(page.limit.into(), start.as_deref()).await?;
    let items = read.items.into_iter().map(Notification::from).collect();
    Ok(Json(List::new("notifications", items, read.next_cursor)))
}

impl From<store::Notification> for Notification {
    fn from(told: store::Notification) -> Notification {
        Notification {
            id: told.id,
            at: told.at,
            what: told.what,
            group: told.group,
            receiver: told.receiver,
            topic: told.topic,
            reason: told.reason,
            author: told.author,
            firing: told.firing,
            answer: told.answer,
        }
    }
}

async fn view(
    app: &App,
    group: &Group,
    lifecycle: &Lifecycle,
    silences: &[Silence],
) -> Result<AlertGroup, Problem> {
    let now = app.clock.now();
    let sources = app.store.inhibiting(group, lifecycle, now).await?;
    let mutes = Mutes { silences, rules: &lifecycle.inhibit, sources: &sources, now };
    let step = Policy::of(group, lifecycle, None).map(|policy| next(group, &mutes, &policy, now));
    let hold = match &step {
        Some(Step::Wait { hold, .. }) => Some(hold),
        Some(Step::Send { .. }) | None => None,
    };
    let sum = |count: fn(&alerting::Bucket) -> u64| group.buckets.iter().map(count).sum();
    let firing = group.firing();
    let state = match hold {
        Some(Hold::Silenced { .. }) => "silenced",
        Some(Hold::Inhibited { .. }) => "inhibited",
        Some(Hold::Quiet(_)) => "quiet",
        _ if group.ack.is_some() => "acknowledged",
        _ if firing == 0 && sum(|bucket| bucket.news) == 0u64 => "resolved",
        _ => "firing",
    };
    let silence = match hold {
        Some(Hold::Silenced { id, .. }) => silences.iter().find(|silence| silence.id == *id),
        _ => None,
    };
    let mut counts = BTreeMap::new();
    for bucket in &group.buckets {
        for label in ["severity", "stage"] {
            if let Some(value) = bucket.labels.get(label).and_then(|values| values.first()) {
                *counts.entry(format!("{label}={value}")).or_default() += bucket.firing;
            }
        }
    }
    counts.retain(|_, count: &mut u64| *count > 0);
    Ok(AlertGroup {
        id: group.id.clone(),
        labels: group.labels.clone(),
        route: group.route.clone(),
        receiver: group.to.clone(),
        state,
        due_at: step.as_ref().and_then(Step::due),
        opened_at: group.opened_at,
        changed_at: group.changed_at,
        firing,
        untold: sum(|bucket| bucket.fresh),
        resolved: sum(|bucket| bucket.resolved),
        news: sum(|bucket| bucket.news),
        counts,
        alerts: group.members.iter().map(GroupedAlert::from).collect(),
        acknowledged: group.ack.as_ref().map(|ack| Acknowledged {
            author: ack.author.clone(),
            reason: ack.reason.clone(),
            at: ack.at,
        }),
        silence: silence.map(|silence| SilenceView {
            id: silence.id.clone(),
            author: silence.author.clone(),
            reason: silence.reason.clone(),
            until: silence.ends_at,
        }),
        messages: group.log.messages,
        sent_at: group.log.sent_at,
        escalated: group.log.steps,
    })
}

impl From<&alerting::Member> for GroupedAlert {
    fn from(member: &alerting::Member) -> GroupedAlert {
        GroupedAlert {
            customer: member.customer.clone(),
            name: member.name.clone(),
            headline: member.headline.clone(),
            since: member.since,
            state: match member.state {
                alerting::State::Firing => "firing",
                alerting::State::Resolved => "resolved",
                alerting::State::News => "news",
            },
            told: member.told,
        }
    }
}
