//! The binary as a process, and HTTP to it.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

/// How long a process may take to start, and a request to be answered, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command in a folder, with nothing of the test's own environment that it might go by.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifecycle"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub fn output(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// Runs the command, which is to succeed: the one JSON object that it prints.
pub fn answer(folder: &Path, arguments: &[&str]) -> Json {
    let output = output(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a finished command complained about.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `lifecycle dev`, running. Dropping it kills the process.
pub struct Dev {
    process: Child,
    lines: Receiver<String>,
    complaints: Arc<Mutex<String>>,
    /// The first line of its standard output.
    pub first_line: String,
    /// Where it listens.
    pub http: Http,
}

impl Dev {
    /// Starts it on a free port, and waits until it listens.
    pub fn start(folder: &Path, arguments: &[&str]) -> Dev {
        let mut command = command(folder, &["dev", "--port", "0", "--json"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (line, lines) = mpsc::channel();
        let stdout = process.stdout.take().unwrap();
        std::thread::spawn(move || {
            for read in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens once the test is over.
                let _ = line.send(read);
            }
        });
        let complaints = Arc::default();
        collect(process.stderr.take().unwrap(), &complaints);
        let first_line = lines.recv_timeout(PATIENCE);
        let first_line = first_line.unwrap_or_else(|_| {
            let _ = process.kill();
            panic!("`dev` does not listen: {}", complaints.lock().unwrap())
        });
        let greeting: Json = serde_json::from_str(&first_line).unwrap();
        let http = Http::new(greeting["listening"].as_str().unwrap());
        Dev { process, lines, complaints, first_line, http }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote to its standard error so far.
    pub fn complaints(&self) -> String {
        self.complaints.lock().unwrap().clone()
    }

    /// Sends it a signal, as `TERM`, and waits for its end: how it ended, and how long that took.
    pub fn stop(mut self, signal: &str) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(sent.success());
        // The end of its standard output is the end of the process.
        let ended = loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        assert_eq!(ended, RecvTimeoutError::Disconnected, "SIG{signal} did not end the process");
        (self.process.wait().unwrap(), began.elapsed())
    }

    /// Ends it without giving it a chance to do anything more.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed, only waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn collect(mut pipe: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
}

/// A client of one server.
#[derive(Clone)]
pub struct Http {
    agent: ureq::Agent,
    /// The server, as `http://127.0.0.1:9000`.
    pub url: String,
}

impl Http {
    /// A client for this server.
    pub fn new(url: &str) -> Http {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Http { agent: config.into(), url: url.to_owned() }
    }

    /// `GET`: the status and the JSON of the body.
    pub fn get(&self, path: &str) -> (u16, Json) {
        read(self.agent.get(format!("{}{path}", self.url)).call().unwrap())
    }

    /// `POST` with a JSON body.
    pub fn post(&self, path: &str, body: &Json) -> (u16, Json) {
        let request = self.agent.post(format!("{}{path}", self.url));
        read(request.send(body.to_string()).unwrap())
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> u16 {
        let answer = self.agent.delete(format!("{}{path}", self.url)).call();
        answer.unwrap().status().as_u16()
    }

    /// Sends calls with a write key. No answer is an error here, for a sender has to live with it.
    pub fn send(&self, key: &str, calls: &[Json]) -> Result<(u16, Json), ureq::Error> {
        let request = self.agent.post(format!("{}/v1/batch", self.url)).header("x-write-key", key);
        let mut answer = request.send(json!({ "batch": calls }).to_string())?;
        let body = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&body).unwrap_or_default()))
    }

    /// All items of a list of the read API.
    pub fn list(&self, path: &str) -> Vec<Json> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let (status, part) = self.get(&format!("{path}?limit=100{cursor}"));
            assert_eq!(status, 200, "{path}: {part}");
            items.extend(part["items"].as_array().unwrap().iter().cloned());
            match part["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> (u16, Json) {
    let body = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&body).unwrap_or(Json::String(body)))
}
