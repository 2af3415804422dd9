//! A fresh token on a live connection: its follower verifies it, and the client is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::conn::Conn;
use crate::core::Core;
use crate::follow::NotRenewed;
use crate::session::reserved::{self, RenewalRequest};

/// The least time a renewal is given: nobody waits at the door meanwhile, so a slow check does no harm.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn renew(core: Arc<Core>, conn: Arc<Conn>, request: RenewalRequest) {
    let refused = |reason, detail: &str| NotRenewed { reason, detail: detail.into() };
    let outcome = match conn.follower.get().cloned() {
        Some(follower) => {
            let patience = core.limits.auth_timeout.max(PATIENCE);
            let renewal = follower.renew(request.token.0);
            let late = |_| Err(refused("timeout", "the decision took too long"));
            tokio::time::timeout(patience, renewal).await.unwrap_or_else(late)
        }
        None => Err(refused("not_renewable", "nobody follows this session")),
    };
    conn.renewing.store(false, Ordering::Release);
    match &outcome {
        Ok(()) => core.counters.renewals.add(1),
        Err(refused) => {
            core.counters.renewals_refused.add(1);
            tracing::warn!(conn = conn.id, identity = %conn.grant().identity, reason = refused.reason, detail = %refused.detail, "renewal refused");
        }
    }
    reserved::answer(&conn, &request.reply, outcome.as_ref().copied());
}
