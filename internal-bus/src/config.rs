//! `internal-bus.toml`. Every key is described in `config/internal-bus.toml`.

use std::net::IpAddr;
use std::path::PathBuf;

use daemon::telemetry::LogConfig;
use identity::peer::IdentitySource;
use identity::policy::{BindingConfig, RoleConfig};
use node::sections::{Admin, Leafnodes, Limits};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `[service]`
    pub service: Service,
    /// `[tls]`
    pub tls: Option<Tls>,
    /// `[leafnodes]`
    pub leafnodes: Option<Leafnodes>,
    /// `[admin]`
    pub admin: Admin,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: LogConfig,
    /// `[[roles]]`
    pub roles: Vec<RoleConfig>,
    /// `[[bindings]]`
    pub bindings: Vec<BindingConfig>,
}

/// `[service]`: the port for internal services.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// The server's name, shown to clients and in monitoring.
    pub name: String,
    /// Messages queued and not yet written, server-wide.
    pub event_limit: usize,
    /// Client connections at once.
    pub listener_limit: usize,
    /// No TLS. Loopback only, unless `allow_remote_plaintext`.
    pub plaintext: bool,
    /// Lets other machines connect without TLS.
    pub allow_remote_plaintext: bool,
    /// File to write the ports to.
    pub ports_file: Option<PathBuf>,
    /// File to write the process id to.
    pub pid_file: Option<PathBuf>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            port: 10132,
            name: "internal-bus".into(),
            event_limit: 100_000,
            listener_limit: 10_000,
            plaintext: false,
            allow_remote_plaintext: false,
            ports_file: None,
            pid_file: None,
        }
    }
}

/// `[tls]`: mutual TLS of the client port, and of links unless they have their own.
#[derive(Debug, Clone, Deserialize)]
pub struct Tls {
    /// Our certificate chain, PEM.
    pub cert_path: PathBuf,
    /// Its key, PEM.
    pub key_path: PathBuf,
    /// Who may have signed the services' certificates, PEM.
    pub root_ca_path: PathBuf,
    /// Certificate revocation lists: files or folders.
    #[serde(default)]
    pub crl_paths: Vec<PathBuf>,
    /// TLS begins before INFO.
    #[serde(default)]
    pub handshake_first: bool,
    /// Which name of a certificate is its identity, the first that is there.
    #[serde(default = "default_order")]
    pub identity: Vec<IdentitySource>,
}

fn default_order() -> Vec<IdentitySource> {
    IdentitySource::DEFAULT_ORDER.to_vec()
}
