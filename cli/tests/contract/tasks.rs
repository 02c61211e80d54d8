//! Tasks from the command line: listed, put off, given away, done, and opened again.

use serde_json::{Value as Json, json};

use crate::process::{answer, output, stderr};

#[test]
fn tasks_are_listed_and_acted_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", "data", "--json"];
    let traits = json!({ "name": "Acme", "plan": "team", "csm": "kim@example.com" });
    let call = json!({ "type": "group", "userId": "ada", "groupId": "acme", "traits": traits,
        "messageId": "1", "timestamp": "2026-03-02T09:00:00Z" });
    std::fs::write(folder.path().join("history.jsonl"), format!("{call}\n")).unwrap();
    let run = |arguments: &[&str]| answer(folder.path(), &[arguments, &data[..]].concat());
    run(&["import", "history.jsonl"]);
    run(&["run", "evaluate", "--at", "2026-03-02T13:00:00Z"]);

    let tasks = run(&["tasks"]);
    assert_eq!(tasks.as_array().unwrap().len(), 1, "{tasks}");
    let told = |name: &str| tasks[0][name].clone();
    assert_eq!((told("id"), told("customer")), (json!("welcome.kickoff"), json!("acme")));
    assert_eq!(told("title"), "Hold the kickoff call with Acme");
    // Due in March, and that is past.
    assert_eq!((told("state"), told("owner_name")), (json!("overdue"), json!("kim@example.com")));
    assert_eq!(run(&["tasks", "--overdue", "--owner", "kim@example.com"]), tasks);
    assert_eq!(run(&["tasks", "--next-best", "--customer", "acme"])[0]["id"], "welcome.kickoff");
    assert_eq!(run(&["tasks", "--owner", "nobody"]), json!([]));
    let text = output(folder.path(), &["tasks", "--data", "data"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("overdue") && text.contains("due 2026-03-09"), "{text}");

    let by = ["--author", "kim"];
    let act = |arguments: &[&str]| run(&[&["task"], arguments, &by[..]].concat());
    let became = |told: &Json| told["entries"][0]["to"].clone();
    let which = ["acme", "welcome.kickoff"];
    let done = act(&[&["snooze"], &which[..], &["--until", "2099-01-01"]].concat());
    assert_eq!((became(&done), &done["entries"][0]["author"]), (json!("snoozed"), &json!("kim")));
    assert_eq!(run(&["tasks", "--overdue"]), json!([]));
    let done = act(&[&["reassign"], &which[..], &["--to", "bo@example.com"]].concat());
    assert_eq!(done["tasks"][0]["owner"], "bo@example.com");
    let done = act(&[&["check"], &which[..], &["--item", "1"]].concat());
    assert_eq!(done["tasks"][0]["checked"], json!(["agree on goals"]));
    let done = act(&[&["done"], &which[..], &["--note", "held on Monday"]].concat());
    assert_eq!((became(&done), &done["tasks"]), (json!("done"), &json!([])));
    assert_eq!(done["entries"][0]["reason"], "held on Monday");
    let again = act(&[&["done"], &which[..]].concat());
    assert_eq!(again["entries"], json!([]), "done is done");
    let done = act(&[&["reopen"], &which[..]].concat());
    assert_eq!(became(&done), "reopened");

    for (arguments, says) in [
        (["done", "acme", "welcome.kickof"], "did you mean `welcome.kickoff`?"),
        (["done", "nobody", "welcome.kickoff"], "there is no customer `nobody`"),
    ] {
        let failed = output(
            folder.path(),
            &[&["task"], &arguments[..], &["--author", "kim", "--data", "data"]].concat(),
        );
        assert_eq!(failed.status.code(), Some(1));
        assert!(stderr(&failed).contains(says), "{}", stderr(&failed));
    }
}
