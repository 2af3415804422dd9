//! The directory as users meet it: made, added to, rotated, by the library and by the command.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use certs_dev::{Authority, AuthorityName, AuthorityOptions, Error, LeafRequest, San, Usage};
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

fn ders(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read(path).unwrap();
    Pem::iter_from_buffer(&text).map(|block| block.unwrap().contents).collect()
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).unwrap().1
}

fn key_ids(cert: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let mut ids = (None, None);
    for extension in cert.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => ids.0 = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                ids.1 = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    ids
}

fn san_text(cert: &X509Certificate<'_>) -> String {
    let names = cert.subject_alternative_name().unwrap().unwrap();
    names.value.general_names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

fn command(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_certs-dev")).args(args).output().unwrap()
}

#[test]
fn init_makes_the_whole_set_with_private_keys() {
    let dir = tempfile::tempdir().unwrap();
    let made = certs_dev::init(dir.path(), false).unwrap();
    let names =
        ["billing", "event-gateway", "frontend", "frontend-ca", "internal-bus", "internal-ca", "orders"];
    assert_eq!(made.len(), names.len());
    assert_eq!(snapshot(dir.path()).len(), 2 * names.len(), "nothing else is left in the directory");
    for name in names {
        let mode = |ext: &str| {
            fs::metadata(dir.path().join(format!("{name}.{ext}"))).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("key"), mode("crt")), (0o600, 0o644), "{name}");
    }
}

#[test]
fn leaves_say_what_they_are_for() {
    let dir = tempfile::tempdir().unwrap();
    certs_dev::init(dir.path(), false).unwrap();
    let cases = [
        ("internal-bus", "internal-ca", true, true, "DNSName(internal-bus) DNSName(localhost)"),
        ("event-gateway", "internal-ca", true, true, "DNSName(event-gateway) DNSName(localhost)"),
        (
            "billing",
            "internal-ca",
            false,
            true,
            "DNSName(billing.internal) URI(spiffe://gatehouse.dev/billing)",
        ),
        ("frontend", "frontend-ca", true, false, "DNSName(localhost)"),
    ];
    for (name, ca, server, client, names) in cases {
        let der = ders(&dir.path().join(format!("{name}.crt"))).remove(0);
        let ca_der = ders(&dir.path().join(format!("{ca}.crt"))).remove(0);
        let (cert, ca) = (parse(&der), parse(&ca_der));
        let eku = cert.extended_key_usage().unwrap().unwrap().value.clone();
        assert_eq!((eku.server_auth, eku.client_auth), (server, client), "{name}");
        assert!(san_text(&cert).starts_with(names), "{name}: {}", san_text(&cert));
        assert!(!cert.basic_constraints().unwrap().unwrap().value.ca);
        let usage = cert.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign());
        assert_eq!(cert.issuer().to_string(), ca.subject().to_string());
        let (ski, aki) = key_ids(&cert);
        assert!(ski.is_some());
        assert_eq!(aki, key_ids(&ca).0);
        assert!(ca.is_ca() && ca.key_usage().unwrap().unwrap().value.key_cert_sign());
    }
}

#[test]
fn init_replaces_nothing_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    certs_dev::init(dir.path(), false).unwrap();
    let before = snapshot(dir.path());
    assert!(matches!(certs_dev::init(dir.path(), false), Err(Error::Exists(_))));
    assert_eq!(snapshot(dir.path()), before);
    certs_dev::init(dir.path(), true).unwrap();
    assert!(snapshot(dir.path()).iter().all(|(name, content)| before[name] != *content));
}

#[test]
fn a_leaf_is_replaced_with_the_same_names_and_a_new_key() {
    let dir = tempfile::tempdir().unwrap();
    certs_dev::init(dir.path(), false).unwrap();
    let path = dir.path().join("internal-bus.crt");
    let (before, files) = (ders(&path).remove(0), snapshot(dir.path()));
    certs_dev::rotate_leaf(dir.path(), "internal-bus").unwrap();
    let after = ders(&path).remove(0);
    let (old, new) = (parse(&before), parse(&after));
    assert_eq!(san_text(&old), san_text(&new));
    assert_eq!(old.subject().to_string(), new.subject().to_string());
    assert_ne!(old.public_key().raw, new.public_key().raw);
    assert_ne!(old.raw_serial(), new.raw_serial());
    let changed = snapshot(dir.path()).into_iter().filter(|(name, content)| files[name] != *content).count();
    assert_eq!(changed, 2);
    assert!(matches!(certs_dev::rotate_leaf(dir.path(), "nobody"), Err(Error::Io { .. })));
}

#[test]
fn a_ca_is_replaced_with_overlap_and_then_without() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    certs_dev::init(dir.path(), false).unwrap();
    let (old_ca, frontend) =
        (ders(&path("internal-ca.crt")).remove(0), snapshot(dir.path())["frontend.crt"].clone());

    let made = certs_dev::rotate_ca(dir.path(), AuthorityName::Internal).unwrap();
    assert_eq!(made.len(), 5, "the CA, two processes, two services");
    let bundle = ders(&path("internal-ca.crt"));
    assert_eq!(bundle.len(), 2);
    assert_eq!(bundle[1], old_ca);
    for name in ["internal-bus", "event-gateway", "billing", "orders"] {
        let chain = ders(&path(&format!("{name}.crt")));
        assert_eq!(chain.len(), 2, "{name} carries the cross certificate");
        let (leaf, cross) = (parse(&chain[0]), parse(&chain[1]));
        assert_eq!(leaf.issuer(), parse(&bundle[0]).subject());
        assert_eq!(cross.subject(), parse(&bundle[0]).subject());
        assert_eq!(cross.issuer(), parse(&old_ca).subject());
        assert_eq!(cross.public_key().raw, parse(&bundle[0]).public_key().raw);
    }
    assert_eq!(snapshot(dir.path())["frontend.crt"], frontend, "the other CA's leaves stay");
    assert!(matches!(
        certs_dev::rotate_ca(dir.path(), AuthorityName::Internal),
        Err(Error::RotationUnderWay(_))
    ));

    // What is issued in between carries the cross certificate too.
    let request = LeafRequest::client("late");
    certs_dev::issue_into(dir.path(), "late", AuthorityName::Internal, &request).unwrap();
    assert_eq!(ders(&path("late.crt")).len(), 2);

    certs_dev::finish_ca_rotation(dir.path(), AuthorityName::Internal).unwrap();
    assert_eq!(ders(&path("internal-ca.crt")), bundle[..1]);
    assert_eq!(ders(&path("late.crt")).len(), 1);
    assert!(!path("internal-ca.cross.crt").exists());
    assert!(matches!(
        certs_dev::finish_ca_rotation(dir.path(), AuthorityName::Internal),
        Err(Error::NoRotation(_))
    ));
}

#[test]
fn load_refuses_a_key_that_is_not_the_cas() {
    let dir = tempfile::tempdir().unwrap();
    certs_dev::init(dir.path(), false).unwrap();
    fs::copy(dir.path().join("frontend-ca.key"), dir.path().join("internal-ca.key")).unwrap();
    let error = Authority::load(dir.path(), "internal-ca").unwrap_err();
    assert!(error.to_string().contains("is not the key of the first certificate"), "{error}");
    let error = Authority::load(dir.path(), "billing").unwrap_err();
    assert!(error.to_string().contains("is not the certificate of a CA"), "{error}");
}

#[test]
fn tests_can_mint_what_a_peer_must_refuse() {
    let options =
        AuthorityOptions { permitted_dns: vec!["internal".into()], ..AuthorityOptions::named("CA") };
    let authority = Authority::with_options(&options).unwrap();
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let request = LeafRequest::named("odd")
        .san(San::uri("spiffe://a/b"))
        .san(San::uri("spiffe://a/c"))
        .usage(Usage::CodeSigning)
        .valid(start, start + Duration::from_secs(60))
        .serial([1, 2, 3])
        .as_ca();
    let issued = authority.issue(&request).unwrap();
    let cert = parse(&issued.cert_der);
    assert_eq!(issued.serial, [1, 2, 3]);
    assert_eq!(cert.validity().not_before.timestamp(), 1_000_000_000);
    assert_eq!(cert.validity().not_after.timestamp(), 1_000_000_060);
    assert_eq!(san_text(&cert), "URI(spiffe://a/b) URI(spiffe://a/c)");
    assert!(cert.is_ca());
    assert!(cert.extended_key_usage().unwrap().unwrap().value.code_signing);
    assert!(parse(authority.cert_der()).name_constraints().unwrap().is_some());
    let now = SystemTime::now();
    let crl = authority.crl(&[issued.serial], now, now + Duration::from_secs(60)).unwrap();
    assert!(crl.starts_with("-----BEGIN X509 CRL-----"));
    assert!(authority.crl(&[], now, now).is_err());
}

#[test]
fn the_command_reports_what_it_made_and_how_it_was_misused() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("new/certs");
    let certs = certs.to_str().unwrap();
    let made = command(&["init", "--out", certs]);
    assert!(made.status.success());
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(text.contains("internal-bus.crt + internal-bus.key  server+client, dns:internal-bus"), "{text}");
    assert_eq!(command(&["init", "--out", certs]).status.code(), Some(1));

    let san = ["--san", "dns:stock.example", "--san", "ip:10.0.0.1", "--days", "3"];
    let issued = command(&[&["issue", "stock", "--dir", certs, "--server", "--client"], &san[..]].concat());
    let text = String::from_utf8(issued.stdout).unwrap();
    assert!(text.contains("server+client, dns:stock.example ip:10.0.0.1, until"), "{text}");

    assert!(command(&["rotate", "ca", "--dir", certs]).status.success());
    assert!(command(&["rotate", "ca", "--dir", certs, "--finish"]).status.success());
    assert!(command(&["rotate", "stock", "--dir", certs]).status.success());
    for misuse in [
        &["bake"][..],
        &["issue"],
        &["issue", "a/b", "--dir", certs],
        &["issue", "a", "--san", "host:a", "--dir", certs],
        &["issue", "a", "--days", "0", "--dir", certs],
        &["rotate", "stock", "--finish", "--dir", certs],
    ] {
        let output = command(misuse);
        assert_eq!(output.status.code(), Some(2), "{misuse:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(command(&["--help"]).status.code(), Some(0));
}
