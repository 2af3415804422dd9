//! The end of a connection: what it is told, and how long it is listened to.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;

use super::Task;
use crate::conn::CloseReason;

/// How long a closing connection may take to be told why.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long, and how much, a closing connection reads on.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_BYTES: usize = 4 * 1024 * 1024;
impl Task {
    /// Tells the peer why, and gives what is queued a moment to leave.
    pub(super) async fn say_goodbye(&mut self, reason: CloseReason) {
        let conn = self.conn().clone();
        // From now on messages go to others: what is handed to a connection that closes would be lost.
        self.session.going();
        self.core.withdraw(&conn);
        if let Some(text) = last_words(reason, conn.about.lang.as_deref()) {
            let mut line = Vec::new();
            wire::encode::error_line(&mut line, text);
            conn.last_words(&line);
        }
        let deadline = tokio::time::Instant::now() + LAST_WORDS;
        while reason != CloseReason::ClientClosed
            && !conn.outbox.is_idle()
            && tokio::time::Instant::now() < deadline
        {
            match tokio::time::timeout_at(deadline, self.source.socket.as_ref().writable()).await {
                Ok(Ok(())) => {
                    conn.unblock();
                    conn.flush();
                }
                _ => break,
            }
            tokio::task::yield_now().await;
        }
        if let Some(websocket) = self.source.websocket() {
            websocket.close(reason);
        }
        if let Some(tls) = &self.source.tls {
            tls.close();
        }
        if reason != CloseReason::ClientClosed {
            self.linger().await;
        }
    }

    /// Reads on for a moment after the last word: a socket closed with unread bytes in it would be reset, and the
    /// peer would not get to read why.
    async fn linger(&mut self) {
        if SockRef::from(self.source.socket.as_ref()).shutdown(Shutdown::Write).is_err() {
            return;
        }
        let deadline = tokio::time::Instant::now() + LINGER;
        let mut discarded = 0;
        while discarded < LINGER_BYTES {
            match tokio::time::timeout_at(deadline, self.source.socket.readable()).await {
                Ok(Ok(())) => {}
                _ => return,
            }
            // Made anew each time: across an await it would be part of every connection's task.
            match self.source.socket.try_read(&mut [0; 4096]) {
                Ok(0) => return,
                Ok(read) => discarded += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// The error text for a reason the peer is told. What it may come back after is told in words after which it does:
/// nats.py closes for good on every text but this one of a connection that was quiet for too long.
fn last_words(reason: CloseReason, lang: Option<&str>) -> Option<&'static str> {
    let text = match reason {
        CloseReason::StaleConnection => wire::text::STALE_CONNECTION,
        CloseReason::SlowConsumer | CloseReason::WriteDeadline => wire::text::SLOW_CONSUMER,
        CloseReason::AuthenticationExpired | CloseReason::RightsWithdrawn => {
            wire::text::USER_AUTHENTICATION_EXPIRED
        }
        CloseReason::Revoked => return Some(wire::text::USER_AUTHENTICATION_REVOKED),
        CloseReason::MaximumIdentityConnections => wire::text::MAX_ACCOUNT_CONNECTIONS_EXCEEDED,
        CloseReason::MaximumConnections => wire::text::MAX_CONNECTIONS_EXCEEDED,
        _ => return None,
    };
    let python = lang.is_some_and(|lang| lang.starts_with("python"));
    Some(if python { wire::text::STALE_CONNECTION } else { text })
}
