//! From `internal-bus.toml` to a plan.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::{Role, TlsStart};
use daemon::config::{ConfigErrors, Problems, environment, load_checked};
use identity::peer::IdentitySource;
use identity::policy::{Policy, PolicyConfig};
use node::leafnodes::{PeerNames, beside};
use node::process::Ending;
use node::sections::{Leafnodes, Link, TlsFiles, parse_url, policy_key};

use super::{ListenerPlan, Plan, RemotePlan, TlsPlan};
use crate::auth::Certificates;
use crate::config::{Config, Tls};

/// The admin port where none is configured.
const ADMIN_PORT: u16 = 8223;

/// Reads a configuration and makes a plan of it. Relative paths are relative to the file's folder.
///
/// # Errors
/// Everything that is wrong, each with file, line, key and what was expected.
pub fn from_toml(path: &Path) -> Result<Plan, ConfigErrors> {
    let mut plan = None;
    load_checked::<Config>(path, environment(), |config, problems| plan = make(path, config, problems))?;
    plan.ok_or_else(|| daemon::config::ConfigError::file(path.display().to_string(), "makes no plan").into())
}

fn make(path: &Path, config: &Config, problems: &mut Problems<'_>) -> Option<Plan> {
    let service = &config.service;
    let remote_plaintext = service.plaintext && !service.host.is_loopback();
    if service.plaintext && config.tls.is_some() {
        problems.at("service.plaintext", "there is a [tls] section: expected one or the other");
    }
    if !service.plaintext && config.tls.is_none() {
        problems.at("tls", "missing: expected cert_path, key_path and root_ca_path (or, for tests, `plaintext = true` in [service])");
    }
    if remote_plaintext && !service.allow_remote_plaintext {
        problems.at(
            "service.host",
            "without TLS only a loopback address is listened on, unless `allow_remote_plaintext = true`",
        );
    }
    let policy = PolicyConfig { roles: config.roles.clone(), bindings: config.bindings.clone() };
    let policy = match Policy::compile(&policy) {
        Ok(policy) => policy,
        Err(errors) => {
            for error in errors {
                problems.at(policy_key(&error).as_str(), error.problem.clone());
            }
            return None;
        }
    };
    let mut notices = Vec::new();
    if policy.is_empty() {
        notices.push("no [[roles]]: every service the CA has signed may use every subject".to_owned());
    }
    if service.plaintext {
        notices.push("clients connect without TLS and without proof of who they are".to_owned());
    }
    let mut limits = config.limits.to_broker();
    limits.max_connections = service.listener_limit;
    limits.max_queued_messages = service.event_limit;
    let tls = config.tls.as_ref().map(|tls| files(path, tls));
    let order =
        config.tls.as_ref().map_or(IdentitySource::DEFAULT_ORDER.to_vec(), |tls| tls.identity.clone());
    let (leafnodes, remotes) = match &config.leafnodes {
        Some(section) => (leafnodes(path, section, tls.as_ref(), problems), remotes(path, section, problems)),
        None => (None, Vec::new()),
    };
    Some(Plan {
        name: service.name.clone(),
        limits,
        clients: ListenerPlan {
            address: SocketAddr::new(service.host, service.port),
            tls: tls.as_ref().map(listener_tls),
            authenticator: Arc::new(Certificates::new(order, policy, service.plaintext)),
            advertise: None,
        },
        leafnodes,
        remotes,
        admin: (!config.admin.disabled).then(|| config.admin.address(ADMIN_PORT)),
        log: config.log.clone(),
        pid_file: service.pid_file.as_ref().map(|file| beside(path, file)),
        ports_file: service.ports_file.as_ref().map(|file| beside(path, file)),
        ending: Ending::default(),
        notices,
    })
}

fn files(config: &Path, tls: &Tls) -> TlsFiles {
    TlsFiles {
        cert_path: beside(config, &tls.cert_path),
        key_path: beside(config, &tls.key_path),
        root_ca_path: beside(config, &tls.root_ca_path),
        server_name: None,
        crl_paths: all_beside(config, &tls.crl_paths),
        handshake_first: tls.handshake_first,
    }
}

fn all_beside(config: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().map(|path| beside(config, path)).collect()
}

fn settled(config: &Path, files: &TlsFiles) -> TlsFiles {
    TlsFiles {
        cert_path: beside(config, &files.cert_path),
        key_path: beside(config, &files.key_path),
        root_ca_path: beside(config, &files.root_ca_path),
        crl_paths: all_beside(config, &files.crl_paths),
        ..files.clone()
    }
}

fn listener_tls(files: &TlsFiles) -> TlsPlan {
    TlsPlan {
        server: files.server(),
        start: if files.handshake_first { TlsStart::First } else { TlsStart::AfterInfo },
        optional: false,
        verify: true,
    }
}

fn leafnodes(
    config: &Path,
    section: &Leafnodes,
    own: Option<&TlsFiles>,
    problems: &mut Problems<'_>,
) -> Option<ListenerPlan> {
    if section.disabled {
        return None;
    }
    let files = section.tls.as_ref().map(|files| settled(config, files)).or_else(|| own.cloned());
    if !section.plaintext && files.is_none() {
        problems.at("leafnodes.tls", "links need TLS: expected cert_path, key_path and root_ca_path here or in [tls], or `plaintext = true`");
    }
    if !section.plaintext && section.peers.is_empty() {
        problems.at("leafnodes.peers", "nobody may link: expected the certificate names of the gateways");
    }
    if section.plaintext && !section.host.is_loopback() {
        problems.at("leafnodes.host", "without TLS only a loopback address is listened on");
    }
    Some(ListenerPlan {
        address: section.address(),
        tls: files.filter(|_| !section.plaintext).as_ref().map(listener_tls),
        authenticator: Arc::new(PeerNames::new(section.peers.clone(), section.plaintext)),
        advertise: None,
    })
}

fn remotes(config: &Path, section: &Leafnodes, problems: &mut Problems<'_>) -> Vec<RemotePlan> {
    let mut remotes = Vec::new();
    for (at, link) in section.remotes.iter().enumerate() {
        remotes.extend(remote(config, at, link, problems));
    }
    remotes
}

fn remote(config: &Path, at: usize, link: &Link, problems: &mut Problems<'_>) -> Option<RemotePlan> {
    let mut urls = Vec::new();
    for (number, url) in link.urls.iter().enumerate() {
        match parse_url(url) {
            Ok(url) => urls.push(url),
            Err(error) => {
                problems.at(format!("leafnodes.remotes[{at}].urls[{number}]").as_str(), error.to_string())
            }
        }
    }
    if link.urls.is_empty() {
        problems.at(format!("leafnodes.remotes[{at}]").as_str(), "expected `urls`, where to dial");
    }
    let files = link.tls.as_ref().map(|files| settled(config, files));
    Some(RemotePlan {
        name: link.name.clone(),
        urls,
        server_name: files.as_ref().and_then(|files| files.server_name.clone()),
        handshake_first: files.as_ref().is_some_and(|files| files.handshake_first),
        tls: files.as_ref().map(TlsFiles::client),
        // The bus is the hub of its gateways, also where it dials them.
        role: Role::Hub,
        account: identity::DEFAULT_ACCOUNT.to_owned(),
        limits: None,
        backoff: link.backoff(),
    })
}
