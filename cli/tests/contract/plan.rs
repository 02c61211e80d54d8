//! `lifecycle plan`: what an edit would do, and the walk-through of the README.

use std::path::Path;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::write::GzEncoder;
use lifecycle::embedded::engine::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, dynamodb_at};
use serde_json::{Value as Json, json};
use std::io::Write as _;

use crate::process::{Dev, answer, command, output, stderr};

/// The edit of the README: silent for more than three days is gone.
const GONE: &str = "has(traits.churn_notice) && traits.churn_notice <= today";
const SILENT: &str = "metrics.idle_days > 3";
const AT: &str = "2026-07-01";

fn run(folder: &Path, arguments: &[&str]) -> Json {
    answer(folder, &[arguments, &["--json"]].concat())
}

/// The preset, and a simulated company that was decided upon once.
fn company() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    run(at, &["init"]);
    let shape = ["--accounts", "60", "--months", "4", "--until", AT, "--out", "company.jsonl"];
    run(at, &[&["simulate"][..], &shape].concat());
    run(at, &["import", "company.jsonl"]);
    run(at, &["run", "evaluate", "--at", "2026-06-30T23:00:00Z"]);
    folder
}

fn edit(folder: &Path, name: &str, from: &str, to: &str) {
    let source = std::fs::read_to_string(folder.join("lifecycle.yaml")).unwrap();
    assert!(source.contains(from), "{from}");
    std::fs::write(folder.join(name), source.replace(from, to)).unwrap();
}

#[test]
fn an_edit_that_takes_paying_accounts_for_churned_fails_in_ci_and_names_them() {
    let folder = company();
    let at = folder.path();
    edit(at, "edited.yaml", GONE, SILENT);
    let plan = ["plan", "edited.yaml", "--at", AT, "--max-moves", "2%", "--html", "plan.html"];
    let failed = output(at, &[&plan[..], &["--json"]].concat());
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    let told: Json = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(told["limit"], json!({ "max_moves": "2%", "exceeded": true }));
    assert_eq!((&told["customers"], &told["active"]["version"]), (&json!(60), &json!(1)));
    let lost = told["moves"]["paying_lost"]["customers"].as_u64().unwrap();
    assert!(lost > 0, "{told}");
    let first = &told["affected"][0];
    assert_eq!((&first["lost"], &first["paying"]), (&json!(true), &json!(true)), "{first}");
    assert_eq!((&first["proposed"], &first["by"]), (&json!("churned"), &json!("proposed")));
    assert_eq!(first["reasons"][0]["expression"], SILENT);
    let complaint = stderr(&failed);
    for text in ["--max-moves 2%", "would be taken for churned", first["id"].as_str().unwrap()] {
        assert!(complaint.contains(text), "{text}: {complaint}");
    }
    let alerts = told["alerts"].as_array().unwrap();
    let is_stage = |one: &&Json| one["receiver"] == "urgent" && one["kind"] == "stage";
    let urgent = alerts.iter().find(is_stage).unwrap();
    assert!(urgent["appear"].as_u64().unwrap() > 0, "{urgent}");
    assert_eq!(
        told["history"]["course"].as_array().unwrap().len(),
        told["steps"].as_u64().unwrap() as usize
    );

    let page = std::fs::read_to_string(at.join("plan.html")).unwrap();
    assert!(page.contains("<svg") && page.contains(first["id"].as_str().unwrap()));
    for foreign in ["<script", "http://", "https://"] {
        let own = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
        let found = page.matches(foreign).count();
        assert_eq!(found, if foreign == "http://" { own } else { 0 }, "{foreign}");
    }
    // Nothing was changed by it.
    assert_eq!(run(at, &["history"])["items"].as_array().unwrap().len(), 1);
    let fine = ["plan", "--at", AT, "--max-moves", "0"];
    let told = run(at, &fine);
    assert_eq!((&told["empty"], &told["moves"]["customers"]), (&json!(true), &json!(0)), "{told}");
}

#[test]
fn a_plan_is_the_same_from_the_file_a_running_dev_a_stack_and_an_export() {
    let folder = company();
    let at = folder.path();
    edit(at, "edited.yaml", GONE, SILENT);
    let plan = ["plan", "edited.yaml", "--at", AT];
    let local = without_measures(run(at, &plan));
    assert!(local["moves"]["customers"].as_u64().unwrap() > 0, "{local}");

    let dev = Dev::start(at, &["--data", ".lifecycle", "--clock", "manual"]);
    assert_eq!(without_measures(run(at, &plan)), local);
    let endpoint = std::fs::read_to_string(at.join(".lifecycle/dynamodb.endpoint")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(at.join("edited.yaml"), elsewhere.path().join("edited.yaml")).unwrap();
    assert_eq!(without_measures(of_a_stack(elsewhere.path(), &plan, &endpoint)), local);
    let left: Vec<_> = std::fs::read_dir(elsewhere.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "a stack needs no data here: {left:?}");
    export(&endpoint, &at.join("export"));
    drop(dev);

    let source = ["--export", "export", "--active", "lifecycle.yaml"];
    let mut exported = without_measures(run(at, &[&plan[..], &source].concat()));
    for same in ["customers", "events", "history"] {
        assert_eq!(exported[same], local[same], "{same}");
    }
    // What was decided is not in an export of the events: it is replayed.
    exported["moves"].take();
    let none =
        output(at, &["plan", "edited.yaml", "--export", "nowhere", "--active", "lifecycle.yaml"]);
    assert_eq!(none.status.code(), Some(1));
    let wrong = output(at, &["plan", "edited.yaml", "--export", "export"]);
    assert_eq!(wrong.status.code(), Some(2), "an export does not say which file is active");
}

/// A stack's tables are those of AWS, here at the address that the SDK is told.
fn of_a_stack(folder: &Path, plan: &[&str], endpoint: &str) -> Json {
    let unnamed = output(folder, &[plan, &["--aws"]].concat());
    assert_eq!(unnamed.status.code(), Some(1));
    assert!(stderr(&unnamed).contains("EVENTS_TABLE"), "{}", stderr(&unnamed));

    let mut command = command(folder, &[plan, &["--aws", "--json"]].concat());
    command.envs([
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ]);
    for table in ["events", "customers", "journal", "control"] {
        let name = format!("{}_TABLE", table.to_uppercase());
        command.env(name, format!("lifecycle-{table}"));
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn without_measures(mut told: Json) -> Json {
    let members = told.as_object_mut().unwrap();
    members.retain(|name, _| !["seconds", "peak_rss_bytes"].contains(&name.as_str()));
    told
}

/// A company that tells risk by the rhythm of its logins, scored and decided upon once.
const RHYTHM: &str = "version: 1
traits: { mrr: number? }
metrics: { idle_days: { days_since: login } }
stages:
  calm: { enter: { when: metrics.idle_days >= 0, priority: 10 } }
  worry: { enter: { when: risk.band == \"critical\", priority: 20 } }
risk: { model: alive, event: login, horizon: 14d, bands: { low: 0, high: 0.1, critical: 0.3 } }
alerts:
  routes: [ { match: { kind: risk }, to: team } ]
  receivers: { team: { sns: team } }
";

#[test]
fn risk_is_told_by_what_was_learnt_and_what_is_not_learnt_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("lifecycle.yaml"), RHYTHM).unwrap();
    let shape = ["--accounts", "80", "--months", "4", "--until", AT, "--out", "company.jsonl"];
    run(at, &[&["simulate"][..], &shape].concat());
    run(at, &["import", "company.jsonl"]);
    let night = "2026-06-30T23:00:00Z";
    run(at, &["run", "score", "--at", night]);
    run(at, &["run", "evaluate", "--at", night]);

    // Of one day without a login the same fit tells more often: other bands, other stages, other alerts.
    edit(at, "edited.yaml", "horizon: 14d", "horizon: 1d");
    let told = run(at, &["plan", "edited.yaml", "--at", AT]);
    for file in ["active", "proposed"] {
        let risk = &told[file]["risk"];
        assert_eq!((&risk["model"], &risk["version"]), (&json!("alive"), &json!(1)), "{risk}");
        assert_eq!(risk["missing"], false);
    }
    assert!(told["moves"]["customers"].as_u64().unwrap() > 0, "{told}");
    let first = &told["affected"][0];
    assert_eq!(
        (&first["active"], &first["proposed"]),
        (&json!("calm"), &json!("worry")),
        "{first}"
    );
    assert_eq!(first["reasons"][0]["inputs"]["risk.band"], "critical");
    let risks = &told["history"]["alerts"][0];
    assert_eq!(risks["kind"], "risk");
    assert!(risks["appear"].as_u64().unwrap() > 0, "{risks}");
    let text = output(at, &["plan", "edited.yaml", "--at", AT]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("risk by version 1 of alive, learnt on 2026-06-30"), "{text}");
    let same = run(at, &["plan", "--at", AT, "--max-moves", "0"]);
    assert_eq!(same["empty"], true, "{same}");

    // What was learnt of logins tells nothing of another event, nor for another model.
    let other = "model: leaving, leaves: { with: subscription_cancelled }, ";
    for (name, from, to, words) in [
        (
            "event.yaml",
            "event: login",
            "event: feature_used",
            "version 1 was learnt for something else",
        ),
        ("model.yaml", "model: alive, ", other, "what is learnt is version 1 of alive"),
    ] {
        edit(at, name, from, to);
        let told = run(at, &["plan", name, "--at", AT]);
        assert_eq!(told["active"]["risk"]["missing"], false, "{told}");
        assert_eq!(told["proposed"]["risk"]["missing"], true, "{told}");
        assert_eq!(told["empty"], true, "nobody moves for what nobody knows: {told}");
        let notes = told["notes"].to_string();
        assert!(notes.contains(words) && notes.contains("risk is left out"), "{notes}");
    }
}

/// What the accounts below count counts for the one above, from whatever is read.
const GROUP: &str = "version: 1
traits: { parent: account?, plan: [trial, team] }
metrics:
  logins: { count: login, over: 28d, roll_up: true }
stages:
  small: { enter: { when: metrics.logins >= 0, priority: 10 } }
  large: { enter: { when: metrics.logins >= 4, priority: 20 } }
";

#[test]
fn an_account_is_planned_with_what_is_below_it_from_every_source() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("lifecycle.yaml"), GROUP).unwrap();
    let mut lines = String::new();
    let mut call = |call: Json| lines.push_str(&format!("{call}\n"));
    for (account, parent, logins) in [
        ("holding", None, 1),
        ("north", Some("holding"), 1),
        ("harbour", Some("north"), 3),
        ("lonely", None, 3),
    ] {
        let user = format!("user-of-{account}");
        let traits = json!({ "plan": "team", "parent": parent });
        call(json!({ "type": "group", "groupId": account, "userId": user, "traits": traits,
            "messageId": account, "timestamp": "2026-05-04T08:00:00Z" }));
        for nth in 0..logins {
            call(json!({ "type": "track", "event": "login", "userId": user,
                "messageId": format!("{account}-{nth}"), "context": { "groupId": account },
                "timestamp": format!("2026-06-{:02}T08:00:00Z", 10 + nth) }));
        }
    }
    std::fs::write(at.join("company.jsonl"), lines).unwrap();
    assert_eq!(run(at, &["import", "company.jsonl"])["rejected"], 0);
    run(at, &["run", "evaluate", "--at", "2026-06-30T23:00:00Z"]);

    edit(at, "edited.yaml", "metrics.logins >= 4", "metrics.logins >= 5");
    let plan = ["plan", "edited.yaml", "--at", AT];
    let local = without_measures(run(at, &plan));
    let moved = local["affected"].as_array().unwrap();
    let ids: Vec<&str> = moved.iter().map(|one| one["id"].as_str().unwrap()).collect();
    // North has four with harbour, holding five with both.
    assert_eq!((ids, &local["customers"]), (vec!["north"], &json!(4)), "{local}");
    assert_eq!((&moved[0]["present"], &moved[0]["proposed"]), (&json!("large"), &json!("small")));

    let dev = Dev::start(at, &["--data", ".lifecycle", "--clock", "manual"]);
    assert_eq!(without_measures(run(at, &plan)), local);
    let endpoint = std::fs::read_to_string(at.join(".lifecycle/dynamodb.endpoint")).unwrap();
    export(&endpoint, &at.join("export"));
    drop(dev);
    let source = ["--export", "export", "--active", "lifecycle.yaml"];
    let exported = run(at, &[&plan[..], &source].concat());
    assert_eq!(exported["history"], local["history"]);
    assert_eq!(exported["affected"][0]["id"], "north", "{exported}");
}

/// Writes the events table as an export to S3 does: DYNAMODB_JSON, compressed.
fn export(endpoint: &str, folder: &Path) {
    let data = folder.join("AWSDynamoDB/01-abc/data");
    std::fs::create_dir_all(&data).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut files: Vec<GzEncoder<std::fs::File>> = (0..2)
        .map(|part| {
            let file = std::fs::File::create(data.join(format!("part{part}.json.gz"))).unwrap();
            GzEncoder::new(file, Compression::fast())
        })
        .collect();
    runtime.block_on(async {
        let mut pages = dynamodb_at(endpoint)
            .scan()
            .table_name("lifecycle-events")
            .into_paginator()
            .items()
            .send();
        let mut number = 0;
        while let Some(item) = pages.next().await {
            let item: serde_json::Map<String, Json> = item
                .unwrap()
                .into_iter()
                .map(|(name, value)| {
                    let value = match value {
                        AttributeValue::S(text) => json!({ "S": text }),
                        AttributeValue::N(number) => json!({ "N": number }),
                        AttributeValue::B(bytes) => json!({ "B": base64(&bytes) }),
                        other => panic!("{other:?}"),
                    };
                    (name, value)
                })
                .collect();
            // In no order, as an export is.
            writeln!(files[number * 7 % 2], "{}", json!({ "Item": item })).unwrap();
            number += 1;
        }
    });
    writeln!(files[0], "{{\"Item\":{{\"pk\":{{\"S\":\"not an event\"}}}}}}").unwrap();
    for file in files {
        file.finish().unwrap();
    }
}

fn base64(bytes: &Blob) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes.as_ref())
}

/// The commands of the README's walk-through, as they stand there.
#[test]
fn the_walk_through_of_the_readme_works() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once("\n## The lifecycle as code\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let (mut ran, mut failed) = (0, Vec::new());
    for line in blocks.iter().flat_map(|block| block.lines()) {
        let line = line.split("  #").next().unwrap().trim();
        if line.is_empty() {
            continue;
        }
        let binaries = Path::new(env!("CARGO_BIN_EXE_lifecycle")).parent().unwrap();
        let script = format!("PATH='{}':$PATH\n{line}", binaries.display());
        let mut shell = std::process::Command::new("sh");
        let done = shell.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        ran += 1;
        if !done.status.success() {
            failed.push((line.to_owned(), done.status.code(), stderr(&done)));
        }
    }
    assert!(ran >= 15, "{ran} commands");
    // Two are there to fail: the tests of the edited file, and its plan in CI.
    let lines: Vec<(&str, Option<i32>)> =
        failed.iter().map(|(line, code, _)| (line.as_str(), *code)).collect();
    assert_eq!(
        lines,
        [("lifecycle test", Some(1)), ("lifecycle plan --max-moves 2%", Some(1))],
        "{failed:#?}"
    );
    assert!(failed[1].2.contains("pay and would be taken for churned"), "{}", failed[1].2);
    assert!(folder.path().join("plan.html").is_file());
    let mut history = command(folder.path(), &["history", "--json"]);
    let history: Json = serde_json::from_slice(&history.output().unwrap().stdout).unwrap();
    let versions: Vec<u64> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [3, 2, 1]);
}

/// The same on the purchases of a shop: the 2,357 customers of the CDNOW sample.
#[test]
fn the_walk_through_holds_on_the_purchases_of_a_shop() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/CDNOW_sample.txt");
    let folder = tempfile::tempdir().unwrap();
    let (at, now) = (folder.path(), "2026-06-30T23:00:00Z");
    run(at, &["init", "--preset", "ecommerce"]);
    run(at, &["import", sample, "--shift-to", "2026-06-30"]);
    run(at, &["run", "evaluate", "--at", now]);

    let valid = run(at, &["validate", "--data"]);
    assert_eq!((&valid["valid"], &valid["warnings"]), (&json!(true), &json!([])));
    run(at, &["test"]);
    let same = run(at, &["plan", "--at", now, "--max-moves", "0"]);
    assert_eq!((&same["empty"], &same["customers"]), (&json!(true), &json!(2_357)));

    edit(at, "edited.yaml", "metrics.idle_days > 270, ", "metrics.idle_days > 90, ");
    let failed = output(at, &["plan", "edited.yaml", "--at", now, "--max-moves", "2%", "--json"]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    let told: Json = serde_json::from_slice(&failed.stdout).unwrap();
    let first = &told["affected"][0];
    assert_eq!((&first["proposed"], &first["lost"]), (&json!("lost"), &json!(true)), "{first}");
    assert_eq!(first["reasons"][0]["expression"], "metrics.idle_days > 90");

    edit(at, "lifecycle.yaml", "target: 45d", "target: 60d");
    assert_eq!(run(at, &["apply", "--message", "new for longer", "--yes"])["version"], 2);
    assert_eq!(run(at, &["rollback", "--yes"])["version"], 3);
    let why = run(at, &["explain", "0001", "--at", now]);
    let idle =
        why["inputs"].as_array().unwrap().iter().find(|one| one["name"] == "metrics.idle_days");
    assert_eq!(idle.unwrap()["event_count"], 1, "{why}");
    assert_eq!(why["decided_by"]["config_version"], 1);
}
