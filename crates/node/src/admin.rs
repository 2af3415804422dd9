//! The admin port as `[admin]` describes it: with a login, over TLS where that is configured.

use daemon::admin::{
    AdminError, AdminHandle, AdminLogin, AdminRoutes, AdminServer, AdminTls, check_token_file,
};
use daemon::audit::Audit;
use daemon::config::Problems;
use identity::tls::{CertifiedFile, ClientAuth, ServerTls, TlsError};

use crate::sections::{Admin, AdminTlsFiles};
use crate::tls::Reloads;

/// Why the admin port can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The port can't be had.
    #[error(transparent)]
    Port(#[from] AdminError),
    /// Its certificates can't be used.
    #[error("admin port: {0}")]
    Tls(#[from] TlsError),
}

/// Who may use the admin API.
#[must_use]
pub fn login(section: &Admin) -> AdminLogin {
    let certificates = section.tls.as_ref().is_some_and(|tls| tls.root_ca_path.is_some());
    AdminLogin { token_file: section.token_file.clone(), certificates }
}

/// Opens the port.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    section: &Admin,
    default_port: u16,
    routes: AdminRoutes,
    audit: &Audit,
    reloads: &Reloads,
) -> Result<AdminHandle, OpenError> {
    let routes = routes.login(login(section), audit.clone());
    let tls = section.tls.as_ref().map(|tls| {
        let source = reloads.server("admin", server(tls))?;
        Ok::<_, TlsError>(AdminTls { source, peers: section.peers.clone().into() })
    });
    Ok(AdminServer::bind_tls(section.address(default_port), routes, tls.transpose()?)?)
}

fn server(tls: &AdminTlsFiles) -> ServerTls {
    let client_auth = match &tls.root_ca_path {
        // Probes have no certificate.
        Some(roots) => ClientAuth::Optional { roots: roots.clone() },
        None => ClientAuth::None,
    };
    let certificates = vec![CertifiedFile::new(tls.cert_path.clone(), tls.key_path.clone())];
    ServerTls { certificates, client_auth, ..ServerTls::default() }
}

/// Reports what is wrong with the section's text.
pub fn check(section: &Admin, problems: &mut Problems<'_>) {
    let authority = section.tls.as_ref().is_some_and(|tls| tls.root_ca_path.is_some());
    if authority && section.peers.is_empty() {
        let message =
            "needed with `tls.root_ca_path`: a CA signs many certificates, name those that may administrate";
        problems.at("admin.peers", message);
    }
    if !section.peers.is_empty() && !authority {
        problems.at("admin.peers", "of no effect without `tls.root_ca_path`");
    }
    if section.token_file.is_some() && section.tls.is_none() && !section.host.is_loopback() {
        problems
            .at("admin.token_file", "a token would travel in clear: expected `tls`, or a loopback `host`");
    }
}

/// Reports files that can't be used. Paths are taken as they are.
pub fn check_files(section: &Admin, problems: &mut Problems<'_>) {
    if let Some(Err(problem)) = section.token_file.as_ref().map(|file| check_token_file(file)) {
        problems.at("admin.token_file", problem);
    }
    if let Some(Err(error)) = section.tls.as_ref().map(|tls| server(tls).build()) {
        problems.at("admin.tls", error.to_string());
    }
}
