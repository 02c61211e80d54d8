//! An SNS endpoint for the real SDK: it checks a message as AWS does, keeps it, and sends nothing.
//!
//! Invariants:
//! - What AWS refuses is refused here, with AWS's error code: a message that passes here has the
//!   size, subject, structure and attributes that AWS takes.
//! - Any well-formed topic exists. Nothing leaves the process.
//! - The last [`CAPACITY`] messages are kept, in the order they came.
//!
//! Source of the checks: the SNS API reference for `Publish` and `PublishBatch`, query protocol of
//! 2010-03-31.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use serde::Serialize;

/// How many messages are kept.
pub const CAPACITY: usize = 10_000;

/// AWS's limit for a message, or the messages of a batch, with attributes.
const MESSAGE_BYTES: usize = 262_144;
/// A subject is shorter than this.
const SUBJECT_CHARS: usize = 100;
const BATCH_ENTRIES: usize = 10;
const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// Gives the instant a message is published at.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The topic's name: the last part of its ARN.
    pub topic: String,
    /// The subject of an e-mail.
    pub subject: Option<String>,
    /// The message as it was sent: with `MessageStructure` `json`, the JSON of all protocols.
    pub message: String,
    /// The values of the message attributes; binary ones in base64.
    pub attributes: BTreeMap<String, String>,
    /// When it was taken.
    pub published_at: Timestamp,
}

/// The endpoint and what it has taken. Clones share both.
#[derive(Clone)]
pub struct LocalSns {
    clock: Clock,
    state: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    published: VecDeque<Published>,
    failures: VecDeque<Fault>,
    requests: u64,
}

impl LocalSns {
    /// An endpoint that has taken nothing.
    pub fn new(clock: Clock) -> LocalSns {
        LocalSns { clock, state: Arc::default() }
    }

    /// The routes of the endpoint, to be served at the root of an address.
    pub fn router(&self) -> Router {
        Router::new().route("/", post(answer)).with_state(self.clone())
    }

    /// The messages taken, oldest first.
    pub fn published(&self) -> Vec<Published> {
        self.kept().published.iter().cloned().collect()
    }

    /// Answers the next `n` requests with this status and error code, and takes nothing from them.
    ///
    /// The SDK retries on its own what is marked as retryable: 5xx, and the code `Throttling`.
    pub fn fail_next(&self, n: usize, status: u16, code: &str) {
        let fault = Fault { status, code: code.to_owned(), message: "Injected fault".to_owned() };
        self.kept().failures.extend(std::iter::repeat_n(fault, n));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves whole messages behind, so they can still be read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, message: Message) -> String {
        let published = message.published((self.clock)());
        let mut kept = self.kept();
        if kept.published.len() == CAPACITY {
            kept.published.pop_front();
        }
        kept.published.push_back(published);
        kept.next_id()
    }
}

impl Kept {
    /// An id of the form of a UUID: for messages and requests.
    fn next_id(&mut self) -> String {
        self.requests += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.requests)
    }
}

/// An error as the query protocol reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    status: u16,
    code: String,
    message: String,
}

impl Fault {
    fn new(code: &str, message: impl Into<String>) -> Fault {
        Fault { status: 400, code: code.to_owned(), message: message.into() }
    }

    fn parameter(reason: impl AsRef<str>) -> Fault {
        Fault::new("InvalidParameter", format!("Invalid parameter: {}", reason.as_ref()))
    }

    fn attribute(reason: impl Into<String>) -> Fault {
        Fault::new("ParameterValueInvalid", reason)
    }
}

async fn answer(State(sns): State<LocalSns>, body: String) -> Response {
    let (request_id, failure) = {
        let mut kept = sns.kept();
        (kept.next_id(), kept.failures.pop_front())
    };
    let result = match failure {
        Some(failure) => Err(failure),
        None => act(&sns, &parse_form(&body)),
    };
    let (status, xml) = match result {
        Ok((action, result)) => {
            let metadata = format!("<RequestId>{request_id}</RequestId>");
            let result = format!("<{action}Result>{result}</{action}Result>");
            let metadata = format!("<ResponseMetadata>{metadata}</ResponseMetadata>");
            let xml = format!(
                r#"<{action}Response xmlns="{NAMESPACE}">{result}{metadata}</{action}Response>"#
            );
            (StatusCode::OK, xml)
        }
        Err(fault) => {
            let kind = if fault.status < 500 { "Sender" } else { "Receiver" };
            let (code, message) = (escape(&fault.code), escape(&fault.message));
            let error =
                format!("<Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message>");
            let xml = format!(
                r#"<ErrorResponse xmlns="{NAMESPACE}"><Error>{error}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"#
            );
            let status = StatusCode::from_u16(fault.status);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), xml)
        }
    };
    (status, [(header::CONTENT_TYPE, "text/xml")], xml).into_response()
}

/// Runs the request's action and gives its name and the inside of its result.
fn act(sns: &LocalSns, form: &Form) -> Result<(&'static str, String), Fault> {
    match form.get("Action").map(String::as_str) {
        Some("Publish") => Ok(("Publish", publish(sns, form)?)),
        Some("PublishBatch") => Ok(("PublishBatch", publish_batch(sns, form)?)),
        Some(action) => Err(Fault::new(
            "InvalidAction",
            format!("The action {action} is not available on the local endpoint"),
        )),
        None => Err(Fault::new("MissingAction", "The request has no Action")),
    }
}

fn publish(sns: &LocalSns, form: &Form) -> Result<String, Fault> {
    let topic = form.get("TopicArn").or_else(|| form.get("TargetArn"));
    let topic = topic.ok_or_else(|| {
        Fault::parameter("TopicArn or TargetArn Reason: no value for required parameter")
    })?;
    let message = Message::checked(topic, form, "")?;
    if message.bytes() > MESSAGE_BYTES {
        return Err(Fault::parameter("Message too long"));
    }
    let id = sns.keep(message);
    Ok(format!("<MessageId>{id}</MessageId>"))
}

fn publish_batch(sns: &LocalSns, form: &Form) -> Result<String, Fault> {
    let topic = form
        .get("TopicArn")
        .ok_or_else(|| Fault::parameter("TopicArn Reason: no value for required parameter"))?;
    check_topic(topic)?;
    let entries = batch_entries(form)?;
    let read: Vec<_> =
        entries.iter().map(|(id, prefix)| (id, Message::checked(topic, form, prefix))).collect();
    let bytes: usize = read.iter().flat_map(|(_, read)| read).map(Message::bytes).sum();
    if bytes > MESSAGE_BYTES {
        return Err(Fault::new(
            "BatchRequestTooLong",
            "The length of all the messages put together is more than the limit.",
        ));
    }
    let (mut successful, mut failed) = (String::new(), String::new());
    for (id, read) in read {
        let id = escape(id);
        match read {
            Ok(message) => {
                let message_id = sns.keep(message);
                successful +=
                    &format!("<member><Id>{id}</Id><MessageId>{message_id}</MessageId></member>");
            }
            Err(fault) => {
                let (code, message) = (escape(&fault.code), escape(&fault.message));
                failed += &format!(
                    "<member><Id>{id}</Id><Code>{code}</Code><Message>{message}</Message>\
                     <SenderFault>true</SenderFault></member>"
                );
            }
        }
    }
    Ok(format!("<Successful>{successful}</Successful><Failed>{failed}</Failed>"))
}

/// The entries of a batch: the id of each, and where its parameters are.
fn batch_entries(form: &Form) -> Result<Vec<(String, String)>, Fault> {
    let mut entries = Vec::new();
    let mut ids = BTreeSet::new();
    for number in 1.. {
        let prefix = format!("PublishBatchRequestEntries.member.{number}.");
        if !form.keys().any(|key| key.starts_with(&prefix)) {
            break;
        }
        let id = form.get(&format!("{prefix}Id")).cloned().unwrap_or_default();
        let valid = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
        if id.is_empty() || id.len() > 80 || !id.chars().all(valid) {
            return Err(Fault::new(
                "InvalidBatchEntryId",
                "The Id of a batch entry can only contain alphanumeric characters, hyphens and \
                 underscores. It can be at most 80 letters long.",
            ));
        }
        if !ids.insert(id.clone()) {
            return Err(Fault::new(
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.",
            ));
        }
        entries.push((id, prefix));
    }
    match entries.len() {
        0 => Err(Fault::new("EmptyBatchRequest", "The batch request doesn't contain any entries.")),
        1..=BATCH_ENTRIES => Ok(entries),
        _ => Err(Fault::new(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        )),
    }
}

/// A message that passed the checks, but for its size, which a batch has in common.
struct Message {
    topic: String,
    subject: Option<String>,
    message: String,
    attributes: BTreeMap<String, Attribute>,
}

struct Attribute {
    data_type: String,
    value: String,
    bytes: usize,
}

impl Message {
    fn checked(topic_arn: &str, form: &Form, prefix: &str) -> Result<Message, Fault> {
        let topic = check_topic(topic_arn)?;
        let field = |name: &str| form.get(&format!("{prefix}{name}"));
        if topic.ends_with(".fifo") && field("MessageGroupId").is_none_or(String::is_empty) {
            return Err(Fault::parameter(
                "The MessageGroupId parameter is required for FIFO topics",
            ));
        }
        let message = field("Message").cloned().unwrap_or_default();
        if message.is_empty() {
            return Err(Fault::parameter("Empty message"));
        }
        let subject = field("Subject").cloned();
        if let Some(subject) = &subject {
            check_subject(subject)?;
        }
        if let Some(structure) = field("MessageStructure") {
            check_structure(structure, &message)?;
        }
        let attributes = attributes(form, &format!("{prefix}MessageAttributes.entry."))?;
        Ok(Message { topic: topic.to_owned(), subject, message, attributes })
    }

    /// What AWS counts: the message and the names, types and values of the attributes.
    fn bytes(&self) -> usize {
        let one = |(name, a): (&String, &Attribute)| name.len() + a.data_type.len() + a.bytes;
        self.message.len() + self.attributes.iter().map(one).sum::<usize>()
    }

    fn published(self, published_at: Timestamp) -> Published {
        let Message { topic, subject, message, attributes } = self;
        let attributes = attributes.into_iter().map(|(name, a)| (name, a.value)).collect();
        Published { topic, subject, message, attributes, published_at }
    }
}

/// The name in a topic's ARN: `arn:aws:sns:us-east-1:123456789012:alerts`.
fn check_topic(arn: &str) -> Result<&str, Fault> {
    let invalid = || Fault::parameter(format!("TopicArn Reason: {arn} is not a topic's ARN"));
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "sns", region, account, name] = parts[..] else {
        return Err(invalid());
    };
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let valid = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    let is_valid = partition.starts_with("aws")
        && !region.is_empty()
        && account.len() == 12
        && account.chars().all(|char| char.is_ascii_digit())
        && (1..=256).contains(&name.len())
        && !stem.is_empty()
        && stem.chars().all(valid);
    if is_valid { Ok(name) } else { Err(invalid()) }
}

/// One line of 1 to 99 characters, none of them a control character, the first not a space.
fn check_subject(subject: &str) -> Result<(), Fault> {
    let length = subject.chars().count();
    let separates = |char| matches!(char, '\u{2028}' | '\u{2029}');
    let is_valid = (1..SUBJECT_CHARS).contains(&length)
        && !subject.chars().any(|char| char.is_control() || separates(char))
        && !subject.starts_with(char::is_whitespace);
    if is_valid { Ok(()) } else { Err(Fault::parameter("Subject")) }
}

/// With `json`, the message is an object of strings, one a protocol, of which one is `default`.
fn check_structure(structure: &str, message: &str) -> Result<(), Fault> {
    if structure != "json" {
        return Err(Fault::parameter("MessageStructure"));
    }
    let failed = |reason: &str| Fault::parameter(format!("Message Structure - {reason}"));
    let object: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(message).map_err(|_| failed("JSON message body failed to parse"))?;
    if !object.contains_key("default") {
        return Err(failed("No default entry in JSON message body"));
    }
    if !object.values().all(serde_json::Value::is_string) {
        return Err(failed("JSON message body has a value that is not a string"));
    }
    Ok(())
}

fn attributes(form: &Form, prefix: &str) -> Result<BTreeMap<String, Attribute>, Fault> {
    let mut attributes = BTreeMap::new();
    for number in 1.. {
        let field = |name: &str| form.get(&format!("{prefix}{number}.{name}"));
        let Some(name) = field("Name") else { break };
        check_attribute_name(name)?;
        let data_type = field("Value.DataType").cloned().unwrap_or_default();
        let attribute = attribute(
            name,
            data_type,
            field("Value.StringValue").cloned(),
            field("Value.BinaryValue").cloned(),
        )?;
        if attributes.insert(name.clone(), attribute).is_some() {
            return Err(Fault::attribute(format!("The message attribute '{name}' occurs twice.")));
        }
    }
    Ok(attributes)
}

fn check_attribute_name(name: &str) -> Result<(), Fault> {
    let valid = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let lower = name.to_ascii_lowercase();
    let is_valid = (1..=256).contains(&name.len())
        && name.chars().all(valid)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.");
    if is_valid {
        Ok(())
    } else {
        Err(Fault::attribute(format!("Invalid message attribute name '{name}'.")))
    }
}

/// The types are `String`, `String.Array`, `Number` and `Binary`; all but the array may have a
/// label behind a dot.
fn attribute(
    name: &str,
    data_type: String,
    string: Option<String>,
    binary: Option<String>,
) -> Result<Attribute, Fault> {
    let fault = |reason: &str| {
        Fault::attribute(format!("The message attribute '{name}' {reason} (type '{data_type}')."))
    };
    let (value, bytes) = match data_type.split('.').next() {
        Some("String" | "Number") => {
            let value = string.filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| fault("must contain a non-empty string value"))?;
            let bytes = value.len();
            (value, bytes)
        }
        Some("Binary") => {
            let value = binary.filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| fault("must contain a non-empty binary value"))?;
            let bytes = value.trim_end_matches('=').len() * 3 / 4;
            (value, bytes)
        }
        _ => return Err(fault("has an invalid message attribute type")),
    };
    let is_number = || value.parse::<f64>().is_ok_and(f64::is_finite);
    if data_type.starts_with("Number") && !is_number() {
        return Err(fault("must be a number"));
    }
    let is_array = || serde_json::from_str::<Vec<serde_json::Value>>(&value).is_ok();
    if data_type == "String.Array" && !is_array() {
        return Err(fault("must be a JSON array"));
    }
    Ok(Attribute { data_type, value, bytes })
}

type Form = BTreeMap<String, String>;

/// Reads `application/x-www-form-urlencoded`.
fn parse_form(body: &str) -> Form {
    let pairs = body.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (_, Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', None) => bytes.push(b' '),
            (other, None) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use aws_sdk_sns::Client;
    use aws_sdk_sns::config::retry::RetryConfig;
    use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_sns::error::ProvideErrorMetadata as _;
    use aws_sdk_sns::operation::publish::builders::PublishFluentBuilder;
    use aws_sdk_sns::primitives::Blob;
    use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
    use aws_smithy_http_client::Builder;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:lifecycle-alerts";

    async fn start() -> (LocalSns, Client) {
        let sns = LocalSns::new(Arc::new(|| Timestamp::UNIX_EPOCH));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = sns.router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .http_client(Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .build();
        (sns, Client::from_conf(config))
    }

    fn string(data_type: &str, value: &str) -> MessageAttributeValue {
        let builder = MessageAttributeValue::builder().data_type(data_type).string_value(value);
        builder.build().unwrap()
    }

    fn entry(id: &str, message: &str) -> PublishBatchRequestEntry {
        PublishBatchRequestEntry::builder().id(id).message(message).build().unwrap()
    }

    /// Publishes what `change` makes of a good message and compares the error's code and words.
    async fn check_refused(
        change: impl FnOnce(PublishFluentBuilder) -> PublishFluentBuilder,
        code: &str,
        words: &str,
    ) {
        let (sns, client) = start().await;
        let good = client.publish().topic_arn(TOPIC).message("text");
        let error = change(good).send().await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert!(error.message().unwrap().contains(words), "{:?}", error.message());
        assert!(sns.published().is_empty());
    }

    #[tokio::test]
    async fn a_message_is_kept_as_it_was_sent() {
        let (sns, client) = start().await;
        let message = "Risk: 80 % & \"rising\" + more\r\n<b>Zoë</b> ü 🚀 =%20";
        let binary =
            MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new([1, 2, 3]));
        let answer = client
            .publish()
            .topic_arn(TOPIC)
            .subject("Größe & risk > 80 %")
            .message(message)
            .message_attributes("severity", string("String", "critical"))
            .message_attributes("risk", string("Number", "0.8"))
            .message_attributes("teams", string("String.Array", r#"["a","b"]"#))
            .message_attributes("seal", binary.build().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.message_id().unwrap().len(), 36);
        let attributes = [
            ("risk", "0.8"),
            ("seal", "AQID"),
            ("severity", "critical"),
            ("teams", r#"["a","b"]"#),
        ];
        let expected = Published {
            topic: "lifecycle-alerts".into(),
            subject: Some("Größe & risk > 80 %".into()),
            message: message.into(),
            attributes: attributes.map(|(name, value)| (name.into(), value.into())).into(),
            published_at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(sns.published(), [expected]);
    }

    #[tokio::test]
    async fn a_malformed_topic_is_refused() {
        for arn in ["alerts", "arn:aws:sqs:us-east-1:123456789012:q", "arn:aws:sns:r:1:t"] {
            check_refused(|it| it.topic_arn(arn), "InvalidParameter", "TopicArn").await;
        }
        let missing = |it: PublishFluentBuilder| it.set_topic_arn(None);
        check_refused(missing, "InvalidParameter", "TopicArn or TargetArn").await;
    }

    #[tokio::test]
    async fn an_empty_message_is_refused() {
        check_refused(|it| it.message(""), "InvalidParameter", "Empty message").await;
    }

    #[tokio::test]
    async fn a_subject_is_one_line_of_at_most_99_characters() {
        let long = "ü".repeat(100);
        for subject in ["", " leading", "two\nlines", "bell\u{7}", &long] {
            check_refused(|it| it.subject(subject), "InvalidParameter", "Subject").await;
        }
        let (_, client) = start().await;
        let longest = client.publish().topic_arn(TOPIC).message("m").subject("ü".repeat(99));
        longest.send().await.unwrap();
    }

    #[tokio::test]
    async fn the_size_counts_bytes_of_message_and_attributes() {
        let (_, client) = start().await;
        let largest = "é".repeat(MESSAGE_BYTES / 2);
        client.publish().topic_arn(TOPIC).message(&largest).send().await.unwrap();
        let attribute = |it: PublishFluentBuilder| {
            it.message(&largest).message_attributes("n", string("String", "v"))
        };
        check_refused(attribute, "InvalidParameter", "too long").await;
        let longer = format!("{largest}x");
        check_refused(|it| it.message(&longer), "InvalidParameter", "too long").await;
    }

    #[tokio::test]
    async fn a_json_structure_needs_strings_and_a_default() {
        let cases = [
            (r#"{"email":"text"}"#, "No default entry"),
            (r#"{"default":{"a":1}}"#, "not a string"),
            ("text", "failed to parse"),
            (r#"["default"]"#, "failed to parse"),
        ];
        for (message, words) in cases {
            let change = |it: PublishFluentBuilder| it.message(message).message_structure("json");
            check_refused(change, "InvalidParameter", words).await;
        }
        let other = |it: PublishFluentBuilder| it.message_structure("xml");
        check_refused(other, "InvalidParameter", "MessageStructure").await;
    }

    #[tokio::test]
    async fn an_attribute_has_a_known_type_and_a_fitting_value() {
        let cases = [
            ("a", string("Text", "v")),
            ("a", string("String", "")),
            ("a", string("Number", "many")),
            ("a", string("String.Array", "a,b")),
            ("a", string("Binary", "v")),
            ("AWS.a", string("String", "v")),
            ("a b", string("String", "v")),
        ];
        for (name, value) in cases {
            let change = |it: PublishFluentBuilder| it.message_attributes(name, value);
            check_refused(change, "ParameterValueInvalid", "attribute").await;
        }
    }

    #[tokio::test]
    async fn a_fifo_topic_needs_a_group() {
        let fifo = format!("{TOPIC}.fifo");
        let change = |it: PublishFluentBuilder| it.topic_arn(&fifo);
        check_refused(change, "InvalidParameter", "MessageGroupId").await;
    }

    #[tokio::test]
    async fn a_batch_reports_each_entry() {
        let (sns, client) = start().await;
        let answer = client
            .publish_batch()
            .topic_arn(TOPIC)
            .publish_batch_request_entries(entry("good", "text"))
            .publish_batch_request_entries(entry("empty", ""))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.successful()[0].id(), Some("good"));
        assert_eq!(answer.failed()[0].id(), "empty");
        assert_eq!(answer.failed()[0].code(), "InvalidParameter");
        assert_eq!(sns.published().len(), 1);
    }

    #[tokio::test]
    async fn a_batch_is_refused_as_a_whole_for_its_form() {
        let half = "x".repeat(MESSAGE_BYTES / 2 + 1);
        let eleven = (0..11).map(|number| entry(&number.to_string(), "m")).collect();
        let cases: [(Vec<_>, &str); 5] = [
            (vec![], "EmptyBatchRequest"),
            (eleven, "TooManyEntriesInBatchRequest"),
            (vec![entry("a", "m"), entry("a", "m")], "BatchEntryIdsNotDistinct"),
            (vec![entry("a b", "m")], "InvalidBatchEntryId"),
            (vec![entry("a", &half), entry("b", &half)], "BatchRequestTooLong"),
        ];
        for (entries, code) in cases {
            let (sns, client) = start().await;
            let batch = client.publish_batch().topic_arn(TOPIC);
            let batch = batch.set_publish_batch_request_entries(Some(entries));
            assert_eq!(batch.send().await.unwrap_err().code(), Some(code));
            assert!(sns.published().is_empty());
        }
    }

    #[tokio::test]
    async fn injected_faults_come_first_and_take_nothing() {
        let (sns, client) = start().await;
        sns.fail_next(2, 500, "InternalError");
        for _ in 0..2 {
            let sent = client.publish().topic_arn(TOPIC).message("m").send().await;
            assert!(sent.unwrap_err().into_service_error().is_internal_error_exception());
        }
        client.publish().topic_arn(TOPIC).message("m").send().await.unwrap();
        assert_eq!(sns.published().len(), 1);
    }

    #[tokio::test]
    async fn other_actions_are_refused() {
        let (_, client) = start().await;
        let error = client.list_topics().send().await.unwrap_err();
        assert_eq!(error.code(), Some("InvalidAction"));
    }

    #[test]
    fn the_oldest_message_makes_room() {
        let sns = LocalSns::new(Arc::new(|| Timestamp::UNIX_EPOCH));
        for number in 0..=CAPACITY {
            let form = [("TopicArn", TOPIC.to_owned()), ("Message", number.to_string())];
            let form = form.map(|(name, value)| (name.to_owned(), value)).into();
            publish(&sns, &form).unwrap();
        }
        let published = sns.published();
        assert_eq!(published.len(), CAPACITY);
        assert_eq!(published[0].message, "1");
    }
}
