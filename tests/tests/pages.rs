//! The pages over the embedded DynamoDB: who sees what, what a browser may do with it, what it costs.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::io::Read as _;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::{Extension, Router};
use console::{Role, Visitor};
use domain::decide::{decide, decide_risk};
use domain::event::Event;
use domain::lifecycle::{Lifecycle, load};
use jiff::{Timestamp, ToSpan};
use platform::handoff::Handoff;
use platform::store::Decisions;
use platform::{Clock, CustomerKey, Store, overview};
use serde_json::{Value, json};
use tests::stack::Stack;
use tower::ServiceExt as _;

const FILE: &str = r#"
version: 1
workspace: { name: Test company, timezone: UTC, currency: EUR }
subject: account
traits:
  plan: [trial, team]
  name: text?
  mrr: number?
  csm: email?
metrics:
  logins_7d: { count: login, over: 7d }
  idle_days: { days_since: login }
segments:
  paying: traits.plan == "team"
stages:
  customer: { enter: { when: segment.paying, priority: 20 }, owner: csm }
  quiet: { enter: { when: metrics.idle_days > 21, priority: 30 }, owner: csm }
  gone: { lost: true }
health:
  factors: { usage: { weight: 100, value: metrics.logins_7d, worst: 0, best: 4 } }
  bands: { red: 0, yellow: 51, green: 76 }
risk:
  model: scorecard
  factors: { silence: { weight: 100, value: metrics.idle_days, worst: 20, best: 0 } }
  value: traits.mrr * 12
  bands: { low: 0, high: 0.5 }
standards:
  csm_known: { required: [traits.csm], only_if: segment.paying, severity: high, owner: rev_ops }
"#;

struct Office {
    _stack: Stack,
    store: Store,
    lifecycle: Lifecycle,
    app: Arc<console::App>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn now() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

impl Office {
    async fn new() -> Office {
        let stack = Stack::start(FILE, now()).await.unwrap();
        let store = stack.store.with_own_meter();
        let handoff = Handoff::new(async |_| Ok(()));
        let app = console::App { store: store.clone(), clock: Clock::new(now), handoff };
        Office { _stack: stack, store, lifecycle: load(FILE).unwrap(), app: Arc::new(app) }
    }

    async fn account(&self, id: &str, name: &str) -> CustomerKey {
        let key = CustomerKey::subject(id);
        let at = now() - 720.hours();
        let facts = json!({"type": "group", "groupId": id,
            "traits": {"plan": "team", "name": name, "mrr": 100}});
        let login = json!({"type": "track", "event": "login", "userId": "u"});
        for (call, body) in [("g", facts), ("l", login)] {
            let body = body.as_object().unwrap().clone();
            let event = Event::from_body(format!("{id}-{call}"), at, at, body).unwrap();
            self.store.commit(&key, &[event], &self.lifecycle, now()).await.unwrap();
        }
        for _ in 0..4 {
            let before = self.store.customer(&key).await.unwrap();
            let mut changes = decide(&before.customer, &self.lifecycle, now()).into_changes();
            let risk = match decide_risk(&before.customer, &self.lifecycle, now()) {
                Some((note, of_risk)) => {
                    changes.extend(of_risk);
                    Some(note)
                }
                None => None,
            };
            let decisions = Decisions { changes, risk, settles_due: true };
            self.store.decide(&before, &decisions, &self.lifecycle, now()).await.unwrap();
        }
        key
    }

    fn router(&self, role: Option<Role>) -> Router {
        let router = console::router(Arc::clone(&self.app));
        match role {
            Some(role) => router.layer(Extension(Visitor { name: "kim@example.com".into(), role })),
            None => router,
        }
    }

    async fn ask(&self, role: Option<Role>, request: Request<Body>) -> Answer {
        let answer = self.router(role).oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn get(&self, role: Role, path: &str) -> Answer {
        self.ask(Some(role), Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn send(&self, role: Role, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(Some(role), request.body(Body::from(form.to_owned())).unwrap()).await
    }

    async fn journal(&self, id: &str) -> Vec<Value> {
        let answer = self.get(Role::Viewer, &format!("/api/customers/{id}/journal")).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["items"].as_array().unwrap().clone()
    }

    async fn picture(&self) {
        let taken = overview::take(&self.store, &self.lifecycle, now()).await.unwrap();
        self.store.keep_overview(&taken).await.unwrap();
    }
}

const PAGES: [&str; 8] =
    ["/", "/customers", "/customers/acme", "/journey", "/alerts", "/changes", "/audit", "/setup"];
const HERE: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];

#[tokio::test]
async fn a_page_allows_no_script_of_others_and_none_inline() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    office.picture().await;
    for path in PAGES {
        let page = office.get(Role::Admin, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text());
        let policy = page.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(page.header(header::CACHE_CONTROL), "no-store", "{path}");
        assert_eq!(page.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let text = page.text();
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "{path}");
        for script in text.split("<script").skip(1) {
            let is_file = script.starts_with(" src=\"/assets/");
            assert!(is_file || script.starts_with(" type=\"application/json\""), "{path}");
        }
    }
}

#[tokio::test]
async fn files_are_kept_for_a_year_under_an_address_with_their_hash() {
    let office = Office::new().await;
    let page = office.get(Role::Viewer, "/customers").await.text();
    let style =
        page.split("href=\"").find(|text| text.starts_with("/assets/") && text.contains("app.css"));
    let style = style.unwrap().split('"').next().unwrap();
    let file = office.get(Role::Viewer, style).await;
    assert_eq!(file.header(header::CACHE_CONTROL), "public, max-age=31536000, immutable");
    assert_eq!(file.header(header::CONTENT_TYPE), "text/css; charset=utf-8");
    let other = office.get(Role::Viewer, "/assets/0000000000000000/app.css").await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nobody_sees_a_page_without_a_role() {
    let office = Office::new().await;
    for path in PAGES {
        let answer = office.ask(None, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let form = Request::post("/do/customers/acme/notes").header("sec-fetch-site", "same-origin");
    let answer = office.ask(None, form.body(Body::from("text=x")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_viewer_sees_no_button_and_is_refused() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    for path in PAGES {
        let text = office.get(Role::Viewer, path).await.text();
        assert!(!text.contains("method=\"post\""), "{path}");
    }
    let move_it = "to=gone&reason=x&_back=/customers/acme";
    let refused = office.send(Role::Viewer, "/do/customers/acme/move", move_it, HERE).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(office.journal("acme").await.iter().all(|entry| entry["author"].is_null()));
}

#[tokio::test]
async fn an_operator_acts_in_their_own_name_and_erases_nothing() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    let form = "to=gone&reason=they+left&author=eve&_back=%2Fcustomers%2Facme";
    let done = office.send(Role::Operator, "/do/customers/acme/move", form, HERE).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert_eq!(done.header(header::LOCATION), "/customers/acme?done=move");
    let newest = &office.journal("acme").await[0];
    assert_eq!((&newest["author"], &newest["to"]), (&json!("kim@example.com"), &json!("gone")));
    let page = office.get(Role::Operator, "/customers/acme?done=move").await.text();
    assert!(page.contains("Moved by hand.") && !page.contains("Erase…"));
    let form = "type=DELETE_ONLY&subject=account&ids%5B%5D=acme";
    let refused = office.send(Role::Operator, "/do/privacy/requests", form, HERE).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let asked = office.send(Role::Admin, "/do/privacy/requests", form, HERE).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.text());
}

#[tokio::test]
async fn a_form_of_another_site_does_nothing() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("host", "console.example")],
        &[],
    ] {
        let answer = office.send(Role::Admin, "/do/customers/acme/notes", "text=hi", headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert!(office.journal("acme").await.iter().all(|entry| entry["kind"] != "note"));
    let own = &[("origin", "https://console.example"), ("host", "console.example")];
    let taken = office.send(Role::Admin, "/do/customers/acme/notes", "text=hi", own).await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    assert_eq!(office.journal("acme").await[0]["reason"], "hi");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_a_way_back() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    let form = "to=nowhere&reason=x&_back=%2Fcustomers%2Facme";
    let answer = office.send(Role::Admin, "/do/customers/acme/move", form, HERE).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let text = answer.text();
    assert!(text.contains("nowhere") && text.contains("href=\"/customers/acme\""), "{text}");
    let away = "to=nowhere&reason=x&_back=https%3A%2F%2Fevil.example";
    let answer = office.send(Role::Admin, "/do/customers/acme/move", away, HERE).await;
    assert!(!answer.text().contains("evil.example"));
}

#[tokio::test]
async fn a_name_is_text_whatever_it_is() {
    let office = Office::new().await;
    office.account("acme", "<script>alert(1)</script>").await;
    office.picture().await;
    for path in ["/", "/customers", "/customers/acme"] {
        let text = office.get(Role::Admin, path).await.text();
        assert!(text.contains("&lt;script&gt;alert(1)"), "{path}");
        assert!(!text.contains("<script>alert"), "{path}");
    }
    let sheet = office.get(Role::Admin, "/customers.csv").await.text();
    assert!(sheet.contains("acme,<script>alert(1)</script>,"), "{sheet}");
}

#[tokio::test]
async fn the_overview_costs_the_same_for_fifty_customers_and_for_five_hundred() {
    let mut units = Vec::new();
    for customers in [50, 500] {
        let office = Office::new().await;
        for at in 0..customers {
            office.account(&format!("account-{at:03}"), &format!("Account {at:03}")).await;
        }
        office.picture().await;
        office.store.meter().reset();
        let page = office.get(Role::Viewer, "/").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text().contains(&format!("<b>{customers}</b>")), "{}", page.text());
        let read = office.store.meter().read();
        let read: Vec<_> = read.into_iter().filter(|(_, units)| units.read_units > 0.0).collect();
        assert!(read.iter().all(|(table, _)| *table == "control"), "{read:?}");
        units.push(read.iter().map(|(_, units)| units.read_units).sum::<f64>());
    }
    assert!(units[0] > 0.0 && units[1] <= units[0] + 1.0, "{units:?}");
}

#[tokio::test]
async fn the_list_of_very_many_customers_reads_those_that_it_shows() {
    let mut units = Vec::new();
    for customers in [60, 300] {
        let office = Office::new().await;
        for at in 0..customers {
            office.account(&format!("account-{at:03}"), &format!("Account {at:03}")).await;
        }
        let mut taken = overview::take(&office.store, &office.lifecycle, now()).await.unwrap();
        // Too many to be put in order for a page: the list goes by the picture.
        taken.parts[0].customers = 100_000;
        office.store.keep_overview(&taken).await.unwrap();
        office.store.meter().reset();
        let text = office.get(Role::Viewer, "/customers").await.text();
        units.push(office.store.meter().total().read_units);
        assert!(text.contains("with the most at risk") && text.contains("Account 000"), "{text}");
        let next = text.split("href=\"").find(|href| href.contains("cursor=")).unwrap();
        let next = next.split('"').next().unwrap().replace("&amp;", "&");
        let second = office.get(Role::Viewer, &next).await.text();
        assert!(second.contains("Account 055") && !second.contains("Account 000"), "{second}");
    }
    assert!(units[1] <= units[0] + 1.0, "{units:?}");
}

#[tokio::test]
async fn a_form_that_is_sent_twice_acts_once() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    let page = office.get(Role::Operator, "/customers/acme").await.text();
    assert!(page.contains("name=\"_shown\""), "{page}");
    for (shown, notes) in [("a1", 1), ("a1", 1), ("a2", 2)] {
        let form = format!("text=hi&_shown={shown}&_back=%2Fcustomers%2Facme");
        let done = office.send(Role::Operator, "/do/customers/acme/notes", &form, HERE).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER);
        let journal = office.journal("acme").await;
        assert_eq!(journal.iter().filter(|entry| entry["kind"] == "note").count(), notes);
    }
}

#[tokio::test]
async fn retention_is_told_beside_what_others_have() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    office.picture().await;
    let page = office.get(Role::Viewer, "/?days=7").await.text();
    assert!(page.contains("gross retention in 7 days, 100 % a year"), "{page}");
    assert!(page.contains("net retention") && page.contains("Research Brief 28"), "{page}");
}

#[tokio::test]
async fn an_earlier_file_is_planned_before_it_is_gone_back_to() {
    let office = Office::new().await;
    office.account("acme", "Acme").await;
    let other = FILE.replace("metrics.idle_days > 21", "metrics.idle_days > 300");
    let mut loaded = load(&other).unwrap();
    office.store.apply_configuration(&other, &loaded.hash, now()).await.unwrap();
    loaded.version = Some(2);
    office.store.remember_lifecycle(Arc::new(loaded));
    let page = office.get(Role::Viewer, "/changes?to=1&plan=1").await.text();
    assert!(page.contains("What version 1 would do now"), "{page}");
    assert!(page.contains("</b> of 1 customers would be in another stage"), "{page}");
}

#[tokio::test]
async fn the_first_view_is_small() {
    let office = Office::new().await;
    for at in 0..60 {
        office.account(&format!("account-{at:03}"), &format!("Account {at:03}")).await;
    }
    office.picture().await;
    let gzip = |path: &str| {
        let request = Request::get(path).header(header::ACCEPT_ENCODING, "gzip, br");
        office.ask(Some(Role::Admin), request.body(Body::empty()).unwrap())
    };
    for path in ["/", "/customers"] {
        let page = gzip(path).await;
        assert_eq!(page.header(header::CONTENT_ENCODING), "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(page.body.as_slice()).read_to_string(&mut text).unwrap();
        let mut bytes = page.body.len();
        let files = text.split('"').filter(|text| text.starts_with("/assets/"));
        for file in files.filter(|file| !file.contains("uplot")) {
            let file = gzip(file).await;
            assert_eq!(file.header(header::CONTENT_ENCODING), "gzip");
            bytes += file.body.len();
        }
        assert!(bytes < 60_000, "{path}: {bytes} bytes");
    }
}

#[tokio::test]
async fn the_list_is_searched_filtered_and_put_in_order() {
    let office = Office::new().await;
    for (id, name) in [("a", "Beta"), ("b", "alpha"), ("c", "Gamma")] {
        office.account(id, name).await;
    }
    let names = async |query: &str| {
        let answer = office.get(Role::Viewer, &format!("/api/customers?{query}")).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let items = body["items"].as_array().unwrap_or_else(|| panic!("{body}")).clone();
        items.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("sort=name").await, ["alpha", "Beta", "Gamma"]);
    assert_eq!(names("sort=-name").await, ["Gamma", "Beta", "alpha"]);
    assert_eq!(names("q=AMM").await, ["Gamma"]);
    assert_eq!(names("owner=csm&sort=name").await.len(), 3);
    assert_eq!(names("at_risk=1").await.len(), 3);
    assert!(names("at_risk=1000000").await.is_empty());
    for wrong in ["at_risk=", "at_risk=much", "at_risk=-1", "at_risk=inf"] {
        let answer = office.get(Role::Viewer, &format!("/api/customers?{wrong}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert!(names("owner=nobody").await.is_empty() && names("open=overdue").await.is_empty());
    let part = office.get(Role::Viewer, "/api/customers?sort=name&limit=2").await;
    let part: Value = serde_json::from_slice(&part.body).unwrap();
    let cursor = part["next_cursor"].as_str().unwrap();
    assert_eq!(names(&format!("sort=name&limit=2&cursor={cursor}")).await, ["Gamma"]);
    let wrong = office.get(Role::Viewer, "/customers?sort=sideways").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.header(header::CONTENT_TYPE).starts_with("text/html"));
}

#[tokio::test]
async fn the_file_is_rolled_back_by_an_admin_and_only_from_what_they_saw() {
    let office = Office::new().await;
    let other = FILE.replace("Test company", "Another");
    let loaded = load(&other).unwrap();
    office.store.apply_configuration(&other, &loaded.hash, now()).await.unwrap();
    let call = "/do/lifecycle/rollback";
    let form = "version=1&active=2&message=too+loud&_back=/changes";
    let refused = office.send(Role::Operator, call, form, HERE).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let overtaken =
        office.send(Role::Admin, call, &form.replace("active=2", "active=1"), HERE).await;
    assert_eq!(overtaken.status, StatusCode::CONFLICT);
    let done = office.send(Role::Admin, call, form, HERE).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let active = office.store.configuration().await.unwrap().unwrap();
    assert_eq!((active.version, active.source.as_str()), (3, FILE));
    assert_eq!(active.by.author.as_deref(), Some("kim@example.com"));
    assert_eq!(active.by.message.as_deref(), Some("too loud"));
}

#[tokio::test]
async fn there_is_something_to_do_where_there_is_nothing() {
    let office = Office::new().await;
    let page = office.get(Role::Viewer, "/").await.text();
    assert!(page.contains("The picture is being taken."), "{page}");
    office.picture().await;
    let page = office.get(Role::Viewer, "/").await.text();
    assert!(page.contains("There are no customers yet."), "{page}");
    for path in PAGES.iter().filter(|path| !path.contains("acme") && **path != "/") {
        assert!(
            office.get(Role::Viewer, path).await.text().contains("class=\"empty\"")
                || *path == "/journey"
                || *path == "/changes",
            "{path}"
        );
    }
    let nobody = office.get(Role::Viewer, "/customers/nobody").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert!(nobody.text().contains("Nobody by this id"));
}
