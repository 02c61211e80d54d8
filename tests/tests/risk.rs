//! Risk that a workspace's own history teaches: learnt by the nightly run, kept, and told.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use domain::audit::first_break;
use domain::event::Event;
use domain::journal::ChangeKind;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::sweep::{RunOutcome, Summary, SweepKind};
use serde_json::{Value as Json, json};

const SHOP: &str = "
version: 1
subject: user
metrics: { idle_days: { days_since: order } }
stages: { any: { enter: { when: metrics.idle_days >= 0 } } }
risk:
  model: alive
  event: order
  horizon: 60d
  bands: { low: 0, high: 0.5, critical: 0.8 }
";

fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

fn track(name: &str, user: &str, at: i64) -> Event {
    let body = json!({ "type": "track", "event": name, "userId": user });
    let Json::Object(body) = body else { unreachable!() };
    Event::from_body(format!("{name}-{user}-{at}"), day(at), day(at), body).unwrap()
}

/// Shoppers who order every so many days from day 0 on, each until a day of its own.
fn shoppers() -> Vec<(CustomerKey, Vec<Event>)> {
    (0..60)
        .map(|n| {
            let user = format!("u{n}");
            let (every, until) = (4 + n % 17, 10 + (n * 37) % 150);
            let days = (0..=until).step_by(usize::try_from(every).unwrap());
            let orders = days.map(|at| track("order", &user, at)).collect();
            (CustomerKey::subject(&user), orders)
        })
        .collect()
}

async fn score(pack: &Pack, schedule: &str, at: i64) -> Summary {
    pack.clock.set(Some(day(at)));
    let summary = pack.run(SweepFunction::Score, schedule, day(at), SweepKind::All).await.unwrap();
    assert_eq!((summary.outcome, summary.failed), (RunOutcome::Done, 0));
    summary
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nightly_run_learns_the_rhythm_of_a_shop_and_tells_who_will_not_come_back() {
    let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
    pack.apply(SHOP).await.unwrap().unwrap();
    let lifecycle = pack.store.lifecycle().await.unwrap();
    pack.ingest.store.commit_bulk(&shoppers(), &lifecycle, day(160)).await.unwrap();

    let first = score(&pack, "n1", 160).await;
    assert_eq!((first.visited, first.changed), (60, 60));
    let (version, hash) = pack.store.champion("alive").await.unwrap().unwrap();
    assert_eq!(version, 1);
    let learnt = pack.store.learnt("alive", 1).await.unwrap().unwrap();
    assert_eq!((learnt.hash, learnt.fitted.customers), (hash, 60));
    assert_eq!(learnt.fitted.fitted_at, day(160));

    // Who ordered yesterday is safer than who has been silent for months, and the journal says why.
    let customer = |user: &str| {
        let key = CustomerKey::subject(user);
        let store = pack.store.clone();
        async move { store.customer(&key).await.unwrap().customer.status.risk.unwrap() }
    };
    let last = |n: i64| 10 + (n * 37) % 150 - (10 + (n * 37) % 150) % (4 + n % 17);
    let newest = (0..60).max_by_key(|n| last(*n)).unwrap();
    let oldest = (0..60).filter(|n| last(*n) > 60).min_by_key(|n| last(*n)).unwrap();
    let (here, gone) =
        (customer(&format!("u{newest}")).await, customer(&format!("u{oldest}")).await);
    assert!(here.probability < 0.4 && gone.probability > 0.8, "{here:?} {gone:?}");
    assert_eq!((here.band.as_str(), gone.band.as_str()), ("low", "critical"));
    let key = CustomerKey::subject(&format!("u{oldest}"));
    let journal = pack.store.journal(&key, 10, None).await.unwrap().items;
    assert_eq!((journal.len(), journal[0].kind), (1, ChangeKind::Risk));
    assert_eq!(first_break(&journal), None);
    let told = &journal[0].reasons[1].expression;
    assert!(told.starts_with("usually has order every ") && told.contains("silent for"), "{told}");

    // The same night again learns nothing, and another night goes by the same fit.
    let again = pack.run(SweepFunction::Score, "n1", day(160), SweepKind::All).await.unwrap();
    assert_eq!(again.outcome, RunOutcome::AlreadyDone);
    score(&pack, "n2", 161).await;
    assert_eq!(pack.store.champion("alive").await.unwrap().unwrap().0, 1);
    // After four weeks it is time to fit again: a second version, and the first one stays.
    score(&pack, "n3", 188).await;
    assert_eq!(pack.store.champion("alive").await.unwrap().unwrap().0, 2);
    assert!(pack.store.learnt("alive", 1).await.unwrap().is_some());
    // Another event is another recipe.
    pack.apply(&SHOP.replace("event: order", "event: visit")).await.unwrap().unwrap();
    assert!(pack.store.lifecycle().await.unwrap().fitted().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_of_strangers_teaches_nothing_and_nobody_is_judged() {
    let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
    pack.apply(SHOP).await.unwrap().unwrap();
    let lifecycle = pack.store.lifecycle().await.unwrap();
    let once: Vec<_> = (0..30)
        .map(|n| {
            (CustomerKey::subject(&format!("u{n}")), vec![track("order", &format!("u{n}"), n)])
        })
        .collect();
    pack.ingest.store.commit_bulk(&once, &lifecycle, day(40)).await.unwrap();
    let summary = score(&pack, "n1", 40).await;
    assert_eq!((summary.visited, summary.changed), (30, 0));
    assert_eq!(pack.store.champion("alive").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_week_the_history_teaches_who_leaves_and_a_double_fire_learns_once() {
    let file = SHOP
        .replace("model: alive", "model: leaving\n  leaves: { without: order }\n  lead: 7d")
        .replace("horizon: 60d\n  bands: { low: 0, high: 0.5, critical: 0.8 }", "horizon: 30d");
    let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
    pack.apply(&file).await.unwrap().unwrap();
    let lifecycle = pack.store.lifecycle().await.unwrap();
    pack.ingest.store.commit_bulk(&shoppers(), &lifecycle, day(160)).await.unwrap();

    // The first night has nothing but the rhythm to go by.
    score(&pack, "n1", 160).await;
    assert_eq!(pack.store.champion("leaving").await.unwrap().unwrap().0, 1);
    let learn = || pack.run(SweepFunction::Score, "score-learn", day(161), SweepKind::Learn);
    let learnt = learn().await.unwrap();
    assert_eq!((learnt.outcome, learnt.visited, learnt.changed), (RunOutcome::Done, 60, 1));
    let again = learn().await.unwrap();
    assert_eq!((again.outcome, again.changed), (RunOutcome::AlreadyDone, 1));
    let champion = pack.store.champion_of("leaving").await.unwrap().unwrap();
    assert_eq!((champion.version, champion.fitted.fitted_at), (2, day(161)));
    let known = champion.fitted.knowledge.as_ref().unwrap();
    assert!(known.model.positives >= 15 && champion.fitted.to_json().len() <= 65_536);
    assert_eq!(pack.store.before_champion("leaving").await.unwrap(), Some(1));

    // Who reads next goes by it, and so does the next night.
    let lifecycle = pack.store.go_on_with(pack.store.lifecycle().await.unwrap()).await.unwrap();
    assert_eq!(lifecycle.fitted().unwrap().hash(), champion.hash);
    assert!(score(&pack, "n2", 162).await.changed > 0);
    let versions = pack.store.learnt_versions("leaving").await.unwrap();
    assert_eq!(versions.iter().map(|one| one.version).collect::<Vec<_>>(), [2, 1]);
}

/// The risk is what the newest `said` event says it is.
const SAID: &str = "
version: 1
subject: user
metrics:
  p: { latest: said.p }
  visits_7d: { count: visit, over: 7d }
stages: { any: { enter: { when: metrics.p >= 0 } } }
risk:
  model: scorecard
  drop_alert: 0.2
  factors: { said: { weight: 100, value: metrics.p, worst: 1, best: 0 } }
  bands: { low: 0, high: 0.9 }
alerts:
  routes:
    - { match: { kind: risk, state: rise }, to: team }
  receivers:
    team: { sns: team, format: [email] }
";

async fn say(pack: &Pack, user: &str, at: i64, name: &str, properties: Json) {
    let body = json!({ "type": "track", "event": name, "userId": user, "properties": properties });
    let Json::Object(body) = body else { unreachable!() };
    let event = Event::from_body(format!("{name}-{user}-{at}"), day(at), day(at), body).unwrap();
    let lifecycle = pack.store.lifecycle().await.unwrap();
    pack.clock.set(Some(day(at)));
    let group = [(CustomerKey::subject(user), vec![event])];
    pack.ingest.store.commit_bulk(&group, &lifecycle, day(at)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rise_within_a_week_is_told_once_and_quiet_nights_write_nothing() {
    let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
    pack.apply(SAID).await.unwrap().unwrap();
    say(&pack, "kim", 0, "said", json!({ "p": 0.1 })).await;
    score(&pack, "n0", 0).await;
    say(&pack, "kim", 3, "said", json!({ "p": 0.4 })).await;
    assert_eq!(score(&pack, "n3", 3).await.changed, 1);
    pack.tell().await.unwrap();
    let told: Vec<String> =
        pack.sns.published().into_iter().filter_map(|message| message.subject).collect();
    assert_eq!(told, ["kim: churn risk rose from 10 % to 40 % within 7 days (low)"]);
    // It is told; the nights after it visit, and write nothing.
    for night in 4..12 {
        assert_eq!(score(&pack, &format!("n{night}"), night).await.changed, 0);
    }
    pack.tell().await.unwrap();
    assert_eq!(pack.sns.published().len(), 1);
    // It falls, and rises again: another rise.
    say(&pack, "kim", 12, "said", json!({ "p": 0.1 })).await;
    score(&pack, "n12", 12).await;
    say(&pack, "kim", 14, "said", json!({ "p": 0.35 })).await;
    score(&pack, "n14", 14).await;
    pack.tell().await.unwrap();
    assert_eq!(pack.sns.published().len(), 2);
    let key = CustomerKey::subject("kim");
    let mut journal = pack.store.journal(&key, 10, None).await.unwrap().items;
    journal.reverse();
    let rules: Vec<&str> = journal.iter().map(|entry| entry.rule.as_str()).collect();
    assert_eq!(rules, ["risk.bands", "risk.drop_alert", "risk.drop_alert"]);
    assert_eq!(first_break(&journal), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_as_of_the_past_sees_what_was_known_then_and_not_emptied_windows() {
    // The risk is a week without visits.
    let file = SAID
        .replace("metrics.p, worst: 1, best: 0", "metrics.visits_7d, worst: 0, best: 4")
        .replace("metrics.p >= 0", "metrics.visits_7d >= 0");
    let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
    pack.apply(&file).await.unwrap().unwrap();
    for at in [1, 3, 5, 7, 60, 61] {
        say(&pack, "kim", at, "visit", json!({})).await;
    }
    say(&pack, "new", 60, "visit", json!({})).await;
    let key = CustomerKey::subject("kim");
    let profile = pack.store.customer(&key).await.unwrap().customer.profile;
    assert!(!profile.reaches_back_to(day(7)) && profile.reaches_back_to(day(60)));
    pack.clock.set(Some(day(62)));
    let run = pack.run(SweepFunction::Score, "past", day(7), SweepKind::All).await.unwrap();
    assert_eq!((run.visited, run.changed, run.failed), (2, 1, 0));
    // Four visits in the week to day 7; who came later was nobody yet.
    let after = pack.store.customer(&key).await.unwrap().customer;
    let risk = after.status.risk.unwrap();
    assert_eq!((risk.probability, risk.at), (0.0, day(7)));
    assert_eq!(after.profile, profile);
    let other = pack.store.customer(&CustomerKey::subject("new")).await.unwrap();
    assert_eq!(other.customer.status.risk, None);
}
