//! Scenarios under faults, a few of them, and that a promise which is broken is found. `faults` lives
//! through thousands.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use tests::scenario::{self, Lived};

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_holds_whatever_fails() {
    for seed in 0..6 {
        let report = scenario::run(seed).await.unwrap();
        assert!(report.events > 0 && report.entries > 0 && report.messages > 0, "{report:?}");
    }
}

/// The first item of a table that is of interest.
async fn item(
    client: &Client,
    table: &str,
    is_meant: impl Fn(&HashMap<String, AttributeValue>) -> bool,
) -> HashMap<String, AttributeValue> {
    let items = client.scan().table_name(table).send().await.unwrap().items.unwrap();
    items.into_iter().find(is_meant).unwrap()
}

fn text<'i>(item: &'i HashMap<String, AttributeValue>, name: &str) -> &'i str {
    item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

async fn remove(client: &Client, table: &str, item: &HashMap<String, AttributeValue>) {
    let of_key =
        |name: &str| item.contains_key(name).then(|| (name.to_owned(), item[name].clone()));
    let key = ["pk", "sk"].into_iter().filter_map(of_key).collect();
    client.delete_item().table_name(table).set_key(Some(key)).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_found_to_be_lost() {
    let accounts = ["acme", "globex", "initech"];
    let lived = Lived::through(1).await.unwrap();
    let (client, tables) = lived.tables();
    let logged = item(&client, &tables.events, |item| {
        accounts.iter().any(|name| text(item, "pk").ends_with(name)) && !text(item, "sk").is_empty()
    });
    remove(&client, &tables.events, &logged.await).await;
    let broken = lived.look().await.unwrap_err();
    assert!(format!("{broken:#}").contains("the log has"), "{broken:#}");

    let lived = Lived::through(1).await.unwrap();
    let (client, tables) = lived.tables();
    let entry = item(&client, &tables.journal, |item| text(item, "pk").ends_with("acme")).await;
    remove(&client, &tables.journal, &entry).await;
    let broken = lived.look().await.unwrap_err();
    assert!(format!("{broken:#}").contains("does not verify"), "{broken:#}");

    let lived = Lived::through(3).await.unwrap();
    let (client, tables) = lived.tables();
    let aside = item(&client, &tables.control, |item| text(item, "pk") == "quarantine").await;
    remove(&client, &tables.control, &aside).await;
    let broken = lived.look().await.unwrap_err();
    assert!(format!("{broken:#}").contains("set aside 0 times"), "{broken:#}");
}
