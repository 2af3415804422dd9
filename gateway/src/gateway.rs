//! The running gateway: a broker with a door for clients, a link to the bus, and nothing crossing but by route.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::{
    Crossing, CrossingError, LeafPurpose, LinkGroup, ListenerConfig, ListenerTls, LocalError, Purpose,
    Server, ServerConfig,
};
use daemon::admin::AdminRoutes;
use daemon::audit::Audit;
use daemon::metrics::Metrics;
use daemon::readiness::Readiness;
use identity::policy::PolicyError;
use identity::revocation::{ShareError, ShareKey};
use identity::tls::TlsError;
use identity::{Grant, PermissionError};
use node::leafnodes::LinkError;
use node::revocation::Plane;
use node::revocation::share::Exchange;
use node::sections::gateway_role;
use node::tls::Reloads;
use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::task::JoinSet;

use crate::authenticator::{GatewayAuthenticator, Records, Rules, SourcesError, TokenSources};
use crate::catalog::Catalog;
use crate::config::{CLIENTS_TLS, Config};
use crate::edge::{Edge, EdgeError};
use crate::health::{self, CredentialError, CredentialFile, HealthCredential};
use crate::opaque::{self, Followed};
use crate::probe::{Probe, ProbeState};
use crate::reload;

/// Why a gateway can't be started. Most of it is found by checking the configuration first.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Routes that make no sense.
    #[error("{}", join(.0))]
    Routes(Vec<CrossingError>),
    /// Roles or bindings that make no sense.
    #[error("{}", join(.0))]
    Policy(Vec<PolicyError>),
    /// Keys, tokens or services that can't be used.
    #[error(transparent)]
    Tokens(#[from] SourcesError),
    /// Certificates of the door that can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The link can't be set up.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The key gateways share can't be used.
    #[error("revocation.share_key_file {}: {source}", path.display())]
    ShareKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ShareError,
    },
    /// The buffer for a link that is down can't be used.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The port for clients can't be opened.
    #[error("client port {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The health check's credential can't be written.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A subject this process listens on is wrong: a mistake in this program.
    #[error("a subject of this process: {0}")]
    Subject(#[from] LocalError),
    /// The rights of the health check are wrong: a mistake in this program.
    #[error("health check: {0}")]
    HealthRights(#[from] PermissionError),
}

fn join<E: ToString>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What a gateway needs from the process around it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where it says whether it is ready.
    pub readiness: Readiness,
    /// Where its figures go.
    pub metrics: Metrics,
    /// What follows its certificates.
    pub reloads: Reloads,
    /// What has been revoked.
    pub revocations: Arc<Plane>,
    /// Where decisions are written down.
    pub audit: Audit,
}

/// A running gateway; dropping it ends its probe and its answers, not its connections (see [`Server::drain`]).
#[derive(Debug)]
pub struct Gateway {
    /// The broker inside.
    pub server: Server,
    /// Where clients connect.
    pub clients: SocketAddr,
    /// Where clients connect that speak WebSocket.
    pub websocket: Option<SocketAddr>,
    /// Where the bus connects, where it is the one to dial.
    pub leafnodes: Option<SocketAddr>,
    /// Where other clusters connect, where the link is a gateway.
    pub gateways: Option<SocketAddr>,
    /// What the probe has found out.
    pub probe: Arc<ProbeState>,
    authenticator: Arc<GatewayAuthenticator>,
    opaque: Option<Arc<Followed>>,
    _catalog: Catalog,
    _tasks: JoinSet<()>,
}

impl Gateway {
    /// Starts a gateway: link first, clients last. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub fn start(config: &Config, around: &Surroundings) -> Result<Self, GatewayError> {
        let credential = HealthCredential::generate();
        let authenticator = Arc::new(authenticator(config, around, credential.clone())?);
        authenticator.follow_sessions();
        let sources = Arc::clone(&authenticator);
        TokenSources::register(&around.metrics, move || sources.tokens());
        reload::follow_certificates(&authenticator, around);
        let crossing = Arc::new(Crossing::compile(&config.route_rules()).map_err(GatewayError::Routes)?);
        let server = Server::new(ServerConfig {
            name: server_name(&config.service.name),
            cluster: None,
            limits: config.limits.to_broker(),
        });
        server.trust_proxies(config.service.proxy_protocol.networks());
        node::metrics::register(&around.metrics, &server, &around.reloads);
        let group = match config.link.connections {
            0 | 1 => server.link_group(identity::DEFAULT_ACCOUNT, Some(&crossing)),
            _ => server.standby_group(identity::DEFAULT_ACCOUNT, Some(&crossing)),
        };
        let edge = config.edge().map(|settings| Edge::open(&settings, &server, &group, &around.metrics));
        let edge = edge.transpose()?;
        let catalog = Catalog::open(&server)?;
        let probe = Probe::new(&group, &around.readiness, &around.metrics);
        let state = probe.state();
        let mut tasks = JoinSet::new();
        if let Some(edge) = edge {
            tasks.spawn(edge.run());
        }
        answer_health_checks(&server, &state, &mut tasks);
        tasks.spawn(reload::follow_revocations(Arc::clone(&authenticator)));
        share_revocations(config, around, &server, &group, &mut tasks)?;
        let opened = open_link(config, &server, &around.reloads, crossing, &group)?;
        let local = server.local_client("probe", Arc::new(Grant::unrestricted("probe")));
        tasks.spawn(probe.run(local));
        let opaque = authenticator.tokens().opaque.clone();
        let opaque = opaque.map(|tokens| Followed::new(tokens, authenticator.sessions(), &around.audit));
        let opaque = opaque.map(Arc::new);
        if let Some(opaque) = opaque.clone() {
            tasks.spawn(opaque.follow());
        }
        let doors = open_doors(config, &server, &around.reloads, &authenticator)?;
        credentials_file(config, &credential, doors.clients)
            .write(&config.service.health_check_credentials_file)?;
        Ok(Self {
            server,
            clients: doors.clients,
            websocket: doors.websocket,
            leafnodes: opened.leafnodes,
            gateways: opened.gateways,
            probe: state,
            authenticator,
            opaque,
            _catalog: catalog,
            _tasks: tasks,
        })
    }

    /// What the admin port answers about opaque tokens, where there are any.
    #[must_use]
    pub fn token_api(&self, routes: AdminRoutes, config: &Config) -> AdminRoutes {
        match (&self.opaque, &config.opaque_tokens) {
            (Some(followed), Some(section)) => opaque::mount(routes, followed, &section.file),
            _ => routes,
        }
    }

    /// Everybody who is let in on a token or a certificate, as of now.
    #[must_use]
    pub fn sessions(&self) -> &Arc<node::sessions::Sessions> {
        self.authenticator.sessions()
    }

    /// Reads the file of opaque tokens again, where there is one.
    pub fn reload_opaque(&self) {
        if let Some(opaque) = &self.opaque {
            opaque.look();
        }
    }

    /// Decides who comes in, and has what it takes to decide otherwise.
    #[must_use]
    pub fn authenticator(&self) -> &Arc<GatewayAuthenticator> {
        &self.authenticator
    }
}

/// The configured name, or one of its own: a bus takes two links from servers of one name for the same server.
fn server_name(configured: &str) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let random = rand::rng().sample_iter(Alphanumeric).take(8).map(char::from);
    format!("event-gateway-{}", random.collect::<String>())
}

fn authenticator(
    config: &Config,
    around: &Surroundings,
    credential: HealthCredential,
) -> Result<GatewayAuthenticator, GatewayError> {
    let tokens = Arc::new(TokenSources::of_config(config, &around.reloads)?);
    let rules = Rules::of_config(config).map_err(GatewayError::Policy)?;
    let records = Records {
        revocations: Arc::clone(&around.revocations),
        audit: around.audit.clone(),
        reloads: around.reloads.clone(),
    };
    Ok(GatewayAuthenticator::new(tokens, rules, records, credential)?)
}

fn answer_health_checks(server: &Server, state: &Arc<ProbeState>, tasks: &mut JoinSet<()>) {
    let client = server.local_client("health-check", Arc::new(Grant::unrestricted("health-check")));
    let state = Arc::clone(state);
    tasks.spawn(async move {
        if let Err(error) = health::answer(client, state).await {
            tracing::error!(%error, "health checks are not answered");
        }
    });
}

/// Tells the other gateways on the bus what is revoked here, where they share a key.
fn share_revocations(
    config: &Config,
    around: &Surroundings,
    server: &Server,
    group: &Arc<LinkGroup>,
    tasks: &mut JoinSet<()>,
) -> Result<(), GatewayError> {
    let Some(path) = &config.revocation.share_key_file else { return Ok(()) };
    let key = ShareKey::read(path).map_err(|source| GatewayError::ShareKey { path: path.clone(), source })?;
    let exchange = Exchange::new(Arc::clone(&around.revocations), key);
    let client = server.local_client("revocations", Arc::new(Grant::unrestricted("revocations")));
    let group = Arc::clone(group);
    tasks.spawn(async move {
        if let Err(error) = exchange.run(client, group).await {
            tracing::error!(%error, "revocations are not shared with other gateways");
        }
    });
    Ok(())
}

/// Where the other end of the link connects, where it does.
#[derive(Debug, Default)]
struct Opened {
    leafnodes: Option<SocketAddr>,
    gateways: Option<SocketAddr>,
}

/// Dials the bus, waits for it to dial, or both.
fn open_link(
    config: &Config,
    server: &Server,
    reloads: &Reloads,
    crossing: Arc<Crossing>,
    group: &Arc<LinkGroup>,
) -> Result<Opened, GatewayError> {
    let link = &config.link;
    if let Some(section) = config.gateway_section() {
        let mut plan = section.plan(link.tls.as_ref());
        plan.hold = link.hold();
        let local = node::gateways::join(server, reloads, plan, Some(crossing), Arc::clone(group))?;
        tracing::info!("Listening for gateways connections on {local}");
        return Ok(Opened { leafnodes: None, gateways: Some(local) });
    }
    let Some(section) = &link.listen else {
        node::leafnodes::dial(server, reloads, link, gateway_role(), Some(crossing), Arc::clone(group))?;
        return Ok(Opened::default());
    };
    let purpose = LeafPurpose {
        role: gateway_role(),
        crossing: Some(crossing),
        group: Arc::clone(group),
        compression: section.compression.config(),
    };
    let local = node::leafnodes::listen(server, reloads, section, link.tls.as_ref(), purpose, link.hold())?;
    tracing::info!("Listening for leafnode connections on {local}");
    Ok(Opened { leafnodes: Some(local), gateways: None })
}

/// Where clients come in.
#[derive(Debug)]
struct Doors {
    clients: SocketAddr,
    websocket: Option<SocketAddr>,
}

fn open_doors(
    config: &Config,
    server: &Server,
    reloads: &Reloads,
    authenticator: &Arc<GatewayAuthenticator>,
) -> Result<Doors, GatewayError> {
    let tls = match config.server_tls() {
        Some(tls) => Some(ListenerTls {
            verify: tls.client_auth != identity::tls::ClientAuth::None,
            source: reloads.server(CLIENTS_TLS, tls)?,
            start: config.service.handshake_first.into(),
            optional: false,
        }),
        None => None,
    };
    let websocket = config.websocket.as_ref().map(|section| ListenerConfig {
        address: section.address(),
        purpose: Purpose::Clients,
        tls: tls.as_ref().map(node::websocket::tls),
        websocket: Some(section.config()),
        authenticator: Arc::clone(authenticator) as _,
        link_hold: config.link.hold(),
        advertise: None,
        connect_urls: Vec::new(),
    });
    let clients = ListenerConfig {
        address: config.address(),
        purpose: Purpose::Clients,
        tls,
        websocket: None,
        authenticator: Arc::clone(authenticator) as _,
        link_hold: config.link.hold(),
        advertise: None,
        connect_urls: config.service.connect_urls.clone(),
    };
    let websocket = websocket.map(|listener| open_door(server, listener)).transpose()?;
    if let Some(local) = websocket {
        let scheme = node::websocket::scheme(!config.service.disable_frontend_tls);
        tracing::info!("Listening for websocket clients on {scheme}://{local}");
    }
    let clients = open_door(server, clients)?;
    tracing::info!("Listening for client connections on {clients}");
    Ok(Doors { clients, websocket })
}

fn open_door(server: &Server, listener: ListenerConfig) -> Result<SocketAddr, GatewayError> {
    let address = listener.address;
    server.listen(listener).map_err(|source| GatewayError::Listen { address, source })
}

/// What the health check needs to come in by the same door as everybody.
fn credentials_file(config: &Config, credential: &HealthCredential, clients: SocketAddr) -> CredentialFile {
    let service = &config.service;
    let certificates = match service.disable_frontend_tls {
        true => Vec::new(),
        // Whoever runs the check may be in another folder.
        false => config.frontend_tls.iter().map(|tls| absolute(&tls.cert_path)).collect(),
    };
    let mut file = CredentialFile::new(credential, clients, certificates);
    file.handshake_first = broker::TlsStart::from(service.handshake_first) == broker::TlsStart::First;
    file.client_certificate = match (&service.health_check_cert_path, &service.health_check_key_path) {
        (Some(cert), Some(key)) => Some((absolute(cert), absolute(key))),
        _ => None,
    };
    file
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
