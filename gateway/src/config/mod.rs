//! `gateway.toml`: what an operator writes, decoded and checked.
//!
//! Every key, its default and its unit stand in the annotated reference file `config/gateway.toml`. Paths are relative
//! to the folder of the configuration file.

mod check;
mod edge;
mod event_service;
mod fetch;
mod files;
mod handshake;
mod issuer;
mod lints;
mod remote;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::RouteRule;
use daemon::audit::AuditConfig;
use daemon::config::{ConfigErrors, Document, Period, Size, environment};
use daemon::telemetry::LogConfig;
use identity::peer::{IdentitySource, Pins};
use identity::policy::{BindingConfig, PolicyConfig, RoleConfig};
use identity::tls::{CertifiedFile, ClientAuth, ServerTls};
use node::revocation::{RevocationConfig, share};
use node::sections::{Admin, Limits, Link, Route};
use serde::{Deserialize, Serialize};

pub use self::edge::EdgeConfig;
pub use self::event_service::InternalEventService;
pub use self::fetch::Fetch;
pub(crate) use self::fetch::followed;
pub use self::handshake::HandshakeFirst;
pub use self::issuer::Issuer;
pub use self::remote::{AuthConfig, Calls, IntrospectionConfig, OpaqueTokens};

/// Port for clients unless configured.
pub const DEFAULT_PORT: u16 = 4222;

/// Port for probes, metrics and monitoring unless configured.
pub const DEFAULT_ADMIN_PORT: u16 = 8222;

/// The name of the clients' TLS in logs and metrics.
pub(crate) const CLIENTS_TLS: &str = "clients";

/// Where revocations are kept unless configured.
pub const DEFAULT_REVOCATIONS: &str = "data/revocations";

/// The subject whose answer proves that an event gets through to the bus and back.
pub const PROBE_SUBJECT: &str = "healthcheck.bus";

/// The subject on which the gateway itself answers with the state of its link.
pub const SELF_SUBJECT: &str = "healthcheck.gateway";

/// All that a health check has rights to.
pub const HEALTH_SUBJECTS: &str = "healthcheck.>";

/// How much of the configuration is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The text alone.
    Text,
    /// Also the certificates and keys it names.
    Files,
}

/// A gateway's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The door for clients.
    #[serde(default)]
    pub service: Service,
    /// Its certificates, chosen by the name a client asks for; the first one is the default.
    #[serde(default)]
    pub frontend_tls: Vec<FrontendTls>,
    /// A second port for clients, which speak WebSocket.
    #[serde(default)]
    pub websocket: Option<node::websocket::Websocket>,
    /// Certificates of clients.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// Whose tokens are accepted.
    #[serde(default)]
    pub issuers: Vec<Issuer>,
    /// Tokens of our own.
    #[serde(default)]
    pub opaque_tokens: Option<OpaqueTokens>,
    /// An authorization server that is asked about tokens.
    #[serde(default)]
    pub introspection: Option<IntrospectionConfig>,
    /// A service of the operator's own that is asked about tokens and rights.
    #[serde(default)]
    pub auth: Option<AuthConfig>,
    /// What may be done, under names.
    #[serde(default)]
    pub roles: Vec<RoleConfig>,
    /// Who gets which role.
    #[serde(default)]
    pub bindings: Vec<BindingConfig>,
    /// What may cross the link.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The link to the bus.
    #[serde(default)]
    pub link: Link,
    /// Where messages wait for it.
    #[serde(default)]
    pub edge: EdgeConfig,
    /// What has been taken back.
    #[serde(default)]
    pub revocation: RevocationConfig,
    /// Where issuers tell that a session is over.
    #[serde(default)]
    pub logout: Option<Logout>,
    /// Where decisions are written down.
    #[serde(default)]
    pub audit: AuditConfig,
    /// The link as a gateway of a super-cluster, in place of a leafnode.
    #[serde(default)]
    pub gateway: Option<node::gateways::Gateway>,
    /// Where the bus takes gateways: short for a `[gateway]` of the usual names.
    #[serde(default)]
    pub internal_event_service: Option<InternalEventService>,
    /// The port for probes, metrics and monitoring.
    #[serde(default)]
    pub admin: Admin,
    /// Logging.
    #[serde(default)]
    pub log: LogConfig,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// `[service]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// The server's name; a generated one when empty.
    pub name: String,
    /// Port for the gateway of the bus, with `[internal_event_service]`; 10147 unless configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_port: Option<u16>,
    /// Clients connect without TLS: behind a proxy that ends it.
    pub disable_frontend_tls: bool,
    /// Allows `disable_frontend_tls` on an address other machines can reach.
    pub allow_remote_plaintext: bool,
    /// Whether TLS begins before the server's INFO.
    pub handshake_first: HandshakeFirst,
    /// Load balancers that say whom they stand for.
    pub proxy_protocol: ProxyProtocol,
    /// Where the health check's credential is written at each start.
    pub health_check_credentials_file: PathBuf,
    /// Certificate the health check shows, needed where client certificates are required.
    pub health_check_cert_path: Option<PathBuf>,
    /// Its key.
    pub health_check_key_path: Option<PathBuf>,
    /// Where the addresses listened on are written.
    pub ports_file: Option<PathBuf>,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Largest token looked at.
    pub max_token_bytes: Size,
    /// Addresses told to clients for reconnecting.
    pub connect_urls: Vec<String>,
    /// How long clients are given, on SIGTERM, to go elsewhere by themselves.
    pub drain_grace: Period,
    /// Time over which the remaining ones are closed then.
    pub drain_spread: Period,
    /// Time for the last bytes of each connection then.
    pub drain_timeout: Period,
}

impl Default for Service {
    fn default() -> Self {
        let drain = broker::Drain::default();
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            port: DEFAULT_PORT,
            name: String::new(),
            gateway_port: None,
            disable_frontend_tls: false,
            allow_remote_plaintext: false,
            handshake_first: HandshakeFirst::No,
            proxy_protocol: ProxyProtocol::default(),
            health_check_credentials_file: "data/health-check.token".into(),
            health_check_cert_path: None,
            health_check_key_path: None,
            ports_file: None,
            pid_file: None,
            max_token_bytes: Size::bytes(identity::token::DEFAULT_MAX_TOKEN as u64),
            connect_urls: Vec::new(),
            drain_grace: drain.grace.into(),
            drain_spread: drain.spread.into(),
            drain_timeout: drain.deadline.into(),
        }
    }
}

/// `proxy_protocol` of `[service]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Networks whose connections begin with a PROXY header (version 2).
    pub from: Vec<String>,
}

impl ProxyProtocol {
    /// The networks; those that are none are found by checking the configuration.
    #[must_use]
    pub fn networks(&self) -> Vec<broker::Network> {
        self.from.iter().filter_map(|text| text.parse().ok()).collect()
    }
}

/// One `[[frontend_tls]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontendTls {
    /// The name clients ask for, perhaps with `*.` in front; the certificate's own names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Certificate chain, PEM.
    pub cert_path: PathBuf,
    /// Its key, PEM.
    pub key_path: PathBuf,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateMode {
    /// Not asked for.
    #[default]
    None,
    /// Asked for; a client without one is let in on its token.
    Optional,
    /// Demanded by the TLS handshake.
    Required,
}

/// Whether a certificate alone is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenDemand {
    /// A client may come with a certificate alone.
    #[default]
    Optional,
    /// A client needs a token, also when it shows a certificate.
    Required,
}

/// What a revocation list means whose next version is overdue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overdue {
    /// Every certificate of its issuer is refused.
    #[default]
    Refuse,
    /// It counts as it is, and the log warns.
    Accept,
}

/// `[logout]`: the port on which issuers tell that a session is over (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logout {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Certificate and key; without them the port is in clear, for use behind a proxy.
    #[serde(default)]
    pub tls: Option<LogoutTls>,
    /// How long a session that was logged out is remembered: longer than any of the issuer's tokens lives.
    #[serde(default = "Logout::remember")]
    pub remember: Period,
}

/// `tls` of `[logout]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogoutTls {
    /// Certificate chain, PEM.
    pub cert_path: PathBuf,
    /// Its key, PEM.
    pub key_path: PathBuf,
}

impl Logout {
    fn remember() -> Period {
        Period::secs(86_400)
    }
}

/// `[client_certificates]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientCertificates {
    /// Whether clients show a certificate.
    pub mode: CertificateMode,
    /// The CAs they may come from, PEM.
    pub ca_path: Option<PathBuf>,
    /// Revocation lists: a file, or a folder of nothing else.
    pub crl_path: Option<PathBuf>,
    /// Refuse certificates whose issuer none of the lists speaks for.
    pub require_revocation_status: bool,
    /// What a revocation list means that is older than it may be.
    pub overdue_crl: Overdue,
    /// Whether a token is needed beside a certificate.
    pub token: TokenDemand,
    /// Certificates accepted and refused one by one.
    pub pins: Pins,
    /// Which name of a certificate is the client's identity: the first kind it has.
    pub identity: Vec<IdentitySource>,
}

impl Default for ClientCertificates {
    fn default() -> Self {
        Self {
            mode: CertificateMode::None,
            ca_path: None,
            crl_path: None,
            require_revocation_status: false,
            overdue_crl: Overdue::Refuse,
            token: TokenDemand::Optional,
            pins: Pins::default(),
            identity: IdentitySource::DEFAULT_ORDER.to_vec(),
        }
    }
}

/// A configuration with what is likely not meant in it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, its paths made absolute or relative to the working directory.
    pub config: Config,
    /// Findings that are no errors, one line each.
    pub warnings: Vec<String>,
}

/// Reads and checks the file at `path`, with overrides from the environment.
///
/// # Errors
/// Everything that is wrong, each with its line and key.
pub fn load(path: &Path, depth: Depth) -> Result<Loaded, ConfigErrors> {
    let document = Document::read(path, environment())?;
    loaded(&document, path, depth)
}

fn loaded(document: &Document, path: &Path, depth: Depth) -> Result<Loaded, ConfigErrors> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut config: Config = document.decode_checked(|config: &Config, problems| {
        check::check(config, problems);
        if depth == Depth::Files {
            let mut config = config.clone();
            config.rebase(folder);
            files::check(&config, problems);
        }
    })?;
    config.rebase(folder);
    let warnings = lints::lints(&config);
    Ok(Loaded { config, warnings })
}

impl Config {
    /// Roles and bindings as the policy takes them.
    #[must_use]
    pub fn policy(&self) -> PolicyConfig {
        PolicyConfig { roles: self.roles.clone(), bindings: self.bindings.clone() }
    }

    /// The routes, with the one the readiness probe uses.
    #[must_use]
    pub fn route_rules(&self) -> Vec<RouteRule> {
        let probe = RouteRule {
            subject: PROBE_SUBJECT.into(),
            direction: broker::Direction::Inward,
            to: None,
            stamp: false,
        };
        let shared = self.revocation.share_key_file.as_ref().map(|_| share::route());
        let named = self.routes.iter().map(RouteRule::from).chain(self.link.jetstream_routes());
        named.chain([probe]).chain(shared).collect()
    }

    /// How to take part in a super-cluster, where the link is a gateway.
    #[must_use]
    pub fn gateway_section(&self) -> Option<node::gateways::Gateway> {
        let short = || self.internal_event_service.as_ref().map(|bus| bus.gateway(self));
        self.gateway.clone().or_else(short)
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.service.host, self.service.port)
    }

    /// TLS of the door for clients; `None` where it is disabled.
    #[must_use]
    pub fn server_tls(&self) -> Option<ServerTls> {
        if self.service.disable_frontend_tls {
            return None;
        }
        let certificate = |tls: &FrontendTls| CertifiedFile {
            server_name: tls.server_name.clone(),
            cert_path: tls.cert_path.clone(),
            key_path: tls.key_path.clone(),
        };
        let clients = &self.client_certificates;
        Some(ServerTls {
            certificates: self.frontend_tls.iter().map(certificate).collect(),
            client_auth: clients.client_auth(),
            crls: clients.crl_path.iter().cloned().collect(),
            require_revocation_status: clients.require_revocation_status,
            accept_overdue_crls: clients.overdue_crl == Overdue::Accept,
            ..ServerTls::default()
        })
    }

    /// How connections are ended on SIGTERM.
    #[must_use]
    pub fn drain(&self) -> broker::Drain {
        let service = &self.service;
        let period = |period: Period| -> Duration { period.into() };
        broker::Drain {
            grace: period(service.drain_grace),
            spread: period(service.drain_spread),
            deadline: period(service.drain_timeout),
        }
    }

    /// Makes every path relative to `folder` unless it is absolute.
    fn rebase(&mut self, folder: &Path) {
        let at = |path: &mut PathBuf| *path = folder.join(&*path);
        let service = &mut self.service;
        at(&mut service.health_check_credentials_file);
        let optional = [
            &mut service.health_check_cert_path,
            &mut service.health_check_key_path,
            &mut service.ports_file,
        ];
        optional.into_iter().flatten().for_each(at);
        service.pid_file.as_mut().into_iter().for_each(at);
        self.edge.dir.as_mut().into_iter().for_each(at);
        for tls in &mut self.frontend_tls {
            at(&mut tls.cert_path);
            at(&mut tls.key_path);
        }
        let clients = &mut self.client_certificates;
        [&mut clients.ca_path, &mut clients.crl_path].into_iter().flatten().for_each(at);
        self.issuers.iter_mut().flat_map(Issuer::paths).for_each(at);
        self.link.login_files().for_each(at);
        self.opaque_tokens.iter_mut().for_each(|tokens| at(&mut tokens.file));
        self.introspection.iter_mut().flat_map(IntrospectionConfig::paths).for_each(at);
        self.auth.iter_mut().flat_map(AuthConfig::paths).for_each(at);
        let listen = self.link.listen.as_mut().and_then(|listen| listen.tls.as_mut());
        for tls in self.link.tls.iter_mut().chain(listen) {
            at(&mut tls.cert_path);
            at(&mut tls.key_path);
            at(&mut tls.root_ca_path);
            tls.crl_paths.iter_mut().for_each(at);
        }
        for tls in self.gateway.iter_mut().flat_map(node::gateways::Gateway::tls_sections) {
            at(&mut tls.cert_path);
            at(&mut tls.key_path);
            at(&mut tls.root_ca_path);
            tls.crl_paths.iter_mut().for_each(at);
        }
        self.log.file.as_mut().into_iter().for_each(at);
        self.revocation.store.get_or_insert_with(|| DEFAULT_REVOCATIONS.into());
        self.audit.paths().chain(self.revocation.paths()).chain(self.admin.paths()).for_each(at);
        for tls in self.logout.iter_mut().filter_map(|logout| logout.tls.as_mut()) {
            at(&mut tls.cert_path);
            at(&mut tls.key_path);
        }
    }
}

impl ClientCertificates {
    fn client_auth(&self) -> ClientAuth {
        let roots = self.ca_path.clone().unwrap_or_default();
        match self.mode {
            CertificateMode::None => ClientAuth::None,
            CertificateMode::Optional => ClientAuth::Optional { roots },
            CertificateMode::Required => ClientAuth::Required { roots },
        }
    }
}
