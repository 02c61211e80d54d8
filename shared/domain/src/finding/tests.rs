//! When a finding opens, is seen, is waived, and closes.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::by_hand::{self, Refused};
use crate::customer::{OpenFinding, Profile};
use crate::event::Event;
use crate::journal::{Author, ChangeKind, FindingOutcome, JournalEntry};
use crate::replay::{Decided, Replay, in_order};
use crate::tests_support::{commit, customer, day, event, events, in_stage, lifecycle};

const YAML: &str = "
version: 1
traits: { plan: [trial, team], csm: email?, renewal: date?, seats: number? }
metrics: { logins_7d: { count: login, over: 7d } }
stages:
  start: { enter: { when: metrics.logins_7d >= 0, priority: 1 }, target: 20d, stuck: 30d }
  next: { enter: { when: metrics.logins_7d > 9, priority: 2 } }
standards:
  kickoff: { deadline: { stage: start, event: kickoff, within: 10 workdays }, severity: high, owner: csm }
  contact: { silence: { events: [call, mail], limit: 30d }, only_if: traits.plan == \"team\", severity: low, owner: csm }
  known: { required: [traits.csm, traits.renewal, traits.seats], severity: low, owner: csm }
  stuck: { stage_overdue: any, severity: low, owner: csm }
";

fn team() -> (f64, &'static str, Json) {
    let told = json!({ "plan": "team", "csm": "a@b.c", "renewal": "2027-01-01", "seats": 5 });
    (0.0, "group", told)
}

#[test]
fn what_cannot_be_told_never_closes_a_finding() {
    let login = [(0.0, "login", json!({}))];
    let lifecycle = lifecycle(YAML);
    let mut customer = in_stage(customer(&lifecycle, &login, 40.0), "start", 0.0);
    customer.status.findings.push(OpenFinding {
        standard: "contact".into(),
        key: "before".into(),
        opened_at: day(1.0),
    });
    let changes = judge_all(&customer, &lifecycle, day(40.0));
    assert!(changes.iter().all(|change| change.rule != "standards.contact"), "{changes:?}");
}

#[test]
fn a_finding_opens_once_and_closes_when_it_is_mended() {
    let lifecycle = lifecycle(YAML);
    let events = [team(), (45.0, "call", json!({}))];
    let mut customer = in_stage(customer(&lifecycle, &events, 90.0), "next", 0.0);
    let mut story = Vec::new();
    for now in 0..90 {
        for change in judge_all(&customer, &lifecycle, day(f64::from(now))) {
            let entry = customer.status.apply(&change, day(f64::from(now)), &lifecycle);
            story.push((now, entry.rule, entry.to.unwrap_or_default()));
        }
    }
    let contact = |now, to: &str| (now, "standards.contact".to_owned(), to.to_owned());
    assert_eq!(story, [contact(31, "open"), contact(45, "closed"), contact(76, "open")]);
}

#[test]
fn another_breach_takes_the_place_of_the_one_before() {
    let lifecycle = lifecycle(YAML);
    let mut customer = in_stage(customer(&lifecycle, &[team()], 40.0), "next", 0.0);
    customer.status.findings.push(OpenFinding {
        standard: "contact".into(),
        key: "before".into(),
        opened_at: day(1.0),
    });
    let changes = judge_all(&customer, &lifecycle, day(40.0));
    let effects: Vec<&str> = changes
        .iter()
        .map(|change| match change.effect {
            Effect::OpenFinding { .. } => "open",
            Effect::CloseFinding { .. } => "close",
            _ => "other",
        })
        .collect();
    assert_eq!(effects, ["close", "open"]);
}

#[test]
fn a_finding_whose_standard_is_gone_closes() {
    let lifecycle = lifecycle(YAML);
    let mut customer = in_stage(customer(&lifecycle, &[team()], 5.0), "next", 0.0);
    customer.status.findings.push(OpenFinding {
        standard: "retired".into(),
        key: "k".into(),
        opened_at: day(1.0),
    });
    let changes = judge_all(&customer, &lifecycle, day(5.0));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].reasons[0].expression, "the standard is no longer declared");
}

// ---- seen, waived, opened again ----

const ANSWERED: &str = "
version: 1
traits: { plan: [trial, team] }
metrics: { logins_7d: { count: login, over: 7d } }
stages:
  start: { enter: { when: metrics.logins_7d >= 0, priority: 1 } }
standards:
  answered: { respond: { to: ask, with: [call], within: 2d }, severity: high, owner: csm }
  again: { respond: { to: ask, with: [call], within: 2d }, reopen_within: 5d, severity: high, owner: csm }
  started: { deadline: { stage: start, event: call, within: 3d }, severity: low, owner: csm }
";

/// What becomes of standards night by night, as `(day, standard, from, to)`.
fn nights(file: &Lifecycle, log: &[Event], days: i32) -> Vec<(i32, String, String, String)> {
    let mut replay = Replay::new(file, log);
    let mut story = Vec::new();
    for night in 0..days {
        let now = day(f64::from(night));
        replay.until(now);
        for decided in replay.night(now) {
            let JournalEntry { rule, from, to, .. } = decided.entry;
            if let Some(standard) = rule.strip_prefix("standards.") {
                let text = |text: Option<String>| text.unwrap_or_default();
                story.push((night, standard.to_owned(), text(from), text(to)));
            }
        }
    }
    story
}

fn of(story: &[(i32, String, String, String)], standard: &str) -> Vec<(i32, String)> {
    let mine = story.iter().filter(|(_, name, ..)| name == standard);
    mine.map(|(night, _, from, to)| (*night, format!("{from}>{to}"))).collect()
}

fn told(list: &[(i32, &str)]) -> Vec<(i32, String)> {
    list.iter().map(|(night, told)| (*night, (*told).to_owned())).collect()
}

#[test]
fn a_breach_soon_after_the_last_opens_the_same_finding_again() {
    let file = lifecycle(ANSWERED);
    let at = |at: f64, name| (at, name, json!({}));
    let log = in_order(events(&[
        at(0.5, "ask"),
        at(4.5, "call"),
        // Three days after it was mended.
        at(5.5, "ask"),
        at(9.5, "call"),
        // Nine days after.
        at(16.5, "ask"),
        at(20.5, "call"),
    ]));
    let story = nights(&file, &log, 25);
    let twice = [(3, ">open"), (5, "open>closed"), (8, ">open"), (10, "open>closed")];
    let answered = of(&story, "answered");
    assert_eq!(answered, told(&[&twice[..], &[(19, ">open"), (21, "open>closed")]].concat()));
    assert_eq!(
        of(&story, "again"),
        told(&[
            (3, ">open"),
            (5, "open>closed"),
            (8, "closed>open"),
            (10, "open>closed"),
            (19, ">open"),
            (21, "open>closed")
        ])
    );
}

#[test]
fn a_finding_that_is_opened_again_keeps_its_key_and_counts() {
    let file = lifecycle(ANSWERED);
    let at = |at: f64, name| (at, name, json!({}));
    let log = in_order(events(&[at(0.5, "ask"), at(4.5, "call"), at(5.5, "ask")]));
    let mut replay = Replay::new(&file, &log);
    let mut keys = Vec::new();
    for night in 0..9 {
        replay.until(day(f64::from(night)));
        replay.night(day(f64::from(night)));
        let status = &replay.customer.status;
        let open = status.findings.iter().find(|finding| finding.standard == "again");
        keys.extend(open.map(|open| (open.key.clone(), open.opened_at)));
    }
    keys.dedup();
    assert_eq!(keys, [(day(0.5).as_second().to_string(), day(3.0))]);
    assert_eq!(replay.customer.status.tended["again"].reopened, 1);
}

#[test]
fn what_was_kept_is_told_once_with_how_long_it_took() {
    let file = lifecycle(ANSWERED);
    let at = |at: f64, name| (at, name, json!({}));
    let log =
        in_order(events(&[at(0.5, "ask"), at(1.25, "call"), at(6.0, "ask"), at(6.5, "call")]));
    let mut replay = Replay::new(&file, &log);
    let mut met = Vec::new();
    for night in 0..12 {
        let now = day(f64::from(night));
        replay.until(now);
        for Decided { entry, .. } in replay.night(now) {
            if entry.kind == ChangeKind::Met {
                let took = entry.reasons[0].inputs[TOOK].as_i64().unwrap();
                let rule = entry.rule.strip_prefix("standards.").unwrap().to_owned();
                met.push((night, rule, entry.to.unwrap(), took / 3_600));
            }
        }
    }
    let one = |night, rule: &str, hours| (night, rule.to_owned(), MET.to_owned(), hours);
    assert_eq!(
        met,
        [
            one(2, "answered", 18),
            one(2, "again", 18),
            // In the stage since the first night.
            one(2, "started", 30),
            one(7, "answered", 12),
            one(7, "again", 12),
        ]
    );
}

#[test]
fn what_was_kept_too_late_before_anybody_looked_is_told_as_late() {
    let file = lifecycle(ANSWERED);
    let list = [(0.5, "ask", json!({})), (4.0, "call", json!({}))];
    let customer = in_stage(customer(&file, &list, 4.5), "start", 0.0);
    let changes = kept_all(&customer, &file, day(4.5));
    let told: Vec<_> = changes.iter().map(|change| change.to.as_deref().unwrap()).collect();
    assert_eq!(told, [LATE, LATE, LATE]);
    let after = in_stage(self::customer(&file, &list, 30.0), "start", 0.0);
    assert!(kept_all(&after, &file, day(30.0)).is_empty(), "too long ago to tell when");
}

fn by(name: &str) -> Author {
    Author { name: name.to_owned(), reason: Some("because".to_owned()) }
}

/// A customer with a finding of `answered` that was open on day 3.
fn breached(file: &Lifecycle) -> Customer {
    let mut customer = in_stage(customer(file, &[(0.5, "ask", json!({}))], 3.0), "start", 0.0);
    run_all(&mut customer, file, 3.0);
    customer
}

fn run_all(customer: &mut Customer, file: &Lifecycle, at: f64) -> Vec<String> {
    let changes = judge_all(customer, file, day(at));
    let entries = changes.iter().map(|change| customer.status.apply(change, day(at), file));
    let mine = entries.filter(|entry| entry.rule == "standards.answered");
    mine.map(|e| format!("{}>{}", e.from.unwrap_or_default(), e.to.unwrap_or_default())).collect()
}

fn apply(customer: &mut Customer, file: &Lifecycle, changes: Vec<Change>, at: f64) -> Vec<String> {
    let entries = changes.iter().map(|change| customer.status.apply(change, day(at), file));
    entries
        .map(|e| {
            let (from, to) = (e.from.unwrap_or_default(), e.to.unwrap_or_default());
            format!("{} {from}>{to}", e.kind.as_str())
        })
        .collect()
}

#[test]
fn a_finding_is_acknowledged_and_stays_open_until_it_is_mended() {
    let file = lifecycle(ANSWERED);
    let mut known = breached(&file);
    let facts = Facts::new(&known, &file, day(3.5));
    let seen = by_hand::acknowledge_finding(&facts, "answered", by("kim"), FindingOutcome::Useful)
        .unwrap();
    assert_eq!(apply(&mut known, &file, vec![seen], 3.5), ["acknowledgement open>acknowledged"]);
    let acknowledged = known.status.tended["answered"].acknowledged.as_ref().unwrap();
    assert_eq!((acknowledged.author.as_str(), acknowledged.at), ("kim", day(3.5)));
    assert!(run_all(&mut known, &file, 4.0).is_empty());
    assert_eq!(known.status.findings.iter().filter(|f| f.standard == "answered").count(), 1);
    let list = [(0.5, "ask", json!({})), (5.0, "call", json!({}))];
    known.profile = customer(&file, &list, 6.0).profile;
    assert_eq!(run_all(&mut known, &file, 6.0), ["open>closed"]);
    assert_eq!(known.status.tended["answered"].acknowledged, None);
    let facts = Facts::new(&known, &file, day(6.5));
    let refused =
        by_hand::acknowledge_finding(&facts, "answered", by("kim"), FindingOutcome::Known);
    assert_eq!(refused, Err(Refused::NoFinding));
}

#[test]
fn a_waived_finding_does_not_count_until_the_waiver_ends() {
    let file = lifecycle(ANSWERED);
    let mut known = breached(&file);
    let facts = Facts::new(&known, &file, day(3.5));
    let waive = by_hand::waive(&facts, "answered", by("kim"), Some(day(9.0))).unwrap();
    assert_eq!(apply(&mut known, &file, waive, 3.5), ["waiver open>waived"]);
    assert!(known.status.findings.iter().all(|finding| finding.standard != "answered"));
    assert!(run_all(&mut known, &file, 4.0).is_empty());
    assert!(run_all(&mut known, &file, 8.9).is_empty());
    let due = crate::decide::next_due(&known, &file, day(4.0), day(30.0));
    assert_eq!(due, Some(day(9.0)));
    assert_eq!(run_all(&mut known, &file, 9.0), ["waived>open"]);
    let open = known.status.findings.iter().find(|finding| finding.standard == "answered");
    assert_eq!(open.unwrap().opened_at, day(3.0), "it is the same finding");
    assert!(known.status.waived("answered", day(9.0)).is_none());
}

#[test]
fn a_waiver_that_a_person_ends_opens_the_finding_at_once() {
    let file = lifecycle(ANSWERED);
    let mut known = breached(&file);
    let facts = Facts::new(&known, &file, day(3.5));
    let waive = by_hand::waive(&facts, "answered", by("kim"), None).unwrap();
    apply(&mut known, &file, waive, 3.5);
    let facts = Facts::new(&known, &file, day(5.0));
    let ended = by_hand::unwaive(&facts, "answered", by("lee")).unwrap();
    let told = apply(&mut known, &file, ended, 5.0);
    assert_eq!(told, ["waiver waived>lifted", "finding waived>open"]);
    let facts = Facts::new(&known, &file, day(6.0));
    assert_eq!(by_hand::unwaive(&facts, "answered", by("lee")), Err(Refused::NotWaived));
}

#[test]
fn a_breach_that_is_mended_while_it_is_waived_closes() {
    let file = lifecycle(ANSWERED);
    let mut known = breached(&file);
    let facts = Facts::new(&known, &file, day(3.5));
    let waive = by_hand::waive(&facts, "answered", by("kim"), Some(day(9.0))).unwrap();
    apply(&mut known, &file, waive, 3.5);
    let list = [(0.5, "ask", json!({})), (5.0, "call", json!({}))];
    known.profile = customer(&file, &list, 6.0).profile;
    assert_eq!(run_all(&mut known, &file, 6.0), ["waived>closed"]);
    assert!(run_all(&mut known, &file, 20.0).is_empty());
    let list = [list.to_vec(), vec![(21.0, "ask", json!({}))]].concat();
    known.profile = customer(&file, &list, 25.0).profile;
    assert_eq!(run_all(&mut known, &file, 25.0), [">open"], "the waiver is over");
}

#[test]
fn a_breach_that_begins_while_its_standard_is_waived_is_told_when_that_ends() {
    let file = lifecycle(ANSWERED);
    let ask = [(0.5, "ask", json!({}))];
    let mut known = in_stage(customer(&file, &ask, 1.0), "start", 0.0);
    let facts = Facts::new(&known, &file, day(1.0));
    let waive = by_hand::waive(&facts, "answered", by("kim"), Some(day(4.0))).unwrap();
    assert_eq!(apply(&mut known, &file, waive, 1.0), ["waiver >waived"]);
    assert!(run_all(&mut known, &file, 3.0).is_empty());
    assert_eq!(run_all(&mut known, &file, 4.0), [">open"]);
}

#[test]
fn who_waives_names_a_standard_and_a_future() {
    let file = lifecycle(ANSWERED);
    let known = breached(&file);
    let facts = Facts::new(&known, &file, day(3.5));
    let refused = by_hand::waive(&facts, "answred", by("kim"), None).unwrap_err();
    assert_eq!(refused.to_string(), "there is no standard `answred`: did you mean `answered`?");
    let past = by_hand::waive(&facts, "answered", by("kim"), Some(day(3.5)));
    assert_eq!(past, Err(Refused::Past));
}

// ---- the law ----

fn happenings() -> impl Strategy<Value = Vec<(f64, Event)>> {
    let name = prop::sample::select(vec!["ask", "ask", "call", "login"]);
    let delay = prop_oneof![4 => Just(0.0), 2 => 0.0..2.0f64, 1 => 0.0..30.0f64];
    let one = (0u32..40 * 24 * 12, name, delay).prop_map(|(at, name, delay)| {
        let at = f64::from(at) / 288.0;
        (at + delay, event(at, name, json!({})))
    });
    prop::collection::vec(one, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_order_and_any_duplicates_lead_to_the_same_findings(
        mut arrivals in happenings(),
        sizes in prop::collection::vec(1usize..7, 1..20),
        again in 0usize..7,
    ) {
        let file = lifecycle(ANSWERED);
        arrivals.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut log: Vec<Event> = Vec::new();
        let mut folded = Profile::default();
        let mut rest = arrivals.as_slice();
        for size in sizes.into_iter().chain(std::iter::repeat(5)) {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            let Some((now, _)) = batch.last() else { break };
            let mut new: Vec<Event> = batch.iter().map(|(_, event)| event.clone()).collect();
            log.extend(new.clone());
            new.extend(log.iter().take(again).cloned());
            commit(&mut folded, &file, &log, &new, day(*now));
            rest = later;
        }
        let end = arrivals.last().unwrap().0 + 0.1;
        commit(&mut folded, &file, &log, &[], day(end));
        let whole = crate::tests_support::profile(&file, &log, day(end));
        prop_assert_eq!(&folded, &whole);
        let of = |profile: Profile| in_stage(Customer { profile, ..Customer::default() }, "start", 0.0);
        let (a, b) = (of(folded), of(whole));
        for ahead in 0..8 {
            let now = day(end + f64::from(ahead));
            prop_assert_eq!(judge_all(&a, &file, now), judge_all(&b, &file, now));
        }
        // What waits is the first question after the last answer of the whole log.
        let answer = log.iter().filter(|event| event.name == "call").map(|e| e.at.as_second()).max();
        let asks = log.iter().filter(|event| event.name == "ask").map(|e| e.at.as_second());
        let waiting = asks.filter(|at| answer.is_none_or(|answer| *at > answer)).min();
        let facts = Facts::new(&a, &file, day(end));
        let state = crate::standard::state(&facts, file.standard("answered").unwrap());
        let running = match state {
            crate::standard::State::Running(running) => Some(running.key),
            _ => None,
        };
        prop_assert_eq!(running, waiting.map(|at| at.to_string()));
    }
}
