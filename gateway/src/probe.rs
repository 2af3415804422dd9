//! The readiness probe: an event that goes to the bus and back, again and again.
//!
//! The process is ready when a link is up and the last probe came back. Where nothing answers on the other side (a
//! stock server without our responder), a link that is up has to be enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::{LinkGroup, LocalClient, LocalError};
use daemon::metrics::{Metrics, SampleKind};
use daemon::readiness::{Guard, Readiness};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::PROBE_SUBJECT;

/// Time between two probes once the way is known to work.
const INTERVAL: Duration = Duration::from_secs(5);
/// Time between two probes while it does not.
const RETRY: Duration = Duration::from_millis(200);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of a probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// None was made yet.
    #[default]
    None = 0,
    /// The bus answered.
    Answered,
    /// The link is up, and nobody on the other side listens.
    NoResponder,
    /// No answer in time.
    TimedOut,
    /// No link is up.
    LinkDown,
    /// The probe itself could not be made.
    Failed,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::None, Self::Answered, Self::NoResponder, Self::TimedOut, Self::LinkDown, Self::Failed];

    /// A stable word for metrics and documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Answered => "answered",
            Self::NoResponder => "no_responder",
            Self::TimedOut => "timed_out",
            Self::LinkDown => "link_down",
            Self::Failed => "failed",
        }
    }

    /// Whether events can be expected to get through.
    #[must_use]
    pub fn is_well(self) -> bool {
        matches!(self, Self::Answered | Self::NoResponder)
    }
}

/// What the probes have found out; read by metrics, `/linkz` and the health check.
#[derive(Debug)]
pub struct ProbeState {
    group: Arc<LinkGroup>,
    links: watch::Receiver<usize>,
    counts: [AtomicU64; Outcome::ALL.len()],
    last: watch::Sender<(Outcome, Duration)>,
}

impl ProbeState {
    fn new(group: &Arc<LinkGroup>) -> Self {
        Self {
            group: Arc::clone(group),
            links: group.watch(),
            counts: Default::default(),
            last: watch::Sender::default(),
        }
    }

    /// Links that are up.
    #[must_use]
    pub fn links(&self) -> usize {
        *self.links.borrow()
    }

    /// What came of the last probe.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.last.borrow().0
    }

    /// How long the last answer took; `None` when there was none.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let (outcome, took) = *self.last.borrow();
        (outcome == Outcome::Answered).then_some(took)
    }

    /// `/linkz`: what readiness rests on, in words.
    #[must_use]
    pub fn document(&self) -> Value {
        let outcome = self.outcome();
        let detail = match outcome {
            Outcome::None => "no probe was made yet",
            Outcome::Answered => "an event went to the bus and back",
            Outcome::NoResponder => {
                "the link is up; nothing on the other side answers, so that is all that is known"
            }
            Outcome::TimedOut => "the bus did not answer in time",
            Outcome::LinkDown => "no link is up",
            Outcome::Failed => "the probe could not be made",
        };
        json!({
            "links": self.links(),
            "subject": PROBE_SUBJECT,
            "probe": outcome.word(),
            "detail": detail,
            "trouble": self.group.trouble(),
            "round_trip_seconds": self.round_trip().map(|took| took.as_secs_f64()),
        })
    }

    fn record(&self, outcome: Outcome, took: Duration) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        let (before, _) = self.last.send_replace((outcome, took));
        if before == outcome {
            return;
        }
        match outcome {
            Outcome::Answered => tracing::info!(round_trip = ?took, "an event went to the bus and back"),
            Outcome::NoResponder => {
                tracing::info!(
                    "the link is up, nothing on the other side answers {PROBE_SUBJECT}: taken as ready"
                );
            }
            Outcome::LinkDown if before == Outcome::None => tracing::info!("waiting for the link to the bus"),
            _ => tracing::warn!(outcome = outcome.word(), "no event gets through to the bus"),
        }
    }

    /// Registers `link_up`, `probe_round_trip_seconds` and `probes`.
    #[allow(clippy::cast_precision_loss)]
    fn register(self: &Arc<Self>, metrics: &Metrics) {
        let (links, trip, counts) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        metrics.register_value("link_up", "Links to the bus that are up.", SampleKind::Gauge, move || {
            links.links() as f64
        });
        let help = "Round trip of the last probe through the link.";
        metrics.register_sampled("probe_round_trip_seconds", help, SampleKind::Gauge, &[], move || {
            trip.round_trip().map(|took| (Vec::new(), took.as_secs_f64())).into_iter().collect()
        });
        metrics.register_sampled(
            "probes",
            "Probes through the link.",
            SampleKind::Counter,
            &["outcome"],
            move || {
                let count = |outcome: Outcome| {
                    let count = counts.counts[outcome as usize].load(Ordering::Relaxed);
                    (vec![outcome.word().to_owned()], count as f64)
                };
                Outcome::ALL.into_iter().skip(1).map(count).collect()
            },
        );
    }
}

/// The probe before it is started: its guards are closed from the beginning.
#[derive(Debug)]
pub struct Probe {
    state: Arc<ProbeState>,
    link: Guard,
    event: Guard,
}

impl Probe {
    /// Takes the guards `link` and `probe`, and registers metrics.
    #[must_use]
    pub fn new(group: &Arc<LinkGroup>, readiness: &Readiness, metrics: &Metrics) -> Self {
        let state = Arc::new(ProbeState::new(group));
        state.register(metrics);
        Self { state, link: readiness.guard("link"), event: readiness.guard("probe") }
    }

    /// What it finds out.
    #[must_use]
    pub fn state(&self) -> Arc<ProbeState> {
        Arc::clone(&self.state)
    }

    /// Probes until the task is dropped. `client` needs the right to [`PROBE_SUBJECT`].
    pub async fn run(self, mut client: LocalClient) {
        let mut links = self.state.links.clone();
        loop {
            let (outcome, took) = probe(&mut client, &links).await;
            self.state.record(outcome, took);
            self.show(outcome);
            let pause = if outcome.is_well() { INTERVAL } else { RETRY };
            tokio::select! {
                () = sleep(pause) => {}
                // A link that comes or goes is news at once.
                changed = links.changed() => if changed.is_err() { return },
            }
        }
    }

    fn show(&self, outcome: Outcome) {
        match outcome {
            Outcome::LinkDown => {
                let trouble = self.state.group.trouble();
                let trouble = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
                self.link.not_ready(format!("no link to the bus is up{trouble}"));
            }
            _ => self.link.ready(),
        }
        match outcome {
            Outcome::Answered | Outcome::NoResponder => self.event.ready(),
            Outcome::LinkDown => self.event.not_ready("waiting for the link"),
            Outcome::TimedOut => self.event.not_ready("the bus did not answer in time"),
            Outcome::None | Outcome::Failed => self.event.not_ready("the probe could not be made"),
        }
    }
}

async fn probe(client: &mut LocalClient, links: &watch::Receiver<usize>) -> (Outcome, Duration) {
    if *links.borrow() == 0 {
        return (Outcome::LinkDown, Duration::ZERO);
    }
    let began = Instant::now();
    let outcome = match timeout(PATIENCE, client.request(PROBE_SUBJECT.as_bytes(), b"")).await {
        Ok(Ok(_)) => Outcome::Answered,
        Ok(Err(LocalError::NoResponders)) => Outcome::NoResponder,
        Ok(Err(LocalError::LinkDown)) => Outcome::LinkDown,
        Ok(Err(LocalError::Subject | LocalError::Denied | LocalError::Closed)) => Outcome::Failed,
        Err(_) => Outcome::TimedOut,
    };
    (outcome, began.elapsed())
}
