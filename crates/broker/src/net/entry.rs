//! From accept to login: what a client connection is before it is one.
//!
//! A closed state machine: INFO, TLS where configured, CONNECT, decision. Before login nothing is allocated by a
//! length a peer names, and no more than [`crate::Limits::max_connect_line`] bytes are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::Step;
use wire::client::Op;
use wire::info::{ConnectOptions, ServerInfo};
use wire::websocket::Rejection;

use super::door::proxy;
use super::greeting::{self, Greeted, Refused};
use super::listener::{Listener, TlsStart};
use super::source::Source;
use super::task::Task;
use super::websocket;
use crate::auth::{Admission, Credentials, Denied, Login};
use crate::conn::{About, CloseReason, Conn, ConnParts, Features, Kind};
use crate::core::Core;
use crate::inbox::InboxSpace;
use crate::session::{ClientSession, Session};

/// The first byte of a TLS handshake record.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;

/// Counts a client connection until it has a task of its own that does.
struct Counted(Arc<Core>, bool);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.1 {
            self.0.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Takes a client connection through to its task.
pub(crate) async fn enter(
    core: Arc<Core>,
    listener: Arc<Listener>,
    stream: TcpStream,
    address: SocketAddr,
    over: bool,
) {
    let mut counted = Counted(core.clone(), true);
    let id = core.next_id();
    let until = Instant::now() + patience(&core, &listener);
    let address = match real_address(&core, &stream, address, until).await {
        Ok(address) => address,
        Err(refused) => return report(&core, id, address, &refused),
    };
    let nonce = crate::inbox::random_token(16);
    let first = match greet(&core, &listener, &stream, id, address, &nonce, over, until).await {
        Ok(first) => first,
        Err(refused) => return turn_away(&core, &listener, id, address, &refused),
    };
    let door = Arc::clone(&listener);
    // Boxed, and only now: a connection that says nothing costs the little above.
    let entered = Box::pin(take_turn(core.clone(), listener, stream, id, address, nonce, first, until)).await;
    match entered {
        Ok(task) => {
            counted.1 = false;
            tokio::spawn(task.run());
        }
        Err(refused) => turn_away(&core, &door, id, address, &refused),
    }
}

/// Where the client is: what a trusted proxy says, else where the connection comes from.
async fn real_address(
    core: &Core,
    stream: &TcpStream,
    address: SocketAddr,
    until: Instant,
) -> Result<SocketAddr, Refused> {
    let trusted = core.proxies.get().is_some_and(|from| from.iter().any(|net| net.contains(address.ip())));
    if trusted { Box::pin(proxy::read(stream, address, until)).await } else { Ok(address) }
}

/// Logs in when there is a seat, and as long as nobody else needs it more.
#[allow(clippy::too_many_arguments)]
async fn take_turn(
    core: Arc<Core>,
    listener: Arc<Listener>,
    stream: TcpStream,
    id: u64,
    address: SocketAddr,
    nonce: String,
    first: u8,
    until: Instant,
) -> Result<Task, Refused> {
    let tls = listener.config.tls.is_some();
    let seat = core.door.sit(&core.limits, &core.counters, address, tls, until).await?;
    tokio::select! {
        biased;
        task = log_in(core.clone(), listener, stream, id, address, nonce, first, until) => task,
        () = seat.wanted() => Err(Refused::new(CloseReason::Crowded, "took too long while others waited")),
    }
}

fn turn_away(core: &Core, door: &Listener, id: u64, address: SocketAddr, refused: &Refused) {
    door.config.authenticator.turned_away(address, refused.reason, &refused.detail);
    core.closed.add_refused(id, About::of_stranger(address, door.config.websocket.is_some()), refused.reason);
    report(core, id, address, refused);
}

/// How long a client may take until it is logged in. Where it has nothing to prove, it may be silent as long as it
/// likes.
fn patience(core: &Core, listener: &Listener) -> Duration {
    let nothing_to_prove = listener.config.tls.is_none() && !listener.config.authenticator.required();
    if nothing_to_prove { Duration::from_secs(365 * 86_400) } else { core.limits.auth_timeout }
}

pub(crate) fn report(core: &Core, id: u64, address: SocketAddr, refused: &Refused) {
    core.counters.closed(refused.reason);
    tracing::debug!(conn = id, %address, reason = refused.reason.name(), detail = %refused.detail, "connection refused");
}

/// Sends INFO where it comes first, and waits for the client's first byte.
#[allow(clippy::too_many_arguments)]
async fn greet(
    core: &Core,
    listener: &Listener,
    stream: &TcpStream,
    id: u64,
    address: SocketAddr,
    nonce: &str,
    over: bool,
    until: Instant,
) -> Result<u8, Refused> {
    if listener.config.websocket.is_some() {
        if over {
            return Err(Refused::new(CloseReason::MaximumConnections, "too many connections"));
        }
        return greeting::first_byte(stream, until).await;
    }
    let start = listener.config.tls.as_ref().map(|tls| tls.start);
    if let Some(TlsStart::Auto(patience)) = start
        && let Ok(Ok(first)) = tokio::time::timeout(patience, greeting::first_byte(stream, until)).await
    {
        return Ok(first);
    }
    if start != Some(TlsStart::First) {
        let mut line = info(core, listener, &Caller { id, address, nonce }).to_line();
        if over {
            wire::encode::error_line(&mut line, wire::text::MAX_CONNECTIONS_EXCEEDED);
        }
        greeting::write_fresh(stream, &line).map_err(greeting::lost)?;
    }
    if over {
        return Err(Refused::new(CloseReason::MaximumConnections, "too many connections"));
    }
    let first = greeting::first_byte(stream, until).await;
    if first.as_ref().is_err_and(|refused| refused.reason == CloseReason::AuthenticationTimeout) {
        let mut line = Vec::new();
        wire::encode::error_line(&mut line, wire::text::LOGIN_UNDECIDED);
        greeting::write_fresh(stream, &line).map_err(greeting::lost)?;
    }
    first
}

/// Who connects.
#[derive(Clone, Copy)]
struct Caller<'a> {
    id: u64,
    address: SocketAddr,
    /// What it signs, if it has an nkey.
    nonce: &'a str,
}

/// What a client is told first.
fn info(core: &Core, listener: &Listener, caller: &Caller<'_>) -> ServerInfo {
    let tls = listener.config.tls.as_ref();
    let told = listener.config.advertise.as_deref().and_then(|told| told.rsplit_once(':'));
    let told = told.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let (host, port) = told.unwrap_or_else(|| (listener.local.ip().to_string(), listener.local.port()));
    ServerInfo {
        server_id: core.server_id.clone(),
        server_name: core.server_name.clone(),
        version: crate::NATS_VERSION.into(),
        proto: 1,
        // There is none, but clients read the key (nats-core of Python takes no INFO without it).
        go: Some(String::new()),
        host,
        port,
        headers: core.limits.headers,
        max_payload: core.limits.max_payload,
        client_id: Some(caller.id),
        client_ip: Some(caller.address.ip().to_string()),
        auth_required: listener.config.authenticator.required(),
        tls_required: tls.is_some_and(|tls| !tls.optional),
        tls_available: tls.is_some_and(|tls| tls.optional),
        tls_verify: tls.is_some_and(|tls| tls.verify),
        nonce: Some(caller.nonce.into()),
        cluster: core.cluster.clone(),
        connect_urls: listener.config.connect_urls.clone(),
        gatehouse: Some(crate::VERSION.into()),
        jetstream: core.streams.get().is_some(),
        domain: core.streams.get().and_then(|streams| streams.domain.clone()),
        api_lvl: core.streams.get().map(|streams| streams.api_level),
        ..ServerInfo::default()
    }
}

/// TLS, where it is spoken.
async fn arrive(
    core: &Core,
    listener: &Listener,
    stream: TcpStream,
    first: u8,
    until: Instant,
) -> Result<Greeted, Refused> {
    match &listener.config.tls {
        Some(_) if first == TLS_HANDSHAKE => {
            greeting::secure(listener, stream, core.limits.tls_timeout, until).await
        }
        Some(tls) if !tls.optional => {
            let peer = greeting::plain(stream);
            if listener.config.websocket.is_some() {
                return Err(websocket::turn_down(&peer, Rejection::IN_CLEAR, until).await);
            }
            refuse(&peer, wire::text::SECURE_CONNECTION_REQUIRED, until).await;
            Err(Refused::new(CloseReason::TlsHandshake, "spoke without TLS where it is required"))
        }
        _ => Ok(greeting::plain(stream)),
    }
}

/// TLS, CONNECT and the decision.
#[allow(clippy::too_many_arguments)]
async fn log_in(
    core: Arc<Core>,
    listener: Arc<Listener>,
    stream: TcpStream,
    id: u64,
    address: SocketAddr,
    nonce: String,
    first: u8,
    until: Instant,
) -> Result<Task, Refused> {
    let mut peer = arrive(&core, &listener, stream, first, until).await?;
    let told = match (&listener.config.websocket, &peer.tls, &listener.config.tls) {
        (Some(config), ..) => {
            websocket::open(&mut peer, config, until).await?;
            false
        }
        (None, Some(_), Some(tls)) => tls.start == TlsStart::AfterInfo,
        (None, ..) => true,
    };
    if !told {
        peer.write(&info(&core, &listener, &Caller { id, address, nonce: &nonce }).to_line(), until).await?;
    }
    let required = listener.config.authenticator.required();
    let (options, said) = read_connect(&core, &mut peer, until, required).await?;
    let login = Login {
        credentials: Credentials::Client(&options),
        certificates: &peer.certificates,
        address,
        websocket: peer.websocket.is_some(),
        nonce: &nonce,
        until: until.into_std(),
    };
    if required {
        core.door.tarpit(&core.counters, address, until).await;
    }
    let decision = tokio::time::timeout_at(until, listener.config.authenticator.authenticate(login)).await;
    match decision.map(|decision| decision.and_then(not_over)) {
        Ok(Ok(admission)) => {
            let task = establish(
                &core,
                &listener,
                peer,
                &Caller { id, address, nonce: &nonce },
                &options,
                admission,
            );
            let conn = task.conn();
            if !conn.count_use(&conn.grant()) {
                tracing::warn!(conn = id, %address, identity = %conn.grant().identity, "as many connections as the identity may have");
                conn.cut_off(CloseReason::MaximumIdentityConnections);
                return Ok(task);
            }
            core.counters.logins.add(1);
            if said && options.verbose {
                task.conn().send_now(|out| out.extend_from_slice(wire::encode::OK));
            }
            Ok(task)
        }
        Ok(Err(denied)) => {
            core.counters.denied(denied.reason);
            if denied.is_refusal() {
                core.door.failed(address);
            }
            tracing::warn!(conn = id, %address, reason = denied.reason, detail = %denied.detail, "login refused");
            refuse(&peer, denied.text, until).await;
            let reason = match denied.is_refusal() {
                true => CloseReason::AuthenticationFailed,
                false => CloseReason::AuthenticationTimeout,
            };
            Err(Refused::new(reason, denied.detail))
        }
        Err(_) => {
            // The decision took too long; nobody was refused, so the text is the one clients come back from.
            refuse(&peer, wire::text::LOGIN_UNDECIDED, Instant::now() + Duration::from_millis(100)).await;
            Err(Refused::new(
                CloseReason::AuthenticationTimeout,
                "the decision about the login took too long",
            ))
        }
    }
}

/// Refuses rights that have ended already: they would be given and taken in the same moment, again and again.
fn not_over(admission: Admission) -> Result<Admission, Denied> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if admission.grant.expired(now) {
        let denied = Denied::new("expired", "what was presented has ended");
        return Err(Denied { text: wire::text::USER_AUTHENTICATION_EXPIRED, ..denied });
    }
    Ok(admission)
}

/// Tells the peer why; it may be gone already.
pub(crate) async fn refuse(peer: &Greeted, text: &str, until: Instant) {
    let mut line = Vec::new();
    wire::encode::error_line(&mut line, text);
    if let Err(refused) = peer.write(&line, until).await {
        tracing::trace!(detail = %refused.detail, "the peer did not wait for the reason");
    }
    peer.close(CloseReason::AuthenticationFailed);
}

/// Reads the client's CONNECT. Where no login is required, a client may begin with anything else; `false` says that
/// it did.
async fn read_connect(
    core: &Core,
    peer: &mut Greeted,
    until: Instant,
    required: bool,
) -> Result<(ConnectOptions, bool), Refused> {
    let limits =
        wire::Limits { max_control_line: core.limits.max_connect_line, max_payload: core.limits.max_payload };
    let outcome = peer
        .read_until(until, core.limits.max_connect_line + 2, |bytes| {
            match wire::client::parse(bytes, &limits) {
                Ok(Step::Frame(Op::Connect(json), used)) => match ConnectOptions::parse(json) {
                    Ok(options) => Ok(Some((Ok((options, true)), used))),
                    Err(error) => Ok(Some((Err(error.client_text()), used))),
                },
                Ok(Step::Frame(..)) if required => Ok(Some((Err(wire::text::AUTHORIZATION_VIOLATION), 0))),
                Ok(Step::Frame(..)) => Ok(Some((Ok((ConnectOptions::default(), false)), 0))),
                // A message longer than what is kept before login: the session reads on.
                Ok(Step::Incomplete(need)) if need > core.limits.max_connect_line && !required => {
                    Ok(Some((Ok((ConnectOptions::default(), false)), 0)))
                }
                Ok(Step::Incomplete(_)) => Ok(None),
                Err(error) => Ok(Some((Err(error.client_text()), 0))),
            }
        })
        .await;
    match outcome {
        Ok(Ok((options, said))) => {
            if options.no_responders && !options.headers {
                refuse(peer, wire::text::NO_RESPONDERS_REQUIRES_HEADERS, until).await;
                return Err(Refused::new(CloseReason::ProtocolViolation, "no_responders without headers"));
            }
            Ok((options, said))
        }
        Ok(Err(text)) => {
            refuse(peer, text, until).await;
            Err(Refused::new(CloseReason::ProtocolViolation, text))
        }
        Err(refused) => {
            if refused.reason == CloseReason::AuthenticationTimeout {
                refuse(peer, wire::text::LOGIN_UNDECIDED, Instant::now() + Duration::from_millis(100)).await;
            }
            if refused.reason == CloseReason::ProtocolViolation {
                refuse(peer, wire::text::MAX_CONTROL_LINE_EXCEEDED, until).await;
            }
            Err(refused)
        }
    }
}

fn establish(
    core: &Arc<Core>,
    listener: &Listener,
    mut peer: Greeted,
    caller: &Caller<'_>,
    options: &ConnectOptions,
    admission: Admission,
) -> Task {
    let Admission { grant, follower } = admission;
    let Caller { id, address, .. } = *caller;
    tracing::debug!(conn = id, %address, identity = %grant.identity, lang = options.lang.as_deref(), "connection established");
    // Who is in a space of its own is not told what accounts are called inside.
    let told = options.protocol >= 1 && !grant.isolate_inbox;
    let welcome = told.then(|| {
        let account = grant.account.to_string();
        let acc_is_sys = core.system_account.get().is_some_and(|name| **name == *account);
        let first = info(core, listener, caller);
        let info = ServerInfo { connect_info: true, remote_account: Some(account), acc_is_sys, ..first };
        info.to_line().into_boxed_slice()
    });
    let conn = Arc::new(Conn::new(ConnParts {
        id,
        kind: Kind::Client,
        outbox: core.outbox(false),
        pipe: peer.pipe.clone(),
        account: core.account(&grant.account),
        inbox: grant.isolate_inbox.then(|| Box::new(InboxSpace::new(&core.inboxes))),
        grant,
        features: Features {
            echo: options.echo,
            headers: options.headers && core.limits.headers,
            no_responders: options.no_responders,
            verbose: options.verbose,
            pedantic: options.pedantic,
            async_info: options.protocol >= 1,
        },
        about: About {
            address: Some(address),
            name: options.name.as_deref().map(Into::into),
            lang: options.lang.as_deref().map(Into::into),
            version: options.version.as_deref().map(Into::into),
            tls_version: peer.tls_version,
            tls_cipher: peer.tls_cipher,
            websocket: peer.websocket.is_some(),
            start: SystemTime::now(),
        },
        max_pending_replies: core.limits.max_pending_replies,
    }));
    core.register(&conn);
    if let Some(follower) = follower {
        conn.follow(follower);
    }
    if core.draining.load(Ordering::SeqCst) {
        // It came in after the others had been counted.
        conn.request_close(CloseReason::ServerShutdown);
    }
    let mut client = ClientSession::new(core.clone(), conn);
    client.welcome = welcome;
    let session = Session::Client(Box::new(client));
    let kept = std::mem::take(&mut peer.kept);
    Task::new(core.clone(), session, Source::of(peer), kept, listener.config.link_hold)
}
