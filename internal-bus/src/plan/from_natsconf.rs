//! From a nats-server configuration, with the command line on top, to a plan.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker::{Authenticator, Drain, RemoteUrl, ResponseKind, Role, ServiceTerms, TlsStart, WebsocketConfig};
use daemon::telemetry::{LogConfig, LogFilter, LogFormat};
use identity::tls::{CertifiedFile, ClientAuth, ClientTls, ServerTls, TlsError};
use identity::{DEFAULT_ACCOUNT, Permission, Rights};
use node::credentials::LinkCredentials;
use node::process::Ending;
use node::sections::Admin;

use super::{ImportPlan, ListenerPlan, MappingPlan, Plan, RemotePlan, TlsPlan};
use crate::auth::{LeafUsers, LiveUsers, OperatorError, Operators, Users, UsersError};
use crate::natsconf::{
    HandshakeFirst, LeafRemote, Leafnodes, Limit, NatsConf, Port, Shared, SubjectMap, Tls, TlsVersion,
    Websocket, export_of,
};

/// nats-server's port for clients.
const CLIENT_PORT: u16 = 4222;

/// Why a configuration that reads well can't be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Users or their rights.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// Operators and their accounts.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A host that is no address and has none.
    #[error("host {0:?} has no address: {1}")]
    Host(String, std::io::Error),
    /// No TLS, and not only this machine.
    #[error(
        "{0} would be listened on without TLS: give a tls block, a loopback address, or --allow-remote-plaintext"
    )]
    RemotePlaintext(SocketAddr),
    /// A `tls` block without certificate.
    #[error("{0}: tls needs cert_file and key_file")]
    NoCertificate(&'static str),
    /// A `tls` block that verifies without saying by which CA.
    #[error("{0}: tls needs ca_file to verify the other end")]
    NoCa(&'static str),
    /// Certificates, keys or CAs that can't be used.
    #[error("{0}: {1}")]
    Tls(&'static str, TlsError),
    /// A link's deny lists.
    #[error("{0}: {1}")]
    Deny(String, identity::PermissionError),
    /// Log level text.
    #[error("log level: {0}")]
    Log(String),
}

/// Makes a plan. `remote_plaintext` lets other machines connect without TLS.
///
/// # Errors
/// See [`PlanError`].
pub fn from_natsconf(conf: &NatsConf, remote_plaintext: bool) -> Result<Plan, PlanError> {
    let mut notices = Vec::new();
    notices.extend(without_effect(conf).map(|key| format!("`{key}` has no effect here")));
    let tls = conf
        .tls
        .as_ref()
        .map(|tls| listener_tls("tls", tls, conf.allow_non_tls == Some(true)))
        .transpose()?;
    let in_clear = tls.as_ref().is_none_or(|tls| tls.optional);
    let address =
        address(conf.host.as_deref(), conf.port, CLIENT_PORT, in_clear, remote_plaintext, &mut notices)?;
    let mut signed = Vec::new();
    let (authenticator, users, imports): (Arc<dyn Authenticator>, _, _) = match &conf.operator {
        Some(mode) => {
            let operators = Operators::new(mode)?;
            let (imports, refused) = operators.imports();
            notices.extend(refused);
            signed = operators.stream_limits();
            (Arc::new(operators), None, imports)
        }
        None => {
            let users = Arc::new(LiveUsers::new(Users::new(conf)?));
            (users.clone(), Some(users), imports(conf))
        }
    };
    let leafnodes = conf.leafnodes.as_ref().filter(|leafnodes| leafnodes.port.is_some());
    let leafnodes = leafnodes
        .map(|section| leaf_listener(section, &authenticator, remote_plaintext, &mut notices))
        .transpose()?;
    let websocket = conf.websocket.as_ref().filter(|section| section.port.is_some());
    let websocket = websocket
        .map(|section| self::websocket(section, &authenticator, remote_plaintext, &mut notices))
        .transpose()?;
    let remotes =
        conf.leafnodes.iter().flat_map(|section| &section.remotes).filter(|remote| !remote.disabled);
    let remotes =
        remotes.map(|remote| self::remote(remote, conf.leafnodes.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let gateway = conf.gateway.as_ref();
    let gateway =
        gateway.map(|block| super::gateway::gateway(block, remote_plaintext, &mut notices)).transpose()?;
    Ok(Plan {
        gateway,
        name: conf.server_name.clone().unwrap_or_default(),
        limits: limits(conf),
        clients: ListenerPlan {
            address,
            tls,
            authenticator,
            advertise: conf.client_advertise.clone(),
            websocket: None,
        },
        websocket,
        leafnodes,
        leafnode_compression: conf
            .leafnodes
            .as_ref()
            .map(|section| section.compression.clone())
            .unwrap_or_default(),
        accounts: accounts(conf),
        system_account: (conf.no_system_account != Some(true))
            .then(|| conf.system_account.clone().unwrap_or_else(|| "$SYS".to_owned())),
        streams: streams(conf, signed, &mut notices),
        conf: Some(conf.clone()),
        toml: None,
        users,
        imports,
        mappings: mappings(conf),
        remotes,
        admin: admin(conf)?.map(|address| Admin {
            host: address.ip(),
            port: Some(address.port()),
            ..Admin::default()
        }),
        records: None,
        log: log(conf)?,
        pid_file: conf.pid_file.clone(),
        ports_file: conf.ports_file_dir.as_deref().map(ports_file),
        ending: ending(conf),
        notices,
    })
}

fn streams(
    conf: &NatsConf,
    signed: Vec<(String, jetstream::AccountLimits)>,
    notices: &mut Vec<String>,
) -> Option<super::StreamsPlan> {
    let section = conf.jetstream.as_ref().filter(|jetstream| jetstream.enabled)?;
    Some(super::streams::from_natsconf(conf, section, signed, notices))
}

fn accounts(conf: &NatsConf) -> Vec<String> {
    let listed = conf.accounts.iter().map(|account| account.name.clone());
    let signed = conf.operator.iter().flat_map(|mode| &mode.preload).map(|(account, _)| account.clone());
    listed.chain(signed).collect()
}

/// What accounts have from each other; that it is allowed was checked on reading.
pub(crate) fn imports(conf: &NatsConf) -> Vec<ImportPlan> {
    let of_account = |account: &crate::natsconf::Account| {
        let importer = account.name.clone();
        let plan = |import: &crate::natsconf::Import| {
            let export = export_of(conf, &importer, import)?;
            let terms = ServiceTerms {
                responses: if export.many_responses { ResponseKind::Many } else { ResponseKind::Single },
                threshold: export.threshold.unwrap_or(ServiceTerms::default().threshold),
                share: import.share,
            };
            Some(ImportPlan {
                exporter: import.account.clone(),
                subject: import.subject.clone(),
                importer: importer.clone(),
                to: import.to.clone(),
                service: (import.kind == Shared::Service).then_some(terms),
            })
        };
        account.imports.iter().filter_map(plan).collect::<Vec<_>>()
    };
    conf.accounts.iter().flat_map(of_account).collect()
}

/// What the subjects of accounts stand for.
pub(crate) fn mappings(conf: &NatsConf) -> Vec<MappingPlan> {
    let global = (DEFAULT_ACCOUNT, &conf.mappings);
    let accounts = conf.accounts.iter().map(|account| (account.name.as_str(), &account.mappings));
    let rule = |map: &SubjectMap| {
        let to = map.destinations.iter().map(|to| (to.subject.clone(), to.weight)).collect();
        (map.source.clone(), to)
    };
    std::iter::once(global)
        .chain(accounts)
        .filter(|(_, maps)| !maps.is_empty())
        .map(|(account, maps)| MappingPlan {
            account: account.to_owned(),
            rules: maps.iter().map(rule).collect(),
        })
        .collect()
}

/// Settings that are understood and change nothing.
fn without_effect(conf: &NatsConf) -> impl Iterator<Item = &'static str> {
    [
        ("max_sub_tokens", conf.max_subscription_tokens.is_some()),
        ("logtime", conf.logtime == Some(false)),
        ("log_size_limit", conf.log_size_limit.is_some()),
        ("log_max_num", conf.log_max_num.is_some()),
        ("max_traced_msg_len", conf.max_traced_msg_len.is_some()),
        ("trace_headers", conf.trace_headers == Some(true)),
        ("http_base_path", conf.http_base_path.is_some()),
        ("server_tags", !conf.server_tags.is_empty()),
        ("server_metadata", !conf.server_metadata.is_empty()),
    ]
    .into_iter()
    .filter_map(|(key, set)| set.then_some(key))
}

/// Where to listen. Without a host and without TLS it is loopback: nats-server would take every address.
pub(super) fn address(
    host: Option<&str>,
    port: Option<Port>,
    default_port: u16,
    in_clear: bool,
    remote_plaintext: bool,
    notices: &mut Vec<String>,
) -> Result<SocketAddr, PlanError> {
    let port = match port {
        Some(Port::Any) => 0,
        Some(Port::Number(port)) => port,
        None => default_port,
    };
    let guarded = in_clear && !remote_plaintext;
    let Some(host) = host else {
        if guarded {
            notices.push(
                "without TLS only 127.0.0.1 is listened on; --allow-remote-plaintext lifts that".to_owned(),
            );
            return Ok(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port));
        }
        return Ok(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port));
    };
    let address = resolve(host, port)?;
    if guarded && !address.ip().is_loopback() {
        return Err(PlanError::RemotePlaintext(address));
    }
    Ok(address)
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, PlanError> {
    let error = |error| PlanError::Host(host.to_owned(), error);
    let found = (host, port).to_socket_addrs().map_err(error)?.next();
    found.ok_or_else(|| error(std::io::ErrorKind::NotFound.into()))
}

pub(super) fn listener_tls(place: &'static str, tls: &Tls, optional: bool) -> Result<TlsPlan, PlanError> {
    let certificates: Vec<CertifiedFile> = tls
        .certificates
        .iter()
        .map(|pair| CertifiedFile::new(pair.cert_file.clone(), pair.key_file.clone()))
        .collect();
    if certificates.is_empty() {
        return Err(PlanError::NoCertificate(place));
    }
    let verify = tls.verify || tls.verify_and_map;
    let client_auth = match (&tls.ca_file, verify) {
        (Some(roots), true) => ClientAuth::Required { roots: roots.clone() },
        (None, true) => return Err(PlanError::NoCa(place)),
        (_, false) => ClientAuth::None,
    };
    let start = match tls.handshake_first {
        HandshakeFirst::Never => TlsStart::AfterInfo,
        HandshakeFirst::Always => TlsStart::First,
        HandshakeFirst::WithFallback(patience) => TlsStart::Auto(patience),
    };
    let server = ServerTls { certificates, client_auth, min_version: version(tls), ..ServerTls::default() };
    server.build().map_err(|error| PlanError::Tls(place, error))?;
    Ok(TlsPlan { server, start, optional, verify })
}

pub(super) fn version(tls: &Tls) -> identity::tls::TlsVersion {
    match tls.min_version {
        Some(TlsVersion::V1_3) => identity::tls::TlsVersion::Tls13,
        Some(TlsVersion::V1_2) | None => identity::tls::TlsVersion::Tls12,
    }
}

fn leaf_listener(
    section: &Leafnodes,
    clients: &Arc<dyn Authenticator>,
    remote_plaintext: bool,
    notices: &mut Vec<String>,
) -> Result<ListenerPlan, PlanError> {
    let tls = section.tls.as_ref().map(|tls| listener_tls("leafnodes.tls", tls, false)).transpose()?;
    let (host, port) = (section.host.as_deref(), section.port);
    let address =
        address(host, port, crate::natsconf::DEFAULT_LEAF_PORT, tls.is_none(), remote_plaintext, notices)?;
    let verified = tls.as_ref().is_some_and(|tls| tls.verify);
    Ok(ListenerPlan {
        address,
        tls,
        authenticator: Arc::new(LeafUsers::new(section.authorization.clone(), verified, clients.clone())),
        advertise: section.advertise.clone(),
        websocket: None,
    })
}

fn websocket(
    section: &Websocket,
    clients: &Arc<dyn Authenticator>,
    remote_plaintext: bool,
    notices: &mut Vec<String>,
) -> Result<ListenerPlan, PlanError> {
    let tls = section.tls.as_ref().map(|tls| listener_tls("websocket.tls", tls, false)).transpose()?;
    let tls = tls.map(|tls| TlsPlan { start: TlsStart::First, ..tls });
    let (host, port) = (section.host.as_deref(), section.port);
    let address =
        address(host, port, node::websocket::DEFAULT_PORT, tls.is_none(), remote_plaintext, notices)?;
    Ok(ListenerPlan {
        address,
        tls,
        authenticator: clients.clone(),
        advertise: section.advertise.clone(),
        websocket: Some(WebsocketConfig {
            // What is no origin has been reported.
            allowed_origins: section.allowed_origins.iter().filter_map(|text| text.parse().ok()).collect(),
            same_origin: section.same_origin,
        }),
    })
}

/// URLs as the broker takes them.
pub(super) fn remote_urls(urls: &[crate::natsconf::RemoteUrl]) -> Vec<RemoteUrl> {
    let url = |url: &crate::natsconf::RemoteUrl| RemoteUrl {
        host: url.host.clone(),
        port: url.port,
        tls: url.tls,
        user: url.user.as_ref().map(|user| user.expose().to_owned()),
        password: url.password.as_ref().map(|password| password.expose().to_owned()),
        certificate_name: None,
    };
    urls.iter().map(url).collect()
}

fn remote(remote: &LeafRemote, section: Option<&Leafnodes>) -> Result<RemotePlan, PlanError> {
    let tls = match &remote.tls {
        Some(tls) => {
            let pair = tls.certificates.first();
            let root_ca_path = tls.ca_file.clone().ok_or(PlanError::NoCa("leafnodes.remotes.tls"))?;
            let certificate =
                pair.map(|pair| CertifiedFile::new(pair.cert_file.clone(), pair.key_file.clone()));
            let client =
                ClientTls { root_ca_path, certificate, min_version: version(tls), ..ClientTls::default() };
            client.build().map_err(|error| PlanError::Tls("leafnodes.remotes.tls", error))?;
            Some(client)
        }
        None => None,
    };
    let first = remote.tls.as_ref().is_some_and(|tls| tls.handshake_first == HandshakeFirst::Always);
    let urls = remote_urls(&remote.urls);
    let every = section.and_then(|section| section.reconnect_interval).unwrap_or(Duration::from_secs(1));
    Ok(RemotePlan {
        name: urls.first().map(|url| format!("{}:{}", url.host, url.port)).unwrap_or_default(),
        urls,
        discover: !remote.ignore_discovered_servers,
        connections: 1,
        login: LinkCredentials {
            nkey_seed: remote.nkey.as_ref().map(|seed| seed.expose().to_owned()),
            credentials_path: remote.credentials.clone(),
            ..LinkCredentials::default()
        },
        tls,
        server_name: None,
        handshake_first: first,
        compression: remote.compression.clone(),
        role: if remote.hub { Role::Hub } else { Role::Spoke },
        account: remote.account.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
        limits: denied(remote)?,
        backoff: (every.min(Duration::from_secs(1)), every),
    })
}

/// What the remote's deny lists leave.
fn denied(remote: &LeafRemote) -> Result<Option<Rights>, PlanError> {
    if remote.deny_imports.is_empty() && remote.deny_exports.is_empty() {
        return Ok(None);
    }
    let error = |error| PlanError::Deny(remote.at.to_string(), error);
    let publish = Permission::for_publish(None, &remote.deny_exports).map_err(error)?;
    let subscribe = Permission::for_subscribe(None, &remote.deny_imports).map_err(error)?;
    Ok(Some(Rights::new(publish, subscribe, None)))
}

pub(crate) fn limits(conf: &NatsConf) -> broker::Limits {
    let default = broker::Limits::default();
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let many = |limit: Option<Limit>, unlimited: usize, default: usize| match limit {
        Some(Limit::Unlimited) => unlimited,
        Some(Limit::AtMost(limit)) => bytes(limit),
        None => default,
    };
    let authorization = conf.authorization.as_ref().and_then(|authorization| authorization.timeout);
    let control = conf.max_control_line.map_or(default.max_control_line, |line| line as usize);
    broker::Limits {
        max_control_line: control,
        max_connect_line: default.max_connect_line.max(control),
        max_payload: conf.max_payload.map_or(default.max_payload, |payload| payload as usize),
        headers: conf.no_header_support != Some(true),
        max_pending: conf.max_pending.map_or(default.max_pending, bytes),
        max_closed_clients: conf.max_closed_clients.map_or(default.max_closed_clients, bytes),
        max_connections: many(conf.max_connections, usize::MAX, default.max_connections),
        max_subscriptions: many(conf.max_subscriptions, 0, default.max_subscriptions),
        ping_interval: conf.ping_interval.unwrap_or(default.ping_interval),
        ping_max: conf.ping_max.unwrap_or(default.ping_max),
        write_deadline: conf.write_deadline.unwrap_or(default.write_deadline),
        tls_timeout: conf.tls.as_ref().and_then(|tls| tls.timeout).unwrap_or(default.tls_timeout),
        auth_timeout: authorization.unwrap_or(default.auth_timeout),
        ..default
    }
}

fn admin(conf: &NatsConf) -> Result<Option<SocketAddr>, PlanError> {
    let Some(port) = conf.http_port else { return Ok(None) };
    let port = match port {
        Port::Any => 0,
        Port::Number(port) => port,
    };
    // The monitoring port has no login: loopback unless a host is named for it.
    resolve(conf.http_host.as_deref().unwrap_or("127.0.0.1"), port).map(Some)
}

fn log(conf: &NatsConf) -> Result<LogConfig, PlanError> {
    let level = match (conf.trace, conf.debug) {
        (Some(true), _) => "trace",
        (_, Some(true)) => "debug",
        _ => "info",
    };
    let level: LogFilter =
        level.parse().map_err(|error: daemon::telemetry::FilterError| PlanError::Log(error.to_string()))?;
    Ok(LogConfig { format: LogFormat::Nats, level, file: conf.log_file.clone() })
}

/// As nats-server names it: by the program's own name and the process id.
fn ports_file(folder: &Path) -> PathBuf {
    let program = std::env::args_os().next().map(PathBuf::from);
    let program = program
        .as_ref()
        .and_then(|path| path.file_name())
        .map_or("internal-bus".into(), |name| name.to_string_lossy());
    folder.join(format!("{program}_{}.ports", std::process::id()))
}

fn ending(conf: &NatsConf) -> Ending {
    let default = Ending::default();
    let grace = conf.lame_duck_grace_period.unwrap_or(default.lame_duck.grace);
    let spread =
        conf.lame_duck_duration.map_or(default.lame_duck.spread, |whole| whole.saturating_sub(grace));
    Ending { lame_duck: Drain { grace, spread, ..default.lame_duck }, ..default }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::natsconf::parse_file;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nats.conf");
        std::fs::write(&path, text).unwrap();
        let (conf, _) = parse_file(&path, false).unwrap();
        from_natsconf(&conf, false).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn files_are_looked_at_before_anything_starts() {
        let tls = r#"tls { cert_file: "/nowhere/a.crt", key_file: "/nowhere/a.key" }"#;
        let absent = "/nowhere/a.crt: No such file or directory (os error 2)";
        assert_eq!(refusal(tls), format!("tls: {absent}"));
        assert_eq!(refusal(&format!("leafnodes {{ port: -1, {tls} }}")), format!("leafnodes.tls: {absent}"));
        let remote = r#"leafnodes { remotes: [{ url: "tls://a", tls { ca_file: "/nowhere/a.crt" } }] }"#;
        assert_eq!(refusal(remote), format!("leafnodes.remotes.tls: {absent}"));
    }
}
