//! A running internal bus, configured as users do it: by a TOML file.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::address::Addresses;
use crate::pki::Pki;
use crate::process::{Process, ProcessBuilder, binary};
use crate::tls::ClientTls;

/// What differs from the usual bus of a test: mutual TLS, a leafnode listener for `event-gateway`, monitoring, every
/// port free.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// Name of its files, so that several fit into one directory.
    pub name: &'static str,
    /// More lines of `[service]`.
    pub service: String,
    /// Whether there is a `[tls]` section; without it, `service` has to say `plaintext = true`.
    pub tls: bool,
    /// More lines of `[tls]`.
    pub tls_extra: String,
    /// Lines of `[leafnodes]`; `None` leaves the section out.
    pub leafnodes: Option<String>,
    /// More lines of `[admin]`.
    pub admin: String,
    /// More sections.
    pub sections: String,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self {
            name: "bus",
            service: String::new(),
            tls: true,
            tls_extra: String::new(),
            leafnodes: Some("host = \"127.0.0.1\"\nport = 0\npeers = [\"event-gateway\"]\n".to_owned()),
            admin: String::new(),
            sections: String::new(),
        }
    }
}

impl BusOptions {
    /// Clients in clear, no leafnodes.
    pub fn plaintext() -> Self {
        Self { service: "plaintext = true\n".to_owned(), tls: false, leafnodes: None, ..Self::default() }
    }

    /// Adds lines to `[service]`.
    #[must_use]
    pub fn with_service(mut self, lines: &str) -> Self {
        self.service.push_str(lines);
        self.service.push('\n');
        self
    }

    /// Adds sections.
    #[must_use]
    pub fn with_sections(mut self, sections: &str) -> Self {
        self.sections.push_str(sections);
        self
    }

    /// The configuration as text.
    pub fn to_toml(&self, pki: &Pki) -> String {
        let Self { service, tls_extra, admin, sections, .. } = self;
        let ports = pki.text(&format!("{}.ports", self.name));
        let [cert, key, ca] =
            ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"].map(|file| pki.text(file));
        let tls = format!(
            r#"
[tls]
cert_path = "{cert}"
key_path = "{key}"
root_ca_path = "{ca}"
{tls_extra}
"#
        );
        let tls = if self.tls { &tls } else { "" };
        let leafnodes =
            self.leafnodes.as_ref().map(|lines| format!("[leafnodes]\n{lines}\n")).unwrap_or_default();
        format!(
            r#"
[service]
host = "127.0.0.1"
port = 0
ports_file = "{ports}"
{service}
{tls}
{leafnodes}
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
}

/// A running bus.
#[derive(Debug)]
pub struct InternalBus {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub addresses: Addresses,
}

impl InternalBus {
    /// Starts a bus in the PKI's directory and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn start(pki: &Pki, options: &BusOptions) -> Result<Self> {
        let file = pki.path(&format!("{}.toml", options.name));
        fs::write(&file, options.to_toml(pki))?;
        let builder =
            ProcessBuilder::new(binary("internal-bus")?, pki.path(&format!("{}.log", options.name)));
        let mut process = builder.arg("--config").arg(&file).current_dir(pki.dir()).spawn()?;
        let addresses = listening(&mut process, pki, options.name).await?;
        Ok(Self { process, addresses })
    }

    /// Address of its monitoring port.
    ///
    /// # Errors
    /// When it has none.
    pub fn admin(&self) -> Result<SocketAddr> {
        self.addresses.admin.context("no monitoring port")
    }

    /// Address of its leafnode listener.
    ///
    /// # Errors
    /// When it has none.
    pub fn leafnodes(&self) -> Result<SocketAddr> {
        self.addresses.leafnodes.context("no leafnode listener")
    }

    /// Connects async-nats with a certificate.
    ///
    /// # Errors
    /// When the bus refuses it.
    pub async fn client(&self, tls: &ClientTls) -> Result<async_nats::Client> {
        Ok(tls.async_nats().connect(format!("tls://{}", self.addresses.clients)).await?)
    }
}

/// Waits until a process of ours has written its ports file.
pub(crate) async fn listening(process: &mut Process, pki: &Pki, name: &str) -> Result<Addresses> {
    let ports = pki.path(&format!("{name}.ports"));
    // The file appears in one step, complete.
    process
        .wait_for("a ports file", |_| Addresses::from_ports_file(&fs::read_to_string(&ports).ok()?).ok())
        .await
}
