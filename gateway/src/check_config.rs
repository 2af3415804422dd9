//! `event-gateway check-config`: says whether a configuration would be accepted, and what it amounts to.

use std::path::{Path, PathBuf};

use clap::Args;
use daemon::exit::Failure;

use crate::config::{CertificateMode, Config, Depth, Loaded, load};
use crate::output::say;

/// Arguments of `check-config`.
#[derive(Debug, Clone, Args)]
pub struct CheckConfig {
    /// The file.
    pub file: PathBuf,
}

/// Prints `FILE: ok` with a summary.
///
/// # Errors
/// Everything that is wrong, one line each.
pub fn run(args: &CheckConfig) -> Result<(), Failure> {
    let loaded = load(&args.file, Depth::Files)?;
    for line in report(&args.file, &loaded) {
        say(&line)?;
    }
    Ok(())
}

fn report(file: &Path, loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let mut lines = vec![format!("{}: ok", file.display())];
    lines.push(format!("  clients   {}", clients(config)));
    for issuer in &config.issuers {
        let (audience, algorithms) = (issuer.audience.join(", "), issuer.algorithms.join(", "));
        lines.push(format!("  issuer    {} for {audience} ({algorithms})", issuer.issuer));
    }
    let roles: Vec<&str> = config.roles.iter().map(|role| role.name.as_str()).collect();
    lines.push(format!(
        "  rights    {} bindings to {} roles: {}",
        config.bindings.len(),
        roles.len(),
        roles.join(", ")
    ));
    for route in &config.routes {
        let to = route.to.as_ref().map(|to| format!(" as {to}")).unwrap_or_default();
        lines.push(format!(
            "  route     {} {}{to}",
            route.subject,
            format!("{:?}", route.direction).to_lowercase()
        ));
    }
    lines.push(format!("  link      {}", link(config)));
    if !config.admin.disabled {
        lines.push(format!("  admin     http://{}", config.admin.address(crate::config::DEFAULT_ADMIN_PORT)));
    }
    lines.extend(loaded.warnings.iter().map(|warning| format!("  warning   {warning}")));
    lines
}

fn clients(config: &Config) -> String {
    let address = config.address();
    if config.service.disable_frontend_tls {
        return format!("{address} without TLS");
    }
    let certificates = match config.client_certificates.mode {
        CertificateMode::None => "none asked of clients",
        CertificateMode::Optional => "clients may show one",
        CertificateMode::Required => "clients must show one",
    };
    format!("{address}, TLS with {} certificate(s), {certificates}", config.frontend_tls.len())
}

fn link(config: &Config) -> String {
    match &config.link.listen {
        Some(listen) => format!("waits on {} for {}", listen.address(), listen.peers.join(", ")),
        // Credentials in a URL are nobody's business here.
        None => {
            let hosts = config
                .link
                .urls
                .iter()
                .map(|url| url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host));
            format!("dials {}", hosts.collect::<Vec<_>>().join(", "))
        }
    }
}
