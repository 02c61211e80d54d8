//! Requests to addresses that people set: to the receivers of alerts.
//!
//! Whoever may set an address must not reach with it what only this process can reach. Invariants:
//! - `https` only, with the system's certificates.
//! - A name is resolved once for a connection, every address it has must be a public one, and the
//!   connection goes to one of the addresses that were checked: a name cannot mean another one a moment
//!   later. An address that is written as numbers is checked as well.
//! - No redirect is followed, no proxy is used, and no more than [`MAX_ANSWER_BYTES`] of an answer are read.
//! - An address is never logged and in no error: it is a secret.
//!
//! `lifecycle dev` and tests reach this machine too, over `http`: only whoever makes the [`Egress`] can
//! allow it, and no setting does.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use domain::post::Request;
use http::Uri;
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};

/// How much of an answer is read.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024;
/// How long a request may take, with its connection and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Slack shows an error where a click is not answered in 3 seconds.
const QUICK_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The longest that a receiver's wish to be left alone is respected.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// What may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Public addresses, over `https`.
    Public,
    /// This machine as well, over `http` too.
    ThisMachineToo,
}

/// The way out.
pub struct Egress {
    reach: Reach,
    timeout: Duration,
    /// Made at the first request: to read the system's certificates takes most of a process's start.
    connector: OnceLock<Connector>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long it wants to be left alone.
    pub retry_after: Option<SignedDuration>,
    /// The beginning of the body.
    pub body: String,
}

/// Why nothing was answered. It does not say where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The address is none.
    #[error("its address cannot be read")]
    Address,
    /// The address is not `https`.
    #[error("its address is not https")]
    NotHttps,
    /// The name means an address that is not public.
    #[error("its address is not a public one")]
    NotPublic,
    /// It took too long.
    #[error("it did not answer in time")]
    Timeout,
    /// There is no connection, or it broke.
    #[error("it cannot be reached")]
    Unreachable,
}

impl EgressError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retryable(self) -> bool {
        match self {
            EgressError::Address | EgressError::NotHttps | EgressError::NotPublic => false,
            EgressError::Timeout | EgressError::Unreachable => true,
        }
    }
}

impl Egress {
    /// The way out of the pack: to public addresses, over `https`.
    #[must_use]
    pub fn public() -> Egress {
        Egress { reach: Reach::Public, timeout: TIMEOUT, connector: OnceLock::new() }
    }

    /// The same for what somebody waits for: with a shorter time-out.
    #[must_use]
    pub fn quick() -> Egress {
        Egress { timeout: QUICK_TIMEOUT, ..Egress::public() }
    }

    /// A way that leads to this machine too, over `http` as well: for development and tests.
    #[must_use]
    pub fn with_this_machine(timeout: Duration) -> Egress {
        Egress { reach: Reach::ThisMachineToo, timeout, connector: OnceLock::new() }
    }

    /// Whether it leads to this machine too.
    #[must_use]
    pub fn leads_to_this_machine(&self) -> bool {
        self.reach == Reach::ThisMachineToo
    }

    /// Sends a request and reads the beginning of its answer.
    ///
    /// # Errors
    /// When it may not be sent, or nothing was answered.
    pub async fn send(&self, request: &Request, now: Timestamp) -> Result<Answer, EgressError> {
        self.check(&request.url)?;
        let request = request_of(request)?;
        let work = async {
            let connector = self.connector.get_or_init(|| connector(self.reach));
            let response = connector.call(request).await.map_err(|error| failure(&error))?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get("retry-after");
            let retry_after = retry_after.and_then(|text| wait(text, now));
            let body = beginning(response.into_body()).await;
            Ok(Answer { status, retry_after, body })
        };
        tokio::time::timeout(self.timeout, work).await.map_err(|_| EgressError::Timeout)?
    }

    /// Whether an address may be asked at all, as far as it says itself.
    fn check(&self, url: &str) -> Result<(), EgressError> {
        let uri: Uri = url.parse().map_err(|_| EgressError::Address)?;
        let authority = uri.authority().ok_or(EgressError::Address)?;
        if authority.as_str().contains('@') {
            return Err(EgressError::Address);
        }
        match (uri.scheme_str(), self.reach) {
            (Some("https"), _) | (Some("http"), Reach::ThisMachineToo) => {}
            _ => return Err(EgressError::NotHttps),
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(ip) if !self.reach.takes(ip) => Err(EgressError::NotPublic),
            _ => Ok(()),
        }
    }
}

impl Reach {
    fn takes(self, ip: IpAddr) -> bool {
        is_public(ip) || (self == Reach::ThisMachineToo && ip.is_loopback())
    }
}

fn connector(reach: Reach) -> Connector {
    Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_with_resolver(Resolver(reach))
}

fn request_of(request: &Request) -> Result<HttpRequest, EgressError> {
    let mut built = HttpRequest::new(SdkBody::from(request.body.as_str()));
    built.set_method("POST").map_err(|_| EgressError::Address)?;
    built.set_uri(request.url.as_str()).map_err(|_| EgressError::Address)?;
    for (name, value) in &request.headers {
        built.headers_mut().try_insert(*name, value.clone()).map_err(|_| EgressError::Address)?;
    }
    let length = request.body.len().to_string();
    built.headers_mut().insert("content-length", length);
    Ok(built)
}

async fn beginning(mut body: SdkBody) -> String {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            let room = MAX_ANSWER_BYTES - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
        if bytes.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How long `Retry-After` asks to wait: seconds, or a date.
fn wait(text: &str, now: Timestamp) -> Option<SignedDuration> {
    let wait = match text.trim().parse::<i64>() {
        Ok(seconds) => SignedDuration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
            date.timestamp().duration_since(now)
        }
    };
    Some(wait.clamp(SignedDuration::ZERO, LONGEST_WAIT))
}

/// The kind of a failure; its text may have the name of the host in it and is left behind.
fn failure(error: &(dyn std::error::Error + 'static)) -> EgressError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return EgressError::NotPublic;
        }
        cause = error.source();
    }
    EgressError::Unreachable
}

/// A name means an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("the name means an address that is not public")]
struct NotPublic;

/// Resolves names, and gives none of which an address may not be reached.
#[derive(Debug, Clone, Copy)]
struct Resolver(Reach);

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let reach = self.0;
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            match found.iter().all(|ip| reach.takes(*ip)) {
                true => Ok(found),
                false => Err(ResolveDnsError::new(NotPublic)),
            }
        })
    }
}

/// Whether an address is one of the public internet: none of IANA's special-purpose registries (RFC 6890
/// and its updates), no multicast, and none that has another address in it.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        // "This network", private, shared (carriers' NAT), loopback, link-local with the metadata of clouds.
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Protocol assignments, documentation, 6to4 relays, benchmarks.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            // Multicast, reserved, broadcast.
            | (224..=255, ..)
    )
}

/// Global unicast is `2000::/3`. Outside of it are loopback, mapped and translated addresses of version 4,
/// unique local, link-local and multicast ones.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let is_global = (0x2000..=0x3fff).contains(&a);
    // Protocol assignments with Teredo, documentation, 6to4, documentation again.
    let is_special =
        matches!((a, b), (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff));
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_of_a_private_network_is_public() {
        let not_public = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for ip in not_public {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
        ];
        for ip in public {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    fn asked(url: &str) -> Request {
        Request { url: url.to_owned(), headers: Vec::new(), body: "{}".to_owned() }
    }

    #[tokio::test]
    async fn nothing_is_sent_to_what_is_not_public() {
        let egress = Egress::public();
        let cases = [
            ("http://hooks.slack.com/services/x", EgressError::NotHttps),
            ("ftp://hooks.slack.com/", EgressError::NotHttps),
            ("https://user@hooks.slack.com/", EgressError::Address),
            ("https:///x", EgressError::Address),
            ("https://", EgressError::Address),
            ("/services/x", EgressError::Address),
            ("https://127.0.0.1/x", EgressError::NotPublic),
            ("https://127.0.0.1:8443/x", EgressError::NotPublic),
            ("https://169.254.169.254/latest/meta-data/", EgressError::NotPublic),
            ("https://[::1]/x", EgressError::NotPublic),
            ("https://[::ffff:10.0.0.1]:443/x", EgressError::NotPublic),
            ("https://[fd00:ec2::254]/x", EgressError::NotPublic),
        ];
        for (url, want) in cases {
            let found = egress.send(&asked(url), Timestamp::UNIX_EPOCH).await;
            assert_eq!(found, Err(want), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_means_this_machine_is_refused_when_it_is_resolved() {
        let found = Resolver(Reach::Public).resolve_dns("localhost").await;
        assert!(failure(&found.unwrap_err()) == EgressError::NotPublic);
        let found = Resolver(Reach::ThisMachineToo).resolve_dns("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
        // And by the connector, which resolves with it.
        let (egress, request) = (Egress::public(), asked("https://localhost:1/x"));
        let found = egress.send(&request, Timestamp::UNIX_EPOCH).await;
        assert_eq!(found, Err(EgressError::NotPublic));
        // The system reads numbers in many ways; what they mean is what counts.
        for name in ["2130706433", "0x7f.1", "127.1"] {
            let url = format!("https://{name}:1/x");
            let found = Egress::public().send(&asked(&url), Timestamp::UNIX_EPOCH).await;
            assert!(found.is_err(), "{name}");
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_at_most_an_hour() {
        let now: Timestamp = "2026-01-15T10:30:00Z".parse().unwrap();
        for (text, want) in [
            ("2", Some(2)),
            (" 120 ", Some(120)),
            ("-1", Some(0)),
            ("86400", Some(3_600)),
            ("Thu, 15 Jan 2026 10:31:00 GMT", Some(60)),
            ("Thu, 15 Jan 2026 10:29:00 GMT", Some(0)),
            ("soon", None),
        ] {
            assert_eq!(wait(text, now), want.map(SignedDuration::from_secs), "{text}");
        }
    }
}
