//! What the bus keeps of its decisions: the audit log, and what has been revoked.

use std::sync::Arc;

use daemon::audit::{Audit, Event, Kind};
use daemon::exit::Failure;
use identity::rotate::Outcome;
use node::revocation::Plane;
use node::sessions::{CertificateGuard, Sessions};
use node::tls::Reloads;
use tokio::sync::watch;

use super::listeners::CLIENTS;
use crate::auth::Records;
use crate::plan::RecordsPlan;

/// What is kept while the process runs.
pub(super) struct Kept {
    pub(super) audit: Audit,
    pub(super) revocations: Arc<Plane>,
    /// Nothing is followed any more once it is gone.
    _stop: watch::Sender<bool>,
}

/// Opens what `plan` names, and follows it. Within a tokio runtime only.
pub(super) fn keep(plan: RecordsPlan, reloads: &Reloads) -> Result<Kept, Failure> {
    let audit = Audit::open(&plan.audit, "internal-bus").map_err(Failure::runtime)?;
    let revocations = Plane::open(&plan.revocation, audit.clone()).map_err(Failure::runtime)?;
    let guard = CertificateGuard::new(reloads.clone(), CLIENTS);
    let records =
        Records { revocations: Arc::clone(&revocations), audit: audit.clone(), certificates: guard };
    plan.certificates.keep(records);
    let stop = watch::Sender::new(false);
    tokio::spawn(Arc::clone(&revocations).follow(stop.subscribe()));
    tokio::spawn(judge_again(Arc::clone(&revocations), Arc::clone(plan.certificates.sessions())));
    let (log, services) = (audit.clone(), Arc::downgrade(&plan.certificates));
    reloads.observe(move |name, outcome| match outcome {
        Outcome::Reloaded => {
            log.note(Event::new(Kind::CertificatesChanged).with("tls", name));
            if let Some(services) = services.upgrade().filter(|_| name == CLIENTS) {
                services.certificates_changed();
            }
        }
        Outcome::Refused(error) => {
            log.note(Event::new(Kind::CertificatesRefused).with("tls", name).detail(error))
        }
        Outcome::Unchanged => {}
    });
    Ok(Kept { audit, revocations, _stop: stop })
}

/// Has connected services judged again whenever something is revoked, or no longer.
async fn judge_again(revocations: Arc<Plane>, sessions: Arc<Sessions>) {
    let mut changes = revocations.changes();
    while changes.changed().await.is_ok() {
        sessions.reconsider();
    }
}
