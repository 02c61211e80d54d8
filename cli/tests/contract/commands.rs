//! Commands: exit codes, and work on the data of a running `dev`.

use serde_json::{Value as Json, json};

use crate::process::{Dev, answer, output, stderr};

#[test]
fn wrong_use_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &[][..],
        &["--nonsense"],
        &["fly"],
        &["dev", "--prot", "0"],
        &["dev", "--port", "high"],
        &["dev", "--memory", "--data", "data"],
        &["run"],
        &["run", "ingest"],
        &["keys"],
        &["secrets"],
        &["audit"],
        &["deploy-check"],
        &["deploy-check", "--url", "http://example.com"],
        &["audit", "verify", "--root", "4d1c"],
        &["audit", "verify", "--seal", "4d1c"],
        &["audit", "report", "--from", "2026-01-01"],
        &["quarantine"],
        &["quarantine", "replay"],
        &["quarantine", "drop", "--all", "--code", "too_old"],
        &["import"],
        &["explain"],
        &["finding"],
        &["finding", "ack", "acme", "kickoff_held", "--outcome", "maybe"],
        &["findings", "--state", "lost"],
        &["adherence", "--by", "mood"],
        &["outcomes", "--horizon", "0"],
        &["rollback", "first"],
        &["tasks", "--overdu"],
        &["task"],
        &["task", "done", "acme"],
        &["task", "snooze", "acme", "rescue.call"],
        &["plan", "--max-moves", "many"],
        &["plan", "--months", "0"],
        &["apply", "--expect-version", "last"],
        &["test", "--wach"],
        &["simulate", "--accounts", "0"],
        &["simulate", "--until", "soon"],
        &["simulate", "--send", "http://127.0.0.1:1"],
    ] {
        let output = output(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let complaint = stderr(&output);
        let is_helpful = complaint.contains("Usage: lifecycle") || complaint.contains("--help");
        assert!(is_helpful, "{arguments:?}: {complaint}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "wrong use makes no data folder");
}

#[test]
fn help_and_version_are_answers() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "dev",
        "init",
        "validate",
        "test",
        "apply",
        "history",
        "diff",
        "rollback",
        "explain",
        "findings",
        "finding",
        "adherence",
        "outcomes",
        "import",
        "plan",
        "simulate",
        "run",
        "keys",
        "alerts",
        "silence",
        "secrets",
        "tasks",
        "task",
        "quarantine",
        "erase",
        "export",
        "audit",
        "deploy-check",
    ] {
        let output = output(folder.path(), &[command, "--help"]);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: lifecycle"), "{command}");
    }
    let version = output(folder.path(), &["--version"]);
    let expected = format!("lifecycle {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
}

#[test]
fn commands_work_on_the_data_of_a_running_dev() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", "data", "--json"];
    let dev = Dev::start(folder.path(), &["--data", "data", "--clock", "manual"]);
    let time = json!({ "now": "2026-03-02T13:00:00Z" });
    assert_eq!(dev.http.post("/dev/clock", &time).0, 200);

    let made = answer(folder.path(), &[&["keys", "add", "website"], &data[..]].concat());
    let key = made["write_key"].as_str().unwrap();
    let traits = json!({ "name": "Acme", "plan": "team" });
    let call = json!({ "type": "group", "userId": "ada", "groupId": "acme", "traits": traits,
        "messageId": "1", "timestamp": "2026-03-02T09:00:00Z" });
    assert_eq!(dev.http.send(key, std::slice::from_ref(&call)).unwrap().0, 200);
    assert_eq!(dev.http.send("wk_unknown", &[call]).unwrap().0, 401);
    let keys = answer(folder.path(), &[&["keys", "list"], &data[..]].concat());
    let labels: Vec<&str> =
        keys["items"].as_array().unwrap().iter().filter_map(|key| key["label"].as_str()).collect();
    assert!(labels.contains(&"website") && labels.contains(&"dev"), "{keys}");

    let history = (0..3).map(|n| {
        json!({ "type": "track", "userId": "ada", "event": "login",
            "messageId": format!("login-{n}"), "timestamp": format!("2026-03-02T1{n}:00:00Z"),
            "context": { "groupId": "acme" } })
    });
    let history: Vec<String> = history.map(|call| format!("{call}\n")).collect();
    std::fs::write(folder.path().join("history.jsonl"), history.concat()).unwrap();
    let import = [&["import", "history.jsonl"], &data[..]].concat();
    let report = answer(folder.path(), &import);
    assert_eq!((&report["accepted"], &report["rejected"]), (&json!(3), &json!(0)), "{report}");
    let report = answer(folder.path(), &import);
    assert_eq!((&report["accepted"], &report["duplicates"]), (&json!(0), &json!(3)), "{report}");
    assert_eq!(dev.http.list("/api/customers/acme/events").len(), 4);

    let run = ["run", "evaluate", "--at", "2026-03-02T13:00:00Z"];
    let summary = answer(folder.path(), &[&run[..], &data[..]].concat());
    assert_eq!((&summary["visited"], &summary["changed"]), (&json!(1), &json!(1)), "{summary}");
    let (_, acme) = dev.http.get("/api/customers/acme");
    assert_eq!(acme["stage"]["name"], "onboarding");
    assert_eq!(acme["stage"]["since"], "2026-03-02T13:00:00Z");
    dev.http.post("/dev/run/notify", &json!({}));
    let (_, published) = dev.http.get("/dev/sns");
    assert_eq!(published[0]["subject"], "Acme: starts in onboarding", "{published}");
    assert_eq!(dev.complaints(), "");

    assert!(dev.stop("TERM").0.success());
    let keys = answer(folder.path(), &[&["keys", "list"], &data[..]].concat());
    assert_eq!(keys["items"].as_array().unwrap().len(), 2, "and without it, on the same data");
}

#[test]
fn a_simulated_company_is_imported_and_sent_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let shape = ["simulate", "--accounts", "6", "--months", "1", "--until", "2026-03-02", "--json"];
    let told = answer(folder.path(), &[&shape[..], &["--out", "company.jsonl"]].concat());
    assert_eq!((&told["seed"], &told["sent"]), (&json!(1), &Json::Null), "{told}");
    let printed = output(folder.path(), &shape);
    let file = std::fs::read(folder.path().join("company.jsonl")).unwrap();
    assert_eq!(printed.stdout, file, "the same seed tells the same story");
    assert_eq!(serde_json::from_slice::<Json>(&printed.stderr).unwrap(), told);

    let dev = Dev::start(folder.path(), &["--data", "data"]);
    let import = ["import", "company.jsonl", "--data", "data", "--json"];
    let report = answer(folder.path(), &import);
    assert_eq!(
        (&report["accepted"], &report["rejected"]),
        (&told["events"], &json!(0)),
        "{report}"
    );
    let send = ["--send", &dev.http.url, "--write-key", "dev"];
    let sent = answer(folder.path(), &[&shape[..], &send].concat());
    let expected = json!({ "accepted": 0, "duplicates": told["events"], "rejected": 0 });
    assert_eq!(sent["sent"], expected, "its ids are the same wherever it goes");
    assert_eq!(dev.complaints(), "");
}

#[test]
fn what_an_endpoint_will_not_take_is_an_error_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &["--memory"]);
    let send = ["simulate", "--accounts", "2", "--months", "1", "--send", &dev.http.url];
    let refused = output(folder.path(), &[&send[..], &["--write-key", "wrong"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("401"), "{}", stderr(&refused));
}
