//! Where the faults happen: a cluster or a bus, gateways before it, and wires that can go bad between all of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::chaos::Chaos;
use crate::chaos::schedule::{Fault, Schedule, Step};
use crate::cluster::{Cluster, ClusterOptions, free_ports};
use crate::gateway::{Gateway, GatewayOptions};
use crate::natsconf::Kind;
use crate::pki::Pki;
use crate::proxy::Proxy;
use crate::tls::{client_config, first_certificate, peer_certificate, peer_certificate_first};
use crate::tokens::Tokens;
use crate::wait::eventually;

/// Stream that takes `events.>`.
pub(super) const STREAM: &str = "EVENTS";

/// The certificates at both ends of links.
const LINK_CERTIFICATES: [&str; 2] = ["event-gateway", "internal-bus"];

/// Bytes per second of a slow wire.
const SLOW: u32 = 24 * 1024;

/// What joins gateways and nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Joint {
    /// The gateway protocol, both dialling each other; else leafnode links that gateways dial.
    pub gateway: bool,
    /// Certificates on both sides; else in clear.
    pub tls: bool,
}

/// Wires to the nodes, laid before anybody listens at their ends.
#[derive(Debug)]
struct Wires {
    /// To each node.
    to_nodes: Vec<Proxy>,
    /// Of the gateway protocol: from the nodes, and the port behind it.
    back: Option<(Proxy, u16)>,
}

/// A gateway, the wire to its clients, and its wires to the nodes.
#[derive(Debug)]
pub(super) struct Outpost {
    name: String,
    toml: String,
    gateway: Option<Gateway>,
    /// Clients connect here, whatever port the gateway has at the moment.
    front: Proxy,
    /// Those to the nodes, in their order; behind them the one from the nodes, where there is one.
    wires: Vec<Proxy>,
}

/// Everything, running.
#[derive(Debug)]
pub(super) struct Field {
    /// Gateways; dropped first.
    outposts: Vec<Outpost>,
    cluster: Cluster,
    token: String,
    joint: Joint,
    /// Certificates and working directory; dropped last.
    pki: Pki,
}

impl Field {
    /// Starts nodes and gateways, and makes the stream. `None` where stock nats-server is needed and not installed.
    ///
    /// # Errors
    /// When something does not come up.
    pub(super) async fn start(chaos: Chaos) -> Result<Option<Self>> {
        let Chaos { kind, nodes, gateways, joint, .. } = chaos;
        let pki = Pki::new()?;
        let mut wires = Vec::new();
        for _ in 0..gateways {
            wires.push(Wires::lay(nodes, joint).await?);
        }
        let options = ClusterOptions { kind, nodes, ..cluster_options(&pki, kind, joint, &wires) };
        let Some(cluster) = Cluster::start(pki.dir(), &options).await? else { return Ok(None) };
        let inner = jetstream::new(cluster.client().await?);
        let stream = jetstream::stream::Config {
            name: STREAM.into(),
            subjects: vec!["events.>".into()],
            num_replicas: nodes,
            ..Default::default()
        };
        eventually("a stream", || async { inner.create_stream(stream.clone()).await.ok() }).await?;
        let tokens = Tokens::new(pki.dir())?;
        let mut field = Self { outposts: Vec::new(), cluster, token: tokens.good()?, joint, pki };
        for (at, wires) in wires.into_iter().enumerate() {
            let outpost = field.outpost(&tokens, wires, format!("gateway-{at}"), chaos.edge).await?;
            field.outposts.push(outpost);
        }
        Ok(Some(field))
    }

    async fn outpost(&self, tokens: &Tokens, wires: Wires, name: String, edge: bool) -> Result<Outpost> {
        for (wire, node) in wires.to_nodes.iter().zip(&self.cluster.nodes) {
            wire.retarget(if self.joint.gateway { node.gateway() } else { node.leafnodes() });
        }
        let options = options(&self.pki, &wires, &name, edge, self.joint);
        let toml = if self.joint.tls {
            options.to_toml(&self.pki, tokens)
        } else {
            options.to_plain_toml(&self.pki, tokens)
        };
        let mut gateway = Gateway::named(&self.pki, &name, &toml).await?;
        gateway.ready().await?;
        let front = Proxy::to(gateway.addresses.clients).await?;
        let wires = wires.to_nodes.into_iter().chain(wires.back.map(|(wire, _)| wire)).collect();
        Ok(Outpost { name, toml, gateway: Some(gateway), front, wires })
    }

    /// Connects a client on the inside, which comes back by itself.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) async fn inside(&self) -> Result<async_nats::Client> {
        self.cluster.client().await
    }

    /// Connects a client outside, which comes back by itself: to these gateways, the first one first.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) async fn outside(&self, gateways: &[usize]) -> Result<async_nats::Client> {
        let mut urls = Vec::new();
        for at in gateways {
            let outpost = self.outposts.get(*at).context("no such gateway")?;
            urls.push(format!("tls://{}", outpost.front.address()).parse::<async_nats::ServerAddr>()?);
        }
        let options = self.pki.outsider().async_nats().token(self.token.clone());
        let options = options
            .retain_servers_order()
            .ignore_discovered_servers()
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(Duration::from_secs(2)))
            .reconnect_delay_callback(|_| Duration::from_millis(50));
        Ok(options.connect(urls).await?)
    }

    /// How many gateways there are.
    pub(super) fn gateways(&self) -> usize {
        self.outposts.len()
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.cluster.nodes.len()
    }

    /// Lets everything go wrong as the schedule says; in the end all is well again, as far as that can be had from
    /// here. How many faults there were.
    ///
    /// # Errors
    /// When something does not come back.
    pub(super) async fn suffer(&mut self, schedule: &Schedule) -> Result<usize> {
        let began = Instant::now();
        let inner = jetstream::new(self.cluster.client().await?);
        let Self { outposts, cluster, pki, .. } = self;
        let nodes = async {
            for step in &schedule.nodes {
                sleep_until(began + step.at).await;
                node_fault(cluster, pki, &inner, step).await.with_context(|| format!("{step:?}"))?;
            }
            anyhow::Ok(())
        };
        let edge = async {
            for step in &schedule.edge {
                sleep_until(began + step.at).await;
                edge_fault(outposts, pki, step).await.with_context(|| format!("{step:?}"))?;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(nodes, edge)?;
        Ok(schedule.faults())
    }

    /// Waits until all gateways are ready, and show the newest certificate at their door; links with certificates are
    /// made anew with the newest ones.
    ///
    /// # Errors
    /// When one does not.
    pub(super) async fn recovered(&mut self) -> Result<()> {
        self.renew_links().await?;
        let wanted = first_certificate(&self.pki.path("frontend.crt"))?;
        let config = client_config(&self.pki.outsider(), &[])?;
        for outpost in &mut self.outposts {
            let gateway = outpost.gateway.as_mut().context("the gateway is down")?;
            gateway.ready().await?;
            let address = gateway.addresses.clients;
            eventually("the newest certificate", || async {
                (peer_certificate(address, config.clone(), "localhost").await.ok()? == wanted).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until the nodes show the newest certificate, and has the links made again.
    async fn renew_links(&self) -> Result<()> {
        if !self.joint.tls {
            return Ok(());
        }
        let wanted = first_certificate(&self.pki.path("internal-bus.crt"))?;
        let config = client_config(&self.pki.service("event-gateway"), &[])?;
        for node in &self.cluster.nodes {
            let (address, gateway) = (node.gateway(), self.joint.gateway);
            eventually("the newest certificate of a link", || async {
                let shown = if gateway {
                    peer_certificate_first(address, config.clone(), "internal-bus").await
                } else {
                    peer_certificate(node.leafnodes(), config.clone(), "internal-bus").await
                };
                (shown.ok()? == wanted).then_some(())
            })
            .await?;
        }
        self.outposts.iter().flat_map(|outpost| &outpost.wires).for_each(Proxy::reset);
        Ok(())
    }

    /// What the processes have logged, by name.
    pub(super) fn logs(&self) -> Vec<(String, String)> {
        let gateways = self
            .outposts
            .iter()
            .filter_map(|outpost| Some((outpost.name.clone(), outpost.gateway.as_ref()?.process.log())));
        let nodes = self.cluster.nodes.iter();
        let nodes = nodes.filter_map(|node| Some((node.name().to_owned(), node.process()?.log())));
        gateways.chain(nodes).collect()
    }
}

impl Wires {
    async fn lay(nodes: usize, joint: Joint) -> Result<Self> {
        let nowhere = ([127, 0, 0, 1], 1).into();
        let mut to_nodes = Vec::new();
        for _ in 0..nodes {
            to_nodes.push(Proxy::to(nowhere).await?);
        }
        let mut back = None;
        if joint.gateway {
            let port = *free_ports(1)?.first().context("no port")?;
            back = Some((Proxy::to(([127, 0, 0, 1], port).into()).await?, port));
        }
        Ok(Self { to_nodes, back })
    }
}

/// Nodes that accept leafnodes, or other clusters.
fn cluster_options(pki: &Pki, kind: Kind, joint: Joint, wires: &[Wires]) -> ClusterOptions {
    let [cert, key, ca] =
        ["internal-bus.crt", "internal-bus.key", "internal-ca.crt"].map(|file| pki.text(file));
    let tls = if joint.tls {
        format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: true }}")
    } else {
        String::new()
    };
    if !joint.gateway {
        return ClusterOptions { leafnodes: tls, ..ClusterOptions::default() };
    }
    // Everybody is told the wires of the first gateway: what the others learn goes bad with them, too.
    let advertise = wires.first().map(|wires| wires.to_nodes.iter().map(Proxy::address).collect());
    // Stock servers want one beside gateways and leafnodes.
    let system = match kind {
        Kind::Ours => "",
        _ => "accounts { SYS { users: [{ user: sys, password: sys }] } }\nsystem_account: SYS\n",
    };
    ClusterOptions {
        // Accounts are matched by name: what a gateway lets in is in the one without a name.
        top: format!("authorization {{ users: [{{ user: app, password: app }}] }}\n{system}"),
        // They learn of gateways when these dial: stock nodes choose no leader before all they are told of are there.
        gateway: Some(tls),
        advertise: advertise.unwrap_or_default(),
        ..ClusterOptions::default()
    }
}

fn options(pki: &Pki, wires: &Wires, name: &str, edge: bool, joint: Joint) -> GatewayOptions {
    let mut options = GatewayOptions::dialling(pki, ([127, 0, 0, 1], 1).into());
    let scheme = if joint.tls { "tls" } else { "nats-leaf" };
    let urls = |scheme: &str| {
        let urls = wires.to_nodes.iter().map(|wire| format!("\"{scheme}://{}\"", wire.address()));
        urls.collect::<Vec<_>>().join(", ")
    };
    options.sections = "[limits]\nping_interval = \"1s\"\n".to_owned();
    if let Some((back, port)) = &wires.back {
        options.link = "protocol = \"gateway\"\n".to_owned();
        let scheme = if joint.tls { "tls" } else { "nats" };
        options.sections.push_str(&format!(
            "[gateway]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {port}\nadvertise = \"localhost:{}\"\n\
             peers = [\"internal-bus\"]\nplaintext = {}\nreject_unknown_cluster = true\nbackoff_max = \"200ms\"\n\
             [[gateway.remotes]]\nname = \"hub\"\nurls = [{}]\n",
            back.address().port(),
            !joint.tls,
            urls(scheme)
        ));
        for subject in ["$JS.API.>", "$JS.ACK.>"] {
            let route = format!("\n[[routes]]\nsubject = \"{subject}\"\ndirection = \"inward\"\n");
            options.routes.push_str(&route);
        }
    } else {
        let connections = wires.to_nodes.len().min(2);
        options.link = format!(
            "urls = [{}]\nuser = \"app\"\npassword = \"app\"\njetstream_domain = \"hub\"\ndiscover = false\nbackoff_max = \"200ms\"\nconnections = {connections}\n",
            urls(scheme)
        );
    }
    options.rights =
        options.rights.replace("\"peer.>\", \"orders", "\"$JS.>\", \"events.>\", \"peer.>\", \"orders");
    let keep = if edge { "store_and_forward = true\n" } else { "" };
    options.routes.push_str(&format!("\n[[routes]]\nsubject = \"events.>\"\ndirection = \"inward\"\n{keep}"));
    if edge {
        options.sections.push_str(&format!("[edge]\ndir = \"{name}-edge\"\nack_timeout = \"1s\"\n"));
    }
    options
}

async fn node_fault(cluster: &mut Cluster, pki: &Pki, inner: &jetstream::Context, step: &Step) -> Result<()> {
    if step.fault == Fault::RotateLinks {
        for leaf in LINK_CERTIFICATES {
            certs_dev::rotate_leaf(pki.dir(), leaf).context("a new certificate")?;
        }
        // Ours look by themselves.
        for process in cluster.nodes.iter().filter_map(|node| node.process()) {
            process.signal("HUP").await?;
        }
        return Ok(());
    }
    let at = match step.fault {
        Fault::KillNode(at) | Fault::PauseNode(at) => at,
        _ => leader(cluster, inner).await?,
    };
    if let Fault::PauseNode(_) = step.fault {
        let process = cluster.nodes.get(at).and_then(|node| node.process()).context("the node is down")?;
        process.signal("STOP").await?;
        sleep(step.lasting).await;
        return process.signal("CONT").await;
    }
    cluster.kill(at).await?;
    sleep(step.lasting).await;
    cluster.bring_back(at).await
}

/// The node that leads the stream; the one that leads the cluster while nobody says who that is.
async fn leader(cluster: &Cluster, inner: &jetstream::Context) -> Result<usize> {
    let asked = timeout(Duration::from_secs(1), inner.get_stream(STREAM)).await;
    let leader = asked.ok().and_then(Result::ok).and_then(|stream| {
        let name = stream.cached_info().cluster.as_ref()?.leader.clone()?;
        cluster.nodes.iter().position(|node| node.name() == name)
    });
    match leader {
        Some(at) => Ok(at),
        None => cluster.leader().await,
    }
}

async fn edge_fault(outposts: &mut [Outpost], pki: &Pki, step: &Step) -> Result<()> {
    let at = match step.fault {
        Fault::KillGateway(at)
        | Fault::RestartGateway(at)
        | Fault::PauseGateway(at)
        | Fault::CutLink(at, _)
        | Fault::CutLinks(at)
        | Fault::SilenceLinks(at)
        | Fault::SlowLinks(at)
        | Fault::ResetClients(at) => at,
        _ => return certs_dev::rotate_leaf(pki.dir(), "frontend").context("a new certificate").map(drop),
    };
    let outpost = outposts.get_mut(at).context("no such gateway")?;
    match step.fault {
        Fault::KillGateway(_) | Fault::RestartGateway(_) => return outpost.restart(pki, step).await,
        Fault::PauseGateway(_) => {
            let process = &outpost.gateway.as_ref().context("the gateway is down")?.process;
            process.signal("STOP").await?;
            sleep(step.lasting).await;
            return process.signal("CONT").await;
        }
        Fault::ResetClients(_) => outpost.front.reset(),
        Fault::CutLink(_, node) => outpost.wires.get(node).context("no such node")?.cut(),
        Fault::CutLinks(_) => outpost.wires.iter().for_each(Proxy::cut),
        Fault::SilenceLinks(_) => outpost.wires.iter().for_each(Proxy::silence),
        _ => outpost.wires.iter().for_each(|wire| wire.slow(SLOW)),
    }
    sleep(step.lasting).await;
    outpost.wires.iter().for_each(Proxy::restore);
    Ok(())
}

impl Outpost {
    /// Ends the gateway, gently or not, and starts it again.
    async fn restart(&mut self, pki: &Pki, step: &Step) -> Result<()> {
        let mut gateway = self.gateway.take().context("the gateway is down")?;
        if let Fault::KillGateway(_) = step.fault {
            gateway.process.kill().await?;
        } else {
            let status = gateway.process.stop().await?;
            ensure!(status.success(), "{}: {status}\n{}", self.name, gateway.process.log());
        }
        sleep(step.lasting).await;
        let gateway = Gateway::named(pki, &self.name, &self.toml).await?;
        self.front.retarget(gateway.addresses.clients);
        self.gateway = Some(gateway);
        Ok(())
    }
}
