//! Certificates of live connections, verified again when the CAs or the revocation lists have changed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker::Denied;
use identity::policy::CertificateNames;
use tokio_rustls::rustls::pki_types::UnixTime;

use crate::tls::Reloads;

/// How long after a change everybody judged is verified again: longer than any login takes that began before it.
const WINDOW: Duration = Duration::from_secs(60);

/// Verifies certificates again for a while after something has changed. At other times the handshake has just done so,
/// or it was done when the change came.
#[derive(Debug)]
pub struct CertificateGuard {
    reloads: Reloads,
    listener: &'static str,
    changed: Mutex<Option<Instant>>,
}

impl CertificateGuard {
    /// Verifies by what the listener `listener` of `reloads` goes by.
    #[must_use]
    pub fn new(reloads: Reloads, listener: &'static str) -> Self {
        Self { reloads, listener, changed: Mutex::new(None) }
    }

    /// CAs or revocation lists are others now.
    pub fn changed(&self) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn recently(&self) -> bool {
        let changed = *self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.is_some_and(|at| at.elapsed() < WINDOW)
    }

    /// Whether the chain is still one that would be let in, at `now` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// The verifier's reason.
    pub fn check(&self, certificate: &CertificateNames, now: u64) -> Result<(), Denied> {
        if !self.recently() {
            return Ok(());
        }
        let Some((leaf, intermediates)) = certificate.chain.split_first() else { return Ok(()) };
        let Some(verifier) = self.reloads.client_verifier(self.listener) else { return Ok(()) };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verified = verifier.verify_client_cert(leaf, intermediates, now);
        verified.map(drop).map_err(|error| Denied::new("certificate", error.to_string()))
    }
}
