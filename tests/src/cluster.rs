//! A cluster of stock nats-servers on loopback, or one bus of ours in its place, with JetStream and leafnode listeners, whose nodes a test kills and
//! brings back.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http::http_get;
use crate::natsconf::Kind;
use crate::process::{Process, ProcessBuilder};
use crate::wait::eventually;

/// Ports of one node, fixed for its life: others know them.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: u16,
    cluster: u16,
    leafnodes: u16,
    gateway: u16,
    http: u16,
}

/// What differs from the usual cluster of a test: three nodes, domain `hub`, account `APP` with user `app`, password
/// `app`, which leafnodes may use, too.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Name of the cluster, and of its gateway.
    pub name: &'static str,
    /// Whose servers; ours stand alone.
    pub kind: Kind,
    /// Number of nodes.
    pub nodes: usize,
    /// Whether there is JetStream.
    pub jetstream: bool,
    /// The `accounts` block and what else goes to the top of the file.
    pub top: String,
    /// Address on which leafnodes are accepted.
    pub leaf_host: &'static str,
    /// More lines of `leafnodes`.
    pub leafnodes: String,
    /// Lines of the `gateway` block without name and address; `None` leaves it out.
    pub gateway: Option<String>,
    /// Where others are told to find the gateway of each node; empty: where it listens.
    pub advertise: Vec<SocketAddr>,
}

impl ClusterOptions {
    /// One bus of ours.
    pub fn bus() -> Self {
        Self { kind: Kind::Ours, nodes: 1, ..Self::default() }
    }
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let top = r#"
accounts {
  SYS { users: [{ user: sys, password: sys }] }
  APP { jetstream: enabled, users: [{ user: app, password: app }] }
}
system_account: SYS
"#;
        Self {
            name: "hub",
            kind: Kind::Stock,
            nodes: 3,
            jetstream: true,
            top: top.to_owned(),
            leaf_host: "127.0.0.1",
            leafnodes: String::new(),
            gateway: None,
            advertise: Vec::new(),
        }
    }
}

/// One node.
#[derive(Debug)]
pub struct Node {
    name: String,
    ports: Ports,
    process: Option<Process>,
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where clients connect.
    pub fn clients(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.clients).into()
    }

    /// Where leafnodes connect.
    pub fn leafnodes(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.leafnodes).into()
    }

    /// Where gateways connect.
    pub fn gateway(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.gateway).into()
    }

    /// A monitoring page.
    ///
    /// # Errors
    /// When the node is down, or has no such page.
    pub async fn page(&self, path: &str) -> Result<Value> {
        http_get(([127, 0, 0, 1], self.ports.http).into(), path).await?.json()
    }

    /// The process, while it runs.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its nodes, also those that are down.
    pub nodes: Vec<Node>,
    dir: PathBuf,
    program: PathBuf,
}

impl Cluster {
    /// Starts a cluster in `dir` and waits until it serves. `None`, counted as a skip, where stock nats-server is not
    /// installed.
    ///
    /// # Errors
    /// When it does not come up; the log is in the error.
    pub async fn start(dir: &Path, options: &ClusterOptions) -> Result<Option<Self>> {
        let Some(program) = options.kind.program()? else { return Ok(None) };
        let ports = free_ports(options.nodes * 5)?;
        let ports: Vec<Ports> = ports
            .chunks_exact(5)
            .map(|p| Ports { clients: p[0], cluster: p[1], leafnodes: p[2], gateway: p[3], http: p[4] })
            .collect();
        let mut cluster = Self { nodes: Vec::new(), dir: dir.to_owned(), program };
        for (at, own) in ports.iter().enumerate() {
            let name = node_name(options, at);
            fs::write(dir.join(format!("{name}.conf")), conf(dir, at, options, &ports))?;
            cluster.nodes.push(Node { name, ports: *own, process: None });
        }
        for at in 0..options.nodes {
            cluster.spawn(at)?;
        }
        for at in 0..options.nodes {
            cluster.ready(at).await?;
        }
        if options.jetstream {
            cluster.leader().await?;
        }
        Ok(Some(cluster))
    }

    fn spawn(&mut self, at: usize) -> Result<()> {
        let node = self.nodes.get_mut(at).context("no such node")?;
        let [conf, log] = ["conf", "log"].map(|end| self.dir.join(format!("{}.{end}", node.name)));
        node.process = Some(ProcessBuilder::new(&self.program, log).arg("-c").arg(conf).spawn()?);
        Ok(())
    }

    /// Waits until a node serves and knows all that run.
    async fn ready(&mut self, at: usize) -> Result<()> {
        let running = self.nodes.iter().filter(|node| node.process.is_some()).count();
        let node = self.nodes.get_mut(at).context("no such node")?;
        let process = node.process.as_mut().context("the node is down")?;
        process.wait_log("a ready node", |log| log.contains("Server is ready").then_some(())).await?;
        if self.nodes.len() == 1 {
            return Ok(());
        }
        let node = &self.nodes[at];
        eventually("a node that knows the others", || async {
            let routes = node.page("/routez").await.ok()?;
            let known: std::collections::HashSet<_> = routes["routes"]
                .as_array()?
                .iter()
                .filter_map(|route| route["remote_name"].as_str())
                .collect();
            (known.len() + 1 >= running).then_some(())
        })
        .await
    }

    /// The index of the node that leads JetStream's meta group; waits for one.
    ///
    /// # Errors
    /// When there is none.
    pub async fn leader(&self) -> Result<usize> {
        if self.nodes.len() == 1 {
            return Ok(0);
        }
        eventually("a leader", || async {
            for node in self.nodes.iter().filter(|node| node.process.is_some()) {
                let page = node.page("/jsz").await.ok()?;
                let leader = page["meta_cluster"]["leader"].as_str().filter(|name| !name.is_empty());
                if let Some(at) = leader.and_then(|name| self.nodes.iter().position(|node| node.name == name))
                {
                    return Some(at);
                }
            }
            None
        })
        .await
    }

    /// The index of the node that has leafnode connections, if one has.
    pub async fn leaf_node(&self) -> Option<usize> {
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()) {
            let page = node.page("/leafz").await.ok()?;
            if page["leafs"].as_array().is_some_and(|leafs| !leafs.is_empty()) {
                return Some(at);
            }
        }
        None
    }

    /// Kills a node without notice.
    ///
    /// # Errors
    /// When it is down already.
    pub async fn kill(&mut self, at: usize) -> Result<()> {
        let node = self.nodes.get_mut(at).context("no such node")?;
        node.process.take().context("the node is down")?.kill().await
    }

    /// Starts a node that was killed, with the data it had.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn bring_back(&mut self, at: usize) -> Result<()> {
        ensure!(self.nodes[at].process.is_none(), "the node runs");
        self.spawn(at)?;
        self.ready(at).await
    }

    /// Connects a client as user `app` to any node.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn client(&self) -> Result<async_nats::Client> {
        let urls: Vec<async_nats::ServerAddr> = self
            .nodes
            .iter()
            .map(|node| format!("nats://{}", node.clients()).parse())
            .collect::<std::result::Result<_, _>>()?;
        let options = async_nats::ConnectOptions::with_user_and_password("app".into(), "app".into());
        Ok(options.reconnect_delay_callback(|_| Duration::from_millis(50)).connect(urls).await?)
    }
}

/// Ports nobody listens on, which differ from all that were given before. They lie below those the system gives to who
/// asks for any, so that nobody is given one before it is used.
///
/// # Errors
/// When there are not so many.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    /// From here, so many; each process begins elsewhere.
    const FIRST: u32 = 10_240;
    const PORTS: u32 = 20_480;
    const APART: u32 = 64;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let mut found = Vec::new();
    for _ in 0..PORTS {
        if found.len() == count {
            break;
        }
        let next = GIVEN.fetch_add(1, Ordering::Relaxed);
        let place = std::process::id().wrapping_mul(APART).wrapping_add(next) % PORTS;
        let port = u16::try_from(FIRST + place)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            found.push(port);
        }
    }
    ensure!(found.len() == count, "no free ports");
    Ok(found)
}

fn node_name(options: &ClusterOptions, at: usize) -> String {
    format!("{}-{}", options.name, at + 1)
}

fn conf(dir: &Path, at: usize, options: &ClusterOptions, all: &[Ports]) -> String {
    let (name, own) = (node_name(options, at), all[at]);
    let routes: Vec<String> =
        all.iter().map(|ports| format!("\"nats://127.0.0.1:{}\"", ports.cluster)).collect();
    let jetstream = if options.jetstream {
        let store = dir.join(&name);
        format!("jetstream {{ store_dir: \"{}\", domain: {} }}", store.display(), options.name)
    } else {
        String::new()
    };
    let cluster = if options.nodes > 1 {
        let (name, port, routes) = (options.name, own.cluster, routes.join(", "));
        format!("cluster {{ name: {name}, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}")
    } else {
        String::new()
    };
    let gateway = options.gateway.as_ref().map(|lines| {
        let advertise = options.advertise.get(at).map(|address| format!("advertise: \"{address}\""));
        format!(
            "gateway {{ name: {}, listen: \"127.0.0.1:{}\"\n{}\n{lines}\n}}",
            options.name,
            own.gateway,
            advertise.unwrap_or_default()
        )
    });
    format!(
        "server_name: {name}\nlisten: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\n{jetstream}\n{cluster}\n{}\nleafnodes {{ listen: \"{}:{}\"\n{} }}\n{}\n",
        own.clients,
        own.http,
        gateway.unwrap_or_default(),
        options.leaf_host,
        own.leafnodes,
        options.leafnodes,
        options.top
    )
}
