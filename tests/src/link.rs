//! Two servers joined by a leafnode link over mutual TLS, with a proxy in the link so that a test can cut it.

use std::any::Any;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::bus::{BusOptions, InternalBus};
use crate::cluster::free_ports;
use crate::gateway::{Gateway, GatewayOptions};
use crate::natsconf::{ConfServer, Kind};
use crate::pki::Pki;
use crate::proxy::Proxy;
use crate::tls::ClientTls;
use crate::tokens::Tokens;

/// A way for clients into one of the two servers.
#[derive(Clone, Debug)]
pub struct End {
    url: String,
    tls: Option<ClientTls>,
    token: Option<String>,
}

impl End {
    fn plain(address: SocketAddr) -> Self {
        Self { url: format!("nats://{address}"), tls: None, token: None }
    }

    fn tls(address: SocketAddr, tls: ClientTls, token: Option<String>) -> Self {
        Self { url: format!("tls://{address}"), tls: Some(tls), token }
    }

    /// Connects a client.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn client(&self) -> Result<async_nats::Client> {
        let options = self.tls.as_ref().map_or_else(async_nats::ConnectOptions::new, ClientTls::async_nats);
        let options = match &self.token {
            Some(token) => options.token(token.clone()),
            None => options,
        };
        Ok(options.connect(self.url.as_str()).await?)
    }
}

/// Both ends, running. The outer end is the one partners come through; subjects under `peer.` may cross both ways.
pub struct Link {
    /// Where partners connect.
    pub outer: End,
    /// Where services connect.
    pub inner: End,
    /// In the link.
    pub proxy: Proxy,
    /// The processes, and the directory they work in, last.
    behind: Vec<Box<dyn Any + Send>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("outer", &self.outer).field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A nats.conf of the inside: clients in clear, leafnodes over mutual TLS. It keeps its address to itself, so that
/// the other end comes back through the proxy.
fn accepting_conf(pki: &Pki) -> String {
    let [cert, key, ca] =
        ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"].map(|file| pki.text(file));
    format!(
        r#"
        server_name: inside
        listen: "127.0.0.1:-1"
        leafnodes {{
          listen: "127.0.0.1:-1"
          no_advertise: true
          compression: off
          tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: true }}
        }}
        "#
    )
}

/// A nats.conf of the outside that dials `leafnodes`.
fn dialling_conf(pki: &Pki, kind: Kind, leafnodes: SocketAddr) -> String {
    // Before 2.14 there was no such word: a cut link may then come back past the proxy.
    let through_proxy = if kind == Kind::Older("2.12") { "" } else { "ignore_discovered_servers: true" };
    let [cert, key, ca] =
        ["event-gateway.crt", "event-gateway.key", "internal-ca.crt"].map(|file| pki.text(file));
    format!(
        r#"
        server_name: outside
        listen: "127.0.0.1:-1"
        leafnodes {{
          reconnect: "100ms"
          remotes: [ {{
            url: "tls://{leafnodes}"
            {through_proxy}
            compression: off
            tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}" }}
          }} ]
        }}
        "#
    )
}

/// `[leafnodes]` of a bus that dials `gateway` and is dialled by nobody.
fn dialling_section(pki: &Pki, gateway: SocketAddr) -> String {
    let [cert, key, ca] =
        ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"].map(|file| pki.text(file));
    format!(
        r#"
[leafnodes]
disabled = true

[[leafnodes.remotes]]
name = "dmz"
urls = ["tls://{gateway}"]
tls = {{ cert_path = "{cert}", key_path = "{key}", root_ca_path = "{ca}", server_name = "event-gateway" }}
"#
    )
}

impl Link {
    /// A server with a nats.conf on each side. `None` where one is not installed.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn conf(outer: Kind, inner: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let Some(inside) = ConfServer::named(inner, pki.dir(), "inside", &accepting_conf(&pki)).await? else {
            return Ok(None);
        };
        let proxy = Proxy::to(inside.addresses.leafnodes.context("no leafnode listener")?).await?;
        let conf = dialling_conf(&pki, outer, proxy.address());
        let Some(outside) = ConfServer::named(outer, pki.dir(), "outside", &conf).await? else {
            return Ok(None);
        };
        let (outer, inner) = (End::plain(outside.addresses.clients), End::plain(inside.addresses.clients));
        Ok(Some(Self {
            outer,
            inner,
            proxy,
            behind: vec![Box::new(outside), Box::new(inside), Box::new(pki)],
        }))
    }

    /// nats-server of a `kind` dials our bus as its users configure it. `None` where it is not installed.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn stock_to_bus(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
        let proxy = Proxy::to(bus.leafnodes()?).await?;
        let conf = dialling_conf(&pki, kind, proxy.address());
        let Some(outside) = ConfServer::named(kind, pki.dir(), "outside", &conf).await? else {
            return Ok(None);
        };
        let outer = End::plain(outside.addresses.clients);
        let inner = End::tls(bus.addresses.clients, pki.service("orders"), None);
        Ok(Some(Self { outer, inner, proxy, behind: vec![Box::new(outside), Box::new(bus), Box::new(pki)] }))
    }

    /// Our gateway dials nats-server of a `kind`. `None` where it is not installed.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn gateway_to_stock(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let Some(inside) = ConfServer::named(kind, pki.dir(), "inside", &accepting_conf(&pki)).await? else {
            return Ok(None);
        };
        let proxy = Proxy::to(inside.addresses.leafnodes.context("no leafnode listener")?).await?;
        let (gateway, outer) = Self::gateway(&pki, proxy.address()).await?;
        let inner = End::plain(inside.addresses.clients);
        Ok(Some(Self {
            outer,
            inner,
            proxy,
            behind: vec![Box::new(gateway), Box::new(inside), Box::new(pki)],
        }))
    }

    /// Our gateway dials our bus.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn gateway_to_bus() -> Result<Self> {
        let pki = Pki::new()?;
        let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
        let proxy = Proxy::to(bus.leafnodes()?).await?;
        let (gateway, outer) = Self::gateway(&pki, proxy.address()).await?;
        let inner = End::tls(bus.addresses.clients, pki.service("orders"), None);
        Ok(Self { outer, inner, proxy, behind: vec![Box::new(gateway), Box::new(bus), Box::new(pki)] })
    }

    /// Our bus dials our gateway: for networks where only the inside may dial out.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn bus_to_gateway() -> Result<Self> {
        let pki = Pki::new()?;
        let tokens = Tokens::new(pki.dir())?;
        let mut gateway = Gateway::start(&pki, &tokens, &GatewayOptions::waiting(&pki)).await?;
        let proxy = Proxy::to(gateway.addresses.leafnodes.context("no leafnode listener")?).await?;
        let mut options = BusOptions { leafnodes: None, ..BusOptions::default() };
        options.sections = dialling_section(&pki, proxy.address());
        let bus = InternalBus::start(&pki, &options).await?;
        gateway.ready().await?;
        let outer = End::tls(gateway.addresses.clients, pki.outsider(), Some(tokens.good()?));
        let inner = End::tls(bus.addresses.clients, pki.service("orders"), None);
        Ok(Self { outer, inner, proxy, behind: vec![Box::new(gateway), Box::new(bus), Box::new(pki)] })
    }

    /// Our gateway and our bus as clusters of a super-cluster, each by the few keys that are usual for it.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn clusters_ours() -> Result<Self> {
        let pki = Pki::new()?;
        let [inside, outside] = two(free_ports(2)?)?;
        let proxy = Proxy::to(([127, 0, 0, 1], inside).into()).await?;
        let mut options = BusOptions { leafnodes: None, ..BusOptions::default() };
        options.sections = format!(
            "[gateway]\nname = \"event-service\"\nhost = \"127.0.0.1\"\nport = {inside}\nadvertise = \"{}\"\npeers = [\"event-gateway\"]\n",
            proxy.address()
        );
        let bus = InternalBus::start(&pki, &options).await?;
        let (gateway, outer) = Self::clustered(&pki, proxy.address(), outside).await?;
        let inner = End::tls(bus.addresses.clients, pki.service("orders"), None);
        Ok(Self { outer, inner, proxy, behind: vec![Box::new(gateway), Box::new(bus), Box::new(pki)] })
    }

    /// Our gateway and nats-server of a `kind` as clusters of a super-cluster. `None` where it is not installed.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn clusters_stock(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let [inside, outside] = two(free_ports(2)?)?;
        let proxy = Proxy::to(([127, 0, 0, 1], inside).into()).await?;
        let [cert, key, ca] =
            ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"].map(|file| pki.text(file));
        let conf = format!(
            r#"
            server_name: inside
            listen: "127.0.0.1:-1"
            gateway {{
              name: event-service
              listen: "127.0.0.1:{inside}"
              advertise: "{}"
              tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: true }}
              gateways: [ {{ name: event-gateway, url: "tls://localhost:{outside}" }} ]
            }}
            "#,
            proxy.address()
        );
        let Some(server) = ConfServer::named(kind, pki.dir(), "inside", &conf).await? else {
            return Ok(None);
        };
        let (gateway, outer) = Self::clustered(&pki, proxy.address(), outside).await?;
        let inner = End::plain(server.addresses.clients);
        Ok(Some(Self {
            outer,
            inner,
            proxy,
            behind: vec![Box::new(gateway), Box::new(server), Box::new(pki)],
        }))
    }

    async fn clustered(pki: &Pki, inside: SocketAddr, own: u16) -> Result<(Gateway, End)> {
        let tokens = Tokens::new(pki.dir())?;
        let mut options = GatewayOptions::dialling(pki, inside);
        options.service = format!("gateway_port = {own}\n");
        options.link = "protocol = \"gateway\"\n".to_owned();
        options.sections = format!(
            "[internal_event_service]\nhost = \"{}\"\ngateway_port = {}\n",
            inside.ip(),
            inside.port()
        );
        let mut gateway = Gateway::start(pki, &tokens, &options).await?;
        gateway.ready().await?;
        let outer = End::tls(gateway.addresses.clients, pki.outsider(), Some(tokens.good()?));
        Ok((gateway, outer))
    }

    async fn gateway(pki: &Pki, leafnodes: SocketAddr) -> Result<(Gateway, End)> {
        let tokens = Tokens::new(pki.dir())?;
        let mut gateway = Gateway::start(pki, &tokens, &GatewayOptions::dialling(pki, leafnodes)).await?;
        gateway.ready().await?;
        let outer = End::tls(gateway.addresses.clients, pki.outsider(), Some(tokens.good()?));
        Ok((gateway, outer))
    }

    /// Keeps something alive as long as the link.
    #[must_use]
    pub fn keeping(mut self, part: impl Any + Send) -> Self {
        self.behind.push(Box::new(part));
        self
    }
}

fn two(ports: Vec<u16>) -> Result<[u16; 2]> {
    ports.try_into().ok().context("not two ports")
}
