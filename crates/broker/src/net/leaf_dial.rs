//! Dialling a leafnode link: TCP, INFO, TLS, CONNECT.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use wire::Step;
use wire::info::{Extension, LeafConnect, LeafInfo};
use wire::leaf::Op;

use super::dial::{DialTls, Remote};
use super::greeting::{self, Greeted, Refused};
use super::leaf_entry::{LinkParts, establish};
use super::leaf_packed;
use super::task::Task;
use crate::conn::CloseReason;
use crate::core::Core;
use crate::link::group::NodeClaim;
use crate::link::{RemoteUrl, Role};

/// Time for connecting, TLS and INFO.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for connecting where there are other addresses to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn dial(core: &Arc<Core>, remote: &Remote, url: &RemoteUrl) -> Result<Task, Refused> {
    let until = Instant::now() + DIAL_TIMEOUT;
    let patience = if remote.addresses.len() > 1 { CONNECT_TIMEOUT } else { DIAL_TIMEOUT };
    let began = Instant::now();
    let stream = connect(url, patience).await?;
    let address = stream.peer_addr().map_err(greeting::lost)?;
    let tls = remote.config.tls.as_ref();
    let connected = began.elapsed();
    let (mut peer, info) = greet(tls, url, stream, until).await?;
    // Both take a round trip, and something besides.
    let rtt = connected.min(began.elapsed() - connected);
    leaf_packed::choose(core, remote, &mut peer, &info, rtt, until).await?;
    remote.addresses.learn(info.cluster_addresses());
    let node = claim(remote, &info)?;
    let mut connect = connect_line(core, remote, url, &info)?;
    let mode = peer.unpacker.as_ref().map_or("off", |unpacker| unpacker.compressed().word());
    connect.compress_mode = info.compression.is_some().then(|| mode.into());
    peer.write(&connect.to_line(), until).await?;
    peer.write(wire::encode::PING, until).await?;
    Ok(accept_peer(core, remote, peer, &info, address, node))
}

/// A connection to `url` within `patience`.
pub(super) async fn connect(url: &RemoteUrl, patience: Duration) -> Result<TcpStream, Refused> {
    let connected = tokio::time::timeout(patience, TcpStream::connect((url.host.as_str(), url.port))).await;
    let stream = match connected {
        Ok(stream) => stream.map_err(greeting::lost)?,
        Err(_) => return Err(Refused::new(CloseReason::Io, "connecting timed out")),
    };
    stream.set_nodelay(true).map_err(greeting::lost)?;
    Ok(stream)
}

/// Of several links to one cluster each goes to a node of its own.
fn claim(remote: &Remote, info: &LeafInfo) -> Result<Option<NodeClaim>, Refused> {
    let group = &remote.config.group;
    if !group.is_exclusive() {
        return Ok(None);
    }
    let claim = group.claim(&info.server_id);
    claim.map(Some).ok_or_else(|| Refused::new(CloseReason::Replaced, "another link goes to this node"))
}

/// Reads INFO, before or after TLS.
async fn greet(
    tls: Option<&DialTls>,
    url: &RemoteUrl,
    stream: TcpStream,
    until: Instant,
) -> Result<(Greeted, LeafInfo), Refused> {
    if tls.is_some_and(|tls| tls.first) {
        let mut peer = secure(tls, url, stream, until).await?;
        let info = read_info(&mut peer, until).await?;
        return Ok((peer, info));
    }
    let mut line = Vec::new();
    let info = loop {
        match wire::leaf::parse(&line, &wire::Limits::default()) {
            Ok(Step::Frame(Op::Info(json), used)) => {
                let info = parse_info(json)?;
                if used < line.len() {
                    return Err(Refused::new(
                        CloseReason::ProtocolViolation,
                        "more than INFO before CONNECT",
                    ));
                }
                break info;
            }
            Ok(Step::Frame(Op::Err(text), _)) => {
                return Err(Refused::new(CloseReason::AuthenticationFailed, String::from_utf8_lossy(text)));
            }
            Ok(Step::Frame(..)) => return Err(Refused::new(CloseReason::ProtocolViolation, "no INFO first")),
            Ok(Step::Incomplete(_)) => {}
            Err(error) => return Err(Refused::new(CloseReason::ProtocolViolation, error.to_string())),
        }
        read_line(&stream, &mut line, until).await?;
    };
    if info.tls_required || url.tls || tls.is_some() {
        if !info.tls_required && !info.tls_available {
            return Err(Refused::new(CloseReason::TlsHandshake, "the other end offers no TLS"));
        }
        return Ok((secure(tls, url, stream, until).await?, info));
    }
    Ok((greeting::plain(stream), info))
}

/// Reads up to the end of the first line and not beyond it: what follows may be TLS.
async fn read_line(stream: &TcpStream, line: &mut Vec<u8>, until: Instant) -> Result<(), Refused> {
    let mut peeked = [0; 4096];
    let seen = match tokio::time::timeout_at(until, stream.peek(&mut peeked)).await {
        Ok(Ok(0)) => return Err(Refused::new(CloseReason::ClientClosed, "closed before INFO")),
        Ok(seen) => seen.map_err(greeting::lost)?,
        Err(_) => return Err(Refused::new(CloseReason::AuthenticationTimeout, "no INFO in time")),
    };
    let end = peeked[..seen].iter().position(|byte| *byte == b'\n').map_or(seen, |at| at + 1);
    match stream.try_read(&mut peeked[..end]) {
        Ok(read) => line.extend_from_slice(&peeked[..read]),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(greeting::lost(error)),
    }
    Ok(())
}

pub(super) async fn read_info(peer: &mut Greeted, until: Instant) -> Result<LeafInfo, Refused> {
    peer.read_until(until, wire::LEAF_MAX_CONTROL_LINE, |bytes| {
        match wire::leaf::parse(bytes, &wire::Limits::default()) {
            Ok(Step::Frame(Op::Info(json), used)) => Ok(Some((parse_info(json)?, used))),
            Ok(Step::Incomplete(_)) => Ok(None),
            Ok(Step::Frame(..)) => Err(Refused::new(CloseReason::ProtocolViolation, "no INFO first")),
            Err(error) => Err(Refused::new(CloseReason::ProtocolViolation, error.to_string())),
        }
    })
    .await
}

fn parse_info(json: &[u8]) -> Result<LeafInfo, Refused> {
    LeafInfo::parse(json).map_err(|error| Refused::new(CloseReason::ProtocolViolation, error.to_string()))
}

/// TLS as the dialling end.
pub(super) async fn secure(
    tls: Option<&DialTls>,
    url: &RemoteUrl,
    stream: TcpStream,
    until: Instant,
) -> Result<Greeted, Refused> {
    let failed = |detail: String| Refused::new(CloseReason::TlsHandshake, detail);
    let tls = tls.ok_or_else(|| failed("TLS is required, and no certificates are configured".into()))?;
    let known = tls.server_name.as_ref().or(url.certificate_name.as_ref());
    let name = known.unwrap_or(&url.host).clone();
    let name = ServerName::try_from(name).map_err(|error| failed(error.to_string()))?;
    let connector = TlsConnector::from(tls.source.borrow().clone());
    match tokio::time::timeout_at(until, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => {
            let (stream, session) = stream.into_inner();
            Ok(greeting::secured(stream, rustls::Connection::Client(session)))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("timed out".into())),
    }
}

fn connect_line(
    core: &Core,
    remote: &Remote,
    url: &RemoteUrl,
    info: &LeafInfo,
) -> Result<LeafConnect, Refused> {
    let config = &remote.config;
    let proof = config.login.prove(info.nonce.as_deref().unwrap_or_default());
    let proof = proof.map_err(|error| Refused::new(CloseReason::AuthenticationFailed, error))?;
    let user = proof.user.or_else(|| url.user.clone());
    let pass = proof.password.or_else(|| url.password.clone());
    Ok(LeafConnect {
        version: Some(crate::NATS_VERSION.into()),
        // A user without password may be a token, so nats-server says it twice.
        auth_token: proof.token.or_else(|| user.clone().filter(|_| pass.is_none())),
        user,
        pass,
        nkey: proof.nkey,
        jwt: proof.jwt,
        sig: proof.signature,
        server_id: Some(core.server_id.clone()),
        name: Some(core.server_name.clone()),
        is_hub: config.role == Role::Hub,
        cluster: Some(core.cluster.clone().unwrap_or_else(|| core.server_name.clone())),
        headers: true,
        remote_account: Some(config.grant.account.to_string()),
        protocol: 1,
        gatehouse: Some(Extension::of(crate::VERSION)),
        ..LeafConnect::default()
    })
}

fn accept_peer(
    core: &Arc<Core>,
    remote: &Remote,
    mut peer: Greeted,
    info: &LeafInfo,
    address: SocketAddr,
    node: Option<NodeClaim>,
) -> Task {
    let kept = std::mem::take(&mut peer.kept);
    let config = &remote.config;
    let parts = LinkParts {
        id: core.next_id(),
        address,
        role: config.role,
        name: config.name.as_str().into(),
        remote_name: info.server_name.clone(),
        remote_id: info.server_id.clone(),
        remote_cluster: info.cluster.clone().unwrap_or_default(),
        solicited: true,
        crossing: config.crossing.clone(),
        group: config.group.clone(),
        grant: config.grant.clone(),
        limits: config.limits.clone(),
        addresses: Some(remote.addresses.clone()),
        compared: info.gatehouse.as_ref().is_some_and(|said| said.has(Extension::INTEREST)),
        node,
    };
    establish(core, peer, kept, parts, config.link_hold, false)
}
