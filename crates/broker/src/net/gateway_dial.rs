//! Keeping a connection to every other cluster up.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;
use wire::Step;
use wire::gateway::Op;
use wire::info::{Extension, GatewayInfo};

use super::backoff::Backoff;
use super::dial::DialTls;
use super::entry::refuse;
use super::gateway_entry::{GatewayParts, LAST_WORDS, make};
use super::greeting::{self, Greeted, Refused};
use super::leaf_dial;
use super::task::Task;
use crate::conn::CloseReason;
use crate::core::Core;
use crate::link::RemoteUrl;
use crate::link::gateway::outbound::{GatewayOut, OutParts};
use crate::link::gateway::{Cluster, Gateways};
use crate::session::Session;

/// Time for connecting, TLS and INFO.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for connecting where there are other addresses to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How clusters are dialled.
#[derive(Clone)]
pub(crate) struct Dialling {
    pub(crate) core: Arc<Core>,
    pub(crate) gateways: Arc<Gateways>,
    pub(crate) tls: Option<DialTls>,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) link_hold: Duration,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Dialling {
    /// Notes why there is no link. The URL may hold a password: only its address is told.
    fn trouble(&self, cluster: &Cluster, url: &RemoteUrl, why: &str) {
        let group = &self.gateways.terms.group;
        group.note_trouble(format!("cluster {} at {}:{}: {why}", cluster.name, url.host, url.port));
    }
}

/// Keeps the connection to a cluster up, until the server stops or, for one nobody configured, it is gone.
pub(crate) async fn keep_up(how: Dialling, cluster: Arc<Cluster>) {
    let mut stop = how.stop.clone();
    let mut backoff = Backoff::new(how.backoff_min, how.backoff_max, cluster.addresses.len());
    while let Some(url) = cluster.addresses.next() {
        let outcome = tokio::select! {
            outcome = Box::pin(dial(&how, &cluster, &url)) => outcome,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let up = match outcome {
            Ok(task) => {
                let (conn, began) = (task.conn().clone(), Instant::now());
                let mut running = tokio::spawn(task.run());
                let reason = tokio::select! {
                    reason = &mut running => reason.unwrap_or(CloseReason::Panicked),
                    _ = stop.wait_for(|stop| *stop) => return,
                };
                how.trouble(&cluster, &url, reason.name());
                conn.rtt().map(|_| began.elapsed())
            }
            Err(refused) => {
                tracing::warn!(cluster = %cluster.name, ?url, reason = refused.reason.name(), detail = %refused.detail, "gateway not made");
                how.trouble(&cluster, &url, &format!("{} ({})", refused.detail, refused.reason.name()));
                None
            }
        };
        if backoff.ends_round() && cluster.implicit && !cluster.has_inbound() {
            tracing::info!(cluster = %cluster.name, "a cluster that was not configured is gone");
            return how.gateways.forget(&cluster);
        }
        let pause = match up {
            Some(up) => backoff.after(up, cluster.addresses.len()),
            None => backoff.pause(cluster.addresses.len()),
        };
        let jitter = rand::rng().random_range(0.8..1.2);
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(jitter)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn dial(how: &Dialling, cluster: &Arc<Cluster>, url: &RemoteUrl) -> Result<Task, Refused> {
    let (core, gateways) = (&how.core, &how.gateways);
    let until = Instant::now() + DIAL_TIMEOUT;
    let patience = if cluster.addresses.len() > 1 { CONNECT_TIMEOUT } else { DIAL_TIMEOUT };
    let stream = leaf_dial::connect(url, patience).await?;
    let address = stream.peer_addr().map_err(greeting::lost)?;
    let local = stream.local_addr().map_err(greeting::lost)?.ip();
    let secure = how.tls.is_some() || url.tls;
    let mut peer = if secure {
        leaf_dial::secure(how.tls.as_ref(), url, stream, until).await?
    } else {
        greeting::plain(stream)
    };
    let info = read_info(&mut peer, until).await?;
    check(how, cluster, &info, &peer, until).await?;
    cluster.addresses.learn(&info.gateway_urls);
    let connect = gateways.connect(core, url, secure);
    let connect = connect.map_err(|error| Refused::new(CloseReason::AuthenticationFailed, error))?;
    peer.write(&connect.to_line(), until).await?;
    peer.write(&gateways.info(core, local).to_line(), until).await?;
    peer.write(wire::encode::PING, until).await?;
    let kept = std::mem::take(&mut peer.kept);
    let parts = GatewayParts {
        id: core.next_id(),
        address,
        cluster: cluster.clone(),
        server: info.server_name,
        grant: gateways.terms.grant.clone(),
        outbound: true,
    };
    let made = make(core, gateways, peer, parts);
    let now = std::time::Instant::now();
    let compared = info.gatehouse.as_ref().is_some_and(|said| said.has(Extension::INTEREST));
    let parts = OutParts { cluster: cluster.clone(), conn: made.conn, link: made.link, compared };
    let session = GatewayOut::new(core.clone(), gateways.clone(), parts, now);
    let session = Session::GatewayOut(Box::new(session));
    Ok(Task::new(core.clone(), session, made.source, kept, how.link_hold))
}

/// Whether this is the cluster that was meant, and one we can talk to.
async fn check(
    how: &Dialling,
    cluster: &Cluster,
    info: &GatewayInfo,
    peer: &Greeted,
    until: Instant,
) -> Result<(), Refused> {
    let until = until.min(Instant::now() + LAST_WORDS);
    let Some(name) = &info.gateway else {
        let text = format!("Attempt to connect to gateway {:?} using wrong port", cluster.name);
        refuse(peer, &text, until).await;
        return Err(Refused::new(CloseReason::ProtocolViolation, "not a gateway port"));
    };
    if *name != cluster.name {
        let own = &how.gateways.terms.name;
        let text = format!(
            "Connection from {own:?} rejected, wanted to connect to {:?}, this is {name:?}",
            cluster.name
        );
        refuse(peer, &text, until).await;
        return Err(Refused::new(CloseReason::ProtocolViolation, format!("this is cluster {name:?}")));
    }
    if info.server_id == how.core.server_id {
        return Err(Refused::new(CloseReason::LoopDetected, "this is our own address"));
    }
    if !info.gateway_iom {
        let detail = format!("nats-server {} tells no interest; 2.9 or later is needed", info.version);
        return Err(Refused::new(CloseReason::ProtocolViolation, detail));
    }
    Ok(())
}

async fn read_info(peer: &mut Greeted, until: Instant) -> Result<GatewayInfo, Refused> {
    let violation = |text: &str| Refused::new(CloseReason::ProtocolViolation, text);
    peer.read_until(until, wire::LEAF_MAX_CONTROL_LINE, |bytes| {
        match wire::gateway::parse(bytes, &wire::Limits::default()) {
            Ok(Step::Frame(Op::Info(json), used)) => {
                let info = GatewayInfo::parse(json).map_err(|error| violation(&error.to_string()))?;
                Ok(Some((info, used)))
            }
            Ok(Step::Frame(Op::Err(text), _)) => Err(violation(&String::from_utf8_lossy(text))),
            Ok(Step::Incomplete(_)) => Ok(None),
            Ok(Step::Frame(..)) => Err(violation("no INFO first")),
            Err(error) => Err(violation(&error.to_string())),
        }
    })
    .await
}
