//! `lifecycle audit verify`: what somebody changed behind the product's back is named.

use std::collections::HashMap;
use std::path::Path;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lifecycle::embedded::{Engine, Location};
use lifecycle::pack::database_file;
use serde_json::{Value as Json, json};

use crate::process::{answer, output};

type Item = HashMap<String, AttributeValue>;

fn verify(folder: &Path, more: &[&str]) -> (Option<i32>, Json) {
    let output = output(folder, &[&["audit", "verify", "--json"], more].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Changes the tables as somebody with access to them could.
fn tamper(folder: &Path, change: impl AsyncFnOnce(&Client, Vec<Item>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let file = database_file(&folder.join(".lifecycle"));
    let engine = Engine::start(Location::File(file)).unwrap();
    runtime.block_on(async {
        let client = engine.dynamodb();
        let entries = client.scan().table_name("lifecycle-journal").send().await.unwrap();
        change(&client, entries.items.unwrap()).await;
    });
}

fn text(item: &Item, name: &str) -> String {
    item[name].as_s().unwrap().clone()
}

fn number(item: &Item) -> u64 {
    item["sk"].as_n().unwrap().parse().unwrap()
}

#[test]
fn a_journal_that_was_changed_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    answer(
        folder,
        &["simulate", "--accounts", "20", "--months", "6", "--out", "c.jsonl", "--json"],
    );
    answer(folder, &["import", "c.jsonl", "--json"]);
    for day in ["2026-09-01", "2026-10-01", "2026-11-01"] {
        for function in ["evaluate", "score", "comply"] {
            answer(folder, &["run", function, "--at", &format!("{day}T06:00:00Z"), "--json"]);
        }
    }
    let (code, report) = verify(folder, &[]);
    assert_eq!((code, &report["verified"]), (Some(0), &json!(true)), "{report}");
    assert_eq!(report["faults"], json!([]));
    let entries = report["entries"].as_u64().unwrap();
    assert!(entries > 40 && report["journals"].as_u64().unwrap() >= 10, "{report}");
    let root = report["root"].as_str().unwrap().to_owned();
    let until = report["until"].as_str().unwrap().to_owned();
    let kept = ["--until", until.as_str(), "--root", root.as_str()];

    // Later decisions change the root of later instants only.
    for function in ["evaluate", "comply"] {
        answer(folder, &["run", function, "--json"]);
    }
    let (code, report) = verify(folder, &kept);
    assert_eq!((code, &report["root_holds"]), (Some(0), &json!(true)), "{report}");

    // One byte of one entry.
    let mut changed = (String::new(), 0);
    tamper(folder, async |client, entries| {
        let mut entry = entries.into_iter().find(|entry| number(entry) == 2).unwrap();
        changed = (text(&entry, "pk"), 2);
        let body = text(&entry, "entry").replacen("\"at\":\"2026", "\"at\":\"2025", 1);
        assert_ne!(body, text(&entry, "entry"));
        entry.insert("entry".into(), AttributeValue::S(body));
        let put = client.put_item().table_name("lifecycle-journal").set_item(Some(entry));
        put.send().await.unwrap();
    });
    let (code, report) = verify(folder, &[]);
    let expected = json!([{
        "customer": changed.0, "seq": changed.1, "code": "edited",
        "message": "was changed after it was sealed",
    }]);
    assert_eq!((code, &report["faults"]), (Some(1), &expected));

    // A journal without its last entry, and one that is gone with its customer.
    let mut gone = (String::new(), 0);
    tamper(folder, async |client, entries| {
        let of = |key: &str| entries.iter().filter(|entry| text(entry, "pk") == key).count();
        let last = entries.iter().find(|entry| {
            let key = text(entry, "pk");
            key != changed.0 && of(&key) as u64 == number(entry) && number(entry) > 1
        });
        let last = last.unwrap();
        gone = (text(last, "pk"), number(last));
        let delete = client.delete_item().table_name("lifecycle-journal");
        let delete = delete.key("pk", last["pk"].clone()).key("sk", last["sk"].clone());
        delete.send().await.unwrap();
    });
    let (code, report) = verify(folder, &kept);
    assert_eq!(code, Some(1));
    let found = report["faults"].as_array().unwrap();
    let missing = found.iter().find(|fault| fault["customer"] == gone.0.as_str()).unwrap();
    assert_eq!((&missing["seq"], &missing["code"]), (&json!(gone.1), &json!("missing")));
    assert_eq!(found.len(), 2, "{report}");
    let said = output(folder, &["audit", "verify"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(&format!("{}: entry 2 was changed after it was sealed", changed.0)));
    assert!(said.contains("NOT verified"), "{said}");
}

#[test]
fn what_went_with_its_customer_is_named_by_the_daily_root() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    answer(
        folder,
        &["simulate", "--accounts", "12", "--months", "6", "--out", "c.jsonl", "--json"],
    );
    answer(folder, &["import", "c.jsonl", "--json"]);
    for month in ["09", "10", "11"] {
        let at = |day: u32| format!("2026-{month}-0{day}T06:00:00Z");
        for (function, day) in [("evaluate", 1), ("score", 1), ("comply", 2)] {
            answer(folder, &["run", function, "--at", &at(day), "--json"]);
        }
    }
    let (code, report) = verify(folder, &[]);
    assert_eq!((code, &report["faults"]), (Some(0), &json!([])), "{report}");
    assert_eq!(
        (&report["roots"]["count"], &report["roots"]["through"]),
        (&json!(3), &json!("2026-11-01"))
    );
    let last = report["roots"]["last"].as_str().unwrap().to_owned();
    assert_eq!(verify(folder, &["--daily-root", &last]).0, Some(0));

    // A customer that is erased takes no root along.
    let mut journals: Vec<(String, u64)> = Vec::new();
    tamper(folder, async |_, entries| {
        let ends = entries.iter().filter(|entry| !text(entry, "pk").starts_with("audit:"));
        let mut last: HashMap<String, u64> = HashMap::new();
        for entry in ends.filter(|entry| *text(entry, "day") < *"2026-11-02") {
            let seq = last.entry(text(entry, "pk")).or_default();
            *seq = number(entry).max(*seq);
        }
        journals = last.into_iter().filter(|(_, seq)| *seq > 1).collect();
        journals.sort();
    });
    let [(erased, _), (gone, entries), (cut, end), ..] = journals.as_slice() else {
        panic!("too few journals: {journals:?}")
    };
    let erase = output(folder, &["erase", erased, "--account", "--yes", "--json"]);
    assert!(erase.status.success(), "{}", String::from_utf8_lossy(&erase.stderr));
    let (code, report) = verify(folder, &["--daily-root", &last]);
    assert_eq!((code, &report["faults"]), (Some(0), &json!([])), "{report}");

    // A whole journal, and the end of another one, together with what says that they were there.
    tamper(folder, async |client, all| {
        for customer in [gone, cut] {
            let key = AttributeValue::S(customer.clone());
            let delete = client.delete_item().table_name("lifecycle-customers").key("pk", key);
            delete.send().await.unwrap();
        }
        for entry in all {
            let key = text(&entry, "pk");
            if key == *gone || key == *cut && number(&entry) >= *end {
                let delete = client.delete_item().table_name("lifecycle-journal");
                let delete = delete.key("pk", entry["pk"].clone()).key("sk", entry["sk"].clone());
                delete.send().await.unwrap();
            }
        }
    });
    let (code, report) = verify(folder, &[]);
    let faults = report["faults"].as_array().unwrap();
    let named = |customer: &str| -> Vec<u64> {
        let of = faults.iter().filter(|fault| fault["customer"] == customer);
        of.map(|fault| {
            assert_eq!(fault["code"], "gone");
            assert!(fault["message"].as_str().unwrap().contains("the root of 2026-"), "{fault}");
            fault["seq"].as_u64().unwrap()
        })
        .collect()
    };
    assert_eq!(code, Some(1));
    assert_eq!(named(gone), (1..=*entries).collect::<Vec<_>>(), "{report}");
    assert_eq!(named(cut), [*end], "{report}");
    assert_eq!(faults.len() as u64, entries + 1, "{report}");

    // Whoever takes the newest root away as well is found by who kept it.
    tamper(folder, async |client, all| {
        let root = all.into_iter().filter(|entry| text(entry, "pk") == "audit:roots");
        let root = root.max_by_key(number).unwrap();
        let delete = client.delete_item().table_name("lifecycle-journal");
        delete.key("pk", root["pk"].clone()).key("sk", root["sk"].clone()).send().await.unwrap();
    });
    let (code, report) = verify(folder, &["--daily-root", &last]);
    assert_eq!((code, &report["daily_root_holds"]), (Some(1), &json!(false)));
}

#[test]
fn a_pack_verifies_until_a_byte_of_it_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    answer(folder, &["init", "--json"]);
    answer(
        folder,
        &["simulate", "--accounts", "30", "--months", "6", "--out", "c.jsonl", "--json"],
    );
    answer(folder, &["import", "c.jsonl", "--json"]);
    for day in ["2026-09-01", "2026-10-01", "2026-11-01"] {
        for function in ["evaluate", "comply"] {
            answer(folder, &["run", function, "--at", &format!("{day}T06:00:00Z"), "--json"]);
        }
    }
    let open = answer(folder, &["findings", "--json"]);
    let finding = &open["findings"][0];
    let text = |name: &str| finding[name].as_str().unwrap();
    let (customer, standard) = (text("customer"), text("standard"));
    let waive =
        ["finding", "waive", customer, standard, "--reason", "=they moved", "--author", "kim"];
    let waived = output(folder, &waive);
    assert!(waived.status.success(), "{}", String::from_utf8_lossy(&waived.stderr));

    let made = ["audit", "report", "--from", "2026-08-01", "--out", "pack", "--json"];
    let told = answer(folder, &made);
    assert_eq!((&told["verified"], &told["waivers"]), (&json!(true), &json!(1)), "{told}");
    assert!(told["breaches"].as_u64().unwrap() >= 5, "{told}");
    let seal = told["seal"].as_str().unwrap();
    let pack = folder.join("pack");
    let read = |name: &str| std::fs::read_to_string(pack.join(name)).unwrap();
    let report: Json = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(report["waivers"][0]["author"], "kim");
    assert_eq!(report["people"]["kim"]["waiver"], 1);
    assert!(!report["versions"][0]["standards"].as_array().unwrap().is_empty());
    assert!(!report["adherence"].as_array().unwrap().is_empty());
    let breach = &report["breaches"][0];
    assert!(!breach["evidence"].as_str().unwrap().is_empty(), "{breach}");
    assert!(read("report.html").contains(breach["standard"].as_str().unwrap()));
    let made_at = report["made_at"].as_str().unwrap();
    assert!(read("report.html").contains(&format!("as of the making of this pack, {made_at}")));
    assert!(read("waivers.csv").contains("'=they moved"), "no formula for a spreadsheet");
    let again = output(folder, &made);
    assert_eq!(again.status.code(), Some(1), "a folder in use is not written over");

    let verify = |more: &[&str]| {
        let arguments = [&["audit", "verify", "--pack", "pack", "--json"], more].concat();
        let output = output(folder, &arguments);
        (output.status.code(), serde_json::from_slice::<Json>(&output.stdout).unwrap())
    };
    let by_python = |more: &[&str]| {
        let mut python = std::process::Command::new("python3");
        python.arg("-B").arg(pack.join("verify.py")).args(more).output().unwrap().status.code()
    };
    let (code, found) = verify(&["--seal", seal]);
    assert_eq!((code, &found["seal_holds"]), (Some(0), &json!(true)), "{found}");
    assert_eq!(found["entries"], told["entries"]);
    assert_eq!(by_python(&[seal]), Some(0));
    assert_eq!(verify(&["--seal", "4d1c"]).0, Some(1));

    let mut files = vec!["SHA256SUMS".to_owned()];
    files
        .extend(read("SHA256SUMS").lines().map(|line| line.split_once("  ").unwrap().1.to_owned()));
    assert!(files.len() > 9, "{files:?}");
    for name in &files {
        let whole = std::fs::read(pack.join(name)).unwrap();
        if whole.is_empty() {
            continue;
        }
        let mut changed = whole.clone();
        let at = changed.len() / 2;
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        std::fs::write(pack.join(name), &changed).unwrap();
        assert_eq!(verify(&["--seal", seal]).0, Some(1), "{name}");
        if name != "verify.py" {
            assert_eq!(by_python(&[seal]), Some(1), "{name}");
        }
        std::fs::write(pack.join(name), &whole).unwrap();
    }

    // Somebody who names the changed files anew, too, still cannot seal an entry.
    let entries = read("entries.jsonl");
    let changed = entries.replacen("\"at\":\"2026-09", "\"at\":\"2026-08", 1);
    assert_ne!(entries, changed);
    std::fs::write(pack.join("entries.jsonl"), &changed).unwrap();
    let hash = |bytes: &str| {
        use sha2::Digest as _;
        domain::hex(&sha2::Sha256::digest(bytes.as_bytes()))
    };
    let sums = read("SHA256SUMS").replace(&hash(&entries), &hash(&changed));
    std::fs::write(pack.join("SHA256SUMS"), sums).unwrap();
    let (code, found) = verify(&[]);
    let faults = found["faults"].as_array().unwrap();
    assert_eq!((code, faults.len()), (Some(1), 1), "{found}");
    assert!(faults[0].as_str().unwrap().ends_with("is not as sealed"), "{found}");
    assert_eq!(by_python(&[]), Some(1));
}
