//! Following what changes by itself: the configuration file, certificates, revocations.

use std::sync::Arc;

use daemon::audit::{Event, Kind};
use identity::rotate::Outcome;
use tokio::sync::watch;

use super::Reloader;
use crate::authenticator::GatewayAuthenticator;
use crate::config::CLIENTS_TLS;
use crate::gateway::Surroundings;

/// Follows the configuration file until `stop` says true or its sender is gone.
pub fn follow_config(
    reloader: Arc<Reloader>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + use<> {
    let path = reloader.path.clone();
    node::reload::follow_file(path, stop, move || drop(reloader.reload("file")))
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
