//! Who may come in from outside: bearer tokens, client certificates, and the health check.
//!
//! A client that presents a token stands or falls with it; a certificate it shows as well only adds facts. Without a
//! token, a verified certificate may be enough, if the policy binds a role to it. What the client is told is little;
//! the log has the reason, never the token.

mod presented;
mod record;
mod rules;
mod sources;
#[cfg(test)]
mod tests;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use broker::{Admission, Authenticator, CloseReason, Credentials, Decision, Denied, Login};
use daemon::audit::Audit;
use identity::peer::PeerCertificate;
use identity::policy::{CertificateNames, VerifiedFacts};
use identity::token::{Claims, check_binding};
use identity::{Grant, Permission, PermissionError, Rights};
use node::revocation::Plane;
use node::sessions::{CertificateGuard, Judge, Sessions, Verification};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::config::{CLIENTS_TLS, HEALTH_SUBJECTS};
use crate::health::HealthCredential;
use crate::remote::Vouched;

pub use self::rules::{Records, Rules};
pub use self::sources::SourcesError;
pub use self::tokens::TokenSources;

/// Name of the health check in logs and monitoring.
pub const HEALTH_IDENTITY: &str = "health-check";

/// How long services that are asked about a fresh token may take: the session goes on meanwhile.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(8);

/// Decides about logins at the outside door.
pub struct GatewayAuthenticator {
    tokens: ArcSwap<TokenSources>,
    rules: ArcSwap<Rules>,
    revocations: Arc<Plane>,
    certificates: CertificateGuard,
    audit: Audit,
    health: HealthCredential,
    health_grant: Arc<Grant>,
    sessions: Arc<Sessions>,
    /// Seconds since the Unix epoch.
    now: fn() -> u64,
}

impl std::fmt::Debug for GatewayAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayAuthenticator").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

impl GatewayAuthenticator {
    /// Puts the parts together.
    ///
    /// # Errors
    /// Never in practice: the health check's rights are written in this source.
    pub fn new(
        tokens: Arc<TokenSources>,
        rules: Rules,
        records: Records,
        health: HealthCredential,
    ) -> Result<Self, PermissionError> {
        let Records { revocations, audit, reloads } = records;
        let sessions = Sessions::new();
        sessions.audited_by(&audit);
        Ok(Self {
            tokens: ArcSwap::new(tokens),
            rules: ArcSwap::from_pointee(rules),
            revocations,
            certificates: CertificateGuard::new(reloads, CLIENTS_TLS),
            audit,
            health,
            health_grant: Arc::new(health_grant()?),
            sessions,
            now: unix_now,
        })
    }

    /// Replaces the rules. Live sessions are judged by them once [`Sessions::reconsider`] is called.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// The certificates of live connections are to be verified again: CAs or revocation lists have changed.
    pub fn certificates_changed(&self) {
        self.certificates.changed();
    }

    /// What has been revoked.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Plane> {
        &self.revocations
    }

    /// Reads the issuers' key files again; an issuer whose files are unusable keeps its keys. Returns what was wrong.
    pub fn reload_keys(&self) -> Vec<String> {
        let problems = self.tokens().verifier.reload().err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    /// Everything that can say what a token is worth.
    #[must_use]
    pub fn tokens(&self) -> Arc<TokenSources> {
        self.tokens.load_full()
    }

    /// Replaces who can say what a token is worth. Live sessions are judged by them once
    /// [`Sessions::reconsider`] is called.
    pub fn set_tokens(&self, tokens: TokenSources) {
        self.tokens.store(Arc::new(tokens));
    }

    /// The sessions let in on what was verified here. To be judged again they need [`Self::follow_sessions`].
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Judges live sessions from now on: when told to, and when they show a fresh token.
    pub fn follow_sessions(self: &Arc<Self>) {
        self.sessions.judged_by(self);
    }

    /// The whole decision: what was presented, verified; the facts, judged.
    async fn decide(&self, login: &Login<'_>) -> Result<Admission, Denied> {
        let Credentials::Client(options) = login.credentials else {
            return Err(Denied::new("wrong_port", "a leafnode on the clients' port"));
        };
        let token = presented::token(options);
        if token.is_some_and(|token| self.health.is(token)) {
            return Ok(Arc::clone(&self.health_grant).into());
        }
        let ticket = self.sessions.ticket();
        let now = (self.now)();
        let facts = self.verify(token, login.certificates, now, login.until).await?;
        let grant = self.judge(&facts, now)?;
        record::login(&self.audit, login, &facts, &grant)?;
        Ok(self.sessions.admit(ticket, facts, Arc::new(grant)))
    }

    /// Turns what a peer presents into facts, at `now` (seconds since the Unix epoch). Says nothing yet about rights.
    /// May wait for services that are asked about tokens, but not beyond `until`.
    ///
    /// # Errors
    /// Nothing was presented, or something that is not good, or nobody can say in time ([`Denied::is_refusal`]).
    pub async fn verify(
        &self,
        token: Option<&str>,
        certificates: &[CertificateDer<'static>],
        now: u64,
        until: Instant,
    ) -> Result<VerifiedFacts, Denied> {
        let certificate = self.certificate(certificates)?.map(Arc::new);
        self.verify_with(token, certificate, now, until).await
    }

    /// The same with a certificate whose names are known already, as for a token that renews a session.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_with(
        &self,
        token: Option<&str>,
        certificate: Option<Arc<CertificateNames>>,
        now: u64,
        until: Instant,
    ) -> Result<VerifiedFacts, Denied> {
        let mut facts = VerifiedFacts { certificate, ..VerifiedFacts::default() };
        if let Some(token) = token {
            let Vouched { claims, roles } = self.tokens().judge(token, now, until).await?;
            let shown = facts.certificate.as_ref().map(|certificate| &certificate.cert_sha256);
            check_binding(&claims, shown).map_err(|error| Denied::new("binding", error.to_string()))?;
            (facts.claims, facts.roles) = (Some(claims), roles.into());
        }
        if facts.is_empty() {
            return Err(Denied::new("no_credentials", "neither a token nor a certificate was presented"));
        }
        self.tokens().authorize(&mut facts, until).await?;
        Ok(facts)
    }

    /// What verified facts are worth at `now`: at login, and again for a live session whenever the policy or what
    /// has been revoked changes. Waits for nothing.
    ///
    /// # Errors
    /// They are worth nothing.
    pub fn judge(&self, facts: &VerifiedFacts, now: u64) -> Result<Grant, Denied> {
        if let Some(entry) = self.revocations.check(&facts.as_facts()) {
            return Err(Denied::new("revoked", format!("revocation {}: {}", entry.id, entry.target)));
        }
        let rules = self.rules.load();
        if let Some(certificate) = &facts.certificate {
            rules.pins.check(certificate).map_err(|error| Denied::new("pins", error.to_string()))?;
            self.certificates.check(certificate, now)?;
        }
        if rules.token_required && facts.claims.is_none() {
            return Err(Denied::new("no_token", "a certificate alone is not enough here"));
        }
        self.tokens.load().still_good(facts, now)?;
        let evaluation = rules.policy.evaluate(&facts.as_facts(), now);
        for (role, problem) in &evaluation.refused {
            tracing::warn!(%role, %problem, "role not given");
        }
        let denied = |denied| refused_by_policy(&denied, facts.claims.as_ref());
        let mut grant = evaluation.grant.map_err(denied)?;
        grant.expires_at = self.end(facts, grant.expires_at);
        grant.isolate_inbox = true;
        Ok(grant)
    }

    /// When rights end that the policy would end at `written`: tokens are good for the leeway of their issuer beyond their
    /// `exp`, certificates are not.
    fn end(&self, facts: &VerifiedFacts, written: Option<u64>) -> Option<u64> {
        let Some(token) = facts.claims.as_ref().and_then(|claims| self.tokens.load().verifier.end_of(claims))
        else {
            return written;
        };
        let certificate = facts.certificate.as_ref().and_then(|certificate| certificate.not_after);
        Some(certificate.map_or(token, |end| end.min(token)))
    }

    /// The names in the certificate that the handshake has verified, if one was shown.
    fn certificate(&self, chain: &[CertificateDer<'static>]) -> Result<Option<CertificateNames>, Denied> {
        let Some(leaf) = chain.first() else { return Ok(None) };
        let denied = |error: identity::peer::PeerError| Denied::new("certificate", error.to_string());
        let certificate = PeerCertificate::from_der(leaf).map_err(denied)?;
        let identity = certificate.identity(&self.rules.load().identity_order).map_err(denied)?;
        let mut names = CertificateNames::of(&certificate, &identity);
        names.chain = chain.to_vec();
        names.not_after = u64::try_from(certificate.not_after).ok();
        Ok(Some(names))
    }
}

impl Authenticator for GatewayAuthenticator {
    fn required(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(async move {
            let decided = self.decide(&login).await;
            if let Err(denied) = &decided {
                record::denied(&self.audit, login.address, denied);
            }
            decided
        })
    }

    fn turned_away(&self, address: SocketAddr, reason: CloseReason, detail: &str) {
        // Whoever only connects, or is slow, presents nothing that could be refused.
        if reason == CloseReason::TlsHandshake {
            record::denied(&self.audit, address, &Denied::new("tls", detail));
        }
    }
}

impl Judge for GatewayAuthenticator {
    fn judge(&self, facts: &VerifiedFacts) -> Result<Grant, Denied> {
        Self::judge(self, facts, (self.now)())
    }

    fn grace(&self, facts: &VerifiedFacts) -> Option<Duration> {
        self.tokens().issuers.grace(facts.claims.as_ref()?.iss()?)
    }

    fn verify<'a>(&'a self, token: &'a str, known: &'a VerifiedFacts) -> Verification<'a> {
        Box::pin(async move {
            // The connection's certificate was verified when it was made.
            let certificate = known.certificate.clone();
            self.verify_with(Some(token), certificate, (self.now)(), Instant::now() + RENEWAL_PATIENCE).await
        })
    }
}

fn refused_by_policy(denied: &identity::policy::Denied, claims: Option<&Claims>) -> Denied {
    let issuer = claims.and_then(Claims::iss).map(|issuer| format!(" (token of {issuer})"));
    Denied::new(denied.reason(), format!("{}{}", denied.detail, issuer.unwrap_or_default()))
}

fn health_grant() -> Result<Grant, PermissionError> {
    let subjects = [HEALTH_SUBJECTS];
    let publish = Permission::for_publish(Some(&subjects), &[])?;
    let subscribe = Permission::for_subscribe(Some(&subjects), &[])?;
    let mut grant = Grant::unrestricted(HEALTH_IDENTITY);
    grant.rights = Rights::new(publish, subscribe, None);
    grant.isolate_inbox = true;
    Ok(grant)
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
