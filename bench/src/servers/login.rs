//! One server whose clients come over TLS with a bearer token, and whatever it needs to decide about them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nkeys::KeyPair as Nkey;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};

use super::conf;
use super::pki::{BUS, GATEWAY, Pki};
use super::process::{ServerProcess, command, free_addresses};
use crate::scenario::Bearer;

/// Issuer of the tokens.
const ISSUER: &str = "https://bench.example";
/// Their audience.
const AUDIENCE: &str = "events";
/// Name of the issuer's key: its file without extension is its `kid` at the gateway.
const KEY: &str = "issuer";
/// How long the responder may take until it answers.
const RESPONDER_TIMEOUT: Duration = Duration::from_secs(10);

/// The servers, where clients connect, and what they show.
pub(crate) struct Login {
    pub(crate) processes: Vec<ServerProcess>,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

/// Our gateway, alone. `gateway` also signs the tokens, as it does for development.
///
/// # Errors
/// When it can't be started.
pub(crate) fn gatehouse(gateway: &Path, bearer: Bearer, pki: &Pki, dir: &Path) -> Result<Login> {
    let [address, admin, nobody] = free_addresses()?;
    let token = token(gateway, bearer, dir)?;
    fs::write(dir.join("gateway.toml"), gateway_toml(address, admin, nobody, bearer, pki))?;
    let server = ServerProcess::start(gateway, &["--config", "gateway.toml"], dir, address)?;
    Ok(Login { processes: vec![server], address, token })
}

/// A stock server: with its own token, or with auth callout and a responder.
///
/// # Errors
/// When one of them can't be started.
pub(crate) fn stock(server: &Path, gateway: &Path, bearer: Bearer, pki: &Pki, dir: &Path) -> Result<Login> {
    let [address] = free_addresses()?;
    if bearer == Bearer::Plain {
        let conf = conf::single(address, crate::scenario::Security::TlsToken, &pki.pair(BUS), pki);
        let server = super::fleet::start_with_conf(server, dir, &conf, address)?;
        return Ok(Login { processes: vec![server], address, token: conf::TOKEN.to_owned() });
    }
    let token = token(gateway, bearer, dir)?;
    let account = Nkey::new_account();
    let seed = account.seed().map_err(|error| anyhow::anyhow!("{error}"))?;
    fs::write(dir.join("account.seed"), seed)?;
    let conf = conf::callout(address, &account.public_key(), &pki.pair(BUS));
    let server = super::fleet::start_with_conf(server, dir, &conf, address)?;
    let responder = responder(address, bearer, pki, dir)?;
    Ok(Login { processes: vec![server, responder], address, token })
}

/// Starts this program again as the responder.
fn responder(address: SocketAddr, bearer: Bearer, pki: &Pki, dir: &Path) -> Result<ServerProcess> {
    let ready = dir.join("responder.ready");
    let text = |path: PathBuf| path.display().to_string();
    let mut arguments: Vec<String> =
        ["callout-responder", "--issuer", ISSUER, "--audience", AUDIENCE].map(str::to_owned).to_vec();
    arguments.extend(["--url".to_owned(), format!("tls://localhost:{}", address.port())]);
    arguments.extend(["--ca".to_owned(), text(pki.ca())]);
    arguments.extend(["--seed".to_owned(), text(dir.join("account.seed"))]);
    arguments.extend(["--key".to_owned(), text(dir.join(format!("{KEY}.pem")))]);
    arguments.extend(["--ready".to_owned(), text(ready.clone())]);
    if bearer == Bearer::Rs256 {
        arguments.push("--rsa".to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let program = std::env::current_exe()?;
    let process = ServerProcess::start_helper(&program, &arguments, dir, "responder.log")?;
    let begun = Instant::now();
    while !ready.exists() {
        if begun.elapsed() > RESPONDER_TIMEOUT {
            let log = fs::read_to_string(dir.join("responder.log")).unwrap_or_default();
            bail!("the responder does not answer: {log}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(process)
}

/// What clients show, made by the gateway's own command; the issuer's key is made before.
fn token(gateway: &Path, bearer: Bearer, dir: &Path) -> Result<String> {
    fs::create_dir_all(dir)?;
    let key = match bearer {
        Bearer::Plain => None,
        Bearer::Es256 => Some(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?),
        Bearer::Rs256 => Some(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?),
    };
    let mut command = command(gateway);
    command.current_dir(dir).arg("token");
    match &key {
        None => {
            command.args(["create", "--file", "tokens.json", "--owner", "bench", "--role", "publisher"]);
        }
        Some(key) => {
            fs::write(dir.join("issuer.key"), key.serialize_pem())?;
            fs::write(dir.join(format!("{KEY}.pem")), key.public_key_pem())?;
            command.args([
                "mint",
                "--key",
                "issuer.key",
                "--kid",
                KEY,
                "--issuer",
                ISSUER,
                "--aud",
                AUDIENCE,
            ]);
            command.args(["--sub", "bench"]);
        }
    }
    let output = command.output().with_context(|| format!("starting {}", gateway.display()))?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || token.is_empty() {
        bail!("event-gateway token: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(token)
}

fn gateway_toml(
    listen: SocketAddr,
    admin: SocketAddr,
    nobody: SocketAddr,
    bearer: Bearer,
    pki: &Pki,
) -> String {
    let (front, link) = (pki.pair(BUS), pki.pair(GATEWAY));
    let tokens = match bearer {
        Bearer::Plain => "[opaque_tokens]\nfile = \"tokens.json\"\n".to_owned(),
        Bearer::Es256 | Bearer::Rs256 => format!(
            "[[issuers]]\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\nalgorithms = [\"{}\"]\npem_files = \
             [\"{KEY}.pem\"]\n[[bindings]]\nrole = \"publisher\"\nissuer = \"{ISSUER}\"\n",
            if bearer == Bearer::Es256 { "ES256" } else { "RS256" }
        ),
    };
    format!(
        r#"[service]
host = "127.0.0.1"
port = {port}
health_check_credentials_file = "health-check.token"

[[frontend_tls]]
cert_path = "{cert}"
key_path = "{key}"

{tokens}
[[roles]]
name = "publisher"
publish = {{ allow = ["bench.>"] }}
subscribe = {{ allow = ["bench.>"] }}

[link]
urls = ["tls://localhost:{nobody}"]
tls = {{ cert_path = "{link_cert}", key_path = "{link_key}", root_ca_path = "{ca}" }}

[admin]
port = {admin}

# All clients come from one address here, and all at once; in the field they do not, and try again.
[limits]
max_login_bytes = "1GiB"
auth_timeout = "60s"
tls_timeout = "60s"
source_logins_per_second = 1000000
source_login_burst = 1000000
"#,
        port = listen.port(),
        admin = admin.port(),
        nobody = nobody.port(),
        cert = front.cert.display(),
        key = front.key.display(),
        link_cert = link.cert.display(),
        link_key = link.key.display(),
        ca = pki.ca().display(),
    )
}
