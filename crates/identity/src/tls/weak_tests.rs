//! Client certificates with signatures or keys nobody should trust any more. The chains were made once and lie in `weak/`
//! without their private keys; everything about them is in order but what each row names.

use std::fs;

use tokio_rustls::rustls::internal::msgs::codec::{Codec as _, Reader};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{DigitallySignedStruct, SignatureScheme};

use super::testing::Site;
use super::*;
use crate::rotate::Material as _;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("weak/", $name)).as_slice()
    };
}

/// What the private keys of two certificates signed before they were thrown away.
const MESSAGE: &[u8] = b"what a handshake would sign";

/// What verifies clients of the CA `ca`.
fn verifier(ca: &[u8]) -> std::sync::Arc<dyn ClientCertVerifier> {
    use base64::Engine as _;
    let site = Site::new();
    let body = base64::engine::general_purpose::STANDARD.encode(ca);
    let roots = site.path("partners.crt");
    fs::write(&roots, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")).unwrap();
    let server = ServerTls { client_auth: ClientAuth::Required { roots }, ..site.server() };
    server.load(1_800_000_000).unwrap().clients
}

fn verdict(ca: &[u8], leaf: &'static [u8]) -> Result<(), String> {
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
    let verified = verifier(ca).verify_client_cert(&CertificateDer::from(leaf), &[], now);
    verified.map(drop).map_err(|error| format!("{error:?}"))
}

/// Whether a handshake goes on in which `leaf`'s key has signed with `scheme`.
fn proves(leaf: &'static [u8], scheme: SignatureScheme, signature: &[u8]) -> Result<(), String> {
    let mut bytes = Vec::new();
    scheme.encode(&mut bytes);
    bytes.extend_from_slice(&u16::try_from(signature.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(signature);
    let signed = DigitallySignedStruct::read(&mut Reader::init(&bytes)).unwrap();
    let verified =
        verifier(file!("ca.der")).verify_tls12_signature(MESSAGE, &CertificateDer::from(leaf), &signed);
    verified.map(drop).map_err(|error| format!("{error:?}"))
}

#[test]
fn weak_signatures_in_the_chain_are_refused() {
    assert_eq!(verdict(file!("ca.der"), file!("sha256.der")), Ok(()), "the same with SHA-256");
    for (what, ca, leaf) in [
        ("signed with SHA-1", file!("ca.der"), file!("sha1.der")),
        ("signed by a CA whose RSA key has 1024 bits", file!("ca-rsa1024.der"), file!("by-rsa1024.der")),
    ] {
        let refused = verdict(ca, leaf).expect_err(what);
        let told =
            ["UnsupportedSignatureAlgorithm", "UnknownIssuer"].iter().any(|word| refused.contains(word));
        assert!(told, "{what}: {refused}");
    }
}

#[test]
fn weak_keys_prove_nothing() {
    let pss = SignatureScheme::RSA_PSS_SHA256;
    assert_eq!(proves(file!("rsa2048.der"), pss, file!("rsa2048.sig")), Ok(()), "2048 bits, SHA-256");
    assert!(proves(file!("rsa1024.der"), pss, file!("rsa1024.sig")).is_err(), "an RSA key of 1024 bits");
    let sha1 = SignatureScheme::RSA_PKCS1_SHA1;
    assert!(proves(file!("rsa2048.der"), sha1, file!("rsa2048-sha1.sig")).is_err(), "a handshake with SHA-1");
}
