//! `lifecycle dev`: what scripts rely on.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::process::{Dev, command, output, stderr};

/// What a stopping process may take, with an open connection and a busy machine.
const STOP_LIMIT: Duration = Duration::from_secs(8);

const SOURCE: &str = "
version: 1
subject: account
traits:
  name: text?
  plan: [trial, team]
metrics:
  logins_7d: { count: login, over: 7d }
stages:
  onboarding:
    enter: { when: traits.plan == \"team\", priority: 10 }
  adopting:
    enter: { when: metrics.logins_7d >= 3, priority: 20 }
health:
  factors:
    usage: { weight: 100, value: metrics.logins_7d, worst: 0, best: 5 }
risk:
  model: scorecard
  factors:
    quiet: { weight: 100, value: metrics.logins_7d, worst: 0, best: 4 }
  bands: { low: 0, high: 0.5 }
standards:
  kickoff_held:
    deadline: { stage: onboarding, event: kickoff_call, within: 5d }
    severity: high
    owner: csm
alerts:
  routes:
    - { to: team }
  receivers:
    team: { sns: team }
";

/// A folder with the lifecycle file above.
fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), SOURCE);
    folder
}

fn write(folder: &Path, source: &str) {
    std::fs::write(folder.join("lifecycle.yaml"), source).unwrap();
}

fn start_manual(folder: &Path) -> Dev {
    let dev = Dev::start(folder, &["--memory", "--clock", "manual"]);
    set_clock(&dev, "2026-03-02T12:00:00Z");
    dev
}

fn set_clock(dev: &Dev, now: &str) {
    let answered = dev.http.post("/dev/clock", &json!({ "now": now }));
    assert_eq!(answered, (200, json!({ "now": now })));
}

/// An account that is on a plan, and whose user logged in twice.
fn acme_joins(dev: &Dev) {
    let traits = json!({ "name": "Acme", "plan": "team" });
    let calls = [
        json!({ "type": "group", "userId": "ada", "groupId": "acme", "traits": traits,
            "messageId": "1", "timestamp": "2026-03-02T09:00:00Z" }),
        json!({ "type": "track", "userId": "ada", "event": "login",
            "messageId": "2", "timestamp": "2026-03-02T09:01:00Z" }),
        json!({ "type": "track", "userId": "ada", "event": "login",
            "messageId": "3", "timestamp": "2026-03-02T10:01:00Z" }),
    ];
    let (status, answer) = dev.http.send("dev", &calls).unwrap();
    assert_eq!((status, &answer["accepted"]), (200, &json!(3)), "{answer}");
}

fn run(dev: &Dev, function: &str) -> Json {
    let (status, summary) = dev.http.post(&format!("/dev/run/{function}"), &json!({}));
    assert_eq!(status, 200, "{summary}");
    assert!(summary["visited"].is_u64() && summary["changed"].is_u64(), "{summary}");
    summary
}

#[test]
fn the_first_line_says_where_it_listens() {
    let folder = workspace();
    let dev = Dev::start(folder.path(), &["--memory"]);
    let port = dev.http.url.strip_prefix("http://127.0.0.1:").unwrap();
    assert!(port.parse::<u16>().is_ok_and(|port| port > 0));
    assert_eq!(dev.first_line, format!("{{\"listening\":\"http://127.0.0.1:{port}\"}}"));
    assert_eq!(dev.http.get("/api/stages").0, 200, "it listens by then");
}

#[test]
fn a_polite_signal_ends_it_soon_and_well() {
    let folder = workspace();
    for signal in ["TERM", "INT"] {
        let dev = Dev::start(folder.path(), &["--memory"]);
        // Leaves a connection open.
        assert_eq!(dev.http.get("/api/stages").0, 200);
        let (status, took) = dev.stop(signal);
        assert_eq!(status.code(), Some(0), "SIG{signal}");
        assert!(took < STOP_LIMIT, "SIG{signal} took {took:?}");
    }
}

#[test]
fn it_answers_to_this_machines_names_only() {
    let folder = workspace();
    let dev = Dev::start(folder.path(), &["--memory"]);
    let address = dev.http.url.strip_prefix("http://").unwrap();
    let port = address.rsplit(':').next().unwrap();
    let status = |host: &str, path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status(address, "/api/stages"), "200");
    assert_eq!(status(&format!("localhost:{port}"), "/api/stages"), "200");
    for host in ["evil.example", "127.0.0.1.evil.example", &format!("evil.example:{port}"), ""] {
        for path in ["/api/stages", "/dev/sns", "/v1/batch", "/nothing"] {
            assert_eq!(status(host, path), "403", "{host}{path}");
        }
    }
}

#[test]
fn a_manual_clock_stands_still_until_it_is_set() {
    let folder = workspace();
    let dev = start_manual(folder.path());
    let expected = json!({ "now": "2026-03-02T12:00:00Z", "clock": "manual" });
    assert_eq!(dev.http.get("/dev/clock"), (200, expected.clone()));
    for wrong in [json!({}), json!({ "now": "soon" }), json!("2026-03-02T12:00:00Z")] {
        let (status, problem) = dev.http.post("/dev/clock", &wrong);
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_time")), "{wrong}");
    }
    assert_eq!(dev.http.get("/dev/clock").1, expected);
}

#[test]
fn the_systems_clock_cannot_be_set() {
    let folder = workspace();
    let dev = Dev::start(folder.path(), &["--memory"]);
    assert_eq!(dev.http.get("/dev/clock").1["clock"], "system");
    let (status, problem) = dev.http.post("/dev/clock", &json!({ "now": "2026-03-02T12:00:00Z" }));
    assert_eq!((status, &problem["code"]), (409, &json!("system_clock")));
}

#[test]
fn a_run_says_whom_it_visited_and_changed() {
    let folder = workspace();
    let dev = start_manual(folder.path());
    acme_joins(&dev);
    let evaluated = run(&dev, "evaluate");
    assert_eq!(
        evaluated,
        json!({ "outcome": "done", "at": "2026-03-02T12:00:00Z", "visited": 1, "changed": 1,
            "failed": 0 })
    );
    assert_eq!(run(&dev, "evaluate")["changed"], 0, "each request is a run of its own");
    assert_eq!(run(&dev, "score")["changed"], 1);
    assert_eq!(run(&dev, "comply")["changed"], 0);
    set_clock(&dev, "2026-03-08T12:00:00Z");
    assert_eq!(run(&dev, "comply")["changed"], 1, "the kickoff is late");
    assert_eq!(run(&dev, "notify"), json!({ "visited": 0, "changed": 0 }), "all was told");
    let (_, acme) = dev.http.get("/api/customers/acme");
    assert_eq!((&acme["stage"]["name"], &acme["stage"]["days"]), (&json!("onboarding"), &json!(6)));
    assert_eq!(acme["risk"]["band"], "high");
    assert_eq!(acme["findings"][0]["standard"], "kickoff_held");
}

#[test]
fn a_run_may_be_of_another_instant() {
    let folder = workspace();
    let dev = start_manual(folder.path());
    acme_joins(&dev);
    let at = json!({ "at": "2026-03-05T00:00:00Z" });
    let (status, summary) = dev.http.post("/dev/run/evaluate", &at);
    assert_eq!((status, &summary["at"]), (200, &at["at"]));
    let (_, acme) = dev.http.get("/api/customers/acme");
    assert_eq!(acme["stage"]["since"], at["at"]);
    let (status, problem) = dev.http.post("/dev/run/evaluate", &json!({ "at": "soon" }));
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_request")));
}

#[test]
fn there_is_no_other_function_to_run() {
    let folder = workspace();
    let dev = start_manual(folder.path());
    for unknown in ["ingest", "console", "Evaluate", "nothing"] {
        let (status, problem) = dev.http.post(&format!("/dev/run/{unknown}"), &json!({}));
        assert_eq!((status, &problem["code"]), (404, &json!("unknown_function")), "{unknown}");
        assert_eq!(problem["status"], 404);
    }
}

#[test]
fn capacity_is_told_by_function_and_table_and_can_be_reset() {
    let folder = workspace();
    let dev = start_manual(folder.path());
    acme_joins(&dev);
    run(&dev, "evaluate");
    let (status, rows) = dev.http.get("/dev/capacity");
    assert_eq!(status, 200);
    let rows = rows.as_array().unwrap().clone();
    for row in &rows {
        let members: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["calls", "function", "read_units", "table", "write_units"]);
        assert!(row["calls"].is_u64() && row["read_units"].is_number(), "{row}");
    }
    let units = |function: &str, table: &str| {
        let row = rows.iter().find(|row| row["function"] == function && row["table"] == table);
        row.map_or(0.0, |row| row["write_units"].as_f64().unwrap())
    };
    assert!(units("ingest", "events") >= 3.0, "{rows:?}");
    assert!(units("evaluate", "journal") > 0.0, "{rows:?}");
    assert_eq!(units("console", "customers"), 0.0, "the read API writes nothing");

    assert_eq!(dev.http.delete("/dev/capacity"), 204);
    let (_, rows) = dev.http.get("/dev/capacity");
    for row in rows.as_array().unwrap() {
        // What the stream is read for in the background is not the senders' doing.
        assert!(row["function"] == "notify" || row["calls"] == 0, "{row}");
    }
}

#[test]
fn a_file_that_is_edited_moves_a_customer_and_the_alert_says_why() {
    let folder = workspace();
    let dev = start_manual(folder.path());
    acme_joins(&dev);
    run(&dev, "evaluate");
    assert_eq!(dev.http.get("/api/customers/acme").1["stage"]["name"], "onboarding");
    assert_eq!(dev.http.get("/dev/sns").1.as_array().unwrap().len(), 1);

    // Half an edit: refused with its place, and what was active stays so.
    write(folder.path(), &SOURCE.replace("metrics.logins_7d >= 3", "metrics.logins >= 2"));
    assert_eq!(run(&dev, "evaluate")["changed"], 0);
    assert!(dev.complaints().contains("lifecycle.yaml:13:"), "{}", dev.complaints());

    write(folder.path(), &SOURCE.replace("metrics.logins_7d >= 3", "metrics.logins_7d >= 2"));
    set_clock(&dev, "2026-03-03T12:00:00Z");
    assert_eq!(run(&dev, "evaluate")["changed"], 1);
    assert_eq!(dev.http.get("/api/customers/acme").1["stage"]["name"], "adopting");

    let (status, published) = dev.http.get("/dev/sns");
    assert_eq!(status, 200);
    let published = published.as_array().unwrap();
    assert_eq!(published.len(), 2, "{published:?}");
    let moved = &published[1];
    let members: Vec<&str> = moved.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["attributes", "message", "published_at", "subject", "topic"]);
    assert_eq!(moved["topic"], "team");
    assert_eq!(moved["subject"], "Acme: onboarding → adopting");
    assert_eq!(moved["published_at"], "2026-03-03T12:00:00Z");
    assert_eq!(moved["attributes"]["kind"], "stage");
    let message: Json = serde_json::from_str(moved["message"].as_str().unwrap()).unwrap();
    let text = message["email"].as_str().unwrap();
    assert!(text.contains("metrics.logins_7d >= 2 (metrics.logins_7d = 2)"), "{text}");
    assert_eq!(message["default"], message["email"]);
    let chat: Json = serde_json::from_str(message["https"].as_str().unwrap()).unwrap();
    assert_eq!(chat["source"], "custom");
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_with_its_place() {
    let folder = workspace();
    write(folder.path(), &SOURCE.replace("logins_7d >= 3", "logins_7 >= 3"));
    for arguments in [
        &["dev", "--port", "0", "--memory"][..],
        &["dev", "--port", "0", "--memory", "--config", "lifecycle.yaml"],
        &["validate"],
    ] {
        let output = output(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let complaint = stderr(&output);
        assert!(complaint.contains("lifecycle.yaml:13:20"), "{arguments:?}: {complaint}");
        assert!(complaint.contains("logins_7d"), "with what may be meant: {complaint}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let output = output(folder.path(), &["dev", "--port", "0", "--memory", "--config", "no.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no.yaml"), "{}", stderr(&output));
}

#[test]
fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let folder = workspace();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = output(folder.path(), &["dev", "--port", &port, "--memory"]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = stderr(&output);
    assert!(complaint.contains(&port) && complaint.contains("--port 0"), "{complaint}");
}

#[test]
fn data_in_use_is_an_error_that_names_the_process() {
    let folder = workspace();
    let dev = Dev::start(folder.path(), &["--data", "data"]);
    let second =
        command(folder.path(), &["dev", "--port", "0", "--data", "data"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let complaint = stderr(&second);
    assert!(complaint.contains(&format!("process {}", dev.id())), "{complaint}");
    assert_eq!(dev.http.get("/api/stages").0, 200, "the first goes on");
}
