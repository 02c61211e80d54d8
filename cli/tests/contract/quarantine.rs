//! What was set aside, from the command line: on its own data, and beside a running `dev`.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::process::{Dev, answer, output, stderr};

const DATA: [&str; 3] = ["--data", "data", "--json"];

fn quarantine(folder: &Path, arguments: &[&str]) -> Json {
    answer(folder, &[&["quarantine"], arguments, &DATA[..]].concat())
}

#[test]
fn what_was_set_aside_is_listed_shown_taken_again_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &["--data", "data"]);
    let calls = [
        json!({ "type": "track", "event": "login", "messageId": "1" }),
        json!({ "type": "sale", "userId": "ada", "messageId": "2" }),
    ];
    let (status, reply) = dev.http.send("dev", &calls).unwrap();
    assert_eq!((status, reply["rejected"].as_array().unwrap().len()), (200, 2), "{reply}");

    let listed = quarantine(folder.path(), &["list"]);
    let items = listed["items"].as_array().unwrap();
    assert_eq!((items.len(), &listed["more"]), (2, &json!(false)));
    assert_eq!((&items[0]["sender"]["name"], &items[0]["attempts"]), (&json!("dev"), &json!(0)));
    let nobody = quarantine(folder.path(), &["list", "--code", "missing_user"]);
    let id = nobody["items"][0]["id"].as_str().unwrap();
    assert_eq!(nobody["items"].as_array().unwrap().len(), 1);
    assert_eq!(quarantine(folder.path(), &["show", &id[..8]]), nobody["items"][0]);
    let text = output(folder.path(), &["quarantine", "show", id, "--data", "data"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("missing_user: ") && text.contains(r#""event":"login""#), "{text}");

    let replay = [&["quarantine", "replay", "--source", "dev"], &DATA[..]].concat();
    let again = output(folder.path(), &replay);
    assert_eq!(again.status.code(), Some(1), "both are rejected again: {}", stderr(&again));
    let told: Json = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&told["matched"], &told["taken"]), (&json!(2), &json!(0)), "{told}");
    assert_eq!(told["rejected"].as_array().unwrap().len(), 2);
    assert_eq!(quarantine(folder.path(), &["show", id])["attempts"], 1);

    for unknown in [&["show", "none"][..], &["replay", "none"], &["drop", "none", "--yes"]] {
        let refused =
            output(folder.path(), &[&["quarantine"], unknown, &["--data", "data"]].concat());
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("quarantine list"), "{}", stderr(&refused));
    }
    let unsure = output(folder.path(), &["quarantine", "drop", id, "--data", "data"]);
    assert_eq!(unsure.status.code(), Some(2), "nobody is there to be asked");
    assert_eq!(quarantine(folder.path(), &["drop", id, "--yes"]), json!({ "dropped": 1 }));
    assert!(dev.stop("TERM").0.success());
    assert_eq!(quarantine(folder.path(), &["list"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(quarantine(folder.path(), &["drop", "--all", "--yes"]), json!({ "dropped": 1 }));
    let empty = output(folder.path(), &["quarantine", "list", "--data", "data"]);
    assert_eq!(String::from_utf8_lossy(&empty.stdout), "Nothing is in quarantine.\n");
}

#[test]
fn a_call_counts_once_the_lifecycle_file_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let file = |subject: &str| {
        let text = format!("version: 1\nsubject: {subject}\nstages: {{ active: {{}} }}\n");
        std::fs::write(folder.path().join("lifecycle.yaml"), text).unwrap();
    };
    file("user");
    let dev = Dev::start(folder.path(), &["--data", "data", "--config", "lifecycle.yaml"]);
    let call = json!({ "type": "track", "event": "login", "groupId": "acme", "messageId": "1" });
    dev.http.send("dev", &[call]).unwrap();
    assert!(dev.stop("TERM").0.success());

    file("account");
    let apply = ["apply", "lifecycle.yaml", "--yes", "--data", "data"];
    assert!(output(folder.path(), &apply).status.success());
    let told = quarantine(folder.path(), &["replay", "--all"]);
    assert_eq!(told, json!({ "matched": 1, "taken": 1, "rejected": [] }));
    assert_eq!(quarantine(folder.path(), &["list"])["items"], json!([]));
    let dev = Dev::start(folder.path(), &["--data", "data"]);
    assert_eq!(dev.http.list("/api/customers/acme/events").len(), 1);
}
