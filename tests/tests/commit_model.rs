//! A model of how events are committed, explored to the last state.
//!
//! One customer, an event log in two hours, and senders that each want a set of events counted. A
//! sender's request runs these steps, any other request's steps between any two of them:
//!
//! 1. read the customer item: its version `v` and cells; in the first round eventually consistent, so
//!    it may be any older version, and strongly consistent after that;
//! 2. read, strongly consistent, the hours of the log that the request's events fall in; but where the
//!    first round found no customer, take the log for empty and read nothing;
//! 3. put each event that was not there, on the condition that it is not there, in any order; when
//!    one was there by then, go to 1 after the others are put;
//! 4. recompute the cells of those hours from what step 2 read and step 3 put; the cells of the
//!    other hours stay as step 1 read them;
//! 5. write the customer on the condition that its version is `v`; if it is not, go to 1; if the
//!    cells are what step 1 read already, write nothing;
//! 6. answer.
//!
//! At each step the request may die: before a step, or between step 5 and the sender's hearing the
//! answer. A sender that hears nothing sends the same events again, under the same ids. Two senders
//! may hold the same event, which is also what a sender is that gives up on a request that is still
//! running. Deaths and stale reads are bounded, so that every path ends.
//!
//! What must hold is in [`Commit::properties`]. Each of the other tests takes one clause of the
//! design away and demands that the checker finds an event lost: the order of steps 1 and 2, the
//! strong read of the log, the condition of step 5 (on any customer, and on one that is made), the
//! answer after step 5. A model that cannot fail proves nothing.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

/// A set of events: event `e` is bit `e`.
type Events = u8;
type Version = u8;

const EVENTS: usize = 3;
/// Events 0 and 1 fall in the first hour, event 2 in the second.
const HOURS: [Events; 2] = [0b011, 0b100];

const EACH_ANSWERED_IS_COUNTED_ONCE: &str = "an acknowledged event is counted exactly once";
const EACH_COUNTED_IS_LOGGED: &str = "a counted event is in the log, and counted once";
const ALL_ARE_ANSWERED: &str = "at rest every sender is acknowledged and cells agree with the log";

/// What the model may leave out of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    Whole,
    LogReadBeforeCustomer,
    LogReadEventuallyConsistent,
    WriteWithoutCondition,
    MakeWithoutCondition,
    AnswerBeforeWrite,
}

struct Commit {
    design: Design,
    /// The events of each sender.
    senders: Vec<Events>,
    deaths: u8,
    stale_reads: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The events of the log in the order they were put, so that an older log is a prefix.
    log: Vec<usize>,
    /// Every version of the customer item; the last is the current one.
    customers: Vec<Cells>,
    requests: Vec<Request>,
    deaths: u8,
    stale_reads: u8,
}

/// How often each event is counted in the cells of the customer.
type Cells = [u8; EVENTS];

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Request {
    step: Step,
    /// Step 1: the version read and its cells.
    customer: Option<(Version, Cells)>,
    /// Step 2: the events read.
    log: Option<Events>,
    /// Step 3: the events put, or found by a failed condition.
    put: Events,
    /// Whether a condition of step 3 failed.
    is_overtaken: bool,
    /// Whether this is not the first round.
    is_again: bool,
    is_acknowledged: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Step {
    #[default]
    Read,
    Put,
    Write,
    Answer,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    ReadCustomer { sender: usize, version: Version },
    ReadLog { sender: usize, length: usize },
    Put { sender: usize, event: usize },
    Write { sender: usize },
    Answer { sender: usize },
    Die { sender: usize },
}

impl Commit {
    fn new(design: Design, senders: &[Events]) -> Commit {
        Commit { design, senders: senders.to_vec(), deaths: 2, stale_reads: 2 }
    }

    /// The hours that a sender's events fall in.
    fn hours(&self, sender: usize) -> Events {
        let touched = HOURS.iter().filter(|hour| **hour & self.senders[sender] != 0);
        touched.fold(0, |all, hour| all | hour)
    }

    fn reads(&self, state: &State, sender: usize, actions: &mut Vec<Action>) {
        let request = &state.requests[sender];
        let log_first = self.design == Design::LogReadBeforeCustomer;
        if request.customer.is_none() && (!log_first || request.log.is_some()) {
            let current = state.version();
            let is_eventual = !request.is_again && state.stale_reads > 0;
            let oldest = if is_eventual { 0 } else { current };
            actions
                .extend((oldest..=current).map(|version| Action::ReadCustomer { sender, version }));
        } else {
            let is_eventual = self.design == Design::LogReadEventuallyConsistent;
            let current = state.log.len();
            let oldest = if is_eventual && state.stale_reads > 0 { 0 } else { current };
            actions.extend((oldest..=current).map(|length| Action::ReadLog { sender, length }));
        }
    }

    /// Step 4: the cells as the request would write them.
    fn recomputed(&self, request: &Request, sender: usize) -> Cells {
        let (_, mut cells) = request.customer.expect("step 4 comes after step 1");
        let hours = self.hours(sender);
        let read = request.log.expect("step 4 comes after step 2");
        for (event, count) in cells.iter_mut().enumerate() {
            if has(hours, event) {
                // Counted by occurrence, so that an event both read and put would show as two.
                *count = u8::from(has(read, event)) + u8::from(has(request.put, event));
            }
        }
        cells
    }

    fn write(&self, state: &mut State, sender: usize) {
        let cells = self.recomputed(&state.requests[sender], sender);
        let current = state.version();
        let request = &mut state.requests[sender];
        let (version, read) = request.customer.expect("step 5 comes after step 1");
        let is_answered = self.design == Design::AnswerBeforeWrite;
        let next = if is_answered { Step::Done } else { Step::Answer };
        if cells == read {
            request.step = next;
        } else if version == current || self.has_no_condition(version) {
            request.step = next;
            state.customers.push(cells);
        } else {
            request.begin_again();
        }
    }
}

impl Commit {
    fn has_no_condition(&self, version: Version) -> bool {
        self.design == Design::WriteWithoutCondition
            || self.design == Design::MakeWithoutCondition && version == 0
    }
}

impl Request {
    /// Goes back to step 1.
    fn begin_again(&mut self) {
        let is_acknowledged = self.is_acknowledged;
        *self = Request { is_again: true, is_acknowledged, ..Request::default() };
    }
}

impl State {
    fn version(&self) -> Version {
        Version::try_from(self.customers.len() - 1).expect("a path has few writes")
    }

    fn cells(&self) -> &Cells {
        self.customers.last().expect("there is always a version")
    }

    fn conflicts(&self, sender: usize) -> bool {
        let request = &self.requests[sender];
        request.step == Step::Write
            && request.customer.is_some_and(|(version, _)| version != self.version())
    }
}

fn has(events: Events, event: usize) -> bool {
    events & (1 << event) != 0
}

impl Model for Commit {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            log: vec![],
            customers: vec![Cells::default()],
            requests: vec![Request::default(); self.senders.len()],
            deaths: self.deaths,
            stale_reads: self.stale_reads,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (sender, request) in state.requests.iter().enumerate() {
            match request.step {
                Step::Read => self.reads(state, sender, actions),
                Step::Put => {
                    let read = request.log.expect("step 3 comes after step 2");
                    let missing = self.senders[sender] & !read & !request.put;
                    let missing = (0..EVENTS).filter(|event| has(missing, *event));
                    actions.extend(missing.map(|event| Action::Put { sender, event }));
                }
                Step::Write => actions.push(Action::Write { sender }),
                Step::Answer => actions.push(Action::Answer { sender }),
                Step::Done => continue,
            }
            if state.deaths > 0 {
                actions.push(Action::Die { sender });
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        match action {
            Action::ReadCustomer { sender, version } => {
                state.stale_reads -= u8::from(version != state.version());
                let cells = state.customers[usize::from(version)];
                let request = &mut state.requests[sender];
                request.customer = Some((version, cells));
                if version == 0 && !request.is_again && request.log.is_none() {
                    request.log = Some(0);
                }
            }
            Action::ReadLog { sender, length } => {
                state.stale_reads -= u8::from(length != state.log.len());
                let read = state.log[..length].iter().fold(0, |all, event| all | 1 << event);
                state.requests[sender].log = Some(read & self.hours(sender));
            }
            Action::Put { sender, event } => {
                let request = &mut state.requests[sender];
                request.put |= 1 << event;
                match state.log.contains(&event) {
                    true => request.is_overtaken = true,
                    false => state.log.push(event),
                }
            }
            Action::Write { sender } => self.write(&mut state, sender),
            Action::Answer { sender } => {
                let request = &mut state.requests[sender];
                request.is_acknowledged = true;
                let is_last = self.design != Design::AnswerBeforeWrite;
                request.step = if is_last { Step::Done } else { Step::Write };
            }
            Action::Die { sender } => {
                state.deaths -= 1;
                let request = &mut state.requests[sender];
                // Who has heard the answer does not send again.
                let is_acknowledged = request.is_acknowledged;
                let step = if is_acknowledged { Step::Done } else { Step::Read };
                *request = Request { step, is_acknowledged, ..Request::default() };
            }
        }
        self.settle(&mut state, action.sender());
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Commit>> {
        vec![
            Property::always(EACH_ANSWERED_IS_COUNTED_ONCE, |model: &Commit, state: &State| {
                let answered = state.requests.iter().zip(&model.senders);
                let answered = answered.filter(|(request, _)| request.is_acknowledged);
                let answered = answered.fold(0, |all, (_, events)| all | events);
                (0..EVENTS)
                    .filter(|event| has(answered, *event))
                    .all(|event| state.log.contains(&event) && state.cells()[event] == 1)
            }),
            Property::always(EACH_COUNTED_IS_LOGGED, |_, state: &State| {
                let counts = state.cells().iter().enumerate();
                let mut counts = counts.filter(|(_, count)| **count > 0);
                counts.all(|(event, count)| *count == 1 && state.log.contains(&event))
            }),
            // Every path ends, so that what holds where no step is left comes to hold eventually.
            Property::always(ALL_ARE_ANSWERED, |model: &Commit, state: &State| {
                let mut actions = vec![];
                model.actions(state, &mut actions);
                let is_counted =
                    |event| state.cells()[event] == u8::from(state.log.contains(&event));
                !actions.is_empty()
                    || state.requests.iter().all(|request| request.is_acknowledged)
                        && (0..EVENTS).all(is_counted)
            }),
            // That the model goes where the design is tried.
            Property::sometimes(
                "a customer is made while the log is not empty",
                |_, state: &State| {
                    let mut requests = state.requests.iter();
                    let is_made = state.customers.len() == 1 && !state.log.is_empty();
                    is_made && requests.any(|request| request.log == Some(0) && request.put == 0)
                },
            ),
            Property::sometimes("a write conflicts", |model: &Commit, state: &State| {
                (0..model.senders.len()).any(|sender| state.conflicts(sender))
            }),
            Property::sometimes("a logged event is not counted yet", |_, state: &State| {
                state.log.iter().any(|event| state.cells()[*event] == 0)
            }),
            Property::sometimes(
                "a counted request is sent again",
                |model: &Commit, state: &State| {
                    let requests = state.requests.iter().zip(&model.senders);
                    let mut sent = requests.filter(|(request, _)| request.step == Step::Read);
                    let counted = |events: Events| {
                        (0..EVENTS).all(|event| !has(events, event) || state.cells()[event] == 1)
                    };
                    state.deaths < model.deaths && sent.any(|(_, events)| counted(*events))
                },
            ),
        ]
    }
}

impl Commit {
    /// Moves a request whose step is complete to its next.
    fn settle(&self, state: &mut State, sender: usize) {
        let request = &mut state.requests[sender];
        if request.step == Step::Read && request.customer.is_some() && request.log.is_some() {
            request.step = Step::Put;
        }
        let read = request.log.unwrap_or_default();
        if request.step == Step::Put && self.senders[sender] & !read & !request.put == 0 {
            if request.is_overtaken {
                request.begin_again();
                return;
            }
            let is_early = self.design == Design::AnswerBeforeWrite && !request.is_acknowledged;
            request.step = if is_early { Step::Answer } else { Step::Write };
        }
    }
}

impl Action {
    fn sender(self) -> usize {
        match self {
            Action::ReadCustomer { sender, .. }
            | Action::ReadLog { sender, .. }
            | Action::Put { sender, .. }
            | Action::Write { sender }
            | Action::Answer { sender }
            | Action::Die { sender } => sender,
        }
    }
}

/// Explores every state, and demands that nothing is lost and every situation was met.
fn check_holds(senders: &[Events]) {
    let start = Instant::now();
    let checker = Commit::new(Design::Whole, senders).checker().threads(2).spawn_bfs().join();
    report(Design::Whole, senders, &checker, start.elapsed());
    checker.assert_properties();
}

/// Demands that the design with a clause taken away loses an event that was acknowledged.
fn check_loses(design: Design, senders: &[Events]) {
    let start = Instant::now();
    let checker = Commit::new(design, senders)
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    report(design, senders, &checker, start.elapsed());
    let path = checker.assert_any_discovery(EACH_ANSWERED_IS_COUNTED_ONCE);
    eprintln!("  {:?}", path.into_actions());
}

fn report(design: Design, senders: &[Events], checker: &impl Checker<Commit>, took: Duration) {
    let senders: Vec<_> = senders.iter().map(|events| format!("{events:03b}")).collect();
    let senders = senders.join(" ");
    eprintln!(
        "{design:?}, senders {senders}: {} states, {} unique, depth {}, {took:.1?}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
    );
}

#[test]
fn different_events_of_one_hour_are_each_counted_once() {
    check_holds(&[0b001, 0b010]);
}

#[test]
fn the_same_event_from_two_senders_is_counted_once() {
    check_holds(&[0b001, 0b001]);
}

#[test]
fn overlapping_requests_over_two_hours_are_counted_once() {
    check_holds(&[0b011, 0b110]);
}

#[test]
fn requests_in_different_hours_keep_each_others_cells() {
    check_holds(&[0b011, 0b100]);
}

#[test]
fn three_senders_are_counted_once() {
    check_holds(&[0b001, 0b001, 0b010]);
}

#[test]
fn reading_the_log_before_the_customer_loses_an_event() {
    check_loses(Design::LogReadBeforeCustomer, &[0b001, 0b010]);
}

#[test]
fn reading_the_log_eventually_consistent_loses_an_event() {
    check_loses(Design::LogReadEventuallyConsistent, &[0b001, 0b010]);
}

#[test]
fn writing_without_the_condition_loses_an_event() {
    check_loses(Design::WriteWithoutCondition, &[0b001, 0b010]);
}

#[test]
fn making_a_customer_without_the_condition_loses_an_event() {
    check_loses(Design::MakeWithoutCondition, &[0b001, 0b010]);
}

#[test]
fn answering_before_the_write_loses_an_event() {
    check_loses(Design::AnswerBeforeWrite, &[0b001, 0b010]);
}
