//! What is written down: the kinds of events, and an event with its members.

use std::fmt;
use std::net::SocketAddr;

use serde_json::{Map, Value};

/// Longest text kept of one member, in bytes; what is longer ends in "…".
pub const MAX_TEXT: usize = 512;

/// Members of one event at most, besides those every line has.
pub const MAX_MEMBERS: usize = 24;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The process began to write.
    Started,
    /// The process ends.
    Stopped,
    /// A peer was let in.
    Login,
    /// A peer was refused.
    Denied,
    /// Refusals that were counted instead of being written one by one.
    DenialsCounted,
    /// A connection was given fresh rights by a fresh token.
    Renewal,
    /// A fresh token was refused.
    RenewalDenied,
    /// A session ended because of what was decided about it: expiry, revocation, policy, a kick.
    SessionClosed,
    /// A session's rights were replaced.
    RightsChanged,
    /// An entry was added to the revocation list.
    Revoked,
    /// An entry was taken out of the revocation list.
    RevocationLifted,
    /// A logout token of an issuer was acted on.
    Logout,
    /// A token was created, by its id.
    TokenCreated,
    /// A token was revoked, by its id.
    TokenRevoked,
    /// A changed configuration is in force.
    PolicyChanged,
    /// A changed configuration was refused, the old one stays.
    PolicyRefused,
    /// Changed certificates, revocation lists or keys are in force.
    CertificatesChanged,
    /// Changed certificates, revocation lists or keys were refused.
    CertificatesRefused,
    /// Somebody used the admin API to change something.
    Admin,
    /// Somebody was refused at the admin API.
    AdminDenied,
    /// Events that could not be written are missing before this line.
    Dropped,
    /// The end of the log was damaged when the process started.
    Recovered,
}

impl Kind {
    /// The name in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Login => "login",
            Self::Denied => "denied",
            Self::DenialsCounted => "denials_counted",
            Self::Renewal => "renewal",
            Self::RenewalDenied => "renewal_denied",
            Self::SessionClosed => "session_closed",
            Self::RightsChanged => "rights_changed",
            Self::Revoked => "revoked",
            Self::RevocationLifted => "revocation_lifted",
            Self::Logout => "logout",
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
            Self::PolicyChanged => "policy_changed",
            Self::PolicyRefused => "policy_refused",
            Self::CertificatesChanged => "certificates_changed",
            Self::CertificatesRefused => "certificates_refused",
            Self::Admin => "admin",
            Self::AdminDenied => "admin_denied",
            Self::Dropped => "dropped",
            Self::Recovered => "recovered",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One event. Never put a token, password or key in one: ids and hashes are what an auditor needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub(super) kind: Kind,
    pub(super) members: Map<String, Value>,
}

impl Event {
    /// An event without members.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, members: Map::new() }
    }

    /// Adds a member: a text (bounded by [`MAX_TEXT`]), a number, a truth value, a list. Members beyond
    /// [`MAX_MEMBERS`], empty texts and nulls are left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = bounded(value.into());
        let empty = value.is_null() || value.as_str().is_some_and(str::is_empty);
        if !empty && self.members.len() < MAX_MEMBERS {
            self.members.insert(name.to_owned(), value);
        }
        self
    }

    /// Adds a member where there is one.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Who it is about.
    #[must_use]
    pub fn identity(self, identity: &str) -> Self {
        self.with("identity", identity)
    }

    /// Who vouches for that.
    #[must_use]
    pub fn issuer(self, issuer: &str) -> Self {
        self.with("issuer", issuer)
    }

    /// Where the peer connects from.
    #[must_use]
    pub fn address(self, address: SocketAddr) -> Self {
        self.with("address", address.to_string())
    }

    /// A stable word that says why.
    #[must_use]
    pub fn reason(self, reason: &str) -> Self {
        self.with("reason", reason)
    }

    /// What happened, in words.
    #[must_use]
    pub fn detail(self, detail: &str) -> Self {
        self.with("detail", detail)
    }

    /// The kind of event.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.members.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > MAX_TEXT => {
            let mut end = MAX_TEXT;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Value::String(format!("{}…", &text[..end]))
        }
        Value::Array(list) => Value::Array(list.into_iter().take(MAX_MEMBERS).map(bounded).collect()),
        Value::Object(_) => Value::Null,
        other => other,
    }
}
