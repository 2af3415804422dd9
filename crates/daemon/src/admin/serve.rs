//! Accepts connections of the admin port, with TLS where configured, and serves HTTP/1.1 on them, within its limits.

use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use identity::peer::{IdentitySource, PeerCertificate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::login::Peer;
use super::{CONNECTION_LIFETIME, HEADER_TIMEOUT, MAX_CONNECTIONS, MAX_HEAD_BYTES, SHUTDOWN_GRACE};

/// Pause after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one server allows; tests take less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) header_timeout: Duration,
    pub(super) lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: MAX_CONNECTIONS, header_timeout: HEADER_TIMEOUT, lifetime: CONNECTION_LIFETIME }
    }
}

/// TLS of an admin port.
#[derive(Clone, Debug)]
pub struct AdminTls {
    /// The configuration in force; follows its files.
    pub source: watch::Receiver<Arc<ServerConfig>>,
    /// Names of which a verified client certificate must bear one to be a login.
    pub peers: Arc<[String]>,
}

impl AdminTls {
    /// The name of a certificate that is a login.
    fn name(&self, chain: Option<&[CertificateDer<'static>]>) -> Option<String> {
        let certificate = PeerCertificate::from_der(chain?.first()?).ok()?;
        let identity = certificate.identity(&IdentitySource::DEFAULT_ORDER).ok()?;
        certificate.bears_any(&self.peers).then_some(identity.value)
    }
}

/// Serves until the sender of `stopped` is gone.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<AdminTls>,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let (router, stopped, tls) = (router.clone(), stopped.clone(), tls.clone());
                connections.spawn(async move {
                    let peer = Peer { address: Some(address), certificate: None };
                    match tls {
                        None => {
                            serve_connection(stream, router.layer(Extension(peer)), limits, stopped).await
                        }
                        Some(tls) => serve_tls(stream, router, &tls, peer, limits, stopped).await,
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin port can't accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(timeout(SHUTDOWN_GRACE, async { while connections.join_next().await.is_some() {} }).await);
    Ok(())
}

async fn serve_tls(
    stream: TcpStream,
    router: Router,
    tls: &AdminTls,
    peer: Peer,
    limits: Limits,
    stopped: watch::Receiver<()>,
) {
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.source.borrow()));
    match timeout(limits.header_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificate = tls.name(stream.get_ref().1.peer_certificates());
            let router = router.layer(Extension(Peer { certificate, ..peer }));
            serve_connection(stream, router, limits, stopped).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "admin handshake failed"),
        Err(_) => tracing::debug!("admin handshake took too long"),
    }
}

/// Serves one connection until either side closes it, its time is over, or the server stops.
async fn serve_connection<S>(stream: S, router: Router, limits: Limits, mut stopped: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = sleep(limits.lifetime) => {
            connection.as_mut().graceful_shutdown();
            timeout(SHUTDOWN_GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "admin connection ended");
    }
}
