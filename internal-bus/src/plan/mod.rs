//! What the process is to do, whichever language its configuration was written in.

mod from_natsconf;
mod from_toml;
mod gateway;
mod streams;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::{Authenticator, Compression, RemoteUrl, Role, ServiceTerms, TlsStart, WebsocketConfig};
use daemon::audit::AuditConfig;
use daemon::telemetry::LogConfig;
use identity::Rights;
use identity::tls::{ClientTls, ServerTls};
use node::credentials::LinkCredentials;
use node::gateways::GatewayPlan;
use node::process::Ending;
use node::revocation::RevocationConfig;
use node::sections::Admin;

use crate::auth::{Certificates, LiveUsers};
use crate::config::Config;
use crate::natsconf::NatsConf;
pub use from_natsconf::from_natsconf;
pub(crate) use from_natsconf::{imports, limits, mappings};
pub use from_toml::from_toml;
pub use streams::{StoreDir, StoreKey, StreamsPlan};

/// A listener to open.
pub struct ListenerPlan {
    /// Where.
    pub address: SocketAddr,
    /// TLS, if any.
    pub tls: Option<TlsPlan>,
    /// Who decides about logins.
    pub authenticator: Arc<dyn Authenticator>,
    /// Host and port to tell clients instead of the address.
    pub advertise: Option<String>,
    /// Clients speak WebSocket.
    pub websocket: Option<WebsocketConfig>,
}

/// TLS of a listener.
pub struct TlsPlan {
    /// The files.
    pub server: ServerTls,
    /// When the handshake begins.
    pub start: TlsStart,
    /// Clients may do without.
    pub optional: bool,
    /// Client certificates are demanded.
    pub verify: bool,
}

/// A link to dial.
pub struct RemotePlan {
    /// Its name in logs.
    pub name: String,
    /// Where to dial.
    pub urls: Vec<RemoteUrl>,
    /// Whether other nodes of the cluster at the other end are dialled when it tells of them.
    pub discover: bool,
    /// Links kept up at once.
    pub connections: usize,
    /// How it logs in, beyond certificate and URL.
    pub login: LinkCredentials,
    /// TLS, if any.
    pub tls: Option<ClientTls>,
    /// The name the other end's certificate must carry.
    pub server_name: Option<String>,
    /// TLS begins before INFO.
    pub handshake_first: bool,
    /// Whether it is compressed.
    pub compression: Compression,
    /// Our end.
    pub role: Role,
    /// The account it belongs to here.
    pub account: String,
    /// What may be sent and asked for.
    pub limits: Option<Rights>,
    /// First and longest delay before dialling again.
    pub backoff: (Duration, Duration),
}

/// What one account has from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPlan {
    /// The account it comes from, or, for a service, that answers.
    pub exporter: String,
    /// Its subject there.
    pub subject: String,
    /// The account that has it.
    pub importer: String,
    /// Its name here.
    pub to: String,
    /// `None` for a stream.
    pub service: Option<ServiceTerms>,
}

/// What the subjects of one account stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingPlan {
    /// The account.
    pub account: String,
    /// Patterns, and where their messages go: subjects, and how many of a hundred.
    pub rules: Vec<(String, Vec<(String, u8)>)>,
}

/// What is kept of decisions about certificates, and what they rest on.
pub struct RecordsPlan {
    /// Who decides.
    pub certificates: Arc<Certificates>,
    /// What has been revoked.
    pub revocation: RevocationConfig,
    /// Where decisions are written down.
    pub audit: AuditConfig,
}

/// Everything the process is to do.
pub struct Plan {
    /// The server's name; its id when empty.
    pub name: String,
    /// Every bound of the broker.
    pub limits: broker::Limits,
    /// For clients.
    pub clients: ListenerPlan,
    /// For clients that speak WebSocket.
    pub websocket: Option<ListenerPlan>,
    /// For links.
    pub leafnodes: Option<ListenerPlan>,
    /// Whether links that come in are compressed.
    pub leafnode_compression: Compression,
    /// The nats-server configuration it was made from, to tell what a reload would have to change.
    pub conf: Option<NatsConf>,
    /// The `internal-bus.toml` it was made from, likewise.
    pub toml: Option<Config>,
    /// The users of a nats-server configuration, who may change on reload.
    pub users: Option<Arc<LiveUsers>>,
    /// Every account known beforehand, by name, besides the default one.
    pub accounts: Vec<String>,
    /// The account whose members may ask about the server.
    pub system_account: Option<String>,
    /// What accounts have from each other.
    pub imports: Vec<ImportPlan>,
    /// What subjects stand for, by account.
    pub mappings: Vec<MappingPlan>,
    /// How to take part in a super-cluster.
    pub gateway: Option<GatewayPlan>,
    /// Links to dial.
    pub remotes: Vec<RemotePlan>,
    /// Stored events; `None`: there are none.
    pub streams: Option<StreamsPlan>,
    /// The admin port.
    pub admin: Option<Admin>,
    /// What is kept of decisions about certificates.
    pub records: Option<RecordsPlan>,
    /// Logging.
    pub log: LogConfig,
    /// Where to write the process id.
    pub pid_file: Option<PathBuf>,
    /// Where to write the ports.
    pub ports_file: Option<PathBuf>,
    /// How the process ends.
    pub ending: Ending,
    /// What the operator should know, for the log.
    pub notices: Vec<String>,
}
