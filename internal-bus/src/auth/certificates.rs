//! Services that show a certificate: the handshake has verified it, here it becomes an identity and rights, at login
//! and again when something is revoked.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use broker::{Admission, Authenticator, CloseReason, Credentials, Decision, Denied, Login};
use daemon::audit::{Audit, Event, Kind};
use identity::Grant;
use identity::peer::{IdentitySource, PeerCertificate};
use identity::policy::{CertificateNames, Policy, VerifiedFacts};
use node::revocation::Plane;
use node::sessions::{CertificateGuard, Judge, Sessions, Sweep, Verification};

/// What decisions rest on and where they are written down.
#[derive(Debug)]
pub struct Records {
    /// What has been revoked.
    pub revocations: Arc<Plane>,
    /// Where decisions are written down.
    pub audit: Audit,
    /// Certificates of those who are connected, verified again when CAs or revocation lists change.
    pub certificates: CertificateGuard,
}

/// Decides by client certificate.
#[derive(Debug)]
pub struct Certificates {
    order: Vec<IdentitySource>,
    /// Roles and bindings; empty lets every service the CA has signed use every subject.
    policy: ArcSwap<Policy>,
    /// Without TLS there is no certificate: everybody is the same anonymous service.
    plaintext: bool,
    sessions: Arc<Sessions>,
    /// Given before anybody is let in.
    records: OnceLock<Records>,
}

impl Certificates {
    /// `order` says which name of a certificate is its identity.
    #[must_use]
    pub fn new(order: Vec<IdentitySource>, policy: Policy, plaintext: bool) -> Self {
        let policy = ArcSwap::from_pointee(policy);
        Self { order, policy, plaintext, sessions: Sessions::new(), records: OnceLock::new() }
    }

    /// Gives what outlives logins, and has live sessions judged from now on.
    pub fn keep(self: &Arc<Self>, records: Records) {
        self.sessions.audited_by(&records.audit);
        self.sessions.judged_by(self);
        self.records.get_or_init(|| records);
    }

    /// Services that are connected.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Roles and bindings in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Puts other roles and bindings in force: whoever is connected is judged by them.
    pub fn set_policy(&self, policy: Arc<Policy>) -> Sweep {
        self.policy.store(policy);
        self.sessions.reconsider()
    }

    /// CAs or revocation lists are others now: who is connected is judged by them.
    pub fn certificates_changed(&self) {
        if let Some(records) = self.records.get() {
            records.certificates.changed();
        }
        self.sessions.reconsider();
    }

    fn decide(&self, login: &Login<'_>) -> Result<Admission, Denied> {
        if !matches!(login.credentials, Credentials::Client(_)) {
            return Err(Denied::new("wrong_port", "a leafnode on the client port"));
        }
        let ticket = self.sessions.ticket();
        let Some(leaf) = login.certificates.first() else {
            return if self.plaintext {
                Ok(Arc::new(Grant::unrestricted("plaintext")).into())
            } else {
                Err(Denied::new("no_certificate", "the service showed no certificate"))
            };
        };
        let certificate = PeerCertificate::from_der(leaf)
            .map_err(|error| Denied::new("certificate", format!("unreadable certificate: {error}")))?;
        let peer = certificate.identity(&self.order).map_err(|error| {
            Denied::new("certificate", format!("no identity in the certificate: {error}"))
        })?;
        let mut names = CertificateNames::of(&certificate, &peer);
        // A certificate is good until its end, also on a connection that lives longer.
        names.not_after = Some(u64::try_from(certificate.not_after).unwrap_or(0));
        names.chain = login.certificates.to_vec();
        let facts = VerifiedFacts { certificate: Some(Arc::new(names)), ..VerifiedFacts::default() };
        let grant = self.judge(&facts)?;
        self.record(login, &facts, &grant)?;
        Ok(self.sessions.admit(ticket, facts, Arc::new(grant)))
    }

    fn record(&self, login: &Login<'_>, facts: &VerifiedFacts, grant: &Grant) -> Result<(), Denied> {
        let Some(records) = self.records.get() else { return Ok(()) };
        let serial = facts.certificate.as_ref().map(|certificate| certificate.serial.as_str());
        let event = Event::new(Kind::Login)
            .identity(&grant.identity)
            .address(login.address)
            .with("roles", grant.roles.iter().map(|role| role.as_ref()).collect::<Vec<&str>>())
            .with_some("expires_at", grant.expires_at)
            .with_some("serial", serial);
        records.audit.record(event).map_err(|full| Denied::later("audit", full.to_string()))
    }

    fn denied(&self, address: SocketAddr, reason: &str, detail: &str) {
        if let Some(records) = self.records.get() {
            records.audit.note(Event::new(Kind::Denied).address(address).reason(reason).detail(detail));
        }
    }
}

impl Authenticator for Certificates {
    fn required(&self) -> bool {
        !self.plaintext
    }

    fn turned_away(&self, address: SocketAddr, reason: CloseReason, detail: &str) {
        if reason == CloseReason::TlsHandshake {
            self.denied(address, "tls", detail);
        }
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        let decided = self.decide(&login);
        if let Err(denied) = &decided {
            self.denied(login.address, denied.reason, &denied.detail);
        }
        Box::pin(std::future::ready(decided))
    }
}

impl Judge for Certificates {
    fn judge(&self, facts: &VerifiedFacts) -> Result<Grant, Denied> {
        let revocations = self.records.get().map(|records| &records.revocations);
        if let Some(entry) = revocations.and_then(|revocations| revocations.check(&facts.as_facts())) {
            return Err(Denied::new("revoked", format!("revocation {}: {}", entry.id, entry.target)));
        }
        let names =
            facts.certificate.as_deref().ok_or_else(|| Denied::new("no_certificate", "nothing was shown"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Some(records) = self.records.get() {
            records.certificates.check(names, now)?;
        }
        let policy = self.policy.load();
        let mut grant = if policy.is_empty() {
            Grant { expires_at: names.not_after, ..Grant::unrestricted(&names.identity) }
        } else {
            let granted = policy.grant(&facts.as_facts(), now);
            granted.map_err(|denied| Denied::new(denied.reason(), denied.to_string()))?
        };
        grant.identity = names.identity.as_str().into();
        Ok(grant)
    }

    fn verify<'a>(&'a self, _: &'a str, _: &'a VerifiedFacts) -> Verification<'a> {
        Box::pin(std::future::ready(Err(Denied::new("not_renewable", "the bus knows certificates only"))))
    }
}
