//! What sweeps and `notify` promise when the tables, or SNS, fail them: at every single call, in
//! every way they can.
//!
//! A run is made once without faults, to see how many calls it takes and what it decides. Then it
//! is made again and again on fresh tables, each time with one fault at one of the calls, and
//! followed by runs as the schedule brings them. The journal must then be the same, entry by entry.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]
#![allow(clippy::print_stdout, reason = "figures are printed for people to see")]

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lambda_events::event::dynamodb::{Event as StreamEvent, EventRecord};
use domain::audit::first_break;
use domain::event::Event;
use domain::journal::JournalEntry;
use domain::lifecycle::{Lifecycle, load};
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::embedded::engine::sns_at;
use lifecycle::embedded::{Engine, JournalPump, LocalSns, Location, create_tables};
use lifecycle::pack::SweepFunction;
use platform::publish::SnsPublisher;
use platform::settings::Tables;
use platform::sweep::{self, RunOutcome, ScheduleEvent, SweepAnswer, SweepEvent, SweepKind};
use platform::{CustomerKey, Store};
use serde_json::{Value as Json, json};
use tests::faults::{Attempts, Fault, Faults};

const SOURCE: &str = "
version: 1
subject: account
traits:
  plan: [trial, team]
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
stages:
  onboarding: { enter: { when: traits.plan == \"team\", priority: 10 } }
  quiet: { enter: { when: metrics.idle_days > 3, priority: 20 } }
risk:
  model: scorecard
  factors:
    idle: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 }
  bands: { low: 0, high: 0.5 }
standards:
  kickoff_held:
    deadline: { stage: onboarding, event: kickoff_call, within: 2d }
    severity: high
    owner: cs
  invoice_sent:
    deadline: { stage: onboarding, event: invoice, within: 2d }
    severity: low
    owner: cs
alerts:
  routes:
    - { to: team }
  receivers:
    team: { sns: team }
";
const ACCOUNTS: [&str; 3] = ["acme", "globex", "initech"];
/// Runs that a schedule brings before anybody would call a customer stuck.
const MAX_RUNS: usize = 30;

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

fn event(id: &str, at: Timestamp, body: Json) -> Event {
    let Json::Object(body) = body else { panic!("a call is an object") };
    Event::from_body(id.to_owned(), at, at, body).unwrap()
}

/// Where every case has tables of its own.
struct World {
    engine: Engine,
    lifecycle: Arc<Lifecycle>,
    faults: Faults,
}

/// The tables of one case.
struct Case<'w> {
    world: &'w World,
    tables: Tables,
    store: Store,
}

impl World {
    fn start() -> World {
        let engine = Engine::start(Location::Memory).unwrap();
        let lifecycle = Arc::new(load(SOURCE).unwrap());
        World { engine, lifecycle, faults: Faults::default() }
    }

    /// Accounts that joined on the first day, two of which use the product.
    async fn case(&self, name: &str) -> Case<'_> {
        let client = self.engine.dynamodb();
        let tables = create_tables(&client, &format!("{name}-")).await.unwrap();
        let store = Store::new(client, tables.clone(), 400);
        store.apply_configuration(SOURCE, &self.lifecycle.hash, day(0)).await.unwrap();
        store.remember_lifecycle(Arc::clone(&self.lifecycle));
        let case = Case { world: self, tables, store };
        for account in ACCOUNTS {
            let joins = json!({"type": "group", "groupId": account, "traits": {"plan": "team"}});
            let login = json!({"type": "track", "event": "login", "userId": "ada"});
            case.happens(account, event("joins", day(0), joins)).await;
            case.happens(account, event("login", day(0), login)).await;
        }
        case
    }
}

impl Case<'_> {
    async fn happens(&self, account: &str, event: Event) {
        let (key, at) = (CustomerKey::subject(account), event.at);
        self.store.commit(&key, &[event], &self.world.lifecycle, at).await.unwrap();
    }

    /// A process that has just started, behind the faults.
    fn faulty_store(&self, attempts: Attempts) -> Store {
        let client = self.world.faults.dynamodb(&self.world.engine.dynamodb(), attempts);
        Store::new(client, self.tables.clone(), 400)
    }

    /// Runs without faults.
    async fn runs(&self, function: SweepFunction, at: Timestamp) {
        assert!(run(self.store.clone(), function, "before", at).await, "nothing fails here");
    }

    async fn journals(&self) -> Vec<Vec<JournalEntry>> {
        let mut journals = Vec::new();
        for account in ACCOUNTS {
            let key = CustomerKey::subject(account);
            let mut entries = self.store.journal(&key, 100, None).await.unwrap().items;
            entries.reverse();
            assert_eq!(first_break(&entries), None);
            let head = self.store.customer(&key).await.unwrap().customer.status.journal;
            assert_eq!(head.seq, entries.len() as u64, "state and journal agree");
            journals.push(entries);
        }
        journals
    }

    /// The open and the closed findings, by what tells them apart.
    async fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for state in ["open", "closed"] {
            for finding in self.store.findings(state, 100, None).await.unwrap().items {
                found.push(format!("{} {} {state}", finding.customer, finding.standard));
            }
        }
        found.sort();
        found
    }
}

/// One invocation by a schedule: whether everybody was dealt with.
async fn run(store: Store, function: SweepFunction, schedule: &str, at: Timestamp) -> bool {
    let app = sweep::App {
        store,
        clock: LocalClock::manual(at).handle(),
        queue: None,
        customers_per_segment: sweep::CUSTOMERS_PER_SEGMENT,
        vault: None,
    };
    let event = SweepEvent::Schedule(ScheduleEvent {
        schedule: schedule.to_owned(),
        scheduled_time: at,
        sweep: SweepKind::All,
    });
    let answer = match function {
        SweepFunction::Evaluate => evaluate::handle(&app, event, None).await,
        SweepFunction::Score => score::handle(&app, event, None).await,
        SweepFunction::Comply => comply::handle(&app, event, None).await,
    };
    match answer {
        Ok(SweepAnswer::Summary(summary)) => {
            let is_done = matches!(summary.outcome, RunOutcome::Done | RunOutcome::AlreadyDone);
            is_done && summary.failed == 0
        }
        Ok(SweepAnswer::Tickets { .. }) => panic!("a schedule is answered by a summary"),
        Err(_) => false,
    }
}

/// Runs until everybody was dealt with: the run that fails is tried again, then come the next.
async fn run_until_done(case: &Case<'_>, function: SweepFunction, at: Timestamp, mode: Attempts) {
    for number in 0..MAX_RUNS {
        let schedule = format!("nightly-{}", number / 2);
        if run(case.faulty_store(mode), function, &schedule, at).await {
            return;
        }
    }
    panic!("somebody was not dealt with in {MAX_RUNS} runs");
}

/// Every fault with the failures handed to the caller, and a lost answer with the SDK's own
/// attempts: then it is the SDK that sends a write again that stands already.
fn modes() -> impl Iterator<Item = (Attempts, Fault)> {
    let ones = Fault::ALL.map(|fault| (Attempts::One, fault));
    ones.into_iter().chain([(Attempts::Three, Fault::LostAnswer)])
}

/// Walks all calls of a run with all faults.
async fn walk(function: SweepFunction, at: Timestamp, before: impl AsyncFn(&Case<'_>)) {
    let world = World::start();
    let plain = world.case("plain").await;
    before(&plain).await;
    let known: usize = plain.journals().await.iter().map(Vec::len).sum();
    world.faults.calm();
    run_until_done(&plain, function, at, Attempts::One).await;
    let calls = world.faults.calls();
    let (journals, findings) = (plain.journals().await, plain.findings().await);
    let decided = journals.iter().map(Vec::len).sum::<usize>() - known;
    assert!(decided >= ACCOUNTS.len(), "{decided} decisions");

    let mut injected = 0;
    for number in 0..calls {
        for (mode, fault) in modes() {
            let name = format!("case-{number}-{fault:?}-{mode:?}");
            let case = world.case(&name).await;
            before(&case).await;
            world.faults.fail_call(number, fault);
            run_until_done(&case, function, at, mode).await;
            let faults = world.faults.calm();
            injected += faults.len();
            // What comes next finds nothing left to do.
            run_until_done(&case, function, at, mode).await;
            assert!(run(case.store.clone(), function, "after", at).await);
            assert_eq!(case.journals().await, journals, "{number}: {mode:?}: {faults:?}");
            assert_eq!(case.findings().await, findings, "{number}: {mode:?}: {faults:?}");
        }
    }
    println!("{function:?}: {calls} calls, {injected} faults, {decided} decisions each");
    assert!(injected > 4 * calls, "too few faults came to pass: {injected} at {calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_move_once_whatever_fails() {
    walk(SweepFunction::Evaluate, day(1), async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_is_banded_once_whatever_fails() {
    walk(SweepFunction::Score, day(1), async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_opened_and_closed_once_whatever_fails() {
    walk(SweepFunction::Comply, day(4), async |case| {
        case.runs(SweepFunction::Evaluate, day(0)).await;
        case.runs(SweepFunction::Comply, day(3)).await;
        // Of two findings each, one is mended.
        for account in ACCOUNTS {
            let held = json!({"type": "track", "event": "kickoff_call", "userId": "ada"});
            case.happens(account, event("kickoff", day(3), held)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_folds_logs_again_decides_once_whatever_fails() {
    walk(SweepFunction::Evaluate, day(5), async |case| {
        // What was counted for another file is counted again.
        let other = SOURCE.replace("count: login, over: 7d", "count: login, over: 6d");
        let other = load(&other).unwrap();
        for account in ACCOUNTS {
            let again = json!({"type": "track", "event": "login", "userId": "ben"});
            let key = CustomerKey::subject(account);
            let again = event("again", day(1), again);
            case.store.commit(&key, &[again], &other, day(1)).await.unwrap();
        }
    })
    .await;
}

/// What was published, by the id that a chat client knows a message by.
fn by_id(sns: &LocalSns) -> BTreeMap<String, Vec<String>> {
    let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in sns.published() {
        let channels: BTreeMap<String, String> = serde_json::from_str(&one.message).unwrap();
        let chat: Json = serde_json::from_str(&channels["https"]).unwrap();
        messages.entry(chat["id"].as_str().unwrap().to_owned()).or_default().push(one.message);
    }
    messages
}

/// Delivers the journal's stream until there is nothing more: how many calls it took.
async fn tell(case: &Case<'_>, sns: &LocalSns, mode: Attempts) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = sns.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let streams = case.world.engine.streams();
    let mut pump = JournalPump::open(streams, &case.tables.journal, None).await.unwrap();
    let topics = [("team".to_owned(), "arn:aws:sns:us-east-1:000000000000:team".to_owned())];
    for _ in 0..MAX_RUNS {
        let records: Vec<EventRecord> = pump.next_batch(100).await.unwrap();
        if records.is_empty() {
            serving.abort();
            return;
        }
        let client = case.world.faults.sns(&sns_at(&endpoint), mode);
        let app = notify::App {
            store: case.faulty_store(mode),
            clock: LocalClock::manual(day(1)).handle(),
            publisher: SnsPublisher::new(client, topics.clone().into()),
        };
        let mut event = StreamEvent::default();
        event.records = records;
        // An invocation that fails is delivered again whole.
        let Ok(answer) = notify::handle(&app, event).await else { continue };
        assert_eq!(answer.passed_over, 0, "an entry was passed over for a passing fault");
        match answer.failures.failures.first() {
            None => pump.commit_batch(),
            Some(failed) => pump.commit_until(&failed.id),
        }
    }
    panic!("the journal was not told in {MAX_RUNS} invocations");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_told_at_least_once_under_one_id_whatever_fails() {
    let world = World::start();
    let fresh = || LocalSns::new(Arc::new(|| day(1)));
    let plain = world.case("plain").await;
    plain.runs(SweepFunction::Evaluate, day(0)).await;
    let sns = fresh();
    world.faults.calm();
    tell(&plain, &sns, Attempts::One).await;
    let calls = world.faults.calls();
    let expected = by_id(&sns);
    assert_eq!(expected.len(), ACCOUNTS.len());

    let mut injected = 0;
    for number in 0..calls {
        for (mode, fault) in modes() {
            let case = world.case(&format!("case-{number}-{fault:?}-{mode:?}")).await;
            case.runs(SweepFunction::Evaluate, day(0)).await;
            let sns = fresh();
            world.faults.fail_call(number, fault);
            tell(&case, &sns, mode).await;
            let faults = world.faults.calm();
            injected += faults.len();
            let told = by_id(&sns);
            let ids: Vec<&String> = told.keys().collect();
            assert_eq!(ids, expected.keys().collect::<Vec<_>>(), "{number}: {mode:?}: {faults:?}");
            for (id, messages) in &told {
                let first = &expected[id][0];
                assert!(messages.iter().all(|message| message == first), "{id}: {faults:?}");
            }
            let messages: usize = told.values().map(Vec::len).sum();
            let most = ACCOUNTS.len() + faults.len();
            assert!(messages <= most, "{number}: {mode:?}: {faults:?}: {messages} messages");
        }
    }
    println!("notify: {calls} calls, {injected} faults");
    assert!(injected > 4 * calls, "too few faults came to pass: {injected} at {calls} calls");
}
