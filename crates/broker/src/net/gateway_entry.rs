//! From accept to login on a gateway listener, and what both ends of a gateway connection share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use identity::Grant;
use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::Step;
use wire::gateway::Op;
use wire::info::GatewayConnect;

use super::entry::{TLS_HANDSHAKE, refuse, report};
use super::greeting::{self, Greeted, Refused};
use super::listener::{Listener, Purpose};
use super::source::Source;
use super::task::Task;
use crate::auth::{Credentials, Login};
use crate::conn::{About, CloseReason, Conn, ConnParts, Features, Kind};
use crate::core::Core;
use crate::link::Link;
use crate::link::gateway::inbound::GatewayIn;
use crate::link::gateway::{Cluster, Gateways};
use crate::session::Session;

/// Takes an accepted gateway connection through to its task.
pub(crate) async fn enter(core: Arc<Core>, listener: Arc<Listener>, stream: TcpStream, address: SocketAddr) {
    let id = core.next_id();
    let before = core.links_entering.fetch_add(1, Ordering::Relaxed);
    let outcome = if before >= core.max_connections.load(Ordering::Relaxed) {
        Err(Refused::new(CloseReason::MaximumConnections, "too many links on their way in"))
    } else {
        Box::pin(log_in(core.clone(), listener, stream, id, address)).await
    };
    core.links_entering.fetch_sub(1, Ordering::Relaxed);
    match outcome {
        Ok(task) => {
            tokio::spawn(task.run());
        }
        Err(refused) => {
            tracing::warn!(conn = id, %address, reason = refused.reason.name(), detail = %refused.detail, "gateway refused");
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
    let Purpose::Gateways = &listener.config.purpose else {
        return Err(Refused::new(CloseReason::ProtocolViolation, "not a gateway listener"));
    };
    let Some(gateways) = core.gateways.get().cloned() else {
        return Err(Refused::new(CloseReason::ProtocolViolation, "no gateways here"));
    };
    let until = Instant::now() + core.limits.auth_timeout;
    let local = stream.local_addr().map_err(greeting::lost)?.ip();
    let line = gateways.info(&core, local).to_line();
    let mut peer = greet(&core, &listener, stream, &line, until).await?;
    let connect = read_connect(&core, &mut peer, until).await?;
    let cluster = connect.gateway.clone().unwrap_or_default();
    let login = Login {
        credentials: Credentials::Gateway(&connect),
        certificates: &peer.certificates,
        address,
        websocket: false,
        nonce: "",
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
        Err(_) => return Err(Refused::new(CloseReason::AuthenticationTimeout, "no decision in time")),
    };
    core.counters.logins.add(1);
    let Some(known) = gateways.discover(&cluster, &[]) else {
        let text = format!("Connection to gateway {:?} rejected", gateways.terms.name);
        refuse(&peer, &text, until).await;
        let detail = format!("cluster {cluster:?} is unknown, or has our own name");
        return Err(Refused::new(CloseReason::AuthenticationFailed, detail));
    };
    let server = connect.name.unwrap_or_default();
    let kept = std::mem::take(&mut peer.kept);
    let parts = GatewayParts { id, address, cluster: known.clone(), server, grant, outbound: false };
    let made = make(&core, &gateways, peer, parts);
    let session = GatewayIn::new(core.clone(), gateways, known, made.conn, made.link);
    let session = Session::GatewayIn(Box::new(session));
    Ok(Task::new(core, session, made.source, kept, listener.config.link_hold))
}

/// TLS where configured, which comes first on a gateway, then INFO.
async fn greet(
    core: &Core,
    listener: &Listener,
    stream: TcpStream,
    info: &[u8],
    until: Instant,
) -> Result<Greeted, Refused> {
    if listener.config.tls.is_none() {
        greeting::write_fresh(&stream, info).map_err(greeting::lost)?;
        return Ok(greeting::plain(stream));
    }
    if greeting::first_byte(&stream, until).await? != TLS_HANDSHAKE {
        refuse(&greeting::plain(stream), wire::text::SECURE_CONNECTION_REQUIRED, until).await;
        return Err(Refused::new(CloseReason::TlsHandshake, "spoke without TLS where it is required"));
    }
    let peer = greeting::secure(listener, stream, core.limits.tls_timeout, until).await?;
    peer.write(info, until).await?;
    Ok(peer)
}

async fn read_connect(core: &Core, peer: &mut Greeted, until: Instant) -> Result<GatewayConnect, Refused> {
    let limits = core.limits.wire();
    let read = peer.read_until(until, core.limits.max_connect_line + 2, |bytes| {
        match wire::gateway::parse(bytes, &limits) {
            Ok(Step::Frame(Op::Connect(json), used)) => Ok(Some((Ok(json.to_vec()), used))),
            Ok(Step::Frame(..)) => Ok(Some((Err(wire::text::AUTHORIZATION_VIOLATION), 0))),
            Ok(Step::Incomplete(_)) => Ok(None),
            Err(error) => Ok(Some((Err(error.client_text()), 0))),
        }
    });
    let text = match read.await? {
        Ok(json) => {
            let connect = GatewayConnect::parse(&json)
                .map_err(|error| Refused::new(CloseReason::ProtocolViolation, error.to_string()))?;
            if connect.gateway.is_some() {
                return Ok(connect);
            }
            wire::text::CONNECTED_TO_GATEWAY_PORT
        }
        Err(text) => text,
    };
    refuse(peer, text, until).await;
    Err(Refused::new(CloseReason::ProtocolViolation, text))
}

/// What a gateway connection is made from.
pub(super) struct GatewayParts {
    pub(super) id: u64,
    pub(super) address: SocketAddr,
    pub(super) cluster: Arc<Cluster>,
    /// The other server's name or id.
    pub(super) server: String,
    pub(super) grant: Arc<Grant>,
    pub(super) outbound: bool,
}

/// A registered connection, and what its task needs besides.
pub(super) struct Made {
    pub(super) conn: Arc<Conn>,
    pub(super) link: Arc<Link>,
    pub(super) source: Source,
}

/// Makes a gateway connection of a peer that was let in, or that let us in.
pub(super) fn make(core: &Arc<Core>, gateways: &Gateways, peer: Greeted, parts: GatewayParts) -> Made {
    let account = core.account(&gateways.terms.grant.account);
    let link = Arc::new(Link::of_gateway(core, gateways, &parts.cluster, &parts.server, parts.outbound));
    tracing::info!(conn = parts.id, address = %parts.address, cluster = %link.name, identity = %parts.grant.identity, outbound = parts.outbound, "gateway established");
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
            name: Some(parts.server.into()),
            lang: None,
            version: None,
            tls_version: peer.tls_version,
            tls_cipher: peer.tls_cipher,
            websocket: false,
            start: SystemTime::now(),
        },
        max_pending_replies: 0,
    }));
    core.register(&conn);
    Made { conn, link, source: Source::of(peer) }
}

/// How long a refused peer may take to read why.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(100);
