//! `internal-bus.toml`. Every key is described in `config/internal-bus.toml`.

use std::net::IpAddr;
use std::path::PathBuf;

use daemon::audit::AuditConfig;
use daemon::config::{Period, Size};
use daemon::telemetry::LogConfig;
use identity::peer::IdentitySource;
use identity::policy::{BindingConfig, RoleConfig};
use node::gateways::Gateway;
use node::revocation::RevocationConfig;
use node::sections::{Admin, Leafnodes, Limits};
use node::websocket::Websocket;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `[service]`
    pub service: Service,
    /// `[tls]`
    pub tls: Option<Tls>,
    /// `[websocket]`; without it there is no such port.
    pub websocket: Option<Websocket>,
    /// `[leafnodes]`
    pub leafnodes: Option<Leafnodes>,
    /// `[streams]`; without it there are none.
    pub streams: Option<Streams>,
    /// `[gateway]`
    pub gateway: Option<Gateway>,
    /// `[admin]`
    pub admin: Admin,
    /// `[revocation]`
    pub revocation: RevocationConfig,
    /// `[audit]`
    pub audit: AuditConfig,
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
    /// Port for gateways: short for a `[gateway]` of the name `event-service`.
    pub gateway_port: Option<u16>,
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
            gateway_port: None,
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

/// `[streams]`: stored events.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Streams {
    /// Folder they are kept in. Default `data/streams`.
    pub store_dir: PathBuf,
    /// Bytes of messages on disk, all together. Default 100 GiB.
    pub max_file: Size,
    /// Bytes of messages in memory, all together. Default 1 GiB.
    pub max_memory: Size,
    /// Bytes of what was written last, of all streams on disk together, kept in memory for those who read it soon.
    /// Default 8 MiB.
    pub tail_cache: Size,
    /// What an acknowledgement means, where a stream does not say. Default `commit`.
    pub sync: SyncLevel,
    /// With `sync = "interval"`: how often the disk gets what has come. Default 1 s.
    pub sync_interval: Option<Period>,
    /// Tells these streams from those across a link: the API is answered under `$JS.<domain>.API.` too.
    pub domain: Option<String>,
    /// API requests with fields that are not known are refused. Default true.
    pub strict: bool,
    /// File with the key that what is stored is encrypted with.
    pub encryption_key_path: Option<PathBuf>,
    /// Files with keys of before: what they encrypt can still be read.
    pub previous_encryption_key_paths: Vec<PathBuf>,
    /// How it is encrypted. Default `aes`.
    pub cipher: CipherName,
    /// A file of which more than this many percent are dead is written again without them; 0 is never. Default 50.
    pub compact_percent: u8,
    /// Greatest duplicate window of a stream. No bound without it.
    pub max_duplicate_window: Option<Period>,
    /// Greatest batch of one pull request, in messages; 0 is no bound.
    pub max_request_batch: u64,
    /// Greatest `max_ack_pending` of a consumer; 0 is no bound.
    pub max_ack_pending: u64,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            store_dir: "data/streams".into(),
            max_file: Size::gib(100),
            max_memory: Size::gib(1),
            tail_cache: Size::mib(8),
            sync: SyncLevel::Commit,
            sync_interval: None,
            domain: None,
            strict: true,
            encryption_key_path: None,
            previous_encryption_key_paths: Vec::new(),
            cipher: CipherName::Aes,
            compact_percent: 50,
            max_duplicate_window: None,
            max_request_batch: 0,
            max_ack_pending: 0,
        }
    }
}

/// When a stored message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncLevel {
    /// When it is on disk.
    Commit,
    /// When the operating system has it, which is asked to write it now and then.
    Interval,
    /// When the operating system has it.
    None,
}

/// A cipher for data at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CipherName {
    /// AES-256-GCM
    Aes,
    /// ChaCha20-Poly1305
    ChaCha,
}

impl From<CipherName> for crate::natsconf::Cipher {
    fn from(name: CipherName) -> Self {
        match name {
            CipherName::Aes => Self::Aes,
            CipherName::ChaCha => Self::ChaCha,
        }
    }
}

fn default_order() -> Vec<IdentitySource> {
    IdentitySource::DEFAULT_ORDER.to_vec()
}
