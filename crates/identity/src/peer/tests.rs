//! Identities out of minted certificates.

use std::time::{Duration, SystemTime};

use certs_dev::{Authority, LeafRequest, San};

use super::*;

fn read(request: &LeafRequest) -> Result<PeerCertificate, PeerError> {
    let issued = Authority::new("CA").unwrap().issue(request).unwrap();
    PeerCertificate::from_der(&issued.cert_der)
}

fn identity(request: &LeafRequest) -> Result<String, PeerError> {
    read(request)?.identity(&IdentitySource::DEFAULT_ORDER).map(|identity| identity.to_string())
}

fn all_names() -> LeafRequest {
    LeafRequest::named("common").with_sans([
        San::Email("Ops@example.com".into()),
        San::dns("A.internal"),
        San::dns("b.internal"),
        San::Ip([127, 0, 0, 1].into()),
        San::uri("spiffe://gatehouse.dev/a"),
    ])
}

#[test]
fn the_order_decides_which_name_counts() {
    let cert = read(&all_names()).unwrap();
    for (order, expected) in [
        (&IdentitySource::DEFAULT_ORDER[..], "uri:spiffe://gatehouse.dev/a"),
        (&[IdentitySource::Dns], "dns:a.internal"),
        (&[IdentitySource::Email, IdentitySource::Dns], "email:Ops@example.com"),
        (&[IdentitySource::Cn], "cn:common"),
    ] {
        assert_eq!(cert.identity(order).unwrap().to_string(), expected);
    }
    assert_eq!(cert.identity(&[]), Err(PeerError::NoIdentity));
    let names: Vec<_> = cert.names().collect();
    assert_eq!(names, ["a.internal", "b.internal", "spiffe://gatehouse.dev/a", "Ops@example.com", "common"]);
}

#[test]
fn sources_that_are_missing_are_passed_over() {
    let bare = LeafRequest::named("common");
    assert_eq!(identity(&bare).unwrap(), "cn:common");
    assert_eq!(identity(&bare.clone().san(San::dns("a.internal"))).unwrap(), "dns:a.internal");
    assert_eq!(read(&bare).unwrap().identity(&[IdentitySource::Uri]), Err(PeerError::NoIdentity));
}

#[test]
fn a_certificate_that_breaks_the_spiffe_rules_has_no_identity_at_all() {
    let two = all_names().san(San::uri("spiffe://gatehouse.dev/b"));
    assert_eq!(identity(&two), Err(PeerError::SeveralUris(2)));
    assert_eq!(identity(&all_names().as_ca()), Err(PeerError::CertificateAuthority));
    let odd =
        LeafRequest::named("common").san(San::uri("spiffe://gatehouse.dev/../a")).san(San::dns("a.internal"));
    assert!(matches!(identity(&odd), Err(PeerError::BadSpiffeId(_))));
}

#[test]
fn names_with_control_characters_are_refused() {
    for name in ["a\0b", "a\nb", " "] {
        let request = LeafRequest::named("common").san(San::dns(name));
        assert_eq!(read(&request), Err(PeerError::BadName(IdentitySource::Dns)), "{name:?}");
        assert_eq!(read(&LeafRequest::named(name)), Err(PeerError::BadName(IdentitySource::Cn)), "{name:?}");
    }
}

#[test]
fn facts_are_the_certificates() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let ca = Authority::new("CA").unwrap();
    let request =
        LeafRequest::client("a").valid(start, start + Duration::from_secs(5)).serial([0x00, 0x8a, 0x01]);
    let issued = ca.issue(&request).unwrap();
    let cert = PeerCertificate::from_der(&issued.cert_der).unwrap();
    assert_eq!(cert.serial, "8a01");
    assert_eq!((cert.not_before, cert.not_after), (1_000_000_000, 1_000_000_005));
    assert_eq!(cert.issuer, ca.subject());
    assert_eq!(cert.cert_sha256, sha256(&issued.cert_der));
    assert_eq!(cert.x5t_s256().len(), 43);
    assert_ne!(cert.spki_sha256, cert.cert_sha256);
    assert_eq!(cert.spki_hex().len(), 64);
    assert!(!cert.is_ca);
}

#[test]
fn listed_peers_are_found_by_any_alternative_name() {
    let cert = read(&all_names()).unwrap();
    for (allowed, expected) in [
        (&["b.INTERNAL"][..], true),
        (&["other", "spiffe://gatehouse.dev/a"], true),
        (&["spiffe://gatehouse.dev/A"], false),
        (&["ops@example.com"], false),
        (&["common"], false),
        (&[], false),
    ] {
        assert_eq!(cert.bears_any(allowed), expected, "{allowed:?}");
    }
    assert!(read(&LeafRequest::named("common")).unwrap().bears_any(&["common"]));
}

#[test]
fn junk_is_refused_without_panic() {
    let issued = Authority::new("CA").unwrap().issue(&all_names()).unwrap();
    for cut in 0..issued.cert_der.len() {
        assert!(PeerCertificate::from_der(&issued.cert_der[..cut]).is_err(), "cut at {cut}");
    }
    let mut longer = issued.cert_der.clone();
    longer.push(0);
    assert_eq!(PeerCertificate::from_der(&longer), Err(PeerError::Unreadable));
    for position in 0..issued.cert_der.len() {
        let mut flipped = issued.cert_der.clone();
        flipped[position] ^= 0x80;
        // Any verdict will do; the verifier has refused such a certificate before.
        drop(PeerCertificate::from_der(&flipped));
    }
}
