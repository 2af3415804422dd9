//! Sessions that live: what follows one from login to its end, and what it can do to it meanwhile.
//!
//! Rights are decided at login and again whenever a policy, a key, a revocation list or the token changes. Whoever
//! decides gives a [`Follower`] with each admission; the broker hands it a [`SessionHandle`] when the session begins.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use identity::Grant;

use crate::conn::{CloseReason, Conn};

/// Follows one session.
pub trait Follower: Send + Sync + 'static {
    /// The session begins; nothing it said has been worked off yet.
    fn opened(self: Arc<Self>, session: SessionHandle);

    /// The session has ended.
    fn closed(&self);

    /// The rights have ended. `true` when the session goes on for a while all the same, with rights that have been
    /// replaced before this returns.
    fn expired(&self) -> bool {
        false
    }

    /// The client shows a fresh token. On success the rights have been replaced when the future ends.
    fn renew(self: Arc<Self>, token: Box<str>) -> Renewal;
}

/// What [`Follower::renew`] answers with. Bounded in time by the broker.
pub type Renewal = Pin<Box<dyn Future<Output = Result<(), NotRenewed>> + Send>>;

/// A renewal refused; the session goes on with the rights it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRenewed {
    /// One stable word, told to the client.
    pub reason: &'static str,
    /// For the log. Never holds the token.
    pub detail: String,
}

/// A live session, from outside. Holds nothing of it alive: what is asked of one that has ended does nothing.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    id: u64,
    address: Option<SocketAddr>,
    conn: Weak<Conn>,
}

impl SessionHandle {
    pub(crate) fn new(conn: &Arc<Conn>) -> Self {
        Self { id: conn.id, address: conn.about.address, conn: Arc::downgrade(conn) }
    }

    /// The connection's number, as in `/connz` and the log.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where the client is: through a trusted proxy, what the proxy says.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What it may do now; `None` when it has ended.
    #[must_use]
    pub fn grant(&self) -> Option<Arc<Grant>> {
        let conn = self.conn.upgrade().filter(|conn| conn.close_requested().is_none())?;
        Some(arc_swap::Guard::into_inner(conn.grant()))
    }

    /// Replaces its rights: from now on nothing is published, subscribed or delivered that they do not allow.
    /// Subscriptions they do not allow end with an error told to the client; their number is the answer.
    pub fn set_grant(&self, grant: Arc<Grant>) -> usize {
        self.conn.upgrade().map_or(0, |conn| conn.set_grant(grant))
    }

    /// Ends it; the client is told the text that belongs to the reason. Nothing more is delivered to it or taken
    /// from it. `false` when it had ended already, or was about to.
    pub fn close(&self, reason: CloseReason) -> bool {
        self.conn.upgrade().is_some_and(|conn| conn.cut_off(reason))
    }

    /// Sends a message to this client alone, on its own subscriptions to `subject`. `false` when it has none.
    pub fn deliver(&self, subject: &str, payload: &[u8]) -> bool {
        self.conn.upgrade().is_some_and(|conn| conn.tell(subject.as_bytes(), payload))
    }
}
