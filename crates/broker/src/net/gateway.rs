//! Taking part in a super-cluster: what [`Server::join`] is configured with, and what it sets up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identity::Grant;

use crate::auth::Authenticator;
use crate::link::gateway::{Gateways, Terms};
use crate::link::{Crossing, LinkGroup, LinkLogin, RemoteUrl};
use crate::net::dial::DialTls;
use crate::net::gateway_dial::{Dialling, keep_up};
use crate::net::listener::{ListenerConfig, ListenerTls, Purpose};
use crate::server::Server;

/// A cluster to connect to.
#[derive(Clone)]
pub struct GatewayRemote {
    /// Its name, as its servers give it.
    pub name: String,
    /// Where its servers take gateways; tried in turn, further ones are learned.
    pub urls: Vec<RemoteUrl>,
    /// TLS towards it; as for clusters that are discovered where there is none.
    pub tls: Option<DialTls>,
}

/// How a server takes part in a super-cluster.
pub struct GatewayConfig {
    /// The name of our cluster. Servers that are no routed cluster need a name each.
    pub name: String,
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// `host:port` told to others, where the address listened on is not what they can dial.
    pub advertise: Option<String>,
    /// TLS of the listener; begins before INFO.
    pub tls: Option<ListenerTls>,
    /// TLS towards other clusters.
    pub dial_tls: Option<DialTls>,
    /// Who decides about those who connect.
    pub authenticator: Arc<dyn Authenticator>,
    /// How we show who we are, beyond certificate and URL.
    pub login: Arc<dyn LinkLogin>,
    /// Clusters to connect to.
    pub remotes: Vec<GatewayRemote>,
    /// Clusters that are not among them are neither let in nor dialled.
    pub reject_unknown: bool,
    /// What may cross; `None` lets everything cross, in every account.
    pub crossing: Option<Arc<Crossing>>,
    /// With routes: the account they are about. It names us in logs, too.
    pub grant: Arc<Grant>,
    /// The links that serve the same routes.
    pub group: Arc<LinkGroup>,
    /// First delay before dialling again; doubled each time.
    pub backoff_min: Duration,
    /// Longest delay.
    pub backoff_max: Duration,
    /// How long publishers wait for a link that is down.
    pub link_hold: Duration,
}

impl Server {
    /// Opens the gateway port, and connects to the clusters configured and to those that become known. Once per
    /// server. Returns the address listened on.
    ///
    /// # Errors
    /// The address can't be listened on, or the server takes part already.
    pub fn join(&self, config: GatewayConfig) -> io::Result<SocketAddr> {
        let tls = (config.tls.is_some(), config.tls.as_ref().is_some_and(|tls| tls.verify));
        let terms = Terms {
            name: config.name,
            reject_unknown: config.reject_unknown,
            login: config.login,
            crossing: config.crossing,
            grant: config.grant,
            group: config.group,
        };
        let gateways = Arc::new(Gateways::new(terms, &self.core.server_id, tls));
        if self.core.gateways.set(gateways.clone()).is_err() {
            return Err(io::Error::other("this server takes part in a super-cluster already"));
        }
        let remotes: Vec<_> = config
            .remotes
            .into_iter()
            .filter(|remote| remote.name != gateways.terms.name)
            .map(|remote| (gateways.configure(&remote.name, remote.urls), remote.tls))
            .collect();
        let local = self.listen(ListenerConfig {
            address: config.address,
            purpose: Purpose::Gateways,
            tls: config.tls,
            websocket: None,
            authenticator: config.authenticator,
            link_hold: config.link_hold,
            advertise: None,
            connect_urls: Vec::new(),
        })?;
        gateways.listening_on(local, config.advertise);
        let how = Dialling {
            core: self.core.clone(),
            gateways: gateways.clone(),
            tls: config.dial_tls,
            backoff_min: config.backoff_min,
            backoff_max: config.backoff_max,
            link_hold: config.link_hold,
            stop: self.stopping(),
        };
        for (cluster, tls) in remotes {
            let how = Dialling { tls: tls.or_else(|| how.tls.clone()), ..how.clone() };
            tokio::spawn(keep_up(how, cluster));
        }
        gateways.dial_with(Box::new(move |cluster| {
            tokio::spawn(keep_up(how.clone(), cluster));
        }));
        Ok(local)
    }
}
