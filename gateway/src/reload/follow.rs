//! Following what changes by itself: the configuration file, certificates, revocations.

use std::sync::Arc;
use std::time::Duration;

use daemon::audit::{Event, Kind};
use identity::rotate::Outcome;
use node::fingerprint::Fingerprint;
use tokio::sync::watch;

use super::Reloader;
use crate::authenticator::GatewayAuthenticator;
use crate::config::CLIENTS_TLS;
use crate::gateway::Surroundings;

/// How often the configuration file is looked at. A file that changed is taken up when it has not changed again by the
/// next look: an editor may be at work on it.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the configuration file until `stop` says true or its sender is gone.
pub async fn follow_config(reloader: Arc<Reloader>, mut stop: watch::Receiver<bool>) {
    let look = || Fingerprint::of(Some(&reloader.path));
    let mut in_force = look();
    let mut before = in_force;
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        let now = look();
        if now != in_force && now == before {
            in_force = now;
            let reloader = Arc::clone(&reloader);
            // What came of it has been told.
            let _told = tokio::task::spawn_blocking(move || drop(reloader.reload("file"))).await;
        }
        before = now;
    }
}

/// Has sessions judged again whenever the certificates of the door change, and all such changes written down.
pub fn follow_certificates(authenticator: &Arc<GatewayAuthenticator>, around: &Surroundings) {
    let (weak, audit) = (Arc::downgrade(authenticator), around.audit.clone());
    around.reloads.observe(move |name, outcome| {
        match outcome {
            Outcome::Reloaded => audit.note(Event::new(Kind::CertificatesChanged).with("tls", name)),
            Outcome::Refused(error) => {
                audit.note(Event::new(Kind::CertificatesRefused).with("tls", name).detail(error));
            }
            Outcome::Unchanged => {}
        }
        if name == CLIENTS_TLS
            && *outcome == Outcome::Reloaded
            && let Some(authenticator) = weak.upgrade()
        {
            authenticator.certificates_changed();
            authenticator.sessions().reconsider();
        }
    });
}

/// Has sessions judged again whenever something is revoked, or no longer.
pub async fn follow_revocations(authenticator: Arc<GatewayAuthenticator>) {
    let mut changes = authenticator.revocations().changes();
    while changes.changed().await.is_ok() {
        let sweep = authenticator.sessions().reconsider();
        if sweep.closed > 0 {
            tracing::info!(closed = sweep.closed, "sessions ended by a revocation");
        }
    }
}
