//! For whom overlays hold, and what they change.

use serde_json::json;

use crate::customer::Customer;
use crate::decide::{Refusal, next_due, step};
use crate::facts::Facts;
use crate::lifecycle::{Lifecycle, Promise};
use crate::period::{DAY, Period};
use crate::tests_support::{customer, day, in_stage, lifecycle};
use crate::{finding, score};

const FILE: &str = "version: 1
workspace: { timezone: UTC }
traits: { plan: [team, enterprise], region: [eu, us], score: number? }
metrics: { calls: { count: call, over: 30d } }
segments:
  big: traits.plan == \"enterprise\"
  eu: traits.region == \"eu\"
stages:
  first:
    enter: { when: traits.score >= 0, priority: 1 }
    target: 10d
    stuck: 20d
  next:
    enter: { when: traits.score >= 5, for: 2d, priority: 2 }
    leave: { when: traits.score < 3, for: 2d, to: first }
    cool_down: 4d
standards:
  contact: { silence: { events: [call], limit: 5d }, severity: low, owner: ops }
health:
  factors:
    talk: { weight: 60, value: metrics.calls, worst: 0, best: 4 }
    mood: { weight: 40, value: traits.score, worst: 0, best: 10 }
  bands: { red: 0, green: 50 }
overlays:
  - for: segment.big
    stages:
      first: { target: 30d, stuck: 40d }
      next: { enter: { when: traits.score >= 8, for: 6d }, leave: { for: 9d }, cool_down: 8d }
    standards: { contact: { silence: { limit: 2d }, severity: high, owner: kim } }
    health: { factors: { talk: { weight: 20, best: 8 }, mood: { weight: 80 } }, bands: { green: 60 } }
  - for: segment.eu
    stages: { first: { target: 15d, owner: eu_team } }
";

fn told(plan: &str, region: &str, score: f64) -> (f64, &'static str, serde_json::Value) {
    (0.0, "group", json!({ "plan": plan, "region": region, "score": score }))
}

fn of(file: &Lifecycle, plan: &str, region: &str, score: f64) -> Customer {
    in_stage(customer(file, &[told(plan, region, score)], 30.0), "first", 0.0)
}

#[test]
fn a_later_overlay_wins_where_both_change_a_number() {
    let file = lifecycle(FILE);
    for (plan, region, target, stuck, owner) in [
        ("team", "us", 10, 20, None),
        ("enterprise", "us", 30, 40, None),
        ("team", "eu", 15, 20, Some("eu_team")),
        ("enterprise", "eu", 15, 40, Some("eu_team")),
        ("", "", 10, 20, None),
    ] {
        let known = of(&file, plan, region, 1.0);
        let stage = Facts::new(&known, &file, day(1.0)).rules().stage("first").unwrap();
        let days = |days: i64| Some(Period::Elapsed(days * DAY));
        assert_eq!((stage.target, stage.stuck), (days(target), days(stuck)), "{plan} {region}");
        assert_eq!(stage.owner.as_deref(), owner, "{plan} {region}");
    }
    assert_eq!(file.stage("first").unwrap().target, Some(Period::Elapsed(10 * DAY)));
}

#[test]
fn criteria_differ_by_segment() {
    let file = lifecycle(FILE);
    let moves =
        |plan, score, at| step(&of(&file, plan, "us", score), &file, day(at)).change.is_some();
    assert!(!moves("team", 6.0, 1.9) && moves("team", 6.0, 2.0));
    assert!(!moves("enterprise", 6.0, 20.0), "they need more");
    assert!(!moves("enterprise", 8.0, 5.9) && moves("enterprise", 8.0, 6.0), "and for longer");
}

#[test]
fn an_overlay_follows_the_customer_in_time() {
    let file = lifecycle(FILE);
    let events = [told("team", "us", 6.0), (1.0, "group", json!({ "plan": "enterprise" }))];
    let known = in_stage(customer(&file, &events, 30.0), "first", 0.0);
    let limit = |at: f64| {
        let rules = Facts::new(&known, &file, day(at)).rules();
        let Promise::Silence { limit, .. } = rules.standard("contact").unwrap().promise else {
            panic!()
        };
        limit
    };
    assert_eq!((limit(0.5), limit(1.0)), (Period::Elapsed(5 * DAY), Period::Elapsed(2 * DAY)));
}

#[test]
fn standards_and_scores_are_those_of_the_segment() {
    let file = lifecycle(FILE);
    let findings = |plan, at| finding::judge_all(&of(&file, plan, "us", 5.0), &file, day(at)).len();
    assert_eq!((findings("team", 3.0), findings("enterprise", 3.0)), (0, 1));
    let health = |plan: &str| {
        let mut events = vec![told(plan, "us", 5.0)];
        events.extend([1.0, 2.0].map(|at| (at, "call", json!({}))));
        let known = customer(&file, &events, 30.0);
        let health = score::health(&Facts::new(&known, &file, day(3.0))).unwrap();
        (health.score, health.band)
    };
    assert_eq!(health("team"), (50.0, "green".to_owned()));
    assert_eq!(health("enterprise"), (45.0, "red".to_owned()));
}

#[test]
fn who_left_stays_away_for_the_cool_down_whenever_it_is_looked_at() {
    let file = lifecycle(FILE);
    for (plan, until) in [("team", 14.0), ("enterprise", 18.0)] {
        let mut known = of(&file, plan, "us", 9.0);
        known.status.left.insert("next".to_owned(), day(10.0).as_second());
        let refused = step(&known, &file, day(until - 0.1)).refused;
        assert!(refused.contains(&(1, Refusal::CoolingDown(day(until)))), "{refused:?}");
        assert!(step(&known, &file, day(until)).change.is_some(), "{plan}");
        let due = next_due(&known, &file, day(11.0), day(29.0));
        assert!(due.is_some_and(|due| due <= day(until)), "{plan}: {due:?}");
        // Before it left there is nothing to wait for.
        assert!(step(&known, &file, day(9.9)).change.is_some(), "{plan}");
    }
}
