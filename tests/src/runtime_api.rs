//! Lambda's Runtime API on loopback, and a function's binary as a process that is served by it.
//!
//! What is tested this way is what runs in Lambda: the binary with its `main`, its environment,
//! its initialisation and its wire format, one invocation at a time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use platform::settings::Tables;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// How long a process may take from its start, or the end of its last invocation, to ask for the
/// next. Lambda allows ten seconds; a loaded test machine needs more.
const POLL_LIMIT: Duration = Duration::from_secs(30);
/// How often a waiting invocation looks whether the process still lives.
const EXIT_CHECK: Duration = Duration::from_millis(20);
const VERSION: &str = "/2018-06-01/runtime";

/// Why an invocation has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvocationError {
    /// The handler failed, or panicked, and the runtime reported it.
    Function {
        /// The class of the error, as Lambda's metrics and logs have it.
        error_type: String,
        /// What it says.
        message: String,
    },
    /// The runtime reported that it could not start.
    Init {
        /// The class of the error.
        error_type: String,
        /// What it says.
        message: String,
    },
    /// The process took the event and did not answer before its deadline.
    TimedOut,
    /// The process did not ask for an event.
    NotPolled,
    /// The process ended.
    Exited(String),
}

impl fmt::Display for InvocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { error_type, message } => {
                write!(f, "the function failed: {error_type}: {message}")
            }
            Self::Init { error_type, message } => {
                write!(f, "the function could not start: {error_type}: {message}")
            }
            Self::TimedOut => write!(f, "the function did not answer before its deadline"),
            Self::NotPolled => write!(f, "the function did not ask for the event"),
            Self::Exited(status) => write!(f, "the function's process ended: {status}"),
        }
    }
}

impl std::error::Error for InvocationError {}

/// A Runtime API for one process. Dropping it stops its server.
pub struct RuntimeApi {
    address: String,
    timeout: Duration,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    started: Instant,
    queued: Notify,
    state: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Invocation>,
    running: HashMap<String, oneshot::Sender<Outcome>>,
    invocations: u64,
    first_poll: Option<Duration>,
    init_error: Option<InvocationError>,
}

type Outcome = Result<Value, InvocationError>;

struct Invocation {
    id: String,
    event: Value,
    timeout: Duration,
    taken: oneshot::Sender<()>,
    outcome: oneshot::Sender<Outcome>,
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1. Each event's deadline is `timeout` after the process
    /// takes it.
    pub async fn start(timeout: Duration) -> std::io::Result<RuntimeApi> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            started: Instant::now(),
            queued: Notify::new(),
            state: Mutex::default(),
        });
        let router = Router::new()
            .route(&format!("{VERSION}/invocation/next"), get(next))
            .route(&format!("{VERSION}/invocation/{{id}}/response"), post(response))
            .route(&format!("{VERSION}/invocation/{{id}}/error"), post(error))
            .route(&format!("{VERSION}/init/error"), post(init_error))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a listening socket serves");
        });
        Ok(RuntimeApi { address, timeout, shared, server })
    }

    /// `host:port`, for `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Queues an event and waits for its answer.
    pub async fn invoke(&self, event: Value) -> Outcome {
        self.invoke_within(self.timeout, event).await
    }

    /// [`Self::invoke`] with a deadline of its own.
    pub async fn invoke_within(&self, timeout: Duration, event: Value) -> Outcome {
        let (taken, mut is_taken) = oneshot::channel();
        let (outcome, mut answered) = oneshot::channel();
        {
            let mut queue = self.shared.queue();
            if let Some(error) = &queue.init_error {
                return Err(error.clone());
            }
            queue.invocations += 1;
            let id = format!("00000000-0000-4000-8000-{:012x}", queue.invocations);
            queue.waiting.push_back(Invocation { id, event, timeout, taken, outcome });
        }
        self.shared.queued.notify_one();
        // A process that fails to start answers without taking the event.
        let polled = tokio::time::timeout(POLL_LIMIT, async {
            tokio::select! {
                biased;
                outcome = &mut answered => Some(outcome),
                _ = &mut is_taken => None,
            }
        });
        let outcome = match polled.await {
            Err(_) => return Err(InvocationError::NotPolled),
            Ok(Some(outcome)) => outcome,
            Ok(None) => match tokio::time::timeout(timeout, answered).await {
                Err(_) => return Err(InvocationError::TimedOut),
                Ok(outcome) => outcome,
            },
        };
        outcome.unwrap_or(Err(InvocationError::NotPolled))
    }

    /// How long after the start of this server the process first asked for an event: its
    /// initialisation.
    pub fn first_poll(&self) -> Option<Duration> {
        self.shared.queue().first_poll
    }

    /// The error that the process reported instead of asking for an event.
    pub fn init_error(&self) -> Option<InvocationError> {
        self.shared.queue().init_error.clone()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an answer to the invocation that waits for it, if it still does.
    fn finish(&self, id: &str, outcome: Outcome) -> StatusCode {
        match self.queue().running.remove(id) {
            Some(waiting) => {
                // Nobody waits after a time-out; Lambda takes a late answer without a word too.
                let _ = waiting.send(outcome);
                StatusCode::ACCEPTED
            }
            None => StatusCode::BAD_REQUEST,
        }
    }
}

/// Answers with the next event, however long it takes to come.
async fn next(State(shared): State<Arc<Shared>>) -> Response {
    {
        let mut queue = shared.queue();
        queue.first_poll = queue.first_poll.or_else(|| Some(shared.started.elapsed()));
    }
    loop {
        let invocation = shared.queue().waiting.pop_front();
        if let Some(invocation) = invocation {
            return hand_over(&shared, invocation);
        }
        shared.queued.notified().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the deadline is in the real time of the process")]
fn hand_over(shared: &Shared, invocation: Invocation) -> Response {
    let Invocation { id, event, timeout, taken, outcome } = invocation;
    let deadline = SystemTime::now() + timeout;
    let deadline = deadline.duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_millis();
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:test";
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id.clone()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", arn.to_owned()),
        ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000".to_owned()),
    ];
    shared.queue().running.insert(id, outcome);
    // Whoever gave up on the event before it was taken does not hear of it.
    let _ = taken.send(());
    (headers, event.to_string()).into_response()
}

async fn response(
    State(shared): State<Arc<Shared>>,
    UrlPath(id): UrlPath<String>,
    body: Bytes,
) -> StatusCode {
    let outcome = serde_json::from_slice(&body).map_err(|error| InvocationError::Function {
        error_type: "Runtime.InvalidResponse".to_owned(),
        message: format!("the response is not JSON: {error}"),
    });
    shared.finish(&id, outcome)
}

async fn error(
    State(shared): State<Arc<Shared>>,
    UrlPath(id): UrlPath<String>,
    body: Bytes,
) -> StatusCode {
    let (error_type, message) = diagnostic(&body);
    shared.finish(&id, Err(InvocationError::Function { error_type, message }))
}

async fn init_error(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let (error_type, message) = diagnostic(&body);
    let error = InvocationError::Init { error_type, message };
    let mut queue = shared.queue();
    queue.init_error = Some(error.clone());
    for invocation in queue.waiting.drain(..) {
        // Whoever gave up on the event does not hear of it.
        let _ = invocation.outcome.send(Err(error.clone()));
    }
    StatusCode::ACCEPTED
}

/// The type and the message of Lambda's error document.
fn diagnostic(body: &[u8]) -> (String, String) {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    (field("errorType"), field("errorMessage"))
}

/// What a function is started with.
#[derive(Clone, Debug)]
pub struct FunctionConfig {
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub name: String,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`; nothing enforces it.
    pub memory_mb: u32,
    /// From taking an event to its deadline.
    pub timeout: Duration,
    /// What the template gives the function, and `AWS_ENDPOINT_URL_DYNAMODB` and the like.
    pub env: Vec<(String, String)>,
}

impl FunctionConfig {
    /// 256 MB, 30 seconds and no environment but Lambda's own.
    pub fn new(name: &str) -> FunctionConfig {
        let timeout = Duration::from_secs(30);
        FunctionConfig { name: name.to_owned(), memory_mb: 256, timeout, env: vec![] }
    }

    /// Adds where the tables are.
    pub fn tables(self, names: Tables) -> FunctionConfig {
        self.env("EVENTS_TABLE", names.events)
            .env("CUSTOMERS_TABLE", names.customers)
            .env("JOURNAL_TABLE", names.journal)
            .env("CONTROL_TABLE", names.control)
    }

    /// Adds a variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> FunctionConfig {
        self.env.push((name.to_owned(), value.into()));
        self
    }
}

/// A function's binary, running. Dropping it kills the process.
pub struct Function {
    api: RuntimeApi,
    process: Mutex<Child>,
    output: Arc<Mutex<Vec<String>>>,
}

impl Function {
    /// Starts the binary with Lambda's environment and `config`'s, and nothing of the test's own.
    pub async fn spawn(binary: &Path, config: FunctionConfig) -> std::io::Result<Function> {
        Function::spawn_with(binary, &[], config).await
    }

    /// [`Self::spawn`] with arguments, as an interpreter needs them.
    pub async fn spawn_with(
        binary: &Path,
        arguments: &[&str],
        config: FunctionConfig,
    ) -> std::io::Result<Function> {
        let api = RuntimeApi::start(config.timeout).await?;
        let mut process = Command::new(binary)
            .args(arguments)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", &config.name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", config.memory_mb.to_string())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", config.name))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .envs(config.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = Arc::default();
        collect(process.stdout.take(), &output);
        collect(process.stderr.take(), &output);
        Ok(Function { api, process: Mutex::new(process), output })
    }

    /// Sends an event and waits for the answer, or for the end of the process.
    pub async fn invoke(&self, event: Value) -> Outcome {
        self.invoke_within(self.api.timeout, event).await
    }

    /// [`Self::invoke`] with a deadline of its own.
    pub async fn invoke_within(&self, timeout: Duration, event: Value) -> Outcome {
        tokio::select! {
            biased;
            outcome = self.api.invoke_within(timeout, event) => outcome,
            status = self.exited() => Err(InvocationError::Exited(status)),
        }
    }

    /// The process, as the system numbers it.
    pub fn pid(&self) -> u32 {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// From the start of the process to its first request for an event.
    pub fn init_time(&self) -> Option<Duration> {
        self.api.first_poll()
    }

    /// The error that the process reported instead of asking for an event.
    pub fn init_error(&self) -> Option<InvocationError> {
        self.api.init_error()
    }

    /// The lines that the process has written so far to its standard output and error: its logs
    /// and its metrics.
    pub fn output(&self) -> Vec<String> {
        lines(&self.output).clone()
    }

    /// Waits until the process has ended, and says how.
    async fn exited(&self) -> String {
        loop {
            let status = self.process.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            match status {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => tokio::time::sleep(EXIT_CHECK).await,
                Err(error) => return error.to_string(),
            }
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        // A process that has ended by itself cannot be killed, only waited for.
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Reads lines on a thread of its own until the process closes its end.
fn collect(pipe: Option<impl Read + Send + 'static>, output: &Arc<Mutex<Vec<String>>>) {
    let Some(pipe) = pipe else { return };
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines(&output).push(line);
        }
    });
}

fn lines(output: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}
