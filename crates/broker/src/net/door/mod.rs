//! Who stands at the door: what connections may cost before they have logged in, in all and by where they come from.
//!
//! A connection that says nothing costs its socket and a small task. Once it speaks it takes a *seat*: seats are
//! bounded in bytes together, and when there is none left, the one that has taken longest gives its up. Logins of one
//! source come no faster than its bucket allows, and guessing gets slower with every failure.

pub(crate) mod network;
pub(crate) mod proxy;
pub(crate) mod seats;
pub(crate) mod sources;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use self::seats::{Seat, Seats};
use self::sources::Sources;
use super::greeting::Refused;
use crate::conn::CloseReason;
use crate::core::Counters;
use crate::limits::Limits;

/// The most a TLS handshake keeps of what the peer has sent (rustls bounds a handshake message), and its own state.
const HANDSHAKE_BYTES: usize = 64 * 1024 + 16 * 1024;

/// What all listeners for clients share.
#[derive(Debug)]
pub(crate) struct Door {
    seats: Arc<Seats>,
    sources: Mutex<Sources>,
}

impl Door {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            seats: Arc::new(Seats::new(limits.max_login_bytes, limits.login_grace)),
            sources: Mutex::new(Sources::new(limits)),
        }
    }

    /// Waits for the source's turn and for a seat, which stands for all memory a login may need.
    pub(crate) async fn sit(
        &self,
        limits: &Limits,
        counters: &Counters,
        address: SocketAddr,
        tls: bool,
        until: Instant,
    ) -> Result<Seat, Refused> {
        let late = |detail: &str| Refused::new(CloseReason::AuthenticationTimeout, detail);
        let pause = self.sources.lock().arrive(address.ip(), std::time::Instant::now());
        pause_until(counters, pause, until).await.map_err(|()| late("too many logins from this source"))?;
        let cost = if tls { HANDSHAKE_BYTES.max(limits.max_connect_line) } else { limits.max_connect_line };
        let seat = tokio::time::timeout_at(until, Seats::take(&self.seats, cost));
        seat.await.map_err(|_| late("too many logins before this one"))
    }

    /// Slows down a source that has been guessing.
    pub(crate) async fn tarpit(&self, counters: &Counters, address: SocketAddr, until: Instant) {
        let pause = self.sources.lock().penalty(address.ip(), std::time::Instant::now());
        // Never until the time for the login is over: whoever is right gets in, only later.
        let _in_time = pause_until(counters, pause, until - Duration::from_millis(500)).await;
    }

    /// Notes a login that was refused for what was presented.
    pub(crate) fn failed(&self, address: SocketAddr) {
        self.sources.lock().failed(address.ip(), std::time::Instant::now());
    }

    /// Bytes set aside for logins under way.
    pub(crate) fn bytes(&self) -> usize {
        self.seats.used()
    }
}

async fn pause_until(counters: &Counters, pause: Duration, until: Instant) -> Result<(), ()> {
    if pause.is_zero() {
        return Ok(());
    }
    counters.logins_slowed.add(1);
    let end = Instant::now() + pause;
    tokio::time::sleep_until(end.min(until)).await;
    if end <= until { Ok(()) } else { Err(()) }
}
