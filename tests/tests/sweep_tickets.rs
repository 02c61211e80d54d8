//! A run over many customers: split into tickets, handed on before the deadline, and still one run.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::time::Instant;

use domain::event::Event;
use jiff::{SignedDuration, Timestamp};
use platform::CustomerKey;
use platform::store::{CustomerFilter, RunSlot};
use platform::sweep::{
    App, RunOutcome, ScheduleEvent, Summary, SweepAnswer, SweepEvent, SweepKind, Ticket,
    TicketBatch, TicketMessage, TicketQueue,
};
use serde_json::{Value as Json, json};
use tests::queue::LocalQueue;
use tests::stack::Stack;

const SOURCE: &str = "
version: 1
metrics:
  logins_7d: { count: login, over: 7d }
stages:
  quiet: { enter: { when: metrics.logins_7d < 3, priority: 1 } }
  busy: { enter: { when: metrics.logins_7d >= 3, priority: 2 } }
";

fn at() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

/// A stack with so many accounts, each with one login whose padding makes its item larger or not.
async fn with_accounts(count: usize, traits: Json) -> Stack {
    let source = format!("{SOURCE}traits:\n  note: text?\n  more: text?\n");
    let stack = Stack::start(&source, at()).await.unwrap();
    let lifecycle = stack.store.lifecycle().await.unwrap();
    let mut groups = Vec::new();
    for number in 0..count {
        let mut body = json!({ "type": "group", "groupId": format!("{number}"), "traits": traits });
        let body = std::mem::take(body.as_object_mut().unwrap());
        let told = Event::from_body(format!("group-{number}"), at(), at(), body).unwrap();
        groups.push((CustomerKey::subject(&format!("account-{number:05}")), vec![told]));
    }
    for groups in groups.chunks(1_000) {
        stack.store.commit_bulk(groups, &lifecycle, at()).await.unwrap();
    }
    stack
}

fn app(stack: &Stack, queue: &LocalQueue, customers_per_segment: u64) -> App {
    App {
        store: stack.store.clone(),
        clock: stack.clock.handle(),
        queue: Some(TicketQueue { client: queue.client(), url: queue.url() }),
        customers_per_segment,
        vault: None,
    }
}

fn nightly(at: Timestamp) -> SweepEvent {
    let schedule = "evaluate-nightly".to_owned();
    SweepEvent::Schedule(ScheduleEvent { schedule, scheduled_time: at, sweep: SweepKind::All })
}

async fn schedule(app: &App, at: Timestamp) -> Summary {
    match evaluate::handle(app, nightly(at), None).await.unwrap() {
        SweepAnswer::Summary(summary) => summary,
        SweepAnswer::Tickets { .. } => panic!("a schedule is answered by a summary"),
    }
}

/// Delivers one message that is not to be delivered again: how many customers were visited for it.
async fn deliver(app: &App, body: String, deadline: Option<Instant>) -> u64 {
    let records = vec![TicketMessage { message_id: "message".to_owned(), body }];
    let event = SweepEvent::Tickets(TicketBatch { records });
    let answer = evaluate::handle(app, event, deadline).await.unwrap();
    assert_eq!(serde_json::to_value(&answer).unwrap(), json!({ "batchItemFailures": [] }));
    answer.counts().visited
}

/// How many customers are in a stage, and how many journal entries the busiest of them has.
async fn decided(stack: &Stack) -> (usize, usize) {
    let (mut staged, mut most, mut cursor) = (0, 0, None::<String>);
    loop {
        let filter = CustomerFilter::default();
        let page = stack.store.customers(&filter, 1_000, cursor.as_deref()).await.unwrap();
        for found in &page.items {
            staged += usize::from(found.customer.status.stage.is_some());
            most = most.max(usize::try_from(found.customer.status.journal.seq).unwrap());
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return (staged, most);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_run_is_split_into_tickets_that_visit_everyone_once() {
    let stack = with_accounts(100, json!({})).await;
    let queue = LocalQueue::start().await.unwrap();
    let app = app(&stack, &queue, 20);

    let split = schedule(&app, at()).await;
    assert_eq!((split.outcome, split.visited), (RunOutcome::Split, 0));
    assert_eq!(queue.sent(), 5);
    assert_eq!(decided(&stack).await, (0, 0), "nothing is decided before its ticket");

    let mut tickets = Vec::new();
    while let Some(body) = queue.take() {
        tickets.push(body);
    }
    tickets.reverse();
    let mut visited = 0;
    for body in &tickets {
        visited += deliver(&app, body.clone(), None).await;
    }
    assert_eq!((visited, decided(&stack).await), (100, (100, 1)));
    // The schedule fires twice, and SQS delivers twice.
    schedule(&app, at()).await;
    while let Some(body) = queue.take() {
        tickets.push(body);
    }
    assert_eq!(tickets.len(), 10);
    for body in tickets {
        assert_eq!(deliver(&app, body, None).await, 0, "it is done");
    }
    assert_eq!(decided(&stack).await, (100, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_run_needs_no_tickets() {
    let stack = with_accounts(30, json!({})).await;
    let queue = LocalQueue::start().await.unwrap();
    let summary = schedule(&app(&stack, &queue, 20), at()).await;
    assert_eq!((summary.outcome, summary.visited), (RunOutcome::Done, 30));
    assert_eq!((queue.sent(), decided(&stack).await), (0, (30, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_could_not_be_sent_fails_the_schedule_and_its_retry_completes_the_run() {
    let stack = with_accounts(60, json!({})).await;
    let queue = LocalQueue::start().await.unwrap();
    let app = app(&stack, &queue, 20);
    queue.refuse_next(1);
    assert!(evaluate::handle(&app, nightly(at()), None).await.is_err());
    assert_eq!(schedule(&app, at()).await.outcome, RunOutcome::Split);
    while let Some(body) = queue.take() {
        deliver(&app, body, None).await;
    }
    assert_eq!(decided(&stack).await, (60, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_handed_on_before_its_deadline_and_goes_on_from_its_cursor() {
    // Two facts of 250 characters that do not compress: more than one page of the table, which
    // ends at a megabyte.
    let stack = with_accounts(3_000, json!({ "note": noise(1), "more": noise(2) })).await;
    let queue = LocalQueue::start().await.unwrap();
    let app = app(&stack, &queue, 1_000_000);
    // Whoever has less than 20 seconds left is late after the first page.
    let late = || Some(Instant::now());

    let answer = evaluate::handle(&app, nightly(at()), late()).await.unwrap();
    let SweepAnswer::Summary(first) = answer else { panic!("a summary") };
    assert_eq!(first.outcome, RunOutcome::HandedOn);
    assert!(first.visited > 0 && first.visited < 3_000, "{}", first.visited);
    assert_eq!((first.changed, queue.sent()), (first.visited, 1));

    let (mut rounds, mut visited) = (0, first.work.visited);
    while let Some(body) = queue.take() {
        let ticket: Ticket = serde_json::from_str(&body).unwrap();
        assert_eq!(ticket.slot.at, at(), "the instant of the run, not of the hand-over");
        visited += deliver(&app, body, late()).await;
        rounds += 1;
    }
    assert!(rounds >= 1);
    assert_eq!(visited, 3_000, "each invocation counts what it did");
    assert_eq!(decided(&stack).await, (3_000, 1));
    let again = schedule(&app, at()).await;
    assert_eq!((again.outcome, again.visited), (RunOutcome::AlreadyDone, 3_000));
    assert_eq!(again.work.visited, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_off_waits_for_its_lease_and_then_goes_on() {
    let stack = with_accounts(10, json!({})).await;
    let queue = LocalQueue::start().await.unwrap();
    let app = app(&stack, &queue, 20);
    let slot = RunSlot {
        function: "evaluate".to_owned(),
        schedule: "evaluate-nightly".to_owned(),
        at: at(),
        segment: 0,
        segments: 1,
    };
    // Somebody took the run and died.
    stack.store.start_run(&slot, stack.clock.now()).await.unwrap();
    assert_eq!(schedule(&app, at()).await.outcome, RunOutcome::Busy);
    assert_eq!(decided(&stack).await, (0, 0));
    stack.clock.set(Some(at() + SignedDuration::from_mins(17)));
    assert_eq!(schedule(&app, at()).await.outcome, RunOutcome::Done);
    assert_eq!(decided(&stack).await, (10, 1));
}

/// Text that does not compress.
fn noise(seed: u64) -> String {
    let mut state = seed;
    let mut letter = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..250).map(|_| letter()).collect()
}
