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
