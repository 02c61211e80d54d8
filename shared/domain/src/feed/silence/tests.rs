//! What happens to customers while a feed is silent, and after.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::customer::Customer;
use crate::decide::{Refusal, decide, decide_risk, decide_standards, step};
use crate::explain::explain;
use crate::tests_support::{customer, day, in_stage, lifecycle, profile, run, stage_of};

const FILE: &str = "version: 1
traits: { notice: date?, mrr: number? }
metrics:
  logins_7d: { count: login, over: 7d }
  idle: { days_since: login }
  tickets: { count: ticket, over: 30d }
  score: { latest: survey.score, stale_after: 10d }
segments:
  idle: metrics.idle >= 10
stages:
  active: { enter: { when: metrics.logins_7d > 0, priority: 1 }, stuck: 90d }
  quiet: { enter: { when: metrics.idle >= 3, for: 2d, priority: 3 } }
  gone: { enter: { when: segment.idle, priority: 5 } }
  crisis: { enter: { when: metrics.tickets >= 2 && metrics.idle >= 1, priority: 6 } }
  leaving:
    enter: { when: { any: [ has(traits.notice), metrics.idle >= 20 ] }, for: 2d, priority: 7 }
feeds:
  product: { events: [login], expect_every: 1h }
  support: { events: [ticket, call] }
standards:
  in_touch: { silence: { events: [login], limit: 5d }, severity: high, owner: ops }
  called: { silence: { events: [call], limit: 5d }, severity: high, owner: ops }
  fit: { holds: metrics.idle < 4, severity: low, owner: ops }
  not_stuck: { stage_overdue: any, severity: low, owner: ops }
risk:
  model: scorecard
  factors:
    use: { weight: 50, value: metrics.logins_7d, worst: 0, best: 10 }
    calm: { weight: 50, value: metrics.tickets, worst: 4, best: 0 }
  bands: { low: 0, high: 0.6 }
";

fn file() -> Lifecycle {
    lifecycle(FILE)
}

fn silent(since: f64) -> Lifecycle {
    file().hearing(&[SilentFeed { name: "product".to_owned(), since: day(since) }])
}

fn of(events: &[(f64, &str, Json)], stage: &str, now: f64) -> Customer {
    in_stage(customer(&file(), events, now), stage, 0.0)
}

fn login(at: f64) -> (f64, &'static str, Json) {
    (at, "login", json!({}))
}

fn ticket(at: f64) -> (f64, &'static str, Json) {
    (at, "ticket", json!({ "n": at }))
}

/// Where the step leads to; the stage it is where nowhere.
fn goes(customer: &Customer, lifecycle: &Lifecycle, at: f64) -> String {
    let change = step(customer, lifecycle, day(at)).change;
    change.and_then(|change| change.to).unwrap_or_else(|| stage_of(customer).to_owned())
}

#[test]
fn nobody_is_moved_because_time_passes_in_silence() {
    let known = of(&[login(1.0)], "active", 1.0);
    for at in [2.0, 6.0, 12.0, 25.0, 60.0] {
        assert_eq!(goes(&known, &silent(1.5), at), "active", "day {at}");
    }
    assert_eq!(goes(&known, &file(), 12.0), "gone", "as it would be without the silence");
    // What was so when the feed was last heard of is so.
    assert_eq!(goes(&known, &silent(11.5), 12.0), "gone");
}

#[test]
fn what_is_told_by_others_goes_on() {
    let tickets = of(&[login(1.0), ticket(3.0), ticket(3.1)], "active", 4.0);
    assert_eq!(goes(&tickets, &silent(2.5), 4.0), "crisis", "idle it was before the silence");
    assert_eq!(goes(&tickets, &silent(1.5), 4.0), "active", "idle it may not be at all");
    let notice =
        of(&[login(1.0), (3.0, "group", json!({ "notice": "2026-04-01" }))], "active", 4.0);
    assert_eq!(goes(&notice, &silent(1.5), 4.0), "active", "not for two days yet");
    assert_eq!(goes(&notice, &silent(1.5), 5.0), "leaving");
}

#[test]
fn no_time_passes_for_what_rests_on_a_silent_feed() {
    // Idle for three days on day 4, and the feed is silent from half a day later on.
    let known = of(&[login(1.0)], "active", 1.0);
    assert_eq!(goes(&known, &file(), 6.0), "quiet");
    assert_eq!(goes(&known, &silent(4.5), 6.0), "active");
    assert_eq!(goes(&known, &silent(6.0), 6.5), "quiet");
}

#[test]
fn what_still_arrives_counts() {
    let back = of(&[login(1.0), login(13.0)], "gone", 13.5);
    assert_eq!(goes(&back, &silent(11.5), 13.5), "active");
}

#[test]
fn why_a_customer_stays_is_told() {
    let known = of(&[login(1.0)], "active", 12.0);
    let found = step(&known, &silent(1.5), day(12.0));
    assert_eq!(found.silenced.and_then(|change| change.to).as_deref(), Some("gone"));
    let gone = found.refused.iter().find(|(index, _)| *index == 2).map(|(_, refusal)| *refusal);
    assert_eq!(gone, Some(Refusal::FeedSilent { feed: 0, since: day(1.5) }));
    let told = explain(&known, &silent(1.5), &[], &[], day(12.0));
    let gone = told.others.iter().find(|other| other.stage == "gone").unwrap();
    let want = format!("held: the feed `product` is silent since {}", day(1.5));
    assert_eq!(gone.why_not.as_deref(), Some(want.as_str()));
    assert_eq!(step(&known, &file(), day(12.0)).silenced, None);
}

#[test]
fn no_breach_is_found_by_a_silence_and_none_is_closed() {
    let opened = |lifecycle: &Lifecycle, at: f64| -> Vec<String> {
        let known = of(&[login(1.0), (1.0, "call", json!({}))], "active", 1.0);
        let changes = decide_standards(&known, lifecycle, day(at)).into_iter();
        changes.map(|change| change.rule).collect()
    };
    let all = ["standards.in_touch", "standards.called", "standards.fit"];
    assert_eq!(opened(&file(), 8.0), all);
    assert_eq!(opened(&silent(1.5), 8.0), ["standards.called"], "calls come from another feed");
    assert_eq!(opened(&silent(7.5), 8.0), all, "it was broken before");
    let mut known = of(&[login(1.0)], "active", 7.0);
    run(&mut known, &file(), day(7.0));
    assert_eq!(known.status.findings.len(), 3);
    let later = decide_standards(&known, &silent(6.5), day(9.0));
    assert!(later.is_empty(), "{later:?}");
}

#[test]
fn no_risk_rises_by_a_silence() {
    let mut known = of(&[login(1.0), login(1.1), ticket(1.0)], "active", 1.0);
    let (note, _) = decide_risk(&known, &file(), day(1.5)).unwrap();
    known.status.note_risk(note);
    assert!(
        decide_risk(&known, &file(), day(12.0)).is_some_and(|(_, changes)| !changes.is_empty())
    );
    let found = decide_risk(&known, &silent(1.5), day(12.0));
    assert!(found.is_none_or(|(_, changes)| changes.is_empty()));
}

#[test]
fn what_depends_on_which_feed_is_known_beforehand() {
    let file = file();
    for (rule, feeds) in [
        ("stages.active.enter", &["product"][..]),
        ("stages.gone.enter", &["product"]),
        ("stages.crisis.enter", &["product", "support"]),
        ("stages.nowhere.enter", &[]),
        ("standards.in_touch", &["product"]),
        ("standards.called", &["support"]),
        ("standards.not_stuck", &["product", "support"]),
        ("risk.bands", &["product", "support"]),
        ("feeds.product", &[]),
    ] {
        assert_eq!(file.feeds_of_rule(rule), feeds, "{rule}");
    }
}

/// Where everybody is in one stage by what is known, however they came there.
const PLAIN: &str = "version: 1
metrics: { idle: { days_since: login }, logins: { count: login, over: 4d } }
stages:
  active: { enter: { when: metrics.idle < 3, priority: 1 } }
  quiet: { enter: { when: metrics.idle >= 3 && metrics.idle < 9, priority: 2 } }
  gone: { enter: { when: metrics.idle >= 9, priority: 3 } }
feeds: { product: { events: [login] } }
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// While a feed is silent time moves nobody; when it is heard of again, and what it had kept back is
    /// here, everybody is where they would be had it never been late.
    #[test]
    fn nothing_is_lost_by_a_silence(
        logins in prop::collection::vec(0u32..60, 1..12),
        since in 1u32..30,
        lasts in 1u32..30,
    ) {
        let plain = lifecycle(PLAIN);
        let silence = SilentFeed { name: "product".to_owned(), since: day(f64::from(since)) };
        let silent = plain.hearing(&[silence]);
        let until = since + lasts;
        let at = |days: u32| f64::from(days) / 2.0;
        let events: Vec<(f64, &str, Json)> =
            logins.iter().map(|half| (at(*half), "login", json!({ "n": half }))).collect();
        let known_by = |days: f64| {
            let known: Vec<_> = events.iter().filter(|(at, ..)| *at <= days).cloned().collect();
            crate::tests_support::events(&known)
        };
        let (mut held, mut never) = (Customer::default(), Customer::default());
        for half in 0..=until * 2 {
            let days = at(half);
            let (is_silent, now) = (days > f64::from(since) && days < f64::from(until), day(days));
            let heard = if is_silent { f64::from(since) } else { days };
            for (one, heard, file) in
                [(&mut held, heard, if is_silent { &silent } else { &plain }), (&mut never, days, &plain)]
            {
                let log = known_by(heard);
                if log.is_empty() {
                    continue;
                }
                one.profile = profile(file, &log, now);
                let before = stage_of(one).to_owned();
                run(one, file, now);
                prop_assert!(!is_silent || heard == days || before == stage_of(one) || before == "none");
            }
        }
        prop_assert_eq!(stage_of(&held), stage_of(&never));
    }

    /// What no silent feed tells is decided as ever, and a lifecycle that hears of no silence is the file's.
    #[test]
    fn a_silence_changes_only_what_rests_on_it(
        logins in prop::collection::vec(0u32..20, 0..8),
        tickets in prop::collection::vec(0u32..20, 0..8),
        now in 20u32..60,
    ) {
        let file = file();
        let mut events: Vec<_> = logins.iter().map(|at| login(f64::from(*at))).collect();
        events.extend(tickets.iter().map(|at| ticket(f64::from(*at))));
        events.push(login(0.0));
        let now = f64::from(now);
        let known = in_stage(customer(&file, &events, now), "active", 0.0);
        let plain = decide(&known, &file, day(now));
        prop_assert_eq!(&decide(&known, &file.hearing(&[]), day(now)), &plain);
        let later = SilentFeed { name: "product".to_owned(), since: day(now) };
        prop_assert_eq!(&decide(&known, &file.hearing(&[later]), day(now)), &plain);
        // Time alone: as it was decided when the feed was last heard of.
        let since = 19.5_f64;
        let then = step(&known, &file, day(since)).change.and_then(|change| change.to);
        let support = |at: f64| tickets.iter().filter(|t| f64::from(**t) > at - 30.0).count();
        if support(now) == support(since) {
            let found = step(&known, &silent(since), day(now)).change.and_then(|change| change.to);
            prop_assert_eq!(found, then);
        }
    }
}
