//! The seam between the broker and what decides who may log in.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use identity::Grant;
use tokio_rustls::rustls::pki_types::CertificateDer;
use wire::info::{ConnectOptions, GatewayConnect, LeafConnect};

use crate::conn::CloseReason;
use crate::follow::Follower;

/// What a peer presents at login.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// What it says it is.
    pub credentials: Credentials<'a>,
    /// Its verified certificate chain, leaf first; empty without TLS or without a client certificate.
    pub certificates: &'a [CertificateDer<'static>],
    /// Where it connects from.
    pub address: SocketAddr,
    /// Whether it speaks WebSocket.
    pub websocket: bool,
    /// The nonce it was given in INFO, for signatures.
    pub nonce: &'a str,
    /// When its time for logging in is over. A decision that can't be made by then is answered a little before, with
    /// [`Denied::later`].
    pub until: Instant,
}

/// The words of the login.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// A client's CONNECT.
    Client(&'a ConnectOptions),
    /// A leafnode's CONNECT.
    Leafnode(&'a LeafConnect),
    /// A gateway's CONNECT.
    Gateway(&'a GatewayConnect),
}

/// A login refused: little to tell the peer, all to log.
#[derive(Debug, Clone)]
pub struct Denied {
    /// One stable word for metrics.
    pub reason: &'static str,
    /// For the log. Never holds a token, password or key.
    pub detail: String,
    /// The error text the peer gets.
    pub text: &'static str,
}

impl Denied {
    /// A refusal in the words stock clients know.
    #[must_use]
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), text: wire::text::AUTHORIZATION_VIOLATION }
    }

    /// No refusal: nobody can say in time who the peer is. It is told so in words after which stock clients come back.
    #[must_use]
    pub fn later(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { text: wire::text::LOGIN_UNDECIDED, ..Self::new(reason, detail) }
    }

    /// Whether the peer was refused for what it presented; `false` after [`Denied::later`].
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.text != wire::text::LOGIN_UNDECIDED
    }
}

/// Somebody let in.
pub struct Admission {
    /// Who it is and what it may do, as of now.
    pub grant: Arc<Grant>,
    /// Who follows the session, where its rights may change while it lives.
    pub follower: Option<Arc<dyn Follower>>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl From<Arc<Grant>> for Admission {
    /// A grant that stays as it is.
    fn from(grant: Arc<Grant>) -> Self {
        Self { grant, follower: None }
    }
}

/// What [`Authenticator::authenticate`] answers with.
pub type Decision<'a> = Pin<Box<dyn Future<Output = Result<Admission, Denied>> + Send + 'a>>;

/// Decides who may log in, and with which rights. May take its time (within the login timeout), and is
/// dropped when the peer goes away.
pub trait Authenticator: Send + Sync + 'static {
    /// Whether clients have to present something; told to them in INFO.
    fn required(&self) -> bool;

    /// A peer was turned away before it could present anything here, such as in the TLS handshake. For those who keep
    /// a record.
    fn turned_away(&self, _address: SocketAddr, _reason: CloseReason, _detail: &str) {}

    /// Whether a link may be compressed before its login, which comes last: whoever shows these verified certificates
    /// is known as far as that goes. Without a certificate nobody is.
    fn knows(&self, certificates: &[CertificateDer<'static>]) -> bool {
        !certificates.is_empty()
    }

    /// Decides about one login.
    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a>;
}

/// Lets everybody in with all rights. For tests, examples and sidecars on loopback.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Authenticator for Open {
    fn required(&self) -> bool {
        false
    }

    fn authenticate<'a>(&'a self, _: Login<'a>) -> Decision<'a> {
        Box::pin(async { Ok(Arc::new(Grant::unrestricted("anonymous")).into()) })
    }
}
