//! The edge buffer: what clients publish on routes with `store_and_forward` while the bus can't be reached.
//!
//! While the link is up and nothing is buffered, messages pass and whoever they go to acknowledges them. While it is
//! down, or silent, they are written to a log of the gateway's own, acknowledged from here once they are on disk, and sent on in
//! order when the link is back. As long as anything is buffered, what is published goes behind it. A message is removed
//! when the other side has acknowledged it: so such a route must lead to a stream, or to something else that answers.
//!
//! Messages without an id get one, so that what is sent twice is stored once.

mod answer;
mod buffer;
mod forward;
mod handler;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::{HandlerPort, Letter, LinkGroup, LocalError, Outlet, Sent, Server};
use daemon::metrics::{Metrics, SampleKind};
use tokio::sync::watch;
use tokio::time::timeout;

use self::buffer::{Bounds, Buffer};
use self::forward::Forward;
use self::handler::EdgeHandler;

/// What acknowledgements from here name in the place of a stream.
const BUFFER: &str = "gatehouse-edge";

/// How often the age of what is buffered is looked at when nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// How the edge buffer is set up.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Its folder.
    pub dir: PathBuf,
    /// Most bytes it holds; above it publishers are held, then refused.
    pub max_bytes: u64,
    /// It takes nothing more while its oldest message is older.
    pub max_age: Duration,
    /// How many messages wait for their acknowledgement at a time when they are sent on.
    pub window: usize,
    /// How long each may wait.
    pub ack_timeout: Duration,
    /// A link that has not answered for so long counts as silent: what is published is kept meanwhile.
    pub silent_after: Duration,
    /// The routes it serves.
    pub served: Vec<Served>,
}

/// A route the buffer serves.
#[derive(Debug, Clone)]
pub struct Served {
    /// What is published to it.
    pub pattern: String,
    /// Whether messages carry who they come from.
    pub stamp: bool,
}

/// Why there is no edge buffer.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Its folder can't be used.
    #[error("edge buffer: {0}")]
    Store(#[from] store::StoreError),
    /// A route's pattern is none.
    #[error("edge buffer: {0}")]
    Pattern(#[from] LocalError),
}

/// A running edge buffer.
#[derive(Debug)]
pub struct Edge {
    handler: Arc<EdgeHandler>,
    port: HandlerPort,
    links: watch::Receiver<usize>,
    silence: watch::Receiver<bool>,
}

impl Edge {
    /// Opens the buffer and takes its place before the links of `group`. [`Edge::run`] sends on what it holds.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub fn open(
        settings: &EdgeSettings,
        server: &Server,
        group: &Arc<LinkGroup>,
        metrics: &Metrics,
    ) -> Result<Self, EdgeError> {
        let bounds = Bounds { bytes: settings.max_bytes, age: settings.max_age };
        let buffer = Buffer::open(&settings.dir, &origin(), bounds)?;
        let held = buffer.held();
        if held.0 > 0 {
            tracing::info!(
                messages = held.0,
                bytes = held.1,
                "the edge buffer holds messages of an earlier run"
            );
        }
        let silence = group.watch_silence(settings.silent_after);
        let forward = Forward::new(settings.window, settings.ack_timeout);
        let handler = EdgeHandler::new(buffer, settings.served.clone(), forward, silence.clone());
        let weak = Arc::downgrade(&handler);
        let port = server.handler(identity::DEFAULT_ACCOUNT, "edge-buffer", weak);
        let inbox = port.inbox();
        port.subscribe(&[&inbox[..], b">"].concat(), None)?;
        handler.settle(inbox);
        for served in &settings.served {
            port.intercept(served.pattern.as_bytes())?;
        }
        register(metrics, &handler);
        Ok(Self { handler, port, links: group.watch(), silence })
    }

    /// Acknowledges what is on disk and sends on what is buffered, for ever.
    pub async fn run(mut self) {
        let mut outlet = self.port.outlet();
        loop {
            self.port.set_full(self.handler.is_full(unix_nanos()));
            self.acknowledge(&mut outlet);
            let mut patience = TICK;
            if *self.links.borrow() > 0 && !*self.silence.borrow() {
                self.send_on(&mut outlet);
                let wake_at = self.handler.wake_at();
                patience = wake_at.map_or(TICK, |at| at.saturating_duration_since(Instant::now()));
            }
            tokio::select! {
                changed = self.links.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.handler.reset();
                }
                changed = self.silence.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // What was on its way when the link fell silent still is: it gets its time anew.
                    self.handler.wait_anew(Instant::now());
                }
                _ = timeout(patience.min(TICK), self.handler.changed()) => {}
            }
        }
    }

    fn acknowledge(&self, outlet: &mut Outlet) {
        for (reply, text) in self.handler.acknowledgements() {
            outlet.push(&Letter { subject: &reply, payload: &text, ..Letter::default() });
        }
        outlet.flush();
    }

    /// Sends as much as may be on its way at a time.
    fn send_on(&self, outlet: &mut Outlet) {
        self.handler.send_on(Instant::now(), |letter| {
            let sent = outlet.push(letter);
            sent != Sent::Nobody
        });
        outlet.flush();
    }
}

/// Tells this buffer's ids from those of others.
fn origin() -> String {
    use rand::Rng;
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(16).map(char::from).collect()
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss)]
fn register(metrics: &Metrics, handler: &Arc<EdgeHandler>) {
    type Figure = (&'static str, &'static str, SampleKind, fn(&EdgeHandler) -> u64);
    const FIGURES: [Figure; 6] = [
        ("edge_messages", "Messages in the edge buffer.", SampleKind::Gauge, |edge| edge.held().0),
        ("edge_bytes", "Bytes in the edge buffer.", SampleKind::Gauge, |edge| edge.held().1),
        (
            "edge_put_aside",
            "Messages the other side refused for good, kept aside.",
            SampleKind::Gauge,
            |edge| edge.put_aside(),
        ),
        ("edge_stored", "Messages taken into the edge buffer.", SampleKind::Counter, |edge| edge.stored()),
        (
            "edge_forwarded",
            "Messages of the edge buffer the other side has acknowledged.",
            SampleKind::Counter,
            |edge| edge.forwarded(),
        ),
        ("edge_refused", "Messages the edge buffer did not take.", SampleKind::Counter, |edge| {
            edge.refused()
        }),
    ];
    for (name, help, kind, figure) in FIGURES {
        let handler = Arc::clone(handler);
        metrics.register_value(name, help, kind, move || figure(&handler) as f64);
    }
}
