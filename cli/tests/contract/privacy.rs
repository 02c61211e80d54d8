//! What is held about somebody, and that nothing is once it is erased, from the command line.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::process::{Dev, answer, output, stderr};

const DATA: [&str; 2] = ["--data", "data"];

/// A workspace with two users of an account, and a user of none.
fn workspace(folder: &Path) {
    let dev = Dev::start(folder, &DATA);
    let group = |user: &str, id: &str| json!({ "type": "group", "userId": user, "groupId": "acme", "messageId": id });
    let login = |user: &str, id: &str| json!({ "type": "track", "event": "login", "userId": user, "messageId": id });
    let calls = [
        group("ada", "1"),
        group("ben", "2"),
        login("ada", "3"),
        login("ben", "4"),
        login("eve", "5"),
        // Set aside.
        json!({ "type": "sale", "userId": "ada", "messageId": "6" }),
    ];
    assert_eq!(dev.http.send("dev", &calls).unwrap().0, 200);
    assert!(dev.stop("TERM").0.success());
}

fn with_data<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &DATA[..]].concat()
}

fn export(folder: &Path, id: &str) -> Option<Json> {
    let output = output(folder, &with_data(&["export", id]));
    match output.status.code() {
        Some(0) => Some(serde_json::from_slice(&output.stdout).unwrap()),
        code => {
            assert_eq!((code, output.stdout.as_slice()), (Some(1), &b""[..]));
            assert!(stderr(&output).contains("nothing is held"), "{}", stderr(&output));
            None
        }
    }
}

#[test]
fn everything_held_about_an_id_is_exported_and_nothing_once_it_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    workspace(folder.path());
    let ada = export(folder.path(), "ada").unwrap();
    assert_eq!((&ada["id"], &ada["accounts"]), (&json!("ada"), &json!(["acme"])));
    let lengths = ["events", "quarantine"].map(|list| ada[list].as_array().unwrap().len());
    assert_eq!(lengths, [2, 1], "{ada}");
    assert_eq!(export(folder.path(), "nobody"), None);

    let erase = with_data(&["erase", "ada", "--user", "--yes", "--json"]);
    let request = answer(folder.path(), &erase);
    assert_eq!((&request["type"], &request["state"]), (&json!("DELETE_ONLY"), &json!("FINISHED")));
    assert_eq!((&request["ids"], &request["done"]), (&json!(1), &json!(1)));
    assert_eq!(export(folder.path(), "ada"), None);
    let acme = export(folder.path(), "acme").unwrap();
    assert!(!acme.to_string().contains("ada"), "{acme}");
    assert_eq!(acme["events"].as_array().unwrap().len(), 3, "two of ben, and a group of nobody");
}

#[test]
fn nothing_is_erased_unless_somebody_is_sure_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    workspace(folder.path());
    for (arguments, complaint) in [
        (&["erase", "ada", "--user"][..], "--yes"),
        (&["erase", "nobody", "--yes"], "--user or --account"),
        (&["erase", "--user", "--yes"], "Usage"),
        (&["erase", "ada", "--user", "--account"], "cannot be used with"),
    ] {
        let refused = output(folder.path(), &with_data(arguments));
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&refused);
        assert!(said.contains(complaint), "{arguments:?}: {said}");
    }
    assert!(export(folder.path(), "ada").is_some());
    // Whose id it is, is known of these.
    let erase = with_data(&["erase", "acme", "--yes", "--json"]);
    assert_eq!(answer(folder.path(), &erase)["subject"], "account");
    assert_eq!(export(folder.path(), "acme"), None);
    let text = output(folder.path(), &with_data(&["erase", "eve", "--yes"]));
    let said = String::from_utf8(text.stdout).unwrap();
    assert!(said.starts_with("1 of 1 erased (request "), "{said}");
}

#[test]
fn who_is_suppressed_is_turned_away_until_let_in_again() {
    let folder = tempfile::tempdir().unwrap();
    workspace(folder.path());
    let suppress = with_data(&["erase", "eve", "--user", "--suppress", "--yes", "--json"]);
    assert_eq!(answer(folder.path(), &suppress)["type"], "SUPPRESS_WITH_DELETE");
    let told = export(folder.path(), "eve").unwrap();
    assert_eq!((&told["suppressed"]["user"], &told["events"]), (&json!(true), &json!([])));
    let send = |accepted: u64| {
        let dev = Dev::start(folder.path(), &DATA);
        let call = json!({ "type": "track", "event": "login", "userId": "eve", "messageId": "9" });
        let (status, reply) = dev.http.send("dev", &[call]).unwrap();
        assert_eq!((status, &reply["accepted"]), (200, &json!(accepted)), "{reply}");
        assert!(dev.stop("TERM").0.success());
    };
    send(0);
    let let_in = with_data(&["erase", "eve", "--user", "--unsuppress", "--json"]);
    let request = answer(folder.path(), &let_in);
    assert_eq!((&request["type"], &request["state"]), (&json!("UNSUPPRESS"), &json!("FINISHED")));
    send(1);
}

#[test]
fn a_sender_goes_from_one_write_key_to_the_next_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", "data", "--json"];
    let add = |label: &str| {
        let made = answer(folder.path(), &[&["keys", "add", label], &data[..]].concat());
        made["write_key"].as_str().unwrap().to_owned()
    };
    let (old, new) = (add("website 2025"), add("website 2026"));
    let call =
        |id: &str| json!({ "type": "track", "event": "login", "userId": "ada", "messageId": id });
    let dev = Dev::start(folder.path(), &DATA);
    for (key, id, accepted) in [(&old, "1", 1), (&new, "1", 0), (&new, "2", 1), (&old, "3", 1)] {
        let (status, reply) = dev.http.send(key, &[call(id)]).unwrap();
        assert_eq!((status, &reply["accepted"]), (200, &json!(accepted)), "{reply}");
    }
    assert!(dev.stop("TERM").0.success());
    let keys = answer(folder.path(), &[&["keys", "list"], &data[..]].concat());
    let items = keys["items"].as_array().unwrap();
    assert!(!keys.to_string().contains(&old), "a key is not shown twice");
    let of = |label: &str| {
        let found = items.iter().find(|key| key["label"] == label).unwrap();
        found["hash"].as_str().unwrap()[..12].to_owned()
    };
    let removed =
        answer(folder.path(), &[&["keys", "remove", &of("website 2025")], &data[..]].concat());
    assert!(removed["removed"].as_str().unwrap().starts_with(&of("website 2025")));
    let dev = Dev::start(folder.path(), &DATA);
    let (status, problem) = dev.http.send(&old, &[call("4")]).unwrap();
    assert_eq!((status, &problem["code"]), (401, &json!("unknown_write_key")));
    assert_eq!(dev.http.send(&new, &[call("4")]).unwrap().1["accepted"], 1);
}
