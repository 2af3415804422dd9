//! One connection as everybody else sees it: where to send, what it may get, what is known about it.
//!
//! The connection's own task keeps what only it needs (see [`crate::session`]); what others touch is here.

mod rights;
mod subs;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use identity::Grant;
use parking_lot::Mutex;

use crate::account::Account;
use crate::follow::Follower;
use crate::handler::Seat;
use crate::import::Import;
use crate::inbox::InboxSpace;
use crate::link::Link;
use crate::outbox::{Appended, Load, Outbox, Pipe};
use crate::replies::Replies;
use crate::usage::Usage;

use rights::First;

pub(crate) use subs::SubTable;

/// What kind of peer a connection has: decides how messages are framed for it.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A client: `MSG subject sid …`.
    Client,
    /// A leafnode link: `LMSG subject …`.
    Link(Arc<Link>),
    /// Code in this process: framed as for a link, read by [`crate::local::LocalClient`].
    Local,
    /// Code in this process that is called with what comes: see [`crate::handler`].
    Handler(Box<Seat>),
    /// Not a peer: stands for a link that is down, so that publishers to its routes are held.
    Gate,
    /// Not a peer: a way into another account (see [`crate::import`]).
    Import(Arc<Import>),
}

/// Why a connection ends, as logs and metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum CloseReason {
    ClientClosed = 1,
    SlowConsumer,
    WriteDeadline,
    StaleConnection,
    AuthenticationTimeout,
    AuthenticationFailed,
    AuthenticationExpired,
    ProtocolViolation,
    MaximumPayload,
    MaximumConnections,
    MaximumSubscriptions,
    TlsHandshake,
    ServerShutdown,
    Overloaded,
    LinkUnavailable,
    Kicked,
    Replaced,
    LoopDetected,
    LinkRefused,
    Panicked,
    Io,
    /// The credentials were revoked.
    Revoked,
    /// The policy of now gives the identity nothing.
    RightsWithdrawn,
    /// The identity has as many connections as it may have.
    MaximumIdentityConnections,
    /// It would not let others get in: given up before login in their favour.
    Crowded,
}

impl CloseReason {
    /// Every reason, in order.
    pub const ALL: [Self; 25] = [
        Self::ClientClosed,
        Self::SlowConsumer,
        Self::WriteDeadline,
        Self::StaleConnection,
        Self::AuthenticationTimeout,
        Self::AuthenticationFailed,
        Self::AuthenticationExpired,
        Self::ProtocolViolation,
        Self::MaximumPayload,
        Self::MaximumConnections,
        Self::MaximumSubscriptions,
        Self::TlsHandshake,
        Self::ServerShutdown,
        Self::Overloaded,
        Self::LinkUnavailable,
        Self::Kicked,
        Self::Replaced,
        Self::LoopDetected,
        Self::LinkRefused,
        Self::Panicked,
        Self::Io,
        Self::Revoked,
        Self::RightsWithdrawn,
        Self::MaximumIdentityConnections,
        Self::Crowded,
    ];

    /// A stable name for logs, metrics and `/connz`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::SlowConsumer => "slow_consumer",
            Self::WriteDeadline => "write_deadline",
            Self::StaleConnection => "stale_connection",
            Self::AuthenticationTimeout => "authentication_timeout",
            Self::AuthenticationFailed => "authentication_failed",
            Self::AuthenticationExpired => "authentication_expired",
            Self::ProtocolViolation => "protocol_violation",
            Self::MaximumPayload => "maximum_payload",
            Self::MaximumConnections => "maximum_connections",
            Self::MaximumSubscriptions => "maximum_subscriptions",
            Self::TlsHandshake => "tls_handshake",
            Self::ServerShutdown => "server_shutdown",
            Self::Overloaded => "overloaded",
            Self::LinkUnavailable => "link_unavailable",
            Self::Kicked => "kicked",
            Self::Replaced => "replaced",
            Self::LoopDetected => "loop_detected",
            Self::LinkRefused => "link_refused",
            Self::Panicked => "panicked",
            Self::Io => "io",
            Self::Revoked => "revoked",
            Self::RightsWithdrawn => "rights_withdrawn",
            Self::MaximumIdentityConnections => "maximum_identity_connections",
            Self::Crowded => "crowded",
        }
    }

    fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == value)
    }
}

/// What a client asked for in CONNECT, and what is told about it to operators.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The peer's address.
    pub(crate) address: Option<SocketAddr>,
    /// The name the peer gave itself.
    pub(crate) name: Option<Box<str>>,
    /// The client library.
    pub(crate) lang: Option<Box<str>>,
    /// Its version.
    pub(crate) version: Option<Box<str>>,
    /// Negotiated TLS version, where there is TLS.
    pub(crate) tls_version: Option<&'static str>,
    /// Negotiated TLS cipher suite.
    pub(crate) tls_cipher: Option<&'static str>,
    /// Whether it speaks WebSocket.
    pub(crate) websocket: bool,
    /// When the connection was accepted.
    pub(crate) start: SystemTime,
}

impl About {
    /// What is known of a client that has not logged in.
    pub(crate) fn of_stranger(address: SocketAddr, websocket: bool) -> Self {
        Self {
            address: Some(address),
            name: None,
            lang: None,
            version: None,
            tls_version: None,
            tls_cipher: None,
            websocket,
            start: SystemTime::now(),
        }
    }

    /// What is told about code in this process.
    pub(crate) fn of_this_process(name: &str) -> Self {
        Self {
            address: None,
            name: Some(name.into()),
            lang: None,
            version: None,
            tls_version: None,
            tls_cipher: None,
            websocket: false,
            start: SystemTime::now(),
        }
    }
}

/// What a client's CONNECT switched on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    pub(crate) echo: bool,
    pub(crate) headers: bool,
    pub(crate) no_responders: bool,
    pub(crate) verbose: bool,
    /// Wants to be told of subjects that are none.
    pub(crate) pedantic: bool,
    /// Understands INFO at any time.
    pub(crate) async_info: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            echo: true,
            headers: true,
            no_responders: false,
            verbose: false,
            pedantic: false,
            async_info: false,
        }
    }
}

/// The shared half of a connection.
pub(crate) struct Conn {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) outbox: Outbox,
    pipe: Arc<dyn Pipe>,
    pub(crate) account: Arc<Account>,
    pub(super) grant: ArcSwap<Grant>,
    /// What to know of the rights it began with.
    first: First,
    /// How often the rights were replaced. Subscriptions let in by earlier ones are asked about on delivery.
    pub(super) grants: AtomicU32,
    pub(crate) features: Features,
    pub(crate) inbox: Option<Box<InboxSpace>>,
    pub(crate) replies: Replies,
    pub(crate) subs: Mutex<SubTable>,
    pub(crate) about: Box<About>,
    /// Who decides about the rights while the connection lives.
    pub(crate) follower: OnceLock<Arc<dyn Follower>>,
    /// What its identity uses, where that is counted.
    pub(crate) usage: OnceLock<Arc<Usage>>,
    /// A renewal is under way: one at a time.
    pub(crate) renewing: AtomicBool,
    pub(crate) in_messages: AtomicU64,
    pub(crate) in_bytes: AtomicU64,
    /// Milliseconds since `epoch` when something was last read.
    pub(crate) active_ms: AtomicU64,
    pub(crate) rtt_micros: AtomicU32,
    closing: AtomicU8,
    pub(crate) epoch: Instant,
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What a connection is made from.
pub(crate) struct ConnParts {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) outbox: Outbox,
    pub(crate) pipe: Arc<dyn Pipe>,
    pub(crate) account: Arc<Account>,
    pub(crate) grant: Arc<Grant>,
    pub(crate) features: Features,
    pub(crate) inbox: Option<Box<InboxSpace>>,
    pub(crate) about: About,
    pub(crate) max_pending_replies: usize,
}

impl Conn {
    pub(crate) fn new(parts: ConnParts) -> Self {
        Self {
            id: parts.id,
            kind: parts.kind,
            outbox: parts.outbox,
            pipe: parts.pipe,
            account: parts.account,
            first: First::of(&parts.grant.rights),
            grant: ArcSwap::new(parts.grant),
            grants: AtomicU32::new(0),
            features: parts.features,
            inbox: parts.inbox,
            replies: Replies::new(parts.max_pending_replies),
            subs: Mutex::new(SubTable::default()),
            about: Box::new(parts.about),
            follower: OnceLock::new(),
            usage: OnceLock::new(),
            renewing: AtomicBool::new(false),
            in_messages: AtomicU64::new(0),
            in_bytes: AtomicU64::new(0),
            active_ms: AtomicU64::new(0),
            rtt_micros: AtomicU32::new(0),
            closing: AtomicU8::new(0),
            epoch: Instant::now(),
        }
    }

    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        match &self.kind {
            Kind::Link(link) => Some(link),
            _ => None,
        }
    }

    pub(crate) fn is_handler(&self) -> bool {
        matches!(self.kind, Kind::Handler(_))
    }

    pub(crate) fn is_client(&self) -> bool {
        matches!(self.kind, Kind::Client)
    }

    /// Queues what `write` appends.
    pub(crate) fn append(&self, load: Load, write: impl FnOnce(&mut Vec<u8>)) -> Appended {
        self.outbox.append(load, write)
    }

    /// Queues protocol lines that are no messages, and writes them at once.
    pub(crate) fn send_now(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.outbox.append(Load::default(), write) == Appended::Flush {
            self.flush();
        }
    }

    /// Sends a line before the messages that wait, where that is possible.
    pub(crate) fn send_ahead(&self, line: &[u8]) {
        if self.outbox.append_ahead(line) == Appended::Flush {
            self.flush();
        }
    }

    /// Writes a last line: behind what is queued, or, when that was given up, for what it is worth.
    pub(crate) fn last_words(&self, line: &[u8]) {
        match self.outbox.append(Load::default(), |out| out.extend_from_slice(line)) {
            Appended::Closed => {
                // Whether it arrives nobody can do anything about.
                drop(self.pipe.try_write(line).and_then(|_| self.pipe.try_flush()));
            }
            _ => self.flush(),
        }
    }

    pub(crate) fn send(&self, block: &[u8], load: Load) -> Appended {
        self.outbox.send(&*self.pipe, block, load)
    }

    pub(crate) fn flush(&self) {
        self.outbox.flush(&*self.pipe);
    }

    pub(crate) fn unblock(&self) {
        self.outbox.unblock(&*self.pipe);
    }

    /// Asks the connection's task to end it; the first reason stands, and whether this was it is the answer.
    pub(crate) fn request_close(&self, reason: CloseReason) -> bool {
        let asked = self.closing.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
        tracing::trace!(conn = self.id, reason = reason.name(), first = asked.is_ok(), "close requested");
        self.outbox.wake_owner();
        asked.is_ok()
    }

    pub(crate) fn close_requested(&self) -> Option<CloseReason> {
        CloseReason::from_u8(self.closing.load(Ordering::Relaxed))
    }

    /// Whether an answer may be owed over a link, or is a right of its own: then replies are noted.
    pub(crate) fn tracks_replies(&self, origin: &Self) -> bool {
        self.is_client() && (origin.link().is_some_and(|link| link.is_filtered()) || self.answers_by_right())
    }

    /// The last round trip measured.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        let micros = self.rtt_micros.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(u64::from(micros)))
    }

    pub(crate) fn count_in(&self, messages: u64, bytes: u64) {
        self.in_messages.fetch_add(messages, Ordering::Relaxed);
        self.in_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn touch(&self, now: Instant) {
        let ms = now.saturating_duration_since(self.epoch).as_millis();
        self.active_ms.store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
