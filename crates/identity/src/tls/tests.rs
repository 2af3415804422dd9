//! Real handshakes with minted certificates.

use std::fs;
use std::time::{Duration, SystemTime};

use certs_dev::{Authority, AuthorityOptions, LeafRequest, San, Usage};
use tokio_rustls::rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use super::testing::{Site, handshake, issue_from, talk};
use super::*;
use crate::peer::{IdentitySource, PeerCertificate};
use crate::rotate::Material as _;

/// What the server says of a client with this certificate, as text; `Ok` holds the client's identity.
async fn verdict(server: &ServerTls, client: &ClientTls) -> Result<String, String> {
    let (accepted, connected) = handshake(server.build().unwrap(), client.build().unwrap(), "bus").await;
    let mut accepted = accepted.map_err(|error| error.to_string())?;
    let mut connected = connected.map_err(|error| error.to_string())?;
    talk(&mut accepted, &mut connected).await.map_err(|error| error.to_string())?;
    let Some(certs) = accepted.get_ref().1.peer_certificates() else { return Ok("nobody".to_owned()) };
    let peer = PeerCertificate::from_der(&certs[0]).map_err(|error| error.to_string())?;
    peer.identity(&IdentitySource::DEFAULT_ORDER)
        .map(|identity| identity.value)
        .map_err(|error| error.to_string())
}

/// As [`verdict`], for a client whose certificate comes from the server's CA.
async fn verdict_on(site: &Site, request: &LeafRequest) -> Result<String, String> {
    let certificate = site.issue("client", request);
    verdict(&site.server(), &site.client(Some(certificate))).await
}

#[tokio::test]
async fn a_client_from_the_right_ca_is_let_in_under_both_versions() {
    let site = Site::new();
    assert_eq!(
        verdict_on(&site, &LeafRequest::client("billing")).await.unwrap(),
        "spiffe://gatehouse.dev/billing"
    );

    for (min_version, client_max_12, expected) in [
        (TlsVersion::Tls12, true, Some(ProtocolVersion::TLSv1_2)),
        (TlsVersion::Tls12, false, Some(ProtocolVersion::TLSv1_3)),
        (TlsVersion::Tls13, true, None),
    ] {
        let server = ServerTls { min_version, ..site.server() }.build().unwrap();
        let mut client = site.client(Some(site.pair("billing"))).build().unwrap();
        if client_max_12 {
            let roots = trust::roots(&site.path("ca.crt")).unwrap();
            let billing = site.pair("billing");
            let only_12 = tokio_rustls::rustls::ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS12])
                .unwrap()
                .with_root_certificates(roots)
                .with_client_auth_cert(
                    crate::pem::certificates(&billing.cert_path).unwrap(),
                    crate::pem::private_key(&billing.key_path).unwrap().key,
                );
            client = only_12.unwrap().into();
        }
        let (accepted, _connected) = handshake(server, client, "bus").await;
        assert_eq!(accepted.ok().and_then(|stream| stream.get_ref().1.protocol_version()), expected);
    }
}

#[tokio::test]
async fn clients_that_must_not_get_in_do_not() {
    let site = Site::new();
    let client = LeafRequest::client("billing");
    let cases = [
        (client.clone().expired(), "Expired"),
        (client.clone().not_yet_valid(), "NotValidYet"),
        (client.clone().with_usages([Usage::Server]), "InvalidPurpose"),
        (client.clone().with_usages([Usage::CodeSigning]), "InvalidPurpose"),
        (client.clone().as_ca(), "CaUsedAsEndEntity"),
    ];
    for (request, expected) in cases {
        let refused = verdict_on(&site, &request).await.unwrap_err();
        let seen = refused.to_lowercase().replace([' ', '_'], "");
        let words = match expected {
            "Expired" => "certificateexpired",
            "NotValidYet" => "certificatenotvalidyet",
            "InvalidPurpose" => "certificatedoesnotallowextendedkeyusage",
            other => &other.to_lowercase(),
        };
        assert!(seen.contains(words), "{expected}: {refused}");
    }
    let nobody = verdict(&site.server(), &site.client(None)).await.unwrap_err();
    assert!(nobody.contains("peer sent no certificates"), "{nobody}");

    let stranger = Authority::new("CA").unwrap();
    let certificate = issue_from(&stranger, site.dir.path(), "stranger", &client);
    let refused = verdict(&site.server(), &site.client(Some(certificate))).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    // TLS lets this one in; it has no identity.
    let two = client.san(San::uri("spiffe://gatehouse.dev/orders"));
    let refused = verdict_on(&site, &two).await.unwrap_err();
    assert!(refused.contains("2 URI names"), "{refused}");
}

#[tokio::test]
async fn a_ca_may_not_sign_outside_its_name_constraints() {
    let site = Site::new();
    let options =
        AuthorityOptions { permitted_dns: vec!["internal".into()], ..AuthorityOptions::named("Narrow") };
    let narrow = site.ca.intermediate(&options).unwrap();
    let inside = LeafRequest::named("a").usage(Usage::Client).san(San::dns("a.internal"));
    let certificate = issue_from(&narrow, site.dir.path(), "a", &inside);
    let client = site.client(Some(certificate));
    assert_eq!(verdict(&site.server(), &client).await.unwrap(), "a.internal");
    issue_from(&narrow, site.dir.path(), "a", &inside.with_sans([San::dns("a.example.com")]));
    assert!(verdict(&site.server(), &client).await.is_err());
}

#[tokio::test]
async fn where_a_certificate_is_optional_a_bad_one_is_still_refused() {
    let site = Site::new();
    let client_auth = ClientAuth::Optional { roots: site.path("ca.crt") };
    let server = ServerTls { client_auth, ..site.server() };
    assert_eq!(verdict(&server, &site.client(None)).await.unwrap(), "nobody");
    assert!(verdict(&server, &site.client(Some(site.pair("billing")))).await.is_ok());
    let expired = site.issue("client", &LeafRequest::client("billing").expired());
    assert!(verdict(&server, &site.client(Some(expired))).await.is_err());
    let none = ServerTls { client_auth: ClientAuth::None, ..site.server() };
    assert_eq!(verdict(&none, &site.client(Some(site.pair("billing")))).await.unwrap(), "nobody");
}

#[tokio::test]
async fn a_client_refuses_a_server_it_did_not_ask_for() {
    let site = Site::new();
    let server = site.server().build().unwrap();
    let client = site.client(Some(site.pair("billing"))).build().unwrap();
    let (_, connected) = handshake(server, client, "other").await;
    assert!(connected.unwrap_err().to_string().contains("not valid for name"));

    site.issue("bus", &LeafRequest::client("bus").with_sans([San::dns("bus")]));
    let refused = verdict(&site.server(), &site.client(Some(site.pair("billing")))).await;
    assert!(refused.is_err(), "a client's certificate on the server side");
}

#[tokio::test]
async fn the_name_asked_for_picks_the_certificate() {
    let site = Site::new();
    let mut certificates = vec![site.pair("bus")];
    for (file, server_name) in
        [("events", None), ("wild", Some("*.wild.example")), ("one", Some("one.wild.example"))]
    {
        let name = server_name.unwrap_or("events.example");
        let mut pair = site.issue(file, &LeafRequest::server(name).with_sans([San::dns(name)]));
        pair.server_name = server_name.map(str::to_owned);
        certificates.push(pair);
    }
    let server =
        ServerTls { certificates, client_auth: ClientAuth::None, ..ServerTls::default() }.build().unwrap();
    for (asked, expected) in [
        ("bus", Some("bus")),
        ("events.example", Some("events.example")),
        ("EVENTS.example", Some("events.example")),
        ("two.wild.example", Some("*.wild.example")),
        ("one.wild.example", Some("one.wild.example")),
        ("localhost", Some("bus")),
        // Not covered by any: the first is shown, and the client refuses it.
        ("a.two.wild.example", None),
        // Addresses are never in SNI: the first certificate, which covers this one.
        ("127.0.0.1", Some("bus")),
    ] {
        let (_, connected) = handshake(server.clone(), site.client(None).build().unwrap(), asked).await;
        let shown = connected.ok().map(|stream| {
            let leaf =
                PeerCertificate::from_der(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap();
            leaf.dns[0].clone()
        });
        assert_eq!(shown.as_deref(), expected, "{asked}");
    }
}

#[tokio::test]
async fn revoked_certificates_are_refused_and_overdue_lists_refuse_all() {
    let site = Site::new();
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let bad = site.ca.issue(&LeafRequest::client("bad")).unwrap();
    bad.write(site.dir.path(), "bad").unwrap();
    let crls = site.path("crls");
    fs::create_dir(&crls).unwrap();
    let server = ServerTls { crls: vec![crls.clone()], ..site.server() };
    let (good, bad_client) = (site.client(Some(site.pair("billing"))), site.client(Some(site.pair("bad"))));

    // The older list doesn't know yet; the newer one counts, whatever the order of their names.
    fs::write(crls.join("a.crl"), site.ca.crl(&[], now - 2 * hour, now + hour).unwrap()).unwrap();
    assert!(verdict(&server, &bad_client).await.is_ok());
    fs::write(crls.join("b.crl"), site.ca.crl(&[bad.serial], now - hour, now + hour).unwrap()).unwrap();
    let refused = verdict(&server, &bad_client).await.unwrap_err();
    assert!(refused.contains("Revoked"), "{refused}");
    assert!(verdict(&server, &good).await.is_ok());

    // Another CA's list says nothing about ours.
    let other = Authority::new("Other").unwrap().crl(&[], now - hour, now + hour).unwrap();
    let only_other = ServerTls { crls: vec![site.path("other.crl")], ..site.server() };
    fs::write(site.path("other.crl"), other).unwrap();
    assert!(verdict(&only_other, &good).await.is_ok());
    let strict = ServerTls { require_revocation_status: true, ..only_other };
    let refused = verdict(&strict, &good).await.unwrap_err();
    assert!(refused.contains("UnknownRevocationStatus"), "{refused}");

    fs::remove_file(crls.join("b.crl")).unwrap();
    fs::write(crls.join("a.crl"), site.ca.crl(&[], now - 2 * hour, now - hour).unwrap()).unwrap();
    let refused = verdict(&server, &good).await.unwrap_err();
    assert!(refused.to_lowercase().contains("revocation list"), "{refused}");
    let warnings = server.load(crate::rotate::unix_now()).unwrap().warnings;
    assert!(matches!(warnings[..], [TlsWarning::RevocationListExpired { .. }]), "{warnings:?}");

    // The same lists bind a client to its server.
    let serial = site.ca.issue(&LeafRequest::server("bus")).map(|issued| {
        issued.write(site.dir.path(), "bus").unwrap();
        issued.serial
    });
    let list = site.ca.crl(&[serial.unwrap()], now - hour, now + hour).unwrap();
    fs::write(site.path("bus.crl"), list).unwrap();
    let wary = ClientTls { crls: vec![site.path("bus.crl")], ..good };
    assert!(verdict(&site.server(), &wary).await.is_err());
}

#[tokio::test]
async fn sessions_are_never_resumed_and_the_order_of_the_provider_counts() {
    let site = Site::new();
    let server = site.server().build().unwrap();
    // A client that would resume, and likes our last cipher suite best.
    let mut crypto = (*provider()).clone();
    crypto.cipher_suites.reverse();
    let billing = site.pair("billing");
    let mut client = tokio_rustls::rustls::ClientConfig::builder_with_provider(crypto.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trust::roots(&site.path("ca.crt")).unwrap())
        .with_client_auth_cert(
            crate::pem::certificates(&billing.cert_path).unwrap(),
            crate::pem::private_key(&billing.key_path).unwrap().key,
        )
        .unwrap();
    client.resumption = tokio_rustls::rustls::client::Resumption::in_memory_sessions(8);
    let client = std::sync::Arc::new(client);
    for _ in 0..2 {
        let (accepted, connected) = handshake(server.clone(), client.clone(), "bus").await;
        let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
        talk(&mut accepted, &mut connected).await.unwrap();
        let session = connected.get_ref().1;
        assert_eq!(session.tls13_tickets_received(), 0);
        assert_eq!(session.handshake_kind(), Some(tokio_rustls::rustls::HandshakeKind::Full));
        let suite = session.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519);
    }
}

/// The key inside a PKCS #8 wrapper: SEC 1 for elliptic curves, PKCS #1 for RSA.
fn unwrapped(pkcs8: &[u8]) -> Vec<u8> {
    let (_, sequence) = x509_parser::der_parser::parse_der(pkcs8).unwrap();
    sequence.as_sequence().unwrap()[2].as_slice().unwrap().to_vec()
}

#[tokio::test]
async fn keys_serve_in_each_of_their_encodings() {
    use base64::Engine as _;
    let site = Site::new();
    let algorithms = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "EC PRIVATE KEY"),
        (&rcgen::PKCS_RSA_SHA256, "RSA PRIVATE KEY"),
        (&rcgen::PKCS_ED25519, "PRIVATE KEY"),
    ];
    for (algorithm, label) in algorithms {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let cert = rcgen::CertificateParams::new(["bus".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = if label == "PRIVATE KEY" { key.serialize_der() } else { unwrapped(key.serialized_der()) };
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        fs::write(site.path("bus.key"), format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"))
            .unwrap();
        fs::write(site.path("bus.crt"), cert.pem()).unwrap();
        let server = ServerTls { client_auth: ClientAuth::None, ..site.server() }.build().unwrap();
        let client =
            ClientTls { root_ca_path: site.path("bus.crt"), ..ClientTls::default() }.build().unwrap();
        let (accepted, connected) = handshake(server, client, "bus").await;
        assert!(accepted.is_ok() && connected.is_ok(), "{label}: {accepted:?} {connected:?}");
    }
}

#[test]
fn wrong_files_are_named_before_any_peer_comes() {
    let site = Site::new();
    let mismatched = CertifiedFile::new(site.path("bus.crt"), site.path("billing.key"));
    let error = ServerTls { certificates: vec![mismatched], ..site.server() }.build().unwrap_err();
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("billing.key: is not the key of the first certificate in"), "{text}");

    let error = ServerTls { certificates: vec![], ..site.server() }.build().unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate));

    let mut named = site.pair("bus");
    named.server_name = Some("not a name".into());
    let error = ServerTls { certificates: vec![named], ..site.server() }.build().unwrap_err();
    assert!(matches!(error, TlsError::ServerName(_)));

    let client_auth = ClientAuth::Required { roots: site.path("bus.key") };
    let error = ServerTls { client_auth, ..site.server() }.build().unwrap_err();
    assert!(error.to_string().contains("bus.key: holds no certificate, but PRIVATE KEY"), "{error}");
    assert!(ClientTls { root_ca_path: site.path("nowhere"), ..ClientTls::default() }.build().is_err());
}

#[test]
fn what_works_but_should_not_stay_is_a_warning() {
    let site = Site::new();
    let now = crate::rotate::unix_now();
    let mut pair = site.issue("late", &LeafRequest::server("late").expired());
    pair.server_name = Some("other.example".into());
    let later = site.issue("early", &LeafRequest::server("early").not_yet_valid());
    let loaded = ServerTls { certificates: vec![pair, later], ..site.server() }.load(now).unwrap();
    let text: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 3, "{text:?}");
    assert!(text[0].contains("late.crt: expired at 20"), "{text:?}");
    assert!(text[1].ends_with("late.crt: is not made out to other.example"), "{text:?}");
    assert!(text[2].contains("early.crt: not valid before 20"), "{text:?}");
    assert_eq!(loaded.certificates[0].name, "late");
    assert!(loaded.certificates[0].not_after < now);
}

#[tokio::test]
async fn a_ca_rotation_works_between_peers_that_reload_at_different_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    certs_dev::init(dir.path(), false).unwrap();
    let pair = |name: &str| CertifiedFile::new(path(&format!("{name}.crt")), path(&format!("{name}.key")));
    let roots = path("internal-ca.crt");
    let describe_server = ServerTls {
        certificates: vec![pair("internal-bus")],
        client_auth: ClientAuth::Required { roots: roots.clone() },
        ..ServerTls::default()
    };
    let describe_client =
        ClientTls { root_ca_path: roots, certificate: Some(pair("event-gateway")), ..ClientTls::default() };
    let both = || (describe_server.build().unwrap(), describe_client.build().unwrap());
    let before = both();
    certs_dev::rotate_ca(dir.path(), certs_dev::AuthorityName::Internal).unwrap();
    let during = both();
    certs_dev::finish_ca_rotation(dir.path(), certs_dev::AuthorityName::Internal).unwrap();
    let after = both();
    for (server, client, expected) in [
        (&before, &during, true),
        (&during, &before, true),
        (&during, &during, true),
        (&during, &after, true),
        (&after, &during, true),
        (&after, &after, true),
        (&before, &after, false),
        (&after, &before, false),
    ] {
        let (accepted, connected) = handshake(server.0.clone(), client.1.clone(), "internal-bus").await;
        assert_eq!(accepted.is_ok() && connected.is_ok(), expected);
    }
}
