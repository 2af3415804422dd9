//! A gateway and a bus in this process, with certificates and an issuer of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use broker::{Compression, LeafPurpose, ListenerConfig, Open, Purpose, Role, Server, ServerConfig};
use daemon::audit::Audit;
use daemon::metrics::Metrics;
use daemon::readiness::Readiness;
use event_gateway::Gateway;
use event_gateway::config::{Config, Depth, load};
use event_gateway::gateway::Surroundings;
use identity::Grant;
use identity::token::DevIssuer;
use node::sections::{Leafnodes, TlsFiles};
use node::tls::Reloads;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

const ISSUER: &str = "https://issuer.example";

/// A directory with certificates and an issuer.
pub(crate) struct World {
    folder: TempDir,
    issuer: DevIssuer,
}

/// A bus: the broker with a clients' port in clear, and a leafnode port.
pub(crate) struct Bus {
    pub(crate) server: Server,
    pub(crate) clients: SocketAddr,
    pub(crate) leafnodes: SocketAddr,
}

/// A gateway and what is around it.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) around: Surroundings,
    pub(crate) config: Config,
}

impl World {
    pub(crate) fn new() -> Self {
        identity::tls::install_default_provider();
        let folder = tempfile::tempdir().unwrap();
        certs_dev::init(&folder.path().join("certs"), false).unwrap();
        let issuer = DevIssuer::create(&folder.path().join("issuer")).unwrap();
        Self { folder, issuer }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn tls_files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            cert_path: self.path(&format!("certs/{name}.crt")),
            key_path: self.path(&format!("certs/{name}.key")),
            root_ca_path: self.path("certs/internal-ca.crt"),
            server_name: None,
            crl_paths: Vec::new(),
            handshake_first: false,
        }
    }

    /// A token of a partner of `acme`, with claims changed or (null) left out.
    pub(crate) fn token(&self, changes: &Value) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": ISSUER, "aud": "events", "sub": "alice", "tenant": "acme", "iat": now, "exp": now + 600,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.issuer.mint(&claims).unwrap()
    }

    /// A bus. `address` is that of its leafnode port, to come back on the same one.
    pub(crate) fn bus(&self, address: &str) -> Bus {
        let server = Server::new(ServerConfig { name: "internal-bus".into(), ..ServerConfig::default() });
        let group = server.link_group(identity::DEFAULT_ACCOUNT, None);
        let address: SocketAddr = address.parse().unwrap();
        let section = Leafnodes {
            host: address.ip(),
            port: address.port(),
            peers: vec!["event-gateway".into()],
            tls: Some(self.tls_files("internal-bus")),
            plaintext: false,
            compression: Default::default(),
            remotes: Vec::new(),
            disabled: false,
        };
        let purpose =
            LeafPurpose { role: Role::Hub, crossing: None, group, compression: Compression::default() };
        let leafnodes =
            node::leafnodes::listen(&server, &Reloads::new(), &section, None, purpose, Duration::ZERO)
                .unwrap();
        let clients = server
            .listen(ListenerConfig {
                address: "127.0.0.1:0".parse().unwrap(),
                purpose: Purpose::Clients,
                tls: None,
                websocket: None,
                authenticator: Arc::new(Open),
                link_hold: Duration::ZERO,
                advertise: None,
                connect_urls: Vec::new(),
            })
            .unwrap();
        Bus { server, clients, leafnodes }
    }

    /// The text of a gateway's configuration; `service` and `link` are more lines of these sections.
    pub(crate) fn toml(&self, service: &str, link: &str, sections: &str) -> String {
        format!(
            r#"
[service]
host = "127.0.0.1"
port = 0
{service}
[[frontend_tls]]
cert_path = "certs/frontend.crt"
key_path = "certs/frontend.key"
[[issuers]]
issuer = "{ISSUER}"
audience = ["events"]
algorithms = ["ES256"]
jwks_file = "issuer/jwks.json"
[[roles]]
name = "partner"
publish = {{ allow = ["orders.{{{{claims.tenant}}}}.>"] }}
subscribe = {{ allow = ["shipments.{{{{claims.tenant}}}}.>"] }}
[[bindings]]
role = "partner"
issuer = "{ISSUER}"
[[routes]]
subject = "orders.>"
direction = "inward"
to = "ext.orders.>"
[[routes]]
subject = "shipments.>"
direction = "outward"
[link]
tls = {{ cert_path = "certs/event-gateway.crt", key_path = "certs/event-gateway.key", root_ca_path = "certs/internal-ca.crt", server_name = "internal-bus" }}
backoff_min = "20ms"
backoff_max = "50ms"
{link}
{sections}
"#
        )
    }

    /// A gateway with the configuration `text`.
    pub(crate) fn gateway(&self, text: &str) -> Running {
        let file = self.path("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let config = load(&file, Depth::Files).map_err(|errors| errors.to_string()).unwrap().config;
        let around = Surroundings {
            readiness: Readiness::new(),
            metrics: Metrics::new("event-gateway", "test"),
            reloads: Reloads::new(),
            revocations: node::revocation::Plane::open(&Default::default(), Audit::none()).unwrap(),
            audit: Audit::none(),
        };
        let gateway = Gateway::start(&config, &around).unwrap();
        Running { gateway, around, config }
    }

    /// A gateway that dials `bus`.
    pub(crate) fn gateway_to(&self, bus: &Bus) -> Running {
        self.gateway(&self.toml("", &format!("urls = [\"tls://{}\"]\nhold = \"300ms\"", bus.leafnodes), ""))
    }

    /// Options of an external client.
    pub(crate) fn outside(&self) -> ConnectOptions {
        ConnectOptions::new().require_tls(true).add_root_certificates(self.path("certs/frontend-ca.crt"))
    }

    /// An external client with a good token.
    pub(crate) async fn partner(&self, running: &Running) -> Client {
        let options = self.outside().token(self.token(&json!({})));
        options.connect(running.url()).await.unwrap()
    }
}

impl Running {
    pub(crate) fn url(&self) -> String {
        format!("tls://{}", self.gateway.clients)
    }

    pub(crate) async fn ready(&self) {
        let ready = timeout(DEADLINE, self.around.readiness.wait_ready()).await;
        assert!(ready.is_ok(), "not ready: {:?}", self.around.readiness.state());
    }

    /// Waits until readiness is lost.
    pub(crate) async fn not_ready(&self) -> String {
        let lost = async {
            loop {
                let (ready, held) = self.around.readiness.state();
                if !ready {
                    return format!("{held:?}");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, lost).await.unwrap()
    }
}

impl Bus {
    /// Answers probes as the internal bus does.
    pub(crate) fn answering(self) -> Self {
        let mut client =
            self.server.local_client("healthcheck", Arc::new(Grant::unrestricted("healthcheck")));
        client.subscribe("healthcheck.bus", None).unwrap();
        tokio::spawn(async move {
            while let Some(request) = client.next().await {
                // Whoever asked may be gone already.
                let _gone = client.publish(&request.reply, b"", b"here");
            }
        });
        self
    }

    pub(crate) async fn end(self) {
        assert_eq!(self.server.drain(broker::Drain::default()).await, 0);
    }

    pub(crate) async fn client(&self) -> Client {
        async_nats::connect(format!("nats://{}", self.clients)).await.unwrap()
    }
}

/// The mode bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
