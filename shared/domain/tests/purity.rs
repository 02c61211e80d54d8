//! The domain and the models of risk are pure: nothing they are built of talks to the outside, and
//! nothing in them asks the clock or the environment.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages of a network, a runtime, a clock or a cloud.
const FORBIDDEN: [&str; 14] = [
    "async-std",
    "aws-*",
    "aws_*",
    "axum",
    "chrono",
    "http",
    "http-*",
    "hyper",
    "lambda_*",
    "reqwest",
    "smol",
    "time",
    "tokio",
    "ureq",
];

fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|forbidden| match forbidden.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *forbidden || name.starts_with(&format!("{forbidden}-")),
    })
}

/// The crates that are pure.
const PURE: [&str; 2] = ["domain", "risk"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The names of everything a pure crate is built of on this machine, without what only tests or
/// builds need.
fn built_of(name: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--manifest-path"])
        .arg(folder(name).join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn a_pure_crate_is_built_of_nothing_that_talks_to_the_outside() {
    for name in PURE {
        let names = built_of(name);
        assert!(names.contains("serde") && names.contains("sha2"), "{names:?}");
        assert!(!names.contains("criterion"), "tests' own packages do not count");
        let forbidden: Vec<&String> = names.iter().filter(|name| is_forbidden(name)).collect();
        assert!(forbidden.is_empty(), "{name} depends on {forbidden:?}");
    }
}

#[test]
fn what_is_forbidden_is_recognised() {
    for name in ["aws-sdk-sns", "tokio", "tokio-util", "hyper", "http", "http-body", "chrono-tz"] {
        assert!(is_forbidden(name), "{name}");
    }
    for name in ["jiff", "serde", "timeline", "httparse-free"] {
        assert!(!is_forbidden(name), "{name}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "tests_support.rs" {
            found.push(path);
        }
    }
}

/// The part of a file before its inline tests.
fn production(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

#[test]
fn no_source_asks_the_clock_or_the_environment() {
    let mut files = Vec::new();
    for name in PURE {
        sources(&folder(name).join("src"), &mut files);
    }
    assert!(files.len() > 40);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in [
            "::now()",
            "SystemTime",
            "Instant::",
            "env::var",
            "TimeZone::system",
            "std::net",
            "std::fs",
        ] {
            assert!(!production(&text).contains(word), "{}: {word}", file.display());
        }
    }
}
