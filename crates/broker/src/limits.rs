//! Every bound the broker enforces, in one place, each with its unit, default and reason.

use std::time::Duration;

/// Bounds on one server. All are configurable; the defaults suit a machine with a few GiB of memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one control line (everything of a frame up to its first CRLF). Default 4 KiB.
    pub max_control_line: usize,
    /// Bytes of a CONNECT line: tokens travel in it, so it may be longer than others. Default 32 KiB.
    pub max_connect_line: usize,
    /// Bytes of one message, headers included. Default 1 MiB.
    pub max_payload: usize,
    /// Whether clients' messages may have headers. Default true.
    pub headers: bool,
    /// Client connections at once, before and after login. Default 65,536. See
    /// [`crate::Server::limit_connections`].
    pub max_connections: usize,
    /// Subscriptions of one connection; 0 is unlimited. Default 0.
    pub max_subscriptions: usize,
    /// Bytes queued for one connection before it is cut as a slow consumer. Default 64 MiB.
    pub max_pending: usize,
    /// Bytes queued for one connection above which its publishers are held back. Default 256 KiB.
    pub stall_at: usize,
    /// The longest a publisher is held back by one full reader that takes nothing, before that reader is treated as
    /// lagging and no longer waited for until it has caught up. One that keeps reading, only too slowly, is waited
    /// for ten times as long. Default 100 ms.
    pub stall_for: Duration,
    /// Bytes queued for all connections together. Publishers are held back above it. Default 1 GiB.
    pub max_queued_bytes: usize,
    /// Messages queued for all connections together, not yet written. Default 10,000,000.
    pub max_queued_messages: usize,
    /// The longest a publisher is held back by the two limits above before it is refused. Default 5 s.
    pub overload_hold: Duration,
    /// A connection that takes no byte for so long while bytes wait for it is cut. Default 10 s.
    pub write_deadline: Duration,
    /// Time from accept until CONNECT is complete (TLS included). Default 2 s.
    pub auth_timeout: Duration,
    /// Time for the TLS handshake alone. Default 2 s.
    pub tls_timeout: Duration,
    /// Idle time after which a PING is sent. Default 2 min.
    pub ping_interval: Duration,
    /// PINGs without an answer after which the connection is stale. Default 2.
    pub ping_max: u32,
    /// TLS handshakes worked on at once: bounds memory in a connection storm. A peer that does not go on at once makes
    /// room for others after 20 ms. Default 32.
    pub handshakes_at_once: usize,
    /// Bytes set aside for all clients that have begun to log in: 80 KiB each with TLS, else `max_connect_line`.
    /// Default 128 MiB.
    pub max_login_bytes: usize,
    /// When all of that is taken, a client that has taken longer than this gives up its place. Default 250 ms.
    pub login_grace: Duration,
    /// Logins one source (an IPv4 address, an IPv6 /64) may begin per second, in the long run. Default 1,000.
    pub source_logins_per_second: u32,
    /// Logins one source may begin at once. Default 10,000.
    pub source_login_burst: u32,
    /// Refused logins of one source that cost it nothing; one is forgotten every 10 s. Default 10.
    pub failed_logins_free: u32,
    /// Each further one makes its next decision take twice as long, from 50 ms up to this. Default 1 s.
    pub failed_login_delay: Duration,
    /// Sources remembered; all others together count as one. Default 16,384.
    pub max_sources: usize,
    /// The longest a publisher over its rate is held back without catching up, before its messages are refused.
    /// Default 5 s.
    pub quota_hold: Duration,
    /// How long before its rights end a client is told, on [`crate::EXPIRING_SUBJECT`]; but not before half of their
    /// time is over. Zero: not at all. Default 1 min.
    pub expiry_notice: Duration,
    /// Distinct replies one connection may owe at a time (rights to answer); 16 times as many an account to others that
    /// import its services. Default 4,096.
    pub max_pending_replies: usize,
    /// Clients remembered after they have ended, for `/connz?state=closed`; some 400 bytes each. Default 10,000.
    pub max_closed_clients: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_control_line: 4096,
            max_connect_line: 32 * 1024,
            max_payload: 1024 * 1024,
            headers: true,
            max_connections: 65_536,
            max_subscriptions: 0,
            max_pending: 64 * 1024 * 1024,
            stall_at: 256 * 1024,
            stall_for: Duration::from_millis(100),
            max_queued_bytes: 1024 * 1024 * 1024,
            max_queued_messages: 10_000_000,
            overload_hold: Duration::from_secs(5),
            write_deadline: Duration::from_secs(10),
            auth_timeout: Duration::from_secs(2),
            tls_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            handshakes_at_once: 32,
            max_login_bytes: 128 * 1024 * 1024,
            login_grace: Duration::from_millis(250),
            source_logins_per_second: 1_000,
            source_login_burst: 10_000,
            failed_logins_free: 10,
            failed_login_delay: Duration::from_secs(1),
            max_sources: 16_384,
            quota_hold: Duration::from_secs(5),
            expiry_notice: Duration::from_secs(60),
            max_pending_replies: 4096,
            max_closed_clients: 10_000,
        }
    }
}

impl Limits {
    /// The part the parser enforces, for a connection that has logged in.
    #[must_use]
    pub fn wire(&self) -> wire::Limits {
        wire::Limits { max_control_line: self.max_control_line, max_payload: self.max_payload }
    }
}
