//! What a function is started with: its settings, its clients, its store.

use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::meta::region::ProvideRegion as _;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::{SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, Provider, TlsContext};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::clock::Clock;
use crate::handoff::{Handoff, Queues};
use crate::settings::{self, Settings, SettingsError, TrustStore};
use crate::store::Store;
use crate::sweep::TicketQueue;
use crate::telemetry::{Telemetry, init_logs};
use crate::vault::Vault;

/// Everything outside that a function needs, made once per process.
#[derive(Debug)]
pub struct Environment {
    /// Settings from the environment.
    pub settings: Settings,
    /// Region, credentials and endpoints, for further clients.
    pub sdk: SdkConfig,
    /// The tables.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The metric event of each invocation.
    pub telemetry: Telemetry,
}

impl Environment {
    /// Reads the environment, starts the logs and connects.
    ///
    /// # Errors
    /// When a setting is missing or cannot be read.
    pub async fn from_env(
        function: &'static str,
        clock: Clock,
    ) -> Result<Environment, SettingsError> {
        let settings = Settings::from_env()?;
        init_logs(&settings.log_level);
        let sdk = sdk_config(settings.trust_store).await;
        let client = aws_sdk_dynamodb::Client::new(&sdk);
        let store = Store::new(client, settings.tables.clone(), settings.event_retention_days);
        let telemetry = Telemetry::new(function, clock.clone());
        Ok(Environment { settings, sdk, store, clock, telemetry })
    }

    /// The queues that work for other functions goes into.
    ///
    /// # Errors
    /// When one of them is not set.
    pub fn handoff(&self) -> Result<Handoff, SettingsError> {
        let url = |url: &Option<String>, name| url.clone().ok_or(SettingsError::Missing(name));
        let privacy = url(&self.settings.privacy_queue_url, "PRIVACY_QUEUE_URL")?;
        let replay = url(&self.settings.replay_queue_url, "REPLAY_QUEUE_URL")?;
        let queues = Queues { privacy, replay };
        Ok(Handoff::to_queues(aws_sdk_sqs::Client::new(&self.sdk), queues))
    }

    /// The bucket that daily roots are kept in, where the stack has one.
    #[must_use]
    pub fn vault(&self) -> Option<Vault> {
        let bucket = self.settings.roots_bucket.as_deref()?;
        let (region, credentials) = (self.sdk.region()?, self.sdk.credentials_provider()?);
        let endpoint = settings::variable("AWS_ENDPOINT_URL_S3");
        Some(Vault::new(bucket, region.as_ref(), credentials, endpoint.as_deref()))
    }

    /// The queue of this function's own sweep tickets, where the stack has one.
    #[must_use]
    pub fn ticket_queue(&self) -> Option<TicketQueue> {
        let url = self.settings.sweep_queue_url.clone()?;
        Some(TicketQueue { client: aws_sdk_sqs::Client::new(&self.sdk), url })
    }
}

/// The roots that certificates of AWS endpoints chain to.
const AMAZON_TRUST: &[u8] = include_bytes!("amazon-trust.pem");

/// The one HTTP stack that the pack compiles, for AWS endpoints. To read all of a system's roots is most of
/// what a function does to start.
///
/// # Panics
/// Never: five certificates that can be read are given, or the system's.
#[must_use]
pub fn https(trusted: TrustStore) -> SharedHttpClient {
    let store = match trusted {
        TrustStore::Amazon => tls::TrustStore::empty().with_pem_certificate(AMAZON_TRUST),
        TrustStore::System => tls::TrustStore::default(),
    };
    let context = TlsContext::builder().with_trust_store(store).build();
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.expect("roots are given, and nothing else"))
        .build_https()
}

/// What Lambda tells a function in its environment: region, credentials, endpoints. The SDK's own
/// defaults would also look through profiles, role sessions and instance metadata, which no function
/// has; without them a binary is a megabyte smaller.
async fn sdk_config(trusted: TrustStore) -> SdkConfig {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(EndpointVariables)
        .http_client(https(trusted))
        .build()
}

/// `AWS_ENDPOINT_URL_DYNAMODB` and its like.
#[derive(Debug)]
struct EndpointVariables;

impl LoadServiceConfig for EndpointVariables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        settings::variable(&format!("{}_{service}", key.env()))
    }
}
