//! An event broker that speaks the NATS protocol, to embed: accounts, sessions, routing, links.
//!
//! [`Server`] is the whole of it: open listeners with [`Server::listen`], keep links up with [`Server::solicit`],
//! take part yourself with [`Server::local_client`]. Who may log in decides an [`Authenticator`]; what he may do
//! says the [`identity::Grant`] it answers with.
//!
//! Inside, protocol and routing are state machines over bytes ([`mod@session`], [`mod@route`], [`mod@link`]);
//! sockets, TLS and timers are in [`mod@net`] alone.

mod account;
mod auth;
mod budget;
mod conn;
mod core;
mod follow;
mod handler;
mod import;
mod inbox;
mod limits;
mod link;
mod local;
mod mapper;
mod monitor;
mod net;
mod outbox;
mod outlet;
mod pool;
mod provenance;
mod replies;
mod route;
mod server;
mod session;
mod subscription;
#[cfg(test)]
mod testing;
mod usage;

pub use account::watch::InterestWatch;
pub use auth::{Admission, Authenticator, Credentials, Decision, Denied, Login, Open};
pub use conn::CloseReason;
pub use core::{Counter, Counters};
pub use follow::{Follower, NotRenewed, Renewal, SessionHandle};
pub use handler::{Call, Handler, HandlerPort, Message, Origin, OriginKind, Reception};
pub use import::{ImportError, ImportHandle, ResponseKind, ServiceTerms};
pub use limits::Limits;
pub use link::{
    Compression, CompressionMode, Crossing, CrossingError, Direction, LinkGroup, LinkLogin, LinkProof,
    RemoteUrl, Role, RouteRule,
};
pub use local::{LocalClient, LocalError, LocalMessage};
pub use mapper::{Mapped, SubjectMapper};
pub use monitor::{AccountFacts, LinkState, Totals};
pub use net::dial::{DialTls, RemoteConfig};
pub use net::door::network::{Network, NetworkError};
pub use net::gateway::{GatewayConfig, GatewayRemote};
pub use net::listener::{LeafPurpose, ListenerConfig, ListenerTls, Purpose, TlsSource, TlsStart};
pub use net::websocket::WebsocketConfig;
pub use outlet::{Letter, Outlet, Sent};
pub use server::{Drain, Server, ServerConfig};
pub use session::reserved::{EXPIRING_SUBJECT, RENEW_SUBJECT};
pub use wire::websocket::{Origin as WebOrigin, OriginError};

/// This software's version, told in INFO as `gatehouse`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The nats-server version whose behaviour is implemented: clients choose features by it.
pub const NATS_VERSION: &str = "2.15.1";
