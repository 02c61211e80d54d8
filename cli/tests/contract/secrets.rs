//! The secrets of webhooks: added without being shown, and used by a running `dev`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::json;

use crate::process::{Dev, answer, command, output, stderr};

const DATA: [&str; 3] = ["--data", "data", "--json"];

fn add(folder: &Path, source: &str, secret: &str) -> Output {
    let arguments = [&["secrets", "add", source, "--secret-stdin"][..], &DATA].concat();
    let mut adding = command(folder, &arguments);
    adding.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut adding = adding.spawn().unwrap();
    adding.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    adding.wait_with_output().unwrap()
}

#[test]
fn a_secret_is_added_listed_by_its_hash_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    assert!(add(folder.path(), "stripe", "whsec_one\n").status.success());
    assert!(add(folder.path(), "stripe", "whsec_two").status.success());
    let third = add(folder.path(), "stripe", "whsec_three");
    assert_eq!(third.status.code(), Some(1));
    assert!(stderr(&third).contains("lifecycle secrets remove stripe"), "{}", stderr(&third));
    for (source, secret) in [("stripe", " \n"), ("a/b", "secret")] {
        assert_eq!(add(folder.path(), source, secret).status.code(), Some(1), "{source}");
    }
    let list = [&["secrets", "list"][..], &DATA].concat();
    let listed = output(folder.path(), &list);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(!listed.contains("whsec_"), "{listed}");
    let listed = answer(folder.path(), &list);
    let items = listed["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["source"]), (2, &json!("stripe")));
    let id = items[0]["id"].as_str().unwrap();
    let removed =
        answer(folder.path(), &[&["secrets", "remove", "stripe", id][..], &DATA].concat());
    assert_eq!(removed["removed"], id);
    assert_eq!(answer(folder.path(), &list)["items"].as_array().unwrap().len(), 1);
}

#[test]
fn dev_takes_webhooks_of_the_sources_it_is_given_secrets_of() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &["--memory", "--webhook-secret", "stripe=whsec_dev"]);
    let (status, problem) = dev.http.post("/v1/webhooks/stripe", &json!({}));
    assert_eq!((status, &problem["code"]), (401, &json!("missing_signature")));
    let (status, problem) = dev.http.post("/v1/webhooks/hubspot", &json!([]));
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_source")));
    assert_eq!(dev.complaints(), "");
    let refused = output(folder.path(), &["dev", "--webhook-secret", "stripe"]);
    assert_eq!(refused.status.code(), Some(2));
}
