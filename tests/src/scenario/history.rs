//! What happens to a company in some days, drawn from a seed: what is sent, when it arrives, how often
//! and in which order; which schedules fire; what people decide.

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use crate::sender::Way;

/// The accounts there are.
pub(super) const ACCOUNTS: [&str; 3] = ["acme", "globex", "initech"];
/// How many days are lived through, one of them. Most faults need no more than a day to break a promise; some
/// need what is kept of a week.
const DAYS: [i64; 8] = [1, 1, 1, 1, 2, 2, 3, 7];
const EVENTS: [&str; 6] = ["login", "login", "login", "order", "kickoff_call", "ask"];
const MINUTES_OF_DAY: i64 = 24 * 60;

/// Something that happens at an instant.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// A sender has something to deliver.
    Deliver(Delivery),
    /// A schedule fires: for which instant, and whether its event is delivered twice, at once.
    Sweep { function: usize, slot: Timestamp, is_doubled: bool },
    /// The journal's stream wakes `notify`; or delivers what it delivered before once more.
    Tell { is_repeated: bool },
    /// The minute's tick of `notify`.
    Tick,
    /// A person decides.
    Decide(usize, Decision),
    /// SNS takes nothing, or takes everything again.
    Topics { are_down: bool },
}

#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) way: Way,
    pub(super) calls: Vec<Json>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    Acknowledge,
    Waive,
    Move,
    Release,
    Note,
}

/// All that happens, and what there is to be found of it afterwards.
#[derive(Debug, Default)]
pub(super) struct History {
    /// How many days are lived through.
    pub(super) days: i64,
    /// Sorted by when it happens.
    pub(super) steps: Vec<Step>,
    /// The good calls of each account, in the order they happened.
    pub(super) calls: [Vec<Json>; ACCOUNTS.len()],
    /// The ids of the calls that cannot be read.
    pub(super) poison: Vec<String>,
}

/// The first instant.
///
/// # Panics
/// Never: it is an instant.
pub(super) fn start() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().expect("it is an instant")
}

fn minute(day: i64, minute: i64) -> Timestamp {
    start() + SignedDuration::from_mins(day * MINUTES_OF_DAY + minute)
}

impl History {
    /// When all that was on its way has arrived.
    pub(super) fn end(&self) -> Timestamp {
        minute(self.days + 5, 0)
    }

    /// The history of a seed.
    pub(super) fn of(seed: u64) -> History {
        let mut rng = Rng::with_seed(seed);
        let days = DAYS[rng.usize(..DAYS.len())];
        let mut history = History { days, ..History::default() };
        let mut number = 0;
        for day in 0..days {
            history.events(&mut rng, day, &mut number);
            history.schedules(&mut rng, day);
            if rng.u8(..) < 90 {
                let all = [
                    Decision::Acknowledge,
                    Decision::Waive,
                    Decision::Move,
                    Decision::Release,
                    Decision::Note,
                ];
                let decision = all[rng.usize(..all.len())];
                history.add(
                    minute(day, rng.i64(0..MINUTES_OF_DAY)),
                    What::Decide(rng.usize(..ACCOUNTS.len()), decision),
                );
            }
        }
        if rng.bool() {
            let from = rng.i64(0..days * MINUTES_OF_DAY);
            let until = from + rng.i64(10..2 * MINUTES_OF_DAY);
            history.add(minute(0, from), What::Topics { are_down: true });
            history.add(minute(0, until), What::Topics { are_down: false });
        }
        history.steps.sort_by_key(|step| step.at);
        history
    }

    fn add(&mut self, at: Timestamp, what: What) {
        self.steps.push(Step { at, what });
    }

    /// The events of a day, and how they arrive.
    fn events(&mut self, rng: &mut Rng, day: i64, number: &mut u32) {
        let mut calls = Vec::new();
        for (index, account) in ACCOUNTS.iter().enumerate() {
            if day == 0 || rng.u8(..) < 20 {
                let mut traits = json!({ "plan": (["trial", "team"])[rng.usize(..2)] });
                if rng.bool() {
                    traits["csm"] = json!("kim@example.com");
                }
                let body = json!({ "type": "group", "groupId": account, "traits": traits });
                calls.push((index, self.call(rng, day, number, index, body)));
            }
            for _ in 0..rng.usize(0..4) {
                let name = EVENTS[rng.usize(..EVENTS.len())];
                let body = json!({ "type": "track", "event": name, "properties": { "amount": rng.u8(..) } });
                calls.push((index, self.call(rng, day, number, index, body)));
            }
        }
        rng.shuffle(&mut calls);
        let mut calls: Vec<Json> = calls.into_iter().map(|(_, call)| call).collect();
        while !calls.is_empty() {
            let way = [Way::Http, Way::Http, Way::Queue][rng.usize(..3)];
            let most = calls.len().min(rng.usize(1..5));
            let mut taken: Vec<Json> = calls.drain(..most).collect();
            if rng.u8(..) < 25 {
                *number += 1;
                let id = format!("poison-{number}");
                taken.insert(
                    rng.usize(..=taken.len()),
                    json!({ "messageId": id, "anonymousId": id }),
                );
                self.poison.push(id);
            }
            self.arrive(rng, day, &Delivery { way, calls: taken });
        }
    }

    fn call(
        &mut self,
        rng: &mut Rng,
        day: i64,
        number: &mut u32,
        account: usize,
        mut body: Json,
    ) -> Json {
        *number += 1;
        let at = minute(day, rng.i64(0..MINUTES_OF_DAY));
        let name = ACCOUNTS[account];
        body["userId"] = json!(format!("ada@{name}"));
        body["messageId"] = json!(format!("call-{number}"));
        body["timestamp"] = json!(at.to_string());
        body["context"] = json!({ "groupId": name });
        self.calls[account].push(body.clone());
        body
    }

    /// Most deliveries arrive the next midnight at the latest, some days later, and some more than once.
    fn arrive(&mut self, rng: &mut Rng, day: i64, delivery: &Delivery) {
        let late = if rng.u8(..) < 40 { rng.i64(0..3) } else { 0 };
        let at = minute(day + 1 + late, rng.i64(0..120));
        self.add(at, What::Deliver(delivery.clone()));
        if rng.u8(..) < 60 {
            let again = at + SignedDuration::from_mins(rng.i64(0..2 * MINUTES_OF_DAY));
            self.add(again, What::Deliver(delivery.clone()));
        }
    }

    fn schedules(&mut self, rng: &mut Rng, day: i64) {
        for (function, hour) in [(0, 2), (1, 3), (2, 4), (0, 14)] {
            let slot = minute(day + 1, hour * 60);
            // The event of a schedule may come late, after the next one's even.
            let late = if rng.u8(..) < 25 { rng.i64(0..3 * 60) } else { 0 };
            let at = slot + SignedDuration::from_mins(late);
            self.add(at, What::Sweep { function, slot, is_doubled: rng.u8(..) < 40 });
            let told = at + SignedDuration::from_mins(rng.i64(1..30));
            self.add(told, What::Tell { is_repeated: rng.u8(..) < 50 });
            for _ in 0..2 {
                self.add(told + SignedDuration::from_mins(rng.i64(1..90)), What::Tick);
            }
        }
    }
}
