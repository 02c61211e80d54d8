//! `kill -9` under load: what was acknowledged is there, and counts once.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use crate::process::{Dev, Http, answer};

const ROUNDS: usize = 12;
const SENDERS: u64 = 4;
const CUSTOMERS: u64 = 5;
const BATCH: u64 = 6;
/// How long a sender waits before it tries the same server again.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// The address of a server that does not come back.
const GONE: &str = "gone";

const SOURCE: &str = "
version: 1
subject: user
metrics:
  ticks: { count: tick }
stages:
  quiet: { enter: { when: metrics.ticks < 50, priority: 10 } }
  busy:  { enter: { when: metrics.ticks >= 50, priority: 20 } }
alerts:
  routes: [ { to: team } ]
  receivers:
    team: { sns: team }
";

/// Where the server is now: another port after each restart.
struct Server {
    url: Mutex<String>,
    moved: Condvar,
}

impl Server {
    fn moves_to(&self, url: &str) {
        url.clone_into(&mut self.url.lock().unwrap());
        self.moved.notify_all();
    }

    /// Its address; none where it never will have one again.
    fn url(&self) -> Option<String> {
        Some(self.url.lock().unwrap().clone()).filter(|url| url != GONE)
    }

    /// Waits until the server is elsewhere than at `url`, or it is time to try again.
    fn wait(&self, url: &str) {
        let now = self.url.lock().unwrap();
        let _ = self.moved.wait_timeout_while(now, RETRY_AFTER, |now| now == url).unwrap();
    }
}

/// Lets the senders end when the test fails while they wait for a server.
struct OnPanic<'a>(&'a Server);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.moves_to(GONE);
        }
    }
}

#[derive(Default)]
struct Sent {
    /// The ids that were acknowledged, and the customer of each.
    acknowledged: Mutex<BTreeMap<String, String>>,
    batches: AtomicU64,
    unanswered: AtomicU64,
    refused: AtomicU64,
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lifecycle.yaml"), SOURCE).unwrap();
    let server = Server { url: Mutex::default(), moved: Condvar::new() };
    let (sent, is_over) = (Sent::default(), AtomicBool::new(false));
    let now = now();
    let dev = std::thread::scope(|scope| {
        let _senders_give_up = OnPanic(&server);
        let (acknowledging, progress) = mpsc::channel();
        for sender in 0..SENDERS {
            let (server, sent, is_over) = (&server, &sent, &is_over);
            let progress = acknowledging.clone();
            scope.spawn(move || send(sender, now, server, sent, is_over, &progress));
        }
        for _ in 0..ROUNDS {
            let dev = Dev::start(folder.path(), &["--data", "data"]);
            server.moves_to(&dev.http.url);
            let moment = random_duration();
            wait_for_load(&progress, moment);
            dev.kill();
        }
        let dev = Dev::start(folder.path(), &["--data", "data"]);
        server.moves_to(&dev.http.url);
        wait_for_load(&progress, Duration::ZERO);
        is_over.store(true, Ordering::Relaxed);
        dev
    });

    let acknowledged = sent.acknowledged.into_inner().unwrap();
    println!(
        "{ROUNDS} kills, {} batches acknowledged, {} unanswered, {} refused, {} events",
        sent.batches.load(Ordering::Relaxed),
        sent.unanswered.load(Ordering::Relaxed),
        sent.refused.load(Ordering::Relaxed),
        acknowledged.len()
    );
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, customer) in &acknowledged {
        expected.entry(customer).or_default().push(id);
    }
    assert_eq!(expected.len() as u64, CUSTOMERS);
    for (customer, ids) in expected {
        let listed = dev.http.list(&format!("/api/customers/{customer}/events"));
        let mut found: Vec<&str> =
            listed.iter().map(|event| event["id"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, ids, "the log of {customer}: each id once");
        let (_, told) = dev.http.get(&format!("/api/customers/{customer}"));
        assert_eq!(told["metrics"]["ticks"], json!(ids.len()), "the count of {customer}");
    }

    // The data is whole for everything else, too.
    for function in ["score", "evaluate", "comply", "notify"] {
        let (status, summary) = dev.http.post(&format!("/dev/run/{function}"), &json!({}));
        assert_eq!(status, 200, "{function}: {summary}");
    }
    for customer in dev.http.list("/api/customers") {
        assert_eq!(customer["stage"], "busy", "{customer}");
    }
    dev.kill();
    // The note of where the killed process served does not mislead.
    let keys = answer(folder.path(), &["keys", "list", "--data", "data", "--json"]);
    assert_eq!(keys["items"].as_array().unwrap().len(), 1);
}

/// Sends batch after batch, each until it is acknowledged, as clients do.
fn send(
    sender: u64,
    now: Timestamp,
    server: &Server,
    sent: &Sent,
    is_over: &AtomicBool,
    progress: &mpsc::Sender<()>,
) {
    let mut http: Option<Http> = None;
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let calls: Vec<Json> = (0..BATCH).map(|place| tick(sender, number, place, now)).collect();
        loop {
            let Some(url) = server.url() else { return };
            if http.as_ref().is_none_or(|http| http.url != url) {
                http = (!url.is_empty()).then(|| Http::new(&url));
            }
            let answer = http.as_ref().and_then(|http| http.send("dev", &calls).ok());
            match answer {
                Some((200, answer)) => {
                    assert_eq!(answer["rejected"], json!([]), "{answer}");
                    break;
                }
                Some((status, answer)) => {
                    assert_eq!(status, 503, "{answer}");
                    sent.refused.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    sent.unanswered.fetch_add(1, Ordering::Relaxed);
                }
            }
            server.wait(&url);
        }
        sent.batches.fetch_add(1, Ordering::Relaxed);
        let text = |call: &Json, member: &str| call[member].as_str().unwrap().to_owned();
        let ids = calls.iter().map(|call| (text(call, "messageId"), text(call, "userId")));
        sent.acknowledged.lock().unwrap().extend(ids);
        // The last round does not listen any more.
        let _ = progress.send(());
    }
}

/// Every batch is of several customers, and every customer is written to by all senders.
fn tick(sender: u64, number: u64, place: u64, now: Timestamp) -> Json {
    let minutes = (number * 7 + place * 31) % (60 * 36);
    let at = now - SignedDuration::from_mins(minutes.cast_signed());
    json!({
        "type": "track",
        "event": "tick",
        "userId": format!("u{}", (number + place) % CUSTOMERS),
        "messageId": format!("{sender}-{number:05}-{place}"),
        "timestamp": at,
    })
}

/// Waits until some batches were acknowledged, and then for a moment more.
fn wait_for_load(progress: &Receiver<()>, moment: Duration) {
    while progress.try_recv().is_ok() {}
    for _ in 0..SENDERS * 2 {
        progress.recv_timeout(Duration::from_secs(60)).expect("the senders get on");
    }
    // Nobody sends to this end: it is a wait for some time, under load.
    let (_never, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(moment);
}

/// Up to 1.2 seconds.
fn random_duration() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(0_u8) % 1200)
}

#[expect(clippy::disallowed_methods, reason = "the server under test follows the system's clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
