//! From `internal-bus.toml` to a plan.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::{Role, TlsStart};
use daemon::config::{ConfigErrors, KeyPath, Problems, environment, load_checked};
use daemon::telemetry::LogConfig;
use identity::peer::IdentitySource;
use identity::policy::{Policy, PolicyConfig};
use node::checks;
use node::credentials::LinkCredentials;
use node::gateways::{Gateway, GatewayPlan};
use node::leafnodes::{PeerNames, beside};
use node::process::Ending;
use node::sections::{Admin, Leafnodes, Link, TlsFiles, parse_url, policy_key};

use super::streams;
use super::{ListenerPlan, Plan, RecordsPlan, RemotePlan, TlsPlan};
use crate::auth::Certificates;
use crate::config::{Config, Tls};

/// The name of our cluster where only `gateway_port` is given.
const SHORT_NAME: &str = "event-service";
/// The admin port where none is configured.
const ADMIN_PORT: u16 = 8223;

/// Reads a configuration and makes a plan of it. Relative paths are relative to the file's folder.
///
/// # Errors
/// Everything that is wrong, each with file, line, key and what was expected.
pub fn from_toml(path: &Path) -> Result<Plan, ConfigErrors> {
    let mut plan = None;
    let config =
        load_checked::<Config>(path, environment(), |config, problems| plan = make(path, config, problems))?;
    let none = || daemon::config::ConfigError::file(path.display().to_string(), "makes no plan").into();
    plan.map(|plan| Plan { toml: Some(config), ..plan }).ok_or_else(none)
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
    limits_named_otherwise(config, problems);
    let mut limits = config.limits.to_broker();
    limits.max_connections = service.listener_limit;
    limits.max_queued_messages = service.event_limit;
    node::admin::check(&config.admin, problems);
    node::admin::check_files(&admin(path, config), problems);
    let tls = config.tls.as_ref().map(|tls| files(path, tls));
    if let Some(files) = &tls {
        checks::tls_files(files, KeyPath::from("tls"), problems);
    }
    let order =
        config.tls.as_ref().map_or(IdentitySource::DEFAULT_ORDER.to_vec(), |tls| tls.identity.clone());
    let certificates = Arc::new(Certificates::new(order, policy, service.plaintext));
    let (leafnodes, remotes) = match &config.leafnodes {
        Some(section) => (
            leafnodes(path, section, tls.as_ref(), service.allow_remote_plaintext, problems),
            remotes(path, section, problems),
        ),
        None => (None, Vec::new()),
    };
    Some(Plan {
        name: service.name.clone(),
        limits,
        clients: ListenerPlan {
            address: SocketAddr::new(service.host, service.port),
            tls: tls.as_ref().map(listener_tls),
            authenticator: Arc::clone(&certificates) as _,
            advertise: None,
            websocket: None,
        },
        websocket: websocket(config, tls.as_ref(), &certificates, problems),
        leafnodes,
        leafnode_compression: config
            .leafnodes
            .as_ref()
            .map(|section| section.compression.config())
            .unwrap_or_default(),
        gateway: gateway(path, config, tls.as_ref(), problems),
        imports: Vec::new(),
        mappings: Vec::new(),
        streams: config.streams.as_ref().map(|section| streams::from_toml(path, section, problems)),
        conf: None,
        toml: None,
        users: None,
        accounts: Vec::new(),
        system_account: None,
        remotes,
        admin: (!config.admin.disabled).then(|| admin(path, config)),
        records: Some(records(path, config, certificates)),
        log: LogConfig {
            file: config.log.file.as_ref().map(|file| beside(path, file)),
            ..config.log.clone()
        },
        pid_file: service.pid_file.as_ref().map(|file| beside(path, file)),
        ports_file: service.ports_file.as_ref().map(|file| beside(path, file)),
        ending: Ending::default(),
        notices,
    })
}

fn admin(path: &Path, config: &Config) -> Admin {
    let mut admin = config.admin.clone();
    admin.paths().for_each(|file| *file = beside(path, file));
    Admin { port: Some(admin.port.unwrap_or(ADMIN_PORT)), ..admin }
}

fn records(path: &Path, config: &Config, certificates: Arc<Certificates>) -> RecordsPlan {
    let (mut revocation, mut audit) = (config.revocation.clone(), config.audit.clone());
    revocation.paths().chain(audit.paths()).for_each(|file| *file = beside(path, file));
    RecordsPlan { certificates, revocation, audit }
}

/// Two bounds of the broker have names of their own in this file.
fn limits_named_otherwise(config: &Config, problems: &mut Problems<'_>) {
    let limits = &config.limits;
    if limits.max_connections.is_some() {
        problems.at("limits.max_connections", "expected `listener_limit` in [service] instead");
    }
    if limits.max_queued_messages.is_some() {
        problems.at("limits.max_queued_messages", "expected `event_limit` in [service] instead");
    }
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

fn websocket(
    config: &Config,
    tls: Option<&TlsFiles>,
    certificates: &Arc<Certificates>,
    problems: &mut Problems<'_>,
) -> Option<ListenerPlan> {
    let section = config.websocket.as_ref()?;
    section.check(tls.is_none(), config.service.allow_remote_plaintext, problems);
    Some(ListenerPlan {
        address: section.address(),
        tls: tls.map(|files| TlsPlan { start: TlsStart::First, ..listener_tls(files) }),
        authenticator: Arc::clone(certificates) as _,
        advertise: None,
        websocket: Some(section.config()),
    })
}

fn leafnodes(
    config: &Path,
    section: &Leafnodes,
    own: Option<&TlsFiles>,
    allow_remote_plaintext: bool,
    problems: &mut Problems<'_>,
) -> Option<ListenerPlan> {
    if section.disabled {
        return None;
    }
    let theirs = section.tls.as_ref().map(|files| settled(config, files));
    if let Some(files) = &theirs {
        checks::tls_files(files, KeyPath::from("leafnodes.tls"), problems);
    }
    let files = theirs.or_else(|| own.cloned());
    let at = KeyPath::from("leafnodes");
    checks::accepting(section, files.is_some(), allow_remote_plaintext, &at, problems);
    Some(ListenerPlan {
        address: section.address(),
        tls: files.filter(|_| !section.plaintext).as_ref().map(listener_tls),
        authenticator: Arc::new(PeerNames::new(section.peers.clone(), section.plaintext)),
        advertise: None,
        websocket: None,
    })
}

/// `[gateway]`, or what `gateway_port` in `[service]` is short for.
fn gateway(
    path: &Path,
    config: &Config,
    own: Option<&TlsFiles>,
    problems: &mut Problems<'_>,
) -> Option<GatewayPlan> {
    let service = &config.service;
    let mut section = match (&config.gateway, service.gateway_port) {
        (Some(_), Some(_)) => {
            problems.at("service.gateway_port", "goes instead of a [gateway] section, not with it");
            return None;
        }
        (Some(section), None) => section.clone(),
        (None, Some(port)) => Gateway {
            host: service.host,
            peers: vec!["event-gateway".to_owned()],
            plaintext: service.plaintext,
            ..Gateway::named(SHORT_NAME, port)
        },
        (None, None) => return None,
    };
    section.tls_sections().for_each(|files| *files = settled(path, files));
    section.check(own.is_some(), service.allow_remote_plaintext, &KeyPath::from("gateway"), problems);
    Some(section.plan(own))
}

fn remotes(config: &Path, section: &Leafnodes, problems: &mut Problems<'_>) -> Vec<RemotePlan> {
    let at = |index| KeyPath::from("leafnodes.remotes").index(index);
    let links = section.remotes.iter().enumerate();
    links.map(|(index, link)| remote(config, &at(index), link, problems)).collect()
}

fn remote(config: &Path, at: &KeyPath, link: &Link, problems: &mut Problems<'_>) -> RemotePlan {
    checks::dialled_by_the_bus(link, at, problems);
    let files = link.tls.as_ref().map(|files| settled(config, files));
    if let Some(files) = &files {
        checks::tls_files(files, at.clone().key("tls"), problems);
    }
    let mut link = link.clone();
    link.login_files().for_each(|path| *path = beside(config, path));
    checks::login_files(&link, at, problems);
    let login = LinkCredentials::of(&link);
    RemotePlan {
        name: link.name.clone(),
        // What is no URL has been reported.
        urls: link.urls.iter().filter_map(|url| parse_url(url).ok()).collect(),
        discover: link.discover,
        connections: link.connections,
        login,
        server_name: files.as_ref().and_then(|files| files.server_name.clone()),
        handshake_first: files.as_ref().is_some_and(|files| files.handshake_first),
        tls: files.as_ref().map(TlsFiles::client),
        compression: link.compression.config(),
        // The bus is the hub of its gateways, also where it dials them.
        role: Role::Hub,
        account: identity::DEFAULT_ACCOUNT.to_owned(),
        limits: None,
        backoff: link.backoff(),
    }
}

#[cfg(test)]
mod tests;
