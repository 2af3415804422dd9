//! A running event gateway, configured by a TOML file.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::address::Addresses;
use crate::bus::listening;
use crate::pki::Pki;
use crate::process::{Process, ProcessBuilder, binary};
use crate::tokens::Tokens;

/// What differs from the usual gateway of a test: TLS outside, one issuer, role `partner` for everybody it signs,
/// a leafnode link over mutual TLS, monitoring, every port free.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// More lines of `[service]`.
    pub service: String,
    /// The `[[frontend_tls]]` sections.
    pub frontend: String,
    /// Roles and bindings.
    pub rights: String,
    /// The `[[routes]]` sections.
    pub routes: String,
    /// Lines of `[link]`, without its `tls`.
    pub link: String,
    /// Name expected in the certificate at the other end of the link.
    pub link_server_name: String,
    /// More lines of `[admin]`.
    pub admin: String,
    /// More sections.
    pub sections: String,
}

impl GatewayOptions {
    /// A gateway whose link dials `leafnodes`.
    pub fn dialling(pki: &Pki, leafnodes: SocketAddr) -> Self {
        let [cert, key] = ["frontend.crt", "frontend.key"].map(|file| pki.text(file));
        Self {
            service: String::new(),
            frontend: format!(
                "[[frontend_tls]]\nserver_name = \"localhost\"\ncert_path = \"{cert}\"\nkey_path = \"{key}\"\n"
            ),
            rights: default_rights(),
            routes: default_routes(),
            link: format!("protocol = \"leafnode\"\nurls = [\"tls://{leafnodes}\"]\n"),
            link_server_name: "internal-bus".to_owned(),
            admin: String::new(),
            sections: String::new(),
        }
    }

    /// A gateway that waits for the bus to dial.
    pub fn waiting(pki: &Pki) -> Self {
        let link = "listen = { host = \"127.0.0.1\", port = 0, peers = [\"internal-bus\"] }\n".to_owned();
        Self { link, ..Self::dialling(pki, ([127, 0, 0, 1], 0).into()) }
    }

    /// The configuration as text.
    pub fn to_toml(&self, pki: &Pki, tokens: &Tokens) -> String {
        let Self { service, frontend, rights, routes, link, link_server_name, admin, sections } = self;
        let [ports, health_check] = ["gateway.ports", "health-check.token"].map(|file| pki.text(file));
        let [cert, key, ca] =
            ["event-gateway.crt", "event-gateway.key", "internal-ca.crt"].map(|file| pki.text(file));
        let (issuer, audience, jwks) = (Tokens::ISSUER, Tokens::AUDIENCE, tokens.jwks_path().display());
        format!(
            r#"
[service]
host = "127.0.0.1"
port = 0
ports_file = "{ports}"
health_check_credentials_file = "{health_check}"
{service}
{frontend}
[[issuers]]
issuer = "{issuer}"
audience = ["{audience}"]
algorithms = ["ES256"]
jwks_file = "{jwks}"
leeway = "0s"
{rights}
{routes}
[link]
{link}
tls = {{ cert_path = "{cert}", key_path = "{key}", root_ca_path = "{ca}", server_name = "{link_server_name}" }}

[admin]
host = "127.0.0.1"
port = 0
{admin}

[log]
format = "text"
level = "debug"
{sections}
"#
        )
    }

    /// The configuration as text, with a link in clear.
    pub fn to_plain_toml(&self, pki: &Pki, tokens: &Tokens) -> String {
        let toml = self.to_toml(pki, tokens);
        toml.lines().filter(|line| !line.starts_with("tls = ")).collect::<Vec<_>>().join("\n")
    }
}

/// Partners may do everything under `peer.` and `orders.`, answer requests, and see shipments of their tenant.
fn default_rights() -> String {
    let role = r#"
[[roles]]
name = "partner"
publish = { allow = ["peer.>", "orders.{{claims.tenant}}.>"] }
subscribe = { allow = ["peer.>", "shipments.{{claims.tenant}}.>"] }
allow_responses = true
"#;
    let issuer = Tokens::ISSUER;
    let binding = format!(
        "[[bindings]]\nrole = \"partner\"\nissuer = \"{issuer}\"\nwhen = {{ \"claims.groups\" = {{ contains = \"partners\" }} }}\n"
    );
    format!("{role}\n{binding}")
}

fn default_routes() -> String {
    r#"
[[routes]]
subject = "peer.>"
direction = "both"

[[routes]]
subject = "orders.>"
direction = "inward"

[[routes]]
subject = "shipments.>"
direction = "outward"
"#
    .to_owned()
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub addresses: Addresses,
}

impl Gateway {
    /// Starts a gateway in the PKI's directory and waits until it listens; the link may still be down.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn start(pki: &Pki, tokens: &Tokens, options: &GatewayOptions) -> Result<Self> {
        Self::from_toml(pki, &options.to_toml(pki, tokens)).await
    }

    /// As [`Gateway::start`], with a link in clear.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn start_plain(pki: &Pki, tokens: &Tokens, options: &GatewayOptions) -> Result<Self> {
        Self::from_toml(pki, &options.to_plain_toml(pki, tokens)).await
    }

    /// Starts a gateway with the configuration `toml`.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn from_toml(pki: &Pki, toml: &str) -> Result<Self> {
        Self::named(pki, "gateway", toml).await
    }

    /// As [`Gateway::from_toml`], with a name for its files, so that several fit into one directory.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn named(pki: &Pki, name: &str, toml: &str) -> Result<Self> {
        Self::launched(pki, name, toml, |program| vec![program.into()]).await
    }

    /// As [`Gateway::named`], started as `launcher` says: it gets the program, and gives what to run in its place.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn launched(
        pki: &Pki,
        name: &str,
        toml: &str,
        launcher: impl FnOnce(PathBuf) -> Vec<OsString>,
    ) -> Result<Self> {
        let file = pki.path(&format!("{name}.toml"));
        let ports = format!("{name}.ports");
        let health_check = format!("{name}.token");
        let toml = match name {
            "gateway" => toml.to_owned(),
            _ => toml.replace("gateway.ports", &ports).replace("health-check.token", &health_check),
        };
        fs::write(&file, toml)?;
        // One that was killed before left its own.
        drop(fs::remove_file(pki.path(&ports)));
        let mut words = launcher(binary("event-gateway")?).into_iter();
        let program = words.next().context("nothing to run")?;
        let builder = ProcessBuilder::new(program, pki.path(&format!("{name}.log"))).args(words);
        let mut process = builder.arg("--config").arg(&file).current_dir(pki.dir()).spawn()?;
        let addresses = listening(&mut process, pki, name).await?;
        Ok(Self { process, addresses })
    }

    /// Waits until `/readyz` says that an event has passed through the link.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&mut self) -> Result<()> {
        let admin = self.admin()?;
        crate::wait::eventually("a ready gateway", || async move {
            crate::http::http_get(admin, "/readyz").await.ok().filter(|answer| answer.status == 200)
        })
        .await
        .with_context(|| self.process.log())?;
        Ok(())
    }

    /// Address of its monitoring port.
    ///
    /// # Errors
    /// When it has none.
    pub fn admin(&self) -> Result<SocketAddr> {
        self.addresses.admin.context("no monitoring port")
    }

    /// Connects async-nats with a token.
    ///
    /// # Errors
    /// When the gateway refuses it.
    pub async fn client(&self, pki: &Pki, token: &str) -> Result<async_nats::Client> {
        let options = pki.outsider().async_nats().token(token.to_owned());
        Ok(options.connect(format!("tls://{}", self.addresses.clients)).await?)
    }
}
