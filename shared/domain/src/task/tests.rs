//! The rules of tasks.

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::by_hand::Refused;
use crate::customer::Customer;
use crate::decide::{decide as decide_all, next_due};
use crate::journal::{ChangeKind, JournalEntry};
use crate::tests_support::{customer, day, lifecycle, run, stage_of};

const FILE: &str = "version: 1
traits: { name: text?, csm: email?, mrr: number?, notice: date? }
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
  calls: { count: call, over: 90d }
stages:
  active: { enter: { when: metrics.idle_days < 7, priority: 10 } }
  quiet: { enter: { when: metrics.idle_days >= 7, priority: 20 }, on_enter: [PLAYBOOKS] }
standards:
  late: { task_overdue: any, severity: high, owner: lead }
  called: { silence: { events: [call], limit: 20d }, severity: low, owner: csm }
";

fn file(on_enter: &str, playbooks: &str) -> Lifecycle {
    lifecycle(&format!("{}{playbooks}", FILE.replace("PLAYBOOKS", on_enter)))
}

const RESCUE: &str = "playbooks:
  rescue:
    do:
      - name: call
        task: { title: 'Call {{name}}: idle {{metrics.idle_days}} days', owner: csm, due: 2 workdays, priority: high, checklist: [look, call], effort: 30, escalate: [ { after: 1 workday, to: lead }, { after: 3 workdays, to: vp } ] }
      - name: offer
        if: traits.mrr > 100
        task: { title: Offer, owner: sales }
";

fn login(at: f64) -> (f64, &'static str, Json) {
    (at, "login", json!({}))
}

/// A customer who logged in on day 0 and then no more, seen on a day, with the runs of the days
/// before.
fn silent(
    file: &Lifecycle,
    more: &[(f64, &str, Json)],
    until: f64,
) -> (Customer, Vec<JournalEntry>) {
    let mut events = vec![(0.0, "group", json!({ "name": "Acme" })), login(0.1)];
    events.extend(more.iter().cloned());
    let mut known = Customer::default();
    let mut entries = Vec::new();
    for step in 0..=(until as i32) {
        let now = f64::from(step) + 0.9;
        let seen: Vec<_> = events.iter().filter(|event| event.0 <= now).cloned().collect();
        let status = known.status.clone();
        known = customer(file, &seen, now);
        known.status = status;
        entries.extend(run(&mut known, file, day(now)));
    }
    (known, entries)
}

fn told(entries: &[JournalEntry]) -> Vec<String> {
    let of_tasks = entries.iter().filter(|entry| of_rule(&entry.rule).is_some());
    let told = of_tasks.map(|entry| {
        format!("{} {} {}", entry.kind.as_str(), entry.rule, entry.to.as_deref().unwrap_or("-"))
    });
    told.collect()
}

fn open(known: &Customer) -> Vec<String> {
    known.status.tasks.open.iter().map(Task::id).collect()
}

fn by(name: &str) -> Author {
    Author { name: name.to_owned(), reason: None }
}

/// What a person does, made true.
fn acts(
    known: &mut Customer,
    file: &Lifecycle,
    at: f64,
    id: &str,
    what: Act,
) -> Result<usize, Refused> {
    let changes = act(&Facts::new(known, file, day(at)), id, &what, &by("kim"))?;
    for change in &changes {
        let _ = known.status.apply(change, day(at), file);
    }
    Ok(changes.len())
}

#[test]
fn entering_a_stage_opens_its_tasks_in_the_same_decision() {
    let file = file("rescue", RESCUE);
    let (known, entries) = silent(&file, &[(1.0, "group", json!({ "mrr": 200 }))], 7.0);
    assert_eq!(stage_of(&known), "quiet");
    assert_eq!(open(&known), ["rescue.call", "rescue.offer"]);
    let call = known.status.tasks.of("rescue", "call").unwrap();
    assert_eq!(call.title, "Call Acme: idle 7 days");
    assert_eq!((call.run.as_str(), call.owner.as_str()), ("visit 2", "csm"));
    // Day 7 is a Monday: two workdays later is Wednesday, at the same time.
    assert_eq!(call.due, Some(day(9.9)));
    let last: Vec<&str> = entries.iter().rev().take(3).map(|entry| entry.rule.as_str()).collect();
    assert_eq!(last, ["playbooks.rescue.offer", "playbooks.rescue.call", "stages.quiet.enter"]);
    assert!(entries.iter().all(|entry| !serde_json::to_string(entry).unwrap().contains("Acme")));
}

#[test]
fn a_step_waits_until_its_condition_holds() {
    let file = file("rescue", RESCUE);
    let (known, _) = silent(&file, &[], 8.0);
    assert_eq!(open(&known), ["rescue.call"]);
    let (known, _) = silent(&file, &[(8.5, "group", json!({ "mrr": 200 }))], 8.0);
    assert_eq!(open(&known), ["rescue.call", "rescue.offer"]);
}

#[test]
fn tasks_close_when_their_cause_is_over() {
    let file = file("rescue", RESCUE);
    let (known, entries) = silent(&file, &[login(8.0)], 8.0);
    assert!(open(&known).is_empty());
    assert_eq!(
        told(&entries),
        ["task playbooks.rescue.call open", "task playbooks.rescue.call closed"]
    );
}

#[test]
fn what_was_done_is_not_asked_for_again_in_the_same_visit() {
    let file = file("rescue", RESCUE);
    let (mut known, _) = silent(&file, &[], 7.0);
    assert_eq!(acts(&mut known, &file, 8.0, "rescue.call", Act::Done), Ok(1));
    assert_eq!(acts(&mut known, &file, 8.0, "rescue.call", Act::Done), Ok(0), "done is done");
    assert!(run(&mut known, &file, day(8.5)).is_empty());
    assert_eq!(known.status.tasks.over.len(), 1);
}

#[test]
fn the_next_visit_asks_anew() {
    let file = file("rescue", RESCUE);
    let (known, entries) = silent(&file, &[login(8.0)], 16.0);
    assert_eq!(open(&known), ["rescue.call"]);
    assert_eq!(known.status.tasks.open[0].run, "visit 4");
    assert!(known.status.tasks.over.is_empty(), "the keys of the visit before are gone");
    assert_eq!(told(&entries).iter().filter(|it| it.ends_with("open")).count(), 2);
}

#[test]
fn an_open_task_is_overdue_once_then_escalated() {
    let file = file("rescue", RESCUE);
    let (known, entries) = silent(&file, &[], 15.0);
    // Due on Wednesday (day 9), lead from Thursday, vp from Monday.
    assert_eq!(
        told(&entries),
        [
            "task playbooks.rescue.call open",
            "task playbooks.rescue.call overdue",
            "task playbooks.rescue.call escalated",
            "task playbooks.rescue.call escalated"
        ]
    );
    assert_eq!(known.status.tasks.open[0].owner, "vp");
    let findings: Vec<&str> =
        known.status.findings.iter().map(|finding| finding.standard.as_str()).collect();
    assert_eq!(findings, ["late"]);
}

#[test]
fn a_task_that_is_done_ends_the_finding_that_it_was_late() {
    let file = file("rescue", RESCUE);
    let (mut known, _) = silent(&file, &[], 11.0);
    assert_eq!(known.status.findings.len(), 1);
    acts(&mut known, &file, 12.0, "rescue.call", Act::Done).unwrap();
    run(&mut known, &file, day(12.0));
    assert!(known.status.findings.is_empty());
}

#[test]
fn a_snoozed_task_is_late_only_after_the_snooze() {
    let file = file("rescue", RESCUE);
    let (mut known, _) = silent(&file, &[], 7.0);
    let until = day(14.0);
    assert_eq!(acts(&mut known, &file, 8.0, "rescue.call", Act::Snooze(until)), Ok(1));
    assert_eq!(acts(&mut known, &file, 8.1, "rescue.call", Act::Snooze(until)), Ok(0));
    let task = known.status.tasks.open[0].clone();
    assert_eq!(task.state(day(13.0)), State::Snoozed);
    assert!(run(&mut known, &file, day(13.0)).is_empty());
    assert_eq!(task.state(day(14.1)), State::Overdue);
    let entries = run(&mut known, &file, day(14.1));
    assert_eq!(told(&entries), ["task playbooks.rescue.call overdue"]);
    let past = acts(&mut known, &file, 15.0, "rescue.call", Act::Snooze(day(14.5)));
    assert_eq!(past, Err(Refused::SnoozePast));
}

#[test]
fn a_reassigned_task_keeps_its_owner_and_a_reopened_one_stays() {
    let file = file("rescue", RESCUE);
    let (mut known, _) = silent(&file, &[], 7.0);
    let to = || Act::Reassign("kim@example.com".to_owned());
    assert_eq!(acts(&mut known, &file, 8.0, "rescue.call", to()), Ok(1));
    assert_eq!(acts(&mut known, &file, 8.0, "rescue.call", to()), Ok(0));
    assert_eq!(known.status.tasks.open[0].owner, "kim@example.com");
    acts(&mut known, &file, 8.0, "rescue.call", Act::Done).unwrap();
    assert_eq!(acts(&mut known, &file, 8.1, "rescue.call", Act::Reopen), Ok(1));
    assert_eq!(acts(&mut known, &file, 8.1, "rescue.call", Act::Reopen), Ok(0));
    let status = known.status.clone();
    let mut back = customer(&file, &[login(0.1), login(8.2)], 8.3);
    back.status = status;
    run(&mut back, &file, day(8.3));
    assert_eq!((stage_of(&back), open(&back)), ("active", vec!["rescue.call".to_owned()]));
    assert_eq!(acts(&mut back, &file, 8.4, "rescue.call", Act::Done), Ok(1));
}

#[test]
fn items_of_a_checklist_are_ticked_by_text_or_number() {
    let file = file("rescue", RESCUE);
    let (mut known, _) = silent(&file, &[], 7.0);
    let check = |item: &str| Act::Check(item.to_owned());
    assert_eq!(acts(&mut known, &file, 8.0, "rescue.call", check("call")), Ok(1));
    assert_eq!(acts(&mut known, &file, 8.0, "rescue.call", check("2")), Ok(0));
    let rule = file.playbooks[0].steps[0].task();
    let list = known.status.tasks.open[0].checklist(rule);
    assert_eq!(list, [("look", false), ("call", true)]);
    let wrong = acts(&mut known, &file, 8.0, "rescue.call", check("3")).unwrap_err();
    assert_eq!(wrong.code(), "unknown_item");
    let wrong = acts(&mut known, &file, 8.0, "rescue.cal", Act::Done).unwrap_err();
    assert_eq!(wrong.to_string(), "there is no task `rescue.cal`: did you mean `rescue.call`?");
}

#[test]
fn a_task_is_written_anew_only_where_the_file_changed() {
    let before = file("rescue", RESCUE);
    let (mut known, _) = silent(&before, &[], 7.0);
    assert!(run(&mut known, &before, day(8.9)).is_empty(), "idle days go on; the title does not");
    let after = file(
        "rescue",
        &RESCUE
            .replace("due: 2 workdays", "due: 5 workdays")
            .replace("Call {{name}}", "Ring {{name}}"),
    );
    let entries = run(&mut known, &after, day(9.0));
    assert_eq!(told(&entries), ["task playbooks.rescue.call updated"]);
    let task = &known.status.tasks.open[0];
    assert_eq!((task.title.as_str(), task.due), ("Ring Acme: idle 8 days", Some(day(14.9))));
    assert!(run(&mut known, &after, day(9.1)).is_empty());
    let gone = file("", "");
    let entries = run(&mut known, &gone, day(9.2));
    assert_eq!(told(&entries), ["task playbooks.rescue.call closed"]);
}

#[test]
fn overlays_change_due_owner_and_priority() {
    let overlay = "overlays: [ { for: traits.mrr > 1000, playbooks: { rescue: { tasks: { call: { due: 1 workday, owner: vip, priority: urgent } } } } } ]\n";
    let file = file("rescue", &format!("{RESCUE}{overlay}"));
    let (known, _) = silent(&file, &[(1.0, "group", json!({ "mrr": 5000 }))], 7.0);
    let task = known.status.tasks.of("rescue", "call").unwrap();
    let found = (task.owner.as_str(), task.priority, task.due);
    assert_eq!(found, ("vip", Priority::Urgent, Some(day(8.9))));
}

#[test]
fn bands_findings_checkpoints_and_conditions_start_playbooks() {
    let playbooks = "playbooks:
  on_finding: { on: { finding: called }, do: [ { task: { title: Ring, owner: csm } } ] }
  on_condition: { if: metrics.idle_days > 3, do: [ { task: { title: Look, owner: csm } } ] }
";
    let file = file("", playbooks);
    let (known, _) = silent(&file, &[], 3.0);
    assert!(open(&known).is_empty());
    let (known, _) = silent(&file, &[], 4.0);
    assert_eq!(open(&known), ["on_condition.step_1"]);
    let (known, _) = silent(&file, &[], 21.0);
    assert_eq!(open(&known), ["on_condition.step_1", "on_finding.step_1"]);
    let (known, _) = silent(&file, &[(21.5, "call", json!({})), login(21.6)], 22.0);
    assert!(open(&known).is_empty());
}

#[test]
fn bands_of_risk_start_playbooks() {
    let file = lifecycle(
        "version: 1
metrics: { idle_days: { days_since: login } }
stages: { only: { enter: { when: metrics.idle_days >= 0 }, checkpoints: { idle: { when: metrics.idle_days > 1 } } } }
risk: { model: scorecard, factors: { idle: { weight: 100, value: metrics.idle_days, worst: 10, best: 0 } }, bands: { low: 0, critical: 0.75 } }
playbooks:
  save: { on: { risk_band: [critical] }, do: [ { task: { title: 'Save {{risk.band}}', owner: csm } } ] }
  point: { on: { checkpoint: idle }, do: [ { task: { title: Praise, owner: csm } } ] }
",
    );
    let mut known = customer(&file, &[login(0.0)], 9.0);
    run(&mut known, &file, day(9.0));
    let (note, changes) = crate::decide::decide_risk(&known, &file, day(9.0)).unwrap();
    known.status.note_risk(note);
    for change in &changes {
        let _ = known.status.apply(change, day(9.0), &file);
    }
    assert_eq!(open(&known), ["point.step_1", "save.step_1"]);
    assert_eq!(known.status.tasks.of("save", "step_1").unwrap().title, "Save critical");
}

#[test]
fn a_period_runs_a_step_once_whatever_happens_in_it() {
    let playbooks = "playbooks:
  month: { once_per: month, if: metrics.idle_days >= 0, do: [ { task: { title: Greet, owner: csm } } ] }
  days: { once_per: 10d, if: metrics.idle_days >= 0, do: [ { task: { title: Look, owner: csm } } ] }
";
    let file = file("", playbooks);
    let (mut known, _) = silent(&file, &[], 0.0);
    assert_eq!(open(&known), ["month.step_1", "days.step_1"]);
    for id in ["month.step_1", "days.step_1"] {
        acts(&mut known, &file, 1.0, id, Act::Done).unwrap();
    }
    // Day 0 is 2 March, and day 29 is the last of the month.
    for (at, expected) in [(5.0, vec![]), (10.9, vec![]), (11.0, vec!["days.step_1"])] {
        run(&mut known, &file, day(at));
        assert_eq!(open(&known), expected, "{at}");
    }
    run(&mut known, &file, day(30.1));
    assert_eq!(open(&known), ["days.step_1", "month.step_1"]);
}

#[test]
fn a_success_plan_is_a_group_of_tasks_that_close_by_themselves() {
    let playbooks = "playbooks:
  success:
    do:
      - name: plan
        plan:
          title: First value
          owner: csm
          objectives:
            - { title: 'First call', due: 5 workdays, when: metrics.calls >= 1 }
            - { title: 'Back at work', due: 20d, when: metrics.logins_7d >= 1, owner: lead }
";
    let file = file("success", playbooks);
    let (known, _) = silent(&file, &[], 7.0);
    assert_eq!(open(&known), ["success.plan_1", "success.plan_2"]);
    let rule = file.playbooks[0].steps[0].task().unwrap();
    assert_eq!(rule.plan.as_deref(), Some("First value"));
    let (known, entries) = silent(&file, &[(8.0, "call", json!({}))], 9.0);
    assert_eq!(open(&known), ["success.plan_2"]);
    assert_eq!(told(&entries).last().unwrap(), "task playbooks.success.plan_1 done");
}

#[test]
fn notices_and_messages_are_told_once() {
    let playbooks = "alerts: { routes: [ { to: team } ], receivers: { team: { sns: team }, mail: { sns: mail } } }
messages: { to: mail }
playbooks:
  tell:
    do:
      - notify: { severity: critical, text: '{{name}} is quiet' }
      - message: { purpose: check_in, window: 30d, template: miss_you }
";
    let file = file("tell", playbooks);
    // Two visits to the stage within the window.
    let (known, entries) = silent(&file, &[login(8.0)], 16.0);
    assert_eq!(
        told(&entries),
        [
            "playbook playbooks.tell.step_1 told",
            "message playbooks.tell.step_2 check_in",
            "playbook playbooks.tell.step_1 told"
        ]
    );
    let told = entries.iter().find(|entry| entry.kind == ChangeKind::Playbook).unwrap();
    let alert = crate::alert::alert("acme", told, &known, &file).unwrap();
    assert_eq!(alert.subject, "Acme: Acme is quiet");
    assert_eq!(alert.attributes["severity"], "critical");
    let asked = entries.iter().find(|entry| entry.kind == ChangeKind::Message).unwrap();
    let message = crate::message::message("acme", asked, &known, &file).unwrap();
    let body: Json = serde_json::from_str(&message.text).unwrap();
    assert_eq!(message.topic, "mail");
    assert_eq!(
        (&body["purpose"], &body["template"], &body["customer"], &body["traits"]["name"]),
        (&json!("check_in"), &json!("miss_you"), &json!("acme"), &json!("Acme"))
    );
}

#[test]
fn overdue_tasks_are_told_to_who_asks_for_them() {
    let routes = "alerts: { routes: [ { match: { kind: task, state: overdue, severity: high, owner: csm, playbook: rescue }, to: team } ], receivers: { team: { sns: team } } }\n";
    let file = file("rescue", &format!("{RESCUE}{routes}"));
    let (known, entries) = silent(&file, &[], 10.0);
    let alerts: Vec<String> = entries
        .iter()
        .filter(|entry| crate::alert::may_concern_anyone(entry, &file))
        .filter_map(|entry| crate::alert::alert("acme", entry, &known, &file))
        .map(|alert| alert.subject)
        .collect();
    assert_eq!(alerts, ["Acme: task overdue: Call Acme: idle 7 days"]);
}

#[test]
fn no_more_than_so_many_tasks_are_open() {
    let steps: Vec<String> = (0..30)
        .map(|step| format!("      - task: {{ title: 'Step {step}', owner: csm }}\n"))
        .collect();
    let steps = steps.concat();
    let file =
        file("one, two", &format!("playbooks:\n  one:\n    do:\n{steps}  two:\n    do:\n{steps}"));
    let (known, entries) = silent(&file, &[], 12.0);
    assert_eq!(known.status.tasks.open.len(), MAX_OPEN);
    let refused = entries.iter().filter(|entry| entry.to.as_deref() == Some("refused"));
    assert_eq!(refused.count(), 10);
    let mut known = known;
    assert!(run(&mut known, &file, day(13.0)).is_empty(), "what was refused is refused once");
}

#[test]
fn due_times_snoozes_and_escalations_are_instants_of_their_own() {
    let file = file("rescue", RESCUE);
    let (mut known, _) = silent(&file, &[], 7.0);
    let second = SignedDuration::from_secs(1);
    let next = |known: &Customer, at: f64| next_due(known, &file, day(at), day(at + 30.0));
    assert_eq!(next(&known, 8.0), Some(day(9.9) + second), "overdue");
    run(&mut known, &file, day(9.9) + second);
    assert_eq!(next(&known, 9.95), Some(day(10.9) + second), "escalated");
    acts(&mut known, &file, 10.0, "rescue.call", Act::Snooze(day(11.5))).unwrap();
    run(&mut known, &file, day(10.0));
    assert_eq!(next_snooze_end(&known.status, day(10.0)), Some(day(11.5)));
    assert_eq!(next(&known, 10.0), Some(day(11.5) + second), "overdue again");
}

#[test]
fn tasks_survive_being_stored() {
    let file = file("rescue", RESCUE);
    let (known, _) = silent(&file, &[], 10.0);
    let bytes = postcard::to_allocvec(&known.status).unwrap();
    let read: Status = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(read, known.status);
    let mut before = Status::default();
    before.journal.seq = 3;
    let mut old = postcard::to_allocvec(&before).unwrap();
    old.truncate(old.len() - 3);
    old.extend([0; 32]);
    let read: Status = postcard::from_bytes(&old).unwrap();
    assert_eq!(read, before, "bytes from before there were tasks");
}

const MANY: &str = "playbooks:
  rescue:
    do:
      - { task: { title: 'Call {{name}}', owner: csm, due: 2 workdays } }
      - { if: metrics.calls >= 1, task: { title: Thank, owner: csm, due: 1d } }
  month: { once_per: month, if: metrics.idle_days > 2, do: [ { task: { title: Greet, owner: csm } } ] }
  mend: { on: { finding: [called, late] }, do: [ { task: { title: Mend, owner: csm, due: 3d } } ] }
";

fn happening() -> impl Strategy<Value = (f64, &'static str, Json)> {
    let name = prop_oneof![Just("login"), Just("call")];
    (0..400_u32, name).prop_map(|(at, name)| (f64::from(at) / 10.0, name, json!({})))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn deciding_again_repeats_nothing(events in prop::collection::vec(happening(), 0..12)) {
        let file = file("rescue", MANY);
        let (mut known, _) = silent(&file, &events, 40.0);
        // A finding of this run may be the cause of a task, and a task of a finding: no further.
        for _ in 0..3 {
            run(&mut known, &file, day(40.9));
        }
        prop_assert!(!decide_all(&known, &file, day(40.9)).is_change());
    }

    #[test]
    fn the_order_in_which_events_are_told_does_not_matter(
        events in prop::collection::vec(happening(), 0..12)
    ) {
        let file = file("rescue", MANY);
        let (known, _) = silent(&file, &events, 40.0);
        let mut turned = events.clone();
        turned.reverse();
        let (other, _) = silent(&file, &turned, 40.0);
        prop_assert_eq!(known.status.tasks, other.status.tasks);
    }

    #[test]
    fn no_task_is_open_without_its_cause_or_a_person(
        events in prop::collection::vec(happening(), 0..12),
        acts_at in 0..40_u32,
        what in 0..3_u8,
    ) {
        let file = file("rescue", MANY);
        let (mut known, _) = silent(&file, &events, f64::from(acts_at));
        let at = f64::from(acts_at) + 0.95;
        for id in open(&known) {
            let _ = acts(&mut known, &file, at, &id, Act::Done);
            if what > 0 {
                let _ = acts(&mut known, &file, at, &id, Act::Reopen);
            }
        }
        let status = known.status.clone();
        let mut events = events;
        events.push(login(at));
        let seen: Vec<_> = events.into_iter().filter(|event| event.0 <= at + 0.02).collect();
        known = customer(&file, &seen, at + 0.02);
        known.status = status;
        for _ in 0..3 {
            run(&mut known, &file, day(at + 0.02));
        }
        let status = &known.status;
        for task in &status.tasks.open {
            let stage = status.stage.as_ref().unwrap();
            let is_caused = match task.playbook.as_str() {
                "rescue" => stage.name == "quiet",
                "mend" => !status.findings.is_empty(),
                _ => false,
            };
            prop_assert!(is_caused || task.is_by_hand, "{:?}", task);
            let ids = open(&known);
            prop_assert_eq!(ids.iter().filter(|id| **id == task.id()).count(), 1);
        }
    }
}
