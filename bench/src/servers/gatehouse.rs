//! Configuration of our two processes for the whole way, in their own language.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::pki::{BUS, GATEWAY, ISSUER_KEY, Pki};
use super::process::command;

/// Issuer of the publisher's token.
const ISSUER: &str = "https://bench.example";
/// Its audience.
const AUDIENCE: &str = "events";
/// Everything published here.
const SUBJECTS: &str = "bench.>";

pub(crate) fn bus_toml(listen: SocketAddr, link: SocketAddr, admin: SocketAddr, pki: &Pki) -> String {
    let pair = pki.pair(BUS);
    format!(
        r#"[service]
host = "127.0.0.1"
port = {port}

[tls]
cert_path = "{cert}"
key_path = "{key}"
root_ca_path = "{ca}"

[leafnodes]
host = "127.0.0.1"
port = {link}
peers = ["{GATEWAY}"]

[admin]
port = {admin}
"#,
        port = listen.port(),
        link = link.port(),
        admin = admin.port(),
        cert = pair.cert.display(),
        key = pair.key.display(),
        ca = pki.ca().display(),
    )
}

/// `gateway.toml`: plain TCP outside as the other side has it, bearer tokens, one route, the link.
pub(crate) fn gateway_toml([listen, link, admin]: [SocketAddr; 3], stamp: bool, pki: &Pki) -> String {
    let pair = pki.pair(GATEWAY);
    format!(
        r#"[service]
host = "127.0.0.1"
port = {port}
disable_frontend_tls = true
health_check_credentials_file = "health-check.token"

[[issuers]]
issuer = "{ISSUER}"
audience = ["{AUDIENCE}"]
algorithms = ["ES256"]
pem_files = ["{issuer_key}"]

[[roles]]
name = "publisher"
publish = {{ allow = ["{SUBJECTS}"] }}

[[bindings]]
role = "publisher"
issuer = "{ISSUER}"

[[routes]]
subject = "{SUBJECTS}"
direction = "inward"
stamp = {stamp}

[link]
protocol = "leafnode"
urls = ["tls://localhost:{link}"]
tls = {{ cert_path = "{cert}", key_path = "{key}", root_ca_path = "{ca}", server_name = "{BUS}" }}

[admin]
port = {admin}
"#,
        port = listen.port(),
        link = link.port(),
        admin = admin.port(),
        issuer_key = pki.pair(ISSUER_KEY).cert.display(),
        cert = pair.cert.display(),
        key = pair.key.display(),
        ca = pki.ca().display(),
    )
}

/// A token that `event-gateway token` signs, as a user would get one for development.
pub(crate) fn mint_token(gateway: &Path, dir: &Path, pki: &Pki) -> Result<String> {
    let output = command(gateway)
        .current_dir(dir)
        .arg("token")
        .arg("--key")
        .arg(pki.pair(ISSUER_KEY).key)
        // The gateway knows a key from a PEM file by the file's name.
        .args(["--kid", ISSUER_KEY, "--issuer", ISSUER, "--aud", AUDIENCE, "--sub", "bench"])
        .output()
        .with_context(|| format!("starting {}", gateway.display()))?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || token.is_empty() {
        bail!("event-gateway token: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(token)
}
