//! `[limits]`.

use std::time::Duration;

use daemon::config::{Period, Size};
use serde::{Deserialize, Serialize};

/// `[limits]`: every bound of the broker; see [`broker::Limits`] for meaning and defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Limits {
    pub max_control_line: Option<Size>,
    pub max_connect_line: Option<Size>,
    pub max_payload: Option<Size>,
    pub max_connections: Option<usize>,
    pub max_subscriptions: Option<usize>,
    pub max_pending: Option<Size>,
    pub stall_at: Option<Size>,
    pub stall_for: Option<Period>,
    pub max_queued_bytes: Option<Size>,
    pub max_queued_messages: Option<usize>,
    pub overload_hold: Option<Period>,
    pub write_deadline: Option<Period>,
    pub auth_timeout: Option<Period>,
    pub tls_timeout: Option<Period>,
    pub ping_interval: Option<Period>,
    pub ping_max: Option<u32>,
    pub handshakes_at_once: Option<usize>,
    pub max_login_bytes: Option<Size>,
    pub login_grace: Option<Period>,
    pub source_logins_per_second: Option<u32>,
    pub source_login_burst: Option<u32>,
    pub failed_logins_free: Option<u32>,
    pub failed_login_delay: Option<Period>,
    pub max_sources: Option<usize>,
    pub quota_hold: Option<Period>,
    pub expiry_notice: Option<Period>,
    pub max_pending_replies: Option<usize>,
    pub max_closed_clients: Option<usize>,
}

impl Limits {
    /// The broker's bounds: its defaults where nothing is configured.
    #[must_use]
    pub fn to_broker(&self) -> broker::Limits {
        let default = broker::Limits::default();
        let size = |size: Option<Size>, default: usize| size.map_or(default, Size::as_usize);
        let time = |time: Option<Period>, default: Duration| time.map_or(default, Duration::from);
        broker::Limits {
            max_control_line: size(self.max_control_line, default.max_control_line),
            max_connect_line: size(self.max_connect_line, default.max_connect_line),
            max_payload: size(self.max_payload, default.max_payload),
            headers: default.headers,
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            max_subscriptions: self.max_subscriptions.unwrap_or(default.max_subscriptions),
            max_pending: size(self.max_pending, default.max_pending),
            stall_at: size(self.stall_at, default.stall_at),
            stall_for: time(self.stall_for, default.stall_for),
            max_queued_bytes: size(self.max_queued_bytes, default.max_queued_bytes),
            max_queued_messages: self.max_queued_messages.unwrap_or(default.max_queued_messages),
            overload_hold: time(self.overload_hold, default.overload_hold),
            write_deadline: time(self.write_deadline, default.write_deadline),
            auth_timeout: time(self.auth_timeout, default.auth_timeout),
            tls_timeout: time(self.tls_timeout, default.tls_timeout),
            ping_interval: time(self.ping_interval, default.ping_interval),
            ping_max: self.ping_max.unwrap_or(default.ping_max),
            handshakes_at_once: self.handshakes_at_once.unwrap_or(default.handshakes_at_once),
            max_login_bytes: size(self.max_login_bytes, default.max_login_bytes),
            login_grace: time(self.login_grace, default.login_grace),
            source_logins_per_second: self
                .source_logins_per_second
                .unwrap_or(default.source_logins_per_second),
            source_login_burst: self.source_login_burst.unwrap_or(default.source_login_burst),
            failed_logins_free: self.failed_logins_free.unwrap_or(default.failed_logins_free),
            failed_login_delay: time(self.failed_login_delay, default.failed_login_delay),
            max_sources: self.max_sources.unwrap_or(default.max_sources),
            quota_hold: time(self.quota_hold, default.quota_hold),
            expiry_notice: time(self.expiry_notice, default.expiry_notice),
            max_pending_replies: self.max_pending_replies.unwrap_or(default.max_pending_replies),
            max_closed_clients: self.max_closed_clients.unwrap_or(default.max_closed_clients),
        }
    }
}
