//! Standards over HTTP: what people say of findings, how well standards are kept, what alarms were
//! worth, and why a finding is open.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]
#![allow(clippy::print_stdout, reason = "figures are printed for people to see")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use domain::event::Event;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::sweep::SweepKind;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

const SOURCE: &str = "
version: 1
traits: { plan: [trial, team], phone: text?, gone: yes_no? }
metrics:
  logins_7d: { count: login, over: 7d }
segments: { paying: traits.plan == \"team\" }
stages:
  active: { enter: { when: metrics.logins_7d >= 0, priority: 10 } }
  at_risk: { enter: { when: metrics.logins_7d == 0, priority: 20 } }
  churned: { enter: { when: traits.gone, priority: 90 } }
standards:
  answered: { respond: { to: ask, with: [call], within: 2d }, severity: high, owner: csm }
  phone_known: { required: [traits.phone], only_if: segment.paying, severity: low, owner: ops }
  used: { holds: metrics.logins_7d >= 1, for: 1d, severity: medium, owner: csm }
alerts:
  routes: [ { match: { kind: finding }, to: team } ]
  receivers: { team: { sns: team } }
";

/// Noon of a day; the first one is a Thursday.
fn day(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(24 * day)
}

struct World {
    pack: Pack,
    api: Router,
    runs: u32,
}

impl World {
    async fn new() -> World {
        let pack = Pack::open(None, LocalClock::manual(day(0))).await.unwrap();
        pack.apply(SOURCE).await.unwrap().unwrap();
        let api = console::router(Arc::clone(&pack.console));
        World { pack, api, runs: 0 }
    }

    async fn happens(&self, customer: &str, at: Timestamp, body: Json) {
        self.pack.clock.set(Some(at.max(self.pack.clock.now())));
        let Json::Object(body) = body else { panic!("a call is an object") };
        let what = body.get("event").unwrap_or(&body["type"]);
        let id = format!("{customer}-{at}-{what}");
        let event = Event::from_body(id, at, at, body).unwrap();
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let key = CustomerKey::subject(customer);
        self.pack.store.commit(&key, &[event], &lifecycle, at).await.unwrap();
    }

    async fn track(&self, customer: &str, at: Timestamp, name: &str) {
        self.happens(customer, at, json!({ "type": "track", "event": name, "userId": "u" })).await;
    }

    async fn tell(&self, customer: &str, at: Timestamp, traits: Json) {
        let body = json!({ "type": "group", "groupId": customer, "traits": traits });
        self.happens(customer, at, body).await;
    }

    async fn night(&mut self, on: i64) {
        let at = day(on) + SignedDuration::from_hours(12);
        self.pack.clock.set(Some(at));
        for function in [SweepFunction::Evaluate, SweepFunction::Comply] {
            self.runs += 1;
            let name = format!("run-{}", self.runs);
            let run = self.pack.run(function, &name, at, SweepKind::All).await.unwrap();
            assert_eq!(run.failed, 0);
        }
        self.pack.tell().await.unwrap();
    }

    async fn ask(&self, method: Method, path: &str, body: Json) -> (StatusCode, Json) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.api.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> Json {
        let (status, answer) = self.ask(Method::GET, path, Json::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    async fn post(&self, path: &str, body: Json) -> Json {
        let (status, answer) = self.ask(Method::POST, path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    async fn refused(&self, method: Method, path: &str, body: Json) -> (u16, String) {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(answer["detail"].is_string(), "{path}: {answer}");
        (status.as_u16(), answer["code"].as_str().unwrap().to_owned())
    }

    /// What is open of a customer, with its state.
    async fn findings(&self, customer: &str) -> Vec<(String, String)> {
        let told = self.get(&format!("/api/customers/{customer}")).await;
        let word = |finding: &Json, name: &str| finding[name].as_str().unwrap().to_owned();
        let findings = told["findings"].as_array().unwrap().iter();
        findings.map(|one| (word(one, "standard"), word(one, "state"))).collect()
    }

    async fn row(&self, path: &str, group: &str) -> Json {
        let told = self.get(path).await;
        let rows = told["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["group"] == group || row["name"] == group);
        row.unwrap_or_else(|| panic!("no {group} in {told}")).clone()
    }
}

fn open(standard: &str) -> (String, String) {
    (standard.to_owned(), "open".to_owned())
}

#[tokio::test]
async fn a_finding_is_acknowledged_with_each_outcome_and_stays_open() {
    let mut world = World::new().await;
    for customer in ["acme", "axa", "boreal", "corvus"] {
        world.track(customer, day(0), "login").await;
        world.track(customer, day(0), "ask").await;
    }
    world.night(3).await;
    for (customer, outcome) in [("acme", "useful"), ("axa", "known"), ("boreal", "false")] {
        let path = format!("/api/customers/{customer}/findings/answered/ack");
        let body = json!({ "author": "kim", "outcome": outcome, "note": "seen" });
        let told = world.post(&path, body).await;
        let finding = &told["findings"][0];
        assert_eq!(
            (&finding["standard"], &finding["state"]),
            (&json!("answered"), &json!("acknowledged"))
        );
        let seen = &finding["acknowledged"];
        assert_eq!(
            (&seen["author"], &seen["outcome"], &seen["note"]),
            (&json!("kim"), &json!(outcome), &json!("seen"))
        );
        let listed = world.get("/api/findings").await;
        let listed = listed["items"].as_array().unwrap();
        let listed = listed.iter().find(|one| one["customer"] == customer).unwrap();
        assert_eq!(
            (&listed["state"], &listed["acknowledged"]["outcome"]),
            (&json!("acknowledged"), &json!(outcome))
        );
        let journal = world.get(&format!("/api/customers/{customer}/journal")).await;
        let entry = &journal["items"][0];
        assert_eq!((&entry["kind"], &entry["author"]), (&json!("acknowledgement"), &json!("kim")));
    }
    // The last word counts.
    let path = "/api/customers/axa/findings/answered/ack";
    let told = world.post(path, json!({ "author": "lou", "outcome": "useful" })).await;
    assert_eq!(told["findings"][0]["acknowledged"]["outcome"], "useful");

    let ack = |body: Json| world.refused(Method::POST, path, body);
    assert_eq!(ack(json!({ "author": "kim" })).await.0, 400);
    assert_eq!(ack(json!({ "author": "kim", "outcome": "maybe" })).await.0, 400);
    assert_eq!(ack(json!({ "outcome": "useful" })).await.0, 400, "nobody says so");
    let nothing = "/api/customers/axa/findings/phone_known/ack";
    let useful = json!({ "author": "kim", "outcome": "useful" });
    assert_eq!(world.refused(Method::POST, nothing, useful.clone()).await.0, 409);
    let unknown = "/api/customers/nobody/findings/answered/ack";
    assert_eq!(world.refused(Method::POST, unknown, useful).await.0, 404);

    world.track("acme", day(4), "call").await;
    world.night(4).await;
    assert_eq!(world.findings("acme").await, []);
    let closed = world.get("/api/findings?state=closed").await;
    assert_eq!(closed["items"][0]["customer"], "acme");
    let row = world.row("/api/outcomes?horizon=1&from=2025-12-01", "answered").await;
    let counts = [&row["useful"], &row["known"], &row["false"]];
    assert_eq!(counts, [&json!(2), &json!(0), &json!(1)], "{row}");
    assert_eq!(row["precision"]["share"], 2.0 / 3.0);
}

#[tokio::test]
async fn a_standard_is_waived_put_off_and_counts_again() {
    let mut world = World::new().await;
    world.tell("acme", day(0), json!({ "plan": "team" })).await;
    world.track("acme", day(0), "login").await;
    world.track("acme", day(0), "ask").await;
    world.night(1).await;
    assert_eq!(world.findings("acme").await, [open("phone_known")]);

    // For good, with a reason.
    let phone = "/api/customers/acme/findings/phone_known/waive";
    let (status, code) = world.refused(Method::POST, phone, json!({ "author": "kim" })).await;
    assert_eq!(status, 400, "{code}");
    world.post(phone, json!({ "author": "kim", "reason": "a shop without one" })).await;
    assert_eq!(world.findings("acme").await, []);
    let waivers = world.get("/api/waivers").await;
    let waiver = &waivers["items"][0];
    assert_eq!((&waiver["standard"], &waiver["hides"]), (&json!("phone_known"), &json!(true)));
    assert_eq!((&waiver["author"], &waiver["until"]), (&json!("kim"), &Json::Null));

    // For some days, before it is broken: nobody hears of it until then.
    let answered = "/api/customers/acme/findings/answered/waive";
    let body = |until: &str| json!({ "author": "kim", "reason": "on leave", "until": until });
    for over in ["2025-12-31", "2026-01-02T12:00:00Z", "soon"] {
        assert_eq!(world.refused(Method::POST, answered, body(over)).await.0, 400, "{over}");
    }
    world.post(answered, body("2026-01-06")).await;
    let told = world.pack.sns.published().len();
    world.night(3).await;
    assert_eq!(world.findings("acme").await, []);
    assert_eq!(world.pack.sns.published().len(), told);
    let row = world.row("/api/adherence", "answered").await;
    assert_eq!((&row["waived"], &row["open"]), (&json!(1), &json!(0)), "{row}");
    world.night(6).await;
    assert_eq!(world.findings("acme").await, [open("answered")]);

    let kim = json!({ "author": "kim", "reason": "they have one now" });
    let (status, _) = world.ask(Method::DELETE, phone, kim.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let mut findings = world.findings("acme").await;
    findings.sort();
    assert_eq!(findings, [open("answered"), open("phone_known")]);
    assert_eq!(world.refused(Method::DELETE, phone, kim).await.0, 409, "there is none");
    assert_eq!(world.get("/api/waivers").await["items"], json!([]));
    let of_nothing = "/api/customers/acme/findings/no_such/waive";
    let refused = world.refused(Method::POST, of_nothing, body("2026-02-01")).await;
    assert_eq!(refused.0, 400, "{refused:?}");
}

/// Three customers of whom each answers an ask after another time, and one who never does.
async fn asked() -> World {
    let answered = [("acme", 6), ("axa", 11), ("boreal", 47), ("corvus", 59)];
    let mut world = World::new().await;
    let everybody = answered.iter().map(|(customer, _)| *customer).chain(["dorian"]);
    for customer in everybody.clone() {
        let traits = match customer {
            "dorian" => json!({ "plan": "trial" }),
            _ => json!({ "plan": "team", "phone": "1" }),
        };
        world.tell(customer, day(0), traits).await;
        world.track(customer, day(0), "ask").await;
    }
    for on in 0..6 {
        for customer in everybody.clone() {
            world.track(customer, day(on), "login").await;
        }
        // From the night before to this one.
        for (customer, hours) in answered {
            if (24 * on - 12..24 * on + 12).contains(&hours) {
                let at = day(0) + SignedDuration::from_hours(hours);
                world.track(customer, at, "call").await;
            }
        }
        world.night(on).await;
    }
    world
}

#[tokio::test]
async fn adherence_is_told_by_standard_stage_segment_owner_and_month() {
    let world = asked().await;
    let counts = |row: &Json| {
        let count = |name: &str| row[name].as_u64().unwrap();
        (count("met"), count("breached"), count("open"))
    };
    let row = world.row("/api/adherence?by=standard", "answered").await;
    assert_eq!(counts(&row), (3, 2, 1), "{row}");
    assert_eq!(row["adherence"], 0.6);
    // Of 6, 11, 47 and 59 hours half are at most the second, nine tenths at most the last.
    assert_eq!(
        (&row["p50_seconds"], &row["p90_seconds"]),
        (&json!(11 * 3_600), &json!(59 * 3_600))
    );
    let required = world.row("/api/adherence", "phone_known").await;
    assert_eq!(counts(&required), (4, 0, 0), "of whom it is kept now: {required}");
    assert_eq!((&required["adherence"], &required["p50_seconds"]), (&json!(1.0), &Json::Null));

    let owner = world.row("/api/adherence?by=owner", "csm").await;
    assert_eq!(counts(&owner).1, 2, "{owner}");
    let paying = world.row("/api/adherence?by=segment", "paying").await;
    let others = world.row("/api/adherence?by=segment", "none").await;
    assert_eq!((counts(&paying).1, counts(&others).1), (1, 1), "{paying} {others}");
    assert_eq!((counts(&paying).2, counts(&others).2), (0, 1));
    let stage = world.row("/api/adherence?by=stage", "active").await;
    assert_eq!((counts(&stage).1, &stage["p90_seconds"]), (2, &json!(59 * 3_600)), "{stage}");
    let month = world.row("/api/adherence?by=month&from=2025-12-01", "2026-01").await;
    assert_eq!(counts(&month).1, 2, "{month}");

    // Nothing was met or broken before; how customers stand is as of now all the same.
    let before = world.row("/api/adherence?from=2025-11-01&to=2025-12-01", "answered").await;
    assert_eq!(counts(&before), (0, 0, 1), "{before}");
    for (query, code) in [
        ("by=colour", "unknown_by"),
        ("from=2026-02-01&to=2026-01-01", "invalid_span"),
        ("from=2020-01-01", "invalid_span"),
        ("from=soon", "invalid_span"),
        ("by=stage&by=owner", "invalid_query"),
    ] {
        let path = format!("/api/adherence?{query}");
        let refused = world.refused(Method::GET, &path, Json::Null).await;
        assert_eq!(refused, (400, code.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn outcomes_are_what_the_command_tells() {
    let mut world = World::new().await;
    for night in [0, 8, 9, 20] {
        if night == 0 || night == 20 {
            for customer in ["acme", "axa", "boreal"] {
                world.track(customer, day(night), "login").await;
            }
        }
        if night == 9 {
            world.tell("acme", day(9), json!({ "gone": true })).await;
        }
        world.night(night).await;
    }
    let told = world.get("/api/outcomes?from=2025-12-20&horizon=10").await;
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(members, ["from", "horizon_days", "rows", "to"]);
    assert_eq!(
        (&told["from"], &told["horizon_days"]),
        (&json!("2025-12-20T00:00:00Z"), &json!(10))
    );
    assert_eq!(told["to"], json!(world.pack.clock.now()), "up to now");
    let row = world.row("/api/outcomes?from=2025-12-20&horizon=10", "at_risk").await;
    assert_eq!(
        (&row["source"], &row["alarms"], &row["churned"]),
        (&json!("rule"), &json!(3), &json!(1)),
        "{row}"
    );
    let lead = &row["lead"]["p50_seconds"];
    assert!(lead.as_i64().unwrap() > 0, "{row}");
    assert!(row["churn"]["low"].as_f64() < row["churn"]["share"].as_f64(), "{row}");
    // What is asked for of the future is told up to now; alarms whose horizon is not over are open.
    let open = world.row("/api/outcomes?from=2025-12-20&to=2026-12-01", "at_risk").await;
    assert_eq!((&open["censored"], &open["churn"]), (&json!(3), &Json::Null), "{open}");

    let span = platform::adherence::Span::new(
        "2025-12-20T00:00:00Z".parse().unwrap(),
        world.pack.clock.now(),
    );
    let lifecycle = world.pack.store.lifecycle().await.unwrap();
    let horizon = SignedDuration::from_hours(240);
    let rows =
        platform::outcomes::read(&world.pack.store, &lifecycle, span.unwrap(), horizon).await;
    assert_eq!(serde_json::to_value(rows.unwrap()).unwrap(), told["rows"]);
    for (query, code) in [
        ("horizon=0", "invalid_horizon"),
        ("horizon=366", "invalid_horizon"),
        ("horizon=week", "invalid_horizon"),
        ("to=never", "invalid_span"),
        ("from=2027-01-01", "invalid_span"),
        ("from=2024-01-01", "invalid_span"),
    ] {
        let path = format!("/api/outcomes?{query}");
        let refused = world.refused(Method::GET, &path, Json::Null).await;
        assert_eq!(refused, (400, code.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn an_explanation_says_why_a_finding_is_open_and_when_another_would_be() {
    let mut world = World::new().await;
    world.tell("acme", day(0), json!({ "plan": "team" })).await;
    world.track("acme", day(0), "login").await;
    world.track("acme", day(1), "ask").await;
    world.night(1).await;
    let told = world.get("/api/customers/acme/explain").await;
    let of = |told: &Json, name: &str| {
        let standards = told["standards"].as_array().unwrap();
        standards.iter().find(|one| one["standard"] == name).unwrap().clone()
    };
    let phone = of(&told, "phone_known");
    assert_eq!(
        (&phone["state"], &phone["severity"], &phone["owner"]),
        (&json!("open"), &json!("low"), &json!("ops"))
    );
    assert_eq!(phone["reasons"][0]["expression"], "missing: traits.phone");
    let closed_by = "`traits.phone` becoming known, or `segment.paying` no longer holding";
    assert_eq!(phone["closed_by"], closed_by);
    let answered = of(&told, "answered");
    assert_eq!((&answered["state"], &answered["closed_by"]), (&json!("kept"), &Json::Null));
    // After its two days, not at their end.
    assert_eq!(answered["breaks_at"], "2026-01-04T12:00:01Z");
    // The login leaves its seven days, and a day later that has lasted for too long.
    assert_eq!(of(&told, "used")["breaks_at"], "2026-01-09T12:00:01Z");

    // What is said to break does, then, and not a second before.
    for name in ["answered", "used"] {
        let at: Timestamp = of(&told, name)["breaks_at"].as_str().unwrap().parse().unwrap();
        let lifecycle = world.pack.store.lifecycle().await.unwrap();
        let found = world.pack.store.customer(&CustomerKey::subject("acme")).await.unwrap();
        let is_broken = |at: Timestamp| {
            let changes = domain::finding::judge_all(&found.customer, &lifecycle, at);
            changes.iter().any(|change| change.rule == format!("standards.{name}"))
        };
        assert!(is_broken(at) && !is_broken(at - SignedDuration::from_secs(1)), "{name}");
    }
    let body = json!({ "author": "kim", "reason": "none", "until": "2026-02-01" });
    world.post("/api/customers/acme/findings/phone_known/waive", body).await;
    world.night(4).await;
    let told = world.get("/api/customers/acme/explain").await;
    let waived = of(&told, "phone_known");
    assert_eq!(
        (&waived["state"], &waived["until"]),
        (&json!("waived"), &json!("2026-02-01T00:00:00Z"))
    );
    let open = of(&told, "answered");
    assert_eq!((&open["state"], &open["closed_by"]), (&json!("open"), &json!("an event `call`")));
    assert_eq!(open["since"], "2026-01-06T00:00:00Z");
    let before = world.get("/api/customers/acme/explain?at=2026-01-02T18:00:00Z").await;
    assert_eq!(of(&before, "answered")["state"], "kept", "as it was then");
}

#[tokio::test]
async fn a_nightly_visit_with_nothing_to_do_costs_what_it_reads() {
    let mut world = World::new().await;
    let count = 300_u64;
    let lifecycle = world.pack.store.lifecycle().await.unwrap();
    let mut groups = Vec::new();
    for n in 0..count {
        let track = |name: &str, at: Timestamp| {
            let body = json!({ "type": "track", "event": name, "userId": "u" });
            let Json::Object(body) = body else { unreachable!() };
            Event::from_body(format!("{name}-{n}"), at, at, body).unwrap()
        };
        let body = json!({ "type": "group", "groupId": "a", "traits": { "plan": "team" } });
        let Json::Object(body) = body else { unreachable!() };
        let group = Event::from_body(format!("group-{n}"), day(0), day(0), body).unwrap();
        let key = CustomerKey::subject(&format!("account-{n:03}"));
        groups.push((key, vec![group, track("login", day(4)), track("ask", day(0))]));
    }
    world.pack.store.commit_bulk(&groups, &lifecycle, day(4)).await.unwrap();
    // Each has an open finding, one that somebody saw or waived, and a standard that is kept.
    world.night(4).await;
    for n in 0..20 {
        let of = |what: &str| format!("/api/customers/account-{n:03}/findings/{what}");
        world.post(&of("answered/ack"), json!({ "author": "kim", "outcome": "known" })).await;
        world.post(&of("phone_known/waive"), json!({ "author": "kim", "reason": "none" })).await;
    }
    world.night(4).await;
    world.pack.reset_capacity();
    let at = day(4) + SignedDuration::from_hours(12);
    let run = world.pack.run(SweepFunction::Comply, "again", at, SweepKind::All).await.unwrap();
    assert_eq!((run.visited, run.changed, run.failed), (count, 0, 0));
    let rows = world.pack.capacity();
    let of = |table: &str| {
        let rows = rows.iter().filter(|row| row.function == "comply" && row.table == table);
        rows.fold((0.0, 0.0), |(read, written), row| {
            (read + row.read_units, written + row.write_units)
        })
    };
    let (read, written) = of("customers");
    let each = read / f64::from(u32::try_from(count).unwrap());
    println!("a visit of comply with nothing to do: {each:.3} RRU; {rows:?}");
    assert!(each <= 0.17, "{each} RRU for a customer with nothing to do");
    assert_eq!(written, 0.0);
    assert_eq!((of("events"), of("journal").1), ((0.0, 0.0), 0.0));
    // The run itself, whatever the fleet: its slot, its checkpoint, the feeds.
    let (read, written) = of("control");
    assert!(read <= 10.0 && written <= 6.0, "{read} RRU, {written} WRU of the run itself");
}
