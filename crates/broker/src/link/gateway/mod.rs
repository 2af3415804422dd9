//! The NATS gateway protocol: how clusters are joined to a super-cluster.
//!
//! Each server keeps one connection to every other cluster, on which its messages leave ([`outbound`]), and accepts one
//! from every server of the others, on which their messages come in ([`inbound`]). Interest travels against the
//! messages. Accounts are matched by name; a link with routes is bound to one of them. What came from one cluster never
//! goes on to another.

pub(crate) mod cluster;
pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod reply;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};

use identity::Grant;
use parking_lot::{Mutex, RwLock};
use wire::info::{Extension, GatewayCommand, GatewayConnect, GatewayInfo};

pub(crate) use cluster::Cluster;
use reply::ClusterHash;

use super::interest::Announced;
use super::{Crossing, Link, LinkGroup, LinkLogin, RemoteUrl, Role, Via};
use crate::core::Core;

/// Clusters remembered, configured and discovered ones together.
const MOST_CLUSTERS: usize = 256;
/// Accounts whose interest is taken note of, as far as other clusters make them known.
const MOST_ACCOUNTS: usize = 4096;
/// The system account of a nats-server that configures none. What is said there concerns that server alone.
const SYSTEM: &[u8] = b"$SYS";

/// How this server takes part, as it is configured.
pub(crate) struct Terms {
    /// The name of our cluster.
    pub(crate) name: String,
    /// Clusters that are not configured are neither let in nor dialled.
    pub(crate) reject_unknown: bool,
    /// How we log in at others, beyond certificate and URL.
    pub(crate) login: Arc<dyn LinkLogin>,
    /// What may cross; `None` is everything, in every account.
    pub(crate) crossing: Option<Arc<Crossing>>,
    /// With routes: the account they are about.
    pub(crate) grant: Arc<Grant>,
    /// The links that serve the same routes.
    pub(crate) group: Arc<LinkGroup>,
}

/// Starts to dial a cluster.
type Dial = Box<dyn Fn(Arc<Cluster>) + Send + Sync>;

/// The gateways of this server.
pub(crate) struct Gateways {
    pub(crate) terms: Terms,
    pub(crate) hash: ClusterHash,
    front: Arc<[u8]>,
    clusters: Mutex<HashMap<String, Arc<Cluster>>>,
    /// `host:port` to tell others; the address of the connection at hand where it is not known.
    advertise: OnceLock<String>,
    port: AtomicU16,
    dial: OnceLock<Dial>,
    tls: (bool, bool),
}

impl Gateways {
    /// `tls` says whether our listener wants TLS, and certificates.
    pub(crate) fn new(terms: Terms, server_id: &str, tls: (bool, bool)) -> Self {
        let hash = ClusterHash::of(&terms.name);
        Self {
            front: reply::front(&hash, server_id).into(),
            terms,
            hash,
            clusters: Mutex::default(),
            advertise: OnceLock::new(),
            port: AtomicU16::new(0),
            dial: OnceLock::new(),
            tls,
        }
    }

    /// What dials a cluster that has become known.
    pub(crate) fn dial_with(&self, dial: Dial) {
        self.dial.get_or_init(|| dial);
    }

    /// We listen on `local`; others dial `advertise`, or what is known of the address when they are told.
    pub(crate) fn listening_on(&self, local: SocketAddr, advertise: Option<String>) {
        self.port.store(local.port(), Ordering::Relaxed);
        let fixed = advertise.or_else(|| (!local.ip().is_unspecified()).then(|| local.to_string()));
        if let Some(address) = fixed {
            self.advertise.get_or_init(|| address);
        }
    }

    /// The port others dial; 0 where there is none.
    pub(crate) fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// Adds a configured cluster.
    pub(crate) fn configure(&self, name: &str, urls: Vec<RemoteUrl>) -> Arc<Cluster> {
        let cluster = Arc::new(Cluster::configured(name, urls, self.front.clone()));
        self.clusters.lock().insert(name.to_owned(), cluster.clone());
        cluster
    }

    /// The clusters known now.
    pub(crate) fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.clusters.lock().values().cloned().collect()
    }

    /// Takes note of a cluster and of addresses in it, and has it dialled when it is new. `None`: it is our own, or
    /// refused.
    pub(crate) fn discover(&self, name: &str, addresses: &[String]) -> Option<Arc<Cluster>> {
        if name == self.terms.name || name.is_empty() {
            return None;
        }
        let cluster = {
            let mut clusters = self.clusters.lock();
            match clusters.get(name) {
                Some(known) => known.clone(),
                None if self.terms.reject_unknown || clusters.len() >= MOST_CLUSTERS => return None,
                None => {
                    tracing::info!(cluster = name, ?addresses, "another cluster became known");
                    let cluster = Arc::new(Cluster::implicit(name, self.tls.0, self.front.clone()));
                    clusters.insert(name.to_owned(), cluster.clone());
                    cluster
                }
            }
        };
        cluster.addresses.learn(addresses);
        if cluster.wants_dialling()
            && let Some(dial) = self.dial.get()
        {
            dial(cluster.clone());
        }
        Some(cluster)
    }

    /// Forgets a cluster that was not configured and is not there.
    pub(crate) fn forget(&self, cluster: &Arc<Cluster>) {
        let mut clusters = self.clusters.lock();
        let same = clusters.get(&cluster.name).is_some_and(|known| Arc::ptr_eq(known, cluster));
        if same && !cluster.has_inbound() {
            clusters.remove(&cluster.name);
        }
    }

    /// Our INFO, told over a connection whose local address is `local`: where we listen on all, it is the one others
    /// know a way to.
    pub(crate) fn info(&self, core: &Core, local: IpAddr) -> GatewayInfo {
        let here = || SocketAddr::new(local, self.port.load(Ordering::Relaxed)).to_string();
        let address = self.advertise.get().cloned().unwrap_or_else(here);
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, "0"));
        GatewayInfo {
            server_id: core.server_id.clone(),
            server_name: core.server_name.clone(),
            version: crate::NATS_VERSION.into(),
            proto: 1,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().unwrap_or_default(),
            headers: true,
            max_payload: core.limits.max_payload,
            tls_required: self.tls.0,
            tls_verify: self.tls.1,
            gateway: Some(self.terms.name.clone()),
            gateway_urls: vec![address.clone()],
            gateway_url: Some(address),
            gateway_nrp: true,
            gateway_iom: true,
            gatehouse: Some(Extension::of(crate::VERSION)),
            ..GatewayInfo::default()
        }
    }

    /// Our CONNECT to a cluster at `url`.
    ///
    /// # Errors
    /// What the login says.
    pub(crate) fn connect(&self, core: &Core, url: &RemoteUrl, tls: bool) -> Result<GatewayConnect, String> {
        let proof = self.terms.login.prove("")?;
        Ok(GatewayConnect {
            user: proof.user.or_else(|| url.user.clone()),
            pass: proof.password.or_else(|| url.password.clone()),
            tls_required: tls,
            name: Some(core.server_id.clone()),
            gateway: Some(self.terms.name.clone()),
            ..GatewayConnect::default()
        })
    }

    /// What one who has connected is told of the other clusters.
    pub(crate) fn gossip(&self, core: &Core, to: &str, out: &mut Vec<u8>) {
        for cluster in self.clusters().iter().filter(|cluster| cluster.name != to) {
            let gateway_urls = cluster.addresses.told();
            if gateway_urls.is_empty() {
                continue;
            }
            let info = GatewayInfo {
                server_id: core.server_id.clone(),
                gateway: Some(cluster.name.clone()),
                gateway_cmd: Some(GatewayCommand::Gossip.number()),
                gateway_urls,
                ..GatewayInfo::default()
            };
            out.extend_from_slice(&info.to_line());
        }
    }

    /// The account of that name, where its interest or its messages are anybody's business here.
    pub(crate) fn account(&self, core: &Core, name: &[u8]) -> Option<Arc<crate::account::Account>> {
        let name = std::str::from_utf8(name).ok()?;
        if self.terms.crossing.is_some() {
            return (*name == *self.terms.grant.account).then(|| core.account(name));
        }
        if name.as_bytes() == SYSTEM {
            return None;
        }
        let known = core.known_account(name);
        known.or_else(|| (core.accounts().len() < MOST_ACCOUNTS).then(|| core.account(name)))
    }
}

impl Link {
    /// A gateway connection to (`outbound`) or from a `server` of `cluster`.
    pub(crate) fn of_gateway(
        core: &Core,
        gateways: &Gateways,
        cluster: &Arc<Cluster>,
        server: &str,
        outbound: bool,
    ) -> Self {
        let account = core.account(&gateways.terms.grant.account);
        let via = if outbound { Via::GatewayOut(cluster.clone()) } else { Via::GatewayIn(cluster.clone()) };
        Self {
            via,
            role: Role::Hub,
            remote_id: server.to_owned(),
            remote_name: server.to_owned(),
            remote_cluster: cluster.name.clone(),
            name: cluster.name.as_str().into(),
            solicited: outbound,
            crossing: gateways.terms.crossing.clone(),
            announced: Mutex::new(Announced::new(&core.inboxes, false)),
            inboxes: core.inboxes.clone(),
            allowed: RwLock::default(),
            told: RwLock::default(),
            active: AtomicBool::new(true),
            addresses: None,
            own_cluster: gateways.terms.name.as_str().into(),
            held: None,
            compressed: None,
            loop_subject: account.loop_subject.clone(),
        }
    }

    /// Says that all of an account's interest follows.
    pub(crate) fn interest_begins(&self, account: &str, out: &mut Vec<u8>) {
        self.command(GatewayCommand::AllSubsStart, account, out);
        if self.is_gateway() {
            self.announce_inboxes(account, out);
        }
    }

    /// Says that all of it has been told.
    pub(crate) fn interest_ends(&self, account: &str, out: &mut Vec<u8>) {
        self.command(GatewayCommand::AllSubsComplete, account, out);
        if self.is_gateway() {
            self.sum_up_account(account, out);
        }
    }

    fn command(&self, command: GatewayCommand, account: &str, out: &mut Vec<u8>) {
        if self.is_gateway() {
            out.extend_from_slice(&GatewayInfo::of_account(&self.own_cluster, command, account).to_line());
        }
    }
}
