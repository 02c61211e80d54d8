//! The tables of the deployment template, made in an embedded DynamoDB.
//!
//! Invariant: the template is the only place where a table is defined. Keys, indexes, stream and
//! time to live are read from it; what concerns AWS alone (billing, backups, protection, tags) is
//! passed over, and so are CloudFormation's own tags (`!Ref`, `!Sub`, `!GetAtt`).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType, TableDescription,
    TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use platform::settings::Tables;
use serde::Deserialize;

/// The template that is deployed to AWS.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

const TABLE_TYPE: &str = "AWS::DynamoDB::Table";
const POLL: Duration = Duration::from_millis(20);
const POLLS: usize = 500;

/// The names that [`create_tables`] gives with this prefix.
pub fn table_names(prefix: &str) -> Tables {
    Tables {
        events: format!("{prefix}events"),
        customers: format!("{prefix}customers"),
        journal: format!("{prefix}journal"),
        control: format!("{prefix}control"),
    }
}

/// Makes the tables of [`TEMPLATE`] that are missing, and waits until they can be used.
///
/// A table that exists is left as it is, but one whose keys or indexes are not the template's is
/// an error: its items were written for other keys.
pub async fn create_tables(client: &Client, prefix: &str) -> Result<Tables> {
    create_tables_of(TEMPLATE, client, prefix).await
}

async fn create_tables_of(template: &str, client: &Client, prefix: &str) -> Result<Tables> {
    let definitions = definitions(template)?;
    let names = table_names(prefix);
    for (table, definition) in &definitions {
        create_table(client, &format!("{prefix}{table}"), definition)
            .await
            .with_context(|| format!("cannot make the table {prefix}{table}"))?;
    }
    for name in [&names.events, &names.customers, &names.journal, &names.control] {
        let known = definitions.keys().any(|table| format!("{prefix}{table}") == *name);
        ensure!(known, "the template defines no table {name}");
    }
    Ok(names)
}

#[derive(Deserialize)]
struct Template {
    #[serde(rename = "Resources")]
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "Type")]
    kind: String,
    /// Left unread unless it is a table: other resources hold functions where values belong.
    #[serde(rename = "Properties", default)]
    properties: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    key_schema: Vec<Key>,
    attribute_definitions: Vec<Attribute>,
    #[serde(default)]
    global_secondary_indexes: Vec<Index>,
    stream_specification: Option<Stream>,
    time_to_live_specification: Option<Ttl>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    index_name: String,
    key_schema: Vec<Key>,
    projection: IndexProjection,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IndexProjection {
    projection_type: String,
    #[serde(default)]
    non_key_attributes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    stream_view_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ttl {
    attribute_name: String,
    enabled: bool,
}

/// The tables of a template by their short names: `EventsTable` is `events`.
fn definitions(template: &str) -> Result<BTreeMap<String, Definition>> {
    // Without this the attribute type `N` would be read as a "no".
    let options = serde_saphyr::options! { strict_booleans: true };
    let template: Template = serde_saphyr::from_str_with_options(template, options)
        .context("the deployment template cannot be read")?;
    let tables = template.resources.into_iter().filter(|(_, resource)| resource.kind == TABLE_TYPE);
    tables
        .map(|(id, resource)| {
            let definition = serde_json::from_value(resource.properties)
                .with_context(|| format!("the template's {id} is not a table with literal keys"))?;
            Ok((id.strip_suffix("Table").unwrap_or(&id).to_lowercase(), definition))
        })
        .collect()
}

async fn create_table(client: &Client, name: &str, definition: &Definition) -> Result<()> {
    if describe(client, name).await?.is_none() {
        client
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(key_schema(&definition.key_schema)?))
            .set_attribute_definitions(Some(attributes(definition)?))
            .set_global_secondary_indexes(indexes(definition)?)
            .set_stream_specification(stream(definition)?)
            .send()
            .await?;
    }
    let table = wait_until_active(client, name).await?;
    check_keys(&table, definition)?;
    set_ttl(client, name, definition).await
}

async fn describe(client: &Client, name: &str) -> Result<Option<TableDescription>> {
    match client.describe_table().table_name(name).send().await {
        Ok(answer) => Ok(answer.table),
        Err(error) => {
            let error = error.into_service_error();
            if error.is_resource_not_found_exception() { Ok(None) } else { Err(error.into()) }
        }
    }
}

async fn wait_until_active(client: &Client, name: &str) -> Result<TableDescription> {
    for _ in 0..POLLS {
        if let Some(table) = describe(client, name).await?
            && table.table_status() == Some(&TableStatus::Active)
        {
            return Ok(table);
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("it is not active after {} seconds", (POLL * POLLS as u32).as_secs())
}

fn key_schema(keys: &[Key]) -> Result<Vec<KeySchemaElement>> {
    let element = |key: &Key| {
        let key_type = KeyType::try_parse(&key.key_type)?;
        let element = KeySchemaElement::builder().attribute_name(&key.attribute_name);
        Ok(element.key_type(key_type).build()?)
    };
    keys.iter().map(element).collect()
}

fn attributes(definition: &Definition) -> Result<Vec<AttributeDefinition>> {
    let attribute = |attribute: &Attribute| {
        let attribute_type = ScalarAttributeType::try_parse(&attribute.attribute_type)?;
        let builder = AttributeDefinition::builder().attribute_name(&attribute.attribute_name);
        Ok(builder.attribute_type(attribute_type).build()?)
    };
    definition.attribute_definitions.iter().map(attribute).collect()
}

fn indexes(definition: &Definition) -> Result<Option<Vec<GlobalSecondaryIndex>>> {
    if definition.global_secondary_indexes.is_empty() {
        return Ok(None);
    }
    let index = |index: &Index| {
        let others = &index.projection.non_key_attributes;
        let projection = Projection::builder()
            .projection_type(ProjectionType::try_parse(&index.projection.projection_type)?)
            .set_non_key_attributes((!others.is_empty()).then(|| others.clone()));
        let builder = GlobalSecondaryIndex::builder()
            .index_name(&index.index_name)
            .set_key_schema(Some(key_schema(&index.key_schema)?))
            .projection(projection.build());
        Ok(builder.build()?)
    };
    definition.global_secondary_indexes.iter().map(index).collect::<Result<_>>().map(Some)
}

fn stream(definition: &Definition) -> Result<Option<StreamSpecification>> {
    let Some(stream) = &definition.stream_specification else { return Ok(None) };
    let view = StreamViewType::try_parse(&stream.stream_view_type)?;
    Ok(Some(StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build()?))
}

/// Compares the keys of a table, and of its indexes, with the template's.
fn check_keys(table: &TableDescription, definition: &Definition) -> Result<()> {
    check_key("its key", table.key_schema(), &definition.key_schema)?;
    for index in &definition.global_secondary_indexes {
        let name = index.index_name.as_str();
        let found = table.global_secondary_indexes();
        let found = found.iter().find(|found| found.index_name() == Some(name));
        let found = found.with_context(|| format!("it has no index {name}: {REMEDY}"))?;
        check_key(&format!("the key of its index {name}"), found.key_schema(), &index.key_schema)?;
    }
    for attribute in &definition.attribute_definitions {
        let name = attribute.attribute_name.as_str();
        let found = table.attribute_definitions();
        let found = found.iter().find(|found| found.attribute_name() == name);
        let found = found.with_context(|| format!("it has no attribute {name}: {REMEDY}"))?;
        let (is, wanted) = (found.attribute_type().as_str(), &attribute.attribute_type);
        ensure!(is == wanted, "its attribute {name} is of type {is}, not {wanted}: {REMEDY}");
    }
    Ok(())
}

const REMEDY: &str = "it was made by another version; start with an empty data folder";

fn check_key(what: &str, found: &[KeySchemaElement], wanted: &[Key]) -> Result<()> {
    let found: Vec<_> =
        found.iter().map(|key| (key.attribute_name(), key.key_type().as_str())).collect();
    let wanted: Vec<_> =
        wanted.iter().map(|key| (key.attribute_name.as_str(), key.key_type.as_str())).collect();
    ensure!(found == wanted, "{what} is {found:?}, the template has {wanted:?}: {REMEDY}");
    Ok(())
}

async fn set_ttl(client: &Client, name: &str, definition: &Definition) -> Result<()> {
    let Some(ttl) = definition.time_to_live_specification.as_ref().filter(|ttl| ttl.enabled) else {
        return Ok(());
    };
    let answer = client.describe_time_to_live().table_name(name).send().await?;
    let status = answer.time_to_live_description().and_then(|found| found.time_to_live_status());
    if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return Ok(());
    }
    let builder = TimeToLiveSpecification::builder().attribute_name(&ttl.attribute_name);
    let update = client.update_time_to_live().table_name(name);
    update.time_to_live_specification(builder.enabled(true).build()?).send().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::{Engine, Location};

    const SMALL: &str = r#"
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Conditions:
  IsProduction: !Equals [!Ref Environment, production]
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties:
      TopicName: !Sub "${AWS::StackName}-alerts"
  Function:
    Type: AWS::Serverless::Function
    Condition: IsProduction
    Properties:
      Environment:
        Variables:
          TOPIC_ARN: !Ref Topic
          QUEUE: !GetAtt Queue.Arn
          LEVEL: !If [IsProduction, info, !Ref "AWS::NoValue"]
          JOINED: !Join ["-", [!Ref Topic, b]]
          PICKED: !Select [0, !Split [",", !ImportValue list]]
          MAPPED: !FindInMap [Map, !Ref "AWS::Region", key]
  EventsTable:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: !Ref Policy
    Properties: &plain
      TableName: !Sub "${AWS::StackName}-events"
      BillingMode: PAY_PER_REQUEST
      DeletionProtectionEnabled: !If [IsProduction, true, false]
      KeySchema:
        - { AttributeName: pk, KeyType: HASH }
        - { AttributeName: sk, KeyType: RANGE }
      AttributeDefinitions:
        - { AttributeName: pk, AttributeType: S }
        - { AttributeName: sk, AttributeType: S }
      TimeToLiveSpecification: { AttributeName: expires, Enabled: true }
  CustomersTable:
    Type: AWS::DynamoDB::Table
    Properties:
      KeySchema:
        - { AttributeName: pk, KeyType: HASH }
      AttributeDefinitions:
        - { AttributeName: pk, AttributeType: S }
        - { AttributeName: due_shard, AttributeType: N }
        - { AttributeName: due_at, AttributeType: N }
      GlobalSecondaryIndexes:
        - IndexName: due
          KeySchema:
            - { AttributeName: due_shard, KeyType: HASH }
            - { AttributeName: due_at, KeyType: RANGE }
          Projection: { ProjectionType: KEYS_ONLY }
  JournalTable:
    Type: AWS::DynamoDB::Table
    Properties:
      KeySchema: [{ AttributeName: pk, KeyType: HASH }, { AttributeName: sk, KeyType: RANGE }]
      AttributeDefinitions:
        - { AttributeName: pk, AttributeType: S }
        - { AttributeName: sk, AttributeType: S }
      StreamSpecification: { StreamViewType: NEW_IMAGE }
  ControlTable:
    Type: AWS::DynamoDB::Table
    Properties: *plain
"#;

    async fn check_error(template: String, expected: &str) {
        let engine = Engine::start(Location::Memory).unwrap();
        create_tables_of(SMALL, &engine.dynamodb(), "x-").await.unwrap();
        let error = create_tables_of(&template, &engine.dynamodb(), "x-").await.unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains(expected), "{message}");
    }

    #[tokio::test]
    async fn tables_have_the_keys_indexes_stream_and_ttl_of_the_template() {
        let engine = Engine::start(Location::Memory).unwrap();
        let client = engine.dynamodb();
        let names = create_tables_of(SMALL, &client, "x-").await.unwrap();
        assert_eq!(names, table_names("x-"));

        let customers = describe(&client, &names.customers).await.unwrap().unwrap();
        let index = &customers.global_secondary_indexes()[0];
        assert_eq!(index.index_name(), Some("due"));
        assert_eq!(index.projection().unwrap().projection_type(), Some(&ProjectionType::KeysOnly));
        let journal = describe(&client, &names.journal).await.unwrap().unwrap();
        let stream = journal.stream_specification().unwrap();
        assert_eq!(stream.stream_view_type(), Some(&StreamViewType::NewImage));
        let ttl = client.describe_time_to_live().table_name(&names.events).send().await.unwrap();
        let ttl = ttl.time_to_live_description().unwrap();
        assert_eq!(ttl.attribute_name(), Some("expires"));
    }

    #[tokio::test]
    async fn making_the_tables_again_changes_nothing() {
        let engine = Engine::start(Location::Memory).unwrap();
        let client = engine.dynamodb();
        create_tables_of(SMALL, &client, "").await.unwrap();
        let before = client.describe_table().table_name("journal").send().await.unwrap();
        create_tables_of(SMALL, &client, "").await.unwrap();
        let after = client.describe_table().table_name("journal").send().await.unwrap();
        assert_eq!(before.table(), after.table());
    }

    #[tokio::test]
    async fn another_key_is_refused() {
        let other = SMALL.replacen("AttributeName: sk", "AttributeName: day", 2);
        let other = other.replacen("AttributeName: sk", "AttributeName: day", 1);
        check_error(other, "its key is").await;
    }

    #[tokio::test]
    async fn another_index_is_refused() {
        check_error(SMALL.replace("IndexName: due", "IndexName: stage"), "it has no index stage")
            .await;
    }

    #[tokio::test]
    async fn a_key_that_is_not_literal_is_named() {
        let other = SMALL.replacen("AttributeName: pk, KeyType: HASH", "KeyType: HASH", 1);
        check_error(other, "Table is not a table with literal keys").await;
    }

    #[tokio::test]
    async fn the_deployed_template_has_the_four_tables() {
        let engine = Engine::start(Location::Memory).unwrap();
        create_tables(&engine.dynamodb(), "test-").await.unwrap();
        create_tables(&engine.dynamodb(), "test-").await.unwrap();
        let listed = engine.dynamodb().list_tables().send().await.unwrap();
        assert_eq!(listed.table_names().len(), 4);
    }
}
