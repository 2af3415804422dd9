//! From accept to login on a leafnode listener, and what both ends of a link share when it is established.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use identity::Grant;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::Step;
use wire::info::{Extension, LeafConnect, LeafInfo};
use wire::leaf::Op;

use super::entry::{TLS_HANDSHAKE, refuse, report};
use super::greeting::{self, Greeted, Refused};
use super::leaf_packed;
use super::listener::{LeafPurpose, Listener, Purpose, TlsStart};
use super::source::Source;
use super::task::Task;
use crate::auth::{Credentials, Login};
use crate::conn::{About, CloseReason, Conn, ConnParts, Features, Kind};
use crate::core::Core;
use crate::link::addresses::Addresses;
use crate::link::group::NodeClaim;
use crate::link::held::Held;
use crate::link::interest::Announced;
use crate::link::session::LinkSession;
use crate::link::{Crossing, Link, LinkGroup, Role, Via};
use crate::session::Session;

/// INFO lines a peer may send before its CONNECT.
const MOST_INFOS: usize = 4;

/// Counts a link on its way in; one that is established counts no more.
struct Entering(Arc<Core>);

impl Drop for Entering {
    fn drop(&mut self) {
        self.0.links_entering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a link is made from once both ends have shown who they are.
pub(crate) struct LinkParts {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) role: Role,
    pub(crate) name: Arc<str>,
    pub(crate) remote_name: String,
    pub(crate) remote_id: String,
    pub(crate) remote_cluster: String,
    pub(crate) solicited: bool,
    pub(crate) crossing: Option<Arc<Crossing>>,
    pub(crate) group: Arc<LinkGroup>,
    pub(crate) grant: Arc<Grant>,
    pub(crate) limits: Option<identity::Rights>,
    /// Of a link that was dialled: where else its cluster is to be found.
    pub(crate) addresses: Option<Arc<Addresses>>,
    /// Both ends compare what interest they know of.
    pub(crate) compared: bool,
    /// The node of a cluster it goes to.
    pub(crate) node: Option<NodeClaim>,
}

/// Takes an accepted link through to its task.
pub(crate) async fn enter(core: Arc<Core>, listener: Arc<Listener>, stream: TcpStream, address: SocketAddr) {
    let id = core.next_id();
    let before = core.links_entering.fetch_add(1, Ordering::Relaxed);
    let _entering = Entering(core.clone());
    if before >= core.max_connections.load(Ordering::Relaxed) {
        let refused = Refused::new(CloseReason::MaximumConnections, "too many links on their way in");
        return report(&core, id, address, &refused);
    }
    match Box::pin(log_in(core.clone(), listener, stream, id, address)).await {
        Ok(task) => {
            tokio::spawn(task.run());
        }
        Err(refused) => {
            tracing::warn!(conn = id, %address, reason = refused.reason.name(), detail = %refused.detail, "link refused");
            report(&core, id, address, &refused);
        }
    }
}

async fn log_in(
    core: Arc<Core>,
    listener: Arc<Listener>,
    stream: TcpStream,
    id: u64,
    address: SocketAddr,
) -> Result<Task, Refused> {
    let Purpose::Leafnodes(purpose) = &listener.config.purpose else {
        return Err(Refused::new(CloseReason::ProtocolViolation, "not a leafnode listener"));
    };
    let until = Instant::now() + core.limits.auth_timeout;
    let nonce = crate::inbox::random_token(16);
    let (mut peer, connect) = greet(&core, &listener, stream, id, address, &nonce, until).await?;
    let login = Login {
        credentials: Credentials::Leafnode(&connect),
        certificates: &peer.certificates,
        address,
        websocket: false,
        nonce: &nonce,
        until: until.into_std(),
    };
    let decision = tokio::time::timeout_at(until, listener.config.authenticator.authenticate(login)).await;
    let grant = match decision {
        Ok(Ok(admission)) => admission.grant,
        Ok(Err(denied)) => {
            core.counters.denied(denied.reason);
            refuse(&peer, denied.text, until).await;
            return Err(Refused::new(CloseReason::AuthenticationFailed, denied.detail));
        }
        Err(_) => {
            refuse(&peer, wire::text::AUTHENTICATION_TIMEOUT, Instant::now() + Duration::from_millis(100))
                .await;
            return Err(Refused::new(
                CloseReason::AuthenticationTimeout,
                "the decision about the link took too long",
            ));
        }
    };
    core.counters.logins.add(1);
    let answer = info(&core, &listener, id, address, &nonce, Some(&grant)).to_line();
    peer.write(&answer, until).await?;
    let role = if connect.is_hub { Role::Spoke } else { purpose.role };
    let parts = parts(purpose, &connect, id, address, role, grant);
    let kept = std::mem::take(&mut peer.kept);
    Ok(establish(&core, peer, kept, parts, listener.config.link_hold, true))
}

/// INFO, TLS where configured, CONNECT.
async fn greet(
    core: &Arc<Core>,
    listener: &Listener,
    stream: TcpStream,
    id: u64,
    address: SocketAddr,
    nonce: &str,
    until: Instant,
) -> Result<(Greeted, LeafConnect), Refused> {
    let start = listener.config.tls.as_ref().map(|tls| tls.start);
    let line = info(core, listener, id, address, nonce, None).to_line();
    if start != Some(TlsStart::First) {
        greeting::write_fresh(&stream, &line).map_err(greeting::lost)?;
    }
    let first = greeting::first_byte(&stream, until).await?;
    let mut peer = match start {
        Some(_) if first == TLS_HANDSHAKE => {
            greeting::secure(listener, stream, core.limits.tls_timeout, until).await?
        }
        Some(_) => {
            refuse(&greeting::plain(stream), wire::text::SECURE_CONNECTION_REQUIRED, until).await;
            return Err(Refused::new(CloseReason::TlsHandshake, "spoke without TLS where it is required"));
        }
        None => greeting::plain(stream),
    };
    if start == Some(TlsStart::First) {
        peer.write(&line, until).await?;
    }
    let connect = read_connect(core, listener, &mut peer, &line, until).await?;
    Ok((peer, connect))
}

/// Reads the peer's CONNECT, and the INFO lines that a stock server may send before it: when it compresses, or speaks a
/// newer protocol. `ours` is what it was told first.
async fn read_connect(
    core: &Arc<Core>,
    listener: &Listener,
    peer: &mut Greeted,
    ours: &[u8],
    until: Instant,
) -> Result<LeafConnect, Refused> {
    for _ in 0..=MOST_INFOS {
        match read_first(core, peer, until).await? {
            Ok(First::Connect(json)) => return check_connect(core, peer, &json, until).await,
            Ok(First::Info(json)) => leaf_packed::follow(core, listener, peer, &json, ours, until).await?,
            Err(text) => {
                refuse(peer, text, until).await;
                return Err(Refused::new(CloseReason::ProtocolViolation, text));
            }
        }
    }
    let text = wire::text::UNKNOWN_PROTOCOL_OPERATION;
    refuse(peer, text, until).await;
    Err(Refused::new(CloseReason::ProtocolViolation, text))
}

/// What a peer may say before it is let in.
#[derive(PartialEq)]
enum First {
    Connect(Vec<u8>),
    Info(Vec<u8>),
}

/// The JSON of CONNECT or INFO, or what to tell the peer instead.
async fn read_first(
    core: &Core,
    peer: &mut Greeted,
    until: Instant,
) -> Result<Result<First, &'static str>, Refused> {
    let limits = core.limits.wire();
    peer.read_until(until, core.limits.max_connect_line + 2, |bytes| {
        match wire::leaf::parse(bytes, &limits) {
            Ok(Step::Frame(Op::Connect(json), used)) => Ok(Some((Ok(First::Connect(json.to_vec())), used))),
            Ok(Step::Frame(Op::Info(json), used)) => Ok(Some((Ok(First::Info(json.to_vec())), used))),
            Ok(Step::Frame(..)) => Ok(Some((Err(wire::text::AUTHORIZATION_VIOLATION), 0))),
            Ok(Step::Incomplete(_)) => Ok(None),
            Err(error) => Ok(Some((Err(error.client_text()), 0))),
        }
    })
    .await
}

/// Whether a link can be made of this CONNECT at all.
async fn check_connect(
    core: &Core,
    peer: &Greeted,
    json: &[u8],
    until: Instant,
) -> Result<LeafConnect, Refused> {
    let connect = LeafConnect::parse(json)
        .map_err(|error| Refused::new(CloseReason::ProtocolViolation, error.to_string()))?;
    if connect.lang.is_some() {
        refuse(peer, wire::text::CONNECTED_TO_LEAFNODE_PORT, until).await;
        return Err(Refused::new(CloseReason::ProtocolViolation, "a client on the leafnode port"));
    }
    if connect.gateway.is_some() {
        refuse(peer, wire::text::CONNECTED_TO_WRONG_PORT, until).await;
        return Err(Refused::new(CloseReason::ProtocolViolation, "a gateway on the leafnode port"));
    }
    let ours = core.cluster.as_deref().unwrap_or(&core.server_name);
    if connect.cluster.as_deref() == Some(ours) {
        refuse(peer, wire::text::LEAFNODE_SAME_CLUSTER_NAME, until).await;
        return Err(Refused::new(CloseReason::LoopDetected, "the other end has our own cluster name"));
    }
    Ok(connect)
}

/// What the other end is told: before login, and with `grant` after it.
fn info(
    core: &Core,
    listener: &Listener,
    id: u64,
    address: SocketAddr,
    nonce: &str,
    grant: Option<&Grant>,
) -> LeafInfo {
    let tls = listener.config.tls.as_ref();
    let [import, export] = grant.map(|grant| Held::told(&grant.rights)).unwrap_or_default();
    LeafInfo {
        import,
        export,
        server_id: core.server_id.clone(),
        server_name: core.server_name.clone(),
        version: crate::NATS_VERSION.into(),
        proto: 1,
        host: listener.local.ip().to_string(),
        port: listener.local.port(),
        headers: true,
        max_payload: core.limits.max_payload,
        client_id: Some(id),
        client_ip: Some(address.ip().to_string()),
        auth_required: listener.config.authenticator.required(),
        tls_required: tls.is_some(),
        tls_verify: tls.is_some_and(|tls| tls.verify),
        nonce: Some(nonce.into()),
        cluster: Some(core.cluster.clone().unwrap_or_else(|| core.server_name.clone())),
        // A solicitor takes a missing list for a sign that it dialled the wrong port.
        leafnode_urls: vec![listener.config.advertise.clone().unwrap_or_else(|| listener.local.to_string())],
        info_on_connect: true,
        compression: leaf_packed::offered(listener).filter(|_| grant.is_none()).map(Into::into),
        connect_info: grant.is_some(),
        remote_account: grant.map(|grant| grant.account.to_string()),
        gatehouse: Some(Extension::of(crate::VERSION)),
        ..LeafInfo::default()
    }
}

fn parts(
    purpose: &LeafPurpose,
    connect: &LeafConnect,
    id: u64,
    address: SocketAddr,
    role: Role,
    grant: Arc<Grant>,
) -> LinkParts {
    let remote_name = connect.name.clone().or_else(|| connect.server_id.clone()).unwrap_or_default();
    LinkParts {
        id,
        address,
        role,
        name: remote_name.as_str().into(),
        remote_cluster: connect.cluster.clone().unwrap_or_default(),
        remote_id: connect.server_id.clone().unwrap_or_default(),
        remote_name,
        solicited: false,
        crossing: purpose.crossing.clone(),
        group: purpose.group.clone(),
        grant,
        limits: None,
        addresses: None,
        compared: connect.gatehouse.as_ref().is_some_and(|said| said.has(Extension::INTEREST)),
        node: None,
    }
}

/// Makes a link of a peer that was let in. `attach` says whether it is told our interest at once; an end that
/// dialled waits for the other's word first.
pub(crate) fn establish(
    core: &Arc<Core>,
    mut peer: Greeted,
    kept: Vec<u8>,
    parts: LinkParts,
    link_hold: Duration,
    attach: bool,
) -> Task {
    let account = core.account(&parts.grant.account);
    replace_older(core, &parts, &account.name);
    let link = Arc::new(Link {
        via: Via::Leafnode,
        role: parts.role,
        remote_name: parts.remote_name.clone(),
        remote_id: parts.remote_id,
        remote_cluster: parts.remote_cluster,
        name: parts.name,
        solicited: parts.solicited,
        crossing: parts.crossing,
        announced: Mutex::new(Announced::new(&core.inboxes, parts.compared)),
        inboxes: core.inboxes.clone(),
        allowed: RwLock::new([parts.limits, None]),
        told: RwLock::default(),
        active: AtomicBool::new(!parts.group.is_exclusive()),
        addresses: parts.addresses,
        held: if parts.solicited { None } else { Held::new(&parts.grant.rights) },
        compressed: peer.unpacker.as_ref().map(|unpacker| unpacker.compressed().clone()),
        own_cluster: "".into(),
        loop_subject: account.loop_subject.clone(),
    });
    tracing::info!(conn = parts.id, address = %parts.address, link = %link.name, identity = %parts.grant.identity, "link established");
    let conn = Arc::new(Conn::new(ConnParts {
        id: parts.id,
        kind: Kind::Link(link.clone()),
        outbox: core.outbox(true),
        pipe: peer.pipe.clone(),
        account,
        inbox: None,
        grant: parts.grant,
        features: Features::default(),
        about: About {
            address: Some(parts.address),
            name: Some(parts.remote_name.into()),
            lang: None,
            version: None,
            tls_version: peer.tls_version,
            tls_cipher: peer.tls_cipher,
            websocket: false,
            start: SystemTime::now(),
        },
        max_pending_replies: core.limits.max_pending_replies,
    }));
    core.register(&conn);
    let mut session = LinkSession::new(core.clone(), conn, link, parts.group, parts.node);
    if attach {
        session.attach(std::time::Instant::now());
    }
    if let Some(unpacker) = &mut peer.unpacker {
        unpacker.let_in();
    }
    Task::new(core.clone(), Session::Link(Box::new(session)), Source::of(peer), kept, link_hold)
}

/// A second link from the same server to the same account takes the place of the first.
fn replace_older(core: &Core, parts: &LinkParts, account: &str) {
    if parts.remote_id.is_empty() {
        return;
    }
    for conn in core.conns() {
        let Some(link) = conn.link() else { continue };
        let same = link.remote_id == parts.remote_id
            && link.solicited == parts.solicited
            && &*conn.account.name == account;
        if same && !parts.solicited {
            // At once: until its task sees it, both links would carry every message.
            core.withdraw(&conn);
            conn.request_close(CloseReason::Replaced);
        }
    }
}
