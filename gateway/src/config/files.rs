//! Whether the certificates and keys a configuration names can be used.

use daemon::config::{KeyPath, Problems};
use identity::opaque;
use identity::tls::ServerTls;
use identity::token::TokenVerifier;
use node::checks::tls_files;

use super::{CertificateMode, Config};

/// Reports files that can't be used. Paths of `config` are taken as they are.
pub(super) fn check(config: &Config, problems: &mut Problems<'_>) {
    frontend(config, problems);
    issuers(config, problems);
    node::admin::check_files(&config.admin, problems);
    node::checks::login_files(&config.link, &KeyPath::from("link"), problems);
    services(config, problems);
    let listen = config.link.listen.as_ref().and_then(|listen| listen.tls.as_ref());
    for (tls, at) in [(config.link.tls.as_ref(), "link.tls"), (listen, "link.listen.tls")] {
        tls.into_iter().for_each(|tls| tls_files(tls, KeyPath::from(at), problems));
    }
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
        if issuer.location().is_some()
            && !issuer.plain_http()
            && let Err(error) = issuer.fetching().tls().build()
        {
            problems.at(KeyPath::root().key("issuers").index(index).key("fetch"), error.to_string());
        }
    }
}

/// The file of opaque tokens, and TLS of the services that are asked.
fn services(config: &Config, problems: &mut Problems<'_>) {
    if let Some(tokens) = &config.opaque_tokens
        && let Err(error) = opaque::read(&tokens.file)
    {
        problems.at("opaque_tokens.file", error.to_string());
    }
    let calls = [
        config.introspection.as_ref().map(|section| ("introspection.call", &section.call)),
        config.auth.as_ref().map(|section| ("auth.call", &section.call)),
    ];
    for (at, call) in calls.into_iter().flatten().filter(|(_, call)| !call.allow_http_on_loopback) {
        if let Err(error) = call.tls().build() {
            problems.at(at, error.to_string());
        }
    }
}
