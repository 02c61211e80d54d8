//! Chains that verify, and what is kept of a customer.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::audit::first_break;
use crate::customer::{Profile, Status};
use crate::tests_support::{customer, day, lifecycle, run};

const YAML: &str = "
version: 1
traits: { plan: [trial, team], csm: email? }
metrics:
  logins_7d: { count: login, over: 7d }
  spend: { sum: order.amount, over: 90d }
  users: { distinct: user, over: 28d }
  used: { latest: seats.used }
  per_login: metrics.spend / metrics.logins_7d
stages:
  quiet: { enter: { when: metrics.logins_7d == 0, priority: 1 } }
  busy: { enter: { when: metrics.logins_7d > 0 && metrics.per_login >= 0, priority: 2 } }
standards:
  owner: { required: [traits.csm], severity: low, owner: ops }
  contact: { silence: { events: [call], limit: 5d }, severity: low, owner: ops }
";

/// A customer's journal over some weeks, as it is read back from where it was kept.
fn journal(amounts: &[f64]) -> (Vec<JournalEntry>, Profile, Status) {
    let lifecycle = lifecycle(YAML);
    let mut events = vec![(0.0, "group", json!({ "plan": "team" }))];
    for (index, amount) in amounts.iter().enumerate() {
        let at = index as f64 * 9.3 + 0.1;
        events.push((at, "order", json!({ "amount": amount })));
        events.push((at + 0.1, "login", json!({ "user": format!("u{index}") })));
        events.push((at + 0.2, "seats", json!({ "used": index })));
    }
    events.push((20.0, "call", json!({})));
    let mut customer = customer(&lifecycle, &events, 60.0);
    let mut entries = Vec::new();
    for half_day in 0..120 {
        entries.extend(run(&mut customer, &lifecycle, day(f64::from(half_day) / 2.0)));
    }
    let read =
        |entry: &JournalEntry| serde_json::from_slice(&serde_json::to_vec(entry).unwrap()).unwrap();
    (entries.iter().map(read).collect(), customer.profile, customer.status)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_journal_that_was_read_back_verifies(
        amounts in prop::collection::vec(0.0..1.0e7f64, 1..6),
    ) {
        let (entries, _, status) = journal(&amounts);
        prop_assert!(entries.len() > 3);
        prop_assert_eq!(first_break(&entries), None);
        let last = entries.last().unwrap();
        prop_assert_eq!(status.journal.seq, last.seq);
        prop_assert_eq!(crate::hex(&status.journal.hash), last.hash.clone());
    }

    #[test]
    fn a_packed_customer_is_unpacked_as_it_was(
        amounts in prop::collection::vec(0.0..1.0e7f64, 1..6),
    ) {
        let (_, profile, status) = journal(&amounts);
        let packed = postcard::to_allocvec(&profile).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Profile>(&packed).unwrap(), profile);
        let packed = postcard::to_allocvec(&status).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Status>(&packed).unwrap(), status);
    }
}

#[test]
fn any_change_of_any_entry_shows() {
    let (entries, ..) = journal(&[1.25, 3.5, 0.1]);
    let tamper: [fn(&mut JournalEntry); 9] = [
        |entry| entry.seq += 1,
        |entry| entry.at += jiff::SignedDuration::from_nanos(1),
        |entry| entry.kind = ChangeKind::Risk,
        |entry| entry.from = Some("nowhere".into()),
        |entry| entry.to = None,
        |entry| entry.rule.push('x'),
        |entry| entry.reasons[0].value = Json::from(0.5),
        |entry| entry.config_hash.clear(),
        |entry| entry.prev = "00".into(),
    ];
    for at in 0..entries.len() {
        for change in tamper {
            let mut changed = entries.clone();
            change(&mut changed[at]);
            assert!(first_break(&changed).is_some(), "{at}");
            // Sealed again, it no longer fits the next.
            changed[at].hash = crate::hex(&changed[at].digest());
            let is_last = at + 1 == entries.len();
            assert!(is_last || first_break(&changed).is_some(), "{at} sealed again");
        }
        let mut fewer = entries.clone();
        fewer.remove(at);
        assert!(at + 1 == entries.len() || first_break(&fewer).is_some(), "{at} removed");
        let mut swapped = entries.clone();
        swapped.swap(at, (at + 1) % entries.len());
        assert!(first_break(&swapped).is_some(), "{at} swapped");
    }
}

#[test]
fn each_change_has_one_entry_that_says_why() {
    let lifecycle = lifecycle(YAML);
    let events = [
        (0.0, "group", json!({ "plan": "team" })),
        (0.1, "order", json!({ "amount": 5 })),
        (0.2, "login", json!({})),
    ];
    let mut customer = customer(&lifecycle, &events, 1.0);
    let entries = run(&mut customer, &lifecycle, day(1.0));
    let entry = &entries[0];
    let told = (&entry.kind, &entry.from, &entry.to, &entry.rule, &entry.reasons);
    insta::assert_json_snapshot!(told, @r#"
    [
      "stage",
      null,
      "busy",
      "stages.busy.enter",
      [
        {
          "expression": "metrics.logins_7d > 0",
          "value": true,
          "inputs": {
            "metrics.logins_7d": 1
          }
        },
        {
          "expression": "metrics.per_login >= 0",
          "value": true,
          "inputs": {
            "metrics.per_login": 5
          }
        }
      ]
    ]
    "#);
}

#[test]
fn numbers_are_written_as_people_write_them() {
    for (number, want) in [(3.0, "3"), (-2.0, "-2"), (0.5, "0.5"), (f64::NAN, "null")] {
        assert_eq!(number_json(number).to_string(), want);
    }
}
