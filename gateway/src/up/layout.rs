//! The directory of `up`: what is in it, and making what is missing.

use std::fs;
use std::path::{Path, PathBuf};

use identity::token::DevIssuer;

use super::UpError;
use crate::token_cmd::{CONFIG_FILE, DEV_AUDIENCE, DEV_ISSUER, ISSUER_FOLDER};

/// Name of the bus's configuration.
pub(super) const BUS_CONFIG_FILE: &str = "internal-bus.toml";

/// The tenant the demonstration's token is for.
pub(super) const TENANT: &str = "acme";

/// Keeps keys out of any repository the directory happens to lie in.
const IGNORE: &str = "# Development keys and data: nothing here belongs into a repository.\n*\n";

/// The directory, by its absolute path.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    issuer: DevIssuer,
    remarks: Vec<String>,
}

impl Layout {
    /// Makes what is missing in `dir`; what is there is left as it is.
    pub(super) fn prepare(dir: &Path) -> Result<Self, UpError> {
        let made = |path: &Path| fs::create_dir_all(path).map_err(UpError::file(path));
        made(dir)?;
        let root = dir.canonicalize().map_err(UpError::file(dir))?;
        made(&root.join("logs"))?;
        write_if_missing(&root.join(".gitignore"), IGNORE)?;
        let certs = root.join("certs");
        let mut remarks = Vec::new();
        if !certs.join("internal-ca.crt").exists() {
            certs_dev::init(&certs, false)?;
            remarks.push(format!("certificates made in {}", certs.display()));
        }
        let issuer = DevIssuer::load_or_create(&root.join(ISSUER_FOLDER))?;
        let mut layout = Self { root, issuer, remarks };
        for (path, text) in [(layout.gateway_config(), gateway_toml()), (layout.bus_config(), bus_toml())] {
            if write_if_missing(&path, &text)? {
                layout.remarks.push(format!("configuration written to {}", path.display()));
            }
        }
        Ok(layout)
    }

    /// What was made, in words.
    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn issuer(&self) -> &DevIssuer {
        &self.issuer
    }

    pub(super) fn gateway_config(&self) -> PathBuf {
        self.root.join(CONFIG_FILE)
    }

    pub(super) fn bus_config(&self) -> PathBuf {
        self.root.join(BUS_CONFIG_FILE)
    }

    /// A file of the PKI, such as `internal-ca.crt`.
    pub(super) fn cert(&self, file: &str) -> PathBuf {
        self.root.join("certs").join(file)
    }

    /// The demonstration's token.
    pub(super) fn token_file(&self) -> PathBuf {
        self.root.join("token")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }
}

/// Writes a file unless it is there; says whether it did.
fn write_if_missing(path: &Path, text: &str) -> Result<bool, UpError> {
    if path.exists() {
        return Ok(false);
    }
    fs::write(path, text).map_err(UpError::file(path))?;
    Ok(true)
}

/// The gateway's configuration: small, but with the real thing in it.
pub(crate) fn gateway_toml() -> String {
    format!(
        r#"# Made by `event-gateway up`; change it as you like. Every key is described in config/gateway.toml.

[service]
host = "127.0.0.1"
port = 4222

[[frontend_tls]]
cert_path = "certs/frontend.crt"
key_path = "certs/frontend.key"

# Whose tokens are accepted. `event-gateway token --dir .` signs with the private key next to this key set.
[[issuers]]
issuer = "{DEV_ISSUER}"
audience = ["{DEV_AUDIENCE}"]
algorithms = ["ES256"]
jwks_file = "{ISSUER_FOLDER}/jwks.json"

# What a partner may do: all about the orders of its own tenant, and see that tenant's shipments.
[[roles]]
name = "partner"
publish = {{ allow = ["orders.{{{{claims.tenant}}}}.>"] }}
subscribe = {{ allow = ["shipments.{{{{claims.tenant}}}}.>"] }}

[[bindings]]
role = "partner"
issuer = "{DEV_ISSUER}"
when = {{ "claims.groups" = {{ contains = "partners" }} }}

# What may cross the link; nothing else does.
[[routes]]
subject = "orders.>"
direction = "inward"

[[routes]]
subject = "shipments.>"
direction = "outward"

[link]
urls = ["tls://127.0.0.1:7422"]
tls = {{ cert_path = "certs/event-gateway.crt", key_path = "certs/event-gateway.key", root_ca_path = "certs/internal-ca.crt", server_name = "internal-bus" }}

[admin]
port = 8222
"#
    )
}

/// The bus's configuration.
fn bus_toml() -> String {
    r#"# Made by `event-gateway up`; change it as you like. Every key is described in config/internal-bus.toml.

[service]
host = "127.0.0.1"
port = 10132

# Services show a certificate that this CA has signed.
[tls]
cert_path = "certs/internal-bus.crt"
key_path = "certs/internal-bus.key"
root_ca_path = "certs/internal-ca.crt"

# Where the gateway's link comes in.
[leafnodes]
host = "127.0.0.1"
port = 7422
peers = ["event-gateway"]

[admin]
port = 8223
"#
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Depth, load};

    #[test]
    fn what_is_made_is_a_sound_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::prepare(&folder.path().join("dev")).unwrap();
        let loaded = load(&layout.gateway_config(), Depth::Files).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        assert_eq!((loaded.config.routes.len(), loaded.config.service.port), (2, 4222));
        assert!(layout.root().join(".gitignore").exists());
    }

    #[test]
    fn what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::prepare(folder.path()).unwrap();
        let files = [layout.gateway_config(), layout.cert("internal-ca.key"), layout.issuer().key_path()];
        let read = || files.clone().map(|file| fs::read(file).unwrap());
        let before = read();
        Layout::prepare(folder.path()).unwrap();
        assert_eq!(before, read());
    }
}
