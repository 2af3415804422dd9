//! Listening sockets: accept, count, and hand each connection to a task of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::rustls;

use super::websocket::WebsocketConfig;
use super::{entry, gateway_entry, leaf_entry};
use crate::auth::Authenticator;
use crate::core::Core;
use crate::link::{Compression, Crossing, LinkGroup, Role};

/// The TLS configuration as of now; replaced as a whole when certificates are rotated.
pub type TlsSource = watch::Receiver<Arc<rustls::ServerConfig>>;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsStart {
    /// After INFO, as NATS clients expect by default.
    #[default]
    AfterInfo,
    /// At once (`handshake_first`).
    First,
    /// At once when the client begins so within the time given, else after INFO.
    Auto(Duration),
}

/// TLS of a listener.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// Where the configuration comes from.
    pub source: TlsSource,
    /// When the handshake begins.
    pub start: TlsStart,
    /// Whether client certificates are demanded, as told in INFO.
    pub verify: bool,
    /// Whether clients may do without TLS (`allow_non_tls`).
    pub optional: bool,
}

/// Who may connect to a listener.
pub enum Purpose {
    /// Clients.
    Clients,
    /// Leafnode links.
    Leafnodes(LeafPurpose),
    /// Servers of other clusters; see [`crate::Server::join`].
    Gateways,
}

/// What a leafnode listener does with a link that was let in.
#[derive(Debug, Clone)]
pub struct LeafPurpose {
    /// Our end of it.
    pub role: Role,
    /// What may cross; `None` is everything.
    pub crossing: Option<Arc<Crossing>>,
    /// The links of this listener, for readiness and for holding publishers.
    pub group: Arc<LinkGroup>,
    /// Whether links are compressed. Only offered where the other end shows a certificate in the handshake: nothing is
    /// decompressed before that is verified.
    pub compression: Compression,
}

/// One listening socket.
pub struct ListenerConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// For whom.
    pub purpose: Purpose,
    /// TLS, if any.
    pub tls: Option<ListenerTls>,
    /// Clients speak WebSocket, and TLS from the first byte on.
    pub websocket: Option<WebsocketConfig>,
    /// Who decides about logins.
    pub authenticator: Arc<dyn Authenticator>,
    /// How long publishers wait for a link that is down.
    pub link_hold: Duration,
    /// Host and port to tell clients in INFO, where they differ from the address listened on.
    pub advertise: Option<String>,
    /// Addresses told to clients for reconnecting (`connect_urls`).
    pub connect_urls: Vec<String>,
}

/// A listener at work.
pub(crate) struct Listener {
    pub(crate) config: ListenerConfig,
    pub(crate) local: SocketAddr,
    pub(crate) handshakes: Arc<Semaphore>,
}

/// Accepts until `stop` says so.
pub(crate) async fn accept(
    core: Arc<Core>,
    listener: Arc<Listener>,
    socket: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, address)) => admit(&core, &listener, stream, address),
            Err(error) => {
                // Out of file descriptors, mostly: the pending connection stays in the kernel's queue.
                tracing::warn!(%error, listener = %listener.local, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(core: &Arc<Core>, listener: &Arc<Listener>, stream: TcpStream, address: SocketAddr) {
    core.counters.accepted.add(1);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    match listener.config.purpose {
        Purpose::Clients => {
            let before = core.clients.fetch_add(1, Ordering::Relaxed);
            let over = before >= core.max_connections.load(Ordering::Relaxed);
            tokio::spawn(entry::enter(core.clone(), listener.clone(), stream, address, over));
        }
        Purpose::Gateways => {
            tokio::spawn(gateway_entry::enter(core.clone(), listener.clone(), stream, address));
        }
        Purpose::Leafnodes(_) => {
            tokio::spawn(leaf_entry::enter(core.clone(), listener.clone(), stream, address));
        }
    }
}
