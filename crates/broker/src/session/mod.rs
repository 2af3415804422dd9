//! A connection's protocol, without its socket: bytes in, effects on the broker out.
//!
//! [`ClientSession`] reads what clients send, [`crate::link::session::LinkSession`] what the other end of a
//! leafnode link sends. Both are driven by [`crate::net`] (and by tests) through [`Session::read`].

mod client;
mod external;
mod publish;
mod quota;
pub(crate) mod reserved;
mod subscribe;

use std::sync::Arc;
use std::time::Instant;

pub(crate) use client::ClientSession;

use crate::conn::{CloseReason, Conn};
use crate::link::LinkGroup;
use crate::link::gateway::inbound::GatewayIn;
use crate::link::gateway::outbound::GatewayOut;
use crate::link::session::LinkSession;
use crate::route::{Dirty, Item};

/// Scratch space a thread lends to the session it works for; nothing in it outlives one read batch.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) items: Vec<Item>,
    /// Tails that had to be written anew.
    pub(crate) side: Vec<u8>,
    /// Encoded frames.
    pub(crate) block: Vec<u8>,
    pub(crate) dirty: Dirty,
    /// A fresh token to be verified; at most one a connection at a time.
    pub(crate) renewal: Option<reserved::RenewalRequest>,
}

impl Work {
    /// What is kept of a scratch buffer that one large message has stretched.
    pub(crate) const KEPT: usize = 512 * 1024;

    /// Ready for a read batch, also when the one before ended in a panic: what it had queued is still to be flushed.
    pub(crate) fn begin(&mut self) {
        self.items.clear();
        self.side.clear();
        self.dirty.spent.clear();
        self.dirty.flush();
        self.dirty.full.clear();
        self.renewal = None;
    }

    /// Gives back what an unusually large message took.
    pub(crate) fn shrink(&mut self) {
        for buffer in [&mut self.side, &mut self.block] {
            if buffer.capacity() > Self::KEPT {
                *buffer = Vec::new();
            }
        }
    }
}

/// Why a session stopped reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// All frames are done; a further one needs at least so many bytes in all.
    NeedMore(usize),
    /// Publishing to a link that is down: go on when it is back.
    LinkDown,
    /// Too much is queued on this server: go on when there is room.
    Overload,
    /// The identity is over its rate: go on then.
    Quota(Instant),
    /// The connection is to end.
    Close(CloseReason),
}

/// What one call of [`Session::read`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes done with; the rest is to be given again, with what follows.
    pub(crate) consumed: usize,
    pub(crate) pause: Pause,
}

/// How patient a session still is: set once a pause has lasted too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Patience {
    pub(crate) link_over: bool,
    pub(crate) overload_over: bool,
}

/// A connection's protocol state.
pub(crate) enum Session {
    Client(Box<ClientSession>),
    Link(Box<LinkSession>),
    GatewayIn(Box<GatewayIn>),
    GatewayOut(Box<GatewayOut>),
}

impl Session {
    pub(crate) fn conn(&self) -> &Arc<Conn> {
        match self {
            Self::Client(session) => &session.conn,
            Self::Link(session) => &session.conn,
            Self::GatewayIn(session) => &session.conn,
            Self::GatewayOut(session) => &session.conn,
        }
    }

    /// Works off the frames at the start of `bytes`.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        work: &mut Work,
        patience: Patience,
        now: Instant,
    ) -> Progress {
        match self {
            Self::Client(session) => session.read(bytes, work, patience, now),
            Self::Link(session) => session.read(bytes, work, patience, now),
            Self::GatewayIn(session) => session.read(bytes, work, patience, now),
            Self::GatewayOut(session) => session.read(bytes, now),
        }
    }

    /// Takes note of a PING sent, for the round trip time; says how many are unanswered.
    pub(crate) fn pings(&mut self) -> &mut Pings {
        match self {
            Self::Client(session) => &mut session.pings,
            Self::Link(session) => &mut session.pings,
            Self::GatewayIn(session) => &mut session.pings,
            Self::GatewayOut(session) => &mut session.pings,
        }
    }

    /// Tells the other end of a link what it should know of our interest by now, where it compares.
    pub(crate) fn sum_up(&self) {
        match self {
            Self::Client(_) | Self::GatewayOut(_) => {}
            Self::Link(session) => session.sum_up(),
            Self::GatewayIn(session) => session.sum_up(),
        }
    }

    /// Of a link that messages leave on: those that serve the same routes.
    pub(crate) fn group(&self) -> Option<&Arc<LinkGroup>> {
        match self {
            Self::Client(_) | Self::GatewayIn(_) => None,
            Self::Link(session) => Some(session.group()),
            Self::GatewayOut(session) => Some(session.group()),
        }
    }

    /// The connection is about to end.
    pub(crate) fn going(&mut self) {
        match self {
            Self::Client(_) => {}
            Self::Link(session) => session.going(),
            Self::GatewayIn(session) => session.going(),
            Self::GatewayOut(session) => session.going(),
        }
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn rest(&mut self) {
        match self {
            Self::Client(session) => session.cache.release(),
            Self::Link(session) => session.cache.release(),
            Self::GatewayIn(session) => session.rest(),
            Self::GatewayOut(_) => {}
        }
    }

    pub(crate) fn is_rested(&self) -> bool {
        match self {
            Self::Client(session) => session.cache.is_empty(),
            Self::Link(session) => session.cache.is_empty(),
            Self::GatewayIn(session) => session.is_rested(),
            Self::GatewayOut(_) => true,
        }
    }
}

/// Our PINGs and their answers.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    pub(crate) unanswered: u32,
    /// When the oldest of those without an answer was sent.
    sent: Option<Instant>,
    /// A link that has owed an answer for long.
    pub(crate) silent: bool,
}

impl Pings {
    pub(crate) fn sent(&mut self, now: Instant) {
        self.unanswered += 1;
        self.sent.get_or_insert(now);
    }

    /// One between the others was sent, which does not count when they are.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.sent.get_or_insert(now);
    }

    /// Since when an answer has been owed.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.sent
    }

    pub(crate) fn answered(&mut self, conn: &Conn, now: Instant) {
        self.unanswered = 0;
        if let Some(sent) = self.sent.take() {
            let micros = now.saturating_duration_since(sent).as_micros().max(1);
            conn.rtt_micros
                .store(u32::try_from(micros).unwrap_or(u32::MAX), std::sync::atomic::Ordering::Relaxed);
        }
    }
}
