//! A server to embed: listeners, solicited links, local clients, drain.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use identity::Grant;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use wire::info::ServerInfo;

use crate::account::Account;
use crate::conn::{About, CloseReason, Conn, ConnParts, Features, Kind};
use crate::core::{Core, Counters, Streams};
use crate::handler::{Handler, HandlerPort};
use crate::limits::Limits;
use crate::link::{Crossing, LinkGroup};
use crate::local::LocalClient;
use crate::net::dial::{self, RemoteConfig};
use crate::net::door::network::Network;
use crate::net::listener::{self, Listener, ListenerConfig};
use crate::outbox::Pipe;

/// How a server is named and bounded.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// Shown to clients and in monitoring; the generated id when empty.
    pub name: String,
    /// The cluster's name, if it is to have one.
    pub cluster: Option<String>,
    /// Every bound.
    pub limits: Limits,
}

/// A running server. Clones are handles to the same one.
#[derive(Clone)]
pub struct Server {
    pub(crate) core: Arc<Core>,
    stop_accepting: watch::Sender<bool>,
    handshakes: Arc<Semaphore>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.core.server_name).finish_non_exhaustive()
    }
}

/// How a drain is spread out.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Time between telling clients and closing the first of them.
    pub grace: Duration,
    /// Time over which the closes are spread.
    pub spread: Duration,
    /// Time for the last bytes of each connection.
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            grace: Duration::from_millis(100),
            spread: Duration::from_secs(1),
            deadline: Duration::from_secs(5),
        }
    }
}

impl Server {
    /// A server without listeners yet. Needs a tokio runtime from its first listener on.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        let id = format!("N{}", crate::inbox::random_token(55).to_ascii_uppercase());
        let name = if config.name.is_empty() { id.clone() } else { config.name };
        let handshakes = Arc::new(Semaphore::new(config.limits.handshakes_at_once.max(1)));
        let core = Arc::new(Core::new(config.limits, name, id, config.cluster));
        Self { core, stop_accepting: watch::Sender::new(false), handshakes }
    }

    /// Opens a listener and begins to accept.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub fn listen(&self, config: ListenerConfig) -> io::Result<SocketAddr> {
        let socket = bind(config.address)?;
        let local = socket.local_addr()?;
        if matches!(config.purpose, listener::Purpose::Clients) && config.websocket.is_none() {
            self.core.address.get_or_init(|| local);
            let tls = config.tls.as_ref().is_some_and(|tls| !tls.optional);
            self.core.demands.get_or_init(|| (config.authenticator.required(), tls));
        }
        let listener = Arc::new(Listener { config, local, handshakes: self.handshakes.clone() });
        tokio::spawn(listener::accept(self.core.clone(), listener, socket, self.stop_accepting.subscribe()));
        Ok(local)
    }

    /// Believes what proxies at these addresses say about clients: each of their connections must begin with a PROXY
    /// header (version 2). To be called before the first listener; the first call stands.
    pub fn trust_proxies(&self, from: Vec<Network>) {
        if !from.is_empty() {
            self.core.proxies.get_or_init(|| from.into());
        }
    }

    /// Bytes set aside for clients that have begun to log in.
    #[must_use]
    pub fn login_bytes(&self) -> usize {
        self.core.door.bytes()
    }

    /// A group for links that serve the same routes (see [`LinkGroup`]).
    #[must_use]
    pub fn link_group(&self, account: &str, crossing: Option<&Crossing>) -> Arc<LinkGroup> {
        self.group(account, crossing, false)
    }

    /// A group for links to several nodes of one cluster: one carries, the others stand by.
    #[must_use]
    pub fn standby_group(&self, account: &str, crossing: Option<&Crossing>) -> Arc<LinkGroup> {
        self.group(account, crossing, true)
    }

    fn group(&self, account: &str, crossing: Option<&Crossing>, exclusive: bool) -> Arc<LinkGroup> {
        let gate = self.pseudo("gate", self.core.account(account), Kind::Gate);
        LinkGroup::new(self.core.clone(), crossing, exclusive, &gate)
    }

    /// A connection that is none: what it subscribes to is met by routes, and nothing is ever written to it.
    pub(crate) fn pseudo(&self, name: &str, account: Arc<Account>, kind: Kind) -> Arc<Conn> {
        Arc::new(Conn::new(ConnParts {
            id: self.core.next_id(),
            kind,
            outbox: self.core.outbox(false),
            pipe: Arc::new(Nowhere),
            account,
            grant: Arc::new(Grant::unrestricted(name)),
            features: Features::default(),
            inbox: None,
            about: About::of_this_process("gate"),
            max_pending_replies: 0,
        }))
    }

    /// Keeps links to another server or cluster up, as many as the configuration says.
    pub fn solicit(&self, remote: RemoteConfig) {
        let (connections, remote) = (remote.connections.max(1), Arc::new(dial::Remote::new(remote)));
        for _ in 0..connections {
            tokio::spawn(dial::keep_up(self.core.clone(), remote.clone(), self.stop_accepting.subscribe()));
        }
    }

    /// Turns true when the server stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop_accepting.subscribe()
    }

    /// A client in this process.
    #[must_use]
    pub fn local_client(&self, name: &str, grant: Arc<Grant>) -> LocalClient {
        LocalClient::new(self.core.clone(), name, grant)
    }

    /// A place in an account for code in this process. The caller keeps the handler: when it is gone, nobody is there.
    #[must_use]
    pub fn handler(&self, account: &str, name: &str, handler: Weak<dyn Handler>) -> HandlerPort {
        HandlerPort::open(self.core.clone(), account, name, handler)
    }

    /// Stops accepting, tells clients to go elsewhere, closes them one by one, and waits until all is written.
    /// Returns how many connections did not end in time.
    pub async fn drain(&self, how: Drain) -> usize {
        if self.core.draining.swap(true, Ordering::SeqCst) {
            return 0;
        }
        self.stop_accepting.send_replace(true);
        let (links, clients): (Vec<_>, Vec<_>) =
            self.core.conns().into_iter().partition(|conn| conn.link().is_some());
        self.tell_lame_duck(&clients);
        tokio::time::sleep(how.grace).await;
        let clients: Vec<_> = clients.into_iter().filter(|conn| conn.is_client()).collect();
        let pause = how.spread / u32::try_from(clients.len().max(1)).unwrap_or(u32::MAX);
        let until = Instant::now() + how.deadline + how.spread;
        for conn in clients.iter().filter(|conn| self.core.conn(conn.id).is_some()) {
            conn.request_close(CloseReason::ServerShutdown);
            if pause > Duration::from_micros(100)
                && self.gone(|conn| conn.is_client(), Instant::now() + pause).await == 0
            {
                break;
            }
        }
        self.gone(|conn| conn.is_client(), until).await;
        // Links last: what clients had published has gone over them.
        for conn in &links {
            conn.request_close(CloseReason::ServerShutdown);
        }
        self.gone(|conn| conn.is_client() || conn.link().is_some(), until).await
    }

    fn tell_lame_duck(&self, clients: &[Arc<Conn>]) {
        let line = ServerInfo {
            server_id: self.core.server_id.clone(),
            server_name: self.core.server_name.clone(),
            version: crate::NATS_VERSION.into(),
            proto: 1,
            go: Some(String::new()),
            headers: self.core.limits.headers,
            max_payload: self.core.limits.max_payload,
            ldm: true,
            ..ServerInfo::default()
        }
        .to_line();
        for conn in clients.iter().filter(|conn| conn.is_client() && conn.features.async_info) {
            conn.send_now(|out| out.extend_from_slice(&line));
        }
    }

    async fn gone(&self, which: impl Fn(&Conn) -> bool, until: Instant) -> usize {
        loop {
            let left = self.core.conns().iter().filter(|conn| which(conn)).count();
            if left == 0 || Instant::now() >= until {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Tells everybody who connects from now on that streams (JetStream) are there, under a domain if they have one, and
    /// which level of their API.
    pub fn announce_streams(&self, domain: Option<&str>, api_level: u32) {
        self.core.streams.get_or_init(|| Streams { domain: domain.map(ToOwned::to_owned), api_level });
    }

    /// Says which account is the system's: clients in it are told so.
    pub fn name_system_account(&self, name: &str) {
        self.core.system_account.get_or_init(|| name.into());
    }

    /// Client connections there may be at once, from now on. Of those that are too many the youngest are ended; how many.
    pub fn limit_connections(&self, most: usize) -> usize {
        self.core.max_connections.store(most, Ordering::Relaxed);
        let mut clients: Vec<_> = self.core.conns().into_iter().filter(|conn| conn.is_client()).collect();
        clients.sort_by_key(|conn| conn.id);
        let over = clients.get(most..).unwrap_or_default();
        over.iter().filter(|conn| conn.request_close(CloseReason::MaximumConnections)).count()
    }

    /// Ends one connection; `false` when there is none of that id.
    #[must_use]
    pub fn kick(&self, id: u64) -> bool {
        self.core.conn(id).map(|conn| conn.request_close(CloseReason::Kicked)).is_some()
    }

    /// Decides anew about every client: `decide` is given its grant and answers with the new one, or `None` to
    /// close the connection. Takes effect on live connections at once. For whoever keeps no facts with sessions; see
    /// [`crate::Follower`].
    pub fn reconsider(&self, decide: impl Fn(&Grant) -> Option<Arc<Grant>>) {
        for conn in self.core.conns().into_iter().filter(|conn| conn.is_client()) {
            match decide(&conn.grant()) {
                Some(grant) => {
                    conn.set_grant(grant);
                }
                None => {
                    conn.cut_off(CloseReason::RightsWithdrawn);
                }
            }
        }
    }

    /// What has been counted since start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// The server's generated id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.core.server_id
    }

    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.server_name
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // Thousands of clients come back at once after a restart.
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// The pipe of what is no peer.
pub(crate) struct Nowhere;

impl Pipe for Nowhere {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }
}
