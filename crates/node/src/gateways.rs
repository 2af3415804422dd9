//! Taking part in a super-cluster: the `[gateway]` section, who may connect, and how it is carried out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use broker::{
    Authenticator, Credentials, Crossing, Decision, Denied, DialTls, GatewayConfig, GatewayRemote, LinkGroup,
    ListenerTls, Login, RemoteUrl, Server, TlsStart,
};
use daemon::config::{KeyPath, Period, Problems};
use identity::Grant;
use identity::peer::PeerCertificate;
use identity::tls::{ClientTls, ServerTls};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::checks;
use crate::credentials::LinkCredentials;
use crate::leafnodes::LinkError;
use crate::sections::{TlsFiles, parse_url_with};
use crate::tls::Reloads;

/// The port of gateways where none is configured.
pub const DEFAULT_PORT: u16 = 7222;

/// `[gateway]`: this process as a cluster of a super-cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The name of our cluster. Each process needs one of its own.
    pub name: String,
    /// Address to listen on.
    #[serde(default = "any_address")]
    pub host: IpAddr,
    /// Port; 0 takes a free one. Default 7222.
    #[serde(default = "default_port")]
    pub port: u16,
    /// `host:port` told to others, where they can't dial the address listened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// Certificate names that may connect. Empty: nobody, unless there is no TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// User that others log in as here, and we there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its password. Secret.
    #[serde(default, skip_serializing)]
    pub password: Option<String>,
    /// Mutual TLS, both ways; the process's own `[tls]` or `[link] tls` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Without TLS: for tests and for links protected otherwise.
    #[serde(default)]
    pub plaintext: bool,
    /// Clusters that are not among the remotes are neither let in nor dialled.
    #[serde(default)]
    pub reject_unknown_cluster: bool,
    /// Clusters to connect to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<Remote>,
    /// First delay before dialling again. Default 100 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_min: Option<Period>,
    /// Longest delay. Default 5 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_max: Option<Period>,
}

/// One `[[gateway.remotes]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// The cluster's name, as its servers give it.
    pub name: String,
    /// Where its servers take gateways: `tls://host:port`, or `nats://host:port` without TLS.
    pub urls: Vec<String>,
    /// Mutual TLS towards it; that of `[gateway]` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

fn any_address() -> IpAddr {
    IpAddr::from([0, 0, 0, 0])
}

fn default_port() -> u16 {
    DEFAULT_PORT
}

impl Gateway {
    /// A section with nothing but a name and a port.
    #[must_use]
    pub fn named(name: &str, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            host: any_address(),
            port,
            advertise: None,
            peers: Vec::new(),
            user: None,
            password: None,
            tls: None,
            plaintext: false,
            reject_unknown_cluster: false,
            remotes: Vec::new(),
            backoff_min: None,
            backoff_max: None,
        }
    }

    /// Every `tls` of the section, to be put beside the configuration.
    pub fn tls_sections(&mut self) -> impl Iterator<Item = &mut TlsFiles> {
        self.tls.iter_mut().chain(self.remotes.iter_mut().filter_map(|remote| remote.tls.as_mut()))
    }

    /// Reports what types can't say. `own_tls` says whether the process has certificates of its own to fall back on.
    pub fn check(&self, own_tls: bool, remote_plaintext: bool, at: &KeyPath, problems: &mut Problems<'_>) {
        if self.name.is_empty() || self.name.contains(char::is_whitespace) {
            problems.at(at.clone().key("name"), "expected a name without spaces");
        }
        let tls = self.tls.is_some() || own_tls;
        if self.plaintext {
            if !self.host.is_loopback() && !remote_plaintext {
                let message = "without TLS only a loopback address is listened on (host = \"127.0.0.1\"), unless `allow_remote_plaintext = true` in [service]";
                problems.at(at.clone().key("plaintext"), message);
            }
        } else if !tls {
            problems.at(at.clone().key("tls"), "gateways need TLS: expected cert_path, key_path and root_ca_path here or in the section above, or `plaintext = true`");
        } else if self.peers.is_empty() {
            problems
                .at(at.clone().key("peers"), "nobody may connect: expected the certificate names that may");
        }
        if self.password.is_some() != self.user.is_some() {
            problems.at(at.clone().key("password"), "`user` and `password` go together");
        }
        if let Some(files) = &self.tls {
            checks::tls_files(files, at.clone().key("tls"), problems);
        }
        for (index, remote) in self.remotes.iter().enumerate() {
            let at = at.clone().key("remotes").index(index);
            if remote.urls.is_empty() {
                problems.at(at.clone().key("urls"), "expected where to dial");
            }
            for (index, url) in remote.urls.iter().enumerate() {
                let here = at.clone().key("urls").index(index);
                match parse_url_with(url, DEFAULT_PORT) {
                    Ok(url) if url.tls && remote.tls.is_none() && (!tls || self.plaintext) => {
                        problems.at(here, "a tls:// URL needs `tls` with certificate, key and CA");
                    }
                    Ok(_) => {}
                    Err(error) => problems.at(here, error.to_string()),
                }
            }
            if let Some(files) = &remote.tls {
                checks::tls_files(files, at.key("tls"), problems);
            }
        }
    }

    /// What is to be done. `own_tls` are the process's own certificates.
    #[must_use]
    pub fn plan(&self, own_tls: Option<&TlsFiles>) -> GatewayPlan {
        let files = self.tls.as_ref().or(own_tls).filter(|_| !self.plaintext);
        let dial =
            |files: &TlsFiles| DialPlan { tls: files.client(), server_name: files.server_name.clone() };
        let remotes = self.remotes.iter().map(|remote| RemotePlan {
            name: remote.name.clone(),
            // What is no URL has been reported.
            urls: remote.urls.iter().filter_map(|url| parse_url_with(url, DEFAULT_PORT).ok()).collect(),
            tls: remote.tls.as_ref().map(dial),
        });
        GatewayPlan {
            name: self.name.clone(),
            address: SocketAddr::new(self.host, self.port),
            advertise: self.advertise.clone(),
            listen_tls: files.map(TlsFiles::server),
            verify: true,
            dial_tls: files.map(dial),
            peers: Peers {
                names: (!self.plaintext).then(|| self.peers.clone()),
                certificate: !self.plaintext,
                login: self.user.clone().zip(self.password.clone()),
            },
            remotes: remotes.collect(),
            reject_unknown: self.reject_unknown_cluster,
            backoff: (
                self.backoff_min.map_or(Duration::from_millis(100), Duration::from),
                self.backoff_max.map_or(Duration::from_secs(5), Duration::from),
            ),
            hold: crate::sections::DEFAULT_HOLD,
        }
    }
}

/// TLS towards another cluster.
#[derive(Debug, Clone)]
pub struct DialPlan {
    /// The files.
    pub tls: ClientTls,
    /// The name to expect in the other end's certificate.
    pub server_name: Option<String>,
}

/// A cluster to connect to.
#[derive(Debug, Clone)]
pub struct RemotePlan {
    /// Its name.
    pub name: String,
    /// Where to dial.
    pub urls: Vec<RemoteUrl>,
    /// TLS towards it, where it differs.
    pub tls: Option<DialPlan>,
}

/// How to take part in a super-cluster, whichever language it was configured in.
#[derive(Debug, Clone)]
pub struct GatewayPlan {
    /// The name of our cluster.
    pub name: String,
    /// Where to listen.
    pub address: SocketAddr,
    /// `host:port` to tell others instead.
    pub advertise: Option<String>,
    /// TLS of the listener.
    pub listen_tls: Option<ServerTls>,
    /// Certificates are demanded there.
    pub verify: bool,
    /// TLS towards others.
    pub dial_tls: Option<DialPlan>,
    /// Who may connect.
    pub peers: Peers,
    /// Clusters to connect to.
    pub remotes: Vec<RemotePlan>,
    /// Only those.
    pub reject_unknown: bool,
    /// First and longest delay before dialling again.
    pub backoff: (Duration, Duration),
    /// How long publishers wait for a link that is down.
    pub hold: Duration,
}

/// Who may connect as a gateway.
#[derive(Clone, Default)]
pub struct Peers {
    /// Names of which a certificate has to bear one; `None` accepts every certificate the CA has signed.
    pub names: Option<Vec<String>>,
    /// Whether a certificate has to be shown.
    pub certificate: bool,
    /// User and password that have to be given.
    pub login: Option<(String, String)>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Peers {
    fn decide(&self, login: &Login<'_>) -> Result<Arc<Grant>, Denied> {
        let Credentials::Gateway(connect) = login.credentials else {
            return Err(Denied::new("wrong_port", "not a gateway"));
        };
        if let Some((user, password)) = &self.login {
            let same = |given: &Option<String>, known: &str| {
                bool::from(given.as_deref().unwrap_or_default().as_bytes().ct_eq(known.as_bytes()))
            };
            if !(same(&connect.user, user) & same(&connect.pass, password)) {
                return Err(Denied::new("password", "the gateway's user or password is wrong"));
            }
        }
        let cluster = connect.gateway.as_deref().unwrap_or_default();
        let Some(leaf) = login.certificates.first() else {
            return if self.certificate {
                Err(Denied::new("no_certificate", "the gateway showed no certificate"))
            } else {
                Ok(Arc::new(Grant::unrestricted(cluster)))
            };
        };
        let certificate = PeerCertificate::from_der(leaf)
            .map_err(|error| Denied::new("certificate", format!("unreadable certificate: {error}")))?;
        let names: Vec<&str> = certificate.names().collect();
        match &self.names {
            Some(known) if !certificate.bears_any(known) => Err(Denied::new(
                "peer_name",
                format!("certificate of {names:?} is not among the configured peers"),
            )),
            _ => Ok(Arc::new(Grant::unrestricted(names.first().copied().unwrap_or(cluster)))),
        }
    }
}

impl Authenticator for Peers {
    fn required(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(std::future::ready(self.decide(&login).map(Into::into)))
    }
}

/// Carries out a plan. With routes (`crossing`) it is about the account of `grant`, else about all.
///
/// # Errors
/// See [`LinkError`].
pub fn join(
    server: &Server,
    reloads: &Reloads,
    plan: GatewayPlan,
    crossing: Option<Arc<Crossing>>,
    group: Arc<LinkGroup>,
) -> Result<SocketAddr, LinkError> {
    let dial = |name: &str, plan: &DialPlan| -> Result<DialTls, LinkError> {
        let source = reloads.client(name, plan.tls.clone())?;
        Ok(DialTls { source, server_name: plan.server_name.clone(), first: true })
    };
    let tls = match plan.listen_tls {
        Some(tls) => Some(ListenerTls {
            source: reloads.server("gateway", tls)?,
            start: TlsStart::First,
            verify: plan.verify,
            optional: false,
        }),
        None => None,
    };
    let mut remotes = Vec::new();
    for remote in plan.remotes {
        let tls =
            remote.tls.as_ref().map(|tls| dial(&format!("gateway {}", remote.name), tls)).transpose()?;
        remotes.push(GatewayRemote { name: remote.name, urls: remote.urls, tls });
    }
    let (user, password) = plan.peers.login.clone().unzip();
    let credentials = LinkCredentials { user, password, ..LinkCredentials::default() };
    let config = GatewayConfig {
        grant: Arc::new(Grant::unrestricted(&plan.name)),
        name: plan.name,
        address: plan.address,
        advertise: plan.advertise,
        tls,
        dial_tls: plan.dial_tls.as_ref().map(|tls| dial("gateways", tls)).transpose()?,
        authenticator: Arc::new(plan.peers),
        login: credentials.shared(),
        remotes,
        reject_unknown: plan.reject_unknown,
        crossing,
        group,
        backoff_min: plan.backoff.0,
        backoff_max: plan.backoff.1,
        link_hold: plan.hold,
    };
    server.join(config).map_err(|source| LinkError::Gateway { address: plan.address, source })
}
