//! `lifecycle alerts` and `lifecycle silence`: groups, who looks after them, and what is not told.

use serde_json::{Value as Json, json};

use crate::process::{Dev, answer, output, stderr};

const FILE: &str = "
version: 1
subject: account
traits: { name: text?, csm: email?, phone: text? }
metrics: { logins: { count: login, over: 7d } }
stages: { active: { enter: { when: metrics.logins >= 0, priority: 1 } } }
standards: { phone_known: { required: [traits.phone], severity: high, owner: ops } }
alerts:
  group_by: [csm]
  group_wait: 0s
  routes: [ { match: { kind: finding }, to: team } ]
  receivers: { team: { sns: team } }
";

#[test]
fn alerts_are_listed_acknowledged_and_silenced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lifecycle.yaml"), FILE).unwrap();
    let dev = Dev::start(folder.path(), &["--data", "data", "--clock", "manual"]);
    let time = json!({ "now": "2026-03-02T13:00:00Z" });
    assert_eq!(dev.http.post("/dev/clock", &time).0, 200);
    let traits = json!({ "name": "Acme", "csm": "kim@x" });
    let call = json!({ "type": "group", "userId": "ada", "groupId": "acme", "traits": traits,
        "messageId": "1", "timestamp": "2026-03-02T09:00:00Z" });
    assert_eq!(dev.http.send("dev", &[call]).unwrap().0, 200);
    assert_eq!(dev.http.post("/dev/run/comply", &json!({})).0, 200);
    let (_, published) = dev.http.get("/dev/sns");
    let subject = published[0]["subject"].as_str().unwrap();
    assert!(subject.starts_with("[1 firing] csm=kim@x: Acme: standard phone_known"), "{subject}");

    let data = ["--data", "data", "--json"];
    let groups = answer(folder.path(), &[&["alerts"], &data[..]].concat());
    let id = groups[0]["group"]["id"].as_str().unwrap();
    let text = output(folder.path(), &["alerts", "--data", "data"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with(id) && text.contains("Acme: standard phone_known breached"), "{text}");
    let ack = ["alerts", "ack", id, "--author", "kim", "--reason", "on it"];
    let acked = answer(folder.path(), &[&ack[..], &data[..]].concat());
    assert_eq!(acked["ack"]["author"], "kim");
    let nobody =
        output(folder.path(), &["alerts", "ack", "none", "--author", "kim", "--data", "data"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("there is no group `none`"), "{}", stderr(&nobody));

    let add =
        ["silence", "add", "csm=kim@x", "severity!=critical", "--for", "3d", "--reason", "ill"];
    let silence = answer(folder.path(), &[&add[..], &["--author", "kim"], &data[..]].concat());
    assert_eq!(silence["matchers"][1]["is_not"], true, "{silence}");
    let id = silence["id"].as_str().unwrap();
    let listed = |folder| -> Json { answer(folder, &[&["silence", "list"], &data[..]].concat()) };
    assert_eq!(listed(folder.path())[0]["id"], id);
    let end = ["silence", "end", id, "--author", "lou"];
    answer(folder.path(), &[&end[..], &data[..]].concat());
    let again = output(folder.path(), &[&end[..], &data[..]].concat());
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    for wrong in [
        &["silence", "add", "csm", "--for", "3d", "--reason", "ill"][..],
        &["silence", "add", "csm=kim", "--reason", "ill"][..],
    ] {
        assert_eq!(output(folder.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(dev.complaints(), "");
}
