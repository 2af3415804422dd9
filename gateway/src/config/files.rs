//! Whether the certificates and keys a configuration names can be used.

use daemon::config::{KeyPath, Problems};
use identity::tls::ServerTls;
use identity::token::TokenVerifier;
use node::sections::TlsFiles;

use super::{CertificateMode, Config};

/// Reports files that can't be used. Paths of `config` are taken as they are.
pub(super) fn check(config: &Config, problems: &mut Problems<'_>) {
    frontend(config, problems);
    issuers(config, problems);
    link_tls(config.link.tls.as_ref(), KeyPath::from("link.tls"), problems);
    let listen = config.link.listen.as_ref().and_then(|listen| listen.tls.as_ref());
    link_tls(listen, KeyPath::from("link.listen.tls"), problems);
}

fn frontend(config: &Config, problems: &mut Problems<'_>) {
    let Some(tls) = config.server_tls() else { return };
    let mut sound = true;
    for (index, certificate) in tls.certificates.iter().enumerate() {
        let alone = ServerTls { certificates: vec![certificate.clone()], ..ServerTls::default() };
        if let Err(error) = alone.build() {
            sound = false;
            problems.at(KeyPath::root().key("frontend_tls").index(index), error.to_string());
        }
    }
    let clients = config.client_certificates.mode != CertificateMode::None;
    if sound
        && clients
        && let Err(error) = tls.build()
    {
        problems.at("client_certificates", error.to_string());
    }
}

fn issuers(config: &Config, problems: &mut Problems<'_>) {
    for (index, issuer) in config.issuers.iter().enumerate() {
        let Some(verifier) = issuer.to_verifier() else { continue };
        for error in TokenVerifier::new(vec![verifier]).err().unwrap_or_default() {
            problems.at(KeyPath::root().key("issuers").index(index), error.to_string());
        }
    }
}

fn link_tls(tls: Option<&TlsFiles>, at: KeyPath, problems: &mut Problems<'_>) {
    let Some(tls) = tls else { return };
    // Both sides of a link are checked with the dialling one: it reads all of the files.
    if let Err(error) = tls.client().build() {
        problems.at(at, error.to_string());
    }
}
