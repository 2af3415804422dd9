//! The error texts of nats-server that stock clients react to, byte for byte (spelling and case as
//! nats-server 2.14 sends them; clients compare without case, scripts and tests do not always), and
//! one that nats-server does not have.

/// Credentials refused. Clients give up after two of these in a row from the same server.
pub const AUTHORIZATION_VIOLATION: &str = "Authorization Violation";
/// The user's token or certificate ran out while connected. Clients reconnect.
pub const USER_AUTHENTICATION_EXPIRED: &str = "User Authentication Expired";
/// The account's credentials ran out while connected.
pub const ACCOUNT_AUTHENTICATION_EXPIRED: &str = "Account Authentication Expired";
/// The user's credentials were revoked while connected.
pub const USER_AUTHENTICATION_REVOKED: &str = "User Authentication Revoked";
/// No `CONNECT` in time: what other servers say, and what we say to links.
pub const AUTHENTICATION_TIMEOUT: &str = "Authentication Timeout";
/// The login was not over in time, whoever was slow, or nobody could decide about it for now. A text that no client
/// knows, on purpose: all of them try again after it, while nats.js takes [`AUTHENTICATION_TIMEOUT`] for a refusal and gives up after the second one.
pub const LOGIN_UNDECIDED: &str = "Login Undecided, Try Again Later";
/// No answer to `PING`s.
pub const STALE_CONNECTION: &str = "Stale Connection";
/// The client does not read fast enough. (nats-server closes such connections silently; its
/// documentation and the client libraries know the text.)
pub const SLOW_CONSUMER: &str = "Slow Consumer";
/// The server takes no more connections.
pub const MAX_CONNECTIONS_EXCEEDED: &str = "maximum connections exceeded";
/// The account takes no more connections.
pub const MAX_ACCOUNT_CONNECTIONS_EXCEEDED: &str = "maximum account active connections exceeded";
/// The connection takes no more subscriptions.
pub const MAX_SUBSCRIPTIONS_EXCEEDED: &str = "maximum subscriptions exceeded";
/// A payload above `max_payload`.
pub const MAX_PAYLOAD_VIOLATION: &str = "Maximum Payload Violation";
/// A control line above `max_control_line`.
pub const MAX_CONTROL_LINE_EXCEEDED: &str = "maximum control line exceeded";
/// Bytes that start with no known verb.
pub const UNKNOWN_PROTOCOL_OPERATION: &str = "Unknown Protocol Operation";
/// A known verb with arguments that make no sense. (nats-server closes such connections silently.)
pub const PARSER_ERROR: &str = "Parser Error";
/// A subscription to something that is no subject.
pub const INVALID_SUBJECT: &str = "Invalid Subject";
/// A publish, by a pedantic client, to something that is no literal subject.
pub const INVALID_PUBLISH_SUBJECT: &str = "Invalid Publish Subject";
/// A client protocol number the server does not know.
pub const INVALID_CLIENT_PROTOCOL: &str = "invalid client protocol";
/// `no_responders` without `headers` in `CONNECT`.
pub const NO_RESPONDERS_REQUIRES_HEADERS: &str = "no responders requires headers support";
/// A plain connection to a port that wants TLS.
pub const SECURE_CONNECTION_REQUIRED: &str = "Secure Connection - TLS Required";
/// `HPUB` from a client that did not announce headers.
pub const HEADERS_NOT_SUPPORTED: &str = "message headers not supported";
/// A header block that cannot be read.
pub const BAD_MESSAGE_HEADER: &str = "bad message header detected";
/// A TLS handshake or login held back because too many are under way; clients retry.
pub const CONNECTION_THROTTLED: &str = "Connection throttling is active. Please try again later.";
/// A client that dialled the leafnode port.
pub const CONNECTED_TO_LEAFNODE_PORT: &str = "attempted to connect to leaf node port";
/// A peer that dialled a port of another kind.
pub const CONNECTED_TO_WRONG_PORT: &str = "attempted to connect to wrong port";
/// A client or a route that dialled the gateway port.
pub const CONNECTED_TO_GATEWAY_PORT: &str = "attempted to connect to gateway port";
/// Both ends of a leafnode connection carry the same cluster name.
pub const LEAFNODE_SAME_CLUSTER_NAME: &str = "remote leafnode has same cluster name";
/// How every answer to a forbidden subject begins; clients keep the connection.
pub const PERMISSIONS_VIOLATION_PREFIX: &str = "Permissions Violation";

/// `Permissions Violation for Publish to "subject"`.
#[must_use]
pub fn publish_violation(subject: &[u8]) -> String {
    quoted("Permissions Violation for Publish to ", subject)
}

/// `Permissions Violation for Publish with Reply of "reply"`.
#[must_use]
pub fn reply_violation(reply: &[u8]) -> String {
    quoted("Permissions Violation for Publish with Reply of ", reply)
}

/// `Permissions Violation for Subscription to "subject"[ using queue "queue"]`.
#[must_use]
pub fn subscription_violation(subject: &[u8], queue: Option<&[u8]>) -> String {
    let text = quoted("Permissions Violation for Subscription to ", subject);
    match queue {
        Some(queue) => quoted(&format!("{text} using queue "), queue),
        None => text,
    }
}

/// `before`, then `bytes` in double quotes; what could end the quote or the line is escaped.
fn quoted(before: &str, bytes: &[u8]) -> String {
    let mut out = String::with_capacity(before.len() + bytes.len() + 2);
    out.push_str(before);
    out.push('"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `Permissions Violation for Publish to "subject" (over its rate)`: in words after which clients keep the connection.
#[must_use]
pub fn quota_violation(subject: &[u8]) -> String {
    format!("{} (over its rate)", publish_violation(subject))
}
