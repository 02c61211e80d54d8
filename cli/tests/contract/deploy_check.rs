//! `lifecycle deploy-check`, on a `lifecycle dev` that runs: what it says, and that it leaves nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::process::{Dev, Http, answer, command, output, stderr};

const DATA: [&str; 2] = ["--data", "data"];

fn check(folder: &Path, url: &str, more: &[&str]) -> Output {
    let own = ["deploy-check", "--url", url, "--json"];
    output(folder, &[&own[..], &DATA, more].concat())
}

fn told(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

/// How each check came out, by name.
fn states(told: &Json, state: &str) -> Vec<String> {
    let checks = told["checks"].as_array().unwrap();
    let found = checks.iter().filter(|check| check["state"] == state);
    found.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// Nobody is there whom the command made up, and no key of its own.
fn assert_nothing_is_left(folder: &Path, dev: &Dev) {
    let customers = dev.http.list("/api/customers");
    assert!(customers.is_empty(), "{customers:?}");
    let keys = answer(folder, &[&["keys", "list", "--json"], &DATA[..]].concat());
    let labels: Vec<&Json> =
        keys["items"].as_array().unwrap().iter().map(|key| &key["label"]).collect();
    assert_eq!(labels, ["dev"], "{keys}");
    let silences = answer(folder, &[&["silence", "list", "--json"], &DATA[..]].concat());
    assert_eq!(silences, json!([]));
}

#[test]
fn a_stack_that_works_passes_and_nothing_is_left_of_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &DATA);
    let output = check(folder.path(), &dev.http.url, &[]);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    assert_eq!((&told["url"], &told["failed"]), (&json!(dev.http.url), &json!(0)));
    let passed = states(&told, "ok");
    for name in [
        "tables",
        "write_key",
        "refuses_without_key",
        "accepts_events",
        "takes_no_duplicates",
        "state",
        "console",
        "decision",
        "journal",
        "quarantine",
        "messages",
        "key_revoked",
        "erased",
    ] {
        assert!(passed.iter().any(|passed| passed == name), "{name}: {told:#}");
    }
    assert!(states(&told, "skipped").contains(&"console_refuses_strangers".to_owned()));
    let count = told["passed"].as_u64().unwrap() + told["skipped"].as_u64().unwrap();
    assert_eq!(count, told["checks"].as_array().unwrap().len() as u64);
    assert_nothing_is_left(folder.path(), &dev);
    let sent = dev.http.get("/dev/sns").1;
    assert_eq!(sent, json!([]), "nobody is told of a customer that never was");

    let text = output_of_text(folder.path(), &dev.http.url);
    assert!(text.contains("ok       accepts_events"), "{text}");
    assert!(text.contains(" 0 failed") && !text.contains('\u{1b}'), "{text}");
}

fn output_of_text(folder: &Path, url: &str) -> String {
    let output = output(folder, &[&["deploy-check", "--url", url], &DATA[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_address_of_another_stack_is_named_and_its_key_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &DATA);
    let other = Dev::start(folder.path(), &["--memory"]);
    let output = check(folder.path(), &other.http.url, &[]);
    let told = told(&output);
    assert_eq!(
        (output.status.code(), states(&told, "failed")),
        (Some(1), vec!["accepts_events".to_owned()]),
        "{told:#}"
    );
    let failed =
        told["checks"].as_array().unwrap().iter().find(|check| check["state"] == "failed").unwrap();
    assert!(failed["detail"].as_str().unwrap().contains("401"), "{failed}");
    assert!(failed["see"].as_str().unwrap().contains("ApiUrl"), "{failed}");
    assert_nothing_is_left(folder.path(), &dev);
}

#[test]
fn a_stack_that_counts_twice_is_found_out_and_its_customer_erased() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &DATA);
    // Everything is new to it, and strangers are welcome.
    let url = in_front_of(&dev.http, |status, body| match body["duplicates"].as_u64() {
        Some(2) => {
            (200, json!({ "success": true, "accepted": 2, "duplicates": 0, "rejected": [] }))
        }
        _ if status == 401 => (200, json!({ "success": true, "accepted": 2, "duplicates": 0 })),
        _ => (status, body),
    });
    let output = check(folder.path(), &url, &["--wait", "0s"]);
    let told = told(&output);
    let expected = ["refuses_without_key", "takes_no_duplicates"];
    assert_eq!(
        (output.status.code(), states(&told, "failed")),
        (Some(1), expected.map(String::from).to_vec()),
        "{told:#}"
    );
    assert_nothing_is_left(folder.path(), &dev);
}

#[test]
fn who_stops_it_leaves_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is decided: with this clock no schedule comes.
    let dev = Dev::start(folder.path(), &[&DATA[..], &["--clock", "manual"]].concat());
    let arguments = [&["deploy-check", "--url", &dev.http.url, "--json"], &DATA[..]].concat();
    let mut process = command(folder.path(), &arguments);
    let process = process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while dev.http.list("/api/customers").is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "no customer came");
    }
    let sent = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = process.wait_with_output().unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told:#}");
    assert!(states(&told, "skipped").contains(&"decision".to_owned()), "{told:#}");
    for name in ["key_revoked", "erased"] {
        assert!(states(&told, "ok").contains(&name.to_owned()), "{told:#}");
    }
    assert_nothing_is_left(folder.path(), &dev);
}

#[test]
fn who_does_not_read_what_it_says_is_cleaned_up_after_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &DATA);
    let arguments = [&["deploy-check", "--url", &dev.http.url], &DATA[..]].concat();
    let mut process = command(folder.path(), &arguments);
    let process = process.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = process.spawn().unwrap();
    drop(process.stdout.take());
    assert_eq!(process.wait_with_output().unwrap().status.code(), Some(1));
    let sender = |dev: &Dev| dev.http.list("/api/feeds").len();
    assert_eq!(sender(&dev), 1, "it had sent events");
    assert_nothing_is_left(folder.path(), &dev);
}

#[test]
fn wrong_use_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let local = "http://127.0.0.1:1";
    for (arguments, complaint) in [
        (&["--url", "http://example.com"][..], "https"),
        (&["--url", "https://example.com"], "--aws"),
        (&["--url", "https://example.com", "--aws"], "EVENTS_TABLE"),
        (&["--url", local], "no `lifecycle dev` runs"),
        (&["--url", local, "--wait", "soon"], "--wait"),
        (&["--url", local, "--wait", "3h"], "1h"),
        (&["--url", local, "--aws", "--data", "data"], "cannot be used with"),
        (&[], "--url"),
    ] {
        let refused = output(folder.path(), &[&["deploy-check"], arguments].concat());
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&refused);
        assert!(said.contains(complaint) && said.contains("--help"), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A server in front of another, which changes its answers: its address. It ends with the test.
fn in_front_of(server: &Http, change: fn(u16, Json) -> (u16, Json)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            pass_on(stream, &server, change);
        }
    });
    url
}

fn pass_on(mut stream: TcpStream, server: &Http, change: fn(u16, Json) -> (u16, Json)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let value = |name: &str| {
        let mut headers = lines.iter().filter_map(|line| line.split_once(": "));
        headers
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    let length = value("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap().to_owned();
    let (status, found) = match serde_json::from_slice::<Json>(&body) {
        Ok(body) => {
            let calls = body["batch"].as_array().unwrap();
            server.send(&value("x-write-key").unwrap_or_default(), calls).unwrap()
        }
        Err(_) => server.get(&path),
    };
    let (status, found) = change(status, found);
    let text = found.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} Changed\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .unwrap();
}
