//! What a connection was given when it proved who it is: identity, rights, quotas, expiry.

use std::sync::Arc;

use crate::rights::Rights;

/// The account used when nothing assigns another one (the name nats-server gives its global account).
pub const DEFAULT_ACCOUNT: &str = "$G";

/// The answer to "who is this and what may they do". Immutable: renewal, revocation and policy reload
/// replace the whole value in the session.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Name shown in logs and `/connz`. Holds no secret.
    pub identity: Arc<str>,
    /// Account whose subjects the connection sees; [`DEFAULT_ACCOUNT`] unless configured otherwise.
    pub account: Arc<str>,
    /// What may be published, subscribed to and delivered.
    pub rights: Rights,
    /// Upper bounds on what the connection may use.
    pub quotas: Quotas,
    /// When the grant ends, in seconds since the Unix epoch; `None` when it does not end by itself.
    pub expires_at: Option<u64>,
    /// Whether reply subjects are moved into a space of this connection alone.
    pub isolate_inbox: bool,
    /// Verified origin, for stamping messages; `None` when no token or certificate names one.
    pub provenance: Option<Provenance>,
    /// Names of the roles that were united into `rights` and `quotas`.
    pub roles: Vec<Arc<str>>,
}

impl Grant {
    /// A grant without any limit, for listeners that do not authenticate and for in-process use.
    #[must_use]
    pub fn unrestricted(identity: &str) -> Self {
        Self {
            identity: identity.into(),
            account: DEFAULT_ACCOUNT.into(),
            rights: Rights::unrestricted(),
            quotas: Quotas::default(),
            expires_at: None,
            isolate_inbox: false,
            provenance: None,
            roles: Vec::new(),
        }
    }

    /// Whether the grant has ended at `now` (seconds since the Unix epoch).
    #[must_use]
    pub fn expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

/// Where a connection's identity was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The subject the issuer vouches for: the token's `sub`, or the name in the certificate.
    pub subject: Arc<str>,
    /// The token's `iss`, or the certificate's issuer.
    pub issuer: Arc<str>,
    /// When the identity was verified, in seconds since the Unix epoch.
    pub auth_time: u64,
}

/// Upper bounds for one identity. `None` leaves the server's own limit in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Subscriptions held at once by one connection.
    pub subscriptions: Option<u32>,
    /// Largest payload of one message, headers included, in bytes.
    pub payload: Option<u32>,
    /// Connections held at once by the identity.
    pub connections: Option<u32>,
    /// Messages published per second.
    pub messages_per_second: Option<u64>,
    /// Bytes published per second, headers included.
    pub bytes_per_second: Option<u64>,
}
