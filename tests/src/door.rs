//! The doors a client may come through: one set of scenarios has to hold at each of them.

use std::any::Any;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bus::{BusOptions, InternalBus};
use crate::gateway::{Gateway, GatewayOptions};
use crate::natsconf::{ConfServer, Kind};
use crate::peer::{Client, ResultExt, merge, run_scenarios};
use crate::pki::Pki;
use crate::proxy::Proxy;
use crate::tls::ClientTls;
use crate::tokens::Tokens;

/// A way in, with everything behind it running. What a client connects to is a proxy, so that a test can take its
/// connection away.
pub struct Door {
    /// What a client needs to know, as options of the peers' scripts.
    pub options: Value,
    /// The same for async-nats: address and what to show.
    pub url: String,
    /// Its TLS files, unless the door is open to plain connections.
    pub tls: Option<ClientTls>,
    /// Its user and password.
    pub user: Option<(String, String)>,
    /// Its token.
    pub token: Option<String>,
    /// Between the client and the door.
    pub proxy: Proxy,
    /// The processes, and the directory they work in, last.
    behind: Vec<Box<dyn Any + Send>>,
}

/// Users and rights in a nats.conf: everything but `denied.>`.
const CONF_USERS: &str = r#"
authorization { users: [ { user: u, password: p, permissions: {
  publish: { deny: ["denied.>"] }, subscribe: { deny: ["denied.>"] } } } ] }
"#;

/// The same rights in our own configuration, for the service `orders`.
const BUS_RIGHTS: &str = r#"
[[roles]]
name = "service"
publish = { allow = [">"], deny = ["denied.>"] }
subscribe = { allow = [">"], deny = ["denied.>"] }

[[bindings]]
role = "service"
when = { "certificate.dns" = "orders.internal" }
"#;

/// What every client library does through every door.
const SCENARIOS: [&str; 14] = [
    "connect",
    "pubsub",
    "wildcard",
    "queue",
    "request",
    "headers",
    "no_responders",
    "deny_publish",
    "deny_subscribe",
    "drain",
    "flush",
    "payload",
    "throughput",
    "reconnect",
];

impl Door {
    /// Runs all of them with `client`; the connection is reset where a scenario asks for it.
    ///
    /// # Errors
    /// When the client can't be started, or a scenario fails: all that failed are named.
    pub async fn passes_all_of(&self, client: Client) -> Result<()> {
        let outcomes = run_scenarios(client, &self.options, &SCENARIOS, |_| self.proxy.reset()).await?;
        outcomes.all_pass()
    }

    /// A server with a `nats.conf`: user and password, in clear. `None` where it is not installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn conf_plain(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let conf = format!("listen: \"127.0.0.1:-1\"\n{CONF_USERS}");
        let Some(server) = ConfServer::start(kind, pki.dir(), &conf).await? else { return Ok(None) };
        let mut door = Self::to(server.addresses.clients, "nats", None).await?;
        merge(&mut door.options, &json!({ "user": "u", "password": "p" }));
        door.user = Some(("u".to_owned(), "p".to_owned()));
        Ok(Some(door.keeping(server).keeping(pki)))
    }

    /// The port for WebSocket of a server with a `nats.conf`, in clear. `None` where it is not installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn conf_websocket(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let conf = format!(
            "listen: \"127.0.0.1:-1\"\nwebsocket {{ listen: \"127.0.0.1:-1\", no_tls: true }}\n{CONF_USERS}"
        );
        let Some(server) = ConfServer::start(kind, pki.dir(), &conf).await? else { return Ok(None) };
        let websocket = server.addresses.websocket.context("no port for WebSocket")?;
        let mut door = Self::to(websocket, "ws", None).await?;
        merge(&mut door.options, &json!({ "user": "u", "password": "p" }));
        door.user = Some(("u".to_owned(), "p".to_owned()));
        Ok(Some(door.keeping(server).keeping(pki)))
    }

    /// A server with a `nats.conf`: user and password over mutual TLS. `None` where it is not installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn conf_mtls(kind: Kind) -> Result<Option<Self>> {
        let pki = Pki::new()?;
        let conf = format!(
            "listen: \"127.0.0.1:-1\"\n{CONF_USERS}\ntls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
            pki.text("internal-bus.crt"),
            pki.text("internal-bus.key"),
            pki.text("internal-ca.crt")
        );
        let Some(server) = ConfServer::start(kind, pki.dir(), &conf).await? else { return Ok(None) };
        let mut door = Self::to(server.addresses.clients, "tls", Some(pki.service("orders"))).await?;
        merge(&mut door.options, &json!({ "user": "u", "password": "p" }));
        door.user = Some(("u".to_owned(), "p".to_owned()));
        Ok(Some(door.keeping(server).keeping(pki)))
    }

    /// The internal bus, with the certificate of the service `orders`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn bus() -> Result<Self> {
        let pki = Pki::new()?;
        let bus = InternalBus::start(&pki, &BusOptions::default().with_sections(BUS_RIGHTS)).await?;
        let door = Self::to(bus.addresses.clients, "tls", Some(pki.service("orders"))).await?;
        Ok(door.keeping(bus).keeping(pki))
    }

    /// The gateway, with a partner's token, in front of a bus.
    ///
    /// # Errors
    /// When one of both does not come up.
    pub async fn gateway() -> Result<Self> {
        Self::gateway_with("").await
    }

    /// The gateway's port for WebSocket, with a partner's token.
    ///
    /// # Errors
    /// When gateway or bus does not come up.
    pub async fn gateway_websocket() -> Result<Self> {
        Self::gateway_with("[websocket]\nhost = \"127.0.0.1\"\nport = 0\n").await
    }

    async fn gateway_with(sections: &str) -> Result<Self> {
        let pki = Pki::new()?;
        let tokens = Tokens::new(pki.dir())?;
        let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
        let options = GatewayOptions::dialling(&pki, bus.leafnodes()?);
        let options = GatewayOptions { sections: sections.to_owned(), ..options };
        let mut gateway = Gateway::start(&pki, &tokens, &options).await?;
        gateway.ready().await?;
        let clients = (gateway.addresses.clients, "tls");
        let (address, scheme) = gateway.addresses.websocket.map_or(clients, |address| (address, "wss"));
        let mut door = Self::to(address, scheme, Some(pki.outsider())).await?;
        let token = tokens.good()?;
        merge(&mut door.options, &json!({ "token": token }));
        door.token = Some(token);
        Ok(door.keeping(gateway).keeping(bus).keeping(pki))
    }

    async fn to(target: SocketAddr, scheme: &str, tls: Option<ClientTls>) -> Result<Self> {
        let proxy = Proxy::to(target).await.context("a proxy")?;
        let url = format!("{scheme}://{}", proxy.address());
        let mut options = json!({ "url": url, "denied": "denied.x", "prefix": "peer.t" });
        if let Some(tls) = &tls {
            merge(&mut options, &tls.peer_options());
        }
        Ok(Self { options, url, tls, user: None, token: None, proxy, behind: Vec::new() })
    }

    fn keeping(mut self, part: impl Any + Send) -> Self {
        self.behind.push(Box::new(part));
        self
    }

    /// Connects async-nats through this door.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn client(&self) -> Result<async_nats::Client> {
        Ok(self.async_nats().connect(self.url.as_str()).await?)
    }

    /// Options of async-nats for this door.
    pub fn async_nats(&self) -> async_nats::ConnectOptions {
        let options = self.tls.as_ref().map_or_else(async_nats::ConnectOptions::new, ClientTls::async_nats);
        match (&self.token, &self.user) {
            (Some(token), _) => options.token(token.clone()),
            (None, Some((user, password))) => options.user_and_password(user.clone(), password.clone()),
            (None, None) => options,
        }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("url", &self.proxy.address()).finish_non_exhaustive()
    }
}
