//! Links: who may make one, and how they are built from configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{
    Authenticator, Credentials, Crossing, Decision, Denied, DialTls, LeafPurpose, LinkGroup, ListenerConfig,
    ListenerTls, Login, Purpose, RemoteConfig, Role, Server, TlsStart,
};
use identity::Grant;
use identity::peer::PeerCertificate;
use identity::tls::TlsError;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::credentials::LinkCredentials;
use crate::sections::{Leafnodes, Link, TlsFiles, UrlError, parse_url};
use crate::tls::Reloads;

/// Why a link can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Its certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Its URL is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Its port can't be opened.
    #[error("leafnode port {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The gateway port can't be opened.
    #[error("gateway port {address}: {source}")]
    Gateway {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// TLS is not configured, and its absence is not said in words either.
    #[error("leafnodes need tls, or `plaintext = true`")]
    NoTls,
}

/// Lets in links whose certificate carries one of the configured names.
#[derive(Debug, Clone)]
pub struct PeerNames {
    names: Vec<String>,
    plaintext: bool,
    account: Arc<str>,
}

impl PeerNames {
    /// `plaintext` says that there is no certificate to look at.
    #[must_use]
    pub fn new(names: Vec<String>, plaintext: bool) -> Self {
        Self { names, plaintext, account: identity::DEFAULT_ACCOUNT.into() }
    }

    fn decide(&self, login: &Login<'_>) -> Result<Arc<Grant>, Denied> {
        if !matches!(login.credentials, Credentials::Leafnode(_)) {
            return Err(Denied::new("wrong_port", "a client on the leafnode port"));
        }
        let grant = |identity: &str| {
            let mut grant = Grant::unrestricted(identity);
            grant.account = self.account.clone();
            Arc::new(grant)
        };
        let Some(leaf) = login.certificates.first() else {
            return if self.plaintext {
                Ok(grant("leafnode"))
            } else {
                Err(Denied::new("no_certificate", "the link showed no certificate"))
            };
        };
        let certificate = PeerCertificate::from_der(leaf)
            .map_err(|error| Denied::new("certificate", format!("unreadable certificate: {error}")))?;
        if !certificate.bears_any(&self.names) {
            let names: Vec<&str> = certificate.names().collect();
            return Err(Denied::new(
                "peer_name",
                format!("certificate of {names:?} is not among the configured peers"),
            ));
        }
        let name = self.names.iter().find(|name| certificate.names().any(|known| known == name.as_str()));
        Ok(grant(name.map_or("leafnode", String::as_str)))
    }
}

impl Authenticator for PeerNames {
    fn required(&self) -> bool {
        !self.plaintext
    }

    fn knows(&self, certificates: &[CertificateDer<'static>]) -> bool {
        let certificate = certificates.first().and_then(|leaf| PeerCertificate::from_der(leaf).ok());
        certificate.is_some_and(|certificate| certificate.bears_any(&self.names))
    }

    fn authenticate<'a>(&'a self, login: Login<'a>) -> Decision<'a> {
        Box::pin(std::future::ready(self.decide(&login).map(Into::into)))
    }
}

/// Opens a leafnode listener.
///
/// # Errors
/// See [`LinkError`].
pub fn listen(
    server: &Server,
    reloads: &Reloads,
    section: &Leafnodes,
    own_tls: Option<&TlsFiles>,
    purpose: LeafPurpose,
    link_hold: Duration,
) -> Result<SocketAddr, LinkError> {
    let tls = match section.tls.as_ref().or(own_tls) {
        Some(files) if !section.plaintext => Some(ListenerTls {
            source: reloads.server("leafnodes", files.server())?,
            start: if files.handshake_first { TlsStart::First } else { TlsStart::AfterInfo },
            verify: true,
            optional: false,
        }),
        None if !section.plaintext => return Err(LinkError::NoTls),
        _ => None,
    };
    let address = section.address();
    let config = ListenerConfig {
        address,
        purpose: Purpose::Leafnodes(purpose),
        tls,
        websocket: None,
        authenticator: Arc::new(PeerNames::new(section.peers.clone(), section.plaintext)),
        link_hold,
        advertise: None,
        connect_urls: Vec::new(),
    };
    server.listen(config).map_err(|source| LinkError::Listen { address, source })
}

/// Keeps up the link a section describes.
///
/// # Errors
/// See [`LinkError`].
pub fn dial(
    server: &Server,
    reloads: &Reloads,
    section: &Link,
    role: Role,
    crossing: Option<Arc<Crossing>>,
    group: Arc<LinkGroup>,
) -> Result<(), LinkError> {
    let urls = section.urls.iter().map(|url| parse_url(url)).collect::<Result<Vec<_>, _>>()?;
    let tls = match &section.tls {
        Some(files) => Some(DialTls {
            source: reloads.client(&section.name, files.client())?,
            server_name: files.server_name.clone(),
            first: files.handshake_first,
        }),
        None => None,
    };
    let (backoff_min, backoff_max) = section.backoff();
    server.solicit(RemoteConfig {
        name: section.name.clone(),
        urls,
        discover: section.discover,
        connections: section.connections,
        login: LinkCredentials::of(section).shared(),
        tls,
        compression: section.compression.config(),
        role,
        crossing,
        grant: Arc::new(Grant::unrestricted(&section.name)),
        limits: None,
        group,
        backoff_min,
        backoff_max,
        link_hold: section.hold(),
    });
    Ok(())
}

/// A path as the configuration means it: relative to the folder of its file.
#[must_use]
pub fn beside(config: &Path, path: &Path) -> std::path::PathBuf {
    config.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
}
