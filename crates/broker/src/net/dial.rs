//! Solicited links: what is dialled, and dialling again when a link is lost.

use std::sync::Arc;
use std::time::Duration;

use identity::Grant;
use rand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::rustls;

use super::backoff::Backoff;
use super::leaf_dial;
use crate::conn::CloseReason;
use crate::core::Core;
use crate::link::addresses::Addresses;
use crate::link::{Compression, Crossing, LinkGroup, LinkLogin, RemoteUrl, Role};

/// A link that closed a loop, or does what the other end does not allow, is not tried again sooner.
const LOOP_DELAY: Duration = Duration::from_secs(30);

/// TLS towards the other end.
#[derive(Clone)]
pub struct DialTls {
    /// The configuration as of now.
    pub source: watch::Receiver<Arc<rustls::ClientConfig>>,
    /// The name the other end's certificate must carry; the URL's host where there is none.
    pub server_name: Option<String>,
    /// Whether TLS begins before INFO.
    pub first: bool,
}

/// A link to be kept up.
#[derive(Clone)]
pub struct RemoteConfig {
    /// Its name in logs, `/leafz` and metrics.
    pub name: String,
    /// Where to dial; tried in turn.
    pub urls: Vec<RemoteUrl>,
    /// Whether further addresses that the other end tells of are dialled, too.
    pub discover: bool,
    /// Links kept up at once, each to another node of the cluster; one carries, see [`LinkGroup`].
    pub connections: usize,
    /// How to show who we are, beyond certificate and URL.
    pub login: Arc<dyn LinkLogin>,
    /// TLS, if any.
    pub tls: Option<DialTls>,
    /// Whether it is compressed, where the other end offers it. Needs TLS: nothing is decompressed that comes from who
    /// has not shown a certificate.
    pub compression: Compression,
    /// Our end of it.
    pub role: Role,
    /// What may cross; `None` is everything.
    pub crossing: Option<Arc<Crossing>>,
    /// The account here that the link belongs to, and its rights.
    pub grant: Arc<Grant>,
    /// What we let ourselves send (publish) and ask for (subscribe), whatever the other end allows.
    pub limits: Option<identity::Rights>,
    /// The links that serve the same routes.
    pub group: Arc<LinkGroup>,
    /// First delay before dialling again; doubled each time.
    pub backoff_min: Duration,
    /// Longest delay.
    pub backoff_max: Duration,
    /// How long publishers wait for a link that is down.
    pub link_hold: Duration,
}

/// A cluster to link to, as all links to it share it.
pub(crate) struct Remote {
    pub(crate) config: RemoteConfig,
    pub(crate) addresses: Arc<Addresses>,
}

impl Remote {
    pub(crate) fn new(config: RemoteConfig) -> Self {
        let addresses = Arc::new(Addresses::new(config.urls.clone(), config.discover));
        Self { config, addresses }
    }

    /// Notes why there is no link. The URL may hold a password: only its address is told.
    fn trouble(&self, url: &RemoteUrl, why: &str) {
        self.config.group.note_trouble(format!("{}:{}: {why}", url.host, url.port));
    }
}

/// Keeps a link up until `stop` says so.
pub(crate) async fn keep_up(core: Arc<Core>, remote: Arc<Remote>, mut stop: watch::Receiver<bool>) {
    let (config, addresses) = (&remote.config, &remote.addresses);
    let mut backoff = Backoff::new(config.backoff_min, config.backoff_max, addresses.len());
    while let Some(url) = remote.addresses.next() {
        let outcome = tokio::select! {
            outcome = Box::pin(leaf_dial::dial(&core, &remote, &url)) => outcome,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let delay = match outcome {
            Ok(task) => {
                let (conn, began) = (task.conn().clone(), Instant::now());
                // Runs as a task of its own: the future of the dialling is let go.
                let mut running = tokio::spawn(task.run());
                let reason = tokio::select! {
                    reason = &mut running => reason.unwrap_or(CloseReason::Panicked),
                    // The drain closes the link; nothing is left to keep up.
                    _ = stop.wait_for(|stop| *stop) => return,
                };
                remote.trouble(&url, reason.name());
                match reason {
                    CloseReason::LoopDetected | CloseReason::LinkRefused => LOOP_DELAY,
                    // The other end has answered what we asked after logging in: it had let us in.
                    _ if conn.rtt().is_some() => backoff.after(began.elapsed(), addresses.len()),
                    _ => backoff.pause(addresses.len()),
                }
            }
            Err(refused) if refused.reason == CloseReason::Replaced => {
                tracing::debug!(link = %remote.config.name, ?url, "another link goes there already");
                backoff.pause(addresses.len())
            }
            Err(refused) => {
                tracing::warn!(link = %remote.config.name, ?url, reason = refused.reason.name(), detail = %refused.detail, "link not made");
                remote.trouble(&url, &format!("{} ({})", refused.detail, refused.reason.name()));
                backoff.pause(addresses.len())
            }
        };
        let jitter = rand::rng().random_range(0.8..1.2);
        tokio::select! {
            () = tokio::time::sleep(delay.mul_f64(jitter)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
