//! `event-gateway health-check`: proves, as a client, that a message gets through.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectOptions};
use clap::Args;
use daemon::config::Period;
use tokio::time::{sleep, timeout};

use super::credential::{CredentialError, CredentialFile};
use super::pinned;
use super::responder::LinkReport;
use crate::config::{Depth, PROBE_SUBJECT, SELF_SUBJECT, Service, load};

/// Time between two attempts to connect: certificates may be in the middle of being replaced.
const RETRY: Duration = Duration::from_millis(250);

/// Arguments of `health-check`.
#[derive(Debug, Clone, Args)]
pub struct HealthCheck {
    /// The gateway's configuration; says where its credentials file is.
    #[arg(long, value_name = "FILE", default_value = "config/gateway.toml")]
    pub config: PathBuf,
    /// The credentials file itself, instead of a configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub credentials: Option<PathBuf>,
    /// How long the whole check may take.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: Period,
}

/// Why the gateway is not well. `Display` is one line without the credential.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The credentials can't be used; most likely the gateway was never started.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// A certificate can't be read.
    #[error(transparent)]
    Pem(#[from] identity::pem::PemError),
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// No connection.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// The gateway's address.
        url: String,
        /// What the client library said.
        reason: String,
    },
    /// The gateway lets nothing through.
    #[error("{url}: {reason}")]
    Through {
        /// The gateway's address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Not done in time.
    #[error("{url}: not done within {limit}")]
    Late {
        /// The gateway's address.
        url: String,
        /// The time given.
        limit: Period,
    },
}

/// Does the check; the answer is a line that says what was proved.
///
/// # Errors
/// The gateway is not well, or the check could not be made.
pub async fn run(check: &HealthCheck) -> Result<String, HealthError> {
    identity::tls::install_default_provider();
    let path = check.credentials.clone().unwrap_or_else(|| credentials_of(&check.config));
    let file = CredentialFile::read(&path)?;
    match timeout(check.timeout.into(), attempt(&file)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(HealthError::Late { url: file.url, limit: check.timeout }),
    }
}

/// Where the configuration says that the credentials are. One that can't be read is no reason to fail here: the
/// gateway may run under another one, and the usual place is tried.
fn credentials_of(config: &Path) -> PathBuf {
    match load(config, Depth::Text) {
        Ok(loaded) => loaded.config.service.health_check_credentials_file,
        Err(_) => config.with_file_name("").join(Service::default().health_check_credentials_file),
    }
}

async fn attempt(file: &CredentialFile) -> Result<String, HealthError> {
    let client = connect(file).await?;
    let through = |reason: String| HealthError::Through { url: file.url.clone(), reason };
    // The gateway first: it knows at once that its link is down, where a request to the bus would be held.
    let report = own_report(&client).await.map_err(through)?;
    if report.links == 0 {
        return Err(through("no link to the bus is up".into()));
    }
    let began = Instant::now();
    match client.request(PROBE_SUBJECT, "".into()).await {
        Ok(_) => Ok(format!(
            "ok: an event went through {} to the bus and back in {:.1?}",
            file.url,
            began.elapsed()
        )),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(format!(
            "ok: {} works and its link is up; nothing on the other side answers {PROBE_SUBJECT}",
            file.url
        )),
        Err(error) => Err(through(error.to_string())),
    }
}

/// What the gateway says of itself: an event went to it and back.
async fn own_report(client: &Client) -> Result<LinkReport, String> {
    let answer = client.request(SELF_SUBJECT, "".into()).await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&answer.payload).map_err(|_| "its answer can't be read".to_owned())
}

async fn connect(file: &CredentialFile) -> Result<Client, HealthError> {
    loop {
        let mut options = ConnectOptions::with_token(file.token.clone()).name("event-gateway health-check");
        if !file.certificates.is_empty() {
            // Read anew each time: they may be in the middle of being replaced.
            let config = pinned::client_config(&file.certificates, file.client_certificate.as_ref())?;
            options = options.require_tls(true).tls_client_config(config);
        }
        if file.handshake_first {
            options = options.tls_first();
        }
        match options.max_reconnects(1).connect(&file.url).await {
            Ok(client) => return Ok(client),
            // The credential is from another start of the gateway, or from another gateway.
            Err(error) if error.kind() == async_nats::ConnectErrorKind::AuthorizationViolation => {
                return Err(HealthError::Connect { url: file.url.clone(), reason: error.to_string() });
            }
            Err(error) if error.kind() == async_nats::ConnectErrorKind::Tls => {
                tracing::debug!(%error, "not connected yet");
                sleep(RETRY).await;
            }
            Err(error) => {
                return Err(HealthError::Connect { url: file.url.clone(), reason: error.to_string() });
            }
        }
    }
}
