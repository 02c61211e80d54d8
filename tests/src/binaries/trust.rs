//! Whose certificates a function believes.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::run;
use crate::runtime_api::{Function, FunctionConfig};

/// Runs the binary of `notify` against an endpoint whose certificate only the system knows.
pub fn trust(binary: &str) {
    run(believes_the_roots_it_is_told(binary));
}

async fn believes_the_roots_it_is_told(binary: &str) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut roots = tempfile::NamedTempFile::new()?;
    roots.write_all(made.cert.pem().as_bytes())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let key = key.ok().context("a key was made")?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for (trusted, is_believed) in [(None, false), (Some("amazon"), false), (Some("system"), true)] {
        // Of its own: what a process before this one began may end late.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("https://localhost:{}", listener.local_addr()?.port());
        let mut handshakes = answer_handshakes(listener, acceptor.clone());
        let function = spawn(binary, &endpoint, trusted, roots.path()).await?;
        let at = "2026-01-15T10:30:00Z";
        let tick = json!({ "schedule": "notify-tick", "scheduled_time": at, "sweep": "due" });
        ensure!(function.invoke(tick).await.is_err(), "nobody answers behind the handshake");
        let mut seen = Vec::new();
        while let Ok(handshake) = handshakes.try_recv() {
            seen.push(handshake);
        }
        ensure!(!seen.is_empty(), "{trusted:?}: it was not asked");
        ensure!(seen.iter().all(|is_done| *is_done == is_believed), "{trusted:?}: {seen:?}");
    }
    Ok(())
}

/// Whether each connection's handshake was completed; then it is closed.
fn answer_handshakes(listener: TcpListener, acceptor: TlsAcceptor) -> UnboundedReceiver<bool> {
    let (told, handshakes) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that refuses the certificate says so after the server's last message.
            let is_done = match acceptor.accept(stream).await {
                Ok(mut stream) => matches!(stream.read(&mut [0; 16]).await, Ok(1..)),
                Err(_) => false,
            };
            if told.send(is_done).is_err() {
                break;
            }
        }
    });
    handshakes
}

async fn spawn(
    binary: &str,
    endpoint: &str,
    trusted: Option<&str>,
    roots: &Path,
) -> Result<Function> {
    let config = FunctionConfig::new("notify")
        .tables(lifecycle::embedded::table_names(super::TABLE_PREFIX))
        .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
        .env("SSL_CERT_FILE", roots.to_str().context("a path of this test")?);
    let config = match trusted {
        Some(trusted) => config.env("TRUST_STORE", trusted),
        None => config,
    };
    Ok(Function::spawn(Path::new(binary), config).await?)
}
