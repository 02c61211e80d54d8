//! What a set of observations of a stack means. Pure.

use std::collections::{BTreeMap, BTreeSet};

use domain::audit::Chain;
use domain::customer::Customer;
use domain::journal::JournalEntry;
use jiff::{SignedDuration, Timestamp};
use platform::store::{Held, Ran};
use serde::Serialize;
use serde_json::Value as Json;

/// A message that is due for so long, and still there, is stuck: notify's tick comes every minute.
pub(super) const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ok,
    Failed,
    Skipped,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) state: State,
    pub(super) detail: String,
}

impl Found {
    pub(super) fn ok(detail: impl Into<String>) -> Found {
        Found { state: State::Ok, detail: detail.into() }
    }

    pub(super) fn failed(detail: impl Into<String>) -> Found {
        Found { state: State::Failed, detail: detail.into() }
    }

    pub(super) fn skipped(detail: impl Into<String>) -> Found {
        Found { state: State::Skipped, detail: detail.into() }
    }
}

/// A check: its name for people and programs, and what to look at where it fails.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) see: &'static str,
}

const fn kind(name: &'static str, see: &'static str) -> Kind {
    Kind { name, see }
}

pub(super) const TABLES: Kind = kind(
    "tables",
    "README, Deploy: table names, region and credentials; `lifecycle apply` makes a lifecycle file active",
);
pub(super) const WRITE_KEY: Kind =
    kind("write_key", "README, Deploy: your credentials must let you write the control table");
pub(super) const REFUSES: Kind = kind(
    "refuses_without_key",
    "--url: is it ApiUrl of this stack? docs/operations.md, Alarms: ApiServerErrors, IngestErrors",
);
pub(super) const ACCEPTS: Kind = kind(
    "accepts_events",
    "--url: is it ApiUrl of the stack whose tables these are? docs/operations.md, Alarms: IngestErrors, IngestThrottles",
);
pub(super) const DUPLICATES: Kind =
    kind("takes_no_duplicates", "docs/operations.md, Alarms: IngestErrors");
pub(super) const STATE: Kind = kind("state", "docs/operations.md, Alarms: IngestErrors");
pub(super) const CONSOLE_REFUSES: Kind = kind(
    "console_refuses_strangers",
    "template.yaml: AuthorizationType of the routes under /api; docs/operations.md, Alarms: ApiServerErrors",
);
pub(super) const CONSOLE: Kind = kind(
    "console",
    "the token: JwtIssuer, JwtAudience, its groups; docs/operations.md, Alarms: ConsoleErrors",
);
pub(super) const DECISION: Kind = kind(
    "decision",
    "docs/operations.md, Alarms: EvaluateSilent, EvaluateErrors, FailedRunsAlarm; --wait is DueRate",
);
pub(super) const JOURNAL: Kind =
    kind("journal", "docs/operations.md, Restore to a point in time, and verify");
pub(super) const QUARANTINE: Kind = kind("quarantine", "`lifecycle quarantine list` says why");
pub(super) const MESSAGES: Kind =
    kind("messages", "docs/operations.md, Alarms: NotifyErrors, NotifyBehind, NotifyFailuresAlarm");
pub(super) const ERASED: Kind =
    kind("erased", "docs/operations.md, After deploying: to clean up by hand");
pub(super) const REVOKED: Kind =
    kind("key_revoked", "docs/operations.md, After deploying: to clean up by hand");
pub(super) const CHECKS: Kind = kind("checks", "the fault is in this command: report it");

/// A schedule whose runs leave something to be remembered by.
pub(super) struct Schedule {
    pub(super) kind: Kind,
    pub(super) function: &'static str,
    /// What its name has in it.
    pub(super) word: &'static str,
    /// So old may its last run be, in hours: the longest that the template lets it be, and some more.
    pub(super) hours: i64,
    /// Whether `lifecycle dev` has it too.
    pub(super) is_local: bool,
}

const fn nightly(kind: Kind, function: &'static str) -> Schedule {
    Schedule { kind, function, word: "nightly", hours: 26, is_local: true }
}

pub(super) const SCHEDULES: [Schedule; 5] = [
    nightly(
        kind("evaluate_nightly", "docs/operations.md, Alarms: EvaluateSilent, FailedRunsAlarm"),
        "evaluate",
    ),
    nightly(
        kind("score_nightly", "docs/operations.md, Alarms: ScoreUnfinished, FailedRunsAlarm"),
        "score",
    ),
    nightly(
        kind("comply_nightly", "docs/operations.md, Alarms: ComplyUnfinished, FailedRunsAlarm"),
        "comply",
    ),
    Schedule {
        kind: kind("comply_overview", "docs/operations.md, Alarms: ComplyErrors, FailedRunsAlarm"),
        function: "comply",
        word: "overview",
        hours: 7,
        is_local: true,
    },
    Schedule {
        kind: kind("score_learn", "docs/operations.md, Alarms: ScoreErrors, FailedRunsAlarm"),
        function: "score",
        word: "learn",
        hours: 8 * 24,
        is_local: false,
    },
];

/// Whether an answer is the refusal that is wanted.
pub(super) fn refused(status: u16, wanted: &[u16]) -> Found {
    match wanted.contains(&status) {
        true => Found::ok(format!("refused with {status}")),
        false => {
            let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
            Found::failed(format!("answered {status}, not {}", wanted.join(" or ")))
        }
    }
}

/// Whether a delivery of `calls` events was taken as new ones, or as ones that had been there.
pub(super) fn taken(status: u16, body: &Json, calls: u64, as_new: bool) -> Found {
    if status != 200 {
        let why = body["message"].as_str().unwrap_or("without saying why");
        return Found::failed(format!("answered {status}: {why}"));
    }
    let (accepted, duplicates) = (body["accepted"].as_u64(), body["duplicates"].as_u64());
    let wanted = if as_new { (calls, 0) } else { (0, calls) };
    if (accepted, duplicates) == (Some(wanted.0), Some(wanted.1)) {
        return Found::ok(if as_new { "200, accepted" } else { "200, none counted again" });
    }
    let told = |count: Option<u64>| count.map_or("none".to_owned(), |count| count.to_string());
    let rejected = body["rejected"][0]["code"].as_str();
    let rejected = rejected.map_or(String::new(), |code| format!(", rejected: {code}"));
    Found::failed(format!(
        "answered 200 with accepted: {} (not {}), duplicates: {} (not {}){rejected}",
        told(accepted),
        wanted.0,
        told(duplicates),
        wanted.1
    ))
}

/// Whether strangers get nothing. A server of this machine serves whoever reaches it.
pub(super) fn strangers(status: u16, is_local: bool) -> Found {
    match status {
        200 if is_local => Found::skipped("a server on this machine serves whoever reaches it"),
        _ => refused(status, &[401, 403]),
    }
}

/// Whether the console answered somebody who may read.
pub(super) fn console(status: u16, body: &Json) -> Found {
    match (status, body.is_object()) {
        (200, true) => Found::ok("GET /api/stages is answered"),
        (200, false) => Found::failed("GET /api/stages is answered with 200, but no JSON object"),
        (401 | 403, _) => Found::failed(format!("the token is refused with {status}")),
        _ => Found::failed(format!("GET /api/stages is answered with {status}")),
    }
}

/// Whether the last run of a schedule that came to its end is young enough.
pub(super) fn ran(schedule: &Schedule, runs: &[Ran], made: Timestamp, now: Timestamp) -> Found {
    let limit = SignedDuration::from_hours(schedule.hours);
    let (last, stack) = (last_finished(schedule.word, runs), now.duration_since(made));
    match last {
        Some((at, visited)) if now.duration_since(at) <= limit => {
            let ago = rough(now.duration_since(at));
            // A picture and a lesson visit nobody.
            let visits =
                if visited > 0 { format!(", {visited} customers visited") } else { "".into() };
            Found::ok(format!("finished {ago} ago{visits}"))
        }
        None if stack <= limit => Found::skipped(format!(
            "none yet: the tables are {} old, the schedule may take {}",
            rough(stack),
            rough(limit)
        )),
        Some((at, _)) => Found::failed(format!(
            "the last that finished was {} ago, more than {}",
            rough(now.duration_since(at)),
            rough(limit)
        )),
        None => Found::failed(format!("none finished, and the tables are {} old", rough(stack))),
    }
}

/// The last run, all segments of which came to their end, and how many customers it visited.
fn last_finished(word: &str, runs: &[Ran]) -> Option<(Timestamp, u64)> {
    let mut finished: BTreeMap<(Timestamp, &str), (BTreeSet<i32>, u64)> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.is_done && run.slot.schedule.contains(word)) {
        let (segments, visited) = finished.entry((run.slot.at, &*run.slot.schedule)).or_default();
        segments.insert(run.slot.segment);
        *visited += run.visited;
        if segments.len() == usize::try_from(run.slot.segments).unwrap_or_default() {
            return Some((run.slot.at, *visited));
        }
    }
    None
}

/// A length of time as a person says it.
pub(super) fn rough(length: SignedDuration) -> String {
    match length.as_secs() {
        ..120 => format!("{} s", length.as_secs().max(0)),
        120..7_200 => format!("{} min", length.as_mins()),
        7_200..172_800 => format!("{} h", length.as_hours()),
        _ => format!("{} days", length.as_hours() / 24),
    }
}

/// Whether something is decided about a customer, or when it will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    Decided,
    Soon,
    /// By the lifecycle file, not at once.
    NotNow,
}

pub(super) fn awaited(customer: &Customer, due: Option<Timestamp>, by: Timestamp) -> Awaited {
    match (customer.status.journal.seq, due) {
        (1.., _) => Awaited::Decided,
        (_, Some(due)) if due <= by => Awaited::Soon,
        _ => Awaited::NotNow,
    }
}

/// Whether a journal verifies up to where the customer's state says it ends. `newest_first` may have
/// grown since the state was read.
pub(super) fn chain(customer: &Customer, newest_first: &[JournalEntry]) -> Found {
    let head = &customer.status.journal;
    let mut chain = Chain::default();
    for entry in newest_first.iter().rev().filter(|entry| entry.seq <= head.seq) {
        if let Some((number, fault)) = chain.follow(entry.seq, Some(entry)) {
            return Found::failed(format!("entry {number} {fault}"));
        }
    }
    match chain.contradicts(head).or_else(|| chain.ends(head)) {
        Some((number, fault)) => Found::failed(format!("entry {number} {fault}")),
        None => {
            let s = if head.seq == 1 { "entry" } else { "entries" };
            Found::ok(format!("{} {s}, each follows from the one before", head.seq))
        }
    }
}

/// Whether messages and groups of alerts wait that were due long ago.
pub(super) fn stuck(messages: usize, groups: usize) -> Found {
    match (messages, groups) {
        (0, 0) => Found::ok(format!("none is late by more than {}", rough(STUCK_AFTER))),
        _ => Found::failed(format!(
            "{messages} messages and {groups} groups of alerts are late by more than {}",
            rough(STUCK_AFTER)
        )),
    }
}

/// What is left of somebody who was erased, in words; empty where nothing is.
pub(super) fn left(held: &Held) -> Vec<&'static str> {
    if held.is_empty() {
        return Vec::new();
    }
    let parts = [
        (held.customers.is_empty(), "the customer"),
        (held.accounts.is_empty(), "links to accounts"),
        (held.events.is_empty(), "events"),
        (held.journal.is_empty(), "journal entries"),
        (held.findings.is_empty(), "findings"),
        (held.tasks.is_empty(), "tasks"),
        (held.alerts.is_empty() && held.sent.is_empty(), "alerts"),
        (held.waiting.is_empty(), "waiting messages"),
        (held.silences.is_empty(), "silences"),
        (held.quarantine.is_empty(), "what was set aside"),
        (held.suppressed == (false, false), "a suppression"),
    ];
    parts.into_iter().filter(|(is_empty, _)| !is_empty).map(|(_, what)| what).collect()
}
