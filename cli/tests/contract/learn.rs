//! Who leaves, learnt from the workspace's own history: dry, for good, chosen, rolled back, and told.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::process::{answer, output, stderr};

const DATA: [&str; 2] = ["--data", "data"];

const FILE: &str = r#"
version: 1
traits:
  plan: [trial, team, business, enterprise]
  mrr: number?
  seats_bought: number?
  renewal_date: date?
  churn_notice: date?
metrics:
  active_users_28d: { distinct: user, over: 28d }
  seats_used: { latest: seat_report.used, stale_after: 14d }
  seat_use: metrics.seats_used / traits.seats_bought
  nps: { latest: survey.score, where: event.kind == "nps", stale_after: 180d }
stages:
  customer: { enter: { when: has(traits.plan) } }
risk:
  model: leaving
  event: login
  leaves: { with: subscription_cancelled }
  horizon: 45d
  lead: 7d
  learn_from: [login, feature_used, ticket_opened, ticket_closed, invoice_failed, onboarding_step]
  ignore: [traits.churn_notice]
"#;

fn ask(folder: &Path, arguments: &[&str]) -> Json {
    answer(folder, &[arguments, &DATA[..], &["--json"]].concat())
}

#[test]
fn a_company_learns_from_its_past_who_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("lifecycle.yaml"), FILE).unwrap();
    let simulate = ["simulate", "--accounts", "150", "--months", "14", "--until", "2026-07-01"];
    answer(folder, &[&simulate[..], &["--out", "company.jsonl", "--json"]].concat());
    let imported = ask(folder, &["import", "company.jsonl", "--config", "lifecycle.yaml"]);
    assert_eq!(imported["rejected"], 0, "{imported}");

    let at = ["--at", "2026-07-01"];
    let dry = output(folder, &[&["train", "--dry-run"][..], &at, &DATA].concat());
    let dry = String::from_utf8(dry.stdout).unwrap();
    for words in
        ["who leaves within 45 days", "Rhythm of", "log-loss", "Dry run: it would be gone by"]
    {
        assert!(dry.contains(words), "{words}: {dry}");
    }
    assert_eq!(ask(folder, &["models"])["versions"], json!([]));

    let train = [&["train", "--card", "card.html"][..], &at].concat();
    let learnt = ask(folder, &train);
    assert_eq!((&learnt["version"], &learnt["promoted"]), (&json!(1), &json!(true)), "{learnt}");
    assert!(learnt["left"].as_u64().unwrap() >= 15, "{learnt}");
    assert_eq!(learnt["verdict"]["verdict"], "first");
    let ladder = learnt["ladder"].as_array().unwrap();
    let names: Vec<&Json> = ladder.iter().map(|rung| &rung["name"]).collect();
    assert_eq!(names[..3], ["base rate", "rhythm alone", "recency and frequency"]);
    let loss = |rung: &Json| rung["pooled"]["log_loss"].as_f64().unwrap();
    assert!(loss(&learnt) < loss(&ladder[0]), "no better than the base rate: {learnt}");
    assert!(learnt["mean"]["auc"].as_f64().unwrap() > 0.65, "{learnt}");
    assert!(learnt["artifact_bytes"].as_u64().unwrap() <= 65_536);
    let card = std::fs::read_to_string(folder.join("card.html")).unwrap();
    assert_eq!(card.matches("<svg").count(), 2);

    // The nightly run goes by it, and the journal tells a manager why.
    let scored = ask(folder, &["run", "score", "--at", "2026-07-01T00:00:00Z"]);
    assert!(scored["changed"].as_u64().unwrap() > 50, "{scored}");
    let mut told = Vec::new();
    for account in 1..=150 {
        let id = format!("acct-{account:05}");
        let held = output(folder, &["export", &id, DATA[0], DATA[1]]);
        // Some have not joined yet.
        let Ok(held) = serde_json::from_slice::<Json>(&held.stdout) else { continue };
        for entry in held["journal"].as_array().unwrap() {
            assert_eq!(entry["entry"]["kind"], "risk");
            let reasons = entry["entry"]["reasons"].as_array().unwrap();
            told.extend(reasons.iter().map(|one| one["expression"].as_str().unwrap().to_owned()));
        }
        if told.len() > 200 {
            break;
        }
    }
    let says = |what: &str| told.iter().any(|sentence| sentence.contains(what));
    assert!(says("leaves within 45 days, from 7 days on, with a probability of"), "{told:?}");
    assert!(says("multiplies the odds of leaving by"), "{told:?}");

    // Learnt again it is the same: another version, no worse, and the one before can be gone back to.
    let again = ask(folder, &train);
    assert_eq!((&again["version"], &again["promoted"]), (&json!(2), &json!(true)), "{again}");
    assert_eq!(again["hash"], learnt["hash"]);
    assert_eq!(again["verdict"]["verdict"], "no_worse");
    let champion = || -> Vec<(u64, bool)> {
        let told = ask(folder, &["models"]);
        let versions = told["versions"].as_array().unwrap();
        let one =
            |one: &Json| (one["version"].as_u64().unwrap(), one["champion"].as_bool().unwrap());
        versions.iter().map(one).collect()
    };
    assert_eq!(champion(), [(2, true), (1, false)]);
    ask(folder, &["models", "rollback"]);
    assert_eq!(champion(), [(2, false), (1, true)]);
    ask(folder, &["models", "promote", "2"]);
    assert_eq!(champion(), [(2, true), (1, false)]);
}

#[test]
fn what_cannot_be_learnt_from_history_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let fails = |arguments: &[&str], code: i32, words: &str| {
        let output = output(folder, &[arguments, &DATA[..]].concat());
        let complaint = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
    };
    fails(&["train"], 1, "there is no workspace to learn from");
    std::fs::write(folder.join("lifecycle.yaml"), FILE).unwrap();
    fails(&["train", "--config", "lifecycle.yaml"], 1, "too few customers had `login` on two days");
    fails(&["models", "rollback"], 1, "there is nothing to go back to");
    fails(&["models", "promote", "7"], 1, "there is no version 7 of leaving");
    fails(&["train", "--dry-run", "--table", "t.csv", "--target", "y"], 2, "--dry-run");
    fails(&["train", "--target", "y"], 2, "--table");
    let plain = "version: 1\nstages: { a: { enter: { when: today > \"2020-01-01\" } } }\n";
    std::fs::write(folder.join("plain.yaml"), plain).unwrap();
    fails(&["train", "--config", "plain.yaml"], 1, "there is nothing to learn");
}
