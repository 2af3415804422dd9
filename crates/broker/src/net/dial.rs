//! Solicited links: dial, show who we are, and dial again when the link is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identity::Grant;
use rand::Rng;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use wire::Step;
use wire::info::{Extension, LeafConnect, LeafInfo};
use wire::leaf::Op;

use super::greeting::{self, Greeted, Refused};
use super::leaf_entry::{LinkParts, establish};
use crate::conn::CloseReason;
use crate::core::Core;
use crate::link::{Crossing, LinkGroup, Role};

/// A link that closed a loop is not tried again sooner.
const LOOP_DELAY: Duration = Duration::from_secs(30);
/// Time for connecting, TLS and INFO.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to dial, as in a URL `tls://user:password@host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is insisted on.
    pub tls: bool,
    /// User, or a bearer token when there is no password.
    pub user: Option<String>,
    /// Password. Secret.
    pub password: Option<String>,
}

impl std::fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// TLS towards the other end.
#[derive(Clone)]
pub struct DialTls {
    /// The configuration as of now.
    pub source: watch::Receiver<Arc<rustls::ClientConfig>>,
    /// The name the other end's certificate must carry; the URL's host where there is none.
    pub server_name: Option<String>,
    /// Whether TLS begins before INFO.
    pub first: bool,
}

/// A link to be kept up.
#[derive(Clone)]
pub struct RemoteConfig {
    /// Its name in logs, `/leafz` and metrics.
    pub name: String,
    /// Where to dial; tried in turn.
    pub urls: Vec<RemoteUrl>,
    /// TLS, if any.
    pub tls: Option<DialTls>,
    /// Our end of it.
    pub role: Role,
    /// What may cross; `None` is everything.
    pub crossing: Option<Arc<Crossing>>,
    /// The account here that the link belongs to, and its rights.
    pub grant: Arc<Grant>,
    /// What we let ourselves send (publish) and ask for (subscribe), whatever the other end allows.
    pub limits: Option<identity::Rights>,
    /// The links that serve the same routes.
    pub group: Arc<LinkGroup>,
    /// First delay before dialling again; doubled each time.
    pub backoff_min: Duration,
    /// Longest delay.
    pub backoff_max: Duration,
    /// How long publishers wait for a link that is down.
    pub link_hold: Duration,
}

/// Keeps a link up until `stop` says so.
pub(crate) async fn keep_up(core: Arc<Core>, remote: RemoteConfig, mut stop: watch::Receiver<bool>) {
    let mut backoff = remote.backoff_min;
    for at in 0.. {
        let Some(url) = remote.urls.get(at % remote.urls.len().max(1)) else { return };
        let began = Instant::now();
        let outcome = tokio::select! {
            outcome = Box::pin(dial(&core, &remote, url)) => outcome,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let delay = match outcome {
            Ok(task) => {
                // Runs as a task of its own: the future of the dialling is let go.
                let mut running = tokio::spawn(task.run());
                let reason = tokio::select! {
                    reason = &mut running => reason.unwrap_or(CloseReason::Panicked),
                    // The drain closes the link; nothing is left to keep up.
                    _ = stop.wait_for(|stop| *stop) => return,
                };
                if began.elapsed() > Duration::from_secs(10) {
                    backoff = remote.backoff_min;
                }
                if reason == CloseReason::LoopDetected { LOOP_DELAY } else { backoff }
            }
            Err(refused) => {
                tracing::warn!(link = %remote.name, url = ?url, reason = refused.reason.name(), detail = %refused.detail, "link not made");
                backoff
            }
        };
        backoff = (backoff * 2).min(remote.backoff_max);
        let jitter = rand::rng().random_range(0.8..1.2);
        tokio::select! {
            () = tokio::time::sleep(delay.mul_f64(jitter)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn dial(
    core: &Arc<Core>,
    remote: &RemoteConfig,
    url: &RemoteUrl,
) -> Result<super::task::Task, Refused> {
    let until = Instant::now() + DIAL_TIMEOUT;
    let connected = tokio::time::timeout_at(until, TcpStream::connect((url.host.as_str(), url.port))).await;
    let stream = match connected {
        Ok(stream) => stream.map_err(greeting::lost)?,
        Err(_) => return Err(Refused::new(CloseReason::Io, "connecting timed out")),
    };
    stream.set_nodelay(true).map_err(greeting::lost)?;
    let address = stream.peer_addr().map_err(greeting::lost)?;
    let (peer, info) = greet(remote, url, stream, until).await?;
    let connect = connect_line(core, remote, url);
    peer.write(&connect.to_line(), until).await?;
    peer.write(wire::encode::PING, until).await?;
    Ok(accept_peer(core, remote, peer, &info, address))
}

/// Reads INFO, before or after TLS.
async fn greet(
    remote: &RemoteConfig,
    url: &RemoteUrl,
    stream: TcpStream,
    until: Instant,
) -> Result<(Greeted, LeafInfo), Refused> {
    let first = remote.tls.as_ref().is_some_and(|tls| tls.first);
    if first {
        let mut peer = secure(remote, url, stream, until).await?;
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
    if info.tls_required || url.tls || remote.tls.is_some() {
        if !info.tls_required && !info.tls_available {
            return Err(Refused::new(CloseReason::TlsHandshake, "the other end offers no TLS"));
        }
        return Ok((secure(remote, url, stream, until).await?, info));
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

async fn read_info(peer: &mut Greeted, until: Instant) -> Result<LeafInfo, Refused> {
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

async fn secure(
    remote: &RemoteConfig,
    url: &RemoteUrl,
    stream: TcpStream,
    until: Instant,
) -> Result<Greeted, Refused> {
    let failed = |detail: String| Refused::new(CloseReason::TlsHandshake, detail);
    let tls = remote
        .tls
        .as_ref()
        .ok_or_else(|| failed("TLS is required, and no certificates are configured".into()))?;
    let name = tls.server_name.clone().unwrap_or_else(|| url.host.clone());
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

fn connect_line(core: &Core, remote: &RemoteConfig, url: &RemoteUrl) -> LeafConnect {
    LeafConnect {
        version: Some(crate::NATS_VERSION.into()),
        user: url.user.clone(),
        pass: url.password.clone(),
        auth_token: url.user.clone().filter(|_| url.password.is_none()),
        server_id: Some(core.server_id.clone()),
        name: Some(core.server_name.clone()),
        is_hub: remote.role == Role::Hub,
        cluster: Some(core.cluster.clone().unwrap_or_else(|| core.server_name.clone())),
        headers: true,
        remote_account: Some(remote.grant.account.to_string()),
        protocol: 1,
        gatehouse: Some(Extension { version: crate::VERSION.into(), ..Extension::default() }),
        ..LeafConnect::default()
    }
}

fn accept_peer(
    core: &Arc<Core>,
    remote: &RemoteConfig,
    mut peer: Greeted,
    info: &LeafInfo,
    address: SocketAddr,
) -> super::task::Task {
    let kept = std::mem::take(&mut peer.kept);
    let parts = LinkParts {
        id: core.next_id(),
        address,
        role: remote.role,
        name: remote.name.as_str().into(),
        remote_name: info.server_name.clone(),
        remote_id: info.server_id.clone(),
        remote_cluster: info.cluster.clone().unwrap_or_default(),
        solicited: true,
        crossing: remote.crossing.clone(),
        group: remote.group.clone(),
        grant: remote.grant.clone(),
        limits: remote.limits.clone(),
    };
    establish(core, peer, kept, parts, remote.link_hold, false)
}
