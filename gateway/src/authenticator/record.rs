//! What is written down about logins: who, from where, by whose word; never what was presented.

use std::net::SocketAddr;

use broker::{Denied, Login};
use daemon::audit::{Audit, Event, Kind};
use identity::Grant;
use identity::policy::VerifiedFacts;
use identity::token::Claims;

/// Somebody is let in.
///
/// # Errors
/// It can't be written down, and the configuration says to let nobody in then. Nobody is refused: clients come back.
pub(super) fn login(
    audit: &Audit,
    login: &Login<'_>,
    facts: &VerifiedFacts,
    grant: &Grant,
) -> Result<(), Denied> {
    let issuer = grant.provenance.as_ref().map(|provenance| provenance.issuer.as_ref()).unwrap_or_default();
    let roles = grant.roles.join(",");
    tracing::info!(
        target: "audit",
        address = %login.address,
        identity = %grant.identity,
        issuer,
        roles,
        expires_at = grant.expires_at,
        certificate = facts.certificate.is_some(),
        "login accepted"
    );
    let certificate = facts.certificate.as_deref();
    let event = Event::new(Kind::Login)
        .identity(&grant.identity)
        .issuer(issuer)
        .address(login.address)
        .with("roles", grant.roles.iter().map(|role| role.as_ref()).collect::<Vec<&str>>())
        .with_some("expires_at", grant.expires_at)
        .with_some("token_id", facts.claims.as_ref().and_then(Claims::jti))
        .with_some("certificate", certificate.map(|certificate| certificate.identity.as_str()))
        .with_some("serial", certificate.map(|certificate| certificate.serial.as_str()));
    audit.record(event).map_err(|full| Denied::later("audit", full.to_string()))
}

/// Somebody is not.
pub(super) fn denied(audit: &Audit, address: SocketAddr, denied: &Denied) {
    audit.note(Event::new(Kind::Denied).address(address).reason(denied.reason).detail(&denied.detail));
}
