//! The lifecycle as code: tested, applied, told apart, rolled back and explained.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::process::{Dev, answer, output, stderr};

const DATA: [&str; 2] = ["--data", "data"];

/// Runs a command on the data, which is to succeed: the JSON it prints.
fn ask(folder: &Path, arguments: &[&str]) -> Json {
    answer(folder, &[arguments, &DATA[..], &["--json"]].concat())
}

/// A folder with the preset, its cases, and a simulated company in the data.
fn company(accounts: &str, months: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(output(folder.path(), &["init"]).status.success());
    let simulate =
        ["simulate", "--accounts", accounts, "--months", months, "--until", "2026-07-01"];
    answer(folder.path(), &[&simulate[..], &["--out", "company.jsonl", "--json"]].concat());
    let imported = ask(folder.path(), &["import", "company.jsonl"]);
    assert_eq!(imported["rejected"], 0, "{imported}");
    folder
}

fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("lifecycle.yaml");
    let source = std::fs::read_to_string(&file).unwrap();
    assert!(source.contains(from), "{from}");
    std::fs::write(file, source.replace(from, to)).unwrap();
}

#[test]
fn cases_pass_until_an_edit_breaks_them() {
    let folder = tempfile::tempdir().unwrap();
    let written = answer(folder.path(), &["init", "--json"]);
    assert_eq!(written["tests"], "lifecycle.tests.yaml");
    let told = answer(folder.path(), &["test", "--json"]);
    assert_eq!((&told["failed"], &told["errors"]), (&json!(0), &json!([])), "{told}");
    assert!(told["passed"].as_u64().unwrap() >= 8, "{told}");
    assert_eq!(told["coverage"]["stages"]["never"], json!([]), "{told}");
    let passed = output(folder.path(), &["test"]);
    let text = String::from_utf8(passed.stdout).unwrap();
    assert!(text.contains("cases as expected.") && text.contains("risk bands"), "{text}");

    edit(folder.path(), "metrics.idle_days > 21", "metrics.idle_days > 40");
    let failed = output(folder.path(), &["test", "--json"]);
    assert_eq!(failed.status.code(), Some(1));
    let told: Json = serde_json::from_slice(&failed.stdout).unwrap();
    let cases = told["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["passed"] == false).unwrap();
    let failure = &case["failures"][0];
    assert_eq!((&failure["what"], &failure["day"]), (&json!("stage"), &json!(24)), "{failure}");
    assert_eq!(
        (&failure["expected"], &failure["found"]),
        (&json!(["will_churn"]), &json!(["adopting"]))
    );
    let why = failure["why"].to_string();
    assert!(why.contains("not will_churn: it does not hold"), "{why}");
    let text = String::from_utf8(output(folder.path(), &["test"]).stdout).unwrap();
    let place = format!("lifecycle.tests.yaml:{}", failure["line"]);
    assert!(text.contains("FAIL") && text.contains(&place), "{text}");
    assert!(
        text.contains("- will_churn  expected") && text.contains("+ adopting  found"),
        "{text}"
    );

    std::fs::write(folder.path().join("lifecycle.tests.yaml"), "- name: x\n  expct: []\n").unwrap();
    let wrong = output(folder.path(), &["test"]);
    assert_eq!(wrong.status.code(), Some(1));
    let complaint = stderr(&wrong);
    assert!(
        complaint.contains("lifecycle.tests.yaml:2:3") && complaint.contains('^'),
        "{complaint}"
    );
    assert!(complaint.contains("did you mean `expect`?"), "{complaint}");
    let none = output(folder.path(), &["test", "no.yaml"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("lifecycle init"), "{}", stderr(&none));
}

#[test]
fn versions_are_applied_in_turn_told_apart_and_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert!(output(at, &["init"]).status.success());
    let by = ["--author", "kim", "--message", "first", "--yes"];
    let first = ask(at, &[&["apply"][..], &by].concat());
    assert_eq!((&first["version"], &first["changed"]), (&json!(1), &json!(true)), "{first}");
    assert_eq!((&first["author"], &first["previous"]), (&json!("kim"), &Json::Null));
    let again = ask(at, &["apply"]);
    assert_eq!((&again["version"], &again["changed"]), (&json!(1), &json!(false)), "{again}");

    edit(at, "target: 30d ", "target: 40d ");
    let by = ["--author", "lea", "--message", "more time", "--expect-version", "1"];
    let second = ask(at, &[&["apply"][..], &by].concat());
    assert_eq!((&second["version"], &second["previous"]), (&json!(2), &json!(1)), "{second}");

    // Somebody who still thinks that version 1 is active is told who was faster.
    edit(at, "target: 40d ", "target: 35d ");
    let apply = ["apply", "--expect-version", "1", "--data", "data"];
    let overtaken = output(at, &apply);
    assert_eq!(overtaken.status.code(), Some(1));
    let complaint = stderr(&overtaken);
    assert!(complaint.contains("version 2 is active") && complaint.contains("lea"), "{complaint}");
    assert!(complaint.contains("more time"), "{complaint}");

    let history = ask(at, &["history"]);
    let items: Vec<(u64, &str, bool)> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let number = one["version"].as_u64().unwrap();
            (number, one["author"].as_str().unwrap(), one["active"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(items, [(2, "lea", true), (1, "kim", false)]);

    let diff = ask(at, &["diff"]);
    assert_eq!((&diff["from"], &diff["to"]), (&json!("version 2"), &json!("lifecycle.yaml")));
    assert_eq!((&diff["added"], &diff["removed"]), (&json!(1), &json!(1)));
    let diff = ask(at, &["diff", "1", "2"]);
    let text = diff["diff"].as_str().unwrap();
    assert!(text.contains("-    target: 30d") && text.contains("+    target: 40d"), "{text}");

    let back = ask(at, &["rollback"]);
    assert_eq!((&back["version"], &back["hash"]), (&json!(3), &first["hash"]), "{back}");
    assert_eq!(back["message"], "roll back to version 1");
    assert_eq!(ask(at, &["diff", "1"])["changed"], false);
    let none = output(at, &["rollback", "9", "--data", "data"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("no version 9"), "{}", stderr(&none));

    edit(at, "target: 35d ", "traget: 35d ");
    let invalid = output(at, &["apply", "--data", "data"]);
    assert_eq!(invalid.status.code(), Some(1));
    assert!(stderr(&invalid).contains("did you mean `target`?"), "{}", stderr(&invalid));
    assert_eq!(ask(at, &["history"])["items"].as_array().unwrap().len(), 3, "nothing was applied");
}

#[test]
fn a_metric_that_is_new_is_counted_for_the_past_too() {
    let folder = company("5", "2");
    let at = folder.path();
    edit(
        at,
        "  nps: ",
        "  calls_60d: { count: call, over: 60d }\n  steps: { count: onboarding_step }\n  nps: ",
    );
    let applied = ask(at, &["apply"]);
    assert_eq!(applied["refolded"], 5, "{applied}");
    assert_eq!(ask(at, &["apply"])["refolded"], 0, "all of them were done");
    // The first version was applied by the import.
    assert_eq!(applied["version"], 2);
    let dev = Dev::start(at, &["--data", "data"]);
    let steps: u64 = dev
        .http
        .list("/api/customers")
        .iter()
        .map(|customer| {
            let id = customer["id"].as_str().unwrap();
            let (_, told) = dev.http.get(&format!("/api/customers/{id}"));
            told["metrics"]["steps"].as_u64().unwrap()
        })
        .sum();
    let company = std::fs::read_to_string(at.join("company.jsonl")).unwrap();
    assert_eq!(steps as usize, company.matches("\"onboarding_step\"").count());
}

#[test]
fn a_customer_explains_itself_by_the_command_and_the_api() {
    let folder = company("6", "3");
    let at = folder.path();
    let run = ["run", "evaluate", "--at", "2026-07-01T00:00:00Z"];
    assert_eq!(ask(at, &run)["failed"], 0);
    let told = ask(at, &["explain", "acct-00001"]);
    assert_eq!(told["customer"], "acct-00001");
    let stage = told["stage"]["name"].as_str().unwrap();
    let decided = &told["decided_by"];
    assert_eq!((&decided["config_version"], &decided["seq"]), (&json!(1), &json!(1)), "{decided}");
    let others = told["others"].as_array().unwrap();
    assert_eq!(others.len(), 6, "every stage but {stage}");
    for other in others {
        assert!(other["why_not"].is_string() || other["code"] == "taken", "{other}");
        assert!(!other["parts"].as_array().unwrap().is_empty(), "{other}");
    }
    let inputs = told["inputs"].as_array().unwrap();
    let plan = inputs.iter().find(|input| input["name"] == "traits.plan").unwrap();
    let event = plan["events"][0]["id"].as_str().unwrap();
    assert!(std::fs::read_to_string(at.join("company.jsonl")).unwrap().contains(event), "{event}");
    assert!(!told["what_if"].as_array().unwrap().is_empty(), "{told}");

    let before = ask(at, &["explain", "acct-00001", "--at", "2026-06-30T12:00:00Z"]);
    assert_eq!((&before["stage"], &before["at"]), (&Json::Null, &json!("2026-06-30T12:00:00Z")));
    let text = output(at, &["explain", "acct-00001", "--data", "data"]);
    let text = String::from_utf8(text.stdout).unwrap();
    for part in ["Why this stage", "Why not another", "Inputs", "What would change it", event] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unknown = output(at, &["explain", "nobody", "--data", "data"]);
    assert_eq!(unknown.status.code(), Some(1));

    let dev = Dev::start(at, &["--data", "data"]);
    let (status, same) = dev.http.get("/api/customers/acct-00001/explain?at=2026-06-30T12:00:00Z");
    assert_eq!((status, &same), (200, &before));
    let (status, problem) = dev.http.get("/api/customers/acct-00001/explain?at=soon");
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_at")));
    assert_eq!(dev.http.get("/api/customers/nobody/explain").0, 404);
    let (_, journal) = dev.http.get("/api/customers/acct-00001/journal");
    assert_eq!(journal["items"][0]["config_version"], 1, "{journal}");
    let (_, active) = dev.http.get("/api/lifecycle");
    assert_eq!((&active["version"], &active["author"]), (&json!(1), &Json::Null));
}
