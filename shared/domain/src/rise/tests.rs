//! When a rise is told, and that it is told once.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::alert;
use crate::customer::Customer;
use crate::decide::reassess;
use crate::explain::status_at;
use crate::journal::{ChangeKind, JournalEntry};
use crate::replay::Replay;
use crate::tests_support::{day, event, lifecycle};

/// The risk is what the newest `said` event says it is.
const YAML: &str = "
version: 1
metrics: { p: { latest: said.p } }
stages: { any: { enter: { when: metrics.p >= 0 } } }
risk:
  model: scorecard
  drop_alert: 0.2
  factors: { said: { weight: 100, value: metrics.p, worst: 1, best: 0 } }
  bands: { low: 0, high: 0.8 }
alerts:
  routes:
    - { match: { kind: risk, state: rise }, to: team }
  receivers:
    team: { sns: team, format: [email] }
";

/// Lives a night after each day, of which some say what the risk is; the nights' entries of risk.
fn live(yaml: &str, said: &[(i32, f64)], nights: i32) -> (Vec<(i32, JournalEntry)>, Customer) {
    let file = lifecycle(yaml);
    let log: Vec<_> =
        said.iter().map(|(at, p)| event(f64::from(*at), "said", json!({ "p": p }))).collect();
    let mut replay = Replay::new(&file, &log);
    let mut told = Vec::new();
    for night in 0..nights {
        let now = day(f64::from(night) + 0.9);
        replay.until(now);
        let entries = replay.night(now).into_iter().map(|one| one.entry);
        told.extend(entries.filter(|one| one.kind == ChangeKind::Risk).map(|one| (night, one)));
    }
    (told, replay.customer)
}

/// The nights on which a rise is told.
fn rises(yaml: &str, said: &[(i32, f64)]) -> Vec<i32> {
    let (told, _) = live(yaml, said, 60);
    told.into_iter().filter(|(_, entry)| entry.rule == RULE).map(|(night, _)| night).collect()
}

#[test]
fn a_rise_within_a_week_is_told_once() {
    for (said, want) in [
        // At once, and in steps.
        (&[(0, 0.1), (3, 0.3)][..], vec![3]),
        (&[(0, 0.1), (2, 0.18), (5, 0.26), (8, 0.31)], vec![8]),
        // Too little, and too slowly: eight days after it was at 0.1 that no longer counts.
        (&[(0, 0.1), (3, 0.29)], vec![]),
        (&[(0, 0.1), (8, 0.2), (16, 0.3), (24, 0.4)], vec![]),
        (&[(0, 0.1), (8, 0.2), (15, 0.3)], vec![15]),
        (&[(0, 0.1), (8, 0.2), (16, 0.31)], vec![]),
        // A new customer did not rise, and a fall is none.
        (&[(0, 0.9)], vec![]),
        (&[(0, 0.9), (1, 0.1), (3, 0.29)], vec![]),
        // From where it fell to.
        (&[(0, 0.5), (1, 0.2), (3, 0.41)], vec![3]),
        // What was told is told; a further rise, and one after a fall, is another.
        (&[(0, 0.1), (1, 0.35), (2, 0.42), (4, 0.45)], vec![1]),
        (&[(0, 0.1), (1, 0.35), (3, 0.56)], vec![1, 3]),
        (&[(0, 0.1), (1, 0.35), (3, 0.2), (5, 0.41)], vec![1, 5]),
    ] {
        assert_eq!(rises(YAML, said), want, "{said:?}");
    }
    let without = YAML.replace("  drop_alert: 0.2\n", "");
    assert_eq!(rises(&without, &[(0, 0.1), (3, 0.7)]), Vec::<i32>::new());
    assert_eq!(rises(&YAML.replace("0.2\n", "0.5\n"), &[(0, 0.1), (3, 0.5), (6, 0.6)]), [6]);
}

#[test]
fn an_entry_says_what_it_rose_from_and_a_route_hears_of_it() {
    let (told, customer) = live(YAML, &[(0, 0.1), (3, 0.35), (9, 0.85)], 20);
    let [(0, first), (3, within), (9, beyond)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(first.rule, "risk.bands");
    assert_eq!((within.from.as_deref(), within.to.as_deref()), (Some("low"), Some("low")));
    assert_eq!(within.reasons[0].expression, "rose from 10 % to 35 % within 7 days");
    assert_eq!(within.reasons[1].expression, "said: metrics.p");
    // With a change of band it is one entry, which is both.
    assert_eq!((beyond.from.as_deref(), beyond.to.as_deref()), (Some("low"), Some("high")));
    assert_eq!(beyond.rule, RULE);
    let file = lifecycle(YAML);
    assert_eq!(alert::alert("acme", first, &customer, &file), None);
    let alert = alert::alert("acme", within, &customer, &file).unwrap();
    assert_eq!(alert.subject, "acme: churn risk rose from 10 % to 35 % within 7 days (low)");
    assert_eq!(alert.attributes["state"], "rise");
    // The journal tells the same of the past as was kept.
    let mut newest_first: Vec<JournalEntry> = told.iter().map(|(_, one)| one.clone()).collect();
    newest_first.reverse();
    let last = status_at(&newest_first).risk.unwrap();
    assert_eq!(Some(&last), customer.status.risk.as_ref());
    let then = status_at(&newest_first[1..]).risk.unwrap();
    assert_eq!((then.probability, then.band_since), (0.35, first.at));
    // Told or not, it is shown for as long as it is one.
    let shown = |at: f64| within_week(&customer.status, &file, 0.85, day(at)).unwrap();
    for (at, rise) in [(9.9, 0.75), (10.9, 0.75), (11.0, 0.5), (16.9, 0.5)] {
        assert!((shown(at) - rise).abs() < 1e-6, "{at}: {}", shown(at));
    }
    assert_eq!(shown(17.0), 0.0);
}

#[test]
fn nothing_is_noted_while_nothing_moves() {
    let file = lifecycle(YAML);
    let (_, customer) = live(YAML, &[(0, 0.1), (3, 0.35)], 4);
    for night in 4..40 {
        assert_eq!(reassess(&customer, &file, day(f64::from(night) + 0.9)), None);
    }
}

#[test]
fn what_only_another_model_says_is_no_rise() {
    let (_, mut customer) = live(YAML, &[(0, 0.1), (3, 0.15)], 10);
    let other = lifecycle(&YAML.replace("worst: 1,", "worst: 0.3,"));
    let now = day(10.9);
    let (note, change) = reassess(&customer, &other, now).unwrap();
    assert!((note.state.probability - 0.5).abs() < 1e-9);
    assert_eq!(change, None);
    customer.status.note_risk(note);
    assert_eq!(reassess(&customer, &other, day(11.9)), None);
    // What is a rise by the other model, too, is told.
    let (_, customer) = live(YAML, &[(0, 0.1), (8, 0.2)], 10);
    let (note, change) = reassess(&customer, &other, now).unwrap();
    assert_eq!(change.unwrap().reasons[0].expression, "rose from 33 % to 67 % within 7 days");
    assert_eq!(note.week.lows, []);
}

/// What is to be told, from all that was ever noted.
fn naive(said: &[f64]) -> Vec<usize> {
    let (mut noted, mut told): (Vec<(usize, f64)>, Vec<usize>) = (Vec::new(), Vec::new());
    for (night, p) in said.iter().enumerate() {
        let Some((_, now)) = noted.last().copied() else {
            noted.push((night, *p));
            continue;
        };
        // The last day of each, and after what was told.
        let ends = noted.iter().skip(1).map(|(at, _)| *at);
        let old = noted
            .iter()
            .zip(ends)
            .filter(|(_, until)| night - until <= 7 && told.last().is_none_or(|told| until > told));
        let low = old.map(|((_, p), _)| *p).fold(now, f64::min);
        let is_rise = p - low >= 0.2 - 1e-6;
        if is_rise {
            told.push(night);
        }
        if is_rise || (p - now).abs() >= 0.05 {
            noted.push((night, *p));
        }
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_few_lows_tell_what_all_that_was_noted_tells(
        said in prop::collection::vec((0u32..=100).prop_map(|p| f64::from(p) / 128.0), 1..60),
    ) {
        // One band, so that only moves are noted.
        let yaml = YAML.replace(", high: 0.8", "");
        let days: Vec<(i32, f64)> = (0..).zip(said.iter().copied()).collect();
        let (told, customer) = live(&yaml, &days, said.len() as i32);
        let told = told.into_iter().filter(|(_, one)| one.rule == RULE);
        let nights: Vec<usize> = told.map(|(night, _)| night as usize).collect();
        prop_assert_eq!(nights, naive(&said));
        prop_assert!(customer.status.risk_week.lows.len() <= 8);
    }
}

#[test]
fn a_status_from_before_rises_were_told_reads_as_one_with_none() {
    let (_, Customer { status, .. }) = live(YAML, &[(0, 0.1), (3, 0.2), (5, 0.32)], 6);
    assert_ne!(status.risk_week, RiskWeek::default());
    let packed = postcard::to_allocvec(&status.risk_week).unwrap();
    assert!(packed.len() < 24, "{} bytes", packed.len());
    let Status { stage, previous_stage, entered, risk, findings, journal, .. } = &status;
    let Status { left, reached, handoff, hold, .. } = &status;
    let before =
        ((stage, previous_stage, entered, risk, findings, journal), (left, reached, handoff, hold));
    let mut bytes = postcard::to_allocvec(&before).unwrap();
    // As stored bytes are read.
    bytes.extend([0; 32]);
    let read: Status = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(read, Status { risk_week: RiskWeek::default(), ..status });
}
