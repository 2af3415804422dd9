//! The admin port: probes, metrics and monitoring documents over HTTP.
//!
//! It has a thread and a runtime of its own, so that a data plane busy on all its threads does not make the probes
//! that watch over it time out.

mod api;
#[cfg(test)]
mod api_tests;
mod login;
mod query;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime;
use tokio::sync::{oneshot, watch};

pub use self::api::{ApiError, ApiRequest, Method};
pub use self::login::{AdminLogin, check_token_file};
pub use self::query::Query;
pub use self::routes::AdminRoutes;
pub use self::serve::AdminTls;

/// Connections served at a time; further ones wait in the system's backlog. Dashboards and probes need a handful.
pub const MAX_CONNECTIONS: usize = 128;

/// How long a connection may take to send the head of a request, idle time before it included.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest head of a request read, in bytes.
pub const MAX_HEAD_BYTES: usize = 32 << 10;

/// Longest body of a request read, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// How long one connection lives at most: a peer that stops reading its answer does not hold a place for ever.
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(300);

/// How long answers under way may take when the port is closed.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Why the admin port can't be opened.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The address can't be listened on.
    #[error("admin port {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The thread or its runtime can't be started.
    #[error("admin thread: {0}")]
    Thread(#[source] io::Error),
    /// A document was mounted where one already is, or on a path with special characters.
    #[error("admin path {0}: taken, or not a plain path")]
    Path(String),
}

/// Opens the admin port.
#[derive(Debug)]
pub struct AdminServer;

impl AdminServer {
    /// Listens on `address` (port 0 for a free one) and serves `routes` until the handle is shut down or dropped.
    ///
    /// # Errors
    /// When the address can't be had, a document's path is wrong, or the system gives no thread.
    pub fn bind(address: SocketAddr, routes: AdminRoutes) -> Result<AdminHandle, AdminError> {
        Self::bind_with(address, routes, None, serve::Limits::default())
    }

    /// The same over TLS.
    ///
    /// # Errors
    /// As [`AdminServer::bind`].
    pub fn bind_tls(
        address: SocketAddr,
        routes: AdminRoutes,
        tls: Option<AdminTls>,
    ) -> Result<AdminHandle, AdminError> {
        Self::bind_with(address, routes, tls, serve::Limits::default())
    }

    fn bind_with(
        address: SocketAddr,
        routes: AdminRoutes,
        tls: Option<AdminTls>,
        limits: serve::Limits,
    ) -> Result<AdminHandle, AdminError> {
        let router = routes.build()?;
        let listener = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|source| AdminError::Bind { address, source })?;
        let local_addr = listener.local_addr().map_err(|source| AdminError::Bind { address, source })?;
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Thread)?;
        let (stop, stopped) = watch::channel(());
        let (ended, done) = oneshot::channel();
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve::serve(listener, router, tls, limits, stopped)) {
                    tracing::error!(%error, "admin port failed");
                }
                drop(runtime);
                drop(ended);
            })
            .map_err(AdminError::Thread)?;
        Ok(AdminHandle { local_addr, stop, done })
    }
}

/// An open admin port; dropping it closes the port without waiting.
#[derive(Debug)]
pub struct AdminHandle {
    local_addr: SocketAddr,
    stop: watch::Sender<()>,
    done: oneshot::Receiver<()>,
}

impl AdminHandle {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops listening, lets answers under way finish (at most [`SHUTDOWN_GRACE`]) and ends the thread.
    pub async fn shutdown(self) {
        drop(self.stop);
        // Nothing is ever sent: the thread drops its end when it is done.
        drop(self.done.await);
    }
}
