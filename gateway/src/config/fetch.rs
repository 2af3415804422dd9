//! `[issuers.fetch]`: how an issuer's keys are fetched.

use std::path::PathBuf;
use std::sync::Arc;

use daemon::config::{KeyPath, Period, Problems, Size};
use identity::tls::{CertifiedFile, ClientTls, TlsError};
use identity::token::RefreshLimits;
use node::tls::Reloads;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_rustls::rustls::ClientConfig;

use crate::http::HttpLimits;

/// Largest JWK set there may be, whatever is configured, in bytes.
const MAX_JWKS: usize = 1 << 20;

/// How keys are fetched, and how long they are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fetch {
    /// CAs the server's certificate may come from, PEM; the operating system's unless given.
    pub ca_path: Option<PathBuf>,
    /// A certificate to show to the server.
    pub cert_path: Option<PathBuf>,
    /// Its key.
    pub key_path: Option<PathBuf>,
    /// A file with a bearer token to show to the server.
    pub token_file: Option<PathBuf>,
    /// Time for one fetch, each of discovery and keys.
    pub timeout: Period,
    /// Largest answer taken.
    pub max_bytes: Size,
    /// How long fetched keys are good; an answer's `max-age` may shorten it.
    pub lifetime: Period,
    /// How long they are used beyond that while the issuer can't be reached.
    pub max_stale: Period,
    /// How long a session whose token ends while the issuer can't be reached goes on.
    pub outage_grace: Period,
    /// Shortest time between two fetches.
    pub min_interval: Period,
    /// First and longest pause after a failed fetch.
    pub backoff_min: Period,
    /// The longest one.
    pub backoff_max: Period,
    /// Follow redirects to the same scheme, host and port.
    pub follow_redirects: bool,
    /// Call `http://` on this machine, for development.
    pub allow_http_on_loopback: bool,
}

impl Default for Fetch {
    fn default() -> Self {
        let limits = RefreshLimits::default();
        Self {
            ca_path: None,
            cert_path: None,
            key_path: None,
            token_file: None,
            timeout: Period::secs(5),
            max_bytes: Size::bytes(512 << 10),
            lifetime: limits.lifetime.into(),
            max_stale: limits.max_stale.into(),
            outage_grace: Period::secs(0),
            min_interval: limits.min_interval.into(),
            backoff_min: limits.backoff.0.into(),
            backoff_max: limits.backoff.1.into(),
            follow_redirects: false,
            allow_http_on_loopback: false,
        }
    }
}

impl Fetch {
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems<'_>) {
        let key = |name: &str| at.clone().key(name);
        for (name, period) in
            [("timeout", self.timeout), ("lifetime", self.lifetime), ("backoff_min", self.backoff_min)]
        {
            if period.is_zero() {
                problems.at(key(name), "expected more than no time");
            }
        }
        if self.backoff_max < self.backoff_min {
            problems.at(key("backoff_max"), "expected at least `backoff_min`");
        }
        if self.max_bytes.as_usize() == 0 || self.max_bytes.as_usize() > MAX_JWKS {
            problems.at(key("max_bytes"), "expected more than nothing and at most 1 MiB");
        }
        check_pair(self.cert_path.is_some(), self.key_path.is_some(), at, problems);
    }

    /// Bounds of one call.
    #[must_use]
    pub fn http(&self) -> HttpLimits {
        HttpLimits {
            timeout: self.timeout.into(),
            max_body: self.max_bytes.as_usize(),
            follow_redirects: self.follow_redirects,
            loopback: self.allow_http_on_loopback,
        }
    }

    /// When keys are fetched.
    #[must_use]
    pub fn refresh(&self) -> RefreshLimits {
        RefreshLimits {
            lifetime: self.lifetime.into(),
            min_interval: self.min_interval.into(),
            max_stale: self.max_stale.into(),
            backoff: (self.backoff_min.into(), self.backoff_max.into()),
            ..RefreshLimits::default()
        }
    }

    /// TLS of the calls.
    #[must_use]
    pub fn tls(&self) -> ClientTls {
        client_tls(self.ca_path.as_ref(), self.cert_path.as_ref(), self.key_path.as_ref())
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.ca_path, &mut self.cert_path, &mut self.key_path, &mut self.token_file]
            .into_iter()
            .flatten()
    }
}

/// TLS for calling a service: CAs of a file or of the system, and a certificate to show where there is one.
pub(super) fn client_tls(ca: Option<&PathBuf>, cert: Option<&PathBuf>, key: Option<&PathBuf>) -> ClientTls {
    ClientTls {
        root_ca_path: ca.cloned().unwrap_or_default(),
        system_roots: ca.is_none(),
        certificate: cert.zip(key).map(|(cert, key)| CertifiedFile::new(cert.clone(), key.clone())),
        ..ClientTls::default()
    }
}

/// A certificate and its key go together.
pub(super) fn check_pair(cert: bool, key: bool, at: &KeyPath, problems: &mut Problems<'_>) {
    if cert != key {
        let given = if cert { "cert_path" } else { "key_path" };
        problems.at(at.clone().key(given), "`cert_path` and `key_path` go together");
    }
}

/// TLS that follows its files, for a client called `name` in logs and metrics; `None` where it calls plain `http`.
///
/// # Errors
/// The files can't be used.
pub(crate) fn followed(
    reloads: &Reloads,
    name: &str,
    tls: ClientTls,
    plain: bool,
) -> Result<Option<watch::Receiver<Arc<ClientConfig>>>, TlsError> {
    if plain { Ok(None) } else { reloads.client(name, tls).map(Some) }
}
