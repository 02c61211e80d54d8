//! Where daily roots are kept besides the journal: a bucket of S3 that lets nobody change or delete what was
//! put into it (Object Lock).
//!
//! One request, signed with the SDK's own pieces: the SDK's client of S3 would be larger than a function.
//! Invariants: what is there is never put again (`If-None-Match`), and the role may do nothing but put, so
//! that even this code cannot replace a root. How long an object is locked is the bucket's own setting.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    self, PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::audit::days_of;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::store::{Store, StoreError};

/// How long a request may take, with its connection and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal is read.
const MAX_ANSWER_BYTES: usize = 4 * 1024;

/// A bucket, and the way there.
pub struct Vault {
    /// What stands before an object's name.
    address: String,
    region: String,
    credentials: SharedCredentialsProvider,
    /// Made at the first request: to read the system's certificates takes most of a process's start.
    connector: OnceLock<Connector>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepOutcome {
    /// It is there now.
    Kept,
    /// One of this name was there, and stays as it was.
    WasThere,
}

/// Why an object could not be put.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The tables do not say which roots there are.
    #[error("the roots to keep cannot be read")]
    Store(#[from] StoreError),
    /// A root cannot be written as JSON.
    #[error("a root cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The process has no credentials.
    #[error("there are no credentials for the bucket")]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request cannot be signed.
    #[error("the request to the bucket cannot be signed")]
    Signature(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing was answered.
    #[error("the bucket cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("the bucket did not answer in time")]
    Timeout,
    /// S3 refused: its status and its word for why.
    #[error("the bucket answered {status} ({code})")]
    Refused {
        /// The status.
        status: u16,
        /// S3's code, as `AccessDenied`.
        code: String,
    },
}

impl Vault {
    /// The bucket of this name in a region. An `endpoint` is where S3 is instead of AWS.
    #[must_use]
    pub fn new(
        bucket: &str,
        region: &str,
        credentials: SharedCredentialsProvider,
        endpoint: Option<&str>,
    ) -> Vault {
        let address = match endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None => {
                let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
                format!("https://{bucket}.s3.{region}.amazonaws.com{suffix}")
            }
        };
        Vault { address, region: region.to_owned(), credentials, connector: OnceLock::new() }
    }

    /// Puts every daily root that is not there yet, the oldest first: one a day, and those that could not
    /// be put before. An object is named by the last day of its root, and holds the journal's entry.
    ///
    /// # Errors
    /// When one cannot be put; those before it are. Doing it again goes on.
    pub async fn keep_roots(&self, store: &Store, now: Timestamp) -> Result<(), VaultError> {
        for root in store.roots_to_keep().await? {
            let day = days_of(&root).into_keys().next_back().unwrap_or_default();
            let body = serde_json::to_string(&root)?;
            let name = format!("roots/{day}.json");
            if self.keep(&name, &body, now).await? == KeepOutcome::WasThere {
                tracing::warn!(day, "there is a kept root of this day already: it stays as it is");
            }
            store.note_root_kept(root.seq).await?;
        }
        Ok(())
    }

    /// Puts an object of JSON, unless one of its name is there.
    ///
    /// # Errors
    /// When it cannot be put. Trying again is safe.
    pub async fn keep(
        &self,
        name: &str,
        body: &str,
        now: Timestamp,
    ) -> Result<KeepOutcome, VaultError> {
        let request = self.request(name, body, now.into()).await?;
        let work = async {
            let connector = self.connector.get_or_init(|| {
                Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
            });
            let response = connector.call(request).await;
            outcome(response.map_err(|error| VaultError::Unreachable(error.into()))?).await
        };
        tokio::time::timeout(TIMEOUT, work).await.map_err(|_| VaultError::Timeout)?
    }

    async fn request(
        &self,
        name: &str,
        body: &str,
        at: SystemTime,
    ) -> Result<HttpRequest, VaultError> {
        let credentials = self.credentials.provide_credentials().await;
        let identity: Identity =
            credentials.map_err(|error| VaultError::Credentials(error.into()))?.into();
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| VaultError::Signature(error);
        let url = format!("{}/{name}", self.address);
        // A lock asks for a checksum of what is put.
        let checksum = STANDARD.encode(Sha256::digest(body.as_bytes()));
        let headers = [
            ("content-type", "application/json"),
            ("if-none-match", "*"),
            ("x-amz-checksum-sha256", checksum.as_str()),
        ];
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params: http_request::SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(at)
            .settings(settings)
            .build()
            .map_err(|error| wrong(error.into()))?
            .into();
        let payload = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("PUT", url.as_str(), headers.into_iter(), payload);
        let signed = signable.and_then(|signable| sign(signable, &params));
        let (instructions, _) = signed.map_err(|error| wrong(error.into()))?.into_parts();

        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("PUT").map_err(|error| wrong(error.into()))?;
        request.set_uri(url).map_err(|error| wrong(error.into()))?;
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            let inserted = request.headers_mut().try_insert(name.to_owned(), value.to_owned());
            inserted.map_err(|error| wrong(error.into()))?;
        }
        request.headers_mut().insert("content-length", body.len().to_string());
        Ok(request)
    }
}

async fn outcome(response: HttpResponse) -> Result<KeepOutcome, VaultError> {
    match response.status().as_u16() {
        200..300 => Ok(KeepOutcome::Kept),
        412 => Ok(KeepOutcome::WasThere),
        status => {
            let text = beginning(response.into_body()).await;
            let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
            let code = code.map_or("unknown", |(code, _)| code).to_owned();
            Err(VaultError::Refused { status, code })
        }
    }
}

async fn beginning(mut body: SdkBody) -> String {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if bytes.len() >= MAX_ANSWER_BYTES {
            break;
        }
    }
    bytes.truncate(MAX_ANSWER_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}
