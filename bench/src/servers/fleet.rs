//! The servers of one run.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use super::conf::{self, TOKEN};
use super::gatehouse;
use super::login;
use super::pki::{BUS, GATEWAY, Pki};
use super::process::{ServerProcess, free_addresses};
use super::programs::{Ours, Programs, Side};
use super::wire::Wire;
use crate::client::{Client, Endpoint, Operation};
use crate::link_kind::LinkKind;
use crate::scenario::{Bearer, Durability, Layout, Security};

/// A link that is not up after this time won't come.
const LINK_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a probe message may take before the next one is sent.
const PROBE_TIMEOUT: Duration = Duration::from_millis(50);
/// Subjects of probe messages begin like this.
const PROBE: &str = "bench.probe";

/// Running servers and the ways to them. They end with this value.
pub(crate) struct Fleet {
    processes: Vec<ServerProcess>,
    /// Probes sent so far: each has a subject of its own.
    probes: AtomicUsize,
    /// Where publishers connect.
    pub(crate) publish: Endpoint,
    /// Where subscribers connect; the same unless there is a link between.
    pub(crate) subscribe: Endpoint,
    /// Where publishers connect to leave out the server in front, where there is one.
    pub(crate) direct: Option<Endpoint>,
    /// In the link, where it is to be reset.
    wire: Option<Wire>,
    /// Configuration and logs; declared last, so it goes after the processes.
    dir: TempDir,
}

impl Fleet {
    /// Starts what `layout` asks for and waits until it works.
    ///
    /// # Errors
    /// When a server does not start, a link does not come up, or a port that must demand client
    /// certificates does not.
    pub(crate) fn start(programs: &Programs, side: Side, layout: Layout, pki: &Pki) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix(&format!("bench-{side}-")).tempdir()?;
        let fleet = match layout {
            Layout::Single(security) => Self::single(programs.single(side), security, pki, dir)?,
            Layout::Streams(durability) => Self::streams(programs.single(side), durability, dir)?,
            Layout::Linked(kind) => {
                let fleet = Self::linked(programs.single(side), kind, false, pki, dir)?;
                fleet.settle()?;
                fleet
            }
            Layout::Wired(kind) => {
                let fleet = Self::linked(programs.single(side), kind, true, pki, dir)?;
                fleet.settle()?;
                fleet
            }
            Layout::Front => {
                let fleet = Self::front(programs, side, pki, dir)?;
                fleet.settle()?;
                fleet
            }
            Layout::Login(bearer) => Self::login(programs, side, bearer, pki, dir)?,
            Layout::WholeWay { stamp } => {
                let fleet = match (side, &programs.ours) {
                    (Side::Ours, Ours::Gatehouse { bus, gateway }) => {
                        Self::gatehouse(bus, gateway, stamp, pki, dir)?
                    }
                    (Side::Ours, Ours::Stock(server)) => Self::stock_pair(server, pki, dir)?,
                    (Side::Theirs, _) => Self::stock_pair(&programs.nats_server, pki, dir)?,
                };
                fleet.settle()?;
                fleet
            }
        };
        if matches!(layout, Layout::WholeWay { .. } | Layout::Single(Security::Mtls)) {
            demands_certificates(&fleet.subscribe, pki)?;
        }
        Ok(fleet)
    }

    fn single(program: &Path, security: Security, pki: &Pki, dir: TempDir) -> Result<Self> {
        let [address] = free_addresses()?;
        let conf = conf::single(address, security, &pki.pair(BUS), pki);
        let server = start_with_conf(program, &dir.path().join("server"), &conf, address)?;
        let tls = match security {
            Security::Plain | Security::Rights => None,
            Security::Tls | Security::TlsToken => Some(pki.load_client(false)?),
            Security::Mtls => Some(pki.load_client(true)?),
        };
        let token = (security == Security::TlsToken).then(|| TOKEN.to_owned());
        let endpoint = Endpoint { address, tls, token };
        if security == Security::Rights {
            holds_to_permissions(&endpoint)?;
        }
        Ok(Self::new(vec![server], endpoint.clone(), endpoint, dir))
    }

    fn streams(program: &Path, durability: Durability, dir: TempDir) -> Result<Self> {
        let [address] = free_addresses()?;
        let conf = conf::streams(address, durability);
        let server = start_with_conf(program, &dir.path().join("server"), &conf, address)?;
        let endpoint = Endpoint { address, tls: None, token: None };
        Ok(Self::new(vec![server], endpoint.clone(), endpoint, dir))
    }

    /// Ends the single server by a signal and starts it again with what it has stored.
    ///
    /// # Errors
    /// When it does not end or does not start.
    pub(crate) fn restart(&mut self, program: &Path, signal: libc::c_int) -> Result<Instant> {
        for process in self.processes.drain(..) {
            process.end(signal)?;
        }
        let begun = Instant::now();
        let dir = self.dir.path().join("server");
        let server = ServerProcess::start(program, &["-c", "server.conf"], &dir, self.publish.address)?;
        self.processes.push(server);
        Ok(begun)
    }

    /// The door for clients with tokens. Where a stock server stands on our side, both sides are the same.
    fn login(programs: &Programs, side: Side, bearer: Bearer, pki: &Pki, dir: TempDir) -> Result<Self> {
        let Ours::Gatehouse { gateway, .. } = &programs.ours else {
            bail!("the tokens of this scenario are signed by event-gateway, which is not there");
        };
        let folder = dir.path().join("server");
        fs::create_dir_all(&folder)?;
        let login = match side {
            Side::Ours => login::gatehouse(gateway, bearer, pki, &folder)?,
            Side::Theirs => login::stock(&programs.nats_server, gateway, bearer, pki, &folder)?,
        };
        let token = Some(login.token);
        let endpoint = Endpoint { address: login.address, tls: Some(pki.load_client(false)?), token };
        // A comparison is worth nothing where somebody lets everybody in.
        let nobody = Endpoint { token: Some("nobody".to_owned()), ..endpoint.clone() };
        if nobody.connect_small().is_ok() {
            bail!("a client with a wrong token was let in");
        }
        Ok(Self::new(login.processes, endpoint.clone(), endpoint, dir))
    }

    /// Two servers of one kind, clients in clear, joined by a link, perhaps over a wire.
    fn linked(program: &Path, kind: LinkKind, wired: bool, pki: &Pki, dir: TempDir) -> Result<Self> {
        let [outside, inside, accepts, dials] = free_addresses()?;
        let wire = wired.then(|| Wire::to(accepts)).transpose()?;
        let found = wire.as_ref().map_or(accepts, Wire::address);
        let ends = [
            conf::linked("inner", inside, [accepts, found], None, kind, &pki.pair(BUS), pki),
            conf::linked("outer", outside, [dials, dials], Some(found), kind, &pki.pair(GATEWAY), pki),
        ];
        let inner = start_with_conf(program, &dir.path().join("inner"), &ends[0], inside)?;
        let outer = start_with_conf(program, &dir.path().join("outer"), &ends[1], outside)?;
        let plain = |address| Endpoint { address, tls: None, token: None };
        Ok(Self { wire, ..Self::new(vec![inner, outer], plain(outside), plain(inside), dir) })
    }

    /// A stock cluster of three, and before it our gateway or another stock server, linked to the first node.
    fn front(programs: &Programs, side: Side, pki: &Pki, dir: TempDir) -> Result<Self> {
        let ports: [SocketAddr; 9] = free_addresses()?;
        let nodes: Vec<[SocketAddr; 3]> = ports.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
        let routes: Vec<SocketAddr> = nodes.iter().map(|[_, cluster, _]| *cluster).collect();
        let mut processes = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let conf = conf::node(number, *node, &routes, &pki.pair(BUS), pki);
            let folder = dir.path().join(format!("node-{number}"));
            processes.push(start_with_conf(&programs.nats_server, &folder, &conf, node[0])?);
        }
        let [outside, admin] = free_addresses()?;
        let folder = dir.path().join("front");
        let (front, token) = match (side, &programs.ours) {
            (Side::Ours, Ours::Gatehouse { gateway, .. }) => {
                start_gateway(gateway, &folder, [outside, nodes[0][2], admin], false, pki)?
            }
            (Side::Ours, Ours::Stock(server)) => {
                let conf = conf::edge(outside, nodes[0][2], &pki.pair(GATEWAY), pki);
                (start_with_conf(server, &folder, &conf, outside)?, TOKEN.to_owned())
            }
            (Side::Theirs, _) => {
                let conf = conf::edge(outside, nodes[0][2], &pki.pair(GATEWAY), pki);
                (start_with_conf(&programs.nats_server, &folder, &conf, outside)?, TOKEN.to_owned())
            }
        };
        processes.push(front);
        let plain = |address| Endpoint { address, tls: None, token: None };
        let publish = Endpoint { token: Some(token), ..plain(outside) };
        let fleet = Self::new(processes, publish, plain(nodes[1][0]), dir);
        Ok(Self { direct: Some(plain(nodes[0][0])), ..fleet })
    }

    /// Two stock servers: token outside, leafnode link with certificates, certificates inside.
    fn stock_pair(program: &Path, pki: &Pki, dir: TempDir) -> Result<Self> {
        let [outside, inside, link] = free_addresses()?;
        let hub_conf = conf::hub(inside, link, &pki.pair(BUS), pki);
        let hub = start_with_conf(program, &dir.path().join("hub"), &hub_conf, inside)?;
        let edge_conf = conf::edge(outside, link, &pki.pair(GATEWAY), pki);
        let edge = start_with_conf(program, &dir.path().join("edge"), &edge_conf, outside)?;
        Self::joined(vec![hub, edge], outside, TOKEN.to_owned(), inside, pki, dir)
    }

    /// Our two processes, as a user configures them.
    fn gatehouse(bus: &Path, gateway: &Path, stamp: bool, pki: &Pki, dir: TempDir) -> Result<Self> {
        let [outside, inside, link, admin_outside, admin_inside] = free_addresses()?;
        let bus_dir = dir.path().join("bus");
        let gateway_dir = dir.path().join("gateway");
        let bus_toml = gatehouse::bus_toml(inside, link, admin_inside, pki);
        let bus = start_with_toml(bus, &bus_dir, "internal-bus.toml", &bus_toml, inside)?;
        let (gateway, token) =
            start_gateway(gateway, &gateway_dir, [outside, link, admin_outside], stamp, pki)?;
        Self::joined(vec![bus, gateway], outside, token, inside, pki, dir)
    }

    fn joined(
        processes: Vec<ServerProcess>,
        outside: SocketAddr,
        token: String,
        inside: SocketAddr,
        pki: &Pki,
        dir: TempDir,
    ) -> Result<Self> {
        let publish = Endpoint { address: outside, tls: None, token: Some(token) };
        let subscribe = Endpoint { address: inside, tls: Some(pki.load_client(true)?), token: None };
        Ok(Self::new(processes, publish, subscribe, dir))
    }

    fn new(processes: Vec<ServerProcess>, publish: Endpoint, subscribe: Endpoint, dir: TempDir) -> Self {
        Self { processes, probes: AtomicUsize::new(0), publish, subscribe, direct: None, wire: None, dir }
    }

    /// The wire in the link.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn wire(&self) -> Result<&Wire> {
        self.wire.as_ref().context("the link of this scenario can't be reset")
    }

    /// Process ids of all servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(ServerProcess::pid).collect()
    }

    /// Waits until the publishers' server knows of all subscriptions made so far.
    ///
    /// Interest crosses a link in order, so a message on a subject subscribed to just now proves that the
    /// earlier ones are known too.
    ///
    /// # Errors
    /// When no message crosses the link in time.
    pub(crate) fn settle(&self) -> Result<()> {
        self.settle_from(&self.publish)
    }

    /// As [`Fleet::settle`], for publishers who connect elsewhere.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn settle_from(&self, publish: &Endpoint) -> Result<()> {
        if self.processes.len() == 1 {
            return Ok(());
        }
        let probe = format!("{PROBE}.{}", self.probes.fetch_add(1, Ordering::Relaxed));
        let mut subscriber = self.subscribe.connect().context("subscriber inside")?;
        subscriber.subscribe(&probe, None)?;
        subscriber.socket().set_read_timeout(Some(PROBE_TIMEOUT))?;
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < LINK_TIMEOUT {
            // While the link is down, the gateway may refuse publishers.
            last = publish_probe(publish, &probe).err();
            if probe_arrives(&mut subscriber)? {
                return Ok(());
            }
        }
        let cause = last.unwrap_or_else(|| anyhow!("messages are taken and don't arrive"));
        Err(cause.context(format!("nothing has crossed the link within {LINK_TIMEOUT:?}")))
    }
}

fn publish_probe(publish: &Endpoint, subject: &str) -> Result<()> {
    let mut publisher = publish.connect().context("publisher outside")?;
    publisher.send(format!("PUB {subject} 1\r\n.\r\n").as_bytes())?;
    publisher.flush()
}

fn probe_arrives(subscriber: &mut Client) -> Result<bool> {
    loop {
        match subscriber.receive() {
            Ok(Operation::Message { .. }) => return Ok(true),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn start_with_conf(
    program: &Path,
    dir: &Path,
    conf: &str,
    address: SocketAddr,
) -> Result<ServerProcess> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("server.conf"), conf)?;
    ServerProcess::start(program, &["-c", "server.conf"], dir, address)
}

fn start_with_toml(
    program: &Path,
    dir: &Path,
    file: &str,
    toml: &str,
    address: SocketAddr,
) -> Result<ServerProcess> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join(file), toml)?;
    ServerProcess::start(program, &["--config", file], dir, address)
}

/// Permissions that nobody is held to cost nothing.
fn holds_to_permissions(endpoint: &Endpoint) -> Result<()> {
    let mut client = endpoint.connect()?;
    client.send(b"PUB elsewhere 1\r\n.\r\n")?;
    if client.flush().is_ok() {
        bail!("a publication without a right was taken");
    }
    Ok(())
}

/// Our gateway, listening outside, linked to `link`, and a token for it.
fn start_gateway(
    program: &Path,
    dir: &Path,
    [outside, link, admin]: [SocketAddr; 3],
    stamp: bool,
    pki: &Pki,
) -> Result<(ServerProcess, String)> {
    fs::create_dir_all(dir)?;
    let token = gatehouse::mint_token(program, dir, pki)?;
    let toml = gatehouse::gateway_toml([outside, link, admin], stamp, pki);
    Ok((start_with_toml(program, dir, "gateway.toml", &toml, outside)?, token))
}

/// A comparison is worth nothing where one side does less: the server must show a certificate of our CA,
/// and refuse clients without one.
fn demands_certificates(endpoint: &Endpoint, pki: &Pki) -> Result<()> {
    let with = |tls| Endpoint { tls: Some(tls), ..endpoint.clone() };
    with(pki.strict_client(true)?).connect().context("connecting with certificates on both sides")?;
    if with(pki.strict_client(false)?).connect().is_ok() {
        bail!("a client without a certificate was let in");
    }
    Ok(())
}
