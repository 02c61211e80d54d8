//! The sources of events, and how lively each is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::feed::health::{FeedHealth, Health};
use domain::feed::{Feed, Sender, SenderKind, presets};
use domain::period::Period;
use jiff::{SignedDuration, Timestamp};
use platform::StoreError;
use platform::store::Liveliness;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::page::{List, PageParameters, PageRequest};
use crate::problem::{Errors, Problem};

const LIST: &str = "feeds";
/// The hours whose counts are told: the present one and those before.
const HOURS: i64 = 24;

/// A source of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FeedState {
    /// The name of the feed, the label of the write key, or the `source` of events on the bus.
    #[schema(example = "stripe")]
    pub(crate) name: String,
    /// A feed: `webhook`, `bus` or `tracking`, by how its events come; else `write_key`, `bus` or
    /// `queue`.
    #[schema(example = "webhook")]
    pub(crate) kind: &'static str,
    /// Whether the lifecycle file declares it.
    pub(crate) is_declared: bool,
    /// The longest silence that is no alarm, as the file has it.
    #[schema(required, example = "2d")]
    pub(crate) expect_every: Option<String>,
    /// The newest instant that one of its events tells.
    #[schema(required)]
    pub(crate) last_event_at: Option<Timestamp>,
    /// When its last new event came; to the minute.
    #[schema(required)]
    pub(crate) last_received_at: Option<Timestamp>,
    /// New events of the present hour and the 23 before it.
    pub(crate) accepted_24h: u64,
    /// What was set aside in these hours.
    pub(crate) rejected_24h: u64,
    /// The same hour by hour, oldest first; hours in which nothing came are left out.
    pub(crate) hours: Vec<FeedHour>,
    /// Whether it has been silent for longer than it may be.
    pub(crate) late: bool,
    /// Since when it has been.
    #[schema(required)]
    pub(crate) late_since: Option<Timestamp>,
    /// `fresh`, `late`, or `dropped` where much less comes than in the same hours of the weeks before.
    #[schema(example = "fresh")]
    pub(crate) state: &'static str,
    /// Since when nothing is concluded from its silence; null while it is fresh.
    #[schema(required)]
    pub(crate) silent_since: Option<Timestamp>,
    /// Its last finding; null before there was one.
    #[schema(required)]
    pub(crate) finding: Option<FeedFinding>,
}

/// That a feed was silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FeedFinding {
    /// `open` or `closed`.
    pub(crate) state: &'static str,
    /// When it was found.
    pub(crate) opened_at: Timestamp,
    /// When it was closed; null while it is open.
    #[schema(required)]
    pub(crate) closed_at: Option<Timestamp>,
    /// How often it was opened again.
    pub(crate) reopened: u32,
    /// When the feed was last heard of by then.
    #[schema(required)]
    pub(crate) heard_at: Option<Timestamp>,
    /// What came by then, against what usually comes; null where that is too little to tell.
    #[schema(required)]
    pub(crate) rate: Option<FeedRate>,
}

/// What came, against what usually comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FeedRate {
    /// In so many whole hours.
    pub(crate) hours: i64,
    /// Events that came.
    pub(crate) events: u64,
    /// The middle of the same hours of past weeks.
    pub(crate) usual: u64,
    /// The least of them.
    pub(crate) least: u64,
}

/// What came in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FeedHour {
    /// The first instant of the hour.
    pub(crate) from: Timestamp,
    /// New events.
    pub(crate) accepted: u64,
    /// What was set aside.
    pub(crate) rejected: u64,
}

/// Feeds
///
/// Every source of events: those of the lifecycle file in its order, then whoever else sent
/// something. Counts may be a minute old. A feed is late when nothing new came from it for longer
/// than its `expect_every`, counted from when the file was applied where nothing ever came; it has dropped
/// when much less came than in the same hours of the weeks before. Either is one finding of the workspace,
/// and holds what would follow from silence.
#[utoipa::path(
    get,
    path = "/api/feeds",
    tag = "workspace",
    params(PageParameters),
    responses((status = 200, description = "Sources of events.", body = List<FeedState>), Errors)
)]
pub(crate) async fn feeds(
    State(app): State<Arc<App>>,
    page: PageRequest,
) -> Result<Json<List<FeedState>>, Problem> {
    let start = match page.start(LIST)? {
        Some(cursor) => cursor.parse().map_err(|_| Problem::cursor())?,
        None => 0_usize,
    };
    let now = app.clock.now();
    let lifecycle = app.store.lifecycle().await?;
    let active = app.store.configuration().await?.ok_or(StoreError::NoLifecycle)?;
    let heard = app.store.senders(now).await?.into_iter();
    let mut heard: BTreeMap<Sender, Liveliness> =
        heard.map(|found| (found.sender.clone(), found)).collect();
    let mut watched = app.store.watched_feeds().await?;
    let mut states: Vec<FeedState> = Vec::new();
    for feed in &lifecycle.feeds {
        let found = heard.remove(&Sender::new(SenderKind::Feed, &feed.name));
        let state = state(&feed.name, kind_of(feed), found.as_ref(), now);
        let state = expected(state, feed.expect_every, active.applied_at, now);
        states.push(with_health(state, watched.remove(&feed.name).map(|watched| watched.health)));
    }
    states.extend(heard.into_values().map(|found| {
        let Sender { kind, name } = &found.sender;
        let preset = presets::named(name).filter(|_| *kind == SenderKind::Feed);
        let kind = preset.map_or(kind.as_str(), kind_of);
        FeedState { is_declared: false, ..state(name, kind, Some(&found), now) }
    }));
    let end = start.saturating_add(page.limit.into()).min(states.len());
    let next = (end < states.len()).then(|| end.to_string());
    let shown = states.get(start..end).unwrap_or_default().to_vec();
    Ok(Json(List::new(LIST, shown, next)))
}

/// How the events of a feed come.
fn kind_of(feed: &Feed) -> &'static str {
    if feed.scheme.is_some() {
        "webhook"
    } else if feed.comes_with_a_write_key() {
        "tracking"
    } else {
        "bus"
    }
}

fn state(name: &str, kind: &'static str, found: Option<&Liveliness>, now: Timestamp) -> FeedState {
    let first = now.as_second().div_euclid(3_600) - HOURS + 1;
    let hours = found.into_iter().flat_map(|found| found.hours.range(first..));
    let hours: Vec<FeedHour> = hours
        .filter_map(|(hour, count)| {
            let from = Timestamp::from_second(hour * 3_600).ok()?;
            Some(FeedHour { from, accepted: count.accepted, rejected: count.rejected })
        })
        .collect();
    FeedState {
        name: name.to_owned(),
        kind,
        is_declared: true,
        expect_every: None,
        last_event_at: found.and_then(|found| found.last_event_at),
        last_received_at: found.and_then(|found| found.last_received_at),
        accepted_24h: hours.iter().map(|hour| hour.accepted).sum(),
        rejected_24h: hours.iter().map(|hour| hour.rejected).sum(),
        hours,
        late: false,
        late_since: None,
        state: Health::Fresh.as_str(),
        silent_since: None,
        finding: None,
    }
}

/// A feed as it was when it was last looked at.
fn with_health(state: FeedState, health: Option<FeedHealth>) -> FeedState {
    let Some(health) = health else {
        let word = if state.late { Health::Late } else { Health::Fresh };
        return FeedState { state: word.as_str(), ..state };
    };
    let rate = health.compared.map(|of| FeedRate {
        hours: of.hours,
        events: of.seen,
        usual: of.usual,
        least: of.least,
    });
    let finding = health.opened_at.map(|opened_at| FeedFinding {
        state: if health.is_open() { "open" } else { "closed" },
        opened_at,
        closed_at: health.closed_at,
        reopened: health.reopened,
        heard_at: health.heard_at,
        rate,
    });
    let word = if state.late { Health::Late } else { health.health };
    FeedState { state: word.as_str(), silent_since: health.silent_since, finding, ..state }
}

/// A feed that is expected to be heard of every so often.
fn expected(
    state: FeedState,
    every: Option<Period>,
    declared_at: Timestamp,
    now: Timestamp,
) -> FeedState {
    let Some(every) = every else { return state };
    let silent_since = state.last_received_at.unwrap_or(declared_at);
    let due = match every {
        Period::Elapsed(seconds) => {
            silent_since.checked_add(SignedDuration::from_secs(seconds)).ok()
        }
        // The file takes none here.
        Period::Workdays(_) => None,
    };
    let late_since = due.filter(|due| *due < now);
    let expect_every = Some(every.to_string());
    FeedState { expect_every, late: late_since.is_some(), late_since, ..state }
}
