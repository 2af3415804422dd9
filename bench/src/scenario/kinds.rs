//! What scenarios differ in: doors, tokens, durability, connections at rest; and the words for them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

/// How a client port is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// TCP, anybody.
    Plain,
    /// TLS with a server certificate, anybody.
    Tls,
    /// TLS with a server certificate, clients show a token.
    TlsToken,
    /// TLS with certificates on both sides.
    Mtls,
    /// TCP, anybody, with permissions.
    Rights,
}

/// What clients show at a door that asks for bearer tokens, over TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// A token each server keeps itself: ours an opaque one, nats-server its configured one.
    Plain,
    /// A JWT signed with ES256: ours verifies it, nats-server asks a responder (auth callout).
    Es256,
    /// The same with RS256.
    Rs256,
}

/// What an acknowledgement of a stored message means, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// As each server does it by default: ours has it on disk, nats-server forces it there every two minutes.
    Default,
    /// On disk, on both sides.
    Disk,
    /// Forced to disk every two minutes, on both sides.
    Interval,
}

/// Where a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On disk, acknowledged like this.
    File(Durability),
    /// In memory.
    Memory,
}

/// What idle connections are held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdleKind {
    /// Logged in over TCP.
    Plain,
    /// Logged in over TLS with a client certificate.
    Mtls,
    /// Logged in at the door for tokens, over TLS, with a JWT.
    Token,
    /// TCP is open, the client has not said a word.
    Silent,
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "file" => Self::File(Durability::Default),
            "sync" => Self::File(Durability::Disk),
            "interval" => Self::File(Durability::Interval),
            "memory" => Self::Memory,
            _ => bail!("unknown place {name:?}: file, sync, interval or memory"),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(Durability::Default) => "file",
            Self::File(Durability::Disk) => "sync",
            Self::File(Durability::Interval) => "interval",
            Self::Memory => "memory",
        })
    }
}

impl Place {
    /// What an acknowledgement means there.
    pub(crate) fn durability(self) -> Durability {
        match self {
            Self::File(durability) => durability,
            Self::Memory => Durability::Default,
        }
    }
}

impl FromStr for Bearer {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "token" => Self::Plain,
            "es256" => Self::Es256,
            "rs256" => Self::Rs256,
            _ => bail!("unknown token {name:?}: token, es256 or rs256"),
        })
    }
}

impl fmt::Display for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "token",
            Self::Es256 => "es256",
            Self::Rs256 => "rs256",
        })
    }
}

impl FromStr for Security {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "plain" => Self::Plain,
            "tls" => Self::Tls,
            "tls-token" => Self::TlsToken,
            "mtls" => Self::Mtls,
            "rights" => Self::Rights,
            _ => bail!("unknown security {name:?}: plain, tls, tls-token, mtls or rights"),
        })
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::TlsToken => "tls-token",
            Self::Mtls => "mtls",
            Self::Rights => "rights",
        })
    }
}

impl FromStr for IdleKind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "plain" => Self::Plain,
            "mtls" => Self::Mtls,
            "token" => Self::Token,
            "silent" => Self::Silent,
            _ => bail!("unknown kind of idle connection {name:?}: plain, mtls, token or silent"),
        })
    }
}

impl fmt::Display for IdleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Mtls => "mtls",
            Self::Token => "token",
            Self::Silent => "silent",
        })
    }
}
