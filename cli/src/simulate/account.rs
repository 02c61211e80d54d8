//! The life of one account, a day at a time. [`super`] states the model.

use jiff::civil::{Date, Weekday};
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value as Json, json};

use super::call::{Call, What};
use super::random::Random;
use super::{Cause, Tally};

const FEATURES: [&str; 8] =
    ["dashboard", "reports", "alerts", "export", "api", "sharing", "search", "automation"];
const STEPS: [&str; 5] =
    ["kickoff", "data_imported", "team_invited", "first_report", "integration_connected"];
const REGIONS: [(&str, i64); 3] = [("EMEA", 1), ("Americas", -6), ("APAC", 8)];
const NAMES: [&str; 12] = [
    "Alder", "Birch", "Cedar", "Delta", "Ember", "Fjord", "Grove", "Harbor", "Iris", "Juniper",
    "Krone", "Lumen",
];
const TRADES: [&str; 8] =
    ["Foods", "Labs", "Logistics", "Media", "Mobility", "Studio", "Systems", "Works"];
const CSMS: [&str; 6] = [
    "kim@example.com",
    "lea@example.com",
    "max@example.com",
    "noa@example.com",
    "ole@example.com",
    "pia@example.com",
];

/// A plan: its word, the price of a seat a month, seats, and people who use them.
struct Plan {
    word: &'static str,
    seat_price: u32,
    seats: (u32, u32),
    people: (u32, u32),
    /// Contracts are of a year, not of a month, with this probability.
    yearly: f64,
}

const PLANS: [Plan; 3] = [
    Plan { word: "team", seat_price: 15, seats: (4, 15), people: (2, 5), yearly: 0.2 },
    Plan { word: "business", seat_price: 25, seats: (12, 60), people: (4, 9), yearly: 0.6 },
    Plan { word: "enterprise", seat_price: 40, seats: (50, 250), people: (8, 20), yearly: 1.0 },
];
const PLAN_WEIGHTS: [f64; 3] = [0.55, 0.30, 0.15];

struct Ticket {
    closes: i32,
    opened: i32,
}

/// That an account will leave.
#[derive(Clone, Copy)]
struct Leaving {
    cause: Cause,
    on: i32,
}

/// One account. Days count from the first day of the simulation, which is 0.
pub(super) struct Account {
    id: String,
    name: String,
    random: Random,
    seed: u64,
    serial: u32,
    born: i32,
    plan: usize,
    /// The end of a trial; none where there was none, or it is over.
    trial_ends: Option<i32>,
    region: usize,
    csm: Option<&'static str>,
    seats: u32,
    /// How busy each of its people is, against the others.
    people: Vec<f64>,
    fit: f64,
    engaged: f64,
    /// Something makes it use less and less.
    is_fading: bool,
    steps_done: usize,
    tickets: Vec<Ticket>,
    failed_payments: u32,
    invoice_on: i32,
    renewal_on: i32,
    term_days: i32,
    nps: Option<u32>,
    leaving: Option<Leaving>,
    /// The day its notice takes effect, once it was told.
    notice: Option<i32>,
    gone: Option<i32>,
    returns: Option<i32>,
}

/// A day, as an account lives it.
pub(super) struct Today<'a> {
    pub(super) day: i32,
    pub(super) date: Date,
    pub(super) midnight: Timestamp,
    pub(super) calls: &'a mut Vec<Call>,
    pub(super) tally: &'a mut Tally,
}

impl Today<'_> {
    fn last_instant(&self) -> Timestamp {
        self.midnight + jiff::SignedDuration::from_millis(86_399_999)
    }
}

impl Account {
    /// An account that joins on one of the simulation's days, or was there before.
    pub(super) fn new(seed: u64, number: u32, days: i32) -> Account {
        let mut random = Random::new(seed, u64::from(number));
        let was_there = random.happens(0.4);
        let born = match was_there {
            true => -signed(random.whole(60, 700)),
            false => (random.unit() * f64::from(days)) as i32,
        };
        let plan = random.weighted(&PLAN_WEIGHTS);
        let Plan { seats, people, yearly, .. } = &PLANS[plan];
        let seats = random.whole(seats.0, seats.1);
        let people = random.whole(people.0, people.1).min(seats);
        let people = (0..people).map(|_| random.within(0.4, 1.6)).collect();
        let term_days = if random.happens(*yearly) { 365 } else { 30 };
        let fit = random.normal();
        let trial_ends = (!was_there && plan < 2 && random.happens(0.5)).then_some(born + 14);
        let paid_from = trial_ends.unwrap_or(born);
        let terms = (-paid_from).max(0) / term_days + 1;
        let steps_done = if was_there && random.happens(0.85) { STEPS.len() } else { 0 };
        let name = format!("{} {}", random.one(&NAMES), random.one(&TRADES));
        let csm = random.happens(0.95).then(|| *random.one(&CSMS));
        Account {
            id: format!("acct-{number:05}"),
            name,
            seed,
            serial: 0,
            born,
            plan,
            trial_ends,
            region: random.weighted(&[0.5, 0.35, 0.15]),
            csm,
            seats,
            people,
            fit,
            engaged: (0.55 + 0.2 * fit).clamp(0.1, 1.1),
            is_fading: false,
            steps_done,
            tickets: Vec::new(),
            failed_payments: 0,
            invoice_on: paid_from.max(0) + signed(random.whole(0, 29)),
            renewal_on: paid_from + terms * term_days,
            term_days,
            nps: None,
            leaving: None,
            notice: None,
            gone: None,
            returns: None,
            random,
        }
    }

    /// Everything of one day.
    pub(super) fn live(&mut self, today: &mut Today<'_>) {
        if today.day < self.born {
            return;
        }
        if today.day == self.born.max(0) {
            self.joins(today);
        }
        if self.gone.is_some() {
            if self.returns == Some(today.day) {
                self.comes_back(today);
            }
            return;
        }
        let is_weekly = (today.day - self.born) % 7 == 0;
        if is_weekly {
            self.drifts(today.day);
            self.may_decide_to_leave(today);
        }
        self.steps(today);
        self.works(today);
        self.asks_for_help(today);
        self.is_looked_after(today);
        if is_weekly {
            self.reports_seats(today);
        }
        self.is_asked(today);
        self.pays(today);
        self.renews(today);
        self.leaves(today);
    }

    // ---- what it tells ----

    /// An instant of the day, in the working hours of its region, as UTC.
    fn hour(&mut self, today: &Today<'_>) -> Timestamp {
        let local = self.random.whole(7 * 3_600, 19 * 3_600);
        let offset = REGIONS[self.region].1 * 3_600;
        let second = (i64::from(local) - offset).rem_euclid(86_400);
        let ms = second * 1_000 + i64::from(self.random.whole(0, 999));
        Timestamp::from_millisecond(today.midnight.as_millisecond() + ms).unwrap_or(today.midnight)
    }

    fn tell(&mut self, today: &mut Today<'_>, what: &What, user: Option<usize>, told: Json) {
        let at = self.hour(today);
        self.tell_at(today, at, what, user, told);
    }

    fn tell_at(
        &mut self,
        today: &mut Today<'_>,
        at: Timestamp,
        what: &What,
        user: Option<usize>,
        told: Json,
    ) {
        self.serial += 1;
        let id = format!("sim-{}-{}-{}", self.seed, &self.id[5..], self.serial);
        let told = match told {
            Json::Object(told) => told,
            _ => Map::new(),
        };
        let user = user.map(|user| self.user(user));
        today.calls.push(Call::new(what, at, id, &self.id, user.as_deref(), told));
        today.tally.events += 1;
    }

    fn user(&self, number: usize) -> String {
        format!("{}-u{}", &self.id, number + 1)
    }

    fn mrr(&self) -> u32 {
        match self.trial_ends {
            Some(_) => 0,
            None => self.seats * PLANS[self.plan].seat_price,
        }
    }

    /// The facts of the account, all of them each time, as a CRM's connector sends them.
    fn tells_facts(&mut self, today: &mut Today<'_>) {
        let day = |day: i32| (today.date + (day - today.day).days()).to_string();
        let plan = if self.trial_ends.is_some() { "trial" } else { PLANS[self.plan].word };
        let mut traits = json!({
            "name": self.name,
            "plan": plan,
            "mrr": self.mrr(),
            "seats_bought": self.seats,
            "region": REGIONS[self.region].0,
            "churn_notice": self.notice.map(day),
        });
        if let Some(csm) = self.csm {
            traits["csm"] = csm.into();
        }
        if self.trial_ends.is_none() {
            traits["renewal_date"] = day(self.renewal_on).into();
        }
        self.tell(today, &What::Group, Some(0), traits);
    }

    // ---- what it does ----

    fn joins(&mut self, today: &mut Today<'_>) {
        today.tally.accounts += 1;
        today.tally.users += self.people.len() as u64;
        self.tells_facts(today);
        for user in 0..self.people.len() {
            let role = if user == 0 { "admin" } else { "member" };
            let traits =
                json!({ "role": role, "email": format!("{}@example.org", self.user(user)) });
            self.tell(today, &What::Identify, Some(user), traits);
        }
    }

    /// How much it uses drifts towards what its fit, its onboarding and its troubles allow.
    fn drifts(&mut self, day: i32) {
        let onboarded = self.steps_done as f64 / STEPS.len() as f64;
        let troubles = 0.08 * f64::from(self.old_tickets(day).min(5));
        let aim = (0.35 + 0.18 * self.fit + 0.45 * onboarded - troubles).clamp(0.05, 1.2);
        if self.leaving.is_some() {
            self.engaged *= 0.75;
        } else if self.is_fading {
            self.engaged *= 0.86;
            // What was wrong is sometimes found in time.
            self.is_fading = !self.random.happens(0.04);
        } else {
            self.engaged += 0.2 * (aim - self.engaged) + 0.05 * self.random.normal();
            let worse = (1.0 - 0.6 * self.fit).clamp(0.3, 2.5);
            self.is_fading = self.random.happens(0.009 * worse);
        }
        self.engaged = self.engaged.clamp(0.02, 1.3);
    }

    fn old_tickets(&self, day: i32) -> u32 {
        let old = self.tickets.iter().filter(|ticket| day - ticket.opened > 7);
        u32::try_from(old.count()).unwrap_or(u32::MAX)
    }

    /// The weekly hazard of the model.
    fn may_decide_to_leave(&mut self, today: &mut Today<'_>) {
        let day = today.day;
        if self.leaving.is_some() || self.trial_ends.is_some() || day == self.born.max(0) {
            return;
        }
        let quiet = ((0.6 - self.engaged) / 0.6).clamp(0.0, 1.0);
        let is_near_renewal = (0..=60).contains(&(self.renewal_on - day)) && self.term_days > 30;
        let is_not_onboarded = day - self.born > 45 && self.steps_done < 3;
        let is_detractor = self.nps.is_some_and(|score| score <= 6);
        let terms = [
            (Cause::Usage, 5.0 * quiet * if is_near_renewal { 1.3 } else { 1.0 }),
            (Cause::Payment, 1.6 * f64::from(self.failed_payments.min(2))),
            (Cause::Support, 1.1 * f64::from(self.old_tickets(day).min(4))),
            (Cause::Onboarding, if is_not_onboarded { 2.0 } else { 0.0 }),
            (Cause::Sentiment, if is_detractor { 1.2 } else { 0.0 }),
        ];
        let size = if self.plan == 2 { -0.7 } else { 0.0 };
        let score = -7.2 + size + terms.iter().map(|(_, term)| term).sum::<f64>();
        if !self.random.happens(1.0 / (1.0 + (-score).exp())) {
            return;
        }
        let mut weights: Vec<f64> = terms.iter().map(|(_, term)| *term).collect();
        weights.push(0.4);
        let cause = terms.get(self.random.weighted(&weights)).map_or(Cause::Other, |term| term.0);
        let notice = match self.term_days {
            30 => signed(self.random.whole(14, 30)),
            _ => (self.renewal_on - day).clamp(21, 75),
        };
        self.leaving = Some(Leaving { cause, on: day + notice });
        if self.random.happens(0.7) {
            self.notice = Some(day + notice);
            self.tells_facts(today);
        }
    }

    fn steps(&mut self, today: &mut Today<'_>) {
        let Some(step) = STEPS.get(self.steps_done) else { return };
        let age = today.day - self.born;
        let care = if self.csm.is_some() { 1.0 } else { 0.5 };
        let pace = 0.12 * care * (1.0 + 0.5 * self.fit).clamp(0.15, 2.0);
        // Who has not done it in two months hardly ever does.
        let pace = if age > 60 { pace * 0.1 } else { pace };
        if is_workday(today.date) && self.random.happens(pace) {
            self.steps_done += 1;
            if *step == "kickoff" {
                self.tell(today, &What::Track("kickoff_call"), None, json!({ "minutes": 45 }));
            }
            if *step == "team_invited" {
                self.tell(today, &What::Track("training_held"), None, json!({ "minutes": 60 }));
            }
            let told = json!({ "step": step, "number": self.steps_done });
            self.tell(today, &What::Track("onboarding_step"), Some(0), told);
        }
    }

    fn works(&mut self, today: &mut Today<'_>) {
        let weekday = if is_workday(today.date) { 1.0 } else { 0.15 };
        let busy = 0.42 * self.engaged * weekday;
        let reach = 2 + (self.engaged * 6.0) as u32;
        for user in 0..self.people.len() {
            if !self.random.happens((busy * self.people[user]).min(0.95)) {
                continue;
            }
            let at = self.hour(today);
            self.tell_at(today, at, &What::Track("login"), Some(user), Json::Null);
            for _ in 0..self.random.whole(0, 2) {
                let feature = self.random.whole(0, reach.min(7)) as usize;
                let later = i64::from(self.random.whole(10, 3_000)) * 1_000;
                let at = Timestamp::from_millisecond(at.as_millisecond() + later).unwrap_or(at);
                let at = at.min(today.last_instant());
                let told = json!({ "feature": FEATURES[feature] });
                self.tell_at(today, at, &What::Track("feature_used"), Some(user), told);
            }
            if self.random.happens(0.08) {
                let errors = (0.05 - 0.03 * self.fit).clamp(0.005, 0.2);
                let status = if self.random.happens(errors) { 500 } else { 200 };
                self.tell(today, &What::Track("api_call"), Some(user), json!({ "status": status }));
            }
        }
    }

    fn asks_for_help(&mut self, today: &mut Today<'_>) {
        let day = today.day;
        let closed = self.tickets.iter().filter(|ticket| ticket.closes <= day).count();
        self.tickets.retain(|ticket| ticket.closes > day);
        for _ in 0..closed {
            self.tell(today, &What::Track("ticket_closed"), None, Json::Null);
        }
        let people = self.people.len() as f64;
        let rate = 0.012 * people.sqrt() * (1.0 - 0.4 * self.fit).clamp(0.3, 2.5);
        if is_workday(today.date) && self.random.happens(rate) {
            let is_hard = self.random.happens(0.25);
            let takes = if is_hard { self.random.whole(10, 45) } else { self.random.whole(0, 4) };
            self.tickets.push(Ticket { opened: day, closes: day + 1 + signed(takes) });
            let severity = if is_hard { "high" } else { "normal" };
            let user = self.random.whole(0, self.people.len() as u32 - 1) as usize;
            let told = json!({ "severity": severity });
            self.tell(today, &What::Track("ticket_opened"), Some(user), told);
        }
    }

    /// Calls, meetings and answered e-mails of its customer success manager.
    fn is_looked_after(&mut self, today: &mut Today<'_>) {
        if self.csm.is_none() || !is_workday(today.date) {
            return;
        }
        let rate = [0.01, 0.03, 0.07][self.plan];
        if self.random.happens(rate) {
            let what = *self.random.one(&["call", "meeting", "email_reply"]);
            self.tell(today, &What::Track(what), None, Json::Null);
        }
    }

    fn reports_seats(&mut self, today: &mut Today<'_>) {
        let share = (0.35 + 0.5 * self.engaged + 0.03 * self.random.normal()).clamp(0.02, 1.0);
        let used = (f64::from(self.seats) * share).round();
        self.tell(today, &What::Track("seat_report"), None, json!({ "used": used as u32 }));
        // Whoever fills the seats buys more of them, sometimes.
        if share > 0.85 && self.trial_ends.is_none() && self.random.happens(0.05) {
            let more = (self.seats / 5).max(1);
            self.seats += more;
            self.tell(today, &What::Track("seats_added"), Some(0), json!({ "seats": more }));
            self.tells_facts(today);
        }
    }

    /// The survey, a quarter after the last.
    fn is_asked(&mut self, today: &mut Today<'_>) {
        let age = today.day - self.born;
        if age < 30 || age % 91 != 30 || !self.random.happens(0.6) {
            return;
        }
        let troubles = f64::from(self.old_tickets(today.day).min(4));
        let score = 5.0 + 3.6 * self.engaged + 0.8 * self.fit - 0.8 * troubles;
        let score = (score + self.random.normal()).round().clamp(0.0, 10.0) as u32;
        self.nps = Some(score);
        let told = json!({ "kind": "nps", "score": score });
        self.tell(today, &What::Track("survey"), Some(0), told);
    }

    /// An invoice a month. One that fails is tried again every four days, three times.
    fn pays(&mut self, today: &mut Today<'_>) {
        if self.trial_ends == Some(today.day) {
            // A trial that was hardly used ends there.
            if self.random.happens((0.5 + 0.5 * self.engaged).min(0.95)) {
                self.trial_ends = None;
                self.renewal_on = today.day + self.term_days;
                self.invoice_on = today.day;
                let told = json!({ "plan": PLANS[self.plan].word });
                self.tell(today, &What::Track("trial_converted"), Some(0), told);
                self.tells_facts(today);
            } else {
                self.leaving = Some(Leaving { cause: Cause::Trial, on: today.day });
            }
        }
        if self.trial_ends.is_some() || today.day != self.invoice_on {
            return;
        }
        let told = json!({ "amount": self.mrr() });
        let fails = match self.failed_payments {
            0 => 0.03,
            _ => 0.5,
        };
        if self.random.happens(fails) {
            self.failed_payments += 1;
            self.invoice_on += 4;
            self.tell(today, &What::Track("invoice_failed"), None, told);
            if self.failed_payments >= 4 && self.leaving.is_none_or(|l| l.on > today.day) {
                self.leaving = Some(Leaving { cause: Cause::Payment, on: today.day });
            }
        } else {
            self.invoice_on += 30 - 4 * signed(self.failed_payments.min(3));
            self.failed_payments = 0;
            self.tell(today, &What::Track("invoice_paid"), None, told);
        }
    }

    fn renews(&mut self, today: &mut Today<'_>) {
        let is_staying = self.leaving.is_none_or(|leaving| leaving.on > today.day);
        if today.day != self.renewal_on || self.trial_ends.is_some() || !is_staying {
            return;
        }
        self.renewal_on += self.term_days;
        let told = json!({ "months": (self.term_days / 30).max(1), "mrr": self.mrr() });
        self.tell(today, &What::Track("subscription_renewed"), None, told);
        self.tells_facts(today);
    }

    fn leaves(&mut self, today: &mut Today<'_>) {
        let Some(leaving) = self.leaving.filter(|leaving| leaving.on <= today.day) else { return };
        self.notice = Some(today.day);
        let told = json!({ "cause": leaving.cause.as_str(), "mrr": self.mrr() });
        self.tell(today, &What::Track("subscription_cancelled"), Some(0), told);
        self.tells_facts(today);
        self.gone = Some(today.day);
        today.tally.left(leaving.cause);
        if self.random.happens(0.08) {
            self.returns = Some(today.day + signed(self.random.whole(40, 150)));
        }
    }

    fn comes_back(&mut self, today: &mut Today<'_>) {
        (self.gone, self.leaving, self.notice, self.returns) = (None, None, None, None);
        (self.is_fading, self.trial_ends, self.failed_payments) = (false, None, 0);
        self.engaged = 0.7;
        self.invoice_on = today.day;
        self.renewal_on = today.day + self.term_days;
        today.tally.returned += 1;
        self.tell(today, &What::Track("subscription_restarted"), Some(0), Json::Null);
        self.tells_facts(today);
    }
}

fn is_workday(date: Date) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
