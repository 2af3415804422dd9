//! Services that show a certificate: the handshake has verified it, here it becomes an identity and rights.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use broker::{Authenticator, Credentials, Decision, Denied, Login};
use identity::Grant;
use identity::peer::{IdentitySource, PeerCertificate};
use identity::policy::{CertificateNames, Facts, Policy};

/// Decides by client certificate.
#[derive(Debug)]
pub struct Certificates {
    order: Vec<IdentitySource>,
    /// Roles and bindings; empty lets every service the CA has signed use every subject.
    policy: Policy,
    /// Without TLS there is no certificate: everybody is the same anonymous service.
    plaintext: bool,
}

impl Certificates {
    /// `order` says which name of a certificate is its identity.
    #[must_use]
    pub fn new(order: Vec<IdentitySource>, policy: Policy, plaintext: bool) -> Self {
        Self { order, policy, plaintext }
    }

    fn decide(&self, login: &Login<'_>) -> Result<Arc<Grant>, Denied> {
        if !matches!(login.credentials, Credentials::Client(_)) {
            return Err(Denied::new("wrong_port", "a leafnode on the client port"));
        }
        let Some(leaf) = login.certificates.first() else {
            return if self.plaintext {
                Ok(Arc::new(Grant::unrestricted("plaintext")))
            } else {
                Err(Denied::new("no_certificate", "the service showed no certificate"))
            };
        };
        let certificate = PeerCertificate::from_der(leaf)
            .map_err(|error| Denied::new("certificate", format!("unreadable certificate: {error}")))?;
        let peer = certificate.identity(&self.order).map_err(|error| {
            Denied::new("certificate", format!("no identity in the certificate: {error}"))
        })?;
        let mut grant = if self.policy.is_empty() {
            Grant::unrestricted(&peer.value)
        } else {
            let names = CertificateNames::of(&certificate, &peer);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            self.policy
                .grant(&Facts { certificate: Some(&names), ..Facts::default() }, now)
                .map_err(|denied| Denied::new(denied.reason(), denied.to_string()))?
        };
        grant.identity = peer.value.as_str().into();
        // A certificate is good until its end, also on a connection that lives longer.
        let end = u64::try_from(certificate.not_after).unwrap_or(0);
        grant.expires_at = Some(grant.expires_at.map_or(end, |expires_at| expires_at.min(end)));
        Ok(Arc::new(grant))
    }
}

impl Authenticator for Certificates {
    fn required(&self) -> bool {
        !self.plaintext
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(std::future::ready(self.decide(&login).map(Into::into)))
    }
}
