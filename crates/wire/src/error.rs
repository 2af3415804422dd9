//! Why a peer's bytes could not be read. Every one of these is the peer's doing and ends the connection.

use std::fmt;

use crate::text;

/// The operation a [`ParseError`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// `PUB`
    Pub,
    /// `HPUB`
    Hpub,
    /// `SUB`
    Sub,
    /// `UNSUB`
    Unsub,
    /// `CONNECT`
    Connect,
    /// `INFO`
    Info,
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `-ERR`
    Err,
    /// `LS+`
    LeafSub,
    /// `LS-`
    LeafUnsub,
    /// `LMSG`
    Lmsg,
    /// `HMSG`
    Hmsg,
    /// `RS+`
    RemoteSub,
    /// `RS-`
    RemoteUnsub,
    /// `A+`
    AccountSub,
    /// `A-`
    AccountUnsub,
    /// `RMSG`
    Rmsg,
}

impl Verb {
    /// The verb in the spelling of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pub => "PUB",
            Self::Hpub => "HPUB",
            Self::Sub => "SUB",
            Self::Unsub => "UNSUB",
            Self::Connect => "CONNECT",
            Self::Info => "INFO",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Ok => "+OK",
            Self::Err => "-ERR",
            Self::LeafSub => "LS+",
            Self::LeafUnsub => "LS-",
            Self::Lmsg => "LMSG",
            Self::Hmsg => "HMSG",
            Self::RemoteSub => "RS+",
            Self::RemoteUnsub => "RS-",
            Self::AccountSub => "A+",
            Self::AccountUnsub => "A-",
            Self::Rmsg => "RMSG",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a peer's bytes. None of the variants carries bytes of the peer, so that
/// none can carry a secret into a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The control line does not end within the limit.
    #[error("control line too long")]
    ControlLineTooLong,
    /// The announced payload is above the limit. Raised before the payload arrives.
    #[error("payload of {size} bytes, at most {max} allowed")]
    PayloadTooLarge {
        /// Announced size in bytes, headers included.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The line starts with no verb of this protocol.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// Too few or too many arguments, or a carriage return inside the line.
    #[error("{0}: malformed arguments")]
    Syntax(Verb),
    /// A size, weight or count that is not a decimal number in range.
    #[error("{0}: bad number")]
    BadNumber(Verb),
    /// The header length is above the total length.
    #[error("{0}: header larger than the total size")]
    HeaderLargerThanTotal(Verb),
    /// The payload is not followed by CR LF.
    #[error("{0}: payload not terminated by CR LF")]
    MissingPayloadTerminator(Verb),
    /// The JSON of an `INFO` or `CONNECT` does not fit. The column counts bytes from the brace.
    #[error("{verb}: invalid JSON at column {column}")]
    InvalidJson {
        /// `CONNECT` or `INFO`.
        verb: Verb,
        /// Where reading stopped, from 1; 0 when unknown.
        column: usize,
    },
}

impl ParseError {
    /// The text of the `-ERR` to send before closing, in the words stock clients know.
    #[must_use]
    pub const fn client_text(&self) -> &'static str {
        match self {
            Self::ControlLineTooLong => text::MAX_CONTROL_LINE_EXCEEDED,
            Self::PayloadTooLarge { .. } => text::MAX_PAYLOAD_VIOLATION,
            Self::UnknownOperation | Self::MissingPayloadTerminator(_) => text::UNKNOWN_PROTOCOL_OPERATION,
            Self::Syntax(_) | Self::BadNumber(_) | Self::HeaderLargerThanTotal(_) => text::PARSER_ERROR,
            Self::InvalidJson { .. } => text::PARSER_ERROR,
        }
    }
}
