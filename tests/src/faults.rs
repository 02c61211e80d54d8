//! A network that fails between the SDK and what it talks to, call by call.
//!
//! The embedded engine never throttles, conflicts or loses an answer. [`Faults`] is the SDK's HTTP
//! client with these faults put in, so that what the code under test meets is what AWS would send:
//! the real error documents, and answers that never come although the request was carried out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::RuntimeComponents;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::{Value as Json, json};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The table's, or the topic's, capacity is used up.
    Throttled,
    /// The account's request rate is used up.
    RateLimited,
    /// Another writer is at the same item in a transaction.
    Conflict,
    /// The version a write stands on is not the present one: another writer came first. Only
    /// versions are met with this: that an item is there which is not, no table ever says.
    Overtaken,
    /// Of a batch, nothing was processed.
    Unprocessed,
    /// The service failed.
    Internal,
    /// The request never arrived, and the caller waited in vain.
    LostRequest,
    /// The request was carried out, and the caller waited for its answer in vain.
    LostAnswer,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 8] = [
        Fault::Throttled,
        Fault::RateLimited,
        Fault::Conflict,
        Fault::Overtaken,
        Fault::Unprocessed,
        Fault::Internal,
        Fault::LostRequest,
        Fault::LostAnswer,
    ];

    /// Whether the service would ever do this to such a call.
    fn can_happen_to(self, call: &Call) -> bool {
        let is_write = ["PutItem", "UpdateItem", "DeleteItem"].contains(&call.operation.as_str());
        match self {
            Fault::Throttled
            | Fault::RateLimited
            | Fault::Internal
            | Fault::LostRequest
            | Fault::LostAnswer => true,
            Fault::Conflict => is_write || call.operation == "TransactWriteItems",
            Fault::Overtaken => {
                let condition = call.body["ConditionExpression"].as_str().unwrap_or_default();
                condition.contains(":was") || call.operation == "TransactWriteItems"
            }
            Fault::Unprocessed => call.operation.starts_with("Batch"),
        }
    }

    /// What the service answers.
    fn answer(self, call: &Call) -> HttpResponse {
        let is_query = call.protocol == Protocol::Query;
        let is_transaction = call.operation == "TransactWriteItems";
        let (status, code) = match self {
            Fault::Throttled if is_query => (429, "Throttled"),
            Fault::Throttled => (400, "ProvisionedThroughputExceededException"),
            Fault::RateLimited if is_query => (400, "Throttling"),
            Fault::RateLimited => (400, "ThrottlingException"),
            Fault::Conflict if is_transaction => return cancelled(call, "TransactionConflict"),
            Fault::Conflict => (400, "TransactionConflictException"),
            Fault::Overtaken if is_transaction => return cancelled(call, "ConditionalCheckFailed"),
            Fault::Overtaken => (400, "ConditionalCheckFailedException"),
            Fault::Unprocessed => return unprocessed(call),
            Fault::Internal | Fault::LostRequest | Fault::LostAnswer => {
                (500, if is_query { "InternalError" } else { "InternalServerError" })
            }
        };
        refusal(call.protocol, status, code)
    }
}

/// A call on its way out.
struct Call {
    protocol: Protocol,
    operation: String,
    body: Json,
}

/// How a service writes its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// DynamoDB's: JSON.
    Json,
    /// SNS's: a form, answered with XML.
    Query,
}

impl Call {
    /// The operation is in a header, or in the form of the query protocol.
    fn read(request: &HttpRequest) -> Call {
        let bytes = request.body().bytes().unwrap_or_default();
        let target = request.headers().get("x-amz-target");
        let (protocol, operation) = match target.and_then(|target| target.split_once('.')) {
            Some((_, operation)) => (Protocol::Json, operation.to_owned()),
            None => {
                let form = String::from_utf8_lossy(bytes);
                let action = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
                (Protocol::Query, action.unwrap_or_default().to_owned())
            }
        };
        let body = serde_json::from_slice(bytes).unwrap_or_default();
        Call { protocol, operation, body }
    }
}

/// Which calls fail.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// None.
    Calm,
    /// The call of this number, counted from 0.
    One { number: usize, fault: Fault },
    /// Each call with so many chances in a hundred, with any fault, drawn from this state; and the
    /// process dies at one with so many chances in a thousand.
    Storm { state: u64, percent: u64, deaths: u64 },
}

#[derive(Debug)]
struct Seen {
    plan: Plan,
    calls: usize,
    injected: Vec<(String, Fault)>,
    /// Whether the process is dead: no call of it arrives any more.
    is_dead: bool,
}

/// The faults of one or more clients. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    inner: SharedHttpClient,
    seen: Arc<Mutex<Seen>>,
}

/// How the SDK goes about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    /// It hands each failure to its caller.
    One,
    /// It tries again at once, as it does in Lambda but for the pause.
    Three,
}

impl Default for Faults {
    fn default() -> Faults {
        let seen = Seen { plan: Plan::Calm, calls: 0, injected: Vec::new(), is_dead: false };
        Faults { inner: Builder::new().build_http(), seen: Arc::new(Mutex::new(seen)) }
    }
}

impl Faults {
    /// A client for the same tables as another, through these faults.
    #[must_use]
    pub fn dynamodb(
        &self,
        client: &aws_sdk_dynamodb::Client,
        attempts: Attempts,
    ) -> aws_sdk_dynamodb::Client {
        let config = client.config().to_builder().http_client(self.clone());
        let config = config.retry_config(attempts.config()).retry_partition(partition());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A client for the same topics as another, through these faults.
    #[must_use]
    pub fn sns(&self, client: &aws_sdk_sns::Client, attempts: Attempts) -> aws_sdk_sns::Client {
        let config = client.config().to_builder().http_client(self.clone());
        let config = config.retry_config(attempts.config()).retry_partition(partition());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    /// Lets one call fail, the `number`th from now on.
    pub fn fail_call(&self, number: usize, fault: Fault) {
        self.begin(Plan::One { number, fault });
    }

    /// Lets each call fail with so many chances in a hundred. The same seed draws the same faults.
    pub fn storm(&self, seed: u64, percent: u64) {
        self.deadly_storm(seed, percent, 0);
    }

    /// [`Self::storm`], in which the process dies at a call, before or after it is carried out, with so
    /// many chances in a thousand. Until [`Self::revive`] no further call of it arrives.
    pub fn deadly_storm(&self, seed: u64, percent: u64, deaths: u64) {
        // An odd multiplier keeps seeds apart; zero would stay zero for ever.
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self.begin(Plan::Storm { state, percent, deaths });
    }

    /// Lets the next process live: whether the one before had died.
    pub fn revive(&self) -> bool {
        std::mem::take(&mut self.seen().is_dead)
    }

    /// Lets no call fail from now on. Answers what was injected since the plan began.
    pub fn calm(&self) -> Vec<(String, Fault)> {
        self.begin(Plan::Calm)
    }

    /// How many calls were made since the plan began.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.seen().calls
    }

    fn begin(&self, plan: Plan) -> Vec<(String, Fault)> {
        let mut seen = self.seen();
        let fresh = Seen { plan, calls: 0, injected: Vec::new(), is_dead: false };
        let before = std::mem::replace(&mut *seen, fresh);
        before.injected
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of the next call, if it has one.
    fn next(&self, call: &Call) -> Option<Fault> {
        let mut seen = self.seen();
        let number = seen.calls;
        seen.calls += 1;
        if seen.is_dead {
            return Some(Fault::LostRequest);
        }
        if let Plan::Storm { state, deaths, .. } = &mut seen.plan
            && *deaths > 0
            && draw(state) % 1_000 < *deaths
        {
            let side =
                [Fault::LostRequest, Fault::LostAnswer][usize::from(draw(state).is_multiple_of(2))];
            seen.is_dead = true;
            return Some(side);
        }
        let fault = match &mut seen.plan {
            Plan::Calm => None,
            Plan::One { number: chosen, fault } => (*chosen == number).then_some(*fault),
            Plan::Storm { state, percent, .. } => {
                let is_hit = draw(state) % 100 < *percent;
                let any = usize::try_from(draw(state)).unwrap_or_default() % Fault::ALL.len();
                is_hit.then_some(Fault::ALL[any])
            }
        };
        let fault = fault.filter(|fault| fault.can_happen_to(call));
        seen.injected.extend(fault.map(|fault| (call.operation.clone(), fault)));
        fault
    }
}

impl Attempts {
    fn config(self) -> RetryConfig {
        match self {
            Attempts::One => RetryConfig::disabled(),
            Attempts::Three => RetryConfig::standard()
                .with_initial_backoff(Duration::ZERO)
                .with_max_backoff(Duration::ZERO),
        }
    }
}

/// The SDK counts attempts of all clients together, and refuses more when there were many: here each client
/// counts its own, and what it counts goes with it.
fn partition() -> RetryPartition {
    RetryPartition::custom("faults").build()
}

impl HttpClient for Faults {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, faults: self.clone() })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    faults: Faults,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = Call::read(&request);
        match self.faults.next(&call) {
            None => self.inner.call(request),
            Some(Fault::LostRequest) => HttpConnectorFuture::ready(Err(timed_out())),
            Some(Fault::LostAnswer) => {
                let carried_out = self.inner.call(request);
                HttpConnectorFuture::new(async move {
                    carried_out.await?;
                    Err(timed_out())
                })
            }
            Some(fault) => HttpConnectorFuture::ready(Ok(fault.answer(&call))),
        }
    }
}

fn timed_out() -> ConnectorError {
    ConnectorError::timeout("no answer in time".into())
}

fn refusal(protocol: Protocol, status: u16, code: &str) -> HttpResponse {
    match protocol {
        Protocol::Json => {
            let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
            json_answer(status, &json!({"__type": kind, "message": "an injected fault"}))
        }
        Protocol::Query => {
            let error = format!("<Code>{code}</Code><Message>an injected fault</Message>");
            let error = format!("<Error><Type>Receiver</Type>{error}</Error>");
            let xml = format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>");
            answer(status, "text/xml", xml)
        }
    }
}

/// A transaction that was cancelled for its first write.
fn cancelled(call: &Call, code: &str) -> HttpResponse {
    let writes = call.body["TransactItems"].as_array().map_or(1, Vec::len);
    let reason = |number| json!({"Code": if number == 0 { code } else { "None" }});
    let reasons: Vec<Json> = (0..writes).map(reason).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    let message = "an injected fault";
    json_answer(400, &json!({"__type": kind, "message": message, "CancellationReasons": reasons}))
}

/// A batch of which nothing was done.
fn unprocessed(call: &Call) -> HttpResponse {
    let left = call.body["RequestItems"].clone();
    match call.operation.as_str() {
        // It tells of each statement by itself.
        "BatchExecuteStatement" => {
            let statements = call.body["Statements"].as_array().map_or(0, Vec::len);
            let error = json!({"Code": "ProvisionedThroughputExceeded", "Message": "injected"});
            json_answer(200, &json!({"Responses": vec![json!({"Error": error}); statements]}))
        }
        "BatchGetItem" => json_answer(200, &json!({"Responses": {}, "UnprocessedKeys": left})),
        _ => json_answer(200, &json!({"UnprocessedItems": left})),
    }
}

fn json_answer(status: u16, body: &Json) -> HttpResponse {
    answer(status, "application/x-amz-json-1.0", body.to_string())
}

fn answer(status: u16, kind: &'static str, body: String) -> HttpResponse {
    let status = status.try_into().expect("it is a status");
    let mut response = HttpResponse::new(status, body.into());
    response.headers_mut().insert("content-type", kind);
    response
}

/// The next number of a xorshift generator: enough to scatter faults.
fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}
