//! Snapshots know nothing of the future, labels are of windows that are over, and what is learnt from
//! them predicts customers it never saw.

use std::sync::Arc;

use jiff::SignedDuration;
use proptest::prelude::*;
use risk::random::Random;
use serde_json::{Value as Json, json};

use super::*;
use crate::customer::Customer;
use crate::event::Event;
use crate::facts::Facts;
use crate::lifecycle::RiskModel;
use crate::replay::{Replay, in_order};
use crate::tests_support::{day, lifecycle};

const YAML: &str = "
version: 1
traits: { plan: [team, business], seats: number?, notice: date?, name: text? }
metrics: { tickets: { count: ticket_opened, over: 56d } }
stages: { any: { enter: { when: risk.band == \"critical\" } } }
risk:
  model: leaving
  event: login
  horizon: 30d
  lead: 7d
  leaves: { with: cancelled }
  ignore: [traits.notice]
";

fn learned(lifecycle: &Lifecycle) -> &Learned {
    lifecycle.learned().unwrap()
}

/// An event that happened on one day and was received on another.
fn event(name: &str, at: f64, received: f64, told: Json) -> Event {
    let body = match name {
        "group" => json!({ "type": "group", "userId": "ada", "groupId": "acme", "traits": told }),
        _ => json!({ "type": "track", "event": name, "userId": "ada", "properties": told }),
    };
    let Json::Object(body) = body else { unreachable!() };
    Event::from_body(format!("{name}-{at}"), day(at), day(received), body).unwrap()
}

fn on_time(name: &str, at: f64) -> Event {
    event(name, at, at, Json::Null)
}

/// Whether a customer with these events, who logs in every day, had left, by the day of the snapshot.
fn lefts(yaml: &str, events: &[(&str, f64)], now: f64) -> Vec<(i64, bool)> {
    let lifecycle = lifecycle(yaml);
    let learned = learned(&lifecycle);
    let mut log: Vec<Event> = events.iter().map(|(name, at)| on_time(name, *at)).collect();
    log.push(on_time("seen", 0.0));
    let log = in_order(log);
    let days = days(learned, day(now));
    let taught = snapshots(&lifecycle, learned, 1, &log, &days, day(now));
    let number = |at: Timestamp| (at.as_second() - day(0.0).as_second()) / 86_400;
    taught.snapshots.iter().map(|one| (number(days[one.day]), one.left)).collect()
}

#[test]
fn a_label_is_of_a_window_that_is_over_and_of_customers_who_were_here() {
    // The last window that is over on day 137 begins on day 100 and looks at 107 to 137.
    assert_eq!(lefts(YAML, &[], 137.0), [(40, false), (70, false), (100, false)]);
    assert_eq!(lefts(YAML, &[], 136.9).len(), 3);
    assert_eq!(lefts(YAML, &[("cancelled", 120.0)], 137.0)[2], (100, true));
    // Within the lead it is too late to learn from, before it they are gone.
    assert_eq!(lefts(YAML, &[("cancelled", 105.0)], 137.0), [(40, false), (70, true)]);
    assert_eq!(lefts(YAML, &[("cancelled", 95.0)], 137.0), [(40, false), (70, true)]);
    // Back at work they can leave again.
    let back = [("cancelled", 80.0), ("login", 90.0), ("cancelled", 110.0)];
    assert_eq!(lefts(YAML, &back, 137.0), [(40, false), (70, true), (100, true)]);
}

#[test]
fn silence_and_a_renewal_that_does_not_come_are_leaving_too() {
    let silent = YAML.replace("leaves: { with: cancelled }", "leaves: { without: login }");
    let logins: Vec<(&str, f64)> = (0..70).map(|n| ("login", f64::from(n))).collect();
    assert_eq!(lefts(&silent, &logins, 137.0), [(40, false), (70, true)]);

    let renewal = YAML
        .replace(
            "leaves: { with: cancelled }",
            "leaves: { renewal: traits.notice, without: renewed }",
        )
        .replace("horizon: 30d", "horizon: 14d");
    let lifecycle = lifecycle(&renewal);
    let learned = learned(&lifecycle);
    let date = |days: f64| day(days).to_string()[..10].to_owned();
    let log = in_order(vec![
        on_time("login", 0.0),
        event("group", 1.0, 1.0, json!({ "notice": date(60.0) })),
        on_time("renewed", 58.0),
        event("group", 58.5, 58.5, json!({ "notice": date(90.0) })),
        on_time("login", 70.0),
    ]);
    let days = days(learned, day(200.0));
    let lefts = |now: f64| -> Vec<bool> {
        let taught = snapshots(&lifecycle, learned, 1, &log, &days, day(now));
        taught.snapshots.iter().map(|one| one.left).collect()
    };
    // 7 days ahead of each date, as it was known then, and 14 days after it.
    assert_eq!(lefts(200.0), [false, true]);
    assert_eq!(lefts(103.0), [false]);
}

/// How the inputs of a customer on a day are made.
type Look = fn(&Lifecycle, &[Event], usize, &[Timestamp], Timestamp) -> Option<Vec<f64>>;

/// As it is done.
fn honest(
    lifecycle: &Lifecycle,
    log: &[Event],
    at: usize,
    days: &[Timestamp],
    now: Timestamp,
) -> Option<Vec<f64>> {
    let taught = snapshots(lifecycle, learned(lifecycle), 1, log, days, now);
    taught.snapshots.into_iter().find(|one| one.day == at).map(|one| one.row)
}

/// As it would be done by one clock alone: late events are known when they happen.
fn by_one_clock(
    lifecycle: &Lifecycle,
    log: &[Event],
    at: usize,
    days: &[Timestamp],
    now: Timestamp,
) -> Option<Vec<f64>> {
    let log: Vec<Event> =
        log.iter().map(|event| Event { received_at: event.at, ..event.clone() }).collect();
    honest(lifecycle, &log, at, days, now)
}

/// As it would be done from today's totals.
fn from_the_end(
    lifecycle: &Lifecycle,
    log: &[Event],
    at: usize,
    days: &[Timestamp],
    now: Timestamp,
) -> Option<Vec<f64>> {
    honest(lifecycle, log, at, days, now)?;
    let mut replay = Replay::new(lifecycle, log);
    replay.until(now);
    let facts = Facts::new(&replay.customer, lifecycle, now);
    let nothing = BgNbd { r: 1.0, alpha: 1.0, a: 1.0, b: 1.0 };
    let learned = learned(lifecycle);
    let of = |input: &Input| input::value(&facts, &input.kind, learned, &nothing);
    Some(learned.inputs.iter().map(of).collect())
}

/// Whether what is looked at on a day is the same whatever the future holds: what happens later, and
/// what had happened and was received later.
fn is_blind(look: Look, past: &[(u32, u32)], future: &[(u32, u32)]) -> bool {
    let lifecycle = lifecycle(YAML);
    let days = days(learned(&lifecycle), day(137.0));
    let at = days.len() - 1;
    let names = ["login", "ticket_opened", "feature_used"];
    let make = |serial: usize, (happened, received): (u32, u32)| {
        let mut event = on_time(names[serial % 3], f64::from(happened) + 0.5);
        event.received_at = day(f64::from(received) + 0.5);
        event.id = format!("{serial}-{}", event.id);
        event
    };
    let mut known = vec![on_time("login", 0.0)];
    known.extend(past.iter().enumerate().map(|(serial, when)| make(serial, *when)));
    let mut all = known.clone();
    all.extend(future.iter().enumerate().map(|(serial, when)| make(serial + 1_000, *when)));
    // NaN is not equal to itself.
    let look = |log: Vec<Event>| {
        let row = look(&lifecycle, &in_order(log), at, &days, day(137.0));
        row.map(|row| row.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>())
    };
    look(known) == look(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The law: whatever comes after the day of a snapshot, by either clock, has no part in it.
    #[test]
    fn a_snapshot_knows_nothing_of_the_future(
        past in prop::collection::vec((0u32..100, 0u32..20), 0..30),
        late in prop::collection::vec((1u32..100, 100u32..137), 0..10),
        later in prop::collection::vec(100u32..137, 0..10),
    ) {
        let past: Vec<(u32, u32)> =
            past.into_iter().map(|(at, delay)| (at, (at + delay).min(99).max(at))).collect();
        let mut future = late;
        future.extend(later.into_iter().map(|at| (at, at)));
        prop_assert!(is_blind(honest, &past, &future));
    }
}

#[test]
fn a_look_that_is_fed_the_future_is_found_out() {
    let past: Vec<(u32, u32)> = (1..90).map(|at| (at, at)).collect();
    assert!(is_blind(honest, &past, &[(95, 120), (120, 120)]));
    assert!(!is_blind(by_one_clock, &past, &[(95, 120)]), "what came in late");
    assert!(!is_blind(from_the_end, &past, &[(120, 120)]), "what happened later");
}

#[test]
fn history_that_was_imported_is_known_by_its_own_time() {
    let lifecycle = lifecycle(YAML);
    let days = days(learned(&lifecycle), day(137.0));
    let imported: Vec<Event> =
        (0..100).map(|at| event("login", f64::from(at), 130.0, Json::Null)).collect();
    let punctual: Vec<Event> = (0..100).map(|at| on_time("login", f64::from(at))).collect();
    let look = |log: &[Event]| {
        honest(&lifecycle, log, days.len() - 1, &days, day(137.0))
            .map(|row| row.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>())
    };
    assert!(look(&imported).is_some());
    assert_eq!(look(&imported), look(&punctual));
}

/// A company of which everybody logs in at a rate of its own, some fade before they leave, and all
/// are asked to fill in a form when they have left.
fn company(customers: u64, fading: f64) -> Vec<Vec<Event>> {
    (0..customers)
        .map(|customer| {
            let mut random = Random::new(customer, 7);
            let (rate, plan) = (0.2 + 0.6 * random.unit(), random.below(2));
            let leaves = (random.unit() < 0.5).then(|| 60.0 + 265.0 * random.unit());
            let (plan, seats) = (["team", "business"][plan], 3 + random.below(40));
            let traits = json!({ "plan": plan, "seats": seats });
            let mut log = vec![event("group", 0.0, 0.0, traits)];
            for at in 0..330 {
                let at = f64::from(at) + random.unit();
                let left = leaves.map_or(f64::INFINITY, |leaves| leaves - at);
                if left < 0.0 {
                    break;
                }
                let rate = if left < 45.0 { rate * (1.0 - fading) } else { rate };
                if random.unit() < rate {
                    log.push(on_time("login", at));
                }
                if random.unit() < 0.02 {
                    log.push(on_time("ticket_opened", at));
                }
            }
            if let Some(leaves) = leaves {
                log.push(on_time("cancelled", leaves));
                log.push(event("exit_form", leaves - 45.0, leaves + 1.0, Json::Null));
            }
            in_order(log)
        })
        .collect()
}

fn lessons(lifecycle: &Lifecycle, company: &[Vec<Event>], now: f64) -> Lessons {
    let learned = learned(lifecycle);
    let mut lessons = Lessons::new(days(learned, day(now)), MOST_SNAPSHOTS);
    for (customer, log) in company.iter().enumerate() {
        let customer = Random::new(customer as u64, 1).bits();
        let days = lessons.days().to_vec();
        lessons.add(snapshots(lifecycle, learned, customer, log, &days, day(now)));
    }
    lessons
}

fn learn(lifecycle: &Lifecycle, lessons: Lessons, champion: Option<&Fitted>, now: f64) -> Learning {
    let learned = learned(lifecycle);
    lessons.learn(lifecycle, learned, champion, day(now), 2, &|_, _| ()).unwrap().unwrap()
}

#[test]
fn who_fades_before_leaving_is_foreseen_and_told_why() {
    let mut lifecycle = lifecycle(YAML);
    let company = company(300, 0.8);
    let learning = learn(&lifecycle, lessons(&lifecycle, &company, 330.0), None, 330.0);
    assert_eq!(learning.verdict, Verdict::First);
    assert!(learning.material.left > 80, "{:?}", learning.material);
    let trained = learning.trained.as_ref().unwrap();
    let names: Vec<&str> = trained.rungs.iter().map(|rung| rung.name).collect();
    assert_eq!(names[..3], ["base rate", "rhythm alone", "recency and frequency"]);
    let chosen = &trained.rungs[trained.chosen];
    assert!(chosen.pooled.auc.unwrap() > 0.75, "{:?}", chosen.pooled);
    let later = learning.fitted.knowledge.as_ref().unwrap().later.unwrap();
    assert!(later.figures.auc.unwrap() > 0.7, "{later:?}");
    assert!(learning.fitted.to_json().len() <= MOST_BYTES);
    assert_eq!(Fitted::from_json(&learning.fitted.to_json()).unwrap(), learning.fitted);

    // In whatever order customers come, and however many threads work, the same is learnt.
    let mut turned = company.clone();
    turned.reverse();
    let mut again = Lessons::new(days(learned(&lifecycle), day(330.0)), MOST_SNAPSHOTS);
    for (place, log) in turned.iter().enumerate() {
        let customer = Random::new((company.len() - 1 - place) as u64, 1).bits();
        let days = again.days().to_vec();
        again.add(snapshots(&lifecycle, learned(&lifecycle), customer, log, &days, day(330.0)));
    }
    let again = again.learn(&lifecycle, learned(&lifecycle), None, day(330.0), 1, &|_, _| ());
    assert_eq!(again.unwrap().unwrap().fitted.hash(), learning.fitted.hash());

    // What was learnt tells a customer's risk from its item alone.
    lifecycle.go_by(Some(Arc::new(learning.fitted)));
    assert!(learned(&lifecycle).ready.is_some());
    let told = |log: &[Event], now: f64| {
        let mut replay = Replay::new(&lifecycle, log);
        replay.until(day(now));
        let customer: Customer = replay.customer.clone();
        let facts = Facts::new(&customer, &lifecycle, day(now));
        crate::score::risk(&facts)
    };
    let busy: Vec<Event> = (0..200).map(|at| on_time("login", f64::from(at))).collect();
    let faded: Vec<Event> = (0..200)
        .filter(|at| *at < 170 || at % 15 == 0)
        .map(|at| on_time("login", f64::from(at)))
        .collect();
    let (busy, faded) = (told(&busy, 200.0).unwrap(), told(&faded, 200.0).unwrap());
    assert!(faded.probability > 2.0 * busy.probability, "{busy:?} {faded:?}");
    assert!(faded.reasons[0].expression.starts_with("leaves within 30 days, from 7 days on"));
    let sentences: Vec<&str> =
        faded.reasons[1..].iter().map(|one| one.expression.as_str()).collect();
    assert!(sentences.iter().any(|one| one.contains(" fell to ")), "{sentences:?}");
    assert!(sentences[0].contains("multiplies the odds of leaving by"), "{sentences:?}");
    // Who has left, and did nothing since, is of no concern.
    let gone = [on_time("login", 0.0), on_time("cancelled", 50.0)];
    assert_eq!(told(&gone, 60.0), None);
}

#[test]
fn a_model_that_is_fed_the_future_does_better_than_one_can() {
    let lifecycle =
        lifecycle(&YAML.replace("ignore: [traits.notice]", "learn_from: [login, exit_form]"));
    // Nobody shows that they will leave, but everybody has filled in a form, dated back, when they had.
    let company = company(250, 0.0);
    let figures = |company: &[Vec<Event>]| {
        let learning = learn(&lifecycle, lessons(&lifecycle, company, 330.0), None, 330.0);
        let trained = learning.trained.unwrap();
        trained.rungs.iter().map(|rung| rung.pooled.auc.unwrap()).fold(0.0, f64::max)
    };
    let cheated: Vec<Vec<Event>> = company
        .iter()
        .map(|log| {
            log.iter().map(|event| Event { received_at: event.at, ..event.clone() }).collect()
        })
        .collect();
    let (honest, fed) = (figures(&company), figures(&cheated));
    assert!(honest < 0.65, "what nobody can know was known: {honest}");
    assert!(fed > 0.9, "{fed}");
}

#[test]
fn few_who_left_leave_it_to_the_rhythm() {
    let mut lifecycle = lifecycle(YAML);
    let company = company(24, 0.8);
    let learning = learn(&lifecycle, lessons(&lifecycle, &company, 330.0), None, 330.0);
    assert!(learning.material.left < LEAST_LEFT && learning.trained.is_none());
    assert!(learning.notes[0].contains("the rhythm alone tells most"), "{:?}", learning.notes);
    lifecycle.go_by(Some(Arc::new(learning.fitted)));
    let log: Vec<Event> = (0..50).map(|at| on_time("login", f64::from(at))).collect();
    let mut replay = Replay::new(&lifecycle, &log);
    replay.until(day(80.0));
    let facts = Facts::new(&replay.customer, &lifecycle, day(80.0));
    let risk = crate::score::risk(&facts).unwrap();
    assert!(risk.reasons[0].expression.starts_with("no login within 37 days"), "{risk:?}");
}

#[test]
fn what_is_worse_on_the_last_period_does_not_take_over() {
    let lifecycle = lifecycle(YAML);
    let (good, noise) = (company(300, 0.8), company(300, 0.0));
    let champion = learn(&lifecycle, lessons(&lifecycle, &good, 300.0), None, 300.0).fitted;
    // A month later, on the same customers, it is compared on a period that neither has seen.
    let next = learn(&lifecycle, lessons(&lifecycle, &good, 330.0), Some(&champion), 330.0);
    assert!(matches!(next.verdict, Verdict::NoWorse { .. } | Verdict::Worse { .. }));
    let watch = next.watch.unwrap();
    assert!(watch.came_true.deviates.abs() < 4.0 && !watch.scores.is_drift, "{watch:?}");
    // On the same day the trials are compared as they were.
    let again = learn(&lifecycle, lessons(&lifecycle, &good, 300.0), Some(&champion), 300.0);
    assert!(
        matches!(again.verdict, Verdict::NoWorse { log_loss, champion } if log_loss == champion)
    );
    let worse = learn(&lifecycle, lessons(&lifecycle, &noise, 300.0), Some(&champion), 300.0);
    assert!(matches!(worse.verdict, Verdict::Worse { .. }), "{:?}", worse.verdict);
    assert!(!worse.verdict.is_for());
    assert!(matches!(Verdict::between(&worse.fitted, &champion), Verdict::Worse { .. }));
    let other = Fitted { recipe: "another".to_owned(), ..champion.clone() };
    assert_eq!(Verdict::between(&other, &champion), Verdict::First);
}

#[test]
fn a_file_that_means_something_else_by_a_name_does_not_go_by_the_model() {
    let mut known = lifecycle(YAML);
    let company = company(200, 0.8);
    let fitted = Arc::new(learn(&known, lessons(&known, &company, 330.0), None, 330.0).fitted);
    known.go_by(Some(Arc::clone(&fitted)));
    let Some(ready) = &learned(&known).ready else { panic!("it is of this file") };
    let features = &ready.scorer.model().features;
    let uses = |name: &str| features.iter().any(|feature| feature.name == name);
    // Another metric beside them, or another band, changes nothing.
    let more = YAML.replace("metrics: {", "metrics: { logins: { count: login, over: 3d },");
    let mut more = lifecycle(&more);
    more.go_by(Some(Arc::clone(&fitted)));
    assert!(learned(&more).ready.is_some());
    if uses("metrics.tickets") {
        let mut other = lifecycle(&YAML.replace("over: 56d", "over: 7d"));
        other.go_by(Some(Arc::clone(&fitted)));
        assert!(learned(&other).ready.is_none() && other.fitted().is_some());
    }
    // Another meaning of leaving is another recipe.
    let mut other = lifecycle(&YAML.replace("lead: 7d", "lead: 14d"));
    other.go_by(Some(fitted));
    assert!(other.fitted().is_none());
}

#[test]
fn the_bands_of_a_file_that_names_none_follow_the_share_that_leaves() {
    let lifecycle = lifecycle(YAML);
    let Some(RiskModel::Learned(learned)) = &lifecycle.risk else { unreachable!() };
    assert!(!learned.has_own_bands);
    let bands = crate::lifecycle::by_share(&learned.alive.bands, 0.1);
    let from: Vec<f64> = bands.iter().map(|band| band.from).collect();
    assert_eq!(from, [0.0, 0.1, 0.1818, 0.3077]);
    assert_eq!(bands[3].name, "critical");
}

#[test]
fn days_are_a_horizon_apart() {
    let lifecycle = lifecycle(YAML);
    let days = days(learned(&lifecycle), day(400.0));
    assert_eq!(*days.last().unwrap(), day(363.0));
    assert!(
        days.windows(2).all(|two| two[1].duration_since(two[0]) == SignedDuration::from_hours(720))
    );
}

#[test]
fn of_too_many_snapshots_any_are_taken_and_the_same_in_every_order() {
    let lifecycle = lifecycle(YAML);
    let company = company(120, 0.5);
    let learned = learned(&lifecycle);
    let taken = |order: &mut dyn Iterator<Item = usize>| {
        let mut lessons = Lessons::new(days(learned, day(330.0)), 200);
        for customer in order {
            let days = lessons.days().to_vec();
            let taught = snapshots(
                &lifecycle,
                learned,
                customer as u64,
                &company[customer],
                &days,
                day(330.0),
            );
            lessons.add(taught);
        }
        learn(&lifecycle, lessons, None, 330.0)
    };
    let (one, other) = (taken(&mut (0..120)), taken(&mut (0..120).rev()));
    assert_eq!(one.material.snapshots, 200);
    assert!(one.notes[0].contains("any 200 of them were taken"), "{:?}", one.notes);
    assert_eq!(one.fitted.hash(), other.fitted.hash());
}
