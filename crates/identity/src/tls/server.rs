//! The accepting side: several certificates chosen by name, clients with or without a certificate.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::rotate::{Material, unix_now};
use crate::tls::certified::{self, Certified};
use crate::tls::names::HostPattern;
use crate::tls::provider::provider;
use crate::tls::remembered::Remembering;
use crate::tls::trust::{self, Revocation};
use crate::tls::{CertificateExpiry, CertifiedFile, TlsError, TlsVersion, TlsWarning};

/// Whether clients show a certificate. The file holds the CAs they may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked for.
    #[default]
    None,
    /// Asked for; a client without one is let in, one with a bad one is not.
    Optional {
        /// PEM file of the trusted CAs.
        roots: PathBuf,
    },
    /// Demanded: without a valid one the handshake fails.
    Required {
        /// PEM file of the trusted CAs.
        roots: PathBuf,
    },
}

impl ClientAuth {
    fn roots(&self) -> Option<&PathBuf> {
        match self {
            Self::None => None,
            Self::Optional { roots } | Self::Required { roots } => Some(roots),
        }
    }
}

/// What a TLS listener is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// Certificates, chosen by the name the client asks for; the first one also serves clients that ask for none or
    /// for an unknown one.
    pub certificates: Vec<CertifiedFile>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// Revocation lists over client certificates: files, or directories of nothing else. An overdue list refuses
    /// every certificate of its issuer.
    pub crls: Vec<PathBuf>,
    /// Refuse client certificates whose issuer none of the `crls` speaks for. Of no effect without `crls`.
    pub require_revocation_status: bool,
    /// Go by overdue `crls` as they are, instead of refusing every certificate of their issuer.
    pub accept_overdue_crls: bool,
    /// Lowest version spoken.
    pub min_version: TlsVersion,
}

/// A listener's configuration as loaded from its files.
#[derive(Debug)]
pub struct LoadedServer {
    /// For `tokio_rustls::TlsAcceptor`.
    pub config: Arc<ServerConfig>,
    /// The certificates' ends, in the configured order.
    pub certificates: Vec<CertificateExpiry>,
    /// What an operator should know.
    pub warnings: Vec<TlsWarning>,
    /// What verifies the certificates of clients: also those of connections that are established already.
    pub clients: Arc<dyn ClientCertVerifier>,
}

impl ServerTls {
    /// The rustls configuration alone, built from the files as they are now.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that can't be used.
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        Ok(self.load(unix_now())?.config)
    }

    fn verifier(&self, revocation: Revocation) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Some(roots_path) = self.client_auth.roots() else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let roots = trust::roots(roots_path)?;
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(roots, provider()).with_crls(revocation.lists);
        if !self.accept_overdue_crls {
            builder = builder.enforce_revocation_expiration();
        }
        if !self.require_revocation_status {
            builder = builder.allow_unknown_revocation_status();
        }
        if matches!(self.client_auth, ClientAuth::Optional { .. }) {
            builder = builder.allow_unauthenticated();
        }
        let verifier =
            builder.build().map_err(|source| TlsError::Verifier { path: roots_path.clone(), source })?;
        Ok(Arc::new(Remembering::new(verifier)))
    }
}

impl Material for ServerTls {
    type Value = LoadedServer;
    type Error = TlsError;

    fn load(&self, now: i64) -> Result<LoadedServer, TlsError> {
        let certified: Vec<_> =
            self.certificates.iter().map(|file| file.load(now)).collect::<Result<_, _>>()?;
        let mut revocation = trust::revocation(&self.crls, now)?;
        let mut warnings: Vec<_> =
            certified.iter().flat_map(|certified| certified.warnings.clone()).collect();
        warnings.append(&mut revocation.warnings);
        let certificates = certified.iter().map(|certified| certified.expiry.clone()).collect();
        let resolver = ByName::new(certified).ok_or(TlsError::NoCertificate)?;

        let clients = self.verifier(revocation)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.and_later())?
            .with_client_cert_verifier(Arc::clone(&clients))
            .with_cert_resolver(Arc::new(resolver));
        // Our order of cipher suites was chosen for speed; see the provider.
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(LoadedServer { config: Arc::new(config), certificates, warnings, clients })
    }

    fn may_replace(old: &LoadedServer, new: &LoadedServer, now: i64) -> Result<(), TlsError> {
        certified::may_replace((&old.certificates, &old.warnings), &new.warnings, now)
    }

    fn inputs(&self) -> Vec<PathBuf> {
        let pairs = self.certificates.iter().flat_map(CertifiedFile::inputs);
        pairs.chain(self.client_auth.roots().cloned()).chain(self.crls.iter().cloned()).collect()
    }

    fn expiries(value: &LoadedServer) -> &[CertificateExpiry] {
        &value.certificates
    }
}

/// Chooses a certificate by the client's SNI: an exact name before a wildcard before the default. Where one name has
/// several certificates (say ECDSA and RSA), the first one whose key the client can verify.
#[derive(Debug)]
struct ByName {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    one_label_under: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Arc<CertifiedKey>,
}

impl ByName {
    /// `None` without any certificate.
    fn new(certified: Vec<Certified>) -> Option<Self> {
        let default = Arc::clone(&certified.first()?.key);
        let mut resolver = Self { exact: HashMap::new(), one_label_under: HashMap::new(), default };
        for Certified { key, names, .. } in certified {
            for name in names {
                let slot = match name {
                    HostPattern::Exact(name) => resolver.exact.entry(name),
                    HostPattern::OneLabelUnder(parent) => resolver.one_label_under.entry(parent),
                };
                slot.or_default().push(Arc::clone(&key));
            }
        }
        Some(resolver)
    }

    fn candidates(&self, host: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let host = host.to_ascii_lowercase();
        let wildcard = || self.one_label_under.get(host.split_once('.')?.1);
        self.exact.get(&host).or_else(wildcard)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(named) = hello.server_name().and_then(|host| self.candidates(host)) else {
            return Some(Arc::clone(&self.default));
        };
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        named.iter().find(usable).or_else(|| named.first()).cloned()
    }
}
