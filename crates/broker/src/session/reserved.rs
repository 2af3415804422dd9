//! Subjects between a client and this server alone: they are never routed, whatever rights a client has.
//!
//! A client publishes a fresh token to [`RENEW_SUBJECT`] and is answered on its reply subject; it subscribes to
//! [`EXPIRING_SUBJECT`] to be told in time. Neither needs a right, and nobody else hears of it.

use std::sync::Arc;

use serde_json::json;
use wire::client::Publish;

use super::client::Flow;
use super::{ClientSession, Work};
use crate::conn::Conn;
use crate::follow::NotRenewed;
use crate::subscription::{Sub, Subscription};

/// Where a client publishes a fresh token.
pub const RENEW_SUBJECT: &str = "$GATEHOUSE.AUTH.RENEW";

/// Where a client is told that its rights are about to end.
pub const EXPIRING_SUBJECT: &str = "$GATEHOUSE.AUTH.EXPIRING";

const PREFIX: &[u8] = b"$GATEHOUSE.";

/// Largest token taken for renewal, whatever payload the rights allow; in bytes.
pub(crate) const MAX_TOKEN: usize = 32 * 1024;

/// Whether a subject, or all that a pattern can match, belongs to the server.
pub(crate) fn is_reserved(subject: &[u8]) -> bool {
    subject.starts_with(PREFIX)
}

/// A token a client wants to go on with.
#[derive(Debug)]
pub(crate) struct RenewalRequest {
    /// Not shown: it is a credential.
    pub(crate) token: Token,
    /// Where the answer is wanted, as the client knows it; empty when nowhere.
    pub(crate) reply: Box<[u8]>,
}

/// A credential; `Debug` shows its length alone.
pub(crate) struct Token(pub(crate) Box<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

impl ClientSession {
    /// A message to this server.
    pub(super) fn reserved(&self, publish: &Publish<'_>, work: &mut Work) -> Flow {
        self.conn.count_in(1, publish.payload.len() as u64);
        if publish.subject != RENEW_SUBJECT.as_bytes() {
            self.core.counters.publish_denied.add(1);
            self.complain(&wire::text::publish_violation(publish.subject));
            return Flow::Next;
        }
        match self.renewal(publish) {
            Ok(request) => work.renewal = Some(request),
            Err(refused) => answer(&self.conn, publish.reply, Err(&refused)),
        }
        self.confirm(work);
        Flow::Next
    }

    fn renewal(&self, publish: &Publish<'_>) -> Result<RenewalRequest, NotRenewed> {
        let refused = |reason| NotRenewed { reason, detail: String::new() };
        let token = publish.payload.get(publish.header_len..).unwrap_or_default();
        let token = std::str::from_utf8(token).map(str::trim).map_err(|_| refused("malformed"))?;
        if token.is_empty() || publish.payload.len() > MAX_TOKEN {
            return Err(refused("malformed"));
        }
        if self.conn.follower.get().is_none() {
            return Err(refused("not_renewable"));
        }
        if self.conn.renewing.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return Err(refused("busy"));
        }
        Ok(RenewalRequest { token: Token(token.into()), reply: publish.reply.into() })
    }

    /// A subscription to what this server says: kept by the connection, known to nobody else.
    pub(super) fn subscribe_reserved(&self, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> Flow {
        if !subject::matches(subject, EXPIRING_SUBJECT.as_bytes()) {
            self.core.counters.subscribe_denied.add(1);
            self.complain(&wire::text::subscription_violation(subject, queue));
            return Flow::Next;
        }
        let mut subs = self.conn.subs.lock();
        if subs.get(sid).is_none() {
            if self.is_full(&subs, self.conn.grant().quotas.subscriptions) {
                drop(subs);
                self.complain(wire::text::MAX_SUBSCRIPTIONS_EXCEEDED);
                return Flow::Next;
            }
            subs.insert(Sub(Arc::new(Subscription::new(self.conn.clone(), subject, queue, sid))));
        }
        drop(subs);
        self.confirm_now();
        Flow::Next
    }
}

/// Tells the client how its renewal went: JSON on its reply subject, or an error line where it asked for no answer.
pub(crate) fn answer(conn: &Conn, reply: &[u8], outcome: Result<(), &NotRenewed>) {
    let document = match outcome {
        Ok(()) => json!({ "ok": true, "expires_at": conn.grant().expires_at }),
        Err(refused) => json!({ "ok": false, "error": refused.reason }),
    };
    let told = !reply.is_empty() && conn.tell(reply, document.to_string().as_bytes());
    if !told && outcome.is_err() {
        // Of the texts clients know, this is the one none of them ends its connection for.
        let text = wire::text::publish_violation(RENEW_SUBJECT.as_bytes());
        conn.send_now(|out| wire::encode::error_line(out, &text));
    }
}

/// Tells the client that its rights end at `expires_at` (seconds since the Unix epoch), `left` seconds from now.
pub(crate) fn tell_expiring(conn: &Conn, expires_at: u64, left: u64) {
    let document = json!({ "expires_at": expires_at, "expires_in": left, "renew": RENEW_SUBJECT });
    conn.tell(EXPIRING_SUBJECT.as_bytes(), document.to_string().as_bytes());
}
